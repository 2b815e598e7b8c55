"""The database pool: limits, deadlines, lost connections, and what errors mean."""

from __future__ import annotations

import threading
import time
from typing import Any

import adbc_driver_manager
import psycopg2
import psycopg2.errorcodes
import psycopg2.extensions
import pyarrow as pa
import pytest
from sqlalchemy import exc, func, insert, select, text

from kura.core.errors import (
    Conflict,
    DatabaseBusy,
    DatabaseUnavailable,
    Deadline,
    InvalidData,
    KuraError,
    TransientError,
)
from kura.store.database import Database, translate
from kura.store.errors import DatabaseError, ReferenceViolated, RelationMissing, UniqueViolated, meaning_of
from kura.store.tables.shared import CUSTOMER, UPLOAD
from kura.testing.postgres import DatabaseUrls


def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.begin() as connection:
        connection.execute(insert(UPLOAD).values(request_id="r", org_id="1", object_key="k"))
        raise ZeroDivisionError

    with database.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(UPLOAD)) == 0


def test_a_snapshot_sees_one_state(database: Database) -> None:
    count = select(func.count()).select_from(UPLOAD)
    with database.begin(snapshot=True) as reading:
        assert reading.scalar(count) == 0
        with database.begin() as writing:
            writing.execute(insert(UPLOAD).values(request_id="r", org_id="1", object_key="k"))
        assert reading.scalar(count) == 0
    with database.begin() as reading:
        assert reading.scalar(count) == 1


def test_a_statement_ends_at_its_deadline(database: Database) -> None:
    with pytest.raises(Deadline), database.begin(statement_seconds=0.1) as connection:
        connection.execute(text("select pg_sleep(5)"))
    with database.begin() as connection:
        assert connection.scalar(text("show statement_timeout")) == "0"


def test_settings_of_the_pool_reach_the_server(database_urls: DatabaseUrls) -> None:
    with (
        Database(
            database_urls.reader,
            statement_seconds=12.5,
            lock_seconds=3,
            idle_seconds=7,
            application_name="kura-test",
            read_only=True,
        ) as database,
        database.begin() as connection,
        database.adbc() as arrow,
    ):
        for name, value in {
            "statement_timeout": "12500ms",
            "lock_timeout": "3s",
            "idle_in_transaction_session_timeout": "7s",
            "application_name": "kura-test",
            "default_transaction_read_only": "on",
        }.items():
            assert connection.scalar(text(f"select current_setting('{name}')")) == value
            with arrow.cursor() as cursor:
                cursor.execute(f"select current_setting('{name}')")
                assert cursor.fetchone() == (value,)


def test_waiting_for_a_lock_has_an_end_that_may_be_retried(database_urls: DatabaseUrls) -> None:
    """F27."""
    with Database(database_urls.writer, lock_seconds=0.2) as database, database.begin() as holder:
        holder.execute(text("lock table upload in share row exclusive mode"))
        with pytest.raises(TransientError), database.begin() as connection:
            connection.execute(insert(UPLOAD).values(request_id="r", org_id="1", object_key="k"))
        with database.begin() as reader:
            assert reader.scalar(select(func.count()).select_from(UPLOAD)) == 0


