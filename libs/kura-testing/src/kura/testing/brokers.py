"""Fixture: a real RabbitMQ, a private node that all tests of a run share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kura.testing.rabbitmq import RabbitMQ


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """A running node. What a test leaves in its queues is the next one's to purge."""
    if not RabbitMQ.is_installed():
        pytest.skip("rabbitmq-server is not installed")
    with tempfile.TemporaryDirectory(prefix="kura-rabbitmq-") as folder:
        node = RabbitMQ(Path(folder))
        node.start()
        yield node
        node.kill()
