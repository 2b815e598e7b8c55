"""Reading sources, for the UI and for the Sources API the operator speaks (write-api §5).

On the primary database, so that a client finds what it has just written.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, false, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from kura.api_reads.endpoints import PAGING, Described
from kura.core.days import Month, today
from kura.core.errors import BadRequest
from kura.core.http import API_PREFIX, SOURCES_PREFIX, ApiJson, identity_of, page, page_bounds, values_of
from kura.core.identity import Identity, require_unrestricted
from kura.store.database import Database, in_schema
from kura.store.sources import (
    APPLICATION_TYPE_ID,
    OPENSHIFT,
    SOURCE_TYPES,
    Source,
    SourceType,
    application_item,
    get_source,
    select_sources,
    source_item,
    source_of,
    source_type_of,
    timestamp,
)
from kura.store.tables.shared import (
    CUSTOMER,
    FILE_DONE,
    MANIFEST,
    MANIFEST_FILE,
    PROVIDER,
    PROVIDER_INFRASTRUCTURE_MAP,
    SOURCES,
)
from kura.store.tables.tenant import COST_MODEL, COST_MODEL_MAP
from kura.store.tenancy import tenant_exists

OFFERED = (OPENSHIFT,)
APPLICATION_NAME = "/insights/platform/cost-management"
NEWEST_OPERATOR = (4, 4, 1)
VM_COST_MODEL_OPERATOR = (4, 0, 0)
STEPS = ("download", "processing", "summary")
MANIFESTS_PER_MONTH = 3
NEVER_CACHED = {"Cache-Control": "max-age=0, no-cache, no-store, must-revalidate, private"}

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")

SOURCE_PARAMETERS: Mapping[str, tuple[Described, ...]] = {
    "/sources/": (
        *PAGING,
        Described(name="name", text="Part of the name."),
        Described(name="type", text="Code of a source type, for example OCP."),
        Described(name="source_type", text="Code or name of a source type."),
        Described(name="source_type_id", text="Id of a source type."),
        Described(name="source_ref", text="Cluster id."),
    ),
    "/applications/": (
        Described(name="filter", text="Only items that match.", keys=("source_id", "application_type_id")),
    ),
    "/source-status/": (Described(name="source_id", text="Id of a source.", kind="integer"),),
    "/source_types/": (Described(name="filter", text="Only items that match.", keys=("name",)),),
    "/application_types/": (Described(name="filter", text="Only items that match.", keys=("name",)),),
}

Conditions = list[ColumnElement[bool]]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What tables beside `api_sources` say about the sources of one answer, by provider."""

    newest: Mapping[UUID, Mapping[str, Any]]
    months: Mapping[UUID, frozenset[Month]]
    cost_models: Mapping[UUID, Sequence[Mapping[str, str]]]
    infrastructures: Mapping[int, Mapping[str, Any]]


