"""What every kind of line of an explained cost is made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Date, Numeric, Select, case, column, func, select, true
from sqlalchemy.sql.selectable import Subquery

from kura.api_reads.reports.catalogue import DISTRIBUTED
from kura.api_reads.reports.conditions import Rows, row_conditions
from kura.api_reads.reports.measures import Money, Sum
from kura.api_reads.reports.plan import Plan
from kura.api_reads.reports.query import Column, bucket_of, group_column
from kura.core.cost_metrics import INFRASTRUCTURE, SUPPLEMENTARY
from kura.core.days import Month
from kura.core.errors import BadRequest
from kura.store.tables.tenant import PRICE_LIST, RATES_TO_USAGE

MOST_LINES: Final = 100_000

DISTRIBUTED_MEASURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        formula.rate_type: name
        for name, formula in DISTRIBUTED.items()
        if isinstance(formula, Sum) and formula.rate_type is not None
    }
)
"""Rate type of a distributed row → where the report shows its sum."""
OF_THE_BILL: Final = frozenset(
    formula.rate_type for formula in DISTRIBUTED.values() if isinstance(formula, Sum) and formula.money is Money.BILL
)
"""Rate types whose amounts stay in the currency of the bill."""
POOLS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "platform_distributed": "Platform projects",
        "worker_distributed": "Worker unallocated",
        "unattributed_storage": "Storage unattributed",
        "unattributed_network": "Network unattributed",
        "gpu_distributed": "GPU unallocated",
    }
)
USAGE_MEASURES: Final[Mapping[str, str]] = MappingProxyType({INFRASTRUCTURE: "infra_usage", SUPPLEMENTARY: "sup_usage"})


@dataclass(frozen=True, kw_only=True)
class Line:
    """One part of a cost, in the requested currency."""

    bucket: date
    groups: tuple[str, ...]
    kind: str
    measure: str
    """The member of the report that the line is part of."""
    cost: Decimal
    factor: Decimal
    details: Mapping[str, Any] = field(default_factory=dict)


class TooManyLines(BadRequest):
    """There are too many lines; ask for fewer projects, nodes or days."""

    code = "too_many_lines"


def price_lists_of(connection: Connection, keys: set[UUID]) -> dict[UUID, dict[str, Any]]:
    """Name, currency and validity of the lists that still exist."""
    lists = PRICE_LIST.c
    rows = connection.execute(
        select(lists.uuid, lists.name, lists.currency, lists.effective_start_date, lists.effective_end_date).where(
            lists.uuid.in_(keys)
        )
    )
    return {
        row.uuid: {
            "uuid": str(row.uuid),
            "name": row.name,
            "currency": row.currency,
            "effective_start_date": row.effective_start_date.isoformat(),
            "effective_end_date": row.effective_end_date.isoformat(),
        }
        for row in rows
    }


def rate_details(
    *,
    unit_rate: Decimal | None,
    rate_id: UUID | None,
    custom_name: str | None,
    tag: Mapping[str, Any] | None,
    price_list: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """One rate as lines show it."""
    return {
        "value": as_float(unit_rate),
        "units": price_list["currency"] if price_list is not None else None,
        "rate_id": as_text(rate_id),
        "custom_name": custom_name,
        "tag": tag,
        "price_list": price_list,
    }


def keys_of(plan: Plan, table: Rows) -> dict[str, Column]:
    shown = {f"g{place}": group_column(key, plan, table) for place, key in enumerate(plan.groups)}
    return {"bucket": bucket_of(plan, table), **shown}


def groups_of(row: Mapping[str, Any], plan: Plan) -> tuple[str, ...]:
    return tuple(row[f"g{place}"] for place in range(len(plan.groups)))


def conditions_of(plan: Plan, table: Rows) -> list[Column]:
    return row_conditions(plan, table, start=plan.scope.start, end=plan.scope.end)


def lines_by_day(plan: Plan) -> Subquery:
    """The stored lines of the range, one for each of their days.

    A stored line is of one day, or it lists its days, which are of one month, and what each of them has.
    """
    line = RATES_TO_USAGE.c
    day = (
        func.unnest(line.days, line.quantities, line.costs, line.pool_costs)
        .table_valued(
            column("day", Date),
            *(column(name, Numeric(33, 15)) for name in ("quantity", "cost", "pool_cost")),
        )
        .render_derived()
        .lateral("of_day")
    )
    lists = line.days.is_not(None)
    of_day: dict[str, Column] = {
        "usage_start": func.coalesce(day.c.day, line.usage_start),
        "quantity": case((lists, day.c.quantity), else_=line.quantity),
        "calculated_cost": case((lists & line.calculated_cost.is_not(None), day.c.cost), else_=line.calculated_cost),
        "pool_cost": case((lists, day.c.pool_cost), else_=line.pool_cost),
        "distributed_cost": case((lists & line.distributed_cost.is_not(None), day.c.cost), else_=line.distributed_cost),
    }
    start, end = plan.scope.start, plan.scope.end
    return (
        select(
            *(column for column in line if column.name not in of_day),
            *(column.label(name) for name, column in of_day.items()),
        )
        .select_from(RATES_TO_USAGE.outerjoin(day, true()))
        .where(line.usage_start.between(Month.of(start).first, end), line.usage_end >= start)
        .subquery("lines")
    )


def distributed_line(row: Mapping[str, Any], plan: Plan) -> Line:
    """What a row of distribution says, in the requested currency; its pool by name."""
    kind = row["rate_type"]
    if kind in OF_THE_BILL:
        factor = plan.rates.of_bill(row["currency"], row["bucket"])
    else:
        factor = plan.rates.of_source(str(row["source_uuid"]), row["bucket"])
    return Line(
        bucket=row["bucket"],
        groups=groups_of(row, plan),
        kind="offset" if row["is_offset"] else "distributed",
        measure=DISTRIBUTED_MEASURES[kind],
        cost=row["cost"] * factor,
        factor=factor,
        details={"pool": {"name": POOLS.get(kind, kind)}},
    )


def fetched(connection: Connection, statement: Select[Any]) -> list[Mapping[str, Any]]:
    rows = connection.execute(statement.limit(MOST_LINES + 1)).mappings().all()
    if len(rows) > MOST_LINES:
        raise TooManyLines
    return [dict(row) for row in rows]


def as_float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def as_text(value: Any) -> str | None:
    return None if value is None else str(value)
