"""The OpenShift summary: line items of a range of days → daily summary, inventory, UI tables, tag tables.

The order of steps is that of ocp-pipeline §1. Steps 9 and 10 (infrastructure map, cost model) are pipelines of their
own, queued by the worker when this one has succeeded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

import pyarrow as pa
from prometheus_client import Counter

from kura.aggregator import line_items, month_summary, vm_table, writer
from kura.aggregator.engine import Engine, Engines, Relation
from kura.aggregator.inputs import Source, check_one_month, open_dataset, select_objects
from kura.aggregator.steps import (
    capacity,
    categories,
    crowding,
    gpus,
    inventory,
    labels,
    machines,
    pods,
    reading,
    storage,
    summary,
    tags,
)
from kura.aggregator.store import Cluster, Facts, read_facts, read_visible
from kura.aggregator.summary_parquet import SummaryObjects
from kura.aggregator.transaction import Transaction
from kura.core.days import DayRange, Month
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.store.partitions import ensure_partitions

STEPS = ("facts", "read", "partitions", "compute", "write_summary", "write_tables", "commit", "fold_month")

LABEL_FAN_OUTS = Counter(
    "kura_label_fan_outs_total",
    "Node-days and namespace-days whose filtered labels changed, so that their pods count once per label set.",
    ["object"],
)

StepEnded = Callable[[str, int, int], None]
"""Called with the name of the step that ended, the rows read and the rows written so far. May raise Cancelled."""


@dataclass(frozen=True, kw_only=True)
class Fence:
    """The lease that must still be held when the run commits."""

    lease_name: str
    token: int


@dataclass(frozen=True, kw_only=True)
class SummaryRun:
    """One run: one source, days of one month."""

    schema: str
    provider_uuid: UUID
    days: DayRange
    fence: Fence | None = None

    @property
    def source(self) -> Source:
        return Source(schema=self.schema, provider_uuid=self.provider_uuid)

    @property
    def month(self) -> DayRange:
        month = Month.of(self.days.start)
        return DayRange(month.first, month.last)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a run works with."""

    database: Database
    objects: ObjectStore
    engines: Engines
    many_rows: int = 20_000
    """From so many summary rows on the engine, not PostgreSQL, adds up the UI tables."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run did."""

    rows_read: int = 0
    rows_written: int = 0
    notes: list[str] = field(default_factory=list)


def summarise_openshift(
    run: SummaryRun, resources: Resources, step_ended: StepEnded, engine_opened: Callable[[Engine], None]
) -> Outcome:
    """Replace the summary of one cluster and range; running it twice changes nothing."""
    check_one_month(run.days)
    facts = read_facts(resources.database, schema=run.schema, provider_uuid=run.provider_uuid, days=run.days)
    step_ended("facts", 0, 0)
    if facts is None:
        return Outcome(notes=["The month has no report period: nothing was ever taken in for it."])

    with resources.engines.lend() as engine:
        engine_opened(engine)
        given = reading.read_range(open_line_items(engine, resources.objects, run, facts), run.days)
        rows_read = given.pod_daily.count() + given.storage_daily.count()
        step_ended("read", rows_read, 0)

        with resources.database.begin() as connection:
            ensure_partitions(connection, run.schema, months=[run.days.start])
        step_ended("partitions", rows_read, 0)

        with SummaryObjects.of_run(resources.objects, source=run.source, days=run.days) as objects:
            with Transaction.of_tenant(resources.database, run.schema) as tx:
                with writer.deleting_summary(tx, cluster=facts.cluster, days=run.days):
                    results = compute(given, run.days, facts)
                rows = results.summary_rows.count()
                step_ended("compute", rows_read, 0)

                write = write_many if rows >= resources.many_rows else write_few
                written, changes = write(
                    tx, run=run, resources=resources, facts=facts, results=results, objects=objects
                )
                step_ended("write_summary", rows_read, written)

                write_tables(tx, engine, run=run, resources=resources, facts=facts, results=results, changes=changes)
                step_ended("write_tables", rows_read, written)

                assert_held(tx, run.fence)
            objects.publish()
            step_ended("commit", rows_read, written)

    with Transaction.of_tenant(resources.database, run.schema) as tx:
        month_summary.fold_month(tx, provider_uuid=run.provider_uuid, month=run.month)
        assert_held(tx, run.fence)
    step_ended("fold_month", rows_read, written)
    return Outcome(rows_read=rows_read, rows_written=written)


def write_few(
    tx: Transaction,
    *,
    run: SummaryRun,
    resources: Resources,
    facts: Facts,
    results: writer.Results,
    objects: SummaryObjects,
) -> tuple[int, writer.TagChanges]:
    """Add daily rows, then replace UI tables. How many rows, and what the tag tables have to learn."""
    rows = writer.postgresql_rows(results.summary_rows.engine, cluster=facts.cluster, results=results)
    written = writer.add_summary(tx, rows.to_reader())
    writer.fill_ui_tables(tx, provider_uuid=run.provider_uuid, days=run.days)
    objects.add(summary_to_store(results.summary_rows, facts.cluster).to_reader())
    return written, writer.tag_changes(tx, facts=facts, results=results)


