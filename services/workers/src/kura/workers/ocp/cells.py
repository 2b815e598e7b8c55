"""One block of CSV rows → one typed Arrow table. Pure; runs in several threads at once. Source: ocp-payload §4–6.

Text columns are dictionary encoded: names, dates and label cells repeat from hour to hour, so whatever has to be done
to a text is done once per distinct text. Label cells stay as sent here; they become JSON once per chunk of blocks.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from kura.workers.ocp import gpu
from kura.workers.ocp.labels import LabelTexts
from kura.workers.ocp.refusal import FileRefused
from kura.workers.ocp.report_types import (
    GPU_USAGE,
    LARGEST,
    LARGEST_PLAUSIBLE,
    LONGEST,
    LONGEST_LABELS,
    LONGEST_TEXT,
    LONGEST_USUAL,
    REPORT_TYPES,
    TIME_COLUMNS,
    Kind,
    ReportType,
)
from kura.workers.ocp.rows import Block
from kura.workers.ocp.times import MS_PER_DAY, epoch_ms, first_ms

TIMESTAMP = pa.timestamp("ms")
TEXT = pa.dictionary(pa.int32(), pa.string())
MOST_COLUMNS = 1000
LABELS_AT_ONCE = 10_000  # distinct cells that are Python text at a time
LONGEST_SHOWN = 60  # characters of a bad cell in a message
KNOWN_COLUMNS = frozenset(name for report_type in REPORT_TYPES for name in report_type.kinds)

ROW_TOO_LONG = "too_many_fields"
ROW_IMPLAUSIBLE = "implausible_value"
ROW_NOT_FINITE = "not_a_finite_number"
ROW_NAME_TOO_LONG = "name_too_long"
ROW_IN_FUTURE = "after_tomorrow"
ROW_EXPIRED = "before_retention"

CELL_NOT_NUMERIC = "not_numeric"
CELL_NEGATIVE = "negative"
CELL_TOO_LONG = "too_long"


@dataclass(frozen=True, kw_only=True)
class Header:
    """The first row of a file: cell names as sent, and the names their columns get when stored."""

    sent: tuple[str, ...]
    stored: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DayWindow:
    """Days whose rows are taken; others are dropped and counted (§7)."""

    first: date
    last: date


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the blocks of one file are read."""

    report_type: ReportType
    header: Header
    window: DayWindow

    @property
    def extra(self) -> tuple[str, ...]:
        """Unknown columns by stored name: kept as text in hourly data."""
        known = set(self.report_type.kinds)
        return tuple(name for name in self.header.stored if name not in known)

    @property
    def schema(self) -> pa.Schema:
        """Schema of the hourly data (§6.9), the same for every file of the type except for extra columns."""
        physical = {Kind.TIME: TIMESTAMP, Kind.NUMBER: pa.float64(), Kind.NULLABLE_NUMBER: pa.float64()}
        known = [(name, physical.get(self.report_type.kind(name), pa.string())) for name in self.report_type.columns]
        return pa.schema([*known, *((name, pa.string()) for name in self.extra)])


@dataclass(frozen=True, kw_only=True)
class TypedBlock:
    """Rows that passed all rules, in the columns of the layout's schema, text dictionary encoded."""

    table: pa.Table
    dropped: Counter[str]  # rows, by reason
    cells: Counter[str]  # cells read by a rule worth counting


def read_header(first_row: bytes) -> Header:
    """Names of the columns.

    In      the first row of the file
    Rule    stored name = lower case, every run of other characters than letters, digits, `_` becomes `_`; names that
            would collide are numbered; a known column is only known under its exact name
    Errors  FileRefused: not UTF-8, more than MOST_COLUMNS columns, a known column twice
    Source  ocp-payload §4, §6.7
    """
    try:
        cells = next(csv.reader(io.StringIO(first_row.decode("utf-8"), newline="")), [])
    except UnicodeDecodeError as error:
        raise FileRefused("line 1: the text is not UTF-8") from error
    except csv.Error as error:
        raise FileRefused(f"line 1: the header cannot be read: {error}") from error
    if len(cells) > MOST_COLUMNS:
        raise FileRefused(f"line 1: the header has more than {MOST_COLUMNS} columns")
    repeated = next((name for name, times in Counter(cells).items() if times > 1 and name in KNOWN_COLUMNS), None)
    if repeated is not None:
        raise FileRefused(f"line 1: the column {repeated} is there twice")
    taken: set[str] = set()
    exact = {cell for cell in cells if cell == stored_name(cell)} | KNOWN_COLUMNS
    stored = []
    for position, cell in enumerate(cells, start=1):
        name = stored_name(cell) or f"column_{position}"
        if name in taken or (name in exact and name != cell):
            name = next(n for i in range(2, MOST_COLUMNS + 2) if (n := f"{name}_{i}") not in taken | exact)
        taken.add(name)
        stored.append(name)
    return Header(sent=tuple(cells), stored=tuple(stored))


