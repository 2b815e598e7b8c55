"""UI summary tables of costs, pods, volumes and networks (ocp-pipeline §10.1, §10.2) and GPUs (§10.3)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from reference.csv_reports import Row
from reference.daily import largest, total
from reference.summary import SPECIAL_NAMESPACES, cost_category, day_of

COST_SUMS = (
    "infrastructure_raw_cost",
    "infrastructure_markup_cost",
    "cost_model_cpu_cost",
    "cost_model_memory_cost",
    "cost_model_volume_cost",
    "cost_model_gpu_cost",
    "distributed_cost",
)
COST_LARGEST = ("cost_category_id", "raw_currency")
POD_SUMS = tuple(
    f"pod_{measure}_{unit}"
    for measure in ("usage", "request", "effective_usage", "limit")
    for unit in ("cpu_core_hours", "memory_gigabyte_hours")
)
CLUSTER_LARGEST = ("cluster_capacity_cpu_core_hours", "cluster_capacity_memory_gigabyte_hours")
NODE_LARGEST = (
    "node_capacity_cpu_cores",
    "node_capacity_cpu_core_hours",
    "node_capacity_memory_gigabytes",
    "node_capacity_memory_gigabyte_hours",
)
VOLUME_SUMS = (
    "volume_request_storage_gigabyte_months",
    "persistentvolumeclaim_usage_gigabyte_months",
    "persistentvolumeclaim_capacity_gigabyte_months",
)
MIB_IN_GB = 0.001048576


def _every_row(row: Row) -> bool:
    return True


def _pods(row: Row) -> bool:
    return row["data_source"] == "Pod" and row["namespace"] not in SPECIAL_NAMESPACES


def _volumes(row: Row) -> bool:
    return row["data_source"] == "Storage" and row["persistentvolumeclaim"] is not None


@dataclass(frozen=True, kw_only=True)
class UiTable:
    keys: tuple[str, ...] = ()
    rows: Callable[[Row], bool] = _every_row
    sums: tuple[str, ...] = COST_SUMS
    largest: tuple[str, ...] = COST_LARGEST
    resources: bool = False


_POD = {"rows": _pods, "sums": (*COST_SUMS, *POD_SUMS), "largest": (*COST_LARGEST, *CLUSTER_LARGEST), "resources": True}
_VOLUME = {"rows": _volumes, "sums": (*COST_SUMS, *VOLUME_SUMS), "resources": True}

UI_TABLES: dict[str, UiTable] = {
    "reporting_ocp_cost_summary_p": UiTable(),
    "reporting_ocp_cost_summary_by_project_p": UiTable(keys=("namespace",)),
    "reporting_ocp_cost_summary_by_node_p": UiTable(keys=("node",)),
    "reporting_ocp_pod_summary_p": UiTable(**_POD),  # type: ignore[arg-type]
    "reporting_ocp_pod_summary_by_project_p": UiTable(keys=("namespace",), **_POD),  # type: ignore[arg-type]
    "reporting_ocp_pod_summary_by_node_p": UiTable(
        keys=("node",),
        rows=_pods,
        sums=(*COST_SUMS, *POD_SUMS),
        largest=(*COST_LARGEST, *CLUSTER_LARGEST, *NODE_LARGEST),
        resources=True,
    ),
    "reporting_ocp_volume_summary_p": UiTable(keys=("persistentvolumeclaim", "storageclass"), **_VOLUME),  # type: ignore[arg-type]
    "reporting_ocp_volume_summary_by_project_p": UiTable(
        keys=("namespace", "persistentvolumeclaim", "storageclass"),
        **_VOLUME,  # type: ignore[arg-type]
    ),
}

NETWORK_TABLES: dict[str, tuple[str, ...]] = {
    "reporting_ocp_network_summary_p": (),
    "reporting_ocp_network_summary_by_project_p": ("namespace",),
    "reporting_ocp_network_summary_by_node_p": ("node",),
}

COMMON_KEYS = ("usage_start", "cluster_id", "cluster_alias", "source_uuid", "cost_model_rate_type")


def ui_table(name: str, summary: Iterable[Row]) -> list[Row]:
    """The rows of one UI table from the rows of the daily summary."""
    if name in NETWORK_TABLES:
        return network_table(name, summary)
    table = UI_TABLES[name]
    return _aggregate(
        [row for row in summary if table.rows(row)],
        keys=(*COMMON_KEYS, *table.keys),
        sums=table.sums,
        maxima=table.largest,
        resources=table.resources,
    )


def network_table(name: str, summary: Iterable[Row]) -> list[Row]:
    """§10.2: rows coming in and rows going out, apart."""
    keys = (*COMMON_KEYS, *NETWORK_TABLES[name])
    given = [row for row in summary if row["data_source"] == "Pod" and row["namespace"] == "Network unattributed"]
    results = []
    for filled, other in (
        ("infrastructure_data_in_gigabytes", "infrastructure_data_out_gigabytes"),
        ("infrastructure_data_out_gigabytes", "infrastructure_data_in_gigabytes"),
    ):
        rows = _aggregate(
            [row for row in given if row.get(filled) is not None],
            keys=keys,
            sums=(*COST_SUMS, filled),
            maxima=COST_LARGEST,
            resources=True,
        )
        results += [{**row, other: 0.0} for row in rows]
    return results


def _aggregate(
    rows: Iterable[Row], *, keys: Sequence[str], sums: Sequence[str], maxima: Sequence[str], resources: bool
) -> list[Row]:
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(key) for key in keys), []).append(row)
    results = []
    for values, members in groups.items():
        result: Row = dict(zip(keys, values, strict=True))
        result["usage_end"] = result["usage_start"]
        for name in sums:
            result[name] = total([row.get(name) for row in members])
        for name in maxima:
            result[name] = largest(row.get(name) for row in members)
        if resources:
            ids = {row["resource_id"] for row in members}
            known = sorted(str(value) for value in ids if value is not None)
            result["resource_ids"] = [*known, None] if None in ids else known
            result["resource_count"] = len(known)
            result["data_source"] = largest(row["data_source"] for row in members)
        results.append(result)
    return results


def gpu_table(gpu_daily: Iterable[Row], *, patterns: Sequence[tuple[str, int]]) -> list[Row]:
    """§10.3 case B: no GPU rate, usage only; whether a file has the columns of slices makes no two devices of one."""
    keys = ("namespace", "node", "gpu_vendor_name", "gpu_model_name", "mig_profile", "mig_instance_id", "gpu_uuid")
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in gpu_daily:
        of_slice = {"mig_profile": row["mig_profile"] or None, "mig_instance_id": row["mig_instance_id"] or None}
        groups.setdefault((day_of(row), *({**row, **of_slice}[key] for key in keys)), []).append(row)
    results = []
    for (day, namespace, node, vendor, model, profile, instance, gpu_uuid), members in groups.items():
        results.append(
            {
                "usage_start": day,
                "usage_end": day,
                "namespace": namespace,
                "node": node,
                "vendor_name": vendor,
                "model_name": model,
                "gpu_uuid": gpu_uuid,
                "mig_profile": profile,
                "mig_instance_id": instance,
                "gpu_mode": "MIG" if profile else "dedicated",
                "memory_capacity_gb": _scaled(largest(row["gpu_memory_capacity_mib"] for row in members)),
                "mig_memory_capacity_gb": _scaled(largest(row["mig_memory_capacity_mib"] for row in members)),
                "mig_slice_count": largest(row["mig_slice_count"] for row in members),
                "gpu_max_slices": largest(row["gpu_max_slices"] for row in members),
                "mig_strategy": largest(row["mig_strategy"] for row in members),
                "cost_category_id": cost_category(str(namespace), patterns),
            }
        )
    return results


def gpu_table_of_costs(summary: Iterable[Row]) -> list[Row]:
    """§10.3 case A: the devices and slices that a rate charges."""
    groups: dict[tuple[object, ...], list[tuple[Row, dict[str, str]]]] = {}
    for row in summary:
        rate_type = row["cost_model_rate_type"]
        if row["data_source"] != "GPU" or rate_type in (None, "gpu_distributed"):
            continue
        if row["namespace"] in (None, "GPU unallocated"):
            continue
        labels = row["all_labels"]
        assert isinstance(labels, dict)
        device = row["resource_id"] if row["resource_id"] is not None else labels.get("gpu-uuid")
        of_labels = (labels.get(name) for name in ("gpu-vendor", "gpu-model", "mig-profile", "mig-instance-id"))
        key = (row["usage_start"], row["namespace"], row["node"], row["cost_category_id"], *of_labels, device)
        groups.setdefault(key, []).append((row, labels))

    results = []
    for (day, namespace, node, category, vendor, model, _, _, device), members in groups.items():
        maps = [labels for _, labels in members]
        results.append(
            {
                "usage_start": day,
                "usage_end": day,
                "namespace": namespace,
                "node": node,
                "cost_category_id": category,
                "vendor_name": vendor,
                "model_name": model,
                "gpu_uuid": device,
                "gpu_mode": _largest_text(maps, "gpu-mode") or "dedicated",
                "mig_profile": _largest_text(maps, "mig-profile"),
                "mig_instance_id": _largest_text(maps, "mig-instance-id"),
                "mig_strategy": largest(labels.get("mig-strategy") for labels in maps),
                "mig_slice_count": _largest_number(maps, "mig-slice-count"),
                "gpu_max_slices": _largest_number(maps, "gpu-max-slices"),
                "memory_capacity_gb": _scaled(_largest_number(maps, "gpu-memory-mib")),
                "mig_memory_capacity_gb": _scaled(_largest_number(maps, "mig-memory-mib")),
                "cost_model_gpu_cost": total([row["cost_model_gpu_cost"] for row, _ in members]),
                "raw_currency": largest(row["raw_currency"] for row, _ in members),
                "cost_model_rate_type": largest(row["cost_model_rate_type"] for row, _ in members),
            }
        )
    return results


def _largest_text(maps: Iterable[dict[str, str]], name: str) -> object:
    """The largest text of a label that is not empty."""
    return largest(labels.get(name) or None for labels in maps)


def _largest_number(maps: Iterable[dict[str, str]], name: str) -> object:
    return largest(float(labels[name]) if labels.get(name) else None for labels in maps)


def _scaled(mib: object) -> float | None:
    if mib is None:
        return None
    assert isinstance(mib, int | float)
    return mib * MIB_IN_GB
