"""Receive one upload: the body streams into the object store while it is parsed (ocp-payload §1.1, §1.3).

Memory per upload is one network chunk and one write buffer, whatever its size. Nothing is stored of an upload that is
refused, breaks off or is only a test.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import parse_qs

from starlette.types import Receive

from kura.api_writes.multipart import PartBegins, PartData, boundary_of, read_parts, service_of
from kura.core.errors import BadRequest, Deadline, KuraError, ObjectStoreUnavailable, PayloadTooLarge, UnsupportedMedia
from kura.store.objects import ObjectStore, ObjectWriter

SERVICE = "hccm"
WRITE_BYTES = 256 * 1024  # one write to the store; large enough that a thread switch per write costs nothing
LONGEST_TEST_BODY = 64 * 1024  # a test request is a few bytes
MOST_TEST_FIELDS = 100
FORM_OVERHEAD_BYTES = 2 * 2**20  # boundaries, headers, `metadata` and other small fields beside the file


class FileFieldMissing(BadRequest):
    """The request has no file. Clients know the text of this answer."""

    code = "file_field_missing"

    def __init__(self) -> None:
        super().__init__("File or upload field not found")


class FileEmpty(BadRequest):
    """The uploaded file is empty."""

    code = "file_empty"


class ClientGone(KuraError):
    """The client closed the connection before its upload was complete."""

    code, http = "client_gone", 499


class UploadTimeout(Deadline):
    """The upload took too long."""

    code, http = "upload_timeout", 408


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one upload may take."""

    file_bytes: int
    total_seconds: float
    idle_seconds: float

    @property
    def body_bytes(self) -> int:
        return self.file_bytes + FORM_OVERHEAD_BYTES


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file part that lies completely in the object store."""

    key: str
    size: int
    sha256: str
    content_type: str


async def receive_upload(
    receive: Receive,
    *,
    content_type: str | None,
    content_length: int | None,
    limits: Limits,
    new_key: Callable[[], str],
    store: ObjectStore,
    executor: Executor,
) -> StoredFile | None:
    """The stored file of one upload request; None when the request is only a test."""
    if content_length is not None and content_length > limits.body_bytes:
        raise too_large(limits, found=content_length, what="request")

    body = read_body(receive, limits)
    is_test = TEST_BODIES.get((content_type or "").partition(";")[0].strip().lower())
    if is_test is not None:
        if is_test(await whole_text(body)):
            return None
        raise FileFieldMissing
    if not (content_type or "").strip().lower().startswith("multipart/form-data"):
        raise FileFieldMissing

    form = _Form(limits=limits, new_key=new_key, store=store, executor=executor)
    try:
        async for event in read_parts(body, boundary=boundary_of(content_type)):
            await form.take(event)
        return await form.finish()
    except BaseException:
        await form.discard()
        raise


async def read_body(receive: Receive, limits: Limits) -> AsyncIterator[bytes]:
    """Chunks of the body. Ends with an error when it is too large, too slow, or the client goes away."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + limits.total_seconds
    received = 0
    while True:
        patience = min(limits.idle_seconds, deadline - clock())
        try:
            async with asyncio.timeout(patience):
                message = await receive()
        except TimeoutError:
            raise UploadTimeout(
                f"the upload was not complete within {limits.total_seconds:g} s, "
                f"or sent nothing for {limits.idle_seconds:g} s"
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        received += len(chunk)
        if received > limits.body_bytes:
            raise too_large(limits, found=received, what="request", at_least=True)
        if chunk:
            yield chunk
        if not message.get("more_body", False):
            return


async def whole_text(body: AsyncIterator[bytes]) -> bytes:
    """A small body as it is; nothing of one that is too large for a test request."""
    text = bytearray()
    async for chunk in body:
        if len(text) + len(chunk) > LONGEST_TEST_BODY:
            return b""
        text += chunk
    return bytes(text)


def is_json_test(text: bytes) -> bool:
    """Whether a JSON body is the object {"test": "test"}."""
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
        return isinstance(found, dict) and found.get("test") == "test"
    return False


def is_form_test(text: bytes) -> bool:
    """Whether a form without files has the field test=test."""
    with suppress(ValueError):
        return parse_qs(text, max_num_fields=MOST_TEST_FIELDS).get(b"test", [b""])[0] == b"test"
    return False


TEST_BODIES: Mapping[str, Callable[[bytes], bool]] = {
    "application/json": is_json_test,
    "application/x-www-form-urlencoded": is_form_test,
}
"""Bodies that can hold no file, and what makes them a test request (ocp-payload §1.1)."""


def too_large(limits: Limits, *, found: int, what: str, at_least: bool = False) -> PayloadTooLarge:
    size = f"at least {found}" if at_least else f"{found}"
    return PayloadTooLarge(f"File exceeds the maximum size: limit {limits.file_bytes} bytes, {what} {size} bytes")


class _Form:
    """The fields of one form as they arrive: `file`, or else `upload`, and `test` (ocp-payload §1.1)."""

    def __init__(self, *, limits: Limits, new_key: Callable[[], str], store: ObjectStore, executor: Executor) -> None:
        self._limits = limits
        self._new_key = new_key
        self._store = store
        self._executor = executor
        self._file: _FilePart | None = None
        self._test = bytearray()
        self._receiver: _FilePart | bytearray | None = None

    async def take(self, event: object) -> None:
        if isinstance(event, PartBegins):
            self._receiver = await self._receiver_of(event)
        elif isinstance(event, PartData):
            if isinstance(self._receiver, _FilePart):
                await self._receiver.write(event.data)
            elif isinstance(self._receiver, bytearray) and len(self._receiver) <= len(b"test"):
                self._receiver += event.data[: len(b"test") + 1]
        else:
            self._receiver = None

    async def finish(self) -> StoredFile | None:
        """Close the file. Order of refusals: test request, no file, type, empty."""
        if bytes(self._test) == b"test":
            await self.discard()
            return None
        if self._file is None:
            raise FileFieldMissing
        if not self._file.accepted:
            raise UnsupportedMedia
        if self._file.size == 0:
            raise FileEmpty
        return await self._file.finish()

    async def discard(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            await file.discard()

    async def _receiver_of(self, part: PartBegins) -> _FilePart | bytearray | None:
        if part.field == "test" and not part.is_file:
            self._test.clear()
            return self._test
        if not part.is_file or part.field not in ("file", "upload"):
            return None
        if self._file is not None and (self._file.field == "file" or part.field == "upload"):
            return None  # the first `file` wins over every other, the first `upload` over later ones
        await self.discard()
        self._file = _FilePart(
            part, limits=self._limits, key=self._new_key(), store=self._store, executor=self._executor
        )
        return self._file


class _FilePart:
    """One file part on its way into the object store; only counted when its type is refused anyway."""

    def __init__(self, part: PartBegins, *, limits: Limits, key: str, store: ObjectStore, executor: Executor) -> None:
        self.field = part.field
        self.accepted = service_of(part.content_type) == SERVICE
        self.size = 0
        self._content_type = part.content_type
        self._limits = limits
        self._executor = executor
        self._buffer = bytearray()
        self._object = _Object(store, key)

    async def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._limits.file_bytes:
            raise too_large(self._limits, found=self.size, what="file", at_least=True)
        if not self.accepted:
            return
        self._buffer += data
        if len(self._buffer) >= WRITE_BYTES:
            await self._flush()

    async def finish(self) -> StoredFile:
        await self._flush()
        await self._in_thread(self._object.close)
        return StoredFile(
            key=self._object.key, size=self.size, sha256=self._object.sha256, content_type=self._content_type[:255]
        )

    async def discard(self) -> None:
        """Leave nothing behind, also when the request itself is being cancelled."""
        loop = asyncio.get_running_loop()
        await asyncio.shield(loop.run_in_executor(self._executor, self._object.remove))

    async def _flush(self) -> None:
        data, self._buffer = self._buffer, bytearray()
        await self._in_thread(lambda: self._object.write(data))

    async def _in_thread(self, work: Callable[[], None]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except OSError as error:
            raise ObjectStoreUnavailable("the object store does not accept the upload") from error


class _Object:
    """The object of one upload, used in threads. A cancelled request may still have a write running: hence the lock.

    A store that takes large parts would keep one in memory for every upload. Here they come together in a file, and
    only those are in memory that are just being sent: one for each thread of the executor.
    """

    def __init__(self, store: ObjectStore, key: str) -> None:
        self.key = key
        self._store = store
        self._digest = hashlib.sha256()
        self._writer: ObjectWriter | None = None
        self._part: BinaryIO | None = None
        self._closed = False
        self._busy = threading.Lock()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, data: bytearray) -> None:
        with self._busy:
            self._digest.update(data)
            if self._store.part_bytes <= WRITE_BYTES:
                self._open().write(data)
                return
            if self._part is None:
                self._part = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by close and remove
            self._part.write(data)
            if self._part.tell() >= self._store.part_bytes:
                self._send(self._store.part_bytes)

    def close(self) -> None:
        with self._busy:
            if self._part is not None:
                self._part.seek(0)
                self._open().write(self._part.read())
                self._part.close()
            self._open().close()
            self._closed = True

    def remove(self) -> None:
        with self._busy:
            if self._part is not None:
                self._part.close()
            if self._closed:
                self._store.delete([self.key])
            elif self._writer is not None:
                self._writer.abort()
            self._writer = None
            self._closed = False

    def _open(self) -> ObjectWriter:
        if self._writer is None:
            self._writer = self._store.open_write(self.key)
        return self._writer

    def _send(self, size: int) -> None:
        """Hand on exactly one part; what came after it becomes the beginning of the next."""
        assert self._part is not None
        self._part.seek(0)
        self._open().write(self._part.read(size))
        rest = self._part.read()
        self._part.seek(0)
        self._part.truncate()
        self._part.write(rest)
