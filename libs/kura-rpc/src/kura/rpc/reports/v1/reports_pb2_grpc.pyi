from collections.abc import AsyncIterator

from grpc import aio

from kura.rpc.reports.v1 import reports_pb2

class ReportServiceStub:
    def __init__(self, channel: aio.Channel) -> None: ...
    GetReport: aio.UnaryUnaryMultiCallable[reports_pb2.GetReportRequest, reports_pb2.GetReportResponse]
    ListTags: aio.UnaryUnaryMultiCallable[reports_pb2.ListTagsRequest, reports_pb2.ListTagsResponse]

class ReportServiceServicer:
    async def GetReport(
        self, request: reports_pb2.GetReportRequest, context: aio.ServicerContext[reports_pb2.GetReportRequest, reports_pb2.GetReportResponse]
    ) -> reports_pb2.GetReportResponse: ...
    async def ListTags(
        self, request: reports_pb2.ListTagsRequest, context: aio.ServicerContext[reports_pb2.ListTagsRequest, reports_pb2.ListTagsResponse]
    ) -> reports_pb2.ListTagsResponse: ...

def add_ReportServiceServicer_to_server(servicer: ReportServiceServicer, server: aio.Server) -> None: ...
