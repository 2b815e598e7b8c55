"""Start the write gateway on its own."""

from __future__ import annotations

import asyncio
import os

import typer

from kura.api_writes.app import build_app, build_cost_edits
from kura.api_writes.config import Settings
from kura.api_writes.preview import PREVIEW_SECONDS
from kura.api_writes.servicer import DEADLINES, cost_write_service
from kura.core.identity_provider import identity_provider
from kura.core.service import Service, configure
from kura.rpc.aggregator.v1.aggregator_pb2_grpc import AggregatorServiceStub
from kura.rpc.client import open_channel
from kura.rpc.security import Security
from kura.rpc.server import build_server
from kura.store.database import Database
from kura.store.objects import ObjectStore

cli = typer.Typer(add_completion=False, help="The write gateway: uploads, sources, cost models, settings.")


@cli.command()
def serve() -> None:
    """Serve until SIGTERM. Settings come from the environment; see docs/configuration.md."""
    settings = Settings.from_env(os.environ)
    configure(settings, service="api-writes")
    asyncio.run(run(settings))


async def run(settings: Settings) -> None:
    """Wire the gateway to its database and object store, run it, close both."""
    objects = ObjectStore.from_settings(settings)
    channel = (
        open_channel(
            settings.aggregator_address,
            security=Security.of_aggregator(settings),
            deadlines={"kura.aggregator.v1.AggregatorService/PreviewCosts": PREVIEW_SECONDS},
        )
        if settings.aggregator_address
        else None
    )
    with Database(
        settings.database_url.get_secret_value(),
        pool_size=settings.database_pool_size,
        wait_seconds=settings.database_wait_seconds,
        application_name="kura-api-writes",
    ) as database:
        identity = identity_provider(settings)
        cost_edits = build_cost_edits(
            database=database,
            sources=settings,
            cost_models=settings,
            aggregator=AggregatorServiceStub(channel) if channel is not None else None,
        )
        app = build_app(
            database=database,
            objects=objects,
            identity=identity,
            uploads=settings,
            sources=settings,
            limits=settings,
            cost_edits=cost_edits,
        )
        server = build_server(
            [cost_write_service(edits=cost_edits, identity=identity)],
            security=Security.from_settings(settings),
            host=settings.grpc_host,
            port=settings.grpc_port,
            max_message_bytes=settings.grpc_max_message_bytes,
            deadlines=DEADLINES,
            development=settings.development,
        )
        service = Service(
            name="api-writes",
            app=app,
            grpc=server,
            grpc_address=server.address,
            http_host=settings.http_host,
            http_port=settings.http_port,
            shutdown_seconds=settings.shutdown_seconds,
        )
        try:
            await service.run()
        finally:
            if channel is not None:
                await channel.close()


if __name__ == "__main__":
    cli()
