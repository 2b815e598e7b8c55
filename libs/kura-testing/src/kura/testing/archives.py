"""Archives as the operator sends them, and every broken form of them."""

import csv
import io
import os
import struct
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import orjson

from kura.testing.report_columns import COLUMNS, TEXT_COLUMNS

CellValue = str | int | float | datetime | None
Row = Mapping[str, CellValue]
FileContent = bytes | str | Sequence[Row]

_DEFLATE_BLOCK_BYTES = 1 << 20
_TAR_BLOCK_BYTES = 512
_OPERATOR_COMMIT = "ba4c1b6e7a54d1c4e7dcb9f5a9d1b2b7c0f3e6a8"


class TarGzWriter:
    """Writes a gzip'd tar in one deflate stream, compressing its blocks on all cores.

    Blocks are compressed apart and end byte-aligned, so their concatenation is one ordinary stream
    that every gzip reader takes; the result depends on the input only, not on timing.
    """

    def __init__(self, *, level: int = 1, modified: datetime | None = None, threads: int | None = None) -> None:
        self._level = level
        self._modified = int(modified.timestamp()) if modified else 0
        self._pool = ThreadPoolExecutor(threads or os.cpu_count() or 1)
        self._blocks: list[Future[bytes]] = []
        self._crc = 0
        self._size = 0

    def member(self, name: str, chunks: Iterable[bytes | memoryview]) -> int:
        """Add a file; its bytes are kept until its size is known, which the header needs. Returns the size."""
        position = len(self._blocks)
        kept: list[bytes | memoryview] = []
        for chunk in chunks:
            for start in range(0, len(chunk), _DEFLATE_BLOCK_BYTES):
                block = chunk[start : start + _DEFLATE_BLOCK_BYTES]
                kept.append(block)
                self._blocks.append(self._pool.submit(self._deflate, block))
        size = sum(len(block) for block in kept)

        info = tarfile.TarInfo(name)
        info.size = size
        info.mtime = self._modified
        header = info.tobuf(tarfile.GNU_FORMAT)
        padding = bytes(-size % _TAR_BLOCK_BYTES)
        self._blocks.insert(position, self._pool.submit(self._deflate, header))
        self._blocks.append(self._pool.submit(self._deflate, padding))
        for block in (header, *kept, padding):
            self._crc = zlib.crc32(block, self._crc)
            self._size += len(block)
        return size

    def finish(self) -> bytes:
        """The whole archive; the writer is not used afterwards."""
        end = bytes(2 * _TAR_BLOCK_BYTES)
        self._crc = zlib.crc32(end, self._crc)
        self._size += len(end)
        last = zlib.compressobj(self._level, zlib.DEFLATED, -zlib.MAX_WBITS)
        head = b"\x1f\x8b\x08\x00" + struct.pack("<I", self._modified) + b"\x00\xff"
        trailer = struct.pack("<II", self._crc, self._size & 0xFFFFFFFF)
        content = b"".join(
            [head, *(block.result() for block in self._blocks), last.compress(end) + last.flush(zlib.Z_FINISH), trailer]
        )
        self._pool.shutdown()
        return content

    def _deflate(self, block: bytes | memoryview) -> bytes:
        deflater = zlib.compressobj(self._level, zlib.DEFLATED, -zlib.MAX_WBITS)
        return deflater.compress(block) + deflater.flush(zlib.Z_SYNC_FLUSH)


@dataclass(frozen=True, kw_only=True)
class Member:
    """A tar member of any kind, for archives that must be refused."""

    name: str
    content: bytes = b""
    type: bytes = tarfile.REGTYPE
    linkname: str = ""
    mode: int = 0o644
    pax_headers: Mapping[str, str] = field(default_factory=dict)


