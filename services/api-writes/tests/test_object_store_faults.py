"""The upload address before an S3 service that fails (reliability F31, F32): 202 means stored, and nothing else is."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator

import httpx
import pytest

from kura.store.object_s3 import PART_BYTES, S3Store
from kura.store.objects import ObjectStore
from kura.testing.gateways import UPLOAD_PATH, Stored, payload
from kura.testing.objects import ACCESS_KEY, REGION, SECRET_KEY
from kura.testing.proxies import SLOW_DOWN, BreakOff, Fault, HttpProxy

pytestmark = pytest.mark.s3

SMALL = b"the archive"
LARGE = os.urandom(PART_BYTES + 1000)
OPERATOR_SECONDS = 30
"""After this an operator hangs up."""


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[HttpProxy]:
    with HttpProxy(s3_endpoint) as between:
        yield between


@pytest.fixture
def object_store(proxy: HttpProxy, s3_store: S3Store) -> Iterator[ObjectStore]:
    """What the gateway writes to, through the proxy."""
    keys = {"region": REGION, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    with ObjectStore.open(f"s3://{s3_store.bucket}", endpoint=proxy.url, **keys) as opened:
        yield opened


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "in parts"])
@pytest.mark.parametrize("fault", [SLOW_DOWN, BreakOff(after_bytes=None)], ids=["slow down", "no answer"])
async def test_what_passes_costs_the_sender_only_time(
    http: httpx.AsyncClient, stored: Stored, proxy: HttpProxy, fault: Fault, content: bytes
) -> None:
    with proxy.broken(fault, method="PUT", times=2) as met:
        answer = await http.post(UPLOAD_PATH, files=payload(content))

    assert (answer.status_code, met()) == (202, 2)
    (upload,) = stored.uploads()
    assert upload["sha256"] == hashlib.sha256(content).hexdigest()
    assert stored.objects.read(upload["object_key"]) == content
    assert stored.objects_stored() == [upload["object_key"]]


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "in parts"])
async def test_a_store_that_stays_away_is_answered_500_in_time_and_nothing_is_left(
    http: httpx.AsyncClient, stored: Stored, proxy: HttpProxy, content: bytes
) -> None:
    began = time.monotonic()
    with proxy.broken(SLOW_DOWN, method="PUT"):
        answer = await http.post(UPLOAD_PATH, files=payload(content))

    assert (answer.status_code, answer.content) == (500, b"")
    assert time.monotonic() - began < OPERATOR_SECONDS * 2 / 3
    assert stored.is_empty()

    assert (await http.post(UPLOAD_PATH, files=payload(content))).status_code == 202
    assert len(stored.uploads()) == len(stored.objects_stored()) == 1
