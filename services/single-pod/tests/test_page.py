"""The page at `/`, in a real browser, over a real Kura."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kura.single_pod.client import Kura
from kura.single_pod.pricing import apply_model, read_model
from kura.testing.operator_payload import PROFILES, Payload, clusters, make_payloads
from kura.testing.proxies import Answer, BreakOff, HttpProxy
from kura.testing.running import RunningKura, running_kura

sys.path.insert(0, str(Path(__file__).parent))

from browser import CHROMIUM, DRIVER, Browser, Keys, contrast, opened_browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM.exists() and DRIVER.exists()), reason="chromium or chromium-driver is missing"),
]

PRICES = Path(__file__).parents[3] / "docs" / "examples" / "cost-model.yaml"
PROFILE = PROFILES["tiny"]
SEED = 3
DAYS = 3
AWAY = Answer(
    status=503,
    media_type="application/json",
    body=b'{"errors":[{"detail":"The database does not answer.","status":503}]}',
)
TEN_DAYS = {"filter[resolution]": "daily", "filter[time_scope_units]": "day", "filter[time_scope_value]": "-10"}


def payloads(uploads_per_day: int = 1) -> list[Payload]:
    end = datetime.now(UTC).date() - timedelta(days=1)
    return list(make_payloads(PROFILE, end=end, days=DAYS, seed=SEED, uploads_per_day=uploads_per_day))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def filled() -> Iterator[RunningKura]:
    """A Kura with some days of a cluster that has prices."""
    with running_kura() as running:
        [cluster] = clusters(PROFILE, seed=SEED)
        source = running.add_cluster(cluster.cluster_id, name="shop-cluster")
        with Kura(running.http) as opened:
            apply_model(opened, read_model(PRICES), sources=[source.name])
        running.send(*(payload.content for payload in payloads()))
        yield running


@pytest.fixture(scope="module")
def proxy(filled: RunningKura) -> Iterator[HttpProxy]:
    """What stands between the browser and that Kura."""
    with HttpProxy(filled.http) as between:
        yield between


def drawn(browser: Browser) -> list[dict[str, Any]]:
    """What the chart over time shows: for every day its parts with value and height."""
    found: list[dict[str, Any]] = browser.script("""
        return [...document.querySelectorAll('#usage .day')].map((day) => ({
          day: day.dataset.key, words: day.getAttribute('aria-label'),
          parts: [...day.querySelectorAll('[data-value]')].map((part) =>
            [part.dataset.label, Number(part.dataset.value), part.getBoundingClientRect().height])}));""")
    return found


def usage(kura: RunningKura, measure: str, by: str, *, limit: int = 5) -> dict[str, dict[str, float]]:
    """The same from the API: day → name → value."""
    given = {**TEN_DAYS, "filter[limit]": str(limit), f"group_by[{by}]": "*"}
    report = kura.get(f"/reports/openshift/{measure}/", **given)
    return {
        bucket["date"]: {
            group[by]: sum(row["usage"]["value"] for row in group["values"] or []) for group in bucket[f"{by}s"]
        }
        for bucket in report["data"]
    }


def chosen(browser: Browser, name: str, value: str) -> None:
    """Choose with the mouse, and wait until the chart says so."""
    before = browser.text("#usage-title")
    browser.script(f"document.querySelector('[name={name}][value={value}]').click()")
    browser.until(lambda: browser.text("#usage-title") != before)


def test_it_loads_without_a_complaint_and_asks_nobody_else(browser: Browser, proxy: HttpProxy):
    browser.open(proxy.url)

    assert browser.complaints() == []
    asked = browser.addresses_asked()
    assert len(asked) > 8
    assert {address for address in asked if not address.startswith((f"{proxy.url}/", "about:"))} == set()
    assert browser.text("#summary") == "1 cluster · nothing being processed"
    assert "shop-cluster up to date" in browser.text("#clusters")
    assert browser.text("#uploads .state").split() == ["done"] * len(payloads())


def test_charts_show_the_numbers_of_the_api(browser: Browser, proxy: HttpProxy, filled: RunningKura):
    browser.open(proxy.url)

    for measure, by in (("compute", "project"), ("memory", "project"), ("memory", "node")):
        if (measure, by) != ("compute", "project"):
            chosen(browser, *(("measure", measure) if by == "project" else ("by", by)))
        expected = usage(filled, measure, by)
        days = drawn(browser)
        assert [day["day"] for day in days] == list(expected)
        for day in days:
            wanted = {name: value for name, value in expected[day["day"]].items() if value}
            assert {label: value for label, value, _ in day["parts"]} == pytest.approx(wanted)
        parts = [part for day in days for part in day["parts"] if part[2] > 20]
        scale = [height / value for _, value, height in parts]
        assert max(scale) == pytest.approx(min(scale), rel=0.01)


def test_capacity_and_costs_show_the_numbers_of_the_api(browser: Browser, proxy: HttpProxy, filled: RunningKura):
    browser.open(proxy.url)

    report = filled.get("/reports/openshift/compute/", **TEN_DAYS, **{"group_by[node]": "*", "limit": "100"})
    used, offered = (
        {
            group["node"]: sum(
                row[measure]["value"]
                for bucket in report["data"]
                for other in bucket["nodes"]
                if other["node"] == group["node"]
                for row in other["values"]
            )
            for bucket in report["data"]
            for group in bucket["nodes"]
        }
        for measure in ("usage", "capacity")
    )
    shares = dict(
        browser.script("""return [...document.querySelectorAll('#capacity li')].map((line) => [
            line.querySelector('.who').textContent, parseFloat(line.querySelector('.used').getAttribute('width'))])""")
    )
    assert shares
    for node, share in shares.items():
        assert share == pytest.approx(100 * used[node] / offered[node], abs=1e-6)

    costs = filled.get("/reports/openshift/costs/", **TEN_DAYS, **{"group_by[project]": "*"})["meta"]["total"]
    total = costs["cost"]["distributed"]["value"]
    assert total > 0
    assert f"Cost ${total:,.2f}" in browser.text("#figures")
    amounts = browser.script(
        "return [...document.querySelectorAll('#costs .value')].map((one) => one.textContent.replace(/[$,]/g, ''))"
    )
    assert sum(float(amount) for amount in amounts) == pytest.approx(total, abs=0.05)
    assert "infrastructure" in browser.text("#costs .more")


def focused(browser: Browser) -> dict[str, Any]:
    """What has the focus, and whether that can be seen."""
    found: dict[str, Any] = browser.script("""
        const one = document.activeElement;
        const mark = one.matches('input') ? one.nextElementSibling : one.querySelector('.ground') ?? one;
        const style = getComputedStyle(mark);
        return {what: one.name || one.closest('[id]')?.id || one.tagName, tag: one.tagName.toLowerCase(),
          words: one.getAttribute('aria-label') ?? one.innerText,
          visible: (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2)
            || (style.stroke !== 'none' && parseFloat(style.strokeWidth) >= 2)};""")
    return found


def test_all_of_it_works_by_keyboard(browser: Browser, proxy: HttpProxy, filled: RunningKura):
    browser.open(proxy.url)

    stops = []
    for _ in range(60):
        browser.press(Keys.TAB)
        stop = focused(browser)
        if stop["tag"] == "body":
            break
        assert stop["visible"], stop
        stops.append(stop)
    order = [name for name, _ in itertools.groupby(stop["what"] for stop in stops)]
    assert stops[0]["words"] == "Skip to content"
    wanted = ["days", "measure", "by", "usage-link", "usage", "capacity-link", "costs-link"]
    assert [name for name in order if name in wanted] == wanted
    assert order[-1] == "uploads"

    # The chart is one stop; its days are read one by one.
    days = drawn(browser)
    browser.script("document.querySelector('#usage .day[tabindex=\"0\"]').focus()")
    browser.press(Keys.HOME)
    for day in days[:4]:
        assert focused(browser)["words"] == day["words"]
        assert browser.text(".readout").startswith(day["words"].split(":")[0])
        browser.press(Keys.ARROW_RIGHT)
    browser.press(Keys.ESCAPE)
    assert not browser.is_shown(".readout")
    last = next(day for day in reversed(days) if day["parts"])
    total = sum(usage(filled, "compute", "project")[last["day"]].values())
    shown = f"{total:,.0f}" if total >= 100 else f"{total:.3g}"
    assert f": {shown} in all" in last["words"]

    # Arrow keys choose; the same numbers are there as a table.
    browser.script("document.querySelector('[name=measure]:checked').focus()")
    browser.press(Keys.ARROW_RIGHT)
    browser.until(lambda: browser.text("#usage-title").startswith("Memory by project"))
    assert focused(browser)["what"] == "measure"
    browser.script("document.querySelector('#usage summary').focus()")
    browser.press(Keys.ENTER)
    assert last["day"] in browser.text("#usage table")


def test_what_has_the_focus_keeps_it_when_the_page_changes(browser: Browser, proxy: HttpProxy):
    browser.open(proxy.url)
    browser.script("document.querySelector('#usage .day').focus()")

    chosen(browser, "measure", "memory")

    assert focused(browser)["what"] == "usage"
    assert focused(browser)["words"].startswith(drawn(browser)[0]["words"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser: Browser, proxy: HttpProxy, scheme: str):
    browser.open(proxy.url, width=375, height=800, scheme=scheme)

    assert browser.script("return document.documentElement.scrollWidth") <= 375
    outside = browser.script("""
        return [...document.querySelectorAll('body *')].filter((one) => one.checkVisibility()
          && !one.closest('.scroll, .skip, .hidden, thead, pre') && one.getBoundingClientRect().right > 376)
          .map((one) => one.outerHTML.slice(0, 100));""")
    assert outside == []
    small = browser.script("""
        return [...document.querySelectorAll('a, summary, .segments label')].filter((one) => one.checkVisibility()
          && !one.matches('.skip') && one.getBoundingClientRect().height < 18).map((one) => one.outerHTML);""")
    assert small == []
    overlapping = browser.script("""
        const names = [...document.querySelectorAll('#usage .tick[text-anchor=middle]')];
        const boxes = names.map((one) => one.getBoundingClientRect());
        return boxes.slice(1).filter((box, index) => box.left < boxes[index].right);""")
    assert overlapping == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_in_light_and_dark(browser: Browser, proxy: HttpProxy, scheme: str):
    browser.open(proxy.url, scheme=scheme)

    text, ground = browser.colours("h1")
    assert (sum(ground) > sum(text)) is (scheme == "light")
    for selector in ("h1", "#summary", "header a", ".card .soft", ".card .state", "#usage-title", ".legend li"):
        assert contrast(*browser.colours(selector)) >= 4.5, selector
    for selector in (".segments input:checked + span", "#figures .more", "#costs .more", "#uploads td"):
        assert contrast(*browser.colours(selector)) >= 4.5, selector


def test_an_api_that_is_away_is_told_of_and_what_is_known_stays(browser: Browser, proxy: HttpProxy):
    browser.open(proxy.url)

    with proxy.broken(AWAY, path="/api/cost-management"):
        browser.until(lambda: browser.is_shown("#problem"))
        assert "The database does not answer." in browser.text("#problem")
        assert "What is shown is from" in browser.text("#problem")
        assert browser.text("#summary") == "Not reachable"
        assert "shop-cluster" in browser.text("#clusters")
        assert any(day["parts"] for day in drawn(browser))
        text, ground = browser.colours("#problem")
        assert contrast(text, ground) >= 4.5

    browser.until(lambda: not browser.is_shown("#problem"))
    assert browser.text("#summary") == "1 cluster · nothing being processed"


@pytest.mark.parametrize(
    ("fault", "words"),
    [(AWAY, "The database does not answer."), (BreakOff(after_bytes=None), "nothing answers at this address")],
)
def test_an_api_that_is_away_from_the_beginning_is_told_of(browser: Browser, proxy: HttpProxy, fault: Any, words: str):
    with proxy.broken(fault, path="/api/cost-management"):
        browser.open(proxy.url)

        assert words in browser.text("#problem")
        assert not browser.is_shown("#start")

    browser.until(lambda: browser.is_shown("#usage .day"))
    assert not browser.is_shown("#problem")


def test_an_empty_kura_says_what_to_do_and_the_page_follows_what_happens(browser: Browser):
    [cluster] = clusters(PROFILE, seed=SEED)
    with running_kura() as kura:
        browser.open(kura.http, width=375)
        assert "./kura source add NAME --cluster-id ID" in browser.text("#start")
        assert "./kura demo" in browser.text("#start")
        assert browser.script("return document.documentElement.scrollWidth") <= 375
        assert not browser.is_shown("#reports")
        browser.script("""
            window.seen = [];
            new MutationObserver(() => window.seen.push(...[...document.querySelectorAll('#uploads .state')]
              .map((one) => one.textContent))).observe(document.body, {childList: true, subtree: true});""")

        # Somebody sends before the cluster is registered: the page says how to go on.
        kura.upload(payloads()[0].content)
        browser.until(lambda: browser.is_shown("#waiting"))
        assert f"./kura source add NAME --cluster-id {cluster.cluster_id}" in browser.text("#waiting")
        assert not browser.is_shown("#start")

        kura.add_cluster(cluster.cluster_id, name="first-cluster")
        browser.until(lambda: browser.is_shown("#usage .day"))
        browser.until(lambda: "first-cluster up to date" in browser.text("#clusters"))
        assert not browser.is_shown("#waiting")
        assert not browser.is_shown("#costs-panel")

        more = payloads(uploads_per_day=3)
        for payload in more:
            kura.upload(payload.content)
        browser.until(lambda: browser.text("#uploads .state").split() == ["done"] * (1 + len(more)))
        expected = usage(kura, "compute", "project")
        wanted = {day: {name for name, value in groups.items() if value} for day, groups in expected.items()}
        browser.until(lambda: {day["day"]: {part[0] for part in day["parts"]} for day in drawn(browser)} == wanted)
        states = set(browser.script("return window.seen"))
        assert {"waiting", "done"} <= states
        assert {"accepted", "processing"} & states
        assert browser.complaints() == []
