"""One read of a fingerprint serves everybody who waited for it when it began, and nobody who came later."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from sqlalchemy import update

from kura.api_reads.fingerprints import Fingerprint, Fingerprints
from kura.api_reads.gateway import Gateway
from kura.core.errors import DatabaseUnavailable
from kura.store.database import Database
from kura.store.tables.tenant import TENANT_SETTINGS
from kura.testing.asking import Asker
from kura.testing.postgres import SCHEMA


@dataclass
class SlowDatabase:
    """A counter that is looked at when a read begins; a read ends when it is let go."""

    written: int = 0
    fails: bool = False
    began: list[str] = field(default_factory=list)
    _let_go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def read(self, schema: str) -> Fingerprint:
        seen, fails = self.written, self.fails
        self.began.append(schema)
        assert self._let_go.acquire(timeout=5)
        if fails:
            raise DatabaseUnavailable
        return (seen,)

    def let_go(self, reads: int = 1) -> None:
        self._let_go.release(reads)

    async def begins(self, reads: int) -> None:
        while len(self.began) < reads:  # noqa: ASYNC110 - it is counted in another thread
            await asyncio.sleep(0.001)


@pytest.fixture
async def slow() -> AsyncIterator[SlowDatabase]:
    database = SlowDatabase()
    yield database
    database.let_go(100)


async def asked(fingerprints: Fingerprints, *, requests: int, schema: str = "org1") -> list[asyncio.Task[Fingerprint]]:
    """Requests that wait for the fingerprint now."""
    tasks = [asyncio.create_task(fingerprints.of(schema)) for _ in range(requests)]
    await asyncio.sleep(0.01)
    return tasks


async def test_requests_that_wait_together_cost_one_read(slow: SlowDatabase):
    requests = await asked(Fingerprints(read=slow.read), requests=20)
    slow.let_go()

    assert await asyncio.gather(*requests) == [(0,)] * 20
    assert len(slow.began) == 1


async def test_a_request_sees_what_was_written_before_it_came(slow: SlowDatabase):
    fingerprints = Fingerprints(read=slow.read)
    early = await asked(fingerprints, requests=3)
    await slow.begins(1)
    slow.written = 1
    late = await asked(fingerprints, requests=3)
    assert len(slow.began) == 1, "later requests wait until the read before theirs is done"
    slow.let_go(2)

    assert await asyncio.gather(*early) == [(0,)] * 3
    assert await asyncio.gather(*late) == [(1,)] * 3
    assert len(slow.began) == 2


async def test_no_request_ever_misses_what_was_written_before_it_came():
    counter = iter(range(1, 10_000))
    written = 0

    def read(schema: str) -> Fingerprint:
        return (written,)

    fingerprints = Fingerprints(read=read)

    async def request() -> tuple[int, int]:
        nonlocal written
        before = written = next(counter)
        return before, (await fingerprints.of("org1"))[0]

    async def client() -> list[tuple[int, int]]:
        return [await request() for _ in range(50)]

    for answers in await asyncio.gather(*(client() for _ in range(10))):
        assert [(before, seen) for before, seen in answers if seen < before] == []


async def test_one_tenant_does_not_wait_for_another(slow: SlowDatabase):
    fingerprints = Fingerprints(read=slow.read)
    requests = [
        *await asked(fingerprints, requests=1, schema="org1"),
        *await asked(fingerprints, requests=1, schema="org2"),
    ]
    await slow.begins(2)
    slow.let_go(2)
    await asyncio.gather(*requests)

    assert sorted(slow.began) == ["org1", "org2"]


async def test_who_goes_away_takes_nobody_along(slow: SlowDatabase):
    fingerprints = Fingerprints(read=slow.read)
    running = await asked(fingerprints, requests=3)
    await slow.begins(1)
    waiting = await asked(fingerprints, requests=3)
    for gone in (running[0], waiting[0]):
        gone.cancel()
    slow.let_go(2)

    assert await asyncio.gather(*running[1:], *waiting[1:]) == [(0,)] * 4
    assert running[0].cancelled()
    assert waiting[0].cancelled()


async def test_when_all_went_away_the_next_request_is_answered(slow: SlowDatabase):
    fingerprints = Fingerprints(read=slow.read)
    slow.fails = True
    for gone in await asked(fingerprints, requests=2):
        gone.cancel()
    await slow.begins(1)
    slow.fails = False
    (last,) = await asked(fingerprints, requests=1)
    slow.let_go(2)

    assert await last == (0,)


async def test_an_error_reaches_everybody_who_waited_and_nobody_after(slow: SlowDatabase):
    fingerprints = Fingerprints(read=slow.read)
    slow.fails = True
    failing = await asked(fingerprints, requests=3)
    await slow.begins(1)
    slow.fails = False
    later = await asked(fingerprints, requests=2)
    slow.let_go(2)

    outcomes = await asyncio.gather(*failing, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DatabaseUnavailable] * 3
    assert await asyncio.gather(*later) == [(0,)] * 2


async def test_a_change_is_in_every_answer_asked_for_after_it(ask: Asker, writer: Database, gateway: Gateway):
    address = "reports/openshift/costs/?start_date=2024-06-16&end_date=2024-06-17"

    async def currencies() -> set[str]:
        answers = await asyncio.gather(*(ask(address) for _ in range(8)))
        return {answer["meta"]["currency"] for answer in answers}

    assert await currencies() == {"USD"}
    for currency in ("EUR", "USD", "EUR", "USD"):
        running = asyncio.create_task(currencies())
        await asyncio.sleep(0.002)
        with writer.tenant(SCHEMA) as connection:
            connection.execute(update(TENANT_SETTINGS).values(currency=currency))
        assert await currencies() == {currency}
        assert await running <= {"EUR", "USD"}
