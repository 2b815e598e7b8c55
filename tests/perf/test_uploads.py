"""Figures of a whole single process (G6, G7, G8, G9, G17, G18, G19). Prints, and judges nothing by the clock.

    .venv/bin/pytest tests/perf/test_uploads.py -s

Times are the stamps of the product itself, from accepted to done, so that they hold no polling; an upload is done when
its costs are in. Beside every figure stands a floor of the same run on the same machine: the time one core needs to
inflate the payload and to read its CSV into memory, without any rule. Memory is that of the process and of its
database server, shared pages counted once. KURA_PERF_RUNS sets the repetitions of the tiny payload (5).
"""

from __future__ import annotations

import io
import json
import os
import statistics
import tarfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import psutil
import pyarrow as pa
import pyarrow.csv
import pytest

from kura.testing.archives import TarGzWriter, manifest_of
from kura.testing.operator_payload import Payload, make_payloads
from kura.testing.profiles import ClusterProfile
from kura.testing.running import API, RunningKura, running_kura

RUNS = int(os.environ.get("KURA_PERF_RUNS", "5"))
IDLE_SECONDS = 10.0
SAMPLE_SECONDS = 0.1
UPLOADS_AT_ONCE = 8
LAST_DAY = date.today() - timedelta(days=1)
RATES = (
    ("cpu_core_usage_per_hour", "Supplementary", 0.007),
    ("memory_gb_request_per_hour", "Supplementary", 0.009),
    ("storage_gb_request_per_month", "Supplementary", 0.05),
    ("node_cost_per_month", "Infrastructure", 100),
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def kura() -> Iterator[RunningKura]:
    """One running Kura; prints how long it took to be ready, the first time and on its own data."""
    began = time.perf_counter()
    with running_kura() as running:
        first = time.perf_counter() - began
        running.stop()
        began = time.perf_counter()
        running.start()
        print(f"\nready after {time.perf_counter() - began:.1f} s; the very first time after {first:.1f} s")
        yield running


def made(name: str, *, clusters: int = 1, nodes: int, pods_per_node: int, days: int = 1, seed: int) -> list[Payload]:
    """Whole days of clusters that no other test has."""
    profile = ClusterProfile(
        name=name,
        clusters=clusters,
        nodes=nodes,
        namespaces=max(nodes * pods_per_node // 40, 2),
        pods_per_node=pods_per_node,
        pvcs=max(nodes * 3, 1),
    )
    return list(make_payloads(profile, end=LAST_DAY, days=days, seed=seed, max_size_mb=1_000))


def register(kura: RunningKura, payloads: Sequence[Payload], *, priced: bool = False) -> None:
    """Sources for all clusters of the payloads, with a cost model if asked for."""
    names = {payload.cluster_id: payload.cluster_name for payload in payloads}
    sources = [kura.add_cluster(cluster_id, name=name).uuid for cluster_id, name in names.items()]
    if priced:
        body = {
            "name": f"prices of {payloads[0].cluster_name}",
            "description": "figures",
            "source_type": "OCP",
            "source_uuids": sources,
            "currency": "USD",
            "rates": [
                {"metric": {"name": metric}, "cost_type": kind, "tiered_rates": [{"value": value, "unit": "USD"}]}
                for metric, kind, value in RATES
            ],
        }
        answer = httpx.post(f"{kura.http}{API}/cost-models/", json=body, trust_env=False)
        assert answer.status_code == 201, answer.text


def send(kura: RunningKura, payloads: Sequence[Payload], *, seconds: float = 300.0) -> list[dict[str, Any]]:
    """Upload all of them, several at once; their uploads once they are done."""
    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as threads:
        request_ids = list(threads.map(lambda payload: kura.upload(payload.content), payloads))
    uploads = kura.wait(request_ids, seconds=seconds)
    assert {upload["state"] for upload in uploads} == {"done"}
    assert sum(upload["rows"] for upload in uploads) > 0
    return uploads


def span(uploads: Sequence[dict[str, Any]]) -> float:
    """Seconds from the first that was accepted to the last that was done."""
    accepted = min(datetime.fromisoformat(upload["accepted_at"]) for upload in uploads)
    return (max(datetime.fromisoformat(upload["finished_at"]) for upload in uploads) - accepted).total_seconds()


def floor(payloads: Sequence[Payload]) -> tuple[float, int]:
    """Seconds to inflate the payloads and to read their CSV on one core, and the rows of pods in them."""
    began, rows = time.perf_counter(), 0
    options = pyarrow.csv.ReadOptions(use_threads=False)
    for payload in payloads:
        with tarfile.open(fileobj=io.BytesIO(payload.content)) as tar:
            for member in tar:
                stream = tar.extractfile(member)
                if stream is None or not member.name.endswith(".csv"):
                    continue
                text = pa.py_buffer(stream.read())
                table = pyarrow.csv.read_csv(text, read_options=options)
                rows += table.num_rows if "pod" in table.column_names and "pod_labels" in table.column_names else 0
    return time.perf_counter() - began, rows


def processes(kura: RunningKura) -> list[psutil.Process]:
    """The process, its children, and its database server."""
    mine = psutil.Process(kura.pid)
    found = [mine, *mine.children(recursive=True)]
    for file in kura.data_dir.glob("postgres/**/postmaster.pid"):
        server = psutil.Process(int(file.read_text().splitlines()[0]))
        found += [server, *server.children(recursive=True)]
    return list({process.pid: process for process in found}.values())


def memory_mib(kura: RunningKura) -> tuple[float, float]:
    """Of the process and of all together; shared pages count once."""
    sizes = {}
    for process in processes(kura):
        with suppress(psutil.Error):
            sizes[process.pid] = process.memory_full_info().pss / 2**20
    return sizes[kura.pid], sum(sizes.values())


def cpu_seconds(kura: RunningKura) -> float:
    total = 0.0
    for process in processes(kura):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


@contextmanager
def watched(kura: RunningKura) -> Iterator[list[tuple[float, float]]]:
    """Memory all through the block: of the process, of all together."""
    samples, over = [memory_mib(kura)], threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLE_SECONDS):
            samples.append(memory_mib(kura))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def stages_of(uploads: Sequence[dict[str, Any]]) -> str:
    """The median of every stage."""
    names = [name for name in uploads[0]["seconds"] if name != "total"]
    medians = {name: statistics.median(upload["seconds"][name] or 0.0 for upload in uploads) for name in names}
    return ", ".join(f"{name} {seconds:.2f}" for name, seconds in medians.items())


def report(title: str, seconds: float, payloads: Sequence[Payload], uploads: Sequence[dict[str, Any]]) -> None:
    least, pods = floor(payloads)
    megabytes = sum(len(payload.content) for payload in payloads) / 1e6
    print(
        f"\n{title}: {seconds:.2f} s for {pods:,} pod rows, {megabytes:.1f} MB packed;"
        f" floor {least:.2f} s, ratio {seconds / least:.1f}\n  stages (median of {len(uploads)})  {stages_of(uploads)}"
    )


def test_idle(kura: RunningKura):
    """G17, before anything was uploaded."""
    time.sleep(IDLE_SECONDS / 2)
    began = cpu_seconds(kura)
    time.sleep(IDLE_SECONDS)
    used = (cpu_seconds(kura) - began) / IDLE_SECONDS
    own, together = memory_mib(kura)
    print(f"\nidle: {used:.3f} cores, {own:.0f} MiB, with the database server {together:.0f} MiB")
    assert own > 0


def test_tiny_payloads(kura: RunningKura):
    """G8: what an upload costs however small it is. The first one also makes the partitions of its month."""
    payloads = made("tiny", nodes=1, pods_per_node=5, days=RUNS + 1, seed=1)
    register(kura, payloads)
    uploads = [send(kura, [payload])[0] for payload in payloads]
    totals = [upload["seconds"]["total"] for upload in uploads[1:]]
    report(
        f"tiny payload (from {min(totals):.2f} to {max(totals):.2f})",
        statistics.median(totals),
        payloads[1:2],
        uploads[1:],
    )
    print(f"  the first one  {uploads[0]['seconds']['total']:.2f} s")


def test_one_day_of_fifteen_nodes(kura: RunningKura):
    """G6: 750 pods."""
    payloads = made("fifteen", nodes=15, pods_per_node=50, seed=2)
    register(kura, payloads)
    uploads = send(kura, payloads)
    report("one day of 15 nodes", span(uploads), payloads, uploads)


def one_package(payloads: Sequence[Payload]) -> Payload:
    """The days of one cluster in one archive, as after a month without a connection: a file per report and month."""
    texts: dict[str, list[bytes]] = {}
    for payload in payloads:
        with tarfile.open(fileobj=io.BytesIO(payload.content)) as tar:
            for member in tar:
                stream = tar.extractfile(member)
                if stream is None or not member.name.endswith(".csv"):
                    continue
                name = member.name.replace(payload.manifest_id, payloads[0].manifest_id)
                header, _, rows = stream.read().partition(b"\n")
                texts.setdefault(name, [header + b"\n"]).append(rows)
    manifest = manifest_of(
        cluster_id=payloads[0].cluster_id,
        uuid=payloads[0].manifest_id,
        files=list(texts),
        start=payloads[0].start,
        end=payloads[-1].end,
    )
    archive = TarGzWriter(modified=payloads[-1].end)
    archive.member("manifest.json", [json.dumps(manifest).encode()])
    for name, parts in texts.items():
        archive.member(name, parts)
    return replace(payloads[0], content=archive.finish(), end=payloads[-1].end)


def test_thirty_days_in_one_package(kura: RunningKura):
    """G7: 216,000 pod rows."""
    payloads = [one_package(made("thirty", nodes=6, pods_per_node=50, days=30, seed=3))]
    register(kura, payloads)
    uploads = send(kura, payloads)
    report("30 days in one package", span(uploads), payloads, uploads)


def test_thirty_days_in_thirty_payloads(kura: RunningKura):
    """The same rows, all sent at once."""
    payloads = made("thirty-times", nodes=6, pods_per_node=50, days=30, seed=6)
    register(kura, payloads)
    uploads = send(kura, payloads)
    report("30 days in 30 payloads", span(uploads), payloads, uploads)


def test_a_hundred_sources_at_once(kura: RunningKura):
    """G9."""
    payloads = made("hundred", clusters=100, nodes=1, pods_per_node=5, seed=4)
    register(kura, payloads)
    uploads = send(kura, payloads)
    assert len({upload["source_uuid"] for upload in uploads}) == len(payloads) == 100
    report("100 sources at once", span(uploads), payloads, uploads)


def test_half_a_million_pod_rows_with_prices(kura: RunningKura):
    """G19."""
    payloads = made("half-million", nodes=417, pods_per_node=50, seed=5)
    register(kura, payloads, priced=True)
    with watched(kura) as samples:
        uploads = send(kura, payloads)
    report("500,000 pod rows, priced", span(uploads), payloads, uploads)
    own, together = (max(sizes) for sizes in zip(*samples, strict=True))
    print(f"  peak memory  {own:.0f} MiB, with the database server {together:.0f} MiB")
