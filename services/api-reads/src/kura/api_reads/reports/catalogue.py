"""The report catalogue: which tables, keys, measures, orders and deltas every report has.

Everything here is data and follows read-api §2.10 and read-api-fields §2–§3. A new report is a new entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from kura.api_reads.reports.measures import (
    Count,
    Documents,
    Efficiency,
    Formula,
    Labels,
    Largest,
    LargestName,
    Money,
    Names,
    Plus,
    Same,
    Scaled,
    Sum,
    Wasted,
    Zero,
)

DAILY = "reporting_ocpusagelineitem_daily_summary"
MONTHS = "reporting_ocp_month_summary_p"
"""The daily summary folded by month."""
HOURS_PER_DAY = 24


@dataclass(frozen=True)
class Key:
    """What a name in filter, exclude and group_by means: the column shown and the columns compared.

    Several shown columns are joined with `_`. A value matches when any compared column matches; without one, when what
    is shown matches.
    """

    shown: tuple[str, ...]
    compared: tuple[str, ...]


def _key(column: str) -> Key:
    return Key((column,), (column,))


KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "cluster": Key(("cluster_id",), ("cluster_alias", "cluster_id")),
        "project": _key("namespace"),
        "node": _key("node"),
        "persistentvolumeclaim": _key("persistentvolumeclaim"),
        "storageclass": _key("storageclass"),
        "gpu_vendor": _key("vendor_name"),
        "gpu_model": _key("model_name"),
        "gpu_mode": _key("gpu_mode"),
        "gpu_name": Key(("vendor_name", "model_name", "node"), ()),
        "mig_profile": _key("mig_profile"),
        "mig_id": _key("mig_instance_id"),
        "vm_name": _key("vm_name"),
    }
)


@dataclass(frozen=True)
class Among:
    """A fixed restriction of a report: the column is one of these texts."""

    column: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class NotAmong:
    """A fixed restriction of a report: the column is none of these texts; null passes."""

    column: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class NotEmpty:
    """A fixed restriction of a report: the column is neither null nor empty."""

    column: str


Condition = Among | NotAmong | NotEmpty


@dataclass(frozen=True)
class Capacity:
    """Where the capacity of a report comes from (read-api-fields §3.3)."""

    cluster: str | None
    node_period: str | None
    node_size: str
    count_units: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that distinguishes one report from another."""

    path: str
    measures: Mapping[str, Formula]
    units: Mapping[str, str]
    tables: Mapping[frozenset[str], str]
    tag_column: str
    shape: str
    daily_table: str = DAILY
    capacity_tables: Mapping[frozenset[str], str] = field(default_factory=dict)
    daily_conditions: tuple[Condition, ...] = ()
    group_by: frozenset[str] = frozenset()
    filters: frozenset[str] = frozenset()
    excludes: frozenset[str] = frozenset()
    exclude_clouds: tuple[str, ...] = ("aws", "azure")
    keeps_tags: bool = True
    order_by: Mapping[str, str] = field(default_factory=dict)
    grouped_orders: frozenset[str] = frozenset()
    default_order: tuple[str, bool] = ("cost_total", True)
    inherent_group: str | None = None
    ranks_ungrouped: bool = False
    """Whether limits may be asked for without a group_by."""
    split_by: tuple[str, ...] = ()
    cost_groups: bool = False
    deltas: Mapping[str, str] = field(default_factory=dict)
    compares: tuple[str, ...] = ()
    inventory_deltas: bool = False
    capacity: Capacity | None = None
    with_score: bool = False
    monthly_only: bool = False
    required_filters: tuple[str, ...] = ()
    clusters: bool = True
    totals: bool = True
    total_overrides: Mapping[str, Formula] = field(default_factory=dict)


MODEL_COSTS = ("cost_model_cpu_cost", "cost_model_memory_cost", "cost_model_volume_cost", "cost_model_gpu_cost")


