"""Whole answers of more than a hundred requests over HTTP against the plain reference (read-api §2–§4).

One data set; every value, label, order, echo and link is compared, numbers to 1e-9.
"""

import csv
import io
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any

import pytest
import report_rows
from reference.reports import Data, report_answer, report_table
from report_requests import REPORTS, random_request
from sqlalchemy import delete, insert

from kura.api_reads.app import build_app, build_gateway
from kura.core.identity import HeaderIdentity
from kura.store.database import Database
from kura.store.tables.tenant import COST_MODEL_MAP
from kura.testing.asking import Asker, restricted
from kura.testing.postgres import SCHEMA, DatabaseUrls
from kura.testing.summary_rows import TODAY

TOLERANCE = 1e-9
RANDOM_REQUESTS = 10
"""Random requests for each report."""

MONTH = "filter[time_scope_value]=-1"
MONTH_DAILY = "filter[resolution]=daily&filter[time_scope_units]=month&filter[time_scope_value]=-1"
BEFORE = "filter[time_scope_value]=-2"
QUARTER = "start_date=2024-03-25&end_date=2024-06-18"
QUARTER_MONTHLY = f"{QUARTER}&filter[resolution]=monthly"
DAY = "start_date=2024-06-10&end_date=2024-06-12"
PROJECT, NODE, CLUSTER = "group_by[project]=*", "group_by[node]=*", "group_by[cluster]=*"
APP = "group_by[tag:app]=*"
A100 = "filter[gpu_vendor]=nvidia&filter[gpu_model]=A100&filter[node]=n1"

