"""Answers kept for an hour: the same question of callers who may see the same (read-api §1.5, reliability S17).

The key holds the tenant, the day, everything that decides what the caller may see, and a fingerprint of the tenant's
small tables that every summary run and every change of settings touches. So nothing has to tell the cache about a
change, and a stale answer is never found, in whatever process it was made.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, Table, cast, func, literal_column, select
from sqlalchemy.types import Text

from kura.api_reads.fingerprints import Fingerprint
from kura.store.tables.shared import EXCHANGE_RATE_DICTIONARY, PROVIDER_INFRASTRUCTURE_MAP
from kura.store.tables.tenant import (
    COST_CATEGORY,
    COST_CATEGORY_NAMESPACE,
    COST_MODEL,
    COST_MODEL_MAP,
    ENABLED_CURRENCY,
    ENABLED_TAG_KEYS,
    MONTHLY_EXCHANGE_RATE,
    REPORT_PERIOD,
    TAG_MAPPING,
    TENANT_SETTINGS,
)

SECONDS = 3600
LARGEST_ANSWER_BYTES = 4 * 2**20

WATCHED: tuple[Table, ...] = (
    REPORT_PERIOD,
    COST_MODEL,
    COST_MODEL_MAP,
    COST_CATEGORY,
    COST_CATEGORY_NAMESPACE,
    ENABLED_TAG_KEYS,
    TAG_MAPPING,
    TENANT_SETTINGS,
    ENABLED_CURRENCY,
    MONTHLY_EXCHANGE_RATE,
    EXCHANGE_RATE_DICTIONARY,
    PROVIDER_INFRASTRUCTURE_MAP,
)
"""Small tables; runs and settings leave a new row version in one of them whenever answers change."""


@functools.cache
def _fingerprint_statement() -> Select[*tuple[int, ...]]:
    parts: list[ColumnElement[int]] = []
    for table in WATCHED:
        written = cast(cast(literal_column(f"{table.name}.xmin"), Text), BigInteger)
        parts.append(select(func.count()).select_from(table).scalar_subquery())
        parts.append(select(func.coalesce(func.sum(written), 0)).select_from(table).scalar_subquery())
    return select(*parts)


def fingerprint(connection: Connection) -> Fingerprint:
    """Changes whenever a row of a watched table is written or removed: the number of rows and of their writers."""
    return tuple(int(value) for value in connection.execute(_fingerprint_statement()).one())


@dataclass(frozen=True)
class CachedAnswer:
    """A finished body."""

    body: bytes
    media_type: str


@dataclass(kw_only=True)
class ViewCache:
    """The most recently used answers of one process, bounded in bytes. Thread-safe."""

    most_bytes: int = 64 * 2**20
    seconds: float = SECONDS
    clock: Callable[[], float] = time.monotonic
    _kept: OrderedDict[Hashable, tuple[float, CachedAnswer]] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, key: Hashable) -> CachedAnswer | None:
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            if self.clock() - found[0] >= self.seconds:
                self._forget(key)
                return None
            self._kept.move_to_end(key)
            return found[1]

    def keep(self, key: Hashable, answer: CachedAnswer) -> None:
        if len(answer.body) > LARGEST_ANSWER_BYTES or self.most_bytes == 0:
            return
        with self._lock:
            if key in self._kept:
                self._forget(key)
            self._kept[key] = (self.clock(), answer)
            self._bytes += len(answer.body)
            while self._bytes > self.most_bytes:
                self._forget(next(iter(self._kept)))

    def _forget(self, key: Hashable) -> None:
        _, answer = self._kept.pop(key)
        self._bytes -= len(answer.body)
