"""The archive an operator sends: a gzip'd tar. Source: ocp-payload §3.1, error table §7, reliability §5.4.

Nothing is ever extracted. The archive is inflated, within limits, into one private file; every header in it is checked;
then each member is a range of bytes in that file, and its name is only ever compared, never used as a path.
"""

from __future__ import annotations

import io
import os
import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from kura.core.errors import PayloadRefused

MANIFEST_NAME = "manifest.json"
CHUNK_BYTES = 2**20
GZIP = 16 + zlib.MAX_WBITS
GZIP_MAGIC = b"\x1f\x8b"
BLOCK = 512  # of a tar
LARGEST_HEADER_BYTES = 2**20  # a long name or extended header, not a member
MOST_HEADER_BYTES = 24 * 2**20  # of one archive


LONGEST_LENGTH = 20  # digits of a length in an extended header

HEADER_TYPES = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.XGLTYPE,
)
NAMES_OF_HEADERS = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
RECORDS_READ = (b"path", b"linkpath", b"size", b"GNU.sparse.")
TYPES_WITHOUT_DATA = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)


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


class _Headers:
    """Reads headers of a tar; neither one nor all of them would fill the memory or take long."""

    def __init__(self, tar: BinaryIO) -> None:
        self._file = tar.fileno()
        self._left = MOST_HEADER_BYTES
        self.end = os.fstat(self._file).st_size

    def read(self, offset: int, size: int) -> bytes:
        self._left -= size
        if size > LARGEST_HEADER_BYTES or self._left < 0:
            raise PayloadRefused("the archive has oversized headers", reason_code="hostile_archive")
        return os.pread(self._file, size, offset)


def _checked_members(path: Path, limits: Limits) -> dict[str, Member]:
    """Regular files at the root by name; PayloadRefused when any entry is hostile or the tar is damaged."""
    members: dict[str, Member] = {}
    with path.open("rb", buffering=0) as tar:
        for count, entry in enumerate(_entries(_Headers(tar))):
            if count >= limits.members:
                raise PayloadRefused(
                    f"the archive has more than {limits.members} entries", reason_code="hostile_archive"
                )
            _check_entry(entry)
            if not entry.isreg() or "/" in entry.name:
                continue
            if entry.name in members:
                raise PayloadRefused("the archive holds a file twice", reason_code="hostile_archive")
            members[entry.name] = Member(entry.offset_data, entry.size)
    return members


def _entries(headers: _Headers) -> Iterator[tarfile.TarInfo]:
    """The entries of a tar, with names and sizes as the headers in front of them say.

    `tarfile` decodes single blocks here and does not walk: it looks through extended headers with patterns that take
    hours for some texts (CVE-2024-6232), and no version of Python that we run on is promised to have it mended.
    """
    position = 0
    said: dict[str, str] = {}
    while (block := headers.read(position, BLOCK)).strip(b"\0"):
        entry = _decoded(block)
        begin = position + BLOCK
        if entry.type not in HEADER_TYPES:
            _apply(said, entry)
        size = 0 if entry.type in TYPES_WITHOUT_DATA else entry.size
        position = begin + size + -size % BLOCK
        if size < 0 or position > headers.end:
            raise _unreadable()
        if entry.type in HEADER_TYPES:
            said |= _said(entry.type, headers.read(begin, size))
            continue
        entry.offset_data = begin
        yield entry
        said = {}
    if not position or said:
        raise _unreadable()
    if headers.read(position + BLOCK, BLOCK).strip(b"\0"):
        raise PayloadRefused("the archive is damaged behind its last readable entry", reason_code="not_an_archive")


def _decoded(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise _unreadable() from error


def _said(kind: bytes, text: bytes) -> dict[str, str]:
    """What an extended header says of the entry behind it, as far as it matters here."""
    if kind == tarfile.XGLTYPE:  # of all entries: comments
        return {}
    if kind in NAMES_OF_HEADERS:
        return {NAMES_OF_HEADERS[kind]: _text(text.partition(b"\0")[0])}
    return {_text(keyword): _text(value) for keyword, value in _records(text) if keyword.startswith(RECORDS_READ)}


def _records(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The records of a POSIX extended header: `<length of the record> <keyword>=<value>` and a line break."""
    position = 0
    while text[position : position + 1].strip(b"\0"):
        digits = text[position : position + LONGEST_LENGTH].partition(b" ")[0]
        record = text[position : position + int(digits)] if digits.isdigit() else b""
        keyword, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if not (equals and record.endswith(b"\n") and len(record) == int(digits)):
            raise _unreadable()
        yield keyword, value
        position += len(record)


def _apply(said: dict[str, str], entry: tarfile.TarInfo) -> None:
    if entry.type == tarfile.GNUTYPE_SPARSE or any(keyword.startswith("GNU.sparse.") for keyword in said):
        raise PayloadRefused(
            "the archive holds a sparse file, which is not read: pack it without holes", reason_code="hostile_archive"
        )
    entry.name = said.get("path", entry.name)
    entry.linkname = said.get("linkpath", entry.linkname)
    size = said.get("size", "")
    if size:
        entry.size = int(size) if size.isascii() and size.isdigit() and len(size) <= LONGEST_LENGTH else -1


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _unreadable() -> PayloadRefused:
    return PayloadRefused("the payload is not a readable tar archive", reason_code="not_an_archive")


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
