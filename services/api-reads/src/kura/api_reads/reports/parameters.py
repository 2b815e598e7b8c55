"""Query parameters of a report: what is accepted, what is refused and with which words (read-api §2).

`read_parameters` checks every parameter by itself first and reports all those errors together; then unknown
parameters; then rules between parameters, of which the first broken one is reported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from kura.api_reads.reports import time_scope
from kura.api_reads.reports.catalogue import Report, with_groups
from kura.api_reads.reports.query_string import Given, QueryString
from kura.api_reads.reports.time_scope import Scope
from kura.core.currencies import CURRENCIES
from kura.core.errors import ParameterErrors

UNSUPPORTED = "Unsupported parameter or invalid value"
BLANK = "This field may not be blank."
NULL_CHARACTER = "Null characters are not allowed."
NOT_INTEGER = "A valid integer is required."
NOT_DATE = "Date has wrong format. Use one of these formats instead: YYYY-MM-DD."
NOT_MAP = "Invalid data. Expected a dictionary, but got str."

DEFAULT_RANKED = 5
TAG = "tag:"
EVERYTHING = "*"
CLOUDS = ("aws", "azure", "gcp")
DIRECTIONS = ("asc", "desc")
RENAMED_ORDERS = frozenset({"cost_total", "infra_total", "sup_total", "cost_total_distributed"})
TOP_LEVEL = ("filter", "exclude", "group_by", "order_by", "delta", "start_date", "end_date", "limit", "offset")
TIME_KEYS = ("resolution", "time_scope_units", "time_scope_value")


class Operator(StrEnum):
    """How the values of one key combine."""

    PLAIN = ""
    AND = "and"
    OR = "or"
    EXACT = "exact"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One key of filter, exclude or group_by as sent."""

    key: str
    operator: Operator
    values: tuple[str, ...]
    echo: str


@dataclass(frozen=True)
class Match:
    """One value to compare: contained in the column, or equal to it; `*` on a label means it is present."""

    text: str
    exact: bool = False


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Values of one key; one of them must match, or every one."""

    key: str
    matches: tuple[Match, ...]
    every: bool = False


@dataclass(frozen=True, kw_only=True)
class Order:
    """What rows are sorted by: a field and direction, or the order the groups have on one date."""

    field: str
    descending: bool = False
    on_date: date | None = None


@dataclass(frozen=True, kw_only=True)
class Delta:
    """A comparison with the previous window (`field`), or of two fields of the same row (`field`, `against`)."""

    field: str
    against: str | None = None


@dataclass(frozen=True, kw_only=True)
class Known:
    """What parameters are checked against: the calendar and what the tenant has."""

    today: date
    retention_months: int = 4
    currencies: frozenset[str] = frozenset({"USD"})
    account_currency: str = "USD"
    tag_keys: frozenset[str] = frozenset()
    cost_groups: frozenset[str] = frozenset()
    max_groups: int = 3


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """A valid request for one report."""

    report: Report
    scope: Scope
    filters: tuple[Filter, ...]
    excludes: tuple[Filter, ...]
    groups: tuple[str, ...]
    named: Mapping[str, frozenset[str]]
    ranked: int | None
    ranked_offset: int | None
    limit: int
    offset: int
    echoed_limit: int
    echoed_offset: int
    order: Order | None
    delta: Delta | None
    currency: str
    categories: tuple[str, ...]
    echo: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key_set(self) -> frozenset[str]:
        """Names used anywhere, which decide the table (read-api-fields §2)."""
        return frozenset({part.key for part in (*self.filters, *self.excludes)} | set(self.groups))


class FieldError(Exception):
    """One parameter is wrong; `problem` is what the error map says about it."""

    def __init__(self, problem: Any) -> None:
        super().__init__(str(problem))
        self.problem = problem


def tag_keys_named(query: QueryString) -> list[str]:
    """Tag keys anywhere in the request, to be looked up before it is checked."""
    names = (key for parameter in query.given.values() for key in parameter.keyed)
    found = (_operator(name)[1] for name in names)
    return sorted({name.removeprefix(TAG) for name in found if name.startswith(TAG)})


def read_parameters(query: QueryString, report: Report, known: Known) -> Parameters:
    """Check a request for `report`. ParameterErrors carries the map that clients expect."""
    given = query.given
    errors: dict[str, Any] = {}
    check = Collector(errors)

    filters = check("filter", _read_filter, given.get("filter"), report, known) or FilterPart()
    excludes = check("exclude", _read_exclude, given.get("exclude"), report, known) or ()
    groups = check("group_by", _read_groups, given.get("group_by"), report, known) or ()
    orders = check("order_by", _read_orders, given.get("order_by"), report, known, groups) or ()
    delta = check("delta", _read_delta, given.get("delta"), report) if _takes_delta(report) else None
    start = end = None
    if not report.monthly_only:
        start = check("start_date", read_date, given.get("start_date"), "start_date", known)
        end = check("end_date", read_date, given.get("end_date"), "end_date", known)
    limit = check("limit", read_integer, given.get("limit"))
    offset = check("offset", read_integer, given.get("offset"))
    currency = check("currency", read_currency_given, given.get("currency"), known)
    categories = check("category", _read_categories, given.get("category"), known) or ()
    if errors:
        raise ParameterErrors(errors)

    unknown = [name for name in given if name not in _top_level(report)]
    if unknown:
        raise ParameterErrors({name: [UNSUPPORTED] for name in unknown})

    names = tuple(sorted(dict.fromkeys(group.key for group in groups), key=query.first_position))
    _check_together(report, filters, names, orders, delta, start, end, categories)

    report = with_groups(report, frozenset(names))
    if report.monthly_only:
        filters = replace(filters, units="month")
    scope = _scope(filters, start, end, known.today)
    return Parameters(
        report=report,
        scope=scope,
        filters=combined((*filters.asked, *valued(groups))),
        excludes=combined(excludes),
        groups=names,
        named=named((*filters.asked, *groups)),
        ranked=filters.limit,
        ranked_offset=filters.offset,
        limit=_page_limit(limit),
        offset=max(offset or 0, 0),
        echoed_limit=100 if limit is None else limit,
        echoed_offset=offset or 0,
        order=_effective(orders),
        delta=delta,
        currency=currency or known.account_currency,
        categories=categories,
        echo=_echo(given, filters, groups, excludes, orders, start=start, end=end, categories=categories, scope=scope),
    )


def _takes_delta(report: Report) -> bool:
    return bool(report.deltas)


def _top_level(report: Report) -> set[str]:
    names = {*TOP_LEVEL, "currency", "category"}
    if not _takes_delta(report):
        names.discard("delta")
    if report.monthly_only:
        names -= {"start_date", "end_date"}
    return names


Read = TypeVar("Read")


class Collector:
    """Runs checks and keeps what they refuse, by parameter."""

    def __init__(self, errors: dict[str, Any]) -> None:
        self.errors = errors

    def __call__(self, name: str, read: Callable[..., Read], *arguments: Any) -> Read | None:
        try:
            return read(*arguments)
        except FieldError as error:
            self.errors[name] = error.problem
            return None


# ------------------------------------------------------------------------------------------ values of one parameter


def read_single(given: Given, problem: str) -> str:
    if given.keyed or len(given.texts) != 1:
        raise FieldError([problem])
    return given.texts[0]


def read_choice(texts: list[str], choices: Iterable[str]) -> str:
    text = texts[0] if len(texts) == 1 else str(texts)
    if text not in choices or len(texts) != 1:
        raise FieldError([f'"{text}" is not a valid choice.'])
    return text


INTEGER = re.compile(r"\s*-?[0-9]{1,30}\s*")


def integer_of(texts: list[str]) -> int:
    if len(texts) != 1 or not INTEGER.fullmatch(texts[0]):
        raise FieldError([NOT_INTEGER])
    return int(texts[0])


def date_of(text: str) -> date:
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}", text):
            raise ValueError(text)
        return date(*(int(part) for part in text.split("-")))
    except ValueError as error:
        raise FieldError([NOT_DATE]) from error


def read_integer(given: Given | None) -> int | None:
    if given is None:
        return None
    return integer_of([read_single(given, NOT_INTEGER)])


def read_date(given: Given | None, name: str, known: Known) -> date | None:
    if given is None:
        return None
    day = date_of(read_single(given, NOT_DATE))
    first = time_scope.window_start(retention_months=known.retention_months, today=known.today)
    last = known.today + timedelta(days=1)
    if not first <= day <= last:
        raise FieldError([f"Parameter {name} must be from {first} to {last}"])
    return day


def read_currency(text: str, enabled: frozenset[str]) -> str:
    code = text.upper()
    if code not in CURRENCIES:
        raise FieldError([f'"{text}" is not a valid ISO 4217 currency.'])
    if code not in enabled:
        raise FieldError([f'"{code}" is not an enabled currency.'])
    return code


def read_currency_given(given: Given | None, known: Known) -> str | None:
    if given is None:
        return None
    return read_currency(read_single(given, "Not a valid string."), known.currencies)


def _read_categories(given: Given | None, known: Known) -> tuple[str, ...]:
    if given is None:
        return ()
    if given.keyed:
        raise FieldError(["Not a valid string."])
    names = tuple(dict.fromkeys(part for text in given.texts for part in text.split(",")))
    unknown = {name for name in names if name not in known.cost_groups}
    if unknown:
        raise FieldError({"error": f"Unsupported category(ies): {unknown}"})
    return names


# --------------------------------------------------------------------------------------------------- maps of keys


def _operator(name: str) -> tuple[Operator, str]:
    prefix, colon, rest = name.partition(":")
    if colon and prefix in ("and", "or", "exact"):
        return Operator(prefix), rest
    return Operator.PLAIN, name


def check_values(values: list[str]) -> None:
    """Refuse empty and unstorable texts, telling which by their place in the list."""
    problems = {
        str(place): [BLANK if not value else NULL_CHARACTER]
        for place, value in enumerate(values)
        if not value or "\x00" in value
    }
    if problems:
        raise FieldError(problems)


@dataclass(frozen=True, kw_only=True)
class AskedKeys:
    """Keys of one parameter that are fine, those with wrong values, and those nobody knows."""

    asked: tuple[Asked, ...]
    wrong: dict[str, Any]
    unknown: dict[str, Any]

    def accepted(self) -> tuple[Asked, ...]:
        """The keys, if all are fine; wrong values are reported before unknown keys."""
        if self.wrong or self.unknown:
            raise FieldError(self.wrong or self.unknown)
        return self.asked


def read_keys(
    keyed: Mapping[str, list[str]], allowed: frozenset[str], *, tag_keys: frozenset[str], drops_tags: bool = False
) -> AskedKeys:
    """Keys with their operators. `tag_keys` are the labels that may be named; `drops_tags` ignores labels silently."""
    asked: list[Asked] = []
    wrong: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for name, values in keyed.items():
        operator, key = _operator(name)
        tag = key.startswith(TAG)
        if tag and drops_tags:
            continue
        if key not in allowed and not (tag and key.removeprefix(TAG) in tag_keys):
            unknown[name] = [UNSUPPORTED]
            continue
        try:
            check_values(values)
        except FieldError as error:
            wrong[name] = error.problem
            continue
        asked.append(Asked(key=key, operator=operator, values=tuple(values), echo=name))
    return AskedKeys(asked=tuple(asked), wrong=wrong, unknown=unknown)


@dataclass(frozen=True, kw_only=True)
class FilterPart:
    """What the parameter `filter` said."""

    asked: tuple[Asked, ...] = ()
    resolution: str | None = None
    units: str | None = None
    value: str | None = None
    limit: int | None = None
    offset: int | None = None


def _report_keys(keyed: Mapping[str, list[str]], allowed: frozenset[str], report: Report, known: Known) -> AskedKeys:
    return read_keys(keyed, allowed, tag_keys=known.tag_keys, drops_tags=not report.keeps_tags)


def _read_filter(given: Given | None, report: Report, known: Known) -> FilterPart:
    if given is None or not (given.keyed or given.texts):
        if report.required_filters:
            names = ", ".join(report.required_filters)
            raise ParameterErrors(
                {"non_field_errors": [f"MIG profiles endpoint requires filters: {names}. Missing: {names}"]}
            )
        return FilterPart()
    only_keys(given)
    problems: dict[str, Any] = {}
    check = Collector(problems)
    texts = given.keyed
    read: dict[str, Any] = {}
    choices = _time_choices(report)
    for name in TIME_KEYS:
        if name in texts:
            read[name] = check(name, choices[name], texts[name])
    ranks = () if report.monthly_only else ("limit", "offset")
    for name in ranks:
        if name in texts:
            read[name] = check(name, _read_rank, texts[name])
    own = {*TIME_KEYS, *ranks, "resource_scope"}
    keys = _report_keys(
        {name: values for name, values in texts.items() if name not in own}, report.filters, report, known
    )
    problems.update(keys.wrong)
    for part in keys.asked:
        if part.key == "infrastructures":
            check(part.echo, _check_clouds, part.values, CLOUDS)
    present = {part.key for part in keys.asked}
    for name in report.required_filters:
        if name not in present:
            problems.setdefault(name, ["This field is required."])
    if problems or keys.unknown:
        raise FieldError(problems or keys.unknown)
    check_time(read)
    return FilterPart(
        asked=keys.asked,
        resolution=read.get("resolution"),
        units=read.get("time_scope_units"),
        value=read.get("time_scope_value"),
        limit=read.get("limit"),
        offset=read.get("offset"),
    )


def only_keys(given: Given) -> None:
    if given.texts:
        raise FieldError({"non_field_errors": [NOT_MAP]})


def _time_choices(report: Report) -> Mapping[str, Callable[[list[str]], str]]:
    if report.monthly_only:
        return {
            "resolution": lambda texts: _one_of(texts, ("monthly",), "valid choice is 'monthly'"),
            "time_scope_units": lambda texts: _one_of(texts, ("month",), "valid choice is 'month'"),
            "time_scope_value": lambda texts: _one_of(
                texts, time_scope.MONTH_VALUES, f"valid choices are '{time_scope.MONTH_VALUES}'"
            ),
        }
    return TIME_CHOICES


TIME_CHOICES: Mapping[str, Callable[[list[str]], str]] = {
    "resolution": lambda texts: read_choice(texts, time_scope.RESOLUTIONS),
    "time_scope_units": lambda texts: read_choice(texts, time_scope.UNITS),
    "time_scope_value": lambda texts: read_choice(texts, (*time_scope.MONTH_VALUES, *time_scope.DAY_VALUES)),
}


def _one_of(texts: list[str], choices: tuple[str, ...], problem: str) -> str:
    if len(texts) != 1 or texts[0] not in choices:
        raise FieldError([problem])
    return texts[0]


def _read_rank(texts: list[str]) -> int:
    number = integer_of(texts)
    if number < 0:
        raise FieldError(["Ensure this value is greater than or equal to 0."])
    return number


def _check_clouds(values: tuple[str, ...], clouds: tuple[str, ...]) -> None:
    wrong = [value for value in values if value.lower() not in clouds]
    if wrong:
        raise FieldError([f'"{wrong[0]}" is not a valid choice.'])


def check_time(read: Mapping[str, Any]) -> None:
    """Units, value and resolution must fit together."""
    units, value = read.get("time_scope_units"), read.get("time_scope_value")
    if units == "month" and value is not None and value not in time_scope.MONTH_VALUES:
        raise FieldError({"time_scope_value": ["Valid values are -1, -2, -3 when time_scope_units is month"]})
    if units == "day" and value is not None and value not in time_scope.DAY_VALUES:
        raise FieldError({"time_scope_value": ["Valid values are -10, -30, -90 when time_scope_units is day"]})
    if units == "day" and value is not None and read.get("resolution") == "monthly":
        raise FieldError({"resolution": ["Valid values are daily when time_scope_units is day"]})


def _read_exclude(given: Given | None, report: Report, known: Known) -> tuple[Asked, ...]:
    if given is None:
        return ()
    only_keys(given)
    asked = _report_keys(given.keyed, report.excludes, report, known).accepted()
    for part in asked:
        if part.key == "infrastructures":
            try:
                _check_clouds(part.values, report.exclude_clouds)
            except FieldError as error:
                raise FieldError({part.echo: error.problem}) from error
    return asked


def _read_groups(given: Given | None, report: Report, known: Known) -> tuple[Asked, ...]:
    if given is None:
        return ()
    if report.monthly_only:
        raise FieldError({"non_field_errors": ["Group by queries are not allowed."]})
    only_keys(given)
    groups = _report_keys(given.keyed, report.group_by, report, known).accepted()
    if len({group.key for group in groups}) > known.max_groups:
        raise FieldError({"group_by": f"Cost Management supports a max of {known.max_groups} group_by options."})
    return groups


@dataclass(frozen=True)
class AskedOrder:
    """One key of order_by: its name in the echo, the field it sorts by, and its value as sent."""

    name: str
    field: str
    value: str


def _read_orders(
    given: Given | None, report: Report, known: Known, groups: tuple[Asked, ...]
) -> tuple[AskedOrder, ...]:
    if given is None:
        return ()
    only_keys(given)
    grouped = {group.key for group in groups}
    orders: list[AskedOrder] = []
    wrong: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for name, values in given.keyed.items():
        operator, key = _operator(name)
        if operator is Operator.OR:
            unknown[name] = f'The order_by key "{name}" can not contain the or parameter.'
        elif operator is Operator.EXACT or (key not in report.order_by and not key.startswith(TAG)):
            unknown[name] = [UNSUPPORTED]
        elif (key in report.grouped_orders or key.startswith(TAG)) and key not in grouped:
            unknown[name] = f'Order-by "{key}" requires matching Group-by.'
        else:
            try:
                value = _read_order_date(values, known) if key == "date" else read_choice(values, DIRECTIONS)
                orders.append(AskedOrder(name=name, field=report.order_by.get(key, key), value=value))
            except FieldError as error:
                wrong[name] = error.problem
    if wrong or unknown:
        raise FieldError(wrong or unknown)
    return tuple(orders)


def _read_order_date(values: list[str], known: Known) -> str:
    if len(values) != 1:
        raise FieldError([NOT_DATE])
    day = date_of(values[0])
    first = time_scope.window_start(retention_months=known.retention_months, today=known.today)
    if not first <= day <= known.today:
        raise FieldError(f"Order-by date must be from {first} to {known.today}")
    return day.isoformat()


def _read_delta(given: Given | None, report: Report) -> Delta | None:
    if given is None:
        return None
    if not report.inventory_deltas:
        text = read_choice(given.texts if not given.keyed else [str(given.keyed)], report.deltas)
        return Delta(field=report.deltas[text])
    text = read_single(given, '"" is not a valid choice.')
    if "__" in text:
        fields = text.split("__")
        if len(fields) != 2:
            raise FieldError({text: "Only two fields may be compared"})
        for name in fields:
            if name not in report.compares or not _has_field(report, name):
                raise FieldError({name: "Unsupported parameter"})
        return Delta(field=fields[0], against=fields[1])
    if text not in report.deltas:
        raise FieldError({text: "Unsupported parameter"})
    return Delta(field=report.deltas[text])


def _has_field(report: Report, name: str) -> bool:
    return name in report.measures or (name == "capacity" and report.capacity is not None)


# --------------------------------------------------------------------------------------------- rules between them


def _check_together(
    report: Report,
    filters: FilterPart,
    groups: tuple[str, ...],
    orders: tuple[AskedOrder, ...],
    delta: Delta | None,
    start: date | None,
    end: date | None,
    categories: tuple[str, ...],
) -> None:
    """Rules between parameters; the first broken one is reported."""
    check_range(start, end, with_scope=filters.units is not None or filters.value is not None)
    if start is not None and delta is not None:
        raise ParameterErrors(
            {"error": ["Delta calculation is not supported with start_date and end_date parameters."]}
        )
    if (filters.limit or filters.offset is not None) and not groups and not report.ranks_ungrouped:
        raise ParameterErrors({"error": ["filter[limit] and filter[offset] requires a valid group_by param."]})
    fields = {order.field for order in orders}
    if "delta" in fields and delta is None:
        raise ParameterErrors({"order_by": ["Cannot order by delta without a delta param"]})
    if "cost_total_distributed" in fields and "project" not in groups and not report.monthly_only:
        raise ParameterErrors(
            {"order_by": ["Cannot order by field cost_total_distributed without grouping by one of project."]}
        )
    if "storage_class" in fields and not {"persistentvolumeclaim", "storageclass"} & set(groups):
        raise ParameterErrors(
            {
                "order_by": [
                    "Cannot order by field storage_class without grouping by one of "
                    "persistentvolumeclaim, storageclass."
                ]
            }
        )
    distributed_delta = delta is not None and delta.against is None and delta.field == "cost_total_distributed"
    if distributed_delta and "project" not in groups:
        raise ParameterErrors({"delta": ["Cannot use distributed_cost delta without grouping by project."]})
    if categories and "project" not in groups:
        raise ParameterErrors({"error": ["Category may not be used without a group_by project parameter"]})


def check_range(start: date | None, end: date | None, *, with_scope: bool) -> None:
    """Both dates or none, in order, and not beside a relative time scope."""
    if (start is None) != (end is None):
        raise ParameterErrors({"error": ["The parameters [start_date, end_date] must both be defined."]})
    if start is None or end is None:
        return
    if start > end:
        raise ParameterErrors({"error": ["start_date must be a date that is before end_date."]})
    if with_scope:
        raise ParameterErrors(
            {
                "error": [
                    "The parameters [start_date, end_date] may not be ",
                    "used with the filters [time_scope_value, time_scope_units]",
                ]
            }
        )


def _scope(filters: FilterPart, start: date | None, end: date | None, today: date) -> Scope:
    if start is not None and end is not None:
        return Scope(start=start, end=end, monthly=filters.resolution == "monthly", explicit=True)
    units, value, resolution = time_scope.completed(
        units=filters.units, value=filters.value, resolution=filters.resolution
    )
    return time_scope.scope_of(units=units, value=value, resolution=resolution, today=today)


def _page_limit(limit: int | None) -> int:
    """Dates on a page: 0 is everything, anything else that makes no sense is the default."""
    if limit is None or limit < 0:
        return 100
    return min(limit, 1000)


def valued(groups: tuple[Asked, ...]) -> tuple[Asked, ...]:
    """Groups that also filter: those with values other than `*`; the value of `exact:` is ignored."""
    return tuple(group for group in groups if EVERYTHING not in group.values and group.operator is not Operator.EXACT)


def named(asked: tuple[Asked, ...]) -> dict[str, frozenset[str]]:
    """Values named literally, by key; a restricted caller may only name what the access list names."""
    named: dict[str, set[str]] = {}
    for part in asked:
        if part.operator in (Operator.PLAIN, Operator.EXACT):
            named.setdefault(part.key, set()).update(value for value in part.values if value != EVERYTHING)
    return {key: frozenset(values) for key, values in named.items() if values}


def combined(asked: tuple[Asked, ...]) -> tuple[Filter, ...]:
    """Filters by key: plain and exact values of a key are alternatives; each `or:` and `and:` list stands by itself."""
    alternatives: dict[str, list[Match]] = {}
    filters: list[Filter] = []
    for part in asked:
        if part.operator in (Operator.PLAIN, Operator.EXACT):
            exact = part.operator is Operator.EXACT
            alternatives.setdefault(part.key, []).extend(Match(value, exact) for value in part.values)
            continue
        matches = tuple(Match(value) for value in part.values)
        filters.append(Filter(key=part.key, matches=matches, every=part.operator is Operator.AND))
    filters += [Filter(key=key, matches=tuple(matches)) for key, matches in alternatives.items()]
    return tuple(filters)


def _effective(orders: tuple[AskedOrder, ...]) -> Order | None:
    """Of several orders the last one of the echo is used."""
    if not orders:
        return None
    order = _echoed_orders(orders)[-1]
    if order.field == "date":
        return Order(field="date", on_date=date.fromisoformat(order.value))
    return Order(field=order.field, descending=order.value == "desc")


def _echoed_orders(orders: tuple[AskedOrder, ...]) -> list[AskedOrder]:
    return sorted(orders, key=lambda order: order.field in RENAMED_ORDERS)


def _echo(
    given: Mapping[str, Given],
    filters: FilterPart,
    groups: tuple[Asked, ...],
    excludes: tuple[Asked, ...],
    orders: tuple[AskedOrder, ...],
    *,
    start: date | None,
    end: date | None,
    categories: tuple[str, ...],
    scope: Scope,
) -> dict[str, Any]:
    """What `meta` repeats of the request (read-api §4.1)."""
    echoed: dict[str, Any] = {part.echo: list(part.values) for part in filters.asked}
    if "filter" in given and "resource_scope" in given["filter"].keyed:
        echoed["resource_scope"] = given["filter"].keyed["resource_scope"]
    if filters.limit is not None:
        echoed["limit"] = filters.limit
    if filters.offset is not None:
        echoed["offset"] = filters.offset
    if scope.explicit:
        echoed["resolution"] = filters.resolution or "daily"
    else:
        units, value, resolution = time_scope.completed(
            units=filters.units, value=filters.value, resolution=filters.resolution
        )
        echoed |= {"resolution": resolution, "time_scope_value": value, "time_scope_units": units}
    plain = {part.key: list(part.values) for part in filters.asked if part.operator is Operator.PLAIN}
    echo: dict[str, Any] = {
        "filter": echoed,
        "group_by": {
            group.echo: plain[group.key] if group.values == (EVERYTHING,) and group.key in plain else list(group.values)
            for group in groups
        },
        "order_by": {
            order.field if order.name in ("date",) or order.field in RENAMED_ORDERS else order.name: order.value
            for order in _echoed_orders(orders)
        },
        "exclude": {part.echo: list(part.values) for part in excludes},
    }
    if start is not None and end is not None:
        echo |= {"start_date": start.isoformat(), "end_date": end.isoformat()}
    if categories:
        echo["category"] = list(categories)
    return echo
