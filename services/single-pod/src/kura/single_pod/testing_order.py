"""`kura test`: one pytest run over everything, the quick tests first. Also the pytest plugin that puts them first.

Without arguments the tests run on several cores, file by file; any argument makes it one process, as for looking into
a test that fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kura.single_pod.problems import CommandError

LAST_MARKS = ("slow", "browser", "rabbitmq", "s3")
FOLDERS = (
    "tests/spec/",
    "libs/",
    "services/",
    "tests/contract/",
    "deploy/",
    "tests/e2e/",
    "tests/faults/",
    "tests/perf/",
)
"""Order of the folders among tests of the same slowness."""
MOST_PROCESSES = 4
"""Each has servers of its own, and many tests start a whole Kura."""


def run_tests(checkout: Path, arguments: Sequence[str]) -> int:
    """Run pytest in `checkout`; its exit status."""
    if not (checkout / "uv.lock").exists():
        raise CommandError(f"{checkout} is not a checkout of Kura.", hint="Run `./kura test` in one.")
    try:
        import pytest  # noqa: F401
    except ImportError as error:
        raise CommandError(
            "The test tools are not installed.", hint="Run `./kura test`: the launcher installs them."
        ) from error
    chosen = arguments or ["-n", str(min(os.cpu_count() or 1, MOST_PROCESSES)), "--dist", "loadfile"]
    command = [sys.executable, "-P", "-m", "pytest", "-p", "kura.single_pod.testing_order", *chosen]
    return subprocess.run(command, cwd=checkout, check=False).returncode


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Quick before slow, and within that unit and spec tests before those of the whole."""
    root = str(config.rootpath)

    def place(item: Any) -> tuple[int, int]:
        path = str(item.path).removeprefix(root).lstrip("/")
        folder = next((index for index, start in enumerate(FOLDERS) if path.startswith(start)), len(FOLDERS))
        slow = any(item.get_closest_marker(mark) for mark in LAST_MARKS)
        whole = path.startswith(("tests/e2e/", "tests/faults/", "tests/perf/"))
        return (2 if whole else 1 if slow else 0), folder

    items.sort(key=place)
