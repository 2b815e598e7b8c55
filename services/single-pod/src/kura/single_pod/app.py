"""All of Kura in one process: what `kura up` runs.

Order of start (tasks-and-queues §15): database, object store and broker are connected; the API answers; workers,
scheduler and reconcilers run. Order of stop: the other way round, connections last.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kura.core.service import Running, configure
from kura.core.telemetry import get_logger
from kura.single_pod.config import Settings, UpOptions
from kura.single_pod.home import ENDPOINTS, Endpoints, locked, write_endpoints
from kura.single_pod.keepers import Keeper
from kura.single_pod.problems import CommandError

log = get_logger(__name__)

COLLECTOR_THRESHOLDS: Final = (50_000, 20, 100)
"""Statements, rows and answers are many small objects without cycles; looking for cycles holds all threads up."""


@dataclass(frozen=True, kw_only=True)
class DatabaseUrls:
    """The same database as seen by the owner of the tables, the services that write, and those that only read."""

    owner: str
    writer: str
    reader: str


def run_up(options: UpOptions, environ: Mapping[str, str]) -> None:
    """Run until SIGTERM or Ctrl-C."""
    signal.signal(signal.SIGTERM, exit_on_signal)
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    began = time.monotonic()
    with locked(options.data_dir):
        settings = settings_of(options, environ)
        check_addresses(options)
        configure(settings, service="single-pod")
        loading = threading.Thread(target=_load, name="load", daemon=True)
        loading.start()
        with database(options) as store:
            loading.join()
            from kura.single_pod.runtime import run

            def ready(running: Running) -> None:
                endpoints = Endpoints(
                    http=running.http or "",
                    grpc=running.grpc,
                    database_url=store.urls.owner,
                    object_store=settings.object_store or "",
                    broker_url=options.broker_url,
                    mode="single",
                    pid=os.getpid(),
                )
                write_endpoints(options.data_dir, endpoints)
                announce(endpoints, options.data_dir, seconds=time.monotonic() - began)

            asyncio.run(run(options, settings, environ=environ, store=store, on_ready=ready))


def settings_of(options: UpOptions, environ: Mapping[str, str]) -> Settings:
    """The environment, with what was given on the command line on top."""
    own_objects = (options.data_dir / "objects").as_uri()
    identity = environ.get("KURA_IDENTITY") or ("development" if options.http.is_loopback else "header")
    return Settings.from_env(
        environ,
        http_host=options.http.host,
        http_port=options.http.port,
        grpc_host=options.grpc.host,
        grpc_port=options.grpc.port,
        object_store=options.object_store or own_objects,
        identity_mode=identity,
        log_level=options.log_level,
        log_format=options.log_format,
    )


def check_addresses(options: UpOptions) -> None:
    """Say before anything is started that an address cannot be listened on."""
    for option, address in (("--http", options.http), ("--grpc", options.grpc)):
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address.host, address.port))
            except OSError as error:
                where = f"{address.host}:{address.port}"
                what = "is already in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
                hint = f"Name another address; `{option} 127.0.0.1:0` picks a free port."
                raise CommandError(f"{option} {where} {what}.", hint=hint) from error


@dataclass(frozen=True, kw_only=True)
class RunDatabase:
    """The database of a run; a private one has a keeper, which starts it again should it die."""

    urls: DatabaseUrls
    keeper: Keeper | None = None


@contextlib.contextmanager
def database(options: UpOptions) -> Iterator[RunDatabase]:
    """The database at its newest revision: the one that was named, or a private one in the data directory."""
    from kura.store.migrate import migrate

    url = options.database_url
    if url is not None:
        migrate(url)
        yield RunDatabase(urls=DatabaseUrls(owner=url, writer=url, reader=url))
        return

    from kura.store.embedded import EmbeddedPostgres

    def restart() -> None:
        postgres.stop()
        postgres.start()

    with EmbeddedPostgres(options.data_dir / "postgres") as postgres:
        migrate(postgres.owner_url)
        forget_the_dead(postgres.owner_url)
        yield RunDatabase(
            urls=DatabaseUrls(owner=postgres.owner_url, writer=postgres.writer_url, reader=postgres.reader_url),
            keeper=Keeper("postgresql", is_well=lambda: postgres.is_running, restart=restart),
        )


def forget_the_dead(owner_url: str) -> None:
    """Take up at once what a killed run was working on, instead of when its leases end.

    A private database has no users but the processes of this data directory, and they ended with the one that held it.
    """
    from kura.queue import states
    from kura.store import leases
    from kura.store.database import Database

    with Database(owner_url) as owner, owner.begin() as connection:
        states.expire_all(connection)
        leases.expire_all(connection)


def announce(endpoints: Endpoints, data_dir: Path, *, seconds: float) -> None:
    """Tell a person, and whoever reads the output, that Kura is ready and where."""
    lines = [
        f"Kura is ready after {seconds:.1f} s.",
        f"  http          {endpoints.http}",
        f"  grpc          {endpoints.grpc or 'none'}",
        f"  object store  {endpoints.object_store}",
        f"  queue         {'RabbitMQ' if endpoints.broker_url else 'the database'}",
        f"  addresses     {data_dir / ENDPOINTS}",
        "Try `kura demo`, or `kura source add NAME --cluster-id ID` and `kura upload FILE --wait`. Ctrl-C stops.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _load() -> None:
    """Import what takes long while the database starts. What goes wrong is told where it is imported again."""
    with contextlib.suppress(Exception):
        import kura.single_pod.runtime  # noqa: F401


def exit_on_signal(number: int, frame: Any) -> None:
    """A signal before the servers run: leave through the context managers, as one in the middle of work does."""
    raise SystemExit(128 + number)
