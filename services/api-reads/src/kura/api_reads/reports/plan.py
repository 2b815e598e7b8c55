"""From parameters and access to a plan: which table, which keys and measures, which conditions, which ranking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from kura.api_reads.access import Limits
from kura.api_reads.reports.catalogue import COSTS, COSTS_BY_PROJECT, DAILY, KEYS, MONTHS, Report
from kura.api_reads.reports.measures import AGGREGATES, Names, Plus, Same, Sum, Zero
from kura.api_reads.reports.parameters import DEFAULT_RANKED, Filter, Order, Parameters
from kura.api_reads.reports.time_scope import Scope
from kura.core.days import DayRange, Month

INDEXED_KEYS = ("project", "node")
"""Keys by whose values an index finds rows of the daily summary."""

ONE = Decimal(1)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Exchange factors to the requested currency; what is not listed has factor 1 (read-api §9).

    Factors that were set by hand hold for the rows of a month; the others hold for all rows that have none of those.
    """

    by_bill_currency: Mapping[str, Decimal] = field(default_factory=dict)
    by_source: Mapping[str, Decimal] = field(default_factory=dict)
    source_currencies: Mapping[str, str] = field(default_factory=dict)
    static_by_bill_currency: Mapping[tuple[Month, str], Decimal] = field(default_factory=dict)
    static_by_source: Mapping[tuple[Month, str], Decimal] = field(default_factory=dict)

    @property
    def of_bills(self) -> frozenset[str]:
        """Currencies of bills whose amounts are converted."""
        return frozenset(self.by_bill_currency) | {currency for _, currency in self.static_by_bill_currency}

    @property
    def convert_models(self) -> bool:
        return bool(self.by_source or self.static_by_source)

    def without_bills(self) -> Rates:
        """The same where no bill is in a currency that would be converted."""
        return replace(self, by_bill_currency={}, static_by_bill_currency={})

    def of_bill(self, currency: str | None, day: date) -> Decimal:
        """The factor of a bill's amounts on a day."""
        rate = self.static_by_bill_currency.get((Month.of(day), currency or ""))
        return rate if rate is not None else self.by_bill_currency.get(currency or "", ONE)

    def of_source(self, source: str, day: date) -> Decimal:
        """The factor of what a source's cost model makes of a day."""
        rate = self.static_by_source.get((Month.of(day), source))
        return rate if rate is not None else self.by_source.get(source, ONE)


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Keep groups `offset` + 1 … `offset` + `limit` in the order of a measure or key over the whole range."""

    by: str
    descending: bool
    limit: int
    offset: int
    others: bool


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What of the daily summary there is: first and last day with data, and months that must be read by day."""

    days: DayRange | None
    unfolded: frozenset[Month] = frozenset()


