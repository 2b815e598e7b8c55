"""Both gateways while PostgreSQL is stopped or has no connection left, and after it is back."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import orjson
import pytest
from starlette.types import ASGIApp

from kura.api_reads.app import build_app as build_reads
from kura.api_reads.app import build_gateway, endpoints
from kura.api_reads.servicer import read_services
from kura.api_writes.app import build_app as build_writes
from kura.api_writes.app import build_cost_edits
from kura.api_writes.servicer import cost_write_service
from kura.core.identity import HeaderIdentity, encode_header
from kura.rpc.costs.v1 import costs_pb2, costs_pb2_grpc
from kura.rpc.errors import error_info
from kura.rpc.reports.v1 import reports_pb2, reports_pb2_grpc
from kura.rpc.security import Security
from kura.rpc.server import build_server
from kura.store.database import Database
from kura.store.embedded import EmbeddedPostgres, EmbeddedSettings
from kura.store.objects import ObjectStore
from kura.testing.asking import ADMIN, API
from kura.testing.gateways import UPLOAD_PATH, payload
from kura.testing.postgres import PostgresServer

AWAY = {"errors": [{"detail": "Database unavailable. Try again later.", "status": 424, "title": "Failed Dependency"}]}
BUSY = {"errors": [{"detail": "Database busy. Try again later.", "source": "detail", "status": 503}]}
READS = ["reports/openshift/costs/", "tags/openshift/", "settings/tags/", "cost-models/", "sources/"]
IDENTITY = {"x-rh-identity": encode_header(ADMIN)}
METADATA = tuple(IDENTITY.items())
OF_A_CLUSTER = {
    "name": "east",
    "source_type": "OCP",
    "authentication": {"credentials": {"cluster_id": "cluster-east"}},
    "billing_source": {"data_source": {}},
}


@dataclass(frozen=True)
class Gateways:
    """Both gateways over one server of their own."""

    postgres: EmbeddedPostgres
    reader: Database
    writer: Database
    reads_app: ASGIApp
    writes_app: ASGIApp
    channel: grpc.aio.Channel

    async def get(self, address: str) -> httpx.Response:
        return await self._send(self.reads_app, "GET", API + address)

    async def post(self, address: str, **content: object) -> httpx.Response:
        return await self._send(self.writes_app, "POST", address, **content)

    async def calls(self) -> list[tuple[str, str, str]]:
        """What gRPC says of a report, a list and a write: status, reason, message."""
        reports = reports_pb2_grpc.ReportServiceStub(self.channel)
        reads, writes = (
            costs_pb2_grpc.CostReadServiceStub(self.channel),
            costs_pb2_grpc.CostWriteServiceStub(self.channel),
        )
        model = orjson.dumps({"name": "prices", "description": "", "source_type": "OCP"})
        asked = [
            reports.GetReport(reports_pb2.GetReportRequest(path="openshift/costs"), metadata=METADATA),
            reads.ListCostModels(costs_pb2.ListCostModelsRequest(), metadata=METADATA),
            writes.CreateCostModel(costs_pb2.CreateCostModelRequest(json=model), metadata=METADATA),
        ]
        return [await outcome(call) for call in asked]

    async def _send(self, app: ASGIApp, method: str, address: str, **content: object) -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://kura", headers=IDENTITY
        ) as to:
            return await to.request(method, address, **content)


async def outcome(call: grpc.aio.UnaryUnaryCall) -> tuple[str, str, str]:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        info = error_info(error)
        return error.code().name, info.reason if info else "", error.details() or ""
    return "OK", "", ""


@pytest.fixture
async def gateways(embedded_directory: Path, object_store: ObjectStore) -> AsyncIterator[Gateways]:
    postgres = EmbeddedPostgres(embedded_directory, settings=EmbeddedSettings(durable=False))
    with ExitStack() as stack:
        stack.callback(postgres.stop)
        postgres.start()
        urls = stack.enter_context(PostgresServer(postgres).fresh_database(tenant=True))
        reader = stack.enter_context(Database(urls.reader, pool_size=2, wait_seconds=0.2, read_only=True))
        writer = stack.enter_context(Database(urls.writer, pool_size=2, wait_seconds=0.2))
        reads, identity = build_gateway(reader=reader, primary=writer), HeaderIdentity()
        server = build_server(
            [
                *read_services(gateway=reads, identity=identity, endpoints=endpoints()),
                cost_write_service(edits=build_cost_edits(database=writer), identity=identity),
            ],
            security=Security(),
        )
        await server.start()
        channel = grpc.aio.insecure_channel(server.address)
        yield Gateways(
            postgres=postgres,
            reader=reader,
            writer=writer,
            reads_app=build_reads(gateway=reads, identity=identity),
            writes_app=build_writes(database=writer, objects=object_store, identity=identity),
            channel=channel,
        )
        await channel.close()
        await server.stop(None)


async def test_a_stopped_database_is_a_failed_dependency_until_it_is_back(
    gateways: Gateways, object_store: ObjectStore
) -> None:
    assert (await gateways.get(READS[0])).status_code == 200  # from now on its answer is kept

    gateways.postgres.stop()
    refused = [await gateways.get(address) for address in READS]
    refused.append(await gateways.post(f"{API}sources/", json=OF_A_CLUSTER))
    upload = await gateways.post(UPLOAD_PATH, files=payload())
    called = await gateways.calls()

    assert called == [("UNAVAILABLE", "database_unavailable", "Database unavailable. Try again later.")] * 3
    assert [(answer.status_code, answer.json()) for answer in refused] == [(424, AWAY)] * len(refused)
    assert (upload.status_code, upload.headers["retry-after"]) == (503, "5")
    assert list(object_store.keys()) == []

    gateways.postgres.start()
    assert [(await gateways.get(address)).status_code for address in READS] == [200] * len(READS)
    assert (await gateways.post(f"{API}sources/", json=OF_A_CLUSTER)).status_code == 201
    assert (await gateways.post(UPLOAD_PATH, files=payload())).status_code == 202

    assert await gateways.calls() == [("OK", "", "")] * 3

    with gateways.reader.begin(), gateways.reader.begin(), gateways.writer.begin(), gateways.writer.begin():
        busy = [await gateways.get(READS[0]), await gateways.post(f"{API}sources/", json=OF_A_CLUSTER)]
        called = await gateways.calls()
    assert called == [("UNAVAILABLE", "database_busy", "Database busy. Try again later.")] * 3
    assert [(answer.status_code, answer.json(), answer.headers["retry-after"]) for answer in busy] == [
        (503, BUSY, "5")
    ] * 2
