"""Start a worker on its own."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from typing import Annotated

import typer

from kura.core.errors import ConfigError, KuraError
from kura.core.http import build_app
from kura.core.service import Service, configure
from kura.core.telemetry import get_logger
from kura.queue.queues import QUEUES, queue_checked
from kura.queue.transport import Books
from kura.queue.worker import Worker
from kura.rpc.aggregator.v1.aggregator_pb2_grpc import AggregatorServiceStub
from kura.rpc.client import open_channel
from kura.rpc.security import Security
from kura.store.database import Database
from kura.store.migrate import is_migrated
from kura.store.objects import ObjectStore
from kura.workers.app import build_worker, open_tools
from kura.workers.config import Settings
from kura.workers.handlers.tools import Tools

RUN_SECONDS = 4 * 3600.0
"""Longest time one call of StartRun may take."""
MIGRATION_POLL_SECONDS = 5.0

log = get_logger(__name__)
cli = typer.Typer(add_completion=False, help="Background work: one program, thirteen queue classes.")


@cli.command()
def serve(
    queue_class: Annotated[
        list[str] | None, typer.Option(help=f"Queue to serve, may be repeated: {', '.join(QUEUES)}.")
    ] = None,
) -> None:
    """Work until SIGTERM. Settings come from the environment; see docs/configuration.md."""
    settings = Settings.from_env(os.environ, queue_classes=",".join(queue_class) if queue_class else None)
    configure(settings, service="worker")
    asyncio.run(run(settings))


async def run(settings: Settings) -> None:
    """Wire the worker to its stores, the broker and the aggregator, run it, close them."""
    queues = queues_of(settings.queue_classes)
    broker_url = settings.broker_url.get_secret_value() if settings.broker_url else None
    channel = open_channel(
        settings.aggregator_address,
        security=Security.from_settings(settings),
        deadlines={"kura.aggregator.v1.AggregatorService/StartRun": RUN_SECONDS},
    )
    with (
        _database(settings, "worker") as db,
        _database(settings, "worker-tasks") as books_db,
        ObjectStore.from_settings(settings) as objects,
        open_tools(objects=objects, aggregator=AggregatorServiceStub(channel), settings=settings) as tools,
    ):
        books = Books(books_db, owner=_owner(settings), lease_seconds=settings.worker_lease_seconds)
        worker = build_worker(
            books=books,
            db=db,
            tools=tools,
            queues=queues,
            slots=settings.worker_slots,
            max_tasks=settings.worker_max_tasks,
            broker_url=broker_url,
        )
        waiting = AfterMigrations(worker, db)

        async def ready() -> Mapping[str, str | None]:
            return {
                "database": await _complaint(db),
                "migrations": None if waiting.migrated else "the database is not at its newest revision yet",
            }

        service = Service(
            name="worker",
            app=build_app(service="worker", routes=[], ready=ready),
            http_host=settings.http_host,
            http_port=settings.http_port,
            background=[waiting],
            shutdown_seconds=settings.shutdown_seconds,
        )
        try:
            await service.run()
        finally:
            await channel.close()


class AfterMigrations:
    """A worker that takes no task before the database is at the revision it was written for."""

    def __init__(self, worker: Worker[Tools], db: Database) -> None:
        self.migrated = False
        self._worker = worker
        self._db = db
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.migrated = await asyncio.to_thread(is_migrated, self._db)
            except KuraError as error:
                log.warning("migrations_not_known", code=error.code, error=str(error))
            if self.migrated:
                await self._worker.run()
                return
            try:
                await asyncio.wait_for(self._stopping.wait(), MIGRATION_POLL_SECONDS)
            except TimeoutError:
                continue

    async def stop(self) -> None:
        self._stopping.set()
        if self.migrated:
            await self._worker.stop()


def queues_of(names: str) -> tuple[str, ...]:
    """Queue classes of a comma separated list; ConfigError for one that does not exist."""
    try:
        queues = tuple(dict.fromkeys(queue_checked(name.strip()) for name in names.split(",") if name.strip()))
    except KuraError as error:
        raise ConfigError(f"KURA_QUEUE_CLASS: {error}") from error
    if not queues:
        raise ConfigError("KURA_QUEUE_CLASS: name at least one queue")
    return queues


def _database(settings: Settings, name: str) -> Database:
    return Database(
        settings.database_url.get_secret_value(),
        pool_size=settings.database_pool_size,
        wait_seconds=settings.database_wait_seconds,
        application_name=f"kura-{name}",
    )


def _owner(settings: Settings) -> str:
    return f"{settings.worker_name or socket.gethostname()}-{os.getpid()}"


async def _complaint(db: Database) -> str | None:
    try:
        await asyncio.to_thread(db.ping)
    except KuraError as error:
        return str(error)
    return None


if __name__ == "__main__":
    cli()
