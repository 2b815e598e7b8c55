"""The life of a task. Every change of its state is one guarded UPDATE in this module.

    queued ──claim──► running ──succeed──► succeeded
      ▲  ▲               │ ├───die───────► dead ──────┐
      │  └──requeue──────┘ └───cancel────► cancelled ─┤
      └───────────────────────retry───────────────────┘

A claim gives the row a new lease token. Whoever wants to change a running task shows the token of its claim; a worker
that was paused while its lease moved on is refused. All times are those of the database.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message
from sqlalchemy import ColumnElement, Connection, Row, Select, func, null, select, update
from sqlalchemy.exc import IntegrityError

from kura.core.errors import Unavailable
from kura.queue.clock import in_seconds, now, seconds_since
from kura.queue.outbox import enqueue, merge_into_waiting, notify, tenant_flags
from kura.queue.queues import RATE_LIMITED
from kura.queue.tasks import PATIENCE_SECONDS, TASK_TYPES, decoded, full_jitter, task_type
from kura.store.tables.shared import TASK, TASK_GROUP

ERROR_TEXT_LIMIT: Final = 2000
RATE_LIMIT: Final = 2
"""Tasks of one type that a rate-limited tenant may run at once."""


_CLOCKS: Final = (
    seconds_since(TASK.c.not_before).label("waited_seconds"),
    seconds_since(TASK.c.created_at).label("age_seconds"),
)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One attempt at a task: the row as it was claimed, and the token that proves the claim."""

    id: uuid.UUID
    type: str
    queue: str
    payload: Any
    schema_name: str | None
    attempt: int
    max_attempts: int
    token: int
    group_id: uuid.UUID | None
    root_id: uuid.UUID | None
    parent_id: uuid.UUID | None
    traceparent: str | None
    waited_seconds: float
    age_seconds: float

    @property
    def last_attempt(self) -> bool:
        return self.attempt >= self.max_attempts

    def outwaits(self, error: Exception) -> bool:
        """A service that is away is no fault of the task: while it is young, such an attempt does not count."""
        return isinstance(error, Unavailable) and self.age_seconds < PATIENCE_SECONDS


class Unclaimable(enum.Enum):
    """Why a task that was named cannot be claimed."""

    GONE = "it runs, has ended, or was never there: nothing to do"


@dataclass(frozen=True, kw_only=True)
class NotYet:
    """The task may start only after this time."""

    seconds: float


# -------------------------------------------------------------------------------------------------------------- claim


