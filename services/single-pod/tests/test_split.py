"""`kura up --split`: every service its own process, on servers of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest

from kura.rpc.costs.v1 import costs_pb2
from kura.single_pod.home import holder_of
from kura.single_pod.private_s3 import open_store
from kura.testing.digest import exact_digest_of
from kura.testing.rabbitmq import RabbitMQ

pytestmark = [
    pytest.mark.slow,
    pytest.mark.rabbitmq,
    pytest.mark.s3,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not RabbitMQ.is_installed(), reason="rabbitmq-server is not installed"),
]
READY_SECONDS = 300.0
SCHEMA = "org1234567"


def kura(*arguments: str, data_dir: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "kura.single_pod", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "KURA_DATA_DIR": str(data_dir)},
    )


def until(holds: Callable[[], Any], *, seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


class Split:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.log = data_dir / "split.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "kura.single_pod", "up", "--split", "--log-level", "INFO"),
                    *("--data-dir", str(self.data_dir), "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"),
                ],
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        until(self.is_ready, seconds=READY_SECONDS)

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            return self.endpoints["pid"] == self.process.pid
        except (FileNotFoundError, ValueError):
            return False

    @property
    def endpoints(self) -> dict[str, Any]:
        return json.loads((self.data_dir / "endpoints.json").read_text())

    def pid_of(self, name: str) -> int:
        events = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [e["pid"] for e in events if e["event"] == "child_started" and e["name"] == name][-1]

    def own_processes(self) -> list[str]:
        """What of this run is alive, wherever it hangs in the tree of processes."""
        found = []
        for process in psutil.process_iter():
            try:
                if str(self.data_dir) in " ".join(process.cmdline()) or any(
                    str(self.data_dir) in value for value in process.environ().values()
                ):
                    found.append(process.name())
            except psutil.Error:
                continue
        return found


@pytest.fixture(scope="module")
def split(module_place: Path) -> Iterator[Split]:
    running = Split(module_place)
    running.start()
    yield running
    if running.process is not None and running.process.poll() is None:
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(120)


def test_what_is_uploaded_becomes_visible_through_every_process(split: Split, tmp_path: Path):
    assert kura("generate", "--out", str(tmp_path), "--days", "1", data_dir=split.data_dir).returncode == 0

    sent = kura("upload", str(tmp_path), "--add-source", "--wait", "--json", data_dir=split.data_dir)
    report = kura("report", "openshift", "compute", "--group-by", "project", "--json", data_dir=split.data_dir)

    assert sent.returncode == 0, sent.stderr
    assert [upload["state"] for upload in json.loads(sent.stdout)["uploads"]] == ["done"]
    assert json.loads(report.stdout)["meta"]["total"]["usage"]["value"] > 0


def test_a_preview_is_computed_by_another_process_and_writes_nothing(split: Split):
    endpoints, today = split.endpoints, datetime.now(UTC).date()
    api = f"{endpoints['http']}/api/cost-management/v1"
    (source,) = httpx.get(f"{api}/sources/", trust_env=False).json()["data"]
    rate = {"metric": {"name": "cpu_core_usage_per_hour"}, "tiered_rates": [{"value": 2, "unit": "USD"}]}
    period = {"start_date": (today - timedelta(days=3)).isoformat(), "end_date": today.isoformat()}
    body = {"source_uuids": [source["uuid"]], "rates": [rate], "distribution_info": {"worker_cost": False}, **period}
    used = httpx.get(f"{api}/reports/openshift/compute/", params=period, trust_env=False).json()["meta"]["total"]
    before = exact_digest_of(endpoints["database_url"], SCHEMA)

    answer = httpx.post(f"{api}/cost-models/preview/", json=body, timeout=60, trust_env=False)
    with grpc.insecure_channel(endpoints["services"]["api-writes-grpc"]) as channel:
        call = channel.unary_unary("/kura.costs.v1.CostWriteService/PreviewCostModel")
        over_grpc = call(costs_pb2.PreviewCostModelRequest(json=json.dumps(body).encode()).SerializeToString())

    assert exact_digest_of(endpoints["database_url"], SCHEMA).differences(before) == []
    assert answer.status_code == 200, answer.text
    total = answer.json()["meta"]["total"]
    assert total["now"]["distributed"] == 0
    assert total["difference"] > 2 * used["usage"]["value"] > 0  # what is idle costs too
    assert json.loads(costs_pb2.PreviewCostModelResponse.FromString(over_grpc).json) == answer.json()


def test_the_addresses_of_all_parts_are_written(split: Split):
    endpoints = split.endpoints

    assert endpoints["mode"] == "split"
    assert endpoints["broker_url"].startswith("amqp://")
    assert endpoints["object_store"] == "s3://kura"
    assert httpx.get(f"{endpoints['http']}/readyz", trust_env=False).json()["ready"] is True
    for name in ("aggregator", "scheduler", "worker-1", "worker-2", "worker-3", "api-reads", "api-writes"):
        assert httpx.get(f"{endpoints['services'][name]}/livez", trust_env=False).status_code == 200


@pytest.mark.parametrize("name", ["worker-1", "api-reads"])
def test_a_killed_service_is_back_within_half_a_minute_and_clients_notice_nothing(split: Split, name: str):
    first = split.pid_of(name)

    os.kill(first, signal.SIGKILL)
    until(lambda: split.pid_of(name) != first, seconds=5)

    assert kura("source", "list", data_dir=split.data_dir).returncode == 0
    until(lambda: kura("status", data_dir=split.data_dir).returncode == 0, seconds=60)


def test_killed_as_a_whole_it_leaves_nothing_behind_and_starts_again_on_the_same_data(split: Split):
    assert split.process is not None
    before = kura("report", "openshift", "compute", "--json", data_dir=split.data_dir).stdout

    split.process.kill()
    split.process.wait()
    assert holder_of(split.data_dir) is None
    split.start()

    after = kura("report", "openshift", "compute", "--json", data_dir=split.data_dir).stdout
    assert json.loads(after)["meta"]["total"] == json.loads(before)["meta"]["total"]


def test_an_orderly_stop_ends_every_process(split: Split):
    assert split.process is not None

    assert kura("down", data_dir=split.data_dir).returncode == 0
    assert split.process.wait(30) == 0

    until(lambda: split.own_processes() == [], seconds=10)


def test_what_the_private_s3_has_answered_survives_its_kill(tmp_path: Path):
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def started() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "kura.single_pod", "private-s3"),
                *("--port", str(port), "--directory", str(tmp_path / "s3")),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: is_listening(port), seconds=30)
        return process

    large = os.urandom(20 * 2**20)
    with open_store(f"http://127.0.0.1:{port}") as store:
        first = started()
        store.write("a/1", b"one", {"manifest-id": "7"})
        for name in ("a/2", "a/3", "a/4 ü"):
            store.write(name, b"two")
        store.write("a/1", b"one, changed", {"manifest-id": "8"})
        store.write("large", [large[at : at + 2**20] for at in range(0, len(large), 2**20)])
        store.delete(["a/2", "a/3"])
        first.kill()
        first.wait()

        second = started()
        assert sorted(found.key for found in store.list()) == ["a/1", "a/4 ü", "large"]
        assert store.read("a/1") == b"one, changed"
        assert store.metadata("a/1")["manifest-id"] == "8"
        assert store.read("large") == large
        second.terminate()
        assert second.wait(20) == 0


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
