"""What a cost model would cost, beside what is stored: checked here, computed by the aggregator, written nowhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import Connection, select

from kura.api_writes.cost_models import read_cost_model
from kura.api_writes.costs_lock import Tenant
from kura.api_writes.fields import Problems, date_of
from kura.core.days import Month
from kura.core.errors import Forbidden, Unavailable, ValidationErrors
from kura.core.identity import Identity
from kura.rpc.aggregator.v1 import aggregator_pb2
from kura.store.tables.tenant import PRICE_LIST

PREVIEW_SECONDS: Final = 120.0
"""Longest time one preview may take."""
AT_ONCE: Final = 2
"""Previews one gateway asks for at a time; others wait."""
OPENSHIFT_KINDS: Final = ("openshift.cluster", "openshift.node", "openshift.project")


class CostPreviewer(Protocol):
    """The aggregator: a gRPC stub, or the servicer of the same process."""

    def PreviewCosts(
        self, request: aggregator_pb2.PreviewCostsRequest
    ) -> Awaitable[aggregator_pb2.PreviewCostsResponse]:
        """Costs by project, as stored and under another cost model."""
        ...


class PreviewUnavailable(Unavailable):
    """No aggregator is configured for this gateway."""

    code = "preview_unavailable"


@dataclass(frozen=True, kw_only=True)
class PreviewRequest:
    """A valid request."""

    schema: str
    sources: tuple[UUID, ...]
    start: date
    end: date
    currency: str
    cost_model: Mapping[str, Any]


def require_all_costs(identity: Identity) -> None:
    """Forbidden for callers who may not see the costs of every project."""
    for kind in OPENSHIFT_KINDS:
        inherits = kind not in identity.access and kind != OPENSHIFT_KINDS[0]
        if not inherits and "*" not in identity.may(kind):
            raise Forbidden


def read_preview(connection: Connection, body: Mapping[str, Any], tenant: Tenant, *, today: date) -> PreviewRequest:
    """The body of a cost model with a period; names are not needed. ValidationErrors.

    Where it names price lists these are what holds, as when it is stored.
    """
    period = {name: body.get(name) for name in ("start_date", "end_date")}
    start, end = _read_period(period, today=today)
    usual = {"name": "", "description": "", "source_type": "OCP"}
    model = read_cost_model(connection, {**usual, **body}, tenant)
    if not model.sources:
        raise ValidationErrors([("source_uuids", "At least one source is needed.")])
    return PreviewRequest(
        schema=tenant.schema,
        sources=tuple(model.sources),
        start=start,
        end=end,
        currency=model.currency,
        cost_model={
            "rates": list(model.rates or []),
            "price_lists": _price_lists(connection, model.price_lists or ()),
            "markup": dict(model.markup or {}),
            "distribution_info": dict(model.distribution_info or {}),
        },
    )


def _price_lists(connection: Connection, keys: Sequence[UUID]) -> list[dict[str, Any]]:
    """When each list holds and what it says, by priority."""
    lists = PRICE_LIST.c
    columns = (lists.uuid, lists.effective_start_date, lists.effective_end_date, lists.rates)
    found = {row.uuid: row for row in connection.execute(select(*columns).where(lists.uuid.in_(keys)))}
    return [
        {
            "effective_start_date": found[key].effective_start_date.isoformat(),
            "effective_end_date": found[key].effective_end_date.isoformat(),
            "rates": found[key].rates,
        }
        for key in keys
    ]


def _read_period(given: Mapping[str, Any], *, today: date) -> tuple[date, date]:
    """Both days, or this month until today where none is given."""
    if given["start_date"] is None and given["end_date"] is None:
        return Month.of(today).first, today
    problems = Problems()
    start, end = date_of(given["start_date"]), date_of(given["end_date"])
    for name, day in (("start_date", start), ("end_date", end)):
        if day is None:
            problems.add(name, "A day as YYYY-MM-DD is required.")
        elif day > today:
            problems.add(name, "A preview is about days that are past.")
    if start is not None and end is not None and end < start:
        problems.add("end_date", "May not be before start_date.")
    problems.refuse()
    assert start is not None
    assert end is not None
    return start, end


class Previews:
    """Asks the aggregator, a few previews at a time."""

    def __init__(self, aggregator: CostPreviewer | None) -> None:
        self._aggregator = aggregator
        self._places = asyncio.Semaphore(AT_ONCE)

    async def preview(self, read: Callable[[], Awaitable[PreviewRequest]]) -> dict[str, Any]:
        """The answer for clients. PreviewUnavailable without an aggregator."""
        if self._aggregator is None:
            raise PreviewUnavailable
        wanted = await read()
        message = aggregator_pb2.PreviewCostsRequest(
            schema_name=wanted.schema,
            provider_uuids=[str(source) for source in wanted.sources],
            start_date=wanted.start.isoformat(),
            end_date=wanted.end.isoformat(),
            cost_model=json.dumps(wanted.cost_model),
        )
        async with self._places:
            found = await self._aggregator.PreviewCosts(message)
        return preview_item(wanted, found)


def preview_item(wanted: PreviewRequest, found: aggregator_pb2.PreviewCostsResponse) -> dict[str, Any]:
    return {
        "meta": {
            "count": len(found.projects),
            "currency": wanted.currency,
            "start_date": wanted.start.isoformat(),
            "end_date": wanted.end.isoformat(),
            "total": _compared(found.now, found.then),
        },
        "data": [
            {
                "source_uuid": project.provider_uuid,
                "project": project.namespace,
                **_compared(project.now, project.then),
            }
            for project in found.projects
        ],
    }


def _compared(now: aggregator_pb2.CostParts, then: aggregator_pb2.CostParts) -> dict[str, Any]:
    return {"now": _parts(now), "then": _parts(then), "difference": then.total_cost - now.total_cost}


def _parts(parts: aggregator_pb2.CostParts) -> dict[str, float]:
    """Members as in cost reports: the plain total, and that with everything handed on."""
    plain = parts.raw_cost + parts.markup_cost + parts.infrastructure_usage_cost + parts.supplementary_usage_cost
    return {
        "raw": parts.raw_cost,
        "markup": parts.markup_cost,
        "infrastructure_usage": parts.infrastructure_usage_cost,
        "supplementary_usage": parts.supplementary_usage_cost,
        "total": plain,
        "platform_distributed": parts.platform_distributed,
        "worker_unallocated_distributed": parts.worker_distributed,
        "storage_unattributed_distributed": parts.unattributed_storage,
        "network_unattributed_distributed": parts.unattributed_network,
        "gpu_unallocated_distributed": parts.gpu_distributed,
        "distributed": parts.total_cost,
    }
