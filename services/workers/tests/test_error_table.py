"""Every case of the error table with the bytes that cause it (ocp-payload §7; reliability F35–F37, F40, F41)."""

from __future__ import annotations

import gzip
import json
import tarfile
from contextlib import nullcontext
from datetime import datetime
from uuid import uuid4

import pytest
from sqlalchemy import select, update
from workers_house import CLUSTER, DAY, TODAY, at, payload, pods

from kura.core.errors import ObjectStoreUnavailable
from kura.store.objects import ObjectStore
from kura.store.tables.shared import FILE_DONE, FILE_FAILED, UPLOAD
from kura.testing.archives import Member, csv_bytes, manifest_of, payload_bytes, report_row
from kura.workers.ocp.convert import Converter

GOOD = csv_bytes(pods(DAY))
NODES = csv_bytes([report_row("node_labels", at(DAY), node="n1", node_labels="label_a:b")])


def manifest(**changes: object) -> dict[str, object]:
    given = manifest_of(cluster_id=CLUSTER, uuid=str(uuid4()), files=["pods.csv"], date=datetime.now(tz=at(DAY).tzinfo))
    return {k: v for k, v in (dict(given) | changes).items() if v is not ...}


def archive(**changes: object) -> bytes:
    return payload_bytes(manifest=manifest(**changes), files={"pods.csv": GOOD})


# ── the whole payload ────────────────────────────────────────────────────────────────────────────────────────────────

REFUSED = {
    "not gzip": (b"this is no archive", "not_an_archive"),
    "empty": (b"", "not_an_archive"),
    "truncated": (archive()[:-40], "not_an_archive"),
    "gzip but no tar": (gzip.compress(b"no tar" * 500), "not_an_archive"),
    "absolute member": (
        payload_bytes(manifest=manifest(), members=[Member(name="/etc/x", content=b"x")]),
        "hostile_archive",
    ),
    "member above": (
        payload_bytes(manifest=manifest(), members=[Member(name="../x", content=b"x")]),
        "hostile_archive",
    ),
    "link outside": (
        payload_bytes(manifest=manifest(), members=[Member(name="x", type=tarfile.SYMTYPE, linkname="/etc/passwd")]),
        "hostile_archive",
    ),
    "device": (payload_bytes(manifest=manifest(), members=[Member(name="x", type=tarfile.CHRTYPE)]), "hostile_archive"),
    "two manifests": (
        payload_bytes(manifest=manifest(), members=[Member(name="manifest.json", content=b"{}")]),
        "hostile_archive",
    ),
    "no manifest": (payload_bytes(manifest=None, files={"pods.csv": GOOD}), "no_manifest"),
    "manifest in a directory": (payload_bytes(manifest=manifest(), manifest_name="a/manifest.json"), "no_manifest"),
    "manifest too large": (payload_bytes(manifest=b" " * (10 * 2**20 + 1)), "invalid_manifest"),
    "manifest no json": (payload_bytes(manifest=b"{uuid"), "invalid_manifest"),
    "manifest no object": (payload_bytes(manifest=b"[]"), "invalid_manifest"),
    "wrong type": (archive(files="pods.csv"), "invalid_manifest"),
    "uuid not v4": (archive(uuid="6f4b3b9b-1b46-11ef-9d6d-0f6a2a1c9c11"), "invalid_manifest"),
    "path in a name": (archive(files=["../../etc/passwd"]), "invalid_manifest"),
    "file listed twice": (archive(files=["pods.csv", "pods.csv"]), "invalid_manifest"),
    "no cluster": (archive(cluster_id=...), "invalid_manifest"),
}


async def test_bad_payloads_fail_with_words_and_leave_nothing(house):
    house.add_source()

    uploads = {case: await house.take_in(content) for case, (content, _) in REFUSED.items()}

    found = {case: (upload.state, upload.reason_code) for case, upload in uploads.items()}
    assert found == {case: ("failed", code) for case, (_, code) in REFUSED.items()}
    assert all(upload.reason.startswith("The payload was refused: ") for upload in uploads.values())
    assert (house.manifests(), house.parquet_keys()) == ([], set())
    assert all(house.objects.exists(upload.object_key) for upload in uploads.values())  # kept for a look at them
    assert list(house.tools.work_directory.glob("upload-*")) == []


