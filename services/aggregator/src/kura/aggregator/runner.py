"""Runs: who runs, how far it is, what became of it. One place per run at once, the others wait.

A run is computed in a thread of its own; its progress is told to every caller that joined it. Closing a caller's
stream does not end the run.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

from prometheus_client import Counter, Gauge, Histogram

from kura.aggregator.engine import Engine
from kura.core.days import utc_now
from kura.core.errors import Cancelled, KuraError, LeaseLost, NotFound, TooManyRequests
from kura.core.telemetry import bound, get_logger, span

log = get_logger(__name__)

REMEMBERED_RUNS = 1000
CANCEL_AGAIN_SECONDS = 0.2

RUN_SECONDS = Histogram(
    "kura_run_seconds",
    "Time of one run from its start to its end.",
    ["pipeline", "outcome"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
)
RUN_ROWS = Counter("kura_run_rows_total", "Rows that runs read and wrote.", ["pipeline", "direction"])
RUNS_RUNNING = Gauge("kura_runs_running", "Runs being computed.")
RUNS_WAITING = Gauge("kura_runs_waiting", "Runs waiting for a place.")
FENCED_RUNS = Counter("kura_runs_fenced_total", "Runs refused at commit because their lease had moved on.")


class RunNotFound(NotFound):
    """No run has this id."""

    code = "run_not_found"


class State(Enum):
    """Where a run stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for, as far as runs as such are concerned; `work` does it."""

    run_id: str
    schema: str
    pipeline: str
    same_as: tuple[object, ...]
    """Two requests with equal values ask for the same."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is."""

    state: State = State.PENDING
    step: str = ""
    steps_done: int = 0
    steps_total: int = 0
    rows_read: int = 0
    rows_written: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Result:
    """What the work of a run gives back."""

    rows_read: int = 0
    rows_written: int = 0
    notes: tuple[str, ...] = ()


