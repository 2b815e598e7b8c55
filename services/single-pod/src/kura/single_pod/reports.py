"""Reports for people: options become query parameters, the nested answer becomes a flat table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from kura.single_pod.client import Kura, Query, Refused
from kura.single_pod.problems import CommandError

REPORTS = {
    "openshift costs": "what clusters, projects and nodes cost",
    "openshift compute": "CPU: used, requested, limit, capacity",
    "openshift memory": "memory: used, requested, limit, capacity",
    "openshift volumes": "persistent volumes: used, requested, capacity",
    "openshift network": "data in and out",
    "openshift gpu": "GPUs and what they cost",
    "openshift resources virtual-machines": "one row per virtual machine, by month",
}
"""The reports that need nothing but clusters; those of clouds are reached by their path in the same way."""

MEASURES = {
    "usage": "usage",
    "request": "request",
    "request_cpu": "CPU request",
    "request_memory": "memory request",
    "limit": "limit",
    "capacity": "capacity",
    "data_transfer_in": "data in",
    "data_transfer_out": "data out",
    "gpu_count": "GPUs",
    "gpu_memory": "GPU memory",
}
"""Fields of a row that are amounts, in the order of columns, with their headings."""

DISTRIBUTED = "cost, distributed"


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """One report as asked for on the command line."""

    path: str
    group_by: Sequence[str] = ()
    filters: Sequence[str] = ()
    excludes: Sequence[str] = ()
    order_by: Sequence[str] = ()
    start: date | None = None
    end: date | None = None
    days: int | None = None
    month: int | None = None
    resolution: str | None = None
    limit: int | None = None
    delta: str | None = None
    currency: str | None = None

    def query(self) -> Query:
        """Parameters of the HTTP API (read-api §2)."""
        pairs: list[tuple[str, str]] = []
        for text in self.group_by:
            key, _, value = text.partition("=")
            pairs.append((f"group_by[{key}]", value or "*"))
        for name, texts in (("filter", self.filters), ("exclude", self.excludes)):
            for text in texts:
                key, found, value = text.partition("=")
                if not found or not key:
                    raise CommandError(
                        f"--{name} {text}: write it as key=value, for example --{name} project=shop.", status=2
                    )
                pairs.append((f"{name}[{key}]", value))
        for text in self.order_by:
            key, _, direction = text.replace("=", ":").rpartition(":")
            if direction not in ("asc", "desc"):
                key, direction = text, "desc"
            pairs.append((f"order_by[{key}]", direction))
        pairs += self.time_query()
        if self.resolution:
            pairs.append(("filter[resolution]", self.resolution))
        if self.limit is not None:
            pairs.append(("filter[limit]" if self.group_by else "limit", str(self.limit)))
        if self.delta:
            pairs.append(("delta", self.delta))
        if self.currency:
            pairs.append(("currency", self.currency))
        return pairs

    def time_query(self) -> list[tuple[str, str]]:
        """The parameters that say which days are meant."""
        ways = [self.start is not None or self.end is not None, self.days is not None, self.month is not None]
        if sum(ways) > 1:
            raise CommandError("Give one of --start/--end, --days and --month.", status=2)
        if self.days is not None:
            if self.days not in (10, 30, 90):
                raise CommandError("--days is 10, 30 or 90; for another span use --start and --end.", status=2)
            return [("filter[time_scope_units]", "day"), ("filter[time_scope_value]", f"-{self.days}")]
        if self.month is not None:
            if self.month not in (0, 1, 2):
                raise CommandError("--month is 0 (this month), 1 (the last) or 2 (the one before).", status=2)
            return [("filter[time_scope_units]", "month"), ("filter[time_scope_value]", f"-{self.month + 1}")]
        if ways[0]:
            if self.start is None or self.end is None:
                raise CommandError("Give both --start and --end, as YYYY-MM-DD.", status=2)
            return [("start_date", self.start.isoformat()), ("end_date", self.end.isoformat())]
        return []


def report_path(words: Sequence[str]) -> str:
    """`openshift compute` or `openshift/compute` → `/reports/openshift/compute/`."""
    parts = [part for word in words for part in word.strip("/").split("/") if part]
    if len(parts) < 2:
        known = "\n".join(f"  {name:<38} {what}" for name, what in REPORTS.items())
        raise CommandError(f"Which report? For example:\n{known}", status=2)
    return f"/reports/{'/'.join(parts)}/"


OPTIONS = {"group_by": "--group-by", "filter": "--filter", "exclude": "--exclude", "order_by": "--order-by"}
PREFIXES = ("and:", "or:", "exact:")


@contextmanager
def telling_what_is_allowed(kura: Kura, path: str) -> Iterator[None]:
    """Add to a refused parameter what it may be, as far as the API's own description of the report says it."""
    try:
        yield
    except Refused as refused:
        hints = [] if refused.hint else list(_allowed(kura, path, refused.parameters))
        if not hints:
            raise
        raise CommandError(str(refused), hint="\n  → ".join(hints), status=refused.status) from refused


def _allowed(kura: Kura, path: str, refused: Mapping[str, Any]) -> Iterator[str]:
    described = kura.get("/openapi.json")["paths"].get(path, {}).get("get", {}).get("parameters", [])
    for parameter in described:
        name, schema = parameter["name"], parameter["schema"]
        if name not in refused:
            continue
        option = OPTIONS.get(name, f"--{name}")
        keys, said = schema.get("properties", {}), refused[name]
        if schema.get("enum"):
            yield f"{option} takes {', '.join(schema['enum'])}."
        if not keys or not isinstance(said, dict):
            continue
        named = {_without_prefix(key) for key in said}
        if any(key.startswith("tag:") for key in named):
            yield "`kura tags` lists the tag keys that are kept; `kura tags --found` those that can be."
        if any(key not in keys and not key.startswith("tag:") for key in named):
            yield f"{option} takes {', '.join(keys)}."


