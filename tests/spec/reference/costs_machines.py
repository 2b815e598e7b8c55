"""Rates on virtual machines and projects (cost-models §6.3, §7.5, §7.6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from reference.costs_model import (
    TYPES,
    Inputs,
    Model,
    Row,
    TagRate,
    column_max,
    column_sum,
    cost_row,
    days_in_month,
    grouped,
    labels_of,
    with_all_labels,
)
from reference.labels import VM_LABEL
from reference.summary import like

VM_OWN = ("usage_start", "namespace", "node", "data_source", "cost_category_id", "pod_labels", "all_labels")
VM_MERGED = ("usage_start", "namespace", "data_source", "cost_category_id")


class Machine:
    """What the reports say of one machine on one day."""

    def __init__(self, *, items: Sequence[Row], latest: Row, labels: Mapping[str, Mapping[str, str] | None]) -> None:
        self.cores = column_max(items, "vm_cpu_request_cores") or 0.0
        self.hours = column_sum(items, "vm_uptime_total_seconds") / 3600
        self.longest_hours = (column_max(items, "vm_uptime_total_seconds") or 0.0) / 3600
        self.node, self.resource_id = latest["node"], latest["resource_id"]
        self.labels = labels


def _machine_pods(base: Iterable[Row]) -> list[Row]:
    """Pod rows with usage and request; cloud rows have 0, which is not null (Q14)."""
    return [
        row
        for row in base
        if row["data_source"] == "Pod"
        and row.get("pod_usage_cpu_core_hours") is not None
        and row.get("pod_request_cpu_core_hours") is not None
        and VM_LABEL in labels_of(row, "pod_labels")
    ]


def _machine_months(base: Iterable[Row]) -> list[Row]:
    return [
        row
        for row in base
        if row["data_source"] == "Pod"
        and VM_LABEL in labels_of(row, "all_labels")
        and row.get("pod_request_cpu_core_hours")
    ]


def _machine(row: Row, inputs: Inputs) -> Machine | None:
    """The machine of a pod row on its day; None if no report names it."""
    name, day = row["pod_labels"][VM_LABEL], row["usage_start"]
    of_month = [item for item in inputs.machines if item["vm_name"] == name]
    items = [item for item in of_month if item["day"] == day]
    if not items:
        return None
    latest = max(of_month, key=lambda item: (item["day"], item["hour"]))
    base_of_month = [with_all_labels(given) for given in (*inputs.summary, *inputs.cloud)]
    pods = [
        pod
        for pod in _machine_pods(base_of_month)
        if pod["pod_labels"][VM_LABEL] == name and pod["usage_start"] == latest["day"]
    ]
    return Machine(
        items=items,
        latest=latest,
        labels={column: _merged([labels_of(pod, column) for pod in pods]) for column in ("pod_labels", "all_labels")},
    )


def _merged(maps: Sequence[Mapping[str, str]]) -> dict[str, str] | None:
    """Per key the alphabetically last value; None where there are no pods."""
    if not maps:
        return None
    merged: dict[str, str] = {}
    for labels in maps:
        for key, value in labels.items():
            merged[key] = max(value, merged.get(key, value))
    return merged


def _merged_machines(base: Sequence[Row], inputs: Inputs) -> list[tuple[list[Row], Machine]]:
    """Groups of VM_MERGED and machine: several pods of a machine on a day are charged once."""
    marked = [{**row, "vm_name": row["pod_labels"][VM_LABEL]} for row in _machine_pods(base)]
    found = []
    for rows in grouped(marked, *VM_MERGED, "vm_name"):
        machine = _machine(rows[0], inputs)
        if machine is not None:
            found.append((rows, machine))
    return found


def _own_row(rows: Sequence[Row], cost_type: str, monthly: str | None, amount: float) -> Row:
    labels = {name: rows[0].get(name) for name in ("pod_labels", "all_labels")}
    return cost_row(rows, cost_type=cost_type, monthly=monthly, cost_model_cpu_cost=amount, **labels)


def _merged_row(rows: Sequence[Row], machine: Machine, cost_type: str, monthly: str | None, amount: float) -> Row:
    return cost_row(
        rows,
        cost_type=cost_type,
        monthly=monthly,
        cost_model_cpu_cost=amount,
        node=machine.node,
        resource_id=machine.resource_id,
        **machine.labels,
    )


def machine_month_rows(model: Model, base: Sequence[Row], inputs: Inputs) -> list[Row]:
    """§6.3."""
    found = []
    cost_type, rate = model.monthly_rate("vm_cost_per_month")
    if rate:
        for rows in grouped(_machine_months(base), *VM_OWN):
            found.append(_own_row(rows, cost_type, "OCP_VM", rate / days_in_month(rows[0]["usage_start"])))
    cost_type, rate = model.monthly_rate("vm_core_cost_per_month")
    if rate:
        for rows, machine in _merged_machines(base, inputs):
            amount = machine.cores * rate / days_in_month(rows[0]["usage_start"])
            found.append(_merged_row(rows, machine, cost_type, "OCP_VM_CORE", amount))
    return found


def machine_hour_rows(model: Model, base: Sequence[Row], inputs: Inputs) -> list[Row]:
    """§7.6: tiered hourly rates of machines, after everything else, of both cost types."""
    found = []
    for cost_type in TYPES:
        rate = model.rate("vm_cost_per_hour", cost_type)
        if rate:
            for rows in grouped(_machine_pods(base), *VM_OWN):
                hours = _hours(rows[0], inputs)
                if hours is not None:
                    found.append(_own_row(rows, cost_type, None, hours * rate))
        rate = model.rate("vm_core_cost_per_hour", cost_type)
        if rate:
            for rows, machine in _merged_machines(base, inputs):
                found.append(_merged_row(rows, machine, cost_type, None, machine.hours * machine.cores * rate))
    return found


def _hours(row: Row, inputs: Inputs) -> float | None:
    """Hours of a machine; without any report of machines the intervals of pods with its name."""
    if inputs.machines:
        machine = _machine(row, inputs)
        return None if machine is None else machine.hours
    name = row["pod_labels"][VM_LABEL]
    count = sum(
        1
        for item in inputs.pods_hourly
        if item["day"] == row["usage_start"] and labels_of(item, "pod_labels").get(VM_LABEL) == name
    )
    return float(count) if count else None


def tag_machine_rows(model: Model, base: Sequence[Row], inputs: Inputs) -> list[Row]:
    """§7.5."""
    found = []
    for rate in model.tag_rates("vm_cost_per_hour"):
        for rows in grouped(_chosen(_machine_pods(base), rate), *VM_OWN):
            hours = _hours(rows[0], inputs)
            if hours is not None:
                found.append(_own_row(rows, rate.cost_type, "Tag", hours * _rate_of(rows[0], rate)))
    for rate in model.tag_rates("vm_cost_per_month"):
        for rows in grouped(_chosen_months(base, rate), *VM_OWN):
            amount = _rate_of(rows[0], rate) / days_in_month(rows[0]["usage_start"])
            found.append(_own_row(rows, rate.cost_type, "Tag", amount))
    for metric in ("vm_core_cost_per_month", "vm_core_cost_per_hour"):
        for rate in model.tag_rates(metric):
            found += _tag_machine_core_rows(base, inputs, rate)
    return found


def _tag_machine_core_rows(base: Sequence[Row], inputs: Inputs, rate: TagRate) -> list[Row]:
    found = []
    keys = ("usage_start", "namespace", "cost_category_id", "pod_labels", "all_labels")
    for rows in grouped(_chosen(_machine_pods(base), rate), *keys):
        machine = _machine(rows[0], inputs)
        if machine is None:
            continue
        amount = machine.cores * _rate_of(rows[0], rate)
        if rate.metric == "vm_core_cost_per_month":
            amount /= days_in_month(rows[0]["usage_start"])
        else:
            amount *= machine.longest_hours
        row = _own_row(rows, rate.cost_type, "Tag", amount)
        found.append(row | {"node": machine.node, "resource_id": machine.resource_id})
    return found


def _chosen(rows: Iterable[Row], rate: TagRate) -> list[Row]:
    """With a default every row that has the key, without one rows with a listed value."""
    values = [(row, labels_of(row, "pod_labels").get(rate.key)) for row in rows]
    return [row for row, value in values if value in rate.values or (rate.has_default and value is not None)]


def _chosen_months(base: Iterable[Row], rate: TagRate) -> list[Row]:
    rows = _machine_months(base)
    if not rate.has_default:
        return _chosen(rows, rate)
    return [row for row in rows if rate.key in labels_of(row, "all_labels")]


def _rate_of(row: Row, rate: TagRate) -> float:
    return rate.rate(labels_of(row, "pod_labels").get(rate.key))


# ----------------------------------------------------------------------------------------------------------- projects


def project_rows(model: Model, base: Sequence[Row], inputs: Inputs) -> list[Row]:
    found = []
    for rate in model.tag_rates("project_per_month"):
        places = [
            {**item, **place}
            for item in _namespace_labels(inputs)
            if _is_charged(item, rate)
            for place in _places_of(base, item)
        ]
        for rows in grouped(places, "day", "namespace"):
            count = sum(1 for row in rows if row["node"] is not None)
            for place in rows:
                value = place["namespace_labels"][rate.key]
                amount = rate.rate(value) / days_in_month(place["day"]) / max(count, 1)
                found.append(_project_row(place, rate, amount))
    return found


def _namespace_labels(inputs: Inputs) -> list[Row]:
    """Daily label rows of namespaces that do not belong to the platform."""
    rows = [
        item
        for item in inputs.namespace_labels
        if inputs.covers(item["day"])
        and not any(like(item["namespace"], pattern) for pattern in ("kube-%", "openshift-%", "openshift"))
    ]
    return [same[0] for same in grouped(rows, "day", "namespace", "namespace_labels")]


def _is_charged(item: Row, rate: TagRate) -> bool:
    value = item["namespace_labels"].get(rate.key)
    return value in rate.values or (rate.has_default and value is not None)


def _places_of(base: Iterable[Row], item: Row) -> list[Row]:
    """The nodes of a namespace on a day, or nowhere."""
    having = [
        row
        for row in base
        if (row["usage_start"], row["namespace"]) == (item["day"], item["namespace"]) and row.get("node") is not None
    ]
    found = [
        {"node": rows[0]["node"], "resource_id": column_max(rows, "resource_id")} for rows in grouped(having, "node")
    ]
    return found or [{"node": None, "resource_id": None}]


def _project_row(place: Row, rate: TagRate, amount: float) -> Row:
    origin = {"usage_start": place["day"], "data_source": "Pod", **place}
    labels = place["namespace_labels"]
    return cost_row(
        [origin],
        cost_type=rate.cost_type,
        monthly="Tag",
        pod_labels=labels,
        all_labels=labels,
        cost_model_cpu_cost=amount,
    )
