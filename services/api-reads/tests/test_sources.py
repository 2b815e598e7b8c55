"""Reading sources: write-api §5, with the read-only role of the gateway."""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import delete, insert, select
from starlette.applications import Starlette

from kura.api_reads.app import build_app, build_gateway
from kura.core.days import Month, today
from kura.core.identity import HeaderIdentity
from kura.store.database import Database
from kura.store.sources import OPENSHIFT
from kura.store.tables.shared import (
    CUSTOMER,
    FILE_DONE,
    FILE_PROCESSING,
    MANIFEST,
    MANIFEST_FILE,
    PROVIDER,
    PROVIDER_INFRASTRUCTURE_MAP,
    SOURCES,
)
from kura.store.tables.tenant import COST_MODEL, COST_MODEL_MAP
from kura.testing.gateways import ORG_ID, identity_header
from kura.testing.postgres import SCHEMA, DatabaseUrls

SOURCES_PATH = "/api/cost-management/v1/sources/"
SOURCES_API = "/api/sources/v1.0/"


@pytest.fixture
def database(module_database_urls: DatabaseUrls) -> Iterator[Database]:
    with Database(module_database_urls.writer) as opened:
        yield opened
        with opened.begin() as connection:
            connection.execute(delete(SOURCES))
            connection.execute(delete(PROVIDER))
            connection.execute(delete(CUSTOMER).where(CUSTOMER.c.org_id != ORG_ID))
        with opened.tenant(SCHEMA) as connection:
            connection.execute(delete(COST_MODEL))


@pytest.fixture
def app(database: Database, module_database_urls: DatabaseUrls) -> Iterator[Starlette]:
    with Database(module_database_urls.reader, read_only=True) as reader:
        yield build_app(gateway=build_gateway(reader=reader), identity=HeaderIdentity())


@pytest.fixture
async def http(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://kura", headers=identity_header()) as client:
        yield client


def add_source(
    database: Database, name: str, *, number: int, org_id: str = ORG_ID, linked: bool = True, **facts: Any
) -> UUID:
    key = uuid4()
    with database.begin() as connection:
        customer_id = connection.scalar(select(CUSTOMER.c.id).where(CUSTOMER.c.org_id == org_id))
        if customer_id is None:
            row = {"org_id": org_id, "schema_name": f"org{org_id}"}
            customer_id = connection.execute(insert(CUSTOMER).values(row).returning(CUSTOMER.c.id)).scalar_one()
        if linked:
            connection.execute(insert(PROVIDER).values(uuid=key, name=name, type="OCP", customer_id=customer_id))
        row = {
            "source_id": number,
            "source_uuid": key,
            "provider_id": key if linked else None,
            "name": name,
            "source_type": OPENSHIFT.code,
            "authentication": {"credentials": {"cluster_id": f"cluster-{number}"}},
            "org_id": org_id,
            **facts,
        }
        connection.execute(insert(SOURCES).values(row))
    return key


def add_manifest(database: Database, provider: UUID, *, month: Month, **facts: Any) -> int:
    row = {
        "assembly_id": str(uuid4()),
        "provider_id": provider,
        "billing_period_start_datetime": datetime(month.year, month.month, 1, tzinfo=UTC),
        "num_total_files": 2,
        **facts,
    }
    with database.begin() as connection:
        return int(connection.execute(insert(MANIFEST).values(row).returning(MANIFEST.c.id)).scalar_one())


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["data"]]


async def test_sources_are_listed_by_name_in_pages(http: httpx.AsyncClient, database: Database) -> None:
    for number, name in enumerate(("gamma", "alpha", "beta"), start=1):
        add_source(database, name, number=number)
    answer = await http.get(SOURCES_PATH, params={"limit": 2})
    assert names(answer) == ["alpha", "beta"]
    assert answer.json()["meta"] == {"count": 3, "limit": 2, "offset": 0}
    assert answer.json()["links"]["next"] == f"{SOURCES_PATH}?limit=2&offset=2"
    assert names(await http.get(answer.json()["links"]["next"])) == ["gamma"]
    for same in ("/api/cost-management/v1/sources", f"{SOURCES_API}sources", f"{SOURCES_API}sources/"):
        assert len(names(await http.get(same))) == 3
    assert (await http.get(SOURCES_PATH, params={"limit": 2000})).json()["meta"]["limit"] == 1000


