"""Runs: places, joining, cancelling, what is remembered."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kura.aggregator.engine import Engine, EngineLimits
from kura.aggregator.runner import Progress, Request, Result, Run, Runner, RunNotFound, State, Steps, Work
from kura.core.errors import Cancelled, InvalidData, KuraError, TooManyRequests


def request(run_id: str = "r1", *, asks: str = "a") -> Request:
    return Request(run_id=run_id, schema="org1234567", pipeline="TEST", same_as=(asks,))


async def all_of(runner: Runner, run: Run) -> list[Progress]:
    return [progress async for progress in runner.follow(run)]


@pytest.fixture
async def runner() -> AsyncIterator[Runner]:
    made = Runner(at_once=1, waiting=1)
    yield made
    await made.close()


Start = Callable[..., Run]


@pytest.fixture
def start(runner: Runner) -> Start:
    def started(work: Work, run_id: str = "r1", *, asks: str = "a", steps: int = 2) -> Run:
        return runner.start(request(run_id, asks=asks), details=None, steps=steps, work=work)

    return started


def two_steps(steps: Steps) -> Result:
    steps.ended("read", 10, 0)
    steps.ended("write", 10, 4)
    return Result(rows_read=10, rows_written=4, notes=("all well",))


async def test_a_run_tells_every_step_and_its_end(runner: Runner, start: Start):
    told = await all_of(runner, start(two_steps))

    assert [(progress.state, progress.step, progress.steps_done) for progress in told] == [
        (State.PENDING, "", 0),
        (State.RUNNING, "", 0),
        (State.RUNNING, "read", 1),
        (State.RUNNING, "write", 2),
        (State.SUCCEEDED, "write", 2),
    ]
    assert told[-1].notes == ("all well",)
    assert told[-1].rows_written == 4


async def test_a_second_call_joins_the_run_that_is_there(runner: Runner, start: Start):
    calls = []

    def work(steps: Steps) -> Result:
        calls.append(1)
        return two_steps(steps)

    first = start(work)
    second = start(work)
    told = await all_of(runner, second)
    third = start(work)

    assert first is second is third
    assert calls == [1]
    assert await all_of(runner, third) == told


async def test_a_run_that_failed_is_started_anew(runner: Runner, start: Start):
    def broken(steps: Steps) -> Result:
        raise InvalidData("no")

    with pytest.raises(InvalidData):
        await all_of(runner, start(broken))

    assert (await all_of(runner, start(two_steps)))[-1].state is State.SUCCEEDED


async def test_the_same_id_for_something_else_is_another_run(runner: Runner, start: Start):
    first = start(two_steps)
    await all_of(runner, first)

    assert start(two_steps, asks="b") is not first


async def test_a_crash_is_reported_as_an_error_of_ours(runner: Runner, start: Start):
    def crash(steps: Steps) -> Result:
        raise ZeroDivisionError("oops")

    with pytest.raises(KuraError, match="oops") as caught:
        await all_of(runner, start(crash))
    assert caught.value.code == "internal"
    assert runner.get("r1").progress.state is State.FAILED


async def test_runs_beyond_the_places_wait_and_beyond_the_queue_are_refused(runner: Runner, start: Start):
    go_on = threading.Event()

    def wait(steps: Steps) -> Result:
        go_on.wait(10)
        return Result()

    first, second = start(wait, "r1"), start(wait, "r2")
    await until(lambda: first.progress.state is State.RUNNING)
    assert second.progress.state is State.PENDING
    with pytest.raises(TooManyRequests):
        start(wait, "r3")

    go_on.set()
    assert (await all_of(runner, second))[-1].state is State.SUCCEEDED
    assert (await all_of(runner, start(two_steps, "r3")))[-1].state is State.SUCCEEDED


async def test_a_cancelled_run_ends_before_its_next_step(runner: Runner, start: Start):
    first_step, go_on = threading.Event(), threading.Event()

    def work(steps: Steps) -> Result:
        first_step.set()
        go_on.wait(10)
        steps.ended("read", 1, 0)
        raise AssertionError("not reached")

    run = start(work)
    await until(first_step.is_set)
    runner.cancel("r1")
    go_on.set()

    with pytest.raises(Cancelled):
        await all_of(runner, run)
    assert run.progress.state is State.CANCELLED


async def test_after_the_last_step_it_is_too_late_to_cancel(runner: Runner, start: Start):
    def work(steps: Steps) -> Result:
        steps.cancel()
        steps.ended("commit", 1, 1)
        return Result(rows_written=1)

    assert (await all_of(runner, start(work, steps=1)))[-1].state is State.SUCCEEDED


async def test_cancelling_interrupts_the_engine(runner: Runner, start: Start, tmp_path: Path):
    started = threading.Event()
    limits = EngineLimits(memory_bytes=2**28, threads=1, spill_directory=tmp_path)

    def work(steps: Steps) -> Result:
        with Engine.open(limits) as engine:
            steps.engine_opened(engine)
            started.set()
            engine.query(
                "SELECT count(*) FROM range(100000) a CROSS JOIN range(100000000) b WHERE (a.range + b.range) % 7 = 8"
            )
        return Result()

    run = start(work)
    await until(started.is_set)
    runner.cancel("r1")

    with pytest.raises(Cancelled):
        await all_of(runner, run)


async def test_a_run_that_is_over_cannot_be_cancelled(runner: Runner, start: Start):
    await all_of(runner, start(two_steps))

    assert runner.cancel("r1").progress.state is State.SUCCEEDED


async def test_a_listener_that_leaves_does_not_end_the_run(runner: Runner, start: Start):
    run = start(two_steps)
    async for _ in runner.follow(run):
        break

    assert (await all_of(runner, run))[-1].state is State.SUCCEEDED


async def test_runs_are_listed_newest_first_and_unknown_ones_are_errors(runner: Runner, start: Start):
    for run_id in ("r1", "r2"):
        await all_of(runner, start(two_steps, run_id))

    assert [run.request.run_id for run in runner.list()] == ["r2", "r1"]
    with pytest.raises(RunNotFound):
        runner.get("r9")


async def test_closing_ends_what_runs():
    runner = Runner(at_once=1, waiting=1)
    started = threading.Event()

    def work(steps: Steps) -> Result:
        started.set()
        while True:
            steps.check()

    run = runner.start(request(), details=None, steps=1, work=work)
    waiting = runner.start(request("r2"), details=None, steps=1, work=work)
    await until(started.is_set)
    await runner.close()

    assert run.progress.state is State.CANCELLED
    assert waiting.progress.state is State.CANCELLED


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  what is waited for happens in a thread
            await asyncio.sleep(0.01)
