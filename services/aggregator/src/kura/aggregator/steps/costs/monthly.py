"""Monthly rates without tags on nodes, clusters and claims (cost-models §6.1, §6.2)."""

from __future__ import annotations

from kura.aggregator.engine import Relation, statement


def node_groups(base: Relation) -> Relation:
    """Pod rows grouped as monthly rates of nodes and clusters charge them.

    In      base rows
    Out     usage_start, node, namespace, pod_labels, cost_category_id; capacities; used, node_weight, cluster_weight,
            effective_cpu
    Rule    only rows with node and cluster capacity, of a namespace
    Errors  none
    Source  cost-models §6.1
    """
    return base.engine.compute(statement("costs/node_groups"), base=base)


def node_charges(
    node_groups: Relation, monthly_rates: Relation, replaced: Relation, *, weight: str, days_in_month: int
) -> Relation:
    """Node, core and cluster months.

    In      groups; metric, monthly_cost_type, cost_type, rate [currency per month]; labels, metric, cost_type whose
            tag rate takes the place of this one
    Out     charges; quantity [node-, core- or cluster-months]
    Rule    the group's part of the capacity, for one day of the month; goes to CPU or memory by `weight`; no tag rate
            takes the place of a cluster month
    Errors  none; no capacity gives a null quantity
    Source  cost-models §6.1, §7; examples 2, 3, 5, 9
    """
    return node_groups.engine.compute(
        statement("costs/node_charges"),
        {"weight": weight, "days_in_month": days_in_month},
        node_groups=node_groups,
        monthly_rates=monthly_rates,
        replaced=replaced,
    )


def claim_groups(base: Relation) -> Relation:
    """Storage rows grouped as claim rates charge them.

    In      base rows
    Out     usage_start, node, namespace, persistentvolumeclaim, persistentvolume, volume_labels, cost_category_id,
            resource_id, storageclass
    Rule    claims with a capacity
    Errors  none
    Source  cost-models §6.2
    """
    return base.engine.compute(statement("costs/claim_groups"), base=base)


def claim_charges(
    *, base: Relation, claim_groups: Relation, monthly_rates: Relation, replaced: Relation, days_in_month: int
) -> Relation:
    """Claim months.

    In      base rows; groups; monthly rates; labels that a tag rate prices
    Out     charges; quantity [claim-months]
    Rule    one rate per namespace and day, shared by its claims; a claim in two groups is charged twice (Q3)
    Errors  none
    Source  cost-models §6.2, Q3; example 6
    """
    return base.engine.compute(
        statement("costs/claim_charges"),
        {"days_in_month": days_in_month},
        base=base,
        claim_groups=claim_groups,
        monthly_rates=monthly_rates,
        replaced=replaced,
    )
