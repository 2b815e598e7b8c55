"""An organisation's currencies and the exchange rates it sets itself, as both gateways answer them (write-api §8.6).

Every function takes a connection of the tenant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, func, or_, select

from kura.core.currencies import CURRENCIES, SYSTEM_DEFAULT, Currency
from kura.core.errors import NotFound
from kura.store.exchange_rates import read_dictionary, with_dynamic_rate
from kura.store.sources import timestamp
from kura.store.tables.shared import PROVIDER, PROVIDER_INFRASTRUCTURE_MAP
from kura.store.tables.tenant import (
    COST_MODEL,
    COST_SUMMARY,
    ENABLED_CURRENCY,
    PRICE_LIST,
    STATIC_EXCHANGE_RATE,
    TENANT_SETTINGS,
)

Item = dict[str, Any]

MOST_NAMES: Final = 5
"""Users of a currency that are named in a text; the lists beside it have all."""


class StaticRateNotFound(NotFound):
    """No exchange rate has this id."""

    code = "static_rate_not_found"


# ---------------------------------------------------------------------------------------------------------- currencies


@dataclass(frozen=True, kw_only=True)
class Uses:
    """What keeps a currency enabled."""

    reasons: Sequence[str] = ()
    providers: Sequence[Item] = field(default_factory=list)
    cost_models: Sequence[Item] = field(default_factory=list)
    price_lists: Sequence[Item] = field(default_factory=list)


def currency_items(connection: Connection, codes: Sequence[str] = tuple(CURRENCIES)) -> list[Item]:
    """Some currencies, by default all, with the enabled ones first."""
    enabled = set(connection.scalars(select(ENABLED_CURRENCY.c.currency_code)))
    dynamic = with_dynamic_rate(read_dictionary(connection))
    uses = uses_of_enabled(connection)
    rates = _static_rates_by_base(connection)
    items = [
        {
            **described(CURRENCIES[code]),
            "enabled": code in enabled,
            "has_dynamic_rate": code in dynamic,
            "static_rates": rates.get(code, []),
            "is_disableable": not (code in uses and uses[code].reasons),
        }
        for code in codes
    ]
    return sorted(items, key=lambda item: (not item["enabled"], item["code"]))


def described(currency: Currency) -> Item:
    return {
        "code": currency.code,
        "name": currency.name,
        "symbol": currency.symbol,
        "description": currency.description,
    }


def uses_of_enabled(connection: Connection) -> dict[str, Uses]:
    """What each enabled currency is used for, by code."""
    enabled = set(connection.scalars(select(ENABLED_CURRENCY.c.currency_code)))
    account = connection.scalar(select(TENANT_SETTINGS.c.currency).limit(1))
    providers = _billed_providers(connection)
    models = _named_by_currency(connection.execute(select(COST_MODEL.c.currency, COST_MODEL.c.uuid, COST_MODEL.c.name)))
    lists = _named_by_currency(connection.execute(select(PRICE_LIST.c.currency, PRICE_LIST.c.uuid, PRICE_LIST.c.name)))
    found = {}
    for code in sorted(enabled):
        reasons = {
            "It is the only enabled currency.": len(enabled) == 1,
            "It is the default of the system.": code == SYSTEM_DEFAULT,
            "It is the default of the account; choose another one first.": code == account,
            f"Bills of cloud sources are in it: {_names(providers, code)}.": code in providers,
            f"Cost models are in it: {_names(models, code)}.": code in models,
            f"Price lists are in it: {_names(lists, code)}.": code in lists,
        }
        found[code] = Uses(
            reasons=[text for text, holds in reasons.items() if holds],
            providers=providers.get(code, []),
            cost_models=models.get(code, []),
            price_lists=lists.get(code, []),
        )
    return found


def _names(users: Mapping[str, list[Item]], code: str) -> str:
    names = [user["name"] for user in users.get(code, ())]
    more = [f"and {len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []
    return ", ".join([*names[:MOST_NAMES], *more])


def _billed_providers(connection: Connection) -> Mapping[str, list[Item]]:
    """Sources whose bills are in a currency: the cloud source a cluster runs on, else the cluster's own."""
    costs = COST_SUMMARY.c
    billed = (
        select(costs.raw_currency.label("currency"), costs.source_uuid)
        .where(
            costs.raw_currency.is_not(None),
            or_(costs.infrastructure_raw_cost != 0, costs.infrastructure_markup_cost != 0),
        )
        .distinct()
        .subquery("billed")
    )
    cloud = PROVIDER.alias("cloud")
    rows = connection.execute(
        select(
            billed.c.currency,
            func.coalesce(cloud.c.uuid, PROVIDER.c.uuid).label("uuid"),
            func.coalesce(cloud.c.name, PROVIDER.c.name).label("name"),
        )
        .join(PROVIDER, PROVIDER.c.uuid == billed.c.source_uuid)
        .outerjoin(PROVIDER_INFRASTRUCTURE_MAP, PROVIDER_INFRASTRUCTURE_MAP.c.id == PROVIDER.c.infrastructure_id)
        .outerjoin(cloud, cloud.c.uuid == PROVIDER_INFRASTRUCTURE_MAP.c.infrastructure_provider_id)
        .distinct()
    )
    return _named_by_currency(rows)


def _named_by_currency(rows: Any) -> Mapping[str, list[Item]]:
    found: defaultdict[str, list[Item]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.name, row.uuid)):
        found[row.currency].append({"uuid": str(row.uuid), "name": row.name})
    return dict(found)


# -------------------------------------------------------------------------------------------------------- static rates


def get_static_rate(connection: Connection, key: UUID) -> Row[Any]:
    """The row of one rate. StaticRateNotFound when there is none."""
    rate = STATIC_EXCHANGE_RATE
    row = connection.execute(select(rate).where(rate.c.uuid == key).with_for_update()).one_or_none()
    if row is None:
        raise StaticRateNotFound
    return row


def static_rate_items(connection: Connection) -> list[Item]:
    """All rates the organisation sets itself, by pair and time."""
    rates = STATIC_EXCHANGE_RATE
    ordered = select(rates).order_by(rates.c.base_currency, rates.c.target_currency, rates.c.start_date)
    return [static_rate_item(row) for row in connection.execute(ordered)]


def static_rate_item(row: Row[Any]) -> Item:
    """What every answer about a rate holds."""
    return {
        "uuid": str(row.uuid),
        "name": f"{row.base_currency}-{row.target_currency}",
        "base_currency": row.base_currency,
        "target_currency": row.target_currency,
        "exchange_rate": float(row.exchange_rate),
        "start_date": row.start_date.isoformat(),
        "end_date": row.end_date.isoformat(),
        "created_timestamp": timestamp(row.created_timestamp),
        "updated_timestamp": timestamp(row.updated_timestamp),
    }


def _static_rates_by_base(connection: Connection) -> Mapping[str, list[Item]]:
    found: defaultdict[str, list[Item]] = defaultdict(list)
    for item in static_rate_items(connection):
        found[item["base_currency"]].append(item)
    return found