def stored_name(column: str) -> str:
    return re.sub(r"\W+", "_", column.lower())


def type_block(block: Block, layout: Layout) -> TypedBlock:
    """Type the rows of one block and drop those that must not count.

    In      whole rows of a file with this layout
    Out     the layout's columns; text of columns that the file has is never null, numbers are finite, times UTC;
            label cells as sent
    Rule    §4 typing; §6.4 rows longer than the header dropped, shorter ones filled with ""; §6.7 values above 1e18
            dropped, effective usage = max(usage, request) per row; §5.7 GPU names; §7 NaN, infinity and days outside
            the window dropped. All is counted
    Errors  FileRefused naming line, column and value: not UTF-8, a date-time that cannot be read
    Source  ocp-payload §4–§7
    """
    dropped: Counter[str] = Counter()
    cells: Counter[str] = Counter()
    raw = _parse(block, layout, dropped, cells)

    columns: dict[str, pa.Array] = {}
    keep = np.ones(raw.num_rows, dtype=bool)
    for name in TIME_COLUMNS:
        columns[name] = _times(raw, name, block, layout)
    _drop(keep, _outside(columns["interval_start"], layout.window, dropped), dropped, None)
    for name, kind in layout.report_type.kinds.items():
        if kind in (Kind.NUMBER, Kind.NULLABLE_NUMBER) and name not in layout.report_type.derived:
            columns[name] = _numbers(raw, name, layout.report_type, keep, dropped, cells)
        elif kind is Kind.TEXT and name in raw.column_names:
            _drop(keep, _longer_than(raw, name, LONGEST.get(name, LONGEST_TEXT)), dropped, ROW_NAME_TOO_LONG)
            cells[CELL_TOO_LONG] += int((keep & _longer_than(raw, name, LONGEST_USUAL.get(name, LONGEST_TEXT))).sum())
        elif kind is Kind.LABELS:
            cells[CELL_TOO_LONG] += int(_longer_than(raw, name, LONGEST_LABELS).sum())

    every = bool(keep.all())
    typed = raw if every else raw.filter(pa.array(keep))
    columns = {name: column if every else column.filter(pa.array(keep)) for name, column in columns.items()}
    for effective, usage, request in layout.report_type.effective:
        columns[effective] = pa.array(np.maximum(columns[usage].to_numpy(), columns[request].to_numpy()))
    for name, kind in layout.report_type.kinds.items():
        if kind in (Kind.TEXT, Kind.LABELS):
            columns[name] = _text(typed, name, compact=not every)
    if layout.report_type is GPU_USAGE:
        columns |= _normalised_gpus(columns)
    columns |= {name: _one(typed[name]) for name in layout.extra}

    names = layout.schema.names
    return TypedBlock(table=pa.table([columns[name] for name in names], names=names), dropped=+dropped, cells=+cells)


def labels_as_json(chunk: pa.Table, layout: Layout, labels: LabelTexts) -> pa.Table:
    """The same rows with label cells as JSON text.

    In      typed rows whose dictionaries hold no text that no row uses; `labels` collects the keys for tag settings
    Out     the same columns
    Rule    every distinct cell is read once; keys count for tag settings only in the columns of §6.10
    Errors  none
    Source  ocp-payload §4.1, §6.10
    """
    for name, kind in layout.report_type.kinds.items():
        if kind is Kind.LABELS:
            cells = _one(chunk[name])
            of_tags = name in layout.report_type.tag_key_columns
            texts = [
                pa.array(labels.read_all(some.to_pylist(), of_tags=of_tags), pa.string())
                for some in _slices(cells.dictionary, LABELS_AT_ONCE)
            ]
            column = pa.DictionaryArray.from_arrays(cells.indices, pa.concat_arrays(texts))
            chunk = chunk.set_column(chunk.column_names.index(name), name, column)
    return chunk


def _slices(array: pa.Array, rows: int) -> list[pa.Array]:
    return [array.slice(start, rows) for start in range(0, len(array), rows)] or [array]


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _parse(block: Block, layout: Layout, dropped: Counter[str], cells: Counter[str]) -> pa.Table:
    """The block as text, date and label cells dictionary encoded, numbers as float64 with null for empty cells."""
    _check_utf8(block)
    table, lengths = _parse_rows(block.text, block, layout, cells)
    dropped[ROW_TOO_LONG] += lengths.too_long
    if not lengths.filled:
        return table
    filled, _ = _parse_rows("\n".join(lengths.filled).encode(), block, layout, cells)
    return pa.concat_tables([table, filled]).unify_dictionaries().combine_chunks()


