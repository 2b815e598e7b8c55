"""Worked examples of read-api §9, §10, §12 and read-api-fields §7 that concern OpenShift, over a real PostgreSQL."""

from collections.abc import Iterator
from typing import Any

import pytest

from kura.api_reads.app import build_app, build_gateway
from kura.core.identity import HeaderIdentity
from kura.store.database import Database
from kura.testing.asking import Asker, restricted
from kura.testing.postgres import SCHEMA, DatabaseUrls
from kura.testing.summary_rows import TODAY, load_sample

MONTH = "filter[resolution]=monthly&filter[time_scope_units]=month&filter[time_scope_value]=-1"
DAY_17 = "start_date=2024-06-17&end_date=2024-06-17"
COSTS = "reports/openshift/costs/"
COMPUTE = "reports/openshift/compute/"


@pytest.fixture(scope="module")
def ask(module_database_urls: DatabaseUrls) -> Iterator[Asker]:
    with Database(module_database_urls.writer) as writer, Database(module_database_urls.reader) as reader:
        with writer.tenant(SCHEMA) as connection:
            load_sample(connection)
        gateway = build_gateway(reader=reader, today=lambda: TODAY)
        yield Asker(build_app(gateway=gateway, identity=HeaderIdentity()))


def total(row: dict[str, Any], member: str = "total") -> float:
    return row["cost"][member]["value"]


def totals(groups: list[dict[str, Any]], name: str) -> list[tuple[str, float]]:
    """(label, cost total) of every row, in order."""
    return [(group[name], total(row)) for group in groups for row in group["values"]]


# ---------------------------------------------------------------------------------------------------- read-api §12


async def test_1_costs_of_three_days(ask):
    answer = await ask(COSTS + "?start_date=2024-06-15&end_date=2024-06-17")

    meta = answer["meta"]
    assert (meta["count"], meta["limit"], meta["offset"]) == (3, 100, 0)
    assert meta["filter"] == {"resolution": "daily"}
    assert meta["group_by"] == meta["order_by"] == meta["exclude"] == {}
    assert meta["currency"] == "USD"
    found = meta["total"]
    assert {name: part["value"] for name, part in found["infrastructure"].items()} == {
        "raw": 175.2, "markup": 17.52, "usage": 1.5, "total": 194.22,
    }  # fmt: skip
    assert found["supplementary"]["total"] == {"value": 31.5, "units": "USD"}
    assert {name: part["value"] for name, part in found["cost"].items()} == {
        "raw": 175.2, "markup": 17.52, "usage": 33.0, "total": 225.72,
    }  # fmt: skip

    empty, first, second = answer["data"]
    assert empty == {"date": "2024-06-15", "values": []}
    assert first == {"date": "2024-06-16", "values": [FIRST_ROW]}
    assert total(second["values"][0]) == 164.72
    assert second["values"][0]["clusters"] == ["alpha", "cl-b"]


def money(**members: float) -> dict[str, Any]:
    return {name: {"value": value, "units": "USD"} for name, value in members.items()}


FIRST_ROW = {
    "date": "2024-06-16",
    "clusters": ["alpha"],
    "source_uuid": ["aaaaaaaa-0000-4000-8000-000000000001"],
    "infrastructure": money(raw=50.0, markup=5.0, usage=0.0, total=55.0),
    "supplementary": money(raw=0.0, markup=0.0, usage=6.0, total=6.0),
    "cost": money(raw=50.0, markup=5.0, usage=6.0, total=61.0),
}


async def test_2_pages_are_dates_and_totals_are_of_everything(ask):
    answer = await ask(COSTS + "?start_date=2024-06-15&end_date=2024-06-17&limit=1&offset=1")

    assert [bucket["date"] for bucket in answer["data"]] == ["2024-06-16"]
    assert total(answer["meta"]["total"]) == 225.72
    path = "/api/cost-management/v1/reports/openshift/costs/"
    assert answer["links"] == {
        "first": f"{path}?end_date=2024-06-17&limit=1&offset=0&start_date=2024-06-15",
        "next": f"{path}?end_date=2024-06-17&limit=1&offset=2&start_date=2024-06-15",
        "previous": f"{path}?end_date=2024-06-17&limit=1&start_date=2024-06-15",
        "last": f"{path}?end_date=2024-06-17&limit=1&offset=2&start_date=2024-06-15",
    }


