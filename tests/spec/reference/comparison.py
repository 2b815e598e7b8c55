"""Comparing rows of the reference with rows of the product."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

RELATIVE = 1e-9
ABSOLUTE = 1e-9

SUMMARY_KEYS = (
    "usage_start",
    "usage_end",
    "data_source",
    "namespace",
    "node",
    "resource_id",
    "persistentvolumeclaim",
    "persistentvolume",
    "storageclass",
    "pod_labels",
    "volume_labels",
    "all_labels",
    "infrastructure_usage_cost",
    "cost_category_id",
)
SUMMARY_MEASURES = (
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
    "persistentvolumeclaim_capacity_gigabyte",
    "persistentvolumeclaim_capacity_gigabyte_months",
    "volume_request_storage_gigabyte_months",
    "persistentvolumeclaim_usage_gigabyte_months",
)


def differences(
    expected: Iterable[Mapping[str, object]],
    found: Iterable[Mapping[str, object]],
    *,
    keys: Sequence[str] = SUMMARY_KEYS,
    measures: Sequence[str] = SUMMARY_MEASURES,
) -> list[str]:
    """In words, what differs: rows of one side only, and measures that are not equal; empty when all agree.

    Rows with equal keys may occur several times; they are compared in the order of their measures.
    """
    ours, theirs = _grouped(expected, keys, measures), _grouped(found, keys, measures)
    told = []
    for key in sorted({*ours, *theirs}):
        left, right = ours.get(key, []), theirs.get(key, [])
        if len(left) != len(right):
            told.append(f"expected {len(left)} rows, found {len(right)}: {key}")
            continue
        for one, other in zip(left, right, strict=True):
            unequal = [
                f"{name} should be {a} and is {b}"
                for name, a, b in zip(measures, one, other, strict=True)
                if not close(a, b)
            ]
            if unequal:
                told.append(f"{key}: {'; '.join(unequal)}")
    return told


def close(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def _grouped(
    rows: Iterable[Mapping[str, object]], keys: Sequence[str], measures: Sequence[str]
) -> dict[str, list[list[float | None]]]:
    groups: dict[str, list[list[float | None]]] = defaultdict(list)
    for row in rows:
        key = ", ".join(f"{name}={_text(row.get(name))}" for name in keys)
        groups[key].append([_number(row.get(name)) for name in measures])
    for group in groups.values():
        group.sort(key=lambda values: [(value is None, round(value or 0.0, 6)) for value in values])
    return groups


def _text(value: object) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return str(value)


def _number(value: object) -> float | None:
    if value is None:
        return None
    assert isinstance(value, int | float | Decimal)
    return float(value)
