"""Tables of one tenant's schema (ocp-pipeline §12, cost-models §1, write-api §8).

The schema name "tenant" is a placeholder: `Database.tenant(schema)` translates it.
"""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
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
from sqlalchemy.schema import SchemaItem

from kura.store.tables.naming import CONVENTION

PLACEHOLDER: Final = "tenant"
TENANT: Final = MetaData(schema=PLACEHOLDER, naming_convention=CONVENTION)

USAGE_START: Final = "usage_start"


def _key(name: str) -> Column[Any]:
    return Column(name, UUID(as_uuid=True), primary_key=True, server_default=func.gen_random_uuid())


def _timestamp(name: str, *, default_now: bool = False) -> Column[Any]:
    default = func.now() if default_now else None
    return Column(name, DateTime(timezone=True), nullable=not default_now, server_default=default)


def _measures(*names: str) -> list[Column[Any]]:
    """Amounts: null means "does not apply", which is not 0."""
    return [Column(name, Numeric(33, 15)) for name in names]


def _documents(*names: str) -> list[Column[Any]]:
    return [Column(name, JSONB) for name in names]


def _names(*names: str) -> list[Column[Any]]:
    """Kubernetes names: at most 253 characters."""
    return [Column(name, String(253)) for name in names]


def _partitioned(name: str, key: str, *items: SchemaItem) -> Table:
    """A table cut by month of usage_start."""
    return Table(
        name,
        TENANT,
        Column(USAGE_START, Date, nullable=False),
        Column("usage_end", Date, nullable=False),
        Column(key, UUID(as_uuid=True), nullable=False, server_default=func.gen_random_uuid()),
        *items,
        PrimaryKeyConstraint(USAGE_START, key),
        postgresql_partition_by=f"RANGE ({USAGE_START})",
    )


def _index(table: Table, columns: Iterable[str]) -> None:
    for column in columns:
        Index(None, table.c[column])


# ------------------------------------------------------------------------------------------- sources and partitions

TENANT_PROVIDER: Final = Table(
    "reporting_tenant_api_provider",
    TENANT,
    Column("uuid", UUID(as_uuid=True), primary_key=True),
    Column("name", String(256), nullable=False),
    Column("type", String(50), nullable=False),
)


def _provider(name: str, *, nullable: bool = True, index: bool = False) -> Column[Any]:
    target = ForeignKey(f"{PLACEHOLDER}.reporting_tenant_api_provider.uuid", ondelete="CASCADE")
    return Column(name, UUID(as_uuid=True), target, nullable=nullable, index=index)


PARTITIONED_TABLES: Final = Table(
    "partitioned_tables",
    TENANT,
    Column("id", Integer, Identity(), primary_key=True),
    Column("schema_name", Text, nullable=False),
    Column("table_name", Text, nullable=False),
    Column("partition_of_table_name", Text, nullable=False),
    Column("partition_type", Text, nullable=False, server_default=text("'range'")),
    Column("partition_col", Text, nullable=False, server_default=text("'usage_start'")),
    Column("partition_parameters", JSONB, nullable=False),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    UniqueConstraint("schema_name", "table_name"),
    CheckConstraint("partition_type = 'range'", name="partition_type"),
)

# ------------------------------------------------------------------------------------------------ inventory, periods

REPORT_PERIOD: Final = Table(
    "reporting_ocpusagereportperiod",
    TENANT,
    Column("id", Integer, Identity(), primary_key=True),
    Column("cluster_id", String(50), nullable=False),
    Column("cluster_alias", String(256)),
    Column("report_period_start", DateTime(timezone=True), nullable=False),
    Column("report_period_end", DateTime(timezone=True), nullable=False),
    _timestamp("summary_data_creation_datetime"),
    _timestamp("summary_data_updated_datetime"),
    _timestamp("ocp_on_cloud_updated_datetime"),
    _timestamp("derived_cost_datetime"),
    _provider("provider_id", nullable=False, index=True),
    _timestamp("month_folded_datetime"),
    UniqueConstraint("cluster_id", "report_period_start", "provider_id"),
)


