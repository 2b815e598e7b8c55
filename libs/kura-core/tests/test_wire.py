"""Malformed, huge and slow requests on a real socket: reliability S39, S40."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from kura.core import wire
from kura.core.http import build_app
from kura.core.service import Running, Service


async def echo(request: Request) -> Response:
    return PlainTextResponse(f"{request.method} {len(await request.body())}")


async def ready() -> dict[str, str | None]:
    return {}


@contextlib.asynccontextmanager
async def server() -> AsyncIterator[tuple[str, int]]:
    started: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    app = build_app(service="test", routes=[Route("/", echo, methods=["GET", "POST"])], ready=ready)
    service = Service(name="test", app=app, on_ready=started.set_result, shutdown_seconds=1)
    running = asyncio.create_task(service.run())
    try:
        where = await started
        assert where.http is not None
        host, _, port = where.http.removeprefix("http://").partition(":")
        yield host, int(port)
    finally:
        service.stop()
        await running


async def exchange(*parts: bytes) -> bytes:
    """What the server answers until it closes, or falls silent for a moment."""
    async with server() as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        answer = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            for part in parts:
                writer.write(part)
                await writer.drain()
            async with asyncio.timeout(1):
                while chunk := await reader.read(65536):
                    answer += chunk
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return answer


def status(answer: bytes) -> bytes:
    return answer.split(b"\r\n", 1)[0]


async def test_an_ordinary_request_is_answered() -> None:
    answer = await exchange(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")
    assert status(answer) == b"HTTP/1.1 200 OK"
    assert answer.endswith(b"POST 3")


async def test_several_requests_on_one_connection_are_each_counted_alone() -> None:
    one = b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 40_000 + b"\r\n\r\n"
    assert (await exchange(one, one, one)).count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 200_000,
        b"GET / HTTP/1.1\r\nhost: a\r\n" + b"".join(b"x%d: y\r\n" % n for n in range(1000)) + b"\r\n",
        b"GET /" + b"y" * 100_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
    ],
    ids=["one huge header", "a header without end", "a thousand headers", "a huge address"],
)
async def test_huge_heads_are_refused(head: bytes) -> None:
    assert status(await exchange(head)).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx y: z\r\n\r\n",
        b"GET / HTTP/9.9\r\nhost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    ],
    ids=[
        "length and chunked",
        "two lengths",
        "chunked not last",
        "negative length",
        "bare CR",
        "NUL",
        "space in name",
        "unknown version",
        "TLS",
    ],
)
async def test_ambiguous_and_malformed_requests_are_refused(head: bytes) -> None:
    assert status(await exchange(head)).startswith(b"HTTP/1.1 400")


async def test_a_connection_whose_head_does_not_come_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "HEAD_SECONDS", 0.2)
    async with server() as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET / HTTP/1.1\r\nhost:")
        async with asyncio.timeout(2):
            assert await reader.read() == b""
        writer.close()
