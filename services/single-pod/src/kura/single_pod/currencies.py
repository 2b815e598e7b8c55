"""Currencies and exchange rates on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from kura.core.days import Month
from kura.single_pod.client import Kura
from kura.single_pod.problems import CommandError

Item = Mapping[str, Any]

CURRENCIES = "/settings/currency/"
RATES = f"{CURRENCIES}static-rates/"


# ---------------------------------------------------------------------------------------------------------- currencies


def list_currencies(kura: Kura, *, every: bool) -> list[Item]:
    """The enabled currencies, or all there are."""
    return list(kura.pages(CURRENCIES, [] if every else [("filter[enabled]", "true")], size=1000))


def enable_currency(kura: Kura, code: str) -> Item:
    enabled: Item = kura.post(f"{CURRENCIES}enabled/{code.upper()}/", {})
    return enabled


def disable_currency(kura: Kura, code: str) -> None:
    kura.delete(f"{CURRENCIES}enabled/{code.upper()}/")


CURRENCY_COLUMNS = {
    "code": "code", "name": "name", "symbol": "symbol", "enabled": "enabled", "fetched": "rates are fetched",
    "rates": "rates set by hand",
}  # fmt: skip


def currency_rows(items: Sequence[Item]) -> list[dict[str, Any]]:
    return [
        {
            **item,
            "enabled": "yes" if item["enabled"] else "no",
            "fetched": "yes" if item["has_dynamic_rate"] else "no",
            "rates": ", ".join(dict.fromkeys(rate["name"] for rate in item["static_rates"])),
        }
        for item in items
    ]


# -------------------------------------------------------------------------------------------------------------- rates


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A rate as asked for on the command line: `rate` of the target for one unit of the base."""

    base: str
    target: str
    rate: str
    first: Month
    last: Month


def month_of(option: str, text: str) -> Month:
    try:
        return Month.parse(text)
    except ValueError as error:
        raise CommandError(f"{option} {text}: write the month as YYYY-MM.", status=2) from error


def list_rates(kura: Kura) -> list[Item]:
    return list(kura.pages(RATES, size=1000))


def set_rate(kura: Kura, wanted: Wanted) -> Item:
    """Make a rate, or change the one of this pair that starts in the same month."""
    body = {
        "base_currency": wanted.base.upper(),
        "target_currency": wanted.target.upper(),
        "exchange_rate": wanted.rate,
        "start_date": wanted.first.first.isoformat(),
        "end_date": wanted.last.last.isoformat(),
    }
    same = [rate for rate in list_rates(kura) if all(rate[name] == body[name] for name in SAME)]
    rate: Item = kura.put(f"{RATES}{same[0]['uuid']}/", body) if same else kura.post(RATES, body)
    return rate


SAME = ("base_currency", "target_currency", "start_date")
"""Rates that agree in these are one rate, set twice."""


def find_rate(kura: Kura, *, base: str, target: str, first: Month | None) -> Item:
    """The one rate of a pair, or the one that starts in a month. CommandError when there is none, or several."""
    name = f"{base}-{target}".upper()
    found = [rate for rate in list_rates(kura) if rate["name"] == name]
    if first is not None:
        found = [rate for rate in found if rate["start_date"] == first.first.isoformat()]
    if not found:
        raise CommandError(f"{name} has no such rate.", hint="See `kura currency rate list`.")
    if len(found) > 1:
        months = ", ".join(rate["start_date"][:7] for rate in found)
        raise CommandError(f"{name} has {len(found)} rates.", hint=f"Say which with --from; they start in {months}.")
    return found[0]


def delete_rate(kura: Kura, rate: Item) -> None:
    kura.delete(f"{RATES}{rate['uuid']}/")


RATE_COLUMNS = {
    "base_currency": "1", "rate": "is", "target_currency": "of", "first": "from", "last": "until", "uuid": "uuid",
}  # fmt: skip


def rate_rows(rates: Sequence[Item]) -> list[dict[str, Any]]:
    return [
        {
            **rate,
            "rate": f"{rate['exchange_rate']:.15g}",
            "first": rate["start_date"][:7],
            "last": rate["end_date"][:7],
        }
        for rate in rates
    ]


def reach_of(rate: Item, *, today: date) -> str:
    """Which costs a rate holds for, in words."""
    months = f"{rate['start_date'][:7]} to {rate['end_date'][:7]}"
    if rate["start_date"] > today.isoformat():
        return f"It holds for the costs of {months}, from then on."
    return f"It holds for the costs of {months}; reports show it at once."
