"""RabbitMQ: what is declared there, and how a worker is fed from it.

    kura.tasks (direct) ──queue name──► <queue> ──rejected──► kura.dead (direct) ──► <queue>.dlq
    kura.delay.<seconds> (fanout) ──► kura.delay.<seconds> ──time is up──► kura.tasks

A message only names a row. The worker claims the row; a message whose row is claimed, done or gone is acknowledged and
forgotten, so that a message may come twice, late, or not in turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import aio_pika
from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractIncomingMessage,
    AbstractQueue,
    ConsumerTag,
)
from sqlalchemy import Connection, null, select, update

from kura.core.errors import BrokerUnavailable, KuraError
from kura.core.telemetry import get_logger
from kura.queue import metrics, states
from kura.queue.clock import between
from kura.queue.outbox import notify
from kura.queue.queues import QUEUES
from kura.queue.states import Claim, NotYet
from kura.queue.tasks import TASK_TYPES
from kura.queue.transport import Books, Feed
from kura.store.tables.shared import TASK

log = get_logger(__name__)

QueueType = Literal["classic", "quorum"]

TASKS: Final = "kura.tasks"
DEAD: Final = "kura.dead"
DELAY: Final = "kura.delay"
DELAYS_SECONDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""A message waits in the longest of these that is not too long, then in the next, until its time has come."""
HIGHEST_PRIORITY: Final = 9

CONNECT_SECONDS: Final = 10.0
HEARTBEAT_SECONDS: Final = 10
LONGEST_PAUSE_SECONDS: Final = 30.0
SHORT_WAIT_SECONDS: Final = 1.0
"""A task due this soon is waited for instead of sent around again."""

