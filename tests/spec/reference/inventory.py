"""Inventory tables, filled before any aggregation (ocp-payload §6.13, D4)."""

from collections.abc import Iterable, Sequence

from reference.csv_reports import Row
from reference.daily import largest
from reference.labels import label_json, read_label_json


def nodes(pods_daily: Sequence[Row], node_labels: Iterable[Row]) -> list[Row]:
    """One row per (node, resource_id) that ran pods, with or without labels."""
    label_maps: dict[str, list[dict[str, str]]] = {}
    for row in node_labels:
        label_maps.setdefault(str(row["node"]), []).append(read_label_json(str(row["node_labels"])))

    groups: dict[tuple[str, str | None], list[Row]] = {}
    for pod in pods_daily:
        if pod["node"] in (None, ""):
            continue
        resource_id = pod["resource_id"]
        assert resource_id is None or isinstance(resource_id, str)
        groups.setdefault((str(pod["node"]), resource_id), []).append(pod)

    found: list[Row] = []
    for (node, resource_id), pods in groups.items():
        maps = label_maps.get(node, [])
        greatest = max((label_json(labels) for labels in maps), default=None)
        architecture = read_label_json(greatest).get("kubernetes_io_arch")
        found.append(
            {
                "node": node,
                "resource_id": resource_id,
                "node_capacity_cpu_cores": largest(pod["node_capacity_cpu_cores"] for pod in pods),
                "reported_role": reported_role(pods),
                "node_role": role(pods, maps),
                "architecture": architecture.lower() if architecture is not None else None,
            }
        )
    return found


def reported_role(pods: Sequence[Row]) -> object:
    """The role that the newest day with one tells; an empty one counts as missing (D4)."""
    with_role = [pod for pod in pods if pod.get("node_role")]
    newest = largest(pod["interval_start"] for pod in with_role)
    return largest(pod["node_role"] for pod in with_role if pod["interval_start"] == newest)


def role(pods: Sequence[Row], label_maps: Sequence[dict[str, str]]) -> str:
    """The reported role; without one it is derived."""
    reported = reported_role(pods)
    if reported is not None:
        return str(reported)
    if any(pod["namespace"] == "openshift-kube-apiserver" for pod in pods):
        return "master"
    if any(labels.get("node_role_kubernetes_io") == "infra" for labels in label_maps):
        return "infra"
    return "worker"


def updated(stored: Iterable[Row], found: Iterable[Row]) -> list[Row]:
    """The node table after a run over the newest days: rows of other clusters stay, of this one they are added to.

    A stored row is this cluster's if its `of_this_cluster` is true.
    """
    rows = [dict(row) for row in stored]
    for node in found:
        same = [
            row
            for row in rows
            if row.get("of_this_cluster") and (row["node"], row["resource_id"]) == (node["node"], node["resource_id"])
        ]
        for row in same:
            incomplete = not row["node_role"] or not row["architecture"]
            if node["reported_role"] is not None:
                row["node_role"] = node["reported_role"]
            elif incomplete:
                row["node_role"] = node["node_role"]
            if incomplete:
                row["architecture"] = node["architecture"] or row["architecture"]
        if not any(row["node_capacity_cpu_cores"] == node["node_capacity_cpu_cores"] for row in same):
            rows.append({**node, "of_this_cluster": True})
    return rows


def claims(storage_daily: Iterable[Row]) -> dict[tuple[object, object], object]:
    """(persistentvolume, persistentvolumeclaim) → csi_volume_handle; of several, which the rules leave open, the
    largest."""
    found: dict[tuple[object, object], list[object]] = {}
    for row in storage_daily:
        key = (row["persistentvolume"], row["persistentvolumeclaim"])
        found.setdefault(key, []).append(row.get("csi_volume_handle") or None)
    return {key: largest(handles) for key, handles in found.items()}


def projects(pods_daily: Iterable[Row]) -> set[object]:
    return {row["namespace"] for row in pods_daily}
