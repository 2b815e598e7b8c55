"""Task IngestPayload: one accepted upload → Parquet, rows that say what counts, and the tasks that summarise it.

Objects are written first, under names that follow from the manifest and the file; one transaction per file then makes
its days count. A retry finds what is done and does the rest. Source: ocp-payload §6, §7; tasks-and-queues §5.2.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection, func

from kura.core.days import Month
from kura.core.errors import Cancelled, KuraError, ObjectMissing, PayloadRefused, Unavailable
from kura.core.telemetry import bound, get_logger, span
from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.database import in_schema
from kura.store.sources import find_cluster_source, lock_cluster
from kura.workers import metrics, store
from kura.workers.handlers.report_files import (
    ALREADY_INGESTED,
    Archive,
    FileResult,
    copy_optimization_files,
    ingest_files,
)
from kura.workers.handlers.tools import HandlerContext, Stop, in_own_thread
from kura.workers.ocp.cells import DayWindow
from kura.workers.ocp.manifest import Manifest, mask_details, read_manifest
from kura.workers.ocp.objects import SourcePlace
from kura.workers.ocp.payload import Limits, Payload, open_payload
from kura.workers.store import SourceGone, StoredManifest, Upload

log = get_logger(__name__)

XL_FILES = 100  # a manifest with more files goes to the XL queues (tasks-and-queues §1.3)
MOST_REASONS_SHOWN = 3


class WorkerDiskUnavailable(Unavailable):
    """The worker's own disk cannot be written; others may have room, or this one later."""

    code = "worker_disk_unavailable"


async def ingest_payload(task: tasks_pb2.IngestPayload, ctx: HandlerContext) -> None:
    """Take in one upload. Running it twice changes nothing."""
    with bound(upload_id=task.upload_id):
        await in_own_thread(_ingest, task.upload_id, ctx)


def _ingest(upload_id: int, ctx: HandlerContext, stop: Stop) -> None:
    with ctx.db.begin() as connection:
        upload = store.begin_upload(connection, upload_id)
    if upload is None:
        log.info("upload_needs_nothing")
        return
    try:
        _take_in(upload, ctx, stop)
    except Cancelled:
        raise
    except PayloadRefused as refused:
        _end(upload, ctx, "failed", refused.reason_code, f"The payload was refused: {refused}.")
    except SourceGone:
        _end(upload, ctx, "failed", "source_gone", "The source was deleted while the payload was being taken in.")
    except OSError as error:
        full = WorkerDiskUnavailable(f"the worker's own disk does not answer: {error.strerror or error}")
        _tell_of_failure(upload, ctx, full)
        raise full from error
    except Exception as error:
        _tell_of_failure(upload, ctx, error)
        raise


def _take_in(upload: Upload, ctx: HandlerContext, stop: Stop) -> None:
    with TemporaryDirectory(prefix="upload-", dir=ctx.tools.work_directory) as directory:
        payload, manifest = _read_payload(upload, ctx, Path(directory))  # §3
        begun = _begin(upload, manifest, payload, ctx)  # §6.1, §6.2
        if begun is None:
            return
        place, window, stored = begun
        with bound(schema=place.schema, provider_uuid=str(place.provider_uuid), manifest_uuid=str(manifest.uuid)):
            if manifest.collected_nothing and manifest.collection_message:
                log.warning("operator_collected_nothing", message=mask_details(manifest.collection_message))
            results = copy_optimization_files(
                payload, manifest, place, day=upload.accepted_at.date(), objects=ctx.tools.objects
            )  # §2.3
            archive = Archive(payload=payload, manifest=stored, place=place, window=window, directory=Path(directory))
            names = [name for name in manifest.files if name in payload.members]
            results += ingest_files(archive, names, ctx, stop)  # §6.4–6.11
            _finish(upload, stored, place, results, ctx)  # §6.12
    if not ctx.tools.settings.keep_done_hours and all(result.state == "done" for result in results):
        ctx.tools.objects.delete([upload.object_key])


# ── the payload and its source ───────────────────────────────────────────────────────────────────────────────────────


