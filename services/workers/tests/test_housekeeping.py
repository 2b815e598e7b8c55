"""What is removed and what stays (tasks-and-queues §3.2, §7; ocp-payload §7; reliability F49)."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, insert, select, text
from workers_house import DAY, TODAY, House, at, payload, pods

from kura.core.days import Month
from kura.queue.outbox import enqueue
from kura.rpc.tasks.v1 import tasks_pb2
from kura.store import leases
from kura.store.database import Database
from kura.store.partitions import ensure_partitions
from kura.store.tables.shared import INGESTED_FILE_DAY, PROVIDER, SOURCES, TASK, TENANT_TABLE
from kura.store.tables.tenant import DAILY_SUMMARY, PARTITIONED_TABLES, REPORT_PERIOD, TENANT_PROVIDER
from kura.store.tenancy import ensure_tenant, get_or_create_customer
from kura.workers import removal
from kura.workers.config import IngestSettings
from kura.workers.handlers.summarise import summary_lease
from kura.workers.workspace import private_directory, remove_abandoned

LONG_AGO = timedelta(days=30)


async def run(house: House, message: object) -> None:
    with house.db.begin() as c:
        enqueue(c, message)
    await house.work()


def age(house: House, prefix: str = "", by: timedelta = LONG_AGO) -> None:
    """Objects as if written long ago."""
    moment = (datetime.now(UTC) - by).timestamp()
    for key in house.objects.keys(prefix):
        path = Path(house.objects.arrow_path(key))
        os.utime(path, (moment, moment))


def move_uploads_back(house: House, interval: str) -> None:
    house.execute(
        "update upload set updated_at = now() - cast(:interval as interval),"
        " finished_at = now() - cast(:interval as interval) where finished_at is not null or state = 'waiting'",
        interval=interval,
    )
    house.execute("update upload set finished_at = null where state = 'waiting'")


def add_summary_row(house: House, provider_uuid: UUID, day: date = DAY) -> None:
    with house.db.tenant(house.schema) as c:
        ensure_partitions(c, house.schema, [DAILY_SUMMARY.name], months=[day])
        c.execute(
            insert(DAILY_SUMMARY).values(usage_start=day, usage_end=day, source_uuid=provider_uuid, cluster_id="c")
        )


# ── deleted sources ──────────────────────────────────────────────────────────────────────────────────────────────────


def summary_object(house: House, provider_uuid: UUID, day: date) -> str:
    """The key under which the aggregator keeps the summary of a day."""
    return (
        f"data/parquet/daily/{house.schema}/OCP/{DAILY_SUMMARY.name}/source={provider_uuid}"
        f"/year={day:%Y}/month={day:%m}/day={day:%d}/summary.parquet"
    )


async def test_nothing_is_left_of_a_deleted_source_and_others_keep_everything(house):
    doomed, other = house.add_source(), house.add_source("cluster-2")
    await house.take_in(payload({"pods.csv": pods(DAY)}, optimization={"ros.csv": b"x"}))
    await house.take_in(payload({"pods.csv": pods(DAY)}, cluster_id="cluster-2"))
    waiting = await house.take_in(payload({"pods.csv": pods(DAY)}, named=["pods.csv", "never.csv"]))
    for source in (doomed, other):
        add_summary_row(house, source)
        house.objects.write(summary_object(house, source, DAY), b"summary")
    house.execute("update api_sources set pending_delete = true where provider_id = :id", id=doomed)

    await run(house, tasks_pb2.DeletePendingSources())

    assert [info.key for info in house.objects.list() if str(doomed) in info.key] == []
    assert len([key for key in house.parquet_keys() if str(other) in key]) == 3
    assert house.rows(select(PROVIDER.c.uuid)) == house.rows(select(SOURCES.c.provider_id)) == [(other,)]
    assert {row.provider_id for row in house.manifests()} == {other}
    assert house.tenant_rows(select(DAILY_SUMMARY.c.source_uuid)) == [(other,)]
    assert house.tenant_rows(select(TENANT_PROVIDER.c.uuid)) == [(other,)]
    assert house.tenant_rows(select(REPORT_PERIOD.c.provider_id)) == [(other,)]
    assert house.one(text("select count(*) from api_providerauthentication")) == 1
    upload = house.upload_row(waiting.id)
    assert (upload.state, upload.reason_code) == ("failed", "source_gone")


async def test_a_source_that_nobody_asked_to_delete_stays(house):
    provider_uuid = house.add_source()
    await house.take_in(payload({"pods.csv": pods(DAY)}))

    await run(house, tasks_pb2.DeleteSourceData(schema_name=house.schema, provider_uuid=str(provider_uuid)))

    assert [task.state for task in house.tasks(tasks_pb2.DeleteSourceData)] == ["dead"]
    assert len(house.parquet_keys()) == 2


async def test_deletion_waits_for_a_running_summary(house):
    provider_uuid = house.add_source()
    await house.take_in(payload({"pods.csv": pods(DAY)}))
    house.execute("update api_sources set pending_delete = true")
    with house.db.begin() as c:
        token = leases.acquire(c, summary_lease(provider_uuid, Month.of(DAY)), owner="a summary", seconds=600)

    await run(house, tasks_pb2.DeleteSourceData(schema_name=house.schema, provider_uuid=str(provider_uuid)))
    assert len(house.parquet_keys()) == 2

    with house.db.begin() as c:
        leases.release(c, summary_lease(provider_uuid, Month.of(DAY)), token=token)
    await house.work_until_no_task_waits()
    assert house.parquet_keys() == set()


async def test_what_a_run_publishes_while_its_source_is_deleted_goes_too(house, monkeypatch):
    provider_uuid = house.add_source()
    await house.take_in(payload({"pods.csv": pods(DAY)}))
    house.execute("update api_sources set pending_delete = true")
    late = summary_object(house, provider_uuid, DAY)
    delete = removal.delete_source

    def delete_and_publish(connection, uuid):
        delete(connection, uuid)
        house.objects.write(late, b"late")

    monkeypatch.setattr(removal, "delete_source", delete_and_publish)
    await run(house, tasks_pb2.DeleteSourceData(schema_name=house.schema, provider_uuid=str(provider_uuid)))

    assert house.parquet_keys() == set()


async def test_deleting_twice_changes_nothing(house):
    provider_uuid = house.add_source()
    house.execute("update api_sources set pending_delete = true")
    message = tasks_pb2.DeleteSourceData(schema_name=house.schema, provider_uuid=str(provider_uuid))
    await run(house, message)
    await run(house, message)

    assert [task.state for task in house.tasks(tasks_pb2.DeleteSourceData)] == ["succeeded", "succeeded"]


async def test_a_purged_range_can_be_taken_in_anew(house):
    provider_uuid = house.add_source()
    content = payload({"pods.csv": pods(DAY)})
    await house.take_in(content)

    await run(
        house,
        tasks_pb2.PurgeSourceRange(
            schema_name=house.schema,
            provider_uuid=str(provider_uuid),
            start_date=DAY.isoformat(),
            end_date=DAY.isoformat(),
        ),
    )
    assert (house.parquet_keys(), house.manifests()) == (set(), [])

    await house.take_in(content)
    assert len(house.visible()[("pod_usage", DAY)]) == 24


# ── retention ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_months_beyond_retention_go_and_the_first_kept_month_stays(house):
    provider_uuid = house.add_source()
    house.with_tools(settings=IngestSettings(work_directory=house.tools.work_directory, retain_months=3))
    kept, gone = Month.of(TODAY).plus(-2), Month.of(TODAY).plus(-3)
    for month in (kept, gone):
        day = month.last
        await house.take_in(payload({"pods.csv": pods(day)}, start=at(day), end=at(day, 23)))
        add_summary_row(house, provider_uuid, day)
        house.objects.write(summary_object(house, provider_uuid, day), b"summary")
    before = len(house.parquet_keys())

    await run(house, tasks_pb2.RemoveExpiredData(simulate=True))
    assert len(house.parquet_keys()) == before == 6
    assert len(house.manifests()) == 2

    await run(house, tasks_pb2.RemoveExpiredData())

    assert {key.split("/month=")[1][:2] for key in house.parquet_keys()} == {f"{kept.month:02d}"}
    assert [row.billing_period_start_datetime.date() for row in house.manifests()] == [kept.first]
    assert house.tenant_rows(select(DAILY_SUMMARY.c.usage_start)) == [(kept.last,)]
    assert house.tenant_rows(select(REPORT_PERIOD.c.report_period_start)) == [(at(kept.first),)]
    assert [row.day for row in house.rows(select(INGESTED_FILE_DAY.c.day))] == [kept.last]
    partitions = {row.table_name for row in house.tenant_rows(select(PARTITIONED_TABLES))}
    assert f"{DAILY_SUMMARY.name}_{gone.year}_{gone.month:02d}" not in partitions


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_payloads_that_are_done_go_and_those_still_needed_stay(house):
    house.add_source()
    done = await house.take_in(payload({"pods.csv": pods(DAY)}))
    refused = await house.take_in(b"no archive")
    unknown = await house.take_in(payload({"pods.csv": pods(DAY)}, cluster_id="unknown"))
    house.objects.write("payloads/1/nobody.tar.gz", b"x")
    house.objects.write("payloads/1/just-now.tar.gz", b"x")
    age(house, "payloads/", by=timedelta(hours=2))
    now = datetime.now(UTC).timestamp()
    os.utime(house.objects.arrow_path("payloads/1/just-now.tar.gz"), (now, now))
    keys = {name: row.object_key for name, row in (("done", done), ("refused", refused), ("unknown", unknown))}

    def left() -> set[str]:
        found = set(house.objects.keys("payloads/"))
        return {name for name, key in keys.items() if key in found} | {k for k in found if k.startswith("payloads/1/")}

    await run(house, tasks_pb2.RemoveStaleObjects())
    assert left() == {"done", "refused", "unknown", "payloads/1/just-now.tar.gz"}

    house.execute(
        "update upload set updated_at = now() - interval '2 days', finished_at = finished_at - interval '2 days'"
    )
    await run(house, tasks_pb2.RemoveStaleObjects())
    assert left() == {"refused", "unknown", "payloads/1/just-now.tar.gz"}

    house.execute(
        "update upload set updated_at = now() - interval '9 days', finished_at = finished_at - interval '9 days'"
    )
    await run(house, tasks_pb2.RemoveStaleObjects())
    assert left() == {"unknown", "payloads/1/just-now.tar.gz"}
    waited = house.upload_row(unknown.id)
    assert (waited.state, waited.reason_code) == ("failed", "unknown_cluster")
    assert "waited too long" in waited.reason


async def test_a_setting_removes_a_payload_as_soon_as_it_is_taken_in(house):
    house.add_source()
    house.with_tools(settings=IngestSettings(work_directory=house.tools.work_directory, keep_done_hours=0))

    upload = await house.take_in(payload({"pods.csv": pods(DAY)}))

    assert not house.objects.exists(upload.object_key)


async def test_objects_that_lost_go_after_a_while_and_their_rows_keep_deciding(house):
    house.add_source()
    for hours in (6, 12):
        rows = pods(DAY, range(hours))
        await house.take_in(payload({"pods.csv": rows}, start=at(DAY), end=at(DAY, hours - 1)))
    visible = house.visible()

    await run(house, tasks_pb2.RemoveStaleObjects())
    assert len(house.parquet_keys()) == 4

    house.execute("update ingested_file_day set created_at = now() - interval '2 days'")
    await run(house, tasks_pb2.RemoveStaleObjects())

    assert len(house.parquet_keys()) == 2
    assert house.visible() == visible
    assert house.one(select(func.count()).select_from(INGESTED_FILE_DAY)) == 2


async def test_objects_that_no_row_speaks_of_go_but_never_those_of_another_writer(house):
    provider_uuid = house.add_source()
    await house.take_in(payload({"pods.csv": pods(DAY)}))
    mine = house.parquet_keys()
    folder = f"data/parquet/{house.schema}/OCP/pod_usage/source={provider_uuid}/year={DAY:%Y}/month={DAY:%m}/"
    orphan = f"{folder}pod_usage.{DAY}.99.k0123456789ab_0.parquet"
    foreign = f"{folder}pod_usage.{DAY}.7.0_0.parquet"
    young = f"{folder}pod_usage.{DAY}.98.k0123456789ab_0.parquet"
    for key in (orphan, foreign):
        house.objects.write(key, b"x")
    age(house)
    house.objects.write(young, b"x")

    await run(house, tasks_pb2.RemoveStaleObjects(simulate=True))
    assert orphan in house.parquet_keys()

    await run(house, tasks_pb2.RemoveStaleObjects())
    assert house.parquet_keys() == mine | {foreign, young}


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_rows_of_tasks_that_ended_long_ago_go(house):
    await run(house, tasks_pb2.EnsurePartitions())
    house.execute("update task set finished_at = now() - interval '9 hours'")

    await run(house, tasks_pb2.RemoveStaleTasks())

    assert [row.type for row in house.rows(select(TASK.c.type))] == ["kura.tasks.v1.RemoveStaleTasks"]


async def test_tenants_without_a_source_go_after_two_weeks(house):
    house.add_source()
    with house.db.begin() as c:
        for org_id in ("1000001", "1000002"):
            ensure_tenant(c, get_or_create_customer(c, org_id=org_id).schema_name)
    house.execute("update api_tenant set date_updated = now() - interval '15 days' where schema_name <> 'org1000002'")
    house.execute("update api_customer set date_updated = now() - interval '15 days' where org_id <> '1000002'")

    await run(house, tasks_pb2.RemoveStaleTenants())

    assert {row.schema_name for row in house.rows(select(TENANT_TABLE.c.schema_name))} == {house.schema, "org1000002"}


async def test_partitions_are_made_ahead(house):
    await run(house, tasks_pb2.EnsurePartitions(months_ahead=2))

    names = {row.table_name for row in house.tenant_rows(select(PARTITIONED_TABLES))}
    for step in range(3):
        month = Month.of(TODAY).plus(step)
        assert f"{DAILY_SUMMARY.name}_{month.year}_{month.month:02d}" in names


async def test_large_tables_are_vacuumed_earlier(house, database_urls):
    table = f"{house.schema}.reporting_enabledtagkeys"

    def as_owner(*statements: str) -> None:
        with Database(database_urls.owner) as owner, owner.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def options() -> list[str] | None:
        return house.rows(text(f"select reloptions from pg_class where oid = '{table}'::regclass"))[0].reloptions

    as_owner(
        f"insert into {table} (uuid, key, enabled, provider_type)"
        " select gen_random_uuid(), 'k' || n, true, 'OCP' from generate_series(1, 100000) as n",
        f"analyze {table}",
    )
    await run(house, tasks_pb2.TuneAutovacuum())
    assert options() == ["autovacuum_vacuum_scale_factor=0.05"]

    as_owner(f"delete from {table}", f"analyze {table}")
    await run(house, tasks_pb2.TuneAutovacuum(schema_name=house.schema))
    assert options() is None


# ── the local disk ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_killed_worker_left_on_disk_goes_and_what_a_living_one_uses_stays(tmp_path):
    abandoned = tmp_path / "kura-worker-abandoned"
    abandoned.mkdir()
    (abandoned / "payload.tar").write_bytes(b"x")
    (tmp_path / "somebody-elses").mkdir()

    with private_directory(tmp_path) as mine:
        assert remove_abandoned(tmp_path) == 0
        assert mine.is_dir()
        assert not abandoned.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["somebody-elses"]
