"""Handing on the cost that belongs to no project (cost-models §10)."""

from __future__ import annotations

from kura.aggregator.engine import Relation, statement

STORAGE = "Storage unattributed"
NETWORK = "Network unattributed"


def project_days(*, base: Relation, usage_rows: Relation, charges: Relation, platform: int | None) -> Relation:
    """Cost and weight of every project, node, category and data source by day.

    In      base rows, cost rows; `platform`: id of the category Platform
    Out     keys, is_platform, capacities, raw_currency, weight, cost
    Rule    cost is raw cost, markup and rates, without those of GPUs, whatever their currency (Q15); only base rows
            have a weight
    Errors  none
    Source  cost-models §10, Q15
    """
    return base.engine.compute(
        statement("costs/project_days"), {"platform": platform}, base=base, usage_rows=usage_rows, charges=charges
    )


def distribute_platform(project_days: Relation) -> Relation:
    """Hand the cost of the platform on to all other projects.

    In      project days
    Out     distributed rows with their pool and share
    Rule    by effective usage; idle workers take no part; a day without anybody to pay is left as it is
    Errors  none
    Source  cost-models §10; example 14
    """
    return project_days.engine.compute(statement("costs/distribute_platform"), project_days=project_days)


def distribute_worker(project_days: Relation) -> Relation:
    """Hand the cost of idle workers on to the projects with pods.

    In      project days
    Out     distributed rows
    Rule    by effective usage; projects of the platform take no part
    Errors  none
    Source  cost-models §10; example 15
    """
    return project_days.engine.compute(statement("costs/distribute_worker"), project_days=project_days)


def distribute_storage(project_days: Relation) -> Relation:
    """Hand on the storage of the cloud bill that nobody claims.

    In      project days
    Out     distributed rows, with the currency of the bill
    Rule    by effective usage; what nobody can pay is taken away all the same (Q9)
    Errors  none
    Source  cost-models §10, Q9; example 16
    """
    return _distribute_unattributed(project_days, namespace=STORAGE, other=NETWORK, kind="unattributed_storage")


def distribute_network(project_days: Relation) -> Relation:
    """Hand on the network traffic of the cloud bill that nobody claims; as for storage."""
    return _distribute_unattributed(project_days, namespace=NETWORK, other=STORAGE, kind="unattributed_network")


def _distribute_unattributed(project_days: Relation, *, namespace: str, other: str, kind: str) -> Relation:
    return project_days.engine.compute(
        statement("costs/distribute_unattributed"),
        {"unattributed": namespace, "other": other, "kind": kind},
        project_days=project_days,
    )
