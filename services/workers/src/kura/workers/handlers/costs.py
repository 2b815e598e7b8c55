"""Tasks that have the aggregator apply cost models (cost-models §11, tasks-and-queues §2–§4)."""

from __future__ import annotations

import asyncio
from uuid import UUID

from kura.core.days import DayRange, Month
from kura.core.telemetry import bound, get_logger
from kura.rpc.aggregator.v1 import aggregator_pb2
from kura.rpc.tasks.v1 import tasks_pb2
from kura.workers import store
from kura.workers.handlers.summarise import days_of, run_pipeline, summary_lease
from kura.workers.handlers.tools import HandlerContext, lease_soon
from kura.workers.store import SourceGone

log = get_logger(__name__)


async def apply_cost_model(task: tasks_pb2.ApplyCostModel, ctx: HandlerContext) -> None:
    """Replace the costs of one source and range, then complete what brought the range.

    Its lease is that of the summary: rows are never priced while they are being replaced.
    """
    provider_uuid, days = UUID(task.provider_uuid), days_of(task)
    with bound(provider_uuid=task.provider_uuid, start=task.start_date, end=task.end_date):
        async with lease_soon(ctx, summary_lease(provider_uuid, Month.of(days.start))) as fence:
            try:
                await asyncio.to_thread(_check_source, ctx, provider_uuid)
            except SourceGone:
                log.info("source_gone")
                return
            await run_pipeline(ctx, task, days, aggregator_pb2.PIPELINE_COST_MODEL, fence)
            await asyncio.to_thread(_done, ctx, task, provider_uuid, days)


def _check_source(ctx: HandlerContext, provider_uuid: UUID) -> None:
    with ctx.db.begin() as connection:
        store.hold_source(connection, provider_uuid)


def _done(ctx: HandlerContext, task: tasks_pb2.ApplyCostModel, provider_uuid: UUID, days: DayRange) -> None:
    """Ranges, manifests, uploads and source say in one transaction that usage and costs are there."""
    manifest_ids = sorted(task.manifest_ids)
    with ctx.db.begin() as connection:
        if manifest_ids:
            store.lock_manifests(connection, manifest_ids)
            again = store.manifests_to_summarise_again(connection, task)
            store.close_ranges(connection, [number for number in manifest_ids if number not in again], days)
            store.complete_manifests(connection, store.summarised_manifests(connection, manifest_ids))
        store.mark_updated(connection, provider_uuid)
        ctx.assert_held(connection)
