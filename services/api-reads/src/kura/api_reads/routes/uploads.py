"""What became of uploads: the promise that nobody has to guess (reliability P1, P9)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from kura.api_reads.endpoints import PAGING, Described
from kura.core.errors import BadRequest, Forbidden, UploadNotFound
from kura.core.http import API_PREFIX, REQUEST_ID, ApiJson, identity_of, page, page_bounds, values_of
from kura.core.identity import Identity
from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.database import Database
from kura.store.sources import timestamp
from kura.store.tables.shared import SOURCES, TASK, UPLOAD, UPLOAD_STATES

UNDERWAY = ("accepted", "processing")
STAGES = ("waiting", "parsing", "summarising", "finishing")
"""What happens between accepted, started, parsed, summarised and finished."""

SOURCE_UUID = SOURCES.c.source_uuid.label("source_uuid")
SOURCE_NAME = SOURCES.c.name.label("source_name")
UPLOAD_SOURCE = and_(SOURCES.c.source_uuid == UPLOAD.c.provider_uuid, SOURCES.c.org_id == UPLOAD.c.org_id)

UPLOAD_PARAMETERS: Mapping[str, tuple[Described, ...]] = {
    "/uploads/": (
        *PAGING,
        Described(name="state", text="States, separated by commas."),
        Described(name="cluster_id", text="Cluster ids, separated by commas."),
        Described(name="source", text="Sources by uuid, id or name, separated by commas."),
    ),
}


class UploadReads:
    """List and read uploads of the caller's organisation, on the primary database."""

    def __init__(self, *, primary: Database) -> None:
        self._primary = primary

    def routes(self) -> list[BaseRoute]:
        return [
            route
            for slash in ("/", "")
            for route in (
                Route(f"{API_PREFIX}/uploads{slash}", self.list_uploads, methods=["GET"]),
                Route(f"{API_PREFIX}/uploads/{{request_id}}{slash}", self.read_upload, methods=["GET"]),
            )
        ]

    async def list_uploads(self, request: Request) -> Response:
        visible = _visible(identity_of(request))
        chosen = and_(visible, *_filters(request))
        limit, offset = page_bounds(request)
        count, items = await asyncio.to_thread(self._page, chosen, limit, offset)
        return ApiJson(page(request, items, count=count, limit=limit, offset=offset))

    async def read_upload(self, request: Request) -> Response:
        request_id = request.path_params["request_id"]
        if not REQUEST_ID.fullmatch(request_id):
            raise UploadNotFound
        chosen = and_(_visible(identity_of(request)), UPLOAD.c.request_id == request_id)
        return ApiJson(await asyncio.to_thread(self._one, chosen))

    def _page(self, chosen: ColumnElement[bool], limit: int, offset: int) -> tuple[int, Sequence[Mapping[str, Any]]]:
        with self._primary.begin(snapshot=True) as connection:
            counted = select(func.count()).select_from(UPLOAD.outerjoin(SOURCES, UPLOAD_SOURCE)).where(chosen)
            count = int(connection.scalar(counted) or 0)
            rows = connection.execute(_uploads(chosen).limit(limit).offset(offset)).all()
            return count, [upload_item(row) for row in rows]

    def _one(self, chosen: ColumnElement[bool]) -> Mapping[str, Any]:
        with self._primary.begin(snapshot=True) as connection:
            row = connection.execute(_uploads(chosen).limit(1)).one_or_none()
            if row is None:
                raise UploadNotFound
            progress = task_progress(connection, row.id) if row.state in UNDERWAY else []
            return {**upload_item(row), "tasks": progress}


def _uploads(chosen: ColumnElement[bool]) -> Select[Any]:
    """Newest first: of uploads that share a request id, the newest is the one."""
    joined = UPLOAD.outerjoin(SOURCES, UPLOAD_SOURCE)
    return select(UPLOAD, SOURCE_UUID, SOURCE_NAME).select_from(joined).where(chosen).order_by(UPLOAD.c.id.desc())


def _visible(identity: Identity) -> ColumnElement[bool]:
    """Uploads of the own organisation; with a list of clusters only theirs."""
    own = UPLOAD.c.org_id == identity.org_id
    clusters = identity.may("openshift.cluster")
    if "*" in clusters or "*" in identity.may("sources"):
        return own
    if not clusters:
        raise Forbidden
    return and_(own, UPLOAD.c.cluster_id.in_(clusters))


