"""Progress of work in several stages: what runs, how far it is, how long each stage took."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kura.single_pod.tables import err, say, took

if TYPE_CHECKING:
    from rich.status import Status

QUIET_SECONDS = 2.0
"""Where the output is no terminal, at most one line of progress in this time."""


@dataclass
class Stages:
    """Tells stages on stderr and remembers how long they took."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[Callable[[str], None]]:
        """One stage; the function it gives tells how far it is."""
        started = time.monotonic()
        live = err().status(f"{title} …") if sys.stderr.isatty() else None
        if live is None:
            say(f"{title} …")
        else:
            live.start()
        try:
            yield _teller(title, started, live)
        except BaseException:
            if live is not None:
                live.stop()
            raise
        self.seconds[name] = round(time.monotonic() - started, 3)
        if live is not None:
            live.stop()
        say(f"{title}: done in {took(self.seconds[name])}")


def _teller(title: str, started: float, live: Status | None) -> Callable[[str], None]:
    told = started

    def tell(text: str) -> None:
        nonlocal told
        now = time.monotonic()
        if live is not None:
            live.update(f"{title}: {text} … {took(now - started)}")
        elif now - told >= QUIET_SECONDS:
            told = now
            say(f"{title}: {text} … {took(now - started)}")

    return tell
