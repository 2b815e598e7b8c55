"""Days and months. A day is a UTC calendar date; nothing in Kura has a local time zone."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta


@dataclass(frozen=True, order=True)
class Month:
    """One calendar month, the unit of partitions, report periods and leases."""

    year: int
    month: int

    @classmethod
    def of(cls, day: date) -> Month:
        return cls(day.year, day.month)

    @classmethod
    def parse(cls, text: str) -> Month:
        """Read `YYYY-MM`; ValueError otherwise."""
        parsed = datetime.strptime(text, "%Y-%m")
        return cls(parsed.year, parsed.month)

    @property
    def first(self) -> date:
        return date(self.year, self.month, 1)

    @property
    def last(self) -> date:
        return date(self.year, self.month, self.days)

    @property
    def days(self) -> int:
        return calendar.monthrange(self.year, self.month)[1]

    def plus(self, months: int) -> Month:
        index = self.year * 12 + (self.month - 1) + months
        return Month(index // 12, index % 12 + 1)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


@dataclass(frozen=True, order=True)
class DayRange:
    """Days from `start` to `end`, both included."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.start > self.end:
            raise ValueError(f"a range of days starts on {self.start}, after its end {self.end}")

    def __iter__(self) -> Iterator[date]:
        day = self.start
        while day <= self.end:
            yield day
            day += timedelta(days=1)

    def __len__(self) -> int:
        return (self.end - self.start).days + 1

    def by_month(self) -> list[DayRange]:
        """The same days, cut so that no part crosses a month."""
        parts: list[DayRange] = []
        start = self.start
        while start <= self.end:
            last = min(Month.of(start).last, self.end)
            parts.append(DayRange(start, last))
            start = last + timedelta(days=1)
        return parts


def utc_now() -> datetime:
    return datetime.now(UTC)


def today() -> date:
    return utc_now().date()


def days_in_month(day: date) -> int:
    return Month.of(day).days


def add_months_clamped(day: date, months: int) -> date:
    """The same day `months` later; the last day of that month where it has no such day."""
    target = Month.of(day).plus(months)
    return date(target.year, target.month, min(day.day, target.days))
