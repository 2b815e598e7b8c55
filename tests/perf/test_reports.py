"""Figures of reports (performance G10, G11, G20): milliseconds by report, cold and kept, over a filled database.

Prints, and judges nothing by the clock. KURA_PERF_CLUSTERS sets the number of clusters of 15 nodes and 40 namespaces
each (4; 23 gives 1.7 million daily rows), KURA_PERF_RUNS the number of runs (5).
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date

import pytest
from sqlalchemy import text

from kura.api_reads.app import build_gateway, endpoints
from kura.api_reads.config import ReportSettings
from kura.api_reads.gateway import Gateway
from kura.core.days import Month
from kura.core.identity import Identity, full_access
from kura.store.database import Database
from kura.store.partitions import ensure_partitions
from kura.testing.postgres import ORG_ID, SCHEMA, DatabaseUrls
from kura.testing.summary_rows import fill_ui_tables

CLUSTERS = int(os.environ.get("KURA_PERF_CLUSTERS", "4"))
RUNS = int(os.environ.get("KURA_PERF_RUNS", "5"))
TODAY = date(2024, 6, 18)
ADMIN = Identity(org_id=ORG_ID, username="ada", email="ada@example.org", is_org_admin=True, access=full_access())

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SOURCE = "('00000000-0000-4000-8000-' || lpad(cluster::text, 12, '0'))::uuid"
PLACE = f"""
    gen_random_uuid(), day::date, day::date, 'cluster-id-' || cluster, 'cluster ' || cluster, {SOURCE}
"""
DAYS = "generate_series('2024-03-21'::date, '2024-06-18'::date, '1 day') as day"
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


@pytest.fixture(scope="module")
def reader(module_database_urls: DatabaseUrls) -> Iterator[Database]:
    """A tenant with 90 days of daily rows and the tables made from them."""
    with Database(module_database_urls.writer) as writer:
        with writer.tenant(SCHEMA) as connection:
            ensure_partitions(connection, SCHEMA, months=[Month(2024, month) for month in (3, 4, 5, 6)])
        with writer.tenant(SCHEMA) as connection:
            for statement in FILL:
                connection.execute(text(statement), {"clusters": CLUSTERS} if ":clusters" in statement else {})
            fill_ui_tables(connection)
            rows = connection.scalar(text("select count(*) from reporting_ocpusagelineitem_daily_summary"))
    with Database(module_database_urls.owner) as owner, closing(owner.dedicated()) as connection:
        connection.cursor().execute("vacuum analyze")
    print(f"\n{CLUSTERS} clusters, {rows:,} daily rows")
    with Database(module_database_urls.reader, read_only=True) as opened:
        yield opened


def milliseconds(gateway: Gateway, query: str) -> tuple[float, int]:
    declared = {endpoint.path: endpoint for endpoint in endpoints()}
    path, _, raw = f"reports/openshift/{query}".partition("?")
    started = time.perf_counter()
    question = gateway.question(ADMIN, path=f"/{path}", raw_query=raw, path_params={})
    answer = gateway.answer(declared[path], question)
    return (time.perf_counter() - started) * 1000, len(answer.body)


def test_reports(reader: Database) -> None:
    nothing_kept = build_gateway(
        reader=reader, today=lambda: TODAY, reports=ReportSettings(report_cache_bytes=0, report_seconds=600)
    )
    keeping = build_gateway(reader=reader, today=lambda: TODAY)
    print(f"{'report':36} {'first':>8} {'median':>8} {'spread':>15} {'kept':>8} {'bytes':>12}")
    for name, query in REPORTS.items():
        first, size = milliseconds(nothing_kept, query)
        runs = sorted(milliseconds(nothing_kept, query)[0] for _ in range(RUNS))
        milliseconds(keeping, query)
        kept = statistics.median(milliseconds(keeping, query)[0] for _ in range(RUNS))
        spread = f"{runs[0]:.0f}–{runs[-1]:.0f}"
        print(f"{name:36} {first:8.0f} {statistics.median(runs):8.0f} {spread:>15} {kept:8.1f} {size:12,}")
