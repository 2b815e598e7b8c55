"""The parts of the single process, wired by direct calls."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pyarrow as pa

from kura.aggregator.app import build_aggregator
from kura.aggregator.config import Settings as AggregatorSettings
from kura.api_reads.app import build_app as build_reads
from kura.api_reads.app import build_gateway
from kura.api_reads.app import endpoints as report_endpoints
from kura.api_reads.config import Settings as ReadsSettings
from kura.api_reads.servicer import DEADLINES as READ_DEADLINES
from kura.api_reads.servicer import read_services
from kura.api_writes.app import build_app as build_writes
from kura.api_writes.app import build_cost_edits
from kura.api_writes.config import Settings as WritesSettings
from kura.api_writes.servicer import DEADLINES as WRITE_DEADLINES
from kura.api_writes.servicer import cost_write_service
from kura.core.errors import KuraError
from kura.core.identity_provider import identity_provider
from kura.core.service import Background, Running, Service
from kura.queue.queues import QUEUES
from kura.queue.transport import Books
from kura.queue.worker import Worker
from kura.rpc.aggregator.v1 import aggregator_pb2
from kura.rpc.aggregator.v1.aggregator_pb2_grpc import add_AggregatorServiceServicer_to_server
from kura.rpc.security import Security
from kura.rpc.server import RpcService, build_server
from kura.scheduler.app import build_scheduler
from kura.scheduler.config import Settings as SchedulerSettings
from kura.single_pod.app import RunDatabase
from kura.single_pod.config import Settings, UpOptions
from kura.single_pod.gateways import build_front
from kura.single_pod.local_callers import LocalCallers
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.workers.app import build_worker, open_tools
from kura.workers.config import Settings as WorkerSettings
from kura.workers.handlers.tools import Tools

URGENT = ("priority", "priority_xl", "priority_penalty")
"""Queue classes that have a slot of their own, so that a user's wish never waits behind long work."""
RUN_SECONDS = 3600.0
"""Longest time a caller from outside may follow one aggregator run; the run itself goes on."""


async def run(
    options: UpOptions,
    settings: Settings,
    *,
    environ: Mapping[str, str],
    store: RunDatabase,
    on_ready: Callable[[Running], None],
) -> None:
    """Build everything, run it, close it."""
    work = options.data_dir / "work"
    given: dict[str, Any] = {
        "object_store": settings.object_store,
        "identity_mode": settings.identity_mode,
        "database_url": store.urls.writer,
        "broker_url": options.broker_url,
        "spill_directory": work / "spill",
        "work_directory": work / "ingest",
    }
    reads_settings = ReadsSettings.from_env(environ, **given | {"database_url": store.urls.reader})
    writes_settings = WritesSettings.from_env(environ, **given)
    aggregator_settings = AggregatorSettings.from_env(environ, **given)
    scheduler_settings = SchedulerSettings.from_env(environ, **given)
    worker_settings = WorkerSettings.from_env(environ, **given)
    security = Security.from_settings(scheduler_settings)
    identity = identity_provider(settings)
    owner = f"{socket.gethostname()}-{os.getpid()}"
    pa.set_cpu_count(aggregator_settings.engine_limits().threads)

    def connected(url: str, part: str, **more: Any) -> Database:
        return Database(url, pool_size=settings.single_pod_connections, application_name=f"kura-{part}", **more)

    async with AsyncExitStack() as stack:
        objects = stack.enter_context(ObjectStore.from_settings(writes_settings))
        reader = stack.enter_context(
            connected(store.urls.reader, "reads", statement_seconds=reads_settings.report_seconds, read_only=True)
        )
        writer = stack.enter_context(connected(store.urls.writer, "writes"))
        books = stack.enter_context(connected(store.urls.writer, "tasks"))
        handlers = stack.enter_context(connected(store.urls.writer, "worker"))
        engine = stack.enter_context(connected(store.urls.writer, "aggregator"))

        scheduler = build_scheduler(
            db=books,
            owner=owner,
            security=security,
            schedule=scheduler_settings,
            reconcilers=scheduler_settings,
            broker_url=options.broker_url,
            queue_type=scheduler_settings.broker_queue_type,
        )
        aggregator = build_aggregator(database=engine, objects=objects, settings=aggregator_settings)
        stack.push_async_callback(aggregator.close)
        gateway = build_gateway(reader=reader, reports=reads_settings, schema_suffix=reads_settings.schema_suffix)
        cost_edits = build_cost_edits(
            database=writer, sources=writes_settings, cost_models=writes_settings, aggregator=aggregator.servicer
        )
        front = build_front(
            reads=build_reads(gateway=gateway, identity=identity),
            writes=build_writes(
                database=writer,
                objects=objects,
                identity=identity,
                uploads=writes_settings,
                sources=writes_settings,
                limits=writes_settings,
                cost_edits=cost_edits,
            ),
            more_routes=scheduler.routes if options.http.is_loopback else (),
            ready=lambda: ready(writer, objects),
        )
        if settings.identity_mode == "development":
            front = LocalCallers(front)
        grpc = build_server(
            [
                *read_services(gateway=gateway, identity=identity, endpoints=report_endpoints()),
                cost_write_service(edits=cost_edits, identity=identity),
                RpcService(
                    descriptor=aggregator_pb2.DESCRIPTOR.services_by_name["AggregatorService"],
                    add=add_AggregatorServiceServicer_to_server,
                    servicer=aggregator.servicer,
                ),
                *scheduler.rpc,
            ],
            security=security,
            host=settings.grpc_host,
            port=settings.grpc_port,
            max_message_bytes=settings.grpc_max_message_bytes,
            deadlines={"StartRun": RUN_SECONDS, **READ_DEADLINES, **WRITE_DEADLINES},
            development=settings.development,
        )
        tools = stack.enter_context(
            open_tools(objects=objects, aggregator=aggregator.servicer, settings=worker_settings)
        )

        def worker(name: str, queues: tuple[str, ...], slots: int) -> Worker[Tools]:
            return build_worker(
                books=Books(books, owner=f"{owner}-{name}", lease_seconds=worker_settings.worker_lease_seconds),
                db=handlers,
                tools=tools,
                queues=queues,
                slots=slots,
                broker_url=options.broker_url,
            )

        workers = [worker("all", QUEUES, settings.single_pod_tasks), worker("urgent", URGENT, 1)]
        keepers: list[Background] = [store.keeper] if store.keeper is not None else []
        service = Service(
            name="single-pod",
            app=front,
            http_host=settings.http_host,
            http_port=settings.http_port,
            grpc=grpc,
            grpc_address=grpc.address,
            background=[*keepers, *workers, *scheduler.background],
            shutdown_seconds=settings.shutdown_seconds,
            on_ready=on_ready,
        )
        await service.run()


async def ready(database: Database, objects: ObjectStore) -> Mapping[str, str | None]:
    checks = {"database": database.ping, "object_store": objects.ping}
    outcomes = await asyncio.gather(*(asyncio.to_thread(_trouble, check) for check in checks.values()))
    return dict(zip(checks, outcomes, strict=True))


def _trouble(check: Callable[[], object]) -> str | None:
    try:
        check()
    except (KuraError, OSError) as error:
        return str(error) or type(error).__name__
    return None
