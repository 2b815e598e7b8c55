"""G4, G7, G8: payload → Parquet. Prints figures; judges nothing by the clock.

    KURA_PERF_NODES=200 .venv/bin/pytest tests/perf/test_ingest.py -s

Rows and bytes are counted in the files. The converter runs in a process of its own, so that its peak memory is its own.
The baseline is what one would write with pandas in an afternoon, on the first rows of the same file.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median

import pandas as pd
import pytest

from kura.testing.operator_payload import make_payloads
from kura.testing.profiles import ClusterProfile

NODES = int(os.environ.get("KURA_PERF_NODES", "200"))
RUNS = int(os.environ.get("KURA_PERF_RUNS", "3"))
BASELINE_ROWS = 50_000
DAY = datetime.now(UTC).date() - timedelta(days=2)

CONVERT = """
import json, os, re, sys, tempfile, time
from datetime import date, timedelta
from pathlib import Path
from kura.workers.config import usable_cpus
from kura.workers.ocp.cells import DayWindow
from kura.workers.ocp.convert import Converter
from kura.workers.ocp.manifest import read_manifest
from kura.workers.ocp.payload import open_payload

archive, work = Path(sys.argv[1]), Path(sys.argv[2])
window = DayWindow(first=date.today() - timedelta(days=100), last=date.today() + timedelta(days=1))
threads = int(os.environ.get("KURA_CONVERT_THREADS") or usable_cpus())

def peak_mib():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

loaded = peak_mib()
with Converter(work, threads=threads) as converter:
    began, cpu = time.perf_counter(), time.process_time()
    with archive.open("rb") as staged:
        payload = open_payload(staged, work)
    inflated = time.perf_counter()
    rows = 0
    for name in read_manifest(payload.manifest).files:
        with tempfile.TemporaryDirectory(dir=work) as output, payload.open(name) as csv:
            done = converter.convert(csv, Path(output), window)
            rows += done.rows
    ended = time.perf_counter()
print(json.dumps({
    "raw": sum(member.size for member in payload.members.values()),
    "rows": rows, "inflate": inflated - began, "seconds": ended - began, "cpu": time.process_time() - cpu,
    "loaded_mib": loaded, "peak_mib": peak_mib(),
}))
"""


def archive_of(profile: ClusterProfile, day: date, path: Path) -> Path:
    """One day of one cluster in one archive."""
    [payload] = make_payloads(profile, end=day, days=1, seed=7, max_size_mb=100_000)
    path.write_bytes(payload.content)
    return path


def cluster(nodes: int) -> ClusterProfile:
    return ClusterProfile(name="perf", clusters=1, nodes=nodes, namespaces=80, pods_per_node=50, pvcs=400)


def converted(archive: Path, tmp_path: Path, number: int) -> dict[str, float]:
    work = tmp_path / f"work-{number}"
    work.mkdir()
    command = [sys.executable, "-c", CONVERT, str(archive), str(work)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def baseline(archive: Path, tmp_path: Path) -> float:
    """MB/s of raw CSV with pandas, row-wise label parsing included."""
    with tarfile.open(archive) as tar:
        name = next(member.name for member in tar if "pod-usage" in member.name)
        stream = tar.extractfile(name)
        assert stream is not None
        lines = [stream.readline() for _ in range(BASELINE_ROWS + 1)]
    text = b"".join(lines)
    began = time.perf_counter()
    rows = pd.read_csv(io.BytesIO(text), dtype=str, keep_default_na=False)
    for column in rows.columns:
        if column.startswith(("interval", "report_period")):
            rows[column] = pd.to_datetime(rows[column].str.replace(" +0000 UTC", ""))
        elif column.endswith(("seconds", "cores", "bytes")):
            rows[column] = pd.to_numeric(rows[column], errors="coerce").fillna(0.0)
    rows["pod_labels"] = rows["pod_labels"].map(
        lambda cell: json.dumps(dict(item.split(":") for item in cell.split("|") if item.count(":") == 1))
    )
    rows.to_parquet(tmp_path / "hourly.parquet")
    keys = [rows["interval_start"].dt.date, "namespace", "node", "pod", "pod_labels"]
    rows.groupby(keys).sum(numeric_only=True).to_parquet(tmp_path / "daily.parquet")
    return len(text) / 1e6 / (time.perf_counter() - began)


@pytest.mark.parametrize("factor", [1, 4])
def test_conversion_of_one_payload(tmp_path: Path, factor: int):
    archive = archive_of(cluster(NODES * factor), DAY, tmp_path / "payload.tar.gz")
    runs = [converted(archive, tmp_path, number) for number in range(RUNS)]

    speeds = sorted(run["raw"] / 1e6 / run["seconds"] for run in runs)
    one = runs[0]
    pandas_speed = baseline(archive, tmp_path)
    print(
        f"\nconvert {one['raw'] / 1e6:.0f} MB raw, {archive.stat().st_size / 1e6:.1f} MB packed, "
        f"{one['rows']:.0f} rows: "
        f"{median(speeds):.0f} MB/s (from {speeds[0]:.0f} to {speeds[-1]:.0f}), "
        f"{one['rows'] * median(speeds) * 1e6 / one['raw']:,.0f} rows/s, "
        f"inflating {median(run['inflate'] for run in runs):.2f} s of {median(run['seconds'] for run in runs):.2f} s, "
        f"CPU {median(run['cpu'] for run in runs):.2f} s, peak {max(run['peak_mib'] for run in runs):.0f} MiB "
        f"of which {one['loaded_mib']:.0f} MiB are the program; "
        f"pandas {pandas_speed:.0f} MB/s, ratio {median(speeds) / pandas_speed:.1f}"
    )
    assert {run["rows"] for run in runs} == {one["rows"]}
    assert one["rows"] > 0
