"""Building blocks of every HTTP server in Kura: probes, request ids, access log, identity, errors, pages.

A service calls `build_app` with its routes. Errors are rendered here and nowhere else: form A for everything,
form B (the bare map) for report parameters.
"""

from __future__ import annotations

import contextlib
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import orjson
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kura.core.errors import (
    BadRequest,
    DependencyFailed,
    Forbidden,
    KuraError,
    ParameterErrors,
    TooManyRequests,
    Unavailable,
    ValidationErrors,
    told,
)
from kura.core.identity import REQUEST_ID_HEADER, SINGLE_HEADERS, Identity, IdentityProvider
from kura.core.metrics import ERRORS, HTTP_SECONDS
from kura.core.telemetry import bound, get_logger, span

log = get_logger(__name__)

API_PREFIX = "/api/cost-management/v1"
SOURCES_PREFIX = "/api/sources/v1.0"
OPEN_PREFIXES = (API_PREFIX, SOURCES_PREFIX)
PROBES = frozenset({"/livez", "/readyz", "/metrics"})
OPEN_NAMES = ("status", "openapi.json", "application_types", "source_types")

REQUEST_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:=-]{0,127}$")
"""What a client may choose as request id: it is echoed, logged and part of the address of an upload's state."""

ReadyCheck = Callable[[], Awaitable[Mapping[str, str | None]]]
"""Answers dependency name → None when healthy, or what is wrong in words."""

SECURITY_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
}


class ApiJson(Response):
    """JSON as API clients expect it: UTF-8, non-ASCII unescaped."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, default=str, option=orjson.OPT_NON_STR_KEYS)


UNEXPECTED = "An unexpected error happened. It has been logged with this request's id."


def error_items(error: KuraError) -> list[dict[str, Any]]:
    """What a client is told.

    Of an error that nobody foresaw it is told no details: they may hold data.
    """
    if error.http == 500:
        return [{"detail": UNEXPECTED, "source": "detail", "status": 500}]
    if isinstance(error, ValidationErrors):
        return [{"detail": text, "source": field, "status": error.http} for field, text in error.problems]
    detail = told(error)
    if error.http == 424:
        return [{"detail": detail, "status": 424, "title": "Failed Dependency"}]
    return [{"detail": detail, "source": error.field, "status": error.http}]


async def render_error(request: Request, error: Exception) -> Response:
    """Form A, or form B for report parameters: read-api §1.7."""
    assert isinstance(error, KuraError)
    ERRORS.labels("http", error.code).inc()
    if isinstance(error, (Unavailable, DependencyFailed)):
        log.error("request_failed", path=request.url.path, code=error.code, error=str(error))
    elif error.http >= 500:
        log.error("request_failed", path=request.url.path, code=error.code, error=str(error), exc_info=error)
    headers = {}
    if isinstance(error, (Unavailable, TooManyRequests)):
        headers["Retry-After"] = "5"
    if isinstance(error, ParameterErrors):
        return ApiJson(error.body, status_code=error.http, headers=headers)
    return ApiJson({"errors": error_items(error)}, status_code=error.http, headers=headers)


async def render_http_exception(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: unknown routes and methods."""
    assert isinstance(error, HTTPException)
    body = {"errors": [{"detail": error.detail, "source": "detail", "status": error.status_code}]}
    return ApiJson(body, status_code=error.status_code, headers=error.headers)


def render_unexpected(request: Request, error: Exception) -> Response:
    """An error nobody foresaw: logged whole, answered without details."""
    ERRORS.labels("http", "internal").inc()
    log.error("request_crashed", path=request.url.path, error=str(error), exc_info=error)
    return ApiJson({"errors": error_items(KuraError())}, status_code=500)


