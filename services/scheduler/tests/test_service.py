"""The scheduler as its clients meet it: over gRPC, over HTTP, and in the middle of its work."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
from google.protobuf.struct_pb2 import Struct

from kura.core.errors import BadRequest, Conflict, NotFound, TaskNotFound
from kura.core.service import Background
from kura.queue import states
from kura.queue.admin import get_task
from kura.queue.outbox import enqueue
from kura.queue.queues import QUEUES
from kura.rpc.client import open_channel
from kura.rpc.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from kura.rpc.security import Security
from kura.rpc.server import build_server
from kura.rpc.tasks.v1 import admin_pb2, admin_pb2_grpc
from kura.rpc.tasks.v1 import tasks_pb2 as pb
from kura.scheduler.app import Scheduler, build_http, build_scheduler
from kura.scheduler.config import ReconcilerSettings, ScheduleSettings
from kura.scheduler.schedule import defaults, ensure_defaults, list_schedules
from kura.store.database import Database
from kura.testing.queue import until

SECRET = Security(token="0123456789abcdef")


@pytest.fixture
def scheduler(database: Database) -> Scheduler:
    return build_scheduler(
        db=database,
        owner="test",
        security=SECRET,
        reconcilers=ReconcilerSettings(status_seconds=0.1, drift_seconds=0.1),
    )


@contextlib.asynccontextmanager
async def working(parts: list[Background]) -> AsyncIterator[None]:
    running = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield
    finally:
        await asyncio.gather(*(part.stop() for part in parts))
        await asyncio.gather(*running)


@pytest.fixture
async def channel(scheduler: Scheduler):
    server = build_server(scheduler.rpc, security=SECRET)
    await server.start()
    async with open_channel(server.address, security=SECRET) as channel:
        yield channel
    await server.stop(0)


@pytest.fixture
async def http(scheduler: Scheduler, database: Database):
    transport = httpx.ASGITransport(app=build_http(scheduler, db=database))
    headers = {"authorization": f"Bearer {SECRET.token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://scheduler", headers=headers) as client:
        yield client


def ask(db: Database, message, **kwargs) -> uuid.UUID:
    with db.begin() as connection:
        return enqueue(connection, message, **kwargs)


def kill(db: Database, task_id: uuid.UUID) -> None:
    with db.begin() as connection:
        states.die(connection, states.claim(connection, task_id, owner="w", lease_seconds=9), code="x", error="y")


class TestWork:
    async def test_it_writes_its_defaults_and_puts_lost_tasks_back(self, scheduler: Scheduler, database: Database):
        task_id = ask(database, pb.IngestPayload(upload_id=1))
        with database.begin() as connection:
            states.claim(connection, task_id, owner="gone", lease_seconds=-1)
        async with working(scheduler.background):
            await until(lambda: self._is_queued(database, task_id))
            await until(lambda: self._has_schedules(database))

    async def test_of_two_schedulers_one_does_each_part_and_the_other_takes_over(self, database: Database):
        from kura.queue.leader import Leader
        from kura.queue.transport import Books

        terms: list[str] = []

        def leader(name: str) -> Leader:
            async def term() -> None:
                terms.append(name)
                await asyncio.sleep(3600)

            return Leader("part", books=Books(database, owner=name, lease_seconds=30), term=term, seconds=1)

        first, second = leader("first"), leader("second")
        running = [asyncio.create_task(first.run())]
        await until(lambda: _is(terms == ["first"]))
        running.append(asyncio.create_task(second.run()))
        await asyncio.sleep(1.5)
        assert terms == ["first"]
        await first.stop()
        await until(lambda: _is(terms == ["first", "second"]))
        await second.stop()
        await asyncio.gather(*running)

    async def _is_queued(self, database: Database, task_id: uuid.UUID) -> bool:
        with database.begin() as connection:
            return get_task(connection, task_id).state == "queued"

    async def _has_schedules(self, database: Database) -> bool:
        with database.begin() as connection:
            return len(list_schedules(connection)) == len(defaults(ScheduleSettings()))


class TestRpc:
    @pytest.fixture
    def schedules(self, channel, database, scheduler):

        with database.begin() as connection:
            ensure_defaults(connection, defaults(ScheduleSettings()))
        return scheduler_pb2_grpc.SchedulerServiceStub(channel)

    @pytest.fixture
    def tasks(self, channel):
        return admin_pb2_grpc.TaskAdminServiceStub(channel)

    async def test_schedules_are_listed_changed_and_triggered(self, schedules, tasks):
        listed = (await schedules.ListSchedules(scheduler_pb2.ListSchedulesRequest())).schedules
        assert [each.name for each in listed] == sorted(each.name for each in listed)

        payload = Struct()
        payload.update({"simulate": True})
        asked = scheduler_pb2.UpdateScheduleRequest(
            name="remove-expired-data", cron="0 5 * * *", enabled=False, payload=payload
        )
        changed = (await schedules.UpdateSchedule(asked)).schedule
        assert (changed.cron, changed.enabled, dict(changed.payload)) == ("0 5 * * *", False, {"simulate": True})

        task_id = (
            await schedules.TriggerSchedule(scheduler_pb2.TriggerScheduleRequest(name="remove-expired-data"))
        ).task_id
        task = (await tasks.GetTask(admin_pb2.GetTaskRequest(id=task_id))).task
        assert (task.type, dict(task.payload)) == ("kura.tasks.v1.RemoveExpiredData", {"simulate": True})

    async def test_what_is_wrong_is_said(self, schedules, tasks):
        with pytest.raises(NotFound):
            await schedules.TriggerSchedule(scheduler_pb2.TriggerScheduleRequest(name="nightly"))
        with pytest.raises(BadRequest, match="cron"):
            await schedules.UpdateSchedule(scheduler_pb2.UpdateScheduleRequest(name="remove-expired-data", cron="soon"))
        with pytest.raises(TaskNotFound):
            await tasks.GetTask(admin_pb2.GetTaskRequest(id=str(uuid.uuid4())))
        with pytest.raises(BadRequest):
            await tasks.GetTask(admin_pb2.GetTaskRequest(id="7"))
        with pytest.raises(BadRequest, match="nowhere"):
            await tasks.ListTasks(admin_pb2.ListTasksRequest(queue="nowhere"))
        with pytest.raises(BadRequest):
            await tasks.ListTasks(admin_pb2.ListTasksRequest(page_token="x"))

    async def test_tasks_are_listed_page_by_page_newest_first(self, tasks, database):
        ids = [str(ask(database, pb.IngestPayload(upload_id=number), schema="org1")) for number in range(5)]
        ask(database, pb.EnsurePartitions(), queue="hcs")
        seen, token = [], ""
        while True:
            asked = admin_pb2.ListTasksRequest(
                queue="download", type="IngestPayload", schema_name="org1", page_size=2, page_token=token
            )
            page = await tasks.ListTasks(asked)
            seen += [task.id for task in page.tasks]
            token = page.next_page_token
            if not token:
                break
        assert seen == ids[::-1]

    async def test_a_dead_task_is_retried_and_a_waiting_one_cancelled(self, tasks, database):
        dead = ask(database, pb.IngestPayload(upload_id=1))
        kill(database, dead)
        retried = (await tasks.RetryTask(admin_pb2.RetryTaskRequest(id=str(dead)))).task
        assert (retried.state, retried.attempt) == (admin_pb2.TASK_STATE_QUEUED, 0)
        with pytest.raises(Conflict):
            await tasks.RetryTask(admin_pb2.RetryTaskRequest(id=str(dead)))
        cancelled = (await tasks.CancelTask(admin_pb2.CancelTaskRequest(id=str(dead)))).task
        assert cancelled.state == admin_pb2.TASK_STATE_CANCELLED
        with pytest.raises(Conflict):
            await tasks.CancelTask(admin_pb2.CancelTaskRequest(id=str(dead)))

    async def test_every_queue_tells_its_backlog(self, tasks, database):
        ask(database, pb.IngestPayload(upload_id=1))
        kill(database, ask(database, pb.IngestPayload(upload_id=2)))
        queues = (await tasks.ListQueues(admin_pb2.ListQueuesRequest())).queues
        assert [each.queue for each in queues] == list(QUEUES)
        default = queues[0]
        assert (default.ready, default.delayed, default.running, default.dead) == (1, 0, 0, 1)
        assert 0 < default.oldest_ready_seconds < 60


class TestHttp:
    async def test_strangers_are_refused_everywhere(self, http: httpx.AsyncClient):
        paths = [
            ("GET", "/admin/v1/schedules/"), ("PATCH", "/admin/v1/schedules/x/"), ("GET", "/admin/v1/tasks/"),
            ("POST", "/admin/v1/schedules/x/trigger/"), ("GET", "/admin/v1/queues/"),
            ("POST", f"/admin/v1/tasks/{uuid.uuid4()}/retry/"),
        ]  # fmt: skip
        for method, path in paths:
            for header in ("", "Bearer", "Bearer wrong", "Basic 0123456789abcdef"):
                answer = await http.request(method, path, headers={"authorization": header})
                assert answer.status_code == 401, (method, path, header)

    async def test_tasks_and_schedules_can_be_steered(self, http: httpx.AsyncClient, database: Database):
        task_id = ask(database, pb.IngestPayload(upload_id=1))
        listed = (await http.get("/admin/v1/tasks/", params={"state": "queued", "queue": "default"})).json()
        assert [task["id"] for task in listed["data"]] == [str(task_id)]
        assert (await http.get(f"/admin/v1/tasks/{task_id}/")).json()["payload"] == {"uploadId": "1"}
        assert (await http.post(f"/admin/v1/tasks/{task_id}/cancel/")).json()["state"] == "cancelled"
        assert (await http.post(f"/admin/v1/tasks/{task_id}/retry/")).json()["state"] == "queued"
        assert (await http.post(f"/admin/v1/tasks/{task_id}/retry/")).status_code == 409
        assert (await http.get("/admin/v1/queues/")).json()["meta"]["count"] == 13

        with database.begin() as connection:
            ensure_defaults(connection, defaults(ScheduleSettings()))
        name = "/admin/v1/schedules/remove-stale-tasks/"
        assert (await http.patch(name, json={"enabled": False, "cron": "5 * * * *"})).json()["enabled"] is False
        assert (await http.get(name)).json()["cron"] == "5 * * * *"
        assert (await http.post(f"{name}trigger/")).status_code == 202

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "/admin/v1/tasks/?state=asleep", None),
            ("GET", "/admin/v1/tasks/?limit=-1", None),
            ("GET", "/admin/v1/tasks/?limit=100000", None),
            ("GET", "/admin/v1/tasks/?colour=red", None),
            ("GET", "/admin/v1/tasks/7/", None),
            ("PATCH", "/admin/v1/schedules/x/", b"{"),
            ("PATCH", "/admin/v1/schedules/x/", b"[]"),
            ("PATCH", "/admin/v1/schedules/x/", b'{"enabled": "yes"}'),
            ("PATCH", "/admin/v1/schedules/x/", b'{"name": "y"}'),
            ("PATCH", "/admin/v1/schedules/x/", b" " * 70_000),
        ],
    )
    async def test_what_is_wrong_is_refused(self, http: httpx.AsyncClient, method: str, path: str, body: bytes | None):
        answer = await http.request(method, path, content=body)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["status"] == 400

    async def test_probes_need_no_secret(self, http: httpx.AsyncClient):
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await http.get(path, headers={"authorization": ""})).status_code == 200


async def _is(value: bool) -> bool:
    return value
