"""The gRPC door of cost models and price lists does what the HTTP door does (kura.costs.v1)."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import grpc
import httpx
import orjson
import pytest
from sqlalchemy import select
from starlette.applications import Starlette

from kura.api_writes.app import build_app, build_cost_edits
from kura.api_writes.cost_edits import CostEdits
from kura.api_writes.servicer import DEADLINES, cost_write_service
from kura.core.identity import HeaderIdentity
from kura.rpc.aggregator.v1 import aggregator_pb2
from kura.rpc.costs.v1 import costs_pb2, costs_pb2_grpc
from kura.rpc.errors import error_info
from kura.rpc.security import Security
from kura.rpc.server import build_server
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.store.tables.tenant import COST_MODEL, COST_MODEL_AUDIT, PRICE_LIST
from kura.testing.gateways import ORG_ID, identity_header

API = "/api/cost-management/v1"
OF_THE_MOMENT = ("uuid", "created_timestamp", "updated_timestamp")
RATE = {"metric": {"name": "cpu_core_usage_per_hour"}, "tiered_rates": [{"value": "0.22", "unit": "USD"}]}
MODEL = {"name": "prices", "description": "", "source_type": "OCP"}
LIST = {
    "name": "list",
    "currency": "USD",
    "effective_start_date": "2026-01-01",
    "effective_end_date": "2026-12-31",
    "rates": [RATE],
}


class Aggregator:
    """Stands in for the aggregator: everything costs 5, and would cost 7."""

    async def PreviewCosts(self, request: aggregator_pb2.PreviewCostsRequest) -> aggregator_pb2.PreviewCostsResponse:
        now, then = (aggregator_pb2.CostParts(supplementary_usage_cost=cost, total_cost=cost) for cost in (5, 7))
        return aggregator_pb2.PreviewCostsResponse(projects=[], now=now, then=then)


@pytest.fixture
def edits(database: Database) -> CostEdits:
    return build_cost_edits(database=database, aggregator=Aggregator())


@pytest.fixture
def app(database: Database, object_store: ObjectStore, edits: CostEdits) -> Starlette:
    return build_app(database=database, objects=object_store, identity=HeaderIdentity(), cost_edits=edits)


@pytest.fixture
async def stub(edits: CostEdits) -> AsyncIterator[costs_pb2_grpc.CostWriteServiceStub]:
    service = cost_write_service(edits=edits, identity=HeaderIdentity())
    server = build_server([service], security=Security(), deadlines=DEADLINES)
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield costs_pb2_grpc.CostWriteServiceStub(channel)
    await server.stop(None)


def as_(*arguments: Any, **facts: Any) -> Any:
    return tuple(identity_header(*arguments, **facts).items())


def document(**changes: Any) -> bytes:
    return orjson.dumps({**MODEL, **changes})


def lasting(item: dict[str, Any]) -> dict[str, Any]:
    """A cost model without what differs between two of the same."""
    found = {name: value for name, value in item.items() if name not in OF_THE_MOMENT}
    found["rates"] = [{name: value for name, value in rate.items() if name != "rate_id"} for rate in item["rates"]]
    if "price_lists" in item:
        found["price_lists"] = [{**linked, "uuid": ""} for linked in item["price_lists"]]
    return found


async def test_a_cost_model_lives_as_over_http(
    stub: costs_pb2_grpc.CostWriteServiceStub, http: httpx.AsyncClient, database: Database
) -> None:
    over_http = (await http.post(f"{API}/cost-models/", json={**MODEL, "rates": [RATE]})).json()
    request = costs_pb2.CreateCostModelRequest(json=document(rates=[RATE]))
    made = orjson.loads((await stub.CreateCostModel(request, metadata=as_())).json)
    assert lasting(made) == lasting(over_http)

    markup = {"value": "10", "unit": "percent"}
    change = costs_pb2.UpdateCostModelRequest(uuid=made["uuid"], json=document(name="other", markup=markup))
    changed = orjson.loads((await stub.UpdateCostModel(change, metadata=as_(username="grace"))).json)
    assert (changed["uuid"], changed["name"], changed["rates"]) == (made["uuid"], "other", made["rates"])

    await stub.DeleteCostModel(costs_pb2.DeleteCostModelRequest(uuid=made["uuid"]), metadata=as_())
    with database.tenant(f"org{ORG_ID}") as connection:
        assert [str(key) for key in connection.scalars(select(COST_MODEL.c.uuid))] == [over_http["uuid"]]
        audited = select(COST_MODEL_AUDIT.c.author).where(COST_MODEL_AUDIT.c.uuid == made["uuid"])
        assert set(connection.scalars(audited)) == {"ada", "grace"}


async def test_a_price_list_lives_as_over_http(
    stub: costs_pb2_grpc.CostWriteServiceStub, http: httpx.AsyncClient, database: Database
) -> None:
    over_http = (await http.post(f"{API}/price-lists/", json=LIST)).json()
    request = costs_pb2.CreatePriceListRequest(json=orjson.dumps(LIST))
    made = orjson.loads((await stub.CreatePriceList(request, metadata=as_())).json)
    assert lasting(made) == lasting(over_http)

    change = costs_pb2.UpdatePriceListRequest(uuid=made["uuid"], json=orjson.dumps({"rates": []}))
    changed = orjson.loads((await stub.UpdatePriceList(change, metadata=as_())).json)
    assert (changed["version"], changed["rates"]) == (2, [])

    copy = costs_pb2.DuplicatePriceListRequest(uuid=over_http["uuid"])
    copied = orjson.loads((await stub.DuplicatePriceList(copy, metadata=as_())).json)
    assert copied["name"] == "Copy of list"

    await stub.DeletePriceList(costs_pb2.DeletePriceListRequest(uuid=made["uuid"]), metadata=as_())
    with database.tenant(f"org{ORG_ID}") as connection:
        left = {str(key) for key in connection.scalars(select(PRICE_LIST.c.uuid))}
    assert left == {over_http["uuid"], copied["uuid"]}


async def test_a_preview_is_that_of_http(
    stub: costs_pb2_grpc.CostWriteServiceStub, http: httpx.AsyncClient, database: Database
) -> None:
    body = {"name": "prod", "source_type": "OCP", "source_ref": "cluster"}
    source = (await http.post(f"{API}/sources/", json=body)).json()["uuid"]
    asked = {**MODEL, "source_uuids": [source], "rates": [RATE]}
    request = costs_pb2.PreviewCostModelRequest(json=orjson.dumps(asked))

    found = orjson.loads((await stub.PreviewCostModel(request, metadata=as_())).json)

    assert found == (await http.post(f"{API}/cost-models/preview/", json=asked)).json()
    assert found["meta"]["total"]["difference"] == 2


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "description": "", "source_type": "OCP", "currency": "XXX", "rates": [5]},
        {**MODEL, "rates": [{"metric": {"name": "bogus"}, "tiered_rates": [{"value": -1, "unit": "EUR"}]}]},
        {**MODEL, "source_uuids": [str(uuid4())], "markup": "much"},
        {},
    ],
    ids=["several fields", "rate", "source and markup", "empty"],
)
async def test_what_is_not_valid_is_told_as_over_http(
    stub: costs_pb2_grpc.CostWriteServiceStub, http: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    await http.post(f"{API}/cost-models/", json=MODEL)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.CreateCostModel(costs_pb2.CreateCostModelRequest(json=orjson.dumps(body)), metadata=as_())

    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    info = error_info(raised.value)
    assert info is not None
    errors = (await http.post(f"{API}/cost-models/", json=body)).json()["errors"]
    assert orjson.loads(info.metadata["problems"]) == [[error["source"], error["detail"]] for error in errors]


async def test_who_may_not_write_is_refused_and_nothing_is_changed(
    stub: costs_pb2_grpc.CostWriteServiceStub, http: httpx.AsyncClient, database: Database
) -> None:
    made = (await http.post(f"{API}/cost-models/", json=MODEL)).json()
    reader = as_(admin=False, access={"cost_model": {"read": ("*",)}})
    key, unknown, status = made["uuid"], str(uuid4()), grpc.StatusCode
    create, update = costs_pb2.CreateCostModelRequest, costs_pb2.UpdateCostModelRequest
    calls: list[tuple[Any, Any, Any, grpc.StatusCode]] = [
        (stub.CreateCostModel, create(json=document()), (), status.UNAUTHENTICATED),
        (stub.CreateCostModel, create(json=document()), reader, status.PERMISSION_DENIED),
        (stub.UpdateCostModel, update(uuid=key, json=document(name="x")), reader, status.PERMISSION_DENIED),
        (stub.UpdateCostModel, update(uuid=key, json=document(name="x")), as_("7654321"), status.NOT_FOUND),
        (stub.UpdateCostModel, update(uuid=unknown, json=document()), as_(), status.NOT_FOUND),
        (stub.UpdateCostModel, update(uuid="x", json=document()), as_(), status.INVALID_ARGUMENT),
        (stub.UpdateCostModel, update(uuid=key), as_(), status.INVALID_ARGUMENT),
        (stub.CreateCostModel, create(json=b"[1]"), as_(), status.INVALID_ARGUMENT),
        (stub.CreateCostModel, create(json=b'{"name": "\xff"}'), as_(), status.INVALID_ARGUMENT),
        (stub.CreateCostModel, create(json=b" " * (2**20 + 1)), as_(), status.RESOURCE_EXHAUSTED),
        (stub.DeleteCostModel, costs_pb2.DeleteCostModelRequest(uuid=key), reader, status.PERMISSION_DENIED),
        (stub.PreviewCostModel, costs_pb2.PreviewCostModelRequest(json=b"{}"), reader, status.PERMISSION_DENIED),
        (stub.DeletePriceList, costs_pb2.DeletePriceListRequest(uuid=unknown), as_(), status.NOT_FOUND),
        (stub.DuplicatePriceList, costs_pb2.DuplicatePriceListRequest(uuid=""), as_(), status.INVALID_ARGUMENT),
    ]
    for call, request, metadata, expected in calls:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(request, metadata=metadata)
        assert raised.value.code() is expected, (request, raised.value.details())

    with database.tenant(f"org{ORG_ID}") as connection:
        assert connection.execute(select(COST_MODEL.c.name)).scalars().all() == ["prices"]
