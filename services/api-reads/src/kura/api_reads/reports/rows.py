"""Rows of a report as read from the database, before they are nested or flattened.

A row is a dict by internal names (`infra_raw`, `cost_total`, `usage`, group names …): the names the CSV shows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from kura.api_reads.reports.catalogue import REPORTS
from kura.api_reads.reports.measures import Documents, Labels, LargestName, Names, Same, Zero
from kura.api_reads.reports.parameters import TAG, Delta
from kura.api_reads.reports.plan import Plan, Ranking, previous, totals_of
from kura.api_reads.reports.query import (
    OTHERS,
    TOTAL,
    Statement,
    bills_statement,
    computed,
    kept_statement,
    ranks_statement,
    report_statement,
    rest_statement,
)

Row = dict[str, Any]
ZERO = Decimal(0)

IS_REST, IS_FILLED = "\0rest", "\0filled"
"""Marks of rows that stand for all merged groups, or for a group without data on a date. No label key is like them."""

OWN_NAMES = frozenset({
    "date", "cluster", "clusters", "node", "nodes", "project", "projects", "namespace", "account", "accounts",
    "service", "services", "region", "regions", "cost", "infrastructure", "supplementary", "usage", "request",
    "limit", "capacity", "score", "source_uuid", "classification", "cost_group", "default_project", "delta_value",
    "delta_percent", "persistentvolumeclaim", "storageclass", "persistent_volume_claim", "storage_class", "values",
    "vm_name", "vm_names", "storage", "tags", "rank", "infra_raw", "infra_markup", "infra_usage", "infra_total",
    "sup_raw", "sup_markup", "sup_usage", "sup_total", "cost_raw", "cost_markup", "cost_usage", "cost_total",
    "cost_units", "base_currency", "exchange_rate", "usage_units", "data_transfer_in", "data_transfer_out",
})  # fmt: skip
ROW_NAMES = OWN_NAMES.union(*(report.measures for report in REPORTS.values()))
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
    by_bucket: list[Row] = field(default_factory=list)
    """Rows whose sums by date are the totals of the date."""
    total: Row = field(default_factory=dict)
    dates: frozenset[str] = frozenset()
    """Dates with any data."""
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
    """Read a report: one statement, or three where few of very many groups are kept."""
    if plan.ranking is not None and plan.ranks_apart:
        read = _read_apart(connection, plan, plan.ranking)
    else:
        read = _read(connection, plan, report_statement(plan))
    read.dates = frozenset(row["date"] for row in (*read.rows, *read.others))
    if plan.ranking is not None:
        _complete(read, plan.ranking)
    return read


def has_bills(connection: Connection, plan: Plan) -> bool:
    """Whether a report is about bills that have to be converted."""
    return bool(connection.scalar(bills_statement(plan)))


def read_previous(connection: Connection, current: Rows) -> Rows:
    """The rows of the window before; of ranked reports those of the groups that are kept, and totals by bucket."""
    plan = previous(current.plan)
    if current.plan.ranking is None or not current.plan.ranks_apart:
        read = _read(connection, plan, report_statement(plan))
        read.by_bucket = read.rows
        return read
    keys = [shown_name(key) for key in plan.ranked_keys]
    kept = {labels_of(row, keys) for row in current.rows if IS_REST not in row}
    read = _read(connection, plan, kept_statement(plan, sorted(kept)))
    read.by_bucket = read_rows(connection, totals_of(plan)).rows
    return read


def _read(connection: Connection, plan: Plan, statement: Statement) -> Rows:
    measures = plan.report.measures
    keys = [shown_name(key) for key in plan.row_keys]
    names = ["bucket", *keys, *computed(measures), "clusters", "source_uuid", "base_currency", "exchange_rate"]
    aliases = [(name, formula.measure) for name, formula in measures.items() if isinstance(formula, Same)]
    zeros = [name for name, formula in measures.items() if isinstance(formula, Zero)]
    overridden = [name for name, formula in plan.report.total_overrides.items() if isinstance(formula, Zero)]
    read = Rows(plan=plan, names=tuple(shown_name(key) for key in plan.groups))
    monthly = plan.scope.monthly
    for kind, rank, ranked, overhead, *values in connection.execute(statement).all():
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
        row["source_uuid"] = row["source_uuid"] or []
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


def _read_apart(connection: Connection, plan: Plan, ranking: Ranking) -> Rows:
    """Ranks over the whole range, rows of the kept groups, totals by date; the rest is what totals have beyond them.

    Rule    every measure adds up, and the smallest table that knows the totals has the same sums as the rows
    """
    keys = [shown_name(key) for key in plan.ranked_keys]
    ranks: dict[tuple[str, ...], int] = {}
    ranked = 0
    for rank, count, *group in connection.execute(ranks_statement(plan, ranking)):
        ranks[tuple(group)], ranked = rank, count
    clusters, sources = connection.execute(rest_statement(plan, sorted(ranks))).one()
    rest: Row = {"clusters": clusters or [], "source_uuid": sources or []}
    read = _read(connection, plan, kept_statement(plan, sorted(ranks)))
    for row in read.rows:
        row["rank"] = ranks[labels_of(row, keys)]
    totals = _read(connection, totals_of(plan), report_statement(totals_of(plan)))
    read.total, read.overhead, read.ranked = totals.total, totals.overhead, ranked

    sums = [name for name, formula in plan.report.measures.items() if not isinstance(formula, Zero)]
    shown = by_date(read.rows)
    for total in totals.rows:
        others = {**dict.fromkeys(shown_name(key) for key in plan.row_keys), **total, **rest}
        for row in shown.get(total["date"], ()):
            for name in sums:
                others[name] -= row[name]
        read.others.append(others)
    return read


def _complete(read: Rows, ranking: Ranking) -> None:
    """Give every kept group, and the rest, a row on every date that has any data; name the rest.

    Source: read-api §3.5, steps 3 and 4. Rows carry the clusters and sources that their group has over the range.
    """
    keys = [shown_name(key) for key in read.plan.ranked_keys]
    copied = [shown_name(key) for key in read.plan.row_keys if key != "cost_group"]
    by_group: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in read.rows:
        by_group[labels_of(row, keys)].append(row)
    for rows in by_group.values():
        _share_places(rows)
        pattern = {name: rows[0][name] for name in (*copied, "rank", *SHARED)}
        missing = _missing(read.dates, rows)
        read.rows += [{**_empty_row(read.plan), **pattern, "date": day, IS_FILLED: True} for day in missing]
    if not ranking.others or not read.merged:
        return
    _share_places(read.others)
    shared = {name: read.others[0][name] for name in SHARED} if read.others else {}
    missing = _missing(read.dates, read.others)
    read.others += [{**_empty_row(read.plan), **shared, "date": day} for day in missing]
    named = [*read.names, *(shown_name(key) for key in read.plan.split_by)]
    for row in read.others:
        row.update(dict.fromkeys(named, read.others_label))
        row |= {IS_REST: True, "rank": ranking.limit + 1}
    read.rows += read.others


SHARED = ("clusters", "source_uuid", "base_currency", "exchange_rate")


def _missing(dates: Iterable[str], rows: Iterable[Row]) -> list[str]:
    return sorted(set(dates) - {row["date"] for row in rows})


def _share_places(rows: list[Row]) -> None:
    clusters = sorted({name for row in rows for name in row["clusters"]})
    sources = sorted({uuid for row in rows for uuid in row["source_uuid"]})
    for row in rows:
        row["clusters"], row["source_uuid"] = clusters, sources


def _empty_row(plan: Plan) -> Row:
    """What a group without data has: zeros, empty lists, no names."""
    row: Row = dict.fromkeys(shown_name(key) for key in plan.row_keys)
    for name, formula in plan.report.measures.items():
        if isinstance(formula, Names | Documents | Labels):
            row[name] = []
        elif not isinstance(formula, LargestName):
            row[name] = ZERO
    return row


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
    known: dict[tuple[Any, ...], Decimal] = defaultdict(lambda: ZERO)
    by_bucket: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for row in before.rows:
        known[row["date"], *labels_of(row, read.names)] += row[delta.field]
    for row in before.by_bucket:
        by_bucket[row["date"]] += row[delta.field]
    for row in read.rows:
        then = scope.previous_bucket(row["date"])
        earlier = ZERO if IS_REST in row else known.get((then, *labels_of(row, read.names)), ZERO)
        row["delta_value"], row["delta_percent"] = _changed(row[delta.field], earlier)
    buckets = set(by_bucket) if scope.monthly else {scope.previous_bucket(day) for day in read.dates}
    earlier = sum((by_bucket[bucket] for bucket in buckets if bucket in by_bucket), ZERO)
    value, percent = _changed(read.total[delta.field], earlier)
    return {"value": value, "percent": percent}


def _changed(now: Decimal, then: Decimal) -> tuple[Decimal, Decimal | None]:
    if round(then, 2) == 0:
        return now - then, None
    return now - then, (now - then) / then * 100


def _compared(one: Decimal, other: Decimal) -> tuple[Decimal, Decimal | None]:
    return one - other, (one / other * 100 if other else None)


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
