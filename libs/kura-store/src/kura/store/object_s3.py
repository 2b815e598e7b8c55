"""The object store in an S3 bucket (AWS, MinIO, ODF), through s3fs' asynchronous client.

Small objects are put in one request, larger ones in parts of PART_BYTES, one part in memory at a time. Bodies carry
their MD5, readers check length and version, requests are repeated a few times.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar
from urllib.parse import urlsplit

import s3fs
from aiohttp import ClientError as HttpClientError
from botocore.exceptions import BotoCoreError, ClientError
from fsspec.asyn import sync
from fsspec.exceptions import FSTimeoutError

from kura.core.errors import ObjectMissing, ObjectStoreUnavailable
from kura.store.objects import (
    ObjectInfo,
    ObjectStore,
    ObjectWriter,
    buffered,
    key_checked,
    metadata_checked,
    prefix_checked,
)

if TYPE_CHECKING:
    import pyarrow.fs

Answer = TypeVar("Answer")

PART_BYTES: Final = 8 * 2**20  # S3 takes 5 MiB to 5 GiB, at most 10,000 parts: objects up to 78 GiB
RANGE_BYTES: Final = 4 * 2**20
PAGE: Final = 1000
DELETES_AT_ONCE: Final = 16
READ_ATTEMPTS: Final = 4
CONNECT_SECONDS: Final = 10
READ_SECONDS: Final = 30
CLIENT_ATTEMPTS: Final = 3
FILESYSTEM_ATTEMPTS: Final = 3
"""Of both together, so that a store that is asked to slow down by everybody gets nine requests of each, and a sender
who waits thirty seconds for an answer gets one."""
ARROW_ATTEMPTS: Final = 5


class S3Store(ObjectStore):
    """Objects of one bucket, under an optional prefix. Without keys the environment's credentials are used."""

    part_bytes = PART_BYTES

    def __init__(
        self,
        *,
        bucket: str,
        prefix: str = "",
        endpoint: str | None = None,
        region: str = "us-east-1",
        access_key: str | None = None,
        secret_key: str | None = None,
        ca_bundle: Path | None = None,
    ) -> None:
        self.bucket = bucket
        self._base = f"{prefix}/" if prefix else ""
        self._endpoint = endpoint
        self._region = region
        self._access_key = access_key
        self._secret_key = secret_key
        self._ca_bundle = ca_bundle
        self._s3 = s3fs.S3FileSystem(
            key=access_key,
            secret=secret_key,
            endpoint_url=endpoint,
            client_kwargs={"region_name": region} | ({"verify": str(ca_bundle)} if ca_bundle else {}),
            config_kwargs={
                "connect_timeout": CONNECT_SECONDS,
                "read_timeout": READ_SECONDS,
                "retries": {"total_max_attempts": CLIENT_ATTEMPTS, "mode": "standard"},
                # Newer checksums are unknown to older MinIO and Ceph; bodies carry an MD5 instead.
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
            },
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        self._s3.retries = FILESYSTEM_ATTEMPTS

    def open_write(self, key: str, metadata: Mapping[str, str] | None = None) -> ObjectWriter:
        return _PartsWriter(self, key_checked(key), metadata_checked(metadata))

    def delete(self, keys: Iterable[str]) -> int:
        checked = [key_checked(key) for key in keys]
        with _translating("delete"):
            sync(self._s3.loop, self._delete, checked)
        return len(checked)

    async def _delete(self, keys: list[str]) -> None:
        """One request per object: the batch request needs a checksum that stores do not agree on."""
        turns = asyncio.Semaphore(DELETES_AT_ONCE)

        async def delete_one(key: str) -> None:
            async with turns:
                await self._s3._call_s3("delete_object", Bucket=self.bucket, Key=self._base + key)

        await asyncio.gather(*(delete_one(key) for key in keys))

    def remove_unfinished(self, *, older_than: timedelta) -> int:
        oldest = datetime.now(UTC) - older_than
        count = 0
        with _translating("multipart uploads"):
            for page in self._pages("list_multipart_uploads", Prefix=self._base):
                for upload in page.get("Uploads", []):
                    if upload["Initiated"] < oldest:
                        self.request("abort_multipart_upload", upload["Key"], UploadId=upload["UploadId"])
                        count += 1
        return count

    def open_read(self, key: str) -> BinaryIO:
        return buffered(_RangeReader(self, key_checked(key)), size=RANGE_BYTES)

    def info(self, key: str) -> ObjectInfo:
        head = self.head(key_checked(key))
        return ObjectInfo(
            key=key,
            size=head["ContentLength"],
            modified=head["LastModified"],
            metadata={name.lower(): value for name, value in head.get("Metadata", {}).items()},
        )

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        with _translating(prefix_checked(prefix)):
            for page in self._pages("list_objects_v2", Prefix=self._base + prefix, MaxKeys=PAGE):
                for found in page.get("Contents", []):
                    key = found["Key"].removeprefix(self._base)
                    yield ObjectInfo(key=key, size=found["Size"], modified=found["LastModified"])

    def arrow_filesystem(self) -> tuple[pyarrow.fs.FileSystem, str]:
        import pyarrow.fs

        options: dict[str, Any] = {
            "region": self._region,
            "connect_timeout": float(CONNECT_SECONDS),
            "request_timeout": float(READ_SECONDS),
            "retry_strategy": pyarrow.fs.AwsStandardS3RetryStrategy(max_attempts=ARROW_ATTEMPTS),
        }
        if self._endpoint:
            address = urlsplit(self._endpoint)
            options |= {"scheme": address.scheme, "endpoint_override": address.netloc}
        if self._access_key:
            options |= {"access_key": self._access_key, "secret_key": self._secret_key}
        if self._ca_bundle:
            options["tls_ca_file_path"] = str(self._ca_bundle)
        return pyarrow.fs.S3FileSystem(**options), f"{self.bucket}/{self._base}".rstrip("/")

    def ping(self) -> None:
        try:
            with _translating(self.bucket):
                sync(self._s3.loop, self._s3._call_s3, "head_bucket", Bucket=self.bucket)
        except ObjectMissing as error:
            raise ObjectStoreUnavailable(f"The bucket {self.bucket} does not exist.") from error

    def close(self) -> None:
        creator = getattr(self._s3, "_s3creator", None)
        if creator is not None:
            self._s3.close_session(self._s3.loop, creator)

    # ---------------------------------------------------------------------------------- used by writers and readers

    def head(self, key: str) -> dict[str, Any]:
        with _translating(key):
            return self.request("head_object", self._base + key)

    def request(self, operation: str, full_key: str, **arguments: Any) -> dict[str, Any]:
        """One request about one object; raises the client's errors."""
        answer: dict[str, Any] = sync(
            self._s3.loop, self._s3._call_s3, operation, Bucket=self.bucket, Key=full_key, **arguments
        )
        return answer

    def full_key(self, key: str) -> str:
        return self._base + key

    def read_range(self, key: str, *, start: int, end: int, etag: str) -> bytes:
        """Bytes [start, end) of that version of the object; short answers are asked for again."""

        async def attempt() -> bytes:
            answer = await self._s3._call_s3(
                "get_object",
                Bucket=self.bucket,
                Key=self._base + key,
                Range=f"bytes={start}-{end - 1}",
                IfMatch=etag,
            )
            async with answer["Body"] as body:
                content: bytes = await body.read()
            if len(content) != end - start:
                raise _ShortAnswer(f"{len(content)} bytes instead of {end - start}")
            return content

        with _translating(key):
            return self._repeated(attempt)

    def _repeated(self, attempt: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """Bodies are read after the client's own retries have ended, hence retries of our own."""

        async def attempts() -> Answer:
            for number in range(1, READ_ATTEMPTS):
                try:
                    return await attempt()
                except (HttpClientError, BotoCoreError, TimeoutError, ConnectionError, _ShortAnswer):
                    await asyncio.sleep(0.1 * 2**number)
            return await attempt()

        answer: Answer = sync(self._s3.loop, attempts)
        return answer

    def _pages(self, operation: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        position: dict[str, str] = {}
        while True:
            page: dict[str, Any] = sync(
                self._s3.loop, self._s3._call_s3, operation, Bucket=self.bucket, **arguments, **position
            )
            yield page
            if not page.get("IsTruncated"):
                return
            if operation == "list_objects_v2":
                position = {"ContinuationToken": page["NextContinuationToken"]}
            else:
                position = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


class _ShortAnswer(OSError):
    """The body ended before its announced length."""


class _PartsWriter(ObjectWriter):
    """Sends a part whenever PART_BYTES have come together; a small object goes in one request."""

    def __init__(self, store: S3Store, key: str, metadata: Mapping[str, str]) -> None:
        super().__init__(key)
        self._store = store
        self._full_key = store.full_key(key)
        self._object_metadata = dict(metadata)
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._parts: list[dict[str, Any]] = []

    def _append(self, data: memoryview) -> None:
        while data:
            if not self._buffer and len(data) >= PART_BYTES:
                self._send(_as_bytes(data[:PART_BYTES]))  # whole parts pass through without being kept
                data = data[PART_BYTES:]
                continue
            room = PART_BYTES - len(self._buffer)
            self._buffer += data[:room]
            data = data[room:]
            if len(self._buffer) == PART_BYTES:
                part = bytes(self._buffer)
                self._buffer.clear()
                self._send(part)

    def _send(self, part: bytes) -> None:
        with _translating(self.key):
            if self._upload_id is None:
                begun = self._store.request("create_multipart_upload", self._full_key, Metadata=self._object_metadata)
                self._upload_id = begun["UploadId"]
            number = len(self._parts) + 1
            sent = self._store.request(
                "upload_part",
                self._full_key,
                UploadId=self._upload_id,
                PartNumber=number,
                Body=part,
                ContentMD5=_md5(part),
            )
            self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})

    def _publish(self) -> None:
        try:
            rest = bytes(self._buffer)
            self._buffer.clear()
            if self._upload_id is None:
                with _translating(self.key):
                    self._store.request(
                        "put_object",
                        self._full_key,
                        Body=rest,
                        ContentMD5=_md5(rest),
                        Metadata=self._object_metadata,
                    )
                return
            if rest:
                self._send(rest)
            with _translating(self.key):
                self._store.request(
                    "complete_multipart_upload",
                    self._full_key,
                    UploadId=self._upload_id,
                    MultipartUpload={"Parts": self._parts},
                )
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        self._buffer.clear()
        if self._upload_id is None:
            return
        try:
            with _translating(self.key):
                self._store.request("abort_multipart_upload", self._full_key, UploadId=self._upload_id)
        except (ObjectMissing, ObjectStoreUnavailable):
            return  # the clean-up of unfinished uploads finds it


class _RangeReader(io.RawIOBase):
    """Random access by range requests, all to the version that was there at the start."""

    def __init__(self, store: S3Store, key: str) -> None:
        super().__init__()
        head = store.head(key)
        self._store = store
        self._key = key
        self._size: int = head["ContentLength"]
        self._etag: str = head["ETag"]
        self._position = 0

    def readinto(self, target: Any, /) -> int:
        view = memoryview(target).cast("B")
        end = min(self._position + len(view), self._size)
        if end <= self._position:
            return 0
        content = self._store.read_range(self._key, start=self._position, end=end, etag=self._etag)
        view[: len(content)] = content
        self._position = end
        return len(content)

    def readall(self) -> bytes:
        """The rest, in ranges as large as those of a buffered reader; what Python inherits here asks for 8 KiB each."""
        pieces = []
        while piece := self.read(RANGE_BYTES):
            pieces.append(piece)
        return b"".join(pieces)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"seek before the start of {self._key}")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


@contextmanager
def _translating(key: str) -> Iterator[None]:
    """Errors of the client become ours. Answers may hold request ids and host names, never credentials."""
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectMissing(f"{key} is not in the object store.") from error
    except (OSError, FSTimeoutError, BotoCoreError, ClientError, HttpClientError) as error:
        raise ObjectStoreUnavailable(f"The object store failed at {key}: {error}") from error


def _as_bytes(view: memoryview) -> bytes:
    """The bytes of a view, without copying when it shows all of a bytes object."""
    if isinstance(view.obj, bytes) and len(view.obj) == len(view):
        return view.obj
    return bytes(view)


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
