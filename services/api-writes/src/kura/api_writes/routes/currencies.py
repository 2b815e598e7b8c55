"""Enabling currencies and setting exchange rates over HTTP (write-api §8.6)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from kura.api_writes import currencies
from kura.api_writes.bodies import json_object
from kura.api_writes.costs_lock import cost_writes
from kura.api_writes.fields import uuid_of
from kura.api_writes.settings import Refused
from kura.core import days
from kura.core.errors import BadRequest
from kura.core.http import API_PREFIX, ApiJson, identity_of
from kura.core.identity import Identity, require_unrestricted
from kura.core.telemetry import get_logger
from kura.store.database import Database

log = get_logger(__name__)

Answer = TypeVar("Answer")


class CurrencyWrites:
    """The addresses of currencies and rates over one database."""

    def __init__(self, *, database: Database, schema_suffix: str = "", today: Callable[[], date] = days.today) -> None:
        self._database = database
        self._schema_suffix = schema_suffix
        self._today = today

    def routes(self) -> list[BaseRoute]:
        enabled = f"{API_PREFIX}/settings/currency/enabled/{{code}}/"
        rates = f"{API_PREFIX}/settings/currency/static-rates/"
        return [
            Route(enabled, self.enable, methods=["POST"]),
            Route(enabled, self.disable, methods=["DELETE"]),
            Route(rates, self.create_rate, methods=["POST"]),
            Route(f"{rates}{{key}}/", self.update_rate, methods=["PUT"]),
            Route(f"{rates}{{key}}/", self.delete_rate, methods=["DELETE"]),
        ]

    async def enable(self, request: Request) -> Response:
        identity = _writer(request, "settings")
        code = currencies.code_of(request.path_params["code"])
        today = self._today()
        item = await self._write(identity, lambda of: currencies.enable_currency(of, code, today=today), is_first=True)
        log.info("currency_enabled", code=code)
        return ApiJson(item)

    async def disable(self, request: Request) -> Response:
        identity = _writer(request, "settings")
        code = currencies.code_of(request.path_params["code"])
        try:
            await self._write(identity, lambda of: currencies.disable_currency(of, code))
        except Refused as refused:
            return ApiJson(refused.body, status_code=refused.status)
        log.info("currency_disabled", code=code)
        return Response(status_code=204)

    async def create_rate(self, request: Request) -> Response:
        identity = _writer(request, "cost_model")
        body, today = await json_object(request), self._today()
        item = await self._write(
            identity, lambda of: currencies.create_static_rate(of, body, today=today), is_first=True
        )
        log.info("exchange_rate_set", uuid=item["uuid"], pair=item["name"])
        return ApiJson(item, status_code=201)

    async def update_rate(self, request: Request) -> Response:
        identity, key = _writer(request, "cost_model"), _key(request)
        body, today = await json_object(request), self._today()
        item = await self._write(identity, lambda of: currencies.update_static_rate(of, key, body, today=today))
        log.info("exchange_rate_changed", uuid=item["uuid"], pair=item["name"])
        return ApiJson(item)

    async def delete_rate(self, request: Request) -> Response:
        identity, key, today = _writer(request, "cost_model"), _key(request), self._today()
        await self._write(identity, lambda of: currencies.delete_static_rate(of, key, today=today))
        log.info("exchange_rate_deleted", uuid=str(key))
        return Response(status_code=204)

    async def _write(
        self, identity: Identity, change: Callable[[Connection], Answer], *, is_first: bool = False
    ) -> Answer:
        """Make a change while nothing else of the organisation's money changes.

        One that may come first makes the organisation's tables.
        """

        def write() -> Answer:
            with cost_writes(
                self._database,
                identity,
                schema_suffix=self._schema_suffix,
                frozen_field=None,
                creates_tenant=is_first,
            ) as (connection, _):
                return change(connection)

        return await asyncio.to_thread(write)


def _writer(request: Request, kind: str) -> Identity:
    identity = identity_of(request)
    require_unrestricted(identity, kind, "write")
    return identity


def _key(request: Request) -> UUID:
    found = uuid_of(request.path_params["key"])
    if found is None:
        raise BadRequest("This is not a UUID.", field="uuid")
    return found
