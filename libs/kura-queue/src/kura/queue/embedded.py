"""The task table as the queue: slots claim rows that no one else holds, and are woken by NOTIFY within milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, func, select

from kura.queue.clock import seconds_since
from kura.queue.listener import Listener
from kura.queue.states import Claim, claim_next
from kura.queue.transport import Books, Feed
from kura.store.tables.shared import TASK

POLL_SECONDS: Final = 5.0
"""Longest sleep, should a notification be lost."""


class EmbeddedTransport:
    """No broker: `FOR UPDATE SKIP LOCKED` and `LISTEN`."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._feeds: list[EmbeddedFeed] = []

    def feeds(self, queues: Sequence[str], *, slots: int) -> Sequence[Feed]:
        self._feeds = [EmbeddedFeed(self._books, tuple(queues)) for _ in range(slots)]
        return self._feeds

    async def run(self) -> None:
        await Listener(self._books.db, self._wake).run()

    def _wake(self) -> None:
        for feed in self._feeds:
            feed.wake()


class EmbeddedFeed:
    """One slot over all queues of its worker: the highest priority first, whatever the queue."""

    def __init__(self, books: Books, queues: tuple[str, ...]) -> None:
        self._books = books
        self._queues = queues
        self._woken = asyncio.Event()
        self._closed = False

    def wake(self) -> None:
        self._woken.set()

    async def next(self) -> Claim | None:
        while not self._closed:
            self._woken.clear()
            claim, idle_seconds = await self._books.call(self._claim)
            if claim is not None:
                return claim
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(idle_seconds):
                    await self._woken.wait()
        return None

    def _claim(self, connection: Connection) -> tuple[Claim | None, float]:
        """A task, or how long to sleep when none is due."""
        books = self._books
        claim = claim_next(connection, self._queues, owner=books.owner, lease_seconds=books.lease_seconds)
        if claim is not None:
            return claim, 0.0
        next_due = -seconds_since(func.min(TASK.c.not_before))
        waiting = TASK.c.queue.in_(self._queues) & (TASK.c.state == "queued")
        due = connection.scalar(select(next_due).where(waiting))
        # A row that is due already but was not handed out is locked by another slot.
        return None, POLL_SECONDS if due is None or due <= 0 else min(due, POLL_SECONDS)

    async def outlast(self) -> None:
        """Nothing was delivered, so nothing is held."""

    async def settle(self, *, dead: bool) -> None:
        """The row says it all."""

    def close(self) -> None:
        self._closed = True
        self._woken.set()
