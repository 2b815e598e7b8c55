"""JSON bodies of write requests: read within limits, with every problem named by its field (write-api §1)."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import orjson
from grpc import StatusCode
from starlette.requests import ClientDisconnect, Request

from kura.core.errors import BadRequest, Deadline

LARGEST_BODY: Final = 2**20  # a price list with every rate it may hold is far below
BODY_SECONDS: Final = 30.0


class BodyTooLarge(BadRequest):
    """The body is larger than any honest one: 400, as for everything else that is wrong with a body of JSON."""

    code, grpc = "body_too_large", StatusCode.RESOURCE_EXHAUSTED


class BodyTimeout(Deadline):
    """The body was not there in time."""

    code, http = "body_timeout", 408


async def json_body(request: Request) -> Any:
    """The decoded body. BadRequest when it is not JSON or larger than any honest one."""
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and len(announced) < 20 and int(announced) > LARGEST_BODY:
        raise _too_large()
    text = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                text += chunk
                if len(text) > LARGEST_BODY:
                    raise _too_large()
    except TimeoutError:
        raise BodyTimeout from None
    except ClientDisconnect:
        raise BadRequest("The client went away.") from None
    return decoded_json(bytes(text))


async def json_object(request: Request) -> dict[str, Any]:
    """The decoded body, which must be an object."""
    return _object(await json_body(request))


def json_document(text: bytes) -> dict[str, Any]:
    """The same of a document that is there as a whole."""
    if len(text) > LARGEST_BODY:
        raise _too_large()
    return _object(decoded_json(text))


def decoded_json(text: bytes) -> Any:
    """The value of a JSON text; numbers with a fraction are decimals, exactly as written.

    BadRequest when it is not JSON by the letter (NaN, invalid UTF-8), nested too deeply, or names a key twice.
    """
    try:
        orjson.loads(text)  # stricter than the standard library, also about depth
        return json.loads(text, parse_float=Decimal, object_pairs_hook=_without_repetition)
    except BadRequest:
        raise
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body is not valid JSON: {error}") from error


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    return body


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        repeated, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise BadRequest(f"The body names {repeated[:100]!r} twice in one object.")
    return found


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {LARGEST_BODY // 2**20} MiB.")
