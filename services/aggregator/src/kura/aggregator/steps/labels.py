"""Labels: which keys count, and what a node and a namespace pass on to their pods and volumes (ocp-pipeline §3)."""

from __future__ import annotations

from collections.abc import Iterable

from kura.aggregator.engine import Relation, statement
from kura.aggregator.steps.reading import Given

VIRTUAL_MACHINE_KEY = "vm_kubevirt_io_name"
"""Names the virtual machine a pod runs; counts whether enabled or not (decision P1)."""


def counted_keys(enabled_keys: Iterable[str]) -> list[str]:
    """K: the enabled OpenShift tag keys and the virtual machine's name (ocp-pipeline §3, decision P1)."""
    return sorted({VIRTUAL_MACHINE_KEY, *enabled_keys})


def filter_labels(given: Given, keys: list[str]) -> Relation:
    """Every distinct label text of the range, reduced to the keys that count.

    In      label texts (JSON) of pods, nodes, namespaces, volumes and claims; `keys` = K
    Out     label_text, labels: JSON text without spaces, keys sorted, so that equal maps are equal texts
    Rule    f(L) = L restricted to K; a row's text is looked up, never parsed again
    Errors  InvalidData when a text is not JSON
    Source  ocp-pipeline §3, decisions P1, 15, 16; example E1
    """
    return given.pod_daily.engine.compute(
        statement("filter_labels"),
        {"keys": keys},
        pod_daily=given.pod_daily,
        storage_daily=given.storage_daily,
        node_labels=given.node_labels,
        namespace_labels=given.namespace_labels,
    )


def node_label_sets(node_labels: Relation, filtered_labels: Relation) -> Relation:
    """NL: the label sets a node had on a day.

    In      day, node, node_labels; label_text, labels
    Out     day, node, labels; one row per distinct filtered label set
    Rule    filtered first, then made distinct: sets that differ only in keys that do not count collapse to one
    Errors  none
    Source  ocp-pipeline §3, decision P3; example E9
    """
    return node_labels.engine.compute(
        statement("node_label_sets"), node_labels=node_labels, filtered_labels=filtered_labels
    )


def namespace_label_sets(namespace_labels: Relation, filtered_labels: Relation) -> Relation:
    """NS: the label sets a namespace had on a day.

    In      day, namespace, namespace_labels; label_text, labels
    Out     day, namespace, labels; one row per distinct filtered label set
    Rule    as for nodes
    Errors  none
    Source  ocp-pipeline §3, decision P3
    """
    return namespace_labels.engine.compute(
        statement("namespace_label_sets"), namespace_labels=namespace_labels, filtered_labels=filtered_labels
    )


def fan_outs(*, node_label_sets: Relation, namespace_label_sets: Relation) -> Relation:
    """How often labels changed within a day, so that pods count once per label set.

    In      NL, NS
    Out     kind (`node` or `namespace`), changed: node-days or namespace-days with more than one label set
    Rule    over-counting is kept for parity (P3), but made visible
    Errors  none
    Source  ocp-pipeline §3, decision P3
    """
    return node_label_sets.engine.compute(
        statement("fan_outs"), node_label_sets=node_label_sets, namespace_label_sets=namespace_label_sets
    )
