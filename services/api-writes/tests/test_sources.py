"""Creating, changing and deleting sources: write-api §5, with the races of reliability §3.4."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import insert, select, text

from kura.store.database import Database
from kura.store.sources import find_cluster_source, lock_cluster
from kura.store.tables.shared import CUSTOMER, PROVIDER, SOURCES, UPLOAD
from kura.store.tenancy import tenant_schemas
from kura.testing.gateways import ORG_ID, Stored, identity_header

SOURCES_PATH = "/api/cost-management/v1/sources/"
CLUSTER = "7e2a4c5e-cluster"


def rows(database: Database, table: Any) -> list[dict[str, Any]]:
    with database.begin() as connection:
        return [dict(row._mapping) for row in connection.execute(select(table))]


def waiting_upload(database: Database, *, org_id: str = ORG_ID, cluster_id: str = CLUSTER, **facts: Any) -> int:
    row = {
        "request_id": "r",
        "org_id": org_id,
        "object_key": "payloads/x",
        "cluster_id": cluster_id,
        "state": "waiting",
        "reason_code": "unknown_cluster",
        "reason": "No source has this cluster.",
        **facts,
    }
    with database.begin() as connection:
        return connection.execute(insert(UPLOAD).values(row).returning(UPLOAD.c.id)).scalar_one()


async def created(http: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    given = {"name": "prod", "source_type": "OCP", "source_ref": CLUSTER, **body}
    answer = await http.post(SOURCES_PATH, json=given)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def asked_of_workers(stored: Stored) -> list[tuple[str, Mapping[str, Any]]]:
    """The tasks that were queued, without the partitions that a tenant's first source asks for."""
    return [(kind, payload) for kind, payload in stored.tasks() if kind != "EnsurePartitions"]


async def test_the_first_source_of_a_tenant_has_its_partitions_made(http: httpx.AsyncClient, stored: Stored):
    await created(http)
    await created(http, name="other", source_ref="another-cluster")

    assert stored.tasks() == [("EnsurePartitions", {"schemaName": f"org{ORG_ID}"})]


def problem(answer: httpx.Response) -> tuple[int, str]:
    (error,) = answer.json()["errors"]
    assert error["status"] == answer.status_code
    assert error["detail"]
    return answer.status_code, error["source"]


async def test_a_source_is_created_with_provider_customer_and_tenant(
    http: httpx.AsyncClient, database: Database
) -> None:
    source = await created(http)

    assert source["id"] == "1"
    assert source["source_type"] == "OCP"
    assert source["authentication"] == {"credentials": {"cluster_id": CLUSTER}}
    assert source["billing_source"] == {"data_source": {}}
    assert (source["source_ref"], source["source_type_id"], source["paused"]) == (CLUSTER, "1", False)
    assert source["updated_timestamp"].endswith("Z")

    (provider,) = rows(database, PROVIDER)
    assert provider["uuid"] == UUID(source["uuid"])
    assert (provider["name"], provider["type"], provider["active"]) == ("prod", "OCP", True)
    (customer,) = rows(database, CUSTOMER)
    assert (customer["org_id"], customer["account_id"]) == (ORG_ID, "7890123")
    assert customer["schema_name"] == f"org{ORG_ID}"
    with database.tenant(customer["schema_name"]) as connection:
        assert tenant_schemas(connection) == [f"org{ORG_ID}"]
        assert connection.scalar(text("select count(*) from reporting_ocpusagereportperiod")) == 0


@pytest.mark.parametrize("path", ["/api/cost-management/v1/sources", "/api/sources/v1.0/sources", SOURCES_PATH])
async def test_every_address_creates_sources(http: httpx.AsyncClient, path: str) -> None:
    body = {"source_type_id": "1", "name": CLUSTER, "source_ref": CLUSTER}  # what the operator sends
    answer = await http.post(path, json=body)
    assert (answer.status_code, answer.json()["id"]) == (201, "1")


