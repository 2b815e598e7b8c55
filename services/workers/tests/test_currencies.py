"""Exchange rates are fetched, checked and stored by month (tasks-and-queues §3.2, cost-models §12)."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import delete, insert, select
from workers_house import TODAY, House

from kura.core.days import Month
from kura.core.errors import ConfigError
from kura.queue.outbox import enqueue
from kura.queue.tasks import TASK_TYPES
from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.exchange_rates import read_dictionary
from kura.store.tables.shared import EXCHANGE_RATE_DICTIONARY
from kura.store.tables.tenant import ENABLED_CURRENCY, MONTHLY_EXCHANGE_RATE, STATIC_EXCHANGE_RATE
from kura.workers.config import IngestSettings
from kura.workers.currency_feed import LARGEST_BYTES, RatesNotFetched, exchange_dictionary, fetch_rates

THIS = Month.of(TODAY)
FEED = {"result": "success", "base_code": "USD", "rates": {"USD": 1, "EUR": 0.8, "CHF": 1.6, "XXQ": 5, "GBP": 0}}


@dataclass
class Feed:
    """A server on a socket of this machine that answers all requests alike and counts them."""

    status: int = 200
    location: str = ""
    body: bytes = json.dumps(FEED).encode()
    silent: bool = False
    """Closes the connection without an answer."""
    waits: bool = False
    """Answers only when it is told to."""
    asked: int = 0
    url: str = ""
    let_go: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        if self.waits:
            self.let_go.wait(10)
        request.close_connection = True
        if self.silent or self.waits:
            return
        request.send_response(self.status)
        if self.location:
            request.send_header("location", self.location)
        request.end_headers()
        with contextlib.suppress(ConnectionError):
            request.wfile.write(self.body)


@pytest.fixture
def feed() -> Iterator[Feed]:
    found = Feed()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.answer(self)

        def log_message(self, *words: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        found.url = f"http://127.0.0.1:{server.server_port}/latest?key=hidden"
        yield found
        found.let_go.set()
        server.shutdown()
        serving.join()


@pytest.fixture
def euros(house: House) -> Iterator[House]:
    """A tenant that has enabled euros besides dollars."""
    with house.db.tenant(house.schema) as c:
        c.execute(insert(ENABLED_CURRENCY).values(currency_code="EUR"))
    yield house
    with house.db.begin() as c:
        c.execute(delete(EXCHANGE_RATE_DICTIONARY))


def with_url(house: House, url: str | None) -> None:
    changes: dict[str, Any] = {"currency_url": SecretStr(url) if url else None}
    house.with_tools(settings=house.tools.settings.model_copy(update=changes))


async def fetch(house: House) -> Any:
    """The task as it then is."""
    with house.db.begin() as c:
        enqueue(c, tasks_pb2.FetchCurrencyRates())
    await house.work()
    return house.tasks(tasks_pb2.FetchCurrencyRates)[-1]


def monthly(house: House) -> dict[tuple[date, str, str], tuple[str, Decimal]]:
    rates = MONTHLY_EXCHANGE_RATE.c
    rows = house.tenant_rows(
        select(rates.effective_date, rates.base_currency, rates.target_currency, rates.rate_type, rates.exchange_rate)
    )
    return {(row[0], row[1], row[2]): (row[3], row[4]) for row in rows}


# ── the task ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_fetched_rates_are_stored_and_fill_the_months(euros: House, feed: Feed):
    with_url(euros, feed.url)
    for _ in range(2):
        assert (await fetch(euros)).state == "succeeded"

    with euros.db.begin() as c:
        dictionary = read_dictionary(c)
    assert feed.asked == 2
    assert dictionary["USD"] == {"USD": 1.0, "EUR": 0.8, "CHF": 1.6}
    assert dictionary["EUR"] == {"EUR": 1.0, "USD": 1.25, "CHF": 2.0}
    months = [THIS.plus(-step).first for step in range(3)]
    assert monthly(euros) == {
        **{(month, "EUR", "USD"): ("dynamic", Decimal("1.25")) for month in months},
        **{(month, "USD", "EUR"): ("dynamic", Decimal("0.8")) for month in months},
    }


async def test_past_months_and_rates_set_by_hand_stay(euros: House, feed: Feed):
    pair = {"base_currency": "EUR", "target_currency": "USD"}
    with euros.db.tenant(euros.schema) as c:
        months = {"start_date": THIS.first, "end_date": THIS.last}
        c.execute(insert(STATIC_EXCHANGE_RATE).values(**pair, exchange_rate=3, **months))
        known = {"effective_date": THIS.plus(-1).first, "exchange_rate": 2, "rate_type": "dynamic"}
        c.execute(insert(MONTHLY_EXCHANGE_RATE).values(**pair, **known))
    with_url(euros, feed.url)

    await fetch(euros)

    found = monthly(euros)
    assert found[THIS.first, "EUR", "USD"] == ("static", Decimal(3))
    assert found[THIS.plus(-1).first, "EUR", "USD"] == ("dynamic", Decimal(2))
    assert found[THIS.first, "USD", "EUR"] == ("dynamic", Decimal("0.8"))


async def test_without_an_address_rates_set_by_hand_begin_with_their_month(euros: House):
    with euros.db.tenant(euros.schema) as c:
        months = {"start_date": THIS.first, "end_date": THIS.plus(1).last}
        pair = {"base_currency": "EUR", "target_currency": "USD"}
        c.execute(insert(STATIC_EXCHANGE_RATE).values(**pair, exchange_rate=3, **months))

    assert (await fetch(euros)).state == "succeeded"

    assert monthly(euros)[THIS.first, "EUR", "USD"] == ("static", Decimal(3))


async def test_a_feed_that_fails_is_tried_five_times_and_the_rates_stay(euros: House, feed: Feed):
    with_url(euros, feed.url)
    await fetch(euros)
    feed.status = 500
    with euros.db.begin() as c:
        enqueue(c, tasks_pb2.FetchCurrencyRates())
    await euros.work_until_no_task_waits()

    failed = euros.tasks(tasks_pb2.FetchCurrencyRates)[-1]
    assert feed.asked == 1 + 5
    assert TASK_TYPES[failed.type].max_attempts == 5
    assert (failed.state, failed.error_code) == ("dead", "rates_not_fetched")
    assert "127.0.0.1 answered with 500" in failed.error
    assert "hidden" not in failed.error
    assert monthly(euros)[THIS.first, "USD", "EUR"] == ("dynamic", Decimal("0.8"))


# ── what is fetched ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"status": 404}, "answered with 404"),
        ({"body": b"<html>"}, "is not JSON"),
        ({"body": b"[]"}, "no map of rates"),
        ({"body": b'{"rates": []}'}, "no map of rates"),
        ({"body": b'{"rates": {"EUR": 1}, "base": "XXQ"}'}, "which currency"),
        ({"body": b'{"rates": {"EUR": -1, "CHF": 0, "JPY": null, "GBP": "many", "XXQ": 2}}'}, "no rate"),
        ({"body": b" " * (LARGEST_BYTES + 1)}, f"larger than {LARGEST_BYTES}"),
        ({"silent": True}, "could not be asked"),
        ({"status": 302, "location": "/again"}, "could not be asked"),
    ],
    ids=[
        "not found", "no JSON", "a list", "no map", "no base", "no usable rate", "too large", "no answer", "a circle"
    ],
)  # fmt: skip
async def test_an_answer_that_is_of_no_use_says_why(feed: Feed, how: dict[str, Any], reason: str):
    for name, value in how.items():
        setattr(feed, name, value)

    with pytest.raises(RatesNotFetched, match=reason) as told:
        await fetch_rates(feed.url)

    assert "hidden" not in str(told.value)


async def test_an_answer_that_does_not_come_is_not_waited_for(feed: Feed):
    feed.waits = True

    with pytest.raises(RatesNotFetched, match=r"did not answer within 0\.2 seconds"):
        await fetch_rates(feed.url, seconds=0.2)


def test_rates_of_another_base_lead_to_the_same_pairs():
    found = exchange_dictionary(b'{"base": "EUR", "rates": {"USD": 1.25, "CHF": 2}}')

    assert found["USD"] == {"USD": 1.0, "EUR": 0.8, "CHF": 1.6}


def test_an_address_must_be_one():
    with pytest.raises(ConfigError, match=r"CURRENCY_URL: .*http"):
        IngestSettings.from_env({"CURRENCY_URL": "ftp://rates"})
    assert IngestSettings.from_env({"CURRENCY_URL": ""}).currency_url is None
