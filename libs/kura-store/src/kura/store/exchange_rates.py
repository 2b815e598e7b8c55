"""Exchange rates of an organisation by month, from the rates it sets itself and from the dictionary of all pairs.

`monthly_exchange_rate` says what one unit of a currency was worth in another during a month. A rate that was set by
hand (static) stands before the dictionary's (dynamic). The current month follows both; a month that has passed stays
as it is. Every function takes a connection of the tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select
from sqlalchemy import tuple_ as row_of
from sqlalchemy.dialects.postgresql import insert

from kura.core.days import Month
from kura.store.tables.shared import EXCHANGE_RATE_DICTIONARY
from kura.store.tables.tenant import ENABLED_CURRENCY, MONTHLY_EXCHANGE_RATE, STATIC_EXCHANGE_RATE, TENANT_SETTINGS

Pair = tuple[str, str]
"""A currency and the one its rate leads to."""
Dictionary = Mapping[str, Mapping[str, Any]]
"""From every currency to every other, as it was fetched: `{"EUR": {"USD": 1.2}}`."""

STATIC: Final = "static"
DYNAMIC: Final = "dynamic"
DECIMALS: Final = Decimal("1e-15")
MOST: Final = Decimal("1e18")
"""A rate has fewer than 18 digits before the decimal point and 15 after it."""
EXACTLY: Final = Context(prec=50)
"""Enough digits to round a rate without losing any before the decimal point."""
KEY: Final = ("effective_date", "base_currency", "target_currency")


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What a month holds for one pair."""

    value: Decimal
    kind: str


def read_dictionary(connection: Connection) -> Dictionary:
    """The rates that were fetched last; empty when none ever were."""
    found = connection.scalar(select(EXCHANGE_RATE_DICTIONARY.c.currency_exchange_dictionary).limit(1))
    return found if isinstance(found, dict) else {}


def store_dictionary(connection: Connection, dictionary: Dictionary) -> None:
    """Replace the rates of all organisations."""
    table = EXCHANGE_RATE_DICTIONARY
    values = {"currency_exchange_dictionary": dictionary, "updated_timestamp": func.now()}
    connection.execute(
        insert(table).values(id=1, **values).on_conflict_do_update(index_elements=[table.c.id], set_=values)
    )


def usable(rate: Any) -> Decimal | None:
    """A rate as it is stored; None for what is no positive number, or too large or small for one."""
    if isinstance(rate, bool) or not isinstance(rate, int | float | str | Decimal):
        return None
    try:
        number = Decimal(str(rate))
    except InvalidOperation:
        return None
    if not number.is_finite() or number >= MOST:
        return None
    rounded = number.quantize(DECIMALS, context=EXACTLY)
    return rounded if rounded > 0 else None


def rate_between(dictionary: Dictionary, pair: Pair) -> Decimal | None:
    """The dictionary's rate of a pair, else the inverse of the opposite pair's."""
    base, target = pair
    direct = usable(_of(dictionary, base).get(target))
    if direct is not None:
        return direct
    opposite = usable(_of(dictionary, target).get(base))
    return usable(EXACTLY.divide(Decimal(1), opposite)) if opposite is not None else None


def _of(dictionary: Dictionary, base: str) -> Mapping[str, Any]:
    rates = dictionary.get(base)
    return rates if isinstance(rates, dict) else {}


def with_dynamic_rate(dictionary: Dictionary) -> frozenset[str]:
    """Currencies that the dictionary has a rate for, to or from any other."""
    found: set[str] = set()
    for base in dictionary:
        for target in _of(dictionary, base):
            is_new = base != target and not {base, target} <= found
            if is_new and rate_between(dictionary, (base, target)) is not None:
                found |= {base, target}
    return frozenset(found)


