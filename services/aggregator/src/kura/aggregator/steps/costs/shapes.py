"""The shapes that the cost steps pass on."""

from __future__ import annotations

import pyarrow as pa

TEXT, NUMBER = pa.string(), pa.float64()

CAPACITIES = (
    "node_capacity_cpu_cores",
    "node_capacity_cpu_core_hours",
    "node_capacity_memory_gigabytes",
    "node_capacity_memory_gigabyte_hours",
    "cluster_capacity_cpu_core_hours",
    "cluster_capacity_memory_gigabyte_hours",
)
CLAIM = ("persistentvolumeclaim", "persistentvolume", "storageclass")
LABELS = ("pod_labels", "volume_labels", "all_labels")
PLACE = (
    ("usage_start", pa.date32()),
    ("data_source", TEXT),
    ("namespace", TEXT),
    ("node", TEXT),
    ("resource_id", TEXT),
    ("cost_category_id", pa.int32()),
)

SUMMARY = pa.schema(
    [
        *PLACE,
        *((name, TEXT) for name in (*LABELS, *CLAIM)),
        *(
            (name, NUMBER)
            for name in (
                "pod_usage_cpu_core_hours",
                "pod_request_cpu_core_hours",
                "pod_effective_usage_cpu_core_hours",
                "pod_usage_memory_gigabyte_hours",
                "pod_request_memory_gigabyte_hours",
                "pod_effective_usage_memory_gigabyte_hours",
                *CAPACITIES,
                "persistentvolumeclaim_capacity_gigabyte_months",
                "volume_request_storage_gigabyte_months",
                "persistentvolumeclaim_usage_gigabyte_months",
            )
        ),
    ]
)
"""What costs need of the daily summary in Parquet."""

CLOUD = pa.schema(
    [*SUMMARY, ("infrastructure_raw_cost", NUMBER), ("infrastructure_markup_cost", NUMBER), ("raw_currency", TEXT)]
)
"""Base rows that carry cloud cost; they are in PostgreSQL only."""

USAGE_ROWS = pa.schema(
    [
        *PLACE,
        *((name, TEXT) for name in (*LABELS, *CLAIM)),
        *((name, NUMBER) for name in CAPACITIES),
        ("cost_model_rate_type", TEXT),
        ("cost_model_cpu_cost", NUMBER),
        ("cost_model_memory_cost", NUMBER),
        ("cost_model_volume_cost", NUMBER),
    ]
)

USAGE_QUANTITIES = pa.schema(
    [
        *PLACE[:4],
        ("cost_category_id", pa.int32()),
        ("metric", TEXT),
        ("cost_model_rate_type", TEXT),
        ("quantity", NUMBER),
    ]
)

CHARGES = pa.schema(
    [
        *PLACE,
        *((name, TEXT) for name in (*LABELS, *CLAIM)),
        *((name, NUMBER) for name in CAPACITIES),
        ("cost_model_rate_type", TEXT),
        ("monthly_cost_type", TEXT),
        ("metric", TEXT),
        ("tag_key", TEXT),
        ("tag_value", TEXT),
        ("rate_id", pa.binary()),
        ("custom_name", TEXT),
        ("unit_rate", NUMBER),
        ("quantity", NUMBER),
        ("target", TEXT),
    ]
)
"""One cost row of one rate: cost = quantity × unit_rate, into the column that `target` names."""

DISTRIBUTED = pa.schema(
    [
        *PLACE,
        *((name, NUMBER) for name in CAPACITIES),
        ("raw_currency", TEXT),
        ("cost_model_rate_type", TEXT),
        ("pool_cost", NUMBER),
        ("share", NUMBER),
        ("distributed_cost", NUMBER),
    ]
)

MACHINE_DAYS = pa.schema(
    [("usage_start", pa.date32()), ("vm_name", TEXT), *((name, NUMBER) for name in ("hours", "longest_hours", "cores"))]
)
MACHINE_PLACES = pa.schema([("vm_name", TEXT), ("node", TEXT), ("resource_id", TEXT), ("day", pa.date32())])

UNALLOCATED_GPUS = pa.schema([("usage_start", pa.date32()), ("node", TEXT), ("gpu_model_name", TEXT), ("cost", NUMBER)])