def write_many(
    tx: Transaction,
    *,
    run: SummaryRun,
    resources: Resources,
    facts: Facts,
    results: writer.Results,
    objects: SummaryObjects,
) -> tuple[int, writer.TagChanges]:
    """The same, with one core computing what comes next while another one serves PostgreSQL."""
    engine, parts = results.summary_rows.engine, []
    is_alone = not writer.has_other_rows(tx, provider_uuid=run.provider_uuid, days=run.days)
    with writer.adding_rows(tx) as adding:
        for part in writer.parts_of(results.summary_rows.count()):
            parts.append(writer.postgresql_rows(engine, cluster=facts.cluster, results=results, part=part))
            adding.add(parts[-1])
        ui_rows = writer.ui_rows(engine, parts) if is_alone else None
        with Transaction.of_tenant(resources.database, run.schema) as reading:
            changes = writer.tag_changes(reading, facts=facts, results=results)
        objects.add(summary_to_store(results.summary_rows, facts.cluster).to_reader())
    if ui_rows is not None:
        writer.copy_ui_tables(tx, provider_uuid=run.provider_uuid, days=run.days, rows=ui_rows)
    else:
        writer.fill_ui_tables(tx, provider_uuid=run.provider_uuid, days=run.days)
    return adding.written, changes


def summary_to_store(summary_rows: Relation, cluster: Cluster) -> Relation:
    """The rows that the cloud pipelines read (ocp-pipeline §9.3)."""
    constants = pa.table(
        {
            "report_period_id": pa.array([cluster.report_period_id], pa.int32()),
            "cluster_id": pa.array([cluster.cluster_id], pa.string()),
            "cluster_alias": pa.array([cluster.cluster_alias], pa.string()),
            "source_uuid": pa.array([str(cluster.provider_uuid)], pa.string()),
        }
    )
    return summary.stored_summary(summary_rows, summary_rows.engine.table(constants))


def assert_held(tx: Transaction, fence: Fence | None) -> None:
    """Raise LeaseLost if the lease of the run has moved on; the last statement of every transaction that writes."""
    if fence is not None:
        tx.assert_held(lease_name=fence.lease_name, token=fence.token)


def open_line_items(engine: Engine, objects: ObjectStore, run: SummaryRun, facts: Facts) -> reading.LineItems:
    """The line items of the run's days as relations (ocp-pipeline §2)."""
    keys = select_objects(
        objects,
        source=run.source,
        kinds=line_items.SUMMARY_INPUTS,
        days=run.days,
        visible=facts.visible,
    )
    opened = {kind: open_dataset(engine, objects, kind.schema, keys[kind]) for kind in line_items.SUMMARY_INPUTS}
    return reading.LineItems(
        pod_usage_hourly=opened[line_items.POD_USAGE_HOURLY],
        pod_usage_daily=opened[line_items.POD_USAGE_DAILY],
        storage_usage_daily=opened[line_items.STORAGE_USAGE_DAILY],
        node_labels_daily=opened[line_items.NODE_LABELS_DAILY],
        namespace_labels_daily=opened[line_items.NAMESPACE_LABELS_DAILY],
        gpu_usage_daily=opened[line_items.GPU_USAGE_DAILY],
    )


