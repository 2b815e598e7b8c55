"""One writing transaction of one tenant, over an Arrow connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kura.core.errors import LeaseLost
from kura.store.database import Database

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

# Locked like `kura.store.leases.assert_held`: until the transaction ends the lease can be renewed but not change hands.
HELD = """
SELECT 1 AS held FROM public.lease
WHERE name = $1 AND token = $2 AND owner IS NOT NULL AND expires_at > clock_timestamp()
FOR KEY SHARE
"""


class Transaction:
    """Statements with `$1` parameters, and binary COPY from Arrow. Committed when its block ends well."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    @classmethod
    @contextmanager
    def of_tenant(cls, database: Database, schema: str) -> Iterator[Transaction]:
        with database.adbc(schema) as connection, connection.cursor() as cursor:
            yield cls(cursor)

    def run(self, text: str, *params: Any) -> None:
        self._cursor.execute(text, params or None)

    def rows(self, text: str, *params: Any) -> list[tuple[Any, ...]]:
        self._cursor.execute(text, params or None)
        return list(self._cursor.fetchall())

    def table(self, text: str, *params: Any) -> pa.Table:
        """The answer as an Arrow table."""
        self._cursor.execute(text, params or None)
        return self._cursor.fetch_arrow_table()

    def run_with_columns(self, text: str, *params: Any, columns: pa.Table) -> None:
        """Run a statement whose last parameters are arrays, one per column of `columns`."""
        values: list[Any] = [pa.array([param]) for param in params]
        for column in columns.combine_chunks().columns:
            whole = column.chunk(0) if column.num_chunks else pa.array([], column.type)
            values.append(pa.ListArray.from_arrays(pa.array([0, len(whole)], pa.int32()), whole))
        names = [f"p{number}" for number in range(len(values))]
        self._cursor.execute(text, pa.RecordBatch.from_arrays(values, names=names))

    def copy(self, table: str, rows: pa.RecordBatchReader) -> int:
        """Append rows to a table by binary COPY; their columns carry the names of the table's. How many."""
        return self._cursor.adbc_ingest(table, rows, mode="append")

    @contextmanager
    def aside(self, table: str, rows: pa.Table) -> Iterator[None]:
        """A temporary table with these rows, for the length of the block."""
        self._cursor.adbc_ingest(table, rows, mode="create", temporary=True)
        yield
        self.run(f"DROP TABLE pg_temp.{table}")

    def copy_of_source(self, table: str, rows: pa.Table, *, source_uuid: str) -> None:
        """Append rows of one source whose types PostgreSQL has to convert, for example text[] to varchar[]."""
        names = ", ".join(rows.column_names)
        with self.aside("copied_rows", rows):
            self.run(
                f"INSERT INTO {table} (source_uuid, {names})"  # noqa: S608  names of our own tables
                f" SELECT CAST($1 AS uuid), {names} FROM pg_temp.copied_rows",
                source_uuid,
            )

    def assert_held(self, *, lease_name: str, token: int) -> None:
        """Return if the lease is still held under this token, else raise LeaseLost."""
        if not self.rows(HELD, lease_name, token):
            raise LeaseLost(f"The lease {lease_name} is not held under token {token} any more; nothing was written.")
