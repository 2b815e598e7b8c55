"""The parts of the single process, wired by direct calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from kura.api_reads.app import build_app as build_reads
from kura.api_reads.app import build_gateway
from kura.api_reads.config import Settings as ReadsSettings
from kura.api_writes.app import build_app as build_writes
from kura.api_writes.config import Settings as WritesSettings
from kura.core.errors import KuraError
from kura.core.identity_provider import identity_provider
from kura.core.service import Running, Service
from kura.single_pod.app import RunDatabase
from kura.single_pod.config import Settings, UpOptions
from kura.single_pod.gateways import build_front
from kura.store.database import Database
from kura.store.objects import ObjectStore


async def run(
    options: UpOptions,
    settings: Settings,
    *,
    environ: Mapping[str, str],
    store: RunDatabase,
    on_ready: Callable[[Running], None],
) -> None:
    """Build everything, run it, close it."""
    urls = store.urls
    given = {
        "object_store": settings.object_store,
        "identity_mode": settings.identity_mode,
        "database_url": urls.writer,
    }
    reads_settings = ReadsSettings.from_env(environ, **given | {"database_url": urls.reader})
    writes_settings = WritesSettings.from_env(environ, **given)
    identity = identity_provider(settings)

    with ExitStack() as stack:
        objects = stack.enter_context(ObjectStore.from_settings(writes_settings))
        reader = stack.enter_context(
            Database(
                urls.reader,
                pool_size=settings.single_pod_connections,
                statement_seconds=reads_settings.report_seconds,
                application_name="kura-reads",
                read_only=True,
            )
        )
        writer = stack.enter_context(
            Database(urls.writer, pool_size=settings.single_pod_connections, application_name="kura-writes")
        )
        gateway = build_gateway(reader=reader, reports=reads_settings, schema_suffix=reads_settings.schema_suffix)
        front = build_front(
            reads=build_reads(gateway=gateway, identity=identity),
            writes=build_writes(
                database=writer, objects=objects, identity=identity, uploads=writes_settings, sources=writes_settings
            ),
            ready=lambda: ready(writer, objects),
        )
        service = Service(
            name="single-pod",
            app=front,
            http_host=settings.http_host,
            http_port=settings.http_port,
            background=[store.keeper] if store.keeper is not None else [],
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
