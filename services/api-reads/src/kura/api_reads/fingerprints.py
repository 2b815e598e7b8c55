"""Fingerprints of tenants, read once for all requests that wait for one at the same time.

A request needs one that was read after it came: what was written before it must be seen by its answer. So whoever
comes while one is being read waits for the next, together with everybody else who came meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

Fingerprint = tuple[int, ...]


@dataclass(kw_only=True)
class Fingerprints:
    """Belongs to one event loop; `read` blocks and runs in a thread."""

    read: Callable[[str], Fingerprint]
    _running: dict[str, asyncio.Task[Fingerprint]] = field(default_factory=dict)
    _waiting: dict[str, asyncio.Task[Fingerprint]] = field(default_factory=dict)

    async def of(self, schema: str) -> Fingerprint:
        """The fingerprint of a tenant as of now or later; what the database raises."""
        task = self._waiting.get(schema)
        if task is None:
            task = asyncio.create_task(self._read_next(schema), name=f"fingerprint of {schema}")
            self._waiting[schema] = task
        return await asyncio.shield(task)

    async def _read_next(self, schema: str) -> Fingerprint:
        while (running := self._running.get(schema)) is not None:
            await asyncio.wait([running])
        task = self._running[schema] = self._waiting.pop(schema)
        task.add_done_callback(lambda done: self._end(schema, done))
        return await asyncio.to_thread(self.read, schema)

    def _end(self, schema: str, done: asyncio.Task[Fingerprint]) -> None:
        del self._running[schema]
        if not done.cancelled():
            done.exception()  # seen, also when everybody who waited has gone away
