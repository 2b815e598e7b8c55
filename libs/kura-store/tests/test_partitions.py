"""Monthly partitions: made ahead, filled from the default partition, dropped by retention."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from sqlalchemy import Connection, text

from kura.core.days import Month
from kura.core.errors import KuraError
from kura.store.database import Database
from kura.store.partitions import TABLES, drop_partitions, ensure_partitions, months_present

DAILY = "reporting_ocpusagelineitem_daily_summary"
COSTS = "reporting_ocp_cost_summary_p"
JANUARY = Month(2025, 1)
FEBRUARY = Month(2025, 2)


def _add(connection: Connection, day: str, table: str = COSTS) -> None:
    connection.execute(
        text(f"insert into {table} (usage_start, usage_end, cluster_id) values (:day, :day, 'c')"), {"day": day}
    )


def _places(connection: Connection, table: str = COSTS) -> dict[str, int]:
    rows = connection.execute(text(f"select tableoid::regclass::text, count(*) from {table} group by 1"))
    return {row[0]: row[1] for row in rows}


def test_every_table_gets_the_months(database: Database, tenant_schema: str) -> None:
    with database.begin() as connection:
        assert ensure_partitions(connection, tenant_schema, months=[JANUARY, date(2025, 2, 14)]) == 2 * len(TABLES)
        assert ensure_partitions(connection, tenant_schema, months=[FEBRUARY, JANUARY]) == 0
        assert months_present(connection, tenant_schema, DAILY) == [JANUARY, FEBRUARY]


def test_a_row_lies_in_its_month(database: Database, tenant_schema: str) -> None:
    with database.tenant(tenant_schema) as connection:
        ensure_partitions(connection, tenant_schema, [COSTS], months=[JANUARY])
        for day in ("2025-01-01", "2025-01-31", "2025-02-01", "2024-12-31"):
            _add(connection, day)

        assert _places(connection) == {f"{COSTS}_2025_01": 2, f"{COSTS}_default": 2}


def test_rows_in_the_default_partition_move(database: Database, tenant_schema: str) -> None:
    with database.tenant(tenant_schema) as connection:
        for day in ("2025-01-01", "2025-01-31", "2025-02-01"):
            _add(connection, day)
    with database.tenant(tenant_schema) as connection:
        ensure_partitions(connection, tenant_schema, [COSTS], months=[JANUARY])

        assert _places(connection) == {f"{COSTS}_2025_01": 2, f"{COSTS}_default": 1}


def test_a_new_partition_has_the_keys_and_indexes_of_its_table(database: Database, tenant_schema: str) -> None:
    with database.tenant(tenant_schema) as connection:
        ensure_partitions(connection, tenant_schema, [DAILY], months=[JANUARY])
        counts = text(
            "select (select count(*) from pg_index where indrelid = to_regclass(:name) and indisvalid),"
            " (select count(*) from pg_constraint where conrelid = to_regclass(:name) and contype in ('p', 'f'))"
        )
        assert (
            connection.execute(counts, {"name": f"{DAILY}_2025_01"}).one()
            == connection.execute(counts, {"name": f"{DAILY}_default"}).one()
            == connection.execute(counts, {"name": DAILY}).one()
        )


def test_a_report_of_other_months_is_not_disturbed(database: Database, tenant_schema: str) -> None:
    """A running report neither waits for a new partition nor holds it up."""
    with database.begin() as connection:
        ensure_partitions(connection, tenant_schema, [COSTS], months=[JANUARY])
    with database.tenant(tenant_schema) as report:
        select = text(f"select count(*) from {COSTS} where usage_start between '2025-01-01' and '2025-01-31'")
        assert report.scalar(select) == 0
        with database.begin() as connection:
            connection.execute(text("set local lock_timeout = '500ms'"))
            assert ensure_partitions(connection, tenant_schema, [COSTS], months=[FEBRUARY]) == 1
        assert report.scalar(select) == 0


def test_made_by_several_at_once_there_is_one_of_each(database: Database, tenant_schema: str) -> None:
    start = threading.Barrier(4)

    def make(_: int) -> int:
        with database.begin() as connection:
            connection.execute(text("select 1"))
            start.wait()
            return ensure_partitions(connection, tenant_schema, [COSTS], months=[JANUARY])

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(make, range(4))) == [0, 0, 0, 1]


def test_rows_written_while_a_partition_is_made_are_not_lost(database: Database, tenant_schema: str) -> None:
    """A writer that put rows into the default partition and has not committed is waited for."""
    may_commit = threading.Event()
    has_written = threading.Event()

    def write() -> None:
        with database.tenant(tenant_schema) as connection:
            _add(connection, "2025-01-05")
            has_written.set()
            may_commit.wait()

    def make() -> None:
        with database.begin() as connection:
            ensure_partitions(connection, tenant_schema, [COSTS], months=[JANUARY])

    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(write)
        has_written.wait()
        making = pool.submit(make)
        may_commit.set()
        writing.result()
        making.result()
    with database.tenant(tenant_schema) as connection:
        assert _places(connection) == {f"{COSTS}_2025_01": 1}


def test_retention_drops_up_to_a_month(database: Database, tenant_schema: str) -> None:
    with database.tenant(tenant_schema) as connection:
        ensure_partitions(connection, tenant_schema, [COSTS, DAILY], months=[Month(2024, 12), JANUARY, FEBRUARY])
        _add(connection, "2025-01-05")
        _add(connection, "2025-02-05")

        dropped = drop_partitions(connection, tenant_schema, up_to=JANUARY)

        assert dropped == sorted(f"{table}_{month}" for table in (COSTS, DAILY) for month in ("2024_12", "2025_01"))
        assert _places(connection) == {f"{COSTS}_2025_02": 1}
        assert months_present(connection, tenant_schema, COSTS) == [FEBRUARY]


def test_a_partition_can_be_detached_and_attached(database: Database, tenant_schema: str) -> None:
    with database.tenant(tenant_schema) as connection:
        ensure_partitions(connection, tenant_schema, [COSTS], months=[JANUARY])
        _add(connection, "2025-01-05")
        switch = text("update partitioned_tables set active = :active where table_name = :name")

        connection.execute(switch, {"active": False, "name": f"{COSTS}_2025_01"})
        assert _places(connection) == {}
        connection.execute(switch, {"active": True, "name": f"{COSTS}_2025_01"})
        assert _places(connection) == {f"{COSTS}_2025_01": 1}


@pytest.mark.parametrize(
    ("table", "parent", "parameters", "schema"),
    [
        ("cost_model_2025_01", "cost_model", '{"from": "2025-01-01", "to": "2025-02-01"}', None),
        (f"{COSTS}_2025_01", COSTS, '{"from": "2025-01-02", "to": "2025-02-01"}', None),
        (f"{COSTS}_2025_01", COSTS, '{"from": "2025-01-01", "to": "2025-03-01"}', None),
        (f"{COSTS}_2025_02", COSTS, '{"from": "2025-01-01", "to": "2025-02-01"}', None),
        ("cost_model", COSTS, '{"from": "2025-01-01", "to": "2025-02-01"}', None),
        (f"{COSTS}_2025_01", COSTS, "{}", None),
        (f"{COSTS}_x", COSTS, '{"default": true}', None),
        (f"{COSTS}_2025_01", COSTS, '{"from": "2025-01-01", "to": "2025-02-01"}', "public"),
        ('x"; drop table cost_model; --', COSTS, '{"from": "2025-01-01", "to": "2025-02-01"}', None),
    ],
)
def test_only_months_of_partitioned_tables_are_made(
    database: Database, tenant_schema: str, table: str, parent: str, parameters: str, schema: str | None
) -> None:
    row = {"schema": schema or tenant_schema, "table": table, "parent": parent, "parameters": parameters}
    with pytest.raises(KuraError), database.tenant(tenant_schema) as connection:
        connection.execute(
            text(
                "insert into partitioned_tables"
                " (schema_name, table_name, partition_of_table_name, partition_parameters)"
                " values (:schema, :table, :parent, cast(:parameters as jsonb))"
            ),
            row,
        )


def test_the_default_partition_stays(database: Database, tenant_schema: str) -> None:
    with pytest.raises(KuraError), database.tenant(tenant_schema) as connection:
        connection.execute(text("delete from partitioned_tables"))
