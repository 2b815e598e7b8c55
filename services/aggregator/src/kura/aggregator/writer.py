"""Puts the results of a run into PostgreSQL: one transaction, so that readers see the old or the new days.

Order: the rows that many readers share (inventory, tag values) come last, so that their locks are held only for a
moment; the fence is the very last statement, so that a worker whose lease has moved on cannot commit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from queue import SimpleQueue
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kura.aggregator import ui_tables
from kura.aggregator.engine import Engine, Relation, Statement, statement
from kura.aggregator.postgresql import postgresql_statement
from kura.aggregator.steps import tags
from kura.aggregator.store import Cluster, Facts
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


@contextmanager
def deleting_summary(tx: Transaction, *, cluster: Cluster, days: DayRange) -> Iterator[None]:
    """Delete what this pipeline owns of the range (ocp-pipeline §9.1, P13), while the block computes what replaces it.

    Costs of a cloud stay; costs of rates go with what explains them. The transaction is not for the block.
    """

    def delete() -> None:
        scope = (cluster.report_period_id, days.start, days.end)
        tx.run(postgresql_statement("delete_summary_range"), *scope)
        delete_lines(tx, cluster=cluster, days=days, of_gpus=True)

    with beside(delete):
        yield


def delete_lines(tx: Transaction, *, cluster: Cluster, days: DayRange, of_gpus: bool) -> None:
    """Delete the lines that explain costs; of those of other days as well, take these days away.

    `of_gpus`: those of distributed GPUs too.
    """
    scope = (cluster.report_period_id, days.start, days.end, of_gpus)
    tx.run(postgresql_statement("delete_explained_costs"), *scope)
    tx.run(postgresql_statement("shorten_explained_costs"), *scope)


def add_summary(tx: Transaction, rows: pa.RecordBatchReader) -> int:
    """Add rows to the daily summary; how many."""
    return tx.copy(DAILY_SUMMARY, with_random_uuids(rows))


class Adding:
    """Rows with random uuids that PostgreSQL is taking in, part by part."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._parts: SimpleQueue[tuple[str, Relation] | None] = SimpleQueue()
        self.written = 0

    def add(self, rows: Relation, table: str = DAILY_SUMMARY) -> None:
        """Shared rows (see `Engine.compute_shared`) that come next."""
        self._parts.put((table, rows))

    def end(self) -> None:
        self._parts.put(None)

    def run(self) -> None:
        """Take in the parts, as they come."""
        while part := self._parts.get():
            table, rows = part
            with rows.engine.reader_beside(rows) as reader:
                self.written += self._tx.copy(table, with_random_uuids(reader))


@contextmanager
def adding_rows(tx: Transaction) -> Iterator[Adding]:
    """Add rows in a thread of its own: the block computes what comes next while PostgreSQL takes rows in.

    The transaction is not for the block; after it, the rows are in.
    """
    adding = Adding(tx)
    with beside(adding.run):
        try:
            yield adding
        finally:
            adding.end()


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """Do `work` in a thread of its own while the block runs; afterwards both have ended."""
    with ThreadPoolExecutor(1, thread_name_prefix="beside") as threads:
        done = threads.submit(copy_context().run, work)
        yield
    done.result()


def with_random_uuids(rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same rows with a uuid each. PostgreSQL needs as long to make them as to store the rows."""
    schema = rows.schema.append(pa.field("uuid", UUID_TYPE))
    batches = (
        pa.RecordBatch.from_arrays([*batch.columns, random_uuids(batch.num_rows)], schema=schema) for batch in rows
    )
    return pa.RecordBatchReader.from_batches(schema, batches)


def random_uuids(count: int) -> pa.Array:
    """Uuids that begin with the time (version 7), as binary COPY takes them, ascending.

    An index takes them page by page, each after those that it has.
    """
    octets = np.frombuffer(os.urandom(16 * count), np.uint8).reshape(count, 16).copy()
    octets[:, :6] = np.frombuffer((time.time_ns() // 1_000_000).to_bytes(6, "big"), np.uint8)
    octets[:, 6] = octets[:, 6] & 0x0F | 0x70
    octets[:, 8] = octets[:, 8] & 0x3F | 0x80
    ascending = np.sort(octets.view("S16"), axis=0)
    return pa.FixedSizeBinaryArray.from_buffers(UUID_TYPE, count, [None, pa.py_buffer(ascending.tobytes())])


@dataclass(frozen=True, kw_only=True)
class Part:
    """The `number`th of `parts` parts of the summary rows, from 0."""

    number: int = 0
    parts: int = 1


WHOLE = Part()
PART_ROWS, MOST_PARTS = 15_000, 16


def parts_of(rows: int, *, rows_each: int = PART_ROWS) -> list[Part]:
    """At least two, so that PostgreSQL can begin while the rest is computed."""
    parts = min(max(rows // rows_each, 2), MOST_PARTS)
    return [Part(number=number, parts=parts) for number in range(parts)]


def postgresql_rows(engine: Engine, *, cluster: Cluster, results: Results, part: Part = WHOLE) -> Relation:
    """Summary rows as PostgreSQL takes them: all of few, or a part of many that another thread reads.

    In      summary rows with doubles; labels, mapped
    Out     the columns of reporting_ocpusagelineitem_daily_summary that this pipeline sets, in the types of binary COPY
    Rule    a double becomes the shortest decimal text that reads back as the same double, then is rounded half away
            from zero to 15 decimals (P10); labels are those after tag mapping; rows of one project and node are in
            one part
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
                "part": [part.number],
                "parts": [part.parts],
            }
        )
    )
    make = engine.compute if part == WHOLE else engine.compute_shared
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


