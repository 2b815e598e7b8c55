"""Random cost models and the small tables they are applied to.

Names come from short alphabets, so that rates meet labels, and miss them; usage is in whole multiples of powers of two.
A node keeps its capacity over all its rows, as summarising leaves it, but for cloud rows, which have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from kura.testing.strategies import quantities

Row = dict[str, Any]

FIRST_DAYS = (date(2024, 2, 27), date(2025, 1, 9), date(2025, 4, 1))
"""Months of 29, 31 and 30 days."""

VM_LABEL = "vm_kubevirt_io_name"
MACHINES = ("vm1", "vm2")
CATEGORIES = {"openshift-x": 1, "kube-y": 1, "Platform unallocated": 1}
PROJECTS = ("shop", "pay", "openshift-x", "kube-y", "Worker unallocated", "Platform unallocated")
UNATTRIBUTED = ("Storage unattributed", "Network unattributed")
IDLE = ("Worker unallocated", "Platform unallocated")

NODES: Mapping[str, Mapping[str, float]] = {"n1": {"cores": 4.0, "gib": 32.0}, "n2": {"cores": 8.0, "gib": 16.0}}
CLUSTER_CORE_HOURS, CLUSTER_GIB_HOURS = 12.0 * 24, 48.0 * 24

VALUES = {"app": ("web", "db", "cache"), "env": ("prod", "dev"), "disk": ("fast", "slow"), VM_LABEL: MACHINES}

USAGE_METRICS = (
    "cpu_core_usage_per_hour",
    "cpu_core_request_per_hour",
    "cpu_core_effective_usage_per_hour",
    "memory_gb_usage_per_hour",
    "memory_gb_request_per_hour",
    "memory_gb_effective_usage_per_hour",
    "storage_gb_usage_per_month",
    "storage_gb_request_per_month",
    "node_core_cost_per_hour",
    "cluster_core_cost_per_hour",
    "cluster_cost_per_hour",
)
MONTHLY_METRICS = (
    "node_cost_per_month",
    "node_core_cost_per_month",
    "cluster_cost_per_month",
    "pvc_cost_per_month",
)
MACHINE_METRICS = ("vm_cost_per_month", "vm_core_cost_per_month", "vm_cost_per_hour", "vm_core_cost_per_hour")
TAGS_ONLY = ("project_per_month", "gpu_cost_per_month")
METRICS = (*USAGE_METRICS, *MONTHLY_METRICS, *MACHINE_METRICS, *TAGS_ONLY)

SWITCHES = ("platform_cost", "worker_cost", "storage_unattributed", "network_unattributed")


@dataclass(frozen=True, kw_only=True)
class CostTables:
    """A cost model, and what it is applied to. Labels are maps; line items carry `day` and `hour`."""

    model: Mapping[str, Any]
    summary: Sequence[Row]
    cloud: Sequence[Row]
    machines: Sequence[Row]
    pods_hourly: Sequence[Row]
    gpus: Sequence[Row]
    node_labels: Sequence[Row]
    namespace_labels: Sequence[Row]
    nodes: Sequence[Row]
    start: date
    end: date


@st.composite
def cost_tables(draw: st.DrawFn) -> CostTables:
    start = draw(st.sampled_from(FIRST_DAYS))
    days = (start, start + timedelta(days=1))
    of_month = (*days, start + timedelta(days=2))
    return CostTables(
        model=draw(cost_models()),
        summary=[
            *draw(st.lists(_pods(of_month), min_size=4, max_size=10)),
            *draw(st.lists(_volumes(of_month), min_size=1, max_size=5)),
        ],
        cloud=draw(st.lists(_bills(of_month), max_size=5)),
        machines=draw(_machine_hours(of_month)),
        pods_hourly=draw(st.lists(_pod_hours(of_month), min_size=2, max_size=5)),
        gpus=draw(st.lists(_gpu_days(of_month), min_size=1, max_size=5)),
        node_labels=draw(st.lists(_node_hours(of_month), min_size=1, max_size=6)),
        namespace_labels=draw(st.lists(_namespace_days(of_month), min_size=2, max_size=5)),
        nodes=draw(_inventory()),
        start=start,
        end=draw(st.sampled_from(days)),
    )


# ---------------------------------------------------------------------------------------------------------- cost models


@st.composite
def cost_models(draw: st.DrawFn) -> dict[str, Any]:
    """As a client sends them; sometimes none at all."""
    if draw(st.integers(0, 19)) == 13:
        return {}
    tiered = draw(st.lists(_tiered_rates(), min_size=1, max_size=6))
    tagged = draw(st.lists(_tag_rates(), min_size=2, max_size=6))
    info: dict[str, Any] = {"distribution_type": draw(st.sampled_from(("cpu", "memory")))}
    for switch in SWITCHES:
        chosen = draw(st.sampled_from((True, True, False, None)))
        if chosen is not None:
            info[switch] = chosen
    markup = draw(st.sampled_from((None, "10", "0", "-2.5")))
    return {
        "rates": [*tiered, *_without_doubles(tagged)],
        "markup": {} if markup is None else {"value": markup, "unit": "percent"},
        "distribution_info": info,
    }


def _amounts() -> st.SearchStrategy[str]:
    return st.sampled_from(("0", "0.007", "0.25", "1", "3.3333333333", "310"))


def _cost_types() -> st.SearchStrategy[str]:
    return st.sampled_from(("Infrastructure", "Supplementary"))


@st.composite
def _tiered_rates(draw: st.DrawFn) -> Row:
    tiers = [{"value": value, "unit": "USD"} for value in draw(st.lists(_amounts(), min_size=1, max_size=2))]
    metric = draw(st.sampled_from([name for name in METRICS if name not in TAGS_ONLY]))
    return {"metric": {"name": metric}, "cost_type": draw(_cost_types()), "tiered_rates": tiers}


@st.composite
def _tag_rates(draw: st.DrawFn) -> Row:
    metric = draw(st.sampled_from(METRICS))
    if metric == "gpu_cost_per_month":
        key = "nvidia"
        values: tuple[str, ...] = ("A100", "Tesla T4")
    elif metric.startswith(("storage", "pvc")):
        key = draw(st.sampled_from(("disk", "env")))
        values = VALUES[key]
    else:
        key = draw(st.sampled_from(("app", "env", VM_LABEL) if metric.startswith("vm_") else ("app", "env")))
        values = VALUES[key]
    listed = draw(st.lists(st.sampled_from((*values, "other")), min_size=1, max_size=3, unique=True))
    default = draw(st.sampled_from((None, *listed)))
    return {
        "metric": {"name": metric},
        "cost_type": draw(_cost_types()),
        "tag_rates": {
            "tag_key": key,
            "tag_values": [
                {"tag_value": value, "value": draw(_amounts()), "unit": "USD", "default": value == default}
                for value in listed
            ],
        },
    }


def _without_doubles(rates: Sequence[Row]) -> list[Row]:
    """A tag key may be there once per metric and cost type."""
    found = {(rate["metric"]["name"], rate["cost_type"], rate["tag_rates"]["tag_key"]): rate for rate in rates}
    return list(found.values())


# ------------------------------------------------------------------------------------------------------------ base rows


@st.composite
def _labels(draw: st.DrawFn, keys: Sequence[str]) -> dict[str, str]:
    chosen = draw(st.lists(st.sampled_from(keys), max_size=2, unique=True))
    return {key: draw(st.sampled_from(VALUES[key])) for key in chosen}


def _capacity(node: str) -> Row:
    size = NODES[node]
    return {
        "node_capacity_cpu_cores": size["cores"],
        "node_capacity_cpu_core_hours": size["cores"] * 24,
        "node_capacity_memory_gigabytes": size["gib"],
        "node_capacity_memory_gigabyte_hours": size["gib"] * 24,
        "cluster_capacity_cpu_core_hours": CLUSTER_CORE_HOURS,
        "cluster_capacity_memory_gigabyte_hours": CLUSTER_GIB_HOURS,
    }


@st.composite
def _pods(draw: st.DrawFn, days: Sequence[date]) -> Row:
    """What pods used; idle capacity has no labels. Some rows are of no namespace: nobody knows the node's role."""
    namespace = draw(st.sampled_from((*PROJECTS, "shop", "pay", None)))
    node = draw(st.sampled_from(tuple(NODES)))
    is_idle = namespace in (*IDLE, None)
    labels = None if is_idle else draw(_labels(("app", "env", VM_LABEL)))
    usage = {name: draw(quantities(unit=0.25)) for name in ("usage", "request", "effective_usage")}
    memory = {name: draw(quantities(unit=0.5)) for name in usage}
    row = {
        "usage_start": draw(st.sampled_from(days)),
        "data_source": "Pod",
        "namespace": namespace,
        "node": node,
        "resource_id": draw(st.sampled_from((f"i-{node}", f"i-{node}", ""))),
        "cost_category_id": CATEGORIES.get(namespace or ""),
        "pod_labels": labels,
        **{f"pod_{name}_cpu_core_hours": value for name, value in usage.items()},
        **{f"pod_{name}_memory_gigabyte_hours": value for name, value in memory.items()},
        **({} if draw(st.integers(0, 19)) == 13 else _capacity(node)),
    }
    if labels is not None and VM_LABEL in labels and draw(st.booleans()):
        row["all_labels"] = labels | {"env": "prod"}
    return row