@pytest.mark.parametrize(
    "body",
    [
        {"source_type": "ocp"},
        {"source_type_id": 1, "source_type": None},
        {"source_ref": None, "authentication": {"credentials": {"cluster_id": CLUSTER}}},
        {"billing_source": {"data_source": {}}},
        {"billing_source": {"data_source": None}, "authentication": None},
        {"paused": True},
        {"unknown": 1},
    ],
)
async def test_equivalent_requests_are_accepted(http: httpx.AsyncClient, body: dict[str, Any]) -> None:
    source = await created(http, **body)
    assert source["source_ref"] == CLUSTER
    assert source["paused"] is body.get("paused", False)


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"name": None}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 257}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": ["x"]}, "name"),
        ({"source_type": "openstack"}, "source_type"),
        ({"source_type": 1}, "source_type"),
        ({"source_type": "AWS"}, "source_type"),
        ({"source_type": None}, "source_type"),
        ({"source_type": None, "source_type_id": "9"}, "source_type_id"),
        ({"source_type": None, "source_type_id": "2"}, "source_type"),
        ({"source_ref": None}, "authentication.cluster_id"),
        ({"source_ref": ""}, "authentication.cluster_id"),
        ({"source_ref": 5}, "authentication.cluster_id"),
        ({"source_ref": "x" * 51}, "authentication.cluster_id"),
        ({"source_ref": "../x"}, "authentication.cluster_id"),
        ({"source_ref": "a\nb"}, "authentication.cluster_id"),
        ({"authentication": "x"}, "authentication"),
        ({"authentication": {"credentials": "x"}}, "authentication.credentials"),
        ({"billing_source": {"data_source": {"bucket": "b"}}}, "billing_source.bucket"),
        ({"billing_source": {"bucket": "b"}}, "billing_source.bucket"),
        ({"billing_source": "b"}, "billing_source"),
        ({"paused": "yes"}, "paused"),
    ],
)
async def test_a_broken_rule_is_named_and_nothing_is_made(
    http: httpx.AsyncClient, database: Database, body: dict[str, Any], key: str
) -> None:
    answer = await http.post(SOURCES_PATH, json={"name": "prod", "source_type": "OCP", "source_ref": CLUSTER, **body})
    assert problem(answer) == (400, key)
    assert rows(database, SOURCES) == []
    assert rows(database, CUSTOMER) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"[" * 100_000, b'{"name": NaN}', b"\xff"])
async def test_a_body_that_is_no_object_is_answered_400(http: httpx.AsyncClient, content: bytes) -> None:  # S28
    assert (await http.post(SOURCES_PATH, content=content)).status_code == 400


async def test_a_huge_body_is_refused(http: httpx.AsyncClient) -> None:  # S28
    assert (await http.post(SOURCES_PATH, content=b"[" + b"1," * 2_000_000)).status_code == 400


async def test_the_same_cluster_twice_is_a_duplicate(http: httpx.AsyncClient) -> None:
    await created(http)
    again = await http.post(SOURCES_PATH, json={"name": "other", "source_type": "OCP", "source_ref": CLUSTER})
    assert problem(again) == (400, "source.duplicate")


async def test_ids_go_up_and_two_organisations_may_name_the_same_cluster(
    http: httpx.AsyncClient, database: Database
) -> None:
    await created(http)
    answer = await http.post(
        SOURCES_PATH,
        json={"name": "x", "source_type": "OCP", "source_ref": CLUSTER},
        headers=identity_header("7654321"),
    )
    assert answer.json()["id"] == "2"
    with database.begin() as connection:
        assert tenant_schemas(connection) == ["org1234567", "org7654321"]
    accounts = {row["org_id"]: row["account_id"] for row in rows(database, CUSTOMER)}
    assert accounts == {ORG_ID: "7890123", "7654321": None}  # an account belongs to one organisation