async def test_3_two_largest_projects_and_the_rest(ask):
    answer = await ask(f"{COSTS}?{MONTH}&group_by[project]=*&filter[limit]=2")

    meta = answer["meta"]
    assert (meta["count"], meta["limit"], meta["offset"], meta["others"]) == (1, 100, 0, 4)
    assert meta["distributed_overhead"] is True
    assert meta["filter"] == {
        "limit": 2, "resolution": "monthly", "time_scope_units": "month", "time_scope_value": "-1",
    }  # fmt: skip
    assert meta["group_by"] == {"project": ["*"]}
    assert total(meta["total"]) == 231.22

    (bucket,) = answer["data"]
    assert bucket["date"] == "2024-06"
    web, db, others = (project["values"][0] for project in bucket["projects"])
    assert [project["project"] for project in bucket["projects"]] == ["web", "db", "Others"]
    assert [total(web, part) for part in ("raw", "markup", "usage", "total")] == [115.0, 11.5, 27.0, 153.5]
    assert total(web, "platform_distributed") == 7.0
    assert total(web, "worker_unallocated_distributed") == 3.0
    assert total(web, "distributed") == 163.5
    assert (web["classification"], web["default_project"], web["cost_group"]) == ("project", None, None)
    assert (total(db), total(db, "distributed")) == (41.2, 43.2)
    assert total(others) == 36.52
    assert total(others, "platform_distributed") == -9.0
    assert total(others, "worker_unallocated_distributed") == -3.0
    assert total(others, "distributed") == 24.52
    assert (others["classification"], others["default_project"], others["cost_group"]) == (None, "False", None)


async def test_4_a_page_of_ranked_projects(ask):
    answer = await ask(f"{COSTS}?{MONTH}&group_by[project]=*&filter[limit]=2&filter[offset]=1")

    assert totals(answer["data"][0]["projects"], "project") == [("db", 41.2), ("batch", 22.0)]
    meta, links = answer["meta"], answer["links"]
    assert (meta["count"], meta["limit"], meta["offset"], meta["others"]) == (6, 2, 1, 4)
    assert "filter%5Blimit%5D=2&filter%5Boffset%5D=3" in links["next"]
    assert "filter%5Blimit%5D=2" in links["previous"]
    assert "filter%5Boffset%5D" not in links["previous"]
    assert "filter%5Boffset%5D=4" in links["last"]
    assert "default_project" not in answer["data"][0]["projects"][0]["values"][0]


async def test_5_nodes_inside_clusters(ask):
    answer = await ask(f"{COSTS}?{DAY_17}&group_by[cluster]=*&group_by[node]=*")

    found = [(cluster["cluster"], totals(cluster["nodes"], "node")) for cluster in answer["data"][0]["clusters"]]
    assert found == [("cl-a", [("n1", 81.82), ("n2", 70.9)]), ("cl-b", [("m1", 12.0)])]


async def test_6_a_namespace_with_and_without_cost_group_has_two_rows(ask):
    answer = await ask(f"{COSTS}?{DAY_17}&group_by[project]=*&exclude[project]=web")

    projects = {project["project"]: project["values"] for project in answer["data"][0]["projects"]}
    assert {name: [total(row) for row in rows] for name, rows in projects.items()} == {
        "db": [41.2],
        "batch": [22.0],
        "kube-system": [0.0, 9.9],
        "Worker unallocated": [3.3],
        "Network unattributed": [1.32],
    }
    assert list(projects) == ["db", "batch", "kube-system", "Worker unallocated", "Network unattributed"]
    assert [row["cost_group"] for row in projects["kube-system"]] == [None, "Platform"]
    assert [rows[0]["classification"] for rows in projects.values()] == [
        "project", "project", "default", "unallocated", "unattributed",
    ]  # fmt: skip
    assert total(answer["meta"]["total"]) == 77.72


