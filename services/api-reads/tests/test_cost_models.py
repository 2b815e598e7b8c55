"""Lists and objects of cost models and price lists: write-api §6, §7."""

from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, func, insert, select, update

from kura.store.database import Database
from kura.store.tables.shared import PROVIDER
from kura.store.tables.tenant import (
    COST_MODEL,
    COST_MODEL_MAP,
    ENABLED_CURRENCY,
    PRICE_LIST,
    PRICE_LIST_COST_MODEL_MAP,
)
from kura.testing.asking import Asker, restricted
from kura.testing.postgres import SCHEMA

FIRST, SECOND, CLOUD = UUID(int=1), UUID(int=2), UUID(int=3)
OLD, NEW = UUID(int=11), UUID(int=12)

RATE = {
    "metric": {"name": "cpu_core_usage_per_hour"},
    "cost_type": "Supplementary",
    "description": "",
    "custom_name": "cpu",
    "rate_id": str(UUID(int=21)),
    "tiered_rates": [{"value": "0.5", "unit": "USD", "usage": {"usage_start": None, "usage_end": None, "unit": "USD"}}],
}
TAG_RATE = {
    "metric": {"name": "node_cost_per_month"},
    "cost_type": "Infrastructure",
    "description": "by team",
    "custom_name": "a node",
    "rate_id": str(UUID(int=22)),
    "tag_rates": {"tag_key": "team", "tag_values": [{"tag_value": "a", "value": "1", "unit": "USD", "default": True}]},
}


@pytest.fixture(scope="module", autouse=True)
def stored(writer: Database) -> UUID:
    """Three models, two lists; the first model has a source and both lists."""
    with writer.tenant(SCHEMA) as connection:
        connection.execute(delete(COST_MODEL))
        source: UUID = connection.scalars(select(PROVIDER.c.uuid).order_by(PROVIDER.c.name)).first()  # type: ignore[assignment]
        models: list[dict[str, Any]] = [
            {
                "uuid": FIRST,
                "name": "Shop prices",
                "description": "for 100% of all",
                "source_type": "OCP",
                "rates": [RATE],
            },
            {"uuid": SECOND, "name": "blog", "description": "", "source_type": "OCP", "rates": []},
            {"uuid": CLOUD, "name": "markup", "description": "", "source_type": "AWS", "rates": []},
        ]
        connection.execute(insert(COST_MODEL), [{"currency": "USD", **row} for row in models])
        connection.execute(insert(COST_MODEL_MAP).values(provider_uuid=source, cost_model_id=FIRST))
        connection.execute(
            insert(PRICE_LIST),
            [
                {
                    "uuid": key,
                    "name": name,
                    "currency": "USD",
                    "effective_start_date": date(year, 1, 1),
                    "effective_end_date": date(year, 12, 31),
                    "enabled": enabled,
                    "rates": [RATE, TAG_RATE],
                }
                for key, name, year, enabled in ((OLD, "old", 2023, False), (NEW, "new", 2024, True))
            ],
        )
        links = [
            {"price_list_id": OLD, "cost_model_id": FIRST, "priority": 2},
            {"price_list_id": NEW, "cost_model_id": FIRST, "priority": 1},
            {"price_list_id": NEW, "cost_model_id": SECOND, "priority": 1},
        ]
        connection.execute(insert(PRICE_LIST_COST_MODEL_MAP), links)
        return source


async def names(ask: Asker, address: str) -> list[str]:
    return [item["name"] for item in (await ask(address))["data"]]


async def test_a_cost_model_is_shown_with_labels_sources_and_price_lists(ask: Asker, stored: UUID):
    found = await ask(f"cost-models/{FIRST}/")

    assert found["source_type"] == "OpenShift Container Platform"
    assert found["source_uuids"] == [str(stored)]
    assert [source["uuid"] for source in found["sources"]] == [str(stored)]
    assert [(linked["name"], linked["priority"], linked["enabled"]) for linked in found["price_lists"]] == [
        ("new", 1, True),
        ("old", 2, False),
    ]
    assert found["rates"][0]["metric"]["label_measurement_unit"] == "core-hours"
    assert found == (await ask("cost-models/?name=shop"))["data"][0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["Shop prices", "blog", "markup"]),
        ("name=PRICES", ["Shop prices"]),
        ("name=p,shop", ["Shop prices"]),
        ("name=shop,blog", []),
        ("description=100%25", ["Shop prices"]),
        ("description=_", []),
        (f"uuid={FIRST},{SECOND}", ["Shop prices", "blog"]),
        ("source_type=aws", ["markup"]),
        ("source_type=nothing", []),
        ("currency=USD", ["Shop prices", "blog", "markup"]),
        ("ordering=-name", ["markup", "blog", "Shop prices"]),
        ("ordering=source_type", ["markup", "Shop prices", "blog"]),
        ("limit=1&offset=1", ["blog"]),
        ("limit=0", ["Shop prices", "blog", "markup"]),
    ],
)
async def test_the_list_of_cost_models(ask: Asker, query: str, expected: list[str]):
    assert await names(ask, f"cost-models/?{query}") == expected


