"""Which Parquet objects a run reads (ocp-payload §6.9), and how: as data sets over the object store.

What Kura took in itself is listed in `visible_file_day`. A bucket that another writer filled has no such rows; its days
are found by the names of the objects under the Hive prefix.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from kura.aggregator.engine import Engine, Relation, translated
from kura.aggregator.line_items import Kind
from kura.aggregator.store import FileDay
from kura.core.days import DayRange, Month
from kura.core.errors import BadRequest
from kura.store.objects import ObjectStore

OWN = r"\d+\.k[0-9a-f]{12}_"
"""How Kura's own names go on after the day. They count through their rows alone: without one they are not committed."""
NAMED_BY_DAY = re.compile(rf"(?P<type>[a-z_]+)\.(?P<day>\d{{4}}-\d{{2}}-\d{{2}})\.(?!{OWN})[^/]+\.parquet")
LISTINGS_AT_ONCE = 6


@dataclass(frozen=True, kw_only=True)
class Source:
    """Whose line items."""

    schema: str
    provider_uuid: UUID

    @property
    def folder(self) -> str:
        """The tenant's part of a key: the schema without a leading `acct`."""
        return self.schema.removeprefix("acct")


def prefix_of(kind: Kind, source: Source, month: Month) -> str:
    """Where the objects of one kind and month lie."""
    grain = "daily/" if kind.daily else ""
    return (
        f"data/parquet/{grain}{source.folder}/OCP/{kind.report_type}"
        f"/source={source.provider_uuid}/year={month.year:04d}/month={month.month:02d}/"
    )


def select_objects(
    objects: ObjectStore,
    *,
    source: Source,
    kinds: Iterable[Kind],
    days: DayRange,
    visible: list[FileDay],
) -> dict[Kind, list[str]]:
    """The keys to read of every kind, for days of one month. `visible`: what Kura took in itself."""
    month = Month.of(days.start)
    known = {(file.report_type, file.day) for file in visible}

    def keys(kind: Kind) -> list[str]:
        own = (
            key
            for file in visible
            if file.report_type == kind.report_type
            for key in (file.daily_objects if kind.daily else file.hourly_objects)
        )
        unknown = {day for day in days if (kind.report_type, day) not in known}
        foreign = _keys_of_days(objects, prefix_of(kind, source, month), kind, unknown) if unknown else ()
        return list(dict.fromkeys([*own, *foreign]))

    chosen = list(kinds)
    with ThreadPoolExecutor(LISTINGS_AT_ONCE, thread_name_prefix="list-objects") as threads:
        return dict(zip(chosen, threads.map(keys, chosen), strict=True))


def _keys_of_days(objects: ObjectStore, prefix: str, kind: Kind, days: set[date]) -> list[str]:
    found = []
    for key in objects.keys(prefix):
        named = NAMED_BY_DAY.fullmatch(key.removeprefix(prefix))
        if named and named["type"] == kind.report_type and _day(named["day"]) in days:
            found.append(key)
    return found


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def open_dataset(engine: Engine, objects: ObjectStore, schema: pa.Schema, keys: list[str]) -> Relation:
    """The rows of these objects as one relation: columns by name, absent ones null, all of the types of `schema`."""
    if not keys:
        return engine.table(schema.empty_table())
    filesystem, base = objects.arrow_filesystem()
    paths = [f"{base}/{key}" for key in keys]
    try:
        rows = ds.dataset(paths, schema=schema, format=_format(), filesystem=filesystem)
    except OSError as error:
        raise translated(error) from error
    return engine.dataset(rows)


def _format() -> ds.ParquetFileFormat:
    """Checksums are verified where there are any: Arrow takes an answer that is too short for whole."""
    options = ds.ParquetFragmentScanOptions(pre_buffer=True, page_checksum_verification=True)
    return ds.ParquetFileFormat(default_fragment_scan_options=options)


def rows_in(objects: ObjectStore, key: str) -> int:
    """How many rows an object has, by its last bytes; 0 if there is none."""
    if not objects.exists(key):
        return 0
    filesystem, base = objects.arrow_filesystem()
    try:
        return int(pq.read_metadata(f"{base}/{key}", filesystem=filesystem).num_rows)
    except (OSError, pa.ArrowException) as error:
        raise translated(error) from error


def check_one_month(days: DayRange) -> None:
    if Month.of(days.start) != Month.of(days.end):
        raise BadRequest(f"{days.start} … {days.end} crosses a month; cut the range by month first.")
