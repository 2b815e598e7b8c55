"""From a plan to SQL. One statement answers a report: groups, ranking, Others and totals.

The statement has two levels. `cells` sums plain columns by bucket, group, source, rate type and currency: the only
part that touches many rows. Everything else (rate types, exchange factors, markup, distribution, distinct names,
ranking, Others, totals) is computed from those few cells.

Where very many groups are ranked by amounts that add up, three small statements do the same (see `rows.py`): the
ranks over the whole range, the rows of the few groups that are kept, and the totals, from which Others follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Date,
    Select,
    Table,
    Text,
    and_,
    case,
    exists,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import CTE, CompoundSelect, Subquery

from kura.api_reads.reports.catalogue import KEYS
from kura.api_reads.reports.conditions import Rows, row_conditions, shown_text, tenant_table
from kura.api_reads.reports.formulas import Formulas, Measured
from kura.api_reads.reports.measures import (
    Count,
    Documents,
    Efficiency,
    Labels,
    Largest,
    LargestName,
    Names,
    Plus,
    Same,
    Scaled,
    Sum,
    Wasted,
    Zero,
)
from kura.api_reads.reports.parameters import TAG
from kura.api_reads.reports.plan import Part, Plan, Ranking
from kura.store.tables.tenant import COST_CATEGORY, COST_SUMMARY_BY_PROJECT

Column = ColumnElement[Any]
Statement = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]
OVERHEAD_RATE_TYPES = ("platform_distributed", "worker_distributed")
"""Rows of these types show that overhead was distributed over projects."""

OTHERS_RANK = 0
"""Rank of the merged row; ranks of groups start at 1."""

# ----------------------------------------------------------------------------------------------------------- cells


def bucket_of(plan: Plan, table: Rows) -> Column:
    day = table.c.usage_start
    return sql_cast(func.date_trunc("month", day), Date) if plan.scope.monthly else day


def group_column(key: str, plan: Plan, table: Rows) -> Column:
    """The text a row is grouped under; rows without one are grouped under ''."""
    if key.startswith(TAG):
        return func.coalesce(table.c[plan.report.tag_column][key.removeprefix(TAG)].astext, "")
    column = shown_text(key, table)
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


def _lines(
    plan: Plan,
    parts: Sequence[Part],
    amounts: Sequence[str],
    *,
    names: Sequence[str],
    by_bucket: bool,
    by_row: bool,
    only: Sequence[tuple[str, ...]] | None = None,
) -> tuple[Subquery, list[str]]:
    """Rows of the parts with their keys and the columns `v_…` of `amounts`; and the names of the keys."""
    selects = []
    keys: dict[str, Column] = {}
    for part in parts:
        table = tenant_table(part.table)
        keys = _cell_keys(plan, table, names, by_bucket=by_bucket, by_row=by_row)
        conditions = row_conditions(plan, table, start=part.start, end=part.end)
        if only is not None:
            conditions += _narrowed(plan, table, only)
        selects.append(
            select(
                *(column.label(name) for name, column in keys.items()),
                *(table.c[name].label(f"v_{name}") for name in amounts),
            )
            .select_from(with_categories(plan, table))
            .where(*conditions)
        )
    return (union_all(*selects) if len(selects) > 1 else selects[0]).subquery("lines"), list(keys)


def _cells(
    plan: Plan,
    measures: Measured,
    parts: Sequence[Part],
    *,
    names: Sequence[str],
    by_bucket: bool = True,
    by_row: bool = True,
    only: Sequence[tuple[str, ...]] | None = None,
) -> CTE:
    """Plain sums by everything that later steps tell apart: buckets, groups, and the columns `names`.

    `only` keeps the rows of these groups. Rows are the cells where adding them up would not leave fewer, or where
    nothing but the groups is told apart, so that the next step does the same again.
    """
    sums, maxima = _summed_columns(measures), _largest_columns(measures)
    amounts = list(dict.fromkeys([*sums, *maxima]))
    lines, keys = _lines(plan, parts, amounts, names=names, by_bucket=by_bucket, by_row=by_row, only=only)
    if plan.reads_few_by_day or not names:
        return select(
            *(lines.c[name] for name in keys),
            *(lines.c[f"v_{name}"].label(f"sum_{name}") for name in sums),
            *(lines.c[f"v_{name}"].label(f"max_{name}") for name in maxima),
        ).cte("cells")
    cells = select(
        *(lines.c[name] for name in keys),
        *(func.sum(lines.c[f"v_{name}"]).label(f"sum_{name}") for name in sums),
        *(func.max(lines.c[f"v_{name}"]).label(f"max_{name}") for name in maxima),
    ).group_by(*(lines.c[name] for name in keys))
    if only is not None:
        cells = cells.where(_among(plan, lines, only))
    return cells.cte("cells")


def _cell_keys(plan: Plan, table: Table, names: Sequence[str], *, by_bucket: bool, by_row: bool) -> dict[str, Column]:
    keys: dict[str, Column] = {}
    if by_bucket:
        keys["bucket"] = bucket_of(plan, table)
    elif plan.rates.static_by_source:
        keys["bucket"] = sql_cast(func.date_trunc("month", table.c.usage_start), Date)
    keys |= {f"g{place}": group_column(key, plan, table) for place, key in enumerate(plan.groups)}
    if by_row:
        keys |= {f"s_{key}": group_column(key, plan, table) for key in plan.split_by if key not in plan.groups}
        if plan.report.cost_groups:
            keys["cost_group"] = COST_CATEGORY.c.name
    return keys | {name: table.c[name] for name in names}


def with_categories(plan: Plan, table: Rows) -> Any:
    if not plan.categories and not plan.report.cost_groups:
        return table
    return table.outerjoin(COST_CATEGORY, COST_CATEGORY.c.id == table.c.cost_category_id)


def _narrowed(plan: Plan, table: Table, groups: Sequence[tuple[str, ...]]) -> list[Column]:
    """Conditions on plain columns that an index can answer; every row of `groups` passes them."""
    conditions: list[Column] = []
    for place, key in enumerate(plan.ranked_keys):
        if key.startswith(TAG) or len(KEYS[key].shown) > 1 or key in plan.folded_keys:
            continue
        column = table.c[KEYS[key].shown[0]]
        texts = sorted({group[place] for group in groups})
        named = column.in_([text for text in texts if text])
        conditions.append(named if "" not in texts else or_(named, column.is_(None), column == ""))
    return conditions


def _among(plan: Plan, lines: Subquery, groups: Sequence[tuple[str, ...]]) -> Column:
    if not groups:
        return false()
    columns = [lines.c[key_column(key, plan)] for key in plan.ranked_keys]
    listed = [func.unnest(sql_cast(list(texts), ARRAY(Text))) for texts in zip(*groups, strict=True)]
    return tuple_(*columns).in_(select(*listed))


def _row_names(measures: Measured) -> list[str]:
    """Columns that cells keep apart for the answer's rows."""
    names = ["cluster_id", "cluster_alias", "source_uuid", "cost_model_rate_type", "raw_currency"]
    return names + [name for name in _key_columns(measures) if name not in names]


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
    cells = _cells(plan, measures, plan.parts, names=_row_names(measures))
    formulas = Formulas(plan, measures, cells)
    if plan.ranking is None:
        return union_all(_rows(plan, formulas, cells), _total(plan, cells, literal(0)))
    ranked = _ranked(plan, plan.ranking, formulas)
    kept, others = _kept(plan, plan.ranking, formulas, ranked), _others(plan, plan.ranking, formulas, ranked)
    count = select(func.count()).select_from(ranked).scalar_subquery()
    return union_all(kept, others, _total(plan, cells, count))


