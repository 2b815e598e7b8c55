from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class IngestPayload(_message.Message):
    __slots__ = ("upload_id",)
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    upload_id: int
    def __init__(self, upload_id: _Optional[int] = ...) -> None: ...

class SummariseRange(_message.Message):
    __slots__ = ("schema_name", "provider_uuid", "start_date", "end_date", "manifest_ids", "skip_ocp_on_cloud", "queue_name", "cause")
    SCHEMA_NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_UUID_FIELD_NUMBER: _ClassVar[int]
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    END_DATE_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_IDS_FIELD_NUMBER: _ClassVar[int]
    SKIP_OCP_ON_CLOUD_FIELD_NUMBER: _ClassVar[int]
    QUEUE_NAME_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    schema_name: str
    provider_uuid: str
    start_date: str
    end_date: str
    manifest_ids: _containers.RepeatedScalarFieldContainer[int]
    skip_ocp_on_cloud: bool
    queue_name: str
    cause: str
    def __init__(self, schema_name: _Optional[str] = ..., provider_uuid: _Optional[str] = ..., start_date: _Optional[str] = ..., end_date: _Optional[str] = ..., manifest_ids: _Optional[_Iterable[int]] = ..., skip_ocp_on_cloud: _Optional[bool] = ..., queue_name: _Optional[str] = ..., cause: _Optional[str] = ...) -> None: ...

class SummariseAll(_message.Message):
    __slots__ = ("start_date", "end_date", "schema_name")
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    END_DATE_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_NAME_FIELD_NUMBER: _ClassVar[int]
    start_date: str
    end_date: str
    schema_name: str
    def __init__(self, start_date: _Optional[str] = ..., end_date: _Optional[str] = ..., schema_name: _Optional[str] = ...) -> None: ...

class CorrelateCloud(_message.Message):
    __slots__ = ("schema_name", "ocp_provider_uuid", "infra_provider_uuid", "start_date", "end_date", "manifest_ids", "queue_name")
    SCHEMA_NAME_FIELD_NUMBER: _ClassVar[int]
    OCP_PROVIDER_UUID_FIELD_NUMBER: _ClassVar[int]
    INFRA_PROVIDER_UUID_FIELD_NUMBER: _ClassVar[int]
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    END_DATE_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_IDS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_NAME_FIELD_NUMBER: _ClassVar[int]
    schema_name: str
    ocp_provider_uuid: str
    infra_provider_uuid: str
    start_date: str
    end_date: str
    manifest_ids: _containers.RepeatedScalarFieldContainer[int]
    queue_name: str
    def __init__(self, schema_name: _Optional[str] = ..., ocp_provider_uuid: _Optional[str] = ..., infra_provider_uuid: _Optional[str] = ..., start_date: _Optional[str] = ..., end_date: _Optional[str] = ..., manifest_ids: _Optional[_Iterable[int]] = ..., queue_name: _Optional[str] = ...) -> None: ...

class ApplyCostModel(_message.Message):
    __slots__ = ("schema_name", "provider_uuid", "start_date", "end_date", "manifest_ids", "queue_name")
    SCHEMA_NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_UUID_FIELD_NUMBER: _ClassVar[int]
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    END_DATE_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_IDS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_NAME_FIELD_NUMBER: _ClassVar[int]
    schema_name: str
    provider_uuid: str
    start_date: str
    end_date: str
    manifest_ids: _containers.RepeatedScalarFieldContainer[int]
    queue_name: str
    def __init__(self, schema_name: _Optional[str] = ..., provider_uuid: _Optional[str] = ..., start_date: _Optional[str] = ..., end_date: _Optional[str] = ..., manifest_ids: _Optional[_Iterable[int]] = ..., queue_name: _Optional[str] = ...) -> None: ...

class MarkManifestsComplete(_message.Message):
    __slots__ = ("schema_name", "provider_uuid", "manifest_ids")
    SCHEMA_NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_UUID_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_IDS_FIELD_NUMBER: _ClassVar[int]
    schema_name: str
    provider_uuid: str
    manifest_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, schema_name: _Optional[str] = ..., provider_uuid: _Optional[str] = ..., manifest_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class ValidateRange(_message.Message):
    __slots__ = ("schema_name", "provider_uuid", "start_date", "end_date")
    SCHEMA_NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_UUID_FIELD_NUMBER: _ClassVar[int]
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    END_DATE_FIELD_NUMBER: _ClassVar[int]
    schema_name: str
    provider_uuid: str
    start_date: str
    end_date: str
    def __init__(self, schema_name: _Optional[str] = ..., provider_uuid: _Optional[str] = ..., start_date: _Optional[str] = ..., end_date: _Optional[str] = ...) -> None: ...

