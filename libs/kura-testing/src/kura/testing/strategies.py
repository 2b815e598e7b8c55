"""Random small inputs for property tests: line items, label cells, CSV files, sequences of uploads.

Names come from short alphabets, so that groups, matches and misses all happen; quantities are whole multiples of
powers of two, so that their sums are exact whatever the order.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
from hypothesis import strategies as st

from kura.testing.archives import CellValue, report_row
from kura.testing.tables import line_items

Row = dict[str, object]

GIB = 2**30
SECONDS_PER_HOUR = 3600

NODES = ("", "n1", "n2", "n3")
RESOURCE_IDS = {"": "", "n1": "i-1", "n2": "i-2", "n3": ""}
NAMESPACES = ("shop", "pay", "openshift", "openshift-dns", "kube-system", "a_c", "abc")
PODS = ("", "p1", "p2", "p3")
CLAIMS = ("", "data", "disk")
VOLUMES = ("pv1", "pv2")
KEYS = ("env", "team", "app", "secret", "vm_kubevirt_io_name")
VALUES = ("", "a", "b", "x y", 'quote"', "back\\slash", "ü")
PATTERNS = (
    ("openshift-%", 1),
    ("kube-%", 1),
    ("Platform unallocated", 1),
    ("openshift", 1),
    ("shop", 2),
    ("a_c", 3),
    ("%", 4),
)
ROLES = ("worker", "master", "infra", "gateway", "")

DAYS = (date(2025, 1, 10), date(2025, 1, 11))


@dataclass(frozen=True, kw_only=True)
class OcpTables:
    """Line items of one source and a month, and the settings that summarising them depends on."""

    pods_hourly: Sequence[Row]
    pods_daily: Sequence[Row]
    storage_daily: Sequence[Row]
    node_labels: Sequence[Row]
    namespace_labels: Sequence[Row]
    enabled_keys: frozenset[str]
    patterns: Sequence[tuple[str, int]]
    nodes: Sequence[Row]
    """Inventory of all clusters of the tenant: node, resource_id, node_role."""
    gpu_daily: Sequence[Row]
    tag_mapping: Mapping[str, str]
    """Child key → parent key."""

    def arrow(self) -> dict[str, pa.Table]:
        """The tables as they are stored: `pod_usage`, `pod_usage_daily`, `storage_usage_daily`, …"""
        return {
            "pod_usage": line_items("pod_usage", self.pods_hourly, daily=False),
            "pod_usage_daily": line_items("pod_usage", self.pods_daily, daily=True),
            "storage_usage_daily": line_items("storage_usage", self.storage_daily, daily=True),
            "node_labels_daily": line_items("node_labels", self.node_labels, daily=True),
            "namespace_labels_daily": line_items("namespace_labels", self.namespace_labels, daily=True),
            "gpu_usage_daily": line_items("gpu_usage", self.gpu_daily, daily=True),
        }


def quantities(*, unit: float = 900.0, most: int = 64) -> st.SearchStrategy[float]:
    """Whole multiples of a unit, often 0."""
    return st.one_of(st.just(0.0), st.integers(0, most).map(lambda count: count * unit))


def label_maps() -> st.SearchStrategy[dict[str, str]]:
    return st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=3)


def label_texts() -> st.SearchStrategy[str]:
    """Label maps as the JSON text that is stored."""
    return label_maps().map(lambda labels: json.dumps(labels, ensure_ascii=False))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)


@st.composite
def _pod_hours(draw: st.DrawFn, days: Sequence[date]) -> list[Row]:
    """Hourly rows, only as far as capacity depends on them; the capacity of a node may differ between its pods."""
    rows: list[Row] = []
    for _ in range(draw(st.integers(0, 12))):
        node = draw(st.sampled_from(NODES))
        moment = _midnight(draw(st.sampled_from(days))) + timedelta(hours=draw(st.sampled_from((0, 1, 23))))
        cores = draw(st.sampled_from((0.0, 2.0, 4.0)))
        rows.append(
            {
                "interval_start": moment,
                "node": node,
                "namespace": draw(st.sampled_from(NAMESPACES)),
                "pod": draw(st.sampled_from(PODS)),
                "node_capacity_cpu_core_seconds": cores * SECONDS_PER_HOUR,
                "node_capacity_memory_byte_seconds": cores * 4 * GIB * SECONDS_PER_HOUR,
            }
        )
    return rows


@st.composite
def _pod_days(draw: st.DrawFn, days: Sequence[date]) -> list[Row]:
    """Daily rows of pods; few projects and label maps per example, so that several pods fall into one group."""
    namespaces = draw(st.lists(st.sampled_from(NAMESPACES), min_size=1, max_size=3))
    maps = draw(st.lists(label_texts(), min_size=1, max_size=2))
    rows: list[Row] = []
    for _ in range(draw(st.integers(0, 8))):
        node = draw(st.sampled_from(NODES))
        cpu = {name: draw(quantities()) for name in ("usage", "request", "limit")}
        memory = {name: draw(quantities(unit=GIB * 225.0)) for name in ("usage", "request", "limit")}
        rows.append(
            {
                "interval_start": _midnight(draw(st.sampled_from(days))),
                "namespace": draw(st.sampled_from(namespaces)),
                "node": node,
                "pod": draw(st.sampled_from(PODS)),
                "resource_id": draw(st.sampled_from((RESOURCE_IDS[node], "i-9"))),
                "pod_labels": draw(st.sampled_from(maps)),
                **{f"pod_{name}_cpu_core_seconds": value for name, value in cpu.items()},
                **{f"pod_{name}_memory_byte_seconds": value for name, value in memory.items()},
                "pod_effective_usage_cpu_core_seconds": draw(
                    st.one_of(st.none(), st.just(max(cpu["usage"], cpu["request"])))
                ),
                "pod_effective_usage_memory_byte_seconds": max(memory["usage"], memory["request"]),
                "node_capacity_cpu_cores": draw(st.sampled_from((0.0, 2.0, 4.0))),
                "node_capacity_memory_bytes": draw(st.sampled_from((0.0, 8.0 * GIB, 16.0 * GIB))),
                "node_role": draw(st.sampled_from((None, *ROLES))),
            }
        )
    return rows


@st.composite
def _storage_days(draw: st.DrawFn, days: Sequence[date], pods: Sequence[Row]) -> list[Row]:
    """Daily rows of volumes; most belong to a pod of the pod rows, so that volumes get nodes, sometimes several."""
    rows: list[Row] = []
    for _ in range(draw(st.integers(0, 6))):
        owner: Row = {
            "interval_start": _midnight(draw(st.sampled_from(days))),
            "namespace": draw(st.sampled_from(NAMESPACES[:3])),
            "pod": draw(st.sampled_from(PODS)),
        }
        if len(pods) > 0 and draw(st.integers(0, 3)) > 0:
            owner = draw(st.sampled_from(pods))
        rows.append(
            {
                "interval_start": owner["interval_start"],
                "namespace": owner["namespace"],
                "pod": owner["pod"],
                "node": draw(st.sampled_from((None, *NODES))),
                "persistentvolumeclaim": draw(st.sampled_from(CLAIMS)),
                "persistentvolume": draw(st.sampled_from(VOLUMES)),
                "storageclass": draw(st.sampled_from(("", "gp2"))),
                "csi_driver": None,
                "csi_volume_handle": draw(st.sampled_from((None, "", "vol-1"))),
                "persistentvolume_labels": draw(label_texts()),
                "persistentvolumeclaim_labels": draw(label_texts()),
                "persistentvolumeclaim_capacity_bytes": draw(quantities(unit=float(GIB))),
                "persistentvolumeclaim_capacity_byte_seconds": draw(quantities(unit=GIB * 3600.0)),
                "volume_request_storage_byte_seconds": draw(quantities(unit=GIB * 3600.0)),
                "persistentvolumeclaim_usage_byte_seconds": draw(quantities(unit=GIB * 3600.0)),
            }
        )
    return rows


@st.composite
def _label_days(draw: st.DrawFn, days: Sequence[date], *, column: str, names: Sequence[str]) -> list[Row]:
    """Label sets by day: one row for each object, day and label text, as daily aggregation leaves them."""
    found: dict[tuple[object, ...], Row] = {}
    for _ in range(draw(st.integers(0, 6))):
        row: Row = {
            "interval_start": _midnight(draw(st.sampled_from(days))),
            column: draw(st.sampled_from(names)),
            f"{column}_labels": draw(label_texts()),
        }
        found[tuple(row.values())] = row
    return list(found.values())


@st.composite
def _gpu_days(draw: st.DrawFn, days: Sequence[date]) -> list[Row]:
    """Daily rows of GPUs: whole ones, slices, and the same slice used by several pods."""
    rows: list[Row] = []
    for _ in range(draw(st.integers(0, 5))):
        profile = draw(st.sampled_from((None, "", "1g.5gb")))
        rows.append(
            {
                "interval_start": _midnight(draw(st.sampled_from(days))),
                "namespace": draw(st.sampled_from(NAMESPACES[:3])),
                "node": draw(st.sampled_from(NODES[1:3])),
                "pod": draw(st.sampled_from(PODS[1:])),
                "gpu_uuid": draw(st.sampled_from(("GPU-1", "GPU-2"))),
                "gpu_model_name": draw(st.sampled_from(("A100", "Tesla T4"))),
                "gpu_vendor_name": "nvidia",
                "gpu_memory_capacity_mib": draw(st.sampled_from((15360.0, 40960.0))),
                "gpu_pod_uptime": 3600.0,
                "mig_profile": profile,
                "mig_instance_id": draw(st.sampled_from(("", "1", "2"))) if profile else profile,
                "mig_strategy": draw(st.sampled_from(("single", "mixed"))) if profile else profile,
                "mig_slice_count": 1.0 if profile else None,
                "mig_memory_capacity_mib": 5120.0 if profile else None,
                "gpu_max_slices": draw(st.sampled_from((None, 7.0))),
            }
        )
    return rows


TAG_MAPPINGS: Sequence[Mapping[str, str]] = ({}, {"app": "env"}, {"app": "env", "team": "env"}, {"env": "team"})


@st.composite
def ocp_tables(draw: st.DrawFn, *, days: Sequence[date] = DAYS) -> OcpTables:
    """Everything a summary run reads; hourly and daily rows are drawn apart, so either may lack what the other has."""
    inventory = [
        {"node": node, "resource_id": resource_id, "node_role": role}
        for node, resource_id, role in draw(
            st.lists(
                st.tuples(
                    st.sampled_from(NODES[1:]),
                    st.sampled_from((None, "", "i-1", "i-2", "i-9")),
                    st.sampled_from((None, *ROLES)),
                ),
                max_size=5,
            )
        )
    ]
    pods = draw(_pod_days(days))
    return OcpTables(
        pods_hourly=draw(_pod_hours(days)),
        pods_daily=pods,
        storage_daily=draw(_storage_days(days, pods)),
        node_labels=draw(_label_days(days, column="node", names=NODES)),
        namespace_labels=draw(_label_days(days, column="namespace", names=NAMESPACES[:3])),
        enabled_keys=frozenset(draw(st.sets(st.sampled_from(KEYS[:3]), max_size=3))),
        patterns=tuple(draw(st.lists(st.sampled_from(PATTERNS), unique=True, max_size=4))),
        nodes=inventory,
        gpu_daily=draw(_gpu_days(days)),
        tag_mapping=draw(st.sampled_from(TAG_MAPPINGS)),
    )


# ------------------------------------------------------------------------------------------------ summary rows

COSTS = (
    "infrastructure_raw_cost",
    "infrastructure_markup_cost",
    "cost_model_cpu_cost",
    "cost_model_memory_cost",
    "cost_model_volume_cost",
    "cost_model_gpu_cost",
    "distributed_cost",
)
POD_MEASURES = tuple(
    f"pod_{measure}_{unit}"
    for measure in ("usage", "request", "effective_usage", "limit")
    for unit in ("cpu_core_hours", "memory_gigabyte_hours")
)
CAPACITIES = (
    "node_capacity_cpu_cores",
    "node_capacity_cpu_core_hours",
    "node_capacity_memory_gigabytes",
    "node_capacity_memory_gigabyte_hours",
    "cluster_capacity_cpu_core_hours",
    "cluster_capacity_memory_gigabyte_hours",
)
VOLUME_MEASURES = (
    "volume_request_storage_gigabyte_months",
    "persistentvolumeclaim_usage_gigabyte_months",
    "persistentvolumeclaim_capacity_gigabyte_months",
)
SUMMARY_NAMESPACES = (
    None,
    "shop",
    "pay",
    "Worker unallocated",
    "Platform unallocated",
    "Network unattributed",
    "Storage unattributed",
)
RATE_TYPES = (None, "Infrastructure", "Supplementary", "platform_distributed")


@st.composite
def summary_rows(draw: st.DrawFn, *, days: Sequence[date] = DAYS) -> list[Row]:
    """Rows of the daily summary as all its writers together may leave them: usage, costs, cloud costs, traffic."""
    rows: list[Row] = []
    amounts = st.one_of(st.none(), quantities(unit=0.25))
    for _ in range(draw(st.integers(0, 12))):
        day = draw(st.sampled_from(days))
        is_storage = draw(st.integers(0, 3)) == 0
        namespace = draw(st.sampled_from(SUMMARY_NAMESPACES))
        row: Row = {
            "usage_start": day,
            "usage_end": day,
            "data_source": "Storage" if is_storage else "Pod",
            "namespace": namespace,
            "node": draw(st.sampled_from((None, "", "n1", "n2"))),
            "resource_id": draw(st.sampled_from((None, "", "i-1", "i-2"))),
            "cost_category_id": draw(st.sampled_from((None, 1))),
            "raw_currency": draw(st.sampled_from((None, "USD", "EUR"))),
            "cost_model_rate_type": draw(st.sampled_from(RATE_TYPES)),
            "persistentvolumeclaim": draw(st.sampled_from((None, "", "data"))) if is_storage else None,
            "storageclass": draw(st.sampled_from((None, "gp2"))) if is_storage else None,
            **{name: draw(amounts) for name in COSTS},
            **{name: None if is_storage else draw(amounts) for name in (*POD_MEASURES, *CAPACITIES)},
            **{name: draw(amounts) if is_storage else None for name in VOLUME_MEASURES},
        }
        direction = draw(st.sampled_from((None, "in", "out"))) if namespace == "Network unattributed" else None
        for name in ("in", "out"):
            row[f"infrastructure_data_{name}_gigabytes"] = draw(quantities(unit=0.5)) if name == direction else None
        rows.append(row)
    return rows


# ------------------------------------------------------------------------------------------------ CSV files


def label_cells() -> st.SearchStrategy[str]:
    """Label cells as an operator writes them, and some that it should not write."""
    item = st.one_of(
        st.tuples(st.sampled_from(("app", "env", "a_label_b", "")), st.sampled_from(("web", "", "x y", "ü"))).map(
            lambda pair: f"label_{pair[0]}:{pair[1]}"
        ),
        st.sampled_from(("label_url:http://x", "nonsense", ":", "env:plain")),
    )
    return st.lists(item, max_size=4).map("|".join)


def number_cells() -> st.SearchStrategy[str]:
    """Numbers as operator and nise print them, and cells that are no numbers."""
    return st.one_of(
        st.integers(0, 10_000).map(lambda count: f"{count * 0.25:.6f}"),
        st.integers(0, 10_000).map(str),
        st.sampled_from(("", "n/a", "0", "-1.5", "1e3", "1e18", "2e18")),
    )


_NUMBERS = {
    "pod_usage": (
        "pod_usage_cpu_core_seconds",
        "pod_request_cpu_core_seconds",
        "pod_limit_cpu_core_seconds",
        "pod_usage_memory_byte_seconds",
        "pod_request_memory_byte_seconds",
        "pod_limit_memory_byte_seconds",
        "node_capacity_cpu_cores",
        "node_capacity_cpu_core_seconds",
        "node_capacity_memory_bytes",
        "node_capacity_memory_byte_seconds",
    ),
    "storage_usage": (
        "persistentvolumeclaim_capacity_bytes",
        "persistentvolumeclaim_capacity_byte_seconds",
        "volume_request_storage_byte_seconds",
        "persistentvolumeclaim_usage_byte_seconds",
    ),
    "node_labels": (),
    "namespace_labels": (),
    "vm_usage": ("vm_cpu_request_cores", "vm_memory_request_bytes", "vm_uptime_total_seconds"),
    "gpu_usage": ("gpu_memory_capacity_mib", "gpu_pod_uptime"),
}
_TEXTS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "pod_usage": {"namespace": NAMESPACES[:2], "pod": PODS[1:], "node": NODES, "node_role": ("worker", "")},
    "storage_usage": {
        "namespace": NAMESPACES[:2],
        "pod": PODS,
        "persistentvolumeclaim": CLAIMS,
        "persistentvolume": VOLUMES,
        "storageclass": ("gp2",),
        "csi_volume_handle": ("", "vol-1"),
    },
    "node_labels": {"node": NODES[1:]},
    "namespace_labels": {"namespace": NAMESPACES},
    "vm_usage": {"namespace": NAMESPACES[:2], "vm_name": ("v1", "v2"), "node": NODES[1:3]},
    "gpu_usage": {
        "node": NODES[1:3],
        "namespace": NAMESPACES[:2],
        "pod": PODS[1:],
        "gpu_uuid": ("GPU-1", "GPU-2"),
        "gpu_model_name": ("NVIDIA A100-SXM4-40GB", "Tesla T4", "Foo  X!", "RTX PRO 6000"),
        "gpu_vendor_name": ("nvidia_com_gpu", "nvidia0"),
        "gpu_max_slices": ("", "7.000000", "x"),
        "mig_profile": ("", "1g.5gb", " 2G.10GB ", "1g.10gb+me", "odd"),
        "mig_instance_id": ("", "1"),
        "mig_strategy": ("", "mixed"),
    },
}
_LABELS = {
    "pod_usage": ("pod_labels",),
    "storage_usage": ("persistentvolume_labels", "persistentvolumeclaim_labels"),
    "node_labels": ("node_labels",),
    "namespace_labels": ("namespace_labels",),
    "vm_usage": ("vm_labels",),
    "gpu_usage": (),
}


@st.composite
def report_rows(draw: st.DrawFn, report_type: str, *, days: Sequence[date] = DAYS) -> list[dict[str, CellValue]]:
    """Rows of one CSV, for `csv_bytes`: every kind of cell that the rules speak of."""
    rows = []
    for _ in range(draw(st.integers(0, 10))):
        day = draw(st.sampled_from(days))
        hour = datetime(day.year, day.month, day.day, draw(st.sampled_from((0, 1, 23))), tzinfo=UTC)
        values: dict[str, CellValue] = {
            name: draw(st.sampled_from(texts)) for name, texts in _TEXTS[report_type].items()
        }
        values |= {name: draw(number_cells()) for name in _NUMBERS[report_type]}
        values |= {name: draw(label_cells()) for name in _LABELS[report_type]}
        rows.append(report_row(report_type, hour, **values))
    return rows
