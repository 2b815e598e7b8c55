"""The rates of a cost model or price list: every rule of write-api §6, checked over the whole list at once."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from kura.api_writes.fields import Problems, decimal_of, plain, read_text
from kura.core.cost_metrics import COST_METRICS, COST_TYPES, ONLY_BY_TAG, CostMetric

LONGEST_CUSTOM_NAME: Final = 50
LONGEST_DESCRIPTION: Final = 500
LONGEST_TAG: Final = 100

Rate = dict[str, Any]
"""One rate as it is stored: metric, cost_type, description, custom_name, tiered_rates or tag_rates."""


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """One rate while it is read: its place in the request, and where its problems go."""

    problems: Problems
    place: str
    currency: str

    def problem(self, field: str, text: str) -> None:
        self.problems.add(f"rates.{field}" if field else "rates", f"{self.place}: {text}")


def read_rates(value: Any, problems: Problems, *, currency: str) -> list[Rate]:
    """The rates of a request in the stored form, names generated where none are given; meaningless after a problem."""
    if not isinstance(value, list):
        problems.add("rates", "Must be a list of rates.")
        return []
    before = len(problems.found)
    rates = [_read_rate(item, number, problems, currency=currency) for number, item in enumerate(value, start=1)]
    found = [rate for rate in rates if rate is not None]
    _check_names(found, problems)
    _check_tag_keys(found, problems)
    return with_names(found) if len(problems.found) == before else []


def with_names(rates: Sequence[Rate]) -> list[Rate]:
    """The same rates, each with a custom_name: `metric-cost_type[-tag_key]` where none is given, unique by a number."""
    taken = {rate["custom_name"] for rate in rates if rate["custom_name"]}
    named = []
    for rate in rates:
        name = rate["custom_name"] or _free_name(_usual_name(rate), taken)
        taken.add(name)
        named.append({**rate, "custom_name": name})
    return named


def meaning_of(rates: Any) -> list[Any]:
    """What decides about costs: rates without ids, names, descriptions and empty texts. Order does not count."""
    if not isinstance(rates, list):
        return []
    return sorted((_meaning(rate) for rate in rates), key=repr)


def default_rate_of(rate: Rate) -> Decimal | None:
    """The value of the first tier."""
    tiers = rate.get("tiered_rates")
    return Decimal(tiers[0]["value"]) if tiers else None


def _meaning(value: Any) -> Any:
    if isinstance(value, Mapping):
        ignored = ("rate_id", "custom_name", "description")
        return {name: _meaning(value[name]) for name in sorted(value) if name not in ignored and value[name] != ""}
    if isinstance(value, list):
        return [_meaning(item) for item in value]
    return value


def _usual_name(rate: Rate) -> str:
    parts = [rate["metric"]["name"], rate["cost_type"]]
    if "tag_rates" in rate:
        parts.append(rate["tag_rates"]["tag_key"])
    return "-".join(parts)[:LONGEST_CUSTOM_NAME]


def _free_name(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        ending = f"-{number}"
        free = name[: LONGEST_CUSTOM_NAME - len(ending)] + ending
    return free


def _check_names(rates: Sequence[Rate], problems: Problems) -> None:
    counted = Counter(rate["custom_name"] for rate in rates if rate["custom_name"])
    repeated = sorted(name for name, count in counted.items() if count > 1)
    if repeated:
        problems.add("rates.custom_name", f"Names must be unique; repeated: {', '.join(repeated)}.")


def _check_tag_keys(rates: Sequence[Rate], problems: Problems) -> None:
    counted = Counter(
        (rate["metric"]["name"], rate["cost_type"], rate["tag_rates"]["tag_key"])
        for rate in rates
        if rate.get("tag_rates") and rate["tag_rates"]["tag_key"]
    )
    for (metric, cost_type, key), count in counted.items():
        if count > 1:
            problems.add("rates.tag_rates", f"duplicate tag_key {key!r} for {metric}, {cost_type}.")


# ------------------------------------------------------------------------------------------------------------ one rate


def _read_rate(value: Any, number: int, problems: Problems, *, currency: str) -> Rate | None:
    if not isinstance(value, dict):
        problems.add("rates", f"Rate {number}: must be an object.")
        return None
    metric = _read_metric(value)
    place = f"Rate {number}" + (f" ({metric.metric})" if metric is not None else "")
    reading = _Reading(problems=problems, place=place, currency=currency)
    if metric is None:
        reading.problem("metric", "invalid metric; `metric.name` must be one of those `metrics/` lists.")
    cost_type = _read_cost_type(value, metric, reading)
    custom_name = _read_optional_text(value, "custom_name", reading, longest=LONGEST_CUSTOM_NAME)
    description = _read_optional_text(value, "description", reading, longest=LONGEST_DESCRIPTION)
    tiers, tags = value.get("tiered_rates"), value.get("tag_rates")
    rate: Rate = {
        "metric": {"name": metric.metric if metric is not None else ""},
        "cost_type": cost_type,
        "description": description,
        "custom_name": custom_name,
    }
    if tiers and tags:
        reading.problem("", "tiered_rates or tag_rates, not both.")
    elif tiers:
        if metric is not None and metric.metric in ONLY_BY_TAG:
            reading.problem("tiered_rates", "this metric takes only tag_rates.")
        rate["tiered_rates"] = _read_tiers(tiers, reading)
    elif tags:
        rate["tag_rates"] = _read_tags(tags, reading)
    elif "tiered_rates" in value or "tag_rates" in value:
        given = "tiered_rates" if "tiered_rates" in value else "tag_rates"
        reading.problem(given, f"{given} cannot be empty.")
    else:
        reading.problem("", "tiered_rates or tag_rates is missing.")
    return rate


def _read_metric(rate: Mapping[str, Any]) -> CostMetric | None:
    metric = rate.get("metric")
    name = metric.get("name") if isinstance(metric, dict) else None
    return COST_METRICS.get(name) if isinstance(name, str) else None


def _read_cost_type(rate: Mapping[str, Any], metric: CostMetric | None, reading: _Reading) -> str:
    usual = metric.default_cost_type if metric is not None else COST_TYPES[0]
    given = rate.get("cost_type")
    if given is None:
        return usual
    found = next((name for name in COST_TYPES if isinstance(given, str) and given.lower() == name.lower()), None)
    if found is None:
        reading.problem("cost_type", f"invalid type; must be {' or '.join(COST_TYPES)}.")
    return found or usual


def _read_optional_text(given: Mapping[str, Any], name: str, reading: _Reading, *, longest: int, path: str = "") -> str:
    if given.get(name) is None:
        return ""
    found = Problems()
    text = read_text(given, name, found, where=name, longest=longest)
    for _, problem in found.found:
        reading.problem(path or name, problem)
    return text


def _read_value(given: Mapping[str, Any], reading: _Reading, *, path: str) -> str:
    number = decimal_of(given.get("value"))
    if isinstance(number, str):
        reading.problem(f"{path}.value", f"value: {number}")
        return "0"
    if number < 0:
        reading.problem(f"{path}.value", "value must be nonnegative.")
    return plain(number)


def _check_unit(unit: Any, reading: _Reading, *, path: str) -> None:
    if unit != reading.currency:
        what = f"{unit[:10]!r}" if isinstance(unit, str) else "none"
        reading.problem(path, f"rate units must match the currency {reading.currency}, not {what}.")


# --------------------------------------------------------------------------------------------------------------- tiers


@dataclass(frozen=True, kw_only=True)
class _Span:
    """The usage that a price is for; None is open."""

    start: Decimal | None
    end: Decimal | None


def _read_tiers(value: Any, reading: _Reading) -> list[Rate]:
    path = "tiered_rates"
    if not isinstance(value, list) or not all(isinstance(tier, dict) for tier in value):
        reading.problem(path, "tiered_rates must be a list of tiers.")
        return []
    tiers = []
    spans_are_valid = True
    for tier in value:
        price = _read_value(tier, reading, path=path)
        _check_unit(tier.get("unit"), reading, path=f"{path}.unit")
        span = _read_span(tier.get("usage"), reading, path=f"{path}.usage")
        spans_are_valid = spans_are_valid and span is not None
        tiers.append((span or _Span(start=None, end=None), price))
    tiers.sort(key=lambda tier: (tier[0].start is not None, tier[0].start or 0))
    if spans_are_valid:
        _check_spans([span for span, _ in tiers], reading)
    return [
        {
            "value": price,
            "unit": reading.currency,
            "usage": _span_item(span, reading),
        }
        for span, price in tiers
    ]


def _span_item(span: _Span, reading: _Reading) -> Rate:
    return {
        "usage_start": plain(span.start) if span.start is not None else None,
        "usage_end": plain(span.end) if span.end is not None else None,
        "unit": reading.currency,
    }


def _read_span(usage: Any, reading: _Reading, *, path: str) -> _Span | None:
    """The span of one price, open where nothing is said; None after a problem."""
    if usage is None:
        return _Span(start=None, end=None)
    if not isinstance(usage, dict):
        reading.problem(path, "usage must be an object.")
        return None
    if usage.get("unit") is not None:
        _check_unit(usage["unit"], reading, path=f"{path}.unit")
    bounds: dict[str, Decimal | None] = {}
    valid = True
    for name in ("usage_start", "usage_end"):
        given = usage.get(name)
        number = decimal_of(given) if given is not None else None
        if isinstance(number, str):
            reading.problem(f"{path}.{name}", f"{name}: {number}")
            valid = False
            number = None
        bounds[name] = number
    start, end = bounds["usage_start"], bounds["usage_end"]
    if start is not None and start < 0:
        reading.problem(f"{path}.usage_start", "usage_start must be nonnegative.")
        valid = False
    if end is not None and end <= 0:
        reading.problem(f"{path}.usage_end", "usage_end must be positive.")
        valid = False
    if valid and start is not None and end is not None and start >= end:
        reading.problem(path, "usage_start must be less than usage_end.")
        valid = False
    return _Span(start=start, end=end) if valid else None


def _check_spans(spans: Sequence[_Span], reading: _Reading) -> None:
    """Sorted spans cover all usage once."""
    path = "tiered_rates"
    if spans[0].start is not None or spans[-1].end is not None:
        reading.problem(path, "tiers must have open ends: no usage_start in the first, no usage_end in the last.")
        return
    for before, after in itertools.pairwise(spans):
        if before.end is None or after.start is None or after.start < before.end:
            reading.problem(path, "tiers must have no overlaps.")
        elif after.start > before.end:
            reading.problem(path, "tiers must have no gaps.")


# ---------------------------------------------------------------------------------------------------------------- tags


def _read_tags(value: Any, reading: _Reading) -> Rate:
    path = "tag_rates"
    if not isinstance(value, dict):
        reading.problem(path, "tag_rates must be an object with tag_key and tag_values.")
        return {"tag_key": "", "tag_values": []}
    found = Problems()
    key = read_text(value, "tag_key", found, where="tag_key", longest=LONGEST_TAG, blank=False)
    for _, problem in found.found:
        reading.problem(f"{path}.tag_key", f"tag_key: {problem}")
    values = value.get("tag_values")
    if not isinstance(values, list) or not values:
        reading.problem(f"{path}.tag_values", "tag_values cannot be empty.")
        values = []
    read = [_read_tag_value(item, reading) for item in values]
    counted = Counter(item["tag_value"] for item in read if item["tag_value"])
    repeated = sorted(text for text, count in counted.items() if count > 1)
    if repeated:
        reading.problem(f"{path}.tag_values", f"tag_value must be unique; repeated: {', '.join(repeated)}.")
    if sum(item["default"] for item in read) > 1:
        reading.problem(f"{path}.tag_values", "at most one tag value may be the default.")
    return {"tag_key": key, "tag_values": read}


def _read_tag_value(value: Any, reading: _Reading) -> Rate:
    path = "tag_rates.tag_values"
    if not isinstance(value, dict):
        reading.problem(path, "each of tag_values must be an object.")
        return {"tag_value": "", "default": False}
    found = Problems()
    text = read_text(value, "tag_value", found, where="tag_value", longest=LONGEST_TAG, blank=False)
    for _, problem in found.found:
        reading.problem(f"{path}.tag_value", f"tag_value: {problem}")
    price = _read_value(value, reading, path=path)
    _check_unit(value.get("unit"), reading, path=f"{path}.unit")
    span = _read_span(value.get("usage"), reading, path=f"{path}.usage")
    default = value.get("default")
    if not isinstance(default, bool):
        reading.problem(f"{path}.default", "default is required, true or false.")
    return {
        "tag_value": text,
        "value": price,
        "unit": reading.currency,
        "usage": _span_item(span or _Span(start=None, end=None), reading),
        "description": _read_optional_text(
            value, "description", reading, longest=LONGEST_DESCRIPTION, path=f"{path}.description"
        ),
        "default": default is True,
    }
