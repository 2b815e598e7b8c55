"""The metrics that a rate can price (cost-models §3): what is counted, and where its cost goes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

import pyarrow as pa

INFRASTRUCTURE: Final = "Infrastructure"
SUPPLEMENTARY: Final = "Supplementary"
COST_TYPES: Final = (INFRASTRUCTURE, SUPPLEMENTARY)


class Family(Enum):
    """Which step charges a metric."""

    USAGE = "usage"
    NODE_MONTH = "node_month"
    PVC_MONTH = "pvc_month"
    MACHINE_MONTH = "machine_month"
    MACHINE_HOUR = "machine_hour"
    PROJECT = "project"
    GPU = "gpu"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    `monthly_cost_type` marks the rows of a tiered monthly rate. `side`: whose labels a tag rate looks at, pods' or
    volumes'.
    """

    name: str
    metric_type: str
    family: Family
    monthly_cost_type: str | None = None
    default_cost_type: str = INFRASTRUCTURE
    side: str = "pod"


METRICS: Final = (
    *(
        Metric(name=name, metric_type=kind, family=Family.USAGE, default_cost_type=SUPPLEMENTARY, side=side)
        for name, kind, side in (
            ("cpu_core_usage_per_hour", "cpu", "pod"),
            ("cpu_core_request_per_hour", "cpu", "pod"),
            ("cpu_core_effective_usage_per_hour", "cpu", "pod"),
            ("memory_gb_usage_per_hour", "memory", "pod"),
            ("memory_gb_request_per_hour", "memory", "pod"),
            ("memory_gb_effective_usage_per_hour", "memory", "pod"),
            ("storage_gb_usage_per_month", "storage", "volume"),
            ("storage_gb_request_per_month", "storage", "volume"),
        )
    ),
    Metric(name="node_core_cost_per_hour", metric_type="node", family=Family.USAGE),
    Metric(name="cluster_core_cost_per_hour", metric_type="cluster", family=Family.USAGE),
    Metric(name="cluster_cost_per_hour", metric_type="cluster", family=Family.USAGE),
    Metric(name="node_cost_per_month", metric_type="node", family=Family.NODE_MONTH, monthly_cost_type="Node"),
    Metric(
        name="node_core_cost_per_month",
        metric_type="node",
        family=Family.NODE_MONTH,
        monthly_cost_type="Node_Core_Month",
    ),
    Metric(name="cluster_cost_per_month", metric_type="cluster", family=Family.NODE_MONTH, monthly_cost_type="Cluster"),
    Metric(
        name="pvc_cost_per_month", metric_type="pvc", family=Family.PVC_MONTH, monthly_cost_type="PVC", side="volume"
    ),
    Metric(name="vm_cost_per_month", metric_type="vm", family=Family.MACHINE_MONTH, monthly_cost_type="OCP_VM"),
    Metric(
        name="vm_core_cost_per_month", metric_type="vm", family=Family.MACHINE_MONTH, monthly_cost_type="OCP_VM_CORE"
    ),
    Metric(name="vm_cost_per_hour", metric_type="vm", family=Family.MACHINE_HOUR),
    Metric(name="vm_core_cost_per_hour", metric_type="vm", family=Family.MACHINE_HOUR),
    Metric(name="project_per_month", metric_type="project", family=Family.PROJECT),
    Metric(name="gpu_cost_per_month", metric_type="gpu", family=Family.GPU),
)
BY_NAME: Final = {metric.name: metric for metric in METRICS}
USAGE_METRICS: Final = tuple(metric.name for metric in METRICS if metric.family is Family.USAGE)


def metrics_table() -> pa.Table:
    """The metrics as rows, for the engine."""
    return pa.table(
        {
            "metric": [metric.name for metric in METRICS],
            "metric_type": [metric.metric_type for metric in METRICS],
            "side": [metric.side for metric in METRICS],
            "monthly_cost_type": pa.array([metric.monthly_cost_type for metric in METRICS], pa.string()),
        }
    )
