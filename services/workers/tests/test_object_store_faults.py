"""Taking in uploads from and to an S3 service that fails (reliability F31, F32): nothing is lost, nothing half read."""

from __future__ import annotations

import pytest
from workers_house import DAY, House, payload, pods

from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.object_s3 import S3Store
from kura.store.objects import ObjectStore
from kura.testing.proxies import SLOW_DOWN, BreakOff, Fault, HttpProxy, Shorten

pytestmark = pytest.mark.s3


@pytest.fixture
def object_store(proxied_s3_store: S3Store) -> ObjectStore:
    """What the worker reads and writes, through the s3_proxy."""
    return proxied_s3_store


FAULTS: dict[str, tuple[str, Fault]] = {
    "slow to read": ("GET", SLOW_DOWN),
    "broken off": ("GET", BreakOff(after_bytes=100)),
    "too short": ("GET", Shorten(to_bytes=100)),
    "slow to write": ("PUT", SLOW_DOWN),
    "written without an answer": ("PUT", BreakOff(after_bytes=None)),
}


async def test_what_passes_is_not_noticed(house: House, s3_proxy: HttpProxy):
    for number, (method, fault) in enumerate(FAULTS.values()):
        cluster_id = f"cluster-{number}"
        house.add_source(cluster_id)
        upload_id = house.upload(payload({"pods.csv": pods(DAY)}, cluster_id=cluster_id))

        with s3_proxy.broken(fault, method=method, times=1) as met:
            await house.work()

        assert (house.upload_row(upload_id).state, met()) == ("done", 1)
    assert len(house.visible()[("pod_usage", DAY)]) == 24 * len(FAULTS)
    assert {task.attempt for task in house.tasks(tasks_pb2.IngestPayload)} == {1}


async def test_F31_a_store_that_stays_away_makes_no_upload_fail(house: House, s3_proxy: HttpProxy):
    house.add_source()
    upload_id = house.upload(payload({"pods.csv": pods(DAY)}))

    with s3_proxy.broken(SLOW_DOWN, path="/data/", method="PUT"):
        await house.work()
        upload = house.upload_row(upload_id)
        assert (upload.state, upload.reason_code) == ("processing", "object_store_unavailable")
        assert "reduce your request rate" in upload.reason
        assert house.visible() == {}
        [task] = house.tasks(tasks_pb2.IngestPayload)
        assert (task.state, task.attempt) == ("queued", 0)

    await house.work_until_no_task_waits()

    upload = house.upload_row(upload_id)
    assert (upload.state, upload.reason) == ("done", None)
    assert len(house.visible()[("pod_usage", DAY)]) == 24
    assert list(house.tools.work_directory.glob("upload-*")) == []
