"""Creating, changing and deleting cost models: write-api §6."""

import copy
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import insert, select, update
from starlette.applications import Starlette

from kura.store.database import Database
from kura.store.tables.shared import PROVIDER, TASK
from kura.store.tables.tenant import (
    COST_MODEL,
    COST_MODEL_AUDIT,
    COST_MODEL_MAP,
    COST_MODEL_RATE,
    ENABLED_CURRENCY,
    PRICE_LIST,
    TENANT_SETTINGS,
)
from kura.testing.gateways import ORG_ID, Stored, identity_header

API = "/api/cost-management/v1"
MODELS = f"{API}/cost-models/"
LISTS = f"{API}/price-lists/"
SCHEMA = f"org{ORG_ID}"
OTHER_ORG = "7654321"

Json = dict[str, Any]


def tiered(metric: str = "cpu_core_usage_per_hour", value: Any = "0.22", **more: Any) -> Json:
    usage = {"usage_start": None, "usage_end": None, "unit": "USD"}
    return {"metric": {"name": metric}, "tiered_rates": [{"value": value, "unit": "USD", "usage": usage}], **more}


def tagged(metric: str = "cpu_core_usage_per_hour", key: str = "app", **more: Any) -> Json:
    values = [
        {"tag_value": "web", "value": 1, "unit": "USD", "default": False},
        {"tag_value": "db", "value": "2.5", "unit": "USD", "default": True, "description": "databases"},
    ]
    return {"metric": {"name": metric}, "tag_rates": {"tag_key": key, "tag_values": values}, **more}


def model(**changes: Any) -> Json:
    whole = {"name": "prices", "description": "", "source_type": "OCP", "source_uuids": [], **changes}
    return {name: value for name, value in whole.items() if value is not ...}


async def source(http: httpx.AsyncClient, name: str = "prod") -> str:
    answer = await http.post(f"{API}/sources/", json={"name": name, "source_type": "OCP", "source_ref": f"c-{name}"})
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["uuid"]
    return found


async def create(http: httpx.AsyncClient, **changes: Any) -> Json:
    answer = await http.post(MODELS, json=model(**changes))
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()
    return found


