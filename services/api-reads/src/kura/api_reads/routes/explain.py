"""`explain/openshift/costs/`: the lines behind a number of the costs report."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from kura.api_reads.access import openshift_limits
from kura.api_reads.endpoints import Described, Endpoint, Freshness, Question
from kura.api_reads.explain import EXPLAINED, Explained, explain, total_of
from kura.api_reads.explained import Line
from kura.api_reads.links import links_between
from kura.api_reads.reports.answer import Json, amount, cost_members
from kura.api_reads.reports.parameters import Parameters
from kura.api_reads.routes.reports import described, permit_openshift

LEFT_OUT = ("order_by", "delta")


def explain_endpoints() -> list[Endpoint]:
    return [
        Endpoint(
            path=f"{EXPLAINED.path}/",
            summary="The lines whose sum is a number of the costs report.",
            view=explained_costs,
            permit=permit_openshift,
            freshness=Freshness.HOUR,
            parameters=_parameters(),
        )
    ]


def _parameters() -> tuple[Described, ...]:
    return tuple(parameter for parameter in described(EXPLAINED) if parameter.name not in LEFT_OUT)


def explained_costs(connection: Connection, question: Question) -> Any:
    explained = explain(
        connection,
        query=question.query,
        limits=openshift_limits(question.identity),
        rules=question.rules,
        today=question.today,
    )
    return as_json(explained, question)


def as_json(explained: Explained, question: Question) -> Json:
    """A page of lines; totals are those of all lines, beside what the report says."""
    parameters = explained.parameters
    count = len(explained.lines)
    limit, offset = parameters.limit or max(count, 1), parameters.offset
    total = total_of(explained.lines)
    reported = explained.reported
    names = ("cost_total", "cost_total_distributed")
    return {
        "meta": {
            "count": count,
            "limit": parameters.echoed_limit,
            "offset": parameters.echoed_offset,
            "currency": parameters.currency,
            "start_date": parameters.scope.start.isoformat(),
            "end_date": parameters.scope.end.isoformat(),
            "filter": parameters.echo.get("filter", {}),
            "group_by": parameters.echo.get("group_by", {}),
            "total": cost_members(total, parameters.currency),
            "reported": cost_members(reported, parameters.currency),
            "difference": {name: float(total[name] - reported[name]) for name in names},
        },
        "links": links_between(question.path, question.query.pairs, limit=limit, offset=offset, count=count),
        "data": [_line(line, parameters) for line in explained.lines[offset : offset + limit]],
    }


def _line(line: Line, parameters: Parameters) -> Json:
    exchanged = {"exchange_rate": float(line.factor)} if line.factor != 1 else {}
    return {
        "date": parameters.scope.bucket_of(line.bucket),
        **dict(zip(parameters.groups, line.groups, strict=True)),
        "kind": line.kind,
        "part": line.measure.removeprefix("cost_"),
        **line.details,
        **exchanged,
        "cost": amount(line.cost, parameters.currency),
    }
