"""What a run has to know from PostgreSQL before it computes: one snapshot, read-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

import pyarrow as pa
from sqlalchemy import Connection, String, and_, cast, exists, func, select

from kura.core.days import DayRange, Month
from kura.core.errors import SourceNotFound
from kura.store.database import Database
from kura.store.tables import tenant
from kura.store.tables.shared import INGESTED_FILE_DAY, PROVIDER, VISIBLE_FILE_DAY

OPENSHIFT = "OCP"
GPU_METRIC = "gpu_cost_per_month"
DEFAULT_DISTRIBUTION = "cpu"

NODES_SCHEMA = pa.schema(
    [
        ("uuid", pa.string()),
        ("node", pa.string()),
        ("resource_id", pa.string()),
        ("node_capacity_cpu_cores", pa.decimal128(18, 2)),
        ("node_role", pa.string()),
        ("architecture", pa.string()),
        ("of_this_cluster", pa.bool_()),
    ]
)
PATTERNS_SCHEMA = pa.schema([("pattern", pa.string()), ("cost_category_id", pa.int32())])
MAPPING_SCHEMA = pa.schema([("child", pa.string()), ("parent", pa.string())])


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The constants of a run (ocp-pipeline §2)."""

    schema: str
    provider_uuid: UUID
    cluster_id: str
    cluster_alias: str | None
    report_period_id: int
    cost_model_distribution: str
    has_gpu_rate: bool