async def change(http: httpx.AsyncClient, key: str, **changes: Any) -> Json:
    answer = await http.put(f"{MODELS}{key}/", json=model(**changes))
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def problems(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 400, answer.text
    errors = answer.json()["errors"]
    assert all(error["status"] == 400 for error in errors)
    return [(error["source"], error["detail"]) for error in errors]


def rows(database: Database, table: Any, schema: str = SCHEMA) -> list[Json]:
    with database.tenant(schema) as connection:
        return [dict(row._mapping) for row in connection.execute(select(table))]


def recalculated(stored: Stored) -> list[Json]:
    return [dict(payload) for kind, payload in stored.tasks() if kind == "ApplyCostModel"]


def forget_tasks(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(TASK.delete())


# ------------------------------------------------------------------------------------------------------------ creating


async def test_a_cost_model_is_created_with_its_price_list_rates_and_sources(
    http: httpx.AsyncClient, database: Database
) -> None:
    where = await source(http)
    made = await create(
        http,
        name="Düsseldorf",
        source_uuids=[where],
        markup={"value": 10, "unit": "percent"},
        rates=[tiered(), tagged(custom_name="by app", cost_type="supplementary")],
    )

    assert made["source_type"] == "OpenShift Container Platform"
    assert made["source_uuids"] == [where]
    assert made["sources"] == [{"uuid": where, "name": "prod", "last_processed": None}]
    assert made["markup"] == {"value": "10.0000000000", "unit": "percent"}
    assert (made["currency"], made["distribution"]) == ("USD", "cpu")
    assert made["distribution_info"] == {
        "distribution_type": "cpu",
        "platform_cost": True,
        "worker_cost": True,
        "network_unattributed": False,
        "storage_unattributed": False,
        "gpu_unallocated": False,
    }
    first, second = made["rates"]
    assert first["metric"] == {
        "name": "cpu_core_usage_per_hour",
        "label_metric": "CPU",
        "label_measurement": "Usage",
        "label_measurement_unit": "core-hours",
    }
    assert (first["cost_type"], first["custom_name"]) == ("Supplementary", "cpu_core_usage_per_hour-Supplementary")
    usage = {"usage_start": None, "usage_end": None, "unit": "USD"}
    assert first["tiered_rates"] == [{"value": "0.22", "unit": "USD", "usage": usage}]
    assert second["tag_rates"]["tag_values"][1] == {
        "tag_value": "db",
        "value": "2.5",
        "unit": "USD",
        "usage": usage,
        "description": "databases",
        "default": True,
    }

    (linked,) = made["price_lists"]
    assert {name: linked[name] for name in linked if name != "uuid"} == {
        "name": "Düsseldorf prices",
        "priority": 1,
        "version": 1,
        "enabled": True,
        "effective_start_date": "2026-03-01",
        "effective_end_date": "2099-12-31",
    }
    stored = {row["custom_name"]: row for row in rows(database, COST_MODEL_RATE)}
    assert {str(row["uuid"]) for row in stored.values()} == {first["rate_id"], second["rate_id"]}
    assert str(stored[first["custom_name"]]["default_rate"]) == "0.220000000000000"
    assert (stored["by app"]["tag_key"], stored["by app"]["default_rate"]) == ("app", None)
    assert stored["by app"]["metric_type"] == "cpu"


async def test_the_first_cost_model_of_an_organisation_makes_its_tenant(http: httpx.AsyncClient) -> None:
    assert (await create(http))["rates"] == []


@pytest.mark.parametrize("slash", ["", "/"])
async def test_addresses_work_with_and_without_slash(http: httpx.AsyncClient, slash: str) -> None:
    answer = await http.post(f"{API}/cost-models{slash}", json=model())
    assert answer.status_code == 201
    key = answer.json()["uuid"]
    assert (await http.put(f"{API}/cost-models/{key}{slash}", json=model())).status_code == 200
    assert (await http.delete(f"{API}/cost-models/{key}{slash}")).status_code == 204


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "", "description": ""},
        {"source_type": "ocp"},
        {"source_type": "OCP-local"},
        {"source_type": "aws", "markup": {"value": "-5.5", "unit": "percent"}},
        {"source_type": "Azure", "rates": []},
        {"markup": {}},
        {"distribution": "memory"},
        {"rates": [tiered(value=0.22), tiered(value=0)]},
        {"rates": [tiered(cost_type="INFRASTRUCTURE"), tiered(tag_rates={})]},
        {"rates": [tagged(tiered_rates=[]), tagged(key="team"), tagged(metric="project_per_month")]},
        {"rates": [tiered(rate_id="anything", custom_name="x" * 50)]},
        {"unknown": 1},
    ],
)
async def test_equivalent_requests_are_accepted(http: httpx.AsyncClient, changes: Json) -> None:
    await create(http, **changes)


async def test_the_account_currency_stands_in_for_a_missing_one(http: httpx.AsyncClient, database: Database) -> None:
    await source(http)
    with database.tenant(SCHEMA) as connection:
        connection.execute(insert(ENABLED_CURRENCY).values(currency_code="EUR"))
        connection.execute(update(TENANT_SETTINGS).values(currency="EUR"))
    assert (await create(http))["currency"] == "EUR"
    assert (await create(http, currency="USD"))["currency"] == "USD"


async def test_missing_keys_of_the_distribution_are_filled_in(http: httpx.AsyncClient) -> None:
    made = await create(http, distribution="memory", distribution_info={"gpu_unallocated": True, "worker_cost": False})
    assert made["distribution_info"] == {
        "distribution_type": "cpu",
        "platform_cost": True,
        "worker_cost": False,
        "network_unattributed": False,
        "storage_unattributed": False,
        "gpu_unallocated": True,
    }
    other = await create(http, distribution="memory")
    assert other["distribution_info"]["distribution_type"] == "memory"


