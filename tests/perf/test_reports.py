"""Figures of reports (performance G10, G11, G12, G20): milliseconds by report, cold and kept, and answers per second.

Prints, and judges nothing by the clock. Beside each figure stands a floor of the same run and the ratio to it: for a
report one pass over a column of the rows that it is about, for kept answers an empty transaction, for answers per
second an address that asks no database. KURA_PERF_CLUSTERS sets the number of clusters of 15 nodes and 40 namespaces
each (4; 23 gives 1.7 million daily rows), KURA_PERF_RUNS how often each report is asked for (20), KURA_PERF_SECONDS
how long users ask (5).
"""

from __future__ import annotations

import asyncio
import gc
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit

import pytest
from sqlalchemy import text

from kura.api_reads.app import build_gateway, endpoints
from kura.api_reads.config import ReportSettings
from kura.api_reads.gateway import Gateway
from kura.api_reads.main import COLLECTOR_THRESHOLDS
from kura.core.days import Month, today
from kura.core.identity import IDENTITY_HEADER, Identity, encode_header, full_access
from kura.store.database import Database
from kura.store.partitions import ensure_partitions
from kura.testing.postgres import ORG_ID, SCHEMA, DatabaseUrls
from kura.testing.summary_rows import fill_ui_tables

CLUSTERS = int(os.environ.get("KURA_PERF_CLUSTERS", "4"))
RUNS = int(os.environ.get("KURA_PERF_RUNS", "20"))
SECONDS = float(os.environ.get("KURA_PERF_SECONDS", "5"))
USERS = 20
LAST_DAY = today()
ADMIN = Identity(org_id=ORG_ID, username="ada", email="ada@example.org", is_org_admin=True, access=full_access())

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SOURCE = "('00000000-0000-4000-8000-' || lpad(cluster::text, 12, '0'))::uuid"
PLACE = f"""
    gen_random_uuid(), day::date, day::date, 'cluster-id-' || cluster, 'cluster ' || cluster, {SOURCE}
"""
DAYS = f"generate_series('{LAST_DAY}'::date - 89, '{LAST_DAY}'::date, '1 day') as day"
NODE = "'ip-10-0-' || cluster || '-' || node || '.internal'"

FILL = (
    f"""
    insert into public.api_provider (uuid, name, type, customer_id)
    select {SOURCE}, 'cluster ' || cluster, 'OCP', (select min(id) from public.api_customer)
    from generate_series(1, :clusters) as cluster
    """,
    "insert into reporting_tenant_api_provider (uuid, name, type) select uuid, name, type from public.api_provider",
    "insert into reporting_enabledtagkeys (key, provider_type) values ('app', 'OCP'), ('env', 'OCP')",
    f"""
    insert into reporting_ocpusagelineitem_daily_summary (
        uuid, usage_start, usage_end, cluster_id, cluster_alias, source_uuid, data_source, namespace, node,
        pod_labels, volume_labels, all_labels,
        pod_usage_cpu_core_hours, pod_request_cpu_core_hours, pod_limit_cpu_core_hours,
        pod_usage_memory_gigabyte_hours, pod_request_memory_gigabyte_hours, pod_limit_memory_gigabyte_hours,
        node_capacity_cpu_cores, node_capacity_cpu_core_hours, cluster_capacity_cpu_core_hours,
        infrastructure_raw_cost, infrastructure_markup_cost, cost_category_id, raw_currency
    )
    select
        {PLACE}, 'Pod',
        case when project <= 8 then 'openshift-' || project else 'project-' || cluster || '-' || project end, {NODE},
        labels, '{{}}', labels,
        random() * 10, random() * 10, random() * 20, random() * 10, random() * 10, random() * 20,
        16, 384, 5760, random() * 5, random(), case when project <= 8 then 1 end, 'USD'
    from {DAYS}, generate_series(1, :clusters) as cluster, generate_series(1, 15) as node,
        generate_series(1, 40) as project,
        jsonb_build_object('app', 'app-' || project % 12, 'env', (array['prod', 'dev'])[1 + project % 2]) as labels
    """,
    f"""
    insert into reporting_ocpusagelineitem_daily_summary (
        uuid, usage_start, usage_end, cluster_id, cluster_alias, source_uuid, data_source, namespace, node,
        pod_labels, volume_labels, all_labels, cost_model_rate_type, cost_model_cpu_cost, cost_model_memory_cost
    )
    select
        {PLACE}, 'Pod', 'project-' || cluster || '-' || 9 + rate % 32, {NODE}, '{{}}', '{{}}', '{{}}',
        (array['Infrastructure', 'Supplementary'])[1 + rate % 2], random(), random()
    from {DAYS}, generate_series(1, :clusters) as cluster, generate_series(1, 200) as rate,
        lateral (select 1 + rate % 15 as node) as chosen
    """,
)

