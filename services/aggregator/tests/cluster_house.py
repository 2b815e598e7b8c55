"""One OpenShift source with its stores: takes line items in, runs the pipeline, asks PostgreSQL."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import insert, select, text

from kura.aggregator.engine import Engines
from kura.aggregator.pipelines.openshift import Fence, Outcome, Resources, SummaryRun, summarise_openshift
from kura.core.days import DayRange, Month
from kura.core.units import GIB
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.store.tables import tenant
from kura.store.tables.shared import CUSTOMER, INGESTED_FILE_DAY, MANIFEST, PROVIDER
from kura.testing.tables import line_items

JANUARY = Month(2025, 1)
DAY = date(2025, 1, 10)
HOUR_SECONDS = 3600.0
_numbers = count(1)

Row = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A source; `resources` is what its runs work with."""

    schema: str
    provider_uuid: UUID
    cluster_id: str
    name: str
    resources: Resources
    steps: list[str] = field(default_factory=list)

    @property
    def database(self) -> Database:
        return self.resources.database

    def take_in(self, report_type: str, rows: Sequence[Row], *, daily: bool, days: Sequence[date]) -> str:
        """Store line items and list them as Kura's own."""
        table = line_items(report_type, rows, daily=daily)
        key = self.store(report_type, table, daily=daily, day=days[0])
        order = next(_numbers)
        with self.database.begin() as connection:
            manifest = connection.execute(
                insert(MANIFEST)
                .values(
                    assembly_id=str(uuid4()),
                    provider_id=self.provider_uuid,
                    billing_period_start_datetime=datetime(days[0].year, days[0].month, 1, tzinfo=UTC),
                )
                .returning(MANIFEST.c.id)
            ).scalar_one()
            for day in days:
                connection.execute(
                    insert(INGESTED_FILE_DAY).values(
                        provider_uuid=self.provider_uuid,
                        report_type=report_type,
                        day=day,
                        manifest_id=manifest,
                        report_name=f"{report_type}-{order}-{'daily' if daily else 'hourly'}",
                        hours=24,
                        additive=True,
                        accepted_order=order,
                        hourly_objects=[] if daily else [key],
                        daily_objects=[key] if daily else [],
                        rows=len(rows),
                    )
                )
        return key

    def store(self, report_type: str, table: pa.Table, *, daily: bool, day: date) -> str:
        """Store a table as any writer of this layout does, without telling Kura."""
        prefix = f"data/parquet/{'daily/' if daily else ''}{self.schema}/OCP/{report_type}"
        name = f"{report_type}.{day}.{next(_numbers)}.0{'_daily' if daily else ''}_0.parquet"
        key = f"{prefix}/source={self.provider_uuid}/year={day.year:04d}/month={day.month:02d}/{name}"
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        self.resources.objects.write(key, buffer.getvalue())
        return key

    def take_in_day(self, day: date = DAY, *, pods: Sequence[Row] | None = None, hours: int = 2) -> None:
        """A day of two nodes: pods, a volume, labels."""
        pods = pods if pods is not None else default_pods(day)
        hourly = [
            {
                "interval_start": datetime(day.year, day.month, day.day, hour),
                "namespace": pod["namespace"],
                "node": pod["node"],
                "pod": pod["pod"],
                "node_capacity_cpu_core_seconds": 4 * HOUR_SECONDS,
                "node_capacity_memory_byte_seconds": 16 * GIB * HOUR_SECONDS,
            }
            for pod in pods
            for hour in range(hours)
        ]
        self.take_in("pod_usage", hourly, daily=False, days=[day])
        self.take_in("pod_usage", pods, daily=True, days=[day])
        self.take_in("storage_usage", [volume_day(day, pod=str(pods[0]["pod"]))], daily=True, days=[day])
        nodes = sorted({str(pod["node"]) for pod in pods})
        labels = [
            {"interval_start": midnight(day), "node": node, "node_labels": '{"kubernetes_io_arch":"AMD64"}'}
            for node in nodes
        ]
        self.take_in("node_labels", labels, daily=True, days=[day])

    def run(self, start: date = DAY, end: date | None = None, *, fence: Fence | None = None) -> Outcome:
        """Run the pipeline over a range."""
        self.steps.clear()
        run = SummaryRun(
            schema=self.schema, provider_uuid=self.provider_uuid, days=DayRange(start, end or start), fence=fence
        )
        return summarise_openshift(run, self.resources, lambda step, *_: self.steps.append(step), lambda _: None)

    def enable(self, *keys: str, enabled: bool = True) -> None:
        """Enable (or disable) tag keys of the tenant."""
        with self.database.tenant(self.schema) as connection:
            connection.execute(
                text(
                    "insert into reporting_enabledtagkeys (key, enabled, provider_type)"
                    " select unnest(cast(:keys as text[])), :enabled, 'OCP'"
                    " on conflict (key, provider_type) do update set enabled = excluded.enabled"
                ),
                {"keys": list(keys), "enabled": enabled},
            )

    def sql(self, statement: str, **params: Any) -> list[Mapping[str, Any]]:
        """Run a statement in the tenant's schema; the rows of its answer."""
        with self.database.tenant(self.schema) as connection:
            answer = connection.execute(text(statement), params)
            return [dict(row._mapping) for row in answer] if answer.returns_rows else []

    def summary(self, where: str = "true") -> list[Mapping[str, Any]]:
        """Rows of the daily summary."""
        return self.sql(
            f"select * from {tenant.DAILY_SUMMARY.name} where {where}"
            " order by usage_start, data_source, namespace, node, all_labels::text"
        )

    @property
    def report_period_id(self) -> int:
        with self.database.tenant(self.schema) as connection:
            periods = tenant.REPORT_PERIOD.c
            found = connection.scalar(select(periods.id).where(periods.provider_id == self.provider_uuid))
            assert found is not None
            return found


