"""Asking for tasks: who gives way to whom, and what administrators see of it."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from kura.core.errors import BadRequest
from kura.queue import states
from kura.queue.admin import Backlog, TaskFilter, backlogs, list_tasks, remove_finished
from kura.queue.outbox import enqueue, open_group
from kura.queue.queues import QUEUES
from kura.rpc.tasks.v1 import tasks_pb2 as pb
from kura.store.database import Database
from kura.store.tables.shared import TASK, TENANT_TABLE

PAYLOAD = pb.IngestPayload


def priorities(db: Database, schema: str) -> list[int]:
    with db.begin() as connection:
        return list(
            connection.scalars(select(TASK.c.priority).where(TASK.c.schema_name == schema).order_by(TASK.c.created_at))
        )


def add(db: Database, *uploads: int, **kwargs) -> list:
    with db.begin() as connection:
        return [enqueue(connection, PAYLOAD(upload_id=upload), **kwargs) for upload in uploads]


def test_F43_a_tenant_with_many_waiting_tasks_lets_others_pass(database: Database):
    for upload in range(120):
        add(database, upload, schema="org1")
    add(database, 1000, schema="org2")

    busy = priorities(database, "org1")
    assert (busy[0], busy[9], busy[10], busy[99], busy[100]) == (4, 4, 3, 3, 2)
    assert priorities(database, "org2") == [4]

    with database.begin() as connection:
        order = [states.claim_next(connection, ["default"], owner="w", lease_seconds=9).schema_name for _ in range(11)]
    assert order == ["org1"] * 10 + ["org2"]


def test_a_priority_queue_goes_before_the_others_in_one_process(database: Database):
    add(database, 1)
    add(database, 2, queue="priority")
    with database.begin() as connection:
        claim = states.claim_next(connection, QUEUES, owner="w", lease_seconds=9)
    assert claim.payload == {"uploadId": "2"}


def test_asking_again_earlier_starts_it_earlier_and_never_later(database: Database):
    (task_id,) = add(database, 1, not_before=timedelta(hours=2))
    assert add(database, 1, not_before=timedelta(hours=1)) == [task_id]
    assert add(database, 1, not_before=timedelta(hours=3)) == [task_id]
    with database.begin() as connection:
        start = connection.scalar(select(TASK.c.not_before))
    assert abs((start - datetime.now(UTC)).total_seconds() - 3600) < 60


def test_an_explicit_queue_wins_over_the_routing_of_the_tenant(database: Database):
    with database.begin() as connection:
        connection.execute(TENANT_TABLE.insert().values(schema_name="org1", flags=["penalty"]))
        message = pb.SummariseRange(
            schema_name="org1", provider_uuid="p", start_date="2025-01-01", end_date="2025-01-02", queue_name="ocp_xl"
        )
        enqueue(connection, message)
        assert connection.execute(select(TASK.c.queue, TASK.c.queue_class)).one() == ("summary_xl", "summary")


@pytest.mark.parametrize(
    "kwargs",
    [{"queue": "nowhere"}, {"priority": 10}, {"priority": -1}, {"not_before": datetime(2030, 1, 1)}],
)
def test_what_cannot_be_queued_is_refused(database: Database, kwargs):
    with pytest.raises(BadRequest):
        add(database, 1, **kwargs)


def test_a_group_of_none_is_refused(database: Database):
    with database.begin() as connection, pytest.raises(BadRequest):
        open_group(connection, size=0, follow_up=PAYLOAD(upload_id=1))


def test_a_rate_limited_tenant_runs_two_of_a_kind_at_once(database: Database):
    with database.begin() as connection:
        connection.execute(TENANT_TABLE.insert().values(schema_name="org1", flags=["rate_limited"]))
        for provider in "abc":
            range_ = pb.SummariseRange(
                schema_name="org1", provider_uuid=provider, start_date="2025-01-01", end_date="2025-01-02"
            )
            enqueue(connection, range_)
        claims = [states.claim_next(connection, ["summary"], owner="w", lease_seconds=9) for _ in range(3)]
        assert states.is_over_rate_limit(connection, claims[2])
        states.succeed(connection, claims[0])
        assert not states.is_over_rate_limit(connection, claims[2])
        connection.execute(update(TENANT_TABLE).values(flags=[]))
        assert not states.is_over_rate_limit(connection, claims[1])


def test_every_change_of_a_running_task_needs_the_token_of_its_claim(database: Database):
    (task_id,) = add(database, 1)
    with database.begin() as connection:
        old = states.claim(connection, task_id, owner="w1", lease_seconds=-1)
    with database.begin() as connection:
        states.requeue_expired(connection)
        connection.execute(update(TASK).values(not_before=TASK.c.created_at))
    with database.begin() as connection:
        new = states.claim(connection, task_id, owner="w2", lease_seconds=9)
        assert not states.renew(connection, old, lease_seconds=9)
        assert not states.succeed(connection, old, follow_ups=[PAYLOAD(upload_id=2)])
        assert not states.die(connection, old, code="x", error="y")
        assert not states.requeue(connection, old, delay_seconds=0)
        assert not states.is_held(connection, old)
        assert states.is_held(connection, new)
        assert states.succeed(connection, new)
        assert not states.succeed(connection, new)
        assert connection.scalar(select(TASK.c.id).where(TASK.c.id != task_id)) is None


def test_backlogs_count_what_waits_runs_and_died_in_every_queue(database: Database):
    add(database, 1, 2)
    add(database, 3, not_before=timedelta(hours=1))
    dead, running = add(database, 4, 5)
    with database.begin() as connection:
        states.die(connection, states.claim(connection, dead, owner="w", lease_seconds=9), code="x", error="y")
        states.claim(connection, running, owner="w", lease_seconds=9)
        found = {each.queue: each for each in backlogs(connection)}
    default = found.pop("default")
    assert (default.ready, default.delayed, default.running, default.dead) == (2, 1, 1, 1)
    assert default.oldest_ready_seconds > 0
    assert all(backlog == Backlog(queue=queue) for queue, backlog in found.items())


def test_finished_tasks_go_after_hours_and_dead_ones_after_a_month(database: Database):
    done, dead, waiting, recent = add(database, 1, 2, 3, 4)
    with database.begin() as connection:
        for task_id, state, hours in ((done, "succeeded", 9), (dead, "dead", 9), (recent, "succeeded", 7)):
            finished = TASK.c.created_at - timedelta(hours=hours)
            connection.execute(update(TASK).where(TASK.c.id == task_id).values(state=state, finished_at=finished))
        assert remove_finished(connection) == 1
        connection.execute(
            update(TASK).where(TASK.c.id == dead).values(finished_at=TASK.c.created_at - timedelta(days=31))
        )
        assert remove_finished(connection) == 1
        assert set(connection.scalars(select(TASK.c.id))) == {waiting, recent}


def test_a_list_can_be_narrowed_to_one_chain(database: Database):
    (first,) = add(database, 1)
    (second,) = add(database, 2, parent=first)
    (third,) = add(database, 3, parent=second)
    add(database, 4)
    with database.begin() as connection:
        found = list_tasks(connection, TaskFilter(root=first)).tasks
    assert {task.id for task in found} == {first, second, third}
