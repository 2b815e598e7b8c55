"""Cost models in files: what the API is sent, what is wrong, what is shown."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from kura.single_pod.client import Kura
from kura.single_pod.pricing import rate_rows, read_model, unpriced_labels
from kura.single_pod.problems import CommandError

SAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "cost-model.yaml"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "model.yaml"
    path.write_text(text)
    return path


def test_the_sample_is_what_the_api_takes():
    given = read_model(SAMPLE)

    assert given.name == "Standard prices"
    assert given.validity == {"effective_start_date": "2025-01-01", "effective_end_date": "2099-12-31"}
    assert given.body["markup"] == {"value": "10", "unit": "percent"}
    assert given.body["rates"][0] == {
        "metric": {"name": "cpu_core_usage_per_hour"},
        "custom_name": "CPU in use",
        "tiered_rates": [{"value": "0.03", "unit": "USD"}],
    }
    values = given.body["rates"][-1]["tag_rates"]["tag_values"]
    assert [(value["tag_value"], value["value"], value["default"]) for value in values] == [
        ("front", "0.005", False),
        ("data", "0.01", False),
        ("(any other)", "0.002", True),
    ]


def test_the_distribution_of_a_file_holds_for_all_of_it(tmp_path: Path):
    text = "name: x\ndistribution: memory\ndistribution_info: {worker_cost: false}"
    body = read_model(written(tmp_path, text)).body
    assert body["distribution_info"] == {"distribution_type": "memory", "worker_cost": False}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a", "is a mapping"),
        ("name: [", "not valid YAML"),
        ("description: x", "needs a name"),
        ("name: x\nrate: []", "'rate' is not known"),
        ("name: x\nrates: 5", "rates must be a list"),
        ("name: x\nrates: [5]", "rate 1: must be a mapping"),
        ("name: x\nrates: [{metric: a, cost: 5}]", "rate 1: 'cost' is not known"),
        ("name: x\nrates: [{metric: a, tag_key: b, tag_values: [1]}]", "must map each value"),
    ],
)
def test_mistakes_of_form_are_named(tmp_path: Path, text: str, words: str):
    with pytest.raises(CommandError, match=words):
        read_model(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(CommandError, match="cannot be read"):
        read_model(tmp_path / "none.yaml")


def test_nothing_of_a_file_is_carried_out(tmp_path: Path):
    path = written(tmp_path, "name: !!python/object/apply:os.system ['true']")
    with pytest.raises(CommandError, match="not valid YAML"):
        read_model(path)


def test_every_price_is_a_row():
    body = read_model(SAMPLE).body
    rates = [{"cost_type": "Supplementary", **rate} for rate in body["rates"]]

    rows = rate_rows({"rates": rates})

    assert [row["label"] for row in rows][-3:] == ["tier = front", "tier = data", "tier = any other"]
    assert rows[0]["price"] == "0.03 USD"


def test_a_rate_of_a_label_that_is_not_kept_is_warned_of():
    def answer(request: httpx.Request) -> httpx.Response:
        items = [{"key": "tier", "enabled": False}, {"key": "app", "enabled": True}]
        return httpx.Response(200, json={"meta": {"count": 2}, "data": items})

    rates = [{"tag_rates": {"tag_key": name}} for name in ("tier", "app", "team", "tier")]
    kura = Kura("http://kura", transport=httpx.MockTransport(answer))

    tier, team = sorted(unpriced_labels(kura, {"rates": [{"tiered_rates": []}, *rates]}), reverse=True)

    assert "`kura tags --enable tier` keeps them" in tier
    assert "No upload has brought it yet" in team
    assert unpriced_labels(kura, {"rates": [{"tiered_rates": []}]}) == []


def test_whoever_may_not_see_settings_is_told_that_labels_were_not_looked_up():
    kura = Kura("http://kura", transport=httpx.MockTransport(lambda request: httpx.Response(403)))

    (warning,) = unpriced_labels(kura, {"rates": [{"tag_rates": {"tag_key": "tier"}}]})

    assert "could not be looked up" in warning