def claim_next(connection: Connection, queues: Sequence[str], *, owner: str, lease_seconds: float) -> Claim | None:
    """Claim the task whose turn it is: highest priority, then longest due. Rows of other claims are not waited for."""
    turn = (
        select(TASK.c.id)
        .where(TASK.c.state == "queued", TASK.c.queue.in_(queues), TASK.c.not_before <= now())
        .order_by(TASK.c.priority.desc(), TASK.c.not_before, TASK.c.created_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return _claim(connection, turn, owner=owner, lease_seconds=lease_seconds)


def claim(
    connection: Connection, task_id: uuid.UUID, *, owner: str, lease_seconds: float
) -> Claim | NotYet | Unclaimable:
    """Claim one task that a message named."""
    due = select(TASK.c.id).where(TASK.c.id == task_id, TASK.c.state == "queued", TASK.c.not_before <= now())
    claimed = _claim(connection, due.with_for_update(), owner=owner, lease_seconds=lease_seconds)
    if claimed is not None:
        return claimed
    wait = -seconds_since(TASK.c.not_before)
    seconds = connection.scalar(select(wait).where(TASK.c.id == task_id, TASK.c.state == "queued"))
    return Unclaimable.GONE if seconds is None else NotYet(seconds=max(seconds, 0.0))


def _claim(connection: Connection, which: Select[Any], *, owner: str, lease_seconds: float) -> Claim | None:
    row = connection.execute(
        update(TASK)
        .where(TASK.c.id == which.scalar_subquery(), TASK.c.state == "queued")
        .values(
            state="running",
            attempt=TASK.c.attempt + 1,
            lease_owner=owner,
            lease_token=TASK.c.lease_token + 1,
            lease_expires_at=in_seconds(lease_seconds),
            started_at=now(),
            error_code=null(),
            error=null(),
            progress=null(),
        )
        .returning(TASK, *_CLOCKS)
    ).one_or_none()
    return None if row is None else _claim_of(row)


def _claim_of(row: Row[Any]) -> Claim:
    return Claim(
        id=row.id,
        type=row.type,
        queue=row.queue,
        payload=row.payload,
        schema_name=row.schema_name,
        attempt=row.attempt,
        max_attempts=row.max_attempts,
        token=row.lease_token,
        group_id=row.group_id,
        root_id=row.root_id or row.id,
        parent_id=row.parent_id,
        traceparent=row.traceparent,
        waited_seconds=max(row.waited_seconds, 0.0),
        age_seconds=row.age_seconds,
    )


def is_over_rate_limit(connection: Connection, claim: Claim) -> bool:
    """Whether a rate-limited tenant already runs as many tasks of this type as it may (§4.2)."""
    kind = TASK_TYPES.get(claim.type)
    if kind is None or not kind.rate_limited or RATE_LIMITED not in tenant_flags(connection, claim.schema_name):
        return False
    others = connection.scalar(
        select(func.count())
        .select_from(TASK)
        .where(
            TASK.c.state == "running",
            TASK.c.type == claim.type,
            TASK.c.schema_name == claim.schema_name,
            TASK.c.id != claim.id,
        )
    )
    return (others or 0) >= RATE_LIMIT


# ---------------------------------------------------------------------------------------------- while a claim is held


def _held(claim: Claim) -> ColumnElement[bool]:
    return (TASK.c.id == claim.id) & (TASK.c.state == "running") & (TASK.c.lease_token == claim.token)


def renew(connection: Connection, claim: Claim, *, lease_seconds: float, progress: Any = None) -> bool:
    """Heartbeat, and the latest progress if there is news; False if the claim is lost."""
    values: dict[str, Any] = {"lease_expires_at": in_seconds(lease_seconds)}
    if progress is not None:
        values["progress"] = progress
    return connection.execute(update(TASK).where(_held(claim)).values(values)).rowcount == 1


def is_held(connection: Connection, claim: Claim) -> bool:
    """Whether the claim holds until the end of the caller's transaction: nobody else can take the task meanwhile."""
    held = select(TASK.c.id).where(_held(claim)).with_for_update(read=True)
    return connection.execute(held).first() is not None


def succeed(connection: Connection, claim: Claim, *, follow_ups: Sequence[Message] = (), progress: Any = None) -> bool:
    """Done, together with the tasks that follow; False if the claim is lost, and then nothing follows."""
    values: dict[str, Any] = {"state": "succeeded", "finished_at": now(), "lease_expires_at": null()}
    if progress is not None:
        values["progress"] = progress
    if connection.execute(update(TASK).where(_held(claim)).values(values)).rowcount != 1:
        return False
    for message in follow_ups:
        enqueue(connection, message, parent=claim.id)
    if claim.group_id is not None:
        _member_finished(connection, claim.group_id, parent=claim.id)
    return True


def die(connection: Connection, claim: Claim, *, code: str, error: str) -> bool:
    """Failed for good; False if the claim is lost."""
    if connection.execute(update(TASK).where(_held(claim)).values(_dead(code, error))).rowcount != 1:
        return False
    _member_failed(connection, claim.group_id)
    return True


def requeue(
    connection: Connection,
    claim: Claim,
    *,
    delay_seconds: float,
    code: str | None = None,
    error: str | None = None,
    counted: bool = True,
) -> bool:
    """Back to the queue; False if the claim is lost. Not `counted`: the attempt does not count, nothing failed."""
    return _requeue(
        connection, _held(claim), claim, delay_seconds=delay_seconds, code=code, error=error, counted=counted
    )


def _requeue(
    connection: Connection,
    guard: ColumnElement[bool],
    claim: Claim,
    *,
    delay_seconds: float,
    code: str | None,
    error: str | None,
    counted: bool,
) -> bool:
    attempt = claim.attempt if counted else claim.attempt - 1
    values = {
        "state": "queued",
        "attempt": attempt,
        "not_before": in_seconds(delay_seconds),
        "published_at": null(),
        "lease_owner": null(),
        "lease_expires_at": null(),
        "error_code": code,
        "error": shortened(error),
    }
    try:
        with connection.begin_nested():
            changed = connection.execute(update(TASK).where(guard).values(values)).rowcount == 1
    except IntegrityError:
        if claim.type not in TASK_TYPES:
            values["dedupe_key"] = null()
            return connection.execute(update(TASK).where(guard).values(values)).rowcount == 1
        # Somebody asked for the same while this ran, and that request waits already: it takes this one over.
        return _hand_over(connection, guard, claim, delay_seconds=delay_seconds, attempt=attempt)
    if changed:
        notify(connection, claim.queue)
    return changed


def _hand_over(
    connection: Connection, guard: ColumnElement[bool], claim: Claim, *, delay_seconds: float, attempt: int
) -> bool:
    kind = task_type(claim.type)
    message = decoded(kind, claim.payload)
    merged = merge_into_waiting(
        connection,
        kind,
        message,
        key=kind.dedupe_key(message),
        priority=0,
        start=in_seconds(delay_seconds),
        attempt=attempt,
    )
    if merged is None:
        return _requeue(
            connection,
            guard,
            claim,
            delay_seconds=delay_seconds,
            code=None,
            error=None,
            counted=attempt == claim.attempt,
        )
    values = {
        "state": "cancelled",
        "finished_at": now(),
        "lease_expires_at": null(),
        "error_code": "merged",
        "error": f"continued by task {merged}",
    }
    return connection.execute(update(TASK).where(guard).values(values)).rowcount == 1


# ------------------------------------------------------------------------------------------------ after a lost worker


@dataclass(frozen=True, kw_only=True)
class Expired:
    """What became of the tasks whose worker fell silent."""

    requeued: int
    dead: int


def requeue_expired(connection: Connection, *, limit: int = 100) -> Expired:
    """Put tasks back whose lease ran out; those without attempts left are dead: they may be what kills workers."""
    rows = connection.execute(
        select(TASK, *_CLOCKS)
        .where(TASK.c.state == "running", TASK.c.lease_expires_at < now())
        .order_by(TASK.c.lease_expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    requeued = dead = 0
    for row in rows:
        lost = _claim_of(row)
        error = f"worker {row.lease_owner} fell silent in attempt {lost.attempt}"
        if lost.last_attempt:
            dead += die(connection, lost, code="worker_lost", error=error)
            continue
        kind = TASK_TYPES.get(lost.type)
        delay = kind.backoff(lost.attempt) if kind else full_jitter(lost.attempt)
        requeued += requeue(connection, lost, delay_seconds=delay, code="worker_lost", error=error)
    return Expired(requeued=requeued, dead=dead)


# -------------------------------------------------------------------------------------------------- by administrators


def expire_all(connection: Connection) -> None:
    """Let every running task be queued again at once: for an installation whose workers are known to be gone."""
    connection.execute(update(TASK).where(TASK.c.state == "running").values(lease_expires_at=now()))


def retry(connection: Connection, task_id: uuid.UUID) -> bool:
    """Queue a dead or cancelled task again with all its attempts; False if it is neither."""
    row = connection.execute(
        select(TASK, *_CLOCKS)
        .where(TASK.c.id == task_id, TASK.c.state.in_(("dead", "failed", "cancelled")))
        .with_for_update()
    ).one_or_none()
    if row is None:
        return False
    ended = TASK.c.id == task_id
    again = _requeue(
        connection, ended, _claim_of(row), delay_seconds=0, code=row.error_code, error=row.error, counted=True
    )
    connection.execute(
        update(TASK).where(ended, TASK.c.state == "queued").values(attempt=0, finished_at=null(), started_at=null())
    )
    if row.group_id is not None and row.state == "dead":
        connection.execute(
            update(TASK_GROUP).where(TASK_GROUP.c.id == row.group_id).values(failed=TASK_GROUP.c.failed - 1)
        )
    return again


def cancel(connection: Connection, task_id: uuid.UUID, *, reason: str) -> bool:
    """End a queued or running task; False if it has ended. A running handler is stopped at its next heartbeat."""
    values = {
        "state": "cancelled",
        "finished_at": now(),
        "lease_expires_at": null(),
        "error_code": "cancelled",
        "error": shortened(reason),
    }
    alive = TASK.c.state.in_(("queued", "running"))
    return connection.execute(update(TASK).where(TASK.c.id == task_id, alive).values(values)).rowcount == 1


# --------------------------------------------------------------------------------------------------------- publishing


def mark_published(connection: Connection, task_ids: Sequence[uuid.UUID]) -> None:
    connection.execute(update(TASK).where(TASK.c.id.in_(task_ids)).values(published_at=now()))


def publish_again(connection: Connection, queues: Sequence[str], *, older_than_seconds: float) -> int:
    """Have the relay send once more what was published long ago and never came; how many tasks that are."""
    late = (
        TASK.c.state == "queued",
        TASK.c.queue.in_(queues),
        TASK.c.published_at < in_seconds(-older_than_seconds),
        TASK.c.not_before < in_seconds(-older_than_seconds),
    )
    count = connection.execute(update(TASK).where(*late).values(published_at=null())).rowcount
    for queue in queues if count else ():
        notify(connection, queue)
    return count


# -------------------------------------------------------------------------------------------------------------- parts


def shortened(error: str | None) -> str | None:
    return error[:ERROR_TEXT_LIMIT] if error else error


def _dead(code: str, error: str) -> dict[str, Any]:
    return {
        "state": "dead",
        "finished_at": now(),
        "lease_expires_at": null(),
        "error_code": code,
        "error": shortened(error),
    }


def _member_finished(connection: Connection, group_id: uuid.UUID, *, parent: uuid.UUID) -> None:
    """Count one member; the last one queues what follows."""
    group = connection.execute(
        update(TASK_GROUP)
        .where(TASK_GROUP.c.id == group_id, TASK_GROUP.c.remaining > 0)
        .values(remaining=TASK_GROUP.c.remaining - 1)
        .returning(TASK_GROUP)
    ).one_or_none()
    if group is None or group.remaining > 0:
        return
    connection.execute(update(TASK_GROUP).where(TASK_GROUP.c.id == group_id).values(finished_at=now()))
    kind = task_type(group.follow_up_type)
    follow_up = decoded(kind, group.follow_up_payload)
    enqueue(connection, follow_up, schema=group.schema_name, queue=group.follow_up_queue, parent=parent)


def _member_failed(connection: Connection, group_id: uuid.UUID | None) -> None:
    if group_id is not None:
        connection.execute(update(TASK_GROUP).where(TASK_GROUP.c.id == group_id).values(failed=TASK_GROUP.c.failed + 1))
