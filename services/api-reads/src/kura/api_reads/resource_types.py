"""Type-ahead lists: the names a caller can filter and group by (read-api §6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, Table, Text, cast, func, literal, or_, select
from sqlalchemy.sql.elements import ColumnElement

from kura.api_reads.access import EVERYTHING, Limits, openshift_limits
from kura.api_reads.links import links_between
from kura.api_reads.reports.conditions import sources_on_cloud
from kura.api_reads.reports.query_string import QueryString
from kura.core.errors import ParameterErrors
from kura.core.http import API_PREFIX
from kura.core.identity import Identity
from kura.store.tables.tenant import (
    COST_MODEL,
    COST_SUMMARY,
    COST_SUMMARY_BY_NODE,
    COST_SUMMARY_BY_PROJECT,
    GPU_SUMMARY,
    VM_SUMMARY,
)

Column = ColumnElement[Any]
Json = dict[str, Any]

DEFAULT_LIMIT = 10
MOST_ITEMS = 20_000
CLOUDS = ("aws", "azure", "gcp")
CLOUD_PARAMETERS = (*CLOUDS, "all_cloud")
PAGING = frozenset({"search", "limit", "offset"})


@dataclass(frozen=True, kw_only=True)
class ResourceType:
    """One list: where its values come from, who may see which, what it can be narrowed by."""

    path: str
    table: Table
    value: str
    limited_by: Mapping[str, tuple[str, ...]]
    """Access key → columns of the table it restricts."""
    alias: str | None = None
    clouds: bool = False
    narrowed_by: tuple[str, ...] = ()


def _limits(*keys: str) -> dict[str, tuple[str, ...]]:
    columns = {"cluster": ("cluster_alias", "cluster_id"), "project": ("namespace",), "node": ("node",)}
    return {key: columns[key] for key in keys}


PLACES = ("cluster_id", "cluster_alias", "namespace", "node")

OPENSHIFT_TYPES: Mapping[str, ResourceType] = {
    kind.path: kind
    for kind in (
        ResourceType(
            path="openshift-clusters",
            table=COST_SUMMARY,
            value="cluster_id",
            alias="cluster_alias",
            limited_by=_limits("cluster"),
            clouds=True,
        ),
        ResourceType(
            path="openshift-projects",
            table=COST_SUMMARY_BY_PROJECT,
            value="namespace",
            limited_by=_limits("project", "cluster"),
            clouds=True,
        ),
        ResourceType(
            path="openshift-nodes",
            table=COST_SUMMARY_BY_NODE,
            value="node",
            limited_by=_limits("node", "cluster"),
            clouds=True,
        ),
        ResourceType(
            path="openshift-virtual-machines",
            table=VM_SUMMARY,
            value="vm_name",
            limited_by=_limits("cluster", "project"),
            narrowed_by=PLACES,
        ),
        ResourceType(
            path="openshift-gpu-vendors",
            table=GPU_SUMMARY,
            value="vendor_name",
            limited_by=_limits("cluster", "project"),
            narrowed_by=PLACES,
        ),
        ResourceType(
            path="openshift-gpu-models",
            table=GPU_SUMMARY,
            value="model_name",
            limited_by=_limits("cluster", "project"),
            narrowed_by=(*PLACES, "vendor_name"),
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A valid request for one list."""

    search: str = ""
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    cloud: str | None = None
    narrowed: Mapping[str, tuple[str, ...]]


def read_listing(query: QueryString, kind: ResourceType | None) -> Listing:
    """Check the parameters of a list; anything it does not know is refused."""
    narrowing = frozenset(kind.narrowed_by) if kind is not None else frozenset()
    clouds = frozenset(CLOUD_PARAMETERS) if kind is not None and kind.clouds else frozenset()
    allowed = PAGING | narrowing | clouds
    values: dict[str, list[str]] = {}
    unknown: dict[str, Any] = {}
    for name, given in query.given.items():
        if name not in allowed or given.keyed:
            unknown[name] = [["Unsupported parameter"]]
        elif any("\x00" in text for text in given.texts):
            unknown[name] = [["Null characters are not allowed."]]
        else:
            values[name] = given.texts
    if unknown:
        raise ParameterErrors(unknown)
    chosen = [name for name in CLOUD_PARAMETERS if values.get(name, [""])[-1].lower() == "true"]
    if len(chosen) > 1:
        problem = [["Only one cloud provider parameter can be supplied at a time."]]
        raise ParameterErrors(dict.fromkeys(chosen, problem))
    return Listing(
        search=values.get("search", [""])[-1],
        limit=min(_number(values.get("limit"), least=1) or DEFAULT_LIMIT, MOST_ITEMS),
        offset=_number(values.get("offset"), least=0) or 0,
        cloud=chosen[0] if chosen else None,
        narrowed={name: tuple(values[name]) for name in narrowing if name in values},
    )


def _number(texts: list[str] | None, *, least: int) -> int | None:
    text = texts[-1] if texts else ""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
    return number if number is not None and number >= least else None


