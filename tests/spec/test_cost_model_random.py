"""Random cost models over random small tables: the cost rows of the product equal those of the plain reference.

`KURA_FUZZ_EXAMPLES` sets how many; the default is brief.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import product
import product_costs
import pytest
from hypothesis import HealthCheck, given, settings
from reference import costs as reference
from reference import costs_gpus
from reference.comparison import differences
from reference.costs_model import CAPACITIES, COSTS, Inputs, Model, Row

from kura.aggregator.engine import Engine
from kura.testing.cost_strategies import CostTables, cost_tables

SEVERAL = int(os.environ.get("KURA_FUZZ_EXAMPLES", "15"))
EXAMPLES = settings(max_examples=SEVERAL, deadline=None, suppress_health_check=[HealthCheck.too_slow])

KEYS = (
    *("usage_start", "data_source", "namespace", "node", "resource_id", "cost_category_id"),
    *("persistentvolumeclaim", "persistentvolume", "storageclass", "pod_labels", "volume_labels", "all_labels"),
    *("raw_currency", "cost_model_rate_type", "monthly_cost_type"),
)
AMOUNTS = (*COSTS, "distributed_cost")
SMALLEST = 1e-12


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with product.engine(tmp_path_factory.mktemp("spill")) as opened:
        yield opened


def that_cost(rows: Iterable[Row]) -> list[Row]:
    """Rows without any cost need not be written; a missing amount is 0 for every reader."""
    filled = [{**row, **{name: row.get(name) or 0.0 for name in AMOUNTS}} for row in rows]
    return [row for row in filled if any(abs(row[name]) > SMALLEST for name in AMOUNTS)]


@EXAMPLES
@given(tables=cost_tables())
def test_the_costs_of_any_model_equal_the_reference_and_their_lines_add_up(engine: Engine, tables: CostTables):
    inputs = Inputs(**vars(tables))

    expected = that_cost(reference.cost_rows(inputs))
    rows, lines = product_costs.rows_and_lines(engine, inputs)
    found = that_cost(rows)

    assert differences(expected, found, keys=KEYS, measures=(*AMOUNTS, *CAPACITIES)) == []
    assert sums(lines, "calculated_cost", "distributed_cost") == pytest.approx(sums(found, *AMOUNTS), abs=1e-9)
    assert_nothing_is_lost(found)


PLACE = ("usage_start", "namespace", "node", "data_source", "cost_category_id", *KEYS[-2:])


def sums(rows: Iterable[Row], *columns: str) -> dict[tuple[Any, ...], float]:
    """Amounts by place and kind; what comes to nothing is left out."""
    found: dict[tuple[Any, ...], float] = defaultdict(float)
    for row in rows:
        found[tuple(row[name] for name in PLACE)] += sum(row[name] or 0.0 for name in columns)
    return {place: amount for place, amount in found.items() if abs(amount) > 1e-9}


def assert_nothing_is_lost(rows: Iterable[Row]) -> None:
    """Platform and idle workers are handed on in full; unattributed cost too, unless nobody can pay it (Q9)."""
    amounts: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for row in rows:
        if row["distributed_cost"]:
            amounts[row["usage_start"], row["cost_model_rate_type"]].append(row["distributed_cost"])
    for (_, kind), found in amounts.items():
        is_unpaid = kind.startswith("unattributed") and max(found) <= 0
        assert is_unpaid or sum(found) == pytest.approx(0, abs=1e-9)


@EXAMPLES
@given(tables=cost_tables())
def test_idle_gpus_are_paid_as_in_the_reference(engine: Engine, tables: CostTables):
    model = Model({"rates": [IDLE_RATE]})
    inputs = Inputs(**vars(tables) | {"end": max(item["day"] for item in tables.gpus)})
    idle = [
        {
            "usage_start": row["usage_start"],
            "node": row["node"],
            "gpu_model_name": row["all_labels"]["gpu-model"],
            "cost": row["cost_model_gpu_cost"],
        }
        for row in costs_gpus.gpu_rows(model, inputs)
        if row["namespace"] == costs_gpus.IDLE
    ]
    if not idle:
        return

    expected = costs_gpus.distribute_gpu(inputs.gpus, idle)
    found = product_costs.distribute_gpu(engine, gpus=inputs.gpus, idle=idle)

    keys = ("usage_start", "data_source", "namespace", "node", "cost_model_rate_type")
    assert differences(that_cost(expected), that_cost(found), keys=keys, measures=AMOUNTS) == []


IDLE_RATE = {
    "metric": {"name": "gpu_cost_per_month"},
    "cost_type": "Infrastructure",
    "tag_rates": {"tag_key": "nvidia", "tag_values": [{"tag_value": "A100", "value": "3000", "default": True}]},
}
