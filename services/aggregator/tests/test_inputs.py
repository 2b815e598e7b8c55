"""Which objects count: those of other writers by their names, our own by their rows alone."""

import pytest

from kura.aggregator.inputs import NAMED_BY_DAY


@pytest.mark.parametrize("name", ["pod_usage.2025-01-01.12.0_0.parquet", "pod_usage.2025-01-01.12.0_daily_0.parquet"])
def test_an_object_of_another_writer_tells_its_type_and_day(name: str) -> None:
    named = NAMED_BY_DAY.fullmatch(name)

    assert named is not None
    assert (named["type"], named["day"]) == ("pod_usage", "2025-01-01")


@pytest.mark.parametrize("grain", ["", "daily_"])
def test_an_object_of_ours_is_not_found_by_its_name(grain: str) -> None:
    assert NAMED_BY_DAY.fullmatch(f"pod_usage.2025-01-01.12.k0123456789ab_{grain}0.parquet") is None
