"""`kura up --split`: every service in its own process, as in production, on servers of its own where none is named.

The command itself is the front door and the keeper: it starts the servers and services, restarts what dies, and stops
all of it in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kura.core.service import Background, Running, Service, configure
from kura.core.telemetry import get_logger
from kura.single_pod import private_s3
from kura.single_pod.app import RunDatabase, announce, check_addresses, database, exit_on_signal, settings_of
from kura.single_pod.children import Child, Program, until_ready
from kura.single_pod.config import Settings, UpOptions
from kura.single_pod.front_door import Gateways, build_front_door
from kura.single_pod.home import Endpoints, locked, write_endpoints
from kura.single_pod.keepers import Keeper
from kura.single_pod.local_callers import LocalCallers
from kura.single_pod.problems import CommandError
from kura.single_pod.tables import say

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from kura.testing.rabbitmq import RabbitMQ

log = get_logger(__name__)

READY_SECONDS = 120.0
WORKER_GROUPS = (
    ("default",),
    ("priority", "priority_xl", "priority_penalty"),
    (
        *("summary", "summary_xl", "summary_penalty"),
        *("refresh", "refresh_xl", "refresh_penalty"),
        *("hcs", "subs_extraction", "subs_transmission"),
    ),
)
"""Queue classes of the worker processes, unless asked otherwise. Few processes, so that a small machine bears them."""


@dataclass(frozen=True, kw_only=True)
class Broker:
    """RabbitMQ as the relay and the workers reach it; `node` is the private one."""

    relay_url: str
    worker_url: str
    node: RabbitMQ | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The processes of one run, in the order in which they start."""

    stages: Sequence[Sequence[Program]]
    gateways: Gateways
    endpoints: Endpoints
    probes: Mapping[str, str]


def run_split(options: UpOptions, environ: Mapping[str, str]) -> None:
    """Run until SIGTERM or Ctrl-C."""
    signal.signal(signal.SIGTERM, exit_on_signal)
    began = time.monotonic()
    with locked(options.data_dir):
        settings = settings_of(options, environ)
        check_addresses(options)
        configure(settings, service="split")
        if settings.identity_mode == "development" and not options.http.is_loopback:
            raise CommandError(
                "The development identity serves loopback only: set KURA_IDENTITY or listen on 127.0.0.1."
            )
        with database(options) as store, broker(options) as queue:
            plan = planned(options, settings, environ, store=store, queue=queue)
            asyncio.run(_run(options, settings, plan, store=store, queue=queue, began=began))


async def _run(
    options: UpOptions, settings: Settings, plan: Plan, *, store: RunDatabase, queue: Broker, began: float
) -> None:
    log_dir = options.data_dir / "log"
    log_dir.mkdir(exist_ok=True)
    stages = [[Child(program, log_dir=log_dir) for program in stage] for stage in plan.stages]
    household = Household(stages=stages, options=options, endpoints=plan.endpoints, began=began)
    background: list[Background] = [household]
    if store.keeper is not None:
        background.append(store.keeper)
    if queue.node is not None:
        background.append(broker_keeper(queue.node))

    def listening(running: Running) -> None:
        household.http = running.http or ""

    door: ASGIApp = build_front_door(plan.gateways, probes=plan.probes)
    if settings.identity_mode == "development":
        door = LocalCallers(door)
    service = Service(
        name="split",
        app=door,
        http_host=settings.http_host,
        http_port=settings.http_port,
        background=background,
        shutdown_seconds=max(program.stop_seconds for stage in plan.stages for program in stage) * len(stages),
        on_ready=listening,
    )
    try:
        await service.run()
    finally:
        await household.stop()


