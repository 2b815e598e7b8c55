"""The exact requests of the operator and of the UI, one after the other, against both gateways (write-api §5.6)."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from kura.api_reads.app import build_app as build_reads
from kura.api_reads.app import build_gateway
from kura.api_writes.app import build_app as build_writes
from kura.core.identity import HeaderIdentity
from kura.single_pod.gateways import build_front
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.testing.gateways import identity_header

CLUSTER = "5e1f3a6c-64a9-4d3b-9d5e-0a4f6b1c2d3e"
SOURCES_API = "/api/sources/v1.0/"
API = "/api/cost-management/v1/"


@pytest.fixture
async def http(
    database: Database, reader_database: Database, object_store: ObjectStore
) -> AsyncIterator[httpx.AsyncClient]:
    async def ready() -> dict[str, str | None]:
        return {}

    identity = HeaderIdentity()
    front = build_front(
        reads=build_reads(gateway=build_gateway(reader=reader_database), identity=identity),
        writes=build_writes(database=database, objects=object_store, identity=identity),
        ready=ready,
    )
    transport = httpx.ASGITransport(front, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://kura", headers=identity_header()) as client:
        yield client


async def only(http: httpx.AsyncClient, path: str, query: dict[str, str]) -> dict[str, Any] | None:
    """As the operator reads a list: the item when `meta.count` is 1, nothing when it is 0."""
    answer = await http.get(SOURCES_API + path, params=query)
    assert answer.status_code == 200
    found = answer.json()
    assert found["meta"]["count"] in (0, 1)
    assert len(found["data"]) == found["meta"]["count"]
    return found["data"][0] if found["data"] else None


async def test_the_operator_registers_its_cluster_then_uploads(http: httpx.AsyncClient) -> None:
    source_type = await only(http, "source_types", {"filter[name]": "openshift"})
    application_type = await only(http, "application_types", {"filter[name]": "/insights/platform/cost-management"})
    assert source_type is not None
    assert application_type is not None
    by_reference = {"filter[source_type_id]": source_type["id"], "filter[source_ref]": CLUSTER}
    by_name = {"filter[source_type_id]": source_type["id"], "filter[name]": CLUSTER}
    both = {**by_reference, **by_name}
    for query in (by_reference, by_name, both):
        assert await only(http, "sources", query) is None

    body = {"source_type_id": source_type["id"], "name": CLUSTER, "source_ref": CLUSTER}
    created = await http.post(f"{SOURCES_API}sources", json=body)
    assert created.status_code == 201
    assert isinstance(created.json()["id"], str)
    body = {"source_id": created.json()["id"], "application_type_id": application_type["id"]}
    assert (await http.post(f"{SOURCES_API}applications", json=body)).status_code == 201

    for query in (by_reference, by_name, both):  # the next reconciliation
        found = await only(http, "sources", query)
        assert found is not None
        assert (found["id"], found["name"]) == (created.json()["id"], CLUSTER)
        assert (found["source_type_id"], found["source_ref"]) == (source_type["id"], CLUSTER)

    path = f"/tmp/costmanagement-metrics-operator-reports/upload/20250110T120000-{CLUSTER}.tar.gz"
    part = (path, b"archive", "application/vnd.redhat.hccm.tar+tgz")
    uploaded = await http.post(
        "/api/ingress/v1/upload",
        files={"file": part},
        headers={"user-agent": f"cost-mgmt-operator/0123abc cluster/{CLUSTER}"},
    )
    assert uploaded.status_code == 202
    request_id = uploaded.headers["x-rh-insights-request-id"]
    state = (await http.get(f"{API}uploads/{request_id}/")).json()
    assert state["state"] == "accepted"
    assert [task["type"] for task in state["tasks"]] == ["IngestPayload"]


async def test_the_ui_adds_lists_pauses_renames_and_removes_a_source(http: httpx.AsyncClient) -> None:
    assert (await http.get(f"{API}sources", params={"name": "prod"})).json()["meta"]["count"] == 0
    body = {
        "name": "prod",
        "source_type": "OCP",
        "authentication": {"credentials": {"cluster_id": CLUSTER}},
        "billing_source": {"data_source": {}},
        "source_ref": CLUSTER,
    }
    created = (await http.post(f"{API}sources", json=body)).json()
    body = {"source_id": created["id"], "application_type_id": 0, "extra": {"hcs": False}}
    assert (await http.post(f"{API}applications", json=body)).status_code == 201
    assert (await http.get(f"{API}sources", params={"name": "prod"})).json()["meta"]["count"] == 1

    listed = (await http.get(f"{API}sources/", params={"limit": "2000", "ordering": "name"})).json()
    assert listed["meta"] == {"count": 1, "limit": 1000, "offset": 0}
    (item,) = listed["data"]
    assert item.items() >= created.items()
    assert (item["active"], item["has_data"], item["status"]) == (True, False, None)

    for change in ({"paused": True}, {"paused": False}, {"name": "production"}):
        changed = await http.patch(f"{API}sources/{created['id']}/", json=change)
        assert changed.status_code == 200
        after = (await http.get(f"{API}sources/{created['uuid']}/")).json()  # a client reads what it has written
        assert after.items() >= change.items()

    assert (await http.delete(f"{API}sources/{created['id']}/")).status_code == 204
    assert (await http.get(f"{API}sources/{created['id']}/")).status_code == 404
    assert (await http.get(f"{API}sources/")).json()["meta"]["count"] == 0


async def test_the_ui_takes_a_source_back_when_its_application_is_refused(http: httpx.AsyncClient) -> None:
    body = {"name": "prod", "source_type": "OCP", "source_ref": CLUSTER}
    created = (await http.post(f"{API}sources", json=body)).json()
    refused = await http.post(f"{API}applications", json={"source_id": created["id"], "application_type_id": 7})
    assert refused.status_code == 400
    assert (await http.delete(f"{API}sources/{created['id']}/")).status_code == 204
    assert (await http.post(f"{API}sources", json=body)).status_code == 201


async def test_what_is_only_read_may_not_be_changed(http: httpx.AsyncClient) -> None:
    detail = "You do not have permission to perform this action."
    forbidden = {"errors": [{"detail": detail, "source": "detail", "status": 403}]}
    for address in ("reports/openshift/costs/", "tags/openshift/app/", "resource-types/openshift-nodes/"):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = await http.request(method, API + address, json={})
            assert (answer.status_code, answer.json()) == (403, forbidden), (method, address)
