"""Start the scheduler on its own."""

from __future__ import annotations

import asyncio
import os
import socket

import typer

from kura.core.service import Service, configure
from kura.rpc.security import Security
from kura.rpc.server import build_server
from kura.scheduler.app import build_http, build_scheduler
from kura.scheduler.config import Settings
from kura.store.database import Database

cli = typer.Typer(add_completion=False, help="The scheduler: periodic work, task administration, reconcilers.")


@cli.command()
def serve() -> None:
    """Serve until SIGTERM. Settings come from the environment; see docs/configuration.md."""
    settings = Settings.from_env(os.environ)
    configure(settings, service="scheduler")
    asyncio.run(run(settings))


async def run(settings: Settings) -> None:
    """Wire the scheduler to its database and broker, run it, close them."""
    security = Security.from_settings(settings)
    with Database(
        settings.database_url.get_secret_value(),
        pool_size=settings.database_pool_size,
        wait_seconds=settings.database_wait_seconds,
        application_name="kura-scheduler",
    ) as db:
        scheduler = build_scheduler(
            db=db,
            owner=f"{socket.gethostname()}-{os.getpid()}",
            security=security,
            schedule=settings,
            reconcilers=settings,
            broker_url=settings.broker_url.get_secret_value() if settings.broker_url else None,
            queue_type=settings.broker_queue_type,
        )
        server = build_server(
            scheduler.rpc,
            security=security,
            host=settings.grpc_host,
            port=settings.grpc_port,
            max_message_bytes=settings.grpc_max_message_bytes,
            development=settings.development,
        )
        service = Service(
            name="scheduler",
            app=build_http(scheduler, db=db),
            http_host=settings.http_host,
            http_port=settings.http_port,
            grpc=server,
            grpc_address=server.address,
            background=scheduler.background,
            shutdown_seconds=settings.shutdown_seconds,
        )
        await service.run()


if __name__ == "__main__":
    cli()
