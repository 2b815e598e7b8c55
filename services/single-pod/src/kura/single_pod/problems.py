"""What the command line tells when it cannot go on."""

from __future__ import annotations


class CommandError(Exception):
    """Something a user can mend: what happened, and what to do."""

    def __init__(self, message: str, *, hint: str | None = None, status: int = 1) -> None:
        super().__init__(message)
        self.hint = hint
        self.status = status
