"""The upload address before an S3 service that fails (reliability F31, F32): 202 means stored, and nothing else is."""

from __future__ import annotations

import hashlib
import os
import time

import httpx
import pytest

from kura.store.object_s3 import PART_BYTES, S3Store
from kura.store.objects import ObjectStore
from kura.testing.gateways import UPLOAD_PATH, Stored, payload
from kura.testing.proxies import SLOW_DOWN, BreakOff, Fault, HttpProxy

pytestmark = pytest.mark.s3

SMALL = b"the archive"
LARGE = os.urandom(PART_BYTES + 1000)
OPERATOR_SECONDS = 30
"""After this an operator hangs up."""


@pytest.fixture
def object_store(proxied_s3_store: S3Store) -> ObjectStore:
    """What the gateway writes to, through the s3_proxy."""
    return proxied_s3_store


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "in parts"])
@pytest.mark.parametrize("fault", [SLOW_DOWN, BreakOff(after_bytes=None)], ids=["slow down", "no answer"])
async def test_what_passes_costs_the_sender_only_time(
    http: httpx.AsyncClient, stored: Stored, s3_proxy: HttpProxy, fault: Fault, content: bytes
) -> None:
    with s3_proxy.broken(fault, method="PUT", times=2) as met:
        answer = await http.post(UPLOAD_PATH, files=payload(content))

    assert (answer.status_code, met()) == (202, 2)
    (upload,) = stored.uploads()
    assert upload["sha256"] == hashlib.sha256(content).hexdigest()
    assert stored.objects.read(upload["object_key"]) == content
    assert stored.objects_stored() == [upload["object_key"]]


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "in parts"])
async def test_a_store_that_stays_away_is_answered_500_in_time_and_nothing_is_left(
    http: httpx.AsyncClient, stored: Stored, s3_proxy: HttpProxy, content: bytes
) -> None:
    began = time.monotonic()
    with s3_proxy.broken(SLOW_DOWN, method="PUT"):
        answer = await http.post(UPLOAD_PATH, files=payload(content))

    assert (answer.status_code, answer.content) == (500, b"")
    assert time.monotonic() - began < OPERATOR_SECONDS * 2 / 3
    assert stored.is_empty()

    assert (await http.post(UPLOAD_PATH, files=payload(content))).status_code == 202
    assert len(stored.uploads()) == len(stored.objects_stored()) == 1
