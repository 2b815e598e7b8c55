"""A gRPC server as every service runs it: health, limits, identity, deadlines, traces, logs, metrics, errors."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry.trace import SpanKind
from prometheus_client import Histogram

from kura.core.errors import ConfigError, Deadline, DependencyFailed, KuraError, Unavailable, told
from kura.core.identity import REQUEST_ID_HEADER
from kura.core.metrics import ERRORS
from kura.core.telemetry import bound, get_logger, span
from kura.rpc.errors import DETAILS, status_details
from kura.rpc.security import Security

log = get_logger(__name__)

DEADLINE_SECONDS = 30.0
OPEN = ("/grpc.health.v1.Health/", "/grpc.reflection.")
"""Probes carry no identity; network policies keep them inside. Reflection exists only in development."""

RPC_SECONDS = Histogram(
    "kura_grpc_request_seconds",
    "Time from the first byte of a call to its end.",
    ["method", "status"],
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800),
)


@dataclass(frozen=True, kw_only=True)
class RpcService:
    """One service of a server."""

    descriptor: ServiceDescriptor
    add: Callable[[Any, aio.Server], None]
    """The generated `add_…Servicer_to_server`."""
    servicer: Any


@dataclass(frozen=True, kw_only=True)
class RpcServer:
    """A server that is bound, to be started and stopped by `kura.core.service`."""

    server: aio.Server
    address: str
    names: tuple[str, ...]
    probes: health.aio.HealthServicer

    async def start(self) -> None:
        await self.server.start()
        for name in self.names:
            await self.probes.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace: float | None) -> None:
        """Answer probes NOT_SERVING, refuse new calls, give running ones `grace` seconds."""
        await self.probes.enter_graceful_shutdown()
        await self.server.stop(grace)


def build_server(
    services: Sequence[RpcService],
    *,
    security: Security,
    host: str = "127.0.0.1",
    port: int = 0,
    max_message_bytes: int = 16 * 2**20,
    deadlines: Mapping[str, float] | None = None,
    development: bool = False,
) -> RpcServer:
    """Bind a server; call it inside the event loop that will run it.

    `deadlines` gives methods ("StartRun") more than the default of 30 seconds. A caller's own, shorter deadline counts.
    """
    security.check_listening(host)
    server = aio.server(
        interceptors=[Door(security=security, deadlines=deadlines or {})],
        options=[
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.so_reuseport", 0),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ],
    )
    names = [service.descriptor.full_name for service in services]
    for service in services:
        service.add(service.servicer, server)

    probes = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(probes, server)
    if development:
        reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)

    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    credentials = security.server_credentials()
    try:
        taken = server.add_secure_port(where, credentials) if credentials else server.add_insecure_port(where)
    except RuntimeError as error:
        raise ConfigError(f"KURA_GRPC_PORT: cannot listen on {where}") from error
    address = f"{where.rsplit(':', 1)[0]}:{taken}"
    return RpcServer(server=server, address=address, names=tuple(names), probes=probes)


class Door(aio.ServerInterceptor):  # type: ignore[misc]
    """What every call passes on its way in and out."""

    def __init__(self, *, security: Security, deadlines: Mapping[str, float]) -> None:
        self.security = security
        self.deadlines = deadlines

    async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Any:
        handler = await continuation(details)
        if handler is None or details.method.startswith(OPEN):
            return handler
        inner = handler.unary_stream or handler.unary_unary
        if inner is None:
            raise NotImplementedError(f"{details.method}: the contracts have no client streams")
        make = grpc.unary_stream_rpc_method_handler if handler.unary_stream else grpc.unary_unary_rpc_method_handler
        wrapped = self._streamed(details.method, inner) if handler.unary_stream else self._unary(details.method, inner)
        return make(
            wrapped,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _unary(self, method: str, inner: Any) -> Any:
        async def call(request: Any, context: aio.ServicerContext) -> Any:
            async with self._passage(method, context):
                async with asyncio.timeout_at(self._deadline(method, context)):
                    return await inner(request, context)

        return call

    def _streamed(self, method: str, inner: Any) -> Any:
        async def call(request: Any, context: aio.ServicerContext) -> AsyncIterator[Any]:
            async with self._passage(method, context):
                deadline = self._deadline(method, context)
                async with contextlib.aclosing(inner(request, context)) as messages:
                    while True:
                        try:
                            async with asyncio.timeout_at(deadline):
                                message = await anext(messages)
                        except StopAsyncIteration:
                            return
                        yield message

        return call

    def _deadline(self, method: str, context: aio.ServicerContext) -> float:
        limit = self.deadlines.get(method.rsplit("/", 1)[1], DEADLINE_SECONDS)
        asked = context.time_remaining()
        return asyncio.get_running_loop().time() + (limit if asked is None else min(asked, limit))

    @contextlib.asynccontextmanager
    async def _passage(self, method: str, context: aio.ServicerContext) -> AsyncIterator[None]:
        metadata = metadata_of(context)
        request_id = metadata.get(REQUEST_ID_HEADER) or uuid.uuid4().hex
        started = time.perf_counter()
        status = "CANCELLED"
        with (
            bound(request_id=request_id),
            span(method, parent=metadata.get("traceparent"), kind=SpanKind.SERVER),
        ):
            try:
                self.security.check_caller(metadata)
                yield
                status = "OK"
            except TimeoutError:
                status = Deadline.grpc.name
                await abort(context, Deadline())
            except KuraError as error:
                status = error.grpc.name
                if error.grpc is grpc.StatusCode.INTERNAL:
                    log.error("rpc_failed", method=method, code=error.code, error=str(error), exc_info=error)
                elif isinstance(error, (Unavailable, DependencyFailed)):
                    log.error("rpc_failed", method=method, code=error.code, error=str(error))
                await abort(context, error)
            except (aio.AbortError, asyncio.CancelledError, GeneratorExit):
                raise
            except Exception as error:
                status = KuraError.grpc.name
                log.error("rpc_crashed", method=method, error=str(error), exc_info=error)
                await abort(context, KuraError("An unexpected error happened. It has been logged."))
            finally:
                seconds = time.perf_counter() - started
                RPC_SECONDS.labels(method, status).observe(seconds)
                log.info("rpc", method=method, status=status, milliseconds=round(seconds * 1000, 1))


async def abort(context: aio.ServicerContext, error: KuraError) -> None:
    ERRORS.labels("grpc", error.code).inc()
    await context.abort(error.grpc, told(error), trailing_metadata=((DETAILS, status_details(error)),))


def metadata_of(context: aio.ServicerContext) -> dict[str, str]:
    """Text metadata of a call, by lower-case key."""
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
