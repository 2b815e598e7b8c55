"""Bad cost models and price lists get a clear answer and change nothing; every case goes to a gateway on a socket."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from sqlalchemy import insert, select, text

from kura.api_writes.app import build_app
from kura.core.identity import HeaderIdentity
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.store.tables.shared import CUSTOMER, PROVIDER
from kura.testing.gateways import ORG_ID, identity_header, serving
from kura.testing.postgres import DatabaseUrls

API = "/api/cost-management/v1"
SCHEMA = f"org{ORG_ID}"
AWS = UUID(int=11)
UNKNOWN = "00000000-0000-4000-8000-000000000000"
MEBIBYTE = 2**20

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class House:
    """A gateway that holds a model with a source, another model with a source, and an AWS source."""

    http: httpx.Client
    database: Database
    model: Json
    taken_source: str
    other_list: Json

    def state(self) -> Sequence[Any]:
        """Every row that a cost model or price list is made of, with the tasks that follow."""
        with self.database.begin() as connection:
            return connection.execute(STATE).all()


TABLES = (
    *("cost_model", "cost_model_map", "cost_model_audit", "cost_model_rate"),
    *("price_list", "price_list_cost_model_map", "tenant_settings"),
)
STATE = text(
    " union all ".join(
        f"select '{name}', t.ctid::text, t.xmin::text, t::text from {name} t"
        for name in (*(f"{SCHEMA}.{table}" for table in TABLES), "public.task", "public.api_customer")
    )
    + " order by 1, 2"
)


@pytest.fixture(scope="module")
def house(shared_urls: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with (
        ObjectStore.open(f"file://{tmp_path_factory.mktemp('objects')}") as objects,
        Database(shared_urls.writer, pool_size=4) as database,
        OnSocket(build_app(database=database, objects=objects, identity=HeaderIdentity())) as address,
        httpx.Client(base_url=address, headers=identity_header(), timeout=60, trust_env=False) as http,
    ):
        sources = []
        for name in ("one", "two"):
            body = {"name": name, "source_type": "OCP", "source_ref": name}
            sources.append(http.post(f"{API}/sources/", json=body).json()["uuid"])
        with database.begin() as connection:
            customer = connection.scalar(select(CUSTOMER.c.id))
            connection.execute(insert(PROVIDER).values(uuid=AWS, name="aws", type="AWS", customer_id=customer))
        rates = [tiered(), tagged()]
        made = http.post(f"{API}/cost-models/", json=model(source_uuids=[sources[0]], rates=rates))
        assert made.status_code == 201, made.text
        assert http.post(f"{API}/cost-models/", json=model(source_uuids=[sources[1]])).status_code == 201
        listed = http.post(f"{API}/price-lists/", json=price_list(rates=[tiered()]))
        assert listed.status_code == 201, listed.text
        yield House(
            http=http,
            database=database,
            model=made.json(),
            taken_source=sources[1],
            other_list=listed.json(),
        )


class OnSocket:
    """The application served by a thread of its own, for clients that wait."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._address = ""
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))

    async def _serve(self) -> None:
        async with serving(self._app) as self._address:
            self._started.set()
            await self._stop.wait()

    def __enter__(self) -> str:
        self._thread.start()
        assert self._started.wait(30)
        return self._address

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()


def tier(value: Any = "0.22", start: Any = None, end: Any = None, **more: Any) -> Json:
    return {"value": value, "unit": "USD", "usage": {"usage_start": start, "usage_end": end, "unit": "USD"}, **more}


def tiered(*tiers: Any, metric: Any = "cpu_core_usage_per_hour", **more: Any) -> Json:
    return {"metric": {"name": metric}, "tiered_rates": list(tiers) or [tier()], **more}


def tag(value: Any = "web", price: Any = 1, default: Any = False, **more: Any) -> Json:
    return {"tag_value": value, "value": price, "unit": "USD", "default": default, **more}


def tagged(*values: Any, key: Any = "app", **more: Any) -> Json:
    tag_rates = {"tag_key": key, "tag_values": list(values) or [tag()]}
    return {"metric": {"name": "cpu_core_usage_per_hour"}, "tag_rates": tag_rates, **more}


def without(given: Json, name: str) -> Json:
    return {key: value for key, value in given.items() if key != name}


def model(**changes: Any) -> Json:
    return {"name": "prices", "description": "", "source_type": "OCP", **changes}


def price_list(**changes: Any) -> Json:
    dates = {"effective_start_date": "2026-01-01", "effective_end_date": "2026-12-31"}
    return {"name": "list", "currency": "USD", **dates, **changes}


