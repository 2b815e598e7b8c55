"""Uploads and tasks that disagree are put right."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from kura.queue import states
from kura.queue.outbox import enqueue
from kura.rpc.tasks.v1 import tasks_pb2 as pb
from kura.scheduler import status
from kura.store.database import Database
from kura.store.tables.shared import CUSTOMER, MANIFEST, MANIFEST_FILE, PROVIDER, TASK, UPLOAD

ORG = "org1234567"
NOW = datetime.now(UTC)
PROVIDER_UUID = uuid.UUID("11111111-2222-3333-4444-555555555555")


@pytest.fixture
def db(database: Database) -> Database:
    with database.begin() as connection:
        customer = connection.execute(
            CUSTOMER.insert().values(org_id="1234567", schema_name=ORG).returning(CUSTOMER.c.id)
        ).scalar_one()
        connection.execute(PROVIDER.insert().values(uuid=PROVIDER_UUID, name="c", type="OCP", customer_id=customer))
    return database


def add_manifest(db: Database, *, missing: tuple[str, ...] = ()) -> int:
    with db.begin() as connection:
        manifest_id = connection.execute(
            MANIFEST.insert()
            .values(assembly_id=uuid.uuid4().hex, provider_id=PROVIDER_UUID, billing_period_start_datetime=NOW)
            .returning(MANIFEST.c.id)
        ).scalar_one()
        for name in ("a.csv", *missing):
            done = None if name in missing else NOW
            connection.execute(
                MANIFEST_FILE.insert().values(manifest_id=manifest_id, report_name=name, completed_datetime=done)
            )
    return manifest_id


def add_upload(db: Database, **facts) -> int:
    with db.begin() as connection:
        values = {"request_id": "r", "org_id": "1234567", "object_key": "k", "schema_name": ORG, **facts}
        return connection.execute(UPLOAD.insert().values(values).returning(UPLOAD.c.id)).scalar_one()


def upload(db: Database, upload_id: int):
    with db.begin() as connection:
        return connection.execute(select(UPLOAD).where(UPLOAD.c.id == upload_id)).one()


def queue(db: Database, message) -> uuid.UUID:
    with db.begin() as connection:
        return enqueue(connection, message)


def kill(db: Database, task_id: uuid.UUID, *, code: str = "payload_refused", error: str = "no manifest") -> None:
    with db.begin() as connection:
        claim = states.claim(connection, task_id, owner="w", lease_seconds=60)
        states.die(connection, claim, code=code, error=error)


def summary(*manifests: int) -> pb.SummariseRange:
    return pb.SummariseRange(
        schema_name=ORG, provider_uuid=str(PROVIDER_UUID), start_date="2025-01-05", end_date="2025-01-10",
        manifest_ids=manifests,
    )  # fmt: skip


class TestIngest:
    def test_an_upload_whose_task_died_has_failed_and_says_why(self, db: Database):
        upload_id = add_upload(db, state="processing")
        kill(db, queue(db, pb.IngestPayload(upload_id=upload_id)))
        with db.begin() as connection:
            assert status.fail_uploads_whose_ingest_died(connection) == 1
            assert status.fail_uploads_whose_ingest_died(connection) == 0
        found = upload(db, upload_id)
        assert (found.state, found.reason_code) == ("failed", "payload_refused")
        assert found.reason == "Processing failed while it was read: no manifest"
        assert found.finished_at is not None

    def test_not_while_it_is_tried_again(self, db: Database):
        upload_id = add_upload(db, state="processing")
        kill(db, queue(db, pb.IngestPayload(upload_id=upload_id)))
        queue(db, pb.IngestPayload(upload_id=upload_id))
        with db.begin() as connection:
            assert status.fail_uploads_whose_ingest_died(connection) == 0

    def test_the_death_of_another_upload_does_not_matter(self, db: Database):
        upload_id, other = add_upload(db, state="processing"), add_upload(db, state="done")
        kill(db, queue(db, pb.IngestPayload(upload_id=other)))
        queue(db, pb.IngestPayload(upload_id=upload_id))
        with db.begin() as connection:
            assert status.fail_uploads_whose_ingest_died(connection) == 0

    def test_an_accepted_upload_that_no_task_speaks_of_is_queued(self, db: Database):
        lost = add_upload(db, state="accepted", updated_at=NOW - timedelta(hours=1))
        add_upload(db, state="accepted")
        has_task = add_upload(db, state="accepted", updated_at=NOW - timedelta(hours=1))
        queue(db, pb.IngestPayload(upload_id=has_task))
        with db.begin() as connection:
            assert status.queue_lost_uploads(connection, older_than_seconds=900) == 1
            assert status.queue_lost_uploads(connection, older_than_seconds=900) == 0
            payloads = connection.scalars(select(TASK.c.payload).order_by(TASK.c.created_at)).all()
        assert payloads == [{"uploadId": str(has_task)}, {"uploadId": str(lost)}]


class TestSummary:
    def test_an_upload_whose_summary_died_has_failed(self, db: Database):
        manifest_id = add_manifest(db)
        upload_id = add_upload(db, state="processing", parsed_at=NOW, manifest_id=manifest_id)
        kill(db, queue(db, summary(7, manifest_id)), code="invalid_data", error="a day is broken")
        with db.begin() as connection:
            assert status.fail_uploads_whose_summary_died(connection) == 1
        found = upload(db, upload_id)
        assert (found.state, found.reason_code) == ("failed", "invalid_data")
        assert found.reason == "Processing failed while its days were summarised: a day is broken"

    def test_not_while_the_chain_goes_on(self, db: Database):
        manifest_id = add_manifest(db)
        add_upload(db, state="processing", parsed_at=NOW, manifest_id=manifest_id)
        kill(db, queue(db, summary(manifest_id)))
        queue(db, pb.MarkManifestsComplete(schema_name=ORG, provider_uuid="p", manifest_ids=[manifest_id]))
        with db.begin() as connection:
            assert status.fail_uploads_whose_summary_died(connection) == 0

    def test_a_manifest_whose_number_is_part_of_another_is_another(self, db: Database):
        manifest_id = add_manifest(db)
        add_upload(db, state="processing", parsed_at=NOW, manifest_id=manifest_id)
        kill(db, queue(db, summary(int(f"{manifest_id}0"), int(f"1{manifest_id}"))))
        with db.begin() as connection:
            assert status.fail_uploads_whose_summary_died(connection) == 0


class TestPartial:
    def test_F41_an_upload_whose_other_files_have_not_come_in_an_hour_is_called_partial(self, db: Database):
        manifest_id = add_manifest(db, missing=("b.csv", "c.csv"))
        facts = {"state": "waiting", "reason_code": "incomplete_manifest", "manifest_id": manifest_id}
        late = add_upload(db, accepted_at=NOW - timedelta(minutes=70), **facts)
        recent = add_upload(db, accepted_at=NOW - timedelta(minutes=30), **facts)
        with db.begin() as connection:
            assert status.flag_partial_uploads(connection, older_than_seconds=3600) == 1
        assert upload(db, late).reason_code == "partial"
        assert upload(db, late).reason == "Files that the manifest names have not come: b.csv, c.csv."
        assert upload(db, recent).reason_code == "incomplete_manifest"


class TestTasks:
    def test_a_task_whose_worker_fell_silent_goes_back_to_its_queue(self, db: Database):
        task_id = queue(db, pb.IngestPayload(upload_id=1))
        with db.begin() as connection:
            states.claim(connection, task_id, owner="gone", lease_seconds=-1)
        with db.begin() as connection:
            assert status.requeue_expired_leases(connection) == 1
            row = connection.execute(select(TASK)).one()
        assert (row.state, row.attempt, row.error_code, row.published_at) == ("queued", 1, "worker_lost", None)

    def test_after_its_last_attempt_it_is_dead(self, db: Database):
        task_id = queue(db, pb.IngestPayload(upload_id=1))
        with db.begin() as connection:
            connection.execute(update(TASK).values(attempt=4))
            states.claim(connection, task_id, owner="gone", lease_seconds=-1)
        with db.begin() as connection:
            status.requeue_expired_leases(connection)
            row = connection.execute(select(TASK)).one()
        assert (row.state, row.error) == ("dead", "worker gone fell silent in attempt 5")

    def test_a_task_with_a_live_lease_is_left_alone(self, db: Database):
        task_id = queue(db, pb.IngestPayload(upload_id=1))
        with db.begin() as connection:
            states.claim(connection, task_id, owner="w", lease_seconds=30)
        with db.begin() as connection:
            assert status.requeue_expired_leases(connection) == 0
