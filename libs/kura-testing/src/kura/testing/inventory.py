"""What is in a generated cluster: nodes, namespaces, pods, volumes, virtual machines, GPUs."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kura.testing.profiles import ClusterProfile

GIB = 2**30
MASTERS = 3
INFRA_NODES = 2

PLATFORM_NAMESPACES = (
    "openshift-kube-apiserver",
    "openshift-monitoring",
    "openshift-dns",
    "openshift-ovn-kubernetes",
    "openshift-ingress",
    "openshift-etcd",
    "openshift-multus",
    "openshift-machine-config-operator",
    "openshift-image-registry",
    "openshift-cluster-node-tuning-operator",
    "openshift-authentication",
    "openshift-console",
    "openshift-operators",
    "kube-system",
)

PROJECTS = (
    "shop",
    "payments",
    "orders",
    "search",
    "checkout",
    "inventory",
    "shipping",
    "identity",
    "catalog",
    "reporting",
    "recommendations",
    "mail",
    "pricing",
    "fraud",
    "loyalty",
    "warehouse",
    "returns",
    "chat",
    "billing",
    "analytics",
)
STAGES = ("", "-dev", "-stage", "-test", "-perf", "-blue", "-green", "-eu", "-us", "-apac")

WORKLOADS = ("web", "api", "worker", "cache", "db", "queue", "gateway", "cron", "indexer", "proxy", "auth", "render")
STATEFUL = frozenset({"cache", "db", "queue", "indexer"})
TEAMS = ("retail", "logistics", "finance", "platform", "data", "growth")

# (instance type, cores, GiB)
WORKER_SHAPES = (("m6i.2xlarge", 8, 32), ("m6i.4xlarge", 16, 64), ("r6i.2xlarge", 8, 64))
MASTER_SHAPE = ("m6i.xlarge", 4, 16)
INFRA_SHAPE = ("m6i.2xlarge", 8, 32)

# (CPU request, CPU limit, memory request MiB, memory limit MiB); a limit of 0 means none
POD_SHAPES = (
    (0.01, 0.0, 32, 0),
    (0.05, 0.1, 64, 128),
    (0.1, 0.0, 128, 0),
    (0.1, 0.2, 256, 256),
    (0.25, 0.5, 256, 512),
    (0.25, 1.0, 512, 1024),
    (0.5, 1.0, 1024, 1024),
    (1.0, 2.0, 2048, 4096),
)

GPU_MODELS = (("NVIDIA A100-SXM4-40GB", 40960, 7), ("Tesla T4", 15360, None), ("NVIDIA H100 80GB HBM3", 81920, 7))
MIG_PROFILES = ("1g.5gb", "2g.10gb", "3g.20gb")


@dataclass(frozen=True, kw_only=True)
class Node:
    name: str
    role: str
    resource_id: str
    cores: int
    memory_bytes: int
    labels: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Namespace:
    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A place on a node; a stateless pod in it gets a new name when it is replaced."""

    node: Node
    namespace: Namespace
    workload: str
    workload_type: str
    name: str
    cpu_request: float
    cpu_limit: float
    memory_request_bytes: int
    memory_limit_bytes: int
    labels: Mapping[str, str]

    @property
    def stateless(self) -> bool:
        return self.workload_type == "deployment"


