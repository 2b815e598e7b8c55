"""The object store in a directory.

An object is a file under its key. It is first written under `.kura/unfinished/`, brought to the disk, then renamed, so
that it is either there whole or not at all, also after a power cut. Metadata lies beside it in `.kura/metadata/`; it
explains the object and nothing relies on it, so it is left to the system when it comes to the disk.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final
from uuid import uuid4

import orjson

from kura.core.errors import ObjectMissing, ObjectStoreUnavailable
from kura.store.objects import (
    READ_BYTES,
    RESERVED,
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
    from _typeshed import WriteableBuffer

PRIVATE_FILE: Final = 0o600
PRIVATE_DIRECTORY: Final = 0o700
# Another process may remove a directory that became empty just before we put a file into it.
PLACING_ATTEMPTS: Final = 20


class DirectoryStore(ObjectStore):
    """Objects as files. Several processes on one machine may share the directory."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().resolve()
        self._unfinished = self._root / RESERVED / "unfinished"
        self._metadata = self._root / RESERVED / "metadata"
        with _translating(str(self._root)):
            for directory in (self._unfinished, self._metadata):
                _make_directories(_missing(directory))
        self._unsynced: set[Path] | None = None
        self._young: set[Path] = set()  # directories whose own names may not be on the disk yet, of every writer

    def open_write(self, key: str, metadata: Mapping[str, str] | None = None) -> ObjectWriter:
        return _FileWriter(self, key_checked(key), metadata_checked(metadata))

    @contextmanager
    def together(self) -> Iterator[DirectoryStore]:
        """Names come to the disk at the end of the block, all after one another: mostly the first brings the others."""
        store = copy(self)
        store._unsynced = set()
        yield store
        with _translating(str(self._root)):
            self._sync(store._unsynced)

    def delete(self, keys: Iterable[str]) -> int:
        count = 0
        for key in keys:
            with _translating(key_checked(key)):
                for top in (self._root, self._metadata):
                    (top / key).unlink(missing_ok=True)
                    _remove_empty_parents(top / key, top=top)
            count += 1
        return count

    def remove_unfinished(self, *, older_than: timedelta) -> int:
        oldest = time.time() - older_than.total_seconds()
        count = 0
        with _translating(RESERVED):
            for entry in os.scandir(self._unfinished):
                with suppress(FileNotFoundError):
                    if entry.stat().st_mtime < oldest:
                        Path(entry).unlink()
                        count += 1
        return count

    def open_read(self, key: str) -> BinaryIO:
        with _translating(key_checked(key)):
            return buffered(_FileReader(self._root / key, key), size=READ_BYTES)

    def info(self, key: str) -> ObjectInfo:
        path = self._root / key_checked(key)
        with _translating(key):
            if not path.is_file():
                raise ObjectMissing(f"{key} is not in the object store.")
            found = path.stat()
            try:
                metadata = orjson.loads((self._metadata / key).read_bytes())
            except (FileNotFoundError, orjson.JSONDecodeError):  # none, or lost with the power
                metadata = {}
        return ObjectInfo(key=key, size=found.st_size, modified=_moment(found), metadata=metadata)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        folder, _, _ = prefix_checked(prefix).rpartition("/")
        with _translating(prefix):
            yield from self._walk(folder, prefix)

    def _walk(self, folder: str, prefix: str) -> Iterator[ObjectInfo]:
        try:
            found = list(os.scandir(self._root / folder))
        except (FileNotFoundError, NotADirectoryError):
            return
        named = [(f"{entry.name}/" if entry.is_dir() else entry.name, entry) for entry in found]
        for name, entry in sorted(named, key=lambda pair: os.fsencode(pair[0])):
            key = f"{folder}/{name}" if folder else name
            if key == f"{RESERVED}/" or not (key.startswith(prefix) or prefix.startswith(key)):
                continue
            if name.endswith("/"):
                yield from self._walk(key.rstrip("/"), prefix)
            elif key.startswith(prefix):
                with suppress(FileNotFoundError):
                    state = entry.stat()
                    yield ObjectInfo(key=key, size=state.st_size, modified=_moment(state))

    def arrow_filesystem(self) -> tuple[pyarrow.fs.FileSystem, str]:
        import pyarrow.fs

        return pyarrow.fs.LocalFileSystem(), str(self._root)

    def ping(self) -> None:
        with _translating(str(self._root)):
            os.scandir(self._unfinished).close()

    def close(self) -> None:
        """Nothing is held open."""

    # ------------------------------------------------------------------------------------------- used by the writer

    def begin(self) -> tuple[Path, int]:
        """A new private file for an object in the making."""
        path = self._unfinished / uuid4().hex
        return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)

    def place(self, unfinished: Path, key: str, metadata: Mapping[str, str]) -> None:
        """Put the finished file under its key. Its metadata is there first, so no object is seen without."""
        target = self._metadata / key
        if metadata:
            path, descriptor = self.begin()
            with os.fdopen(descriptor, "wb") as file:
                file.write(orjson.dumps(dict(metadata), option=orjson.OPT_SORT_KEYS))
            _rename(path, target, young=set())
        else:
            target.unlink(missing_ok=True)
        named = _rename(unfinished, self._root / key, young=self._young)
        if self._unsynced is None:
            self._sync(named)
        else:
            self._unsynced |= named

    def _sync(self, directories: Iterable[Path]) -> None:
        """Bring the names in these directories to the disk, from the top."""
        for directory in sorted(directories):
            grown = {young for young in self._young.copy() if young.parent == directory and young.exists()}
            _sync_directory(directory)
            self._young -= grown


