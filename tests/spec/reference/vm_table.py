"""The table of virtual machines, rebuilt for a whole calendar month (ocp-pipeline §10.4, §10.5, P9)."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from reference.csv_reports import Row
from reference.daily import largest, total
from reference.labels import VM_LABEL, Labels, as_key, jsonb_order, merge, read_label_json
from reference.summary import GIB, SPECIAL_NAMESPACES
from reference.ui_tables import COST_LARGEST, COST_SUMS

HOURS_PER_DAY = 24


@dataclass(frozen=True)
class Machine:
    """A row of W: what a virtual machine asks for, where it runs, one of its claims."""

    namespace: object
    name: str
    node: object
    cpu_request: float | None
    memory_request: float | None
    claim: object


def vm_table(
    summary: Sequence[Row],
    *,
    vm_hourly: Sequence[Row] = (),
    pods_daily: Sequence[Row] = (),
    storage_daily: Sequence[Row] = (),
    distribution: str = "cpu",
) -> list[Row]:
    """All rows of one provider and month; every input holds that provider and month only."""
    machines = (
        machines_from_vm_report(vm_hourly) if vm_hourly else machines_from_pods(summary, pods_daily, storage_daily)
    )
    labels = labels_of_machines(summary)
    return [
        *compute_rows(summary, machines, labels),
        *distributed_rows(summary, labels, distribution=distribution),
        *storage_rows(summary, machines, labels),
    ]


def machines_from_vm_report(vm_hourly: Sequence[Row]) -> list[Machine]:
    """§10.4, with vm_usage: the latest hour decides, for the claims the whole month. Of several nodes in that hour,
    which would count the machine's costs several times, the greatest (P9)."""
    latest = largest(row["interval_start"] for row in vm_hourly)
    machines = []
    groups: dict[tuple[object, str, object], list[Row]] = {}
    for row in vm_hourly:
        if row["interval_start"] == latest:
            groups.setdefault((row["namespace"], str(row["vm_name"]), row["node"]), []).append(row)
    node_of: dict[tuple[object, str], object] = {}
    for namespace, name, node in groups:
        node_of[namespace, name] = largest([node, node_of.get((namespace, name))])
    for (namespace, name), node in node_of.items():
        rows = groups[namespace, name, node]
        claims = {
            row["vm_persistentvolumeclaim_name"]
            for row in vm_hourly
            if (row["namespace"], row["vm_name"]) == (namespace, name) and row["vm_persistentvolumeclaim_name"]
        }
        cpu = largest(row["vm_cpu_request_cores"] for row in rows)
        memory = largest(row["vm_memory_request_bytes"] for row in rows)
        assert isinstance(cpu, float) and isinstance(memory, float)
        machines += [
            Machine(namespace, name, node, cpu * HOURS_PER_DAY, memory / GIB * HOURS_PER_DAY, claim)
            for claim in sorted(claims, key=str) or [None]
        ]
    return machines


def machines_from_pods(
    summary: Sequence[Row], pods_daily: Iterable[Row], storage_daily: Iterable[Row]
) -> list[Machine]:
    """§10.4, without vm_usage: a row of the second-latest day decides."""
    day = second_latest(row["usage_start"] for row in summary if row["pod_request_cpu_core_hours"] is not None)
    pods_of: dict[tuple[object, str], set[object]] = {}
    for pod in pods_daily:
        name = read_label_json(str(pod["pod_labels"])).get(VM_LABEL)
        if name is not None:
            pods_of.setdefault((pod["namespace"], name), set()).add(pod["pod"])
    storage = list(storage_daily)

    machines: dict[tuple[object, str], list[Machine]] = {}
    for row in _by_request(summary):
        name = _vm_name(row)
        if row["usage_start"] != day or name is None:
            continue
        if (row["namespace"], name) in machines:
            continue
        pods = pods_of.get((row["namespace"], name), set())
        claims = {
            volume["persistentvolumeclaim"]
            for volume in storage
            if volume["namespace"] == row["namespace"] and volume["pod"] in pods
        }
        cpu, memory = row["pod_request_cpu_core_hours"], row["pod_request_memory_gigabyte_hours"]
        assert isinstance(cpu, float) and isinstance(memory, float)
        machines[row["namespace"], name] = [
            Machine(row["namespace"], name, row["node"], cpu, memory, claim)
            for claim in sorted(claims, key=str) or [None]
        ]
    return [machine for of_one in machines.values() for machine in of_one]


