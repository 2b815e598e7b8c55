"""The lists of the settings pages: tag keys, tag mappings, cost groups, currencies (write-api §8).

Each list is declared: its items, what it can be filtered and ordered by. The tables are small, so filters, order and
page are applied in one statement without further thought.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, Text, cast, false, func, literal, not_, or_, select, union

from kura.api_reads.endpoints import PAGING, Question
from kura.core.errors import ValidationErrors
from kura.store.currencies import currency_items
from kura.store.tables.tenant import (
    CLUSTERS,
    COST_CATEGORY,
    COST_CATEGORY_NAMESPACE,
    COST_MODEL_RATE,
    ENABLED_TAG_KEYS,
    PRICE_LIST_COST_MODEL_MAP,
    PROJECTS,
    TAG_MAPPING,
)

Column = ColumnElement[Any]
UNSUPPORTED = "Unsupported parameter or invalid value"
KEY_FILTERS = ("key", "uuid", "provider_type", "source_type", "enabled")
KEY_ORDERS = ("key", "source_type", "enabled")
MAPPING_FILTERS = ("parent", "child", "source_type")
MAPPING_ORDERS = ("parent", "child")
CANDIDATE_FIELDS = ("key", "source_type")
GROUP_FILTERS = ("project", "group", "default", "cluster")
GROUP_ORDERS = ("project", "group", "default")
CURRENCY_FILTERS = ("enabled", "currency")
UNALLOCATED = ("Platform unallocated", "Worker unallocated")
"""Projects of every tenant that no cluster reports; the second belongs to no group."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a request asks of a list."""

    filters: Mapping[str, tuple[str, ...]]
    excludes: Mapping[str, tuple[str, ...]]
    orders: tuple[tuple[str, bool], ...]
    """Field, descending."""


def read_settings(
    question: Question, *, filters: Sequence[str], orders: Sequence[str], excludes: Sequence[str] = ()
) -> Settings:
    """`filter[..]`, `exclude[..]`, `order_by[..]`; an unknown one is refused, other parameters are ignored."""
    chosen = {}
    for name, allowed in (("filter", filters), ("exclude", excludes)):
        keyed = question.query.given[name].keyed if name in question.query.given else {}
        for key, values in keyed.items():
            if key not in allowed or any("\0" in value for value in values):
                raise ValidationErrors([(key, UNSUPPORTED)])
        chosen[name] = {key: tuple(values) for key, values in keyed.items()}
    return Settings(filters=chosen["filter"], excludes=chosen["exclude"], orders=_orders(question, orders))


def _orders(question: Question, allowed: Sequence[str]) -> tuple[tuple[str, bool], ...]:
    given = question.query.given.get("order_by")
    if given is None:
        return ()
    found = [(text.lstrip("-"), text.startswith("-")) for texts in given.texts for text in texts.split(",")]
    for key, values in given.keyed.items():
        if values[-1] not in ("asc", "desc"):
            raise ValidationErrors([(key, UNSUPPORTED)])
        found.append((key, values[-1] == "desc"))
    for key, _ in found:
        if key not in allowed:
            raise ValidationErrors([(key, UNSUPPORTED)])
    return tuple(found)


def _contains(column: Column, texts: Sequence[str]) -> Column:
    return or_(false(), *(column.icontains(text, autoescape=True) for text in texts))


def _ordered(statement: Select[Any], columns: Mapping[str, Column], asked: Settings, default: Sequence[Any]) -> Any:
    chosen = [columns[key].desc() if descending else columns[key].asc() for key, descending in asked.orders]
    return statement.order_by(*chosen, *default)


# ------------------------------------------------------------------------------------------------------------ tag keys