CLUSTERS: Final = Table(
    "reporting_ocp_clusters",
    TENANT,
    _key("uuid"),
    Column("cluster_id", Text, nullable=False),
    Column("cluster_alias", Text),
    _provider("provider_id", index=True),
    UniqueConstraint("cluster_id", "cluster_alias", "provider_id", postgresql_nulls_not_distinct=True),
)


def _cluster() -> Column[Any]:
    target = ForeignKey(f"{PLACEHOLDER}.reporting_ocp_clusters.uuid", ondelete="CASCADE")
    return Column("cluster_id", UUID(as_uuid=True), target, nullable=False, index=True)


NODES: Final = Table(
    "reporting_ocp_nodes",
    TENANT,
    _key("uuid"),
    Column("node", Text, nullable=False),
    Column("resource_id", Text),
    Column("node_capacity_cpu_cores", Numeric(18, 2)),
    Column("node_role", Text),
    Column("architecture", Text),
    _cluster(),
    UniqueConstraint(
        "node", "resource_id", "node_capacity_cpu_cores", "cluster_id", postgresql_nulls_not_distinct=True
    ),
)

PVCS: Final = Table(
    "reporting_ocp_pvcs",
    TENANT,
    _key("uuid"),
    Column("persistent_volume", Text, nullable=False),
    Column("persistent_volume_claim", Text, nullable=False),
    Column("csi_volume_handle", Text),
    _cluster(),
    UniqueConstraint("persistent_volume", "persistent_volume_claim", "cluster_id"),
)

PROJECTS: Final = Table(
    "reporting_ocp_projects",
    TENANT,
    _key("uuid"),
    Column("project", Text, nullable=False),
    _cluster(),
    UniqueConstraint("project", "cluster_id"),
)

COST_CATEGORY: Final = Table(
    "reporting_ocp_cost_category",
    TENANT,
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("description", Text),
    Column("source_type", Text, nullable=False),
    Column("system_default", Boolean, nullable=False, server_default=text("false")),
    Column("label", ARRAY(Text)),
)


def _cost_category(*, nullable: bool = True, index: bool = False) -> Column[Any]:
    target = ForeignKey(f"{PLACEHOLDER}.reporting_ocp_cost_category.id", ondelete="CASCADE")
    return Column("cost_category_id", Integer, target, nullable=nullable, index=index)


COST_CATEGORY_NAMESPACE: Final = Table(
    "reporting_ocp_cost_category_namespace",
    TENANT,
    Column("id", Integer, Identity(), primary_key=True),
    Column("namespace", Text, nullable=False, unique=True),
    Column("system_default", Boolean, nullable=False, server_default=text("false")),
    _cost_category(nullable=False, index=True),
)

# ---------------------------------------------------------------------------------------------------- daily summary

