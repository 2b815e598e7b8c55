"""From a question to finished bytes: rights, tenant, cache, view. HTTP and gRPC both come here."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import date

import orjson

from kura.api_reads.access import require_any_access, scope_key
from kura.api_reads.cache import CachedAnswer, ViewCache, fingerprint
from kura.api_reads.endpoints import CSV, JSON, Endpoint, Freshness, Question
from kura.api_reads.fingerprints import Fingerprint, Fingerprints
from kura.api_reads.links import no_links
from kura.api_reads.reports.query_string import parse_query_string
from kura.api_reads.reports.reporting import Rules
from kura.core.identity import Identity
from kura.store.database import Database
from kura.store.tenancy import schema_name_of, tenant_exists

TENANT_SECONDS = 900.0


@dataclass(kw_only=True)
class Gateway:
    """Answers questions about tenants."""

    reader: Database
    primary: Database
    cache: ViewCache
    rules: Rules
    today: Callable[[], date]
    schema_suffix: str = ""
    _tenants: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _fingerprints: Fingerprints = field(init=False)

    def __post_init__(self) -> None:
        self._fingerprints = Fingerprints(read=self._read_fingerprint)

    def question(
        self, identity: Identity, *, path: str, raw_query: str, path_params: dict[str, str], wants_csv: bool = False
    ) -> Question:
        return Question(
            identity=identity,
            path=path,
            query=parse_query_string(raw_query),
            path_params=path_params,
            today=self.today(),
            rules=self.rules,
            wants_csv=wants_csv,
        )

    async def ask(self, endpoint: Endpoint, question: Question) -> CachedAnswer:
        """A kept answer at once, else a new one from a thread; or what the caller did wrong as a KuraError."""
        schema = self._admitted(endpoint, question.identity)
        if endpoint.freshness is Freshness.HOUR and self.cache.most_bytes and self._was_seen(schema):
            kept = self.cache.find(_key(schema, question, await self._fingerprints.of(schema)))
            if kept is not None:
                return kept
        return await asyncio.to_thread(self.answer, endpoint, question)

    def answer(self, endpoint: Endpoint, question: Question) -> CachedAnswer:
        """A finished answer, or what the caller did wrong as a KuraError. Blocking."""
        schema = self._admitted(endpoint, question.identity)
        database = self.primary if endpoint.primary else self.reader
        with database.tenant(schema, snapshot=True) as connection:
            if not endpoint.without_tenant and not self._has_tables(schema, lambda: tenant_exists(connection, schema)):
                return _as_answer({"meta": {"count": 0}, "links": no_links(question.path), "data": []})
            if endpoint.freshness is not Freshness.HOUR:
                return _as_answer(endpoint.view(connection, question), csv=question.wants_csv)
            key = _key(schema, question, fingerprint(connection))
            kept = self.cache.find(key)
            if kept is None:
                kept = _as_answer(endpoint.view(connection, question), csv=question.wants_csv)
                self.cache.keep(key, kept)
            return kept

    def _admitted(self, endpoint: Endpoint, identity: Identity) -> str:
        """The schema of a caller who may ask this endpoint; Forbidden."""
        if not endpoint.without_access:
            require_any_access(identity)
        endpoint.permit(identity)
        return schema_name_of(identity.org_id, suffix=self.schema_suffix)

    def _read_fingerprint(self, schema: str) -> Fingerprint:
        with self.reader.tenant(schema) as connection:
            return fingerprint(connection)

    def _was_seen(self, schema: str) -> bool:
        """Whether the tenant was found not long ago."""
        with self._lock:
            return time.monotonic() - self._tenants.get(schema, -TENANT_SECONDS) < TENANT_SECONDS

    def _has_tables(self, schema: str, look: Callable[[], bool]) -> bool:
        """Whether the tenant exists; believed for a while once it was seen."""
        if self._was_seen(schema):
            return True
        if not look():
            return False
        with self._lock:
            self._tenants[schema] = time.monotonic()
        return True


def _key(schema: str, question: Question, of_tenant: Fingerprint) -> Hashable:
    """Everything an answer depends on."""
    return (
        schema,
        scope_key(question.identity),
        question.path,
        question.query.raw,
        question.wants_csv,
        question.today,
        of_tenant,
    )


def _as_answer(content: object, *, csv: bool = False) -> CachedAnswer:
    if isinstance(content, bytes):
        return CachedAnswer(body=content, media_type=CSV if csv else JSON)
    return CachedAnswer(body=orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS), media_type=JSON)
