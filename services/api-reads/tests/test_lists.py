"""Tags, type-ahead lists and small lists (read-api §5, §6, §8)."""

from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import insert, select, update

from kura.core.currencies import CURRENCIES
from kura.store.database import Database
from kura.store.tables.tenant import (
    COST_MODEL,
    ENABLED_TAG_KEYS,
    POD_LABEL_SUMMARY,
    STATIC_EXCHANGE_RATE,
    TAG_MAPPING,
    TAG_VALUES,
)
from kura.testing.asking import API, Asker, restricted
from kura.testing.postgres import SCHEMA

MONTH = "filter[time_scope_value]=-1"


@pytest.fixture(scope="module", autouse=True)
def more_tags(writer: Database) -> None:
    """A key with 61 values, a child of `app`, a disabled key, and the table of all values."""
    with writer.tenant(SCHEMA) as connection:
        keys = [
            {"key": "many", "provider_type": "OCP", "enabled": True},
            {"key": "application", "provider_type": "OCP", "enabled": True},
            {"key": "old", "provider_type": "OCP", "enabled": False},
        ]
        connection.execute(insert(ENABLED_TAG_KEYS), keys)
        ids = {row.key: row.uuid for row in connection.execute(select(ENABLED_TAG_KEYS.c.key, ENABLED_TAG_KEYS.c.uuid))}
        connection.execute(insert(TAG_MAPPING).values(parent_id=ids["app"], child_id=ids["application"]))
        period = connection.scalar(
            select(POD_LABEL_SUMMARY.c.report_period_id).where(POD_LABEL_SUMMARY.c.namespace == "batch")
        )
        place = {"report_period_id": period, "namespace": "batch", "node": "n2"}
        connection.execute(
            insert(POD_LABEL_SUMMARY),
            [
                {"key": "many", "values": [f"v{number:02}" for number in range(61)], **place},
                {"key": "application", "values": ["games"], **place},
            ],
        )
        seen = {"cluster_ids": ["cl-a"], "cluster_aliases": ["alpha"], "nodes": ["n1"]}
        connection.execute(
            insert(TAG_VALUES),
            [
                {"key": "app", "value": "shop", "namespaces": ["web"], **seen},
                {"key": "app", "value": "pet-shop", "namespaces": ["web", "db"], **seen},
                {"key": "app", "value": "blog", "namespaces": ["web"], **seen},
            ],
        )


async def keys(ask: Asker, query: str) -> list[str]:
    return [item["key"] for item in (await ask(f"tags/openshift/?{query}"))["data"]]


async def test_long_lists_of_values_are_cut(ask: Asker):
    (item,) = (await ask(f"tags/openshift/?{MONTH}&filter[key]=many"))["data"]

    assert len(item["values"]) == 51
    assert item["values"][0] == "v00"
    assert item["values"][-1] == "11 more..."
    whole = await ask("tags/openshift/many/?limit=20&offset=50")
    assert (whole["meta"]["count"], len(whole["data"])) == (61, 11)


async def test_values_of_mapped_keys_are_shown_under_their_parent(ask: Asker):
    answer = await ask(f"tags/openshift/?{MONTH}&filter[project]=batch")

    assert {item["key"]: item["values"] for item in answer["data"]}["app"] == ["Shop", "games"]
    assert "application" not in await keys(ask, MONTH)
    assert (await ask("tags/openshift/application/"))["data"] == ["games"]
    assert "games" in (await ask("tags/openshift/app/"))["data"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (MONTH, ["app", "disk", "many"]),
        (f"{MONTH}&filter[key]=APP", ["app"]),
        (f"{MONTH}&filter[key]=*", ["app", "disk", "many"]),
        (f"{MONTH}&filter[type]=storage", ["disk"]),
        (f"{MONTH}&filter[type]=pod", ["app", "many"]),
        (f"{MONTH}&filter[cluster]=cl-b", ["app"]),
        (f"{MONTH}&filter[exact:project]=db", ["app", "disk"]),
        (f"{MONTH}&filter[category]=Platform", []),
        (f"{MONTH}&exclude[category]=Platform", ["app", "disk", "many"]),
        (f"{MONTH}&filter[enabled]=false", ["old"]),
        ("filter[time_scope_value]=-2", ["app"]),
        ("start_date=2024-05-20&end_date=2024-05-21", ["app"]),
    ],
)
async def test_tag_keys(ask: Asker, query: str, expected: list[str]):
    assert await keys(ask, query) == expected


