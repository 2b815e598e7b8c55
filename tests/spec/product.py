"""The product's own computation over the inputs of the reference, for comparison."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pyarrow as pa
from reference.csv_reports import Row
from reference.summary import Inputs, Run

from kura.aggregator.engine import Engine, EngineLimits
from kura.aggregator.pipelines.openshift import compute
from kura.aggregator.steps.reading import LineItems, read_range
from kura.aggregator.store import MAPPING_SCHEMA, NODES_SCHEMA, PATTERNS_SCHEMA, Cluster, Facts
from kura.core.days import DayRange
from kura.testing.tables import line_items

LABEL_COLUMNS = ("pod_labels", "volume_labels", "all_labels", "infrastructure_usage_cost")


@contextmanager
def engine(spill: Path) -> Iterator[Engine]:
    """A small engine."""
    with Engine.open(EngineLimits(memory_bytes=512 * 2**20, threads=1, spill_directory=spill)) as opened:
        yield opened


def summarise(engine: Engine, inputs: Inputs, run: Run, tag_mapping: Mapping[str, str] | None = None) -> list[Row]:
    """The rows of the daily summary as the product computes them, in the form of the reference."""
    days = DayRange(run.start, run.end)
    results = compute(read_range(_line_items(engine, inputs), days), days, _facts(inputs, run, tag_mapping or {}))
    return [_row(row) for row in results.summary_rows.to_pylist()]


def _line_items(engine: Engine, inputs: Inputs) -> LineItems:
    return LineItems(
        pod_usage_hourly=engine.table(line_items("pod_usage", inputs.pods_hourly, daily=False)),
        pod_usage_daily=engine.table(line_items("pod_usage", inputs.pods_daily, daily=True)),
        storage_usage_daily=engine.table(line_items("storage_usage", inputs.storage_daily, daily=True)),
        node_labels_daily=engine.table(line_items("node_labels", inputs.node_labels, daily=True)),
        namespace_labels_daily=engine.table(line_items("namespace_labels", inputs.namespace_labels, daily=True)),
        gpu_usage_daily=engine.table(line_items("gpu_usage", [], daily=True)),
    )


def _facts(inputs: Inputs, run: Run, tag_mapping: Mapping[str, str]) -> Facts:
    nodes = [
        {
            "uuid": f"00000000-0000-4000-8000-{number:012d}",
            "node": node["node"],
            "resource_id": node["resource_id"],
            "node_capacity_cpu_cores": node.get("node_capacity_cpu_cores"),
            "node_role": node["node_role"],
            "architecture": node.get("architecture"),
            "of_this_cluster": bool(node.get("of_this_cluster")),
        }
        for number, node in enumerate(inputs.nodes)
    ]
    stored = pa.table(
        {name: pa.array([node[name] for node in nodes], _arrow_kind(name)) for name in NODES_SCHEMA.names}
    ).cast(NODES_SCHEMA)
    patterns = [{"pattern": pattern, "cost_category_id": category} for pattern, category in inputs.patterns]
    mapping = [{"child": child, "parent": parent} for child, parent in tag_mapping.items()]
    return Facts(
        cluster=Cluster(
            schema="org1234567",
            provider_uuid=UUID(run.source_uuid),
            cluster_id=run.cluster_id,
            cluster_alias=run.cluster_alias,
            report_period_id=run.report_period_id,
            cost_model_distribution="cpu",
            has_gpu_rate=False,
        ),
        enabled_keys=sorted(inputs.enabled_keys),
        category_patterns=pa.Table.from_pylist(patterns, schema=PATTERNS_SCHEMA),
        stored_nodes=stored,
        tag_mapping=pa.Table.from_pylist(mapping, schema=MAPPING_SCHEMA),
        visible=[],
        is_newest=True,
    )


def _arrow_kind(name: str) -> pa.DataType:
    kind = NODES_SCHEMA.field(name).type
    return pa.float64() if pa.types.is_decimal(kind) else kind


def _row(row: Mapping[str, object]) -> Row:
    """Labels as maps; the end of the usage is its start."""
    converted = {
        name: json.loads(value) if name in LABEL_COLUMNS and isinstance(value, str) else value
        for name, value in row.items()
    }
    return {**converted, "usage_end": row["usage_start"]}
