"""Fixtures: object stores, a directory and an S3 service over HTTP (moto)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from kura.store.object_s3 import S3Store
from kura.store.objects import ObjectStore

ACCESS_KEY: Final = "testing"
SECRET_KEY: Final = "testing-secret"
REGION: Final = "us-east-1"

_buckets = itertools.count()


@pytest.fixture
def directory_store(tmp_path: Path) -> ObjectStore:
    """An empty object store in a directory."""
    return ObjectStore.open(f"file://{tmp_path}/objects")


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The URL of an S3 service in memory."""
    from moto.server import ThreadedMotoServer

    server: Any = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_store(s3_endpoint: str) -> Iterator[S3Store]:
    """An empty bucket."""
    bucket = f"test-bucket-{next(_buckets)}"
    httpx.put(f"{s3_endpoint}/{bucket}").raise_for_status()
    store = ObjectStore.open(
        f"s3://{bucket}", endpoint=s3_endpoint, region=REGION, access_key=ACCESS_KEY, secret_key=SECRET_KEY
    )
    assert isinstance(store, S3Store)
    yield store
    store.close()


@pytest.fixture
def object_store(directory_store: ObjectStore) -> ObjectStore:
    """An object store for tests to which the kind does not matter."""
    return directory_store
