"""Enabling currencies and setting exchange rates: write-api §8.6."""

import asyncio
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import delete, insert, select

from kura.core.days import Month, today
from kura.store.database import Database
from kura.store.exchange_rates import fill_gaps, settle_month, store_dictionary
from kura.store.tables.shared import EXCHANGE_RATE_DICTIONARY
from kura.store.tables.tenant import (
    COST_SUMMARY,
    ENABLED_CURRENCY,
    MONTHLY_EXCHANGE_RATE,
    PRICE_LIST,
    STATIC_EXCHANGE_RATE,
    TENANT_PROVIDER,
)
from kura.testing.gateways import ORG_ID, identity_header

API = "/api/cost-management/v1"
ENABLED = f"{API}/settings/currency/enabled/"
RATES = f"{API}/settings/currency/static-rates/"
SCHEMA = f"org{ORG_ID}"
THIS = Month.of(today())
LAST, NEXT = THIS.plus(-1), THIS.plus(1)

Json = dict[str, Any]


@pytest.fixture
def dictionary(database: Database) -> Iterator[None]:
    """Rates that were fetched: a euro is 1.25 dollars; of yen only how many dollars are one yen."""
    with database.begin() as connection:
        rates = {"EUR": {"EUR": 1, "USD": 1.25, "GBP": 0}, "USD": {"USD": 1, "EUR": 0.8}, "JPY": {"USD": 0.008}}
        store_dictionary(connection, rates)
    yield
    with database.begin() as connection:
        connection.execute(delete(EXCHANGE_RATE_DICTIONARY))