def _costs(model_costs: tuple[str, ...]) -> dict[str, Formula]:
    """Cost members shared by the reports on cost and inventory (read-api-fields §3.1)."""
    return {
        "infra_raw": Sum(("infrastructure_raw_cost",), money=Money.BILL),
        "infra_markup": Sum(("infrastructure_markup_cost",), money=Money.BILL),
        "infra_usage": Sum(model_costs, rate_type="Infrastructure", money=Money.COST_MODEL),
        "infra_total": Plus(("infra_raw", "infra_markup", "infra_usage")),
        "sup_raw": Zero(),
        "sup_markup": Zero(),
        "sup_usage": Sum(model_costs, rate_type="Supplementary", money=Money.COST_MODEL),
        "sup_total": Same("sup_usage"),
        "cost_raw": Same("infra_raw"),
        "cost_markup": Same("infra_markup"),
        "cost_usage": Sum(model_costs, money=Money.COST_MODEL),
        "cost_total": Plus(("infra_raw", "infra_markup", "cost_usage")),
    }


def _distributed(rate_type: str, money: Money) -> Sum:
    return Sum(("distributed_cost",), rate_type=rate_type, money=money)


DISTRIBUTED: Mapping[str, Formula] = MappingProxyType(
    {
        "cost_platform_distributed": _distributed("platform_distributed", Money.COST_MODEL),
        "cost_worker_unallocated_distributed": _distributed("worker_distributed", Money.COST_MODEL),
        "cost_network_unattributed_distributed": _distributed("unattributed_network", Money.BILL),
        "cost_storage_unattributed_distributed": _distributed("unattributed_storage", Money.BILL),
        "cost_gpu_unallocated_distributed": _distributed("gpu_distributed", Money.COST_MODEL),
        "cost_total_distributed": Plus(
            (
                "cost_total",
                "cost_platform_distributed",
                "cost_worker_unallocated_distributed",
                "cost_network_unattributed_distributed",
                "cost_storage_unattributed_distributed",
                "cost_gpu_unallocated_distributed",
            )
        ),
    }
)

GROUPS = frozenset({"cluster", "project", "node", "persistentvolumeclaim", "storageclass"})
FILTERS = GROUPS | {"infrastructures", "category"}
EXCLUDES = FILTERS - {"storageclass"}

COST_ORDERS: Mapping[str, str] = MappingProxyType(
    {
        "cost": "cost_total",
        "infrastructure": "infra_total",
        "supplementary": "sup_total",
        "infrastructure_cost": "infra_total",
        "supplementary_cost": "sup_total",
        "delta": "delta",
        "date": "date",
    }
)
OPENSHIFT_ORDERS: Mapping[str, str] = MappingProxyType(
    {
        **COST_ORDERS,
        "distributed_cost": "cost_total_distributed",
        "cluster": "cluster",
        "project": "project",
        "node": "node",
        "persistentvolumeclaim": "persistentvolumeclaim",
        "storage_class": "storage_class",
    }
)
GROUPED_ORDERS = frozenset({"cluster", "project", "node", "persistentvolumeclaim"})
INVENTORY_ORDERS: Mapping[str, str] = MappingProxyType(
    {
        **OPENSHIFT_ORDERS,
        "usage": "usage",
        "request": "request",
        "limit": "limit",
        "usage_efficiency": "usage_efficiency_percent",
        "wasted_cost": "wasted_cost",
    }
)

COST_DELTAS: Mapping[str, str] = MappingProxyType(
    {
        "cost": "cost_total",
        "cost_total": "cost_total",
        "distributed_cost": "cost_total_distributed",
        "cost_total_distributed": "cost_total_distributed",
    }
)
INVENTORY_DELTAS: Mapping[str, str] = MappingProxyType({**COST_DELTAS, "usage": "usage", "request": "request"})
COMPARES = ("usage", "request", "limit", "capacity", "cost_total_distributed")


def _tables(*choices: tuple[str, str]) -> Mapping[frozenset[str], str]:
    """Key sets and the table that answers exactly them; a set is written `cluster+node`, the empty one as nothing."""
    return MappingProxyType(
        {frozenset(part for part in keys.split("+") if part): f"reporting_ocp_{table}" for keys, table in choices}
    )


