"""Ingestion with a real database and object store: what an upload leaves behind (ocp-payload §6)."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import uuid4

from sqlalchemy import select
from workers_house import CLUSTER, DAY, TODAY, at, payload, pods

from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.tables.shared import INGESTED_FILE_DAY, PROVIDER
from kura.store.tables.tenant import ENABLED_TAG_KEYS, PARTITIONED_TABLES, REPORT_PERIOD
from kura.testing.archives import report_row


async def test_a_payload_becomes_parquet_rows_and_a_summary(house):
    provider_uuid = house.add_source()

    upload = await house.take_in(payload({"pods.csv": pods(DAY)}))

    assert (upload.state, upload.reason, upload.cluster_id, upload.provider_uuid) == (
        "done",
        None,
        CLUSTER,
        provider_uuid,
    )
    assert upload.schema_name == house.schema
    assert upload.accepted_at <= upload.started_at <= upload.parsed_at <= upload.summarised_at <= upload.finished_at
    assert upload.files == [
        {
            "name": "pods.csv",
            "state": "done",
            "report_type": "pod_usage",
            "rows": 24,
            "dropped": {},
            "days": [DAY.isoformat()],
            "reason": None,
        }
    ]
    assert len(house.visible()[("pod_usage", DAY)]) == 24
    assert len(house.visible(grain="daily")[("pod_usage", DAY)]) == 1
    assert house.ranges() == [(DAY, DAY, True)]
    [request] = house.aggregator.requests
    assert (request.schema_name, request.provider_uuid) == (house.schema, str(provider_uuid))
    assert (request.start_date, request.end_date) == (DAY.isoformat(), DAY.isoformat())
    assert request.fence.lease_name == f"summary:{provider_uuid}:{DAY:%Y-%m}"
    assert house.manifests()[0].completed_datetime is not None
    [provider] = house.rows(select(PROVIDER))
    assert provider.setup_complete
    assert provider.data_updated_timestamp is not None


async def test_objects_lie_where_koku_looks_for_them(house):
    provider_uuid = house.add_source()
    await house.take_in(payload({"pods.csv": pods(DAY)}))

    [manifest] = house.manifests()
    month = f"source={provider_uuid}/year={DAY:%Y}/month={DAY:%m}/pod_usage.{DAY}.{manifest.id}.k"
    hourly, daily = sorted(house.parquet_keys(), key=lambda key: "daily" in key)
    assert hourly.startswith(f"data/parquet/{house.schema}/OCP/pod_usage/{month}")
    assert daily.startswith(f"data/parquet/daily/{house.schema}/OCP/pod_usage/{month}")
    assert house.objects.metadata(hourly) == {
        "manifestid": str(manifest.id),
        "reportdatestart": DAY.isoformat(),
        "reportnumhours": "24",
    }


async def test_tag_keys_come_disabled_and_known_ones_are_left_alone(house):
    house.add_source()
    with house.db.tenant(house.schema) as c:
        c.execute(ENABLED_TAG_KEYS.insert().values(key="app", enabled=True, provider_type="OCP"))

    await house.take_in(payload({"pods.csv": pods(DAY, pod_labels="label_app:web|label_tier:db")}))

    found = house.tenant_rows(
        select(ENABLED_TAG_KEYS.c.key, ENABLED_TAG_KEYS.c.enabled, ENABLED_TAG_KEYS.c.provider_type)
    )
    assert sorted(map(tuple, found)) == [("app", True, "OCP"), ("tier", False, "OCP")]


async def test_each_month_of_data_gets_its_report_period_partitions_and_range(house):
    house.add_source(name="First name")
    first = TODAY.replace(day=1)
    before = first - timedelta(days=1)
    rows = [*pods(before), *pods(first)]

    await house.take_in(payload({"pods.csv": rows}, start=at(before), end=at(first, 23)))

    periods = house.tenant_rows(select(REPORT_PERIOD).order_by(REPORT_PERIOD.c.report_period_start))
    assert [
        (p.cluster_id, p.cluster_alias, p.report_period_start.date(), p.report_period_end.date()) for p in periods
    ] == [
        (CLUSTER, "First name", before.replace(day=1), first),
        (CLUSTER, "First name", first, (first + timedelta(days=32)).replace(day=1)),
    ]
    names = {row.table_name for row in house.tenant_rows(select(PARTITIONED_TABLES))}
    assert f"reporting_ocpusagelineitem_daily_summary_{before:%Y_%m}" in names
    assert house.ranges() == [(before, before, True), (first, first, True)]
    assert len(house.aggregator.requests) == 2


async def test_hours_come_from_the_manifest_and_else_from_the_rows(house):
    house.add_source()
    files = {"pods.csv": pods(DAY, range(6))}

    await house.take_in(payload(files, start=at(DAY), end=at(DAY, 9)))
    await house.take_in(payload(files, start=..., end=...))

    assert [row.hours for row in house.rows(select(INGESTED_FILE_DAY).order_by(INGESTED_FILE_DAY.c.manifest_id))] == [
        9,
        6,
    ]


async def test_an_old_operator_adds_and_its_rows_go_to_their_own_month(house):
    house.add_source()
    first = TODAY.replace(day=1)
    days = [first - timedelta(days=1), first]

    await house.take_in(payload({"pods.csv": [*pods(days[0]), *pods(days[1])]}, daily_reports=False, version="5.4.1"))

    rows = house.rows(select(INGESTED_FILE_DAY).order_by(INGESTED_FILE_DAY.c.day))
    assert [(row.day, row.hours, row.additive, row.rows) for row in rows] == [(day, 0, True, 24) for day in days]
    assert len(house.ranges()) == 2


async def test_files_of_the_right_sizing_service_are_kept_as_they_were_sent(house):
    provider_uuid = house.add_source()
    content = b"\xff\xfe not even text"

    upload = await house.take_in(payload({"pods.csv": pods(DAY)}, optimization={"ros.csv": content}))

    assert house.objects.read(f"{house.schema}/source={provider_uuid}/date={TODAY}/ros.csv") == content
    assert upload.state == "done"
    assert [(f["name"], f["report_type"]) for f in upload.files] == [
        ("ros.csv", "resource_optimization"),
        ("pods.csv", "pod_usage"),
    ]
    assert set(house.files()) == {"pods.csv"}


async def test_the_same_archive_again_is_done_at_once_and_doubles_nothing(house):
    house.add_source()
    content = payload({"pods.csv": pods(DAY)})
    await house.take_in(content)
    before = house.visible()

    upload = await house.take_in(content)

    assert (upload.state, upload.files[0]["reason"]) == ("done", "already_ingested")
    assert house.visible() == before
    assert len(house.aggregator.requests) == 1


async def test_parts_of_a_manifest_wait_for_each_other(house):
    house.add_source()
    uuid = str(uuid4())
    named = ["pods.csv", "nodes.csv"]
    nodes = [report_row("node_labels", at(DAY), node="n1")]
    one = payload({"pods.csv": pods(DAY)}, uuid=uuid, named=named)
    two = payload({"nodes.csv": nodes}, uuid=uuid, named=named)

    first = await house.take_in(one)
    assert (first.state, first.reason_code, first.summarised_at) == ("waiting", "incomplete_manifest", None)
    assert "1 of the 2 files" in first.reason
    assert house.ranges() == []

    second = await house.take_in(two)
    assert (second.state, house.upload_row(first.id).state) == ("done", "done")
    assert house.upload_row(first.id).reason is None
    assert house.ranges() == [(DAY, DAY, True)]
    assert len(house.manifests()) == 1


async def test_an_unknown_cluster_waits_and_says_what_to_do(house):
    upload = await house.take_in(payload({"pods.csv": pods(DAY)}))

    assert (upload.state, upload.reason_code, upload.cluster_id) == ("waiting", "unknown_cluster", CLUSTER)
    assert "Add a source with this cluster id" in upload.reason
    assert house.parquet_keys() == set()

    house.add_source()
    with house.db.begin() as c:
        from kura.queue.outbox import enqueue

        enqueue(c, tasks_pb2.IngestPayload(upload_id=upload.id))
    await house.work()
    assert house.upload_row(upload.id).state == "done"


async def test_a_cluster_of_another_organisation_is_unknown(house):
    house.add_source()
    upload_id = house.upload(payload({"pods.csv": pods(DAY)}), org_id="7654321")
    await house.work()

    assert house.upload_row(upload_id).reason_code == "unknown_cluster"
    assert house.manifests() == []


async def test_a_paused_source_drops_the_payload_and_says_so(house):
    house.add_source(paused=True)

    upload = await house.take_in(payload({"pods.csv": pods(DAY)}))

    assert (upload.state, upload.reason_code) == ("failed", "source_paused")
    assert "Resume the source" in upload.reason
    assert house.parquet_keys() == set()


async def test_a_payload_older_than_retention_is_done_and_nothing_is_stored(house):
    house.add_source()
    old = date(TODAY.year - 1, 1, 10)

    upload = await house.take_in(payload({"pods.csv": pods(old)}, start=at(old), end=at(old, 5)))

    assert (upload.state, upload.reason_code) == ("done", "expired")
    assert house.manifests() == []


async def test_rows_of_the_day_after_tomorrow_are_dropped_and_counted(house):
    house.add_source()
    rows = [*pods(DAY, range(2)), *pods(TODAY + timedelta(days=2), range(3))]

    upload = await house.take_in(payload({"pods.csv": rows}))

    assert upload.files[0]["dropped"] == {"after_tomorrow": 3}
    assert list(house.visible()) == [("pod_usage", DAY)]
