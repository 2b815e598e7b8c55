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
