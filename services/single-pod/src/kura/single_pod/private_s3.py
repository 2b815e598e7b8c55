"""The private S3 of `kura up --split`: moto's server, which keeps everything in memory, over a directory.

What a request has changed is in the directory before the request is answered, so a killed server has lost nothing; the
next start brings it back. For trying out only: a production S3 replaces it by setting `--object-store`.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from kura.core.telemetry import get_logger
from kura.store.objects import ObjectStore

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = get_logger(__name__)

BUCKET = "kura"
ACCESS_KEY = "kura"
SECRET_KEY = "kura-private"  # noqa: S105  # listens on loopback; whoever reaches it is on this machine
REGION = "us-east-1"
HOST = "127.0.0.1"
STOPPING = (signal.SIGTERM, signal.SIGINT)


def serve(port: int, directory: Path) -> None:
    """Serve until SIGTERM. The port opens when everything that the directory holds is there."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for every request otherwise
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # they wait until they are waited for; threads inherit it

    moto: WSGIApplication = DomainDispatcherApplication(create_backend_app)
    inner = make_server(HOST, 0, moto, threaded=True)
    threading.Thread(target=inner.serve_forever, daemon=True).start()
    inner_endpoint = f"http://{HOST}:{inner.server_port}"
    _make_bucket(inner_endpoint)
    with open_store(inner_endpoint) as memory, ObjectStore.open(directory.as_uri()) as disk:
        objects = restore(disk, memory)
        outer = make_server(HOST, port, Kept(moto, memory=memory, disk=disk), threaded=True)
        threading.Thread(target=outer.serve_forever, daemon=True).start()
        log.info("private_s3_started", objects=objects, endpoint=f"http://{HOST}:{port}")
        signal.sigwait(STOPPING)
        outer.shutdown()
    inner.shutdown()


def open_store(endpoint: str) -> ObjectStore:
    return ObjectStore.open(
        f"s3://{BUCKET}", endpoint=endpoint, region=REGION, access_key=ACCESS_KEY, secret_key=SECRET_KEY
    )


def restore(disk: ObjectStore, memory: ObjectStore) -> int:
    """Fill the memory from the directory; how many objects."""
    objects = 0
    for found in disk.list():
        memory.write(found.key, disk.read_chunks(found.key), disk.metadata(found.key))
        objects += 1
    return objects


class Kept:
    """moto as a WSGI application that brings the directory up to date before it answers.

    One change at a time is carried over, and always as the memory is by then: whatever the order in which requests
    to one key end, the last one's content stays.
    """

    def __init__(self, moto: WSGIApplication, *, memory: ObjectStore, disk: ObjectStore) -> None:
        self._moto = moto
        self._memory = memory
        self._disk = disk
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        given: list[Any] = []

        def noted(*answer: Any) -> Callable[[bytes], object]:
            given[:] = answer
            return lambda _: None

        body = b"".join(self._moto(environ, noted))  # moto gives it in many small pieces
        if given[0].startswith("2"):
            self._keep(environ)
        start_response(*given)
        return [body]

    def _keep(self, environ: WSGIEnvironment) -> None:
        method, query = environ["REQUEST_METHOD"], parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
        key = environ["PATH_INFO"].encode("latin-1").decode().removeprefix(f"/{BUCKET}").lstrip("/")
        is_part = "partNumber" in query or "uploads" in query
        with self._lock:
            if method == "POST" and "delete" in query:
                on_disk = [found.key for found in self._disk.list()]
                in_memory = {found.key for found in self._memory.list()}
                self._disk.delete([each for each in on_disk if each not in in_memory])
            elif method == "DELETE" and key and "uploadId" not in query:
                self._disk.delete([key])
            elif method in ("PUT", "POST") and key and not is_part and self._memory.exists(key):
                self._disk.write(key, self._memory.read_chunks(key), self._memory.metadata(key))


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
