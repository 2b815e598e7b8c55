"""`kura explain`: why a project, node or cluster costs what it costs, as a tree whose leaves add up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kura.single_pod.client import Kura, Query

if TYPE_CHECKING:
    from rich.tree import Tree

PATH = "/explain/openshift/costs/"
PAGE = 1000
EXACT = 1e-9
"""What the sum of the lines and the report may differ by, for every unit of money."""

LEAST = 0.00005
"""Smaller amounts are shown as nothing."""

BRANCHES = (
    ("infrastructure", "Infrastructure", ("infra_raw", "infra_markup", "infra_usage")),
    ("supplementary", "Supplementary", ("sup_usage",)),
    (
        "distributed",
        "Handed on",
        (
            "platform_distributed",
            "worker_unallocated_distributed",
            "network_unattributed_distributed",
            "storage_unattributed_distributed",
            "gpu_unallocated_distributed",
        ),
    ),
)
KIND_WORDS = {"raw": "Cloud bill", "markup": "Markup"}


@dataclass
class Leaf:
    """Lines of the same rate or pool, added up over days and months."""

    title: str
    cost: float = 0.0
    quantity: float = 0.0
    units: str | None = None
    price: float | None = None
    price_units: str | None = None
    exchange: float = 1.0
    pool: float | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The lines of a cost and the totals beside them."""

    meta: Mapping[str, Any]
    lines: list[Mapping[str, Any]]

    @property
    def total(self) -> float:
        return float(self.meta["total"]["cost"]["distributed"]["value"])

    @property
    def reported(self) -> float:
        return float(self.meta["reported"]["cost"]["distributed"]["value"])

    @property
    def adds_up(self) -> bool:
        summed = sum(line["cost"]["value"] for line in self.lines)
        tolerance = EXACT * max(1.0, abs(self.reported))
        return abs(summed - self.reported) <= tolerance and abs(self.total - self.reported) <= tolerance


def explain_costs(kura: Kura, query: Query) -> Explanation:
    """All lines, however many pages they take."""
    lines: list[Mapping[str, Any]] = []
    while True:
        page = kura.get(PATH, [*query, ("limit", str(PAGE)), ("offset", str(len(lines)))])
        lines += page["data"]
        if not page["data"] or len(lines) >= page["meta"]["count"]:
            return Explanation(meta=page["meta"], lines=lines)


def explain_query(
    *, project: str | None, node: str | None, cluster: str | None, time: Query, currency: str | None
) -> Query:
    """Parameters of the API; the project is meant by its whole name."""
    asked = (("exact:project", project), ("exact:node", node), ("cluster", cluster))
    pairs = [(f"filter[{name}]", value) for name, value in asked if value]
    if not time:
        time = [("filter[time_scope_units]", "month"), ("filter[time_scope_value]", "-1")]
    by_month = (
        []
        if any(name == "filter[time_scope_value]" and value in ("-10", "-30", "-90") for name, value in time)
        else [("filter[resolution]", "monthly")]
    )
    return [*pairs, *time, *by_month, *([("currency", currency)] if currency else [])]


def leaves_of(lines: Iterable[Mapping[str, Any]]) -> list[Leaf]:
    """Lines of one branch, largest first."""
    found: dict[tuple[Any, ...], Leaf] = {}
    for line in lines:
        key, leaf = _leaf(line)
        known = found.setdefault(key, leaf)
        if known is not leaf:
            known.quantity += leaf.quantity
            known.pool = None if known.pool is None or leaf.pool is None else known.pool + leaf.pool
        known.cost += line["cost"]["value"]
    return sorted(found.values(), key=lambda leaf: -abs(leaf.cost))


def _leaf(line: Mapping[str, Any]) -> tuple[tuple[Any, ...], Leaf]:
    kind = line["kind"]
    if kind in KIND_WORDS:
        return (kind,), Leaf(KIND_WORDS[kind])
    if kind in ("distributed", "offset"):
        pool = line["pool"]
        words = "From" if kind == "distributed" else "Taken from"
        return (kind, pool["name"]), Leaf(f"{words} {pool['name']}", pool=pool.get("value"))
    rate, metric = line["rate"], line["metric"]
    tag, prices = rate["tag"], rate["price_list"]
    notes = [metric["name"]]
    if tag is not None:
        notes.append(f"{tag['key']} = {tag['value']}")
    if prices is not None:
        notes.append(f"{prices['name']}, {prices['effective_start_date']} to {prices['effective_end_date']}")
    key = (
        kind,
        metric["name"],
        rate["rate_id"],
        rate["custom_name"],
        str(tag),
        rate["value"],
        prices and prices["uuid"],
        line.get("exchange_rate", 1.0),
    )
    leaf = Leaf(
        rate["custom_name"] or metric["name"],
        quantity=line["usage"]["value"] or 0.0,
        units=line["usage"]["units"],
        price=rate["value"],
        price_units=rate["units"],
        exchange=line.get("exchange_rate", 1.0),
        notes=notes,
    )
    return key, leaf


def tree_of(explained: Explanation, *, title: str) -> Tree:
    """Branches by kind of cost, leaves by rate and pool."""
    from rich.tree import Tree

    currency = explained.meta["currency"]
    period = f"{explained.meta['start_date']} to {explained.meta['end_date']}"
    tree = Tree(f"{title}: {_money(explained.total, currency)}  ({period})")
    for _, name, parts in BRANCHES:
        lines = [line for line in explained.lines if line["part"] in parts]
        if not lines:
            continue
        branch = tree.add(f"{name}: {_money(sum(line['cost']['value'] for line in lines), currency)}")
        for leaf in leaves_of(lines):
            for text in _words(leaf, currency):
                branch.add(text)
    return tree


def _words(leaf: Leaf, currency: str) -> Iterator[str]:
    cost = _money(leaf.cost, currency)
    if leaf.price is not None:
        price = f"{leaf.price:g} {leaf.price_units or ''}".strip()
        if leaf.exchange != 1.0:
            price += f" × {leaf.exchange:.6g} {currency}/{leaf.price_units}"
        yield f"{leaf.title}: {leaf.quantity:,.4f} {leaf.units or ''} × {price} = {cost}  [{'; '.join(leaf.notes)}]"
    elif leaf.pool and leaf.cost > 0:
        yield f"{leaf.title}: {leaf.cost / leaf.pool:.2%} of {_money(leaf.pool, currency)} = {cost}"
    else:
        yield f"{leaf.title}: {cost}"


def closing_line(explained: Explanation) -> str:
    """Whether the lines add up to what the report says."""
    currency = explained.meta["currency"]
    count = len(explained.lines)
    summed = sum(line["cost"]["value"] for line in explained.lines)
    said = _money(explained.reported, currency)
    if explained.adds_up:
        return f"{count} lines add up to {_money(summed, currency)}; the report says {said}."
    found = _money(summed, currency)
    return f"The {count} lines add up to {found}, but the report says {said}: costs are just being computed anew."


def _money(value: float, currency: str) -> str:
    if abs(value) < LEAST:
        return f"0.00 {currency}"
    return f"{value:,.4f} {currency}" if abs(value) < 0.1 else f"{value:,.2f} {currency}"
