"""Keepers of what Kura starts for itself: a private PostgreSQL or RabbitMQ that dies is started again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from kura.core.errors import KuraError
from kura.core.telemetry import get_logger

log = get_logger(__name__)

LOOK_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0


class Keeper:
    """Looks after one server. `is_well` and `restart` block; they run in a thread."""

    def __init__(self, name: str, *, is_well: Callable[[], bool], restart: Callable[[], None]) -> None:
        self._name = name
        self._is_well = is_well
        self._restart = restart
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        failures = 0
        while not await self._stops_within(LOOK_SECONDS):
            if await asyncio.to_thread(self._is_well):
                failures = 0
                continue
            log.error("server_died", name=self._name)
            try:
                await asyncio.to_thread(self._restart)
            except (KuraError, OSError) as error:
                failures += 1
                log.error("server_not_restarted", name=self._name, error=str(error))
                if await self._stops_within(min(0.5 * 2.0**failures, LONGEST_PAUSE_SECONDS)):
                    return
            else:
                log.warning("server_restarted", name=self._name)

    async def stop(self) -> None:
        self._stopping.set()

    async def _stops_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()
