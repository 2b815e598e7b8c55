"""Tables of the public schema: tenants, sources, uploads, manifests, tasks, leases, schedules."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from kura.store.tables.naming import CONVENTION

SHARED: Final = MetaData(schema="public", naming_convention=CONVENTION)
SHARED_VIEWS: Final = MetaData(schema="public")

UPLOAD_STATES: Final = ("accepted", "processing", "waiting", "done", "failed")
TASK_STATES: Final = ("queued", "running", "succeeded", "failed", "dead", "cancelled")

# Values of reporting_common_costusagereportstatus.status (tasks-and-queues §5.3).
FILE_DONE: Final = 1
FILE_FAILED: Final = 2
FILE_DOWNLOADING: Final = 3
FILE_PROCESSING: Final = 4
FILE_CORRELATING: Final = 5


def _timestamp(name: str, *, default_now: bool = False) -> Column[object]:
    return Column(
        name,
        DateTime(timezone=True),
        nullable=not default_now,
        server_default=func.now() if default_now else None,
    )


def _one_of(column: str, values: Sequence[str]) -> str:
    return f"{column} in ({', '.join(repr(value) for value in values)})"


# ---------------------------------------------------------------------------------------------------------- tenants

CUSTOMER: Final = Table(
    "api_customer",
    SHARED,
    Column("id", Integer, Identity(), primary_key=True),
    Column("uuid", UUID(as_uuid=True), nullable=False, unique=True, server_default=func.gen_random_uuid()),
    Column("account_id", String(150), unique=True),
    Column("org_id", String(36), nullable=False, unique=True),
    Column("schema_name", String(63), nullable=False, unique=True),
    _timestamp("date_created", default_now=True),
    _timestamp("date_updated", default_now=True),
)

TENANT_TABLE: Final = Table(
    "api_tenant",
    SHARED,
    Column("id", Integer, Identity(), primary_key=True),
    Column("schema_name", String(63), nullable=False, unique=True),
    # "penalty", "large", "rate_limited": which queues the tenant's tasks go to (tasks-and-queues §1.3, §4.2).
    Column("flags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    _timestamp("date_created", default_now=True),
    _timestamp("date_updated", default_now=True),
)

# ---------------------------------------------------------------------------------------------------------- sources

PROVIDER_AUTHENTICATION: Final = Table(
    "api_providerauthentication",
    SHARED,
    Column("id", Integer, Identity(), primary_key=True),
    Column("uuid", UUID(as_uuid=True), nullable=False, unique=True, server_default=func.gen_random_uuid()),
    Column("credentials", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
)

PROVIDER_BILLING_SOURCE: Final = Table(
    "api_providerbillingsource",
    SHARED,
    Column("id", Integer, Identity(), primary_key=True),
    Column("uuid", UUID(as_uuid=True), nullable=False, unique=True, server_default=func.gen_random_uuid()),
    Column("data_source", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
)

PROVIDER: Final = Table(
    "api_provider",
    SHARED,
    Column("uuid", UUID(as_uuid=True), primary_key=True, server_default=func.gen_random_uuid()),
    Column("name", String(256), nullable=False),
    Column("type", String(50), nullable=False),
    Column(
        "customer_id", Integer, ForeignKey("public.api_customer.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("authentication_id", Integer, ForeignKey("public.api_providerauthentication.id"), index=True),
    Column("billing_source_id", Integer, ForeignKey("public.api_providerbillingsource.id"), index=True),
    Column("infrastructure_id", Integer, index=True),
    Column("setup_complete", Boolean, nullable=False, server_default=text("false")),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("paused", Boolean, nullable=False, server_default=text("false")),
    Column("additional_context", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    _timestamp("created_timestamp", default_now=True),
    _timestamp("data_updated_timestamp"),
    _timestamp("polling_timestamp"),
)

PROVIDER_INFRASTRUCTURE_MAP: Final = Table(
    "api_providerinfrastructuremap",
    SHARED,
    Column("id", Integer, Identity(), primary_key=True),
    Column("infrastructure_type", String(50), nullable=False),
    Column(
        "infrastructure_provider_id",
        UUID(as_uuid=True),
        ForeignKey("public.api_provider.uuid", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
)

# source_ref is the cluster id of an OpenShift source, null for clouds; the database computes it.
SOURCES: Final = Table(
    "api_sources",
    SHARED,
    Column("source_id", Integer, primary_key=True, autoincrement=False),
    Column("source_uuid", UUID(as_uuid=True), nullable=False, unique=True),
    Column("koku_uuid", UUID(as_uuid=True), unique=True),
    Column("provider_id", UUID(as_uuid=True), ForeignKey("public.api_provider.uuid", ondelete="SET NULL"), index=True),
    Column("name", String(256), nullable=False),
    Column("source_type", String(50), nullable=False),
    Column("authentication", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("source_ref", Text, Computed("authentication -> 'credentials' ->> 'cluster_id'", persisted=True)),
    Column("billing_source", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("offset", BigInteger, nullable=False, server_default=text("0")),
    Column("account_id", String(150)),
    Column("org_id", String(36), nullable=False, index=True),
    Column("status", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("paused", Boolean, nullable=False, server_default=text("false")),
    Column("pending_delete", Boolean, nullable=False, server_default=text("false")),
    Column("pending_update", Boolean, nullable=False, server_default=text("false")),
    Column("out_of_order_delete", Boolean, nullable=False, server_default=text("false")),
    _timestamp("created_timestamp", default_now=True),
    _timestamp("updated_timestamp", default_now=True),
)
Index(
    "api_sources_cluster_key",
    SOURCES.c.org_id,
    SOURCES.c.source_ref,
    unique=True,
    postgresql_where=text("source_ref is not null and not pending_delete"),
)

EXCHANGE_RATE_DICTIONARY: Final = Table(
    "api_exchangeratedictionary",
    SHARED,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, server_default=text("1")),
    Column("currency_exchange_dictionary", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    _timestamp("updated_timestamp", default_now=True),
    CheckConstraint("id = 1", name="single_row"),
)

# ---------------------------------------------------------------------------------------------------------- uploads

# id is the order of acceptance: a larger id was accepted later.
UPLOAD: Final = Table(
    "upload",
    SHARED,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("request_id", Text, nullable=False, index=True),
    Column("org_id", String(36), nullable=False, index=True),
    Column("account_id", String(150)),
    Column("object_key", Text, nullable=False),
    Column("size", BigInteger),
    Column("sha256", Text),
    Column("content_type", Text),
    Column("state", Text, nullable=False, server_default=text("'accepted'")),
    Column("reason_code", Text),
    Column("reason", Text),
    Column("schema_name", String(63)),
    Column("cluster_id", String(50)),
    Column("provider_uuid", UUID(as_uuid=True), index=True),
    Column("manifest_id", BigInteger, index=True),
    Column("files", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    _timestamp("accepted_at", default_now=True),
    _timestamp("started_at"),
    _timestamp("parsed_at"),
    _timestamp("summarised_at"),
    _timestamp("finished_at"),
    _timestamp("updated_at", default_now=True),
    CheckConstraint(_one_of("state", UPLOAD_STATES), name="state"),
)
Index("upload_unfinished_ix", UPLOAD.c.state, UPLOAD.c.id, postgresql_where=UPLOAD.c.finished_at.is_(None))
Index("upload_org_id_cluster_id_ix", UPLOAD.c.org_id, UPLOAD.c.cluster_id)

# -------------------------------------------------------------------------------------------------------- manifests

# accepted_order is the smallest upload.id that brought the manifest; null for manifests of other origin.
MANIFEST: Final = Table(
    "reporting_common_costusagereportmanifest",
    SHARED,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("assembly_id", Text, nullable=False),
    Column(
        "provider_id",
        UUID(as_uuid=True),
        ForeignKey("public.api_provider.uuid", ondelete="CASCADE"),
        nullable=False,
    ),
    _timestamp("creation_datetime", default_now=True),
    _timestamp("completed_datetime"),
    _timestamp("export_datetime"),
    _timestamp("start_datetime"),
    _timestamp("end_datetime"),
    Column("hours_per_day", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("accepted_order", BigInteger),
    Column("state", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("billing_period_start_datetime", DateTime(timezone=True), nullable=False, index=True),
    Column("num_total_files", Integer, nullable=False, server_default=text("0")),
    Column("s3_csv_cleared", Boolean, nullable=False, server_default=text("false")),
    Column("s3_parquet_cleared", Boolean, nullable=False, server_default=text("false")),
    _timestamp("daily_archive_start_date"),
    Column("operator_version", Text),
    Column("cluster_channel", Text),
    Column("operator_certified", Boolean),
    Column("operator_airgapped", Boolean),
    Column("operator_errors", JSONB),
    Column("operator_daily_reports", Boolean),
    Column("cluster_id", String(50)),
    Column("report_tracker", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("s3_parquet_cleared_tracker", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    UniqueConstraint("provider_id", "assembly_id"),
)

MANIFEST_FILE: Final = Table(
    "reporting_common_costusagereportstatus",
    SHARED,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column(
        "manifest_id",
        BigInteger,
        ForeignKey("public.reporting_common_costusagereportmanifest.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("report_name", String(128), nullable=False),
    Column("report_type", Text),
    _timestamp("started_datetime"),
    _timestamp("completed_datetime"),
    Column("etag", String(64)),
    Column("task_id", UUID(as_uuid=True)),
    Column("status", Integer, nullable=False, server_default=text(str(FILE_DOWNLOADING))),
    Column("failed_status", Integer),
    UniqueConstraint("manifest_id", "report_name"),
    CheckConstraint("status between 1 and 5", name="status"),
)

INGESTED_FILE_DAY: Final = Table(
    "ingested_file_day",
    SHARED,
    Column("provider_uuid", UUID(as_uuid=True), nullable=False),
    Column("report_type", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column(
        "manifest_id",
        BigInteger,
        ForeignKey("public.reporting_common_costusagereportmanifest.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("report_name", String(128), nullable=False),
    Column("hours", Integer, nullable=False, server_default=text("0")),
    Column("additive", Boolean, nullable=False, server_default=text("false")),
    Column("accepted_order", BigInteger, nullable=False),
    Column("hourly_objects", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("daily_objects", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("rows", BigInteger, nullable=False, server_default=text("0")),
    _timestamp("created_at", default_now=True),
    PrimaryKeyConstraint("provider_uuid", "report_type", "day", "manifest_id", "report_name"),
)

# The rows of ingested_file_day that count (ocp-payload §6.6, decision D1); a view.
VISIBLE_FILE_DAY: Final = Table(
    "visible_file_day",
    SHARED_VIEWS,
    *(Column(column.name, column.type) for column in INGESTED_FILE_DAY.columns),
)

MANIFEST_RANGE: Final = Table(
    "manifest_range",
    SHARED,
    Column(
        "manifest_id",
        BigInteger,
        ForeignKey("public.reporting_common_costusagereportmanifest.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("month", Date, nullable=False),
    Column("start_date", Date, nullable=False),
    Column("end_date", Date, nullable=False),
    _timestamp("summarised_at"),
    PrimaryKeyConstraint("manifest_id", "month"),
    CheckConstraint("start_date <= end_date", name="range"),
)
Index("manifest_range_open_ix", MANIFEST_RANGE.c.month, postgresql_where=MANIFEST_RANGE.c.summarised_at.is_(None))

# ------------------------------------------------------------------------------------------------------------ tasks

# "All of these, then that": the member that brings `remaining` to 0 enqueues the follow-up.
TASK_GROUP: Final = Table(
    "task_group",
    SHARED,
    Column("id", UUID(as_uuid=True), primary_key=True, server_default=func.gen_random_uuid()),
    Column("total", Integer, nullable=False),
    Column("remaining", Integer, nullable=False),
    Column("failed", Integer, nullable=False, server_default=text("0")),
    Column("follow_up_type", Text),
    Column("follow_up_payload", JSONB),
    Column("follow_up_queue", Text),
    Column("schema_name", String(63)),
    Column("traceparent", Text),
    _timestamp("created_at", default_now=True),
    _timestamp("finished_at"),
    CheckConstraint("remaining between 0 and total", name="remaining"),
)

TASK: Final = Table(
    "task",
    SHARED,
    Column("id", UUID(as_uuid=True), primary_key=True, server_default=func.gen_random_uuid()),
    Column("type", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("queue_class", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("schema_name", String(63)),
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    Column("priority", Integer, nullable=False, server_default=text("0")),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("max_attempts", Integer, nullable=False, server_default=text("5")),
    _timestamp("not_before", default_now=True),
    Column("dedupe_key", Text),
    Column("lease_owner", Text),
    Column("lease_token", BigInteger, nullable=False, server_default=text("0")),
    _timestamp("lease_expires_at"),
    _timestamp("published_at"),
    _timestamp("created_at", default_now=True),
    _timestamp("started_at"),
    _timestamp("finished_at"),
    Column("group_id", UUID(as_uuid=True), ForeignKey("public.task_group.id", ondelete="SET NULL"), index=True),
    Column("root_id", UUID(as_uuid=True), index=True),
    Column("parent_id", UUID(as_uuid=True)),
    Column("traceparent", Text),
    Column("error_code", Text),
    Column("error", Text),
    Column("progress", JSONB),
    CheckConstraint(_one_of("state", TASK_STATES), name="state"),
)
Index(
    "task_queued_dedupe_key",
    TASK.c.dedupe_key,
    unique=True,
    postgresql_where=text("state = 'queued' and dedupe_key is not null"),
)
Index(
    "task_claim_ix",
    TASK.c.queue,
    TASK.c.priority.desc(),
    TASK.c.not_before,
    postgresql_where=TASK.c.state == "queued",
)
Index(
    "task_unpublished_ix",
    TASK.c.not_before,
    postgresql_where=text("state = 'queued' and published_at is null"),
)
Index("task_running_ix", TASK.c.lease_expires_at, postgresql_where=TASK.c.state == "running")
Index("task_finished_ix", TASK.c.finished_at, postgresql_where=TASK.c.finished_at.is_not(None))
Index("task_schema_name_type_state_ix", TASK.c.schema_name, TASK.c.type, TASK.c.state)

# A row stays after its release: the token of a name only ever grows. The unique pair makes a change of token, unlike a
# renewal, wait for writers that lock the row FOR KEY SHARE.
LEASE: Final = Table(
    "lease",
    SHARED,
    Column("name", Text, primary_key=True),
    Column("owner", Text),
    Column("token", BigInteger, nullable=False, server_default=text("0")),
    _timestamp("acquired_at"),
    _timestamp("renewed_at"),
    _timestamp("expires_at"),
    UniqueConstraint("name", "token"),
)

# --------------------------------------------------------------------------------------------------------- schedule

SCHEDULED_TASK: Final = Table(
    "scheduled_task",
    SHARED,
    Column("name", Text, primary_key=True),
    Column("cron", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("kwargs", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("queue", Text),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("description", Text, nullable=False, server_default=text("''")),
    _timestamp("last_run"),
    _timestamp("next_run"),
    _timestamp("updated_at", default_now=True),
)

# One row per period that was started: the key makes a period effective once, whoever schedules.
SCHEDULED_TASK_RUN: Final = Table(
    "scheduled_task_run",
    SHARED,
    Column("name", Text, ForeignKey("public.scheduled_task.name", ondelete="CASCADE"), nullable=False),
    Column("scheduled_for", DateTime(timezone=True), nullable=False),
    Column("task_id", UUID(as_uuid=True)),
    _timestamp("created_at", default_now=True),
    PrimaryKeyConstraint("name", "scheduled_for"),
)
