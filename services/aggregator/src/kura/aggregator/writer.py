"""Puts the results of a run into PostgreSQL: one transaction, so that readers see the old or the new days.

Order: the rows that many readers share (inventory, tag values) come last, so that their locks are held only for a
moment; the fence is the very last statement, so that a worker whose lease has moved on cannot commit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kura.aggregator import ui_tables
from kura.aggregator.engine import Engine, Relation, statement
from kura.aggregator.postgresql import postgresql_statement
from kura.aggregator.steps import tags
from kura.aggregator.store import Cluster
from kura.aggregator.transaction import Transaction
from kura.core.days import DayRange
from kura.store.tables import tenant

DAILY_SUMMARY = tenant.DAILY_SUMMARY.name
UUID_TYPE = pa.binary(16)


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a run computed."""

    summary_rows: Relation
    pod_tags: Relation
    volume_tags: Relation
    node_changes: Relation
    found_volumes: Relation
    found_projects: Relation
    gpu_rows: Relation
    mapped_labels: Relation


# ------------------------------------------------------------------------------------------------------ daily summary


def replace_summary(tx: Transaction, *, cluster: Cluster, days: DayRange, rows: pa.RecordBatchReader) -> int:
    """Replace what this pipeline owns of the range (ocp-pipeline §9.1, P13); cloud costs stay. How many rows now."""
    tx.run(postgresql_statement("delete_summary_range"), cluster.report_period_id, days.start, days.end)
    return tx.copy(DAILY_SUMMARY, with_random_uuids(rows))


