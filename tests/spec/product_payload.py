"""The product's own ingestion of one CSV, in the form of the reference, for comparison."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
from reference.csv_reports import BadReport, HourlyReport, Row, read_report
from reference.csv_reports import discovered_keys as reference_keys
from reference.daily import daily_rows
from reference.labels import read_label_json

from kura.workers.ocp.cells import DayWindow
from kura.workers.ocp.convert import Converter
from kura.workers.ocp.refusal import FileRefused

EVERY_DAY = DayWindow(first=date(1970, 1, 1), last=date(9999, 12, 30))


class Reading:
    """One CSV as read: hourly and daily rows, dropped rows, keys for tag settings. Row order has no meaning."""

    def __init__(
        self, *, report_type: str | None, hourly: list[Row], daily: list[Row], dropped: Counter[str], tag_keys: set[str]
    ) -> None:
        self.report_type = report_type
        self.hourly = hourly
        self.daily = daily
        self.dropped = dropped
        self.tag_keys = tag_keys


class Reference:
    """The plain rules."""

    def read(self, content: bytes) -> Reading:
        report = read_report(content, first=EVERY_DAY.first, last=EVERY_DAY.last) or HourlyReport(None)
        return Reading(
            report_type=report.report_type,
            hourly=report.rows,
            daily=daily_rows(report.report_type, report.rows) if report.report_type else [],
            dropped=report.dropped,
            tag_keys=reference_keys(report, read_label_json),
        )


class Product:
    """The same through Arrow, DuckDB and Parquet, in pieces of a few rows."""

    def __init__(self, converter: Converter, directory: Path) -> None:
        self._converter = converter
        self._directory = directory

    def read(self, content: bytes) -> Reading:
        with TemporaryDirectory(dir=self._directory) as output:
            try:
                done = self._converter.convert(io.BytesIO(content), Path(output), EVERY_DAY)
            except FileRefused as refused:
                raise BadReport(str(refused)) from refused
            return Reading(
                report_type=done.report_type.name if done.report_type else None,
                hourly=[row for part in done.days for row in pq.read_table(part.hourly).to_pylist()],
                daily=[row for part in done.days for row in pq.read_table(list(part.daily)).to_pylist()],
                dropped=done.dropped,
                tag_keys=set(done.tag_keys),
            )


@contextmanager
def product(directory: Path) -> Iterator[Product]:
    with Converter(directory, threads=2, block_bytes=2000, chunk_rows=7) as converter:
        yield Product(converter, directory)


def assert_read_alike(ingestion: Product, content: bytes) -> None:
    """The product takes the file as the plain rules do: refused, or the same rows kept and dropped."""
    expected, found = outcome(Reference(), content), outcome(ingestion, content)

    assert (expected is None) == (found is None)
    if expected is None or found is None:
        return
    assert found.report_type == expected.report_type
    assert found.dropped == expected.dropped
    for read, right in ((found.hourly, expected.hourly), (found.daily, expected.daily)):
        names = set(right[0]) if right else set()
        assert compared([{k: v for k, v in row.items() if k in names} for row in read]) == compared(right)
    assert found.tag_keys == expected.tag_keys


def outcome(rules: Reference | Product, content: bytes) -> Reading | None:
    try:
        return rules.read(content)
    except BadReport:
        return None


def compared(rows: list[Row]) -> list[dict[str, object]]:
    """Rows without order, numbers rounded: sums of another order may differ in the last digit."""

    def value(found: object) -> object:
        return f"{found + 0.0:.12g}" if isinstance(found, float) else found  # no negative zero

    return sorted(({name: value(found) for name, found in row.items()} for row in rows), key=repr)
