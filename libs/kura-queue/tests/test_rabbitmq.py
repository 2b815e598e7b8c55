"""What only the broker can do wrong: garbage, lost messages, restarts, strangers."""

import asyncio
import contextlib
import uuid
from datetime import timedelta

import aio_pika
import pytest
from sqlalchemy import update

from kura.core.errors import BadRequest, BrokerUnavailable
from kura.queue.admin import retry_task
from kura.queue.rabbitmq import DELAYS_SECONDS, TASKS, connect, declare, delay_exchange, depth, worker_rights
from kura.rpc.tasks.v1 import tasks_pb2 as pb
from kura.store.tables.shared import TASK
from kura.testing.queue import QueueBench, until
from kura.testing.rabbitmq import VHOST, WORKER, Account, RabbitMQ

pytestmark = pytest.mark.rabbitmq

PAYLOAD = pb.IngestPayload


@pytest.fixture
async def bench(rabbitmq, database, monkeypatch):
    monkeypatch.setattr("kura.queue.relay.LOOK_SECONDS", 0.5)
    bench = QueueBench(database, rabbitmq)
    await bench.clear_broker()
    async with bench.relay():
        yield bench


@contextlib.asynccontextmanager
async def channel_of(url: str):
    async with await connect(url, name="test") as connection:
        yield await connection.channel()


async def letters(bench: QueueBench, queue: str = "default") -> int:
    async with channel_of(bench.node.relay_url) as channel:
        return await depth(channel, f"{queue}.dlq")


async def nothing(task, ctx) -> None:
    """Succeed."""


async def ignore(message) -> None:
    """Leave it unacknowledged."""


async def refuse(task, ctx) -> None:
    raise BadRequest("never")


class TestMessages:
    @pytest.mark.parametrize(
        "message",
        [
            aio_pika.Message(b"\xff\xfe", type="kura.tasks.v1.IngestPayload", message_id="not-a-uuid"),
            aio_pika.Message(b"{}", type="kura.tasks.v1.NoSuchTask", message_id=str(uuid.uuid4())),
            aio_pika.Message(b"{}", type="kura.tasks.v2.IngestPayload", message_id=str(uuid.uuid4())),
            aio_pika.Message(b"rubbish"),
        ],
        ids=["undecodable", "unknown type", "unknown major version", "rubbish"],
    )
    async def test_F11_garbage_is_dead_lettered_and_its_neighbours_go_on(self, bench: QueueBench, message):
        async with bench.worker({PAYLOAD: nothing}):
            async with channel_of(bench.node.relay_url) as channel:
                exchange = await channel.get_exchange(TASKS)
                await exchange.publish(message, routing_key="default")
            assert (await bench.ended(await bench.ask(PAYLOAD(upload_id=1)))).state == "succeeded"
            await until(lambda: _equal(letters(bench), 1), seconds=5)

    async def test_a_message_of_a_row_that_is_no_more_is_forgotten(self, bench: QueueBench):
        async with bench.worker({PAYLOAD: nothing}):
            async with channel_of(bench.node.relay_url) as channel:
                exchange = await channel.get_exchange(TASKS)
                gone = aio_pika.Message(b"{}", type="kura.tasks.v1.IngestPayload", message_id=str(uuid.uuid4()))
                await exchange.publish(gone, routing_key="default")
            await bench.ended(await bench.ask(PAYLOAD(upload_id=1)))
        assert await letters(bench) == 0

    async def test_a_message_says_what_the_contract_says(self, bench: QueueBench):
        parent = await bench.ask(PAYLOAD(upload_id=1), queue="hcs")
        task_id = await bench.ask(PAYLOAD(upload_id=7), schema="org1", parent=parent)
        async with channel_of(bench.node.relay_url) as channel:
            queue = await channel.get_queue("default")
            await until(lambda: _equal(depth(channel, "default"), 1))
            message = await queue.get()
            await message.ack()
        assert message.body == b'{"uploadId":"7"}'
        assert (message.type, message.message_id) == ("kura.tasks.v1.IngestPayload", str(task_id))
        assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
        assert message.headers["schema"] == "org1"
        assert message.headers["queue_class"] == "default"
        assert message.headers["attempt"] == 0
        assert message.headers["parent"] == message.headers["root"] == str(parent)
        assert {"enqueued_at", "not_before"} <= message.headers.keys()

    async def test_the_dead_letter_of_a_task_goes_when_the_task_is_retried(self, bench: QueueBench):
        async with bench.worker({PAYLOAD: refuse}):
            task_id = await bench.ask(PAYLOAD(upload_id=1))
            assert (await bench.ended(task_id)).state == "dead"
        await until(lambda: _equal(letters(bench), 1))
        await asyncio.to_thread(bench.in_transaction, retry_task, task_id)
        async with bench.worker({PAYLOAD: nothing}):
            await until(lambda: _equal(letters(bench), 0))
            assert (await bench.ended(task_id)).state == "succeeded"

    async def test_a_lost_message_is_sent_again(self, bench: QueueBench):
        task_id = await bench.ask(PAYLOAD(upload_id=1))
        await until(lambda: _published(bench, task_id))
        await bench.clear_broker()
        await asyncio.to_thread(
            bench.in_transaction,
            lambda c: c.execute(
                update(TASK).values(
                    published_at=TASK.c.published_at - _minutes(10), not_before=TASK.c.not_before - _minutes(10)
                )
            ),
        )
        async with bench.worker({PAYLOAD: nothing}):
            assert (await bench.ended(task_id, seconds=40)).state == "succeeded"

    async def test_a_task_due_far_in_the_future_waits_in_steps(self):
        assert [delay_exchange(seconds) for seconds in (0.4, 1, 37, 511, 100_000)] == [
            None, "kura.delay.1", "kura.delay.32", "kura.delay.256", "kura.delay.512",
        ]  # fmt: skip
        assert list(DELAYS_SECONDS) == sorted(DELAYS_SECONDS)


