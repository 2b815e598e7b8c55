"""The aggregator as a part: what runs, made from explicit dependencies, alone or within the single pod."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette

from kura.aggregator.config import AggregatorSettings
from kura.aggregator.engine import Engines
from kura.aggregator.memory import give_freed_memory_back
from kura.aggregator.pipelines.openshift import Resources
from kura.aggregator.runner import Runner
from kura.aggregator.servicer import AggregatorServicer
from kura.core.errors import KuraError
from kura.core.http import build_app
from kura.store.database import Database
from kura.store.objects import ObjectStore


@dataclass(frozen=True, kw_only=True)
class Aggregator:
    """`servicer` answers the contract, over gRPC or called directly; `close` ends running work."""

    servicer: AggregatorServicer
    runner: Runner
    database: Database
    objects: ObjectStore
    engines: Engines
    warming: asyncio.Task[None]

    async def ready(self) -> dict[str, str | None]:
        """What is wrong with each store; None where nothing is."""
        return {
            "database": await _complaint(self.database.ping),
            "objects": await _complaint(self.objects.ping),
        }

    async def close(self) -> None:
        await self.runner.close()
        await self.warming
        self.engines.close()


def _warm_up(database: Database, engines: Engines) -> None:
    """Open what the first run needs, so that it need not wait for it; a store that is away is met by that run."""
    with suppress(KuraError), engines.lend(), database.adbc():
        pass


async def _complaint(ping: Callable[[], None]) -> str | None:
    try:
        await asyncio.to_thread(ping)
    except KuraError as error:
        return str(error)
    return None


def build_aggregator(*, database: Database, objects: ObjectStore, settings: AggregatorSettings) -> Aggregator:
    """Make the aggregator; call it inside the event loop that will run it."""
    give_freed_memory_back()
    limits = settings.engine_limits()
    Path(limits.spill_directory).mkdir(parents=True, exist_ok=True)
    runner = Runner(at_once=settings.runs_at_once, waiting=settings.runs_waiting)
    engines = Engines(limits)
    resources = Resources(database=database, objects=objects, engines=engines)
    return Aggregator(
        servicer=AggregatorServicer(runner=runner, resources=resources),
        runner=runner,
        database=database,
        objects=objects,
        engines=engines,
        warming=asyncio.create_task(asyncio.to_thread(_warm_up, database, engines), name="warm up"),
    )


def build_probes(aggregator: Aggregator) -> Starlette:
    """The HTTP side: probes and metrics."""
    return build_app(service="aggregator", routes=[], ready=aggregator.ready)
