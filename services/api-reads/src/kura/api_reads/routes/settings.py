"""The lists of the settings pages (write-api §8). They are read from the primary: clients re-read what they wrote."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from kura.api_reads.endpoints import PAGING, Described, Endpoint, Freshness, Question, View
from kura.api_reads.routes.account import listed, settings_reader
from kura.api_reads.routes.cost_models import permit_cost_models
from kura.api_reads.settings_lists import (
    CANDIDATE_FIELDS,
    CURRENCY_FILTERS,
    GROUP_FILTERS,
    GROUP_ORDERS,
    KEY_FILTERS,
    KEY_ORDERS,
    MAPPING_FILTERS,
    MAPPING_ORDERS,
    cost_groups,
    currencies,
    enabled_count,
    mapping_candidates,
    tag_keys,
    tag_mappings,
)
from kura.store.currencies import static_rate_items


def settings_endpoints() -> list[Endpoint]:
    return [
        _list(
            "settings/tags/", "Tag keys found in data, and whether they are kept in summaries.", _keys,
            _bracketed(KEY_FILTERS, KEY_ORDERS),
        ),
        _list(
            "settings/tags/mappings/", "Keys reported under another key.", _mappings,
            _bracketed(MAPPING_FILTERS, MAPPING_ORDERS),
        ),
        _list(
            "settings/tags/mappings/child/", "Keys that may be reported under another key.", _children,
            _bracketed(CANDIDATE_FIELDS, CANDIDATE_FIELDS),
        ),
        _list(
            "settings/tags/mappings/parent/", "Keys that others may be reported under.", _parents,
            _bracketed(CANDIDATE_FIELDS, CANDIDATE_FIELDS),
        ),
        _list(
            "settings/cost-groups/", "Projects and the cost group each belongs to.", _groups,
            (
                *_bracketed(GROUP_FILTERS, GROUP_ORDERS),
                Described(name="exclude", text="Items to leave out.", keys=GROUP_FILTERS),
            ),
        ),
        _list(
            "settings/currency/", "All currencies: which are enabled, and the rates set by hand.", _currencies,
            (Described(name="filter", text="Only items that match.", keys=CURRENCY_FILTERS),),
        ),
        Endpoint(
            path="settings/currency/static-rates/", summary="Exchange rates set by hand.", view=_static_rates,
            permit=permit_cost_models, freshness=Freshness.NEVER, parameters=PAGING, primary=True,
        ),
    ]  # fmt: skip


def _bracketed(filters: tuple[str, ...], orders: tuple[str, ...]) -> tuple[Described, ...]:
    return (
        Described(name="filter", text="Only items that match.", keys=filters),
        Described(name="order_by", text="asc or desc, by field.", keys=orders),
    )


def _list(path: str, summary: str, view: View, bracketed: tuple[Described, ...]) -> Endpoint:
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


def _currencies(connection: Connection, question: Question) -> Any:
    return listed(currencies(connection, question), question)


def _static_rates(connection: Connection, question: Question) -> Any:
    return listed(static_rate_items(connection), question)
