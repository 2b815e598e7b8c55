"""The gRPC door: the same questions, rights and answers as over HTTP (kura.reports.v1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote_plus

from grpc import aio
from starlette.routing import Match, Route

from kura.api_reads.endpoints import Endpoint
from kura.api_reads.gateway import Gateway
from kura.core.errors import KuraError, NotFound
from kura.core.http import API_PREFIX
from kura.core.identity import Identity, IdentityProvider
from kura.rpc.reports.v1 import reports_pb2, reports_pb2_grpc
from kura.rpc.server import RpcService, metadata_of

REPORT_SECONDS = 90.0
"""Longest time one call may take; a caller's own, shorter deadline counts."""

DEADLINES: Mapping[str, float] = {"GetReport": REPORT_SECONDS, "ListTags": REPORT_SECONDS}


class ReportServicer(reports_pb2_grpc.ReportServiceServicer):
    """Reports and tags for programs that prefer gRPC."""

    def __init__(self, *, gateway: Gateway, identity: IdentityProvider, endpoints: Iterable[Endpoint]) -> None:
        self.gateway = gateway
        self.identity = identity
        self.routes = [(Route(f"/{endpoint.path}", _never_called), endpoint) for endpoint in endpoints]

    async def GetReport(
        self, request: reports_pb2.GetReportRequest, context: aio.ServicerContext
    ) -> reports_pb2.GetReportResponse:
        return reports_pb2.GetReportResponse(json=await self._answer("reports", request.path, request.query, context))

    async def ListTags(
        self, request: reports_pb2.ListTagsRequest, context: aio.ServicerContext
    ) -> reports_pb2.ListTagsResponse:
        return reports_pb2.ListTagsResponse(json=await self._answer("tags", request.path, request.query, context))

    async def _answer(
        self,
        family: str,
        path: str,
        parameters: Iterable[reports_pb2.QueryParameter],
        context: aio.ServicerContext,
    ) -> bytes:
        endpoint, path_params = self._find(f"{family}/{path.strip('/')}/")
        identity = await self._identify(context)
        raw_query = "&".join(f"{quote_plus(given.name)}={quote_plus(given.value)}" for given in parameters)
        question = self.gateway.question(
            identity,
            path=f"{API_PREFIX}/{family}/{path.strip('/')}/",
            raw_query=raw_query,
            path_params=path_params,
        )
        answer = await self.gateway.ask(endpoint, question)
        return answer.body

    def _find(self, path: str) -> tuple[Endpoint, dict[str, str]]:
        for route, endpoint in self.routes:
            match, found = route.matches({"type": "http", "path": f"/{path}", "method": "GET"})
            if match is Match.FULL:
                return endpoint, dict(found["path_params"])
        raise NoSuchReport

    async def _identify(self, context: aio.ServicerContext) -> Identity:
        return await self.identity.identify(metadata_of(context), client=client_of(context.peer()))


class NoSuchReport(NotFound):
    """No report or tag list has this path."""

    code = "no_such_report"


def client_of(peer: str) -> str | None:
    """The caller's address in gRPC's `ipv4:127.0.0.1:4711` or `ipv6:%5B::1%5D:4711`; None for a local socket."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return None
    return rest.rpartition(":")[0].removeprefix("%5B").removesuffix("%5D").strip("[]")


async def _never_called(request: object) -> None:
    raise KuraError("gRPC calls do not come through HTTP routes.")


def report_service(*, gateway: Gateway, identity: IdentityProvider, endpoints: Iterable[Endpoint]) -> RpcService:
    """The service for `kura.rpc.server.build_server`; give that server DEADLINES too."""
    return RpcService(
        descriptor=reports_pb2.DESCRIPTOR.services_by_name["ReportService"],
        add=reports_pb2_grpc.add_ReportServiceServicer_to_server,
        servicer=ReportServicer(gateway=gateway, identity=identity, endpoints=endpoints),
    )
