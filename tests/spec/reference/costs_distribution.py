"""Who pays for platform, idle workers and unattributed cost (cost-models §10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from reference.costs_model import CAPACITIES, PLATFORM, Model, Row, column_max, column_sum, grouped

WORKER = "Worker unallocated"
STORAGE = "Storage unattributed"
NETWORK = "Network unattributed"
POOL = (
    "infrastructure_raw_cost",
    "infrastructure_markup_cost",
    "cost_model_cpu_cost",
    "cost_model_memory_cost",
    "cost_model_volume_cost",
)
KEYS = ("node", "namespace", "cost_category_id", "data_source")


def distributed_rows(model: Model, rows: Sequence[Row]) -> list[Row]:
    """Distributed rows of all kinds but GPUs, from base and cost rows."""
    effective = "memory_gigabyte_hours" if model.by_memory else "cpu_core_hours"
    weight = f"pod_effective_usage_{effective}"
    found = []
    for of_day in grouped([row for row in rows if row["namespace"] is not None], "usage_start"):
        if model.switch("platform_cost", absent=False):
            found += _platform(of_day, weight)
        if model.switch("worker_cost", absent=False):
            found += _worker(of_day, weight)
        if model.switch("storage_unattributed", absent=True):
            found += _unattributed(of_day, weight, "unattributed_storage", pool=STORAGE, other=NETWORK)
        if model.switch("network_unattributed", absent=True):
            found += _unattributed(of_day, weight, "unattributed_network", pool=NETWORK, other=STORAGE)
    return found


def _is_platform(row: Row) -> bool:
    return row.get("cost_category_id") == PLATFORM


def _cost(rows: Iterable[Row]) -> float:
    rows = list(rows)
    return sum(column_sum(rows, name) for name in POOL)


def _platform(rows: Sequence[Row], weight: str) -> list[Row]:
    considered = [row for row in rows if row["namespace"] not in (WORKER, STORAGE, NETWORK)]
    return _shared(considered, weight, "platform_distributed", is_pool=_is_platform)


def _worker(rows: Sequence[Row], weight: str) -> list[Row]:
    """Pods pay; groups have no category of their own."""
    considered = [row for row in rows if row["namespace"] not in (STORAGE, NETWORK) and not _is_platform(row)]
    return _shared(
        considered,
        weight,
        "worker_distributed",
        is_pool=lambda row: row["namespace"] == WORKER,
        keys=("node", "namespace"),
        of=lambda row: row["data_source"] == "Pod",
    )


def _shared(
    considered: Sequence[Row],
    weight: str,
    kind: str,
    *,
    is_pool: Callable[[Row], bool],
    keys: Sequence[str] = KEYS,
    of: Callable[[Row], bool] = lambda _: True,
) -> list[Row]:
    """Shares and offsets; nothing at all on a day that lacks either."""
    pool = [row for row in considered if is_pool(row)]
    payers = [row for row in considered if not is_pool(row)]
    total = column_sum(payers, weight)
    if not pool or total <= 0:
        return []
    cost = _cost(pool)
    shares = [_row(rows, kind, column_sum(rows, weight) / total * cost) for rows in grouped(filter(of, payers), *keys)]
    offsets = [_row(rows, kind, -_cost(rows)) for rows in grouped(filter(of, pool), *keys)]
    return _written([*shares, *offsets])


def _unattributed(rows: Sequence[Row], weight: str, kind: str, *, pool: str, other: str) -> list[Row]:
    """The cost leaves its namespace also when nobody receives it (Q9)."""
    considered = [row for row in rows if row["namespace"] not in (other, WORKER) and not _is_platform(row)]
    pooled = [row for row in considered if row["namespace"] == pool]
    payers = [row for row in considered if row["namespace"] != pool]
    cost, total = _cost(pooled), column_sum(payers, weight)
    found = []
    for group in grouped(payers, *KEYS):
        share = column_sum(group, weight) / total * cost if total > 0 else 0.0
        found.append(_row(group, kind, share) | {"raw_currency": column_max(group, "raw_currency")})
    for group in grouped(pooled, *KEYS):
        found.append(_row(group, kind, -_cost(group)) | {"raw_currency": column_max(group, "raw_currency")})
    return _written(found)


def _row(rows: Sequence[Row], kind: str, cost: float) -> Row:
    first = rows[0]
    return {
        "usage_start": first["usage_start"],
        "data_source": first["data_source"],
        "namespace": first["namespace"],
        "node": first.get("node"),
        "cost_category_id": column_max(rows, "cost_category_id"),
        "resource_id": column_max(rows, "resource_id"),
        **{name: column_max(rows, name) for name in CAPACITIES},
        "raw_currency": None,
        "cost_model_rate_type": kind,
        "monthly_cost_type": None,
        "distributed_cost": cost,
    }


def _written(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["distributed_cost"]]