def rate(field: str, *rates: Any) -> tuple[str, Json]:
    return (f"rates{'.' * bool(field)}{field}", {"rates": list(rates)})


NO_NUMBERS: Json = {
    "text": "much",
    "empty text": "",
    "null": None,
    "true": True,
    "list": [1],
    "object": {"value": 1},
    "text NaN": "NaN",
    "text infinity": "-Infinity",
    "hexadecimal": "0x10",
    "digits with underscores": "1_000",
    "text of 5000 digits": "9" * 5000,
    "too many digits": "1" * 10,
    "too large": "1e400",
    "too small": "1e-400",
    "11 decimals": "0.12345678901",
}
RATES = {
    "rates are a text": ("rates", {"rates": "cheap"}),
    "rates are an object": ("rates", {"rates": {"cpu": 1}}),
    "a rate is a number": rate("", 5),
    "a rate is null": rate("", None),
    "a rate is a list": rate("", []),
    "no metric": rate("metric", without(tiered(), "metric")),
    "unknown metric": rate("metric", tiered(metric="cpu_core_bogus")),
    "metric in capitals": rate("metric", tiered(metric="CPU_CORE_USAGE_PER_HOUR")),
    "metric name is a number": rate("metric", tiered(metric=7)),
    "metric is a text": rate("metric", {**tiered(), "metric": "cpu_core_usage_per_hour"}),
    "unknown cost type": rate("cost_type", tiered(cost_type="Bogus")),
    "cost type is a number": rate("cost_type", tiered(cost_type=1)),
    "both kinds of rates": rate("", {**tiered(), **tagged()}),
    "neither kind of rates": rate("", {"metric": {"name": "node_cost_per_month"}}),
    "no tiers": rate("tiered_rates", {**tiered(), "tiered_rates": []}),
    "no tags": rate("tag_rates", {**tagged(), "tag_rates": {}}),
    "tiers of a project": rate("tiered_rates", tiered(metric="project_per_month")),
    "tiers are an object": rate("tiered_rates", {**tiered(), "tiered_rates": tier()}),
    "tiers are numbers": rate("tiered_rates", tiered(1, 2)),
    "tags are a list": rate("tag_rates", {**tagged(), "tag_rates": [tag()]}),
    "no value": rate("tiered_rates.value", tiered(without(tier(), "value"))),
    "negative tier": rate("tiered_rates.value", tiered(tier("-0.01"))),
    "no unit": rate("tiered_rates.unit", tiered(without(tier(), "unit"))),
    "another unit": rate("tiered_rates.unit", tiered(tier(unit="EUR"))),
    "unit is an object": rate("tiered_rates.unit", tiered(tier(unit={}))),
    "another unit of usage": rate("tiered_rates.usage.unit", tiered(tier(usage={"unit": "EUR"}))),
    "usage is a list": rate("tiered_rates.usage", tiered(tier(usage=[]))),
    "usage_start is a text": rate("tiered_rates.usage.usage_start", tiered(tier(start="a lot"))),
    "negative usage_start": rate("tiered_rates.usage.usage_start", tiered(tier(start=-1))),
    "usage_end is 0": rate("tiered_rates.usage.usage_end", tiered(tier(end=0))),
    "start after end": rate("tiered_rates.usage", tiered(tier(start=5, end=2))),
    "first tier begins late": rate("tiered_rates", tiered(tier(start=1))),
    "last tier ends": rate("tiered_rates", tiered(tier(end=9))),
    "gap between tiers": rate("tiered_rates", tiered(tier(end=5), tier(start=6))),
    "tiers overlap": rate("tiered_rates", tiered(tier(end=5), tier(start=4))),
    "two open tiers": rate("tiered_rates", tiered(tier(), tier())),
    "no tag key": rate("tag_rates.tag_key", {**tagged(), "tag_rates": {"tag_values": [tag()]}}),
    "blank tag key": rate("tag_rates.tag_key", tagged(key=" ")),
    "long tag key": rate("tag_rates.tag_key", tagged(key="k" * 101)),
    "tag key is a number": rate("tag_rates.tag_key", tagged(key=7)),
    "no tag values": rate("tag_rates.tag_values", {**tagged(), "tag_rates": {"tag_key": "app", "tag_values": []}}),
    "tag values are an object": rate(
        "tag_rates.tag_values", {**tagged(), "tag_rates": {"tag_key": "app", "tag_values": tag()}}
    ),
    "a tag value is a text": rate("tag_rates.tag_values", tagged("web")),
    "no tag value": rate("tag_rates.tag_values.tag_value", tagged(without(tag(), "tag_value"))),
    "long tag value": rate("tag_rates.tag_values.tag_value", tagged(tag("v" * 101))),
    "repeated tag values": rate("tag_rates.tag_values", tagged(tag("web"), tag("web"))),
    "negative tag rate": rate("tag_rates.tag_values.value", tagged(tag(price="-1"))),
    "usage of a tag is a text": rate("tag_rates.tag_values.usage", tagged(tag(usage="any"))),
    "usage of a tag ends before it starts": rate(
        "tag_rates.tag_values.usage", tagged(tag(usage={"usage_start": 5, "usage_end": 2}))
    ),
    "another unit of a tag": rate("tag_rates.tag_values.unit", tagged(tag(unit="EUR"))),
    "two defaults": rate("tag_rates.tag_values", tagged(tag("a", default=True), tag("b", default=True))),
    "no default": rate("tag_rates.tag_values.default", tagged(without(tag(), "default"))),
    "default is a text": rate("tag_rates.tag_values.default", tagged(tag(default="true"))),
    "long description of a tag": rate("tag_rates.tag_values.description", tagged(tag(description="d" * 501))),
    "a tag key twice": rate("tag_rates", tagged(tag("a")), tagged(tag("b"))),
    "long custom name": rate("custom_name", tiered(custom_name="n" * 51)),
    "custom name is a list": rate("custom_name", tiered(custom_name=["n"])),
    "repeated custom names": rate("custom_name", tiered(custom_name="n"), tagged(custom_name="n")),
    "long description of a rate": rate("description", tiered(description="d" * 501)),
    **{f"tier of {name}": rate("tiered_rates.value", tiered(tier(value))) for name, value in NO_NUMBERS.items()},
    **{
        f"tag of {name}": rate("tag_rates.tag_values.value", tagged(tag(price=value)))
        for name, value in NO_NUMBERS.items()
    },
}
"""What is said → the field that the answer names, and the changes to a body that is valid."""
MODELS = {
    "no name": ("name", {"name": None}),
    "long name": ("name", {"name": "n" * 101}),
    "name is a number": ("name", {"name": 5}),
    "name with a null character": ("name", {"name": "a\0b"}),
    "long description": ("description", {"description": "d" * 501}),
    "description is a list": ("description", {"description": []}),
    "no source type": ("source_type", {"source_type": None}),
    "unknown source type": ("source_type", {"source_type": "Oracle"}),
    "source type is a list": ("source_type", {"source_type": ["OCP"]}),
    "displayed source type": ("source_type", {"source_type": "OpenShift Container Platform"}),
    "unknown currency": ("currency", {"currency": "XXX"}),
    "currency is a number": ("currency", {"currency": 5}),
    "currency in small letters": ("currency", {"currency": "usd"}),
    "unknown distribution": ("distribution", {"distribution": "disk"}),
    "distribution is a list": ("distribution", {"distribution": ["cpu"]}),
    "distribution_info is a text": ("distribution_info", {"distribution_info": "cpu"}),
    "distribution_info is a list": ("distribution_info", {"distribution_info": []}),
    "unknown distribution type": (
        "distribution_info.distribution_type",
        {"distribution_info": {"distribution_type": "disk"}},
    ),
    "unknown switch": ("distribution_info", {"distribution_info": {"moon_cost": True}}),
    "switch is a text": ("distribution_info.worker_cost", {"distribution_info": {"worker_cost": "yes"}}),
    "switch is a number": ("distribution_info.gpu_unallocated", {"distribution_info": {"gpu_unallocated": 1}}),
    "markup is a number": ("markup", {"markup": 10}),
    "markup is a list": ("markup", {"markup": [10, "percent"]}),
    "unknown unit of markup": ("markup.unit", {"markup": {"value": 10, "unit": "per mille"}}),
    "no value of markup": ("markup.value", {"markup": {"unit": "percent"}}),
    **{
        f"markup of {name}": ("markup.value", {"markup": {"value": value, "unit": "percent"}})
        for name, value in NO_NUMBERS.items()
    },
    "sources are a text": ("source_uuids", {"source_uuids": UNKNOWN}),
    "a source is a number": ("source_uuids", {"source_uuids": [5]}),
    "a source is no UUID": ("source_uuids", {"source_uuids": ["prod"]}),
    "unknown source": ("source_uuids", {"source_uuids": [UNKNOWN]}),
    "source of another type": ("source_uuids", {"source_uuids": [str(AWS)]}),
    "price lists are an object": ("price_list_uuids", {"price_list_uuids": {}}),
    "unknown price list": ("price_list_uuids", {"price_list_uuids": [UNKNOWN]}),
    "a price list twice": ("price_list_uuids", {"price_list_uuids": [UNKNOWN, UNKNOWN.upper()]}),
}
LISTS = {
    "blank name of a list": ("name", {"name": "  "}),
    "long name of a list": ("name", {"name": "n" * 256}),
    "unknown currency of a list": ("currency", {"currency": "XXX"}),
    "start is no day": ("effective_start_date", {"effective_start_date": "soon"}),
    "start is a number": ("effective_start_date", {"effective_start_date": 20260101}),
    "start within a month": ("effective_start_date", {"effective_start_date": "2026-01-02"}),
    "end is no day": ("effective_end_date", {"effective_end_date": "2026-02-30"}),
    "end within a month": ("effective_end_date", {"effective_end_date": "2026-12-30"}),
    "end before start": ("effective_end_date", {"effective_end_date": "2025-12-31"}),
    "enabled is a text": ("enabled", {"enabled": "yes"}),
}
NOT_JSON = {
    "nothing": b"",
    "half an object": b'{"name": "x"',
    "comma at the end": b'{"name": "x",}',
    "null": b"null",
    "a list": b"[]",
    "a text": b'"model"',
    "not UTF-8": b'{"name": "\xff"}',
    "NaN": b'{"markup": {"value": NaN}}',
    "Infinity": b'{"markup": {"value": Infinity}}',
    "a key twice": b'{"name": "a", "name": "b"}',
    "deeply nested": b"[" * 100_000 + b"]" * 100_000,
}
HUGE_NUMBERS = {
    "1e400": b"1e400",
    "1e-400": b"1e-400",
    "exponent of nine digits": b"1e999999999",
    "4000 digits": b"1" * 4000,
    "4000 decimals": b"0." + b"1" * 4000,
}