_QUEUE_NAMES: Final = "|".join(QUEUES)


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What an account may do in Kura's virtual host, as RabbitMQ's three patterns."""

    configure: str
    write: str
    read: str


_EVERYTHING: Final = rf"^(kura\.(tasks|dead|delay\.\d+)|({_QUEUE_NAMES})(\.dlq)?)$"

RELAY_RIGHTS: Final = Rights(configure=_EVERYTHING, write=_EVERYTHING, read=_EVERYTHING)
"""For the scheduler: it declares everything, publishes, and looks after dead letters."""


def worker_rights(queues: Sequence[str]) -> Rights:
    """For the workers of some queues: they consume, and can declare and publish nothing."""
    names = "|".join(re.escape(queue) for queue in queues)
    return Rights(configure="^$", write="^$", read=f"^({names})$")


async def connect(url: str, *, name: str) -> AbstractConnection:
    """One connection; BrokerUnavailable if it cannot be made."""
    try:
        return await aio_pika.connect(
            aio_pika.connection.make_url(url).update_query({"heartbeat": str(HEARTBEAT_SECONDS)}),
            timeout=CONNECT_SECONDS,
            client_properties={"connection_name": name},
        )
    except (*aio_pika.exceptions.CONNECTION_EXCEPTIONS, TimeoutError) as error:
        raise BrokerUnavailable(f"cannot connect to the broker: {type(error).__name__}") from error


def closing(connection: AbstractConnection) -> asyncio.Event:
    """An event that is set when the connection ends, whoever ends it."""
    closed = asyncio.Event()
    connection.close_callbacks.add(lambda *_: closed.set())
    return closed


async def declare(channel: AbstractChannel, *, queue_type: QueueType) -> None:
    """Make all exchanges and queues; nothing happens to those that are there."""
    tasks = await channel.declare_exchange(TASKS, aio_pika.ExchangeType.DIRECT, durable=True)
    dead = await channel.declare_exchange(DEAD, aio_pika.ExchangeType.DIRECT, durable=True)
    for name in QUEUES:
        letters = await channel.declare_queue(f"{name}.dlq", durable=True, arguments={"x-queue-type": queue_type})
        await letters.bind(dead, routing_key=f"{name}.dlq")
        queue = await channel.declare_queue(name, durable=True, arguments=queue_arguments(name, queue_type))
        await queue.bind(tasks, routing_key=name)
    for seconds in DELAYS_SECONDS:
        waiting = await channel.declare_exchange(f"{DELAY}.{seconds}", aio_pika.ExchangeType.FANOUT, durable=True)
        arguments = {
            "x-queue-type": queue_type,
            "x-message-ttl": seconds * 1000,
            # The routing key stays: it is the queue the message goes back to.
            "x-dead-letter-exchange": TASKS,
            **at_least_once(queue_type),
        }
        queue = await channel.declare_queue(f"{DELAY}.{seconds}", durable=True, arguments=arguments)
        await queue.bind(waiting)


def queue_arguments(name: str, queue_type: QueueType) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "x-queue-type": queue_type,
        "x-dead-letter-exchange": DEAD,
        "x-dead-letter-routing-key": f"{name}.dlq",
        **at_least_once(queue_type),
    }
    if queue_type == "classic":
        arguments["x-max-priority"] = HIGHEST_PRIORITY
    return arguments


def at_least_once(queue_type: QueueType) -> dict[str, Any]:
    """A quorum queue can hold a dead letter until its target has it."""
    if queue_type == "classic":
        return {}
    return {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


def delay_exchange(seconds: float) -> str | None:
    """Where a message waits first; None if it need not wait."""
    fitting = [bucket for bucket in DELAYS_SECONDS if bucket <= seconds]
    return f"{DELAY}.{fitting[-1]}" if fitting else None


class RabbitTransport:
    """A worker's connection, made again with back-off whenever it or one of its channels closes."""

    def __init__(self, url: str, books: Books) -> None:
        self._url = url
        self._books = books
        self._feeds: list[RabbitFeed] = []

    def feeds(self, queues: Sequence[str], *, slots: int) -> Sequence[Feed]:
        """Each queue has `slots` of its own: a delivery cannot wait for a slot that another queue keeps busy."""
        self._feeds = [RabbitFeed(self._books, queue) for queue in queues for _ in range(slots)]
        return self._feeds

    async def run(self) -> None:
        failures = 0
        while True:
            try:
                async with await connect(self._url, name=self._books.owner) as connection:
                    closed = closing(connection)
                    for feed in self._feeds:
                        await feed.attach(connection, closed)
                    failures = 0
                    await closed.wait()
                log.warning("broker_disconnected")
            except (KuraError, *aio_pika.exceptions.CONNECTION_EXCEPTIONS, TimeoutError) as error:
                failures += 1
                log.warning("broker_unavailable", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(between(0.2, min(2.0**failures, LONGEST_PAUSE_SECONDS)))


class RabbitFeed:
    """One slot on one queue: one delivery at a time, acknowledged when its task is over."""

    def __init__(self, books: Books, queue: str) -> None:
        self._books = books
        self._name = queue
        self._inbox: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._current: AbstractIncomingMessage | None = None
        self._queue: AbstractQueue | None = None
        self._tag: ConsumerTag | None = None
        self._closed = False

    async def attach(self, connection: AbstractConnection, closed: asyncio.Event) -> None:
        """Consume over a new connection; `closed` is set when the channel ends."""
        self._queue = self._tag = None
        while not self._inbox.empty():
            self._inbox.get_nowait()
        if self._closed:
            self._inbox.put_nowait(None)
            return
        channel = await connection.channel(publisher_confirms=False)
        channel.close_callbacks.add(lambda *_: closed.set())
        await channel.set_qos(prefetch_count=1)
        self._queue = await channel.get_queue(self._name)
        await self._consume()

    async def _consume(self) -> None:
        if self._queue is not None and self._tag is None and not self._closed:
            self._tag = await self._queue.consume(self._inbox.put)

    async def next(self) -> Claim | None:
        if self._tag is None:
            with _disconnected():
                await self._consume()
        while not self._closed:
            message = await self._inbox.get()
            if message is None:
                break
            claim = await self._claimed(message)
            if claim is not None:
                self._current = message
                return claim
        return None

    async def _claimed(self, message: AbstractIncomingMessage) -> Claim | None:
        task_id = task_id_of(message)
        if task_id is None:
            with _disconnected():
                await message.reject(requeue=False)
            return None
        books = self._books
        failures = 0
        while True:
            try:
                found = await books.call(
                    lambda c: states.claim(c, task_id, owner=books.owner, lease_seconds=books.lease_seconds)
                )
                if isinstance(found, NotYet):
                    if found.seconds <= SHORT_WAIT_SECONDS:
                        await asyncio.sleep(found.seconds)
                        continue
                    await books.call(lambda c: send_again(c, task_id))
            except KuraError as error:
                failures += 1
                log.warning("claim_failed", code=error.code, error=str(error))
                await asyncio.sleep(between(0.1, min(2.0**failures, LONGEST_PAUSE_SECONDS)))
                continue
            if isinstance(found, Claim):
                return found
            with _disconnected():
                await message.ack()
            return None

    async def outlast(self) -> None:
        """Acknowledge early, and take no other delivery meanwhile: the lease of the row is what counts now."""
        if self._current is None:
            return
        with _disconnected():
            if self._queue is not None and self._tag is not None:
                await self._queue.cancel(self._tag)
                self._tag = None
            await self._current.ack()
        self._current = None

    async def settle(self, *, dead: bool) -> None:
        message, self._current = self._current, None
        if message is None:
            return
        with _disconnected():
            if dead:
                await message.reject(requeue=False)
            else:
                await message.ack()

    def close(self) -> None:
        self._closed = True
        self._inbox.put_nowait(None)


def task_id_of(message: AbstractIncomingMessage) -> uuid.UUID | None:
    """The row a message names; None for one that Kura has not sent or this version cannot read."""
    reason = None
    if message.type not in TASK_TYPES:
        reason = "unknown_task"
    try:
        return uuid.UUID(message.message_id) if reason is None else None
    except (ValueError, TypeError, AttributeError):
        reason = "undecodable"
        return None
    finally:
        if reason is not None:
            metrics.REFUSED_MESSAGES.labels(message.routing_key or "", reason).inc()
            log.error("message_refused", queue=message.routing_key, reason=reason, type=str(message.type)[:200])


def send_again(connection: Connection, task_id: uuid.UUID) -> None:
    """Have the relay send a message that came too early."""
    early = (TASK.c.id == task_id) & (TASK.c.state == "queued")
    queue = connection.scalar(update(TASK).where(early).values(published_at=null()).returning(TASK.c.queue))
    if queue is not None:
        notify(connection, queue)


@contextlib.contextmanager
def _disconnected() -> Any:
    """What cannot be acknowledged over a closed channel comes again, and finds nothing to do."""
    try:
        yield
    except aio_pika.exceptions.CONNECTION_EXCEPTIONS as error:
        log.info("delivery_lost", error=f"{type(error).__name__}: {error}")


# ------------------------------------------------------------------------------------------------------- dead letters


async def count_dead_letters(channel: AbstractChannel) -> Mapping[str, int]:
    """Messages in each dead-letter queue."""
    return {name: await depth(channel, f"{name}.dlq") for name in QUEUES}


async def depth(channel: AbstractChannel, queue: str) -> int:
    """Messages that wait in a queue."""
    found = await channel.declare_queue(queue, passive=True)
    return found.declaration_result.message_count or 0


async def remove_settled_letters(channel: AbstractChannel, books: Books, *, limit: int = 1000) -> int:
    """Drop the dead letters whose task is dead no more: an administrator has retried or removed it."""
    removed = 0
    for name in QUEUES:
        letters = await channel.get_queue(f"{name}.dlq")
        kept: list[AbstractIncomingMessage] = []
        for _ in range(limit):
            message = await letters.get(fail=False)
            if message is None:
                break
            if await _is_settled(books, message):
                await message.ack()
                removed += 1
            else:
                kept.append(message)
        for message in kept:
            await message.nack(requeue=True)
    return removed


async def _is_settled(books: Books, message: AbstractIncomingMessage) -> bool:
    if message.type not in TASK_TYPES or message.message_id is None:
        return False
    try:
        task_id = uuid.UUID(message.message_id)
    except ValueError:
        return False
    return await books.call(lambda c: c.scalar(select(TASK.c.state).where(TASK.c.id == task_id)) != "dead")
