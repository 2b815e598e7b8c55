"""One Kura for the tests of a module, in a process of its own."""

from collections.abc import Iterator

import pytest

from kura.testing.running import RunningKura, running_kura


@pytest.fixture(scope="module")
def kura() -> Iterator[RunningKura]:
    """A running Kura; tests register clusters of their own in it."""
    with running_kura() as running:
        yield running
