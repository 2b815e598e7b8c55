"""The whole pipeline on a real PostgreSQL."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cluster_house import DAY, JANUARY, Cluster, add_cluster, default_pods, midnight, pod_day, volume_day
from sqlalchemy import text

from kura.aggregator import writer
from kura.aggregator.engine import Engines
from kura.aggregator.pipelines.openshift import Fence
from kura.aggregator.summary_parquet import summary_key
from kura.aggregator.transaction import Transaction
from kura.aggregator.vm_table import MOST_MACHINES_OF_A_CLAIM
from kura.core.days import DayRange
from kura.core.errors import BadRequest, LeaseLost, SourceNotFound
from kura.store.database import Database
from kura.store.leases import acquire, release
from kura.store.objects import ObjectStore
from kura.testing.digest import Digest, digest_on
from kura.testing.tables import line_items

NEXT_DAY = DAY + timedelta(days=1)


def total(rows: list[Mapping[str, Any]], column: str) -> Decimal:
    return sum((row[column] for row in rows if row[column] is not None), Decimal(0))


def state_of(cluster: Cluster) -> Digest:
    with cluster.database.begin() as connection:
        return digest_on(connection, cluster.schema)


# ------------------------------------------------------------------------------------------------------- daily summary


def test_a_day_becomes_rows_of_pods_of_unallocated_capacity_and_of_storage(cluster: Cluster):
    cluster.enable("app")
    cluster.take_in_day()

    outcome = cluster.run()

    rows = cluster.summary()
    assert outcome.rows_written == len(rows)
    assert {(row["data_source"], row["namespace"], row["node"]) for row in rows} == {
        ("Pod", "shop", "n1"),
        ("Pod", "shop", "n2"),
        ("Pod", "pay", "n1"),
        ("Pod", "openshift-dns", "m1"),
        ("Pod", "Worker unallocated", "n1"),
        ("Pod", "Worker unallocated", "n2"),
        ("Pod", "Platform unallocated", "m1"),
        ("Storage", "shop", "n1"),
    }
    web = next(
        row for row in rows if row["namespace"] == "shop" and row["node"] == "n1" and row["data_source"] == "Pod"
    )
    assert web["pod_labels"] == web["all_labels"] == {"app": "web"}
    assert web["volume_labels"] is None
    assert web["pod_usage_cpu_core_hours"] == 1
    assert web["pod_effective_usage_cpu_core_hours"] == 2
    assert web["node_capacity_cpu_core_hours"] == 4 * 2
    assert web["cluster_capacity_cpu_core_hours"] == 3 * 4 * 2
    assert web["infrastructure_usage_cost"] == {"cpu": 0, "memory": 0, "storage": 0}
    assert web["infrastructure_raw_cost"] is None
    assert (web["cluster_id"], web["cluster_alias"]) == ("cluster-1", "Cluster 1")
    assert web["source_uuid"] == cluster.provider_uuid
    assert web["report_period_id"] == cluster.report_period_id
    assert len({row["uuid"] for row in rows}) == len(rows)
    assert all(row["uuid"].version == 7 for row in rows)


def test_what_is_used_and_what_is_unallocated_is_the_capacity(cluster: Cluster):
    cluster.take_in_day()
    cluster.run()

    for node in ("n1", "n2", "m1"):
        rows = cluster.summary(f"data_source = 'Pod' and node = '{node}'")
        capacity = rows[0]["node_capacity_cpu_core_hours"]
        assert total(rows, "pod_usage_cpu_core_hours") == capacity
        assert total(rows, "pod_request_cpu_core_hours") == capacity
        assert (
            total(rows, "pod_effective_usage_memory_gigabyte_hours") == rows[0]["node_capacity_memory_gigabyte_hours"]
        )


def test_labels_that_change_all_the_time_and_volumes_everywhere_do_not_multiply_without_end(cluster: Cluster):
    """Some hundred lines that would make three million rows of pods and a million of volumes."""
    many = range(150)
    machine = '{"vm_kubevirt_io_name":"%d"}'
    pods = [pod_day(pod=f"web-{n}", labels=machine % n) for n in many]
    pods += [pod_day(NEXT_DAY, pod="web-1", node=f"n{n}") for n in range(200)]
    volumes = [{**volume_day(NEXT_DAY), "persistentvolume": f"pv-{n}"} for n in range(200)]
    labels = {
        "node_labels": [{"node": "n1", "node_labels": machine % n} for n in many],
        "namespace_labels": [{"namespace": "shop", "namespace_labels": machine % n} for n in many],
    }
    cluster.take_in("pod_usage", pods, daily=True, days=[DAY, NEXT_DAY])
    cluster.take_in("storage_usage", volumes, daily=True, days=[NEXT_DAY])
    for kind, sets in labels.items():
        cluster.take_in(kind, [row | {"interval_start": midnight(DAY)} for row in sets], daily=True, days=[DAY])

    cluster.run(DAY, NEXT_DAY)

    shop = cluster.summary("data_source = 'Pod' and namespace = 'shop'")
    assert total(shop, "pod_usage_cpu_core_hours") == 150 + 200
    assert {row["pod_labels"]["vm_kubevirt_io_name"] for row in shop if row["usage_start"] == DAY} == set(
        map(str, many)
    )
    stored = cluster.summary("data_source = 'Storage'")
    assert {(row["node"], row["persistentvolume"]) for row in stored} == {("n99", f"pv-{n}") for n in range(200)}
    assert total(stored, "persistentvolumeclaim_capacity_gigabyte_months") == 200


def test_labels_that_change_every_hour_count_in_full(cluster: Cluster):
    cluster.enable("env", "team")
    hours = [(f'{{"env":"{n}"}}', f'{{"team":"{n}"}}') for n in range(24)]
    cluster.take_in("pod_usage", [pod_day(pod=f"web-{n}") for n in range(10)], daily=True, days=[DAY])
    rows = [{"interval_start": midnight(DAY), "node": "n1", "node_labels": env} for env, _ in hours]
    cluster.take_in("node_labels", rows, daily=True, days=[DAY])
    rows = [{"interval_start": midnight(DAY), "namespace": "shop", "namespace_labels": team} for _, team in hours]
    cluster.take_in("namespace_labels", rows, daily=True, days=[DAY])

    cluster.run()

    assert total(cluster.summary("namespace = 'shop'"), "pod_usage_cpu_core_hours") == 10 * 24 * 24


def test_running_twice_changes_nothing(cluster: Cluster):
    cluster.enable("app", "tier")
    cluster.take_in_day()
    cluster.take_in_day(NEXT_DAY)
    cluster.run(DAY, NEXT_DAY)
    before = state_of(cluster)

    cluster.run(DAY, NEXT_DAY)
    cluster.run(DAY)

    assert state_of(cluster) == before


def test_days_summarised_together_or_apart_give_the_same(cluster: Cluster):
    cluster.enable("app")
    cluster.take_in_day()
    cluster.take_in_day(NEXT_DAY)
    cluster.run(DAY, NEXT_DAY)
    together = state_of(cluster)

    cluster.sql("delete from reporting_ocpusagelineitem_daily_summary")
    cluster.run(NEXT_DAY)
    cluster.run(DAY)

    assert state_of(cluster) == together


def test_a_day_that_has_no_line_items_any_more_loses_its_rows(cluster: Cluster):
    cluster.take_in_day()
    cluster.run()
    cluster.sql("delete from public.ingested_file_day")
    cluster.resources.objects.delete(list(cluster.resources.objects.keys("data/parquet")))

    cluster.run(JANUARY.first, JANUARY.last)

    assert cluster.summary() == []
    assert cluster.sql("select * from reporting_ocp_cost_summary_p") == []
    assert cluster.sql("select * from reporting_ocp_month_summary_p") == []


def test_costs_of_a_cloud_stay_and_everything_else_of_the_range_is_replaced(cluster: Cluster):
    cluster.take_in_day()
    cluster.run()
    for namespace, cost in (("from-cloud", 5), ("free", 0)):
        cluster.sql(
            "insert into reporting_ocpusagelineitem_daily_summary"
            " (usage_start, usage_end, report_period_id, source_uuid, cluster_id, data_source, namespace, node,"
            "  infrastructure_raw_cost, cost_model_cpu_cost, raw_currency)"
            " values (:day, :day, :period, :source, 'cluster-1', 'Pod', :namespace, 'n1', :cost, 1, 'USD')",
            day=DAY,
            period=cluster.report_period_id,
            source=cluster.provider_uuid,
            namespace=namespace,
            cost=cost,
        )
    cluster.run()

    assert [row["namespace"] for row in cluster.summary("infrastructure_raw_cost is not null")] == ["from-cloud"]
    by_project = cluster.sql("select namespace, infrastructure_raw_cost from reporting_ocp_cost_summary_by_project_p")
    assert {row["namespace"]: row["infrastructure_raw_cost"] for row in by_project}["from-cloud"] == 5


def test_rows_of_other_days_and_sources_are_not_touched(
    cluster: Cluster, database: Database, object_store: ObjectStore, engines: Engines
):
    other = add_cluster(
        database, object_store, engines, schema=cluster.schema, cluster_id="cluster-2", name="Cluster 2"
    )
    for one in (cluster, other):
        one.take_in_day()
        one.take_in_day(NEXT_DAY)
        one.run(DAY, NEXT_DAY)
    before = cluster.summary(f"source_uuid = '{other.provider_uuid}' or usage_start = '{NEXT_DAY}'")

    cluster.run()

    after = cluster.summary(f"source_uuid = '{other.provider_uuid}' or usage_start = '{NEXT_DAY}'")
    assert sorted(map(str, after)) == sorted(map(str, before))


def test_the_categories_of_namespaces_are_those_of_their_patterns(cluster: Cluster):
    cluster.take_in_day()
    cluster.run()

    platform = cluster.sql("select id from reporting_ocp_cost_category where name = 'Platform'")[0]["id"]
    found = {row["namespace"]: row["cost_category_id"] for row in cluster.summary()}
    assert found == {
        "shop": None,
        "pay": None,
        "openshift-dns": platform,
        "Worker unallocated": None,
        "Platform unallocated": platform,
    }


def test_tag_mapping_renames_labels_of_the_summary_but_not_in_tag_tables_nor_parquet(cluster: Cluster):
    cluster.enable("app", "application")
    cluster.sql(
        "insert into reporting_tagmapping (parent_id, child_id)"
        " select parent.uuid, child.uuid from reporting_enabledtagkeys parent, reporting_enabledtagkeys child"
        " where parent.key = 'application' and child.key = 'app'"
    )
    cluster.take_in_day()
    cluster.run()

    found = cluster.summary("namespace = 'shop' and data_source = 'Pod' and node = 'n1'")
    assert [(row["pod_labels"], row["all_labels"]) for row in found] == [
        ({"application": "web"}, {"application": "web"})
    ]
    assert {row["key"] for row in cluster.sql("select key from reporting_ocpusagepodlabel_summary")} == {"app"}
    with cluster.resources.objects.open_read(summary_key(source_of(cluster), DAY)) as stored:
        labels = set(pq.read_table(stored)["pod_labels"].to_pylist())
    assert '{"app":"web"}' in labels


def source_of(cluster: Cluster) -> Any:
    from kura.aggregator.inputs import Source

    return Source(schema=cluster.schema, provider_uuid=cluster.provider_uuid)


def test_a_month_without_report_period_is_no_error(cluster: Cluster):
    outcome = cluster.run(date(2025, 2, 1))

    assert outcome.rows_written == 0
    assert len(outcome.notes) == 1


def test_a_range_over_two_months_is_refused(cluster: Cluster):
    with pytest.raises(BadRequest, match="month"):
        cluster.run(DAY, date(2025, 2, 1))


def test_an_unknown_source_is_an_error(cluster: Cluster):
    cluster.sql("delete from public.api_provider")

    with pytest.raises(SourceNotFound):
        cluster.run()


def test_the_period_is_stamped(cluster: Cluster):
    cluster.take_in_day()
    cluster.run()
    first = stamps_of(cluster)
    cluster.run()
    second = stamps_of(cluster)

    assert first["created"] == second["created"] is not None
    assert first["updated"] < second["updated"]


def stamps_of(cluster: Cluster) -> Mapping[str, Any]:
    return cluster.sql(
        "select summary_data_creation_datetime as created, summary_data_updated_datetime as updated"
        " from reporting_ocpusagereportperiod"
    )[0]


# ----------------------------------------------------------------------------------------------------------- UI tables


@pytest.mark.parametrize("table", ["cost_summary", "pod_summary"])
def test_sums_by_project_by_node_and_of_the_cluster_are_equal(cluster: Cluster, table: str):
    cluster.take_in_day()
    cluster.run()
    cluster.sql("update reporting_ocpusagelineitem_daily_summary set cost_model_cpu_cost = pod_usage_cpu_core_hours")
    with Transaction.of_tenant(cluster.database, cluster.schema) as tx:
        writer.fill_ui_tables(tx, provider_uuid=cluster.provider_uuid, days=DayRange(DAY, DAY))

    column = "cost_model_cpu_cost"
    sums = {
        total(cluster.sql(f"select {column} from reporting_ocp_{table}{by}_p"), column)
        for by in ("", "_by_project", "_by_node")
    }
    assert len(sums) == 1
    assert sums.pop() > 0


def test_the_engine_and_postgresql_fill_the_same_ui_tables(cluster: Cluster):
    cluster.enable("app")
    cluster.take_in_day()
    cluster.take_in("storage_usage", [volume_day(NEXT_DAY, pod="gone", claim="idle")], daily=True, days=[NEXT_DAY])
    cluster.run(DAY, NEXT_DAY)
    by_postgresql = state_of(cluster)

    cluster.sql("delete from reporting_ocp_pod_summary_p")
    by_engine = replace(cluster, resources=replace(cluster.resources, many_rows=1))
    by_engine.run(DAY, NEXT_DAY)

    assert state_of(cluster).differences(by_postgresql) == []


def test_pods_are_summed_without_unallocated_capacity_and_volumes_by_claim(cluster: Cluster):
    cluster.take_in_day()
    cluster.run()

    pods = cluster.sql("select * from reporting_ocp_pod_summary_p")
    assert len(pods) == 1
    assert pods[0]["pod_usage_cpu_core_hours"] == Decimal("6.5")
    assert pods[0]["cluster_capacity_cpu_core_hours"] == 24
    assert pods[0]["resource_ids"] == ["i-m1", "i-n1", "i-n2"]
    assert pods[0]["resource_count"] == 3
    volumes = cluster.sql("select * from reporting_ocp_volume_summary_by_project_p")
    assert [(row["namespace"], row["persistentvolumeclaim"], row["storageclass"]) for row in volumes] == [
        ("shop", "data", "gp2")
    ]
    assert volumes[0]["persistentvolumeclaim_usage_gigabyte_months"] == Decimal("0.5")


def test_network_costs_in_and_out_stay_apart(cluster: Cluster):
    cluster.take_in_day()
    cluster.run()
    for column, amount, cost in (("in", 5, 2), ("out", 7, 3)):
        cluster.sql(
            "insert into reporting_ocpusagelineitem_daily_summary"
            " (usage_start, usage_end, report_period_id, source_uuid, cluster_id, data_source, namespace, node,"
            f"  infrastructure_raw_cost, infrastructure_data_{column}_gigabytes)"
            " values (:day, :day, :period, :source, 'cluster-1', 'Pod', 'Network unattributed', 'n1', :cost, :amount)",
            day=DAY,
            period=cluster.report_period_id,
            source=cluster.provider_uuid,
            cost=cost,
            amount=amount,
        )
    cluster.run()

    for table in ("network_summary_p", "network_summary_by_project_p", "network_summary_by_node_p"):
        rows = cluster.sql(f"select * from reporting_ocp_{table}")
        assert {
            (
                row["infrastructure_data_in_gigabytes"],
                row["infrastructure_data_out_gigabytes"],
                row["infrastructure_raw_cost"],
            )
            for row in rows
        } == {(5, 0, 2), (0, 7, 3)}


# ---------------------------------------------------------------------------------------------------------------- tags


def test_label_summaries_accumulate_and_forget_disabled_keys(cluster: Cluster):
    cluster.enable("app", "tier")
    cluster.take_in_day()
    cluster.run()
    cluster.take_in_day(NEXT_DAY, pods=[pod_day(NEXT_DAY, labels='{"app":"new"}')])
    cluster.run(NEXT_DAY)

    values = cluster.sql(
        "select \"values\" from reporting_ocpusagepodlabel_summary where namespace = 'shop' and node = 'n1'"
    )
    assert [row["values"] for row in values] == [["new", "web"]]
    volumes = cluster.sql('select key, "values", namespace, node from reporting_ocpstoragevolumelabel_summary')
    assert [(row["key"], row["values"], row["namespace"], row["node"]) for row in volumes] == [
        ("tier", ["gold"], "shop", "n1")
    ]

    cluster.enable("app", enabled=False)
    cluster.run()

    assert cluster.sql("select * from reporting_ocpusagepodlabel_summary") == []
    assert {row["key"] for row in cluster.sql("select key from reporting_ocptags_values")} == {"tier"}


def test_volumes_without_node_have_one_label_row_however_often_they_are_seen(cluster: Cluster):
    cluster.enable("tier")
    cluster.take_in("storage_usage", [volume_day(pod="")], daily=True, days=[DAY])
    cluster.run()
    cluster.run()

    assert [row["node"] for row in cluster.sql("select node from reporting_ocpstoragevolumelabel_summary")] == [None]


def test_tag_values_know_all_clusters(
    cluster: Cluster, database: Database, object_store: ObjectStore, engines: Engines
):
    other = add_cluster(
        database, object_store, engines, schema=cluster.schema, cluster_id="cluster-2", name="Cluster 2"
    )
    cluster.enable("app")
    for one in (cluster, other):
        one.take_in_day()
        one.run()

    found = cluster.sql("select * from reporting_ocptags_values where key = 'app' and value = 'web'")
    assert len(found) == 1
    assert found[0]["cluster_ids"] == ["cluster-1", "cluster-2"]
    assert found[0]["cluster_aliases"] == ["Cluster 1", "Cluster 2"]
    assert found[0]["namespaces"] == ["shop"]
    assert found[0]["nodes"] == ["n1", "n2"]


# ----------------------------------------------------------------------------------------------------------- inventory


def test_the_inventory_names_what_the_cluster_is_made_of(cluster: Cluster):
    cluster.take_in_day()
    cluster.run()
    cluster.run()

    clusters = cluster.sql("select cluster_id, cluster_alias, provider_id from reporting_ocp_clusters")
    assert [(row["cluster_id"], row["cluster_alias"]) for row in clusters] == [("cluster-1", "Cluster 1")]
    nodes = cluster.sql("select * from reporting_ocp_nodes order by node")
    assert [(row["node"], row["resource_id"], row["node_role"], row["architecture"]) for row in nodes] == [
        ("m1", "i-m1", "master", "amd64"),
        ("n1", "i-n1", "worker", "amd64"),
        ("n2", "i-n2", "worker", "amd64"),
    ]
    assert nodes[0]["node_capacity_cpu_cores"] == Decimal("4.00")
    volumes = cluster.sql("select * from reporting_ocp_pvcs")
    assert [
        (row["persistent_volume"], row["persistent_volume_claim"], row["csi_volume_handle"]) for row in volumes
    ] == [("pv-data", "data", "vol-data")]
    projects = cluster.sql("select project from reporting_ocp_projects order by project")
    assert [row["project"] for row in projects] == ["openshift-dns", "pay", "shop"]


@pytest.mark.parametrize(("stored", "kept"), [("'vol-z'", "vol-z"), ("'vol-a'", "vol-data"), ("null", "vol-data")])
def test_a_volume_keeps_the_largest_of_its_handles_whatever_the_order_of_runs(cluster: Cluster, stored: str, kept: str):
    cluster.take_in_day()
    cluster.run()
    cluster.sql(f"update reporting_ocp_pvcs set csi_volume_handle = {stored}")
    cluster.run()

    assert [row["csi_volume_handle"] for row in cluster.sql("select * from reporting_ocp_pvcs")] == [kept]


def test_a_renamed_source_keeps_its_cluster_and_nodes(cluster: Cluster):
    cluster.take_in_day()
    cluster.run()
    before = cluster.sql("select uuid from reporting_ocp_nodes order by uuid")
    cluster.sql("update reporting_ocpusagereportperiod set cluster_alias = 'Renamed'")

    cluster.run()

    assert [row["cluster_alias"] for row in cluster.sql("select cluster_alias from reporting_ocp_clusters")] == [
        "Renamed"
    ]
    assert cluster.sql("select uuid from reporting_ocp_nodes order by uuid") == before
    assert {row["cluster_alias"] for row in cluster.summary()} == {"Renamed"}


def test_a_changed_role_moves_the_unallocated_capacity(cluster: Cluster):
    cluster.take_in_day(pods=[pod_day(role="worker")])
    cluster.run()
    cluster.take_in_day(NEXT_DAY, pods=[pod_day(NEXT_DAY, role="infra")])
    cluster.run(NEXT_DAY)

    assert [
        row["namespace"]
        for row in cluster.summary(f"usage_start = '{NEXT_DAY}' and pod_labels is null and data_source = 'Pod'")
    ] == ["Platform unallocated"]
    assert [row["node_role"] for row in cluster.sql("select node_role from reporting_ocp_nodes")] == ["infra"]


# ---------------------------------------------------------------------------------------------------------------- GPUs


def gpu_day(**changed: object) -> dict[str, object]:
    return {
        "interval_start": midnight(DAY),
        "namespace": "ml",
        "node": "n1",
        "pod": "train",
        "gpu_uuid": "GPU-1",
        "gpu_vendor_name": "nvidia",
        "gpu_model_name": "A100",
        "gpu_memory_capacity_mib": 40960.0,
        "mig_profile": "",
        "mig_instance_id": "",
        "mig_strategy": "",
        **changed,
    }


def test_gpus_without_a_rate_are_listed_from_usage(cluster: Cluster):
    mig = gpu_day(
        gpu_uuid="GPU-2",
        mig_profile="1g.5gb",
        mig_instance_id="7",
        mig_slice_count=1.0,
        gpu_max_slices=7.0,
        mig_memory_capacity_mib=5120.0,
        mig_strategy="single",
    )
    cluster.take_in("gpu_usage", [gpu_day(), gpu_day(pod="serve"), mig], daily=True, days=[DAY])
    cluster.run()
    cluster.run()

    rows = cluster.sql("select * from reporting_ocp_gpu_summary_p order by gpu_uuid")
    assert [
        (row["gpu_uuid"], row["gpu_mode"], row["mig_profile"], row["mig_instance_id"], row["mig_slice_count"])
        for row in rows
    ] == [("GPU-1", "dedicated", None, None, None), ("GPU-2", "MIG", "1g.5gb", "7", 1)]
    assert rows[0]["memory_capacity_gb"] == Decimal("42.949672960000000")
    assert rows[1]["mig_memory_capacity_gb"] == Decimal("5.368709120000000")
    assert rows[1]["gpu_max_slices"] == 7
    assert [row["mig_strategy"] for row in rows] == ["", "single"]
    assert rows[0]["cost_model_gpu_cost"] is None
    assert rows[0]["gpu_count"] is None


def test_gpus_with_a_rate_come_from_the_rows_of_the_cost_model(cluster: Cluster):
    cluster.take_in_day()
    cluster.run()
    cluster.sql(
        "insert into reporting_ocpusagelineitem_daily_summary"
        " (usage_start, usage_end, report_period_id, source_uuid, cluster_id, data_source, namespace, node,"
        "  resource_id, cost_model_gpu_cost, cost_model_rate_type, infrastructure_raw_cost, all_labels)"
        " select :day, :day, :period, :source, 'cluster-1', 'GPU', namespace, 'n1', 'GPU-1', 3, rate_type, 1,"
        " cast(:labels as jsonb)"
        " from (values ('ml', 'Infrastructure'), ('GPU unallocated', 'Infrastructure'), ('ml', 'gpu_distributed'))"
        "   as given (namespace, rate_type)",
        day=DAY,
        period=cluster.report_period_id,
        source=cluster.provider_uuid,
        labels='{"gpu-vendor":"nvidia","gpu-model":"A100","gpu-memory-mib":"40960.0","mig-profile":"","gpu-mode":""}',
    )
    price_gpus(cluster)
    cluster.run()

    rows = cluster.sql("select * from reporting_ocp_gpu_summary_p")
    assert [(row["vendor_name"], row["model_name"], row["gpu_mode"], row["cost_model_gpu_cost"]) for row in rows] == [
        ("nvidia", "A100", "dedicated", 3)
    ]
    assert rows[0]["memory_capacity_gb"] == Decimal("42.949672960000000")


def price_gpus(cluster: Cluster) -> None:
    cluster.sql(
        "with model as (insert into cost_model (name, source_type) values ('m', 'OCP') returning uuid),"
        " mapped as (insert into cost_model_map (provider_uuid, cost_model_id) select :source, uuid from model),"
        " list as (insert into price_list (name, currency, effective_start_date, effective_end_date)"
        "   values ('l', 'USD', '2025-01-01', '2099-12-31') returning uuid),"
        " linked as (insert into price_list_cost_model_map (price_list_id, cost_model_id, priority)"
        "   select list.uuid, model.uuid, 1 from list, model)"
        " insert into cost_model_rate (price_list_id, custom_name, metric, metric_type, cost_type)"
        " select uuid, 'r', 'gpu_cost_per_month', 'gpu', 'Infrastructure' from list",
        source=cluster.provider_uuid,
    )


# ---------------------------------------------------------------------------------------------------- virtual machines


def vm_days(cluster: Cluster, *days: date, namespace: str = "vms", claim: str = "disk") -> None:
    labels = '{"vm_kubevirt_io_name":"v1"}'
    for day in days:
        pod = pod_day(day, namespace=namespace, pod="virt-launcher-v1", labels=labels, cpu_hours=0, request_hours=24)
        cluster.take_in("pod_usage", [pod], daily=True, days=[day])
        volume = volume_day(day, namespace=namespace, pod="virt-launcher-v1", claim=claim)
        cluster.take_in("storage_usage", [volume], daily=True, days=[day])


E11_DAYS = [date(2025, 1, number) for number in (1, 2, 3)]


def add_costs(cluster: Cluster, days: list[date]) -> None:
    """Costs as the cost model writes them; a raw cost keeps them through the next run."""
    for day in days:
        cluster.sql(
            "insert into reporting_ocpusagelineitem_daily_summary"
            " (usage_start, usage_end, report_period_id, source_uuid, cluster_id, cluster_alias, data_source,"
            "  namespace, node, resource_id, pod_labels, all_labels, cost_model_rate_type, cost_model_cpu_cost,"
            "  distributed_cost)"
            " select :day, :day, :period, :source, 'cluster-1', 'Cluster 1', 'Pod', 'vms', 'n1', 'i-n1',"
            "  labels, labels, rate_type, cost, distributed"
            " from (values (cast('{\"vm_kubevirt_io_name\":\"v1\"}' as jsonb), 'Supplementary', 2, null),"
            "              (null, 'platform_distributed', null, 10)) as given (labels, rate_type, cost, distributed)",
            day=day,
            period=cluster.report_period_id,
            source=cluster.provider_uuid,
        )


def refill_vm_table(cluster: Cluster, report: Any = None) -> list[Mapping[str, Any]]:
    """What a cost model run does at its end."""
    from kura.aggregator import vm_table
    from kura.aggregator.pipelines.openshift import SummaryRun, monthly_report
    from kura.aggregator.store import read_facts

    run = SummaryRun(
        schema=cluster.schema, provider_uuid=cluster.provider_uuid, days=DayRange(E11_DAYS[0], E11_DAYS[-1])
    )
    facts = read_facts(cluster.database, schema=run.schema, provider_uuid=run.provider_uuid, days=run.days)
    assert facts is not None
    with cluster.resources.engines.lend() as engine, Transaction.of_tenant(cluster.database, cluster.schema) as tx:
        found = monthly_report(engine, run, cluster.resources)
        vm_table.fill_vm_table(tx, cluster=facts.cluster, month=run.month, report=found)
    return cluster.sql("select * from reporting_ocp_vm_summary_p order by cost_model_rate_type nulls last")


def test_e11_a_machine_has_a_row_of_costs_a_row_of_distributed_costs_and_a_row_of_storage(cluster: Cluster):
    vm_days(cluster, *E11_DAYS)
    cluster.run(E11_DAYS[0], E11_DAYS[-1])
    add_costs(cluster, E11_DAYS)

    rows = refill_vm_table(cluster)

    assert {(row["usage_start"], row["usage_end"], row["vm_name"], row["node"]) for row in rows} == {
        (date(2025, 1, 1), date(2025, 1, 3), "v1", "n1")
    }
    own, distributed, storage = (
        next(row for row in rows if row["cost_model_rate_type"] == kind)
        for kind in ("Supplementary", "platform_distributed", None)
    )
    assert own["cost_model_cpu_cost"] == 6
    assert own["pod_request_cpu_core_hours"] == 24
    assert own["pod_request_memory_gigabyte_hours"] == 24
    assert own["pod_labels"] == {"vm_kubevirt_io_name": "v1"}
    assert distributed["distributed_cost"] == 30
    assert distributed["cost_model_cpu_cost"] is None
    assert storage["persistentvolumeclaim"] == "disk"
    assert storage["persistentvolumeclaim_capacity_gigabyte_months"] == 1
    assert storage["storageclass"] == "gp2"


def test_e11_without_costs_only_the_storage_row_exists(cluster: Cluster):
    vm_days(cluster, *E11_DAYS)
    cluster.run(E11_DAYS[0], E11_DAYS[-1])
    cluster.run(E11_DAYS[0])

    rows = cluster.sql("select * from reporting_ocp_vm_summary_p")
    assert [(row["persistentvolumeclaim"], row["usage_start"], row["usage_end"]) for row in rows] == [
        ("disk", date(2025, 1, 1), date(2025, 1, 3))
    ]


def test_a_machine_gets_its_share_of_what_is_distributed_to_its_project_and_node(cluster: Cluster):
    vm_days(cluster, *E11_DAYS)
    for day in E11_DAYS:
        other = pod_day(day, namespace="vms", pod="web", cpu_hours=8, request_hours=8)
        cluster.take_in("pod_usage", [other], daily=True, days=[day])
    cluster.run(E11_DAYS[0], E11_DAYS[-1])
    add_costs(cluster, E11_DAYS)

    rows = refill_vm_table(cluster)

    shared = next(row for row in rows if row["cost_model_rate_type"] == "platform_distributed")
    assert shared["distributed_cost"].quantize(Decimal("0.000001")) == Decimal(30 * 24 / 32).quantize(
        Decimal("0.000001")
    )


def test_the_report_of_machines_decides_what_they_ask_for(cluster: Cluster):
    vm_days(cluster, *E11_DAYS)
    hourly = [
        {
            "interval_start": midnight(day),
            "namespace": "vms",
            "node": "n7",
            "vm_name": "v1",
            "vm_persistentvolumeclaim_name": "disk",
            "vm_cpu_request_cores": cores,
            "vm_memory_request_bytes": 2.0 * 2**30,
        }
        for day, cores in ((E11_DAYS[0], 9.0), (E11_DAYS[2], 2.0))
    ]
    cluster.take_in("vm_usage", hourly, daily=False, days=[E11_DAYS[0]])
    cluster.run(E11_DAYS[0], E11_DAYS[-1])
    add_costs(cluster, E11_DAYS)

    own = next(row for row in refill_vm_table(cluster) if row["cost_model_rate_type"] == "Supplementary")

    assert own["pod_request_cpu_core_hours"] == 2 * 24
    assert own["pod_request_memory_gigabyte_hours"] == 2 * 24
    assert own["node"] == "n7"


def test_a_machine_that_is_reported_no_more_keeps_its_share_of_distributed_costs_alone(cluster: Cluster):
    vm_days(cluster, *E11_DAYS)
    other = {
        "interval_start": midnight(E11_DAYS[2]),
        "namespace": "vms",
        "node": "n1",
        "vm_name": "v2",
        "vm_persistentvolumeclaim_name": "other",
        "vm_cpu_request_cores": 1.0,
        "vm_memory_request_bytes": 2.0**30,
    }
    cluster.take_in("vm_usage", [other], daily=False, days=[E11_DAYS[0]])
    cluster.run(E11_DAYS[0], E11_DAYS[-1])
    add_costs(cluster, E11_DAYS)

    [shared] = refill_vm_table(cluster)

    assert (shared["vm_name"], shared["cost_model_rate_type"]) == ("v1", "platform_distributed")
    assert shared["distributed_cost"] == 30


def test_a_claim_whose_labels_change_within_its_first_day_has_a_row_per_label_map(cluster: Cluster):
    """For example a machine that moves to a node of another zone: both rows begin on the same day."""
    vm_days(cluster, *E11_DAYS)
    cluster.run(E11_DAYS[0], E11_DAYS[-1])
    cluster.sql(
        "insert into reporting_ocpusagelineitem_daily_summary"
        " (usage_start, usage_end, report_period_id, source_uuid, cluster_id, cluster_alias, data_source,"
        "  namespace, node, resource_id, persistentvolumeclaim, volume_labels, all_labels, cost_model_rate_type,"
        "  cost_model_volume_cost)"
        " select :day, :day, :period, :source, 'cluster-1', 'Cluster 1', 'Storage', 'vms', 'n1', 'i-n1', 'disk',"
        "  labels, labels, 'Supplementary', 3"
        ' from (values (cast(\'{"zone":"a"}\' as jsonb)), (\'{"zone":"b"}\')) as given (labels)',
        day=E11_DAYS[0],
        period=cluster.report_period_id,
        source=cluster.provider_uuid,
    )

    rows = [row for row in refill_vm_table(cluster) if row["cost_model_rate_type"] == "Supplementary"]

    assert sorted(row["pod_labels"]["zone"] for row in rows) == ["a", "b"]
    assert [row["cost_model_volume_cost"] for row in rows] == [3, 3]


def test_a_reported_machine_without_a_labelled_pod_has_its_storage_alone(cluster: Cluster):
    """Labels are those of its pod on the second-latest day; without any, the volume's own remain."""
    cluster.enable("tier")
    pod = pod_day(E11_DAYS[0], namespace="vms", pod="web")
    cluster.take_in("pod_usage", [pod], daily=True, days=[E11_DAYS[0]])
    volume = volume_day(E11_DAYS[0], namespace="vms", pod="web", claim="disk")
    cluster.take_in("storage_usage", [volume], daily=True, days=[E11_DAYS[0]])
    machine = {
        "interval_start": midnight(E11_DAYS[0]),
        "namespace": "vms",
        "node": "n7",
        "vm_name": "v1",
        "vm_persistentvolumeclaim_name": "disk",
        "vm_cpu_request_cores": 1.0,
        "vm_memory_request_bytes": 2.0**30,
    }
    cluster.take_in("vm_usage", [machine], daily=False, days=[E11_DAYS[0]])
    cluster.run(E11_DAYS[0])

    [row] = cluster.sql("select * from reporting_ocp_vm_summary_p")

    assert (row["vm_name"], row["node"], row["persistentvolumeclaim"]) == ("v1", "n7", "disk")
    [volume_row] = cluster.summary("data_source = 'Storage'")
    assert row["pod_labels"] == volume_row["volume_labels"]


