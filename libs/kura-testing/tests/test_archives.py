import gzip
import io
import tarfile
from datetime import UTC, datetime

import pytest

from kura.testing.archives import Member, TarGzWriter, csv_bytes, go_time, manifest_of, payload_bytes, report_row
from kura.testing.report_columns import COLUMNS

UUID = "6a0b7e4f-6f2e-4d43-9a77-0d33a2ad4b5a"
HOUR = datetime(2025, 12, 31, 23, tzinfo=UTC)


def test_the_parallel_writer_makes_an_ordinary_archive_in_one_gzip_member():
    big = b"".join(f"{number},".encode() for number in range(400_000))
    writer = TarGzWriter()
    writer.member("manifest.json", [b"{}"])
    writer.member("big.csv", [big[:1_500_000], memoryview(big)[1_500_000:]])

    content = writer.finish()

    assert len(gzip.decompress(content)) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        assert archive.getnames() == ["manifest.json", "big.csv"]
        assert archive.extractfile("big.csv").read() == big


def test_a_payload_made_by_hand_may_hold_members_of_any_kind():
    content = payload_bytes(
        manifest=manifest_of(cluster_id="c", uuid=UUID, files=["a.csv"]),
        files={"a.csv": [{"x": 1}, {"x": None}]},
        members=[Member(name="../out"), Member(name="link", type=tarfile.SYMTYPE, linkname="/etc/passwd")],
        directory_member=True,
    )

    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        kinds = {member.name: member.type for member in archive.getmembers()}
        text = archive.extractfile("a.csv").read()

    assert kinds["../out"] == tarfile.REGTYPE
    assert kinds["link"] == tarfile.SYMTYPE
    assert tarfile.DIRTYPE in kinds.values()
    assert text == b"x\n1\n\n" or text == b'x\n1\n""\n'


def test_an_archive_may_lack_its_manifest_or_its_compression():
    with tarfile.open(fileobj=io.BytesIO(payload_bytes(manifest=None, files={"a": "b"}))) as archive:
        assert archive.getnames() == ["a"]
    assert payload_bytes(manifest=b"not json", gzipped=False)[:13] == b"manifest.json"


def test_a_manifest_without_data_has_the_zero_time_and_null_lists():
    manifest = manifest_of(cluster_id="c", uuid=UUID, files=[], certified=None)

    assert manifest["files"] is None
    assert manifest["start"] == manifest["end"] == "0001-01-01T00:00:00Z"
    assert manifest["certified"] is None


def test_a_row_has_every_column_of_its_report_and_dates_from_its_hour():
    row = report_row("pod_usage", HOUR, pod="p")

    assert tuple(row) == COLUMNS["pod_usage"]
    text = csv_bytes([row]).decode().splitlines()[1]
    assert text.startswith(
        "2025-12-01 00:00:00 +0000 UTC,2026-01-01 00:00:00 +0000 UTC,"
        "2025-12-31 23:00:00 +0000 UTC,2025-12-31 23:59:59 +0000 UTC,"
    )
    assert go_time(HOUR) == "2025-12-31 23:00:00 +0000 UTC"


def test_a_row_refuses_a_column_that_its_report_lacks():
    with pytest.raises(ValueError, match="pod_usage has no column"):
        report_row("pod_usage", HOUR, gpu_uuid="x")