@dataclass(frozen=True, kw_only=True)
class Volume:
    namespace: str
    pod: Pod | None
    claim: str
    name: str
    storage_class: str
    handle: str
    capacity_bytes: int
    request_bytes: int
    labels: Mapping[str, str]
    claim_labels: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class VirtualMachine:
    pod: Pod
    name: str
    cores: int
    memory_bytes: int
    claim: str
    disk_bytes: int
    labels: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Gpu:
    pod: Pod
    uuid: str
    model: str
    memory_mib: int
    max_slices: int | None
    mig_profile: str
    mig_instance_id: str


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The identity of a cluster: what a source has to be created with."""

    index: int
    cluster_id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Inventory:
    cluster: Cluster
    nodes: Sequence[Node]
    namespaces: Sequence[Namespace]
    pods: Sequence[Pod]
    volumes: Sequence[Volume]
    virtual_machines: Sequence[VirtualMachine]
    gpus: Sequence[Gpu]


def label_cell(labels: Mapping[str, str]) -> str:
    """Labels as the operator writes them: sorted, joined by a bar (ocp-payload §4.1)."""
    return "|".join(f"label_{key}:{value}" for key, value in sorted(labels.items()))


def random_uuid4(rng: np.random.Generator) -> str:
    return str(uuid.UUID(bytes=rng.bytes(16), version=4))


def clusters(profile: ClusterProfile, *, seed: int) -> list[Cluster]:
    """The clusters of a profile; the same seed gives the same ids."""
    return [
        Cluster(
            index=index,
            cluster_id=random_uuid4(np.random.default_rng([seed, index])),
            name=f"{profile.name}-{index + 1:02d}",
        )
        for index in range(profile.clusters)
    ]


def build_inventory(profile: ClusterProfile, cluster: Cluster, *, seed: int) -> Inventory:
    """Everything that is in one cluster, a pure function of profile, cluster and seed."""
    rng = np.random.default_rng([seed, cluster.index, 1])

    nodes = _nodes(profile, rng)
    namespaces = _namespaces(profile)
    pods = _pods(profile, nodes, namespaces, rng)
    pods, virtual_machines = _virtual_machines(profile, pods, namespaces, rng)
    gpus = _gpus(profile, pods, rng)
    volumes = _volumes(profile, pods, namespaces, virtual_machines, rng)
    return Inventory(
        cluster=cluster,
        nodes=nodes,
        namespaces=namespaces,
        pods=pods,
        volumes=volumes,
        virtual_machines=virtual_machines,
        gpus=gpus,
    )


def _hex(rng: np.random.Generator, length: int) -> str:
    return rng.bytes((length + 1) // 2).hex()[:length]


_SUFFIX_LETTERS = np.array(list("bcdfghjklmnpqrstvwxz2456789"))


def pod_suffix(rng: np.random.Generator, length: int = 5) -> str:
    """The tail of a pod's name, from the letters that Kubernetes uses."""
    return "".join(_SUFFIX_LETTERS[rng.integers(0, len(_SUFFIX_LETTERS), length)])


def _nodes(profile: ClusterProfile, rng: np.random.Generator) -> list[Node]:
    masters = MASTERS if profile.nodes >= 2 * MASTERS else 1
    infra = INFRA_NODES if profile.nodes >= 9 else 0
    nodes = []
    for index in range(profile.nodes):
        role = "master" if index < masters else "infra" if index < masters + infra else "worker"
        shape = {"master": MASTER_SHAPE, "infra": INFRA_SHAPE}.get(role) or WORKER_SHAPES[
            int(rng.integers(len(WORKER_SHAPES)))
        ]
        instance_type, cores, gib = shape
        zone = "eu-central-1" + "abc"[index % 3]
        name = f"ip-10-0-{int(rng.integers(1, 255))}-{index % 250 + 4}.eu-central-1.compute.internal"
        nodes.append(
            Node(
                name=name,
                role=role,
                resource_id=f"i-{_hex(rng, 17)}",
                cores=cores,
                memory_bytes=gib * GIB,
                labels={
                    "kubernetes_io_arch": "amd64",
                    "kubernetes_io_hostname": name,
                    "kubernetes_io_os": "linux",
                    "node_kubernetes_io_instance_type": instance_type,
                    f"node_role_kubernetes_io_{role}": "",
                    "topology_kubernetes_io_region": zone[:-1],
                    "topology_kubernetes_io_zone": zone,
                }
                | ({"node_role_kubernetes_io": "infra"} if role == "infra" else {}),
            )
        )
    return nodes


