"""manifest.json: what is accepted, what is refused (ocp-payload §3.2, §7)."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from kura.core.errors import PayloadRefused
from kura.workers.ocp.manifest import Manifest, mask_details, read_manifest

UUID4 = "3b9b1b46-6f4b-4a0c-9d6d-0f6a2a1c9c11"


def manifest(**changes: Any) -> Manifest:
    fields = {"uuid": UUID4, "cluster_id": "c1", "date": "2025-01-10T06:00:00Z", "files": ["a.csv"], **changes}
    return read_manifest(json.dumps({k: v for k, v in fields.items() if v is not ...}).encode())


def test_the_least_manifest_takes_every_default():
    read = manifest(files=...)

    assert (read.files, read.resource_optimization_files, read.version, read.operator_version) == ((), (), "", "")
    assert (read.start, read.end, read.certified, read.daily_reports, read.hours_per_day) == (
        None,
        None,
        False,
        False,
        {},
    )
    assert (read.cluster_channel, read.operator_airgapped, read.operator_errors) == (None, True, None)


@pytest.mark.parametrize("name", ["files", "resource_optimization_files"])
def test_gos_null_is_an_empty_list(name):
    assert getattr(manifest(**{name: None}), name) == ()


@pytest.mark.parametrize("name", ["version", "certified", "daily_reports", "cr_status"])
def test_null_is_the_default_and_is_noted(name):
    assert manifest(**{name: None}).ignored == (name,)


@pytest.mark.parametrize(
    "changes",
    [
        {"uuid": ...},
        {"uuid": None},
        {"uuid": 7},
        {"uuid": "not-a-uuid"},
        {"uuid": "6f4b3b9b-1b46-11ef-9d6d-0f6a2a1c9c11"},
        {"uuid": UUID4.replace("-", "")},
        {"cluster_id": ...},
        {"cluster_id": ""},
        {"cluster_id": "."},
        {"cluster_id": "a/b"},
        {"cluster_id": "a\\b"},
        {"cluster_id": "a..b"},
        {"cluster_id": "c" * 51},
        {"cluster_id": ["c1"]},
        {"date": ...},
        {"date": "yesterday"},
        {"date": 5},
        {"start": "soon"},
        {"end": {}},
        {"files": "a.csv"},
        {"files": [1]},
        {"files": ["../../etc/passwd"]},
        {"files": ["sub/a.csv"]},
        {"files": ["https://example.com/a.csv"]},
        {"files": [""]},
        {"files": ["a\nb.csv"]},
        {"files": ["a" * 513]},
        {"files": ["a.csv", "a.csv"]},
        {"resource_optimization_files": ["..\\x"]},
        {"version": 5},
        {"certified": "true"},
        {"daily_reports": 1},
        {"cr_status": []},
    ],
)
def test_a_wrong_field_refuses_the_payload_and_is_named(changes):
    with pytest.raises(PayloadRefused) as refused:
        manifest(**changes)

    assert refused.value.reason_code == "invalid_manifest"
    assert next(iter(changes)) in str(refused.value)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"a": NaN}', b"[" * 5000])
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(PayloadRefused, match="JSON"):
        read_manifest(text)


def test_unknown_fields_are_ignored():
    assert manifest(colour="red", nested={"a": [1]}).cluster_id == "c1"


def test_times_without_a_zone_are_utc_and_others_are_brought_to_it():
    read = manifest(date="2025-01-10T06:00:00", start="2025-01-10T01:00:00.123456789+02:00", end="2025-01-10T05:00:00Z")

    assert (read.date, read.start) == (
        datetime(2025, 1, 10, 6, tzinfo=UTC),
        datetime(2025, 1, 9, 23, 0, 0, 123456, tzinfo=UTC),
    )


def test_the_operators_version_is_looked_up_and_never_believed():
    text = json.dumps(
        {"uuid": UUID4, "cluster_id": "c1", "date": "2025-01-10T06:00:00Z", "version": "abc"}
        | {"operator_version": "9"}
    )

    assert read_manifest(text.encode(), releases={"abc": "costmanagement-metrics-operator:4.1.0"}).operator_version == (
        "costmanagement-metrics-operator:4.1.0"
    )
    assert read_manifest(text.encode()).operator_version == "abc"


def test_status_of_the_operator_is_kept():
    read = manifest(
        cr_status={
            "clusterVersion": "stable-4.16",
            "upload": {"upload": True, "error": "no route"},
            "source": {"error": ""},
            "prometheus": {"error": "401"},
            "authentication": "odd",
        }
    )

    assert (read.cluster_channel, read.operator_airgapped) == ("stable-4.16", False)
    assert read.operator_errors == {"upload_error": "no route", "prometheus_error": "401"}


@pytest.mark.parametrize(("upload", "airgapped"), [({"upload": "True"}, False), ({"upload": False}, True), ({}, True)])
def test_an_operator_that_does_not_upload_is_airgapped(upload, airgapped):
    assert manifest(cr_status={"upload": upload}).operator_airgapped is airgapped


def test_gos_zero_time_means_that_nothing_was_collected():
    read = manifest(start="0001-01-01T00:00:00Z", end="0001-01-01T00:00:00Z")

    assert (read.collected_nothing, read.hours_per_day) == (True, {})
    assert (str(read.month), read.last_day) == ("2025-01", date(2025, 1, 31))


def test_a_range_of_centuries_is_not_counted_out():
    assert manifest(start="0002-01-01T00:00:00Z", end="9999-01-02T00:00:00Z").hours_per_day == {}


def test_query_texts_in_a_collection_message_are_masked():
    assert mask_details("failed: {sum(x{a=1})} and {b}") == "failed: {sum(x{***})} and {***}"