@st.composite
def _volumes(draw: st.DrawFn, days: Sequence[date]) -> Row:
    namespace = draw(st.sampled_from(("shop", "pay", "openshift-x")))
    claim = draw(st.sampled_from(("data", "disk")))
    node = draw(st.sampled_from(("n1", "n2", None)))
    return {
        "usage_start": draw(st.sampled_from(days)),
        "data_source": "Storage",
        "namespace": namespace,
        "node": node,
        "resource_id": None if node is None else f"i-{node}",
        "cost_category_id": CATEGORIES.get(namespace),
        "persistentvolumeclaim": claim,
        "persistentvolume": draw(st.sampled_from(("pv1", "pv2"))),
        "storageclass": draw(st.sampled_from(("", "gp2"))),
        "volume_labels": draw(_labels(("disk", "env"))),
        "persistentvolumeclaim_capacity_gigabyte_months": draw(quantities(unit=0.125)),
        "volume_request_storage_gigabyte_months": draw(quantities(unit=0.125)),
        "persistentvolumeclaim_usage_gigabyte_months": draw(quantities(unit=0.125)),
    }


@st.composite
def _bills(draw: st.DrawFn, days: Sequence[date]) -> Row:
    """Cloud cost: usage and capacity are 0, effective usage is not there."""
    namespace = draw(st.sampled_from((*PROJECTS, *UNATTRIBUTED)))
    is_volume = namespace in ("shop", "pay") and draw(st.booleans())
    zero = [
        *(
            f"pod_{name}_{unit}"
            for name in ("usage", "request")
            for unit in ("cpu_core_hours", "memory_gigabyte_hours")
        ),
        *_capacity("n1"),
        "persistentvolumeclaim_capacity_gigabyte_months",
        "volume_request_storage_gigabyte_months",
        "persistentvolumeclaim_usage_gigabyte_months",
    ]
    return {
        "usage_start": draw(st.sampled_from(days)),
        "data_source": "Storage" if is_volume else "Pod",
        "namespace": namespace,
        "node": draw(st.sampled_from((*NODES, None))),
        "resource_id": draw(st.sampled_from((None, "i-n1"))),
        "cost_category_id": CATEGORIES.get(namespace),
        "persistentvolumeclaim": draw(st.sampled_from(("data", "cloud"))) if is_volume else None,
        "pod_labels": {} if is_volume else draw(_labels(("app", "env", VM_LABEL))),
        "volume_labels": draw(_labels(("disk", "env"))) if is_volume else {},
        "infrastructure_raw_cost": draw(st.sampled_from((1.0, 3.75, 14.0, 0.1))),
        "infrastructure_markup_cost": draw(st.sampled_from((None, 0.5))),
        "raw_currency": draw(st.sampled_from(("USD", "EUR"))),
        **dict.fromkeys(zero, 0.0),
    }


