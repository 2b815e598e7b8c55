"""The worked examples of the specification, on the product and on the plain reference.

Both are found through `pythonpath` of pyproject.toml.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import product
import pytest
from reference.csv_reports import Row
from reference.run import summarise_inputs
from reference.summary import Inputs, Run

Summarise = Callable[[Inputs, Run], list[Row]]


@pytest.fixture(params=["reference", "product"])
def summarise(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Summarise]:
    """The daily summary of some inputs, unrounded."""
    if request.param == "reference":
        yield summarise_inputs
        return
    with product.engine(tmp_path) as engine:
        yield lambda inputs, run: product.summarise(engine, inputs, run)
