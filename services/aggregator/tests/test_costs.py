"""Costs from end to end: Parquet and PostgreSQL in, cost rows, explained lines and UI tables out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from cluster_house import DAY, HOUR_SECONDS, JANUARY, Cluster, midnight, pod_day, volume_day
from sqlalchemy import insert

from kura.aggregator.cost_facts import model_of, priced_on
from kura.aggregator.pipelines import costs
from kura.aggregator.pipelines.cost_preview import Preview, preview_costs
from kura.aggregator.pipelines.costs import apply_cost_model
from kura.aggregator.pipelines.openshift import Fence, Outcome, SummaryRun
from kura.core.days import DayRange
from kura.core.errors import LeaseLost
from kura.store.tables import tenant
from kura.testing.digest import digest_on

LATER = date(2025, 6, 18)
NEXT_DAY = DAY + timedelta(days=1)
SUMS = "sum(cost_model_cpu_cost) + sum(cost_model_memory_cost) + sum(cost_model_volume_cost)"


def tiered(metric: str, value: object, cost_type: str = "Infrastructure") -> dict[str, Any]:
    return {"metric": {"name": metric}, "cost_type": cost_type, "tiered_rates": [{"value": str(value)}]}


def tagged(metric: str, key: str, cost_type: str = "Infrastructure", **values: object) -> dict[str, Any]:
    tags = [{"tag_value": value, "value": str(rate), "default": False} for value, rate in values.items()]
    return {"metric": {"name": metric}, "cost_type": cost_type, "tag_rates": {"tag_key": key, "tag_values": tags}}


def add_model(
    cluster: Cluster,
    *rates: Mapping[str, Any],
    start: date = date(2025, 1, 1),
    end: date = date(2099, 12, 31),
    markup: str | None = None,
    **switches: bool,
) -> UUID:
    """A cost model with one price list, mapped to the source."""
    model, price_list = uuid4(), uuid4()
    with cluster.database.tenant(cluster.schema) as connection:
        connection.execute(
            insert(tenant.COST_MODEL).values(
                uuid=model,
                name="Model",
                source_type="OCP",
                markup={"value": markup, "unit": "percent"} if markup else {},
                distribution_info=switches,
            )
        )
        connection.execute(
            insert(tenant.COST_MODEL_MAP).values(provider_uuid=cluster.provider_uuid, cost_model_id=model)
        )
        connection.execute(
            insert(tenant.PRICE_LIST).values(
                uuid=price_list,
                name="Prices",
                currency="USD",
                effective_start_date=start,
                effective_end_date=end,
                rates=[{**rate, "rate_id": str(UUID(int=number + 1))} for number, rate in enumerate(rates)],
            )
        )
        connection.execute(
            insert(tenant.PRICE_LIST_COST_MODEL_MAP).values(price_list_id=price_list, cost_model_id=model, priority=1)
        )
        for number, rate in enumerate(rates):
            tags = rate.get("tag_rates")
            connection.execute(
                insert(tenant.COST_MODEL_RATE).values(
                    uuid=UUID(int=number + 1),
                    price_list_id=price_list,
                    custom_name=f"rate {number + 1}",
                    metric=rate["metric"]["name"],
                    metric_type="cpu",
                    cost_type=rate["cost_type"],
                    default_rate=None if tags else Decimal(rate["tiered_rates"][0]["value"]),
                    tag_key=tags["tag_key"] if tags else "",
                )
            )
    return model


def apply(
    cluster: Cluster, start: date = DAY, end: date | None = None, *, today: date = LATER, fence: Fence | None = None
) -> Outcome:
    run = SummaryRun(
        schema=cluster.schema,
        provider_uuid=cluster.provider_uuid,
        days=DayRange(start, end or start),
        fence=fence,
    )
    return apply_cost_model(run, cluster.resources, lambda *_: None, lambda _: None, today=today)


def total(cluster: Cluster, table: str, where: str = "true") -> Decimal:
    return cluster.sql(f"select coalesce({SUMS}, 0) as total from {table} where {where}")[0]["total"]


def digest(cluster: Cluster) -> Any:
    with cluster.database.begin() as connection:
        found = digest_on(connection, cluster.schema)
    return dict(vars(found))


def near(value: Any) -> Any:
    return pytest.approx(value, abs=Decimal("1e-9"))


@pytest.fixture
def priced(cluster: Cluster) -> Cluster:
    """A cluster with a day of data and a cost model."""
    cluster.enable("app")
    cluster.take_in_day()
    cluster.run()
    add_model(
        cluster,
        tiered("cpu_core_usage_per_hour", 0.5, "Supplementary"),
        tiered("node_cost_per_month", 310),
        tiered("storage_gb_request_per_month", 2),
        tagged("cpu_core_usage_per_hour", "app", web=3),
        worker_cost=True,
        platform_cost=True,
    )
    return cluster


def test_costs_are_in_every_table_and_agree(priced: Cluster):
    outcome = apply(priced)

    assert outcome.rows_written > 0
    whole = total(priced, "reporting_ocpusagelineitem_daily_summary")
    assert whole > 0
    for table in ("cost_summary_p", "cost_summary_by_project_p", "cost_summary_by_node_p", "month_summary_p"):
        assert total(priced, f"reporting_ocp_{table}") == whole
    lines = priced.sql("select sum(calculated_cost) as costs, sum(distributed_cost) as handed_on from rates_to_usage")
    assert lines[0]["costs"] == near(whole)
    assert lines[0]["handed_on"] == near(0)


def test_three_nodes_cost_a_day_of_their_months(priced: Cluster):
    apply(priced)

    monthly = total(priced, "reporting_ocpusagelineitem_daily_summary", "monthly_cost_type = 'Node'")
    assert monthly == near(3 * 10)


def test_a_second_run_changes_nothing(priced: Cluster):
    apply(priced)
    first = digest(priced)

    apply(priced)

    assert digest(priced) == first


def test_the_engine_and_postgresql_fill_the_same_tables_with_costs(priced: Cluster, monkeypatch: pytest.MonkeyPatch):
    priced.take_in("storage_usage", [volume_day(NEXT_DAY, pod="gone", claim="idle")], daily=True, days=[NEXT_DAY])
    priced.run(DAY, NEXT_DAY)
    apply(priced, DAY, NEXT_DAY)
    by_postgresql = digest(priced)

    priced.sql("delete from reporting_ocp_cost_summary_by_project_p where cost_model_rate_type is not null")
    by_engine = replace(priced, resources=replace(priced.resources, many_rows=1))
    apply(by_engine, DAY, NEXT_DAY)
    assert digest(priced) == by_postgresql

    monkeypatch.setattr(costs, "ROWS_AT_ONCE", 1)  # a day at a time
    priced.sql("delete from reporting_ocp_month_summary_p where cost_model_rate_type is not null")
    apply(by_engine, DAY, NEXT_DAY)
    assert digest(priced) == by_postgresql

    apply(by_engine, DAY)  # the month has other days
    assert digest(priced) == by_postgresql


def test_a_month_that_was_not_folded_is_folded_with_its_costs(priced: Cluster):
    apply(priced)
    by_postgresql = digest(priced)

    priced.sql("delete from reporting_ocp_month_summary_p")
    priced.sql("update reporting_ocpusagereportperiod set summary_data_updated_datetime = clock_timestamp()")
    apply(replace(priced, resources=replace(priced.resources, many_rows=1)))

    assert digest(priced) == by_postgresql


def test_a_line_of_two_days_says_what_two_lines_say(priced: Cluster):
    priced.take_in_day(NEXT_DAY)
    priced.run(DAY, NEXT_DAY)
    apply(priced, DAY)
    apply(priced, NEXT_DAY)
    by_day = digest(priced)
    assert priced.sql("select * from rates_to_usage where days is not null") == []

    apply(priced, DAY, NEXT_DAY)
    of_two = priced.sql("select * from rates_to_usage where days is not null")
    assert {tuple(line["days"]) for line in of_two} == {(DAY, NEXT_DAY)}
    assert digest(priced) == by_day

    apply(priced, NEXT_DAY)
    assert digest(priced) == by_day
    apply(priced, DAY, NEXT_DAY)
    priced.run(DAY)
    left = priced.sql("select distinct usage_start, usage_end, days from rates_to_usage")
    assert left == [{"usage_start": NEXT_DAY, "usage_end": NEXT_DAY, "days": [NEXT_DAY]}]
    apply(priced, DAY)
    assert digest(priced) == by_day


def test_a_summary_takes_the_costs_away_and_the_next_run_brings_them_back(priced: Cluster):
    apply(priced)
    whole = total(priced, "reporting_ocpusagelineitem_daily_summary")

    priced.run()
    assert total(priced, "reporting_ocpusagelineitem_daily_summary") == 0
    assert priced.sql("select * from rates_to_usage") == []
    apply(priced)

    assert total(priced, "reporting_ocpusagelineitem_daily_summary") == whole


def test_detaching_the_model_removes_all_costs(priced: Cluster):
    apply(priced)

    priced.sql("delete from cost_model_map")
    apply(priced)

    assert priced.summary("cost_model_rate_type is not null") == []
    assert priced.sql("select * from rates_to_usage") == []
    for table in ("cost_summary_p", "cost_summary_by_project_p", "month_summary_p"):
        assert priced.sql(f"select * from reporting_ocp_{table} where cost_model_rate_type is not null") == []


def test_a_price_list_of_another_month_costs_nothing(cluster: Cluster):
    cluster.take_in_day()
    cluster.run()
    add_model(cluster, tiered("cpu_core_usage_per_hour", 1), start=date(2025, 2, 1))

    apply(cluster)

    assert cluster.summary("cost_model_rate_type is not null") == []


def test_a_source_without_model_is_only_stamped(cluster: Cluster):
    cluster.take_in_day()
    cluster.run()
    before = digest(cluster)

    outcome = apply(cluster)

    assert outcome.rows_written == 0
    [period] = cluster.sql("select derived_cost_datetime from reporting_ocpusagereportperiod")
    assert period["derived_cost_datetime"] is not None
    after = digest(cluster)
    assert {k: v for k, v in after.items() if "period" not in k}.keys() == before.keys()


def test_a_lease_that_moved_on_lets_nothing_be_written(priced: Cluster):
    with pytest.raises(LeaseLost):
        apply(priced, fence=Fence(lease_name="summary:x", token=7))

    assert priced.summary("cost_model_rate_type is not null") == []


def test_markup_is_set_on_raw_cost_alone_and_stays_without_a_value(cluster: Cluster):
    cluster.take_in_day()
    cluster.run()
    cluster.sql(
        "insert into reporting_ocpusagelineitem_daily_summary"
        " (usage_start, usage_end, report_period_id, cluster_id, source_uuid, data_source, namespace, node,"
        "  infrastructure_raw_cost, infrastructure_project_raw_cost, pod_labels, all_labels, raw_currency)"
        " values (:day, :day, :period, :cluster, :source, 'Pod', 'shop', 'n1', 123.45, 123.45, '{}', '{}', 'EUR')",
        day=DAY,
        period=cluster.report_period_id,
        cluster=cluster.cluster_id,
        source=cluster.provider_uuid,
    )
    add_model(cluster, markup="10")

    apply(cluster)
    assert total_markup(cluster) == Decimal("12.345")

    cluster.sql("update cost_model set markup = '{}'")
    apply(cluster)
    assert total_markup(cluster) == Decimal("12.345")

    cluster.sql("""update cost_model set markup = '{"value": "0", "unit": "percent"}'""")
    apply(cluster)
    assert total_markup(cluster) == 0


def total_markup(cluster: Cluster) -> Decimal:
    return cluster.sql("select sum(infrastructure_markup_cost) as markup from reporting_ocp_cost_summary_p")[0][
        "markup"
    ]


# --------------------------------------------------------------------------------------------------------------- GPUs


@pytest.fixture
def with_gpus(cluster: Cluster) -> Cluster:
    """One GPU of two on a node is used by two namespaces for twelve hours each."""
    cluster.take_in_day(pods=[pod_day(namespace="a"), pod_day(namespace="b", pod="b-1")])
    labels = orjson.dumps({"nvidia_com_gpu_present": "true", "nvidia_com_gpu_count": "2"}).decode()
    hours = [
        {"interval_start": midnight(DAY) + timedelta(hours=hour), "node": "n1", "node_labels": labels}
        for hour in range(24)
    ]
    cluster.take_in("node_labels", hours, daily=False, days=[DAY])
    items = [
        {
            "interval_start": midnight(DAY),
            "namespace": namespace,
            "node": "n1",
            "pod": f"{namespace}-1",
            "gpu_uuid": "GPU-1",
            "gpu_vendor_name": "nvidia",
            "gpu_model_name": "T4",
            "gpu_memory_capacity_mib": 16384.0,
            "gpu_pod_uptime": 12 * HOUR_SECONDS,
        }
        for namespace in ("a", "b")
    ]
    cluster.take_in("gpu_usage", items, daily=True, days=[DAY])
    cluster.run()
    add_model(cluster, tagged("gpu_cost_per_month", "nvidia", T4=310), gpu_unallocated=True)
    return cluster


def gpu_costs(cluster: Cluster) -> dict[str, Decimal]:
    rows = cluster.sql(
        "select namespace, coalesce(sum(cost_model_gpu_cost), 0) + coalesce(sum(distributed_cost), 0) as cost"
        " from reporting_ocpusagelineitem_daily_summary where data_source = 'GPU' group by namespace"
    )
    return {row["namespace"]: row["cost"] for row in rows}


def test_gpus_of_a_past_month_are_distributed_with_any_run(with_gpus: Cluster):
    apply(with_gpus)

    assert gpu_costs(with_gpus) == near({"a": 10, "b": 10, "GPU unallocated": 0})
    table = with_gpus.sql("select sum(cost_model_gpu_cost) as cost from reporting_ocp_gpu_summary_p")
    assert table[0]["cost"] == near(10)
    projects = with_gpus.sql("select sum(distributed_cost) as cost from reporting_ocp_cost_summary_by_project_p")
    assert projects[0]["cost"] == near(0)

    first = digest(with_gpus)
    apply(with_gpus, DAY + timedelta(days=1))
    assert digest(with_gpus) == first


def test_gpus_are_explained_once_however_often_their_month_is_summarised(with_gpus: Cluster):
    apply(with_gpus)
    first = explained_gpus(with_gpus)

    with_gpus.run()
    apply(with_gpus)

    assert first == near({"a": 5, "b": 5, "GPU unallocated": -10})
    assert explained_gpus(with_gpus) == first


def explained_gpus(cluster: Cluster) -> dict[str, Decimal]:
    rows = cluster.sql(
        "select namespace, sum(distributed_cost) as cost from rates_to_usage"
        " where cost_model_rate_type = 'gpu_distributed' group by namespace"
    )
    return {row["namespace"]: row["cost"] for row in rows}


def test_gpus_of_the_current_month_wait(with_gpus: Cluster):
    apply(with_gpus, today=JANUARY.last)

    assert gpu_costs(with_gpus) == near({"a": 5, "b": 5, "GPU unallocated": 10})


@pytest.mark.parametrize("last", [date(2099, 12, 31), JANUARY.last], ids=["prices go on", "prices end"])
def test_on_the_second_the_gpus_of_the_month_before_are_distributed(with_gpus: Cluster, last: date):
    with_gpus.sql("update price_list set effective_end_date = :last", last=last)
    apply(with_gpus, today=JANUARY.last)
    with_gpus.sql(
        "insert into reporting_ocpusagereportperiod"
        " (cluster_id, cluster_alias, report_period_start, report_period_end, provider_id)"
        " values (:cluster, 'x', '2025-02-01 00:00+00', '2025-03-01 00:00+00', :source)",
        cluster=with_gpus.cluster_id,
        source=with_gpus.provider_uuid,
    )

    apply(with_gpus, date(2025, 2, 1), today=date(2025, 2, 2))

    assert gpu_costs(with_gpus) == near({"a": 10, "b": 10, "GPU unallocated": 0})


# ------------------------------------------------------------------------------------------------------------- preview


def preview(cluster: Cluster, document: Mapping[str, Any], *, today: date = LATER) -> Preview:
    return preview_costs(
        cluster.resources,
        schema=cluster.schema,
        provider_uuids=[cluster.provider_uuid],
        days=DayRange(DAY, DAY),
        model_on=lambda day: model_of(priced_on(document, day)),
        today=today,
    )


PRICES = {
    "rates": [
        tiered("cpu_core_usage_per_hour", 0.5, "Supplementary"),
        tiered("node_cost_per_month", 310),
        tiered("storage_gb_request_per_month", 2),
        tagged("cpu_core_usage_per_hour", "app", web=3),
    ],
    "distribution_info": {"worker_cost": True, "platform_cost": True},
}


def test_a_preview_shows_what_an_apply_then_gives_and_writes_nothing(priced: Cluster):
    before = digest(priced)

    asked = preview(priced, PRICES)

    assert digest(priced) == before
    assert asked.now.total_cost == 0
    apply(priced)
    stored = preview(priced, {})
    assert {p.namespace: vars(p.now) for p in stored.projects} == {
        p.namespace: pytest.approx(vars(p.then), abs=1e-9) for p in asked.projects
    }
    assert stored.then.total_cost == 0


def test_a_preview_of_price_lists_takes_the_first_that_covers_the_month(priced: Cluster):
    def prices(start: str, end: str, value: float) -> dict[str, Any]:
        rates = [tiered("cpu_core_usage_per_hour", value)]
        return {"effective_start_date": start, "effective_end_date": end, "rates": rates}

    covering = [prices("2025-01-01", "2025-12-31", 2), prices("2025-01-01", "2025-01-31", 3)]
    earlier = prices("2020-01-01", "2024-12-31", 1)

    def previewed(document: Mapping[str, Any]) -> float:
        return preview(priced, document).then.total_cost

    assert previewed({"rates": earlier["rates"], "price_lists": [earlier]}) == 0
    assert previewed({"price_lists": [earlier, *covering]}) == previewed({"rates": covering[0]["rates"]}) > 0


def test_a_preview_of_a_past_month_hands_idle_gpus_on(with_gpus: Cluster):
    document = {
        "rates": [tagged("gpu_cost_per_month", "nvidia", T4=620)],
        "distribution_info": {"gpu_unallocated": True},
    }

    costs = {project.namespace: project.then.total_cost for project in preview(with_gpus, document).projects}

    assert costs == pytest.approx(
        {"a": 20, "b": 20, "GPU unallocated": 0} | dict.fromkeys(costs.keys() - {"a", "b"}, 0), abs=1e-9
    )
