"""The product's own computation over the inputs of the reference, for comparison."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
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
from kura.testing.strategies import CAPACITIES, COSTS, POD_MEASURES, VOLUME_MEASURES
from kura.testing.tables import line_items

LABEL_COLUMNS = ("pod_labels", "volume_labels", "all_labels", "infrastructure_usage_cost")


@contextmanager
def engine(spill: Path) -> Iterator[Engine]:
    """A small engine."""
    with Engine.open(EngineLimits(memory_bytes=512 * 2**20, threads=1, spill_directory=spill)) as opened:
        yield opened


@dataclass(frozen=True, kw_only=True)
class Computed:
    """Everything a run computes, as rows of Python values."""

    summary: list[Row]
    pod_tags: list[Row]
    volume_tags: list[Row]
    node_changes: list[Row]
    volumes: list[Row]
    projects: list[Row]
    gpus: list[Row]
    mapped_labels: dict[str, str]


def summarise(engine: Engine, inputs: Inputs, run: Run) -> list[Row]:
    """The rows of the daily summary as the product computes them, in the form of the reference."""
    return compute_all(engine, inputs, run).summary


def compute_all(engine: Engine, inputs: Inputs, run: Run) -> Computed:
    days = DayRange(run.start, run.end)
    results = compute(read_range(_line_items(engine, inputs), days), days, _facts(inputs, run))
    return Computed(
        summary=[_row(row) for row in results.summary_rows.to_pylist()],
        pod_tags=results.pod_tags.to_pylist(),
        volume_tags=results.volume_tags.to_pylist(),
        node_changes=results.node_changes.to_pylist(),
        volumes=results.found_volumes.to_pylist(),
        projects=results.found_projects.to_pylist(),
        gpus=results.gpu_rows.to_pylist(),
        mapped_labels={row["labels"]: row["mapped"] for row in results.mapped_labels.to_pylist()},
    )


def _line_items(engine: Engine, inputs: Inputs) -> LineItems:
    return LineItems(
        pod_usage_hourly=engine.table(line_items("pod_usage", inputs.pods_hourly, daily=False)),
        pod_usage_daily=engine.table(line_items("pod_usage", inputs.pods_daily, daily=True)),
        storage_usage_daily=engine.table(line_items("storage_usage", inputs.storage_daily, daily=True)),
        node_labels_daily=engine.table(line_items("node_labels", inputs.node_labels, daily=True)),
        namespace_labels_daily=engine.table(line_items("namespace_labels", inputs.namespace_labels, daily=True)),
        gpu_usage_daily=engine.table(line_items("gpu_usage", inputs.gpu_daily, daily=True)),
    )


def _facts(inputs: Inputs, run: Run) -> Facts:
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
    mapping = [{"child": child, "parent": parent} for child, parent in inputs.tag_mapping.items()]
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


def summary_table(rows: Sequence[Row]) -> pa.Table:
    """Rows of the daily summary in the types that the engine adds up: exact decimals, texts, dates."""
    kinds = {
        **dict.fromkeys(("usage_start", "usage_end"), pa.date32()),
        **dict.fromkeys((*COSTS, *POD_MEASURES, *CAPACITIES, *VOLUME_MEASURES, *TRAFFIC), pa.decimal128(33, 15)),
        "cost_category_id": pa.int32(),
        **dict.fromkeys(TEXTS, pa.string()),
    }
    return pa.table(
        {
            name: pa.array(
                [_exact(row.get(name)) if pa.types.is_decimal(kind) else row.get(name) for row in rows], kind
            )
            for name, kind in kinds.items()
        }
    )


TRAFFIC = ("infrastructure_data_in_gigabytes", "infrastructure_data_out_gigabytes")
TEXTS = (
    "cluster_id",
    "cluster_alias",
    "source_uuid",
    "data_source",
    "namespace",
    "node",
    "resource_id",
    "raw_currency",
    "cost_model_rate_type",
    "persistentvolumeclaim",
    "storageclass",
)


def _exact(value: object) -> Decimal | None:
    return None if value is None else Decimal(repr(value))
