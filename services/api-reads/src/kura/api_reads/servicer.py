"""The gRPC doors: the same questions, rights and answers as over HTTP (kura.reports.v1, kura.costs.v1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

from grpc import aio
from starlette.routing import Match, Route

from kura.api_reads.endpoints import Endpoint
from kura.api_reads.gateway import Gateway
from kura.core.errors import KuraError, NotFound
from kura.core.http import API_PREFIX
from kura.core.identity import IdentityProvider
from kura.rpc.callers import caller_of
from kura.rpc.costs.v1 import costs_pb2, costs_pb2_grpc
from kura.rpc.reports.v1 import reports_pb2, reports_pb2_grpc
from kura.rpc.server import RpcService

REPORT_SECONDS = 90.0
"""Longest time one call may take; a caller's own, shorter deadline counts."""

METHODS = (
    *("GetReport", "ListTags", "GetCostModel", "ListCostModels", "ListCostModelChanges"),
    *("GetPriceList", "ListPriceLists", "ListMetrics"),
)
DEADLINES: Mapping[str, float] = dict.fromkeys(METHODS, REPORT_SECONDS)

Parameters = Iterable[reports_pb2.QueryParameter | costs_pb2.QueryParameter]


class Answers:
    """Finds the endpoint of a path and asks the gateway for the caller of a gRPC call."""

    def __init__(self, *, gateway: Gateway, identity: IdentityProvider, endpoints: Iterable[Endpoint]) -> None:
        self._gateway = gateway
        self._identity = identity
        self._routes = [(Route(f"/{endpoint.path}", _never_called), endpoint) for endpoint in endpoints]

    async def of(self, path: str, parameters: Parameters, context: aio.ServicerContext) -> bytes:
        """The JSON of one answer; `path` is what follows the prefix of the API, without its last slash."""
        endpoint, path_params = self._find(f"{path}/")
        identity = await caller_of(context, self._identity)
        raw_query = "&".join(f"{quote_plus(given.name)}={quote_plus(given.value)}" for given in parameters)
        question = self._gateway.question(
            identity, path=f"{API_PREFIX}/{path}/", raw_query=raw_query, path_params=path_params
        )
        answer = await self._gateway.ask(endpoint, question)
        return answer.body

    def _find(self, path: str) -> tuple[Endpoint, dict[str, str]]:
        for route, endpoint in self._routes:
            match, found = route.matches({"type": "http", "path": f"/{path}", "method": "GET"})
            if match is Match.FULL:
                return endpoint, dict(found["path_params"])
        raise NoSuchReport


class ReportServicer(reports_pb2_grpc.ReportServiceServicer):
    """Reports and tags for programs that prefer gRPC."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def GetReport(
        self, request: reports_pb2.GetReportRequest, context: aio.ServicerContext
    ) -> reports_pb2.GetReportResponse:
        json = await self._answers.of(f"reports/{request.path.strip('/')}", request.query, context)
        return reports_pb2.GetReportResponse(json=json)

    async def ListTags(
        self, request: reports_pb2.ListTagsRequest, context: aio.ServicerContext
    ) -> reports_pb2.ListTagsResponse:
        json = await self._answers.of(f"tags/{request.path.strip('/')}", request.query, context)
        return reports_pb2.ListTagsResponse(json=json)


class CostReadServicer(costs_pb2_grpc.CostReadServiceServicer):
    """Cost models and price lists for programs that prefer gRPC."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def GetCostModel(
        self, request: costs_pb2.GetCostModelRequest, context: aio.ServicerContext
    ) -> costs_pb2.GetCostModelResponse:
        json = await self._answers.of(f"cost-models/{_segment(request.uuid)}", (), context)
        return costs_pb2.GetCostModelResponse(json=json)

    async def ListCostModels(
        self, request: costs_pb2.ListCostModelsRequest, context: aio.ServicerContext
    ) -> costs_pb2.ListCostModelsResponse:
        json = await self._answers.of("cost-models", request.query, context)
        return costs_pb2.ListCostModelsResponse(json=json)

    async def ListCostModelChanges(
        self, request: costs_pb2.ListCostModelChangesRequest, context: aio.ServicerContext
    ) -> costs_pb2.ListCostModelChangesResponse:
        json = await self._answers.of(f"cost-models/{_segment(request.uuid)}/audit", request.query, context)
        return costs_pb2.ListCostModelChangesResponse(json=json)

    async def GetPriceList(
        self, request: costs_pb2.GetPriceListRequest, context: aio.ServicerContext
    ) -> costs_pb2.GetPriceListResponse:
        json = await self._answers.of(f"price-lists/{_segment(request.uuid)}", (), context)
        return costs_pb2.GetPriceListResponse(json=json)

    async def ListPriceLists(
        self, request: costs_pb2.ListPriceListsRequest, context: aio.ServicerContext
    ) -> costs_pb2.ListPriceListsResponse:
        json = await self._answers.of("price-lists", request.query, context)
        return costs_pb2.ListPriceListsResponse(json=json)

    async def ListMetrics(
        self, request: costs_pb2.ListMetricsRequest, context: aio.ServicerContext
    ) -> costs_pb2.ListMetricsResponse:
        json = await self._answers.of("metrics", request.query, context)
        return costs_pb2.ListMetricsResponse(json=json)


class NoSuchReport(NotFound):
    """No report or tag list has this path."""

    code = "no_such_report"


def _segment(uuid: str) -> str:
    """An id as one part of a path, whatever it is."""
    return quote(uuid, safe="") or "-"


async def _never_called(request: object) -> None:
    raise KuraError("gRPC calls do not come through HTTP routes.")


def read_services(*, gateway: Gateway, identity: IdentityProvider, endpoints: Iterable[Endpoint]) -> list[RpcService]:
    """The services for `kura.rpc.server.build_server`; give that server DEADLINES too."""
    answers = Answers(gateway=gateway, identity=identity, endpoints=endpoints)
    return [
        RpcService(
            descriptor=reports_pb2.DESCRIPTOR.services_by_name["ReportService"],
            add=reports_pb2_grpc.add_ReportServiceServicer_to_server,
            servicer=ReportServicer(answers),
        ),
        RpcService(
            descriptor=costs_pb2.DESCRIPTOR.services_by_name["CostReadService"],
            add=costs_pb2_grpc.add_CostReadServiceServicer_to_server,
            servicer=CostReadServicer(answers),
        ),
    ]
