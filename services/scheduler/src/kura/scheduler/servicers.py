"""The gRPC side: schedules and task administration, the same operations as over HTTP."""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from kura.core.errors import BadRequest
from kura.queue import admin
from kura.queue.admin import Backlog, TaskFilter, TaskView
from kura.rpc.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from kura.rpc.server import RpcService
from kura.rpc.tasks.v1 import admin_pb2, admin_pb2_grpc
from kura.scheduler import schedule
from kura.scheduler.schedule import Schedule
from kura.store.database import Database

STATES = {
    admin_pb2.TASK_STATE_QUEUED: "queued",
    admin_pb2.TASK_STATE_RUNNING: "running",
    admin_pb2.TASK_STATE_SUCCEEDED: "succeeded",
    admin_pb2.TASK_STATE_DEAD: "dead",
    admin_pb2.TASK_STATE_CANCELLED: "cancelled",
}
STATES_BY_NAME = {name: value for value, name in STATES.items()} | {"failed": admin_pb2.TASK_STATE_DEAD}


def services(db: Database) -> list[RpcService]:
    """What the scheduler serves."""
    return [
        RpcService(
            descriptor=scheduler_pb2.DESCRIPTOR.services_by_name["SchedulerService"],
            add=scheduler_pb2_grpc.add_SchedulerServiceServicer_to_server,
            servicer=SchedulerServicer(db),
        ),
        RpcService(
            descriptor=admin_pb2.DESCRIPTOR.services_by_name["TaskAdminService"],
            add=admin_pb2_grpc.add_TaskAdminServiceServicer_to_server,
            servicer=TaskAdminServicer(db),
        ),
    ]


class SchedulerServicer(scheduler_pb2_grpc.SchedulerServiceServicer):
    """kura.scheduler.v1.SchedulerService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListSchedules(
        self, request: scheduler_pb2.ListSchedulesRequest, context: aio.ServicerContext
    ) -> scheduler_pb2.ListSchedulesResponse:
        found = await in_transaction(self._db, schedule.list_schedules)
        return scheduler_pb2.ListSchedulesResponse(schedules=[schedule_message(each) for each in found])

    async def TriggerSchedule(
        self, request: scheduler_pb2.TriggerScheduleRequest, context: aio.ServicerContext
    ) -> scheduler_pb2.TriggerScheduleResponse:
        task_id = await in_transaction(self._db, schedule.trigger, request.name)
        return scheduler_pb2.TriggerScheduleResponse(task_id=str(task_id))

    async def UpdateSchedule(
        self, request: scheduler_pb2.UpdateScheduleRequest, context: aio.ServicerContext
    ) -> scheduler_pb2.UpdateScheduleResponse:
        updated = await in_transaction(
            self._db,
            schedule.update_schedule,
            request.name,
            cron=request.cron if request.HasField("cron") else None,
            enabled=request.enabled if request.HasField("enabled") else None,
            payload=MessageToDict(request.payload) if request.HasField("payload") else None,
        )
        return scheduler_pb2.UpdateScheduleResponse(schedule=schedule_message(updated))


class TaskAdminServicer(admin_pb2_grpc.TaskAdminServiceServicer):
    """kura.tasks.v1.TaskAdminService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListTasks(
        self, request: admin_pb2.ListTasksRequest, context: aio.ServicerContext
    ) -> admin_pb2.ListTasksResponse:
        which = TaskFilter(
            states=[_state_name(state) for state in request.states],
            queue=request.queue or None,
            type=request.type or None,
            schema=request.schema_name or None,
            root=task_id_of(request.root_id, field="root_id") if request.root_id else None,
        )
        page = await in_transaction(
            self._db, admin.list_tasks, which, page_size=request.page_size or 100, token=request.page_token or None
        )
        return admin_pb2.ListTasksResponse(
            tasks=[task_message(task) for task in page.tasks], next_page_token=page.next_token or ""
        )

    async def GetTask(
        self, request: admin_pb2.GetTaskRequest, context: aio.ServicerContext
    ) -> admin_pb2.GetTaskResponse:
        task = await in_transaction(self._db, admin.get_task, task_id_of(request.id))
        return admin_pb2.GetTaskResponse(task=task_message(task))

    async def RetryTask(
        self, request: admin_pb2.RetryTaskRequest, context: aio.ServicerContext
    ) -> admin_pb2.RetryTaskResponse:
        task = await in_transaction(self._db, admin.retry_task, task_id_of(request.id))
        return admin_pb2.RetryTaskResponse(task=task_message(task))

    async def CancelTask(
        self, request: admin_pb2.CancelTaskRequest, context: aio.ServicerContext
    ) -> admin_pb2.CancelTaskResponse:
        task = await in_transaction(self._db, admin.cancel_task, task_id_of(request.id), by="an administrator")
        return admin_pb2.CancelTaskResponse(task=task_message(task))

    async def ListQueues(
        self, request: admin_pb2.ListQueuesRequest, context: aio.ServicerContext
    ) -> admin_pb2.ListQueuesResponse:
        found = await in_transaction(self._db, admin.backlogs)
        return admin_pb2.ListQueuesResponse(queues=[backlog_message(backlog) for backlog in found])


# ----------------------------------------------------------------------------------------------------------- messages


def task_message(task: TaskView) -> admin_pb2.Task:
    return admin_pb2.Task(
        id=str(task.id),
        type=task.type,
        state=STATES_BY_NAME[task.state],
        queue=task.queue,
        schema_name=task.schema_name or "",
        payload=_struct(task.payload),
        attempt=task.attempt,
        max_attempts=task.max_attempts,
        priority=task.priority,
        created_at=_timestamp(task.created_at),
        not_before=_timestamp(task.not_before),
        started_at=_timestamp(task.started_at),
        finished_at=_timestamp(task.finished_at),
        worker=task.lease_owner or "",
        error_code=task.error_code or "",
        error=task.error or "",
        progress=_struct(task.progress),
        parent_id=str(task.parent_id or ""),
        root_id=str(task.root_id or ""),
    )


def schedule_message(found: Schedule) -> scheduler_pb2.Schedule:
    return scheduler_pb2.Schedule(
        name=found.name,
        cron=found.cron,
        task_type=found.task,
        payload=_struct(found.payload),
        enabled=found.enabled,
        last_run_at=_timestamp(found.last_run),
        next_run_at=_timestamp(found.next_run),
        last_task_id=str(found.last_task_id or ""),
    )


def backlog_message(backlog: Backlog) -> admin_pb2.QueueBacklog:
    return admin_pb2.QueueBacklog(
        queue=backlog.queue,
        ready=backlog.ready,
        delayed=backlog.delayed,
        running=backlog.running,
        dead=backlog.dead,
        oldest_ready_seconds=backlog.oldest_ready_seconds,
    )


def task_id_of(text: str, *, field: str = "id") -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise BadRequest("a task id is a UUID", field=field) from error


def _state_name(state: int) -> str:
    found = STATES.get(state)  # type: ignore[call-overload]
    if found is None:
        raise BadRequest(f"{state} is no state of a task", field="states")
    return str(found)


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def _struct(value: Any) -> Struct | None:
    if not isinstance(value, dict):
        return None
    message = Struct()
    message.update(value)
    return message


async def in_transaction(db: Database, call: Any, *args: Any, **kwargs: Any) -> Any:
    def transaction() -> Any:
        with db.begin() as connection:
            return call(connection, *args, **kwargs)

    return await asyncio.to_thread(transaction)
