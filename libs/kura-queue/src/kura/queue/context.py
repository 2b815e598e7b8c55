"""What a handler knows and may do besides its message."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from google.protobuf.message import Message
from sqlalchemy import Connection

from kura.core.errors import KuraError, LeaseBusy, LeaseLost
from kura.queue.outbox import enqueue
from kura.queue.states import Claim, is_held
from kura.store import leases
from kura.store.database import Database

P = ParamSpec("P")
R = TypeVar("R")
Tools = TypeVar("Tools")


@dataclass(frozen=True, kw_only=True)
class Fence:
    """A named lease as held now. A transaction that writes under it calls `kura.store.leases.assert_held` first."""

    name: str
    token: int


class Heart:
    """Keeps alive what one attempt holds. `fail` ends the handler."""

    def __init__(self) -> None:
        self.leases: list[Fence] = []
        self.progress: dict[str, Any] | None = None


@dataclass(kw_only=True)
class Context(Generic[Tools]):
    """One attempt at a task, as its handler sees it."""

    claim: Claim
    owner: str
    db: Database
    tools: Tools
    threads: Executor
    lease_seconds: float
    heart: Heart = field(default_factory=Heart)
    follow_ups: list[Message] = field(default_factory=list)

    @property
    def task_id(self) -> uuid.UUID:
        return self.claim.id

    @property
    def schema(self) -> str | None:
        return self.claim.schema_name

    def ends_with(self, error: Exception) -> bool:
        """Whether this error is the end of the task; otherwise it is tried again."""
        if isinstance(error, KuraError) and not error.retry:
            return True
        return self.claim.last_attempt and not self.claim.outwaits(error)

    def progress(self, **facts: Any) -> None:
        """Tell how far the work is; kept in memory, written to the task row at most once a second."""
        self.heart.progress = {**(self.heart.progress or {}), **facts}

    def follow_with(self, message: Message) -> None:
        """Queue a task in the transaction that completes this one: it is asked for exactly once."""
        self.follow_ups.append(message)

    def enqueue(
        self,
        connection: Connection,
        message: Message,
        *,
        queue: str | None = None,
        not_before: datetime | timedelta | None = None,
        group: uuid.UUID | None = None,
        xl: bool = False,
    ) -> uuid.UUID:
        """Queue a task in a transaction of the handler, as a child of this one."""
        return enqueue(
            connection, message, queue=queue, not_before=not_before, parent=self.claim.id, group=group, xl=xl
        )

    def assert_held(self, connection: Connection) -> None:
        """Raise LeaseLost unless this attempt is still the task's own. Call it last before the commit: until then the
        heartbeat waits."""
        if not is_held(connection, self.claim):
            raise LeaseLost()

    @contextlib.asynccontextmanager
    async def lease(self, name: str) -> AsyncIterator[Fence]:
        """Hold a named lease while the block runs, renewed with the heartbeat; LeaseBusy if another task has it."""

        # An owner may take its own lease again, so the owner is this attempt, not this worker.
        owner = f"{self.owner} {self.claim.id} {self.claim.token}"

        def acquire() -> int | None:
            with self.db.begin() as connection:
                return leases.acquire(connection, name, owner=owner, seconds=self.lease_seconds)

        def release(token: int) -> None:
            with self.db.begin() as connection:
                leases.release(connection, name, token=token)

        token = await self.in_thread(acquire)
        if token is None:
            raise LeaseBusy(f"{name} is held by another task")
        fence = Fence(name=name, token=token)
        self.heart.leases.append(fence)
        try:
            yield fence
        finally:
            self.heart.leases.remove(fence)
            await asyncio.shield(self.in_thread(release, token))

    async def in_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Bookkeeping beside the handlers' own threads, so that a busy pool never stops a heartbeat."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, lambda: call(*args, **kwargs))


class Handler(Protocol):
    """Carries out one task. Running it twice changes nothing. It raises KuraErrors; `retry` decides what follows."""

    def __call__(self, task: Any, ctx: Context[Any], /) -> Awaitable[None]: ...


Handlers = Mapping[type[Message], Handler]
