"""The daily summary as Parquet, which the cloud pipelines read (ocp-pipeline §9.3).

One object per day, unrounded doubles, labels as JSON text. Objects are written during the run and appear when it is
committed; days of the range without rows lose theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kura.aggregator.inputs import Source
from kura.core.days import DayRange
from kura.store.objects import ObjectStore, ObjectWriter

TABLE = "reporting_ocpusagelineitem_daily_summary"


def summary_key(source: Source, day: date) -> str:
    """Where the summary of one source and day lies."""
    return (
        f"data/parquet/daily/{source.folder}/OCP/{TABLE}/source={source.provider_uuid}"
        f"/year={day.year:04d}/month={day.month:02d}/day={day.day:02d}/summary.parquet"
    )


class SummaryObjects:
    """The summaries of the days of one run, not visible before `publish`."""

    def __init__(self, objects: ObjectStore, *, source: Source, days: DayRange) -> None:
        self._objects = objects
        self._source = source
        self._days = days
        self._open: dict[date, tuple[ObjectWriter, pq.ParquetWriter]] = {}

    @classmethod
    @contextmanager
    def of_run(cls, objects: ObjectStore, *, source: Source, days: DayRange) -> Iterator[SummaryObjects]:
        """Unpublished objects are forgotten at the end of the block."""
        written = cls(objects, source=source, days=days)
        try:
            yield written
        finally:
            written._abort()

    def add(self, rows: pa.RecordBatchReader) -> None:
        """Take in rows of any days of the range."""
        for batch in rows:
            for day in pc.unique(batch["usage_start"]).to_pylist():
                of_day = batch.filter(pc.equal(batch["usage_start"], pa.scalar(day, pa.date32())))
                self._writer(day, batch.schema).write_batch(of_day)

    def publish(self) -> None:
        """Let readers see the new summaries."""
        written = list(self._open)
        while self._open:
            writer, parquet = self._open.pop(next(iter(self._open)))
            parquet.close()
            writer.close()
        self._objects.delete(summary_key(self._source, day) for day in self._days if day not in written)

    def _writer(self, day: date, schema: pa.Schema) -> pq.ParquetWriter:
        if day not in self._open:
            writer = self._objects.open_write(summary_key(self._source, day))
            target: Any = writer
            self._open[day] = (writer, pq.ParquetWriter(target, schema, compression="snappy", write_page_checksum=True))
        return self._open[day][1]

    def _abort(self) -> None:
        for writer, parquet in self._open.values():
            try:
                parquet.close()
            finally:
                writer.abort()
        self._open.clear()
