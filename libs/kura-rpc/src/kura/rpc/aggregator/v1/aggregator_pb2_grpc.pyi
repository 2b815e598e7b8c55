from collections.abc import AsyncIterator

from grpc import aio

from kura.rpc.aggregator.v1 import aggregator_pb2

class AggregatorServiceStub:
    def __init__(self, channel: aio.Channel) -> None: ...
    StartRun: aio.UnaryStreamMultiCallable[aggregator_pb2.StartRunRequest, aggregator_pb2.RunProgress]
    CancelRun: aio.UnaryUnaryMultiCallable[aggregator_pb2.CancelRunRequest, aggregator_pb2.CancelRunResponse]
    GetRun: aio.UnaryUnaryMultiCallable[aggregator_pb2.GetRunRequest, aggregator_pb2.GetRunResponse]
    ListRuns: aio.UnaryUnaryMultiCallable[aggregator_pb2.ListRunsRequest, aggregator_pb2.ListRunsResponse]
    PreviewCosts: aio.UnaryUnaryMultiCallable[aggregator_pb2.PreviewCostsRequest, aggregator_pb2.PreviewCostsResponse]

class AggregatorServiceServicer:
    def StartRun(
        self, request: aggregator_pb2.StartRunRequest, context: aio.ServicerContext[aggregator_pb2.StartRunRequest, aggregator_pb2.RunProgress]
    ) -> AsyncIterator[aggregator_pb2.RunProgress]: ...
    async def CancelRun(
        self, request: aggregator_pb2.CancelRunRequest, context: aio.ServicerContext[aggregator_pb2.CancelRunRequest, aggregator_pb2.CancelRunResponse]
    ) -> aggregator_pb2.CancelRunResponse: ...
    async def GetRun(
        self, request: aggregator_pb2.GetRunRequest, context: aio.ServicerContext[aggregator_pb2.GetRunRequest, aggregator_pb2.GetRunResponse]
    ) -> aggregator_pb2.GetRunResponse: ...
    async def ListRuns(
        self, request: aggregator_pb2.ListRunsRequest, context: aio.ServicerContext[aggregator_pb2.ListRunsRequest, aggregator_pb2.ListRunsResponse]
    ) -> aggregator_pb2.ListRunsResponse: ...
    async def PreviewCosts(
        self, request: aggregator_pb2.PreviewCostsRequest, context: aio.ServicerContext[aggregator_pb2.PreviewCostsRequest, aggregator_pb2.PreviewCostsResponse]
    ) -> aggregator_pb2.PreviewCostsResponse: ...

def add_AggregatorServiceServicer_to_server(servicer: AggregatorServiceServicer, server: aio.Server) -> None: ...
