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
from kura.testing.proxies import HttpProxy

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
    with _open_bucket(bucket, endpoint=s3_endpoint) as store:
        yield store


@pytest.fixture
def s3_proxy(s3_endpoint: str) -> Iterator[HttpProxy]:
    """What stands between `proxied_s3_store` and the S3 service, and can be told to fail."""
    with HttpProxy(s3_endpoint) as between:
        yield between


@pytest.fixture
def proxied_s3_store(s3_proxy: HttpProxy, s3_store: S3Store) -> Iterator[S3Store]:
    """The bucket of `s3_store`, through `s3_proxy`."""
    with _open_bucket(s3_store.bucket, endpoint=s3_proxy.url) as store:
        yield store


def _open_bucket(bucket: str, *, endpoint: str) -> S3Store:
    store = ObjectStore.open(
        f"s3://{bucket}", endpoint=endpoint, region=REGION, access_key=ACCESS_KEY, secret_key=SECRET_KEY
    )
    assert isinstance(store, S3Store)
    return store


@pytest.fixture
def object_store(directory_store: ObjectStore) -> ObjectStore:
    """An object store for tests to which the kind does not matter."""
    return directory_store
