"""Worked examples 8.1–8.6 of the payload, on the plain reference."""

from datetime import UTC, date, datetime

import pytest
from reference.csv_reports import BadReport, discovered_keys, parse_number, parse_time, read_report
from reference.daily import daily_rows
from reference.labels import parse_label_cell, read_label_json
from reference.manifests import FileDay, corrected_end, hours_per_day, visible

from kura.testing.archives import csv_bytes, report_row

DAY = datetime(2025, 1, 10, tzinfo=UTC)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def pod_report(*rows: dict[str, object]) -> bytes:
    return csv_bytes([report_row("pod_usage", DAY.replace(hour=row.pop("hour")), **row) for row in rows])


def test_8_1_effective_usage_is_the_larger_value_of_each_hour_and_then_summed():
    report = read_report(
        pod_report(
            {"hour": 1, "pod_usage_cpu_core_seconds": 100.0, "pod_request_cpu_core_seconds": 200.0},
            {"hour": 2, "pod_usage_cpu_core_seconds": 300.0, "pod_request_cpu_core_seconds": 200.0},
        )
    )

    [day] = daily_rows("pod_usage", report.rows)

    assert [row["pod_effective_usage_cpu_core_seconds"] for row in report.rows] == [200, 300]
    assert day["pod_usage_cpu_core_seconds"] == 100 + 300
    assert day["pod_request_cpu_core_seconds"] == 200 + 200
    assert day["pod_effective_usage_cpu_core_seconds"] == 200 + 300


def test_8_2_labels_with_two_colons_or_none_are_lost_and_every_label_prefix_is_removed():
    cell = "label_app:web|label_a_label_b:x|label_url:http://x|foo|label_vm_kubevirt_io_name:"

    assert parse_label_cell(cell) == {"app": "web", "a_b": "x", "vm_kubevirt_io_name": ""}

    report = read_report(pod_report({"hour": 0, "pod_labels": cell}))
    assert discovered_keys(report, read_label_json) == {"app", "a_b", "vm_kubevirt_io_name"}


def test_8_3_hours_of_an_operators_range():
    start, end = moment("2025-01-01T00:00:00Z"), moment("2025-01-02T05:59:59Z")

    assert hours_per_day(start, corrected_end(start, end)) == {date(2025, 1, 1): 24, date(2025, 1, 2): 6}


def test_8_3_a_full_month_of_nise_ends_on_its_last_day_with_no_hours():
    start = moment("2025-01-01T00:00:00Z")
    end = corrected_end(start, moment("2025-02-01T00:00:00Z"))

    assert end == moment("2025-01-31T00:00:00Z")
    hours = hours_per_day(start, end)
    assert hours[date(2025, 1, 30)] == 24
    assert hours[date(2025, 1, 31)] == 0
    assert len(hours) == 31


def file_day(manifest: str, *, hours: int, order: int) -> FileDay:
    return FileDay(
        "pod_usage", date(2025, 1, 2), manifest, "pods.csv", hours=hours, additive=False, order=order, rows=[]
    )


def test_8_4_more_hours_replace_fewer_and_of_equal_ones_the_later_counts():
    arrived = []
    stored = []
    for uploaded in (
        file_day("10", hours=6, order=2),
        file_day("11", hours=12, order=3),
        file_day("12", hours=12, order=4),
        file_day("9", hours=6, order=1),
    ):
        arrived.append(uploaded)
        stored.append([(seen.manifest_uuid, seen.hours) for seen in visible(arrived)])

    assert stored == [[("10", 6)], [("11", 12)], [("12", 12)], [("12", 12)]]


def test_8_4_the_order_of_arrival_changes_nothing():
    files = [file_day("10", hours=6, order=2), file_day("11", hours=12, order=3), file_day("9", hours=6, order=1)]

    assert visible(files) == visible(files[::-1]) == visible([*files, *files])


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


