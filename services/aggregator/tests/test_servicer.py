"""The contract: called directly and over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from cluster_house import DAY, Cluster

from kura.aggregator.app import Aggregator, build_aggregator, build_probes
from kura.aggregator.config import AggregatorSettings, Settings
from kura.aggregator.servicer import PipelineMissing
from kura.core.errors import BadRequest, ConfigError, KuraError, LeaseLost, NotFound
from kura.rpc.aggregator.v1 import aggregator_pb2 as messages
from kura.rpc.aggregator.v1.aggregator_pb2_grpc import (
    AggregatorServiceStub,
    add_AggregatorServiceServicer_to_server,
)
from kura.rpc.client import open_channel
from kura.rpc.security import Security
from kura.rpc.server import RpcService, build_server


@pytest.fixture
async def aggregator(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Aggregator]:
    settings = AggregatorSettings.from_env(
        {"KURA_ENGINE_MEMORY_MIB": "256", "KURA_SPILL_DIRECTORY": str(tmp_path / "s")}
    )
    made = build_aggregator(database=cluster.database, objects=cluster.resources.objects, settings=settings)
    yield made
    await made.close()


def start_request(cluster: Cluster, **changed: object) -> messages.StartRunRequest:
    values: dict[str, object] = {
        "run_id": str(uuid4()),
        "schema_name": cluster.schema,
        "provider_uuid": str(cluster.provider_uuid),
        "start_date": DAY.isoformat(),
        "end_date": DAY.isoformat(),
        "pipeline": messages.PIPELINE_OCP_SUMMARY,
    }
    return messages.StartRunRequest(**(values | changed))  # type: ignore[arg-type]


async def progress_of(aggregator: Aggregator, request: messages.StartRunRequest) -> list[messages.RunProgress]:
    return [message async for message in aggregator.servicer.StartRun(request)]


async def test_a_summary_is_started_with_one_call_and_told_step_by_step(aggregator: Aggregator, cluster: Cluster):
    cluster.take_in_day()

    told = await progress_of(aggregator, start_request(cluster))

    assert told[0].state == messages.RUN_STATE_PENDING
    assert [message.step for message in told if message.state == messages.RUN_STATE_RUNNING and message.step] == [
        "facts",
        "read",
        "partitions",
        "compute",
        "write_summary",
        "write_tables",
        "commit",
        "fold_month",
    ]
    assert told[-1].state == messages.RUN_STATE_SUCCEEDED
    assert told[-1].steps_done == told[-1].steps_total
    assert told[-1].rows_written == len(cluster.summary()) == 8


async def test_the_totals_check_finds_what_differs(aggregator: Aggregator, cluster: Cluster):
    cluster.take_in_day()
    check = messages.PIPELINE_TOTALS_CHECK

    before = await progress_of(aggregator, start_request(cluster, pipeline=check))
    await progress_of(aggregator, start_request(cluster))
    equal = await progress_of(aggregator, start_request(cluster, pipeline=check))
    cluster.sql("update reporting_ocpusagelineitem_daily_summary set pod_usage_cpu_core_hours = 100 where node = 'n2'")
    cluster.sql("delete from reporting_ocpusagelineitem_daily_summary where data_source = 'Storage'")
    different = await progress_of(aggregator, start_request(cluster, pipeline=check))

    assert [note.split(":")[1] for note in before[-1].notes] == [
        " Parquet gives rows, PostgreSQL has none.",
        " Parquet gives rows, PostgreSQL has none.",
    ]
    assert list(equal[-1].notes) == []
    assert len(different[-1].notes) == 2
    assert "pod_usage_cpu_core_hours" in different[-1].notes[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("run_id", "x"),
        ("provider_uuid", ""),
        ("start_date", "10.1.2025"),
        ("end_date", "2025-02-01"),
        ("end_date", "2025-01-09"),
        ("schema_name", "public"),
        ("pipeline", messages.PIPELINE_UNSPECIFIED),
    ],
)
async def test_a_request_that_is_not_valid_names_its_field(
    aggregator: Aggregator, cluster: Cluster, field: str, value: object
):
    with pytest.raises(BadRequest) as caught:
        await progress_of(aggregator, start_request(cluster, **{field: value}))
    assert caught.value.field in (field, "schema")


async def test_a_pipeline_that_is_not_there_is_refused(aggregator: Aggregator, cluster: Cluster):
    with pytest.raises(PipelineMissing):
        await progress_of(aggregator, start_request(cluster, pipeline=messages.PIPELINE_AWS_SUMMARY))


async def test_runs_can_be_read_listed_and_cancelled_after_the_fact(aggregator: Aggregator, cluster: Cluster):
    request = start_request(cluster, fence=messages.Fence(lease_name="nobody", token=1))
    cluster.take_in_day()
    with pytest.raises(LeaseLost):
        await progress_of(aggregator, request)

    run = (await aggregator.servicer.GetRun(messages.GetRunRequest(run_id=request.run_id))).run
    assert (run.error_code, run.progress.state) == ("lease_lost", messages.RUN_STATE_FAILED)
    assert run.request == request
    assert run.finished_at.ToDatetime() >= run.started_at.ToDatetime()
    failed = await aggregator.servicer.ListRuns(messages.ListRunsRequest(states=[messages.RUN_STATE_FAILED]))
    assert [each.request.run_id for each in failed.runs] == [request.run_id]
    others = await aggregator.servicer.ListRuns(messages.ListRunsRequest(schema_name="org7"))
    assert list(others.runs) == []
    cancelled = await aggregator.servicer.CancelRun(messages.CancelRunRequest(run_id=request.run_id))
    assert cancelled.run.progress.state == messages.RUN_STATE_FAILED


async def test_everything_works_over_grpc(aggregator: Aggregator, cluster: Cluster):
    cluster.take_in_day()
    security = Security(token="a token of sixteen and more")
    server = build_server(
        [
            RpcService(
                descriptor=messages.DESCRIPTOR.services_by_name["AggregatorService"],
                add=add_AggregatorServiceServicer_to_server,
                servicer=aggregator.servicer,
            )
        ],
        security=security,
    )
    await server.start()
    channel = open_channel(server.address, security=security)
    stub = AggregatorServiceStub(channel)
    try:
        told = [message async for message in stub.StartRun(start_request(cluster))]
        assert told[-1].state == messages.RUN_STATE_SUCCEEDED
        with pytest.raises(NotFound):
            await stub.GetRun(messages.GetRunRequest(run_id=str(uuid4())))
        with pytest.raises(LeaseLost) as caught:
            fence = messages.Fence(lease_name="nobody", token=1)
            async for _ in stub.StartRun(start_request(cluster, fence=fence)):
                pass
        assert isinstance(caught.value, KuraError)
        assert caught.value.retry
    finally:
        await channel.close()
        await server.stop(None)


async def test_probes_answer(aggregator: Aggregator):
    transport = httpx.ASGITransport(app=build_probes(aggregator))
    async with httpx.AsyncClient(transport=transport, base_url="http://aggregator") as client:
        assert (await client.get("/livez")).status_code == 200
        ready = await client.get("/readyz")
        assert ready.json() == {"ready": True, "checks": {"database": "ok", "objects": "ok"}}
        assert "kura_run_seconds" in (await client.get("/metrics")).text


async def test_a_store_that_is_away_makes_the_service_unready(aggregator: Aggregator):
    await asyncio.to_thread(aggregator.database.close)
    broken = Aggregator(
        servicer=aggregator.servicer,
        runner=aggregator.runner,
        database=type(aggregator.database)("postgresql://nobody@127.0.0.1:1/none", wait_seconds=1),
        objects=aggregator.objects,
        engines=aggregator.engines,
        warming=aggregator.warming,
    )

    assert (await broken.ready())["database"] is not None


def test_settings_share_memory_between_the_runs(tmp_path: Path):
    settings = AggregatorSettings.from_env(
        {
            "KURA_ENGINE_MEMORY_MIB": "1024",
            "KURA_AGGREGATOR_RUNS": "4",
            "KURA_ENGINE_THREADS": "3",
            "KURA_SPILL_MIB": "10",
        }
    )

    limits = settings.engine_limits()

    assert (limits.memory_bytes, limits.threads, limits.spill_bytes) == (256 * 2**20, 3, 10 * 2**20)


def test_without_settings_the_container_decides():
    limits = AggregatorSettings.from_env({}).engine_limits()

    assert limits.memory_bytes >= 128 * 2**20
    assert limits.threads >= 1


def test_all_bad_settings_are_named_at_once():
    with pytest.raises(ConfigError, match=r"(?s)KURA_AGGREGATOR_RUNS.*DATABASE_URL|DATABASE_URL.*KURA_AGGREGATOR_RUNS"):
        Settings.from_env({"KURA_AGGREGATOR_RUNS": "0"})
