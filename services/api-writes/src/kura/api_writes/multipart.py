"""Read a multipart/form-data body as it arrives, holding no more of it than one network chunk."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from kura.core.errors import BadRequest

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MOST_PARTS = 100
MOST_PART_HEADERS = 16
LONGEST_PART_HEADER = 8192

_SERVICE = re.compile(r"application/vnd\.redhat\.([a-z0-9-]+)\.([a-z0-9-]+)")


class MalformedMultipart(BadRequest):
    """The body is not valid multipart/form-data."""

    code = "malformed_multipart"


@dataclass(frozen=True, kw_only=True)
class PartBegins:
    """Headers of a part: the form field, and what tells a file from a value."""

    field: str
    is_file: bool
    content_type: str


@dataclass(frozen=True)
class PartData:
    data: bytes


@dataclass(frozen=True)
class PartEnds:
    pass


Event = PartBegins | PartData | PartEnds


def boundary_of(content_type: str | None) -> bytes:
    """The boundary named in the request's Content-Type; MalformedMultipart when it is not a multipart form."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise MalformedMultipart("the request is not multipart/form-data with a boundary")
    return boundary


def service_of(content_type: str) -> str | None:
    """The service a part's content type names, such as `hccm`; None when it names none (ocp-payload §1.1)."""
    found = _SERVICE.search(content_type)
    return found.group(1) if found else None


async def read_parts(body: AsyncIterator[bytes], *, boundary: bytes) -> AsyncIterator[Event]:
    """Events of every part in order. MalformedMultipart when the body breaks the format or stops before its end."""
    collector = _Collector()
    try:
        parser = MultipartParser(
            boundary,
            collector.callbacks(),
            max_header_count=MOST_PART_HEADERS,
            max_header_size=LONGEST_PART_HEADER,
        )
        async for chunk in body:
            parser.write(chunk)
            for event in collector.take():
                yield event
    except FormParserError as error:
        raise MalformedMultipart(f"the multipart body cannot be read: {error}") from error
    if not collector.finished:
        raise MalformedMultipart("the multipart body ends before its closing boundary")


class _Collector:
    """Turns the parser's callbacks into events."""

    def __init__(self) -> None:
        self.finished = False
        self._events: list[Event] = []
        self._headers: dict[str, str] = {}
        self._name = bytearray()
        self._value = bytearray()
        self._parts = 0

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def take(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise MalformedMultipart(f"the multipart body has more than {MOST_PARTS} parts")
        self._headers = {}

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        name = self._name.decode("latin-1").strip().lower()
        self._headers.setdefault(name, self._value.decode("latin-1").strip())
        self._name.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", ""))
        content_type = self._headers.get("content-type", "")
        self._events.append(
            PartBegins(
                field=options.get(b"name", b"").decode("latin-1"),
                is_file=b"filename" in options or bool(content_type),
                content_type=content_type,
            )
        )

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(PartData(data[start:end]))

    def _part_end(self) -> None:
        self._events.append(PartEnds())

    def _end(self) -> None:
        self.finished = True
