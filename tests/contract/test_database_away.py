"""Both gateways while PostgreSQL is stopped or has no connection left, and after it is back."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp

from kura.api_reads.app import build_app as build_reads
from kura.api_reads.app import build_gateway
from kura.api_writes.app import build_app as build_writes
from kura.core.identity import HeaderIdentity, encode_header
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

    async def get(self, address: str) -> httpx.Response:
        return await self._send(self.reads_app, "GET", API + address)

    async def post(self, address: str, **content: object) -> httpx.Response:
        return await self._send(self.writes_app, "POST", address, **content)

    async def _send(self, app: ASGIApp, method: str, address: str, **content: object) -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://kura", headers=IDENTITY
        ) as to:
            return await to.request(method, address, **content)


@pytest.fixture
async def gateways(embedded_directory: Path, object_store: ObjectStore) -> AsyncIterator[Gateways]:
    postgres = EmbeddedPostgres(embedded_directory, settings=EmbeddedSettings(durable=False))
    with ExitStack() as stack:
        stack.callback(postgres.stop)
        postgres.start()
        urls = stack.enter_context(PostgresServer(postgres).fresh_database(tenant=True))
        reader = stack.enter_context(Database(urls.reader, pool_size=2, wait_seconds=0.2, read_only=True))
        writer = stack.enter_context(Database(urls.writer, pool_size=2, wait_seconds=0.2))
        reads = build_gateway(reader=reader, primary=writer)
        yield Gateways(
            postgres=postgres,
            reader=reader,
            writer=writer,
            reads_app=build_reads(gateway=reads, identity=HeaderIdentity()),
            writes_app=build_writes(database=writer, objects=object_store, identity=HeaderIdentity()),
        )


async def test_a_stopped_database_is_a_failed_dependency_until_it_is_back(
    gateways: Gateways, object_store: ObjectStore
) -> None:
    assert (await gateways.get(READS[0])).status_code == 200  # from now on its answer is kept

    gateways.postgres.stop()
    refused = [await gateways.get(address) for address in READS]
    refused.append(await gateways.post(f"{API}sources/", json=OF_A_CLUSTER))
    upload = await gateways.post(UPLOAD_PATH, files=payload())

    assert [(answer.status_code, answer.json()) for answer in refused] == [(424, AWAY)] * len(refused)
    assert (upload.status_code, upload.headers["retry-after"]) == (503, "5")
    assert list(object_store.keys()) == []

    gateways.postgres.start()
    assert [(await gateways.get(address)).status_code for address in READS] == [200] * len(READS)
    assert (await gateways.post(f"{API}sources/", json=OF_A_CLUSTER)).status_code == 201
    assert (await gateways.post(UPLOAD_PATH, files=payload())).status_code == 202

    with gateways.reader.begin(), gateways.reader.begin(), gateways.writer.begin(), gateways.writer.begin():
        busy = [await gateways.get(READS[0]), await gateways.post(f"{API}sources/", json=OF_A_CLUSTER)]
    assert [(answer.status_code, answer.json(), answer.headers["retry-after"]) for answer in busy] == [
        (503, BUSY, "5")
    ] * 2
