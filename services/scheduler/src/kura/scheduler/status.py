"""The status reconciler: tasks and uploads whose state and lease disagree are put right (tasks-and-queues §15).

An upload that was accepted ends as done, or as failed with a reason, or waits with one. Its tasks decide which; where a
task died, or vanished, nobody else would tell the upload.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Subquery, Text, and_, cast, exists, func, not_, select, update
from sqlalchemy.dialects.postgresql import distinct_on

from kura.queue import admin, metrics
from kura.queue.clock import in_seconds, now
from kura.queue.outbox import enqueue
from kura.queue.states import requeue_expired
from kura.rpc.tasks.v1 import tasks_pb2 as pb
from kura.scheduler.config import ReconcilerSettings
from kura.scheduler.reconciler import Check
from kura.store.tables.shared import FILE_FAILED, MANIFEST_FILE, TASK, UPLOAD

BATCH: Final = 200
MOST_NAMES_SHOWN: Final = 5
ALIVE: Final = ("queued", "running")
DEAD: Final = ("dead", "failed")
INGEST: Final = pb.IngestPayload.DESCRIPTOR.full_name
CHAIN: Final = tuple(
    message.DESCRIPTOR.full_name for message in (pb.SummariseRange, pb.ApplyCostModel, pb.MarkManifestsComplete)
)
"""What must happen to the days of an upload before it is done."""

PARTIAL: Final = "partial"
INCOMPLETE: Final = "incomplete_manifest"


def checks(settings: ReconcilerSettings) -> list[Check]:
    def lost_uploads(connection: Connection) -> int:
        return queue_lost_uploads(connection, older_than_seconds=settings.drift_after_seconds)

    def partial_uploads(connection: Connection) -> int:
        return flag_partial_uploads(connection, older_than_seconds=settings.partial_after_seconds)

    return [
        Check(name="expired_leases", mend=requeue_expired_leases),
        Check(name="uploads_whose_ingest_died", mend=fail_uploads_whose_ingest_died),
        Check(name="uploads_whose_summary_died", mend=fail_uploads_whose_summary_died),
        Check(name="lost_uploads", mend=lost_uploads),
        Check(name="partial_uploads", mend=partial_uploads),
        Check(name="backlogs", mend=measure_backlogs),
    ]


def requeue_expired_leases(connection: Connection) -> int:
    """Tasks whose worker fell silent go back to their queue, or are dead after their last attempt."""
    expired = requeue_expired(connection)
    metrics.EXPIRED.labels("requeued").inc(expired.requeued)
    metrics.EXPIRED.labels("dead").inc(expired.dead)
    return expired.requeued + expired.dead


def measure_backlogs(connection: Connection) -> int:
    """Sets the gauges; there is nothing to put right."""
    admin.backlogs(connection)
    return 0


def fail_uploads_whose_ingest_died(connection: Connection) -> int:
    """An upload whose task died has failed, and its owner is told why."""
    died = (
        select(UPLOAD.c.id, TASK.c.error_code, TASK.c.error)
        .join(TASK, _ingests(UPLOAD.c.id))
        .where(
            UPLOAD.c.state.in_(("accepted", "processing")),
            UPLOAD.c.parsed_at.is_(None),
            TASK.c.state.in_(DEAD),
            not_(_has_ingest(ALIVE)),
        )
        .ext(distinct_on(UPLOAD.c.id))
        .order_by(UPLOAD.c.id, TASK.c.finished_at.desc())
        .limit(BATCH)
    )
    return _fail(connection, died.subquery(), during="while it was read")


def fail_uploads_whose_summary_died(connection: Connection) -> int:
    """The same for what comes after: nothing is left to run, and something of it died."""
    died = (
        select(UPLOAD.c.id, TASK.c.error_code, TASK.c.error)
        .join(TASK, chain_of(UPLOAD.c.schema_name, UPLOAD.c.manifest_id, DEAD))
        .where(
            UPLOAD.c.state.in_(("processing", "waiting")),
            UPLOAD.c.parsed_at.is_not(None),
            UPLOAD.c.summarised_at.is_(None),
            not_(has_chain(UPLOAD.c.schema_name, UPLOAD.c.manifest_id, ALIVE)),
        )
        .ext(distinct_on(UPLOAD.c.id))
        .order_by(UPLOAD.c.id, TASK.c.finished_at.desc())
        .limit(BATCH)
    )
    return _fail(connection, died.subquery(), during="while its days were summarised")


def queue_lost_uploads(connection: Connection, *, older_than_seconds: float) -> int:
    """An accepted upload that no task speaks of, for example after a backup was restored, is queued again."""
    lost = connection.execute(
        select(UPLOAD.c.id, UPLOAD.c.schema_name)
        .where(
            UPLOAD.c.state.in_(("accepted", "processing")),
            UPLOAD.c.parsed_at.is_(None),
            UPLOAD.c.updated_at < in_seconds(-older_than_seconds),
            not_(exists().where(_ingests(UPLOAD.c.id))),
        )
        .order_by(UPLOAD.c.id)
        .limit(BATCH)
    ).all()
    for upload in lost:
        enqueue(connection, pb.IngestPayload(upload_id=upload.id), schema=upload.schema_name)
    return len(lost)


def flag_partial_uploads(connection: Connection, *, older_than_seconds: float) -> int:
    """An upload whose other files have not come is called partial, and the files are named (reliability F41)."""
    late = connection.execute(
        select(UPLOAD.c.id, UPLOAD.c.manifest_id)
        .where(
            UPLOAD.c.state == "waiting",
            UPLOAD.c.reason_code == INCOMPLETE,
            UPLOAD.c.accepted_at < in_seconds(-older_than_seconds),
        )
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    for upload in late:
        reason = partial_words(connection, upload.manifest_id)
        connection.execute(
            update(UPLOAD).where(UPLOAD.c.id == upload.id).values(reason_code=PARTIAL, reason=reason, updated_at=now())
        )
    return len(late)


def partial_words(connection: Connection, manifest_id: int | None) -> str:
    """What is missing of a manifest, for its owner."""
    unfinished = connection.execute(
        select(MANIFEST_FILE.c.report_name, MANIFEST_FILE.c.status)
        .where(MANIFEST_FILE.c.manifest_id == manifest_id, MANIFEST_FILE.c.completed_datetime.is_(None))
        .order_by(MANIFEST_FILE.c.report_name)
    ).all()
    missing = [file.report_name for file in unfinished if file.status != FILE_FAILED]
    refused = [file.report_name for file in unfinished if file.status == FILE_FAILED]
    words = []
    if missing:
        words.append(f"Files that the manifest names have not come: {shown(missing)}.")
    if refused:
        words.append(f"Files of the same manifest were refused: {shown(refused)}.")
    return " ".join(words) or "Not all files of the manifest have come."


def shown(names: list[str]) -> str:
    more = len(names) - MOST_NAMES_SHOWN
    return ", ".join(names[:MOST_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


# -------------------------------------------------------------------------------------------------------------- parts


def chain_of(
    schema: ColumnElement[Any], manifest_id: ColumnElement[Any], states: tuple[str, ...]
) -> ColumnElement[bool]:
    """Tasks in these states that carry a manifest towards its completion."""
    return and_(
        TASK.c.schema_name == schema,
        TASK.c.type.in_(CHAIN),
        TASK.c.state.in_(states),
        TASK.c.payload["manifestIds"].has_key(cast(manifest_id, Text)),
    )


def has_chain(
    schema: ColumnElement[Any], manifest_id: ColumnElement[Any], states: tuple[str, ...]
) -> ColumnElement[bool]:
    return exists().where(chain_of(schema, manifest_id, states)).correlate_except(TASK)


def _ingests(upload_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Tasks that read this upload; 64-bit numbers are text in canonical JSON."""
    return and_(TASK.c.type == INGEST, TASK.c.payload["uploadId"].astext == cast(upload_id, Text))


def _has_ingest(states: tuple[str, ...]) -> ColumnElement[bool]:
    other = TASK.alias("other")
    return exists().where(
        other.c.type == INGEST,
        other.c.payload["uploadId"].astext == cast(UPLOAD.c.id, Text),
        other.c.state.in_(states),
    )


def _fail(connection: Connection, died: Subquery, *, during: str) -> int:
    reason = func.concat(f"Processing failed {during}: ", func.coalesce(died.c.error, died.c.error_code))
    values = {
        "state": "failed",
        "reason_code": func.coalesce(died.c.error_code, "internal"),
        "reason": reason,
        "finished_at": now(),
        "updated_at": now(),
    }
    return connection.execute(update(UPLOAD).where(UPLOAD.c.id == died.c.id).values(values)).rowcount