async def test_sources_of_others_and_deleted_ones_are_not_there(http: httpx.AsyncClient, database: Database) -> None:
    add_source(database, "mine", number=1)
    foreign = add_source(database, "foreign", number=2, org_id="7654321")
    gone = add_source(database, "gone", number=3, pending_delete=True)
    assert names(await http.get(SOURCES_PATH)) == ["mine"]
    for key in ("2", str(foreign), "3", str(gone), "99", "x", "99999999999"):
        for path in (f"{SOURCES_PATH}{key}/", f"{SOURCES_PATH}{key}/stats/"):
            answer = await http.get(path)
            assert answer.status_code == 404  # S15
            assert answer.json()["errors"][0]["status"] == 404


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"name": "PROD"}, ["prod-eu", "prod-us"]),
        ({"filter[name]": "prod,eu"}, ["prod-eu"]),
        ({"name": "%"}, []),
        ({"name": "_"}, []),
        ({"name": ""}, ["prod-eu", "prod-us", "test"]),
        ({"type": "ocp"}, ["prod-eu", "prod-us", "test"]),
        ({"source_type": "AWS"}, []),
        ({"filter[source_type_id]": "1", "filter[source_ref]": "cluster-3"}, ["test"]),
        ({"source_type_id": "1", "name": "test"}, ["test"]),
        ({"source_type_id": "7"}, []),
        ({"source_ref": "cluster-1"}, ["prod-eu"]),
        ({"source_ref": "cluster"}, []),
        ({"name": "x\0y"}, None),
        ({"ordering": "-name", "bogus": "1"}, ["prod-eu", "prod-us", "test"]),
    ],
)
async def test_filters(
    http: httpx.AsyncClient, database: Database, query: Mapping[str, str], found: list[str] | None
) -> None:
    for number, name in enumerate(("prod-eu", "prod-us", "test"), start=1):
        add_source(database, name, number=number)
    answer = await http.get(SOURCES_PATH, params=query)
    if found is None:
        assert answer.status_code == 400  # S29
    else:
        assert names(answer) == found


async def test_a_source_with_data_tells_everything(http: httpx.AsyncClient, database: Database) -> None:
    key = add_source(database, "prod", number=7)
    this_month = Month.of(today())
    add_manifest(database, key, month=this_month.plus(-1), operator_version="costmanagement-metrics-operator:3.3.2")
    newest = add_manifest(
        database,
        key,
        month=this_month,
        operator_version="costmanagement-metrics-operator:4.0.0",
        operator_airgapped=True,
        operator_certified=True,
        creation_datetime=datetime(2100, 1, 2, 3, 4, 5, tzinfo=UTC),
        state={
            "download": {"start": "2025-01-01T00:00:00", "end": "2025-01-01T00:01:00"},
            "processing": {"start": "2025-01-01T00:01:00", "failed": "2025-01-01T00:02:00"},
            "summary": {"start": "2025-01-01T00:03:00"},
        },
    )
    assert newest
    with database.tenant(SCHEMA) as connection:
        model = connection.execute(
            insert(COST_MODEL)
            .values(uuid=uuid4(), name="on-prem", description="", source_type="OCP", rates={}, currency="USD")
            .returning(COST_MODEL.c.uuid)
        ).scalar_one()
        connection.execute(insert(COST_MODEL_MAP).values(provider_uuid=key, cost_model_id=model))

    for path in (f"{SOURCES_PATH}7/", f"{SOURCES_PATH}{key}/", f"/api/cost-management/v1/sources/{key}"):
        found = (await http.get(path)).json()
        assert found["id"] == "7"
        assert found["uuid"] == str(key)
        assert (found["source_type"], found["source_type_id"], found["source_ref"]) == ("OCP", "1", "cluster-7")
        assert found["authentication"] == {"credentials": {"cluster_id": "cluster-7"}}
        assert found["billing_source"] == {"data_source": {}}
        assert (found["active"], found["paused"], found["provider_linked"]) == (True, False, True)
        assert (found["current_month_data"], found["previous_month_data"], found["has_data"]) == (True, True, True)
        assert found["last_payload_received_at"] == "2100-01-02 03:04:05"
        assert found["last_polling_time"] is None
        assert found["status"] == {
            "download": {"state": "complete", "start": "2025-01-01T00:00:00", "end": "2025-01-01T00:01:00"},
            "processing": {"state": "failed", "start": "2025-01-01T00:01:00", "end": "2025-01-01T00:02:00"},
            "summary": {"state": "in-progress", "start": "2025-01-01T00:03:00", "end": None},
        }
        assert found["cost_models"] == [{"name": "on-prem", "uuid": str(model)}]
        assert found["infrastructure"] == {}
        assert found["additional_context"] == {
            "operator_version": "costmanagement-metrics-operator:4.0.0",
            "operator_airgapped": True,
            "operator_certified": True,
            "operator_update_available": True,
            "vm_cpu_core_cost_model_support": True,
        }


