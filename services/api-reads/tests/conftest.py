"""The read gateway over a real database that holds the sample of the read API's worked examples."""

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette

from kura.api_reads.app import build_app, build_gateway
from kura.api_reads.gateway import Gateway
from kura.core.identity import HeaderIdentity
from kura.store.database import Database
from kura.testing.asking import Asker
from kura.testing.postgres import SCHEMA, DatabaseUrls
from kura.testing.summary_rows import TODAY, load_sample


@pytest.fixture(scope="module")
def writer(module_database_urls: DatabaseUrls) -> Iterator[Database]:
    """The database as services that write see it; it holds the sample."""
    with Database(module_database_urls.writer) as opened:
        with opened.tenant(SCHEMA) as connection:
            load_sample(connection)
        yield opened


@pytest.fixture(scope="module")
def gateway(writer: Database, module_database_urls: DatabaseUrls) -> Iterator[Gateway]:
    with Database(module_database_urls.reader, read_only=True) as reader:
        yield build_gateway(reader=reader, primary=writer, today=lambda: TODAY)


@pytest.fixture(scope="module")
def app(gateway: Gateway) -> Starlette:
    return build_app(gateway=gateway, identity=HeaderIdentity())


@pytest.fixture(scope="module")
def ask(app: Starlette) -> Asker:
    """GET as an organisation administrator."""
    return Asker(app)
