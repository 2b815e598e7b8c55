"""Worked examples 1–18 of cost models, and the invariants of their results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import product
import product_costs
import pytest
from reference import costs as reference
from reference import costs_gpus
from reference.costs_model import PLATFORM, Inputs, Row

JANUARY = date(2025, 1, 10)  # 31 days
APRIL = date(2025, 4, 10)  # 30 days

WORKER = "Worker unallocated"


CostRows = Callable[[Inputs], list[Row]]


@pytest.fixture(params=["reference", "product"])
def cost_rows(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CostRows]:
    """The cost rows of some inputs, unrounded, of both."""
    if request.param == "reference":
        yield reference.cost_rows
        return
    with product.engine(tmp_path) as opened:
        yield lambda inputs: product_costs.cost_rows(opened, inputs)


DistributeGpu = Callable[[list[Row], list[Row]], list[Row]]


@pytest.fixture(params=["reference", "product"])
def distribute_gpu(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DistributeGpu]:
    """The distribution of idle GPUs, of both."""
    if request.param == "reference":
        yield costs_gpus.distribute_gpu
        return
    with product.engine(tmp_path) as opened:
        yield lambda gpus, idle: product_costs.distribute_gpu(opened, gpus=gpus, idle=idle)


# ------------------------------------------------------------------------------------------------------ small builders


def tiered(metric: str, value: object, cost_type: str = "Infrastructure") -> Row:
    return {
        "metric": {"name": metric},
        "cost_type": cost_type,
        "tiered_rates": [{"value": str(value), "unit": "USD"}],
    }


def tagged(
    metric: str, key: str, cost_type: str = "Infrastructure", default: str | None = None, **values: object
) -> Row:
    return {
        "metric": {"name": metric},
        "cost_type": cost_type,
        "tag_rates": {
            "tag_key": key,
            "tag_values": [
                {"tag_value": value, "value": str(rate), "default": value == default} for value, rate in values.items()
            ],
        },
    }


def model(*rates: Row, weight: str = "cpu", markup: str | None = None, **switches: bool) -> Row:
    return {
        "rates": list(rates),
        "markup": {} if markup is None else {"value": markup, "unit": "percent"},
        "distribution_info": {
            "distribution_type": weight,
            "storage_unattributed": False,
            "network_unattributed": False,
            **switches,
        },
    }


def pods(
    namespace: str,
    day: date,
    *,
    e_cpu: float = 0.0,
    e_mem: float = 0.0,
    node: str = "n1",
    cores: float = 4,
    gib: float = 32,
    cluster_cores: float | None = None,
    labels: dict[str, str] | None = None,
    **columns: Any,
) -> Row:
    """A Pod row; usage and request are the effective usage unless they are named."""
    return {
        "usage_start": day,
        "data_source": "Pod",
        "namespace": namespace,
        "node": node,
        "resource_id": f"i-{node}",
        "pod_labels": labels,
        "pod_usage_cpu_core_hours": e_cpu,
        "pod_request_cpu_core_hours": e_cpu,
        "pod_effective_usage_cpu_core_hours": e_cpu,
        "pod_usage_memory_gigabyte_hours": e_mem,
        "pod_request_memory_gigabyte_hours": e_mem,
        "pod_effective_usage_memory_gigabyte_hours": e_mem,
        "node_capacity_cpu_cores": float(cores),
        "node_capacity_cpu_core_hours": cores * 24.0,
        "node_capacity_memory_gigabytes": float(gib),
        "node_capacity_memory_gigabyte_hours": gib * 24.0,
        "cluster_capacity_cpu_core_hours": (cluster_cores or cores) * 24.0,
        "cluster_capacity_memory_gigabyte_hours": gib * 24.0,
        **columns,
    }


def volume(namespace: str, claim: str, day: date, node: str = "n1", **columns: Any) -> Row:
    return {
        "usage_start": day,
        "data_source": "Storage",
        "namespace": namespace,
        "node": node,
        "persistentvolumeclaim": claim,
        "persistentvolume": f"pv-{claim}",
        "volume_labels": {},
        "persistentvolumeclaim_capacity_gigabyte_months": 1.0,
        "volume_request_storage_gigabyte_months": 1.0,
        "persistentvolumeclaim_usage_gigabyte_months": 1.0,
        **columns,
    }


def bill(namespace: str, day: date, cost: float, currency: str = "USD", **columns: Any) -> Row:
    """A cloud row: usage and capacity 0, effective usage null."""
    zero = dict.fromkeys(
        (
            "pod_usage_cpu_core_hours",
            "pod_request_cpu_core_hours",
            "pod_usage_memory_gigabyte_hours",
            "pod_request_memory_gigabyte_hours",
            "node_capacity_cpu_core_hours",
            "node_capacity_memory_gigabyte_hours",
            "cluster_capacity_cpu_core_hours",
        ),
        0.0,
    )
    return {
        "usage_start": day,
        "data_source": "Pod",
        "namespace": namespace,
        "node": "n1",
        "pod_labels": {},
        "volume_labels": {},
        "infrastructure_raw_cost": cost,
        "raw_currency": currency,
        **zero,
        **columns,
    }


COLUMNS = ("cost_model_cpu_cost", "cost_model_memory_cost", "cost_model_volume_cost", "cost_model_gpu_cost")


def total(rows: Sequence[Row], *columns: str) -> float:
    return sum(row[column] or 0 for row in rows for column in columns or COLUMNS)


def by_namespace(rows: Sequence[Row], *columns: str) -> dict[str, float]:
    names = {row["namespace"] for row in rows}
    return {name: total([row for row in rows if row["namespace"] == name], *columns) for name in names}


def of_kind(rows: Sequence[Row], kind: str) -> dict[str, float]:
    return by_namespace([row for row in rows if row["cost_model_rate_type"] == kind], "distributed_cost")


def near(value: Any) -> Any:
    return pytest.approx(value, abs=1e-9)


# ------------------------------------------------------------------------------------------------------------ examples


def test_example_1_usage_rates_add_up_per_resource(cost_rows: CostRows):
    rates = [
        tiered("cpu_core_usage_per_hour", 0.007, "Supplementary"),
        tiered("cpu_core_request_per_hour", 0.2, "Supplementary"),
        tiered("memory_gb_usage_per_hour", 0.009, "Supplementary"),
        tiered("memory_gb_request_per_hour", 0.05, "Supplementary"),
    ]
    row = pods(
        "a",
        JANUARY,
        pod_usage_cpu_core_hours=10.0,
        pod_request_cpu_core_hours=20.0,
        pod_usage_memory_gigabyte_hours=30.0,
        pod_request_memory_gigabyte_hours=25.0,
    )

    [cost] = cost_rows(Inputs(model=model(*rates), summary=[row], start=JANUARY))

    assert cost["cost_model_rate_type"] == "Supplementary"
    assert (cost["cost_model_cpu_cost"], cost["cost_model_memory_cost"]) == near((4.07, 1.52))


def test_example_2_a_node_month_is_shared_with_idle_capacity(cost_rows: CostRows):
    rows = [pods("A", JANUARY, e_cpu=24), pods("B", JANUARY, e_cpu=36), pods(WORKER, JANUARY, e_cpu=36)]

    found = cost_rows(Inputs(model=model(tiered("node_cost_per_month", 1000)), summary=rows, start=JANUARY))

    assert {row["monthly_cost_type"] for row in found} == {"Node"}
    assert by_namespace(found) == near({"A": 8.064516129, "B": 12.096774194, WORKER: 12.096774194})
    assert total(found) * 31 == near(1000)


def test_example_3_core_months_by_memory_go_to_memory(cost_rows: CostRows):
    rows = [pods("A", APRIL, e_mem=192, cores=8, gib=32)]

    [found] = cost_rows(
        Inputs(model=model(tiered("node_core_cost_per_month", 50), weight="memory"), summary=rows, start=APRIL),
    )

    assert (found["cost_model_cpu_cost"], found["cost_model_memory_cost"]) == near((0, 3.333333333))


@pytest.mark.parametrize(("idle", "expected"), [(36.0, 24.0), (0.0, 38.4)])
def test_example_4_a_cluster_hour_is_shared_by_node_size(cost_rows: CostRows, idle: float, expected: float):
    rows = [
        pods("A", APRIL, e_cpu=24, cluster_cores=12),
        pods("B", APRIL, e_cpu=36, cluster_cores=12),
        *([pods(WORKER, APRIL, e_cpu=idle, cluster_cores=12)] if idle else []),
        pods("C", APRIL, e_cpu=192, node="n2", cores=8, cluster_cores=12),
    ]

    found = cost_rows(Inputs(model=model(tiered("cluster_cost_per_hour", 12)), summary=rows, start=APRIL))

    costs = by_namespace(found, "cost_model_cpu_cost")
    assert costs["A"] == near(expected)
    assert costs["A"] + costs["B"] + costs.get(WORKER, 0) == near(96)
    assert total(found) == near(12 * 24)


def test_example_5_a_cluster_month_is_shared_by_cluster_capacity(cost_rows: CostRows):
    rows = [pods("A", APRIL, e_cpu=24, cluster_cores=12)]

    [found] = cost_rows(Inputs(model=model(tiered("cluster_cost_per_month", 9000)), summary=rows, start=APRIL))

    assert (found["monthly_cost_type"], found["cost_model_cpu_cost"]) == ("Cluster", near(25))


def test_example_6_claims_of_a_namespace_share_one_rate(cost_rows: CostRows):
    claims = [volume("A", f"c{number}", APRIL) for number in range(4)]
    inputs = Inputs(model=model(tiered("pvc_cost_per_month", 6)), summary=claims, start=APRIL)

    found = cost_rows(inputs)
    assert [row["cost_model_volume_cost"] for row in found] == near([0.05] * 4)
    assert total(found) * 30 == near(6)

    inputs.summary = [*claims, volume("A", "c0", APRIL, node="n2")]
    assert total(cost_rows(inputs)) == near(0.25)


def test_example_7_a_tag_rate_adds_to_the_rate_without_tag(cost_rows: CostRows):
    metric = "cpu_core_usage_per_hour"
    rates = [
        tiered(metric, 0.1, "Supplementary"),
        tagged(metric, "app", "Supplementary", default="misc", web=1, db=2, misc=0.5),
    ]
    rows = [
        pods("A", APRIL, e_cpu=10, labels={"app": "web"}),
        pods("A", APRIL, e_cpu=4, labels={"app": "db"}),
        pods("A", APRIL, e_cpu=6, labels={"app": "cache", "tier": "x"}),
        pods("A", APRIL, e_cpu=5, labels={"tier": "x"}),
    ]

    found = cost_rows(Inputs(model=model(*rates), summary=rows, start=APRIL))

    by_tag = [row for row in found if row["monthly_cost_type"] == "Tag"]
    assert total([row for row in found if row["monthly_cost_type"] is None]) == near(2.5)
    assert sorted(total([row]) for row in by_tag) == near([3, 8, 10])
    assert total(found) == near(23.5)
    kept = {row["pod_labels"]["app"]: row["pod_labels"] for row in by_tag}
    assert kept == {"web": {"app": "web"}, "db": {"app": "db"}, "cache": {"app": "cache", "tier": "x"}}


NODES_BY_TAG = [
    pods("A", JANUARY, e_cpu=24, labels={"env": "prod"}),
    pods("A", JANUARY, e_cpu=12, labels={"env": "dev"}),
    pods("A", JANUARY, e_cpu=20, labels={}),
    pods(WORKER, JANUARY, e_cpu=40),
]
NODE_ROLES = [{"node": "n1", "resource_id": "i-n1", "node_role": "worker"}]
NODE_TAG = tagged("node_cost_per_month", "env", default="standard", prod=310, standard=155)


def test_example_8_what_a_label_value_leaves_of_a_node_is_charged_once_per_value(cost_rows: CostRows):
    found = cost_rows(Inputs(model=model(NODE_TAG), summary=NODES_BY_TAG, nodes=NODE_ROLES, start=JANUARY))

    costs = {(row["namespace"], row["pod_labels"]["env"]): row["cost_model_cpu_cost"] for row in found}
    assert costs == near({("A", "prod"): 2.5, ("A", "dev"): 0.625, (WORKER, "prod"): 7.5, (WORKER, "dev"): 4.375})
    assert total(found) == near(15.0)


def test_example_9_a_tag_rate_takes_the_place_of_the_rate_without_tag(cost_rows: CostRows):
    rates = model(NODE_TAG, tiered("node_cost_per_month", 620))

    found = cost_rows(Inputs(model=rates, summary=NODES_BY_TAG, nodes=NODE_ROLES, start=JANUARY))

    untagged = [row for row in found if "env" not in (row["pod_labels"] or {})]
    assert by_namespace(untagged) == near({"A": 20 / 96 * 20, WORKER: 40 / 96 * 20})
    assert total(found) == near(27.5)


MACHINE = {"vm_kubevirt_io_name": "vm1"}


@pytest.mark.parametrize(
    ("metric", "rate", "expected"),
    [
        ("vm_cost_per_hour", 0.5, 6),
        ("vm_core_cost_per_hour", 0.1, 4.8),
        ("vm_cost_per_month", 60, 2),
        ("vm_core_cost_per_month", 15, 2),
    ],
)
@pytest.mark.parametrize("by_tag", [False, True])
def test_example_10_a_virtual_machine_pays_for_hours_or_for_months(
    cost_rows: CostRows, metric: str, rate: float, expected: float, by_tag: bool
):
    if by_tag and metric == "vm_core_cost_per_hour":
        expected = 0.1 * 4 * 1  # by tag, core hours are those of the longest interval of the day
    report = [
        {
            "day": APRIL,
            "hour": hour,
            "namespace": "A",
            "node": "n1",
            "resource_id": "i-n1",
            "vm_name": "vm1",
            "vm_cpu_request_cores": 4.0,
            "vm_uptime_total_seconds": 3600.0,
        }
        for hour in range(12)
    ]
    rates = tagged(metric, "vm_kubevirt_io_name", vm1=rate) if by_tag else tiered(metric, rate)

    [found] = cost_rows(
        Inputs(model=model(rates), summary=[pods("A", APRIL, e_cpu=3, labels=MACHINE)], machines=report, start=APRIL),
    )

    assert found["cost_model_cpu_cost"] == near(expected)


def test_example_11_a_project_month_is_shared_by_its_nodes(cost_rows: CostRows):
    rows = [pods("shop", JANUARY, e_cpu=1, node=node) for node in ("n1", "n2", "n3")]
    labels = [{"day": JANUARY, "namespace": "shop", "namespace_labels": {"team": "a", "x": "y"}}]

    found = cost_rows(
        Inputs(
            model=model(tagged("project_per_month", "team", a=93)),
            summary=rows,
            namespace_labels=labels,
            start=JANUARY,
        ),
    )

    assert {row["node"]: row["cost_model_cpu_cost"] for row in found} == near({"n1": 1, "n2": 1, "n3": 1})


def gpu(namespace: str, day: date, hours: float, **columns: Any) -> Row:
    return {
        "day": day,
        "namespace": namespace,
        "node": "n1",
        "gpu_uuid": "GPU-1",
        "gpu_vendor_name": "nvidia",
        "gpu_model_name": "A100",
        "gpu_memory_capacity_mib": 40960.0,
        "gpu_pod_uptime": hours * 3600.0,
        **columns,
    }


def test_example_12_a_slice_of_a_gpu_costs_its_part_and_the_rest_is_idle(cost_rows: CostRows):
    item = gpu("A", APRIL, 12, mig_profile="3g.20gb", mig_slice_count=3.0, gpu_max_slices=7.0, mig_strategy="mixed")
    labels = {"nvidia_com_gpu_present": "true", "nvidia_com_gpu_count": "1", "nvidia_com_mig_strategy": "mixed"}
    hours = [{"day": APRIL, "hour": hour, "node": "n1", "node_labels": labels} for hour in range(24)]

    found = cost_rows(
        Inputs(
            model=model(tagged("gpu_cost_per_month", "nvidia", A100=3000)), gpus=[item], node_labels=hours, start=APRIL
        ),
    )

    assert by_namespace(found) == near({"A": 21.428571429, "GPU unallocated": 78.571428571})
    [used] = [row for row in found if row["namespace"] == "A"]
    assert used["all_labels"]["gpu-mode"] == "MIG"
    assert (used["data_source"], used["monthly_cost_type"]) == ("GPU", "Tag")


def test_example_13_markup_is_a_part_of_raw_cost_and_is_distributed_with_it(cost_rows: CostRows):
    inputs = Inputs(
        model=model(markup="10", storage_unattributed=True),
        summary=[pods("a", APRIL, e_cpu=1)],
        cloud=[bill("Storage unattributed", APRIL, 123.45)],
        start=APRIL,
    )

    assert of_kind(cost_rows(inputs), "unattributed_storage")["a"] - 123.45 == near(12.345)


def test_example_14_the_platform_is_paid_by_all_other_projects(cost_rows: CostRows):
    rows = [
        pods("a", APRIL, e_cpu=12),
        pods("b", APRIL, e_cpu=4),
        pods(WORKER, APRIL, e_cpu=80),
        pods("openshift-x", APRIL, cost_category_id=PLATFORM, pod_usage_cpu_core_hours=8.0),
    ]
    for row in rows[:3]:
        row["pod_usage_cpu_core_hours"] = 0.0
    cloud = [bill("openshift-x", APRIL, 20, cost_category_id=PLATFORM, infrastructure_markup_cost=2.0)]

    found = cost_rows(
        Inputs(
            model=model(tiered("cpu_core_usage_per_hour", 1), platform_cost=True),
            summary=rows,
            cloud=cloud,
            start=APRIL,
        ),
    )

    assert of_kind(found, "platform_distributed") == near({"a": 22.5, "b": 7.5, "openshift-x": -30})


def test_example_15_idle_workers_are_paid_by_projects_with_pods(cost_rows: CostRows):
    rows = [
        pods("a", APRIL, e_mem=30, pod_usage_memory_gigabyte_hours=0.0),
        pods("b", APRIL, e_mem=10, pod_usage_memory_gigabyte_hours=0.0),
        pods(WORKER, APRIL, e_mem=700, pod_usage_memory_gigabyte_hours=18.0),
    ]

    found = cost_rows(
        Inputs(
            model=model(tiered("memory_gb_usage_per_hour", 1), weight="memory", worker_cost=True),
            summary=rows,
            cloud=[bill(WORKER, APRIL, 6)],
            start=APRIL,
        ),
    )

    assert of_kind(found, "worker_distributed") == near({"a": 18, "b": 6, WORKER: -24})


def test_example_16_unattributed_storage_is_distributed_without_a_cost_model(cost_rows: CostRows):
    found = cost_rows(
        Inputs(
            model={},
            summary=[pods("a", APRIL, e_cpu=12), pods("b", APRIL, e_cpu=4)],
            cloud=[bill("Storage unattributed", APRIL, 14, "EUR")],
            start=APRIL,
        ),
    )

    assert of_kind(found, "unattributed_storage") == near({"a": 10.5, "b": 3.5, "Storage unattributed": -14})
    assert {row["namespace"]: row["raw_currency"] for row in found} == {
        "a": None,
        "b": None,
        "Storage unattributed": "EUR",
    }


def test_example_17_idle_gpus_are_paid_by_slice_hours(distribute_gpu: DistributeGpu):
    idle = [{"usage_start": APRIL, "node": "n1", "gpu_model_name": "A100", "cost": 78.571428571}]

    found = distribute_gpu([gpu("a", APRIL, 24), gpu("b", APRIL, 12)], idle)

    assert by_namespace(found, "distributed_cost") == near(
        {"a": 52.380952381, "b": 26.190476190, "GPU unallocated": -78.571428571}
    )


def test_example_18_a_core_hour_by_memory_goes_to_cpu(cost_rows: CostRows):
    rows = [pods("A", APRIL, e_mem=192, cores=4, gib=32)]

    [found] = cost_rows(
        Inputs(model=model(tiered("node_core_cost_per_hour", 0.4), weight="memory"), summary=rows, start=APRIL),
    )

    assert (found["cost_model_cpu_cost"], found["cost_model_memory_cost"]) == near((9.6, 0))


# ---------------------------------------------------------------------------------------------------------- invariants


EVERYTHING = model(
    tiered("cpu_core_usage_per_hour", 0.3, "Supplementary"),
    tiered("cpu_core_usage_per_hour", 0.2, "Supplementary"),
    tiered("memory_gb_request_per_hour", 0.1),
    tiered("node_core_cost_per_hour", 0.7),
    tiered("cluster_cost_per_hour", 3),
    tiered("node_cost_per_month", 620),
    tiered("node_core_cost_per_month", 50, "Supplementary"),
    tiered("cluster_cost_per_month", 900),
    tiered("pvc_cost_per_month", 6),
    tiered("storage_gb_request_per_month", 2),
    NODE_TAG,
    tagged("cpu_core_usage_per_hour", "env", "Supplementary", default="other", prod=2, other=1),
    tagged("node_core_cost_per_hour", "env", prod=0.1),
    tagged("pvc_cost_per_month", "disk", fast=30),
    platform_cost=True,
    worker_cost=True,
    storage_unattributed=True,
    network_unattributed=True,
)
EVERYWHERE = [
    *NODES_BY_TAG,
    pods("openshift-x", JANUARY, e_cpu=3, e_mem=5, cost_category_id=PLATFORM, labels={}),
    pods("B", JANUARY, e_cpu=7, e_mem=9, node="n2", labels={"env": "prod"}),
    volume("A", "c1", JANUARY, volume_labels={"disk": "fast"}),
    volume("A", "c2", JANUARY),
]
BILLS = [
    bill("Storage unattributed", JANUARY, 14),
    bill("Network unattributed", JANUARY, 5),
    bill("A", JANUARY, 3),
    bill("openshift-x", JANUARY, 2, cost_category_id=PLATFORM),
]


def everything(weight: str) -> Inputs:
    rates = {**EVERYTHING, "distribution_info": {**EVERYTHING["distribution_info"], "distribution_type": weight}}
    return Inputs(model=rates, summary=EVERYWHERE, cloud=BILLS, nodes=NODE_ROLES, start=JANUARY)


@pytest.mark.parametrize("weight", ["cpu", "memory"])
def test_what_is_distributed_comes_to_nothing_per_day_and_kind(cost_rows: CostRows, weight: str):
    found = cost_rows(everything(weight))

    kinds = {"platform_distributed", "worker_distributed", "unattributed_storage", "unattributed_network"}
    for kind in kinds:
        amounts = of_kind(found, kind)
        assert len(amounts) > 1
        assert sum(amounts.values()) == near(0)


def test_a_model_without_rates_gives_no_rows(cost_rows: CostRows):
    assert cost_rows(Inputs(model={}, summary=EVERYWHERE, start=JANUARY)) == []
