"""The command line itself: help, mistakes, made payloads, the order of tests."""

from __future__ import annotations

import io
import json
import tarfile
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from kura.single_pod.generating import as_new_manifest, sized
from kura.single_pod.main import cli
from kura.single_pod.problems import CommandError
from kura.single_pod.tables import amount, moment, took
from kura.single_pod.testing_order import pytest_collection_modifyitems
from kura.testing.operator_payload import PROFILES, make_payloads

COMMANDS = (
    "up",
    "down",
    "demo",
    "migrate",
    "upload",
    "uploads",
    "report",
    "tags",
    "status",
    "generate",
    "source",
    "cost-model",
    "currency",
    "explain",
)


def kura(*arguments: str, **environ: str):
    return CliRunner().invoke(cli, list(arguments), env={"KURA_DATA_DIR": "/nowhere", "KURA_URL": None, **environ})


def test_help_names_every_command():
    told = kura("--help").output

    for command in (*COMMANDS, "test", "worker", "api-reads", "api-writes", "aggregator", "scheduler"):
        assert f" {command} " in told


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str):
    told = kura(command, "--help")

    assert told.exit_code == 0
    assert "Usage" in told.output


def test_without_a_running_kura_one_is_told_how_to_start_it():
    told = kura("source", "list")

    assert told.exit_code == 1
    assert "No Kura is running on /nowhere" in told.output
    assert "kura up" in told.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "openshift", "compute", "--json", "--csv"], "not both"),
        (["report", "openshift"], "Which report?"),
        (["report", "openshift", "costs", "--start", "yesterday", "--end", "2026-01-01"], "YYYY-MM-DD"),
        (["generate", "--profile", "huge"], "tiny, demo, small"),
        (["currency", "rate", "set", "EUR", "USD", "1.1", "--from", "2026", "--until", "2026-12"], "YYYY-MM"),
    ],
)
def test_a_mistake_is_named_with_status_2(arguments: list[str], words: str):
    told = kura(*arguments)

    assert told.exit_code == 2
    assert words in told.output


def test_generated_payloads_are_what_was_asked_for(tmp_path: Path):
    made = kura(
        *("generate", "--out", str(tmp_path), "--clusters", "2", "--nodes", "1", "--projects", "3"),
        *("--pods-per-node", "2", "--volumes", "0", "--days", "2", "--end", "2026-01-31", "--json"),
    )
    facts = json.loads(made.stdout)

    assert made.exit_code == 0
    assert len(facts["clusters"]) == 2
    assert len(facts["files"]) == 2 * 2
    assert facts["files"][0]["rows"]["pod_usage"] == 1 * 2 * 24
    with tarfile.open(facts["files"][0]["path"]) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert manifest["cluster_id"] == facts["files"][0]["cluster_id"]


def test_the_same_payload_under_a_new_manifest_has_the_same_files():
    (payload,) = make_payloads(PROFILES["tiny"], end=date(2026, 1, 31), days=1, seed=1)

    def members(archive: bytes) -> dict[str, bytes]:
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            return {member.name: opened.extractfile(member).read() for member in opened}  # type: ignore[union-attr]

    before, after = members(payload.content), members(as_new_manifest(payload.content))
    manifests = [json.loads(found.pop("manifest.json")) for found in (before, after)]

    assert before == after
    assert manifests[0].pop("uuid") != manifests[1].pop("uuid")
    assert manifests[0] == manifests[1]


def test_a_profile_keeps_what_is_not_replaced():
    profile = sized("small", clusters=3, nodes=None, projects=None, pods_per_node=7, volumes=0)

    assert (profile.clusters, profile.nodes, profile.pods_per_node, profile.pvcs) == (3, 15, 7, 0)
    with pytest.raises(CommandError):
        sized("none", clusters=None, nodes=None, projects=None, pods_per_node=None, volumes=None)


def test_amounts_and_times_are_written_for_people():
    assert [amount(value) for value in (1234.5, -9e-15, 0.0001, None)] == ["1,234.50", "0.00", "0.0001", ""]
    assert [took(seconds) for seconds in (1.04, 150.0, None)] == ["1.0 s", "2.5 min", ""]
    assert moment("2026-01-31T12:00:00.5Z") == datetime(2026, 1, 31, 12, tzinfo=UTC).astimezone().strftime(
        "%Y-%m-%d %H:%M:%S"
    )


def test_quick_tests_come_first_and_those_of_the_whole_last():
    def item(path: str, *marks: str) -> SimpleNamespace:
        return SimpleNamespace(path=f"/kura/{path}", get_closest_marker=lambda mark: mark in marks)

    items = [
        item("tests/e2e/test_a.py"),
        item("libs/x/tests/test_slow.py", "rabbitmq"),
        item("services/x/tests/test_b.py"),
        item("libs/x/tests/test_c.py"),
        item("tests/spec/test_d.py"),
    ]

    pytest_collection_modifyitems(SimpleNamespace(rootpath=Path("/kura")), items)

    assert [each.path.removeprefix("/kura/") for each in items] == [
        "tests/spec/test_d.py",
        "libs/x/tests/test_c.py",
        "services/x/tests/test_b.py",
        "libs/x/tests/test_slow.py",
        "tests/e2e/test_a.py",
    ]