async def test_many_first_sources_at_the_same_moment_make_one_tenant(
    http: httpx.AsyncClient, database: Database
) -> None:  # F51
    bodies = [{"name": f"c{n}", "source_type": "OCP", "source_ref": f"cluster-{n}"} for n in range(6)]
    answers = await asyncio.gather(*(http.post(SOURCES_PATH, json=body) for body in bodies))
    assert [answer.status_code for answer in answers] == [201] * 6
    assert sorted(answer.json()["id"] for answer in answers) == ["1", "2", "3", "4", "5", "6"]
    with database.begin() as connection:
        assert tenant_schemas(connection) == [f"org{ORG_ID}"]
    assert len(rows(database, CUSTOMER)) == 1


async def test_the_same_source_created_twice_at_the_same_moment_is_made_once(
    http: httpx.AsyncClient, database: Database
) -> None:
    body = {"name": "prod", "source_type": "OCP", "source_ref": CLUSTER}
    answers = await asyncio.gather(*(http.post(SOURCES_PATH, json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]
    assert len(rows(database, SOURCES)) == 1


# ------------------------------------------------------------------------------------------------- waiting uploads


async def test_creating_a_source_queues_the_uploads_that_waited_for_it(
    http: httpx.AsyncClient, database: Database, stored: Stored
) -> None:
    first, second = waiting_upload(database), waiting_upload(database)
    other = waiting_upload(database, cluster_id="other")
    incomplete = waiting_upload(database, reason_code="incomplete_manifest")

    await created(http)

    states = {row["id"]: (row["state"], row["reason_code"]) for row in stored.uploads()}
    assert states[first] == states[second] == ("accepted", None)
    assert states[other] == ("waiting", "unknown_cluster")
    assert states[incomplete] == ("waiting", "incomplete_manifest")
    assert sorted(payload["uploadId"] for _, payload in asked_of_workers(stored)) == [str(first), str(second)]


async def test_uploads_of_another_organisation_never_attach(
    http: httpx.AsyncClient, database: Database, stored: Stored
) -> None:  # S19
    foreign = waiting_upload(database, org_id="7654321")
    await created(http)
    assert stored.uploads()[0]["id"] == foreign
    assert stored.uploads()[0]["state"] == "waiting"
    assert asked_of_workers(stored) == []
    with database.begin() as connection:
        assert find_cluster_source(connection, org_id="7654321", cluster_id=CLUSTER) is None


async def test_an_upload_cannot_slip_between_look_up_and_registration(
    http: httpx.AsyncClient, database: Database, stored: Stored
) -> None:
    """Ingestion decides under the cluster's lock that the upload must wait; the source is being made meanwhile."""
    upload = waiting_upload(database, state="processing", reason_code=None)
    locked, looked = threading.Event(), threading.Event()

    def ingest() -> None:
        with database.begin() as connection:
            lock_cluster(connection, org_id=ORG_ID, cluster_id=CLUSTER)
            locked.set()
            assert find_cluster_source(connection, org_id=ORG_ID, cluster_id=CLUSTER) is None
            looked.wait(1)
            connection.execute(
                UPLOAD.update().where(UPLOAD.c.id == upload).values(state="waiting", reason_code="unknown_cluster")
            )

    ingesting = asyncio.create_task(asyncio.to_thread(ingest))
    await asyncio.to_thread(locked.wait, 5)
    creating = asyncio.create_task(created(http))
    await asyncio.sleep(0.2)
    assert not creating.done()
    looked.set()
    await asyncio.gather(ingesting, creating)

    assert stored.uploads()[0]["state"] == "accepted"
    assert asked_of_workers(stored) == [("IngestPayload", {"uploadId": str(upload)})]


# ------------------------------------------------------------------------------------------------- change


async def test_renaming_changes_source_and_provider(http: httpx.AsyncClient, database: Database) -> None:
    source = await created(http)
    for key in (source["id"], source["uuid"]):
        answer = await http.patch(f"{SOURCES_PATH}{key}/", json={"name": f"new {key}"})
        assert (answer.status_code, answer.json()["name"]) == (200, f"new {key}")
        assert rows(database, PROVIDER)[0]["name"] == f"new {key}"
    assert answer.json()["updated_timestamp"] > source["updated_timestamp"]


async def test_pausing_and_resuming_reaches_the_provider(http: httpx.AsyncClient, database: Database) -> None:
    source = await created(http)
    for paused in (True, False):
        answer = await http.patch(f"/api/cost-management/v1/sources/{source['id']}", json={"paused": paused})
        assert answer.json()["paused"] is paused
        assert rows(database, PROVIDER)[0]["paused"] is paused


async def test_another_cluster_id_is_checked_and_its_waiting_uploads_go_on(
    http: httpx.AsyncClient, database: Database, stored: Stored
) -> None:
    source = await created(http)
    waiting_upload(database, cluster_id="moved")
    answer = await http.patch(f"{SOURCES_PATH}{source['id']}/", json={"source_ref": "moved"})
    assert answer.json()["authentication"] == {"credentials": {"cluster_id": "moved"}}
    assert stored.uploads()[0]["state"] == "accepted"
    with database.begin() as connection:
        found = connection.scalar(text("select credentials from api_providerauthentication order by id desc limit 1"))
    assert found == {"cluster_id": "moved"}


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"source_ref": "taken"}, "source.duplicate"),
        ({"source_ref": ""}, "authentication.cluster_id"),
        ({"authentication": {"credentials": {}}}, "authentication.cluster_id"),
        ({"billing_source": {"bucket": "b"}}, "billing_source.bucket"),
    ],
)
async def test_bad_credentials_make_the_provider_inactive_but_pausing_holds(
    http: httpx.AsyncClient, database: Database, body: dict[str, Any], key: str
) -> None:
    await created(http, name="other", source_ref="taken")
    source = await created(http)

    answer = await http.patch(f"{SOURCES_PATH}{source['id']}/", json={**body, "paused": True, "name": "no"})

    assert problem(answer) == (400, key)
    provider = next(row for row in rows(database, PROVIDER) if str(row["uuid"]) == source["uuid"])
    assert (provider["active"], provider["paused"], provider["name"]) == (False, True, "prod")

    repaired = await http.patch(f"{SOURCES_PATH}{source['id']}/", json={"source_ref": CLUSTER})
    assert repaired.status_code == 200
    provider = next(row for row in rows(database, PROVIDER) if str(row["uuid"]) == source["uuid"])
    assert provider["active"] is True


