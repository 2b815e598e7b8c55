"""Migrations: the database they make is the one the tables describe, however often they are interrupted."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, inspect, text
from sqlalchemy.schema import BLANK_SCHEMA

from kura.core.errors import TransientError
from kura.store.database import Database
from kura.store.migrate import head, is_migrated, migrate, revision_of
from kura.store.tables.shared import SHARED, SHARED_VIEWS
from kura.store.tables.tenant import TENANT
from kura.store.tenancy import TEMPLATE_SCHEMA, ensure_tenant
from kura.testing.postgres import SCHEMA, DatabaseUrls, PostgresServer


@pytest.fixture
def empty(postgres_server: PostgresServer) -> Iterator[DatabaseUrls]:
    with postgres_server.empty_database() as urls:
        yield urls


@pytest.mark.parametrize("schema", ["public", TEMPLATE_SCHEMA, SCHEMA])
def test_the_migrated_schema_is_the_described_one(module_database_urls: DatabaseUrls, schema: str) -> None:
    with Database(module_database_urls.owner) as database, database.begin() as connection:
        assert _differences(connection, schema) == []


def test_views_have_the_described_columns(module_database_urls: DatabaseUrls) -> None:
    with Database(module_database_urls.reader) as database, database.begin() as connection:
        inspector = inspect(connection)
        for view in SHARED_VIEWS.sorted_tables:
            found = inspector.get_columns(view.name, schema="public")
            assert {column["name"]: column["type"].compile(connection.dialect) for column in found} == {
                column.name: column.type.compile(connection.dialect) for column in view.columns
            }


def test_running_again_changes_nothing(empty: DatabaseUrls) -> None:
    first = migrate(empty.owner)
    again = migrate(empty.owner)

    assert first.changed == ("public", TEMPLATE_SCHEMA)
    assert again.changed == ()
    assert (again.revision, again.tenant_revision) == (head("shared"), head("tenant"))


def test_a_database_is_ready_only_when_migrated(empty: DatabaseUrls) -> None:
    with Database(empty.reader) as reader:
        assert not is_migrated(reader)
        migrate(empty.owner)
        assert is_migrated(reader)


def test_a_tenant_that_is_behind_is_migrated(database_urls: DatabaseUrls, tenant_schema: str) -> None:
    with Database(database_urls.owner) as owner:
        with owner.begin() as connection:
            connection.execute(text(f"drop schema {tenant_schema} cascade"))
            connection.execute(text(f"create schema {tenant_schema}"))
            connection.execute(text(f"grant usage on schema {tenant_schema} to kura_writer, kura_reader"))
        assert not is_migrated(owner)

        assert migrate(database_urls.owner).changed == (tenant_schema,)

        assert is_migrated(owner)
        with owner.begin() as connection:
            assert _differences(connection, tenant_schema) == []


def test_two_runs_at_once_are_one_after_the_other(empty: DatabaseUrls) -> None:
    with ThreadPoolExecutor(2) as pool:
        changed = [run.changed for run in pool.map(migrate, [empty.owner] * 2)]

    assert sorted(changed) == [(), ("public", TEMPLATE_SCHEMA)]


def test_a_tenant_is_not_cloned_from_a_template_in_the_middle_of_a_migration(database_urls: DatabaseUrls) -> None:
    with Database(database_urls.owner) as owner, Database(database_urls.writer, lock_seconds=0.3) as writer:
        migration = owner.dedicated()
        with migration.cursor() as cursor:
            cursor.execute("select pg_advisory_lock(1802859105)")

        with pytest.raises(TransientError), writer.begin() as connection:
            ensure_tenant(connection, "org9")
        migration.close()
        with writer.begin() as connection:
            assert ensure_tenant(connection, "org9")


@pytest.mark.slow
def test_a_killed_migration_is_finished_by_the_next(postgres_server: PostgresServer) -> None:
    """F28: killed at random moments; every schema is old or new, and the next run completes."""
    program = "import sys; from kura.store.migrate import migrate; print('go', flush=True); migrate(sys.argv[1])"
    seen = set()
    for attempt in range(6):
        with postgres_server.empty_database() as urls:
            process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", program, urls.owner], stdout=subprocess.PIPE
            )
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(random.Random(attempt).uniform(0.02, 0.8) if attempt else 0)
            process.send_signal(signal.SIGKILL)
            process.communicate()

            with Database(urls.superuser) as database:
                with database.begin() as connection:
                    state = (revision_of(connection, "public"), revision_of(connection, TEMPLATE_SCHEMA))
                    tables = text("select count(*) from pg_class where relnamespace = 'public'::regnamespace")
                    assert (state[0] is None) == (connection.scalar(tables) == 0)
                seen.add(state)
                migrate(urls.owner)
                assert is_migrated(database)
                with database.begin() as connection:
                    assert _differences(connection, "public") == []
                    assert _differences(connection, TEMPLATE_SCHEMA) == []
    assert (None, None) in seen


def test_old_rows_can_be_read_while_a_migration_holds_its_locks(database_urls: DatabaseUrls) -> None:
    """F28: other services go on; only the migration's own uncommitted tables are locked."""
    with Database(database_urls.owner) as owner, Database(database_urls.reader) as reader:
        migration = owner.dedicated()
        with migration.cursor() as cursor:
            cursor.execute("select pg_advisory_lock(1802859105)")
            cursor.execute("begin")
            cursor.execute("alter table api_customer add column new_column text")
        with reader.begin(statement_seconds=2) as connection:
            assert connection.scalar(text("select count(*) from upload")) == 0
        migration.close()


def _described(schema: str | None) -> MetaData:
    """What the tables say about a schema; None is the public one, which SQLAlchemy calls the default."""
    source = SHARED if schema is None else TENANT
    copy = MetaData(naming_convention=source.naming_convention)
    for table in source.sorted_tables:
        table.to_metadata(copy, schema=schema, referred_schema_fn=lambda *_: schema or BLANK_SCHEMA)
    return copy


def _differences(connection: Connection, schema: str) -> list[Any]:
    partitions = set(
        connection.scalars(
            text("select relname from pg_class where relispartition and relnamespace = cast(:s as regnamespace)"),
            {"s": schema},
        )
    )

    wanted = None if schema == "public" else schema
    described = _described(wanted)

    def of_this_schema(name: str | None, kind: str, parents: Any) -> bool:
        return (name if kind == "schema" else parents.get("schema_name")) == wanted

    def described_here(_: Any, name: str | None, kind: str, *__: Any) -> bool:
        return not (kind == "table" and (name in partitions or name == "alembic_version"))

    context = MigrationContext.configure(
        connection,
        opts={
            "include_schemas": True,
            "include_name": of_this_schema,
            "include_object": described_here,
            "compare_type": True,
            "compare_server_default": True,
            "target_metadata": described,
        },
    )
    return list(compare_metadata(context, described))
