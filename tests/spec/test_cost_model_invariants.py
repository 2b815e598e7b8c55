"""What holds for the costs of any cost model, over the API and the stored tables, with two clusters of random usage.

Costs are conserved: over projects, nodes and clusters, by distribution, by a second run, and by the lines that explain
them. `KURA_FUZZ_EXAMPLES` sets how many are tried; the default is brief.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import product_costs
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from sqlalchemy import insert, text
from starlette.applications import Starlette

from kura.aggregator.config import AggregatorSettings
from kura.aggregator.engine import Engines
from kura.aggregator.pipelines.costs import apply_cost_model
from kura.aggregator.pipelines.openshift import Resources, SummaryRun
from kura.aggregator.steps.costs import shapes
from kura.aggregator.summary_parquet import summary_key
from kura.api_reads.app import build_app as build_reads
from kura.api_reads.app import build_gateway
from kura.api_writes.app import build_app as build_writes
from kura.core.days import DayRange, Month
from kura.core.identity import HeaderIdentity
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.store.partitions import ensure_partitions
from kura.store.tables import tenant
from kura.testing.asking import ADMIN, Asker
from kura.testing.cost_strategies import CostTables, cost_tables
from kura.testing.digest import Digest, digest_on
from kura.testing.gateways import identity_header
from kura.testing.postgres import DatabaseUrls, PostgresServer

API = "/api/cost-management/v1"
SEVERAL = max(2, int(os.environ.get("KURA_FUZZ_EXAMPLES", "15")) // 10)
EXAMPLES = settings(
    max_examples=SEVERAL,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # an example takes seconds: smaller ones are not looked for
)
NUMBERS = itertools.count(1)
KEYS = ("app", "env", "disk")
NEAR = 1e-9

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class House:
    """Both gateways and the aggregator over one database and object store."""

    database: Database
    resources: Resources
    writes: Starlette
    urls: DatabaseUrls


@pytest.fixture(scope="module")
def house(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    place = tmp_path_factory.mktemp("house")
    limits = AggregatorSettings.from_env(
        {"KURA_ENGINE_MEMORY_MIB": "256", "KURA_AGGREGATOR_RUNS": "1", "KURA_SPILL_DIRECTORY": str(place)}
    ).engine_limits()
    with (
        postgres_server.fresh_database() as urls,
        Database(urls.writer) as database,
        ObjectStore.open(f"file://{place}/objects") as objects,
        Engines(limits) as engines,
    ):
        yield House(
            database=database,
            resources=Resources(database=database, objects=objects, engines=engines),
            writes=build_writes(database=database, objects=objects, identity=HeaderIdentity()),
            urls=urls,
        )


# ------------------------------------------------------------------------------------------------------- one example


@dataclass(frozen=True, kw_only=True)
class Priced:
    """An organisation with two priced clusters, and the days that were priced."""

    house: House
    org_id: str
    runs: Sequence[SummaryRun]

    @property
    def schema(self) -> str:
        return f"org{self.org_id}"

    def apply(self) -> None:
        for run in self.runs:
            today = run.days.end + timedelta(days=1)
            apply_cost_model(run, self.house.resources, lambda *_: None, lambda _: None, today=today)

    def digest(self) -> Digest:
        with self.house.database.begin() as connection:
            return digest_on(connection, self.schema)

    def sql(self, statement: str) -> list[Any]:
        with self.house.database.tenant(self.schema) as connection:
            return list(connection.execute(text(statement)).all())


async def priced(house: House, first: CostTables, second: CostTables) -> Priced:
    """Cost models come in over the API, each with price lists of its own validity."""
    org_id = f"88{next(NUMBERS):05d}"
    transport = httpx.ASGITransport(house.writes)
    days = DayRange(first.start, first.end)
    async with httpx.AsyncClient(transport=transport, base_url="http://kura", headers=identity_header(org_id)) as http:
        runs = []
        for number, tables in enumerate((first, second), start=1):
            body = {"name": f"c{number}", "source_type": "OCP", "source_ref": f"cluster-{number}"}
            source = await created(http, "sources/", body)
            await add_model(http, source["uuid"], tables.model, days, number)
            run = SummaryRun(schema=f"org{org_id}", provider_uuid=UUID(source["uuid"]), days=days)
            store_usage(house, run, tables, cluster=f"cluster-{number}", moved=first.start - tables.start)
            runs.append(run)
    return Priced(house=house, org_id=org_id, runs=runs)


async def created(http: httpx.AsyncClient, path: str, body: Json) -> Json:
    answer = await http.post(f"{API}/{path}", json=body)
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()
    return found


async def add_model(http: httpx.AsyncClient, source: str, model: Any, days: DayRange, number: int) -> None:
    """The prices hold in the month; before them in order stands a list that has ended."""
    month = Month.of(days.start)
    rates = [with_one_tier(rate) for rate in model.get("rates", ())]
    before = month.plus(-1)
    ended = {"effective_start_date": before.first.isoformat(), "effective_end_date": before.last.isoformat()}
    valid = {"effective_start_date": month.first.isoformat(), "effective_end_date": month.last.isoformat()}
    lists = [
        await created(http, "price-lists/", {"name": f"{name} {number}", "currency": "USD", "rates": rates, **dates})
        for name, dates in (("ended", ended), ("valid", valid))
    ]
    body = {"name": f"model {number}", "description": "", "source_type": "OCP", "source_uuids": [source]}
    asked = {name: model[name] for name in ("markup", "distribution_info") if name in model}
    await created(http, "cost-models/", {**body, **asked, "price_list_uuids": [one["uuid"] for one in lists]})


def with_one_tier(rate: Json) -> Json:
    """Tiers without bounds are refused beside each other."""
    tiers = rate.get("tiered_rates")
    if tiers:
        return {**rate, "tiered_rates": tiers[:1]}
    return rate


def store_usage(house: House, run: SummaryRun, tables: CostTables, *, cluster: str, moved: timedelta) -> None:
    """The daily summary in Parquet and in its table, cloud cost in the table alone."""
    usage = [{**row, "usage_start": row["usage_start"] + moved} for row in tables.summary]
    bills = [{**row, "usage_start": row["usage_start"] + moved} for row in tables.cloud]
    month = Month.of(run.days.start)
    for day in run.days:
        of_day = product_costs.rows_table([row for row in usage if row["usage_start"] == day], shapes.SUMMARY)
        with house.resources.objects.open_write(summary_key(run.source, day)) as target:
            pq.write_table(of_day, target)  # type: ignore[arg-type]
    with house.database.begin() as connection:
        ensure_partitions(connection, run.schema, months=[run.days.start])
    with house.database.tenant(run.schema) as connection:
        for key in KEYS:
            connection.execute(
                text(
                    "insert into reporting_enabledtagkeys (uuid, key, enabled, provider_type)"
                    " values (gen_random_uuid(), :key, true, 'OCP') on conflict do nothing"
                ),
                {"key": key},
            )
        connection.execute(insert(tenant.TENANT_PROVIDER).values(uuid=run.provider_uuid, name=cluster, type="OCP"))
        period = connection.execute(
            insert(tenant.REPORT_PERIOD)
            .values(
                cluster_id=cluster,
                cluster_alias=cluster,
                report_period_start=midnight(month.first),
                report_period_end=midnight(month.plus(1).first),
                provider_id=run.provider_uuid,
            )
            .returning(tenant.REPORT_PERIOD.c.id)
        ).scalar_one()
        for row in (*usage, *bills):
            labels = {"pod_labels": row.get("pod_labels"), "volume_labels": row.get("volume_labels")}
            own = {**(labels["pod_labels"] or {}), **(labels["volume_labels"] or {})}
            whose = {
                "usage_end": row["usage_start"],
                "report_period_id": period,
                "cluster_id": cluster,
                "cluster_alias": cluster,
                "source_uuid": run.provider_uuid,
            }
            connection.execute(insert(tenant.DAILY_SUMMARY).values({**row, "all_labels": own, **whose}))


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


# --------------------------------------------------------------------------------------------------------- what holds


@EXAMPLES
@given(first=cost_tables(), second=cost_tables())
def test_costs_are_conserved(house: House, first: CostTables, second: CostTables) -> None:
    asyncio.run(check(house, first, second))


async def check(house: House, first: CostTables, second: CostTables) -> None:
    found = await priced(house, first, second)
    found.apply()
    once = found.digest()
    found.apply()
    assert once.differences(found.digest()) == []

    assert_nothing_is_lost(found)
    days = found.runs[0].days
    with Database(house.urls.reader, read_only=True) as reader:
        gateway = build_gateway(reader=reader, today=lambda: days.end)
        app = build_reads(gateway=gateway, identity=HeaderIdentity())
        ask = Asker(app, identity=type(ADMIN)(**{**vars(ADMIN), "org_id": found.org_id}))
        await assert_parts_are_the_whole(ask, found)
        await assert_lines_explain(ask, found)


def assert_nothing_is_lost(found: Priced) -> None:
    """What is handed on is taken elsewhere, unless nobody is there to pay unattributed cost."""
    rows = found.sql(
        "select cost_model_rate_type as kind, sum(distributed_cost) as sum, max(distributed_cost) as most"
        " from reporting_ocpusagelineitem_daily_summary where distributed_cost is not null"
        " group by source_uuid, usage_start, cost_model_rate_type"
    )
    for row in rows:
        is_unpaid = row.kind.startswith("unattributed") and row.most <= 0
        assert is_unpaid or float(row.sum) == pytest.approx(0, abs=NEAR)


async def assert_parts_are_the_whole(ask: Asker, found: Priced) -> None:
    period = period_of(found)
    whole = (await ask(f"reports/openshift/costs/?{period}"))["meta"]["total"]["cost"]["total"]["value"]
    [stored] = found.sql(
        "select coalesce(sum(coalesce(infrastructure_raw_cost, 0) + coalesce(infrastructure_markup_cost, 0)"
        " + coalesce(cost_model_cpu_cost, 0) + coalesce(cost_model_memory_cost, 0)"
        " + coalesce(cost_model_volume_cost, 0) + coalesce(cost_model_gpu_cost, 0)), 0) as total"
        " from reporting_ocpusagelineitem_daily_summary"
        f" where usage_start between '{found.runs[0].days.start}' and '{found.runs[0].days.end}'"
    )
    assert whole == pytest.approx(float(stored.total), abs=NEAR)
    for group in ("project", "node", "cluster", "project]=*&group_by[cluster"):
        answer = await ask(f"reports/openshift/costs/?{period}&group_by[{group}]=*&limit=0")
        assert sum(totals(answer["data"])) == pytest.approx(whole, abs=NEAR), group


def totals(data: Any) -> Iterator[float]:
    """The plain total of every row of an answer, however deep."""
    if isinstance(data, list):
        for item in data:
            yield from totals(item)
    elif isinstance(data, dict):
        if "cost" in data:
            yield data["cost"]["total"]["value"]
        else:
            for value in data.values():
                yield from totals(value)


async def assert_lines_explain(ask: Asker, found: Priced) -> None:
    period = period_of(found)
    grouped = await ask(f"reports/openshift/costs/?{period}&group_by[project]=*&limit=0")
    names = sorted({row["project"] for day in grouped["data"] for row in day["projects"]})
    questions = [
        "",
        *(f"&filter[exact:project]={name.replace(' ', '%20')}" for name in names),
        *(f"&filter[cluster]=cluster-{number}" for number in (1, 2)),
        *("&group_by[project]=*", "&group_by[node]=*", "&group_by[tag:app]=*"),
        *("&filter[tag:app]=web", "&filter[tag:env]=*", "&group_by[project]=*&filter[tag:disk]=fast"),
        "&filter[category]=Platform",
    ]
    for question in questions:
        explained = await ask(f"explain/openshift/costs/?{period}{question}&limit=0")
        with_projects = question if "group_by" in question else f"{question}&group_by[project]=*"
        reported = await ask(f"reports/openshift/costs/?{period}{with_projects}&limit=0")
        cost = reported["meta"]["total"]["cost"]
        lines = explained["data"]
        plain = sum(line["cost"]["value"] for line in lines if line["kind"] in ("raw", "markup", "rate"))
        assert explained["meta"]["difference"]["cost_total"] == pytest.approx(0, abs=NEAR), question
        assert plain == pytest.approx(cost["total"]["value"], abs=NEAR), question
        for line in lines:
            if line.get("metric") is not None:
                price = line["usage"]["value"] * line["rate"]["value"]
                assert price == pytest.approx(line["cost"]["value"], rel=NEAR, abs=NEAR), line
        if "distributed" in cost:
            handed_on = sum(line["cost"]["value"] for line in lines)
            assert handed_on == pytest.approx(cost["distributed"]["value"], abs=NEAR), question


def period_of(found: Priced) -> str:
    days = found.runs[0].days
    return f"start_date={days.start}&end_date={days.end}"