async def test_an_empty_list_of_price_lists_leaves_a_new_model_its_rates(http: httpx.AsyncClient) -> None:
    made = await create(http, rates=[tiered()], price_list_uuids=[])
    assert len(made["rates"]) == len(made["price_lists"]) == 1


async def test_generated_names_are_unique_and_short(http: httpx.AsyncClient) -> None:
    key = "a-long-tag-key-of-some-length"
    made = await create(
        http,
        rates=[
            tiered(),
            tiered(custom_name="cpu_core_usage_per_hour-Supplementary-2"),
            tiered(),
            tagged("memory_gb_effective_usage_per_hour", key=key),
            tagged("memory_gb_effective_usage_per_hour", key=f"{key}-2"),
        ],
    )
    assert [rate["custom_name"] for rate in made["rates"]] == [
        "cpu_core_usage_per_hour-Supplementary",
        "cpu_core_usage_per_hour-Supplementary-2",
        "cpu_core_usage_per_hour-Supplementary-3",
        "memory_gb_effective_usage_per_hour-Supplementary-a",
        "memory_gb_effective_usage_per_hour-Supplementary-2",
    ]


# ----------------------------------------------------------------------------------------------------------- the rules


def tiers(*spans: tuple[Any, Any]) -> Json:
    rate = tiered()
    rate["tiered_rates"] = [
        {"value": "1", "unit": "USD", "usage": {"usage_start": start, "usage_end": end, "unit": "USD"}}
        for start, end in spans
    ]
    return rate


def tier(**changes: Any) -> Json:
    rate = tiered()
    rate["tiered_rates"][0].update(changes)
    return rate


def tags(**changes: Any) -> Json:
    rate = tagged()
    rate["tag_rates"].update(changes)
    return rate


