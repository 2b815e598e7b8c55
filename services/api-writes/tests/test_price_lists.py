"""Creating, changing, copying and deleting price lists: write-api §7."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select

from kura.core.days import Month
from kura.store.database import Database
from kura.store.tables.shared import TASK
from kura.store.tables.tenant import COST_MODEL_RATE, PRICE_LIST
from kura.testing.gateways import ORG_ID, Stored

API = "/api/cost-management/v1"
LISTS = f"{API}/price-lists/"
MODELS = f"{API}/cost-models/"
SCHEMA = f"org{ORG_ID}"

Json = dict[str, Any]


def rate(value: Any = "1", metric: str = "cpu_core_usage_per_hour", **more: Any) -> Json:
    return {"metric": {"name": metric}, "tiered_rates": [{"value": value, "unit": "USD"}], **more}


def price_list(**changes: Any) -> Json:
    whole = {
        "name": "2026",
        "effective_start_date": "2026-01-01",
        "effective_end_date": "2099-12-31",
        "rates": [rate()],
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


async def create(http: httpx.AsyncClient, **changes: Any) -> Json:
    answer = await http.post(LISTS, json=price_list(**changes))
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()
    return found


async def change(http: httpx.AsyncClient, key: str, **changes: Any) -> Json:
    answer = await http.put(f"{LISTS}{key}/", json=changes)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def attached(http: httpx.AsyncClient, *lists: str, **changes: Any) -> Json:
    """A cost model with a source of its own and these price lists."""
    name = f"model {uuid4()}"
    source = await http.post(f"{API}/sources/", json={"name": name, "source_type": "OCP", "source_ref": name})
    body = {"name": name, "description": "", "source_type": "OCP", "source_uuids": [source.json()["uuid"]]}
    answer = await http.post(MODELS, json={**body, "price_list_uuids": lists, **changes})
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()
    return found


def problems(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 400, answer.text
    return [(error["source"], error["detail"]) for error in answer.json()["errors"]]


def rows(database: Database, table: Any) -> list[Json]:
    with database.tenant(SCHEMA) as connection:
        return [dict(row._mapping) for row in connection.execute(select(table))]


def recalculated(stored: Stored) -> set[str]:
    found = {payload["providerUuid"] for kind, payload in stored.tasks() if kind == "ApplyCostModel"}
    with stored.database.begin() as connection:
        connection.execute(TASK.delete())
    return found


async def test_a_price_list_is_created(http: httpx.AsyncClient, database: Database) -> None:
    made = await create(http, description="d")
    assert (made["name"], made["description"], made["currency"]) == ("2026", "d", "USD")
    assert (made["version"], made["enabled"], made["assigned_cost_model_count"]) == (1, True, 0)
    assert made["rates"][0]["metric"]["label_metric"] == "CPU"
    assert made["rates"][0]["rate_id"] == str(rows(database, COST_MODEL_RATE)[0]["uuid"])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ...}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"description": 5}, "description"),
        ({"currency": "XXX"}, "currency"),
        ({"effective_start_date": ...}, "effective_start_date"),
        ({"effective_start_date": "2026-01-02"}, "effective_start_date"),
        ({"effective_start_date": "x"}, "effective_start_date"),
        ({"effective_end_date": "2026-02-27"}, "effective_end_date"),
        ({"effective_end_date": "2025-12-31"}, "effective_end_date"),
        ({"effective_end_date": None}, "effective_end_date"),
        ({"enabled": "yes"}, "enabled"),
        ({"rates": [rate(value=-1)]}, "rates.tiered_rates.value"),
        ({"rates": [rate(custom_name="a"), rate(custom_name="a")]}, "rates.custom_name"),
        ({"rates": "x"}, "rates"),
    ],
)
async def test_a_broken_rule_is_named_and_nothing_is_made(
    http: httpx.AsyncClient, database: Database, changes: Json, field: str
) -> None:
    await create(http, name="kept")
    answer = await http.post(LISTS, json=price_list(**changes))
    assert [found for found, _ in problems(answer)] == [field]
    assert len(rows(database, PRICE_LIST)) == 1


async def test_a_change_keeps_what_it_does_not_name(http: httpx.AsyncClient) -> None:
    made = await create(http, description="d")
    changed = await change(http, made["uuid"], name="new")
    for kept in ("description", "rates", "effective_start_date", "effective_end_date", "version", "enabled"):
        assert changed[kept] == made[kept]
    assert changed["name"] == "new"


async def test_the_version_counts_changes_of_rates_and_dates(http: httpx.AsyncClient) -> None:
    made = await create(http)
    key = made["uuid"]

    async def version(**changes: Any) -> int:
        return int((await change(http, key, **changes))["version"])

    assert await version(name="other", description="x") == 1
    assert await version(rates=[rate(custom_name="new name", description="words")]) == 1
    assert await version(rates=[rate("1.000")]) == 1
    assert await version(rates=[rate(2)]) == 2
    assert await version(effective_start_date="2026-02-01") == 3
    assert await version(rates=[rate(3)], effective_end_date="2098-12-31") == 4
    assert await version(enabled=False) == 4


async def test_the_currency_never_changes(http: httpx.AsyncClient) -> None:
    made = await create(http)
    assert problems(await http.put(f"{LISTS}{made['uuid']}/", json={"currency": "EUR"}))[0][0] == "currency"
    await change(http, made["uuid"], currency="USD")


async def test_of_a_disabled_list_only_names_change(http: httpx.AsyncClient) -> None:
    made = await create(http)
    key = made["uuid"]
    await change(http, key, enabled=False)
    refused = {"rates": [rate(9)], "effective_start_date": "2026-02-01", "effective_end_date": "2098-12-31"}
    answer = await http.put(f"{LISTS}{key}/", json=refused)
    assert sorted(field for field, _ in problems(answer)) == sorted(refused)
    same = {"rates": made["rates"], "effective_start_date": "2026-01-01", "name": "n", "description": "d"}
    assert (await change(http, key, **same))["name"] == "n"
    again = await change(http, key, enabled=True, **refused)
    assert (again["enabled"], again["version"]) == (True, 2)


async def test_a_copy_belongs_to_nobody(http: httpx.AsyncClient, database: Database) -> None:
    made = await create(http, name="x" * 255)
    await change(http, made["uuid"], rates=[rate(2)], enabled=False)
    answer = await http.post(f"{LISTS}{made['uuid']}/duplicate/")
    assert answer.status_code == 201
    copy = answer.json()
    assert copy["name"] == ("Copy of " + "x" * 255)[:255]
    assert (copy["version"], copy["enabled"], copy["assigned_cost_model_count"]) == (1, True, 0)
    assert copy["rates"][0]["tiered_rates"][0]["value"] == "2"
    assert len({row["uuid"] for row in rows(database, COST_MODEL_RATE)}) == 2


async def test_an_assigned_list_cannot_be_deleted(http: httpx.AsyncClient) -> None:
    made = await create(http)
    model = await attached(http, made["uuid"])
    ((field, words),) = problems(await http.delete(f"{LISTS}{made['uuid']}/"))
    assert field == "price-lists"
    assert "1 cost model" in words
    assert model["name"] in words
    await http.delete(f"{MODELS}{model['uuid']}/")
    assert (await http.delete(f"{LISTS}{made['uuid']}/")).status_code == 204


async def test_lists_are_attached_in_order_and_lend_their_rates(http: httpx.AsyncClient) -> None:
    first, second = await create(http, name="a", rates=[rate(1)]), await create(http, name="b", rates=[rate(2)])
    model = await attached(http, second["uuid"], first["uuid"])
    assert [(linked["name"], linked["priority"]) for linked in model["price_lists"]] == [("b", 1), ("a", 2)]
    assert model["rates"][0]["rate_id"] == second["rates"][0]["rate_id"]

    await change(http, second["uuid"], rates=[rate(5)])
    body = {"name": "m", "description": "", "source_type": "OCP"}
    read = (await http.put(f"{MODELS}{model['uuid']}/", json=body)).json()
    assert read["rates"][0]["tiered_rates"][0]["value"] == "5"

    turned = {**body, "price_list_uuids": [first["uuid"]]}
    read = (await http.put(f"{MODELS}{model['uuid']}/", json=turned)).json()
    assert [linked["name"] for linked in read["price_lists"]] == ["a"]
    assert read["rates"][0]["tiered_rates"][0]["value"] == "1"


async def test_only_enabled_lists_in_the_models_currency_are_attached(http: httpx.AsyncClient) -> None:
    made = await create(http)
    model = await attached(http, made["uuid"])
    await change(http, made["uuid"], enabled=False)
    body = {"name": "m", "description": "", "source_type": "OCP", "price_list_uuids": [made["uuid"]]}
    ((field, words),) = problems(await http.put(f"{MODELS}{model['uuid']}/", json=body))
    assert (field, "disabled" in words) == ("price_list_uuids", True)


async def test_new_prices_of_this_month_are_computed_for_every_linked_model(
    http: httpx.AsyncClient, stored: Stored
) -> None:
    made = await create(http)
    models = [await attached(http, made["uuid"]) for _ in range(2)]
    sources = {uuid for model in models for uuid in model["source_uuids"]}
    recalculated(stored)

    await change(http, made["uuid"], name="other", rates=[rate("1.0")])
    assert recalculated(stored) == set()
    await change(http, made["uuid"], rates=[rate(2)])
    assert recalculated(stored) == sources
    last_month = Month.of(datetime.now(UTC).date()).plus(-1).last
    await change(http, made["uuid"], effective_start_date="2020-01-01", effective_end_date=last_month.isoformat())
    assert recalculated(stored) == sources  # its prices no longer hold this month
    await change(http, made["uuid"], rates=[rate(3)])
    assert recalculated(stored) == set()


async def test_a_cost_models_rates_change_its_leading_list_for_everyone(
    http: httpx.AsyncClient, stored: Stored
) -> None:
    made = await create(http)
    one, two = await attached(http, made["uuid"]), await attached(http, made["uuid"])
    recalculated(stored)
    body = {"name": "m", "description": "", "source_type": "OCP", "rates": [rate(7)]}
    assert (await http.put(f"{MODELS}{one['uuid']}/", json=body)).status_code == 200
    assert recalculated(stored) == {*one["source_uuids"], *two["source_uuids"]}
    other = (await http.put(f"{MODELS}{two['uuid']}/", json={**body, "rates": None})).json()
    assert other["rates"][0]["tiered_rates"][0]["value"] == "7"