def test_a_deadlock_may_be_retried(database: Database) -> None:
    """F23."""
    with database.begin() as connection:
        for key in ("a", "b"):
            connection.execute(insert(UPLOAD).values(request_id=key, org_id="1", object_key=key))
    outcomes: list[str] = []
    both_hold_one = threading.Barrier(2)

    def lock(first: str, second: str) -> None:
        locked = select(UPLOAD.c.id).with_for_update()
        try:
            with database.begin() as connection:
                connection.execute(locked.where(UPLOAD.c.object_key == first))
                both_hold_one.wait()
                connection.execute(locked.where(UPLOAD.c.object_key == second))
            outcomes.append("done")
        except TransientError:
            outcomes.append("retry")

    threads = [threading.Thread(target=lock, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["done", "retry"]


def test_waiting_for_a_connection_has_a_deadline(database_urls: DatabaseUrls) -> None:
    """F24, inside one process."""
    with Database(database_urls.writer, pool_size=1, wait_seconds=0.2) as database, database.begin():
        assert database.in_use == 1
        started = time.monotonic()
        with pytest.raises(DatabaseBusy), database.begin():
            pass
        assert 0.1 < time.monotonic() - started < 3


def test_a_server_without_a_free_connection_is_busy(database_urls: DatabaseUrls) -> None:
    """F24, at the server."""
    with Database(database_urls.superuser, pool_size=1) as admin:
        with admin.begin() as connection:
            connection.execute(text(f"alter database {database_urls.name} connection limit 2"))
        with Database(database_urls.writer) as database, database.begin():
            with pytest.raises(DatabaseBusy), database.begin():
                pass
            with pytest.raises(DatabaseBusy), database.adbc():
                pass


def test_a_pool_whose_connections_were_cut_goes_on(database_urls: DatabaseUrls) -> None:
    with Database(database_urls.writer, pool_size=2) as database, Database(database_urls.superuser) as admin:
        database.ping()
        with database.adbc() as arrow, arrow.cursor() as cursor:
            cursor.execute("select 1")
            cursor.fetchall()
        _cut(admin, "kura_writer")

        database.ping()
        with database.adbc() as arrow, arrow.cursor() as cursor:
            cursor.execute("select 1")
            assert cursor.fetchone() == (1,)


def test_a_connection_cut_within_a_transaction_is_unavailable(database_urls: DatabaseUrls) -> None:
    """F20."""
    with Database(database_urls.writer) as database, Database(database_urls.superuser) as admin:
        with pytest.raises(DatabaseUnavailable), database.begin() as connection:
            connection.execute(text("select 1"))
            _cut(admin, "kura_writer")
            connection.execute(text("select 1"))
        with pytest.raises(DatabaseUnavailable), database.adbc() as arrow, arrow.cursor() as cursor:
            cursor.execute("select 1")
            cursor.fetchall()
            _cut(admin, "kura_writer")
            cursor.execute("select 1")
        database.ping()


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Any) -> None:
    with Database(f"postgresql://x@/x?host={tmp_path}") as database:
        with pytest.raises(DatabaseUnavailable):
            database.ping()
        with pytest.raises(DatabaseUnavailable), database.adbc():
            pass
        with pytest.raises(DatabaseUnavailable):
            database.dedicated()


def test_broken_rules_are_named(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(insert(CUSTOMER).values(org_id="1", schema_name="org1"))
    with pytest.raises(UniqueViolated) as caught, database.begin() as connection:
        connection.execute(insert(CUSTOMER).values(org_id="1", schema_name="org2"))
    assert caught.value.constraint == "api_customer_org_id_key"
    assert isinstance(caught.value, Conflict)
    assert "(1)" not in str(caught.value), "the row's values stay out of messages"

    with pytest.raises(ReferenceViolated), database.begin() as connection:
        connection.execute(text("insert into manifest_range values (1, '2025-01-01', '2025-01-01', '2025-01-31')"))
    with pytest.raises(Conflict), database.begin() as connection:
        connection.execute(insert(UPLOAD).values(request_id="r", org_id="1", object_key="k", state="nonsense"))
    with pytest.raises(InvalidData), database.begin() as connection:
        connection.execute(text("select cast('x' as integer)"))
    with pytest.raises(RelationMissing), database.begin() as connection:
        connection.execute(text("select * from no_such_table"))
    with pytest.raises(DatabaseError), database.begin() as connection:
        connection.execute(text("select from where"))


def test_an_arrow_table_is_copied_in_the_transaction(database: Database, tenant_schema: str) -> None:
    rows = pa.table({"project": ["shop", "bank"], "cluster_id": [None, None]})
    with pytest.raises(Conflict), database.adbc(tenant_schema) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("reporting_ocp_projects", rows, mode="append", db_schema_name=tenant_schema)

    values = pa.table({"key": ["app", "env"], "enabled": [True, False], "provider_type": ["OCP", "OCP"]})
    with database.adbc(tenant_schema) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("reporting_enabledtagkeys", values, mode="append", db_schema_name=tenant_schema)
    with (
        pytest.raises(ZeroDivisionError),
        database.adbc(tenant_schema) as connection,
        connection.cursor() as cursor,
    ):
        more = values.set_column(0, "key", pa.array(["x", "y"]))
        cursor.adbc_ingest("reporting_enabledtagkeys", more, mode="append", db_schema_name=tenant_schema)
        raise ZeroDivisionError

    with database.tenant(tenant_schema) as connection:
        assert connection.scalars(text("select key from reporting_enabledtagkeys order by key")).all() == ["app", "env"]


def test_every_error_of_the_drivers_has_a_meaning() -> None:
    for kind in _walk(exc.SQLAlchemyError):
        if issubclass(kind, exc.DBAPIError):
            error: Exception = kind("select 1", {}, psycopg2.OperationalError("gone"))
        elif issubclass(kind, exc.StatementError):
            error = kind("words", "select 1", {}, ValueError("words"))
        else:
            error = kind.__new__(kind)
            Exception.__init__(error, "words")
        assert isinstance(translate(error), KuraError), kind
    for kind in _walk(psycopg2.Error):
        assert isinstance(translate(kind("words")), KuraError), kind
    for kind in _walk(adbc_driver_manager.Error):
        is_fixed = kind is adbc_driver_manager.NotSupportedError
        error = kind("words", **({} if is_fixed else {"status_code": adbc_driver_manager.AdbcStatusCode.INTERNAL}))
        assert isinstance(translate(error), KuraError), kind


def test_every_state_of_postgresql_has_a_meaning() -> None:
    states = [
        state
        for name, state in vars(psycopg2.errorcodes).items()
        if name.isupper() and isinstance(state, str) and len(state) == 5
    ]
    assert len(states) > 200
    for state in states:
        assert issubclass(meaning_of(state), KuraError)
    for state in ("08006", "53300", "53100", "57P01", "57P03", "40001", "40P01", "55P03", "57014"):
        assert meaning_of(state).retry, state
    for state in ("42501", "42601", "23505", "22003", "XX000"):
        assert not meaning_of(state).retry, state


def test_passwords_with_any_character_reach_the_server_unchanged() -> None:
    with Database("postgresql://u:p%40s%3As%20w%2Brd@host:1/db?application_name=a%20%2Bb") as database:
        assert psycopg2.extensions.parse_dsn(database.url) == {
            "user": "u",
            "password": "p@s:s w+rd",
            "host": "host",
            "port": "1",
            "dbname": "db",
            "application_name": "a +b",
        }


def _cut(admin: Database, role: str) -> None:
    with admin.begin() as connection:
        connection.execute(
            text(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = :role"
                " and datname = current_database()"
            ),
            {"role": role},
        )


def _walk(kind: type[Any]) -> list[type[Any]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _walk(child))]
