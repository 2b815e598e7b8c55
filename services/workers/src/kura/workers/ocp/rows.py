"""CSV text cut into blocks of whole rows. Source: ocp-payload §4, §6.4.

Blocks are what makes conversion parallel and its memory independent of the size of the file. A block ends behind a row;
a line break inside a quoted cell is not the end of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from kura.workers.ocp.refusal import FileRefused

BLOCK_BYTES = 4 * 2**20
LONGEST_ROW_BYTES = 16 * 2**20
BOM = b"\xef\xbb\xbf"

QUOTE, LF, CR = ord('"'), ord("\n"), ord("\r")
_CELL_EDGE = np.zeros(256, dtype=bool)
_CELL_EDGE[[ord(","), LF, CR]] = True


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class Block:
    """Whole rows; `first_line` is the number, from 1, of the line in the file that the first of them begins on."""

    text: bytes
    first_line: int


def row_blocks(csv: Readable, *, block_bytes: int) -> Iterator[Block]:
    """The text of a CSV file in blocks of whole rows.

    In      UTF-8 text, with or without byte order mark, lines ending with LF, CRLF or CR
    Out     blocks without NUL characters, each at most one row longer than `block_bytes`
    Errors  FileRefused: a quoted cell that never ends, a row longer than LONGEST_ROW_BYTES
    Source  ocp-payload §4, §6.4
    """
    carried = b""
    line = 1
    rows = RowEnds()
    while chunk := csv.read(block_bytes):
        if not carried and line == 1:
            chunk = chunk.removeprefix(BOM)
        text = carried + chunk.replace(b"\0", b"")
        end = rows.last_in(text)
        if end:
            yield Block(text[:end], line)
            line += text.count(b"\n", 0, end)
        elif len(text) > LONGEST_ROW_BYTES:
            raise FileRefused(f"line {line}: the row is longer than {LONGEST_ROW_BYTES // 2**20} MiB or never ends")
        carried = text[end:]
    if not carried:
        return
    if not rows.ends_with(carried):
        raise FileRefused(f"line {line}: a quoted cell that begins in this row or a later one never ends")
    yield Block(carried, line)


class RowEnds:
    """Finds where rows end in text that grows, looking at every character once."""

    def __init__(self) -> None:
        self._seen = 0
        self._quoted = False  # whether what was seen ends inside a quoted cell

    def last_in(self, text: bytes) -> int:
        """Length of the longest beginning that consists of whole rows and ends with LF. The text begins with a row: it
        is what the last call left over, and what came since."""
        stop = max(self._seen, len(text.rstrip(b'"')))  # more quotes may follow the last ones
        if text.find(b'"', self._seen, stop) < 0:
            end = 0 if self._quoted else text.rfind(b"\n", self._seen, stop) + 1
        else:
            piece = _Quoting(text, self._seen, stop, quoted=self._quoted)
            breaks = np.flatnonzero(piece.characters == LF)
            outside = breaks[~piece.quoted_at(breaks)]
            end = self._seen + int(outside[-1]) + 1 if len(outside) else 0
            self._quoted = piece.ends_quoted
        self._seen = stop - end
        return end

    def ends_with(self, rest: bytes) -> bool:
        """Whether the text that the last call left over may be the end of the file."""
        self.last_in(rest + b"\n")
        return not self._quoted


def first_row(text: bytes) -> bytes:
    """The first row of a text, with the line break behind it: LF, CRLF or CR."""
    if QUOTE not in text:
        ends = [end for end in (text.find(b"\n"), text.find(b"\r")) if end >= 0]
        end = min(ends, default=len(text) - 1)
    else:
        piece = _Quoting(text, 0, len(text), quoted=False)
        breaks = np.flatnonzero((piece.characters == LF) | (piece.characters == CR))
        outside = breaks[~piece.quoted_at(breaks)]
        end = int(outside[0]) if len(outside) else len(text) - 1
    return text[: end + 2] if text[end : end + 2] == b"\r\n" else text[: end + 1]


class _Quoting:
    """Which characters of a piece of text are inside quoted cells, for any text, also where quotes make no sense.

    A quote at the beginning of a cell opens it, and any other quote outside of a quoted cell is a character. Inside,
    two quotes are a character and one closes. So of each run of quotes only three things matter: a run of even length
    changes nothing, one of odd length at the edge of a cell opens or closes, any other of odd length closes.
    """

    def __init__(self, text: bytes, start: int, stop: int, *, quoted: bool) -> None:
        self.characters = np.frombuffer(text, dtype=np.uint8)[start:stop]
        quotes = np.flatnonzero(self.characters == QUOTE)
        firsts = np.flatnonzero(np.concatenate(([True], np.diff(quotes) > 1)))
        odd = np.diff(np.append(firsts, len(quotes))) % 2 == 1
        self._runs = quotes[firsts]
        at_edge = _CELL_EDGE[self.characters[np.maximum(self._runs - 1, 0)]]
        if len(quotes) and quotes[0] == 0:
            at_edge[0] = start == 0 or _CELL_EDGE[text[start - 1]]
        turns = np.concatenate(([int(quoted)], np.cumsum(odd & at_edge) + int(quoted)))
        closes = np.where(odd & ~at_edge, np.arange(1, len(odd) + 1), 0)
        closed = np.maximum.accumulate(np.concatenate(([0], closes)))
        base = np.where(closed > 0, turns[closed], 0)
        self._after = (turns - base) % 2 == 1
        self.ends_quoted = bool(self._after[-1])

    def quoted_at(self, positions: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._after[np.searchsorted(self._runs, positions)]
        return found
