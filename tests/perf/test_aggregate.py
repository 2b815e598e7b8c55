"""Figures of the OpenShift summary (performance G1, G3, G8): rows per second from Parquet to committed rows, memory.

Prints, and judges nothing by the clock. Beside it, as a baseline, the same Pod rows by pandas on a part of the data.
KURA_PERF_ROWS sets the hourly pod rows (2,000,000), KURA_PERF_RUNS the number of runs (5).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pyarrow.parquet as pq
import pytest
from sqlalchemy import insert, select

from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.store.tables import tenant
from kura.store.tables.shared import CUSTOMER, INGESTED_FILE_DAY, MANIFEST, PROVIDER

sys.path.insert(0, str(Path(__file__).parent))

from pod_hours import ENABLED_KEYS, HOURS, MadeUpCluster

ROWS = int(os.environ.get("KURA_PERF_ROWS", "2000000"))
RUNS = int(os.environ.get("KURA_PERF_RUNS", "5"))
DAY = date(2025, 1, 10)
BASELINE_PODS = 4_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture
def source(database: Database, tenant_schema: str) -> str:
    """A source with its report period and enabled keys; its id."""
    provider_uuid = uuid4()
    with database.tenant(tenant_schema) as connection:
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
        connection.execute(
            insert(tenant.ENABLED_TAG_KEYS), [{"key": key, "provider_type": "OCP"} for key in ENABLED_KEYS]
        )
    return str(provider_uuid)


def store_days(
    cluster: MadeUpCluster, days: list[date], *, database: Database, objects: ObjectStore, schema: str, source: str
) -> int:
    """Write the cluster's line items and list them; how many hourly pod rows."""
    rows = 0
    with database.begin() as connection:
        manifest = connection.execute(
            insert(MANIFEST)
            .values(
                assembly_id=str(uuid4()),
                provider_id=source,
                billing_period_start_datetime=datetime(2025, 1, 1, tzinfo=UTC),
            )
            .returning(MANIFEST.c.id)
        ).scalar_one()
        for day in days:
            for report_type, table in cluster.day(day).items():
                daily = _key(report_type, day, schema=schema, source=source, daily=True)
                with objects.open_write(daily) as writer:
                    pq.write_table(table, writer)
                hourly = []
                if report_type == "pod_usage":
                    hourly = [_key(report_type, day, schema=schema, source=source, daily=False)]
                    rows += _write_hours(objects, hourly[0], cluster, day)
                connection.execute(
                    insert(INGESTED_FILE_DAY).values(
                        provider_uuid=source,
                        report_type=report_type,
                        day=day,
                        manifest_id=manifest,
                        report_name=report_type,
                        hours=HOURS,
                        accepted_order=1,
                        hourly_objects=hourly,
                        daily_objects=[daily],
                        rows=table.num_rows,
                    )
                )
    return rows


def _key(report_type: str, day: date, *, schema: str, source: str, daily: bool) -> str:
    folder, suffix = ("daily/", "_daily_0") if daily else ("", "_0")
    return (
        f"data/parquet/{folder}{schema}/OCP/{report_type}/source={source}"
        f"/year={day.year:04d}/month={day.month:02d}/{report_type}.{day}.1.0{suffix}.parquet"
    )


def _write_hours(objects: ObjectStore, key: str, cluster: MadeUpCluster, day: date) -> int:
    rows = 0
    with objects.open_write(key) as writer:
        parquet = None
        for table in cluster.hours(day):
            parquet = parquet or pq.ParquetWriter(writer, table.schema)
            parquet.write_table(table)
            rows += table.num_rows
        assert parquet is not None
        parquet.close()
    return rows


def measure(database: Database, store: str, *, schema: str, source: str, days: list[date], runs: int) -> dict[str, Any]:
    """Run the pipeline in a process of its own, so that the memory is its own."""
    script = Path(__file__).with_name("aggregate_once.py")
    arguments = [database.url, store, schema, source, days[0].isoformat(), days[-1].isoformat(), str(runs)]
    answer = subprocess.run([sys.executable, script, *arguments], check=True, stdout=subprocess.PIPE)
    figures: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return figures


def report(title: str, figures: dict[str, Any], rows: int) -> float:
    """Print the figures of some runs; rows per second of the median run, until the rows are visible."""
    seconds = [run["visible_seconds"] for run in figures["runs"]]
    median = statistics.median(seconds)
    last = figures["runs"][-1]
    steps = ", ".join(f"{name} {seconds:.2f}" for name, seconds in last["steps"].items())
    print(f"\n{title}: {rows:,} hourly rows → {last['rows_written']:,} summary rows, {len(seconds)} runs")
    print(
        f"  until visible  {median:.3f} s (from {min(seconds):.3f} to {max(seconds):.3f})  {rows / median:,.0f} rows/s"
    )
    print(f"  CPU            {last['own_cpu_seconds']:.2f} s here, {last['server_cpu_seconds']:.2f} s in PostgreSQL")
    print(f"  peak memory    {figures['peak_mib']:.0f} MiB; {figures['cpus']} CPUs, load {figures['load']:.1f}")
    print(f"  steps          {steps}")
    return rows / median


@pytest.mark.parametrize(("rows", "days"), [(ROWS, 1), (4_800, 1), (ROWS // 4, 10)])
def test_rows_per_second_from_parquet_to_committed_rows(
    database: Database, tenant_schema: str, source: str, tmp_path: Path, rows: int, days: int
):
    cluster = MadeUpCluster(pods=rows // HOURS // days)
    store = f"file://{tmp_path}/objects"
    given = [DAY + timedelta(days=number) for number in range(days)]
    with ObjectStore.open(store) as objects:
        stored = store_days(cluster, given, database=database, objects=objects, schema=tenant_schema, source=source)

    figures = measure(database, store, schema=tenant_schema, source=source, days=given, runs=RUNS)

    report(f"OpenShift summary, {days} day(s)", figures, stored)
    written = {run["rows_written"] for run in figures["runs"]}
    assert len(written) == 1
    assert written.pop() > 0


def test_the_baseline(tmp_path: Path):
    """Pod rows by pandas, label by label, as the prototypes did it; no database."""
    cluster = MadeUpCluster(pods=BASELINE_PODS)
    table = cluster.day(DAY)["pod_usage"]
    hours = [hour.select(["interval_start", "node", "node_capacity_cpu_core_seconds"]) for hour in cluster.hours(DAY)]
    rows = sum(hour.num_rows for hour in hours)
    began = time.perf_counter()

    frame = table.to_pandas()
    frame["labels"] = frame["pod_labels"].map(
        lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key in ENABLED_KEYS})
    )
    hourly = pd.concat([hour.to_pandas() for hour in hours])
    capacity = hourly.groupby(["interval_start", "node"]).max().groupby("node").sum(numeric_only=True)
    measures = [name for name in frame.columns if name.startswith("pod_") and name.endswith("_seconds")]
    grouped = frame.groupby(["namespace", "node", "labels"])[measures].sum().reset_index()
    joined = grouped.merge(capacity, left_on="node", right_index=True)

    seconds = time.perf_counter() - began
    assert len(joined) > 0
    print(f"\nbaseline (pandas, Pod rows in memory alone): {rows:,} hourly rows, {rows / seconds:,.0f} rows/s")