class RequestContext:
    """Gives each request an id, a span, one access-log line, a duration metric and the security headers."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self.app = app
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        request_id = headers.get(REQUEST_ID_HEADER, "")
        if not REQUEST_ID.fullmatch(request_id):
            request_id = uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status, started_answering = 500, False
        started = time.perf_counter()

        async def send_with_headers(message: Message) -> None:
            nonlocal status, started_answering
            if message["type"] == "http.response.start":
                status, started_answering = message["status"], True
                present = {key.lower() for key, _ in message.get("headers", [])}
                extra = [(k, v) for k, v in SECURITY_HEADERS.items() if k not in present]
                if REQUEST_ID_HEADER.encode() not in present:
                    extra.append((REQUEST_ID_HEADER.encode(), request_id.encode()))
                message["headers"] = [*message.get("headers", []), *extra]
            await send(message)

        with (
            bound(request_id=request_id),
            _span_of(scope, parent=headers.get("traceparent")) as current,
        ):
            try:
                await self.app(scope, receive, send_with_headers)
            except Exception as error:
                if started_answering:
                    raise
                await render_unexpected(Request(scope), error)(scope, receive, send_with_headers)
            finally:
                seconds = time.perf_counter() - started
                route = scope.get("route")
                template = getattr(route, "path", None) or "unmatched"
                HTTP_SECONDS.labels(template, scope["method"], str(status)).observe(seconds)
                current.update_name(f"{scope['method']} {template}")
                current.set_attribute("http.response.status_code", status)
                identity: Identity | None = state.get("identity")
                if scope["path"] not in PROBES:
                    log.info(
                        "request",
                        method=scope["method"],
                        path=scope["path"],
                        status=status,
                        milliseconds=round(seconds * 1000, 1),
                        org_id=identity.org_id if identity else None,
                        account=identity.account_number if identity else None,
                        username=identity.username if identity else None,
                        is_admin=identity.is_org_admin if identity else None,
                    )


def _span_of(scope: Scope, *, parent: str | None) -> contextlib.AbstractContextManager[Span]:
    """The span of a request, named by its method until its route is known; probes have none."""
    if scope["path"] in PROBES:
        return contextlib.nullcontext(INVALID_SPAN)
    return span(scope["method"], parent=parent, kind=SpanKind.SERVER, **{"http.request.method": scope["method"]})


def headers_of(scope: Scope) -> dict[str, str]:
    """Headers by lower-case name. BadRequest when one that decides who is asking is there twice."""
    pairs = [(k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in scope["headers"]]
    names = [name for name, _ in pairs]
    for name in SINGLE_HEADERS:
        if names.count(name) > 1:
            raise BadRequest(f"The header {name} is there more than once.")
    return dict(pairs)


def client_of(scope: Scope) -> str | None:
    """Address of the caller; None when the transport has none."""
    return scope["client"][0] if scope.get("client") else None


def is_open_path(path: str) -> bool:
    """Whether an API path is answered without identity: write-api §2.1."""
    prefix, _, name = path.removesuffix("/").rpartition("/")
    return prefix in OPEN_PREFIXES and name in OPEN_NAMES


class Identified:
    """Puts the caller's identity into `request.state.identity`; `is_open(path)` names paths that need none."""

    def __init__(self, app: ASGIApp, provider: IdentityProvider, is_open: Callable[[str], bool]) -> None:
        self.app = app
        self.provider = provider
        self.is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.is_open(scope["path"]):
            await self.app(scope, receive, send)
            return
        try:
            headers = headers_of(scope)
            identity = await self.provider.identify(headers, client=client_of(scope))
            may_ask = identity.is_org_admin or identity.has_access or scope["path"].endswith("/user-access/")
            if not may_ask:
                raise Forbidden
        except KuraError as error:
            response = await render_error(Request(scope), error)
            await response(scope, receive, send)
            return
        scope.setdefault("state", {})["identity"] = identity
        with bound(org_id=identity.org_id):
            await self.app(scope, receive, send)


def identity_of(request: Request) -> Identity:
    identity: Identity = request.state.identity
    return identity


def probe_routes(ready: ReadyCheck) -> list[BaseRoute]:
    """/livez, /readyz and /metrics, the same in every service."""

    async def livez(request: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(request: Request) -> Response:
        checks = dict(await ready())
        broken = {name: text for name, text in checks.items() if text is not None}
        body = {"ready": not broken, "checks": {name: text or "ok" for name, text in checks.items()}}
        return ApiJson(body, status_code=503 if broken else 200)

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]


Lifespan = Callable[[Starlette], contextlib.AbstractAsyncContextManager[None]]


def build_app(
    *,
    service: str,
    routes: Sequence[BaseRoute],
    ready: ReadyCheck,
    identity: IdentityProvider | None = None,
    is_open: Callable[[str], bool] = lambda path: False,
    lifespan: Lifespan | None = None,
) -> Starlette:
    """One HTTP application: probes, then `routes` behind `identity` (none: open, for services without an API)."""
    probes = probe_routes(ready)

    @contextlib.asynccontextmanager
    async def nothing(app: Starlette) -> AsyncIterator[None]:
        yield

    app = Starlette(
        routes=[*probes, *routes],
        exception_handlers={
            KuraError: render_error,
            HTTPException: render_http_exception,
        },
        lifespan=lifespan or nothing,
    )
    app.router.redirect_slashes = False
    if identity is not None:
        app.add_middleware(Identified, provider=identity, is_open=lambda path: path in PROBES or is_open(path))
    app.add_middleware(RequestContext, service=service)
    return app


def page_links(path: str, query: Sequence[tuple[str, str]], *, limit: int, offset: int, count: int) -> dict[str, Any]:
    """Links of a page as clients expect them: path and query, parameters sorted, percent-encoded (read-api §1.6)."""
    kept = [(key, value) for key, value in query if key not in {"limit", "offset"}]

    def link(at: int | None, *, drop_zero: bool = False) -> str | None:
        if at is None:
            return None
        pairs = [*kept, ("limit", str(limit))]
        if not (drop_zero and at == 0):
            pairs.append(("offset", str(at)))
        pairs.sort(key=lambda pair: pair[0])
        return path + "?" + "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in pairs)

    following = offset + limit
    return {
        "first": link(0),
        "next": link(following) if following < count else None,
        "previous": link(max(offset - limit, 0), drop_zero=True) if offset > 0 else None,
        "last": link(max(count - limit, 0)),
    }


def page(
    request: Request,
    items: Sequence[Any],
    *,
    count: int,
    limit: int,
    offset: int,
    meta: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The page envelope around `items`, which are already the page's slice."""
    query = list(request.query_params.multi_items())
    return {
        "meta": {"count": count, "limit": limit, "offset": offset, **(meta or {})},
        "links": page_links(request.url.path, query, limit=limit, offset=offset, count=count),
        "data": list(items),
    }


def values_of(texts: Sequence[str], field: str) -> list[str]:
    """The values of a repeated or comma separated filter, empty ones left out."""
    values = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    if any("\0" in value for value in values):
        raise BadRequest("Null characters are not allowed.", field=field)
    return values


def page_bounds(request: Request, *, default: int = 10, largest: int = 1000) -> tuple[int, int]:
    """`limit` and `offset` of a list: defaults where missing or invalid, limit cut at `largest` (write-api §1)."""

    def number(name: str, fallback: int, least: int) -> int:
        text = request.query_params.get(name, "")
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else fallback
        return value if value >= least else fallback

    return min(number("limit", default, 1), largest), number("offset", 0, 0)