def with_random_uuids(rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same rows with a uuid each. PostgreSQL needs as long to make them as to store the rows."""
    schema = rows.schema.append(pa.field("uuid", UUID_TYPE))
    batches = (
        pa.RecordBatch.from_arrays([*batch.columns, random_uuids(batch.num_rows)], schema=schema) for batch in rows
    )
    return pa.RecordBatchReader.from_batches(schema, batches)


def random_uuids(count: int) -> pa.Array:
    """Random (version 4) uuids, as binary COPY takes them; ascending, so that an index takes them page by page."""
    octets = np.frombuffer(os.urandom(16 * count), np.uint8).reshape(count, 16).copy()
    octets[:, 6] = octets[:, 6] & 0x0F | 0x40
    octets[:, 8] = octets[:, 8] & 0x3F | 0x80
    ascending = np.sort(octets.view("S16"), axis=0)
    return pa.FixedSizeBinaryArray.from_buffers(UUID_TYPE, count, [None, pa.py_buffer(ascending.tobytes())])


def postgresql_rows(engine: Engine, *, cluster: Cluster, results: Results, keep: bool) -> Relation:
    """The summary rows as PostgreSQL takes them, kept in the engine or computed while they are read.

    In      summary rows with doubles; labels, mapped
    Out     the columns of reporting_ocpusagelineitem_daily_summary that this pipeline sets, in the types of binary COPY
    Rule    a double becomes the shortest decimal text that reads back as the same double, then is rounded half away
            from zero to 15 decimals (P10); labels are those after tag mapping
    Errors  InvalidData for NaN, infinity and |x| ≥ 1e18
    Source  ocp-pipeline §8, §11.4, §12.1
    """
    constants = engine.table(
        pa.table(
            {
                "report_period_id": pa.array([cluster.report_period_id], pa.int32()),
                "cluster_id": [cluster.cluster_id],
                "cluster_alias": [cluster.cluster_alias],
                "source_uuid": pa.array([cluster.provider_uuid.bytes], pa.binary()),
            }
        )
    )
    make = engine.compute if keep else engine.view
    return make(
        statement("postgresql_rows"),
        summary=results.summary_rows,
        constants=constants,
        mapped=results.mapped_labels,
    )


# ---------------------------------------------------------------------------------------------------------- UI tables


def has_other_rows(tx: Transaction, *, provider_uuid: UUID, days: DayRange) -> bool:
    """Whether the range holds rows that this pipeline does not own: costs of a cloud."""
    return bool(tx.rows(postgresql_statement("other_rows"), str(provider_uuid), days.start, days.end)[0][0])


def copy_ui_tables(tx: Transaction, *, provider_uuid: UUID, days: DayRange, rows: Relation) -> None:
    """The same as `fill_ui_tables` for a range that holds `rows` and no others, computed in the engine."""
    daily = rows.engine.view(statement("daily_summary"), postgresql_rows=rows)
    source = str(provider_uuid)
    for table in ui_tables.UI_TABLES:
        tx.run(table.delete, source, days.start, days.end)
        filled = rows.engine.compute(table.select, reporting_ocpusagelineitem_daily_summary=daily).to_arrow()
        if filled.num_rows:
            tx.copy_of_source(table.table.name, filled.drop_columns(["source_uuid"]), source_uuid=source)


def fill_ui_tables(tx: Transaction, *, provider_uuid: UUID, days: DayRange) -> None:
    """Replace the rows of the cost, pod, volume and network tables of a source and range (ocp-pipeline §10.1)."""
    source = str(provider_uuid)
    for table in ui_tables.UI_TABLES:
        tx.run(table.delete, source, days.start, days.end)
        tx.run(table.insert, source, days.start, days.end)


GPU_COLUMNS = (
    "usage_start",
    "namespace",
    "node",
    "vendor_name",
    "model_name",
    "memory_capacity_gb",
    "gpu_uuid",
    "mig_instance_id",
    "gpu_mode",
    "mig_profile",
    "mig_slice_count",
    "gpu_max_slices",
    "mig_memory_capacity_gb",
    "mig_strategy",
    "cost_category_id",
)
"""In the order of the parameters of `gpu_from_usage.sql`."""


def fill_gpu_table(tx: Transaction, *, cluster: Cluster, days: DayRange, gpu_rows: pa.Table) -> None:
    """Replace the GPU rows of the range: from costs where a GPU rate exists, else from usage (ocp-pipeline §10.3)."""
    source = str(cluster.provider_uuid)
    tx.run(ui_tables.delete_of(tenant.GPU_SUMMARY), source, days.start, days.end)
    if cluster.has_gpu_rate:
        tx.run(postgresql_statement("gpu_from_costs"), source, days.start, days.end)
    elif gpu_rows.num_rows:
        columns = _numbers_as_text(gpu_rows.select(GPU_COLUMNS))
        tx.run_with_columns(
            postgresql_statement("gpu_from_usage"), source, cluster.cluster_id, cluster.cluster_alias, columns=columns
        )


def _numbers_as_text(rows: pa.Table) -> pa.Table:
    """Doubles as their shortest text, which PostgreSQL reads as exact decimals."""
    for index, field in enumerate(rows.schema):
        if pa.types.is_floating(field.type):
            rows = rows.set_column(index, field.name, pc.cast(rows[field.name], pa.string()))
    return rows


# --------------------------------------------------------------------------------------------------------------- tags


LABEL_SUMMARIES = {"pod": tenant.POD_LABEL_SUMMARY.name, "volume": tenant.VOLUME_LABEL_SUMMARY.name}
STORED_LABELS_SCHEMA = pa.schema(
    [
        ("uuid", pa.string()),
        ("key", pa.string()),
        ("namespace", pa.string()),
        ("node", pa.string()),
        ("values", pa.list_(pa.string())),
    ]
)
STORED_VALUES_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("value", pa.string()),
        ("cluster_ids", pa.list_(pa.string())),
        ("cluster_aliases", pa.list_(pa.string())),
        ("namespaces", pa.list_(pa.string())),
        ("nodes", pa.list_(pa.string())),
    ]
)


def write_label_summaries(tx: Transaction, *, cluster: Cluster, enabled_keys: list[str], results: Results) -> None:
    """Add what was seen to the label summaries; rows of keys that are no longer enabled go (ocp-pipeline §11.2).

    Only one run at a time writes the rows of a period.
    """
    for kind, seen in (("pod", results.pod_tags), ("volume", results.volume_tags)):
        tx.run(postgresql_statement(f"delete_disabled_{kind}_labels"), cluster.report_period_id, enabled_keys)
        if not seen.count():
            continue
        stored = tx.table(postgresql_statement(f"stored_{kind}_labels"), cluster.report_period_id)
        changed = tags.changed_label_rows(
            tags=seen, stored=seen.engine.table(stored.cast(STORED_LABELS_SCHEMA))
        ).to_arrow()
        replaced = changed.select(["uuid"]).filter(pc.is_valid(changed["uuid"]))
        if replaced.num_rows:
            tx.run_with_columns(postgresql_statement(f"delete_{kind}_labels"), columns=replaced)
        if changed.num_rows:
            period = pa.array([cluster.report_period_id] * changed.num_rows, pa.int32())
            rows = changed.set_column(0, "uuid", random_uuids(changed.num_rows))
            tx.copy(LABEL_SUMMARIES[kind], rows.append_column("report_period_id", period).to_reader())


def write_tag_values(tx: Transaction, *, cluster: Cluster, enabled_keys: list[str], results: Results) -> None:
    """Unite where each tag value was seen with what is known of it (ocp-pipeline §11.3, P8a).

    Runs of other clusters write the same rows: what is united is the row as it is when it is written.
    """
    engine = results.pod_tags.engine
    if results.pod_tags.count() or results.volume_tags.count():
        stored = tx.table(postgresql_statement("stored_tag_values"), enabled_keys)
        changed = tags.changed_tag_values(
            pod_tags=results.pod_tags,
            volume_tags=results.volume_tags,
            stored=engine.table(stored.cast(STORED_VALUES_SCHEMA)),
            cluster_id=cluster.cluster_id,
            cluster_alias=cluster.cluster_alias,
        ).to_arrow()
        if changed.num_rows:
            with tx.aside("seen_tag_values", changed):
                tx.run(postgresql_statement("add_tag_values"), cluster.cluster_id, cluster.cluster_alias)
    tx.run(postgresql_statement("delete_disabled_tag_values"))


# ---------------------------------------------------------------------------------------------------------- inventory


def write_inventory(
    tx: Transaction, *, cluster: Cluster, node_changes: pa.Table, volumes: pa.Table, projects: pa.Table
) -> None:
    """Add to the inventory what the range names; nothing is removed (ocp-payload §6.13, D4)."""
    of_cluster = _cluster_row(tx, cluster)
    is_new = pc.is_null(node_changes["uuid"])
    added, changed = node_changes.filter(is_new), node_changes.filter(pc.invert(is_new))
    if added.num_rows:
        cores = pc.cast(added["node_capacity_cpu_cores"], pa.string())
        columns = added.drop_columns(["uuid"]).set_column(2, "cores", cores)
        tx.run_with_columns(postgresql_statement("add_nodes"), of_cluster, columns=columns)
    if changed.num_rows:
        tx.run_with_columns(
            postgresql_statement("change_nodes"), columns=changed.select(["uuid", "node_role", "architecture"])
        )
    if volumes.num_rows:
        tx.run_with_columns(postgresql_statement("add_volumes"), of_cluster, columns=volumes)
    if projects.num_rows:
        tx.run_with_columns(postgresql_statement("add_projects"), of_cluster, columns=projects)


def _cluster_row(tx: Transaction, cluster: Cluster) -> str:
    """The uuid of the source's one cluster row, locked; made, renamed or freed of rivals as needed."""
    source, alias = str(cluster.provider_uuid), cluster.cluster_alias
    found = tx.rows(postgresql_statement("find_clusters"), source, alias)
    if not found:
        tx.run(postgresql_statement("add_cluster"), source, cluster.cluster_id, alias)
        found = tx.rows(postgresql_statement("find_clusters"), source, alias)
    (uuid, stored_alias), *others = found
    if others:
        tx.run(postgresql_statement("delete_other_clusters"), source, uuid)
    if stored_alias != alias:
        tx.run(postgresql_statement("rename_cluster"), uuid, alias, cluster.cluster_id)
    return str(uuid)


# ------------------------------------------------------------------------------------------------------------- stamps


def stamp_period(tx: Transaction, cluster: Cluster) -> None:
    """Note that the period was summarised (ocp-pipeline §1, step 8)."""
    tx.run(postgresql_statement("stamp_period"), cluster.report_period_id)
