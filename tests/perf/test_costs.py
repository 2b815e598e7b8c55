"""Figures of the cost pipeline: summary rows per second, computed and committed, and new prices for an installation.

KURA_PERF_ROWS sets the summary rows (2,000,000) that are computed, KURA_PERF_COMMITTED those that are committed too
(200,000): most of that time is PostgreSQL's. KURA_PERF_SOURCES sets the clusters of the installation (23, which have
345 nodes and 17,250 pods).

Prints seconds, judges none: the floors are ratios to plain work on the same rows, done in the same run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import insert, select

from kura.aggregator.config import AggregatorSettings
from kura.aggregator.cost_facts import read_cost_facts
from kura.aggregator.engine import Engines, Statement
from kura.aggregator.pipelines import costs
from kura.aggregator.pipelines.openshift import Resources, SummaryRun
from kura.aggregator.steps.costs import shapes
from kura.aggregator.summary_parquet import summary_key
from kura.aggregator.transaction import Transaction
from kura.aggregator.writer import add_summary
from kura.core.days import DayRange
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.store.partitions import ensure_partitions
from kura.store.tables import tenant
from kura.store.tables.shared import CUSTOMER, PROVIDER

ROWS = int(os.environ.get("KURA_PERF_ROWS", "2000000"))
COMMITTED = int(os.environ.get("KURA_PERF_COMMITTED", "200000"))
SOURCES = int(os.environ.get("KURA_PERF_SOURCES", "23"))
ROWS_OF_CLUSTER_DAY = 820
"""15 nodes with 50 pods each, their idle capacity, 55 claims."""
AT_ONCE = 2
"""Runs at a time, the default of the aggregator; the costs of one month of a source are one run."""
DAYS = 10
FIRST = date(2025, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the rows of a cluster are spread."""

    nodes: int
    namespaces: int
    nodes_of_namespace: int
    platform: int
    """Namespaces of the platform."""


LARGE = Layout(nodes=200, namespaces=300, nodes_of_namespace=10, platform=21)
ONE_OF_MANY = Layout(nodes=15, namespaces=40, nodes_of_namespace=15, platform=10)

MOST_AGGREGATIONS = 25
"""Times one aggregation of as many rows that cost rows may take."""

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
        {
            "KURA_ENGINE_MEMORY_MIB": "1024",
            "KURA_AGGREGATOR_RUNS": str(AT_ONCE),
            "KURA_SPILL_DIRECTORY": str(tmp_path / "s"),
        }
    ).engine_limits()
    (tmp_path / "s").mkdir()
    with Engines(limits) as engines:
        yield Resources(database=database, objects=directory_store, engines=engines)


@pytest.fixture
def run(resources: Resources, tenant_schema: str) -> SummaryRun:
    return add_source(resources, tenant_schema, "big", DayRange(FIRST, FIRST + timedelta(days=DAYS - 1)))


def add_source(resources: Resources, schema: str, name: str, days: DayRange) -> SummaryRun:
    """A source with its report period; the run over its days."""
    provider_uuid = uuid4()
    with resources.database.tenant(schema) as connection:
        customer = connection.scalar(select(CUSTOMER.c.id))
        connection.execute(insert(PROVIDER).values(uuid=provider_uuid, name=name, type="OCP", customer_id=customer))
        connection.execute(insert(tenant.TENANT_PROVIDER).values(uuid=provider_uuid, name=name, type="OCP"))
        connection.execute(
            insert(tenant.REPORT_PERIOD).values(
                cluster_id=name,
                cluster_alias=name,
                report_period_start=datetime(2025, 1, 1, tzinfo=UTC),
                report_period_end=datetime(2025, 2, 1, tzinfo=UTC),
                provider_id=provider_uuid,
            )
        )
    return SummaryRun(schema=schema, provider_uuid=provider_uuid, days=days)


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
                    "uuid": uuid4(),
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