def _read_payload(upload: Upload, ctx: HandlerContext, directory: Path) -> tuple[Payload, Manifest]:
    settings = ctx.tools.settings
    limits = Limits(total_bytes=settings.payload_limit_mib * 2**20, ratio=settings.payload_limit_ratio)
    try:
        with span("unpack"), ctx.tools.objects.open_read(upload.object_key) as staged:
            payload = open_payload(staged, directory, limits)
    except ObjectMissing as error:
        if not ctx.ends_with(error):
            raise
        raise PayloadRefused(
            "it is not in the object store any more; send it again", reason_code="payload_missing"
        ) from error
    manifest = read_manifest(payload.manifest, releases=ctx.tools.operator_releases)
    if manifest.ignored:
        log.info("manifest_fields_ignored", fields=manifest.ignored)
    return payload, manifest


def _begin(
    upload: Upload, manifest: Manifest, payload: Payload, ctx: HandlerContext
) -> tuple[SourcePlace, DayWindow, StoredManifest] | None:
    """Whose the payload is, which days of it are taken, and its manifest; None when the upload waits or has ended."""
    with ctx.db.begin() as connection:
        place = _resolve(connection, upload, manifest)
        if place is None:
            return None
        months = store.retention_months(
            in_schema(connection, place.schema), override=ctx.tools.settings.retain_override
        )
        window = _window(upload, manifest, months)
        if window is not None:
            return place, window, _register(connection, upload, manifest, payload, place, ctx)
    _end(upload, ctx, "done", "expired", f"All of the payload is older than the {months} months of data that are kept.")
    return None


def _resolve(connection: Connection, upload: Upload, manifest: Manifest) -> SourcePlace | None:
    """The place of this organisation's source with this cluster, held; without one the upload waits for it.

    The cluster is locked, as it is when a source is made: the upload either finds the source or is found by it.
    """
    lock_cluster(connection, org_id=upload.org_id, cluster_id=manifest.cluster_id)
    source = find_cluster_source(connection, org_id=upload.org_id, cluster_id=manifest.cluster_id)
    cluster = {"cluster_id": manifest.cluster_id}
    if source is None or source.provider_uuid is None:
        store.set_upload(
            connection,
            upload.id,
            state="waiting",
            reason_code=store.UNKNOWN_CLUSTER,
            reason=f"No OpenShift source of this organisation has the cluster id {manifest.cluster_id!r}. "
            "Add a source with this cluster id, and the payload is taken in without being sent again.",
            **cluster,
        )
        log.warning("unknown_cluster", cluster_id=manifest.cluster_id, org_id=upload.org_id)
        metrics.UNKNOWN_CLUSTERS.inc()
        return None
    schema = store.schema_of_organisation(connection, upload.org_id)
    found = {"provider_uuid": source.provider_uuid, "schema_name": schema, **cluster}
    if source.paused:
        store.set_upload(
            connection,
            upload.id,
            state="failed",
            reason_code="source_paused",
            reason="The source is paused, so the payload was dropped. Resume the source; the operator's next "
            "payload is then taken in.",
            **found,
        )
        log.info("source_paused")
        return None
    store.hold_source(connection, source.provider_uuid)
    store.set_upload(connection, upload.id, **found)
    return SourcePlace(schema=schema, provider_uuid=source.provider_uuid)


def _window(upload: Upload, manifest: Manifest, months: int) -> DayWindow | None:
    """Days that are taken of `months` months; None when the whole payload is older (§6.1)."""
    today = upload.accepted_at.date()  # not the clock: a retry a day later must decide the same
    oldest = Month.of(today).plus(-months)
    if manifest.last_day < oldest.last:
        return None
    return DayWindow(first=oldest.first, last=today + timedelta(days=1))


def _register(
    connection: Connection,
    upload: Upload,
    manifest: Manifest,
    payload: Payload,
    place: SourcePlace,
    ctx: HandlerContext,
) -> StoredManifest:
    stored = store.register_manifest(connection, manifest, provider_uuid=place.provider_uuid, upload_id=upload.id)
    store.set_upload(connection, upload.id, manifest_id=stored.id)
    names = [name for name in manifest.files if name in payload.members]
    if store.begin_files(connection, stored.id, names, task_id=ctx.task_id):
        store.start_step(connection, [stored.id], "processing")
    return stored


# ── the end of an upload ─────────────────────────────────────────────────────────────────────────────────────────────


