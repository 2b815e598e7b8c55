"""The cost model of a source over a range of days: rates, markup, distribution (cost-models).

Rows are computed from the Parquet of the daily summary, some days at a time, and written in one transaction. Without a
cost model the same steps run on nothing: what earlier runs wrote goes, and unattributed cloud cost is distributed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

import pyarrow as pa

from kura.aggregator import cost_writer, line_items, month_summary, vm_table, writer
from kura.aggregator.cost_facts import CostFacts, CostModel, read_cost_facts
from kura.aggregator.engine import Engine, Relation, statement
from kura.aggregator.inputs import Source, check_one_month, open_dataset, rows_in, select_objects
from kura.aggregator.line_items import Kind
from kura.aggregator.metrics import Family, metrics_table
from kura.aggregator.pipelines.openshift import (
    Outcome,
    Resources,
    StepEnded,
    SummaryRun,
    assert_held,
    monthly_report,
)
from kura.aggregator.steps import gpus as gpu_table
from kura.aggregator.steps.costs import base as base_steps
from kura.aggregator.steps.costs import distribution, gpus, machines, monthly, projects, shapes, tagged, usage
from kura.aggregator.steps.reading import bounds
from kura.aggregator.store import read_visible
from kura.aggregator.summary_parquet import summary_key
from kura.aggregator.transaction import Transaction
from kura.core.days import DayRange, Month
from kura.store.objects import ObjectStore
from kura.store.partitions import ensure_partitions

STEPS = ("facts", "partitions", "write_costs", "distribute_gpu", "write_tables", "commit", "fold_month")

ROWS_AT_ONCE = 100_000
"""Days are computed together until they have so many summary rows; what one round holds fits into a small engine."""
PART_ROWS = 60_000
"""Cost rows that are stored while the next are computed. Every part reads all that rows are made of once more."""

NODE_MONTHS = (Family.NODE_MONTH,)
CLAIM_MONTHS = (Family.PVC_MONTH,)
MACHINES = (Family.MACHINE_MONTH, Family.MACHINE_HOUR)
BY_LABEL = (Family.USAGE, Family.NODE_MONTH, Family.PVC_MONTH, *MACHINES)

CORE_METRICS = ("vm_core_cost_per_month", "vm_core_cost_per_hour")
SECOND = 2
"""Day of the month on which the GPUs of the month before are distributed."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the costs of some days are computed from."""

    summary: Relation
    cloud: Relation
    machine_days: Relation
    machine_places: Relation
    machine_summary: Relation
    """Summary rows of the days on which machines were seen last; they may lie outside the range."""
    gpu_daily: Relation
    gpu_node_hours: Relation
    namespace_labels_daily: Relation


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What the rates and the distribution of some days give."""

    usage_rows: Relation
    usage_quantities: Relation
    charges: Relation
    distributed: Relation
    base: Relation

    def count(self) -> int:
        """Cost rows, before those that cost nothing are left out."""
        return self.usage_rows.count() + self.charges.count() + self.distributed.count()


# ------------------------------------------------------------------------------------------------------------ the run


def apply_cost_model(
    run: SummaryRun,
    resources: Resources,
    step_ended: StepEnded,
    engine_opened: Callable[[Engine], None],
    *,
    today: date,
) -> Outcome:
    """Replace the costs of one source and range; running it twice changes nothing."""
    check_one_month(run.days)
    facts = read_cost_facts(resources.database, schema=run.schema, provider_uuid=run.provider_uuid, days=run.days)
    step_ended("facts", 0, 0)
    if facts is None:
        return Outcome(notes=["The month has no report period: nothing was ever taken in for it."])

    outcome = Outcome()
    if facts.model.rates or not is_without_costs(run, resources, facts):
        outcome = write_month(run, resources, facts, step_ended=step_ended, engine_opened=engine_opened, today=today)
    if is_second_of(run.days, today):
        distribute_previous_month(run, resources, engine_opened, today=today)
    return outcome


def write_month(
    run: SummaryRun,
    resources: Resources,
    facts: CostFacts,
    *,
    step_ended: StepEnded,
    engine_opened: Callable[[Engine], None],
    today: date,
) -> Outcome:
    """Replace the costs of the range and what is filled from them."""
    with resources.database.begin() as connection:
        ensure_partitions(connection, run.schema, months=[run.days.start])
    step_ended("partitions", 0, 0)

    with Transaction.of_tenant(resources.database, run.schema) as tx:
        replaced = replace_costs(tx, run=run, resources=resources, facts=facts, engine_opened=engine_opened)
        rows_read, written = replaced.rows_read, replaced.rows_written
        step_ended("write_costs", rows_read, written)

        are_gpus_distributed = distribute_gpus(
            tx, run=run, resources=resources, facts=facts, engine_opened=engine_opened, today=today
        )
        step_ended("distribute_gpu", rows_read, written)

        changed = run.month if are_gpus_distributed else run.days
        if are_gpus_distributed or not replaced.are_tables_filled:
            writer.fill_ui_tables(tx, provider_uuid=run.provider_uuid, days=changed)
        refresh_gpus_and_machines(
            tx, run=run, resources=resources, facts=facts, days=changed, engine_opened=engine_opened
        )
        cost_writer.stamp_costs(tx, facts.summary.cluster)
        step_ended("write_tables", rows_read, written)
        assert_held(tx, run.fence)
    step_ended("commit", rows_read, written)

    with Transaction.of_tenant(resources.database, run.schema) as tx:
        if replaced.month_costs is not None and not are_gpus_distributed:
            month_summary.fold_costs(tx, provider_uuid=run.provider_uuid, month=run.month, costs=replaced.month_costs)
        else:
            month_summary.fold_month(tx, provider_uuid=run.provider_uuid, month=run.month)
        assert_held(tx, run.fence)
    step_ended("fold_month", rows_read, written)
    return Outcome(rows_read=rows_read, rows_written=written)


def is_without_costs(run: SummaryRun, resources: Resources, facts: CostFacts) -> bool:
    """Whether the source has no rates, no raw cost and no costs of earlier runs: then there is nothing to do.

    Most sources have no cost model at first, and an upload should not wait for one.
    """
    cluster = facts.summary.cluster
    with Transaction.of_tenant(resources.database, run.schema) as tx:
        if cost_writer.has_cost_rows(tx, cluster=cluster, days=run.month):
            return False
        if cost_writer.read_cloud_rows(tx, cluster=cluster, days=run.days).num_rows:
            return False
        cost_writer.stamp_without_costs(tx, cluster)
        assert_held(tx, run.fence)
        return True


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """What became of the costs of a range."""

    rows_read: int
    rows_written: int
    are_tables_filled: bool
    """Whether the UI tables have the new costs already."""
    month_costs: pa.Table | None
    """The costs of the month, folded, if nothing else in it changes."""


def replace_costs(
    tx: Transaction,
    *,
    run: SummaryRun,
    resources: Resources,
    facts: CostFacts,
    engine_opened: Callable[[Engine], None],
) -> Replaced:
    """Rates, markup and distribution of the range but for GPUs."""
    cluster, model = facts.summary.cluster, facts.model
    cloud = cost_writer.read_cloud_rows(tx, cluster=cluster, days=cloud_days(run, facts))
    inputs, written = Inputs(run=run, resources=resources, facts=facts), 0
    rounds = list(inputs.rounds())
    is_alone = not cloud.num_rows  # else markup changes rows of the UI tables that are not costs of the model
    are_many = is_alone and inputs.rows >= resources.many_rows
    is_folded = are_many and month_summary.is_folded(tx, cluster=cluster, month=run.month, days=run.days)
    folded: list[pa.Table] = []
    for days in rounds:
        with resources.engines.lend() as engine:
            engine_opened(engine)
            with cost_writer.deleting_costs(tx, cluster=cluster, days=days):
                costs = compute(inputs.open(engine, days=days, cloud=cloud), days=days, facts=facts)
            if are_many:
                rows = write_many(tx, engine, run=run, days=days, facts=facts, costs=costs)
                written += rows.count()
                folded += [month_summary.month_costs(engine, rows)] if is_folded else []
            else:
                written += write_few(tx, engine, facts=facts, costs=costs)
    if model.markup is not None:
        cost_writer.set_markup(tx, cluster=cluster, days=run.days, factor=model.markup)
    return Replaced(
        rows_read=inputs.rows,
        rows_written=written,
        are_tables_filled=are_many,
        month_costs=folded_again(resources, folded) if is_folded else None,
    )


def folded_again(resources: Resources, parts: list[pa.Table]) -> pa.Table:
    """Parts of a month, each folded, as one."""
    if len(parts) == 1:
        return parts[0]
    with resources.engines.lend() as engine:
        return month_summary.month_costs(engine, engine.table(pa.concat_tables(parts)))


def write_few(tx: Transaction, engine: Engine, *, facts: CostFacts, costs: Costs) -> int:
    """Add cost rows and what explains them; how many rows."""
    return cost_writer.write_costs(
        tx,
        rows=cost_rows(engine, facts=facts, costs=costs),
        explained=explained_costs(engine, facts=facts, costs=costs),
    )


def write_many(
    tx: Transaction, engine: Engine, *, run: SummaryRun, days: DayRange, facts: CostFacts, costs: Costs
) -> Relation:
    """The same and the UI tables too, with one core computing what comes next while another one serves PostgreSQL.

    The rows.
    """
    parts = []
    with writer.adding_rows(tx) as adding:
        adding.add(explained_costs(engine, facts=facts, costs=costs), cost_writer.EXPLAINED)
        for part in writer.parts_of(costs.count(), rows_each=PART_ROWS):
            parts.append(cost_rows(engine, facts=facts, costs=costs, part=part))
            adding.add(parts[-1])
        rows = writer.all_of(engine, parts)
        ui_rows = cost_writer.ui_costs(engine, rows)
    writer.copy_ui_costs(tx, provider_uuid=run.provider_uuid, days=days, rows=ui_rows)
    return rows


def cost_rows(engine: Engine, *, facts: CostFacts, costs: Costs, part: writer.Part = writer.WHOLE) -> Relation:
    """The cost rows, or a part of them."""
    return cost_writer.cost_rows(
        engine,
        facts=facts,
        usage_rows=costs.usage_rows,
        charges=costs.charges,
        distributed=costs.distributed,
        part=part,
    )


def explained_costs(engine: Engine, *, facts: CostFacts, costs: Costs) -> Relation:
    """The lines that explain the cost rows."""
    return cost_writer.explained_costs(
        engine,
        facts=facts,
        usage_quantities=costs.usage_quantities,
        charges=costs.charges,
        distributed=costs.distributed,
    )


# ------------------------------------------------------------------------------------------------------------ reading


def cloud_days(run: SummaryRun, facts: CostFacts) -> DayRange:
    """The days whose cloud rows are read: machines take labels from their last day, which may be any of the month."""
    return run.month if facts.model.rates.families() & set(MACHINES) else run.days


@dataclass(kw_only=True)
class Inputs:
    """Opens what the rounds of one run read."""

    run: SummaryRun
    resources: Resources
    facts: CostFacts
    rows: int = 0
    """Summary rows of the rounds so far."""

    def rounds(self) -> Iterator[DayRange]:
        """The range in parts of whole days with not too many rows; every day is in one part."""
        start, rows = self.run.days.start, 0
        for day in self.run.days:
            found = self._rows_of(day)
            self.rows += found
            if rows and rows + found > ROWS_AT_ONCE:
                yield DayRange(start, day - timedelta(days=1))
                start, rows = day, 0
            rows += found
        yield DayRange(start, self.run.days.end)

    def open(self, engine: Engine, *, days: DayRange, cloud: pa.Table) -> Given:
        """What the rates of the model need of these days; what no rate needs is empty."""
        rates = self.facts.model.rates
        families = rates.families()
        kinds: set[Kind] = set()
        if families & set(MACHINES):
            kinds |= {line_items.VM_USAGE_HOURLY}
        if Family.GPU in families:
            kinds |= {line_items.GPU_USAGE_DAILY, line_items.NODE_LABELS_HOURLY}
        if Family.PROJECT in families:
            kinds |= {line_items.NAMESPACE_LABELS_DAILY}
        opened = self.line_items(engine, kinds)
        machine_days, machine_places = self._machines(engine, opened, days=days)
        seen_last = set(machine_places.to_arrow()["day"].to_pylist())
        return Given(
            summary=open_summary(engine, self.resources.objects, self.run.source, days),
            cloud=engine.table(cloud),
            machine_days=machine_days,
            machine_places=machine_places,
            machine_summary=open_summary(engine, self.resources.objects, self.run.source, sorted(seen_last)),
            gpu_daily=read_gpus(opened.get(line_items.GPU_USAGE_DAILY), engine, days=days),
            gpu_node_hours=read_gpu_nodes(opened.get(line_items.NODE_LABELS_HOURLY), engine, days=days),
            namespace_labels_daily=opened.get(line_items.NAMESPACE_LABELS_DAILY)
            or engine.table(line_items.NAMESPACE_LABELS_DAILY.schema.empty_table()),
        )

    def line_items(self, engine: Engine, kinds: Iterable[Kind]) -> dict[Kind, Relation]:
        """The line items of the whole month."""
        wanted = list(kinds)
        if not wanted:
            return {}
        keys = self._keys(wanted)
        return {kind: open_dataset(engine, self.resources.objects, kind.schema, keys[kind]) for kind in wanted}

    def _keys(self, kinds: list[Kind]) -> dict[Kind, list[str]]:
        return select_objects(
            self.resources.objects,
            source=self.run.source,
            kinds=kinds,
            days=self.run.month,
            visible=read_visible(self.resources.database, provider_uuid=self.run.provider_uuid, days=self.run.month),
        )

    def _machines(
        self, engine: Engine, opened: Mapping[Kind, Relation], *, days: DayRange
    ) -> tuple[Relation, Relation]:
        report = opened.get(line_items.VM_USAGE_HOURLY)
        if report is None:
            empty = (shapes.MACHINE_DAYS.empty_table(), shapes.MACHINE_PLACES.empty_table())
            return engine.table(empty[0]), engine.table(empty[1])
        kind = line_items.POD_LABELS_HOURLY
        return seen_machines(
            report, days=days, month=self.run.month, pods=lambda: self.line_items(engine, [kind])[kind]
        )

    def _rows_of(self, day: date) -> int:
        return rows_in(self.resources.objects, summary_key(self.run.source, day))


def seen_machines(
    report: Relation, *, days: DayRange, month: DayRange, pods: Callable[[], Relation]
) -> tuple[Relation, Relation]:
    """Days and places of machines: from their report, else hours from the pods that carry their names."""
    places = machines.machine_places(report, month)
    if places.count():
        return machines.machine_days(report, days), places
    return machines.machine_pod_days(pods(), days), report.engine.table(shapes.MACHINE_PLACES.empty_table())


def open_summary(engine: Engine, objects: ObjectStore, source: Source, days: Iterable[date]) -> Relation:
    """The daily summary of some days as one relation; a day without an object has no rows."""
    keys = [key for day in days if objects.exists(key := summary_key(source, day))]
    return open_dataset(engine, objects, shapes.SUMMARY, keys)


def read_gpus(gpu_usage_daily: Relation | None, engine: Engine, *, days: DayRange) -> Relation:
    """The GPU items of some days."""
    items = gpu_usage_daily or engine.table(line_items.GPU_USAGE_DAILY.schema.empty_table())
    return engine.compute(statement("read_gpu_daily"), bounds(days), gpu_usage_daily=items)


def read_gpu_nodes(node_labels_hourly: Relation | None, engine: Engine, *, days: DayRange) -> Relation:
    """The hours of node labels of some days."""
    hours = node_labels_hourly or engine.table(line_items.NODE_LABELS_HOURLY.schema.empty_table())
    return gpus.gpu_node_hours(hours, days)


# ---------------------------------------------------------------------------------------------------------- computing


def compute(given: Given, *, days: DayRange, facts: CostFacts) -> Costs:
    """All costs of some days but for the distribution of GPUs. Pure: reads relations, makes relations."""
    model = facts.model
    base = base_of(given.summary, cloud=given.cloud, days=days, facts=facts)
    usage_rows, usage_quantities = usage_costs(base, model=model)  # §5
    charges = rate_charges(given, base=base, days=days, facts=facts)  # §6–§8
    distributed = distribute(
        base=base, usage_rows=usage_rows, charges=charges, model=model, platform=facts.platform_category
    )  # §10
    return Costs(
        usage_rows=usage_rows,
        usage_quantities=usage_quantities,
        charges=charges,
        distributed=distributed,
        base=base,
    )


def base_of(summary: Relation, *, cloud: Relation, days: DayRange, facts: CostFacts) -> Relation:
    """Base rows under the labels that are stored (§2)."""
    mapped = base_steps.mapped_labels(summary, facts.summary.tag_mapping, days)
    return base_steps.base_rows(
        summary=summary,
        cloud=cloud,
        mapped=mapped,
        days=days,
        weight=facts.model.distribution.weight,
        markup=facts.model.markup,
    )


def usage_costs(base: Relation, *, model: CostModel) -> tuple[Relation, Relation]:
    """The rows of usage rates and the quantities behind them."""
    engine, rates, weight = base.engine, model.rates.usage_table(), model.distribution.weight
    if not rates.num_rows:
        return engine.table(shapes.USAGE_ROWS.empty_table()), engine.table(shapes.USAGE_QUANTITIES.empty_table())
    groups = usage.usage_groups(base, weight=weight)
    totals = engine.table(model.rates.totals_table(Family.USAGE))
    return (
        usage.usage_rows(groups, engine.table(rates), weight=weight),
        usage.usage_quantities(groups, totals),
    )


def rate_charges(given: Given, *, base: Relation, days: DayRange, facts: CostFacts) -> Relation:
    """Everything that is charged one rate at a time."""
    engine, rates = base.engine, facts.model.rates
    weight, days_in_month = facts.model.distribution.weight, Month.of(days.start).days
    nothing = engine.table(shapes.CHARGES.empty_table())
    found = dict.fromkeys(CHARGED, nothing)

    label_rates = None
    by_label = rates.tag_table(BY_LABEL)
    if by_label.num_rows:
        label_rates = tagged.label_rates(
            base=base, tag_rates=engine.table(by_label), metrics=engine.table(metrics_table())
        )
        found["tag_usage_charges"] = tagged.tag_usage_charges(base, label_rates)
    replaced = label_rates or engine.table(REPLACED.empty_table())

    monthly_nodes = rates.monthly_table(*NODE_MONTHS)
    if monthly_nodes.num_rows or label_rates:
        groups = monthly.node_groups(base)
        found["node_charges"] = monthly.node_charges(
            groups, engine.table(monthly_nodes), replaced, weight=weight, days_in_month=days_in_month
        )
        if label_rates:
            found["tag_node_charges"] = tagged.tag_node_charges(
                node_groups=groups,
                label_rates=label_rates,
                stored_nodes=engine.table(facts.summary.stored_nodes),
                category_patterns=engine.table(facts.summary.category_patterns),
                weight=weight,
                days_in_month=days_in_month,
            )

    monthly_claims = rates.monthly_table(*CLAIM_MONTHS)
    if monthly_claims.num_rows or label_rates:
        claims = monthly.claim_groups(base)
        found["claim_charges"] = monthly.claim_charges(
            base=base,
            claim_groups=claims,
            monthly_rates=engine.table(monthly_claims),
            replaced=replaced,
            days_in_month=days_in_month,
        )
        if label_rates:
            found["tag_claim_charges"] = tagged.tag_claim_charges(
                base=base, claim_groups=claims, label_rates=label_rates, days_in_month=days_in_month
            )

    if rates.families() & set(MACHINES):
        known = known_machines(given, base=base, facts=facts)
        found["machine_charges"] = machines.machine_charges(
            known,
            monthly_rates=engine.table(rates.monthly_table(Family.MACHINE_MONTH)),
            hourly_rates=engine.table(rates.totals_table(Family.MACHINE_HOUR)),
            days_in_month=days_in_month,
        )
        if label_rates:
            found["tag_machine_charges"] = machines.tag_machine_charges(
                known, label_rates=label_rates, tag_rates=engine.table(by_label), days_in_month=days_in_month
            )

    of_projects = rates.tag_table([Family.PROJECT])
    if of_projects.num_rows:
        found["project_charges"] = projects.project_charges(
            base=base,
            namespace_labels_daily=given.namespace_labels_daily,
            project_rates=engine.table(of_projects),
            days=days,
            days_in_month=days_in_month,
        )

    of_gpus = rates.tag_table([Family.GPU])
    if of_gpus.num_rows:
        found["gpu_charges"] = gpus.gpu_charges(
            gpu_daily=given.gpu_daily,
            gpu_node_hours=given.gpu_node_hours,
            gpu_rates=engine.table(of_gpus),
            category_patterns=engine.table(facts.summary.category_patterns),
            days_in_month=days_in_month,
        )
    return engine.view(statement("costs/charges"), nothing=nothing, **found)


CHARGED = (
    "node_charges",
    "claim_charges",
    "tag_usage_charges",
    "tag_node_charges",
    "tag_claim_charges",
    "machine_charges",
    "tag_machine_charges",
    "project_charges",
    "gpu_charges",
)
REPLACED = pa.schema([("labels", pa.string()), ("metric", pa.string()), ("cost_type", pa.string())])


def known_machines(given: Given, *, base: Relation, facts: CostFacts) -> machines.Machines:
    """The machines of some days, with the labels of their latest day in the month."""
    groups = machines.machine_groups(base)
    days = given.machine_places.to_arrow()["day"].to_pylist()
    if days:
        last_days = DayRange(min(days), max(days))
        labelled = machines.machine_groups(
            base_of(given.machine_summary, cloud=given.cloud, days=last_days, facts=facts)
        )
    else:
        labelled = groups
    return machines.Machines(
        groups=groups,
        days=given.machine_days,
        places=given.machine_places,
        labels=machines.machine_labels(labelled, given.machine_places),
    )


def distribute(
    *, base: Relation, usage_rows: Relation, charges: Relation, model: CostModel, platform: int | None
) -> Relation:
    """What is handed on but for GPUs; the kinds do not depend on each other."""
    engine, wanted = base.engine, model.distribution
    nothing = engine.table(shapes.DISTRIBUTED.empty_table())
    if not (wanted.platform or wanted.worker or wanted.storage or wanted.network):
        return nothing
    days = distribution.project_days(base=base, usage_rows=usage_rows, charges=charges, platform=platform)
    return engine.compute(
        statement("costs/distributed"),
        nothing=nothing,
        platform=distribution.distribute_platform(days) if wanted.platform else nothing,
        worker=distribution.distribute_worker(days) if wanted.worker else nothing,
        storage=distribution.distribute_storage(days) if wanted.storage else nothing,
        network=distribution.distribute_network(days) if wanted.network else nothing,
    )


# --------------------------------------------------------------------------------------------------------------- GPUs


def is_second_of(days: DayRange, today: date) -> bool:
    """Whether a run over these days also looks after the GPUs of the month before."""
    return today.day == SECOND and Month.of(days.start) == Month.of(today)


def distribute_gpus(
    tx: Transaction,
    *,
    run: SummaryRun,
    resources: Resources,
    facts: CostFacts,
    engine_opened: Callable[[Engine], None],
    today: date,
) -> bool:
    """Distribute the GPUs of a past month as a whole; whether there are or were any.

    The current month waits until it is over (cost-models §10).
    """
    if Month.of(run.days.start) >= Month.of(today):
        return False
    cluster = facts.summary.cluster
    had_some = cost_writer.has_gpu_distribution(tx, cluster=cluster, month=run.month)
    if had_some:
        cost_writer.delete_gpu_distribution(tx, cluster=cluster, month=run.month)
    has_some = False
    if facts.model.distribution.gpu:
        has_some = write_gpu_distribution(tx, run=run, resources=resources, facts=facts, engine_opened=engine_opened)
    return had_some or has_some


def write_gpu_distribution(
    tx: Transaction,
    *,
    run: SummaryRun,
    resources: Resources,
    facts: CostFacts,
    engine_opened: Callable[[Engine], None],
) -> bool:
    """Hand on what idle GPUs of the run's month cost; whether there was anything."""
    unallocated = cost_writer.read_unallocated_gpus(tx, cluster=facts.summary.cluster, month=run.month)
    if not unallocated.num_rows:
        return False
    with resources.engines.lend() as engine:
        engine_opened(engine)
        inputs = Inputs(run=run, resources=resources, facts=facts)
        items = inputs.line_items(engine, [line_items.GPU_USAGE_DAILY])[line_items.GPU_USAGE_DAILY]
        handed_on = gpus.distribute_gpu(read_gpus(items, engine, days=run.month), engine.table(unallocated))
        distributed = engine.compute(
            statement("costs/distributed"),
            platform=engine.table(shapes.DISTRIBUTED.empty_table()),
            worker=engine.table(shapes.DISTRIBUTED.empty_table()),
            storage=engine.table(shapes.DISTRIBUTED.empty_table()),
            network=engine.table(shapes.DISTRIBUTED.empty_table()),
            nothing=handed_on,
        )
        write_few(tx, engine, facts=facts, costs=only_distributed(engine, distributed))
    return True


