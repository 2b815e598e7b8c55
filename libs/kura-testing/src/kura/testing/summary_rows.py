"""Daily summary rows for tests of whatever reads them, and the UI summary tables that belong to them.

`SAMPLE` is the data of the worked examples of the read API: two clusters, a few namespaces, June and May 2024.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Date, Table, and_, cast, func, insert, literal, or_, select, update

from kura.store.tables.shared import CUSTOMER, PROVIDER
from kura.store.tables.tenant import (
    COST_CATEGORY,
    COST_SUMMARY,
    COST_SUMMARY_BY_NODE,
    COST_SUMMARY_BY_PROJECT,
    COSTS,
    DAILY_SUMMARY,
    ENABLED_TAG_KEYS,
    MONTH_SUMMARY,
    MONTH_SUMMARY_AMOUNTS,
    MONTH_SUMMARY_KEYS,
    NETWORK_SUMMARY,
    NETWORK_SUMMARY_BY_NODE,
    NETWORK_SUMMARY_BY_PROJECT,
    NODE_MEASURES,
    POD_LABEL_SUMMARY,
    POD_MEASURES,
    POD_SUMMARY,
    POD_SUMMARY_BY_NODE,
    POD_SUMMARY_BY_PROJECT,
    REPORT_PERIOD,
    TENANT_PROVIDER,
    VOLUME_LABEL_SUMMARY,
    VOLUME_MEASURES,
    VOLUME_SUMMARY,
    VOLUME_SUMMARY_BY_PROJECT,
)

Row = dict[str, Any]

SOURCE_A: Final = UUID("aaaaaaaa-0000-4000-8000-000000000001")
SOURCE_B: Final = UUID("bbbbbbbb-0000-4000-8000-000000000002")
CLUSTERS: Final[Mapping[str, tuple[UUID, str | None]]] = {"cl-a": (SOURCE_A, "alpha"), "cl-b": (SOURCE_B, None)}
TODAY: Final = date(2024, 6, 18)

CORES: Final = {"n1": 4, "n2": 6, "m1": 2}
CLUSTER_CORES: Final = {"cl-a": 10, "cl-b": 2}
GIB_PER_CORE: Final = 4
SPECIAL: Final = ("Worker unallocated", "Platform unallocated", "Network unattributed", "Storage unattributed")


def line(cluster: str, day: str, namespace: str, node: str, **columns: Any) -> Row:
    """One row of the daily summary; what is not named stays null."""
    source, alias = CLUSTERS[cluster]
    labels = columns.pop("labels", {})
    storage = columns.get("data_source") == "Storage"
    return {
        "cluster_id": cluster,
        "cluster_alias": alias,
        "source_uuid": source,
        "usage_start": date.fromisoformat(day),
        "usage_end": date.fromisoformat(day),
        "namespace": namespace,
        "node": node,
        "data_source": "Pod",
        "pod_labels": {} if storage else labels,
        "volume_labels": labels if storage else {},
        "all_labels": labels,
        **columns,
    }


def pods(cluster: str, day: str, namespace: str, node: str, cpu: str, memory: str = "0/0/0", **columns: Any) -> Row:
    """A row of pods: usage/request/limit of CPU and memory, and the capacities every such row repeats."""
    used, asked, most = (float(part) for part in cpu.split("/"))
    used_memory, asked_memory, most_memory = (float(part) for part in memory.split("/"))
    cores, cluster_cores = CORES[node], CLUSTER_CORES[cluster]
    return line(
        cluster,
        day,
        namespace,
        node,
        pod_usage_cpu_core_hours=used,
        pod_request_cpu_core_hours=asked,
        pod_limit_cpu_core_hours=most,
        pod_usage_memory_gigabyte_hours=used_memory,
        pod_request_memory_gigabyte_hours=asked_memory,
        pod_limit_memory_gigabyte_hours=most_memory,
        node_capacity_cpu_cores=cores,
        node_capacity_cpu_core_hours=cores * 24,
        node_capacity_memory_gigabytes=cores * GIB_PER_CORE,
        node_capacity_memory_gigabyte_hours=cores * GIB_PER_CORE * 24,
        cluster_capacity_cpu_core_hours=cluster_cores * 24,
        cluster_capacity_memory_gigabyte_hours=cluster_cores * GIB_PER_CORE * 24,
        **columns,
    )


def claim(day: str, namespace: str, name: str, months: str, **columns: Any) -> Row:
    """A row of a volume: usage/request/capacity in GiB-months of a claim of 100 GiB."""
    used, asked, capacity = (float(part) for part in months.split("/"))
    return line(
        "cl-a",
        day,
        namespace,
        "n1",
        data_source="Storage",
        persistentvolumeclaim=name,
        persistentvolume=f"pv-{name}",
        storageclass="gp2",
        persistentvolumeclaim_capacity_gigabyte=100,
        persistentvolumeclaim_usage_gigabyte_months=used,
        volume_request_storage_gigabyte_months=asked,
        persistentvolumeclaim_capacity_gigabyte_months=capacity,
        **columns,
    )


def raw(cost: float, markup: float) -> Row:
    return {"infrastructure_raw_cost": cost, "infrastructure_markup_cost": markup, "raw_currency": "USD"}


def priced(rate_type: str, cpu: float, memory: float) -> Row:
    return {"cost_model_rate_type": rate_type, "cost_model_cpu_cost": cpu, "cost_model_memory_cost": memory}


def distributed(rate_type: str, cost: float) -> Row:
    return {"cost_model_rate_type": rate_type, "distributed_cost": cost}


SUPPLEMENTARY: Final = "Supplementary"
SHOP: Final = {"app": "shop"}

SAMPLE: Final[tuple[Row, ...]] = (
    pods("cl-a", "2024-06-16", "web", "n1", "10/20/30", "30/50/60", labels=SHOP, **raw(50, 5)),
    line("cl-a", "2024-06-16", "web", "n1", labels=SHOP, **priced(SUPPLEMENTARY, 4, 2)),
    pods("cl-a", "2024-06-17", "web", "n1", "12/20/30", "40/50/60", labels=SHOP, **raw(60, 6)),
    line("cl-a", "2024-06-17", "web", "n1", labels=SHOP, **priced(SUPPLEMENTARY, 5, 2.5)),
    line("cl-a", "2024-06-17", "web", "n1", **priced("Infrastructure", 1, 0.5)),
    line("cl-a", "2024-06-17", "web", "n1", **distributed("platform_distributed", 7)),
    line("cl-a", "2024-06-17", "web", "n1", **distributed("worker_distributed", 3)),
    pods("cl-a", "2024-06-17", "db", "n2", "8/10/10", "20/44/44", labels={"app": "shop-db"}, **raw(30, 3)),
    line("cl-a", "2024-06-17", "db", "n2", **priced(SUPPLEMENTARY, 2, 4)),
    line("cl-a", "2024-06-17", "db", "n2", **distributed("platform_distributed", 2)),
    pods("cl-a", "2024-06-17", "batch", "n2", "30/24/48", "60/96/112", labels={"app": "Shop"}, **raw(20, 2)),
    pods("cl-a", "2024-06-17", "kube-system", "n2", "3/6/6", "12/16/20", cost_group="Platform", **raw(9, 0.9)),
    line("cl-a", "2024-06-17", "kube-system", "n2", **distributed("platform_distributed", -9)),
    pods("cl-b", "2024-06-17", "web", "m1", "5/5/5", "10/12/14", labels={"app": "blog"}, **raw(0, 0)),
    line("cl-b", "2024-06-17", "web", "m1", **priced(SUPPLEMENTARY, 11, 1)),
    line("cl-a", "2024-06-17", "Worker unallocated", "n1", **raw(3, 0.3)),
    line("cl-a", "2024-06-17", "Worker unallocated", "n1", **distributed("worker_distributed", -3)),
    claim("2024-06-17", "db", "pvc-1", "1.25/2.5/3.25", labels={"disk": "fast"}, **raw(2, 0.2)),
    claim("2024-06-17", "web", "pvc-2", "0.125/0.5/0.65", **raw(0, 0)),
    line("cl-a", "2024-06-17", "Network unattributed", "n1", infrastructure_data_in_gigabytes=5, **raw(1.2, 0.12)),
    line("cl-a", "2024-06-17", "Network unattributed", "n1", infrastructure_data_out_gigabytes=7, **raw(0, 0)),
    pods("cl-a", "2024-06-18", "web", "n1", "1/2/3", "6/6/6", labels=SHOP, **raw(5, 0.5)),
    pods("cl-a", "2024-05-10", "db", "n2", "1/1/1", labels={"app": "shop-db"}, **raw(10, 1)),
    pods("cl-a", "2024-05-17", "web", "n1", "2/2/2", labels=SHOP, **raw(40, 4)),
)


# --------------------------------------------------------------------------------------------------------- loading


def load_sample(connection: Connection) -> None:
    """The data of the worked examples, with everything around it that reports look at."""
    add_sources(connection, CLUSTERS)
    connection.execute(insert(ENABLED_TAG_KEYS), [{"key": key, "provider_type": "OCP"} for key in ("app", "disk")])
    periods = add_periods(connection, [date(2024, 5, 1), date(2024, 6, 1)])
    insert_daily(connection, [{**row, "report_period_id": periods[_period_of(row)]} for row in SAMPLE])
    fill_ui_tables(connection)
    fill_label_summaries(connection)


def _period_of(row: Row) -> tuple[str, date]:
    return row["cluster_id"], row["usage_start"].replace(day=1)


def add_sources(connection: Connection, clusters: Mapping[str, tuple[UUID, str | None]]) -> None:
    """Providers of the clusters in both schemas."""
    customer = connection.scalar(select(CUSTOMER.c.id).limit(1))
    for cluster, (source, alias) in clusters.items():
        name = alias or cluster
        connection.execute(insert(PROVIDER).values(uuid=source, name=name, type="OCP", customer_id=customer))
        connection.execute(insert(TENANT_PROVIDER).values(uuid=source, name=name, type="OCP"))


def add_periods(connection: Connection, months: Iterable[date]) -> dict[tuple[str, date], int]:
    """Report periods of every cluster and month; their ids."""
    ids: dict[tuple[str, date], int] = {}
    for month in months:
        for cluster, (source, alias) in CLUSTERS.items():
            start = datetime(month.year, month.month, 1, tzinfo=UTC)
            statement = insert(REPORT_PERIOD).values(
                cluster_id=cluster,
                cluster_alias=alias,
                report_period_start=start,
                report_period_end=start + timedelta(days=31),
                provider_id=source,
            )
            ids[cluster, month] = connection.execute(statement.returning(REPORT_PERIOD.c.id)).scalar_one()
    return ids


def insert_daily(connection: Connection, rows: Iterable[Row]) -> None:
    """Write daily summary rows; `cost_group` names the cost category."""
    groups = {name: key for key, name in connection.execute(select(COST_CATEGORY.c.id, COST_CATEGORY.c.name))}
    for row in rows:
        values = dict(row)
        values["cost_category_id"] = groups.get(values.pop("cost_group", None))
        connection.execute(insert(DAILY_SUMMARY).values(values))


NO_SPECIAL = or_(DAILY_SUMMARY.c.namespace.is_(None), DAILY_SUMMARY.c.namespace.not_in(SPECIAL))
PODS = and_(DAILY_SUMMARY.c.data_source == "Pod", NO_SPECIAL)
CLAIMS = and_(DAILY_SUMMARY.c.data_source == "Storage", DAILY_SUMMARY.c.persistentvolumeclaim.is_not(None))
NETWORK = and_(DAILY_SUMMARY.c.data_source == "Pod", DAILY_SUMMARY.c.namespace == "Network unattributed")


def fill_ui_tables(connection: Connection) -> None:
    """Aggregate all daily rows into the UI summary tables (ocp-pipeline §10)."""
    for keys, table in (
        ((), COST_SUMMARY),
        (("namespace",), COST_SUMMARY_BY_PROJECT),
        (("node",), COST_SUMMARY_BY_NODE),
    ):
        _fill(connection, table, keys, None, ())
    for keys, table in (((), POD_SUMMARY), (("namespace",), POD_SUMMARY_BY_PROJECT), (("node",), POD_SUMMARY_BY_NODE)):
        _fill(connection, table, keys, PODS, POD_MEASURES, NODE_MEASURES if "node" in keys else ())
    claim_keys = ("persistentvolumeclaim", "storageclass")
    _fill(connection, VOLUME_SUMMARY, claim_keys, CLAIMS, VOLUME_MEASURES)
    _fill(connection, VOLUME_SUMMARY_BY_PROJECT, ("namespace", *claim_keys), CLAIMS, VOLUME_MEASURES)
    way_in, way_out = "infrastructure_data_in_gigabytes", "infrastructure_data_out_gigabytes"
    networks = (
        ((), NETWORK_SUMMARY),
        (("namespace",), NETWORK_SUMMARY_BY_PROJECT),
        (("node",), NETWORK_SUMMARY_BY_NODE),
    )
    for keys, table in networks:
        for way, other in ((way_in, way_out), (way_out, way_in)):
            directed = and_(NETWORK, DAILY_SUMMARY.c[way].is_not(None))
            _fill(connection, table, keys, directed, (way,), zero=other)
    fold_months(connection)


def fold_months(connection: Connection) -> None:
    """Fold all daily rows by month."""
    daily = DAILY_SUMMARY.c
    month = cast(func.date_trunc("month", daily.usage_start), Date)
    chosen = select(
        month,
        func.max(daily.usage_start),
        *(daily[name] for name in MONTH_SUMMARY_KEYS),
        *(func.sum(daily[name]) for name in MONTH_SUMMARY_AMOUNTS),
    ).group_by(month, *(daily[name] for name in MONTH_SUMMARY_KEYS))
    names = ["usage_start", "usage_end", *MONTH_SUMMARY_KEYS, *MONTH_SUMMARY_AMOUNTS]
    connection.execute(insert(MONTH_SUMMARY).from_select(names, chosen))
    connection.execute(update(REPORT_PERIOD).values(month_folded_datetime=func.clock_timestamp()))


def _fill(
    connection: Connection,
    table: Table,
    keys: tuple[str, ...],
    condition: Any,
    measures: tuple[str, ...],
    maxima: tuple[str, ...] = (),
    zero: str | None = None,
) -> None:
    daily = DAILY_SUMMARY.c
    own = ("usage_start", "source_uuid", "cluster_id", "cluster_alias", "cost_model_rate_type", *keys)
    columns: dict[str, Any] = {name: daily[name] for name in own}
    columns["usage_end"] = daily.usage_start
    columns |= {name: func.max(daily[name]) for name in ("cost_category_id", "raw_currency")}
    columns |= {name: func.sum(daily[name]) for name in COSTS}
    largest = {name for name in measures if name.startswith("cluster_capacity")}
    columns |= {name: func.max(daily[name]) if name in largest else func.sum(daily[name]) for name in measures}
    columns |= {name: func.max(daily[name]) for name in maxima}
    if zero is not None:
        columns[zero] = literal(0)
    chosen = select(*columns.values()).group_by(*(daily[name] for name in own))
    if condition is not None:
        chosen = chosen.where(condition)
    connection.execute(insert(table).from_select(list(columns), chosen))


def fill_label_summaries(connection: Connection) -> None:
    """Values of every label by period, namespace and node (ocp-pipeline §11)."""
    daily = DAILY_SUMMARY.c
    for table, source, column in (
        (POD_LABEL_SUMMARY, "Pod", daily.pod_labels),
        (VOLUME_LABEL_SUMMARY, "Storage", daily.volume_labels),
    ):
        pairs = func.jsonb_each_text(column).table_valued("key", "value").lateral("pair")
        chosen = (
            select(
                pairs.c.key,
                func.array_agg(pairs.c.value.distinct()),
                daily.report_period_id,
                daily.namespace,
                daily.node,
            )
            .select_from(DAILY_SUMMARY.join(pairs, literal(True)))
            .where(daily.data_source == source)
            .group_by(pairs.c.key, daily.report_period_id, daily.namespace, daily.node)
        )
        connection.execute(
            insert(table).from_select(["key", "values", "report_period_id", "namespace", "node"], chosen)
        )