def values_of(kind: ResourceType, listing: Listing, limits: Limits) -> Select[Any]:
    """Distinct values (and aliases) the caller may see; nulls are left out."""
    table = kind.table
    value = table.c[kind.value]
    columns = [value.label("value")]
    if kind.alias is not None:
        columns.append(func.max(func.coalesce(table.c[kind.alias], value)).label("alias"))
    statement = select(*columns).where(value.is_not(None), value != "").group_by(value)
    if listing.search:
        searched = [value] if kind.alias is None else [value, table.c[kind.alias]]
        statement = statement.where(or_(*(c.icontains(listing.search, autoescape=True) for c in searched)))
    for name, texts in listing.narrowed.items():
        statement = statement.where(or_(*(table.c[name].icontains(text, autoescape=True) for text in texts)))
    if listing.cloud is not None:
        clouds = CLOUDS if listing.cloud == "all_cloud" else (listing.cloud,)
        statement = statement.where(or_(*(table.c.source_uuid.in_(sources_on_cloud(cloud)) for cloud in clouds)))
    for key, names in kind.limited_by.items():
        if key in limits.allowed:
            statement = statement.where(or_(*(table.c[name].in_(limits.allowed[key]) for name in names)))
    return statement


def answer_list(
    connection: Connection, kind: ResourceType, *, identity: Identity, query: QueryString, path: str
) -> Json:
    """One page of a list, ordered by value."""
    listing = read_listing(query, kind)
    found = values_of(kind, listing, openshift_limits(identity)).subquery("found")
    return _page(connection, found, listing, query, path, alias="cluster_alias" if kind.alias else None)


def _page(
    connection: Connection, found: Any, listing: Listing, query: QueryString, path: str, *, alias: str | None
) -> Json:
    counted = select(func.count()).select_from(found).scalar_subquery()
    shown = select(*found.c).order_by(found.c.value.collate("C")).limit(listing.limit).offset(listing.offset)
    rows = connection.execute(shown).all()
    count = int(connection.scalar(select(counted)) or 0)
    data = [{alias: row.alias, "value": row.value} if alias else {"value": row.value} for row in rows]
    return {
        "meta": {"count": count, "limit": listing.limit, "offset": listing.offset},
        "links": links_between(path, query.pairs, limit=listing.limit, offset=listing.offset, count=count),
        "data": data,
    }


# ----------------------------------------------------------------------------------------------------- cost models


def _cost_models(identity: Identity, search: str = "") -> Select[Any]:
    value = cast(COST_MODEL.c.uuid, Text) + " (" + COST_MODEL.c.name + ")"
    statement = select(value.label("value"))
    ids = identity.may("cost_model")
    if EVERYTHING not in ids:
        statement = statement.where(cast(COST_MODEL.c.uuid, Text).in_(ids))
    if search:
        statement = statement.where(value.icontains(search, autoescape=True))
    return statement


def answer_cost_models(connection: Connection, *, identity: Identity, query: QueryString, path: str) -> Json:
    """Cost models the caller may read."""
    listing = read_listing(query, None)
    found = _cost_models(identity, listing.search).subquery("found")
    return _page(connection, found, listing, query, path, alias=None)


# ----------------------------------------------------------------------------------------------------------- index

Counted = Callable[[Identity], Select[Any] | None]


def _counted_openshift(path: str) -> Counted:
    def counted(identity: Identity) -> Select[Any] | None:
        if not identity.may("openshift.cluster"):
            return None
        found = values_of(OPENSHIFT_TYPES[path], Listing(narrowed={}), openshift_limits(identity)).subquery()
        return select(func.count()).select_from(found)

    return counted


def _counted_cost_models(identity: Identity) -> Select[Any] | None:
    if not identity.may("cost_model"):
        return None
    return select(func.count()).select_from(_cost_models(identity).subquery())


def _counted_nothing(identity: Identity) -> Select[Any] | None:
    return None


def _counted_one(identity: Identity) -> Select[Any] | None:
    return select(literal(1))


INDEX: tuple[tuple[str, str | None, Counted], ...] = (
    ("aws.account", "aws-accounts/", _counted_nothing),
    ("aws.organizational_unit", "aws-organizational-units/", _counted_nothing),
    ("azure.subscription_guid", "azure-subscription-guids/", _counted_nothing),
    ("openshift.cluster", "openshift-clusters/", _counted_openshift("openshift-clusters")),
    ("openshift.node", "openshift-nodes/", _counted_openshift("openshift-nodes")),
    ("openshift.project", "openshift-projects/", _counted_openshift("openshift-projects")),
    ("gcp.account", "gcp-accounts/", _counted_nothing),
    ("gcp.project", "gcp-projects/", _counted_nothing),
    ("cost_model", "cost-models/", _counted_cost_models),
    ("settings", None, _counted_one),
)
"""Entries in the order clients show them; cloud lists are empty while no cloud source exists."""


def answer_index(connection: Connection, *, identity: Identity, query: QueryString, path: str) -> Json:
    """Every list with how many values the caller would see, counted in one statement."""
    listing = read_listing(query, None)
    counts = [counted(identity) for _, _, counted in INDEX]
    columns = [literal(0) if part is None else part.scalar_subquery() for part in counts]
    found = connection.execute(select(*columns)).one()
    items = [
        {"value": value, "path": f"{API_PREFIX}/resource-types/{name}" if name else None, "count": int(count)}
        for (value, name, _), count in zip(INDEX, found, strict=True)
    ]
    shown = items[listing.offset : listing.offset + listing.limit]
    return {
        "meta": {"count": len(items), "limit": listing.limit, "offset": listing.offset},
        "links": links_between(path, query.pairs, limit=listing.limit, offset=listing.offset, count=len(items)),
        "data": shown,
    }
