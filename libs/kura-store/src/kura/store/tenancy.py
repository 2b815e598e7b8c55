"""Organisations and their schemas (write-api §3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from kura.core.errors import BadRequest
from kura.store.tables.shared import CUSTOMER, TENANT_TABLE

ORG_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,36}")
SCHEMA_NAME: Final = re.compile(r"(org|acct)[A-Za-z0-9._-]{1,57}")
TEMPLATE_SCHEMA: Final = "kura_template"


@dataclass(frozen=True, kw_only=True)
class Customer:
    """One organisation."""

    id: int
    org_id: str
    account_id: str | None
    schema_name: str


def schema_name_of(org_id: str, *, suffix: str = "") -> str:
    """The schema of an organisation: `org` + org id, and the suffix unless the id ends with it."""
    if not ORG_ID.fullmatch(org_id):
        raise BadRequest("The organisation id may have letters, digits, '.', '_' and '-', at most 36.", field="org_id")
    ending = "" if not suffix or org_id.endswith(suffix) else suffix
    return schema_name_checked(f"org{org_id}{ending}")


def schema_name_checked(schema: str) -> str:
    """The same name, if it can be a tenant's; BadRequest otherwise. In SQL text it still needs `quoted`."""
    if not SCHEMA_NAME.fullmatch(schema):
        raise BadRequest(f"{schema!r} is not the schema of a tenant.", field="schema")
    return schema


def quoted(identifier: str) -> str:
    """An identifier as SQL text."""
    if "\0" in identifier:
        raise BadRequest("An identifier cannot hold NUL.")
    return '"' + identifier.replace('"', '""') + '"'


def find_customer(connection: Connection, org_id: str) -> Customer | None:
    """The organisation, if it was ever written."""
    columns = (CUSTOMER.c.id, CUSTOMER.c.org_id, CUSTOMER.c.account_id, CUSTOMER.c.schema_name)
    row = connection.execute(select(*columns).where(CUSTOMER.c.org_id == org_id)).one_or_none()
    return Customer(**row._mapping) if row is not None else None


def get_or_create_customer(
    connection: Connection, *, org_id: str, account_id: str | None = None, suffix: str = ""
) -> Customer:
    """The organisation, made if new; an account id that was not known before is filled in.

    An account id that belongs to another organisation is left out: it is not what identifies a tenant.
    """
    schema_name = schema_name_of(org_id, suffix=suffix)
    account_id = account_id or None
    customer = find_customer(connection, org_id)
    if customer is None:
        for account in (account_id, None):
            row = {"org_id": org_id, "account_id": account, "schema_name": schema_name}
            connection.execute(insert(CUSTOMER).values(row).on_conflict_do_nothing())
            customer = find_customer(connection, org_id)
            if customer is not None:
                return customer
        raise BadRequest(f"The schema {schema_name} belongs to another organisation.", field="org_id")
    if customer.account_id is None and account_id is not None:
        taken = select(CUSTOMER.c.id).where(CUSTOMER.c.account_id == account_id).exists()
        connection.execute(
            update(CUSTOMER)
            .where(CUSTOMER.c.id == customer.id, CUSTOMER.c.account_id.is_(None), ~taken)
            .values(account_id=account_id, date_updated=func.now())
        )
        return find_customer(connection, org_id) or customer
    return customer


def tenant_exists(connection: Connection, schema: str) -> bool:
    """Whether the tenant has its tables."""
    known = select(TENANT_TABLE.c.id).where(TENANT_TABLE.c.schema_name == schema_name_checked(schema))
    return connection.execute(known).first() is not None


def tenant_schemas(connection: Connection) -> list[str]:
    """Every tenant that has tables, in order."""
    return list(connection.scalars(select(TENANT_TABLE.c.schema_name).order_by(TENANT_TABLE.c.schema_name)))


def ensure_tenant(connection: Connection, schema: str) -> bool:
    """Make the tenant's tables unless they are there; whether they were made.

    Two callers at once make one tenant: the second waits for the first. A failure leaves nothing behind.
    """
    if tenant_exists(connection, schema):
        return False
    return bool(connection.scalar(select(func.public.kura_create_tenant(schema_name_checked(schema)))))


def drop_tenant(connection: Connection, schema: str) -> bool:
    """Remove the tenant's tables with all their rows; whether there were any."""
    return bool(connection.scalar(select(func.public.kura_drop_tenant(schema_name_checked(schema)))))