class _Lengths:
    """Rows that have not as many fields as the header: too long ones are counted, short ones filled up."""

    def __init__(self) -> None:
        self.too_long = 0
        self.filled: list[str] = []

    def __call__(self, row: arrow_csv.InvalidRow) -> str:
        if row.actual_columns > row.expected_columns:
            self.too_long += 1
        else:
            self.filled.append(row.text + "," * (row.expected_columns - row.actual_columns))
        return "skip"


def _parse_rows(text: bytes, block: Block, layout: Layout, cells: Counter[str]) -> tuple[pa.Table, _Lengths]:
    lengths = _Lengths()
    try:
        table = _read_csv(text, layout, lengths, numbers=pa.float64())
        if not _has_nan(table):
            return table, lengths
    except pa.ArrowInvalid:  # a cell that is no number
        pass
    lengths = _Lengths()
    try:
        table = _read_csv(text, layout, lengths, numbers=pa.string())
    except pa.ArrowInvalid as error:
        raise FileRefused(f"the rows from line {block.first_line} on cannot be read: {error}") from error
    return _with_lenient_numbers(table, layout, cells), lengths


def _read_csv(text: bytes, layout: Layout, lengths: _Lengths, *, numbers: pa.DataType) -> pa.Table:
    kinds = layout.report_type.kinds
    types = {
        name: numbers if layout.report_type.is_number(name) else TEXT for name in layout.header.stored if name in kinds
    }
    types |= dict.fromkeys(layout.extra, pa.string())
    return arrow_csv.read_csv(
        pa.BufferReader(text),
        read_options=arrow_csv.ReadOptions(
            column_names=layout.header.stored, use_threads=False, block_size=len(text) + 1
        ),
        parse_options=arrow_csv.ParseOptions(newlines_in_values=b'"' in text, invalid_row_handler=lengths),
        convert_options=arrow_csv.ConvertOptions(
            column_types=types, null_values=[""], strings_can_be_null=False, check_utf8=False
        ),
    )


def _has_nan(table: pa.Table) -> bool:
    """Arrow takes texts such as `nan(1)` for a number too. What a cell is must not depend on the cells beside it."""
    return any(pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py() for column in table.columns)


def _with_lenient_numbers(table: pa.Table, layout: Layout, cells: Counter[str]) -> pa.Table:
    """Number columns that were read as text, read again one distinct text at a time."""
    for position, name in enumerate(table.column_names):
        if name in layout.report_type.kinds and layout.report_type.is_number(name):
            texts = _one(table[name]).dictionary_encode()
            distinct = texts.dictionary.to_pylist()
            values = [_number(text) for text in distinct]
            not_numeric = np.array([_number(text) is None and bool(text.strip()) for text in distinct], dtype=bool)
            if not_numeric.any():
                cells[CELL_NOT_NUMERIC] += int(not_numeric[texts.indices.to_numpy()].sum())
            table = table.set_column(position, name, pa.array(values, pa.float64()).take(texts.indices))
    return table


def _number(text: str) -> float | None:
    if "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _check_utf8(block: Block) -> None:
    if block.text.isascii():
        return
    try:
        block.text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = block.first_line + block.text.count(b"\n", 0, error.start)
        raise FileRefused(f"line {line}: the text is not UTF-8") from error


# ── times ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _times(raw: pa.Table, name: str, block: Block, layout: Layout) -> pa.Array:
    """A date-time column; null throughout when the file does not have it."""
    if name not in raw.column_names:
        return pa.nulls(raw.num_rows, TIMESTAMP)
    texts = _one(raw[name])
    moments = [epoch_ms(text) for text in texts.dictionary.to_pylist()]
    if None in moments:
        raise _bad_time(name, block, layout)
    return pa.array(np.array(moments, dtype=np.int64)[texts.indices.to_numpy()]).cast(TIMESTAMP)


def _bad_time(name: str, block: Block, layout: Layout) -> FileRefused:
    """Find the line; slow, but once per refused file."""
    position = layout.header.stored.index(name)
    reader = csv.reader(io.StringIO(block.text.decode("utf-8"), newline=""))
    line, value = block.first_line, ""
    csv.field_size_limit(2**31 - 1)
    for row in reader:
        if row and len(row) <= len(layout.header.stored):
            value = row[position] if position < len(row) else ""
            if epoch_ms(value) is None:
                break
        line = block.first_line + reader.line_num
    shown = value if len(value) <= LONGEST_SHOWN else value[:LONGEST_SHOWN] + "…"
    return FileRefused(
        f'line {line}, column {name}: "{shown}" is not a UTC date-time such as 2025-01-01 00:00:00 +0000 UTC'
    )


