"""Monthly partitions (tasks-and-queues §7): a row of `partitioned_tables` stands for one, a trigger does the DDL."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert

from kura.core.days import Month
from kura.store.database import in_schema
from kura.store.tables.tenant import PARTITIONED, PARTITIONED_TABLES, USAGE_START

TABLES = tuple(table.name for table in PARTITIONED)
"""Every table that is cut by month."""


def partition_name(table: str, month: Month) -> str:
    return f"{table}_{month.year:04d}_{month.month:02d}"


def ensure_partitions(
    connection: Connection, schema: str, tables: Iterable[str] = TABLES, *, months: Iterable[Month | date]
) -> int:
    """Make the partitions that are missing; rows of the month in the default partition move. How many were made.

    Best called in a transaction of its own, before the one that writes: it locks the table for a moment.
    """
    in_schema(connection, schema)
    wanted = {
        partition_name(table, month): (table, month)
        for table in tables
        for month in sorted({_month(month) for month in months})
    }
    present = set(
        connection.scalars(
            select(PARTITIONED_TABLES.c.table_name).where(
                PARTITIONED_TABLES.c.schema_name == schema, PARTITIONED_TABLES.c.table_name.in_(wanted)
            )
        )
    )
    made = 0
    for name, (table, month) in wanted.items():
        if name in present:
            continue
        bounds = {"default": False, "from": month.first.isoformat(), "to": month.plus(1).first.isoformat()}
        row = {
            "schema_name": schema,
            "table_name": name,
            "partition_of_table_name": table,
            "partition_col": USAGE_START,
            "partition_parameters": bounds,
        }
        made += connection.execute(insert(PARTITIONED_TABLES).values(row).on_conflict_do_nothing()).rowcount
    return made


def drop_partitions(
    connection: Connection, schema: str, tables: Iterable[str] = TABLES, *, up_to: Month | date
) -> list[str]:
    """Drop the partitions of months up to and including `up_to`; their names."""
    in_schema(connection, schema)
    start = PARTITIONED_TABLES.c.partition_parameters["from"].astext
    expired = (
        delete(PARTITIONED_TABLES)
        .where(
            PARTITIONED_TABLES.c.schema_name == schema,
            PARTITIONED_TABLES.c.partition_of_table_name.in_(list(tables)),
            start <= _month(up_to).first.isoformat(),
        )
        .returning(PARTITIONED_TABLES.c.table_name)
    )
    return sorted(connection.scalars(expired))


def months_present(connection: Connection, schema: str, table: str) -> list[Month]:
    """The months a table has partitions for."""
    in_schema(connection, schema)
    start = PARTITIONED_TABLES.c.partition_parameters["from"].astext
    found = connection.scalars(
        select(start).where(
            PARTITIONED_TABLES.c.schema_name == schema,
            PARTITIONED_TABLES.c.partition_of_table_name == table,
            start.is_not(None),
        )
    )
    return sorted(Month.of(date.fromisoformat(text)) for text in found)


def _month(value: Month | date) -> Month:
    return value if isinstance(value, Month) else Month.of(value)
