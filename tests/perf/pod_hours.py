"""A made-up cluster of any size as the Parquet of its line items: what the aggregator's figures are measured with.

Deployments of six pods in one project each, spread over the nodes at fifty pods a node; three enabled keys and three
that are not. Almost no two pods fall into one summary row, which is the hard case for everything that writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa

HOURS = 24
PODS_PER_NODE = 50
PODS_PER_DEPLOYMENT = 6
CORES, GIB = 64.0, 2.0**30
ENABLED_KEYS = ("app", "env", "team")

POD_MEASURES = ("pod_usage", "pod_request", "pod_limit", "pod_effective_usage")


@dataclass(frozen=True, kw_only=True)
class MadeUpCluster:
    """`pods` pods, every one of them for all hours of a day."""

    pods: int
    namespaces: int = 400
    seed: int = 7

    @property
    def rows_per_day(self) -> int:
        return self.pods * HOURS

    @property
    def nodes(self) -> int:
        return max(1, self.pods // PODS_PER_NODE)

    def hours(self, day: date) -> Iterator[pa.Table]:
        """The hourly pod rows, one table an hour."""
        random = np.random.default_rng(self.seed + day.toordinal())
        for hour in range(HOURS):
            moment = datetime(day.year, day.month, day.day) + timedelta(hours=hour)
            yield pa.table({**self._names(moment), **self._measures(random, 1), **self._capacity(1)})

    def day(self, day: date) -> dict[str, pa.Table]:
        """The daily rows of every report type."""
        random = np.random.default_rng(self.seed + day.toordinal())
        moment = datetime(day.year, day.month, day.day)
        return {
            "pod_usage": pa.table({**self._names(moment), **self._measures(random, HOURS), **self._capacity(HOURS)}),
            "storage_usage": self._storage(moment),
            "node_labels": pa.table(
                {
                    "interval_start": _times(moment, self.nodes),
                    "node": [f"node-{number}" for number in range(self.nodes)],
                    "node_labels": [
                        json.dumps({"kubernetes_io_arch": "amd64", "zone": f"z{number % 3}"})
                        for number in range(self.nodes)
                    ],
                }
            ),
            "namespace_labels": pa.table(
                {
                    "interval_start": _times(moment, self.namespaces),
                    "namespace": [f"project-{number}" for number in range(self.namespaces)],
                    "namespace_labels": [json.dumps({"team": f"t{number % 9}"}) for number in range(self.namespaces)],
                }
            ),
        }

    def _names(self, moment: datetime) -> dict[str, pa.Array]:
        numbers = np.arange(self.pods)
        deployments = numbers // PODS_PER_DEPLOYMENT
        nodes = (numbers * 7919) % self.nodes
        return {
            "interval_start": _times(moment, self.pods),
            "namespace": pa.array([f"project-{number}" for number in deployments % self.namespaces]),
            "node": pa.array([f"node-{number}" for number in nodes]),
            "resource_id": pa.array([f"i-{number:017x}" for number in nodes]),
            "pod": pa.array([f"pod-{number:06x}" for number in numbers]),
            "node_role": pa.array(["worker"] * self.pods),
            "pod_labels": pa.array([_labels(number) for number in deployments]),
        }

    def _measures(self, random: np.random.Generator, hours: int) -> dict[str, np.ndarray]:
        usage = np.round(random.random(self.pods) * 3600 * hours, 6)
        request = np.round(random.random(self.pods) * 3600 * hours, 6)
        values = dict(zip(POD_MEASURES, (usage, request, request * 2, np.maximum(usage, request)), strict=True))
        return {f"{name}_cpu_core_seconds": value for name, value in values.items()} | {
            f"{name}_memory_byte_seconds": value * GIB for name, value in values.items()
        }

    def _capacity(self, hours: int) -> dict[str, np.ndarray]:
        seconds = 3600.0 * hours
        return {
            "node_capacity_cpu_cores": np.full(self.pods, CORES),
            "node_capacity_cpu_core_seconds": np.full(self.pods, CORES * seconds),
            "node_capacity_memory_bytes": np.full(self.pods, 4 * CORES * GIB),
            "node_capacity_memory_byte_seconds": np.full(self.pods, 4 * CORES * GIB * seconds),
        }

    def _storage(self, moment: datetime) -> pa.Table:
        """One pod of twenty has a volume."""
        numbers = np.arange(0, self.pods, 20)
        names = self._names(moment)
        count = len(numbers)
        return pa.table(
            {
                "interval_start": _times(moment, count),
                "namespace": names["namespace"].take(pa.array(numbers)),
                "pod": names["pod"].take(pa.array(numbers)),
                "persistentvolumeclaim": [f"claim-{number}" for number in numbers],
                "persistentvolume": [f"pv-{number}" for number in numbers],
                "storageclass": ["gp3"] * count,
                "persistentvolume_labels": ["{}"] * count,
                "persistentvolumeclaim_labels": ['{"app":"db"}'] * count,
                "persistentvolumeclaim_capacity_bytes": np.full(count, 32 * GIB),
                "persistentvolumeclaim_capacity_byte_seconds": np.full(count, 32 * GIB * 86_400),
                "volume_request_storage_byte_seconds": np.full(count, 32 * GIB * 86_400),
                "persistentvolumeclaim_usage_byte_seconds": np.full(count, 16 * GIB * 86_400),
            }
        )


def _times(moment: datetime, count: int) -> pa.Array:
    return pa.array(np.full(count, np.datetime64(moment, "ms")))


def _labels(deployment: int) -> str:
    return json.dumps(
        {
            "app": f"app-{deployment % 3000}",
            "env": ("prod", "dev", "stage")[deployment % 3],
            "team": f"team-{deployment % 40}",
            "pod_template_hash": f"{deployment * 2654435761 % 2**32:x}",
            "helm_sh_chart": f"chart-{deployment % 500}",
            "app_kubernetes_io_component": f"component-{deployment % 7}",
        }
    )