def tag(**changes: Any) -> Json:
    rate = tagged()
    value = rate["tag_rates"]["tag_values"][0]
    value.update(changes)
    rate["tag_rates"]["tag_values"][0] = {name: text for name, text in value.items() if text is not ...}
    return rate


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"name": ...}, "name", "required"),
        ({"name": None}, "name", "required"),
        ({"name": "x" * 101}, "name", "100"),
        ({"name": 5}, "name", "text"),
        ({"name": "a\0b"}, "name", "Null"),
        ({"description": ...}, "description", "required"),
        ({"description": "x" * 501}, "description", "500"),
        ({"source_type": ...}, "source_type", "required"),
        ({"source_type": "OpenShift Container Platform"}, "source_type", "one of"),
        ({"source_type": 1}, "source_type", "one of"),
        ({"source_type": "AWS", "rates": [tiered()]}, "rates", "cloud"),
        ({"source_type": "GCP", "price_list_uuids": [str(uuid4())]}, "price_list_uuids", "cloud"),
        ({"source_uuids": "x"}, "source_uuids", "list"),
        ({"source_uuids": ["x"]}, "source_uuids", "not a UUID"),
        ({"source_uuids": [str(uuid4())]}, "source_uuids", "no source"),
        ({"markup": 5}, "markup", "object"),
        ({"markup": {"unit": "percent"}}, "markup.value", "number"),
        ({"markup": {"value": 1, "unit": "USD"}}, "markup.unit", "percent"),
        ({"markup": {"value": "1.12345678901", "unit": "percent"}}, "markup.value", "10 decimals"),
        ({"markup": {"value": "1234567890", "unit": "percent"}}, "markup.value", "9 digits"),
        ({"markup": {"value": "Infinity", "unit": "percent"}}, "markup.value", "number"),
        ({"markup": {"value": True, "unit": "percent"}}, "markup.value", "number"),
        ({"distribution": "gpu"}, "distribution", "cpu or memory"),
        ({"distribution": ["cpu"]}, "distribution", "cpu or memory"),
        ({"distribution_info": []}, "distribution_info", "object"),
        ({"distribution_info": {"platform_cost": "yes"}}, "distribution_info.platform_cost", "true or false"),
        ({"distribution_info": {"distribution_type": "gpu"}}, "distribution_info.distribution_type", "cpu or memory"),
        ({"distribution_info": {"platform": True}}, "distribution_info", "not known"),
        ({"currency": "EUR"}, "currency", "not an enabled currency"),
        ({"currency": "usd"}, "currency", "not an enabled currency"),
        ({"currency": 5}, "currency", "not an enabled currency"),
        ({"price_list_uuids": [str(uuid4())]}, "price_list_uuids", "no price list"),
        ({"price_list_uuids": ["x"]}, "price_list_uuids", "not a UUID"),
        ({"rates": {}}, "rates", "list"),
        ({"rates": [5]}, "rates", "object"),
        ({"rates": [tiered("cpu_core_per_hour")]}, "rates.metric", "invalid metric"),
        ({"rates": [{**tiered(), "metric": "cpu_core_usage_per_hour"}]}, "rates.metric", "invalid metric"),
        ({"rates": [{**tiered(), "metric": {"name": ["x"]}}]}, "rates.metric", "invalid metric"),
        ({"rates": [tiered("project_per_month")]}, "rates.tiered_rates", "only tag_rates"),
        ({"rates": [tiered(tag_rates=tagged()["tag_rates"])]}, "rates", "not both"),
        ({"rates": [{"metric": {"name": "node_cost_per_month"}}]}, "rates", "missing"),
        ({"rates": [{**tiered(), "tiered_rates": []}]}, "rates.tiered_rates", "cannot be empty"),
        ({"rates": [{**tagged(), "tag_rates": {}}]}, "rates.tag_rates", "cannot be empty"),
        ({"rates": [tiered(cost_type="Overhead")]}, "rates.cost_type", "invalid type"),
        ({"rates": [tiered(cost_type=5)]}, "rates.cost_type", "invalid type"),
        ({"rates": [tiered(custom_name="x" * 51)]}, "rates.custom_name", "50"),
        ({"rates": [tiered(custom_name="x"), tagged(custom_name="x")]}, "rates.custom_name", "repeated: x"),
        ({"rates": [tiered(description="x" * 501)]}, "rates.description", "500"),
        ({"rates": [tier(unit="EUR")]}, "rates.tiered_rates.unit", "rate units must match"),
        ({"rates": [tier(unit=None)]}, "rates.tiered_rates.unit", "rate units must match"),
        ({"rates": [tier(usage={"unit": "EUR"})]}, "rates.tiered_rates.usage.unit", "rate units must match"),
        ({"rates": [tier(value="-1")]}, "rates.tiered_rates.value", "nonnegative"),
        ({"rates": [tier(value="a")]}, "rates.tiered_rates.value", "number"),
        ({"rates": [tier(value=None)]}, "rates.tiered_rates.value", "number"),
        ({"rates": [tier(value="0.12345678901")]}, "rates.tiered_rates.value", "10 decimals"),
        ({"rates": [tier(value=10**9)]}, "rates.tiered_rates.value", "9 digits"),
        ({"rates": [tier(usage=5)]}, "rates.tiered_rates.usage", "object"),
        ({"rates": [{**tiered(), "tiered_rates": {"value": 1}}]}, "rates.tiered_rates", "list"),
        ({"rates": [tiers((-1, None))]}, "rates.tiered_rates.usage.usage_start", "nonnegative"),
        ({"rates": [tiers((None, 0))]}, "rates.tiered_rates.usage.usage_end", "positive"),
        ({"rates": [tiers((None, 5), (5, 5), (5, None))]}, "rates.tiered_rates.usage", "less than"),
        ({"rates": [tiers((0, None))]}, "rates.tiered_rates", "open ends"),
        ({"rates": [tiers((None, 10))]}, "rates.tiered_rates", "open ends"),
        ({"rates": [tiers((None, 10), (20, None))]}, "rates.tiered_rates", "no gaps"),
        ({"rates": [tiers((None, 10), (5, None))]}, "rates.tiered_rates", "no overlaps"),
        ({"rates": [tiers((None, None), (None, None))]}, "rates.tiered_rates", "no overlaps"),
        ({"rates": [tags(tag_key="x" * 101)]}, "rates.tag_rates.tag_key", "100"),
        ({"rates": [tags(tag_key="")]}, "rates.tag_rates.tag_key", "blank"),
        ({"rates": [tags(tag_key=None)]}, "rates.tag_rates.tag_key", "required"),
        ({"rates": [tags(tag_values=[])]}, "rates.tag_rates.tag_values", "cannot be empty"),
        ({"rates": [tags(tag_values=[5])]}, "rates.tag_rates.tag_values", "object"),
        ({"rates": [tag(tag_value="x" * 101)]}, "rates.tag_rates.tag_values.tag_value", "100"),
        ({"rates": [tag(tag_value="db")]}, "rates.tag_rates.tag_values", "repeated: db"),
        ({"rates": [tag(description="x" * 501)]}, "rates.tag_rates.tag_values.description", "500"),
        ({"rates": [tag(value=-1)]}, "rates.tag_rates.tag_values.value", "nonnegative"),
        ({"rates": [tag(unit="EUR")]}, "rates.tag_rates.tag_values.unit", "rate units must match"),
        ({"rates": [tag(usage={"unit": "EUR"})]}, "rates.tag_rates.tag_values.usage.unit", "rate units must match"),
        ({"rates": [tag(default=...)]}, "rates.tag_rates.tag_values.default", "required"),
        ({"rates": [tag(default=True)]}, "rates.tag_rates.tag_values", "at most one"),
        ({"rates": [{**tagged(), "tag_rates": [5]}]}, "rates.tag_rates", "object"),
        ({"rates": [tagged(), tagged()]}, "rates.tag_rates", "duplicate tag_key"),
    ],
)
async def test_a_broken_rule_is_named_and_nothing_changes(
    http: httpx.AsyncClient, database: Database, stored: Stored, changes: Json, field: str, words: str
) -> None:
    kept = await create(http, name="kept", rates=[tiered()])
    before = [rows(database, table) for table in (COST_MODEL, COST_MODEL_RATE, PRICE_LIST, COST_MODEL_AUDIT)]

    created = await http.post(MODELS, json=model(**changes))
    (found,) = problems(created)
    assert found[0] == field
    assert words in found[1]

    if changes.get("name", "") is ... or changes.get("description", "") is ...:
        pass  # absent in a change means kept
    elif changes.get("source_type") not in ("AWS", "GCP"):  # a model keeps its type
        changed = await http.put(f"{MODELS}{kept['uuid']}/", json=model(**changes))
        assert problems(changed) == [found]
    assert before == [rows(database, table) for table in (COST_MODEL, COST_MODEL_RATE, PRICE_LIST, COST_MODEL_AUDIT)]
    assert recalculated(stored) == []


