"""A gRPC channel as every service opens it: identity, default deadline, retry while unavailable, meaningful errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
import structlog
from grpc import aio

from kura.core.identity import REQUEST_ID_HEADER
from kura.core.telemetry import traceparent
from kura.rpc.errors import from_rpc
from kura.rpc.security import TOKEN, Security
from kura.rpc.server import DEADLINE_SECONDS

RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "3s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
"""gRPC's own retry, with jitter. It stops as soon as the first message of an answer has arrived."""


def open_channel(
    address: str,
    *,
    security: Security,
    max_message_bytes: int = 16 * 2**20,
    deadlines: Mapping[str, float] | None = None,
) -> aio.Channel:
    """Open a channel; calls on its stubs raise KuraErrors. `deadlines`: seconds by "package.Service/Method"."""
    methods: list[dict[str, Any]] = [{"name": [{}], "retryPolicy": RETRY, "timeout": f"{DEADLINE_SECONDS}s"}]
    for name, seconds in (deadlines or {}).items():
        service, method = name.split("/")
        methods.append(
            {"name": [{"service": service, "method": method}], "retryPolicy": RETRY, "timeout": f"{seconds}s"}
        )
    options = [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.service_config", orjson.dumps({"methodConfig": methods}).decode()),
        ("grpc.enable_retries", 1),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]
    interceptors = [CallWithMeaning(security), StreamWithMeaning(security)]
    credentials = security.channel_credentials()
    if credentials is None:
        return aio.insecure_channel(address, options=options, interceptors=interceptors)
    return aio.secure_channel(address, credentials, options=options, interceptors=interceptors)


class CallWithMeaning(aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """Sends who asks and why, raises what went wrong as KuraError."""

    def __init__(self, security: Security) -> None:
        self.security = security

    async def intercept_unary_unary(self, continuation: Any, details: aio.ClientCallDetails, request: Any) -> Any:
        call = await continuation(with_metadata(details, self.security), request)
        try:
            await call
        except aio.AioRpcError as error:
            raise from_rpc(error) from error
        return call


class StreamWithMeaning(aio.UnaryStreamClientInterceptor):  # type: ignore[misc]
    """The same for answers that are streams."""

    def __init__(self, security: Security) -> None:
        self.security = security

    async def intercept_unary_stream(self, continuation: Any, details: aio.ClientCallDetails, request: Any) -> Any:
        call = await continuation(with_metadata(details, self.security), request)
        return self._messages(call)

    async def _messages(self, call: Any) -> AsyncIterator[Any]:
        try:
            async for message in call:
                yield message
        except aio.AioRpcError as error:
            raise from_rpc(error) from error


def with_metadata(details: aio.ClientCallDetails, security: Security) -> aio.ClientCallDetails:
    """Deadlines stay out of here: the channel's service config sets them."""
    metadata = list(details.metadata or ())
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    for key, value in ((TOKEN, security.token), ("traceparent", traceparent()), (REQUEST_ID_HEADER, request_id)):
        if value:
            metadata.append((key, value))
    return details._replace(metadata=aio.Metadata(*metadata))
