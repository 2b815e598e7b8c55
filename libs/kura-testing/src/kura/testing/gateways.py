"""What tests of the gateways share: identities, uploads, an application on a socket, what is stored."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from starlette.types import ASGIApp

from kura.core.identity import Identity, encode_header
from kura.core.service import Running, Service
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.store.tables.shared import TASK, UPLOAD

ORG_ID: Final = "1234567"
PAYLOAD_TYPE: Final = "application/vnd.redhat.hccm.tar+tgz"
UPLOAD_PATH: Final = "/api/ingress/v1/upload"


def identity_header(org_id: str = ORG_ID, *, admin: bool = True, **facts: Any) -> dict[str, str]:
    person = {"account_number": "7890123", "username": "ada", "email": "ada@example.org", **facts}
    return {"x-rh-identity": encode_header(Identity(org_id=org_id, is_org_admin=admin, **person))}


def payload(data: bytes = b"archive", *, field: str = "file", content_type: str = PAYLOAD_TYPE) -> dict[str, Any]:
    return {field: ("payload.tar.gz", data, content_type)}


@dataclass(frozen=True)
class Stored:
    """What the database and the object store hold."""

    database: Database
    objects: ObjectStore

    def uploads(self) -> list[Mapping[str, Any]]:
        with self.database.begin() as connection:
            return [dict(row._mapping) for row in connection.execute(select(UPLOAD).order_by(UPLOAD.c.id))]

    def tasks(self) -> list[tuple[str, Mapping[str, Any]]]:
        with self.database.begin() as connection:
            rows = connection.execute(select(TASK).order_by(TASK.c.created_at, TASK.c.id)).all()
        return [(row.type.rpartition(".")[2], row.payload) for row in rows]

    def objects_stored(self) -> list[str]:
        return list(self.objects.keys())

    def is_empty(self) -> bool:
        return not self.uploads() and not self.tasks() and not self.objects_stored()


@contextlib.asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """The application on a socket; its address."""
    started: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    service = Service(name="test", app=app, on_ready=started.set_result, shutdown_seconds=2)
    running = asyncio.create_task(service.run())
    where = await started
    assert where.http is not None
    try:
        yield where.http
    finally:
        service.stop()
        await running