COSTS = Report(
    path="openshift/costs",
    shape="costs",
    measures=MappingProxyType(_costs(MODEL_COSTS)),
    units=MappingProxyType({}),
    tables=_tables(
        ("", "cost_summary_p"),
        ("cluster", "cost_summary_p"),
        ("node", "cost_summary_by_node_p"),
        ("cluster+node", "cost_summary_by_node_p"),
    ),
    tag_column="all_labels",
    group_by=GROUPS,
    filters=FILTERS,
    excludes=EXCLUDES,
    order_by=OPENSHIFT_ORDERS,
    grouped_orders=GROUPED_ORDERS,
    deltas=COST_DELTAS,
)

COSTS_BY_PROJECT = replace(
    COSTS,
    shape="costs_by_project",
    measures=MappingProxyType({**_costs(MODEL_COSTS), **DISTRIBUTED}),
    tables=_tables(
        ("", "cost_summary_by_project_p"),
        ("project", "cost_summary_by_project_p"),
        ("cluster+project", "cost_summary_by_project_p"),
    ),
    cost_groups=True,
)

POD_TABLES = _tables(
    ("", "pod_summary_p"),
    ("cluster", "pod_summary_p"),
    ("node", "pod_summary_by_node_p"),
    ("cluster+node", "pod_summary_by_node_p"),
    ("project", "pod_summary_by_project_p"),
    ("cluster+project", "pod_summary_by_project_p"),
)
POD_CAPACITY_TABLES = _tables(
    ("", "pod_summary_by_node_p"),
    ("cluster", "pod_summary_by_node_p"),
    ("node", "pod_summary_by_node_p"),
    ("cluster+node", "pod_summary_by_node_p"),
)
POD_ROWS = (
    Among("data_source", ("Pod",)),
    NotAmong("namespace", ("Worker unallocated", "Platform unallocated", "Network unattributed")),
)


def _pod_report(path: str, *, model_cost: str, resource: str, unit: str, capacity: Capacity) -> Report:
    return Report(
        path=path,
        shape="pods",
        measures=MappingProxyType(
            {
                **_costs((model_cost,)),
                **DISTRIBUTED,
                "usage": Sum((f"pod_usage_{resource}",)),
                "request": Sum((f"pod_request_{resource}",)),
                "limit": Sum((f"pod_limit_{resource}",)),
                "usage_efficiency_percent": Efficiency("usage", "request"),
                "wasted_cost": Wasted("cost_total", "usage", "request"),
            }
        ),
        units=MappingProxyType({"usage": unit}),
        tables=POD_TABLES,
        capacity_tables=POD_CAPACITY_TABLES,
        tag_column="pod_labels",
        daily_conditions=POD_ROWS,
        group_by=GROUPS,
        filters=FILTERS,
        excludes=EXCLUDES,
        order_by=INVENTORY_ORDERS,
        grouped_orders=GROUPED_ORDERS,
        default_order=("usage", True),
        deltas=INVENTORY_DELTAS,
        compares=COMPARES,
        inventory_deltas=True,
        capacity=capacity,
        with_score=True,
    )


COMPUTE = _pod_report(
    "openshift/compute",
    model_cost="cost_model_cpu_cost",
    resource="cpu_core_hours",
    unit="Core-Hours",
    capacity=Capacity(
        cluster="cluster_capacity_cpu_core_hours",
        node_period="node_capacity_cpu_core_hours",
        node_size="node_capacity_cpu_cores",
        count_units="Core",
    ),
)
MEMORY = _pod_report(
    "openshift/memory",
    model_cost="cost_model_memory_cost",
    resource="memory_gigabyte_hours",
    unit="GiB-Hours",
    capacity=Capacity(
        cluster="cluster_capacity_memory_gigabyte_hours",
        node_period="node_capacity_memory_gigabyte_hours",
        node_size="node_capacity_memory_gigabytes",
        count_units="GiB",
    ),
)

