"""Cost models and price lists (write-api §6, §7). Read from the primary: clients re-read what they just wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, and_, false, func, or_, select

from kura.api_reads.access import EVERYTHING, require
from kura.api_reads.endpoints import PAGING, Described, Endpoint, Freshness, Question, View
from kura.api_reads.facts import read_facts
from kura.api_reads.routes.account import standard
from kura.core.errors import BadRequest, ValidationErrors
from kura.core.identity import Identity
from kura.store.cost_models import (
    CostModelNotFound,
    assigned_cost_models,
    cost_model_items,
    get_cost_model,
    get_price_list,
    price_list_items,
    rate_item,
)
from kura.store.sources import source_type_of, timestamp
from kura.store.tables.tenant import (
    COST_MODEL,
    COST_MODEL_AUDIT,
    COST_MODEL_MAP,
    PRICE_LIST,
    PRICE_LIST_COST_MODEL_MAP,
)

Column = ColumnElement[Any]
Item = dict[str, Any]

COST_MODEL_FILTERS = ("name", "description", "uuid", "source_uuid", "source_type", "currency")
COST_MODEL_ORDERS = ("name", "source_type", "updated_timestamp")
PRICE_LIST_FILTERS = ("name", "uuid", "enabled", "currency", "cost_model")
PRICE_LIST_ORDERS = (
    "name",
    "currency",
    "enabled",
    "version",
    "effective_start_date",
    "effective_end_date",
    "created_timestamp",
    "updated_timestamp",
    "assigned_cost_model_count",
)
RATE_FILTERS = ("name", "metric_type", "measurement", "cost_type")
RATE_ORDERS = ("custom_name", "metric_type", "cost_type")
UNKNOWN = "Unsupported parameter or invalid value"


def cost_model_endpoints() -> list[Endpoint]:
    plain = tuple(Described(name=name, text="Only cost models that match.") for name in COST_MODEL_FILTERS)
    ordering = Described(name="ordering", text="A field, with - descending.", choices=_both_ways(COST_MODEL_ORDERS))
    return [
        _endpoint("cost-models/", "Cost models.", cost_models, (*PAGING, *plain, ordering)),
        _endpoint("cost-models/{uuid}/", "One cost model.", cost_model),
        _endpoint("cost-models/{uuid}/audit/", "What was changed in a cost model, newest first.", audit, PAGING),
        _endpoint("price-lists/", "Price lists.", price_lists, _bracketed(PRICE_LIST_FILTERS, PRICE_LIST_ORDERS)),
        _endpoint("price-lists/{uuid}/", "One price list.", price_list),
        replace(
            _endpoint("price-lists/{uuid}/affected-cost-models/", "Cost models that use a price list.", affected),
            bare_list=True,
        ),
        _endpoint("price-lists/{uuid}/rates/", "Rates of a price list.", rates, _bracketed(RATE_FILTERS, RATE_ORDERS)),
    ]


def _endpoint(path: str, summary: str, view: View, parameters: tuple[Described, ...] = ()) -> Endpoint:
    return Endpoint(
        path=path,
        summary=summary,
        view=view,
        permit=permit_cost_models,
        freshness=Freshness.NEVER,
        parameters=parameters,
        primary=True,
        accepts_no_slash=True,
    )


def _bracketed(filters: tuple[str, ...], orders: tuple[str, ...]) -> tuple[Described, ...]:
    return (
        *PAGING,
        Described(name="filter", text="Only items that match.", keys=filters),
        Described(name="order_by", text="asc or desc, by field.", keys=orders),
    )


def _both_ways(names: Sequence[str]) -> tuple[str, ...]:
    return (*names, *(f"-{name}" for name in names))


def permit_cost_models(identity: Identity) -> None:
    require(identity, "cost_model")


# --------------------------------------------------------------------------------------------------------- cost models


def cost_models(connection: Connection, question: Question) -> Any:
    """The cost models the caller may see; plain parameters filter and order (write-api §6)."""
    _refuse_others(question, (*COST_MODEL_FILTERS, "ordering", "limit", "offset"), bracketed=())
    statement = select(COST_MODEL).where(*_visible(question.identity))
    for name in COST_MODEL_FILTERS:
        texts = _plain(question, name)
        if texts:
            statement = statement.where(_cost_model_condition(connection, name, texts))
    order = _ordering(question)
    rows = connection.execute(statement.order_by(*order, COST_MODEL.c.name, COST_MODEL.c.uuid)).all()
    return _page_of(rows, question, lambda shown: cost_model_items(connection, shown))


def cost_model(connection: Connection, question: Question) -> Any:
    return cost_model_items(connection, [get_cost_model(connection, _visible_key(question))])[0]


def audit(connection: Connection, question: Question) -> Any:
    """Every change of one cost model, also of one that is gone."""
    _refuse_others(question, ("limit", "offset"), bracketed=())
    rows = connection.execute(
        select(COST_MODEL_AUDIT)
        .where(COST_MODEL_AUDIT.c.uuid == _visible_key(question))
        .order_by(COST_MODEL_AUDIT.c.id.desc())
    ).all()
    if not rows:
        raise CostModelNotFound
    return _page_of(rows, question, lambda shown: [_audit_item(row) for row in shown])


def _audit_item(row: Row[Any]) -> Item:
    return {
        "operation": row.operation,
        "audit_timestamp": timestamp(row.audit_timestamp),
        "author": row.author or None,
        "source_uuids": [str(key) for key in row.provider_uuids or ()],
        "uuid": str(row.uuid),
        "name": row.name,
        "description": row.description,
        "source_type": row.source_type,
        "rates": row.rates if isinstance(row.rates, list) else [],
        "markup": row.markup,
        "distribution": row.distribution,
        "distribution_info": row.distribution_info,
        "currency": row.currency,
        "created_timestamp": timestamp(row.created_timestamp),
        "updated_timestamp": timestamp(row.updated_timestamp),
    }


def _visible(identity: Identity) -> list[Column]:
    allowed = identity.may("cost_model")
    if EVERYTHING in allowed:
        return []
    return [COST_MODEL.c.uuid.in_([key for key in map(_uuid, allowed) if key is not None])]


def _visible_key(question: Question) -> UUID:
    """The id in the path; one the caller may not see is as one that is absent."""
    key = _key(question)
    allowed = question.identity.may("cost_model")
    if EVERYTHING not in allowed and str(key) not in allowed:
        raise CostModelNotFound
    return key


def _cost_model_condition(connection: Connection, name: str, texts: Sequence[str]) -> Column:
    models = COST_MODEL.c
    match name:
        case "name" | "description":
            return and_(*(models[name].icontains(text, autoescape=True) for text in texts))
        case "uuid":
            return models.uuid.in_(_uuids(name, texts))
        case "source_uuid":
            mapped = COST_MODEL_MAP.c
            using = select(mapped.cost_model_id).where(mapped.provider_uuid.in_(_uuids(name, texts)))
            return models.uuid.in_(using)
        case "source_type":
            found = [kind.code for kind in map(source_type_of, texts) if kind is not None]
            return models.source_type.in_(found)
        case _:
            _check_currencies(connection, texts)
            return models.currency.in_(texts)


def _ordering(question: Question) -> list[Column]:
    chosen: list[Column] = []
    for text in _plain(question, "ordering"):
        name = text.removeprefix("-")
        if name not in COST_MODEL_ORDERS:
            raise ValidationErrors([("ordering", UNKNOWN)])
        column = COST_MODEL.c[name]
        chosen.append(column.desc() if text.startswith("-") else column.asc())
    return chosen


# --------------------------------------------------------------------------------------------------------- price lists


def price_lists(connection: Connection, question: Question) -> Any:
    filters = _filters(question, PRICE_LIST_FILTERS)
    statement = select(PRICE_LIST)
    for name, texts in filters.items():
        statement = statement.where(_price_list_condition(connection, name, texts))
    links = PRICE_LIST_COST_MODEL_MAP.c
    counted = select(func.count()).where(links.price_list_id == PRICE_LIST.c.uuid).scalar_subquery()
    columns: dict[str, Column] = {name: PRICE_LIST.c[name] for name in PRICE_LIST_ORDERS if name in PRICE_LIST.c}
    columns["assigned_cost_model_count"] = counted
    order = [
        columns[name].desc() if down else columns[name].asc() for name, down in _orders(question, PRICE_LIST_ORDERS)
    ]
    rows = connection.execute(statement.order_by(*order, PRICE_LIST.c.name, PRICE_LIST.c.uuid)).all()
    return _page_of(rows, question, lambda shown: price_list_items(connection, shown))


def price_list(connection: Connection, question: Question) -> Any:
    return price_list_items(connection, [get_price_list(connection, _key(question))])[0]


def affected(connection: Connection, question: Question) -> Any:
    key = get_price_list(connection, _key(question)).uuid
    return assigned_cost_models(connection, [key]).get(key, [])


def rates(connection: Connection, question: Question) -> Any:
    """The rates of one list, by name unless ordered otherwise."""
    filters = _filters(question, RATE_FILTERS)
    orders = _orders(question, RATE_ORDERS)
    stored = get_price_list(connection, _key(question)).rates
    items = [rate_item(rate, _first_value(rate)) for rate in stored]
    kept = [item for item in items if all(_rate_matches(item, name, texts) for name, texts in filters.items())]
    kept.sort(key=itemgetter("custom_name"))
    for name, descending in reversed(orders):
        kept.sort(key=itemgetter(name), reverse=descending)
    return standard(kept, question)


def _first_value(rate: Mapping[str, Any]) -> str | None:
    tiers = rate.get("tiered_rates")
    return str(tiers[0]["value"]) if tiers else None


def _rate_matches(item: Item, name: str, texts: Sequence[str]) -> bool:
    wanted = [text.lower() for text in texts]
    match name:
        case "name":
            return any(text in item["custom_name"].lower() for text in wanted)
        case "measurement":
            return any(text in item["metric"].get("label_measurement", "").lower() for text in wanted)
        case _:
            return item[name].lower() in wanted


def _price_list_condition(connection: Connection, name: str, texts: Sequence[str]) -> Column:
    lists = PRICE_LIST.c
    match name:
        case "name":
            return or_(false(), *(lists.name.icontains(text, autoescape=True) for text in texts))
        case "uuid":
            return lists.uuid.in_(_uuids(name, texts))
        case "enabled":
            if texts[-1].lower() not in ("true", "false"):
                raise ValidationErrors([(name, UNKNOWN)])
            return lists.enabled.is_(texts[-1].lower() == "true")
        case "currency":
            return lists.currency.in_(texts)
        case _:
            links = PRICE_LIST_COST_MODEL_MAP.c
            used = select(links.price_list_id).where(links.cost_model_id.in_(_uuids(name, texts)))
            return lists.uuid.in_(used)


# ---------------------------------------------------------------------------------------------------------- parameters


def _page_of(rows: Sequence[Any], question: Question, items: Callable[[Sequence[Any]], list[Item]]) -> Item:
    """A page of rows, of which only those shown become items."""
    page = standard(rows, question)
    return {**page, "data": items(page["data"])}


def _refuse_others(question: Question, plain: Iterable[str], *, bracketed: Iterable[str]) -> None:
    """ValidationErrors for parameters that do not exist, or are written with or without brackets where they are not."""
    for name, given in question.query.given.items():
        if (given.texts and name not in plain) or (given.keyed and name not in bracketed):
            raise ValidationErrors([(name, UNKNOWN)])


def _plain(question: Question, name: str) -> list[str]:
    """Values of a plain parameter, repeated or comma separated."""
    given = question.query.given.get(name)
    texts = given.texts if given is not None else []
    return _clean([part.strip() for text in texts for part in text.split(",") if part.strip()], name)


def _filters(question: Question, allowed: Sequence[str]) -> dict[str, list[str]]:
    _refuse_others(question, ("limit", "offset", "order_by"), bracketed=("filter", "order_by"))
    given = question.query.given.get("filter")
    found = {}
    for name, values in (given.keyed if given is not None else {}).items():
        if name not in allowed:
            raise ValidationErrors([(name, UNKNOWN)])
        found[name] = _clean(values, name)
    return found


def _orders(question: Question, allowed: Sequence[str]) -> list[tuple[str, bool]]:
    """Field and whether descending, first one first."""
    given = question.query.given.get("order_by")
    if given is None:
        return []
    found = [(text.removeprefix("-"), text.startswith("-")) for texts in given.texts for text in texts.split(",")]
    for name, values in given.keyed.items():
        if values[-1] not in ("asc", "desc"):
            raise ValidationErrors([("order_by", UNKNOWN)])
        found.append((name, values[-1] == "desc"))
    for name, _ in found:
        if name not in allowed:
            raise ValidationErrors([("order_by", UNKNOWN)])
    return found


def _clean(values: list[str], name: str) -> list[str]:
    if any("\0" in value for value in values):
        raise ValidationErrors([(name, "Null characters are not allowed.")])
    return values


def _check_currencies(connection: Connection, texts: Sequence[str]) -> None:
    enabled = read_facts(connection).currencies
    if any(text not in enabled for text in texts):
        raise ValidationErrors([("currency", "This is not an enabled currency.")])


def _key(question: Question) -> UUID:
    found = _uuid(question.path_params["uuid"])
    if found is None:
        raise BadRequest("This is not a UUID.", field="uuid")
    return found


def _uuids(name: str, texts: Sequence[str]) -> list[UUID]:
    found = [_uuid(text) for text in texts]
    if None in found:
        raise ValidationErrors([(name, "This is not a UUID.")])
    return [key for key in found if key is not None]


def _uuid(text: str) -> UUID | None:
    if len(text) not in (32, 36):
        return None
    try:
        return UUID(text)
    except ValueError:
        return None
