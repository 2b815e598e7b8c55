"""Killed at any moment and started again: the tables are those of one process that nobody disturbed."""

import os
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from kura.testing.digest import Digest, digest_of
from kura.testing.operator_payload import PROFILES, Payload, clusters, make_payloads
from kura.testing.rabbitmq import RabbitMQ
from kura.testing.running import RunningKura, running_kura
from kura.testing.traces import Collector, collecting

pytestmark = pytest.mark.slow

PROFILE = PROFILES["tiny"]
SEED = 11
TIMES = 4 if "KURA_LONG_FAULTS" in os.environ else 1


@pytest.fixture(scope="module")
def payloads() -> list[Payload]:
    end = datetime.now(UTC).date() - timedelta(days=1)
    return list(make_payloads(PROFILE, end=end, days=3, seed=SEED, uploads_per_day=2))


def register(kura: RunningKura) -> str:
    [cluster] = clusters(PROFILE, seed=SEED)
    source = kura.add_cluster(cluster.cluster_id, name=cluster.name)
    kura.enable_tag_keys(source, "app", "environment", "team")
    return source.schema


@pytest.fixture(scope="module")
def undisturbed(payloads: list[Payload]) -> Digest:
    """The digest of a run without any fault."""
    with running_kura() as kura:
        schema = register(kura)
        kura.send(*(payload.content for payload in payloads))
        digest = digest_of(kura.database_url, schema)
    assert digest.tables["reporting_ocpusagelineitem_daily_summary"][0] > 0
    return digest


@pytest.mark.parametrize(
    "kill", [RunningKura.kill, RunningKura.kill_everything], ids=["the process", "the process and its database"]
)
@pytest.mark.parametrize("seed", range(TIMES))
def test_a_killed_kura_ends_with_the_same_tables(
    payloads: list[Payload],
    undisturbed: Digest,
    kill: Callable[[RunningKura], None],
    seed: int,
):
    chance = random.Random(seed)
    with running_kura() as kura:
        schema = register(kura)
        request_ids = []
        for payload in payloads:
            request_ids.append(kura.upload(payload.content))
            if chance.random() < 0.4:
                time.sleep(chance.uniform(0.0, 0.6))
                kill(kura)
                kura.start()

        uploads = kura.wait(request_ids, seconds=180)
        assert [upload["state"] for upload in uploads] == ["done"] * len(payloads)
        assert digest_of(kura.database_url, schema).differences(undisturbed) == []
        running = kura.query("select id from public.task where state = 'running' and lease_expires_at < now()")
        assert running == []


SERVICES = ("aggregator", "scheduler", "worker-1", "worker-2", "worker-3", "api-reads", "api-writes", "private-s3")


def kill_part(kura: RunningKura, part: str) -> None:
    match part:
        case "database":
            kura.kill_database()
        case "broker":
            kura.kill_broker()
        case "keeper":
            kura.kill()
            kura.start()
        case _:
            kura.kill_service(part)


def upload_as_operator(kura: RunningKura, content: bytes) -> str:
    """Send it until it is accepted, as the operator does: what was refused or cut off is sent again."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return kura.upload(content)
        except (AssertionError, httpx.HTTPError):
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def separate(collector: Collector) -> Iterator[RunningKura]:
    """A Kura of separate services that knows the cluster, is traced, and takes up soon what a killed worker left."""
    environ = {"KURA_WORKER_LEASE_SECONDS": "6", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
    with running_kura(split=True, environ=environ) as kura:
        register(kura)
        yield kura


needs_rabbitmq = pytest.mark.skipif(not RabbitMQ.is_installed(), reason="rabbitmq-server is not installed")


@pytest.mark.rabbitmq
@pytest.mark.s3
@needs_rabbitmq
def test_a_trace_leads_from_the_upload_through_every_service_to_the_database(
    payloads: list[Payload], separate: RunningKura, collector: Collector
):
    separate.send(payloads[0].content)

    upload, ingest = ("kura-api-writes", "POST /api/ingress/v1/upload"), ("kura-worker", "task IngestPayload")
    collector.wait_for_path(upload, ingest, ("kura-worker", "UPDATE"))
    collector.wait_for_path(
        upload,
        ingest,
        ("kura-worker", "task SummariseRange"),
        ("kura-aggregator", "/kura.aggregator.v1.AggregatorService/StartRun"),
        ("kura-aggregator", "run"),
        ("kura-aggregator", "database transaction"),
    )


@pytest.mark.rabbitmq
@pytest.mark.s3
@needs_rabbitmq
def test_separate_services_end_with_the_tables_of_one_process_whichever_is_killed(
    payloads: list[Payload], undisturbed: Digest, separate: RunningKura
):
    chance = random.Random(5)
    victims = [*SERVICES, "database", "broker", "keeper"]
    chance.shuffle(victims)
    request_ids = []
    for payload in payloads:
        request_ids.append(upload_as_operator(separate, payload.content))
        for part in [victims.pop() for _ in range(min(2, len(victims)))]:
            time.sleep(chance.uniform(0.0, 0.8))
            kill_part(separate, part)

    [(schema,)] = separate.query("select schema_name from public.api_customer")
    uploads = separate.wait(request_ids, seconds=240)
    assert victims == []
    assert [upload["state"] for upload in uploads] == ["done"] * len(payloads)
    assert digest_of(separate.database_url, schema).differences(undisturbed) == []
