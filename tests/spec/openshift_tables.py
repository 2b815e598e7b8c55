"""What a running Kura has stored for a cluster, table by table, compared with the plain reference.

The expectation follows from the archives alone; only what users set (tag keys, their mapping, cost groups) is read from
the database. Tables that depend on what was stored before are given what was expected before.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from reference import inventory
from reference.comparison import SUMMARY_KEYS, SUMMARY_MEASURES, differences
from reference.csv_reports import Row
from reference.run import LineItems, summary_of
from reference.tags import label_summary, map_tags, tag_tuples, tag_values
from reference.ui_tables import COST_SUMS, NETWORK_TABLES, UI_TABLES, gpu_table, gpu_table_of_costs, ui_table
from reference.vm_table import vm_table

from kura.testing.running import RunningKura, Source

DAILY_SUMMARY = "reporting_ocpusagelineitem_daily_summary"
MONTH_SUMMARY = "reporting_ocp_month_summary_p"
LABEL_SUMMARIES = {
    "Pod": "reporting_ocpusagepodlabel_summary",
    "Storage": "reporting_ocpstoragevolumelabel_summary",
}
GPU_KEYS = (
    *("usage_start", "usage_end", "namespace", "node", "vendor_name", "model_name", "gpu_uuid", "gpu_mode"),
    *("mig_profile", "mig_instance_id", "mig_strategy", "cost_category_id", "cost_model_rate_type", "raw_currency"),
)
GPU_MEASURES = (
    *("memory_capacity_gb", "mig_memory_capacity_gb", "mig_slice_count", "gpu_max_slices"),
    "cost_model_gpu_cost",
)
VM_KEYS = (
    *("usage_start", "usage_end", "cluster_id", "cluster_alias", "namespace", "node", "vm_name", "pod_labels"),
    *("cost_model_rate_type", "resource_ids", "persistentvolumeclaim", "storageclass", "raw_currency"),
    "cost_category_id",
)
VM_MEASURES = (
    *COST_SUMS,
    *("pod_request_cpu_core_hours", "pod_request_memory_gigabyte_hours"),
    *("persistentvolumeclaim_usage_gigabyte_months", "persistentvolumeclaim_capacity_gigabyte_months"),
)
NODE_COLUMNS = ("node", "resource_id", "node_capacity_cpu_cores", "node_role", "architecture")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What users have set for the tenant."""

    enabled_keys: frozenset[str]
    patterns: Sequence[tuple[str, int]]
    tag_mapping: Mapping[str, str]


def settings_of(kura: RunningKura, source: Source) -> Settings:
    schema = source.schema
    keys = kura.query(f"select key from \"{schema}\".reporting_enabledtagkeys where enabled and provider_type = 'OCP'")
    patterns = kura.query(f'select namespace, cost_category_id from "{schema}".reporting_ocp_cost_category_namespace')
    mapping = kura.query(
        f'select child.key as child, parent.key as parent from "{schema}".reporting_tagmapping m'
        f' join "{schema}".reporting_enabledtagkeys child on child.uuid = m.child_id and child.enabled'
        f' join "{schema}".reporting_enabledtagkeys parent on parent.uuid = m.parent_id'
        " where child.provider_type = 'OCP'"
    )
    return Settings(
        enabled_keys=frozenset(row.key for row in keys),
        patterns=[(row.namespace, row.cost_category_id) for row in patterns],
        tag_mapping={row.child: row.parent for row in mapping},
    )


