"""Which days a report covers and how they are put into buckets (read-api §2.3, §3.2, §3.6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from kura.core.days import Month, add_months_clamped

MONTH_VALUES = ("-1", "-2", "-3")
DAY_VALUES = ("-10", "-30", "-90")
UNITS = ("day", "month")
RESOLUTIONS = ("daily", "monthly")


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Days from `start` to `end`, both included, shown by day or by month."""

    start: date
    end: date
    monthly: bool
    months_back: int | None = None
    days_back: int | None = None
    explicit: bool = False

    def buckets(self) -> list[str]:
        """Every bucket of the range, ascending, also those without data."""
        return list(dict.fromkeys(self.bucket_of(day) for day in self.days()))

    def days(self) -> Iterator[date]:
        day = self.start
        while day <= self.end:
            yield day
            day += timedelta(days=1)

    def bucket_of(self, day: date) -> str:
        return str(Month.of(day)) if self.monthly else day.isoformat()

    def previous(self) -> Scope:
        """The window a delta compares with: one month earlier for month scopes, as many days earlier for others."""
        return Scope(start=self._earlier(self.start), end=self._earlier(self.end), monthly=self.monthly)

    def previous_bucket(self, bucket: str) -> str:
        """The bucket of the previous window that `bucket` is compared with."""
        day = date.fromisoformat(f"{bucket}-01" if self.monthly else bucket)
        return self.bucket_of(self._earlier(day))

    def _earlier(self, day: date) -> date:
        if self.months_back is not None:
            return add_months_clamped(day, -1)
        return day - timedelta(days=self.days_back or 0)


def scope_of(*, units: str, value: str, resolution: str, today: date) -> Scope:
    """The range of a relative time scope. Month scopes are one month each, never cumulative."""
    monthly = resolution == "monthly"
    back = -int(value)
    if units == "day":
        return Scope(start=today - timedelta(days=back - 1), end=today, monthly=monthly, days_back=back)
    month = Month.of(today).plus(1 - back)
    return Scope(start=month.first, end=min(month.last, today), monthly=monthly, months_back=back)


def completed(*, units: str | None, value: str | None, resolution: str | None) -> tuple[str, str, str]:
    """Units, value and resolution with what the request left out filled in."""
    value = value or ("-1" if units == "month" else "-10")
    by_month = value in MONTH_VALUES
    return units or ("month" if by_month else "day"), value, resolution or ("monthly" if by_month else "daily")


def window_start(*, retention_months: int, today: date) -> date:
    """The earliest day a request may name."""
    return Month.of(today).plus(1 - retention_months).first
