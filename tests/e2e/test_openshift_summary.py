"""Payloads of nise through HTTP; the tables they end in equal the plain reference."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from reference import inventory
from reference.comparison import differences
from reference.csv_reports import Row
from reference.run import LineItems, line_items, summary_of
from reference.tags import label_summary, tag_tuples, tag_values
from reference.ui_tables import COST_SUMS, NETWORK_TABLES, UI_TABLES, gpu_table, gpu_table_of_costs, ui_table
from reference.vm_table import vm_table

from kura.single_pod.client import Kura
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


def as_floats(rows: list[dict[str, Any]]) -> list[Row]:
    """Stored rows as the reference calculates with them."""
    return [
        {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()} for row in rows
    ]


CASES = [
    ("everything", True),
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

    assert ui_differences(table, expected, found) == []


def ui_differences(table: str, expected: list[Row], found: list[dict[str, Any]]) -> list[str]:
    definition = UI_TABLES.get(table)
    keys = ["usage_start", "usage_end", "cluster_id", "cluster_alias", "cost_model_rate_type", "cost_category_id"]
    keys += definition.keys if definition is not None else NETWORK_TABLES[table]
    measures = [*definition.sums, *definition.largest] if definition is not None else [*COST_SUMS]
    if definition is None or definition.resources:
        keys += ["resource_ids", "resource_count", "data_source"]
    measures = [name for name in measures if name not in ("cost_category_id", "raw_currency")]
    return differences(expected, found, keys=[*keys, "raw_currency"], measures=measures)


GPU_KEYS = (
    *("usage_start", "usage_end", "namespace", "node", "vendor_name", "model_name", "gpu_uuid", "gpu_mode"),
    *("mig_profile", "mig_instance_id", "mig_strategy", "cost_category_id", "cost_model_rate_type", "raw_currency"),
)
GPU_MEASURES = (
    *("memory_capacity_gb", "mig_memory_capacity_gb", "mig_slice_count", "gpu_max_slices"),
    "cost_model_gpu_cost",
)


def test_the_gpu_table_equals_the_reference(kura: RunningKura, processed: Processed):
    expected = gpu_table(processed.items.daily["gpu_usage"], patterns=[("openshift-%", 1)])
    found = kura.rows(processed.source, "reporting_ocp_gpu_summary_p")

    assert differences(expected, found, keys=GPU_KEYS, measures=GPU_MEASURES) == []


VM_KEYS = (
    *("usage_start", "usage_end", "cluster_id", "cluster_alias", "namespace", "node", "vm_name", "pod_labels"),
    *("cost_model_rate_type", "resource_ids", "persistentvolumeclaim", "storageclass", "raw_currency"),
)
VM_MEASURES = (
    *COST_SUMS,
    *("pod_request_cpu_core_hours", "pod_request_memory_gigabyte_hours"),
    *("persistentvolumeclaim_usage_gigabyte_months", "persistentvolumeclaim_capacity_gigabyte_months"),
)


def machines_of(processed: Processed, rows: list[Row], *, distribution: str) -> list[Row]:
    """The table of machines from the stored rows of the daily summary, all of one month."""
    return vm_table(
        rows,
        vm_hourly=processed.items.hourly["vm_usage"],
        pods_daily=processed.items.daily["pod_usage"],
        storage_daily=processed.items.daily["storage_usage"],
        distribution=distribution,
    )


def test_the_machine_table_equals_the_reference(kura: RunningKura, processed: Processed):
    if len({day.month for day in processed.items.days}) > 1:
        assert not processed.items.hourly["vm_usage"]  # its tables would be one per month
    rows = as_floats(kura.rows(processed.source, "reporting_ocpusagelineitem_daily_summary"))
    found = kura.rows(processed.source, "reporting_ocp_vm_summary_p")

    assert (
        differences(machines_of(processed, rows, distribution="cpu"), found, keys=VM_KEYS, measures=VM_MEASURES) == []
    )


def test_the_inventory_equals_the_reference(kura: RunningKura, processed: Processed):
    def stored(table: str, columns: str) -> set[tuple[Any, ...]]:
        schema = processed.source.schema
        rows = kura.query(
            f'select {columns} from "{schema}"."{table}" t join "{schema}".reporting_ocp_clusters c'
            " on c.uuid = t.cluster_id where c.provider_id = :uuid",
            uuid=processed.source.uuid,
        )
        return {tuple(row) for row in rows}

    pods, storage = processed.items.daily["pod_usage"], processed.items.daily["storage_usage"]
    names = ("node", "resource_id", "node_capacity_cpu_cores", "node_role", "architecture")
    nodes = inventory.nodes(pods, processed.items.daily["node_labels"])
    assert stored("reporting_ocp_nodes", ", ".join(names)) == {tuple(row[name] for name in names) for row in nodes}
    claims = inventory.claims(storage)
    assert stored("reporting_ocp_pvcs", "persistent_volume, persistent_volume_claim") == set(claims)
    assert stored("reporting_ocp_projects", "project") == {(name,) for name in inventory.projects(pods)}


def test_the_tag_values_hold_every_place_of_the_cluster(kura: RunningKura, processed: Processed):
    expected = tag_values(processed.expected, enabled_keys=ENABLED)
    found = {
        (row.key, row.value): row
        for row in kura.query(
            f'select * from "{processed.source.schema}".reporting_ocptags_values where :id = any(cluster_ids)',
            id=processed.source.cluster_id,
        )
    }

    assert set(found) == set(expected)
    for pair, places in expected.items():
        assert places["namespaces"] <= set(found[pair].namespaces), pair
        assert places["nodes"] - {None} <= set(found[pair].nodes), pair
        assert processed.source.name in found[pair].cluster_aliases


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


# ---------------------------------------------------------------------------------------------------------- with prices


@pytest.fixture(scope="module")
def priced(kura: RunningKura) -> Iterator[Processed]:
    """Everything, with prices for CPU, storage, nodes, machines and GPUs, once all tasks have ended."""
    processed = process(kura, "everything", per_file=False)
    prices = [
        ("cpu_core_usage_per_hour", "Supplementary", 0.03),
        ("storage_gb_request_per_month", "Infrastructure", 0.25),
        ("node_cost_per_month", "Infrastructure", 150),
        ("vm_cost_per_month", "Supplementary", 9),
        ("pvc_cost_per_month", "Supplementary", 2),
    ]
    tiered = [
        {"metric": {"name": name}, "cost_type": kind, "tiered_rates": [{"value": value, "unit": "USD"}]}
        for name, kind, value in prices
    ]
    of_models = [
        {"tag_value": "Foo X 99", "value": 3, "unit": "USD", "default": False},
        {"tag_value": "(any other)", "value": 7, "unit": "USD", "default": True},
    ]
    gpus = {
        "metric": {"name": "gpu_cost_per_month"},
        "tag_rates": {"tag_key": "nvidia", "tag_values": of_models},
    }
    with Kura(kura.http) as client:
        made = client.post(
            "/cost-models/",
            {
                "name": "everything",
                "description": "",
                "source_type": "OCP",
                "source_uuids": [processed.source.uuid],
                "distribution": "memory",
                "rates": [*tiered, gpus],
            },
        )
        first = processed.items.days[0].replace(day=1)
        client.put(f"/price-lists/{made['price_lists'][0]['uuid']}/", {"effective_start_date": first.isoformat()})
    deadline, calm = time.monotonic() + 120, 0
    while calm < 5:
        [(open_tasks,)] = kura.query("select count(*) from public.task where state in ('queued', 'running')")
        calm = 0 if open_tasks else calm + 1
        assert time.monotonic() < deadline
        time.sleep(0.2)
    yield processed


@pytest.mark.parametrize("table", [*UI_TABLES, *NETWORK_TABLES])
def test_each_ui_table_with_costs_equals_the_reference(kura: RunningKura, priced: Processed, table: str):
    rows = as_floats(kura.rows(priced.source, "reporting_ocpusagelineitem_daily_summary"))
    found = kura.rows(priced.source, table)

    assert ui_differences(table, ui_table(table, rows), found) == []


def test_the_tables_of_gpus_and_machines_with_costs_equal_the_reference(kura: RunningKura, priced: Processed):
    rows = as_floats(kura.rows(priced.source, "reporting_ocpusagelineitem_daily_summary"))
    of_gpus = kura.rows(priced.source, "reporting_ocp_gpu_summary_p")
    of_machines = kura.rows(priced.source, "reporting_ocp_vm_summary_p")

    assert of_gpus
    assert differences(gpu_table_of_costs(rows), of_gpus, keys=GPU_KEYS, measures=GPU_MEASURES) == []
    expected = machines_of(priced, rows, distribution="memory")
    assert {row["cost_model_rate_type"] for row in of_machines} >= {None, "Infrastructure", "Supplementary"}
    assert differences(expected, of_machines, keys=VM_KEYS, measures=VM_MEASURES) == []