def store_summary(objects: ObjectStore, run: SummaryRun, rows: int, layout: Layout = LARGE) -> None:
    """Pods of many namespaces and label maps, a tenth of the rows volumes."""
    rng = np.random.default_rng(7)
    for day in run.days:
        table = summary_of(day, rows // len(list(run.days)), rng, layout)
        key = summary_key(run.source, day)
        with objects.open_write(key) as target:
            pq.write_table(table, target, compression="snappy")  # type: ignore[arg-type]


def summary_of(day: date, count: int, rng: np.random.Generator, layout: Layout) -> pa.Table:
    number = np.arange(count)
    is_volume = number % 10 == 9
    kinds = ["openshift" if n < layout.platform else "ns" for n in range(layout.namespaces)]
    names = np.array([f"{kind}-{n}" for n, kind in enumerate(kinds)], dtype=object)
    placed = np.random.default_rng(7)  # a pod stays where it is
    of_namespace = placed.integers(0, layout.namespaces, count)
    namespaces = names[of_namespace]
    nodes = (of_namespace * 7 + placed.integers(0, layout.nodes_of_namespace, count)) % layout.nodes
    labels = np.array([f'{{"app":"app-{n % 40}","pod":"{n}","team":"team-{n % 7}"}}' for n in number], dtype=object)
    usage, memory = rng.random(count), rng.random(count) * 4
    columns: dict[str, Any] = {
        "usage_start": pa.array([day] * count, pa.date32()),
        "data_source": np.where(is_volume, "Storage", "Pod"),
        "namespace": namespaces,
        "node": np.array([f"node-{n}" for n in range(layout.nodes)], dtype=object)[nodes],
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
            rows = costs.cost_rows(engine, facts=facts, costs=found)
            explained = costs.explained_costs(engine, facts=facts, costs=found)
            written += sum(batch.num_rows for batch in rows.to_reader())
            lines += sum(batch.num_rows for batch in explained.to_reader())
    seconds = time.perf_counter() - began

    plain = seconds_to_aggregate(resources, run)
    with capsys.disabled():
        print(
            f"\n{name}: {inputs.rows:,} summary rows in {seconds:.1f} s = {inputs.rows / seconds:,.0f} rows/s;"
            f" {written:,} cost rows, {lines:,} lines; {seconds / plain:.1f} times one aggregation ({plain:.1f} s)"
        )
    assert written >= inputs.rows
    assert seconds < MOST_AGGREGATIONS * plain * written / inputs.rows


def seconds_to_aggregate(resources: Resources, run: SummaryRun) -> float:
    """What the engine needs to add up every measure of the same rows by their keys, a day at a time."""
    keys = "usage_start, data_source, namespace, node, pod_labels, volume_labels, all_labels, persistentvolumeclaim"
    began = time.perf_counter()
    for day in run.days:
        with resources.engines.lend() as engine:
            opened = costs.open_summary(engine, resources.objects, run.source, [day])
            sums = ", ".join(f"sum({name}) AS {name}" for name in shapes.SUMMARY.names if name.startswith("pod_usage"))
            grouped = engine.view(
                Statement("aggregate", f"SELECT {keys}, {sums} FROM opened GROUP BY {keys}"), opened=opened
            )
            for _ in grouped.to_reader():
                pass
    return time.perf_counter() - began


@pytest.mark.parametrize(
    ("name", "rates", "tags"),
    [("usage rates", RATES, []), ("usage, monthly and tag rates", RATES + MORE_RATES, TAG_RATES)],
)
def test_new_prices_for_a_whole_installation(
    resources: Resources,
    tenant_schema: str,
    name: str,
    rates: list[Any],
    tags: list[Any],
    capsys: pytest.CaptureFixture,
) -> None:
    """One month of every cluster, whose costs are there already, two clusters at a time as in the aggregator."""
    days = DayRange(FIRST, date(2025, 1, 31))
    count = ROWS_OF_CLUSTER_DAY * len(list(days))
    runs = [add_source(resources, tenant_schema, f"cluster-{number}", days) for number in range(SOURCES)]
    with resources.database.begin() as connection:
        ensure_partitions(connection, tenant_schema, months=[FIRST])
    for run in runs:
        store_summary(resources.objects, run, count, ONE_OF_MANY)
        store_usage(resources, run)
        add_model(resources.database, run, rates=rates, tags=tags)
        apply(run, resources, Steps())
    with resources.database.tenant(tenant_schema) as connection:
        connection.execute(
            tenant.COST_MODEL_RATE.update().values(default_rate=tenant.COST_MODEL_RATE.c.default_rate * 2)
        )

    steps = Steps()
    apply(runs[0], resources, steps)
    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        written = sum(threads.map(lambda run: apply(run, resources, Steps()), runs))
    seconds = time.perf_counter() - began

    floor = seconds_to_copy(resources, runs[0]) * SOURCES / AT_ONCE
    with capsys.disabled():
        print(
            f"\nnew prices, {name}: {SOURCES} clusters, {SOURCES * count:,} summary rows of a month in {seconds:.1f} s"
            f" = {SOURCES * count / seconds:,.0f} rows/s; {written:,} cost rows, {written / seconds:,.0f} a second;"
            f" {seconds / floor:.1f} times copying rows and lines without indexes ({floor:.1f} s);"
            f" one cluster alone: {steps}"
        )
    assert written >= SOURCES * count


def seconds_to_copy(resources: Resources, run: SummaryRun) -> float:
    """What PostgreSQL needs to take in the cost rows and lines of a cluster where nothing is indexed."""
    facts = read_cost_facts(resources.database, schema=run.schema, provider_uuid=run.provider_uuid, days=run.days)
    assert facts is not None
    inputs = costs.Inputs(run=run, resources=resources, facts=facts)
    with resources.engines.lend() as engine, Transaction.of_tenant(resources.database, run.schema) as tx:
        found = costs.compute(
            inputs.open(engine, days=run.days, cloud=shapes.CLOUD.empty_table()), days=run.days, facts=facts
        )
        rows = costs.cost_rows(engine, facts=facts, costs=found).to_arrow()
        explained = costs.explained_costs(engine, facts=facts, costs=found).to_arrow()
        began = time.perf_counter()
        with tx.aside("copied_rows", rows), tx.aside("copied_lines", explained):
            return time.perf_counter() - began


class Steps:
    """Seconds of every step, over all runs."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._seconds: dict[str, float] = {}

    def __call__(self, step: str, *_: int) -> None:
        now = time.perf_counter()
        self._seconds[step] = self._seconds.get(step, 0.0) + now - self._last
        self._last = now

    def __str__(self) -> str:
        return ", ".join(f"{step} {seconds:.2f}" for step, seconds in self._seconds.items())


def apply(run: SummaryRun, resources: Resources, steps: Steps) -> int:
    return costs.apply_cost_model(run, resources, steps, lambda _: None, today=date(2025, 6, 1)).rows_written


def store_usage(resources: Resources, run: SummaryRun) -> None:
    """The rows of the summary's Parquet, in PostgreSQL."""
    facts = read_cost_facts(resources.database, schema=run.schema, provider_uuid=run.provider_uuid, days=run.days)
    assert facts is not None
    cluster = facts.summary.cluster
    constants = pa.table(
        {
            "report_period_id": pa.array([cluster.report_period_id], pa.int32()),
            "cluster_id": [cluster.cluster_id],
            "cluster_alias": [cluster.cluster_alias],
            "source_uuid": pa.array([cluster.provider_uuid.bytes], pa.binary()),
        }
    )
    columns = ", ".join(f"{as_stored(field)} AS {field.name}" for field in shapes.SUMMARY)
    select = Statement("usage", f"SELECT {columns}, usage_start AS usage_end, constants.* FROM summary, constants")
    with resources.engines.lend() as engine, Transaction.of_tenant(resources.database, run.schema) as tx:
        opened = costs.open_summary(engine, resources.objects, run.source, run.days)
        rows = engine.view(select, summary=opened, constants=engine.table(constants))
        add_summary(tx, rows.to_reader())


def as_stored(field: pa.Field) -> str:
    if field.name.endswith("_labels"):
        return f"postgresql_jsonb({field.name})"
    return f"postgresql_numeric({field.name})" if pa.types.is_floating(field.type) else field.name


def test_costs_per_second_until_they_are_committed(
    resources: Resources, run: SummaryRun, capsys: pytest.CaptureFixture
):
    store_summary(resources.objects, run, COMMITTED)
    add_model(resources.database, run, rates=RATES + MORE_RATES, tags=TAG_RATES)
    steps = Steps()
    began = time.perf_counter()
    written = apply(run, resources, steps)
    seconds = time.perf_counter() - began

    with capsys.disabled():
        print(
            f"\ncommitted: {COMMITTED:,} summary rows in {seconds:.1f} s = {COMMITTED / seconds:,.0f} rows/s;"
            f" {written:,} cost rows; {steps}"
        )
    assert written >= COMMITTED
