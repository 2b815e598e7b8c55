"""The daily summary: every row of a range in one shape (ocp-pipeline §12.1)."""

from __future__ import annotations

from typing import Final

from kura.aggregator.engine import Relation, statement

FEW_ROWS: Final = 20_000
"""So few rows are kept: to plan a statement again for each reader takes longer than to compute them."""


def summary_rows(*, pod_rows: Relation, unallocated_rows: Relation, storage_rows: Relation) -> Relation:
    """All rows of the daily summary.

    In      Pod rows, unallocated rows, Storage rows
    Out     their union, measures as doubles, labels as JSON text; `csi_volume_handle` is for the summary Parquet only
    Rule    unallocated rows have no labels of their own (`all_labels` = `{}`) and no usage cost object
    Errors  none
    Source  ocp-pipeline §3, §5–§7, decisions 22, 23, 28
    """
    engine = pod_rows.engine
    rows = pod_rows.count() + unallocated_rows.count() + storage_rows.count()
    make = engine.compute if rows < FEW_ROWS else engine.view
    return make(
        statement("summary_rows"),
        pod_rows=pod_rows,
        unallocated_rows=unallocated_rows,
        storage_rows=storage_rows,
    )


def stored_summary(summary_rows: Relation, constants: Relation) -> Relation:
    """The rows of the daily summary as they are kept in Parquet.

    In      all rows of the daily summary; one row: report_period_id, cluster_id, cluster_alias, source_uuid (text)
    Out     the same rows, each with its `usage_end` and the constants of the run
    Rule    whoever reads the Parquet of several clusters can tell them apart
    Errors  none
    Source  ocp-pipeline §9.3
    """
    engine = summary_rows.engine
    make = engine.compute if summary_rows.count() < FEW_ROWS else engine.view
    return make(statement("stored_summary"), summary=summary_rows, constants=constants)
