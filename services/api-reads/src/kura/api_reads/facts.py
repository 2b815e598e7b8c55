"""What a tenant has, read in one statement before its request is checked: settings, currencies, known keys, rates."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Date, Select, bindparam, cast, func, literal, or_, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

from kura.api_reads.reports.plan import Rates, Stored
from kura.api_reads.reports.time_scope import Scope
from kura.core.currencies import SYSTEM_DEFAULT
from kura.core.days import DayRange, Month
from kura.store.exchange_rates import STATIC
from kura.store.tables.shared import EXCHANGE_RATE_DICTIONARY
from kura.store.tables.tenant import (
    COST_CATEGORY,
    COST_MODEL,
    COST_MODEL_MAP,
    COST_SUMMARY,
    ENABLED_CURRENCY,
    ENABLED_TAG_KEYS,
    MONTHLY_EXCHANGE_RATE,
    REPORT_PERIOD,
    TENANT_SETTINGS,
)


@dataclass(frozen=True, kw_only=True)
class StaticRate:
    """What was set by hand for one pair and month."""

    month: Month
    base: str
    target: str
    rate: Decimal


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
    static_rates: Sequence[StaticRate]
    stored: Stored


@functools.cache
def _statement() -> Select[*tuple[Any, ...]]:
    keys = ENABLED_TAG_KEYS.c
    known_keys = select(func.array_agg(keys.key)).where(
        keys.provider_type == bindparam("provider_type", type_=Text),
        keys.key == func.any(bindparam("tag_keys", type_=ARRAY(Text))),
    )
    models = select(
        func.jsonb_object_agg(cast(COST_MODEL_MAP.c.provider_uuid, Text), COST_MODEL.c.currency)
    ).select_from(COST_MODEL_MAP.join(COST_MODEL, COST_MODEL.c.uuid == COST_MODEL_MAP.c.cost_model_id))
    asked: list[Select[Any]] = [
        select(TENANT_SETTINGS.c.currency).limit(1),
        select(TENANT_SETTINGS.c.cost_type).limit(1),
        select(TENANT_SETTINGS.c.data_retention_months).limit(1),
        select(func.array_agg(ENABLED_CURRENCY.c.currency_code)),
        select(func.array_agg(COST_CATEGORY.c.name)),
        known_keys,
        models,
        _exchange(),
        _static_rates(),
        select(func.min(COST_SUMMARY.c.usage_start)),
        select(func.max(COST_SUMMARY.c.usage_start)),
        _unfolded_months(),
        select(func.set_config(literal("work_mem"), bindparam("work_mem", type_=Text), true())),
        select(func.set_config(literal("statement_timeout"), bindparam("statement_timeout", type_=Text), true())),
    ]
    return select(*(part.scalar_subquery() for part in asked))


def _exchange() -> Select[Any]:
    """The exchange dictionary from enabled currencies; that of all pairs takes longer to read than many a report."""
    base = ENABLED_CURRENCY.c.currency_code
    return select(
        func.jsonb_object_agg(base, EXCHANGE_RATE_DICTIONARY.c.currency_exchange_dictionary[base])
    ).select_from(ENABLED_CURRENCY.join(EXCHANGE_RATE_DICTIONARY, true()))


def _static_rates() -> Select[Any]:
    """Lists of first day of the month, base, target and rate, as texts."""
    rates = MONTHLY_EXCHANGE_RATE.c
    columns = (rates.effective_date, rates.base_currency, rates.target_currency, rates.exchange_rate)
    texts = func.jsonb_build_array(*(cast(column, Text) for column in columns))
    return select(func.jsonb_agg(texts)).where(rates.rate_type == STATIC)


def _unfolded_months() -> Select[Any]:
    """First days of the months with a source whose days were changed after its month was folded."""
    period = REPORT_PERIOD.c
    changed = func.greatest(
        period.summary_data_updated_datetime, period.ocp_on_cloud_updated_datetime, period.derived_cost_datetime
    )
    start = cast(func.timezone("UTC", period.report_period_start), Date)
    stale = or_(period.month_folded_datetime.is_(None), period.month_folded_datetime < changed)
    return select(func.array_agg(start.distinct())).where(stale)


DEFAULT_SESSION: Mapping[str, str] = {"work_mem": "16MB", "statement_timeout": "60000ms"}


def read_facts(
    connection: Connection,
    *,
    tag_keys: Sequence[str] = (),
    provider_type: str = "OCP",
    session: Mapping[str, str] = DEFAULT_SESSION,
) -> Facts:
    """The tenant's facts; of its tag keys only those among `tag_keys`.

    `session` are server settings for the statements of this transaction after this one; set here they cost no
    statement of their own.
    """
    asked = {"provider_type": provider_type, "tag_keys": list(tag_keys), **session}
    row: Any = connection.execute(_statement(), asked).one()
    currency, cost_type, months, enabled, cost_groups, keys, source_currencies, *others = row
    rates, static_rates, first, last, unfolded, *_ = others
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
        static_rates=[
            StaticRate(month=Month.of(date.fromisoformat(day)), base=base, target=target, rate=Decimal(rate))
            for day, base, target, rate in static_rates or ()
        ],
        stored=Stored(
            days=DayRange(first, last) if first is not None else None,
            unfolded=frozenset(Month.of(start) for start in unfolded or ()),
        ),
    )


def rates_to(currency: str, facts: Facts, scope: Scope) -> Rates:
    """Factors that bring stored money to `currency`; a missing pair or base has factor 1 (read-api §9).

    Of those that were set by hand, the ones of months in `scope` and in the window that it is compared with.
    """
    factors: dict[str, Decimal] = {}
    for base, targets in facts.exchange.items():
        rate = targets.get(currency) if isinstance(targets, Mapping) else None
        if rate is not None and base != currency and base in facts.currencies:
            factors[base] = Decimal(str(rate))
    static = {
        (found.month, found.base): found.rate
        for found in facts.static_rates
        if found.target == currency and scope.previous().start <= found.month.last and found.month.first <= scope.end
    }
    return Rates(
        by_bill_currency=factors,
        by_source={source: factors[base] for source, base in facts.source_currencies.items() if base in factors},
        source_currencies=facts.source_currencies,
        static_by_bill_currency=static,
        static_by_source={
            (month, source): rate
            for (month, base), rate in static.items()
            for source, stored in facts.source_currencies.items()
            if stored == base
        },
    )
