"""The workers as a part: handlers, their tools, and the loop, made from explicit dependencies, alone or in one process.

with open_tools(objects=…, aggregator=…, settings=…) as tools:
    worker = build_worker(books=…, db=…, tools=tools, queues=QUEUES, slots=4, broker_url=None)
    await worker.run()
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import orjson

from kura.core.errors import ConfigError
from kura.queue.context import Handlers
from kura.queue.embedded import EmbeddedTransport
from kura.queue.rabbitmq import RabbitTransport
from kura.queue.transport import Books, Transport
from kura.queue.worker import Worker
from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.workers.config import IngestSettings
from kura.workers.handlers import housekeeping, sources
from kura.workers.handlers.costs import apply_cost_model
from kura.workers.handlers.currencies import fetch_currency_rates
from kura.workers.handlers.ingest import ingest_payload
from kura.workers.handlers.summarise import mark_manifests_complete, summarise_all, summarise_range, validate_range
from kura.workers.handlers.tools import Aggregator, Tools
from kura.workers.ocp.convert import Converter
from kura.workers.workspace import private_directory

HANDLERS: Final[Handlers] = {
    tasks_pb2.IngestPayload: ingest_payload,
    tasks_pb2.SummariseRange: summarise_range,
    tasks_pb2.SummariseAll: summarise_all,
    tasks_pb2.ApplyCostModel: apply_cost_model,
    tasks_pb2.MarkManifestsComplete: mark_manifests_complete,
    tasks_pb2.ValidateRange: validate_range,
    tasks_pb2.DeleteSourceData: sources.delete_source_data,
    tasks_pb2.DeletePendingSources: sources.delete_pending_sources,
    tasks_pb2.PurgeSourceRange: sources.purge_source_range,
    tasks_pb2.RemoveExpiredData: housekeeping.remove_expired_data,
    tasks_pb2.RemoveStaleObjects: housekeeping.remove_stale_objects,
    tasks_pb2.RemoveStaleTasks: housekeeping.remove_stale_tasks,
    tasks_pb2.RemoveStaleTenants: housekeeping.remove_stale_tenants,
    tasks_pb2.EnsurePartitions: housekeeping.ensure_all_partitions,
    tasks_pb2.TuneAutovacuum: housekeeping.tune_autovacuum,
    tasks_pb2.FetchCurrencyRates: fetch_currency_rates,
}
"""What carries out which task."""

FILES_AT_ONCE: Final = 3
OBJECTS_AT_ONCE: Final = 8


@contextmanager
def open_tools(*, objects: ObjectStore, aggregator: Aggregator, settings: IngestSettings) -> Iterator[Tools]:
    """What the handlers of one process share. One process has one of it, however many tasks run at a time."""
    with (
        private_directory(settings.work_directory) as directory,
        Converter(
            directory, threads=settings.threads, engine_memory_bytes=settings.convert_memory_mib * 2**20
        ) as converter,
        ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="file") as file_threads,
        ThreadPoolExecutor(OBJECTS_AT_ONCE, thread_name_prefix="object") as object_threads,
    ):
        yield Tools(
            objects=objects,
            aggregator=aggregator,
            converter=converter,
            settings=settings,
            work_directory=directory,
            file_threads=file_threads,
            object_threads=object_threads,
            operator_releases=_read_releases(settings.operator_releases),
        )


def build_worker(
    *,
    books: Books,
    db: Database,
    tools: Tools,
    queues: tuple[str, ...],
    slots: int = 1,
    max_tasks: int = 0,
    broker_url: str | None = None,
) -> Worker[Tools]:
    """The loop over some queues. `books` should have a pool of connections of their own, apart from `db`."""
    transport: Transport = RabbitTransport(broker_url, books) if broker_url else EmbeddedTransport(books)
    return Worker(
        books=books,
        transport=transport,
        handlers=HANDLERS,
        tools=tools,
        db=db,
        queues=queues,
        slots=slots,
        max_tasks=max_tasks,
    )


def _read_releases(path: Path | None) -> Mapping[str, str]:
    if path is None:
        return {}
    try:
        releases = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ConfigError(f"KURA_OPERATOR_RELEASES: {path} cannot be read: {error}") from error
    if not isinstance(releases, dict) or not all(isinstance(name, str) for name in releases.values()):
        raise ConfigError(f"KURA_OPERATOR_RELEASES: {path} does not map commits to names")
    return releases
