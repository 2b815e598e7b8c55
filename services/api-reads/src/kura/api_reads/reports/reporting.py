"""Answer one report: check parameters, plan, read, complete, order, nest or flatten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import Connection

from kura.api_reads.access import Limits
from kura.api_reads.facts import Facts, rates_to, read_facts
from kura.api_reads.links import links_between
from kura.api_reads.reports import plan as planning
from kura.api_reads.reports.answer import Json, meta_of, pack_dates, shows_score
from kura.api_reads.reports.capacity import add_capacity, read_capacities
from kura.api_reads.reports.catalogue import Report
from kura.api_reads.reports.order import sort_rows
from kura.api_reads.reports.parameters import Known, Parameters, read_parameters, tag_keys_named
from kura.api_reads.reports.query_string import QueryString
from kura.api_reads.reports.render_csv import flat_rows, render_csv
from kura.api_reads.reports.rows import (
    Row,
    Rows,
    add_delta,
    by_date,
    has_bills,
    positions_on,
    read_previous,
    read_rows,
)

DEFAULT_RETENTION_MONTHS = 4


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the installation decides for all reports."""

    max_groups: int = 3
    work_megabytes: int = 64
    """What each step of a statement may use to sort and group before it spills to disk."""
    statement_seconds: float = 60.0
    retention_months: int = DEFAULT_RETENTION_MONTHS
    tag_enabled_limit: int = 200

    @property
    def session(self) -> dict[str, str]:
        """Server settings for the statements of one report."""
        return {"work_mem": f"{self.work_megabytes}MB", "statement_timeout": f"{int(self.statement_seconds * 1000)}ms"}


@dataclass(kw_only=True)
class Answered:
    """A report with its rows in order, to be written as JSON or CSV."""

    parameters: Parameters
    rows: Rows
    ordered: dict[str, list[Row]]
    delta: dict[str, Any] | None


def known_of(facts: Facts, rules: Rules, today: date) -> Known:
    """What parameters are checked against."""
    return Known(
        today=today,
        retention_months=visible_months(facts, rules),
        currencies=facts.currencies,
        account_currency=facts.account_currency,
        tag_keys=facts.tag_keys,
        cost_groups=facts.cost_groups,
        max_groups=rules.max_groups,
    )


def visible_months(facts: Facts, rules: Rules) -> int:
    """Months a request may reach back: the installation's number if it differs from the default, else the longer."""
    if rules.retention_months != DEFAULT_RETENTION_MONTHS:
        return rules.retention_months
    return max(facts.retention_months, rules.retention_months)


def planned(
    connection: Connection, *, report: Report, query: QueryString, limits: Limits, rules: Rules, today: date
) -> tuple[Parameters, planning.Plan]:
    """A checked request and what the database is to be asked for it. ParameterErrors, Forbidden."""
    facts = read_facts(connection, tag_keys=tag_keys_named(query), session=rules.session)
    parameters = read_parameters(query, report, known_of(facts, rules, today))
    rates = rates_to(parameters.currency, facts, parameters.scope)
    plan = planning.make_plan(parameters, limits, rates, facts.stored)
    if plan.ranking is not None and plan.may_rank_apart and rates.of_bills and not has_bills(connection, plan):
        plan = replace(plan, rates=rates.without_bills())
    return parameters, plan


def answer_report(
    connection: Connection, *, report: Report, query: QueryString, limits: Limits, rules: Rules, today: date
) -> Answered:
    """Read a report. ParameterErrors, Forbidden or what the database raises."""
    parameters, plan = planned(connection, report=report, query=query, limits=limits, rules=rules, today=today)
    read = read_rows(connection, plan)
    if plan.report.capacity is not None:
        add_capacity(read, read_capacities(connection, plan, plan.report.capacity))
    delta = None
    if parameters.delta is not None:
        compares_windows = parameters.delta.against is None
        before = read_previous(connection, read) if compares_windows else None
        delta = add_delta(read, parameters.delta, before)

    positions = None
    if parameters.order is not None and parameters.order.on_date is not None:
        day = read_rows(connection, planning.on_date(plan, parameters.order.on_date))
        positions = positions_on(read, sort_rows(day, day.rows, None))
    ordered = {
        bucket: sort_rows(read, rows, parameters.order, positions) for bucket, rows in by_date(read.rows).items()
    }
    return Answered(parameters=parameters, rows=read, ordered=ordered, delta=delta)


# ------------------------------------------------------------------------------------------------------------ JSON


def as_json(answered: Answered, *, path: str, query: QueryString) -> Json:
    """The page envelope of a report (read-api §1.6, §4)."""
    parameters, read = answered.parameters, answered.rows
    dates = pack_dates(read, answered.ordered, parameters)
    ranking = read.plan.ranking
    pairs = query.pairs
    if read.plan.report.monthly_only:
        data, count = _page_of_names(dates, read.names[0], parameters)
        links = links_between(path, pairs, limit=parameters.limit or count, offset=parameters.offset, count=count)
        meta = _meta(answered, count=count, limit=parameters.echoed_limit, offset=parameters.echoed_offset)
    elif ranking is not None and parameters.ranked_offset is not None:
        data, count = dates, read.ranked
        names = ("filter[limit]", "filter[offset]")
        links = links_between(path, pairs, limit=ranking.limit, offset=ranking.offset, count=count, names=names)
        meta = _meta(answered, count=count, limit=ranking.limit, offset=ranking.offset)
    else:
        count = len(dates)
        limit = parameters.limit or count
        data = dates[parameters.offset : parameters.offset + limit]
        links = links_between(path, pairs, limit=limit, offset=parameters.offset, count=count)
        meta = _meta(answered, count=count, limit=parameters.echoed_limit, offset=parameters.echoed_offset)
    return {"meta": meta, "links": links, "data": data}


def _page_of_names(dates: Sequence[Json], name: str, parameters: Parameters) -> tuple[list[Json], int]:
    """A page of the single month's list; nothing in it is no data at all."""
    month = dates[0]
    listed = month[f"{name}s"]
    limit = parameters.limit or len(listed)
    shown = listed[parameters.offset : parameters.offset + limit]
    return ([{"date": month["date"], f"{name}s": shown}] if shown else []), len(listed)


def _meta(answered: Answered, *, count: int, limit: int, offset: int) -> Json:
    by_project = answered.rows.plan.report.cost_groups
    return meta_of(
        answered.rows,
        answered.parameters,
        count=count,
        limit=limit,
        offset=offset,
        delta=answered.delta,
        distributed_overhead=answered.rows.overhead if by_project else None,
    )


# ------------------------------------------------------------------------------------------------------------- CSV


def as_csv(answered: Answered) -> bytes:
    """Flat rows, newest date first; `limit` and `offset` page rows."""
    parameters = answered.parameters
    rows = [row for bucket in sorted(answered.ordered, reverse=True) for row in answered.ordered[bucket]]
    if parameters.ranked_offset is None:
        end = parameters.offset + parameters.limit if parameters.limit else None
        rows = rows[parameters.offset : end]
    flat = flat_rows(answered.rows, rows, currency=parameters.currency, with_score=shows_score(parameters))
    return render_csv(flat)
