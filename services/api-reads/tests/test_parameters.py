"""Grammar of report parameters, and every refusal with its body (read-api §2)."""

from datetime import date

import pytest

from kura.api_reads.reports.catalogue import (
    COMPUTE,
    COSTS,
    COSTS_BY_PROJECT,
    GPU,
    MIG_PROFILES,
    NETWORK,
    VIRTUAL_MACHINES,
    VOLUMES,
    Report,
)
from kura.api_reads.reports.parameters import Filter, Known, Match, Order, Parameters, read_parameters
from kura.api_reads.reports.query_string import parse_query_string
from kura.core.errors import ParameterErrors

KNOWN = Known(
    today=date(2024, 6, 18),
    currencies=frozenset({"USD", "EUR"}),
    tag_keys=frozenset({"app"}),
    cost_groups=frozenset({"Platform"}),
)
UNSUPPORTED = ["Unsupported parameter or invalid value"]
BY_PROJECT = "group_by[project]=*"
BOTH_DATES = "start_date=2024-06-01&end_date=2024-06-02"


def read(query: str, report: Report = COSTS, known: Known = KNOWN) -> Parameters:
    return read_parameters(parse_query_string(query), report, known)


def refusal(query: str, report: Report = COSTS, known: Known = KNOWN):
    with pytest.raises(ParameterErrors) as raised:
        read(query, report, known)
    return raised.value.body


# -------------------------------------------------------------------------------------------------- time scope §2.3


@pytest.mark.parametrize(
    ("query", "start", "end", "completed"),
    [
        ("", "06-09", "06-18", ("day", "-10", "daily")),
        ("filter[time_scope_value]=-30", "05-20", "06-18", ("day", "-30", "daily")),
        ("filter[time_scope_value]=-90", "03-21", "06-18", ("day", "-90", "daily")),
        ("filter[time_scope_value]=-1", "06-01", "06-18", ("month", "-1", "monthly")),
        ("filter[time_scope_value]=-2", "05-01", "05-31", ("month", "-2", "monthly")),
        ("filter[time_scope_value]=-3", "04-01", "04-30", ("month", "-3", "monthly")),
        ("filter[time_scope_units]=month", "06-01", "06-18", ("month", "-1", "monthly")),
        ("filter[time_scope_units]=day", "06-09", "06-18", ("day", "-10", "daily")),
        ("filter[resolution]=monthly", "06-09", "06-18", ("day", "-10", "monthly")),
        (
            "filter[time_scope_value]=-1&filter[time_scope_units]=month&filter[resolution]=daily",
            "06-01",
            "06-18",
            ("month", "-1", "daily"),
        ),
    ],
)
def test_a_time_scope_is_completed_and_echoed(query, start, end, completed):
    parameters = read(query)

    assert parameters.scope.start == date.fromisoformat(f"2024-{start}")
    assert parameters.scope.end == date.fromisoformat(f"2024-{end}")
    echo = parameters.echo["filter"]
    assert (echo["time_scope_units"], echo["time_scope_value"], echo["resolution"]) == completed


def test_with_dates_only_the_resolution_is_completed():
    parameters = read(BOTH_DATES)

    assert parameters.echo["filter"] == {"resolution": "daily"}
    assert (parameters.echo["start_date"], parameters.echo["end_date"]) == ("2024-06-01", "2024-06-02")


def test_the_window_of_dates_reaches_from_the_retained_months_to_tomorrow():
    assert read("start_date=2024-03-01&end_date=2024-06-19").scope.end == date(2024, 6, 19)


# ------------------------------------------------------------------------------------------------------ values §2.1


def test_a_repeated_key_and_a_comma_list_are_the_same_list():
    both = Filter(key="project", matches=(Match("a"), Match("b")))

    assert read("filter[project]=a,b").filters == (both,)
    assert read("filter[project]=a&filter[project]=b").filters == (both,)


def test_exact_and_plain_values_of_a_key_are_alternatives():
    (found,) = read("filter[project]=a&filter[exact:project]=b").filters

    assert found == Filter(key="project", matches=(Match("a"), Match("b", exact=True)))


def test_and_values_must_all_match_and_or_lists_stand_alone():
    parameters = read("filter[and:project]=a&filter[and:project]=b&filter[or:cluster]=x,y&filter[tag:app]=shop")

    assert set(parameters.filters) == {
        Filter(key="project", matches=(Match("a"), Match("b")), every=True),
        Filter(key="cluster", matches=(Match("x"), Match("y"))),
        Filter(key="tag:app", matches=(Match("shop"),)),
    }


