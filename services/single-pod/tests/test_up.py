"""`kura up` as a process: its addresses, its signals, its lock, its database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import psycopg2
import pytest

from kura.single_pod.home import holder_of
from kura.store.embedded import EmbeddedPostgres
from kura.testing.rabbitmq import RabbitMQ
from kura.testing.running import RunningKura, running_kura

pytestmark = pytest.mark.slow


def kura(*arguments: str, data_dir: Path, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "kura.single_pod", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "KURA_DATA_DIR": str(data_dir), **(environ or {})},
        cwd="/",
    )


@pytest.fixture(scope="module")
def running() -> Iterator[RunningKura]:
    with running_kura() as found:
        yield found


def test_the_addresses_are_written_and_work(running: RunningKura):
    endpoints = json.loads((running.data_dir / "endpoints.json").read_text())

    assert endpoints["http"].startswith("http://127.0.0.1:")
    assert endpoints["object_store"] == (running.data_dir / "objects").as_uri()
    assert endpoints["broker_url"] is None
    assert httpx.get(f"{endpoints['http']}/readyz", trust_env=False).json()["ready"] is True
    psycopg2.connect(endpoints["database_url"]).close()
    host, port = endpoints["grpc"].rsplit(":", 1)
    assert host == "127.0.0.1"
    assert int(port) > 0


def test_the_command_line_finds_it_by_its_data_directory(running: RunningKura):
    status = kura("status", "--json", data_dir=running.data_dir)

    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["ready"] is True
    assert json.loads(status.stdout)["url"] == running.http


def test_a_second_one_on_the_same_directory_is_refused_and_says_what_to_do(running: RunningKura):
    second = kura("up", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", data_dir=running.data_dir)

    assert second.returncode == 1
    assert f"already running on {running.data_dir} (process {running.pid})" in second.stderr
    assert "kura down" in second.stderr


def test_a_port_in_use_is_refused_and_says_what_to_do(running: RunningKura, tmp_path: Path):
    taken = running.http.removeprefix("http://")
    second = kura("up", "--http", taken, "--grpc", "127.0.0.1:0", data_dir=tmp_path)

    assert second.returncode == 1
    assert f"{taken} is already in use" in second.stderr
    assert "--http 127.0.0.1:0" in second.stderr
    assert holder_of(tmp_path) is None


def test_the_page_is_shown_to_browsers(running: RunningKura):
    answer = httpx.get(running.http, headers={"accept": "text/html"}, trust_env=False)

    assert answer.headers["content-type"].startswith("text/html")


def test_its_database_is_started_again_when_it_dies(running: RunningKura):
    (pid_file,) = running.data_dir.glob("postgres/**/postmaster.pid")
    os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)

    _until(lambda: kura("status", data_dir=running.data_dir).returncode == 0, seconds=30)
    assert "server_restarted" in running.log_file.read_text()


def test_an_orderly_stop_ends_with_success_and_leaves_nothing_running(place: Path):
    running = RunningKura(place)
    running.start()

    down = kura("down", data_dir=place)

    assert down.returncode == 0, down.stderr
    assert holder_of(place) is None
    assert not (place / "endpoints.json").exists()
    assert not list(place.glob("postgres/**/postmaster.pid"))
    assert running._process is not None
    assert running._process.wait(30) == 0
    assert kura("down", data_dir=place).returncode == 1


@pytest.mark.parametrize("everything", [False, True], ids=["alone", "with its database"])
def test_a_killed_one_starts_again_on_the_same_data(everything: bool):
    with running_kura() as running:
        running.add_cluster("cluster-1", name="survivor")
        running.query(
            "insert into public.task (type, payload, queue, queue_class, priority, state, attempt, lease_owner,"
            " lease_token, lease_expires_at) values ('EnsurePartitions', '{}', 'default', 'default', 9, 'running', 1,"
            " 'killed', 1, now() + interval '1 hour')"
        )
        if everything:
            running.kill_everything()
        else:
            running.kill()

        assert holder_of(running.data_dir) is None
        running.start()

        listed = kura("source", "list", "--json", data_dir=running.data_dir)
        assert [source["name"] for source in json.loads(listed.stdout)] == ["survivor"]
        deadline = time.monotonic() + 15
        while running.query("select from public.task where lease_owner = 'killed'"):
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.rabbitmq
@pytest.mark.skipif(not RabbitMQ.is_installed(), reason="rabbitmq-server is not installed")
def test_a_database_and_a_broker_that_are_named_are_used(place: Path):
    payloads = str(place / "payloads")
    node = RabbitMQ(place / "rabbitmq")
    with EmbeddedPostgres(place / "postgres") as postgres:
        node.start()
        try:
            with running_kura(environ={"DATABASE_URL": postgres.owner_url, "BROKER_URL": node.relay_url}) as running:
                made = kura("generate", "--out", payloads, data_dir=running.data_dir)
                assert made.returncode == 0, made.stderr
                sent = kura("upload", payloads, "--add-source", "--wait", "--json", data_dir=running.data_dir)

                assert [upload["state"] for upload in json.loads(sent.stdout)["uploads"]] == ["done"]
                assert running.database_url == postgres.owner_url
                assert not (running.data_dir / "postgres").exists()
                assert "kura.tasks" in node.control("list_exchanges", "-p", "kura")
        finally:
            node.stop()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--http", "nonsense"], "--http nonsense: write it as HOST:PORT"),
        (["--database-url", "mysql://x"], "--database-url: write it as postgresql://"),
        (["--broker-url", "redis://x"], "--broker-url: write it as amqp://"),
        (["--object-store", "ftp://x"], "write it as s3://BUCKET or file:///DIRECTORY"),
        (["--log-level", "loud"], "it is DEBUG, INFO, WARNING or ERROR"),
    ],
)
def test_an_option_that_cannot_be_meant_is_named(tmp_path: Path, arguments: Sequence[str], words: str):
    refused = kura("up", *arguments, data_dir=tmp_path)

    assert refused.returncode == 2
    assert words in refused.stderr


def test_a_bad_variable_is_named_before_anything_starts(tmp_path: Path):
    refused = kura("up", "--http", "127.0.0.1:0", data_dir=tmp_path, environ={"KURA_SHUTDOWN_SECONDS": "soon"})

    assert refused.returncode == 1
    assert "KURA_SHUTDOWN_SECONDS" in refused.stderr
    assert not (tmp_path / "postgres").exists()


def _until(holds, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)