async def test_all_problems_are_told_at_once(http: httpx.AsyncClient) -> None:
    bad = {"name": None, "currency": "XXX", "distribution": "disk", "source_type": "x"}
    answer = await http.post(MODELS, json=model(**bad, rates=[tiered("x"), tiered(value=-1), tags(tag_key="")]))
    fields = [field for field, _ in problems(answer)]
    assert fields == [
        "name",
        "source_type",
        "currency",
        "rates.metric",
        "rates.tiered_rates.value",
        "rates.tag_rates.tag_key",
        "distribution",
    ]


async def test_thousands_of_problems_are_counted(http: httpx.AsyncClient) -> None:
    errors = problems(await http.post(MODELS, json=model(rates=[5] * 5000)))
    assert len(errors) == 101
    assert "4900 more" in errors[-1][1]


@pytest.mark.parametrize(
    "body",
    [
        b"{" * 10_000,
        b'{"name":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"name": NaN}',
        b'{"name": "a", "name": "b"}',
        b'{"rates": [{"x": 1, "x": 2}]}',
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b"[]",
        b"",
        b'{"markup": {"value": 1' + b"0" * 5000 + b"}}",
        b'{"markup": {"value": 1e999999999, "unit": "percent"}}',
        b'{"markup": {"value": 0e-999999999, "unit": "percent"}}',
        b'"' + b"x" * 10_000_000 + b'"',
    ],
)
async def test_hostile_bodies_are_refused_quickly(http: httpx.AsyncClient, body: bytes) -> None:
    await create(http)  # the tenant
    began = datetime.now(UTC)
    answer = await http.post(MODELS, content=body)
    assert answer.status_code == 400
    assert (datetime.now(UTC) - began).total_seconds() < 1.0