async def test_a_window_that_touches_a_month_has_all_of_it(ask: Asker):
    inside = await ask("tags/openshift/app/?start_date=2024-05-31&end_date=2024-05-31")

    assert inside["data"] == ["shop", "shop-db"]


async def test_types_of_tags(ask: Asker):
    items = (await ask(f"tags/openshift/?{MONTH}&filter[type]=*"))["data"]

    assert [(item["key"], item["type"]) for item in items] == [("app", "pod"), ("disk", "storage"), ("many", "pod")]


async def test_keys_alone(ask: Asker):
    answer = await ask(f"tags/openshift/?{MONTH}&key_only=true")

    assert answer["data"] == ["app", "disk", "many"]
    assert answer["meta"]["key_only"] is True


async def test_values_that_contain_a_text_begin_with_those_that_start_with_it(ask: Asker):
    assert (await ask("tags/openshift/app/?filter[value]=SHOP"))["data"] == ["shop", "pet-shop"]
    inside_web = await ask("tags/openshift/app/?filter[value]=shop&filter[project]=web")
    assert inside_web["data"] == ["shop"], "the other value was also seen elsewhere"


async def test_meta_of_tags(ask: Asker):
    meta = (await ask(f"tags/openshift/?{MONTH}"))["meta"]

    assert meta == {
        "count": 3,
        "limit": 100,
        "offset": 0,
        "currency": "USD",
        "key_only": False,
        "filter": {
            "resolution": "monthly",
            "time_scope_units": "month",
            "time_scope_value": "-1",
            "enabled": True,
        },
        "group_by": {},
        "order_by": {},
        "exclude": {},
        "access": {},
    }


@pytest.mark.parametrize(
    ("address", "status", "body"),
    [
        ("?limit=0", 400, {"limit": ["Ensure this value is greater than or equal to 1."]}),
        ("?filter[node]=n1", 400, {"filter": {"node": ["Unsupported parameter or invalid value"]}}),
        ("?group_by[project]=*", 400, {"group_by": ["Unsupported parameter or invalid value"]}),
        ("?order_by[key]=asc", 400, {"order_by": ["Unsupported parameter or invalid value"]}),
        ("?delta=cost", 400, {"delta": ["Unsupported parameter or invalid value"]}),
        ("?filter[type]=node", 400, {"filter": {"type": ['"node" is not a valid choice.']}}),
        ("?key_only=perhaps", 400, {"key_only": ["Must be a valid boolean."]}),
        (
            "app/?key_only=true",
            400,
            {"errors": [{"detail": "Invalid query parameter 'key_only'.", "source": "details", "status": 400}]},
        ),
        (
            "?filter[value]=x",
            400,
            {"errors": [{"detail": "Invalid query parameter 'value'.", "source": "details", "status": 400}]},
        ),
        ("unheard_of/", 404, {"errors": [{"detail": "unheard_of not found.", "source": "detail", "status": 404}]}),
    ],
)
async def test_refused_tag_requests(ask: Asker, address: str, status: int, body):
    assert await ask.refused(f"tags/openshift/{address}") == (status, body)


async def test_a_key_with_a_null_character_is_not_found(ask: Asker):
    assert (await ask.refused("tags/openshift/a%00b/"))[0] == 404


async def test_a_disabled_key_has_no_values(ask: Asker):
    assert (await ask("tags/openshift/old/"))["data"] == []


# -------------------------------------------------------------------------------------------------- resource types


async def test_the_index_of_lists(ask: Asker):
    items = (await ask("resource-types/"))["data"]

    assert [item["value"] for item in items] == [
        "aws.account", "aws.organizational_unit", "azure.subscription_guid", "openshift.cluster", "openshift.node",
        "openshift.project", "gcp.account", "gcp.project", "cost_model", "settings",
    ]  # fmt: skip
    assert items[3] == {
        "value": "openshift.cluster",
        "path": f"{API}resource-types/openshift-clusters/",
        "count": 2,
    }


