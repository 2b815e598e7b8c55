import random

import pytest
from google.protobuf.message import Message

from kura.core.errors import BadRequest
from kura.queue.queues import QUEUES
from kura.queue.tasks import (
    TASK_TYPES,
    UndecodableTask,
    UnknownTask,
    decoded,
    encoded,
    full_jitter,
    patient_jitter,
    task_type,
)
from kura.rpc.tasks.v1 import tasks_pb2 as pb


def summary(start: str, end: str, manifests: list[int], **facts: object) -> pb.SummariseRange:
    return pb.SummariseRange(
        schema_name="org1", provider_uuid="p", start_date=start, end_date=end, manifest_ids=manifests, **facts
    )


def test_every_message_of_the_contract_is_in_the_catalogue():
    assert set(TASK_TYPES) == {message.full_name for message in pb.DESCRIPTOR.message_types_by_name.values()}


@pytest.mark.parametrize("kind", TASK_TYPES.values(), ids=lambda kind: kind.name)
def test_every_type_has_a_queue_and_bounds(kind):
    assert kind.queue in QUEUES
    assert 1 <= kind.max_attempts <= 25
    assert 0 <= kind.priority <= 6
    assert kind.timeout_seconds > 0


@pytest.mark.parametrize("kind", TASK_TYPES.values(), ids=lambda kind: kind.name)
def test_a_message_survives_its_row(kind):
    message: Message = kind.message()
    for field in kind.message.DESCRIPTOR.fields:
        if field.is_repeated:
            getattr(message, field.name).extend([7, 2**40])
        else:
            setattr(
                message,
                field.name,
                {"string": "2025-01-10", "int64": 2**40, "bool": True, "int32": 3}[
                    {9: "string", 3: "int64", 8: "bool", 5: "int32"}[field.type]
                ],
            )
    assert decoded(kind, encoded(message)) == message


def test_two_ranges_of_one_month_become_one_that_covers_both():
    kind = task_type("kura.tasks.v1.SummariseRange")
    waiting = summary("2025-01-05", "2025-01-10", [1, 2], cause="upload")
    asked = summary("2025-01-08", "2025-01-20", [2, 3], cause="admin", skip_ocp_on_cloud=True)

    assert kind.dedupe_key(waiting) == kind.dedupe_key(asked) == "SummariseRange:org1:p:2025-01"
    assert kind.merge(waiting, asked) == summary("2025-01-05", "2025-01-20", [1, 2, 3], cause="admin")


def test_ranges_of_different_months_stay_apart():
    kind = task_type("kura.tasks.v1.SummariseRange")
    january, february = summary("2025-01-05", "2025-01-10", []), summary("2025-02-01", "2025-02-01", [])
    assert kind.dedupe_key(january) != kind.dedupe_key(february)


@pytest.mark.parametrize(
    ("start", "end"), [("2025-01-05", "2025-02-01"), ("2025-01-05", "2025-01-04"), ("soon", "2025-01-04")]
)
def test_a_range_that_is_not_within_one_month_is_refused(start, end):
    with pytest.raises(BadRequest):
        task_type("kura.tasks.v1.SummariseRange").dedupe_key(summary(start, end, []))


def test_fields_of_a_newer_version_are_skipped():
    kind = task_type("kura.tasks.v1.IngestPayload")
    assert decoded(kind, {"uploadId": "3", "colour": "red"}) == pb.IngestPayload(upload_id=3)


@pytest.mark.parametrize("payload", [{"uploadId": "many"}, [], "text", None, 3])
def test_a_payload_that_cannot_be_read_says_so(payload):
    with pytest.raises(UndecodableTask):
        decoded(task_type("kura.tasks.v1.IngestPayload"), payload)


@pytest.mark.parametrize("name", ["kura.tasks.v2.IngestPayload", "IngestPayload", ""])
def test_an_unknown_type_or_major_version_says_so(name):
    with pytest.raises(UnknownTask):
        task_type(name)


def test_pauses_grow_with_the_attempts_are_spread_and_bounded():
    random.seed(1)
    pauses = {attempt: [full_jitter(attempt) for _ in range(500)] for attempt in (1, 4, 20)}
    assert max(pauses[1]) <= 2 < max(pauses[4]) <= 16 < max(pauses[20]) <= 600
    assert min(pauses[20]) < 60


def test_pauses_for_a_service_that_is_away_grow_with_the_age_of_the_task_and_are_bounded():
    random.seed(1)
    pauses = {age: [patient_jitter(age) for _ in range(500)] for age in (0, 40, 80_000)}
    assert max(pauses[0]) <= 2 < max(pauses[40]) <= 40 < max(pauses[80_000]) <= 600
    assert min(pauses[80_000]) < 60
