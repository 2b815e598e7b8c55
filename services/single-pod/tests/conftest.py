"""What the tests of the single pod share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory that every account may pass: as root the database server runs under another one."""
    with tempfile.TemporaryDirectory(prefix="kura-test-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def module_place() -> Iterator[Path]:
    """The same for all tests of a module."""
    with tempfile.TemporaryDirectory(prefix="kura-test-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)
