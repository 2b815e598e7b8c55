"""Why something costs what it costs: the lines whose sum is the number that the costs report shows.

Lines of rates and of distribution come from `rates_to_usage`, which the engine writes with the cost rows they explain,
or from those rows themselves, where labels and volumes are asked for; raw cost and markup come from the rows of the
cloud bill. Parameters, conditions and access are those of the costs report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Text, and_, func, literal, or_, select

from kura.api_reads.access import Limits
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
from kura.api_reads.explained_rows import lines_of_rows, needs_rows
from kura.api_reads.reports.catalogue import COSTS_BY_PROJECT, DAILY, DISTRIBUTED, Report
from kura.api_reads.reports.conditions import Rows, tenant_table
from kura.api_reads.reports.parameters import Parameters
from kura.api_reads.reports.plan import Plan, totals_of
from kura.api_reads.reports.query import Column, with_categories
from kura.api_reads.reports.query_string import QueryString
from kura.api_reads.reports.reporting import Rules, planned
from kura.api_reads.reports.rows import Row, read_rows
from kura.core.cost_metrics import INFRASTRUCTURE
from kura.core.errors import ParameterErrors
from kura.store.cost_models import labelled_metric

EXPLAINED: Final[Report] = replace(
    COSTS_BY_PROJECT,
    path="explain/openshift/costs",
    order_by=MappingProxyType({}),
    grouped_orders=frozenset(),
    deltas=MappingProxyType({}),
    cost_groups=False,
)
"""The costs report without its orders and comparisons."""

ZERO: Final = Decimal(0)

KINDS: Final = ("raw", "markup", "rate", "distributed", "offset")


@dataclass(frozen=True, kw_only=True)
class Explained:
    """The lines of a request and the totals of the report they explain."""

    parameters: Parameters
    lines: Sequence[Line]
    reported: Row


def explain(connection: Connection, *, query: QueryString, limits: Limits, rules: Rules, today: date) -> Explained:
    """All lines of a request. ParameterErrors, Forbidden, TooManyLines."""
    parameters, plan = planned(connection, report=EXPLAINED, query=query, limits=limits, rules=rules, today=today)
    if plan.ranking is not None:
        raise ParameterErrors({"filter": {"limit": ["Lines are not ranked; limit and offset page them."]}})
    if needs_rows(plan):
        lines = lines_of_rows(connection, plan)
    else:
        lines = [*_rate_lines(connection, plan), *_distributed_lines(connection, plan)]
    lines += _bill_lines(connection, plan)
    lines.sort(key=lambda line: (line.bucket, line.groups, KINDS.index(line.kind), line.measure, -line.cost))
    return Explained(
        parameters=parameters,
        lines=lines,
        reported=read_rows(connection, totals_of(plan)).total,
    )


def total_of(lines: Sequence[Line]) -> Row:
    """The report's members from lines alone."""
    total: Row = dict.fromkeys(
        ("infra_raw", "infra_markup", "infra_usage", "sup_raw", "sup_markup", "sup_usage", *DISTRIBUTED), ZERO
    )
    for line in lines:
        total[line.measure] += line.cost
    total["infra_total"] = total["infra_raw"] + total["infra_markup"] + total["infra_usage"]
    total["sup_total"] = total["sup_usage"]
    total["cost_raw"], total["cost_markup"] = total["infra_raw"], total["infra_markup"]
    total["cost_usage"] = total["infra_usage"] + total["sup_usage"]
    total["cost_total"] = total["cost_raw"] + total["cost_markup"] + total["cost_usage"]
    handed_on = sum((total[name] for name in DISTRIBUTED_MEASURES.values()), ZERO)
    total["cost_total_distributed"] = total["cost_total"] + handed_on
    return total


# --------------------------------------------------------------------------------------------------------------- rates


def _rate_lines(connection: Connection, plan: Plan) -> list[Line]:
    """What each rate made of each quantity, summed over the rows of a bucket and group."""
    lines_of_rates = lines_by_day(plan)
    used = lines_of_rates.c
    keys = {
        **keys_of(plan, lines_of_rates),
        "source_uuid": used.source_uuid,
        "cost_model_rate_type": used.cost_model_rate_type,
        "monthly_cost_type": used.monthly_cost_type,
        "metric": used.metric,
        "rate_id": used.rate_id,
        "custom_name": used.custom_name,
        "price_list_id": used.price_list_id,
        "tag_key": used.tag_key,
        "tag_value": used.tag_value,
        "unit_rate": used.unit_rate,
    }
    statement = (
        select(
            *(column.label(name) for name, column in keys.items()),
            func.sum(used.quantity).label("quantity"),
            func.sum(used.calculated_cost).label("cost"),
        )
        .select_from(with_categories(plan, lines_of_rates))
        .where(*conditions_of(plan, lines_of_rates), used.calculated_cost.is_not(None))
        .group_by(*keys.values())
    )
    rows = fetched(connection, statement)
    price_lists = price_lists_of(connection, {row["price_list_id"] for row in rows if row["price_list_id"] is not None})
    lines = []
    for row in rows:
        factor = plan.rates.of_source(str(row["source_uuid"]), row["bucket"])
        metric = labelled_metric(row["metric"])
        price_list = price_lists.get(row["price_list_id"])
        tag = {"key": row["tag_key"], "value": row["tag_value"]} if row["tag_key"] is not None else None
        details = {
            "metric": metric,
            "cost_type": row["cost_model_rate_type"],
            "usage": {"value": as_float(row["quantity"]), "units": metric.get("label_measurement_unit")},
            "rate": rate_details(
                unit_rate=row["unit_rate"],
                rate_id=row["rate_id"],
                custom_name=row["custom_name"],
                tag=tag,
                price_list=price_list,
            ),
        }
        lines.append(
            Line(
                bucket=row["bucket"],
                groups=groups_of(row, plan),
                kind="rate",
                measure=USAGE_MEASURES[row["cost_model_rate_type"]],
                cost=row["cost"] * factor,
                factor=factor,
                details=details,
            )
        )
    return lines


