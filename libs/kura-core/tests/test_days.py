from datetime import date

import pytest

from kura.core.days import DayRange, Month, add_months_clamped, days_in_month


def test_a_range_is_cut_at_every_month_end():
    parts = DayRange(date(2024, 1, 30), date(2024, 3, 1)).by_month()

    assert parts == [
        DayRange(date(2024, 1, 30), date(2024, 1, 31)),
        DayRange(date(2024, 2, 1), date(2024, 2, 29)),
        DayRange(date(2024, 3, 1), date(2024, 3, 1)),
    ]


def test_the_days_of_the_parts_are_the_days_of_the_range():
    whole = DayRange(date(2023, 11, 5), date(2024, 2, 7))

    assert [day for part in whole.by_month() for day in part] == list(whole)
    assert sum(len(part) for part in whole.by_month()) == len(whole)


def test_a_range_that_ends_before_it_starts_is_refused():
    with pytest.raises(ValueError, match="after its end"):
        DayRange(date(2024, 1, 2), date(2024, 1, 1))


@pytest.mark.parametrize(("day", "days"), [(date(2024, 2, 5), 29), (date(2025, 2, 5), 28), (date(2025, 1, 1), 31)])
def test_the_days_of_a_month_know_leap_years(day: date, days: int):
    assert days_in_month(day) == days


def test_months_are_counted_over_the_year_end():
    assert Month(2024, 1).plus(-1) == Month(2023, 12)
    assert Month(2023, 11).plus(3) == Month(2024, 2)
    assert str(Month.parse("2024-06")) == "2024-06"


def test_a_day_that_the_other_month_lacks_becomes_its_last_day():
    assert add_months_clamped(date(2024, 3, 31), -1) == date(2024, 2, 29)
    assert add_months_clamped(date(2024, 6, 18), -1) == date(2024, 5, 18)