def test_very_many_machines_of_one_claim_do_not_multiply_with_its_volumes(cluster: Cluster):
    pods = [pod_day(pod=f"vm-{n}", labels=f'{{"vm_kubevirt_io_name":"v{n:03}"}}') for n in range(100)]
    pods += [pod_day(pod="vm-0", labels=f'{{"vm_kubevirt_io_name":"w{n:03}"}}') for n in range(100)]
    volumes = [{**volume_day(pod=f"vm-{n}"), "persistentvolume": f"pv-{n}"} for n in range(100)]
    cluster.take_in("pod_usage", pods, daily=True, days=[DAY])
    cluster.take_in("storage_usage", volumes, daily=True, days=[DAY])

    cluster.run()

    rows = cluster.sql("select vm_name from reporting_ocp_vm_summary_p where persistentvolumeclaim is not null")
    assert len({row["vm_name"] for row in rows}) == MOST_MACHINES_OF_A_CLAIM


def test_machines_of_the_same_name_in_two_projects_are_two(cluster: Cluster):
    vm_days(cluster, *E11_DAYS)
    vm_days(cluster, *E11_DAYS, namespace="other", claim="disk2")
    cluster.run(E11_DAYS[0], E11_DAYS[-1])

    rows = cluster.sql("select namespace, persistentvolumeclaim from reporting_ocp_vm_summary_p order by namespace")
    assert [(row["namespace"], row["persistentvolumeclaim"]) for row in rows] == [("other", "disk2"), ("vms", "disk")]


