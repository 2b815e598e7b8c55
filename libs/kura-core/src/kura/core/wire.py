"""The HTTP/1.1 wire of every server, with limits that uvicorn's protocol does not have (reliability S39, S40)."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD_BYTES: Final = 64 * 1024
MOST_HEADERS: Final = 200
HEAD_SECONDS: Final = 20.0
"""A client that has not sent its request line and headers by then is cut off; nobody honest needs longer."""

_REFUSAL: Final = b"Request header fields are too large."


class HeadTooLarge(Exception):
    """The request line and headers are larger, or more, than any honest client's."""


class LimitedHttp(HttpToolsProtocol):
    """uvicorn's protocol that answers 431 to huge heads and closes connections whose head does not come."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting_for_head = True
        self._raw_bytes = 0
        self._head_bytes = 0
        self._headers_seen = 0
        self._too_large = False
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._waiting_for_head:
            self._raw_bytes += len(data)
            self._start_head_timer()
        super().data_received(data)
        if self._waiting_for_head and self._raw_bytes > LARGEST_HEAD_BYTES and not self.transport.is_closing():
            self._too_large = True
            self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._waiting_for_head = True
        self._head_bytes = 0
        self._headers_seen = 0

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers_seen += 1
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._waiting_for_head = False
        self._raw_bytes = 0
        self._stop_head_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._waiting_for_head = True  # of the next request on this connection
        self._raw_bytes = 0

    def send_400_response(self, msg: str) -> None:
        if not self._too_large:
            super().send_400_response(msg)
            return
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
            b"content-type: text/plain; charset=utf-8\r\n"
            b"content-length: " + str(len(_REFUSAL)).encode() + b"\r\nconnection: close\r\n\r\n" + _REFUSAL
        )
        self.transport.close()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > LARGEST_HEAD_BYTES or self._headers_seen > MOST_HEADERS:
            self._too_large = True
            raise HeadTooLarge

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()
