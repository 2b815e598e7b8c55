"""Queries of the workers. Each function is part of a transaction of its caller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, DateTime, Row, and_, any_, false, func, insert, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.types import Text

from kura.core.days import DayRange, Month
from kura.core.errors import NotFound
from kura.queue.tasks import task_type
from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.tables.shared import (
    CUSTOMER,
    FILE_DONE,
    FILE_FAILED,
    FILE_PROCESSING,
    INGESTED_FILE_DAY,
    MANIFEST,
    MANIFEST_FILE,
    MANIFEST_RANGE,
    PROVIDER,
    SOURCES,
    TASK,
    UPLOAD,
)
from kura.store.tables.tenant import ENABLED_TAG_KEYS, REPORT_PERIOD, TENANT_PROVIDER, TENANT_SETTINGS
from kura.workers.ocp.manifest import Manifest
from kura.workers.ocp.objects import short_name

UNKNOWN_CLUSTER = "unknown_cluster"
INCOMPLETE = "incomplete_manifest"
PARTIAL = "partial"
FILE_REFUSED = "file_refused"

LONGEST_REPORT_NAME = 128  # bytes; longer names are stored shortened


class SourceGone(NotFound):
    """The source was deleted while its data was being taken in."""

    code = "source_gone"


# ── uploads ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One accepted upload, as far as ingestion needs it."""

    id: int
    org_id: str
    object_key: str
    accepted_at: datetime


def begin_upload(connection: Connection, upload_id: int) -> Upload | None:
    """The upload, now being processed; None if nothing is left to take in."""
    row = connection.execute(select(UPLOAD).where(UPLOAD.c.id == upload_id).with_for_update()).one_or_none()
    if row is None or row.state == "done" or row.parsed_at is not None:
        return None
    set_upload(connection, upload_id, state="processing", started_at=func.coalesce(UPLOAD.c.started_at, func.now()))
    return Upload(id=row.id, org_id=row.org_id, object_key=row.object_key, accepted_at=row.accepted_at)


def set_upload(connection: Connection, upload_id: int, **values: Any) -> None:
    """Change one upload. A state that is an end gets its time."""
    if values.get("state") in ("done", "failed"):
        values["finished_at"] = func.now()
    elif "state" in values:
        values |= {"finished_at": None, "reason_code": None, "reason": None} | values
    connection.execute(update(UPLOAD).where(UPLOAD.c.id == upload_id).values(updated_at=func.now(), **values))


# ── sources ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def schema_of_organisation(connection: Connection, org_id: str) -> str:
    schema: str = connection.execute(select(CUSTOMER.c.schema_name).where(CUSTOMER.c.org_id == org_id)).scalar_one()
    return schema


@dataclass(frozen=True, kw_only=True)
class HeldSource:
    """A source that cannot be deleted before the transaction ends."""

    name: str
    type: str
    cluster_id: str


def hold_source(connection: Connection, provider_uuid: UUID) -> HeldSource:
    """The source, kept until the transaction ends; SourceGone if it is being deleted."""
    row = connection.execute(
        select(SOURCES.c.name, SOURCES.c.source_ref, PROVIDER.c.type)
        .join(PROVIDER, PROVIDER.c.uuid == SOURCES.c.provider_id)
        .where(PROVIDER.c.uuid == provider_uuid, SOURCES.c.pending_delete.is_(False))
        .with_for_update(read=True)
    ).one_or_none()
    if row is None:
        raise SourceGone
    return HeldSource(name=row.name, type=row.type, cluster_id=row.source_ref or "")


def retention_months(connection: Connection, *, override: int | None) -> int:
    """Months of data the tenant keeps. The transaction is one of the tenant."""
    if override is not None:
        return override
    months: int = connection.execute(select(TENANT_SETTINGS.c.data_retention_months)).scalar_one()
    return months


