"""One class of tests, run over the task table and over RabbitMQ."""

import asyncio
import contextlib
import time
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from kura.core.errors import BadRequest, Deadline, LeaseBusy, ObjectStoreUnavailable, TransientError, Unavailable
from kura.queue import tasks
from kura.queue.admin import cancel_task, retry_task
from kura.queue.context import Context
from kura.queue.outbox import enqueue, open_group
from kura.queue.rabbitmq import connect, depth
from kura.rpc.tasks.v1 import tasks_pb2 as pb
from kura.store.tables.shared import TASK, TENANT_TABLE
from kura.testing.queue import QueueBench, until

PAYLOAD = pb.IngestPayload


@pytest.fixture(params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
async def bench(request, database):
    node = request.getfixturevalue("rabbitmq") if request.param == "rabbitmq" else None
    bench = QueueBench(database, node)
    await bench.clear_broker()
    async with bench.relay():
        yield bench


@pytest.fixture
def quick(monkeypatch):
    """Retries without the pause."""
    for kind in tasks.TASK_TYPES.values():
        monkeypatch.setitem(kind.__dict__, "backoff", lambda attempt: 0.05)
    monkeypatch.setattr("kura.queue.worker.patient_jitter", lambda age: 0.05)


class Seen:
    """A handler that remembers what it was given, and does what a test tells it."""

    def __init__(self, *errors: BaseException | type[BaseException], seconds: float = 0) -> None:
        self.messages = []
        self.attempts = []
        self.errors = list(errors)
        self.seconds = seconds
        self.running = 0
        self.most_running = 0

    async def __call__(self, task, ctx: Context) -> None:
        self.messages.append(task)
        self.attempts.append(ctx.claim.attempt)
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.running -= 1
        if self.errors:
            raise self.errors.pop(0)


class TestTasks:
    async def test_a_task_is_carried_out_once(self, bench: QueueBench):
        handler = Seen()
        async with bench.worker({PAYLOAD: handler}):
            task = await bench.ended(await bench.ask(PAYLOAD(upload_id=7)))
        assert task.state == "succeeded"
        assert task.attempt == 1
        assert handler.messages == [PAYLOAD(upload_id=7)]

    async def test_a_task_that_waited_before_the_worker_came_is_carried_out(self, bench: QueueBench):
        task_id = await bench.ask(PAYLOAD(upload_id=7))
        async with bench.worker({PAYLOAD: Seen()}):
            assert (await bench.ended(task_id)).state == "succeeded"

    async def test_a_task_starts_within_milliseconds_of_its_commit(self, bench: QueueBench):
        async with bench.worker({PAYLOAD: Seen()}):
            await bench.ended(await bench.ask(PAYLOAD(upload_id=1)))
            waits = []
            for number in range(2, 8):
                began = time.perf_counter()
                await bench.ended(await bench.ask(PAYLOAD(upload_id=number)))
                waits.append(time.perf_counter() - began)
        assert sorted(waits)[3] < 0.3

    async def test_a_task_of_a_rolled_back_transaction_never_was(self, bench: QueueBench, database):
        with contextlib.suppress(ZeroDivisionError), database.begin() as connection:
            enqueue(connection, PAYLOAD(upload_id=7))
            raise ZeroDivisionError
        handler = Seen()
        async with bench.worker({PAYLOAD: handler}):
            await bench.ended(await bench.ask(PAYLOAD(upload_id=8)))
        assert handler.messages == [PAYLOAD(upload_id=8)]

    async def test_asking_twice_for_what_waits_is_one_task_that_covers_both(self, bench: QueueBench):
        first = await bench.ask(_range("2025-01-05", "2025-01-10", 1))
        second = await bench.ask(_range("2025-01-08", "2025-01-20", 2))
        assert first == second
        handler = Seen()
        async with bench.worker({pb.SummariseRange: handler}, queues=("summary",)):
            await bench.ended(first)
        assert [(m.start_date, m.end_date, list(m.manifest_ids)) for m in handler.messages] == [
            ("2025-01-05", "2025-01-20", [1, 2])
        ]

    async def test_asking_for_what_already_runs_queues_it_again(self, bench: QueueBench):
        handler = Seen(seconds=0.3)
        async with bench.worker({pb.SummariseRange: handler}, queues=("summary",)):
            first = await bench.ask(_range("2025-01-05", "2025-01-10", 1))
            await until(lambda: _true(handler.running == 1))
            second = await bench.ask(_range("2025-01-05", "2025-01-10", 2))
            assert first != second
            await bench.ended(second)
        assert [list(m.manifest_ids) for m in handler.messages] == [[1], [2]]

    async def test_a_task_does_not_start_before_its_time(self, bench: QueueBench):
        async with bench.worker({PAYLOAD: Seen()}):
            began = time.monotonic()
            task_id = await bench.ask(PAYLOAD(upload_id=7), not_before=timedelta(seconds=2.5))
            task = await bench.ended(task_id)
        assert time.monotonic() - began >= 2.5
        assert task.attempt == 1
        assert (task.started_at - task.not_before).total_seconds() < 1.5

    async def test_a_higher_priority_goes_first(self, bench: QueueBench):
        for number, priority in ((1, 1), (2, 9), (3, 5)):
            await bench.ask(PAYLOAD(upload_id=number), priority=priority)
        if bench.node:
            await until(lambda: self._published(bench, 3))
        handler = Seen()
        async with bench.worker({PAYLOAD: handler}):
            await until(lambda: _true(len(handler.messages) == 3))
        assert [m.upload_id for m in handler.messages] == [2, 3, 1]

    async def test_slots_work_at_the_same_time_and_no_more(self, bench: QueueBench):
        handler = Seen(seconds=0.2)
        async with bench.worker({PAYLOAD: handler}, slots=3):
            ids = [await bench.ask(PAYLOAD(upload_id=number)) for number in range(9)]
            for task_id in ids:
                await bench.ended(task_id)
        assert handler.most_running == 3
        assert len(handler.messages) == 9

    async def test_workers_share_the_tasks_without_doing_one_twice(self, bench: QueueBench):
        handler = Seen(seconds=0.01)
        async with bench.worker({PAYLOAD: handler}, slots=2), bench.worker({PAYLOAD: handler}, slots=2):
            ids = [await bench.ask(PAYLOAD(upload_id=number)) for number in range(60)]
            for task_id in ids:
                assert (await bench.ended(task_id)).attempt == 1
        assert sorted(m.upload_id for m in handler.messages) == list(range(60))

    async def test_a_worker_leaves_other_queues_alone(self, bench: QueueBench):
        elsewhere = await bench.ask(PAYLOAD(upload_id=1), queue="priority")
        async with bench.worker({PAYLOAD: Seen()}):
            await bench.ended(await bench.ask(PAYLOAD(upload_id=2)))
        assert (await bench.task(elsewhere)).state == "queued"

    async def test_a_tenant_flag_chooses_the_queue(self, bench: QueueBench, database):
        with database.begin() as connection:
            connection.execute(TENANT_TABLE.insert().values(schema_name="org1", flags=["large"]))
        task_id = await bench.ask(_range("2025-01-05", "2025-01-10", 1))
        assert (await bench.task(task_id)).queue == "summary_xl"

    async def _published(self, bench: QueueBench, count: int) -> bool:
        async with await connect(bench.node.relay_url, name="test") as connection:
            return await depth(await connection.channel(), "default") == count


class TestFailures:
    async def test_a_transient_error_is_tried_again_until_it_succeeds(self, bench: QueueBench, quick):
        handler = Seen(TransientError("deadlock"), Deadline("slow"))
        async with bench.worker({PAYLOAD: handler}):
            task = await bench.ended(await bench.ask(PAYLOAD(upload_id=7)))
        assert (task.state, task.attempt) == ("succeeded", 3)
        assert handler.attempts == [1, 2, 3]

    async def test_F13_a_failure_that_never_passes_ends_at_the_cap_with_its_reason(self, bench: QueueBench, quick):
        handler = Seen(*[TransientError("the store is odd")] * 50)
        async with bench.worker({PAYLOAD: handler}):
            task = await bench.ended(await bench.ask(PAYLOAD(upload_id=7)))
        assert (task.state, task.attempt, task.error_code) == ("dead", 5, "transient")
        assert "the store is odd" in task.error
        assert len(handler.attempts) == 5

    async def test_F31_while_a_service_is_away_no_attempt_counts(self, bench: QueueBench, quick):
        handler = Seen(*[ObjectStoreUnavailable("503 slow down")] * 12)
        async with bench.worker({PAYLOAD: handler}):
            task = await bench.ended(await bench.ask(PAYLOAD(upload_id=7)))
        assert (task.state, task.attempt, len(handler.attempts)) == ("succeeded", 1, 13)

    async def test_F13_a_service_that_is_away_for_a_day_is_given_up_at_the_cap(
        self, bench: QueueBench, quick, database
    ):
        handler = Seen(*[ObjectStoreUnavailable("503 slow down")] * 50)
        task_id = await bench.ask(PAYLOAD(upload_id=7))
        with database.begin() as connection:
            connection.execute(update(TASK).values(created_at=TASK.c.created_at - timedelta(hours=25)))
        async with bench.worker({PAYLOAD: handler}):
            task = await bench.ended(task_id)
        assert (task.state, task.attempt, task.error_code) == ("dead", 5, "object_store_unavailable")
        assert len(handler.attempts) == 5

    async def test_a_permanent_error_is_dead_on_the_first_attempt(self, bench: QueueBench):
        async with bench.worker({PAYLOAD: Seen(BadRequest("no such manifest"))}):
            task = await bench.ended(await bench.ask(PAYLOAD(upload_id=7)))
        assert (task.state, task.attempt, task.error_code, task.error) == (
            "dead", 1, "bad_request", "no such manifest",
        )  # fmt: skip

    async def test_an_error_nobody_foresaw_counts_its_attempts(self, bench: QueueBench, quick):
        handler = Seen(*[ZeroDivisionError("x")] * 50)
        async with bench.worker({PAYLOAD: handler}):
            task = await bench.ended(await bench.ask(PAYLOAD(upload_id=7)))
        assert (task.state, task.attempt, task.error_code) == ("dead", 5, "internal")

    async def test_a_busy_lease_postpones_without_counting(self, bench: QueueBench, monkeypatch):
        monkeypatch.setattr("kura.queue.worker.LEASE_BUSY_SECONDS", (0.01, 0.05))
        handler = Seen(*[LeaseBusy()] * 8)
        async with bench.worker({PAYLOAD: handler}):
            task = await bench.ended(await bench.ask(PAYLOAD(upload_id=7)))
        assert (task.state, task.attempt) == ("succeeded", 1)
        assert len(handler.attempts) == 9

    async def test_a_task_over_its_time_is_stopped_and_tried_again(self, bench: QueueBench, quick, monkeypatch):
        monkeypatch.setitem(tasks.TASK_TYPES["kura.tasks.v1.IngestPayload"].__dict__, "timeout_seconds", 0.2)
        handler = Seen(seconds=30)
        async with bench.worker({PAYLOAD: handler}):
            task_id = await bench.ask(PAYLOAD(upload_id=7))
            await until(lambda: _true(len(handler.messages) == 2))
            handler.seconds = 0
            task = await bench.ended(task_id)
        assert task.state == "succeeded"

    async def test_F11_a_task_no_worker_knows_is_dead_and_its_neighbours_go_on(self, bench: QueueBench):
        async with bench.worker({PAYLOAD: Seen()}):
            unknown = await bench.ask(pb.EnsurePartitions())
            known = await bench.ask(PAYLOAD(upload_id=7))
            assert (await bench.ended(known)).state == "succeeded"
            task = await bench.ended(unknown)
        assert (task.state, task.attempt, task.error_code) == ("dead", 1, "unknown_task")

    async def test_a_retried_task_that_was_asked_for_meanwhile_continues_in_that_one(
        self, bench: QueueBench, monkeypatch
    ):
        handler = Seen(Unavailable(), seconds=0.3)
        async with bench.worker({pb.SummariseRange: handler}, queues=("summary",)):
            first = await bench.ask(_range("2025-01-05", "2025-01-10", 1))
            await until(lambda: _true(handler.running == 1))
            second = await bench.ask(_range("2025-01-08", "2025-01-20", 2))
            old, new = await bench.ended(first), await bench.ended(second)
        assert (old.state, old.error_code) == ("cancelled", "merged")
        assert new.state == "succeeded"
        assert (handler.messages[1].start_date, list(handler.messages[1].manifest_ids)) == ("2025-01-05", [1, 2])

    async def test_a_dead_task_can_be_retried_by_an_administrator(self, bench: QueueBench):
        handler = Seen(BadRequest("not yet"))
        async with bench.worker({PAYLOAD: handler}):
            task_id = await bench.ask(PAYLOAD(upload_id=7))
            assert (await bench.ended(task_id)).state == "dead"
            await asyncio.to_thread(bench.in_transaction, retry_task, task_id)
            await until(lambda: self._is(bench, task_id, "succeeded"))
        assert (await bench.task(task_id)).attempt == 1

    async def test_a_cancelled_task_stops_at_the_next_heartbeat_and_changes_nothing(self, bench: QueueBench):
        handler = Seen(seconds=30)
        async with bench.worker({PAYLOAD: handler}, lease_seconds=1):
            task_id = await bench.ask(PAYLOAD(upload_id=7))
            await until(lambda: _true(handler.running == 1))
            await asyncio.to_thread(bench.in_transaction, cancel_task, task_id, by="a test")
            await until(lambda: _true(handler.running == 0))
        task = await bench.task(task_id)
        assert (task.state, task.error) == ("cancelled", "cancelled by a test")

    async def _is(self, bench, task_id, state) -> bool:
        return (await bench.task(task_id)).state == state


class TestChains:
    async def test_what_follows_is_queued_with_the_end_of_what_it_follows(self, bench: QueueBench):
        after = Seen()

        async def first(task, ctx: Context) -> None:
            ctx.follow_with(PAYLOAD(upload_id=task.upload_id + 1)) if task.upload_id == 1 else await after(task, ctx)

        async with bench.worker({PAYLOAD: first}):
            task_id = await bench.ask(PAYLOAD(upload_id=1))
            await bench.ended(task_id)
            await until(lambda: _true(len(after.messages) == 1))
        child = await self._child(bench, task_id)
        assert (child.parent_id, child.root_id) == (task_id, task_id)

    async def test_nothing_follows_a_failure(self, bench: QueueBench):
        async def first(task, ctx: Context) -> None:
            ctx.follow_with(PAYLOAD(upload_id=2))
            raise BadRequest("no")

        async with bench.worker({PAYLOAD: first}):
            task_id = await bench.ask(PAYLOAD(upload_id=1))
            assert (await bench.ended(task_id)).state == "dead"
        assert await self._child(bench, task_id) is None

    async def test_after_all_members_of_a_group_comes_the_follow_up_once(self, bench: QueueBench, database):
        follow_up = Seen()
        members = Seen(BadRequest("one fails first"), seconds=0.02)
        async with bench.worker(
            {PAYLOAD: members, pb.MarkManifestsComplete: follow_up}, slots=3, queues=("default", "priority")
        ):
            with database.begin() as connection:
                group = open_group(
                    connection, size=4, follow_up=pb.MarkManifestsComplete(schema_name="org1", manifest_ids=[3])
                )
                ids = [enqueue(connection, PAYLOAD(upload_id=number), group=group) for number in range(4)]
            ended = [await bench.ended(task_id) for task_id in ids]
            failed = [task for task in ended if task.state == "dead"]
            assert len(failed) == 1
            assert follow_up.messages == []
            await asyncio.to_thread(bench.in_transaction, retry_task, failed[0].id)
            await until(lambda: _true(len(follow_up.messages) == 1))
            await asyncio.sleep(0.2)
        assert [list(m.manifest_ids) for m in follow_up.messages] == [[3]]

    async def _child(self, bench: QueueBench, task_id: uuid.UUID):
        with bench.db.begin() as connection:
            found = connection.scalar(select(TASK.c.id).where(TASK.c.parent_id == task_id))
        return await bench.task(found) if found else None


class TestContext:
    async def test_progress_is_written_to_the_row_while_the_task_runs(self, bench: QueueBench):
        go_on = asyncio.Event()

        async def slow(task, ctx: Context) -> None:
            ctx.progress(done=1, total=3)
            ctx.progress(done=2)
            await go_on.wait()

        async with bench.worker({PAYLOAD: slow}):
            task_id = await bench.ask(PAYLOAD(upload_id=7))
            await until(lambda: self._progress(bench, task_id, {"done": 2, "total": 3}), seconds=5)
            go_on.set()
            assert (await bench.ended(task_id)).progress == {"done": 2, "total": 3}

    async def _progress(self, bench: QueueBench, task_id: uuid.UUID, progress: dict[str, int]) -> bool:
        return (await bench.task(task_id)).progress == progress

    async def test_a_long_task_keeps_its_claim_and_its_leases(self, bench: QueueBench):
        async def slow(task, ctx: Context) -> None:
            async with ctx.lease("summary:p:2025-01"):
                await asyncio.sleep(2.5)

        async with bench.reconciling(), bench.worker({PAYLOAD: slow}, lease_seconds=1):
            task = await bench.ended(await bench.ask(PAYLOAD(upload_id=7)))
        assert (task.state, task.attempt) == ("succeeded", 1)

    async def test_a_named_lease_is_held_by_one_task_at_a_time(self, bench: QueueBench, monkeypatch):
        monkeypatch.setattr("kura.queue.worker.LEASE_BUSY_SECONDS", (0.05, 0.1))
        tokens, inside, most = [], 0, 0

        async def alone(task, ctx: Context) -> None:
            nonlocal inside, most
            async with ctx.lease("summary:p:2025-01") as fence:
                inside += 1
                most = max(most, inside)
                tokens.append(fence.token)
                await asyncio.sleep(0.1)
                inside -= 1

        async with bench.worker({PAYLOAD: alone}, slots=3):
            for task_id in [await bench.ask(PAYLOAD(upload_id=number)) for number in range(4)]:
                await bench.ended(task_id)
        assert most == 1
        assert tokens == sorted(set(tokens))

    async def test_a_write_of_a_lost_claim_is_refused(self, bench: QueueBench):
        refused = []

        async def handler(task, ctx: Context) -> None:
            with ctx.db.begin() as connection:
                connection.execute(update(TASK).where(TASK.c.id == ctx.task_id).values(lease_token=99))
            try:
                with ctx.db.begin() as connection:
                    ctx.assert_held(connection)
            except Exception as error:
                refused.append(type(error).__name__)
                raise

        async with bench.worker({PAYLOAD: handler}, lease_seconds=2):
            task_id = await bench.ask(PAYLOAD(upload_id=7))
            await until(lambda: _true(bool(refused)))
        assert refused == ["LeaseLost"]
        assert (await bench.task(task_id)).state == "running"


class TestShutdown:
    async def test_stopping_lets_the_running_task_finish_and_takes_no_more(self, bench: QueueBench):
        handler = Seen(seconds=0.5)
        async with bench.worker({PAYLOAD: handler}):
            first, second = [await bench.ask(PAYLOAD(upload_id=number)) for number in (1, 2)]
            await until(lambda: _true(handler.running == 1))
        assert (await bench.task(first)).state == "succeeded"
        assert (await bench.task(second)).state == "queued"

    async def test_a_worker_that_may_not_finish_gives_its_task_back_uncounted(self, bench: QueueBench):
        handler = Seen(seconds=30)
        async with bench.worker({PAYLOAD: handler}) as worker:
            task_id = await bench.ask(PAYLOAD(upload_id=1))
            await until(lambda: _true(handler.running == 1))
            for task in asyncio.all_tasks():
                if getattr(task.get_coro(), "__qualname__", "") == "Worker.run":
                    task.cancel()
            await worker.stop()
        assert worker.busy == 0
        task = await bench.task(task_id)
        assert (task.state, task.attempt) == ("queued", 0)

    async def test_a_worker_ends_after_its_number_of_tasks(self, bench: QueueBench):
        handler = Seen()
        async with bench.worker({PAYLOAD: handler}, max_tasks=2):
            for number in range(4):
                await bench.ask(PAYLOAD(upload_id=number))
            await until(lambda: _true(len(handler.messages) == 2))
            await asyncio.sleep(0.3)
        assert len(handler.messages) == 2


def _range(start: str, end: str, manifest: int) -> pb.SummariseRange:
    return pb.SummariseRange(
        schema_name="org1", provider_uuid="p", start_date=start, end_date=end, manifest_ids=[manifest]
    )


async def _true(value: bool) -> bool:
    return value
