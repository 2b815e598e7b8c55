"""The lists of the settings pages (write-api §8). They are read from the primary: clients re-read what they wrote."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from kura.api_reads.endpoints import Described, Endpoint, Freshness, Question, View
from kura.api_reads.routes.account import PAGING, listed, settings_reader
from kura.api_reads.settings_lists import cost_groups, enabled_count, mapping_candidates, tag_keys, tag_mappings


def settings_endpoints() -> list[Endpoint]:
    return [
        _list("settings/tags/", "Tag keys found in data, and whether they are kept in summaries.", _keys),
        _list("settings/tags/mappings/", "Keys reported under another key.", _mappings),
        _list("settings/tags/mappings/child/", "Keys that may be reported under another key.", _children),
        _list("settings/tags/mappings/parent/", "Keys that others may be reported under.", _parents),
        _list("settings/cost-groups/", "Projects and the cost group each belongs to.", _groups),
    ]


def _list(path: str, summary: str, view: View) -> Endpoint:
    bracketed = (
        Described(name="filter", text="Only items that match."),
        Described(name="order_by", text="asc or desc, by field."),
    )
    return Endpoint(
        path=path,
        summary=summary,
        view=view,
        permit=settings_reader,
        freshness=Freshness.NEVER,
        parameters=(*PAGING, *bracketed),
        primary=True,
    )


def _keys(connection: Connection, question: Question) -> Any:
    page = listed(tag_keys(connection, question), question)
    limits = {
        "enabled_tags_count": enabled_count(connection),
        "enabled_tags_limit": question.rules.tag_enabled_limit,
    }
    return {**page, "meta": {**page["meta"], **limits}}


def _mappings(connection: Connection, question: Question) -> Any:
    return listed(tag_mappings(connection, question), question)


def _children(connection: Connection, question: Question) -> Any:
    return listed(mapping_candidates(connection, question, as_child=True), question)


def _parents(connection: Connection, question: Question) -> Any:
    return listed(mapping_candidates(connection, question, as_child=False), question)


def _groups(connection: Connection, question: Question) -> Any:
    return listed(cost_groups(connection, question), question)
