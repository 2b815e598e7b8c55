"""Blocks of whole rows: their edges are edges of rows, whatever is quoted (ocp-payload §4)."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kura.workers.ocp.refusal import FileRefused
from kura.workers.ocp.rows import end_of_rows, row_blocks

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
    ],
)
def test_the_end_of_the_last_whole_row_is_found(text, rows):
    assert text[: end_of_rows(text)] == rows


def test_a_row_that_is_too_long_refuses_the_file():
    with pytest.raises(FileRefused, match="line 2: the row is longer than 64 MiB"):
        list(row_blocks(io.BytesIO(b"a,b\n" + b"x" * (66 * 2**20)), block_bytes=8 * 2**20))
