"""The type-ahead endpoints."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from kura.api_reads.access import require
from kura.api_reads.endpoints import Described, Endpoint, Question, View
from kura.api_reads.resource_types import (
    CLOUD_PARAMETERS,
    OPENSHIFT_TYPES,
    ResourceType,
    answer_cost_models,
    answer_index,
    answer_list,
)
from kura.api_reads.routes.reports import permit_openshift
from kura.core.identity import Identity

PAGING = (
    Described(name="search", text="Part of the value or its alias."),
    Described(name="limit", text="Items on a page, at most 20000.", kind="integer"),
    Described(name="offset", text="Items to skip.", kind="integer"),
)


def resource_type_endpoints() -> list[Endpoint]:
    index = Endpoint(
        path="resource-types/", summary="All lists with their sizes.", view=_index, permit=_anyone, parameters=PAGING
    )
    cost_models = Endpoint(
        path="resource-types/cost-models/",
        summary="Cost models.",
        view=_cost_models,
        permit=lambda identity: require(identity, "cost_model"),
        parameters=PAGING,
        primary=True,
    )
    lists = [
        Endpoint(
            path=f"resource-types/{kind.path}/",
            summary=f"Values of {kind.path}.",
            view=_view_of(kind),
            permit=permit_openshift,
            parameters=_parameters(kind),
        )
        for kind in OPENSHIFT_TYPES.values()
    ]
    return [index, cost_models, *lists]


def _parameters(kind: ResourceType) -> tuple[Described, ...]:
    clouds = [Described(name=name, text="Only on this cloud.", kind="boolean") for name in CLOUD_PARAMETERS]
    narrowed = [Described(name=name, text=f"Part of the {name}.") for name in kind.narrowed_by]
    return (*PAGING, *(clouds if kind.clouds else ()), *narrowed)


def _anyone(identity: Identity) -> None:
    """Counts respect access, so the index itself needs none in particular."""


def _index(connection: Connection, question: Question) -> Any:
    return answer_index(connection, identity=question.identity, query=question.query, path=question.path)


def _cost_models(connection: Connection, question: Question) -> Any:
    return answer_cost_models(connection, identity=question.identity, query=question.query, path=question.path)


def _view_of(kind: ResourceType) -> View:
    def view(connection: Connection, question: Question) -> Any:
        return answer_list(connection, kind, identity=question.identity, query=question.query, path=question.path)

    return view
