"""GPUs without a price (ocp-pipeline §10.3, case B)."""

from __future__ import annotations

from kura.aggregator.engine import Relation, statement


def gpu_rows(*, gpu_daily: Relation, namespace_categories: Relation) -> Relation:
    """The rows of the GPU table for a source that has GPUs but no GPU rate.

    In      GPU rows by day; categories
    Out     one row per (usage_start, namespace, node, vendor, model, MIG profile, MIG instance, gpu_uuid);
            memory [GB, decimal]
    Rule    a profile or instance of `""` is none; the mode is `MIG` only with a profile (P6)
    Errors  none
    Source  ocp-pipeline §10.3, decision P6
    """
    return gpu_daily.engine.compute(
        statement("gpu_rows"), gpu_daily=gpu_daily, namespace_categories=namespace_categories
    )
