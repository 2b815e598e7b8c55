"""Worked examples 8.1–8.6 of the payload, on the plain reference and on the product."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from uuid import uuid4

import pytest
from product_payload import Product, Reference, product
from reference import manifests as reference_manifests
from reference.csv_reports import BadReport
from reference.labels import parse_label_cell
from reference.manifests import FileDay, visible
from sqlalchemy import insert, select

from kura.store.database import Database
from kura.store.tables.shared import (
    CUSTOMER,
    INGESTED_FILE_DAY,
    MANIFEST,
    PROVIDER,
    VISIBLE_FILE_DAY,
)
from kura.testing.archives import csv_bytes, report_row
from kura.workers.ocp import manifest as product_manifests
from kura.workers.ocp.labels import labels_of

DAY = datetime(2025, 1, 10, tzinfo=UTC)


@pytest.fixture(scope="module", params=["reference", "product"])
def rules(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference | Product]:
    """What reads reports."""
    if request.param == "reference":
        yield Reference()
        return
    with product(tmp_path_factory.mktemp("product")) as made:
        yield made


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def pod_report(*rows: dict[str, object]) -> bytes:
    return csv_bytes([report_row("pod_usage", DAY.replace(hour=row.pop("hour")), **row) for row in rows])


def test_8_1_effective_usage_is_the_larger_value_of_each_hour_and_then_summed(rules):
    report = rules.read(
        pod_report(
            {"hour": 1, "pod_usage_cpu_core_seconds": 100.0, "pod_request_cpu_core_seconds": 200.0},
            {"hour": 2, "pod_usage_cpu_core_seconds": 300.0, "pod_request_cpu_core_seconds": 200.0},
        )
    )

    [day] = report.daily
    assert [row["pod_effective_usage_cpu_core_seconds"] for row in report.hourly] == [200, 300]
    assert day["pod_usage_cpu_core_seconds"] == 100 + 300
    assert day["pod_request_cpu_core_seconds"] == 200 + 200
    assert day["pod_effective_usage_cpu_core_seconds"] == 200 + 300


@pytest.mark.parametrize("read_cell", [parse_label_cell, labels_of], ids=["reference", "product"])
def test_8_2_a_label_cell(read_cell):
    cell = "label_app:web|label_a_label_b:x|label_url:http://x|foo|label_vm_kubevirt_io_name:"

    assert read_cell(cell) == {"app": "web", "a_b": "x", "vm_kubevirt_io_name": ""}


def test_8_2_labels_are_stored_as_json_and_their_keys_discovered(rules):
    cell = "label_app:web|label_a_label_b:x|label_url:http://x|foo|label_vm_kubevirt_io_name:"

    report = rules.read(pod_report({"hour": 0, "pod_labels": cell}))

    assert json.loads(report.hourly[0]["pod_labels"]) == {"app": "web", "a_b": "x", "vm_kubevirt_io_name": ""}
    assert report.tag_keys == {"app", "a_b", "vm_kubevirt_io_name"}


def manifest_of_range(start: str, end: str) -> product_manifests.Manifest:
    fields = {"uuid": str(uuid4()), "cluster_id": "c", "date": end, "start": start, "end": end}
    return product_manifests.read_manifest(json.dumps(fields).encode())


def test_8_3_hours_of_an_operators_range():
    start, end = "2025-01-01T00:00:00Z", "2025-01-02T05:59:59Z"
    hours = {date(2025, 1, 1): 24, date(2025, 1, 2): 6}

    corrected = reference_manifests.corrected_end(moment(start), moment(end))
    assert reference_manifests.hours_per_day(moment(start), corrected) == hours
    assert manifest_of_range(start, end).hours_per_day == hours


def test_8_3_a_full_month_of_nise_ends_on_its_last_day_with_no_hours():
    start, end = "2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z"
    corrected = reference_manifests.corrected_end(moment(start), moment(end))
    read = manifest_of_range(start, end)

    assert corrected == read.end == moment("2025-01-31T00:00:00Z")
    for hours in (reference_manifests.hours_per_day(moment(start), corrected), read.hours_per_day):
        assert hours[date(2025, 1, 30)] == 24
        assert hours[date(2025, 1, 31)] == 0
        assert len(hours) == 31


def file_day(manifest: str, *, hours: int, order: int) -> FileDay:
    return FileDay(
        "pod_usage", date(2025, 1, 2), manifest, "pods.csv", hours=hours, additive=False, order=order, rows=[]
    )


ARRIVALS = [
    file_day("10", hours=6, order=2),
    file_day("11", hours=12, order=3),
    file_day("12", hours=12, order=4),
    file_day("9", hours=6, order=1),
]
STORED_AFTER = [[("10", 6)], [("11", 12)], [("12", 12)], [("12", 12)]]


def test_8_4_more_hours_replace_fewer_and_of_equal_ones_the_later_counts():
    stored = [
        [(seen.manifest_uuid, seen.hours) for seen in visible(ARRIVALS[:arrived])]
        for arrived in range(1, len(ARRIVALS) + 1)
    ]

    assert stored == STORED_AFTER


def test_8_4_the_order_of_arrival_changes_nothing():
    files = [file_day("10", hours=6, order=2), file_day("11", hours=12, order=3), file_day("9", hours=6, order=1)]

    assert visible(files) == visible(files[::-1]) == visible([*files, *files])


def test_8_4_in_the_database(database: Database, tenant_schema: str):
    provider_uuid = uuid4()
    with database.begin() as connection:
        customer_id = connection.scalar(select(CUSTOMER.c.id).where(CUSTOMER.c.schema_name == tenant_schema))
        connection.execute(insert(PROVIDER).values(uuid=provider_uuid, name="c", type="OCP", customer_id=customer_id))
    stored = []
    for file in ARRIVALS:
        with database.begin() as connection:
            connection.execute(
                insert(MANIFEST).values(
                    id=int(file.manifest_uuid),
                    assembly_id=file.manifest_uuid,
                    provider_id=provider_uuid,
                    billing_period_start_datetime=DAY,
                )
            )
            connection.execute(
                insert(INGESTED_FILE_DAY).values(
                    provider_uuid=provider_uuid,
                    report_type=file.report_type,
                    day=file.day,
                    manifest_id=int(file.manifest_uuid),
                    report_name=file.name,
                    hours=file.hours,
                    accepted_order=file.order,
                )
            )
            seen = connection.execute(select(VISIBLE_FILE_DAY.c.manifest_id, VISIBLE_FILE_DAY.c.hours)).all()
            stored.append([(str(row.manifest_id), row.hours) for row in seen])

    assert stored == STORED_AFTER


def gpu_report(model: str, **values: object) -> bytes:
    rows = [
        report_row(
            "gpu_usage",
            DAY.replace(hour=hour),
            node="n1",
            namespace="ml",
            pod="train-0",
            gpu_uuid="GPU-1",
            gpu_model_name=model,
            gpu_vendor_name="nvidia_com_gpu",
            gpu_pod_uptime=3600.0,
            **{"gpu_max_slices": "", "mig_instance_id": "1", "mig_strategy": "single", **values},
        )
        for hour in (0, 1)
    ]
    return csv_bytes(rows)


def test_8_5_a_slice_of_a_gpu_is_normalised(rules):
    [day] = rules.read(gpu_report("NVIDIA A100-SXM4-40GB", mig_profile="1g.5gb")).daily

    assert day["gpu_model_name"] == "NVIDIA A100 SXM4 40GB"
    assert day["gpu_vendor_name"] == "nvidia"
    assert day["mig_slice_count"] == 1
    assert day["mig_memory_capacity_mib"] == 5 * 1024
    assert day["gpu_max_slices"] == 7
    assert day["gpu_pod_uptime"] == 3600 + 3600


def test_8_5_a_slice_of_an_unknown_model_is_a_whole_gpu(rules):
    [day] = rules.read(gpu_report("Foo X", mig_profile="1g.5gb")).daily

    columns = ("mig_profile", "mig_slice_count", "mig_memory_capacity_mib", "gpu_max_slices", "mig_strategy")
    assert [day[name] for name in (*columns, "mig_instance_id")] == [None] * 6


def test_8_5_a_profile_with_a_suffix_is_read_up_to_it(rules):
    report = rules.read(gpu_report("NVIDIA H100 80GB HBM3", mig_profile="1g.10gb+me"))

    assert [row["mig_memory_capacity_mib"] for row in report.hourly] == [10 * 1024, 10 * 1024]


def test_8_5_another_form_of_profile_leaves_slices_and_memory_open(rules):
    [day] = rules.read(gpu_report("A30", mig_profile="half", gpu_max_slices="4.000000")).daily

    assert (day["mig_profile"], day["mig_slice_count"], day["mig_memory_capacity_mib"]) == ("half", None, None)
    assert day["gpu_max_slices"] == 4


def test_a_profile_of_more_slices_than_any_card_has_leaves_them_open(rules):
    [row] = rules.read(gpu_report("A100", mig_profile="1" * 40 + "g.5gb")).daily

    assert (row["mig_slice_count"], row["mig_memory_capacity_mib"], row["gpu_max_slices"]) == (None, None, 7)


@pytest.mark.parametrize("profile", ["", "1g.5gb"])
def test_slices_are_whole_numbers(rules, profile):
    [row] = rules.read(gpu_report("A100", gpu_max_slices="7.600000", mig_profile=profile)).daily

    assert row["gpu_max_slices"] == 7


def test_8_6_daily_pod_rows(rules):
    capacity = {
        "node_capacity_cpu_cores": 4.0,
        "node_capacity_cpu_core_seconds": 14400.0,
    }
    named = {"namespace": "shop", "pod": "p1", "pod_labels": "label_app:web"}
    report = rules.read(
        pod_report(
            {"hour": 1, "node": "n1", "pod_usage_cpu_core_seconds": 100.0, **named, **capacity},
            {"hour": 2, "node": "n1", "pod_usage_cpu_core_seconds": 300.0, **named, **capacity},
            {"hour": 3, "node": "", **named},
        )
    )

    days = {str(row["node"]): row for row in report.daily}
    assert len(report.daily) == 2
    assert days["n1"]["pod_usage_cpu_core_seconds"] == 100 + 300
    assert days["n1"]["node_capacity_cpu_cores"] == 4
    assert days["n1"]["node_capacity_cpu_core_seconds"] == 14400 + 14400
    assert days[""]["node_capacity_cpu_cores"] == days[""]["node_capacity_cpu_core_seconds"] == 0
    assert {row["interval_start"] for row in report.daily} == {datetime(2025, 1, 10)}


MIG_COLUMNS = ("gpu_max_slices", "mig_instance_id", "mig_profile", "mig_strategy")
RELEASES = [
    ("3.2", "storage_usage", ("node", "csi_driver", "csi_volume_handle"), {}),
    ("3.3", "storage_usage", (), {}),
    ("2.0", "pod_usage", ("node_role",), {}),
    ("4.4", "pod_usage", (), {}),
    ("4.0", "vm_usage", (), {}),
    ("4.3", "gpu_usage", (*MIG_COLUMNS, "gpu_pod_utilization"), {}),
    ("4.4.0", "gpu_usage", ("gpu_pod_utilization",), {"gpu_max_slices": 7.0}),
    ("4.4.1", "gpu_usage", (), {"gpu_vendor_name": "nvidia0", "gpu_max_slices": 4.0}),
]


@pytest.mark.parametrize(("release", "report_type", "absent", "sent"), RELEASES)
def test_columns_that_a_release_does_not_send_are_null_by_day(rules, release, report_type, absent, sent):
    rows = [report_row(report_type, DAY.replace(hour=hour), **sent) for hour in range(2)]
    report = rules.read(csv_bytes([{name: row[name] for name in row if name not in absent} for row in rows]))

    [day] = report.daily
    assert report.report_type == report_type
    assert len(report.hourly) == 2
    assert "gpu_pod_utilization" not in day
    assert {day[name] for name in absent if name in day} <= {None}
    assert {name: day[name] for name in sent} == sent


ONE_DAY = {"start": "2025-01-10T00:00:00Z", "end": "2025-01-10T05:59:59Z"}


@pytest.mark.parametrize(
    ("fields", "additive", "hours"),
    [
        ({}, True, {}),
        ({"version": "abc", **ONE_DAY}, True, {date(2025, 1, 10): 6}),
        ({"version": "abc", "daily_reports": True, **ONE_DAY}, False, {date(2025, 1, 10): 6}),
        ({"version": "", "daily_reports": True, **ONE_DAY}, False, {date(2025, 1, 10): 6}),
    ],
    ids=["metering", "1.x", "3.x", "without a version"],
)
def test_manifests_of_all_releases_say_whether_they_add_or_replace(fields, additive, hours):
    text = json.dumps({"uuid": str(uuid4()), "cluster_id": "c", "date": "2025-01-10T06:00:00Z", **fields}).encode()
    plain, read = reference_manifests.read_manifest(text), product_manifests.read_manifest(text)

    assert plain.additive == read.additive == additive
    assert reference_manifests.hours_per_day(plain.start, plain.end) == read.hours_per_day == hours


def test_a_time_is_read_in_the_two_forms_and_refused_in_others(rules):
    def read(text: str) -> object:
        row = report_row("node_labels", DAY, node="n1", interval_start=text)
        return rules.read(csv_bytes([row])).hourly[0]["interval_start"]

    assert read("2025-01-01 00:00:00 +0000 UTC") == datetime(2025, 1, 1)
    assert read("2025-01-01T02:00:00+02:00") == datetime(2025, 1, 1)
    for text in (
        "",
        "2025-01-01 00:00:00 +0200 CEST",
        "yesterday",
        "2025-01-01 00:00:00 +0000",
        "2025-01-01 00:00:+00 +0000 UTC",
        "2025-01-01 00",
        "2025-01-01",
        "20250101T000000",
    ):
        with pytest.raises(BadReport):
            read(text)


def test_a_number_that_is_none_is_zero(rules):
    def read(*texts: str) -> list[object]:
        report = rules.read(pod_report(*({"hour": 0, "pod_usage_cpu_core_seconds": text} for text in texts)))
        return [row["pod_usage_cpu_core_seconds"] for row in report.hourly]

    assert read("", "n/a", "1.500000") == [0, 0, 1.5]
    assert read("nan(1)", "1.500000") == [0, 1.5]
    assert read("nan(1)", "n/a", "1.500000") == [0, 0, 1.5]


def test_a_row_with_too_many_fields_is_dropped_and_a_short_one_is_filled(rules):
    content = csv_bytes([report_row("node_labels", DAY, node="n1", node_labels="label_a:b")])
    start = content.splitlines()[1].rpartition(b",")[0]
    report = rules.read(content + start + b",label_a:b,more\n" + start + b"\n")

    assert report.dropped.total() == 1
    assert sorted(row["node_labels"] for row in report.hourly) == ['{"a": "b"}', "{}"]


def test_a_value_above_the_limit_drops_its_row(rules):
    report = rules.read(
        pod_report(
            {"hour": 0, "pod_usage_cpu_core_seconds": 1e18},
            {"hour": 1, "pod_usage_cpu_core_seconds": 1.1e18},
            {"hour": 2, "pod_usage_cpu_core_seconds": float("inf")},
        )
    )

    assert [row["pod_usage_cpu_core_seconds"] for row in report.hourly] == [1e18]
    assert report.dropped.total() == 2


@pytest.mark.parametrize("name", ["null", "nan", "N/A", "a&b<c>"])
def test_words_that_the_reference_implementation_loses_are_names(rules, name):
    [row] = rules.read(csv_bytes([report_row("node_labels", DAY, node=name)])).hourly

    assert row["node"] == name


def node_report(*lines: str) -> str:
    """Label reports of nodes, by what is in front of the dates."""
    dates = ",".join(["2025-01-01 00:00:00 +0000 UTC"] * 4)
    return "".join(f"{line},{dates}\n" for line in lines)


NODE_HEADER = "node,node_labels,report_period_start,report_period_end,interval_start,interval_end\n"


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        (NODE_HEADER + node_report("n1,", "n2,"), ["n1", "n2"]),
        ("\ufeff" + NODE_HEADER + node_report("n1,"), ["n1"]),
        ("\n\r\n" + NODE_HEADER + "\n" + node_report("n1,") + "\r\n", ["n1"]),
        (NODE_HEADER.replace("\n", "\r") + node_report("n1,", "n2,").replace("\n", "\r"), ["n1", "n2"]),
        (
            NODE_HEADER + node_report('"a"b"c",', 'd"e",', '"f""g",', '"two\nlines",'),
            ['ab"c"', 'd"e"', 'f"g', "two\nlines"],
        ),
        (NODE_HEADER + node_report("n\0o\0de,", '\0"quo\0ted",'), ["node", "quoted"]),
        (NODE_HEADER + node_report("n1,", f"{'n' * 254},"), ["n1"]),
        ("node,node_labels,interval_start\nn1,,2025-01-01T00:00:00Z\n", ["n1"]),
        ("\ufeff\n\0\n", []),
        ('node,unknown,interval_start\nn1,"without an end', []),
    ],
)
def test_shapes_of_text_that_are_read(rules, text, nodes):
    assert sorted(str(row["node"]) for row in rules.read(text.encode()).hourly) == sorted(nodes)


@pytest.mark.parametrize(
    "text",
    [
        NODE_HEADER + node_report('n1,"without an end'),
        NODE_HEADER + node_report("n1,") + '"',
        '"' + NODE_HEADER + node_report("n1,"),
        NODE_HEADER.replace("node_labels,", "node_labels,node,") + node_report("n1,,n2"),
        NODE_HEADER.replace("interval_start,", "interval start,") + node_report("n1,"),
        NODE_HEADER + node_report("n1,")[:-1] + "\ufeff\n",
    ],
)
def test_shapes_of_text_that_refuse_the_file(rules, text):
    with pytest.raises(BadReport):
        rules.read(text.encode())
