"""Payloads made to harm (reliability F35–F37, F40, S33–S35), each with the bytes themselves, through the whole task.

Whatever comes in: an answer that names the reason, nothing stored that should not be, a work directory that is empty
again, memory and time within limits, and the neighbour's upload taken in as if nothing had happened.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import resource
import tarfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from workers_house import CLUSTER, DAY, House, at, payload, pods

from kura.core.errors import PayloadRefused
from kura.testing.archives import Member, csv_bytes, manifest_of, payload_bytes
from kura.workers.ocp.manifest import read_manifest

GOOD = csv_bytes(pods(DAY))
HEADER, ROW = GOOD.splitlines(keepends=True)[:2]
NEIGHBOUR = "cluster-2"
MIB = 2**20


def manifest(**changes: object) -> dict[str, object]:
    given = manifest_of(cluster_id=CLUSTER, uuid=str(uuid4()), files=["pods.csv"], date=at(DAY))
    return dict(given) | changes


def with_members(*members: Member) -> bytes:
    return payload_bytes(manifest=manifest(), files={"pods.csv": GOOD}, members=members)


def raw_tar(*entries: tuple[tarfile.TarInfo, bytes], tar_format: int = tarfile.DEFAULT_FORMAT) -> bytes:
    """An archive of entries that no packing program would make."""
    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode="w", format=tar_format) as tar:
        for entry, content in entries:
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(text.getvalue())


def entry(name: str, **facts: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for fact, value in facts.items():
        setattr(made, fact, value)
    return made


def sparse_tar() -> bytes:
    """A file of a tebibyte that takes 512 bytes: the old GNU way of holes."""
    header = bytearray(entry("pods.csv", type=tarfile.GNUTYPE_SPARSE, size=512).tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (0, 512)
    header[483:495] = b"\x80" + (2**40).to_bytes(11, "big")
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    end = b"\0" * 1024
    with_manifest = payload_bytes(manifest=manifest(), gzipped=False).rstrip(b"\0")
    padding = b"\0" * (-len(with_manifest) % 512)
    return gzip.compress(with_manifest + padding + bytes(header) + b"x" * 512 + end)


def huge_size() -> bytes:
    """A header that claims more than there can be."""
    return raw_tar_cut(entry("pods.csv", size=2**62), b"x")


def raw_tar_cut(info: tarfile.TarInfo, content: bytes) -> bytes:
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + content.ljust(512, b"\0") + b"\0" * 1024)


def bomb(*, mib: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    zeros = bytes(MIB)
    return b"".join([*(packer.compress(zeros) for _ in range(mib)), packer.flush()])


ARCHIVES = {
    "hard link outside": (with_members(Member(name="x", type=tarfile.LNKTYPE, linkname="../x")), "hostile_archive"),
    "symbolic link out by steps": (
        with_members(Member(name="a/b", type=tarfile.SYMTYPE, linkname="../../../etc")),
        "hostile_archive",
    ),
    "block device": (with_members(Member(name="x", type=tarfile.BLKTYPE)), "hostile_archive"),
    "pipe": (with_members(Member(name="x", type=tarfile.FIFOTYPE)), "hostile_archive"),
    "a file twice": (with_members(Member(name="pods.csv", content=b"other")), "hostile_archive"),
    "a path that leaves and comes back": (with_members(Member(name="a/../../x", content=b"x")), "hostile_archive"),
    "ten thousand and one entries": (
        payload_bytes(manifest=manifest(), files={f"{n}.csv": b"" for n in range(10_001)}),
        "hostile_archive",
    ),
    "a sparse file of a tebibyte": (sparse_tar(), "hostile_archive"),
    "an extended header of a million digits": (
        raw_tar((entry("x", type=tarfile.XHDTYPE, size=MIB), b"9" * MIB), (entry("pods.csv"), b"")),
        "not_an_archive",
    ),
    "a size that cannot be": (huge_size(), "not_an_archive"),
    "a negative size": (raw_tar_cut(entry("pods.csv", size=-1), b"x"), "not_an_archive"),
    "a long name that leads outside": (
        raw_tar((entry("x", size=1, pax_headers={"path": "../../etc/cron.d/x"}), b"x"), tar_format=tarfile.PAX_FORMAT),
        "hostile_archive",
    ),
    "a manifest that is a link": (
        payload_bytes(manifest=None, members=[Member(name="manifest.json", type=tarfile.SYMTYPE, linkname="m")]),
        "no_manifest",
    ),
    "a manifest that is a directory": (
        payload_bytes(manifest=None, members=[Member(name="manifest.json", type=tarfile.DIRTYPE)]),
        "no_manifest",
    ),
    "a manifest beside the root": (
        payload_bytes(manifest=None, members=[Member(name="./manifest.json", content=json.dumps(manifest()).encode())]),
        "no_manifest",
    ),
    "two manifests": (with_members(Member(name="manifest.json", content=b"{}")), "hostile_archive"),
    "a manifest of eleven megabytes": (payload_bytes(manifest=b"{}" + b" " * 11 * MIB), "invalid_manifest"),
    "junk behind the archive": (with_members() + b"JUNK", "not_an_archive"),
    "gzip in gzip": (gzip.compress(with_members()), "not_an_archive"),
    "an archive in the archive": (
        payload_bytes(manifest=None, files={"payload.tar.gz": with_members()}),
        "no_manifest",
    ),
    "gzip bomb": (bomb(mib=120), "too_large"),
    "bomb of gzip members": (bomb(mib=10) * 12, "too_large"),
    "bomb behind a good archive": (with_members() + bomb(mib=120), "too_large"),
    "zip": (b"PK\x03\x04" + bytes(1000), "not_an_archive"),
    "bzip2": (b"BZh91AY&SY" + bytes(1000), "not_an_archive"),
    "a shell script": (b"#!/bin/sh\nexit 0\n", "not_an_archive"),
}

MANIFESTS = {
    "100,000 levels of lists": b'{"uuid":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100,000 levels of objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a number of a million digits": b'{"uuid":' + b"9" * 1_000_000 + b"}",
    "UTF-16": '{"uuid": "x"}'.encode("utf-16"),
    "Latin-1": b'{"cluster_id": "K\xf6ln"}',
    "a lone surrogate": b'{"uuid": "\\ud800"}',
    "NUL bytes": b'{"uuid": "\x00"}',
    "two documents": b"{}{}",
    "NaN": b'{"uuid": NaN}',
    "a million names": b'{"files":[' + b",".join(b'"%d"' % n for n in range(1_000_000)) + b"]}",
}


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def within(*, seconds: float, mib: int) -> Iterator[None]:
    """Processor time and growth of memory of the block."""
    began, peak = time.process_time(), peak_mib()
    yield
    assert time.process_time() - began < seconds
    assert peak_mib() - peak < mib


async def assert_unharmed(house: House) -> None:
    """The neighbour's upload is taken in, and nothing of others lies about."""
    known = len(house.visible())
    upload = await house.take_in(payload({"pods.csv": pods(DAY)}, cluster_id=NEIGHBOUR))
    assert upload.state == "done"
    assert len(house.visible()) == known + 1
    assert list(house.tools.work_directory.glob("upload-*")) == []