def dynamic_rates(dictionary: Dictionary, currencies: Iterable[str]) -> dict[Pair, Decimal]:
    """Rates between all of some currencies, as far as the dictionary knows them."""
    codes = sorted(currencies)
    pairs = [(base, target) for base in codes for target in codes if base != target]
    found = {pair: rate_between(dictionary, pair) for pair in pairs}
    return {pair: rate for pair, rate in found.items() if rate is not None}


def settle_month(connection: Connection, month: Month) -> None:
    """Make a month say what the rates set by hand and the dictionary say now; doing it twice changes nothing.

    Holds the organisation's settings until the transaction ends, so that two changes of rates follow each other.
    """
    lock_settings(connection)
    enabled = connection.scalars(select(ENABLED_CURRENCY.c.currency_code))
    dynamic = dynamic_rates(read_dictionary(connection), enabled)
    wanted = {pair: Rate(value=value, kind=DYNAMIC) for pair, value in dynamic.items()}
    wanted |= static_rates(connection, month)
    stored = _stored(connection, month)
    _write(connection, month, {pair: rate for pair, rate in wanted.items() if stored.get(pair) != rate})
    _forget(connection, month, [pair for pair, rate in stored.items() if rate.kind == STATIC and pair not in wanted])


def fill_gaps(connection: Connection, *, first: Month, current: Month) -> None:
    """Give months before the current one, from `first` on, the pairs that they lack; what they have stays.

    A rate that was set by hand for the month comes first, else that of the month after is taken over.
    """
    later = _stored(connection, current)
    month = current.plus(-1)
    while month >= first:
        stored = _stored(connection, month)
        taken_over = {pair: Rate(value=rate.value, kind=DYNAMIC) for pair, rate in later.items()}
        missing = {**taken_over, **static_rates(connection, month)}
        _write(connection, month, {pair: rate for pair, rate in missing.items() if pair not in stored})
        later = {**missing, **stored}
        month = month.plus(-1)


def static_rates(connection: Connection, month: Month) -> dict[Pair, Rate]:
    """The rates that were set by hand for a month."""
    rates = STATIC_EXCHANGE_RATE.c
    rows = connection.execute(
        select(rates.base_currency, rates.target_currency, rates.exchange_rate).where(
            rates.start_date <= month.first, rates.end_date >= month.last
        )
    )
    return {(row.base_currency, row.target_currency): Rate(value=row.exchange_rate, kind=STATIC) for row in rows}


def lock_settings(connection: Connection) -> None:
    """Wait for whoever changes the organisation's currencies, cost models or price lists, and keep others waiting."""
    connection.execute(select(TENANT_SETTINGS.c.id).with_for_update())


def _stored(connection: Connection, month: Month) -> dict[Pair, Rate]:
    rates = MONTHLY_EXCHANGE_RATE.c
    rows = connection.execute(
        select(rates.base_currency, rates.target_currency, rates.exchange_rate, rates.rate_type).where(
            rates.effective_date == month.first
        )
    )
    return {(row.base_currency, row.target_currency): Rate(value=row.exchange_rate, kind=row.rate_type) for row in rows}


def _write(connection: Connection, month: Month, rates: Mapping[Pair, Rate]) -> None:
    if not rates:
        return
    rows = [
        {
            "effective_date": month.first,
            "base_currency": base,
            "target_currency": target,
            "exchange_rate": rate.value,
            "rate_type": rate.kind,
        }
        for (base, target), rate in sorted(rates.items())
    ]
    written = insert(MONTHLY_EXCHANGE_RATE)
    changes = {name: written.excluded[name] for name in ("exchange_rate", "rate_type")}
    connection.execute(written.on_conflict_do_update(index_elements=KEY, set_=changes), rows)


def _forget(connection: Connection, month: Month, pairs: Sequence[Pair]) -> None:
    rates = MONTHLY_EXCHANGE_RATE.c
    named = row_of(rates.base_currency, rates.target_currency).in_(pairs)
    connection.execute(delete(MONTHLY_EXCHANGE_RATE).where(rates.effective_date == month.first, named))
