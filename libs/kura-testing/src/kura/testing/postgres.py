"""Fixtures: a real PostgreSQL, and a fresh migrated database for each test.

One server per machine and user serves all test runs; the last run stops it, and a run that was killed leaves nothing
that the next one cannot take over. The migrations run once per version of their files; tests get copies.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg2
import pytest
from psycopg2 import sql

import kura.store.migrate
from kura.core.errors import DatabaseUnavailable
from kura.store.database import Database
from kura.store.embedded import SUPERUSER, EmbeddedPostgres, EmbeddedSettings
from kura.store.migrate import migrate
from kura.store.roles import OWNER, READER, WRITER
from kura.store.tenancy import ensure_tenant, get_or_create_customer

ORG_ID: Final = "1234567"
ACCOUNT_ID: Final = "10001"
SCHEMA: Final = "org1234567"

ENOUGH_BYTES: Final = 2 * 2**30

_TEMPLATE: Final = "template_kura_"
_TEST: Final = "test_"
_LOCK: Final = 4242


@dataclass(frozen=True, kw_only=True)
class DatabaseUrls:
    """One migrated database as each role sees it."""

    name: str
    owner: str
    writer: str
    reader: str
    superuser: str


class PostgresServer:
    """The server of the test runs, and its templates."""

    def __init__(self, embedded: EmbeddedPostgres) -> None:
        self.embedded = embedded
        self._numbers = itertools.count()

    def urls(self, name: str) -> DatabaseUrls:
        url = self.embedded.url
        return DatabaseUrls(
            name=name,
            owner=url(OWNER, name),
            writer=url(WRITER, name),
            reader=url(READER, name),
            superuser=url(SUPERUSER, name),
        )

    @contextmanager
    def empty_database(self) -> Iterator[DatabaseUrls]:
        """A database without any table."""
        with self._copy("template1") as urls:
            yield urls

    @contextmanager
    def fresh_database(self, *, tenant: bool = False) -> Iterator[DatabaseUrls]:
        """A migrated database, with the tenant `SCHEMA` if asked for."""
        with self._copy(self._template(tenant=tenant)) as urls:
            yield urls

    @contextmanager
    def _copy(self, template: str) -> Iterator[DatabaseUrls]:
        name = f"{_TEST}{os.getpid()}_{next(self._numbers)}"
        self._admin(f"create database {name} template {template} owner {OWNER} strategy file_copy")
        try:
            yield self.urls(name)
        finally:
            self._admin(f"drop database if exists {name} with (force)")

    def _template(self, *, tenant: bool) -> str:
        """The name of a migrated database, made if these migrations have not been run here."""
        name = f"{_TEMPLATE}{_migrations_digest()}{'_tenant' if tenant else ''}"
        with closing(psycopg2.connect(self.embedded.url(SUPERUSER, "postgres"))) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("select 1 from pg_database where datname = %s", (name,))
            if cursor.fetchone():
                return name
            source = self._template(tenant=False) if tenant else "template1"
            cursor.execute("select pg_advisory_lock(%s)", (_LOCK,))
            cursor.execute("select 1 from pg_database where datname = %s", (name,))
            if cursor.fetchone():
                return name
            cursor.execute(f"drop database if exists {name}_new with (force)")
            cursor.execute(f"create database {name}_new template {source} owner {OWNER}")
            urls = self.urls(f"{name}_new")
            if tenant:
                _add_tenant(urls)
            else:
                migrate(urls.owner)
            cursor.execute(f"alter database {name}_new rename to {name}")
        return name

    def drop_leftovers(self) -> None:
        """Databases of runs that were killed, and templates of old migrations that nobody used for a day."""
        with closing(psycopg2.connect(self.embedded.url(SUPERUSER, "postgres"))) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(
                "select datname,"
                " (pg_stat_file('base/' || oid || '/PG_VERSION')).modification < now() - interval '1 day'"
                " from pg_database where datname ~ '^(test_|template_kura_)'"
            )
            for name, is_old in cursor.fetchall():
                is_template = name.startswith(_TEMPLATE)
                killed = not is_template and not _is_alive(int(name.split("_")[1]))
                if killed or (is_template and is_old and _migrations_digest() not in name):
                    cursor.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))

    def _admin(self, statement: str) -> None:
        with closing(psycopg2.connect(self.embedded.url(SUPERUSER, "postgres"))) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _add_tenant(urls: DatabaseUrls) -> None:
    with Database(urls.writer, pool_size=1) as database, database.begin() as connection:
        get_or_create_customer(connection, org_id=ORG_ID, account_id=ACCOUNT_ID)
        ensure_tenant(connection, SCHEMA)


def _migrations_digest() -> str:
    digest = hashlib.sha256()
    files = [Path(kura.store.migrate.__file__), *sorted(kura.store.migrate.HERE.rglob("*.*"))]
    for path in files:
        if path.suffix in (".py", ".sql"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _fast_directory() -> Path:
    """Memory if there is enough of it: copying a database makes a thousand files."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ENOUGH_BYTES:
        return memory
    return Path(tempfile.gettempdir())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The PostgreSQL of the test runs."""
    directory = _fast_directory() / f"kura-test-postgres-{os.geteuid()}"
    settings = EmbeddedSettings(durable=False, max_connections=300)
    embedded = EmbeddedPostgres(directory, settings=settings)
    try:
        embedded.start()
    except DatabaseUnavailable:  # not durable: a power cut may have spoilt it
        shutil.rmtree(directory, ignore_errors=True)
        embedded.start()
    server = PostgresServer(embedded)
    server.drop_leftovers()
    yield server
    embedded.stop()


@pytest.fixture
def embedded_directory() -> Iterator[Path]:
    """An empty directory for an embedded PostgreSQL of the test's own; a server left in it is killed.

    Not `tmp_path`: every run of pytest closes those to other accounts, and root's server runs under another account.
    """
    directory = Path(tempfile.mkdtemp(prefix="kura-embedded-", dir=_fast_directory()))
    yield directory / "postgres"
    leftover = EmbeddedPostgres(directory / "postgres").postmaster_pid
    if leftover is not None:
        os.kill(leftover, signal.SIGQUIT)
        while _is_alive(leftover):
            time.sleep(0.05)
    shutil.rmtree(directory)


@pytest.fixture
def database_urls(postgres_server: PostgresServer, request: pytest.FixtureRequest) -> Iterator[DatabaseUrls]:
    """A fresh migrated database. A test that uses `tenant_schema` finds that tenant in it."""
    with postgres_server.fresh_database(tenant="tenant_schema" in request.fixturenames) as urls:
        yield urls


@pytest.fixture(scope="module")
def module_database_urls(postgres_server: PostgresServer) -> Iterator[DatabaseUrls]:
    """A migrated database with the tenant `SCHEMA`, shared by the tests of one module."""
    with postgres_server.fresh_database(tenant=True) as urls:
        yield urls


@pytest.fixture
def database(database_urls: DatabaseUrls) -> Iterator[Database]:
    """The fresh database as the writing services see it."""
    with Database(database_urls.writer) as opened:
        yield opened


@pytest.fixture
def reader_database(database_urls: DatabaseUrls) -> Iterator[Database]:
    """The fresh database as the read gateway sees it."""
    with Database(database_urls.reader) as opened:
        yield opened


@pytest.fixture
def tenant_schema(database_urls: DatabaseUrls) -> str:
    """The schema of organisation `ORG_ID`, with all its tables, in the fresh database."""
    assert database_urls
    return SCHEMA
