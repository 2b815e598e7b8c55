"""Payloads of nise through HTTP; the tables they end in equal the plain reference."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import openshift_tables as tables
import pytest
from openshift_tables import DAILY_SUMMARY, LABEL_SUMMARIES, Expected, as_floats, settings_of
from reference.run import line_items
from reference.ui_tables import NETWORK_TABLES, UI_TABLES
from settings_changes import price

from kura.testing.nise import NisePayload, nise_payloads
from kura.testing.running import RunningKura, Source

pytestmark = pytest.mark.slow

SCENARIOS = Path(__file__).parent / "scenarios"
ENABLED = frozenset({"app", "env", "team", "tier", "zone", "version", "accelerator"})


def days_ago(days: int) -> datetime:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days)


def around_the_last_month_end() -> tuple[datetime, datetime]:
    first = days_ago(0).replace(day=1)
    if days_ago(0) - first < timedelta(days=2):
        first = (first - timedelta(days=1)).replace(day=1)
    return first - timedelta(days=2), first + timedelta(days=2)


def recent_days_of_one_month() -> tuple[datetime, datetime]:
    """Three full days in one month; the generator goes on to the present hour when they end today."""
    end = days_ago(1)
    if end.day <= 3:
        end = end.replace(day=1)
    return end - timedelta(days=3), end


@dataclass(frozen=True)
class Processed:
    source: Source
    payloads: list[NisePayload]
    expected: Expected


def process(kura: RunningKura, scenario: str, *, per_file: bool, daily_reports: bool = True) -> Processed:
    """Upload a scenario of its own cluster and wait until it is visible."""
    if scenario == "month-crossing":
        start, end = around_the_last_month_end()
    else:
        start, end = recent_days_of_one_month()
    middle = start + timedelta(days=1, hours=12)
    cluster_id = str(uuid4())
    payloads = nise_payloads(
        SCENARIOS / f"{scenario}.yml",
        cluster_id=cluster_id,
        start=start,
        end=end,
        middle=middle,
        daily_reports=daily_reports,
    )
    archives = [
        archive for payload in payloads for archive in (payload.archive_per_file() if per_file else [payload.archive()])
    ]
    source = kura.add_cluster(cluster_id, name=f"{scenario}-{cluster_id[:8]}")
    kura.enable_tag_keys(source, *ENABLED)
    kura.send(*archives)

    expected = Expected(items=line_items(archives), source=source, settings=settings_of(kura, source))
    return Processed(source, payloads, expected)


CASES = [
    ("everything", True),
    ("several-nodes", False),
    ("labels-changing", True),
    ("volumes-moved", False),
    ("no-pods", True),
    ("month-crossing", False),
    ("virtual-machines", False),
    ("gpus", True),
    ("machines-moved", False),
    ("odd-names", True),
]


@pytest.fixture(scope="module", params=CASES, ids=[name for name, _ in CASES])
def processed(kura: RunningKura, request: pytest.FixtureRequest) -> Processed:
    scenario, per_file = request.param
    return process(kura, scenario, per_file=per_file)


def test_the_daily_summary_equals_the_reference(kura: RunningKura, processed: Processed):
    assert tables.summary_differences(kura, processed.expected) == []


def test_the_summary_in_parquet_equals_the_reference(kura: RunningKura, processed: Processed):
    assert tables.parquet_differences(kura, processed.expected) == []


def test_the_summary_by_month_equals_that_by_day(kura: RunningKura, processed: Processed):
    assert tables.month_differences(kura, processed.source) == []


@pytest.mark.parametrize("table", [*UI_TABLES, *NETWORK_TABLES])
def test_each_ui_table_equals_the_reference(kura: RunningKura, processed: Processed, table: str):
    summary = processed.expected.summary
    assert tables.ui_differences(kura, processed.source, table, summary, own=True) == []


def test_the_gpu_table_equals_the_reference(kura: RunningKura, processed: Processed):
    assert tables.gpu_differences(kura, processed.expected) == []


def test_the_machine_table_equals_the_reference(kura: RunningKura, processed: Processed):
    summary = as_floats(kura.rows(processed.source, DAILY_SUMMARY))
    assert tables.vm_differences(kura, processed.expected, summary) == []


def test_the_inventory_equals_the_reference(kura: RunningKura, processed: Processed):
    assert tables.inventory_differences(kura, processed.expected) == []


def test_each_month_with_data_has_a_stamped_period(kura: RunningKura, processed: Processed):
    assert tables.period_differences(kura, processed.expected) == []


def test_the_tag_values_hold_every_place_of_the_cluster(kura: RunningKura, processed: Processed):
    assert tables.tag_value_differences(kura, processed.expected) == []


@pytest.mark.parametrize("data_source", LABEL_SUMMARIES)
def test_the_label_summaries_equal_the_reference(kura: RunningKura, processed: Processed, data_source: str):
    assert tables.label_differences(kura, processed.expected, data_source) == []


def test_every_upload_tells_when_its_stages_were(kura: RunningKura, processed: Processed):
    listed = kura.get("/uploads/", cluster_id=processed.source.cluster_id, limit="100")["data"]

    assert listed
    for upload in listed:
        assert upload["state"] == "done"
        moments = [upload[name] for name in ("accepted_at", "started_at", "parsed_at", "summarised_at", "finished_at")]
        assert moments == sorted(moments)


# ---------------------------------------------------------------------------------------------------------- with prices


@pytest.fixture(scope="module")
def priced(kura: RunningKura) -> Iterator[Processed]:
    """Everything, with prices for CPU, storage, nodes, machines and GPUs, once all tasks have ended."""
    processed = process(kura, "everything", per_file=False)
    price(kura, processed.source, since=processed.expected.items.days[0].replace(day=1))
    yield processed


@pytest.mark.parametrize("table", [*UI_TABLES, *NETWORK_TABLES])
def test_each_ui_table_with_costs_equals_the_reference(kura: RunningKura, priced: Processed, table: str):
    summary = as_floats(kura.rows(priced.source, DAILY_SUMMARY))
    assert tables.ui_differences(kura, priced.source, table, summary, own=False) == []


def test_the_tables_of_gpus_and_machines_with_costs_equal_the_reference(kura: RunningKura, priced: Processed):
    summary = as_floats(kura.rows(priced.source, DAILY_SUMMARY))
    machines = kura.rows(priced.source, "reporting_ocp_vm_summary_p")

    assert kura.rows(priced.source, "reporting_ocp_gpu_summary_p")
    assert tables.gpu_cost_differences(kura, priced.source, summary) == []
    assert {row["cost_model_rate_type"] for row in machines} >= {None, "Infrastructure", "Supplementary"}
    assert tables.vm_differences(kura, priced.expected, summary, distribution="memory") == []
    assert tables.month_differences(kura, priced.source) == []
