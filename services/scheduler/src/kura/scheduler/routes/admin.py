"""Schedules and tasks over HTTP, for administrators of the installation: not on the public side, and never open.

Callers send the secret of this service as `Authorization: Bearer …`. Without a secret the routes answer only on
loopback, where nobody else can call.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from kura.core.errors import BadRequest, Unauthorised
from kura.core.http import ApiJson
from kura.queue import admin
from kura.queue.admin import TaskFilter
from kura.rpc.security import Security, is_loopback
from kura.scheduler import schedule
from kura.scheduler.servicers import in_transaction, task_id_of
from kura.store.database import Database

PREFIX = "/admin/v1"
BODY_LIMIT = 64 * 1024

Endpoint = Callable[[Request], Awaitable[Response]]


def admin_routes(db: Database, *, security: Security) -> list[BaseRoute]:
    """The routes, behind the secret of the service."""
    return [
        Route(f"{PREFIX}{path}", guarded(endpoint, security), methods=[method])
        for method, path, endpoint in (
            ("GET", "/schedules/", lambda request: list_schedules(db, request)),
            ("GET", "/schedules/{name}/", lambda request: get_schedule(db, request)),
            ("PATCH", "/schedules/{name}/", lambda request: update_schedule(db, request)),
            ("POST", "/schedules/{name}/trigger/", lambda request: trigger_schedule(db, request)),
            ("GET", "/tasks/", lambda request: list_tasks(db, request)),
            ("GET", "/tasks/{id}/", lambda request: get_task(db, request)),
            ("POST", "/tasks/{id}/retry/", lambda request: retry_task(db, request)),
            ("POST", "/tasks/{id}/cancel/", lambda request: cancel_task(db, request)),
            ("GET", "/queues/", lambda request: list_queues(db, request)),
        )
    ]


def guarded(endpoint: Endpoint, security: Security) -> Endpoint:
    """The endpoint for callers that know the secret."""

    async def call(request: Request) -> Response:
        if security.token is None:
            server = request.scope.get("server")
            if not server or not is_loopback(str(server[0])):
                raise Unauthorised("administration needs KURA_GRPC_TOKEN beyond loopback")
        else:
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(), security.token.encode()):
                raise Unauthorised()
        return await endpoint(request)

    return call


# ---------------------------------------------------------------------------------------------------------- schedules


async def list_schedules(db: Database, request: Request) -> Response:
    return _answer(await in_transaction(db, schedule.list_schedules))


async def get_schedule(db: Database, request: Request) -> Response:
    return _answer(await in_transaction(db, schedule.get_schedule, request.path_params["name"]))


async def update_schedule(db: Database, request: Request) -> Response:
    """Body: any of cron, enabled, payload, queue."""
    body = await _object(request)
    kinds: dict[str, type] = {"cron": str, "enabled": bool, "payload": dict, "queue": str}
    if unknown := body.keys() - kinds.keys():
        raise BadRequest(f"unknown: {', '.join(sorted(unknown))}", field=min(unknown))
    for name, value in body.items():
        if not isinstance(value, kinds[name]):
            raise BadRequest(f"{name} is a {kinds[name].__name__}", field=name)
    return _answer(await in_transaction(db, schedule.update_schedule, request.path_params["name"], **body))


async def trigger_schedule(db: Database, request: Request) -> Response:
    task_id = await in_transaction(db, schedule.trigger, request.path_params["name"])
    return ApiJson({"task_id": str(task_id)}, status_code=202)


# -------------------------------------------------------------------------------------------------------------- tasks


async def list_tasks(db: Database, request: Request) -> Response:
    """Parameters: state (repeated), queue, type, schema, root, limit, token."""
    query = request.query_params
    known = {"state", "queue", "type", "schema", "root", "limit", "token"}
    if unknown := query.keys() - known:
        raise BadRequest(f"unknown: {', '.join(sorted(unknown))}", field=min(unknown))
    limit = query.get("limit", "100")
    if not limit.isascii() or not limit.isdigit() or len(limit) > 6:
        raise BadRequest("limit is a number", field="limit")
    which = TaskFilter(
        states=query.getlist("state"),
        queue=query.get("queue"),
        type=query.get("type"),
        schema=query.get("schema"),
        root=task_id_of(query["root"], field="root") if "root" in query else None,
    )
    page = await in_transaction(db, admin.list_tasks, which, page_size=int(limit), token=query.get("token"))
    return ApiJson({"meta": {"next_token": page.next_token}, "data": [_facts(task) for task in page.tasks]})


async def get_task(db: Database, request: Request) -> Response:
    return _answer(await in_transaction(db, admin.get_task, _task_id(request)))


async def retry_task(db: Database, request: Request) -> Response:
    return _answer(await in_transaction(db, admin.retry_task, _task_id(request)))


async def cancel_task(db: Database, request: Request) -> Response:
    return _answer(await in_transaction(db, admin.cancel_task, _task_id(request), by="an administrator"))


async def list_queues(db: Database, request: Request) -> Response:
    return _answer(await in_transaction(db, admin.backlogs))


# -------------------------------------------------------------------------------------------------------------- parts


def _task_id(request: Request) -> Any:
    return task_id_of(request.path_params["id"])


def _facts(item: Any) -> dict[str, Any]:
    return {field.name: getattr(item, field.name) for field in fields(item)}


def _answer(found: Any) -> Response:
    if isinstance(found, list):
        return ApiJson({"meta": {"count": len(found)}, "data": [_facts(each) for each in found]})
    return ApiJson(_facts(found))


async def _object(request: Request) -> dict[str, Any]:
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > BODY_LIMIT:
            raise BadRequest("the body is too large")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequest("the body is not JSON") from error
    if not isinstance(body, dict):
        raise BadRequest("the body is not a JSON object")
    return body
