"""The metrics a cost model can price, in the order clients show them (read-api-fields §8)."""

from __future__ import annotations

SOURCE_TYPE = "OpenShift Container Platform"
SOURCE_CODE = "OCP"

_METRICS = """
cpu_core_usage_per_hour           | CPU                      | Usage           | core-hours    | Supplementary
cpu_core_request_per_hour         | CPU                      | Request         | core-hours    | Supplementary
cpu_core_effective_usage_per_hour | CPU                      | Effective-usage | core-hours    | Supplementary
memory_gb_usage_per_hour          | Memory                   | Usage           | GiB-hours     | Supplementary
memory_gb_request_per_hour        | Memory                   | Request         | GiB-hours     | Supplementary
memory_gb_effective_usage_per_hour| Memory                   | Effective-usage | GiB-hours     | Supplementary
storage_gb_usage_per_month        | Storage                  | Usage           | GiB-month     | Supplementary
storage_gb_request_per_month      | Storage                  | Request         | GiB-month     | Supplementary
node_core_cost_per_hour           | Node                     | Count           | core-hour     | Infrastructure
node_cost_per_month               | Node                     | Count           | node-month    | Infrastructure
node_core_cost_per_month          | Node                     | Count           | core-month    | Infrastructure
cluster_cost_per_month            | Cluster                  | Count           | cluster-month | Infrastructure
cluster_cost_per_hour             | Cluster                  | Count           | cluster-hour  | Infrastructure
pvc_cost_per_month                | Persistent volume claims | Count           | pvc-month     | Infrastructure
vm_cost_per_month                 | Virtual Machine          | Count           | vm-month      | Infrastructure
vm_cost_per_hour                  | Virtual Machine          | Count           | vm-hour       | Infrastructure
cluster_core_cost_per_hour        | Cluster                  | Count           | core-hour     | Infrastructure
project_per_month                 | Project                  | Count           | project-month | Infrastructure
vm_core_cost_per_month            | Virtual Machine          | Count           | core-month    | Infrastructure
vm_core_cost_per_hour             | Virtual Machine          | Count           | core-hour     | Infrastructure
gpu_cost_per_month                | GPU                      | Count           | gpu-month     | Infrastructure
"""

_NAMES = ("metric", "label_metric", "label_measurement", "label_measurement_unit", "default_cost_type")

METRICS: tuple[dict[str, str], ...] = tuple(
    {"source_type": SOURCE_TYPE, **dict(zip(_NAMES, (cell.strip() for cell in line.split("|")), strict=True))}
    for line in _METRICS.strip().splitlines()
)
