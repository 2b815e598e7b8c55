"""Both gateways, the page and the probes behind one address, as one ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from kura.core.http import ReadyCheck, build_app
from kura.single_pod.page import PAGE_PATHS, page_routes
from kura.single_pod.routing import is_read, wants_html

PROBES = frozenset({"/livez", "/readyz", "/metrics"})


ADMINISTRATION = "/admin/"


def build_front(
    *, reads: Starlette, writes: Starlette, ready: ReadyCheck, more_routes: Sequence[BaseRoute] = ()
) -> ASGIApp:
    """One application over the two gateways. Each of them keeps its own rules, errors and access log.

    `more_routes` are those of the administrators, below `/admin/`.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for inner in (reads, writes):
                await stack.enter_async_context(inner.router.lifespan_context(inner))
            yield

    own = build_app(service="single-pod", routes=[*page_routes(), *more_routes], ready=ready, lifespan=lifespan)
    return Gateways(own=own, reads=reads, writes=writes)


class Gateways:
    """Hands every request to the application that answers it."""

    def __init__(self, *, own: ASGIApp, reads: ASGIApp, writes: ASGIApp) -> None:
        self.own = own
        self.reads = reads
        self.writes = writes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.chosen(scope)(scope, receive, send)

    def chosen(self, scope: Scope) -> ASGIApp:
        if scope["type"] == "lifespan":
            return self.own
        path, method = scope.get("path", ""), scope.get("method", "GET")
        if (
            path.startswith(ADMINISTRATION)
            or path in PROBES
            or (path in PAGE_PATHS and (path != "/" or wants_html(scope)))
        ):
            return self.own
        return self.reads if is_read(method, path) else self.writes