def only_distributed(engine: Engine, distributed: Relation) -> Costs:
    return Costs(
        usage_rows=engine.table(shapes.USAGE_ROWS.empty_table()),
        usage_quantities=engine.table(shapes.USAGE_QUANTITIES.empty_table()),
        charges=engine.table(shapes.CHARGES.empty_table()),
        distributed=distributed,
        base=distributed,
    )


def distribute_previous_month(
    run: SummaryRun, resources: Resources, engine_opened: Callable[[Engine], None], *, today: date
) -> None:
    """On the second of a month: distribute the GPUs of the month before, unless that is done (cost-models §10)."""
    month = Month.of(today).plus(-1)
    previous = replace(run, days=DayRange(month.first, month.last))
    facts = read_cost_facts(resources.database, schema=run.schema, provider_uuid=run.provider_uuid, days=previous.days)
    if facts is None or not facts.model.distribution.gpu:
        return
    with Transaction.of_tenant(resources.database, run.schema) as tx:
        if cost_writer.has_gpu_distribution(tx, cluster=facts.summary.cluster, month=previous.days):
            return
        if not write_gpu_distribution(tx, run=previous, resources=resources, facts=facts, engine_opened=engine_opened):
            return
        writer.fill_ui_tables(tx, provider_uuid=run.provider_uuid, days=previous.days)
        refresh_gpus_and_machines(
            tx, run=previous, resources=resources, facts=facts, days=previous.days, engine_opened=engine_opened
        )
        cost_writer.stamp_costs(tx, facts.summary.cluster)
        month_summary.fold_month(tx, provider_uuid=run.provider_uuid, month=previous.days)
        assert_held(tx, run.fence)


