import csv
import io
import json
import tarfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import pairwise

import pytest

from kura.testing.operator_payload import PROFILES, Payload, make_payloads
from kura.testing.report_columns import COLUMNS, FILE_PREFIXES

END = date(2025, 1, 31)
TINY = replace(PROFILES["tiny"], optimizations=True)


def opened(payload: Payload) -> tuple[dict[str, object], dict[str, list[dict[str, str]]]]:
    with tarfile.open(fileobj=io.BytesIO(payload.content), mode="r:gz") as archive:
        contents = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}
    manifest = json.loads(contents.pop("manifest.json"))
    return manifest, {name: list(csv.DictReader(io.StringIO(text.decode()))) for name, text in contents.items()}


def report_of(name: str) -> str:
    return next(report for report, prefix in FILE_PREFIXES.items() if f"-{prefix}-" in name)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_ones():
    first = [payload.content for payload in make_payloads(TINY, end=END, days=2, seed=5)]
    again = [payload.content for payload in make_payloads(TINY, end=END, days=2, seed=5)]
    other = [payload.content for payload in make_payloads(TINY, end=END, days=2, seed=6)]

    assert first == again
    assert first != other


def test_a_day_is_the_same_whether_it_is_made_alone_or_with_the_days_before():
    alone = list(make_payloads(TINY, end=END, days=1, seed=5))
    together = list(make_payloads(TINY, end=END, days=3, seed=5))

    assert alone[-1].content == together[-1].content


def test_an_archive_holds_what_its_manifest_and_its_counts_say():
    [payload] = make_payloads(TINY, end=END, days=1, seed=5)

    manifest, reports = opened(payload)

    assert manifest["cluster_id"] == payload.cluster_id
    assert manifest["uuid"] == payload.manifest_id
    assert manifest["daily_reports"] is True
    assert manifest["start"] == "2025-01-31T00:00:00Z"
    assert manifest["end"] == "2025-01-31T23:59:59Z"
    assert sorted([*manifest["files"], *manifest["resource_optimization_files"]]) == sorted(reports)
    assert {report_of(name): len(rows) for name, rows in reports.items()} == dict(payload.rows)
    assert dict(payload.rows) == TINY.rows_per_day()
    for name, rows in reports.items():
        assert tuple(rows[0]) == COLUMNS[report_of(name)]


def test_every_pod_is_there_once_an_hour_and_never_asks_for_more_than_its_limit():
    [payload] = make_payloads(PROFILES["tiny"], end=END, days=1, seed=5)
    _, reports = opened(payload)
    pods = next(rows for name, rows in reports.items() if "pod-usage" in name)

    seen = Counter((row["interval_start"], row["namespace"], row["pod"]) for row in pods)

    assert set(seen.values()) == {1}
    assert len({row["interval_start"] for row in pods}) == 24
    for row in pods:
        limit = float(row["pod_limit_cpu_core_seconds"] or "inf")
        assert float(row["pod_usage_cpu_core_seconds"]) <= limit


def test_four_uploads_of_a_day_grow():
    payloads = list(make_payloads(PROFILES["tiny"], end=END, days=1, seed=5, uploads_per_day=4))

    assert [payload.rows["node_labels"] for payload in payloads] == [3 * hours for hours in (6, 12, 18, 24)]
    assert len({payload.manifest_id for payload in payloads}) == 4
    _, last = opened(payloads[-1])
    _, first = opened(payloads[0])
    [early], [late] = ([rows for name, rows in reports.items() if "pod-usage" in name] for reports in (first, last))
    assert late[: len(early)] == early


def test_the_last_day_may_end_early():
    payloads = list(make_payloads(PROFILES["tiny"], end=END, days=2, seed=5, end_hour=7))

    assert [payload.end for payload in payloads] == [
        datetime(2025, 1, 30, 23, 59, 59, tzinfo=UTC),
        datetime(2025, 1, 31, 6, 59, 59, tzinfo=UTC),
    ]


def test_a_payload_above_the_size_is_cut_into_an_archive_per_csv_each_with_the_whole_manifest():
    [whole] = make_payloads(TINY, end=END, days=1, seed=5)
    parts = list(make_payloads(TINY, end=END, days=1, seed=5, max_size_mb=0.1))

    assert len(parts) > len(FILE_PREFIXES)
    assert {payload.manifest_id for payload in parts} == {whole.manifest_id}
    manifests, reports = zip(*(opened(payload) for payload in parts), strict=True)
    assert all(manifest == manifests[0] for manifest in manifests)
    assert all(len(files) == 1 for files in reports)
    _, expected = opened(whole)
    gathered: dict[str, list[dict[str, str]]] = {}
    for files in reports:
        for name, rows in files.items():
            gathered.setdefault(report_of(name), []).extend(rows)
    assert gathered == {report_of(name): rows for name, rows in expected.items()}


def test_churn_replaces_some_pods_each_day_and_keeps_the_number_of_rows():
    profile = replace(PROFILES["tiny"], churn=0.5, pods_per_node=20)
    names = []
    for payload in make_payloads(profile, end=END, days=3, seed=5):
        _, reports = opened(payload)
        rows = next(rows for name, rows in reports.items() if "pod-usage" in name)
        assert set(Counter(row["interval_start"] for row in rows).values()) == {profile.pods}
        last = max(row["interval_start"] for row in rows)
        names.append({(row["namespace"], row["pod"]) for row in rows if row["interval_start"] == last})

    for day, following in pairwise(names):
        replaced = len(following - day)
        assert 0 < replaced < len(day) / 2


@pytest.mark.parametrize(
    ("name", "pods", "rows"),
    [
        ("small", 750, 19_752),
        ("medium", 2_500, 66_432),
        ("xlarge", 17_250, 474_720),
        ("stress_max", 214_400, 6_187_584),
    ],
)
def test_load_profiles_have_the_sizes_of_the_load_table(name: str, pods: int, rows: int):
    profile = PROFILES[name]

    assert profile.pods * profile.clusters == pods
    assert sum(profile.rows_per_day().values()) * profile.clusters == rows
