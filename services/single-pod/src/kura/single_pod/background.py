"""Starting `kura up` behind another command, and waiting until it is ready."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kura.single_pod.home import Endpoints, read_endpoints
from kura.single_pod.problems import CommandError

PATIENCE_SECONDS = 300.0
"""Until a Kura that starts must be ready; recovering a big database after a crash may take long."""


def start_up(
    data_dir: Path,
    *,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[subprocess.Popen[bytes], Endpoints]:
    """Start `kura up` on `data_dir` in a session of its own, logging to `log/kura.log`; returns once it is ready."""
    log = data_dir / "log" / "kura.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-P", "-m", "kura.single_pod", "up", "--data-dir", str(data_dir), *arguments]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=dict(environ),
            cwd=data_dir,
        )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = read_endpoints(data_dir)
        if found is not None and found.pid == process.pid:
            return process, found
        if process.poll() is not None:
            raise CommandError(f"Kura did not start:\n{_tail(log)}", hint=f"The whole log is {log}.")
        if time.monotonic() > deadline:
            process.terminate()
            raise CommandError(f"Kura was not ready after {PATIENCE_SECONDS:.0f} s.", hint=f"See its log, {log}.")
        tell("waiting for it to be ready")
        time.sleep(0.05)


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-lines:])
