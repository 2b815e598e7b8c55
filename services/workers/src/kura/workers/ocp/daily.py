"""Hourly rows of one day → daily rows. Source: ocp-payload §6.8, example 8.6.

DuckDB groups a day within a fixed amount of memory and spills beyond it. One thread per engine, so that equal input
gives equal bytes; several days run beside each other on several engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import cache
from pathlib import Path

import duckdb

from kura.workers.ocp.report_types import BY_NAME, Kind, ReportType

ROW_GROUP_ROWS = 65_536


def open_engine(directory: Path, *, memory_bytes: int) -> duckdb.DuckDBPyConnection:
    """A private engine that can reach nothing but this directory."""
    engine = duckdb.connect(
        config={
            "threads": 1,
            "memory_limit": f"{memory_bytes // 2**20}MiB",
            "temp_directory": str(directory / "spill"),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    engine.execute("SET allowed_directories = $directories", {"directories": [str(directory)]})
    engine.execute("SET enable_external_access = false")
    engine.execute("SET lock_configuration = true")
    return engine


def write_daily(
    engine: duckdb.DuckDBPyConnection, hourly: Sequence[Path], report_type: ReportType, day: date, target: Path
) -> int:
    """Write the daily rows of one day; return how many.

    In      hourly Parquet files of one type and day
    Out     the type's group keys, maxima and sums; `interval_start` is the day; other columns are gone
    Rule    one row per distinct combination of keys, null being a value like any other
    Errors  none that the data could cause
    Source  ocp-payload §6.8, §6.9
    """
    rows = engine.execute(
        _statement(report_type.name), {"hourly": [str(p) for p in hourly], "day": day, "target": str(target)}
    ).fetchone()
    return int(rows[0]) if rows else 0


@cache
def _statement(type_name: str) -> str:
    """The one statement of a type. Only our own column names become SQL text."""
    report_type = BY_NAME[type_name]
    keys = ", ".join(report_type.daily_keys)
    maxima = [
        f"CAST(max({name}) AS TIMESTAMP_MS)" if report_type.kind(name) is Kind.TIME else f"max({name})"
        for name in report_type.daily_max
    ]
    measures = [f"{largest} AS {name}" for largest, name in zip(maxima, report_type.daily_max, strict=True)]
    measures += [f"sum({name}) AS {name}" for name in report_type.daily_sum]
    columns = ",\n        ".join(["CAST($day AS TIMESTAMP_MS) AS interval_start", *report_type.daily_keys, *measures])
    return f"""
    COPY (
      SELECT
        {columns}
      FROM read_parquet($hourly)
      GROUP BY {keys}
      ORDER BY {keys}
    ) TO $target (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {ROW_GROUP_ROWS})
    """  # noqa: S608 - names of our own columns


def daily_columns(report_type: ReportType) -> tuple[str, ...]:
    """Columns of the daily data, in the order they are stored."""
    return ("interval_start", *report_type.daily_keys, *report_type.daily_max, *report_type.daily_sum)
