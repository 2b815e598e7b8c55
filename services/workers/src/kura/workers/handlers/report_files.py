"""The report files of one archive: convert, store, and one transaction each that makes their days count.

Small files are taken in several at a time, since most of their time is waiting for disks and the database; large ones
one after the other, since each of them uses all processors and a good part of the memory.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kura.core.days import Month
from kura.core.errors import KuraError
from kura.core.telemetry import get_logger, span
from kura.store.objects import ObjectStore
from kura.store.partitions import ensure_partitions
from kura.store.tables.tenant import DAILY_SUMMARY
from kura.workers import metrics, store
from kura.workers.handlers.tools import HandlerContext, Stop
from kura.workers.ocp.cells import DayWindow
from kura.workers.ocp.convert import Converted
from kura.workers.ocp.manifest import Manifest
from kura.workers.ocp.objects import FileDayObjects, SourcePlace, file_day_objects
from kura.workers.ocp.payload import Payload
from kura.workers.ocp.refusal import FileRefused
from kura.workers.store import SourceGone, StoredManifest

log = get_logger(__name__)

READ_BYTES = 2**20
SMALL_FILE_BYTES = 8 * 2**20
ALREADY_INGESTED = "already_ingested"
OPTIMIZATION = "resource_optimization"


@dataclass(frozen=True, kw_only=True)
class FileResult:
    """What became of one file of the archive, as the upload's status tells it."""

    name: str
    state: str
    report_type: str | None = None
    rows: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    days: list[str] = field(default_factory=list)
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One checked archive and what is known about it. `prepared` are the months whose tables are ready."""

    payload: Payload
    manifest: StoredManifest
    place: SourcePlace
    window: DayWindow
    directory: Path
    prepared: set[Month] = field(default_factory=set)
    preparing: threading.Lock = field(default_factory=threading.Lock)


def copy_optimization_files(
    payload: Payload, manifest: Manifest, place: SourcePlace, *, day: date, objects: ObjectStore
) -> list[FileResult]:
    """Keep the files of the right-sizing service as they were sent. A failure here never stops the cost files."""
    results = []
    for name in manifest.resource_optimization_files:
        if name not in payload.members or name in manifest.files:
            continue
        try:
            with payload.open(name) as reader:
                key = place.optimization_key(file_name=name, day=day)
                objects.write(key, _chunks(reader), {"manifestid": str(manifest.uuid)})
        except KuraError as error:
            log.warning("optimization_file_not_kept", code=error.code, error=str(error))
            results.append(FileResult(name=name, state="skipped", report_type=OPTIMIZATION, reason=str(error)))
        else:
            results.append(FileResult(name=name, state="done", report_type=OPTIMIZATION))
    return results


def ingest_files(archive: Archive, names: Iterable[str], ctx: HandlerContext, stop: Stop) -> list[FileResult]:
    """Take in these files; their results in the same order."""
    wanted = list(names)
    small = [name for name in wanted if archive.payload.members[name].size <= SMALL_FILE_BYTES]
    running = {
        name: ctx.tools.file_threads.submit(copy_context().run, _ingest_file, archive, name, ctx, stop)
        for name in small
    }
    try:
        results = {name: _ingest_file(archive, name, ctx, stop) for name in wanted if name not in running}
        results |= {name: future.result() for name, future in running.items()}
    finally:
        for future in running.values():
            future.cancel()
        for future in running.values():
            if not future.cancelled():
                future.exception()  # the directory must outlive them
    return [results[name] for name in wanted]


def _ingest_file(archive: Archive, name: str, ctx: HandlerContext, stop: Stop) -> FileResult:
    if store.stored_report_name(name) in archive.manifest.done:
        return FileResult(name=name, state="done", reason=ALREADY_INGESTED)
    stop.check()
    ctx.progress(file=name)
    with TemporaryDirectory(prefix="file-", dir=archive.directory) as output, span("convert", file=name):
        try:
            with archive.payload.open(name) as csv:
                converted = ctx.tools.converter.convert(csv, Path(output), archive.window, stop.check)
        except FileRefused as refused:
            with ctx.db.begin() as connection:
                store.fail_file(connection, archive.manifest.id, name)
            log.warning("file_refused", file=name, reason=str(refused))
            metrics.FILES.labels("refused").inc()
            return FileResult(name=name, state="failed", reason=str(refused))
        _count(converted)
        objects = _write_objects(archive, name, converted, ctx, stop)
    report_type = converted.report_type.name if converted.report_type else None
    days = [
        store.FileDay(
            report_type=report_type,
            day=part.day,
            hours=0 if archive.manifest.additive else _hours(archive, part.day) or part.distinct_hours,
            rows=part.rows,
            hourly_object=objects[part.day].hourly,
            daily_objects=objects[part.day].daily,
        )
        for part in converted.days
        if report_type is not None
    ]
    try:
        _commit_file(archive, name, converted, days, ctx)
    except SourceGone:
        ctx.tools.objects.delete(key for found in objects.values() for key in found.keys)
        raise
    return FileResult(
        name=name,
        state="done",
        report_type=report_type,
        rows=converted.rows,
        dropped=dict(converted.dropped),
        days=[day.day.isoformat() for day in days],
        reason=converted.note,
    )


def _hours(archive: Archive, day: date) -> int | None:
    return archive.manifest.hours_per_day.get(day)


def _write_objects(
    archive: Archive, name: str, converted: Converted, ctx: HandlerContext, stop: Stop
) -> dict[date, FileDayObjects]:
    """Store the Parquet files under their final names. Nothing reads them before their rows are committed."""
    keys = {
        part.day: file_day_objects(
            archive.place,
            report_type=converted.report_type.name,
            day=part.day,
            manifest_id=archive.manifest.id,
            report_name=name,
            daily_files=len(part.daily),
        )
        for part in converted.days
        if converted.report_type is not None
    }

    def write(key: str, path: Path, facts: dict[str, str]) -> None:
        stop.check()
        with path.open("rb") as file:
            ctx.tools.objects.write(key, _chunks(file), facts)

    writing = []
    for part in converted.days:
        facts = {
            "manifestid": str(archive.manifest.id),
            "reportdatestart": part.day.isoformat(),
            "reportnumhours": str(_hours(archive, part.day) or part.distinct_hours),
        }
        for key, path in zip(keys[part.day].keys, (part.hourly, *part.daily), strict=True):
            writing.append(ctx.tools.object_threads.submit(write, key, path, facts))
    errors = [error for future in writing if (error := future.exception()) is not None]
    if errors:
        raise errors[0]
    return keys


def _commit_file(
    archive: Archive, name: str, converted: Converted, days: list[store.FileDay], ctx: HandlerContext
) -> None:
    """One transaction: from here on the days of the file count."""
    _prepare_months({Month.of(day.day) for day in days}, archive, ctx)
    with ctx.db.tenant(archive.place.schema) as connection:
        store.hold_source(connection, archive.place.provider_uuid)
        report_type = converted.report_type.name if converted.report_type else None
        if not store.finish_file(connection, archive.manifest, name, report_type=report_type, days=days):
            return
        store.add_tag_keys(connection, store.unknown_tag_keys(connection, converted.tag_keys))
        ctx.assert_held(connection)


def _prepare_months(months: set[Month], archive: Archive, ctx: HandlerContext) -> None:
    """Report periods, and partitions of the months around, before the first file that needs them counts (§6.11)."""
    with archive.preparing:
        missing = months - archive.prepared
        if not missing:
            return
        schema = archive.place.schema
        around = {month.plus(step) for month in missing for step in (-1, 0, 1)}
        with ctx.db.tenant(schema) as connection:
            ensure_partitions(connection, schema, [DAILY_SUMMARY.name], months=around)
        with ctx.db.tenant(schema) as connection:
            source = store.hold_source(connection, archive.place.provider_uuid)
            store.add_report_periods(
                connection, provider_uuid=archive.place.provider_uuid, source=source, months=missing
            )
        archive.prepared.update(missing)


def _chunks(reader: Any) -> Iterator[bytes]:
    while chunk := reader.read(READ_BYTES):
        yield chunk


def _count(converted: Converted) -> None:
    metrics.FILES.labels(converted.note or "done").inc()
    name = converted.report_type.name if converted.report_type else "unknown"
    metrics.ROWS.labels(name).inc(converted.rows)
    for reason, rows in converted.dropped.items():
        metrics.ROWS_DROPPED.labels(name, reason).inc(rows)
    for reason, cells in converted.cells.items():
        metrics.CELLS.labels(name, reason).inc(cells)
    if converted.dropped:
        log.warning("rows_dropped", report_type=name, **converted.dropped)
    if converted.cells:
        log.info("cells_worth_a_look", report_type=name, **converted.cells)
