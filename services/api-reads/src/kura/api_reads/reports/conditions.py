"""Which rows of a table a request is about. Access conditions are ANDed last, here and nowhere else in reports.

Names and values of users, label keys above all, are bound parameters; they never become SQL text.
"""

from __future__ import annotations

from datetime import date
from typing import Any, cast

from sqlalchemy import Select, Table, and_, false, func, not_, or_, select, true
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import Subquery

from kura.api_reads.reports.catalogue import KEYS, MONTHS, Among, Condition, NotAmong
from kura.api_reads.reports.parameters import EVERYTHING, TAG, Filter, Match
from kura.api_reads.reports.plan import Plan
from kura.store.tables.shared import PROVIDER, PROVIDER_INFRASTRUCTURE_MAP
from kura.store.tables.tenant import COST_CATEGORY, PLACEHOLDER, TENANT

Column = ColumnElement[Any]
Rows = Table | Subquery
"""What rows are taken from."""


def tenant_table(name: str) -> Table:
    return TENANT.tables[f"{PLACEHOLDER}.{name}"]


def row_conditions(plan: Plan, table: Rows, *, start: date, end: date) -> list[Column]:
    """Which rows count: the days, what the report itself restricts, what is asked, and last what may be seen."""
    conditions: list[Column] = [table.c.usage_start.between(start, end)]
    if table.name in (plan.report.daily_table, MONTHS):
        conditions += [_fixed(condition, table) for condition in plan.report.daily_conditions]
    conditions += [_matching(part, plan, table) for part in plan.filters]
    conditions += [not_(func.coalesce(_matching(part, plan, table), false())) for part in plan.excludes if drops(part)]
    conditions += [_visible(key, ids, table) for key, ids in plan.limits.allowed.items()]
    return conditions


def _fixed(condition: Condition, table: Rows) -> Column:
    column = table.c[condition.column]
    if isinstance(condition, Among):
        return column.in_(condition.texts)
    if isinstance(condition, NotAmong):
        return or_(column.is_(None), column.not_in(condition.texts))
    return func.coalesce(column, "") != ""


def drops(part: Filter) -> bool:
    """Excluding `*` drops nothing."""
    return all(match.text != EVERYTHING for match in part.matches)


def _matching(part: Filter, plan: Plan, table: Rows) -> Column:
    conditions = [_match(part.key, match, plan, table) for match in part.matches]
    return and_(true(), *conditions) if part.every else or_(false(), *conditions)


def _match(key: str, match: Match, plan: Plan, table: Rows) -> Column:
    if key.startswith(TAG):
        return _label_match(table.c[plan.report.tag_column], key.removeprefix(TAG), match)
    if match.text == EVERYTHING:
        return true()
    if key == "category":
        named = select(COST_CATEGORY.c.id).where(text_match(COST_CATEGORY.c.name, match))
        return table.c.cost_category_id.in_(named)
    if key == "infrastructures":
        return table.c.source_uuid.in_(sources_on_cloud(match.text))
    compared = KEYS[key].compared
    columns: list[Column] = [table.c[name] for name in compared] if compared else [shown_text(key, table)]
    return or_(*(text_match(column, match) for column in columns))


def shown_text(key: str, table: Rows) -> Column:
    """What a row shows under a key; '' for nothing."""
    texts: list[Column] = [func.coalesce(table.c[name], "") for name in KEYS[key].shown]
    text = texts[0]
    for further in texts[1:]:
        text = text.op("||")("_").op("||")(further)
    return text


def text_match(column: Column, match: Match) -> Column:
    """Equality, or containment whatever the case; `%` and `_` are ordinary characters."""
    if match.exact:
        return column == match.text
    return column.icontains(match.text, autoescape=True)


def _label_match(labels: Column, key: str, match: Match) -> Column:
    present = labels.has_key(key)
    if match.text == EVERYTHING:
        return cast(Column, present)
    if match.exact:
        return labels.contains({key: match.text})
    return and_(present, text_match(labels[key].astext, match))


def sources_on_cloud(cloud: str) -> Select[*tuple[Any, ...]]:
    """Sources of clusters that run on this cloud."""
    kinds = (cloud.lower(), f"{cloud.lower()}-local")
    return (
        select(PROVIDER.c.uuid)
        .join(PROVIDER_INFRASTRUCTURE_MAP, PROVIDER_INFRASTRUCTURE_MAP.c.id == PROVIDER.c.infrastructure_id)
        .where(func.lower(PROVIDER_INFRASTRUCTURE_MAP.c.infrastructure_type).in_(kinds))
    )


def _visible(key: str, ids: tuple[str, ...], table: Rows) -> Column:
    """The access condition of one key: equality with one of the listed ids."""
    columns = [table.c[name] for name in KEYS[key].compared if name in table.c]
    return or_(false(), *(column.in_(ids) for column in columns))
