"""Links between pages: path and query, parameters sorted, percent-encoded (read-api §1.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode


def links_between(
    path: str,
    pairs: Sequence[tuple[str, str]],
    *,
    limit: int,
    offset: int,
    count: int,
    names: tuple[str, str] = ("limit", "offset"),
) -> dict[str, Any]:
    """first, next, previous, last. `names` are the parameters that carry limit and offset."""
    kept = [pair for pair in pairs if pair[0] not in names]

    def link(at: int, *, leave_out_zero: bool = False) -> str:
        found = [*kept, (names[0], str(limit))]
        if at or not leave_out_zero:
            found.append((names[1], str(at)))
        found.sort(key=lambda pair: pair[0])
        return f"{path}?{urlencode(found)}"

    return {
        "first": link(0),
        "next": link(offset + limit) if offset + limit < count else None,
        "previous": link(max(offset - limit, 0), leave_out_zero=True) if offset > 0 else None,
        "last": link(max(count - limit, 0)),
    }


def no_links(path: str) -> dict[str, Any]:
    """Links of a tenant that has nothing yet."""
    own = f"{path}?limit=0&offset=0"
    return {"first": own, "next": None, "previous": None, "last": own}