@dataclass(kw_only=True)
class Household:
    """All child processes: started stage by stage, stopped stage by stage the other way round."""

    stages: Sequence[Sequence[Child]]
    options: UpOptions
    endpoints: Endpoints
    began: float
    http: str = ""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        running: list[asyncio.Task[None]] = []

        def told(text: str) -> None:
            log.debug("starting", on=text)

        try:
            for stage in self.stages:
                running += [asyncio.create_task(child.run(), name=child.program.name) for child in stage]
                await until_ready(
                    stage,
                    probe=is_ready,
                    patience_seconds=READY_SECONDS,
                    tell=lambda text: log.debug("starting", on=text),
                )
            ready = replace(self.endpoints, http=self.http)
            write_endpoints(self.options.data_dir, ready)
            announce(ready, self.options.data_dir, seconds=time.monotonic() - self.began)
            await self._stopping.wait()
        finally:
            await self.stop()
            await asyncio.gather(*running, return_exceptions=True)

    async def stop(self) -> None:
        self._stopping.set()
        for stage in reversed(self.stages):
            await asyncio.gather(*(child.stop() for child in stage))


async def is_ready(child: Child) -> bool:
    """Whether the child answers its readiness probe; a TCP connection is enough for servers that have none."""
    path = child.program.ready_path
    try:
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", child.program.http_port)
            with contextlib.closing(writer):
                if path is None:
                    return True
                writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
                return b" 200 " in await reader.readline()
    except (OSError, TimeoutError):
        return False


@contextlib.contextmanager
def broker(options: UpOptions) -> Iterator[Broker]:
    """The broker that was named, or a private RabbitMQ in the data directory."""
    if options.broker_url is not None:
        yield Broker(relay_url=options.broker_url, worker_url=options.broker_url)
        return
    from kura.testing.rabbitmq import RabbitMQ

    if not RabbitMQ.is_installed():
        raise CommandError(
            "RabbitMQ is not installed.", hint="apt-get install rabbitmq-server, or name a broker with --broker-url."
        )
    directory = options.data_dir / "rabbitmq"
    end_leftovers(directory)
    node = RabbitMQ(directory)
    if sys.stderr.isatty():
        say("Starting RabbitMQ …")
    node.start()
    try:
        yield Broker(relay_url=node.relay_url, worker_url=node.worker_url, node=node)
    finally:
        node.stop()


def end_leftovers(directory: Path) -> None:
    """End the private node that a killed keeper has left running: two nodes on one directory would destroy it.

    Its processes are known by their home directory, which is the node's own.
    """
    import psutil  # type: ignore[import-untyped]

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("HOME") == str(directory):
                process.kill()
                found.append(process)
    if found:
        psutil.wait_procs(found, timeout=10)
        log.warning("leftover_broker_ended", processes=len(found))


def broker_keeper(node: RabbitMQ) -> Keeper:
    def is_well() -> bool:
        try:
            socket.create_connection(("127.0.0.1", node.port), timeout=2.0).close()
        except OSError:
            return False
        return True

    def restart() -> None:
        node.kill()
        node.start()

    return Keeper("rabbitmq", is_well=is_well, restart=restart)


