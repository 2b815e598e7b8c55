"""The loop of a worker: claim, carry out, record, whatever happens in between."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Final, Generic, TypeVar

from google.protobuf.message import Message
from opentelemetry.trace import SpanKind
from sqlalchemy import Connection

from kura.core.errors import Deadline, KuraError, LeaseBusy, LeaseLost, TooManyRequests
from kura.core.metrics import ERRORS
from kura.core.telemetry import bound, get_logger, span
from kura.queue import metrics, states
from kura.queue.cancelling import end
from kura.queue.clock import between
from kura.queue.context import Context, Fence, Handler, Handlers
from kura.queue.queues import queue_checked
from kura.queue.states import Claim
from kura.queue.tasks import TaskType, UnknownTask, decoded, full_jitter, patient_jitter, task_type
from kura.queue.transport import Books, Feed, Transport
from kura.store import leases
from kura.store.database import Database

log = get_logger(__name__)

Tools = TypeVar("Tools")

LEASE_SECONDS: Final = 30.0
TICK_SECONDS: Final = 1.0
HELD_DELIVERY_SECONDS: Final = 600.0
"""A third of RabbitMQ's consumer time-out, after which it would take the delivery away."""
POSTPONED_SECONDS: Final = (5.0, 30.0)
"""Range of the pause of a task whose tenant runs as many as it may."""
LEASE_BUSY_SECONDS: Final = (0.2, 1.0)
"""Range of the pause of a task that must let another one finish first: most end within a second, and a user waits."""
LONGEST_PAUSE_SECONDS: Final = 15.0