@pytest.mark.parametrize(
    ("address", "values"),
    [
        ("openshift-clusters/", ["cl-a", "cl-b"]),
        ("openshift-clusters/?search=ALPH", ["cl-a"]),
        ("openshift-clusters/?search=%25", []),
        ("openshift-clusters/?aws=true", []),
        ("openshift-clusters/?all_cloud=false", ["cl-a", "cl-b"]),
        ("openshift-nodes/", ["m1", "n1", "n2"]),
        ("openshift-nodes/?limit=1&offset=1", ["n1"]),
        ("openshift-projects/?search=e", ["Network unattributed", "Worker unallocated", "kube-system", "web"]),
    ],
)
async def test_names_to_filter_by(ask: Asker, address: str, values: list[str]):
    assert [item["value"] for item in (await ask(f"resource-types/{address}"))["data"]] == values


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("openshift-clusters/?bogus=1", {"bogus": [["Unsupported parameter"]]}),
        ("openshift-gpu-vendors/?aws=true", {"aws": [["Unsupported parameter"]]}),
        (
            "openshift-clusters/?aws=true&gcp=true",
            {
                "aws": [["Only one cloud provider parameter can be supplied at a time."]],
                "gcp": [["Only one cloud provider parameter can be supplied at a time."]],
            },
        ),
    ],
)
async def test_refused_list_requests(ask: Asker, address: str, body):
    assert await ask.refused(f"resource-types/{address}") == (400, body)


async def test_cost_models_are_those_the_caller_may_read(ask: Asker, writer: Database):
    with writer.tenant(SCHEMA) as connection:
        added = insert(COST_MODEL).returning(COST_MODEL.c.uuid)
        rows = [{"name": name, "source_type": "OCP"} for name in ("first", "second")]
        uuids = [str(connection.execute(added.values(row)).scalar_one()) for row in rows]

    everything = await ask("resource-types/cost-models/")
    one = await ask.as_(restricted({"cost_model": [uuids[0]]}))("resource-types/cost-models/")

    assert sorted(item["value"] for item in everything["data"]) == sorted(
        [f"{uuids[0]} (first)", f"{uuids[1]} (second)"]
    )
    assert one["data"] == [{"value": f"{uuids[0]} (first)"}]


# --------------------------------------------------------------------------------------------------- settings lists


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("tags/?filter[bogus]=1", "bogus"),  # example 14
        ("tags/?filter[key]=a%00b", "key"),
        ("tags/?filter[source_type]=%00", "source_type"),
        ("tags/?filter[uuid]=x", "uuid"),
        ("tags/?filter[enabled]=perhaps", "enabled"),
        ("tags/?exclude[key]=app", "key"),
        ("tags/?order_by[key]=up", "key"),
        ("tags/?order_by=-uuid", "uuid"),
        ("tags/mappings/?filter[key]=app", "key"),
        ("tags/mappings/?filter[parent]=%00", "parent"),
        ("tags/mappings/child/?filter[parent]=app", "parent"),
        ("tags/mappings/parent/?filter[key]=%00", "key"),
        ("cost-groups/?filter[project]=%00", "project"),
        ("cost-groups/?exclude[cluster]=%00", "cluster"),
        ("cost-groups/?order_by[cluster]=asc", "cluster"),
        ("currency/?filter[code]=USD", "code"),
        ("currency/?filter[enabled]=perhaps", "enabled"),
        ("currency/?order_by[code]=asc", "order_by"),
        ("currency/?bogus=1", "bogus"),
    ],
)
async def test_refused_settings_lists(ask: Asker, address: str, source: str):
    assert await ask.refused(f"settings/{address}") == (
        400,
        {"errors": [{"detail": "Unsupported parameter or invalid value", "source": source, "status": 400}]},
    )


async def test_all_currencies_with_the_enabled_ones_first(ask: Asker):
    answer = await ask("settings/currency/?limit=1000")

    codes = [item["code"] for item in answer["data"]]
    assert answer["meta"] == {"count": len(CURRENCIES), "limit": len(CURRENCIES), "offset": 0}
    assert codes == ["USD", *sorted(set(CURRENCIES) - {"USD"})]
    assert answer["data"][0] == {
        "code": "USD",
        "name": "US Dollar",
        "symbol": "$",
        "description": "USD ($) - US Dollar",
        "enabled": True,
        "has_dynamic_rate": False,
        "static_rates": [],
        "is_disableable": False,
    }
    assert all(item["is_disableable"] for item in answer["data"][1:]), "what is not enabled is not in the way"


