"""The data directory of one Kura: who uses it, where it listens, and where it is looked for.

kura.lock        held by the running process; the kernel lets go of it however that process ends
endpoints.json   addresses of the running process
postgres/ objects/ work/ log/ …   what the process keeps
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from kura.single_pod.problems import CommandError

LOCK = "kura.lock"
ENDPOINTS = "endpoints.json"


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Addresses of a running Kura, as written to `endpoints.json`."""

    http: str
    grpc: str | None
    database_url: str
    object_store: str
    broker_url: str | None
    mode: str = "single"
    pid: int = 0
    s3_endpoint: str | None = None
    services: Mapping[str, str] | None = None
    """In split mode, the address of every service."""


def state_dir(environ: Mapping[str, str], *, is_root: bool) -> Path:
    """Where data directories are made unless asked otherwise."""
    if is_root:
        return Path("/var/lib/kura")
    base = environ.get("XDG_DATA_HOME") or ""
    return Path(base) / "kura" if base.startswith("/") else Path(environ.get("HOME") or "/tmp") / ".local/share/kura"  # noqa: S108


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """The data directory of `up`."""
    return state_dir(environ, is_root=os.geteuid() == 0) / "main"


def demo_data_dir(environ: Mapping[str, str]) -> Path:
    """The data directory of `demo`, apart from real data."""
    return state_dir(environ, is_root=os.geteuid() == 0) / "demo"


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Be the only process on `data_dir`. CommandError when another one is."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        handle = (data_dir / LOCK).open("a+")
    except OSError as error:
        raise CommandError(
            f"Cannot use {data_dir} as data directory: {error.strerror}.", hint="Name another one with --data-dir."
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise CommandError(
                f"Kura is already running on {data_dir} (process {holder}).",
                hint=f"Use it as it is, stop it with `kura down --data-dir {data_dir}`, or name another --data-dir.",
            ) from None
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        (data_dir / ENDPOINTS).unlink(missing_ok=True)
        try:
            yield
        finally:
            (data_dir / ENDPOINTS).unlink(missing_ok=True)
            handle.truncate(0)


def holder_of(data_dir: Path) -> int | None:
    """Process id of the Kura that runs on `data_dir`; None when none does."""
    try:
        handle = (data_dir / LOCK).open("r")
    except OSError:
        return None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = handle.read().strip()
            return int(text) if text.isdigit() else 0
        return None


def write_endpoints(data_dir: Path, endpoints: Endpoints) -> None:
    """Readable by the owner only: the URLs may hold passwords."""
    target = data_dir / ENDPOINTS
    fresh = target.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        json.dump(asdict(endpoints), handle, indent=2)
        handle.write("\n")
    fresh.rename(target)


def read_endpoints(data_dir: Path) -> Endpoints | None:
    """Addresses of the Kura that runs on `data_dir`; None when none runs there or it is not ready yet."""
    if holder_of(data_dir) is None:
        return None
    try:
        found = json.loads((data_dir / ENDPOINTS).read_text())
    except (OSError, ValueError):
        return None
    return Endpoints(**{key: value for key, value in found.items() if key in Endpoints.__dataclass_fields__})
