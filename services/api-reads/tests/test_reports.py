"""Evaluation of reports beyond the worked examples: filters, orders, ranking, money, CSV (read-api §2–§4, §9)."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, update

from kura.store.database import Database
from kura.store.tables.shared import EXCHANGE_RATE_DICTIONARY, PROVIDER, PROVIDER_INFRASTRUCTURE_MAP
from kura.store.tables.tenant import (
    COST_MODEL,
    COST_MODEL_MAP,
    DAILY_SUMMARY,
    ENABLED_CURRENCY,
    ENABLED_TAG_KEYS,
    MONTHLY_EXCHANGE_RATE,
    REPORT_PERIOD,
)
from kura.testing.asking import Asker
from kura.testing.postgres import SCHEMA
from kura.testing.summary_rows import SOURCE_A, line, raw

MONTH = "filter[time_scope_value]=-1"
DAY_17 = "start_date=2024-06-17&end_date=2024-06-17"
COSTS = "reports/openshift/costs/"
COMPUTE = "reports/openshift/compute/"


def total(row) -> float:
    return row["cost"]["total"]["value"]


async def labels(ask: Asker, query: str, *, report: str = COSTS, name: str = "project") -> list[str]:
    answer = await ask(f"{report}?{query}&group_by[{name}]=*")
    return [group[name.removeprefix("tag:")] for group in answer["data"][0][f"{name.removeprefix('tag:')}s"]]


# --------------------------------------------------------------------------------------------------------- filters


@pytest.mark.parametrize(
    ("query", "cost"),
    [
        ("filter[project]=WEB", 87.0),
        ("filter[project]=e", 87.0 + 9.9 + 3.3 + 1.32),
        ("filter[exact:project]=e", 0.0),
        ("filter[exact:project]=web", 87.0),
        ("filter[exact:project]=web&filter[project]=db", 87.0 + 41.2),
        ("filter[project]=web,db", 87.0 + 41.2),
        ("filter[project]=*", 164.72),
        ("filter[and:project]=net&filter[and:project]=unatt", 1.32),
        ("filter[and:project]=net&filter[and:project]=web", 0.0),
        ("filter[or:project]=web,db&filter[or:node]=n1", 75.0 + 2.2),
        ("filter[project]=%25", 0.0),
        ("filter[project]=_", 0.0),
        ("filter[cluster]=alpha", 152.72),
        ("filter[cluster]=cl-", 164.72),
        ("filter[tag:app]=*", 73.5 + 33 + 22),
        ("filter[exact:tag:app]=shop", 73.5),
        ("filter[tag:app]=shop", 73.5 + 33 + 22),
        ("filter[and:tag:app]=shop&filter[and:tag:app]=db", 33.0),
        ("filter[category]=plat", 9.9),
        ("filter[persistentvolumeclaim]=pvc", 2.2),
        ("filter[storageclass]=gp", 2.2),
        ("filter[infrastructures]=aws", 152.72),
        ("filter[infrastructures]=gcp", 0.0),
        ("exclude[project]=web", 77.72),
        ("exclude[exact:project]=we", 164.72),
        ("exclude[exact:project]=web", 77.72),
        ("exclude[and:project]=we&exclude[and:project]=db", 164.72),
        ("exclude[project]=*", 164.72),
        ("exclude[persistentvolumeclaim]=pvc", 162.52),
        ("exclude[tag:app]=shop", 36.22),
        ("exclude[tag:app]=*", 164.72),
        ("exclude[exact:tag:app]=shop", 164.72 - 73.5),
        ("exclude[category]=platform", 164.72 - 9.9),
        ("exclude[infrastructures]=aws", 12.0),
    ],
)
async def test_filters_and_excludes(ask: Asker, on_aws, query: str, cost: float):
    answer = await ask(f"{COSTS}?{DAY_17}&{query}")

    assert total(answer["meta"]["total"]) == pytest.approx(cost, abs=1e-12)


@pytest.fixture(scope="module")
def on_aws(writer: Database) -> None:
    """The cluster of source A runs on AWS."""
    with writer.begin() as connection:
        mapping = connection.execute(
            insert(PROVIDER_INFRASTRUCTURE_MAP)
            .values(infrastructure_type="AWS", infrastructure_provider_id=SOURCE_A)
            .returning(PROVIDER_INFRASTRUCTURE_MAP.c.id)
        ).scalar_one()
        connection.execute(PROVIDER.update().where(PROVIDER.c.uuid == SOURCE_A).values(infrastructure_id=mapping))


async def test_every_filter_table_gives_the_same_total(ask: Asker):
    for report in ("costs", "compute", "memory", "volumes"):
        url = f"reports/openshift/{report}/?{DAY_17}"
        narrow = await ask(url)
        daily = await ask(f"{url}&exclude[tag:app]=*")
        assert narrow["meta"]["total"] == daily["meta"]["total"], report


async def test_hostile_label_keys_and_values_are_only_text(ask: Asker, writer: Database):
    hostile = """a' or 1=1--"\\%$$`{}:x"""
    with writer.tenant(SCHEMA) as connection:
        connection.exec_driver_sql(
            "insert into reporting_enabledtagkeys (key, provider_type) values (%s, 'OCP')", (hostile,)
        )
    from urllib.parse import quote

    for query in (
        f"filter[tag:{quote(hostile)}]={quote(hostile)}",
        f"group_by[tag:{quote(hostile)}]=*",
        f"filter[project]={quote(hostile)}",
    ):
        answer = await ask(f"{COSTS}?{DAY_17}&{query}")
        assert answer["meta"]["count"] == 1


