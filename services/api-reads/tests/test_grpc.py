"""The gRPC door answers what the HTTP door answers (kura.reports.v1)."""

from collections.abc import AsyncIterator

import grpc
import orjson
import pytest

from kura.api_reads.app import endpoints
from kura.api_reads.gateway import Gateway
from kura.api_reads.servicer import DEADLINES, client_of, report_service
from kura.core.identity import HeaderIdentity, Identity, encode_header
from kura.rpc.reports.v1 import reports_pb2, reports_pb2_grpc
from kura.rpc.security import Security
from kura.rpc.server import build_server
from kura.testing.asking import ADMIN, Asker, restricted


@pytest.fixture
async def stub(gateway: Gateway) -> AsyncIterator[reports_pb2_grpc.ReportServiceStub]:
    server = build_server(
        [report_service(gateway=gateway, identity=HeaderIdentity(), endpoints=endpoints())],
        security=Security(),
        deadlines=DEADLINES,
    )
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield reports_pb2_grpc.ReportServiceStub(channel)
    await server.stop(None)


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


async def test_tags_are_those_of_http(stub, ask: Asker):
    keys = await stub.ListTags(reports_pb2.ListTagsRequest(path="openshift"), metadata=as_(ADMIN))
    values = await stub.ListTags(reports_pb2.ListTagsRequest(path="openshift/app"), metadata=as_(ADMIN))

    assert orjson.loads(keys.json) == await ask("tags/openshift/")
    assert orjson.loads(values.json) == await ask("tags/openshift/app/")


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
