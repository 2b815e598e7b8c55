"""The report files of one archive: convert, store, and one transaction that makes their days count.

Small files are taken in together, since most of their time is waiting for disks and the database; large ones one after
the other, since each of them uses all processors and a good part of the memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
SMALL_FILES_TOGETHER = 12
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


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """One report file as Parquet, or why it is refused."""

    name: str
    converted: Converted | None = None
    refused: FileRefused | None = None


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
    done = {name for name in wanted if store.stored_report_name(name) in archive.manifest.done}
    results = {name: FileResult(name=name, state="done", reason=ALREADY_INGESTED) for name in done}
    for group in _groups(archive, [name for name in wanted if name not in done]):
        stop.check()
        results |= {result.name: result for result in _ingest_group(archive, group, ctx, stop)}
    return [results[name] for name in wanted]


def _groups(archive: Archive, names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Files that are taken in together, the small ones first."""
    small = [name for name in names if archive.payload.members[name].size <= SMALL_FILE_BYTES]
    for first in range(0, len(small), SMALL_FILES_TOGETHER):
        yield small[first : first + SMALL_FILES_TOGETHER]
    for name in names:
        if name not in small:
            yield [name]


def _ingest_group(archive: Archive, names: Sequence[str], ctx: HandlerContext, stop: Stop) -> list[FileResult]:
    with TemporaryDirectory(prefix="files-", dir=archive.directory) as output:
        conversions = _convert_all(archive, names, Path(output), ctx, stop)
        objects = _write_objects(archive, conversions, ctx, stop)
    days = {found.name: _days(archive, found.converted, objects[found.name]) for found in conversions}
    try:
        _commit_files(archive, conversions, days, ctx)
    except SourceGone:
        ctx.tools.objects.delete(key for found in objects.values() for part in found.values() for key in part.keys)
        raise
    return [_result(found, days[found.name]) for found in conversions]


def _convert_all(
    archive: Archive, names: Sequence[str], output: Path, ctx: HandlerContext, stop: Stop
) -> list[Conversion]:
    """Several at a time. All have ended when this returns or raises, for they write to the directory."""
    directories = [output / str(number) for number in range(len(names))]
    if len(names) == 1:
        return [_convert(archive, names[0], directories[0], ctx, stop)]
    running = [
        ctx.tools.file_threads.submit(copy_context().run, _convert, archive, name, directory, ctx, stop)
        for name, directory in zip(names, directories, strict=True)
    ]
    try:
        return [future.result() for future in running]
    finally:
        for future in running:
            if not future.cancel():
                future.exception()


def _convert(archive: Archive, name: str, output: Path, ctx: HandlerContext, stop: Stop) -> Conversion:
    stop.check()
    ctx.progress(file=name)
    output.mkdir()
    with span("convert", file=name):
        try:
            with archive.payload.open(name) as csv:
                converted = ctx.tools.converter.convert(csv, output, archive.window, stop.check)
        except FileRefused as refused:
            log.warning("file_refused", file=name, reason=str(refused))
            metrics.FILES.labels("refused").inc()
            return Conversion(name=name, refused=refused)
    _count(converted)
    return Conversion(name=name, converted=converted)


def _days(archive: Archive, converted: Converted | None, objects: Mapping[date, FileDayObjects]) -> list[store.FileDay]:
    """What the file brought, as it is recorded."""
    if converted is None or converted.report_type is None:
        return []
    return [
        store.FileDay(
            report_type=converted.report_type.name,
            day=part.day,
            hours=0 if archive.manifest.additive else _hours(archive, part.day) or part.distinct_hours,
            rows=part.rows,
            hourly_object=objects[part.day].hourly,
            daily_objects=objects[part.day].daily,
        )
        for part in converted.days
    ]