async def test_a_payload_that_unpacks_to_too_much_is_stopped(house):
    house.add_source()
    content = payload_bytes(manifest=manifest(), files={"pods.csv": b"0" * 200_000_000})

    upload = await house.take_in(content)

    assert (upload.state, upload.reason_code) == ("failed", "too_large")


@pytest.mark.parametrize("name", ["cr_status", "certified", "version"])
async def test_null_in_the_manifest_is_the_default(house, name):
    house.add_source()

    assert (await house.take_in(archive(**{name: None}))).state == "done"


async def test_a_directory_with_an_empty_name_is_accepted(house):
    house.add_source()
    content = payload_bytes(manifest=manifest(), files={"pods.csv": GOOD}, directory_member=True)

    assert (await house.take_in(content)).state == "done"


async def test_a_file_that_the_manifest_does_not_name_is_ignored(house):
    house.add_source()
    upload = await house.take_in(payload({"pods.csv": GOOD, "other.csv": NODES}, named=["pods.csv"]))

    assert (upload.state, [f["name"] for f in upload.files]) == ("done", ["pods.csv"])
    assert list(house.visible()) == [("pod_usage", DAY)]


async def test_the_uuid_of_an_older_payload_keeps_its_manifest_and_adds_its_files(house):
    house.add_source()
    uuid = str(uuid4())
    await house.take_in(payload({"pods.csv": GOOD}, uuid=uuid))

    upload = await house.take_in(payload({"nodes.csv": NODES}, uuid=uuid))

    assert upload.state == "done"
    assert len(house.manifests()) == 1
    assert list(house.visible()) == [("node_labels", DAY), ("pod_usage", DAY)]
    assert len(house.aggregator.requests) == 2


async def test_the_cluster_of_the_manifest_decides_where_data_goes(house):
    mine, other = house.add_source(), house.add_source("cluster-2")
    upload = await house.take_in(payload({"pods.csv": GOOD}, cluster_id="cluster-2"))

    assert upload.provider_uuid == other
    assert not [key for key in house.parquet_keys() if str(mine) in key]


# ── one file ─────────────────────────────────────────────────────────────────────────────────────────────────────────

BAD_FILES = {
    "not UTF-8": (GOOD.replace(b"web-1", b"w\xe9b", 1), "line 2: the text is not UTF-8"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "line 1: the text is not UTF-8"),
    "quote never closed": (GOOD.replace(b"web-1", b'"web-1', 1), "never ends"),
    "no interval_start": (GOOD.replace(b"interval_start", b"began", 1), "no column interval_start"),
    "empty interval_start": (
        csv_bytes([*pods(DAY, range(3)), *pods(DAY, range(1), interval_start="")]),
        'line 5, column interval_start: ""',
    ),
    "another zone": (
        csv_bytes(pods(DAY, range(1), interval_end="2025-01-01 00:00:00 +0200 CEST")),
        'line 2, column interval_end: "2025-01-01 00:00:00 +0200 CEST"',
    ),
    "no date": (csv_bytes(pods(DAY, range(1), report_period_start="soon")), 'column report_period_start: "soon"'),
}


async def test_bad_files_fail_alone_and_their_user_is_told_why(house):
    for number, (content, words) in enumerate(BAD_FILES.values()):
        cluster_id = f"cluster-{number}"
        house.add_source(cluster_id)
        upload = await house.take_in(payload({f"bad-{number}.csv": content, "nodes.csv": NODES}, cluster_id=cluster_id))

        assert (upload.state, upload.reason_code) == ("failed", "file_refused")
        assert upload.reason.startswith(f"One file of the payload could not be read (bad-{number}.csv: line ")
        assert words in upload.reason
        assert [file["state"] for file in upload.files] == ["failed", "done"]
        bad = house.files()[f"bad-{number}.csv"]
        assert (bad.status, bad.completed_datetime) == (FILE_FAILED, None)

    good = house.files()["nodes.csv"]
    assert (good.status, good.completed_datetime is not None) == (FILE_DONE, True)
    assert list(house.visible()) == [("node_labels", DAY)]
    assert (house.ranges(), house.aggregator.requests) == ([], [])
    assert {row.completed_datetime for row in house.manifests()} == {None}


