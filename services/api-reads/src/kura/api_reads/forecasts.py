"""What OpenShift will have cost by the end of the month: parameters, model, answer (read-api §7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection

from kura.api_reads.access import openshift_limits
from kura.api_reads.endpoints import Question
from kura.api_reads.links import links_between
from kura.api_reads.regression import Line, fitted
from kura.api_reads.reports.catalogue import COSTS
from kura.api_reads.reports.parameters import UNSUPPORTED, Collector, FieldError, read_integer
from kura.api_reads.reports.query_string import Given, QueryString
from kura.api_reads.reports.reporting import planned
from kura.api_reads.reports.rows import Row, read_rows
from kura.core.days import Month
from kura.core.errors import ParameterErrors

Json = dict[str, Any]

TOP_LEVEL = frozenset({"limit", "offset", "currency"})
DAYS_READ = 31
FEWEST_DAYS = 8
DEFAULT_LIMIT = 100
FENCE = 1.5
"""Times the distance of the quartiles that a day may lie outside of them."""
SHOWN_DIGITS = 3
FIELDS: Mapping[str, str] = {"infrastructure": "infra_total", "supplementary": "sup_total", "cost": "cost_total"}
"""Parts of the answer and the measures of the costs report that they continue."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """The line of one measure; x counts days from the first one that was kept."""

    first: date
    line: Line


def answer_forecast(connection: Connection, question: Question) -> Json:
    """Costs of every day from today to the end of the month. ParameterErrors, Forbidden."""
    query, today = question.query, question.today
    limit, offset, rows, currency = _read(connection, question)
    models = {part: model_of(_amounts(rows, measure)) for part, measure in FIELDS.items()}
    days = _days_left(today) if any(models.values()) else []
    data = [
        {"date": str(day), "values": [{"date": str(day), **_predicted(models, day, currency)}]}
        for day in days[offset : offset + limit]
    ]
    return {
        "meta": {"count": len(days), "limit": limit, "offset": offset},
        "links": links_between(question.path, query.pairs, limit=limit, offset=offset, count=len(days)),
        "data": data,
    }


def _read(connection: Connection, question: Question) -> tuple[int, int, list[Row], str]:
    """limit, offset, rows of the costs report by day, currency; all that is wrong with fields is told together."""
    given, today = question.query.given, question.today
    errors: dict[str, Any] = {}
    check = Collector(errors)
    limit = check("limit", _read_limit, given.get("limit"))
    offset = check("offset", read_integer, given.get("offset"))
    days = {"start_date": today - timedelta(days=DAYS_READ), "end_date": today - timedelta(days=1)}
    asked = {name: Given([day.isoformat()]) for name, day in days.items()}
    asked |= {"currency": given["currency"]} if "currency" in given else {}
    try:
        parameters, plan = planned(
            connection,
            report=COSTS,
            query=QueryString(raw="", pairs=(), given=asked),
            limits=openshift_limits(question.identity),
            rules=question.rules,
            today=today,
        )
    except ParameterErrors as refused:
        more = refused.body if isinstance(refused.body, dict) else {}
        raise ParameterErrors(errors | more) from refused
    if errors:
        raise ParameterErrors(errors)
    unknown = [name for name in given if name not in TOP_LEVEL]
    if unknown:
        raise ParameterErrors({name: [UNSUPPORTED] for name in unknown})
    rows = read_rows(connection, plan).rows
    return limit or DEFAULT_LIMIT, max(offset or 0, 0), rows, parameters.currency


def _read_limit(given: Given | None) -> int | None:
    limit = read_integer(given)
    if limit is not None and limit < 1:
        raise FieldError(["Ensure this value is greater than or equal to 1."])
    return limit


def _amounts(rows: Sequence[Row], measure: str) -> dict[date, float]:
    return {date.fromisoformat(row["date"]): float(row[measure]) for row in rows}


def model_of(amounts: Mapping[date, float]) -> Model | None:
    """The model of one measure.

    In      amounts of the days that have any
    Out     a line through the days without outliers; none when too few are left
    Rule    outliers lie more than FENCE times the distance of the quartiles outside of them; gaps between days count
    Errors  none
    Source  read-api §7 (2–4)
    """
    kept = dict(sorted(_without_outliers(amounts).items()))
    if len(kept) < FEWEST_DAYS:
        return None
    first = next(iter(kept))
    return Model(first=first, line=fitted([(day - first).days for day in kept], list(kept.values())))


def _without_outliers(amounts: Mapping[date, float]) -> dict[date, float]:
    if not amounts:
        return {}
    low, high = (_quantile(sorted(amounts.values()), part) for part in (0.25, 0.75))
    reach = FENCE * (high - low)
    return {day: amount for day, amount in amounts.items() if low - reach <= amount <= high + reach}


def _quantile(ascending: Sequence[float], part: float) -> float:
    """Linear between the two nearest values."""
    place = part * (len(ascending) - 1)
    below = int(place)
    above = min(below + 1, len(ascending) - 1)
    return ascending[below] + (ascending[above] - ascending[below]) * (place - below)


def _days_left(today: date) -> list[date]:
    last = Month.of(today).last
    return [today + timedelta(days=number) for number in range((last - today).days + 1)]


def _predicted(models: Mapping[str, Model | None], day: date, currency: str) -> Json:
    return {part: _packed(model, day, currency) for part, model in models.items()}


def _packed(model: Model | None, day: date, currency: str) -> Json:
    """One measure on one day; zeros where there is no model."""
    value = reach = rsquared = 0.0
    pvalues: list[str] | list[int] = [0]
    if model is not None:
        value, reach = model.line.at((day - model.first).days)
        rsquared, pvalues = model.line.rsquared, [f"{p:.8f}" for p in model.line.pvalues]

    def money(amount: float) -> Json:
        return {"value": round(max(0.0, amount), SHOWN_DIGITS), "units": currency}

    return {
        "total": money(value),
        "confidence_max": money(value + reach),
        "confidence_min": money(value - reach),
        "rsquared": {"value": f"{rsquared:.8f}", "units": None},
        "pvalues": {"value": pvalues, "units": None},
    }
