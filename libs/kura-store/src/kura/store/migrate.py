"""Bring a database to the newest revision: the public schema, the template of tenants, then every tenant.

Each schema is migrated in one transaction together with its revision number, so a run that is killed leaves every
schema either old or new and the next run goes on. Two runs at once are one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, column, select, table, text

from kura.core.errors import TransientError
from kura.store.database import Database
from kura.store.errors import RelationMissing
from kura.store.tenancy import TEMPLATE_SCHEMA, quoted, tenant_schemas

Tree = Literal["shared", "tenant"]

HERE: Final = Path(__file__).parent / "migrations"
LOCK: Final = 1802859105  # "kura"; functions that make tenants wait for it
LOCK_SECONDS: Final = 30.0  # a busy table makes the migration fail and be tried again, rather than stop all readers
WAIT_FOR_OTHER_RUN: Final = "15min"


@dataclass(frozen=True, kw_only=True)
class Migrated:
    """What one run did."""

    revision: str
    tenant_revision: str
    schemas: int
    changed: tuple[str, ...]


def migrate(owner_url: str) -> Migrated:
    """Migrate everything; running it again changes nothing.

    Errors: DatabaseUnavailable, or TransientError when a table or another migration keeps it waiting too long.
    """
    database = Database(owner_url, pool_size=2, lock_seconds=LOCK_SECONDS, application_name="kura-migrate")
    with database, _only_run(database):
        changed = []
        if _upgrade(database, tree="shared", schema="public"):
            changed.append("public")
        with database.begin() as connection:
            connection.execute(text(f"create schema if not exists {quoted(TEMPLATE_SCHEMA)}"))
        with database.begin() as connection:
            schemas = [TEMPLATE_SCHEMA, *tenant_schemas(connection)]
        changed += [schema for schema in schemas if _upgrade(database, tree="tenant", schema=schema)]
    return Migrated(
        revision=head("shared"), tenant_revision=head("tenant"), schemas=1 + len(schemas), changed=tuple(changed)
    )


def is_migrated(database: Database) -> bool:
    """Whether the public schema and the template's tenants are at the newest revision; any role may ask."""
    try:
        with database.begin() as connection:
            if revision_of(connection, "public") != head("shared"):
                return False
            return all(revision_of(connection, schema) == head("tenant") for schema in tenant_schemas(connection))
    except RelationMissing:
        return False


def head(tree: Tree) -> str:
    """The newest revision of a tree."""
    return str(ScriptDirectory.from_config(_config(tree)).get_current_head())


def revision_of(connection: Connection, schema: str) -> str | None:
    """The revision a schema is at; None before the first."""
    exists = text("select to_regclass(:name) is not null")
    if not connection.scalar(exists, {"name": f"{quoted(schema)}.alembic_version"}):
        return None
    return connection.scalar(select(column("version_num")).select_from(table("alembic_version", schema=schema)))


def _upgrade(database: Database, *, tree: Tree, schema: str) -> bool:
    """Migrate one schema in one transaction; whether there was anything to do."""
    with database.begin() as connection:
        if revision_of(connection, schema) == head(tree):
            return False
        connection.execute(text("select set_config('search_path', :path, true)"), {"path": quoted(schema)})
        config = _config(tree)
        config.attributes["connection"] = connection
        config.attributes["schema"] = schema
        command.upgrade(config, "head")
    return True


@contextmanager
def _only_run(database: Database) -> Iterator[None]:
    """Hold the lock of migrations on a connection of its own; the server frees it if this process dies."""
    connection = database.dedicated()
    try:
        with connection.cursor() as cursor:
            cursor.execute("select set_config('lock_timeout', %s, false)", (WAIT_FOR_OTHER_RUN,))
            try:
                cursor.execute("select pg_advisory_lock(%s)", (LOCK,))
            except connection.OperationalError as error:
                raise TransientError("Another migration is running.") from error
        yield
    finally:
        connection.close()


def _config(tree: Tree) -> Config:
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option("version_locations", str(HERE / tree / "versions").replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config
