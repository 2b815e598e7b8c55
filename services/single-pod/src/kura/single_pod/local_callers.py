"""What protects a Kura on loopback, where callers need no identity, from web pages a person has open.

A page of any site may send requests to 127.0.0.1 (cross-site request forgery), or have its own name point there (DNS
rebinding). Programs on this machine send no Origin and name this machine as Host.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from kura.core.errors import Forbidden
from kura.core.http import render_error


class LocalCallers:
    """Refuses requests that a foreign web page made a browser send."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (complaint := complaint_about(scope)) is not None:
            from starlette.requests import Request

            response = await render_error(Request(scope), Forbidden(complaint))
            await response(scope, receive, send)
            return
        await self.app(scope, receive, send)


def complaint_about(scope: Scope) -> str | None:
    """Why a request is refused; None when it is not."""
    headers = {name: value.decode("latin-1") for name, value in scope.get("headers", [])}
    host = headers.get(b"host", "")
    if host and not names_this_machine(host):
        return f"This Kura answers only on this machine's own names, not as {host[:100]}."
    origin = headers.get(b"origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return "Pages of other sites may not use this Kura."
    if headers.get(b"sec-fetch-site") == "cross-site" and headers.get(b"sec-fetch-mode") != "navigate":
        return "Pages of other sites may not use this Kura."
    return None


def names_this_machine(host: str) -> bool:
    """Whether a Host header is `localhost` or a loopback address, with or without a port."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
