"""How a worker comes by its tasks. Two ways: the task table itself, or RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection

from kura.queue.states import Claim
from kura.store.database import Database

P = ParamSpec("P")
R = TypeVar("R")


class Feed(Protocol):
    """Hands one slot of a worker its tasks, one at a time and already claimed."""

    async def next(self) -> Claim | None:
        """The next task, as soon as there is one; None after `close`."""
        ...

    async def outlast(self) -> None:
        """The task takes long: do not hold what was delivered any more."""
        ...

    async def settle(self, *, dead: bool) -> None:
        """The task handed out last is over: its row says how. `dead`: show it to the administrators."""
        ...

    def close(self) -> None:
        """Hand out nothing more."""
        ...


class Transport(Protocol):
    """One worker's connection to the queues."""

    def feeds(self, queues: Sequence[str], *, slots: int) -> Sequence[Feed]:
        """Feeds for the slots of a worker. Called once, before `run`."""
        ...

    async def run(self) -> None:
        """Keep the connection; until cancelled."""
        ...


class Books:
    """The task table as one worker keeps it: short transactions on threads of their own.

    Handlers have other threads, and should have another pool of connections, so that they never hold up a heartbeat.
    """

    def __init__(self, db: Database, *, owner: str, lease_seconds: float, threads: int = 4) -> None:
        self.db = db
        self.owner = owner
        self.lease_seconds = lease_seconds
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix="kura-queue")

    async def call(self, change: Callable[[Connection], R]) -> R:
        """Run `change` in one transaction. It completes also when the caller is cancelled meanwhile."""

        def transaction() -> R:
            with self.db.begin() as connection:
                return change(connection)

        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self.threads, transaction))

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