def refused(house: House, method: str, path: str, body: Any) -> list[Json]:
    """The errors of an answer that changed nothing."""
    before = house.state()
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    answer = house.http.request(method, f"{API}/{path}", content=content)
    assert answer.status_code == 400, answer.text
    assert house.state() == before
    errors: list[Json] = answer.json()["errors"]
    assert all(error["status"] == 400 and error["detail"] and len(error["detail"]) < 500 for error in errors)
    return errors


def fields(errors: list[Json]) -> set[str]:
    return {error["source"] for error in errors}


@pytest.mark.parametrize("case", [*RATES, *MODELS])
def test_a_bad_cost_model_changes_nothing(house: House, case: str) -> None:
    field, changes = {**RATES, **MODELS}[case]
    assert field in fields(refused(house, "POST", "cost-models/", model(**changes)))
    assert field in fields(refused(house, "PUT", f"cost-models/{house.model['uuid']}/", model(**changes)))


@pytest.mark.parametrize("case", [*RATES, *LISTS])
def test_a_bad_price_list_changes_nothing(house: House, case: str) -> None:
    field, changes = {**RATES, **LISTS}[case]
    assert field in fields(refused(house, "POST", "price-lists/", price_list(**changes)))
    assert field in fields(refused(house, "PUT", f"price-lists/{house.other_list['uuid']}/", changes))