def mark_set_up(connection: Connection, provider_uuid: UUID) -> None:
    """The source has brought data."""
    connection.execute(
        update(PROVIDER)
        .where(PROVIDER.c.uuid == provider_uuid, PROVIDER.c.setup_complete.is_(False))
        .values(setup_complete=True)
    )


def mark_updated(connection: Connection, provider_uuid: UUID) -> None:
    """The numbers of the source are new."""
    connection.execute(
        update(PROVIDER).where(PROVIDER.c.uuid == provider_uuid).values(data_updated_timestamp=func.now())
    )


@dataclass(frozen=True, kw_only=True)
class ActiveSource:
    """A source whose data is summarised."""

    uuid: UUID
    schema_name: str


def active_sources(connection: Connection, *, schema: str | None) -> list[ActiveSource]:
    """Sources that are neither paused nor being deleted, of one tenant or of all."""
    query = (
        select(PROVIDER.c.uuid, CUSTOMER.c.schema_name)
        .join(CUSTOMER, CUSTOMER.c.id == PROVIDER.c.customer_id)
        .join(SOURCES, SOURCES.c.provider_id == PROVIDER.c.uuid)
        .where(PROVIDER.c.active, ~PROVIDER.c.paused, ~SOURCES.c.pending_delete)
        .order_by(CUSTOMER.c.schema_name, PROVIDER.c.uuid)
    )
    if schema is not None:
        query = query.where(CUSTOMER.c.schema_name == schema)
    return [ActiveSource(**row._mapping) for row in connection.execute(query)]


# ── manifests ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class StoredManifest:
    """The row that all archives of one manifest share."""

    id: int
    provider_uuid: UUID
    hours_per_day: Mapping[date, int]
    additive: bool
    done: frozenset[str]  # stored names of the files that are taken in


def register_manifest(
    connection: Connection, manifest: Manifest, *, provider_uuid: UUID, upload_id: int
) -> StoredManifest:
    """The manifest's row and one row per file, made by the first archive; later ones reuse them (§6.2)."""
    connection.execute(
        upsert(MANIFEST)
        .values(
            assembly_id=str(manifest.uuid),
            provider_id=provider_uuid,
            export_datetime=manifest.date,
            start_datetime=manifest.start,
            end_datetime=manifest.end,
            hours_per_day={day.isoformat(): hours for day, hours in manifest.hours_per_day.items()},
            accepted_order=upload_id,
            state=func.jsonb_build_object(
                "download", func.jsonb_build_object("start", func.now(), "end", func.now(), "time_taken_seconds", 0)
            ),
            billing_period_start_datetime=datetime(manifest.month.year, manifest.month.month, 1, tzinfo=UTC),
            num_total_files=len(manifest.files),
            operator_version=manifest.operator_version,
            cluster_channel=manifest.cluster_channel,
            operator_certified=manifest.certified,
            operator_airgapped=manifest.operator_airgapped,
            operator_errors=manifest.operator_errors,
            operator_daily_reports=manifest.daily_reports,
            cluster_id=manifest.cluster_id,
        )
        .on_conflict_do_nothing(index_elements=[MANIFEST.c.provider_id, MANIFEST.c.assembly_id])
    )
    same = and_(MANIFEST.c.provider_id == provider_uuid, MANIFEST.c.assembly_id == str(manifest.uuid))
    row = connection.execute(select(MANIFEST).where(same).with_for_update()).one()
    order = min(row.accepted_order or upload_id, upload_id)
    if order != row.accepted_order:  # an archive that was accepted earlier came later
        connection.execute(update(MANIFEST).where(MANIFEST.c.id == row.id).values(accepted_order=order))
        connection.execute(
            update(INGESTED_FILE_DAY).where(INGESTED_FILE_DAY.c.manifest_id == row.id).values(accepted_order=order)
        )
    if manifest.files:
        connection.execute(
            upsert(MANIFEST_FILE)
            .values([{"manifest_id": row.id, "report_name": stored_report_name(name)} for name in manifest.files])
            .on_conflict_do_nothing()
        )
    return StoredManifest(
        id=row.id,
        provider_uuid=provider_uuid,
        hours_per_day={date.fromisoformat(day): hours for day, hours in row.hours_per_day.items()},
        additive=not row.operator_daily_reports,
        done=frozenset(file.report_name for file in files_of(connection, row.id) if file.completed_datetime),
    )


