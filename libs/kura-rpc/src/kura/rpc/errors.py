"""Errors on the wire: KuraError → status with google.rpc.ErrorInfo, and back."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode, aio

from kura.core.errors import (
    Cancelled,
    Deadline,
    Forbidden,
    KuraError,
    MethodNotAllowed,
    NotFound,
    ParameterErrors,
    PayloadRefused,
    TransientError,
    Unauthorised,
    Unavailable,
    ValidationErrors,
    told,
)

DOMAIN = "kura"
DETAILS = "grpc-status-details-bin"

BY_STATUS: dict[StatusCode, type[KuraError]] = {
    StatusCode.UNAVAILABLE: Unavailable,
    StatusCode.DEADLINE_EXCEEDED: Deadline,
    StatusCode.CANCELLED: Cancelled,
    StatusCode.UNAUTHENTICATED: Unauthorised,
    StatusCode.PERMISSION_DENIED: Forbidden,
    StatusCode.NOT_FOUND: NotFound,
    StatusCode.UNIMPLEMENTED: MethodNotAllowed,
    StatusCode.RESOURCE_EXHAUSTED: Unavailable,
    StatusCode.ABORTED: TransientError,
}
"""What a status means that did not come from Kura, but from gRPC itself or a proxy."""


def status_details(error: KuraError) -> bytes:
    """The google.rpc.Status of one error, for the trailing metadata `grpc-status-details-bin`."""
    facts = {"retry": "true" if error.retry else "false", "field": error.field}
    if isinstance(error, ParameterErrors):
        facts["body"] = orjson.dumps(error.body).decode()
    if isinstance(error, ValidationErrors):
        facts["problems"] = orjson.dumps(error.problems).decode()
    if isinstance(error, PayloadRefused):
        facts["reason_code"] = error.reason_code
    detail = AnyMessage()
    detail.Pack(ErrorInfo(reason=error.code, domain=DOMAIN, metadata=facts))
    number: int = error.grpc.value[0]
    serialised: bytes = Status(code=number, message=told(error), details=[detail]).SerializeToString()
    return serialised


def from_rpc(error: aio.AioRpcError) -> KuraError:
    """The KuraError that the other side raised, or the one that says best what gRPC reports."""
    message = error.details() or ""
    info = error_info(error)
    if info is None:
        return BY_STATUS.get(error.code(), KuraError)(message)

    facts = info.metadata
    kind = {each.code: each for each in error_types()}.get(info.reason)
    if kind is ParameterErrors:
        return ParameterErrors(orjson.loads(facts["body"]))
    if kind is ValidationErrors:
        return ValidationErrors([(field, text) for field, text in orjson.loads(facts["problems"])])
    if kind is PayloadRefused:
        return PayloadRefused(message, reason_code=facts["reason_code"])
    if kind is None:
        kind = TransientError if facts["retry"] == "true" else KuraError
    return kind(message, field=facts["field"])


def error_info(error: aio.AioRpcError) -> ErrorInfo | None:
    for key, value in error.trailing_metadata() or ():
        if key != DETAILS or not isinstance(value, bytes):
            continue
        for detail in Status.FromString(value).details:
            info = ErrorInfo()
            if detail.Unpack(info) and info.domain == DOMAIN:
                return info
    return None


def error_types(kind: type[KuraError] = KuraError) -> Iterator[type[KuraError]]:
    """KuraError and everything below it, also what services declare; the base last, so that its code loses."""
    for below in kind.__subclasses__():
        yield from error_types(below)
    yield kind
