"""The tables that answer reports, as data: keys, filter, measures (ocp-pipeline §10.1–§10.3).

A table is filled from the rows of the daily summary of one source and range. The statements are made once, from the
declarations below and from nothing else; source and days are bound. PostgreSQL and the engine run the same expressions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Table

from kura.aggregator.engine import Statement
from kura.store.tables import tenant

COMMON_KEYS = ("usage_start", "cluster_id", "cluster_alias", "cost_model_rate_type")

Columns = dict[str, str]
"""Column of a UI table → expression over rows of the daily summary."""


def sums(names: Iterable[str]) -> dict[str, str]:
    return {name: f"sum({name})" for name in names}


def maxima(names: Iterable[str]) -> dict[str, str]:
    return {name: f"max({name})" for name in names}


COST: Columns = {**sums(tenant.COSTS), **maxima(("cost_category_id", "raw_currency"))}
RES: Columns = {
    "resource_ids": "array_agg(DISTINCT resource_id ORDER BY resource_id)",
    "resource_count": "CAST(count(DISTINCT resource_id) AS integer)",
    **maxima(("data_source",)),
}
CLUSTER_CAPACITIES = ("cluster_capacity_cpu_core_hours", "cluster_capacity_memory_gigabyte_hours")
POD: Columns = {
    **sums(name for name in tenant.POD_MEASURES if name not in CLUSTER_CAPACITIES),
    **maxima(CLUSTER_CAPACITIES),
}
NODE: Columns = maxima(tenant.NODE_MEASURES)
VOL: Columns = sums(tenant.VOLUME_MEASURES)
# Data in and data out never share a row, so that their costs stay apart.
NETWORK: Columns = {
    "infrastructure_data_in_gigabytes": "coalesce(sum(infrastructure_data_in_gigabytes), 0)",
    "infrastructure_data_out_gigabytes": "coalesce(sum(infrastructure_data_out_gigabytes), 0)",
}

NOT_SPECIAL = (
    "(namespace IS NULL OR namespace NOT IN"
    " ('Worker unallocated', 'Platform unallocated', 'Network unattributed', 'Storage unattributed'))"
)
EVERY_ROW = "true"
PODS = f"data_source = 'Pod' AND {NOT_SPECIAL}"
VOLUMES = "data_source = 'Storage' AND persistentvolumeclaim IS NOT NULL"
NETWORK_ROWS = (
    "data_source = 'Pod' AND namespace = 'Network unattributed'"
    " AND (infrastructure_data_in_gigabytes IS NOT NULL OR infrastructure_data_out_gigabytes IS NOT NULL)"
)


def delete_of(table: Table) -> str:
    """DELETE of a source's rows of a range; $1 source uuid, $2 first day, $3 last day."""
    return f"DELETE FROM {table.name} WHERE source_uuid = CAST($1 AS uuid) AND usage_start BETWEEN $2 AND $3"  # noqa: S608


@dataclass(frozen=True, kw_only=True)
class UiTable:
    """One table: a group of the daily summary per `COMMON_KEYS` and `keys`."""

    table: Table
    keys: tuple[str, ...] = ()
    also_by: tuple[str, ...] = ()
    """Expressions that keep rows apart without being columns."""
    where: str = EVERY_ROW
    columns: Columns

    @cached_property
    def delete(self) -> str:
        """DELETE; parameters as for `insert`."""
        return delete_of(self.table)

    @cached_property
    def delete_costs(self) -> str:
        """DELETE of the rows that come from cost rows, but for the distribution of GPUs."""
        return f"{self.delete} AND cost_model_rate_type <> 'gpu_distributed'"

    @cached_property
    def written(self) -> dict[str, str]:
        """Every column that is written and its expression."""
        keys = (*COMMON_KEYS, *self.keys)
        return {"usage_end": "usage_start", "source_uuid": "source_uuid", **{key: key for key in keys}, **self.columns}

    @cached_property
    def insert(self) -> str:
        """INSERT … SELECT, for PostgreSQL; $1 source uuid, $2 first day, $3 last day."""
        scope = "source_uuid = CAST($1 AS uuid) AND usage_start BETWEEN $2 AND $3"
        return f"INSERT INTO {self.table.name} ({', '.join(self.written)})\n{self._select(scope)}"

    @cached_property
    def select(self) -> Statement:
        """The same rows from a relation that holds the daily summary of one source and range, for the engine."""
        return Statement(self.table.name, self._select(EVERY_ROW))

    def _select(self, scope: str) -> str:
        columns = ", ".join(f"{expression} AS {name}" for name, expression in self.written.items())
        keys = ("source_uuid", *COMMON_KEYS, *self.keys, *self.also_by)
        return (
            f"SELECT {columns}\n"
            f"FROM {tenant.DAILY_SUMMARY.name}\n"
            f"WHERE {scope} AND {self.where}\n"
            f"GROUP BY {', '.join(keys)}"
        )


BY_PROJECT, BY_NODE = ("namespace",), ("node",)
BY_CLAIM = ("persistentvolumeclaim", "storageclass")
IN_OR_OUT = ("infrastructure_data_in_gigabytes IS NULL",)

COST_TABLES = (
    UiTable(table=tenant.COST_SUMMARY, columns=COST),
    UiTable(table=tenant.COST_SUMMARY_BY_PROJECT, keys=BY_PROJECT, columns=COST),
    UiTable(table=tenant.COST_SUMMARY_BY_NODE, keys=BY_NODE, columns=COST),
)
POD_TABLES = (
    UiTable(table=tenant.POD_SUMMARY, where=PODS, columns=COST | RES | POD),
    UiTable(table=tenant.POD_SUMMARY_BY_PROJECT, keys=BY_PROJECT, where=PODS, columns=COST | RES | POD),
    UiTable(table=tenant.POD_SUMMARY_BY_NODE, keys=BY_NODE, where=PODS, columns=COST | RES | POD | NODE),
)
VOLUME_TABLES = (
    UiTable(table=tenant.VOLUME_SUMMARY, keys=BY_CLAIM, where=VOLUMES, columns=COST | RES | VOL),
    UiTable(
        table=tenant.VOLUME_SUMMARY_BY_PROJECT, keys=(*BY_PROJECT, *BY_CLAIM), where=VOLUMES, columns=COST | RES | VOL
    ),
)
NETWORK_TABLES = tuple(
    UiTable(table=table, keys=keys, also_by=IN_OR_OUT, where=NETWORK_ROWS, columns=COST | RES | NETWORK)
    for table, keys in (
        (tenant.NETWORK_SUMMARY, ()),
        (tenant.NETWORK_SUMMARY_BY_PROJECT, BY_PROJECT),
        (tenant.NETWORK_SUMMARY_BY_NODE, BY_NODE),
    )
)
UI_TABLES = (*COST_TABLES, *POD_TABLES, *VOLUME_TABLES, *NETWORK_TABLES)
