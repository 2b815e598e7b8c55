"""Which ingested files count: a pure function of the set of files (ocp-payload §6.6, decision D1)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text

from kura.store.database import Database
from kura.store.tables.shared import INGESTED_FILE_DAY, VISIBLE_FILE_DAY
from kura.testing.postgres import DatabaseUrls

PROVIDER = "6f8a9f3c-3c5e-4a57-9d7a-6d3f0f1f0001"


@pytest.fixture
def connection(module_database_urls: DatabaseUrls) -> Iterator[Connection]:
    with Database(module_database_urls.writer, pool_size=1) as database, database.begin() as connection:
        connection.execute(text("insert into api_customer (id, org_id, schema_name) values (9, '9', 'org9')"))
        connection.execute(
            text(f"insert into api_provider (uuid, name, type, customer_id) values ('{PROVIDER}', 'c', 'OCP', 9)")
        )
        connection.execute(
            text(
                "insert into reporting_common_costusagereportmanifest"
                " (id, assembly_id, provider_id, billing_period_start_datetime)"
                f" select n, n, '{PROVIDER}', '2025-01-01T00:00Z' from generate_series(1, 9) n"
            )
        )
        yield connection
        connection.rollback()


def _visible(connection: Connection, table: str) -> list[str]:
    """Names of the visible files of a table with the columns manifest, file, day, hours, order, kind."""
    lines = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    found = set()
    for _ in range(3):
        random.shuffle(rows)
        connection.execute(INGESTED_FILE_DAY.delete())
        for row in rows:
            connection.execute(insert(INGESTED_FILE_DAY).values(_row(row)))
        names = connection.scalars(select(VISIBLE_FILE_DAY.c.report_name)).all()
        found.add(tuple(sorted(names)))
    (only,) = found
    return list(only)


def _row(row: dict[str, str]) -> dict[str, Any]:
    return {
        "provider_uuid": PROVIDER,
        "report_type": "pod_usage",
        "day": f"2025-01-{row['day']}",
        "manifest_id": int(row["manifest"]),
        "report_name": row["file"],
        "hours": int(row["hours"]),
        "accepted_order": int(row["order"]),
        "additive": row["kind"] == "adds",
    }


def test_more_hours_win(connection: Connection) -> None:
    assert _visible(
        connection,
        """
        manifest | file | day | hours | order | kind
        1        | a    | 10  | 24    | 1     | replaces
        2        | b    | 10  | 12    | 2     | replaces
        """,
    ) == ["a"]


def test_of_equal_hours_the_one_accepted_last_wins(connection: Connection) -> None:
    assert _visible(
        connection,
        """
        manifest | file | day | hours | order | kind
        2        | a    | 10  | 24    | 1     | replaces
        1        | b    | 10  | 24    | 2     | replaces
        """,
    ) == ["b"]


def test_all_files_of_the_winner_count_also_those_with_fewer_hours(connection: Connection) -> None:
    assert _visible(
        connection,
        """
        manifest | file | day | hours | order | kind
        1        | a    | 10  | 20    | 1     | replaces
        2        | b    | 10  | 24    | 2     | replaces
        2        | c    | 10  | 3     | 2     | replaces
        """,
    ) == ["b", "c"]


def test_each_day_has_its_own_winner(connection: Connection) -> None:
    assert _visible(
        connection,
        """
        manifest | file | day | hours | order | kind
        1        | a    | 10  | 24    | 1     | replaces
        1        | b    | 11  | 8     | 1     | replaces
        2        | c    | 11  | 24    | 2     | replaces
        """,
    ) == ["a", "c"]


def test_files_that_add_all_count(connection: Connection) -> None:
    assert _visible(
        connection,
        """
        manifest | file | day | hours | order | kind
        1        | a    | 10  | 0     | 1     | adds
        2        | b    | 10  | 0     | 2     | adds
        """,
    ) == ["a", "b"]


def test_a_file_that_replaces_hides_those_that_added_before_it(connection: Connection) -> None:
    assert _visible(
        connection,
        """
        manifest | file | day | hours | order | kind
        1        | a    | 10  | 0     | 1     | adds
        2        | b    | 10  | 24    | 2     | replaces
        3        | c    | 10  | 0     | 3     | adds
        """,
    ) == ["b", "c"]


def test_the_plan_reads_only_the_days_asked_for(connection: Connection) -> None:
    connection.execute(text("set local enable_seqscan = off"))
    plan = connection.scalars(
        text(
            f"explain select * from visible_file_day where provider_uuid = '{PROVIDER}'"
            " and report_type = 'pod_usage' and day between '2025-01-01' and '2025-01-31'"
        )
    ).all()
    condition = next(line for line in plan if "Index Cond" in line)
    assert "provider_uuid" in condition
    assert "day" in condition
