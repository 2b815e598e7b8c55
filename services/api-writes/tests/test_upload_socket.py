"""Uploads over a real socket: huge, slow, broken off, many at once (reliability F44, S36, P5)."""

import asyncio
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from starlette.applications import Starlette

from kura.api_writes import bodies
from kura.api_writes.config import UploadSettings
from kura.core.service import Running, Service
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.testing.gateways import PAYLOAD_TYPE, UPLOAD_PATH, Stored, identity_header, payload
from kura.testing.objects import ACCESS_KEY, SECRET_KEY
from kura.testing.postgres import DatabaseUrls

MIB = 2**20


def head(length: int | None, **more: str) -> bytes:
    lines = [
        f"POST {UPLOAD_PATH} HTTP/1.1",
        "host: kura",
        "content-type: multipart/form-data; boundary=b",
        "transfer-encoding: chunked" if length is None else f"content-length: {length}",
        *(f"{name}: {value}" for name, value in {**identity_header(), **more}.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def form_begin(content_type: str = PAYLOAD_TYPE) -> bytes:
    return (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.tar.gz"\r\n'
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n"
    )


FORM_END = b"\r\n--b--\r\n"


class Connection:
    """A client that writes what it likes, when it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, seconds: float = 10) -> bytes:
        async with asyncio.timeout(seconds):
            return await self.reader.read()

    async def status(self, *, seconds: float = 10) -> int:
        async with asyncio.timeout(seconds):
            return int((await self.reader.readline()).split()[1])


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncIterator[Connection]:
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def until_empty(stored: Stored, tmp_path: Path) -> None:
    """Nothing is left, neither objects nor unfinished ones."""
    for _ in range(100):
        if stored.is_empty() and not list((tmp_path / "objects" / ".kura" / "unfinished").iterdir()):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("something was left behind")


async def test_a_chunked_upload_without_length_is_accepted(address: str, stored: Stored) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield form_begin()
        for _ in range(30):
            yield b"x" * 100_000
        yield FORM_END

    headers = {**identity_header(), "content-type": "multipart/form-data; boundary=b"}
    async with httpx.AsyncClient(base_url=address) as http:
        answer = await http.post(UPLOAD_PATH, content=body(), headers=headers)
    assert answer.status_code == 202
    assert stored.uploads()[0]["sha256"] == hashlib.sha256(b"x" * 3_000_000).hexdigest()


async def test_a_client_that_waits_for_continue_is_told_to_go_on(address: str) -> None:
    body = form_begin() + b"x" + FORM_END
    async with connected(address) as client:
        await client.send(head(len(body), expect="100-continue"))
        assert await client.status() == 100
        await client.reader.readline()
        await client.send(body)
        assert await client.status() == 202


async def test_a_client_that_waits_for_continue_with_too_much_is_refused_before_it_sends(address: str) -> None:
    async with connected(address) as client:
        await client.send(head(200 * MIB, expect="100-continue"))
        answer = await client.answer()
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"limit 104857600 bytes" in answer
    assert b"209715200 bytes" in answer


class TestSmallLimit:
    @pytest.fixture
    def upload_settings(self) -> UploadSettings:
        return UploadSettings.from_env({"KURA_UPLOAD_MAX_BYTES": str(MIB)})

    @pytest.mark.parametrize("announced", [True, False], ids=["with length", "chunked"])
    async def test_a_client_that_sends_everything_before_it_reads_gets_its_413(
        self, address: str, stored: Stored, tmp_path: Path, announced: bool
    ) -> None:  # S36
        size = 20 * MIB
        body = form_begin() + b"x" * size + FORM_END
        async with connected(address) as client:
            if announced:
                await client.send(head(len(body)) + body)
            else:
                await client.send(head(None) + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
            answer = await client.answer()
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"limit 1048576 bytes" in answer
        await until_empty(stored, tmp_path)

    async def test_a_refused_client_that_never_stops_is_cut_off(self, address: str) -> None:
        async with connected(address) as client:
            await client.send(head(None))
            with pytest.raises(ConnectionError):
                for _ in range(3000):
                    await client.send(b"%x\r\n" % MIB + b"x" * MIB + b"\r\n")


async def test_a_client_that_goes_away_leaves_nothing(address: str, stored: Stored, tmp_path: Path) -> None:
    async with connected(address) as client:
        await client.send(head(50 * MIB) + form_begin() + b"x" * 5 * MIB)
        for _ in range(100):
            if list((tmp_path / "objects" / ".kura" / "unfinished").iterdir()):
                break
            await asyncio.sleep(0.05)
    await until_empty(stored, tmp_path)


HONEST = form_begin() + b"the archive" + FORM_END
LIES: dict[str, tuple[bytes, bytes, set[int]]] = {
    "length too small": (head(len(HONEST) - 10), HONEST, {400}),
    "length too small by a whole request": (head(len(HONEST)), HONEST + head(len(HONEST)) + HONEST, {202}),
    "length no number": (head(0, **{"content-length": "ten"}), HONEST, {400}),
    "length negative": (head(None).replace(b"transfer-encoding: chunked", b"content-length: -5"), HONEST, {400}),
    "two lengths": (head(len(HONEST), **{"Content-Length": "5"}), HONEST, {400}),
    "length and chunks": (head(len(HONEST), **{"transfer-encoding": "chunked"}), HONEST, {400}),
    "chunk size no number": (head(None), b"zz\r\n" + HONEST + b"\r\n0\r\n\r\n", {400}),
    "chunk size of 20 digits": (head(None), b"f" * 20 + b"\r\n" + HONEST, {400, 413}),
    "boundary of another form": (
        head(len(HONEST)).replace(b"boundary=b", b"boundary=other"), HONEST, {400},
    ),
    "no boundary": (head(len(HONEST)).replace(b"; boundary=b", b""), HONEST, {400}),
    "boundary of 10 kB": (head(len(HONEST)).replace(b"boundary=b", b"boundary=" + b"x" * 10_000), HONEST, {400}),
    "header of 100 kB": (head(len(HONEST), **{"x-long": "x" * 100_000}), HONEST, {400, 431}),
    "1,000 headers": (head(len(HONEST), **{f"x-{n}": "y" * 80 for n in range(1000)}), HONEST, {400, 431}),
    "line break in a header": (head(len(HONEST), **{"x-one": "a\r\n\x00b: c"}), HONEST, {400}),
}  # fmt: skip


@pytest.mark.parametrize("case", LIES)
async def test_what_lies_about_itself_is_refused_and_its_neighbour_is_taken(
    address: str, stored: Stored, tmp_path: Path, case: str
) -> None:  # S36, S39
    before, body, statuses = LIES[case]
    async with connected(address) as client:
        with contextlib.suppress(ConnectionError):
            await client.send(before + body)
        assert await client.status() in statuses

    accepted = 1 if 202 in statuses else 0
    if not accepted:
        await until_empty(stored, tmp_path)
    async with httpx.AsyncClient(base_url=address, headers=identity_header()) as http:
        assert (await http.post(UPLOAD_PATH, files=payload())).status_code == 202
    assert {upload["size"] for upload in stored.uploads()} <= {len(b"the archive"), len(b"archive")}


async def test_a_body_shorter_than_its_length_is_never_an_upload(address: str, stored: Stored, tmp_path: Path) -> None:
    async with connected(address) as client:
        await client.send(head(len(HONEST) + 10) + HONEST)
        client.writer.write_eof()
        assert (await client.answer())[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 499")
    await until_empty(stored, tmp_path)


class TestSlowClients:
    @pytest.fixture
    def upload_settings(self) -> UploadSettings:
        return UploadSettings.from_env({"KURA_UPLOAD_SECONDS": "2", "KURA_UPLOAD_IDLE_SECONDS": "0.7"})

    async def test_a_silent_client_is_answered_408(self, address: str, stored: Stored, tmp_path: Path) -> None:
        async with connected(address) as client:
            await client.send(head(5 * MIB) + form_begin() + b"x" * MIB)
            answer = await client.answer()
        assert answer.startswith(b"HTTP/1.1 408")
        await until_empty(stored, tmp_path)

    async def test_slow_clients_end_at_the_time_limit_and_others_are_not_held_up(
        self, address: str, stored: Stored, tmp_path: Path
    ) -> None:  # F44
        async def drip() -> int:
            async with connected(address) as client:
                await client.send(head(5 * MIB) + form_begin())
                with contextlib.suppress(ConnectionError):
                    for _ in range(100):
                        await client.send(b"x" * 100)
                        if client.reader.at_eof() or client.reader._buffer:  # type: ignore[attr-defined]
                            break
                        await asyncio.sleep(0.1)
                return await client.status()

        slow = [asyncio.create_task(drip()) for _ in range(200)]
        await asyncio.sleep(0.5)
        async with httpx.AsyncClient(base_url=address, headers=identity_header()) as http:
            for _ in range(5):
                answer = await http.post(UPLOAD_PATH, files=payload(b"x" * MIB), timeout=5)
                assert answer.status_code == 202
        assert set(await asyncio.gather(*slow)) == {408}
        assert len(stored.uploads()) == len(stored.objects_stored()) == 5


async def test_a_body_that_does_not_come_is_answered_408(address: str, monkeypatch: pytest.MonkeyPatch) -> None:  # S40
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.2)
    head_lines = ["POST /api/cost-management/v1/sources/ HTTP/1.1", "host: kura", "content-length: 100"]
    head_lines += [f"{name}: {value}" for name, value in identity_header().items()]
    async with connected(address) as client:
        await client.send("\r\n".join(head_lines).encode() + b'\r\n\r\n{"name":')
        assert await client.status() == 408


async def test_stopping_the_service_in_the_middle_of_an_upload_leaves_nothing(
    app: Starlette, stored: Stored, tmp_path: Path
) -> None:
    started: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    service = Service(name="test", app=app, on_ready=started.set_result, shutdown_seconds=1)
    running = asyncio.create_task(service.run())
    where = await started
    assert where.http is not None
    async with connected(where.http) as client:
        await client.send(head(50 * MIB) + form_begin() + b"x" * 3 * MIB)
        await asyncio.sleep(0.3)
        service.stop()
        await running
    await until_empty(stored, tmp_path)


# ------------------------------------------------------------------------------------------------- memory


@dataclass(frozen=True)
class Gateway:
    """The write gateway as a process of its own."""

    address: str
    process: psutil.Process
    objects: ObjectStore


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.s3)])
def gateway(database_urls: DatabaseUrls, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Gateway]:
    store: ObjectStore
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": database_urls.writer, "KURA_HTTP_PORT": "0"}
    if request.param == "directory":
        store = request.getfixturevalue("directory_store")
        environment["OBJECT_STORE"] = f"file://{tmp_path}/objects"
    else:
        store = request.getfixturevalue("s3_store")
        environment |= {
            "OBJECT_STORE": f"s3://{store.bucket}",  # type: ignore[attr-defined]
            "S3_ENDPOINT": request.getfixturevalue("s3_endpoint"),
            "S3_ACCESS_KEY": ACCESS_KEY,
            "S3_SECRET_KEY": SECRET_KEY,
        }
    log = tmp_path / "log"
    with log.open("wb") as output:
        running = subprocess.Popen([sys.executable, "-m", "kura.api_writes.main"], env=environment, stderr=output)
    try:
        yield Gateway(_address_in(log, running), psutil.Process(running.pid), store)
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0


def _address_in(log: Path, running: "subprocess.Popen[bytes]") -> str:
    import time

    import orjson

    for _ in range(600):
        for line in log.read_bytes().splitlines():
            event = orjson.loads(line) if line.startswith(b"{") else {}
            if event.get("event") == "service_started":
                return str(event["http"])
        assert running.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.mark.slow
async def test_twenty_large_uploads_at_once_take_little_memory(gateway: Gateway, database: Database) -> None:  # P5
    stored = Stored(database, gateway.objects)
    server = gateway.process
    megabytes = int(os.environ.get("KURA_TEST_UPLOAD_MEGABYTES", "12"))
    block = os.urandom(MIB)

    async def upload() -> int:
        length = len(form_begin()) + megabytes * MIB + len(FORM_END)
        async with connected(gateway.address) as client:
            await client.send(head(length) + form_begin())
            for _ in range(megabytes):
                await client.send(block)
            await client.send(FORM_END)
            return await client.status(seconds=120)

    assert await asyncio.gather(upload()) == [202]  # everything is imported and connected
    before = server.memory_info().rss
    peak = before
    uploads = asyncio.gather(*(upload() for _ in range(20)))
    while not uploads.done():
        peak = max(peak, server.memory_info().rss)
        await asyncio.sleep(0.02)

    assert await uploads == [202] * 20
    assert len(stored.uploads()) == 21
    assert {stored.objects.size(key) for key in stored.objects_stored()} == {megabytes * MIB}
    print(f"before {before / MIB:.0f} MiB, peak {peak / MIB:.0f} MiB")
    assert peak - before < 64 * MIB