LAST_MONTH = "filter[time_scope_value]=-1"
THREE_GROUPS = "group_by[cluster]=*&group_by[node]=*&group_by[project]=*"
REPORTS = {
    "costs, 10 days": "costs/",
    "costs, 90 days": "costs/?filter[time_scope_value]=-90",
    "costs by project, month": f"costs/?{LAST_MONTH}&group_by[project]=*&filter[limit]=10&order_by[cost]=desc",
    "costs by tag, month": f"costs/?{LAST_MONTH}&group_by[tag:app]=*",
    "costs by tag, 10 days": "costs/?group_by[tag:app]=*&filter[limit]=10",
    "compute by node, month": f"compute/?{LAST_MONTH}&group_by[node]=*&filter[limit]=10",
    "compute by project, month": f"compute/?{LAST_MONTH}&group_by[project]=*&filter[limit]=10",
    "costs by three groups, month": f"costs/?{LAST_MONTH}&{THREE_GROUPS}&filter[limit]=10",
    "costs by three groups, 90 days": f"costs/?filter[time_scope_value]=-90&{THREE_GROUPS}&filter[limit]=10",
    "costs by three groups, month, all": f"costs/?{LAST_MONTH}&{THREE_GROUPS}",
}
MIX = (
    "costs/",
    "costs/?filter[time_scope_value]=-90",
    f"costs/?{LAST_MONTH}&group_by[project]=*&filter[limit]=10&order_by[cost]=desc",
    f"costs/?{LAST_MONTH}&group_by[cluster]=*&filter[limit]=10&filter[offset]=0",
    f"compute/?{LAST_MONTH}&group_by[node]=*&filter[limit]=10",
    f"memory/?{LAST_MONTH}&group_by[project]=*&filter[limit]=10",
    f"volumes/?{LAST_MONTH}",
    f"costs/?{LAST_MONTH}&delta=cost",
)
"""What the pages of the UI ask for."""


@dataclass(frozen=True)
class Filled:
    """A tenant with 90 days of daily rows and the tables made from them."""

    urls: DatabaseUrls
    reader: Database


@pytest.fixture(scope="module")
def filled(module_database_urls: DatabaseUrls) -> Iterator[Filled]:
    started = time.perf_counter()
    with Database(module_database_urls.writer) as writer:
        with writer.tenant(SCHEMA) as connection:
            this = Month.of(LAST_DAY)
            ensure_partitions(connection, SCHEMA, months=[this.plus(-back) for back in range(4)])
        with writer.tenant(SCHEMA) as connection:
            for statement in FILL:
                connection.execute(text(statement), {"clusters": CLUSTERS} if ":clusters" in statement else {})
            fill_ui_tables(connection)
            rows = connection.scalar(text("select count(*) from reporting_ocpusagelineitem_daily_summary"))
    with Database(module_database_urls.owner) as owner, closing(owner.dedicated()) as connection:
        connection.cursor().execute("vacuum analyze")
    print(f"\n{CLUSTERS} clusters, {rows:,} daily rows, filled in {time.perf_counter() - started:.0f} s")
    with Database(module_database_urls.reader, read_only=True) as opened:
        yield Filled(module_database_urls, opened)


def milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def percentile(times: Sequence[float], share: float) -> float:
    """The smallest of the times that at least this share of them does not exceed."""
    return sorted(times)[max(0, math.ceil(len(times) * share) - 1)]


def asking(gateway: Gateway, query: str) -> Callable[[], int]:
    """Asks for one report; says how many bytes the answer has."""
    declared = {endpoint.path: endpoint for endpoint in endpoints()}
    path, _, raw = f"reports/openshift/{query}".partition("?")

    def ask() -> int:
        question = gateway.question(ADMIN, path=f"/{path}", raw_query=raw, path_params={})
        return len(gateway.answer(declared[path], question).body)

    return ask