def other_nodes(kura: RunningKura, source: Source) -> list[Row]:
    """The nodes of the tenant's other clusters: their roles count where name and resource id are the same."""
    rows = kura.query(
        f'select n.node, n.resource_id, n.node_role from "{source.schema}".reporting_ocp_nodes n'
        f' join "{source.schema}".reporting_ocp_clusters c on c.uuid = n.cluster_id where c.provider_id <> :uuid',
        uuid=source.uuid,
    )
    return [dict(row._mapping) for row in rows]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What one cluster's tables must hold. `other_nodes` are those of the tenant's other clusters."""

    items: LineItems
    source: Source
    settings: Settings
    other_nodes: Sequence[Row] = ()
    label_values: Mapping[str, Mapping[tuple[object, ...], set[str]]] = field(default_factory=dict)
    """By data source: values of the label summaries that earlier runs have stored."""

    @cached_property
    def unmapped_summary(self) -> list[Row]:
        """The daily summary as it is before tag mapping, which is how it is kept in Parquet."""
        rows = summary_of(
            self.items,
            enabled_keys=self.settings.enabled_keys,
            patterns=self.settings.patterns,
            other_nodes=self.other_nodes,
        )
        named = {
            "cluster_id": self.source.cluster_id,
            "cluster_alias": self.source.name,
            "source_uuid": self.source.uuid,
        }
        return [row | named for row in rows]

    @cached_property
    def summary(self) -> list[Row]:
        def mapped(labels: Any) -> Any:
            return labels and map_tags(labels, self.settings.tag_mapping)

        columns = ("pod_labels", "volume_labels", "all_labels")
        return [row | {name: mapped(row[name]) for name in columns} for row in self.unmapped_summary]

    @property
    def months(self) -> list[date]:
        return sorted({day.replace(day=1) for day in self.items.days})

    def label_rows(self, data_source: str) -> dict[tuple[object, ...], list[str]]:
        """(key, first of month, namespace, node) → values."""
        enabled = self.settings.enabled_keys
        rows: dict[tuple[object, ...], list[str]] = {}
        for month in self.months:
            of_month = [
                row | {"report_period_id": month}
                for row in self.unmapped_summary
                if row["usage_start"].replace(day=1) == month  # type: ignore[attr-defined]
            ]
            tuples = tag_tuples(of_month, data_source=data_source, enabled_keys=enabled)
            stored = {key: set(known) for key, known in self.label_values.get(data_source, {}).items()}
            rows |= label_summary(
                tuples, enabled_keys=enabled, stored={k: v for k, v in stored.items() if k[1] == month}
            )
        return rows


def own_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the summary pipeline, without what the cost model stage adds (§9.2)."""
    return [row for row in rows if row.get("cost_model_rate_type") is None]


def as_floats(rows: Sequence[dict[str, Any]]) -> list[Row]:
    """Stored rows as the reference calculates with them."""
    return [
        {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()} for row in rows
    ]


# ------------------------------------------------------------------------------------------------------ one table each


def summary_differences(kura: RunningKura, expected: Expected) -> list[str]:
    keys = (*SUMMARY_KEYS, "cluster_id", "cluster_alias")
    return differences(expected.summary, own_rows(kura.rows(expected.source, DAILY_SUMMARY)), keys=keys)


def parquet_differences(kura: RunningKura, expected: Expected) -> list[str]:
    """The summary in Parquet: labels before mapping, and the handle of the volume (§9.3)."""
    pattern = f"**/{DAILY_SUMMARY}/source={expected.source.uuid}/**/*.parquet"
    tables = [pq.ParquetFile(path).read() for path in kura.data_dir.glob(pattern)]
    found = pa.concat_tables(tables).to_pylist() if tables else []
    label_columns = ("pod_labels", "volume_labels", "all_labels", "infrastructure_usage_cost")
    read = [row | {name: _json(row[name]) for name in label_columns} for row in found]
    keys = (*SUMMARY_KEYS, "cluster_id", "cluster_alias", "csi_volume_handle", "source_uuid")
    return differences(expected.unmapped_summary, read, keys=keys)


def ui_differences(kura: RunningKura, source: Source, table: str, summary: Sequence[Row], *, own: bool) -> list[str]:
    """`own`: rows of the summary pipeline alone."""
    stored = kura.rows(source, table)
    definition = UI_TABLES.get(table)
    keys = ["usage_start", "usage_end", "cluster_id", "cluster_alias", "cost_model_rate_type", "cost_category_id"]
    keys += definition.keys if definition is not None else NETWORK_TABLES[table]
    measures = (
        [*definition.sums, *definition.largest]
        if definition is not None
        else [*COST_SUMS, "infrastructure_data_in_gigabytes", "infrastructure_data_out_gigabytes"]
    )
    if definition is None or definition.resources:
        keys += ["resource_ids", "resource_count", "data_source"]
    measures = [name for name in measures if name not in ("cost_category_id", "raw_currency")]
    found = own_rows(stored) if own else stored
    return differences(ui_table(table, summary), found, keys=[*keys, "raw_currency"], measures=measures)


def gpu_differences(kura: RunningKura, expected: Expected) -> list[str]:
    """Devices by use; no rate prices GPUs."""
    rows = gpu_table(expected.items.daily["gpu_usage"], patterns=expected.settings.patterns)
    found = kura.rows(expected.source, "reporting_ocp_gpu_summary_p")
    return differences(rows, found, keys=GPU_KEYS, measures=GPU_MEASURES)


def gpu_cost_differences(kura: RunningKura, source: Source, summary: Sequence[Row]) -> list[str]:
    """Devices by what a rate charges for them."""
    found = kura.rows(source, "reporting_ocp_gpu_summary_p")
    return differences(gpu_table_of_costs(summary), found, keys=GPU_KEYS, measures=GPU_MEASURES)


