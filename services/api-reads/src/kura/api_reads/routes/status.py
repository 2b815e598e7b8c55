"""Whether the API answers; no identity needed (read-api §8)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from kura.api_reads.endpoints import Freshness
from kura.api_reads.http import cache_headers, to_slash
from kura.core.http import API_PREFIX, ApiJson


def routes() -> list[BaseRoute]:
    return [
        Route(f"{API_PREFIX}/status/", status, methods=["GET"]),
        Route(f"{API_PREFIX}/status", to_slash, methods=["GET"]),
    ]


async def status(request: Request) -> Response:
    return ApiJson({"status": "OK"}, headers=cache_headers(Freshness.NEVER))
