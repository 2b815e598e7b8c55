"""From the text of a CSV to typed hourly rows (ocp-payload §4, §5, §6.4, §6.7)."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from reference.labels import label_json, parse_label_cell

Row = dict[str, object]

DATE_COLUMNS = ("report_period_start", "report_period_end", "interval_start", "interval_end")

POD_SECONDS = (
    "pod_usage_cpu_core_seconds",
    "pod_request_cpu_core_seconds",
    "pod_limit_cpu_core_seconds",
    "pod_usage_memory_byte_seconds",
    "pod_request_memory_byte_seconds",
    "pod_limit_memory_byte_seconds",
)
NODE_CAPACITIES = (
    "node_capacity_cpu_cores",
    "node_capacity_memory_bytes",
    "node_capacity_cpu_core_seconds",
    "node_capacity_memory_byte_seconds",
)
VOLUME_SECONDS = (
    "persistentvolumeclaim_capacity_byte_seconds",
    "volume_request_storage_byte_seconds",
    "persistentvolumeclaim_usage_byte_seconds",
)
VM_TEXTS = (
    "resource_id",
    "vm_instance_type",
    "vm_os",
    "vm_guest_os_arch",
    "vm_guest_os_name",
    "vm_guest_os_version",
    "vm_device",
    "vm_volume_mode",
    "vm_persistentvolumeclaim_name",
)
VM_SIZES = (
    "vm_cpu_limit_cores",
    "vm_cpu_request_cores",
    "vm_cpu_request_sockets",
    "vm_cpu_request_threads",
    "vm_memory_limit_bytes",
    "vm_memory_request_bytes",
)
VM_SECONDS = (
    "vm_uptime_total_seconds",
    "vm_cpu_limit_core_seconds",
    "vm_cpu_request_core_seconds",
    "vm_cpu_request_socket_seconds",
    "vm_cpu_request_thread_seconds",
    "vm_cpu_usage_total_seconds",
    "vm_memory_limit_byte_seconds",
    "vm_memory_request_byte_seconds",
    "vm_memory_usage_byte_seconds",
    "vm_disk_allocated_size_byte_seconds",
)
MIG_COLUMNS = (
    "mig_profile",
    "mig_slice_count",
    "mig_memory_capacity_mib",
    "gpu_max_slices",
    "mig_strategy",
    "mig_instance_id",
)


@dataclass(frozen=True)
class ReportType:
    """Columns of a report: text, numbers, label cells; `optional` text and `nullable` numbers may be absent."""

    name: str
    texts: tuple[str, ...]
    numbers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    nullable: tuple[str, ...] = ()

    @property
    def required(self) -> set[str]:
        return {*self.texts, *self.numbers, *self.labels}


REPORT_TYPES = (
    ReportType(
        "storage_usage",
        texts=("namespace", "pod", "persistentvolumeclaim", "persistentvolume", "storageclass"),
        numbers=("persistentvolumeclaim_capacity_bytes", *VOLUME_SECONDS),
        labels=("persistentvolume_labels", "persistentvolumeclaim_labels"),
        optional=("node", "csi_driver", "csi_volume_handle"),
    ),
    ReportType(
        "pod_usage",
        texts=("node", "namespace", "pod", "resource_id"),
        numbers=(*POD_SECONDS, *NODE_CAPACITIES),
        labels=("pod_labels",),
        optional=("node_role",),
    ),
    ReportType("node_labels", texts=("node",), labels=("node_labels",)),
    ReportType("namespace_labels", texts=("namespace",), labels=("namespace_labels",)),
    ReportType(
        "vm_usage",
        texts=("node", "namespace", "vm_name", *VM_TEXTS),
        numbers=(*VM_SIZES, *VM_SECONDS),
        labels=("vm_labels",),
    ),
    ReportType(
        "gpu_usage",
        texts=("node", "namespace", "pod", "gpu_uuid", "gpu_model_name", "gpu_vendor_name"),
        numbers=("gpu_memory_capacity_mib", "gpu_pod_uptime"),
        optional=("mig_instance_id", "mig_profile", "mig_strategy"),
        nullable=("gpu_max_slices",),
    ),
)

LARGEST = 1e18
LARGEST_OF_TABLE = {"node_capacity_cpu_cores": 1e15, "vm_cpu_request_cores": 1e15, "gpu_max_slices": 1e9}
"""What the tables of the summary hold, where that is less."""

LONGEST = 65_536
LONGEST_OF_TABLE = {
    **dict.fromkeys(
        ("namespace", "node", "resource_id", "persistentvolume", "persistentvolumeclaim", "storageclass"), 253
    ),
    **dict.fromkeys(("gpu_uuid", "gpu_model_name", "gpu_vendor_name", "mig_instance_id"), 128),
    "mig_profile": 64,
    "mig_strategy": 10,
}

SHAPES_OF_TIMES = {
    f"9999-99-99{separator}99:99{seconds}{zone}"
    for separator in "T "
    for seconds in ("", ":99")
    for zone in ("", "Z", "+99:99", "-99:99", "+9999", "-9999", "+99", "-99")
}
"""Digits as 9, without a fraction of a second."""

END = "\0"
"""A row behind the last one. No other can look like it, as this character is taken out of what was sent."""

DISCOVERED_LABEL_COLUMNS = (
    "pod_labels",
    "persistentvolume_labels",
    "persistentvolumeclaim_labels",
    "namespace_labels",
    "node_labels",
)

MAX_SLICES = {"A30": 4, "A100": 7, "H100": 7, "H200": 7, "B200": 7, "RTX PRO 6000": 4, "RTX PRO 5000": 2}


class BadReport(Exception):
    """The file cannot be read; it fails alone (D5)."""


@dataclass
class HourlyReport:
    """The typed rows of one CSV; `report_type` is None when the columns are of no known report."""

    report_type: str | None
    rows: list[Row] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)
    dropped: Counter[str] = field(default_factory=Counter)


def recognise(columns: set[str]) -> ReportType | None:
    """§5.1: the first type, in order, whose required columns are all present."""
    for report_type in REPORT_TYPES:
        if report_type.required <= columns:
            return report_type
    return None


def read_report(content: bytes, *, first: date = date.min, last: date = date.max) -> HourlyReport | None:
    """Hourly rows of one CSV, those of the days from `first` to `last`; None for a file without any row."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadReport("not UTF-8") from error

    lines = _rows(text.removeprefix("\ufeff").replace(END, ""))
    header = next(lines, None)
    if header is None:
        return None
    if "interval_start" not in header:
        raise BadReport("no interval_start column")
    known = {
        name
        for report_type in REPORT_TYPES
        for name in (*DATE_COLUMNS, *report_type.required, *report_type.optional, *report_type.nullable)
    }
    if any(header.count(name) > 1 for name in known):
        raise BadReport("a column twice")
    report_type = recognise(set(header))
    if report_type is None:
        return HourlyReport(None)

    report = HourlyReport(report_type.name, columns=set(header))
    for fields in lines:
        if len(fields) > len(header):
            report.dropped["too_many_fields"] += 1
            continue
        row = _typed(report_type, dict(zip(header, [*fields, *[""] * (len(header) - len(fields))], strict=True)))
        reason = _outside(row, first, last) or _unusable(report_type, row)
        if reason:
            report.dropped[reason] += 1
            continue
        _TREATMENT.get(report_type.name, _unchanged)(row)
        report.rows.append(row)
    return report


