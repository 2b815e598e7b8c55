"""Capacity of nodes and clusters (ocp-pipeline §4)."""

from datetime import date

from kura.aggregator.engine import Engine
from kura.aggregator.steps.capacity import cluster_capacity, node_capacity
from kura.core.days import DayRange
from kura.testing.tables import rows

DAYS = DayRange(date(2025, 1, 10), date(2025, 1, 11))


def test_a_node_reported_by_two_pods_in_an_hour_has_its_capacity_counted_once(engine: Engine):
    hourly = engine.table(
        rows("""
            interval_start   | node | pod   | node_capacity_cpu_core_seconds | node_capacity_memory_byte_seconds
            2025-01-10 00:00 | n1   | web-1 | 14400                          | 100
            2025-01-10 00:00 | n1   | web-2 | 14400                          | 100
            2025-01-10 01:00 | n1   | web-1 | 14400                          | 50
            2025-01-11 00:00 | n1   | web-1 | 7200                           | 25
        """)
    )

    found = sorted(node_capacity(hourly, DAYS).to_pylist(), key=lambda row: row["day"])

    assert [(row["day"].day, row["cpu_core_seconds"], row["memory_byte_seconds"]) for row in found] == [
        (10, 14400 + 14400, 100 + 50),
        (11, 7200, 25),
    ]


def test_the_cluster_has_the_capacity_of_all_nodes_also_of_the_unknown_one(engine: Engine):
    nodes = engine.table(
        rows("""
            day        | node | cpu_core_seconds | memory_byte_seconds
            2025-01-10 | n1   | 28800            | 150
            2025-01-10 |      | 3600             | 10
            2025-01-11 | n1   | 7200             | 25
        """)
    )

    found = sorted(cluster_capacity(nodes).to_pylist(), key=lambda row: row["day"])

    assert [(row["cpu_core_seconds"], row["memory_byte_seconds"]) for row in found] == [(28800 + 3600, 160), (7200, 25)]


def test_hours_outside_the_range_do_not_count(engine: Engine):
    hourly = engine.table(
        rows("""
            interval_start   | node | node_capacity_cpu_core_seconds | node_capacity_memory_byte_seconds
            2025-01-09 23:00 | n1   | 14400                          | 1
            2025-01-12 00:00 | n1   | 14400                          | 1
        """)
    )

    assert node_capacity(hourly, DAYS).to_pylist() == []