def labels_of_machines(summary: Iterable[Row]) -> dict[tuple[object, str], Labels]:
    """The label map of one row of the second-latest day."""
    rows = [row for row in _by_request(summary) if _vm_name(row) is not None]
    day = second_latest(row["usage_start"] for row in summary if row["pod_request_cpu_core_hours"] is not None)
    found: dict[tuple[object, str], Labels] = {}
    for row in rows:
        if row["usage_start"] == day:
            labels = row["pod_labels"]
            assert isinstance(labels, dict)
            found.setdefault((row["namespace"], labels[VM_LABEL]), labels)
    return found


def _by_request(summary: Iterable[Row]) -> list[Row]:
    """Rows with a request, the largest first: of several rows of a machine that one stands for it. The rules leave
    open which one; nodes and then the texts of the label maps decide."""
    rows = [row for row in summary if row["pod_request_cpu_core_hours"] is not None]
    return sorted(
        rows,
        key=lambda row: (-float(str(row["pod_request_cpu_core_hours"])), str(row["node"]), _label_text(row)),
    )


def _label_text(row: Row) -> str:
    """The label map as PostgreSQL shows it."""
    labels = row["pod_labels"] or {}
    assert isinstance(labels, dict)
    return json.dumps({key: labels[key] for key in sorted(labels, key=jsonb_order)}, ensure_ascii=False)


def compute_rows(
    summary: Iterable[Row], machines: Sequence[Machine], labels: dict[tuple[object, str], Labels]
) -> list[Row]:
    """§10.5, first: the machine's own costs; none, no row."""
    by_name = {(machine.namespace, machine.name): machine for machine in machines}
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in summary:
        name = _vm_name(row)
        key = (row["namespace"], str(name))
        if name is None or row["namespace"] in SPECIAL_NAMESPACES or key not in by_name or key not in labels:
            continue
        if row["data_source"] != "Pod" or not _cost(row):
            continue
        groups.setdefault((*key, row.get("cost_model_rate_type")), []).append(row)
    results = []
    for (namespace, name, rate_type), rows in groups.items():
        machine = by_name[namespace, str(name)]
        result = _result(rows, machine, labels[namespace, str(name)], rate_type)
        result |= {cost: total([row.get(cost) for row in rows]) for cost in COST_SUMS}
        result |= {cost: largest(row.get(cost) for row in rows) for cost in COST_LARGEST}
        result["pod_request_cpu_core_hours"] = machine.cpu_request
        result["pod_request_memory_gigabyte_hours"] = machine.memory_request
        results.append(result)
    return results


def distributed_rows(
    summary: Sequence[Row], labels: dict[tuple[object, str], Labels], *, distribution: str
) -> list[Row]:
    """§10.5, second: the share of a machine with labels in the costs distributed to its namespace and node, whether it
    still asks for something or not."""
    measure = {"cpu": "pod_effective_usage_cpu_core_hours", "memory": "pod_effective_usage_memory_gigabyte_hours"}[
        distribution
    ]
    used: dict[tuple[object, ...], float] = {}
    own: dict[tuple[object, ...], list[float]] = {}
    for row in summary:
        usage = row[measure]
        if row["data_source"] != "Pod" or usage is None:
            continue
        assert isinstance(usage, float)
        place = (row["node"], row["namespace"], row["usage_start"])
        used[place] = used.get(place, 0.0) + usage
        name = _vm_name(row)
        if name is not None:
            own.setdefault((name, *place), []).append(usage)

    groups: dict[tuple[object, ...], list[Row]] = {}
    shares: dict[tuple[object, ...], float] = {}
    for row in summary:
        cost = row.get("distributed_cost")
        if not cost:
            continue
        assert isinstance(cost, float | int)
        for (name, *place), usages in own.items():
            if place != [row["node"], row["namespace"], row["usage_start"]] or (row["namespace"], name) not in labels:
                continue
            whole = used[tuple(place)] * len(usages)
            key = (row["namespace"], name, row["node"], row.get("cost_model_rate_type"))
            groups.setdefault(key, []).append(row)
            shares[key] = shares.get(key, 0.0) + (cost * sum(usages) / whole if whole else 0.0)

    results = []
    for key, rows in groups.items():
        namespace, name, node, rate_type = key
        machine = Machine(namespace, str(name), node, None, None, None)
        result = _result(rows, machine, labels[namespace, str(name)], rate_type)
        results.append(result | {"distributed_cost": shares[key]})
    return results


