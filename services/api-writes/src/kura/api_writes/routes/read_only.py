"""Addresses that are only read: whoever wants to change one is forbidden to, not told that it is unknown.

The front sends all requests that are not reads to this gateway, which does not know the addresses of the other one.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from kura.core.errors import Forbidden
from kura.core.http import API_PREFIX

READ_ONLY = ("reports", "tags", "resource-types")
UNSAFE_METHODS = ["POST", "PUT", "PATCH", "DELETE"]


def read_only_routes() -> list[BaseRoute]:
    return [Route(f"{API_PREFIX}/{name}/{{path:path}}", refuse, methods=UNSAFE_METHODS) for name in READ_ONLY]


async def refuse(request: Request) -> Response:
    raise Forbidden
