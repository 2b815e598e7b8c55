"""Tasks that have the aggregator compute: lease, run, progress, and one transaction that says it is done.

Source: tasks-and-queues §2–§4; ocp-payload §6.12.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import date
from uuid import UUID, uuid5

from kura.core.days import DayRange, Month, today
from kura.core.errors import KuraError, TransientError, Unavailable
from kura.core.telemetry import bound, get_logger
from kura.queue.context import Fence
from kura.rpc.aggregator.v1 import aggregator_pb2
from kura.rpc.tasks.v1 import tasks_pb2
from kura.workers import store
from kura.workers.handlers.tools import HandlerContext, lease_soon
from kura.workers.store import SourceGone

log = get_logger(__name__)

SUMMARIES = {
    "OCP": aggregator_pb2.PIPELINE_OCP_SUMMARY,
    "AWS": aggregator_pb2.PIPELINE_AWS_SUMMARY,
    "Azure": aggregator_pb2.PIPELINE_AZURE_SUMMARY,
    "GCP": aggregator_pb2.PIPELINE_GCP_SUMMARY,
}
"""Pipeline that summarises a source, by its type."""


async def summarise_range(task: tasks_pb2.SummariseRange, ctx: HandlerContext) -> None:
    """Replace the summary rows of one source and range. Never two of one source and month at once (§4.1)."""
    provider_uuid = UUID(task.provider_uuid)
    days = days_of(task)
    manifest_ids = sorted(task.manifest_ids)
    with bound(provider_uuid=task.provider_uuid, start=task.start_date, end=task.end_date, cause=task.cause):
        try:
            source = await asyncio.to_thread(_begin, ctx, provider_uuid, manifest_ids)
        except SourceGone:
            log.info("source_gone")
            return
        async with lease_soon(ctx, summary_lease(provider_uuid, Month.of(days.start))) as fence:
            try:
                await run_pipeline(ctx, task, days, SUMMARIES[source.type], fence)
            except KuraError:
                with contextlib.suppress(KuraError):
                    await asyncio.to_thread(_failed, ctx, manifest_ids)
                raise
            await asyncio.to_thread(_done, ctx, task, manifest_ids)


def summary_lease(provider_uuid: UUID, month: Month) -> str:
    return f"summary:{provider_uuid}:{month}"


def days_of(task: tasks_pb2.SummariseRange | tasks_pb2.ApplyCostModel | tasks_pb2.ValidateRange) -> DayRange:
    return DayRange(date.fromisoformat(task.start_date), date.fromisoformat(task.end_date))


async def run_pipeline(
    ctx: HandlerContext,
    task: tasks_pb2.SummariseRange | tasks_pb2.ApplyCostModel | tasks_pb2.ValidateRange,
    days: DayRange,
    pipeline: aggregator_pb2.Pipeline,
    fence: Fence | None,
) -> list[str]:
    """Have the aggregator run one pipeline to its end, passing on its progress; the notes of the run.

    Every attempt is a run of its own: what an earlier attempt left running cannot commit under the new lease.
    """
    request = aggregator_pb2.StartRunRequest(
        run_id=str(uuid5(ctx.task_id, str(ctx.claim.token))),
        schema_name=task.schema_name,
        provider_uuid=task.provider_uuid,
        start_date=days.start.isoformat(),
        end_date=days.end.isoformat(),
        pipeline=pipeline,
        manifest_ids=getattr(task, "manifest_ids", ()),
    )
    if fence is not None:
        request.fence.lease_name = fence.name
        request.fence.token = fence.token
    state = aggregator_pb2.RUN_STATE_UNSPECIFIED
    notes: list[str] = []
    try:
        async for progress in ctx.tools.aggregator.StartRun(request):
            state = progress.state
            notes = list(progress.notes) or notes
            ctx.progress(
                step=progress.step,
                steps_done=progress.steps_done,
                steps_total=progress.steps_total,
                rows_read=progress.rows_read,
                rows_written=progress.rows_written,
                seconds=round(progress.seconds, 3),
            )
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):  # the fence keeps it from writing anyway
            await ctx.tools.aggregator.CancelRun(aggregator_pb2.CancelRunRequest(run_id=request.run_id))
        raise
    except Unavailable as error:
        if type(error) is Unavailable and state != aggregator_pb2.RUN_STATE_UNSPECIFIED:
            # Perhaps it is this very run that kills the aggregator: unlike waiting for one, it counts.
            raise TransientError("the aggregator went away in the middle of the run") from error
        raise
    if state != aggregator_pb2.RUN_STATE_SUCCEEDED:
        raise TransientError(f"the aggregator ended in {aggregator_pb2.RunState.Name(state)}")
    for note in notes:
        log.info("run_note", note=note)
    return notes


def _begin(ctx: HandlerContext, provider_uuid: UUID, manifest_ids: list[int]) -> store.HeldSource:
    with ctx.db.begin() as connection:
        source = store.hold_source(connection, provider_uuid)
        if manifest_ids:
            store.start_step(connection, manifest_ids, "summary")
        return source


def _failed(ctx: HandlerContext, manifest_ids: list[int]) -> None:
    with ctx.db.begin() as connection:
        store.end_step(connection, manifest_ids, "summary", failed=True)


def _done(ctx: HandlerContext, task: tasks_pb2.SummariseRange, manifest_ids: list[int]) -> None:
    """The summary is there: in the same transaction its costs are asked for, after which the uploads are done."""
    costs = tasks_pb2.ApplyCostModel(
        schema_name=task.schema_name,
        provider_uuid=task.provider_uuid,
        start_date=task.start_date,
        end_date=task.end_date,
        manifest_ids=manifest_ids,
    )
    with ctx.db.begin() as connection:
        store.lock_manifests(connection, manifest_ids)
        store.end_step(connection, manifest_ids, "summary")
        ctx.enqueue(connection, costs)
        ctx.assert_held(connection)


async def mark_manifests_complete(task: tasks_pb2.MarkManifestsComplete, ctx: HandlerContext) -> None:
    """Complete those of the manifests whose ranges are all summarised."""
    manifest_ids = sorted(task.manifest_ids)

    def complete() -> None:
        with ctx.db.begin() as connection:
            store.lock_manifests(connection, manifest_ids)
            store.complete_manifests(connection, store.summarised_manifests(connection, manifest_ids))
            store.mark_updated(connection, UUID(task.provider_uuid))
            ctx.assert_held(connection)

    await asyncio.to_thread(complete)


async def summarise_all(task: tasks_pb2.SummariseAll, ctx: HandlerContext) -> None:
    """Queue the summary of every source, or of those of one tenant."""
    start = date.fromisoformat(task.start_date)
    end = date.fromisoformat(task.end_date) if task.end_date else today()

    def queue() -> int:
        with ctx.db.begin() as connection:
            sources = store.active_sources(connection, schema=task.schema_name or None)
            for source in sources:
                for days in DayRange(start, end).by_month():
                    summary = tasks_pb2.SummariseRange(
                        schema_name=source.schema_name,
                        provider_uuid=str(source.uuid),
                        start_date=days.start.isoformat(),
                        end_date=days.end.isoformat(),
                        cause="admin",
                    )
                    ctx.enqueue(connection, summary)
            ctx.assert_held(connection)
            return len(sources)

    log.info("summaries_queued", sources=await asyncio.to_thread(queue))


async def validate_range(task: tasks_pb2.ValidateRange, ctx: HandlerContext) -> None:
    """Compare totals of Parquet and PostgreSQL; where days differ, summarise the range again."""
    notes = await run_pipeline(ctx, task, days_of(task), aggregator_pb2.PIPELINE_TOTALS_CHECK, None)
    if not notes:
        return
    log.warning("totals_differ", provider_uuid=task.provider_uuid, notes=notes)
    for days in days_of(task).by_month():
        ctx.follow_with(
            tasks_pb2.SummariseRange(
                schema_name=task.schema_name,
                provider_uuid=task.provider_uuid,
                start_date=days.start.isoformat(),
                end_date=days.end.isoformat(),
                cause="drift",
            )
        )