def storage_rows(
    summary: Sequence[Row], machines: Sequence[Machine], labels: dict[tuple[object, str], Labels]
) -> list[Row]:
    """§10.5, third: the machine's claims."""
    stored = [row for row in summary if row["data_source"] == "Storage"]
    day = second_latest(row["usage_start"] for row in stored)
    present = {(row["namespace"], row["persistentvolumeclaim"]) for row in stored if row["usage_start"] == day}

    results = []
    for machine in machines:
        if machine.claim is None or (machine.namespace, machine.claim) not in present:
            continue
        groups: dict[tuple[object, ...], list[Row]] = {}
        maps: dict[tuple[object, ...], Labels] = {}
        for row in stored:
            if (row["namespace"], row["persistentvolumeclaim"]) != (machine.namespace, machine.claim):
                continue
            if row["node"] is None or row["resource_id"] is None:
                continue
            volume_labels = row["volume_labels"] or {}
            assert isinstance(volume_labels, dict)
            combined = merge(volume_labels, labels.get((machine.namespace, machine.name), {}))
            key = (row.get("cost_model_rate_type"), as_key(combined))
            groups.setdefault(key, []).append(row)
            maps[key] = combined
        for key, rows in groups.items():
            result = _result(rows, machine, maps[key], key[0])
            result |= {cost: total([row.get(cost) for row in rows]) for cost in COST_SUMS}
            result |= {cost: largest(row.get(cost) for row in rows) for cost in COST_LARGEST}
            result["persistentvolumeclaim"] = machine.claim
            for name in (
                "storageclass",
                "persistentvolumeclaim_usage_gigabyte_months",
                "persistentvolumeclaim_capacity_gigabyte_months",
            ):
                result[name] = largest(row[name] for row in rows)
            results.append(result)
    return results


def second_latest(days: Iterable[object]) -> date | None:
    """The day before the last of the days there are; the only one if there is one."""
    distinct = sorted({day for day in days if isinstance(day, date)})
    if not distinct:
        return None
    return distinct[-2] if len(distinct) > 1 else distinct[-1]


def _vm_name(row: Row) -> str | None:
    labels = row["pod_labels"]
    if row["data_source"] != "Pod" or not labels:
        return None
    assert isinstance(labels, dict)
    name = labels.get(VM_LABEL)
    return name if isinstance(name, str) else None


def _cost(row: Row) -> float:
    return (
        total(
            [
                row.get(name)
                for name in (
                    "cost_model_cpu_cost",
                    "cost_model_memory_cost",
                    "cost_model_volume_cost",
                    "distributed_cost",
                    "infrastructure_raw_cost",
                    "infrastructure_markup_cost",
                )
            ]
        )
        or 0.0
    )


def _result(rows: Sequence[Row], machine: Machine, labels: Labels, rate_type: object) -> Row:
    ids = {row["resource_id"] for row in rows}
    known = sorted(str(value) for value in ids if value is not None)
    return {
        "usage_start": min(row["usage_start"] for row in rows),  # type: ignore[type-var]
        "usage_end": max(row["usage_start"] for row in rows),  # type: ignore[type-var]
        "cluster_id": rows[0]["cluster_id"],
        "cluster_alias": rows[0]["cluster_alias"],
        "source_uuid": rows[0]["source_uuid"],
        "namespace": machine.namespace,
        "node": machine.node,
        "vm_name": machine.name,
        "pod_labels": labels,
        "cost_model_rate_type": rate_type,
        "resource_ids": [*known, None] if None in ids else known,
    }
