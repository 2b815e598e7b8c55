"""`kura demo`: everything once, with made-up clusters, from nothing to reports."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kura.single_pod.background import start_up
from kura.single_pod.client import Kura, Query
from kura.single_pod.cost_table import cost_table, project_costs, reconciled
from kura.single_pod.generating import as_new_manifest, recent_payloads
from kura.single_pod.home import Endpoints, demo_data_dir, read_endpoints
from kura.single_pod.problems import CommandError
from kura.single_pod.reports import FlatReport, ReportRequest, flatten, ordered, without_costs
from kura.single_pod.stages import Stages
from kura.single_pod.stopping import stop_process
from kura.single_pod.tables import err, out, report_table, took
from kura.single_pod.tag_keys import set_keys, wait_for_keys
from kura.single_pod.uploads import add_missing_sources, rows_of, wait_until_visible

SEED = 8
PRICES_NAME = "Demo prices"
PRICES = (
    # metric, cost type, USD
    ("cpu_core_usage_per_hour", "Supplementary", 0.03),
    ("memory_gb_usage_per_hour", "Supplementary", 0.004),
    ("storage_gb_usage_per_month", "Supplementary", 0.05),
    ("node_cost_per_month", "Infrastructure", 150.0),
)
LABELS = ("app", "environment", "team", "tier")
UPLOADS_AT_ONCE = 4
ROWS_SHOWN = 10
VISIBLE_SECONDS = 900.0


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One report of the demo."""

    name: str
    title: str
    command: str
    request: ReportRequest


