"""The private directory of a worker process. What a killed process left is removed by the next one that starts."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from kura.core.telemetry import get_logger

log = get_logger(__name__)

PREFIX = "kura-worker-"
LOCK = ".lock"


@contextmanager
def private_directory(parent: Path) -> Iterator[Path]:
    """A directory nobody else uses, removed at the end. Those whose process is gone are removed first."""
    parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(parent)
    directory = Path(mkdtemp(prefix=PREFIX, dir=parent))
    lock = _lock(directory)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_abandoned(parent: Path) -> int:
    """Remove the directories of workers that run no more; how many."""
    removed = 0
    for directory in parent.glob(f"{PREFIX}*"):
        lock = _lock(directory)
        if lock is None:
            continue
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)
        removed += 1
    if removed:
        log.info("abandoned_directories_removed", count=removed)
    return removed


def _lock(directory: Path) -> int | None:
    """The lock of a directory, which ends with its process; None while another one has it."""
    try:
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:  # not ours, or just being removed
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock
