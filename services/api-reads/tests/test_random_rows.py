"""Random small tables: the product's answers against a slow, plain reading of the rules (read-api §2.4, §3)."""

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from kura.api_reads.app import build_app, build_gateway
from kura.core.identity import HeaderIdentity
from kura.store.database import Database
from kura.testing.asking import ADMIN, Asker, restricted
from kura.testing.postgres import SCHEMA, DatabaseUrls
from kura.testing.summary_rows import CLUSTERS, TODAY, add_sources, fill_ui_tables, insert_daily, line

Row = dict[str, Any]

FIRST_DAY = date(2024, 4, 20)
RATE_TYPES = (None, "Infrastructure", "Supplementary", "platform_distributed", "worker_distributed")
NAMESPACES = ("web", "web-shop", "db", "kube-system", "", None)
NODES = {"cl-a": ("n1", "n2", None), "cl-b": ("m1", "n1")}
APPS = (None, "shop", "Shop", "blog")
COLUMNS = {"cluster": "cluster_id", "node": "node", "project": "namespace"}
COSTS = (
    "infrastructure_raw_cost",
    "infrastructure_markup_cost",
    "cost_model_cpu_cost",
    "cost_model_memory_cost",
    "cost_model_volume_cost",
)


def random_row(dice: random.Random) -> Row:
    cluster = dice.choice(sorted(CLUSTERS))
    day = FIRST_DAY + timedelta(days=dice.randrange((TODAY - FIRST_DAY).days + 1))
    app = dice.choice(APPS)
    amounts = {name: Decimal(dice.randrange(-50, 1000)) / 100 for name in COSTS if dice.random() < 0.6}
    rate_type = dice.choice(RATE_TYPES)
    if rate_type and rate_type.endswith("distributed"):
        amounts = {"distributed_cost": Decimal(dice.randrange(-900, 900)) / 100}
    namespace = dice.choice(NAMESPACES)
    return line(
        cluster,
        day.isoformat(),
        namespace,  # type: ignore[arg-type]
        dice.choice(NODES[cluster]),  # type: ignore[arg-type]
        labels={"app": app} if app else {},
        cost_model_rate_type=rate_type,
        cost_group="Platform" if namespace == "kube-system" and dice.random() < 0.7 else None,
        **amounts,
    )


DICE = random.Random(20240618)
ROWS = [random_row(DICE) for _ in range(400)]


@pytest.fixture(scope="module")
def ask(module_database_urls: DatabaseUrls) -> Iterator[Asker]:
    with Database(module_database_urls.writer) as writer, Database(module_database_urls.reader) as reader:
        with writer.tenant(SCHEMA) as connection:
            add_sources(connection, CLUSTERS)
            connection.exec_driver_sql(
                "insert into reporting_enabledtagkeys (key, provider_type) values ('app', 'OCP')"
            )
            insert_daily(connection, ROWS)
            fill_ui_tables(connection)
        gateway = build_gateway(reader=reader, today=lambda: TODAY)
        yield Asker(build_app(gateway=gateway, identity=HeaderIdentity()))


# -------------------------------------------------------------------------------------------------- plain reading


def label(row: Row, key: str) -> str:
    value = row["all_labels"].get("app") if key == "tag:app" else row[COLUMNS[key]]
    return value or f"No-{key.removeprefix('tag:')}"


def cost(row: Row) -> Decimal:
    return sum((row.get(name) or Decimal(0) for name in COSTS), Decimal(0))


def distributed(row: Row) -> Decimal:
    return cost(row) + (row.get("distributed_cost") or Decimal(0))


def expected(
    rows: list[Row], groups: tuple[str, ...], *, monthly: bool, limit: int | None
) -> dict[tuple[str, ...], dict[tuple[str, ...], Decimal]]:
    """date → labels → cost, with the rest merged."""
    sums: dict[Any, Decimal] = defaultdict(Decimal)
    whole: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for row in rows:
        day = row["usage_start"]
        bucket = f"{day:%Y-%m}" if monthly else day.isoformat()
        labels = tuple(label(row, key) for key in groups)
        sums[bucket, labels] += cost(row)
        whole[labels] += cost(row)
    order = sorted(whole, key=lambda labels: (-whole[labels], labels))
    kept = set(order if limit is None else order[:limit])
    rest = "Other" if len(order) - len(kept) == 1 else "Others"
    buckets = {bucket for bucket, _ in sums}
    found: dict[Any, dict[tuple[str, ...], Decimal]] = {bucket: defaultdict(Decimal) for bucket in buckets}
    if limit is not None:
        for bucket, labels in product(buckets, kept):
            found[bucket][labels] = Decimal(0)
        if len(order) > len(kept):
            for bucket in buckets:
                found[bucket][(rest,) * len(groups)] = Decimal(0)
    for (bucket, labels), amount in sums.items():
        found[bucket][labels if labels in kept else (rest,) * len(groups)] += amount
    return {bucket: dict(parts) for bucket, parts in found.items()}


def leaves(part: dict[str, Any], names: list[str]) -> Iterator[tuple[tuple[str, ...], list[Row]]]:
    if not names:
        yield (), part["values"]
        return
    name, *inner = names
    for group in part[f"{name}s"]:
        for labels, rows in leaves(group, inner):
            yield (group[name], *labels), rows


# ---------------------------------------------------------------------------------------------------------- cases

