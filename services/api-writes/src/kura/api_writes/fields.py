"""Reading the fields of a request body: values are checked and normalised, every problem is kept with its field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from kura.core.errors import ValidationErrors

MOST_DIGITS: Final = 19
MOST_DECIMALS: Final = 10
MOST_PROBLEMS: Final = 100
"""More are counted, not told."""


@dataclass
class Problems:
    """What is wrong with a body, in the order in which it was found."""

    found: list[tuple[str, str]] = field(default_factory=list)
    untold: int = 0

    def add(self, where: str, text: str) -> None:
        if len(self.found) < MOST_PROBLEMS:
            self.found.append((where, text))
        else:
            self.untold += 1

    def refuse(self) -> None:
        """ValidationErrors when there is any problem."""
        if self.untold:
            self.found.append(("detail", f"There are {self.untold} more problems."))
        if self.found:
            raise ValidationErrors(self.found)


def read_text(
    body: Mapping[str, Any], name: str, problems: Problems, *, where: str, longest: int, blank: bool = True
) -> str:
    """A text of at most `longest` characters; "" stands in for one that is not valid."""
    value = body.get(name)
    if not isinstance(value, str):
        problems.add(where, "Must be a text." if value is not None else "A text is required.")
        return ""
    if len(value) > longest:
        problems.add(where, f"May have at most {longest} characters.")
        return ""
    if "\0" in value:
        problems.add(where, "Null characters are not allowed.")
        return ""
    if not blank and not value.strip():
        problems.add(where, "May not be blank.")
        return ""
    return value


def decimal_of(value: Any, *, digits: int = MOST_DIGITS, decimals: int = MOST_DECIMALS) -> Decimal | str:
    """A decimal of so many digits and decimals from a number or a text, or what is wrong with it."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return "A number is required."
    if isinstance(value, str) and (len(value) > 50 or "_" in value):
        return "A number is required."
    try:
        number = Decimal(value)
    except (InvalidOperation, ValueError):
        return "A number is required."
    if not number.is_finite():
        return "A number is required."
    if not number:
        return Decimal(0)
    if number.adjusted() >= digits - decimals:
        return f"At most {digits - decimals} digits before the decimal point are allowed."
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    if -exponent > decimals and _decimals(number) > decimals:
        return f"At most {decimals} decimals are allowed."
    return number


def _decimals(number: Decimal) -> int:
    """Decimals without trailing zeros."""
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return -exponent - zeros if any(digits) else 0


def plain(number: Decimal) -> str:
    """A decimal as text without exponent and trailing zeros."""
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def uuids_of(value: Any, problems: Problems, *, where: str) -> list[UUID]:
    """A list of UUIDs, repeated ones once."""
    if not isinstance(value, list):
        problems.add(where, "Must be a list of UUIDs.")
        return []
    found: dict[UUID, None] = {}
    for item in value:
        parsed = uuid_of(item)
        if parsed is None:
            problems.add(where, f"{str(item)[:100]!r} is not a UUID.")
        else:
            found[parsed] = None
    return list(found)


def uuid_of(value: Any) -> UUID | None:
    """A UUID in its usual form."""
    if not isinstance(value, str) or len(value) not in (32, 36):
        return None
    try:
        return UUID(value)
    except ValueError:
        return None


def date_of(value: Any) -> date | None:
    """A day as YYYY-MM-DD."""
    if not isinstance(value, str) or len(value) != len("2025-01-31"):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None
