"""Waking up when the database says so: LISTEN on a connection of its own, reconnecting with back-off."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import psycopg2
from psycopg2.extensions import connection as Psycopg2Connection

from kura.core.errors import KuraError
from kura.core.telemetry import get_logger
from kura.queue.clock import between
from kura.queue.outbox import CHANNEL
from kura.store.database import Database, translating

log = get_logger(__name__)

CHECK_SECONDS: Final = 20.0
"""A connection that says nothing this long is asked whether it lives."""
LONGEST_PAUSE_SECONDS: Final = 15.0


class Listener:
    """Calls `wake` when something was queued, and after each new connection, since something may have been missed."""

    def __init__(self, db: Database, wake: Callable[[], None]) -> None:
        self._db = db
        self._wake = wake

    async def run(self) -> None:
        failures = 0
        while True:
            try:
                connection = await asyncio.to_thread(self._connect)
                failures = 0
                try:
                    await self._listen(connection)
                finally:
                    connection.close()
            except (KuraError, psycopg2.Error) as error:
                failures += 1
                pause = between(0.2, min(2.0**failures, LONGEST_PAUSE_SECONDS))
                log.warning("listener_disconnected", error=str(error), pause_seconds=round(pause, 1))
                await asyncio.sleep(pause)

    def _connect(self) -> Psycopg2Connection:
        connection = self._db.dedicated()
        with translating(), connection.cursor() as cursor:
            cursor.execute(f"listen {CHANNEL}")
        return connection

    async def _listen(self, connection: Psycopg2Connection) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        descriptor = connection.fileno()
        loop.add_reader(descriptor, readable.set)
        try:
            self._wake()
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_SECONDS):
                        await readable.wait()
                if not readable.is_set():
                    await asyncio.to_thread(ping, connection)
                readable.clear()
                connection.poll()
                if connection.notifies:
                    connection.notifies.clear()
                    self._wake()
        finally:
            loop.remove_reader(descriptor)


def ping(connection: Psycopg2Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("select 1")