@pytest.fixture
async def source(http: httpx.AsyncClient) -> str:
    answer = await http.post(f"{API}/sources/", json={"name": "prod", "source_type": "OCP", "source_ref": "c-1"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["uuid"])


async def enable(http: httpx.AsyncClient, *codes: str) -> None:
    for code in codes:
        answer = await http.post(f"{ENABLED}{code}/")
        assert answer.status_code == 200, answer.text


def rate(**changes: Any) -> Json:
    whole = {
        "base_currency": "EUR",
        "target_currency": "USD",
        "exchange_rate": 1.5,
        "start_date": THIS.first.isoformat(),
        "end_date": NEXT.last.isoformat(),
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


async def create(http: httpx.AsyncClient, **changes: Any) -> Json:
    answer = await http.post(RATES, json=rate(**changes))
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()
    return found


def add_rate(database: Database, *, start: date, end: date, value: str = "2") -> str:
    """A rate that was set a while ago."""
    with database.tenant(SCHEMA) as connection:
        row = {"base_currency": "EUR", "target_currency": "USD", "exchange_rate": Decimal(value)}
        found = connection.scalar(
            insert(STATIC_EXCHANGE_RATE)
            .values(**row, start_date=start, end_date=end)
            .returning(STATIC_EXCHANGE_RATE.c.uuid)
        )
        settle_month(connection, THIS)
    return str(found)


def monthly(database: Database) -> dict[tuple[str, str, str], tuple[str, float]]:
    """Kind and rate by month and pair."""
    with database.tenant(SCHEMA) as connection:
        rows = connection.execute(select(MONTHLY_EXCHANGE_RATE))
        return {
            (str(Month.of(row.effective_date)), row.base_currency, row.target_currency): (
                row.rate_type,
                float(row.exchange_rate),
            )
            for row in rows
        }


def static_rates(database: Database) -> list[tuple[Any, ...]]:
    with database.tenant(SCHEMA) as connection:
        return [tuple(row) for row in connection.execute(select(STATIC_EXCHANGE_RATE))]


def fields_of(answer: httpx.Response) -> list[str]:
    return [error["source"] for error in answer.json()["errors"]]


# ---------------------------------------------------------------------------------------------------------- currencies


async def test_an_enabled_currency_can_be_used_by_cost_models(http: httpx.AsyncClient, source: str):
    model = {"name": "m", "description": "", "source_type": "OCP", "source_uuids": [], "currency": "EUR"}
    assert (await http.post(f"{API}/cost-models/", json=model)).status_code == 400

    answer = await http.post(f"{ENABLED}eur/")

    assert answer.status_code == 200
    assert answer.json() == {
        "code": "EUR",
        "name": "Euro",
        "symbol": "€",
        "description": "EUR (€) - Euro",
        "enabled": True,
        "has_dynamic_rate": False,
        "static_rates": [],
        "is_disableable": True,
    }
    assert (await http.post(f"{API}/cost-models/", json=model)).status_code == 201


async def test_enabling_writes_the_rates_of_the_month(http: httpx.AsyncClient, database: Database, dictionary: None):
    await enable(http, "EUR", "EUR", "GBP", "JPY")

    month = str(THIS)
    assert monthly(database) == {
        (month, "EUR", "USD"): ("dynamic", 1.25),
        (month, "USD", "EUR"): ("dynamic", 0.8),
        (month, "JPY", "USD"): ("dynamic", 0.008),
        (month, "USD", "JPY"): ("dynamic", 125.0),
    }


async def test_a_currency_that_nothing_needs_is_disabled(http: httpx.AsyncClient, database: Database, source: str):
    await enable(http, "EUR")

    for code in ("EUR", "EUR", "CHF"):
        assert (await http.delete(f"{ENABLED}{code}/")).status_code == 204
    with database.tenant(SCHEMA) as connection:
        assert list(connection.scalars(select(ENABLED_CURRENCY.c.currency_code))) == ["USD"]


async def test_the_last_currency_and_the_default_of_the_system_stay(http: httpx.AsyncClient, source: str):
    answer = await http.delete(f"{ENABLED}USD/")

    assert answer.status_code == 400
    assert [error["detail"] for error in answer.json()["errors"]] == [
        "USD cannot be disabled. It is the only enabled currency.",
        "USD cannot be disabled. It is the default of the system.",
        "USD cannot be disabled. It is the default of the account; choose another one first.",
    ]
    await enable(http, "EUR")
    await http.put(f"{API}/account-settings/currency/", json={"currency": "EUR"})
    assert len((await http.delete(f"{ENABLED}USD/")).json()["errors"]) == 1
    answer = await http.delete(f"{ENABLED}EUR/")
    assert (answer.status_code, fields_of(answer)) == (400, ["code"])


async def test_what_is_in_a_currency_keeps_it_enabled(http: httpx.AsyncClient, database: Database, source: str):
    await enable(http, "EUR")
    model = {"name": "prices", "description": "", "source_type": "OCP", "source_uuids": [], "currency": "EUR"}
    made = await http.post(f"{API}/cost-models/", json={**model, "rates": []})
    price_list = {"name": "list", "currency": "EUR", "rates": []}
    days = {"effective_start_date": "2026-01-01", "effective_end_date": "2099-12-31"}
    listed = await http.post(f"{API}/price-lists/", json={**price_list, **days})
    with database.tenant(SCHEMA) as connection:
        connection.execute(insert(TENANT_PROVIDER).values(uuid=source, name="prod", type="OCP"))
        connection.execute(
            insert(COST_SUMMARY).values(
                usage_start=today(),
                usage_end=today(),
                cluster_id="c-1",
                source_uuid=source,
                raw_currency="EUR",
                infrastructure_raw_cost=1,
            )
        )
        lists = {str(row.uuid): row.name for row in connection.execute(select(PRICE_LIST))}

    answer = await http.delete(f"{ENABLED}EUR/")

    assert answer.status_code == 400
    body = answer.json()
    assert fields_of(answer) == ["code", "code", "code"]
    assert body["errors"][1]["detail"] == "EUR cannot be disabled. Cost models are in it: prices."
    assert body["affected_cloud_providers"] == [{"uuid": source, "name": "prod"}]
    assert body["affected_cost_models"] == [{"uuid": made.json()["uuid"], "name": "prices"}]
    assert {item["uuid"]: item["name"] for item in body["affected_price_lists"]} == lists
    assert listed.json()["uuid"] in lists


async def test_a_code_that_does_not_exist_is_refused(http: httpx.AsyncClient):
    for code in ("XXQ", "EURO", "€", "%00"):
        for answer in (await http.post(f"{ENABLED}{code}/"), await http.delete(f"{ENABLED}{code}/")):
            assert answer.status_code == 400
            assert fields_of(answer) == ["code"]


# -------------------------------------------------------------------------------------------------------- static rates


async def test_a_rate_is_set_for_this_month_and_the_next(http: httpx.AsyncClient, database: Database, dictionary: None):
    await enable(http, "EUR")

    made = await create(http, base_currency="eur", exchange_rate="1.123456789012345")

    assert {name: made[name] for name in ("name", "base_currency", "target_currency", "exchange_rate")} == {
        "name": "EUR-USD",
        "base_currency": "EUR",
        "target_currency": "USD",
        "exchange_rate": 1.123456789012345,
    }
    assert (made["start_date"], made["end_date"]) == (THIS.first.isoformat(), NEXT.last.isoformat())
    assert monthly(database) == {
        (str(THIS), "EUR", "USD"): ("static", 1.123456789012345),
        (str(THIS), "USD", "EUR"): ("dynamic", 0.8),
    }


async def test_a_rate_of_a_month_to_come_is_not_used_yet(http: httpx.AsyncClient, database: Database, dictionary: None):
    await create(http, start_date=NEXT.first.isoformat())

    assert monthly(database) == {}
    with database.tenant(SCHEMA) as connection:
        settle_month(connection, NEXT)
    assert monthly(database) == {(str(NEXT), "EUR", "USD"): ("static", 1.5)}


BROKEN: list[tuple[Json, str]] = [
    ({"base_currency": "XXQ"}, "base_currency"),
    ({"base_currency": ...}, "base_currency"),
    ({"base_currency": 1}, "base_currency"),
    ({"target_currency": None}, "target_currency"),
    ({"target_currency": "EUR"}, "target_currency"),
    ({"exchange_rate": 0}, "exchange_rate"),
    ({"exchange_rate": -1.5}, "exchange_rate"),
    ({"exchange_rate": "NaN"}, "exchange_rate"),
    ({"exchange_rate": True}, "exchange_rate"),
    ({"exchange_rate": ...}, "exchange_rate"),
    ({"exchange_rate": "1e18"}, "exchange_rate"),
    ({"exchange_rate": "0.0000000000000001"}, "exchange_rate"),
    ({"start_date": ...}, "start_date"),
    ({"start_date": "soon"}, "start_date"),
    ({"start_date": THIS.first.replace(day=2).isoformat()}, "start_date"),
    ({"start_date": LAST.first.isoformat()}, "start_date"),
    ({"start_date": THIS.plus(2).first.isoformat()}, "end_date"),
    ({"end_date": NEXT.last.replace(day=27).isoformat()}, "end_date"),
    ({"end_date": ...}, "end_date"),
]


async def test_a_rate_that_breaks_a_rule_is_refused(http: httpx.AsyncClient, database: Database, source: str):
    for change, field in BROKEN:
        answer = await http.post(RATES, json=rate(**change))

        assert answer.status_code == 400, change
        assert fields_of(answer) == [field], change
    assert static_rates(database) == []
    assert monthly(database) == {}


async def test_rates_of_a_pair_may_not_overlap(http: httpx.AsyncClient, database: Database):
    await create(http, end_date=THIS.last.isoformat())
    later = await create(http, start_date=NEXT.first.isoformat())
    await create(http, base_currency="USD", target_currency="EUR")
    before = static_rates(database)

    for answer in (
        await http.post(RATES, json=rate()),
        await http.put(f"{RATES}{later['uuid']}/", json={"start_date": THIS.first.isoformat()}),
    ):
        assert (answer.status_code, fields_of(answer)) == (400, ["start_date"])
    assert static_rates(database) == before


async def test_a_changed_rate_is_the_month_s_at_once(http: httpx.AsyncClient, database: Database, dictionary: None):
    await enable(http, "EUR")
    made = await create(http)

    answer = await http.put(f"{RATES}{made['uuid']}/", json=rate(exchange_rate=1.75))

    assert (answer.status_code, answer.json()["exchange_rate"]) == (200, 1.75)
    assert monthly(database)[str(THIS), "EUR", "USD"] == ("static", 1.75)


async def test_moving_or_deleting_a_rate_restores_the_fetched_one(
    http: httpx.AsyncClient, database: Database, dictionary: None
):
    await enable(http, "EUR")
    made = await create(http)
    pair = (str(THIS), "EUR", "USD")

    await http.put(f"{RATES}{made['uuid']}/", json={"start_date": NEXT.first.isoformat()})
    assert monthly(database)[pair] == ("dynamic", 1.25)
    await http.put(f"{RATES}{made['uuid']}/", json={"start_date": THIS.first.isoformat()})
    assert monthly(database)[pair] == ("static", 1.5)
    await http.put(f"{RATES}{made['uuid']}/", json={"target_currency": "CHF"})
    assert monthly(database)[pair] == ("dynamic", 1.25)
    assert (await http.delete(f"{RATES}{made['uuid']}/")).status_code == 204
    assert (str(THIS), "EUR", "CHF") not in monthly(database), "nothing was fetched for francs"
    assert static_rates(database) == []


async def test_shrinking_a_rate_that_has_begun_keeps_its_past(
    http: httpx.AsyncClient, database: Database, dictionary: None
):
    await enable(http, "EUR")
    with database.tenant(SCHEMA) as connection:
        past = {"effective_date": LAST.first, "base_currency": "EUR", "target_currency": "USD"}
        connection.execute(insert(MONTHLY_EXCHANGE_RATE).values(**past, exchange_rate=2, rate_type="static"))
    key = add_rate(database, start=LAST.first, end=NEXT.last)
    assert monthly(database)[str(THIS), "EUR", "USD"] == ("static", 2.0)

    answer = await http.put(f"{RATES}{key}/", json={"end_date": LAST.last.isoformat(), "exchange_rate": 3})

    assert answer.status_code == 200, answer.text
    assert monthly(database)[str(THIS), "EUR", "USD"] == ("dynamic", 1.25)
    assert monthly(database)[str(LAST), "EUR", "USD"] == ("static", 2.0)


async def test_of_a_rate_that_has_begun_little_can_be_changed(http: httpx.AsyncClient, database: Database, source: str):
    key = add_rate(database, start=THIS.plus(-2).first, end=NEXT.last)
    before = static_rates(database), monthly(database)
    changes: list[tuple[Json, str]] = [
        ({"base_currency": "GBP"}, "base_currency"),
        ({"target_currency": "GBP"}, "target_currency"),
        ({"start_date": THIS.first.isoformat()}, "start_date"),
        ({"end_date": THIS.plus(-2).last.isoformat()}, "end_date"),
        ({"exchange_rate": 0}, "exchange_rate"),
    ]

    for change, field in changes:
        answer = await http.put(f"{RATES}{key}/", json=change)
        assert (answer.status_code, fields_of(answer)) == (400, [field])
    gone = await http.delete(f"{RATES}{key}/")
    assert (gone.status_code, fields_of(gone)) == (400, ["start_date"])
    assert (static_rates(database), monthly(database)) == before


async def test_a_rate_that_has_passed_is_only_read(http: httpx.AsyncClient, database: Database, source: str):
    key = add_rate(database, start=LAST.first, end=LAST.last)

    answer = await http.put(f"{RATES}{key}/", json={"exchange_rate": 3})

    assert (answer.status_code, fields_of(answer)) == (400, ["end_date"])


async def test_a_rate_that_has_not_begun_cannot_be_moved_into_the_past(
    http: httpx.AsyncClient, database: Database, source: str
):
    made = await create(http, start_date=NEXT.first.isoformat())

    answer = await http.put(f"{RATES}{made['uuid']}/", json={"start_date": LAST.first.isoformat()})

    assert (answer.status_code, fields_of(answer)) == (400, ["start_date"])


async def test_unknown_rates_are_not_found(http: httpx.AsyncClient, source: str):
    for key, status in ((str(uuid4()), 404), ("one", 400)):
        assert (await http.put(f"{RATES}{key}/", json={})).status_code == status
        assert (await http.delete(f"{RATES}{key}/")).status_code == status


# -------------------------------------------------------------------------------------------------------------- months


async def test_gaps_of_past_months_are_filled_from_the_month_after(
    http: httpx.AsyncClient, database: Database, dictionary: None
):
    await enable(http, "EUR")
    add_rate(database, start=THIS.plus(-3).first, end=THIS.plus(-3).last, value="3")
    with database.tenant(SCHEMA) as connection:
        known = {"effective_date": LAST.first, "base_currency": "EUR", "target_currency": "USD"}
        connection.execute(insert(MONTHLY_EXCHANGE_RATE).values(**known, exchange_rate=2, rate_type="dynamic"))
        for _ in range(2):
            fill_gaps(connection, first=THIS.plus(-3), current=THIS)

    found = monthly(database)
    assert {month: found[str(month), "EUR", "USD"] for month in (LAST, THIS.plus(-2), THIS.plus(-3))} == {
        LAST: ("dynamic", 2.0),
        THIS.plus(-2): ("dynamic", 2.0),
        THIS.plus(-3): ("static", 3.0),
    }
    assert found[str(THIS.plus(-3)), "USD", "EUR"] == ("dynamic", 0.8)
    assert (str(THIS.plus(-4)), "EUR", "USD") not in found


# -------------------------------------------------------------------------------------------------------------- rights


async def test_currencies_need_settings_and_rates_need_cost_models(http: httpx.AsyncClient, source: str):
    def allowed(**access: list[str]) -> dict[str, str]:
        return identity_header(admin=False, access={kind: {"read": ids, "write": ids} for kind, ids in access.items()})

    settings, cost_models = allowed(settings=["*"]), allowed(cost_model=["*"])

    assert (await http.post(f"{ENABLED}EUR/", headers=settings)).status_code == 200
    assert (await http.post(f"{ENABLED}EUR/", headers=cost_models)).status_code == 403
    assert (await http.delete(f"{ENABLED}EUR/", headers=cost_models)).status_code == 403
    assert (await http.post(RATES, headers=cost_models, json=rate())).status_code == 201
    for caller in (settings, allowed(cost_model=[str(uuid4())])):
        assert (await http.post(RATES, headers=caller, json=rate())).status_code == 403
        assert (await http.put(f"{RATES}{uuid4()}/", headers=caller, json={})).status_code == 403
        assert (await http.delete(f"{RATES}{uuid4()}/", headers=caller)).status_code == 403


async def test_an_organisation_without_a_source_can_prepare_its_currencies(http: httpx.AsyncClient):
    await enable(http, "EUR")
    await create(http)
    assert (await http.delete(f"{ENABLED}EUR/")).status_code == 204


# ------------------------------------------------------------------------------------------------------------- at once


async def test_of_two_overlapping_rates_at_once_one_is_set(http: httpx.AsyncClient, database: Database, source: str):
    answers = await asyncio.gather(*(http.post(RATES, json=rate()) for _ in range(4)))

    assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]
    assert len(static_rates(database)) == 1


async def test_a_currency_is_not_disabled_while_a_cost_model_begins_to_need_it(http: httpx.AsyncClient, source: str):
    model = {"name": "m", "description": "", "source_type": "OCP", "source_uuids": [], "currency": "EUR"}
    for _ in range(3):
        await enable(http, "EUR")
        disabled, made = await asyncio.gather(
            http.delete(f"{ENABLED}EUR/"), http.post(f"{API}/cost-models/", json=model)
        )
        assert (disabled.status_code, made.status_code) in ((204, 400), (400, 201))
        if made.status_code == 201:
            await http.delete(f"{API}/cost-models/{made.json()['uuid']}/")
            for price_list in made.json()["price_lists"]:
                await http.delete(f"{API}/price-lists/{price_list['uuid']}/")