@pytest.mark.parametrize("body", [{"name": ""}, {"name": None}, {"paused": "x"}, {"paused": None}])
async def test_a_change_of_the_wrong_shape_changes_nothing(http: httpx.AsyncClient, body: dict[str, Any]) -> None:
    source = await created(http)
    answer = await http.patch(f"{SOURCES_PATH}{source['id']}/", json=body)
    assert problem(answer) == (400, next(iter(body)))


# ------------------------------------------------------------------------------------------------- delete


async def test_a_deleted_source_is_gone_at_once_and_its_data_follows(
    http: httpx.AsyncClient, database: Database, stored: Stored
) -> None:
    source = await created(http)
    answer = await http.delete(f"{SOURCES_PATH}{source['id']}/")

    assert (answer.status_code, answer.content) == (204, b"")
    with database.begin() as connection:
        assert find_cluster_source(connection, org_id=ORG_ID, cluster_id=CLUSTER) is None
    assert rows(database, PROVIDER)[0]["active"] is False
    assert asked_of_workers(stored) == [
        ("DeleteSourceData", {"schemaName": f"org{ORG_ID}", "providerUuid": source["uuid"]}),
    ]
    assert (await http.delete(f"{SOURCES_PATH}{source['id']}/")).status_code == 404
    assert (await http.patch(f"{SOURCES_PATH}{source['id']}/", json={"name": "x"})).status_code == 404
    again = await created(http)
    assert again["uuid"] != source["uuid"]


