"""The HTTP door: methods, slashes, content negotiation and cache headers around the gateway (read-api §1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from email.utils import formatdate
from time import time

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from kura.api_reads.endpoints import CSV, JSON, Endpoint, Freshness
from kura.api_reads.gateway import Gateway
from kura.core.errors import Forbidden, NotAcceptable, ParameterErrors
from kura.core.http import API_PREFIX, ApiJson, identity_of

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
ALL_METHODS = [*SAFE_METHODS, "POST", "PUT", "PATCH", "DELETE"]
HOUR = 3600
NEVER = "max-age=0, no-cache, no-store, must-revalidate, private"
VARY = "X_RH_IDENTITY, Accept, origin"

Handler = Callable[[Request], Awaitable[Response]]


def routes_of(endpoints: Sequence[Endpoint], gateway: Gateway) -> list[BaseRoute]:
    """Routes of all endpoints, each also without its slash."""
    routes: list[BaseRoute] = []
    for endpoint in endpoints:
        address = f"{API_PREFIX}/{endpoint.path}"
        handler = handler_of(endpoint, gateway)
        routes.append(Route(address, handler, methods=ALL_METHODS))
        without_slash = handler if endpoint.accepts_no_slash else to_slash
        routes.append(Route(address.removesuffix("/"), without_slash, methods=ALL_METHODS))
    return routes


async def to_slash(request: Request) -> Response:
    """Send the client to the address with a slash; its query is kept."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{request.url.path}/{query}", status_code=301)


def handler_of(endpoint: Endpoint, gateway: Gateway) -> Handler:
    async def handle(request: Request) -> Response:
        if request.method not in SAFE_METHODS:
            raise Forbidden
        media = negotiated(request.headers.get("accept", ""), endpoint.media)
        if request.method == "OPTIONS":
            return ApiJson({"description": endpoint.summary, "renders": list(endpoint.media)})
        try:
            question = gateway.question(
                identity_of(request),
                path=request.url.path,
                raw_query=request.url.query,
                path_params=dict(request.path_params),
                wants_csv=media == CSV,
            )
            answer = await gateway.ask(endpoint, question)
        except ParameterErrors:
            if media == CSV:
                return Response(b"", status_code=400, media_type=CSV)
            raise
        return Response(answer.body, media_type=answer.media_type, headers=cache_headers(endpoint.freshness))

    return handle


def negotiated(accept: str, media: Sequence[str]) -> str:
    """The media type to answer with: the best of the client's that is offered. NotAcceptable if there is none."""
    ranges = []
    for place, part in enumerate(accept.split(",")):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        ranges.append((-_quality(parameters), place, name))
    for quality, _, name in sorted(ranges):
        if quality == 0:
            continue
        if name in ("", "*/*", "application/*"):
            return JSON
        if name in media:
            return name
        if name == "text/*" and CSV in media:
            return CSV
    raise NotAcceptable


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 1.0
    return 1.0


def cache_headers(freshness: Freshness) -> dict[str, str]:
    """What clients are told about keeping the answer (read-api §1.5)."""
    if freshness is Freshness.HOUR:
        return {"Cache-Control": f"max-age={HOUR}", "Expires": formatdate(time() + HOUR, usegmt=True), "Vary": VARY}
    if freshness is Freshness.NEVER:
        return {"Cache-Control": NEVER, "Vary": VARY}
    return {"Vary": VARY}
