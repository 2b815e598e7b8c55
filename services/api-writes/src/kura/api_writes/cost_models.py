"""Create, change and delete cost models (write-api §6). Functions take a tenant's connection with the lock held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from kura.api_writes.costs_lock import Tenant, providers_of
from kura.api_writes.fields import MOST_DECIMALS, Problems, decimal_of, read_text, uuid_of, uuids_of
from kura.api_writes.price_lists import insert_price_list, replace_rates
from kura.api_writes.rates import Rate, meaning_of, read_rates
from kura.core.errors import ValidationErrors
from kura.store.cost_models import get_price_list, leading_price_list, linked_sources
from kura.store.sources import OPENSHIFT, source_type_of
from kura.store.tables.tenant import COST_MODEL, COST_MODEL_MAP, PRICE_LIST, PRICE_LIST_COST_MODEL_MAP

LONGEST_NAME: Final = 100
LONGEST_DESCRIPTION: Final = 500
DISTRIBUTIONS: Final = ("cpu", "memory")
USUAL_DISTRIBUTION: Final[Mapping[str, bool]] = {
    "platform_cost": True,
    "worker_cost": True,
    "network_unattributed": False,
    "storage_unattributed": False,
    "gpu_unallocated": False,
}
MAPPED_ELSEWHERE: Final = "cost-models"


@dataclass(frozen=True, kw_only=True)
class CostModelRequest:
    """What a valid body says; None where it says nothing."""

    name: str | None
    description: str | None
    source_type: str
    sources: Sequence[UUID] | None
    rates: Sequence[Rate] | None
    markup: Mapping[str, str] | None
    distribution: str | None
    distribution_info: Mapping[str, Any] | None
    currency: str
    price_lists: Sequence[UUID] | None


@dataclass(frozen=True, kw_only=True)
class Written:
    """A cost model after a write, and the sources whose costs change with it."""

    uuid: UUID
    sources: frozenset[UUID]


# ------------------------------------------------------------------------------------------------------------- reading


def read_cost_model(
    connection: Connection, body: Mapping[str, Any], tenant: Tenant, *, existing: Row[Any] | None = None
) -> CostModelRequest:
    """A request body checked against every rule that needs nothing but the tenant; all problems are told at once."""
    problems = Problems()
    creating = existing is None
    name = description = None
    if creating or "name" in body:
        name = read_text(body, "name", problems, where="name", longest=LONGEST_NAME)
    if creating or "description" in body:
        description = read_text(body, "description", problems, where="description", longest=LONGEST_DESCRIPTION)
    source_type = _read_source_type(body, problems, existing=existing)
    currency = str(existing.currency) if existing is not None else ""
    if existing is None or body.get("currency") is not None:
        currency = tenant.read_currency(body.get("currency"), problems)

    rates = None
    if body.get("rates") is not None:
        if source_type != OPENSHIFT.code and body["rates"]:
            problems.add("rates", "A cost model of a cloud has a markup, no rates.")
        else:
            rates = read_rates(body["rates"], problems, currency=currency)
    price_lists = None
    if body.get("price_list_uuids") is not None:
        price_lists = uuids_of(body["price_list_uuids"], problems, where="price_list_uuids")
        _refuse_repeated(body["price_list_uuids"], problems)
        if source_type != OPENSHIFT.code and price_lists:
            problems.add("price_list_uuids", "A cost model of a cloud has a markup, no price lists.")
        else:
            _check_price_lists(connection, price_lists, problems, currency=currency)

    sources = None
    if body.get("source_uuids") is not None:
        sources = uuids_of(body["source_uuids"], problems, where="source_uuids")
        known = providers_of(connection, tenant) if sources else {}
        for source in sources:
            if source not in known:
                problems.add("source_uuids", f"There is no source {source}.")
            elif known[source].type != source_type_of(source_type):
                problems.add("source_uuids", f"The source {source} is not of type {source_type}.")

    markup = _read_markup(body, problems)
    distribution = _read_distribution(body.get("distribution"), problems, where="distribution")
    info = _read_distribution_info(body, problems, distribution=distribution, existing=existing)
    problems.refuse()
    return CostModelRequest(
        name=name,
        description=description,
        source_type=source_type,
        sources=sources,
        rates=rates,
        markup=markup,
        distribution=distribution,
        distribution_info=info,
        currency=currency,
        price_lists=price_lists,
    )


def _read_source_type(body: Mapping[str, Any], problems: Problems, *, existing: Row[Any] | None) -> str:
    """The code of the type; an existing model keeps its own."""
    given = body.get("source_type")
    found = source_type_of(given) if isinstance(given, str) else None
    if found is None:
        problems.add("source_type", "Must be one of OCP, AWS, Azure, GCP." if given else "A source type is required.")
    if existing is not None:
        return str(existing.source_type)
    return found.code if found is not None else OPENSHIFT.code


def _read_markup(body: Mapping[str, Any], problems: Problems) -> dict[str, str] | None:
    markup = body.get("markup")
    if markup is None:
        return None
    if not isinstance(markup, dict):
        problems.add("markup", "Must be an object with value and unit.")
        return None
    if not markup:
        return {}
    if markup.get("unit", "percent") != "percent":
        problems.add("markup.unit", "Must be percent.")
    value = decimal_of(markup.get("value"))
    if isinstance(value, str):
        problems.add("markup.value", value)
        return None
    return {"value": f"{value:.{MOST_DECIMALS}f}", "unit": "percent"}


def _read_distribution(given: Any, problems: Problems, *, where: str) -> str | None:
    if given is None:
        return None
    if given not in DISTRIBUTIONS:
        problems.add(where, f"Must be {' or '.join(DISTRIBUTIONS)}.")
        return None
    return str(given)


def _read_distribution_info(
    body: Mapping[str, Any], problems: Problems, *, distribution: str | None, existing: Row[Any] | None
) -> dict[str, Any] | None:
    """The whole object with the keys that are missing; None keeps what an existing model has.

    `distribution` decides only where there is no object.
    """
    given = body.get("distribution_info")
    if given is None:
        if existing is None:
            return {"distribution_type": distribution or DISTRIBUTIONS[0], **USUAL_DISTRIBUTION}
        return {**existing.distribution_info, "distribution_type": distribution} if distribution is not None else None
    if not isinstance(given, dict):
        problems.add("distribution_info", "Must be an object.")
        return None
    weight = _read_distribution(given.get("distribution_type"), problems, where="distribution_info.distribution_type")
    info: dict[str, Any] = {"distribution_type": weight or DISTRIBUTIONS[0]}
    for name, usual in USUAL_DISTRIBUTION.items():
        value = given.get(name)
        if value is not None and not isinstance(value, bool):
            problems.add(f"distribution_info.{name}", "Must be true or false.")
        info[name] = usual if value is None else value
    for name in given:
        if name not in info:
            known = ", ".join(info)
            problems.add("distribution_info", f"{name[:100]!r} is not known; known: {known}.")
    return info


def _refuse_repeated(given: Any, problems: Problems) -> None:
    """A price list has one place in the order."""
    named = Counter(uuid_of(item) for item in given) if isinstance(given, list) else Counter()
    for key, times in named.items():
        if key is not None and times > 1:
            problems.add("price_list_uuids", f"The price list {key} is named {times} times.")


def _check_price_lists(connection: Connection, keys: Sequence[UUID], problems: Problems, *, currency: str) -> None:
    """Every list exists, is enabled and has the currency of the model."""
    lists = PRICE_LIST.c
    found = {
        row.uuid: row
        for row in connection.execute(
            select(lists.uuid, lists.name, lists.enabled, lists.currency).where(lists.uuid.in_(list(keys)))
        )
    }
    for key in keys:
        row = found.get(key)
        if row is None:
            problems.add("price_list_uuids", f"There is no price list {key}.")
            continue
        if not row.enabled:
            problems.add("price_list_uuids", f"The price list {row.name!r} is disabled.")
        if row.currency != currency:
            problems.add(
                "price_list_uuids", f"The price list {row.name!r} is in {row.currency}, the cost model in {currency}."
            )


# ------------------------------------------------------------------------------------------------------------- writing


def create_cost_model(connection: Connection, request: CostModelRequest) -> Written:
    """The model, a price list of its rates, its links and sources."""
    key = uuid4()
    name = request.name or ""
    connection.execute(
        insert(COST_MODEL).values(
            uuid=key,
            name=name,
            description=request.description or "",
            source_type=request.source_type,
            rates=[],
            markup=request.markup or {},
            distribution=request.distribution or DISTRIBUTIONS[0],
            distribution_info=request.distribution_info,
            currency=request.currency,
        )
    )
    if request.rates:
        _add_price_list(connection, model=key, name=name, currency=request.currency, rates=request.rates)
    if request.price_lists:
        _attach(connection, model=key, price_lists=request.price_lists)
    sources = set(request.sources or ())
    _map_sources(connection, model=key, sources=sources)
    _finish(connection, key, {})
    return Written(uuid=key, sources=frozenset(sources))


def update_cost_model(connection: Connection, *, existing: Row[Any], request: CostModelRequest) -> Written:
    """Replace what the request names; its sources become exactly those given."""
    key: UUID = existing.uuid
    affected = _sources_of(connection, key)
    leading = leading_price_list(connection, key)
    if request.currency != existing.currency:
        _change_currency(connection, model=key, request=request, leading=leading)
    if request.rates is not None:
        affected |= _sync_leading(connection, existing=existing, request=request, leading=leading)
    if request.price_lists is not None:
        _attach(connection, model=key, price_lists=request.price_lists)
    if request.sources is not None:
        _map_sources(connection, model=key, sources=set(request.sources))
        affected |= set(request.sources)
    values: dict[str, Any] = {
        "name": request.name,
        "description": request.description,
        "markup": request.markup,
        "distribution": request.distribution,
        "distribution_info": request.distribution_info,
        "currency": request.currency,
    }
    _finish(connection, key, {name: value for name, value in values.items() if value is not None})
    return Written(uuid=key, sources=frozenset(affected))


def delete_cost_model(connection: Connection, *, existing: Row[Any]) -> Written:
    """Its sources are detached and its links go; price lists stay."""
    sources = _sources_of(connection, existing.uuid)
    connection.execute(delete(COST_MODEL).where(COST_MODEL.c.uuid == existing.uuid))
    return Written(uuid=existing.uuid, sources=frozenset(sources))


def _sync_leading(
    connection: Connection, *, existing: Row[Any], request: CostModelRequest, leading: UUID | None
) -> set[UUID]:
    """Store rates in the leading price list, made if there is none; sources of other models that use it."""
    rates = request.rates or []
    if leading is None:
        if rates:
            name = request.name if request.name is not None else existing.name
            _add_price_list(connection, model=existing.uuid, name=name, currency=request.currency, rates=rates)
        return set()
    price_list = get_price_list(connection, leading, lock=True)
    if not price_list.enabled and meaning_of(rates) != meaning_of(price_list.rates):
        raise ValidationErrors([("rates", f"The price list {price_list.name!r} that holds them is disabled.")])
    changed = replace_rates(connection, existing=price_list, rates=rates)
    return linked_sources(connection, leading) if changed else set()


def _change_currency(connection: Connection, *, model: UUID, request: CostModelRequest, leading: UUID | None) -> None:
    """A model whose prices are its own takes them along, with new rates; others need price lists in that currency."""
    if leading is None or request.price_lists is not None:
        return
    link = PRICE_LIST_COST_MODEL_MAP.c
    lists_of_model = connection.scalar(select(func.count()).where(link.cost_model_id == model))
    models_of_list = connection.scalar(select(func.count()).where(link.price_list_id == leading))
    if request.rates is None or (lists_of_model, models_of_list) != (1, 1):
        raise ValidationErrors(
            [("currency", f"The cost model's price lists are not in {request.currency}; attach others with it.")]
        )
    connection.execute(update(PRICE_LIST).where(PRICE_LIST.c.uuid == leading).values(currency=request.currency))


def _add_price_list(connection: Connection, *, model: UUID, name: str, currency: str, rates: Sequence[Rate]) -> None:
    key = insert_price_list(connection, name=f"{name} prices", currency=currency, rates=rates)
    connection.execute(insert(PRICE_LIST_COST_MODEL_MAP).values(price_list_id=key, cost_model_id=model, priority=1))


def _attach(connection: Connection, *, model: UUID, price_lists: Sequence[UUID]) -> None:
    """Replace the whole mapping; the first list has priority 1."""
    link = PRICE_LIST_COST_MODEL_MAP
    connection.execute(delete(link).where(link.c.cost_model_id == model))
    if price_lists:
        connection.execute(
            insert(link),
            [
                {"price_list_id": key, "cost_model_id": model, "priority": place}
                for place, key in enumerate(price_lists, start=1)
            ],
        )


def _map_sources(connection: Connection, *, model: UUID, sources: set[UUID]) -> None:
    """ValidationErrors when a source belongs to another cost model."""
    mapped = COST_MODEL_MAP.c
    taken = connection.execute(
        select(mapped.provider_uuid, COST_MODEL.c.name)
        .join(COST_MODEL, COST_MODEL.c.uuid == mapped.cost_model_id)
        .where(mapped.provider_uuid.in_(sources), mapped.cost_model_id != model)
        .order_by(COST_MODEL.c.name, mapped.provider_uuid)
    ).all()
    if taken:
        raise ValidationErrors(
            [
                (MAPPED_ELSEWHERE, f"The source {row.provider_uuid} already has the cost model {row.name!r}.")
                for row in taken
            ]
        )
    present = _sources_of(connection, model)
    connection.execute(
        delete(COST_MODEL_MAP).where(mapped.cost_model_id == model, mapped.provider_uuid.in_(present - sources))
    )
    new = sorted(sources - present)
    if new:
        rows = [{"provider_uuid": source, "cost_model_id": model} for source in new]
        connection.execute(insert(COST_MODEL_MAP), rows)


def _finish(connection: Connection, model: UUID, values: Mapping[str, Any]) -> None:
    """One update after everything else, so that the audit row tells sources and rates as they are now."""
    leading = leading_price_list(connection, model)
    rates: list[Rate] = []
    if leading is not None:
        rates = connection.scalar(select(PRICE_LIST.c.rates).where(PRICE_LIST.c.uuid == leading)) or []
    connection.execute(
        update(COST_MODEL)
        .where(COST_MODEL.c.uuid == model)
        .values({"rates": rates, "updated_timestamp": func.now(), **values})
    )


def _sources_of(connection: Connection, model: UUID) -> set[UUID]:
    mapped = COST_MODEL_MAP.c
    return set(connection.scalars(select(mapped.provider_uuid).where(mapped.cost_model_id == model)))