@dataclass(frozen=True)
class Part:
    """Days of the range that are read from one table; of the table by month these are whole months."""

    table: str
    start: date
    end: date


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything the database is asked for."""

    report: Report
    scope: Scope
    table: str
    stored: Stored
    groups: tuple[str, ...]
    split_by: tuple[str, ...]
    filters: tuple[Filter, ...]
    excludes: tuple[Filter, ...]
    limits: Limits
    categories: tuple[str, ...]
    ranking: Ranking | None
    currency: str
    rates: Rates

    @property
    def parts(self) -> tuple[Part, ...]:
        """Where rows by bucket are read."""
        return self._parts(by_month=self.scope.monthly)

    @property
    def ranked_parts(self) -> tuple[Part, ...]:
        """Where ranks are read: days do not matter for them."""
        return self._parts(by_month=True)

    def _parts(self, *, by_month: bool) -> tuple[Part, ...]:
        if self.table != DAILY or not by_month:
            return (Part(self.table, self.scope.start, self.scope.end),)
        return tuple(self._part(days) for days in DayRange(self.scope.start, self.scope.end).by_month())

    def _part(self, days: DayRange) -> Part:
        """Some days of one month: the folded month if it is up to date and they are all of it that has data."""
        month = Month.of(days.start)
        known = self.stored.days if month not in self.stored.unfolded else None
        if known and days.start <= max(month.first, known.start) and days.end >= min(month.last, known.end):
            return Part(MONTHS, month.first, month.last)
        return Part(DAILY, days.start, days.end)

    @property
    def ranks_apart(self) -> bool:
        """Whether the kept groups and the rest are read by themselves.

        Then there are many rows, an index finds those of a group, and everything adds up.
        """
        return self.may_rank_apart and not self.rates.of_bills

    @property
    def may_rank_apart(self) -> bool:
        """The same, if no bill has to be converted: small tables do not tell the currencies of bills apart."""
        return (
            self.table == DAILY
            and any(key in INDEXED_KEYS and key not in self.folded_keys for key in self.groups)
            and all(isinstance(formula, Sum | Plus | Same | Zero) for formula in self.report.measures.values())
        )

    @property
    def folded_keys(self) -> tuple[str, ...]:
        """Keys whose labels are not simply what a column says."""
        return ("project",) if self.categories else ()

    @property
    def reads_few_by_day(self) -> bool:
        """Whether the rows are those of a small table by day, of which grouping would leave nearly all."""
        return self.table not in (DAILY, MONTHS) and not self.scope.monthly

    @property
    def row_keys(self) -> tuple[str, ...]:
        """Keys that tell rows of one bucket apart."""
        cost_group = ("cost_group",) if self.report.cost_groups else ()
        return (*self.groups, *(key for key in self.split_by if key not in self.groups), *cost_group)

    @property
    def ranked_keys(self) -> tuple[str, ...]:
        """Keys whose tuples are ranked."""
        if self.report.shape == "mig":
            return (*self.groups, "mig_id")
        return self.groups


def make_plan(parameters: Parameters, limits: Limits, rates: Rates, stored: Stored) -> Plan:
    """The plan of a request. Forbidden when it names what the caller may not see."""
    limits.refuse_others(parameters.named)
    report = parameters.report
    groups = tuple(key for key in parameters.groups if _is_known(report, key))
    if report.inherent_group is not None and report.inherent_group not in groups:
        groups = (*groups, report.inherent_group)
    return Plan(
        report=report,
        scope=parameters.scope,
        stored=stored,
        table=choose(report.tables, parameters.key_set | limits.keys, report.daily_table),
        groups=groups,
        split_by=report.split_by,
        filters=parameters.filters,
        excludes=tuple(part for part in parameters.excludes if _is_known(report, part.key)),
        limits=limits,
        categories=parameters.categories,
        ranking=_ranking(parameters, groups),
        currency=parameters.currency,
        rates=rates,
    )


def _is_known(report: Report, key: str) -> bool:
    """Whether the rows of a report have this key; MIG profiles accept keys that they do not have."""
    return report.shape != "mig" or key in report.filters


def choose(tables: Mapping[frozenset[str], str], keys: frozenset[str], otherwise: str) -> str:
    """The table whose keys are exactly those used, else the daily one."""
    return tables.get(keys, otherwise)


def capacity_table(plan: Plan) -> str:
    """Where capacity is read: the rows by node are enough unless the request looks deeper (read-api-fields §3.3)."""
    used = {part.key for part in (*plan.filters, *plan.excludes)} | plan.limits.keys
    return choose(plan.report.capacity_tables, frozenset(used), plan.report.daily_table)


def totals_of(plan: Plan) -> Plan:
    """The same question without groups, from the smallest table that has the sums of the same rows.

    Tables of costs hold every row of the daily summary; those of networks and pods leave some out.
    """
    used = {part.key for part in (*plan.filters, *plan.excludes)} | plan.limits.keys
    tables = {**plan.report.tables, **COSTS.tables} if plan.report in (COSTS, COSTS_BY_PROJECT) else {}
    return replace(
        plan,
        report=replace(plan.report, cost_groups=False),
        table=choose(tables, frozenset(used), plan.report.daily_table),
        groups=(),
        split_by=(),
        categories=(),
        ranking=None,
    )


def previous(plan: Plan) -> Plan:
    """The same question about the window a delta compares with; ranking is that of the current window."""
    return replace(plan, scope=plan.scope.previous(), ranking=None)


def on_date(plan: Plan, day: date) -> Plan:
    """The same groups on one day, to learn their order there."""
    scope = Scope(start=day, end=day, monthly=False, explicit=True)
    return replace(plan, scope=scope, ranking=None)


def _ranking(parameters: Parameters, groups: tuple[str, ...]) -> Ranking | None:
    """read-api §3.5, steps 1 and 2; a limit of 0 and a missing limit without offset rank nothing."""
    with_offset = parameters.ranked_offset is not None
    limit = parameters.ranked if parameters.ranked is not None else (DEFAULT_RANKED if with_offset else 0)
    if not groups or limit == 0:
        return None
    by, descending = _ranked_by(parameters, with_offset=with_offset)
    return Ranking(
        by=by,
        descending=descending,
        limit=limit,
        offset=parameters.ranked_offset or 0,
        others=not with_offset and parameters.report.shape != "mig",
    )


def _ranked_by(parameters: Parameters, *, with_offset: bool) -> tuple[str, bool]:
    report, order = parameters.report, parameters.order
    field, descending = report.default_order
    if order is None or order.on_date is not None:
        return field, descending
    if order.field == "delta" and parameters.delta is not None:
        is_measure = parameters.delta.field in report.measures
        return (parameters.delta.field if is_measure else field), order.descending
    if is_number(report, order):
        return order.field, order.descending
    if with_offset:
        field = _text_field(report, parameters.groups, order.field) or field
    return field, order.descending


def _text_field(report: Report, groups: tuple[str, ...], ordered_by: str) -> str | None:
    """The key that pages of groups are cut by under a textual order, or the list of names; None if rows have neither.

    A key need not be a group: of GPUs it may be one that splits the rows of a group.
    """
    key = key_of_order(ordered_by)
    if key in KEYS and key in (*groups, *report.split_by):
        return key
    return ordered_by if isinstance(report.measures.get(ordered_by), Names) else None


def key_of_order(field: str) -> str:
    """The group key a textual order sorts by."""
    return "storageclass" if field == "storage_class" else field


def is_number(report: Report, order: Order) -> bool:
    """Whether rows are ordered by a number rather than by a text."""
    return isinstance(report.measures.get(order.field), AGGREGATES)