# ----------------------------------------------------------------------------------------------------------- line items


@st.composite
def _machine_hours(draw: st.DrawFn, days: Sequence[date]) -> list[Row]:
    """A machine is at one place in an hour."""
    found: dict[tuple[Any, ...], Row] = {}
    for _ in range(draw(st.sampled_from((0, 3, 6)))):
        node = draw(st.sampled_from(tuple(NODES)))
        row: Row = {
            "day": draw(st.sampled_from(days)),
            "hour": draw(st.sampled_from((0, 1, 23))),
            "namespace": "shop",
            "node": node,
            "resource_id": f"i-{node}",
            "vm_name": draw(st.sampled_from(MACHINES)),
            "vm_cpu_request_cores": draw(st.sampled_from((1.0, 2.0, 4.0))),
            "vm_uptime_total_seconds": draw(quantities(unit=900.0, most=4)),
        }
        found[row["vm_name"], row["day"], row["hour"]] = row
    return list(found.values())


@st.composite
def _pod_hours(draw: st.DrawFn, days: Sequence[date]) -> Row:
    return {
        "day": draw(st.sampled_from(days)),
        "hour": draw(st.sampled_from((0, 1, 23))),
        "pod_labels": draw(_labels(("app", VM_LABEL))),
    }


@st.composite
def _gpu_days(draw: st.DrawFn, days: Sequence[date]) -> Row:
    is_slice = draw(st.booleans())
    return {
        "day": draw(st.sampled_from(days)),
        "namespace": draw(st.sampled_from(("shop", "pay", "openshift-x"))),
        "node": draw(st.sampled_from(tuple(NODES))),
        "gpu_uuid": draw(st.sampled_from(("GPU-1", "GPU-2"))),
        "gpu_vendor_name": draw(st.sampled_from(("nvidia", "nvidia", "amd"))),
        "gpu_model_name": draw(st.sampled_from(("A100", "Tesla T4"))),
        "gpu_memory_capacity_mib": 40960.0,
        "gpu_pod_uptime": draw(quantities(unit=3600.0, most=24)),
        "mig_profile": "3g.20gb" if is_slice else draw(st.sampled_from((None, ""))),
        "mig_slice_count": 3.0 if is_slice else None,
        "mig_strategy": "mixed" if is_slice else None,
        "mig_instance_id": draw(st.sampled_from(("1", "2"))) if is_slice else None,
        "gpu_max_slices": draw(st.sampled_from((None, 7.0, 0.0)))
        if not is_slice
        else draw(st.sampled_from((7.0, None))),
    }


