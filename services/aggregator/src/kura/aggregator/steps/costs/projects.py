"""Rates on projects by the labels of their namespace (cost-models §7.5)."""

from __future__ import annotations

from kura.aggregator.engine import Relation, statement
from kura.aggregator.steps.reading import bounds
from kura.core.days import DayRange


def project_charges(
    *, base: Relation, namespace_labels_daily: Relation, project_rates: Relation, days: DayRange, days_in_month: int
) -> Relation:
    """Project months.

    In      base rows; namespace labels by day, as they were sent; cost_type, tag_key, tag_value, rate, is_default
    Out     charges on CPU; one per namespace, label map and node
    Rule    one rate per namespace and day, shared by its rows with a node; whole where no node is known; namespaces of
            the platform pay nothing
    Errors  InvalidData when a label text is not JSON
    Source  cost-models §7.5; example 11
    """
    return base.engine.compute(
        statement("costs/project_charges"),
        {**bounds(days), "days_in_month": days_in_month},
        base=base,
        namespace_labels_daily=namespace_labels_daily,
        project_rates=project_rates,
    )
