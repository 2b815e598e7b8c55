"""One tenant with three clusters and a quarter of uneven days, for comparing whole reports with the plain reference."""

import random
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from reference.reports import Data
from sqlalchemy import Connection, delete, insert, select, update

from kura.store.tables.shared import EXCHANGE_RATE_DICTIONARY, PROVIDER, PROVIDER_INFRASTRUCTURE_MAP
from kura.store.tables.tenant import (
    COST_CATEGORY,
    COST_MODEL,
    COST_MODEL_MAP,
    ENABLED_CURRENCY,
    ENABLED_TAG_KEYS,
    GPU_SUMMARY,
    MONTHLY_EXCHANGE_RATE,
    TENANT,
    VM_SUMMARY,
)
from kura.testing.summary_rows import TODAY, add_sources, fill_ui_tables, insert_daily

Row = dict[str, Any]

CLUSTERS = {
    "cl-a": (UUID("aaaaaaaa-0000-4000-8000-000000000001"), "alpha"),
    "cl-b": (UUID("bbbbbbbb-0000-4000-8000-000000000002"), None),
    "cl-c": (UUID("cccccccc-0000-4000-8000-000000000003"), "gamma"),
}
CURRENCIES = {"cl-a": "USD", "cl-b": "EUR", "cl-c": "USD"}
MODEL_CURRENCIES = {"cl-a": "EUR", "cl-c": "GBP"}
NODES = {"cl-a": {"n1": 4, "n2": 6}, "cl-b": {"m1": 2, "n1": 8}, "cl-c": {"c1": 16}}
GROUPS = {"kube-system": "Platform", "openshift-dns": "Platform", "batch": "Apps"}
PROJECTS = ("web", "db", "batch", "kube-system", "openshift-dns", "other-things", "kube-system")
LABELS = (
    {"app": "shop"},
    {"app": "Shop", "env": "prod"},
    {"app": "shop-db"},
    {"env": "dev"},
    {"node": "x"},
    {"app": "", "env": "prod"},
    {"app": "50%_a", "odd/key.x-1": "=1+1"},
    {"app": "50xxa", "odd/key.x-1": "", "usage": "x"},
    {"app": "ü [a&b] 'c' \"d\\", "env": ""},
    {},
)
RATES = {"USD": {"USD": 1, "EUR": 0.9}, "EUR": {"EUR": 1, "USD": 1.2, "CHF": 0.97}, "GBP": {"SEK": 13}}
STATIC = {
    ("2024-03", "USD", "CHF"): "0.7",
    ("2024-05", "EUR", "CHF"): "0.95",
    ("2024-06", "USD", "CHF"): "0.875",
    ("2024-06", "CHF", "USD"): "3",
    ("2024-05", "GBP", "JPY"): "150",
    ("2024-06", "GBP", "JPY"): "160",
}
"""Rates set by hand, by month, base and target."""
DISTRIBUTED = ("platform_distributed", "worker_distributed", "unattributed_network", "unattributed_storage")
FIRST_DAY = date(2024, 3, 21)


def place(cluster: str, day: date, namespace: str | None, node: str | None, **columns: Any) -> Row:
    source, alias = CLUSTERS[cluster]
    labels = columns.pop("labels", {})
    storage = columns.get("data_source") == "Storage"
    return {
        "cluster_id": cluster, "cluster_alias": alias, "source_uuid": source, "usage_start": day, "usage_end": day,
        "namespace": namespace, "node": node, "data_source": "Pod",
        "pod_labels": {} if storage else labels, "volume_labels": labels if storage else {}, "all_labels": labels,
        **columns,
    }  # fmt: skip


def cents(dice: random.Random, most: int, least: int = 0) -> Decimal:
    return Decimal(dice.randrange(least, most)) / 100


def pods(dice: random.Random, cluster: str, day: date) -> Iterator[Row]:
    size = sum(NODES[cluster].values())
    for node, cores in NODES[cluster].items():
        for namespace in dice.sample(PROJECTS, dice.randrange(1, 4)):
            amounts = {
                f"pod_{kind}_{unit}": cents(dice, 5000)
                for kind in ("usage", "request", "limit")
                for unit in ("cpu_core_hours", "memory_gigabyte_hours")
            }
            if dice.random() < 0.1:
                amounts["pod_request_cpu_core_hours"] = Decimal(0)
            yield place(
                cluster, day, namespace, node, labels=dice.choice(LABELS), cost_group=GROUPS.get(namespace),
                node_capacity_cpu_cores=cores, node_capacity_cpu_core_hours=cores * 24,
                node_capacity_memory_gigabytes=cores * 4, node_capacity_memory_gigabyte_hours=cores * 96,
                cluster_capacity_cpu_core_hours=size * 24, cluster_capacity_memory_gigabyte_hours=size * 96,
                infrastructure_raw_cost=cents(dice, 3000), infrastructure_markup_cost=cents(dice, 300),
                raw_currency=CURRENCIES[cluster], **amounts,
            )  # fmt: skip
            if dice.random() < 0.7:
                yield place(
                    cluster, day, namespace, node, labels=dice.choice(LABELS), cost_group=GROUPS.get(namespace),
                    cost_model_rate_type=dice.choice(("Infrastructure", "Supplementary")),
                    **{f"cost_model_{kind}_cost": cents(dice, 900) for kind in ("cpu", "memory", "volume", "gpu")},
                )  # fmt: skip


