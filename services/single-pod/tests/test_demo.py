"""`kura demo` from nothing to reports; its exit status tells the truth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kura.single_pod.demo import _check_uploads
from kura.single_pod.home import holder_of
from kura.single_pod.problems import CommandError


def demo(*arguments: str, data_dir: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "kura.single_pod", "demo", "--data-dir", str(data_dir), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=dict(os.environ),
    )


@pytest.mark.slow
def test_the_demo_shows_what_it_has_taken_in_and_ends_what_it_started(place: Path):
    shown = demo("--clusters", "1", "--days", "2", "--stop", "--json", data_dir=place)

    assert shown.returncode == 0, shown.stderr
    facts = json.loads(shown.stdout.splitlines()[-1])
    assert facts["rows_ingested"] > 0
    assert facts["seconds_upload_to_visible"] > 0
    assert facts["http"].startswith("http://127.0.0.1:")
    assert set(facts["reports"]) == {"project", "node", "label", "cost"}
    for name, report in facts["reports"].items():
        measure = "cost" if name == "cost" else "usage"
        assert report["total"][measure] > 0
        assert sum(row[measure] for row in report["rows"]) == pytest.approx(report["total"][measure])
    total = facts["costs"]["total"]
    parts = ("infrastructure", "supplementary", "platform", "worker", "other")
    assert total["infrastructure"] > 0
    assert total["supplementary"] > 0
    assert sum(total[part] for part in parts) == pytest.approx(total["total"])
    assert sum(project["total"] for project in facts["costs"]["projects"]) == pytest.approx(total["total"])
    assert max(project["worker"] for project in facts["costs"]["projects"]) > 0
    assert {"web", "db"} < {row["app"] for row in facts["reports"]["label"]["rows"]}
    assert set(facts["seconds"]) == {"start", "generate", "sources", "upload", "visible", "report"}
    assert "Waiting until the reports show them: done in" in shown.stderr
    assert holder_of(place) is None


@pytest.mark.slow
def test_a_demo_again_on_the_same_data_replaces_it_and_leaves_kura_running(place: Path):
    first = demo("--clusters", "1", "--days", "1", "--json", data_dir=place)
    try:
        assert first.returncode == 0, first.stderr
        assert holder_of(place) is not None
        again = demo("--clusters", "1", "--days", "1", data_dir=place)

        assert again.returncode == 0, again.stderr
        assert "CPU by project" in again.stdout
        assert "keeps running" in again.stdout
        total = json.loads(first.stdout)["reports"]["project"]["total"]["usage"]
        assert f"{total:,.2f}" in again.stdout
    finally:
        down = [sys.executable, "-P", "-m", "kura.single_pod", "down", "--data-dir", str(place)]
        subprocess.run(down, check=False, capture_output=True)


@pytest.mark.slow
def test_a_demo_that_cannot_start_kura_fails_and_shows_why(place: Path):
    (place / "postgres").write_text("not a directory")

    failed = demo(data_dir=place)

    assert failed.returncode == 1
    assert "Kura did not start" in failed.stderr
    assert "log/kura.log" in failed.stderr


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ([{"request_id": "r1", "state": "failed", "reason": "The archive is damaged."}], "r1: failed The archive"),
        ([{"request_id": "r1", "state": "waiting", "reason": "…"}], "1 of 1 uploads did not become visible"),
        ([{"request_id": "r1", "state": "done", "rows": 9}], "10 rows were uploaded but 9 were taken in"),
    ],
)
def test_what_went_wrong_makes_the_demo_fail(results, words):
    with pytest.raises(CommandError, match=words):
        _check_uploads(results, expected_rows=10)
