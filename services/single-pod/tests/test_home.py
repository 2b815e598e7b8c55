"""One Kura per data directory, found through it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kura.single_pod.home import Endpoints, holder_of, locked, read_endpoints, state_dir, write_endpoints
from kura.single_pod.problems import CommandError

HERE = Endpoints(
    http="http://127.0.0.1:1", grpc=None, database_url="postgresql:///x", object_store="file:///x", broker_url=None
)


def test_a_second_process_is_told_who_has_the_directory(tmp_path: Path):
    with locked(tmp_path):
        attempt = "from kura.single_pod.home import locked; from pathlib import Path\nwith locked(Path({!r})): pass"
        second = subprocess.run(
            [sys.executable, "-c", attempt.format(str(tmp_path))], capture_output=True, text=True, check=False
        )

        assert second.returncode == 1
        assert f"already running on {tmp_path}" in second.stderr


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path):
    hold = "import sys, time; from kura.single_pod.home import locked; from pathlib import Path\n"
    hold += f"with locked(Path({str(tmp_path)!r})): print('held', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    assert holder_of(tmp_path) == other.pid

    other.kill()
    other.wait()
    other.stdout.close()

    assert holder_of(tmp_path) is None
    with locked(tmp_path):
        pass


def test_addresses_are_known_only_while_the_process_runs(tmp_path: Path):
    with locked(tmp_path):
        write_endpoints(tmp_path, HERE)

        assert read_endpoints(tmp_path) == HERE
        assert (tmp_path / "endpoints.json").stat().st_mode & 0o077 == 0
    assert read_endpoints(tmp_path) is None
    assert not (tmp_path / "endpoints.json").exists()


def test_addresses_left_by_a_killed_process_are_not_believed(tmp_path: Path):
    write_endpoints(tmp_path, HERE)

    assert read_endpoints(tmp_path) is None
    assert set(json.loads((tmp_path / "endpoints.json").read_text())) >= {
        "http",
        "grpc",
        "database_url",
        "object_store",
        "broker_url",
    }


def test_a_directory_that_cannot_be_made_is_explained(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(CommandError, match="Cannot use"), locked(tmp_path / "file" / "below"):
        pass


def test_root_keeps_data_where_services_do_and_others_in_their_home():
    assert state_dir({}, is_root=True) == Path("/var/lib/kura")
    assert state_dir({"HOME": "/home/ann"}, is_root=False) == Path("/home/ann/.local/share/kura")
    assert state_dir({"HOME": "/home/ann", "XDG_DATA_HOME": "/data"}, is_root=False) == Path("/data/kura")