def ranks_statement(plan: Plan, ranking: Ranking) -> Statement:
    """The groups that are kept, with their rank over the whole range.

    Columns: rank, how many groups there are, the ranked keys. Without groups there is no row.
    """
    measures = _needed(plan.report.measures, ranking.by)
    names = ["source_uuid"] if plan.rates.convert_models else []
    if any(isinstance(formula, Sum) and formula.rate_type for formula in measures.values()):
        names.append("cost_model_rate_type")
    cells = _cells(plan, measures, plan.ranked_parts, names=names, by_bucket=False, by_row=False)
    ranked = _ranked(plan, ranking, Formulas(plan, measures, cells))
    keys = [ranked.c[key_column(key, plan)] for key in plan.ranked_keys]
    counted = select(ranked.c.rank, func.count().over().label("ranked"), *keys).subquery("counted")
    return select(counted).where(_is_kept(ranking, counted))


def rest_statement(plan: Plan, kept: Sequence[tuple[str, ...]]) -> Statement:
    """Clusters and sources of all groups but the kept ones. Columns: clusters, source_uuid."""
    names = ("cluster_id", "cluster_alias", "source_uuid")
    lines, _ = _lines(plan, plan.ranked_parts, (), names=names, by_bucket=False, by_row=False)
    columns = [lines.c[name] for name in names]
    places = select(*columns).where(not_(_among(plan, lines, kept))).group_by(*columns).subquery("places")
    return select(*Formulas(plan, {}, places).places())