class SourceReads:
    """List and read sources of the caller's organisation."""

    def __init__(self, *, primary: Database) -> None:
        self._primary = primary

    def routes(self) -> list[BaseRoute]:
        routes: list[BaseRoute] = []
        for prefix in (API_PREFIX, SOURCES_PREFIX):
            for slash in ("", "/"):
                routes += [
                    Route(f"{prefix}/sources{slash}", self.list_sources, methods=["GET"]),
                    Route(f"{prefix}/sources/{{key}}{slash}", self.read_source, methods=["GET"]),
                    Route(f"{prefix}/sources/{{key}}/stats{slash}", self.read_stats, methods=["GET"]),
                    Route(f"{prefix}/source_types{slash}", source_types, methods=["GET"]),
                    Route(f"{prefix}/application_types{slash}", application_types, methods=["GET"]),
                    Route(f"{prefix}/applications{slash}", self.list_applications, methods=["GET"]),
                    Route(f"{prefix}/source-status{slash}", self.read_status, methods=["GET"]),
                ]
        return routes

    async def list_sources(self, request: Request) -> Response:
        identity = _reader(request)
        conditions = source_filters(request)
        limit, offset = page_bounds(request)

        def read() -> tuple[int, Sequence[Mapping[str, Any]]]:
            with self._primary.begin(snapshot=True) as connection:
                chosen = select_sources(identity.org_id).where(*conditions)
                count = int(connection.scalar(select(func.count()).select_from(chosen.subquery())) or 0)
                ordered = chosen.order_by(SOURCES.c.name, SOURCES.c.source_id).limit(limit).offset(offset)
                sources = [source_of(row) for row in connection.execute(ordered)]
                return count, source_objects(connection, identity.org_id, sources)

        count, items = await asyncio.to_thread(read)
        body = page(request, items, count=count, limit=limit, offset=offset)
        return ApiJson(body, headers=NEVER_CACHED)

    async def read_source(self, request: Request) -> Response:
        def read(connection: Connection, source: Source) -> Any:
            return source_objects(connection, source.org_id, [source])[0]

        return await self._about(request, read)

    async def read_stats(self, request: Request) -> Response:
        return await self._about(request, source_stats)

    async def list_applications(self, request: Request) -> Response:
        identity = _reader(request)
        type_ids = _asked(request, "application_type_id")
        source_ids = _asked(request, "source_id")

        def read() -> list[Mapping[str, str]]:
            if type_ids and APPLICATION_TYPE_ID not in type_ids:
                return []
            chosen = select_sources(identity.org_id).order_by(SOURCES.c.source_id)
            if source_ids:
                chosen = chosen.where(SOURCES.c.source_id.in_([int(i) for i in source_ids if _is_id(i)]))
            with self._primary.begin() as connection:
                return [application_item(row.source_id) for row in connection.execute(chosen)]

        return ApiJson(counted(await asyncio.to_thread(read)))

    async def read_status(self, request: Request) -> Response:
        text = request.query_params.get("source_id", "")
        if not _is_id(text):
            raise BadRequest("source_id must be an integer", field="source_id")
        identity = identity_of(request)

        def read() -> dict[str, Any]:
            with self._primary.begin() as connection:
                return availability(get_source(connection, org_id=identity.org_id, key=text))

        return ApiJson(await asyncio.to_thread(read), headers=NEVER_CACHED)

    async def _about(self, request: Request, tell: Callable[[Connection, Source], Any]) -> Response:
        identity = _reader(request)
        key = request.path_params["key"]

        def read() -> Any:
            with self._primary.begin(snapshot=True) as connection:
                return tell(connection, get_source(connection, org_id=identity.org_id, key=key))

        return ApiJson(await asyncio.to_thread(read), headers=NEVER_CACHED)


# ------------------------------------------------------------------------------------------------- filters


def source_filters(request: Request) -> Conditions:
    """name (contains, all of a list), type, source_type, source_type_id, source_ref; others are ignored (§5.2)."""
    conditions: Conditions = [SOURCES.c.name.icontains(part, autoescape=True) for part in _asked(request, "name")]
    for name in ("type", "source_type"):
        conditions += _one_of_types(_asked(request, name), source_type_of)
    conditions += _one_of_types(_asked(request, "source_type_id"), _type_with_id)
    references = _asked(request, "source_ref")
    if references:
        conditions.append(SOURCES.c.authentication["credentials"]["cluster_id"].astext.in_(references))
    return conditions


def _one_of_types(texts: Sequence[str], find: Callable[[str], SourceType | None]) -> Conditions:
    if not texts:
        return []
    kinds = [kind.code for kind in map(find, texts) if kind is not None]
    return [SOURCES.c.source_type.in_(kinds)] if kinds else [false()]


def _type_with_id(text: str) -> SourceType | None:
    return next((kind for kind in SOURCE_TYPES if kind.id == text), None)


def _asked(request: Request, name: str) -> list[str]:
    values = [
        *request.query_params.getlist(name),
        *request.query_params.getlist(f"filter[{name}]"),
        *request.query_params.getlist(f"filter[{name}][eq]"),
    ]
    return values_of(values, name)


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _reader(request: Request) -> Identity:
    identity = identity_of(request)
    require_unrestricted(identity, "sources", "read")
    return identity


# ------------------------------------------------------------------------------------------------- one source


def source_objects(connection: Connection, org_id: str, sources: Sequence[Source]) -> list[dict[str, Any]]:
    """The full objects of write-api §5.1, with a handful of queries however many sources there are."""
    providers = [source.provider_uuid for source in sources if source.provider_uuid is not None]
    found = Found(
        newest=newest_manifests(connection, providers),
        months=months_with_data(connection, providers),
        cost_models=cost_models_of(connection, org_id, providers),
        infrastructures=infrastructures_of(connection, sources),
    )
    return [source_object(source, found) for source in sources]


