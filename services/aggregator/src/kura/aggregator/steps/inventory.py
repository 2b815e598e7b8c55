"""What a cluster is made of: nodes, volumes, projects (ocp-payload §6.13)."""

from __future__ import annotations

from kura.aggregator.engine import Relation, statement


def found_nodes(*, pod_daily: Relation, node_labels: Relation) -> Relation:
    """The nodes that the line items of the range name.

    In      pod rows by day; day, node, node_labels
    Out     node, resource_id, node_capacity_cpu_cores [cores], reported_role (null when the operator sent none),
            node_role, architecture; one row per (node, resource_id)
    Rule    a node needs no label row; the role is the one reported on the latest day that has one, `""` being none;
            else `master` for a node that ran the API server, `infra` by label, `worker`
    Errors  none
    Source  ocp-payload §6.13, decision D4
    """
    return pod_daily.engine.compute(statement("found_nodes"), pod_daily=pod_daily, node_labels=node_labels)


def node_changes(*, found_nodes: Relation, stored_nodes: Relation, newest: bool) -> Relation:
    """What the inventory has to learn about nodes.

    In      nodes found; nodes stored (uuid, …, of_this_cluster); `newest`: no later day of the source has pods
    Out     uuid (null: a new row), node, resource_id, node_capacity_cpu_cores, node_role, architecture
    Rule    another capacity is another row; an empty role or architecture is filled in, both together; a role that
            the newest day reports replaces the stored one
    Errors  none
    Source  ocp-payload §6.13, decision D4
    """
    return found_nodes.engine.compute(
        statement("node_changes"), {"newest": newest}, found_nodes=found_nodes, stored_nodes=stored_nodes
    )


def node_roles(*, stored_nodes: Relation, node_changes: Relation) -> Relation:
    """The roles of all nodes once the changes are made.

    In      nodes stored, of all clusters of the tenant; changes
    Out     node, resource_id, node_role
    Rule    a change replaces the stored row of its uuid
    Errors  none
    Source  ocp-pipeline §2, §6
    """
    return stored_nodes.engine.compute(statement("node_roles"), stored_nodes=stored_nodes, node_changes=node_changes)


def found_volumes(storage_daily: Relation) -> Relation:
    """The volumes that the line items of the range name.

    In      storage rows by day
    Out     persistent_volume, persistent_volume_claim, csi_volume_handle; one row per volume and claim
    Rule    of several handles the largest
    Errors  none
    Source  ocp-payload §6.13
    """
    return storage_daily.engine.compute(statement("found_volumes"), storage_daily=storage_daily)


def found_projects(pod_daily: Relation) -> Relation:
    """The projects that the line items of the range name.

    In      pod rows by day
    Out     project, distinct
    Rule    namespaces that ran a pod
    Errors  none
    Source  ocp-payload §6.13
    """
    return pod_daily.engine.compute(statement("found_projects"), pod_daily=pod_daily)