DAILY_SUMMARY: Final = _partitioned(
    "reporting_ocpusagelineitem_daily_summary",
    "uuid",
    # No checked keys: to look up the period of each of very many rows takes a quarter of the time of storing them. A
    # trigger of the periods removes the rows of one that goes; nothing removes a cost category.
    Column("report_period_id", Integer),
    Column("cost_category_id", Integer),
    Column("cluster_id", String(50)),
    Column("cluster_alias", String(256)),
    Column("data_source", String(64)),
    *_names("namespace", "node", "resource_id"),
    *_documents("pod_labels", "volume_labels", "all_labels"),
    *_measures(
        "pod_usage_cpu_core_hours",
        "pod_request_cpu_core_hours",
        "pod_effective_usage_cpu_core_hours",
        "pod_limit_cpu_core_hours",
        "pod_usage_memory_gigabyte_hours",
        "pod_request_memory_gigabyte_hours",
        "pod_effective_usage_memory_gigabyte_hours",
        "pod_limit_memory_gigabyte_hours",
        "node_capacity_cpu_cores",
        "node_capacity_cpu_core_hours",
        "node_capacity_memory_gigabytes",
        "node_capacity_memory_gigabyte_hours",
        "cluster_capacity_cpu_core_hours",
        "cluster_capacity_memory_gigabyte_hours",
    ),
    *_names("persistentvolumeclaim", "persistentvolume", "storageclass"),
    *_measures(
        "persistentvolumeclaim_capacity_gigabyte",
        "persistentvolumeclaim_capacity_gigabyte_months",
        "volume_request_storage_gigabyte_months",
        "persistentvolumeclaim_usage_gigabyte_months",
        "infrastructure_raw_cost",
        "infrastructure_project_raw_cost",
        "infrastructure_markup_cost",
        "infrastructure_project_markup_cost",
        "infrastructure_data_in_gigabytes",
        "infrastructure_data_out_gigabytes",
    ),
    *_documents("infrastructure_usage_cost", "supplementary_usage_cost"),
    *_measures("infrastructure_monthly_cost", "supplementary_monthly_cost"),
    *_documents(
        "infrastructure_monthly_cost_json",
        "supplementary_monthly_cost_json",
        "infrastructure_project_monthly_cost",
        "supplementary_project_monthly_cost",
    ),
    *_measures("cost_model_cpu_cost", "cost_model_memory_cost", "cost_model_volume_cost", "cost_model_gpu_cost"),
    Column("cost_model_rate_type", Text),
    Column("monthly_cost_type", Text),
    *_measures("distributed_cost"),
    Column("source_uuid", UUID(as_uuid=True)),
    Column("raw_currency", Text),
)
_daily = DAILY_SUMMARY.c
# Every index costs each of the many rows of a summary. The key begins with usage_start; labels are searched through
# all_labels, which holds those of pods and volumes; columns that only some rows fill are indexed for those alone, and
# types of costs not at all: every question for them names days, and a source or period.
Index(None, _daily.source_uuid, _daily.usage_start)
Index(None, _daily.report_period_id, _daily.usage_start)
Index("daily_summary_namespace_like_ix", _daily.namespace, postgresql_ops={"namespace": "varchar_pattern_ops"})
Index("daily_summary_node_like_ix", _daily.node, postgresql_ops={"node": "varchar_pattern_ops"})
Index("daily_summary_all_labels_gin", _daily.all_labels, postgresql_using="gin")
Index(
    "daily_summary_cost_category_id_ix", _daily.cost_category_id, postgresql_where=_daily.cost_category_id.is_not(None)
)
Index(
    "daily_summary_cloud_cost_ix",
    _daily.usage_start,
    _daily.cluster_id,
    postgresql_where=text("infrastructure_raw_cost <> 0"),
)

# -------------------------------------------------------------------------------------------------- UI summary tables