def _filters(request: Request) -> Sequence[ColumnElement[bool]]:
    """`state`, `cluster_id` and `source` (uuid, id or name), plain or as filter[…]; a comma list matches any."""
    conditions: list[ColumnElement[bool]] = []
    states = _asked(request, "state")
    unknown = sorted(set(states) - set(UPLOAD_STATES))
    if unknown:
        raise BadRequest(f"{unknown[0]!r} is not a state; states are {', '.join(UPLOAD_STATES)}.", field="state")
    if states:
        conditions.append(UPLOAD.c.state.in_(states))
    clusters = _asked(request, "cluster_id")
    if clusters:
        conditions.append(UPLOAD.c.cluster_id.in_(clusters))
    sources = _asked(request, "source")
    if sources:
        conditions.append(or_(*(_is_source(text) for text in sources)))
    return conditions


def _asked(request: Request, name: str) -> list[str]:
    values = [*request.query_params.getlist(name), *request.query_params.getlist(f"filter[{name}]")]
    return values_of(values, name)


def _is_source(text: str) -> ColumnElement[bool]:
    if text.isascii() and text.isdigit() and len(text) < 10:
        return SOURCES.c.source_id == int(text)
    try:
        return UPLOAD.c.provider_uuid == UUID(text)
    except ValueError:
        return SOURCES.c.name == text


def upload_item(row: Row[Any]) -> dict[str, Any]:
    """One upload as a client sees it."""
    files = [_file_item(file) for file in row.files or [] if isinstance(file, dict)]
    moments = (row.accepted_at, row.started_at, row.parsed_at, row.summarised_at, row.finished_at)
    return {
        "request_id": row.request_id,
        "state": row.state,
        "reason_code": row.reason_code,
        "reason": row.reason,
        "cluster_id": row.cluster_id,
        "source_uuid": str(row.source_uuid) if row.source_uuid else None,
        "source_name": row.source_name,
        "manifest_id": row.manifest_id,
        "size": row.size,
        "sha256": row.sha256,
        "files": files,
        "rows": sum(file["rows"] or 0 for file in files),
        "accepted_at": timestamp(row.accepted_at),
        "started_at": timestamp(row.started_at),
        "parsed_at": timestamp(row.parsed_at),
        "summarised_at": timestamp(row.summarised_at),
        "finished_at": timestamp(row.finished_at),
        "updated_at": timestamp(row.updated_at),
        "seconds": stage_seconds(moments),
    }


def _file_item(file: Mapping[str, Any]) -> dict[str, Any]:
    return {name: file.get(name) for name in ("name", "report_type", "state", "rows", "dropped", "days", "reason")}


def stage_seconds(moments: Sequence[datetime | None]) -> dict[str, float | None]:
    """Seconds of every stage that has ended, and of the whole; null while a stage lasts or was never reached."""
    stages: dict[str, float | None] = {}
    for stage, start, end in zip(STAGES, moments, moments[1:], strict=False):
        stages[stage] = _seconds(start, end)
    return {**stages, "total": _seconds(moments[0], moments[-1])}


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return round((end - start).total_seconds(), 3) if start is not None and end is not None else None


def task_progress(connection: Connection, upload_id: int) -> list[dict[str, Any]]:
    """The newest task that takes the upload in, and the tasks it led to, oldest first."""
    ingest = tasks_pb2.IngestPayload.DESCRIPTOR.full_name
    first = (
        select(func.coalesce(TASK.c.root_id, TASK.c.id))
        .where(TASK.c.type == ingest, TASK.c.payload["uploadId"].astext == str(upload_id))
        .order_by(TASK.c.created_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(TASK).where(or_(TASK.c.id == first, TASK.c.root_id == first)).order_by(TASK.c.created_at).limit(100)
    )
    return [
        {
            "type": row.type.rpartition(".")[2],
            "state": row.state,
            "attempt": row.attempt,
            "max_attempts": row.max_attempts,
            "progress": row.progress,
            "error_code": row.error_code,
            "created_at": timestamp(row.created_at),
            "not_before": timestamp(row.not_before),
            "started_at": timestamp(row.started_at),
            "finished_at": timestamp(row.finished_at),
        }
        for row in rows
    ]
