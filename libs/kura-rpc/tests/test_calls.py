"""A real server and a real channel over loopback."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from kura.core.config import GrpcIdentitySettings
from kura.core.errors import ConfigError, Deadline, KuraError, LeaseLost, Unauthorised, Unavailable
from kura.core.telemetry import bound
from kura.rpc.aggregator.v1 import aggregator_pb2, aggregator_pb2_grpc
from kura.rpc.client import open_channel
from kura.rpc.security import Security
from kura.rpc.server import RpcServer, RpcService, build_server, metadata_of

from .certificates import authority

OPEN = Security()
SECRET = Security(token="0123456789abcdef")


class Aggregator(aggregator_pb2_grpc.AggregatorServiceServicer):
    def __init__(self) -> None:
        self.calls = 0
        self.request_ids: list[str] = []

    async def StartRun(self, request, context) -> AsyncIterator[aggregator_pb2.RunProgress]:
        yield aggregator_pb2.RunProgress(run_id=request.run_id, steps_done=1)
        if request.run_id == "lost":
            raise LeaseLost()
        if request.run_id == "slow":
            await asyncio.sleep(30)
        yield aggregator_pb2.RunProgress(run_id=request.run_id, steps_done=2)

    async def GetRun(self, request, context) -> aggregator_pb2.GetRunResponse:
        self.calls += 1
        self.request_ids.append(metadata_of(context).get("x-rh-insights-request-id", ""))
        if request.run_id == "away" and self.calls < 3:
            raise Unavailable()
        if request.run_id == "crash":
            raise ZeroDivisionError("secret detail")
        if request.run_id == "slow":
            await asyncio.sleep(30)
        return aggregator_pb2.GetRunResponse(run=aggregator_pb2.Run(error=request.run_id))


@contextlib.asynccontextmanager
async def serving(security: Security = OPEN, **options) -> AsyncIterator[tuple[RpcServer, Aggregator]]:
    aggregator = Aggregator()
    service = RpcService(
        descriptor=aggregator_pb2.DESCRIPTOR.services_by_name["AggregatorService"],
        add=aggregator_pb2_grpc.add_AggregatorServiceServicer_to_server,
        servicer=aggregator,
    )
    server = build_server([service], security=security, **options)
    await server.start()
    try:
        yield server, aggregator
    finally:
        await server.stop(0)


async def get(address: str, run_id: str, security: Security = OPEN, **options) -> str:
    async with open_channel(address, security=security, **options) as channel:
        stub = aggregator_pb2_grpc.AggregatorServiceStub(channel)
        return (await stub.GetRun(aggregator_pb2.GetRunRequest(run_id=run_id))).run.error


async def start(address: str, run_id: str, **options) -> list[int]:
    seen = []
    async with open_channel(address, security=OPEN, **options) as channel:
        stub = aggregator_pb2_grpc.AggregatorServiceStub(channel)
        async for progress in stub.StartRun(aggregator_pb2.StartRunRequest(run_id=run_id)):
            seen.append(progress.steps_done)
    return seen


async def test_a_call_is_answered_and_carries_the_request_id():
    async with serving() as (server, aggregator):
        with bound(request_id="r-1"):
            assert await get(server.address, "a") == "a"
        assert aggregator.request_ids == ["r-1"]


async def test_a_stream_is_answered_message_by_message():
    async with serving() as (server, _):
        assert await start(server.address, "a") == [1, 2]


async def test_an_error_in_the_middle_of_a_stream_arrives_as_itself():
    async with serving() as (server, _):
        with pytest.raises(LeaseLost):
            await start(server.address, "lost")


async def test_a_call_is_tried_again_while_the_service_is_unavailable():
    async with serving() as (server, aggregator):
        assert await get(server.address, "away") == "away"
        assert aggregator.calls == 3


async def test_an_unforeseen_error_is_answered_without_its_details():
    async with serving() as (server, _):
        with pytest.raises(KuraError) as raised:
            await get(server.address, "crash")
        assert type(raised.value) is KuraError
        assert "secret" not in str(raised.value)


async def test_S48_a_call_without_deadline_gets_the_default_of_the_server():
    async with serving(deadlines={"GetRun": 0.2, "StartRun": 0.2}) as (server, _):
        async with aio.insecure_channel(server.address) as channel:
            stub = aggregator_pb2_grpc.AggregatorServiceStub(channel)
            with pytest.raises(aio.AioRpcError) as raised:
                await asyncio.wait_for(stub.GetRun(aggregator_pb2.GetRunRequest(run_id="slow")), 5)
            assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        with pytest.raises(Deadline):
            await start(server.address, "slow")


async def test_a_client_without_deadline_gets_the_default_of_the_channel():
    async with serving() as (server, _):
        with pytest.raises(Deadline):
            await get(server.address, "slow", deadlines={"kura.aggregator.v1.AggregatorService/GetRun": 0.2})


async def test_S48_a_call_without_or_with_another_secret_is_refused():
    async with serving(SECRET) as (server, aggregator):
        for stranger in (OPEN, Security(token="another-secret-of-another")):
            with pytest.raises(Unauthorised):
                await get(server.address, "a", stranger)
        assert aggregator.calls == 0
        assert await get(server.address, "a", SECRET) == "a"


async def test_S48_an_oversize_message_is_refused():
    async with serving(max_message_bytes=1000) as (server, _):
        with pytest.raises(KuraError):
            await get(server.address, "x" * 2000)


async def test_health_is_served_without_a_secret_and_ends_with_the_server():
    async with serving(SECRET) as (server, _), aio.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", "kura.aggregator.v1.AggregatorService"):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("development", [True, False])
async def test_S47_reflection_exists_only_in_development(development: bool):
    async with serving(development=development) as (server, _), aio.insecure_channel(server.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo()
        if development:
            await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            answer = await call.read()
            names = [service.name for service in answer.list_services_response.service]
            assert "kura.aggregator.v1.AggregatorService" in names
        else:
            with pytest.raises(aio.AioRpcError) as raised:
                await call.read()
            assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_server_does_not_listen_to_strangers_without_a_secret():
    with pytest.raises(ConfigError, match="KURA_GRPC_TOKEN"):
        build_server([], security=OPEN, host="0.0.0.0")


def test_a_short_secret_is_refused():
    with pytest.raises(ConfigError, match="16"):
        Security.from_settings(GrpcIdentitySettings(grpc_token="short"))


@pytest.fixture(scope="module")
def certificates() -> dict[str, Security]:
    """Two services of one authority, and a stranger of another."""
    ours, theirs = authority("ours"), authority("theirs")
    return {
        "server": ours.issue("localhost"),
        "client": ours.issue("workers"),
        "stranger": dataclasses.replace(theirs.issue("workers"), ca=ours.pem),
        "nobody": Security(ca=ours.pem),
    }


async def test_mutual_tls_lets_in_who_has_a_certificate_of_the_same_authority(certificates):
    async with serving(certificates["server"], host="localhost") as (server, aggregator):
        assert await get(server.address, "a", certificates["client"]) == "a"
        for name in ("stranger", "nobody"):
            with pytest.raises((Unavailable, Deadline)):
                await get(
                    server.address,
                    "a",
                    certificates[name],
                    deadlines={"kura.aggregator.v1.AggregatorService/GetRun": 1},
                )
        assert aggregator.calls == 1


async def test_mutual_tls_is_identity_enough_to_listen_beyond_loopback(certificates):
    certificates["server"].check_listening("0.0.0.0")
    with pytest.raises(ConfigError):
        dataclasses.replace(certificates["server"], ca=None).check_listening("0.0.0.0")
