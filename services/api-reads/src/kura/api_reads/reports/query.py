"""From a plan to SQL. One statement answers a report: groups, ranking, Others and totals.

The statement has two levels. `cells` sums plain columns by bucket, group, source, rate type and currency: the only
part that touches many rows. Everything else (rate types, exchange factors, markup, distribution, distinct names,
ranking, Others, totals) is computed from those few cells.

Names and values of users, label keys above all, are bound parameters; they never become SQL text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import orjson
from sqlalchemy import (
    Date,
    Numeric,
    Select,
    Table,
    Text,
    and_,
    case,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import CTE, CompoundSelect, Subquery

from kura.api_reads.reports.catalogue import KEYS, Among, Capacity, Condition, NotAmong
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
from kura.api_reads.reports.parameters import EVERYTHING, TAG, Filter, Match
from kura.api_reads.reports.plan import Plan, Ranking
from kura.store.tables.shared import PROVIDER, PROVIDER_INFRASTRUCTURE_MAP
from kura.store.tables.tenant import COST_CATEGORY, PLACEHOLDER, TENANT

Column = ColumnElement[Any]
Statement = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]
Measured = Mapping[str, Formula]

OVERHEAD_RATE_TYPES = ("platform_distributed", "worker_distributed")
"""Rows of these types show that overhead was distributed over projects."""

OTHERS_RANK = 0
"""Rank of the merged row; ranks of groups start at 1."""


def tenant_table(name: str) -> Table:
    return TENANT.tables[f"{PLACEHOLDER}.{name}"]


# ------------------------------------------------------------------------------------------------------ conditions


def row_conditions(plan: Plan, table: Table) -> list[Column]:
    """Which rows count: the range, what the report itself restricts, what is asked, and last what may be seen."""
    conditions: list[Column] = [table.c.usage_start.between(plan.scope.start, plan.scope.end)]
    if table.name == plan.report.daily_table:
        conditions += [_fixed(condition, table) for condition in plan.report.daily_conditions]
    conditions += [_matching(part, plan, table) for part in plan.filters]
    conditions += [not_(func.coalesce(_matching(part, plan, table), false())) for part in plan.excludes if _drops(part)]
    conditions += [_visible(key, ids, table) for key, ids in plan.limits.allowed.items()]
    return conditions


def _fixed(condition: Condition, table: Table) -> Column:
    column = table.c[condition.column]
    if isinstance(condition, Among):
        return column.in_(condition.texts)
    if isinstance(condition, NotAmong):
        return or_(column.is_(None), column.not_in(condition.texts))
    return func.coalesce(column, "") != ""


def _drops(part: Filter) -> bool:
    """Excluding `*` drops nothing."""
    return all(match.text != EVERYTHING for match in part.matches)


def _matching(part: Filter, plan: Plan, table: Table) -> Column:
    conditions = [_match(part.key, match, plan, table) for match in part.matches]
    return and_(true(), *conditions) if part.every else or_(false(), *conditions)


def _match(key: str, match: Match, plan: Plan, table: Table) -> Column:
    if key.startswith(TAG):
        return _label_match(table.c[plan.report.tag_column], key.removeprefix(TAG), match)
    if match.text == EVERYTHING and not match.exact:
        return true()
    if key == "category":
        named = select(COST_CATEGORY.c.id).where(text_match(COST_CATEGORY.c.name, match))
        return table.c.cost_category_id.in_(named)
    if key == "infrastructures":
        return table.c.source_uuid.in_(sources_on_cloud(match.text))
    return or_(*(text_match(table.c[name], match) for name in KEYS[key].compared))


def text_match(column: Column, match: Match) -> Column:
    """Equality, or containment whatever the case; `%` and `_` are ordinary characters."""
    if match.exact:
        return column == match.text
    return column.icontains(match.text, autoescape=True)


def _label_match(labels: Column, key: str, match: Match) -> Column:
    present = labels.has_key(key)
    if match.exact:
        return labels.contains({key: match.text})
    if match.text == EVERYTHING:
        return cast(Column, present)
    return and_(present, text_match(labels[key].astext, match))


def sources_on_cloud(cloud: str) -> Select[*tuple[Any, ...]]:
    """Sources of clusters that run on this cloud."""
    kinds = (cloud.lower(), f"{cloud.lower()}-local")
    return (
        select(PROVIDER.c.uuid)
        .join(PROVIDER_INFRASTRUCTURE_MAP, PROVIDER_INFRASTRUCTURE_MAP.c.id == PROVIDER.c.infrastructure_id)
        .where(func.lower(PROVIDER_INFRASTRUCTURE_MAP.c.infrastructure_type).in_(kinds))
    )


def _visible(key: str, ids: tuple[str, ...], table: Table) -> Column:
    """The access condition of one key: equality with one of the listed ids."""
    columns = [table.c[name] for name in KEYS[key].compared if name in table.c]
    return or_(false(), *(column.in_(ids) for column in columns))


# ----------------------------------------------------------------------------------------------------------- cells


def _bucket(plan: Plan, table: Table) -> Column:
    day = table.c.usage_start
    return sql_cast(func.date_trunc("month", day), Date) if plan.scope.monthly else day


def _group_column(key: str, plan: Plan, table: Table) -> Column:
    """The text a row is grouped under; rows without one are grouped under ''."""
    if key.startswith(TAG):
        return func.coalesce(table.c[plan.report.tag_column][key.removeprefix(TAG)].astext, "")
    shown: list[Column] = [func.coalesce(table.c[name], "") for name in KEYS[key].shown]
    column = shown[0]
    for further in shown[1:]:
        column = column.op("||")("_").op("||")(further)
    if key == "project" and plan.categories:
        return case((COST_CATEGORY.c.name.in_(plan.categories), COST_CATEGORY.c.name), else_=column)
    return column


def _summed_columns(measures: Measured) -> list[str]:
    sums = [formula.of if isinstance(formula, Scaled) else formula for formula in measures.values()]
    return list(dict.fromkeys(name for formula in sums if isinstance(formula, Sum) for name in formula.columns))


def _largest_columns(measures: Measured) -> list[str]:
    return [formula.column for formula in measures.values() if isinstance(formula, Largest)]


def _key_columns(measures: Measured) -> list[str]:
    """Columns whose distinct values a measure needs, so that cells must keep them apart."""
    names: list[str] = []
    for formula in measures.values():
        if isinstance(formula, Count | Labels):
            names.append(formula.column)
        elif isinstance(formula, Names | LargestName):
            names += formula.columns
        elif isinstance(formula, Documents):
            names += [column for _, column in formula.fields]
    return list(dict.fromkeys(names))


def _cells(plan: Plan, measures: Measured) -> CTE:
    """Plain sums by everything that later steps tell apart."""
    table = tenant_table(plan.table)
    keys: dict[str, Column] = {"bucket": _bucket(plan, table)}
    keys |= {f"g{place}": _group_column(key, plan, table) for place, key in enumerate(plan.groups)}
    keys |= {f"s_{key}": _group_column(key, plan, table) for key in plan.split_by if key not in plan.groups}
    names = ["cluster_id", "cluster_alias", "source_uuid", "cost_model_rate_type", "raw_currency"]
    names += [name for name in _key_columns(measures) if name not in names]
    keys |= {name: table.c[name] for name in names}
    source: Any = table
    if plan.categories or plan.report.cost_groups:
        source = table.outerjoin(COST_CATEGORY, COST_CATEGORY.c.id == table.c.cost_category_id)
    if plan.report.cost_groups:
        keys["cost_group"] = COST_CATEGORY.c.name
    sums = _summed_columns(measures)
    maxima = _largest_columns(measures)
    lines = (
        select(
            *(column.label(name) for name, column in keys.items()),
            *(table.c[name].label(f"v_{name}") for name in dict.fromkeys([*sums, *maxima])),
        )
        .select_from(source)
        .where(*row_conditions(plan, table))
        .subquery("lines")
    )
    return (
        select(
            *(lines.c[name] for name in keys),
            *(func.sum(lines.c[f"v_{name}"]).label(f"sum_{name}") for name in sums),
            *(func.max(lines.c[f"v_{name}"]).label(f"max_{name}") for name in maxima),
        )
        .group_by(*(lines.c[name] for name in keys))
        .cte("cells")
    )


# -------------------------------------------------------------------------------------------------------- formulas


class Formulas:
    """SQL of the measures over a set of cells."""

    def __init__(self, plan: Plan, measures: Measured, cells: CTE | Subquery) -> None:
        self.measures = measures
        self.cells = cells
        self.rates = plan.rates

    def expression(self, name: str) -> Column:
        return self._of(self.measures[name])

    def _of(self, formula: Formula) -> Column:
        c = self.cells.c
        match formula:
            case Sum():
                return self._sum(formula)
            case Scaled(of=of, divisor=divisor):
                return self._sum(of) / divisor
            case Plus(measures=names):
                first, *others = (self.expression(name) for name in names)
                for other in others:
                    first = first + other
                return first
            case Same(measure=measure):
                return self.expression(measure)
            case Zero():
                return literal(0)
            case Largest(column=column):
                return func.coalesce(func.max(c[f"max_{column}"]), 0)
            case LargestName(columns=columns):
                return func.max(func.coalesce(*(c[column] for column in columns)))
            case Count(column=column):
                return func.count(c[column].distinct())
            case Names(columns=columns):
                return _distinct(func.coalesce(*(func.nullif(c[column], "") for column in columns)))
            case Documents(fields=fields, present=present):
                parts = [part for key, column in fields for part in (literal(key), c[column])]
                return func.jsonb_agg(func.jsonb_build_object(*parts).distinct()).filter(c[present].is_not(None))
            case Labels(column=column):
                return func.jsonb_agg(c[column].distinct()).filter(c[column].is_not(None))
            case Efficiency(usage=usage, request=request):
                used, asked = self.expression(usage), self.expression(request)
                return case((asked > 0, func.round(used / func.nullif(asked, 0) * 100)), else_=0)
            case Wasted(cost=cost, usage=usage, request=request):
                used, asked = self.expression(usage), self.expression(request)
                unused = self.expression(cost) * (asked - used) / func.nullif(asked, 0)
                return case((asked > 0, func.greatest(unused, 0)), else_=0)
        raise AssertionError(formula)

    def _sum(self, formula: Sum) -> Column:
        c = self.cells.c
        columns = [c[f"sum_{name}"] for name in formula.columns]
        amount: Column = columns[0]
        if len(columns) > 1:
            amount = func.coalesce(columns[0], 0)
            for column in columns[1:]:
                amount = amount + func.coalesce(column, 0)
        factor = self._factor(formula.money)
        total: Any = func.sum(amount if factor is None else amount * factor)
        if formula.rate_type is not None:
            total = total.filter(c.cost_model_rate_type == formula.rate_type)
        return func.coalesce(total, 0)

    def _factor(self, money: Money | None) -> Column | None:
        """The exchange factor of a cell; None when it is 1 for all of them."""
        c = self.cells.c
        if money is Money.BILL and self.rates.by_bill_currency:
            return _factor(self.rates.by_bill_currency, c.raw_currency)
        if money is Money.COST_MODEL and self.rates.by_source:
            return _factor(self.rates.by_source, sql_cast(c.source_uuid, Text))
        return None

    def largest_factor(self) -> Column:
        """The largest factor applied, as the CSV shows it."""
        factors = [factor for factor in (self._factor(money) for money in Money) if factor is not None]
        return func.max(func.greatest(*factors)) if factors else literal(1)

    def base_currency(self) -> Column:
        """The largest code among the currencies money is stored in."""
        c = self.cells.c
        if not self.rates.source_currencies:
            return func.max(c.raw_currency)
        of_source = _looked_up(self.rates.source_currencies, sql_cast(c.source_uuid, Text))
        return func.max(func.coalesce(of_source, c.raw_currency))

    def further(self) -> list[Column]:
        """What every answer has beside its measures."""
        c = self.cells.c
        return [
            _distinct(func.coalesce(c.cluster_alias, c.cluster_id)).label("clusters"),
            _distinct(c.source_uuid).label("source_uuid"),
            self.base_currency().label("base_currency"),
            self.largest_factor().label("exchange_rate"),
        ]


def _looked_up(values: Mapping[str, Any], key: Column) -> Column:
    """The text a bound JSON object has under `key`; null when it has none."""
    document = orjson.dumps({name: str(value) for name, value in values.items()}).decode()
    return sql_cast(sql_cast(literal(document), JSONB)[key].astext, Text)


def _factor(factors: Mapping[str, Any], key: Column) -> Column:
    return func.coalesce(sql_cast(_looked_up(factors, key), Numeric), 1)


def _distinct(column: Column) -> Column:
    return func.array_agg(column.distinct()).filter(column.is_not(None))


# ------------------------------------------------------------------------------------------------------- statement

ROW, OTHERS, TOTAL = "row", "others", "total"


def computed(measures: Measured) -> list[str]:
    """Measures the database computes; second names and constant zeros are added when rows are read."""
    return [name for name, formula in measures.items() if not isinstance(formula, Same | Zero)]


def key_column(key: str, plan: Plan) -> str:
    """Name of the column of `cells` that holds a key."""
    if key == "cost_group":
        return key
    return f"g{plan.groups.index(key)}" if key in plan.groups else f"s_{key}"


def report_statement(plan: Plan) -> Statement:
    """Rows by bucket and group, the merged rest if groups are ranked, and one total row.

    Columns: kind, rank, ranked, overhead, bucket, the row keys, the computed measures, clusters, source_uuid,
    base_currency, exchange_rate.
    """
    measures = plan.report.measures
    cells = _cells(plan, measures)
    formulas = Formulas(plan, measures, cells)
    if plan.ranking is None:
        return union_all(_rows(plan, formulas, cells), _total(plan, cells, literal(0)))
    ranked = _ranked(plan, plan.ranking, formulas)
    parts = [_kept(plan, plan.ranking, formulas, ranked)]
    if plan.ranking.others:
        parts.append(_others(plan, plan.ranking, formulas, ranked))
    count = select(func.count()).select_from(ranked).scalar_subquery()
    return union_all(*parts, _total(plan, cells, count))


def _measured(formulas: Formulas) -> list[Column]:
    return [formulas.expression(name).label(name) for name in computed(formulas.measures)]


def _head(kind: str, rank: Column, ranked: Column, overhead: Column | None = None) -> list[Column]:
    with_overhead = overhead if overhead is not None else false()
    return [
        literal(kind).label("kind"),
        rank.label("rank"),
        ranked.label("ranked"),
        with_overhead.label("overhead"),
    ]


def _rows(plan: Plan, formulas: Formulas, cells: CTE) -> Select[*tuple[Any, ...]]:
    keys = [cells.c[key_column(key, plan)] for key in plan.row_keys]
    return select(
        *_head(ROW, literal(0), literal(0)), cells.c.bucket, *keys, *_measured(formulas), *formulas.further()
    ).group_by(cells.c.bucket, *keys)


def _total(plan: Plan, cells: CTE, ranked: Column) -> Select[*tuple[Any, ...]]:
    """Totals over the same cells without grouping; pages and ranking do not change them."""
    formulas = Formulas(plan, {**plan.report.measures, **plan.report.total_overrides}, cells)
    nothing = [null().label(key_column(key, plan)) for key in plan.row_keys]
    names = computed(plan.report.measures)
    values = [formulas.expression(name).label(name) for name in names]
    overhead = func.coalesce(func.bool_or(cells.c.cost_model_rate_type.in_(OVERHEAD_RATE_TYPES)), false())
    return select(
        *_head(TOTAL, literal(0), ranked, overhead), null().label("bucket"), *nothing, *values, *formulas.further()
    ).select_from(cells)


def _label(column: Column, key: str) -> Column:
    return case((column == "", f"No-{key}"), else_=column).collate("C")


def _ranked(plan: Plan, ranking: Ranking, formulas: Formulas) -> CTE:
    """Groups over the whole range with their rank; equals are ordered by label, code point by code point."""
    cells = formulas.cells
    keys = [cells.c[key_column(key, plan)] for key in plan.ranked_keys]
    if ranking.by in plan.groups:
        by: Column = cells.c[key_column(ranking.by, plan)]
    else:
        by = formulas.expression(ranking.by)
    order = by.desc() if ranking.descending else by.asc()
    labels = [_label(column, key) for column, key in zip(keys, plan.ranked_keys, strict=True)]
    rank = func.row_number().over(order_by=[order, *labels])
    return select(*keys, rank.label("rank")).group_by(*keys).cte("ranked")


def _with_rank(plan: Plan, cells: CTE | Subquery, ranked: CTE) -> Any:
    names = [key_column(key, plan) for key in plan.ranked_keys]
    return cells.join(ranked, and_(*(cells.c[name] == ranked.c[name] for name in names)))


def _kept(plan: Plan, ranking: Ranking, formulas: Formulas, ranked: CTE) -> Select[*tuple[Any, ...]]:
    cells = formulas.cells
    keys = [cells.c[key_column(key, plan)] for key in plan.row_keys]
    return (
        select(
            *_head(ROW, ranked.c.rank, literal(0)),
            cells.c.bucket,
            *keys,
            *_measured(formulas),
            *formulas.further(),
        )
        .select_from(_with_rank(plan, cells, ranked))
        .where(ranked.c.rank > ranking.offset, ranked.c.rank <= ranking.offset + ranking.limit)
        .group_by(cells.c.bucket, *keys, ranked.c.rank)
    )


def _others(plan: Plan, ranking: Ranking, formulas: Formulas, ranked: CTE) -> Select[*tuple[Any, ...]]:
    """One row per bucket for all groups beyond the limit. What does not add up over cells is added up over rows."""
    cells = formulas.cells
    beyond = ranked.c.rank > ranking.limit
    source = _with_rank(plan, cells, ranked)
    by_row = [
        name
        for name in computed(formulas.measures)
        if isinstance(formulas.measures[name], Largest | Count | Efficiency | Wasted)
    ]
    added: dict[str, Column] = {}
    if by_row:
        keys = [cells.c[key_column(key, plan)] for key in plan.row_keys]
        rows = (
            select(cells.c.bucket, *(formulas.expression(name).label(name) for name in by_row))
            .select_from(source)
            .where(beyond)
            .group_by(cells.c.bucket, *keys)
            .subquery("rows_beyond")
        )
        sums = (
            select(rows.c.bucket, *(func.sum(rows.c[name]).label(name) for name in by_row))
            .group_by(rows.c.bucket)
            .subquery("added")
        )
        source = source.join(sums, sums.c.bucket == cells.c.bucket)
        added = {name: func.max(sums.c[name]) for name in by_row}
    values = [
        (added[name] if name in added else formulas.expression(name)).label(name)
        for name in computed(formulas.measures)
    ]
    nothing = [null().label(key_column(key, plan)) for key in plan.row_keys]
    return (
        select(
            *_head(OTHERS, literal(OTHERS_RANK), literal(0)),
            cells.c.bucket,
            *nothing,
            *values,
            *formulas.further(),
        )
        .select_from(source)
        .where(beyond)
        .group_by(cells.c.bucket)
    )


# -------------------------------------------------------------------------------------------------------- capacity


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
            _bucket(plan, table).label("bucket"),
            table.c.usage_start.label("day"),
            cluster.label("cluster"),
            func.coalesce(table.c.node, "").label("node"),
            func.max(table.c[capacity.node_size]).label("size"),
            (func.max(table.c[period_column]) if period_column else null()).label("period"),
        )
        .where(*row_conditions(plan, table))
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