async def test_a_source_without_data_says_so(http: httpx.AsyncClient, database: Database) -> None:
    add_source(database, "prod", number=7)
    found = (await http.get(f"{SOURCES_PATH}7/")).json()
    assert found["status"] is None
    assert found["has_data"] is found["current_month_data"] is found["previous_month_data"] is False
    assert found["last_payload_received_at"] is None
    assert found["cost_models"] == []


async def test_a_source_without_provider_has_nothing_but_itself(http: httpx.AsyncClient, database: Database) -> None:
    add_source(database, "prod", number=7, linked=False)
    found = (await http.get(f"{SOURCES_PATH}7/")).json()
    assert found["created_timestamp"] is None
    for name in ("active", "provider_linked", "has_data", "last_polling_time", "last_payload_received_at"):
        assert found[name] is False
    assert found["status"] == found["infrastructure"] == found["additional_context"] == {}
    assert found["cost_models"] == []
    assert (await http.get(f"{SOURCES_PATH}7/stats/")).json()["provider_linked"] is False


async def test_secrets_are_never_shown(http: httpx.AsyncClient, database: Database) -> None:  # S51
    secret = {"credentials": {"cluster_id": "c", "client_secret": "planted-canary"}}
    add_source(database, "prod", number=7, authentication=secret)
    for path in (SOURCES_PATH, f"{SOURCES_PATH}7/"):
        assert "planted-canary" not in (await http.get(path)).text


async def test_the_cloud_a_cluster_runs_on_is_shown(http: httpx.AsyncClient, database: Database) -> None:
    cloud = add_source(database, "aws", number=8, source_type="AWS")
    cluster = add_source(database, "prod", number=7)
    with database.begin() as connection:
        mapping = connection.execute(
            insert(PROVIDER_INFRASTRUCTURE_MAP)
            .values(infrastructure_type="AWS", infrastructure_provider_id=cloud)
            .returning(PROVIDER_INFRASTRUCTURE_MAP.c.id)
        ).scalar_one()
        connection.execute(PROVIDER.update().where(PROVIDER.c.uuid == cluster).values(infrastructure_id=mapping))
    assert (await http.get(f"{SOURCES_PATH}7/")).json()["infrastructure"] == {
        "type": "AWS",
        "uuid": str(cloud),
        "id": "8",
        "last_polling_time": None,
        "paused": False,
        "source_status": {},
        "cloud_provider_state": {},
    }


