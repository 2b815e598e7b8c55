"""Whole answers of OpenShift reports, computed row by row in plain Python (read-api §2–§4, read-api-fields §2, §3).

Rows are those of the tables that reports read. Nothing here is fast, and nothing is shared with the product.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from typing import Any
from urllib.parse import urlencode

from reference import reports_measures as measures
from reference.reports_measures import Exchange, Measure, Row, Values
from reference.reports_request import Condition, Request, Window, read_request, window_of

Json = dict[str, Any]

DAILY = "reporting_ocpusagelineitem_daily_summary"
GPU, VM = "reporting_ocp_gpu_summary_p", "reporting_ocp_vm_summary_p"
SPECIAL_FOR_PODS = ("Worker unallocated", "Platform unallocated", "Network unattributed")
COLUMNS = {
    "cluster": ("cluster_id", "cluster_alias"),
    "project": ("namespace",),
    "node": ("node",),
    "persistentvolumeclaim": ("persistentvolumeclaim",),
    "storageclass": ("storageclass",),
    "gpu_vendor": ("vendor_name",),
    "gpu_model": ("model_name",),
    "gpu_mode": ("gpu_mode",),
    "mig_profile": ("mig_profile",),
    "mig_id": ("mig_instance_id",),
    "vm_name": ("vm_name",),
}
"""Columns a value is compared with; the first one is the label."""

TEXT_FIELDS = ("cluster", "project", "node", "persistentvolumeclaim", "storageclass", "gpu_vendor", "gpu_model")


@dataclass
class Data:
    """The rows of a tenant and what else an answer depends on."""

    tables: Mapping[str, list[Row]]
    today: date
    cost_groups: Mapping[int, str] = field(default_factory=dict)
    model_currencies: Mapping[str, str] = field(default_factory=dict)
    rates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    enabled: frozenset[str] = frozenset({"USD"})
    clouds: Mapping[str, str] = field(default_factory=dict)
    static: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    currency: str = "USD"


@dataclass(frozen=True)
class Report:
    path: str
    measure: Measure
    tables: Mapping[str, str]
    labels: str = "all_labels"
    base: Callable[[Row], bool] = lambda row: True
    daily: str = DAILY
    default: tuple[str, str] = ("cost_total", "desc")
    inherent: str | None = None
    split: tuple[str, ...] = ()
    by_project: bool = False
    usage_units: str | None = None
    capacity: tuple[str | None, str | None, str] | None = None
    count_units: str = ""
    scored: bool = False
    total: Measure | None = None
    monthly: bool = False


def pod_rows(row: Row) -> bool:
    return row["data_source"] == "Pod" and row["namespace"] not in SPECIAL_FOR_PODS


def pods(path: str, cost: str, resource: str, size: str, units: str, count_units: str) -> Report:
    return Report(
        path=path,
        measure=measures.pods(cost, resource),
        tables={
            "": "pod_summary_p", "cluster": "pod_summary_p",
            "node": "pod_summary_by_node_p", "cluster node": "pod_summary_by_node_p",
            "project": "pod_summary_by_project_p", "cluster project": "pod_summary_by_project_p",
        },
        labels="pod_labels",
        base=pod_rows,
        default=("usage", "desc"),
        usage_units=units,
        capacity=(f"cluster_capacity_{resource}", f"node_capacity_{resource}", size),
        count_units=count_units,
        scored=True,
    )  # fmt: skip


COSTS = Report(
    path="openshift/costs",
    measure=measures.costs,
    tables={
        "": "cost_summary_p", "cluster": "cost_summary_p",
        "node": "cost_summary_by_node_p", "cluster node": "cost_summary_by_node_p",
    },
)  # fmt: skip
COSTS_BY_PROJECT = replace(
    COSTS,
    measure=measures.costs_by_project,
    tables=dict.fromkeys(("", "project", "cluster project"), "cost_summary_by_project_p"),
    by_project=True,
)
VOLUME_KEYS = ("", "cluster", "persistentvolumeclaim", "cluster persistentvolumeclaim")
VOLUME_PROJECT_KEYS = (
    "project",
    "cluster project",
    "persistentvolumeclaim project",
    "cluster persistentvolumeclaim project",
)

REPORTS = {
    report.path: report
    for report in (
        COSTS,
        pods(
            "openshift/compute", "cost_model_cpu_cost", "cpu_core_hours", "node_capacity_cpu_cores",
            "Core-Hours", "Core",
        ),
        pods(
            "openshift/memory", "cost_model_memory_cost", "memory_gigabyte_hours", "node_capacity_memory_gigabytes",
            "GiB-Hours", "GiB",
        ),
        Report(
            path="openshift/volumes",
            measure=measures.volumes,
            tables=dict.fromkeys(VOLUME_KEYS, "volume_summary_p")
            | dict.fromkeys(VOLUME_PROJECT_KEYS, "volume_summary_by_project_p"),
            labels="volume_labels",
            base=lambda row: row["data_source"] == "Storage",
            default=("usage", "desc"),
            usage_units="GiB-Mo",
            capacity=(None, None, "persistentvolumeclaim_capacity_gigabyte"),
            count_units="GiB",
        ),
        Report(
            path="openshift/network",
            measure=measures.network,
            tables={
                "": "network_summary_p", "cluster": "network_summary_p", "node": "network_summary_by_node_p",
                "project": "network_summary_by_project_p", "cluster project": "network_summary_by_project_p",
            },
            base=lambda row: row["namespace"] == "Network unattributed",
            default=("usage", "desc"),
            usage_units="GB",
            total=measures.network_total,
        ),
        Report(
            path="openshift/gpu",
            measure=measures.gpus,
            tables={},
            daily=GPU,
            inherent="gpu_name",
            split=("node", "gpu_model", "gpu_vendor", "gpu_mode"),
        ),
        Report(
            path="openshift/gpu/mig_profiles",
            measure=measures.mig_profiles,
            tables={},
            daily=GPU,
            base=lambda row: bool(row["mig_profile"]),
            default=("mig_profile", "asc"),
            inherent="mig_profile",
            split=("mig_id", "gpu_model", "gpu_vendor", "gpu_name", "node"),
        ),
        Report(
            path="openshift/resources/virtual-machines",
            measure=measures.virtual_machines,
            tables={},
            labels="pod_labels",
            daily=VM,
            inherent="vm_name",
            monthly=True,
        ),
    )
}  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- rows


@dataclass
class Line:
    """One row of the answer before it is packed."""

    bucket: str
    labels: tuple[str | None, ...]
    split: tuple[str | None, ...]
    values: Values
    clusters: list[str]
    sources: list[str]
    rank: int = 0
    filled: bool = False
    rest: str | None = None
    delta: tuple[Fraction, Fraction | None] | None = None


class Reporter:
    """One report for one request of one caller."""

    def __init__(self, path: str, raw: str, data: Data, access: Mapping[str, tuple[str, ...]]) -> None:
        self.path, self.data, self.access = path, data, access
        self.request: Request = read_request(raw)
        report = REPORTS[path]
        by_project = any(group.key == "project" for group in self.request.groups)
        self.report = COSTS_BY_PROJECT if report is COSTS and by_project else report
        self.window, self.times = window_of(self.request, data.today, by_month=report.monthly)
        self.groups = self.request.group_names
        if report.inherent and report.inherent not in self.groups:
            self.groups = [*self.groups, report.inherent]
        self.currency = self.request.plain.get("currency", data.currency).upper()
        self.exchange = Exchange(self.currency, data.rates, data.enabled, data.model_currencies, data.static)
        self.table = self.choose_table()

    # -------------------------------------------------------------------------------------------- which rows

    def choose_table(self) -> str:
        request = self.request
        used = {part.key for part in (*request.filters, *request.excludes, *request.groups)} | set(self.access)
        name = self.report.tables.get(" ".join(sorted(used)))
        return f"reporting_ocp_{name}" if name else self.report.daily

    def rows(self, window: Window, *, table: str | None = None) -> list[Row]:
        table = table or self.table
        return [
            row
            for row in self.data.tables[table]
            if window.start <= row["usage_start"] <= window.end
            and (table != self.report.daily or self.report.base(row))
            and self.is_asked(row)
        ]

    def is_asked(self, row: Row) -> bool:
        request = self.request
        alternatives: dict[str, list[bool]] = {}
        for part in (*request.filters, *(group for group in request.groups if self.narrows(group))):
            found = [self.matches(row, part, value) for value in part.values]
            if part.operator == "and":
                if not all(found):
                    return False
            elif part.operator == "or":
                if not any(found):
                    return False
            else:
                alternatives.setdefault(part.key, []).extend(found)
        if not all(any(found) for found in alternatives.values()):
            return False
        for part in request.excludes:
            if "*" in part.values:
                continue
            found = [self.matches(row, part, value) for value in part.values]
            if all(found) if part.operator == "and" else any(found):
                return False
        return all(
            any(row[column] in ids for column in COLUMNS[key] if column in row) for key, ids in self.access.items()
        )

    def narrows(self, group: Condition) -> bool:
        return "*" not in group.values and group.operator != "exact"

    def matches(self, row: Row, part: Condition, value: str) -> bool:
        if part.key.startswith("tag:"):
            label = (row[self.report.labels] or {}).get(part.key.removeprefix("tag:"))
            if label is None or value == "*":
                return label is not None
            return label == value if part.operator == "exact" else value.lower() in label.lower()
        if value == "*":
            return True
        if part.key == "infrastructures":
            return self.data.clouds.get(str(row["source_uuid"])) == value
        if part.key == "category":
            texts = [self.data.cost_groups.get(row["cost_category_id"])]
        elif part.key == "gpu_name":
            texts = [self.label(row, part.key)]
        else:
            texts = [row[column] for column in COLUMNS[part.key]]
        present = [text for text in texts if text is not None]
        if part.operator == "exact":
            return value in present
        return any(value.lower() in text.lower() for text in present)

    # --------------------------------------------------------------------------------------------- grouping

    def label(self, row: Row, key: str) -> str | None:
        if key.startswith("tag:"):
            return (row[self.report.labels] or {}).get(key.removeprefix("tag:")) or None
        if key == "gpu_name":
            return f"{row['vendor_name']}_{row['model_name']}_{row['node']}"
        if key == "cost_group":
            return self.data.cost_groups.get(row["cost_category_id"])
        if key == "project":
            group = self.data.cost_groups.get(row["cost_category_id"])
            if group in self.request.categories:
                return group
        return row[COLUMNS[key][0]] or None

    @property
    def split_keys(self) -> list[str]:
        own = ["cost_group"] if self.report.by_project else []
        return [*(key for key in self.report.split if key not in self.groups), *own]

    def lines(self, rows: list[Row], window: Window) -> list[Line]:
        parts: dict[Any, list[Row]] = {}
        for row in rows:
            labels = tuple(self.label(row, key) for key in self.groups)
            split = tuple(self.label(row, key) for key in self.split_keys)
            parts.setdefault((window.bucket(row["usage_start"]), labels, split), []).append(row)
        return [
            Line(bucket, labels, split, self.report.measure(part, self.exchange), clusters(part), sources(part))
            for (bucket, labels, split), part in parts.items()
        ]

    # ---------------------------------------------------------------------------------------------- ranking

    @property
    def is_ranked(self) -> bool:
        asked = self.request.rank_limit is not None or self.request.rank_offset is not None
        return bool(self.groups) and asked and self.limit > 0

    @property
    def limit(self) -> int:
        return 5 if self.request.rank_limit is None else self.request.rank_limit

    def tuple_of(self, labels: tuple[str | None, ...], split: tuple[str | None, ...]) -> tuple[str | None, ...]:
        """What is ranked: the groups, of MIG profiles the instance too."""
        return (*labels, split[0]) if self.report.path.endswith("mig_profiles") else labels

    def ranks(self, rows: list[Row]) -> list[tuple[str | None, ...]]:
        """The distinct group tuples over the whole range, first one first."""
        parts: dict[tuple[str | None, ...], list[Row]] = {}
        for row in rows:
            labels = tuple(self.label(row, key) for key in self.groups)
            split = tuple(self.label(row, key) for key in self.split_keys)
            parts.setdefault(self.tuple_of(labels, split), []).append(row)
        name, way = self.ranked_by()
        ranked = sorted(parts, key=lambda labels: [text or "No-" for text in labels])
        if name in self.groups:
            place = self.groups.index(name)
            return sorted(
                ranked, key=lambda labels: (labels[place] is None, labels[place] or ""), reverse=way == "desc"
            )
        if name in self.split_keys:
            first = max if way == "desc" else min
            texts = {
                labels: first((self.label(row, name) is None, self.label(row, name) or "") for row in part)
                for labels, part in parts.items()
            }
            return sorted(ranked, key=lambda labels: texts[labels], reverse=way == "desc")
        amounts = {labels: self.report.measure(part, self.exchange).get(name) for labels, part in parts.items()}
        if name == "mig_profile":
            return ranked
        if name == "storage_class":
            return sorted(ranked, key=lambda labels: (not amounts[labels], amounts[labels]), reverse=way == "desc")
        return sorted(ranked, key=lambda labels: amounts[labels], reverse=way == "desc")

    def ranked_by(self) -> tuple[str, str]:
        order, (name, way) = self.request.order, self.report.default
        if order is None or order[0] == "date":
            return name, way
        asked, way = order
        if asked == "delta":
            return (self.request.delta or "").split("__")[0], way
        if asked in ("cost_total_distributed", *self.numeric_names()):
            return asked, way
        if asked == "storage_class" and "storageclass" in self.groups:
            asked = "storageclass"
        lists = [name for name, value in self.report.measure([], self.exchange).items() if isinstance(value, list)]
        textual = (*self.groups, *self.split_keys, *lists)
        if self.request.rank_offset is not None and asked in textual:
            return asked, way
        return name, way

    def numeric_names(self) -> list[str]:
        return [name for name, value in self.report.measure([], self.exchange).items() if isinstance(value, Fraction)]

    def ranked_lines(self, lines: list[Line], rows: list[Row]) -> tuple[list[Line], int]:
        """Kept tuples on every date with data, and the rest; how many tuples there are."""
        ranks = self.ranks(rows)
        offset = self.request.rank_offset or 0
        kept = {labels: place + 1 for place, labels in enumerate(ranks) if offset <= place < offset + self.limit}
        whole: dict[Any, tuple[set[str], set[str]]] = {}
        for line in lines:
            found = whole.setdefault(self.tuple_of(line.labels, line.split), (set(), set()))
            found[0].update(line.clusters)
            found[1].update(line.sources)
        buckets = sorted({line.bucket for line in lines})
        shown = []
        for labels, rank in kept.items():
            own = [line for line in lines if self.tuple_of(line.labels, line.split) == labels]
            missing = set(buckets) - {line.bucket for line in own}
            empty = self.report.measure([], self.exchange)
            split = tuple(
                None if key == "cost_group" else text for key, text in zip(self.split_keys, own[0].split, strict=True)
            )
            own += [Line(bucket, own[0].labels, split, dict(empty), [], [], filled=True) for bucket in missing]
            for line in own:
                line.rank = rank
                line.clusters, line.sources = sorted(whole[labels][0]), sorted(whole[labels][1])
            shown += own
        left = len(ranks) - self.limit
        if self.request.rank_offset is None and left > 0 and not self.report.path.endswith("mig_profiles"):
            shown += self.rest(lines, kept, buckets, "Other" if left == 1 else "Others")
        return shown, len(ranks)

    def rest(self, lines: list[Line], kept: Mapping[Any, int], buckets: list[str], label: str) -> list[Line]:
        merged = [line for line in lines if self.tuple_of(line.labels, line.split) not in kept]
        every_cluster = sorted({name for line in merged for name in line.clusters})
        every_source = sorted({name for line in merged for name in line.sources})
        found = []
        for bucket in buckets:
            values = self.report.measure([], self.exchange)
            for line in merged:
                if line.bucket == bucket:
                    values = {name: added(value, line.values[name]) for name, value in values.items()}
            labels, split = (label,) * len(self.groups), (label,) * len(self.split_keys)
            found.append(Line(bucket, labels, split, values, every_cluster, every_source, rest=label, rank=10**9))
        return found

    # ------------------------------------------------------------------------------------------------ order

    def ordered(self, lines: list[Line], positions: Mapping[Any, int] | None = None) -> list[Line]:
        """Rows of one date (read-api §3.4, §3.5 step 5)."""
        order, default = self.request.order, self.report.default
        found = sorted(lines, key=self.tie)
        if self.is_ranked and (order is None or order[0] in ("cost_total", "cost_total_distributed")):
            return sorted(found, key=lambda line: line.rank)
        name, way = default
        if order is not None and order[0] != "date" and not order[0].startswith("tag:"):
            name, way = order
        found = sorted(found, key=lambda line: self.sort_key(line, name), reverse=way == "desc")
        if positions:
            found = sorted(found, key=lambda line: positions.get(line.labels, len(positions)))
        return sorted(found, key=lambda line: line.rest is not None)

    def tie(self, line: Line) -> Any:
        split = [text or "" for text in line.split]
        return [text or f"No-{plain(key)}" for key, text in zip(self.groups, line.labels, strict=True)], split

    def sort_key(self, line: Line, name: str) -> tuple[bool, Any]:
        name = {"usage_efficiency": "usage_efficiency_percent"}.get(name, name)
        if name == "delta":
            assert line.delta is not None
            percent = line.delta[1]
            return percent is None, percent or Fraction(0)
        value = line.values.get(name)
        if isinstance(value, Fraction):
            return False, value
        if name == "storage_class" and "storageclass" in self.groups:
            name = "storageclass"
        if name in self.groups:
            value = line.labels[self.groups.index(name)] or f"No-{plain(name)}"
        elif name in self.split_keys:
            value = line.split[self.split_keys.index(name)] or f"No-{name}"
        elif isinstance(value, list):
            value = value[0] if value else ""
        text = (value or "").lower()
        return text.startswith("other"), text

    # ------------------------------------------------------------------------------------------------ delta

    def add_delta(self, lines: list[Line], rows: list[Row], totals: Values) -> Json:
        name = self.request.delta
        assert name is not None
        if "__" in name:
            one, other = name.split("__")

            def compared(values: Values) -> tuple[Fraction, Fraction | None]:
                percent = values[one] / values[other] * 100 if values[other] else None
                return values[one] - values[other], percent

            for line in lines:
                line.delta = compared(line.values)
            value, percent = compared(totals)
            return {"value": value, "percent": percent}
        if self.report.path.endswith("network") and name == "cost_total":
            name = "infra_total"
        before = self.rows(self.window.before)
        earlier: dict[Any, Fraction] = {}
        for line in self.lines(before, self.window.before):
            key = line.bucket, line.labels
            earlier[key] = earlier.get(key, Fraction(0)) + line.values[name]
        for line in lines:
            then = self.window.earlier_bucket(line.bucket)
            line.delta = changed(line.values[name], earlier.get((then, line.labels), Fraction(0)))
        if not self.window.monthly:
            days = {self.window.earlier(row["usage_start"]) for row in rows}
            before = [row for row in before if row["usage_start"] in days]
        value, percent = changed(totals[name], self.report.measure(before, self.exchange)[name])
        return {"value": value, "percent": percent}

    # --------------------------------------------------------------------------------------------- capacity

    def add_capacity(self, lines: list[Line], totals: Values) -> None:
        assert self.report.capacity is not None
        cluster_column, node_column, size_column = self.report.capacity
        rows = self.rows(self.window, table=DAILY)
        by_node = "node" in self.groups
        whole = self.window.monthly and not self.window.dates_given

        def amounts(chosen: list[Row]) -> tuple[Fraction, Fraction]:
            sizes: dict[Any, Fraction] = {}
            periods: dict[Any, Fraction] = {}
            for row in chosen:
                node = row["cluster_id"], row["node"]
                sizes[node] = max(sizes.get(node, Fraction(0)), measures.number(row[size_column]))
                place = (*node, row["usage_start"]) if by_node else (row["cluster_id"], row["usage_start"])
                column = node_column if by_node else cluster_column
                if column:
                    periods[place] = max(periods.get(place, Fraction(0)), measures.number(row[column]))
            return sum(periods.values(), Fraction(0)), sum(sizes.values(), Fraction(0))

        for line in lines:
            own = [row for row in rows if self.window.bucket(row["usage_start"]) == line.bucket]
            if by_node:
                node = line.labels[self.groups.index("node")]
                capacity, count = amounts([row for row in own if (row["node"] or None) == node and not line.rest])
            else:
                chosen = rows if whole else own
                capacity, count = amounts([r for r in chosen if not line.clusters or clusters([r])[0] in line.clusters])
            self.put_capacity(line.values, capacity, count)
        self.put_capacity(totals, *amounts(rows))

    def put_capacity(self, values: Values, capacity: Fraction, count: Fraction) -> None:
        values.setdefault("capacity", capacity)
        values["capacity_count"] = count
        values |= measures.unused(capacity=values["capacity"], used=values["usage"], asked=values["request"])

    # ---------------------------------------------------------------------------------------------- packing

    def money(self, values: Values, name: str) -> Json:
        return {"value": values[name], "units": self.currency}

    def pack(self, values: Values) -> Json:
        """The objects of a row, or of the totals."""
        packed: Json = {}
        if self.report.path.endswith("mig_profiles"):
            return {name: values[name] for name in ("mig_slice_count", "gpu_max_slices")}
        for part, prefix in (("infrastructure", "infra"), ("supplementary", "sup"), ("cost", "cost")):
            members = ("raw", "markup", "usage", "total")
            packed[part] = {member: self.money(values, f"{prefix}_{member}") for member in members}
        if self.report.by_project or self.report.monthly:
            for name in ("platform", "worker_unallocated", "network_unattributed", "storage_unattributed"):
                packed["cost"][f"{name}_distributed"] = self.money(values, f"cost_{name}_distributed")
            packed["cost"]["gpu_unallocated_distributed"] = self.money(values, "cost_gpu_unallocated_distributed")
        if self.report.by_project or self.report.monthly or self.report.scored:
            packed["cost"]["distributed"] = self.money(values, "cost_total_distributed")
        if self.report.capacity is not None:
            packed |= self.pack_inventory(values)
        if self.report.path.endswith("network"):
            for name in ("usage", "data_transfer_in", "data_transfer_out"):
                packed[name] = {"value": values[name], "units": "GB"}
        if self.report.path.endswith("gpu"):
            packed["gpu_memory"] = {"value": values["gpu_memory"], "units": "GB"}
            packed["gpu_count"] = {"value": values["gpu_count"], "units": "GPUs"}
        if self.report.monthly:
            packed["request"] = {
                "cpu": {"value": values["request_cpu"], "units": "Core"},
                "memory": {"value": values["request_memory"], "units": "GiB"},
            }
        return packed

    def pack_inventory(self, values: Values) -> Json:
        units = self.report.usage_units
        packed = {name: {"value": values[name], "units": units} for name in ("usage", "request", "capacity")}
        for name in ("request", "capacity"):
            packed[name] |= {"unused": values[f"{name}_unused"], "unused_percent": values[f"{name}_unused_percent"]}
        packed["capacity"]["count"] = values["capacity_count"]
        if "node" not in self.groups:
            packed["capacity"]["count_units"] = self.report.count_units
        if self.report.scored:
            packed["limit"] = {"value": values["limit"], "units": units}
        else:
            packed |= {name: values[name] for name in ("persistent_volume_claim", "storage_class")}
        return packed

    def pack_line(self, line: Line) -> Json:
        packed: Json = {"date": line.bucket}
        for key, text in zip(self.groups, line.labels, strict=True):
            packed[shown(key)] = text or f"No-{plain(key)}"
        split = dict(zip(self.split_keys, line.split, strict=True))
        is_mig = self.report.path.endswith("mig_profiles")
        packed |= {key: text or f"No-{key}" for key, text in split.items() if key != "cost_group"}
        if not is_mig or self.is_ranked:
            packed |= {"source_uuid": line.sources, "clusters": line.clusters}
        packed |= self.pack(line.values)
        if is_mig:
            compute, _, memory = packed["mig_profile"].partition(".")
            packed |= {"compute": digits_and_rest(compute), "memory": digits_and_rest(memory)}
        if self.report.monthly:
            packed |= {name: line.values[name] for name in ("cluster", "node", "project", "storage", "tags")}
        if self.report.scored:
            packed["score"] = self.pack_score(line.values) if self.shows_score else {}
        if line.delta is not None:
            packed["delta_value"], packed["delta_percent"] = line.delta
        if "project" in self.groups:
            packed["classification"] = self.classification(line, packed["project"])
            if self.report.by_project:
                packed["cost_group"] = None if line.rest else split["cost_group"]
            if self.is_ranked and self.request.rank_offset is None:
                packed["default_project"] = "False" if line.rest else None
        return packed

    @property
    def shows_score(self) -> bool:
        keys = [*self.groups, *(part.key for part in self.request.filters)]
        return len(self.groups) < 2 and not any(key.startswith("tag:") for key in keys)

    def pack_score(self, values: Values) -> Json:
        return {
            "usage_efficiency_percent": values["usage_efficiency_percent"],
            "wasted_cost": self.money(values, "wasted_cost"),
        }

    def classification(self, line: Line, label: str) -> str | None:
        if line.rest:
            return "category" if self.request.categories else None
        if line.filled:
            return None
        if label in self.request.categories:
            return f"category_{label}"
        if label.startswith(("openshift-", "kube-")) or label == "openshift":
            return "default"
        if label in ("Platform unallocated", "Worker unallocated", "GPU unallocated"):
            return "unallocated"
        if label in ("Storage unattributed", "Network unattributed"):
            return "unattributed"
        return "project"

    def nest(self, lines: list[Line]) -> Json:
        """Rows below their labels; a run of equal labels that comes later goes before the earlier ones."""
        paths: dict[tuple[str | None, ...], list[list[Json]]] = {}
        last = None
        for line in lines:
            runs = paths.setdefault(line.labels, [])
            if line.labels != last:
                runs.insert(0, [])
            runs[0].append(self.pack_line(line))
            last = line.labels
        return self.nested({path: [row for run in runs for row in run] for path, runs in paths.items()}, self.groups)

    def nested(self, paths: Mapping[Any, list[Json]], groups: list[str]) -> Json:
        if not groups:
            return {"values": [row for rows in paths.values() for row in rows]}
        key, *inner = groups
        found: dict[str, dict[Any, list[Json]]] = {}
        for (label, *further), rows in paths.items():
            found.setdefault(label or f"No-{plain(key)}", {})[tuple(further)] = rows
        return {f"{shown(key)}s": [{shown(key): label, **self.nested(part, inner)} for label, part in found.items()]}

    # ----------------------------------------------------------------------------------------------- answer

    def evaluated(self) -> tuple[list[Line], Values, int, Json | None, list[Row]]:
        rows = self.rows(self.window)
        lines = self.lines(rows, self.window)
        totals = (self.report.total or self.report.measure)(rows, self.exchange)
        ranked = 0
        if self.is_ranked:
            lines, ranked = self.ranked_lines(lines, rows)
        if self.report.capacity is not None:
            self.add_capacity(lines, totals)
        delta = self.add_delta(lines, rows, totals) if self.request.delta else None
        return lines, totals, ranked, delta, rows

    def dates(self, lines: list[Line]) -> dict[str, list[Line]]:
        """Rows of every date in order."""
        positions = None
        order = self.request.order
        if order is not None and order[0] == "date":
            day = date.fromisoformat(order[1])
            one_day = Window(day, day, monthly=False)
            on_day = self.lines(self.rows(one_day), one_day)
            name, way = self.report.default
            on_day = sorted(sorted(on_day, key=self.tie), key=lambda it: self.sort_key(it, name), reverse=way == "desc")
            positions = {labels: place for place, labels in enumerate(dict.fromkeys(line.labels for line in on_day))}
        return {
            bucket: self.ordered([line for line in lines if line.bucket == bucket], positions)
            for bucket in self.window.buckets
        }

    def answer(self) -> Json:
        request = self.request
        lines, totals, ranked, delta, rows = self.evaluated()
        data = [{"date": bucket, **self.nest(found)} for bucket, found in self.dates(lines).items()]
        limit, offset = int(request.plain.get("limit", 100)), int(request.plain.get("offset", 0))
        meta: Json = {"limit": limit, "offset": offset, "currency": self.currency}
        names, applied = ("limit", "offset"), 100 if limit < 0 else min(limit, 1000)
        if self.report.monthly:
            listed = data[0]["vm_names"]
            meta["count"] = len(listed)
            data[0]["vm_names"] = listed[max(offset, 0) :][: applied or len(listed)]
            data = data if data[0]["vm_names"] else []
        elif self.is_ranked and request.rank_offset is not None:
            applied, offset = self.limit, request.rank_offset
            meta |= {"count": ranked, "limit": applied, "offset": offset}
            names = ("filter[limit]", "filter[offset]")
        else:
            meta["count"] = len(data)
            data = data[max(offset, 0) :][: applied or len(data)]
        if self.is_ranked:
            meta["others"] = max(0, ranked - self.limit)
        meta |= self.echo()
        if delta is not None:
            meta["delta"] = delta
        if self.report.by_project:
            kinds = {row["cost_model_rate_type"] for row in rows}
            meta["distributed_overhead"] = bool(kinds & {"platform_distributed", "worker_distributed"})
        meta["total"] = {} if self.report.path.endswith("mig_profiles") else self.pack(totals)
        if self.report.capacity is not None:
            meta["total"]["capacity"]["count_units"] = self.report.count_units
        if self.report.scored:
            meta["total"]["total_score"] = self.pack_score(totals)
        path = f"/api/cost-management/v1/reports/{self.path}/"
        links = self.links(path, names, applied or meta["count"], max(offset, 0), meta["count"])
        return {"meta": meta, "links": links, "data": data}

    def echo(self) -> Json:
        request = self.request
        asked = {part.sent: part.values for part in request.filters}
        found: Json = {**asked, **self.times}
        if request.rank_limit is not None:
            found["limit"] = request.rank_limit
        if request.rank_offset is not None:
            found["offset"] = request.rank_offset
        groups = {
            group.sent: asked[group.key] if group.values == ["*"] and group.key in asked else group.values
            for group in request.groups
        }
        echo: Json = {"filter": found, "group_by": groups, "order_by": dict(request.echoed_orders)}
        echo["exclude"] = {part.sent: part.values for part in request.excludes}
        if self.window.dates_given:
            echo |= {name: request.plain[name] for name in ("start_date", "end_date")}
        if request.categories:
            echo["category"] = request.categories
        return echo

    def links(self, path: str, names: tuple[str, str], limit: int, offset: int, count: int) -> Json:
        kept = [pair for pair in self.request.pairs if pair[0] not in names]

        def link(at: int | None) -> str:
            pairs = [*kept, (names[0], str(limit)), *([] if at is None else [(names[1], str(at))])]
            return f"{path}?{urlencode(sorted(pairs, key=lambda pair: pair[0]))}"

        return {
            "first": link(0),
            "next": link(offset + limit) if offset + limit < count else None,
            "previous": link(offset - limit if offset > limit else None) if offset > 0 else None,
            "last": link(max(count - limit, 0)),
        }

    def table_rows(self) -> list[Json]:
        """The rows of a CSV of costs: newest date first, columns by their internal names (read-api §4.6)."""
        lines, *_ = self.evaluated()
        found = []
        for _, listed in sorted(self.dates(lines).items(), reverse=True):
            for line in listed:
                row: Json = {"date": line.bucket, **{n: v for n, v in line.values.items() if isinstance(v, Fraction)}}
                row |= {shown(key): text for key, text in zip(self.groups, line.labels, strict=True)}
                if self.report.by_project:
                    row["cost_group"] = None if line.rest else line.split[self.split_keys.index("cost_group")]
                row |= {f"clusters.{place}": name for place, name in enumerate(line.clusters)}
                row |= {f"source_uuid.{place}": name for place, name in enumerate(line.sources)}
                row["cost_units"] = self.currency
                if self.is_ranked:
                    row["rank"] = self.limit + 1 if line.rest else line.rank
                found.append(row)
        request = self.request
        limit, offset = int(request.plain.get("limit", 100)), int(request.plain.get("offset", 0))
        return found if request.rank_offset is not None else found[offset:][: limit or len(found)]


# ---------------------------------------------------------------------------------------------------------- details


def clusters(rows: Iterable[Row]) -> list[str]:
    return sorted({row["cluster_alias"] or row["cluster_id"] for row in rows})


def sources(rows: Iterable[Row]) -> list[str]:
    return sorted({str(row["source_uuid"]) for row in rows})


def added(one: Any, other: Any) -> Any:
    """Numbers are summed, lists united, names belong to nobody."""
    if isinstance(one, Fraction):
        return one + other
    return sorted({*one, *other}) if isinstance(one, list) else None


def changed(now: Fraction, then: Fraction) -> tuple[Fraction, Fraction | None]:
    return now - then, None if round(then, 2) == 0 else (now - then) / then * 100


def plain(key: str) -> str:
    return key.removeprefix("tag:")


def shown(key: str) -> str:
    """A tag's own key, unless rows have a field of that name."""
    return key if key in ("tag:node", "tag:usage") else plain(key)


def digits_and_rest(text: str) -> Json:
    rest = text.lstrip("0123456789")
    number = text[: len(text) - len(rest)]
    return {"value": int(number) if number else None, "units": rest}


def report_answer(path: str, raw: str, data: Data, access: Mapping[str, tuple[str, ...]] | None = None) -> Json:
    """The JSON a request is answered with; numbers are fractions."""
    return Reporter(path, raw, data, access or {}).answer()


def report_table(path: str, raw: str, data: Data) -> list[Json]:
    """The rows a CSV request is answered with."""
    return Reporter(path, raw, data, {}).table_rows()
