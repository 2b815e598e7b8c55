"""Cost models and price lists as both gateways answer them (write-api §6, §7).

Every function takes a connection of the tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, Select, select
from sqlalchemy import tuple_ as row_of

from kura.core.cost_metrics import COST_METRICS, SOURCE_TYPE_NAMES
from kura.core.errors import NotFound
from kura.store.sources import timestamp
from kura.store.tables.shared import PROVIDER
from kura.store.tables.tenant import COST_MODEL, COST_MODEL_MAP, PRICE_LIST, PRICE_LIST_COST_MODEL_MAP

Item = dict[str, Any]

LINK: Final = PRICE_LIST_COST_MODEL_MAP.c


class CostModelNotFound(NotFound):
    """No cost model has this id."""

    code = "cost_model_not_found"


class PriceListNotFound(NotFound):
    """No price list has this id."""

    code = "price_list_not_found"


def get_cost_model(connection: Connection, key: UUID, *, lock: bool = False) -> Row[Any]:
    """The row of one cost model. CostModelNotFound when there is none."""
    return _one(connection, select(COST_MODEL).where(COST_MODEL.c.uuid == key), CostModelNotFound, lock=lock)


def get_price_list(connection: Connection, key: UUID, *, lock: bool = False) -> Row[Any]:
    """The row of one price list. PriceListNotFound when there is none."""
    return _one(connection, select(PRICE_LIST).where(PRICE_LIST.c.uuid == key), PriceListNotFound, lock=lock)


def _one(connection: Connection, query: Select[Any], missing: type[NotFound], *, lock: bool) -> Row[Any]:
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise missing
    return row


# --------------------------------------------------------------------------------------------------------- cost models


def cost_model_items(connection: Connection, rows: Sequence[Row[Any]]) -> list[Item]:
    """What every answer about cost models holds, with two queries however many there are."""
    keys = [row.uuid for row in rows]
    sources = _sources_of(connection, keys)
    lists = _price_lists_of(connection, keys)
    return [
        {
            "uuid": str(row.uuid),
            "name": row.name,
            "description": row.description,
            "source_type": SOURCE_TYPE_NAMES.get(row.source_type, row.source_type),
            "source_uuids": [source["uuid"] for source in sources.get(row.uuid, ())],
            "sources": sources.get(row.uuid, []),
            "rates": labelled_rates(row.rates),
            "markup": row.markup,
            "distribution": row.distribution,
            "distribution_info": row.distribution_info,
            "currency": row.currency,
            "price_lists": lists.get(row.uuid, []),
            "created_timestamp": timestamp(row.created_timestamp),
            "updated_timestamp": timestamp(row.updated_timestamp),
        }
        for row in rows
    ]


def labelled_rates(rates: Any) -> list[Item]:
    """Stored rates with the labels of their metrics."""
    if not isinstance(rates, list):
        return []
    return [{**rate, "metric": labelled_metric(rate["metric"]["name"])} for rate in rates]


def labelled_metric(name: str) -> dict[str, str]:
    known = COST_METRICS.get(name)
    return {"name": name, **(known.labels if known is not None else {})}


def _sources_of(connection: Connection, models: Iterable[UUID]) -> dict[UUID, list[Item]]:
    rows = connection.execute(
        select(COST_MODEL_MAP.c.cost_model_id, PROVIDER.c.uuid, PROVIDER.c.name, PROVIDER.c.data_updated_timestamp)
        .join(PROVIDER, PROVIDER.c.uuid == COST_MODEL_MAP.c.provider_uuid)
        .where(COST_MODEL_MAP.c.cost_model_id.in_(list(models)))
        .order_by(PROVIDER.c.name, PROVIDER.c.uuid)
    )
    found: dict[UUID, list[Item]] = {}
    for row in rows:
        source = {
            "uuid": str(row.uuid),
            "name": row.name,
            "last_processed": timestamp(row.data_updated_timestamp),
        }
        found.setdefault(row.cost_model_id, []).append(source)
    return found


def _price_lists_of(connection: Connection, models: Iterable[UUID]) -> dict[UUID, list[Item]]:
    rows = connection.execute(
        select(
            LINK.cost_model_id,
            LINK.priority,
            PRICE_LIST.c.uuid,
            PRICE_LIST.c.name,
            PRICE_LIST.c.version,
            PRICE_LIST.c.enabled,
            PRICE_LIST.c.effective_start_date,
            PRICE_LIST.c.effective_end_date,
        )
        .join(PRICE_LIST, PRICE_LIST.c.uuid == LINK.price_list_id)
        .where(LINK.cost_model_id.in_(list(models)))
        .order_by(LINK.priority, LINK.id)
    )
    found: dict[UUID, list[Item]] = {}
    for row in rows:
        linked = {
            "uuid": str(row.uuid),
            "name": row.name,
            "priority": row.priority,
            "version": row.version,
            "enabled": row.enabled,
            "effective_start_date": row.effective_start_date.isoformat(),
            "effective_end_date": row.effective_end_date.isoformat(),
        }
        found.setdefault(row.cost_model_id, []).append(linked)
    return found


# --------------------------------------------------------------------------------------------------------- price lists


def price_list_items(connection: Connection, rows: Sequence[Row[Any]]) -> list[Item]:
    """What every answer about price lists holds."""
    models = assigned_cost_models(connection, [row.uuid for row in rows])
    return [
        {
            "uuid": str(row.uuid),
            "name": row.name,
            "description": row.description,
            "currency": row.currency,
            "effective_start_date": row.effective_start_date.isoformat(),
            "effective_end_date": row.effective_end_date.isoformat(),
            "enabled": row.enabled,
            "version": row.version,
            "rates": labelled_rates(row.rates),
            "assigned_cost_model_count": len(models.get(row.uuid, ())),
            "assigned_cost_models": models.get(row.uuid, []),
            "created_timestamp": timestamp(row.created_timestamp),
            "updated_timestamp": timestamp(row.updated_timestamp),
        }
        for row in rows
    ]


def assigned_cost_models(connection: Connection, lists: Iterable[UUID]) -> dict[UUID, list[Item]]:
    """Cost models by price list, each with the priority the list has there."""
    rows = connection.execute(
        select(LINK.price_list_id, LINK.priority, COST_MODEL.c.uuid, COST_MODEL.c.name)
        .join(COST_MODEL, COST_MODEL.c.uuid == LINK.cost_model_id)
        .where(LINK.price_list_id.in_(list(lists)))
        .order_by(COST_MODEL.c.name, COST_MODEL.c.uuid)
    )
    found: dict[UUID, list[Item]] = {}
    for row in rows:
        model = {"uuid": str(row.uuid), "name": row.name, "priority": row.priority}
        found.setdefault(row.price_list_id, []).append(model)
    return found


def leading_price_list(connection: Connection, model: UUID) -> UUID | None:
    """The linked price list with the lowest priority number; its rates are mirrored on the cost model."""
    found: UUID | None = connection.scalar(
        select(LINK.price_list_id).where(LINK.cost_model_id == model).order_by(LINK.priority, LINK.id).limit(1)
    )
    return found


def led_cost_models(connection: Connection, price_list: UUID) -> list[UUID]:
    """Cost models in which this price list comes first."""
    other = PRICE_LIST_COST_MODEL_MAP.alias("other").c
    before = select(other.id).where(
        other.cost_model_id == LINK.cost_model_id, row_of(other.priority, other.id) < row_of(LINK.priority, LINK.id)
    )
    chosen = select(LINK.cost_model_id).where(LINK.price_list_id == price_list, ~before.exists())
    return list(connection.scalars(chosen.order_by(LINK.cost_model_id)))


def linked_sources(connection: Connection, price_list: UUID) -> set[UUID]:
    """Sources of every cost model that the price list is attached to."""
    chosen = (
        select(COST_MODEL_MAP.c.provider_uuid)
        .join(PRICE_LIST_COST_MODEL_MAP, LINK.cost_model_id == COST_MODEL_MAP.c.cost_model_id)
        .where(LINK.price_list_id == price_list)
    )
    return set(connection.scalars(chosen))


def rate_item(rate: Mapping[str, Any], default_rate: Any) -> Item:
    """One rate as `price-lists/{uuid}/rates/` lists it."""
    known = COST_METRICS.get(rate["metric"]["name"])
    prices = {name: rate[name] for name in ("tiered_rates", "tag_rates") if name in rate}
    return {
        "rate_id": rate.get("rate_id"),
        "custom_name": rate.get("custom_name", ""),
        "description": rate.get("description", ""),
        "metric": labelled_metric(rate["metric"]["name"]),
        "metric_type": known.metric_type if known is not None else "other",
        "cost_type": rate["cost_type"],
        "default_rate": default_rate,
        **prices,
    }
