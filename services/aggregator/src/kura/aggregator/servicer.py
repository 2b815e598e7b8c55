"""The contract kura.aggregator.v1: requests → runs → messages. Within one process it is called directly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

from kura.aggregator.cost_facts import CostModel, model_of, priced_on
from kura.aggregator.pipelines import cost_preview, costs, openshift, totals
from kura.aggregator.pipelines.cost_preview import CostParts
from kura.aggregator.pipelines.openshift import Fence, Outcome, Resources, SummaryRun
from kura.aggregator.runner import Progress, Request, Result, Run, Runner, State, Steps, Work
from kura.core.days import DayRange, Month, today
from kura.core.errors import BadRequest, InvalidData, MethodNotAllowed
from kura.rpc.aggregator.v1 import aggregator_pb2 as messages
from kura.rpc.aggregator.v1.aggregator_pb2_grpc import AggregatorServiceServicer
from kura.store.tenancy import schema_name_checked

STATES = {
    State.PENDING: messages.RUN_STATE_PENDING,
    State.RUNNING: messages.RUN_STATE_RUNNING,
    State.SUCCEEDED: messages.RUN_STATE_SUCCEEDED,
    State.FAILED: messages.RUN_STATE_FAILED,
    State.CANCELLED: messages.RUN_STATE_CANCELLED,
}


MOST_PREVIEW_DAYS = 366


class PipelineMissing(MethodNotAllowed):
    """This aggregator does not have the pipeline."""

    code = "pipeline_missing"


class AggregatorServicer(AggregatorServiceServicer):
    """The servicer. `StartRun(request)` without a context is the call within one process."""

    def __init__(self, *, runner: Runner, resources: Resources) -> None:
        self._runner = runner
        self._resources = resources

    async def StartRun(
        self, request: messages.StartRunRequest, context: Any = None
    ) -> AsyncIterator[messages.RunProgress]:
        summary = summary_run_of(request)
        steps, work = self._work_of(request.pipeline, summary)
        run = self._runner.start(
            Request(
                run_id=request.run_id,
                schema=summary.schema,
                pipeline=messages.Pipeline.Name(request.pipeline),
                same_as=(request.pipeline, summary.schema, summary.provider_uuid, summary.days),
            ),
            details=request,
            steps=steps,
            work=work,
        )
        async for progress in self._runner.follow(run):
            yield progress_message(request.run_id, progress)

    async def CancelRun(self, request: messages.CancelRunRequest, context: Any = None) -> messages.CancelRunResponse:
        return messages.CancelRunResponse(run=run_message(self._runner.cancel(request.run_id)))

    async def GetRun(self, request: messages.GetRunRequest, context: Any = None) -> messages.GetRunResponse:
        return messages.GetRunResponse(run=run_message(self._runner.get(request.run_id)))

    async def ListRuns(self, request: messages.ListRunsRequest, context: Any = None) -> messages.ListRunsResponse:
        found = [run_message(run) for run in self._runner.list()]
        return messages.ListRunsResponse(
            runs=[
                run
                for run in found
                if (not request.states or run.progress.state in request.states)
                and (not request.schema_name or run.request.schema_name == request.schema_name)
            ]
        )

    async def PreviewCosts(
        self, request: messages.PreviewCostsRequest, context: Any = None
    ) -> messages.PreviewCostsResponse:
        if not request.provider_uuids:
            raise BadRequest("At least one source is needed.", field="provider_uuids")
        preview = await asyncio.to_thread(
            cost_preview.preview_costs,
            self._resources,
            schema=schema_name_checked(request.schema_name),
            provider_uuids=[_uuid(text, "provider_uuids") for text in request.provider_uuids],
            days=_preview_days(request),
            model_on=partial(_model_on, _document(request.cost_model)),
            today=today(),
        )
        return messages.PreviewCostsResponse(
            projects=[
                messages.ProjectPreview(
                    provider_uuid=str(project.provider_uuid),
                    namespace=project.namespace,
                    now=parts_message(project.now),
                    then=parts_message(project.then),
                )
                for project in preview.projects
            ],
            now=parts_message(preview.now),
            then=parts_message(preview.then),
            rows_read=preview.rows_read,
        )

    def _work_of(self, pipeline: int, run: SummaryRun) -> tuple[int, Work]:
        """How many steps the pipeline has, and what does them."""
        resources = self._resources

        def summarise(steps: Steps) -> Result:
            return _result(openshift.summarise_openshift(run, resources, steps.ended, steps.engine_opened))

        def apply_cost_model(steps: Steps) -> Result:
            return _result(costs.apply_cost_model(run, resources, steps.ended, steps.engine_opened, today=today()))

        def compare(steps: Steps) -> Result:
            return _result(totals.compare_totals(run, resources, steps.ended, steps.engine_opened))

        match pipeline:
            case messages.PIPELINE_OCP_SUMMARY:
                return len(openshift.STEPS), summarise
            case messages.PIPELINE_COST_MODEL:
                return len(costs.STEPS), apply_cost_model
            case messages.PIPELINE_TOTALS_CHECK:
                return len(totals.STEPS), compare
            case messages.PIPELINE_UNSPECIFIED:
                raise BadRequest("A pipeline is needed.", field="pipeline")
            case _:
                raise PipelineMissing(f"This aggregator does not have {messages.Pipeline.Name(pipeline)}.")


def summary_run_of(request: messages.StartRunRequest) -> SummaryRun:
    """The run that a request means; BadRequest names the field that is wrong."""
    _uuid(request.run_id, "run_id")
    start, end = _day(request.start_date, "start_date"), _day(request.end_date, "end_date")
    if end < start or Month.of(start) != Month.of(end):
        raise BadRequest("end_date must be in the same month as start_date, and not before it.", field="end_date")
    fence = Fence(lease_name=request.fence.lease_name, token=request.fence.token) if request.HasField("fence") else None
    return SummaryRun(
        schema=schema_name_checked(request.schema_name),
        provider_uuid=_uuid(request.provider_uuid, "provider_uuid"),
        days=DayRange(start, end),
        fence=fence,
    )


def _preview_days(request: messages.PreviewCostsRequest) -> DayRange:
    start, end = _day(request.start_date, "start_date"), _day(request.end_date, "end_date")
    if end < start:
        raise BadRequest("end_date must not be before start_date.", field="end_date")
    days = DayRange(start, end)
    if len(days) > MOST_PREVIEW_DAYS:
        raise BadRequest(f"A preview covers at most {MOST_PREVIEW_DAYS} days.", field="end_date")
    return days


def _document(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text or "{}")
    except ValueError as error:
        raise BadRequest(f"cost_model is not JSON: {error}.", field="cost_model") from error
    if not isinstance(document, dict):
        raise BadRequest("cost_model must be a JSON object.", field="cost_model")
    return document


def _model_on(document: Mapping[str, Any], day: date) -> CostModel:
    try:
        return model_of(priced_on(document, day))
    except (AttributeError, KeyError, TypeError) as error:
        raise BadRequest(f"cost_model has not the form of a cost model: {error}.", field="cost_model") from error
    except InvalidData as error:
        raise BadRequest(str(error), field="cost_model") from error


def _uuid(text: str, field: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise BadRequest(f"{field} must be a UUID.", field=field) from error


def _day(text: str, field: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadRequest(f"{field} must be a day, as YYYY-MM-DD.", field=field) from error


def _result(outcome: Outcome) -> Result:
    return Result(rows_read=outcome.rows_read, rows_written=outcome.rows_written, notes=tuple(outcome.notes))


def parts_message(parts: CostParts) -> messages.CostParts:
    return messages.CostParts(**vars(parts), total_cost=parts.total_cost)


def progress_message(run_id: str, progress: Progress) -> messages.RunProgress:
    return messages.RunProgress(
        run_id=run_id,
        step=progress.step,
        steps_done=progress.steps_done,
        steps_total=progress.steps_total,
        rows_read=progress.rows_read,
        rows_written=progress.rows_written,
        seconds=progress.seconds,
        state=STATES[progress.state],
        notes=progress.notes,
    )


def run_message(run: Run) -> messages.Run:
    assert isinstance(run.details, messages.StartRunRequest)
    message = messages.Run(
        request=run.details,
        progress=progress_message(run.request.run_id, run.progress),
        error_code=run.error.code if run.error else "",
        error=str(run.error) if run.error else "",
    )
    message.started_at.FromDatetime(run.started_at)
    if run.finished_at is not None:
        message.finished_at.FromDatetime(run.finished_at)
    return message