def _without_prefix(key: str) -> str:
    for prefix in PREFIXES:
        key = key.removeprefix(prefix)
    return key


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One column of amounts."""

    heading: str
    units: str


@dataclass(frozen=True, kw_only=True)
class FlatReport:
    """A report as rows of keys and amounts; amounts the report does not have are None."""

    keys: Sequence[str]
    measures: Sequence[Measure]
    rows: Sequence[tuple[tuple[str, ...], tuple[float | None, ...]]]
    total: tuple[float | None, ...]

    @property
    def is_empty(self) -> bool:
        """Nothing was measured; a measured nought is something."""
        return all(amount is None for _, amounts in self.rows for amount in amounts)


@dataclass
class _Collected:
    amounts: dict[tuple[str, ...], dict[str, float]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)


def flatten(answer: Mapping[str, Any], *, by_date: bool) -> FlatReport:
    """The nested answer as rows; without `by_date` the dates of a group are added up, and order is by first date."""
    keys = [key.split(":", 1)[-1] for key in answer["meta"].get("group_by", {})]
    collected = _Collected()
    for bucket in answer["data"]:
        for labels, row in _leaves(bucket, {}):
            keys = list(labels) or keys  # their order is that of the nesting
            place = (str(bucket["date"]), *labels.values()) if by_date else tuple(labels.values())
            amounts = collected.amounts.setdefault(place, {})
            for name, value, units in _amounts(row):
                amounts[name] = amounts.get(name, 0.0) + value
                if units:
                    collected.units[name] = units
    if not keys and by_date:
        for bucket in answer["data"]:
            collected.amounts.setdefault((str(bucket["date"]),), {})

    total = {name: value for name, value, _ in _amounts(answer["meta"].get("total", {}))}
    named = [total, *collected.amounts.values()]
    # Costs are nought until a cost model is given; columns of nothing but that would only fill the screen.
    present = {name for amounts in named for name, value in amounts.items() if value or name in MEASURES}
    order = [name for name in [*MEASURES, "cost", "distributed"] if name in present] or ["cost"]
    headings = MEASURES | {"cost": "cost", "distributed": DISTRIBUTED}
    return FlatReport(
        keys=["date", *keys] if by_date else keys,
        measures=[Measure(heading=headings[name], units=collected.units.get(name, "")) for name in order],
        rows=[(place, tuple(amounts.get(name) for name in order)) for place, amounts in collected.amounts.items()],
        total=tuple(total.get(name) for name in order),
    )


OTHERS = ("Others", "Other")
"""Labels of what a limit has put together; they come last."""


def ordered(flat: FlatReport, order_by: Sequence[str]) -> FlatReport:
    """Rows in the order that was asked for, else by the first amount, largest first. For rows over all dates."""
    key, _, direction = (order_by[0] if order_by else "").replace("=", ":").partition(":")
    key = {"distributed_cost": DISTRIBUTED}.get(key, key)
    headings = [measure.heading for measure in flat.measures]
    rest = [row for row in flat.rows if OTHERS[0] in row[0] or OTHERS[1] in row[0]]
    rows = [row for row in flat.rows if row not in rest]
    if key in flat.keys:
        rows.sort(key=lambda row: row[0][list(flat.keys).index(key)].lower(), reverse=direction == "desc")
    else:
        column = headings.index(key) if key in headings else 0
        rows.sort(key=lambda row: row[1][column] or 0.0, reverse=direction != "asc")
    return replace(flat, rows=[*rows, *rest])


def without_costs(flat: FlatReport) -> FlatReport:
    """Only what was used."""
    kept = [index for index, measure in enumerate(flat.measures) if measure.heading not in ("cost", DISTRIBUTED)]

    def chosen(amounts: tuple[float | None, ...]) -> tuple[float | None, ...]:
        return tuple(amounts[index] for index in kept)

    return replace(
        flat,
        measures=[flat.measures[index] for index in kept],
        rows=[(place, chosen(amounts)) for place, amounts in flat.rows],
        total=chosen(flat.total),
    )


def _leaves(
    found: Mapping[str, Any], labels: Mapping[str, str]
) -> Iterator[tuple[Mapping[str, str], Mapping[str, Any]]]:
    """Every row below one date, with its labels by key from the outermost group inwards."""
    if "values" in found:
        for row in found["values"]:
            yield labels, row
        return
    for items in found.values():
        for item in items if isinstance(items, list) else []:
            own = {key: str(value) for key, value in item.items() if not isinstance(value, (list, dict))}
            yield from _leaves(item, {**labels, **own})


def _amounts(row: Mapping[str, Any]) -> Iterator[tuple[str, float, str]]:
    """Name, value and units of what a row measures."""
    request = row.get("request")
    request = request if isinstance(request, Mapping) else {}
    cost = row.get("cost")
    cost = cost if isinstance(cost, Mapping) else {}
    found = {
        **{name: row.get(name) for name in MEASURES},
        "request_cpu": request.get("cpu"),
        "request_memory": request.get("memory"),
        "cost": cost.get("total"),
        "distributed": cost.get("distributed"),
    }
    for name, inner in found.items():
        if isinstance(inner, Mapping) and isinstance(inner.get("value"), (int, float)):
            yield name, float(inner["value"]), str(inner.get("units") or "")
