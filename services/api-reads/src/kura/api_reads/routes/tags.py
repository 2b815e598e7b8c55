"""The tag endpoints."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from kura.api_reads.access import openshift_limits
from kura.api_reads.endpoints import Described, Endpoint, Freshness, Question
from kura.api_reads.reports.reporting import known_of
from kura.api_reads.routes.reports import TIME_PARAMETERS, permit_openshift
from kura.api_reads.tags import answer_tags

PARAMETERS = (
    Described(
        name="filter",
        text="Which keys, values and rows.",
        keys=(
            "resolution",
            "time_scope_units",
            "time_scope_value",
            "key",
            "value",
            "enabled",
            "type",
            "project",
            "cluster",
            "category",
        ),
    ),
    Described(name="exclude", text="Rows to leave out.", keys=("category",)),
    *TIME_PARAMETERS[1:],
    Described(name="key_only", text="Only the keys.", kind="boolean"),
    Described(name="limit", text="Items on a page.", kind="integer"),
    Described(name="offset", text="Items to skip.", kind="integer"),
    Described(name="currency", text="ISO 4217 code, echoed."),
)


def tag_endpoints() -> list[Endpoint]:
    keys = Endpoint(
        path="tags/openshift/",
        summary="Tag keys of OpenShift with their values.",
        view=view,
        permit=permit_openshift,
        freshness=Freshness.HOUR,
        parameters=PARAMETERS,
    )
    values = Endpoint(
        path="tags/openshift/{key:path}/",
        summary="Values of one tag key of OpenShift.",
        view=view,
        permit=permit_openshift,
        freshness=Freshness.HOUR,
        parameters=PARAMETERS,
    )
    return [keys, values]


def view(connection: Connection, question: Question) -> Any:
    return answer_tags(
        connection,
        query=question.query,
        path=question.path,
        key=question.path_params.get("key"),
        limits=openshift_limits(question.identity),
        known_of=lambda facts: known_of(facts, question.rules, question.today),
    )
