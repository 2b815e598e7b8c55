"""The shape of the line items in Parquet, as far as pipelines read them (ocp-payload §5, §6.9).

A data set made with one of these schemas reads every file that was ever written: a column that a file lacks, or that
is all null, is null; integers are read as doubles.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

TEXT, NUMBER, TIME = pa.string(), pa.float64(), pa.timestamp("ms")


def _schema(*, text: str, number: str = "") -> pa.Schema:
    return pa.schema(
        [
            ("interval_start", TIME),
            *((name, TEXT) for name in text.split()),
            *((name, NUMBER) for name in number.split()),
        ]
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Kind:
    """One kind of line items: a report type, by hour or by day. Each is itself, like a member of an enum."""

    report_type: str
    daily: bool
    schema: pa.Schema


POD_USAGE_HOURLY = Kind(
    report_type="pod_usage",
    daily=False,
    schema=_schema(text="node", number="node_capacity_cpu_core_seconds node_capacity_memory_byte_seconds"),
)
POD_USAGE_DAILY = Kind(
    report_type="pod_usage",
    daily=True,
    schema=_schema(
        text="namespace node pod resource_id node_role pod_labels",
        number="""
            pod_usage_cpu_core_seconds pod_request_cpu_core_seconds pod_limit_cpu_core_seconds
            pod_effective_usage_cpu_core_seconds
            pod_usage_memory_byte_seconds pod_request_memory_byte_seconds pod_limit_memory_byte_seconds
            pod_effective_usage_memory_byte_seconds
            node_capacity_cpu_cores node_capacity_memory_bytes
        """,
    ),
)
STORAGE_USAGE_DAILY = Kind(
    report_type="storage_usage",
    daily=True,
    schema=_schema(
        text="""
            namespace pod persistentvolumeclaim persistentvolume storageclass csi_volume_handle
            persistentvolume_labels persistentvolumeclaim_labels
        """,
        number="""
            persistentvolumeclaim_capacity_bytes persistentvolumeclaim_capacity_byte_seconds
            volume_request_storage_byte_seconds persistentvolumeclaim_usage_byte_seconds
        """,
    ),
)
POD_LABELS_HOURLY = Kind(report_type="pod_usage", daily=False, schema=_schema(text="pod_labels"))
NODE_LABELS_HOURLY = Kind(report_type="node_labels", daily=False, schema=_schema(text="node node_labels"))
NODE_LABELS_DAILY = Kind(report_type="node_labels", daily=True, schema=_schema(text="node node_labels"))
NAMESPACE_LABELS_DAILY = Kind(
    report_type="namespace_labels", daily=True, schema=_schema(text="namespace namespace_labels")
)
VM_USAGE_HOURLY = Kind(
    report_type="vm_usage",
    daily=False,
    schema=_schema(
        text="namespace node resource_id vm_name vm_persistentvolumeclaim_name",
        number="vm_cpu_request_cores vm_memory_request_bytes vm_uptime_total_seconds",
    ),
)
GPU_USAGE_DAILY = Kind(
    report_type="gpu_usage",
    daily=True,
    schema=_schema(
        text="""
            namespace node gpu_uuid gpu_vendor_name gpu_model_name mig_profile mig_instance_id mig_strategy
        """,
        number="gpu_memory_capacity_mib mig_slice_count mig_memory_capacity_mib gpu_max_slices gpu_pod_uptime",
    ),
)

SUMMARY_INPUTS = (
    POD_USAGE_HOURLY,
    POD_USAGE_DAILY,
    STORAGE_USAGE_DAILY,
    NODE_LABELS_DAILY,
    NAMESPACE_LABELS_DAILY,
    GPU_USAGE_DAILY,
)
