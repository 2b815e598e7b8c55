"""Rates on GPUs, used and idle (cost-models §8), and who pays for idle ones (§10)."""

from __future__ import annotations

from kura.aggregator.engine import Relation, statement
from kura.aggregator.steps.reading import bounds
from kura.core.days import DayRange


def gpu_node_hours(node_labels_hourly: Relation, days: DayRange) -> Relation:
    """How long each node had which labels, for nodes that say whether they have GPUs.

    In      hourly rows of node labels
    Out     day, node, node_labels, intervals
    Rule    a count per distinct label text
    Errors  none
    Source  cost-models §8
    """
    return node_labels_hourly.engine.compute(
        statement("costs/gpu_node_hours"), bounds(days), node_labels_hourly=node_labels_hourly
    )


def gpu_charges(
    *,
    gpu_daily: Relation,
    gpu_node_hours: Relation,
    gpu_rates: Relation,
    category_patterns: Relation,
    days_in_month: int,
) -> Relation:
    """GPU months, used and idle.

    In      GPU items by day; hours of node labels; cost_type, tag_key (vendor), tag_value (model), rate, is_default;
            patterns of categories
    Out     charges on GPU; what is idle is charged to `GPU unallocated`
    Rule    a slice counts as its part of the GPU; a node whose GPUs all stay idle for a day costs nothing (Q7); a model
            without any rate is left out (Q13)
    Errors  InvalidData when a label text is not JSON
    Source  cost-models §8, Q7; example 12
    """
    return gpu_daily.engine.compute(
        statement("costs/gpu_charges"),
        {"days_in_month": days_in_month},
        gpu_daily=gpu_daily,
        gpu_node_hours=gpu_node_hours,
        gpu_rates=gpu_rates,
        category_patterns=category_patterns,
    )


def distribute_gpu(gpu_daily: Relation, unallocated: Relation) -> Relation:
    """Hand the cost of idle GPUs on to those who used GPUs of the same model on the same node and day.

    In      GPU items of the whole month; usage_start, node, gpu_model_name, cost of `GPU unallocated`
    Out     distributed rows
    Rule    by slice time; of two models on one node a namespace gets the larger share (Q10)
    Errors  none
    Source  cost-models §10, Q10; example 17
    """
    return gpu_daily.engine.compute(statement("costs/distribute_gpu"), gpu_daily=gpu_daily, unallocated=unallocated)
