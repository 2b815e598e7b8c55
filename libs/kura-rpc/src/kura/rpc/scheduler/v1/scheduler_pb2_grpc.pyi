from collections.abc import AsyncIterator

from grpc import aio

from kura.rpc.scheduler.v1 import scheduler_pb2

class SchedulerServiceStub:
    def __init__(self, channel: aio.Channel) -> None: ...
    ListSchedules: aio.UnaryUnaryMultiCallable[scheduler_pb2.ListSchedulesRequest, scheduler_pb2.ListSchedulesResponse]
    TriggerSchedule: aio.UnaryUnaryMultiCallable[scheduler_pb2.TriggerScheduleRequest, scheduler_pb2.TriggerScheduleResponse]
    UpdateSchedule: aio.UnaryUnaryMultiCallable[scheduler_pb2.UpdateScheduleRequest, scheduler_pb2.UpdateScheduleResponse]

class SchedulerServiceServicer:
    async def ListSchedules(
        self, request: scheduler_pb2.ListSchedulesRequest, context: aio.ServicerContext[scheduler_pb2.ListSchedulesRequest, scheduler_pb2.ListSchedulesResponse]
    ) -> scheduler_pb2.ListSchedulesResponse: ...
    async def TriggerSchedule(
        self, request: scheduler_pb2.TriggerScheduleRequest, context: aio.ServicerContext[scheduler_pb2.TriggerScheduleRequest, scheduler_pb2.TriggerScheduleResponse]
    ) -> scheduler_pb2.TriggerScheduleResponse: ...
    async def UpdateSchedule(
        self, request: scheduler_pb2.UpdateScheduleRequest, context: aio.ServicerContext[scheduler_pb2.UpdateScheduleRequest, scheduler_pb2.UpdateScheduleResponse]
    ) -> scheduler_pb2.UpdateScheduleResponse: ...

def add_SchedulerServiceServicer_to_server(servicer: SchedulerServiceServicer, server: aio.Server) -> None: ...
