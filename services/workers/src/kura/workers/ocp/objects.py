"""Where things lie in the object store. Source: ocp-payload §2.3, §6.9.

Names of Parquet objects follow from the manifest, the file, the day and nothing else, so a retry replaces its own
objects. The part made from the file name begins with `k`, where Koku writes a counter: so an object of ours that no row
speaks of is never taken for one of Koku's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from kura.core.days import Month
from kura.store.tables.tenant import DAILY_SUMMARY
from kura.workers.ocp.report_types import REPORT_TYPES

_OWN_NAME = re.compile(r"/[a-z_]+\.\d{4}-\d\d-\d\d\.\d+\.k[0-9a-f]{12}_(?:daily_)?\d+\.parquet\Z")
_PARTITION = re.compile(r"/year=(\d{4})/month=(0[1-9]|1[0-2])/")
_DATE = re.compile(r"/date=(\d{4})-(0[1-9]|1[0-2])-\d\d/")
LONGEST_PART = 200  # bytes of one part of a key; stores allow 255


@dataclass(frozen=True, kw_only=True)
class SourcePlace:
    """The part of the object store that belongs to one source."""

    schema: str
    provider_uuid: UUID

    @property
    def account(self) -> str:
        return self.schema.removeprefix("acct")

    def hourly(self, report_type: str, month: Month) -> str:
        return f"data/parquet/{self.account}/OCP/{report_type}/{self._partition(month)}"

    def daily(self, report_type: str, month: Month) -> str:
        return f"data/parquet/daily/{self.account}/OCP/{report_type}/{self._partition(month)}"

    def optimization_key(self, *, file_name: str, day: date) -> str:
        """Of a file for the right-sizing service, kept as it was sent."""
        return f"{self.schema}/source={self.provider_uuid}/date={day}/{short_name(file_name, LONGEST_PART)}"

    def parquet_prefixes(self) -> Iterator[str]:
        """Hourly and daily data of every month."""
        for report_type in (*(t.name for t in REPORT_TYPES), "openshift"):
            for grain in ("", "daily/"):
                yield f"data/parquet/{grain}{self.account}/OCP/{report_type}/source={self.provider_uuid}/"

    def prefixes(self) -> Iterator[str]:
        """Everything that was ever stored for the source, also by Koku."""
        yield f"data/csv/{self.account}/OCP/source={self.provider_uuid}/"
        yield from self.parquet_prefixes()
        yield f"data/parquet/daily/{self.account}/OCP/{DAILY_SUMMARY.name}/source={self.provider_uuid}/"
        yield f"{self.schema}/source={self.provider_uuid}/"

    def _partition(self, month: Month) -> str:
        return f"source={self.provider_uuid}/year={month.year:04d}/month={month.month:02d}/"


@dataclass(frozen=True, kw_only=True)
class FileDayObjects:
    """Keys of what one report file brought for one day."""

    hourly: str
    daily: tuple[str, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.hourly, *self.daily)


def file_day_objects(
    place: SourcePlace, *, report_type: str, day: date, manifest_id: int, report_name: str, daily_files: int
) -> FileDayObjects:
    month = Month.of(day)
    stem = f"{report_type}.{day}.{manifest_id}.k{hashlib.sha256(report_name.encode()).hexdigest()[:12]}"
    return FileDayObjects(
        hourly=f"{place.hourly(report_type, month)}{stem}_0.parquet",
        daily=tuple(f"{place.daily(report_type, month)}{stem}_daily_{part}.parquet" for part in range(daily_files)),
    )


def is_own_name(key: str) -> bool:
    """True for a Parquet object that ingestion wrote; what Koku wrote stays whatever rows say."""
    return _OWN_NAME.search(key) is not None


def month_of_key(key: str) -> Month | None:
    """The month a key belongs to, by its partition or its date."""
    found = _PARTITION.search(key) or _DATE.search(key)
    return Month(int(found[1]), int(found[2])) if found else None


def short_name(name: str, longest: int) -> str:
    """The name, or a beginning of it that a digest makes as good as unique; `longest` counts bytes."""
    encoded = name.encode()
    if len(encoded) <= longest:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:16]
    return f"{encoded[: longest - len(digest) - 1].decode(errors='ignore')}~{digest}"
