"""Changing settings over HTTP (write-api §8). Every PUT answers 204 without a body."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from kura.api_writes import settings
from kura.api_writes.bodies import json_body
from kura.api_writes.settings import Refused
from kura.core.days import today
from kura.core.errors import MethodNotAllowed, NotFound
from kura.core.http import API_PREFIX, ApiJson, identity_of
from kura.core.identity import Identity, require_unrestricted
from kura.store.database import Database
from kura.store.tenancy import schema_name_of, tenant_exists

Change = Callable[[Connection, str, Any], None]
"""What a PUT does: connection of the tenant, its schema, the body."""


class SettingsWrites:
    """Settings over one database."""

    def __init__(
        self,
        *,
        database: Database,
        tag_enabled_limit: int,
        retention_is_fixed: bool,
        schema_suffix: str = "",
    ) -> None:
        self._database = database
        self._limit = tag_enabled_limit
        self._retention_is_fixed = retention_is_fixed
        self._schema_suffix = schema_suffix

    def routes(self) -> list[BaseRoute]:
        changes: dict[str, Change] = {
            "settings/tags/enable/": self._enable,
            "settings/tags/disable/": self._disable,
            "settings/tags/mappings/child/add/": self._add_children,
            "settings/tags/mappings/child/remove/": self._remove_children,
            "settings/tags/mappings/parent/remove/": self._remove_parents,
            "settings/cost-groups/add/": self._add_to_groups,
            "settings/cost-groups/remove/": self._remove_from_groups,
            "account-settings/data-retention/": self._set_retention,
            "account-settings/currency/": _account("currency"),
            "account-settings/cost-type/": _account("cost-type"),
        }
        puts: list[BaseRoute] = [
            Route(f"{API_PREFIX}/{path}", self._endpoint(change), methods=["PUT"]) for path, change in changes.items()
        ]
        return [
            *puts,
            Route(f"{API_PREFIX}/account-settings/", _nameless, methods=["PUT"]),
            Route(f"{API_PREFIX}/account-settings/{{name}}/", _unknown, methods=["PUT"]),
        ]

    def _endpoint(self, change: Change) -> Any:
        async def endpoint(request: Request) -> Response:
            identity = identity_of(request)
            require_unrestricted(identity, "settings", "write")
            body = await json_body(request)
            try:
                await asyncio.to_thread(self._apply, identity, change, body)
            except Refused as refused:
                return ApiJson(refused.body, status_code=refused.status)
            return Response(status_code=204)

        return endpoint

    def _apply(self, identity: Identity, change: Change, body: Any) -> None:
        schema = schema_name_of(identity.org_id, suffix=self._schema_suffix)
        with self._database.tenant(schema) as connection:
            if not tenant_exists(connection, schema):
                raise NotFound("This organisation has no source yet, so it has no settings.")
            change(connection, schema, body)

    def _enable(self, connection: Connection, schema: str, body: Any) -> None:
        ids = settings.ids_of(body)
        settings.enable_keys(connection, ids, schema=schema, limit=self._limit, today=today())

    def _disable(self, connection: Connection, schema: str, body: Any) -> None:
        settings.disable_keys(connection, settings.ids_of(body), schema=schema, today=today())

    def _add_children(self, connection: Connection, schema: str, body: Any) -> None:
        parent = settings.id_of(body, "parent")
        children = settings.ids_of(body, "children", field="children")
        settings.add_children(connection, parent=parent, children=children, schema=schema, today=today())

    def _remove_children(self, connection: Connection, schema: str, body: Any) -> None:
        settings.remove_children(connection, settings.ids_of(body), schema=schema, today=today())

    def _remove_parents(self, connection: Connection, schema: str, body: Any) -> None:
        settings.remove_parents(connection, settings.ids_of(body), schema=schema, today=today())

    def _add_to_groups(self, connection: Connection, schema: str, body: Any) -> None:
        settings.add_to_groups(connection, settings.grouped_of(body), schema=schema, today=today())

    def _remove_from_groups(self, connection: Connection, schema: str, body: Any) -> None:
        settings.remove_from_groups(connection, settings.grouped_of(body), schema=schema, today=today())

    def _set_retention(self, connection: Connection, schema: str, body: Any) -> None:
        if self._retention_is_fixed:
            raise Refused(403, {"error": "RETAIN_NUM_MONTHS fixes how long data is kept in this installation."})
        settings.set_retention(connection, body)


def _account(name: str) -> Change:
    def change(connection: Connection, schema: str, body: Any) -> None:
        settings.set_account(connection, name, body)

    return change


async def _nameless(request: Request) -> Response:
    raise MethodNotAllowed("Name the setting: account-settings/currency/ or account-settings/cost-type/.")


async def _unknown(request: Request) -> Response:
    raise NotFound("Invalid not a user setting")
