"""The catalogue: what is known of each task type besides its message (tasks-and-queues §3).

A task with a `key` is queued at most once per key: asking again merges the new message into the waiting one. A task
that already runs is left alone, and the new one waits behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Generic, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from kura.core.errors import BadRequest, InvalidData
from kura.queue.clock import between
from kura.rpc.tasks.v1 import tasks_pb2 as pb

M = TypeVar("M", bound=Message)

LONGEST_BACKOFF_SECONDS: Final = 600.0
HOUR: Final = 3600.0
PATIENCE_SECONDS: Final = 24 * HOUR
"""How old a task may be whose attempts do not count while a service that it needs is away."""


class UnknownTask(InvalidData):
    """This version knows no task of this type."""

    code = "unknown_task"


class UndecodableTask(InvalidData):
    """The message of this task cannot be read."""

    code = "undecodable_task"


def full_jitter(attempt: int) -> float:
    """Seconds to wait after failed attempt `attempt`: anything up to min(2^attempt, 600), so that failures spread."""
    return between(0, min(2.0**attempt, LONGEST_BACKOFF_SECONDS))


def slow_jitter(attempt: int) -> float:
    """The same from ten seconds up, for stores that need a while."""
    return 10.0 + full_jitter(attempt + 3)


def patient_jitter(age_seconds: float) -> float:
    """Seconds to wait for a service that is away: up to the age of the task, so that pauses grow as powers do."""
    return between(0, min(max(age_seconds, 2.0), LONGEST_BACKOFF_SECONDS))


def newest(waiting: M, asked: M) -> M:
    """The request that came last replaces the one that waits."""
    return asked


def widened(waiting: M, asked: M) -> M:
    """One range that covers both, with the manifests of both; the rest as asked last."""
    merged = type(asked)()
    merged.CopyFrom(asked)
    merged.start_date = min(waiting.start_date, asked.start_date)  # type: ignore[attr-defined]
    merged.end_date = max(waiting.end_date, asked.end_date)  # type: ignore[attr-defined]
    return with_manifests_of(waiting, merged)


def with_manifests_of(waiting: M, asked: M) -> M:
    """The manifests of both."""
    if "manifest_ids" not in asked.DESCRIPTOR.fields_by_name:
        return asked
    merged = type(asked)()
    merged.CopyFrom(asked)
    both = sorted({*waiting.manifest_ids, *asked.manifest_ids})  # type: ignore[attr-defined]
    del merged.manifest_ids[:]  # type: ignore[attr-defined]
    merged.manifest_ids.extend(both)  # type: ignore[attr-defined]
    return merged


def both_ways(waiting: pb.SummariseRange, asked: pb.SummariseRange) -> pb.SummariseRange:
    """As `widened`; what one of the two wants correlated is correlated."""
    merged = widened(waiting, asked)
    merged.skip_ocp_on_cloud = waiting.skip_ocp_on_cloud and asked.skip_ocp_on_cloud
    return merged


def month_of_range(task: Any) -> str:
    """YYYY-MM of a range; BadRequest unless it is a range of days in one month."""
    try:
        start, end = date.fromisoformat(task.start_date), date.fromisoformat(task.end_date)
    except ValueError as error:
        raise BadRequest(f"{type(task).__name__}: {error}", field="start_date") from error
    if start > end or (start.year, start.month) != (end.year, end.month):
        raise BadRequest(f"{type(task).__name__}: {start} to {end} is not within one month", field="end_date")
    return f"{start:%Y-%m}"


@dataclass(frozen=True, kw_only=True)
class TaskType(Generic[M]):
    """How tasks of one message type are queued, merged, retried and limited."""

    message: type[M]
    queue: str
    key: Callable[[M], tuple[Hashable, ...]] | None = None
    merge: Callable[[M, M], M] = newest
    max_attempts: int = 5
    backoff: Callable[[int], float] = full_jitter
    timeout_seconds: float = HOUR
    priority: int = 4
    """0–9; tasks in a priority queue get three more."""
    rate_limited: bool = False
    """Tenants flagged so run only a few of these at once (§4.2)."""

    @property
    def name(self) -> str:
        return self.message.DESCRIPTOR.full_name

    def dedupe_key(self, message: M) -> str | None:
        if self.key is None:
            return None
        return ":".join([self.message.DESCRIPTOR.name, *(str(part) for part in self.key(message))])


TASK_TYPES: Final[dict[str, TaskType[Any]]] = {
    kind.name: kind
    for kind in (
        TaskType(message=pb.IngestPayload, queue="default", key=lambda t: (t.upload_id,)),
        TaskType(
            message=pb.SummariseRange,
            queue="summary",
            key=lambda t: (t.schema_name, t.provider_uuid, month_of_range(t)),
            merge=both_ways,
            timeout_seconds=4 * HOUR,
            rate_limited=True,
        ),
        TaskType(message=pb.SummariseAll, queue="summary", key=lambda t: (t.schema_name, t.start_date, t.end_date)),
        TaskType(
            message=pb.CorrelateCloud,
            queue="summary",
            key=lambda t: (t.schema_name, t.infra_provider_uuid, t.ocp_provider_uuid, month_of_range(t)),
            merge=widened,
            timeout_seconds=4 * HOUR,
            rate_limited=True,
        ),
        TaskType(
            message=pb.ApplyCostModel,
            queue="refresh",
            key=lambda t: (t.schema_name, t.provider_uuid, month_of_range(t)),
            merge=widened,
            timeout_seconds=2 * HOUR,
            rate_limited=True,
        ),
        TaskType(
            message=pb.MarkManifestsComplete,
            queue="priority",
            key=lambda t: (t.schema_name, t.provider_uuid),
            merge=with_manifests_of,
        ),
        TaskType(
            message=pb.ValidateRange,
            queue="priority",
            key=lambda t: (t.schema_name, t.provider_uuid, month_of_range(t)),
            merge=widened,
            priority=1,
        ),
        TaskType(message=pb.CheckReportUpdates, queue="default", key=lambda t: (t.provider_uuid, t.bill_date)),
        TaskType(
            message=pb.IngestReportFile,
            queue="default",
            key=lambda t: (t.provider_uuid, t.manifest_id, t.report_name),
            timeout_seconds=2 * HOUR,
        ),
        TaskType(
            message=pb.DeleteSourceData,
            queue="summary",
            key=lambda t: (t.schema_name, t.provider_uuid),
            max_attempts=10,
            backoff=slow_jitter,
        ),
        TaskType(
            message=pb.PurgeSourceRange,
            queue="default",
            key=lambda t: (t.schema_name, t.provider_uuid, t.start_date, t.end_date),
            backoff=slow_jitter,
        ),
        TaskType(
            message=pb.RemoveExpiredData,
            queue="default",
            key=lambda t: (t.schema_name, t.provider_uuid, t.simulate),
            timeout_seconds=4 * HOUR,
            priority=2,
        ),
        TaskType(
            message=pb.RemoveStaleObjects,
            queue="default",
            key=lambda t: (t.schema_name, t.simulate),
            timeout_seconds=4 * HOUR,
            priority=2,
        ),
        TaskType(message=pb.RemoveStaleTasks, queue="default", key=lambda t: (), priority=2),
        TaskType(message=pb.RemoveStaleTenants, queue="default", key=lambda t: (t.simulate,), priority=2),
        TaskType(message=pb.EnsurePartitions, queue="default", key=lambda t: (t.schema_name,)),
        TaskType(message=pb.TuneAutovacuum, queue="default", key=lambda t: (t.schema_name,), priority=2),
        TaskType(message=pb.FetchCurrencyRates, queue="default", key=lambda t: (), backoff=slow_jitter),
        TaskType(message=pb.CheckSourceStatus, queue="priority", key=lambda t: (t.provider_uuid,)),
        TaskType(message=pb.DeletePendingSources, queue="summary", key=lambda t: ()),
    )
}


def task_type(name: str) -> TaskType[Any]:
    """The type of this full name; UnknownTask if this version has none."""
    found = TASK_TYPES.get(name)
    if found is None:
        raise UnknownTask(f"{name!r} is no task this version knows")
    return found


def encoded(message: Message) -> dict[str, Any]:
    """A message as canonical JSON."""
    return json_format.MessageToDict(message)


def decoded(kind: TaskType[M], payload: Any) -> M:
    """The message of canonical JSON. Fields of a newer version are skipped, so that versions may run side by side."""
    if not isinstance(payload, dict):
        raise UndecodableTask(f"{kind.name}: not a JSON object")
    try:
        return json_format.ParseDict(payload, kind.message(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, AttributeError) as error:
        raise UndecodableTask(f"{kind.name}: {error}") from error
