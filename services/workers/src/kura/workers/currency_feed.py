"""Exchange rates from outside: one document with what a unit of one currency is worth in others.

`{"base_code": "USD", "rates": {"EUR": 0.9, "GBP": 0.8}}`, as public feeds give it; `base` is another name of
`base_code`, and without either the rates are those of the US dollar. Rates between the others follow from it.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import orjson

from kura.core.currencies import CURRENCIES, SYSTEM_DEFAULT
from kura.core.errors import TransientError
from kura.store.exchange_rates import usable

LARGEST_BYTES: Final = 2**20
"""All currencies with their rates take about 4 KiB."""
CONNECT_SECONDS: Final = 10.0
TOTAL_SECONDS: Final = 60.0
MOST_REDIRECTS: Final = 5
DIGITS: Final = 12
"""Digits of a rate between two currencies; feeds give fewer."""


class RatesNotFetched(TransientError):
    """The exchange rates could not be fetched; those that were fetched before stay."""

    code = "rates_not_fetched"


async def fetch_rates(url: str, *, seconds: float = TOTAL_SECONDS) -> dict[str, dict[str, float]]:
    """The rates from every currency to every other. RatesNotFetched says why there are none; it names only the host."""
    host = urlsplit(url).hostname or ""
    try:
        async with asyncio.timeout(seconds):
            content = await _download(url)
    except TimeoutError as error:
        raise RatesNotFetched(f"{host} did not answer within {seconds:g} seconds.") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RatesNotFetched(f"{host} could not be asked for exchange rates: {type(error).__name__}.") from error
    return exchange_dictionary(content)


async def _download(url: str) -> bytes:
    """The document as it was sent; packed ones are not asked for, so that a small answer cannot grow."""
    async with (
        httpx.AsyncClient(
            timeout=httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS),
            follow_redirects=True,
            max_redirects=MOST_REDIRECTS,
            headers={"user-agent": "kura", "accept": "application/json", "accept-encoding": "identity"},
        ) as client,
        client.stream("GET", url) as answer,
    ):
        if answer.status_code != 200:
            raise RatesNotFetched(f"{answer.url.host} answered with {answer.status_code} instead of exchange rates.")
        content = bytearray()
        async for chunk in answer.aiter_raw():
            content += chunk
            if len(content) > LARGEST_BYTES:
                raise RatesNotFetched(f"The answer of {answer.url.host} is larger than {LARGEST_BYTES} bytes.")
        return bytes(content)


def exchange_dictionary(content: bytes) -> dict[str, dict[str, float]]:
    """Rates between all currencies of a document. RatesNotFetched when it is not one, or holds no rate.

    Rule    rates that are no positive numbers, and codes that ISO 4217 does not have, are left out
    """
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise RatesNotFetched(f"What was fetched is not JSON: {error}") from error
    rates = document.get("rates") if isinstance(document, dict) else None
    if not isinstance(rates, dict):
        raise RatesNotFetched("What was fetched has no map of rates.")
    base = document.get("base_code", document.get("base", SYSTEM_DEFAULT))
    if base not in CURRENCIES:
        raise RatesNotFetched("What was fetched does not say which currency its rates are of.")
    worth = {base: Decimal(1)} | _usable_rates(rates, base)
    if len(worth) == 1:
        raise RatesNotFetched("What was fetched holds no rate that can be used.")
    return {
        code: {other: _rate(amount, of=own) for other, amount in sorted(worth.items())}
        for code, own in sorted(worth.items())
    }


def _usable_rates(rates: dict[str, Any], base: str) -> dict[str, Decimal]:
    found = {code: usable(rate) for code, rate in rates.items() if code in CURRENCIES and code != base}
    return {code: rate for code, rate in found.items() if rate is not None}


def _rate(amount: Decimal, *, of: Decimal) -> float:
    return float(f"{amount / of:.{DIGITS}g}")
