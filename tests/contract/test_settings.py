"""What the settings pages of the UI do, against both gateways: write-api §8.1–§8.5."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import insert, select

from kura.api_reads.app import build_app as build_reads
from kura.api_reads.app import build_gateway
from kura.api_writes.app import build_app as build_writes
from kura.api_writes.config import TenantLimits
from kura.core.identity import HeaderIdentity
from kura.single_pod.gateways import build_front
from kura.store.database import Database
from kura.store.objects import ObjectStore
from kura.store.tables.shared import INGESTED_FILE_DAY, MANIFEST, PROVIDER, TASK
from kura.store.tables.tenant import (
    CLUSTERS,
    COST_MODEL,
    COST_MODEL_RATE,
    ENABLED_CURRENCY,
    ENABLED_TAG_KEYS,
    PRICE_LIST,
    PRICE_LIST_COST_MODEL_MAP,
    PROJECTS,
    TENANT_PROVIDER,
)
from kura.store.tenancy import ensure_tenant
from kura.testing.gateways import ORG_ID, identity_header

API = "/api/cost-management/v1/"
SCHEMA = f"org{ORG_ID}"
CLUSTER = "c-1"


@pytest.fixture
async def http(database: Database, object_store: ObjectStore) -> AsyncIterator[httpx.AsyncClient]:
    """Both gateways with one source, whose line items of today are there."""

    async def ready() -> dict[str, str | None]:
        return {}

    identity = HeaderIdentity()
    front = build_front(
        reads=build_reads(gateway=build_gateway(reader=database), identity=identity),
        writes=build_writes(
            database=database,
            objects=object_store,
            identity=identity,
            limits=TenantLimits.from_env({"TAG_ENABLED_LIMIT": "3"}),
        ),
        ready=ready,
    )
    transport = httpx.ASGITransport(front, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://kura", headers=identity_header()) as client:
        await client.post(API + "sources/", json={"name": "one", "source_type": "OCP", "source_ref": CLUSTER})
        yield client


@pytest.fixture
def provider(http: httpx.AsyncClient, database: Database) -> Any:
    with database.begin() as connection:
        uuid = connection.execute(select(PROVIDER.c.uuid)).scalar_one()
        manifest = connection.execute(
            insert(MANIFEST)
            .values(
                assembly_id=uuid4(),
                provider_id=uuid,
                creation_datetime=date.today(),
                export_datetime=date.today(),
                billing_period_start_datetime=date.today().replace(day=1),
                num_total_files=1,
                cluster_id=CLUSTER,
                operator_version="",
                accepted_order=1,
            )
            .returning(MANIFEST.c.id)
        ).scalar_one()
        connection.execute(
            insert(INGESTED_FILE_DAY).values(
                provider_uuid=uuid,
                report_type="pod_usage",
                day=date.today(),
                manifest_id=manifest,
                report_name="a.csv",
                hours=1,
                additive=False,
                accepted_order=1,
                hourly_objects=[],
                daily_objects=[],
                rows=1,
            )
        )
    return uuid


@pytest.fixture
def keys(http: httpx.AsyncClient, database: Database) -> dict[str, str]:
    """Tag keys by name; all disabled."""
    names = ("app", "application", "env", "team")
    with database.tenant(SCHEMA) as connection:
        rows = connection.execute(
            insert(ENABLED_TAG_KEYS)
            .values([{"key": name, "enabled": False, "provider_type": "OCP"} for name in names])
            .returning(ENABLED_TAG_KEYS.c.key, ENABLED_TAG_KEYS.c.uuid)
        )
        return {row.key: str(row.uuid) for row in rows}


def summaries(database: Database) -> list[str]:
    with database.begin() as connection:
        rows = connection.execute(select(TASK.c.payload).where(TASK.c.type.endswith("SummariseRange")))
        return [row.payload["cause"] for row in rows]


async def put(http: httpx.AsyncClient, path: str, body: Any) -> httpx.Response:
    return await http.put(API + path, json=body)


async def listed(http: httpx.AsyncClient, path: str, **query: str) -> Any:
    answer = await http.get(API + path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_enabled_key_is_listed_first_and_its_values_are_summarised(
    http: httpx.AsyncClient, database: Database, keys: dict[str, str], provider: Any
) -> None:
    answer = await put(http, "settings/tags/enable/", {"ids": [keys["team"], str(uuid4())]})

    assert (answer.status_code, answer.content) == (204, b"")
    page = await listed(http, "settings/tags/")
    assert [(item["key"], item["enabled"]) for item in page["data"]] == [
        ("team", True),
        ("app", False),
        ("application", False),
        ("env", False),
    ]
    assert page["meta"] == {
        "count": 4,
        "limit": 4,
        "offset": 0,
        "enabled_tags_count": 1,
        "enabled_tags_limit": 200,
    }
    assert summaries(database) == ["tag_keys"]


async def test_asking_again_changes_nothing_and_asks_for_no_summary(
    http: httpx.AsyncClient, database: Database, keys: dict[str, str], provider: Any
) -> None:
    await put(http, "settings/tags/disable/", {"ids": [keys["team"]]})

    assert summaries(database) == []


async def test_keys_beyond_the_limit_are_refused_whole(http: httpx.AsyncClient, keys: dict[str, str]) -> None:
    answer = await put(http, "settings/tags/enable/", {"ids": list(keys.values())})

    assert answer.status_code == 412
    assert (answer.json()["enabled"], answer.json()["limit"]) == (0, 3)
    assert (await listed(http, "settings/tags/", **{"filter[enabled]": "true"}))["meta"]["count"] == 0


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"ids": ["x"]}, {"ids": [1]}, [], {"ids": "x"}])
async def test_ids_that_are_none_are_refused(http: httpx.AsyncClient, body: Any) -> None:
    answer = await put(http, "settings/tags/enable/", body)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["source"] == "id_list"


async def test_lists_are_filtered_ordered_and_refuse_what_they_do_not_know(
    http: httpx.AsyncClient, keys: dict[str, str]
) -> None:
    found = await listed(http, "settings/tags/", **{"filter[key]": "APP", "order_by[key]": "desc"})
    unknown = await http.get(API + "settings/tags/", params={"filter[bogus]": "1"})

    assert [item["key"] for item in found["data"]] == ["application", "app"]
    assert (unknown.status_code, unknown.json()) == (
        400,
        {"errors": [{"detail": "Unsupported parameter or invalid value", "source": "bogus", "status": 400}]},
    )


async def test_a_child_key_is_reported_under_its_parent(
    http: httpx.AsyncClient, database: Database, keys: dict[str, str], provider: Any
) -> None:
    await put(http, "settings/tags/enable/", {"ids": [keys["app"], keys["application"], keys["team"]]})

    added = await put(
        http, "settings/tags/mappings/child/add/", {"parent": keys["app"], "children": [keys["application"]]}
    )

    assert added.status_code == 204, added.text
    (mapping,) = (await listed(http, "settings/tags/mappings/"))["data"]
    assert (mapping["parent"]["key"], [child["key"] for child in mapping["children"]]) == ("app", ["application"])
    children = await listed(http, "settings/tags/mappings/child/")
    parents = await listed(http, "settings/tags/mappings/parent/")
    assert [item["key"] for item in children["data"]] == ["team"]
    assert [item["key"] for item in parents["data"]] == ["app", "team"]
    in_use = await put(http, "settings/tags/disable/", {"ids": [keys["application"]]})
    assert (in_use.status_code, in_use.json()["ids"]) == (412, [keys["application"]])
    removed = await put(http, "settings/tags/mappings/child/remove/", {"ids": [keys["application"]]})
    assert removed.status_code == 204
    assert (await listed(http, "settings/tags/mappings/"))["meta"]["count"] == 0
    again = await put(http, "settings/tags/mappings/parent/remove/", {"ids": [keys["app"]]})
    assert (again.status_code, list(again.json())) == (400, ["detail"])
    assert len(summaries(database)) == 1  # merged while it waits


@pytest.mark.parametrize(
    ("parent", "child", "words"),
    [
        ("app", "env", "not enabled"),
        ("app", "app", "its own parent"),
        ("application", "team", "is a child"),
        ("team", "app", "parents themselves"),
        ("team", "application", "already belong"),
    ],
)
async def test_a_mapping_that_makes_no_sense_is_refused(
    http: httpx.AsyncClient, keys: dict[str, str], parent: str, child: str, words: str
) -> None:
    await put(http, "settings/tags/enable/", {"ids": [keys["app"], keys["application"], keys["team"]]})
    await put(http, "settings/tags/mappings/child/add/", {"parent": keys["app"], "children": [keys["application"]]})

    answer = await put(http, "settings/tags/mappings/child/add/", {"parent": keys[parent], "children": [keys[child]]})

    assert answer.status_code == 400
    assert words in answer.json()["errors"][0]["detail"]


async def test_a_key_with_a_price_cannot_become_a_child(
    http: httpx.AsyncClient, database: Database, keys: dict[str, str]
) -> None:
    await put(http, "settings/tags/enable/", {"ids": [keys["app"], keys["team"]]})
    with database.tenant(SCHEMA) as connection:
        price_list = connection.execute(
            insert(PRICE_LIST)
            .values(
                name="p",
                currency="USD",
                effective_start_date=date(2026, 1, 1),
                effective_end_date=date(2026, 12, 31),
            )
            .returning(PRICE_LIST.c.uuid)
        ).scalar_one()
        connection.execute(
            insert(COST_MODEL_RATE).values(
                price_list_id=price_list,
                custom_name="r",
                metric="cpu_core_usage_per_hour",
                metric_type="cpu",
                cost_type="Supplementary",
                tag_key="team",
            )
        )

    wanted = {"parent": keys["app"], "children": [keys["team"]]}

    without_model = await put(http, "settings/tags/mappings/child/add/", wanted)
    await put(http, "settings/tags/mappings/child/remove/", {"ids": [keys["team"]]})
    with database.tenant(SCHEMA) as connection:
        model = connection.execute(
            insert(COST_MODEL)
            .values(name="m", description="", source_type="OCP", distribution_info={})
            .returning(COST_MODEL.c.uuid)
        ).scalar_one()
        connection.execute(
            insert(PRICE_LIST_COST_MODEL_MAP).values(price_list_id=price_list, cost_model_id=model, priority=1)
        )
    answer = await put(http, "settings/tags/mappings/child/add/", wanted)

    assert without_model.status_code == 204
    assert "team" in answer.json()["errors"][0]["detail"]
    assert answer.status_code == 400


@pytest.fixture
def projects(http: httpx.AsyncClient, provider: Any, database: Database) -> None:
    with database.tenant(SCHEMA) as connection:
        connection.execute(insert(TENANT_PROVIDER).values(uuid=provider, name="one", type="OCP"))
        cluster = connection.execute(
            insert(CLUSTERS)
            .values(cluster_id=CLUSTER, cluster_alias="one", provider_id=provider)
            .returning(CLUSTERS.c.uuid)
        ).scalar_one()
        names = ("shop", "openshift-dns", "pipelines")
        connection.execute(insert(PROJECTS), [{"project": name, "cluster_id": cluster} for name in names])


async def test_a_project_joins_a_cost_group_and_leaves_it(
    http: httpx.AsyncClient, database: Database, projects: None
) -> None:
    projects_asked = ("pipelines", "openshift-dns", "Worker unallocated", "Platform unallocated")
    asked = [{"project": project, "group": "Platform"} for project in projects_asked]

    assert (await put(http, "settings/cost-groups/add/", asked)).status_code == 204

    page = await listed(http, "settings/cost-groups/")
    assert page["data"] == [
        {"project": "Platform unallocated", "group": "Platform", "default": True, "clusters": []},
        {"project": "Worker unallocated", "group": None, "default": True, "clusters": []},
        {"project": "openshift-dns", "group": "Platform", "default": True, "clusters": ["one"]},
        {"project": "pipelines", "group": "Platform", "default": False, "clusters": ["one"]},
        {"project": "shop", "group": None, "default": False, "clusters": ["one"]},
    ]
    assert summaries(database) == ["cost_groups"]
    assert (await put(http, "settings/cost-groups/remove/", asked)).status_code == 204
    own = await listed(http, "settings/cost-groups/", **{"filter[default]": "false", "exclude[project]": "shop"})
    assert [(item["project"], item["group"]) for item in own["data"]] == [("pipelines", None)]


@pytest.mark.parametrize(
    ("body", "source"),
    [
        ([], "projects"),
        ({}, "projects"),
        ([{"project": "shop"}], "projects.0"),
        ([{"project": "nowhere", "group": "Platform"}], "project"),
        ([{"project": "shop", "group": "Nobody"}], "group"),
    ],
)
async def test_unknown_projects_and_groups_are_refused(
    http: httpx.AsyncClient, projects: None, body: Any, source: str
) -> None:
    answer = await put(http, "settings/cost-groups/add/", body)

    assert (answer.status_code, answer.json()["errors"][0]["source"]) == (400, source)


async def test_the_account_has_a_currency_and_a_retention(http: httpx.AsyncClient, database: Database) -> None:
    with database.tenant(SCHEMA) as connection:
        have = set(connection.scalars(select(ENABLED_CURRENCY.c.currency_code)))
        if "EUR" not in have:
            connection.execute(insert(ENABLED_CURRENCY).values(currency_code="EUR"))

    assert (await put(http, "account-settings/currency/", {"currency": "eur"})).status_code == 204
    assert (await put(http, "account-settings/data-retention/", {"data_retention_months": 12})).status_code == 204

    assert (await listed(http, "account-settings/currency/"))["data"] == {"currency": "EUR"}
    assert (await listed(http, "account-settings/data-retention/"))["data_retention_months"] == 12
    assert (await put(http, "account-settings/currency/", {"currency": "XXQ"})).status_code == 400
    assert (await put(http, "account-settings/cost-type/", {"cost_type": "free"})).status_code == 400
    assert (await put(http, "account-settings/data-retention/", {"data_retention_months": 2})).status_code == 400
    assert (await put(http, "account-settings/", {})).status_code == 405
    assert (await put(http, "account-settings/colour/", {})).status_code == 404


async def test_settings_need_the_right_to_write_them(http: httpx.AsyncClient, keys: dict[str, str]) -> None:
    reader = identity_header(admin=False, access={"settings": {"read": ("*",)}})

    read = await http.get(API + "settings/tags/", headers=reader)
    written = await http.put(API + "settings/tags/enable/", json={"ids": list(keys.values())}, headers=reader)

    assert (read.status_code, written.status_code) == (200, 403)


async def test_another_organisation_sees_and_changes_nothing(
    http: httpx.AsyncClient, database: Database, keys: dict[str, str]
) -> None:
    with database.begin() as connection:
        ensure_tenant(connection, "org777")
    other = identity_header("777")

    seen = await http.get(API + "settings/tags/", headers=other)
    await http.put(API + "settings/tags/enable/", json={"ids": [keys["app"]]}, headers=other)

    assert seen.json()["data"] == []
    assert (await listed(http, "settings/tags/", **{"filter[enabled]": "true"}))["meta"]["count"] == 0