def bills_statement(plan: Plan) -> Statement:
    """Whether any bill of the range, or of the window it is compared with, is in a currency that is converted."""
    costs = COST_SUMMARY_BY_PROJECT.c
    return select(
        exists().where(
            costs.usage_start.between(plan.scope.previous().start, plan.scope.end),
            costs.raw_currency.in_(sorted(plan.rates.of_bills)),
        )
    )


def kept_statement(plan: Plan, groups: Sequence[tuple[str, ...]]) -> Statement:
    """Rows by bucket of these groups alone; columns as `report_statement`."""
    measures = plan.report.measures
    cells = _cells(plan, measures, plan.parts, names=_row_names(measures), only=groups)
    return _rows(plan, Formulas(plan, measures, cells), cells)


def _needed(measures: Measured, name: str) -> dict[str, Any]:
    """A measure and what it is computed from; nothing for the name of a key."""
    formula = measures.get(name)
    if formula is None:
        return {}
    names: tuple[str, ...] = ()
    if isinstance(formula, Plus):
        names = formula.measures
    elif isinstance(formula, Same):
        names = (formula.measure,)
    found: dict[str, Any] = {name: formula}
    for part in names:
        found |= _needed(measures, part)
    return found


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
        by: Column = func.nullif(cells.c[key_column(ranking.by, plan)], "")
    elif ranking.by in plan.split_by:  # a group stands where its first row stands
        split = func.nullif(cells.c[key_column(ranking.by, plan)], "")
        by = func.max(split) if ranking.descending else func.min(split)
    else:
        by = formulas.expression(ranking.by)
    order = by.desc() if ranking.descending else by.asc()
    labels = [_label(column, key) for column, key in zip(keys, plan.ranked_keys, strict=True)]
    rank = func.row_number().over(order_by=[order, *labels])
    return select(*keys, rank.label("rank")).group_by(*keys).cte("ranked")


def _with_rank(plan: Plan, cells: CTE | Subquery, ranked: CTE) -> Any:
    names = [key_column(key, plan) for key in plan.ranked_keys]
    return cells.join(ranked, and_(*(cells.c[name] == ranked.c[name] for name in names)))


def _is_kept(ranking: Ranking, ranked: CTE | Subquery) -> Column:
    return and_(ranked.c.rank > ranking.offset, ranked.c.rank <= ranking.offset + ranking.limit)


def _left_over(ranking: Ranking, ranked: CTE) -> Column:
    return or_(ranked.c.rank <= ranking.offset, ranked.c.rank > ranking.offset + ranking.limit)


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
        .where(_is_kept(ranking, ranked))
        .group_by(cells.c.bucket, *keys, ranked.c.rank)
    )


def _others(plan: Plan, ranking: Ranking, formulas: Formulas, ranked: CTE) -> Select[*tuple[Any, ...]]:
    """One row per bucket for all groups that are not kept. What does not add up over cells is added up over rows."""
    cells = formulas.cells
    beyond = _left_over(ranking, ranked)
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
