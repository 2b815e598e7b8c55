"""The product's own computation of costs over small visible tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import pyarrow as pa
from reference.costs_model import PATTERNS, PLATFORM, Inputs, Row

from kura.aggregator import line_items
from kura.aggregator.cost_facts import CostFacts, model_of, with_model
from kura.aggregator.engine import Engine
from kura.aggregator.line_items import Kind
from kura.aggregator.pipelines import costs
from kura.aggregator.steps.costs import shapes
from kura.aggregator.store import MAPPING_SCHEMA, NODES_SCHEMA, PATTERNS_SCHEMA, Cluster, Facts
from kura.core.days import DayRange, Month

LABELS = ("pod_labels", "volume_labels", "all_labels", "namespace_labels", "node_labels")


def cost_rows(engine: Engine, inputs: Inputs) -> list[Row]:
    """The cost rows and the distributed rows, unrounded."""
    return rows_and_lines(engine, inputs)[0]


def rows_and_lines(engine: Engine, inputs: Inputs) -> tuple[list[Row], list[Row]]:
    """The cost rows, and the lines that explain them."""
    facts = _facts(inputs)
    found = costs.compute(_given(engine, inputs), days=DayRange(inputs.start, inputs.last), facts=facts)
    rows = costs.cost_rows(engine, facts=facts, costs=found)
    lines = costs.explained_costs(engine, facts=facts, costs=found)
    return [_row(row) for row in rows.to_pylist()], [_row(row) for row in lines.to_pylist()]


def distribute_gpu(engine: Engine, *, gpus: Sequence[Row], idle: Sequence[Row]) -> list[Row]:
    """The distribution of idle GPUs; `idle`: usage_start, node, gpu_model_name, cost."""
    items = costs.read_gpus(
        engine.table(_line_items(line_items.GPU_USAGE_DAILY, gpus)), engine, days=_month_of(idle[0]["usage_start"])
    )
    given = engine.table(pa.Table.from_pylist(list(idle), schema=shapes.UNALLOCATED_GPUS))
    return costs.gpus.distribute_gpu(items, given).to_pylist()


def _given(engine: Engine, inputs: Inputs) -> costs.Given:
    month = _month_of(inputs.start)
    report = engine.table(_line_items(line_items.VM_USAGE_HOURLY, inputs.machines))
    summary = engine.table(rows_table(inputs.summary, shapes.SUMMARY))
    days = DayRange(inputs.start, inputs.last)
    machine_days, machine_places = costs.seen_machines(
        report,
        days=days,
        month=month,
        pods=lambda: engine.table(_line_items(line_items.POD_LABELS_HOURLY, inputs.pods_hourly)),
    )
    return costs.Given(
        summary=summary,
        cloud=engine.table(rows_table(inputs.cloud, shapes.CLOUD)),
        machine_days=machine_days,
        machine_places=machine_places,
        machine_summary=summary,
        gpu_daily=costs.read_gpus(
            engine.table(_line_items(line_items.GPU_USAGE_DAILY, inputs.gpus)), engine, days=days
        ),
        gpu_node_hours=costs.read_gpu_nodes(
            engine.table(_line_items(line_items.NODE_LABELS_HOURLY, inputs.node_labels)), engine, days=days
        ),
        namespace_labels_daily=engine.table(_line_items(line_items.NAMESPACE_LABELS_DAILY, inputs.namespace_labels)),
    )


def _facts(inputs: Inputs) -> CostFacts:
    nodes = [
        {
            "uuid": f"00000000-0000-4000-8000-{number:012d}",
            "node": node["node"],
            "resource_id": node["resource_id"],
            "node_capacity_cpu_cores": None,
            "node_role": node["node_role"],
            "architecture": None,
            "of_this_cluster": True,
        }
        for number, node in enumerate(inputs.nodes)
    ]
    summary = Facts(
        cluster=Cluster(
            schema="org1234567",
            provider_uuid=UUID(int=1),
            cluster_id="cluster-1",
            cluster_alias="My cluster",
            report_period_id=1,
            cost_model_distribution="cpu",
            has_gpu_rate=False,
        ),
        enabled_keys=[],
        category_patterns=pa.Table.from_pylist(
            [{"pattern": pattern, "cost_category_id": category} for pattern, category in PATTERNS],
            schema=PATTERNS_SCHEMA,
        ),
        stored_nodes=pa.Table.from_pylist(nodes, schema=NODES_SCHEMA),
        tag_mapping=MAPPING_SCHEMA.empty_table(),
        visible=[],
        is_newest=True,
    )
    return with_model(summary, model=model_of(inputs.model), platform_category=PLATFORM)


def _month_of(day: date) -> DayRange:
    month = Month.of(day)
    return DayRange(month.first, month.last)


def rows_table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([_with_all_labels(row) for row in rows], schema=schema)


def _with_all_labels(row: Row) -> Row:
    own = {**(row.get("pod_labels") or {}), **(row.get("volume_labels") or {})}
    return _with_texts({"all_labels": own, **row})


def _with_texts(row: Row) -> Row:
    return {name: _text(value) if name in LABELS and value is not None else value for name, value in row.items()}


def _text(labels: Mapping[str, str]) -> str:
    return json.dumps(dict(labels), separators=(",", ":"), sort_keys=True)


def _line_items(kind: Kind, rows: Sequence[Row]) -> pa.Table:
    given = [_with_texts({"interval_start": _moment(row), **row}) for row in rows]
    columns = {name: [row.get(name) for row in given] for name in kind.schema.names}
    return pa.table({name: pa.array(values, kind.schema.field(name).type) for name, values in columns.items()})


def _moment(row: Row) -> datetime:
    day = row["day"]
    return datetime(day.year, day.month, day.day, row.get("hour", 0))


def _row(row: Row) -> Row:
    """Labels as maps again, amounts as floats."""
    return {name: _plain(name, value) for name, value in row.items()}


def _plain(name: str, value: Any) -> Any:
    if name in LABELS and value is not None:
        return json.loads(bytes(value)[1:])
    return float(value) if pa.types.is_decimal(pa.scalar(value).type) else value


__all__ = ["PLATFORM", "Inputs", "Row", "cost_rows", "distribute_gpu", "rows_and_lines"]