def tag_keys(connection: Connection, question: Question) -> list[dict[str, Any]]:
    """Every tag key with its source type; enabled ones first within a type."""
    keys = ENABLED_TAG_KEYS.c
    asked = read_settings(question, filters=KEY_FILTERS, orders=KEY_ORDERS)
    statement = select(keys.uuid, keys.key, keys.enabled, keys.provider_type)
    for name, texts in asked.filters.items():
        match name:
            case "key":
                statement = statement.where(_contains(keys.key, texts))
            case "uuid":
                statement = statement.where(keys.uuid.in_(_uuids(texts)))
            case "enabled":
                statement = statement.where(keys.enabled.is_(_truth("enabled", texts)))
            case _:
                statement = statement.where(func.lower(keys.provider_type).in_([text.lower() for text in texts]))
    columns = {"key": keys.key, "source_type": keys.provider_type, "enabled": keys.enabled}
    rows = connection.execute(_ordered(statement, columns, asked, (keys.provider_type, keys.enabled.desc(), keys.key)))
    return [
        {"uuid": str(row.uuid), "key": row.key, "enabled": row.enabled, "source_type": row.provider_type}
        for row in rows
    ]


def enabled_count(connection: Connection) -> int:
    keys = ENABLED_TAG_KEYS.c
    return connection.scalar(select(func.count()).where(keys.enabled)) or 0


def _uuids(texts: Sequence[str]) -> list[UUID]:
    try:
        return [UUID(text) for text in texts]
    except ValueError:
        raise ValidationErrors([("uuid", UNSUPPORTED)]) from None


def _truth(name: str, texts: Sequence[str]) -> bool:
    text = texts[-1].lower()
    if text not in ("true", "false"):
        raise ValidationErrors([(name, UNSUPPORTED)])
    return text == "true"


# --------------------------------------------------------------------------------------------------------- tag mapping


def tag_mappings(connection: Connection, question: Question) -> list[dict[str, Any]]:
    """Parent keys, each with its children."""
    asked = read_settings(question, filters=MAPPING_FILTERS, orders=MAPPING_ORDERS)
    parent, child = ENABLED_TAG_KEYS.alias("parent"), ENABLED_TAG_KEYS.alias("child")
    pairs = (
        select(
            parent, child.c.uuid.label("child_uuid"), child.c.key.label("child_key"), child.c.provider_type.label("of")
        )
        .select_from(TAG_MAPPING)
        .join(parent, parent.c.uuid == TAG_MAPPING.c.parent_id)
        .join(child, child.c.uuid == TAG_MAPPING.c.child_id)
    )
    columns = {"parent": parent.c.key, "child": child.c.key}
    found: dict[UUID, dict[str, Any]] = {}
    for row in connection.execute(_ordered(pairs, columns, asked, (parent.c.key, child.c.key))):
        item = found.setdefault(row.uuid, {"parent": _key_item(row.uuid, row.key, row.provider_type), "children": []})
        item["children"].append(_key_item(row.child_uuid, row.child_key, row.of))
    return [item for item in found.values() if _is_asked(item, asked.filters)]


def _is_asked(item: Mapping[str, Any], filters: Mapping[str, tuple[str, ...]]) -> bool:
    children = [child["key"] for child in item["children"]]
    texts = {
        "parent": [item["parent"]["key"]],
        "child": children,
        "source_type": [item["parent"]["source_type"]],
    }
    return all(
        any(wanted.lower() in text.lower() for wanted in values for text in texts[name])
        for name, values in filters.items()
    )


def mapping_candidates(connection: Connection, question: Question, *, as_child: bool) -> list[dict[str, Any]]:
    """Enabled keys that may become children (neither parent nor child), or parents (not a child)."""
    keys, mapped = ENABLED_TAG_KEYS.c, TAG_MAPPING.c
    asked = read_settings(question, filters=CANDIDATE_FIELDS, orders=CANDIDATE_FIELDS)
    statement = select(keys.uuid, keys.key, keys.provider_type).where(
        keys.enabled, keys.uuid.not_in(select(mapped.child_id))
    )
    if as_child:
        statement = statement.where(keys.uuid.not_in(select(mapped.parent_id)))
    for name, texts in asked.filters.items():
        statement = statement.where(_contains(keys.key if name == "key" else keys.provider_type, texts))
    columns = {"key": keys.key, "source_type": keys.provider_type}
    rows = connection.execute(_ordered(statement, columns, asked, (keys.provider_type, keys.key))).all()
    models = models_by_tag_key(connection, [row.key for row in rows])
    return [{**_key_item(row.uuid, row.key, row.provider_type), "cost_model_id": models.get(row.key)} for row in rows]


