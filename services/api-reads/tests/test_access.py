"""What a restricted caller may see: nothing outside the scope, in no sum, count, list or cached answer (S15–S17)."""

import pytest

from kura.testing.asking import Asker, restricted

MONTH = "filter[time_scope_value]=-1"
DAY_17 = "start_date=2024-06-17&end_date=2024-06-17"
COSTS = "reports/openshift/costs/"

ONE_CLUSTER = restricted({"openshift.cluster": ["cl-b"]})
ONE_PROJECT = restricted({"openshift.cluster": ["*"], "openshift.project": ["db"]})
ONE_NODE = restricted({"openshift.cluster": ["*"], "openshift.node": ["n2"]})
CLOUD_ONLY = restricted({"aws.account": ["*"]})
NOTHING = restricted({})


def total(answer) -> float:
    return answer["meta"]["total"]["cost"]["total"]["value"]


@pytest.mark.parametrize(("caller", "cost"), [(ONE_CLUSTER, 12.0), (ONE_PROJECT, 41.2), (ONE_NODE, 70.9)])
async def test_totals_are_of_what_the_caller_may_see(ask: Asker, caller, cost: float):
    assert total(await ask.as_(caller)(f"{COSTS}?{DAY_17}")) == cost


async def test_an_alias_in_the_list_opens_the_cluster(ask: Asker):
    caller = restricted({"openshift.cluster": ["alpha"]})

    assert total(await ask.as_(caller)(f"{COSTS}?{DAY_17}")) == 152.72


@pytest.mark.parametrize(
    "report", ["costs", "compute", "memory", "volumes", "network", "gpu", "resources/virtual-machines"]
)
async def test_callers_without_openshift_are_refused(ask: Asker, report: str):
    for caller in (CLOUD_ONLY, NOTHING):
        status, _ = await ask.as_(caller).refused(f"reports/openshift/{report}/")
        assert status == 403


@pytest.mark.parametrize(
    "query",
    ["filter[project]=web", "filter[exact:project]=web", "group_by[project]=web", "filter[project]=d"],
)
async def test_naming_what_is_not_in_the_list_is_forbidden(ask: Asker, query: str):
    status, body = await ask.as_(ONE_PROJECT).refused(f"{COSTS}?{DAY_17}&{query}")

    assert status == 403
    assert body["errors"][0]["source"] == "detail"


async def test_naming_what_is_in_the_list_is_fine(ask: Asker):
    answer = await ask.as_(ONE_PROJECT)(f"{COSTS}?{DAY_17}&group_by[project]=*&filter[project]=db")

    assert [project["project"] for project in answer["data"][0]["projects"]] == ["db"]


@pytest.mark.parametrize("query", ["", "&filter[limit]=1", "&filter[limit]=1&filter[offset]=0", "&category=Platform"])
async def test_groups_counts_and_others_stay_in_scope(ask: Asker, query: str):
    answer = await ask.as_(ONE_PROJECT)(f"{COSTS}?{MONTH}&group_by[project]=*{query}")

    assert [project["project"] for project in answer["data"][0]["projects"]] == ["db"]
    assert answer["meta"].get("others", 0) == 0
    assert total(answer) == 41.2


async def test_deltas_compare_what_the_caller_may_see(ask: Asker):
    answer = await ask.as_(ONE_PROJECT)(f"{COSTS}?{MONTH}&delta=cost")

    assert answer["meta"]["delta"]["value"] == pytest.approx(41.2 - 11)


async def test_a_tag_group_stays_in_scope(ask: Asker):
    answer = await ask.as_(ONE_PROJECT)(f"{COSTS}?{DAY_17}&group_by[tag:app]=*")

    assert [app["app"] for app in answer["data"][0]["apps"]] == ["shop-db", "No-app"]


async def test_csv_stays_in_scope(ask: Asker):
    text = await ask.as_(ONE_PROJECT).csv(f"{COSTS}?{DAY_17}&group_by[project]=*")

    assert "db" in text
    assert "web" not in text


async def test_capacity_is_of_clusters_with_visible_rows(ask: Asker):
    answer = await ask.as_(ONE_CLUSTER)(f"reports/openshift/compute/?{MONTH}")

    assert answer["meta"]["total"]["capacity"]["value"] == 48.0


async def test_tags_stay_in_scope(ask: Asker):
    bob = ask.as_(ONE_PROJECT)

    assert (await bob(f"tags/openshift/?{MONTH}"))["data"] == [
        {"key": "app", "values": ["shop-db"], "enabled": True},
        {"key": "disk", "values": ["fast"], "enabled": True},
    ]
    assert (await bob("tags/openshift/app/"))["data"] == ["shop-db"]
    assert (await bob("tags/openshift/app/"))["meta"]["access"] == {}
    assert (await bob.refused("tags/openshift/?filter[project]=web"))[0] == 403
    assert (await ask.as_(CLOUD_ONLY).refused("tags/openshift/"))[0] == 403


async def test_type_ahead_lists_stay_in_scope(ask: Asker):
    assert (await ask.as_(ONE_CLUSTER)("resource-types/openshift-clusters/"))["data"] == [
        {"cluster_alias": "cl-b", "value": "cl-b"}
    ]
    assert (await ask.as_(ONE_CLUSTER)("resource-types/openshift-projects/"))["data"] == [{"value": "web"}]
    assert (await ask.as_(ONE_PROJECT)("resource-types/openshift-projects/"))["data"] == [{"value": "db"}]
    assert (await ask.as_(ONE_NODE)("resource-types/openshift-nodes/"))["data"] == [{"value": "n2"}]
    assert (await ask.as_(CLOUD_ONLY).refused("resource-types/openshift-nodes/"))[0] == 403
    counts = {item["value"]: item["count"] for item in (await ask.as_(ONE_CLUSTER)("resource-types/"))["data"]}
    assert (counts["openshift.cluster"], counts["openshift.project"], counts["cost_model"]) == (1, 1, 0)


async def test_two_callers_with_the_same_url_get_their_own_cached_answers(ask: Asker):
    url = f"{COSTS}?{DAY_17}"

    answers = [total(await asker(url)) for asker in (ask, ask.as_(ONE_CLUSTER), ask, ask.as_(ONE_CLUSTER))]

    assert answers == [164.72, 12.0, 164.72, 12.0]


async def test_callers_without_any_right_only_learn_that(ask: Asker):
    assert (await ask.as_(NOTHING).refused("currency/"))[0] == 403
    everything = await ask.as_(NOTHING)("user-access/")
    assert all(not item["access"] and not item["write"] for item in everything["data"])


async def test_rights_are_told_by_family(ask: Asker):
    caller = restricted({"openshift.cluster": ["cl-b"], "settings": ["*"]})

    items = {item["type"]: item for item in (await ask.as_(caller)("user-access/"))["data"]}
    assert list(items) == ["aws", "azure", "gcp", "ocp", "cost_model", "settings", "any"]
    assert items["ocp"] == {"type": "ocp", "access": True, "write": False}
    assert items["aws"] == {"type": "aws", "access": False, "write": False}
    assert (await ask("user-access/?type=OCP")) == {"data": True, "access": True, "write": True}
    assert await ask.refused("user-access/?type=foo") == (400, ["Unknown source type: foo"])
