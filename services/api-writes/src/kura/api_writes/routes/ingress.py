"""The upload address of operators, to the letter of ocp-payload §1: statuses, bodies, other routes."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import Executor
from importlib.metadata import version as installed_version

from prometheus_client import Counter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Message, Receive, Scope, Send

from kura.api_writes.receiving import Limits, StoredFile, UploadTimeout, receive_upload
from kura.api_writes.uploads import NewUpload, record_upload
from kura.core.days import today
from kura.core.errors import KuraError, ObjectStoreUnavailable, Unavailable, UnsupportedMedia
from kura.core.http import ApiJson, client_of, headers_of
from kura.core.identity import Identity, IdentityProvider
from kura.core.metrics import ERRORS
from kura.core.telemetry import bound, get_logger
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.store.tenancy import schema_name_of

log = get_logger(__name__)

INGRESS_PREFIXES = ("/api/ingress/v1", "/r/insights/platform/ingress/v1")
ALIVE = "lubdub"
PAYLOAD_PREFIX = "payloads"
RETRY_SECONDS = "5"
DRAIN_BYTES = 64 * 2**20  # clients that send everything before they read need us to take it, within reason
DRAIN_SECONDS = 10.0

UPLOADS = Counter("kura_uploads_total", "Uploads by outcome: accepted, test, or the code of the refusal.", ["outcome"])
UPLOAD_BYTES = Counter("kura_upload_bytes_total", "Bytes of accepted uploads.")


class Ingress:
    """The routes of the upload address over one database and one object store."""

    def __init__(
        self,
        *,
        database: Database,
        objects: ObjectStore,
        identity: IdentityProvider,
        limits: Limits,
        writers: Executor,
        schema_suffix: str = "",
    ) -> None:
        self._database = database
        self._objects = objects
        self._identity = identity
        self._limits = limits
        self._writers = writers
        self._schema_suffix = schema_suffix

    def routes(self) -> list[BaseRoute]:
        routes: list[BaseRoute] = [Route("/", alive, methods=["GET"])]
        for prefix in INGRESS_PREFIXES:
            routes += [
                Route(f"{prefix}/upload", self.upload, methods=["POST"]),
                Route(f"{prefix}", self.greeting, methods=["GET"]),
                Route(f"{prefix}/", self.greeting, methods=["GET"]),
                Route(f"{prefix}/ready", alive, methods=["GET"]),
                Route(f"{prefix}/version", version, methods=["GET"]),
                Route(f"{prefix}/openapi.json", openapi, methods=["GET"]),
            ]
        return [*routes, Route("/api/ingress/ready", alive, methods=["GET"])]

    async def upload(self, request: Request) -> Response:
        body = _Body(request.receive)
        request_id: str = request.state.request_id
        try:
            identity = await self._identified(request)
            with bound(org_id=identity.org_id):
                stored = await receive_upload(
                    body,
                    content_type=request.headers.get("content-type"),
                    content_length=_content_length(request),
                    limits=self._limits,
                    new_key=lambda: payload_key(identity.org_id),
                    store=self._objects,
                    executor=self._writers,
                )
                if stored is not None:
                    await self._record(stored, identity, request_id)
        except KuraError as error:
            return refusal(error, body, expects_continue="expect" in request.headers)

        UPLOADS.labels("test" if stored is None else "accepted").inc()
        parties = {"account_number": identity.account_number, "org_id": identity.org_id}
        upload = {name: text for name, text in parties.items() if text}
        return ApiJson({"request_id": request_id, "upload": upload}, status_code=200 if stored is None else 202)

    async def greeting(self, request: Request) -> Response:
        try:
            await self._identified(request)
        except KuraError as error:
            return PlainTextResponse(str(error), status_code=error.http)
        return PlainTextResponse(ALIVE)

    async def _identified(self, request: Request) -> Identity:
        identity = await self._identity.identify_uploader(headers_of(request.scope), client=client_of(request.scope))
        request.state.identity = identity
        return identity

    async def _record(self, stored: StoredFile, identity: Identity, request_id: str) -> None:
        """Upload row and task in one transaction. The thread goes on to its end even when the request is cancelled."""
        upload = NewUpload(
            request_id=request_id,
            org_id=identity.org_id,
            account_id=identity.account_number or None,
            schema=schema_name_of(identity.org_id, suffix=self._schema_suffix),
            file=stored,
        )
        recording = asyncio.to_thread(record_upload, self._database, self._objects, upload)
        upload_id = await asyncio.shield(asyncio.ensure_future(recording))
        UPLOAD_BYTES.inc(stored.size)
        log.info("upload_accepted", upload_id=upload_id, size=stored.size, sha256=stored.sha256)


def payload_key(org_id: str) -> str:
    """Where an upload lies until it is taken apart; nothing a client wrote is part of it but its verified org id."""
    return f"{PAYLOAD_PREFIX}/{org_id}/{today():%Y-%m-%d}/{uuid.uuid4().hex}.tar.gz"


def refusal(error: KuraError, body: _Body, *, expects_continue: bool) -> Response:
    """The answer of ocp-payload §1.3: plain text, or empty for 415 and 5xx."""
    ERRORS.labels("http", error.code).inc()
    UPLOADS.labels(error.code).inc()
    status = 500 if isinstance(error, ObjectStoreUnavailable) else error.http
    log.warning("upload_refused", code=error.code, status=status, reason=str(error))
    text = "" if isinstance(error, UnsupportedMedia) or status >= 500 else str(error)
    headers = {"Retry-After": RETRY_SECONDS} if isinstance(error, Unavailable) and status == 503 else {}
    answer = PlainTextResponse(text, status_code=status, headers=headers)
    if body.complete:
        return answer
    answer.headers["Connection"] = "close"
    if expects_continue:
        return answer
    return AnswerWhileReceiving(answer, body, seconds=1.0 if isinstance(error, UploadTimeout) else DRAIN_SECONDS)


class _Body:
    """The request body, remembering whether all of it has been received."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.complete = False

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self.complete = True
        return message