# ------------------------------------------------------------------------------------------------- Parquet and objects


def test_the_summary_parquet_holds_every_row_unrounded(cluster: Cluster):
    cluster.enable("app")
    cluster.take_in_day()
    cluster.take_in_day(NEXT_DAY)
    cluster.run(DAY, NEXT_DAY)

    with cluster.resources.objects.open_read(summary_key(source_of(cluster), DAY)) as stored:
        table = pq.read_table(stored)

    assert table.num_rows == len(cluster.summary(f"usage_start = '{DAY}'"))
    assert table.schema.field("pod_usage_cpu_core_hours").type == pa.float64()
    assert {(row["cluster_id"], row["cluster_alias"], row["source_uuid"]) for row in table.to_pylist()} == {
        ("cluster-1", "Cluster 1", str(cluster.provider_uuid))
    }
    assert {(row["usage_end"], row["report_period_id"]) for row in table.to_pylist()} == {
        (DAY, cluster.report_period_id)
    }
    storage = [row for row in table.to_pylist() if row["data_source"] == "Storage"]
    assert [row["csi_volume_handle"] for row in storage] == ["vol-data"]


def test_a_day_that_lost_its_rows_loses_its_summary_parquet(cluster: Cluster):
    cluster.take_in_day()
    cluster.run()
    key = summary_key(source_of(cluster), DAY)
    assert cluster.resources.objects.exists(key)
    cluster.sql("delete from public.ingested_file_day")
    cluster.resources.objects.delete(
        [other for other in cluster.resources.objects.keys("data/parquet") if other != key]
    )

    cluster.run()

    assert not cluster.resources.objects.exists(key)