def further(dice: random.Random, cluster: str, day: date) -> Iterator[Row]:
    """Claims, networks, distributed costs and what belongs to nobody."""
    node = dice.choice(sorted(NODES[cluster]))
    money = {"raw_currency": CURRENCIES[cluster]}
    for claim in dice.sample(("pvc-1", "pvc-2", "pvc-3"), 2):
        yield place(
            cluster, day, dice.choice(PROJECTS), node, data_source="Storage", persistentvolumeclaim=claim,
            persistentvolume=f"pv-{claim}", storageclass=dice.choice(("gp2", "slow", None)),
            labels=dice.choice(({"disk": "fast"}, {"app": "shop"}, {})),
            persistentvolumeclaim_capacity_gigabyte=dice.choice((10, 100)),
            persistentvolumeclaim_usage_gigabyte_months=cents(dice, 200),
            volume_request_storage_gigabyte_months=cents(dice, 400),
            persistentvolumeclaim_capacity_gigabyte_months=cents(dice, 500),
            infrastructure_raw_cost=cents(dice, 400), **money,
        )  # fmt: skip
    nobody = "Network unattributed"
    into = place(cluster, day, nobody, node, infrastructure_data_in_gigabytes=cents(dice, 900), **money)
    yield into | {"infrastructure_raw_cost": cents(dice, 300)}
    yield place(cluster, day, nobody, node, infrastructure_data_out_gigabytes=cents(dice, 900), **money)
    yield place(cluster, day, nobody, node, cost_model_rate_type="unattributed_network", distributed_cost=-3, **money)
    yield place(
        cluster, day, nobody, node, cost_model_rate_type="Supplementary", cost_model_cpu_cost=cents(dice, 100), **money
    )
    yield place(cluster, day, "Worker unallocated", node, infrastructure_raw_cost=cents(dice, 500), **money)
    yield place(cluster, day, "Storage unattributed", node, data_source="Storage", infrastructure_raw_cost=1, **money)
    yield place(cluster, day, None, None, cost_model_rate_type="Infrastructure", cost_model_cpu_cost=cents(dice, 200))
    for kind in dice.sample(DISTRIBUTED, 2):
        yield place(
            cluster, day, dice.choice(PROJECTS), node, cost_model_rate_type=kind,
            distributed_cost=cents(dice, 700, -700), **money,
        )  # fmt: skip


def daily_rows(dice: random.Random) -> Iterator[Row]:
    for cluster in CLUSTERS:
        day = FIRST_DAY
        while day <= TODAY:
            if cluster != "cl-c" or date(2024, 5, 25) <= day <= date(2024, 6, 12):
                yield from pods(dice, cluster, day)
                yield from further(dice, cluster, day)
            day += timedelta(days=dice.choice((1, 2, 5, 9)))


def gpu_rows(dice: random.Random) -> Iterator[Row]:
    for day in (date(2024, 5, 30), date(2024, 6, 10), date(2024, 6, 17)):
        for cluster, namespace, node, model, memory in (
            ("cl-a", "web", "n1", "A100", 80), ("cl-a", "db", "n2", "L4", 24), ("cl-b", "db", "n1", "A100", 40),
            ("cl-b", "web", "m1", "T4", 16),
        ):  # fmt: skip
            for number in range(dice.randrange(4)):
                row = place(cluster, day, namespace, node)
                mig = model == "A100" and number > 0
                yield {name: value for name, value in row.items() if "labels" not in name and name != "data_source"} | {
                    "vendor_name": "nvidia", "model_name": model, "gpu_uuid": f"GPU-{node}-{number}",
                    "memory_capacity_gb": memory, "gpu_mode": "MIG" if mig else "dedicated",
                    "mig_instance_id": f"MIG-{number}" if mig else None,
                    "mig_profile": f"{number}g.{number * 10}gb" if mig else None,
                    "mig_slice_count": number if mig else None, "gpu_max_slices": 7 if mig else None,
                    "cost_model_rate_type": dice.choice(("Infrastructure", "Supplementary")),
                    "cost_model_gpu_cost": cents(dice, 3000),
                }  # fmt: skip


