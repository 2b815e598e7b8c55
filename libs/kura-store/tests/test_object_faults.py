"""An S3 service that slows down, breaks off, hangs or hands out too little (reliability F31, F32, F34)."""

from __future__ import annotations

import contextlib
import time

import httpx
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from kura.core.errors import ObjectStoreUnavailable
from kura.store import object_s3
from kura.store.object_s3 import PART_BYTES, S3Store
from kura.store.objects import ObjectStore
from kura.testing.objects import ACCESS_KEY, REGION, SECRET_KEY
from kura.testing.proxies import SLOW_DOWN, Answer, BreakOff, Fault, HttpProxy, Shorten, Wait

pytestmark = pytest.mark.s3

SMALL = b"the object"
LARGE = bytes(range(256)) * (2 * PART_BYTES // 256) + b"the rest"
ERROR = Answer(status=500, media_type="application/xml", body=b"<Error><Code>InternalError</Code></Error>")
NO_ANSWER = BreakOff(after_bytes=None)
BROKEN_OFF = BreakOff(after_bytes=1000)
SHORT = Shorten(to_bytes=1000)


@pytest.fixture
def store(proxied_s3_store: S3Store) -> S3Store:
    """What is read and written here."""
    return proxied_s3_store


@pytest.mark.parametrize(
    ("fault", "content"),
    [(SLOW_DOWN, SMALL), (ERROR, SMALL), (NO_ANSWER, LARGE)],
    ids=["slow down", "500", "no answer"],
)
def test_what_passes_is_not_noticed_by_a_writer(s3_proxy: HttpProxy, store: S3Store, fault: Fault, content: bytes):
    with s3_proxy.broken(fault, method="PUT", times=1) as met:
        store.write("key", content, {"a": "b"})

    assert met() == 1
    assert store.read("key") == content
    assert store.metadata("key")["a"] == "b"


@pytest.mark.parametrize(
    "fault", [SLOW_DOWN, NO_ANSWER, BROKEN_OFF, SHORT], ids=["slow down", "no answer", "broken off", "short"]
)
def test_what_passes_is_not_noticed_by_a_reader(s3_proxy: HttpProxy, store: S3Store, fault: Fault):  # F32
    store.write("key", LARGE)

    with s3_proxy.broken(fault, method="GET", times=1) as met:
        assert store.read("key") == LARGE
    assert met() == 1


def test_a_store_that_stays_away_is_told_of_before_a_sender_loses_patience(
    s3_proxy: HttpProxy, store: S3Store, s3_store: S3Store
):  # F31
    began = time.monotonic()

    with s3_proxy.broken(SLOW_DOWN) as met, pytest.raises(ObjectStoreUnavailable) as writing:
        store.write("key", SMALL)

    assert time.monotonic() - began < 20
    assert met() == 9
    assert writing.value.retry
    assert SECRET_KEY not in str(writing.value)
    assert list(s3_store.keys()) == []


def test_a_body_that_is_always_too_short_is_never_taken_for_whole(s3_proxy: HttpProxy, store: S3Store):  # F32
    store.write("key", LARGE)

    with s3_proxy.broken(SHORT, method="GET"), pytest.raises(ObjectStoreUnavailable, match="1000 bytes instead of"):
        store.read("key")


def test_a_request_that_hangs_is_given_up_and_asked_again(
    s3_proxy: HttpProxy, s3_store: S3Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(object_s3, "READ_SECONDS", 0.4)
    keys = {"region": REGION, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    s3_store.write("key", SMALL)

    with ObjectStore.open(f"s3://{s3_store.bucket}", endpoint=s3_proxy.url, **keys) as store:
        with s3_proxy.broken(Wait(seconds=2), times=1) as met:
            assert store.read("key") == SMALL
        assert met() == 1


def test_a_writer_whose_store_goes_away_between_parts_shows_nothing(
    s3_proxy: HttpProxy, store: S3Store, s3_store: S3Store, s3_endpoint: str
):  # F34
    with pytest.raises(ObjectStoreUnavailable), store.open_write("key") as writer:
        writer.write(LARGE[:PART_BYTES])
        with s3_proxy.broken(NO_ANSWER, method="PUT"):
            writer.write(LARGE[PART_BYTES:])

    assert list(s3_store.keys()) == []
    listed = httpx.get(f"{s3_endpoint}/{s3_store.bucket}?uploads", auth=None).text
    assert "<UploadId>" not in listed


@pytest.fixture
def table() -> pa.Table:
    return pa.table({"number": list(range(200_000)), "text": [str(n * 7919) for n in range(200_000)]})


@pytest.fixture
def parquet(store: S3Store, table: pa.Table) -> str:
    """The key of that table as the workers store it."""
    with store.open_write("table.parquet") as target:
        pq.write_table(table, target, write_page_checksum=True)
    return "table.parquet"


def read(store: S3Store, key: str) -> pa.Table:
    filesystem, base = store.arrow_filesystem()
    options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    format_ = ds.ParquetFileFormat(default_fragment_scan_options=options)
    return ds.dataset(f"{base}/{key}", filesystem=filesystem, format=format_).to_table()


@pytest.mark.parametrize("fault", [SLOW_DOWN, BROKEN_OFF], ids=["slow down", "broken off"])
def test_what_passes_is_not_noticed_by_arrow(
    s3_proxy: HttpProxy, store: S3Store, parquet: str, table: pa.Table, fault: Fault
):
    with s3_proxy.broken(fault, method="GET", times=1) as met:
        assert read(store, parquet).equals(table)
    assert met() == 1


def test_arrow_never_takes_too_few_bytes_for_a_table(
    s3_proxy: HttpProxy, store: S3Store, parquet: str, table: pa.Table
):
    """What Arrow did not get is what its memory held before: perhaps the right bytes, never unnoticed wrong ones."""
    for to_bytes in (0, 1000, 100_000):
        read(store, parquet)
        with s3_proxy.broken(Shorten(to_bytes=to_bytes), method="GET"), contextlib.suppress(OSError, pa.ArrowInvalid):
            assert read(store, parquet).equals(table)
