from collections.abc import AsyncIterator

from grpc import aio

from kura.rpc.tasks.v1 import admin_pb2

class TaskAdminServiceStub:
    def __init__(self, channel: aio.Channel) -> None: ...
    ListTasks: aio.UnaryUnaryMultiCallable[admin_pb2.ListTasksRequest, admin_pb2.ListTasksResponse]
    GetTask: aio.UnaryUnaryMultiCallable[admin_pb2.GetTaskRequest, admin_pb2.GetTaskResponse]
    RetryTask: aio.UnaryUnaryMultiCallable[admin_pb2.RetryTaskRequest, admin_pb2.RetryTaskResponse]
    CancelTask: aio.UnaryUnaryMultiCallable[admin_pb2.CancelTaskRequest, admin_pb2.CancelTaskResponse]
    ListQueues: aio.UnaryUnaryMultiCallable[admin_pb2.ListQueuesRequest, admin_pb2.ListQueuesResponse]

class TaskAdminServiceServicer:
    async def ListTasks(
        self, request: admin_pb2.ListTasksRequest, context: aio.ServicerContext[admin_pb2.ListTasksRequest, admin_pb2.ListTasksResponse]
    ) -> admin_pb2.ListTasksResponse: ...
    async def GetTask(
        self, request: admin_pb2.GetTaskRequest, context: aio.ServicerContext[admin_pb2.GetTaskRequest, admin_pb2.GetTaskResponse]
    ) -> admin_pb2.GetTaskResponse: ...
    async def RetryTask(
        self, request: admin_pb2.RetryTaskRequest, context: aio.ServicerContext[admin_pb2.RetryTaskRequest, admin_pb2.RetryTaskResponse]
    ) -> admin_pb2.RetryTaskResponse: ...
    async def CancelTask(
        self, request: admin_pb2.CancelTaskRequest, context: aio.ServicerContext[admin_pb2.CancelTaskRequest, admin_pb2.CancelTaskResponse]
    ) -> admin_pb2.CancelTaskResponse: ...
    async def ListQueues(
        self, request: admin_pb2.ListQueuesRequest, context: aio.ServicerContext[admin_pb2.ListQueuesRequest, admin_pb2.ListQueuesResponse]
    ) -> admin_pb2.ListQueuesResponse: ...

def add_TaskAdminServiceServicer_to_server(servicer: TaskAdminServiceServicer, server: aio.Server) -> None: ...