def add_cluster(
    database: Database, objects: ObjectStore, engines: Engines, *, schema: str, cluster_id: str, name: str
) -> Cluster:
    """Make a source and its report period for January 2025."""
    provider_uuid = uuid4()
    with database.tenant(schema) as connection:
        customer = connection.scalar(select(CUSTOMER.c.id).where(CUSTOMER.c.schema_name == schema))
        connection.execute(insert(PROVIDER).values(uuid=provider_uuid, name=name, type="OCP", customer_id=customer))
        connection.execute(insert(tenant.TENANT_PROVIDER).values(uuid=provider_uuid, name=name, type="OCP"))
        connection.execute(
            insert(tenant.REPORT_PERIOD).values(
                cluster_id=cluster_id,
                cluster_alias=name,
                report_period_start=midnight(JANUARY.first, UTC),
                report_period_end=midnight(JANUARY.plus(1).first, UTC),
                provider_id=provider_uuid,
            )
        )
    return Cluster(
        schema=schema,
        provider_uuid=provider_uuid,
        cluster_id=cluster_id,
        name=name,
        resources=Resources(database=database, objects=objects, engines=engines),
    )


def midnight(day: date, zone: Any = None) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def pod_day(
    day: date = DAY,
    *,
    namespace: str = "shop",
    pod: str = "web-1",
    node: str = "n1",
    labels: str = "{}",
    cpu_hours: float = 1.0,
    request_hours: float = 1.0,
    role: str | None = "worker",
) -> Row:
    """One daily pod row; memory goes with CPU, 1 GiB·h per core·h."""
    cpu, request = cpu_hours * HOUR_SECONDS, request_hours * HOUR_SECONDS
    return {
        "interval_start": midnight(day),
        "namespace": namespace,
        "node": node,
        "pod": pod,
        "resource_id": f"i-{node}",
        "node_role": role,
        "pod_labels": labels,
        "pod_usage_cpu_core_seconds": cpu,
        "pod_request_cpu_core_seconds": request,
        "pod_limit_cpu_core_seconds": 0.0,
        "pod_effective_usage_cpu_core_seconds": max(cpu, request),
        "pod_usage_memory_byte_seconds": cpu * GIB,
        "pod_request_memory_byte_seconds": request * GIB,
        "pod_limit_memory_byte_seconds": 0.0,
        "pod_effective_usage_memory_byte_seconds": max(cpu, request) * GIB,
        "node_capacity_cpu_cores": 4.0,
        "node_capacity_memory_bytes": 16.0 * GIB,
    }


def default_pods(day: date) -> list[Row]:
    return [
        pod_day(day, pod="web-1", labels='{"app":"web"}', cpu_hours=1, request_hours=2),
        pod_day(day, pod="web-2", node="n2", labels='{"app":"web"}', cpu_hours=3),
        pod_day(day, namespace="pay", pod="db-1", labels='{"app":"db","secret":"x"}', cpu_hours=0.5),
        pod_day(day, namespace="openshift-dns", pod="dns-1", node="m1", role="master", cpu_hours=2),
    ]


def volume_day(day: date = DAY, *, namespace: str = "shop", pod: str = "web-1", claim: str = "data") -> Row:
    """One daily storage row: 31 GiB for 24 hours."""
    return {
        "interval_start": midnight(day),
        "namespace": namespace,
        "pod": pod,
        "persistentvolumeclaim": claim,
        "persistentvolume": f"pv-{claim}",
        "storageclass": "gp2",
        "csi_volume_handle": f"vol-{claim}",
        "persistentvolume_labels": "{}",
        "persistentvolumeclaim_labels": '{"tier":"gold"}',
        "persistentvolumeclaim_capacity_bytes": 31.0 * GIB,
        "persistentvolumeclaim_capacity_byte_seconds": 31.0 * GIB * 86_400,
        "volume_request_storage_byte_seconds": 31.0 * GIB * 86_400,
        "persistentvolumeclaim_usage_byte_seconds": 15.5 * GIB * 86_400,
    }


def days_from(first: date, number: int) -> list[date]:
    return [first + timedelta(days=offset) for offset in range(number)]
