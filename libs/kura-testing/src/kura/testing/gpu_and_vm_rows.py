"""Rows of the GPU and virtual machine tables, beside the sample of `summary_rows`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert

from kura.store.tables.tenant import GPU_SUMMARY, VM_SUMMARY
from kura.testing.summary_rows import CLUSTERS

Row = dict[str, Any]

DAY = "2024-06-17"


def place(cluster: str, day: str, namespace: str, node: str, **columns: Any) -> Row:
    source, alias = CLUSTERS[cluster]
    return {
        "usage_start": day,
        "usage_end": day,
        "cluster_id": cluster,
        "cluster_alias": alias,
        "source_uuid": source,
        "namespace": namespace,
        "node": node,
        **columns,
    }


def gpu(namespace: str, node: str, model: str, uuid: str, cost: float, **columns: Any) -> Row:
    return place(
        "cl-a",
        DAY,
        namespace,
        node,
        vendor_name="nvidia",
        model_name=model,
        gpu_uuid=uuid,
        memory_capacity_gb=columns.pop("memory", 80),
        gpu_mode=columns.pop("mode", "dedicated"),
        cost_model_rate_type="Supplementary",
        cost_model_gpu_cost=cost,
        **columns,
    )


def slice_of(uuid: str, instance: str, profile: str, slices: int) -> Row:
    return gpu(
        "web", "n1", "A100", uuid, 1, mode="MIG",
        mig_instance_id=instance, mig_profile=profile, mig_slice_count=slices, gpu_max_slices=7,
    )  # fmt: skip


GPUS = [
    gpu("web", "n1", "A100", "GPU-1", 10),
    gpu("web", "n1", "A100", "GPU-2", 20),
    gpu("db", "n2", "L4", "GPU-3", 5, memory=24),
    gpu("db", "n2", "T4", "GPU-4", 2, memory=16),
    slice_of("GPU-5", "MIG-1", "3g.40gb", 3),
    slice_of("GPU-5", "MIG-2", "1g.10gb", 1),
]


def vm(name: str, **columns: Any) -> Row:
    return place("cl-a", "2024-06-01", "web", "n1", vm_name=name, **columns)


VIRTUAL_MACHINES = [
    vm(
        "vm-1",
        pod_labels={"app": "shop", "env": "prod"},
        infrastructure_raw_cost=10,
        infrastructure_markup_cost=1,
        pod_request_cpu_core_hours=48,
        pod_request_memory_gigabyte_hours=96,
    ),
    vm("vm-1", pod_labels={"app": "blog"}, cost_model_rate_type="Supplementary", cost_model_cpu_cost=4),
    vm("vm-1", pod_labels={"app": "shop"}, cost_model_rate_type="platform_distributed", distributed_cost=3),
    vm(
        "vm-1",
        cost_model_rate_type="Infrastructure",
        persistentvolumeclaim="claim-1",
        storageclass="gp2",
        persistentvolumeclaim_usage_gigabyte_months=1.5,
        persistentvolumeclaim_capacity_gigabyte_months=3,
    ),
    vm("vm-2", pod_labels={"app": "shop"}, infrastructure_raw_cost=2, pod_request_cpu_core_hours=24),
    vm("vm-3", pod_labels={}, infrastructure_raw_cost=1),
]


def add_details(connection: Connection) -> None:
    """Fill both tables of the tenant."""
    for row in GPUS:
        connection.execute(insert(GPU_SUMMARY).values(row))
    for row in VIRTUAL_MACHINES:
        connection.execute(insert(VM_SUMMARY).values(row))
