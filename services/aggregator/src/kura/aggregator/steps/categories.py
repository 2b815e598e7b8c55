"""Cost categories of namespaces (ocp-pipeline §5)."""

from __future__ import annotations

from kura.aggregator.engine import Relation, statement
from kura.aggregator.steps.reading import Given

UNALLOCATED_NAMESPACES = ["Platform unallocated", "Worker unallocated"]


def namespace_categories(given: Given, category_patterns: Relation) -> Relation:
    """The cost category of every namespace that has one.

    In      namespaces of pods, storage and GPUs and the two names of unallocated capacity;
            pattern, cost_category_id
    Out     namespace, cost_category_id; one row per namespace that some pattern matches
    Rule    SQL LIKE without escape, case-sensitive; of several matches the largest id, without multiplying (P4)
    Errors  none
    Source  ocp-pipeline §5, decisions P4, 25, 29; example E8
    """
    return category_patterns.engine.compute(
        statement("namespace_categories"),
        {"further": UNALLOCATED_NAMESPACES},
        pod_daily=given.pod_daily,
        storage_daily=given.storage_daily,
        gpu_daily=given.gpu_daily,
        category_patterns=category_patterns,
    )
