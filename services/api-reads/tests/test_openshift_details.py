"""GPU, MIG and virtual machine reports (read-api-fields §3.8–§3.10)."""

import pytest

from kura.store.database import Database
from kura.testing.asking import Asker
from kura.testing.gpu_and_vm_rows import add_details
from kura.testing.postgres import SCHEMA

GPU = "reports/openshift/gpu/"
MIG = "reports/openshift/gpu/mig_profiles/"
VMS = "reports/openshift/resources/virtual-machines/"
MONTH = "filter[time_scope_value]=-1"
A100_FILTERS = "filter[gpu_vendor]=nvidia&filter[gpu_model]=A100&filter[node]=n1"


@pytest.fixture(scope="module", autouse=True)
def details(writer: Database) -> None:
    with writer.tenant(SCHEMA) as connection:
        add_details(connection)


async def test_gpus_are_grouped_by_name_and_split_by_mode(ask: Asker):
    answer = await ask(f"{GPU}?{MONTH}")

    groups = {group["gpu_name"]: group["values"] for group in answer["data"][0]["gpu_names"]}
    assert list(groups) == ["nvidia_A100_n1", "nvidia_L4_n2", "nvidia_T4_n2"]
    sliced, dedicated = groups["nvidia_A100_n1"]  # the cheaper rows come later in the sorted list
    assert (dedicated["gpu_mode"], sliced["gpu_mode"]) == ("dedicated", "MIG")
    assert dedicated["gpu_count"] == {"value": 2, "units": "GPUs"}
    assert dedicated["gpu_memory"] == {"value": 80.0, "units": "GB"}
    assert (dedicated["node"], dedicated["gpu_model"], dedicated["gpu_vendor"]) == ("n1", "A100", "nvidia")
    assert dedicated["cost"]["total"] == {"value": 30.0, "units": "USD"}
    assert dedicated["supplementary"]["total"]["value"] == 30.0
    assert dedicated["cost"]["raw"]["value"] == dedicated["infrastructure"]["total"]["value"] == 0.0
    assert answer["meta"]["total"]["gpu_count"]["value"] == 5
    assert answer["meta"]["total"]["cost"]["total"]["value"] == 39.0


async def test_the_rest_of_gpus_adds_memory_and_count(ask: Asker):
    answer = await ask(f"{GPU}?{MONTH}&group_by[gpu_name]=*&filter[limit]=1")

    *_, others = answer["data"][0]["gpu_names"]
    (row,) = others["values"]
    assert others["gpu_name"] == "Others"
    assert (row["node"], row["gpu_model"], row["gpu_vendor"], row["gpu_mode"]) == ("Others",) * 4
    assert (row["gpu_count"]["value"], row["gpu_memory"]["value"]) == (2, 40.0)
    assert answer["meta"]["others"] == 2


async def test_pages_of_gpus_follow_a_textual_order(ask: Asker):
    page = f"{GPU}?{MONTH}&group_by[gpu_name]=*&filter[limit]=1&filter[offset]=%d&order_by[gpu_model]=%s"

    found = {
        way: [(await ask(page % (offset, way)))["data"][0]["gpu_names"][0]["gpu_name"] for offset in range(3)]
        for way in ("asc", "desc")
    }

    by_model = ["nvidia_A100_n1", "nvidia_L4_n2", "nvidia_T4_n2"]
    assert found == {"asc": by_model, "desc": by_model[::-1]}


async def test_gpus_of_projects(ask: Asker):
    answer = await ask(f"{GPU}?{MONTH}&group_by[project]=*&order_by[gpu_count]=desc")

    found = [(p["project"], [g["gpu_name"] for g in p["gpu_names"]]) for p in answer["data"][0]["projects"]]
    assert found == [("web", ["nvidia_A100_n1"]), ("db", ["nvidia_L4_n2", "nvidia_T4_n2"])]


async def test_mig_profiles(ask: Asker):
    answer = await ask(f"{MIG}?{A100_FILTERS}&{MONTH}")

    profiles = answer["data"][0]["mig_profiles"]
    assert [profile["mig_profile"] for profile in profiles] == ["1g.10gb", "3g.40gb"]
    assert profiles[1]["values"] == [
        {
            "date": "2024-06",
            "mig_id": "MIG-1",
            "gpu_model": "A100",
            "gpu_vendor": "nvidia",
            "gpu_name": "nvidia_A100_n1",
            "node": "n1",
            "mig_profile": "3g.40gb",
            "compute": {"value": 3, "units": "g"},
            "memory": {"value": 40, "units": "gb"},
            "mig_slice_count": 3,
            "gpu_max_slices": 7,
        }
    ]
    assert answer["meta"]["total"] == {}