# ---------------------------------------------------------------------------------------------------------- groups


async def test_three_groups(ask: Asker):
    answer = await ask(f"{COSTS}?{DAY_17}&group_by[cluster]=*&group_by[node]=*&group_by[project]=*")

    tree = {
        cluster["cluster"]: {node["node"]: [p["project"] for p in node["projects"]] for node in cluster["nodes"]}
        for cluster in answer["data"][0]["clusters"]
    }
    assert tree == {
        "cl-a": {
            "n1": ["web", "Worker unallocated", "db", "Network unattributed"],
            "n2": ["db", "batch", "kube-system"],
        },
        "cl-b": {"m1": ["web"]},
    }


async def test_a_tag_named_like_a_row_field_is_prefixed(ask: Asker, writer: Database):
    with writer.tenant(SCHEMA) as connection:
        connection.exec_driver_sql("insert into reporting_enabledtagkeys (key, provider_type) values ('node', 'OCP')")

    answer = await ask(f"{COSTS}?{DAY_17}&group_by[tag:node]=*")

    (group,) = answer["data"][0]["tag:nodes"]
    assert group["tag:node"] == "No-node"


async def test_label_keys_cannot_pass_for_marks_of_rows(ask: Asker, writer: Database):
    with writer.tenant(SCHEMA) as connection:
        for key in ("others", "filled", "rank", "cost_total"):
            connection.execute(insert(ENABLED_TAG_KEYS).values(key=key, provider_type="OCP"))
    for key in ("others", "filled"):
        answer = await ask(f"{COSTS}?{DAY_17}&group_by[tag:{key}]=*")
        assert total(answer["data"][0][f"{key}s"][0]["values"][0]) == 164.72
    for key in ("rank", "cost_total"):
        answer = await ask(f"{COSTS}?{DAY_17}&group_by[tag:{key}]=*&filter[limit]=1")
        assert total(answer["data"][0][f"tag:{key}s"][0]["values"][0]) == 164.72


async def test_missing_claims_are_labelled(ask: Asker):
    assert await labels(ask, DAY_17, name="storageclass") == ["No-storageclass", "gp2"]


async def test_a_month_that_changed_after_it_was_folded_is_read_by_day(ask: Asker, writer: Database):
    url = f"{COSTS}?filter[time_scope_value]=-2&group_by[tag:app]=*"
    folded = await ask(url)
    late = line("cl-a", "2024-05-10", "db", "n2", labels={"app": "late"}, **raw(5, 0))
    with writer.tenant(SCHEMA) as connection:
        connection.execute(insert(DAILY_SUMMARY).values(late))
        connection.execute(update(REPORT_PERIOD).values(summary_data_updated_datetime=func.clock_timestamp()))
    by_day = await ask(url)
    with writer.tenant(SCHEMA) as connection:
        connection.execute(delete(DAILY_SUMMARY).where(DAILY_SUMMARY.c.all_labels["app"].astext == "late"))
        connection.execute(update(REPORT_PERIOD).values(month_folded_datetime=func.clock_timestamp()))
    folded_again = await ask(url)

    assert "late" not in str(folded["data"])
    assert {"late": 5.0}.items() <= {a["app"]: total(a["values"][0]) for a in by_day["data"][0]["apps"]}.items()
    assert folded_again == folded


