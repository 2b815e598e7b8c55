"""Writing sources: the sources of the API and of the Sources API the operator speaks (write-api §5)."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from kura.api_writes.bodies import json_object
from kura.api_writes.sources import create_source, delete_source, new_source, source_changes, update_source
from kura.core.errors import BadRequest, SourceNotFound
from kura.core.http import API_PREFIX, SOURCES_PREFIX, ApiJson, identity_of
from kura.core.identity import Identity, require_unrestricted
from kura.store.database import Database
from kura.store.sources import APPLICATION_TYPE_ID, application_item, get_source, source_item


class SourceWrites:
    """Create, change and delete over one database."""

    def __init__(self, *, database: Database, schema_suffix: str = "") -> None:
        self._database = database
        self._schema_suffix = schema_suffix

    def routes(self) -> list[BaseRoute]:
        routes: list[BaseRoute] = []
        for prefix in (API_PREFIX, SOURCES_PREFIX):
            for slash in ("", "/"):
                routes += [
                    Route(f"{prefix}/sources{slash}", self.create, methods=["POST"]),
                    Route(f"{prefix}/sources/{{key}}{slash}", self.update, methods=["PATCH"]),
                    Route(f"{prefix}/sources/{{key}}{slash}", self.delete, methods=["DELETE"]),
                    Route(f"{prefix}/applications{slash}", self.create_application, methods=["POST"]),
                    Route(f"{prefix}/applications/{{key}}{slash}", self.delete_application, methods=["DELETE"]),
                    Route(f"{prefix}/source-status{slash}", self.push_status, methods=["POST"]),
                ]
        return routes

    async def create(self, request: Request) -> Response:
        identity = _writer(request)
        wanted = new_source(await json_object(request))
        source = await asyncio.to_thread(
            create_source, self._database, wanted=wanted, identity=identity, schema_suffix=self._schema_suffix
        )
        return ApiJson(source_item(source), status_code=201)

    async def update(self, request: Request) -> Response:
        identity = _writer(request)
        changes = source_changes(await json_object(request))
        key = request.path_params["key"]
        source = await asyncio.to_thread(update_source, self._database, key=key, changes=changes, identity=identity)
        return ApiJson(source_item(source))

    async def delete(self, request: Request) -> Response:
        identity = _writer(request)
        await asyncio.to_thread(delete_source, self._database, key=request.path_params["key"], identity=identity)
        return Response(status_code=204)

    async def create_application(self, request: Request) -> Response:
        """Nothing is stored: every source has the one application (§5.6)."""
        identity = _writer(request)
        body = await json_object(request)
        source_id, type_id = body.get("source_id"), body.get("application_type_id")
        if source_id in (None, ""):
            return JSONResponse({"error": "source_id is required"}, status_code=400)
        if type_id is not None and str(type_id) != APPLICATION_TYPE_ID:
            return JSONResponse({"error": f"application_type_id must be {APPLICATION_TYPE_ID}"}, status_code=400)
        try:
            found = await asyncio.to_thread(self._source_id, identity, str(source_id))
        except SourceNotFound:
            return JSONResponse({"error": "no source has this source_id"}, status_code=404)
        return ApiJson(application_item(found), status_code=201)

    async def delete_application(self, request: Request) -> Response:
        _writer(request)
        return Response(status_code=204)

    async def push_status(self, request: Request) -> Response:
        """The Sources API asks for a new availability check; Kura's status is always current."""
        body: dict[str, Any] = await json_object(request)
        source_id = str(body.get("source_id", request.query_params.get("source_id", "")))
        if not (source_id.isascii() and source_id.isdigit()):
            raise BadRequest("source_id must be an integer", field="source_id")
        await asyncio.to_thread(self._source_id, identity_of(request), source_id)
        return Response(status_code=204)

    def _source_id(self, identity: Identity, key: str) -> int:
        with self._database.begin() as connection:
            return get_source(connection, org_id=identity.org_id, key=key).id


def _writer(request: Request) -> Identity:
    identity = identity_of(request)
    require_unrestricted(identity, "sources", "write")
    return identity
