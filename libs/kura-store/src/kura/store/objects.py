"""The object store: payloads and Parquet by key. A directory (single pod, tests) or S3 (production).

Keys are relative, `/` separated and the same in both. An object appears whole, under its key, when its writer is
closed, and replaces the object that was there; what is never closed is never seen. Nothing is read or written whole
unless `read` is asked for, so objects may be larger than memory.

Errors: ObjectMissing; ObjectStoreUnavailable for everything that may pass; BadRequest for a key that is none.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Final, Self
from urllib.parse import unquote, urlsplit

from kura.core.errors import BadRequest, ConfigError, ObjectMissing

if TYPE_CHECKING:
    import pyarrow.fs
    from pydantic import SecretStr

    from kura.core.config import ObjectStoreSettings

# S3 allows keys of 1024 bytes; a part of a path in a directory may have 255.
LONGEST_KEY: Final = 1024
LONGEST_PART: Final = 255
RESERVED: Final = ".kura"
READ_BYTES: Final = 2**20


@dataclass(frozen=True, kw_only=True)
class ObjectInfo:
    """One stored object. Names in `metadata` are lower case; lists leave it empty."""

    key: str
    size: int
    modified: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


class ObjectWriter(ABC):
    """A new object being written; a file for Arrow, tarfile and gzip. Not closed twice, not used by two threads.

    As a context manager it is closed at the end of the block, or aborted when the block raises.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.closed = False
        self._position = 0

    def write(self, data: bytes | bytearray | memoryview) -> int:
        if self.closed:
            raise ValueError(f"the writer of {self.key} is closed")
        view = memoryview(data).cast("B")
        self._append(view)
        self._position += len(view)
        return len(view)

    def close(self) -> None:
        """Publish the object. After an error here nothing is published."""
        if self.closed:
            return
        self.closed = True
        self._publish()

    def abort(self) -> None:
        """Forget the object; what was stored under the key before stays."""
        if self.closed:
            return
        self.closed = True
        self._discard()

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:  # noqa: B027
        """Part of being a file; nothing is visible before close."""

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    @abstractmethod
    def _append(self, data: memoryview) -> None: ...

    @abstractmethod
    def _publish(self) -> None: ...

    @abstractmethod
    def _discard(self) -> None: ...


