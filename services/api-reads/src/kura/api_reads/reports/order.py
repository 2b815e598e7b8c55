"""The order of rows within a date (read-api §3.4, §3.5 step 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kura.api_reads.reports.parameters import TAG, Order
from kura.api_reads.reports.plan import Plan, is_number, key_of_order
from kura.api_reads.reports.rows import IS_REST, Row, Rows, labels_of, shown_name

RANKED_ORDERS = frozenset({"cost_total", "cost_total_distributed"})
"""Orders under which ranked rows keep the ranking order on every date."""


def keeps_ranking(plan: Plan, order: Order | None) -> bool:
    return plan.ranking is not None and (order is None or order.field in RANKED_ORDERS)


def sort_rows(
    read: Rows, rows: list[Row], order: Order | None, positions: Mapping[tuple[str, ...], int] | None = None
) -> list[Row]:
    """Rows of one date in the requested order; equals by label; the merged rest always last.

    `positions` is the order the groups have on a date the request names.
    """
    plan = read.plan
    labels = {shown_name(key): key for key in plan.row_keys}
    ordered = sorted(rows, key=lambda row: [_label(row[name], key) for name, key in labels.items()])
    if keeps_ranking(plan, order):
        return sorted(ordered, key=lambda row: row["rank"])
    field, descending = plan.report.default_order
    if order is not None and order.on_date is None and not order.field.startswith(TAG):
        field, descending = order.field, order.descending
    ordered = _by_field(plan, ordered, field, descending=descending)
    if positions:
        ordered.sort(key=lambda row: positions.get(labels_of(row, read.names), len(positions)))
    ordered.sort(key=lambda row: IS_REST in row)
    return ordered


def _label(value: str | None, key: str) -> str:
    """What a group is called; of a namespace's rows the one without cost group comes first."""
    return value or ("" if key == "cost_group" else f"No-{key}")


def _by_field(plan: Plan, rows: list[Row], field: str, *, descending: bool) -> list[Row]:
    if field == "delta":
        return sorted(rows, key=lambda row: _number(row["delta_percent"]), reverse=descending)
    if is_number(plan.report, Order(field=field)):
        return sorted(rows, key=lambda row: _number(row[field]), reverse=descending)
    key = key_of_order(field)
    if key in plan.row_keys:
        return sorted(rows, key=lambda row: _text(_label(row[key], key)), reverse=descending)
    return sorted(rows, key=lambda row: _text(row.get(field)), reverse=descending)


def _number(value: Any) -> tuple[bool, Any]:
    """Null after all numbers."""
    return value is None, value if value is not None else 0


def _text(value: Any) -> tuple[bool, str]:
    """Whatever the case; names starting with "other" after all others."""
    text = value[0] if isinstance(value, list) and value else value
    lower = text.lower() if isinstance(text, str) else ""
    return lower.startswith("other"), lower
