"""`explain/openshift/costs/`: the sum of the lines is the number of the costs report, whoever asks and however."""

from collections import defaultdict
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, insert, literal, or_, select, text

from kura.store.database import Database
from kura.store.tables.shared import EXCHANGE_RATE_DICTIONARY
from kura.store.tables.tenant import (
    COST_MODEL,
    COST_MODEL_MAP,
    DAILY_SUMMARY,
    ENABLED_CURRENCY,
    MONTHLY_EXCHANGE_RATE,
    PRICE_LIST,
    RATES_TO_USAGE,
)
from kura.testing.asking import Asker, restricted
from kura.testing.postgres import SCHEMA
from kura.testing.summary_rows import SOURCE_A

JUNE = "start_date=2024-06-01&end_date=2024-06-18&filter[resolution]=monthly"
EXPLAIN = "explain/openshift/costs/"
PRICES = UUID(int=7)
RATE = 2
"""Price of a unit in the made-up lines."""


KEYS = (
    "report_period_id, source_uuid, cluster_id, cluster_alias, namespace, node, data_source, cost_category_id,"
    " cost_model_rate_type, metric, custom_name, price_list_id, unit_rate"
)
ONE_LINE_A_MONTH = f"""
    with days as (delete from rates_to_usage where source_uuid = :source returning *)
    insert into rates_to_usage (
        usage_start, usage_end, days, quantities, costs, pool_costs,
        quantity, calculated_cost, pool_cost, distributed_cost, {KEYS}
    )
    select
        min(usage_start), max(usage_start), array_agg(usage_start), array_agg(quantity),
        array_agg(coalesce(calculated_cost, distributed_cost)), array_agg(pool_cost),
        sum(quantity), sum(calculated_cost), sum(pool_cost), sum(distributed_cost), {KEYS}
    from days
    group by date_trunc('month', usage_start), {KEYS}
"""


@pytest.fixture(scope="module", autouse=True)
def lines(writer: Database) -> None:
    """Lines for every cost row of the sample: two units of money per hour, pools twice as large as the share.

    Those of one source list their days, the others are of one day.
    """
    daily = DAILY_SUMMARY.c
    with writer.tenant(SCHEMA) as connection:
        connection.execute(
            insert(PRICE_LIST).values(
                uuid=PRICES,
                name="prices",
                currency="EUR",
                effective_start_date=date(2024, 1, 1),
                effective_end_date=date(2024, 12, 31),
                rates=[],
            )
        )
        place = (
            "usage_start", "usage_end", "report_period_id", "source_uuid", "cluster_id", "cluster_alias", "namespace",
            "node", "data_source", "cost_category_id", "cost_model_rate_type",
        )  # fmt: skip
        for metric, amount in (
            ("cpu_core_usage_per_hour", daily.cost_model_cpu_cost),
            ("memory_gb_usage_per_hour", daily.cost_model_memory_cost),
        ):
            values: dict[str, Any] = {name: daily[name] for name in place}
            values |= {
                "metric": literal(metric),
                "custom_name": literal(f"price of {metric}"),
                "price_list_id": literal(PRICES),
                "unit_rate": literal(RATE),
                "quantity": amount / RATE,
                "calculated_cost": amount,
            }
            chosen = select(*values.values()).where(amount != 0)
            connection.execute(insert(RATES_TO_USAGE).from_select(list(values), chosen))
        values = {name: daily[name] for name in place}
        values |= {"distributed_cost": daily.distributed_cost, "pool_cost": func.abs(daily.distributed_cost) * 2}
        chosen = select(*values.values()).where(daily.distributed_cost != 0)
        connection.execute(insert(RATES_TO_USAGE).from_select(list(values), chosen))
        connection.execute(text(ONE_LINE_A_MONTH), {"source": SOURCE_A})


