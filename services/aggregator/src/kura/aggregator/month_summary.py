"""The daily summary folded by month, which answers reports on whole months by any key or label.

Folding reads the whole month, so it is a transaction of its own after the days have become visible. Whoever changes
days stamps the report period; a fold stamps it too. Readers use a folded month only if its fold is the later stamp, so
until it is committed, questions about the month are answered from the days.

A run of costs over all days of a month that was folded has in the engine what changes: then that is not read again.
"""

from __future__ import annotations

from uuid import UUID

import pyarrow as pa

from kura.aggregator.engine import Engine, Relation, statement
from kura.aggregator.postgresql import postgresql_statement
from kura.aggregator.store import Cluster
from kura.aggregator.transaction import Transaction
from kura.core.days import DayRange
from kura.store.tables import tenant


def fold_month(tx: Transaction, *, provider_uuid: UUID, month: DayRange) -> None:
    """Make the rows of a source and month anew from all its daily rows.

    Rule    amounts are summed over days; every other column keeps rows apart, so that any question about the whole
            month has the same answer here as in the daily summary
    """
    source = str(provider_uuid)
    tx.rows(postgresql_statement("hold_period"), source, month.start, month.end)
    tx.run(postgresql_statement("delete_month_summary"), source, month.start)
    tx.run(postgresql_statement("fold_month"), source, month.start, month.end)
    tx.run(postgresql_statement("stamp_folded"), source, month.start, month.end)


def is_folded(tx: Transaction, *, cluster: Cluster, month: DayRange, days: DayRange) -> bool:
    """Whether the month of a source is folded as it is now, and has no rows outside some days."""
    scope = (cluster.report_period_id, month.start, month.end, days.start, days.end)
    return bool(tx.rows(postgresql_statement("is_month_folded"), *scope)[0][0])


def month_costs(engine: Engine, cost_rows: Relation) -> pa.Table:
    """Cost rows of a month, or parts of it that were folded before, as `fold_month` folds them.

    In      columns of the daily summary that costs set
    Out     columns of the folded month
    Rule    amounts are summed over days; every other column keeps rows apart
    Errors  none
    Source  docs/decisions/0013
    """
    return engine.view(statement("costs/month_costs"), cost_rows=cost_rows).to_arrow()


def fold_costs(tx: Transaction, *, provider_uuid: UUID, month: DayRange, costs: pa.Table) -> None:
    """Replace the costs in a month that is folded but for them."""
    source = str(provider_uuid)
    tx.rows(postgresql_statement("hold_period"), source, month.start, month.end)
    tx.run(postgresql_statement("delete_month_costs"), source, month.start)
    tx.copy(tenant.MONTH_SUMMARY.name, costs.to_reader())
    tx.run(postgresql_statement("stamp_folded"), source, month.start, month.end)
