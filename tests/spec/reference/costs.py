"""Cost rows of one source and month as the rates give them (cost-models §5–§7, §9, §11). Slow and plain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from reference.costs_distribution import distributed_rows
from reference.costs_gpus import gpu_rows
from reference.costs_machines import machine_hour_rows, machine_month_rows, project_rows, tag_machine_rows
from reference.costs_model import (
    COSTS,
    PATTERNS,
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
from reference.summary import cost_category

CPU_METRICS = {
    "cpu_core_usage_per_hour": "pod_usage_cpu_core_hours",
    "cpu_core_request_per_hour": "pod_request_cpu_core_hours",
    "cpu_core_effective_usage_per_hour": "pod_effective_usage_cpu_core_hours",
}
MEMORY_METRICS = {
    "memory_gb_usage_per_hour": "pod_usage_memory_gigabyte_hours",
    "memory_gb_request_per_hour": "pod_request_memory_gigabyte_hours",
    "memory_gb_effective_usage_per_hour": "pod_effective_usage_memory_gigabyte_hours",
}
VOLUME_METRICS = {
    "storage_gb_usage_per_month": "persistentvolumeclaim_usage_gigabyte_months",
    "storage_gb_request_per_month": "volume_request_storage_gigabyte_months",
}
CORE_METRICS = ("node_core_cost_per_hour", "cluster_core_cost_per_hour")
CLUSTER_HOUR = "cluster_cost_per_hour"
USAGE_METRICS = (*CPU_METRICS, *MEMORY_METRICS, *VOLUME_METRICS, *CORE_METRICS, CLUSTER_HOUR)

E_CPU, E_MEM = "pod_effective_usage_cpu_core_hours", "pod_effective_usage_memory_gigabyte_hours"
NC, NM = "node_capacity_cpu_core_hours", "node_capacity_memory_gigabyte_hours"
CC, CM = "cluster_capacity_cpu_core_hours", "cluster_capacity_memory_gigabyte_hours"
CORES, GIGABYTES = "node_capacity_cpu_cores", "node_capacity_memory_gigabytes"
CPU, MEMORY, VOLUME = "cost_model_cpu_cost", "cost_model_memory_cost", "cost_model_volume_cost"

NODE_TYPES = {"Node": "node_cost_per_month", "Node_Core_Month": "node_core_cost_per_month"}


def cost_rows(inputs: Inputs) -> list[Row]:
    """All cost rows and distributed rows of the range; the distribution of GPUs has its own function."""
    model = Model(inputs.model)
    base = base_rows(inputs, model)
    rows = [*usage_rows(model, base), *monthly_rows(model, base, inputs)]
    rows = [*tag_rows(model, base, inputs, rows), *gpu_rows(model, inputs), *machine_hour_rows(model, base, inputs)]
    rows = [row for row in rows if any(row[name] for name in COSTS)]  # Q13
    return [*rows, *distributed_rows(model, [*base, *rows])]


def base_rows(inputs: Inputs, model: Model) -> list[Row]:
    """Usage and cloud rows of the range, the latter with markup (§9). `{}` leaves an earlier markup (Q8)."""
    rows = []
    for given in (*inputs.summary, *inputs.cloud):
        if not inputs.covers(given["usage_start"]):
            continue
        row = with_all_labels(given)
        if model.markup is not None:
            row["infrastructure_markup_cost"] = (row.get("infrastructure_raw_cost") or 0.0) * model.markup
        rows.append(row)
    return rows


# ------------------------------------------------------------------------------------------------------- usage (§5)


def usage_rows(model: Model, base: Sequence[Row]) -> list[Row]:
    found = []
    for cost_type in TYPES:
        if not model.has(USAGE_METRICS, cost_type):
            continue
        named = [row for row in base if row["namespace"] is not None]
        keys = ("usage_start", "node", "namespace", "data_source", "persistentvolumeclaim")
        for rows in grouped(named, *keys, "pod_labels", "volume_labels", "cost_category_id", "all_labels"):
            found.append(_usage_row(model, cost_type, rows, base))
    return found


def _usage_row(model: Model, cost_type: str, rows: Sequence[Row], base: Sequence[Row]) -> Row:
    def plain(metrics: Mapping[str, str]) -> float:
        return sum(column_sum(rows, column) * model.rate(metric, cost_type) for metric, column in metrics.items())

    core_rate = sum(model.rate(metric, cost_type) for metric in CORE_METRICS)
    core_hours = _core_hours(model, rows)
    cluster_hour = _cluster_hours(model, rows, base) * model.rate(CLUSTER_HOUR, cost_type)
    cpu = plain(CPU_METRICS) + (core_hours or 0.0) * core_rate + (0.0 if model.by_memory else cluster_hour)
    return cost_row(
        rows,
        cost_type=cost_type,
        monthly=None,
        persistentvolumeclaim=rows[0].get("persistentvolumeclaim"),
        persistentvolume=column_max(rows, "persistentvolume"),
        storageclass=column_max(rows, "storageclass"),
        pod_labels=rows[0].get("pod_labels"),
        volume_labels=rows[0].get("volume_labels"),
        all_labels=rows[0]["all_labels"],
        cost_model_cpu_cost=0.0 if core_hours is None else cpu,
        cost_model_memory_cost=plain(MEMORY_METRICS) + (cluster_hour if model.by_memory else 0.0),
        cost_model_volume_cost=plain(VOLUME_METRICS),
    )


def _core_hours(model: Model, rows: Sequence[Row]) -> float | None:
    """§5.1; in memory mode a missing factor makes the whole CPU cost null, which every reader takes as 0 (Q1)."""
    if not model.by_memory:
        return column_sum(rows, E_CPU)
    used, size, cores = column_max(rows, E_MEM), column_max(rows, NM), column_max(rows, NC)
    if size == 0:
        return 0.0
    if None in (used, size, cores):
        return None
    return column_sum(rows, E_MEM) / size * cores


def _cluster_hours(model: Model, rows: Sequence[Row], base: Sequence[Row]) -> float:
    """§5.2: hours of the cluster that a group pays for."""
    node = rows[0].get("node")
    if not node:
        return 0.0
    effective, capacity, cluster, size = (E_MEM, NM, CM, GIGABYTES) if model.by_memory else (E_CPU, NC, CC, CORES)
    of_node = [row for row in base if row["usage_start"] == rows[0]["usage_start"] and row.get("node") == node]
    node_usage = column_sum(of_node, effective)
    if not node_usage:
        return 0.0
    node_capacity = column_max(of_node, capacity)
    part = _ratio(node_capacity, column_max(of_node, cluster))
    hours = _ratio(node_capacity, column_max(of_node, size))
    return column_sum(rows, effective) / node_usage * part * hours


def _ratio(one: float | None, other: float | None) -> float:
    return (one or 0.0) / other if other else 0.0


# ----------------------------------------------------------------------------------------------------- monthly (§6)


def monthly_rows(model: Model, base: Sequence[Row], inputs: Inputs) -> list[Row]:
    found = []
    for monthly in ("Node", "Node_Core_Month", "Cluster"):
        metric = NODE_TYPES.get(monthly, "cluster_cost_per_month")
        cost_type, rate = model.monthly_rate(metric)
        if rate:
            found += [_node_row(model, rows, monthly, cost_type, rate) for rows in _node_groups(_of_nodes(base))]
    cost_type, rate = model.monthly_rate("pvc_cost_per_month")
    if rate:
        found += _claim_rows(base, cost_type, lambda _: rate)
    found += machine_month_rows(model, base, inputs)
    return found


def _of_nodes(base: Iterable[Row]) -> list[Row]:
    return [
        row
        for row in base
        if row["data_source"] == "Pod" and row["namespace"] is not None and row.get(NC) and row.get(CC)
    ]


def _node_groups(rows: Iterable[Row]) -> list[list[Row]]:
    return grouped(rows, "usage_start", "node", "namespace", "pod_labels", "cost_category_id")


def _node_row(
    model: Model, rows: Sequence[Row], monthly: str, cost_type: str, rate: float, labels: Row | None = None
) -> Row:
    effective, capacity = (E_MEM, NM) if model.by_memory else (E_CPU, NC)
    if monthly == "Cluster":
        capacity = CM if model.by_memory else CC
    amount = _ratio(column_sum(rows, effective), column_max(rows, capacity))
    amount *= rate / days_in_month(rows[0]["usage_start"])
    if monthly == "Node_Core_Month":
        amount *= column_max(rows, CORES) or 0.0
    own = rows[0].get("pod_labels")
    return cost_row(
        rows,
        cost_type=cost_type,
        monthly=monthly,
        **(labels or {"pod_labels": own, "all_labels": own}),
        **{MEMORY if model.by_memory else CPU: amount},
    )


def _claim_rows(
    base: Iterable[Row], cost_type: str, rate_of: Callable[[Row], float], *, key: str | None = None
) -> list[Row]:
    """§6.2; with a tag key (§7.3) only claims that carry it exist."""
    claims = [
        row
        for row in base
        if row.get("persistentvolumeclaim") is not None and (key is None or key in labels_of(row, "volume_labels"))
    ]
    charged = [
        row
        for row in claims
        if row["data_source"] == "Storage"
        and row["namespace"] is not None
        and row.get("persistentvolumeclaim_capacity_gigabyte_months")
    ]
    found = []
    keys = ("usage_start", "node", "namespace", "persistentvolumeclaim", "persistentvolume", "volume_labels")
    for rows in grouped(charged, *keys, "cost_category_id"):
        first = rows[0]
        names = {
            row["persistentvolumeclaim"]
            for row in claims
            if (row["usage_start"], row["namespace"]) == (first["usage_start"], first["namespace"])
        }
        own = labels_of(first, "volume_labels")
        labels = first.get("volume_labels") if key is None else {key: own[key]}
        found.append(
            cost_row(
                rows,
                cost_type=cost_type,
                monthly="PVC",
                persistentvolumeclaim=first["persistentvolumeclaim"],
                persistentvolume=first.get("persistentvolume"),
                storageclass=column_max(rows, "storageclass"),
                volume_labels=labels,
                all_labels=labels,
                cost_model_volume_cost=rate_of(first) / days_in_month(first["usage_start"]) / len(names),
            )
        )
    return found


# -------------------------------------------------------------------------------------------------------- tags (§7)


def tag_rows(model: Model, base: Sequence[Row], inputs: Inputs, earlier: list[Row]) -> list[Row]:
    """The rows so far without those that a tag rate replaces, and the rows of all tag rates."""
    found = []
    for column, metrics in ((CPU, CPU_METRICS), (MEMORY, MEMORY_METRICS), (VOLUME, VOLUME_METRICS)):
        for metric, measure in metrics.items():
            for rate in model.tag_rates(metric):
                found += _tag_usage_rows(base, rate, column=column, measure=measure)
    for monthly, metric in NODE_TYPES.items():
        for rate in model.tag_rates(metric):
            earlier = _without(earlier, monthly, rate, "pod_labels")
            found += _tag_node_rows(model, base, inputs, rate, monthly)
    for rate in model.tag_rates("pvc_cost_per_month"):
        earlier = _without(earlier, "PVC", rate, "volume_labels")
        found += _claim_rows(base, rate.cost_type, _claim_rate(rate), key=rate.key)
    for rate in model.tag_rates("node_core_cost_per_hour"):
        found += _tag_core_hour_rows(model, base, inputs, rate)
    return [*earlier, *found, *tag_machine_rows(model, base, inputs), *project_rows(model, base, inputs)]


def _claim_rate(rate: TagRate) -> Callable[[Row], float]:
    return lambda row: rate.rate(row["volume_labels"][rate.key])


def _without(rows: Iterable[Row], monthly: str, rate: TagRate, column: str) -> list[Row]:
    """Rows of the same monthly and cost type whose labels have the key make room (§7.3)."""
    return [
        row
        for row in rows
        if row["monthly_cost_type"] != monthly
        or row["cost_model_rate_type"] != rate.cost_type
        or rate.key not in labels_of(row, column)
    ]


def _tag_usage_rows(base: Iterable[Row], rate: TagRate, *, column: str, measure: str) -> list[Row]:
    """§7.1 by value, §7.2 by default."""
    label_column = "volume_labels" if column == VOLUME else "pod_labels"
    having = [row for row in base if rate.key in labels_of(row, label_column)]
    listed = [row for row in having if row[label_column][rate.key] in rate.values]
    others = [row for row in having if row[label_column][rate.key] not in rate.values]
    keys = ("data_source", "usage_start", "namespace", "node", "resource_id")
    claim = ("persistentvolumeclaim", "persistentvolume", "storageclass", "cost_category_id")

    def charged(rows: Sequence[Row], labels: Mapping[str, str], unit_rate: float) -> Row:
        return cost_row(
            rows,
            cost_type=rate.cost_type,
            monthly="Tag",
            **{name: rows[0].get(name) for name in claim},
            **{label_column: labels, "all_labels": labels, column: column_sum(rows, measure) * unit_rate},
        )

    found = []
    for value, unit_rate in rate.values.items():
        for rows in grouped([row for row in listed if row[label_column][rate.key] == value], *keys, *claim):
            found.append(charged(rows, {rate.key: value}, unit_rate))
    if rate.default:
        for rows in grouped(others, *keys, *claim, label_column):
            found.append(charged(rows, rows[0][label_column], rate.default))
    return found


def _tag_node_rows(model: Model, base: Sequence[Row], inputs: Inputs, rate: TagRate, monthly: str) -> list[Row]:
    """§7.3: what pods with the key use, and what each label value leaves of the node (Q5)."""
    having = [row for row in _of_nodes(base) if rate.key in labels_of(row, "pod_labels")]
    found = []
    for rows in _node_groups(having):
        labels = {"pod_labels": {rate.key: rows[0]["pod_labels"][rate.key]}}
        unit_rate = rate.rate(labels["pod_labels"][rate.key])
        found.append(_node_row(model, rows, monthly, rate.cost_type, unit_rate, labels))
    effective, capacity = (E_MEM, NM) if model.by_memory else (E_CPU, NC)
    for value, rows in _by_node_and_value(having, rate.key):
        size = column_max(rows, capacity)
        amount = _ratio((size or 0.0) - column_sum(rows, effective), size)
        amount *= rate.rate(value) / days_in_month(rows[0]["usage_start"])
        if monthly == "Node_Core_Month":
            amount *= column_max(rows, CORES) or 0.0
        found.append(_idle_row(model, rows, inputs, rate, value, monthly, amount))
    return found


def _tag_core_hour_rows(model: Model, base: Sequence[Row], inputs: Inputs, rate: TagRate) -> list[Row]:
    """§7.4; Q6 in memory mode."""
    having = [row for row in _of_nodes(base) if rate.key in labels_of(row, "pod_labels")]
    monthly, column = "Node_Core_Hour", MEMORY if model.by_memory else CPU
    found = []
    for rows in _node_groups(having):
        value = rows[0]["pod_labels"][rate.key]
        amount = column_sum(rows, E_CPU) * rate.rate(value)
        labels = {rate.key: value}
        found.append(cost_row(rows, cost_type=rate.cost_type, monthly=monthly, pod_labels=labels, **{column: amount}))
    effective, capacity = (E_MEM, NM) if model.by_memory else (E_CPU, NC)
    for value, rows in _by_node_and_value(having, rate.key):
        amount = ((column_max(rows, capacity) or 0.0) - column_sum(rows, effective)) * rate.rate(value)
        found.append(_idle_row(model, rows, inputs, rate, value, monthly, amount))
    return found


def _by_node_and_value(having: Iterable[Row], key: str) -> list[tuple[str, list[Row]]]:
    marked = [{**row, "value": row["pod_labels"][key]} for row in having]
    return [(rows[0]["value"], rows) for rows in grouped(marked, "usage_start", "node", "value")]


def _idle_row(
    model: Model, rows: Sequence[Row], inputs: Inputs, rate: TagRate, value: str, monthly: str, amount: float
) -> Row:
    resource_id = column_max(rows, "resource_id")
    roles = [
        node["node_role"]
        for node in inputs.nodes
        if (node["node"], node["resource_id"]) == (rows[0]["node"], resource_id)
    ]
    names = {"worker": "Worker unallocated", "master": "Platform unallocated", "infra": "Platform unallocated"}
    namespace = names.get(roles[0]) if roles else None
    return cost_row(
        rows,
        cost_type=rate.cost_type,
        monthly=monthly,
        namespace=namespace,
        cost_category_id=cost_category(namespace, PATTERNS),
        pod_labels={rate.key: value},
        all_labels={rate.key: value},
        **{MEMORY if model.by_memory else CPU: amount},
    )
