"""Sizes of clusters that the generators make."""

from dataclasses import dataclass

HOURS_PER_DAY = 24
QUARTERS_PER_DAY = 96


@dataclass(frozen=True, kw_only=True)
class ClusterProfile:
    """How many clusters there are and what each of them holds; all counts but `clusters` are per cluster."""

    name: str
    clusters: int
    nodes: int
    namespaces: int
    pods_per_node: int
    pvcs: int
    vms: int = 0
    gpu_pods: int = 0
    churn: float = 0.0
    """Share of the stateless pods that are replaced by a pod of another name once per day."""
    optimizations: bool = False
    """Send the two right-sizing files too, for every pod and namespace."""

    @property
    def pods(self) -> int:
        return self.nodes * self.pods_per_node

    def rows_per_day(self) -> dict[str, int]:
        """Rows of one full day of one cluster, by report type."""
        rows = {
            "pod_usage": self.pods * HOURS_PER_DAY,
            "storage_usage": self.pvcs * HOURS_PER_DAY,
            "node_labels": self.nodes * HOURS_PER_DAY,
            "namespace_labels": self.namespaces * HOURS_PER_DAY,
            "vm_usage": self.vms * HOURS_PER_DAY,
            "gpu_usage": self.gpu_pods * HOURS_PER_DAY,
        }
        if self.optimizations:
            rows["ros_container"] = self.pods * QUARTERS_PER_DAY
            rows["ros_namespace"] = self.namespaces * QUARTERS_PER_DAY
        return {report: count for report, count in rows.items() if count}


def _load_profile(
    name: str, *, clusters: int, nodes: int, namespaces: int, pvcs: int, pods_per_node: int = 50
) -> ClusterProfile:
    """A profile from counts over all clusters, as the load tables state them."""
    return ClusterProfile(
        name=name,
        clusters=clusters,
        nodes=nodes // clusters,
        namespaces=namespaces // clusters,
        pvcs=pvcs // clusters,
        pods_per_node=pods_per_node,
    )


PROFILES: dict[str, ClusterProfile] = {
    profile.name: profile
    for profile in (
        ClusterProfile(name="tiny", clusters=1, nodes=3, namespaces=5, pods_per_node=6, pvcs=4, vms=1, gpu_pods=1),
        ClusterProfile(
            name="demo", clusters=3, nodes=9, namespaces=18, pods_per_node=24, pvcs=30, vms=4, gpu_pods=3, churn=0.1
        ),
        _load_profile("small", clusters=1, nodes=15, namespaces=10, pvcs=48),
        _load_profile("medium", clusters=2, nodes=50, namespaces=40, pvcs=178),
        _load_profile("large", clusters=7, nodes=133, namespaces=210, pvcs=490),
        _load_profile("xlarge", clusters=23, nodes=345, namespaces=920, pvcs=1265),
        _load_profile("stress_p99", clusters=33, nodes=1056, namespaces=1650, pvcs=6105),
        _load_profile("stress_max", clusters=67, nodes=4288, namespaces=6700, pvcs=32428),
    )
}
