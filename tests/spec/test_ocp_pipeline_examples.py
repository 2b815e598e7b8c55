"""Worked examples E1–E9 and E11 of the OpenShift pipeline."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest
from reference import examples
from reference.csv_reports import Row
from reference.summary import Inputs, Run, daily_summary, pod_rows, to_numeric, unallocated_rows
from reference.tags import map_tags, map_tags_as_reference
from reference.vm_table import vm_table

Summarise = Callable[[Inputs, Run], list[Row]]

RUN = Run(start=examples.DAY, end=examples.DAY)

CPU = ("pod_usage_cpu_core_hours", "pod_request_cpu_core_hours", "pod_effective_usage_cpu_core_hours")
MEMORY = (
    "pod_usage_memory_gigabyte_hours",
    "pod_request_memory_gigabyte_hours",
    "pod_effective_usage_memory_gigabyte_hours",
)
NODE = (
    "node_capacity_cpu_cores",
    "node_capacity_cpu_core_hours",
    "node_capacity_memory_gigabytes",
    "node_capacity_memory_gigabyte_hours",
)
CLUSTER = ("cluster_capacity_cpu_core_hours", "cluster_capacity_memory_gigabyte_hours")
VOLUME = (
    "persistentvolumeclaim_capacity_gigabyte_months",
    "volume_request_storage_gigabyte_months",
    "persistentvolumeclaim_usage_gigabyte_months",
)


def values(row: Row, names: tuple[str, ...]) -> list[object]:
    return [row[name] for name in names]


def on(day: date) -> Run:
    return Run(start=day, end=day)


def of_pods(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["data_source"] == "Pod" and row["pod_labels"] is not None]


def unallocated(rows: list[Row]) -> dict[object, Row]:
    return {row["node"]: row for row in rows if row["data_source"] == "Pod" and row["pod_labels"] is None}


def of_storage(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["data_source"] == "Storage"]


def test_e1_pod_labels_win_over_the_namespace_and_that_over_the_node_and_disabled_keys_are_left_out(
    summarise: Summarise,
):
    rows = of_pods(summarise(examples.E1, RUN))

    assert sorted((row["pod_labels"] for row in rows), key=lambda labels: labels["env"]) == [
        {"env": "dev", "team": "retail", "app": "web"},
        {"env": "stage", "team": "retail", "app": "web"},
    ]
    assert all(row["all_labels"] == row["pod_labels"] for row in rows)


def test_e2_capacity_is_counted_once_per_node_and_hour(summarise: Summarise):
    rows = {(row["namespace"], row["pod_labels"].get("app")): row for row in of_pods(summarise(examples.E2, RUN))}

    assert set(rows) == {("shop", "1"), ("shop", "2"), ("openshift-dns", None)}
    expected = {
        ("shop", "1"): ([1, 2, 2], [1, 2, 2], [4, 8, 16, 32]),
        ("shop", "2"): ([3, 2, 3], [2, 1, 2], [4, 8, 16, 32]),
        ("openshift-dns", None): ([2, 4, 4], [4, 0, 4], [8, 16, 32, 64]),
    }
    for key, (cpu, memory, node) in expected.items():
        assert values(rows[key], CPU) == cpu
        assert values(rows[key], MEMORY) == memory
        assert values(rows[key], NODE) == node
        assert values(rows[key], CLUSTER) == [24, 96]


def test_e3_unallocated_capacity_is_what_the_pods_of_a_node_leave(summarise: Summarise):
    rows = unallocated(summarise(examples.E3, RUN))

    assert rows["n1"]["namespace"] == "Worker unallocated"
    assert values(rows["n1"], CPU) == [8 - 4, 8 - 4, 8 - 5]
    assert values(rows["n1"], MEMORY) == [32 - 3, 32 - 3, 32 - 4]
    assert rows["n1"]["cost_category_id"] is None
    assert rows["m1"]["namespace"] == "Platform unallocated"
    assert values(rows["m1"], CPU) == [14, 12, 12]
    assert values(rows["m1"], MEMORY) == [60, 64, 60]
    assert rows["m1"]["cost_category_id"] == 1
    for row in rows.values():
        assert values(row, ("pod_limit_cpu_core_hours", "pod_labels", "infrastructure_usage_cost")) == [None] * 3
        assert row["all_labels"] == {}


def test_e3_a_node_that_is_not_in_the_inventory_has_unallocated_capacity_without_namespace():
    rows = unallocated_rows(pod_rows(examples.E2, RUN), examples.E2)

    assert {row["node"]: row["namespace"] for row in rows} == {"n1": None, "m1": None}


def test_e4_missing_effective_usage_is_the_greater_of_usage_and_request(summarise: Summarise):
    rows = {row["namespace"]: row["pod_effective_usage_cpu_core_hours"] for row in of_pods(summarise(examples.E4, RUN))}

    assert to_numeric(rows["x"]) == Decimal("0.138888888888889")
    assert to_numeric(rows["y"]) == Decimal("0.111111111111111")
    assert rows["z"] is None


def test_e5_a_volume_on_two_nodes_is_shared_in_request_and_usage_but_not_in_capacity(summarise: Summarise):
    rows = {row["node"]: row for row in of_storage(summarise(examples.E5, on(examples.E5_DAY)))}

    assert set(rows) == {"n1", "n2"}
    for row in rows.values():
        assert row["persistentvolumeclaim_capacity_gigabyte"] == 56
        assert values(row, VOLUME) == pytest.approx([56 / 28, 28 / 28 / 2, 14 / 28 / 2])
        assert row["volume_labels"] == {"tier": "pvc"}


@pytest.mark.parametrize("day", examples.E6_MONTHS)
def test_e6_a_month_counts_with_its_own_length(day: date, summarise: Summarise):
    [row] = of_storage(summarise(examples.e6(day), on(day)))

    expected = [Decimal(text) for text in examples.E6_MONTHS[day]]
    assert [to_numeric(row[name]) for name in VOLUME] == pytest.approx(expected, abs=Decimal("2e-15"))


@pytest.mark.parametrize("case", examples.E7)
def test_e7_storage_without_pod_moved_pod_shared_node(case: str, summarise: Summarise):
    inputs, expected = examples.E7[case]

    rows = of_storage(summarise(inputs, RUN))

    found = {(row["node"], row["resource_id"]): values(row, VOLUME) for row in rows}
    assert len(rows) == len(expected)
    assert found == {(node, resource): pytest.approx(figures) for node, resource, *figures in expected}


def test_e8_a_namespace_of_two_patterns_is_counted_once(summarise: Summarise):
    rows = {row["namespace"]: row for row in of_pods(summarise(examples.E8, RUN))}

    assert {name: row["cost_category_id"] for name, row in rows.items()} == {
        "openshift-dns": 2,
        "openshift": None,
        "abc": 3,
    }
    assert all(row["pod_usage_cpu_core_hours"] == 2 for row in rows.values())


def test_e9_labels_that_changed_during_the_day_repeat_the_usage(summarise: Summarise):
    rows = summarise(examples.E9, RUN)

    found = {(row["namespace"], str(row["pod_labels"])): row["pod_usage_cpu_core_hours"] for row in rows}
    assert found == {
        ("shop", "{'env': 'a'}"): 2,
        ("shop", "{'env': 'b'}"): 2,
        ("Worker unallocated", "None"): 8 - 4,
    }


@pytest.mark.parametrize(
    ("before", "reference", "ours"),
    [
        ({"stage": "p", "app": "x"}, {"env": "p", "app": "x"}, {"env": "p", "app": "x"}),
        ({"stage": "p", "env": "q"}, {"env": "q"}, {"env": "q"}),
        ({"stage": "p", "environment": "z"}, {"env": "z"}, {"env": "z"}),
        ({"stage": "p", "env": "q", "team_old": "t"}, {"env": "q"}, {"env": "q", "team": "t"}),
    ],
)
def test_e10_tag_mapping(before: dict[str, str], reference: dict[str, str], ours: dict[str, str]):
    parents = {"stage": "env", "environment": "env", "team_old": "team"}

    assert map_tags_as_reference(before, parents) == reference
    assert map_tags(before, parents) == ours


E11_RUN = Run(start=examples.E11_DAYS[0], end=examples.E11_DAYS[-1])


def e11_costs() -> list[Row]:
    """Per day 2 of the machine itself and 10 distributed to its namespace and node."""
    usage = daily_summary(examples.E11, E11_RUN)
    costs: list[Row] = []
    for row in usage:
        if row["namespace"] != "vms" or row["data_source"] != "Pod":
            continue
        without_usage = row | dict.fromkeys((*CPU, *MEMORY))
        costs.append(without_usage | {"cost_model_rate_type": "Supplementary", "cost_model_cpu_cost": 2.0})
        costs.append(
            without_usage
            | {"cost_model_rate_type": "platform_distributed", "distributed_cost": 10.0, "pod_labels": None}
        )
    return [*usage, *costs]


def e11_table(summary: list[Row]) -> dict[object, Row]:
    inputs: Inputs = examples.E11
    rows = vm_table(summary, pods_daily=inputs.pods_daily, storage_daily=inputs.storage_daily)
    found = {row["cost_model_rate_type"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def test_e11_a_machine_has_a_row_of_costs_a_row_of_distributed_costs_and_a_row_of_storage():
    rows = e11_table(e11_costs())

    assert set(rows) == {"Supplementary", "platform_distributed", None}
    assert all(row["usage_start"] == date(2025, 1, 1) for row in rows.values())
    assert all(row["usage_end"] == date(2025, 1, 3) for row in rows.values())
    assert rows["Supplementary"]["cost_model_cpu_cost"] == 2 * 3
    assert rows["Supplementary"]["pod_request_cpu_core_hours"] == 24
    assert rows["Supplementary"]["pod_request_memory_gigabyte_hours"] == 24
    assert rows["Supplementary"]["pod_labels"] == {"vm_kubevirt_io_name": "v1"}
    assert rows["platform_distributed"]["distributed_cost"] == 10 * 3
    assert rows[None]["persistentvolumeclaim"] == "disk"
    assert rows[None]["persistentvolumeclaim_capacity_gigabyte_months"] == pytest.approx(1)


def test_e11_without_costs_only_the_storage_row_exists():
    rows = e11_table(daily_summary(examples.E11, E11_RUN))

    assert set(rows) == {None}


def test_a_float_is_written_with_its_shortest_decimals_rounded_half_up():
    assert to_numeric(0.1) == Decimal("0.1")
    assert to_numeric(1 / 3) == Decimal("0.333333333333333")
    assert to_numeric(2.5e-15) == Decimal("3e-15")
    assert to_numeric(-2.5e-15) == Decimal("-3e-15")
