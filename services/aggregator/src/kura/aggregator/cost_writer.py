"""Puts the costs of a range into PostgreSQL: what was there goes, what is computed comes, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import pyarrow as pa

from kura.aggregator.cost_facts import CostFacts
from kura.aggregator.engine import Engine, Relation, statement
from kura.aggregator.metrics import metrics_table
from kura.aggregator.postgresql import postgresql_statement
from kura.aggregator.steps.costs import shapes
from kura.aggregator.store import Cluster
from kura.aggregator.transaction import Transaction
from kura.aggregator.writer import (
    DAILY_SUMMARY,
    WHOLE,
    Part,
    UiRows,
    beside,
    delete_lines,
    ui_rows_of,
    with_random_uuids,
)
from kura.core.days import DayRange
from kura.store.tables import tenant

EXPLAINED = tenant.RATES_TO_USAGE.name


def cost_rows(
    engine: Engine,
    *,
    facts: CostFacts,
    usage_rows: Relation,
    charges: Relation,
    distributed: Relation,
    part: Part = WHOLE,
) -> Relation:
    """The cost rows as PostgreSQL takes them: all, computed while they are read, or a part, kept and shared.

    In      usage rows, charges and distributed rows with doubles
    Out     the columns of reporting_ocpusagelineitem_daily_summary that costs set
    Rule    a charge costs quantity times rate; distributed amounts of 0 are not written; rows of one project and node
            are in one part
    Errors  InvalidData for NaN, infinity and |x| ≥ 1e18
    Source  cost-models §1, §10
    """
    make = engine.view if part == WHOLE else engine.compute_shared
    return make(
        statement("costs/cost_rows"),
        usage_rows=usage_rows,
        charges=charges,
        distributed=distributed,
        constants=_constants(engine, facts, part),
    )


def ui_costs(engine: Engine, rows: Relation) -> UiRows:
    """What the UI tables make of cost rows; days and types of cost have rows of their own there.

    In      cost rows, complete for their days
    Out     per UI table, its rows that have a type of cost
    Rule    as PostgreSQL would fill them from the daily summary; rows that no UI table keeps apart are added up first
    Errors  none
    Source  ocp-pipeline §10.1, §10.2
    """
    return ui_rows_of(engine, engine.compute(statement("costs/daily_costs"), cost_rows=rows))


def explained_costs(
    engine: Engine, *, facts: CostFacts, usage_quantities: Relation, charges: Relation, distributed: Relation
) -> Relation:
    """Which rate made how much of the cost of a project on a node and day; kept and shared.

    In      quantities of usage metrics, charges, distributed rows
    Out     the columns of rates_to_usage that Kura sets
    Rule    one line per rate, project, node; it lists its days and what each of them has, unless it has only one; the
            sum over rates is that of the cost rows; cost = quantity × unit rate, distributed cost = share × pool
    Errors  InvalidData for NaN, infinity and |x| ≥ 1e18
    Source  cost-models §13
    """
    return engine.compute_shared(
        statement("costs/explained_costs"),
        usage_quantities=usage_quantities,
        charges=charges,
        distributed=distributed,
        tiered_rates=engine.table(facts.model.rates.tiered_table()),
        metrics=engine.table(metrics_table()),
        constants=_constants(engine, facts),
    )


def _constants(engine: Engine, facts: CostFacts, part: Part = WHOLE) -> Relation:
    cluster, model = facts.summary.cluster, facts.model
    return engine.table(
        pa.table(
            {
                "report_period_id": pa.array([cluster.report_period_id], pa.int32()),
                "cluster_id": [cluster.cluster_id],
                "cluster_alias": pa.array([cluster.cluster_alias], pa.string()),
                "source_uuid": pa.array([cluster.provider_uuid.bytes], pa.binary()),
                "cost_model_id": pa.array([model.uuid.bytes if model.uuid else None], pa.binary()),
                "price_list_id": pa.array(
                    [model.rates.price_list_id.bytes if model.rates.price_list_id else None], pa.binary()
                ),
                "part": [part.number],
                "parts": [part.parts],
            }
        )
    )


def read_cloud_rows(tx: Transaction, *, cluster: Cluster, days: DayRange) -> pa.Table:
    """The base rows that carry cloud cost (cost-models §2)."""
    found = tx.table(postgresql_statement("cloud_rows"), cluster.report_period_id, days.start, days.end)
    return found.select(shapes.CLOUD.names).cast(shapes.CLOUD)


def has_cost_rows(tx: Transaction, *, cluster: Cluster, days: DayRange) -> bool:
    """Whether an earlier run left costs in the range."""
    found = tx.rows(postgresql_statement("cost_rows_present"), cluster.report_period_id, days.start, days.end)
    return bool(found[0][0])


@contextmanager
def deleting_costs(tx: Transaction, *, cluster: Cluster, days: DayRange) -> Iterator[None]:
    """Delete what every writer of costs would replace (cost-models §11), while the block computes what replaces it.

    The distribution of GPUs has rules of its own. The transaction is not for the block.
    """

    def delete() -> None:
        tx.run(postgresql_statement("delete_cost_rows"), cluster.report_period_id, days.start, days.end)
        delete_lines(tx, cluster=cluster, days=days, of_gpus=False)

    with beside(delete):
        yield


def write_costs(tx: Transaction, *, rows: Relation, explained: Relation) -> int:
    """Add the cost rows of some days and the lines that explain them; how many rows."""
    tx.copy(EXPLAINED, with_random_uuids(explained.to_reader()))
    return tx.copy(DAILY_SUMMARY, with_random_uuids(rows.to_reader()))


def set_markup(tx: Transaction, *, cluster: Cluster, days: DayRange, factor: float) -> None:
    """Markup on raw cost, in place (cost-models §9). Rows without raw cost have none."""
    tx.run(
        postgresql_statement("set_markup"),
        cluster.report_period_id,
        days.start,
        days.end,
        str(Decimal(repr(factor))),
    )


def delete_gpu_distribution(tx: Transaction, *, cluster: Cluster, month: DayRange) -> None:
    scope = (cluster.report_period_id, month.start, month.end)
    tx.run(postgresql_statement("delete_gpu_distribution"), *scope)
    tx.run(postgresql_statement("delete_explained_gpu_distribution"), *scope)


def has_gpu_distribution(tx: Transaction, *, cluster: Cluster, month: DayRange) -> bool:
    found = tx.rows(postgresql_statement("gpu_distribution_present"), cluster.report_period_id, month.start, month.end)
    return bool(found[0][0])


def read_unallocated_gpus(tx: Transaction, *, cluster: Cluster, month: DayRange) -> pa.Table:
    """What idle GPUs cost, as this transaction sees it."""
    found = tx.table(postgresql_statement("unallocated_gpus"), cluster.report_period_id, month.start, month.end)
    return found.cast(shapes.UNALLOCATED_GPUS)


def stamp_costs(tx: Transaction, cluster: Cluster) -> None:
    """Note that the period has its costs."""
    tx.run(postgresql_statement("stamp_costs"), cluster.report_period_id)


def stamp_without_costs(tx: Transaction, cluster: Cluster) -> None:
    """Note that the period needs no costs beyond those of its summary."""
    tx.run(postgresql_statement("stamp_without_costs"), cluster.report_period_id)
