from collections.abc import AsyncIterator

from grpc import aio

from kura.rpc.costs.v1 import costs_pb2

class CostWriteServiceStub:
    def __init__(self, channel: aio.Channel) -> None: ...
    CreateCostModel: aio.UnaryUnaryMultiCallable[costs_pb2.CreateCostModelRequest, costs_pb2.CreateCostModelResponse]
    UpdateCostModel: aio.UnaryUnaryMultiCallable[costs_pb2.UpdateCostModelRequest, costs_pb2.UpdateCostModelResponse]
    DeleteCostModel: aio.UnaryUnaryMultiCallable[costs_pb2.DeleteCostModelRequest, costs_pb2.DeleteCostModelResponse]
    PreviewCostModel: aio.UnaryUnaryMultiCallable[costs_pb2.PreviewCostModelRequest, costs_pb2.PreviewCostModelResponse]
    CreatePriceList: aio.UnaryUnaryMultiCallable[costs_pb2.CreatePriceListRequest, costs_pb2.CreatePriceListResponse]
    UpdatePriceList: aio.UnaryUnaryMultiCallable[costs_pb2.UpdatePriceListRequest, costs_pb2.UpdatePriceListResponse]
    DuplicatePriceList: aio.UnaryUnaryMultiCallable[costs_pb2.DuplicatePriceListRequest, costs_pb2.DuplicatePriceListResponse]
    DeletePriceList: aio.UnaryUnaryMultiCallable[costs_pb2.DeletePriceListRequest, costs_pb2.DeletePriceListResponse]

class CostWriteServiceServicer:
    async def CreateCostModel(
        self, request: costs_pb2.CreateCostModelRequest, context: aio.ServicerContext[costs_pb2.CreateCostModelRequest, costs_pb2.CreateCostModelResponse]
    ) -> costs_pb2.CreateCostModelResponse: ...
    async def UpdateCostModel(
        self, request: costs_pb2.UpdateCostModelRequest, context: aio.ServicerContext[costs_pb2.UpdateCostModelRequest, costs_pb2.UpdateCostModelResponse]
    ) -> costs_pb2.UpdateCostModelResponse: ...
    async def DeleteCostModel(
        self, request: costs_pb2.DeleteCostModelRequest, context: aio.ServicerContext[costs_pb2.DeleteCostModelRequest, costs_pb2.DeleteCostModelResponse]
    ) -> costs_pb2.DeleteCostModelResponse: ...
    async def PreviewCostModel(
        self, request: costs_pb2.PreviewCostModelRequest, context: aio.ServicerContext[costs_pb2.PreviewCostModelRequest, costs_pb2.PreviewCostModelResponse]
    ) -> costs_pb2.PreviewCostModelResponse: ...
    async def CreatePriceList(
        self, request: costs_pb2.CreatePriceListRequest, context: aio.ServicerContext[costs_pb2.CreatePriceListRequest, costs_pb2.CreatePriceListResponse]
    ) -> costs_pb2.CreatePriceListResponse: ...
    async def UpdatePriceList(
        self, request: costs_pb2.UpdatePriceListRequest, context: aio.ServicerContext[costs_pb2.UpdatePriceListRequest, costs_pb2.UpdatePriceListResponse]
    ) -> costs_pb2.UpdatePriceListResponse: ...
    async def DuplicatePriceList(
        self, request: costs_pb2.DuplicatePriceListRequest, context: aio.ServicerContext[costs_pb2.DuplicatePriceListRequest, costs_pb2.DuplicatePriceListResponse]
    ) -> costs_pb2.DuplicatePriceListResponse: ...
    async def DeletePriceList(
        self, request: costs_pb2.DeletePriceListRequest, context: aio.ServicerContext[costs_pb2.DeletePriceListRequest, costs_pb2.DeletePriceListResponse]
    ) -> costs_pb2.DeletePriceListResponse: ...

def add_CostWriteServiceServicer_to_server(servicer: CostWriteServiceServicer, server: aio.Server) -> None: ...

class CostReadServiceStub:
    def __init__(self, channel: aio.Channel) -> None: ...
    GetCostModel: aio.UnaryUnaryMultiCallable[costs_pb2.GetCostModelRequest, costs_pb2.GetCostModelResponse]
    ListCostModels: aio.UnaryUnaryMultiCallable[costs_pb2.ListCostModelsRequest, costs_pb2.ListCostModelsResponse]
    ListCostModelChanges: aio.UnaryUnaryMultiCallable[costs_pb2.ListCostModelChangesRequest, costs_pb2.ListCostModelChangesResponse]
    GetPriceList: aio.UnaryUnaryMultiCallable[costs_pb2.GetPriceListRequest, costs_pb2.GetPriceListResponse]
    ListPriceLists: aio.UnaryUnaryMultiCallable[costs_pb2.ListPriceListsRequest, costs_pb2.ListPriceListsResponse]
    ListMetrics: aio.UnaryUnaryMultiCallable[costs_pb2.ListMetricsRequest, costs_pb2.ListMetricsResponse]

class CostReadServiceServicer:
    async def GetCostModel(
        self, request: costs_pb2.GetCostModelRequest, context: aio.ServicerContext[costs_pb2.GetCostModelRequest, costs_pb2.GetCostModelResponse]
    ) -> costs_pb2.GetCostModelResponse: ...
    async def ListCostModels(
        self, request: costs_pb2.ListCostModelsRequest, context: aio.ServicerContext[costs_pb2.ListCostModelsRequest, costs_pb2.ListCostModelsResponse]
    ) -> costs_pb2.ListCostModelsResponse: ...
    async def ListCostModelChanges(
        self, request: costs_pb2.ListCostModelChangesRequest, context: aio.ServicerContext[costs_pb2.ListCostModelChangesRequest, costs_pb2.ListCostModelChangesResponse]
    ) -> costs_pb2.ListCostModelChangesResponse: ...
    async def GetPriceList(
        self, request: costs_pb2.GetPriceListRequest, context: aio.ServicerContext[costs_pb2.GetPriceListRequest, costs_pb2.GetPriceListResponse]
    ) -> costs_pb2.GetPriceListResponse: ...
    async def ListPriceLists(
        self, request: costs_pb2.ListPriceListsRequest, context: aio.ServicerContext[costs_pb2.ListPriceListsRequest, costs_pb2.ListPriceListsResponse]
    ) -> costs_pb2.ListPriceListsResponse: ...
    async def ListMetrics(
        self, request: costs_pb2.ListMetricsRequest, context: aio.ServicerContext[costs_pb2.ListMetricsRequest, costs_pb2.ListMetricsResponse]
    ) -> costs_pb2.ListMetricsResponse: ...

def add_CostReadServiceServicer_to_server(servicer: CostReadServiceServicer, server: aio.Server) -> None: ...