def stored_report_name(name: str) -> str:
    return short_name(name, LONGEST_REPORT_NAME)


def lock_manifest(connection: Connection, manifest_id: int) -> Row[Any]:
    """The manifest's row until the transaction ends; SourceGone if it went with its source."""
    row = connection.execute(select(MANIFEST).where(MANIFEST.c.id == manifest_id).with_for_update()).one_or_none()
    if row is None:
        raise SourceGone
    return row


def lock_manifests(connection: Connection, manifest_ids: Sequence[int]) -> None:
    """Several manifests, in the one order in which everybody locks them."""
    rows = select(MANIFEST.c.id).where(MANIFEST.c.id.in_(manifest_ids)).order_by(MANIFEST.c.id).with_for_update()
    connection.execute(rows).all()


def files_of(connection: Connection, manifest_id: int) -> Sequence[Row[Any]]:
    return connection.execute(
        select(MANIFEST_FILE).where(MANIFEST_FILE.c.manifest_id == manifest_id).order_by(MANIFEST_FILE.c.report_name)
    ).all()


def start_step(connection: Connection, manifest_ids: Sequence[int], step: str) -> None:
    """A step of the manifests' `state` begins; what it said before is gone (tasks-and-queues §5.3)."""
    begun = func.jsonb_build_object(step, func.jsonb_build_object("start", func.now()))
    connection.execute(
        update(MANIFEST).where(MANIFEST.c.id.in_(manifest_ids)).values(state=MANIFEST.c.state.op("||")(begun))
    )


def end_step(connection: Connection, manifest_ids: Sequence[int], step: str, *, failed: bool = False) -> None:
    """A step of the manifests' `state` ends, well or not."""
    before = func.coalesce(MANIFEST.c.state[step], literal({}, JSONB))
    began = before["start"].astext.cast(DateTime(timezone=True))
    facts = (
        func.jsonb_build_object("failed", func.now())
        if failed
        else func.jsonb_build_object("end", func.now(), "time_taken_seconds", func.extract("epoch", func.now() - began))
    )
    ended = func.jsonb_build_object(step, before.op("||")(facts))
    connection.execute(
        update(MANIFEST).where(MANIFEST.c.id.in_(manifest_ids)).values(state=MANIFEST.c.state.op("||")(ended))
    )


def missing_files(connection: Connection, manifest_id: int) -> int:
    """How many files of the manifest are not taken in."""
    count = select(func.count()).where(
        MANIFEST_FILE.c.manifest_id == manifest_id, MANIFEST_FILE.c.completed_datetime.is_(None)
    )
    return connection.execute(count).scalar_one()


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class FileDay:
    """What one file brought for one day, as it is recorded."""

    report_type: str
    day: date
    hours: int
    rows: int
    hourly_object: str
    daily_objects: tuple[str, ...]


def begin_files(connection: Connection, manifest_id: int, names: Iterable[str], *, task_id: UUID) -> int:
    """Note that these files are being taken in, those that are not already; how many."""
    begun = (
        update(MANIFEST_FILE)
        .where(
            MANIFEST_FILE.c.manifest_id == manifest_id,
            MANIFEST_FILE.c.report_name.in_([stored_report_name(name) for name in names]),
            MANIFEST_FILE.c.completed_datetime.is_(None),
        )
        .values(status=FILE_PROCESSING, failed_status=None, started_datetime=func.now(), task_id=task_id)
    )
    return connection.execute(begun).rowcount


