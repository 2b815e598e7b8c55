"""The gRPC door for cost models and price lists: the same rules and answers as over HTTP (kura.costs.v1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from grpc import aio

from kura.api_writes.bodies import json_document
from kura.api_writes.cost_edits import Body, CostEdits
from kura.api_writes.preview import PREVIEW_SECONDS
from kura.core.identity import Identity, IdentityProvider
from kura.rpc.callers import caller_of
from kura.rpc.costs.v1 import costs_pb2, costs_pb2_grpc
from kura.rpc.server import RpcService

DEADLINES: Final[Mapping[str, float]] = {"PreviewCostModel": PREVIEW_SECONDS}


class CostWriteServicer(costs_pb2_grpc.CostWriteServiceServicer):
    """kura.costs.v1.CostWriteService."""

    def __init__(self, *, edits: CostEdits, identity: IdentityProvider) -> None:
        self._edits = edits
        self._identity = identity

    async def CreateCostModel(
        self, request: costs_pb2.CreateCostModelRequest, context: aio.ServicerContext
    ) -> costs_pb2.CreateCostModelResponse:
        made = await self._edits.create_model(await self._caller(context), _body(request.json))
        return costs_pb2.CreateCostModelResponse(json=_json(made))

    async def UpdateCostModel(
        self, request: costs_pb2.UpdateCostModelRequest, context: aio.ServicerContext
    ) -> costs_pb2.UpdateCostModelResponse:
        changed = await self._edits.update_model(await self._caller(context), request.uuid, _body(request.json))
        return costs_pb2.UpdateCostModelResponse(json=_json(changed))

    async def DeleteCostModel(
        self, request: costs_pb2.DeleteCostModelRequest, context: aio.ServicerContext
    ) -> costs_pb2.DeleteCostModelResponse:
        await self._edits.delete_model(await self._caller(context), request.uuid)
        return costs_pb2.DeleteCostModelResponse()

    async def PreviewCostModel(
        self, request: costs_pb2.PreviewCostModelRequest, context: aio.ServicerContext
    ) -> costs_pb2.PreviewCostModelResponse:
        compared = await self._edits.preview(await self._caller(context), _body(request.json))
        return costs_pb2.PreviewCostModelResponse(json=_json(compared))

    async def CreatePriceList(
        self, request: costs_pb2.CreatePriceListRequest, context: aio.ServicerContext
    ) -> costs_pb2.CreatePriceListResponse:
        made = await self._edits.create_list(await self._caller(context), _body(request.json))
        return costs_pb2.CreatePriceListResponse(json=_json(made))

    async def UpdatePriceList(
        self, request: costs_pb2.UpdatePriceListRequest, context: aio.ServicerContext
    ) -> costs_pb2.UpdatePriceListResponse:
        changed = await self._edits.update_list(await self._caller(context), request.uuid, _body(request.json))
        return costs_pb2.UpdatePriceListResponse(json=_json(changed))

    async def DuplicatePriceList(
        self, request: costs_pb2.DuplicatePriceListRequest, context: aio.ServicerContext
    ) -> costs_pb2.DuplicatePriceListResponse:
        made = await self._edits.duplicate_list(await self._caller(context), request.uuid)
        return costs_pb2.DuplicatePriceListResponse(json=_json(made))

    async def DeletePriceList(
        self, request: costs_pb2.DeletePriceListRequest, context: aio.ServicerContext
    ) -> costs_pb2.DeletePriceListResponse:
        await self._edits.delete_list(await self._caller(context), request.uuid)
        return costs_pb2.DeletePriceListResponse()

    async def _caller(self, context: aio.ServicerContext) -> Identity:
        return await caller_of(context, self._identity)


def cost_write_service(*, edits: CostEdits, identity: IdentityProvider) -> RpcService:
    """The service for `kura.rpc.server.build_server`; give that server DEADLINES too."""
    return RpcService(
        descriptor=costs_pb2.DESCRIPTOR.services_by_name["CostWriteService"],
        add=costs_pb2_grpc.add_CostWriteServiceServicer_to_server,
        servicer=CostWriteServicer(edits=edits, identity=identity),
    )


def _body(text: bytes) -> Body:
    async def read() -> Mapping[str, Any]:
        return json_document(text)

    return read


def _json(content: Any) -> bytes:
    return orjson.dumps(content, default=str)