def models_by_tag_key(connection: Connection, names: Sequence[str]) -> dict[str, str]:
    """A cost model that uses each key in a rate, for those that are used."""
    rates, linked = COST_MODEL_RATE.c, PRICE_LIST_COST_MODEL_MAP.c
    found = connection.execute(
        select(rates.tag_key, func.min(cast(linked.cost_model_id, Text)).label("model"))
        .where(rates.tag_key.in_(names), linked.price_list_id == rates.price_list_id)
        .group_by(rates.tag_key)
    )
    return {row.tag_key: row.model for row in found}


def _key_item(uuid: UUID, key: str, provider_type: str) -> dict[str, Any]:
    return {"uuid": str(uuid), "key": key, "source_type": provider_type}


# --------------------------------------------------------------------------------------------------------- cost groups


def cost_groups(connection: Connection, question: Question) -> list[dict[str, Any]]:
    """Every project of the tenant: its cost group, whether the system put it there, its clusters."""
    asked = read_settings(question, filters=GROUP_FILTERS, excludes=GROUP_FILTERS, orders=GROUP_ORDERS)
    patterns, groups = COST_CATEGORY_NAMESPACE.c, COST_CATEGORY.c
    unallocated = [select(literal(name).label("project")) for name in UNALLOCATED]
    named = union(select(PROJECTS.c.project), *unallocated).subquery("named")
    matched = (
        select(patterns.cost_category_id, patterns.system_default)
        .where(named.c.project.like(patterns.namespace))
        .order_by(patterns.system_default.desc(), patterns.cost_category_id.desc())
        .limit(1)
        .lateral("matched")
    )
    alias = func.coalesce(CLUSTERS.c.cluster_alias, CLUSTERS.c.cluster_id)
    seen = (
        select(
            PROJECTS.c.project,
            func.array_agg(alias.distinct()).label("clusters"),
        )
        .join(CLUSTERS, CLUSTERS.c.uuid == PROJECTS.c.cluster_id)
        .group_by(PROJECTS.c.project)
        .subquery("seen")
    )
    default = func.coalesce(matched.c.system_default, named.c.project.in_(UNALLOCATED))
    statement = (
        select(named.c.project, groups.name.label("group"), default.label("default"), seen.c.clusters)
        .select_from(named)
        .outerjoin(matched, literal(True))
        .outerjoin(COST_CATEGORY, groups.id == matched.c.cost_category_id)
        .outerjoin(seen, seen.c.project == named.c.project)
    )
    clusters = func.coalesce(func.array_to_string(seen.c.clusters, "\n"), "")
    texts = {"project": named.c.project, "group": func.coalesce(groups.name, ""), "cluster": clusters}

    def condition(name: str, values: tuple[str, ...]) -> Column:
        return default.is_(_truth(name, values)) if name == "default" else _contains(texts[name], values)

    for name, values in asked.filters.items():
        statement = statement.where(condition(name, values))
    for name, values in asked.excludes.items():
        statement = statement.where(not_(condition(name, values)))
    columns = {"project": named.c.project, "group": groups.name, "default": default}
    return [
        {"project": row.project, "group": row.group, "default": row.default, "clusters": sorted(row.clusters or [])}
        for row in connection.execute(_ordered(statement, columns, asked, (named.c.project,)))
    ]


# ---------------------------------------------------------------------------------------------------------- currencies


def currencies(connection: Connection, question: Question) -> list[dict[str, Any]]:
    """Every currency there is, the enabled ones first, with the rates that were set by hand."""
    allowed = {"filter", *(parameter.name for parameter in PAGING)}
    if unknown := sorted(set(question.query.given) - allowed):
        raise ValidationErrors([(name, UNSUPPORTED) for name in unknown])
    asked = read_settings(question, filters=CURRENCY_FILTERS, orders=())
    items = currency_items(connection)
    if "enabled" in asked.filters:
        wanted = _truth("enabled", asked.filters["enabled"])
        items = [item for item in items if item["enabled"] is wanted]
    if "currency" in asked.filters:
        texts = [text.upper() for text in asked.filters["currency"]]
        items = [item for item in items if any(text in item["code"] for text in texts)]
    return items
