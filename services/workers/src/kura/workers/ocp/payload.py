"""The archive an operator sends: a gzip'd tar. Source: ocp-payload §3.1, error table §7, reliability §5.4.

Nothing is ever extracted. The archive is inflated, within limits, into one private file; every header in it is checked;
then each member is a range of bytes in that file, and its name is only ever compared, never used as a path.
"""

from __future__ import annotations

import io
import os
import posixpath
import struct
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from kura.core.errors import PayloadRefused

MANIFEST_NAME = "manifest.json"
CHUNK_BYTES = 2**20
GZIP = 16 + zlib.MAX_WBITS
GZIP_MAGIC = b"\x1f\x8b"
BLOCK = 512  # of a tar
LARGEST_HEADER_BYTES = 2**20  # a long name or extended header, not a member
MOST_HEADER_BYTES = 24 * 2**20  # of one archive


UNREADABLE = (tarfile.TarError, ValueError, OverflowError, EOFError, LookupError, struct.error, RecursionError)
"""What `tarfile` raises on headers that make no sense."""


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an archive may grow to."""

    total_bytes: int = 20 * 100 * 2**20  # 20 times the upload limit
    ratio: int = 100  # inflated : packed, looked at beyond `ratio_from_bytes`
    ratio_from_bytes: int = 100 * 2**20
    manifest_bytes: int = 10 * 2**20
    members: int = 10_000


@dataclass(frozen=True)
class Member:
    """One regular file at the root of the archive."""

    offset: int
    size: int


@dataclass(frozen=True)
class Payload:
    """An archive whose headers have all been checked. `path` is the inflated tar."""

    path: Path
    members: dict[str, Member]
    manifest: bytes

    def open(self, name: str) -> MemberReader:
        return MemberReader(self.path, self.members[name])


class MemberReader(io.RawIOBase):
    """Reads the bytes of one member. Readers of one payload do not disturb each other."""

    def __init__(self, path: Path, member: Member) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._position = member.offset
        self._end = member.offset + member.size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        left = self._end - self._position
        wanted = left if size < 0 else min(size, left)
        data = os.pread(self._file, wanted, self._position) if wanted else b""
        self._position += len(data)
        return data

    def close(self) -> None:
        if not self.closed:
            os.close(self._file)
        super().close()


def open_payload(staged: Readable, work_directory: Path, limits: Limits | None = None) -> Payload:
    """Inflate and check one archive.

    In      the packed bytes; a private directory that the caller removes afterwards
    Rule    all members are checked before any is read; entries that are not plain files at the root are left alone
            unless they point outside, which refuses the whole
    Errors  PayloadRefused with a reason for the sender: no archive, cut short, too big, no manifest, hostile member
    Source  ocp-payload §3.1, §7; reliability S33–S35
    """
    limits = limits or Limits()
    path = work_directory / "payload.tar"
    _inflate(staged, path, limits)
    members = _checked_members(path, limits)
    if MANIFEST_NAME not in members:
        raise PayloadRefused("the archive has no manifest.json at its root", reason_code="no_manifest")
    manifest = members.pop(MANIFEST_NAME)
    if manifest.size > limits.manifest_bytes:
        raise PayloadRefused(
            f"manifest.json is larger than {limits.manifest_bytes // 2**20} MiB", reason_code="invalid_manifest"
        )
    with MemberReader(path, manifest) as reader:
        text = reader.read()
    return Payload(path, members, text)


def _inflate(staged: Readable, path: Path, limits: Limits) -> None:
    """Write the tar inside the gzip to `path`, counting while it grows. Several gzip members may follow each other."""
    packed = inflated = 0
    gzip = zlib.decompressobj(GZIP)
    begun = False
    pending, more = b"", False  # packed bytes not looked at yet; whether the inflater still holds output
    with open(path, "xb", opener=_private) as out:
        while True:
            if not pending and not more:
                pending = staged.read(CHUNK_BYTES)
                begun = begun or pending.startswith(GZIP_MAGIC)
                packed += len(pending)
                if not pending:
                    break
            if gzip.eof:
                pending = pending.lstrip(b"\0")  # padding
                if not pending:
                    continue
                gzip = zlib.decompressobj(GZIP)
            try:
                data = gzip.decompress(pending, CHUNK_BYTES)
            except zlib.error as error:
                what = "is damaged" if begun else "is not a gzip'd tar archive"
                raise PayloadRefused(f"the payload {what}", reason_code="not_an_archive") from error
            inflated += len(data)
            _check_growth(packed, inflated, limits)
            out.write(data)
            more = len(data) == CHUNK_BYTES and not gzip.eof
            pending = gzip.unused_data if gzip.eof else gzip.unconsumed_tail
    if not gzip.eof:
        why = "ends too early: it was cut short" if packed else "is empty"
        raise PayloadRefused(f"the payload {why}", reason_code="not_an_archive")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _check_growth(packed: int, inflated: int, limits: Limits) -> None:
    if inflated > limits.total_bytes:
        raise PayloadRefused(
            f"the payload is larger than {limits.total_bytes // 2**20} MiB when unpacked", reason_code="too_large"
        )
    if inflated > limits.ratio_from_bytes and inflated > packed * limits.ratio:
        raise PayloadRefused(f"the payload grows more than {limits.ratio}-fold when unpacked", reason_code="too_large")


class _Headers(io.BufferedReader):
    """The tar as `tarfile` sees it: headers only, and neither one nor all of them would fill the memory."""

    left = MOST_HEADER_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = LARGEST_HEADER_BYTES + 1 if size is None or size < 0 else size
        self.left -= wanted
        if wanted > LARGEST_HEADER_BYTES or self.left < 0:
            raise PayloadRefused("the archive has oversized headers", reason_code="hostile_archive")
        return super().read(wanted)


def _checked_members(path: Path, limits: Limits) -> dict[str, Member]:
    """Regular files at the root by name; PayloadRefused when any entry is hostile or the tar is damaged."""
    members: dict[str, Member] = {}
    size = path.stat().st_size
    with _Headers(io.FileIO(path)) as headers:
        for count, entry in enumerate(_entries(headers, size)):
            if count >= limits.members:
                raise PayloadRefused(
                    f"the archive has more than {limits.members} entries", reason_code="hostile_archive"
                )
            _check_entry(entry)
            if not entry.isreg() or entry.issparse() or "/" in entry.name:
                continue
            if entry.name in members:
                raise PayloadRefused("the archive holds a file twice", reason_code="hostile_archive")
            members[entry.name] = Member(entry.offset_data, entry.size)
    return members


def _entries(headers: IO[bytes], size: int) -> Iterator[tarfile.TarInfo]:
    try:
        with tarfile.open(fileobj=headers, mode="r:", errorlevel=2) as tar:
            while (entry := tar.next()) is not None:
                if entry.isreg() and entry.offset_data + entry.size > size:
                    raise tarfile.ReadError("unexpected end of data")
                tar.members.clear()  # type: ignore[attr-defined]  # a million entries must not stay in memory
                yield entry
            end = tar.offset
    except UNREADABLE as error:
        raise PayloadRefused("the payload is not a readable tar archive", reason_code="not_an_archive") from error
    headers.seek(min(end, size))
    if headers.read(BLOCK).strip(b"\0"):
        raise PayloadRefused("the archive is damaged behind its last readable entry", reason_code="not_an_archive")


def _check_entry(entry: tarfile.TarInfo) -> None:
    if entry.isdev():
        raise PayloadRefused("the archive holds a device or pipe", reason_code="hostile_archive")
    if _leads_outside(entry.name):
        raise PayloadRefused("the archive holds a file that lies outside of it", reason_code="hostile_archive")
    if entry.issym() or entry.islnk():
        base = posixpath.dirname(entry.name) if entry.issym() else ""
        if entry.linkname.startswith("/") or _leads_outside(posixpath.join(base, entry.linkname)):
            raise PayloadRefused("the archive holds a link that leads outside of it", reason_code="hostile_archive")


def _leads_outside(name: str) -> bool:
    if name.startswith("/") and name.strip("/"):
        return True
    normal = posixpath.normpath(name.lstrip("/") or ".")
    return normal == ".." or normal.startswith("../")
