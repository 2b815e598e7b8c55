"""Register, change and remove sources (write-api §5.3–§5.5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, func, insert, select, update

from kura.core.errors import ValidationErrors
from kura.core.identity import Identity
from kura.core.telemetry import get_logger
from kura.queue import enqueue
from kura.rpc.tasks.v1 import tasks_pb2
from kura.store.database import Database
from kura.store.sources import (
    OPENSHIFT,
    SOURCE_TYPES,
    Source,
    SourceType,
    find_cluster_source,
    get_source,
    lock_cluster,
    next_source_id,
    source_type_of,
)
from kura.store.tables.shared import CUSTOMER, PROVIDER, PROVIDER_AUTHENTICATION, SOURCES, UPLOAD
from kura.store.tenancy import ensure_tenant, get_or_create_customer

log = get_logger(__name__)

LONGEST_NAME = 256
LONGEST_CLUSTER_ID = 50
OFFERED = (OPENSHIFT,)

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class NewSource:
    """A valid request for an OpenShift source."""

    name: str
    cluster_id: str
    paused: bool


@dataclass(frozen=True, kw_only=True)
class SourceChanges:
    """What a PATCH asks for; None leaves a value as it is."""

    name: str | None
    paused: bool | None
    cluster_id: str | None
    problem: tuple[str, str] | None
    """Why the new credentials are not valid; the other changes hold all the same."""


def new_source(body: Mapping[str, Any]) -> NewSource:
    """The source a POST describes; ValidationErrors names the first broken rule of write-api §5.3."""
    name = _name(body.get("name"))
    if _source_type(body) not in OFFERED:
        offered = ", ".join(kind.code for kind in OFFERED)
        raise _problem("source_type", f"This source type is not offered here; offered: {offered}.")
    _check_data_source(body)
    cluster_id = _requested_cluster_id(body)
    if cluster_id is None:
        raise _problem("authentication.cluster_id", "An OpenShift source needs its cluster id as source_ref.")
    return NewSource(name=name, cluster_id=_cluster_id(cluster_id), paused=_paused(body.get("paused", False)))


def source_changes(body: Mapping[str, Any]) -> SourceChanges:
    """The changes a PATCH describes. Bad credentials are a problem of their own: `paused` is written even then."""
    name = _name(body["name"]) if "name" in body else None
    paused = _paused(body["paused"]) if "paused" in body else None
    cluster_id, problem = None, None
    try:
        _check_data_source(body)
        requested = _requested_cluster_id(body)
        touched = "source_ref" in body or "authentication" in body
        if requested is None and touched:
            raise _problem("authentication.cluster_id", "An OpenShift source needs its cluster id.")
        cluster_id = _cluster_id(requested) if touched else None
    except ValidationErrors as error:
        problem = error.problems[0]
    return SourceChanges(name=name, paused=paused, cluster_id=cluster_id, problem=problem)


def create_source(database: Database, *, wanted: NewSource, identity: Identity, schema_suffix: str) -> Source:
    """Customer, tenant schema if first, provider and source in one transaction; uploads that waited for it go on."""
    with database.begin() as connection:
        lock_cluster(connection, org_id=identity.org_id, cluster_id=wanted.cluster_id)
        _refuse_duplicate(connection, org_id=identity.org_id, cluster_id=wanted.cluster_id)
        customer = get_or_create_customer(
            connection, org_id=identity.org_id, account_id=identity.account_number, suffix=schema_suffix
        )
        if ensure_tenant(connection, customer.schema_name):
            enqueue(connection, tasks_pb2.EnsurePartitions(schema_name=customer.schema_name))
        key = uuid4()
        credentials = {"cluster_id": wanted.cluster_id}
        authentication_id = connection.execute(
            insert(PROVIDER_AUTHENTICATION).values(credentials=credentials).returning(PROVIDER_AUTHENTICATION.c.id)
        ).scalar_one()
        connection.execute(
            insert(PROVIDER).values(
                uuid=key,
                name=wanted.name,
                type=OPENSHIFT.code,
                customer_id=customer.id,
                authentication_id=authentication_id,
                paused=wanted.paused,
                active=True,
            )
        )
        source_id = next_source_id(connection)
        connection.execute(
            insert(SOURCES).values(
                source_id=source_id,
                source_uuid=key,
                koku_uuid=key,
                provider_id=key,
                name=wanted.name,
                source_type=OPENSHIFT.code,
                authentication={"credentials": credentials},
                billing_source={"data_source": {}},
                offset=source_id,
                account_id=identity.account_number or None,
                org_id=identity.org_id,
                paused=wanted.paused,
            )
        )
        resumed = resume_waiting_uploads(
            connection, org_id=identity.org_id, cluster_id=wanted.cluster_id, schema=customer.schema_name
        )
        source = get_source(connection, org_id=identity.org_id, key=str(key))
    log.info("source_created", source_id=source.id, provider_uuid=str(key), resumed_uploads=len(resumed))
    return source


def update_source(database: Database, *, key: str, changes: SourceChanges, identity: Identity) -> Source:
    """Name and pause hold at once; a new cluster id is checked, and refused with the provider made inactive."""
    problem = changes.problem
    with database.begin() as connection:
        if changes.cluster_id is not None:
            lock_cluster(connection, org_id=identity.org_id, cluster_id=changes.cluster_id)
        source = get_source(connection, org_id=identity.org_id, key=key, lock=True)
        moved = changes.cluster_id if changes.cluster_id != source.cluster_id else None
        if moved is not None and problem is None:
            problem = _duplicate(connection, org_id=identity.org_id, cluster_id=moved)

        row: dict[str, Any] = {"updated_timestamp": func.now()}
        if changes.paused is not None:
            row["paused"] = changes.paused
        if changes.name is not None and problem is None:
            row["name"] = changes.name
        if moved is not None and problem is None:
            row["authentication"] = {**source.authentication, "credentials": {"cluster_id": moved}}
        connection.execute(update(SOURCES).where(SOURCES.c.source_id == source.id).values(row))
        _update_provider(connection, source, row=row, cluster_id=changes.cluster_id, problem=problem)
        if moved is not None and problem is None:
            schema = _schema_of(connection, source)
            resume_waiting_uploads(connection, org_id=identity.org_id, cluster_id=moved, schema=schema)
        source = get_source(connection, org_id=identity.org_id, key=key)
    if problem is not None:
        raise _problem(*problem)
    return source


def delete_source(database: Database, *, key: str, identity: Identity) -> None:
    """The source is gone for every reader and for ingestion at once; its data goes in the background (§5.5)."""
    with database.begin() as connection:
        source = get_source(connection, org_id=identity.org_id, key=key, lock=True)
        if source.provider_uuid is None:
            connection.execute(SOURCES.delete().where(SOURCES.c.source_id == source.id))
            return
        connection.execute(
            update(SOURCES)
            .where(SOURCES.c.source_id == source.id)
            .values(pending_delete=True, updated_timestamp=func.now())
        )
        connection.execute(update(PROVIDER).where(PROVIDER.c.uuid == source.provider_uuid).values(active=False))
        schema = _schema_of(connection, source)
        removal = tasks_pb2.DeleteSourceData(schema_name=schema, provider_uuid=str(source.provider_uuid))
        enqueue(connection, removal, schema=schema)
    log.info("source_deleted", source_id=source.id, provider_uuid=str(source.provider_uuid))


def resume_waiting_uploads(connection: Connection, *, org_id: str, cluster_id: str, schema: str) -> list[int]:
    """Queue the uploads that waited for this cluster, in the order in which they were accepted.

    The caller holds the cluster's lock, as does ingestion when it decides that an upload must wait: so an upload
    either sees the source or is seen here.
    """
    resumed = connection.scalars(
        update(UPLOAD)
        .where(
            UPLOAD.c.org_id == org_id,
            UPLOAD.c.cluster_id == cluster_id,
            UPLOAD.c.state == "waiting",
            UPLOAD.c.reason_code == "unknown_cluster",
        )
        .values(state="accepted", reason_code=None, reason=None, finished_at=None, updated_at=func.now())
        .returning(UPLOAD.c.id)
    )
    uploads = sorted(resumed)
    for upload_id in uploads:
        enqueue(connection, tasks_pb2.IngestPayload(upload_id=upload_id), schema=schema)
    return uploads


def _update_provider(
    connection: Connection,
    source: Source,
    *,
    row: Mapping[str, Any],
    cluster_id: str | None,
    problem: tuple[str, str] | None,
) -> None:
    if source.provider_uuid is None:
        return
    provider = {name: row[name] for name in ("name", "paused") if name in row}
    if problem is not None:
        provider["active"] = False
    elif cluster_id is not None:
        provider["active"] = True
    if provider:
        connection.execute(update(PROVIDER).where(PROVIDER.c.uuid == source.provider_uuid).values(provider))
    if "authentication" in row:
        shared = select(PROVIDER.c.authentication_id).where(PROVIDER.c.uuid == source.provider_uuid).scalar_subquery()
        connection.execute(
            update(PROVIDER_AUTHENTICATION)
            .where(PROVIDER_AUTHENTICATION.c.id == shared)
            .values(credentials=row["authentication"]["credentials"])
        )


def _schema_of(connection: Connection, source: Source) -> str:
    found = connection.scalar(select(CUSTOMER.c.schema_name).where(CUSTOMER.c.org_id == source.org_id))
    return str(found)


def _refuse_duplicate(connection: Connection, *, org_id: str, cluster_id: str) -> None:
    problem = _duplicate(connection, org_id=org_id, cluster_id=cluster_id)
    if problem is not None:
        raise _problem(*problem)


def _duplicate(connection: Connection, *, org_id: str, cluster_id: str) -> tuple[str, str] | None:
    other = find_cluster_source(connection, org_id=org_id, cluster_id=cluster_id)
    if other is None:
        return None
    return "source.duplicate", f"The cluster is already registered as source {other.name!r}."


def _problem(field: str, text: str) -> ValidationErrors:
    return ValidationErrors([(field, text)])


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _problem("name", "A name is required.")
    if len(value) > LONGEST_NAME:
        raise _problem("name", f"The name may have at most {LONGEST_NAME} characters.")
    if "\0" in value:
        raise _problem("name", "The name cannot hold null characters.")
    return value.strip()


def _paused(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _problem("paused", "Must be true or false.")
    return value


def _source_type(body: Mapping[str, Any]) -> SourceType:
    code, type_id = body.get("source_type"), body.get("source_type_id")
    if code is None and type_id is None:
        raise _problem("source_type", "source_type or source_type_id is required.")
    if code is not None:
        found = source_type_of(code) if isinstance(code, str) else None
        if found is None:
            raise _problem("source_type", "This source type is not known.")
        return found
    known = next((kind for kind in SOURCE_TYPES if kind.id == str(type_id)), None)
    if known is None:
        raise _problem("source_type_id", "This source type id is not known.")
    return known


def _requested_cluster_id(body: Mapping[str, Any]) -> Any:
    """`authentication.credentials.cluster_id`, else `source_ref`."""
    authentication = body.get("authentication")
    if authentication is not None and not isinstance(authentication, dict):
        raise _problem("authentication", "Must be an object with credentials.")
    credentials = (authentication or {}).get("credentials")
    if credentials is not None and not isinstance(credentials, dict):
        raise _problem("authentication.credentials", "Must be an object.")
    return (credentials or {}).get("cluster_id") or body.get("source_ref")


def _cluster_id(value: Any) -> str:
    """What a manifest may name as its cluster: ocp-payload §3.2."""
    field = "authentication.cluster_id"
    if not isinstance(value, str) or not value.strip():
        raise _problem(field, "An OpenShift source needs its cluster id.")
    if len(value) > LONGEST_CLUSTER_ID:
        raise _problem(field, f"The cluster id may have at most {LONGEST_CLUSTER_ID} characters.")
    if any(part in value for part in ("/", "\\", "..")) or value == "." or _UNPRINTABLE.search(value):
        raise _problem(field, "The cluster id is not valid.")
    return value.strip()


def _check_data_source(body: Mapping[str, Any]) -> None:
    billing_source = body.get("billing_source")
    if billing_source is None:
        return
    data_source = billing_source.get("data_source") if isinstance(billing_source, dict) else billing_source
    if not isinstance(billing_source, dict) or not isinstance(data_source, (dict, type(None))):
        raise _problem("billing_source", "Must be an object with data_source.")
    if (data_source or {}).get("bucket") or billing_source.get("bucket"):
        raise _problem("billing_source.bucket", "An OpenShift source has no bucket.")