# -------------------------------------------------------------------------------------------------------- distribution


def _distributed_lines(connection: Connection, plan: Plan) -> list[Line]:
    """What is handed on to a group from each pool, and what is taken from where it arose.

    The pool of a line is the sum of the pools of its days; its share is its cost in that. Who may see only some
    projects or nodes is told neither.
    """
    handed_on = lines_by_day(plan)
    used = handed_on.c
    is_offset = used.distributed_cost < 0
    keys = {
        **keys_of(plan, handed_on),
        "source_uuid": used.source_uuid,
        "rate_type": used.cost_model_rate_type,
        "is_offset": is_offset,
        "currency": _bill_currency(plan, handed_on),
    }
    rows = (
        select(
            *(column.label(name) for name, column in keys.items()),
            used.usage_start,
            used.pool_cost,
            used.distributed_cost,
        )
        .select_from(with_categories(plan, handed_on))
        .where(*conditions_of(plan, handed_on), used.distributed_cost.is_not(None))
        .subquery("rows")
    )
    by_pool = (
        select(*(rows.c[name] for name in keys), rows.c.pool_cost, func.sum(rows.c.distributed_cost).label("cost"))
        .group_by(*(rows.c[name] for name in keys), rows.c.usage_start, rows.c.pool_cost)
        .subquery("by_pool")
    )
    statement = select(
        *(by_pool.c[name] for name in keys),
        func.sum(by_pool.c.pool_cost).label("pool_cost"),
        func.sum(by_pool.c.cost).label("cost"),
    ).group_by(*(by_pool.c[name] for name in keys))
    shows_pools = not plan.limits.keys & {"project", "node"}
    lines = []
    for row in fetched(connection, statement):
        line = distributed_line(row, plan)
        pool = row["pool_cost"]
        if shows_pools and pool is not None:
            size = {"value": float(pool * line.factor), "units": plan.currency}
            share = float(row["cost"] / pool) if pool else None
            line = replace(line, details={"pool": {**line.details["pool"], **size}, "share": share})
        lines.append(line)
    return lines


def _bill_currency(plan: Plan, lines: Rows) -> Column:
    """Currency of the cost row that a line explains; it is asked for only where it makes a difference."""
    if not plan.rates.of_bills:
        return literal(None, Text)
    line, daily = lines.c, tenant_table(DAILY).alias("explained")
    same = [
        or_(daily.c[name] == line[name], and_(daily.c[name].is_(None), line[name].is_(None)))
        for name in ("namespace", "node", "data_source", "cost_category_id")
    ]
    return (
        select(func.max(daily.c.raw_currency))
        .where(
            daily.c.usage_start == line.usage_start,
            daily.c.source_uuid == line.source_uuid,
            daily.c.cost_model_rate_type == line.cost_model_rate_type,
            *same,
        )
        .correlate(lines)
        .scalar_subquery()
    )


# --------------------------------------------------------------------------------------------------------- cloud bills


def _bill_lines(connection: Connection, plan: Plan) -> list[Line]:
    """Raw cost from the cloud bill and the markup on it."""
    daily = tenant_table(DAILY)
    keys = {**keys_of(plan, daily), "source_uuid": daily.c.source_uuid, "currency": daily.c.raw_currency}
    raw, markup = daily.c.infrastructure_raw_cost, daily.c.infrastructure_markup_cost
    statement = (
        select(
            *(column.label(name) for name, column in keys.items()),
            func.coalesce(func.sum(raw), 0).label("raw"),
            func.coalesce(func.sum(markup), 0).label("markup"),
        )
        .select_from(with_categories(plan, daily))
        .where(*conditions_of(plan, daily), or_(raw != 0, markup != 0))
        .group_by(*keys.values())
    )
    lines = []
    for row in fetched(connection, statement):
        factor = plan.rates.of_bill(row["currency"], row["bucket"])
        base: dict[str, Any] = {"cost_type": INFRASTRUCTURE}
        amounts = {
            "raw": (row["raw"], base),
            "markup": (
                row["markup"],
                {**base, "percent": float(row["markup"] / row["raw"] * 100) if row["raw"] else None},
            ),
        }
        lines += [
            Line(
                bucket=row["bucket"],
                groups=groups_of(row, plan),
                kind=kind,
                measure=f"infra_{kind}",
                cost=cost * factor,
                factor=factor,
                details=details,
            )
            for kind, (cost, details) in amounts.items()
            if cost
        ]
    return lines
