"""`cost-models/preview/`: checked like a cost model, computed elsewhere, written nowhere."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from kura.api_writes.app import build_app, build_cost_edits
from kura.core.errors import BadRequest
from kura.core.identity import HeaderIdentity
from kura.rpc.aggregator.v1 import aggregator_pb2
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.testing.gateways import ORG_ID, Stored, identity_header

API = "/api/cost-management/v1"
PREVIEW = f"{API}/cost-models/preview/"
TODAY = datetime.now(UTC).date()


class Asked:
    """Stands in for the aggregator: keeps what it is asked, answers one project that becomes twice as dear."""

    def __init__(self) -> None:
        self.requests: list[aggregator_pb2.PreviewCostsRequest] = []

    async def PreviewCosts(self, request: aggregator_pb2.PreviewCostsRequest) -> aggregator_pb2.PreviewCostsResponse:
        self.requests.append(request)
        if request.start_date < "2000":
            raise BadRequest("A preview covers at most 366 days.", field="end_date")
        now = aggregator_pb2.CostParts(supplementary_usage_cost=4, platform_distributed=1, total_cost=5)
        then = aggregator_pb2.CostParts(supplementary_usage_cost=8, platform_distributed=2, total_cost=10)
        project = aggregator_pb2.ProjectPreview(
            provider_uuid=request.provider_uuids[0], namespace="shop", now=now, then=then
        )
        return aggregator_pb2.PreviewCostsResponse(projects=[project], now=now, then=then)


@pytest.fixture
def aggregator() -> Asked:
    return Asked()


@pytest.fixture
def app(database: Database, object_store: ObjectStore, aggregator: Asked) -> Starlette:
    edits = build_cost_edits(database=database, aggregator=aggregator)
    return build_app(database=database, objects=object_store, identity=HeaderIdentity(), cost_edits=edits)


@pytest.fixture
async def source(http: httpx.AsyncClient) -> AsyncIterator[str]:
    body = {"name": "prod", "source_type": "OCP", "source_ref": "cluster"}
    answer = await http.post(f"{API}/sources/", json=body)
    yield answer.json()["uuid"]


def body(source: str, **changes: Any) -> dict[str, Any]:
    rate = {"metric": {"name": "cpu_core_usage_per_hour"}, "tiered_rates": [{"value": 2, "unit": "USD"}]}
    return {"source_uuids": [source], "rates": [rate], **changes}


async def test_costs_now_and_then_are_compared_by_project(
    http: httpx.AsyncClient, source: str, aggregator: Asked, stored: Stored
) -> None:
    before = stored.tasks()
    answer = await http.post(PREVIEW, json=body(source, start_date="2025-01-01", end_date="2025-01-31"))
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["meta"]["total"]["difference"] == 5
    (shop,) = found["data"]
    assert (shop["project"], shop["source_uuid"], shop["difference"]) == ("shop", source, 5)
    assert (shop["now"]["total"], shop["now"]["distributed"]) == (4, 5)
    assert (shop["then"]["total"], shop["then"]["platform_distributed"]) == (8, 2)

    (asked,) = aggregator.requests
    assert (asked.schema_name, list(asked.provider_uuids)) == (f"org{ORG_ID}", [source])
    assert (asked.start_date, asked.end_date) == ("2025-01-01", "2025-01-31")
    assert '"platform_cost": true' in asked.cost_model  # the defaults of the API, not those without a model
    assert stored.tasks() == before
    assert (await http.get(f"{API}/cost-models/")).status_code in (404, 405)


async def test_without_a_period_it_is_this_month(http: httpx.AsyncClient, source: str, aggregator: Asked) -> None:
    assert (await http.post(PREVIEW, json=body(source))).status_code == 200
    (asked,) = aggregator.requests
    assert (asked.start_date, asked.end_date) == (TODAY.replace(day=1).isoformat(), TODAY.isoformat())


async def test_price_lists_are_what_is_asked_about_in_their_order(
    http: httpx.AsyncClient, source: str, aggregator: Asked
) -> None:
    lists = []
    for number, (start, end) in enumerate((("2025-02-01", "2025-02-28"), ("2025-01-01", "2025-12-31")), start=1):
        rate = {"metric": {"name": "vm_cost_per_month"}, "tiered_rates": [{"value": number, "unit": "USD"}]}
        dates = {"effective_start_date": start, "effective_end_date": end}
        made = await http.post(f"{API}/price-lists/", json={"name": "x", **dates, "rates": [rate]})
        lists.append(made.json()["uuid"])

    answer = await http.post(PREVIEW, json=body(source, price_list_uuids=lists))
    assert answer.status_code == 200, answer.text

    (asked,) = aggregator.requests
    named = json.loads(asked.cost_model)["price_lists"]
    assert [(item["effective_start_date"], item["rates"][0]["tiered_rates"][0]["value"]) for item in named] == [
        ("2025-02-01", "1"),
        ("2025-01-01", "2"),
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"source_uuids": []}, "source_uuids"),
        ({"source_uuids": ["00000000-0000-4000-8000-000000000000"]}, "source_uuids"),
        ({"rates": [5]}, "rates"),
        ({"start_date": "2025-01-01"}, "end_date"),
        ({"start_date": "2025-01-02", "end_date": "2025-01-01"}, "end_date"),
        ({"start_date": "2025-01-01", "end_date": (TODAY + timedelta(days=1)).isoformat()}, "end_date"),
        ({"start_date": "1999-01-01", "end_date": "2025-01-01"}, "end_date"),
    ],
)
async def test_a_broken_rule_is_named(http: httpx.AsyncClient, source: str, changes: Any, field: str) -> None:
    answer = await http.post(PREVIEW, json=body(source, **changes))
    assert answer.status_code == 400
    assert [error["source"] for error in answer.json()["errors"]] == [field]


async def test_who_may_not_write_or_not_see_all_costs_is_refused(http: httpx.AsyncClient, source: str) -> None:
    both = {"cost_model": {"write": ("*",), "read": ("*",)}, "openshift.cluster": {"read": ("*",)}}
    for access, status in (
        (both, 200),
        ({**both, "cost_model": {"read": ("*",)}}, 403),
        ({**both, "openshift.cluster": {"read": ("cl-a",)}}, 403),
        ({**both, "openshift.project": {"read": ("shop",)}}, 403),
        ({"cost_model": both["cost_model"]}, 403),
    ):
        headers = identity_header(admin=False, access=access)
        assert (await http.post(PREVIEW, json=body(source), headers=headers)).status_code == status


async def test_another_organisations_source_is_unknown(http: httpx.AsyncClient, source: str) -> None:
    await http.post(f"{API}/sources/", json={"name": "x", "source_type": "OCP", "source_ref": "y"})
    answer = await http.post(PREVIEW, json=body(source), headers=identity_header("7654321"))
    assert answer.status_code == 404


async def test_without_an_aggregator_it_is_not_available(
    database: Database, object_store: ObjectStore, source: str
) -> None:
    app = build_app(database=database, objects=object_store, identity=HeaderIdentity())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://kura", headers=identity_header()) as client:
        assert (await client.post(PREVIEW, json=body(source))).status_code == 503