async def test_7_tags(ask):
    answer = await ask(f"{COSTS}?{DAY_17}&group_by[tag:app]=*")

    apps = answer["data"][0]["apps"]
    assert totals(apps, "app") == [
        ("shop", 73.5), ("No-app", 36.22), ("shop-db", 33.0), ("Shop", 22.0), ("blog", 0.0),
    ]  # fmt: skip
    assert apps[0]["values"][0]["app"] == "shop"
    assert apps[1]["values"][0]["clusters"] == ["alpha", "cl-b"]

    kept = await ask(f"{COSTS}?{DAY_17}&group_by[tag:app]=*&filter[tag:app]=shop")
    assert [app["app"] for app in kept["data"][0]["apps"]] == ["shop", "shop-db", "Shop"]
    assert kept["meta"]["group_by"] == {"tag:app": ["shop"]}

    left = await ask(f"{COSTS}?{DAY_17}&group_by[tag:app]=*&exclude[tag:app]=shop")
    assert totals(left["data"][0]["apps"], "app") == [("No-app", 36.22), ("blog", 0.0)]


async def test_8_delta(ask):
    answer = await ask(f"{COSTS}?{MONTH}&delta=cost")
    assert answer["meta"]["delta"] == {"value": 176.22, "percent": 320.4}

    grouped = await ask(f"{COSTS}?{MONTH}&delta=cost&group_by[project]=*")
    deltas = {
        project["project"]: (row["delta_value"], row["delta_percent"])
        for project in grouped["data"][0]["projects"]
        for row in project["values"]
    }
    assert deltas["web"] == (109.5, 248.86363636363637)
    assert deltas["db"] == (30.2, 274.54545454545456)
    assert deltas["batch"] == (22.0, None)

    scope = "filter[time_scope_units]=month&filter[time_scope_value]=-1"
    daily = await ask(f"{COSTS}?filter[resolution]=daily&{scope}&delta=cost")
    assert daily["meta"]["delta"] == {"value": 187.22, "percent": 425.5}


async def test_9_a_cost_group_as_one_project(ask):
    answer = await ask(f"{COSTS}?{DAY_17}&group_by[project]=*&category=Platform")

    projects = answer["data"][0]["projects"]
    assert totals(projects, "project") == [
        ("web", 87.0),
        ("db", 41.2),
        ("batch", 22.0),
        ("Platform", 9.9),
        ("Worker unallocated", 3.3),
        ("Network unattributed", 1.32),
        ("kube-system", 0.0),
    ]
    platform = projects[3]["values"][0]
    assert (platform["classification"], platform["cost_group"]) == ("category_Platform", "Platform")
    assert answer["meta"]["category"] == ["Platform"]


async def test_10_csv(ask):
    text = await ask.csv(COSTS + "?start_date=2024-06-16&end_date=2024-06-17&group_by[cluster]=*")

    header, *lines, end = text.split("\r\n")
    assert end == ""
    assert header == (
        "base_currency,cluster,clusters.0,cost_markup,cost_raw,cost_total,cost_units,cost_usage,date,exchange_rate,"
        "infra_markup,infra_raw,infra_total,infra_usage,source_uuid.0,sup_markup,sup_raw,sup_total,sup_usage"
    )
    rows = [[number_or_text(cell) for cell in line.split(",")] for line in lines]
    a, b = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
    assert rows == [
        [
            "USD",
            "cl-a",
            "alpha",
            12.52,
            125.2,
            152.72,
            "USD",
            15.0,
            "2024-06-17",
            1,
            12.52,
            125.2,
            139.22,
            1.5,
            a,
            0,
            0,
            13.5,
            13.5,
        ],
        ["USD", "cl-b", "cl-b", 0, 0, 12.0, "USD", 12.0, "2024-06-17", 1, 0, 0, 0, 0, b, 0, 0, 12.0, 12.0],
        ["USD", "cl-a", "alpha", 5.0, 50.0, 61.0, "USD", 6.0, "2024-06-16", 1, 5.0, 50.0, 55.0, 0, a, 0, 0, 6.0, 6.0],
    ]