@pytest.fixture(scope="module")
def currencies(lines: None, writer: Database) -> None:
    """Source A is priced in EUR; bills are in USD."""
    with writer.tenant(SCHEMA) as connection:
        model = connection.execute(
            insert(COST_MODEL).values(name="a", source_type="OCP", currency="EUR").returning(COST_MODEL.c.uuid)
        ).scalar_one()
        connection.execute(insert(COST_MODEL_MAP).values(provider_uuid=SOURCE_A, cost_model_id=model))
        connection.execute(insert(ENABLED_CURRENCY).values(currency_code="EUR"))
        rates = {"EUR": {"EUR": 1, "USD": 1.2}, "USD": {"USD": 1, "EUR": 0.9}}
        connection.execute(insert(EXCHANGE_RATE_DICTIONARY).values(currency_exchange_dictionary=rates))


def cost(answer: Any, member: str = "total") -> float:
    value: float = answer["meta"]["total"]["cost"][member]["value"]
    return value


def summed(answer: Any, *kinds: str) -> float:
    return float(sum(line["cost"]["value"] for line in answer["data"] if not kinds or line["kind"] in kinds))


async def test_every_part_of_a_projects_cost_is_a_line(ask: Asker):
    answer = await ask(f"{EXPLAIN}?{JUNE}&filter[exact:project]=web&filter[cluster]=alpha")

    found = {(line["kind"], line["part"]): line["cost"]["value"] for line in answer["data"] if line["kind"] != "rate"}
    assert found == {
        ("raw", "infra_raw"): pytest.approx(50 + 60 + 0 + 5),
        ("markup", "infra_markup"): pytest.approx(5 + 6 + 0 + 0.5),
        ("distributed", "platform_distributed"): pytest.approx(7),
        ("distributed", "worker_unallocated_distributed"): pytest.approx(3),
    }
    supplementary, infrastructure = (
        next(
            line
            for line in answer["data"]
            if line["kind"] == "rate" and line["metric"]["name"].startswith("cpu") and line["cost_type"] == cost_type
        )
        for cost_type in ("Supplementary", "Infrastructure")
    )
    assert supplementary["cost"]["value"] == 4 + 5
    assert supplementary["usage"] == {"value": 4.5, "units": "core-hours"}
    assert supplementary["rate"] == {
        "value": 2.0,
        "units": "EUR",
        "rate_id": None,
        "custom_name": "price of cpu_core_usage_per_hour",
        "tag": None,
        "price_list": {
            "uuid": str(PRICES),
            "name": "prices",
            "currency": "EUR",
            "effective_start_date": "2024-01-01",
            "effective_end_date": "2024-12-31",
        },
    }
    assert infrastructure["cost"]["value"] == 1
    platform = next(line for line in answer["data"] if line["part"] == "platform_distributed")
    assert platform["pool"] == {"name": "Platform projects", "value": 14.0, "units": "USD"}
    assert platform["share"] == 0.5
    assert answer["meta"]["total"]["cost"]["distributed"]["value"] == pytest.approx(summed(answer))


async def test_what_is_taken_from_a_pool_is_a_line_of_its_own(ask: Asker):
    answer = await ask(f"{EXPLAIN}?{JUNE}&filter[exact:project]=kube-system")
    (offset,) = [line for line in answer["data"] if line["kind"] == "offset"]
    assert (offset["cost"]["value"], offset["share"]) == (-9.0, -0.5)
    assert cost(answer, "distributed") == pytest.approx(0.9)


