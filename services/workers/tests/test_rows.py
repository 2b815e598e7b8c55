"""Blocks of whole rows: their edges are edges of rows, whatever is quoted (ocp-payload §4)."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kura.workers.ocp.refusal import FileRefused
from kura.workers.ocp.rows import RowEnds, first_row, row_blocks

CELLS = st.text(alphabet='ab",\n\r', max_size=6)
ROWS = st.lists(st.lists(CELLS, min_size=2, max_size=4), max_size=12)


def written(rows: list[list[str]], quoting: int) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=quoting).writerows(rows)
    return text.getvalue().encode()


def read(text: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.decode(), newline="")))


@given(ROWS, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.integers(1, 40))
@settings(deadline=None)
def test_the_rows_of_all_blocks_are_the_rows_of_the_file(rows, quoting, size):
    text = written(rows, quoting)
    blocks = list(row_blocks(io.BytesIO(text), block_bytes=size))

    assert b"".join(block.text for block in blocks) == text
    assert [row for block in blocks for row in read(block.text)] == read(text)


@given(ROWS, st.integers(1, 40))
@settings(deadline=None)
def test_the_first_line_of_every_block_is_counted(rows, size):
    text = written(rows, csv.QUOTE_MINIMAL)
    line = 1
    for block in row_blocks(io.BytesIO(text), block_bytes=size):
        assert block.first_line == line
        line += block.text.count(b"\n")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (b"", b""),
        (b"a,b", b""),
        (b"a,b\nc", b"a,b\n"),
        (b'a,"b\nc', b""),
        (b'x\na,"b\nc', b"x\n"),
        (b'x\na,"b\n"\nc', b'x\na,"b\n"\n'),
        (b'a,5" x\nb,"c\nd', b'a,5" x\n'),
        (b'a,5" x\nb,5" y\nz', b'a,5" x\nb,5" y\n'),
        (b'"a"b,c\n"d\n', b'"a"b,c\n'),
        (b'"""\n"\nx', b'"""\n"\n'),
        (b'"",""\n"', b'"",""\n'),
        (b'a\n"""', b"a\n"),
        (b'"a""b"\n""\n"', b'"a""b"\n""\n'),
        (b'a"b\n"c"d"e\n"f\n', b'a"b\n"c"d"e\n'),
    ],
)
def test_the_end_of_the_last_whole_row_is_found(text, rows):
    assert text[: RowEnds().last_in(text)] == rows


SHREDS = st.lists(st.sampled_from(['"', '""', '"""', ",", "\n", "\r\n", "\r", "a", 'b"', '","']), max_size=30).map(
    "".join
)


def end_read_plainly(text: str) -> int:
    """The end of the last LF outside of quoted cells, one character after the other."""
    end, quoted, at_edge, position = 0, False, True, 0
    while position < len(text):
        character = text[position]
        if quoted and text.startswith('""', position):
            position += 1
        elif character == '"' and (quoted or at_edge):
            quoted = not quoted
        elif character == "\n" and not quoted:
            end = position + 1
        at_edge = not quoted and character in ",\n\r"
        position += 1
    return end


@given(SHREDS, st.integers(1, 8))
@settings(deadline=None)
def test_rows_of_any_shreds_end_where_a_plain_reading_says(text, size):
    rows, left, end = RowEnds(), b"", 0
    for start in range(0, len(text), size):
        left += text[start : start + size].encode()
        found = rows.last_in(left)
        left, end = left[found:], end + found

    trailing = text.rstrip('"')
    assert end == max(end_read_plainly(trailing), 0)
    assert RowEnds().last_in(text.encode()) == end


@given(SHREDS)
@settings(deadline=None)
def test_the_first_row_of_any_shreds_is_that_of_a_plain_reading(text):
    rows = list(io.StringIO(text, newline=""))
    first = ""
    while rows:
        first += rows.pop(0)
        if end_read_plainly(first.rstrip("\r\n") + "\n") > len(first.rstrip("\r\n")):
            break

    assert first_row(text.encode()).decode() == first


def test_a_row_that_is_too_long_refuses_the_file():
    with pytest.raises(FileRefused, match="line 2: the row is longer than 16 MiB"):
        list(row_blocks(io.BytesIO(b"a,b\n" + b"x" * (18 * 2**20)), block_bytes=4 * 2**20))