# ------------------------------------------------------------------------------------------------------------ changing


async def test_a_change_replaces_what_it_names_and_keeps_the_rest(http: httpx.AsyncClient) -> None:
    first, second = await source(http, "one"), await source(http, "two")
    markup = {"value": "10", "unit": "percent"}
    made = await create(http, source_uuids=[first], rates=[tiered()], markup=markup, distribution="memory")

    changed = await change(http, made["uuid"], name="new", description="d", source_uuids=[second])
    assert (changed["name"], changed["description"], changed["source_uuids"]) == ("new", "d", [second])
    for kept in ("rates", "markup", "distribution", "distribution_info", "currency", "price_lists"):
        assert changed[kept] == made[kept]

    changed = await change(
        http, made["uuid"], source_uuids=..., name=..., description=..., markup={}, distribution="cpu"
    )
    assert (changed["source_uuids"], changed["name"], changed["markup"]) == ([second], "new", {})
    assert changed["distribution_info"]["distribution_type"] == "cpu"


async def test_rates_keep_their_ids_by_name(http: httpx.AsyncClient, database: Database) -> None:
    made = await create(http, rates=[tiered(custom_name="a"), tiered("node_cost_per_month", custom_name="b")])
    ids = {rate["custom_name"]: rate["rate_id"] for rate in made["rates"]}

    changed = await change(http, made["uuid"], rates=[tiered(value=5, custom_name="a"), tagged(custom_name="c")])
    found = {rate["custom_name"]: rate for rate in changed["rates"]}
    assert set(found) == {"a", "c"}
    assert found["a"]["rate_id"] == ids["a"]
    assert found["a"]["tiered_rates"][0]["value"] == "5"
    assert {str(row["uuid"]) for row in rows(database, COST_MODEL_RATE)} == {rate["rate_id"] for rate in found.values()}
    (linked,) = changed["price_lists"]
    assert linked["version"] == 2


async def test_empty_rates_remove_all(http: httpx.AsyncClient, database: Database) -> None:
    made = await create(http, rates=[tiered()])
    changed = await change(http, made["uuid"], rates=[])
    assert (changed["rates"], rows(database, COST_MODEL_RATE)) == ([], [])
    assert changed["price_lists"][0]["version"] == 2


async def test_rates_of_a_model_without_price_list_make_one(http: httpx.AsyncClient) -> None:
    made = await create(http)
    changed = await change(http, made["uuid"], name="renamed", rates=[tiered()])
    assert [linked["name"] for linked in changed["price_lists"]] == ["renamed prices"]


async def test_sending_back_what_was_read_changes_nothing(http: httpx.AsyncClient, stored: Stored) -> None:
    made = await create(http, rates=[tiered(), tagged()], markup={"value": "1.5", "unit": "percent"})
    answer = await http.put(f"{MODELS}{made['uuid']}/", json={**copy.deepcopy(made), "source_type": "OCP"})
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert {**changed, "updated_timestamp": None} == {**made, "updated_timestamp": None}


