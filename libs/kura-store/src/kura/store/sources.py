"""Sources as both gateways and the workers see them (write-api §5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, Select, func, select, text

from kura.core.errors import SourceNotFound
from kura.store.tables.shared import PROVIDER, SOURCES


@dataclass(frozen=True, kw_only=True)
class SourceType:
    """A kind of source under its three names: in tables, as a number for clients, in the Sources API."""

    code: str
    id: str
    name: str


OPENSHIFT: Final = SourceType(code="OCP", id="1", name="openshift")
SOURCE_TYPES: Final = (
    OPENSHIFT,
    SourceType(code="AWS", id="2", name="amazon"),
    SourceType(code="Azure", id="3", name="azure"),
    SourceType(code="GCP", id="4", name="google"),
)
LARGEST_SOURCE_ID: Final = 2**31 - 1
APPLICATION_TYPE_ID: Final = "0"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source with what its provider adds; `provider_uuid` is None for a source without provider."""

    id: int
    uuid: UUID
    name: str
    type: SourceType
    org_id: str
    authentication: dict[str, Any]
    billing_source: dict[str, Any]
    status: dict[str, Any]
    paused: bool
    created_timestamp: datetime
    updated_timestamp: datetime
    provider_uuid: UUID | None
    active: bool
    polling_timestamp: datetime | None
    data_updated_timestamp: datetime | None
    infrastructure_id: int | None

    @property
    def credentials(self) -> dict[str, Any]:
        found = self.authentication.get("credentials")
        return found if isinstance(found, dict) else {}

    @property
    def data_source(self) -> dict[str, Any]:
        found = self.billing_source.get("data_source")
        return found if isinstance(found, dict) else {}

    @property
    def cluster_id(self) -> str | None:
        """What a client calls source_ref."""
        found = self.credentials.get("cluster_id")
        return str(found) if found else None


def source_type_of(code: str) -> SourceType | None:
    """The type with this code in any case; the code may end in `-local`."""
    wanted = code.strip().lower().removesuffix("-local")
    return next((kind for kind in SOURCE_TYPES if kind.code.lower() == wanted), None)


def select_sources(org_id: str) -> Select[Any]:
    """Sources of one organisation that are not being deleted; rows for `source_of`."""
    return (
        select(
            SOURCES,
            PROVIDER.c.active,
            PROVIDER.c.polling_timestamp,
            PROVIDER.c.data_updated_timestamp,
            PROVIDER.c.infrastructure_id,
        )
        .select_from(SOURCES.outerjoin(PROVIDER, PROVIDER.c.uuid == SOURCES.c.provider_id))
        .where(SOURCES.c.org_id == org_id, SOURCES.c.pending_delete.is_(False))
    )


def source_of(row: Row[Any]) -> Source:
    return Source(
        id=row.source_id,
        uuid=row.source_uuid,
        name=row.name,
        type=source_type_of(row.source_type) or SourceType(code=row.source_type, id="0", name=row.source_type.lower()),
        org_id=row.org_id,
        authentication=row.authentication,
        billing_source=row.billing_source,
        status=row.status,
        paused=row.paused,
        created_timestamp=row.created_timestamp,
        updated_timestamp=row.updated_timestamp,
        provider_uuid=row.provider_id,
        active=bool(row.active),
        polling_timestamp=row.polling_timestamp,
        data_updated_timestamp=row.data_updated_timestamp,
        infrastructure_id=row.infrastructure_id,
    )


def get_source(connection: Connection, *, org_id: str, key: str, lock: bool = False) -> Source:
    """The organisation's source with this id or uuid. SourceNotFound for any other, also another organisation's."""
    query = select_sources(org_id)
    if key.isascii() and key.isdigit() and len(key) <= 10 and int(key) <= LARGEST_SOURCE_ID:
        query = query.where(SOURCES.c.source_id == int(key))
    else:
        try:
            query = query.where(SOURCES.c.source_uuid == UUID(key))
        except ValueError:
            raise SourceNotFound from None
    row = connection.execute(query.with_for_update(of=SOURCES) if lock else query).one_or_none()
    if row is None:
        raise SourceNotFound
    return source_of(row)


def lock_cluster(connection: Connection, *, org_id: str, cluster_id: str) -> None:
    """Until the transaction ends, nobody else registers this cluster or decides that its uploads must wait."""
    connection.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"cluster:{org_id}:{cluster_id}"}
    )


def find_cluster_source(connection: Connection, *, org_id: str, cluster_id: str) -> Source | None:
    """The organisation's source for this cluster (ocp-payload §6.1); None when unknown or being deleted."""
    query = (
        select_sources(org_id)
        .where(
            SOURCES.c.source_type == OPENSHIFT.code,
            SOURCES.c.authentication["credentials"]["cluster_id"].astext == cluster_id,
        )
        .order_by(SOURCES.c.source_id)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return source_of(row) if row is not None else None


def next_source_id(connection: Connection) -> int:
    """The largest id plus one; callers take turns until their transaction ends."""
    connection.execute(text("select pg_advisory_xact_lock(hashtextextended('api_sources.source_id', 0))"))
    return int(connection.scalar(select(func.coalesce(func.max(SOURCES.c.source_id), 0))) or 0) + 1


def source_item(source: Source) -> dict[str, Any]:
    """What every answer about a source holds; secrets are left out (write-api §5.1)."""
    credentials = {name: value for name, value in source.credentials.items() if name != "client_secret"}
    return {
        "id": str(source.id),
        "uuid": str(source.uuid),
        "name": source.name,
        "source_type": source.type.code,
        "source_type_id": source.type.id,
        "source_ref": source.cluster_id,
        "authentication": {"credentials": credentials},
        "billing_source": {"data_source": source.data_source},
        "paused": source.paused,
        "updated_timestamp": timestamp(source.updated_timestamp),
    }


def application_item(source_id: int) -> dict[str, str]:
    """The one application of a source, as the Sources API describes it (write-api §5.6)."""
    return {"id": str(source_id), "source_id": str(source_id), "application_type_id": APPLICATION_TYPE_ID}


def timestamp(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with `Z`."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment is not None else None