# ---------------------------------------------------------------------------------------------------------- orders


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("order_by[cost]=asc", ["kube-system", "Network unattributed", "Worker unallocated", "batch", "db", "web"]),
        ("order_by[project]=asc", ["batch", "db", "kube-system", "Network unattributed", "web", "Worker unallocated"]),
        ("order_by[project]=desc", ["Worker unallocated", "web", "Network unattributed", "kube-system", "db", "batch"]),
        ("order_by[distributed_cost]=desc", ["web", "db", "batch", "kube-system", "Network unattributed"]),
        ("order_by[supplementary]=desc", ["web", "db"]),
    ],
)
async def test_orders(ask: Asker, query: str, expected: list[str]):
    found = await labels(ask, f"{MONTH}&{query}")

    assert found[: len(expected)] == expected


async def test_equals_are_ordered_by_label(ask: Asker):
    found = await labels(ask, f"{MONTH}&order_by[supplementary]=desc")

    assert found[2:] == ["Network unattributed", "Worker unallocated", "batch", "kube-system"]


async def test_order_of_a_date(ask: Asker):
    query = "start_date=2024-06-16&end_date=2024-06-17&group_by[cluster]=*&group_by[node]=*"
    answer = await ask(f"reports/openshift/costs/?{query}&order_by[date]=2024-06-16")

    assert answer["meta"]["order_by"] == {"date": "2024-06-16"}
    last = answer["data"][-1]["clusters"]
    assert [(c["cluster"], [n["node"] for n in c["nodes"]]) for c in last] == [
        ("cl-a", ["n1", "n2"]),
        ("cl-b", ["m1"]),
    ]


async def test_an_order_date_without_rows_changes_nothing(ask: Asker):
    assert await labels(ask, f"{DAY_17}&order_by[date]=2024-06-01") == await labels(ask, DAY_17)


async def test_order_by_delta(ask: Asker):
    found = await labels(ask, f"{MONTH}&delta=cost&order_by[delta]=desc")

    assert found[-2:] == ["db", "web"]
    assert (await labels(ask, f"{MONTH}&delta=cost&order_by[delta]=asc"))[:2] == ["web", "db"]


# --------------------------------------------------------------------------------------------------------- ranking


async def test_one_merged_group_is_other(ask: Asker):
    found = await labels(ask, f"{MONTH}&filter[limit]=2", name="node")

    assert found == ["n1", "n2", "Other"]


async def test_ranked_groups_have_a_row_on_every_date_with_data(ask: Asker):
    answer = await ask(f"{COSTS}?start_date=2024-06-15&end_date=2024-06-18&group_by[project]=*&filter[limit]=2")

    by_date = {bucket["date"]: bucket["projects"] for bucket in answer["data"]}
    assert by_date["2024-06-15"] == []
    assert [p["project"] for p in by_date["2024-06-18"]] == ["web", "db", "Others"]
    assert total(by_date["2024-06-18"][2]["values"][0]) == 0.0
    filled = by_date["2024-06-18"][1]["values"][0]
    assert total(filled) == 0.0
    assert filled["clusters"] == ["alpha"]
    assert filled["classification"] is None
    web = by_date["2024-06-18"][0]["values"][0]
    assert web["clusters"] == ["alpha", "cl-b"], "ranked rows carry the clusters of the whole range"


async def test_two_groups_are_ranked_as_pairs(ask: Asker):
    answer = await ask(f"{COSTS}?{DAY_17}&group_by[cluster]=*&group_by[node]=*&filter[limit]=1")

    clusters = answer["data"][0]["clusters"]
    assert [(c["cluster"], [n["node"] for n in c["nodes"]]) for c in clusters] == [
        ("cl-a", ["n1"]),
        ("Others", ["Others"]),
    ]
    assert answer["meta"]["others"] == 2
    assert total(clusters[1]["nodes"][0]["values"][0]) == pytest.approx(70.9 + 12)


async def test_a_textual_order_ranks_pages(ask: Asker):
    pages = [
        await labels(ask, f"{MONTH}&filter[limit]=4&filter[offset]={offset}&order_by[node]=desc", name="node")
        for offset in (0, 1, 2)
    ]

    assert pages == [["n2", "n1", "m1"], ["n1", "m1"], ["m1"]]


