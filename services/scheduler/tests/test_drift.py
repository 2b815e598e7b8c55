"""Days that are stored and not summarised get the task that mends them."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select, update

from kura.core.days import DayRange, Month
from kura.queue import states
from kura.queue.outbox import enqueue
from kura.rpc.tasks.v1 import tasks_pb2 as pb
from kura.scheduler import drift
from kura.store.database import Database
from kura.store.partitions import ensure_partitions
from kura.store.tables.shared import (
    CUSTOMER,
    INGESTED_FILE_DAY,
    MANIFEST,
    MANIFEST_FILE,
    MANIFEST_RANGE,
    PROVIDER,
    TASK,
    UPLOAD,
)
from kura.testing.postgres import SCHEMA

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(hours=2)
PROVIDER_UUID = uuid.UUID("11111111-2222-3333-4444-555555555555")


@pytest.fixture
def db(database: Database, tenant_schema: str) -> Database:
    with database.begin() as connection:
        customer = connection.scalar(select(CUSTOMER.c.id))
        connection.execute(PROVIDER.insert().values(uuid=PROVIDER_UUID, name="c", type="OCP", customer_id=customer))
    return database


def add_manifest(
    db: Database, *days: date, unfinished: int = 0, created: datetime = LONG_AGO, stored: datetime = LONG_AGO
) -> int:
    with db.begin() as connection:
        manifest_id = connection.execute(
            MANIFEST.insert()
            .values(
                assembly_id=uuid.uuid4().hex,
                provider_id=PROVIDER_UUID,
                billing_period_start_datetime=NOW,
                creation_datetime=created,
            )
            .returning(MANIFEST.c.id)
        ).scalar_one()
        files = [("a.csv", NOW), *((f"missing-{number}.csv", None) for number in range(unfinished))]
        for name, done in files:
            connection.execute(
                MANIFEST_FILE.insert().values(manifest_id=manifest_id, report_name=name, completed_datetime=done)
            )
        for day in days:
            connection.execute(
                INGESTED_FILE_DAY.insert().values(
                    provider_uuid=PROVIDER_UUID,
                    report_type="pod_usage",
                    day=day,
                    manifest_id=manifest_id,
                    report_name="a.csv",
                    accepted_order=1,
                    created_at=stored,
                )
            )
    return manifest_id


def add_range(db: Database, manifest_id: int, start: date, end: date, *, summarised: datetime | None = None) -> None:
    with db.begin() as connection:
        connection.execute(
            MANIFEST_RANGE.insert().values(
                manifest_id=manifest_id,
                month=start.replace(day=1),
                start_date=start,
                end_date=end,
                summarised_at=summarised,
            )
        )


def tasks(db: Database) -> list[tuple[str, dict]]:
    with db.begin() as connection:
        rows = connection.execute(select(TASK.c.type, TASK.c.payload).order_by(TASK.c.created_at)).all()
    return [(row.type.rsplit(".", 1)[-1], row.payload) for row in rows]


def summary(start: str, end: str, *manifests: int) -> tuple[str, dict]:
    facts = {
        "schemaName": SCHEMA,
        "providerUuid": str(PROVIDER_UUID),
        "startDate": start,
        "endDate": end,
        "manifestIds": [str(manifest) for manifest in manifests],
        "cause": "drift",
    }
    return "SummariseRange", facts


JAN_30, JAN_31, FEB_1 = date(2025, 1, 30), date(2025, 1, 31), date(2025, 2, 1)


class TestCompleteManifests:
    def test_days_nobody_asked_to_summarise_are_summarised_month_by_month(self, db: Database):
        manifest_id = add_manifest(db, JAN_30, JAN_31, FEB_1)
        with db.begin() as connection:
            assert drift.add_ranges_of_complete(connection, after_seconds=900) == 1
            assert drift.add_ranges_of_complete(connection, after_seconds=900) == 0
        assert tasks(db) == [
            summary("2025-01-30", "2025-01-31", manifest_id),
            summary("2025-02-01", "2025-02-01", manifest_id),
        ]

    def test_not_before_their_time_nor_while_files_are_missing_nor_of_a_paused_source(self, db: Database):
        add_manifest(db, JAN_30, stored=NOW)
        add_manifest(db, JAN_30, unfinished=1)
        with db.begin() as connection:
            assert drift.add_ranges_of_complete(connection, after_seconds=900) == 0
        add_manifest(db, JAN_30)
        with db.begin() as connection:
            connection.execute(update(PROVIDER).values(paused=True))
            assert drift.add_ranges_of_complete(connection, after_seconds=900) == 0


class TestPartialManifests:
    @pytest.mark.parametrize(("hours", "count"), [(25, 1), (23, 0)])
    def test_F41_what_came_is_summarised_after_a_day(self, db: Database, hours: int, count: int):
        manifest_id = add_manifest(db, JAN_30, unfinished=1)
        with db.begin() as connection:
            connection.execute(
                UPLOAD.insert().values(
                    request_id="r",
                    org_id="1234567",
                    object_key="k",
                    state="waiting",
                    reason_code="partial",
                    manifest_id=manifest_id,
                    accepted_at=NOW - timedelta(hours=hours),
                )
            )
        with db.begin() as connection:
            assert drift.add_ranges_of_partial(connection, after_seconds=86400) == count
        assert tasks(db) == [summary("2025-01-30", "2025-01-30", manifest_id)] * count


class TestRanges:
    def test_forgotten_ranges_of_one_month_are_one_task(self, db: Database):
        first, second = add_manifest(db, JAN_30), add_manifest(db, JAN_31)
        add_range(db, first, JAN_30, JAN_30)
        add_range(db, second, JAN_31, JAN_31)
        with db.begin() as connection:
            assert drift.summarise_forgotten_ranges(connection, after_seconds=900) == 1
            assert drift.summarise_forgotten_ranges(connection, after_seconds=900) == 0
        assert tasks(db) == [summary("2025-01-30", "2025-01-31", first, second)]

    def test_not_those_whose_task_died_since_an_administrator_decides(self, db: Database):
        manifest_id = add_manifest(db, JAN_30)
        add_range(db, manifest_id, JAN_30, JAN_30)
        message = pb.SummariseRange(
            schema_name=SCHEMA, provider_uuid=str(PROVIDER_UUID), start_date="2025-01-30", end_date="2025-01-30",
            manifest_ids=[manifest_id],
        )  # fmt: skip
        with db.begin() as connection:
            task_id = enqueue(connection, message)
        with db.begin() as connection:
            claim = states.claim(connection, task_id, owner="w", lease_seconds=9)
            states.die(connection, claim, code="x", error="y")
        with db.begin() as connection:
            assert drift.summarise_forgotten_ranges(connection, after_seconds=900) == 0

    @pytest.mark.parametrize(("summarised", "count"), [(LONG_AGO - timedelta(hours=1), 1), (NOW, 0)])
    def test_a_range_summarised_before_its_last_day_was_stored_is_done_again(self, db: Database, summarised, count):
        manifest_id = add_manifest(db, JAN_30)
        add_range(db, manifest_id, JAN_30, JAN_30, summarised=summarised)
        with db.begin() as connection:
            assert drift.reopen_outdated_ranges(connection, after_seconds=900) == count
            assert drift.summarise_forgotten_ranges(connection, after_seconds=900) == count
        assert tasks(db) == [summary("2025-01-30", "2025-01-30", manifest_id)] * count


class TestCompletion:
    def test_summarised_manifests_that_nobody_marked_complete_are_marked(self, db: Database):
        manifest_id = add_manifest(db, JAN_30)
        add_range(db, manifest_id, JAN_30, JAN_30, summarised=LONG_AGO)
        still_open = add_manifest(db, JAN_30)
        add_range(db, still_open, JAN_30, JAN_30, summarised=LONG_AGO)
        add_range(db, still_open, FEB_1, FEB_1)
        with db.begin() as connection:
            assert drift.complete_manifests(connection, after_seconds=900) == 1
            assert drift.complete_manifests(connection, after_seconds=900) == 0
        facts = {"schemaName": SCHEMA, "providerUuid": str(PROVIDER_UUID), "manifestIds": [str(manifest_id)]}
        assert tasks(db) == [("MarkManifestsComplete", facts)]


class TestPartitions:
    def test_a_tenant_without_the_partitions_of_this_month_gets_them(self, db: Database):
        with db.begin() as connection:
            assert drift.ensure_partitions(connection) == 1
        assert tasks(db) == [("EnsurePartitions", {"schemaName": SCHEMA})]

    def test_a_tenant_that_has_them_is_left_alone(self, db: Database):
        with db.begin() as connection:
            ensure_partitions(connection, SCHEMA, months=[Month.of(NOW.date())])
        with db.begin() as connection:
            assert drift.ensure_partitions(connection) == 0
        assert tasks(db) == []


class TestTotals:
    def test_the_last_days_of_every_source_are_compared_once_a_day(self, db: Database):
        add_manifest(db, NOW.date() - timedelta(days=1))
        for expected in (1, 0, 0):
            with db.begin() as connection:
                assert drift.compare_totals(connection, days=5) == expected
        window = DayRange(NOW.date() - timedelta(days=5), NOW.date() - timedelta(days=1))
        assert [(name, facts["startDate"], facts["endDate"]) for name, facts in tasks(db)] == [
            ("ValidateRange", part.start.isoformat(), part.end.isoformat()) for part in window.by_month()
        ]

    def test_not_of_a_source_without_days_nor_when_it_is_switched_off(self, db: Database):
        with db.begin() as connection:
            assert drift.compare_totals(connection, days=0) == 0
            assert drift.compare_totals(connection, days=5) == 0
        assert tasks(db) == []
