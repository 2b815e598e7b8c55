"""The page at `/`: what is there, in pictures. Plain HTML, CSS and JavaScript; nothing is built or fetched."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/app.css": ("app.css", "text/css; charset=utf-8"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
    **{
        f"/page/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("app", "asking", "charts", "elements", "reports", "words")
    },
}
PAGE_PATHS = frozenset(FILES)
"""Paths that need no identity: the page holds no data, it asks the API for it."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page_routes() -> list[BaseRoute]:
    """One route per file of the page, each read once."""
    folder = files(__package__) / "static"

    def route(path: str, name: str, media_type: str) -> BaseRoute:
        content = (folder / name).read_bytes()

        async def serve(request: Request) -> Response:
            headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
            return Response(content, media_type=media_type, headers=headers)

        return Route(path, serve, methods=["GET"])

    return [route(path, name, media_type) for path, (name, media_type) in FILES.items()]