class Steps:
    """What the work of a run tells about itself; it lives in the thread of the run."""

    def __init__(self, total: int, tell: Callable[[Progress], None]) -> None:
        self.total = total
        self._tell = tell
        self._started = time.monotonic()
        self._cancelled = threading.Event()
        self._engine: Engine | None = None
        self._progress = Progress(state=State.RUNNING, steps_total=total)

    def begin(self) -> None:
        self.check()
        self._tell(self._progress)

    def ended(self, step: str, rows_read: int, rows_written: int) -> None:
        """A step has ended. Raises Cancelled when the run should not go on; after the last step it is too late."""
        self._progress = replace(
            self._progress,
            step=step,
            steps_done=self._progress.steps_done + 1,
            rows_read=rows_read,
            rows_written=rows_written,
            seconds=time.monotonic() - self._started,
        )
        self._tell(self._progress)
        if self._progress.steps_done < self.total:
            self.check()

    def engine_opened(self, engine: Engine) -> None:
        """From now on `cancel` interrupts the statement that runs in this engine."""
        self._engine = engine
        self.check()

    def check(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled

    def cancel(self) -> None:
        """May be called from any thread."""
        self._cancelled.set()
        if self._engine is not None:
            self._engine.interrupt()


Work = Callable[[Steps], Result]


@dataclass(kw_only=True)
class Run:
    """One run as this process remembers it."""

    request: Request
    details: object
    """What the caller wants back with the run; not looked at here."""
    steps: Steps
    started_at: datetime = field(default_factory=utc_now)
    finished_at: datetime | None = None
    told: list[Progress] = field(default_factory=list)
    error: KuraError | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def progress(self) -> Progress:
        return self.told[-1]

    @property
    def is_over(self) -> bool:
        return self.finished_at is not None

    def tell(self, progress: Progress) -> None:
        self.told.append(progress)
        self.news.set()
        self.news = asyncio.Event()


class Runner:
    """All runs of this process. Its methods are called from the event loop it was made in."""

    def __init__(self, *, at_once: int, waiting: int) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._at_once = at_once
        self._most_waiting = waiting
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="run")
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._insisting: set[asyncio.Task[None]] = set()

    def start(self, request: Request, *, details: object, steps: int, work: Work) -> Run:
        """Start a run, or join the one that does the same under the same id.

        A run that failed or was cancelled is started anew: its caller tries again.
        """
        known = self._runs.get(request.run_id)
        if known is not None and not self._is_to_be_repeated(known, request):
            return known

        unfinished = sum(not run.is_over for run in self._runs.values())
        if unfinished >= self._at_once + self._most_waiting:
            raise TooManyRequests("All places for runs are taken; try again shortly.")

        loop = asyncio.get_running_loop()

        def tell(progress: Progress) -> None:
            loop.call_soon_threadsafe(run.tell, progress)

        run = Run(request=request, details=details, steps=Steps(steps, tell))
        run.tell(Progress(steps_total=steps))
        self._runs[request.run_id] = run
        self._runs.move_to_end(request.run_id)
        self._forget_old()
        task = asyncio.create_task(self._carry_out(run, work), name=f"run-{request.run_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return run

    async def follow(self, run: Run) -> AsyncIterator[Progress]:
        """Everything that was told about a run and will be told; at the end its error, if it has one."""
        seen = 0
        while True:
            news = run.news
            while seen < len(run.told):
                yield run.told[seen]
                seen += 1
            if run.is_over:
                break
            await news.wait()
        if run.error is not None:
            raise run.error

    def get(self, run_id: str) -> Run:
        if run_id not in self._runs:
            raise RunNotFound(f"This aggregator knows no run {run_id}.")
        return self._runs[run_id]

    def list(self) -> list[Run]:
        """Newest first."""
        return list(reversed(self._runs.values()))

    def cancel(self, run_id: str) -> Run:
        """Ask a run to stop. A run that is over stays as it is."""
        run = self.get(run_id)
        if not run.is_over:
            run.steps.cancel()
            insisting = asyncio.get_running_loop().create_task(self._cancel_until_over([run]))
            self._insisting.add(insisting)
            insisting.add_done_callback(self._insisting.discard)
        return run

    async def close(self) -> None:
        """Cancel what runs and wait for its end."""
        await self._cancel_until_over(self._runs.values())
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        self._threads.shutdown(wait=True)

    @staticmethod
    async def _cancel_until_over(runs: Iterable[Run]) -> None:
        """Again and again: an interrupt that comes just before a statement begins does not reach it."""
        while left := [run for run in runs if not run.is_over]:
            for run in left:
                run.steps.cancel()
            await asyncio.sleep(CANCEL_AGAIN_SECONDS)

    @staticmethod
    def _is_to_be_repeated(known: Run, request: Request) -> bool:
        if not known.is_over:
            return False
        return known.error is not None or known.request.same_as != request.same_as

    def _forget_old(self) -> None:
        over = [run_id for run_id, run in self._runs.items() if run.is_over]
        for run_id in over[: max(0, len(self._runs) - REMEMBERED_RUNS)]:
            del self._runs[run_id]

    async def _carry_out(self, run: Run, work: Work) -> None:
        request = run.request
        started = time.monotonic()
        outcome, result = State.SUCCEEDED, Result()
        error: KuraError | None = None
        with (
            bound(run_id=request.run_id, schema=request.schema, pipeline=request.pipeline),
            span("run", pipeline=request.pipeline, run_id=request.run_id),
        ):
            try:
                with RUNS_WAITING.track_inprogress():
                    await self._places.acquire()
                try:
                    with RUNS_RUNNING.track_inprogress():
                        run.steps.begin()
                        context = copy_context()
                        loop = asyncio.get_running_loop()
                        result = await loop.run_in_executor(self._threads, context.run, work, run.steps)
                finally:
                    self._places.release()
            except Cancelled as cancelled:
                outcome, error = State.CANCELLED, cancelled
            except KuraError as failed:
                outcome, error = State.FAILED, failed
            except Exception as crashed:
                log.exception("run_crashed")
                outcome, error = State.FAILED, KuraError(f"{type(crashed).__name__}: {crashed}")
            self._finish(run, outcome, error, result, time.monotonic() - started)

    def _finish(self, run: Run, outcome: State, error: KuraError | None, result: Result, seconds: float) -> None:
        run.error = error
        run.finished_at = utc_now()
        last = run.progress
        run.tell(
            replace(
                last,
                state=outcome,
                rows_read=result.rows_read or last.rows_read,
                rows_written=result.rows_written,
                seconds=seconds,
                notes=result.notes,
            )
        )
        pipeline = run.request.pipeline
        RUN_SECONDS.labels(pipeline, outcome.value).observe(seconds)
        RUN_ROWS.labels(pipeline, "read").inc(run.progress.rows_read)
        RUN_ROWS.labels(pipeline, "written").inc(run.progress.rows_written)
        if isinstance(error, LeaseLost):
            FENCED_RUNS.inc()
        log.info(
            "run_ended",
            outcome=outcome.value,
            seconds=round(seconds, 3),
            rows_read=run.progress.rows_read,
            rows_written=run.progress.rows_written,
            code=error.code if error else None,
            error=str(error) if error else None,
        )
