"""The report types of the OpenShift operator, as data: columns, kinds, grouping. Source: ocp-payload §5, §6.7–6.8.

A type is recognised by its columns, never by the name of its file: old operators and nise put no type into the name.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """How the cells of a column are read."""

    TEXT = "text"  # missing is ""
    NUMBER = "number"  # empty or no number is 0.0
    NULLABLE_NUMBER = "nullable number"  # empty or no number is null
    TIME = "time"  # anything but a date-time fails the file
    LABELS = "labels"  # label cell → JSON text


TIME_COLUMNS = ("report_period_start", "report_period_end", "interval_start", "interval_end")

LARGEST_PLAUSIBLE = 1e18
"""A row with a larger value, of either sign, is a glitch of the metrics store and is dropped. The reference does so in
some columns only; in the others the summary tables would refuse such a value later, and with it the whole month."""

LARGEST = {
    "node_capacity_cpu_cores": 1e15,
    "vm_cpu_request_cores": 1e15,
    "gpu_max_slices": 1e9,
    "mig_slice_count": 1e9,
}
"""Columns whose tables hold less: numeric(18,2), 24 times as much in numeric(33,15), and integer."""

MOST_SECONDS_OF_A_DAY = 1e20
"""Core-seconds or seconds that the rows of one file may add up to on one day. Tables hold 36 times as much, and a day
of all processors of the world is less. Byte-seconds are not limited: their tables hold any sum of plausible rows."""

LONGEST = {
    **dict.fromkeys(
        ("namespace", "node", "resource_id", "persistentvolume", "persistentvolumeclaim", "storageclass"), 253
    ),
    **dict.fromkeys(("gpu_uuid", "gpu_model_name", "gpu_vendor_name", "mig_instance_id"), 128),
    "mig_profile": 64,
    "mig_strategy": 10,
}
"""Characters that the summary tables hold. A longer text is no Kubernetes name; its row is dropped."""

LONGEST_USUAL = {
    **dict.fromkeys(("pod", "vm_name"), 253),
    **dict.fromkeys(("csi_driver", "vm_instance_type", "vm_os", "vm_device"), 256),
    "csi_volume_handle": 512,
    "node_role": 64,
}
"""Characters of texts that no summary table limits. A longer one is taken in; it is counted and logged."""

LONGEST_TEXT = 65_536
"""Characters of any text. A row with a longer one is dropped: a few of them would fill the memory of a daily group."""

LONGEST_LABELS = 262_144
"""Characters of a label cell: what Kubernetes allows for all annotations of an object. A longer one holds no label."""


@dataclass(frozen=True, kw_only=True)
class ReportType:
    """One cost report: what makes it recognisable, how cells are read, how hours become a day."""

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()  # computed here, after reading; present in hourly and daily data
    kinds: dict[str, Kind]
    tag_key_columns: tuple[str, ...] = ()
    effective: tuple[tuple[str, str, str], ...] = ()  # (result, usage, request): result is the larger, hour by hour
    daily_keys: tuple[str, ...]
    daily_max: tuple[str, ...] = ()
    daily_sum: tuple[str, ...] = ()
    hourly_only: tuple[str, ...] = field(default=())

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the hourly data, in the order they are stored."""
        return (*TIME_COLUMNS, *self.required, *self.optional, *self.derived)

    @property
    def seconds(self) -> tuple[str, ...]:
        """Columns of MOST_SECONDS_OF_A_DAY."""
        return tuple(name for name in self.daily_sum if "byte" not in name)

    def kind(self, column: str) -> Kind:
        return self.kinds[column]

    def is_number(self, column: str) -> bool:
        return self.kinds[column] in (Kind.NUMBER, Kind.NULLABLE_NUMBER)


def _kinds(**columns: tuple[str, ...]) -> dict[str, Kind]:
    """Kind of every column; the four time columns are in every report."""
    kinds = dict.fromkeys(TIME_COLUMNS, Kind.TIME)
    for kind, names in columns.items():
        kinds.update({name: Kind[kind.upper()] for name in names})
    return kinds


PERIOD = ("report_period_start", "report_period_end")

STORAGE_TEXT = ("namespace", "pod", "persistentvolumeclaim", "persistentvolume", "storageclass")
STORAGE_SECONDS = (
    "persistentvolumeclaim_capacity_byte_seconds",
    "volume_request_storage_byte_seconds",
    "persistentvolumeclaim_usage_byte_seconds",
)
STORAGE_NUMBERS = ("persistentvolumeclaim_capacity_bytes", *STORAGE_SECONDS)
STORAGE_LABELS = ("persistentvolume_labels", "persistentvolumeclaim_labels")
STORAGE_OPTIONAL = ("node", "csi_driver", "csi_volume_handle")  # since operator 3.3.0

STORAGE_USAGE = ReportType(
    name="storage_usage",
    required=(*STORAGE_TEXT, *STORAGE_NUMBERS, *STORAGE_LABELS),
    optional=STORAGE_OPTIONAL,
    kinds=_kinds(text=(*STORAGE_TEXT, *STORAGE_OPTIONAL), number=STORAGE_NUMBERS, labels=STORAGE_LABELS),
    tag_key_columns=STORAGE_LABELS,
    daily_keys=(
        "namespace",
        "node",
        "pod",
        "persistentvolumeclaim",
        "persistentvolume",
        "storageclass",
        "csi_driver",
        "csi_volume_handle",
        *STORAGE_LABELS,
    ),
    daily_max=(*PERIOD, "persistentvolumeclaim_capacity_bytes"),
    daily_sum=STORAGE_SECONDS,
)

