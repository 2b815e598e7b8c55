"""Writing cost models and price lists over HTTP (write-api §6, §7)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from kura.api_writes.bodies import json_object
from kura.api_writes.cost_edits import CostEdits
from kura.core.http import API_PREFIX, ApiJson, identity_of


class CostModelWrites:
    """The addresses of cost models and price lists."""

    def __init__(self, edits: CostEdits) -> None:
        self._edits = edits

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

    async def create_model(self, request: Request) -> Response:
        made = await self._edits.create_model(identity_of(request), lambda: json_object(request))
        return ApiJson(made, status_code=201)

    async def update_model(self, request: Request) -> Response:
        changed = await self._edits.update_model(identity_of(request), _key(request), lambda: json_object(request))
        return ApiJson(changed)

    async def delete_model(self, request: Request) -> Response:
        await self._edits.delete_model(identity_of(request), _key(request))
        return Response(status_code=204)

    async def preview(self, request: Request) -> Response:
        return ApiJson(await self._edits.preview(identity_of(request), lambda: json_object(request)))

    async def create_list(self, request: Request) -> Response:
        made = await self._edits.create_list(identity_of(request), lambda: json_object(request))
        return ApiJson(made, status_code=201)

    async def update_list(self, request: Request) -> Response:
        changed = await self._edits.update_list(identity_of(request), _key(request), lambda: json_object(request))
        return ApiJson(changed)

    async def delete_list(self, request: Request) -> Response:
        await self._edits.delete_list(identity_of(request), _key(request))
        return Response(status_code=204)

    async def duplicate_list(self, request: Request) -> Response:
        return ApiJson(await self._edits.duplicate_list(identity_of(request), _key(request)), status_code=201)


def _key(request: Request) -> str:
    return str(request.path_params["key"])
