"""Queries that remove: deleted sources, expired months, objects no row speaks of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, Table, and_, delete, exists, func, or_, select, text, update

from kura.core.days import DayRange, Month
from kura.queue.clock import in_seconds
from kura.store.partitions import drop_partitions
from kura.store.tables.shared import (
    CUSTOMER,
    INGESTED_FILE_DAY,
    MANIFEST,
    PROVIDER,
    PROVIDER_AUTHENTICATION,
    PROVIDER_BILLING_SOURCE,
    SOURCES,
    TENANT_TABLE,
    UPLOAD,
)
from kura.store.tables.tenant import (
    COST_MODEL_MAP,
    MONTHLY_EXCHANGE_RATE,
    POD_LABEL_SUMMARY,
    REPORT_PERIOD,
    TAG_VALUES,
    TENANT,
    TENANT_PROVIDER,
    VOLUME_LABEL_SUMMARY,
)
from kura.store.tenancy import quoted

ROWS_AT_ONCE = 5000
"""Rows deleted in one transaction, so that no reader and no replica waits for a big one."""


# ── sources ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class PendingSource:
    """A source whose deletion was asked for."""

    provider_uuid: UUID
    schema_name: str


def pending_sources(connection: Connection) -> list[PendingSource]:
    rows = connection.execute(
        select(PROVIDER.c.uuid.label("provider_uuid"), CUSTOMER.c.schema_name)
        .join(CUSTOMER, CUSTOMER.c.id == PROVIDER.c.customer_id)
        .join(SOURCES, SOURCES.c.provider_id == PROVIDER.c.uuid)
        .where(SOURCES.c.pending_delete)
        .order_by(PROVIDER.c.uuid)
    )
    return [PendingSource(**row._mapping) for row in rows]


def is_in_use(connection: Connection, provider_uuid: UUID) -> bool:
    """True while the source lives: it exists and nobody asked to delete it."""
    alive = exists().where(SOURCES.c.provider_id == provider_uuid, ~SOURCES.c.pending_delete)
    return bool(connection.execute(select(alive)).scalar_one())


def months_of_source(connection: Connection, provider_uuid: UUID) -> list[Month]:
    month = func.date_trunc("month", INGESTED_FILE_DAY.c.day)
    days = connection.scalars(select(month).where(INGESTED_FILE_DAY.c.provider_uuid == provider_uuid).distinct())
    return sorted(Month.of(day.date()) for day in days)


def tables_by_source() -> list[Table]:
    """Tables of a tenant whose rows name their source."""
    return [table for table in TENANT.sorted_tables if "source_uuid" in table.columns]


def delete_some_rows(connection: Connection, schema: str, table: Table, provider_uuid: UUID) -> int:
    """Delete up to ROWS_AT_ONCE rows of the source; how many."""
    name = f"{quoted(schema)}.{quoted(table.name)}"
    statement = f"""
        delete from {name} where (tableoid, ctid) in (
            select tableoid, ctid from {name} where source_uuid = :provider_uuid limit :rows
        )
    """  # noqa: S608 - a name of our own tables
    result = connection.execute(text(statement), {"provider_uuid": provider_uuid, "rows": ROWS_AT_ONCE})
    return result.rowcount


def delete_source(connection: Connection, provider_uuid: UUID) -> None:
    """The rows that are left of a source, in its tenant and in public; uploads that are still open end."""
    connection.execute(delete(COST_MODEL_MAP).where(COST_MODEL_MAP.c.provider_uuid == provider_uuid))
    connection.execute(delete(REPORT_PERIOD).where(REPORT_PERIOD.c.provider_id == provider_uuid))
    connection.execute(delete(TENANT_PROVIDER).where(TENANT_PROVIDER.c.uuid == provider_uuid))
    delete_orphan_tag_values(connection)
    connection.execute(
        update(UPLOAD)
        .where(UPLOAD.c.provider_uuid == provider_uuid, UPLOAD.c.finished_at.is_(None))
        .values(
            state="failed",
            reason_code="source_gone",
            reason="The source was deleted before the payload was taken in.",
            finished_at=func.now(),
            updated_at=func.now(),
        )
    )
    connection.execute(delete(MANIFEST).where(MANIFEST.c.provider_id == provider_uuid))
    connection.execute(delete(SOURCES).where(SOURCES.c.provider_id == provider_uuid))
    gone = connection.execute(
        delete(PROVIDER)
        .where(PROVIDER.c.uuid == provider_uuid)
        .returning(PROVIDER.c.authentication_id, PROVIDER.c.billing_source_id)
    ).one_or_none()
    if gone is None:
        return
    for parent, key, column in (
        (PROVIDER_AUTHENTICATION, gone.authentication_id, PROVIDER.c.authentication_id),
        (PROVIDER_BILLING_SOURCE, gone.billing_source_id, PROVIDER.c.billing_source_id),
    ):
        connection.execute(delete(parent).where(parent.c.id == key, ~exists().where(column == key)))


def delete_orphan_tag_values(connection: Connection) -> int:
    """Tag values that no label summary contains any more (ocp-pipeline §11.3)."""
    used = [
        exists().where(summary.c.key == TAG_VALUES.c.key, TAG_VALUES.c.value == summary.c["values"].any_())
        for summary in (POD_LABEL_SUMMARY, VOLUME_LABEL_SUMMARY)
    ]
    return connection.execute(delete(TAG_VALUES).where(~or_(*used))).rowcount


def forget_days(connection: Connection, provider_uuid: UUID, days: DayRange) -> list[str]:
    """Rows of the days, and manifests of which nothing is left; keys of the objects they spoke of."""
    rows = connection.execute(
        delete(INGESTED_FILE_DAY)
        .where(
            INGESTED_FILE_DAY.c.provider_uuid == provider_uuid,
            INGESTED_FILE_DAY.c.day.between(days.start, days.end),
        )
        .returning(
            INGESTED_FILE_DAY.c.manifest_id, INGESTED_FILE_DAY.c.hourly_objects, INGESTED_FILE_DAY.c.daily_objects
        )
    ).all()
    touched = {row.manifest_id for row in rows}
    left = exists().where(INGESTED_FILE_DAY.c.manifest_id == MANIFEST.c.id)
    connection.execute(delete(MANIFEST).where(MANIFEST.c.id.in_(touched), ~left))
    connection.execute(update(PROVIDER).where(PROVIDER.c.uuid == provider_uuid).values(setup_complete=False))
    return [key for row in rows for key in (*row.hourly_objects, *row.daily_objects)]


# ── retention ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class Expired:
    """What retention took out of the tables of one tenant."""

    partitions: int
    report_periods: int
    manifests: int
    sources: Sequence[UUID]  # whose objects may be old


def remove_expired_rows(connection: Connection, schema: str, *, up_to: Month, provider_uuid: UUID | None) -> Expired:
    """Remove months up to and including `up_to` (tasks-and-queues §7). The transaction is one of the tenant.

    Partitions hold all sources; they stay when only one source is meant.
    """
    before = up_to.plus(1).first
    partitions = drop_partitions(connection, schema, up_to=up_to) if provider_uuid is None else []
    sources = [found for found in providers_of(connection, schema) if provider_uuid in (None, found)]
    periods = connection.execute(
        delete(REPORT_PERIOD).where(
            REPORT_PERIOD.c.provider_id.in_(sources), REPORT_PERIOD.c.report_period_start < _utc(before)
        )
    ).rowcount
    connection.execute(
        delete(INGESTED_FILE_DAY).where(
            INGESTED_FILE_DAY.c.provider_uuid.in_(sources), INGESTED_FILE_DAY.c.day < before
        )
    )
    left = exists().where(INGESTED_FILE_DAY.c.manifest_id == MANIFEST.c.id)
    manifests = connection.execute(
        delete(MANIFEST).where(
            MANIFEST.c.provider_id.in_(sources), MANIFEST.c.billing_period_start_datetime < _utc(before), ~left
        )
    ).rowcount
    if provider_uuid is None:
        connection.execute(delete(MONTHLY_EXCHANGE_RATE).where(MONTHLY_EXCHANGE_RATE.c.effective_date < before))
    delete_orphan_tag_values(connection)
    return Expired(partitions=len(partitions), report_periods=periods, manifests=manifests, sources=sources)


def _utc(day: date) -> datetime:
    return datetime.fromisoformat(f"{day}T00:00:00+00:00")


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def end_long_waits(connection: Connection, *, longer_than: timedelta) -> int:
    """Uploads that waited that long for their source have failed."""
    waits = and_(UPLOAD.c.state == "waiting", UPLOAD.c.parsed_at.is_(None))
    ended = (
        update(UPLOAD)
        .where(waits, UPLOAD.c.updated_at < in_seconds(-longer_than.total_seconds()))
        .values(
            state="failed",
            reason=UPLOAD.c.reason.op("||")(" It waited too long; send the payload again."),
            finished_at=func.now(),
            updated_at=func.now(),
        )
    )
    return connection.execute(ended).rowcount


def needed_payloads(
    connection: Connection, keys: Iterable[str], *, keep_done: timedelta, keep_failed: timedelta
) -> set[str]:
    """Those of the stored payloads that their upload still needs, or that are kept for a while."""
    kept_failed = UPLOAD.c.finished_at > in_seconds(-keep_failed.total_seconds())
    kept_done = UPLOAD.c.updated_at > in_seconds(-keep_done.total_seconds())
    needed = or_(
        and_(UPLOAD.c.parsed_at.is_(None), UPLOAD.c.finished_at.is_(None)),
        and_(UPLOAD.c.state == "failed", kept_failed),
        and_(UPLOAD.c.state != "failed", kept_done),
    )
    return set(connection.scalars(select(UPLOAD.c.object_key).where(UPLOAD.c.object_key.in_(list(keys)), needed)))


def known_objects(connection: Connection, provider_uuid: UUID) -> set[str]:
    """Keys of the Parquet objects that the file days of a source speak of."""
    rows = connection.execute(
        select(INGESTED_FILE_DAY.c.hourly_objects, INGESTED_FILE_DAY.c.daily_objects).where(
            INGESTED_FILE_DAY.c.provider_uuid == provider_uuid
        )
    )
    return {key for row in rows for keys in row for key in keys}


def providers_of(connection: Connection, schema: str) -> list[UUID]:
    return list(
        connection.scalars(
            select(PROVIDER.c.uuid)
            .join(CUSTOMER, CUSTOMER.c.id == PROVIDER.c.customer_id)
            .where(CUSTOMER.c.schema_name == schema)
            .order_by(PROVIDER.c.uuid)
        )
    )


def forgotten_tenants(connection: Connection, *, older_than: timedelta) -> list[str]:
    """Tenants that have no source and were not touched for that long."""
    used = exists().where(PROVIDER.c.customer_id == CUSTOMER.c.id)
    return list(
        connection.scalars(
            select(TENANT_TABLE.c.schema_name)
            .outerjoin(CUSTOMER, CUSTOMER.c.schema_name == TENANT_TABLE.c.schema_name)
            .where(
                or_(CUSTOMER.c.id.is_(None), ~used),
                func.greatest(TENANT_TABLE.c.date_updated, CUSTOMER.c.date_updated)
                < in_seconds(-older_than.total_seconds()),
            )
            .order_by(TENANT_TABLE.c.schema_name)
        )
    )
