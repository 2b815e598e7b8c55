"""The life of a service: start servers and background work, say when ready, stop cleanly on SIGTERM.

Order at the end: stop taking new work, let running work finish within the grace time, close servers, then close
what the caller opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import uvicorn
from starlette.types import ASGIApp

from kura.core.config import ServiceSettings
from kura.core.telemetry import configure_error_tracking, configure_logging, configure_tracing, get_logger
from kura.core.wire import LimitedHttp

log = get_logger(__name__)


class GrpcServer(Protocol):
    """What `kura.rpc` builds: a grpc.aio server that is started and stopped here."""

    async def start(self) -> None: ...
    async def stop(self, grace: float | None) -> None: ...


class Background(Protocol):
    """Work beside the servers, for example a worker loop. `stop` returns when running work is finished or returned."""

    async def run(self) -> None: ...
    async def stop(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Running:
    """Where a service listens once it runs."""

    http: str | None
    grpc: str | None


@dataclass(kw_only=True)
class Service:
    """Everything one process runs."""

    name: str
    app: ASGIApp | None
    http_host: str = "127.0.0.1"
    http_port: int = 0
    grpc: GrpcServer | None = None
    grpc_address: str | None = None
    background: Sequence[Background] = ()
    shutdown_seconds: float = 30.0
    on_ready: Callable[[Running], Awaitable[None] | None] | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        """Run until SIGTERM, SIGINT or `stop()`; a background task that crashes ends the service with its error."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(name, self._stop.set)

        server, listening = self._http_server()
        tasks: list[asyncio.Task[Any]] = []
        if server is not None and listening is not None:
            tasks.append(asyncio.create_task(server.serve(sockets=[listening]), name="http"))
            while not server.started and not tasks[0].done():  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.005)
        if self.grpc is not None:
            await self.grpc.start()
        tasks += [asyncio.create_task(work.run(), name=type(work).__name__) for work in self.background]

        http = None
        if listening is not None:
            host, port = listening.getsockname()[:2]
            http = f"http://{host if ':' not in host else f'[{host}]'}:{port}"
        log.info("service_started", name=self.name, http=http, grpc=self.grpc_address)
        if self.on_ready is not None:
            told = self.on_ready(Running(http=http, grpc=self.grpc_address))
            if told is not None:
                await told

        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        log.info("service_stopping", name=self.name)
        stopping.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.shutdown_seconds):
                await asyncio.gather(*(work.stop() for work in self.background), return_exceptions=True)
        if self.grpc is not None:
            await self.grpc.stop(self.shutdown_seconds)
        if server is not None:
            server.should_exit = True
        for task in tasks:
            if task.get_name() != "http" and not task.done():
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        log.info("service_stopped", name=self.name)
        crashed = [r for r in results if isinstance(r, Exception)]
        if crashed:
            raise crashed[0]

    def _http_server(self) -> tuple[uvicorn.Server | None, socket.socket | None]:
        if self.app is None:
            return None, None
        config = uvicorn.Config(
            self.app,
            access_log=False,
            log_config=None,
            lifespan="on",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(self.shutdown_seconds) or 1,
            http=LimitedHttp,
            server_header=False,
            loop="asyncio",
        )
        family = socket.AF_INET6 if ":" in self.http_host else socket.AF_INET
        # The protocol must be named: only then asyncio turns off Nagle's algorithm, which delays answers by 40 ms.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((self.http_host, self.http_port))
        listening.listen(2048)
        listening.setblocking(False)
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        return server, listening


def configure(settings: ServiceSettings, *, service: str) -> None:
    """Logging, tracing and error tracking of this process."""
    configure_logging(service=service, level=settings.log_level, log_format=settings.log_format)
    configure_tracing(service=service, otlp_endpoint=settings.otlp_endpoint)
    configure_error_tracking(dsn=settings.sentry_dsn.get_secret_value() if settings.sentry_dsn else None)
