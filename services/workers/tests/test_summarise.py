"""Summaries: lease, fence, progress, and one transaction at the end (tasks-and-queues §2–§4)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from sqlalchemy import select
from workers_house import DAY, TODAY, House, at, payload, pods

from kura.core.days import Month
from kura.core.errors import TooManyRequests, Unavailable
from kura.queue.outbox import enqueue
from kura.rpc.aggregator.v1 import aggregator_pb2
from kura.rpc.tasks.v1 import tasks_pb2
from kura.store import leases
from kura.store.tables.shared import TASK
from kura.testing.queue import until
from kura.workers.handlers.ingest import ingest_payload
from kura.workers.handlers.summarise import summary_lease


def ask(house: House, message: object) -> None:
    with house.db.begin() as c:
        enqueue(c, message)


async def test_progress_of_the_run_is_in_the_task(house):
    house.add_source()
    await house.take_in(payload({"pods.csv": pods(DAY)}))

    [task] = house.tasks(tasks_pb2.SummariseRange)
    assert (task.state, task.progress["step"], task.progress["rows_read"]) == ("succeeded", "read", 7)


async def test_a_lease_that_another_one_holds_costs_a_pause_and_no_attempt(house):
    provider_uuid = house.add_source()
    name = summary_lease(provider_uuid, Month.of(DAY))
    with house.db.begin() as c:
        token = leases.acquire(c, name, owner="somebody", seconds=600)
    upload = await house.take_in(payload({"pods.csv": pods(DAY)}))

    [task] = house.tasks(tasks_pb2.SummariseRange)
    assert (upload.state, task.state, task.attempt, task.error_code) == ("processing", "queued", 0, "lease_busy")
    assert house.aggregator.requests == []

    with house.db.begin() as c:
        leases.release(c, name, token=token)
    await house.work_until_no_task_waits()
    assert house.upload_row(upload.id).state == "done"


async def test_an_aggregator_that_is_away_is_asked_again_with_a_run_of_its_own(house):
    house.add_source()
    house.aggregator.failures = [Unavailable("no route"), TooManyRequests("all places are taken")]
    upload_id = house.upload(payload({"pods.csv": pods(DAY)}))

    await house.work_until_no_task_waits()

    assert house.upload_row(upload_id).state == "done"
    runs = [request.run_id for request in house.aggregator.requests]
    assert len(runs) == 3
    assert runs[0] != runs[1]
    tokens = [request.fence.token for request in house.aggregator.requests]
    assert tokens == sorted(set(tokens))
    [manifest] = house.manifests()
    assert set(manifest.state["summary"]) == {"start", "end", "time_taken_seconds"}


async def test_a_worker_that_stops_asks_the_run_to_stop(house):
    house.add_source()
    house.aggregator.hold = asyncio.Event()
    house.upload(payload({"pods.csv": pods(DAY)}))

    async def running() -> bool:
        return bool(house.aggregator.requests)

    worker = asyncio.create_task(house.work())
    await until(running)
    await asyncio.to_thread(house.execute, "update task set state = 'cancelled' where state = 'running'")

    async def cancelled() -> bool:
        return bool(house.aggregator.cancelled)

    await until(cancelled)
    assert house.aggregator.cancelled == [house.aggregator.requests[0].run_id]
    house.aggregator.hold.set()
    await worker
    assert house.ranges() == [(DAY, DAY, False)]


async def test_uploads_of_one_month_share_a_summary(house):
    house.add_source()
    days = [DAY.replace(day=1), DAY] if DAY.day > 1 else [DAY, DAY]
    for day in days:
        house.upload(payload({"pods.csv": pods(day, range(2))}, start=at(day), end=at(day, 1)))
    async with house.bench.worker({tasks_pb2.IngestPayload: ingest_payload}, tools=house.tools):

        async def taken_in() -> bool:
            return len(house.tasks(tasks_pb2.SummariseRange)) == 1 and len(house.ranges()) == 2

        await until(taken_in)
    await house.work()

    [request] = house.aggregator.requests
    assert (request.start_date, request.end_date) == (days[0].isoformat(), days[1].isoformat())
    assert sorted(request.manifest_ids) == [1, 2]
    assert [done for *_, done in house.ranges()] == [True, True]
    assert [house.upload_row(n).state for n in (1, 2)] == ["done", "done"]


async def test_nothing_is_summarised_for_a_source_that_is_being_deleted(house):
    provider_uuid = house.add_source()
    house.execute("update api_sources set pending_delete = true")
    day = DAY.isoformat()
    ask(
        house,
        tasks_pb2.SummariseRange(
            schema_name=house.schema, provider_uuid=str(provider_uuid), start_date=day, end_date=day
        ),
    )

    await house.work()

    assert house.aggregator.requests == []
    assert [task.state for task in house.tasks(tasks_pb2.SummariseRange)] == ["succeeded"]


async def test_summarising_all_queues_every_month_of_every_source(house):
    house.add_source("a")
    house.add_source("b")
    house.add_source("c", paused=True)
    start = (TODAY.replace(day=1) - timedelta(days=1)).replace(day=20)

    ask(house, tasks_pb2.SummariseAll(start_date=start.isoformat()))
    await house.work()

    ranges = {(r.provider_uuid, r.start_date, r.end_date) for r in house.aggregator.requests}
    assert len(ranges) == 4
    assert {r[1] for r in ranges} == {start.isoformat(), TODAY.replace(day=1).isoformat()}


async def test_totals_that_differ_are_summarised_again(house):
    provider_uuid = house.add_source()
    day = DAY.isoformat()
    check = tasks_pb2.ValidateRange(
        schema_name=house.schema, provider_uuid=str(provider_uuid), start_date=day, end_date=day
    )
    ask(house, check)
    await house.work()
    assert [r.pipeline for r in house.aggregator.requests] == [aggregator_pb2.PIPELINE_TOTALS_CHECK]

    house.aggregator.notes = ["2025-01-10 Pod: PostgreSQL has 1 instead of 2."]
    ask(house, check)
    await house.work()
    assert house.aggregator.requests[-1].pipeline == aggregator_pb2.PIPELINE_OCP_SUMMARY
    assert house.rows(select(TASK.c.state).where(TASK.c.state != "succeeded")) == []