@pytest.mark.parametrize("name", ["name", "description", "source_type"])
def test_what_a_new_cost_model_needs(house: House, name: str) -> None:
    assert fields(refused(house, "POST", "cost-models/", without(model(), name))) == {name}


@pytest.mark.parametrize("name", ["name", "effective_start_date", "effective_end_date"])
def test_what_a_new_price_list_needs(house: House, name: str) -> None:
    assert fields(refused(house, "POST", "price-lists/", without(price_list(), name))) == {name}


@pytest.mark.parametrize("case", NOT_JSON)
def test_what_is_no_json_object_changes_nothing(house: House, case: str) -> None:
    for method, path in (
        ("POST", "cost-models/"),
        ("POST", "cost-models/preview/"),
        ("PUT", f"cost-models/{house.model['uuid']}/"),
        ("POST", "price-lists/"),
        ("PUT", f"price-lists/{house.other_list['uuid']}/"),
    ):
        assert fields(refused(house, method, path, NOT_JSON[case])) == {"detail"}


@pytest.mark.parametrize("case", HUGE_NUMBERS)
def test_numbers_that_no_column_holds_change_nothing(house: House, case: str) -> None:
    for place, field in (
        (tiered(tier("HERE")), "rates.tiered_rates.value"),
        (tiered(tier(start="HERE")), "rates.tiered_rates.usage.usage_start"),
        (tagged(tag(price="HERE")), "rates.tag_rates.tag_values.value"),
    ):
        body = orjson.dumps(model(rates=[place])).replace(b'"HERE"', HUGE_NUMBERS[case])
        assert fields(refused(house, "POST", "cost-models/", body)) <= {field, "detail"}