def finish_file(
    connection: Connection,
    manifest: StoredManifest,
    name: str,
    *,
    accepted_order: int,
    report_type: str | None,
    days: Sequence[FileDay],
) -> bool:
    """Record a file with its days; False if it was recorded before. The caller holds source and manifest."""
    stored = stored_report_name(name)
    done = connection.execute(
        update(MANIFEST_FILE)
        .where(
            MANIFEST_FILE.c.manifest_id == manifest.id,
            MANIFEST_FILE.c.report_name == stored,
            MANIFEST_FILE.c.completed_datetime.is_(None),
        )
        .values(
            status=FILE_DONE,
            failed_status=None,
            report_type=report_type,
            started_datetime=func.coalesce(MANIFEST_FILE.c.started_datetime, func.now()),
            completed_datetime=func.now(),
        )
    )
    if done.rowcount == 0:
        return False
    if days:
        connection.execute(
            insert(INGESTED_FILE_DAY),
            [
                {
                    "provider_uuid": manifest.provider_uuid,
                    "report_type": day.report_type,
                    "day": day.day,
                    "manifest_id": manifest.id,
                    "report_name": stored,
                    "hours": day.hours,
                    "additive": manifest.additive,
                    "accepted_order": accepted_order,
                    "hourly_objects": [day.hourly_object],
                    "daily_objects": list(day.daily_objects),
                    "rows": day.rows,
                }
                for day in days
            ],
        )
    return True


def fail_file(connection: Connection, manifest_id: int, name: str) -> None:
    connection.execute(
        update(MANIFEST_FILE)
        .where(
            MANIFEST_FILE.c.manifest_id == manifest_id,
            MANIFEST_FILE.c.report_name == stored_report_name(name),
            MANIFEST_FILE.c.completed_datetime.is_(None),
        )
        .values(status=FILE_FAILED, failed_status=FILE_PROCESSING)
    )


def add_tag_keys(connection: Connection, keys: Iterable[str]) -> None:
    """Make unknown keys known, disabled; known ones are not touched (§6.10)."""
    wanted = sorted(set(keys))
    if not wanted:
        return
    found = func.unnest(literal(wanted, ARRAY(Text))).column_valued("key")
    rows = select(func.gen_random_uuid(), found, false(), literal("OCP"))
    names = ["uuid", "key", "enabled", "provider_type"]
    connection.execute(upsert(ENABLED_TAG_KEYS).from_select(names, rows).on_conflict_do_nothing())


def unknown_tag_keys(connection: Connection, keys: Iterable[str]) -> set[str]:
    """Those of the keys that the tenant has never seen. Most payloads bring none, and then nothing is written."""
    wanted = set(keys)
    if not wanted:
        return wanted
    known = select(ENABLED_TAG_KEYS.c.key).where(
        ENABLED_TAG_KEYS.c.provider_type == "OCP",
        ENABLED_TAG_KEYS.c.key == any_(literal(sorted(wanted), ARRAY(Text))),
    )
    return wanted - set(connection.scalars(known))


def add_report_periods(
    connection: Connection, *, provider_uuid: UUID, source: HeldSource, months: Iterable[Month]
) -> None:
    """The tenant's own row of the source, and one report period per month with data (§6.11)."""
    connection.execute(
        upsert(TENANT_PROVIDER).values(uuid=provider_uuid, name=source.name, type=source.type).on_conflict_do_nothing()
    )
    connection.execute(
        update(TENANT_PROVIDER)
        .where(TENANT_PROVIDER.c.uuid == provider_uuid, TENANT_PROVIDER.c.name != source.name)
        .values(name=source.name)
    )
    for month in sorted(set(months)):
        row = upsert(REPORT_PERIOD).values(
            cluster_id=source.cluster_id,
            cluster_alias=source.name,
            report_period_start=_midnight(month.first),
            report_period_end=_midnight(month.plus(1).first),
            provider_id=provider_uuid,
        )
        connection.execute(
            row.on_conflict_do_update(
                index_elements=[
                    REPORT_PERIOD.c.cluster_id,
                    REPORT_PERIOD.c.report_period_start,
                    REPORT_PERIOD.c.provider_id,
                ],
                set_={"cluster_alias": row.excluded.cluster_alias},
                where=REPORT_PERIOD.c.cluster_alias.is_distinct_from(row.excluded.cluster_alias),
            )
        )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


