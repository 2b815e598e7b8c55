"""A worker in a process of its own, to be killed: `python queue_worker.py '{"database": …}'`.

Its handlers write what a real one would: a day in two tables, in one transaction, and a task that follows. A fail
point, named in the plan, kills the process the first time it is reached.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import text

from kura.core.service import Service
from kura.core.telemetry import configure_logging
from kura.queue.context import Context
from kura.queue.embedded import EmbeddedTransport
from kura.queue.rabbitmq import RabbitTransport
from kura.queue.transport import Books
from kura.queue.worker import Worker
from kura.rpc.tasks.v1 import tasks_pb2 as pb
from kura.store.database import Database

TABLES = """
create table if not exists fault_day (upload_id bigint, part text, value bigint);
create table if not exists fault_write (upload_id bigint, at timestamptz default clock_timestamp());
create table if not exists fault_follow (upload_id bigint primary key);
"""


class Plan:
    """What this process is to do, and where it is to die."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.database: str = facts["database"]
        self.broker: str | None = facts.get("broker")
        self.lease_seconds: float = facts.get("lease_seconds", 2)
        self.read_seconds: float = facts.get("read_seconds", 0)
        self.commit_seconds: float = facts.get("commit_seconds", 0)
        self.fail_at: str | None = facts.get("fail_at")
        self.marks = Path(facts["marks"])

    def reach(self, point: str) -> None:
        """Leave a mark; die if this is where, and nobody died here before."""
        mark = self.marks / point
        died_before = mark.exists()
        mark.touch()
        if point == self.fail_at and not died_before:
            os.kill(os.getpid(), signal.SIGKILL)


def handlers(plan: Plan) -> dict[Any, Any]:
    async def ingest(task: pb.IngestPayload, ctx: Context[Any]) -> None:
        plan.reach("reading")
        await asyncio.sleep(plan.read_seconds)
        await asyncio.to_thread(write_day, task.upload_id, ctx)
        plan.reach("written")
        ctx.follow_with(pb.MarkManifestsComplete(provider_uuid=str(task.upload_id), manifest_ids=[task.upload_id]))

    def write_day(upload_id: int, ctx: Context[Any]) -> None:
        with ctx.db.begin() as connection:
            key = {"id": upload_id}
            connection.execute(text("delete from fault_day where upload_id = :id"), key)
            connection.execute(text("insert into fault_day values (:id, 'pods', :id * 10)"), key)
            plan.reach("between")
            time.sleep(plan.commit_seconds)
            connection.execute(text("insert into fault_day values (:id, 'storage', :id * 100)"), key)
            connection.execute(text("insert into fault_write values (:id)"), key)
            plan.reach("before the fence")
            ctx.assert_held(connection)

    async def follow(task: pb.MarkManifestsComplete, ctx: Context[Any]) -> None:
        with ctx.db.begin() as connection:
            done = text("insert into fault_follow values (:id) on conflict do nothing")
            connection.execute(done, {"id": task.manifest_ids[0]})

    async def crash(task: pb.RemoveStaleTenants, ctx: Context[Any]) -> None:
        os._exit(9)

    return {pb.IngestPayload: ingest, pb.MarkManifestsComplete: follow, pb.RemoveStaleTenants: crash}


async def main(plan: Plan) -> None:
    configure_logging(service="worker", level="INFO", log_format="json")
    with Database(plan.database, pool_size=8) as db:
        books = Books(db, owner=f"process-{os.getpid()}", lease_seconds=plan.lease_seconds)
        transport = RabbitTransport(plan.broker, books) if plan.broker else EmbeddedTransport(books)
        worker = Worker(
            books=books,
            transport=transport,
            handlers=handlers(plan),
            tools=None,
            db=db,
            queues=("default", "priority"),
            slots=2,
        )
        for feed in worker.feeds:
            settle = feed.settle

            async def settle_or_die(*, dead: bool, settle: Any = settle) -> None:
                plan.reach("before the ack")
                await settle(dead=dead)

            feed.settle = settle_or_die  # type: ignore[method-assign]
        await Service(name="worker", app=None, background=[worker], shutdown_seconds=10).run()


if __name__ == "__main__":
    asyncio.run(main(Plan(json.loads(sys.argv[1]))))
