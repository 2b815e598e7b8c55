"""What a cost model would make of some days, beside what is stored: the steps of the cost pipeline, nothing written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any
from uuid import UUID

from kura.aggregator import cost_writer, line_items
from kura.aggregator.cost_facts import CostModel, read_cost_facts, with_model
from kura.aggregator.engine import Engine, statement
from kura.aggregator.pipelines import costs
from kura.aggregator.pipelines.openshift import Resources, SummaryRun
from kura.aggregator.postgresql import postgresql_statement
from kura.aggregator.steps.costs import gpus
from kura.aggregator.transaction import Transaction
from kura.core.days import DayRange, Month


@dataclass(frozen=True, kw_only=True)
class CostParts:
    """Costs of one project, or of several."""

    raw_cost: float = 0.0
    markup_cost: float = 0.0
    infrastructure_usage_cost: float = 0.0
    supplementary_usage_cost: float = 0.0
    platform_distributed: float = 0.0
    worker_distributed: float = 0.0
    unattributed_storage: float = 0.0
    unattributed_network: float = 0.0
    gpu_distributed: float = 0.0

    @property
    def total_cost(self) -> float:
        return float(sum(vars(self).values()))

    def __add__(self, other: CostParts) -> CostParts:
        return CostParts(**{name: value + getattr(other, name) for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class ProjectPreview:
    """One project of one source, as stored and under the other cost model."""

    provider_uuid: UUID
    namespace: str
    now: CostParts
    then: CostParts


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The answer."""

    projects: list[ProjectPreview]
    rows_read: int

    @property
    def now(self) -> CostParts:
        return sum((project.now for project in self.projects), CostParts())

    @property
    def then(self) -> CostParts:
        return sum((project.then for project in self.projects), CostParts())


ByNamespace = Mapping[str, CostParts]


def preview_costs(
    resources: Resources,
    *,
    schema: str,
    provider_uuids: Iterable[UUID],
    days: DayRange,
    model_on: Callable[[date], CostModel],
    today: date,
) -> Preview:
    """Compute the costs of every source, month by month, and read those that are stored.

    `model_on`: the cost model as it holds in the month of a day.
    """
    projects, rows_read = [], 0
    for provider_uuid in provider_uuids:
        run = SummaryRun(schema=schema, provider_uuid=provider_uuid, days=days)
        now, then = stored_costs(resources, run), defaultdict[str, CostParts](CostParts)
        for part in days.by_month():
            month = replace(run, days=part)
            rows_read += _add_month(then, month, resources, model=model_on(part.start), today=today)
        projects += [
            ProjectPreview(
                provider_uuid=provider_uuid,
                namespace=namespace,
                now=now.get(namespace, CostParts()),
                then=then.get(namespace, CostParts()),
            )
            for namespace in sorted({*now, *then})
        ]
    return Preview(projects=projects, rows_read=rows_read)


def stored_costs(resources: Resources, run: SummaryRun) -> ByNamespace:
    """What readers are told now."""
    with Transaction.of_tenant(resources.database, run.schema) as tx:
        found = tx.table(postgresql_statement("project_costs"), str(run.provider_uuid), run.days.start, run.days.end)
    return parts_by_namespace(found.to_pylist())


def parts_by_namespace(rows: Iterable[Mapping[str, Any]]) -> ByNamespace:
    names = [field.name for field in fields(CostParts)]
    return {row["namespace"]: CostParts(**{name: row[name] for name in names}) for row in rows}


def _add_month(
    then: defaultdict[str, CostParts], run: SummaryRun, resources: Resources, *, model: CostModel, today: date
) -> int:
    """Add the costs of days of one month; how many summary rows were read."""
    stored = read_cost_facts(resources.database, schema=run.schema, provider_uuid=run.provider_uuid, days=run.days)
    if stored is None:
        return 0
    facts = with_model(stored.summary, model=model, platform_category=stored.platform_category)
    with Transaction.of_tenant(resources.database, run.schema) as tx:
        cloud = cost_writer.read_cloud_rows(tx, cluster=facts.summary.cluster, days=costs.cloud_days(run, facts))
    inputs = costs.Inputs(run=run, resources=resources, facts=facts)
    hands_gpus_on = model.distribution.gpu and Month.of(run.days.start) < Month.of(today)
    for days in inputs.rounds():
        with resources.engines.lend() as engine:
            given = inputs.open(engine, days=days, cloud=cloud)
            found = costs.compute(given, days=days, facts=facts)
            for namespace, parts in project_costs(engine, found).items():
                then[namespace] += parts
            if hands_gpus_on:
                for namespace, cost in handed_on_gpus(engine, inputs, found=found, days=days).items():
                    then[namespace] += CostParts(gpu_distributed=cost)
    return inputs.rows


def project_costs(engine: Engine, found: costs.Costs) -> ByNamespace:
    """The parts of every project."""
    rows = engine.compute(
        statement("costs/project_costs"),
        base=found.base,
        usage_rows=found.usage_rows,
        charges=found.charges,
        distributed=found.distributed,
    )
    return parts_by_namespace(rows.to_pylist())


def handed_on_gpus(engine: Engine, inputs: costs.Inputs, *, found: costs.Costs, days: DayRange) -> Mapping[str, float]:
    """What each project gets of the cost of idle GPUs."""
    idle = engine.compute(statement("costs/idle_gpus"), charges=found.charges)
    if not idle.count():
        return {}
    items = inputs.line_items(engine, [line_items.GPU_USAGE_DAILY])[line_items.GPU_USAGE_DAILY]
    handed_on: defaultdict[str, float] = defaultdict(float)
    for row in gpus.distribute_gpu(costs.read_gpus(items, engine, days=days), idle).to_pylist():
        handed_on[row["namespace"]] += row["distributed_cost"]
    return handed_on