def payload_bytes(
    *,
    manifest: Mapping[str, object] | bytes | None,
    files: Mapping[str, FileContent] | None = None,
    members: Sequence[Member] = (),
    manifest_name: str = "manifest.json",
    directory_member: bool = False,
    gzipped: bool = True,
) -> bytes:
    """An archive made by hand: manifest (a mapping, raw bytes, or none), files, and members of any kind.

    Files are raw bytes, text, or rows (mappings; `csv_bytes` writes them). `directory_member` adds the
    directory with an empty name that nise writes first.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        if directory_member:
            _add(archive, Member(name="", type=tarfile.DIRTYPE, mode=0o755))
        for name, content in (files or {}).items():
            _add(archive, Member(name=name, content=file_bytes(content)))
        for member in members:
            _add(archive, member)
        if manifest is not None:
            content = manifest if isinstance(manifest, bytes) else orjson.dumps(manifest)
            _add(archive, Member(name=manifest_name, content=content))
    if not gzipped:
        return buffer.getvalue()
    deflater = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return deflater.compress(buffer.getbuffer()) + deflater.flush()


def _add(archive: tarfile.TarFile, member: Member) -> None:
    info = tarfile.TarInfo(member.name)
    info.type = member.type
    info.linkname = member.linkname
    info.mode = member.mode
    info.pax_headers = dict(member.pax_headers)
    info.size = len(member.content) if member.type == tarfile.REGTYPE else 0
    archive.addfile(info, io.BytesIO(member.content) if info.size else None)


def manifest_of(
    *,
    cluster_id: str,
    uuid: str,
    files: Sequence[str] | None,
    start: datetime | None = None,
    end: datetime | None = None,
    date: datetime | None = None,
    version: str = _OPERATOR_COMMIT,
    daily_reports: bool = True,
    resource_optimization_files: Sequence[str] | None = None,
    **more: object,
) -> dict[str, object]:
    """The content of a manifest as a current operator writes it; `more` adds or replaces fields."""
    end_or_now = end or datetime(2025, 1, 11, tzinfo=UTC)
    packaged = date or end_or_now + timedelta(seconds=1)
    zero_time = "0001-01-01T00:00:00Z"
    manifest: dict[str, object] = {
        "uuid": uuid,
        "cluster_id": cluster_id,
        "version": version,
        "date": packaged.isoformat().replace("+00:00", "Z"),
        "files": list(files) if files else None,
        "resource_optimization_files": list(resource_optimization_files) if resource_optimization_files else None,
        "start": start.isoformat().replace("+00:00", "Z") if start else zero_time,
        "end": end.isoformat().replace("+00:00", "Z") if end else zero_time,
        "certified": True,
        "daily_reports": daily_reports,
        "cr_status": _cr_status(cluster_id, version=version, packaged=packaged),
    }
    return manifest | more


def _cr_status(cluster_id: str, *, version: str, packaged: datetime) -> dict[str, object]:
    stamp = packaged.isoformat().replace("+00:00", "Z")
    return {
        "clusterID": cluster_id,
        "clusterVersion": "stable-4.18",
        "api_url": "https://cost.example.com",
        "authentication": {"type": "service-account", "secret_name": "cost-credentials", "credentials_found": True},
        "packaging": {"last_successful_packaging_time": stamp, "max_reports_to_store": 30, "max_size_MB": 100},
        "upload": {
            "ingress_path": "/api/ingress/v1/upload",
            "upload": True,
            "upload_wait": 12,
            "upload_cycle": 360,
            "last_upload_status": "202 Accepted",
        },
        "operator_commit": version,
        "prometheus": {
            "prometheus_configured": True,
            "prometheus_connected": True,
            "service_address": "https://thanos-querier.openshift-monitoring.svc:9091",
        },
        "reports": {
            "report_month": f"{packaged:%m}",
            "last_hour_queried": f"{packaged:%Y-%m-%d %H}:00:00 - {packaged:%Y-%m-%d %H}:59:59",
            "data_collected": True,
        },
        "source": {"sources_path": "/api/cost-management/v1/", "name": cluster_id, "create_source": True},
        "storage": {"volume_type": "PersistentVolume"},
    }


def file_bytes(content: FileContent) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    return csv_bytes(content)


def csv_bytes(rows: Sequence[Row], *, columns: Sequence[str] | None = None) -> bytes:
    """Rows as CSV; columns default to the keys of the rows in order of first appearance."""
    names = list(columns or dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return text.getvalue().encode()


def _cell(value: CellValue) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return go_time(value)
    return str(value)


def go_time(moment: datetime) -> str:
    """A moment as Go prints it: `2025-01-01 00:00:00 +0000 UTC`."""
    return f"{moment:%Y-%m-%d %H:%M:%S} +0000 UTC"


def report_row(report: str, hour: datetime, **values: CellValue) -> dict[str, CellValue]:
    """One hourly row of a cost report with every column: dates from the hour, 0 and "" where nothing is given."""
    unknown = set(values) - set(COLUMNS[report])
    if unknown:
        raise ValueError(f"{report} has no column {sorted(unknown)}")
    empty = TEXT_COLUMNS | {"gpu_max_slices"}
    row: dict[str, CellValue] = {name: "" if name in empty else 0.0 for name in COLUMNS[report]}
    first = hour.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + timedelta(days=31)).replace(day=1)
    row |= {
        "report_period_start": first,
        "report_period_end": following,
        "interval_start": hour,
        "interval_end": hour + timedelta(minutes=59, seconds=59),
    }
    return row | values
