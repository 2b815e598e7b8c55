"""Payloads of nise through HTTP; the tables they end in equal the plain reference."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from reference.comparison import differences
from reference.csv_reports import Row
from reference.run import LineItems, line_items, summary_of
from reference.tags import label_summary, tag_tuples
from reference.ui_tables import NETWORK_TABLES, UI_TABLES, gpu_table, ui_table

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
    items: LineItems
    expected: list[Row]


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

    items = line_items(archives)
    patterns = [
        (row.namespace, row.cost_category_id)
        for row in kura.query(
            f'select namespace, cost_category_id from "{source.schema}".reporting_ocp_cost_category_namespace'
        )
    ]
    expected = summary_of(items, enabled_keys=ENABLED, patterns=patterns)
    named = [
        row | {"cluster_id": cluster_id, "cluster_alias": source.name, "source_uuid": source.uuid} for row in expected
    ]
    return Processed(source, payloads, items, named)


def own_rows(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The rows of the summary pipeline, without what the cost model stage adds (§9.2)."""
    return [row for row in rows if row.get("cost_model_rate_type") is None]


CASES = [
    ("several-nodes", False),
    ("labels-changing", True),
    ("volumes-moved", False),
    ("no-pods", True),
    ("month-crossing", False),
    ("virtual-machines", False),
    ("gpus", True),
]


@pytest.fixture(scope="module", params=CASES, ids=[name for name, _ in CASES])
def processed(kura: RunningKura, request: pytest.FixtureRequest) -> Processed:
    scenario, per_file = request.param
    return process(kura, scenario, per_file=per_file)


def test_the_daily_summary_equals_the_reference(kura: RunningKura, processed: Processed):
    found = own_rows(kura.rows(processed.source, "reporting_ocpusagelineitem_daily_summary"))

    assert differences(processed.expected, found) == []


@pytest.mark.parametrize("table", [*UI_TABLES, *NETWORK_TABLES])
def test_each_ui_table_equals_the_reference(kura: RunningKura, processed: Processed, table: str):
    expected = ui_table(table, processed.expected)
    found = own_rows(kura.rows(processed.source, table))

    definition = UI_TABLES.get(table)
    keys = ["usage_start", "usage_end", "cluster_id", "cluster_alias", "cost_model_rate_type", "cost_category_id"]
    measures: list[str] = []
    if definition is not None:
        keys += definition.keys
        measures = [
            name for name in (*definition.sums, *definition.largest) if name not in ("cost_category_id", "raw_currency")
        ]
        if definition.resources:
            keys += ["resource_ids", "resource_count", "data_source"]
    assert differences(expected, found, keys=keys, measures=measures) == []


def test_the_gpu_table_equals_the_reference(kura: RunningKura, processed: Processed):
    patterns = [("openshift-%", 1)]
    expected = gpu_table(processed.items.daily["gpu_usage"], patterns=patterns)
    found = kura.rows(processed.source, "reporting_ocp_gpu_summary_p")

    keys = (
        *("usage_start", "namespace", "node", "vendor_name", "model_name", "gpu_uuid"),
        *("gpu_mode", "mig_profile", "mig_instance_id", "mig_strategy"),
    )
    measures = ("memory_capacity_gb", "mig_memory_capacity_gb", "mig_slice_count", "gpu_max_slices")
    assert differences(expected, found, keys=keys, measures=measures) == []


@pytest.mark.parametrize(
    ("data_source", "table"),
    [("Pod", "reporting_ocpusagepodlabel_summary"), ("Storage", "reporting_ocpstoragevolumelabel_summary")],
)
def test_the_label_summaries_equal_the_reference(kura: RunningKura, processed: Processed, data_source: str, table: str):
    tuples = tag_tuples(processed.expected, data_source=data_source, enabled_keys=ENABLED)
    expected = {
        (key, namespace, node): values
        for (key, _, namespace, node), values in label_summary(tuples, enabled_keys=ENABLED).items()
    }
    found: dict[tuple[str, str, str], set[str]] = {}
    for row in kura.query(
        f'select l.key, l.values, l.namespace, l.node from "{processed.source.schema}"."{table}" l'
        f' join "{processed.source.schema}".reporting_ocpusagereportperiod p on p.id = l.report_period_id'
        " where p.provider_id = :uuid",
        uuid=processed.source.uuid,
    ):
        found.setdefault((row.key, row.namespace, row.node), set()).update(row.values)

    assert {key: sorted(values) for key, values in found.items()} == expected


def test_every_upload_tells_when_its_stages_were(kura: RunningKura, processed: Processed):
    listed = kura.get("/uploads/", cluster_id=processed.source.cluster_id, limit="100")["data"]

    assert listed
    for upload in listed:
        assert upload["state"] == "done"
        moments = [upload[name] for name in ("accepted_at", "started_at", "parsed_at", "summarised_at", "finished_at")]
        assert moments == sorted(moments)