async def test_limit_defaults_to_five_with_an_offset(ask: Asker):
    answer = await ask(f"{COSTS}?{MONTH}&group_by[project]=*&filter[offset]=0")

    assert len(answer["data"][0]["projects"]) == 5
    assert (answer["meta"]["count"], answer["meta"]["limit"]) == (6, 5)


async def test_the_rest_by_node_has_no_capacity(ask: Asker):
    answer = await ask(f"{COMPUTE}?{MONTH}&group_by[node]=*&filter[limit]=1")

    others = answer["data"][0]["nodes"][1]["values"][0]
    assert (others["node"], others["capacity"]["value"]) == ("Others", 0.0)


async def test_parts_of_limited_rows_add_up_to_the_total(ask: Asker):
    for limit in (1, 2, 3, 5, 9):
        answer = await ask(f"{COSTS}?{MONTH}&group_by[project]=*&filter[limit]={limit}")
        rows = [row for p in answer["data"][0]["projects"] for row in p["values"]]
        assert sum(Decimal(str(total(row))) for row in rows) == Decimal("231.22")


# ---------------------------------------------------------------------------------------------------------- deltas


async def test_comparing_two_fields(ask: Asker):
    answer = await ask(f"{COMPUTE}?{MONTH}&delta=usage__request&group_by[node]=*")

    assert answer["meta"]["delta"] == {"value": -18.0, "percent": pytest.approx(69 / 87 * 100)}
    row = answer["data"][0]["nodes"][0]["values"][0]
    assert (row["delta_value"], row["delta_percent"]) == (1.0, 102.5)


async def test_day_scopes_compare_with_as_many_days_before(ask: Asker):
    answer = await ask(f"{COSTS}?filter[time_scope_value]=-30&delta=cost")

    assert answer["meta"]["delta"]["value"] == pytest.approx(231.22 - 44), "06-16 … 06-18 with 05-17 … 05-19"


# ----------------------------------------------------------------------------------------------------------- money


@pytest.fixture
def euros(writer: Database):
    """USD and EUR enabled with rates; source A's cost model is in EUR."""
    with writer.tenant(SCHEMA) as connection:
        connection.execute(insert(ENABLED_CURRENCY).values(currency_code="EUR"))
        rates = {"USD": {"USD": 1, "EUR": 0.9}, "EUR": {"EUR": 1, "USD": 1.2}}
        connection.execute(delete(EXCHANGE_RATE_DICTIONARY))
        connection.execute(insert(EXCHANGE_RATE_DICTIONARY).values(currency_exchange_dictionary=rates))
        model = connection.execute(
            insert(COST_MODEL).values(name="euros", source_type="OCP", currency="EUR").returning(COST_MODEL.c.uuid)
        ).scalar_one()
        connection.execute(insert(COST_MODEL_MAP).values(provider_uuid=SOURCE_A, cost_model_id=model))
    yield
    with writer.tenant(SCHEMA) as connection:
        connection.execute(delete(ENABLED_CURRENCY).where(ENABLED_CURRENCY.c.currency_code == "EUR"))
        for table in (COST_MODEL_MAP, COST_MODEL, EXCHANGE_RATE_DICTIONARY):
            connection.execute(delete(table))


@pytest.mark.parametrize(("currency", "cost"), [("EUR", 150.948), ("USD", 167.72)])
async def test_the_worked_example_of_currencies(ask: Asker, euros, currency: str, cost: float):
    answer = await ask(f"{COSTS}?{DAY_17}&currency={currency}")

    assert total(answer["meta"]["total"]) == pytest.approx(cost, abs=1e-12)
    assert answer["meta"]["total"]["cost"]["total"]["units"] == currency
    assert answer["meta"]["currency"] == currency


def static_rate(month: date, base: str, target: str, value: str) -> dict[str, Any]:
    pair = {"base_currency": base, "target_currency": target}
    return {"effective_date": month, **pair, "exchange_rate": value, "rate_type": "static"}


