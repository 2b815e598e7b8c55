"""JSON bodies of write requests: read within limits, with every problem named by its field (write-api §1)."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from kura.core.errors import BadRequest, Deadline, PayloadTooLarge

LARGEST_BODY = 2**20  # a price list with every rate it may hold is far below
BODY_SECONDS = 30.0


class BodyTimeout(Deadline):
    """The body was not there in time."""

    code, http = "body_timeout", 408


async def json_body(request: Request) -> Any:
    """The decoded body. BadRequest when it is not JSON, PayloadTooLarge when it is larger than any honest one."""
    text = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                text += chunk
                if len(text) > LARGEST_BODY:
                    raise PayloadTooLarge(f"The body is larger than {LARGEST_BODY} bytes.")
    except TimeoutError:
        raise BodyTimeout from None
    except ClientDisconnect:
        raise BadRequest("The client went away.") from None
    try:
        return orjson.loads(bytes(text))
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not valid JSON: {error}") from error


async def json_object(request: Request) -> dict[str, Any]:
    """The decoded body, which must be an object."""
    body = await json_body(request)
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    return body
