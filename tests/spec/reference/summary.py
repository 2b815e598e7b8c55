"""Rows of the daily summary: Pod, Storage and unallocated capacity (ocp-pipeline §2–§8)."""

import calendar
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

from reference.csv_reports import Row
from reference.daily import largest, total
from reference.labels import Labels, as_key, keep_keys, merge, read_label_json

SECONDS_PER_HOUR = 3600
SECONDS_PER_DAY = 86400
GIB = 2**30

SPECIAL_NAMESPACES = ("Platform unallocated", "Worker unallocated", "Network unattributed", "Storage unattributed")
NO_USAGE_COST = {"cpu": 0, "memory": 0, "storage": 0}

DEFAULT_PATTERNS = (("openshift-%", 1), ("kube-%", 1), ("Platform unallocated", 1), ("openshift", 1))

MEASURES = ("usage", "request", "effective_usage")


@dataclass(frozen=True, kw_only=True)
class Run:
    start: date
    end: date
    report_period_id: int = 1
    cluster_id: str = "cluster-1"
    cluster_alias: str = "Cluster 1"
    source_uuid: str = "00000000-0000-4000-8000-000000000001"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Everything a run reads. Label columns hold JSON text, as in Parquet; times are naive UTC."""

    pods_hourly: Sequence[Row] = ()
    pods_daily: Sequence[Row] = ()
    storage_daily: Sequence[Row] = ()
    node_labels: Sequence[Row] = ()
    namespace_labels: Sequence[Row] = ()
    enabled_keys: frozenset[str] = frozenset()
    patterns: Sequence[tuple[str, int]] = DEFAULT_PATTERNS
    nodes: Sequence[Row] = ()
    """Inventory of all clusters of the tenant: node, resource_id, node_role."""
    gpu_daily: Sequence[Row] = ()
    tag_mapping: Mapping[str, str] = field(default_factory=dict)
    """Child key → parent key."""


@dataclass
class _Capacity:
    cpu_core_seconds: dict[tuple[date, str], float] = field(default_factory=dict)
    memory_byte_seconds: dict[tuple[date, str], float] = field(default_factory=dict)

    def cluster_cpu_core_seconds(self, day: date) -> float | None:
        return total([value for (of_day, _), value in self.cpu_core_seconds.items() if of_day == day])

    def cluster_memory_byte_seconds(self, day: date) -> float | None:
        return total([value for (of_day, _), value in self.memory_byte_seconds.items() if of_day == day])


def daily_summary(inputs: Inputs, run: Run) -> list[Row]:
    """All rows of a run, unrounded."""
    pods = pod_rows(inputs, run)
    return [*pods, *storage_rows(inputs, run), *unallocated_rows(pods, inputs)]


def in_range(rows: Iterable[Row], run: Run) -> list[Row]:
    return [row for row in rows if run.start <= day_of(row) <= run.end]


def day_of(row: Row) -> date:
    moment = row["interval_start"]
    assert isinstance(moment, datetime)
    return moment.date()


def node_capacity(pods_hourly: Iterable[Row]) -> _Capacity:
    """§4: the largest capacity of each (hour, node), summed over the hours of the day."""
    per_hour: dict[tuple[datetime, str], tuple[float, float]] = {}
    for row in pods_hourly:
        moment, node = row["interval_start"], row["node"]
        assert isinstance(moment, datetime) and isinstance(node, str)
        cpu, memory = per_hour.get((moment, node), (float("-inf"), float("-inf")))
        per_hour[moment, node] = (
            max(cpu, _number(row["node_capacity_cpu_core_seconds"])),
            max(memory, _number(row["node_capacity_memory_byte_seconds"])),
        )
    capacity = _Capacity()
    for (moment, node), (cpu, memory) in per_hour.items():
        key = (moment.date(), node)
        capacity.cpu_core_seconds[key] = capacity.cpu_core_seconds.get(key, 0.0) + cpu
        capacity.memory_byte_seconds[key] = capacity.memory_byte_seconds.get(key, 0.0) + memory
    return capacity


def label_sets(
    rows: Iterable[Row], *, of: str, labels: str, enabled_keys: Iterable[str]
) -> dict[tuple[date, str], list[Labels]]:
    """§3: the distinct filtered label maps of every object and day."""
    sets: dict[tuple[date, str], dict[object, Labels]] = {}
    for row in rows:
        kept = keep_keys(read_label_json(_text(row[labels])), enabled_keys)
        sets.setdefault((day_of(row), str(row[of])), {})[as_key(kept)] = kept
    return {key: list(maps.values()) for key, maps in sets.items()}


def cost_category(namespace: str | None, patterns: Iterable[tuple[str, int]]) -> int | None:
    """§5: the largest category of the patterns that match; no multiplication (P4)."""
    if namespace is None:
        return None
    matching = [category for pattern, category in patterns if like(namespace, pattern)]
    return max(matching) if matching else None


def like(text: str, pattern: str) -> bool:
    """SQL LIKE without an escape character."""
    expression = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def pod_rows(inputs: Inputs, run: Run) -> list[Row]:
    """§5: grouped by (day, namespace, node, label map)."""
    capacity = node_capacity(in_range(inputs.pods_hourly, run))
    node_sets = label_sets(inputs.node_labels, of="node", labels="node_labels", enabled_keys=inputs.enabled_keys)
    namespace_sets = label_sets(
        inputs.namespace_labels, of="namespace", labels="namespace_labels", enabled_keys=inputs.enabled_keys
    )

    groups: dict[tuple[object, ...], list[Row]] = {}
    label_maps: dict[tuple[object, ...], Labels] = {}
    for pod in in_range(inputs.pods_daily, run):
        if pod["node"] in (None, ""):
            continue
        day = day_of(pod)
        own = keep_keys(read_label_json(_text(pod["pod_labels"])), inputs.enabled_keys)
        for of_node in node_sets.get((day, str(pod["node"])), [{}]):
            for of_namespace in namespace_sets.get((day, str(pod["namespace"])), [{}]):
                labels = merge(of_node, of_namespace, own)
                key = (day, pod["namespace"], pod["node"], as_key(labels))
                groups.setdefault(key, []).append(pod)
                label_maps[key] = labels

    return [
        _pod_row(key, rows, labels=label_maps[key], capacity=capacity, inputs=inputs, run=run)
        for key, rows in groups.items()
    ]


def _pod_row(
    key: tuple[object, ...], pods: list[Row], *, labels: Labels, capacity: _Capacity, inputs: Inputs, run: Run
) -> Row:
    day, namespace, node, _ = key
    assert isinstance(day, date) and isinstance(node, str)
    row = _empty_row(run, day=day, data_source="Pod", namespace=_text(namespace), inputs=inputs)
    row["node"] = node
    row["resource_id"] = largest(pod["resource_id"] for pod in pods)
    row["pod_labels"] = labels
    row["all_labels"] = labels
    row["infrastructure_usage_cost"] = NO_USAGE_COST
    for measure in ("usage", "request", "limit"):
        row[f"pod_{measure}_cpu_core_hours"] = _core_hours(
            total([pod[f"pod_{measure}_cpu_core_seconds"] for pod in pods])
        )
        row[f"pod_{measure}_memory_gigabyte_hours"] = _gigabyte_hours(
            total([pod[f"pod_{measure}_memory_byte_seconds"] for pod in pods])
        )
    row["pod_effective_usage_cpu_core_hours"] = _core_hours(total([effective(pod, "cpu_core_seconds") for pod in pods]))
    row["pod_effective_usage_memory_gigabyte_hours"] = _gigabyte_hours(
        total([effective(pod, "memory_byte_seconds") for pod in pods])
    )
    row["node_capacity_cpu_cores"] = largest(pod["node_capacity_cpu_cores"] for pod in pods)
    row["node_capacity_memory_gigabytes"] = _times(largest(pod["node_capacity_memory_bytes"] for pod in pods), 1 / GIB)
    row["node_capacity_cpu_core_hours"] = _core_hours(capacity.cpu_core_seconds.get((day, node)))
    row["node_capacity_memory_gigabyte_hours"] = _gigabyte_hours(capacity.memory_byte_seconds.get((day, node)))
    row["cluster_capacity_cpu_core_hours"] = _core_hours(capacity.cluster_cpu_core_seconds(day))
    row["cluster_capacity_memory_gigabyte_hours"] = _gigabyte_hours(capacity.cluster_memory_byte_seconds(day))
    return row


def effective(pod: Row, unit: str) -> float | None:
    """§5: the stored effective usage, or the greater of usage and request, null if either is null."""
    stored = pod[f"pod_effective_usage_{unit}"]
    if stored is not None:
        return _number(stored)
    usage, request = pod[f"pod_usage_{unit}"], pod[f"pod_request_{unit}"]
    if usage is None or request is None:
        return None
    return max(_number(usage), _number(request))


def unallocated_rows(pods: Iterable[Row], inputs: Inputs) -> list[Row]:
    """§6: capacity of a (node, day) less the sums of its pods; negative results are kept."""
    groups: dict[tuple[object, object], list[Row]] = {}
    for row in pods:
        if row["namespace"] is None or row["namespace"] in SPECIAL_NAMESPACES or row["node"] is None:
            continue
        groups.setdefault((row["node"], row["usage_start"]), []).append(row)

    results = []
    for rows in groups.values():
        role = largest(node_role(inputs.nodes, row["node"], row["resource_id"]) for row in rows)
        namespace = {
            "master": "Platform unallocated",
            "infra": "Platform unallocated",
            "worker": "Worker unallocated",
        }.get(str(role))
        result: Row = dict.fromkeys(rows[0], None)
        for name in (
            "usage_start",
            "usage_end",
            "report_period_id",
            "cluster_id",
            "cluster_alias",
            "source_uuid",
            "node",
        ):
            result[name] = rows[0][name]
        result["namespace"] = namespace
        result["cost_category_id"] = cost_category(namespace, inputs.patterns)
        result["data_source"] = largest(row["data_source"] for row in rows)
        result["resource_id"] = largest(row["resource_id"] for row in rows)
        result["all_labels"] = {}
        for name in (
            "node_capacity_cpu_cores",
            "node_capacity_memory_gigabytes",
            "node_capacity_cpu_core_hours",
            "node_capacity_memory_gigabyte_hours",
            "cluster_capacity_cpu_core_hours",
            "cluster_capacity_memory_gigabyte_hours",
        ):
            result[name] = largest(row[name] for row in rows)
        for measure in MEASURES:
            for unit in ("cpu_core_hours", "memory_gigabyte_hours"):
                used = total([row[f"pod_{measure}_{unit}"] for row in rows])
                held = result[f"node_capacity_{unit}"]
                result[f"pod_{measure}_{unit}"] = None if held is None or used is None else _number(held) - used
        results.append(result)
    return results


def node_role(nodes: Iterable[Row], node: object, resource_id: object) -> object:
    """The largest role in the inventory of rows with both values equal; a null never matches."""
    return largest(
        entry["node_role"]
        for entry in nodes
        if resource_id is not None and entry["node"] == node and entry["resource_id"] == resource_id
    )


def storage_rows(inputs: Inputs, run: Run) -> list[Row]:
    """§7: placed on nodes through the pod report, grouped by volume, node and label map."""
    storage = in_range(inputs.storage_daily, run)
    node_sets = label_sets(inputs.node_labels, of="node", labels="node_labels", enabled_keys=inputs.enabled_keys)
    namespace_sets = label_sets(
        inputs.namespace_labels, of="namespace", labels="namespace_labels", enabled_keys=inputs.enabled_keys
    )
    places = volume_places(storage, in_range(inputs.pods_daily, run))
    node_counts: dict[tuple[object, object], set[object]] = {}
    for day, _, volume, _, _, node, _ in places:
        node_counts.setdefault((day, volume), set()).add(node)

    groups: dict[tuple[object, ...], list[tuple[Row, int]]] = {}
    label_maps: dict[tuple[object, ...], Labels] = {}
    for row in storage:
        day = day_of(row)
        own = merge(
            keep_keys(read_label_json(_text(row["persistentvolume_labels"])), inputs.enabled_keys),
            keep_keys(read_label_json(_text(row["persistentvolumeclaim_labels"])), inputs.enabled_keys),
        )
        matching = [
            (node, resource_id)
            for on_day, claim, _, pod, namespace, node, resource_id in places
            if (on_day, claim, pod, namespace) == (day, row["persistentvolumeclaim"], row["pod"], row["namespace"])
        ]
        count = len(node_counts.get((day, row["persistentvolume"]), ())) or 1
        for node, resource_id in matching or [(None, None)]:
            of_nodes = [{}] if node is None else node_sets.get((day, str(node)), [{}])
            for of_node in of_nodes:
                for of_namespace in namespace_sets.get((day, str(row["namespace"])), [{}]):
                    labels = merge(of_node, of_namespace, own)
                    key = (
                        day,
                        row["namespace"],
                        node,
                        resource_id,
                        row["persistentvolumeclaim"],
                        row["persistentvolume"],
                        row["storageclass"],
                        row.get("csi_volume_handle"),
                        as_key(labels),
                    )
                    groups.setdefault(key, []).append((row, count))
                    label_maps[key] = labels

    return [_storage_row(key, rows, labels=label_maps[key], inputs=inputs, run=run) for key, rows in groups.items()]


def volume_places(storage: Iterable[Row], pods: Iterable[Row]) -> set[tuple[object, ...]]:
    """§7.1: distinct (day, claim, volume, pod, namespace, node, resource_id)."""
    pods = list(pods)
    return {
        (
            day_of(row),
            row["persistentvolumeclaim"],
            row["persistentvolume"],
            row["pod"],
            row["namespace"],
            pod["node"],
            pod["resource_id"],
        )
        for row in storage
        for pod in pods
        if (day_of(pod), pod["namespace"], pod["pod"]) == (day_of(row), row["namespace"], row["pod"])
    }


def _storage_row(
    key: tuple[object, ...], rows: list[tuple[Row, int]], *, labels: Labels, inputs: Inputs, run: Run
) -> Row:
    day, namespace, node, resource_id, claim, volume, storage_class, handle, _ = key
    assert isinstance(day, date)
    seconds = SECONDS_PER_DAY * calendar.monthrange(day.year, day.month)[1]
    row = _empty_row(run, day=day, data_source="Storage", namespace=_text(namespace), inputs=inputs)
    row["node"] = node
    row["resource_id"] = resource_id
    row["persistentvolumeclaim"] = claim
    row["persistentvolume"] = volume
    row["storageclass"] = storage_class
    row["csi_volume_handle"] = handle
    row["volume_labels"] = labels
    row["all_labels"] = labels
    row["infrastructure_usage_cost"] = NO_USAGE_COST
    row["persistentvolumeclaim_capacity_gigabyte"] = _times(
        largest(of["persistentvolumeclaim_capacity_bytes"] for of, _ in rows), 1 / GIB
    )
    row["persistentvolumeclaim_capacity_gigabyte_months"] = _times(
        total([of["persistentvolumeclaim_capacity_byte_seconds"] for of, _ in rows]), 1 / seconds / GIB
    )
    row["volume_request_storage_gigabyte_months"] = _times(
        total([_times(of["volume_request_storage_byte_seconds"], 1 / count) for of, count in rows]), 1 / seconds / GIB
    )
    row["persistentvolumeclaim_usage_gigabyte_months"] = _times(
        total([_times(of["persistentvolumeclaim_usage_byte_seconds"], 1 / count) for of, count in rows]),
        1 / seconds / GIB,
    )
    return row


SUMMARY_COLUMNS = (
    "usage_start",
    "usage_end",
    "report_period_id",
    "cluster_id",
    "cluster_alias",
    "source_uuid",
    "data_source",
    "namespace",
    "node",
    "resource_id",
    "cost_category_id",
    "pod_labels",
    "volume_labels",
    "all_labels",
    "pod_usage_cpu_core_hours",
    "pod_request_cpu_core_hours",
    "pod_effective_usage_cpu_core_hours",
    "pod_limit_cpu_core_hours",
    "pod_usage_memory_gigabyte_hours",
    "pod_request_memory_gigabyte_hours",
    "pod_effective_usage_memory_gigabyte_hours",
    "pod_limit_memory_gigabyte_hours",
    "node_capacity_cpu_cores",
    "node_capacity_cpu_core_hours",
    "node_capacity_memory_gigabytes",
    "node_capacity_memory_gigabyte_hours",
    "cluster_capacity_cpu_core_hours",
    "cluster_capacity_memory_gigabyte_hours",
    "persistentvolumeclaim",
    "persistentvolume",
    "storageclass",
    "csi_volume_handle",
    "persistentvolumeclaim_capacity_gigabyte",
    "persistentvolumeclaim_capacity_gigabyte_months",
    "volume_request_storage_gigabyte_months",
    "persistentvolumeclaim_usage_gigabyte_months",
    "infrastructure_usage_cost",
)


def _empty_row(run: Run, *, day: date, data_source: str, namespace: str | None, inputs: Inputs) -> Row:
    row: Row = dict.fromkeys(SUMMARY_COLUMNS, None)
    return row | {
        "usage_start": day,
        "usage_end": day,
        "report_period_id": run.report_period_id,
        "cluster_id": run.cluster_id,
        "cluster_alias": run.cluster_alias,
        "source_uuid": run.source_uuid,
        "data_source": data_source,
        "namespace": namespace,
        "cost_category_id": cost_category(namespace, inputs.patterns),
    }


def to_numeric(value: float | None) -> Decimal | None:
    """§8: the shortest decimal that gives the float back, rounded half away from zero to 15 decimals."""
    if value is None:
        return None
    return Decimal(repr(float(value))).quantize(Decimal("1e-15"), rounding=ROUND_HALF_UP)


def _text(value: object) -> str | None:
    assert value is None or isinstance(value, str)
    return value


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _times(value: object, factor: float) -> float | None:
    return None if value is None else _number(value) * factor


def _core_hours(core_seconds: float | None) -> float | None:
    return None if core_seconds is None else core_seconds / SECONDS_PER_HOUR


def _gigabyte_hours(byte_seconds: float | None) -> float | None:
    return None if byte_seconds is None else byte_seconds / SECONDS_PER_HOUR / GIB