class AnswerWhileReceiving(Response):
    """Sends the whole answer, then takes the rest of the body off the wire before closing.

    A connection closed on a client that is still sending is reset, and many clients then never see the answer.
    """

    def __init__(self, answer: Response, body: _Body, *, seconds: float) -> None:
        self._answer = answer
        self._body = body
        self._seconds = seconds
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_unfinished(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "more_body": True}
            await send(message)

        await self._answer(scope, receive, send_unfinished)
        await self._drain()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drain(self) -> None:
        drained = 0
        try:
            async with asyncio.timeout(self._seconds):
                while not self._body.complete and drained < DRAIN_BYTES:
                    message = await self._body()
                    drained += len(message.get("body", b""))
        except TimeoutError:
            return


def _content_length(request: Request) -> int | None:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


async def alive(request: Request) -> Response:
    return PlainTextResponse(ALIVE)


async def version(request: Request) -> Response:
    return ApiJson({"version": installed_version("kura-api-writes"), "commit": "unknown"})


async def openapi(request: Request) -> Response:
    return ApiJson(OPENAPI)


_UPLOAD = {
    "post": {
        "summary": "Upload one archive of an OpenShift metrics operator",
        "operationId": "upload",
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "file": {"type": "string", "format": "binary"},
                            "upload": {"type": "string", "format": "binary"},
                            "metadata": {"type": "string"},
                            "test": {"type": "string", "enum": ["test"]},
                        },
                    },
                    "encoding": {"file": {"contentType": "application/vnd.redhat.hccm.tar+tgz"}},
                }
            },
        },
        "responses": {
            "202": {"description": "Stored; it will be processed."},
            "200": {"description": "A test request; nothing was stored."},
            "400": {"description": "No file, unreadable form, or unreadable identity."},
            "401": {"description": "No valid credentials."},
            "408": {"description": "The upload took too long."},
            "413": {"description": "The file is larger than the limit."},
            "415": {"description": "The content type of the file is not accepted."},
            "500": {"description": "The object store did not take the file."},
            "503": {"description": "The upload cannot be recorded now; send it again later."},
        },
    }
}
OPENAPI = {
    "openapi": "3.0.3",
    "info": {"title": "Kura ingress", "version": "v1"},
    "servers": [{"url": INGRESS_PREFIXES[0]}],
    "paths": {
        "/upload": _UPLOAD,
        "/": {"get": {"summary": "Heartbeat", "responses": {"200": {"description": ALIVE}}}},
        "/version": {"get": {"summary": "Installed version", "responses": {"200": {"description": "Version"}}}},
    },
}
