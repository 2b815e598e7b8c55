"""Whether the API answers; no identity needed (read-api §8)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from kura.core.http import API_PREFIX, ApiJson


def routes() -> list[BaseRoute]:
    return [Route(f"{API_PREFIX}/status/", status, methods=["GET"])]


async def status(request: Request) -> Response:
    return ApiJson({"status": "OK"})