GROUPS = [
    ("project",),
    ("cluster",),
    ("node",),
    ("tag:app",),
    ("cluster", "node"),
    ("node", "project"),
    ("cluster", "node", "project"),
    ("project", "tag:app"),
]
RANGES = [
    ("2024-04-20", "2024-06-18"),  # all that has data
    ("2024-04-01", "2024-06-18"),
    ("2024-05-01", "2024-05-31"),  # one whole month
    ("2024-05-03", "2024-06-18"),  # a month cut at its start
    ("2024-04-20", "2024-06-10"),  # a month cut at its end
    ("2024-05-10", "2024-05-20"),
]
CASES = [
    (groups, days, monthly, limit)
    for groups in GROUPS
    for days in RANGES
    for monthly in (True, False)
    for limit in (None, 2, 50)
]


@pytest.mark.parametrize("seed", range(60))
async def test_groups_ranks_and_totals_are_those_of_a_plain_reading(ask: Asker, seed: int):
    groups, (start, end), monthly, limit = random.Random(seed).choice(CASES)
    rows = [row for row in ROWS if date.fromisoformat(start) <= row["usage_start"] <= date.fromisoformat(end)]
    query = "&".join(
        [
            f"start_date={start}&end_date={end}&filter[resolution]={'monthly' if monthly else 'daily'}",
            *(f"group_by[{key}]=*" for key in groups),
            *([f"filter[limit]={limit}"] if limit else []),
        ]
    )

    answer = await ask(f"reports/openshift/costs/?{query}")

    wanted = expected(rows, groups, monthly=monthly, limit=limit)
    names = [key.removeprefix("tag:") for key in groups]
    for bucket in answer["data"]:
        found = {labels: exact_sum(rows) for labels, rows in leaves(bucket, names)}
        assert found == wanted.get(bucket["date"], {}), (bucket["date"], groups)
    assert exact(answer["meta"]["total"]["cost"]["total"]["value"]) == sum(map(cost, rows))
    if "project" in groups:
        assert exact(answer["meta"]["total"]["cost"]["distributed"]["value"]) == sum(map(distributed, rows))
    if limit:
        distinct = {tuple(label(row, key) for key in groups) for row in rows}
        assert answer["meta"]["others"] == max(0, len(distinct) - limit)


def exact(value: float) -> Decimal:
    return Decimal(str(round(value, 6)))


def exact_sum(rows: list[Row]) -> Decimal:
    return sum((exact(row["cost"]["total"]["value"]) for row in rows), Decimal(0))


FILTERS = [
    ("filter[project]=web", lambda row: "web" in (row["namespace"] or "")),
    ("filter[exact:project]=web", lambda row: row["namespace"] == "web"),
    ("filter[node]=N1", lambda row: "n1" in (row["node"] or "")),
    ("filter[tag:app]=shop", lambda row: "shop" in row["all_labels"].get("app", "").lower()),
    ("filter[exact:tag:app]=shop", lambda row: row["all_labels"].get("app") == "shop"),
    ("exclude[project]=web", lambda row: "web" not in (row["namespace"] or "")),
    ("exclude[tag:app]=blog", lambda row: "blog" not in row["all_labels"].get("app", "")),
    ("filter[category]=platform", lambda row: row.get("cost_group") == "Platform"),
    (
        "filter[project]=web&filter[node]=n1,m1",
        lambda row: "web" in (row["namespace"] or "") and row["node"] in ("n1", "m1"),
    ),
]
CALLERS = [
    (ADMIN, lambda row: True),
    (restricted({"openshift.cluster": ["alpha"]}), lambda row: row["cluster_id"] == "cl-a"),
    (
        restricted({"openshift.cluster": ["*"], "openshift.project": ["db", "kube-system"]}),
        lambda row: row["namespace"] in ("db", "kube-system"),
    ),
    (
        restricted({"openshift.cluster": ["cl-b"], "openshift.node": ["n1"]}),
        lambda row: row["cluster_id"] == "cl-b" and row["node"] == "n1",
    ),
]  # fmt: skip


NAMES_PARTS = ("filter[project]", "filter[exact:project]", "filter[node]")
"""What a restricted caller may not ask: values that are not literally in the access list."""

SEEN = [
    (text, caller)
    for text, _ in FILTERS
    for caller in range(len(CALLERS))
    if caller == 0 or not text.startswith(NAMES_PARTS)
]


@pytest.mark.parametrize(("text", "caller"), SEEN)
async def test_filters_and_access_keep_exactly_their_rows(ask: Asker, text: str, caller: int):
    identity, may_see = CALLERS[caller]
    asked = dict(FILTERS)[text]
    for extra in ("", "&group_by[project]=*&filter[limit]=1", "&filter[resolution]=monthly&group_by[node]=*"):
        answer = await ask.as_(identity)(
            f"reports/openshift/costs/?start_date=2024-04-20&end_date=2024-06-18&{text}{extra}"
        )
        wanted = sum((cost(row) for row in ROWS if asked(row) and may_see(row)), Decimal(0))
        assert exact(answer["meta"]["total"]["cost"]["total"]["value"]) == wanted
        if "limit" in extra:
            rows = [row for bucket in answer["data"] for _, rows in leaves(bucket, ["project"]) for row in rows]
            assert exact_sum(rows) == wanted