async def test_the_rate_set_for_a_month_stands_before_the_fetched_one(ask: Asker, writer: Database, euros):
    june, may = date(2024, 6, 1), date(2024, 5, 1)

    async def cost(query: str) -> float:
        return total((await ask(f"{COSTS}?{query}"))["meta"]["total"])

    in_may = "filter[time_scope_value]=-2&currency=USD"
    before = await cost(in_may)
    assert await cost(f"{DAY_17}&currency=USD") == pytest.approx(137.72 + 15 * 1.2 + 12)
    with writer.tenant(SCHEMA) as connection:
        connection.execute(insert(MONTHLY_EXCHANGE_RATE), static_rate(june, "EUR", "USD", "1.5"))
    assert await cost(f"{DAY_17}&currency=USD") == pytest.approx(137.72 + 15 * 1.5 + 12)
    assert await cost(f"{DAY_17}&currency=EUR") == pytest.approx(150.948), "the opposite pair is another one"
    assert await cost(in_may) == before
    with writer.tenant(SCHEMA) as connection:
        rates = [static_rate(june, "USD", "EUR", "0.5"), static_rate(may, "EUR", "USD", "2")]
        connection.execute(insert(MONTHLY_EXCHANGE_RATE), rates)
    assert await cost(f"{DAY_17}&currency=EUR") == pytest.approx(137.72 * 0.5 + 15 + 12)
    with writer.tenant(SCHEMA) as connection:
        connection.execute(delete(MONTHLY_EXCHANGE_RATE))
    assert await cost(f"{DAY_17}&currency=USD") == pytest.approx(167.72)


async def test_csv_shows_the_largest_factor(ask: Asker, euros):
    header, first, *_ = (await ask.csv(f"{COSTS}?{DAY_17}&currency=EUR")).split("\r\n")
    row = dict(zip(header.split(","), first.split(","), strict=True))

    assert (row["cost_units"], Decimal(row["exchange_rate"])) == ("EUR", 1)


async def test_exchange_rates(ask: Asker, euros):
    assert (await ask("exchange-rates/"))["USD"] == {"USD": 1, "EUR": 0.9}
    assert [item["code"] for item in (await ask("currency/"))["data"]] == ["EUR", "USD"]


async def test_a_change_of_settings_is_seen_at_once(ask: Asker, writer: Database):
    url = f"{COSTS}?{DAY_17}"
    assert (await ask(url))["meta"]["currency"] == "USD"
    with writer.tenant(SCHEMA) as connection:
        connection.exec_driver_sql("update tenant_settings set currency = 'EUR'")
    assert (await ask(url))["meta"]["currency"] == "EUR"
    with writer.tenant(SCHEMA) as connection:
        connection.exec_driver_sql("update tenant_settings set currency = 'USD'")
    assert (await ask(url))["meta"]["currency"] == "USD"


# ------------------------------------------------------------------------------------------------------------- CSV


async def test_csv_texts_cannot_be_formulas(ask: Asker, writer: Database):
    day = "2024-05-02"
    with writer.tenant(SCHEMA) as connection:
        for name in ("=1+1", "+x", "-x", "@x"):
            connection.execute(insert(DAILY_SUMMARY).values(line("cl-a", day, name, "n1", **raw(-1, 0))))
    text = await ask.csv(f"{COSTS}?start_date={day}&end_date={day}&group_by[project]=*&filter[node]=n1")

    lines = text.split("\r\n")[1:-1]
    assert len(lines) == 4
    for name in ("=1+1", "+x", "-x", "@x"):
        assert any(f",'{name}," in line for line in lines)
    assert all(",-1." in line for line in lines), "numbers keep their sign"


async def test_csv_pages_rows(ask: Asker):
    url = f"{COSTS}?{MONTH}&group_by[project]=*&order_by[cost]=desc"
    assert len((await ask.csv(f"{url}&limit=2&offset=1")).split("\r\n")) == 1 + 2 + 1
    everything = await ask.csv(f"{url}&limit=0")
    assert len(everything.split("\r\n")) == 1 + 7 + 1, "kube-system has two rows"


async def test_an_empty_csv_is_empty(ask: Asker):
    assert await ask.csv(f"{COSTS}?start_date=2024-04-01&end_date=2024-04-02") == ""


async def test_a_limited_csv_has_ranks_and_the_rest(ask: Asker):
    header, *lines, _ = (await ask.csv(f"{COSTS}?{MONTH}&group_by[project]=*&filter[limit]=1")).split("\r\n")

    rows = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
    assert [(row["project"], row["rank"]) for row in rows] == [("web", "1"), ("Others", "2")]
