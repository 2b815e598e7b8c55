"""What each role may do (S50): the reader reads, the writer writes rows, neither changes schemas."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from kura.core.errors import DatabaseUnavailable, KuraError
from kura.store.database import Database
from kura.store.errors import DatabaseRefused
from kura.store.tables.shared import SHARED, SHARED_VIEWS
from kura.store.tables.tenant import TENANT
from kura.testing.postgres import SCHEMA, DatabaseUrls

WRITES = (
    "insert into public.upload (request_id, org_id, object_key) values ('r', '1', 'k')",
    "update public.api_customer set account_id = '1'",
    "delete from public.task",
    f"insert into {SCHEMA}.reporting_enabledtagkeys (key, provider_type) values ('a', 'OCP')",
    f"insert into {SCHEMA}.partitioned_tables (schema_name, table_name, partition_of_table_name, partition_parameters)"
    " values ('org1234567', 'x', 'x', '{}')",
    "select public.kura_create_tenant('org9')",
    "select public.kura_drop_tenant('org1234567')",
)
SCHEMA_CHANGES = (
    "create table public.mine (a int)",
    f"create table {SCHEMA}.mine (a int)",
    "create schema mine",
    "alter table public.upload add column a int",
    f"alter table {SCHEMA}.cost_model add column a int",
    "drop table public.upload",
    f"drop schema {SCHEMA} cascade",
    "truncate public.upload",
    f"truncate {SCHEMA}.cost_model",
    "create function public.mine() returns int language sql return 1",
    "create index on public.upload (state)",
    "create role mine",
    "grant kura_owner to kura_writer",
    "set role kura_owner",
    "set session authorization kura_owner",
    "alter table public.upload disable trigger all",
    "create event trigger mine on ddl_command_start execute function public.kura_partition_changed()",
    "copy public.upload to program 'true'",
    "select pg_read_file('/etc/passwd')",
    "create trigger mine after insert on public.upload execute function public.kura_partition_changed()",
    "insert into public.alembic_version values ('x')",
    f"update {SCHEMA}.alembic_version set version_num = 'x'",
    "select * from kura_template.cost_model",
)


@pytest.mark.parametrize("statement", [*WRITES, *SCHEMA_CHANGES])
@pytest.mark.parametrize("read_only", [True, False], ids=["read-only pool", "plain pool"])
def test_the_reader_changes_nothing(module_database_urls: DatabaseUrls, statement: str, read_only: bool) -> None:
    with (
        Database(module_database_urls.reader, read_only=read_only) as reader,
        pytest.raises(KuraError) as caught,
        reader.begin() as connection,
    ):
        connection.execute(text(statement))
    # A read-only pool refuses the transaction before the privilege is looked at.
    assert isinstance(caught.value, (DatabaseRefused, DatabaseUnavailable) if read_only else DatabaseRefused)


@pytest.mark.parametrize("statement", SCHEMA_CHANGES)
def test_the_writer_changes_no_schema(module_database_urls: DatabaseUrls, statement: str) -> None:
    with (
        Database(module_database_urls.writer) as writer,
        pytest.raises(KuraError) as caught,
        writer.begin() as connection,
    ):
        connection.execute(text(statement))
    assert isinstance(caught.value, DatabaseRefused), caught.value


def test_the_writer_writes_rows(module_database_urls: DatabaseUrls) -> None:
    with Database(module_database_urls.writer) as writer, writer.begin() as connection:
        for statement in WRITES[:4]:
            connection.execute(text(statement))
        connection.rollback()


def test_both_read_every_table(module_database_urls: DatabaseUrls) -> None:
    names = [f"public.{table.name}" for table in (*SHARED.sorted_tables, *SHARED_VIEWS.sorted_tables)]
    names += [f"{SCHEMA}.{table.name}" for table in TENANT.sorted_tables]
    names += ["public.alembic_version", f"{SCHEMA}.alembic_version"]
    for url in (module_database_urls.reader, module_database_urls.writer):
        with Database(url) as database, database.begin() as connection:
            for name in names:
                connection.execute(text(f"select * from {name} limit 1"))


def test_the_writer_may_change_rows_of_every_table(module_database_urls: DatabaseUrls) -> None:
    names = [f"public.{table.name}" for table in SHARED.sorted_tables]
    names += [f"{SCHEMA}.{table.name}" for table in TENANT.sorted_tables]
    privileges = text("select has_table_privilege(:name, 'insert, update, delete')")
    with Database(module_database_urls.writer) as writer, writer.begin() as connection:
        assert [name for name in names if not connection.scalar(privileges, {"name": name})] == []


def test_functions_that_run_as_owner_have_a_fixed_search_path(module_database_urls: DatabaseUrls) -> None:
    query = text(
        "select proname from pg_proc where prosecdef and pronamespace = 'public'::regnamespace"
        " and not coalesce(proconfig @> array['search_path=pg_catalog, pg_temp'], false)"
    )
    with Database(module_database_urls.owner) as owner, owner.begin() as connection:
        assert connection.scalars(query).all() == []