REPORTS = (
    Shown(
        name="project",
        title="CPU by project",
        command="report openshift compute --group-by project --order-by usage",
        request=ReportRequest(path="/reports/openshift/compute/", group_by=["project"], order_by=["usage"]),
    ),
    Shown(
        name="node",
        title="CPU by node",
        command="report openshift compute --group-by node --order-by usage",
        request=ReportRequest(path="/reports/openshift/compute/", group_by=["node"], order_by=["usage"]),
    ),
    Shown(
        name="cost",
        title="Cost by project",
        command="report openshift costs --group-by project --order-by distributed_cost",
        request=ReportRequest(path="/reports/openshift/costs/", group_by=["project"], order_by=["distributed_cost"]),
    ),
    Shown(
        name="label",
        title="Memory by label `app`",
        command="report openshift memory --group-by tag:app --order-by usage",
        request=ReportRequest(path="/reports/openshift/memory/", group_by=["tag:app"], order_by=["usage"]),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Made:
    """Payloads of the demo on disk."""

    files: Sequence[Path]
    rows: int
    clusters: Mapping[str, str]


def run_demo(
    *,
    data_dir: Path,
    http: str,
    clusters: int,
    days: int,
    stop_at_end: bool,
    as_json: bool,
    environ: Mapping[str, str],
) -> None:
    """The whole way. Raises CommandError when any part of it did not do what it shows."""
    began = time.monotonic()
    data_dir = data_dir.expanduser().resolve()
    stages = Stages()
    endpoints = read_endpoints(data_dir)
    started_here = endpoints is None
    if endpoints is None:
        with stages.stage("start", "Starting Kura") as tell:
            arguments = ["--http", http, "--grpc", "127.0.0.1:0"]
            _, endpoints = start_up(data_dir, arguments=arguments, environ=environ, tell=tell)
    try:
        facts = _show(endpoints, data_dir, clusters=clusters, days=days, stages=stages, as_json=as_json)
    except BaseException:
        if started_here:
            stop_process(data_dir, endpoints.pid)
        raise
    if stop_at_end:
        stop_process(data_dir, endpoints.pid)
    facts |= {
        "seconds": stages.seconds,
        "seconds_total": round(time.monotonic() - began, 3),
        "running": not stop_at_end,
        "pid": None if stop_at_end else endpoints.pid,
        "data_dir": str(data_dir),
    }
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
    else:
        calling = Calling(program=environ.get("KURA_PROGRAM") or "kura", data_dir=data_dir, environ=environ)
        _tell_how_to_go_on(facts, endpoints, calling, running=not stop_at_end)


def _show(
    endpoints: Endpoints, data_dir: Path, *, clusters: int, days: int, stages: Stages, as_json: bool
) -> dict[str, Any]:
    with Kura(endpoints.http) as kura:
        with stages.stage("generate", f"Making {days} days of {clusters} clusters") as tell:
            made = _make(data_dir / "payloads", clusters=clusters, days=days, tell=tell)
        with stages.stage("sources", "Registering the clusters, setting prices"):
            add_missing_sources(kura, made.clusters)
            _set_prices(kura, made.clusters)

        sending = datetime.now(UTC)
        with stages.stage(
            "upload", f"Uploading {len(made.files)} payloads, {made.rows:,} rows; keeping labels"
        ) as tell:
            first, others = made.files[:1], made.files[1:]
            request_ids = _send(kura, first, tell=tell)
            # Keys are known once data has them; enabled, their values are kept in every summary.
            wait_for_keys(kura, LABELS, seconds=VISIBLE_SECONDS)
            set_keys(kura, LABELS, enabled=True)
            request_ids += _send(kura, others, tell=tell)
        with stages.stage("visible", "Waiting until the reports show them") as tell:
            results = wait_until_visible(
                kura, request_ids, timeout=VISIBLE_SECONDS, tell=lambda counts: tell(_words(counts)), poll=0.1
            )
        _check_uploads(results, expected_rows=made.rows)
        visible = max(datetime.fromisoformat(result["finished_at"]) for result in results)

        with stages.stage("report", "Asking for reports"):
            reports = {shown.name: _ask(kura, shown) for shown in REPORTS}
            costs = project_costs(kura, [])

    console = err() if as_json else out()
    for shown in REPORTS:
        console.print()
        flat = reports[shown.name].flat
        if shown.name == "cost":
            console.print(cost_table(costs, title=shown.title, most=ROWS_SHOWN))
            console.print(f" {reconciled(costs)}")
            console.print(f" Why? For example: kura explain --project {costs.projects[0][0]}")
            continue
        flat = without_costs(flat)
        console.print(report_table(replace(flat, rows=flat.rows[:ROWS_SHOWN]), title=shown.title))
        if len(flat.rows) > ROWS_SHOWN:
            console.print(f" … and {len(flat.rows) - ROWS_SHOWN} more: kura {shown.command}")
    return {
        "rows_ingested": sum(rows_of(result) for result in results),
        "seconds_upload_to_visible": round((visible - sending).total_seconds(), 3),
        "http": endpoints.http,
        "grpc": endpoints.grpc,
        "uploads": len(results),
        "clusters": [{"cluster_id": cluster_id, "name": name} for cluster_id, name in made.clusters.items()],
        "days": days,
        "reports": {name: answer.facts(kura.url) for name, answer in reports.items()},
        "costs": costs.facts(),
    }


def _make(target: Path, *, clusters: int, days: int, tell: Callable[[str], None]) -> Made:
    from kura.testing.profiles import PROFILES

    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    profile = replace(PROFILES["demo"], clusters=clusters)
    files: list[Path] = []
    names: dict[str, str] = {}
    rows = 0
    for payload in recent_payloads(profile, days=days, end=None, seed=SEED):
        path = target / f"{payload.cluster_name}-{payload.name}"
        path.write_bytes(as_new_manifest(payload.content))
        files.append(path)
        names[payload.cluster_id] = payload.cluster_name
        rows += sum(payload.rows.values())
        tell(f"{len(files)} of {clusters * days}")
    return Made(files=files, rows=rows, clusters=names)


def _set_prices(kura: Kura, clusters: Mapping[str, str]) -> None:
    """Give the demo's clusters a cost model, unless they have it."""
    sources = [source["uuid"] for source in kura.pages("/sources/") if source.get("source_ref") in clusters]
    known = kura.get("/cost-models/", [("name", PRICES_NAME)])["data"]
    if any(model["name"] == PRICES_NAME for model in known):
        return
    kura.post(
        "/cost-models/",
        {
            "name": PRICES_NAME,
            "description": "What the demo's clusters cost.",
            "source_type": "OCP",
            "source_uuids": sources,
            "currency": "USD",
            "distribution": "cpu",
            "rates": [
                {"metric": {"name": metric}, "cost_type": kind, "tiered_rates": [{"value": value, "unit": "USD"}]}
                for metric, kind, value in PRICES
            ],
        },
    )


def _send(kura: Kura, files: Sequence[Path], *, tell: Callable[[str], None]) -> list[str]:
    """Upload a few at a time; request ids in the order of `files`."""
    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        sent = [pool.submit(kura.upload, path) for path in files]
        for number, _ in enumerate(as_completed(sent), start=1):
            tell(f"{number} of {len(files)}")
        return [future.result() for future in sent]


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _check_uploads(results: Sequence[Mapping[str, Any]], *, expected_rows: int) -> None:
    undone = [result for result in results if result["state"] != "done"]
    if undone:
        reasons = "\n".join(
            f"  {result.get('request_id')}: {result['state']} {result.get('reason') or ''}" for result in undone[:10]
        )
        raise CommandError(f"{len(undone)} of {len(results)} uploads did not become visible:\n{reasons}")
    found = sum(rows_of(result) for result in results)
    if found != expected_rows:
        raise CommandError(f"{expected_rows:,} rows were uploaded but {found:,} were taken in.")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one report said."""

    shown: Shown
    query: Query
    flat: FlatReport

    def facts(self, url: str) -> dict[str, Any]:
        from urllib.parse import urlencode

        from kura.single_pod.client import API

        names = [measure.heading for measure in self.flat.measures]
        return {
            "url": f"{url}{API}{self.shown.request.path}?{urlencode(list(self.query))}",
            "command": f"kura {self.shown.command}",
            "units": {measure.heading: measure.units for measure in self.flat.measures},
            "total": dict(zip(names, self.flat.total, strict=True)),
            "rows": [
                dict(zip(self.flat.keys, place, strict=True)) | dict(zip(names, amounts, strict=True))
                for place, amounts in self.flat.rows
            ],
        }


def _ask(kura: Kura, shown: Shown) -> Answer:
    query = shown.request.query()
    flat = ordered(flatten(kura.get(shown.request.path, query), by_date=False), shown.request.order_by)
    if not flat.rows or not any(flat.total):
        raise CommandError(f"The report “{shown.title}” is empty although all uploads are done.")
    return Answer(shown=shown, query=query, flat=flat)


@dataclass(frozen=True, kw_only=True)
class Calling:
    """How a person calls the command line towards the demo."""

    program: str
    data_dir: Path
    environ: Mapping[str, str]

    def line(self, command: str, what: str = "") -> str:
        is_default = self.data_dir == demo_data_dir(self.environ).resolve()
        whole = f"{self.program} {command}" + ("" if is_default else f" --data-dir {self.data_dir}")
        return f"  {whole:<60}  {what}".rstrip()


def _tell_how_to_go_on(facts: Mapping[str, Any], endpoints: Endpoints, calling: Calling, *, running: bool) -> None:
    console = out()
    console.print()
    console.print("How long it took:")
    for name, seconds in facts["seconds"].items():
        console.print(f"  {name:<10} {took(seconds)}")
    console.print(
        f"{facts['rows_ingested']:,} rows were visible {took(facts['seconds_upload_to_visible'])} "
        "after their upload began."
    )
    console.print()
    if not running:
        console.print("Kura is stopped. Go on with what it holds:")
        console.print(f"  {calling.program} up --data-dir {calling.data_dir}")
        return
    console.print(f"Kura keeps running; open {endpoints.http} in a browser, or go on here:")
    for shown in REPORTS:
        console.print(calling.line(shown.command, shown.title))
    console.print(calling.line(f"explain --project {facts['costs']['projects'][0]['project']}", "why it costs that"))
    console.print(calling.line("cost-model list", "prices"))
    console.print(calling.line("tags", "label keys and their values"))
    console.print(calling.line("uploads", "what was taken in"))
    console.print(calling.line("down", "stop it"))
    console.print(f"  {calling.program} up starts one for your own clusters.")