async def test_a_bad_file_sent_again_without_its_fault_completes_the_manifest(house):
    house.add_source()
    bad = GOOD.replace(b"interval_start", b"x", 1)
    uuid = str(uuid4())
    failed = await house.take_in(payload({"pods.csv": bad, "nodes.csv": NODES}, uuid=uuid))

    again = await house.take_in(payload({"pods.csv": GOOD, "nodes.csv": NODES}, uuid=uuid))

    assert (failed.state, again.state) == ("failed", "done")
    assert {f["name"]: f["reason"] for f in again.files} == {"pods.csv": None, "nodes.csv": "already_ingested"}


@pytest.mark.parametrize(
    ("content", "note"),
    [(b"", "empty"), (b"\n\n", "empty"), (b"interval_start,colour\nx,red\n", "unknown_type")],
)
async def test_a_file_with_nothing_for_us_is_done_with_a_note(house, content, note):
    house.add_source()

    upload = await house.take_in(payload({"odd.csv": content, "pods.csv": GOOD}))

    assert upload.state == "done"
    assert {f["name"]: f["reason"] for f in upload.files} == {"odd.csv": note, "pods.csv": None}


async def test_a_file_with_only_a_header_is_done_and_the_rest_goes_on(house):
    house.add_source()

    upload = await house.take_in(payload({"empty.csv": NODES.splitlines()[0], "pods.csv": GOOD}))

    assert (upload.state, list(house.visible())) == ("done", [("pod_usage", DAY)])


async def test_a_payload_without_a_single_day_is_done_without_a_summary(house):
    house.add_source()

    upload = await house.take_in(payload({"empty.csv": NODES.splitlines()[0]}))

    assert (upload.state, house.ranges(), house.aggregator.requests) == ("done", [], [])
    assert house.manifests()[0].completed_datetime is not None


async def test_rows_with_too_many_fields_and_impossible_values_are_counted(house):
    house.add_source()
    rows = csv_bytes([*pods(DAY, range(2)), *pods(DAY, range(1), node_capacity_cpu_cores="NaN")])
    rows += csv_bytes(pods(DAY, range(1), pod_usage_cpu_core_seconds="1e19")).splitlines()[1] + b"\n"
    rows += GOOD.splitlines()[1] + b",more\n"

    upload = await house.take_in(payload({"pods.csv": rows}))

    assert upload.files[0]["dropped"] == {
        "not_a_finite_number": 1,
        "implausible_value": 1,
        "too_many_fields": 1,
    }
    assert upload.files[0]["rows"] == 2


async def test_a_row_outside_the_manifests_period_is_stored_under_its_own_day_and_summarised(house):
    house.add_source()
    early = DAY.replace(day=1) if DAY.day > 1 else DAY

    await house.take_in(payload({"pods.csv": [*pods(early, range(1)), *pods(DAY, range(1))]}))

    assert house.ranges() == [(early, DAY, True)]


async def test_a_report_name_of_512_characters_is_accepted(house):
    house.add_source()
    names = ["x" * 508 + ".csv", "x" * 507 + "y.csv"]

    upload = await house.take_in(payload({names[0]: GOOD, names[1]: NODES}))

    assert (upload.state, {f["name"] for f in upload.files}) == ("done", set(names))
    assert len(house.files()) == 2


# ── what may pass ────────────────────────────────────────────────────────────────────────────────────────────────────


class ShakyStore:
    """An object store that fails some of its writes."""

    def __init__(self, store: ObjectStore, failures: int, prefix: str = "data/") -> None:
        self._store = store
        self.failures = failures
        self._prefix = prefix

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    def together(self):
        return nullcontext(self)

    def write(self, key, content, metadata=None):
        if key.startswith(self._prefix) and self.failures:
            self.failures -= 1
            raise ObjectStoreUnavailable("503 slow down")
        return self._store.write(key, content, metadata)


async def test_an_object_store_that_is_away_for_a_while_costs_only_time(house):
    house.add_source()
    house.with_tools(objects=ShakyStore(house.objects, failures=2))
    upload_id = house.upload(payload({"pods.csv": GOOD}))

    await house.work_until_no_task_waits()

    assert house.upload_row(upload_id).state == "done"
    assert len(house.visible()[("pod_usage", DAY)]) == 24