QUESTIONS = (
    JUNE,
    f"{JUNE}&filter[project]=web",
    f"{JUNE}&filter[exact:project]=db",
    f"{JUNE}&filter[node]=n1",
    f"{JUNE}&filter[cluster]=cl-b",
    f"{JUNE}&filter[category]=Platform",
    f"{JUNE}&exclude[category]=Platform",
    f"{JUNE}&filter[or:project]=web&filter[or:project]=batch",
    f"{JUNE}&exclude[project]=web",
    f"{JUNE}&group_by[project]=*",
    f"{JUNE}&group_by[project]=*&group_by[node]=*",
    f"{JUNE}&group_by[cluster]=cl-a",
    "start_date=2024-06-16&end_date=2024-06-17&group_by[project]=web",
    "filter[time_scope_value]=-2&filter[project]=db",
    "filter[time_scope_value]=-10",
    f"{JUNE}&group_by[project]=*&category=Platform",
)
OF_THE_CLOUD = (f"{JUNE}&filter[infrastructures]=aws",)
"""Clusters that do not run in a cloud have no such lines."""
OF_LABELS = (
    f"{JUNE}&filter[tag:app]=shop",
    f"{JUNE}&filter[tag:app]=*",
    f"{JUNE}&exclude[tag:app]=shop",
    f"{JUNE}&filter[project]=web&filter[tag:app]=shop",
    f"{JUNE}&group_by[tag:app]=*",
    f"{JUNE}&group_by[project]=*&group_by[tag:app]=*",
    f"{JUNE}&filter[persistentvolumeclaim]=pvc",
    f"{JUNE}&exclude[persistentvolumeclaim]=pvc-1",
    f"{JUNE}&group_by[persistentvolumeclaim]=*",
    f"{JUNE}&filter[storageclass]=gp",
    f"{JUNE}&group_by[storageclass]=*&group_by[project]=*",
    "start_date=2024-06-16&end_date=2024-06-17&group_by[tag:app]=*",
)


def report_of(question: str) -> str:
    """The same question to the report; grouping by project is what shows distribution."""
    if "group_by[project]" in question:
        return f"reports/openshift/costs/?{question}"
    return f"reports/openshift/costs/?{question}&group_by[project]=*"


async def check_sums(ask: Asker, question: str) -> None:
    answer = await ask(f"{EXPLAIN}?{question}&limit=1000")
    report = await ask(report_of(question))

    for group in ("infrastructure", "supplementary", "cost"):
        for member, shown in report["meta"]["total"][group].items():
            assert answer["meta"]["total"][group][member]["value"] == pytest.approx(shown["value"], abs=1e-9), member
            assert answer["meta"]["total"][group][member]["units"] == shown["units"]
    assert answer["meta"]["difference"] == {"cost_total": 0.0, "cost_total_distributed": 0.0}
    assert answer["meta"]["count"] == len(answer["data"])
    assert answer["data"] or question.startswith(OF_THE_CLOUD)
    assert summed(answer) == pytest.approx(cost(answer, "distributed"), abs=1e-9)
    assert summed(answer, "raw", "markup", "rate") == pytest.approx(cost(answer), abs=1e-9)


@pytest.mark.parametrize("question", [*QUESTIONS, *OF_THE_CLOUD, *OF_LABELS])
async def test_the_lines_add_up_to_the_report(ask: Asker, question: str):
    await check_sums(ask, question)


@pytest.mark.parametrize("question", [*QUESTIONS, *OF_THE_CLOUD, *OF_LABELS])
@pytest.mark.parametrize("currency", ["EUR", "USD"])
async def test_the_lines_add_up_in_every_currency(ask: Asker, currencies: None, question: str, currency: str):
    await check_sums(ask, f"{question}&currency={currency}")


BOTH_MONTHS = "start_date=2024-05-01&end_date=2024-06-18"


@pytest.fixture(scope="module")
def static_rates(currencies: None, writer: Database) -> None:
    """Some rates of francs are set by hand, of each month others; the rest is one to one."""
    pairs = {("05", "EUR"): "0.95", ("06", "USD"): "0.875", ("06", "EUR"): "0.9"}
    rows = [
        {
            "effective_date": date(2024, int(month), 1),
            "base_currency": base,
            "target_currency": "CHF",
            "exchange_rate": rate,
            "rate_type": "static",
        }
        for (month, base), rate in pairs.items()
    ]
    with writer.tenant(SCHEMA) as connection:
        connection.execute(insert(ENABLED_CURRENCY).values(currency_code="CHF"))
        connection.execute(insert(MONTHLY_EXCHANGE_RATE), rows)