def _finish(
    upload: Upload, stored: StoredManifest, place: SourcePlace, results: list[FileResult], ctx: HandlerContext
) -> None:
    """Say what became of the archive; when it was the last one of its manifest, ask for the summary."""
    failed = [result for result in results if result.state == "failed"]
    files = [asdict(result) for result in results]
    with ctx.db.begin() as connection:
        manifest = store.lock_manifest(connection, stored.id)
        missing = store.missing_files(connection, stored.id)
        if failed:
            state = {"state": "failed", "reason_code": store.FILE_REFUSED, "reason": _refused_words(failed)}
        elif missing:
            words = _missing_words(missing, manifest.num_total_files)
            state = {"state": "waiting", "reason_code": store.INCOMPLETE, "reason": words}
        else:
            state = {"state": "processing"}
        store.set_upload(connection, upload.id, parsed_at=func.now(), files=files, **state)
        if missing:
            store.end_step(connection, [stored.id], "processing", failed=bool(failed))
        else:
            news = any(result.reason != ALREADY_INGESTED for result in results)
            store.end_waiting(connection, stored.id)
            _ask_for_summary(connection, stored.id, place, ctx, again=news)
        ctx.assert_held(connection)
    metrics.UPLOADS.labels(state["state"], state.get("reason_code", "")).inc()
    log.info(
        "upload_taken_in",
        files=len(results),
        failed=len(failed),
        missing=missing,
        rows=sum(result.rows for result in results),
    )


def _ask_for_summary(
    connection: Connection, manifest_id: int, place: SourcePlace, ctx: HandlerContext, *, again: bool
) -> None:
    """All that will come of the manifest is here: queue the summary of its days, or end where there are none (D3)."""
    store.end_step(connection, [manifest_id], "processing")
    store.mark_set_up(connection, place.provider_uuid)
    ranges = store.ranges_to_summarise(connection, manifest_id, again=again)
    if not ranges:
        store.complete_manifests(connection, store.summarised_manifests(connection, [manifest_id]))
        return
    store.open_ranges(connection, manifest_id, ranges)
    large = len(store.files_of(connection, manifest_id)) > XL_FILES
    for days in ranges:
        summary = tasks_pb2.SummariseRange(
            schema_name=place.schema,
            provider_uuid=str(place.provider_uuid),
            start_date=days.start.isoformat(),
            end_date=days.end.isoformat(),
            manifest_ids=[manifest_id],
            cause="upload",
        )
        ctx.enqueue(connection, summary, xl=large)


def _end(upload: Upload, ctx: HandlerContext, state: str, reason_code: str, reason: str) -> None:
    with ctx.db.begin() as connection:
        store.set_upload(connection, upload.id, state=state, reason_code=reason_code, reason=reason)
        ctx.assert_held(connection)
    metrics.UPLOADS.labels(state, reason_code).inc()
    log.info("upload_ended", state=state, reason_code=reason_code, reason=reason)


def _tell_of_failure(upload: Upload, ctx: HandlerContext, error: Exception) -> None:
    """Tell the user about a failed attempt, and whether it was the last; should that fail too, the reconciler will."""
    code = error.code if isinstance(error, KuraError) else KuraError.code
    what = str(error).rstrip(".") if isinstance(error, KuraError) else "an unexpected error"
    with contextlib.suppress(KuraError):
        if ctx.ends_with(error):
            words = (
                f"The payload could not be taken in: {what}. It is kept, and an administrator can have it tried again."
            )
            _end(upload, ctx, "failed", code, words)
            return
        with ctx.db.begin() as connection:
            words = f"The payload could not be taken in yet: {what}. It is kept and will be tried again."
            store.set_upload(connection, upload.id, reason_code=code, reason=words)
            ctx.assert_held(connection)


def _refused_words(failed: list[FileResult]) -> str:
    shown = "; ".join(f"{result.name}: {result.reason}" for result in failed[:MOST_REASONS_SHOWN])
    more = f"; and {len(failed) - MOST_REASONS_SHOWN} more" if len(failed) > MOST_REASONS_SHOWN else ""
    what = "One file" if len(failed) == 1 else f"{len(failed)} files"
    return (
        f"{what} of the payload could not be read ({shown}{more}). The operator's next payload of the day replaces it."
    )


def _missing_words(missing: int, total: int) -> str:
    return f"{missing} of the {total} files that the manifest names have not arrived yet."
