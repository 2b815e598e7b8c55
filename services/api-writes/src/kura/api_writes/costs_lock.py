"""The transaction in which a tenant's cost models or price lists change: one at a time, none while they are frozen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, func, select

from kura.api_writes.fields import Problems
from kura.core.currencies import CURRENCIES, SYSTEM_DEFAULT
from kura.core.days import Month
from kura.core.errors import NotFound, ValidationErrors
from kura.core.identity import Identity
from kura.queue import enqueue
from kura.queue.outbox import tenant_flags
from kura.queue.queues import routed
from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.database import Database, in_schema
from kura.store.sources import SourceType, source_type_of
from kura.store.tables.shared import CUSTOMER, PROVIDER, SOURCES
from kura.store.tables.tenant import ENABLED_CURRENCY, TENANT_SETTINGS
from kura.store.tenancy import ensure_tenant, find_customer, get_or_create_customer, tenant_exists

AUTHOR: Final = "kura.author"
"""The setting of a transaction that the audit of cost models keeps as who changed them."""


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """The organisation that writes, and what its requests are checked against."""

    org_id: str
    schema: str
    account_currency: str
    currencies: frozenset[str]

    def read_currency(self, given: Any, problems: Problems) -> str:
        """An enabled currency; the account's where none is given, or none there is."""
        if given is None:
            return self.account_currency
        if not isinstance(given, str) or given not in self.currencies:
            enabled = ", ".join(sorted(self.currencies))
            problems.add("currency", f"{str(given)[:10]!r} is not an enabled currency; enabled: {enabled}.")
        return given if isinstance(given, str) and given in CURRENCIES else self.account_currency


@contextmanager
def cost_writes(
    database: Database,
    identity: Identity,
    *,
    schema_suffix: str,
    frozen_field: str | None,
    creates_tenant: bool = False,
    lock: bool = True,
) -> Iterator[tuple[Connection, Tenant]]:
    """A transaction of the caller's tenant that holds its one lock for cost models and price lists.

    Without `lock` it is only for reading. With `frozen_field` it is refused while the tenant's write freeze is on,
    under that field. NotFound for an organisation without tables, unless `creates_tenant`.
    """
    with database.begin() as connection:
        if creates_tenant:
            customer = get_or_create_customer(
                connection, org_id=identity.org_id, account_id=identity.account_number, suffix=schema_suffix
            )
            ensure_tenant(connection, customer.schema_name)
        else:
            known = find_customer(connection, identity.org_id)
            if known is None or not tenant_exists(connection, known.schema_name):
                raise NotFound
            customer = known
        in_tenant = in_schema(connection, customer.schema_name)
        in_tenant.execute(select(func.set_config(AUTHOR, identity.username, True)))
        chosen = select(TENANT_SETTINGS)
        settings = in_tenant.execute(chosen.with_for_update() if lock else chosen).one_or_none()
        if frozen_field is not None and settings is not None and settings.cost_model_write_freeze:
            raise ValidationErrors([(frozen_field, "Cost models and price lists cannot be changed at present.")])
        account_currency = settings.currency if settings is not None else SYSTEM_DEFAULT
        enabled = frozenset(in_tenant.scalars(select(ENABLED_CURRENCY.c.currency_code)))
        yield (
            in_tenant,
            Tenant(
                org_id=identity.org_id,
                schema=customer.schema_name,
                account_currency=account_currency,
                currencies=enabled or frozenset({account_currency, SYSTEM_DEFAULT}),
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A source's provider as cost models need it."""

    type: SourceType | None
    active: bool


def providers_of(connection: Connection, tenant: Tenant) -> dict[UUID, Provider]:
    """The organisation's providers; those being deleted are left out."""
    going = select(SOURCES.c.source_id).where(SOURCES.c.provider_id == PROVIDER.c.uuid, SOURCES.c.pending_delete)
    rows = connection.execute(
        select(PROVIDER.c.uuid, PROVIDER.c.type, PROVIDER.c.active)
        .join(CUSTOMER, CUSTOMER.c.id == PROVIDER.c.customer_id)
        .where(CUSTOMER.c.org_id == tenant.org_id, ~going.exists())
    )
    return {row.uuid: Provider(type=source_type_of(row.type), active=row.active) for row in rows}


def recalculate(
    connection: Connection, tenant: Tenant, sources: Iterable[UUID], *, today: date, delay: timedelta
) -> None:
    """Ask for this month's costs of every active source, after the transaction; waiting requests are merged."""
    active = {key for key, provider in providers_of(connection, tenant).items() if provider.active}
    queue = routed("priority", flags=tenant_flags(connection, tenant.schema), xl=False)
    for source in sorted(active & set(sources)):
        task = tasks_pb2.ApplyCostModel(
            schema_name=tenant.schema,
            provider_uuid=str(source),
            start_date=Month.of(today).first.isoformat(),
            end_date=today.isoformat(),
        )
        enqueue(connection, task, schema=tenant.schema, queue=queue, not_before=delay)