def test_a_group_value_filters_and_a_star_does_not():
    assert read("group_by[project]=web").filters == (Filter(key="project", matches=(Match("web"),)),)
    assert read(BY_PROJECT).filters == ()


def test_the_value_of_an_exact_group_is_ignored():
    parameters = read("group_by[exact:project]=web")

    assert (parameters.groups, parameters.filters) == (("project",), ())


def test_a_star_group_beside_a_filter_echoes_the_filter():
    assert read("group_by[project]=*&filter[project]=web").echo["group_by"] == {"project": ["web"]}


def test_prefixes_are_kept_in_the_echo():
    assert read("filter[exact:project]=web").echo["filter"]["exact:project"] == ["web"]


@pytest.mark.parametrize(
    ("query", "groups"),
    [
        ("group_by[cluster]=*&group_by[node]=*", ("cluster", "node")),
        ("group_by[node]=*&group_by[cluster]=*", ("node", "cluster")),
        ("filter[node]=n&group_by[cluster]=*&group_by[node]=*", ("node", "cluster")),
        ("group_by[cluster]=*&group_by[node]=*&group_by[project]=*", ("cluster", "node", "project")),
        ("group_by%5Btag%3Aapp%5D=*&group_by%5Bproject%5D=*", ("tag:app", "project")),
    ],
)
def test_groups_nest_in_the_order_of_their_first_mention(query, groups):
    assert read(query).groups == groups


def test_of_several_orders_the_last_of_the_echo_counts():
    parameters = read(f"{BY_PROJECT}&order_by[cost]=desc&order_by[project]=asc")

    assert list(parameters.echo["order_by"].items()) == [("project", "asc"), ("cost_total", "desc")]
    assert parameters.order == Order(field="cost_total", descending=True)


@pytest.mark.parametrize("name", ["infrastructure", "infrastructure_cost"])
def test_orders_are_echoed_by_their_internal_name(name):
    assert read(f"order_by[{name}]=asc").echo["order_by"] == {"infra_total": "asc"}


@pytest.mark.parametrize(
    ("query", "applied", "echoed"),
    [("", 100, 100), ("limit=2000", 1000, 2000), ("limit=-1", 100, -1), ("limit=0", 0, 0), ("limit=7", 7, 7)],
)
def test_the_page_limit_is_bounded_and_echoed_as_sent(query, applied, echoed):
    parameters = read(query)

    assert (parameters.limit, parameters.echoed_limit) == (applied, echoed)


def test_a_negative_offset_is_none():
    parameters = read("offset=-3")

    assert (parameters.offset, parameters.echoed_offset) == (0, -3)


def test_currency_is_taken_in_any_case():
    assert read("currency=eur").currency == "EUR"


def test_a_limit_of_zero_needs_no_group():
    assert read("filter[limit]=0").ranked == 0


def test_gpu_reports_ignore_tags():
    parameters = read("filter[tag:nobody_knows]=x&group_by[tag:app]=*&exclude[tag:other]=y", GPU)

    assert (parameters.filters, parameters.excludes, parameters.groups) == ((), (), ())


def test_costs_by_project_are_a_report_of_their_own():
    assert read(BY_PROJECT).report is COSTS_BY_PROJECT
    assert read("filter[project]=web").report is COSTS


# --------------------------------------------------------------------------------------------------- refusals §2.11