def vm_differences(
    kura: RunningKura, expected: Expected, summary: Sequence[Row], *, distribution: str = "cpu"
) -> list[str]:
    """The table of machines, month by month, from the stored rows of the daily summary."""
    rows: list[Row] = []
    for month in expected.months:
        rows += vm_table(
            _of_month(summary, "usage_start", month),
            vm_hourly=_of_month(expected.items.hourly["vm_usage"], "interval_start", month),
            pods_daily=_of_month(expected.items.daily["pod_usage"], "interval_start", month),
            storage_daily=_of_month(expected.items.daily["storage_usage"], "interval_start", month),
            distribution=distribution,
        )
    found = kura.rows(expected.source, "reporting_ocp_vm_summary_p")
    return differences(rows, found, keys=VM_KEYS, measures=VM_MEASURES)


def month_differences(kura: RunningKura, source: Source) -> list[str]:
    """The daily summary folded by month says the same in all."""
    measures = (*COST_SUMS, *(name for name in SUMMARY_MEASURES if "capacity" not in name or name.endswith("_months")))
    keys = ("usage_start", "data_source", "namespace", "node", "persistentvolumeclaim", "storageclass")
    keys = (*keys, "pod_labels", "volume_labels", "all_labels", "cost_category_id", "cost_model_rate_type")
    folded: dict[str, Row] = {}
    for row in as_floats(kura.rows(source, DAILY_SUMMARY)):
        row["usage_start"] = row["usage_start"].replace(day=1)  # type: ignore[attr-defined]
        sums = folded.setdefault(str([row[key] for key in keys]), {key: row[key] for key in keys})
        for name in measures:
            value, known = row[name], sums.get(name)
            sums[name] = known if value is None else value + (known or 0.0)  # type: ignore[operator]
    return differences(folded.values(), kura.rows(source, MONTH_SUMMARY), keys=keys, measures=measures)


def inventory_differences(kura: RunningKura, expected: Expected) -> list[str]:
    """Clusters, nodes, volumes and projects of one run over all days."""
    source, items = expected.source, expected.items
    pods, storage = items.daily["pod_usage"], items.daily["storage_usage"]
    nodes = inventory.nodes(pods, items.daily["node_labels"])
    claims = inventory.claims(storage).items()
    wanted = {
        "reporting_ocp_nodes": (NODE_COLUMNS, {tuple(row[name] for name in NODE_COLUMNS) for row in nodes}),
        "reporting_ocp_pvcs": (
            ("persistent_volume", "persistent_volume_claim", "csi_volume_handle"),
            {(volume, claim, handle or None) for (volume, claim), handle in claims},
        ),
        "reporting_ocp_projects": (("project",), {(name,) for name in inventory.projects(pods)}),
    }
    told = []
    for table, (columns, rows) in wanted.items():
        stored = kura.query(
            f'select {", ".join(f"t.{name}" for name in columns)} from "{source.schema}"."{table}" t'
            f' join "{source.schema}".reporting_ocp_clusters c on c.uuid = t.cluster_id where c.provider_id = :uuid',
            uuid=source.uuid,
        )
        found = {tuple(row) for row in stored}
        if table == "reporting_ocp_pvcs":
            found = {(volume, claim, handle or None) for volume, claim, handle in found}
        told += [f"{table}: {row} is missing" for row in sorted(rows - found, key=str)]
        told += [f"{table}: {row} is too many" for row in sorted(found - rows, key=str)]
    clusters = kura.query(
        f'select cluster_id, cluster_alias from "{source.schema}".reporting_ocp_clusters where provider_id = :uuid',
        uuid=source.uuid,
    )
    if [tuple(row) for row in clusters] != [(source.cluster_id, source.name)]:
        told.append(f"reporting_ocp_clusters: {clusters}")
    return told


def period_differences(kura: RunningKura, expected: Expected) -> list[str]:
    """One report period for each month that has data."""
    periods = kura.query(
        "select cluster_id, cluster_alias, cast(report_period_start at time zone 'UTC' as date) as month,"
        f' summary_data_updated_datetime from "{expected.source.schema}".reporting_ocpusagereportperiod'
        " where provider_id = :uuid order by month",
        uuid=expected.source.uuid,
    )
    wanted = [(expected.source.cluster_id, expected.source.name, month) for month in expected.months]
    told = [] if [tuple(row)[:3] for row in periods] == wanted else [f"periods: {periods}, not {wanted}"]
    return told + [f"period of {row.month} has no stamp" for row in periods if not row.summary_data_updated_datetime]