def source_object(source: Source, found: Found) -> dict[str, Any]:
    item = source_item(source)
    if source.provider_uuid is None:
        flags = ("active", "provider_linked", "current_month_data", "previous_month_data", "has_data")
        dates = ("last_payload_received_at", "last_polling_time")
        nothing: dict[str, Any] = {"status": {}, "infrastructure": {}, "additional_context": {}, "cost_models": []}
        return {**item, "created_timestamp": None, **dict.fromkeys((*flags, *dates), False), **nothing}

    newest = found.newest.get(source.provider_uuid)
    months = found.months.get(source.provider_uuid, frozenset())
    this_month = Month.of(today())
    infrastructure = found.infrastructures.get(source.infrastructure_id) if source.infrastructure_id else None
    return {
        **item,
        "created_timestamp": timestamp(source.created_timestamp),
        "active": source.active,
        "provider_linked": True,
        "current_month_data": this_month in months,
        "previous_month_data": this_month.plus(-1) in months,
        "has_data": bool(months),
        "last_payload_received_at": _clock_text(newest["creation_datetime"]) if newest else None,
        "last_polling_time": _clock_text(source.polling_timestamp),
        "status": processing_status(newest["state"]) if newest else None,
        "infrastructure": dict(infrastructure or {}),
        "cost_models": list(found.cost_models.get(source.provider_uuid, ())),
        "additional_context": operator_context(newest) if newest and source.type == OPENSHIFT else {},
    }


