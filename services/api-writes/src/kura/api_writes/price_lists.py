"""Create, change and delete price lists (write-api §7). Functions take a tenant's connection with the lock held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from kura.api_writes.costs_lock import Tenant
from kura.api_writes.fields import Problems, date_of, read_text
from kura.api_writes.rates import Rate, default_rate_of, meaning_of, read_rates, with_names
from kura.core.cost_metrics import COST_METRICS
from kura.core.days import Month
from kura.core.errors import ValidationErrors
from kura.store.cost_models import assigned_cost_models, led_cost_models, linked_sources
from kura.store.tables.tenant import COST_MODEL, COST_MODEL_RATE, PRICE_LIST

LONGEST_NAME: Final = 255
LONGEST_DESCRIPTION: Final = 1000
FIRST_DAY: Final = date(2026, 3, 1)
LAST_DAY: Final = date(2099, 12, 31)
"""What a price list made from a cost model's rates covers."""


@dataclass(frozen=True, kw_only=True)
class PriceListRequest:
    """What a valid body says; None where it says nothing."""

    name: str | None
    description: str | None
    currency: str | None
    start: date | None
    end: date | None
    enabled: bool | None
    rates: Sequence[Rate] | None


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A price list after a write, and the sources whose costs change with it."""

    uuid: UUID
    sources: frozenset[UUID] = frozenset()


# ------------------------------------------------------------------------------------------------------------- reading


def read_price_list(body: Mapping[str, Any], tenant: Tenant, *, existing: Row[Any] | None = None) -> PriceListRequest:
    """A request body checked against every rule; ValidationErrors names all problems at once."""
    problems = Problems()
    creating = existing is None
    name = description = None
    if creating or "name" in body:
        name = read_text(body, "name", problems, where="name", longest=LONGEST_NAME, blank=False)
    if body.get("description") is not None:
        description = read_text(body, "description", problems, where="description", longest=LONGEST_DESCRIPTION)
    currency = _read_currency(body, tenant, problems, existing=existing)
    start, end = _read_dates(body, problems, existing=existing)
    enabled = body.get("enabled")
    if enabled is not None and not isinstance(enabled, bool):
        problems.add("enabled", "Must be true or false.")
    rates = None
    if body.get("rates") is not None:
        rates = read_rates(body["rates"], problems, currency=currency)
    problems.refuse()
    request = PriceListRequest(
        name=name,
        description=description,
        currency=currency,
        start=start,
        end=end,
        enabled=enabled,
        rates=rates,
    )
    if existing is not None:
        _check_disabled(request, existing)
    return request


def _read_currency(body: Mapping[str, Any], tenant: Tenant, problems: Problems, *, existing: Row[Any] | None) -> str:
    given = body.get("currency")
    if existing is not None:
        if given is not None and given != existing.currency:
            problems.add("currency", "The currency of a price list cannot change.")
        return str(existing.currency)
    return tenant.read_currency(given, problems)


def _read_dates(
    body: Mapping[str, Any], problems: Problems, *, existing: Row[Any] | None
) -> tuple[date | None, date | None]:
    """Start and end after the change."""
    found: dict[str, date | None] = {}
    for name in ("effective_start_date", "effective_end_date"):
        given = body.get(name)
        if given is None and existing is not None:
            found[name] = getattr(existing, name)
            continue
        found[name] = date_of(given)
        if found[name] is None:
            problems.add(name, "A day as YYYY-MM-DD is required.")
    start, end = found["effective_start_date"], found["effective_end_date"]
    if start is not None and start.day != 1:
        problems.add("effective_start_date", "Must be the first day of a month.")
    if end is not None and end != Month.of(end).last:
        problems.add("effective_end_date", "Must be the last day of a month.")
    if start is not None and end is not None and end < start:
        problems.add("effective_end_date", "May not be before effective_start_date.")
    return start, end


def _check_disabled(request: PriceListRequest, existing: Row[Any]) -> None:
    """Of a disabled list only name, description and enabled may change, unless the request enables it."""
    if existing.enabled or request.enabled:
        return
    refused = []
    if request.start != existing.effective_start_date:
        refused.append("effective_start_date")
    if request.end != existing.effective_end_date:
        refused.append("effective_end_date")
    if request.rates is not None and meaning_of(request.rates) != meaning_of(existing.rates):
        refused.append("rates")
    if refused:
        raise ValidationErrors([(field, "Cannot change while the price list is disabled.") for field in refused])


# ------------------------------------------------------------------------------------------------------------- writing


def create_price_list(connection: Connection, request: PriceListRequest) -> Changed:
    rates = list(request.rates or [])
    key = insert_price_list(
        connection,
        name=request.name or "",
        description=request.description or "",
        currency=request.currency or "",
        start=request.start or FIRST_DAY,
        end=request.end or LAST_DAY,
        enabled=request.enabled is not False,
        rates=rates,
    )
    return Changed(uuid=key)


def update_price_list(connection: Connection, *, existing: Row[Any], request: PriceListRequest, today: date) -> Changed:
    """Absent fields keep their value; a new version, and new costs, where rates or dates change."""
    values: dict[str, Any] = {
        "name": request.name,
        "description": request.description,
        "effective_start_date": request.start,
        "effective_end_date": request.end,
        "enabled": request.enabled,
    }
    values = {name: value for name, value in values.items() if value is not None}
    dates_change = (request.start, request.end) != (existing.effective_start_date, existing.effective_end_date)
    connection.execute(
        update(PRICE_LIST).where(PRICE_LIST.c.uuid == existing.uuid).values(updated_timestamp=func.now(), **values)
    )
    rates_change = False
    if request.rates is not None:
        rates_change = replace_rates(connection, existing=existing, rates=request.rates)
    if dates_change and not rates_change:
        next_version(connection, existing.uuid)
    if not (dates_change or rates_change):
        return Changed(uuid=existing.uuid)
    covers = covers_month(existing.effective_start_date, existing.effective_end_date, today) or covers_month(
        request.start, request.end, today
    )
    sources = linked_sources(connection, existing.uuid) if covers else set()
    return Changed(uuid=existing.uuid, sources=frozenset(sources))


def delete_price_list(connection: Connection, *, existing: Row[Any]) -> None:
    """ValidationErrors while any cost model uses the list."""
    models = assigned_cost_models(connection, [existing.uuid]).get(existing.uuid, [])
    if models:
        names = ", ".join(model["name"] for model in models[:10])
        counted = f"{len(models)} cost model" + ("s" if len(models) > 1 else "")
        raise ValidationErrors([("price-lists", f"The price list is assigned to {counted}: {names}.")])
    connection.execute(delete(PRICE_LIST).where(PRICE_LIST.c.uuid == existing.uuid))


def duplicate_price_list(connection: Connection, *, existing: Row[Any]) -> Changed:
    """An enabled copy that no cost model uses."""
    rates = [{name: value for name, value in rate.items() if name != "rate_id"} for rate in existing.rates]
    key = insert_price_list(
        connection,
        name=f"Copy of {existing.name}"[:LONGEST_NAME],
        description=existing.description,
        currency=existing.currency,
        start=existing.effective_start_date,
        end=existing.effective_end_date,
        enabled=True,
        rates=rates,
    )
    return Changed(uuid=key)


def insert_price_list(
    connection: Connection,
    *,
    name: str,
    description: str = "",
    currency: str,
    start: date = FIRST_DAY,
    end: date = LAST_DAY,
    enabled: bool = True,
    rates: Sequence[Rate],
) -> UUID:
    key = uuid4()
    connection.execute(
        insert(PRICE_LIST).values(
            uuid=key,
            name=name,
            description=description,
            currency=currency,
            effective_start_date=start,
            effective_end_date=end,
            enabled=enabled,
            version=1,
            rates=[],
        )
    )
    sync_rates(connection, price_list=key, rates=rates)
    return key


def replace_rates(connection: Connection, *, existing: Row[Any], rates: Sequence[Rate]) -> bool:
    """Sync the rates of a list; whether they mean something else than before, which makes a new version.

    The cost models that the list leads mirror them.
    """
    stored = sync_rates(connection, price_list=existing.uuid, rates=rates)
    connection.execute(
        update(COST_MODEL)
        .where(COST_MODEL.c.uuid.in_(led_cost_models(connection, existing.uuid)), COST_MODEL.c.rates != stored)
        .values(rates=stored, updated_timestamp=func.now())
    )
    changed = meaning_of(rates) != meaning_of(existing.rates)
    if changed:
        next_version(connection, existing.uuid)
    return changed


def sync_rates(connection: Connection, *, price_list: UUID, rates: Sequence[Rate]) -> list[Rate]:
    """Make the list's rate rows and its JSON say the same; the rates with their ids.

    A rate whose custom_name is there already keeps its row. Order: delete, update, create (write-api §6).
    """
    rows = COST_MODEL_RATE.c
    named = with_names(rates)
    known: dict[str, UUID] = {
        row.custom_name: row.uuid
        for row in connection.execute(select(rows.uuid, rows.custom_name).where(rows.price_list_id == price_list))
    }
    names = {rate["custom_name"] for rate in named}
    gone = [key for name, key in known.items() if name not in names]
    if gone:
        connection.execute(delete(COST_MODEL_RATE).where(rows.uuid.in_(gone)))
    stored = [{**rate, "rate_id": str(known.get(rate["custom_name"], uuid4()))} for rate in named]
    for rate in stored:
        if rate["custom_name"] in known:
            connection.execute(
                update(COST_MODEL_RATE)
                .where(rows.uuid == UUID(rate["rate_id"]))
                .values(updated_timestamp=func.now(), **_rate_row(rate))
            )
    created = [
        {"uuid": UUID(rate["rate_id"]), "price_list_id": price_list, **_rate_row(rate)}
        for rate in stored
        if rate["custom_name"] not in known
    ]
    if created:
        connection.execute(insert(COST_MODEL_RATE), created)
    connection.execute(
        update(PRICE_LIST).where(PRICE_LIST.c.uuid == price_list).values(rates=stored, updated_timestamp=func.now())
    )
    return stored


def next_version(connection: Connection, price_list: UUID) -> None:
    connection.execute(
        update(PRICE_LIST).where(PRICE_LIST.c.uuid == price_list).values(version=PRICE_LIST.c.version + 1)
    )


def covers_month(start: date | None, end: date | None, day: date) -> bool:
    """Whether a list from `start` to `end` holds on any day of the month of `day`."""
    month = Month.of(day)
    return start is not None and end is not None and start <= month.last and end >= month.first


def _rate_row(rate: Rate) -> dict[str, Any]:
    metric = COST_METRICS[rate["metric"]["name"]]
    tags = rate.get("tag_rates") or {}
    return {
        "custom_name": rate["custom_name"],
        "description": rate["description"],
        "metric": metric.metric,
        "metric_type": metric.metric_type,
        "cost_type": rate["cost_type"],
        "default_rate": default_rate_of(rate),
        "tag_key": tags.get("tag_key", ""),
        "tag_values": tags.get("tag_values", []),
    }