VOLUMES = Report(
    path="openshift/volumes",
    shape="volumes",
    measures=MappingProxyType(
        {
            **_costs(("cost_model_volume_cost",)),
            "usage": Sum(("persistentvolumeclaim_usage_gigabyte_months",)),
            "request": Sum(("volume_request_storage_gigabyte_months",)),
            "capacity": Sum(("persistentvolumeclaim_capacity_gigabyte_months",)),
            "persistent_volume_claim": Names(("persistentvolumeclaim",)),
            "storage_class": Names(("storageclass",)),
        }
    ),
    units=MappingProxyType({"usage": "GiB-Mo"}),
    tables=_tables(
        ("", "volume_summary_p"),
        ("cluster", "volume_summary_p"),
        ("persistentvolumeclaim", "volume_summary_p"),
        ("cluster+persistentvolumeclaim", "volume_summary_p"),
        ("project", "volume_summary_by_project_p"),
        ("cluster+project", "volume_summary_by_project_p"),
        ("persistentvolumeclaim+project", "volume_summary_by_project_p"),
        ("cluster+persistentvolumeclaim+project", "volume_summary_by_project_p"),
    ),
    tag_column="volume_labels",
    daily_conditions=(Among("data_source", ("Storage",)),),
    group_by=GROUPS,
    filters=FILTERS,
    excludes=EXCLUDES,
    order_by=INVENTORY_ORDERS,
    grouped_orders=GROUPED_ORDERS,
    default_order=("usage", True),
    deltas={"cost": "cost_total", "cost_total": "cost_total", "usage": "usage", "request": "request"},
    compares=COMPARES,
    inventory_deltas=True,
    capacity=Capacity(
        cluster=None,
        node_period=None,
        node_size="persistentvolumeclaim_capacity_gigabyte",
        count_units="GiB",
    ),
)

NETWORK = Report(
    path="openshift/network",
    shape="network",
    measures=MappingProxyType(
        {
            **_costs(MODEL_COSTS),
            "infra_total": Plus(("infra_raw", "infra_markup")),
            "sup_usage": Zero(),
            "sup_total": Sum(MODEL_COSTS, rate_type="Supplementary", money=Money.COST_MODEL),
            "data_transfer_in": Sum(("infrastructure_data_in_gigabytes",)),
            "data_transfer_out": Sum(("infrastructure_data_out_gigabytes",)),
            "usage": Plus(("data_transfer_in", "data_transfer_out")),
        }
    ),
    units=MappingProxyType({"usage": "GB", "data_transfer_in": "GB", "data_transfer_out": "GB"}),
    tables=_tables(
        ("", "network_summary_p"),
        ("cluster", "network_summary_p"),
        ("node", "network_summary_by_node_p"),
        ("project", "network_summary_by_project_p"),
        ("cluster+project", "network_summary_by_project_p"),
    ),
    tag_column="all_labels",
    daily_conditions=(Among("namespace", ("Network unattributed",)),),
    group_by=GROUPS,
    filters=FILTERS,
    excludes=EXCLUDES,
    order_by=INVENTORY_ORDERS,
    grouped_orders=GROUPED_ORDERS,
    default_order=("usage", True),
    deltas={"cost": "infra_total", "cost_total": "infra_total", "usage": "usage"},
    compares=COMPARES,
    inventory_deltas=True,
    total_overrides={"infra_usage": Zero(), "cost_total": Plus(("infra_raw", "infra_markup"))},
)

GPU_COSTS: Mapping[str, Formula] = MappingProxyType(
    {
        "infra_raw": Zero(),
        "infra_markup": Zero(),
        "infra_usage": Sum(("cost_model_gpu_cost",), rate_type="Infrastructure", money=Money.COST_MODEL),
        "infra_total": Same("infra_usage"),
        "sup_raw": Zero(),
        "sup_markup": Zero(),
        "sup_usage": Sum(("cost_model_gpu_cost",), rate_type="Supplementary", money=Money.COST_MODEL),
        "sup_total": Same("sup_usage"),
        "cost_raw": Zero(),
        "cost_markup": Zero(),
        "cost_usage": Sum(("cost_model_gpu_cost",), money=Money.COST_MODEL),
        "cost_total": Same("cost_usage"),
    }
)
GPU_KEYS = frozenset({"cluster", "project", "gpu_vendor", "gpu_model", "gpu_mode", "mig_profile"})

