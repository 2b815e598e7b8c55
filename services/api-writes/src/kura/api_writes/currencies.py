"""Enable and disable currencies; set exchange rates by hand (write-api §8.6).

Whatever is changed, the current month says at once what holds now; months that have passed stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert

from kura.api_writes.fields import Problems, date_of, decimal_of
from kura.api_writes.settings import Refused, problem
from kura.core.currencies import CURRENCIES
from kura.core.days import Month
from kura.store.currencies import currency_items, get_static_rate, static_rate_item, uses_of_enabled
from kura.store.exchange_rates import settle_month
from kura.store.tables.tenant import ENABLED_CURRENCY, STATIC_EXCHANGE_RATE

Item = dict[str, Any]

MOST_DIGITS: Final = 33
MOST_DECIMALS: Final = 15
FIELDS: Final = ("base_currency", "target_currency", "exchange_rate", "start_date", "end_date")


# ---------------------------------------------------------------------------------------------------------- currencies


def code_of(given: str) -> str:
    """A code in capitals; ValidationErrors when ISO 4217 has no such currency."""
    code = given.upper()
    if code not in CURRENCIES:
        raise problem("code", f"{given[:10]!r} is no currency code of ISO 4217.")
    return code


def enable_currency(connection: Connection, code: str, *, today: date) -> Item:
    """Let costs be stored and shown in a currency; enabling it again changes nothing."""
    connection.execute(postgresql_insert(ENABLED_CURRENCY).values(currency_code=code).on_conflict_do_nothing())
    settle_month(connection, Month.of(today))
    return currency_items(connection, [code])[0]


def disable_currency(connection: Connection, code: str) -> None:
    """Take a currency out of use. Refused while anything needs it; one that is not enabled is fine."""
    uses = uses_of_enabled(connection).get(code)
    if uses is not None and uses.reasons:
        body = {
            "errors": [
                {"detail": f"{code} cannot be disabled. {reason}", "source": "code", "status": 400}
                for reason in uses.reasons
            ],
            "affected_cloud_providers": uses.providers,
            "affected_cost_models": uses.cost_models,
            "affected_price_lists": uses.price_lists,
        }
        raise Refused(400, body)
    connection.execute(delete(ENABLED_CURRENCY).where(ENABLED_CURRENCY.c.currency_code == code))


# -------------------------------------------------------------------------------------------------------- static rates


@dataclass(frozen=True, kw_only=True)
class StaticRate:
    """A rate for whole months."""

    base_currency: str
    target_currency: str
    exchange_rate: Decimal
    start_date: date
    end_date: date


def create_static_rate(connection: Connection, body: Mapping[str, Any], *, today: date) -> Item:
    """Set the rate of a pair for months that have not passed. ValidationErrors."""
    problems = Problems()
    wanted = _read(body, problems)
    if wanted.start_date < Month.of(today).first:
        problems.add("start_date", "The month has passed; a rate may start this month at the earliest.")
    problems.refuse()
    _refuse_overlap(connection, wanted, other_than=None)
    row = connection.execute(
        insert(STATIC_EXCHANGE_RATE).values(_columns(wanted)).returning(*STATIC_EXCHANGE_RATE.c)
    ).one()
    settle_month(connection, Month.of(today))
    return static_rate_item(row)


def update_static_rate(connection: Connection, key: UUID, body: Mapping[str, Any], *, today: date) -> Item:
    """Change a rate as far as its months have not passed; fields that are absent stay. ValidationErrors."""
    existing = get_static_rate(connection, key)
    this = Month.of(today)
    if existing.end_date < this.first:
        raise problem("end_date", "All months of this rate have passed; it cannot be changed any more.")
    problems = Problems()
    wanted = _read({name: getattr(existing, name) for name in FIELDS} | dict(body), problems)
    _refuse_what_is_fixed(wanted, existing, problems, this=this)
    problems.refuse()
    _refuse_overlap(connection, wanted, other_than=key)
    row = connection.execute(
        update(STATIC_EXCHANGE_RATE)
        .where(STATIC_EXCHANGE_RATE.c.uuid == key)
        .values(**_columns(wanted), updated_timestamp=func.now())
        .returning(*STATIC_EXCHANGE_RATE.c)
    ).one()
    settle_month(connection, this)
    return static_rate_item(row)


def delete_static_rate(connection: Connection, key: UUID, *, today: date) -> None:
    """Remove a rate none of whose months has passed; the current month gets the fetched rate back."""
    existing = get_static_rate(connection, key)
    if existing.start_date < Month.of(today).first:
        raise problem("start_date", "A month of this rate has passed; give it an earlier end instead.")
    connection.execute(delete(STATIC_EXCHANGE_RATE).where(STATIC_EXCHANGE_RATE.c.uuid == key))
    settle_month(connection, Month.of(today))


def _refuse_what_is_fixed(wanted: StaticRate, existing: Row[Any], problems: Problems, *, this: Month) -> None:
    if wanted.base_currency != existing.base_currency:
        problems.add("base_currency", f"It stays {existing.base_currency}; make another rate instead.")
    if existing.start_date >= this.first:
        if wanted.start_date < this.first:
            problems.add("start_date", "The month has passed; a rate may start this month at the earliest.")
        return
    if wanted.target_currency != existing.target_currency:
        problems.add("target_currency", f"A month of this rate has passed, so it stays {existing.target_currency}.")
    if wanted.start_date != existing.start_date:
        problems.add("start_date", f"A month of this rate has passed, so it stays {existing.start_date}.")
    if wanted.end_date < this.plus(-1).last:
        problems.add("end_date", f"Months that have passed stay: the end may be {this.plus(-1).last} at the earliest.")


def _refuse_overlap(connection: Connection, wanted: StaticRate, *, other_than: UUID | None) -> None:
    rates = STATIC_EXCHANGE_RATE.c
    overlapping = select(rates.start_date, rates.end_date).where(
        rates.base_currency == wanted.base_currency,
        rates.target_currency == wanted.target_currency,
        rates.start_date <= wanted.end_date,
        rates.end_date >= wanted.start_date,
    )
    if other_than is not None:
        overlapping = overlapping.where(rates.uuid != other_than)
    other = connection.execute(overlapping.order_by(rates.start_date).limit(1)).one_or_none()
    if other is not None:
        pair = f"{wanted.base_currency}-{wanted.target_currency}"
        raise problem("start_date", f"{pair} has a rate from {other.start_date} to {other.end_date} already.")


def _columns(rate: StaticRate) -> dict[str, Any]:
    return {name: getattr(rate, name) for name in FIELDS}


def _read(body: Mapping[str, Any], problems: Problems) -> StaticRate:
    """The fields of a rate; values stand in for those that are not valid. Every problem is kept with its field."""
    base = _read_code(body, "base_currency", problems)
    target = _read_code(body, "target_currency", problems)
    if base and base == target:
        problems.add("target_currency", "It must differ from the base currency.")
    start, end = _read_months(body, problems)
    return StaticRate(
        base_currency=base,
        target_currency=target,
        exchange_rate=_read_rate(body.get("exchange_rate"), problems),
        start_date=start,
        end_date=end,
    )


def _read_code(body: Mapping[str, Any], name: str, problems: Problems) -> str:
    given = body.get(name)
    code = given.upper() if isinstance(given, str) else ""
    if code not in CURRENCIES:
        problems.add(name, "A currency code of ISO 4217 is required.")
        return ""
    return code


def _read_rate(given: Any, problems: Problems) -> Decimal:
    rate = decimal_of(given, digits=MOST_DIGITS, decimals=MOST_DECIMALS)
    if isinstance(rate, str):
        problems.add("exchange_rate", rate)
        return Decimal(1)
    if rate <= 0:
        problems.add("exchange_rate", "It must be greater than 0.")
        return Decimal(1)
    return rate


def _read_months(body: Mapping[str, Any], problems: Problems) -> tuple[date, date]:
    start, end = (_read_day(body.get(name), name, problems) for name in ("start_date", "end_date"))
    if start is None or end is None:
        return date.max, date.max
    if start != Month.of(start).first:
        problems.add("start_date", "It must be the first day of a month.")
    if end != Month.of(end).last:
        problems.add("end_date", "It must be the last day of a month.")
    if end < start:
        problems.add("end_date", "It may not be before the start.")
    return start, end


def _read_day(given: Any, name: str, problems: Problems) -> date | None:
    day = given if isinstance(given, date) else date_of(given)
    if day is None:
        problems.add(name, "A day as YYYY-MM-DD is required.")
    return day