class CheckReportUpdates(_message.Message):
    __slots__ = ("provider_uuid", "bill_date", "queue_name")
    PROVIDER_UUID_FIELD_NUMBER: _ClassVar[int]
    BILL_DATE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_NAME_FIELD_NUMBER: _ClassVar[int]
    provider_uuid: str
    bill_date: str
    queue_name: str
    def __init__(self, provider_uuid: _Optional[str] = ..., bill_date: _Optional[str] = ..., queue_name: _Optional[str] = ...) -> None: ...

class IngestReportFile(_message.Message):
    __slots__ = ("schema_name", "provider_uuid", "manifest_id", "report_name")
    SCHEMA_NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_UUID_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_ID_FIELD_NUMBER: _ClassVar[int]
    REPORT_NAME_FIELD_NUMBER: _ClassVar[int]
    schema_name: str
    provider_uuid: str
    manifest_id: int
    report_name: str
    def __init__(self, schema_name: _Optional[str] = ..., provider_uuid: _Optional[str] = ..., manifest_id: _Optional[int] = ..., report_name: _Optional[str] = ...) -> None: ...

class DeleteSourceData(_message.Message):
    __slots__ = ("schema_name", "provider_uuid")
    SCHEMA_NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_UUID_FIELD_NUMBER: _ClassVar[int]
    schema_name: str
    provider_uuid: str
    def __init__(self, schema_name: _Optional[str] = ..., provider_uuid: _Optional[str] = ...) -> None: ...

class PurgeSourceRange(_message.Message):
    __slots__ = ("schema_name", "provider_uuid", "start_date", "end_date")
    SCHEMA_NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_UUID_FIELD_NUMBER: _ClassVar[int]
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    END_DATE_FIELD_NUMBER: _ClassVar[int]
    schema_name: str
    provider_uuid: str
    start_date: str
    end_date: str
    def __init__(self, schema_name: _Optional[str] = ..., provider_uuid: _Optional[str] = ..., start_date: _Optional[str] = ..., end_date: _Optional[str] = ...) -> None: ...

class RemoveExpiredData(_message.Message):
    __slots__ = ("simulate", "schema_name", "provider_uuid")
    SIMULATE_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_UUID_FIELD_NUMBER: _ClassVar[int]
    simulate: bool
    schema_name: str
    provider_uuid: str
    def __init__(self, simulate: _Optional[bool] = ..., schema_name: _Optional[str] = ..., provider_uuid: _Optional[str] = ...) -> None: ...

class RemoveStaleObjects(_message.Message):
    __slots__ = ("simulate", "schema_name")
    SIMULATE_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_NAME_FIELD_NUMBER: _ClassVar[int]
    simulate: bool
    schema_name: str
    def __init__(self, simulate: _Optional[bool] = ..., schema_name: _Optional[str] = ...) -> None: ...

class RemoveStaleTasks(_message.Message):
    __slots__ = ("older_than_seconds",)
    OLDER_THAN_SECONDS_FIELD_NUMBER: _ClassVar[int]
    older_than_seconds: int
    def __init__(self, older_than_seconds: _Optional[int] = ...) -> None: ...

class RemoveStaleTenants(_message.Message):
    __slots__ = ("simulate",)
    SIMULATE_FIELD_NUMBER: _ClassVar[int]
    simulate: bool
    def __init__(self, simulate: _Optional[bool] = ...) -> None: ...

class EnsurePartitions(_message.Message):
    __slots__ = ("schema_name", "months_ahead")
    SCHEMA_NAME_FIELD_NUMBER: _ClassVar[int]
    MONTHS_AHEAD_FIELD_NUMBER: _ClassVar[int]
    schema_name: str
    months_ahead: int
    def __init__(self, schema_name: _Optional[str] = ..., months_ahead: _Optional[int] = ...) -> None: ...

class TuneAutovacuum(_message.Message):
    __slots__ = ("schema_name",)
    SCHEMA_NAME_FIELD_NUMBER: _ClassVar[int]
    schema_name: str
    def __init__(self, schema_name: _Optional[str] = ...) -> None: ...

class FetchCurrencyRates(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckSourceStatus(_message.Message):
    __slots__ = ("provider_uuid",)
    PROVIDER_UUID_FIELD_NUMBER: _ClassVar[int]
    provider_uuid: str
    def __init__(self, provider_uuid: _Optional[str] = ...) -> None: ...

class DeletePendingSources(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
