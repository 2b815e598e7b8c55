"""Totals check: does PostgreSQL hold what the Parquet of today gives? Writes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date

from kura.aggregator.engine import Engine, Relation, statement
from kura.aggregator.pipelines.openshift import Outcome, Resources, StepEnded, SummaryRun, compute, open_line_items
from kura.aggregator.postgresql import postgresql_statement
from kura.aggregator.steps import reading
from kura.aggregator.store import read_facts
from kura.aggregator.transaction import Transaction

STEPS = ("facts", "read", "compute", "compare")

RELATIVE_TOLERANCE = 1e-9
ABSOLUTE_TOLERANCE = 1e-6
"""Rounding to 15 decimals, over a million rows, stays far below."""

DaySource = tuple[date, str]
Totals = Mapping[str, float]


def compare_totals(
    run: SummaryRun, resources: Resources, step_ended: StepEnded, engine_opened: Callable[[Engine], None]
) -> Outcome:
    """One note for every day and kind of rows whose totals differ; none means all is well."""
    facts = read_facts(resources.database, schema=run.schema, provider_uuid=run.provider_uuid, days=run.days)
    step_ended("facts", 0, 0)
    if facts is None:
        return Outcome()

    with resources.engines.lend() as engine:
        engine_opened(engine)
        given = reading.read_range(open_line_items(engine, resources.objects, run, facts), run.days)
        rows_read = given.pod_daily.count() + given.storage_daily.count()
        step_ended("read", rows_read, 0)
        expected = expected_totals(compute(given, run.days, facts).summary_rows)
        step_ended("compute", rows_read, 0)

    with Transaction.of_tenant(resources.database, run.schema) as tx:
        stored = stored_totals(tx, run, list(next(iter(expected.values()), {})))
    step_ended("compare", rows_read, 0)
    return Outcome(rows_read=rows_read, notes=differences(expected, stored))


def expected_totals(summary_rows: Relation) -> dict[DaySource, Totals]:
    """The totals of every day and data source, from rows that are not rounded."""
    rows = summary_rows.engine.compute(statement("day_totals"), summary_rows=summary_rows).to_pylist()
    return {(row.pop("usage_start"), row.pop("data_source")): row for row in rows}


def stored_totals(tx: Transaction, run: SummaryRun, names: list[str]) -> dict[DaySource, Totals]:
    """The same from PostgreSQL."""
    rows = tx.rows(postgresql_statement("day_totals"), str(run.provider_uuid), run.days.start, run.days.end)
    return {(day, source): dict(zip(names, values, strict=False)) for day, source, *values in rows}


def differences(expected: Mapping[DaySource, Totals], stored: Mapping[DaySource, Totals]) -> list[str]:
    """What differs, one sentence each."""
    notes = []
    for key in sorted({*expected, *stored}):
        day, source = key
        if key not in stored:
            notes.append(f"{day} {source}: Parquet gives rows, PostgreSQL has none.")
            continue
        if key not in expected:
            notes.append(f"{day} {source}: PostgreSQL has rows, Parquet gives none.")
            continue
        different = [
            f"{name} {stored[key][name]:.6g} instead of {value:.6g}"
            for name, value in expected[key].items()
            if not math.isclose(value, stored[key][name], rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
        ]
        if different:
            notes.append(f"{day} {source}: PostgreSQL has {', '.join(different)}.")
    return notes
