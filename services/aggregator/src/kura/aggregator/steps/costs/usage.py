"""Rates on what was used, requested or held for hours (cost-models §5)."""

from __future__ import annotations

from kura.aggregator.engine import Relation, statement


def usage_groups(base: Relation, *, weight: str) -> Relation:
    """The groups of base rows that get one cost row per cost type, with everything a rate can multiply.

    In      base rows; `weight`: cpu or memory
    Out     keys, maxima of capacities, sums of the eight measures, node_core_hours, cluster_hours
    Rule    node_core_hours is effective CPU, or effective memory in terms of the node's cores (Q1: null without
            memory capacity); cluster_hours is the group's part of its node's part of the cluster's hours
    Errors  none
    Source  cost-models §5.1, §5.2, Q1; examples 4 and 18
    """
    engine = base.engine
    node_days = engine.compute(statement("costs/node_days"), base=base)
    return engine.compute(statement("costs/usage_groups"), {"weight": weight}, base=base, node_days=node_days)


def usage_rows(usage_groups: Relation, usage_rates: Relation, *, weight: str) -> Relation:
    """One cost row per group and cost type.

    In      usage groups; cost_type and a column per metric [currency per unit]
    Out     keys, capacities, cost_model_cpu_cost, cost_model_memory_cost, cost_model_volume_cost
    Rule    each measure times its rate; rows that cost nothing are rows too
    Errors  none
    Source  cost-models §5.1; example 1
    """
    return usage_groups.engine.compute(
        statement("costs/usage_rows"), {"weight": weight}, usage_groups=usage_groups, usage_rates=usage_rates
    )


def usage_quantities(usage_groups: Relation, usage_totals: Relation) -> Relation:
    """What each usage metric counted, per project and node.

    In      usage groups; metric, cost_type of the rates that there are
    Out     usage_start, namespace, node, data_source, cost_category_id, metric, cost_model_rate_type, quantity
    Rule    sums of the groups; the CPU of a group whose cost is null (Q1) is left out
    Errors  none
    Source  cost-models §5.1, §13
    """
    return usage_groups.engine.compute(
        statement("costs/usage_quantities"), usage_groups=usage_groups, usage_totals=usage_totals
    )
