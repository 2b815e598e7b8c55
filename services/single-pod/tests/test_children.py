"""Child processes and servers are kept running, and stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kura.core.errors import DatabaseUnavailable
from kura.single_pod.children import Child, Program, until_ready
from kura.single_pod.keepers import Keeper
from kura.single_pod.problems import CommandError


def child(folder: Path, code: str, *, stop_seconds: float = 5.0) -> Child:
    program = Program(
        name="child",
        command=[sys.executable, "-u", "-c", code],
        environ=dict(os.environ),
        http_port=1,
        stop_seconds=stop_seconds,
    )
    return Child(program, log_dir=folder)


async def until(holds: Callable[[], bool], *, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_killed_child_is_started_again(tmp_path: Path):
    kept = child(tmp_path, "import time; time.sleep(60)")
    running = asyncio.create_task(kept.run())
    await until(lambda: kept.pid is not None)
    first = kept.pid
    assert first is not None

    os.kill(first, signal.SIGKILL)
    await until(lambda: kept.pid != first)

    assert kept.restarts == 1
    await kept.stop()
    await running
    assert kept.pid is not None
    assert not is_alive(kept.pid)


async def test_a_child_that_does_not_stop_is_killed(tmp_path: Path):
    deaf = child(
        tmp_path,
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(60)",
        stop_seconds=0.3,
    )
    running = asyncio.create_task(deaf.run())
    await until(lambda: (tmp_path / "child.log").exists() and "deaf" in (tmp_path / "child.log").read_text())

    await deaf.stop()
    await running

    assert deaf.pid is not None
    assert not is_alive(deaf.pid)


async def test_a_child_that_keeps_dying_is_given_up_at_the_start_with_its_last_words(tmp_path: Path):
    broken = child(tmp_path, "raise SystemExit('no such setting')")
    running = asyncio.create_task(broken.run())

    async def never(child: Child) -> bool:
        return False

    with pytest.raises(CommandError, match="no such setting"):
        await until_ready([broken], probe=never, patience_seconds=30, tell=lambda text: None)
    await broken.stop()
    await running


async def test_a_server_that_dies_is_started_again_also_when_the_first_try_fails():
    life = {"well": True, "tries": 0}

    def restart() -> None:
        life["tries"] += 1
        if life["tries"] == 1:
            raise DatabaseUnavailable("not yet")
        life["well"] = True

    keeper = Keeper("server", is_well=lambda: bool(life["well"]), restart=restart)
    running = asyncio.create_task(keeper.run())
    life["well"] = False

    await until(lambda: bool(life["well"]))

    assert life["tries"] == 2
    await keeper.stop()
    await running
