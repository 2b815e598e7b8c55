"""A valid query string of a report, taken apart in plain Python (read-api §2)."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from urllib.parse import unquote_plus

OPERATORS = ("and", "or", "exact")
TIME_NAMES = ("resolution", "time_scope_units", "time_scope_value")
RENAMED = {
    "cost": "cost_total",
    "infrastructure": "infra_total",
    "infrastructure_cost": "infra_total",
    "supplementary": "sup_total",
    "supplementary_cost": "sup_total",
    "distributed_cost": "cost_total_distributed",
    "cost_model_gpu_cost": "cost_total",
}
DELTAS = {"cost": "cost_total", "distributed_cost": "cost_total_distributed"}


@dataclass(frozen=True)
class Condition:
    """One key of filter, exclude or group_by with its values."""

    sent: str
    operator: str
    key: str
    values: list[str]


@dataclass
class Request:
    """Everything a query string says."""

    raw: str
    pairs: list[tuple[str, str]]
    plain: dict[str, str] = field(default_factory=dict)
    filters: list[Condition] = field(default_factory=list)
    excludes: list[Condition] = field(default_factory=list)
    groups: list[Condition] = field(default_factory=list)
    orders: list[tuple[str, str]] = field(default_factory=list)
    times: dict[str, str] = field(default_factory=dict)
    rank_limit: int | None = None
    rank_offset: int | None = None
    categories: list[str] = field(default_factory=list)

    @property
    def group_names(self) -> list[str]:
        """Outer group first: by where its name first occurs anywhere in the query string."""
        text = unquote_plus(self.raw)
        return sorted(dict.fromkeys(group.key for group in self.groups), key=text.index)

    @property
    def order(self) -> tuple[str, str] | None:
        """Several orders are echoed with the renamed ones last; the last one counts."""
        return self.echoed_orders[-1] if self.orders else None

    @property
    def echoed_orders(self) -> list[tuple[str, str]]:
        kept = [order for order in self.orders if order[0] not in RENAMED]
        renamed = [(RENAMED[name], way) for name, way in self.orders if name in RENAMED]
        return kept + renamed

    @property
    def delta(self) -> str | None:
        asked = self.plain.get("delta")
        return None if asked is None else DELTAS.get(asked, asked)


def read_request(raw: str) -> Request:
    pairs = []
    maps: dict[str, dict[str, list[str]]] = {"filter": {}, "exclude": {}, "group_by": {}, "order_by": {}}
    request = Request(raw=raw, pairs=pairs)
    for part in filter(None, raw.split("&")):
        name, value = (unquote_plus(text) for text in part.split("=", 1))
        pairs.append((name, value))
        if "[" in name:
            parameter, key = name.rstrip("]").split("[", 1)
            maps[parameter].setdefault(key, []).extend(value.split(","))
        elif name == "category":
            request.categories.extend(value.split(","))
        else:
            request.plain[name] = value
    for key, values in maps["filter"].items():
        if key in TIME_NAMES:
            request.times[key] = values[0]
        elif key == "limit":
            request.rank_limit = int(values[0])
        elif key == "offset":
            request.rank_offset = int(values[0])
        else:
            request.filters.append(condition(key, values))
    request.excludes = [condition(key, values) for key, values in maps["exclude"].items()]
    request.groups = [condition(key, values) for key, values in maps["group_by"].items()]
    request.orders = [(key, values[0]) for key, values in maps["order_by"].items()]
    return request


def condition(sent: str, values: list[str]) -> Condition:
    head, colon, rest = sent.partition(":")
    if colon and head in OPERATORS:
        return Condition(sent, head, rest, values)
    return Condition(sent, "", sent, values)


# ------------------------------------------------------------------------------------------------------------- time


@dataclass(frozen=True)
class Window:
    """The days of an answer and how a delta finds the days before."""

    start: date
    end: date
    monthly: bool
    months_back: bool = False
    days_back: int = 0
    dates_given: bool = False

    def bucket(self, day: date) -> str:
        return day.isoformat()[: 7 if self.monthly else 10]

    @property
    def days(self) -> list[date]:
        return [self.start + timedelta(days=n) for n in range((self.end - self.start).days + 1)]

    @property
    def buckets(self) -> list[str]:
        return sorted({self.bucket(day) for day in self.days})

    def earlier(self, day: date) -> date:
        if not self.months_back:
            return day - timedelta(days=self.days_back)
        last_of_previous = day.replace(day=1) - timedelta(days=1)
        return last_of_previous.replace(day=min(day.day, last_of_previous.day))

    def earlier_bucket(self, bucket: str) -> str:
        return self.bucket(self.earlier(date.fromisoformat(bucket if len(bucket) == 10 else f"{bucket}-01")))

    @property
    def before(self) -> "Window":
        return Window(self.earlier(self.start), self.earlier(self.end), self.monthly)


def window_of(request: Request, today: date, *, by_month: bool) -> tuple[Window, dict[str, str]]:
    """The days asked for, and the completed values that are echoed (read-api §2.3)."""
    times = request.times
    if "start_date" in request.plain:
        resolution = times.get("resolution", "daily")
        start, end = (date.fromisoformat(request.plain[name]) for name in ("start_date", "end_date"))
        return Window(start, end, resolution == "monthly", dates_given=True), {"resolution": resolution}
    units = times.get("time_scope_units")
    value = times.get("time_scope_value") or ("-1" if units == "month" or by_month else "-10")
    months = value in ("-1", "-2", "-3")
    units = units or ("month" if months else "day")
    resolution = times.get("resolution") or ("monthly" if months else "daily")
    echo = {"time_scope_units": units, "time_scope_value": value, "resolution": resolution}
    count = -int(value)
    if units == "day":
        return Window(today - timedelta(days=count - 1), today, resolution == "monthly", days_back=count), echo
    first = today.replace(day=1)
    last = today
    for _ in range(count - 1):
        last = first - timedelta(days=1)
        first = last.replace(day=1)
    return Window(first, last, resolution == "monthly", months_back=True), echo
