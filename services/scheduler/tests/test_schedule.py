"""Periods are effective once, missed ones are merged, and the schedule is editable while it runs."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from kura.core.errors import BadRequest
from kura.queue.tasks import TASK_TYPES
from kura.rpc.tasks.v1 import tasks_pb2 as pb
from kura.scheduler.config import ScheduleSettings
from kura.scheduler.schedule import (
    Default,
    ScheduleNotFound,
    cron_checked,
    defaults,
    ensure_defaults,
    following,
    get_schedule,
    latest,
    list_schedules,
    tick,
    trigger,
    update_schedule,
)
from kura.store.database import Database
from kura.store.tables.shared import SCHEDULED_TASK, SCHEDULED_TASK_RUN, TASK

HOURLY = Default(name="hourly", cron="0 * * * *", message=pb.RemoveStaleTasks(), description="An hourly one.")


@pytest.fixture
def db(database: Database) -> Database:
    with database.begin() as connection:
        ensure_defaults(connection, [HOURLY])
    return database


def set_next_run(db: Database, moment: datetime) -> None:
    with db.begin() as connection:
        connection.execute(update(SCHEDULED_TASK).values(next_run=moment))


def tasks(db: Database) -> int:
    with db.begin() as connection:
        return connection.scalar(select(func.count()).select_from(TASK))


def look(db: Database):
    with db.begin() as connection:
        return tick(connection)


def test_a_new_schedule_waits_for_its_first_period(db: Database):
    assert look(db).queued == []
    with db.begin() as connection:
        schedule = get_schedule(connection, "hourly")
    assert schedule.next_run == following("0 * * * *", datetime.now(UTC))
    assert schedule.last_run is None
    assert tasks(db) == 0


def test_a_period_that_has_begun_queues_its_task_once(db: Database):
    begun = latest("0 * * * *", datetime.now(UTC))
    set_next_run(db, begun)
    assert look(db).queued == ["hourly"]
    assert look(db).queued == []
    with db.begin() as connection:
        schedule = get_schedule(connection, "hourly")
        task_id = connection.scalar(select(TASK.c.id))
    assert (schedule.last_run, schedule.next_run) == (begun, begun + timedelta(hours=1))
    assert schedule.last_task_id == task_id


@pytest.mark.parametrize("away", [timedelta(hours=3), timedelta(days=3)])
def test_F48_periods_missed_while_no_scheduler_ran_are_one_catch_up(db: Database, away: timedelta):
    now = datetime.now(UTC)
    set_next_run(db, latest("0 * * * *", now - away))
    assert look(db).queued == ["hourly"]
    assert look(db).queued == []
    with db.begin() as connection:
        assert get_schedule(connection, "hourly").last_run == latest("0 * * * *", now)
    assert tasks(db) == 1


def test_F47_of_many_schedulers_at_once_one_queues_the_period(db: Database):
    begun = latest("0 * * * *", datetime.now(UTC))
    for _ in range(5):
        set_next_run(db, begun)
        threads = [threading.Thread(target=look, args=(db,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with db.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(SCHEDULED_TASK_RUN)) == 1
    assert tasks(db) == 1


def test_a_schedule_that_is_off_is_skipped_and_makes_up_for_nothing_when_it_is_on_again(db: Database):
    with db.begin() as connection:
        update_schedule(connection, "hourly", enabled=False)
    set_next_run(db, datetime.now(UTC) - timedelta(days=1))
    assert look(db).queued == []
    with db.begin() as connection:
        update_schedule(connection, "hourly", enabled=True)
    assert look(db).queued == []
    assert tasks(db) == 0


def test_a_changed_period_counts_from_now(db: Database):
    with db.begin() as connection:
        update_schedule(connection, "hourly", cron="30 4 * * *")
    look(db)
    with db.begin() as connection:
        assert get_schedule(connection, "hourly").next_run == following("30 4 * * *", datetime.now(UTC))


def test_a_changed_schedule_survives_a_restart(db: Database):
    with db.begin() as connection:
        update_schedule(connection, "hourly", cron="30 4 * * *", payload={"olderThanSeconds": "60"})
        ensure_defaults(connection, [HOURLY])
        schedule = get_schedule(connection, "hourly")
    assert (schedule.cron, schedule.payload) == ("30 4 * * *", {"olderThanSeconds": "60"})


def test_triggering_queues_the_task_now_and_leaves_the_periods_alone(db: Database):
    look(db)
    with db.begin() as connection:
        before = get_schedule(connection, "hourly")
        first, second = trigger(connection, "hourly"), trigger(connection, "hourly")
        assert first == second
        assert get_schedule(connection, "hourly") == before


def test_a_broken_row_does_not_stop_the_others(db: Database):
    with db.begin() as connection:
        connection.execute(
            SCHEDULED_TASK.insert().values(name="a-broken-one", cron="0 * * * *", task="kura.tasks.v1.NoMore")
        )
    set_next_run(db, latest("0 * * * *", datetime.now(UTC)))
    assert look(db).queued == ["hourly"]


@pytest.mark.parametrize("cron", ["", "* * * *", "* * * * * *", "61 * * * *", "every day", "@daily"])
def test_what_is_not_five_fields_of_cron_is_refused(cron: str):
    with pytest.raises(BadRequest):
        cron_checked(cron)


def test_an_unknown_schedule_says_so(db: Database):
    with db.begin() as connection, pytest.raises(ScheduleNotFound):
        trigger(connection, "nightly")


def test_every_default_can_be_queued(database: Database):
    wanted = defaults(ScheduleSettings())
    with database.begin() as connection:
        ensure_defaults(connection, wanted)
        for schedule in list_schedules(connection):
            cron_checked(schedule.cron)
            assert schedule.task in TASK_TYPES
            trigger(connection, schedule.name)
    assert tasks(database) == len(wanted)


def test_settings_say_when_and_whether():
    by_name = {default.name: default for default in defaults(ScheduleSettings())}
    assert by_name["remove-expired-data"].cron == "0 0 1 * *"
    assert by_name["tune-autovacuum"].cron == "0 0 * * *"

    changed = defaults(
        ScheduleSettings(
            remove_expired_on_day=5, remove_expired_at="03:30", vacuum_on_weekday="SUN", vacuum_at="22:05",
        )
    )  # fmt: skip
    by_name = {default.name: default for default in changed}
    assert by_name["remove-expired-data"].cron == "30 3 5 * *"
    assert by_name["tune-autovacuum"].cron == "5 22 * * sun"
    assert not {d.name: d for d in defaults(ScheduleSettings(remove_expired_on_day=0))}["remove-expired-data"].enabled
