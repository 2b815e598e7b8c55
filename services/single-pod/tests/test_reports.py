"""Options of `kura report` become parameters, nested answers become rows."""

from __future__ import annotations

from datetime import date
from typing import Any

import httpx
import pytest

from kura.single_pod.client import Kura
from kura.single_pod.problems import CommandError
from kura.single_pod.reports import (
    FlatReport,
    Measure,
    ReportRequest,
    flatten,
    ordered,
    report_path,
    telling_what_is_allowed,
    without_costs,
)


def test_groups_filters_and_order_become_bracket_parameters():
    request = ReportRequest(
        path="/reports/openshift/compute/",
        group_by=["project", "tag:app=web"],
        filters=["cluster=prod", "exact:node=n1"],
        excludes=["project=kube-system"],
        order_by=["usage", "cost:asc"],
        resolution="monthly",
        limit=3,
        currency="EUR",
    )

    assert request.query() == [
        ("group_by[project]", "*"),
        ("group_by[tag:app]", "web"),
        ("filter[cluster]", "prod"),
        ("filter[exact:node]", "n1"),
        ("exclude[project]", "kube-system"),
        ("order_by[usage]", "desc"),
        ("order_by[cost]", "asc"),
        ("filter[resolution]", "monthly"),
        ("filter[limit]", "3"),
        ("currency", "EUR"),
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"days": 30}, [("filter[time_scope_units]", "day"), ("filter[time_scope_value]", "-30")]),
        ({"month": 0}, [("filter[time_scope_units]", "month"), ("filter[time_scope_value]", "-1")]),
        ({"month": 2}, [("filter[time_scope_units]", "month"), ("filter[time_scope_value]", "-3")]),
        (
            {"start": date(2026, 1, 1), "end": date(2026, 1, 31)},
            [("start_date", "2026-01-01"), ("end_date", "2026-01-31")],
        ),
        ({}, []),
    ],
)
def test_a_span_of_time_is_given_in_one_of_four_ways(given, expected):
    assert ReportRequest(path="/x/", **given).query() == expected