def test_8_5_a_slice_of_a_gpu_is_normalised():
    report = read_report(gpu_report("NVIDIA A100-SXM4-40GB", mig_profile="1g.5gb"))

    [day] = daily_rows("gpu_usage", report.rows)

    assert day["gpu_model_name"] == "NVIDIA A100 SXM4 40GB"
    assert day["gpu_vendor_name"] == "nvidia"
    assert day["mig_slice_count"] == 1
    assert day["mig_memory_capacity_mib"] == 5 * 1024
    assert day["gpu_max_slices"] == 7
    assert day["gpu_pod_uptime"] == 3600 + 3600


def test_8_5_a_slice_of_an_unknown_model_is_a_whole_gpu():
    report = read_report(gpu_report("Foo X", mig_profile="1g.5gb"))

    [day] = daily_rows("gpu_usage", report.rows)

    columns = ("mig_profile", "mig_slice_count", "mig_memory_capacity_mib", "gpu_max_slices", "mig_strategy")
    assert [day[name] for name in (*columns, "mig_instance_id")] == [None] * 6


def test_8_5_a_profile_with_a_suffix_is_read_up_to_it():
    report = read_report(gpu_report("NVIDIA H100 80GB HBM3", mig_profile="1g.10gb+me"))

    assert [row["mig_memory_capacity_mib"] for row in report.rows] == [10 * 1024, 10 * 1024]


def test_8_6_daily_pod_rows():
    capacity = {
        "node_capacity_cpu_cores": 4.0,
        "node_capacity_cpu_core_seconds": 14400.0,
    }
    named = {"namespace": "shop", "pod": "p1", "pod_labels": "label_app:web"}
    report = read_report(
        pod_report(
            {"hour": 1, "node": "n1", "pod_usage_cpu_core_seconds": 100.0, **named, **capacity},
            {"hour": 2, "node": "n1", "pod_usage_cpu_core_seconds": 300.0, **named, **capacity},
            {"hour": 3, "node": "", **named},
        )
    )

    days = {str(row["node"]): row for row in daily_rows("pod_usage", report.rows)}

    assert days["n1"]["pod_usage_cpu_core_seconds"] == 100 + 300
    assert days["n1"]["node_capacity_cpu_cores"] == 4
    assert days["n1"]["node_capacity_cpu_core_seconds"] == 14400 + 14400
    assert days[""]["node_capacity_cpu_cores"] == days[""]["node_capacity_cpu_core_seconds"] == 0


def test_a_time_is_read_in_the_two_forms_and_refused_in_others():
    assert parse_time("2025-01-01 00:00:00 +0000 UTC") == datetime(2025, 1, 1)
    assert parse_time("2025-01-01T02:00:00+02:00") == datetime(2025, 1, 1)
    for text in ("", "2025-01-01 00:00:00 +0200 CEST", "yesterday"):
        with pytest.raises(BadReport):
            parse_time(text)


def test_a_number_that_is_none_is_zero():
    assert [parse_number(text) for text in ("", "n/a", "1.500000")] == [0, 0, 1.5]


def test_a_row_with_too_many_fields_is_dropped_and_a_short_one_is_filled():
    content = csv_bytes([report_row("node_labels", DAY, node="n1", node_labels="label_a:b")])
    start = content.splitlines()[1].rpartition(b",")[0]
    report = read_report(content + start + b",label_a:b,more\n" + start + b"\n")

    assert report.dropped == 1
    assert [row["node_labels"] for row in report.rows] == ['{"a": "b"}', "{}"]


def test_a_value_above_the_limit_drops_its_row():
    report = read_report(
        pod_report(
            {"hour": 0, "pod_usage_cpu_core_seconds": 1e18},
            {"hour": 1, "pod_usage_cpu_core_seconds": 1.1e18},
            {"hour": 2, "pod_usage_cpu_core_seconds": float("inf")},
        )
    )

    assert [row["pod_usage_cpu_core_seconds"] for row in report.rows] == [1e18]
    assert report.dropped == 2
