"""Typed tasks: outbox, transports, claim, retry, dead letter."""

from kura.queue.outbox import enqueue, open_group

__all__ = ["enqueue", "open_group"]
