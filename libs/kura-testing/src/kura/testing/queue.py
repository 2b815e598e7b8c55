"""Workers under test: the same test drives the embedded queue and RabbitMQ."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aio_pika
from google.protobuf.message import Message

from kura.queue.admin import TaskView, get_task
from kura.queue.context import Handlers
from kura.queue.embedded import EmbeddedTransport
from kura.queue.outbox import enqueue
from kura.queue.queues import QUEUES
from kura.queue.rabbitmq import RabbitTransport, connect
from kura.queue.relay import Relay
from kura.queue.states import requeue_expired
from kura.queue.transport import Books
from kura.queue.worker import Worker
from kura.store.database import Database
from kura.testing.rabbitmq import RabbitMQ

ENDED = ("succeeded", "dead", "cancelled")


class QueueBench:
    """A database, perhaps a broker, and as many workers as a test starts."""

    def __init__(self, db: Database, node: RabbitMQ | None) -> None:
        self.db = db
        self.node = node

    @contextlib.asynccontextmanager
    async def relay(self, *, lost_after_seconds: float = 300) -> AsyncIterator[Relay | None]:
        """What publishes; without a broker there is nothing to publish."""
        if self.node is None:
            yield None
            return
        books = Books(self.db, owner="relay", lease_seconds=3)
        relay = Relay(url=self.node.relay_url, books=books, queue_type="classic", lost_after_seconds=lost_after_seconds)
        running = asyncio.create_task(relay.run())
        await until(lambda: _is(relay.healthy))
        try:
            yield relay
        finally:
            await relay.stop()
            await running

    @contextlib.asynccontextmanager
    async def worker(
        self,
        handlers: Handlers,
        *,
        queues: tuple[str, ...] = ("default",),
        slots: int = 1,
        lease_seconds: float = 3,
        tools: Any = None,
        max_tasks: int = 0,
    ) -> AsyncIterator[Worker[Any]]:
        """A running worker."""
        books = Books(self.db, owner=f"worker-{uuid.uuid4().hex[:6]}", lease_seconds=lease_seconds)
        transport = RabbitTransport(self.node.worker_url, books) if self.node else EmbeddedTransport(books)
        worker = Worker(
            books=books,
            transport=transport,
            handlers=handlers,
            tools=tools,
            db=self.db,
            queues=queues,
            slots=slots,
            max_tasks=max_tasks,
        )
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            await worker.stop()
            await asyncio.gather(running, return_exceptions=True)
            if not running.cancelled():
                running.result()

    @contextlib.asynccontextmanager
    async def reconciling(self, *, seconds: float = 0.3) -> AsyncIterator[None]:
        """Puts back the tasks of lost workers, as the status reconciler does."""

        async def loop() -> None:
            while True:
                await asyncio.to_thread(self.in_transaction, requeue_expired)
                await asyncio.sleep(seconds)

        running = asyncio.create_task(loop())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def in_transaction(self, change: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self.db.begin() as connection:
            return change(connection, *args, **kwargs)

    async def ask(self, message: Message, **kwargs: Any) -> uuid.UUID:
        """Queue a task."""
        task_id: uuid.UUID = await asyncio.to_thread(self.in_transaction, enqueue, message, **kwargs)
        return task_id

    async def task(self, task_id: uuid.UUID) -> TaskView:
        view: TaskView = await asyncio.to_thread(self.in_transaction, get_task, task_id)
        return view

    async def ended(self, task_id: uuid.UUID, *, seconds: float = 20) -> TaskView:
        """The task when it has come to an end."""
        await until(lambda: self._has_ended(task_id), seconds=seconds)
        return await self.task(task_id)

    async def _has_ended(self, task_id: uuid.UUID) -> bool:
        return (await self.task(task_id)).state in ENDED

    async def clear_broker(self) -> None:
        """Empty every queue."""
        if self.node is None:
            return
        async with await connect(self.node.relay_url, name="test") as connection:
            for name in [name for queue in QUEUES for name in (queue, f"{queue}.dlq")]:
                channel = await connection.channel()
                with contextlib.suppress(aio_pika.exceptions.ChannelNotFoundEntity):
                    await (await channel.get_queue(name)).purge()


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = 20) -> None:
    """Wait for something to become true."""
    limit = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > limit:
            raise AssertionError(f"not true within {seconds:g} seconds")
        await asyncio.sleep(0.02)


async def _is(value: bool) -> bool:
    return value