def _outside(starts: pa.Array, window: DayWindow, dropped: Counter[str]) -> np.ndarray:
    """Rows of days that are not taken."""
    moments = starts.cast(pa.int64()).to_numpy()
    expired = moments < first_ms(window.first)
    future = moments >= first_ms(window.last) + MS_PER_DAY
    dropped[ROW_EXPIRED] += int(expired.sum())
    dropped[ROW_IN_FUTURE] += int(future.sum())
    outside: np.ndarray = expired | future
    return outside


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _numbers(
    raw: pa.Table,
    name: str,
    report_type: ReportType,
    keep: np.ndarray,
    dropped: Counter[str],
    cells: Counter[str],
) -> pa.Array:
    """A number column; clears `keep` where the row has an impossible value."""
    nullable = report_type.kind(name) is Kind.NULLABLE_NUMBER
    if name not in raw.column_names:
        return pa.nulls(raw.num_rows, pa.float64())
    column = _one(raw[name])
    values = column.fill_null(0.0).to_numpy()
    if not len(values):
        return column
    if values.min() < 0:
        cells[CELL_NEGATIVE] += int((values < 0).sum())
    with np.errstate(all="ignore"):
        if not np.isfinite(values.sum()):
            _drop(keep, np.isnan(values) | (values == -np.inf), dropped, ROW_NOT_FINITE)
        largest = LARGEST.get(name, LARGEST_PLAUSIBLE)
        if not (values.max() <= largest and values.min() >= -largest):
            _drop(keep, np.abs(values) > largest, dropped, ROW_IMPLAUSIBLE)
    return column if nullable else pa.array(values)


def _drop(keep: np.ndarray, bad: np.ndarray, dropped: Counter[str], reason: str | None) -> None:
    """Take the bad rows out of `keep`; a row is counted once, for the first reason found."""
    if reason is not None:
        dropped[reason] += int((keep & bad).sum())
    keep &= ~bad


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _text(typed: pa.Table, name: str, *, compact: bool) -> pa.Array:
    """A text column, null throughout when the file has none. `compact` forgets texts that no row has any more."""
    if name not in typed.column_names:
        return pa.nulls(typed.num_rows, TEXT)
    column = _one(typed[name])
    return column.dictionary_decode().dictionary_encode() if compact else column


def _longer_than(raw: pa.Table, name: str, characters: int) -> np.ndarray:
    """Rows whose text has more characters."""
    column = _one(raw[name])
    lengths = pc.utf8_length(column.dictionary).to_numpy()
    if not len(lengths) or lengths.max() <= characters:
        return np.zeros(len(column), dtype=bool)
    too_long: np.ndarray = lengths[column.indices.to_numpy()] > characters
    return too_long


def _mapped(column: pa.DictionaryArray, rule: Callable[[str], str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(
        column.indices, pa.array([rule(text) for text in column.dictionary.to_pylist()], pa.string())
    )


def _normalised_gpus(columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """GPU names, slices as integers, MIG columns. Rows of whole GPUs (empty profile) else stay as sent.

    Source  ocp-payload §5.7, example 8.5
    """
    models = _mapped(columns["gpu_model_name"], gpu.model_name)
    changed: dict[str, pa.Array] = {
        "gpu_vendor_name": _mapped(columns["gpu_vendor_name"], gpu.vendor_name),
        "gpu_model_name": models,
        "gpu_max_slices": pc.trunc(columns["gpu_max_slices"]),
    }
    slices = changed["gpu_max_slices"].to_pylist()
    kinds = list(zip(columns["mig_profile"].to_pylist(), models.to_pylist(), slices, strict=True))
    known = {kind: gpu.partition(kind[0], model=kind[1], sent_max_slices=kind[2]) for kind in set(kinds) if kind[0]}
    found = [known.get(kind) for kind in kinds]
    if not known:
        return changed
    partitioned = np.array([p is not None for p in found])
    whole = pa.array(np.array([p is not None and not p.known for p in found]))
    for name in ("mig_instance_id", "mig_profile", "mig_strategy"):
        texts = columns[name].cast(pa.string())
        changed[name] = pc.if_else(whole, pa.scalar(None, pa.string()), texts).dictionary_encode()
    numbers = {
        "gpu_max_slices": [p.max_slices if p else None for p in found],
        "mig_slice_count": [p.slice_count if p else None for p in found],
        "mig_memory_capacity_mib": [p.memory_capacity_mib if p else None for p in found],
    }
    for name, values in numbers.items():
        changed[name] = pc.if_else(pa.array(partitioned), pa.array(values, pa.float64()), (columns | changed)[name])
    return changed


def _one(column: pa.ChunkedArray) -> pa.Array:
    """The column in one piece, without a copy when it is one already."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
