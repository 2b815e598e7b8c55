"""Days on which few rows would become very many (ocp-pipeline §3, §7).

A row counts once for every label set its node and its namespace had on a day, and a volume once for every node its pod
ran on. Of a real cluster these are a few; but they multiply, so that a file of some kilobytes could ask for more rows
than any disk holds. On a day that goes too far every node and namespace has one label set, and every claim one volume
and one node.
"""

from __future__ import annotations

from dataclasses import dataclass

from kura.aggregator.engine import Relation, statement

MOST_TIMES = 10
MOST_FURTHER_ROWS = 10_000
"""A day may become so many times as many rows as it has, and so many more, whatever range it is summarised in.

A node and a namespace that change their labels every hour make 576 rows of one."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What is joined to pods and volumes: label sets, and where volumes may be."""

    node_label_sets: Relation
    namespace_label_sets: Relation
    pods: Relation
    volumes: Relation


def settled(
    *,
    pod_daily: Relation,
    storage_daily: Relation,
    node_label_sets: Relation,
    namespace_label_sets: Relation,
    labels_change: bool,
) -> Settled:
    """What is given, without the excess of days that go too far.

    In      pods and volumes by day, NL, NS; whether any object has several label sets on a day
    Out     the same relations; of crowded days one label set per node and namespace, and one row per pod and claim
    Rule    the greatest text stays, so that a second run gives the same
    Errors  none
    Source  reliability S33–S35
    """
    unchanged = Settled(
        node_label_sets=node_label_sets,
        namespace_label_sets=namespace_label_sets,
        pods=pod_daily,
        volumes=storage_daily,
    )
    sets = max(node_label_sets.count(), 1) * max(namespace_label_sets.count(), 1) if labels_change else 1
    most_rows = pod_daily.count() * sets * (1 + storage_daily.count() ** 2)
    if most_rows <= MOST_FURTHER_ROWS:
        return unchanged
    crowded = crowded_days(
        pod_daily=pod_daily,
        storage_daily=storage_daily,
        node_label_sets=node_label_sets,
        namespace_label_sets=namespace_label_sets,
    )
    if not crowded.count():
        return unchanged
    compute = pod_daily.engine.compute
    return Settled(
        node_label_sets=compute(statement("settled_node_sets"), node_label_sets=node_label_sets, crowded_days=crowded),
        namespace_label_sets=compute(
            statement("settled_namespace_sets"), namespace_label_sets=namespace_label_sets, crowded_days=crowded
        ),
        pods=compute(statement("settled_pods"), pod_daily=pod_daily, crowded_days=crowded),
        volumes=compute(statement("settled_volumes"), storage_daily=storage_daily, crowded_days=crowded),
    )


def crowded_days(
    *,
    pod_daily: Relation,
    storage_daily: Relation,
    node_label_sets: Relation,
    namespace_label_sets: Relation,
) -> Relation:
    """The days on which rows multiply too far.

    In      pods and volumes by day, NL, NS
    Out     day
    Rule    rows made of pods: label sets of node times those of namespace; of volumes: these, times the volumes of the
            claim, times the nodes of its pod
    Errors  none
    Source  reliability S33–S35
    """
    return pod_daily.engine.compute(
        statement("crowded_days"),
        {"times": MOST_TIMES, "spare": MOST_FURTHER_ROWS},
        pod_daily=pod_daily,
        storage_daily=storage_daily,
        node_label_sets=node_label_sets,
        namespace_label_sets=namespace_label_sets,
    )