# ── ranges and summaries ─────────────────────────────────────────────────────────────────────────────────────────────


def days_written(connection: Connection, manifest_id: int) -> list[date]:
    return list(
        connection.scalars(
            select(INGESTED_FILE_DAY.c.day)
            .where(INGESTED_FILE_DAY.c.manifest_id == manifest_id)
            .distinct()
            .order_by(INGESTED_FILE_DAY.c.day)
        )
    )


def ranges_of(days: Sequence[date]) -> list[DayRange]:
    """First to last day of every month that has any (§6.12, D3)."""
    by_month: dict[Month, list[date]] = {}
    for day in days:
        by_month.setdefault(Month.of(day), []).append(day)
    return [DayRange(min(found), max(found)) for _, found in sorted(by_month.items())]


def ranges_to_summarise(connection: Connection, manifest_id: int, *, again: bool) -> list[DayRange]:
    """Ranges of the manifest that no summary covers and none was asked for; with `again` also those asked for."""
    latest = select(func.max(INGESTED_FILE_DAY.c.created_at)).where(
        INGESTED_FILE_DAY.c.manifest_id == MANIFEST_RANGE.c.manifest_id,
        INGESTED_FILE_DAY.c.day.between(MANIFEST_RANGE.c.start_date, MANIFEST_RANGE.c.end_date),
    )
    rows = connection.execute(
        select(MANIFEST_RANGE, (latest.scalar_subquery() <= MANIFEST_RANGE.c.summarised_at).label("covers_all")).where(
            MANIFEST_RANGE.c.manifest_id == manifest_id
        )
    )
    covered = {
        row.month: (row.start_date, row.end_date)
        for row in rows
        if (row.covers_all if row.summarised_at is not None else not again)
    }
    wanted = ranges_of(days_written(connection, manifest_id))
    return [
        days
        for days in wanted
        if not (found := covered.get(Month.of(days.start).first)) or days.start < found[0] or days.end > found[1]
    ]


def open_ranges(connection: Connection, manifest_id: int, ranges: Iterable[DayRange]) -> None:
    """Note what of the manifest is to be summarised."""
    for days in ranges:
        row = upsert(MANIFEST_RANGE).values(
            manifest_id=manifest_id, month=Month.of(days.start).first, start_date=days.start, end_date=days.end
        )
        connection.execute(
            row.on_conflict_do_update(
                index_elements=[MANIFEST_RANGE.c.manifest_id, MANIFEST_RANGE.c.month],
                set_={"start_date": row.excluded.start_date, "end_date": row.excluded.end_date, "summarised_at": None},
            )
        )
    connection.execute(update(MANIFEST).where(MANIFEST.c.id == manifest_id).values(completed_datetime=None))


def summarised_manifests(connection: Connection, manifest_ids: Sequence[int]) -> list[int]:
    """Those of the manifests that have no open range."""
    still_open = (
        select(MANIFEST_RANGE.c.manifest_id)
        .where(MANIFEST_RANGE.c.manifest_id == MANIFEST.c.id, MANIFEST_RANGE.c.summarised_at.is_(None))
        .exists()
    )
    found = select(MANIFEST.c.id).where(MANIFEST.c.id.in_(manifest_ids), ~still_open).order_by(MANIFEST.c.id)
    return list(connection.scalars(found))


def end_waiting(connection: Connection, manifest_id: int) -> None:
    """Uploads that waited for other archives of their manifest wait no more."""
    connection.execute(
        update(UPLOAD)
        .where(
            UPLOAD.c.manifest_id == manifest_id,
            UPLOAD.c.state == "waiting",
            UPLOAD.c.reason_code.in_((INCOMPLETE, PARTIAL)),
        )
        .values(state="processing", reason_code=None, reason=None, updated_at=func.now())
    )


