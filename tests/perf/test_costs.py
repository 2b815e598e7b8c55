"""Figures of the cost pipeline: summary rows per second, computed and committed. Prints, judges nothing by the clock.

KURA_PERF_ROWS sets the summary rows (2,000,000) that are computed, KURA_PERF_COMMITTED those that are committed too
(200,000): most of that time is PostgreSQL's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import insert, select

from kura.aggregator.config import AggregatorSettings
from kura.aggregator.cost_facts import read_cost_facts
from kura.aggregator.engine import Engines
from kura.aggregator.pipelines import costs
from kura.aggregator.pipelines.openshift import Resources, SummaryRun
from kura.aggregator.steps.costs import shapes
from kura.aggregator.summary_parquet import summary_key
from kura.core.days import DayRange
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.store.tables import tenant
from kura.store.tables.shared import CUSTOMER, PROVIDER

ROWS = int(os.environ.get("KURA_PERF_ROWS", "2000000"))
COMMITTED = int(os.environ.get("KURA_PERF_COMMITTED", "200000"))
DAYS = 10
FIRST = date(2025, 1, 1)
NODES, NAMESPACES, NODES_OF_NAMESPACE = 200, 300, 10

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

RATES: list[dict[str, Any]] = [
    {"metric": "cpu_core_usage_per_hour", "cost_type": "Supplementary", "rate": "0.007"},
    {"metric": "cpu_core_request_per_hour", "cost_type": "Supplementary", "rate": "0.2"},
    {"metric": "memory_gb_usage_per_hour", "cost_type": "Supplementary", "rate": "0.009"},
    {"metric": "memory_gb_request_per_hour", "cost_type": "Supplementary", "rate": "0.05"},
    {"metric": "storage_gb_request_per_month", "cost_type": "Supplementary", "rate": "0.01"},
]
MORE_RATES = [
    {"metric": "node_cost_per_month", "cost_type": "Infrastructure", "rate": "1000"},
    {"metric": "cluster_cost_per_month", "cost_type": "Infrastructure", "rate": "10000"},
]
TAG_RATES = [
    {
        "metric": {"name": "cpu_core_usage_per_hour"},
        "cost_type": "Supplementary",
        "tag_rates": {
            "tag_key": "app",
            "tag_values": [
                {"tag_value": f"app-{number}", "value": "0.1", "default": number == 0} for number in range(10)
            ],
        },
    }
]


@pytest.fixture
def resources(database: Database, directory_store: ObjectStore, tmp_path: Path) -> Iterator[Resources]:
    limits = AggregatorSettings.from_env(
        {"KURA_ENGINE_MEMORY_MIB": "512", "KURA_AGGREGATOR_RUNS": "1", "KURA_SPILL_DIRECTORY": str(tmp_path / "s")}
    ).engine_limits()
    (tmp_path / "s").mkdir()
    with Engines(limits) as engines:
        yield Resources(database=database, objects=directory_store, engines=engines)


@pytest.fixture
def run(resources: Resources, tenant_schema: str) -> SummaryRun:
    """A source with its report period; the run over its days."""
    provider_uuid = uuid4()
    with resources.database.tenant(tenant_schema) as connection:
        customer = connection.scalar(select(CUSTOMER.c.id))
        connection.execute(insert(PROVIDER).values(uuid=provider_uuid, name="big", type="OCP", customer_id=customer))
        connection.execute(insert(tenant.TENANT_PROVIDER).values(uuid=provider_uuid, name="big", type="OCP"))
        connection.execute(
            insert(tenant.REPORT_PERIOD).values(
                cluster_id="big",
                cluster_alias="big",
                report_period_start=datetime(2025, 1, 1, tzinfo=UTC),
                report_period_end=datetime(2025, 2, 1, tzinfo=UTC),
                provider_id=provider_uuid,
            )
        )
    days = DayRange(FIRST, FIRST + timedelta(days=DAYS - 1))
    return SummaryRun(schema=tenant_schema, provider_uuid=provider_uuid, days=days)


def add_model(database: Database, run: SummaryRun, *, rates: list[dict[str, Any]], tags: list[dict[str, Any]]) -> None:
    model, price_list = uuid4(), uuid4()
    with database.tenant(run.schema) as connection:
        connection.execute(
            insert(tenant.COST_MODEL).values(
                uuid=model,
                name="m",
                source_type="OCP",
                distribution_info={"platform_cost": True, "worker_cost": True},
            )
        )
        connection.execute(insert(tenant.COST_MODEL_MAP).values(provider_uuid=run.provider_uuid, cost_model_id=model))
        connection.execute(
            insert(tenant.PRICE_LIST).values(
                uuid=price_list,
                name="p",
                currency="USD",
                effective_start_date=FIRST,
                effective_end_date=date(2099, 12, 31),
                rates=tags,
            )
        )
        connection.execute(
            insert(tenant.PRICE_LIST_COST_MODEL_MAP).values(price_list_id=price_list, cost_model_id=model, priority=1)
        )
        connection.execute(
            insert(tenant.COST_MODEL_RATE),
            [
                {
                    "uuid": UUID(int=number + 1),
                    "price_list_id": price_list,
                    "custom_name": f"r{number}",
                    "metric": rate["metric"],
                    "metric_type": "cpu",
                    "cost_type": rate["cost_type"],
                    "default_rate": Decimal(rate["rate"]),
                }
                for number, rate in enumerate(rates)
            ],
        )


def store_summary(objects: ObjectStore, run: SummaryRun, rows: int) -> None:
    """Pods of many namespaces and label maps, a tenth of the rows volumes."""
    rng = np.random.default_rng(7)
    for day in run.days:
        table = summary_of(day, rows // DAYS, rng)
        key = summary_key(run.source, day)
        with objects.open_write(key) as target:
            pq.write_table(table, target, compression="snappy")  # type: ignore[arg-type]


def summary_of(day: date, count: int, rng: np.random.Generator) -> pa.Table:
    number = np.arange(count)
    is_volume = number % 10 == 9
    names = np.array([f"ns-{n}" if n > 20 else f"openshift-{n}" for n in range(NAMESPACES)], dtype=object)
    of_namespace = rng.integers(0, NAMESPACES, count)
    namespaces = names[of_namespace]
    nodes = (of_namespace * 7 + rng.integers(0, NODES_OF_NAMESPACE, count)) % NODES
    labels = np.array([f'{{"app":"app-{n % 40}","pod":"{n}","team":"team-{n % 7}"}}' for n in number], dtype=object)
    usage, memory = rng.random(count), rng.random(count) * 4
    columns: dict[str, Any] = {
        "usage_start": pa.array([day] * count, pa.date32()),
        "data_source": np.where(is_volume, "Storage", "Pod"),
        "namespace": namespaces,
        "node": np.array([f"node-{n}" for n in range(NODES)], dtype=object)[nodes],
        "pod_labels": np.where(is_volume, None, labels),
        "volume_labels": np.where(is_volume, labels, None),
        "all_labels": labels,
        "cost_category_id": pa.array([1 if name.startswith("openshift") else None for name in namespaces], pa.int32()),
        "persistentvolumeclaim": np.where(is_volume, labels, None),
    }
    for name in shapes.SUMMARY.names:
        if name.startswith("pod_") and name.endswith("core_hours"):
            columns[name] = usage
        elif name.startswith("pod_") and name.endswith("gigabyte_hours"):
            columns[name] = memory
        elif name in shapes.CAPACITIES:
            columns[name] = np.full(count, 1536.0)
        elif name.startswith(("persistentvolumeclaim_", "volume_request")):
            columns[name] = np.where(is_volume, usage, 0.0)
    return pa.table(
        {
            field.name: pa.array(columns[field.name], field.type, from_pandas=True)
            if field.name in columns and not isinstance(columns[field.name], pa.Array)
            else columns.get(field.name, pa.nulls(count, field.type))
            for field in shapes.SUMMARY
        }
    )


@pytest.mark.parametrize(
    ("name", "rates", "tags"),
    [("usage rates", RATES, []), ("usage, monthly and tag rates", RATES + MORE_RATES, TAG_RATES)],
)
def test_costs_per_second(
    resources: Resources, run: SummaryRun, name: str, rates: list[Any], tags: list[Any], capsys: pytest.CaptureFixture
):
    store_summary(resources.objects, run, ROWS)
    add_model(resources.database, run, rates=rates, tags=tags)
    facts = read_cost_facts(resources.database, schema=run.schema, provider_uuid=run.provider_uuid, days=run.days)
    assert facts is not None
    inputs, written, lines = costs.Inputs(run=run, resources=resources, facts=facts), 0, 0

    began = time.perf_counter()
    for days in inputs.rounds():
        with resources.engines.lend() as engine:
            found = costs.compute(
                inputs.open(engine, days=days, cloud=shapes.CLOUD.empty_table()), days=days, facts=facts
            )
            rows, explained = costs.rows_to_write(engine, facts=facts, costs=found)
            written += sum(batch.num_rows for batch in rows.to_reader())
            lines += sum(batch.num_rows for batch in explained.to_reader())
    seconds = time.perf_counter() - began

    with capsys.disabled():
        print(
            f"\n{name}: {inputs.rows:,} summary rows in {seconds:.1f} s = {inputs.rows / seconds:,.0f} rows/s;"
            f" {written:,} cost rows, {lines:,} lines"
        )
    assert written >= inputs.rows


def test_costs_per_second_until_they_are_committed(
    resources: Resources, run: SummaryRun, capsys: pytest.CaptureFixture
):
    store_summary(resources.objects, run, COMMITTED)
    add_model(resources.database, run, rates=RATES + MORE_RATES, tags=TAG_RATES)
    began = last = time.perf_counter()
    steps: dict[str, float] = {}

    def ended(step: str, *_: int) -> None:
        nonlocal last
        now = time.perf_counter()
        steps[step], last = now - last, now

    outcome = costs.apply_cost_model(run, resources, ended, lambda _: None, today=date(2025, 6, 1))
    seconds = time.perf_counter() - began

    with capsys.disabled():
        told = ", ".join(f"{step} {part:.2f}" for step, part in steps.items())
        print(
            f"\ncommitted: {COMMITTED:,} summary rows in {seconds:.1f} s = {COMMITTED / seconds:,.0f} rows/s;"
            f" {outcome.rows_written:,} cost rows; {told}"
        )
    assert outcome.rows_written >= COMMITTED