REQUESTS = {
    "openshift/costs": [
        "",
        "limit=0",
        "limit=3&offset=4",
        "limit=2000&offset=-3",
        "limit=-1",
        "filter[resolution]=monthly",
        "filter[time_scope_units]=month",
        "filter[time_scope_value]=-30",
        "filter[time_scope_value]=-90&limit=20&offset=60",
        "filter[time_scope_value]=-3",
        MONTH_DAILY,
        QUARTER_MONTHLY,
        DAY,
        f"{MONTH}&{PROJECT}",
        f"{BEFORE}&{CLUSTER}",
        f"{DAY}&{NODE}",
        f"{MONTH}&{PROJECT}&filter[limit]=2",
        f"{MONTH_DAILY}&{PROJECT}&filter[limit]=3",
        f"{MONTH}&{PROJECT}&filter[limit]=2&filter[offset]=2",
        f"{MONTH}&{PROJECT}&filter[limit]=3&filter[offset]=90",
        f"{MONTH_DAILY}&{CLUSTER}&filter[limit]=2",
        f"{QUARTER}&{CLUSTER}&filter[limit]=1&limit=5",
        f"{MONTH}&{PROJECT}&filter[limit]=0",
        f"{MONTH}&{PROJECT}&category=Platform",
        f"{MONTH}&{PROJECT}&category=Platform,Apps&filter[limit]=2",
        f"{MONTH}&{PROJECT}&category=Apps&order_by[project]=asc",
        f"{MONTH}&{CLUSTER}&{NODE}",
        f"{MONTH}&{NODE}&{CLUSTER}",
        f"{MONTH}&{CLUSTER}&{PROJECT}&filter[limit]=3",
        f"{MONTH_DAILY}&{PROJECT}&{CLUSTER}&filter[limit]=2&order_by[distributed_cost]=asc",
        f"{BEFORE}&{CLUSTER}&{NODE}&{PROJECT}",
        f"{QUARTER_MONTHLY}&{CLUSTER}&{NODE}&{PROJECT}&filter[limit]=4",
        f"{DAY}&{CLUSTER}&{NODE}&{PROJECT}&filter[limit]=2&filter[offset]=1",
        f"{MONTH}&{APP}",
        f"{DAY}&{APP}&filter[limit]=1",
        f"{QUARTER}&group_by[tag:env]=*&limit=0",
        f"{QUARTER_MONTHLY}&{APP}&group_by[tag:env]=*",
        f"{MONTH}&{APP}&{PROJECT}&filter[limit]=2&filter[offset]=1",
        f"{MONTH}&group_by[tag:node]=*&{NODE}",
        f"{MONTH}&{APP}&order_by[tag:app]=asc",
        f"{MONTH}&group_by[persistentvolumeclaim]=*",
        f"{MONTH}&group_by[storageclass]=*&filter[limit]=1",
        f"{MONTH}&group_by[storageclass]=*&order_by[storage_class]=desc",
        f"{MONTH}&group_by[project]=web,db",
        f"{MONTH}&group_by[or:project]=web,kube",
        f"{MONTH}&group_by[exact:project]=web",
        f"{MONTH}&group_by[and:project]=e&filter[limit]=2",
        f"{MONTH}&{PROJECT}&filter[project]=S",
        f"{MONTH}&filter[project]=web&filter[node]=n1",
        f"{MONTH}&filter[exact:project]=web&filter[project]=db",
        f"{MONTH}&filter[and:project]=kube&filter[and:project]=sys&{NODE}",
        f"{MONTH}&filter[or:project]=web,db&filter[or:node]=n1,m1&{PROJECT}",
        f"{MONTH}&filter[cluster]=ALPHA",
        f"{MONTH}&filter[cluster]=*&{PROJECT}",
        f"{MONTH}&filter[tag:app]=shop&{APP}",
        f"{MONTH}&filter[exact:tag:app]=shop&{PROJECT}",
        f"{MONTH}&filter[and:tag:app]=shop&filter[and:tag:app]=db",
        f"{MONTH}&filter[tag:app]=*&filter[tag:env]=*",
        f"{MONTH}&filter[category]=plat&{PROJECT}",
        f"{MONTH}&filter[infrastructures]=aws&{PROJECT}",
        f"{MONTH}&filter[infrastructures]=gcp",
        f"{MONTH}&filter[persistentvolumeclaim]=pvc-1&{CLUSTER}",
        f"{MONTH}&exclude[project]=web,db&{PROJECT}",
        f"{MONTH}&exclude[exact:project]=kube-system&{PROJECT}&filter[limit]=1",
        f"{MONTH}&exclude[and:project]=kube&exclude[and:project]=sys",
        f"{MONTH}&exclude[cluster]=alpha",
        f"{MONTH}&exclude[tag:app]=shop&{APP}",
        f"{MONTH}&exclude[exact:tag:app]=shop&{APP}",
        f"{MONTH}&exclude[tag:app]=*",
        f"{MONTH}&exclude[category]=Platform&{PROJECT}",
        f"{MONTH}&exclude[infrastructures]=aws",
        f"{MONTH}&{PROJECT}&order_by[cost]=asc",
        f"{MONTH}&{PROJECT}&order_by[project]=desc",
        f"{MONTH}&{PROJECT}&order_by[supplementary]=desc&order_by[project]=asc",
        f"{MONTH}&{PROJECT}&order_by[infrastructure_cost]=asc&filter[limit]=2",
        f"{MONTH}&{PROJECT}&order_by[project]=asc&filter[limit]=3&filter[offset]=2",
        f"{MONTH}&{NODE}&order_by[node]=asc",
        f"{DAY}&{PROJECT}&order_by[date]=2024-06-11",
        f"{DAY}&{CLUSTER}&order_by[date]=2024-06-01&filter[limit]=2",
        f"{QUARTER_MONTHLY}&{CLUSTER}&{PROJECT}&order_by[date]=2024-06-10&filter[limit]=4",
        f"{QUARTER_MONTHLY}&currency=JPY&{CLUSTER}&{NODE}&{PROJECT}&filter[limit]=4",
        f"{QUARTER_MONTHLY}&currency=SEK&{CLUSTER}&{NODE}&{PROJECT}&filter[limit]=4",
        f"{QUARTER}&currency=JPY&{CLUSTER}&{NODE}&{PROJECT}&filter[limit]=2&limit=9&offset=60",
        f"{MONTH_DAILY}&currency=JPY&{CLUSTER}&{NODE}&{PROJECT}&filter[limit]=3&order_by[node]=asc&delta=cost",
        f"{MONTH}&currency=JPY&{PROJECT}&{NODE}&filter[limit]=2&filter[offset]=3&order_by[distributed_cost]=desc",
        f"{BEFORE}&currency=JPY&{PROJECT}&{NODE}&filter[limit]=2&delta=cost",
        f"{QUARTER}&currency=CHF&limit=0",
        f"{QUARTER_MONTHLY}&currency=CHF&{CLUSTER}",
        f"{QUARTER_MONTHLY}&currency=CHF&{CLUSTER}&{NODE}&{PROJECT}&filter[limit]=4",
        f"{QUARTER_MONTHLY}&currency=CHF&{PROJECT}&order_by[distributed_cost]=desc",
        f"{MONTH}&currency=CHF&{PROJECT}&filter[limit]=2&filter[offset]=1&order_by[distributed_cost]=asc",
        f"{MONTH}&currency=CHF&delta=cost&{PROJECT}&filter[limit]=2&order_by[delta]=asc",
        f"{BEFORE}&currency=CHF&{APP}&delta=cost",
        f"filter[time_scope_value]=-30&currency=CHF&delta=distributed_cost&{PROJECT}",
        f"{MONTH}&delta=cost",
        f"{MONTH_DAILY}&delta=cost&{CLUSTER}",
        f"{MONTH}&delta=cost&{PROJECT}&filter[limit]=2&order_by[delta]=asc",
        f"{MONTH}&delta=distributed_cost&{PROJECT}&filter[limit]=10&filter[offset]=0&order_by[distributed_cost]=desc",
        f"filter[time_scope_value]=-10&delta=cost&{APP}",
        f"filter[time_scope_value]=-30&delta=cost_total&{PROJECT}&order_by[delta]=desc",
        f"{BEFORE}&delta=cost&{CLUSTER}&{NODE}&{PROJECT}&filter[limit]=3",
        f"{BEFORE}&delta=cost&{APP}&filter[limit]=1",
        "filter[time_scope_value]=-30&filter[resolution]=monthly&delta=cost",
        f"{MONTH}&currency=EUR&{PROJECT}",
        f"{MONTH}&currency=eur&{APP}&filter[limit]=1",
        f"{QUARTER_MONTHLY}&currency=EUR&{CLUSTER}&{NODE}&{PROJECT}&filter[limit]=2",
        "start_date=2024-04-02&end_date=2024-04-02",
        f"start_date=2024-04-02&end_date=2024-04-02&{PROJECT}",
        f"{MONTH_DAILY}&{PROJECT}&delta=cost&filter[limit]=3&filter[offset]=90",
        f"{MONTH}&{PROJECT}&filter[limit]=0&filter[offset]=1",
        f"{QUARTER_MONTHLY}&currency=GBP&{CLUSTER}&{NODE}&{PROJECT}&filter[limit]=4",
        f"{QUARTER}&currency=GBP&{CLUSTER}&{NODE}&{PROJECT}&filter[limit]=2&limit=9&offset=60",
        f"{MONTH_DAILY}&currency=GBP&{CLUSTER}&{NODE}&{PROJECT}&filter[limit]=3&order_by[node]=asc&delta=cost",
        f"{MONTH}&currency=GBP&{PROJECT}&{NODE}&filter[limit]=2&filter[offset]=3&order_by[distributed_cost]=desc",
        f"{BEFORE}&currency=GBP&{APP}&filter[limit]=1&delta=cost",
        f"{MONTH}&currency=GBP&{PROJECT}&filter[category]=apps&filter[limit]=1",
        f"{MONTH}&currency=GBP&{PROJECT}&{NODE}&category=Platform&filter[limit]=2",
        f"{MONTH}&currency=GBP&{NODE}&{PROJECT}&filter[limit]=3&filter[offset]=1&order_by[node]=desc",
        f"{MONTH}&{CLUSTER}&{PROJECT}&filter[tag:env]=prod&currency=GBP&filter[limit]=2&exclude[node]=n2",
    ],
    "openshift/compute": [
        "",
        MONTH,
        f"{MONTH_DAILY}&{CLUSTER}",
        f"{MONTH}&{NODE}",
        f"{MONTH}&{CLUSTER}&{NODE}&filter[limit]=2",
        f"{MONTH}&{PROJECT}&filter[limit]=2",
        f"{QUARTER_MONTHLY}&{PROJECT}&filter[limit]=2&filter[offset]=1",
        f"{DAY}&{APP}",
        f"{MONTH}&{NODE}&filter[limit]=1",
        f"{MONTH}&{CLUSTER}&filter[limit]=10&filter[offset]=0&order_by[usage_efficiency]=desc",
        f"{MONTH}&{PROJECT}&order_by[wasted_cost]=desc",
        f"{MONTH}&{PROJECT}&order_by[request]=asc&filter[limit]=2",
        f"{MONTH}&delta=usage&{CLUSTER}&filter[limit]=1",
        f"{MONTH}&delta=usage__request&{NODE}&order_by[delta]=asc",
        f"{MONTH}&delta=usage__capacity&{CLUSTER}",
        f"{MONTH}&delta=distributed_cost&{PROJECT}",
        f"{MONTH}&filter[project]=web&{CLUSTER}",
        f"{MONTH}&filter[tag:app]=shop",
        f"{MONTH}&exclude[node]=n1",
        f"{MONTH}&currency=EUR&{PROJECT}&category=Platform",
        "start_date=2024-04-02&end_date=2024-04-02",
    ],
    "openshift/memory": [
        MONTH,
        f"{MONTH}&{PROJECT}&order_by[cost]=desc&filter[limit]=3",
        f"{QUARTER}&{NODE}&filter[limit]=2&limit=4",
        f"{MONTH}&{CLUSTER}&{NODE}&{PROJECT}&filter[limit]=3",
    ],
    "openshift/volumes": [
        MONTH,
        f"{DAY}&group_by[persistentvolumeclaim]=*",
        f"{MONTH}&{PROJECT}&filter[limit]=2",
        f"{MONTH}&{NODE}",
        f"{MONTH}&group_by[storageclass]=*&order_by[storage_class]=asc",
        f"{MONTH_DAILY}&group_by[tag:disk]=*",
        f"{MONTH}&delta=request&{CLUSTER}",
        f"{MONTH}&group_by[persistentvolumeclaim]=*&order_by[persistentvolumeclaim]=desc&limit=2",
        f"{MONTH}&group_by[persistentvolumeclaim]=*&filter[limit]=1&filter[offset]=1&order_by[storage_class]=asc",
        f"{MONTH}&{PROJECT}&filter[project]=unallocated a+b&filter[limit]=1",
    ],
    "openshift/network": [
        MONTH,
        f"{MONTH_DAILY}&{CLUSTER}",
        f"{MONTH}&{NODE}&filter[limit]=1",
        f"{MONTH}&{PROJECT}",
        f"{MONTH}&{CLUSTER}&{NODE}",
        f"{MONTH}&{CLUSTER}&{NODE}&filter[limit]=1",
        f"{MONTH}&{CLUSTER}&{NODE}&filter[limit]=1&currency=GBP",
        f"{BEFORE}&{CLUSTER}&{NODE}&filter[limit]=1&currency=CHF",
        f"{MONTH}&delta=cost&{CLUSTER}",
        f"{MONTH}&delta=usage",
    ],
    "openshift/gpu": [
        MONTH,
        "",
        f"{MONTH}&group_by[gpu_name]=*&filter[limit]=2",
        f"{MONTH_DAILY}&group_by[gpu_name]=*&filter[limit]=1&filter[offset]=1&order_by[gpu_memory]=asc",
        f"{MONTH}&{PROJECT}&order_by[gpu_count]=desc",
        f"{MONTH}&group_by[gpu_model]=*&filter[node]=n1&order_by[node]=asc",
        f"{MONTH}&{CLUSTER}&filter[limit]=3",
        f"{MONTH}&exclude[gpu_model]=A100&currency=EUR",
        f"{MONTH}&group_by[gpu_name]=*&filter[limit]=2&currency=CHF",
        f"{MONTH}&group_by[gpu_name]=*&filter[limit]=2&filter[offset]=0&order_by[gpu_vendor]=asc",
        f"{MONTH}&group_by[gpu_name]=*&filter[limit]=2&filter[offset]=1&order_by[gpu_mode]=desc",
        f"{MONTH}&group_by[gpu_name]=*&filter[limit]=1&filter[offset]=0&order_by[node]=desc",
    ],
    "openshift/gpu/mig_profiles": [
        f"{MONTH}&{A100}",
        f"{MONTH_DAILY}&{A100}&filter[limit]=1",
        f"{MONTH}&{A100}&filter[cluster]=alpha",
    ],
    "openshift/resources/virtual-machines": [
        "",
        "filter[time_scope_value]=-2",
        "filter[time_scope_value]=-1&currency=CHF",
        "limit=2&offset=1&order_by[vm_name]=desc",
        "order_by[request_cpu]=asc&filter[project]=web",
        "filter[tag:app]=shop&order_by[distributed_cost]=asc",
        "filter[vm_name]=nothing",
        "exclude[cluster]=alpha&currency=EUR&order_by[cluster]=asc",
    ],
}
PAIRS = [(path, query) for path, queries in REQUESTS.items() for query in queries]

