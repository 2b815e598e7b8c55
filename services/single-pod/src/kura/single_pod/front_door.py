"""A small streaming reverse proxy: one address before the two gateways of `kura up --split`.

Production has a real gateway; this one is for one machine. Bodies pass through in chunks both ways. While a gateway
restarts, requests wait a moment for it; nothing that was sent is ever sent again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from kura.core.errors import Unavailable
from kura.core.http import ApiJson, render_error
from kura.core.telemetry import get_logger
from kura.single_pod.page import page_routes
from kura.single_pod.routing import is_read, wants_html

log = get_logger(__name__)

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
RESTART_PATIENCE_SECONDS = 10.0
"""How long a request waits for a gateway that is being restarted."""
RETRY_SECONDS = 0.1
ANSWER_SECONDS = 180.0
"""Longest silence of a gateway before its answer is given up."""


@dataclass(frozen=True, kw_only=True)
class Gateways:
    """Base URLs."""

    reads: str
    writes: str

    def serving(self, method: str, path: str) -> str:
        return self.reads if is_read(method, path) else self.writes


def build_front_door(gateways: Gateways, *, probes: Mapping[str, str]) -> Starlette:
    """The proxy; it is ready when every service in `probes` (name → URL of /readyz) is."""
    client = httpx.AsyncClient(
        timeout=httpx.Timeout(ANSWER_SECONDS, connect=2.0),
        limits=httpx.Limits(max_connections=512, max_keepalive_connections=64, keepalive_expiry=30.0),
        trust_env=False,
        follow_redirects=False,
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await client.aclose()

    async def livez(request: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(request: Request) -> Response:
        outcomes = await asyncio.gather(*(_probe(client, url) for url in probes.values()))
        checks = {name: text or "ok" for name, text in zip(probes, outcomes, strict=True)}
        ready = not any(outcomes)
        return ApiJson({"ready": ready, "checks": checks}, status_code=200 if ready else 503)

    pages = {route.path: route.endpoint for route in page_routes() if isinstance(route, Route)}

    async def passed_on(request: Request) -> Response:
        path = request.url.path
        if path in pages and request.method in ("GET", "HEAD") and (path != "/" or wants_html(request.scope)):
            page: Response = await pages[path](request)
            return page
        return await _pass_on(client, gateways, request)

    methods = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/{path:path}", passed_on, methods=methods),
        ],
        lifespan=lifespan,
    )


async def _probe(client: httpx.AsyncClient, url: str) -> str | None:
    """What is wrong with one service, in words; None when nothing is."""
    try:
        answer = await client.get(url, timeout=5.0)
    except httpx.HTTPError as error:
        return f"does not answer ({type(error).__name__})"
    if answer.status_code == 200:
        return None
    try:
        checks = answer.json()["checks"]
        return "; ".join(f"{name}: {text}" for name, text in checks.items() if text != "ok") or "not ready"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"answers {answer.status_code}"


async def _pass_on(client: httpx.AsyncClient, gateways: Gateways, request: Request) -> Response:
    path = request.scope.get("raw_path", b"").decode("latin-1") or request.url.path
    query = request.scope["query_string"].decode("latin-1")
    url = gateways.serving(request.method, request.url.path) + path + (f"?{query}" if query else "")
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    outgoing = httpx.Request(
        request.method,
        url,
        headers=_headers_in(request),
        content=_body(request) if has_body else None,
        extensions={"timeout": client.timeout.as_dict()},
    )
    try:
        answer = await _sent(client, outgoing)
    except ClientDisconnect:
        return Response(status_code=499)
    except httpx.HTTPError as error:
        log.warning("gateway_failed", path=request.url.path, error=f"{type(error).__name__}: {error}")
        return await render_error(request, Unavailable("The gateway behind this address is away; try again."))
    response = StreamingResponse(
        answer.aiter_raw(), status_code=answer.status_code, background=BackgroundTask(answer.aclose)
    )
    response.raw_headers = list(_headers_out(answer.headers.raw))
    return response


async def _sent(client: httpx.AsyncClient, outgoing: httpx.Request) -> httpx.Response:
    """Send; a gateway that cannot be reached at all is tried until it is back, for nothing has been sent yet."""
    give_up = time.monotonic() + RESTART_PATIENCE_SECONDS
    while True:
        try:
            return await client.send(outgoing, stream=True)
        except httpx.ConnectError:
            if time.monotonic() > give_up:
                raise
            await asyncio.sleep(RETRY_SECONDS)


async def _body(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        if chunk:
            yield chunk


def _headers_in(request: Request) -> list[tuple[str, str]]:
    """Headers of the client; its address is added, and what concerns only this connection is left out."""
    named = {name.strip().lower() for name in request.headers.get("connection", "").split(",")}
    kept = [(k, v) for k, v in request.headers.items() if k not in HOP_BY_HOP and k not in named]
    client = request.client.host if request.client else ""
    known = request.headers.get("x-forwarded-for")
    kept = [(k, v) for k, v in kept if k != "x-forwarded-for"]
    return [*kept, ("x-forwarded-for", f"{known}, {client}" if known else client)]


def _headers_out(raw: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
    return ((k.lower(), v) for k, v in raw if k.decode("latin-1").lower() not in HOP_BY_HOP | {"date", "server"})