def number_or_text(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


async def test_14_errors(ask):
    assert await ask.refused(COSTS + "?bogus=1&delta=xx&filter[zz]=1") == (
        400,
        {"delta": ['"xx" is not a valid choice.'], "filter": {"zz": ["Unsupported parameter or invalid value"]}},
    )
    assert await ask.refused(COSTS + "?start_date=2024-06-01") == (
        400,
        {"error": ["The parameters [start_date, end_date] must both be defined."]},
    )


async def test_15_access_to_one_cluster(ask):
    bob = ask.as_(restricted({"openshift.cluster": ["cl-b"]}))

    answer = await bob(f"{COSTS}?{DAY_17}")
    assert total(answer["meta"]["total"]) == 12.0

    status, body = await bob.refused(f"{COSTS}?{DAY_17}&filter[cluster]=alpha")
    assert status == 403
    assert body == {
        "errors": [{"detail": "You do not have permission to perform this action.", "source": "detail", "status": 403}]
    }


# ------------------------------------------------------------------------------------------------------ read-api §10


async def test_the_access_condition_is_never_replaced_by_a_filter(ask):
    bob = ask.as_(restricted({"openshift.cluster": ["cl-b"]}))

    everything = await bob(f"{COSTS}?{DAY_17}&filter[cluster]=*")
    assert total(everything["meta"]["total"]) == 12.0
    status, _ = await bob.refused(f"{COSTS}?{DAY_17}&filter[exact:cluster]=cl-a")
    assert status == 403
    others = await bob(f"{COSTS}?{DAY_17}&filter[or:cluster]=cl-a")
    assert total(others["meta"]["total"]) == 0.0
    assert others["data"] == [{"date": "2024-06-17", "values": []}]


# ---------------------------------------------------------------------------------------------- read-api-fields §7


async def test_compute_of_the_month(ask):
    answer = await ask(f"{COMPUTE}?{MONTH}")

    found = answer["meta"]["total"]
    assert found["usage"] == {"value": 69.0, "units": "Core-Hours"}
    assert found["request"] == {"value": 87.0, "units": "Core-Hours", "unused": 18.0, "unused_percent": 2.34375}
    assert found["limit"] == {"value": 132.0, "units": "Core-Hours"}
    assert found["capacity"] == {
        "value": 768.0, "units": "Core-Hours", "unused": 681.0, "unused_percent": 88.671875,
        "count": 12.0, "count_units": "Core",
    }  # fmt: skip
    assert (total(found), total(found, "distributed")) == (214.4, 217.4)
    assert found["total_score"] == {
        "usage_efficiency_percent": 79,
        "wasted_cost": {"value": 44.358620689655176, "units": "USD"},
    }
    row = answer["data"][0]["values"][0]
    assert (row["capacity"]["value"], row["capacity"]["count"]) == (768.0, 12.0)
    assert row["score"]["usage_efficiency_percent"] == 79


async def test_compute_by_node(ask):
    answer = await ask(f"{COMPUTE}?{MONTH}&group_by[node]=*")

    rows = {node["node"]: node["values"][0] for node in answer["data"][0]["nodes"]}
    assert list(rows) == ["n2", "n1", "m1"]
    n2, n1, m1 = rows["n2"], rows["n1"], rows["m1"]
    assert (n2["usage"]["value"], n2["request"]["value"], n2["request"]["unused"]) == (41.0, 40.0, 0.0)
    assert (n2["capacity"]["value"], n2["capacity"]["count"]) == (144.0, 6.0)
    assert n2["score"] == {"usage_efficiency_percent": 103, "wasted_cost": {"value": 0.0, "units": "USD"}}
    assert (n1["usage"]["value"], n1["request"]["value"]) == (23.0, 42.0)
    assert (n1["request"]["unused"], n1["request"]["unused_percent"]) == (19.0, 6.597222222222222)
    assert (n1["capacity"]["value"], n1["capacity"]["count"]) == (288.0, 4.0)
    assert n1["score"] == {"usage_efficiency_percent": 55, "wasted_cost": {"value": 61.75, "units": "USD"}}
    assert "count_units" not in n1["capacity"]
    assert (m1["usage"]["value"], m1["request"]["value"], m1["capacity"]["value"]) == (5.0, 5.0, 48.0)
    assert m1["score"] == {"usage_efficiency_percent": 100, "wasted_cost": {"value": 0.0, "units": "USD"}}
    assert answer["meta"]["total"]["capacity"]["value"] == 480.0


async def test_compute_of_the_largest_project_and_the_rest(ask):
    answer = await ask(f"{COMPUTE}?{MONTH}&group_by[project]=*&filter[limit]=1")

    batch, others = (project["values"][0] for project in answer["data"][0]["projects"])
    assert (batch["usage"]["value"], batch["capacity"]["value"], batch["capacity"]["count"]) == (30.0, 720.0, 10.0)
    assert batch["score"]["usage_efficiency_percent"] == 125
    assert (others["usage"]["value"], others["request"]["value"]) == (39.0, 63.0)
    assert others["capacity"]["value"] == 768.0
    assert (others["capacity"]["unused"], others["capacity"]["unused_percent"]) == (705.0, 91.796875)
    assert others["capacity"]["count"] == 12.0
    assert others["score"] == {
        "usage_efficiency_percent": 190,
        "wasted_cost": {"value": pytest.approx(71.57765957446809), "units": "USD"},
    }


async def test_memory_of_the_month(ask):
    found = (await ask(f"reports/openshift/memory/?{MONTH}"))["meta"]["total"]

    assert found["usage"] == {"value": 178.0, "units": "GiB-Hours"}
    assert found["request"] == {"value": 274.0, "units": "GiB-Hours", "unused": 96.0, "unused_percent": 3.125}
    assert found["limit"]["value"] == 316.0
    assert (found["capacity"]["value"], found["capacity"]["count"]) == (3072.0, 48.0)
    assert (total(found), total(found, "distributed")) == (201.4, 204.4)
    assert found["total_score"] == {
        "usage_efficiency_percent": 65,
        "wasted_cost": {"value": pytest.approx(70.56350364963504, rel=1e-15), "units": "USD"},
    }


async def test_volumes_by_claim(ask):
    answer = await ask(f"reports/openshift/volumes/?{DAY_17}&group_by[persistentvolumeclaim]=*")

    rows = {claim["persistentvolumeclaim"]: claim["values"][0] for claim in answer["data"][0]["persistentvolumeclaims"]}
    one, two = rows["pvc-1"], rows["pvc-2"]
    assert one["usage"] == {"value": 1.25, "units": "GiB-Mo"}
    assert one["request"] == {"value": 2.5, "units": "GiB-Mo", "unused": 1.25, "unused_percent": 38.46153846153846}
    assert one["capacity"] == {
        "value": 3.25, "units": "GiB-Mo", "unused": 0.75, "unused_percent": 23.076923076923077,
        "count": 100.0, "count_units": "GiB",
    }  # fmt: skip
    assert total(one) == 2.2
    assert (two["usage"]["value"], two["request"]["value"], two["request"]["unused"]) == (0.125, 0.5, 0.375)
    assert two["request"]["unused_percent"] == 57.69230769230769
    assert (two["capacity"]["value"], two["capacity"]["count"]) == (0.65, 100.0)
    found = answer["meta"]["total"]
    assert (found["usage"]["value"], found["request"]["value"], found["capacity"]["value"]) == (1.375, 3.0, 3.9)
    assert found["persistent_volume_claim"] == ["pvc-1", "pvc-2"]
    assert found["storage_class"] == ["gp2"]


async def test_network_of_a_day(ask):
    answer = await ask(f"reports/openshift/network/?{DAY_17}")

    row = answer["data"][0]["values"][0]
    assert row["data_transfer_in"] == {"value": 5.0, "units": "GB"}
    assert row["data_transfer_out"] == {"value": 7.0, "units": "GB"}
    assert row["usage"] == {"value": 12.0, "units": "GB"}
    assert [total(row, part) for part in ("raw", "markup", "total")] == [1.2, 0.12, 1.32]


async def test_compute_by_tag(ask):
    answer = await ask(f"{COMPUTE}?{DAY_17}&group_by[tag:app]=*")

    rows = {app["app"]: app["values"][0] for app in answer["data"][0]["apps"]}
    found = {
        name: (row["usage"]["value"], row["request"]["value"], row["limit"]["value"]) for name, row in rows.items()
    }
    assert found == {
        "Shop": (30.0, 24.0, 48.0),
        "shop": (12.0, 20.0, 30.0),
        "shop-db": (8.0, 10.0, 10.0),
        "blog": (5.0, 5.0, 5.0),
        "No-app": (3.0, 6.0, 6.0),
    }
    capacities = {name: (row["capacity"]["value"], row["capacity"]["count"]) for name, row in rows.items()}
    assert capacities["Shop"] == (240.0, 10.0)
    assert capacities["blog"] == (48.0, 2.0)
    assert capacities["No-app"] == (288.0, 12.0)
    assert all(row["score"] == {} for row in rows.values())