def label_differences(kura: RunningKura, expected: Expected, data_source: str) -> list[str]:
    rows = kura.query(
        "select l.key, l.values, l.namespace, l.node,"
        " cast(p.report_period_start at time zone 'UTC' as date) as month"
        f' from "{expected.source.schema}"."{LABEL_SUMMARIES[data_source]}" l'
        f' join "{expected.source.schema}".reporting_ocpusagereportperiod p on p.id = l.report_period_id'
        " where p.provider_id = :uuid",
        uuid=expected.source.uuid,
    )
    found = {(row.key, row.month, row.namespace, row.node): row.values for row in rows}
    wanted = expected.label_rows(data_source)
    told = [] if len(found) == len(rows) else ["a key is there twice"]
    return told + [
        f"{key}: {found.get(key)} should be {wanted.get(key)}"
        for key in sorted({*found, *wanted}, key=str)
        if found.get(key) != wanted.get(key)
    ]


def tag_value_differences(kura: RunningKura, *clusters: Expected) -> list[str]:
    """Tag values with their places, of all clusters of the tenant that have any of the values."""
    [schema] = {cluster.source.schema for cluster in clusters}
    rows = [row for cluster in clusters for row in cluster.unmapped_summary]
    wanted = tag_values(rows, enabled_keys=clusters[0].settings.enabled_keys)
    told = []
    found = {
        (row.key, row.value): row
        for row in kura.query(
            f'select * from "{schema}".reporting_ocptags_values where cluster_ids && cast(:ids as text[])',
            ids=[cluster.source.cluster_id for cluster in clusters],
        )
    }
    told += [f"{pair} should not be there" for pair in sorted(set(found) - set(wanted))]
    for pair, places in sorted(wanted.items()):
        if pair not in found:
            told.append(f"{pair} is missing")
            continue
        for name, values in places.items():
            missing = {value for value in values if value is not None} - set(getattr(found[pair], name) or ())
            if missing:
                told.append(f"{pair}: {name} {sorted(map(str, missing))} missing")
    return told


def all_differences(
    kura: RunningKura, expected: Expected, *, grown: bool = False, distribution: str = "cpu"
) -> dict[str, list[str]]:
    """Table → what differs, for every table that differs.

    `grown`: several uploads made what is stored, so that tables which only ever grow are left out. The inventory
    depends on which run was first, also where one upload has runs of two months.
    """
    stored = as_floats(kura.rows(expected.source, DAILY_SUMMARY))
    told = {
        DAILY_SUMMARY: summary_differences(kura, expected),
        "Parquet": parquet_differences(kura, expected),
        MONTH_SUMMARY: month_differences(kura, expected.source),
        "reporting_ocp_gpu_summary_p": gpu_differences(kura, expected),
        "reporting_ocp_vm_summary_p": vm_differences(kura, expected, stored, distribution=distribution),
        "reporting_ocpusagereportperiod": period_differences(kura, expected),
    }
    for table in (*UI_TABLES, *NETWORK_TABLES):
        told[table] = ui_differences(kura, expected.source, table, expected.summary, own=True)
    if not grown and len(expected.months) == 1:
        told["inventory"] = inventory_differences(kura, expected)
    if not grown:
        told["reporting_ocptags_values"] = tag_value_differences(kura, expected)
        for data_source, table in LABEL_SUMMARIES.items():
            told[table] = label_differences(kura, expected, data_source)
    return {table: found for table, found in told.items() if found}


def cost_differences(kura: RunningKura, expected: Expected, *, distribution: str) -> dict[str, list[str]]:
    """The same for a cluster with prices, also for GPUs: all tables that follow from the daily summary with its costs,
    which is taken as it is stored."""
    source = expected.source
    stored = as_floats(kura.rows(source, DAILY_SUMMARY))
    told = {
        DAILY_SUMMARY: summary_differences(kura, expected),
        MONTH_SUMMARY: month_differences(kura, source),
        "reporting_ocp_gpu_summary_p": gpu_cost_differences(kura, source, stored),
        "reporting_ocp_vm_summary_p": vm_differences(kura, expected, stored, distribution=distribution),
    }
    for table in (*UI_TABLES, *NETWORK_TABLES):
        told[table] = ui_differences(kura, source, table, stored, own=False)
    return {table: found for table, found in told.items() if found}


def _of_month(rows: Sequence[Row], column: str, month: date) -> list[Row]:
    return [row for row in rows if (row[column].year, row[column].month) == (month.year, month.month)]  # type: ignore[attr-defined]


def _json(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) else text