BOB = {"cluster": ("alpha", "cl-b"), "project": ("web", "kube-system")}
ALICE = {"cluster": ("cl-c",), "node": ("c1",)}
RESTRICTED = [
    (path, query, access)
    for access in (BOB, ALICE)
    for path, query in (
        ("openshift/costs", MONTH),
        ("openshift/costs", f"{MONTH}&{PROJECT}&filter[limit]=1"),
        ("openshift/costs", f"{MONTH}&{APP}"),
        ("openshift/costs", f"{MONTH}&filter[or:cluster]=alpha,gamma"),
        ("openshift/compute", f"{MONTH}&{CLUSTER}"),
        ("openshift/volumes", f"{MONTH}&{CLUSTER}"),
    )
]

CSV = [
    f"{DAY}&{CLUSTER}",
    f"{MONTH}&{PROJECT}&limit=0",
    f"{MONTH_DAILY}&{APP}&limit=3&offset=2",
    f"{MONTH}&{PROJECT}&filter[limit]=2",
    f"{MONTH}&{CLUSTER}&{NODE}&currency=EUR",
    f"{QUARTER_MONTHLY}&{CLUSTER}&currency=CHF",
]


@pytest.fixture(scope="module")
def reader(module_database_urls: DatabaseUrls) -> Iterator[Database]:
    with Database(module_database_urls.writer) as writer, writer.tenant(SCHEMA) as connection:
        report_rows.load(connection)
    with Database(module_database_urls.reader) as opened:
        yield opened


