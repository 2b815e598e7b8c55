"""Child processes that are kept running: started in order, restarted with back-off when they die, stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kura.core.telemetry import get_logger
from kura.single_pod.problems import CommandError

log = get_logger(__name__)

KEEPER_VARIABLE = "KURA_KEEPER_PID"
"""Tells a child who keeps it."""
ORPHAN_LOOK_SECONDS = 0.5
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 15.0
STEADY_SECONDS = 60.0
"""A child that ran this long starts anew with the shortest pause."""
TELL_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class Program:
    """What one child is."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    http_port: int
    ready_path: str | None = "/readyz"
    stop_seconds: float = 40.0

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"


class Child:
    """One program, kept running until `stop`. Its output goes to a log file of its name."""

    def __init__(self, program: Program, *, log_dir: Path) -> None:
        self.program = program
        self.restarts = 0
        self._log_path = log_dir / f"{program.name}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            started = time.monotonic()
            status = await self._run_once()
            if self._stopping.is_set():
                return
            ran = time.monotonic() - started
            pause = FIRST_PAUSE_SECONDS if ran > STEADY_SECONDS else min(pause * 2, LONGEST_PAUSE_SECONDS)
            self.restarts += 1
            log.warning(
                "child_ended",
                name=self.program.name,
                status=status,
                ran_seconds=round(ran, 1),
                restart_in_seconds=pause,
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _run_once(self) -> int:
        with self._log_path.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self.program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**self.program.environ, KEEPER_VARIABLE: str(os.getpid())},
                start_new_session=True,
            )
        log.info("child_started", name=self.program.name, pid=self._process.pid)
        return await self._process.wait()

    async def stop(self) -> None:
        """Ask it to stop; what has not stopped in time is killed."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self.program.stop_seconds)
        except TimeoutError:
            log.error("child_killed", name=self.program.name, pid=process.pid)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def last_words(self, lines: int = 12) -> str:
        try:
            return "\n".join(f"  {line}" for line in self._log_path.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


def end_with_parent(parent: int) -> None:
    """Have this process stop in an orderly way as soon as its parent is not `parent` any more."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(ORPHAN_LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=look, name="keeper", daemon=True).start()


async def until_ready(
    children: Sequence[Child],
    *,
    probe: Callable[[Child], Awaitable[bool]],
    patience_seconds: float,
    tell: Callable[[str], None],
) -> None:
    """Return when every child answers its probe. CommandError when one keeps dying or time is up."""
    deadline = time.monotonic() + patience_seconds
    waiting = list(children)
    while waiting:
        waiting = [child for child in waiting if not await probe(child)]
        if not waiting:
            return
        failing = next((child for child in waiting if child.restarts >= 3), None)
        if failing is not None:
            raise CommandError(f"{failing.program.name} does not start:\n{failing.last_words()}")
        if time.monotonic() > deadline:
            raise CommandError(
                f"Not ready after {patience_seconds:.0f} s: {', '.join(child.program.name for child in waiting)}.\n"
                f"{waiting[0].last_words()}"
            )
        tell(f"waiting for {', '.join(child.program.name for child in waiting)}")
        await asyncio.sleep(TELL_SECONDS)
