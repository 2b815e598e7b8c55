"""A worker whose own disk is full (reliability F38): the upload waits, nothing stays, and it goes on by itself."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from workers_house import DAY, House, NoddingAggregator, at, payload, pods

from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.testing.archives import report_row
from kura.workers.app import open_tools
from kura.workers.config import IngestSettings

DISK_BYTES = 4 * 2**20
SPACE = {
    0: "No space left on device",  # for the archive
    740_000: "No space left on device",  # for the hourly rows
    880_000: "daily rows cannot be written",
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four mebibytes."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", directory], check=False)
    if mounted.returncode:
        pytest.skip("disks cannot be mounted here")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


async def test_F38_a_full_disk_costs_only_time(
    database: Database, tenant_schema: str, object_store: ObjectStore, disk: Path
):
    chance = random.Random(38)
    measured = [name for name in report_row("pod_usage", at(DAY)) if name.endswith("_seconds")]
    rows = [
        row
        for pod in range(2000)
        for row in pods(DAY, range(1), pod=f"{pod}", **{name: chance.random() for name in measured})
    ]
    content = payload({"pods.csv": rows})
    with open_tools(
        objects=object_store,
        aggregator=NoddingAggregator(),
        settings=IngestSettings(work_directory=disk, convert_threads=2),
    ) as tools:
        house = House(
            db=database, objects=object_store, tools=tools, aggregator=NoddingAggregator(), schema=tenant_schema
        )
        house.add_source()
        upload_id = house.upload(content)
        filler = disk / "filler"
        for free, words in SPACE.items():
            now = os.statvfs(disk)
            filler.write_bytes(bytes(now.f_bavail * now.f_frsize - free))
            house.execute("update task set not_before = now()")
            await house.work()

            upload = house.upload_row(upload_id)
            assert (upload.state, upload.reason_code) == ("processing", "worker_disk_unavailable")
            assert words in upload.reason
            assert "It is kept and will be tried again" in upload.reason
            assert [file.name for file in tools.work_directory.iterdir()] == [".lock"]
            assert house.visible() == {}
            filler.unlink()

        await house.work_until_no_task_waits()
        assert house.upload_row(upload_id).state == "done"
        assert len(house.visible()[("pod_usage", DAY)]) == 2000
        assert [task.attempt for task in house.tasks(tasks_pb2.IngestPayload)] == [1]
