"""What a tenant has, read in one statement before its request is checked: settings, currencies, known keys, rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, cast, func, null, select, true
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.types import Text

from kura.api_reads.reports.plan import Rates
from kura.core.currencies import SYSTEM_DEFAULT
from kura.core.days import DayRange
from kura.store.tables.shared import EXCHANGE_RATE_DICTIONARY
from kura.store.tables.tenant import (
    COST_CATEGORY,
    COST_MODEL,
    COST_MODEL_MAP,
    COST_SUMMARY,
    ENABLED_CURRENCY,
    ENABLED_TAG_KEYS,
    TENANT_SETTINGS,
)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Settings and names of one tenant."""

    account_currency: str
    cost_type: str
    retention_months: int
    currencies: frozenset[str]
    cost_groups: frozenset[str]
    tag_keys: frozenset[str]
    source_currencies: Mapping[str, str]
    exchange: Mapping[str, Mapping[str, Any]]
    days: DayRange | None
    """First and last day that has OpenShift data."""


def read_facts(
    connection: Connection, *, tag_keys: Sequence[str] = (), provider_type: str = "OCP", work_memory: str | None = None
) -> Facts:
    """The tenant's facts; of its tag keys only those among `tag_keys`.

    `work_memory` is what the statements after this one may use to sort and group; said here, it costs no statement.
    """
    known_keys = select(func.array_agg(ENABLED_TAG_KEYS.c.key)).where(
        ENABLED_TAG_KEYS.c.provider_type == provider_type, ENABLED_TAG_KEYS.c.key.in_(tag_keys)
    )
    currencies = select(
        func.array_agg(aggregate_order_by(ENABLED_CURRENCY.c.currency_code, ENABLED_CURRENCY.c.currency_code))
    )
    groups = select(func.array_agg(COST_CATEGORY.c.name))
    models = select(
        func.jsonb_object_agg(cast(COST_MODEL_MAP.c.provider_uuid, Text), COST_MODEL.c.currency)
    ).select_from(COST_MODEL_MAP.join(COST_MODEL, COST_MODEL.c.uuid == COST_MODEL_MAP.c.cost_model_id))
    exchange = select(cast(EXCHANGE_RATE_DICTIONARY.c.currency_exchange_dictionary, JSONB)).limit(1)
    settings = (TENANT_SETTINGS.c.currency, TENANT_SETTINGS.c.cost_type, TENANT_SETTINGS.c.data_retention_months)
    days = [select(way(COST_SUMMARY.c.usage_start)).scalar_subquery() for way in (func.min, func.max)]
    asked: list[Any] = [select(column).limit(1).scalar_subquery() for column in settings]
    asked += [part.scalar_subquery() for part in (currencies, groups, known_keys, models, exchange)]
    memory = null() if work_memory is None else func.set_config("work_mem", work_memory, true())
    row: Any = connection.execute(select(*asked, *days, memory)).one()
    currency, cost_type, months, enabled, cost_groups, keys, source_currencies, rates, first, last, _ = row
    account_currency = currency or SYSTEM_DEFAULT
    return Facts(
        account_currency=account_currency,
        cost_type=cost_type or "unblended_cost",
        retention_months=months or 0,
        currencies=frozenset(enabled or (account_currency, SYSTEM_DEFAULT)),
        cost_groups=frozenset(cost_groups or ()),
        tag_keys=frozenset(keys or ()),
        source_currencies=source_currencies or {},
        exchange=rates or {},
        days=DayRange(first, last) if first is not None else None,
    )


def rates_to(currency: str, facts: Facts) -> Rates:
    """Factors that bring stored money to `currency`; a missing pair or base has factor 1 (read-api §9)."""
    factors: dict[str, Decimal] = {}
    for base, targets in facts.exchange.items():
        rate = targets.get(currency) if isinstance(targets, Mapping) else None
        if rate is not None and base != currency and base in facts.currencies:
            factors[base] = Decimal(str(rate))
    return Rates(
        by_bill_currency=factors,
        by_source={source: factors[base] for source, base in facts.source_currencies.items() if base in factors},
        source_currencies=facts.source_currencies,
    )