@st.composite
def _node_hours(draw: st.DrawFn, days: Sequence[date]) -> Row:
    strategy = draw(st.sampled_from((None, "mixed", "single", "none")))
    labels = {
        "nvidia_com_gpu_present": draw(st.sampled_from(("true", "True", "true", "false"))),
        "nvidia_com_gpu_count": draw(st.sampled_from(("1", "2"))),
    }
    return {
        "day": draw(st.sampled_from(days)),
        "hour": draw(st.sampled_from((0, 1, 23))),
        "node": draw(st.sampled_from(tuple(NODES))),
        "node_labels": labels if strategy is None else labels | {"nvidia_com_mig_strategy": strategy},
    }


@st.composite
def _namespace_days(draw: st.DrawFn, days: Sequence[date]) -> Row:
    return {
        "day": draw(st.sampled_from(days)),
        "namespace": draw(st.sampled_from(("shop", "pay", "empty", "openshift-x", "kube-y", "openshift"))),
        "namespace_labels": draw(_labels(("app", "env"))),
    }


@st.composite
def _inventory(draw: st.DrawFn) -> list[Row]:
    roles = [draw(st.sampled_from(("worker", "worker", "master", "infra", None))) for _ in NODES]
    return [
        {"node": node, "resource_id": f"i-{node}", "node_role": role}
        for node, role in zip(NODES, roles, strict=True)
        if role is not None
    ]
