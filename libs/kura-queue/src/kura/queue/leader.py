"""One of many: work that only the holder of a lease does, and that another instance takes over when it falls silent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from prometheus_client import Gauge

from kura.core.errors import KuraError
from kura.core.telemetry import get_logger
from kura.queue.cancelling import end
from kura.queue.clock import between
from kura.queue.transport import Books
from kura.store import leases

log = get_logger(__name__)

LEADER_SECONDS: Final = 15.0

LEADING = Gauge("kura_leader", "1 while this process leads.", ["lease"])


class Leader:
    """Runs `term` while it holds the lease `leader:<name>`; cancels it when the lease is lost."""

    def __init__(
        self, name: str, *, books: Books, term: Callable[[], Awaitable[None]], seconds: float = LEADER_SECONDS
    ) -> None:
        self.lease = f"leader:{name}"
        self._name = name
        self._books = books
        self._term = term
        self._seconds = seconds
        self._stopping = asyncio.Event()
        self._finished = asyncio.Event()
        self.token: int | None = None

    async def run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self.token = await self._books.call(
                        lambda c: leases.acquire(
                            c, self.lease, owner=f"{self._books.owner} {id(self)}", seconds=self._seconds
                        )
                    )
                except KuraError as error:
                    log.warning("election_failed", lease=self.lease, code=error.code, error=str(error))
                if self.token is not None:
                    await self._lead(self.token)
                    self.token = None
                await self._pause(between(0.5, 1.0) * self._seconds / 3)
        finally:
            self._finished.set()

    async def stop(self) -> None:
        """Step down; return when the term has ended."""
        self._stopping.set()
        await self._finished.wait()

    async def _lead(self, token: int) -> None:
        log.info("term_began", lease=self.lease, token=token)
        LEADING.labels(self._name).set(1)
        working = asyncio.ensure_future(self._term())
        holding = asyncio.create_task(self._hold(token))
        stopping = asyncio.create_task(self._stopping.wait())
        tasks: list[asyncio.Future[Any]] = [working, holding, stopping]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
        except KuraError as error:
            log.error("term_failed", lease=self.lease, code=error.code, error=str(error), exc_info=error)
        finally:
            await end(*tasks)
            LEADING.labels(self._name).set(0)
            try:
                await self._books.call(lambda c: leases.release(c, self.lease, token=token))
            except KuraError as error:
                log.warning("lease_not_released", lease=self.lease, code=error.code)
            log.info("term_ended", lease=self.lease, token=token)

    async def _hold(self, token: int) -> None:
        """Return when the lease is lost, or could be."""
        clock = asyncio.get_running_loop().time
        renewed = clock()
        while clock() - renewed < self._seconds * 2 / 3:
            await asyncio.sleep(self._seconds / 5)
            asked = clock()
            try:
                async with asyncio.timeout(self._seconds / 3):
                    if not await self._books.call(
                        lambda c: leases.renew(c, self.lease, token=token, seconds=self._seconds)
                    ):
                        return
                renewed = asked
            except (KuraError, TimeoutError) as error:
                log.warning("lease_not_renewed", lease=self.lease, error=f"{type(error).__name__}: {error}")

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
