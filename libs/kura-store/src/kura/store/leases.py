"""Leases: who may work on something now, by the clock of the database alone.

A token grows with every change of hands of a name and never falls. A holder passes it along with its writes; a write
under an old token is refused (`assert_held`), so that a worker that slept through its lease does no harm.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from kura.core.errors import LeaseLost
from kura.store.tables.shared import LEASE

NOW = func.clock_timestamp()
"""Not now(): a transaction may be much older than the moment that counts."""


def acquire(connection: Connection, name: str, *, owner: str, seconds: float) -> int | None:
    """Take a free or expired lease; its token, or None while somebody holds it.

    Taking a lease that one holds oneself also gives a new token: the owner may be a restarted process.
    """
    values = {
        "name": name,
        "owner": owner,
        "token": 1,
        "acquired_at": NOW,
        "renewed_at": NOW,
        "expires_at": NOW + timedelta(seconds=seconds),
    }
    taken = insert(LEASE).values(values)
    taken = taken.on_conflict_do_update(
        index_elements=[LEASE.c.name],
        set_={
            "owner": taken.excluded.owner,
            "token": LEASE.c.token + 1,
            "acquired_at": NOW,
            "renewed_at": NOW,
            "expires_at": NOW + timedelta(seconds=seconds),
        },
        where=or_(LEASE.c.owner.is_(None), LEASE.c.owner == owner, LEASE.c.expires_at <= NOW),
    )
    token: int | None = connection.scalar(taken.returning(LEASE.c.token))
    return token


def renew(connection: Connection, name: str, *, token: int, seconds: float) -> bool:
    """Extend the lease; False if it has expired or changed hands."""
    extended = (
        update(LEASE)
        .where(LEASE.c.name == name, LEASE.c.token == token, LEASE.c.owner.is_not(None), LEASE.c.expires_at > NOW)
        .values(renewed_at=NOW, expires_at=NOW + timedelta(seconds=seconds))
    )
    return connection.execute(extended).rowcount == 1


def release(connection: Connection, name: str, *, token: int) -> bool:
    """Give the lease back; False if it was not ours any more. The row stays, so that its token never falls."""
    given_back = (update(LEASE).where(LEASE.c.name == name, LEASE.c.token == token, LEASE.c.owner.is_not(None))).values(
        owner=None, expires_at=NOW
    )
    return connection.execute(given_back).rowcount == 1


def expire_all(connection: Connection) -> None:
    """Free every lease, of an installation whose processes are known to be gone. A holder that lives writes no more."""
    connection.execute(update(LEASE).where(LEASE.c.owner.is_not(None)).values(owner=None, expires_at=NOW))


def assert_held(connection: Connection, name: str, *, token: int) -> None:
    """Return if the lease is held under this token, else raise LeaseLost.

    Called in the transaction that writes: the lease cannot change hands before that transaction ends, but it can be
    renewed from another one.
    """
    held = (
        select(literal(value=True))
        .where(LEASE.c.name == name, LEASE.c.token == token, LEASE.c.owner.is_not(None), LEASE.c.expires_at > NOW)
        .with_for_update(read=True, key_share=True)
    )
    if connection.scalar(held) is None:
        raise LeaseLost(f"The lease {name} is not held under token {token} any more.")


def holder(connection: Connection, name: str) -> str | None:
    """Who holds the lease now."""
    return connection.scalar(select(LEASE.c.owner).where(LEASE.c.name == name, LEASE.c.expires_at > NOW))
