"""Rates by tag on usage, nodes and claims (cost-models §7.1–§7.4)."""

from __future__ import annotations

from kura.aggregator.engine import Relation, statement


def label_rates(*, base: Relation, tag_rates: Relation, metrics: Relation) -> Relation:
    """What every label map costs under the tag rates.

    In      base rows; metric, cost_type, tag_key, tag_value, rate, is_default; metric, side, monthly_cost_type
    Out     labels, metric, cost_type, tag_key, tag_value, is_listed, rate, rate_id, custom_name, side, own_label
    Rule    only maps that have the key; an unlisted value has the default's rate, or 0 where there is none
    Errors  InvalidData when a label text is not JSON
    Source  cost-models §7
    """
    engine = base.engine
    tag_labels = engine.compute(statement("costs/tag_labels"), base=base, tag_rates=tag_rates)
    return engine.compute(statement("costs/label_rates"), tag_labels=tag_labels, tag_rates=tag_rates, metrics=metrics)


def tag_usage_charges(base: Relation, label_rates: Relation) -> Relation:
    """Usage by tag.

    In      base rows; label rates
    Out     charges; a listed value keeps only its own label, the others keep all labels
    Rule    a tag rate adds to the rate without tag; rows that cost nothing are left out (Q13)
    Errors  none
    Source  cost-models §7.1, §7.2; example 7
    """
    return base.engine.compute(statement("costs/tag_usage_charges"), base=base, label_rates=label_rates)


def tag_node_charges(
    *,
    node_groups: Relation,
    label_rates: Relation,
    stored_nodes: Relation,
    category_patterns: Relation,
    weight: str,
    days_in_month: int,
) -> Relation:
    """Node months, core months and core hours by tag, used and idle.

    In      groups; label rates; nodes with their roles; patterns of categories
    Out     charges
    Rule    what a label value leaves of a node is charged to the unallocated namespace of the node's role, once per
            value (Q5); in memory mode used core hours stay core hours and idle ones are memory (Q6)
    Errors  none
    Source  cost-models §7.3, §7.4, Q5, Q6; examples 8 and 9
    """
    engine = node_groups.engine
    names = engine.compute(
        statement("costs/unallocated_names"), stored_nodes=stored_nodes, category_patterns=category_patterns
    )
    return engine.compute(
        statement("costs/tag_node_charges"),
        {"weight": weight, "days_in_month": days_in_month},
        node_groups=node_groups,
        label_rates=label_rates,
        unallocated_names=names,
    )


def tag_claim_charges(*, base: Relation, claim_groups: Relation, label_rates: Relation, days_in_month: int) -> Relation:
    """Claim months by tag.

    In      base rows; groups; label rates
    Out     charges
    Rule    as without tag, among the claims of the namespace that have the key
    Errors  none
    Source  cost-models §7.3
    """
    return base.engine.compute(
        statement("costs/tag_claim_charges"),
        {"days_in_month": days_in_month},
        base=base,
        claim_groups=claim_groups,
        label_rates=label_rates,
    )
