"""The daily summary folded by month, which answers reports on whole months by any key or label.

Folding reads the whole month, so it is a transaction of its own after the days have become visible. Whoever changes
days stamps the report period; a fold stamps it too. Readers use a folded month only if its fold is the later stamp, so
until it is committed, questions about the month are answered from the days.
"""

from __future__ import annotations

from uuid import UUID

from kura.aggregator.postgresql import postgresql_statement
from kura.aggregator.transaction import Transaction
from kura.core.days import DayRange


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