def _result(found: Conversion, days: Sequence[store.FileDay]) -> FileResult:
    if found.converted is None:
        return FileResult(name=found.name, state="failed", reason=str(found.refused))
    return FileResult(
        name=found.name,
        state="done",
        report_type=found.converted.report_type.name if found.converted.report_type else None,
        rows=found.converted.rows,
        dropped=dict(found.converted.dropped),
        days=[day.day.isoformat() for day in days],
        reason=found.converted.note,
    )


def _hours(archive: Archive, day: date) -> int | None:
    return archive.manifest.hours_per_day.get(day)


def _write_objects(
    archive: Archive, conversions: Sequence[Conversion], ctx: HandlerContext, stop: Stop
) -> dict[str, dict[date, FileDayObjects]]:
    """Store the Parquet files under their final names. Nothing reads them before their rows are committed."""
    keys: dict[str, dict[date, FileDayObjects]] = {}
    with ctx.tools.objects.together() as objects:

        def write(key: str, path: Path, facts: dict[str, str]) -> None:
            stop.check()
            with path.open("rb") as file:
                objects.write(key, _chunks(file), facts)

        writing = []
        for found in conversions:
            keys[found.name] = _keys(archive, found)
            for part in found.converted.days if found.converted and keys[found.name] else ():
                facts = {
                    "manifestid": str(archive.manifest.id),
                    "reportdatestart": part.day.isoformat(),
                    "reportnumhours": str(_hours(archive, part.day) or part.distinct_hours),
                }
                for key, path in zip(keys[found.name][part.day].keys, (part.hourly, *part.daily), strict=True):
                    writing.append(ctx.tools.object_threads.submit(write, key, path, facts))
        errors = [error for future in writing if (error := future.exception()) is not None]
        if errors:
            raise errors[0]
    return keys


def _keys(archive: Archive, found: Conversion) -> dict[date, FileDayObjects]:
    """Where the days of one file are stored; none of a file whose type is not known."""
    if found.converted is None or found.converted.report_type is None:
        return {}
    return {
        part.day: file_day_objects(
            archive.place,
            report_type=found.converted.report_type.name,
            day=part.day,
            manifest_id=archive.manifest.id,
            report_name=found.name,
            daily_files=len(part.daily),
        )
        for part in found.converted.days
    }


def _commit_files(
    archive: Archive,
    conversions: Sequence[Conversion],
    days: Mapping[str, Sequence[store.FileDay]],
    ctx: HandlerContext,
) -> None:
    """One transaction: from here on the days of the files count."""
    _prepare_months({Month.of(day.day) for found in days.values() for day in found}, archive, ctx)
    with ctx.db.tenant(archive.place.schema) as connection:
        store.hold_source(connection, archive.place.provider_uuid)
        order = store.lock_manifest(connection, archive.manifest.id).accepted_order
        tag_keys: set[str] = set()
        for found in conversions:
            if found.converted is None:
                store.fail_file(connection, archive.manifest.id, found.name)
                continue
            report_type = found.converted.report_type.name if found.converted.report_type else None
            recorded = store.finish_file(
                connection,
                archive.manifest,
                found.name,
                accepted_order=order,
                report_type=report_type,
                days=days[found.name],
            )
            if recorded:
                tag_keys |= set(found.converted.tag_keys)
        store.add_tag_keys(connection, store.unknown_tag_keys(connection, tag_keys))
        ctx.assert_held(connection)


def _prepare_months(months: set[Month], archive: Archive, ctx: HandlerContext) -> None:
    """Report periods, and partitions of the months around, before the first file that needs them counts (§6.11)."""
    missing = months - archive.prepared
    if not missing:
        return
    schema = archive.place.schema
    around = {month.plus(step) for month in missing for step in (-1, 0, 1)}
    with ctx.db.tenant(schema) as connection:
        ensure_partitions(connection, schema, [DAILY_SUMMARY.name], months=around)
    with ctx.db.tenant(schema) as connection:
        source = store.hold_source(connection, archive.place.provider_uuid)
        store.add_report_periods(connection, provider_uuid=archive.place.provider_uuid, source=source, months=missing)
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
