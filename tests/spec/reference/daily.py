"""Daily rows from hourly rows (ocp-payload §6.8)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time

from reference.csv_reports import POD_SECONDS, VM_SECONDS, VM_SIZES, VM_TEXTS, VOLUME_SECONDS, Row


@dataclass(frozen=True)
class DailyRule:
    """Group keys besides the day; columns of which the largest is taken; columns that are summed."""

    keys: tuple[str, ...]
    largest: tuple[str, ...] = ()
    summed: tuple[str, ...] = ()


PERIOD = ("report_period_start", "report_period_end")

DAILY_RULES = {
    "pod_usage": DailyRule(
        keys=("namespace", "node", "pod", "pod_labels"),
        largest=(*PERIOD, "resource_id", "node_capacity_cpu_cores", "node_capacity_memory_bytes", "node_role"),
        summed=(
            *POD_SECONDS,
            "pod_effective_usage_cpu_core_seconds",
            "pod_effective_usage_memory_byte_seconds",
            "node_capacity_cpu_core_seconds",
            "node_capacity_memory_byte_seconds",
        ),
    ),
    "storage_usage": DailyRule(
        keys=(
            "namespace",
            "node",
            "pod",
            "persistentvolumeclaim",
            "persistentvolume",
            "storageclass",
            "csi_driver",
            "csi_volume_handle",
            "persistentvolume_labels",
            "persistentvolumeclaim_labels",
        ),
        largest=(*PERIOD, "persistentvolumeclaim_capacity_bytes"),
        summed=VOLUME_SECONDS,
    ),
    "node_labels": DailyRule(keys=("node", "node_labels"), largest=PERIOD),
    "namespace_labels": DailyRule(keys=("namespace", "namespace_labels"), largest=PERIOD),
    "vm_usage": DailyRule(
        keys=("namespace", "node", "vm_name", "vm_labels"),
        largest=(*PERIOD, *VM_TEXTS, *VM_SIZES),
        summed=VM_SECONDS,
    ),
    "gpu_usage": DailyRule(
        keys=("node", "namespace", "pod", "gpu_uuid", "mig_instance_id"),
        largest=(
            *PERIOD,
            "gpu_model_name",
            "gpu_vendor_name",
            "gpu_memory_capacity_mib",
            "mig_profile",
            "mig_slice_count",
            "gpu_max_slices",
            "mig_memory_capacity_mib",
            "mig_strategy",
        ),
        summed=("gpu_pod_uptime",),
    ),
}


def day_start(moment: object) -> datetime:
    assert isinstance(moment, datetime)
    return datetime.combine(moment.date(), time())


def daily_rows(report_type: str, hourly: Iterable[Row]) -> list[Row]:
    """One row per day and group; `interval_start` is the day; nulls are values of a group key."""
    rule = DAILY_RULES[report_type]
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in hourly:
        key = (day_start(row["interval_start"]), *(row[name] for name in rule.keys))
        groups.setdefault(key, []).append(row)

    days = []
    for (day, *values), rows in groups.items():
        result: Row = {"interval_start": day, **dict(zip(rule.keys, values, strict=True))}
        for name in rule.largest:
            result[name] = largest(row[name] for row in rows)
        for name in rule.summed:
            result[name] = total([row[name] for row in rows])
        days.append(result)
    return days


def largest(values: Iterable[object]) -> object:
    """The SQL maximum: nulls are passed over, nothing but nulls is null."""
    known = [value for value in values if value is not None]
    return max(known) if known else None  # type: ignore[type-var]


def total(values: Sequence[object]) -> float | None:
    """The SQL sum: nulls are passed over, nothing but nulls is null."""
    known = [float(value) for value in values if value is not None]  # type: ignore[arg-type]
    return sum(known) if known else None
