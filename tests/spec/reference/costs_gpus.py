"""GPUs that are used, that are idle, and who pays for the idle ones (cost-models §8, §10)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from reference.costs_model import (
    PATTERNS,
    Inputs,
    Model,
    Row,
    TagRate,
    cost_row,
    days_in_month,
    grouped,
)
from reference.summary import cost_category

IDLE = "GPU unallocated"


def gpu_rows(model: Model, inputs: Inputs) -> list[Row]:
    found = []
    items = [item for item in inputs.gpus if inputs.covers(item["day"])]
    for rate in model.tag_rates("gpu_cost_per_month"):
        of_vendor = [item for item in items if item["gpu_vendor_name"] == rate.key]
        found += [_used_row(item, rate) for item in of_vendor]
        found += _idle_rows(of_vendor, rate, inputs)
    return found


def _used_row(item: Row, rate: TagRate) -> Row:
    slices, most = item.get("mig_slice_count"), item.get("gpu_max_slices")
    fraction = slices / most if slices is not None and most else 1.0
    days = days_in_month(item["day"])
    amount = rate.rate(item["gpu_model_name"]) / days * (item["gpu_pod_uptime"] / 86400) * fraction
    return _gpu_row(
        day=item["day"],
        namespace=item["namespace"],
        node=item["node"],
        resource_id=item["gpu_uuid"],
        rate=rate,
        amount=amount,
        labels=_used_labels(item),
    )


def _used_labels(item: Row) -> dict[str, str]:
    """What is not known is empty."""
    named = {
        "gpu-model": item["gpu_model_name"],
        "gpu-vendor": item["gpu_vendor_name"],
        "gpu-memory-mib": _whole(item.get("gpu_memory_capacity_mib")),
        "mig-profile": item.get("mig_profile"),
        "mig-slice-count": _whole(item.get("mig_slice_count")),
        "gpu-max-slices": _whole(item.get("gpu_max_slices")),
        "mig-strategy": item.get("mig_strategy"),
        "mig-memory-mib": _whole(item.get("mig_memory_capacity_mib")),
        "gpu-mode": "MIG" if item.get("mig_profile") else "dedicated",
        "gpu-uuid": item["gpu_uuid"],
        "mig-instance-id": item.get("mig_instance_id"),
    }
    return {name: value or "" for name, value in named.items()}


def _whole(number: float | None) -> str | None:
    return None if number is None else str(int(number))


def _idle_rows(items: Sequence[Row], rate: TagRate, inputs: Inputs) -> list[Row]:
    found = []
    for rows in grouped(items, "day", "node", "gpu_model_name"):
        first = rows[0]
        day, node = first["day"], first["node"]
        most = max(1.0 if item.get("gpu_max_slices") is None else item["gpu_max_slices"] for item in rows)
        for hours in _label_hours(inputs, day, node):
            idle = _capacity_hours(hours, most) - slice_seconds(rows) / 3600
            if idle > 0 and most:
                amount = rate.rate(first["gpu_model_name"]) / (days_in_month(day) * 24 * most) * idle
                labels = {"gpu-model": first["gpu_model_name"], "max-slices-per-gpu": str(int(most))}
                found.append(_gpu_row(day=day, namespace=IDLE, node=node, rate=rate, amount=amount, labels=labels))
    return found


def slice_seconds(items: Iterable[Row]) -> float:
    return sum(item["gpu_pod_uptime"] * _slices(item) for item in items)


def _slices(item: Row) -> float:
    slices = item.get("mig_slice_count")
    return 1.0 if slices is None else float(slices)


def _label_hours(inputs: Inputs, day: date, node: str) -> list[list[Row]]:
    """Hourly rows of the node that say that GPUs are present, per label set."""
    rows = [
        item
        for item in inputs.node_labels
        if (item["day"], item["node"]) == (day, node)
        and item["node_labels"].get("nvidia_com_gpu_present", "").lower() == "true"
    ]
    return grouped(rows, "node_labels")


def _capacity_hours(hours: Sequence[Row], most: float) -> float:
    labels: Mapping[str, str] = hours[0]["node_labels"]
    strategy = labels.get("nvidia_com_mig_strategy", "mixed")
    factor = {"mixed": most, "single": 1.0}.get(strategy, 0.0)
    return len(hours) * float(labels.get("nvidia_com_gpu_count") or 0) * factor


def _gpu_row(
    *,
    day: date,
    namespace: str,
    node: str,
    rate: TagRate,
    amount: float,
    labels: Mapping[str, str],
    resource_id: str | None = None,
) -> Row:
    origin: Row = {"usage_start": day, "data_source": "GPU", "namespace": namespace, "node": node}
    return cost_row(
        [origin],
        cost_type=rate.cost_type,
        monthly="Tag",
        resource_id=resource_id,
        cost_category_id=cost_category(namespace, PATTERNS),
        all_labels=dict(labels),
        cost_model_gpu_cost=amount,
    )


def distribute_gpu(items: Iterable[Row], idle: Sequence[Row]) -> list[Row]:
    """Rows of `gpu_distributed`; `idle` has usage_start, node, gpu_model_name, cost. Q10: the largest share counts."""
    shares: dict[tuple[date, str, str], float] = {}
    offsets = []
    items = list(items)
    for pool in grouped(idle, "usage_start", "node", "gpu_model_name"):
        day, node, model = (pool[0][name] for name in ("usage_start", "node", "gpu_model_name"))
        users = [item for item in items if (item["day"], item["node"], item["gpu_model_name"]) == (day, node, model)]
        weight = slice_seconds(users)
        if not weight:
            continue
        cost = sum(row["cost"] for row in pool)
        offsets += [_distributed(day, IDLE, node, -row["cost"]) for row in pool]
        for rows in grouped(users, "namespace"):
            share = slice_seconds(rows) / weight * cost
            key = day, rows[0]["namespace"], node
            shares[key] = max(share, shares.get(key, share))
    return [*(_distributed(*key, share) for key, share in shares.items()), *offsets]


def _distributed(day: date, namespace: str, node: str, cost: float) -> Row:
    return {
        "usage_start": day,
        "data_source": "GPU",
        "namespace": namespace,
        "node": node,
        "cost_model_rate_type": "gpu_distributed",
        "distributed_cost": cost,
    }