async def test_cost_models_are_found_by_their_source(ask: Asker, stored: UUID):
    assert await names(ask, f"cost-models/?source_uuid={stored}") == ["Shop prices"]
    assert await names(ask, f"cost-models?source_uuid={uuid4()}") == []


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("cost-models/?foo=1", "foo"),
        ("cost-models/?filter[name]=x", "filter"),
        ("cost-models/?ordering=currency", "ordering"),
        ("cost-models/?uuid=x", "uuid"),
        ("cost-models/?source_uuid=x", "source_uuid"),
        ("cost-models/?currency=XXX", "currency"),
        ("cost-models/?name=%00", "name"),
        ("cost-models/x/", "uuid"),
        ("cost-models/%00/", "uuid"),
        ("price-lists/?name=x", "name"),
        ("price-lists/?filter[foo]=x", "foo"),
        ("price-lists/?filter=x", "filter"),
        ("price-lists/?filter[enabled]=perhaps", "enabled"),
        ("price-lists/?filter[cost_model]=x", "cost_model"),
        ("price-lists/?order_by[rates]=asc", "order_by"),
        ("price-lists/?order_by[name]=up", "order_by"),
        ("price-lists/x/", "uuid"),
        (f"price-lists/{NEW}/rates/?filter[foo]=x", "foo"),
    ],
)
async def test_what_does_not_exist_is_refused(ask: Asker, address: str, source: str):
    status, body = await ask.refused(address)
    assert (status, body["errors"][0]["source"]) == (400, source)


@pytest.mark.parametrize("path", ["cost-models", "price-lists"])
async def test_an_unknown_id_is_not_found(ask: Asker, path: str):
    assert (await ask.refused(f"{path}/{uuid4()}/"))[0] == 404
    assert (await ask.refused(f"{path}/{uuid4()}/{'audit' if path == 'cost-models' else 'rates'}/"))[0] == 404


async def test_only_listed_cost_models_are_seen(ask: Asker):
    limited = ask.as_(restricted({"cost_model": [str(SECOND)]}))
    assert await names(limited, "cost-models/") == ["blog"]
    assert (await limited.refused(f"cost-models/{FIRST}/"))[0] == 404
    assert (await limited.refused(f"cost-models/{FIRST}/audit/"))[0] == 404
    assert await names(limited, "price-lists/") == ["new", "old"]
    stranger = ask.as_(restricted({"openshift.cluster": ["*"]}))
    for path in ("cost-models/", "price-lists/", f"cost-models/{FIRST}/", f"price-lists/{NEW}/rates/"):
        assert (await stranger.refused(path))[0] == 403


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["new", "old"]),
        ("filter[name]=OL,zz", ["old"]),
        (f"filter[uuid]={NEW}", ["new"]),
        ("filter[enabled]=true", ["new"]),
        ("filter[currency]=EUR", []),
        (f"filter[cost_model]={SECOND}", ["new"]),
        (f"filter[cost_model]={FIRST},{SECOND}", ["new", "old"]),
        ("order_by[name]=desc", ["old", "new"]),
        ("order_by=-effective_start_date", ["new", "old"]),
        ("order_by[assigned_cost_model_count]=asc", ["old", "new"]),
        ("limit=1", ["new"]),
    ],
)
async def test_the_list_of_price_lists(ask: Asker, query: str, expected: list[str]):
    assert await names(ask, f"price-lists/?{query}") == expected


async def test_a_price_list_tells_who_uses_it(ask: Asker):
    found = await ask(f"price-lists/{NEW}/")
    assert found["assigned_cost_model_count"] == 2
    models = [
        {"uuid": str(FIRST), "name": "Shop prices", "priority": 1},
        {"uuid": str(SECOND), "name": "blog", "priority": 1},
    ]
    assert found["assigned_cost_models"] == models
    assert await ask(f"price-lists/{NEW}/affected-cost-models/") == models
    assert (found["effective_start_date"], found["version"]) == ("2024-01-01", 1)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["a node", "cpu"]),
        ("filter[name]=CP", ["cpu"]),
        ("filter[metric_type]=node", ["a node"]),
        ("filter[measurement]=usa", ["cpu"]),
        ("filter[cost_type]=infrastructure", ["a node"]),
        ("order_by[custom_name]=desc", ["cpu", "a node"]),
        ("limit=1&offset=1", ["cpu"]),
    ],
)
async def test_the_rates_of_a_price_list(ask: Asker, query: str, expected: list[str]):
    answer = await ask(f"price-lists/{NEW}/rates/?{query}")
    assert [item["custom_name"] for item in answer["data"]] == expected


async def test_a_rate_of_a_price_list_is_told_in_full(ask: Asker):
    tag, tiered = (await ask(f"price-lists/{NEW}/rates/"))["data"]
    assert (tiered["default_rate"], tiered["metric_type"]) == ("0.5", "cpu")
    assert "tag_rates" not in tiered
    assert (tag["default_rate"], tag["tag_rates"]["tag_key"]) == (None, "team")


async def test_the_audit_is_read_newest_first(ask: Asker, writer: Database):
    with writer.tenant(SCHEMA) as connection:
        connection.execute(select(func.set_config("kura.author", "ada", True)))
        connection.execute(update(COST_MODEL).where(COST_MODEL.c.uuid == CLOUD).values(name="renamed"))
        connection.execute(delete(COST_MODEL).where(COST_MODEL.c.uuid == CLOUD))
    answer = await ask(f"cost-models/{CLOUD}/audit/")
    assert [(item["operation"], item["name"], item["author"]) for item in answer["data"]] == [
        ("DELETE", "renamed", "ada"),
        ("UPDATE", "renamed", "ada"),
        ("INSERT", "markup", None),
    ]
    assert answer["meta"]["count"] == 3


async def test_what_was_just_written_is_read(ask: Asker, writer: Database):
    with writer.tenant(SCHEMA) as connection:
        connection.execute(insert(ENABLED_CURRENCY).values(currency_code="EUR"))
        connection.execute(insert(COST_MODEL).values(name="zz new", source_type="OCP", currency="EUR"))
    assert await names(ask, "cost-models/?currency=EUR") == ["zz new"]


async def test_nothing_of_it_is_kept_by_clients(ask: Asker):
    response = await ask.response("cost-models/")
    assert "no-store" in response.headers["cache-control"]
