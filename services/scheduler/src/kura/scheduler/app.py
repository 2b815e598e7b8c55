"""The scheduler, built from what it needs; alone and inside the single process the same."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from kura.core.errors import KuraError
from kura.core.http import build_app
from kura.core.service import Background
from kura.queue.rabbitmq import QueueType
from kura.queue.relay import Relay
from kura.queue.transport import Books
from kura.rpc.security import Security
from kura.rpc.server import RpcService
from kura.scheduler import drift, status
from kura.scheduler.config import ReconcilerSettings, ScheduleSettings
from kura.scheduler.reconciler import Reconciler
from kura.scheduler.routes.admin import admin_routes
from kura.scheduler.schedule import Ticker, defaults
from kura.scheduler.servicers import services
from kura.store.database import Database

LEASE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Scheduler:
    """What a process runs to be a scheduler."""

    background: Sequence[Background]
    """In the order of their start: relay (with a broker), schedule, status reconciler, drift reconciler."""
    rpc: Sequence[RpcService]
    routes: Sequence[BaseRoute]


def build_scheduler(
    *,
    db: Database,
    owner: str,
    security: Security,
    schedule: ScheduleSettings | None = None,
    reconcilers: ReconcilerSettings | None = None,
    broker_url: str | None = None,
    queue_type: QueueType = "classic",
) -> Scheduler:
    """Wire the parts. Several may run: each part elects one of them by its lease.

    `db` serves the administrators and the bookkeeping; six connections are enough.
    """
    schedule = schedule or ScheduleSettings()
    reconcilers = reconcilers or ReconcilerSettings()

    def books() -> Books:
        return Books(db, owner=owner, lease_seconds=LEASE_SECONDS, threads=2)

    relay = Relay(url=broker_url, books=books(), queue_type=queue_type) if broker_url else None
    ticker = Ticker(books=books(), defaults=defaults(schedule))
    status_reconciler = Reconciler(
        "status", books=books(), checks=status.checks(reconcilers), seconds=reconcilers.status_seconds
    )
    drift_reconciler = Reconciler(
        "drift", books=books(), checks=drift.checks(reconcilers), seconds=reconcilers.drift_seconds
    )
    parts: list[Background] = [ticker, status_reconciler, drift_reconciler]
    return Scheduler(
        background=[relay, *parts] if relay else parts,
        rpc=services(db),
        routes=admin_routes(db, security=security),
    )


def build_http(scheduler: Scheduler, *, db: Database) -> Starlette:
    """Probes, metrics, and the administrators' routes."""

    async def ready() -> Mapping[str, str | None]:
        try:
            await asyncio.to_thread(db.ping)
        except KuraError as error:
            return {"database": str(error)}
        return {"database": None}

    return build_app(service="scheduler", routes=scheduler.routes, ready=ready)
