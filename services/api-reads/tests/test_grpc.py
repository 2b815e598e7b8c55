"""The gRPC door answers what the HTTP door answers (kura.reports.v1)."""

from collections.abc import AsyncIterator
from datetime import date
from uuid import UUID

import grpc
import orjson
import pytest
from sqlalchemy import insert

from kura.api_reads.app import endpoints
from kura.api_reads.gateway import Gateway
from kura.api_reads.servicer import DEADLINES, read_services
from kura.core.identity import HeaderIdentity, Identity, encode_header
from kura.rpc.callers import client_of
from kura.rpc.costs.v1 import costs_pb2, costs_pb2_grpc
from kura.rpc.reports.v1 import reports_pb2, reports_pb2_grpc
from kura.rpc.security import Security
from kura.rpc.server import build_server
from kura.store.database import Database
from kura.store.tables.tenant import COST_MODEL, PRICE_LIST
from kura.testing.asking import ADMIN, Asker, restricted
from kura.testing.gpu_and_vm_rows import add_details
from kura.testing.postgres import SCHEMA

MODELS = {"one": UUID(int=21), "two": UUID(int=22)}
PRICES = UUID(int=23)
UNKNOWN = str(UUID(int=24))


@pytest.fixture(scope="module", autouse=True)
def details(writer: Database) -> None:
    with writer.tenant(SCHEMA) as connection:
        add_details(connection)


@pytest.fixture
async def channel(gateway: Gateway) -> AsyncIterator[grpc.aio.Channel]:
    server = build_server(
        read_services(gateway=gateway, identity=HeaderIdentity(), endpoints=endpoints()),
        security=Security(),
        deadlines=DEADLINES,
    )
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield channel
    await server.stop(None)


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> reports_pb2_grpc.ReportServiceStub:
    return reports_pb2_grpc.ReportServiceStub(channel)


@pytest.fixture
def costs(channel: grpc.aio.Channel) -> costs_pb2_grpc.CostReadServiceStub:
    return costs_pb2_grpc.CostReadServiceStub(channel)


def asked(**parameters: str) -> list[reports_pb2.QueryParameter]:
    return [reports_pb2.QueryParameter(name=name, value=value) for name, value in parameters.items()]


def as_(identity: Identity) -> tuple[tuple[str, str], ...]:
    return (("x-rh-identity", encode_header(identity)),)


async def test_a_report_is_that_of_http(stub, ask: Asker):
    parameters = asked(start_date="2024-06-16", end_date="2024-06-17", **{"group_by[project]": "*"})
    request = reports_pb2.GetReportRequest(path="openshift/costs", query=parameters)

    answer = await stub.GetReport(request, metadata=as_(ADMIN))

    over_http = await ask("reports/openshift/costs/?start_date=2024-06-16&end_date=2024-06-17&group_by[project]=*")
    assert orjson.loads(answer.json) == over_http


MONTH = "filter[time_scope_value]=-1"
DATES = "start_date=2024-06-15&end_date=2024-06-18"


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        (
            "costs",
            (
                "",
                f"{MONTH}&group_by[project]=*&filter[limit]=2&order_by[distributed_cost]=desc",
                f"{MONTH}&delta=cost&group_by[cluster]=*&group_by[node]=*",
                f"{DATES}&group_by[tag:app]=*&filter[or:tag:app]=shop,blog&exclude[project]=db&limit=2&offset=1",
                f"{MONTH}&group_by[project]=*&category=Platform&filter[limit]=1&filter[offset]=1",
            ),
        ),
        ("compute", ("", f"{MONTH}&group_by[node]=*&order_by[usage]=asc", f"{DATES}&filter[exact:project]=web")),
        ("memory", (f"{MONTH}&group_by[project]=*&filter[limit]=1", f"{MONTH}&delta=usage__request")),
        ("volumes", (f"{DATES}&group_by[persistentvolumeclaim]=*", f"{MONTH}&group_by[storageclass]=*")),
        ("network", (DATES, f"{MONTH}&group_by[cluster]=*&currency=usd")),
        ("gpu", (MONTH, f"{MONTH}&group_by[gpu_name]=*&filter[limit]=1")),
        ("gpu/mig_profiles", (f"{MONTH}&filter[gpu_vendor]=nvidia&filter[gpu_model]=A100&filter[node]=n1",)),
        ("resources/virtual-machines", ("", f"{MONTH}&order_by[vm_name]=asc&limit=1")),
    ],
)
async def test_every_report_is_that_of_http(stub, ask: Asker, path: str, queries: tuple[str, ...]):
    for query in queries:
        pairs = [pair.split("=", 1) for pair in query.split("&") if pair]
        parameters = [reports_pb2.QueryParameter(name=name, value=value) for name, value in pairs]
        request = reports_pb2.GetReportRequest(path=f"openshift/{path}", query=parameters)

        answer = await stub.GetReport(request, metadata=as_(ADMIN))

        over_grpc = orjson.loads(answer.json)
        assert over_grpc == await ask(f"reports/openshift/{path}/?{query}"), query
        assert has_rows(over_grpc["data"]), query


