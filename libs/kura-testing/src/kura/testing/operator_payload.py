"""Payloads as a 4.x metrics operator sends them, made fast and the same way for the same seed.

A report is a list of pieces per row: most of them never change during a day (names, labels, requests,
capacities) and are joined once; per hour only the measured values are made, and one vectorised join gives
the CSV text, which is the data buffer of the joined Arrow array.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from kura.testing.archives import (
    Member,
    TarGzWriter,
    csv_bytes,
    go_time,
    manifest_of,
    payload_bytes,
    report_row,
)
from kura.testing.inventory import (
    Cluster,
    Inventory,
    Pod,
    build_inventory,
    clusters,
    label_cell,
    pod_suffix,
    random_uuid4,
)
from kura.testing.profiles import PROFILES, ClusterProfile
from kura.testing.report_columns import COLUMNS, FILE_PREFIXES, OPTIMIZATION_REPORTS

__all__ = [
    "PROFILES",
    "Cluster",
    "ClusterProfile",
    "Member",
    "Payload",
    "clusters",
    "csv_bytes",
    "make_payloads",
    "manifest_of",
    "payload_bytes",
    "report_row",
]

SECONDS_PER_HOUR = 3600
HOURS_PER_DAY = 24
QUARTER_MINUTES = 15
MIB = 2**20

# measured on generated files; only used to decide when, and in how many parts, a payload is split
BYTES_PER_ROW = {
    "pod_usage": 560,
    "storage_usage": 520,
    "node_labels": 480,
    "namespace_labels": 320,
    "vm_usage": 700,
    "gpu_usage": 330,
    "ros_container": 720,
    "ros_namespace": 420,
}


@dataclass(frozen=True, kw_only=True)
class Payload:
    """One archive, ready to be uploaded."""

    cluster_id: str
    cluster_name: str
    name: str
    content: bytes
    manifest_id: str
    day: date
    start: datetime
    end: datetime
    rows: Mapping[str, int]
    """Rows in this archive by report type."""


def make_payloads(
    profile: ClusterProfile,
    *,
    end: date,
    days: int,
    seed: int,
    uploads_per_day: int = 1,
    end_hour: int = HOURS_PER_DAY,
    max_size_mb: float = 100,
    only: Sequence[Cluster] | None = None,
    compression: int = 1,
) -> Iterator[Payload]:
    """Payloads of every cluster of the profile for `days` days up to and including `end`, in order of time.

    Every upload of a day holds that day from 00:00 on, as operators since 3.0 send it: with four uploads
    6, 12, 18 and 24 hours. The last day ends at `end_hour`. `only` restricts to some of the clusters.
    """
    chosen = list(only) if only is not None else clusters(profile, seed=seed)
    reports = [_reports(build_inventory(profile, cluster, seed=seed), profile, seed=seed) for cluster in chosen]
    for back in range(days - 1, -1, -1):
        day = end - timedelta(days=back)
        last_hour = end_hour if back == 0 else HOURS_PER_DAY
        for number in range(1, uploads_per_day + 1):
            hours = min(last_hour, HOURS_PER_DAY * number // uploads_per_day)
            if hours <= HOURS_PER_DAY * (number - 1) // uploads_per_day:
                continue
            for of_cluster in reports:
                yield from _upload(
                    of_cluster,
                    day=day,
                    hours=hours,
                    number=number,
                    seed=seed,
                    limit_bytes=int(max_size_mb * MIB),
                    compression=compression,
                )


def _upload(
    reports: "Mapping[str, _Report]",
    *,
    day: date,
    hours: int,
    number: int,
    seed: int,
    limit_bytes: int,
    compression: int,
) -> Iterator[Payload]:
    """The archives of one manifest: one, or one per CSV when they are too big together (ocp-payload §3.1)."""
    cluster = next(iter(reports.values())).inventory.cluster
    manifest_id = random_uuid4(np.random.default_rng([seed, cluster.index, day.toordinal(), number]))
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    last = start + timedelta(hours=hours) - timedelta(seconds=1)
    rows = {name: report.rows_per_hour * hours for name, report in reports.items()}
    sizes = {report: count * BYTES_PER_ROW[report] for report, count in rows.items()}
    split = sum(sizes.values()) >= limit_bytes

    files: list[_File] = []
    for report, count in rows.items():
        parts = -(-sizes[report] // limit_bytes) if split else 1
        for part in range(parts):
            month_and_part = f"{day:%Y%m}{part if parts > 1 else ''}"
            files.append(
                _File(
                    name=f"{manifest_id}-{FILE_PREFIXES[report]}-{month_and_part}.{len(files)}.csv",
                    report=report,
                    first_row=count * part // parts,
                    end_row=count * (part + 1) // parts,
                )
            )
    manifest = manifest_of(
        cluster_id=cluster.cluster_id,
        uuid=manifest_id,
        files=[file.name for file in files if file.report not in OPTIMIZATION_REPORTS],
        resource_optimization_files=[file.name for file in files if file.report in OPTIMIZATION_REPORTS],
        start=start,
        end=last,
    )

    stamp = f"{last + timedelta(seconds=1):%Y%m%dT%H%M%S}"
    groups = [[file] for file in files] if split else [files]
    for index, group in enumerate(groups):
        archive = TarGzWriter(level=compression, modified=last)
        archive.member("manifest.json", [orjson.dumps(manifest)])
        for file in group:
            archive.member(file.name, _csv_chunks(file, reports[file.report], day=day))
        counted: dict[str, int] = {}
        for file in group:
            counted[file.report] = counted.get(file.report, 0) + file.end_row - file.first_row
        yield Payload(
            cluster_id=cluster.cluster_id,
            cluster_name=cluster.name,
            name=f"{stamp}-cost-mgmt{f'-{index}' if split else ''}.tar.gz",
            content=archive.finish(),
            manifest_id=manifest_id,
            day=day,
            start=start,
            end=last,
            rows=counted,
        )


@dataclass(frozen=True, kw_only=True)
class _File:
    """A CSV of a payload: the rows [first_row, end_row) of a report."""

    name: str
    report: str
    first_row: int
    end_row: int


def _csv_chunks(file: _File, report: "_Report", *, day: date) -> Iterator[bytes | memoryview]:
    """The text of one CSV, hour by hour; every hour has the same number of rows."""
    yield (",".join(COLUMNS[file.report]) + "\n").encode()
    count = report.rows_per_hour
    report.begin(day)
    for hour in range(file.first_row // count, -(-file.end_row // count)):
        lines = report.hour(hour)
        low = max(file.first_row - hour * count, 0)
        high = min(file.end_row - hour * count, count)
        yield _text_of(lines.slice(low, high - low))


def _text_of(lines: pa.StringArray) -> memoryview:
    """The bytes of all the strings of an array, one after the other, without a copy."""
    _, offsets, data = lines.buffers()
    positions = np.frombuffer(offsets, dtype=np.int32)[lines.offset : lines.offset + len(lines) + 1]
    return memoryview(data)[int(positions[0]) : int(positions[-1])]


def _join(*pieces: pa.StringArray | str) -> pa.StringArray:
    return pc.binary_join_element_wise(*pieces, "")


def _texts(values: Sequence[str]) -> pa.StringArray:
    return pa.array(values, pa.string())


def _decimals(values: np.ndarray) -> pa.StringArray:
    """Numbers with six decimals, as the operator prints them."""
    return pc.cast(pc.cast(pa.array(np.round(values, 6)), pa.decimal128(36, 6), safe=False), pa.string())


def _dates(day: date, *, start: datetime, end: datetime) -> str:
    first = datetime(day.year, day.month, 1, tzinfo=UTC)
    following = (first + timedelta(days=31)).replace(day=1)
    return f"{go_time(first)},{go_time(following)},{go_time(start)},{go_time(end)},"


def _hour_dates(day: date, hour: int) -> str:
    start = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    return _dates(day, start=start, end=start + timedelta(minutes=59, seconds=59))


class _Report:
    """The rows of one report of one cluster; `hour` depends on the seed, cluster, day and hour only."""

    day: date
    seed: Sequence[int]

    def __init__(self, inventory: Inventory, profile: ClusterProfile, *, seed: int, rows_per_hour: int) -> None:
        self.inventory = inventory
        self.profile = profile
        self.rows_per_hour = rows_per_hour
        self._cluster_seed = (seed, inventory.cluster.index)
        self.prepare()

    def begin(self, day: date) -> None:
        """Go on with the hours of this day."""
        self.day = day
        self.seed = [*self._cluster_seed, day.toordinal()]

    def pods_of(self, day: date) -> Sequence[Pod]:
        """The pods at the end of a day."""
        if not self.profile.churn:
            return self.inventory.pods
        return _pods_of_day(self.inventory, churn=self.profile.churn, day=day, seed=self._cluster_seed)

    def prepare(self) -> None:
        """Make the text that is the same on all days."""
        raise NotImplementedError

    def hour(self, hour: int) -> pa.StringArray:
        raise NotImplementedError

    def random(self, hour: int) -> np.random.Generator:
        return np.random.default_rng([*self.seed, hour, len(type(self).__name__)])


def _pods_of_day(inventory: Inventory, *, churn: float, day: date, seed: Sequence[int]) -> list[Pod]:
    """The pods at the end of a day: every stateless one is replaced once in 1 / churn days, each on its own day."""
    period = max(1, round(1 / churn))
    pods = []
    for place, pod in enumerate(inventory.pods):
        if pod.stateless:
            generation = (day.toordinal() + place * 7919) // period
            stem = pod.name.rpartition("-")[0]
            pod = replace(pod, name=f"{stem}-{pod_suffix(np.random.default_rng([*seed, generation, place]))}")
        pods.append(pod)
    return pods


def _daily_shape(hour: int) -> float:
    """Load over a day: lowest at four in the morning, highest at four in the afternoon."""
    return 0.6 + 0.4 * float(np.sin((hour - 10) * np.pi / 12))


class _PodUsage(_Report):
    names: pa.StringArray
    new_names: pa.StringArray
    changes: np.ndarray
    """The hour from which a place has its new name."""

    def begin(self, day: date) -> None:
        super().begin(day)
        if not self.profile.churn:
            return
        self.names = self._names(self.pods_of(day - timedelta(days=1)))
        self.new_names = self._names(self.pods_of(day))
        self.changes = np.random.default_rng([*self.seed, 7]).integers(1, HOURS_PER_DAY, len(self.cpu))

    @staticmethod
    def _names(pods: Sequence[Pod]) -> pa.StringArray:
        return _texts([f"{pod.node.name},{pod.namespace.name},{pod.name}," for pod in pods])

    def prepare(self) -> None:
        pods = self.inventory.pods
        self.names = self._names(pods)
        self.cpu = np.array([pod.cpu_request for pod in pods])
        self.memory = np.array([float(pod.memory_request_bytes) for pod in pods])
        self.cpu_limit = np.array([pod.cpu_limit or pod.cpu_request * 2 for pod in pods])
        requests = [
            f",{pod.cpu_request * SECONDS_PER_HOUR:.6f},"
            + (f"{pod.cpu_limit * SECONDS_PER_HOUR:.6f}," if pod.cpu_limit else ",")
            for pod in pods
        ]
        self.cpu_requests = _texts(requests)
        self.rest = _texts([self._constant(pod) for pod in pods])

    def _constant(self, pod: Pod) -> str:
        node = pod.node
        limit = f"{pod.memory_limit_bytes * SECONDS_PER_HOUR:.6f}" if pod.memory_limit_bytes else ""
        cells = (
            f"{pod.memory_request_bytes * SECONDS_PER_HOUR:.6f}",
            limit,
            f"{node.cores:.6f}",
            f"{node.cores * SECONDS_PER_HOUR:.6f}",
            f"{node.memory_bytes:.6f}",
            f"{node.memory_bytes * SECONDS_PER_HOUR:.6f}",
            node.role,
            node.resource_id,
            label_cell(pod.labels),
        )
        return "," + ",".join(cells) + "\n"

    def hour(self, hour: int) -> pa.StringArray:
        rng = self.random(hour)
        count = len(self.cpu)
        busy = _daily_shape(hour) * rng.gamma(4.0, 0.25, count)
        cpu = np.minimum(self.cpu * busy, self.cpu_limit) * SECONDS_PER_HOUR
        memory = self.memory * (0.55 + 0.35 * rng.random(count)) * SECONDS_PER_HOUR
        names = self.names
        if self.profile.churn:
            names = pc.if_else(pa.array(self.changes > hour), self.names, self.new_names)
        return _join(
            _hour_dates(self.day, hour), names, _decimals(cpu), self.cpu_requests, _decimals(memory), self.rest
        )


class _StorageUsage(_Report):
    def prepare(self) -> None:
        volumes = self.inventory.volumes
        self.used = np.array([0.2 + 0.6 * (sum(volume.name.encode()) % 100) / 100 for volume in volumes])
        self.capacity = np.array([float(volume.capacity_bytes) for volume in volumes])
        heads = []
        for volume in volumes:
            pod, node = (volume.pod.name, volume.pod.node.name) if volume.pod else ("", "")
            heads.append(
                f"{volume.namespace},{pod},{node},{volume.claim},{volume.name},{volume.storage_class},"
                f"ebs.csi.aws.com,{volume.handle},{volume.capacity_bytes:.6f},"
                f"{volume.capacity_bytes * SECONDS_PER_HOUR:.6f},{volume.request_bytes * SECONDS_PER_HOUR:.6f},"
            )
        self.heads = _texts(heads)
        self.labels = _texts(
            [f",{label_cell(volume.labels)},{label_cell(volume.claim_labels)}\n" for volume in volumes]
        )

    def hour(self, hour: int) -> pa.StringArray:
        share = self.used + 0.01 * self.random(hour).random(len(self.used))
        usage = self.capacity * share * SECONDS_PER_HOUR
        return _join(_hour_dates(self.day, hour), self.heads, _decimals(usage), self.labels)


class _NodeLabels(_Report):
    def prepare(self) -> None:
        self.lines = _texts([f"{node.name},{label_cell(node.labels)}\n" for node in self.inventory.nodes])

    def hour(self, hour: int) -> pa.StringArray:
        return _join(_hour_dates(self.day, hour), self.lines)


class _NamespaceLabels(_Report):
    def prepare(self) -> None:
        self.lines = _texts([f"{space.name},{label_cell(space.labels)}\n" for space in self.inventory.namespaces])

    def hour(self, hour: int) -> pa.StringArray:
        return _join(_hour_dates(self.day, hour), self.lines)


class _VmUsage(_Report):
    def prepare(self) -> None:
        machines = self.inventory.virtual_machines
        self.cores = np.array([float(machine.cores) for machine in machines])
        self.memory = np.array([float(machine.memory_bytes) for machine in machines])
        heads, tails, middles = [], [], []
        for machine in machines:
            node = machine.pod.node
            heads.append(
                f"{node.name},{node.resource_id},{machine.pod.namespace.name},{machine.name},u1.medium,"
                f"{machine.name.partition('-')[0]},x86_64,Red Hat Enterprise Linux,9.4,{SECONDS_PER_HOUR:.6f},"
                f"0.000000,0.000000,{machine.cores:.6f},{machine.cores * SECONDS_PER_HOUR:.6f},"
                f"1.000000,{SECONDS_PER_HOUR:.6f},1.000000,{SECONDS_PER_HOUR:.6f},"
            )
            middles.append(
                f",0.000000,0.000000,{machine.memory_bytes:.6f},{machine.memory_bytes * SECONDS_PER_HOUR:.6f},"
            )
            tails.append(
                f",rootdisk,Block,{machine.claim},{machine.disk_bytes * SECONDS_PER_HOUR:.6f},"
                f"{label_cell(machine.labels)}\n"
            )
        self.heads, self.middles, self.tails = _texts(heads), _texts(middles), _texts(tails)

    def hour(self, hour: int) -> pa.StringArray:
        rng = self.random(hour)
        cpu = self.cores * _daily_shape(hour) * rng.random(len(self.cores)) * SECONDS_PER_HOUR
        memory = self.memory * (0.4 + 0.5 * rng.random(len(self.cores))) * SECONDS_PER_HOUR
        return _join(
            _hour_dates(self.day, hour), self.heads, _decimals(cpu), self.middles, _decimals(memory), self.tails
        )


class _GpuUsage(_Report):
    def prepare(self) -> None:
        self.heads, self.tails = [], []
        for gpu in self.inventory.gpus:
            pod = gpu.pod
            self.heads.append(
                f"{pod.node.name},{pod.namespace.name},{pod.name},{gpu.uuid},{gpu.model},nvidia_com_gpu,"
                f"{gpu.memory_mib:.6f},{SECONDS_PER_HOUR:.6f},"
            )
            slices = f"{gpu.max_slices:.6f}" if gpu.max_slices else ""
            strategy = "single" if gpu.mig_profile else ""
            self.tails.append(f",{slices},{gpu.mig_instance_id},{gpu.mig_profile},{strategy}\n")

    def hour(self, hour: int) -> pa.StringArray:
        utilization = _decimals(self.random(hour).random(len(self.heads)) * 100)
        return _join(_hour_dates(self.day, hour), _texts(self.heads), utilization, _texts(self.tails))


class _Quarters(_Report):
    """A report with a row per quarter of an hour; an hour holds four times the objects."""

    lines: pa.StringArray
    """The part of each row that does not change during the day."""

    def metrics(self, rng: np.random.Generator) -> pa.StringArray:
        raise NotImplementedError

    def hour(self, hour: int) -> pa.StringArray:
        rng = self.random(hour)
        start = datetime(self.day.year, self.day.month, self.day.day, hour, tzinfo=UTC)
        quarters = []
        for number in range(4):
            begins = start + timedelta(minutes=QUARTER_MINUTES * number, seconds=1)
            ends = start + timedelta(minutes=QUARTER_MINUTES * (number + 1))
            quarters.append(_join(_dates(self.day, start=begins, end=ends), self.lines, self.metrics(rng)))
        return pa.concat_arrays(quarters)


_POOL = 512  # rows of measured values to choose from, for each shape of pod


class _RosContainer(_Quarters):
    def begin(self, day: date) -> None:
        super().begin(day)
        if self.profile.churn:
            self.lines = _texts([self._names(pod) for pod in self.pods_of(day)])

    def prepare(self) -> None:
        pods = self.inventory.pods
        self.lines = _texts([self._names(pod) for pod in pods])
        shapes: dict[tuple[float, float, int, int], int] = {}
        for pod in pods:
            shapes.setdefault(
                (pod.cpu_request, pod.cpu_limit, pod.memory_request_bytes, pod.memory_limit_bytes), len(shapes)
            )
        self.shape_of_pod = np.array(
            [shapes[pod.cpu_request, pod.cpu_limit, pod.memory_request_bytes, pod.memory_limit_bytes] for pod in pods]
        )
        rng = np.random.default_rng([*self._cluster_seed, 11])
        self.pool = pa.concat_arrays([self._measured(*shape, rng=rng) for shape in shapes])

    @staticmethod
    def _names(pod: Pod) -> str:
        owner, kind = {
            "deployment": (pod.name.rpartition("-")[0], "ReplicaSet"),
            "statefulset": (pod.workload, "StatefulSet"),
            "daemonset": (pod.workload, "DaemonSet"),
        }.get(pod.workload_type, ("<none>", "<none>"))
        image = f"registry.example.com/{pod.namespace.name}/{pod.workload}:1.4"
        return (
            f"{pod.workload},{pod.name},{owner},{kind},{pod.workload},{pod.workload_type},{pod.namespace.name},"
            f"{image},{pod.node.name},{pod.node.resource_id},"
        )

    @staticmethod
    def _measured(
        cpu: float, cpu_limit: float, memory: int, memory_limit: int, *, rng: np.random.Generator
    ) -> pa.StringArray:
        limits = [f"{value:.6f},{value:.6f}," if value else ",," for value in (cpu_limit, memory_limit)]
        used = cpu * rng.gamma(4.0, 0.25, _POOL)
        held = memory * (0.55 + 0.35 * rng.random(_POOL))
        throttled = used * 0.02 * rng.random(_POOL)
        pieces: list[pa.StringArray | str] = [f"{cpu:.6f},{cpu:.6f},{limits[0]}"]
        for share in (1.0, 0.8, 1.3, 1.0):
            pieces += [_decimals(used * share), ","]
        for share in (1.0, 1.5, 0.5, 1.0):
            pieces += [_decimals(throttled * share), ","]
        pieces.append(f"{memory:.6f},{memory:.6f},{limits[1]}")
        for values in (held, held * 0.9):
            for share in (1.0, 0.97, 1.04, 1.0):
                pieces += [_decimals(values * share), ","]
        pieces.append("," * 10 + "\n")
        return _join(*pieces)

    def metrics(self, rng: np.random.Generator) -> pa.StringArray:
        chosen = self.shape_of_pod * _POOL + rng.integers(0, _POOL, len(self.shape_of_pod))
        return self.pool.take(pa.array(chosen))


class _RosNamespace(_Quarters):
    def prepare(self) -> None:
        spaces = self.inventory.namespaces
        self.lines = _texts([f"{space.name}," for space in spaces])
        place = {space.name: number for number, space in enumerate(spaces)}
        self.sums = np.zeros((5, len(spaces)))
        for pod in self.inventory.pods:
            self.sums[:, place[pod.namespace.name]] += (
                pod.cpu_request,
                pod.cpu_limit,
                pod.memory_request_bytes,
                pod.memory_limit_bytes,
                1,
            )

    def metrics(self, rng: np.random.Generator) -> pa.StringArray:
        cpu, cpu_limit, memory, memory_limit, pods = self.sums
        used = cpu * (0.3 + 0.5 * rng.random(len(cpu)))
        held = memory * (0.55 + 0.35 * rng.random(len(cpu)))
        columns = [cpu, cpu_limit, used, used * 1.3, used * 0.8, used * 0.01, used * 0.02, used * 0.0]
        columns += [memory, memory_limit, held, held * 1.04, held * 0.97, held * 0.9, held * 0.93, held * 0.87]
        columns += [pods, pods, pods, pods]
        pieces: list[pa.StringArray | str] = []
        for column in columns:
            pieces += [_decimals(column), ","]
        return _join(*pieces[:-1], "\n")


_REPORTS: dict[str, type[_Report]] = {
    "pod_usage": _PodUsage,
    "storage_usage": _StorageUsage,
    "node_labels": _NodeLabels,
    "namespace_labels": _NamespaceLabels,
    "vm_usage": _VmUsage,
    "gpu_usage": _GpuUsage,
    "ros_container": _RosContainer,
    "ros_namespace": _RosNamespace,
}


def _reports(inventory: Inventory, profile: ClusterProfile, *, seed: int) -> dict[str, _Report]:
    """The reports that a cluster of this profile sends."""
    return {
        name: _REPORTS[name](inventory, profile, seed=seed, rows_per_hour=count // HOURS_PER_DAY)
        for name, count in profile.rows_per_day().items()
    }
