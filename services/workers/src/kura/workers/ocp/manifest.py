"""manifest.json of an operator payload: checked once, here. Source: ocp-payload §3.2, error table §7."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from datetime import date as Day
from typing import Any, TypeVar
from uuid import UUID

import orjson

from kura.core.days import DayRange, Month, days_in_month
from kura.core.errors import PayloadRefused

T = TypeVar("T")

LARGEST_MANIFEST_BYTES = 10 * 2**20
LONGEST_CLUSTER_ID = 50  # width of the database column
LONGEST_FILE_NAME = 512
LONGEST_KEPT = 4096  # characters of texts that are only shown
MOST_FILES = 10_000
LONGEST_RANGE = timedelta(days=4000)  # more than the longest retention, 120 months

NO_DATA_YEAR = 1
"""Go's zero time: the operator collected nothing."""

LAST_YEAR = 9999
"""Of what Python and PostgreSQL both count; days of it have none behind them."""

NO_TEXT = "an error that is not text"

ERROR_SECTIONS = ("authentication", "packaging", "upload", "prometheus", "source")
"""Parts of cr_status whose `error` is kept."""

_FRACTION = re.compile(r"([.,]\d+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What one payload says of itself. All times are UTC."""

    uuid: UUID
    cluster_id: str
    date: datetime  # when it was packaged
    files: tuple[str, ...]
    resource_optimization_files: tuple[str, ...]
    version: str
    operator_version: str
    start: datetime | None
    end: datetime | None
    certified: bool
    daily_reports: bool
    cluster_channel: str | None
    operator_airgapped: bool
    operator_errors: dict[str, str] | None
    collection_message: str | None
    hours_per_day: dict[Day, int] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()  # names of fields that were null or of no use and took their default

    @property
    def additive(self) -> bool:
        """True when its rows add to what other manifests brought for a day instead of replacing it (§6.3)."""
        return not self.daily_reports

    @property
    def collected_nothing(self) -> bool:
        return any(t is not None and t.year == NO_DATA_YEAR for t in (self.start, self.end))

    @property
    def month(self) -> Month:
        """Month of the billing period: that of `start`, else of `date`."""
        if self.start is not None and not self.collected_nothing:
            return Month.of(self.start.date())
        return Month.of(self.date.date())

    @property
    def last_day(self) -> Day:
        """Last day this payload may speak of; decides whether it is older than retention (§6.1)."""
        if self.end is not None and not self.collected_nothing:
            return self.end.date()
        return Month.of(self.date.date()).last


def read_manifest(text: bytes, *, releases: Mapping[str, str] | None = None) -> Manifest:
    """Check and read manifest.json.

    In      its bytes; `releases` maps operator git commits to release names
    Rule    unknown fields are ignored; null counts as absent where a default exists; times without a zone are UTC;
            `operator_version` in the file is not believed but looked up from `version`
    Errors  PayloadRefused naming the field
    Source  ocp-payload §3.2
    """
    if len(text) > LARGEST_MANIFEST_BYTES:
        raise _refused(f"manifest.json is larger than {LARGEST_MANIFEST_BYTES // 2**20} MiB")
    try:
        fields = orjson.loads(text.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise _refused(f"manifest.json is not valid JSON: {error}") from error
    if not isinstance(fields, dict):
        raise _refused("manifest.json is not a JSON object")

    ignored: list[str] = []
    version = _kept(_optional(fields, "version", str, "", ignored))
    cr_status = _optional(fields, "cr_status", dict, {}, ignored)
    start = _time(fields, "start")
    end = _time(fields, "end")
    if start is not None and end is not None:
        start, end = _within_month(start, end)
    files = _file_names(fields, "files")
    return Manifest(
        uuid=_uuid4(fields),
        cluster_id=_cluster_id(fields),
        date=_required_time(fields, "date"),
        files=files,
        resource_optimization_files=_file_names(fields, "resource_optimization_files"),
        version=version,
        operator_version=(releases or {}).get(version, version),
        start=start,
        end=end,
        certified=_optional(fields, "certified", bool, False, ignored),
        daily_reports=_optional(fields, "daily_reports", bool, False, ignored),
        cluster_channel=_text_or_none(cr_status.get("clusterVersion")),
        operator_airgapped=not _section(cr_status, "upload").get("upload"),
        operator_errors=_errors(cr_status),
        collection_message=_text_or_none(_section(cr_status, "reports").get("data_collection_message")),
        hours_per_day=hours_per_day(start, end),
        ignored=tuple(ignored),
    )


def hours_per_day(start: datetime | None, end: datetime | None) -> dict[Day, int]:
    """Hours of data of every day from start to end, begun hours counting whole.

    Rule    hours of a day = ceil(overlap of [start, end] with the day / 1 h); both ends' days are present, also with 0
    Errors  none; nothing known gives an empty dict
    Source  ocp-payload §3.2 (2), example 8.3
    """
    if start is None or end is None or NO_DATA_YEAR in (start.year, end.year) or end.year == LAST_YEAR:
        return {}
    if not timedelta(0) <= end - start <= LONGEST_RANGE:
        return {}
    hours = {}
    for day in DayRange(start.date(), end.date()):
        midnight = datetime.combine(day, time(), UTC)
        overlap = min(end, midnight + timedelta(days=1)) - max(start, midnight)
        hours[day] = math.ceil(overlap / timedelta(hours=1))
    return hours


def mask_details(message: str) -> str:
    """A collection message without the query texts in its braces (§3.2)."""
    return re.sub(r"{[^{}]*}", "{***}", message)


def _within_month(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """An `end` on the first day of another month means the last day of start's month (§3.2 (1))."""
    if (start.year, start.month) == (end.year, end.month) or end.day != 1 or start.year == NO_DATA_YEAR:
        return start, end
    last = start.replace(day=days_in_month(start.date()))
    return start, datetime.combine(last.date(), time(), UTC)


def _refused(message: str, reason_code: str = "invalid_manifest") -> PayloadRefused:
    return PayloadRefused(message, reason_code=reason_code)


def _required(fields: dict[str, Any], name: str) -> Any:
    if fields.get(name) is None:
        raise _refused(f"manifest.json has no {name}")
    return fields[name]


def _optional(fields: dict[str, Any], name: str, kind: type[T], default: T, ignored: list[str]) -> T:
    if name not in fields:
        return default
    value = fields[name]
    if value is None:
        ignored.append(name)
        return default
    if not isinstance(value, kind):
        raise _refused(f"manifest.json: {name} is not a {_json_name(kind)}")
    return value


def _json_name(kind: type) -> str:
    return {str: "string", bool: "boolean", dict: "object"}[kind]


def _uuid4(fields: dict[str, Any]) -> UUID:
    value = _required(fields, "uuid")
    try:
        uuid = UUID(value) if isinstance(value, str) and len(value) == 36 else None
    except ValueError:
        uuid = None
    if uuid is None or uuid.version != 4:
        raise _refused("manifest.json: uuid is not a version 4 UUID")
    return uuid


def _cluster_id(fields: dict[str, Any]) -> str:
    value = _required(fields, "cluster_id")
    if not isinstance(value, str) or not is_plain_name(value):
        raise _refused("manifest.json: cluster_id is empty or not a plain name")
    if len(value) > LONGEST_CLUSTER_ID:
        raise _refused(f"manifest.json: cluster_id is longer than {LONGEST_CLUSTER_ID} characters")
    return value


def is_plain_name(name: str) -> bool:
    """True for a name that stays in its directory, whoever uses it as a path."""
    return (
        bool(name) and name != "." and not any(part in name for part in ("/", "\\", "..")) and not _CONTROL.search(name)
    )


def _file_names(fields: dict[str, Any], name: str) -> tuple[str, ...]:
    names = fields.get(name)
    if names is None:  # Go writes null for an empty list
        return ()
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise _refused(f"manifest.json: {name} is not a list of file names")
    if len(names) > MOST_FILES:
        raise _refused(f"manifest.json: {name} names more than {MOST_FILES} files")
    for file_name in names:
        if not is_plain_name(file_name):
            raise _refused(f"manifest.json: {name} holds a path instead of a plain file name")
        if len(file_name) > LONGEST_FILE_NAME:
            raise _refused(f"manifest.json: {name} holds a file name longer than {LONGEST_FILE_NAME} characters")
    if len(set(names)) != len(names):
        raise _refused(f"manifest.json: {name} names a file twice")
    return tuple(names)


def _time(fields: dict[str, Any], name: str) -> datetime | None:
    value = fields.get(name)
    if value is None:
        return None
    try:
        if not isinstance(value, str):
            raise ValueError
        moment = datetime.fromisoformat(_FRACTION.sub(lambda found: found.group()[:7], value))
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _refused(f"manifest.json: {name} is not an RFC 3339 date-time") from None


def _required_time(fields: dict[str, Any], name: str) -> datetime:
    _required(fields, name)
    moment = _time(fields, name)
    assert moment is not None
    return moment


def _section(cr_status: dict[str, Any], name: str) -> dict[str, Any]:
    section = cr_status.get(name)
    return section if isinstance(section, dict) else {}


def _errors(cr_status: dict[str, Any]) -> dict[str, str] | None:
    found = {f"{section}_error": _section(cr_status, section).get("error") for section in ERROR_SECTIONS}
    errors = {name: _kept(error) if isinstance(error, str) else NO_TEXT for name, error in found.items() if error}
    return errors or None


def _text_or_none(value: Any) -> str | None:
    return _kept(value) if isinstance(value, str) and value else None


def _kept(text: str) -> str:
    """As much of a text as a column of the database takes and a page shows."""
    return text[:LONGEST_KEPT].replace("\0", "")
