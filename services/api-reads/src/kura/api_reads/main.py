"""Start the read gateway on its own."""

from __future__ import annotations

import asyncio
import gc
import os

import typer

from kura.api_reads.app import build_app, build_gateway, endpoints
from kura.api_reads.config import Settings
from kura.api_reads.servicer import DEADLINES, read_services
from kura.core.identity_provider import identity_provider
from kura.core.service import Service, configure
from kura.rpc.security import Security
from kura.rpc.server import build_server
from kura.store.database import Database

COLLECTOR_THRESHOLDS = (50_000, 20, 100)
"""Large answers are many small objects and no cycles; with Python's defaults, looking for cycles doubles their time."""

cli = typer.Typer(add_completion=False, help="The read gateway: reports, tags, lists.")


@cli.command()
def serve() -> None:
    """Serve until SIGTERM. Settings come from the environment; see docs/configuration.md."""
    settings = Settings.from_env(os.environ)
    configure(settings, service="api-reads")
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    asyncio.run(run(settings))


async def run(settings: Settings) -> None:
    """Wire the gateway to its databases, run it, close them."""
    replica_url = settings.replica_url or settings.database_url
    with (
        _database(settings, replica_url.get_secret_value()) as reader,
        _database(settings, settings.database_url.get_secret_value()) as primary,
    ):
        gateway = build_gateway(reader=reader, primary=primary, reports=settings, schema_suffix=settings.schema_suffix)
        identity = identity_provider(settings)
        server = build_server(
            read_services(gateway=gateway, identity=identity, endpoints=endpoints()),
            security=Security.from_settings(settings),
            host=settings.grpc_host,
            port=settings.grpc_port,
            max_message_bytes=settings.grpc_max_message_bytes,
            deadlines=DEADLINES,
            development=settings.development,
        )
        service = Service(
            name="api-reads",
            app=build_app(gateway=gateway, identity=identity),
            grpc=server,
            grpc_address=server.address,
            http_host=settings.http_host,
            http_port=settings.http_port,
            shutdown_seconds=settings.shutdown_seconds,
        )
        await service.run()


def _database(settings: Settings, url: str) -> Database:
    return Database(
        url,
        pool_size=settings.database_pool_size,
        wait_seconds=settings.database_wait_seconds,
        statement_seconds=settings.report_seconds,
        application_name="kura-api-reads",
        read_only=True,
    )


if __name__ == "__main__":
    cli()
