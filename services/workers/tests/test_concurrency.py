"""Uploads in any order, at once, twice, with workers that die: the same rows count (D1; F01–F05, F16, F42)."""

from __future__ import annotations

import asyncio
import random
from itertools import permutations
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update
from workers_house import DAY, House, at, payload, pods

from kura.queue.outbox import enqueue
from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.tables.shared import INGESTED_FILE_DAY, TASK
from kura.testing.archives import report_row
from kura.workers import store
from kura.workers.handlers import ingest, report_files


def growing() -> list[bytes]:
    """The same day four times, with six more hours each time; amounts tell the payloads apart."""
    return [
        payload(
            {"pods.csv": pods(DAY, range(hours), pod_usage_cpu_core_seconds=float(hours))},
            start=at(DAY),
            end=at(DAY, hours - 1),
        )
        for hours in (6, 12, 18, 24)
    ]


async def take_in_all(house: House, contents: list[bytes], *, slots: int = 1) -> dict[Any, Any]:
    for content in contents:
        house.upload(content)
    await house.work_until_no_task_waits(slots=slots)
    return house.visible()


def usages(visible: dict[Any, Any]) -> set[float]:
    return {row["pod_usage_cpu_core_seconds"] for row in visible[("pod_usage", DAY)]}


async def test_four_growing_uploads_at_once_leave_the_largest(house):
    house.add_source()

    visible = await take_in_all(house, growing(), slots=4)

    assert len(visible[("pod_usage", DAY)]) == 24
    assert usages(visible) == {24.0}
    assert {row.state for row in house.rows(select(store.UPLOAD))} == {"done"}


@pytest.mark.parametrize("seed", range(3))
async def test_the_order_of_growing_uploads_does_not_matter(house, seed):
    house.add_source()
    contents = growing()
    random.Random(seed).shuffle(contents)

    assert usages(await take_in_all(house, contents)) == {24.0}


async def test_of_equal_hours_the_later_accepted_counts_whenever_it_is_taken_in(house):
    house.add_source()
    first, second = (
        payload({"pods.csv": pods(DAY, range(6), pod_usage_cpu_core_seconds=usage)}, start=at(DAY), end=at(DAY, 5))
        for usage in (1.0, 2.0)
    )
    house.upload(first)
    house.upload(second)
    house.execute("update task set priority = 9 where payload ->> 'uploadId' = '2'")

    await house.work()

    assert usages(house.visible()) == {2.0}


def parts() -> list[bytes]:
    """One manifest in three archives, two of them with pods of the same day."""
    uuid = str(uuid4())
    files = {
        "a.csv": pods(DAY, range(12), pod="a"),
        "b.csv": pods(DAY, range(12), pod="b"),
        "c.csv": [report_row("node_labels", at(DAY), node="n1")],
    }
    return [payload({name: rows}, uuid=uuid, named=list(files)) for name, rows in files.items()]


@pytest.mark.parametrize("order", list(permutations(range(3)))[1::2])
async def test_archives_of_one_manifest_may_come_in_any_order(house, order):
    house.add_source()
    contents = parts()

    visible = await take_in_all(house, [contents[i] for i in order])

    assert {row["pod"] for row in visible[("pod_usage", DAY)]} == {"a", "b"}
    assert len(visible[("pod_usage", DAY)]) == 24
    assert (house.ranges(), len(house.manifests())) == ([(DAY, DAY, True)], 1)


async def test_archives_of_one_manifest_may_come_all_at_once_and_twice(house):
    house.add_source()
    contents = parts() * 2

    visible = await take_in_all(house, contents, slots=4)

    assert len(visible[("pod_usage", DAY)]) == 24
    assert {row.state for row in house.rows(select(store.UPLOAD))} == {"done"}
    assert house.one(select(func.count()).select_from(INGESTED_FILE_DAY)) == 3


async def test_every_task_delivered_three_times_shuffled_changes_nothing(house):
    house.add_source()
    contents = [*growing(), *parts()]
    clean = await take_in_all(house, contents)
    for _ in range(2):
        with house.db.begin() as c:
            for upload_id in random.Random(1).sample(range(1, len(contents) + 1), len(contents)):
                enqueue(c, tasks_pb2.IngestPayload(upload_id=upload_id))
        await house.work_until_no_task_waits(slots=3)

    assert house.visible() == clean


POINTS = ["register_manifest", "begin_files", "finish_file", "add_tag_keys", "missing_files", "open_ranges"]


@pytest.mark.parametrize("point", POINTS)
async def test_a_worker_that_dies_at_any_point_leaves_work_that_another_one_finishes(house, point, monkeypatch):
    house.add_source()
    content = payload({"pods.csv": pods(DAY), "nodes.csv": [report_row("node_labels", at(DAY), node="n1")]})
    upload_id = house.upload(content)
    original = getattr(store, point)

    def dies_once(*args: Any, **kwargs: Any) -> Any:
        original(*args, **kwargs)
        monkeypatch.setattr(store, point, original)
        raise RuntimeError("killed here")

    monkeypatch.setattr(store, point, dies_once)
    await house.work_until_no_task_waits()

    upload = house.upload_row(upload_id)
    assert upload.state == "done"
    assert len(house.visible()[("pod_usage", DAY)]) == 24
    assert house.one(select(func.count()).select_from(INGESTED_FILE_DAY)) == 2
    assert house.one(select(TASK.c.attempt).where(TASK.c.type == "kura.tasks.v1.IngestPayload")) == 2


async def test_a_worker_whose_task_moved_on_cannot_write(house, monkeypatch):
    house.add_source()
    upload_id = house.upload(payload({"pods.csv": pods(DAY)}))
    original = report_files._write_objects

    def slow(*args: Any) -> Any:
        written = original(*args)
        with house.db.begin() as c:  # the lease ran out and another worker took the task
            c.execute(update(TASK).where(TASK.c.state == "running").values(lease_token=TASK.c.lease_token + 1))
        return written

    monkeypatch.setattr(report_files, "_write_objects", slow)
    async with house.bench.worker(
        {tasks_pb2.IngestPayload: ingest.ingest_payload}, queues=("default",), tools=house.tools, lease_seconds=10
    ):
        await asyncio.sleep(2)

    assert house.visible() == {}
    assert house.upload_row(upload_id).parsed_at is None


async def test_a_source_deleted_while_its_payload_is_taken_in_gets_no_rows(house, monkeypatch):
    house.add_source()
    original = report_files._write_objects

    def deleted_meanwhile(*args: Any) -> Any:
        written = original(*args)
        house.execute("update api_sources set pending_delete = true")
        return written

    monkeypatch.setattr(report_files, "_write_objects", deleted_meanwhile)
    upload = await house.take_in(payload({"pods.csv": pods(DAY)}))

    assert (upload.state, upload.reason_code) == ("failed", "source_gone")
    assert (house.visible(), house.parquet_keys()) == ({}, set())
    assert house.aggregator.requests == []
