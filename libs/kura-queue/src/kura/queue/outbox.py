"""Asking for a task: its row is written in the caller's transaction, so that both happen or neither does."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from google.protobuf.message import Message
from sqlalchemy import ColumnElement, Connection, case, func, literal, null, select, update
from sqlalchemy.dialects.postgresql import insert

from kura.core.errors import BadRequest
from kura.core.telemetry import traceparent
from kura.queue.clock import in_seconds, now
from kura.queue.queues import base_of, queue_checked, routed
from kura.queue.tasks import TaskType, decoded, encoded, task_type
from kura.store.tables.shared import TASK, TASK_GROUP, TENANT_TABLE

CHANNEL: Final = "kura_task"
"""PostgreSQL notification channel; the payload is the queue."""

HIGHEST_PRIORITY: Final = 9
FAIR_SHARE: Final = (10, 100, 1000)
"""A tenant's task gives way by one step of priority for each of these numbers of its tasks that already wait."""


def enqueue(
    connection: Connection,
    message: Message,
    *,
    schema: str | None = None,
    queue: str | None = None,
    priority: int | None = None,
    not_before: datetime | timedelta | None = None,
    parent: uuid.UUID | None = None,
    group: uuid.UUID | None = None,
    xl: bool = False,
) -> uuid.UUID:
    """Ask for a task; the id of its row, which may be one that waits already and now covers this request too.

    `schema` and `queue` default to the fields `schema_name` and `queue_name` of the message, the queue then to the
    routing of its tenant. `not_before` is a moment, or a time from now by the clock of the database. `xl` says that
    this piece of work is large though its tenant may not be.
    """
    kind = task_type(message.DESCRIPTOR.full_name)
    schema = schema or getattr(message, "schema_name", "") or None
    queue = queue or getattr(message, "queue_name", "")
    queue = queue_checked(queue) if queue else routed(kind.queue, flags=tenant_flags(connection, schema), xl=xl)
    if priority is None:
        priority = fair_priority(connection, kind, queue, schema)
    if not 0 <= priority <= HIGHEST_PRIORITY:
        raise BadRequest(f"priority is 0 to {HIGHEST_PRIORITY}", field="priority")
    key = kind.dedupe_key(message) if group is None else None
    start = moment(not_before)

    row = {
        "id": uuid.uuid4(),
        "type": kind.name,
        "queue": queue,
        "queue_class": base_of(queue),
        "payload": encoded(message),
        "schema_name": schema,
        "priority": priority,
        "max_attempts": kind.max_attempts,
        "not_before": start,
        "dedupe_key": key,
        "parent_id": parent,
        "root_id": root_of(parent),
        "group_id": group,
        "traceparent": traceparent(),
    }
    while True:
        written: uuid.UUID | None = connection.scalar(
            insert(TASK)
            .values(row)
            .on_conflict_do_nothing(
                index_elements=[TASK.c.dedupe_key],
                index_where=(TASK.c.state == "queued") & TASK.c.dedupe_key.is_not(None),
            )
            .returning(TASK.c.id)
        )
        if written is None:
            written = merge_into_waiting(connection, kind, message, key=key, priority=priority, start=start)
        if written is not None:
            notify(connection, queue)
            return written


def merge_into_waiting(
    connection: Connection,
    kind: TaskType[Any],
    message: Message,
    *,
    key: str | None,
    priority: int,
    start: ColumnElement[datetime],
    attempt: int = 0,
) -> uuid.UUID | None:
    """Let the waiting task of this key do this request too; None if it no longer waits.

    A new request gives it all its attempts back; one that failed `attempt` times brings those along.
    """
    waiting = connection.execute(
        select(TASK.c.id, TASK.c.payload)
        .where(TASK.c.dedupe_key == key, TASK.c.state == "queued")
        .with_for_update(of=TASK)
    ).one_or_none()
    if waiting is None:
        return None
    merged = kind.merge(decoded(kind, waiting.payload), message)
    connection.execute(
        update(TASK)
        .where(TASK.c.id == waiting.id)
        .values(
            payload=encoded(merged),
            priority=func.greatest(TASK.c.priority, priority),
            not_before=func.least(TASK.c.not_before, start),
            # A message that sits in a delay queue comes too late for an earlier start.
            published_at=case((TASK.c.not_before > now(), null()), else_=TASK.c.published_at),
            attempt=func.greatest(TASK.c.attempt, attempt) if attempt else 0,
        )
    )
    found: uuid.UUID = waiting.id
    return found


def moment(not_before: datetime | timedelta | None) -> ColumnElement[datetime]:
    if not_before is None:
        return now()
    if isinstance(not_before, timedelta):
        return in_seconds(not_before.total_seconds())
    if not_before.tzinfo is None:
        raise BadRequest("not_before needs a time zone", field="not_before")
    return literal(not_before)


def root_of(parent: uuid.UUID | None) -> Any:
    """The first task of the chain that `parent` belongs to."""
    if parent is None:
        return None
    return select(func.coalesce(TASK.c.root_id, TASK.c.id)).where(TASK.c.id == parent).scalar_subquery()


def tenant_flags(connection: Connection, schema: str | None) -> Sequence[str]:
    if schema is None:
        return ()
    flags = connection.scalar(select(TENANT_TABLE.c.flags).where(TENANT_TABLE.c.schema_name == schema))
    return flags or ()


def fair_priority(connection: Connection, kind: TaskType[Any], queue: str, schema: str | None) -> int:
    """A tenant with many waiting tasks lets others pass (reliability F43)."""
    usual = min(kind.priority + (3 if base_of(queue) == "priority" else 0), HIGHEST_PRIORITY)
    if schema is None:
        return usual
    some = (
        select(literal(1))
        .where(TASK.c.schema_name == schema, TASK.c.state == "queued", TASK.c.queue == queue)
        .limit(FAIR_SHARE[-1])
    )
    waiting = connection.scalar(select(func.count()).select_from(some.subquery())) or 0
    return max(usual - sum(waiting >= step for step in FAIR_SHARE), 0)


def notify(connection: Connection, queue: str) -> None:
    """Wake who waits for this queue, when the transaction commits."""
    connection.execute(select(func.pg_notify(CHANNEL, queue)))


def open_group(
    connection: Connection,
    *,
    size: int,
    follow_up: Message,
    schema: str | None = None,
    queue: str | None = None,
) -> uuid.UUID:
    """Announce `size` tasks after all of which `follow_up` is queued; one that dies holds it back until retried."""
    if size < 1:
        raise BadRequest("a group has at least one member", field="size")
    kind = task_type(follow_up.DESCRIPTOR.full_name)
    made: uuid.UUID = connection.execute(
        insert(TASK_GROUP)
        .values(
            total=size,
            remaining=size,
            follow_up_type=kind.name,
            follow_up_payload=encoded(follow_up),
            follow_up_queue=queue_checked(queue) if queue else None,
            schema_name=schema,
            traceparent=traceparent(),
        )
        .returning(TASK_GROUP.c.id)
    ).scalar_one()
    return made
