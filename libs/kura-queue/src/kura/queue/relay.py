"""The relay: publishes the task rows that have not been published, with confirms, and keeps the broker in order."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aio_pika
import orjson
from aio_pika.abc import AbstractChannel, AbstractExchange
from sqlalchemy import Connection, select, tuple_, update

from kura.core.errors import BrokerUnavailable, KuraError
from kura.core.telemetry import get_logger
from kura.queue import metrics, states
from kura.queue.cancelling import end
from kura.queue.clock import between, now, seconds_since
from kura.queue.leader import Leader
from kura.queue.listener import Listener
from kura.queue.queues import QUEUES
from kura.queue.rabbitmq import (
    DELAY,
    DELAYS_SECONDS,
    LONGEST_PAUSE_SECONDS,
    TASKS,
    QueueType,
    closing,
    connect,
    count_dead_letters,
    declare,
    delay_exchange,
    depth,
    remove_settled_letters,
)
from kura.queue.transport import Books
from kura.store.tables.shared import TASK

log = get_logger(__name__)

BATCH: Final = 200
CONFIRM_SECONDS: Final = 10.0
POLL_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 15.0
LOST_AFTER_SECONDS: Final = 300.0
"""A task that is due this long, was published, and whose queue is empty: its message is lost."""


@dataclass(frozen=True, kw_only=True)
class Unpublished:
    """A row to publish."""

    id: uuid.UUID
    type: str
    queue: str
    queue_class: str
    payload: Any
    schema_name: str | None
    priority: int
    attempt: int
    not_before: datetime
    created_at: datetime
    wait_seconds: float
    group_id: uuid.UUID | None
    root_id: uuid.UUID | None
    parent_id: uuid.UUID | None
    traceparent: str | None


class Relay:
    """Background work of the scheduler; one instance publishes at a time."""

    def __init__(
        self, *, url: str, books: Books, queue_type: QueueType, lost_after_seconds: float = LOST_AFTER_SECONDS
    ):
        self._url = url
        self._books = books
        self._queue_type: QueueType = queue_type
        self._lost_after_seconds = lost_after_seconds
        self._woken = asyncio.Event()
        self._leader = Leader("relay", books=books, term=self._term)
        self.healthy = False

    async def run(self) -> None:
        listening = asyncio.create_task(Listener(self._books.db, self._woken.set).run())
        try:
            await self._leader.run()
        finally:
            await end(listening)
            self._books.close()

    async def stop(self) -> None:
        await self._leader.stop()

    async def _term(self) -> None:
        failures = 0
        while True:
            try:
                await self._connected()
            except (KuraError, *aio_pika.exceptions.CONNECTION_EXCEPTIONS, TimeoutError) as error:
                failures = 0 if self.healthy else failures + 1
                self.healthy = False
                metrics.PUBLISH_FAILURES.inc()
                pause = between(0.2, min(2.0**failures, LONGEST_PAUSE_SECONDS))
                log.warning(
                    "relay_interrupted", error=f"{type(error).__name__}: {error}", pause_seconds=round(pause, 1)
                )
                await asyncio.sleep(pause)

    async def _connected(self) -> None:
        async with await connect(self._url, name=f"relay {self._books.owner}") as connection:
            closed = closing(connection)
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            channel.close_callbacks.add(lambda *_: closed.set())
            await declare(channel, queue_type=self._queue_type)
            names = [TASKS, *(f"{DELAY}.{seconds}" for seconds in DELAYS_SECONDS)]
            exchanges = {name: await channel.get_exchange(name, ensure=False) for name in names}
            self.healthy = True
            log.info("relay_connected")
            looking = asyncio.create_task(self._look_after(await connection.channel(), closed))
            try:
                while not closed.is_set():
                    self._woken.clear()
                    if await self._publish_batch(exchanges) < BATCH:
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(POLL_SECONDS):
                                await self._woken.wait()
            finally:
                await end(looking)
        raise BrokerUnavailable("the connection was closed")

    async def _publish_batch(self, exchanges: Mapping[str, AbstractExchange]) -> int:
        rows = await self._books.call(unpublished)
        results = await asyncio.gather(*(self._publish(exchanges, row) for row in rows), return_exceptions=True)
        confirmed = [row for row, result in zip(rows, results, strict=True) if result is None]
        if confirmed:
            await self._books.call(lambda connection: mark_published(connection, confirmed))
        for row in confirmed:
            metrics.PUBLISHED.labels(row.queue).inc()
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return len(rows)

    async def _publish(self, exchanges: Mapping[str, AbstractExchange], row: Unpublished) -> None:
        exchange = exchanges[delay_exchange(row.wait_seconds) or TASKS]
        await exchange.publish(message_of(row), routing_key=row.queue, mandatory=True, timeout=CONFIRM_SECONDS)

    async def _look_after(self, channel: AbstractChannel, closed: asyncio.Event) -> None:
        """Dead letters that are settled go; tasks whose messages are lost are sent again."""
        try:
            while True:
                await remove_settled_letters(channel, self._books)
                for queue, count in (await count_dead_letters(channel)).items():
                    metrics.DEAD_LETTERS.labels(queue).set(count)
                again = await self._send_lost_again(channel)
                if again:
                    metrics.PUBLISHED_AGAIN.inc(again)
                    log.warning("messages_lost", tasks=again)
                await asyncio.sleep(LOOK_SECONDS)
        except (KuraError, *aio_pika.exceptions.CONNECTION_EXCEPTIONS) as error:
            log.warning("broker_not_looked_after", error=f"{type(error).__name__}: {error}")
            closed.set()

    async def _send_lost_again(self, channel: AbstractChannel) -> int:
        """A task that was published long ago, while its queue is empty: its message is lost."""
        empty = [queue for queue in QUEUES if await depth(channel, queue) == 0]
        return await self._books.call(
            lambda c: states.publish_again(c, empty, older_than_seconds=self._lost_after_seconds)
        )


def unpublished(connection: Connection) -> list[Unpublished]:
    """The rows that wait longest to be published."""
    columns = [TASK.c[name] for name in Unpublished.__dataclass_fields__ if name != "wait_seconds"]
    wait_seconds = (-seconds_since(TASK.c.not_before)).label("wait_seconds")
    rows = connection.execute(
        select(*columns, wait_seconds)
        .where(TASK.c.state == "queued", TASK.c.published_at.is_(None))
        .order_by(TASK.c.not_before)
        .limit(BATCH)
    )
    return [Unpublished(**row._mapping) for row in rows]


def mark_published(connection: Connection, rows: list[Unpublished]) -> None:
    """Note what the broker has. A row that was queued anew meanwhile has another start and stays unpublished."""
    seen = tuple_(TASK.c.id, TASK.c.not_before).in_([(row.id, row.not_before) for row in rows])
    connection.execute(update(TASK).where(seen, TASK.c.state == "queued").values(published_at=now()))


def message_of(row: Unpublished) -> aio_pika.Message:
    headers = {
        "schema": row.schema_name,
        "queue_class": row.queue_class,
        "attempt": row.attempt,
        "root": row.root_id,
        "parent": row.parent_id,
        "group": row.group_id,
        "enqueued_at": row.created_at.astimezone(UTC).isoformat(),
        "not_before": row.not_before.astimezone(UTC).isoformat(),
        "traceparent": row.traceparent,
    }
    return aio_pika.Message(
        orjson.dumps(row.payload),
        message_id=str(row.id),
        type=row.type,
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        priority=row.priority,
        headers={
            name: value if isinstance(value, int) else str(value)
            for name, value in headers.items()
            if value is not None
        },
        app_id="kura",
    )
