"""The report endpoints: one per entry of the catalogue."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from kura.api_reads.access import openshift_limits, require
from kura.api_reads.endpoints import CSV, JSON, Described, Endpoint, Freshness, Question
from kura.api_reads.reports.catalogue import REPORTS, Report
from kura.api_reads.reports.reporting import answer_report, as_csv, as_json
from kura.core.identity import Identity


def report_endpoints() -> list[Endpoint]:
    return [
        Endpoint(
            path=f"reports/{report.path}/",
            summary=f"Report {report.path}.",
            view=_view_of(report),
            permit=permit_openshift,
            freshness=Freshness.HOUR,
            media=(JSON, CSV),
            parameters=described(report),
        )
        for report in REPORTS.values()
    ]


def permit_openshift(identity: Identity) -> None:
    require(identity, "openshift.cluster")


def _view_of(report: Report) -> Any:
    def view(connection: Connection, question: Question) -> Any:
        answered = answer_report(
            connection,
            report=report,
            query=question.query,
            limits=openshift_limits(question.identity),
            rules=question.rules,
            today=question.today,
        )
        if question.wants_csv:
            return as_csv(answered)
        return as_json(answered, path=question.path, query=question.query)

    return view


def described(report: Report) -> tuple[Described, ...]:
    """The parameters this report validates, from the same catalogue entry."""
    tags = ("tag:<key>",) if report.keeps_tags else ()
    time_keys = ("resolution", "time_scope_units", "time_scope_value")
    ranks = () if report.monthly_only else ("limit", "offset")
    parameters = [
        Described(
            name="filter",
            text="Rows to keep. A key may carry one of the prefixes and:, or:, exact:.",
            keys=(*time_keys, *ranks, *sorted(report.filters), *tags),
        ),
        Described(name="exclude", text="Rows to leave out.", keys=(*sorted(report.excludes), *tags)),
        Described(
            name="order_by",
            text="asc or desc; for date a day whose order is used.",
            keys=tuple(sorted(report.order_by)),
        ),
        Described(name="limit", text="Dates, or CSV rows, on a page; 0 for all.", kind="integer"),
        Described(name="offset", text="Dates, or CSV rows, to skip.", kind="integer"),
        Described(name="currency", text="ISO 4217 code all costs are shown in."),
    ]
    if report.group_by:
        keys = (*sorted(report.group_by), *tags)
        parameters.append(Described(name="group_by", text="`*`, or values to keep.", keys=keys))
        parameters.append(Described(name="category", text="Cost groups shown as one project each."))
    if not report.monthly_only:
        parameters += [
            Described(name="start_date", text="First day, YYYY-MM-DD.", kind="date"),
            Described(name="end_date", text="Last day, YYYY-MM-DD.", kind="date"),
        ]
    if report.deltas:
        parameters.append(
            Described(name="delta", text="Compare with the window before.", choices=tuple(sorted(report.deltas)))
        )
    return tuple(parameters)


TIME_PARAMETERS = (
    Described(
        name="filter",
        text="The time the answer covers.",
        keys=("resolution", "time_scope_units", "time_scope_value"),
    ),
    Described(name="start_date", text="First day, YYYY-MM-DD.", kind="date"),
    Described(name="end_date", text="Last day, YYYY-MM-DD.", kind="date"),
)