COST_MODEL_COSTS: Final = (
    "cost_model_cpu_cost",
    "cost_model_memory_cost",
    "cost_model_volume_cost",
    "cost_model_gpu_cost",
)
COSTS: Final = ("infrastructure_raw_cost", "infrastructure_markup_cost", *COST_MODEL_COSTS, "distributed_cost")
POD_AMOUNTS: Final = (
    "pod_usage_cpu_core_hours",
    "pod_request_cpu_core_hours",
    "pod_effective_usage_cpu_core_hours",
    "pod_limit_cpu_core_hours",
    "pod_usage_memory_gigabyte_hours",
    "pod_request_memory_gigabyte_hours",
    "pod_effective_usage_memory_gigabyte_hours",
    "pod_limit_memory_gigabyte_hours",
)
POD_MEASURES: Final = (
    *POD_AMOUNTS,
    "cluster_capacity_cpu_core_hours",
    "cluster_capacity_memory_gigabyte_hours",
)
NODE_MEASURES: Final = (
    "node_capacity_cpu_cores",
    "node_capacity_cpu_core_hours",
    "node_capacity_memory_gigabytes",
    "node_capacity_memory_gigabyte_hours",
)
VOLUME_MEASURES: Final = (
    "volume_request_storage_gigabyte_months",
    "persistentvolumeclaim_usage_gigabyte_months",
    "persistentvolumeclaim_capacity_gigabyte_months",
)
NETWORK_MEASURES: Final = ("infrastructure_data_in_gigabytes", "infrastructure_data_out_gigabytes")
UNWRITTEN_DOCUMENTS: Final = (
    "infrastructure_usage_cost",
    "infrastructure_monthly_cost_json",
    "supplementary_usage_cost",
    "supplementary_monthly_cost_json",
)
UNWRITTEN_PROJECT_DOCUMENTS: Final = (
    "infrastructure_usage_cost",
    "infrastructure_project_monthly_cost",
    "supplementary_usage_cost",
    "supplementary_project_monthly_cost",
)


def _ui(
    name: str,
    *items: SchemaItem,
    costs: tuple[str, ...] = COSTS,
    checked: bool = True,
    cluster_nullable: bool = False,
    indexes: tuple[str, ...] = (),
) -> Table:
    """One UI table. `checked`: its source and cost category must exist, which is looked up for every row written."""
    table = _partitioned(
        f"reporting_ocp_{name}",
        "id",
        _provider("source_uuid") if checked else Column("source_uuid", UUID(as_uuid=True)),
        Column("cluster_id", Text, nullable=cluster_nullable),
        Column("cluster_alias", Text),
        _cost_category() if checked else Column("cost_category_id", Integer),
        Column("raw_currency", Text),
        Column("cost_model_rate_type", Text),
        *_measures(*costs),
        *items,
    )
    Index(None, table.c.source_uuid, table.c.usage_start)
    _index(table, indexes)
    return table


def _resources() -> list[Column[Any]]:
    return [
        Column("resource_ids", ARRAY(String(256))),
        Column("resource_count", Integer),
        Column("data_source", String(64)),
    ]