def processing_status(state: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each step of the newest manifest: pending, in-progress, complete or failed."""
    return {step: _step(state.get(step) or {}) for step in STEPS}


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    if step.get("failed"):
        word = "failed"
    elif step.get("end"):
        word = "complete"
    else:
        word = "in-progress" if step.get("start") else "pending"
    return {"state": word, "start": step.get("start"), "end": step.get("end") or step.get("failed")}


def operator_context(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the newest manifest says about the operator."""
    version = manifest["operator_version"] or None
    found = _VERSION.search(version or "")
    numbers = tuple(int(part) for part in found.groups()) if found else None
    return {
        "operator_version": version,
        "operator_airgapped": manifest["operator_airgapped"],
        "operator_certified": manifest["operator_certified"],
        "operator_update_available": numbers is not None and numbers < NEWEST_OPERATOR,
        "vm_cpu_core_cost_model_support": numbers is not None and numbers >= VM_COST_MODEL_OPERATOR,
    }


def availability(source: Source) -> dict[str, Any]:
    """The availability report of the Sources API."""
    error = source.status.get("availability_status_error") or source.status.get("availability_error")
    available = source.active and not source.paused and not error
    return {
        "source_id": str(source.id),
        "availability_status": "available" if available else "unavailable",
        "availability_status_error": error or ("" if available else "paused" if source.paused else "inactive"),
    }


def _clock_text(moment: datetime | None) -> str | None:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if moment is not None else None


# ------------------------------------------------------------------------------------------------- queries


def newest_manifests(connection: Connection, providers: Iterable[UUID]) -> dict[UUID, Mapping[str, Any]]:
    rows = connection.execute(
        select(
            MANIFEST.c.provider_id,
            MANIFEST.c.creation_datetime,
            MANIFEST.c.state,
            MANIFEST.c.operator_version,
            MANIFEST.c.operator_airgapped,
            MANIFEST.c.operator_certified,
        )
        .ext(distinct_on(MANIFEST.c.provider_id))
        .where(MANIFEST.c.provider_id.in_(list(providers)))
        .order_by(MANIFEST.c.provider_id, MANIFEST.c.creation_datetime.desc(), MANIFEST.c.id.desc())
    )
    return {row.provider_id: dict(row._mapping) for row in rows}


def months_with_data(connection: Connection, providers: Iterable[UUID]) -> dict[UUID, frozenset[Month]]:
    rows = connection.execute(
        select(MANIFEST.c.provider_id, func.array_agg(MANIFEST.c.billing_period_start_datetime.distinct()).label("all"))
        .where(MANIFEST.c.provider_id.in_(list(providers)))
        .group_by(MANIFEST.c.provider_id)
    )
    return {row.provider_id: frozenset(Month.of(start.astimezone(UTC)) for start in row.all) for row in rows}


def cost_models_of(
    connection: Connection, org_id: str, providers: Iterable[UUID]
) -> dict[UUID, list[Mapping[str, str]]]:
    """Cost models by provider; none while the organisation has no schema."""
    schema = connection.scalar(select(CUSTOMER.c.schema_name).where(CUSTOMER.c.org_id == org_id))
    if schema is None or not tenant_exists(connection, schema):
        return {}
    rows = in_schema(connection, schema).execute(
        select(COST_MODEL_MAP.c.provider_uuid, COST_MODEL.c.name, COST_MODEL.c.uuid)
        .join(COST_MODEL, COST_MODEL.c.uuid == COST_MODEL_MAP.c.cost_model_id)
        .where(COST_MODEL_MAP.c.provider_uuid.in_(list(providers)))
        .order_by(COST_MODEL.c.name)
    )
    found: dict[UUID, list[Mapping[str, str]]] = {}
    for row in rows:
        found.setdefault(row.provider_uuid, []).append({"name": row.name, "uuid": str(row.uuid)})
    return found


def infrastructures_of(connection: Connection, sources: Sequence[Source]) -> dict[int, Mapping[str, Any]]:
    """The cloud sources that clusters run on, by the id of their mapping."""
    ids = [source.infrastructure_id for source in sources if source.infrastructure_id is not None]
    if not ids:
        return {}
    cloud = PROVIDER_INFRASTRUCTURE_MAP.c
    rows = connection.execute(
        select(
            cloud.id.label("mapping_id"),
            cloud.infrastructure_type,
            cloud.infrastructure_provider_id,
            SOURCES.c.source_id,
            SOURCES.c.status,
            PROVIDER.c.polling_timestamp,
            PROVIDER.c.paused,
        )
        .join(PROVIDER, PROVIDER.c.uuid == cloud.infrastructure_provider_id)
        .join(SOURCES, SOURCES.c.provider_id == PROVIDER.c.uuid, isouter=True)
        .where(cloud.id.in_(ids))
    ).all()
    newest = newest_manifests(connection, [row.infrastructure_provider_id for row in rows])
    found: dict[int, Mapping[str, Any]] = {}
    for row in rows:
        manifest = newest.get(row.infrastructure_provider_id)
        found[row.mapping_id] = {
            "type": row.infrastructure_type,
            "uuid": str(row.infrastructure_provider_id),
            "id": str(row.source_id) if row.source_id is not None else None,
            "last_polling_time": _clock_text(row.polling_timestamp),
            "paused": row.paused,
            "source_status": row.status or {},
            "cloud_provider_state": processing_status(manifest["state"]) if manifest else {},
        }
    return found


def source_stats(connection: Connection, source: Source) -> dict[str, Any]:
    """Newest manifests of every month: write-api §5.2."""
    stats: dict[str, Any] = {
        "provider_linked": source.provider_uuid is not None,
        "data_updated_date": timestamp(source.data_updated_timestamp),
        "ocp_on_cloud_data_updated_date": None,
    }
    if source.provider_uuid is None:
        return {**stats, "ocp_on_cloud": []}
    files = MANIFEST_FILE.c
    counted_files = (
        select(
            files.manifest_id,
            func.count().filter(files.status == FILE_DONE).label("processed"),
            func.min(files.started_datetime).label("started"),
            func.max(files.completed_datetime).label("completed"),
        )
        .group_by(files.manifest_id)
        .subquery()
    )
    of_month = func.row_number().over(
        partition_by=MANIFEST.c.billing_period_start_datetime,
        order_by=(MANIFEST.c.creation_datetime.desc(), MANIFEST.c.id.desc()),
    )
    ranked = (
        select(MANIFEST, counted_files, of_month.label("rank"))
        .join(counted_files, counted_files.c.manifest_id == MANIFEST.c.id, isouter=True)
        .where(MANIFEST.c.provider_id == source.provider_uuid)
        .subquery()
    )
    rows = connection.execute(
        select(ranked)
        .where(ranked.c.rank <= MANIFESTS_PER_MONTH)
        .order_by(ranked.c.billing_period_start_datetime.desc(), ranked.c.rank)
    )
    for row in rows:
        start = row.billing_period_start_datetime.astimezone(UTC)
        stats.setdefault(f"{start:%Y-%m}", []).append(
            {
                "assembly_id": row.assembly_id,
                "billing_period_start": f"{start:%Y-%m-%d}",
                "files_processed": f"{row.processed or 0}/{row.num_total_files}",
                "process_start_date": _clock_text(row.started),
                "process_complete_date": _clock_text(row.completed),
                "manifest_complete_date": _clock_text(row.completed_datetime),
                "export_datetime": _clock_text(row.export_datetime),
            }
        )
    return {**stats, "ocp_on_cloud": []}


# ------------------------------------------------------------------------------------------------- Sources API


def counted(items: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The short envelope of the Sources API."""
    return {"meta": {"count": len(items)}, "data": list(items)}


async def source_types(request: Request) -> Response:
    names = _asked(request, "name")
    kinds = [kind for kind in OFFERED if not names or kind.name in names]
    return ApiJson(counted([{"id": kind.id, "name": kind.name} for kind in kinds]))


async def application_types(request: Request) -> Response:
    names = _asked(request, "name")
    wanted = not names or APPLICATION_NAME in names
    return ApiJson(counted([{"id": APPLICATION_TYPE_ID, "name": APPLICATION_NAME}] if wanted else []))