GPU = Report(
    path="openshift/gpu",
    shape="gpu",
    measures=MappingProxyType(
        {
            **GPU_COSTS,
            "gpu_memory": Largest("memory_capacity_gb", adds=True),
            "gpu_count": Count("gpu_uuid"),
        }
    ),
    units=MappingProxyType({"gpu_memory": "GB", "gpu_count": "GPUs"}),
    tables={},
    daily_table="reporting_ocp_gpu_summary_p",
    tag_column="",
    group_by=GPU_KEYS | {"gpu_name"},
    filters=GPU_KEYS | {"node"},
    excludes=GPU_KEYS | {"node"},
    keeps_tags=False,
    order_by={
        **COST_ORDERS,
        "cost_model_gpu_cost": "cost_total",
        "gpu_memory": "gpu_memory",
        "gpu_count": "gpu_count",
        "gpu_vendor": "gpu_vendor",
        "gpu_model": "gpu_model",
        "gpu_mode": "gpu_mode",
        "node": "node",
    },
    inherent_group="gpu_name",
    split_by=("node", "gpu_model", "gpu_vendor", "gpu_mode"),
)

MIG_PROFILES = Report(
    path="openshift/gpu/mig_profiles",
    shape="mig",
    measures=MappingProxyType(
        {
            "mig_slice_count": Largest("mig_slice_count"),
            "gpu_max_slices": Largest("gpu_max_slices"),
        }
    ),
    units=MappingProxyType({}),
    tables={},
    daily_table="reporting_ocp_gpu_summary_p",
    tag_column="",
    daily_conditions=(NotEmpty("mig_profile"),),
    group_by=GROUPS,
    filters=frozenset({"gpu_vendor", "gpu_model", "node", "cluster", "project"}),
    excludes=EXCLUDES,
    keeps_tags=False,
    order_by=OPENSHIFT_ORDERS,
    grouped_orders=GROUPED_ORDERS,
    default_order=("mig_profile", False),
    inherent_group="mig_profile",
    ranks_ungrouped=True,
    split_by=("mig_id", "gpu_model", "gpu_vendor", "gpu_name", "node"),
    required_filters=("gpu_vendor", "gpu_model", "node"),
    totals=False,
)

VIRTUAL_MACHINES = Report(
    path="openshift/resources/virtual-machines",
    shape="virtual_machines",
    measures=MappingProxyType(
        {
            **_costs(MODEL_COSTS),
            **DISTRIBUTED,
            "request_cpu": Scaled(Sum(("pod_request_cpu_core_hours",)), HOURS_PER_DAY),
            "request_memory": Scaled(Sum(("pod_request_memory_gigabyte_hours",)), HOURS_PER_DAY),
            "cluster": LargestName(("cluster_alias", "cluster_id")),
            "node": LargestName(("node",)),
            "project": LargestName(("namespace",)),
            "storage": Documents(
                (
                    ("pvc_name", "persistentvolumeclaim"),
                    ("storage_class", "storageclass"),
                    ("usage", "persistentvolumeclaim_usage_gigabyte_months"),
                    ("capacity", "persistentvolumeclaim_capacity_gigabyte_months"),
                ),
                present="persistentvolumeclaim_usage_gigabyte_months",
            ),
            "tags": Labels("pod_labels"),
        }
    ),
    units=MappingProxyType({"request_cpu": "Core", "request_memory": "GiB"}),
    tables={},
    daily_table="reporting_ocp_vm_summary_p",
    tag_column="pod_labels",
    filters=frozenset({"project", "cluster", "node", "vm_name"}),
    excludes=frozenset({"project", "cluster", "node", "vm_name"}),
    order_by={
        **COST_ORDERS,
        "distributed_cost": "cost_total_distributed",
        "cluster": "cluster",
        "node": "node",
        "project": "project",
        "vm_name": "vm_name",
        "request_cpu": "request_cpu",
        "request_memory": "request_memory",
    },
    inherent_group="vm_name",
    monthly_only=True,
)

REPORTS: Mapping[str, Report] = MappingProxyType(
    {report.path: report for report in (COSTS, COMPUTE, MEMORY, VOLUMES, NETWORK, GPU, MIG_PROFILES, VIRTUAL_MACHINES)}
)


def with_groups(report: Report, groups: frozenset[str]) -> Report:
    """The variant of a report that its groups call for: costs by project know cost groups and distribution."""
    return COSTS_BY_PROJECT if report is COSTS and "project" in groups else report
