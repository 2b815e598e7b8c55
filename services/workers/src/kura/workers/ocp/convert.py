"""One report file of a payload → hourly and daily Parquet by day, in local files. Source: ocp-payload §4–§6.9.

    text ──blocks of rows──► typed blocks ──chunks, by day──► hourly Parquet ──► daily Parquet
                (several threads)           (one writer)                (one engine per day)

Memory is bounded whatever the size of the file: a few blocks are in flight, one chunk is being collected, one is being
written. The order of rows in the output depends on the input alone.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from types import TracebackType

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kura.workers.ocp import daily
from kura.workers.ocp.cells import DayWindow, Layout, TypedBlock, labels_as_json, read_header, type_block
from kura.workers.ocp.labels import LabelTexts
from kura.workers.ocp.refusal import FileRefused
from kura.workers.ocp.report_types import MOST_SECONDS_OF_A_DAY, ReportType, recognise
from kura.workers.ocp.rows import BLOCK_BYTES, Block, Readable, first_row, row_blocks
from kura.workers.ocp.times import MS_PER_DAY, day_of

CHUNK_ROWS = 200_000
CHUNK_BYTES = 24 * 2**20
ROW_GROUP_ROWS = 65_536
MOST_DAYS = 400  # of one file; a day is one open Parquet file

NOTE_EMPTY = "empty"
NOTE_UNKNOWN_TYPE = "unknown_type"


@dataclass(frozen=True, kw_only=True)
class DayPart:
    """What one file brought for one day."""

    day: date
    rows: int
    distinct_hours: int
    hourly: Path
    daily: tuple[Path, ...]  # several when the day is too diverse to be grouped in memory at once


@dataclass(frozen=True, kw_only=True)
class Converted:
    """One converted file. `report_type` is None when nothing in it is for us; `note` then says why."""

    report_type: ReportType | None
    rows: int = 0
    days: tuple[DayPart, ...] = ()
    dropped: Counter[str] = field(default_factory=Counter)
    cells: Counter[str] = field(default_factory=Counter)
    tag_keys: frozenset[str] = frozenset()
    note: str | None = None


class Converter(AbstractContextManager["Converter"]):
    """The threads and engines that conversion runs on. One per process; several files may be converted at once."""

    def __init__(
        self,
        directory: Path,
        *,
        threads: int,
        engine_memory_bytes: int = 96 * 2**20,
        block_bytes: int = BLOCK_BYTES,
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        pa.array([0])  # pyarrow loads pandas at its first conversion: a second that no payload should wait
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="convert")
        self._threads = threads
        self._block_bytes = block_bytes
        self._chunk_rows = chunk_rows
        self._engine_memory_bytes = engine_memory_bytes
        self._directory = directory
        self._engines: SimpleQueue[duckdb.DuckDBPyConnection] = SimpleQueue()
        self._opened: list[duckdb.DuckDBPyConnection] = []
        self._opening = Lock()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)
        for engine in self._opened:
            engine.close()

    def convert(
        self, csv: Readable, directory: Path, window: DayWindow, check: Callable[[], None] = lambda: None
    ) -> Converted:
        """Convert one file.

        In      its bytes; an empty directory for the output; the days that are taken; `check` is called now and then
                and ends the work by raising
        Out     local Parquet files by day, counts, the tag keys seen
        Rule    the type is recognised by columns; an empty file or an unknown type is done with a note; a file with
                nothing but a header brings no days
        Errors  FileRefused in words for the sender: no interval_start, not UTF-8, unending quote, unreadable date-time
        Source  ocp-payload §5.1, §6, §7
        """
        blocks = _with_header(csv, block_bytes=self._block_bytes)
        first = next(blocks, None)
        if first is None:
            return Converted(report_type=None, note=NOTE_EMPTY)
        header = read_header(first.text)
        if "interval_start" not in header.sent:
            raise FileRefused("line 1: there is no column interval_start")
        report_type = recognise(header.sent)
        if report_type is None:
            return Converted(report_type=None, note=NOTE_UNKNOWN_TYPE)

        layout = Layout(report_type=report_type, header=header, window=window)
        hourly = _HourlyFiles(directory, layout)
        dropped: Counter[str] = Counter()
        cells: Counter[str] = Counter()
        try:
            self._write_hourly(self._typed(blocks, layout, check), hourly, dropped, cells)
        finally:
            hourly.close()
        return Converted(
            report_type=report_type,
            rows=sum(part.rows for part in hourly.parts.values()),
            days=tuple(self._pool_map_daily(hourly, report_type, directory)),
            dropped=dropped,
            cells=cells,
            tag_keys=frozenset(hourly.labels.tag_keys),
        )

    def _typed(self, blocks: Iterator[Block], layout: Layout, check: Callable[[], None]) -> Iterator[TypedBlock]:
        """Typed blocks in the order of the file, a few being worked on ahead."""
        running: deque[Future[TypedBlock]] = deque()
        try:
            for block in blocks:
                check()
                running.append(self._pool.submit(type_block, block, layout))
                if len(running) > self._threads + 1:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()

    def _write_hourly(
        self, typed: Iterator[TypedBlock], hourly: _HourlyFiles, dropped: Counter[str], cells: Counter[str]
    ) -> None:
        """Collect blocks to chunks; while one is collected the one before is written."""
        chunk: list[pa.Table] = []
        rows = size = 0
        writing: Future[None] | None = None
        try:
            for block in typed:
                dropped.update(block.dropped)
                cells.update(block.cells)
                chunk.append(block.table)
                rows += block.table.num_rows
                size += block.table.nbytes
                if rows >= self._chunk_rows or size >= CHUNK_BYTES:
                    if writing is not None:
                        writing.result()
                    writing = self._pool.submit(hourly.write, chunk)
                    chunk, rows, size = [], 0, 0
        finally:
            if writing is not None:
                writing.exception()  # a file that is closed while it is being written ends the process
        if writing is not None:
            writing.result()
        if rows:
            hourly.write(chunk)

    def _pool_map_daily(self, hourly: _HourlyFiles, report_type: ReportType, directory: Path) -> Iterator[DayPart]:
        def write(day: date) -> DayPart:
            part = hourly.parts[day]
            engine = self._engine()
            try:
                written = daily.write_daily(engine, part.path, report_type, day, directory)
            finally:
                self._engines.put(engine)
            return DayPart(day=day, rows=part.rows, distinct_hours=len(part.starts), hourly=part.path, daily=written)

        days = sorted(hourly.parts)
        if len(days) == 1:
            yield write(days[0])
            return
        yield from self._pool.map(write, days)

    def _engine(self) -> duckdb.DuckDBPyConnection:
        with self._opening:
            if not self._engines.empty() or len(self._opened) == self._threads:
                return self._engines.get()
            engine = daily.open_engine(self._directory, memory_bytes=self._engine_memory_bytes)
            self._opened.append(engine)
            return engine


def _with_header(csv: Readable, *, block_bytes: int) -> Iterator[Block]:
    """The header row alone, then the rows behind it. Empty lines before the header do not count."""
    blocks = row_blocks(csv, block_bytes=block_bytes)
    for block in blocks:
        text = block.text.lstrip(b"\r\n")
        if not text:
            continue
        header = first_row(text)
        line = block.first_line + block.text.count(b"\n", 0, len(block.text) - len(text))
        yield Block(header, line)
        if len(header) < len(text):
            yield Block(text[len(header) :], line + header.count(b"\n"))
        break
    yield from blocks


def _repeats(column: str) -> bool:
    """True for columns whose values come again from row to row; measured amounts do not."""
    return "usage" not in column and "uptime" not in column


@dataclass
class _HourlyPart:
    path: Path
    writer: pq.ParquetWriter
    rows: int = 0
    starts: set[int] = field(default_factory=set)
    seconds: Counter[str] = field(default_factory=Counter)  # how much the columns of seconds add up to


class _HourlyFiles:
    """The hourly Parquet files of one report file, one per day, written chunk by chunk."""

    def __init__(self, directory: Path, layout: Layout) -> None:
        self.parts: dict[date, _HourlyPart] = {}
        self.labels = LabelTexts()
        self._directory = directory
        self._layout = layout
        self._schema = layout.schema

    def write(self, blocks: list[pa.Table]) -> None:
        """Sort the rows of a chunk by day and append them to the files of their days."""
        chunk = pa.concat_tables(blocks).unify_dictionaries().combine_chunks()
        chunk = labels_as_json(chunk, self._layout, self.labels)
        starts = chunk["interval_start"].combine_chunks().cast(pa.int64()).to_numpy()
        days = (starts // MS_PER_DAY).astype(np.int32)
        if (days[1:] < days[:-1]).any():
            order = np.argsort(days, kind="stable")
            chunk, starts, days = chunk.take(pa.array(order)), starts[order], days[order]
        edges = np.flatnonzero(np.diff(days)) + 1
        seconds = {name: np.abs(chunk[name].to_numpy()) for name in self._layout.report_type.seconds}
        for first, last in zip([0, *edges.tolist()], [*edges.tolist(), len(days)], strict=True):
            day = day_of(int(starts[first]))
            part = self._part(day)
            part.rows += last - first
            for name, amounts in seconds.items():
                part.seconds[name] += amounts[first:last].sum()
                if part.seconds[name] > MOST_SECONDS_OF_A_DAY:
                    raise FileRefused(f"on {day} the values of {name} add up to more than any cluster can use")
            part.starts.update(np.unique(starts[first:last]).tolist())
            for offset in range(first, last, ROW_GROUP_ROWS):
                rows = chunk.slice(offset, min(ROW_GROUP_ROWS, last - offset))
                part.writer.write_table(rows.cast(self._schema))

    def _part(self, day: date) -> _HourlyPart:
        part = self.parts.get(day)
        if part is None:
            if len(self.parts) >= MOST_DAYS:
                raise FileRefused(f"the file holds more than {MOST_DAYS} days")
            path = self._directory / f"{day}.hourly.parquet"
            writer = pq.ParquetWriter(
                path,
                self._schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=[name for name in self._schema.names if _repeats(name)],
                write_page_checksum=True,  # a store may hand out fewer or other bytes than it was given
                store_schema=False,  # columns are what they are, not what Arrow held them as
            )
            part = self.parts[day] = _HourlyPart(path, writer)
        return part

    def close(self) -> None:
        for part in self.parts.values():
            part.writer.close()
