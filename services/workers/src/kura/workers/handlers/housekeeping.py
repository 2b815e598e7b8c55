"""Periodic tasks that keep the house small. Source: tasks-and-queues §3.2, §7; ocp-payload §7."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

from sqlalchemy import func, select

from kura.core.days import Month, today
from kura.core.telemetry import bound, get_logger
from kura.queue.admin import remove_finished
from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.objects import ObjectInfo, ObjectStore
from kura.store.partitions import ensure_partitions
from kura.store.tenancy import drop_tenant, tenant_schemas
from kura.workers import metrics, removal, store
from kura.workers.handlers.tools import HandlerContext, Stop, in_own_thread
from kura.workers.ocp.objects import SourcePlace, is_own_name, month_of_key

log = get_logger(__name__)

PAYLOADS = "payloads/"
ORPHAN_AFTER = timedelta(hours=1)  # an object that no row speaks of may belong to a file that is being taken in
TENANT_FORGOTTEN_AFTER = timedelta(weeks=2)
DEFAULT_KEPT_TASKS_SECONDS = 8 * 3600
BATCH = 500


# ── retention ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def remove_expired_data(task: tasks_pb2.RemoveExpiredData, ctx: HandlerContext) -> None:
    """Remove the months that a tenant no longer keeps; for all tenants, queue the task of each."""
    if not task.schema_name:
        await asyncio.to_thread(_for_every_tenant, ctx, task)
        return
    provider_uuid = UUID(task.provider_uuid) if task.provider_uuid else None
    with bound(schema=task.schema_name, simulate=task.simulate):
        await in_own_thread(_remove_expired, task.schema_name, provider_uuid, task.simulate, ctx)


def _remove_expired(schema: str, provider_uuid: UUID | None, simulate: bool, ctx: HandlerContext, stop: Stop) -> None:
    with ctx.db.tenant(schema) as connection:
        months = store.retention_months(connection, override=ctx.tools.settings.retain_override)
        up_to = Month.of(today()).plus(-months)
        expired = removal.remove_expired_rows(connection, schema, up_to=up_to, provider_uuid=provider_uuid)
        if simulate:
            connection.rollback()
        else:
            ctx.assert_held(connection)
    objects = 0
    for source in expired.sources:
        for prefix in SourcePlace(schema=schema, provider_uuid=source).prefixes():
            stop.check()
            old = (info.key for info in ctx.tools.objects.list(prefix) if _is_expired(info.key, up_to))
            objects += sum(1 for _ in old) if simulate else _delete(ctx.tools.objects, old, kind="expired")
    log.info(
        "expired_data_removed",
        up_to=str(up_to),
        partitions=expired.partitions,
        report_periods=expired.report_periods,
        manifests=expired.manifests,
        objects=objects,
    )


def _is_expired(key: str, up_to: Month) -> bool:
    month = month_of_key(key)
    return month is not None and month <= up_to


def _for_every_tenant(ctx: HandlerContext, task: tasks_pb2.RemoveExpiredData) -> None:
    with ctx.db.begin() as connection:
        for schema in tenant_schemas(connection):
            each = tasks_pb2.RemoveExpiredData(simulate=task.simulate, schema_name=schema)
            ctx.enqueue(connection, each)
        ctx.assert_held(connection)


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def remove_stale_objects(task: tasks_pb2.RemoveStaleObjects, ctx: HandlerContext) -> None:
    """Remove payloads that are done with, Parquet that lost or that no row speaks of, and unfinished writes."""
    await in_own_thread(_remove_stale_objects, task, ctx)


def _remove_stale_objects(task: tasks_pb2.RemoveStaleObjects, ctx: HandlerContext, stop: Stop) -> None:
    if not task.schema_name:
        _remove_payloads(ctx, stop, simulate=task.simulate)
        if not task.simulate:
            _remove_losing(ctx)
            unfinished = ctx.tools.objects.remove_unfinished(older_than=ORPHAN_AFTER)
            metrics.STALE_OBJECTS.labels("unfinished").inc(unfinished)
    with ctx.db.begin() as connection:
        schemas = [task.schema_name] if task.schema_name else tenant_schemas(connection)
    for schema in schemas:
        stop.check()
        _remove_orphans(schema, ctx, stop, simulate=task.simulate)


def _remove_payloads(ctx: HandlerContext, stop: Stop, *, simulate: bool) -> None:
    settings = ctx.tools.settings
    keep_done, keep_failed = timedelta(hours=settings.keep_done_hours), timedelta(days=settings.keep_failed_days)
    with ctx.db.begin() as connection:
        removal.end_long_waits(connection, longer_than=keep_failed)
    stored = (info.key for info in ctx.tools.objects.list(PAYLOADS) if _is_old(info))
    count = 0
    while batch := list(islice(stored, BATCH)):
        stop.check()
        with ctx.db.begin() as connection:
            needed = removal.needed_payloads(connection, batch, keep_done=keep_done, keep_failed=keep_failed)
        stale = [key for key in batch if key not in needed]
        count += len(stale) if simulate else _delete(ctx.tools.objects, stale, kind="staged")
    log.info("payloads_removed", count=count, simulate=simulate)


def _remove_losing(ctx: HandlerContext) -> None:
    """Objects of file days that lost against others a while ago. First the rows forget them, then they go."""
    older_than = max(ORPHAN_AFTER, timedelta(hours=ctx.tools.settings.keep_done_hours))
    with ctx.db.begin() as connection:
        keys = store.forget_losing_objects(connection, older_than=older_than)
        ctx.assert_held(connection)
    log.info("losing_objects_removed", count=_delete(ctx.tools.objects, keys, kind="losing"))


def _remove_orphans(schema: str, ctx: HandlerContext, stop: Stop, *, simulate: bool) -> None:
    """Objects of ours that no row speaks of: left by a worker that died between writing and committing."""
    with ctx.db.begin() as connection:
        providers = removal.providers_of(connection, schema)
    count = 0
    for provider_uuid in providers:
        stop.check()
        place = SourcePlace(schema=schema, provider_uuid=provider_uuid)
        found = [
            info.key
            for prefix in place.parquet_prefixes()
            for info in ctx.tools.objects.list(prefix)
            if is_own_name(info.key) and _is_old(info)
        ]
        with ctx.db.begin() as connection:
            known = removal.known_objects(connection, provider_uuid)
        orphans = [key for key in found if key not in known]
        count += len(orphans) if simulate else _delete(ctx.tools.objects, orphans, kind="orphan")
    log.info("orphans_removed", schema=schema, count=count, simulate=simulate)


def _is_old(info: ObjectInfo) -> bool:
    return datetime.now(UTC) - info.modified > ORPHAN_AFTER


def _delete(objects: ObjectStore, keys: Iterable[str], *, kind: str) -> int:
    remaining: Iterator[str] = iter(keys)
    count = 0
    while batch := list(islice(remaining, BATCH)):
        count += objects.delete(batch)
    metrics.STALE_OBJECTS.labels(kind).inc(count)
    return count


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def remove_stale_tasks(task: tasks_pb2.RemoveStaleTasks, ctx: HandlerContext) -> None:
    """Remove rows of tasks that ended a while ago."""

    def remove() -> int:
        with ctx.db.begin() as connection:
            return remove_finished(connection, older_than_seconds=task.older_than_seconds or DEFAULT_KEPT_TASKS_SECONDS)

    log.info("tasks_removed", count=await asyncio.to_thread(remove))


async def remove_stale_tenants(task: tasks_pb2.RemoveStaleTenants, ctx: HandlerContext) -> None:
    """Remove tenants without a source that nobody touched for two weeks."""

    def remove() -> list[str]:
        with ctx.db.begin() as connection:
            schemas = removal.forgotten_tenants(connection, older_than=TENANT_FORGOTTEN_AFTER)
        for schema in schemas if not task.simulate else ():
            with ctx.db.begin() as connection:
                drop_tenant(connection, schema)
        return schemas

    log.info("tenants_removed", count=len(await asyncio.to_thread(remove)), simulate=task.simulate)


async def ensure_all_partitions(task: tasks_pb2.EnsurePartitions, ctx: HandlerContext) -> None:
    """Make the partitions of this and the coming months, so that no write has to."""
    this = Month.of(today())
    months = [this.plus(step) for step in range((task.months_ahead or 1) + 1)]

    def ensure() -> int:
        with ctx.db.begin() as connection:
            schemas = [task.schema_name] if task.schema_name else tenant_schemas(connection)
        made = 0
        for schema in schemas:
            with ctx.db.tenant(schema) as connection:
                made += ensure_partitions(connection, schema, months=months)
        return made

    log.info("partitions_made", count=await asyncio.to_thread(ensure))


async def tune_autovacuum(task: tasks_pb2.TuneAutovacuum, ctx: HandlerContext) -> None:
    """Have big tables vacuumed earlier than small ones, by their number of rows (tasks-and-queues §3.2)."""

    def tune() -> int:
        with ctx.db.begin() as connection:
            schemas = [task.schema_name] if task.schema_name else tenant_schemas(connection)
        changed = 0
        for schema in schemas:
            with ctx.db.begin() as connection:
                changed += connection.execute(select(func.public.kura_tune_autovacuum(schema))).scalar_one()
        return changed

    log.info("autovacuum_tuned", changed=await asyncio.to_thread(tune))
