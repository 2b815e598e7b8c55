"""The database roles: one owns the tables, one writes rows, one only reads them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from kura.core.errors import BadRequest
from kura.store.database import Database

OWNER: Final = "kura_owner"
WRITER: Final = "kura_writer"
READER: Final = "kura_reader"

LET_IN: Final = {
    role: f"do $$ begin execute format('alter role {role} login password %L', current_setting('kura.password')); end $$"
    for role in (WRITER, READER)
}


def let_in(owner_url: str, *, role: str, password: str) -> None:
    """Let the services of a role log in with this password, which never becomes part of a statement's text.

    Errors: BadRequest for a role that is not a service's; DatabaseUnavailable.
    """
    if role not in LET_IN:
        raise BadRequest(f"{role} is no role of Kura's services.", field="role")
    with Database(owner_url, pool_size=1, application_name="kura-migrate") as database, database.begin() as connection:
        connection.execute(text("select set_config('kura.password', :password, true)"), {"password": password})
        connection.exec_driver_sql(LET_IN[role].replace("%", "%%"))
