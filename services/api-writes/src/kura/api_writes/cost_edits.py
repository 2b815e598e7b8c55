"""Changing cost models and price lists: rights, transaction, recalculation. HTTP and gRPC both come here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from kura.api_writes import cost_models, price_lists
from kura.api_writes.costs_lock import cost_writes, recalculate
from kura.api_writes.fields import uuid_of
from kura.api_writes.preview import CostPreviewer, PreviewRequest, Previews, read_preview, require_all_costs
from kura.core import days
from kura.core.errors import BadRequest, Forbidden
from kura.core.identity import Identity, require_unrestricted
from kura.core.telemetry import get_logger
from kura.store.cost_models import cost_model_items, get_cost_model, get_price_list, price_list_items
from kura.store.database import Database

log = get_logger(__name__)

COST_MODEL = "cost_model"

Body = Callable[[], Awaitable[Mapping[str, Any]]]
"""Reads the document of a request; called only for callers who may write."""


class CostEdits:
    """Create, change and delete over one database."""

    def __init__(
        self,
        *,
        database: Database,
        schema_suffix: str = "",
        edit_delay_seconds: float = 0.0,
        aggregator: CostPreviewer | None = None,
        today: Callable[[], date] = days.today,
    ) -> None:
        self._database = database
        self._schema_suffix = schema_suffix
        self._delay = timedelta(seconds=edit_delay_seconds)
        self._today = today
        self._previews = Previews(aggregator)

    # ----------------------------------------------------------------------------------------------------- cost models

    async def create_model(self, identity: Identity, body: Body) -> Any:
        require_unrestricted(identity, COST_MODEL, "write")
        return await asyncio.to_thread(self._create_model, identity, await body())

    async def update_model(self, identity: Identity, key: str, body: Body) -> Any:
        found = _writable_model(identity, key)
        return await asyncio.to_thread(self._update_model, identity, found, await body())

    async def delete_model(self, identity: Identity, key: str) -> None:
        await asyncio.to_thread(self._delete_model, identity, _writable_model(identity, key))

    async def preview(self, identity: Identity, body: Body) -> Any:
        """What a cost model would cost; nothing is written, but whoever tries one may write it."""
        require_unrestricted(identity, COST_MODEL, "write")
        require_all_costs(identity)
        given = await body()

        def read() -> PreviewRequest:
            with cost_writes(
                self._database, identity, schema_suffix=self._schema_suffix, frozen_field=None, lock=False
            ) as (connection, tenant):
                return read_preview(connection, given, tenant, today=self._today())

        return await self._previews.preview(lambda: asyncio.to_thread(read))

    def _create_model(self, identity: Identity, body: Mapping[str, Any]) -> Any:
        with cost_writes(
            self._database,
            identity,
            schema_suffix=self._schema_suffix,
            frozen_field="cost-models",
            creates_tenant=True,
        ) as (connection, tenant):
            wanted = cost_models.read_cost_model(connection, body, tenant)
            written = cost_models.create_cost_model(connection, wanted)
            recalculate(connection, tenant, written.sources, today=self._today(), delay=self._delay)
            answer = _model(connection, written.uuid)
        log.info("cost_model_created", uuid=str(written.uuid), sources=len(written.sources))
        return answer

    def _update_model(self, identity: Identity, key: UUID, body: Mapping[str, Any]) -> Any:
        with cost_writes(self._database, identity, schema_suffix=self._schema_suffix, frozen_field="cost-models") as (
            connection,
            tenant,
        ):
            existing = get_cost_model(connection, key, lock=True)
            wanted = cost_models.read_cost_model(connection, body, tenant, existing=existing)
            written = cost_models.update_cost_model(connection, existing=existing, request=wanted)
            recalculate(connection, tenant, written.sources, today=self._today(), delay=self._delay)
            answer = _model(connection, key)
        log.info("cost_model_updated", uuid=str(key), sources=len(written.sources))
        return answer

    def _delete_model(self, identity: Identity, key: UUID) -> None:
        with cost_writes(self._database, identity, schema_suffix=self._schema_suffix, frozen_field=None) as (
            connection,
            tenant,
        ):
            existing = get_cost_model(connection, key, lock=True)
            written = cost_models.delete_cost_model(connection, existing=existing)
            recalculate(connection, tenant, written.sources, today=self._today(), delay=self._delay)
        log.info("cost_model_deleted", uuid=str(key), sources=len(written.sources))

    # ----------------------------------------------------------------------------------------------------- price lists

    async def create_list(self, identity: Identity, body: Body) -> Any:
        require_unrestricted(identity, COST_MODEL, "write")
        return await asyncio.to_thread(self._create_list, identity, await body())

    async def update_list(self, identity: Identity, key: str, body: Body) -> Any:
        found = _writable_list(identity, key)
        return await asyncio.to_thread(self._update_list, identity, found, await body())

    async def delete_list(self, identity: Identity, key: str) -> None:
        await asyncio.to_thread(self._delete_list, identity, _writable_list(identity, key))

    async def duplicate_list(self, identity: Identity, key: str) -> Any:
        return await asyncio.to_thread(self._duplicate_list, identity, _writable_list(identity, key))

    def _create_list(self, identity: Identity, body: Mapping[str, Any]) -> Any:
        with cost_writes(
            self._database,
            identity,
            schema_suffix=self._schema_suffix,
            frozen_field="price-lists",
            creates_tenant=True,
        ) as (connection, tenant):
            wanted = price_lists.read_price_list(body, tenant)
            changed = price_lists.create_price_list(connection, wanted)
            answer = _list(connection, changed.uuid)
        log.info("price_list_created", uuid=str(changed.uuid))
        return answer

    def _update_list(self, identity: Identity, key: UUID, body: Mapping[str, Any]) -> Any:
        today = self._today()
        with cost_writes(self._database, identity, schema_suffix=self._schema_suffix, frozen_field="price-lists") as (
            connection,
            tenant,
        ):
            existing = get_price_list(connection, key, lock=True)
            wanted = price_lists.read_price_list(body, tenant, existing=existing)
            changed = price_lists.update_price_list(connection, existing=existing, request=wanted, today=today)
            recalculate(connection, tenant, changed.sources, today=today, delay=self._delay)
            answer = _list(connection, key)
        log.info("price_list_updated", uuid=str(key), sources=len(changed.sources))
        return answer

    def _delete_list(self, identity: Identity, key: UUID) -> None:
        with cost_writes(self._database, identity, schema_suffix=self._schema_suffix, frozen_field=None) as (
            connection,
            _,
        ):
            price_lists.delete_price_list(connection, existing=get_price_list(connection, key, lock=True))
        log.info("price_list_deleted", uuid=str(key))

    def _duplicate_list(self, identity: Identity, key: UUID) -> Any:
        with cost_writes(self._database, identity, schema_suffix=self._schema_suffix, frozen_field="price-lists") as (
            connection,
            _,
        ):
            changed = price_lists.duplicate_price_list(connection, existing=get_price_list(connection, key))
            answer = _list(connection, changed.uuid)
        log.info("price_list_duplicated", uuid=str(changed.uuid), copy_of=str(key))
        return answer


def _model(connection: Connection, key: UUID) -> Any:
    return cost_model_items(connection, [get_cost_model(connection, key)])[0]


def _list(connection: Connection, key: UUID) -> Any:
    return price_list_items(connection, [get_price_list(connection, key)])[0]


def _key(given: str) -> UUID:
    found = uuid_of(given)
    if found is None:
        raise BadRequest("This is not a UUID.", field="uuid")
    return found


def _writable_model(identity: Identity, given: str) -> UUID:
    """The id of a cost model that the caller may write, as every or as this one."""
    allowed = identity.may(COST_MODEL, "write")
    if not allowed:
        raise Forbidden
    key = _key(given)
    if "*" not in allowed and str(key) not in allowed:
        raise Forbidden
    return key


def _writable_list(identity: Identity, given: str) -> UUID:
    require_unrestricted(identity, COST_MODEL, "write")
    return _key(given)