class TestLongTasks:
    async def test_F10_a_long_task_gives_its_delivery_back_early_and_its_slot_goes_on_after_it(
        self, bench: QueueBench, monkeypatch
    ):
        monkeypatch.setattr("kura.queue.worker.HELD_DELIVERY_SECONDS", 0.5)
        begun: list[int] = []
        go_on = asyncio.Event()

        async def slow(task, ctx) -> None:
            begun.append(task.upload_id)
            if task.upload_id == 1:
                await go_on.wait()

        async with bench.worker({PAYLOAD: slow}):
            first = await bench.ask(PAYLOAD(upload_id=1))
            await until(lambda: _equal(_unacknowledged(bench), 0))
            second = await bench.ask(PAYLOAD(upload_id=2))
            await asyncio.sleep(0.5)
            assert begun == [1]
            go_on.set()
            assert (await bench.ended(first)).attempt == 1
            assert (await bench.ended(second)).state == "succeeded"


class TestAccounts:
    async def test_S49_guest_is_unknown(self, rabbitmq: RabbitMQ):
        for vhost in (VHOST, "%2f"):
            with pytest.raises(BrokerUnavailable):
                await connect(f"amqp://guest:guest@127.0.0.1:{rabbitmq.port}/{vhost}", name="stranger")

    async def test_S49_a_worker_may_declare_and_publish_nothing(self, bench: QueueBench):
        refused = aio_pika.exceptions.ChannelClosed
        async with channel_of(bench.node.worker_url) as channel:
            with pytest.raises(refused, match="ACCESS_REFUSED"):
                await channel.declare_queue("mine", durable=True)
        async with channel_of(bench.node.worker_url) as channel:
            exchange = await channel.get_exchange(TASKS, ensure=False)
            with pytest.raises(refused, match="ACCESS_REFUSED"):
                await exchange.publish(aio_pika.Message(b"{}"), routing_key="default")

    async def test_S49_a_worker_may_not_read_dead_letters_nor_the_queues_of_others(self, bench: QueueBench):
        summaries = Account(password="x" * 20, rights=worker_rights(["summary"]))
        bench.node.add_account("kura-summary", summaries)
        for account, queue, allowed in (
            (WORKER, "default.dlq", False),
            ("kura-summary", "default", False),
            ("kura-summary", "summary", True),
        ):
            async with channel_of(bench.node.url(account)) as channel:
                consumed = (await channel.get_queue(queue)).consume(ignore)
                if allowed:
                    await consumed
                else:
                    with pytest.raises(aio_pika.exceptions.ChannelClosed, match="ACCESS_REFUSED"):
                        await consumed

    async def test_S49_there_is_no_management_port(self, rabbitmq: RabbitMQ):
        status = await asyncio.to_thread(rabbitmq.control, "status")
        assert f"Interface: 127.0.0.1, port: {rabbitmq.port}, protocol: amqp" in status
        assert "15672" not in status


class TestQuorum:
    async def test_everything_can_be_declared_as_quorum_queues_too(self, rabbitmq: RabbitMQ, tmp_path):
        rabbitmq.control("add_vhost", "quorum")
        rabbitmq.control("set_permissions", "-p", "quorum", "kura-scheduler", ".*", ".*", ".*")
        try:
            url = rabbitmq.relay_url.removesuffix(VHOST) + "quorum"
            async with channel_of(url) as channel:
                await declare(channel, queue_type="quorum")
                await declare(channel, queue_type="quorum")
                assert await depth(channel, "summary_penalty") == 0
        finally:
            rabbitmq.control("delete_vhost", "quorum")


async def _unacknowledged(bench: QueueBench) -> int:
    """Deliveries of the default queue that a worker holds; -1 before there was one."""
    listed = await asyncio.to_thread(
        bench.node.control, "list_queues", "-p", VHOST, "name", "messages_unacknowledged", "consumers"
    )
    rows = {name: (int(held), int(consumers)) for name, held, consumers in map(str.split, listed.splitlines()[1:])}
    held, consumers = rows["default"]
    return held if consumers == 0 else -1


async def _equal(value, expected) -> bool:
    return await value == expected


async def _published(bench: QueueBench, task_id: uuid.UUID) -> bool:
    with bench.db.begin() as connection:
        row = connection.execute(TASK.select().where(TASK.c.id == task_id)).one()
    return row.published_at is not None


def _minutes(number: int):
    return timedelta(minutes=number)