async def test_a_source_has_at_most_one_cost_model(http: httpx.AsyncClient, database: Database) -> None:
    where = await source(http)
    first = await create(http, name="first", source_uuids=[where])
    refused = await http.post(MODELS, json=model(name="second", source_uuids=[where], rates=[tiered()]))
    ((field, words),) = problems(refused)
    assert field == "cost-models"
    assert where in words
    assert "first" in words
    assert len(rows(database, COST_MODEL)) == 1
    assert rows(database, PRICE_LIST) == []

    second = await create(http, name="second")
    refused = await http.put(f"{MODELS}{second['uuid']}/", json=model(source_uuids=[where]))
    assert [field for field, _ in problems(refused)] == ["cost-models"]
    assert (await http.put(f"{MODELS}{first['uuid']}/", json=model(source_uuids=[where]))).status_code == 200


async def test_the_currency_of_own_prices_changes_with_their_rates(http: httpx.AsyncClient, database: Database) -> None:
    made = await create(http, rates=[tiered()])
    with database.tenant(SCHEMA) as connection:
        connection.execute(insert(ENABLED_CURRENCY).values(currency_code="EUR"))
    refused = await http.put(f"{MODELS}{made['uuid']}/", json=model(currency="EUR"))
    assert [field for field, _ in problems(refused)] == ["currency"]
    in_euro = tiered()
    in_euro["tiered_rates"][0].update(unit="EUR", usage=None)
    changed = await change(http, made["uuid"], currency="EUR", rates=[in_euro])
    assert changed["currency"] == "EUR"
    assert rows(database, PRICE_LIST)[0]["currency"] == "EUR"


# --------------------------------------------------------------------------------------------------- what follows edits


async def test_every_write_asks_for_the_costs_of_old_and_new_sources(
    http: httpx.AsyncClient, database: Database, stored: Stored
) -> None:
    one, two, three = [await source(http, name) for name in ("one", "two", "three")]
    made = await create(http, source_uuids=[one, two])
    today = datetime.now(UTC).date()
    asked = recalculated(stored)
    assert {task["providerUuid"] for task in asked} == {one, two}
    for task in asked:
        assert task["schemaName"] == SCHEMA
        assert (task["startDate"], task["endDate"]) == (today.replace(day=1).isoformat(), today.isoformat())
    with database.begin() as connection:
        (queue,) = set(connection.scalars(select(TASK.c.queue).where(TASK.c.type.endswith("ApplyCostModel"))))
    assert queue == "priority"

    await change(http, made["uuid"], source_uuids=[two])
    assert len(recalculated(stored)) == 2  # merged with those that wait

    forget_tasks(database)
    with database.begin() as connection:
        connection.execute(update(PROVIDER).where(PROVIDER.c.uuid == UUID(two)).values(active=False))
    await change(http, made["uuid"], source_uuids=[two, three])
    assert {task["providerUuid"] for task in recalculated(stored)} == {three}

    forget_tasks(database)
    assert (await http.delete(f"{MODELS}{made['uuid']}/")).status_code == 204
    assert {task["providerUuid"] for task in recalculated(stored)} == {three}
    assert rows(database, COST_MODEL_MAP) == []


async def test_the_audit_tells_every_change_with_its_sources_and_author(
    http: httpx.AsyncClient, database: Database
) -> None:
    where = await source(http)
    made = await create(http, source_uuids=[where])
    await change(http, made["uuid"], name="other", source_uuids=[where])
    await http.delete(f"{MODELS}{made['uuid']}/", headers=identity_header(username="grace"))
    told = sorted(rows(database, COST_MODEL_AUDIT), key=lambda row: row["id"])
    assert [(row["operation"], row["name"], row["provider_uuids"], row["author"]) for row in told] == [
        ("INSERT", "prices", None, "ada"),
        ("UPDATE", "prices", [UUID(where)], "ada"),
        ("UPDATE", "other", [UUID(where)], "ada"),
        ("DELETE", "other", [UUID(where)], "grace"),
    ]