REFUSALS = [
    # unknown names
    ("bogus=1", {"bogus": UNSUPPORTED}),
    ("format=csv", {"format": UNSUPPORTED}),
    ("cost_type=blended_cost", {"cost_type": UNSUPPORTED}),
    ("filter[bogus]=1", {"filter": {"bogus": UNSUPPORTED}}),
    ("exclude[bogus]=1", {"exclude": {"bogus": UNSUPPORTED}}),
    ("exclude[storageclass]=1", {"exclude": {"storageclass": UNSUPPORTED}}),
    ("group_by[bogus]=1", {"group_by": {"bogus": UNSUPPORTED}}),
    ("group_by[category]=*", {"group_by": {"category": UNSUPPORTED}}),
    ("order_by[bogus]=asc", {"order_by": {"bogus": UNSUPPORTED}}),
    ("filter[tag:zone]=1", {"filter": {"tag:zone": UNSUPPORTED}}),
    ("filter[and:or:project]=1", {"filter": {"and:or:project": UNSUPPORTED}}),
    ("order_by[usage]=asc", {"order_by": {"usage": UNSUPPORTED}}),
    # shapes
    ("group_by=project", {"group_by": {"non_field_errors": ["Invalid data. Expected a dictionary, but got str."]}}),
    ("group_by[cluster]=", {"group_by": {"cluster": {"0": ["This field may not be blank."]}}}),
    ("filter[project]=a,", {"filter": {"project": {"1": ["This field may not be blank."]}}}),
    ("filter[project]=a%00b", {"filter": {"project": {"0": ["Null characters are not allowed."]}}}),
    # choices
    ("filter[resolution]=hourly", {"filter": {"resolution": ['"hourly" is not a valid choice.']}}),
    ("filter[time_scope_units]=year", {"filter": {"time_scope_units": ['"year" is not a valid choice.']}}),
    ("filter[time_scope_value]=-5", {"filter": {"time_scope_value": ['"-5" is not a valid choice.']}}),
    ("filter[infrastructures]=ibm", {"filter": {"infrastructures": ['"ibm" is not a valid choice.']}}),
    ("exclude[infrastructures]=gcp", {"exclude": {"infrastructures": ['"gcp" is not a valid choice.']}}),
    ("order_by[cost]=up", {"order_by": {"cost": ['"up" is not a valid choice.']}}),
    ("delta=usage", {"delta": ['"usage" is not a valid choice.']}),
    # time
    (
        "filter[time_scope_units]=month&filter[time_scope_value]=-10",
        {"filter": {"time_scope_value": ["Valid values are -1, -2, -3 when time_scope_units is month"]}},
    ),
    (
        "filter[time_scope_units]=day&filter[time_scope_value]=-1",
        {"filter": {"time_scope_value": ["Valid values are -10, -30, -90 when time_scope_units is day"]}},
    ),
    (
        "filter[time_scope_units]=day&filter[time_scope_value]=-10&filter[resolution]=monthly",
        {"filter": {"resolution": ["Valid values are daily when time_scope_units is day"]}},
    ),
    ("start_date=2024-06-01", {"error": ["The parameters [start_date, end_date] must both be defined."]}),
    (
        "start_date=2024-06-02&end_date=2024-06-01",
        {"error": ["start_date must be a date that is before end_date."]},
    ),
    (
        f"{BOTH_DATES}&filter[time_scope_value]=-1",
        {
            "error": [
                "The parameters [start_date, end_date] may not be ",
                "used with the filters [time_scope_value, time_scope_units]",
            ]
        },
    ),
    (
        f"{BOTH_DATES}&delta=cost",
        {"error": ["Delta calculation is not supported with start_date and end_date parameters."]},
    ),
    (
        "start_date=yesterday&end_date=2024-06-01",
        {"start_date": ["Date has wrong format. Use one of these formats instead: YYYY-MM-DD."]},
    ),
    (
        "start_date=2024-02-29&end_date=2024-06-20",
        {
            "start_date": ["Parameter start_date must be from 2024-03-01 to 2024-06-19"],
            "end_date": ["Parameter end_date must be from 2024-03-01 to 2024-06-19"],
        },
    ),
    (
        "order_by[date]=2024-06-19",
        {"order_by": {"date": "Order-by date must be from 2024-03-01 to 2024-06-18"}},
    ),
    # orders and groups
    (
        "order_by[cluster]=asc",
        {"order_by": {"cluster": 'Order-by "cluster" requires matching Group-by.'}},
    ),
    (
        "order_by[or:cluster]=asc",
        {"order_by": {"or:cluster": 'The order_by key "or:cluster" can not contain the or parameter.'}},
    ),
    ("order_by[delta]=asc", {"order_by": ["Cannot order by delta without a delta param"]}),
    (
        "order_by[distributed_cost]=asc",
        {"order_by": ["Cannot order by field cost_total_distributed without grouping by one of project."]},
    ),
    (
        "order_by[storage_class]=asc",
        {
            "order_by": [
                "Cannot order by field storage_class without grouping by one of persistentvolumeclaim, storageclass."
            ]
        },
    ),
    ("delta=distributed_cost", {"delta": ["Cannot use distributed_cost delta without grouping by project."]}),
    (
        "group_by[cluster]=*&group_by[node]=*&group_by[project]=*&group_by[tag:app]=*",
        {"group_by": {"group_by": "Cost Management supports a max of 3 group_by options."}},
    ),
    # ranking
    ("filter[limit]=2", {"error": ["filter[limit] and filter[offset] requires a valid group_by param."]}),
    ("filter[offset]=0", {"error": ["filter[limit] and filter[offset] requires a valid group_by param."]}),
    (
        f"{BY_PROJECT}&filter[limit]=-1",
        {"filter": {"limit": ["Ensure this value is greater than or equal to 0."]}},
    ),
    (f"{BY_PROJECT}&filter[limit]=many", {"filter": {"limit": ["A valid integer is required."]}}),
    (f"{BY_PROJECT}&filter[limit]=1,2", {"filter": {"limit": ["A valid integer is required."]}}),
    ("limit=many", {"limit": ["A valid integer is required."]}),
    ("offset=1&offset=2", {"offset": ["A valid integer is required."]}),
    # money and cost groups
    ("currency=XXQ", {"currency": ['"XXQ" is not a valid ISO 4217 currency.']}),
    ("currency=GBP", {"currency": ['"GBP" is not an enabled currency.']}),
    (
        "category=Platform",
        {"error": ["Category may not be used without a group_by project parameter"]},
    ),
    (f"{BY_PROJECT}&category=foo", {"category": {"error": "Unsupported category(ies): {'foo'}"}}),
    # several at once: all wrong fields together, then unknown names, then rules between fields
    (
        "bogus=1&delta=xx&filter[zz]=1",
        {"delta": ['"xx" is not a valid choice.'], "filter": {"zz": UNSUPPORTED}},
    ),
    ("bogus=1&start_date=2024-06-01", {"bogus": UNSUPPORTED}),
]


