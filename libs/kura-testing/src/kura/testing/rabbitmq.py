"""A private RabbitMQ: a node of its own name, port, directory and cookie beside whatever else runs on the machine.

It is Debian's package without its service: no management port, no `guest`, one virtual host, and accounts with no more
rights than they need. `kura up --split` uses it, and the tests.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from kura.core.errors import BrokerUnavailable
from kura.queue.queues import QUEUES
from kura.queue.rabbitmq import RELAY_RIGHTS, Rights, worker_rights

SERVER: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
CONTROL: Final = Path("/usr/lib/rabbitmq/bin/rabbitmqctl")
NAMES: Final = Path("/usr/bin/epmd")
VHOST: Final = "kura"
RELAY: Final = "kura-scheduler"
WORKER: Final = "kura-worker"
READY_SECONDS: Final = 60.0
AMQP_GREETING: Final = b"AMQP\x00\x00\x09\x01"


@dataclass(frozen=True, kw_only=True)
class Account:
    """One user of the broker."""

    password: str
    rights: Rights


class RabbitMQ:
    """One node. Start and stop as often as you like: what is durable stays in `directory`."""

    def __init__(self, directory: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.port = port or free_port()
        self._settings = dict(settings or {})
        self._names_port = free_port()
        self._distribution_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._names: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        identity = self._identity()
        self.name = identity["name"]
        self.accounts = {
            RELAY: Account(password=identity[RELAY], rights=RELAY_RIGHTS),
            WORKER: Account(password=identity[WORKER], rights=worker_rights(QUEUES)),
        }

    @staticmethod
    def is_installed() -> bool:
        return SERVER.exists()

    def _identity(self) -> dict[str, str]:
        """Name of the node and passwords; they stay with the directory, as what is stored there knows the name."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "identity.json"
        if not path.exists():
            made = {name: secrets.token_urlsafe(24) for name in (RELAY, WORKER)}
            write_private(path, json.dumps({"name": f"kura-{secrets.token_hex(4)}", **made}))
        identity: dict[str, str] = json.loads(path.read_text())
        return identity

    def url(self, account: str) -> str:
        """Where one account connects, with its password: never log it."""
        return f"amqp://{account}:{self.accounts[account].password}@127.0.0.1:{self.port}/{VHOST}"

    @property
    def relay_url(self) -> str:
        return self.url(RELAY)

    @property
    def worker_url(self) -> str:
        return self.url(WORKER)

    def start(self) -> None:
        """Start the node; return when it takes connections."""
        if not self.is_installed():
            raise BrokerUnavailable(f"{SERVER} is missing; install the package rabbitmq-server")
        self._write_configuration()
        with (self.directory / "output.log").open("ab") as output:
            # A name service of its own: the one that Erlang would start by itself outlives the node.
            self._names = self._run([NAMES, "-address", "127.0.0.1", "-port", str(self._names_port)], output)
            self._process = self._run([SERVER], output)
        groups = [f"-{process.pid}" for process in (self._process, self._names)]
        # Its input ends when this process does, however that comes about: the node never outlives it.
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", 'cat >/dev/null; kill -KILL "$@" 2>/dev/null', "watch", *groups],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        limit = time.monotonic() + READY_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > limit:
                self.kill()
                last = (self.directory / "output.log").read_text(errors="replace").splitlines()[-30:]
                raise BrokerUnavailable("\n".join(["RabbitMQ did not start:", *last]))
            time.sleep(0.1)

    def _run(self, command: Sequence[str | Path], output: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, env=self._environment(), stdout=output, stderr=output, start_new_session=True)

    def stop(self) -> None:
        """Stop in order, as an administrator would; what takes too long is killed."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        self.kill()

    def kill(self) -> None:
        """Stop at once, as a power cut would."""
        if self._watch is not None:
            self._watch.kill()
            self._watch.communicate()
            self._watch = None
        for process in (self._process, self._names):
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._process = self._names = None

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl on this node; what it printed."""
        ran = subprocess.run(
            [CONTROL, "--quiet", *arguments], env=self._environment(), capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise BrokerUnavailable(f"rabbitmqctl {arguments[0]}: {ran.stderr.strip() or ran.stdout.strip()}")
        return ran.stdout

    def add_account(self, name: str, account: Account) -> None:
        """One more user, also known after a restart."""
        self.accounts[name] = account
        rights = account.rights
        if not any(line.split("\t")[0] == name for line in self.control("list_users").splitlines()):
            self.control("add_user", name, account.password)
        self.control("set_permissions", "-p", VHOST, name, rights.configure, rights.write, rights.read)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(AMQP_GREETING)
                return bool(connection.recv(1))
        except OSError:
            return False

    def _write_configuration(self) -> None:
        # The same users whenever the node starts, and a fresh node has no other: `guest` is never made.
        definitions = {
            "vhosts": [{"name": VHOST}],
            "users": [
                {
                    "name": name,
                    "password_hash": password_hash(account.password),
                    "hashing_algorithm": "rabbit_password_hashing_sha256",
                    "tags": "",
                }
                for name, account in self.accounts.items()
            ],
            "permissions": [
                {
                    "user": name,
                    "vhost": VHOST,
                    "configure": account.rights.configure,
                    "write": account.rights.write,
                    "read": account.rights.read,
                }
                for name, account in self.accounts.items()
            ],
        }
        write_private(self.directory / "definitions.json", json.dumps(definitions))
        settings = {
            "listeners.tcp.local": f"127.0.0.1:{self.port}",
            "load_definitions": str(self.directory / "definitions.json"),
            "log.file": "false",
            "log.console": "true",
            "log.console.level": "warning",
            "disk_free_limit.absolute": "50MB",
            "vm_memory_high_watermark.absolute": "512MiB",
            **self._settings,
        }
        lines = [f"{name} = {value}" for name, value in settings.items()]
        (self.directory / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        (self.directory / "rabbitmq-env.conf").write_text("")
        (self.directory / "enabled_plugins").write_text("[].\n")
        cookie = self.directory / ".erlang.cookie"
        if not cookie.exists():
            write_private(cookie, secrets.token_hex(20))
            cookie.chmod(0o400)

    def _environment(self) -> dict[str, str]:
        folder = self.directory
        return {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "LANG": "C.UTF-8",
            # The cookie is read from the home directory.
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"{self.name}@localhost",
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_MNESIA_DIR": str(folder / "mnesia" / "node"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(folder / "rabbitmq.pid"),
            # Other nodes on the machine have the usual port.
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none +sbwtdcpu none"
            ),
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }


def password_hash(password: str) -> str:
    """As RabbitMQ stores passwords: base64(salt + sha256(salt + password))."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def write_private(path: Path, text: str) -> None:
    """A file that only its owner can read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