class ObjectStore(ABC):
    """What both stores do. Methods block and may be called from any thread."""

    part_bytes: ClassVar[int] = 0
    """Writers gather this much before they send it; writes of exactly this size are sent without being kept."""

    @staticmethod
    def open(
        url: str,
        *,
        endpoint: str | None = None,
        region: str = "us-east-1",
        access_key: str | None = None,
        secret_key: str | None = None,
        ca_bundle: Path | None = None,
    ) -> ObjectStore:
        """The store at `file:///directory` or `s3://bucket/prefix`; the other arguments are for S3."""
        address = urlsplit(url)
        if address.query or address.fragment:
            raise ConfigError(f"OBJECT_STORE: nothing may follow the path: {url}")
        if address.scheme == "file" and not address.netloc and address.path.strip("/"):
            from kura.store.object_directory import DirectoryStore

            return DirectoryStore(Path(unquote(address.path)))
        if address.scheme == "s3" and address.netloc:
            from kura.store.object_s3 import S3Store

            return S3Store(
                bucket=address.netloc,
                prefix=address.path.strip("/"),
                endpoint=endpoint,
                region=region,
                access_key=access_key,
                secret_key=secret_key,
                ca_bundle=ca_bundle,
            )
        raise ConfigError(f"OBJECT_STORE: neither file:///directory nor s3://bucket: {url}")

    @staticmethod
    def from_settings(settings: ObjectStoreSettings) -> ObjectStore:
        return ObjectStore.open(
            settings.object_store,
            endpoint=settings.s3_endpoint,
            region=settings.s3_region,
            access_key=_revealed(settings.s3_access_key),
            secret_key=_revealed(settings.s3_secret_key),
            ca_bundle=settings.s3_ca_bundle,
        )

    # ------------------------------------------------------------------------------------------------------ writing

    @abstractmethod
    def open_write(self, key: str, metadata: Mapping[str, str] | None = None) -> ObjectWriter:
        """A writer that publishes the object when it is closed."""

    def write(self, key: str, content: bytes | Iterable[bytes], metadata: Mapping[str, str] | None = None) -> int:
        """Store an object from bytes or from chunks of them; its size."""
        with self.open_write(key, metadata) as writer:
            for chunk in (content,) if isinstance(content, bytes) else content:
                writer.write(chunk)
        return writer.tell()

    def together(self) -> AbstractContextManager[ObjectStore]:
        """This store for writing several objects from any thread: seen as soon as written, kept once the block ends."""
        return nullcontext(self)

    @abstractmethod
    def delete(self, keys: Iterable[str]) -> int:
        """Remove objects; those that are not there are no error. How many keys were given."""

    @abstractmethod
    def remove_unfinished(self, *, older_than: timedelta) -> int:
        """Clean up after writers that died before that time; how many."""

    # ------------------------------------------------------------------------------------------------------ reading

    @abstractmethod
    def open_read(self, key: str) -> BinaryIO:
        """A seekable reader of one version of the object: if it is replaced meanwhile, reading fails."""

    def read(self, key: str) -> bytes:
        """The whole object, in memory."""
        with self.open_read(key) as reader:
            return reader.read()

    def read_chunks(self, key: str, *, size: int = READ_BYTES) -> Iterator[bytes]:
        """The object piece by piece."""
        with self.open_read(key) as reader:
            while chunk := reader.read(size):
                yield chunk

    @abstractmethod
    def info(self, key: str) -> ObjectInfo:
        """Size, time and metadata of an object."""

    def exists(self, key: str) -> bool:
        try:
            self.info(key)
        except ObjectMissing:
            return False
        return True

    def size(self, key: str) -> int:
        return self.info(key).size

    def metadata(self, key: str) -> Mapping[str, str]:
        return self.info(key).metadata

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The objects whose keys start with `prefix`, in the order of their keys' bytes, without metadata."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        return (found.key for found in self.list(prefix))

    # -------------------------------------------------------------------------------------------------------- others

    @abstractmethod
    def arrow_filesystem(self) -> tuple[pyarrow.fs.FileSystem, str]:
        """An Arrow file system and the path of this store in it, for reading datasets.

        Write through `open_write`, which Arrow accepts as a file: Arrow's own writers show half-written files.
        """

    def arrow_path(self, key: str) -> str:
        """Where an object lies in `arrow_filesystem()`."""
        return f"{self.arrow_filesystem()[1]}/{key_checked(key)}"

    @abstractmethod
    def ping(self) -> None:
        """Return if the store answers, else raise ObjectStoreUnavailable."""

    @abstractmethod
    def close(self) -> None:
        """Free connections."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def key_checked(key: str) -> str:
    """The same key, if it names an object inside the store; BadRequest otherwise."""
    parts = key.split("/")
    if (
        not key
        or len(key.encode(errors="surrogatepass")) > LONGEST_KEY
        or any(part in ("", ".", "..") or len(part.encode(errors="surrogatepass")) > LONGEST_PART for part in parts)
        or not key.isprintable()
        or "\\" in key
        or parts[0] == RESERVED
    ):
        raise BadRequest(f"{key[:100]!r} is not the key of an object.", field="key")
    return key


def prefix_checked(prefix: str) -> str:
    """The same prefix, if it can begin a key; BadRequest otherwise."""
    whole = prefix.rstrip("/")
    if whole:
        key_checked(whole)
    if prefix not in (whole, f"{whole}/") or prefix == "/":
        raise BadRequest(f"{prefix[:100]!r} is not the beginning of keys.", field="prefix")
    return prefix


def metadata_checked(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Names in lower case, as S3 gives them back; BadRequest for what a header cannot carry."""
    checked = {name.lower(): value for name, value in (metadata or {}).items()}
    for name, value in checked.items():
        if not (name.isascii() and name.replace("-", "").isalnum() and value.isascii() and value.isprintable()):
            raise BadRequest(f"metadata {name!r} cannot be stored", field="metadata")
    return checked


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def buffered(raw: io.RawIOBase, *, size: int) -> BinaryIO:
    """A buffered reader, typed as what callers expect."""
    reader: Any = io.BufferedReader(raw, buffer_size=size)
    return reader  # type: ignore[no-any-return]
