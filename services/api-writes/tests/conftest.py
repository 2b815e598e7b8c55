"""The write gateway over a real database and object store, in process and on a socket."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from starlette.applications import Starlette

from kura.api_writes.app import build_app
from kura.api_writes.config import UploadSettings
from kura.core.identity import HeaderIdentity
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.store.tenancy import drop_tenant, tenant_schemas
from kura.testing.gateways import Stored, identity_header, serving
from kura.testing.postgres import DatabaseUrls, PostgresServer


@pytest.fixture(scope="module")
def shared_urls(postgres_server: PostgresServer) -> Iterator[DatabaseUrls]:
    with postgres_server.fresh_database() as urls:
        yield urls


@pytest.fixture
def database_urls(shared_urls: DatabaseUrls) -> Iterator[DatabaseUrls]:
    """One database for a module, emptied after each test: a copy for every test takes longer than the test."""
    yield shared_urls
    with Database(shared_urls.owner, pool_size=1) as owner:
        with owner.begin() as connection:
            schemas = tenant_schemas(connection)
            connection.exec_driver_sql(
                "truncate public.upload, public.task, public.api_sources, public.api_customer cascade"
            )
        for schema in schemas:
            with owner.begin() as connection:
                drop_tenant(connection, schema)


@pytest.fixture
def stored(database: Database, object_store: ObjectStore) -> Stored:
    return Stored(database, object_store)


@pytest.fixture
def upload_settings() -> UploadSettings:
    return UploadSettings.from_env({})


@pytest.fixture
def app(database: Database, object_store: ObjectStore, upload_settings: UploadSettings) -> Starlette:
    return build_app(database=database, objects=object_store, identity=HeaderIdentity(), uploads=upload_settings)


@pytest.fixture
async def http(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """In process, as an organisation administrator."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://kura", headers=identity_header()) as client:
        yield client


@pytest.fixture
async def address(app: Starlette) -> AsyncIterator[str]:
    async with serving(app) as where:
        yield where
