"""The read gateway's application, built from what it needs; alone and inside the single process the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import date

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from kura.api_reads.cache import ViewCache
from kura.api_reads.config import ReportSettings
from kura.api_reads.endpoints import Endpoint
from kura.api_reads.gateway import Gateway
from kura.api_reads.http import routes_of
from kura.api_reads.openapi import openapi_route
from kura.api_reads.reports.reporting import Rules
from kura.api_reads.routes import status
from kura.api_reads.routes.account import account_endpoints, settings_routes
from kura.api_reads.routes.cost_models import cost_model_endpoints
from kura.api_reads.routes.explain import explain_endpoints
from kura.api_reads.routes.forecasts import forecast_endpoints
from kura.api_reads.routes.reports import report_endpoints
from kura.api_reads.routes.resource_types import resource_type_endpoints
from kura.api_reads.routes.settings import settings_endpoints
from kura.api_reads.routes.sources import SOURCE_PARAMETERS, SourceReads
from kura.api_reads.routes.tags import tag_endpoints
from kura.api_reads.routes.uploads import UPLOAD_PARAMETERS, UploadReads
from kura.core import days
from kura.core.errors import KuraError
from kura.core.http import build_app as build_http_app
from kura.core.http import is_open_path
from kura.core.identity import IdentityProvider
from kura.store.database import Database


def endpoints() -> list[Endpoint]:
    """Every address the gateway declares."""
    return [
        *report_endpoints(),
        *tag_endpoints(),
        *forecast_endpoints(),
        *resource_type_endpoints(),
        *account_endpoints(),
        *settings_endpoints(),
        *cost_model_endpoints(),
        *explain_endpoints(),
    ]


def build_gateway(
    *,
    reader: Database,
    primary: Database | None = None,
    reports: ReportSettings | None = None,
    schema_suffix: str = "",
    today: Callable[[], date] = days.today,
) -> Gateway:
    """What answers questions, for the HTTP and the gRPC door. Without `primary` the reader serves both."""
    reports = reports or ReportSettings()
    return Gateway(
        reader=reader,
        primary=primary or reader,
        cache=ViewCache(most_bytes=reports.report_cache_bytes),
        rules=Rules(
            max_groups=reports.report_max_groups,
            work_megabytes=reports.report_work_megabytes,
            statement_seconds=reports.report_seconds,
            retention_months=reports.retain_months,
            tag_enabled_limit=reports.tag_enabled_limit,
        ),
        today=today,
        schema_suffix=schema_suffix,
    )


def build_app(
    *,
    gateway: Gateway,
    identity: IdentityProvider,
    more_routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """All addresses that only read."""
    declared = endpoints()
    others = [
        *status.routes(),
        *SourceReads(primary=gateway.primary).routes(),
        *UploadReads(primary=gateway.primary).routes(),
        *more_routes,
    ]
    described = openapi_route(declared, others, {**SOURCE_PARAMETERS, **UPLOAD_PARAMETERS})
    routes = [described, *settings_routes(), *routes_of(declared, gateway), *others]

    async def ready() -> Mapping[str, str | None]:
        return {"database": await asyncio.to_thread(_trouble, gateway.reader)}

    return build_http_app(service="api-reads", routes=routes, ready=ready, identity=identity, is_open=is_open_path)


def _trouble(database: Database) -> str | None:
    """What is wrong with the database, in words; None when nothing is."""
    try:
        database.ping()
    except KuraError as error:
        return str(error) or type(error).__name__
    return None