async def test_who_changes_the_rates_of_a_price_list_is_the_author_of_its_models_change(
    http: httpx.AsyncClient, database: Database
) -> None:
    made = await create(http, rates=[tiered()])
    address = f"{LISTS}{made['price_lists'][0]['uuid']}/"
    await http.put(address, json={"rates": [tiered(value="1")]}, headers=identity_header(username="grace"))
    last = max(rows(database, COST_MODEL_AUDIT), key=lambda row: row["id"])
    assert (last["operation"], last["author"], last["rates"][0]["tiered_rates"][0]["value"]) == ("UPDATE", "grace", "1")


async def test_a_frozen_tenant_changes_nothing(http: httpx.AsyncClient, database: Database) -> None:
    made = await create(http, rates=[tiered()])
    with database.tenant(SCHEMA) as connection:
        connection.execute(update(TENANT_SETTINGS).values(cost_model_write_freeze=True))
    for answer in (
        await http.post(MODELS, json=model()),
        await http.put(f"{MODELS}{made['uuid']}/", json=model()),
    ):
        assert [field for field, _ in problems(answer)] == ["cost-models"]
    answer = await http.put(f"{LISTS}{made['price_lists'][0]['uuid']}/", json={"name": "x"})
    assert [field for field, _ in problems(answer)] == ["price-lists"]


# --------------------------------------------------------------------------------------------------- who may do what


async def test_unknown_and_malformed_ids(http: httpx.AsyncClient) -> None:
    await create(http)
    for method in ("PUT", "DELETE"):
        assert (await http.request(method, f"{MODELS}{uuid4()}/", json=model())).status_code == 404
        assert (await http.request(method, f"{MODELS}not-a-uuid/", json=model())).status_code == 400
        assert (await http.request(method, f"{MODELS}%00/", json=model())).status_code == 400
    assert (await http.patch(f"{MODELS}{uuid4()}/", json=model())).status_code == 405


async def test_writing_needs_the_right_to_write(http: httpx.AsyncClient, app: Starlette) -> None:
    made, other = await create(http), await create(http, name="other")
    allowed = f"{MODELS}{made['uuid']}/"

    async def tried(access: Json, method: str, path: str) -> int:
        headers = identity_header(admin=False, access=access)
        answer = await http.request(method, path, json=model(name="x"), headers=headers)
        return answer.status_code

    reader = {"cost_model": {"read": ("*",)}}
    one = {"cost_model": {"read": ("*",), "write": (made["uuid"],)}}
    for path, method in ((MODELS, "POST"), (allowed, "PUT"), (allowed, "DELETE"), (LISTS, "POST")):
        assert await tried(reader, method, path) == 403
    assert await tried(one, "POST", MODELS) == 403
    assert await tried(one, "POST", LISTS) == 403
    assert await tried(one, "PUT", f"{MODELS}{other['uuid']}/") == 403
    assert await tried(one, "PUT", allowed) == 200
    assert await tried(one, "DELETE", allowed) == 204


async def test_another_organisation_neither_finds_nor_attaches_anything(
    http: httpx.AsyncClient, database: Database
) -> None:
    where = await source(http)
    made = await create(http, rates=[tiered()])
    price_list = made["price_lists"][0]["uuid"]
    theirs = identity_header(OTHER_ORG)
    for path in (f"{MODELS}{made['uuid']}/", f"{LISTS}{price_list}/"):
        assert (await http.put(path, json=model(), headers=theirs)).status_code == 404
        assert (await http.delete(path, headers=theirs)).status_code == 404
    assert (await http.post(f"{LISTS}{price_list}/duplicate/", headers=theirs)).status_code == 404
    for stolen in ({"source_uuids": [where]}, {"price_list_uuids": [price_list]}):
        answer = await http.post(MODELS, json=model(**stolen), headers=theirs)
        assert [field for field, _ in problems(answer)] == list(stolen)
    assert len(rows(database, COST_MODEL)) == 1
