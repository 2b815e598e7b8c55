"""Random small tables: the product's daily summary equals that of the plain reference."""

from collections.abc import Iterator

import product
import pytest
from hypothesis import given, settings
from reference.comparison import differences
from reference.run import summarise_inputs
from reference.summary import Inputs, Run

from kura.aggregator.engine import Engine
from kura.testing.strategies import DAYS, OcpTables, ocp_tables

RUN = Run(start=DAYS[0], end=DAYS[-1])


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with product.engine(tmp_path_factory.mktemp("spill")) as opened:
        yield opened


@settings(max_examples=100, deadline=None)
@given(tables=ocp_tables())
def test_the_daily_summary_of_any_tables_equals_the_reference(engine: Engine, tables: OcpTables):
    inputs = Inputs(**vars(tables))

    expected = summarise_inputs(inputs, RUN)
    found = product.summarise(engine, inputs, RUN)

    assert differences(expected, found) == []