COST_SUMMARY: Final = _ui("cost_summary_p", *_documents(*UNWRITTEN_DOCUMENTS))
COST_SUMMARY_BY_PROJECT: Final = _ui(
    "cost_summary_by_project_p",
    *_names("namespace"),
    *_documents(*UNWRITTEN_PROJECT_DOCUMENTS),
    indexes=("namespace",),
)
COST_SUMMARY_BY_NODE: Final = _ui(
    "cost_summary_by_node_p", *_names("node"), *_documents(*UNWRITTEN_DOCUMENTS), indexes=("node",)
)
POD_SUMMARY: Final = _ui("pod_summary_p", *_resources(), *_measures(*POD_MEASURES), *_documents(*UNWRITTEN_DOCUMENTS))
POD_SUMMARY_BY_PROJECT: Final = _ui(
    "pod_summary_by_project_p",
    *_names("namespace"),
    *_resources(),
    *_measures(*POD_MEASURES),
    *_documents(*UNWRITTEN_DOCUMENTS),
    indexes=("namespace",),
)
POD_SUMMARY_BY_NODE: Final = _ui(
    "pod_summary_by_node_p",
    *_names("node"),
    *_resources(),
    *_measures(*POD_MEASURES, *NODE_MEASURES),
    *_documents(*UNWRITTEN_DOCUMENTS),
    indexes=("node",),
)
VOLUME_SUMMARY: Final = _ui(
    "volume_summary_p",
    *_names("persistentvolumeclaim", "storageclass"),
    *_resources(),
    *_measures(*VOLUME_MEASURES),
    *_documents(*UNWRITTEN_DOCUMENTS),
)
VOLUME_SUMMARY_BY_PROJECT: Final = _ui(
    "volume_summary_by_project_p",
    *_names("namespace", "persistentvolumeclaim", "storageclass"),
    *_resources(),
    *_measures(*VOLUME_MEASURES),
    *_documents(*UNWRITTEN_DOCUMENTS),
    indexes=("namespace",),
)
NETWORK_SUMMARY: Final = _ui("network_summary_p", *_resources(), *_measures(*NETWORK_MEASURES))
NETWORK_SUMMARY_BY_PROJECT: Final = _ui(
    "network_summary_by_project_p",
    *_names("namespace"),
    *_resources(),
    *_measures(*NETWORK_MEASURES),
    indexes=("namespace",),
)
NETWORK_SUMMARY_BY_NODE: Final = _ui(
    "network_summary_by_node_p", *_names("node"), *_resources(), *_measures(*NETWORK_MEASURES), indexes=("node",)
)
# The daily summary folded by month: what answers a question about whole months that no other UI table answers.
# usage_start is the first day of the month, usage_end the last day that has rows. A trigger of the report periods
# removes its very many rows.
MONTH_SUMMARY: Final = _ui(
    "month_summary_p",
    Column("data_source", String(64)),
    *_names("namespace", "node", "persistentvolumeclaim", "storageclass"),
    *_documents("pod_labels", "volume_labels", "all_labels"),
    *_measures(*POD_AMOUNTS, *VOLUME_MEASURES, *NETWORK_MEASURES),
    checked=False,
    cluster_nullable=True,
)
MONTH_SUMMARY_KEYS: Final = tuple(
    column.name
    for column in MONTH_SUMMARY.columns
    if column.name not in (USAGE_START, "usage_end", "id") and not isinstance(column.type, Numeric)
)
MONTH_SUMMARY_AMOUNTS: Final = (*COSTS, *POD_AMOUNTS, *VOLUME_MEASURES, *NETWORK_MEASURES)
GPU_SUMMARY: Final = _ui(
    "gpu_summary_p",
    *_names("namespace", "node"),
    Column("vendor_name", String(128)),
    Column("model_name", String(128)),
    *_measures("memory_capacity_gb"),
    Column("gpu_count", Integer),
    Column("gpu_uuid", String(128)),
    Column("mig_instance_id", String(128)),
    Column("gpu_mode", String(32)),
    Column("mig_profile", String(64)),
    Column("mig_slice_count", Integer),
    Column("gpu_max_slices", Integer),
    *_measures("mig_memory_capacity_gb"),
    Column("mig_strategy", String(10)),
    costs=COST_MODEL_COSTS,
    indexes=("cluster_id", "namespace", "node", "vendor_name", "model_name", "mig_profile"),
)
VM_SUMMARY: Final = _ui(
    "vm_summary_p",
    *_names("namespace", "node"),
    Column("vm_name", Text),
    *_documents("pod_labels"),
    *_measures("pod_request_cpu_core_hours", "pod_request_memory_gigabyte_hours"),
    *_names("persistentvolumeclaim", "storageclass"),
    *_measures("persistentvolumeclaim_usage_gigabyte_months", "persistentvolumeclaim_capacity_gigabyte_months"),
    Column("resource_ids", ARRAY(String(256))),
    cluster_nullable=True,
    indexes=("cluster_id", "namespace", "node", "vm_name"),
)
Index(None, VM_SUMMARY.c.pod_labels, postgresql_using="gin")
COST_BREAKDOWN: Final = _ui(
    "cost_breakdown_p",
    *_names("namespace", "node"),
    Column("custom_name", String(50)),
    Column("metric_type", String(30)),
    *_measures("cost_value"),
    Column("path", String(512)),
    Column("parent_path", String(512)),
    Column("top_category", String(512)),
    Column("depth", SmallInteger),
    Column("breakdown_category", String(50)),
    costs=("distributed_cost",),
    indexes=("namespace", "cluster_id", "custom_name", "path", "depth", "top_category", "node"),
)
Index(None, COST_BREAKDOWN.c.usage_start, COST_BREAKDOWN.c.source_uuid)

