"""Rows of a report as read from the database, before they are nested or flattened.

A row is a dict by internal names (`infra_raw`, `cost_total`, `usage`, group names …): the names the CSV shows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from kura.api_reads.reports.catalogue import Capacity
from kura.api_reads.reports.measures import Same, Zero
from kura.api_reads.reports.parameters import TAG, Delta
from kura.api_reads.reports.plan import Plan, capacity_table
from kura.api_reads.reports.query import (
    OTHERS,
    TOTAL,
    capacity_statement,
    computed,
    report_statement,
)
from kura.api_reads.reports.time_scope import Scope

Row = dict[str, Any]
ZERO = Decimal(0)

ROW_NAMES = frozenset({
    "date", "cluster", "clusters", "node", "nodes", "project", "projects", "namespace", "account", "accounts",
    "service", "services", "region", "regions", "cost", "infrastructure", "supplementary", "usage", "request",
    "limit", "capacity", "score", "source_uuid", "classification", "cost_group", "default_project", "delta_value",
    "delta_percent", "persistentvolumeclaim", "storageclass", "persistent_volume_claim", "storage_class", "values",
    "vm_name", "vm_names", "storage", "tags", "rank", "infra_raw", "infra_markup", "infra_usage", "infra_total",
    "sup_raw", "sup_markup", "sup_usage", "sup_total", "cost_raw", "cost_markup", "cost_usage", "cost_total",
    "cost_units", "base_currency", "exchange_rate", "usage_units", "data_transfer_in", "data_transfer_out",
})  # fmt: skip
"""Names rows use themselves. A label key of that name is shown as `tag:<key>` (read-api §3.3)."""


def shown_name(key: str) -> str:
    """Name of a group in rows: a tag's own key, unless rows use that name."""
    if not key.startswith(TAG):
        return key
    name = key.removeprefix(TAG)
    return key if name in ROW_NAMES or f"{name}s" in ROW_NAMES else name


@dataclass(kw_only=True)
class Rows:
    """Rows of a report, its merged rest by bucket, its totals."""

    plan: Plan
    names: tuple[str, ...]
    """Names of the group keys in rows, outer first."""
    rows: list[Row] = field(default_factory=list)
    others: list[Row] = field(default_factory=list)
    total: Row = field(default_factory=dict)
    ranked: int = 0
    overhead: bool = False

    @property
    def merged(self) -> int:
        """How many ranked groups are not shown one by one."""
        return max(0, self.ranked - self.plan.ranking.limit) if self.plan.ranking else 0

    @property
    def others_label(self) -> str:
        return "Other" if self.merged == 1 else "Others"


def read_rows(connection: Connection, plan: Plan) -> Rows:
    """Run the report's statement."""
    measures = plan.report.measures
    keys = [shown_name(key) for key in plan.row_keys]
    names = ["bucket", *keys, *computed(measures), "clusters", "source_uuid", "base_currency", "exchange_rate"]
    aliases = [(name, formula.measure) for name, formula in measures.items() if isinstance(formula, Same)]
    zeros = [name for name, formula in measures.items() if isinstance(formula, Zero)]
    overridden = [name for name, formula in plan.report.total_overrides.items() if isinstance(formula, Zero)]
    read = Rows(plan=plan, names=tuple(shown_name(key) for key in plan.groups))
    monthly = plan.scope.monthly
    for kind, rank, ranked, overhead, *values in connection.execute(report_statement(plan)):
        row = dict(zip(names, values, strict=True))
        bucket = row.pop("bucket")
        for name, measure in aliases:
            row[name] = row[measure]
        for name in zeros:
            row[name] = ZERO
        if kind == TOTAL:
            for name in overridden:
                row[name] = ZERO
            read.total, read.ranked, read.overhead = row, ranked, overhead
            continue
        row["date"] = f"{bucket:%Y-%m}" if monthly else bucket.isoformat()
        row["clusters"] = row["clusters"] or []
        row["source_uuid"] = [str(uuid) for uuid in row["source_uuid"] or ()]
        if kind == OTHERS:
            read.others.append(row)
            continue
        if plan.ranking is not None:
            row["rank"] = rank
        read.rows.append(row)
    return read