@pytest.mark.parametrize(("query", "body"), REFUSALS, ids=[query for query, _ in REFUSALS])
def test_a_cost_report_refuses(query, body):
    assert refusal(query) == body


OTHER_REFUSALS = [
    (COMPUTE, "delta=limit", {"delta": {"limit": "Unsupported parameter"}}),
    (COMPUTE, "delta=a__b__c", {"delta": {"a__b__c": "Only two fields may be compared"}}),
    (COMPUTE, "delta=usage__bogus", {"delta": {"bogus": "Unsupported parameter"}}),
    (VOLUMES, "delta=distributed_cost", {"delta": {"distributed_cost": "Unsupported parameter"}}),
    (NETWORK, "delta=request", {"delta": {"request": "Unsupported parameter"}}),
    (GPU, "group_by[node]=*", {"group_by": {"node": UNSUPPORTED}}),
    (GPU, "delta=cost", {"delta": UNSUPPORTED}),
    (GPU, "group_by[project]=*&order_by[project]=asc", {"order_by": {"project": UNSUPPORTED}}),
    (GPU, "filter[limit]=2", {"error": ["filter[limit] and filter[offset] requires a valid group_by param."]}),
    (
        VIRTUAL_MACHINES,
        "group_by[project]=*",
        {"group_by": {"non_field_errors": ["Group by queries are not allowed."]}},
    ),
    (VIRTUAL_MACHINES, "filter[resolution]=daily", {"filter": {"resolution": ["valid choice is 'monthly'"]}}),
    (
        VIRTUAL_MACHINES,
        "filter[time_scope_value]=-10",
        {"filter": {"time_scope_value": ["valid choices are '('-1', '-2', '-3')'"]}},
    ),
    (VIRTUAL_MACHINES, "filter[limit]=1", {"filter": {"limit": UNSUPPORTED}}),
    (VIRTUAL_MACHINES, BOTH_DATES, {"start_date": UNSUPPORTED, "end_date": UNSUPPORTED}),
    (
        MIG_PROFILES,
        "",
        {
            "non_field_errors": [
                "MIG profiles endpoint requires filters: gpu_vendor, gpu_model, node. "
                "Missing: gpu_vendor, gpu_model, node"
            ]
        },
    ),
    (
        MIG_PROFILES,
        "filter[gpu_vendor]=nvidia&filter[gpu_model]=A100",
        {"filter": {"node": ["This field is required."]}},
    ),
]


@pytest.mark.parametrize(
    ("report", "query", "body"),
    OTHER_REFUSALS,
    ids=[f"{report.path}?{query}" for report, query, _ in OTHER_REFUSALS],
)
def test_other_reports_refuse(report, query, body):
    assert refusal(query, report) == body


@pytest.mark.parametrize("query", ["filter[a]b=1", "filter[=1", "filter[a][b]=1", "filter[]=1", "=1"])
def test_malformed_brackets_are_refused(query):
    with pytest.raises(ParameterErrors) as raised:
        parse_query_string(query)

    assert raised.value.body == {"details": "Invalid query parameter format."}


def test_an_installation_may_allow_fewer_groups():
    known = Known(today=KNOWN.today, max_groups=2)

    assert refusal("group_by[cluster]=*&group_by[node]=*&group_by[project]=*", known=known) == {
        "group_by": {"group_by": "Cost Management supports a max of 2 group_by options."}
    }