@pytest.fixture
def house(house: House) -> House:
    house.add_source()
    house.add_source(NEIGHBOUR)
    return house


async def test_S33_S34_hostile_archives_are_refused_in_words(house: House):
    found = {}
    with within(seconds=20, mib=128):
        for case, (content, _) in ARCHIVES.items():
            upload = await house.take_in(content)
            found[case] = (upload.state, upload.reason_code)
            assert upload.reason.startswith("The payload was refused: ")

    assert found == {case: ("failed", code) for case, (_, code) in ARCHIVES.items()}
    assert (house.manifests(), house.parquet_keys()) == ([], set())
    await assert_unharmed(house)


async def test_S35_hostile_manifests_are_refused_in_words(house: House):
    for text in MANIFESTS.values():
        upload = await house.take_in(payload_bytes(manifest=text))
        assert (upload.state, upload.reason_code) == ("failed", "invalid_manifest")
        assert len(upload.reason) < 500

    assert (house.manifests(), house.parquet_keys()) == ([], set())
    await assert_unharmed(house)


async def test_F35_an_archive_cut_anywhere_is_refused(house: House):
    whole = with_members()
    for size in (1, 10, 18, 30, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        upload = await house.take_in(whole[:size])
        assert (upload.state, upload.reason_code) == ("failed", "not_an_archive")

    await assert_unharmed(house)


def wide(columns: int) -> bytes:
    names = ",".join(f"c{n}" for n in range(columns)).encode()
    return HEADER.rstrip() + b"," + names + b"\n" + ROW.rstrip() + b"," * columns + b"\n"


def cell(value: str, column: bytes = b"pod_usage_cpu_core_seconds") -> bytes:
    """The good file with this value in one cell of its first row."""
    values = ROW.rstrip().split(b",")
    values[HEADER.rstrip().split(b",").index(column)] = value.encode()
    return HEADER + b",".join(values) + b"\n" + ROW


def huge(value: float, rows: int) -> bytes:
    return csv_bytes(pods(DAY, range(1), pod_usage_cpu_core_seconds=value) * rows)


REFUSED_FILES = {
    "the header twice": (HEADER + GOOD, "line 2, column report_period_start"),
    "semicolons": (GOOD.replace(b",", b";"), "no column interval_start"),
    "half a surrogate pair": (GOOD.replace(b"shop", b"\xed\xa0\x80op", 1), "not UTF-8"),
    "a million short rows": (HEADER + b"x\n" * 1_000_000, "line 2, column report_period_start"),
    "values of a day that no table holds": (huge(1e18, 101), "pod_usage_cpu_core_seconds add up to more"),
    "the same below zero": (huge(-1e18, 101), "pod_usage_cpu_core_seconds add up to more"),
    "100,000 columns": (wide(100_000), "more than 1000 columns"),
    "quote open to the end": (HEADER + b'"' + ROW * 1000, "never ends"),
    "quote open in the header": (b'"' + GOOD, "never ends"),
    "gzip": (gzip.compress(GOOD), "not UTF-8"),
    "UTF-32": (GOOD.decode().encode("utf-32"), "not UTF-8"),
    "overlong UTF-8": (GOOD.replace(b"web-1", b"\xc0\xafb", 1), "not UTF-8"),
    "the year 10000": (cell("10000-01-01 00:00:00 +0000 UTC", b"interval_start"), "column interval_start"),
    "hour 25": (cell("2025-01-10 25:00:00 +0000 UTC", b"interval_start"), "column interval_start"),
    "an offset of 99 hours": (cell("2025-01-10T05:00:00+99:99", b"interval_start"), "column interval_start"),
    "a date of ten megabytes": (cell("9" * 10_000_000, b"interval_start"), "column interval_start"),
    "digits of another script": (cell("٢٠٢٥-01-10 05:00:00 +0000 UTC", b"interval_start"), "column interval_start"),
}  # fmt: skip

DROPPED_ROWS = {
    "year 1": (cell("0001-01-01 00:00:00 +0000 UTC", b"interval_start"), {"before_retention": 1}),
    "year 9999": (cell("9999-12-31 23:59:59 +0000 UTC", b"interval_start"), {"after_tomorrow": 1}),
    "1e400": (cell("1e400"), {"implausible_value": 1}),
    "NaN": (cell("NaN"), {"not_a_finite_number": 1}),
    "a number of a million digits": (cell("9" * 1_000_000), {"implausible_value": 1}),
    "a row of 100,000 fields": (HEADER + ROW.rstrip() + b"," * 100_000 + b"\n" + ROW, {"too_many_fields": 1}),
}

TAKEN_FILES = {
    "lines that end in CR": GOOD.replace(b"\n", b"\r"),
    "an interval that ends before it begins": cell("2020-01-01 00:00:00 +0000 UTC", b"interval_end"),
    "labels of quotes, backslashes and escapes": cell('"label_a""b:\\""\\u0000|label_%s:{}"', b"pod_labels"),
    "-1": cell("-1"),
    "1e-400": cell("1e-400"),
    "words for a number": cell("'; drop table x; --"),
    "NUL bytes": GOOD.replace(b"web-1", b"w\x00eb-1"),
    "byte order mark and CRLF": b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n"),
    "a label cell of a megabyte": cell("label_a:" + "x" * MIB, b"pod_labels"),
    "100,000 labels in a cell": cell("|".join(f"label_{n}:1" for n in range(100_000)), b"pod_labels"),
    "columns in disorder": csv_bytes(pods(DAY), columns=sorted(pods(DAY)[0], reverse=True)),
}


async def test_F36_hostile_files_fail_alone_and_say_why(house: House):
    for case, (content, words) in REFUSED_FILES.items():
        upload = await house.take_in(payload({"bad.csv": content}))
        assert (upload.state, upload.reason_code) == ("failed", "file_refused"), case
        assert words in upload.reason, case
        assert len(upload.reason) < 500, case

    assert house.visible() == {}
    await assert_unharmed(house)


async def test_F37_hostile_rows_are_dropped_alone_and_counted(house: House):
    for case, (content, dropped) in DROPPED_ROWS.items():
        upload = await house.take_in(payload({"pods.csv": content}))
        assert upload.state == "done", (case, upload.reason)
        assert (upload.files[0]["rows"], upload.files[0]["dropped"]) == (1, dropped), case

    await assert_same_hours(house)


async def test_F36_F37_odd_files_are_taken(house: House):
    for case, content in TAKEN_FILES.items():
        upload = await house.take_in(payload({"pods.csv": content}))
        assert (upload.state, upload.files[0]["dropped"]) == ("done", {}), (case, upload.reason)
        assert upload.files[0]["rows"] in (2, 24), case

    await assert_same_hours(house)


async def assert_same_hours(house: House) -> None:
    assert {row["namespace"] for row in house.visible()[("pod_usage", DAY)]} == {"shop"}
    upload = await house.take_in(payload({"pods.csv": pods(DAY)}, cluster_id=NEIGHBOUR))
    assert (upload.state, upload.files[0]["rows"]) == ("done", 24)


async def test_F36_quotes_in_every_wrong_place_take_no_time(house: House):
    chance = random.Random(4)
    junk = ['"a"b,', '""",', '"",', ',"', "x\n", '"\n', "\r"]
    texts = [b'"a"b,' * MIB, b'"' * (5 * MIB), b'"x' * MIB, b'"a"b,' * (5 * MIB)]
    texts.append("".join(chance.choice(junk) for _ in range(MIB // 4)).encode())
    texts.append(b'"\n"b,' * MIB)
    with within(seconds=20, mib=384):
        ended = [await house.take_in(payload({"bad.csv": HEADER + text})) for text in texts]
        headless = await house.take_in(payload({"bad.csv": b'"' + b"\n" * MIB}))

    assert [upload.state for upload in ended] == ["done", "failed", "failed", "failed", "failed", "done"]
    assert {upload.files[0]["rows"] for upload in ended} == {0}
    assert "longer than 16 MiB" in ended[3].reason
    assert "never ends" in headless.reason
    await assert_unharmed(house)


ODD_MANIFESTS: dict[str, dict[str, object]] = {
    "NUL in the version": {"version": "a\0b"},
    "NUL in the status": {"cr_status": {"clusterVersion": "a\0b", "upload": {"error": "c\0d"}}},
    "NUL in the message": {"cr_status": {"reports": {"data_collection_message": "a\0b{"}}, "start": None, "end": None},
    "texts of megabytes": {
        "version": "v" * MIB,
        "cr_status": {"clusterVersion": "v" * MIB, "source": {"error": "e" * 2 * MIB}},
    },
    "an error of lists in lists": {"cr_status": {"upload": {"error": [[[[{}]]]], "upload": [0]}}},
    "an error of a thousand levels": {"cr_status": {"upload": {"error": json.loads("[" * 900 + "]" * 900)}}},
    "status sections of other types": {"cr_status": {"upload": 7, "reports": [], "clusterVersion": {"a": 1}}},
    "packaged at the end of time": {"date": "9999-12-31T23:59:59Z"},
    "collected at the end of time": {"start": "9999-12-31T00:00:00Z", "end": "9999-12-31T23:59:59Z"},
    "collected from the beginning of time to its end": {"start": "0002-01-01T00:00:00Z", "end": "9999-12-31T23:59:59Z"},
    "collected backwards": {"start": at(DAY, 5).isoformat(), "end": at(DAY, 1).isoformat()},
    "fields nobody knows": {"x" * 1000: {"y": [1e308, -1, 2**63, None]}, "": ""},
    "a version in another script": {"version": "\u202e\U0001f4a9\ufeff\ufdd0"},
}


async def test_S35_odd_manifests_are_taken(house: House):
    for case, changes in ODD_MANIFESTS.items():
        upload = await house.take_in(
            payload_bytes(manifest=json.dumps(manifest(**changes)).encode(), files={"pods.csv": GOOD})
        )
        assert (upload.state, upload.reason) == ("done", None), case

    await assert_same_hours(house)


WRONG_TYPES = [None, 0, 1e400, True, "", "x", [], ["x", 1], {}, "\0", "../x", 2**200]


def test_S35_a_field_of_a_wrong_type_is_refused_and_named():
    odd: list[str] = []
    for field in ("uuid", "cluster_id", "date", "files", "start", "end", "certified", "daily_reports", "cr_status"):
        for value in WRONG_TYPES:
            text = json.dumps(manifest(**{field: value})).replace("Infinity", "1e400").encode()
            try:
                read_manifest(text)
            except PayloadRefused as refused:
                assert field in str(refused) or "not valid JSON" in str(refused), (field, value)
            else:
                odd.append(f"{field}={value!r}")

    assert odd == [
        "cluster_id='x'",
        "files=None",
        "files=[]",
        "start=None",
        "end=None",
        "certified=None",
        "certified=True",
        "daily_reports=None",
        "daily_reports=True",
        "cr_status=None",
        "cr_status={}",
    ]