UI_TABLES: Final = (
    COST_SUMMARY,
    COST_SUMMARY_BY_PROJECT,
    COST_SUMMARY_BY_NODE,
    POD_SUMMARY,
    POD_SUMMARY_BY_PROJECT,
    POD_SUMMARY_BY_NODE,
    VOLUME_SUMMARY,
    VOLUME_SUMMARY_BY_PROJECT,
    NETWORK_SUMMARY,
    NETWORK_SUMMARY_BY_PROJECT,
    NETWORK_SUMMARY_BY_NODE,
    MONTH_SUMMARY,
    GPU_SUMMARY,
    VM_SUMMARY,
    COST_BREAKDOWN,
)

# ------------------------------------------------------------------------------------------------------------- tags

ENABLED_TAG_KEYS: Final = Table(
    "reporting_enabledtagkeys",
    TENANT,
    _key("uuid"),
    Column("key", String(512), nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("provider_type", String(50), nullable=False, index=True),
    UniqueConstraint("key", "provider_type"),
)
Index(None, ENABLED_TAG_KEYS.c.key, ENABLED_TAG_KEYS.c.enabled)


def _tag_key(name: str, *, unique: bool = False) -> Column[Any]:
    target = ForeignKey(f"{PLACEHOLDER}.reporting_enabledtagkeys.uuid", ondelete="CASCADE")
    return Column(name, UUID(as_uuid=True), target, nullable=False, unique=unique)


TAG_MAPPING: Final = Table(
    "reporting_tagmapping",
    TENANT,
    Column("id", Integer, Identity(), primary_key=True),
    _tag_key("parent_id"),
    _tag_key("child_id", unique=True),
    UniqueConstraint("parent_id", "child_id"),
)


def _label_summary(name: str) -> Table:
    return Table(
        name,
        TENANT,
        _key("uuid"),
        Column("key", Text, nullable=False),
        Column("values", ARRAY(Text), nullable=False),
        Column("report_period_id", Integer, index=True),  # not checked: a trigger of the periods removes the rows
        Column("namespace", Text, nullable=False),
        Column("node", Text),
        UniqueConstraint("key", "report_period_id", "namespace", "node", postgresql_nulls_not_distinct=True),
    )


POD_LABEL_SUMMARY: Final = _label_summary("reporting_ocpusagepodlabel_summary")
VOLUME_LABEL_SUMMARY: Final = _label_summary("reporting_ocpstoragevolumelabel_summary")

TAG_VALUES: Final = Table(
    "reporting_ocptags_values",
    TENANT,
    _key("uuid"),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("cluster_ids", ARRAY(Text), nullable=False),
    Column("cluster_aliases", ARRAY(Text), nullable=False),
    Column("namespaces", ARRAY(Text), nullable=False),
    Column("nodes", ARRAY(Text)),
    UniqueConstraint("key", "value"),
)

AWS_CATEGORY_KEYS: Final = Table(
    "reporting_awsenabledcategorykeys",
    TENANT,
    _key("uuid"),
    Column("key", String(253), nullable=False, unique=True),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
)

# ------------------------------------------------------------------------------------------------------ cost models


def _cost_model_columns() -> list[Column[Any]]:
    return [
        Column("name", Text, nullable=False),
        Column("description", Text, nullable=False, server_default=text("''")),
        Column("source_type", String(50), nullable=False),
        Column("created_timestamp", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("updated_timestamp", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("rates", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
        Column("markup", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
        Column("distribution", Text, nullable=False, server_default=text("'cpu'")),
        Column("distribution_info", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
        Column("currency", Text, nullable=False, server_default=text("'USD'")),
    ]


COST_MODEL: Final = Table("cost_model", TENANT, _key("uuid"), *_cost_model_columns())
_index(COST_MODEL, ("name", "source_type", "updated_timestamp"))


def _cost_model(name: str = "cost_model_id", *, nullable: bool = False, index: bool = False) -> Column[Any]:
    target = ForeignKey(f"{PLACEHOLDER}.cost_model.uuid", ondelete="CASCADE")
    return Column(name, UUID(as_uuid=True), target, nullable=nullable, index=index)


COST_MODEL_MAP: Final = Table(
    "cost_model_map",
    TENANT,
    Column("id", Integer, Identity(), primary_key=True),
    Column("provider_uuid", UUID(as_uuid=True), nullable=False),
    _cost_model(index=True),
    UniqueConstraint("provider_uuid", "cost_model_id"),
)

COST_MODEL_AUDIT: Final = Table(
    "cost_model_audit",
    TENANT,
    Column("id", Integer, Identity(), primary_key=True),
    Column("operation", String(16), nullable=False),
    Column("audit_timestamp", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("provider_uuids", ARRAY(UUID(as_uuid=True))),
    Column("uuid", UUID(as_uuid=True), nullable=False, index=True),
    *_cost_model_columns(),
    Column("author", Text, nullable=False, server_default=text("coalesce(current_setting('kura.author', true), '')")),
)

PRICE_LIST: Final = Table(
    "price_list",
    TENANT,
    _key("uuid"),
    Column("name", String(255), nullable=False, index=True),
    Column("description", Text, nullable=False, server_default=text("''")),
    Column("currency", Text, nullable=False),
    Column("effective_start_date", Date, nullable=False),
    Column("effective_end_date", Date, nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("rates", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    _timestamp("created_timestamp", default_now=True),
    _timestamp("updated_timestamp", default_now=True),
    CheckConstraint("effective_start_date <= effective_end_date", name="effective_range"),
)

PRICE_LIST_COST_MODEL_MAP: Final = Table(
    "price_list_cost_model_map",
    TENANT,
    Column("id", Integer, Identity(), primary_key=True),
    Column(
        "price_list_id",
        UUID(as_uuid=True),
        ForeignKey(f"{PLACEHOLDER}.price_list.uuid", ondelete="CASCADE"),
        nullable=False,
    ),
    _cost_model(index=True),
    Column("priority", Integer, nullable=False),
    UniqueConstraint("price_list_id", "cost_model_id"),
)

COST_MODEL_RATE: Final = Table(
    "cost_model_rate",
    TENANT,
    _key("uuid"),
    Column(
        "price_list_id",
        UUID(as_uuid=True),
        ForeignKey(f"{PLACEHOLDER}.price_list.uuid", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("custom_name", String(50), nullable=False),
    Column("description", Text, nullable=False, server_default=text("''")),
    Column("metric", String(100), nullable=False, index=True),
    Column("metric_type", String(20), nullable=False),
    Column("cost_type", String(20), nullable=False),
    Column("default_rate", Numeric(33, 15)),
    Column("tag_key", String(253), nullable=False, server_default=text("''")),
    Column("tag_values", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    _timestamp("created_timestamp", default_now=True),
    _timestamp("updated_timestamp", default_now=True),
    UniqueConstraint("price_list_id", "custom_name"),
)

RATES_TO_USAGE: Final = _partitioned(
    "rates_to_usage",
    "uuid",
    # Lines explain cost rows and live as long as those: no checked keys, and one index, by which they are read,
    # replaced and removed. A line is of the days from usage_start to usage_end that `days` lists, its other lists hold
    # what each of them has and its amounts are sums. A line of one day has no lists.
    Column("rate_id", UUID(as_uuid=True)),
    Column("cost_model_id", UUID(as_uuid=True)),
    Column("price_list_id", UUID(as_uuid=True)),
    Column("report_period_id", Integer),
    Column("source_uuid", UUID(as_uuid=True)),
    *_names("namespace", "node"),
    Column("cluster_id", String(50)),
    Column("cluster_alias", String(256)),
    Column("data_source", String(64)),
    *_names("persistentvolumeclaim"),
    *_documents("pod_labels", "volume_labels", "all_labels"),
    Column("label_hash", String(64)),
    Column("custom_name", String(50)),
    Column("metric", String(100)),
    Column("metric_type", String(20)),
    Column("tag_key", String(253)),
    Column("tag_value", Text),
    Column("cost_model_rate_type", Text),
    Column("monthly_cost_type", Text),
    *_measures("unit_rate", "quantity", "calculated_cost", "pool_cost", "share", "distributed_cost"),
    Column("cost_category_id", Integer),
    *_measures(*NODE_MEASURES, "cluster_capacity_cpu_core_hours", "cluster_capacity_memory_gigabyte_hours"),
    Column("days", ARRAY(Date)),
    *(Column(name, ARRAY(Numeric(33, 15))) for name in ("quantities", "costs", "pool_costs")),
)
Index(None, RATES_TO_USAGE.c.source_uuid, RATES_TO_USAGE.c.usage_start)

# --------------------------------------------------------------------------------------------- settings, currencies

# One row, made with the schema.
TENANT_SETTINGS: Final = Table(
    "tenant_settings",
    TENANT,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, server_default=text("1")),
    Column("currency", String(3), nullable=False, server_default=text("'USD'")),
    Column("cost_type", Text, nullable=False, server_default=text("'unblended_cost'")),
    Column("data_retention_months", Integer, nullable=False, server_default=text("3")),
    Column("cost_model_write_freeze", Boolean, nullable=False, server_default=text("false")),
    _timestamp("updated_timestamp", default_now=True),
    CheckConstraint("id = 1", name="single_row"),
    CheckConstraint("data_retention_months between 3 and 120", name="data_retention_months"),
    CheckConstraint("cost_type in ('unblended_cost', 'calculated_amortized_cost', 'blended_cost')", name="cost_type"),
)

ENABLED_CURRENCY: Final = Table(
    "enabled_currency",
    TENANT,
    Column("id", Integer, Identity(), primary_key=True),
    Column("currency_code", String(3), nullable=False, unique=True),
    _timestamp("created_timestamp", default_now=True),
)

STATIC_EXCHANGE_RATE: Final = Table(
    "static_exchange_rate",
    TENANT,
    _key("uuid"),
    Column("base_currency", String(3), nullable=False),
    Column("target_currency", String(3), nullable=False),
    Column("exchange_rate", Numeric(33, 15), nullable=False),
    Column("start_date", Date, nullable=False),
    Column("end_date", Date, nullable=False),
    _timestamp("created_timestamp", default_now=True),
    _timestamp("updated_timestamp", default_now=True),
    CheckConstraint("exchange_rate > 0", name="exchange_rate"),
    CheckConstraint("start_date <= end_date", name="range"),
    CheckConstraint("base_currency <> target_currency", name="pair"),
)
Index(None, STATIC_EXCHANGE_RATE.c.base_currency, STATIC_EXCHANGE_RATE.c.target_currency)

MONTHLY_EXCHANGE_RATE: Final = Table(
    "monthly_exchange_rate",
    TENANT,
    Column("id", Integer, Identity(), primary_key=True),
    Column("effective_date", Date, nullable=False),
    Column("base_currency", String(3), nullable=False),
    Column("target_currency", String(3), nullable=False),
    Column("exchange_rate", Numeric(33, 15), nullable=False),
    Column("rate_type", Text, nullable=False),
    UniqueConstraint("effective_date", "base_currency", "target_currency"),
    CheckConstraint("exchange_rate > 0", name="exchange_rate"),
    CheckConstraint("rate_type in ('static', 'dynamic')", name="rate_type"),
)

PARTITIONED: Final = tuple(
    table for table in TENANT.sorted_tables if table.dialect_options["postgresql"]["partition_by"] is not None
)
