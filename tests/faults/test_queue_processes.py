"""Workers killed, paused and crashed for real (reliability §3.1). The clean run is arithmetic: what each upload must
leave behind is known, whatever happened on the way. `KURA_FAULT_KILLS` sets how often F01 kills."""

from __future__ import annotations

import asyncio
import os
import random
import signal

import aio_pika
import pytest
from queue_site import LEASE_SECONDS, Site, create_tables, stopping

from kura.queue.outbox import enqueue
from kura.queue.rabbitmq import TASKS, connect
from kura.rpc.tasks.v1 import tasks_pb2 as pb
from kura.testing.queue import QueueBench, until

KILLS = int(os.environ.get("KURA_FAULT_KILLS", "4"))


async def test_F01_a_worker_killed_at_random_moments_changes_nothing_in_the_end(site: Site):
    uploads = range(1, 3 * KILLS + 1)
    site.start(read_seconds=0.2)
    site.ask(*uploads)
    for _ in range(KILLS):
        await asyncio.sleep(random.uniform(0.3, 1.5))
        site.processes[-1].kill()
        site.start(read_seconds=0.2)
    await site.finished(seconds=60 + KILLS)
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
