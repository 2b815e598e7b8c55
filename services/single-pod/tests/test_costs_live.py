"""Costs through one running Kura: applied, explained, changed, previewed, taken away."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from kura.core.cost_metrics import COST_METRICS
from kura.single_pod.client import Kura
from kura.single_pod.explaining import Explanation, closing_line, explain_costs, explain_query, tree_of
from kura.single_pod.generating import recent_payloads
from kura.single_pod.main import cli
from kura.single_pod.pricing import Applied, apply_model, find_model, read_model
from kura.single_pod.uploads import add_missing_sources, wait_until_visible
from kura.testing.digest import exact_digest_of
from kura.testing.profiles import PROFILES
from kura.testing.running import RunningKura, running_kura

pytestmark = pytest.mark.slow

SAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "cost-model.yaml"
MONTH = [("filter[time_scope_units]", "month"), ("filter[time_scope_value]", "-1")]
SCHEMA = "org1234567"
SECONDS = 120.0


@pytest.fixture(scope="module")
def running() -> Iterator[RunningKura]:
    now = datetime.now(UTC)
    if now.day == 1 and now.hour == 0:
        pytest.skip("this month has no data yet")
    with running_kura() as started:
        yield started


@pytest.fixture(scope="module")
def kura(running: RunningKura, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kura]:
    """Kura with two days of one small cluster and no prices."""
    with Kura(running.http) as opened:
        payloads = list(recent_payloads(PROFILES["tiny"], days=2, end=None, seed=5))
        add_missing_sources(opened, {payload.cluster_id: payload.cluster_name for payload in payloads})
        sent = []
        for number, payload in enumerate(payloads):
            path = tmp_path_factory.mktemp("payloads") / f"{number}.tar.gz"
            path.write_bytes(payload.content)
            sent.append(opened.upload(path))
        results = wait_until_visible(opened, sent, timeout=SECONDS, tell=lambda counts: None, poll=0.1)
        assert {result["state"] for result in results} == {"done"}
        yield opened


def explained(kura: Kura, **names: str) -> Explanation:
    given: dict[str, Any] = {"project": None, "node": None, "cluster": None, **names}
    return explain_costs(kura, explain_query(**given, time=[], currency=None))


def until(kura: Kura, total: float, **names: str) -> Explanation:
    """The explanation once costs are that; what edits change follows in the background."""
    deadline = time.monotonic() + SECONDS
    while abs((found := explained(kura, **names)).total - total) > 1e-6:
        assert time.monotonic() < deadline, f"{found.total} is not {total}"
        time.sleep(0.2)
    return found


def until_priced(kura: Kura) -> Explanation:
    """The explanation once nothing waits any more and there are costs."""
    deadline = time.monotonic() + SECONDS
    steady, before = 0, -1.0
    while steady < 10:
        found = explained(kura)
        steady = steady + 1 if found.total == before and found.total > 0 else 0
        before = found.total
        assert time.monotonic() < deadline
        time.sleep(0.3)
    return found


def applied(kura: Kura, path: Path) -> Applied:
    (source,) = kura.pages("/sources/")
    return apply_model(kura, read_model(path), sources=[source["name"]])


def test_costs_from_beginning_to_end(kura: Kura, running: RunningKura, tmp_path: Path):
    assert explained(kura).lines == []

    made = applied(kura, SAMPLE)
    assert made.created
    assert made.model["price_lists"][0]["effective_start_date"] == "2025-01-01"
    whole = until_priced(kura)
    assert whole.adds_up, closing_line(whole)

    # Every project and every node, and all projects together.
    report = kura.get("/reports/openshift/costs/", [*MONTH, ("group_by[project]", "*"), ("limit", "0")])
    totals = {
        project["project"]: sum(row["cost"]["distributed"]["value"] for row in project["values"])
        for bucket in report["data"]
        for project in bucket["projects"]
    }
    assert sum(totals.values()) == pytest.approx(whole.total, abs=1e-9)
    for name, total in totals.items():
        found = explained(kura, project=name)
        assert found.adds_up, closing_line(found)
        assert found.total == pytest.approx(total, abs=1e-9)
    nodes = kura.get("/resource-types/openshift-nodes/", [("limit", "100")])["data"]
    assert nodes
    for node in nodes:
        assert explained(kura, node=node["value"]).adds_up

    # The same again changes nothing; twice the price costs twice as much of that part.
    again = applied(kura, SAMPLE)
    assert (again.created, again.model["rates"]) == (False, made.model["rates"])
    cpu = sum(line["cost"]["value"] for line in whole.lines if line.get("rate", {}).get("custom_name") == "CPU in use")
    assert cpu > 0
    dearer = tmp_path / "dearer.yaml"
    dearer.write_text(SAMPLE.read_text().replace("price: 0.03", "price: 0.06"))

    # The preview says it before, and writes nothing.
    (source,) = kura.pages("/sources/")
    body = {**read_model(dearer).body, "source_uuids": [source["uuid"]]}
    stored = exact_digest_of(running.database_url, SCHEMA)
    previewed = kura.post("/cost-models/preview/", body)
    assert exact_digest_of(running.database_url, SCHEMA).differences(stored) == []
    assert previewed["meta"]["total"]["now"]["distributed"] == pytest.approx(whole.total, abs=1e-6)
    assert previewed["meta"]["total"]["difference"] == pytest.approx(cpu, abs=1e-6)
    assert explained(kura).total == pytest.approx(whole.total, abs=1e-9)
    then = {item["project"]: item["then"]["distributed"] for item in previewed["data"]}

    applied(kura, dearer)
    changed = until(kura, whole.total + cpu)
    assert changed.adds_up
    for name in totals:
        assert explained(kura, project=name).total == pytest.approx(then[name], abs=1e-6)

    # Without a cost model there are no costs.
    model = find_model(kura, "Standard prices")
    assert model is not None
    kura.delete(f"/cost-models/{model['uuid']}/")
    until(kura, 0.0)


def test_euros_are_enabled_priced_in_and_shown_with_a_rate_of_ones_own(kura: Kura, tmp_path: Path):
    """All on the command line, up to a report in dollars whose lines add up."""
    (source,) = kura.pages("/sources/")
    model = tmp_path / "euros.yaml"
    model.write_text("name: Euros\ncurrency: EUR\nrates: [{metric: cpu_core_usage_per_hour, price: 0.5}]")
    apply = ("cost-model", "apply", str(model), "--source", source["name"])
    this = f"{datetime.now(UTC):%Y-%m}"

    def run(*words: str) -> Result:
        return CliRunner().invoke(cli, [*words, "--url", kura.url])

    def total(currency: str) -> float:
        told = run("explain", "--currency", currency, "--json")
        facts = json.loads(told.stdout)
        assert facts["adds_up"], told.output
        report = json.loads(
            run("report", "openshift", "costs", "--month", "0", "--currency", currency, "--json").stdout
        )
        cost = report["meta"]["total"]["cost"]["total"]
        assert cost["value"] == pytest.approx(facts["meta"]["total"]["cost"]["total"]["value"], abs=1e-9)
        assert cost["units"] == currency
        return float(cost["value"])

    refused = run(*apply)
    assert refused.exit_code == 1
    assert "kura currency enable EUR" in refused.output
    assert run("currency", "enable", "eur").exit_code == 0
    assert run(*apply).exit_code == 0
    until_priced(kura)
    euros = total("EUR")
    assert total("USD") == pytest.approx(euros), "without any rate one is one"

    for rate in ("1.25", "1.5"):
        assert run("currency", "rate", "set", "EUR", "USD", rate, "--from", this, "--until", this).exit_code == 0
        assert total("USD") == pytest.approx(euros * float(rate), rel=1e-12)
    assert "0.5 EUR × 1.5 USD/EUR = " in run("explain", "--currency", "USD").output
    (shown,) = json.loads(run("currency", "rate", "list", "--json").stdout)
    assert (shown["name"], shown["exchange_rate"]) == ("EUR-USD", 1.5)
    assert "EUR-USD" in run("currency", "list").output
    in_use = run("currency", "disable", "EUR")
    assert in_use.exit_code == 1
    assert "Cost models are in it: Euros" in in_use.output

    assert run("currency", "rate", "delete", "EUR", "USD").exit_code == 0
    assert total("USD") == pytest.approx(euros)
    assert run("cost-model", "delete", "Euros", "--yes").exit_code == 0
    until(kura, 0.0)


def test_every_metric_is_explained(kura: Kura):
    """All metrics in both cost types, some by label: the lines add up whatever the formula."""
    (source,) = kura.pages("/sources/")
    tiered = [
        {"metric": {"name": name}, "cost_type": kind, "tiered_rates": [{"value": value, "unit": "USD"}]}
        for value, name in enumerate(COST_METRICS, start=1)
        for kind in ("Infrastructure", "Supplementary")
        if name != "project_per_month"
    ]

    def by_tag(name: str, key: str, *values: str) -> dict[str, Any]:
        prices = [{"tag_value": value, "value": 3, "unit": "USD", "default": False} for value in values]
        other = {"tag_value": "(any other)", "value": 2, "unit": "USD", "default": True}
        return {"metric": {"name": name}, "tag_rates": {"tag_key": key, "tag_values": [*prices, other]}}

    tagged = [
        by_tag(name, "app", "web")
        for name in COST_METRICS
        if name not in ("gpu_cost_per_month", "cluster_cost_per_month", "cluster_cost_per_hour")
    ]
    tagged += [by_tag("gpu_cost_per_month", vendor, "none") for vendor in ("nvidia", "nvidia_com")]
    body = {
        "name": "everything",
        "description": "",
        "source_type": "OCP",
        "source_uuids": [source["uuid"]],
        "markup": {"value": "5", "unit": "percent"},
        "distribution": "memory",
        "distribution_info": {"network_unattributed": True, "storage_unattributed": True, "gpu_unallocated": True},
        "rates": [*tiered, *tagged],
    }
    made = kura.post("/cost-models/", body)
    first = (datetime.now(UTC) - timedelta(days=40)).date().replace(day=1)
    kura.put(f"/price-lists/{made['price_lists'][0]['uuid']}/", {"effective_start_date": first.isoformat()})

    whole = until_priced(kura)

    assert whole.adds_up, closing_line(whole)
    metrics = {line["metric"]["name"] for line in whole.lines if line["kind"] == "rate"}
    assert {"cpu_core_usage_per_hour", "node_cost_per_month", "pvc_cost_per_month", "cluster_cost_per_month"} <= metrics
    for line in whole.lines:
        if line["kind"] == "rate":
            product = line["usage"]["value"] * line["rate"]["value"]
            assert line["cost"]["value"] == pytest.approx(product, rel=1e-9, abs=1e-9), line
    report = kura.get("/reports/openshift/costs/", [*MONTH, ("group_by[project]", "*"), ("limit", "0")])
    names = {project["project"] for bucket in report["data"] for project in bucket["projects"]}
    for name in names:
        found = explained(kura, project=name)
        assert found.adds_up, f"{name}: {closing_line(found)}"
    assert "Infrastructure" in str(tree_of(whole, title="Everything").children[0].label)
