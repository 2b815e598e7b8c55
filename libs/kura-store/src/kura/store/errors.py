"""What the database can answer, in Kura's words: one table from SQLSTATE to meaning, used at every boundary."""

from __future__ import annotations

import re
from typing import Final

from grpc import StatusCode

from kura.core.errors import (
    Conflict,
    DatabaseBusy,
    DatabaseUnavailable,
    Deadline,
    InvalidData,
    KuraError,
    TransientError,
)


class DatabaseError(KuraError):
    """The database refused a statement in a way that we did not foresee."""

    code = "database_error"


class DatabaseRefused(KuraError):
    """The role of this service may not do this in the database."""

    code, http, grpc = "database_refused", 500, StatusCode.PERMISSION_DENIED


class RelationMissing(KuraError):
    """The schema or table does not exist (yet): the tenant has none, or migrations have not run."""

    code, http, grpc = "relation_missing", 500, StatusCode.FAILED_PRECONDITION


class ConstraintViolated(Conflict):
    """A row contradicts a rule of its table; `constraint` names the rule."""

    code = "constraint_violated"

    def __init__(self, message: str = "", *, constraint: str = "") -> None:
        super().__init__(message)
        self.constraint = constraint


class UniqueViolated(ConstraintViolated):
    """A row with this key exists."""

    code = "unique_violated"


class ReferenceViolated(ConstraintViolated):
    """A row that is referred to does not exist, or is still referred to."""

    code = "reference_violated"


# A server that refuses a connection tells its SQLSTATE to nobody; the texts are those of PostgreSQL 13 to 18.
OUT_OF_CONNECTIONS: Final = re.compile(r"too many (connections|clients)|remaining connection slots")

# The longest matching prefix of the SQLSTATE decides.
MEANING: Final[dict[str, type[KuraError]]] = {
    "08": DatabaseUnavailable,  # connection exceptions
    "0B": DatabaseError,
    "22": InvalidData,  # data exceptions: overflow, bad text, bad date
    "23": ConstraintViolated,
    "23503": ReferenceViolated,
    "23505": UniqueViolated,
    "25": DatabaseError,
    "25006": DatabaseUnavailable,  # read-only transaction: the primary became a replica, reconnecting finds the new one
    "25P03": TransientError,  # idle in transaction too long
    "25P04": Deadline,  # transaction_timeout
    "28": DatabaseUnavailable,  # authentication: a password is being rotated
    "3D000": DatabaseUnavailable,  # the database does not exist (yet)
    "3F000": RelationMissing,
    "40": TransientError,  # deadlock, serialisation failure
    "42501": DatabaseRefused,
    "42P01": RelationMissing,
    "53": DatabaseUnavailable,  # out of memory, disk
    "53300": DatabaseBusy,  # out of connections
    "55": TransientError,  # object not in the right state
    "55P03": TransientError,  # lock_timeout
    "57": DatabaseUnavailable,  # shutdown, crash, starting up
    "57014": Deadline,  # statement_timeout or an explicit cancel
    "58": DatabaseUnavailable,  # input/output errors of the server
    "P0001": DatabaseError,  # raised by a function of ours
}


WORDS: Final[dict[str, str]] = {"22003": "numbers add up to more than the tables hold"}
"""What to say instead of the server's own words, by SQLSTATE."""


def meaning_of(sqlstate: str | None) -> type[KuraError]:
    """The error class of a SQLSTATE; without one the connection itself failed."""
    if not sqlstate:
        return DatabaseUnavailable
    for length in range(len(sqlstate), 1, -1):
        found = MEANING.get(sqlstate[:length])
        if found is not None:
            return found
    return DatabaseError


def translated(sqlstate: str | None, message: str, *, constraint: str = "") -> KuraError:
    """The error to raise. The message is the server's first line: details may hold values of rows."""
    out_of_connections = not sqlstate and OUT_OF_CONNECTIONS.search(message)
    kind = DatabaseBusy if out_of_connections else meaning_of(sqlstate)
    message = WORDS.get(sqlstate or "", message)
    first_line = message.strip().splitlines()[0] if message.strip() else ""
    if issubclass(kind, ConstraintViolated):
        return kind(first_line, constraint=constraint)
    return kind(first_line)
