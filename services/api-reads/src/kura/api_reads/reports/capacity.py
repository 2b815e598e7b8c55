"""Capacity of clusters and nodes, and what of it was not used (read-api-fields §3.3, §3.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from sqlalchemy import Connection, Numeric, and_, func, null, select, tuple_
from sqlalchemy import cast as sql_cast

from kura.api_reads.reports.catalogue import Capacity
from kura.api_reads.reports.conditions import row_conditions, tenant_table
from kura.api_reads.reports.plan import Plan, capacity_table
from kura.api_reads.reports.query import Statement, bucket_of
from kura.api_reads.reports.rows import IS_REST, ZERO, Row, Rows
from kura.api_reads.reports.time_scope import Scope


def capacity_statement(plan: Plan, capacity: Capacity, table_name: str) -> Statement:
    """Capacity of clusters, or of nodes when grouped by node, by bucket and over the whole range.

    Columns: bucket (null for the whole range), name, capacity, count. Days count only where rows match the request.
    Rule: read-api-fields §3.3. A cluster has the largest value of each day, summed over days; its count is the sum
    over nodes of their largest size. A node likewise; equally named nodes are added.
    """
    table = tenant_table(table_name)
    cluster = func.coalesce(table.c.cluster_alias, table.c.cluster_id)
    by_node = "node" in plan.groups
    period_column = capacity.node_period if by_node else capacity.cluster
    lines = (
        select(
            bucket_of(plan, table).label("bucket"),
            table.c.usage_start.label("day"),
            cluster.label("cluster"),
            func.coalesce(table.c.node, "").label("node"),
            func.max(table.c[capacity.node_size]).label("size"),
            (func.max(table.c[period_column]) if period_column else null()).label("period"),
        )
        .where(*row_conditions(plan, table, start=plan.scope.start, end=plan.scope.end))
        .group_by("bucket", "day", "cluster", "node")
        .cte("lines")
    )
    daily_keys = [lines.c.bucket, lines.c.day, lines.c.cluster, *([lines.c.node] if by_node else [])]
    days = select(*daily_keys, func.max(lines.c.period).label("period")).group_by(*daily_keys).subquery("days")
    day_name = days.c.node if by_node else days.c.cluster
    periods = (
        select(days.c.bucket, day_name.label("name"), func.sum(sql_cast(days.c.period, Numeric)).label("capacity"))
        .group_by(func.grouping_sets(tuple_(days.c.bucket, day_name), tuple_(day_name)))
        .subquery("periods")
    )
    node_keys = [lines.c.cluster, lines.c.node]
    nodes = (
        select(lines.c.bucket, *node_keys, func.max(lines.c.size).label("size"))
        .group_by(func.grouping_sets(tuple_(lines.c.bucket, *node_keys), tuple_(*node_keys)))
        .subquery("nodes")
    )
    node_name = nodes.c.node if by_node else nodes.c.cluster
    sizes = (
        select(nodes.c.bucket, node_name.label("name"), func.sum(nodes.c.size).label("count"))
        .group_by(nodes.c.bucket, node_name)
        .subquery("sizes")
    )
    return select(sizes.c.bucket, sizes.c.name, periods.c.capacity, sizes.c["count"]).select_from(
        sizes.join(periods, and_(sizes.c.bucket.is_not_distinct_from(periods.c.bucket), sizes.c.name == periods.c.name))
    )


@dataclass(kw_only=True)
class Capacities:
    """Capacity and count by bucket and name (cluster, or node when grouped by node), and over the whole range."""

    by_node: bool
    by_bucket: dict[tuple[str, str], tuple[Decimal, Decimal]] = field(default_factory=dict)
    whole: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)

    def of(self, row: Row, scope: Scope) -> tuple[Decimal, Decimal]:
        """Sum over the clusters of a row, or its node."""
        if self.by_node and IS_REST in row:
            return ZERO, ZERO
        names = [row["node"]] if self.by_node else row["clusters"]
        whole = scope.monthly and not scope.explicit and not self.by_node
        if not names and not self.by_node:
            names = list(self.whole) if whole else [name for date, name in self.by_bucket if date == row["date"]]
        found = [
            self.whole.get(name, (ZERO, ZERO)) if whole else self.by_bucket.get((row["date"], name), (ZERO, ZERO))
            for name in names
        ]
        return sum((value for value, _ in found), ZERO), sum((count for _, count in found), ZERO)

    def total(self) -> tuple[Decimal, Decimal]:
        return (
            sum((value for value, _ in self.whole.values()), ZERO),
            sum((count for _, count in self.whole.values()), ZERO),
        )


def read_capacities(connection: Connection, plan: Plan, capacity: Capacity) -> Capacities:
    """Run the capacity statement of a report."""
    read = Capacities(by_node="node" in plan.groups)
    monthly = plan.scope.monthly
    for bucket, name, value, count in connection.execute(capacity_statement(plan, capacity, capacity_table(plan))):
        amounts = (value or ZERO, count or ZERO)
        if bucket is None:
            read.whole[name] = amounts
        else:
            read.by_bucket[f"{bucket:%Y-%m}" if monthly else bucket.isoformat(), name] = amounts
    return read


def add_capacity(read: Rows, capacities: Capacities) -> None:
    """Put capacity, count and unused amounts into rows and totals (read-api-fields §3.3, §3.4)."""
    own_capacity = "capacity" in read.plan.report.measures
    for row in (*read.rows, read.total):
        value, count = capacities.total() if row is read.total else capacities.of(row, read.plan.scope)
        if not own_capacity:
            row["capacity"] = value
        row["capacity_count"] = count
        row.update(unused(capacity=row["capacity"], usage=row["usage"], request=row["request"]))


def unused(*, capacity: Decimal, usage: Decimal, request: Decimal) -> Row:
    """What of capacity and request was not used; both percents are of capacity."""
    whole = capacity if capacity > 0 else Decimal(1)
    of_capacity = max(capacity - max(usage, request), ZERO)
    of_request = max(request - usage, ZERO)
    return {
        "capacity_unused": of_capacity,
        "capacity_unused_percent": of_capacity / whole * 100,
        "request_unused": of_request,
        "request_unused_percent": of_request / whole * 100,
    }