@pytest.mark.parametrize("case", ["10 MB of spaces", "10 MB of rates", "one byte too many"])
def test_a_huge_body_changes_nothing(house: House, case: str) -> None:
    many = orjson.dumps(model(rates=[tiered()] * (10 * MEBIBYTE // len(orjson.dumps(tiered())))))
    body = {
        "10 MB of spaces": b" " * 10 * MEBIBYTE,
        "10 MB of rates": many,
        "one byte too many": b" " * MEBIBYTE + b"x",
    }
    for method, path in (("POST", "cost-models/"), ("PUT", f"cost-models/{house.model['uuid']}/")):
        refused(house, method, path, body[case])


def test_a_source_has_one_cost_model(house: House) -> None:
    body = model(source_uuids=[house.taken_source], rates=[tiered()])
    own = house.model["source_uuids"]
    for method, path, given in (
        ("POST", "cost-models/", body),
        ("PUT", f"cost-models/{house.model['uuid']}/", body),
        ("PUT", f"cost-models/{house.model['uuid']}/", {**body, "source_uuids": [*own, house.taken_source]}),
    ):
        (error,) = refused(house, method, path, given)
        assert error["source"] == "cost-models"
        assert house.taken_source in error["detail"]
        assert "'prices'" in error["detail"]


def test_a_cost_model_of_a_cloud_has_no_rates_and_no_clusters(house: House) -> None:
    cluster = house.model["source_uuids"][0]
    for field, changes in (
        ("rates", {"rates": [tiered()]}),
        ("price_list_uuids", {"price_list_uuids": [house.other_list["uuid"]]}),
        ("source_uuids", {"source_uuids": [cluster]}),
    ):
        assert fields(refused(house, "POST", "cost-models/", model(source_type="AWS", **changes))) == {field}


def test_an_assigned_price_list_keeps_its_currency_and_stays(house: House) -> None:
    path = f"price-lists/{house.model['price_lists'][0]['uuid']}/"
    assert fields(refused(house, "PUT", path, {"currency": "EUR"})) == {"currency"}
    assert fields(refused(house, "DELETE", path, b"")) == {"price-lists"}


def test_every_problem_of_a_body_is_told_at_once(house: House) -> None:
    bad = model(name=5, currency="XXX", source_uuids=[UNKNOWN], markup={"value": "x"}, rates=[tiered(metric="x"), 7])
    told = fields(refused(house, "POST", "cost-models/", bad))
    assert told == {"name", "currency", "source_uuids", "markup.value", "rates", "rates.metric"}


def test_what_is_harmless_is_taken(house: House) -> None:
    """Fields nobody knows are ignored, a source named twice is one, tiers may come in any order."""
    tiers = [tier("2", start=5), tier("1", end="5.0")]
    body = model(rates=[tiered(*tiers)], created_timestamp="x", bogus={"deep": [1]}, source_uuids=[])
    made = house.http.post(f"{API}/cost-models/", json=body)
    assert made.status_code == 201, made.text
    assert "bogus" not in made.json()
    assert [found["value"] for found in made.json()["rates"][0]["tiered_rates"]] == ["1", "2"]

    twice = house.model["source_uuids"] * 2
    changed = house.http.put(f"{API}/cost-models/{house.model['uuid']}/", json=model(source_uuids=twice))
    assert changed.status_code == 200, changed.text
    assert changed.json()["source_uuids"] == house.model["source_uuids"]


def test_a_price_list_has_one_place(house: House) -> None:
    twice = [house.other_list["uuid"]] * 2
    (error,) = refused(house, "PUT", f"cost-models/{house.model['uuid']}/", model(price_list_uuids=twice))
    assert error["source"] == "price_list_uuids"
    assert "2 times" in error["detail"]


def test_price_lists_may_overlap_and_the_first_leads(house: House) -> None:
    keys = [house.other_list["uuid"], house.http.post(f"{API}/price-lists/", json=price_list()).json()["uuid"]]
    made = house.http.post(f"{API}/cost-models/", json=model(price_list_uuids=keys))
    assert made.status_code == 201, made.text
    assert [(linked["uuid"], linked["priority"]) for linked in made.json()["price_lists"]] == [
        (keys[0], 1),
        (keys[1], 2),
    ]
