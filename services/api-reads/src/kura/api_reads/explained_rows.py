"""The lines of a cost where they were not kept: of labels, claims and storage classes.

`rates_to_usage` keeps a line per rate, project and node, with its days. For parts of that, the cost rows themselves
are taken apart: prices on usage get their quantities from the usage rows that are asked for; of what remains, the rates
it can come from are told. Sums are those of the rows in any case.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Date, cast, func, select

from kura.api_reads.explained import (
    DISTRIBUTED_MEASURES,
    USAGE_MEASURES,
    Line,
    as_float,
    conditions_of,
    distributed_line,
    fetched,
    groups_of,
    keys_of,
    lines_by_day,
    price_lists_of,
    rate_details,
)
from kura.api_reads.reports.catalogue import DAILY
from kura.api_reads.reports.conditions import tenant_table
from kura.api_reads.reports.parameters import TAG, Filter
from kura.api_reads.reports.plan import Plan
from kura.api_reads.reports.query import with_categories
from kura.core.cost_metrics import COST_TYPES
from kura.store.cost_models import labelled_metric

NOT_KEPT: Final = frozenset({"persistentvolumeclaim", "storageclass"})
"""Keys that lines do not have, beside tags."""

RESOURCES: Final = ("cpu", "memory", "volume", "gpu")
QUANTITIES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "cpu_core_usage_per_hour": ("cpu", "pod_usage_cpu_core_hours"),
        "cpu_core_request_per_hour": ("cpu", "pod_request_cpu_core_hours"),
        "cpu_core_effective_usage_per_hour": ("cpu", "pod_effective_usage_cpu_core_hours"),
        "memory_gb_usage_per_hour": ("memory", "pod_usage_memory_gigabyte_hours"),
        "memory_gb_request_per_hour": ("memory", "pod_request_memory_gigabyte_hours"),
        "memory_gb_effective_usage_per_hour": ("memory", "pod_effective_usage_memory_gigabyte_hours"),
        "storage_gb_usage_per_month": ("volume", "persistentvolumeclaim_usage_gigabyte_months"),
        "storage_gb_request_per_month": ("volume", "volume_request_storage_gigabyte_months"),
    }
)
"""Metrics whose quantity is a sum over usage rows: where their cost goes, and what is summed."""
OTHER_RESOURCES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "gpu": ("gpu",),
        "pvc": ("volume",),
        "vm": ("cpu",),
        "project": ("cpu",),
        "node": ("cpu", "memory"),
        "cluster": ("cpu", "memory"),
    }
)
"""Where the cost of the other metrics may go, by type; that of nodes and clusters goes where the distribution says."""
SMALLEST: Final = Decimal("1e-9")
"""Less is the rounding of sums."""


@dataclass(frozen=True, kw_only=True)
class _Price:
    """One rate that was used in a month."""

    metric: str
    monthly_cost_type: str | None
    tag_key: str | None
    tag_value: str | None
    unit_rate: Decimal
    rate_id: UUID | None
    custom_name: str | None
    price_list_id: UUID | None

    @property
    def resources(self) -> tuple[str, ...]:
        if self.metric in QUANTITIES:
            return (QUANTITIES[self.metric][0],)
        return OTHER_RESOURCES.get(self.metric.split("_")[0], RESOURCES)

    @property
    def has_quantity(self) -> bool:
        return self.metric in QUANTITIES and self.tag_key is None


def needs_rows(plan: Plan) -> bool:
    """Whether a question is about what lines do not keep."""
    named = (*plan.groups, *(part.key for part in (*plan.filters, *plan.excludes)))
    return any(_is_not_kept(key) for key in named)


def lines_of_rows(connection: Connection, plan: Plan) -> list[Line]:
    """Lines of rates and distribution from the rows of the daily summary."""
    return [*_rate_lines(connection, plan), *_distributed_lines(connection, plan)]


def _is_not_kept(key: str) -> bool:
    return key in NOT_KEPT or key.startswith(TAG)


# --------------------------------------------------------------------------------------------------------------- rates


def _rate_lines(connection: Connection, plan: Plan) -> list[Line]:
    prices = _prices(connection, plan)
    quantities = _quantities(connection, plan) if prices else {}
    lists = price_lists_of(
        connection, {price.price_list_id for found in prices.values() for price in found if price.price_list_id}
    )
    lines = []
    for row in _costs(connection, plan):
        source, cost_type = str(row["source_uuid"]), row["cost_model_rate_type"]
        monthly = row["monthly_cost_type"]
        known = [
            price
            for price in prices.get((row["bucket"].replace(day=1), source, cost_type), ())
            if price.monthly_cost_type == monthly
        ]
        used = quantities.get((row["bucket"], groups_of(row, plan), source), {})
        factor = plan.rates.of_source(source, row["bucket"])
        for resource in RESOURCES:
            for cost, details in _parts(row[resource], resource, known, used=used, lists=lists):
                line = Line(
                    bucket=row["bucket"],
                    groups=groups_of(row, plan),
                    kind="rate",
                    measure=USAGE_MEASURES[cost_type],
                    cost=cost * factor,
                    factor=factor,
                    details={**details, "cost_type": cost_type},
                )
                lines.append(line)
    return lines


def _parts(
    cost: Decimal,
    resource: str,
    prices: Sequence[_Price],
    *,
    used: Mapping[str, Decimal],
    lists: Mapping[UUID, Mapping[str, Any]],
) -> list[tuple[Decimal, dict[str, Any]]]:
    """What prices on usage made of a cost, and the rest with the rates it may come from."""
    parts = []
    rest = cost
    for price in prices:
        quantity = used.get(price.metric) if price.has_quantity and resource in price.resources else None
        if quantity:
            part = quantity * price.unit_rate
            parts.append((part, _details(price, quantity, lists)))
            rest -= part
    if abs(rest) < SMALLEST:
        return parts
    others = [price for price in prices if resource in price.resources and not price.has_quantity]
    if len(others) == 1 and others[0].unit_rate:
        return [*parts, (rest, _details(others[0], rest / others[0].unit_rate, lists))]
    choices = [_details(price, None, lists) for price in others]
    told: dict[str, Any] = {
        "metric": None,
        "resource": resource,
        "rates": [{"metric": choice["metric"], **choice["rate"]} for choice in choices],
    }
    return [*parts, (rest, told)]


def _details(price: _Price, quantity: Decimal | None, lists: Mapping[UUID, Mapping[str, Any]]) -> dict[str, Any]:
    metric = labelled_metric(price.metric)
    tag = {"key": price.tag_key, "value": price.tag_value} if price.tag_key is not None else None
    return {
        "metric": metric,
        "usage": {"value": as_float(quantity), "units": metric.get("label_measurement_unit")},
        "rate": rate_details(
            unit_rate=price.unit_rate,
            rate_id=price.rate_id,
            custom_name=price.custom_name,
            tag=tag,
            price_list=lists.get(price.price_list_id) if price.price_list_id is not None else None,
        ),
    }


def _costs(connection: Connection, plan: Plan) -> list[Mapping[str, Any]]:
    daily = tenant_table(DAILY)
    keys = {
        **keys_of(plan, daily),
        "source_uuid": daily.c.source_uuid,
        "cost_model_rate_type": daily.c.cost_model_rate_type,
        "monthly_cost_type": daily.c.monthly_cost_type,
    }
    statement = (
        select(
            *(column.label(name) for name, column in keys.items()),
            *(func.coalesce(func.sum(daily.c[f"cost_model_{name}_cost"]), 0).label(name) for name in RESOURCES),
        )
        .select_from(with_categories(plan, daily))
        .where(*conditions_of(plan, daily), daily.c.cost_model_rate_type.in_(COST_TYPES))
        .group_by(*keys.values())
    )
    return fetched(connection, statement)


def _quantities(
    connection: Connection, plan: Plan
) -> Mapping[tuple[date, tuple[str, ...], str], Mapping[str, Decimal]]:
    """Usage by bucket, group and source, from the rows that carry it."""
    daily = tenant_table(DAILY)
    keys = {**keys_of(plan, daily), "source_uuid": daily.c.source_uuid}
    statement = (
        select(
            *(column.label(name) for name, column in keys.items()),
            *(func.sum(daily.c[column]).label(metric) for metric, (_, column) in QUANTITIES.items()),
        )
        .select_from(with_categories(plan, daily))
        .where(*conditions_of(plan, daily), daily.c.cost_model_rate_type.is_(None), daily.c.namespace.is_not(None))
        .group_by(*keys.values())
    )
    return {
        (row["bucket"], groups_of(row, plan), str(row["source_uuid"])): row for row in fetched(connection, statement)
    }


def _prices(connection: Connection, plan: Plan) -> Mapping[tuple[date, str, str], Sequence[_Price]]:
    """The rates that were used where and when the question is about, by month, source and cost type."""
    within = replace(plan, filters=_kept(plan.filters), excludes=_kept(plan.excludes))
    lines = lines_by_day(within)
    used = lines.c
    names = (
        *("source_uuid", "cost_model_rate_type", "metric", "monthly_cost_type", "tag_key", "tag_value"),
        *("unit_rate", "rate_id", "custom_name", "price_list_id"),
    )
    month = cast(func.date_trunc("month", used.usage_start), Date).label("month")
    statement = (
        select(month, *(used[name] for name in names))
        .where(*conditions_of(within, lines), used.calculated_cost.is_not(None))
        .distinct()
    )
    found: defaultdict[tuple[date, str, str], list[_Price]] = defaultdict(list)
    for row in fetched(connection, statement):
        price = _Price(**{name: row[name] for name in names[2:]})
        found[row["month"], str(row["source_uuid"]), row["cost_model_rate_type"]].append(price)
    return found


def _kept(filters: tuple[Filter, ...]) -> tuple[Filter, ...]:
    return tuple(part for part in filters if not _is_not_kept(part.key))


# -------------------------------------------------------------------------------------------------------- distribution


def _distributed_lines(connection: Connection, plan: Plan) -> list[Line]:
    """What was handed on has neither labels nor volumes: it is part of what has none."""
    daily = tenant_table(DAILY)
    keys = {
        **keys_of(plan, daily),
        "source_uuid": daily.c.source_uuid,
        "rate_type": daily.c.cost_model_rate_type,
        "is_offset": daily.c.distributed_cost < 0,
        "currency": daily.c.raw_currency,
    }
    statement = (
        select(*(column.label(name) for name, column in keys.items()), func.sum(daily.c.distributed_cost).label("cost"))
        .select_from(with_categories(plan, daily))
        .where(
            *conditions_of(plan, daily),
            daily.c.distributed_cost != 0,
            daily.c.cost_model_rate_type.in_(DISTRIBUTED_MEASURES),
        )
        .group_by(*keys.values())
    )
    return [distributed_line(row, plan) for row in fetched(connection, statement)]
