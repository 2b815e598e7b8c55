"""What a cost model can price: every metric with its labels, in the order clients show them (read-api-fields §8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

INFRASTRUCTURE: Final = "Infrastructure"
SUPPLEMENTARY: Final = "Supplementary"
COST_TYPES: Final = (INFRASTRUCTURE, SUPPLEMENTARY)

SOURCE_TYPE_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "OCP": "OpenShift Container Platform",
        "AWS": "Amazon Web Services",
        "Azure": "Microsoft Azure",
        "GCP": "Google Cloud",
    }
)
"""Source types as people read them (cost-models §3)."""


@dataclass(frozen=True, kw_only=True)
class CostMetric:
    """One metric; every metric is of OpenShift."""

    metric: str
    label_metric: str
    label_measurement: str
    label_measurement_unit: str
    default_cost_type: str

    @property
    def metric_type(self) -> str:
        return METRIC_TYPES.get(self.label_metric, "other")

    @property
    def labels(self) -> dict[str, str]:
        return {
            "label_metric": self.label_metric,
            "label_measurement": self.label_measurement,
            "label_measurement_unit": self.label_measurement_unit,
        }


METRIC_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "CPU": "cpu",
        "Memory": "memory",
        "Storage": "storage",
        "Node": "node",
        "Cluster": "cluster",
        "Persistent volume claims": "pvc",
        "Virtual Machine": "vm",
        "Project": "project",
        "GPU": "gpu",
    }
)

_METRICS: Final = """
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

_NAMES: Final = ("metric", "label_metric", "label_measurement", "label_measurement_unit", "default_cost_type")

COST_METRICS: Final[Mapping[str, CostMetric]] = MappingProxyType(
    {
        found.metric: found
        for line in _METRICS.strip().splitlines()
        for found in [CostMetric(**dict(zip(_NAMES, (cell.strip() for cell in line.split("|")), strict=True)))]
    }
)

ONLY_BY_TAG: Final = frozenset({"project_per_month"})
"""Metrics that have no tiered rates."""