def _namespaces(profile: ClusterProfile) -> list[Namespace]:
    platform = min(len(PLATFORM_NAMESPACES), max(2, profile.namespaces // 3))
    user = profile.namespaces - platform - (1 if profile.vms else 0)
    names = [PLATFORM_NAMESPACES[index] for index in range(platform)]
    if profile.vms:
        names.append("virtual-machines")
    for index in range(user):
        stage, project = divmod(index, len(PROJECTS))
        suffix = STAGES[stage] if stage < len(STAGES) else f"-{stage}"
        names.append(PROJECTS[project] + suffix)
    return [Namespace(name=name, labels=_namespace_labels(name)) for name in names]


def _namespace_labels(name: str) -> dict[str, str]:
    labels = {"kubernetes_io_metadata_name": name}
    if name.startswith(("openshift-", "kube-")):
        return labels | {"openshift_io_cluster_monitoring": "true", "pod_security_kubernetes_io_enforce": "privileged"}
    project, _, stage = name.partition("-")
    return labels | {
        "cost_management_optimizations": "true",
        "environment": {"": "production", "dev": "development", "stage": "staging"}.get(stage, stage),
        "team": TEAMS[sum(project.encode()) % len(TEAMS)],
        "cost_center": f"cc-{sum(project.encode()) % 40 + 100}",
    }


def _pods(
    profile: ClusterProfile, nodes: Sequence[Node], namespaces: Sequence[Namespace], rng: np.random.Generator
) -> list[Pod]:
    platform = [space for space in namespaces if space.labels.get("openshift_io_cluster_monitoring")]
    everywhere = [space for space in platform if space.name not in ("openshift-kube-apiserver", "openshift-etcd")]
    users = [space for space in namespaces if "environment" in space.labels and space.name != "virtual-machines"]
    daemons = max(1, profile.pods_per_node // 5)

    pods = []
    per_workload: dict[tuple[str, str], int] = {}
    for node in nodes:
        for place in range(profile.pods_per_node):
            on_platform = node.role != "worker" or place < daemons or not users
            if node.role == "master" and place < 2 and platform:
                namespace = (
                    platform[0] if platform[0].name == "openshift-kube-apiserver" else platform[place % len(platform)]
                )
            elif on_platform:
                namespace = everywhere[place % len(everywhere)]
            else:
                namespace = users[int(rng.integers(len(users)))]
            pods.append(_pod(node, namespace, place, per_workload, on_platform=on_platform, rng=rng))
    return pods


def _pod(
    node: Node,
    namespace: Namespace,
    place: int,
    per_workload: dict[tuple[str, str], int],
    *,
    on_platform: bool,
    rng: np.random.Generator,
) -> Pod:
    if on_platform:
        workload, workload_type = f"{namespace.name.removeprefix('openshift-')}-{place}", "daemonset"
        shape = POD_SHAPES[place % 4]
    else:
        workload = WORKLOADS[int(rng.integers(len(WORKLOADS)))]
        workload_type = "statefulset" if workload in STATEFUL else "deployment"
        shape = POD_SHAPES[sum(workload.encode()) % len(POD_SHAPES)]

    number = per_workload.get((namespace.name, workload), 0)
    per_workload[namespace.name, workload] = number + 1
    labels = {"app": workload, "app_kubernetes_io_name": workload}
    if workload_type == "statefulset":
        name = f"{workload}-{number}"
        labels |= {"statefulset_kubernetes_io_pod_name": name, "tier": "data"}
    elif workload_type == "deployment":
        revision = f"{sum(f'{namespace.name}/{workload}'.encode()) * 2654435761 % 2**32:08x}9c"[:10]
        name = f"{workload}-{revision}-{pod_suffix(rng)}"
        labels |= {"pod_template_hash": revision, "version": f"v{1 + number % 3}", "tier": "front"}
        if workload == "gateway":
            labels["documentation"] = "https://docs.example.com/gateway"  # two colons: lost by the label rules
    else:
        name = f"{workload}-{pod_suffix(rng)}"
        labels |= {"controller_revision_hash": f"{sum(workload.encode()):010x}"}

    cpu_request, cpu_limit, memory_request, memory_limit = shape
    return Pod(
        node=node,
        namespace=namespace,
        workload=workload,
        workload_type=workload_type,
        name=name,
        cpu_request=cpu_request,
        cpu_limit=cpu_limit,
        memory_request_bytes=memory_request * 2**20,
        memory_limit_bytes=memory_limit * 2**20,
        labels=labels,
    )


def _virtual_machines(
    profile: ClusterProfile, pods: Sequence[Pod], namespaces: Sequence[Namespace], rng: np.random.Generator
) -> tuple[list[Pod], list[VirtualMachine]]:
    """Turn some user pods into the launcher pods of virtual machines."""
    pods = list(pods)
    if not profile.vms:
        return pods, []
    space = next(namespace for namespace in namespaces if namespace.name == "virtual-machines")
    places = [index for index, pod in enumerate(pods) if pod.stateless] or list(range(len(pods)))
    chosen = [places[int(index)] for index in np.linspace(0, len(places) - 1, profile.vms)]

    machines = []
    for number, index in enumerate(dict.fromkeys(chosen)):
        name = f"{('rhel9', 'win2022', 'fedora')[number % 3]}-vm-{number + 1}"
        cores, gib = 1 + number % 4, 2 + 2 * (number % 4)
        pods[index] = Pod(
            node=pods[index].node,
            namespace=space,
            workload=name,
            workload_type="virtualmachine",
            name=f"virt-launcher-{name}-{pod_suffix(rng)}",
            cpu_request=cores / 10,
            cpu_limit=0.0,
            memory_request_bytes=gib * GIB,
            memory_limit_bytes=0,
            labels={"kubevirt_io": "virt-launcher", "vm_kubevirt_io_name": name, "app": name},
        )
        machines.append(
            VirtualMachine(
                pod=pods[index],
                name=name,
                cores=cores,
                memory_bytes=gib * GIB,
                claim=f"{name}-disk",
                disk_bytes=(30 + 10 * (number % 3)) * GIB,
                labels={"app": name, "flavor": "small" if cores < 3 else "large", "vm_kubevirt_io_name": name},
            )
        )
    return pods, machines


def _gpus(profile: ClusterProfile, pods: Sequence[Pod], rng: np.random.Generator) -> list[Gpu]:
    places = [pod for pod in pods if pod.workload_type == "statefulset"] or list(pods)
    gpus: list[Gpu] = []
    for number in range(profile.gpu_pods):
        model, memory_mib, max_slices = GPU_MODELS[number % len(GPU_MODELS)]
        sliced = max_slices is not None and number % 2 == 0
        gpus.append(
            Gpu(
                pod=places[number % len(places)],
                uuid=f"GPU-{random_uuid4(rng)}",
                model=model,
                memory_mib=memory_mib,
                max_slices=max_slices,
                mig_profile=MIG_PROFILES[number % len(MIG_PROFILES)] if sliced else "",
                mig_instance_id=str(number % 7) if sliced else "",
            )
        )
    return gpus


def _volumes(
    profile: ClusterProfile,
    pods: Sequence[Pod],
    namespaces: Sequence[Namespace],
    machines: Sequence[VirtualMachine],
    rng: np.random.Generator,
) -> list[Volume]:
    stateful = [pod for pod in pods if pod.workload_type == "statefulset"] or list(pods)
    volumes = [
        _volume(
            machine.pod.namespace,
            machine.pod,
            machine.claim,
            machine.disk_bytes,
            storage_class="ocs-virtualization",
            rng=rng,
        )
        for machine in machines[: profile.pvcs]
    ]
    for number in range(profile.pvcs - len(volumes)):
        round_, place = divmod(number, len(stateful))
        owner = stateful[place]
        unused = number % 20 == 19  # bound, but mounted by no pod
        claim = f"backup-{number}" if unused else f"data{round_ or ''}-{owner.name}"
        capacity = int(rng.choice([1, 5, 10, 20, 50, 100])) * GIB
        volumes.append(
            _volume(owner.namespace, None if unused else owner, claim, capacity, storage_class="gp3-csi", rng=rng)
        )
    return volumes


def _volume(
    namespace: Namespace,
    pod: Pod | None,
    claim: str,
    capacity_bytes: int,
    *,
    storage_class: str,
    rng: np.random.Generator,
) -> Volume:
    return Volume(
        namespace=namespace.name,
        pod=pod,
        claim=claim,
        name=f"pvc-{random_uuid4(rng)}",
        storage_class=storage_class,
        handle=f"vol-{_hex(rng, 17)}",
        capacity_bytes=capacity_bytes,
        request_bytes=capacity_bytes,
        labels={"topology_ebs_csi_aws_com_zone": "eu-central-1a", "tier": "block"},
        claim_labels={"app": pod.workload, "backup": "daily"} if pod else {"backup": "never"},
    )
