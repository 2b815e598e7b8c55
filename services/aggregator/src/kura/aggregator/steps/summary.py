"""The daily summary: every row of a range in one shape (ocp-pipeline §12.1)."""

from __future__ import annotations

from kura.aggregator.engine import Relation, statement


def summary_rows(*, pod_rows: Relation, unallocated_rows: Relation, storage_rows: Relation) -> Relation:
    """All rows of the daily summary.

    In      Pod rows, unallocated rows, Storage rows
    Out     their union, measures as doubles, labels as JSON text; `csi_volume_handle` is for the summary Parquet only
    Rule    unallocated rows have no labels of their own (`all_labels` = `{}`) and no usage cost object
    Errors  none
    Source  ocp-pipeline §3, §5–§7, decisions 22, 23, 28
    """
    return pod_rows.engine.view(
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
    return summary_rows.engine.view(statement("stored_summary"), summary=summary_rows, constants=constants)
