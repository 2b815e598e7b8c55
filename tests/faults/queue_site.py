"""Processes of workers over one database, to be killed, paused and cut off."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from queue_worker import TABLES
from sqlalchemy import text

from kura.queue.outbox import enqueue
from kura.rpc.tasks.v1 import tasks_pb2 as pb
from kura.testing.queue import QueueBench, until

HERE = Path(__file__).parent
LEASE_SECONDS = 2.0


class Site:
    """Processes of workers over one database."""

    def __init__(self, bench: QueueBench, folder: Path, database_url: str) -> None:
        self.bench = bench
        self.folder = folder
        self.database_url = database_url
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, **plan: object) -> subprocess.Popen[bytes]:
        facts = {
            "database": self.database_url,
            "broker": self.bench.node.worker_url if self.bench.node else None,
            "lease_seconds": LEASE_SECONDS,
            "marks": str(self.folder),
            **plan,
        }
        with (self.folder / f"worker-{len(self.processes)}.log").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, HERE / "queue_worker.py", json.dumps(facts)], stdout=output, stderr=output
            )
        self.processes.append(process)
        return process

    def output(self, number: int) -> str:
        return (self.folder / f"worker-{number}.log").read_text()

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()

    async def reached(self, point: str) -> None:
        await until(lambda: _is((self.folder / point).exists()))

    async def died(self, process: subprocess.Popen[bytes]) -> None:
        await until(lambda: _is(process.poll() is not None))

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with self.bench.db.begin() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def ask(self, *uploads: int) -> None:
        with self.bench.db.begin() as connection:
            for upload_id in uploads:
                enqueue(connection, pb.IngestPayload(upload_id=upload_id))

    async def finished(self, *, seconds: float = 60) -> None:
        """No task waits or runs any more."""
        alive = "select count(*) from task where state in ('queued', 'running')"
        await until(lambda: _is(self.rows(alive) == [(0,)]), seconds=seconds)

    def assert_as_clean(self, *uploads: int) -> None:
        days = [
            row
            for upload in sorted(uploads)
            for row in ((upload, "pods", upload * 10), (upload, "storage", upload * 100))
        ]
        assert self.rows("select * from fault_day order by upload_id, part") == days
        assert self.rows("select upload_id from fault_follow order by 1") == [(upload,) for upload in sorted(uploads)]
        assert self.rows("select type, state, error from task where state <> 'succeeded'") == []
        follow_ups = "select count(*) from task where type = 'kura.tasks.v1.MarkManifestsComplete'"
        assert self.rows(follow_ups) == [(len(uploads),)]


@contextlib.contextmanager
def stopping(site: Site) -> Iterator[None]:
    try:
        yield
    finally:
        site.stop()


def create_tables(connection, urls) -> None:
    from kura.store.database import Database

    with Database(urls.owner, pool_size=1) as owner, owner.begin() as owning:
        for statement in TABLES.strip().split(";"):
            if statement.strip():
                owning.execute(text(statement))
        owning.execute(text("grant all on fault_day, fault_write, fault_follow to kura_writer"))


async def _is(value: bool) -> bool:
    return value