class _FileWriter(ObjectWriter):
    """Writes beside, publishes by renaming."""

    def __init__(self, store: DirectoryStore, key: str, metadata: Mapping[str, str]) -> None:
        with _translating(key):
            path, descriptor = store.begin()
        self._path = path
        self._file = os.fdopen(descriptor, "wb", buffering=READ_BYTES)
        self._store = store
        self._object_metadata = metadata
        super().__init__(key)

    def _append(self, data: memoryview) -> None:
        with _translating(self.key):
            self._file.write(data)

    def _publish(self) -> None:
        try:
            with _translating(self.key), self._file:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._store.place(self._path, self.key, self._object_metadata)
        except BaseException:
            self._discard()
            raise

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            self.abort()

    def _discard(self) -> None:
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


class _FileReader(io.RawIOBase):
    """A file whose errors speak of the object. An open file is one version by nature."""

    def __init__(self, path: Path, key: str) -> None:
        super().__init__()
        if path.is_dir():
            raise FileNotFoundError(key)
        self._key = key
        self._file = path.open("rb", buffering=0)

    def readinto(self, target: WriteableBuffer, /) -> int | None:
        with _translating(self._key):
            return self._file.readinto(target)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


@contextmanager
def _translating(key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectMissing(f"{key} is not in the object store.") from error
    except OSError as error:
        raise ObjectStoreUnavailable(f"The object store failed at {key}: {error.strerror}.") from error


def _rename(source: Path, target: Path, *, young: set[Path]) -> set[Path]:
    """Rename, making what directories are missing; the directories that hold a new name on the way to the target."""
    for attempt in range(1, PLACING_ATTEMPTS + 1):
        missing = _missing(target.parent)
        young.update(missing)
        _make_directories(missing)
        try:
            source.replace(target)
            break
        except FileNotFoundError:
            if attempt == PLACING_ATTEMPTS or not source.exists():
                raise
    grown = (way.parent for way in (target.parent, *target.parent.parents) if way in young)
    return {target.parent, *(made.parent for made in missing), *grown}


def _missing(directory: Path) -> list[Path]:
    """Those of it and its parents that do not exist, from the top."""
    missing: list[Path] = []
    while not directory.exists():
        missing.insert(0, directory)
        directory = directory.parent
    return missing


def _make_directories(directories: Iterable[Path]) -> None:
    """Make them, private all of them."""
    for directory in directories:
        directory.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)


def _sync_directory(directory: Path) -> None:
    with suppress(FileNotFoundError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_empty_parents(path: Path, *, top: Path) -> None:
    for parent in path.parents:
        if parent == top:
            return
        try:
            parent.rmdir()
        except OSError:
            return


def _moment(found: os.stat_result) -> datetime:
    return datetime.fromtimestamp(found.st_mtime, UTC)