def _rows(text: str) -> Iterator[list[str]]:
    """Rows that are not empty; BadReport where a quoted cell has no end."""
    for fields in csv.reader(io.StringIO(f"{text}\n{END}", newline="")):
        if fields == [END]:
            return
        if fields and END in fields[-1]:
            raise BadReport("a quoted cell never ends")
        if fields:
            yield fields


def _typed(report_type: ReportType, cells: dict[str, str]) -> Row:
    row: Row = {name: parse_time(cells[name]) if name in cells else None for name in DATE_COLUMNS}
    for name in report_type.texts:
        row[name] = cells[name]
    for name in report_type.optional:
        row[name] = cells.get(name)
    for name in report_type.numbers:
        row[name] = parse_number(cells[name])
    for name in report_type.nullable:
        value = _nullable_number(cells.get(name, ""))
        row[name] = float(int(value)) if value is not None and math.isfinite(value) else value
    for name in report_type.labels:
        row[name] = label_json(parse_label_cell(cells[name]))
    return row


def parse_time(text: str) -> datetime:
    """§4: ` +0000 UTC` removed, then ISO 8601, date and time in full at least to the minute; a zone given there is
    converted to UTC. Naive result, UTC, in milliseconds."""
    text = text.removesuffix(" +0000 UTC").upper()
    shape = re.sub("9[.,]9{1,9}(?=[^9]|$)", "9", re.sub("[0-9]", "9", text))
    if shape not in SHAPES_OF_TIMES:
        raise BadReport(f"not a time: {text!r}")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadReport(f"no such time: {text!r}") from error
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def parse_number(text: str) -> float:
    """§4: empty and non-numeric are 0."""
    return _nullable_number(text) or 0.0


