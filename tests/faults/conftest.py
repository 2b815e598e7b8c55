"""Fixtures of the fault tests."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from queue_site import Site, create_tables, stopping

from kura.testing.postgres import DatabaseUrls
from kura.testing.queue import QueueBench


@asynccontextmanager
async def _site(bench: QueueBench, urls: DatabaseUrls, folder: Path) -> AsyncIterator[Site]:
    await bench.clear_broker()
    with bench.db.begin() as connection:
        create_tables(connection, urls)
    site = Site(bench, folder, urls.writer)
    with stopping(site):
        async with bench.relay(lost_after_seconds=5), bench.reconciling():
            yield site


@pytest.fixture(params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
async def site(request, database, database_urls, tmp_path) -> AsyncIterator[Site]:
    node = request.getfixturevalue("rabbitmq") if request.param == "rabbitmq" else None
    async with _site(QueueBench(database, node), database_urls, tmp_path) as made:
        yield made


@pytest.fixture
async def rabbitmq_site(rabbitmq, database, database_urls, tmp_path) -> AsyncIterator[Site]:
    async with _site(QueueBench(database, rabbitmq), database_urls, tmp_path) as made:
        yield made
