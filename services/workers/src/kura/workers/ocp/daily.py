"""Hourly rows of one day → daily rows. Source: ocp-payload §6.8, example 8.6.

DuckDB groups a day within a fixed amount of memory and spills beyond it. One thread per engine, so that equal input
gives equal bytes; several days run beside each other on several engines.
"""

from __future__ import annotations

import errno
from datetime import date
from functools import cache
from pathlib import Path

import duckdb

from kura.core.errors import TransientError
from kura.workers.ocp.report_types import BY_NAME, Kind, ReportType

ROW_GROUP_ROWS = 32_768
PARTS = (1, 4, 16, 64, 256)
"""A day whose groups do not fit into the memory of the engine is grouped in so many parts, by hash of the keys."""


class ConvertMemoryTooSmall(TransientError):
    """Daily rows do not fit into the memory that their aggregation may use, with what it may spill.

    Worth another attempt: workers may have been given more by then, or their disks have room again.
    """

    code = "convert_memory_too_small"


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
    engine.execute("SET enable_progress_bar = false")
    engine.execute("SET lock_configuration = true")
    return engine


def write_daily(
    engine: duckdb.DuckDBPyConnection, hourly: Path, report_type: ReportType, day: date, directory: Path
) -> tuple[Path, ...]:
    """Write the daily rows of one day.

    In      the hourly Parquet file of one type and day; a directory for the result
    Out     the type's group keys, maxima and sums; `interval_start` is the day; other columns are gone. One file, or
            several with distinct keys when the day has too many keys for the engine's memory
    Rule    one row per distinct combination of keys, null being a value like any other
    Errors  ConvertMemoryTooSmall when the most parts do not help either; OSError where the disk is full
    Source  ocp-payload §6.8, §6.9
    """
    for parts in PARTS:
        targets = tuple(directory / f"{day}.daily.{part}.parquet" for part in range(parts))
        try:
            for part, target in enumerate(targets):
                values = {"hourly": str(hourly), "day": day, "parts": parts, "part": part, "target": str(target)}
                engine.execute(_statement(report_type.name), values)
        except duckdb.OutOfMemoryException as error:
            if parts == PARTS[-1]:
                raise _too_small(engine, report_type, day) from error
        except duckdb.IOException as error:
            raise OSError(errno.EIO, "daily rows cannot be written") from error
        else:
            return targets
    raise AssertionError("unreachable")


def _too_small(engine: duckdb.DuckDBPyConnection, report_type: ReportType, day: date) -> ConvertMemoryTooSmall:
    [(limit,)] = engine.execute("SELECT current_setting('memory_limit')").fetchall()
    return ConvertMemoryTooSmall(
        f"the daily rows of {report_type.name} on {day} do not fit into {limit} of memory; "
        "set KURA_CONVERT_MEMORY_MIB of the workers to more"
    )


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
      WHERE $parts = 1 OR hash({keys}) % $parts = $part
      GROUP BY {keys}
      ORDER BY {keys}
    ) TO $target (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {ROW_GROUP_ROWS})
    """  # noqa: S608 - names of our own columns
