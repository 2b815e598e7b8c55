"""The proxy of the split mode: routes by method, streams both ways, waits for a gateway that restarts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from kura.core.service import Service
from kura.single_pod.front_door import Gateways, build_front_door
from kura.single_pod.routing import is_read
from kura.testing.gateways import serving


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/cost-management/v1/reports/openshift/costs/", True),
        ("HEAD", "/api/cost-management/v1/status/", True),
        ("OPTIONS", "/api/cost-management/v1/status/", True),
        ("POST", "/api/cost-management/v1/sources/", False),
        ("DELETE", "/api/cost-management/v1/sources/1/", False),
        ("GET", "/api/ingress/v1/version", False),
        ("GET", "/r/insights/platform/ingress/v1/", False),
    ],
)
def test_reads_go_to_the_read_gateway_and_uploads_never(method: str, path: str, expected: bool):
    assert is_read(method, path) is expected


def echo(name: str) -> Starlette:
    async def answer(request: Request) -> Response:
        if request.url.path == "/stream":

            async def chunks() -> AsyncIterator[bytes]:
                for index in range(3):
                    yield f"{index}\n".encode()

            return StreamingResponse(chunks())
        body = await request.body()
        return JSONResponse(
            {
                "gateway": name,
                "method": request.method,
                "target": request.scope["raw_path"].decode() + "?" + request.scope["query_string"].decode(),
                "size": len(body),
                "headers": dict(request.headers),
            },
            status_code=202 if request.method == "POST" else 200,
            headers={"x-gateway": name},
        )

    async def readyz(request: Request) -> Response:
        return JSONResponse({"ready": True, "checks": {}})

    methods = ["GET", "POST", "PUT", "DELETE"]
    return Starlette(routes=[Route("/readyz", readyz), Route("/{path:path}", answer, methods=methods)])


@asynccontextmanager
async def house() -> AsyncIterator[httpx.AsyncClient]:
    async with serving(echo("reads")) as reads, serving(echo("writes")) as writes:
        door = build_front_door(
            Gateways(reads=reads, writes=writes), probes={"reads": f"{reads}/readyz", "writes": f"{writes}/readyz"}
        )
        async with serving(door) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
            yield client


async def test_a_request_arrives_as_it_was_sent():
    async with house() as client:
        query = "filter%5Bproject%5D=a%2Fb&limit=1"
        seen = (
            await client.get(
                f"/api/x%2Fy/?{query}", headers={"x-rh-identity": "abc", "connection": "x-drop", "x-drop": "1"}
            )
        ).json()

    assert seen["gateway"] == "reads"
    assert seen["target"] == f"/api/x%2Fy/?{query}"
    assert seen["headers"]["x-rh-identity"] == "abc"
    assert seen["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert "x-drop" not in seen["headers"]


async def test_a_body_is_passed_on_with_and_without_a_known_length():
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 100_000

    async with house() as client:
        known = await client.post("/api/ingress/v1/upload", content=b"y" * 3_000_000)
        unknown = await client.post("/api/ingress/v1/upload", content=chunks())

    assert (known.status_code, known.json()["size"], known.json()["gateway"]) == (202, 3_000_000, "writes")
    assert known.json()["headers"]["content-length"] == "3000000"
    assert (unknown.status_code, unknown.json()["size"]) == (202, 1_000_000)


async def test_an_answer_is_passed_back_with_its_headers():
    async with house() as client:
        answer = await client.get("/stream")
        headers = (await client.get("/api/x/")).headers

    assert answer.text == "0\n1\n2\n"
    assert headers["x-gateway"] == "reads"
    assert len(headers.get_list("date")) == 1


async def test_a_gateway_that_restarts_is_waited_for():
    free = socket.socket()
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    door = build_front_door(Gateways(reads=f"http://127.0.0.1:{port}", writes="http://127.0.0.1:1"), probes={})

    async with serving(door) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        asking = asyncio.create_task(client.get("/api/x/"))
        await asyncio.sleep(0.3)
        assert not asking.done()
        late = Service(name="late", app=echo("reads"), http_port=port, shutdown_seconds=1)
        running = asyncio.create_task(late.run())
        assert (await asking).status_code == 200
        late.stop()
        await running


async def test_the_house_is_ready_when_all_in_it_are():
    async with serving(echo("reads")) as reads:
        door = build_front_door(
            Gateways(reads=reads, writes=reads),
            probes={"reads": f"{reads}/readyz", "worker": "http://127.0.0.1:1/readyz"},
        )
        async with serving(door) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
            answer = await client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"]["reads"] == "ok"
    assert "does not answer" in answer.json()["checks"]["worker"]
