"""What handlers work with, made once per process."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from kura.core.errors import Cancelled, LeaseBusy
from kura.queue.context import Context, Fence
from kura.rpc.aggregator.v1 import aggregator_pb2
from kura.store.objects import ObjectStore
from kura.workers.config import IngestSettings
from kura.workers.ocp.convert import Converter

R = TypeVar("R")


class Aggregator(Protocol):
    """The aggregator: a gRPC stub, or its servicer in the same process."""

    def StartRun(self, request: aggregator_pb2.StartRunRequest, /) -> AsyncIterator[aggregator_pb2.RunProgress]: ...
    def CancelRun(self, request: aggregator_pb2.CancelRunRequest, /) -> Awaitable[aggregator_pb2.CancelRunResponse]: ...


@dataclass(frozen=True, kw_only=True)
class Tools:
    """Stores, engines and settings of the handlers."""

    objects: ObjectStore
    aggregator: Aggregator
    converter: Converter
    settings: IngestSettings
    work_directory: Path
    file_threads: Executor  # small report files that are taken in at a time
    object_threads: Executor  # objects that are written at a time
    operator_releases: Mapping[str, str] = field(default_factory=dict)


HandlerContext: TypeAlias = Context[Tools]

LEASE_PATIENCE_SECONDS = 3.0
LEASE_PAUSE_SECONDS = (0.05, 0.25)


@asynccontextmanager
async def lease_soon(ctx: HandlerContext, name: str) -> AsyncIterator[Fence]:
    """Hold a lease that is mostly free within a second or two; LeaseBusy, and the task returns later, when it is not.

    Going back to the queue at once would cost more time than most holders need to finish.
    """
    give_up = time.monotonic() + LEASE_PATIENCE_SECONDS
    async with AsyncExitStack() as held:
        while True:
            try:
                fence = await held.enter_async_context(ctx.lease(name))
                break
            except LeaseBusy:
                if time.monotonic() > give_up:
                    raise
                await asyncio.sleep(random.uniform(*LEASE_PAUSE_SECONDS))  # noqa: S311 - spreads, hides nothing
        yield fence


class Stop:
    """Tells work in a thread that nobody waits for it any more."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def ask(self) -> None:
        self._asked.set()

    def check(self) -> None:
        """Raise Cancelled if the work should end."""
        if self._asked.is_set():
            raise Cancelled


async def in_own_thread(work: Callable[..., R], *arguments: Any) -> R:
    """Run blocking work beside the event loop; its last argument is a Stop that is asked when the task is cancelled."""
    stop = Stop()
    try:
        return await asyncio.to_thread(work, *arguments, stop)
    except asyncio.CancelledError:
        stop.ask()
        raise
