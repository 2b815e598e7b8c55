"""The worked examples E1–E9 of the OpenShift pipeline as inputs, for the reference and for any engine."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

from reference.csv_reports import Row
from reference.labels import label_json
from reference.summary import GIB, SECONDS_PER_DAY, SECONDS_PER_HOUR, Inputs

DAY = date(2025, 1, 10)


def at(day: date, hour: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour)


def pod_hour(
    *,
    day: date = DAY,
    hour: int,
    node: str,
    cores: float = 4,
    gib: float = 16,
    namespace: str = "shop",
    pod: str = "web",
) -> Row:
    return {
        "interval_start": at(day, hour),
        "namespace": namespace,
        "node": node,
        "pod": pod,
        "node_capacity_cpu_core_seconds": cores * SECONDS_PER_HOUR,
        "node_capacity_memory_byte_seconds": gib * GIB * SECONDS_PER_HOUR,
    }


def pod_day(
    *,
    day: date = DAY,
    namespace: str = "shop",
    pod: str = "web-1",
    node: str = "n1",
    resource_id: str | None = "i-1",
    labels: Mapping[str, str] | None = None,
    cpu: Sequence[float | None] = (0.0, 0.0, 0.0),
    memory: Sequence[float | None] = (0.0, 0.0, 0.0),
    cores: float = 4,
    gib: float = 16,
) -> Row:
    """One daily pod row; `cpu` and `memory` are usage, request and effective usage in core·s and byte·s."""
    return {
        "interval_start": at(day),
        "namespace": namespace,
        "node": node,
        "pod": pod,
        "resource_id": resource_id,
        "pod_labels": label_json(labels or {}),
        "pod_usage_cpu_core_seconds": cpu[0],
        "pod_request_cpu_core_seconds": cpu[1],
        "pod_effective_usage_cpu_core_seconds": cpu[2],
        "pod_limit_cpu_core_seconds": 0.0,
        "pod_usage_memory_byte_seconds": memory[0],
        "pod_request_memory_byte_seconds": memory[1],
        "pod_effective_usage_memory_byte_seconds": memory[2],
        "pod_limit_memory_byte_seconds": 0.0,
        "node_capacity_cpu_cores": float(cores),
        "node_capacity_memory_bytes": float(gib * GIB),
        "node_role": None,
    }


def storage_day(
    *,
    day: date = DAY,
    namespace: str = "shop",
    pod: str = "p1",
    claim: str = "data",
    volume: str = "pv1",
    storage_class: str = "gp2",
    handle: str | None = "vol-1",
    capacity_gib: float = 62,
    request_gib: float = 31,
    usage_gib: float = 15.5,
    labels: Mapping[str, str] | None = None,
    claim_labels: Mapping[str, str] | None = None,
) -> Row:
    """One daily storage row of a volume that was there for 24 hours."""
    return {
        "interval_start": at(day),
        "namespace": namespace,
        "node": None,
        "pod": pod,
        "persistentvolumeclaim": claim,
        "persistentvolume": volume,
        "storageclass": storage_class,
        "csi_driver": "csi",
        "csi_volume_handle": handle,
        "persistentvolume_labels": label_json(labels or {}),
        "persistentvolumeclaim_labels": label_json(claim_labels or {}),
        "persistentvolumeclaim_capacity_bytes": capacity_gib * GIB,
        "persistentvolumeclaim_capacity_byte_seconds": capacity_gib * GIB * SECONDS_PER_DAY,
        "volume_request_storage_byte_seconds": request_gib * GIB * SECONDS_PER_DAY,
        "persistentvolumeclaim_usage_byte_seconds": usage_gib * GIB * SECONDS_PER_DAY,
    }


def node_labels(node: str, labels: Mapping[str, str], *, day: date = DAY) -> Row:
    return {"interval_start": at(day), "node": node, "node_labels": label_json(labels)}


def namespace_labels(namespace: str, labels: Mapping[str, str], *, day: date = DAY) -> Row:
    return {"interval_start": at(day), "namespace": namespace, "namespace_labels": label_json(labels)}


def stored_node(node: str, resource_id: str, *, role: str, cores: float) -> Row:
    """A row of this cluster in the node table, complete, so that no run changes it."""
    return {
        "node": node,
        "resource_id": resource_id,
        "node_capacity_cpu_cores": float(cores),
        "node_role": role,
        "architecture": "amd64",
        "of_this_cluster": True,
    }


def two_hours(node: str, *, pods: Sequence[str] = ("web-1",), cores: float = 4, gib: float = 16) -> list[Row]:
    return [pod_hour(hour=hour, node=node, pod=pod, cores=cores, gib=gib) for hour in (0, 1) for pod in pods]


E1 = Inputs(
    pods_hourly=two_hours("n1", pods=("web-1", "web-2")),
    pods_daily=[
        pod_day(pod="web-1", labels={"app": "web", "env": "dev", "secret": "x"}),
        pod_day(pod="web-2", labels={"app": "web"}),
    ],
    node_labels=[node_labels("n1", {"env": "prod", "team": "infra", "zone": "a"})],
    namespace_labels=[namespace_labels("shop", {"team": "retail", "env": "stage"})],
    enabled_keys=frozenset({"env", "team", "app"}),
)


def _memory(usage: float, request: float, effective: float) -> tuple[float, float, float]:
    return (usage * GIB, request * GIB, effective * GIB)


_E2_PODS = [
    pod_day(pod="web-1", labels={"app": "1"}, cpu=(3600.0, 7200.0, 7200.0), memory=_memory(3600, 7200, 7200)),
    pod_day(pod="web-2", labels={"app": "2"}, cpu=(10800.0, 7200.0, 10800.0), memory=_memory(7200, 3600, 7200)),
    pod_day(
        namespace="openshift-dns",
        pod="dns-1",
        node="m1",
        resource_id="i-2",
        cpu=(7200.0, 14400.0, 14400.0),
        memory=_memory(14400, 0, 14400),
        cores=8,
        gib=32,
    ),
    pod_day(pod="ghost", node="", resource_id="", cpu=(100.0, 100.0, 100.0), cores=0, gib=0),
]

E2 = Inputs(
    pods_hourly=[
        *two_hours("n1", pods=("web-1", "web-2")),
        *two_hours("m1", pods=("dns-1",), cores=8, gib=32),
        *two_hours("", pods=("ghost",), cores=0, gib=0),
    ],
    pods_daily=_E2_PODS,
    enabled_keys=frozenset({"app"}),
)
"""The pods carry a label each, so that their rows can be told apart."""

E3 = Inputs(
    pods_hourly=E2.pods_hourly,
    pods_daily=_E2_PODS,
    enabled_keys=frozenset({"app"}),
    nodes=[
        stored_node("n1", "i-1", role="worker", cores=4),
        stored_node("m1", "i-2", role="master", cores=8),
    ],
)

E4 = Inputs(
    pods_hourly=two_hours("n1"),
    pods_daily=[
        pod_day(namespace="x", pod="x", cpu=(400.0, 400.0, 500.0)),
        pod_day(namespace="y", pod="y", cpu=(400.0, 300.0, None)),
        pod_day(namespace="z", pod="z", cpu=(400.0, None, None)),
    ],
)

E5_DAY = date(2025, 2, 3)
E5 = Inputs(
    pods_daily=[
        pod_day(day=E5_DAY, pod="p1", node="n1", resource_id="i-1"),
        pod_day(day=E5_DAY, pod="p2", node="n2", resource_id="i-2"),
    ],
    storage_daily=[
        storage_day(
            day=E5_DAY,
            pod=pod,
            capacity_gib=56,
            request_gib=28,
            usage_gib=14,
            labels={"tier": "pv"},
            claim_labels={"tier": "pvc", "x": "y"},
        )
        for pod in ("p1", "p2")
    ],
    enabled_keys=frozenset({"tier"}),
)


def e6(day: date) -> Inputs:
    return Inputs(
        pods_daily=[pod_day(day=day, pod="p1")],
        storage_daily=[storage_day(day=day, pod="p1")],
    )


E6_MONTHS = {
    date(2025, 1, 10): ("2", "1", "0.5"),
    date(2025, 2, 10): ("2.214285714285714", "1.107142857142857", "0.553571428571429"),
    date(2024, 2, 10): ("2.137931034482759", "1.068965517241379", "0.534482758620690"),
}

# case → (inputs, [(node, resource_id, capacity, request, usage)])
E7: dict[str, tuple[Inputs, list[tuple[str | None, str | None, float, float, float]]]] = {
    "no pod": (
        Inputs(storage_daily=[storage_day(pod="", claim="idle")]),
        [(None, None, 2, 1, 0.5)],
    ),
    "pod unknown to the pod report": (
        Inputs(pods_daily=[pod_day(pod="other")], storage_daily=[storage_day(pod="gone", claim="idle")]),
        [(None, None, 2, 1, 0.5)],
    ),
    "pod on two nodes": (
        Inputs(
            pods_daily=[
                pod_day(pod="p1", node="n1", resource_id="i-1"),
                pod_day(pod="p1", node="n2", resource_id="i-2"),
            ],
            storage_daily=[storage_day(pod="p1")],
        ),
        [("n1", "i-1", 2, 0.5, 0.25), ("n2", "i-2", 2, 0.5, 0.25)],
    ),
    "two pods on one node": (
        Inputs(
            pods_daily=[pod_day(pod="p1"), pod_day(pod="p2")],
            storage_daily=[storage_day(pod="p1"), storage_day(pod="p2")],
        ),
        [("n1", "i-1", 4, 2, 1)],
    ),
    "one matched row and one without pod": (
        Inputs(pods_daily=[pod_day(pod="p1")], storage_daily=[storage_day(pod="p1"), storage_day(pod="")]),
        [("n1", "i-1", 2, 1, 0.5), (None, None, 2, 1, 0.5)],
    ),
    "a pod without node and a pod on n1": (
        Inputs(
            pods_daily=[pod_day(pod="p0", node="", resource_id=""), pod_day(pod="p1")],
            storage_daily=[storage_day(pod="p0"), storage_day(pod="p1")],
        ),
        [("", "", 2, 0.5, 0.25), ("n1", "i-1", 2, 0.5, 0.25)],
    ),
}

E8 = Inputs(
    pods_hourly=two_hours("n1"),
    pods_daily=[
        pod_day(namespace=namespace, pod=namespace, cpu=(7200.0, 0.0, 7200.0))
        for namespace in ("openshift-dns", "openshift", "abc")
    ],
    patterns=(("openshift-%", 1), ("openshift-dns", 2), ("a_c", 3)),
)

E9 = Inputs(
    pods_hourly=two_hours("n1"),
    pods_daily=[pod_day(pod="web-1", cpu=(7200.0, 7200.0, 7200.0))],
    node_labels=[
        node_labels("n1", {"env": "a"}),
        node_labels("n1", {"env": "b"}),
        node_labels("n1", {"env": "b", "disabled": "x"}),
    ],
    enabled_keys=frozenset({"env"}),
    nodes=[stored_node("n1", "i-1", role="worker", cores=4)],
)

E11_DAYS = [date(2025, 1, 1) + timedelta(days=offset) for offset in range(3)]
E11 = Inputs(
    pods_hourly=[
        pod_hour(day=day, hour=hour, node="n1", namespace="vms", pod="virt-launcher-v1")
        for day in E11_DAYS
        for hour in range(24)
    ],
    pods_daily=[
        pod_day(
            day=day,
            namespace="vms",
            pod="virt-launcher-v1",
            labels={"vm_kubevirt_io_name": "v1"},
            cpu=(0.0, float(SECONDS_PER_DAY), float(SECONDS_PER_DAY)),
            memory=_memory(0, SECONDS_PER_DAY, SECONDS_PER_DAY),
        )
        for day in E11_DAYS
    ],
    storage_daily=[
        storage_day(day=day, namespace="vms", pod="virt-launcher-v1", claim="disk", capacity_gib=31) for day in E11_DAYS
    ],
)