# ---------------------------------------------------------------------------------------------------- many at one time


def test_a_worker_whose_lease_has_moved_on_writes_nothing(cluster: Cluster):
    cluster.take_in_day()
    name = f"summary:{cluster.provider_uuid}:2025-01"
    with cluster.database.begin() as connection:
        old = acquire(connection, name, owner="one", seconds=60)
        assert old is not None
        release(connection, name, token=old)
        new = acquire(connection, name, owner="two", seconds=60)
        assert new is not None
    before = state_of(cluster)

    with pytest.raises(LeaseLost):
        cluster.run(fence=Fence(lease_name=name, token=old))

    assert state_of(cluster) == before
    assert not cluster.resources.objects.exists(summary_key(source_of(cluster), DAY))
    cluster.run(fence=Fence(lease_name=name, token=new))
    assert cluster.summary() != []


def test_readers_see_the_old_or_the_new_totals_of_a_day_and_nothing_else(cluster: Cluster):
    cluster.take_in_day()
    cluster.run()
    seen: set[tuple[Decimal, Decimal]] = set()
    stop = threading.Event()

    def read() -> None:
        with Database(cluster.database.url, application_name="reader") as reader:
            while not stop.is_set():
                with reader.tenant(cluster.schema, snapshot=True) as connection:
                    daily = connection.scalar(
                        text(
                            "select coalesce(sum(pod_usage_cpu_core_hours), 0)"
                            " from reporting_ocpusagelineitem_daily_summary where pod_labels is not null"
                        )
                    )
                    ui = connection.scalar(
                        text(
                            "select coalesce(sum(pod_usage_cpu_core_hours), 0) from reporting_ocp_pod_summary_by_node_p"
                        )
                    )
                    seen.add((daily, ui))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(1, 4):
        cluster.take_in("pod_usage", [pod_day(pod=f"more-{number}", cpu_hours=1)], daily=True, days=[DAY])
        cluster.run()
    stop.set()
    for reader in readers:
        reader.join()

    allowed = {Decimal("6.5") + number for number in range(4)}
    assert {daily for daily, _ in seen} <= allowed
    assert all(daily == ui for daily, ui in seen)


