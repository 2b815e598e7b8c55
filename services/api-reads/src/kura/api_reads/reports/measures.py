"""The small language in which the catalogue says how a number of a report is computed.

A formula is data. `query.py` turns it into SQL; nothing else interprets it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Money(Enum):
    """Whose currency an amount is stored in; it decides the exchange factor (read-api §9)."""

    BILL = "raw_currency of the row"
    COST_MODEL = "currency of the cost model of the row's source"


@dataclass(frozen=True)
class Sum:
    """Σ of columns over the rows of one rate type, or over all; missing amounts count 0."""

    columns: tuple[str, ...]
    rate_type: str | None = None
    money: Money | None = None


@dataclass(frozen=True)
class Scaled:
    """A sum divided by a constant."""

    of: Sum
    divisor: int


@dataclass(frozen=True)
class Plus:
    """Sum of other measures of the same report."""

    measures: tuple[str, ...]


@dataclass(frozen=True)
class Same:
    """Another measure under a second name; costs no work in the database."""

    measure: str


@dataclass(frozen=True)
class Zero:
    """Always 0, present for the shape of the answer."""


@dataclass(frozen=True)
class Largest:
    """Maximum of a column. Over merged rows the maxima are added when `adds` is set."""

    column: str
    adds: bool = False


@dataclass(frozen=True)
class LargestName:
    """Maximum of the first non-null of some text columns."""

    columns: tuple[str, ...]


@dataclass(frozen=True)
class Count:
    """Number of distinct values of a column; over merged rows the counts are added."""

    column: str


@dataclass(frozen=True)
class Names:
    """Distinct texts of the first non-null of some columns, ascending."""

    columns: tuple[str, ...]


@dataclass(frozen=True)
class Documents:
    """Distinct small JSON objects made of columns, from rows where `present` is not null."""

    fields: tuple[tuple[str, str], ...]
    present: str


@dataclass(frozen=True)
class Labels:
    """Distinct label maps of a JSON column."""

    column: str


@dataclass(frozen=True)
class Efficiency:
    """usage / request in whole percent, half away from zero; 0 without request (read-api-fields §3.5)."""

    usage: str
    request: str


@dataclass(frozen=True)
class Wasted:
    """What of the cost paid for requests that were not used (read-api-fields §3.5)."""

    cost: str
    usage: str
    request: str


Formula = (
    Sum | Scaled | Plus | Same | Zero | Largest | LargestName | Count | Names | Documents | Labels | Efficiency | Wasted
)

AGGREGATES = (Sum, Scaled, Plus, Same, Largest, Count, Efficiency, Wasted)
"""Formulas that rank and sort as numbers."""
