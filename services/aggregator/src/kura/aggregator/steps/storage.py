"""Summary rows of storage (ocp-pipeline §7)."""

from __future__ import annotations

from kura.aggregator.engine import Relation, statement


def volume_nodes(*, storage_daily: Relation, pod_daily: Relation) -> Relation:
    """V: the nodes a volume was used on.

    In      storage rows by day, pod rows by day
    Out     distinct day, persistentvolumeclaim, persistentvolume, pod, namespace, node, resource_id
    Rule    the node is that of the pod of the same day; the storage report's own node does not count
    Errors  none
    Source  ocp-pipeline §7.1, decision 24
    """
    return storage_daily.engine.compute(statement("volume_nodes"), storage_daily=storage_daily, pod_daily=pod_daily)


def storage_rows(
    *,
    storage_daily: Relation,
    volume_nodes: Relation,
    filtered_labels: Relation,
    node_label_sets: Relation,
    namespace_label_sets: Relation,
    namespace_categories: Relation,
) -> Relation:
    """The Storage rows of the range.

    In      storage rows by day; V; filtered label texts, NL, NS; categories
    Out     one row per (usage_start, namespace, node, resource_id, claim, volume, storage class, CSI handle,
            volume_labels): capacity [GiB], capacity, request and usage [GiB·month]
    Rule    request and usage are divided by the number of nodes the volume was on, capacity is not; without a node
            the divisor is 1 (P2) and node and resource_id are null; month = days of the month of the day;
            labels: node, namespace, volume, claim, the later wins
    Errors  InvalidData when a label text is not JSON
    Source  ocp-pipeline §7.2, decisions P2, P3, 16, 21–25; examples E5, E6, E7
    """
    return storage_daily.engine.compute(
        statement("storage_rows"),
        storage_daily=storage_daily,
        volume_nodes=volume_nodes,
        filtered_labels=filtered_labels,
        node_label_sets=node_label_sets,
        namespace_label_sets=namespace_label_sets,
        namespace_categories=namespace_categories,
    )
