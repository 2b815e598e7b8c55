"""Summary runs in a process of their own; prints their figures as JSON.

Arguments: database, store, schema, source, first and last day, number of runs.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import psutil

from kura.aggregator.config import AggregatorSettings
from kura.aggregator.engine import Engines
from kura.aggregator.memory import give_freed_memory_back
from kura.aggregator.pipelines.openshift import Resources, SummaryRun, summarise_openshift
from kura.core.days import DayRange
from kura.store.database import Database
from kura.store.objects import ObjectStore


def main(url: str, store: str, schema: str, provider_uuid: str, start: str, end: str, runs: int) -> None:
    give_freed_memory_back()
    figures = []
    limits = AggregatorSettings.from_env(
        {"KURA_ENGINE_MEMORY_MIB": "512", "KURA_AGGREGATOR_RUNS": "1", "KURA_SPILL_DIRECTORY": tempfile.gettempdir()}
    ).engine_limits()
    with Database(url) as database, Engines(limits) as engines:
        resources = Resources(database=database, objects=ObjectStore.open(store), engines=engines)
        run = SummaryRun(
            schema=schema,
            provider_uuid=UUID(provider_uuid),
            days=DayRange(date.fromisoformat(start), date.fromisoformat(end)),
        )
        for _ in range(runs):
            server_before, own_before = server_seconds(database), time.process_time()
            began = last = time.perf_counter()
            steps: dict[str, float] = {}

            def ended(step: str, *_: int) -> None:
                nonlocal last
                now = time.perf_counter()
                steps[step] = now - last  # noqa: B023  read before the next round
                last = now

            outcome = summarise_openshift(run, resources, ended, lambda _: None)
            figures.append(
                {
                    "seconds": time.perf_counter() - began,
                    "visible_seconds": sum(seconds for step, seconds in steps.items() if step != "fold_month"),
                    "own_cpu_seconds": time.process_time() - own_before,
                    "server_cpu_seconds": server_seconds(database) - server_before,
                    "rows_written": outcome.rows_written,
                    "steps": steps,
                }
            )
    print(
        json.dumps(
            {
                "runs": figures,
                "peak_mib": peak_mib(),
                "cpus": len(psutil.Process().cpu_affinity()),
                "load": psutil.getloadavg()[0],
            }
        )
    )


def peak_mib() -> float:
    """The most memory this process had. The kernel's other figure, ru_maxrss, begins with that of the parent."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def server_seconds(database: Database) -> float:
    """CPU time of the PostgreSQL processes that work for this database, on this machine."""
    name = urlsplit(database.url).path.lstrip("/")
    total = 0.0
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if command.startswith("postgres:") and f" {name} " in command:
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system
    return total


if __name__ == "__main__":
    main(*sys.argv[1:7], runs=int(sys.argv[7]))