def one_pass(reader: Database, query: str) -> Callable[[], object]:
    """Reads one column of the daily rows that a report is about."""
    first = "date_trunc('month', cast(:day as date))::date"
    if not (found := re.search(r"time_scope_value]=(-\d+)", query)) or found[1] != "-1":
        first = f"cast(:day as date) - {int(found[1][1:]) - 1 if found else 9}"
    table = "reporting_ocpusagelineitem_daily_summary"
    statement = text(f"select sum(infrastructure_raw_cost) from {table} where usage_start >= {first}")

    def read() -> None:
        with reader.tenant(SCHEMA) as connection:
            connection.execute(statement, {"day": LAST_DAY})

    return read


def test_reports(filled: Filled) -> None:
    """G10, G11, G20; memory is collected as in the service."""
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    reader = filled.reader
    nothing_kept = build_gateway(reader=reader, reports=ReportSettings(report_cache_bytes=0, report_seconds=600))
    keeping = build_gateway(reader=reader)
    empty = percentile([milliseconds(reader.ping) for _ in range(RUNS)], 0.5)
    columns = ("first", "p50", "p95", "floor", "ratio", "kept p95", "ratio")
    print(f"{'report, ms':36}" + "".join(f"{name:>9}" for name in columns) + f"{'bytes':>12}")
    for name, query in REPORTS.items():
        ask, kept, once = asking(nothing_kept, query), asking(keeping, query), one_pass(reader, query)
        first = milliseconds(ask)
        cold = [milliseconds(ask) for _ in range(RUNS)]
        floor = percentile([milliseconds(once) for _ in range(3)], 0.5)
        size = kept()
        warm = percentile([milliseconds(kept) for _ in range(RUNS)], 0.95)
        p50, p95 = percentile(cold, 0.5), percentile(cold, 0.95)
        print(
            f"{name:36}{first:9.0f}{p50:9.1f}{p95:9.1f}{floor:9.1f}{p50 / floor:9.2f}{warm:9.1f}{warm / empty:9.1f}"
            f"{size:12,}"
        )


# ------------------------------------------------------------------------------------------------ answers per second


@contextmanager
def gateway_process(urls: DatabaseUrls) -> Iterator[tuple[str, int]]:
    """A read gateway of its own; host and port."""
    environment = os.environ | {
        "DATABASE_URL": urls.reader,
        "KURA_IDENTITY": "header",
        "KURA_LOG_FORMAT": "json",
    }
    command = [sys.executable, "-c", "from kura.api_reads.main import cli; cli()"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if b"service_started" in line:
                    break
            address = urlsplit(json.loads(line)["http"])
            drain = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
            yield str(address.hostname), int(address.port or 0)
        finally:
            process.terminate()
            process.wait(30)
            drain.wait(30)


async def user(number: int, host: str, port: int, paths: Sequence[str], until: float) -> list[float]:
    """Asks for one path after the other over one connection; milliseconds of each answer."""
    identity = encode_header(replace(ADMIN, username=f"user {number}"))
    reader, writer = await asyncio.open_connection(host, port)
    times = []
    place = number
    while time.perf_counter() < until:
        head = f"GET {paths[place % len(paths)]} HTTP/1.1\r\nhost: kura\r\n{IDENTITY_HEADER}: {identity}\r\n\r\n"
        place += 1
        started = time.perf_counter()
        writer.write(head.encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", answer)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert length is not None
        await reader.readexactly(int(length[1]))
        times.append((time.perf_counter() - started) * 1000)
    writer.close()
    return times


async def users(host: str, port: int, paths: Sequence[str], seconds: float) -> list[float]:
    until = time.perf_counter() + seconds
    asked = await asyncio.gather(*(user(number, host, port, paths, until) for number in range(USERS)))
    return [one for times in asked for one in times]


def test_a_warm_mix_of_users(filled: Filled) -> None:
    """G12. One gateway process; the users share one other process with nothing but their sockets."""
    prefix = "/api/cost-management/v1"
    paths = [f"{prefix}/reports/openshift/{quote(query, safe='?=&/')}" for query in MIX]
    with gateway_process(filled.urls) as (host, port):
        asyncio.run(users(host, port, paths, 2.0))  # until answers are kept
        floor = asyncio.run(users(host, port, [f"{prefix}/status/"], SECONDS / 2))
        times = asyncio.run(users(host, port, paths, SECONDS))
    rate, most = len(times) / SECONDS, len(floor) / (SECONDS / 2)
    p50, p95 = percentile(times, 0.5), percentile(times, 0.95)
    print(
        f"\n{USERS} users: {rate:.0f} answers/s, p50 {p50:.1f} ms, p95 {p95:.1f} ms;"
        f" without a database {most:.0f}/s, ratio {rate / most:.2f}"
    )
