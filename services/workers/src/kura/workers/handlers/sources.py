"""Tasks that remove what belongs to one source. Source: tasks-and-queues §3.2; reliability F49."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import date
from uuid import UUID

from kura.core.days import DayRange, Month
from kura.core.errors import BadRequest, Conflict
from kura.core.telemetry import bound, get_logger
from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.objects import ObjectStore
from kura.workers import removal
from kura.workers.handlers.summarise import summary_lease
from kura.workers.handlers.tools import HandlerContext, Stop, in_own_thread
from kura.workers.ocp.objects import SourcePlace

log = get_logger(__name__)

DELETE_BATCH = 500


async def delete_source_data(task: tasks_pb2.DeleteSourceData, ctx: HandlerContext) -> None:
    """Remove a deleted source with all its data. Nothing can come after: ingestion and summaries look at the source."""
    place = SourcePlace(schema=task.schema_name, provider_uuid=UUID(task.provider_uuid))
    with bound(provider_uuid=task.provider_uuid):
        months = await asyncio.to_thread(_months, ctx, place)
        async with AsyncExitStack() as leases:
            for month in months:
                await leases.enter_async_context(ctx.lease(summary_lease(place.provider_uuid, month)))
            await in_own_thread(_delete_source_data, place, ctx)


def _months(ctx: HandlerContext, place: SourcePlace) -> list[Month]:
    """Months a summary of the source could be running for; Conflict unless the source is being deleted."""
    with ctx.db.begin() as connection:
        if removal.is_in_use(connection, place.provider_uuid):
            raise Conflict("the source is not being deleted")
        return removal.months_of_source(connection, place.provider_uuid)


def _delete_source_data(place: SourcePlace, ctx: HandlerContext, stop: Stop) -> None:
    objects = delete_prefixes(ctx.tools.objects, list(place.prefixes()), stop)
    rows = 0
    for table in removal.tables_by_source():
        while True:
            stop.check()
            with ctx.db.tenant(place.schema) as connection:
                gone = removal.delete_some_rows(connection, place.schema, table, place.provider_uuid)
                ctx.assert_held(connection)
            rows += gone
            if gone < removal.ROWS_AT_ONCE:
                break
    with ctx.db.tenant(place.schema) as connection:
        removal.delete_source(connection, place.provider_uuid)
        ctx.assert_held(connection)
    objects += delete_prefixes(ctx.tools.objects, list(place.prefixes()), stop)  # what a run published meanwhile
    log.info("source_data_deleted", objects=objects, rows=rows)


def delete_prefixes(objects: ObjectStore, prefixes: list[str], stop: Stop) -> int:
    """Remove all objects under some prefixes; how many."""
    count = 0
    for prefix in prefixes:
        batch: list[str] = []
        for key in objects.keys(prefix):
            batch.append(key)
            if len(batch) == DELETE_BATCH:
                stop.check()
                count += objects.delete(batch)
                batch = []
        count += objects.delete(batch)
    return count


async def delete_pending_sources(task: tasks_pb2.DeletePendingSources, ctx: HandlerContext) -> None:
    """Queue the removal of sources whose deletion has not come to its end."""

    def queue() -> int:
        with ctx.db.begin() as connection:
            pending = removal.pending_sources(connection)
            for source in pending:
                message = tasks_pb2.DeleteSourceData(
                    schema_name=source.schema_name, provider_uuid=str(source.provider_uuid)
                )
                ctx.enqueue(connection, message)
            ctx.assert_held(connection)
            return len(pending)

    log.info("deletions_queued", sources=await asyncio.to_thread(queue))


async def purge_source_range(task: tasks_pb2.PurgeSourceRange, ctx: HandlerContext) -> None:
    """Forget what was taken in for a range, so that it can be taken in anew. Summaries stay until then."""
    if not (task.schema_name and task.provider_uuid and task.start_date and task.end_date):
        raise BadRequest("schema, source, start and end are all needed", field="start_date")
    provider_uuid = UUID(task.provider_uuid)
    days = DayRange(date.fromisoformat(task.start_date), date.fromisoformat(task.end_date))

    def purge() -> int:
        with ctx.db.begin() as connection:
            keys = removal.forget_days(connection, provider_uuid, days)
            ctx.assert_held(connection)
        return ctx.tools.objects.delete(keys)

    async with AsyncExitStack() as leases:
        for part in days.by_month():
            await leases.enter_async_context(ctx.lease(summary_lease(provider_uuid, Month.of(part.start))))
        objects = await asyncio.to_thread(purge)
    log.info("source_range_purged", provider_uuid=task.provider_uuid, objects=objects)