async def test_stats_name_the_newest_three_manifests_of_every_month(
    http: httpx.AsyncClient, database: Database
) -> None:
    key = add_source(database, "prod", number=7)
    january = Month(2025, 1)
    ids = [
        add_manifest(database, key, month=january, creation_datetime=datetime(2025, 1, day, tzinfo=UTC))
        for day in (1, 2, 3, 4)
    ]
    add_manifest(database, key, month=january.plus(1))
    with database.begin() as connection:
        for name, status in (("a.csv", FILE_DONE), ("b.csv", FILE_PROCESSING)):
            started = datetime(2025, 1, 4, 5, 6, 7, tzinfo=UTC)
            row = {"manifest_id": ids[3], "report_name": name, "status": status, "started_datetime": started}
            connection.execute(insert(MANIFEST_FILE).values(row))

    stats = (await http.get(f"{SOURCES_PATH}7/stats/")).json()

    assert stats["provider_linked"] is True
    assert stats["ocp_on_cloud"] == []
    assert [len(stats[month]) for month in ("2025-01", "2025-02")] == [3, 1]
    newest = stats["2025-01"][0]
    assert newest["files_processed"] == "1/2"
    assert newest["billing_period_start"] == "2025-01-01"
    assert newest["process_start_date"] == "2025-01-04 05:06:07"
    assert newest["process_complete_date"] is newest["manifest_complete_date"] is None


# ------------------------------------------------------------------------------------------------- Sources API


async def test_types_need_no_identity(app: Starlette) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kura") as anyone:
        for prefix in (SOURCES_API, "/api/cost-management/v1/"):
            found = await anyone.get(f"{prefix}source_types", params={"filter[name]": "openshift"})
            assert found.json() == {"meta": {"count": 1}, "data": [{"id": "1", "name": "openshift"}]}
            assert (await anyone.get(f"{prefix}source_types")).json()["meta"]["count"] == 1
            assert (await anyone.get(f"{prefix}source_types?filter[name]=amazon")).json()["data"] == []
            cost = {"id": "0", "name": "/insights/platform/cost-management"}
            for query in ("filter[name]", "filter[name][eq]"):
                answer = await anyone.get(f"{prefix}application_types", params={query: cost["name"]})
                assert answer.json() == {"meta": {"count": 1}, "data": [cost]}
            other = await anyone.get(f"{prefix}application_types", params={"filter[name]": "/x"})
            assert other.json() == {"meta": {"count": 0}, "data": []}
            assert (await anyone.get(f"{prefix}sources")).status_code == 401
            assert (await anyone.get(f"{prefix}applications")).status_code == 401


async def test_every_source_has_one_application(http: httpx.AsyncClient, database: Database) -> None:
    add_source(database, "a", number=1)
    add_source(database, "b", number=2)
    path = f"{SOURCES_API}applications"
    assert (await http.get(path)).json() == {
        "meta": {"count": 2},
        "data": [
            {"id": "1", "source_id": "1", "application_type_id": "0"},
            {"id": "2", "source_id": "2", "application_type_id": "0"},
        ],
    }
    one = await http.get(path, params={"filter[source_id]": "2", "filter[application_type_id]": "0"})
    assert [item["source_id"] for item in one.json()["data"]] == ["2"]
    assert (await http.get(path, params={"filter[application_type_id]": "5"})).json()["meta"]["count"] == 0
    assert (await http.get(path, params={"filter[source_id]": "x"})).json()["meta"]["count"] == 0


@pytest.mark.parametrize(("source_id", "status"), [("1", 200), ("9", 404), ("x", 400), ("", 400)])
async def test_availability(http: httpx.AsyncClient, database: Database, source_id: str, status: int) -> None:
    add_source(database, "a", number=1)
    answer = await http.get("/api/cost-management/v1/source-status/", params={"source_id": source_id})
    assert answer.status_code == status
    if status == 200:
        assert answer.json() == {
            "source_id": "1",
            "availability_status": "available",
            "availability_status_error": "",
        }


# ------------------------------------------------------------------------------------------------- access


@pytest.mark.parametrize(
    ("access", "status"),
    [
        ({}, 403),
        ({"openshift.cluster": {"read": ("*",)}}, 403),
        ({"sources": {"read": ("1",)}}, 403),
        ({"sources": {"read": ("*",)}}, 200),
    ],
)
async def test_reading_sources_needs_the_right_to_all_of_them(
    http: httpx.AsyncClient, access: Any, status: int
) -> None:
    headers = identity_header(admin=False, access=access)
    assert (await http.get(SOURCES_PATH, headers=headers)).status_code == status


async def test_status_needs_no_identity(app: Starlette) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kura") as anyone:
        answer = await anyone.get("/api/cost-management/v1/status/")
    assert (answer.status_code, answer.json()) == (200, {"status": "OK"})