@pytest.fixture(scope="module")
def tenant(reader: Database) -> tuple[Asker, Data]:
    with reader.tenant(SCHEMA) as connection:
        data = report_rows.read(connection)
    gateway = build_gateway(reader=reader, today=lambda: TODAY)
    return Asker(build_app(gateway=gateway, identity=HeaderIdentity())), data


def test_there_are_enough_requests():
    assert len(PAIRS) + len(RESTRICTED) + len(CSV) >= 150


@pytest.mark.parametrize(("path", "query"), PAIRS, ids=[f"{path}?{query}" for path, query in PAIRS])
async def test_an_answer_is_the_references(tenant: tuple[Asker, Data], path: str, query: str):
    ask, data = tenant
    assert differences(await ask(f"reports/{path}/?{query}"), report_answer(path, query, data)) == []


@pytest.mark.parametrize("path", REPORTS)
async def test_answers_to_random_requests_are_the_references(tenant: tuple[Asker, Data], path: str):
    ask, data = tenant
    dice = random.Random(path)
    for query in [random_request(dice, path) for _ in range(RANDOM_REQUESTS)]:
        assert differences(await ask(f"reports/{path}/?{query}"), report_answer(path, query, data), query) == []


@pytest.mark.parametrize("today", [date(2024, 6, 1), date(2024, 5, 31), date(2024, 12, 9)], ids=str)
async def test_answers_on_the_first_and_last_day_of_a_month_and_without_data_are_the_references(
    tenant: tuple[Asker, Data], reader: Database, today: date
):
    _, data = tenant
    ask = Asker(build_app(gateway=build_gateway(reader=reader, today=lambda: today), identity=HeaderIdentity()))
    dice = random.Random(today.isoformat())
    for path in REPORTS:
        query = random_request(dice, path, today=today)
        wanted = report_answer(path, query, replace(data, today=today))
        assert differences(await ask(f"reports/{path}/?{query}"), wanted, query) == []


