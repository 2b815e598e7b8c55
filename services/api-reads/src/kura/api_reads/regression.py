"""A straight line through few points, with what statistics say of it (read-api §7). No library for four formulas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

TINY = 1e-300
PRECISION = 1e-15
MOST_STEPS = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Line:
    """y = intercept + slope · x, by least squares; what is needed to say how far off it may be."""

    intercept: float
    slope: float
    points: int
    mean: float
    """Of x."""
    spread: float
    """Σ (x − mean)²."""
    deviation: float
    """Of y from the line: √(Σ residual² / (n − 2))."""
    quantile: float
    """Of Student's distribution, for CONFIDENCE on both sides."""
    rsquared: float
    pvalues: tuple[float, float]
    """Of intercept and slope."""

    def at(self, x: float) -> tuple[float, float]:
        """The value at x and half the width of its prediction interval."""
        width = math.sqrt(1 + 1 / self.points + (x - self.mean) ** 2 / self.spread)
        return self.intercept + self.slope * x, self.quantile * self.deviation * width


def fitted(xs: Sequence[float], ys: Sequence[float]) -> Line:
    """The line of least squares through at least three points with different x.

    In      x and y of every point
    Out     the line; rsquared and p-values are nan where all y are equal
    Errors  none
    Source  read-api §7 (4–6)
    """
    n = len(xs)
    mean_x, mean_y = math.fsum(xs) / n, math.fsum(ys) / n
    spread = math.fsum((x - mean_x) ** 2 for x in xs)
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    intercept = mean_y - slope * mean_x
    errors = math.fsum((y - intercept - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    total = math.fsum((y - mean_y) ** 2 for y in ys)
    freedom = n - 2
    deviation = math.sqrt(errors / freedom)
    of_slope = deviation / math.sqrt(spread)
    of_intercept = deviation * math.sqrt(1 / n + mean_x**2 / spread)
    return Line(
        intercept=intercept,
        slope=slope,
        points=n,
        mean=mean_x,
        spread=spread,
        deviation=deviation,
        quantile=student_quantile(CONFIDENCE, freedom),
        rsquared=1 - errors / total if total else math.nan,
        pvalues=(_pvalue(intercept, of_intercept, freedom), _pvalue(slope, of_slope, freedom)),
    )


def _pvalue(value: float, deviation: float, freedom: int) -> float:
    if not deviation:
        return 0.0 if value else math.nan
    return student_outside(abs(value / deviation), freedom)


def student_outside(t: float, freedom: int) -> float:
    """How likely Student's distribution is outside of ±t."""
    return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def student_quantile(inside: float, freedom: int) -> float:
    """The t between −t and t of which Student's distribution lies with this probability."""
    low, high = 0.0, 1.0
    while 1 - student_outside(high, freedom) < inside:
        high *= 2
    while high - low > PRECISION * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if 1 - student_outside(middle, freedom) < inside else (low, middle)
    return high


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction."""
    if x in (0.0, 1.0):
        return x
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(logarithm) / a / _beta_fraction(a, b, x)


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Lentz's way through 1 + d1 x / (1 + d2 x / (1 + …))."""
    found = numerators = 1.0
    denominators = 0.0
    for step in range(1, MOST_STEPS):
        m, odd = divmod(step, 2)
        if odd:
            factor = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            factor = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        denominators = 1 / ((1 + factor * denominators) or TINY)
        numerators = (1 + factor / numerators) or TINY
        found *= denominators * numerators
        if abs(denominators * numerators - 1) < PRECISION:
            break
    return found