class Outcome(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    REQUEUED = "requeued"
    POSTPONED = "postponed"
    DEAD = "dead"
    LOST = "lost"
    RETURNED = "returned"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """One attempt and its end."""

    outcome: Outcome
    code: str = ""
    error: str = ""
    delay_seconds: float = 0.0


class ClaimLost(Exception):
    """The heartbeat found that this attempt is not the task's own any more."""


class Worker(Generic[Tools]):
    """Carries out the tasks of some queues, `slots` at a time; to be run by `kura.core.service`.

    `handlers` says what carries out which message, `tools` is handed to all of them. `max_tasks` ends the worker after
    so many tasks, to be started anew; 0 means never.
    """

    def __init__(
        self,
        *,
        books: Books,
        transport: Transport,
        handlers: Handlers,
        tools: Tools,
        db: Database,
        queues: tuple[str, ...],
        slots: int = 1,
        max_tasks: int = 0,
    ) -> None:
        self._books = books
        self._transport = transport
        self._handlers: Mapping[str, Handler] = {kind.DESCRIPTOR.full_name: call for kind, call in handlers.items()}
        self._tools = tools
        self._db = db
        self._max_tasks = max_tasks
        self._begun = 0
        self._busy = 0
        self.feeds = transport.feeds([queue_checked(queue) for queue in queues], slots=slots)
        self._finished = asyncio.Event()

    @property
    def busy(self) -> int:
        """Tasks being carried out now."""
        return self._busy

    async def run(self) -> None:
        """Work until `stop`; cancelled, it gives running tasks back to their queues."""
        connected = asyncio.create_task(self._transport.run(), name="transport")
        slots = [asyncio.create_task(self._slot(feed), name="slot") for feed in self.feeds]
        try:
            while slots_running := [slot for slot in slots if not slot.done()]:
                await asyncio.wait([connected, *slots_running], return_when=asyncio.FIRST_COMPLETED)
                if connected.done():
                    await connected
            for slot in slots:
                slot.result()
        finally:
            await end(connected, *slots)
            self._books.close()
            self._finished.set()

    async def stop(self) -> None:
        """Take no more tasks; return when the running ones are finished."""
        for feed in self.feeds:
            feed.close()
        await self._finished.wait()

    async def _slot(self, feed: Feed) -> None:
        failures = 0
        while True:
            try:
                claim = await feed.next()
            except KuraError as error:
                failures += 1
                log.warning("claim_failed", code=error.code, error=str(error))
                await asyncio.sleep(between(0.1, min(2.0**failures, LONGEST_PAUSE_SECONDS)))
                continue
            failures = 0
            if claim is None:
                return
            self._begun += 1
            if self._begun == self._max_tasks:
                for each in self.feeds:
                    each.close()
            self._busy += 1
            try:
                ended = await self._attempt(claim, feed)
            finally:
                self._busy -= 1
            await feed.settle(dead=ended.outcome is Outcome.DEAD)

    async def _attempt(self, claim: Claim, feed: Feed) -> Ended:
        """One attempt from its claim to its record, with its closing line."""
        name = claim.type.rsplit(".", 1)[-1]
        started = time.perf_counter()
        metrics.STARTED.labels(claim.queue, name).inc()
        metrics.WAITED_SECONDS.labels(claim.queue).observe(claim.waited_seconds)
        with (
            bound(task_id=str(claim.id), task=name, queue=claim.queue, schema=claim.schema_name),
            span(f"task {name}", parent=claim.traceparent, kind=SpanKind.CONSUMER),
        ):
            ended = await self._carried_out(claim, feed)
            seconds = time.perf_counter() - started
            _count(claim, name, ended, seconds)
            say = log.error if ended.outcome is Outcome.DEAD else log.info
            say(
                "task_ended",
                outcome=ended.outcome.value,
                seconds=round(seconds, 3),
                waited_seconds=round(claim.waited_seconds, 3),
                attempt=claim.attempt,
                max_attempts=claim.max_attempts,
                code=ended.code or None,
                error=ended.error or None,
                retry_seconds=round(ended.delay_seconds, 1) if ended.delay_seconds else None,
            )
        return ended

    async def _carried_out(self, claim: Claim, feed: Feed) -> Ended:
        context = Context(
            claim=claim,
            owner=self._books.owner,
            db=self._db,
            tools=self._tools,
            threads=self._books.threads,
            lease_seconds=self._books.lease_seconds,
        )
        try:
            ended = await self._tried(claim, context, feed)
        except asyncio.CancelledError:
            with contextlib.suppress(KuraError):
                await self._books.call(lambda c: states.requeue(c, claim, delay_seconds=0, counted=False))
            log.info("task_returned", attempt=claim.attempt)
            raise
        return await self._recorded(claim, context, ended)

    async def _tried(self, claim: Claim, context: Context[Tools], feed: Feed) -> Ended:
        """Run the handler; what came of it, in the words of the queue."""
        kind: TaskType[Any] | None = None
        try:
            kind = task_type(claim.type)
            handler = self._handlers.get(claim.type)
            if handler is None:
                raise UnknownTask(f"no handler of this worker carries out {claim.type}")
            message = decoded(kind, claim.payload)
            if kind.rate_limited and await self._books.call(lambda c: states.is_over_rate_limit(c, claim)):
                raise TooManyRequests("the tenant runs as many of these as it may")
            await self._guarded(handler, message, context, feed, timeout_seconds=kind.timeout_seconds)
        except ClaimLost:
            return Ended(outcome=Outcome.LOST, code="claim_lost", error="the task was cancelled or moved on")
        except (LeaseBusy, TooManyRequests) as error:
            return Ended(
                outcome=Outcome.POSTPONED,
                code=error.code,
                error=str(error),
                delay_seconds=between(*(LEASE_BUSY_SECONDS if isinstance(error, LeaseBusy) else POSTPONED_SECONDS)),
            )
        except KuraError as error:
            if not error.retry:
                return Ended(outcome=Outcome.DEAD, code=error.code, error=str(error))
            if claim.outwaits(error):
                return Ended(
                    outcome=Outcome.POSTPONED,
                    code=error.code,
                    error=str(error),
                    delay_seconds=patient_jitter(claim.age_seconds),
                )
            return _failed(claim, kind, error.code, str(error))
        except Exception as error:
            # Unforeseen, so it may pass: the attempts are counted.
            log.error("task_crashed", error=str(error), exc_info=error)
            return _failed(claim, kind, KuraError.code, f"{type(error).__name__}: {error}")
        return Ended(outcome=Outcome.SUCCEEDED)

    async def _guarded(
        self, handler: Handler, message: Message, context: Context[Tools], feed: Feed, *, timeout_seconds: float
    ) -> None:
        """The handler with its heart beating beside it: when one ends, so does the other."""
        working = asyncio.ensure_future(handler(message, context))
        beating = asyncio.create_task(self._beat(context, feed))
        try:
            await asyncio.wait([working, beating], timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
                return
            if beating.done():
                beating.result()
            raise Deadline(f"not finished in {timeout_seconds:g} seconds")
        finally:
            await end(working, beating)

    async def _beat(self, context: Context[Tools], feed: Feed) -> None:
        """Renew the claim and the named leases; ends with ClaimLost or LeaseLost when one is gone."""
        clock = asyncio.get_running_loop().time
        lease_seconds = context.lease_seconds
        began = renewed = clock()
        holding = True
        written = None
        while True:
            await asyncio.sleep(min(TICK_SECONDS, lease_seconds / 3))
            if holding and clock() - began > HELD_DELIVERY_SECONDS:
                await feed.outlast()
                holding = False
            news = context.heart.progress if context.heart.progress is not written else None
            if news is None and clock() - renewed < lease_seconds / 3:
                continue
            held = tuple(context.heart.leases)
            asked = clock()
            try:
                async with asyncio.timeout(lease_seconds / 2):
                    await self._renew(context, held, progress=news)
            except LeaseLost:
                # A lease that the handler gave back meanwhile is no loss.
                if any(fence in context.heart.leases for fence in held):
                    raise
            except (KuraError, TimeoutError) as error:
                log.warning("heartbeat_failed", error=f"{type(error).__name__}: {error}")
                if clock() - renewed > lease_seconds:
                    raise ClaimLost from error
            else:
                renewed = asked
                written = news or written

    async def _renew(self, context: Context[Tools], held: tuple[Fence, ...], *, progress: Any) -> None:
        def renew(connection: Connection) -> None:
            seconds = context.lease_seconds
            if not states.renew(connection, context.claim, lease_seconds=seconds, progress=progress):
                raise ClaimLost
            for fence in held:
                if not leases.renew(connection, fence.name, token=fence.token, seconds=seconds):
                    raise LeaseLost(f"the lease {fence.name} has moved on")

        await self._books.call(renew)

    async def _recorded(self, claim: Claim, context: Context[Tools], ended: Ended) -> Ended:
        """Write the end to the row, as long as the claim can hold; then it is for the reconciler."""
        if ended.outcome is Outcome.LOST:
            return ended
        give_up = time.monotonic() + self._books.lease_seconds
        pause = 0.2
        while True:
            try:
                kept = await self._books.call(partial(_record, claim=claim, context=context, ended=ended))
            except KuraError as error:
                if not error.retry:
                    # What should follow cannot be queued: a wrong message, which no retry makes right.
                    ended = Ended(outcome=Outcome.DEAD, code=error.code, error=str(error))
                    context.follow_ups.clear()
                log.warning("record_failed", code=error.code, error=str(error))
                if time.monotonic() > give_up:
                    return Ended(outcome=Outcome.LOST, code=error.code, error=str(error))
                await asyncio.sleep(between(0, pause))
                pause = min(pause * 2, 5.0)
            else:
                return ended if kept else Ended(outcome=Outcome.LOST, code="claim_lost", error="refused by its token")


def _record(connection: Connection, *, claim: Claim, context: Context[Any], ended: Ended) -> bool:
    if ended.outcome is Outcome.SUCCEEDED:
        return states.succeed(connection, claim, follow_ups=context.follow_ups, progress=context.heart.progress)
    if ended.outcome is Outcome.DEAD:
        return states.die(connection, claim, code=ended.code, error=ended.error)
    return states.requeue(
        connection,
        claim,
        delay_seconds=ended.delay_seconds,
        code=ended.code,
        error=ended.error,
        counted=ended.outcome is not Outcome.POSTPONED,
    )


def _failed(claim: Claim, kind: TaskType[Any] | None, code: str, error: str) -> Ended:
    """Another attempt after a pause, or the end."""
    if claim.last_attempt:
        return Ended(outcome=Outcome.DEAD, code=code, error=f"{error} (attempt {claim.attempt}, the last)")
    pause = kind.backoff(claim.attempt) if kind else full_jitter(claim.attempt)
    return Ended(outcome=Outcome.REQUEUED, code=code, error=error, delay_seconds=pause)


def _count(claim: Claim, name: str, ended: Ended, seconds: float) -> None:
    metrics.SECONDS.labels(claim.queue, name, ended.outcome.value).observe(seconds)
    if ended.code:
        ERRORS.labels("worker", ended.code).inc()
    if ended.outcome is Outcome.SUCCEEDED:
        metrics.SUCCEEDED.labels(claim.queue, name).inc()
    elif ended.outcome is Outcome.DEAD:
        metrics.FAILED.labels(claim.queue, name, ended.code).inc()
    elif ended.outcome is Outcome.LOST:
        metrics.ZOMBIES.labels(claim.queue, name).inc()
    else:
        metrics.REQUEUED.labels(claim.queue, name, ended.code).inc()
