"""The table of virtual machines: always rebuilt for the whole month (ocp-pipeline §10.4, §10.5, P9).

What a machine asks for comes from the report of machines if the source sends one, else from the summary rows of its
pod; machines and claims are matched within their namespace.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

from kura.aggregator import ui_tables
from kura.aggregator.postgresql import postgresql_statement
from kura.aggregator.store import Cluster
from kura.aggregator.transaction import Transaction
from kura.core.days import DayRange
from kura.store.tables import tenant

Name = tuple[str, str]
"""(namespace, virtual machine), or (namespace, claim)"""

MOST_MACHINES_OF_A_CLAIM = 20
"""Rows of a claim count for each of its machines, so that very many of both would be more rows than any disk holds."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A virtual machine of the month: labels of the deciding day (none: no pod then), requests per day, claims."""

    namespace: str
    vm_name: str
    node: str | None
    pod_labels: str | None
    cpu_core_hours: str
    memory_gigabyte_hours: str
    claims: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class MonthlyReport:
    """What Parquet tells about machines. `requests` is empty where the source sends no report of machines."""

    requests: pa.Table
    claims: pa.Table


def has_machines(tx: Transaction, *, cluster: Cluster, month: DayRange) -> bool:
    """Whether the month has rows of machines, or had any."""
    source = str(cluster.provider_uuid)
    return bool(tx.rows(postgresql_statement("vm_present"), source, month.start, month.end)[0][0])


def fill_vm_table(tx: Transaction, *, cluster: Cluster, month: DayRange, report: MonthlyReport) -> None:
    """Replace the machines of the month: their own costs, their share of distributed costs, their storage.

    In      the daily summary of the month, with costs; what Parquet tells about machines
    Out     rows of reporting_ocp_vm_summary_p, none for a month without machines
    Rule    `vm_compute`: costs of the machine's pods per rate type, no row without any; `vm_distributed`: costs
            distributed to its node and project, by its part of what is used there that day, also where the report
            of machines has it no more; `vm_storage`: its claims, as far as the second-latest day with storage has
            them, the largest share of a day
    Errors  none
    Source  ocp-pipeline §10.5, decision P9; example E11
    """
    scope = (str(cluster.provider_uuid), month.start, month.end)
    tx.run(ui_tables.delete_of(tenant.VM_SUMMARY), *scope)
    of_day = tx.rows(postgresql_statement("vm_of_day"), *scope)
    machines = machines_of_month(of_day, report)
    if not of_day and not machines:
        return

    labelled = [machine for machine in machines if machine.pod_labels is not None]
    computed = ["namespace", "vm_name", "node", "pod_labels", "cpu_core_hours", "memory_gigabyte_hours"]
    tx.run_with_columns(postgresql_statement("vm_compute"), *scope, columns=_columns(labelled, computed))
    tx.run_with_columns(
        postgresql_statement("vm_distributed"),
        *scope,
        cluster.cost_model_distribution,
        columns=_labels_of_day(of_day),
    )
    rows = claims_of(machines)
    if rows:
        schema = pa.schema([(name, pa.string()) for name in ("namespace", "vm_name", "node", "pod_labels", "claim")])
        tx.run_with_columns(
            postgresql_statement("vm_storage"), *scope, columns=pa.Table.from_pylist(rows, schema=schema)
        )


def machines_of_month(of_day: list[tuple[Any, ...]], report: MonthlyReport) -> list[Machine]:
    """W, with the labels that the machines have.

    In      machines of the second-latest day: namespace, vm_name, node, pod_labels, requests; the monthly report
    Out     one Machine per (namespace, vm_name)
    Rule    the report of machines decides node, requests and claims; without one, the day and the claims of its pods
    Errors  none
    Source  ocp-pipeline §10.4, decision P9
    """
    if report.requests.num_rows:
        return _reported_machines({(row[0], row[1]): row[3] for row in of_day}, report.requests)
    claims: dict[Name, list[str]] = {}
    for row in report.claims.to_pylist():
        claims.setdefault((row["namespace"], row["vm_name"]), []).append(row["claim"])
    return [
        Machine(
            namespace=namespace,
            vm_name=vm_name,
            node=node,
            pod_labels=labels,
            cpu_core_hours=cpu,
            memory_gigabyte_hours=memory,
            claims=tuple(claims.get((namespace, vm_name), ())),
        )
        for namespace, vm_name, node, labels, cpu, memory in of_day
    ]


def _reported_machines(labels: dict[Name, str], requests: pa.Table) -> list[Machine]:
    rows: dict[Name, list[dict[str, Any]]] = {}
    for row in requests.to_pylist():
        rows.setdefault((row["namespace"], row["vm_name"]), []).append(row)
    return [
        Machine(
            namespace=name[0],
            vm_name=name[1],
            node=of_one[-1]["node"],
            pod_labels=labels.get(name),
            cpu_core_hours=_text(of_one[-1]["cpu_core_hours"]),
            memory_gigabyte_hours=_text(of_one[-1]["memory_gigabyte_hours"]),
            claims=tuple(sorted({row["claim"] for row in of_one if row["claim"]})),
        )
        for name, of_one in rows.items()
    ]


def claims_of(machines: list[Machine]) -> list[dict[str, str | None]]:
    """Machines and their claims in pairs; of very many machines that share one claim, the first ones."""
    shared: Counter[Name] = Counter()
    rows = []
    for machine in machines:
        for claim in machine.claims:
            shared[machine.namespace, claim] += 1
            if shared[machine.namespace, claim] <= MOST_MACHINES_OF_A_CLAIM:
                names = ("namespace", "vm_name", "node", "pod_labels")
                rows.append({"claim": claim, **{name: getattr(machine, name) for name in names}})
    return rows


def _labels_of_day(of_day: list[tuple[Any, ...]]) -> pa.Table:
    """namespace, vm_name and pod_labels of the machines of the deciding day."""
    places = {"namespace": 0, "vm_name": 1, "pod_labels": 3}
    return pa.table({name: pa.array([row[place] for row in of_day], pa.string()) for name, place in places.items()})


def _text(value: float | None) -> str:
    return str(Decimal(repr(value))) if value is not None else "0"


def _columns(machines: list[Machine], names: list[str]) -> pa.Table:
    return pa.table({name: pa.array([getattr(machine, name) for machine in machines], pa.string()) for name in names})
