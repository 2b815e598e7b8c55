"""Numbers of OpenShift reports over some rows, one formula after the other (read-api-fields §3)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any

Row = Mapping[str, Any]
Values = dict[str, Any]

MODEL_COSTS = ("cost_model_cpu_cost", "cost_model_memory_cost", "cost_model_volume_cost", "cost_model_gpu_cost")
HUNDRED = Fraction(100)


@dataclass(frozen=True)
class Exchange:
    """Factors to the currency of the answer (read-api §9)."""

    currency: str
    rates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    enabled: frozenset[str] = frozenset()
    model_currencies: Mapping[str, str] = field(default_factory=dict)
    static: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    """Rates set by hand, by month, base and target."""

    def factor(self, base: str | None, day: date) -> Fraction:
        if (rate := self.static.get((f"{day:%Y-%m}", base or "", self.currency))) is not None:
            return Fraction(rate)
        if base is None or base == self.currency or base not in self.enabled:
            return Fraction(1)
        rate = self.rates.get(base, {}).get(self.currency)
        return Fraction(1) if rate is None else Fraction(str(rate))

    def of_model(self, row: Row) -> Fraction:
        return self.factor(self.model_currencies.get(str(row["source_uuid"])), row["usage_start"])

    def of_bill(self, row: Row) -> Fraction:
        return self.factor(row["raw_currency"], row["usage_start"])


Measure = Callable[[list[Row], Exchange], Values]


def number(value: Any) -> Fraction:
    return Fraction(0) if value is None else Fraction(value)


def total(rows: Iterable[Row], column: str) -> Fraction:
    return sum((number(row[column]) for row in rows), Fraction(0))


def model_cost(rows: Iterable[Row], columns: Iterable[str], exchange: Exchange, rate_type: str = "") -> Fraction:
    chosen = [row for row in rows if rate_type in ("", row["cost_model_rate_type"])]
    return sum((number(row[name]) * exchange.of_model(row) for row in chosen for name in columns), Fraction(0))


def bill_cost(rows: Iterable[Row], column: str, exchange: Exchange) -> Fraction:
    return sum((number(row[column]) * exchange.of_bill(row) for row in rows), Fraction(0))


def costs(rows: list[Row], exchange: Exchange, columns: tuple[str, ...] = MODEL_COSTS) -> Values:
    raw = bill_cost(rows, "infrastructure_raw_cost", exchange)
    markup = bill_cost(rows, "infrastructure_markup_cost", exchange)
    infrastructure = model_cost(rows, columns, exchange, "Infrastructure")
    supplementary = model_cost(rows, columns, exchange, "Supplementary")
    usage = model_cost(rows, columns, exchange)
    return {
        "infra_raw": raw, "infra_markup": markup, "infra_usage": infrastructure,
        "infra_total": raw + markup + infrastructure,
        "sup_raw": Fraction(0), "sup_markup": Fraction(0), "sup_usage": supplementary, "sup_total": supplementary,
        "cost_raw": raw, "cost_markup": markup, "cost_usage": usage, "cost_total": raw + markup + usage,
    }  # fmt: skip


def distributed(rows: list[Row], exchange: Exchange) -> Values:
    def part(rate_type: str, factor: Callable[[Row], Fraction]) -> Fraction:
        chosen = [row for row in rows if row["cost_model_rate_type"] == rate_type]
        return sum((number(row["distributed_cost"]) * factor(row) for row in chosen), Fraction(0))

    return {
        "cost_platform_distributed": part("platform_distributed", exchange.of_model),
        "cost_worker_unallocated_distributed": part("worker_distributed", exchange.of_model),
        "cost_network_unattributed_distributed": part("unattributed_network", exchange.of_bill),
        "cost_storage_unattributed_distributed": part("unattributed_storage", exchange.of_bill),
        "cost_gpu_unallocated_distributed": part("gpu_distributed", exchange.of_model),
    }


def with_distributed(found: Values, rows: list[Row], exchange: Exchange) -> Values:
    parts = distributed(rows, exchange)
    return {**found, **parts, "cost_total_distributed": found["cost_total"] + sum(parts.values())}


def costs_by_project(rows: list[Row], exchange: Exchange) -> Values:
    return with_distributed(costs(rows, exchange), rows, exchange)


def pods(model_column: str, resource: str) -> Measure:
    def measure(rows: list[Row], exchange: Exchange) -> Values:
        found = with_distributed(costs(rows, exchange, (model_column,)), rows, exchange)
        used, asked = total(rows, f"pod_usage_{resource}"), total(rows, f"pod_request_{resource}")
        return {
            **found,
            "usage": used,
            "request": asked,
            "limit": total(rows, f"pod_limit_{resource}"),
            **score(used, asked, found["cost_total"]),
        }

    return measure


def score(used: Fraction, asked: Fraction, cost: Fraction) -> Values:
    if asked == 0:
        return {"usage_efficiency_percent": Fraction(0), "wasted_cost": Fraction(0)}
    percent = used / asked * 100
    half_up = int(abs(percent) + Fraction(1, 2))
    wasted = max(Fraction(0), cost * (1 - used / asked))
    return {"usage_efficiency_percent": Fraction(half_up if percent >= 0 else -half_up), "wasted_cost": wasted}


def volumes(rows: list[Row], exchange: Exchange) -> Values:
    return {
        **costs(rows, exchange, ("cost_model_volume_cost",)),
        "usage": total(rows, "persistentvolumeclaim_usage_gigabyte_months"),
        "request": total(rows, "volume_request_storage_gigabyte_months"),
        "capacity": total(rows, "persistentvolumeclaim_capacity_gigabyte_months"),
        "persistent_volume_claim": names(rows, "persistentvolumeclaim"),
        "storage_class": names(rows, "storageclass"),
    }


def names(rows: list[Row], column: str) -> list[str]:
    return sorted({row[column] for row in rows if row[column]})


def network(rows: list[Row], exchange: Exchange) -> Values:
    found = costs(rows, exchange)
    into, out = total(rows, "infrastructure_data_in_gigabytes"), total(rows, "infrastructure_data_out_gigabytes")
    return {
        **found,
        "infra_total": found["infra_raw"] + found["infra_markup"],
        "sup_usage": Fraction(0),
        "data_transfer_in": into,
        "data_transfer_out": out,
        "usage": into + out,
    }


def network_total(rows: list[Row], exchange: Exchange) -> Values:
    found = network(rows, exchange)
    return {**found, "infra_usage": Fraction(0), "cost_total": found["infra_total"]}


def gpus(rows: list[Row], exchange: Exchange) -> Values:
    column = ("cost_model_gpu_cost",)
    found = dict.fromkeys(
        ("infra_raw", "infra_markup", "sup_raw", "sup_markup", "cost_raw", "cost_markup"), Fraction(0)
    )
    infrastructure, supplementary, cost = (
        model_cost(rows, column, exchange, kind) for kind in ("Infrastructure", "Supplementary", "")
    )
    return {
        **found,
        "infra_usage": infrastructure, "infra_total": infrastructure,
        "sup_usage": supplementary, "sup_total": supplementary,
        "cost_usage": cost, "cost_total": cost,
        "gpu_memory": max((number(row["memory_capacity_gb"]) for row in rows), default=Fraction(0)),
        "gpu_count": Fraction(len({row["gpu_uuid"] for row in rows if row["gpu_uuid"] is not None})),
    }  # fmt: skip


def mig_profiles(rows: list[Row], exchange: Exchange) -> Values:
    return {
        name: max((number(row[name]) for row in rows), default=Fraction(0))
        for name in ("mig_slice_count", "gpu_max_slices")
    }


def virtual_machines(rows: list[Row], exchange: Exchange) -> Values:
    storage = {
        (
            row["persistentvolumeclaim"],
            row["storageclass"],
            row["persistentvolumeclaim_usage_gigabyte_months"],
            row["persistentvolumeclaim_capacity_gigabyte_months"],
        )
        for row in rows
        if row["persistentvolumeclaim_usage_gigabyte_months"] is not None
    }
    labels: dict[str, set[str]] = {}
    for row in rows:
        for key, value in (row["pod_labels"] or {}).items():
            labels.setdefault(key, set()).add(value)
    return {
        **costs_by_project(rows, exchange),
        "request_cpu": total(rows, "pod_request_cpu_core_hours") / 24,
        "request_memory": total(rows, "pod_request_memory_gigabyte_hours") / 24,
        "cluster": max((row["cluster_alias"] or row["cluster_id"] for row in rows), default=None),
        "node": max((row["node"] for row in rows if row["node"]), default=None),
        "project": max((row["namespace"] for row in rows if row["namespace"]), default=None),
        "storage": [
            {"pvc_name": name, "storage_class": kind, "usage": used, "capacity": size, "usage_units": "GiB-Mo"}
            for name, kind, used, size in sorted(storage)
        ],
        "tags": [{"key": key, "values": sorted(values)} for key, values in sorted(labels.items())],
    }


def unused(*, capacity: Fraction, used: Fraction, asked: Fraction) -> Values:
    whole = capacity if capacity > 0 else Fraction(1)
    of_capacity, of_request = max(capacity - max(used, asked), Fraction(0)), max(asked - used, Fraction(0))
    return {
        "capacity_unused": of_capacity,
        "capacity_unused_percent": of_capacity / whole * HUNDRED,
        "request_unused": of_request,
        "request_unused_percent": of_request / whole * HUNDRED,
    }
