"""The private broker: it starts, keeps what is durable, and never outlives who started it."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from kura.testing.rabbitmq import RabbitMQ

pytestmark = [pytest.mark.rabbitmq, pytest.mark.slow]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if not RabbitMQ.is_installed():
        pytest.skip("rabbitmq-server is not installed")
    return tmp_path / "broker"


def running(folder: Path) -> list[psutil.Process]:
    """Processes of the node in this folder, and its name service."""
    found = []
    for process in psutil.process_iter():
        try:
            home = process.environ().get("HOME")
        except (psutil.Error, OSError):
            continue
        if home == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def gone(folder: Path, *, seconds: float = 10) -> bool:
    limit = time.monotonic() + seconds
    while running(folder):
        if time.monotonic() > limit:
            return False
        time.sleep(0.1)
    return True


def test_a_node_keeps_its_name_accounts_and_users_over_restarts(folder: Path):
    first = RabbitMQ(folder)
    first.start()
    assert {process.name() for process in running(folder)} >= {"beam.smp", "epmd"}
    first.control("add_vhost", "kept")
    first.stop()
    assert gone(folder)

    second = RabbitMQ(folder)
    assert (second.name, second.accounts) == (first.name, first.accounts)
    second.start()
    try:
        assert "kept" in second.control("list_vhosts")
        users = {line.split("\t")[0] for line in second.control("list_users").splitlines()[1:]}
        assert users == {"kura-scheduler", "kura-worker"}
    finally:
        second.kill()
    assert gone(folder)


def test_secrets_are_for_the_owner_alone(folder: Path):
    node = RabbitMQ(folder)
    node.start()
    node.kill()
    for name in ("identity.json", "definitions.json", ".erlang.cookie"):
        assert (folder / name).stat().st_mode & 0o077 == 0, name
    for account in node.accounts.values():
        assert account.password not in (folder / "definitions.json").read_text()


def test_a_node_ends_with_the_process_that_started_it_even_if_that_is_killed(folder: Path):
    program = (
        "import sys, time; from pathlib import Path; from kura.testing.rabbitmq import RabbitMQ\n"
        "RabbitMQ(Path(sys.argv[1])).start(); print('started', flush=True); time.sleep(600)"
    )
    starter = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE)
    with starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"started\n"
        starter.kill()
    assert gone(folder)
