"""Workers whose way to the database or to the broker is cut, refused or silent (reliability F09, F20, F22, F24)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from queue_site import Site
from sqlalchemy import make_url

from kura.testing.postgres import DatabaseUrls
from kura.testing.proxies import TcpProxy
from kura.testing.queue import until

LONG = pytest.mark.skipif("KURA_LONG_FAULTS" not in os.environ, reason="takes long; tox -e faults runs it")
UPLOADS = range(1, 11)
CUTS = min(int(os.environ.get("KURA_FAULT_KILLS", "2")), 10)  # a lease has to end after most of them


@pytest.fixture
def to_database(database_urls: DatabaseUrls) -> Iterator[TcpProxy]:
    url = make_url(database_urls.writer)
    with TcpProxy(url.host or str(url.query["host"]), int(url.port or url.query.get("port", 5432))) as proxy:
        yield proxy


def through(proxy: TcpProxy, address: str) -> str:
    """The same address by way of the proxy."""
    url = make_url(address)
    host = {name: value for name, value in url.query.items() if name not in ("host", "port")}
    return url.set(host="127.0.0.1", port=proxy.port, query=host).render_as_string(hide_password=False)


async def test_F22_connections_cut_at_the_commit_leave_the_tables_of_a_clean_run(site: Site, to_database: TcpProxy):
    site.start(database=through(to_database, site.database_url), read_seconds=0.05, lease_seconds=3)
    site.ask(*UPLOADS)
    finished = asyncio.create_task(site.finished(seconds=60 + 5 * CUTS))
    while not finished.done() and to_database.cuts < CUTS:
        to_database.cut_after(b"COMMIT")
        await asyncio.sleep(0.1)
    await finished

    assert to_database.cuts >= 2
    assert site.processes[0].poll() is None
    site.assert_as_clean(*UPLOADS)


async def test_F20_F24_a_database_that_cuts_and_refuses_is_waited_for(site: Site, to_database: TcpProxy):
    site.start(database=through(to_database, site.database_url), read_seconds=0.05, lease_seconds=3)
    site.ask(*UPLOADS)
    await site.reached("written")
    for _ in range(5):
        to_database.cut()
        await asyncio.sleep(0.1)
    to_database.refuse()
    site.ask(*(upload + 100 for upload in UPLOADS))
    await asyncio.sleep(2)
    to_database.restore()
    await site.finished()

    assert site.processes[0].poll() is None
    site.assert_as_clean(*UPLOADS, *(upload + 100 for upload in UPLOADS))


@pytest.mark.rabbitmq
@pytest.mark.parametrize("fault", ["refuse", pytest.param("swallow", marks=LONG)])
async def test_F09_a_broker_behind_a_cut_or_silent_wire_is_found_again(rabbitmq_site: Site, fault: str):
    site = rabbitmq_site
    assert site.bench.node is not None
    with TcpProxy("127.0.0.1", site.bench.node.port) as wire:
        address = make_url(site.bench.node.worker_url).set(port=wire.port).render_as_string(hide_password=False)
        site.start(broker=address, read_seconds=0.05, lease_seconds=3)
        site.ask(*UPLOADS)
        await site.reached("written")
        getattr(wire, fault)()
        site.ask(*(upload + 100 for upload in UPLOADS))
        connections = wire.connections
        await asyncio.sleep(2)
        if fault == "swallow":  # nobody says a word: heartbeats tell, after two intervals at most
            await until(lambda: _is(wire.connections > connections), seconds=30)
        wire.restore()
        await site.finished(seconds=90)

    assert site.processes[0].poll() is None
    site.assert_as_clean(*UPLOADS, *(upload + 100 for upload in UPLOADS))


async def _is(value: bool) -> bool:
    return value
