"""One address over both gateways and the page."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from kura.single_pod.gateways import build_front

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


@pytest.fixture
def client():
    LIVED.clear()
    with TestClient(build_front(reads=gateway("reads"), writes=gateway("writes"), ready=well)) as client:
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
def test_every_request_finds_the_application_that_answers_it(client, method, path, accept, expected):
    assert client.request(method, path, headers={"accept": accept}).text == expected


def test_a_browser_is_shown_the_page_at_the_root(client):
    answer = client.get("/", headers={"accept": "text/html,application/xhtml+xml"})

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert client.get("/page/app.js").status_code == 200


def test_both_gateways_live_as_long_as_the_whole():
    LIVED.clear()
    with TestClient(build_front(reads=gateway("reads"), writes=gateway("writes"), ready=well)) as client:
        assert client.get("/readyz").json() == {"ready": True, "checks": {"database": "ok"}}
        assert LIVED == ["reads begins", "writes begins"]
    assert LIVED[2:] == ["writes ends", "reads ends"]
