"""Leases: one holder, by the clock of the database, with tokens that only grow."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kura.core.errors import LeaseLost, TransientError
from kura.store import leases
from kura.store.database import Database
from kura.testing.postgres import DatabaseUrls

NAME = "summarise:p1:2025-01"


def _acquire(database: Database, owner: str, *, seconds: float = 60) -> int | None:
    with database.begin() as connection:
        return leases.acquire(connection, NAME, owner=owner, seconds=seconds)


def test_a_lease_has_one_holder(database: Database) -> None:
    assert _acquire(database, "a") == 1
    assert _acquire(database, "b") is None
    with database.begin() as connection:
        assert leases.holder(connection, NAME) == "a"
        assert leases.acquire(connection, "another", owner="b", seconds=60) == 1


def test_of_many_at_once_one_gets_it(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda n: _acquire(database, f"w{n}"), range(8)))

    assert sorted(token or 0 for token in tokens) == [0] * 7 + [1]


def test_tokens_only_grow(database: Database) -> None:
    first = _acquire(database, "a")
    assert first == 1
    with database.begin() as connection:
        assert leases.release(connection, NAME, token=first)
        assert not leases.release(connection, NAME, token=first)
        assert leases.holder(connection, NAME) is None
    assert _acquire(database, "b") == 2
    assert _acquire(database, "b") == 3, "a restarted owner gets a new token"


def test_an_expired_lease_is_free(database: Database) -> None:
    assert _acquire(database, "a", seconds=0.2) == 1
    time.sleep(0.3)
    assert _acquire(database, "b") == 2


def test_a_renewed_lease_is_kept(database: Database) -> None:
    assert _acquire(database, "a", seconds=0.3) == 1
    for _ in range(3):
        time.sleep(0.15)
        with database.begin() as connection:
            assert leases.renew(connection, NAME, token=1, seconds=0.3)
    assert _acquire(database, "b") is None


def test_what_has_expired_cannot_be_renewed(database: Database) -> None:
    assert _acquire(database, "a", seconds=0.1) == 1
    time.sleep(0.2)
    with database.begin() as connection:
        assert not leases.renew(connection, NAME, token=1, seconds=60)


def test_a_write_under_an_old_token_is_refused(database: Database) -> None:
    """F05: the first holder slept through its lease."""
    assert _acquire(database, "a", seconds=0.1) == 1
    time.sleep(0.2)
    with pytest.raises(LeaseLost), database.begin() as connection:
        leases.assert_held(connection, NAME, token=1)
    assert _acquire(database, "b") == 2
    with pytest.raises(LeaseLost), database.begin() as connection:
        leases.assert_held(connection, NAME, token=1)
    with database.begin() as connection:
        leases.assert_held(connection, NAME, token=2)
    assert issubclass(LeaseLost, TransientError)


def test_a_lease_does_not_change_hands_while_its_holder_commits(
    database: Database, database_urls: DatabaseUrls
) -> None:
    """The second holder starts only after the first one's write is visible or gone."""
    assert _acquire(database, "a", seconds=0.3) == 1
    taken_at = threading.Event()

    def take_over() -> int | None:
        time.sleep(0.4)
        token = _acquire(database, "b")
        taken_at.set()
        return token

    with ThreadPoolExecutor(1) as pool:
        with database.begin() as connection:
            leases.assert_held(connection, NAME, token=1)
            next_holder = pool.submit(take_over)
            assert not taken_at.wait(0.8)
        assert next_holder.result() == 2


def test_the_holder_renews_while_it_writes(database: Database) -> None:
    """The heartbeat is another transaction than the write, and is not blocked by it."""
    assert _acquire(database, "a") == 1
    with database.begin() as writing:
        leases.assert_held(writing, NAME, token=1)
        with database.begin(statement_seconds=1) as heartbeat:
            assert leases.renew(heartbeat, NAME, token=1, seconds=60)
