"""`kura down`: ask the process that runs on a data directory to stop, and wait."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from kura.single_pod.home import holder_of
from kura.single_pod.problems import CommandError
from kura.single_pod.tables import say

PATIENCE_SECONDS = 60.0


def stop(places: Sequence[Path]) -> None:
    """Stop what runs on any of `places`; an error when nothing does."""
    running = [(place, pid) for place in places if (pid := holder_of(place))]
    if not running:
        raise CommandError(f"No Kura is running on {' or '.join(str(place) for place in places)}.")
    for place, pid in running:
        stop_process(place, pid)
        say(f"Stopped Kura on {place}.")


def stop_process(place: Path, pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise CommandError(f"Kura on {place} (process {pid}) belongs to another user.") from error
    deadline = time.monotonic() + PATIENCE_SECONDS
    while holder_of(place) == pid:
        if time.monotonic() > deadline:
            raise CommandError(
                f"Kura on {place} (process {pid}) has not stopped within {PATIENCE_SECONDS:.0f} s.",
                hint=f"It finishes running work first; `kill -9 {pid}` ends it at once, and nothing is lost.",
            )
        time.sleep(0.05)
