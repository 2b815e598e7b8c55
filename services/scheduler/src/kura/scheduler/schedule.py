"""The schedule: rows that say what is queued when, and the tick that queues it (tasks-and-queues §6)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from croniter import CroniterError, croniter
from google.protobuf.message import Message
from prometheus_client import Counter
from sqlalchemy import Connection, delete, null, select, update
from sqlalchemy.dialects.postgresql import insert

from kura.core.errors import BadRequest, KuraError, NotFound
from kura.core.telemetry import get_logger
from kura.queue.clock import now
from kura.queue.leader import Leader
from kura.queue.outbox import enqueue
from kura.queue.queues import queue_checked
from kura.queue.tasks import decoded, encoded, task_type
from kura.queue.transport import Books
from kura.rpc.tasks.v1 import tasks_pb2 as pb
from kura.scheduler.config import ScheduleSettings
from kura.store.tables.shared import SCHEDULED_TASK, SCHEDULED_TASK_RUN

log = get_logger(__name__)

LOOK_SECONDS: Final = 5.0
"""Longest time until a changed schedule is noticed."""
RUNS_KEPT: Final = timedelta(days=90)

TICKS = Counter("kura_schedule_ticks_total", "Periods whose task was queued.", ["schedule"])
MISSED = Counter(
    "kura_schedule_missed_total", "Periods that passed unnoticed and were merged into a later one.", ["schedule"]
)


class ScheduleNotFound(NotFound):
    """No schedule has this name."""

    code = "schedule_not_found"


@dataclass(frozen=True, kw_only=True)
class Default:
    """A schedule that every installation begins with."""

    name: str
    cron: str
    message: Message
    description: str
    enabled: bool = True


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """One schedule as it stands."""

    name: str
    cron: str
    task: str
    payload: Any
    queue: str | None
    enabled: bool
    description: str
    last_run: datetime | None
    next_run: datetime | None
    last_task_id: uuid.UUID | None


def defaults(settings: ScheduleSettings) -> Sequence[Default]:
    expired_hour, expired_minute = settings.remove_expired_at.split(":")
    vacuum_hour, vacuum_minute = settings.vacuum_at.split(":")
    return (
        Default(
            name="remove-expired-data",
            cron=f"{int(expired_minute)} {int(expired_hour)} {settings.remove_expired_on_day or 1} * *",
            message=pb.RemoveExpiredData(),
            description="Removes months older than the retention time.",
            enabled=settings.remove_expired_on_day > 0,
        ),
        Default(
            name="tune-autovacuum",
            cron=f"{int(vacuum_minute)} {int(vacuum_hour)} * * {(settings.vacuum_on_weekday or '*').lower()}",
            message=pb.TuneAutovacuum(),
            description="Lets big tables be vacuumed more often.",
        ),
        Default(
            name="delete-pending-sources",
            cron="0 4 * * *",
            message=pb.DeletePendingSources(),
            description="Deletes what is left of sources whose deletion did not come to its end.",
        ),
        Default(
            name="ensure-partitions",
            cron="10 0 * * *",
            message=pb.EnsurePartitions(months_ahead=1),
            description="Creates the partitions of the next month ahead of its first row.",
        ),
        Default(
            name="fetch-currency-rates",
            cron="0 1 * * *",
            message=pb.FetchCurrencyRates(),
            description="Fetches exchange rates, and begins to use those set by hand for a new month.",
        ),
        Default(
            name="remove-stale-objects",
            cron="30 2 * * *",
            message=pb.RemoveStaleObjects(),
            description="Removes objects that no row speaks of any more.",
        ),
        Default(
            name="remove-stale-tasks",
            cron="20 * * * *",
            message=pb.RemoveStaleTasks(),
            description="Removes the rows of tasks that ended hours ago.",
        ),
    )


# --------------------------------------------------------------------------------------------------------------- rows


def ensure_defaults(connection: Connection, wanted: Sequence[Default]) -> None:
    """Write the schedules that are not there; those that are may have been changed on purpose."""
    for default in wanted:
        row = {
            "name": default.name,
            "cron": default.cron,
            "task": default.message.DESCRIPTOR.full_name,
            "kwargs": encoded(default.message),
            "enabled": default.enabled,
            "description": default.description,
        }
        connection.execute(insert(SCHEDULED_TASK).values(row).on_conflict_do_nothing())


_LAST_TASK: Final = (
    select(SCHEDULED_TASK_RUN.c.task_id)
    .where(SCHEDULED_TASK_RUN.c.name == SCHEDULED_TASK.c.name)
    .order_by(SCHEDULED_TASK_RUN.c.scheduled_for.desc())
    .limit(1)
    .scalar_subquery()
    .label("last_task_id")
)
_COLUMNS: Final = (
    SCHEDULED_TASK.c.name,
    SCHEDULED_TASK.c.cron,
    SCHEDULED_TASK.c.task,
    SCHEDULED_TASK.c.kwargs.label("payload"),
    SCHEDULED_TASK.c.queue,
    SCHEDULED_TASK.c.enabled,
    SCHEDULED_TASK.c.description,
    SCHEDULED_TASK.c.last_run,
    SCHEDULED_TASK.c.next_run,
    _LAST_TASK,
)


def list_schedules(connection: Connection) -> list[Schedule]:
    rows = connection.execute(select(*_COLUMNS).order_by(SCHEDULED_TASK.c.name))
    return [Schedule(**row._mapping) for row in rows]


def get_schedule(connection: Connection, name: str) -> Schedule:
    row = connection.execute(select(*_COLUMNS).where(SCHEDULED_TASK.c.name == name)).one_or_none()
    if row is None:
        raise ScheduleNotFound(field="name")
    return Schedule(**row._mapping)


def update_schedule(
    connection: Connection,
    name: str,
    *,
    cron: str | None = None,
    enabled: bool | None = None,
    payload: Any = None,
    queue: str | None = None,
) -> Schedule:
    """Change what is not None. The next period is counted from now: switching on makes up for nothing."""
    schedule = get_schedule(connection, name)
    values: dict[str, Any] = {"updated_at": now(), "next_run": null()}
    if cron is not None:
        values["cron"] = cron_checked(cron)
    if enabled is not None:
        values["enabled"] = enabled
    if payload is not None:
        values["kwargs"] = encoded(decoded(task_type(schedule.task), payload))
    if queue is not None:
        values["queue"] = queue_checked(queue) if queue else None
    connection.execute(update(SCHEDULED_TASK).where(SCHEDULED_TASK.c.name == name).values(values))
    return get_schedule(connection, name)


def trigger(connection: Connection, name: str) -> uuid.UUID:
    """Queue the task of a schedule now; its periods stay as they are."""
    return _enqueue(connection, get_schedule(connection, name))


def _enqueue(connection: Connection, schedule: Schedule) -> uuid.UUID:
    message = decoded(task_type(schedule.task), schedule.payload)
    return enqueue(connection, message, queue=schedule.queue)


# -------------------------------------------------------------------------------------------------------------- ticks


def cron_checked(cron: str) -> str:
    """The same text if it is five fields of cron; BadRequest otherwise."""
    if len(cron.split()) != 5 or not croniter.is_valid(cron):
        raise BadRequest(f"{cron!r} is not five fields of cron", field="cron")
    return cron


def following(cron: str, moment: datetime) -> datetime:
    """The first period after a moment."""
    found: datetime = croniter(cron, moment).get_next(datetime)
    return found


def latest(cron: str, moment: datetime) -> datetime:
    """The last period that has begun by a moment."""
    found: datetime = croniter(cron, moment + timedelta(microseconds=1)).get_prev(datetime)
    return found


@dataclass(frozen=True, kw_only=True)
class Tick:
    """What one look at the schedule did, and when the next period begins."""

    queued: Sequence[str]
    next_run: datetime | None


def tick(connection: Connection) -> Tick:
    """Queue the tasks of the periods that have begun, each period once whoever looks.

    Periods that passed while nobody looked are merged into the latest: they run once.
    """
    moment: datetime = connection.execute(select(now())).scalar_one().astimezone(UTC)
    rows = connection.execute(
        select(SCHEDULED_TASK.c.name, SCHEDULED_TASK.c.cron, SCHEDULED_TASK.c.next_run)
        .where(SCHEDULED_TASK.c.enabled)
        .order_by(SCHEDULED_TASK.c.name)
        .with_for_update(skip_locked=True)
    ).all()
    queued: list[str] = []
    upcoming: list[datetime] = []
    for row in rows:
        try:
            next_run = row.next_run or following(row.cron, moment)
            if next_run <= moment:
                scheduled_for = latest(row.cron, moment)
                if _run_period(connection, row.name, scheduled_for):
                    queued.append(row.name)
                    if scheduled_for > next_run:
                        MISSED.labels(row.name).inc()
                        log.warning("schedule_missed", schedule=row.name, since=next_run, run_for=scheduled_for)
                next_run = following(row.cron, moment)
        except (KuraError, CroniterError) as error:
            # One broken row, say of a task that is no more, does not stop the others.
            log.error("schedule_broken", schedule=row.name, error=str(error))
            continue
        upcoming.append(next_run)
        if next_run != row.next_run:
            connection.execute(
                update(SCHEDULED_TASK).where(SCHEDULED_TASK.c.name == row.name).values(next_run=next_run)
            )
    return Tick(queued=queued, next_run=min(upcoming, default=None))


def _run_period(connection: Connection, name: str, scheduled_for: datetime) -> bool:
    """Queue the task of one period; False if it was queued before."""
    period = {"name": name, "scheduled_for": scheduled_for}
    is_new = connection.execute(insert(SCHEDULED_TASK_RUN).values(period).on_conflict_do_nothing()).rowcount == 1
    if not is_new:
        return False
    with connection.begin_nested():
        task_id = _enqueue(connection, get_schedule(connection, name))
    run = (SCHEDULED_TASK_RUN.c.name == name) & (SCHEDULED_TASK_RUN.c.scheduled_for == scheduled_for)
    connection.execute(update(SCHEDULED_TASK_RUN).where(run).values(task_id=task_id))
    connection.execute(update(SCHEDULED_TASK).where(SCHEDULED_TASK.c.name == name).values(last_run=scheduled_for))
    old = (SCHEDULED_TASK_RUN.c.name == name) & (SCHEDULED_TASK_RUN.c.scheduled_for < scheduled_for - RUNS_KEPT)
    connection.execute(delete(SCHEDULED_TASK_RUN).where(old))
    TICKS.labels(name).inc()
    log.info("schedule_ran", schedule=name, scheduled_for=scheduled_for, task_id=str(task_id))
    return True


class Ticker:
    """Background work: looks at the schedule when the next period begins, or soon after it was changed."""

    def __init__(self, *, books: Books, defaults: Sequence[Default]) -> None:
        self._books = books
        self._defaults = defaults
        self._leader = Leader("schedule", books=books, term=self._term)

    async def run(self) -> None:
        await self._leader.run()

    async def stop(self) -> None:
        await self._leader.stop()

    async def _term(self) -> None:
        await self._books.call(lambda connection: ensure_defaults(connection, self._defaults))
        while True:
            pause = LOOK_SECONDS
            try:
                looked = await self._books.call(tick)
                if looked.next_run is not None:
                    until = (looked.next_run - datetime.now(UTC)).total_seconds()
                    pause = min(max(until, 0.05), LOOK_SECONDS)
            except KuraError as error:
                log.warning("schedule_unread", code=error.code, error=str(error))
            await asyncio.sleep(pause)
