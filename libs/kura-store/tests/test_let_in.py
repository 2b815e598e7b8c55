import pytest
from sqlalchemy import text

from kura.core.errors import BadRequest
from kura.store.database import Database
from kura.store.roles import let_in
from kura.testing.postgres import DatabaseUrls


@pytest.mark.parametrize("role", ["kura_writer", "kura_reader"])
def test_a_role_gets_its_password_whatever_it_holds(role: str, database_urls: DatabaseUrls) -> None:
    let_in(database_urls.superuser, role=role, password="it's 100% $$secret$$ \\")

    with Database(database_urls.superuser, pool_size=1) as database, database.begin() as connection:
        stored = connection.scalar(text("select rolpassword from pg_authid where rolname = :role"), {"role": role})
    assert stored.startswith("SCRAM-SHA-256$")


def test_no_other_role_is_touched(database_urls: DatabaseUrls) -> None:
    with pytest.raises(BadRequest):
        let_in(database_urls.owner, role="postgres", password="x")
