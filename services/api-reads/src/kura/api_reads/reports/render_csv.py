"""The CSV answer of a report: flat rows, columns in alphabetical order (read-api §4.6)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from kura.api_reads.reports.answer import score, storage_of, tags_of
from kura.api_reads.reports.rows import IS_FILLED, IS_REST, Row, Rows

DANGEROUS_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""First characters that make a spreadsheet take a text for a formula."""

UNIT_NAMES = {
    "usage": "usage_units",
    "data_transfer_in": "data_transfer_in_units",
    "data_transfer_out": "data_transfer_out_units",
    "gpu_memory": "gpu_memory_units",
    "gpu_count": "gpu_count_units",
    "request_cpu": "request_cpu_units",
    "request_memory": "request_memory_units",
}


def flat_rows(read: Rows, rows: Iterable[Row], *, currency: str, with_score: bool) -> list[Row]:
    """Rows under the names the CSV shows, nested values still inside."""
    report = read.plan.report
    constants: Row = {"cost_units": currency} if "cost_total" in report.measures else {}
    constants |= {UNIT_NAMES[name]: unit for name, unit in report.units.items()}
    return [{**_shown(row, currency, with_score=with_score), **constants} for row in rows]


def _shown(row: Row, currency: str, *, with_score: bool) -> Row:
    shown = {name: value for name, value in row.items() if name not in (IS_REST, IS_FILLED)}
    shown["base_currency"] = row["base_currency"] or currency
    if "wasted_cost" in row:
        shown["score"] = score(row, currency) if with_score else {}
        del shown["wasted_cost"], shown["usage_efficiency_percent"]
    if "storage" in row:
        shown |= {"storage": storage_of(row), "tags": tags_of(row)}
    return shown


def render_csv(rows: Sequence[Row]) -> bytes:
    """A header line with the union of all columns, then one line per row; nothing for no rows."""
    if not rows:
        return b""
    flat = [dict(_flattened(row)) for row in rows]
    header = sorted({name for row in flat for name in row})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([_safe(name) for name in header])
    for row in flat:
        writer.writerow([_cell(row.get(name)) for name in header])
    return text.getvalue().encode()


def _flattened(value: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Lists and maps become columns `name.0`, `name.key`."""
    if isinstance(value, Mapping):
        parts: Iterable[tuple[str, Any]] = ((str(name), part) for name, part in value.items())
    elif isinstance(value, list):
        parts = ((str(place), part) for place, part in enumerate(value))
    else:
        yield prefix, value
        return
    for name, part in parts:
        yield from _flattened(part, f"{prefix}.{name}" if prefix else name)


def _cell(value: Any) -> Any:
    """Numbers as they are, null as nothing, text so that no spreadsheet runs it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _safe(value)
    if isinstance(value, Decimal):
        return str(value)
    return value


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(DANGEROUS_STARTS) else text