# ------------------------------------------------------------------------------------------------------------- tables


def refresh_gpus_and_machines(
    tx: Transaction,
    *,
    run: SummaryRun,
    resources: Resources,
    facts: CostFacts,
    days: DayRange,
    engine_opened: Callable[[Engine], None],
) -> None:
    """Fill the tables of GPUs and, for the whole month, of machines anew (ocp-pipeline §10.3, §10.4)."""
    cluster = facts.summary.cluster
    with resources.engines.lend() as engine:
        engine_opened(engine)
        gpu_rows = unpriced_gpus(engine, run=run, resources=resources, facts=facts, days=days)
        writer.fill_gpu_table(tx, cluster=cluster, days=days, gpu_rows=gpu_rows)
        if vm_table.has_machines(tx, cluster=cluster, month=run.month):
            report = monthly_report(engine, run, resources)
            vm_table.fill_vm_table(tx, cluster=cluster, month=run.month, report=report)


def unpriced_gpus(
    engine: Engine, *, run: SummaryRun, resources: Resources, facts: CostFacts, days: DayRange
) -> pa.Table:
    """The rows of the GPU table without a GPU rate; with one they come from the costs."""
    inputs = Inputs(run=run, resources=resources, facts=facts)
    items = inputs.line_items(engine, [line_items.GPU_USAGE_DAILY])[line_items.GPU_USAGE_DAILY]
    gpu_daily = read_gpus(items, engine, days=days)
    categories = engine.compute(
        statement("costs/gpu_categories"),
        gpu_daily=gpu_daily,
        category_patterns=engine.table(facts.summary.category_patterns),
    )
    return gpu_table.gpu_rows(gpu_daily=gpu_daily, namespace_categories=categories).to_arrow()
