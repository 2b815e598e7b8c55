"""The engine: limits, isolation, what crosses its boundary."""

import math
import threading
import time
from decimal import ROUND_HALF_UP, Context, Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kura.aggregator.engine import (
    Engine,
    EngineLimits,
    Engines,
    Statement,
    container_cpus,
    container_memory_bytes,
)
from kura.core.errors import Cancelled, InvalidData, KuraError

WHOLE = Decimal("0.000000000000001")
ENOUGH_DIGITS = Context(prec=60)


def limits(spill: Path, *, memory_mib: int = 256) -> EngineLimits:
    return EngineLimits(memory_bytes=memory_mib * 2**20, threads=1, spill_directory=spill)


@pytest.mark.parametrize(
    "text",
    [
        "FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/hostname')",
        "COPY (SELECT 1) TO '/tmp/kura-engine-test.csv'",
        "ATTACH '/tmp/kura-engine-test.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '100GB'",
        "SET enable_external_access = true",
    ],
)
def test_the_engine_reaches_nothing_outside(engine: Engine, text: str):
    with pytest.raises(KuraError):
        engine.query(text)


def test_variables_of_the_program_are_no_tables(engine: Engine):
    secrets = pa.table({"secret": ["x"]})

    with pytest.raises(KuraError, match="secrets"):
        engine.query("FROM secrets")
    assert secrets.num_rows == 1


def test_values_are_bound_and_never_sql(engine: Engine):
    evil = "'; DROP TABLE given; --"

    found = engine.compute(Statement("echo", "SELECT $value AS value"), {"value": evil})

    assert found.to_pylist() == [{"value": evil}]


def test_inputs_are_known_by_the_names_of_the_statement(engine: Engine):
    left = engine.table(pa.table({"x": [1, 2]}))
    right = engine.table(pa.table({"x": [2, 3]}))

    found = engine.compute(Statement("both", "SELECT x FROM a INNER JOIN b USING (x)"), a=left, b=right)

    assert found.to_pylist() == [{"x": 2}]


def test_nothing_of_a_run_is_left_for_the_next(tmp_path: Path):
    with Engines(limits(tmp_path)) as engines:
        with engines.lend() as first:
            name = first.compute(Statement("rows", "SELECT 1 AS x")).name
            shared = first.compute_shared(Statement("rows", "SELECT 1 AS x")).name
            given = first.table(pa.table({"x": [1]})).name
        with engines.lend() as second:
            for left_over in (name, shared, given):
                with pytest.raises(KuraError, match="does not exist"):
                    second.query(f'FROM "{left_over}"')


def test_shared_rows_are_read_while_the_engine_computes(engine: Engine):
    shared = engine.compute_shared(Statement("rows", "SELECT range AS x FROM range(200000)"))

    with engine.reader_beside(shared) as reader:
        first = next(reader).num_rows
        computed = engine.compute(Statement("sum", "SELECT max(x) AS x FROM rows"), rows=shared)
        rest = sum(batch.num_rows for batch in reader)

    assert first + rest == 200_000
    assert computed.to_pylist() == [{"x": 199_999}]


def test_an_interrupted_engine_gives_no_shared_rows_either(engine: Engine):
    shared = engine.compute_shared(Statement("rows", "SELECT 1 AS x"))
    engine.interrupt()

    with pytest.raises(Cancelled), engine.reader_beside(shared):
        pass


def test_what_does_not_fit_into_memory_is_spilled_and_cleaned_up(tmp_path: Path):
    with Engine.open(limits(tmp_path, memory_mib=128)) as engine:
        rows = engine.compute(
            Statement("many", "SELECT range AS x, md5(CAST(range AS VARCHAR)) AS y FROM range(3000000)")
        )

        assert rows.count() == 3_000_000
        assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) > 0
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_engine_stops_soon_and_for_good(engine: Engine):
    endless = (
        "SELECT count(*) FROM range(100000) AS a CROSS JOIN range(100000000) AS b WHERE (a.range * b.range) % 7 = 8"
    )
    started = time.monotonic()
    timer = threading.Timer(0.2, engine.interrupt)
    timer.start()

    with pytest.raises(Cancelled):
        engine.query(endless)
    with pytest.raises(Cancelled):
        engine.query("SELECT 1")
    assert time.monotonic() - started < 30


