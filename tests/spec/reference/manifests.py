"""Manifests, hours per day, and which of several payloads of a day counts (ocp-payload §3.2, §6.3–§6.6, D1, D2)."""

import io
import json
import math
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from reference.csv_reports import BadReport, Row, read_report

Day = tuple[str, date]
"""A report type and a day."""


@dataclass(frozen=True)
class Manifest:
    uuid: str
    cluster_id: str
    date: datetime
    files: tuple[str, ...]
    version: str
    daily_reports: bool
    start: datetime | None
    end: datetime | None

    @property
    def additive(self) -> bool:
        """§6.3: payloads of operators before 3.0 add to what is stored instead of replacing it."""
        return not self.daily_reports


def read_manifest(content: bytes) -> Manifest:
    given = json.loads(content)
    start, end = _moment(given.get("start")), _moment(given.get("end"))
    moment = _moment(given["date"])
    assert moment is not None
    return Manifest(
        uuid=given["uuid"],
        cluster_id=given["cluster_id"],
        date=moment,
        files=tuple(given.get("files") or ()),
        version=given.get("version") or "",
        daily_reports=bool(given.get("daily_reports")),
        start=start,
        end=corrected_end(start, end),
    )


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def corrected_end(start: datetime | None, end: datetime | None) -> datetime | None:
    """An end on the first of another month is moved to midnight of the last day of start's month."""
    if start is None or end is None:
        return end
    if (start.year, start.month) == (end.year, end.month) or end.day != 1:
        return end
    following = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
    return datetime.combine(following.date() - timedelta(days=1), time(), tzinfo=UTC)


def hours_per_day(start: datetime | None, end: datetime | None) -> dict[date, int]:
    """For every day of [start, end]: the hours covered, a begun hour counts."""
    if start is None or end is None:
        return {}
    hours = {}
    day = start.date()
    while day <= end.date():
        midnight = datetime.combine(day, time(), tzinfo=UTC)
        covered = min(end, midnight + timedelta(days=1)) - max(start, midnight)
        hours[day] = math.ceil(covered / timedelta(hours=1))
        day += timedelta(days=1)
    return hours


@dataclass(frozen=True)
class FileDay:
    """The hourly rows of one file, type and day, and what decides whether they count."""

    report_type: str
    day: date
    manifest_uuid: str
    name: str
    hours: int
    additive: bool
    order: int
    """When the manifest was first accepted: 1 for the first upload."""
    rows: list[Row]


def ingest_file(manifest: Manifest, name: str, content: bytes, *, order: int) -> list[FileDay]:
    """The days of one CSV; an empty or unknown file has none, a broken one raises."""
    report = read_report(content)
    if report is None or report.report_type is None:
        return []
    by_day: dict[date, list[Row]] = {}
    for row in report.rows:
        moment = row["interval_start"]
        assert isinstance(moment, datetime)
        by_day.setdefault(moment.date(), []).append(row)

    given_hours = hours_per_day(manifest.start, manifest.end)
    return [
        FileDay(
            report_type=report.report_type,
            day=day,
            manifest_uuid=manifest.uuid,
            name=name,
            hours=0 if manifest.additive else given_hours.get(day) or len({row["interval_start"] for row in rows}),
            additive=manifest.additive,
            order=order,
            rows=rows,
        )
        for day, rows in by_day.items()
    ]


def ingest_archive(content: bytes, *, order: int) -> tuple[Manifest, list[FileDay]]:
    """All file days of one archive; a broken CSV is left out, alone (D5)."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        members = {member.name: archive.extractfile(member) for member in archive.getmembers() if member.isfile()}
        contents = {name: stream.read() for name, stream in members.items() if stream is not None}
    manifest = read_manifest(contents["manifest.json"])
    days: list[FileDay] = []
    for name in manifest.files:
        if name not in contents:
            continue
        try:
            days += ingest_file(manifest, name, contents[name], order=order)
        except BadReport:
            continue
    return manifest, days


def visible(file_days: Iterable[FileDay]) -> list[FileDay]:
    """What counts: of the replacing manifests of a (type, day) the one with most hours, ties to the later;
    additive files unless a replacing manifest came after them. A repeated (manifest, file) counts once."""
    distinct: dict[tuple[str, date, str, str], FileDay] = {}
    for file_day in file_days:
        distinct.setdefault((file_day.report_type, file_day.day, file_day.manifest_uuid, file_day.name), file_day)

    chosen: list[FileDay] = []
    for group in _by_type_and_day(distinct.values()).values():
        replacing = [file_day for file_day in group if not file_day.additive]
        winner = max(replacing, key=lambda file_day: (file_day.hours, file_day.order), default=None)
        if winner is not None:
            chosen += [file_day for file_day in replacing if file_day.manifest_uuid == winner.manifest_uuid]
        latest = max((file_day.order for file_day in replacing), default=0)
        chosen += [file_day for file_day in group if file_day.additive and file_day.order > latest]
    return chosen


def _by_type_and_day(file_days: Iterable[FileDay]) -> dict[Day, list[FileDay]]:
    groups: dict[Day, list[FileDay]] = {}
    for file_day in file_days:
        groups.setdefault((file_day.report_type, file_day.day), []).append(file_day)
    return groups


def hourly_rows(file_days: Sequence[FileDay], report_type: str) -> list[Row]:
    return [row for file_day in file_days if file_day.report_type == report_type for row in file_day.rows]
