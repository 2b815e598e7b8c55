"""Forecasts to the end of the month (read-api §7)."""

from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from sqlalchemy import delete, insert

from kura.api_reads.forecasts import model_of
from kura.api_reads.regression import student_quantile
from kura.store.database import Database
from kura.store.tables.tenant import COST_SUMMARY
from kura.testing.asking import Asker, restricted
from kura.testing.postgres import SCHEMA
from kura.testing.summary_rows import CLUSTERS

FORECAST = "forecasts/openshift/costs/"
FIRST = date(2024, 6, 8)
STRAIGHT = range(10, 30, 2)
UNEVEN = (10, 13, 13, 17, 18, 21, 21, 25, 26, 28)


def give_costs(writer: Database, amounts: Sequence[float], *, column: str = "infrastructure_raw_cost") -> None:
    """These raw costs on as many days from the eighth of June on, and no others."""
    cluster, (source, alias) = next(iter(CLUSTERS.items()))
    common = {"source_uuid": source, "cluster_id": cluster, "cluster_alias": alias, "raw_currency": "USD"}
    common |= {"cost_model_rate_type": "Supplementary"} if column.startswith("cost_model") else {}
    days = [FIRST + timedelta(days=number) for number in range(len(amounts))]
    with writer.tenant(SCHEMA) as connection:
        connection.execute(delete(COST_SUMMARY))
        for day, amount in zip(days, amounts, strict=True):
            row = {"usage_start": day, "usage_end": day, column: amount, **common}
            connection.execute(insert(COST_SUMMARY).values(row))


async def test_costs_on_a_line_stay_on_it(writer: Database, ask: Asker):
    give_costs(writer, STRAIGHT)

    answer = await ask(f"{FORECAST}?limit=31")

    assert answer["meta"] == {"count": 13, "limit": 31, "offset": 0}
    assert [item["date"] for item in answer["data"]] == [f"2024-06-{day}" for day in range(18, 31)]
    (value,) = answer["data"][0]["values"]
    assert value["infrastructure"] == value["cost"]
    assert value["cost"] == {
        "total": {"value": 30.0, "units": "USD"},
        "confidence_max": {"value": 30.0, "units": "USD"},
        "confidence_min": {"value": 30.0, "units": "USD"},
        "rsquared": {"value": "1.00000000", "units": None},
        "pvalues": {"value": ["0.00000000", "0.00000000"], "units": None},
    }
    assert answer["data"][-1]["values"][0]["cost"]["total"]["value"] == 54.0


async def test_costs_beside_a_line_are_expected_within_an_interval(writer: Database, ask: Asker):
    give_costs(writer, UNEVEN)

    data = (await ask(f"{FORECAST}?limit=31&currency=usd"))["data"]

    def found(item):
        cost = item["values"][0]["cost"]
        return [cost[name]["value"] for name in ("total", "confidence_min", "confidence_max", "rsquared", "pvalues")]

    figures = ["0.98314874", ["0.00000003", "0.00000002"]]
    assert found(data[0]) == [30.133, 27.799, 32.467, *figures]
    assert found(data[-1]) == [53.988, 49.76, 58.216, *figures]


async def test_costs_never_fall_below_nothing_and_equal_ones_have_no_figures(writer: Database, ask: Asker):
    give_costs(writer, [50, 44, 41, 33, 30, 24, 18, 14, 6, 1], column="cost_model_cpu_cost")

    last = (await ask(f"{FORECAST}?limit=31"))["data"][-1]["values"][0]

    assert [last["supplementary"][name]["value"] for name in ("total", "confidence_min")] == [0.0, 0.0]
    assert last["infrastructure"]["total"]["value"] == 0.0
    assert last["infrastructure"]["rsquared"]["value"] == "nan"


async def test_seven_days_are_too_few(writer: Database, ask: Asker):
    give_costs(writer, UNEVEN[:7])

    answer = await ask(FORECAST)

    assert (answer["data"], answer["meta"]["count"], answer["meta"]["limit"]) == ([], 0, 100)


async def test_the_answer_is_cut_into_pages_of_days(writer: Database, ask: Asker):
    give_costs(writer, STRAIGHT)

    answer = await ask(f"{FORECAST}?limit=2&offset=4")

    assert [item["date"] for item in answer["data"]] == ["2024-06-22", "2024-06-23"]
    assert answer["links"]["next"].endswith("?limit=2&offset=6")


async def test_callers_see_the_costs_of_their_clusters(writer: Database, ask: Asker):
    give_costs(writer, STRAIGHT)

    other = ask.as_(restricted({"openshift.cluster": ["cl-b"]}))

    assert (await other(FORECAST))["data"] == []
    assert (await ask.as_(restricted({"aws.account": ["1"]})).refused(FORECAST))[0] == 403


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("limit=0", {"limit": ["Ensure this value is greater than or equal to 1."]}),
        (
            "limit=x&currency=XXQ",
            {"limit": ["A valid integer is required."], "currency": ['"XXQ" is not a valid ISO 4217 currency.']},
        ),
        ("filter[project]=web", {"filter": ["Unsupported parameter or invalid value"]}),
        ("start_date=2024-06-01", {"start_date": ["Unsupported parameter or invalid value"]}),
    ],
)
async def test_other_parameters_are_refused(ask: Asker, query: str, body: object):
    assert await ask.refused(f"{FORECAST}?{query}") == (400, body)


def test_outliers_are_left_out_and_gaps_count():
    amounts = {FIRST + timedelta(days=2 * number): 1.0 + number for number in range(9)}
    model = model_of(amounts | {FIRST + timedelta(days=1): 1000.0})

    assert model is not None
    assert (model.line.points, round(model.line.slope, 12)) == (9, 0.5)


def test_quantiles_of_students_distribution():
    found = [round(student_quantile(0.95, freedom), 6) for freedom in (1, 6, 8, 29)]

    assert found == [12.706205, 2.446912, 2.306004, 2.04523]