def numeric(engine: Engine, value: float) -> Decimal:
    found = engine.compute(Statement("numeric", "SELECT postgresql_numeric($x) AS x"), {"x": value}).to_pylist()
    number = found[0]["x"]
    assert isinstance(number, Decimal)
    return number


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (500 / 3600, "0.138888888888889"),
        (0.1 + 0.2, "0.300000000000000"),
        (2.5e-15, "0.000000000000003"),
        (-2.5e-15, "-0.000000000000003"),
        (4.9e-16, "0.000000000000000"),
        (123456789.123456789, "123456789.123456790000000"),
        (1.2345e17, "123450000000000000.000000000000000"),
        (-0.0, "0.000000000000000"),
    ],
)
def test_a_double_becomes_its_shortest_decimal_rounded_half_up(engine: Engine, value: float, stored: str):
    assert f"{numeric(engine, value):.15f}" == stored


def test_any_double_is_rounded_like_its_shortest_decimal_text(engines: Engines):
    with engines.lend() as engine:

        @given(st.floats(min_value=-9e17, max_value=9e17, allow_nan=False))
        def agrees(value: float) -> None:
            assert numeric(engine, value) == Decimal(repr(value)).quantize(WHOLE, ROUND_HALF_UP, ENOUGH_DIGITS)

        agrees()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e18, -1e300])
def test_numbers_that_no_summary_can_hold_are_refused(engine: Engine, value: float):
    with pytest.raises(InvalidData):
        numeric(engine, value)


SECONDS = st.floats(min_value=2.0**-40, max_value=1e17) | st.just(0.0)


def test_exact_sums_do_not_depend_on_order_and_are_right_to_the_last_digit(engines: Engines):
    total = Statement("total", "SELECT exact_sum(x) AS total FROM given")

    with engines.lend() as engine:

        def sum_of(values: list[float]) -> float:
            table = engine.table(pa.table({"x": pa.array(values, pa.float64())}))
            found: float = engine.compute(total, given=table).to_pylist()[0]["total"]
            return found

        @given(st.lists(SECONDS, min_size=1, max_size=8))
        def agrees(values: list[float]) -> None:
            assert sum_of(values) == sum_of(values[::-1])
            assert math.isclose(sum_of(values), math.fsum(values), rel_tol=1e-15, abs_tol=len(values) * 2.0**-40)

        agrees()
        assert sum_of([0.1]) == pytest.approx(0.1, abs=2.0**-40)
        assert sum_of([3600.0, 0.5]) == 3600.5


def test_sums_of_nothing_are_null(engine: Engine):
    nothing = engine.table(pa.table({"x": pa.array([None], pa.float64())}))

    assert engine.compute(Statement("total", "SELECT exact_sum(x) AS total FROM given"), given=nothing).to_pylist() == [
        {"total": None}
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"memory.max": "268435456\n"}, 268435456),
        ({"memory.max": "max\n", "memory/memory.limit_in_bytes": "134217728"}, 134217728),
    ],
)
def test_the_memory_limit_is_that_of_the_container(tmp_path: Path, files: dict[str, str], expected: int):
    write(tmp_path, files)

    assert container_memory_bytes(tmp_path) == expected


def test_without_a_limit_the_memory_is_that_of_the_machine(tmp_path: Path):
    write(tmp_path, {"memory.max": "max"})

    assert container_memory_bytes(tmp_path) > 2**28


@pytest.mark.parametrize(
    "files", [{"cpu.max": "100000 100000"}, {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}]
)
def test_the_threads_are_those_the_container_may_use(tmp_path: Path, files: dict[str, str]):
    write(tmp_path, files)

    assert container_cpus(tmp_path) == 1


def test_without_a_quota_every_cpu_counts(tmp_path: Path):
    write(tmp_path, {"cpu.max": "max 100000"})

    assert container_cpus(tmp_path) >= 1


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