def _nullable_number(text: str) -> float | None:
    """Python's own digit separator makes no number."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _outside(row: Row, first: date, last: date) -> str | None:
    """§7: days that are not taken."""
    start = row["interval_start"]
    assert isinstance(start, datetime)
    if start.date() < first:
        return "before_retention"
    return "after_tomorrow" if start.date() > last else None


def _unusable(report_type: ReportType, row: Row) -> str | None:
    """Why a row is dropped: the first reason found, texts before numbers (§6.7, §7)."""
    for name in (*report_type.texts, *report_type.optional):
        if len(str(row[name] or "")) > LONGEST_OF_TABLE.get(name, LONGEST):
            return "name_too_long"
    for name in (*report_type.numbers, *report_type.nullable):
        value = row[name] or 0.0
        assert isinstance(value, float)
        if math.isnan(value) or value == -math.inf:
            return "not_a_finite_number"
        if abs(value) > LARGEST_OF_TABLE.get(name, LARGEST):
            return "implausible_value"
    return None


def _unchanged(row: Row) -> None:
    pass


def _effective_usage(row: Row) -> None:
    """§6.7: per hourly row, the larger of usage and request."""
    for unit in ("cpu_core_seconds", "memory_byte_seconds"):
        usage, request = row[f"pod_usage_{unit}"], row[f"pod_request_{unit}"]
        assert isinstance(usage, float) and isinstance(request, float)
        row[f"pod_effective_usage_{unit}"] = max(usage, request)


def _normalise_gpu(row: Row) -> None:
    """§5.7; whole GPUs, those without a profile, keep what was sent apart from the names."""
    if row["gpu_vendor_name"] == "nvidia_com_gpu":
        row["gpu_vendor_name"] = "nvidia"
    model = re.sub(r"[^A-Za-z0-9]+", " ", str(row["gpu_model_name"])).strip()
    row["gpu_model_name"] = model

    row["mig_slice_count"] = row["mig_memory_capacity_mib"] = None
    if not row["mig_profile"]:
        return
    parts = re.fullmatch(r"(\d{1,3})g\.(\d{1,6})gb(\+.*)?", str(row["mig_profile"]).strip().lower())
    if parts:
        row["mig_slice_count"] = float(parts[1])
        row["mig_memory_capacity_mib"] = float(int(parts[2]) * 1024)
    if row["gpu_max_slices"] is None:
        row["gpu_max_slices"] = _slices_of_model(model.upper())
    if row["gpu_max_slices"] is None:
        for name in MIG_COLUMNS:
            row[name] = None


def _slices_of_model(model: str) -> float | None:
    if model in MAX_SLICES:
        return float(MAX_SLICES[model])
    for name, slices in MAX_SLICES.items():
        if name in model:
            return float(slices)
    return None


_TREATMENT: dict[str, Callable[[Row], None]] = {"pod_usage": _effective_usage, "gpu_usage": _normalise_gpu}


def discovered_keys(report: HourlyReport, read: Callable[[str], dict[str, str]]) -> set[str]:
    """§6.10: label keys of the rows that survived. An empty key is none."""
    return {
        key
        for row in report.rows
        for column in DISCOVERED_LABEL_COLUMNS
        if row.get(column)
        for key in read(str(row[column]))
        if key
    }
