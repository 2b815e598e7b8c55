import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Pipeline(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PIPELINE_UNSPECIFIED: _ClassVar[Pipeline]
    PIPELINE_OCP_SUMMARY: _ClassVar[Pipeline]
    PIPELINE_AWS_SUMMARY: _ClassVar[Pipeline]
    PIPELINE_AZURE_SUMMARY: _ClassVar[Pipeline]
    PIPELINE_GCP_SUMMARY: _ClassVar[Pipeline]
    PIPELINE_OCP_ON_CLOUD: _ClassVar[Pipeline]
    PIPELINE_COST_MODEL: _ClassVar[Pipeline]
    PIPELINE_TOTALS_CHECK: _ClassVar[Pipeline]

class RunState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATE_UNSPECIFIED: _ClassVar[RunState]
    RUN_STATE_PENDING: _ClassVar[RunState]
    RUN_STATE_RUNNING: _ClassVar[RunState]
    RUN_STATE_SUCCEEDED: _ClassVar[RunState]
    RUN_STATE_FAILED: _ClassVar[RunState]
    RUN_STATE_CANCELLED: _ClassVar[RunState]
PIPELINE_UNSPECIFIED: Pipeline
PIPELINE_OCP_SUMMARY: Pipeline
PIPELINE_AWS_SUMMARY: Pipeline
PIPELINE_AZURE_SUMMARY: Pipeline
PIPELINE_GCP_SUMMARY: Pipeline
PIPELINE_OCP_ON_CLOUD: Pipeline
PIPELINE_COST_MODEL: Pipeline
PIPELINE_TOTALS_CHECK: Pipeline
RUN_STATE_UNSPECIFIED: RunState
RUN_STATE_PENDING: RunState
RUN_STATE_RUNNING: RunState
RUN_STATE_SUCCEEDED: RunState
RUN_STATE_FAILED: RunState
RUN_STATE_CANCELLED: RunState

class Fence(_message.Message):
    __slots__ = ("lease_name", "token")
    LEASE_NAME_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    lease_name: str
    token: int
    def __init__(self, lease_name: _Optional[str] = ..., token: _Optional[int] = ...) -> None: ...

class StartRunRequest(_message.Message):
    __slots__ = ("run_id", "schema_name", "provider_uuid", "start_date", "end_date", "pipeline", "fence", "infra_provider_uuid", "manifest_ids")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_UUID_FIELD_NUMBER: _ClassVar[int]
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    END_DATE_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    INFRA_PROVIDER_UUID_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_IDS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    schema_name: str
    provider_uuid: str
    start_date: str
    end_date: str
    pipeline: Pipeline
    fence: Fence
    infra_provider_uuid: str
    manifest_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, run_id: _Optional[str] = ..., schema_name: _Optional[str] = ..., provider_uuid: _Optional[str] = ..., start_date: _Optional[str] = ..., end_date: _Optional[str] = ..., pipeline: _Optional[_Union[Pipeline, str]] = ..., fence: _Optional[_Union[Fence, _Mapping[str, object]]] = ..., infra_provider_uuid: _Optional[str] = ..., manifest_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class RunProgress(_message.Message):
    __slots__ = ("run_id", "step", "steps_done", "steps_total", "rows_read", "rows_written", "seconds", "state", "notes")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEPS_DONE_FIELD_NUMBER: _ClassVar[int]
    STEPS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    ROWS_READ_FIELD_NUMBER: _ClassVar[int]
    ROWS_WRITTEN_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    step: str
    steps_done: int
    steps_total: int
    rows_read: int
    rows_written: int
    seconds: float
    state: RunState
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, run_id: _Optional[str] = ..., step: _Optional[str] = ..., steps_done: _Optional[int] = ..., steps_total: _Optional[int] = ..., rows_read: _Optional[int] = ..., rows_written: _Optional[int] = ..., seconds: _Optional[float] = ..., state: _Optional[_Union[RunState, str]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("request", "progress", "started_at", "finished_at", "error_code", "error")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    request: StartRunRequest
    progress: RunProgress
    started_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    error_code: str
    error: str
    def __init__(self, request: _Optional[_Union[StartRunRequest, _Mapping[str, object]]] = ..., progress: _Optional[_Union[RunProgress, _Mapping[str, object]]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., error_code: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...

class CancelRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class CancelRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping[str, object]]] = ...) -> None: ...

class GetRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class GetRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping[str, object]]] = ...) -> None: ...

