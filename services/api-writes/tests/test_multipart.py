"""The streaming form parser: any cut into chunks gives the same parts, every malformed body is refused."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kura.api_writes.multipart import MalformedMultipart, PartBegins, PartData, boundary_of, read_parts, service_of

BOUNDARY = b"sep"


@dataclass(frozen=True)
class Part:
    field: str
    is_file: bool
    content_type: str
    data: bytes


async def chunks(given: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in given:
        yield chunk


async def parts(*body: bytes) -> list[Part]:
    found: list[Part] = []
    async for event in read_parts(chunks(body), boundary=BOUNDARY):
        if isinstance(event, PartBegins):
            found.append(Part(event.field, event.is_file, event.content_type, b""))
        elif isinstance(event, PartData):
            last = found[-1]
            found[-1] = Part(last.field, last.is_file, last.content_type, last.data + event.data)
    return found


def form(*fields: tuple[str, bytes]) -> bytes:
    return (
        b"".join(b"--sep\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in fields) + b"--sep--\r\n"
    )


FILE = 'Content-Disposition: form-data; name="file"; filename="a.tar.gz"\r\nContent-Type: application/x'


async def test_a_file_and_a_value_are_told_apart() -> None:
    body = form((FILE, b"bytes"), ('Content-Disposition: form-data; name="test"', b"test"))
    assert await parts(body) == [Part("file", True, "application/x", b"bytes"), Part("test", False, "", b"test")]


@given(
    data=st.lists(st.binary(max_size=60).map(lambda b: b.replace(b"--sep", b"")), min_size=1, max_size=4),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=200),
)
async def test_any_cut_into_chunks_gives_the_same_parts(data: list[bytes], cuts: list[int]) -> None:
    body = form(*((FILE, piece) for piece in data))
    pieces, at = [], 0
    while at < len(body):
        size = cuts[len(pieces) % len(cuts)]
        pieces.append(body[at : at + size])
        at += size
    assert [part.data for part in await parts(*pieces)] == data


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"--sep",
        b"--sep\r\n",
        form((FILE, b"x")).removesuffix(b"--sep--\r\n"),
        form((FILE, b"x"))[:-4],
        b"--other\r\n" + FILE.encode() + b"\r\n\r\nx\r\n--other--",
        b"--sep\r\nno colon here\r\n\r\nx\r\n--sep--",
        b"--sep\r\nx: " + b"y" * 10_000 + b"\r\n\r\nx\r\n--sep--",
        b"--sep\r\n" + b"x: y\r\n" * 17 + b"\r\nx\r\n--sep--",
        form(*(((FILE, b"x"),) * 101)),
    ],
    ids=[
        "nothing",
        "no form",
        "half a boundary",
        "no part",
        "no end",
        "half an end",
        "another boundary",
        "malformed header",
        "huge header",
        "many headers",
        "many parts",
    ],
)
async def test_a_malformed_body_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedMultipart):
        await parts(body)


async def test_names_in_any_encoding_do_no_harm() -> None:
    head = 'Content-Disposition: form-data; name="file"; filename="Überblick 蔵.tar.gz"; x="\\""'
    assert [part.field for part in await parts(form((head, b"x")))] == ["file"]


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=a"],
)
def test_a_request_without_a_form_has_no_boundary(content_type: str | None) -> None:
    with pytest.raises(MalformedMultipart):
        boundary_of(content_type)


def test_the_boundary_may_be_quoted() -> None:
    assert boundary_of('Multipart/Form-Data; charset=utf-8; boundary="a b"') == b"a b"


@pytest.mark.parametrize(
    ("content_type", "service"),
    [
        ("application/vnd.redhat.hccm.tar+tgz", "hccm"),
        ("application/vnd.redhat.hccm.filename+tgz", "hccm"),
        ("application/vnd.redhat.hccm.anything-1; x=y", "hccm"),
        ("application/vnd.redhat.advisor.tar+tgz", "advisor"),
        ("application/vnd.redhat.hccm", None),
        ("application/vnd-redhat.hccm.tar", None),
        ("application/gzip", None),
        ("", None),
    ],
)
def test_the_service_is_named_by_the_content_type_of_the_part(content_type: str, service: str | None) -> None:
    assert service_of(content_type) == service