async def test_limited_mig_profiles_are_ranked_by_instance(ask: Asker):
    answer = await ask(f"{MIG}?{A100_FILTERS}&{MONTH}&filter[limit]=1")

    (profile,) = answer["data"][0]["mig_profiles"]
    assert profile["values"][0]["clusters"] == ["alpha"]
    assert answer["meta"]["others"] == 1


async def test_mig_profiles_ignore_keys_they_do_not_have(ask: Asker):
    answer = await ask(f"{MIG}?{A100_FILTERS}&{MONTH}&group_by[storageclass]=*&exclude[persistentvolumeclaim]=x")

    assert [profile["mig_profile"] for profile in answer["data"][0]["mig_profiles"]] == ["1g.10gb", "3g.40gb"]


async def test_virtual_machines(ask: Asker):
    answer = await ask(VMS)

    assert answer["meta"]["count"] == 3
    assert answer["data"][0]["date"] == "2024-06"
    row = answer["data"][0]["vm_names"][0]["values"][0]
    assert (row["vm_name"], row["cluster"], row["node"], row["project"]) == ("vm-1", "alpha", "n1", "web")
    assert row["cost"]["total"]["value"] == 15.0
    assert row["cost"]["platform_distributed"]["value"] == 3.0
    assert row["cost"]["distributed"]["value"] == 18.0
    assert row["request"] == {"cpu": {"value": 2.0, "units": "Core"}, "memory": {"value": 4.0, "units": "GiB"}}
    assert row["storage"] == [
        {
            "pvc_name": "claim-1",
            "storage_class": "gp2",
            "usage": 1.5,
            "capacity": 3,
            "usage_units": "GiB-Mo",
        }
    ]
    assert row["tags"] == [{"key": "app", "values": ["blog", "shop"]}, {"key": "env", "values": ["prod"]}]


async def test_virtual_machines_are_paged_within_the_month(ask: Asker):
    answer = await ask(f"{VMS}?limit=1&offset=1&order_by[vm_name]=desc")

    assert [vm["vm_name"] for vm in answer["data"][0]["vm_names"]] == ["vm-2"]
    assert (answer["meta"]["count"], answer["meta"]["limit"], answer["meta"]["offset"]) == (3, 1, 1)
    assert "offset=2" in answer["links"]["next"]


async def test_no_virtual_machines_are_no_data(ask: Asker):
    answer = await ask(f"{VMS}?filter[vm_name]=none")

    assert (answer["data"], answer["meta"]["count"]) == ([], 0)
    assert answer["meta"]["total"]["request"]["cpu"] == {"value": 0.0, "units": "Core"}


async def test_virtual_machines_by_tag(ask: Asker):
    answer = await ask(f"{VMS}?filter[tag:app]=shop&order_by[cost]=asc")

    assert [vm["vm_name"] for vm in answer["data"][0]["vm_names"]] == ["vm-2", "vm-1"]


async def test_csv_of_virtual_machines_flattens_storage_and_tags(ask: Asker):
    header, first, *_ = (await ask.csv(f"{VMS}?order_by[cost]=desc")).split("\r\n")

    row = dict(zip(header.split(","), first.split(","), strict=True))
    assert (row["storage.0.pvc_name"], row["tags.0.key"], row["tags.0.values.1"]) == ("claim-1", "app", "shop")


@pytest.mark.parametrize(
    ("address", "values"),
    [
        ("openshift-virtual-machines/", ["vm-1", "vm-2", "vm-3"]),
        ("openshift-virtual-machines/?search=VM-2", ["vm-2"]),
        ("openshift-virtual-machines/?node=n2", []),
        ("openshift-gpu-vendors/", ["nvidia"]),
        ("openshift-gpu-models/?vendor_name=nvidia", ["A100", "L4", "T4"]),
        ("openshift-gpu-models/?namespace=db", ["L4", "T4"]),
    ],
)
async def test_type_ahead_lists(ask: Asker, address: str, values: list[str]):
    assert [item["value"] for item in (await ask(f"resource-types/{address}"))["data"]] == values