def planned(
    options: UpOptions, settings: Settings, environ: Mapping[str, str], *, store: RunDatabase, queue: Broker
) -> Plan:
    """Which processes there are, with what settings."""
    ports = Ports()
    urls = store.urls
    inner_token = environ.get("KURA_GRPC_TOKEN") or secrets.token_urlsafe(24)
    aggregator_grpc, scheduler_grpc = ports.take(), ports.take()
    common = {
        **environ,
        "KURA_HTTP_HOST": "127.0.0.1",
        "KURA_GRPC_HOST": "127.0.0.1",
        "KURA_IDENTITY": settings.identity_mode,
        "KURA_LOG_LEVEL": options.log_level,
        "KURA_LOG_FORMAT": "json",
        "KURA_AGGREGATOR_ADDRESS": f"127.0.0.1:{aggregator_grpc}",
        "PYTHONUNBUFFERED": "1",
    }
    common.pop("KURA_GRPC_TOKEN", None)
    common.pop("DATABASE_REPLICA_URL", None)

    storage: list[Program] = []
    if options.object_store is not None:
        common["OBJECT_STORE"] = options.object_store
    else:
        s3_port = ports.take()
        common |= {
            "OBJECT_STORE": f"s3://{private_s3.BUCKET}",
            "S3_ENDPOINT": f"http://127.0.0.1:{s3_port}",
            "S3_REGION": private_s3.REGION,
            "S3_ACCESS_KEY": private_s3.ACCESS_KEY,
            "S3_SECRET_KEY": private_s3.SECRET_KEY,
        }
        storage.append(
            program(
                "private-s3",
                ["private-s3", "--port", str(s3_port), "--directory", str(options.data_dir / "s3")],
                environ=dict(environ),
                http_port=s3_port,
                ready_path=f"/{private_s3.BUCKET}?list-type=2",
            )
        )

    def service(name: str, arguments: Sequence[str] = (), *, command: str | None = None, **more: str) -> Program:
        port = ports.take()
        return program(
            name, [command or name, *arguments], environ=common | more | {"KURA_HTTP_PORT": str(port)}, http_port=port
        )

    aggregator = service(
        "aggregator", DATABASE_URL=urls.writer, KURA_GRPC_PORT=str(aggregator_grpc), KURA_GRPC_TOKEN=inner_token
    )
    scheduler = service(
        "scheduler",
        DATABASE_URL=urls.writer,
        BROKER_URL=queue.relay_url,
        KURA_GRPC_PORT=str(scheduler_grpc),
        KURA_GRPC_TOKEN=inner_token,
    )
    workers = [
        service(
            f"worker-{number}",
            [argument for queue_class in group for argument in ("--queue-class", queue_class)],
            command="worker",
            DATABASE_URL=urls.writer,
            BROKER_URL=queue.worker_url,
            KURA_GRPC_TOKEN=inner_token,
        )
        for number, group in enumerate(options.worker_groups or WORKER_GROUPS, start=1)
    ]
    reads = service(
        "api-reads",
        DATABASE_URL=urls.reader,
        KURA_GRPC_HOST=settings.grpc_host,
        KURA_GRPC_PORT=str(settings.grpc_port or ports.take()),
    )
    writes_grpc = ports.take()
    writes = service(
        "api-writes", DATABASE_URL=urls.writer, KURA_AGGREGATOR_TOKEN=inner_token, KURA_GRPC_PORT=str(writes_grpc)
    )
    programs = [aggregator, scheduler, *workers, reads, writes]
    endpoints = Endpoints(
        http="",
        grpc=f"{settings.grpc_host}:{reads.environ['KURA_GRPC_PORT']}",
        database_url=urls.owner,
        object_store=common["OBJECT_STORE"],
        broker_url=queue.relay_url,
        mode="split",
        pid=os.getpid(),
        s3_endpoint=common.get("S3_ENDPOINT"),
        services={each.name: each.http for each in programs}
        | {
            "aggregator-grpc": f"127.0.0.1:{aggregator_grpc}",
            "scheduler-grpc": f"127.0.0.1:{scheduler_grpc}",
            "api-writes-grpc": f"127.0.0.1:{writes_grpc}",
        },
    )
    return Plan(
        stages=[stage for stage in (storage, [aggregator], [scheduler, *workers], [reads, writes]) if stage],
        gateways=Gateways(reads=reads.http, writes=writes.http),
        endpoints=endpoints,
        probes={each.name: f"{each.http}/readyz" for each in programs},
    )


def program(
    name: str,
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str],
    http_port: int,
    ready_path: str | None = "/readyz",
) -> Program:
    command = [sys.executable, "-P", "-m", "kura.single_pod", *arguments]
    return Program(name=name, command=command, environ=environ, http_port=http_port, ready_path=ready_path)


class Ports:
    """Free ports of loopback, none given twice."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def take(self) -> int:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = int(probe.getsockname()[1])
            if port not in self._taken:
                self._taken.add(port)
                return port
