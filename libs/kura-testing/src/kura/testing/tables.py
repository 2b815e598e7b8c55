"""Small tables for tests: written as text, or as rows of line items in the shape of the stored Parquet."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import pyarrow as pa

from kura.testing.report_columns import COLUMNS, DATES, OPTIMIZATION_REPORTS, TEXT_COLUMNS

EFFECTIVE_USAGE = ("pod_effective_usage_cpu_core_seconds", "pod_effective_usage_memory_byte_seconds")
DERIVED_GPU_COLUMNS = ("mig_slice_count", "mig_memory_capacity_mib")
HOURLY_ONLY_COLUMNS = ("interval_end", "gpu_pod_utilization")


def rows(text: str) -> pa.Table:
    """A table written as text: a header, then a row per line, cells between bars.

    Columns of numbers are doubles, of `2025-01-10` dates, of `2025-01-10 00:00` times, of `true` booleans,
    all others texts; `null` is a null and an empty cell an empty text.
    """
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    names = [name.strip() for name in lines[0].split("|")]
    cells = [[cell.strip() for cell in line.split("|")] for line in lines[1:]]
    for line in cells:
        if len(line) != len(names):
            raise ValueError(f"{len(names)} columns, but a row of {len(line)} cells: {line}")
    return pa.table({name: _column([line[place] for line in cells]) for place, name in enumerate(names)})


def _column(cells: Sequence[str]) -> pa.Array:
    given = [cell for cell in cells if cell != "null"]
    for convert, kind in (
        (float, pa.float64()),
        (date.fromisoformat, pa.date32()),
        (datetime.fromisoformat, pa.timestamp("ms")),
        (_boolean, pa.bool_()),
    ):
        try:
            converted = {cell: convert(cell) for cell in given}
        except ValueError:
            continue
        if given:
            return pa.array([converted.get(cell) for cell in cells], kind)
    return pa.array([None if cell == "null" else cell for cell in cells], pa.string())


def _boolean(cell: str) -> bool:
    if cell not in ("true", "false"):
        raise ValueError(cell)
    return cell == "true"


def line_item_schema(report_type: str, *, daily: bool) -> pa.Schema:
    """The stored columns of a report: texts, doubles, times without zone (ocp-payload §6.9)."""
    names = [name for name in COLUMNS[report_type] if not (daily and name in HOURLY_ONLY_COLUMNS)]
    if report_type in OPTIMIZATION_REPORTS:
        raise ValueError(f"{report_type} is not stored as line items")
    if report_type == "pod_usage":
        names += EFFECTIVE_USAGE
    if report_type == "gpu_usage":
        names += DERIVED_GPU_COLUMNS
    return pa.schema([(name, _kind(name)) for name in names])


def _kind(name: str) -> pa.DataType:
    if name in DATES:
        return pa.timestamp("ms")
    return pa.string() if name in TEXT_COLUMNS else pa.float64()


def line_items(report_type: str, given: Sequence[Mapping[str, object]], *, daily: bool) -> pa.Table:
    """Rows as the stored table of a report; a column that no row has is all null."""
    schema = line_item_schema(report_type, daily=daily)
    unknown = {name for row in given for name in row} - set(schema.names)
    if unknown:
        raise ValueError(f"{report_type} has no column {sorted(unknown)}")
    return pa.table(
        {name: pa.array([row.get(name) for row in given], schema.field(name).type) for name in schema.names}
    )
