"""What administrators see of tasks and may do to them."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Row, and_, case, delete, func, null, or_, select

from kura.core.errors import BadRequest, Conflict, TaskNotFound
from kura.queue import metrics, states
from kura.queue.clock import in_seconds, now, seconds_since
from kura.queue.queues import QUEUES, queue_checked
from kura.store.tables.shared import TASK, TASK_STATES

LARGEST_PAGE: Final = 1000
KEPT_SECONDS: Final = 8 * 3600.0
"""Finished tasks stay this long; dead ones ninety times as long, a month, for somebody to decide."""
DEAD_FACTOR: Final = 90


@dataclass(frozen=True, kw_only=True)
class TaskView:
    """One task as an administrator sees it."""

    id: uuid.UUID
    type: str
    state: str
    queue: str
    schema_name: str | None
    payload: Any
    attempt: int
    max_attempts: int
    priority: int
    created_at: datetime
    not_before: datetime
    started_at: datetime | None
    finished_at: datetime | None
    lease_owner: str | None
    error_code: str | None
    error: str | None
    progress: Any
    parent_id: uuid.UUID | None
    root_id: uuid.UUID | None


_COLUMNS: Final = [TASK.c[field.name] for field in fields(TaskView)]


@dataclass(frozen=True, kw_only=True)
class TaskFilter:
    """Which tasks; None and empty mean any."""

    states: Sequence[str] = ()
    queue: str | None = None
    type: str | None = None
    schema: str | None = None
    root: uuid.UUID | None = None


@dataclass(frozen=True, kw_only=True)
class TaskPage:
    """One page, newest first."""

    tasks: Sequence[TaskView]
    next_token: str | None


def list_tasks(
    connection: Connection, which: TaskFilter, *, page_size: int = 100, token: str | None = None
) -> TaskPage:
    """One page of tasks; BadRequest for an unknown queue, state or token."""
    if not 1 <= page_size <= LARGEST_PAGE:
        raise BadRequest(f"a page has 1 to {LARGEST_PAGE} tasks", field="page_size")
    wanted = select(*_COLUMNS).order_by(TASK.c.created_at.desc(), TASK.c.id.desc()).limit(page_size + 1)
    if unknown := set(which.states) - set(TASK_STATES):
        raise BadRequest(f"{', '.join(sorted(unknown))}: no such state", field="states")
    if which.states:
        wanted = wanted.where(TASK.c.state.in_(which.states))
    if which.queue:
        wanted = wanted.where(TASK.c.queue == queue_checked(which.queue))
    if which.type:
        wanted = wanted.where(or_(TASK.c.type == which.type, TASK.c.type.endswith(f".{which.type}", autoescape=True)))
    if which.schema:
        wanted = wanted.where(TASK.c.schema_name == which.schema)
    if which.root:
        wanted = wanted.where(or_(TASK.c.root_id == which.root, TASK.c.id == which.root))
    if token:
        created_at, task_id = _position(token)
        wanted = wanted.where(
            or_(TASK.c.created_at < created_at, and_(TASK.c.created_at == created_at, TASK.c.id < task_id))
        )
    rows = connection.execute(wanted).all()
    tasks = [_view(row) for row in rows[:page_size]]
    more = len(rows) > page_size
    return TaskPage(tasks=tasks, next_token=_token(tasks[-1]) if more else None)


def get_task(connection: Connection, task_id: uuid.UUID) -> TaskView:
    row = connection.execute(select(*_COLUMNS).where(TASK.c.id == task_id)).one_or_none()
    if row is None:
        raise TaskNotFound(field="id")
    return _view(row)


def retry_task(connection: Connection, task_id: uuid.UUID) -> TaskView:
    """Queue a dead or cancelled task again; Conflict if it is neither."""
    task = get_task(connection, task_id)
    if not states.retry(connection, task_id):
        raise Conflict(f"a task that is {task.state} cannot be retried", field="id")
    return get_task(connection, task_id)


def cancel_task(connection: Connection, task_id: uuid.UUID, *, by: str) -> TaskView:
    """End a queued or running task; Conflict if it has ended."""
    task = get_task(connection, task_id)
    if not states.cancel(connection, task_id, reason=f"cancelled by {by}"):
        raise Conflict(f"a task that is {task.state} cannot be cancelled", field="id")
    return get_task(connection, task_id)


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What waits in one queue class."""

    queue: str
    ready: int = 0
    delayed: int = 0
    running: int = 0
    dead: int = 0
    oldest_ready_seconds: float = 0.0


def backlogs(connection: Connection) -> list[Backlog]:
    """Every queue class, also the empty ones; sets their gauges."""
    due = TASK.c.not_before <= now()
    is_ready = and_(TASK.c.state == "queued", due)
    counted = (
        select(
            TASK.c.queue,
            func.count().filter(is_ready).label("ready"),
            func.count().filter(TASK.c.state == "queued", ~due).label("delayed"),
            func.count().filter(TASK.c.state == "running").label("running"),
            func.count().filter(TASK.c.state == "dead").label("dead"),
            func.coalesce(seconds_since(func.min(case((is_ready, TASK.c.not_before), else_=null()))), 0.0).label(
                "oldest_ready_seconds"
            ),
        )
        .where(TASK.c.state.in_(("queued", "running", "dead")))
        .group_by(TASK.c.queue)
    )
    found = {row.queue: Backlog(**row._mapping) for row in connection.execute(counted)}
    every = [found.get(queue, Backlog(queue=queue)) for queue in QUEUES]
    for backlog in every:
        metrics.BACKLOG.labels(backlog.queue).set(backlog.ready)
        metrics.DELAYED.labels(backlog.queue).set(backlog.delayed)
        metrics.RUNNING.labels(backlog.queue).set(backlog.running)
        metrics.DEAD.labels(backlog.queue).set(backlog.dead)
        metrics.OLDEST_SECONDS.labels(backlog.queue).set(max(backlog.oldest_ready_seconds, 0.0))
    return every


def remove_finished(connection: Connection, *, older_than_seconds: float = KEPT_SECONDS) -> int:
    """Delete rows of tasks that ended long ago; how many."""
    removed = delete(TASK).where(
        or_(
            and_(TASK.c.state.in_(("succeeded", "cancelled")), TASK.c.finished_at < in_seconds(-older_than_seconds)),
            and_(
                TASK.c.state.in_(("dead", "failed")),
                TASK.c.finished_at < in_seconds(-older_than_seconds * DEAD_FACTOR),
            ),
        )
    )
    return connection.execute(removed).rowcount


def _view(row: Row[Any]) -> TaskView:
    return TaskView(**row._mapping)


def _token(task: TaskView) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([task.created_at, task.id])).decode()


def _position(token: str) -> tuple[datetime, uuid.UUID]:
    try:
        created_at, task_id = orjson.loads(base64.urlsafe_b64decode(token))
        return datetime.fromisoformat(created_at), uuid.UUID(task_id)
    except (binascii.Error, ValueError, TypeError, AttributeError) as error:
        raise BadRequest("this page token is not one of ours", field="page_token") from error