def vm_rows(dice: random.Random) -> Iterator[Row]:
    for month in (date(2024, 5, 1), date(2024, 6, 1)):
        for number in range(6):
            cluster = dice.choice(("cl-a", "cl-b"))
            node = dice.choice(sorted(NODES[cluster]))
            own = place(cluster, month, dice.choice(("web", "db")), node)
            own = {name: value for name, value in own.items() if "labels" not in name and name != "data_source"}
            own |= {"vm_name": f"vm-{number}"}
            yield own | {
                "pod_labels": dice.choice(LABELS), "infrastructure_raw_cost": cents(dice, 2000),
                "infrastructure_markup_cost": cents(dice, 200), "pod_request_cpu_core_hours": 24 * number,
                "pod_request_memory_gigabyte_hours": 12 * number, "raw_currency": CURRENCIES[cluster],
            }  # fmt: skip
            for kind in ("Infrastructure", "Supplementary"):
                yield own | {
                    "pod_labels": dice.choice(LABELS), "cost_model_rate_type": kind,
                    "cost_model_cpu_cost": cents(dice, 500), "cost_model_memory_cost": cents(dice, 500),
                }  # fmt: skip
            yield own | {
                "pod_labels": {},
                "cost_model_rate_type": "platform_distributed",
                "distributed_cost": cents(dice, 400),
            }
            if number % 2:
                yield own | {
                    "persistentvolumeclaim": f"claim-{number}", "storageclass": "gp2", "pod_labels": {},
                    "persistentvolumeclaim_usage_gigabyte_months": cents(dice, 300),
                    "persistentvolumeclaim_capacity_gigabyte_months": cents(dice, 900),
                }  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- loading


def load(connection: Connection) -> None:
    """Fill the tenant."""
    dice = random.Random(7)
    add_sources(connection, CLUSTERS)
    add_settings(connection)
    insert_daily(connection, daily_rows(dice))
    for table, rows in ((GPU_SUMMARY, gpu_rows(dice)), (VM_SUMMARY, vm_rows(dice))):
        for row in rows:
            connection.execute(insert(table).values(row))
    fill_ui_tables(connection)


def add_settings(connection: Connection) -> None:
    """Keys, a cost group, currencies, cost models in euros and pounds, and one cluster on AWS.

    Nothing leads to GBP; to CHF some rates are set by hand. Only a cost model, no bill, can be shown in JPY or SEK.
    """
    names = ("app", "env", "disk", "node", "odd/key.x-1", "usage")
    keys = [{"key": key, "provider_type": "OCP"} for key in names]
    connection.execute(insert(ENABLED_TAG_KEYS), keys)
    connection.execute(insert(COST_CATEGORY).values(name="Apps", source_type="OCP", system_default=False, label=[]))
    connection.execute(
        insert(ENABLED_CURRENCY), [{"currency_code": code} for code in ("EUR", "GBP", "CHF", "JPY", "SEK")]
    )
    own = [
        {
            "effective_date": date.fromisoformat(f"{month}-01"),
            "base_currency": base,
            "target_currency": target,
            "exchange_rate": rate,
            "rate_type": "static",
        }
        for (month, base, target), rate in STATIC.items()
    ]
    fetched = {**own[0], "effective_date": date(2024, 4, 1), "rate_type": "dynamic"}
    connection.execute(insert(MONTHLY_EXCHANGE_RATE), [*own, fetched])
    connection.execute(delete(EXCHANGE_RATE_DICTIONARY))
    connection.execute(insert(EXCHANGE_RATE_DICTIONARY).values(currency_exchange_dictionary=RATES))
    for cluster, currency in MODEL_CURRENCIES.items():
        model = (
            insert(COST_MODEL).values(name=cluster, source_type="OCP", currency=currency).returning(COST_MODEL.c.uuid)
        )
        linked = {"provider_uuid": CLUSTERS[cluster][0], "cost_model_id": connection.execute(model).scalar_one()}
        connection.execute(insert(COST_MODEL_MAP).values(linked))
    source = CLUSTERS["cl-c"][0]
    mapping = insert(PROVIDER_INFRASTRUCTURE_MAP).values(infrastructure_type="AWS", infrastructure_provider_id=source)
    number = connection.execute(mapping.returning(PROVIDER_INFRASTRUCTURE_MAP.c.id)).scalar_one()
    connection.execute(update(PROVIDER).where(PROVIDER.c.uuid == source).values(infrastructure_id=number))


def read(connection: Connection) -> Data:
    """The same rows for the reference, as they are in the database."""
    tables: Mapping[str, list[Row]] = {
        name: [dict(row) for row in connection.execute(select(table)).mappings()]
        for name, table in ((table.name, table) for table in TENANT.tables.values())
        if name.endswith(("daily_summary", "summary_p", "_by_node_p", "_by_project_p"))
    }
    groups = connection.execute(select(COST_CATEGORY.c.id, COST_CATEGORY.c.name))
    return Data(
        tables=tables,
        today=TODAY,
        cost_groups={row.id: row.name for row in groups},
        model_currencies={str(CLUSTERS[cluster][0]): currency for cluster, currency in MODEL_CURRENCIES.items()},
        rates=RATES,
        enabled=frozenset({"USD", "EUR", "GBP", "CHF", "JPY", "SEK"}),
        static=STATIC,
        clouds={str(CLUSTERS["cl-c"][0]): "aws"},
    )