def labels_of(row: Row, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(row[name] for name in names)


# --------------------------------------------------------------------------------------------------------- ranking


def complete_ranked(read: Rows) -> None:
    """Give every ranked group a row on every date that has any data, and the merged rest its labels.

    Source: read-api §3.5, steps 3 and 4. Group rows carry the clusters and sources of the whole range.
    """
    keys = [shown_name(key) for key in read.plan.ranked_keys]
    dates = {row["date"] for row in (*read.rows, *read.others)}
    by_group: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in read.rows:
        by_group[labels_of(row, keys)].append(row)
    for rows in by_group.values():
        clusters = sorted({name for row in rows for name in row["clusters"]})
        sources = sorted({uuid for row in rows for uuid in row["source_uuid"]})
        for row in rows:
            row["clusters"], row["source_uuid"] = clusters, sources
        pattern = rows[0]
        for missing in sorted(dates - {row["date"] for row in rows}):
            empty = dict.fromkeys(pattern)
            empty |= {name: ZERO for name, value in pattern.items() if isinstance(value, (Decimal, int))}
            empty |= {name: [] for name, value in pattern.items() if isinstance(value, list)}
            empty |= {name: pattern[name] for name in (*keys, "rank", "base_currency", "exchange_rate")}
            empty |= {"date": missing, "clusters": clusters, "source_uuid": sources, "filled": True}
            read.rows.append(empty)
    label = read.others_label
    named = {*read.names, *(shown_name(key) for key in read.plan.split_by)}
    for row in read.others:
        row.update(dict.fromkeys(named, label))
        row["others"] = True
        row["rank"] = read.plan.ranking.limit + 1 if read.plan.ranking else 0
    read.rows += read.others


# ---------------------------------------------------------------------------------------------------------- deltas


def add_delta(read: Rows, delta: Delta, before: Rows | None) -> dict[str, Any]:
    """Put `delta_value` and `delta_percent` into rows; the answer is the delta of the totals (read-api §3.6)."""
    if delta.against is not None:
        for row in read.rows:
            row["delta_value"], row["delta_percent"] = _compared(row[delta.field], row[delta.against])
        value, percent = _compared(read.total[delta.field], read.total[delta.against])
        return {"value": value, "percent": percent}
    assert before is not None
    scope = read.plan.scope
    keys = [shown_name(key) for key in read.plan.row_keys]
    known: dict[tuple[Any, ...], Decimal] = defaultdict(lambda: ZERO)
    by_bucket: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for row in before.rows:
        known[row["date"], *labels_of(row, keys)] += row[delta.field]
        by_bucket[row["date"]] += row[delta.field]
    for row in read.rows:
        then = scope.previous_bucket(row["date"])
        earlier = ZERO if row.get("others") else known.get((then, *labels_of(row, keys)), ZERO)
        row["delta_value"], row["delta_percent"] = _changed(row[delta.field], earlier)
    buckets = set(by_bucket) if scope.monthly else {scope.previous_bucket(row["date"]) for row in read.rows}
    earlier = sum((by_bucket[bucket] for bucket in buckets if bucket in by_bucket), ZERO)
    value, percent = _changed(read.total[delta.field], earlier)
    return {"value": value, "percent": percent}


def _changed(now: Decimal, then: Decimal) -> tuple[Decimal, Decimal | None]:
    if round(then, 2) == 0:
        return now - then, None
    return now - then, (now - then) / then * 100


def _compared(one: Decimal, other: Decimal) -> tuple[Decimal, Decimal | None]:
    return one - other, (one / other * 100 if other else None)


# -------------------------------------------------------------------------------------------------------- capacity


@dataclass(kw_only=True)
class Capacities:
    """Capacity and count by bucket and name (cluster, or node when grouped by node), and over the whole range."""

    by_node: bool
    by_bucket: dict[tuple[str, str], tuple[Decimal, Decimal]] = field(default_factory=dict)
    whole: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)

    def of(self, row: Row, scope: Scope) -> tuple[Decimal, Decimal]:
        """Sum over the clusters of a row, or its node."""
        if self.by_node and row.get("others"):
            return ZERO, ZERO
        names = [row["node"]] if self.by_node else row["clusters"]
        whole = scope.monthly and not scope.explicit and not self.by_node
        if not names and not self.by_node:
            names = list(self.whole) if whole else [name for date, name in self.by_bucket if date == row["date"]]
        found = [
            self.whole.get(name, (ZERO, ZERO)) if whole else self.by_bucket.get((row["date"], name), (ZERO, ZERO))
            for name in names
        ]
        return sum((value for value, _ in found), ZERO), sum((count for _, count in found), ZERO)

    def total(self) -> tuple[Decimal, Decimal]:
        return (
            sum((value for value, _ in self.whole.values()), ZERO),
            sum((count for _, count in self.whole.values()), ZERO),
        )


def read_capacities(connection: Connection, plan: Plan, capacity: Capacity) -> Capacities:
    """Run the capacity statement of a report."""
    read = Capacities(by_node="node" in plan.groups)
    monthly = plan.scope.monthly
    for bucket, name, value, count in connection.execute(capacity_statement(plan, capacity, capacity_table(plan))):
        amounts = (value or ZERO, count or ZERO)
        if bucket is None:
            read.whole[name] = amounts
        else:
            read.by_bucket[f"{bucket:%Y-%m}" if monthly else bucket.isoformat(), name] = amounts
    return read


def add_capacity(read: Rows, capacities: Capacities) -> None:
    """Put capacity, count and unused amounts into rows and totals (read-api-fields §3.3, §3.4)."""
    own_capacity = "capacity" in read.plan.report.measures
    for row in (*read.rows, read.total):
        value, count = capacities.total() if row is read.total else capacities.of(row, read.plan.scope)
        if not own_capacity:
            row["capacity"] = value
        row["capacity_count"] = count
        row.update(unused(capacity=row["capacity"], usage=row["usage"], request=row["request"]))


def unused(*, capacity: Decimal, usage: Decimal, request: Decimal) -> Row:
    """What of capacity and request was not used; both percents are of capacity."""
    whole = capacity if capacity > 0 else Decimal(1)
    of_capacity = max(capacity - max(usage, request), ZERO)
    of_request = max(request - usage, ZERO)
    return {
        "capacity_unused": of_capacity,
        "capacity_unused_percent": of_capacity / whole * 100,
        "request_unused": of_request,
        "request_unused_percent": of_request / whole * 100,
    }


# ----------------------------------------------------------------------------------------------------------- order


def positions_on(read: Rows, ordered: list[Row]) -> Mapping[tuple[str, ...], int]:
    """Where each group stands among rows of one day that are already in order."""
    found: dict[tuple[str, ...], int] = {}
    for row in ordered:
        found.setdefault(labels_of(row, read.names), len(found))
    return found


def by_date(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["date"]].append(row)
    return found


def date_of_bucket(bucket: str) -> date:
    return date.fromisoformat(bucket if len(bucket) == 10 else f"{bucket}-01")