def has_rows(data: object) -> bool:
    """Whether any group of any date has a row."""
    if isinstance(data, list):
        return any(has_rows(item) for item in data)
    return isinstance(data, dict) and (bool(data.get("values")) or any(has_rows(item) for item in data.values()))


async def test_tags_are_those_of_http(stub, ask: Asker):
    keys = await stub.ListTags(reports_pb2.ListTagsRequest(path="openshift"), metadata=as_(ADMIN))
    values = await stub.ListTags(reports_pb2.ListTagsRequest(path="openshift/app"), metadata=as_(ADMIN))

    assert orjson.loads(keys.json) == await ask("tags/openshift/")
    assert orjson.loads(values.json) == await ask("tags/openshift/app/")


async def test_cost_models_are_those_of_http(costs, ask: Asker, writer: Database):
    with writer.tenant(SCHEMA) as connection:
        for name in ("one", "two"):
            connection.execute(insert(COST_MODEL).values(uuid=MODELS[name], name=name, source_type="OCP"))
        connection.execute(
            insert(PRICE_LIST).values(
                uuid=PRICES,
                name="prices",
                currency="USD",
                effective_start_date=date(2024, 1, 1),
                effective_end_date=date(2024, 12, 31),
            )
        )
    key = str(MODELS["two"])
    page = [costs_pb2.QueryParameter(name="name", value="two"), costs_pb2.QueryParameter(name="limit", value="1")]
    bracketed = [costs_pb2.QueryParameter(name="filter[enabled]", value="true")]
    as_ada = as_(ADMIN)
    answers = {
        "cost-models/?name=two&limit=1": await costs.ListCostModels(
            costs_pb2.ListCostModelsRequest(query=page), metadata=as_ada
        ),
        f"cost-models/{key}/": await costs.GetCostModel(costs_pb2.GetCostModelRequest(uuid=key), metadata=as_ada),
        f"cost-models/{key}/audit/": await costs.ListCostModelChanges(
            costs_pb2.ListCostModelChangesRequest(uuid=key), metadata=as_ada
        ),
        "price-lists/?filter[enabled]=true": await costs.ListPriceLists(
            costs_pb2.ListPriceListsRequest(query=bracketed), metadata=as_ada
        ),
        f"price-lists/{PRICES}/": await costs.GetPriceList(
            costs_pb2.GetPriceListRequest(uuid=str(PRICES)), metadata=as_ada
        ),
        "metrics/": await costs.ListMetrics(costs_pb2.ListMetricsRequest(), metadata=as_ada),
    }
    for path, answer in answers.items():
        assert orjson.loads(answer.json) == await ask(path), path
    assert orjson.loads(answers["cost-models/?name=two&limit=1"].json)["data"][0]["uuid"] == key


@pytest.mark.parametrize(
    ("uuid", "caller", "status"),
    [
        (UNKNOWN, ADMIN, grpc.StatusCode.NOT_FOUND),
        ("x", ADMIN, grpc.StatusCode.INVALID_ARGUMENT),
        ("", ADMIN, grpc.StatusCode.INVALID_ARGUMENT),
        ("../metrics", ADMIN, grpc.StatusCode.INVALID_ARGUMENT),
        (UNKNOWN, restricted({"aws.account": ["*"]}), grpc.StatusCode.PERMISSION_DENIED),
    ],
)
async def test_cost_models_that_are_refused(costs, uuid: str, caller: Identity, status: grpc.StatusCode):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await costs.GetCostModel(costs_pb2.GetCostModelRequest(uuid=uuid), metadata=as_(caller))

    assert raised.value.code() is status


@pytest.mark.parametrize(
    ("path", "query", "caller", "status"),
    [
        ("openshift/bogus", {}, ADMIN, grpc.StatusCode.NOT_FOUND),
        ("openshift/costs", {"bogus": "1"}, ADMIN, grpc.StatusCode.INVALID_ARGUMENT),
        ("openshift/costs", {}, restricted({"aws.account": ["*"]}), grpc.StatusCode.PERMISSION_DENIED),
        (
            "openshift/costs",
            {"filter[cluster]": "alpha"},
            restricted({"openshift.cluster": ["cl-b"]}),
            grpc.StatusCode.PERMISSION_DENIED,
        ),
    ],
)
async def test_refusals(stub, path: str, query: dict[str, str], caller: Identity, status: grpc.StatusCode):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.GetReport(reports_pb2.GetReportRequest(path=path, query=asked(**query)), metadata=as_(caller))

    assert raised.value.code() is status


async def test_callers_without_identity_are_refused(stub):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.GetReport(reports_pb2.GetReportRequest(path="openshift/costs"))

    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("peer", "client"),
    [("ipv4:127.0.0.1:4711", "127.0.0.1"), ("ipv6:%5B::1%5D:4711", "::1"), ("unix:/tmp/s", None)],
)
def test_the_callers_address(peer: str, client: str | None):
    assert client_of(peer) == client