async def test_answers_without_any_cost_model_are_the_references(
    tenant: tuple[Asker, Data], module_database_urls: DatabaseUrls
):
    ask, data = tenant
    with Database(module_database_urls.writer) as writer:
        with writer.tenant(SCHEMA) as connection:
            linked = [
                dict(row) for row in connection.execute(delete(COST_MODEL_MAP).returning(COST_MODEL_MAP)).mappings()
            ]
        dice = random.Random(3)
        for path in REPORTS:
            query = random_request(dice, path)
            wanted = report_answer(path, query, replace(data, model_currencies={}))
            assert differences(await ask(f"reports/{path}/?{query}"), wanted, query) == []
        with writer.tenant(SCHEMA) as connection:
            connection.execute(insert(COST_MODEL_MAP), linked)


@pytest.mark.parametrize(("path", "query", "access"), RESTRICTED)
async def test_an_answer_to_a_restricted_caller_is_the_references(
    tenant: tuple[Asker, Data], path: str, query: str, access: dict[str, tuple[str, ...]]
):
    ask, data = tenant
    caller = ask.as_(restricted({f"openshift.{key}": ids for key, ids in access.items()}))
    assert differences(await caller(f"reports/{path}/?{query}"), report_answer(path, query, data, access)) == []


@pytest.mark.parametrize("query", CSV)
async def test_a_csv_is_the_references(tenant: tuple[Asker, Data], query: str):
    ask, data = tenant
    text = await ask.csv(f"reports/openshift/costs/?{query}")
    reader = csv.DictReader(io.StringIO(text))
    found = [dict(row) for row in reader]
    wanted = report_table("openshift/costs", query, data)

    columns = {name for row in wanted for name in row} | {"base_currency", "exchange_rate"}
    assert list(reader.fieldnames or []) == sorted(columns)
    assert len(found) == len(wanted)
    for row, other in zip(found, wanted, strict=True):
        for name, value in other.items():
            if isinstance(value, Fraction):
                assert float(row[name]) == pytest.approx(float(value), rel=TOLERANCE, abs=TOLERANCE), name
            else:
                assert row[name] == ("" if value is None else str(value)), name