POD_TEXT = ("node", "namespace", "pod", "resource_id")
POD_SECONDS = (
    "pod_usage_cpu_core_seconds",
    "pod_request_cpu_core_seconds",
    "pod_limit_cpu_core_seconds",
    "pod_usage_memory_byte_seconds",
    "pod_request_memory_byte_seconds",
    "pod_limit_memory_byte_seconds",
)
POD_CAPACITY = ("node_capacity_cpu_cores", "node_capacity_memory_bytes")
POD_CAPACITY_SECONDS = ("node_capacity_cpu_core_seconds", "node_capacity_memory_byte_seconds")
POD_EFFECTIVE = ("pod_effective_usage_cpu_core_seconds", "pod_effective_usage_memory_byte_seconds")

POD_USAGE = ReportType(
    name="pod_usage",
    required=(*POD_TEXT, *POD_SECONDS, *POD_CAPACITY, *POD_CAPACITY_SECONDS, "pod_labels"),
    optional=("node_role",),
    derived=POD_EFFECTIVE,
    kinds=_kinds(
        text=(*POD_TEXT, "node_role"),
        number=(*POD_SECONDS, *POD_CAPACITY, *POD_CAPACITY_SECONDS, *POD_EFFECTIVE),
        labels=("pod_labels",),
    ),
    tag_key_columns=("pod_labels",),
    effective=(
        ("pod_effective_usage_cpu_core_seconds", "pod_usage_cpu_core_seconds", "pod_request_cpu_core_seconds"),
        ("pod_effective_usage_memory_byte_seconds", "pod_usage_memory_byte_seconds", "pod_request_memory_byte_seconds"),
    ),
    daily_keys=("namespace", "node", "pod", "pod_labels"),
    daily_max=(*PERIOD, "resource_id", *POD_CAPACITY, "node_role"),
    daily_sum=(*POD_SECONDS, *POD_EFFECTIVE, *POD_CAPACITY_SECONDS),
)

NODE_LABELS = ReportType(
    name="node_labels",
    required=("node", "node_labels"),
    kinds=_kinds(text=("node",), labels=("node_labels",)),
    tag_key_columns=("node_labels",),
    daily_keys=("node", "node_labels"),
    daily_max=PERIOD,
)

NAMESPACE_LABELS = ReportType(
    name="namespace_labels",
    required=("namespace", "namespace_labels"),
    kinds=_kinds(text=("namespace",), labels=("namespace_labels",)),
    tag_key_columns=("namespace_labels",),
    daily_keys=("namespace", "namespace_labels"),
    daily_max=PERIOD,
)

VM_DESCRIPTION = (
    "resource_id",
    "vm_instance_type",
    "vm_os",
    "vm_guest_os_arch",
    "vm_guest_os_name",
    "vm_guest_os_version",
    "vm_device",
    "vm_volume_mode",
    "vm_persistentvolumeclaim_name",
)
VM_TEXT = ("node", "namespace", "vm_name", *VM_DESCRIPTION)
VM_LEVELS = (
    "vm_cpu_limit_cores",
    "vm_cpu_request_cores",
    "vm_cpu_request_sockets",
    "vm_cpu_request_threads",
    "vm_memory_limit_bytes",
    "vm_memory_request_bytes",
)
VM_SECONDS = (
    "vm_uptime_total_seconds",
    "vm_cpu_limit_core_seconds",
    "vm_cpu_request_core_seconds",
    "vm_cpu_request_socket_seconds",
    "vm_cpu_request_thread_seconds",
    "vm_cpu_usage_total_seconds",
    "vm_memory_limit_byte_seconds",
    "vm_memory_request_byte_seconds",
    "vm_memory_usage_byte_seconds",
    "vm_disk_allocated_size_byte_seconds",
)

VM_USAGE = ReportType(
    name="vm_usage",
    required=(*VM_TEXT, *VM_LEVELS, *VM_SECONDS, "vm_labels"),
    kinds=_kinds(text=VM_TEXT, number=(*VM_LEVELS, *VM_SECONDS), labels=("vm_labels",)),
    daily_keys=("namespace", "node", "vm_name", "vm_labels"),
    daily_max=(*PERIOD, *VM_DESCRIPTION, *VM_LEVELS),
    daily_sum=VM_SECONDS,
)

GPU_TEXT = ("node", "namespace", "pod", "gpu_uuid", "gpu_model_name", "gpu_vendor_name")
MIG_TEXT = ("mig_instance_id", "mig_profile", "mig_strategy")  # since operator 4.4.0
MIG_NUMBERS = ("gpu_max_slices", "mig_slice_count", "mig_memory_capacity_mib")

GPU_USAGE = ReportType(
    name="gpu_usage",
    required=(*GPU_TEXT, "gpu_memory_capacity_mib", "gpu_pod_uptime"),
    optional=(*MIG_TEXT, *MIG_NUMBERS, "gpu_pod_utilization"),
    kinds=_kinds(
        text=(*GPU_TEXT, *MIG_TEXT, "gpu_pod_utilization"),
        number=("gpu_memory_capacity_mib", "gpu_pod_uptime"),
        nullable_number=MIG_NUMBERS,
    ),
    daily_keys=("node", "namespace", "pod", "gpu_uuid", "mig_instance_id"),
    daily_max=(
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
    daily_sum=("gpu_pod_uptime",),
    hourly_only=("gpu_pod_utilization",),
)

REPORT_TYPES = (STORAGE_USAGE, POD_USAGE, NODE_LABELS, NAMESPACE_LABELS, VM_USAGE, GPU_USAGE)
"""In the order of recognition."""

BY_NAME = {report_type.name: report_type for report_type in REPORT_TYPES}


def recognise(header: Collection[str]) -> ReportType | None:
    """The first type all of whose required columns are in the header; None when there is none (ocp-payload §5.1)."""
    present = set(header)
    return next((t for t in REPORT_TYPES if present.issuperset(t.required)), None)
