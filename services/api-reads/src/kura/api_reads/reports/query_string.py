"""The query string of a report: `a=v` and `a[b]=v`, repeated or comma-separated values (read-api §2.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from kura.core.errors import ParameterErrors

NAME = re.compile(r"([^\[\]]+)(?:\[([^\[\]]+)\])?")


@dataclass
class Given:
    """What the request says about one top-level parameter: plain texts, or values by bracketed key, in order."""

    texts: list[str] = field(default_factory=list)
    keyed: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class QueryString:
    """A parsed query string; `pairs` are the decoded parameters as sent, for links and for the order of groups."""

    raw: str
    pairs: tuple[tuple[str, str], ...]
    given: dict[str, Given]

    def first_position(self, name: str) -> int:
        """Where a name first occurs anywhere in the text; it decides which of several groups is the outer one."""
        return unquote_plus(self.raw).find(name)


def parse_query_string(raw: str) -> QueryString:
    """Split a raw query string. ParameterErrors when brackets are malformed."""
    pairs: list[tuple[str, str]] = []
    given: dict[str, Given] = {}
    for part in raw.split("&"):
        if not part:
            continue
        encoded_name, _, encoded_value = part.partition("=")
        name, value = unquote_plus(encoded_name), unquote_plus(encoded_value)
        shape = NAME.fullmatch(name)
        if shape is None:
            raise ParameterErrors({"details": "Invalid query parameter format."})
        pairs.append((name, value))
        parameter, key = shape.groups()
        entry = given.setdefault(parameter, Given())
        if key is None:
            entry.texts.append(value)
        else:
            entry.keyed.setdefault(key, []).extend(value.split(","))
    return QueryString(raw=raw, pairs=tuple(pairs), given=given)
