"""Which gateway answers a request: reads go to the read gateway, all else to the write gateway."""

from __future__ import annotations

from starlette.types import Scope

UPLOAD_PREFIXES = ("/api/ingress", "/r/insights/platform/ingress")
"""The upload address is the write gateway's whatever the method."""


def is_read(method: str, path: str) -> bool:
    """Whether the read gateway answers this request (design §7)."""
    return method in ("GET", "HEAD", "OPTIONS") and path != "/" and not path.startswith(UPLOAD_PREFIXES)


def wants_html(scope: Scope) -> bool:
    """A browser asks for the page; whoever asks `/` without that wants the upload address's sign of life."""
    return b"text/html" in dict(scope.get("headers", [])).get(b"accept", b"")
