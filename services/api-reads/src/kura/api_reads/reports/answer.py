"""The JSON answer of a report: nesting into dates and groups, labels, objects of a row, meta (read-api §3.3, §4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kura.api_reads.reports.parameters import TAG, Parameters
from kura.api_reads.reports.rows import IS_FILLED, IS_REST, Row, Rows, shown_name

Json = dict[str, Any]
Pack = Callable[[Row], Json]

UNALLOCATED = frozenset({"Platform unallocated", "Worker unallocated", "GPU unallocated"})
UNATTRIBUTED = frozenset({"Storage unattributed", "Network unattributed"})
DEFAULT_PREFIXES = ("openshift-", "kube-")
MEMBERS = ("raw", "markup", "usage", "total")
INFRASTRUCTURE = tuple((member, f"infra_{member}") for member in MEMBERS)
SUPPLEMENTARY = tuple((member, f"sup_{member}") for member in MEMBERS)
COST = tuple((member, f"cost_{member}") for member in MEMBERS)
COST_OF_PODS = (*COST, ("distributed", "cost_total_distributed"))
COST_OF_PROJECTS = (
    *COST,
    ("platform_distributed", "cost_platform_distributed"),
    ("worker_unallocated_distributed", "cost_worker_unallocated_distributed"),
    ("network_unattributed_distributed", "cost_network_unattributed_distributed"),
    ("storage_unattributed_distributed", "cost_storage_unattributed_distributed"),
    ("gpu_unallocated_distributed", "cost_gpu_unallocated_distributed"),
    ("distributed", "cost_total_distributed"),
)
"""Members of the cost objects and the names of their values in rows."""

MIG_PART = re.compile(r"(\d*)(.*)")


# -------------------------------------------------------------------------------------------------------- one row


def amount(value: Any, units: str | None) -> Json:
    return {"value": None if value is None else float(value), "units": units}


def _costs(row: Row, currency: str, names: Sequence[tuple[str, str]] = COST) -> Json:
    """The cost objects of a row. Equal amounts share one object: most are 0 or there twice."""
    nothing = {"value": 0.0, "units": currency}
    known: dict[int, Json] = {}

    def members(names: Sequence[tuple[str, str]]) -> Json:
        found = {}
        for member, name in names:
            value = row[name]
            if not value:
                found[member] = nothing
                continue
            amount = known.get(id(value))
            if amount is None:
                amount = known[id(value)] = {"value": float(value), "units": currency}
            found[member] = amount
        return found

    return {
        "infrastructure": members(INFRASTRUCTURE),
        "supplementary": members(SUPPLEMENTARY),
        "cost": members(names),
    }


def cost_members(row: Row, currency: str) -> Json:
    """The cost objects of a row of costs by project, distributed parts apart."""
    return _costs(row, currency, COST_OF_PROJECTS)


def _inventory(row: Row, units: str, count_units: str | None) -> Json:
    """usage, request and capacity with what of them was unused (read-api §4.3)."""
    capacity = {
        **amount(row["capacity"], units),
        "unused": float(row["capacity_unused"]),
        "unused_percent": float(row["capacity_unused_percent"]),
        "count": float(row["capacity_count"]),
    }
    if count_units is not None:
        capacity["count_units"] = count_units
    return {
        "usage": amount(row["usage"], units),
        "request": {
            **amount(row["request"], units),
            "unused": float(row["request_unused"]),
            "unused_percent": float(row["request_unused_percent"]),
        },
        "capacity": capacity,
    }


def _pods(read: Rows, *, with_score: bool) -> Callable[[Row, str], Json]:
    report = read.plan.report
    units, count_units = report.units["usage"], _count_units(read)

    def pack(row: Row, currency: str) -> Json:
        packed = _costs(row, currency, COST_OF_PODS) | _inventory(row, units, count_units)
        packed["limit"] = amount(row["limit"], units)
        packed["score"] = score(row, currency) if with_score else {}
        return packed

    return pack


def _count_units(read: Rows) -> str | None:
    """What capacity counts; rows by node do not say it."""
    capacity = read.plan.report.capacity
    return capacity.count_units if capacity is not None and "node" not in read.plan.groups else None


def score(row: Row, currency: str) -> Json:
    return {
        "usage_efficiency_percent": int(row["usage_efficiency_percent"]),
        "wasted_cost": amount(row["wasted_cost"], currency),
    }


def _volumes(read: Rows) -> Callable[[Row, str], Json]:
    report, count_units = read.plan.report, _count_units(read)

    def pack(row: Row, currency: str) -> Json:
        return (
            _costs(row, currency)
            | _inventory(row, report.units["usage"], count_units)
            | {
                "persistent_volume_claim": row["persistent_volume_claim"] or [],
                "storage_class": row["storage_class"] or [],
            }
        )

    return pack


def _network(read: Rows) -> Callable[[Row, str], Json]:
    units = read.plan.report.units

    def pack(row: Row, currency: str) -> Json:
        packed = _costs(row, currency)
        return packed | {name: amount(row[name], unit) for name, unit in units.items()}

    return pack


def _gpu(read: Rows) -> Callable[[Row, str], Json]:
    units = read.plan.report.units

    def pack(row: Row, currency: str) -> Json:
        return _costs(row, currency) | {
            "gpu_memory": amount(row["gpu_memory"], units["gpu_memory"]),
            "gpu_count": {"value": int(row["gpu_count"]), "units": units["gpu_count"]},
        }

    return pack


def _mig(row: Row, currency: str) -> Json:
    """`3g.40gb` is 3 compute slices of kind `g` and 40 `gb` of memory (read-api-fields §3.9)."""
    compute, _, memory = (row["mig_profile"] or "").partition(".")
    return {
        "compute": _number_and_unit(compute),
        "memory": _number_and_unit(memory),
        "mig_slice_count": int(row["mig_slice_count"]),
        "gpu_max_slices": int(row["gpu_max_slices"]),
    }


def _number_and_unit(text: str) -> Json:
    found = MIG_PART.fullmatch(text)
    digits, unit = found.groups() if found else ("", text)
    return {"value": int(digits) if digits else None, "units": unit}


def _virtual_machines(read: Rows) -> Callable[[Row, str], Json]:
    units = read.plan.report.units

    def pack(row: Row, currency: str) -> Json:
        packed = cost_members(row, currency) | {
            "request": {
                "cpu": amount(row["request_cpu"], units["request_cpu"]),
                "memory": amount(row["request_memory"], units["request_memory"]),
            }
        }
        if row["vm_name"] is not None:
            packed |= {name: row[name] for name in ("cluster", "node", "project")}
            packed |= {"storage": storage_of(row), "tags": tags_of(row)}
        return packed

    return pack


def storage_of(row: Row) -> list[Json]:
    return [{**volume, "usage_units": "GiB-Mo"} for volume in row["storage"] or []]


def tags_of(row: Row) -> list[Json]:
    """Label maps of a virtual machine as keys with all their values."""
    values: dict[str, set[str]] = {}
    for labels in row["tags"] or []:
        for key, value in labels.items():
            values.setdefault(key, set()).add(str(value))
    return [{"key": key, "values": sorted(found)} for key, found in sorted(values.items())]


def packer_of(read: Rows, parameters: Parameters) -> Callable[[Row, str], Json]:
    """What turns a flat row of this report into its nested objects."""
    match read.plan.report.shape:
        case "costs":
            return _costs
        case "costs_by_project":
            return cost_members
        case "pods":
            return _pods(read, with_score=shows_score(parameters))
        case "volumes":
            return _volumes(read)
        case "network":
            return _network(read)
        case "gpu":
            return _gpu(read)
        case "mig":
            return _mig
        case "virtual_machines":
            return _virtual_machines(read)
    raise AssertionError(read.plan.report.shape)


def shows_score(parameters: Parameters) -> bool:
    """A score makes no sense by tag or by several groups (read-api-fields §3.5)."""
    tagged = any(key.startswith(TAG) for key in (*parameters.groups, *(part.key for part in parameters.filters)))
    return not tagged and len(parameters.groups) < 2


def classification(label: str, categories: Sequence[str]) -> str:
    """What kind of namespace a project row is (read-api §4.4)."""
    if label in categories:
        return f"category_{label}"
    if label.startswith(DEFAULT_PREFIXES) or label == "openshift":
        return "default"
    if label in UNALLOCATED:
        return "unallocated"
    if label in UNATTRIBUTED:
        return "unattributed"
    return "project"


# -------------------------------------------------------------------------------------------------------- nesting


def pack_dates(read: Rows, ordered: Mapping[str, list[Row]], parameters: Parameters) -> list[Json]:
    """Every bucket of the range, ascending, with its rows nested by group."""
    pack = packer_of(read, parameters)
    keys = {shown_name(key): key for key in read.plan.row_keys if key != "cost_group"}
    with_clusters = read.plan.report.shape != "mig" or read.plan.ranking is not None
    dates: list[Json] = []
    for bucket in read.plan.scope.buckets():
        packed = [_packed(row, keys, pack, read, parameters, with_clusters) for row in ordered.get(bucket, [])]
        dates.append({"date": bucket, **_nested(packed, read.names)})
    return dates


def _packed(
    row: Row,
    keys: Mapping[str, str],
    pack: Callable[[Row, str], Json],
    read: Rows,
    parameters: Parameters,
    with_clusters: bool,
) -> Json:
    packed: Json = {"date": row["date"]}
    packed |= {name: row[name] or f"No-{key.removeprefix(TAG)}" for name, key in keys.items()}
    if with_clusters:
        packed |= {"source_uuid": row["source_uuid"], "clusters": row["clusters"]}
    packed |= pack(row, parameters.currency)
    if "delta_value" in row:
        percent = row["delta_percent"]
        packed["delta_value"] = float(row["delta_value"])
        packed["delta_percent"] = None if percent is None else float(percent)
    if "project" in keys:
        packed |= _project_extras(row, packed["project"], read, parameters)
    return packed


def _project_extras(row: Row, label: str, read: Rows, parameters: Parameters) -> Json:
    """classification, cost group and default_project (read-api §3.5 side effects, §4.4)."""
    ranking = read.plan.ranking
    others, filled = IS_REST in row, IS_FILLED in row
    extras: Json = {}
    if others:
        extras["classification"] = "category" if parameters.categories else None
    elif filled:
        extras["classification"] = None
    else:
        extras["classification"] = classification(label, parameters.categories)
    if read.plan.report.cost_groups:
        extras["cost_group"] = None if others else row["cost_group"]
    if ranking is not None and ranking.others:
        extras["default_project"] = "False" if others else None
    return extras


def _nested(rows: list[Json], names: Sequence[str]) -> Json:
    """Rows below their labels, outer group first; labels appear in the order of their first row.

    When the labels of a row come back after others, the later rows are put before the earlier ones.
    """
    if not names:
        return {"values": rows}
    top: Json = {f"{names[0]}s": []}
    items: dict[tuple[str, ...], Json] = {(): top}
    last: tuple[str, ...] = ()
    place = 0
    for row in rows:
        labels = tuple(row[name] for name in names)
        if labels not in items:
            _open(items, names, labels)
        place = place + 1 if labels == last else 0
        items[labels]["values"].insert(place, row)
        last = labels
    return top


def _open(items: dict[tuple[str, ...], Json], names: Sequence[str], labels: tuple[str, ...]) -> None:
    """Make the items of these labels, from the outermost one that is not there yet."""
    inside = [*(f"{name}s" for name in names[1:]), "values"]
    for depth, name in enumerate(names):
        path = labels[: depth + 1]
        if path not in items:
            items[path] = {name: labels[depth], inside[depth]: []}
            items[labels[:depth]][f"{name}s"].append(items[path])


# ----------------------------------------------------------------------------------------------------------- meta


def meta_of(
    read: Rows,
    parameters: Parameters,
    *,
    count: int,
    limit: int,
    offset: int,
    delta: Mapping[str, Any] | None,
    distributed_overhead: bool | None,
) -> Json:
    """`meta` of a report (read-api §4.1)."""
    meta: Json = {"count": count, "limit": limit, "offset": offset}
    if read.plan.ranking is not None:
        meta["others"] = read.merged
    meta |= {"currency": parameters.currency, **parameters.echo}
    if delta is not None:
        meta["delta"] = {
            "value": float(delta["value"]),
            "percent": None if delta["percent"] is None else float(delta["percent"]),
        }
    if distributed_overhead is not None:
        meta["distributed_overhead"] = distributed_overhead
    meta["total"] = total_of(read, parameters)
    return meta


def total_of(read: Rows, parameters: Parameters) -> Json:
    """The objects of a row over the whole range."""
    report = read.plan.report
    if not report.totals:
        return {}
    total = packer_of(read, parameters)(read.total, parameters.currency)
    if report.capacity is not None:
        total["capacity"]["count_units"] = report.capacity.count_units
    if report.with_score:
        total.pop("score", None)
        total["total_score"] = total_score(read.total, parameters.currency)
    return total


def total_score(total: Row, currency: str) -> Json:
    """Efficiency and waste of the totals (read-api-fields §3.5)."""
    usage, request, cost = (float(total[name]) for name in ("usage", "request", "cost_total"))
    wasted = max(0.0, cost * (request - usage) / request) if request > 0 else 0.0
    return {
        "usage_efficiency_percent": int(total["usage_efficiency_percent"]),
        "wasted_cost": amount(wasted, currency),
    }
