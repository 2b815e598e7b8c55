"""The drift reconciler: months that are summarised from less than what is stored get the task that mends them.

It looks only at facts (files, days, ranges), not at what tasks were meant to do; work that has a live task, or one that
died and waits for an administrator, is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Connection, Select, and_, cast, exists, func, not_, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.types import Date

from kura.core.days import DayRange, Month
from kura.queue.clock import in_seconds, now
from kura.queue.outbox import enqueue
from kura.rpc.tasks.v1 import tasks_pb2 as pb
from kura.scheduler.config import ReconcilerSettings
from kura.scheduler.reconciler import Check
from kura.scheduler.status import ALIVE, DEAD, PARTIAL, has_chain
from kura.store import leases
from kura.store.database import in_schema
from kura.store.partitions import TABLES, partition_name
from kura.store.tables.shared import (
    CUSTOMER,
    INGESTED_FILE_DAY,
    MANIFEST,
    MANIFEST_FILE,
    MANIFEST_RANGE,
    PROVIDER,
    UPLOAD,
)
from kura.store.tables.tenant import PARTITIONED_TABLES
from kura.store.tenancy import tenant_schemas

BATCH: Final = 200
COMPARED: Final = "compared-totals"
"""Name of a lease that is never given back: while it lasts, the totals have been compared."""
COMPARE_SECONDS: Final = 86400.0
CAUSE: Final = "drift"


def checks(settings: ReconcilerSettings) -> list[Check]:
    after = settings.drift_after_seconds

    return [
        Check(name="complete_manifests_without_range", mend=lambda c: add_ranges_of_complete(c, after_seconds=after)),
        Check(
            name="partial_manifests",
            mend=lambda c: add_ranges_of_partial(c, after_seconds=settings.partial_summary_seconds),
        ),
        Check(name="outdated_ranges", mend=lambda c: reopen_outdated_ranges(c, after_seconds=after)),
        Check(name="forgotten_ranges", mend=lambda c: summarise_forgotten_ranges(c, after_seconds=after)),
        Check(name="uncompleted_manifests", mend=lambda c: complete_manifests(c, after_seconds=after)),
        Check(name="missing_partitions", mend=ensure_partitions),
        Check(name="totals_to_compare", mend=lambda c: compare_totals(c, days=settings.validation_days)),
    ]


@dataclass(frozen=True, kw_only=True)
class Range:
    """Days of one source in one month."""

    schema_name: str
    provider_uuid: UUID
    manifest_ids: Sequence[int]
    start_date: date
    end_date: date


# ---------------------------------------------------------------------------------------------------- missing ranges


def add_ranges_of_complete(connection: Connection, *, after_seconds: float) -> int:
    """Manifests whose files are all stored, but whose days nobody asked to summarise."""
    has_files = exists().where(MANIFEST_FILE.c.manifest_id == MANIFEST.c.id)
    wanted = _manifests_without_range().where(
        has_files,
        not_(_has_unfinished_file()),
        _last_stored() < in_seconds(-after_seconds),
    )
    return _add_ranges(connection, wanted)


def add_ranges_of_partial(connection: Connection, *, after_seconds: float) -> int:
    """Manifests some of whose files never came: what came is summarised after a day, and the upload says partial."""
    is_partial = exists().where(
        UPLOAD.c.manifest_id == MANIFEST.c.id,
        UPLOAD.c.state == "waiting",
        UPLOAD.c.reason_code == PARTIAL,
        UPLOAD.c.accepted_at < in_seconds(-after_seconds),
    )
    wanted = _manifests_without_range().where(is_partial, _has_unfinished_file())
    return _add_ranges(connection, wanted)


def _manifests_without_range() -> Select[Any]:
    return (
        select(MANIFEST.c.id)
        .join(PROVIDER, PROVIDER.c.uuid == MANIFEST.c.provider_id)
        .where(
            MANIFEST.c.completed_datetime.is_(None),
            not_(PROVIDER.c.paused),
            not_(exists().where(MANIFEST_RANGE.c.manifest_id == MANIFEST.c.id)),
            exists().where(INGESTED_FILE_DAY.c.manifest_id == MANIFEST.c.id),
        )
        .order_by(MANIFEST.c.id)
        .limit(BATCH)
    )


def _has_unfinished_file() -> Any:
    return exists().where(MANIFEST_FILE.c.manifest_id == MANIFEST.c.id, MANIFEST_FILE.c.completed_datetime.is_(None))


def _last_stored() -> Any:
    return (
        select(func.max(INGESTED_FILE_DAY.c.created_at))
        .where(INGESTED_FILE_DAY.c.manifest_id == MANIFEST.c.id)
        .scalar_subquery()
    )


def _add_ranges(connection: Connection, manifests: Select[Any]) -> int:
    """Ranges over the days that are stored; `summarise_forgotten_ranges` queues them."""
    ids = list(connection.scalars(manifests))
    if not ids:
        return 0
    month = cast(func.date_trunc("month", INGESTED_FILE_DAY.c.day), Date)
    ranges = (
        select(
            INGESTED_FILE_DAY.c.manifest_id,
            month,
            func.min(INGESTED_FILE_DAY.c.day),
            func.max(INGESTED_FILE_DAY.c.day),
        )
        .where(INGESTED_FILE_DAY.c.manifest_id.in_(ids))
        .group_by(INGESTED_FILE_DAY.c.manifest_id, month)
    )
    columns = ["manifest_id", "month", "start_date", "end_date"]
    connection.execute(insert(MANIFEST_RANGE).from_select(columns, ranges).on_conflict_do_nothing())
    for found in _open_ranges(connection, MANIFEST.c.id.in_(ids)):
        _summarise(connection, found)
    return len(ids)


# ------------------------------------------------------------------------------------------------------- open ranges


def reopen_outdated_ranges(connection: Connection, *, after_seconds: float) -> int:
    """Ranges that were summarised before the last of their days was stored."""
    newer = exists().where(
        INGESTED_FILE_DAY.c.manifest_id == MANIFEST_RANGE.c.manifest_id,
        INGESTED_FILE_DAY.c.day.between(MANIFEST_RANGE.c.start_date, MANIFEST_RANGE.c.end_date),
        INGESTED_FILE_DAY.c.created_at > MANIFEST_RANGE.c.summarised_at,
        INGESTED_FILE_DAY.c.created_at < in_seconds(-after_seconds),
    )
    outdated = MANIFEST_RANGE.c.summarised_at.is_not(None) & newer
    return connection.execute(update(MANIFEST_RANGE).where(outdated).values(summarised_at=None)).rowcount


def summarise_forgotten_ranges(connection: Connection, *, after_seconds: float) -> int:
    """Ranges that wait to be summarised though no task is on its way to do it."""
    found = _open_ranges(
        connection,
        MANIFEST.c.creation_datetime < in_seconds(-after_seconds),
        or_(_last_stored().is_(None), _last_stored() < in_seconds(-after_seconds)),
        not_(has_chain(CUSTOMER.c.schema_name, MANIFEST.c.id, ALIVE)),
        not_(has_chain(CUSTOMER.c.schema_name, MANIFEST.c.id, DEAD)),
    )
    for each in found:
        _summarise(connection, each)
    return len(found)


def _open_ranges(connection: Connection, *which: Any) -> list[Range]:
    """Ranges that are not summarised, joined by source and month."""
    rows = connection.execute(
        select(
            CUSTOMER.c.schema_name,
            PROVIDER.c.uuid.label("provider_uuid"),
            func.array_agg(MANIFEST.c.id.distinct()).label("manifest_ids"),
            func.min(MANIFEST_RANGE.c.start_date).label("start_date"),
            func.max(MANIFEST_RANGE.c.end_date).label("end_date"),
        )
        .select_from(MANIFEST_RANGE)
        .join(MANIFEST, MANIFEST.c.id == MANIFEST_RANGE.c.manifest_id)
        .join(PROVIDER, PROVIDER.c.uuid == MANIFEST.c.provider_id)
        .join(CUSTOMER, CUSTOMER.c.id == PROVIDER.c.customer_id)
        .where(MANIFEST_RANGE.c.summarised_at.is_(None), not_(PROVIDER.c.paused), *which)
        .group_by(CUSTOMER.c.schema_name, PROVIDER.c.uuid, MANIFEST_RANGE.c.month)
        .order_by(CUSTOMER.c.schema_name, PROVIDER.c.uuid, MANIFEST_RANGE.c.month)
        .limit(BATCH)
    )
    return [Range(**row._mapping) for row in rows]


def _summarise(connection: Connection, found: Range) -> None:
    enqueue(
        connection,
        pb.SummariseRange(
            schema_name=found.schema_name,
            provider_uuid=str(found.provider_uuid),
            start_date=found.start_date.isoformat(),
            end_date=found.end_date.isoformat(),
            manifest_ids=sorted(found.manifest_ids),
            cause=CAUSE,
        ),
    )


# --------------------------------------------------------------------------------------------------------- completion


def complete_manifests(connection: Connection, *, after_seconds: float) -> int:
    """Manifests whose ranges are all summarised, but which nobody marked complete."""
    still_open = exists().where(MANIFEST_RANGE.c.manifest_id == MANIFEST.c.id, MANIFEST_RANGE.c.summarised_at.is_(None))
    summarised = (
        select(func.max(MANIFEST_RANGE.c.summarised_at))
        .where(MANIFEST_RANGE.c.manifest_id == MANIFEST.c.id)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(
            CUSTOMER.c.schema_name,
            PROVIDER.c.uuid.label("provider_uuid"),
            func.array_agg(MANIFEST.c.id).label("manifest_ids"),
        )
        .select_from(MANIFEST)
        .join(PROVIDER, PROVIDER.c.uuid == MANIFEST.c.provider_id)
        .join(CUSTOMER, CUSTOMER.c.id == PROVIDER.c.customer_id)
        .where(
            MANIFEST.c.completed_datetime.is_(None),
            not_(still_open),
            summarised < in_seconds(-after_seconds),
            not_(has_chain(CUSTOMER.c.schema_name, MANIFEST.c.id, ALIVE)),
            not_(has_chain(CUSTOMER.c.schema_name, MANIFEST.c.id, DEAD)),
        )
        .group_by(CUSTOMER.c.schema_name, PROVIDER.c.uuid)
        .limit(BATCH)
    ).all()
    for row in rows:
        message = pb.MarkManifestsComplete(
            schema_name=row.schema_name, provider_uuid=str(row.provider_uuid), manifest_ids=sorted(row.manifest_ids)
        )
        enqueue(connection, message)
    return len(rows)


# --------------------------------------------------------------------------------------------------------- partitions


def ensure_partitions(connection: Connection) -> int:
    """Tenants that lack a partition of this month."""
    wanted = {partition_name(table, Month.of(_today(connection))) for table in TABLES}
    lacking = 0
    for schema in tenant_schemas(connection):
        in_schema(connection, schema)
        there = connection.scalar(
            select(func.count())
            .select_from(PARTITIONED_TABLES)
            .where(and_(PARTITIONED_TABLES.c.schema_name == schema, PARTITIONED_TABLES.c.table_name.in_(wanted)))
        )
        if there != len(wanted):
            enqueue(connection, pb.EnsurePartitions(schema_name=schema))
            lacking += 1
    return lacking


# ------------------------------------------------------------------------------------------------------------- totals


def compare_totals(connection: Connection, *, days: int) -> int:
    """Once a day: have the last days of every source compared, Parquet against PostgreSQL."""
    if not days or leases.acquire(connection, COMPARED, owner=str(uuid4()), seconds=COMPARE_SECONDS) is None:
        return 0
    today = _today(connection)
    window = DayRange(today - timedelta(days=days), today - timedelta(days=1))
    sources = connection.execute(
        select(CUSTOMER.c.schema_name, PROVIDER.c.uuid)
        .join(CUSTOMER, CUSTOMER.c.id == PROVIDER.c.customer_id)
        .where(
            PROVIDER.c.active,
            not_(PROVIDER.c.paused),
            exists().where(
                INGESTED_FILE_DAY.c.provider_uuid == PROVIDER.c.uuid,
                INGESTED_FILE_DAY.c.day.between(window.start, window.end),
            ),
        )
        .order_by(CUSTOMER.c.schema_name, PROVIDER.c.uuid)
    ).all()
    for source in sources:
        for part in window.by_month():
            message = pb.ValidateRange(
                schema_name=source.schema_name,
                provider_uuid=str(source.uuid),
                start_date=part.start.isoformat(),
                end_date=part.end.isoformat(),
            )
            enqueue(connection, message)
    return len(sources)


def _today(connection: Connection) -> date:
    """The UTC day by the clock of the database."""
    today: date = connection.execute(select(cast(func.timezone("UTC", now()), Date))).scalar_one()
    return today