@dataclass(frozen=True, kw_only=True)
class FileDay:
    """The visible objects of one report type and day."""

    report_type: str
    day: date
    hourly_objects: Sequence[str]
    daily_objects: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that is read from the database before the computation."""

    cluster: Cluster
    enabled_keys: list[str]
    category_patterns: pa.Table
    stored_nodes: pa.Table
    tag_mapping: pa.Table
    visible: list[FileDay]
    is_newest: bool
    """No later day of the source has pods."""


def read_facts(database: Database, *, schema: str, provider_uuid: UUID, days: DayRange) -> Facts | None:
    """The facts of one run; None when the month has no report period, so that there is nothing to summarise."""
    with database.tenant(schema, snapshot=True) as connection:
        cluster = _cluster(connection, schema=schema, provider_uuid=provider_uuid, days=days)
        if cluster is None:
            return None
        return Facts(
            cluster=cluster,
            enabled_keys=_enabled_keys(connection),
            category_patterns=_category_patterns(connection),
            stored_nodes=_stored_nodes(connection, provider_uuid),
            tag_mapping=_tag_mapping(connection),
            visible=_visible(connection, provider_uuid, days),
            is_newest=_is_newest(connection, provider_uuid, days),
        )


def _cluster(connection: Connection, *, schema: str, provider_uuid: UUID, days: DayRange) -> Cluster | None:
    month = Month.of(days.start)
    period = tenant.REPORT_PERIOD.c
    row = connection.execute(
        select(
            PROVIDER.c.uuid,
            period.id,
            period.cluster_id,
            period.cluster_alias,
            _distribution(provider_uuid).label("distribution"),
            _gpu_rate_exists(provider_uuid, days).label("has_gpu_rate"),
        )
        .select_from(PROVIDER)
        .outerjoin(
            tenant.REPORT_PERIOD,
            and_(
                period.provider_id == PROVIDER.c.uuid,
                period.report_period_start == datetime.combine(month.first, time.min, UTC),
            ),
        )
        .where(PROVIDER.c.uuid == provider_uuid, PROVIDER.c.type == OPENSHIFT)
        .order_by(period.id)
    ).first()
    if row is None:
        raise SourceNotFound(f"No OpenShift source has the id {provider_uuid}.")
    if row.id is None:
        return None
    return Cluster(
        schema=schema,
        provider_uuid=provider_uuid,
        cluster_id=row.cluster_id,
        cluster_alias=row.cluster_alias,
        report_period_id=row.id,
        cost_model_distribution=row.distribution or DEFAULT_DISTRIBUTION,
        has_gpu_rate=row.has_gpu_rate,
    )


def _distribution(provider_uuid: UUID) -> Any:
    models, mapped = tenant.COST_MODEL, tenant.COST_MODEL_MAP
    return (
        select(func.max(models.c.distribution))
        .where(models.c.uuid == mapped.c.cost_model_id, mapped.c.provider_uuid == provider_uuid)
        .scalar_subquery()
    )


def _gpu_rate_exists(provider_uuid: UUID, days: DayRange) -> Any:
    """Whether the price list that holds for these days prices GPUs (cost-models §4)."""
    mapped, lists = tenant.COST_MODEL_MAP.c, tenant.PRICE_LIST.c
    linked, rates = tenant.PRICE_LIST_COST_MODEL_MAP.c, tenant.COST_MODEL_RATE.c
    effective = (
        select(lists.uuid)
        .where(
            mapped.provider_uuid == provider_uuid,
            linked.cost_model_id == mapped.cost_model_id,
            lists.uuid == linked.price_list_id,
            lists.effective_start_date <= days.start,
            lists.effective_end_date >= days.start,
        )
        .order_by(linked.priority, linked.id)
        .limit(1)
        .scalar_subquery()
    )
    return exists().where(rates.price_list_id == effective, rates.metric == GPU_METRIC)


def _enabled_keys(connection: Connection) -> list[str]:
    keys = tenant.ENABLED_TAG_KEYS.c
    found = select(keys.key).where(keys.enabled, keys.provider_type == OPENSHIFT).order_by(keys.key)
    return list(connection.scalars(found))


def _category_patterns(connection: Connection) -> pa.Table:
    patterns = tenant.COST_CATEGORY_NAMESPACE.c
    rows = connection.execute(select(patterns.namespace.label("pattern"), patterns.cost_category_id))
    return arrow_table(PATTERNS_SCHEMA, [row._mapping for row in rows])


def _stored_nodes(connection: Connection, provider_uuid: UUID) -> pa.Table:
    nodes, clusters = tenant.NODES.c, tenant.CLUSTERS.c
    rows = connection.execute(
        select(
            cast(nodes.uuid, String).label("uuid"),
            nodes.node,
            nodes.resource_id,
            nodes.node_capacity_cpu_cores,
            nodes.node_role,
            nodes.architecture,
            (clusters.provider_id == provider_uuid).label("of_this_cluster"),
        ).where(clusters.uuid == nodes.cluster_id)
    )
    return arrow_table(NODES_SCHEMA, [row._mapping for row in rows])


def _tag_mapping(connection: Connection) -> pa.Table:
    child, parent = tenant.ENABLED_TAG_KEYS.alias("child").c, tenant.ENABLED_TAG_KEYS.alias("parent").c
    rows = connection.execute(
        select(child.key.label("child"), parent.key.label("parent")).where(
            tenant.TAG_MAPPING.c.child_id == child.uuid,
            tenant.TAG_MAPPING.c.parent_id == parent.uuid,
            child.provider_type == OPENSHIFT,
            child.enabled,
        )
    )
    return arrow_table(MAPPING_SCHEMA, [row._mapping for row in rows])


def read_visible(database: Database, *, provider_uuid: UUID, days: DayRange) -> list[FileDay]:
    """The objects that Kura took in for these days, without those that were replaced."""
    with database.begin() as connection:
        return _visible(connection, provider_uuid, days)


def _visible(connection: Connection, provider_uuid: UUID, days: DayRange) -> list[FileDay]:
    seen = VISIBLE_FILE_DAY.c
    rows = connection.execute(
        select(seen.report_type, seen.day, seen.hourly_objects, seen.daily_objects)
        .where(seen.provider_uuid == provider_uuid, seen.day.between(days.start, days.end))
        .order_by(seen.report_type, seen.day, seen.manifest_id, seen.report_name)
    )
    return [FileDay(**row._mapping) for row in rows]


def _is_newest(connection: Connection, provider_uuid: UUID, days: DayRange) -> bool:
    files = INGESTED_FILE_DAY.c
    later = exists().where(
        files.provider_uuid == provider_uuid, files.report_type == "pod_usage", files.day > days.end, files.rows > 0
    )
    return not connection.scalar(select(later))


def arrow_table(schema: pa.Schema, rows: Sequence[Mapping[Any, Any]]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