class ListRunsRequest(_message.Message):
    __slots__ = ("states", "schema_name")
    STATES_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_NAME_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedScalarFieldContainer[RunState]
    schema_name: str
    def __init__(self, states: _Optional[_Iterable[_Union[RunState, str]]] = ..., schema_name: _Optional[str] = ...) -> None: ...

class ListRunsResponse(_message.Message):
    __slots__ = ("runs",)
    RUNS_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[Run]
    def __init__(self, runs: _Optional[_Iterable[_Union[Run, _Mapping[str, object]]]] = ...) -> None: ...

class PreviewCostsRequest(_message.Message):
    __slots__ = ("schema_name", "provider_uuids", "start_date", "end_date", "cost_model")
    SCHEMA_NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_UUIDS_FIELD_NUMBER: _ClassVar[int]
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    END_DATE_FIELD_NUMBER: _ClassVar[int]
    COST_MODEL_FIELD_NUMBER: _ClassVar[int]
    schema_name: str
    provider_uuids: _containers.RepeatedScalarFieldContainer[str]
    start_date: str
    end_date: str
    cost_model: str
    def __init__(self, schema_name: _Optional[str] = ..., provider_uuids: _Optional[_Iterable[str]] = ..., start_date: _Optional[str] = ..., end_date: _Optional[str] = ..., cost_model: _Optional[str] = ...) -> None: ...

class CostParts(_message.Message):
    __slots__ = ("raw_cost", "markup_cost", "infrastructure_usage_cost", "supplementary_usage_cost", "platform_distributed", "worker_distributed", "unattributed_storage", "unattributed_network", "gpu_distributed", "total_cost")
    RAW_COST_FIELD_NUMBER: _ClassVar[int]
    MARKUP_COST_FIELD_NUMBER: _ClassVar[int]
    INFRASTRUCTURE_USAGE_COST_FIELD_NUMBER: _ClassVar[int]
    SUPPLEMENTARY_USAGE_COST_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_DISTRIBUTED_FIELD_NUMBER: _ClassVar[int]
    WORKER_DISTRIBUTED_FIELD_NUMBER: _ClassVar[int]
    UNATTRIBUTED_STORAGE_FIELD_NUMBER: _ClassVar[int]
    UNATTRIBUTED_NETWORK_FIELD_NUMBER: _ClassVar[int]
    GPU_DISTRIBUTED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COST_FIELD_NUMBER: _ClassVar[int]
    raw_cost: float
    markup_cost: float
    infrastructure_usage_cost: float
    supplementary_usage_cost: float
    platform_distributed: float
    worker_distributed: float
    unattributed_storage: float
    unattributed_network: float
    gpu_distributed: float
    total_cost: float
    def __init__(self, raw_cost: _Optional[float] = ..., markup_cost: _Optional[float] = ..., infrastructure_usage_cost: _Optional[float] = ..., supplementary_usage_cost: _Optional[float] = ..., platform_distributed: _Optional[float] = ..., worker_distributed: _Optional[float] = ..., unattributed_storage: _Optional[float] = ..., unattributed_network: _Optional[float] = ..., gpu_distributed: _Optional[float] = ..., total_cost: _Optional[float] = ...) -> None: ...

class ProjectPreview(_message.Message):
    __slots__ = ("provider_uuid", "namespace", "now", "then")
    PROVIDER_UUID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    THEN_FIELD_NUMBER: _ClassVar[int]
    provider_uuid: str
    namespace: str
    now: CostParts
    then: CostParts
    def __init__(self, provider_uuid: _Optional[str] = ..., namespace: _Optional[str] = ..., now: _Optional[_Union[CostParts, _Mapping[str, object]]] = ..., then: _Optional[_Union[CostParts, _Mapping[str, object]]] = ...) -> None: ...

class PreviewCostsResponse(_message.Message):
    __slots__ = ("projects", "now", "then", "rows_read")
    PROJECTS_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    THEN_FIELD_NUMBER: _ClassVar[int]
    ROWS_READ_FIELD_NUMBER: _ClassVar[int]
    projects: _containers.RepeatedCompositeFieldContainer[ProjectPreview]
    now: CostParts
    then: CostParts
    rows_read: int
    def __init__(self, projects: _Optional[_Iterable[_Union[ProjectPreview, _Mapping[str, object]]]] = ..., now: _Optional[_Union[CostParts, _Mapping[str, object]]] = ..., then: _Optional[_Union[CostParts, _Mapping[str, object]]] = ..., rows_read: _Optional[int] = ...) -> None: ...
