"""Tag keys and values of OpenShift: parameters, statements, answers (read-api §5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection, Select, Table, Text, and_, cast, func, literal, not_, or_, select, true, union_all
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by, array
from sqlalchemy.sql.elements import ColumnElement

from kura.api_reads.access import Limits
from kura.api_reads.facts import read_facts
from kura.api_reads.links import links_between
from kura.api_reads.reports import time_scope
from kura.api_reads.reports.conditions import drops, text_match
from kura.api_reads.reports.parameters import (
    EVERYTHING,
    TIME_CHOICES,
    TIME_KEYS,
    UNSUPPORTED,
    Asked,
    Collector,
    FieldError,
    Filter,
    Known,
    Match,
    check_range,
    check_time,
    combined,
    named,
    only_keys,
    read_choice,
    read_currency_given,
    read_date,
    read_integer,
    read_keys,
    read_single,
)
from kura.api_reads.reports.query_string import Given, QueryString
from kura.api_reads.reports.time_scope import Scope
from kura.core.errors import BadRequest, NotFound, ParameterErrors
from kura.store.tables.tenant import (
    COST_CATEGORY,
    COST_CATEGORY_NAMESPACE,
    ENABLED_TAG_KEYS,
    POD_LABEL_SUMMARY,
    REPORT_PERIOD,
    TAG_MAPPING,
    TAG_VALUES,
    VOLUME_LABEL_SUMMARY,
)

Column = ColumnElement[Any]
Json = dict[str, Any]

PROVIDER_TYPE = "OCP"
SHOWN_VALUES = 50
MOST_ITEMS = 1000
TYPES: Mapping[str, Table] = {"pod": POD_LABEL_SUMMARY, "storage": VOLUME_LABEL_SUMMARY}
FILTERS = frozenset({"project", "cluster", "category", "key"})
EXCLUDES = frozenset({"category"})
TOP_LEVEL = frozenset({"filter", "exclude", "start_date", "end_date", "limit", "offset", "key_only", "currency"})
BOOLEANS = {"true": True, "1": True, "t": True, "yes": True, "false": False, "0": False, "f": False, "no": False}


@dataclass(frozen=True, kw_only=True)
class TagParameters:
    """A valid request for tags."""

    scope: Scope
    filters: tuple[Filter, ...]
    excludes: tuple[Filter, ...]
    named: Mapping[str, frozenset[str]]
    value: str | None
    kind: str | None
    enabled: bool
    key_only: bool
    limit: int
    offset: int
    currency: str
    echo: Mapping[str, Any]


# ------------------------------------------------------------------------------------------------------ parameters


@dataclass(frozen=True, kw_only=True)
class TagFilter:
    """What the parameter `filter` said."""

    asked: tuple[Asked, ...] = ()
    times: Mapping[str, str]
    enabled: bool = True
    kind: str | None = None
    value: str | None = None


def read_tag_parameters(query: QueryString, known: Known, *, one_key: bool) -> TagParameters:
    """Check a request for tags, of one key or of all. ParameterErrors, or BadRequest for what `<key>` forbids."""
    given = query.given
    errors: dict[str, Any] = {}
    check = Collector(errors)
    filters = check("filter", _read_filter, given.get("filter")) or TagFilter(times={})
    excludes = check("exclude", _read_exclude, given.get("exclude")) or ()
    start = check("start_date", read_date, given.get("start_date"), "start_date", known)
    end = check("end_date", read_date, given.get("end_date"), "end_date", known)
    limit = check("limit", _read_limit, given.get("limit"))
    offset = check("offset", read_integer, given.get("offset")) or 0
    key_only = check("key_only", _read_boolean, given.get("key_only")) or False
    currency = check("currency", read_currency_given, given.get("currency"), known)
    if errors:
        raise ParameterErrors(errors)
    unknown = [name for name in given if name not in TOP_LEVEL]
    if unknown:
        raise ParameterErrors({name: [UNSUPPORTED] for name in unknown})
    times = filters.times
    check_range(start, end, with_scope="time_scope_value" in times or "time_scope_units" in times)
    if one_key and key_only:
        raise BadRequest("Invalid query parameter 'key_only'.", field="details")
    if not one_key and filters.value is not None:
        raise BadRequest("Invalid query parameter 'value'.", field="details")

    scope, completed = _scope(times, start, end, known.today)
    echo_filter: Json = {part.echo: list(part.values) for part in filters.asked} | completed
    if filters.kind is not None:
        echo_filter["type"] = filters.kind
    if filters.value is not None:
        echo_filter["value"] = filters.value
    echo_filter["enabled"] = filters.enabled
    echo_exclude: Json = {part.echo: list(part.values) for part in excludes}
    if excludes:
        echo_exclude["enabled"] = filters.enabled
    echo: Json = {"filter": echo_filter, "group_by": {}, "order_by": {}, "exclude": echo_exclude, "access": {}}
    if start is not None and end is not None:
        echo |= {"start_date": start.isoformat(), "end_date": end.isoformat()}
    return TagParameters(
        scope=scope,
        filters=combined(filters.asked),
        excludes=combined(excludes),
        named=named(filters.asked),
        value=filters.value,
        kind=filters.kind,
        enabled=filters.enabled,
        key_only=key_only,
        limit=min(limit or 100, MOST_ITEMS),
        offset=max(offset, 0),
        currency=currency or known.account_currency,
        echo=echo,
    )


def _read_filter(given: Given | None) -> TagFilter:
    if given is None:
        return TagFilter(times={})
    only_keys(given)
    problems: dict[str, Any] = {}
    check = Collector(problems)
    times = {name: check(name, TIME_CHOICES[name], given.keyed[name]) for name in TIME_KEYS if name in given.keyed}
    own = {name: given.keyed[name] for name in ("enabled", "type", "value") if name in given.keyed}
    enabled = check("enabled", _boolean_of, own["enabled"]) if "enabled" in own else True
    kind = check("type", read_choice, own["type"], (*TYPES, EVERYTHING)) if "type" in own else None
    rest = {name: values for name, values in given.keyed.items() if name not in own and name not in times}
    if "value" in own:
        rest["value"] = own["value"]
    keys = read_keys(rest, FILTERS | {"value"}, tag_keys=frozenset())
    problems.update(keys.wrong)
    if problems or keys.unknown:
        raise FieldError(problems or keys.unknown)
    found = {name: value for name, value in times.items() if value is not None}
    check_time(found)
    return TagFilter(
        asked=tuple(part for part in keys.asked if part.key != "value"),
        times=found,
        enabled=bool(enabled),
        kind=kind,
        value=own["value"][0] if "value" in own else None,
    )


def _read_exclude(given: Given | None) -> tuple[Asked, ...]:
    if given is None:
        return ()
    only_keys(given)
    return read_keys(given.keyed, EXCLUDES, tag_keys=frozenset()).accepted()


def _read_limit(given: Given | None) -> int | None:
    limit = read_integer(given)
    if limit is not None and limit < 1:
        raise FieldError(["Ensure this value is greater than or equal to 1."])
    return limit


def _read_boolean(given: Given | None) -> bool | None:
    return None if given is None else _boolean_of([read_single(given, "Must be a valid boolean.")])


def _boolean_of(texts: list[str]) -> bool:
    if len(texts) != 1 or texts[0].lower() not in BOOLEANS:
        raise FieldError(["Must be a valid boolean."])
    return BOOLEANS[texts[0].lower()]


def _scope(times: Mapping[str, str], start: date | None, end: date | None, today: date) -> tuple[Scope, Json]:
    if start is not None and end is not None:
        resolution = times.get("resolution", "daily")
        return Scope(start=start, end=end, monthly=False, explicit=True), {"resolution": resolution}
    units, value, resolution = time_scope.completed(
        units=times.get("time_scope_units"), value=times.get("time_scope_value"), resolution=times.get("resolution")
    )
    scope = time_scope.scope_of(units=units, value=value, resolution=resolution, today=today)
    return scope, {"resolution": resolution, "time_scope_value": value, "time_scope_units": units}


# ------------------------------------------------------------------------------------------------------ statements


def _labels(parameters: TagParameters, limits: Limits) -> Select[Any]:
    """key, values and type of every label row in the months the range touches, as far as the caller may see them."""
    kinds = TYPES if parameters.kind in (None, EVERYTHING) else {parameters.kind: TYPES[parameters.kind]}
    first = datetime(parameters.scope.start.year, parameters.scope.start.month, 1, tzinfo=UTC)
    last = datetime(parameters.scope.end.year, parameters.scope.end.month, parameters.scope.end.day, tzinfo=UTC)
    parts = []
    for kind, table in kinds.items():
        joined = table.join(REPORT_PERIOD, REPORT_PERIOD.c.id == table.c.report_period_id)
        conditions: list[Column] = [REPORT_PERIOD.c.report_period_start.between(first, last)]
        conditions += [_matching(part, table) for part in parameters.filters if part.key != "key"]
        conditions += [
            not_(func.coalesce(_matching(part, table), False)) for part in parameters.excludes if drops(part)
        ]
        conditions += _visible(limits, table)
        parts.append(
            select(table.c.key, func.unnest(table.c["values"]).label("value"), literal(kind).label("type"))
            .select_from(joined)
            .where(*conditions)
        )
    return union_all(*parts).subquery("labels").select()


def _visible(limits: Limits, table: Table) -> list[Column]:
    """The access conditions, ANDed last."""
    columns: Mapping[str, tuple[Column, ...]] = {
        "cluster": (REPORT_PERIOD.c.cluster_id, REPORT_PERIOD.c.cluster_alias),
        "project": (table.c.namespace,),
        "node": (table.c.node,),
    }
    return [or_(*(column.in_(ids) for column in columns[key])) for key, ids in limits.allowed.items()]


def _matching(part: Filter, table: Table) -> Column:
    conditions = [_match(part.key, match, table) for match in part.matches]
    return and_(true(), *conditions) if part.every else or_(*conditions)


def _match(key: str, match: Match, table: Table) -> Column:
    if match.text == EVERYTHING:
        return true()
    if key == "category":
        patterns = (
            select(COST_CATEGORY_NAMESPACE.c.id)
            .join(COST_CATEGORY, COST_CATEGORY.c.id == COST_CATEGORY_NAMESPACE.c.cost_category_id)
            .where(text_match(COST_CATEGORY.c.name, match), table.c.namespace.like(COST_CATEGORY_NAMESPACE.c.namespace))
        )
        return patterns.exists()
    if key == "project":
        return text_match(table.c.namespace, match)
    return or_(text_match(REPORT_PERIOD.c.cluster_alias, match), text_match(REPORT_PERIOD.c.cluster_id, match))


def _parents() -> Any:
    """Child keys with the parent they are reported under."""
    child, parent = ENABLED_TAG_KEYS.alias("child"), ENABLED_TAG_KEYS.alias("parent")
    return (
        select(child.c.key.label("child"), parent.c.key.label("parent"))
        .select_from(
            TAG_MAPPING.join(child, child.c.uuid == TAG_MAPPING.c.child_id).join(
                parent, parent.c.uuid == TAG_MAPPING.c.parent_id
            )
        )
        .where(child.c.provider_type == PROVIDER_TYPE)
        .subquery("parents")
    )


def items_statement(parameters: TagParameters, limits: Limits) -> Any:
    """One row per key (and type, if types are asked for): key, type, the first values, how many there are."""
    labels = _labels(parameters, limits).subquery("found")
    parents = _parents()
    key = func.coalesce(parents.c.parent, labels.c.key)
    by_type = parameters.kind is not None
    shown = (
        select(key.label("key"), (labels.c.type if by_type else literal("")).label("type"), labels.c.value)
        .select_from(labels.outerjoin(parents, parents.c.child == labels.c.key))
        .distinct()
        .subquery("shown")
    )
    keys = ENABLED_TAG_KEYS.c
    values = func.array_agg(aggregate_order_by(shown.c.value, shown.c.value.collate("C"))).filter(
        shown.c.value.is_not(None)
    )
    joined = (
        ENABLED_TAG_KEYS.join(shown, shown.c.key == keys.key)
        if parameters.enabled or limits.keys
        else ENABLED_TAG_KEYS.outerjoin(shown, shown.c.key == keys.key)
    )
    statement = (
        select(
            keys.key, shown.c.type, cast(values, ARRAY(Text)).label("values"), func.count(shown.c.value).label("count")
        )
        .select_from(joined)
        .where(keys.provider_type == PROVIDER_TYPE, keys.enabled.is_(parameters.enabled))
        .group_by(keys.key, shown.c.type)
    )
    for part in parameters.filters:
        if part.key == "key":
            conditions = [text_match(keys.key, match) for match in part.matches if match.text != EVERYTHING]
            if len(conditions) == len(part.matches):
                statement = statement.where(and_(*conditions) if part.every else or_(*conditions))
    items = statement.subquery("items")
    shown_values = items.c["values"][1:SHOWN_VALUES]
    return select(items.c.key, items.c.type, shown_values, items.c["count"]).order_by(
        items.c.key.collate("C"), items.c.type
    )


def values_statement(parameters: TagParameters, limits: Limits, key: str) -> Any:
    """Values of one key and of the keys mapped to it, ascending."""
    labels = _labels(parameters, limits).subquery("found")
    parents = _parents()
    return (
        select(labels.c.value)
        .select_from(labels.outerjoin(parents, parents.c.child == labels.c.key))
        .where(or_(labels.c.key == key, parents.c.parent == key))
        .group_by(labels.c.value)
        .order_by(labels.c.value.collate("C"))
    )


def matching_values_statement(parameters: TagParameters, limits: Limits, key: str) -> Any:
    """Values of one key, and of keys mapped to it, that contain a text; those that begin with it first.

    From the table of all values: a value counts only if everything it was seen in lies inside the given names.
    """
    text = parameters.value or ""
    columns: Mapping[str, Column] = {
        "project": TAG_VALUES.c.namespaces,
        "cluster": TAG_VALUES.c.cluster_ids,
        "node": TAG_VALUES.c.nodes,
    }
    lists = [(part.key, [m.text for m in part.matches]) for part in parameters.filters if part.key in columns]
    lists += [(limited, list(ids)) for limited, ids in limits.allowed.items()]
    conditions: list[Column] = []
    for name, names in lists:
        if EVERYTHING in names:
            continue
        inside = columns[name].contained_by(cast(array(names), ARRAY(Text)))
        if name == "cluster":
            aliases = TAG_VALUES.c.cluster_aliases.contained_by(cast(array(names), ARRAY(Text)))
            inside = or_(inside, aliases)
        conditions.append(inside)
    value = TAG_VALUES.c.value
    parents = _parents()
    own = or_(TAG_VALUES.c.key == key, TAG_VALUES.c.key.in_(select(parents.c.child).where(parents.c.parent == key)))
    begins = value.istartswith(text, autoescape=True)
    return (
        select(value)
        .where(own, value.icontains(text, autoescape=True), *conditions)
        .group_by(value)
        .order_by(begins.desc(), value.collate("C"))
    )


# --------------------------------------------------------------------------------------------------------- answers


def answer_tags(
    connection: Connection,
    *,
    query: QueryString,
    path: str,
    key: str | None,
    limits: Limits,
    known_of: Any,
) -> Json:
    """Tag keys with values, or the values of one key."""
    if key is not None and "\0" in key:  # no text of the database can hold it
        raise NotFound("This tag key is not found.")
    facts = read_facts(connection, tag_keys=[key] if key is not None else [])
    parameters = read_tag_parameters(query, known_of(facts), one_key=key is not None)
    limits.refuse_others(parameters.named)
    data: list[Any]
    if key is None:
        rows = connection.execute(items_statement(parameters, limits)).all()
        data = [_item(parameters, *row) for row in rows]
        if parameters.key_only:
            data = list(dict.fromkeys(item["key"] for item in data))
    elif key not in facts.tag_keys:
        raise NotFound(f"{key} not found.")
    elif not _is_enabled(connection, key):
        data = []
    elif parameters.value is not None:
        data = list(connection.scalars(matching_values_statement(parameters, limits, key)))
    else:
        data = list(connection.scalars(values_statement(parameters, limits, key)))
    count, limit, offset = len(data), parameters.limit, parameters.offset
    meta = {"count": count, "limit": limit, "offset": offset, "currency": parameters.currency}
    return {
        "meta": meta | {"key_only": parameters.key_only} | dict(parameters.echo),
        "links": links_between(path, query.pairs, limit=limit, offset=offset, count=count),
        "data": data[offset : offset + limit],
    }


def _is_enabled(connection: Connection, key: str) -> bool:
    keys = ENABLED_TAG_KEYS.c
    enabled = select(keys.enabled).where(keys.provider_type == PROVIDER_TYPE, keys.key == key)
    return bool(connection.scalar(enabled))


def _item(parameters: TagParameters, key: str, kind: str | None, values: list[str] | None, count: int) -> Json:
    shown = list(values or [])
    if count > SHOWN_VALUES:
        shown.append(f"{count - SHOWN_VALUES} more...")
    item: Json = {"key": key, "values": shown, "enabled": parameters.enabled}
    return item | {"type": kind} if parameters.kind is not None else item
