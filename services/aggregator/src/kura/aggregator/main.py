"""Start the aggregator on its own."""

from __future__ import annotations

import asyncio
import os

import pyarrow as pa
import typer

from kura.aggregator.app import build_aggregator, build_probes
from kura.aggregator.config import Settings
from kura.core.service import Service, configure
from kura.rpc.aggregator.v1 import aggregator_pb2
from kura.rpc.aggregator.v1.aggregator_pb2_grpc import add_AggregatorServiceServicer_to_server
from kura.rpc.security import Security
from kura.rpc.server import RpcService, build_server
from kura.store.database import Database
from kura.store.objects import ObjectStore

RUN_SECONDS = 3600.0
"""Longest time one call of StartRun may take; the run itself goes on."""

PREVIEW_SECONDS = 120.0

cli = typer.Typer(add_completion=False, help="The aggregator: Parquet to summary rows to PostgreSQL.")


@cli.command()
def serve() -> None:
    """Serve until SIGTERM. Settings come from the environment; see docs/configuration.md."""
    settings = Settings.from_env(os.environ)
    configure(settings, service="aggregator")
    pa.set_cpu_count(settings.engine_limits().threads)
    asyncio.run(run(settings))


async def run(settings: Settings) -> None:
    """Wire the aggregator to its stores, run it, close them."""
    with (
        Database(
            settings.database_url.get_secret_value(),
            pool_size=settings.database_pool_size,
            wait_seconds=settings.database_wait_seconds,
            application_name="kura-aggregator",
        ) as database,
        ObjectStore.from_settings(settings) as objects,
    ):
        aggregator = build_aggregator(database=database, objects=objects, settings=settings)
        server = build_server(
            [
                RpcService(
                    descriptor=aggregator_pb2.DESCRIPTOR.services_by_name["AggregatorService"],
                    add=add_AggregatorServiceServicer_to_server,
                    servicer=aggregator.servicer,
                )
            ],
            security=Security.from_settings(settings),
            host=settings.grpc_host,
            port=settings.grpc_port,
            max_message_bytes=settings.grpc_max_message_bytes,
            deadlines={"StartRun": RUN_SECONDS, "PreviewCosts": PREVIEW_SECONDS},
            development=settings.development,
        )
        service = Service(
            name="aggregator",
            app=build_probes(aggregator),
            http_host=settings.http_host,
            http_port=settings.http_port,
            grpc=server,
            grpc_address=server.address,
            shutdown_seconds=settings.shutdown_seconds,
        )
        try:
            await service.run()
        finally:
            await aggregator.close()


if __name__ == "__main__":
    cli()
