"""The write gateway's application, built from what it needs; alone and inside the single process the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from kura.api_writes.config import CostModelSettings, TenantLimits, UploadSettings
from kura.api_writes.cost_edits import CostEdits
from kura.api_writes.preview import CostPreviewer
from kura.api_writes.receiving import Limits
from kura.api_writes.routes.cost_models import CostModelWrites
from kura.api_writes.routes.currencies import CurrencyWrites
from kura.api_writes.routes.ingress import INGRESS_PREFIXES, Ingress
from kura.api_writes.routes.read_only import read_only_routes
from kura.api_writes.routes.settings import SettingsWrites
from kura.api_writes.routes.sources import SourceWrites
from kura.core.config import TenantSettings
from kura.core.errors import KuraError
from kura.core.http import build_app as build_http_app
from kura.core.http import is_open_path
from kura.core.identity import IdentityProvider
from kura.core.telemetry import get_logger
from kura.store.database import Database
from kura.store.objects import ObjectStore

log = get_logger(__name__)


def build_cost_edits(
    *,
    database: Database,
    sources: TenantSettings | None = None,
    cost_models: CostModelSettings | None = None,
    aggregator: CostPreviewer | None = None,
) -> CostEdits:
    """Changes of cost models and price lists, for HTTP and gRPC."""
    return CostEdits(
        database=database,
        schema_suffix=(sources or TenantSettings()).schema_suffix,
        edit_delay_seconds=(cost_models or CostModelSettings()).cost_edit_delay_seconds,
        aggregator=aggregator,
    )


def build_app(
    *,
    database: Database,
    objects: ObjectStore,
    identity: IdentityProvider,
    uploads: UploadSettings | None = None,
    sources: TenantSettings | None = None,
    limits: TenantLimits | None = None,
    cost_edits: CostEdits | None = None,
    more_routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """All routes that change something, and the upload address with its GETs."""
    uploads = uploads or UploadSettings()
    sources = sources or TenantSettings()
    limits = limits or TenantLimits()
    cost_edits = cost_edits or build_cost_edits(database=database, sources=sources)
    writers = ThreadPoolExecutor(uploads.upload_writers, thread_name_prefix="upload")
    ingress = Ingress(
        database=database,
        objects=objects,
        identity=identity,
        limits=Limits(
            file_bytes=uploads.upload_max_bytes,
            total_seconds=uploads.upload_seconds,
            idle_seconds=uploads.upload_idle_seconds,
        ),
        writers=writers,
        schema_suffix=sources.schema_suffix,
    )
    source_writes = SourceWrites(database=database, schema_suffix=sources.schema_suffix)
    settings_writes = SettingsWrites(
        database=database,
        tag_enabled_limit=limits.tag_enabled_limit,
        retention_is_fixed=limits.retain_override is not None,
        schema_suffix=sources.schema_suffix,
    )

    async def ready() -> Mapping[str, str | None]:
        checks = {"database": database.ping, "object_store": objects.ping}
        outcomes = await asyncio.gather(*(asyncio.to_thread(_trouble, check) for check in checks.values()))
        return dict(zip(checks, outcomes, strict=True))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        writers.shutdown(wait=True)

    return build_http_app(
        service="api-writes",
        routes=[
            *ingress.routes(),
            *source_writes.routes(),
            *settings_writes.routes(),
            *CurrencyWrites(database=database, schema_suffix=sources.schema_suffix).routes(),
            *CostModelWrites(cost_edits).routes(),
            *read_only_routes(),
            *more_routes,
        ],
        ready=ready,
        identity=identity,
        is_open=is_open,
        lifespan=lifespan,
    )


def is_open(path: str) -> bool:
    """Paths that need no API identity: probes of the gateway, and the upload address, which reads identity itself."""
    return path in ("/", "/api/ingress/ready") or is_open_path(path) or path.startswith(INGRESS_PREFIXES)


def _trouble(check: Callable[[], object]) -> str | None:
    """What is wrong with a dependency, in words; None when nothing is."""
    try:
        check()
    except (KuraError, OSError) as error:
        return str(error) or type(error).__name__
    return None
