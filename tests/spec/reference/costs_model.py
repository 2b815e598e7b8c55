"""What a cost model says about one month, and the shape of what costs are computed from (cost-models §1–§4)."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from reference.labels import LabelMap, as_key

Row = dict[str, Any]

TYPES = ("Infrastructure", "Supplementary")
COSTS = ("cost_model_cpu_cost", "cost_model_memory_cost", "cost_model_volume_cost", "cost_model_gpu_cost")
CAPACITIES = (
    "node_capacity_cpu_cores",
    "node_capacity_cpu_core_hours",
    "node_capacity_memory_gigabytes",
    "node_capacity_memory_gigabyte_hours",
    "cluster_capacity_cpu_core_hours",
    "cluster_capacity_memory_gigabyte_hours",
)
LABELS = ("pod_labels", "volume_labels", "all_labels")

PLATFORM = 1
PATTERNS = (
    ("openshift-%", PLATFORM),
    ("kube-%", PLATFORM),
    ("openshift", PLATFORM),
    ("Platform unallocated", PLATFORM),
)


@dataclass(kw_only=True)
class Inputs:
    """What costs are computed from. Rows name only what matters; labels are maps.

    `summary` and `cloud` are base rows; the others are line items with `day` and, where they are hourly, `hour`.
    """

    model: Mapping[str, Any]
    summary: Sequence[Row] = ()
    cloud: Sequence[Row] = ()
    machines: Sequence[Row] = ()
    pods_hourly: Sequence[Row] = ()
    gpus: Sequence[Row] = ()
    node_labels: Sequence[Row] = ()
    namespace_labels: Sequence[Row] = ()
    nodes: Sequence[Row] = field(default=())
    start: date
    end: date | None = None

    @property
    def last(self) -> date:
        return self.end or self.start

    def covers(self, day: date) -> bool:
        return self.start <= day <= self.last


@dataclass(frozen=True, kw_only=True)
class TagRate:
    """All values of one tag key for one metric and cost type."""

    metric: str
    cost_type: str
    key: str
    values: Mapping[str, float]
    default: float
    """0 without a default."""
    has_default: bool

    def rate(self, value: str | None) -> float:
        return self.values.get(value, self.default) if value is not None else self.default


class Model:
    """Rates, markup and distribution settings of a cost model, `{}` when there is none."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.tiered: dict[tuple[str, str], float] = {}
        self.tags: list[TagRate] = []
        for rate in given.get("rates") or []:
            if rate.get("tag_rates"):
                self.tags.append(_tag_rate(rate))
            elif rate.get("tiered_rates"):
                key = rate["metric"]["name"], rate["cost_type"]
                self.tiered[key] = self.tiered.get(key, 0.0) + float(rate["tiered_rates"][0].get("value") or 0)
        self.markup: float | None = None
        if (given.get("markup") or {}).get("value") is not None:
            self.markup = float(given["markup"]["value"]) / 100
        self._info: Mapping[str, Any] = given.get("distribution_info") or {}

    @property
    def by_memory(self) -> bool:
        return self._info.get("distribution_type") == "memory"

    def switch(self, name: str, *, absent: bool) -> bool:
        return bool(self._info.get(name, absent))

    def rate(self, metric: str, cost_type: str) -> float:
        return self.tiered.get((metric, cost_type), 0.0)

    def monthly_rate(self, metric: str) -> tuple[str, float]:
        """Infrastructure if it is set and not 0, else Supplementary (Q2)."""
        for cost_type in TYPES:
            if self.rate(metric, cost_type):
                return cost_type, self.rate(metric, cost_type)
        return TYPES[0], 0.0

    def has(self, metrics: Iterable[str], cost_type: str) -> bool:
        return any((metric, cost_type) in self.tiered for metric in metrics)

    def tag_rates(self, metric: str) -> list[TagRate]:
        return [rate for rate in self.tags if rate.metric == metric]


def _tag_rate(rate: Mapping[str, Any]) -> TagRate:
    values = rate["tag_rates"]["tag_values"]
    defaults = [float(value["value"]) for value in values if value.get("default")]
    return TagRate(
        metric=rate["metric"]["name"],
        cost_type=rate["cost_type"],
        key=rate["tag_rates"]["tag_key"],
        values={value["tag_value"]: float(value["value"]) for value in values},
        default=defaults[0] if defaults else 0.0,
        has_default=bool(defaults),
    )


def days_in_month(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def month_of(day: date) -> list[date]:
    first = day.replace(day=1)
    return [first + timedelta(days=number) for number in range(days_in_month(day))]


# ------------------------------------------------------------------------------------------------------------- groups


def column_sum(rows: Iterable[Row], column: str) -> float:
    """Σ in which a missing value counts 0."""
    return sum((row.get(column) or 0.0 for row in rows), 0.0)


def column_max(rows: Iterable[Row], column: str) -> Any:
    """MAX: missing values are passed over; None when there are only such."""
    return max((row[column] for row in rows if row.get(column) is not None), default=None)


def grouped(rows: Iterable[Row], *keys: str) -> list[list[Row]]:
    """Rows with equal values of the keys, in order of first appearance."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(hashable(row.get(key)) for key in keys), []).append(row)
    return list(groups.values())


def hashable(value: Any) -> Any:
    return frozen(value) if isinstance(value, dict) else value


def with_all_labels(row: Row) -> Row:
    """A base row; unless they are named, all labels are those of the pod and the volume."""
    return {"all_labels": {**labels_of(row, "pod_labels"), **labels_of(row, "volume_labels")}, **row}


def frozen(labels: Mapping[str, str]) -> LabelMap:
    return as_key(labels)


def labels_of(row: Row, column: str) -> Mapping[str, str]:
    return row.get(column) or {}


def cost_row(rows: Sequence[Row], *, cost_type: str, monthly: str | None, **columns: Any) -> Row:
    """A cost row for a group of base rows: keys of the first, resource, volume and capacities the largest."""
    first = rows[0]
    row: Row = {
        "usage_start": first["usage_start"],
        "data_source": first["data_source"],
        "namespace": first["namespace"],
        "node": first.get("node"),
        "cost_category_id": first.get("cost_category_id"),
        "resource_id": column_max(rows, "resource_id"),
        **{name: column_max(rows, name) for name in CAPACITIES},
        **dict.fromkeys((*LABELS, "persistentvolumeclaim", "persistentvolume", "storageclass", "raw_currency")),
        **dict.fromkeys(COSTS, 0.0),
        "distributed_cost": None,
        "cost_model_rate_type": cost_type,
        "monthly_cost_type": monthly,
    }
    return row | columns
