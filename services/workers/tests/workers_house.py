"""What the workers' tests share: a house with a real database and object store, and an aggregator that only nods."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pyarrow.parquet as pq
from sqlalchemy import Row, func, insert, select, text

from kura.core.errors import KuraError
from kura.queue.outbox import enqueue
from kura.queue.queues import QUEUES
from kura.rpc.aggregator.v1 import aggregator_pb2
from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.store.tables.shared import (
    CUSTOMER,
    MANIFEST,
    MANIFEST_FILE,
    MANIFEST_RANGE,
    PROVIDER,
    PROVIDER_AUTHENTICATION,
    SOURCES,
    TASK,
    UPLOAD,
    VISIBLE_FILE_DAY,
)
from kura.testing.archives import manifest_of, payload_bytes, report_row
from kura.testing.postgres import ORG_ID
from kura.testing.queue import QueueBench, until
from kura.workers.app import HANDLERS
from kura.workers.handlers.tools import Tools

TODAY = datetime.now(UTC).date()
DAY = TODAY - timedelta(days=1)
CLUSTER = "cluster-1"


class NoddingAggregator:
    """Records what it is asked to do and says that it did it; `failures` are raised first, one per call."""

    def __init__(self) -> None:
        self.requests: list[aggregator_pb2.StartRunRequest] = []
        self.cost_requests: list[aggregator_pb2.StartRunRequest] = []
        self.cancelled: list[str] = []
        self.failures: list[KuraError] = []
        self.hold: asyncio.Event | None = None
        self.notes: list[str] = []

    async def StartRun(self, request: aggregator_pb2.StartRunRequest) -> AsyncIterator[aggregator_pb2.RunProgress]:
        is_cost = request.pipeline == aggregator_pb2.PIPELINE_COST_MODEL
        (self.cost_requests if is_cost else self.requests).append(request)
        if self.failures:
            raise self.failures.pop(0)
        for done, state in ((0, aggregator_pb2.RUN_STATE_RUNNING), (1, aggregator_pb2.RUN_STATE_SUCCEEDED)):
            if done and self.hold is not None:
                await self.hold.wait()
            yield aggregator_pb2.RunProgress(
                run_id=request.run_id,
                step="read",
                steps_done=done,
                steps_total=1,
                rows_read=7,
                state=state,
                notes=self.notes if request.pipeline == aggregator_pb2.PIPELINE_TOTALS_CHECK else (),
            )

    async def CancelRun(self, request: aggregator_pb2.CancelRunRequest) -> aggregator_pb2.CancelRunResponse:
        self.cancelled.append(request.run_id)
        return aggregator_pb2.CancelRunResponse()


@dataclass
class House:
    """What a test does from outside: sources, uploads, work; and what it looks at."""

    db: Database
    objects: ObjectStore
    tools: Tools
    aggregator: NoddingAggregator
    schema: str
    bench: QueueBench = field(init=False)

    def __post_init__(self) -> None:
        self.bench = QueueBench(self.db, None)

    def add_source(self, cluster_id: str = CLUSTER, *, name: str = "My cluster", paused: bool = False) -> UUID:
        key = uuid4()
        with self.db.begin() as c:
            customer = c.execute(select(CUSTOMER).where(CUSTOMER.c.org_id == ORG_ID)).one()
            credentials = {"cluster_id": cluster_id}
            authentication = c.execute(
                insert(PROVIDER_AUTHENTICATION).values(credentials=credentials).returning(PROVIDER_AUTHENTICATION.c.id)
            ).scalar_one()
            c.execute(
                insert(PROVIDER).values(
                    uuid=key,
                    name=name,
                    type="OCP",
                    customer_id=customer.id,
                    authentication_id=authentication,
                    paused=paused,
                )
            )
            c.execute(
                insert(SOURCES).values(
                    source_id=c.scalar(select(func.coalesce(func.max(SOURCES.c.source_id), 0) + 1)),
                    source_uuid=key,
                    koku_uuid=key,
                    provider_id=key,
                    name=name,
                    source_type="OCP",
                    authentication={"credentials": credentials},
                    org_id=ORG_ID,
                    paused=paused,
                )
            )
        return key

    def upload(self, content: bytes, *, org_id: str = ORG_ID) -> int:
        """As the gateway accepts it."""
        key = f"payloads/{org_id}/{uuid4().hex}.tar.gz"
        self.objects.write(key, content)
        with self.db.begin() as c:
            upload_id: int = c.execute(
                insert(UPLOAD)
                .values(request_id=uuid4().hex, org_id=org_id, object_key=key, size=len(content))
                .returning(UPLOAD.c.id)
            ).scalar_one()
            enqueue(c, tasks_pb2.IngestPayload(upload_id=upload_id))
        return upload_id

    async def work(self, *, slots: int = 1, seconds: float = 30) -> None:
        """Carry out tasks until none is left that may start now."""
        async with self.bench.worker(HANDLERS, queues=QUEUES, slots=slots, tools=self.tools, lease_seconds=10):
            await until(self._is_idle, seconds=seconds)

    async def work_until_no_task_waits(self, *, slots: int = 1, seconds: float = 60) -> None:
        """As `work`, and tasks that wait for another attempt do so no longer."""
        while self.one(select(func.count()).where(TASK.c.state == "queued")):
            self.execute("update task set not_before = now() where state = 'queued'")
            await self.work(slots=slots, seconds=seconds)

    def with_tools(self, **changes: Any) -> None:
        """From now on the handlers work with other tools."""
        self.tools = replace(self.tools, **changes)

    def ask_for_summary(self, manifest: Row[Any], day: date) -> None:
        """As the reconciler asks for what nobody asked for."""
        with self.db.begin() as c:
            c.execute(
                insert(MANIFEST_RANGE).values(
                    manifest_id=manifest.id, month=day.replace(day=1), start_date=day, end_date=day
                )
            )
            message = tasks_pb2.SummariseRange(
                schema_name=self.schema,
                provider_uuid=str(manifest.provider_id),
                start_date=day.isoformat(),
                end_date=day.isoformat(),
                manifest_ids=[manifest.id],
            )
            enqueue(c, message)

    async def _is_idle(self) -> bool:
        busy = select(func.count()).where(
            (TASK.c.state == "running") | ((TASK.c.state == "queued") & (TASK.c.not_before <= func.now()))
        )
        return (await asyncio.to_thread(self.one, busy)) == 0

    async def take_in(self, content: bytes) -> Row[Any]:
        """Upload, work, and the upload as it then is."""
        upload_id = self.upload(content)
        await self.work()
        return self.upload_row(upload_id)

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def one(self, query: Any) -> Any:
        with self.db.begin() as c:
            return c.execute(query).scalar_one()

    def rows(self, query: Any) -> list[Any]:
        with self.db.begin() as c:
            return list(c.execute(query).all())

    def tenant_rows(self, query: Any) -> list[Any]:
        with self.db.tenant(self.schema) as c:
            return list(c.execute(query).all())

    def upload_row(self, upload_id: int) -> Row[Any]:
        [row] = self.rows(select(UPLOAD).where(UPLOAD.c.id == upload_id))
        return row

    def manifests(self) -> list[Row[Any]]:
        return self.rows(select(MANIFEST).order_by(MANIFEST.c.id))

    def files(self) -> dict[str, Row[Any]]:
        return {row.report_name: row for row in self.rows(select(MANIFEST_FILE))}

    def ranges(self) -> list[tuple[Any, ...]]:
        found = self.rows(select(MANIFEST_RANGE).order_by(MANIFEST_RANGE.c.month))
        return [(r.start_date, r.end_date, r.summarised_at is not None) for r in found]

    def tasks(self, message: type) -> list[Row[Any]]:
        kind = message.DESCRIPTOR.full_name  # type: ignore[attr-defined]
        return self.rows(select(TASK).where(TASK.c.type == kind).order_by(TASK.c.created_at))

    def visible(self, *, grain: str = "hourly") -> dict[tuple[str, date], list[dict[str, Any]]]:
        """The rows that count, by report type and day, in an order of their own."""
        found: dict[tuple[str, date], list[dict[str, Any]]] = {}
        for row in self.rows(select(VISIBLE_FILE_DAY)):
            for key in getattr(row, f"{grain}_objects"):
                rows = pq.read_table(io.BytesIO(self.objects.read(key))).to_pylist()
                found.setdefault((row.report_type, row.day), []).extend(rows)
        return {key: sorted(rows, key=repr) for key, rows in sorted(found.items())}

    def parquet_keys(self) -> set[str]:
        return set(self.objects.keys("data/"))

    def execute(self, statement: str, **parameters: Any) -> None:
        with self.db.begin() as c:
            c.execute(text(statement), parameters)


def at(day: date, hour: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def pods(day: date, hours: range = range(24), **values: Any) -> list[Mapping[str, Any]]:
    """One pod for some hours of a day."""
    given = {"node": "n1", "namespace": "shop", "pod": "web-1", "pod_labels": "label_app:web"} | values
    return [report_row("pod_usage", at(day, hour), **given) for hour in hours]


def payload(
    files: Mapping[str, Any],
    *,
    uuid: str | None = None,
    named: list[str] | None = None,
    optimization: Mapping[str, Any] | None = None,
    cluster_id: str = CLUSTER,
    start: Any = None,
    end: Any = None,
    **changes: Any,
) -> bytes:
    """An archive; `named` are the files the manifest names when they are others than those it holds.

    A field given as `...` is left out.
    """
    manifest = manifest_of(
        cluster_id=cluster_id,
        uuid=uuid or str(uuid4()),
        files=list(named if named is not None else files),
        resource_optimization_files=list(optimization or ()),
        date=datetime.now(UTC),
        start=None if start is ... else start or at(DAY),
        end=None if end is ... else end or at(DAY, 23) + timedelta(minutes=59, seconds=59),
    )
    manifest = {name: value for name, value in (dict(manifest) | changes).items() if value is not ...}
    return payload_bytes(manifest=manifest, files={**files, **(optimization or {})})