@pytest.mark.parametrize(
    "question",
    [
        JUNE,
        BOTH_MONTHS,
        f"{BOTH_MONTHS}&filter[resolution]=monthly",
        f"{BOTH_MONTHS}&filter[resolution]=monthly&group_by[project]=*",
        f"{BOTH_MONTHS}&filter[resolution]=monthly&group_by[tag:app]=*",
        f"{BOTH_MONTHS}&filter[project]=web&filter[tag:app]=shop",
    ],
)
async def test_the_lines_add_up_with_rates_set_by_hand(ask: Asker, static_rates: None, question: str):
    await check_sums(ask, f"{question}&currency=CHF")


async def test_a_line_shows_the_rate_of_its_month(ask: Asker, static_rates: None):
    answer = await ask(f"{EXPLAIN}?{BOTH_MONTHS}&filter[resolution]=monthly&currency=CHF&limit=1000")

    factors = {(line["date"], line["kind"]): line.get("exchange_rate", 1.0) for line in answer["data"]}
    assert factors["2024-05", "raw"] == 1.0, "none is set, none was fetched"
    assert factors["2024-06", "raw"] == 0.875


async def test_lines_by_day_and_project_are_the_rows_of_the_report(ask: Asker):
    question = "start_date=2024-06-16&end_date=2024-06-18&group_by[project]=*"
    answer = await ask(f"{EXPLAIN}?{question}&limit=0")
    report = await ask(f"reports/openshift/costs/?{question}")
    shown: dict[tuple[str, str], float] = defaultdict(float)
    for day in report["data"]:
        for project in day["projects"]:
            for value in project["values"]:
                shown[day["date"], project["project"]] += value["cost"]["distributed"]["value"]
    found: dict[tuple[str, str], float] = defaultdict(float)
    for line in answer["data"]:
        found[line["date"], line["project"]] += line["cost"]["value"]
    assert dict(found) == pytest.approx(dict(shown))


async def test_pages_cut_the_lines_and_keep_the_total(ask: Asker):
    whole = await ask(f"{EXPLAIN}?{JUNE}&limit=0")
    part = await ask(f"{EXPLAIN}?{JUNE}&limit=2&offset=1")
    assert part["data"] == whole["data"][1:3]
    assert part["meta"]["total"] == whole["meta"]["total"]
    assert part["links"]["next"].endswith("limit=2&offset=3&start_date=2024-06-01")


@pytest.mark.parametrize(
    "query",
    [
        "filter[tag:unknown]=shop",
        "filter[bogus]=x",
        "group_by[project]=*&filter[limit]=2",
        "order_by[cost]=asc",
        "delta=cost",
        "bogus=1",
        "currency=XXX",
        "start_date=2024-06-01",
        "filter[time_scope_value]=-5",
    ],
)
async def test_what_lines_cannot_tell_is_refused(ask: Asker, query: str):
    assert (await ask.refused(f"{EXPLAIN}?{query}"))[0] == 400


async def test_access_limits_lines_totals_and_pools(ask: Asker):
    scoped = ask.as_(restricted({"openshift.cluster": ["*"], "openshift.project": ["web"]}))
    answer = await scoped(f"{EXPLAIN}?{JUNE}&group_by[project]=*")
    assert {line["project"] for line in answer["data"]} == {"web"}
    assert all(not {"value", "units"} & set(line.get("pool", {})) and "share" not in line for line in answer["data"])
    assert summed(answer) == pytest.approx(cost(answer, "distributed"))
    assert (await scoped.refused(f"{EXPLAIN}?{JUNE}&filter[project]=db"))[0] == 403
    assert (await ask.as_(restricted({"cost_model": ["*"]})).refused(EXPLAIN))[0] == 403


async def test_every_cost_row_of_the_sample_has_its_line(writer: Database):
    """Guards the fixture: without lines all sums would be equal for the wrong reason."""
    daily, used = DAILY_SUMMARY.c, RATES_TO_USAGE.c
    with writer.tenant(SCHEMA) as connection:
        rows = connection.scalar(
            select(func.count()).where(or_(daily.cost_model_rate_type.is_not(None), daily.distributed_cost != 0))
        )
        lines = connection.scalar(select(func.count()).select_from(RATES_TO_USAGE).where(used.source_uuid.is_not(None)))
    assert rows == 10
    assert lines is not None
    assert lines >= rows
