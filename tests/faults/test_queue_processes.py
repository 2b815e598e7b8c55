"""Workers killed, paused and crashed for real (reliability §3.1). The clean run is arithmetic: what each upload must
leave behind is known, whatever happened on the way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aio_pika
import pytest
from sqlalchemy import text

from kura.queue.outbox import enqueue
from kura.queue.rabbitmq import TASKS, connect
from kura.rpc.tasks.v1 import tasks_pb2 as pb
from kura.testing.queue import QueueBench, until

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from queue_worker import TABLES  # noqa: E402

LEASE_SECONDS = 2.0


class Site:
    """Processes of workers over one database."""

    def __init__(self, bench: QueueBench, folder: Path, database_url: str) -> None:
        self.bench = bench
        self.folder = folder
        self.database_url = database_url
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, **plan: object) -> subprocess.Popen[bytes]:
        facts = {
            "database": self.database_url,
            "broker": self.bench.node.worker_url if self.bench.node else None,
            "lease_seconds": LEASE_SECONDS,
            "marks": str(self.folder),
            **plan,
        }
        with (self.folder / f"worker-{len(self.processes)}.log").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, HERE / "queue_worker.py", json.dumps(facts)], stdout=output, stderr=output
            )
        self.processes.append(process)
        return process

    def output(self, number: int) -> str:
        return (self.folder / f"worker-{number}.log").read_text()

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()

    async def reached(self, point: str) -> None:
        await until(lambda: _is((self.folder / point).exists()))

    async def died(self, process: subprocess.Popen[bytes]) -> None:
        await until(lambda: _is(process.poll() is not None))

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with self.bench.db.begin() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def ask(self, *uploads: int) -> None:
        with self.bench.db.begin() as connection:
            for upload_id in uploads:
                enqueue(connection, pb.IngestPayload(upload_id=upload_id))

    async def finished(self, *, seconds: float = 60) -> None:
        """No task waits or runs any more."""
        alive = "select count(*) from task where state in ('queued', 'running')"
        await until(lambda: _is(self.rows(alive) == [(0,)]), seconds=seconds)

    def assert_as_clean(self, *uploads: int) -> None:
        days = [
            row
            for upload in sorted(uploads)
            for row in ((upload, "pods", upload * 10), (upload, "storage", upload * 100))
        ]
        assert self.rows("select * from fault_day order by upload_id, part") == days
        assert self.rows("select upload_id from fault_follow order by 1") == [(upload,) for upload in sorted(uploads)]
        assert self.rows("select type, state, error from task where state <> 'succeeded'") == []
        follow_ups = "select count(*) from task where type = 'kura.tasks.v1.MarkManifestsComplete'"
        assert self.rows(follow_ups) == [(len(uploads),)]


@pytest.fixture(params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
async def site(request, database, database_urls, tmp_path) -> AsyncIterator[Site]:
    node = request.getfixturevalue("rabbitmq") if request.param == "rabbitmq" else None
    bench = QueueBench(database, node)
    await bench.clear_broker()
    with database.begin() as connection:
        create_tables(connection, database_urls)
    site = Site(bench, tmp_path, database_urls.writer)
    with stopping(site):
        async with bench.relay(lost_after_seconds=5), bench.reconciling():
            yield site


@contextlib.contextmanager
def stopping(site: Site) -> Iterator[None]:
    try:
        yield
    finally:
        site.stop()


def create_tables(connection, urls) -> None:
    from kura.store.database import Database

    with Database(urls.owner, pool_size=1) as owner, owner.begin() as owning:
        for statement in TABLES.strip().split(";"):
            if statement.strip():
                owning.execute(text(statement))
        owning.execute(text("grant all on fault_day, fault_write, fault_follow to kura_writer"))


async def test_F01_a_worker_killed_at_random_moments_changes_nothing_in_the_end(site: Site):
    uploads = range(1, 13)
    site.start(read_seconds=0.2)
    site.ask(*uploads)
    for _ in range(4):
        await asyncio.sleep(random.uniform(0.3, 1.5))
        site.processes[-1].kill()
        site.start(read_seconds=0.2)
    await site.finished()
    site.assert_as_clean(*uploads)


async def test_F02_killed_after_the_commit_and_before_the_acknowledgement_there_is_no_second_write(site: Site):
    process = site.start(fail_at="before the ack")
    site.ask(1)
    await site.died(process)
    site.start()
    await site.finished()
    site.assert_as_clean(1)
    assert site.rows("select upload_id from fault_write") == [(1,)]


@pytest.mark.parametrize("point", ["written", "before the ack"])
async def test_F03_killed_around_queueing_what_follows_it_runs_once(site: Site, point: str):
    process = site.start(fail_at=point)
    site.ask(1)
    await site.died(process)
    site.start()
    await site.finished()
    site.assert_as_clean(1)


async def test_F04_nothing_of_a_half_written_day_is_visible(site: Site):
    process = site.start(fail_at="between")
    site.ask(1)
    await site.died(process)
    assert site.rows("select * from fault_day") == []
    site.start()
    await site.finished()
    site.assert_as_clean(1)


async def test_F05_the_write_of_a_worker_paused_beyond_its_lease_is_refused(site: Site):
    zombie = site.start(read_seconds=0.5)
    site.ask(1)
    await site.reached("reading")
    zombie.send_signal(signal.SIGSTOP)
    site.start()
    await site.finished()
    zombie.send_signal(signal.SIGCONT)
    await until(lambda: _is('"outcome":"lost"' in site.output(0)), seconds=30)
    site.assert_as_clean(1)
    assert site.rows("select upload_id from fault_write") == [(1,)]


async def test_F05_also_when_it_is_paused_in_the_middle_of_its_transaction(site: Site):
    zombie = site.start(commit_seconds=1)
    site.ask(1)
    await site.reached("between")
    zombie.send_signal(signal.SIGSTOP)
    await asyncio.sleep(LEASE_SECONDS * 2)
    zombie.send_signal(signal.SIGCONT)
    site.start()
    await site.finished()
    site.assert_as_clean(1)
    assert site.rows("select upload_id from fault_write") == [(1,)]


@pytest.mark.slow
async def test_F12_a_task_that_kills_its_worker_is_dead_after_the_cap_and_the_queue_goes_on(site: Site):
    with site.bench.db.begin() as connection:
        poison = enqueue(connection, pb.RemoveStaleTenants())
    site.ask(1, 2, 3)

    async def restarting() -> None:
        while True:
            if not site.processes or site.processes[-1].poll() is not None:
                site.start(lease_seconds=1)
            await asyncio.sleep(0.1)

    restarts = asyncio.create_task(restarting())
    try:
        task = await site.bench.ended(poison, seconds=120)
        await site.finished()
    finally:
        restarts.cancel()
    assert (task.state, task.attempt, task.error_code) == ("dead", 5, "worker_lost")
    assert site.rows("select upload_id from fault_follow order by 1") == [(1,), (2,), (3,)]


@pytest.mark.rabbitmq
async def test_F16_every_message_three_times_and_shuffled_has_its_effect_once(
    rabbitmq, database, database_urls, tmp_path
):
    bench = QueueBench(database, rabbitmq)
    await bench.clear_broker()
    with database.begin() as connection:
        create_tables(connection, database_urls)
    site = Site(bench, tmp_path, database_urls.writer)
    uploads = list(range(1, 21))
    with stopping(site):
        async with bench.relay():
            site.ask(*uploads)
            await until(lambda: _is(site.rows("select count(*) from task where published_at is null") == [(0,)]))
            async with await connect(rabbitmq.relay_url, name="test") as connection:
                channel = await connection.channel()
                exchange = await channel.get_exchange(TASKS)
                ids = [row[0] for row in site.rows("select id from task")] * 2
                random.shuffle(ids)
                for task_id in ids:
                    copy = aio_pika.Message(b"{}", type="kura.tasks.v1.IngestPayload", message_id=str(task_id))
                    await exchange.publish(copy, routing_key="default")
            site.start()
            site.start()
            await site.finished()
        site.assert_as_clean(*uploads)
        assert site.rows("select upload_id from fault_write order by 1") == [(upload,) for upload in uploads]


@pytest.mark.rabbitmq
@pytest.mark.slow
async def test_F08_a_killed_broker_returns_with_its_queues_and_nothing_is_lost(database, database_urls, tmp_path):
    from kura.testing.rabbitmq import RabbitMQ

    if not RabbitMQ.is_installed():
        pytest.skip("rabbitmq-server is not installed")
    node = RabbitMQ(tmp_path / "broker")
    await asyncio.to_thread(node.start)
    try:
        bench = QueueBench(database, node)
        with database.begin() as connection:
            create_tables(connection, database_urls)
        site = Site(bench, tmp_path, database_urls.writer)
        with stopping(site):
            async with bench.relay(lost_after_seconds=5), bench.reconciling():
                site.start(read_seconds=0.3)
                site.ask(*range(1, 11))
                await site.reached("written")
                await asyncio.to_thread(node.kill)
                site.ask(*range(11, 16))
                await asyncio.to_thread(node.start)
                await site.finished(seconds=120)
            site.assert_as_clean(*range(1, 16))
    finally:
        node.kill()


async def _is(value: bool) -> bool:
    return value