@pytest.mark.parametrize(
    ("query", "codes"),
    [
        ("filter[enabled]=true", ["USD"]),
        ("filter[currency]=eu", ["EUR"]),
        ("filter[currency]=eur,jp", ["EUR", "JPY"]),
        ("filter[currency]=US&filter[enabled]=false", ["USN"]),
        ("filter[enabled]=false&limit=2&offset=1", ["AFN", "ALL"]),
    ],
)
async def test_some_currencies(ask: Asker, query: str, codes: list[str]):
    assert [item["code"] for item in (await ask(f"settings/currency/?{query}"))["data"]] == codes


async def test_rates_are_with_the_currency_they_start_from(ask: Asker, writer: Database):
    days = {"start_date": date(2024, 6, 1), "end_date": date(2024, 7, 31)}
    with writer.tenant(SCHEMA) as connection:
        rate = {"base_currency": "CHF", "target_currency": "USD", "exchange_rate": Decimal("1.1"), **days}
        connection.execute(insert(STATIC_EXCHANGE_RATE).values(rate))

    ((franc,), listed) = (
        (await ask("settings/currency/?filter[currency]=chf"))["data"],
        (await ask("settings/currency/static-rates/"))["data"],
    )

    assert franc["static_rates"] == listed
    (item,) = listed
    assert {name: item[name] for name in ("name", "exchange_rate", "start_date", "end_date")} == {
        "name": "CHF-USD",
        "exchange_rate": 1.1,
        "start_date": "2024-06-01",
        "end_date": "2024-07-31",
    }


async def test_who_may_see_currencies_and_rates(ask: Asker):
    for address, kind in (("settings/currency/", "settings"), ("settings/currency/static-rates/", "cost_model")):
        assert (await ask.as_(restricted({kind: ["*"]}))(address))["meta"]
        for other in {"settings", "cost_model", "openshift.cluster"} - {kind}:
            assert (await ask.as_(restricted({other: ["*"]})).refused(address))[0] == 403


# ------------------------------------------------------------------------------------------------------ small lists


async def test_currencies(ask: Asker):
    answer = await ask("currency/")

    assert answer["data"] == [{"code": "USD", "name": "US Dollar", "symbol": "$", "description": "USD ($) - US Dollar"}]
    assert answer["meta"]["limit"] == 1, "never more than there are"


async def test_cost_types(ask: Asker):
    assert [(item["code"], item["name"]) for item in (await ask("cost-type/"))["data"]] == [
        ("unblended_cost", "Unblended"),
        ("calculated_amortized_cost", "Amortized"),
        ("blended_cost", "Blended"),
    ]


async def test_metrics(ask: Asker):
    answer = await ask("metrics/?limit=1000")

    assert answer["meta"]["count"] == 21
    assert answer["data"][0] == {
        "source_type": "OpenShift Container Platform",
        "metric": "cpu_core_usage_per_hour",
        "label_metric": "CPU",
        "label_measurement": "Usage",
        "label_measurement_unit": "core-hours",
        "default_cost_type": "Supplementary",
    }
    assert (await ask("metrics/?source_type=ocp&limit=1"))["meta"]["count"] == 21
    assert (await ask("metrics/?source_type=AWS"))["data"] == []


async def test_account_settings(ask: Asker, writer: Database):
    assert (await ask("account-settings/"))["data"] == {"currency": "USD", "cost_type": "unblended_cost"}
    assert (await ask("account-settings/currency/"))["data"] == {"currency": "USD"}
    assert (await ask("account-settings/cost-type/"))["data"] == {"cost_type": "unblended_cost"}
    status, body = await ask.refused("account-settings/bogus/")
    assert (status, body["errors"][0]["detail"]) == (404, "Invalid not a user setting")
    with writer.tenant(SCHEMA) as connection:
        connection.execute(update(ENABLED_TAG_KEYS).values(enabled=ENABLED_TAG_KEYS.c.enabled))
    assert (await ask.as_(restricted({"openshift.cluster": ["*"]})).refused("account-settings/"))[0] == 403


async def test_data_retention(ask: Asker):
    assert await ask("account-settings/data-retention/") == {
        "data_retention_months": 3,
        "env_override": False,
        "min_retention_months": 3,
        "max_retention_months": 120,
    }


async def test_no_exchange_rates(ask: Asker):
    status, body = await ask.refused("exchange-rates/")

    assert (status, body) == (404, {"detail": "No exchange rates are loaded."})