# -------------------------------------------------------------------------------------------------------- comparing


def differences(found: Any, wanted: Any, place: str = "") -> list[str]:
    """Where two JSON values differ; numbers may by 1e-9, storage of a machine has no order."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        names = [f"{place}: {name} is missing" for name in wanted if name not in found]
        names += [f"{place}: {name} is too much" for name in found if name not in wanted]
        shared = (name for name in wanted if name in found)
        return names + [text for name in shared for text in differences(found[name], wanted[name], f"{place}.{name}")]
    if isinstance(wanted, list) and isinstance(found, list):
        if place.endswith("storage"):
            found = sorted(found, key=lambda item: item["pvc_name"])
        if len(found) != len(wanted):
            return [f"{place}: {len(found)} items for {len(wanted)}"]
        pairs = enumerate(zip(found, wanted, strict=True))
        return [text for number, (one, other) in pairs for text in differences(one, other, f"{place}[{number}]")]
    if found is None or isinstance(found, (bool, str)) or isinstance(wanted, (bool, str)):
        return [] if found == wanted and type(found) is type(wanted) else [f"{place}: {found!r} for {wanted!r}"]
    close = wanted is not None and abs(float(found) - float(wanted)) <= TOLERANCE * max(1.0, abs(float(wanted)))
    return [] if close else [f"{place}: {found!r} for {wanted if wanted is None else float(wanted)!r}"]
