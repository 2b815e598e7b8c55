"""The program: settings, probes, a task from start to end over gRPC, SIGTERM, SIGKILL."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest
from grpc import aio
from workers_house import DAY, House, NoddingAggregator, payload, pods

from kura.core.errors import ConfigError
from kura.queue.states import requeue_expired
from kura.rpc.aggregator.v1 import aggregator_pb2_grpc
from kura.testing.postgres import DatabaseUrls
from kura.testing.queue import until
from kura.workers.config import IngestSettings, Settings, usable_cpus
from kura.workers.main import queues_of


class Servicer(aggregator_pb2_grpc.AggregatorServiceServicer):
    """The nodding aggregator behind gRPC."""

    def __init__(self, aggregator: NoddingAggregator) -> None:
        self._aggregator = aggregator

    async def StartRun(self, request, context):
        async for progress in self._aggregator.StartRun(request):
            yield progress


@asynccontextmanager
async def served(aggregator: NoddingAggregator) -> AsyncIterator[str]:
    server = aio.server()
    aggregator_pb2_grpc.add_AggregatorServiceServicer_to_server(Servicer(aggregator), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def program(
    urls: DatabaseUrls, work: Path, *, aggregator: str, objects: Path, port: int, **more: str
) -> Iterator[subprocess.Popen[bytes]]:
    environ = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": urls.writer,
        "OBJECT_STORE": objects.as_uri(),
        "KURA_AGGREGATOR_ADDRESS": aggregator,
        "KURA_WORK_DIRECTORY": str(work),
        "KURA_HTTP_PORT": str(port),
        "KURA_WORKER_LEASE_SECONDS": "2",
        **more,
    }
    command = [sys.executable, "-m", "kura.workers.main", "--queue-class", "default", "--queue-class", "summary"]
    command += ["--queue-class", "refresh"]
    process = subprocess.Popen(command, env=environ)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def is_ready(port: int) -> bool:
    async with httpx.AsyncClient() as client:
        try:
            return (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
        except httpx.TransportError:
            return False


async def test_the_program_takes_an_upload_in_and_stops_cleanly(house: House, database_urls, tmp_path):
    house.add_source()
    upload_id = house.upload(payload({"pods.csv": pods(DAY)}))
    port = free_port()
    async with served(house.aggregator) as address:
        with program(
            database_urls, tmp_path / "work2", aggregator=address, objects=tmp_path / "objects", port=port
        ) as process:

            async def done() -> bool:
                return house.upload_row(upload_id).state == "done"

            await until(done, seconds=60)
            assert await is_ready(port)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 30) == 0

    assert list((tmp_path / "work2").iterdir()) == []
    assert len(house.aggregator.requests) == 1


@pytest.mark.slow
async def test_a_killed_program_leaves_work_that_the_next_one_finishes(house: House, database_urls, tmp_path):
    house.add_source()
    contents = [payload({"pods.csv": pods(DAY, pod=f"p{number}") * 300}) for number in range(3)]
    uploads = [house.upload(content) for content in contents]
    begun = time.monotonic()
    async with served(house.aggregator) as address:
        while any(house.upload_row(n).state != "done" for n in uploads) and time.monotonic() < begun + 90:
            with program(
                database_urls, tmp_path / "work2", aggregator=address, objects=tmp_path / "objects", port=free_port()
            ) as process:
                # Killed while it starts, or at work, ever later; at last it has time enough.
                await asyncio.sleep(2 + (time.monotonic() - begun) / 2)
                process.send_signal(signal.SIGKILL)
            await asyncio.sleep(2.2)
            await asyncio.to_thread(house.bench.in_transaction, requeue_expired)
            house.execute("update task set not_before = now(), attempt = 0 where state = 'queued'")

    assert [house.upload_row(n).state for n in uploads] == ["done"] * 3
    assert len(house.visible()[("pod_usage", DAY)]) == 24 * 300


async def test_a_worker_waits_for_the_migrations(postgres_server, tmp_path):
    port = free_port()
    with (
        postgres_server.empty_database() as urls,
        program(urls, tmp_path / "work", aggregator="127.0.0.1:1", objects=tmp_path / "objects", port=port),
    ):

        async def alive() -> bool:
            async with httpx.AsyncClient() as client:
                try:
                    return (await client.get(f"http://127.0.0.1:{port}/livez")).status_code == 200
                except httpx.TransportError:
                    return False

        await until(alive, seconds=30)
        assert not await is_ready(port)


def test_queue_classes_are_checked():
    assert queues_of("default, summary,default") == ("default", "summary")
    for wrong in ("", " , ", "fast"):
        with pytest.raises(ConfigError, match="KURA_QUEUE_CLASS"):
            queues_of(wrong)


def test_bad_settings_are_all_named_at_once():
    with pytest.raises(ConfigError) as refused:
        Settings.from_env({"OBJECT_STORE": "ftp://x", "RETAIN_NUM_MONTHS": "0", "KURA_WORKER_SLOTS": "none"})

    names = set(re.findall(r"^  (\w+):", str(refused.value), re.MULTILINE))
    assert {"DATABASE_URL", "OBJECT_STORE", "RETAIN_NUM_MONTHS", "KURA_WORKER_SLOTS"} <= names


def test_retention_of_the_environment_counts_only_when_it_is_not_the_default():
    assert IngestSettings.from_env({"RETAIN_NUM_MONTHS": "4"}).retain_override is None
    assert IngestSettings.from_env({"RETAIN_NUM_MONTHS": "12"}).retain_override == 12


def test_threads_follow_the_usable_cpus():
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)
    assert IngestSettings.from_env({"KURA_CONVERT_THREADS": "3"}).threads == 3