async def test_an_object_store_that_stays_away_fails_the_upload_in_words(house):
    house.add_source()
    house.with_tools(objects=ShakyStore(house.objects, failures=10**9))
    upload_id = house.upload(payload({"pods.csv": GOOD}))
    await house.work()
    waiting = house.upload_row(upload_id)
    assert (waiting.state, waiting.reason_code) == ("processing", "object_store_unavailable")
    assert waiting.reason.endswith("It is kept and will be tried again.")

    house.execute("update task set created_at = created_at - interval '25 hours'")
    await house.work_until_no_task_waits()

    upload = house.upload_row(upload_id)
    assert (upload.state, upload.reason_code) == ("failed", "object_store_unavailable")
    assert "503 slow down" in upload.reason
    assert "administrator" in upload.reason


async def test_a_right_sizing_file_that_cannot_be_kept_stops_nothing(house):
    house.add_source()
    house.with_tools(objects=ShakyStore(house.objects, failures=1, prefix=house.schema))

    upload = await house.take_in(payload({"pods.csv": GOOD}, optimization={"ros.csv": b"x"}))

    assert (upload.state, upload.files[0]["state"]) == ("done", "skipped")


async def test_a_payload_that_is_gone_from_the_store_fails_after_the_last_attempt(house):
    house.add_source()
    upload_id = house.upload(payload({"pods.csv": GOOD}))
    house.objects.delete([house.upload_row(upload_id).object_key])

    await house.work_until_no_task_waits()

    assert house.upload_row(upload_id).reason_code == "payload_missing"


async def test_a_day_that_does_not_fit_into_memory_says_what_to_set_and_is_taken_in_after_that(house, tmp_path):
    house.add_source()
    enough = house.tools.converter
    upload_id = house.upload(payload({"pods.csv": GOOD}))
    with Converter(tmp_path, threads=1, engine_memory_bytes=2 * 2**20) as small:
        house.with_tools(converter=small)
        await house.work()
    upload = house.upload_row(upload_id)
    assert (upload.state, upload.reason_code) == ("processing", "convert_memory_too_small")
    assert f"the daily rows of pod_usage on {DAY} do not fit into 2.0 MiB of memory" in upload.reason
    assert "set KURA_CONVERT_MEMORY_MIB of the workers to more" in upload.reason
    assert (house.visible(), house.parquet_keys()) == ({}, set())

    house.with_tools(converter=enough)
    await house.work_until_no_task_waits()
    assert house.upload_row(upload_id).state == "done"


async def test_files_that_never_come_leave_the_upload_waiting_and_given_up_it_ends_partial(house):
    house.add_source()
    upload = await house.take_in(payload({"pods.csv": GOOD}, named=["pods.csv", "never.csv"]))
    assert (upload.state, upload.reason_code) == ("waiting", "incomplete_manifest")

    # What the reconciler of the scheduler does after an hour and after a day.
    [manifest_row] = house.manifests()
    with house.db.begin() as c:
        c.execute(update(UPLOAD).values(reason_code="partial", reason="never.csv has not come"))
    house.ask_for_summary(manifest_row, DAY)
    await house.work()

    upload = house.upload_row(upload.id)
    assert (upload.state, upload.reason_code, upload.reason) == ("done", "partial", "never.csv has not come")
    assert house.rows(select(UPLOAD.c.summarised_at))[0][0] is not None


async def test_a_manifest_that_was_never_of_this_world(house):
    """Deep nesting, huge numbers, duplicate keys: refused or read, never a crash."""
    house.add_source()
    for text in (b"[" * 100_000, b'{"uuid": 1e400}', b'{"date":' + b"9" * 10_000 + b"}", json.dumps({}).encode()):
        upload = await house.take_in(payload_bytes(manifest=text))
        assert (upload.state, upload.reason_code) == ("failed", "invalid_manifest")


async def test_data_of_tomorrow_is_taken(house):
    house.add_source()
    tomorrow = TODAY.fromordinal(TODAY.toordinal() + 1)

    await house.take_in(payload({"pods.csv": pods(tomorrow, range(1))}))

    assert list(house.visible()) == [("pod_usage", tomorrow)]
