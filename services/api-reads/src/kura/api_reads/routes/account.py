"""Small lists and the caller's own settings and rights (read-api §8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from grpc import StatusCode
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from kura.api_reads.access import require
from kura.api_reads.endpoints import PAGING, Described, Endpoint, Freshness, Question
from kura.api_reads.facts import read_facts
from kura.api_reads.links import links_between
from kura.api_reads.reports.reporting import DEFAULT_RETENTION_MONTHS
from kura.core.cost_metrics import COST_METRICS, SOURCE_TYPE_NAMES
from kura.core.currencies import CURRENCIES
from kura.core.errors import NotFound, ParameterErrors
from kura.core.http import API_PREFIX
from kura.core.identity import WRITABLE_TYPES, Identity
from kura.store.currencies import described
from kura.store.exchange_rates import read_dictionary

DEFAULT_LIMIT = 10
STANDARD_MOST = 1000
MIN_RETENTION_MONTHS, MAX_RETENTION_MONTHS = 3, 120

COST_TYPES: tuple[dict[str, str], ...] = (
    {"code": "unblended_cost", "name": "Unblended", "description": "Usage cost on the day you are charged"},
    {
        "code": "calculated_amortized_cost",
        "name": "Amortized",
        "description": "Recurring and/or upfront costs are distributed evenly across the month",
    },
    {
        "code": "blended_cost",
        "name": "Blended",
        "description": "Using a blended rate to calculate cost usage",
    },
)

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "aws": ("aws.account", "aws.organizational_unit"),
    "azure": ("azure.subscription_guid",),
    "gcp": ("gcp.account", "gcp.project"),
    "ocp": ("openshift.cluster", "openshift.node", "openshift.project"),
    "cost_model": ("cost_model",),
    "settings": ("settings",),
}
ACCESS_TYPES: Mapping[str, tuple[str, ...]] = {
    **FAMILIES,
    "any": tuple(kind for kinds in FAMILIES.values() for kind in kinds),
}


def account_endpoints() -> list[Endpoint]:
    return [
        Endpoint(
            path="currency/", summary="Currencies costs can be shown in.", view=currencies, permit=anyone,
            parameters=PAGING, primary=True,
        ),
        Endpoint(
            path="exchange-rates/", summary="Rates between currencies.", view=exchange_rates, permit=anyone,
            without_tenant=True,
        ),
        Endpoint(
            path="cost-type/", summary="Kinds of cloud cost.", view=cost_types, permit=anyone,
            freshness=Freshness.NEVER, parameters=PAGING, without_tenant=True,
        ),
        Endpoint(
            path="metrics/", summary="What a cost model can price.", view=metrics, permit=anyone,
            parameters=(*PAGING, Described(name="source_type", text="Code of a source type, for example OCP.")),
            without_tenant=True,
        ),
        Endpoint(
            path="user-access/", summary="What the caller may see and change.", view=user_access, permit=anyone,
            parameters=(*PAGING, Described(name="type", text="One family.", choices=tuple(ACCESS_TYPES))),
            without_access=True, without_tenant=True,
        ),
        Endpoint(
            path="account-settings/", summary="Settings of the organisation.", view=account_settings,
            permit=settings_reader, primary=True,
        ),
        Endpoint(
            path="account-settings/data-retention/", summary="How long data is kept.", view=data_retention,
            permit=settings_reader, primary=True,
        ),
        Endpoint(
            path="account-settings/{name}/", summary="One setting of the organisation.", view=account_settings,
            permit=settings_reader, primary=True,
        ),
    ]  # fmt: skip


def settings_routes() -> list[BaseRoute]:
    """The settings root exists only to send clients on."""

    async def moved(request: Request) -> Response:
        return RedirectResponse(f"{API_PREFIX}/settings/tags/", status_code=301)

    return [Route(f"{API_PREFIX}/settings{slash}", moved, methods=["GET"]) for slash in ("/", "")]


def anyone(identity: Identity) -> None:
    """Every identified caller."""


def settings_reader(identity: Identity) -> None:
    require(identity, "settings")


class NoExchangeRates(ParameterErrors):
    """No exchange rates are loaded; answered as a bare map."""

    code, http, grpc = "no_exchange_rates", 404, StatusCode.NOT_FOUND


# ----------------------------------------------------------------------------------------------------------- pages


def listed(items: Sequence[Any], question: Question) -> dict[str, Any]:
    """A page whose `meta.limit` never exceeds the number of items (read-api §1.6, list)."""
    limit, offset = _bounds(question)
    return _page(items, question, limit=min(limit, len(items)), offset=offset)


def standard(items: Sequence[Any], question: Question) -> dict[str, Any]:
    """A page of the standard paginator (read-api §1.6)."""
    limit, offset = _bounds(question)
    return _page(items, question, limit=min(limit, STANDARD_MOST), offset=offset)


def _page(items: Sequence[Any], question: Question, *, limit: int, offset: int) -> dict[str, Any]:
    return {
        "meta": {"count": len(items), "limit": limit, "offset": offset},
        "links": links_between(question.path, question.query.pairs, limit=limit, offset=offset, count=len(items)),
        "data": list(items[offset : offset + limit]),
    }


def _bounds(question: Question) -> tuple[int, int]:
    def number(name: str, fallback: int, least: int) -> int:
        text = _text(question, name) or ""
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else fallback
        return value if value >= least else fallback

    return number("limit", DEFAULT_LIMIT, 1), number("offset", 0, 0)


def _text(question: Question, name: str) -> str | None:
    given = question.query.given.get(name)
    return given.texts[-1] if given is not None and given.texts else None


# ----------------------------------------------------------------------------------------------------------- views


def currencies(connection: Connection, question: Question) -> Any:
    facts = read_facts(connection)
    items = [described(CURRENCIES[code]) for code in sorted(facts.currencies) if code in CURRENCIES]
    return listed(items, question)


def exchange_rates(connection: Connection, question: Question) -> Any:
    rates = read_dictionary(connection)
    if not rates:
        raise NoExchangeRates({"detail": "No exchange rates are loaded."})
    return rates


def cost_types(connection: Connection, question: Question) -> Any:
    return listed(COST_TYPES, question)


def metrics(connection: Connection, question: Question) -> Any:
    code = _text(question, "source_type")
    items = [{"source_type": SOURCE_TYPE_NAMES["OCP"], **asdict(metric)} for metric in COST_METRICS.values()]
    return listed(items if code is None or code.upper() == "OCP" else (), question)


def user_access(connection: Connection, question: Question) -> Any:
    identity = question.identity
    wanted = _text(question, "type")
    if (_text(question, "beta") or "").lower() == "true":
        return {"data": False}
    if wanted is None:
        items = [{"type": name, **rights(identity, kinds)} for name, kinds in ACCESS_TYPES.items()]
        return standard(items, question)
    kinds = ACCESS_TYPES.get(wanted.lower())
    if kinds is None:
        raise ParameterErrors([f"Unknown source type: {wanted}"])
    found = rights(identity, kinds)
    return {"data": found["access"], **found}


def rights(identity: Identity, kinds: Sequence[str]) -> dict[str, bool]:
    """Whether the caller may read, and write, something of these types."""
    if identity.is_org_admin or any(identity.may(kind, "write") for kind in kinds if kind in WRITABLE_TYPES):
        return {"access": True, "write": True}
    return {"access": any(identity.may(kind) for kind in kinds), "write": False}


def account_settings(connection: Connection, question: Question) -> Any:
    facts = read_facts(connection)
    settings = {"currency": facts.account_currency, "cost_type": facts.cost_type}
    name = question.path_params.get("name")
    if name is not None:
        field = name.replace("-", "_")
        if field not in settings or name == "cost_type":
            raise NotFound("Invalid not a user setting")
        settings = {field: settings[field]}
    limit, offset = _bounds(question)
    return {
        "meta": {"count": 1, "limit": limit, "offset": offset},
        "links": links_between(question.path, question.query.pairs, limit=limit, offset=offset, count=1),
        "data": settings,
    }


def data_retention(connection: Connection, question: Question) -> Any:
    installed = question.rules.retention_months
    overrides = installed != DEFAULT_RETENTION_MONTHS
    months = installed if overrides else read_facts(connection).retention_months
    return {
        "data_retention_months": months,
        "env_override": overrides,
        "min_retention_months": MIN_RETENTION_MONTHS,
        "max_retention_months": MAX_RETENTION_MONTHS,
    }
