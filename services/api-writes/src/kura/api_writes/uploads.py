"""Record a stored upload: its row and its task, in one transaction (ocp-payload §1.3, design §6)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import insert, select

from kura.api_writes.receiving import StoredFile
from kura.core.errors import DatabaseUnavailable, KuraError, Unavailable
from kura.core.telemetry import get_logger
from kura.queue import enqueue
from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.store.tables.shared import UPLOAD

log = get_logger(__name__)


class UploadNotRecorded(Unavailable):
    """The upload cannot be recorded now; send it again later."""

    code = "upload_not_recorded"


@dataclass(frozen=True, kw_only=True)
class NewUpload:
    """A stored file and who sent it."""

    request_id: str
    org_id: str
    account_id: str | None
    schema: str
    """The organisation's schema, which may not exist yet."""
    file: StoredFile


def record_upload(database: Database, objects: ObjectStore, upload: NewUpload) -> int:
    """The id of the upload, which is from now on never lost.

    UploadNotRecorded when it could not be written; its object is then gone too. Only when the connection broke while
    the transaction was being committed and the outcome cannot be learnt, the object stays for housekeeping.
    """
    committing = False
    try:
        with database.begin() as connection:
            upload_id: int = connection.execute(insert(UPLOAD).values(_row(upload)).returning(UPLOAD.c.id)).scalar_one()
            enqueue(connection, tasks_pb2.IngestPayload(upload_id=upload_id), schema=upload.schema)
            committing = True
        return upload_id
    except KuraError as error:
        if committing and isinstance(error, DatabaseUnavailable):
            return _id_after_broken_commit(database, upload, error)
        _forget(objects, upload)
        raise UploadNotRecorded from error
    except BaseException:
        _forget(objects, upload)
        raise


def _row(upload: NewUpload) -> dict[str, object]:
    return {
        "request_id": upload.request_id,
        "org_id": upload.org_id,
        "account_id": upload.account_id,
        "object_key": upload.file.key,
        "size": upload.file.size,
        "sha256": upload.file.sha256,
        "content_type": upload.file.content_type,
        "state": "accepted",
    }


def _id_after_broken_commit(database: Database, upload: NewUpload, error: KuraError) -> int:
    """Whether the commit arrived is known only by looking; the key of the object is unique."""
    try:
        with database.begin() as connection:
            found = connection.scalar(select(UPLOAD.c.id).where(UPLOAD.c.object_key == upload.file.key))
    except KuraError:
        log.warning("upload_commit_unknown", object_key=upload.file.key)
        raise UploadNotRecorded from error
    if found is None:
        raise UploadNotRecorded from error
    return int(found)


def _forget(objects: ObjectStore, upload: NewUpload) -> None:
    try:
        objects.delete([upload.file.key])
    except (KuraError, OSError) as error:
        log.warning("upload_object_left", object_key=upload.file.key, error=str(error))