@pytest.mark.parametrize(
    "key", ["99", "0", "-1", "99999999999", "1e3", "x", "%00", "00000000-0000-4000-8000-000000000000", "１"]
)
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_an_unknown_source_is_answered_404(http: httpx.AsyncClient, method: str, key: str) -> None:  # S29
    await created(http)
    answer = await http.request(method, f"{SOURCES_PATH}{key}/", json={"name": "x"})
    assert problem(answer) == (404, "detail")


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_source_of_another_organisation_does_not_exist(
    http: httpx.AsyncClient, database: Database, method: str
) -> None:  # S15
    source = await created(http)
    for key in (source["id"], source["uuid"]):
        answer = await http.request(
            method, f"{SOURCES_PATH}{key}/", json={"name": "x"}, headers=identity_header("7654321")
        )
        assert problem(answer) == (404, "detail")
    assert rows(database, SOURCES)[0]["name"] == "prod"


async def test_replacing_a_source_is_not_offered(http: httpx.AsyncClient) -> None:
    source = await created(http)
    assert (await http.put(f"{SOURCES_PATH}{source['id']}/", json={})).status_code == 405


# ------------------------------------------------------------------------------------------------- Sources API


@pytest.mark.parametrize("type_id", ["0", 0, None])
async def test_every_source_has_the_one_application(http: httpx.AsyncClient, type_id: Any) -> None:
    source = await created(http)
    body = {"source_id": source["id"], "application_type_id": type_id, "extra": {"x": 1}}
    answer = await http.post("/api/sources/v1.0/applications", json=body)
    assert answer.status_code == 201
    assert answer.json() == {"id": source["id"], "source_id": source["id"], "application_type_id": "0"}
    gone = await http.delete(f"/api/cost-management/v1/applications/{source['id']}")
    assert gone.status_code == 204


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"source_id": ""}, 400),
        ({"source_id": "1", "application_type_id": "5"}, 400),
        ({"source_id": "99", "application_type_id": "0"}, 404),
    ],
)
async def test_a_wrong_application_is_refused(http: httpx.AsyncClient, body: dict[str, Any], status: int) -> None:
    await created(http)
    answer = await http.post("/api/cost-management/v1/applications", json=body)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize(("source_id", "status"), [(1, 204), ("1", 204), ("99", 404), ("x", 400), (None, 400)])
async def test_a_status_check_can_be_asked_for(http: httpx.AsyncClient, source_id: Any, status: int) -> None:
    await created(http)
    answer = await http.post("/api/cost-management/v1/source-status/", json={"source_id": source_id})
    assert answer.status_code == status


# ------------------------------------------------------------------------------------------------- access


async def test_writing_sources_needs_the_right_to_all_of_them(app: Any) -> None:  # S14
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kura") as http:
        for access, status in (
            ({}, 403),
            ({"sources": {"read": ("*",)}}, 403),
            ({"sources": {"read": ("*",), "write": ("1",)}}, 403),
            ({"settings": {"write": ("*",)}}, 403),
            ({"sources": {"read": ("*",), "write": ("*",)}}, 201),
        ):
            answer = await http.post(
                SOURCES_PATH,
                json={"name": "prod", "source_type": "OCP", "source_ref": CLUSTER},
                headers=identity_header(admin=False, access=access),
            )
            assert answer.status_code == status


async def test_without_identity_nothing_is_written(app: Any, database: Database) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kura") as http:
        for method, path in (("POST", SOURCES_PATH), ("PATCH", f"{SOURCES_PATH}1/"), ("DELETE", f"{SOURCES_PATH}1/")):
            assert (await http.request(method, path, json={})).status_code == 401
            broken = await http.request(method, path, json={}, headers={"x-rh-identity": "%%%"})
            assert broken.status_code == 403
    assert rows(database, SOURCES) == []