def manifests_to_summarise_again(connection: Connection, costs: tasks_pb2.ApplyCostModel) -> set[int]:
    """Those that a summary of the same month, asked for since, will bring to their end."""
    summary = tasks_pb2.SummariseRange(
        schema_name=costs.schema_name,
        provider_uuid=costs.provider_uuid,
        start_date=costs.start_date,
        end_date=costs.end_date,
    )
    waiting = select(TASK.c.payload["manifestIds"]).where(
        TASK.c.dedupe_key == task_type(summary.DESCRIPTOR.full_name).dedupe_key(summary), TASK.c.state == "queued"
    )
    return {int(number) for number in connection.scalar(waiting) or ()}


def close_ranges(connection: Connection, manifest_ids: Sequence[int], days: DayRange) -> None:
    """Note that the manifests are summarised and priced in this range."""
    connection.execute(
        update(MANIFEST_RANGE)
        .where(
            MANIFEST_RANGE.c.manifest_id.in_(manifest_ids),
            MANIFEST_RANGE.c.month == Month.of(days.start).first,
            MANIFEST_RANGE.c.start_date >= days.start,
            MANIFEST_RANGE.c.end_date <= days.end,
            MANIFEST_RANGE.c.summarised_at.is_(None),
        )
        .values(summarised_at=func.now())
    )


def complete_manifests(connection: Connection, manifest_ids: Sequence[int]) -> None:
    """All ranges of these manifests are summarised: they are complete, and the uploads that brought them are done.

    An upload that was given up waiting for its other files is done too, and keeps saying that it is partial.
    """
    if not manifest_ids:
        return
    partial = and_(UPLOAD.c.state == "waiting", UPLOAD.c.reason_code == PARTIAL)
    connection.execute(
        update(MANIFEST)
        .where(MANIFEST.c.id.in_(manifest_ids))
        .values(completed_datetime=func.coalesce(MANIFEST.c.completed_datetime, func.now()))
    )
    connection.execute(
        update(UPLOAD)
        .where(
            UPLOAD.c.manifest_id.in_(manifest_ids),
            or_(UPLOAD.c.state == "processing", partial),
            UPLOAD.c.parsed_at.is_not(None),
        )
        .values(
            state="done",
            summarised_at=func.coalesce(UPLOAD.c.summarised_at, func.now()),
            finished_at=func.now(),
            updated_at=func.now(),
        )
    )


def forget_losing_objects(connection: Connection, *, older_than: timedelta) -> list[str]:
    """Keys of objects that lost against others at least that long ago, taken out of their rows.

    The rows stay: they are part of what decides. The time is for readers that began before, and for a late archive
    that might yet turn the decision.
    """
    rows = connection.execute(text(_LOSING), {"seconds": older_than.total_seconds()}).all()
    return [key for row in rows for key in (*row.hourly_objects, *row.daily_objects)]


_LOSING = """
with losing as (
    select given.provider_uuid, given.report_type, given.day, given.manifest_id, given.report_name,
           given.hourly_objects, given.daily_objects
    from ingested_file_day given
    where cardinality(given.hourly_objects) > 0
      and not exists (
        select from visible_file_day same
        where (same.provider_uuid, same.report_type, same.day, same.manifest_id, same.report_name)
            = (given.provider_uuid, given.report_type, given.day, given.manifest_id, given.report_name)
      )
      and exists (
        select from visible_file_day winner
        where (winner.provider_uuid, winner.report_type, winner.day)
            = (given.provider_uuid, given.report_type, given.day)
          and winner.created_at < now() - make_interval(secs => :seconds)
      )
    for update of given skip locked
)
update ingested_file_day given
set hourly_objects = '{}', daily_objects = '{}'
from losing
where (given.provider_uuid, given.report_type, given.day, given.manifest_id, given.report_name)
    = (losing.provider_uuid, losing.report_type, losing.day, losing.manifest_id, losing.report_name)
returning losing.hourly_objects, losing.daily_objects
"""
