"""Errors with meaning. Deep code raises them and knows no HTTP; the three doors (HTTP, gRPC, worker) render them.

`code` is the stable machine-readable name, `http` and `grpc` the status of the two doors, `retry` tells a worker
whether trying again later may succeed, `field` names what the error is about (the `source` of an API error).
"""

from __future__ import annotations

from typing import Any, ClassVar

from grpc import StatusCode


class KuraError(Exception):
    """Something failed that we did not foresee."""

    code: ClassVar[str] = "internal"
    http: ClassVar[int] = 500
    grpc: ClassVar[StatusCode] = StatusCode.INTERNAL
    retry: ClassVar[bool] = False

    def __init__(self, message: str = "", *, field: str = "detail") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])
        self.field = field


class BadRequest(KuraError):
    """The request is not valid."""

    code, http, grpc = "bad_request", 400, StatusCode.INVALID_ARGUMENT


class ParameterErrors(BadRequest):
    """Query parameters are not valid. `body` is the bare error map that report clients expect."""

    code = "invalid_parameters"

    def __init__(self, body: dict[str, Any] | list[Any]) -> None:
        super().__init__(str(body))
        self.body = body


class ValidationErrors(BadRequest):
    """Several fields of a request body are not valid: (field path, message) for each."""

    code = "invalid_fields"

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in problems))
        self.problems = problems


class Unauthorised(KuraError):
    """Identity is missing or cannot be read."""

    code, http, grpc = "unauthorised", 401, StatusCode.UNAUTHENTICATED


class Forbidden(KuraError):
    """You do not have permission to perform this action."""

    code, http, grpc = "forbidden", 403, StatusCode.PERMISSION_DENIED


class NotFound(KuraError):
    """Not found."""

    code, http, grpc = "not_found", 404, StatusCode.NOT_FOUND


class SourceNotFound(NotFound):
    """No source has this id."""

    code = "source_not_found"


class UploadNotFound(NotFound):
    """No upload has this request id."""

    code = "upload_not_found"


class TaskNotFound(NotFound):
    """No task has this id."""

    code = "task_not_found"


class MethodNotAllowed(KuraError):
    """This method is not allowed here."""

    code, http, grpc = "method_not_allowed", 405, StatusCode.UNIMPLEMENTED


class NotAcceptable(KuraError):
    """Could not satisfy the request Accept header."""

    code, http, grpc = "not_acceptable", 406, StatusCode.INVALID_ARGUMENT


class Conflict(KuraError):
    """The request contradicts the present state."""

    code, http, grpc = "conflict", 409, StatusCode.FAILED_PRECONDITION


class PayloadTooLarge(KuraError):
    """The body is larger than the limit."""

    code, http, grpc = "payload_too_large", 413, StatusCode.RESOURCE_EXHAUSTED


class UnsupportedMedia(KuraError):
    """The content type is not supported."""

    code, http, grpc = "unsupported_media", 415, StatusCode.INVALID_ARGUMENT


class TooManyRequests(KuraError):
    """Too many requests; try again later."""

    code, http, grpc, retry = "too_many_requests", 429, StatusCode.RESOURCE_EXHAUSTED, True


class DependencyFailed(KuraError):
    """A service this answer depends on is not reachable."""

    code, http, grpc, retry = "dependency_failed", 424, StatusCode.UNAVAILABLE, True


class Unavailable(KuraError):
    """A needed service cannot be reached now; the same request may succeed later."""

    code, http, grpc, retry = "unavailable", 503, StatusCode.UNAVAILABLE, True


class DatabaseUnavailable(Unavailable):
    """Database unavailable. Try again later."""

    code, http = "database_unavailable", 424


class DatabaseBusy(DatabaseUnavailable):
    """Database busy. Try again later."""

    code, http = "database_busy", 503


class BrokerUnavailable(Unavailable):
    """The message broker cannot be reached."""

    code = "broker_unavailable"


class ObjectStoreUnavailable(Unavailable):
    """The object store cannot be reached."""

    code = "object_store_unavailable"


class Deadline(KuraError):
    """The deadline passed before the work was finished."""

    code, http, grpc, retry = "deadline", 504, StatusCode.DEADLINE_EXCEEDED, True


class TransientError(KuraError):
    """Something failed that is likely to succeed when tried again (deadlock, serialisation failure, busy lease)."""

    code, http, grpc, retry = "transient", 503, StatusCode.ABORTED, True


class LeaseLost(TransientError):
    """The lease of this work has moved on to another worker; nothing was written."""

    code = "lease_lost"


class LeaseBusy(TransientError):
    """Another worker holds the lease; try again shortly."""

    code = "lease_busy"


class Cancelled(KuraError):
    """The work was cancelled by an administrator."""

    code, http, grpc = "cancelled", 409, StatusCode.CANCELLED


class PayloadRefused(KuraError):
    """An uploaded payload cannot be processed; `reason_code` and the message tell its owner why."""

    code, http, grpc = "payload_refused", 400, StatusCode.INVALID_ARGUMENT

    def __init__(self, message: str, *, reason_code: str) -> None:
        super().__init__(message)
        self.reason_code = reason_code


class ObjectMissing(KuraError):
    """An object that should be in the object store is not there."""

    code, http, grpc, retry = "object_missing", 500, StatusCode.DATA_LOSS, True


class InvalidData(KuraError):
    """Stored data is not what its schema says."""

    code, http, grpc = "invalid_data", 500, StatusCode.DATA_LOSS


class ConfigError(KuraError):
    """The settings are not valid. The message lists every bad variable."""

    code, http, grpc = "config", 500, StatusCode.FAILED_PRECONDITION


def told(error: KuraError) -> str:
    """What a caller is told: of a database that is away nothing that its driver says, for that names hosts."""
    return str(type(error)()) if isinstance(error, DatabaseUnavailable) else str(error)
