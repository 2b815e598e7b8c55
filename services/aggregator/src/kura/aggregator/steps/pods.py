"""Summary rows of pods and of what no pod used (ocp-pipeline §5, §6)."""

from __future__ import annotations

from kura.aggregator.engine import Relation, statement


def pod_rows(
    *,
    pod_daily: Relation,
    filtered_labels: Relation,
    node_label_sets: Relation,
    namespace_label_sets: Relation,
    node_capacity: Relation,
    cluster_capacity: Relation,
    namespace_categories: Relation,
) -> Relation:
    """The Pod rows of the range.

    In      pod rows by day and pod; filtered label texts, NL, NS; capacities by node and day, and by day; categories
    Out     one row per (usage_start, namespace, node, pod_labels): usage, request, effective usage, limit
            [core·h, GiB·h], capacities, resource_id, cost_category_id
    Rule    rows without node are left out; each row counts in full for every label set of its node and of its
            namespace (fan-out, P3); namespace labels win over node labels, pod labels over both; sums are exact, so
            that a second run gives the same digits
    Errors  InvalidData when a label text is not JSON
    Source  ocp-pipeline §3, §4, §5, decisions P3, P4, P5, P11, 14, 18, 19, 20; examples E1, E2, E4, E9
    """
    return pod_daily.engine.compute(
        statement("pod_rows"),
        pod_daily=pod_daily,
        filtered_labels=filtered_labels,
        node_label_sets=node_label_sets,
        namespace_label_sets=namespace_label_sets,
        node_capacity=node_capacity,
        cluster_capacity=cluster_capacity,
        namespace_categories=namespace_categories,
    )


def unallocated_rows(*, pod_rows: Relation, node_roles: Relation, namespace_categories: Relation) -> Relation:
    """What is left of every node.

    In      Pod rows of the range, not rounded; node, resource_id, node_role of the whole inventory; categories
    Out     one row per (usage_start, node): capacity − Σ usage, request and effective usage [core·h, GiB·h]
    Rule    namespace by role: master and infra are `Platform unallocated`, worker is `Worker unallocated`, any other
            or none is null; negative results are kept; no capacity, no result (P5)
    Errors  none
    Source  ocp-pipeline §6, decisions 26–29; example E3
    """
    return pod_rows.engine.compute(
        statement("unallocated_rows"),
        pod_rows=pod_rows,
        node_roles=node_roles,
        namespace_categories=namespace_categories,
    )
