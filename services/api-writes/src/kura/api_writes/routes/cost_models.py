"""Writing cost models and price lists (write-api §6, §7)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from kura.api_writes import cost_models, price_lists
from kura.api_writes.bodies import json_object
from kura.api_writes.costs_lock import cost_writes, recalculate
from kura.api_writes.fields import uuid_of
from kura.api_writes.preview import CostPreviewer, PreviewRequest, Previews, read_preview, require_all_costs
from kura.core import days
from kura.core.errors import BadRequest, Forbidden
from kura.core.http import API_PREFIX, ApiJson, identity_of
from kura.core.identity import Identity, require_unrestricted
from kura.core.telemetry import get_logger
from kura.store.cost_models import cost_model_items, get_cost_model, get_price_list, price_list_items
from kura.store.database import Database

log = get_logger(__name__)

COST_MODEL = "cost_model"


class CostModelWrites:
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

    def routes(self) -> list[BaseRoute]:
        routes: list[BaseRoute] = []
        for slash in ("", "/"):
            models, lists = f"{API_PREFIX}/cost-models", f"{API_PREFIX}/price-lists"
            routes += [
                Route(f"{models}{slash}", self.create_model, methods=["POST"]),
                Route(f"{models}/preview{slash}", self.preview, methods=["POST"]),
                Route(f"{models}/{{key}}{slash}", self.update_model, methods=["PUT"]),
                Route(f"{models}/{{key}}{slash}", self.delete_model, methods=["DELETE"]),
                Route(f"{lists}{slash}", self.create_list, methods=["POST"]),
                Route(f"{lists}/{{key}}{slash}", self.update_list, methods=["PUT"]),
                Route(f"{lists}/{{key}}{slash}", self.delete_list, methods=["DELETE"]),
                Route(f"{lists}/{{key}}/duplicate{slash}", self.duplicate_list, methods=["POST"]),
            ]
        return routes

    # ----------------------------------------------------------------------------------------------------- cost models

    async def create_model(self, request: Request) -> Response:
        identity = identity_of(request)
        require_unrestricted(identity, COST_MODEL, "write")
        body = await json_object(request)
        return ApiJson(await asyncio.to_thread(self._create_model, identity, body), status_code=201)

    async def update_model(self, request: Request) -> Response:
        identity, key = _writer_of(request)
        body = await json_object(request)
        return ApiJson(await asyncio.to_thread(self._update_model, identity, key, body))

    async def delete_model(self, request: Request) -> Response:
        identity, key = _writer_of(request)
        await asyncio.to_thread(self._delete_model, identity, key)
        return Response(status_code=204)

    async def preview(self, request: Request) -> Response:
        """What a cost model would cost; nothing is written, but whoever tries one may write it."""
        identity = identity_of(request)
        require_unrestricted(identity, COST_MODEL, "write")
        require_all_costs(identity)
        body = await json_object(request)

        def read() -> PreviewRequest:
            with cost_writes(
                self._database, identity, schema_suffix=self._schema_suffix, frozen_field=None, lock=False
            ) as (connection, tenant):
                return read_preview(connection, body, tenant, today=self._today())

        return ApiJson(await self._previews.preview(lambda: asyncio.to_thread(read)))

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

    async def create_list(self, request: Request) -> Response:
        identity = _list_writer(request)
        body = await json_object(request)
        return ApiJson(await asyncio.to_thread(self._create_list, identity, body), status_code=201)

    async def update_list(self, request: Request) -> Response:
        identity, key = _list_writer(request), _key(request)
        body = await json_object(request)
        return ApiJson(await asyncio.to_thread(self._update_list, identity, key, body))

    async def delete_list(self, request: Request) -> Response:
        identity, key = _list_writer(request), _key(request)
        await asyncio.to_thread(self._delete_list, identity, key)
        return Response(status_code=204)

    async def duplicate_list(self, request: Request) -> Response:
        identity, key = _list_writer(request), _key(request)
        return ApiJson(await asyncio.to_thread(self._duplicate_list, identity, key), status_code=201)

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


def _key(request: Request) -> UUID:
    found = uuid_of(request.path_params["key"])
    if found is None:
        raise BadRequest("This is not a UUID.", field="uuid")
    return found


def _writer_of(request: Request) -> tuple[Identity, UUID]:
    """The caller, who may write every cost model or this one."""
    identity = identity_of(request)
    allowed = identity.may(COST_MODEL, "write")
    if not allowed:
        raise Forbidden
    key = _key(request)
    if "*" not in allowed and str(key) not in allowed:
        raise Forbidden
    return identity, key


def _list_writer(request: Request) -> Identity:
    identity = identity_of(request)
    require_unrestricted(identity, COST_MODEL, "write")
    return identity