UiRows = list[tuple[ui_tables.UiTable, Relation]]


def all_of(engine: Engine, parts: list[Relation]) -> Relation:
    """The rows of all parts."""
    named = {f"part_{number}": rows for number, rows in enumerate(parts)}
    return engine.view(Statement("parts", " UNION ALL ".join(f"FROM {name}" for name in named)), **named)


def ui_rows(engine: Engine, parts: list[Relation]) -> UiRows:
    """What `fill_ui_tables` makes of a range that holds the rows of `parts` and no others, computed in the engine."""
    return ui_rows_of(engine, engine.view(statement("daily_summary"), postgresql_rows=all_of(engine, parts)))


def ui_rows_of(engine: Engine, daily: Relation) -> UiRows:
    """The same for all that the UI tables need of the rows of the daily summary."""
    return [
        (table, engine.compute(table.select, reporting_ocpusagelineitem_daily_summary=daily))
        for table in ui_tables.UI_TABLES
    ]


def copy_ui_tables(tx: Transaction, *, provider_uuid: UUID, days: DayRange, rows: UiRows) -> None:
    """Replace the rows of the UI tables of a source and range by rows that are computed."""
    for table, computed in rows:
        tx.run(table.delete, str(provider_uuid), days.start, days.end)
        _copy_ui_rows(tx, table, computed, provider_uuid)


def copy_ui_costs(tx: Transaction, *, provider_uuid: UUID, days: DayRange, rows: UiRows) -> None:
    """Replace those rows of the UI tables that come from cost rows; distribution of GPUs has rules of its own.

    The type of a cost keeps rows of the UI tables apart, so that those of usage stay as they are.
    """
    for table, computed in rows:
        tx.run(table.delete_costs, str(provider_uuid), days.start, days.end)
        _copy_ui_rows(tx, table, computed, provider_uuid)


def _copy_ui_rows(tx: Transaction, table: ui_tables.UiTable, computed: Relation, provider_uuid: UUID) -> None:
    filled = computed.to_arrow()
    if filled.num_rows:
        tx.copy_of_source(table.table.name, filled.drop_columns(["source_uuid"]), source_uuid=str(provider_uuid))


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


@dataclass(frozen=True, kw_only=True)
class TagChanges:
    """What the tag tables have to learn; a table that learns nothing is left out."""

    label_rows: dict[str, Relation]
    """By kind: `pod`, `volume`."""
    values: Relation | None


def tag_changes(tx: Transaction, *, facts: Facts, results: Results) -> TagChanges:
    """Compare what was seen with what is stored. Reads only: any transaction of the tenant will do."""
    seen_of = {"pod": results.pod_tags, "volume": results.volume_tags}
    seen_of = {kind: seen for kind, seen in seen_of.items() if seen.count()}
    if not seen_of:
        return TagChanges(label_rows={}, values=None)
    engine, cluster = results.pod_tags.engine, facts.cluster

    def stored_labels(kind: str) -> Relation:
        stored = tx.table(postgresql_statement(f"stored_{kind}_labels"), cluster.report_period_id)
        return engine.table(stored.cast(STORED_LABELS_SCHEMA))

    stored_values = tx.table(postgresql_statement("stored_tag_values"), facts.enabled_keys)
    return TagChanges(
        label_rows={
            kind: tags.changed_label_rows(tags=seen, stored=stored_labels(kind)) for kind, seen in seen_of.items()
        },
        values=tags.changed_tag_values(
            pod_tags=results.pod_tags,
            volume_tags=results.volume_tags,
            stored=engine.table(stored_values.cast(STORED_VALUES_SCHEMA)),
            cluster_id=cluster.cluster_id,
            cluster_alias=cluster.cluster_alias,
        ),
    )


def write_label_summaries(tx: Transaction, *, cluster: Cluster, enabled_keys: list[str], changes: TagChanges) -> None:
    """Add what was seen to the label summaries; rows of keys that are no longer enabled go (ocp-pipeline §11.2).

    Only one run at a time writes the rows of a period.
    """
    for kind, table in LABEL_SUMMARIES.items():
        tx.run(postgresql_statement(f"delete_disabled_{kind}_labels"), cluster.report_period_id, enabled_keys)
        if kind not in changes.label_rows:
            continue
        changed = changes.label_rows[kind]
        replaced = changed.engine.view(statement("replaced_label_rows"), changed=changed).to_arrow()
        if replaced.num_rows:
            tx.run_with_columns(postgresql_statement(f"delete_{kind}_labels"), columns=replaced)
        if changed.count():
            period = _period_of(changed.engine, cluster)
            added = changed.engine.view(statement("added_label_rows"), changed=changed, period=period)
            tx.copy(table, with_random_uuids(added.to_reader()))


def _period_of(engine: Engine, cluster: Cluster) -> Relation:
    return engine.table(pa.table({"report_period_id": pa.array([cluster.report_period_id], pa.int32())}))


def write_tag_values(tx: Transaction, *, cluster: Cluster, changes: TagChanges) -> None:
    """Unite where each tag value was seen with what is known of it (ocp-pipeline §11.3, P8a).

    Runs of other clusters write the same rows: what is united is the row as it is when it is written.
    """
    changed = changes.values.to_arrow() if changes.values is not None else None
    if changed is not None and changed.num_rows:
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