def compute(given: reading.Given, days: DayRange, facts: Facts) -> writer.Results:
    """All results of the range. Pure: reads relations, makes relations."""
    engine = given.pod_daily.engine
    filtered = labels.filter_labels(given, labels.counted_keys(facts.enabled_keys))  # §3
    node_sets = labels.node_label_sets(given.node_labels, filtered)
    namespace_sets = labels.namespace_label_sets(given.namespace_labels, filtered)
    changed = labels.fan_outs(node_label_sets=node_sets, namespace_label_sets=namespace_sets).to_pylist()
    for found in changed:
        LABEL_FAN_OUTS.labels(found["kind"]).inc(found["changed"])
    joined = crowding.settled(
        pod_daily=given.pod_daily,
        storage_daily=given.storage_daily,
        node_label_sets=node_sets,
        namespace_label_sets=namespace_sets,
        labels_change=any(found["changed"] for found in changed),
    )

    of_nodes = capacity.node_capacity(given.pod_usage_hourly, days)  # §4
    of_cluster = capacity.cluster_capacity(of_nodes)
    of_namespaces = categories.namespace_categories(given, engine.table(facts.category_patterns))

    pod_rows = pods.pod_rows(  # §5
        pod_daily=given.pod_daily,
        filtered_labels=filtered,
        node_label_sets=joined.node_label_sets,
        namespace_label_sets=joined.namespace_label_sets,
        node_capacity=of_nodes,
        cluster_capacity=of_cluster,
        namespace_categories=of_namespaces,
    )

    stored_nodes = engine.table(facts.stored_nodes)
    found_nodes = inventory.found_nodes(pod_daily=given.pod_daily, node_labels=given.node_labels)
    node_changes = inventory.node_changes(found_nodes=found_nodes, stored_nodes=stored_nodes, newest=facts.is_newest)
    unallocated_rows = pods.unallocated_rows(  # §6
        pod_rows=pod_rows,
        node_roles=inventory.node_roles(stored_nodes=stored_nodes, node_changes=node_changes),
        namespace_categories=of_namespaces,
    )

    storage_rows = storage.storage_rows(  # §7
        storage_daily=given.storage_daily,
        volume_nodes=storage.volume_nodes(storage_daily=joined.volumes, pod_daily=joined.pods),
        filtered_labels=filtered,
        node_label_sets=joined.node_label_sets,
        namespace_label_sets=joined.namespace_label_sets,
        namespace_categories=of_namespaces,
    )

    summary_rows = summary.summary_rows(pod_rows=pod_rows, unallocated_rows=unallocated_rows, storage_rows=storage_rows)
    return writer.Results(
        summary_rows=summary_rows,
        pod_tags=tags.pod_tags(pod_rows, facts.enabled_keys),  # §11
        volume_tags=tags.volume_tags(storage_rows, facts.enabled_keys),
        mapped_labels=map_tags(pod_rows, storage_rows, facts.tag_mapping),
        node_changes=node_changes,
        found_volumes=inventory.found_volumes(given.storage_daily),
        found_projects=inventory.found_projects(given.pod_daily),
        gpu_rows=gpus.gpu_rows(gpu_daily=given.gpu_daily, namespace_categories=of_namespaces),
    )


def map_tags(pod_rows: Relation, storage_rows: Relation, tag_mapping: pa.Table) -> Relation:
    """The label maps that tag mapping changes; none where no key is mapped (ocp-pipeline §11.4)."""
    engine = pod_rows.engine
    if not tag_mapping.num_rows:
        return engine.table(tags.MAPPED_SCHEMA.empty_table())
    mapping = engine.table(tag_mapping)
    label_maps = tags.label_maps(pod_rows=pod_rows, storage_rows=storage_rows, tag_mapping=mapping)
    return tags.mapped_labels(label_maps, mapping)


def write_tables(
    tx: Transaction,
    engine: Engine,
    *,
    run: SummaryRun,
    resources: Resources,
    facts: Facts,
    results: writer.Results,
    changes: writer.TagChanges,
) -> None:
    """Everything else that follows from the summary rows; what other runs share comes last."""
    cluster = facts.cluster
    writer.fill_gpu_table(tx, cluster=cluster, days=run.days, gpu_rows=results.gpu_rows.to_arrow())
    reports_machines = any(file.report_type == line_items.VM_USAGE_HOURLY.report_type for file in facts.visible)
    if reports_machines or vm_table.has_machines(tx, cluster=cluster, month=run.month):
        report = monthly_report(engine, run, resources)
        vm_table.fill_vm_table(tx, cluster=cluster, month=run.month, report=report)

    writer.write_label_summaries(tx, cluster=cluster, enabled_keys=facts.enabled_keys, changes=changes)
    writer.stamp_period(tx, cluster)
    writer.write_inventory(
        tx,
        cluster=cluster,
        node_changes=results.node_changes.to_arrow(),
        volumes=results.found_volumes.to_arrow(),
        projects=results.found_projects.to_arrow(),
    )
    writer.write_tag_values(tx, cluster=cluster, changes=changes)


def monthly_report(engine: Engine, run: SummaryRun, resources: Resources) -> vm_table.MonthlyReport:
    """What the Parquet of the whole month tells about virtual machines (ocp-pipeline §10.4)."""
    kinds = (line_items.VM_USAGE_HOURLY, line_items.POD_USAGE_DAILY, line_items.STORAGE_USAGE_DAILY)
    keys = select_objects(
        resources.objects,
        source=run.source,
        kinds=kinds,
        days=run.month,
        visible=read_visible(resources.database, provider_uuid=run.provider_uuid, days=run.month),
    )
    opened = {kind: open_dataset(engine, resources.objects, kind.schema, keys[kind]) for kind in kinds}
    requests = machines.vm_requests(opened[line_items.VM_USAGE_HOURLY], run.month).to_arrow()
    if requests.num_rows:
        return vm_table.MonthlyReport(requests=requests, claims=requests.slice(0, 0))
    claims = machines.vm_claims(
        pod_usage_daily=opened[line_items.POD_USAGE_DAILY],
        storage_usage_daily=opened[line_items.STORAGE_USAGE_DAILY],
        month=run.month,
    )
    return vm_table.MonthlyReport(requests=requests, claims=claims.to_arrow())
