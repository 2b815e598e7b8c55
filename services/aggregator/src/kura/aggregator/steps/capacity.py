"""Capacity of nodes and of the cluster (ocp-pipeline §4)."""

from __future__ import annotations

from kura.aggregator.engine import Relation, statement
from kura.aggregator.steps.reading import bounds
from kura.core.days import DayRange


def node_capacity(pod_usage_hourly: Relation, days: DayRange) -> Relation:
    """Capacity of every node over every day.

    In      interval_start, node, node_capacity_cpu_core_seconds [core·s], node_capacity_memory_byte_seconds [byte·s];
            one row per pod and hour, all namespaces, all nodes including `""`
    Out     day, node, cpu_core_seconds [core·s], memory_byte_seconds [byte·s]; one row per node and day
    Rule    every pod repeats its node's capacity: the largest value of each hour, then the sum of the hours
    Errors  none; no hourly rows, no capacity (decision P5)
    Source  ocp-pipeline §4; example E2
    """
    return pod_usage_hourly.engine.compute(statement("node_capacity"), bounds(days), pod_usage_hourly=pod_usage_hourly)


def cluster_capacity(node_capacity: Relation) -> Relation:
    """Capacity of the cluster over every day.

    In      day, node, cpu_core_seconds, memory_byte_seconds
    Out     day, cpu_core_seconds [core·s], memory_byte_seconds [byte·s]; one row per day
    Rule    the sum of the nodes, also of those that no row of the summary names
    Errors  none
    Source  ocp-pipeline §4; example E2
    """
    return node_capacity.engine.compute(statement("cluster_capacity"), node_capacity=node_capacity)