def test_many_clusters_of_a_tenant_are_summarised_at_once(
    cluster: Cluster, database: Database, object_store: ObjectStore, engines: Engines
):
    cluster.enable("app", "tier")
    others = [
        add_cluster(database, object_store, engines, schema=cluster.schema, cluster_id=f"c{number}", name=f"C{number}")
        for number in range(4)
    ]
    failures: list[BaseException] = []

    def work(one: Cluster) -> None:
        try:
            for _ in range(2):
                one.run()
        except BaseException as error:
            failures.append(error)

    everyone = [cluster, *others]
    for one in everyone:
        one.take_in_day()
    threads = [threading.Thread(target=work, args=(one,)) for one in everyone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    found = cluster.sql("select cluster_ids from reporting_ocptags_values where key = 'app' and value = 'web'")
    assert found[0]["cluster_ids"] == sorted(one.cluster_id for one in everyone)
    assert len(cluster.summary()) == len(everyone) * 8


# -------------------------------------------------------------------------------------------------------------- inputs


def test_a_bucket_that_another_writer_filled_is_read_as_it_is(cluster: Cluster):
    pods = default_pods(DAY)
    for day in (DAY, NEXT_DAY):
        table = line_items("pod_usage", [pod | {"interval_start": midnight(day)} for pod in pods], daily=True)
        cluster.store("pod_usage", table, daily=True, day=day)
    cluster.store("pod_usage", pa.table({"nonsense": [1]}), daily=True, day=date(2025, 1, 20))

    cluster.run(DAY, NEXT_DAY)

    assert {row["usage_start"] for row in cluster.summary()} == {DAY, NEXT_DAY}


def test_a_day_that_kura_took_in_hides_what_another_writer_stored(cluster: Cluster):
    cluster.store("pod_usage", line_items("pod_usage", [pod_day(namespace="foreign")], daily=True), daily=True, day=DAY)
    cluster.take_in_day()
    cluster.run()

    assert "foreign" not in {row["namespace"] for row in cluster.summary()}


def test_files_of_all_ages_are_read_together(cluster: Cluster):
    """Optional columns that are absent, all null, or integers."""
    old = line_items("storage_usage", [volume_day(pod="", claim="old")], daily=True)
    old = old.drop_columns(["csi_volume_handle"])
    nulls = line_items("storage_usage", [volume_day(pod="", claim="nulls")], daily=True)
    nulls = nulls.set_column(
        nulls.schema.get_field_index("csi_volume_handle"), "csi_volume_handle", pa.nulls(1, pa.null())
    )
    whole = line_items("storage_usage", [volume_day(pod="", claim="whole")], daily=True)
    place = whole.schema.get_field_index("persistentvolumeclaim_capacity_bytes")
    whole = whole.set_column(place, "persistentvolumeclaim_capacity_bytes", pa.array([31 * 2**30], pa.int64()))
    for table in (old, nulls, whole):
        cluster.store("storage_usage", table, daily=True, day=DAY)
    cluster.run()

    rows = cluster.summary("data_source = 'Storage'")
    assert {row["persistentvolumeclaim"]: row["persistentvolumeclaim_capacity_gigabyte"] for row in rows} == {
        "old": 31,
        "nulls": 31,
        "whole": 31,
    }


@pytest.mark.s3
def test_the_objects_may_lie_in_s3(database: Database, tenant_schema: str, s3_store: ObjectStore, engines: Engines):
    cluster = add_cluster(database, s3_store, engines, schema=tenant_schema, cluster_id="c", name="C")
    cluster.take_in_day()
    cluster.store("gpu_usage", line_items("gpu_usage", [gpu_day()], daily=True), daily=True, day=DAY)
    cluster.run()

    assert len(cluster.summary()) == 8
    assert len(cluster.sql("select * from reporting_ocp_gpu_summary_p")) == 1
    assert s3_store.exists(summary_key(source_of(cluster), DAY))
