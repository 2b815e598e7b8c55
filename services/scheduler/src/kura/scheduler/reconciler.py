"""A reconciler: findings, each put right in a transaction of its own, over and over, on one instance at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prometheus_client import Counter
from sqlalchemy import Connection

from kura.core.errors import KuraError
from kura.core.telemetry import get_logger, span
from kura.queue.clock import between
from kura.queue.leader import Leader
from kura.queue.transport import Books

log = get_logger(__name__)

MENDED = Counter("kura_reconciled_total", "Things a reconciler put right.", ["reconciler", "check"])


@dataclass(frozen=True, kw_only=True)
class Check:
    """One kind of disagreement. `mend` puts right what it finds and says how much that was."""

    name: str
    mend: Callable[[Connection], int]


class Reconciler:
    """Background work of the scheduler. A check that fails does not keep the others from running."""

    def __init__(self, name: str, *, books: Books, checks: Sequence[Check], seconds: float) -> None:
        self._name = name
        self._books = books
        self._checks = checks
        self._seconds = seconds
        self._leader = Leader(f"reconciler-{name}", books=books, term=self._term)

    async def run(self) -> None:
        await self._leader.run()

    async def stop(self) -> None:
        await self._leader.stop()

    async def look(self) -> dict[str, int]:
        """Run every check once; how much each put right."""
        mended: dict[str, int] = {}
        for check in self._checks:
            try:
                with span(f"reconcile {self._name} {check.name}"):
                    mended[check.name] = await self._books.call(check.mend)
            except KuraError as error:
                log.error(
                    "reconciling_failed", reconciler=self._name, check=check.name, code=error.code, error=str(error)
                )
                continue
            if mended[check.name]:
                MENDED.labels(self._name, check.name).inc(mended[check.name])
                log.warning("reconciled", reconciler=self._name, check=check.name, count=mended[check.name])
        return mended

    async def _term(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self._seconds * between(0.9, 1.1))
