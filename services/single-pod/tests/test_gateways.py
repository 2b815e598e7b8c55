"""One address over both gateways and the page."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from kura.single_pod.gateways import build_front
from kura.single_pod.local_callers import LocalCallers
from kura.testing.gateways import serving

LIVED: list[str] = []


def gateway(name: str) -> Starlette:
    async def answer(request: Request) -> PlainTextResponse:
        return PlainTextResponse(name)

    @asynccontextmanager
    async def lifespan(app: Starlette):
        LIVED.append(f"{name} begins")
        yield
        LIVED.append(f"{name} ends")

    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST", "DELETE"])], lifespan=lifespan)


async def well() -> Mapping[str, str | None]:
    return {"database": None}


@asynccontextmanager
async def house():
    front = build_front(reads=gateway("reads"), writes=gateway("writes"), ready=well)
    async with serving(front) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "accept", "expected"),
    [
        ("GET", "/api/cost-management/v1/sources/", "*/*", "reads"),
        ("POST", "/api/cost-management/v1/sources/", "*/*", "writes"),
        ("DELETE", "/api/cost-management/v1/sources/1/", "*/*", "writes"),
        ("GET", "/api/ingress/v1/", "*/*", "writes"),
        ("GET", "/", "*/*", "writes"),
        ("GET", "/livez", "*/*", "ok"),
    ],
)
async def test_every_request_finds_the_application_that_answers_it(method, path, accept, expected):
    async with house() as client:
        assert (await client.request(method, path, headers={"accept": accept})).text == expected


async def test_a_browser_is_shown_the_page_at_the_root():
    async with house() as client:
        answer = await client.get("/", headers={"accept": "text/html,application/xhtml+xml"})

        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert (await client.get("/page/app.js")).status_code == 200


async def test_both_gateways_live_as_long_as_the_whole():
    LIVED.clear()
    async with house() as client:
        assert (await client.get("/readyz")).json() == {"ready": True, "checks": {"database": "ok"}}
        assert LIVED == ["reads begins", "writes begins"]
    assert LIVED[2:] == ["writes ends", "reads ends"]


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"host": "127.0.0.1:8000"}, True),
        ({"host": "localhost:8000"}, True),
        ({"host": "[::1]:8000"}, True),
        ({"host": "kura.example.com"}, False),
        ({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}, True),
        ({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:9999"}, False),
        ({"host": "127.0.0.1:8000", "origin": "https://evil.example.com"}, False),
        ({"host": "127.0.0.1:8000", "origin": "null"}, False),
        ({"host": "127.0.0.1:8000", "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, False),
        ({"host": "127.0.0.1:8000", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, True),
    ],
)
async def test_a_web_page_of_another_site_cannot_use_a_kura_that_asks_for_no_identity(headers, allowed):
    front = LocalCallers(build_front(reads=gateway("reads"), writes=gateway("writes"), ready=well))
    async with serving(front) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answer = await client.post("/api/cost-management/v1/sources/", headers=headers)

    assert answer.status_code == (200 if allowed else 403)