@pytest.mark.parametrize(
    "given",
    [
        {"days": 7},
        {"month": 3},
        {"days": 10, "month": 0},
        {"start": date(2026, 1, 1)},
        {"filters": ["project"]},
        {"excludes": ["=x"]},
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_asking(given):
    with pytest.raises(CommandError) as refused:
        ReportRequest(path="/x/", **given).query()
    assert refused.value.status == 2


def test_a_limit_without_groups_is_a_page_of_days():
    assert ReportRequest(path="/x/", limit=4).query() == [("limit", "4")]


@pytest.mark.parametrize("words", [["openshift", "compute"], ["openshift/compute"], ["/openshift/compute/"]])
def test_a_report_is_named_by_words_or_by_its_path(words):
    assert report_path(words) == "/reports/openshift/compute/"


def test_half_a_name_lists_the_reports():
    with pytest.raises(CommandError, match="openshift compute"):
        report_path(["openshift"])


def _row(day: str, used: float, cost: float, **keys: str) -> dict:
    return {
        "date": day,
        **keys,
        "usage": {"value": used, "units": "Core-Hours"},
        "cost": {"raw": {"value": 0.0, "units": "USD"}, "total": {"value": cost, "units": "USD"}},
    }


ANSWER = {
    "meta": {
        "group_by": {"project": ["*"]},
        "total": {"usage": {"value": 6.0, "units": "Core-Hours"}, "cost": {"total": {"value": 0.6, "units": "USD"}}},
    },
    "data": [
        {
            "date": "2026-01-01",
            "projects": [
                {"project": "shop", "values": [_row("2026-01-01", 1.0, 0.1, project="shop")]},
                {"project": "mail", "values": [_row("2026-01-01", 2.0, 0.2, project="mail")]},
            ],
        },
        {
            "date": "2026-01-02",
            "projects": [{"project": "shop", "values": [_row("2026-01-02", 3.0, 0.3, project="shop")]}],
        },
        {"date": "2026-01-03", "projects": []},
    ],
}


def test_days_of_a_group_are_added_up():
    flat = flatten(ANSWER, by_date=False)

    assert flat.keys == ["project"]
    assert flat.measures == [Measure(heading="usage", units="Core-Hours"), Measure(heading="cost", units="USD")]
    assert flat.rows == [(("shop",), (1.0 + 3.0, 0.1 + 0.3)), (("mail",), (2.0, 0.2))]
    assert flat.total == (6.0, 0.6)


def test_by_date_every_day_keeps_its_own_rows():
    flat = flatten(ANSWER, by_date=True)

    assert flat.keys == ["date", "project"]
    assert [place for place, _ in flat.rows] == [
        ("2026-01-01", "shop"),
        ("2026-01-01", "mail"),
        ("2026-01-02", "shop"),
    ]


def test_two_groups_are_read_from_the_outside_in():
    nested = {
        "meta": {"group_by": {"tag:app": ["*"], "project": ["*"]}, "total": {}},
        "data": [
            {
                "date": "2026-01-01",
                "projects": [
                    {"project": "shop", "apps": [{"app": "web", "values": [_row("2026-01-01", 1.0, 0.5)]}]},
                ],
            }
        ],
    }

    flat = flatten(nested, by_date=False)

    assert flat.keys == ["project", "app"]
    assert flat.rows == [(("shop", "web"), (1.0, 0.5))]


def test_without_groups_there_is_a_row_for_every_day_also_the_empty_ones():
    plain = {
        "meta": {"group_by": {}, "total": {"usage": {"value": 1.0, "units": "Core-Hours"}}},
        "data": [
            {"date": "2026-01-01", "values": [_row("2026-01-01", 1.0, 0.0)]},
            {"date": "2026-01-02", "values": []},
        ],
    }

    flat = flatten(plain, by_date=True)

    assert flat.rows == [(("2026-01-01",), (1.0,)), (("2026-01-02",), (None,))]


def test_costs_are_left_out_while_they_are_all_nought_unless_there_is_nothing_else():
    free = {
        "meta": {"group_by": {}, "total": {"cost": {"total": {"value": 0.0, "units": "USD"}}}},
        "data": [{"date": "2026-01-01", "values": [{"cost": {"total": {"value": 0.0, "units": "USD"}}}]}],
    }

    assert [measure.heading for measure in flatten(free, by_date=True).measures] == ["cost"]


def test_groups_come_largest_first_or_as_asked_and_the_rest_last():
    rows = [(("Others",), (9.0, 9.0)), (("b",), (1.0, 5.0)), (("a",), (2.0, 4.0))]
    measures = [Measure(heading="usage", units=""), Measure(heading="cost", units="USD")]
    flat = FlatReport(keys=["project"], measures=measures, rows=rows, total=(12.0, 18.0))

    def labels(*order_by: str) -> list[str]:
        return [place[0] for place, _ in ordered(flat, order_by).rows]

    assert labels() == ["a", "b", "Others"]
    assert labels("cost") == ["b", "a", "Others"]
    assert labels("cost:asc") == ["a", "b", "Others"]
    assert labels("project:desc") == ["b", "a", "Others"]
    assert without_costs(flat).rows == [(("Others",), (9.0,)), (("b",), (1.0,)), (("a",), (2.0,))]


DESCRIBED = {
    "paths": {
        "/reports/openshift/costs/": {
            "get": {
                "parameters": [
                    {"name": "group_by", "schema": {"properties": {"node": {}, "project": {}, "tag:<key>": {}}}},
                    {"name": "delta", "schema": {"enum": ["cost", "usage"]}},
                    {"name": "limit", "schema": {"type": "integer"}},
                ]
            }
        }
    }
}


@pytest.mark.parametrize(
    ("refused", "hint"),
    [
        ({"group_by": {"pod": ["Unsupported"]}}, "--group-by takes node, project, tag:<key>."),
        ({"group_by": {"tag:app": ["Unsupported"]}}, "`kura tags` lists the tag keys that are kept"),
        ({"delta": ['"x" is not a valid choice.']}, "--delta takes cost, usage."),
        ({"group_by": {"exact:node": ["Not this one"]}}, None),
        ({"limit": ["A valid integer is required."]}, None),
        ({"bogus": ["Unsupported"]}, None),
        ({"errors": [{"source": "group_by", "detail": "no"}]}, None),
    ],
)
def test_a_refused_parameter_says_what_is_allowed(refused: dict[str, Any], hint: str | None):
    def answer(request: httpx.Request) -> httpx.Response:
        is_report = "/reports/" in request.url.path
        return httpx.Response(400, json=refused) if is_report else httpx.Response(200, json=DESCRIBED)

    kura = Kura("http://kura", transport=httpx.MockTransport(answer))
    path = "/reports/openshift/costs/"

    with pytest.raises(CommandError) as told, telling_what_is_allowed(kura, path):
        kura.get(path)

    assert "was answered with 400" in str(told.value)
    assert (told.value.hint is None) == (hint is None)
    assert (hint or "") in (told.value.hint or "")
