"""What an endpoint is: one declaration from which it is routed, checked and described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any

from sqlalchemy import Connection

from kura.api_reads.reports.query_string import QueryString
from kura.api_reads.reports.reporting import Rules
from kura.core.identity import Identity

JSON = "application/json"
CSV = "text/csv"


class Freshness(Enum):
    """How long an answer may be kept, and what clients are told about it (read-api §1.5)."""

    HOUR = "kept here and by clients for an hour"
    NEVER = "kept nowhere"
    UNSAID = "no cache header"


@dataclass(frozen=True, kw_only=True)
class Question:
    """One request, whatever door it came through."""

    identity: Identity
    path: str
    query: QueryString
    path_params: Mapping[str, str]
    today: date
    rules: Rules
    wants_csv: bool = False


@dataclass(frozen=True, kw_only=True)
class Described:
    """One query parameter as the OpenAPI document tells it."""

    name: str
    text: str
    keys: tuple[str, ...] = ()
    """Keys in brackets; none for a plain parameter."""
    choices: tuple[str, ...] = ()
    kind: str = "string"


PAGING = (
    Described(name="limit", text="Items on a page.", kind="integer"),
    Described(name="offset", text="Items to skip.", kind="integer"),
)

View = Callable[[Connection, Question], Any]
"""Answers bytes as they are, or anything that JSON can say."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One address below the API prefix; it ends in `/`."""

    path: str
    summary: str
    view: View
    permit: Callable[[Identity], None]
    freshness: Freshness = Freshness.UNSAID
    media: tuple[str, ...] = (JSON,)
    parameters: tuple[Described, ...] = ()
    primary: bool = False
    """Read what a client may just have written from the primary database."""
    without_access: bool = False
    """Also answers callers who have no access to anything."""
    without_tenant: bool = False
    """Also answers organisations that have no data yet."""
    accepts_no_slash: bool = False
    bare_list: bool = False
    """Answers a list, not an object."""
