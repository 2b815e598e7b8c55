"""CSV text cut into blocks of whole rows. Source: ocp-payload §4, §6.4.

Blocks are what makes conversion parallel and its memory independent of the size of the file. A block ends behind a row;
a line break inside a quoted cell is not the end of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from kura.workers.ocp.refusal import FileRefused

BLOCK_BYTES = 4 * 2**20
LONGEST_ROW_BYTES = 64 * 2**20
BOM = b"\xef\xbb\xbf"

QUOTE = ord('"')
_CELL_EDGE = np.zeros(256, dtype=bool)
_CELL_EDGE[[ord(","), ord("\n"), ord("\r")]] = True
_OPENING = re.compile(rb'(?:\A|(?<=[,\n\r]))"')
_CLOSING = re.compile(rb'"(?!")')


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class Block:
    """Whole rows; `first_line` is the number, from 1, of the line in the file that the first of them begins on."""

    text: bytes
    first_line: int


def row_blocks(csv: Readable, *, block_bytes: int) -> Iterator[Block]:
    """The text of a CSV file in blocks of whole rows.

    In      UTF-8 text, with or without byte order mark, lines ending with LF or CRLF
    Out     blocks without NUL characters, each at most one row longer than `block_bytes`
    Errors  FileRefused: a quoted cell that never ends, a row longer than LONGEST_ROW_BYTES
    Source  ocp-payload §4, §6.4
    """
    carried = b""
    line = 1
    while chunk := csv.read(block_bytes):
        if not carried and line == 1:
            chunk = chunk.removeprefix(BOM)
        text = carried + chunk.replace(b"\0", b"")
        end = end_of_rows(text)
        if end:
            yield Block(text[:end], line)
            line += text.count(b"\n", 0, end)
        elif len(text) > LONGEST_ROW_BYTES:
            raise FileRefused(f"line {line}: the row is longer than {LONGEST_ROW_BYTES // 2**20} MiB or never ends")
        carried = text[end:]
    if not carried:
        return
    if end_of_rows(carried + b"\n") <= len(carried):
        raise FileRefused(f"line {line}: a quoted cell that begins in this row or a later one never ends")
    yield Block(carried, line)


def end_of_rows(text: bytes) -> int:
    """Length of the longest beginning of `text` that consists of whole rows. `text` begins with a row."""
    if QUOTE not in text:
        return text.rfind(b"\n") + 1
    quotes = _paired_quotes(text)
    return _last_break_between(text, quotes) if quotes is not None else _last_break_scanning(text)


def _paired_quotes(text: bytes) -> np.ndarray | None:
    """Positions of all quotes when they open and close cells as RFC 4180 says; None when some do not."""
    characters = np.frombuffer(text, dtype=np.uint8)
    quotes = np.flatnonzero(characters == QUOTE)
    opening, closing = quotes[0::2], quotes[1::2]
    begins = (opening == 0) | _CELL_EDGE[characters[np.maximum(opening - 1, 0)]]
    last = len(characters) - 1
    ends = (closing == last) | _CELL_EDGE[characters[np.minimum(closing + 1, last)]]
    # `""` inside a quoted cell looks like a cell that closes and another that opens at once: the pairing stays right
    doubled = np.concatenate(([False], opening[1:] == closing[: len(opening) - 1] + 1))
    doubled_next = np.concatenate((doubled[1:], [False]))[: len(closing)]
    paired = (begins | doubled).all() and (ends | doubled_next).all()
    return quotes if paired else None


def _last_break_between(text: bytes, quotes: np.ndarray) -> int:
    """End of the last line break that has an even number of quotes before it."""
    end = len(text)
    while (found := text.rfind(b"\n", 0, end)) >= 0:
        before = int(np.searchsorted(quotes, found))
        if before % 2 == 0:
            return found + 1
        end = int(quotes[before - 1])
    return 0


def _last_break_scanning(text: bytes) -> int:
    """The same for text with quotes in the middle of cells: they mean themselves, only a leading quote opens a cell."""
    last = position = 0
    while (opening := _OPENING.search(text, position)) is not None:
        last = max(last, text.rfind(b"\n", position, opening.start()) + 1)
        position = opening.end()
        while True:
            closing = _CLOSING.search(text, position)
            if closing is None:
                return last
            run = closing.start()
            while run > position and text[run - 1] == QUOTE:
                run -= 1
            position = closing.end()
            if (closing.end() - run) % 2:
                break
    return max(last, text.rfind(b"\n", position) + 1)
