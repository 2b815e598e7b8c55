"""The private S3 of `kura up --split`: moto's server, with its objects mirrored to a directory every few seconds.

For trying out only. moto keeps everything in memory; the mirror brings it back at the next start. What was stored in
the last seconds before a kill is lost, which no real S3 does.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from kura.core.telemetry import get_logger
from kura.store.objects import ObjectStore

log = get_logger(__name__)

BUCKET = "kura"
ACCESS_KEY = "kura"
SECRET_KEY = "kura-private"  # noqa: S105  # listens on loopback; whoever reaches it is on this machine
REGION = "us-east-1"
MIRROR_SECONDS = 2.0

Seen = Mapping[str, tuple[datetime, int]]


def serve(port: int, directory: Path) -> None:
    """Serve until SIGTERM."""
    from moto.server import ThreadedMotoServer

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    server: Any = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    endpoint = f"http://127.0.0.1:{port}"
    _make_bucket(endpoint)
    with open_store(endpoint) as memory, ObjectStore.open(directory.as_uri()) as disk:
        seen = restore(disk, memory)
        log.info("private_s3_started", objects=len(seen), endpoint=endpoint)
        while not stopping.wait(MIRROR_SECONDS):
            seen = mirror(memory, disk, seen)
        mirror(memory, disk, seen)
    server.stop()


def open_store(endpoint: str) -> ObjectStore:
    return ObjectStore.open(
        f"s3://{BUCKET}", endpoint=endpoint, region=REGION, access_key=ACCESS_KEY, secret_key=SECRET_KEY
    )


def restore(disk: ObjectStore, memory: ObjectStore) -> Seen:
    """Fill the memory from the directory; what is there now."""
    for found in disk.list():
        memory.write(found.key, disk.read_chunks(found.key), disk.metadata(found.key))
    return _present(memory)


def mirror(memory: ObjectStore, disk: ObjectStore, seen: Seen) -> Seen:
    """Bring the directory up to date; what is in memory now."""
    present = _present(memory)
    for key, version in present.items():
        if seen.get(key) != version:
            disk.write(key, memory.read_chunks(key), memory.metadata(key))
    disk.delete([key for key in seen if key not in present])
    return present


def _present(store: ObjectStore) -> Seen:
    return {found.key: (found.modified, found.size) for found in store.list()}


def _make_bucket(endpoint: str) -> None:
    import boto3  # type: ignore[import-untyped]

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    client.create_bucket(Bucket=BUCKET)
    client.close()
