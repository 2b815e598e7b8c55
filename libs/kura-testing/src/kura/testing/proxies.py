"""Proxies that break what passes through them, for tests of faults between two real programs.

`TcpProxy` knows nothing of what passes: it delays, swallows and cuts connections. `HttpProxy` answers, breaks off or
shortens single requests. Both run in threads of their own, so that any kind of test can use them.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import urlsplit

CHUNK_BYTES: Final = 64 * 2**10
POLL_SECONDS: Final = 0.02
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER that makes `close` send a reset instead of an orderly end."""


# ── TCP ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


class TcpProxy:
    """Passes connections on to one address until told otherwise. A host that is a directory holds, as PostgreSQL's
    clients have it, the socket of a server."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._pairs: set[_Pair] = set()
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self._refusing = False
        self._closed = False
        self._cut_after: bytes | None = None
        self.connections = 0
        """How many were made in all."""
        self.cuts = 0
        """How many were cut by `cut_after`."""
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def swallow(self) -> None:
        """From now on bytes disappear without any sign, in connections old and new: a cable is pulled."""
        self._open.clear()

    def refuse(self) -> None:
        """Cut every connection, and every new one at once: the program behind is gone."""
        self._refusing = True
        self.cut()

    def restore(self) -> None:
        """Pass everything on again. Connections whose bytes were swallowed are cut, as they miss some."""
        if not self._open.is_set():
            self.cut()
        self._refusing = False
        self._open.set()

    def cut(self) -> None:
        """Reset every connection there is."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            pair.reset()

    def cut_after(self, words: bytes) -> None:
        """Once: pass on what a client sends with these words in it, then cut before it hears the answer."""
        self._cut_after = words

    def close(self) -> None:
        self._closed = True
        self._listening.close()
        self._open.set()
        self.cut()

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            try:
                server = _connected(*self._target)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            pair = _Pair(client=client, server=server)
            with self._lock:
                self._pairs.add(pair)
            if self._refusing:
                pair.reset()
            for source, sink, is_request in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass, args=(pair, source, sink, is_request), daemon=True).start()

    def _pass(self, pair: _Pair, source: socket.socket, sink: socket.socket, is_request: bool) -> None:
        try:
            while data := source.recv(CHUNK_BYTES):
                if not self._open.is_set():
                    continue  # swallowed
                if not is_request and pair.is_deaf:
                    pair.reset()
                    return
                words = self._cut_after
                if is_request and words is not None and words in data:
                    self._cut_after = None
                    self.cuts += 1
                    pair.is_deaf = True
                sink.sendall(data)
            if self._open.is_set():
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            pair.reset()
        finally:
            pair.ended += 1
            if pair.ended == 2:
                pair.reset()
                with self._lock:
                    self._pairs.discard(pair)


def _connected(host: str, port: int) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, port), timeout=10)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(f"{host}/.s.PGSQL.{port}")
    return connection


@dataclass(eq=False, kw_only=True)
class _Pair:
    """One connection: its two ends, and whether the client is to hear nothing more."""

    client: socket.socket
    server: socket.socket
    is_deaf: bool = False
    ended: int = 0

    def reset(self) -> None:
        _reset(self.client)
        _reset(self.server)


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD)  # wakes the thread that is reading from it
    connection.close()


# ── HTTP ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Instead of the answer of the server, which never sees the request."""

    status: int
    body: bytes = b""
    media_type: str = "text/plain"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BreakOff:
    """The server's answer up to some bytes of its body, then a reset; with None not even a head."""

    after_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Shorten:
    """The server's answer with fewer bytes, which its head says are all there are."""

    to_bytes: int


@dataclass(frozen=True, kw_only=True)
class Wait:
    """The server's answer, later."""

    seconds: float


Fault = Answer | BreakOff | Shorten | Wait

SLOW_DOWN: Final = Answer(
    status=503,
    media_type="application/xml",
    body=b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>SlowDown</Code>"
    b"<Message>Please reduce your request rate.</Message><RequestId>1</RequestId></Error>",
)
"""What S3 answers when it has too much to do."""


@dataclass(kw_only=True)
class _Rule:
    fault: Fault
    method: str | None
    path: str
    times: float
    met: int = 0


class HttpProxy:
    """Passes requests on to one address, apart from those that `break_` speaks of."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self.requests: list[tuple[str, str]] = []
        """Method and path of all that came."""
        proxy = self

        class Handler(_Handler):
            target = (address.hostname or "127.0.0.1", address.port or 80)
            fault_of = staticmethod(proxy._fault_of)

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()

    @contextlib.contextmanager
    def broken(
        self, fault: Fault, *, method: str | None = None, path: str = "", times: float = float("inf")
    ) -> Iterator[Callable[[], int]]:
        """For the time of the block, requests with that method and those words in the path meet a fault.

        Gives a function that tells how many have met it; after `times` they meet it no longer.
        """
        rule = _Rule(fault=fault, method=method, path=path, times=times)
        with self._lock:
            self._rules.append(rule)
        try:
            yield lambda: rule.met
        finally:
            with self._lock:
                self._rules.remove(rule)

    def _fault_of(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.requests.append((method, path))
            for rule in self._rules:
                if rule.met < rule.times and rule.method in (None, method) and rule.path in path:
                    rule.met += 1
                    return rule.fault
        return None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> HttpProxy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients and servers going away is what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    target: tuple[str, int]
    fault_of: Callable[[str, str], Fault | None]

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = type(self).fault_of(self.command, self.path)
        if isinstance(fault, Answer):
            self._answer(fault.status, {"Content-Type": fault.media_type, **fault.headers}, fault.body)
            return
        if isinstance(fault, Wait):
            time.sleep(fault.seconds)
        status, headers, content = self._asked(body)
        if isinstance(fault, Shorten):
            content = content[: fault.to_bytes]
            headers.pop("Content-Length", None)
        if not isinstance(fault, BreakOff):
            self._answer(status, headers, content)
            return
        if fault.after_bytes is not None:
            self._answer(status, headers, content, only=fault.after_bytes)
        self.wfile.flush()
        self.close_connection = True
        _reset(self.connection)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_OPTIONS = _pass

    def _asked(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        server = http.client.HTTPConnection(*self.target, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_CONNECTION}
            server.request(self.command, self.path, body=body or None, headers=headers)
            answer = server.getresponse()
            given = {name: value for name, value in answer.getheaders() if name.lower() not in _OF_CONNECTION}
            return answer.status, given, answer.read()
        finally:
            server.close()

    def _answer(self, status: int, headers: dict[str, str], content: bytes, only: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers and status not in (204, 304):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:only])

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at `requests` instead."""


_OF_CONNECTION: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "expect"})
