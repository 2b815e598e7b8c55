"""The same data sent again, in other pieces, in another order, grown: nothing doubles."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from pathlib import Path
from uuid import uuid4

import pytest
from reference.comparison import differences
from reference.run import line_items, summary_of

from kura.testing.digest import digest_of
from kura.testing.nise import nise_payloads
from kura.testing.operator_payload import PROFILES, Cluster, make_payloads
from kura.testing.running import RunningKura, Source

pytestmark = pytest.mark.slow

SUMMARY = "reporting_ocpusagelineitem_daily_summary"
SCENARIOS = Path(__file__).parent / "scenarios"
PROFILE = replace(PROFILES["tiny"], vms=0, gpu_pods=0)


def yesterday() -> date:
    return datetime.now(UTC).date() - timedelta(days=1)


def new_cluster(kura: RunningKura) -> tuple[Source, Cluster]:
    cluster = Cluster(index=0, cluster_id=str(uuid4()), name="repeated")
    return kura.add_cluster(cluster.cluster_id, name=f"repeated-{cluster.cluster_id[:8]}"), cluster


def assert_equals_reference(kura: RunningKura, source: Source, archives: list[bytes]) -> None:
    expected = summary_of(line_items(archives))
    found = [row for row in kura.rows(source, SUMMARY) if row["cost_model_rate_type"] is None]
    assert differences(expected, found) == []


def test_the_same_archive_twice_doubles_nothing(kura: RunningKura):
    source, cluster = new_cluster(kura)
    [payload] = make_payloads(PROFILE, end=yesterday(), days=1, seed=1, only=[cluster])
    kura.send(payload.content)
    first = digest_of(kura.database_url, source.schema)

    kura.send(payload.content)

    assert digest_of(kura.database_url, source.schema).differences(first) == []
    assert_equals_reference(kura, source, [payload.content])


def test_the_same_archive_sent_many_times_at_once_doubles_nothing(kura: RunningKura):
    source, cluster = new_cluster(kura)
    [payload] = make_payloads(PROFILE, end=yesterday(), days=1, seed=2, only=[cluster])

    kura.send(*[payload.content] * 5)

    assert_equals_reference(kura, source, [payload.content])


def test_a_day_sent_four_times_growing_counts_once(kura: RunningKura):
    source, cluster = new_cluster(kura)
    payloads = list(make_payloads(PROFILE, end=yesterday(), days=1, seed=3, only=[cluster], uploads_per_day=4))

    kura.send(*(payload.content for payload in payloads))

    assert_equals_reference(kura, source, [payloads[-1].content])


def test_a_day_sent_four_times_in_reverse_order_counts_the_longest(kura: RunningKura):
    source, cluster = new_cluster(kura)
    payloads = list(make_payloads(PROFILE, end=yesterday(), days=1, seed=4, only=[cluster], uploads_per_day=4))

    for payload in reversed(payloads):
        kura.send(payload.content)

    assert_equals_reference(kura, source, [payloads[-1].content])


@pytest.mark.parametrize("order", list(permutations(range(3)))[1::2])
def test_the_parts_of_a_payload_may_come_in_any_order(kura: RunningKura, order: tuple[int, ...]):
    source, cluster = new_cluster(kura)
    parts = list(make_payloads(PROFILE, end=yesterday(), days=1, seed=5, only=[cluster], max_size_mb=0.15))
    assert len(parts) > 3
    shuffled = [parts[place] for place in order] + parts[3:]

    kura.send(*(part.content for part in shuffled))

    assert_equals_reference(kura, source, [part.content for part in parts])


def test_a_payload_of_which_a_part_is_missing_waits_and_is_not_summarised(kura: RunningKura):
    source, cluster = new_cluster(kura)
    parts = list(make_payloads(PROFILE, end=yesterday(), days=1, seed=6, only=[cluster], max_size_mb=0.15))

    request_ids = [kura.upload(part.content) for part in parts[:-1]]
    waiting = kura.wait(request_ids, until=frozenset({"waiting"}))

    assert {upload["reason_code"] for upload in waiting} == {"incomplete_manifest"}
    assert kura.rows(source, SUMMARY) == []

    kura.send(parts[-1].content)
    assert {upload["state"] for upload in kura.wait(request_ids)} == {"done"}
    assert_equals_reference(kura, source, [part.content for part in parts])


def test_payloads_of_an_old_operator_add_up_and_the_same_one_again_does_not(kura: RunningKura):
    cluster_id = str(uuid4())
    source = kura.add_cluster(cluster_id, name=f"additive-{cluster_id[:8]}")
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    [first, *_] = payloads = [
        nise_payloads(
            SCENARIOS / "month-crossing.yml",
            cluster_id=cluster_id,
            start=end - timedelta(days=1),
            end=end,
            daily_reports=False,
        )[0]
        for _ in range(2)
    ]
    archives = [payload.archive() for payload in payloads]

    kura.send(*archives)
    kura.send(first.archive())

    assert_equals_reference(kura, source, archives)


def test_an_upload_of_an_unknown_cluster_waits_for_its_source(kura: RunningKura):
    cluster = Cluster(index=0, cluster_id=str(uuid4()), name="late")
    [payload] = make_payloads(PROFILE, end=yesterday(), days=1, seed=7, only=[cluster])
    request_id = kura.upload(payload.content)
    [upload] = kura.wait([request_id], until=frozenset({"waiting"}))
    assert upload["reason_code"] == "unknown_cluster"

    source = kura.add_cluster(cluster.cluster_id, name=f"late-{cluster.cluster_id[:8]}")
    [upload] = kura.wait([request_id])

    assert upload["state"] == "done"
    assert_equals_reference(kura, source, [payload.content])
