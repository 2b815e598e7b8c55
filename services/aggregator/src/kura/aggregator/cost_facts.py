"""What a cost model says for one month, as the cost steps need it (cost-models §1, §4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final
from uuid import UUID

import pyarrow as pa
from sqlalchemy import Connection, select

from kura.aggregator.metrics import BY_NAME, COST_TYPES, METRICS, USAGE_METRICS, Family
from kura.aggregator.store import Facts, read_facts
from kura.core.days import DayRange
from kura.core.errors import InvalidData
from kura.store.database import Database
from kura.store.tables import tenant

PLATFORM: Final = "Platform"
CPU: Final = "cpu"
MEMORY: Final = "memory"

TIERED_SCHEMA: Final = pa.schema(
    [
        ("metric", pa.string()),
        ("cost_type", pa.string()),
        ("rate", pa.float64()),
        ("rate_id", pa.binary()),
        ("custom_name", pa.string()),
    ]
)
TAG_SCHEMA: Final = pa.schema(
    [
        ("metric", pa.string()),
        ("cost_type", pa.string()),
        ("tag_key", pa.string()),
        ("tag_value", pa.string()),
        ("rate", pa.float64()),
        ("is_default", pa.bool_()),
        ("rate_id", pa.binary()),
        ("custom_name", pa.string()),
    ]
)
MONTHLY_SCHEMA: Final = pa.schema(
    [
        ("metric", pa.string()),
        ("monthly_cost_type", pa.string()),
        ("cost_type", pa.string()),
        ("rate", pa.float64()),
    ]
)
TOTALS_SCHEMA: Final = pa.schema([("metric", pa.string()), ("cost_type", pa.string()), ("rate", pa.float64())])
USAGE_SCHEMA: Final = pa.schema([("cost_type", pa.string()), *((name, pa.float64()) for name in USAGE_METRICS)])


@dataclass(frozen=True, kw_only=True)
class TieredRate:
    """A rate without a tag key; of several tiers the first (Q11)."""

    metric: str
    cost_type: str
    rate: float
    rate_id: UUID | None = None
    custom_name: str = ""


@dataclass(frozen=True, kw_only=True)
class TagRate:
    """What one value of a tag key costs; the default holds for every other value of the key too."""

    metric: str
    cost_type: str
    tag_key: str
    tag_value: str
    rate: float
    is_default: bool = False
    rate_id: UUID | None = None
    custom_name: str = ""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The rates that hold in a month."""

    price_list_id: UUID | None = None
    tiered: tuple[TieredRate, ...] = ()
    tags: tuple[TagRate, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tiered or self.tags)

    def families(self) -> set[Family]:
        """The families of metrics that have a rate."""
        return {BY_NAME[name].family for name in (*(r.metric for r in self.tiered), *(r.metric for r in self.tags))}

    def tiered_table(self) -> pa.Table:
        return _table(TIERED_SCHEMA, self.tiered)

    def tag_table(self, families: Iterable[Family] = tuple(Family)) -> pa.Table:
        wanted = set(families)
        return _table(TAG_SCHEMA, (rate for rate in self.tags if BY_NAME[rate.metric].family in wanted))

    def totals(self) -> dict[tuple[str, str], float]:
        """Several rates of one metric and cost type are added together (§4.3)."""
        totals: dict[tuple[str, str], float] = {}
        for rate in self.tiered:
            totals[rate.metric, rate.cost_type] = totals.get((rate.metric, rate.cost_type), 0.0) + rate.rate
        return totals

    def totals_table(self, family: Family) -> pa.Table:
        rows = [
            {"metric": metric, "cost_type": cost_type, "rate": rate}
            for (metric, cost_type), rate in self.totals().items()
            if BY_NAME[metric].family is family
        ]
        return pa.Table.from_pylist(rows, schema=TOTALS_SCHEMA)

    def usage_table(self) -> pa.Table:
        """A row per cost type that prices any usage metric, a column per metric (§5)."""
        totals = self.totals()
        rows = [
            {"cost_type": cost_type, **{name: totals.get((name, cost_type), 0.0) for name in USAGE_METRICS}}
            for cost_type in COST_TYPES
            if any((name, cost_type) in totals for name in USAGE_METRICS)
        ]
        return pa.Table.from_pylist(rows, schema=USAGE_SCHEMA)

    def monthly_table(self, *families: Family) -> pa.Table:
        """One row per metric: Infrastructure if it is there and not 0, else Supplementary (§6, Q2)."""
        totals = self.totals()
        rows = []
        for metric in METRICS:
            if metric.family not in families:
                continue
            chosen = next(((name, rate) for name in COST_TYPES if (rate := totals.get((metric.name, name)))), None)
            if chosen is not None:
                cost_type, rate = chosen
                rows.append(
                    {
                        "metric": metric.name,
                        "monthly_cost_type": metric.monthly_cost_type,
                        "cost_type": cost_type,
                        "rate": rate,
                    }
                )
        return pa.Table.from_pylist(rows, schema=MONTHLY_SCHEMA)


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """What is handed on to projects, and by which measure (§10). The defaults hold without a cost model."""

    weight: str = CPU
    platform: bool = False
    worker: bool = False
    storage: bool = True
    network: bool = True
    gpu: bool = False


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """Everything a cost model says about one source and month."""

    uuid: UUID | None = None
    rates: Rates = Rates()
    markup: float | None = None
    """Factor on raw cost; None where none is given, so that stored markup stays (Q8)."""
    distribution: Distribution = Distribution()


@dataclass(frozen=True, kw_only=True)
class CostFacts:
    """Everything that is read from the database before costs are computed."""

    summary: Facts
    model: CostModel
    platform_category: int | None


def read_cost_facts(database: Database, *, schema: str, provider_uuid: UUID, days: DayRange) -> CostFacts | None:
    """The facts of one run; None when the month has no report period."""
    summary = read_facts(database, schema=schema, provider_uuid=provider_uuid, days=days)
    if summary is None:
        return None
    with database.tenant(schema, snapshot=True) as connection:
        return with_model(
            summary,
            model=read_cost_model(connection, provider_uuid=provider_uuid, billing_date=days.start),
            platform_category=_platform_category(connection),
        )


def with_model(summary: Facts, *, model: CostModel, platform_category: int | None) -> CostFacts:
    """Facts under a cost model: what it says about GPUs and weights holds for the UI tables too."""
    has_gpu_rate = Family.GPU in model.rates.families()
    cluster = replace(summary.cluster, cost_model_distribution=model.distribution.weight, has_gpu_rate=has_gpu_rate)
    return CostFacts(summary=replace(summary, cluster=cluster), model=model, platform_category=platform_category)


def read_cost_model(connection: Connection, *, provider_uuid: UUID, billing_date: date) -> CostModel:
    """The model of a source with the rates that hold on a day (§4); an empty one when it has none."""
    models, mapped = tenant.COST_MODEL.c, tenant.COST_MODEL_MAP.c
    row = connection.execute(
        select(models.uuid, models.markup, models.distribution_info)
        .where(mapped.provider_uuid == provider_uuid, mapped.cost_model_id == models.uuid)
        .order_by(mapped.id)
    ).first()
    if row is None:
        return CostModel()
    return CostModel(
        uuid=row.uuid,
        rates=_effective_rates(connection, model=row.uuid, billing_date=billing_date),
        markup=markup_of(row.markup),
        distribution=distribution_of(row.distribution_info),
    )


def _effective_rates(connection: Connection, *, model: UUID, billing_date: date) -> Rates:
    """Of the model's price lists that hold on the day, the one with the lowest priority number (§4.2).

    A disabled list that is still attached holds too.
    """
    lists, linked = tenant.PRICE_LIST.c, tenant.PRICE_LIST_COST_MODEL_MAP.c
    found = connection.execute(
        select(lists.uuid, lists.rates)
        .where(
            linked.cost_model_id == model,
            linked.price_list_id == lists.uuid,
            lists.effective_start_date <= billing_date,
            lists.effective_end_date >= billing_date,
        )
        .order_by(linked.priority, linked.id)
    ).first()
    if found is None:
        return Rates()
    rates = tenant.COST_MODEL_RATE.c
    rows = connection.execute(
        select(rates.uuid, rates.metric, rates.cost_type, rates.default_rate, rates.custom_name)
        .where(rates.price_list_id == found.uuid, rates.tag_key == "")
        .order_by(rates.metric, rates.custom_name)
    )
    return Rates(
        price_list_id=found.uuid,
        tiered=tuple(
            TieredRate(
                metric=row.metric,
                cost_type=row.cost_type,
                rate=float(row.default_rate or 0),
                rate_id=row.uuid,
                custom_name=row.custom_name,
            )
            for row in rows
            if row.metric in BY_NAME
        ),
        tags=tag_rates_of(found.rates),
    )


def _platform_category(connection: Connection) -> int | None:
    categories = tenant.COST_CATEGORY.c
    found: int | None = connection.scalar(select(categories.id).where(categories.name == PLATFORM))
    return found


# ------------------------------------------------------------------------------------------------------ JSON documents


def model_of(document: Mapping[str, Any]) -> CostModel:
    """A cost model from its JSON: rates, markup, distribution_info, as a client sends them."""
    rates = document.get("rates") or []
    return CostModel(
        rates=Rates(tiered=tiered_rates_of(rates), tags=tag_rates_of(rates)),
        markup=markup_of(document.get("markup") or {}),
        distribution=distribution_of(document.get("distribution_info") or {}),
    )


def priced_on(document: Mapping[str, Any], day: date) -> Mapping[str, Any]:
    """The same document with the rates that hold on a day: of its price lists, those of the first that covers it.

    Without price lists its rates hold always.
    """
    lists = document.get("price_lists")
    if not lists:
        return document
    text = day.isoformat()
    holding = (item for item in lists if item["effective_start_date"] <= text <= item["effective_end_date"])
    leading: Mapping[str, Any] = next(holding, {})
    return {**document, "rates": leading.get("rates")}


def markup_of(document: Mapping[str, Any]) -> float | None:
    value = document.get("value")
    return None if value in (None, "") else _number(value) / 100


def distribution_of(document: Mapping[str, Any]) -> Distribution:
    """A key that is absent keeps the default that holds without a model."""
    usual = Distribution()
    return Distribution(
        weight=document.get("distribution_type") or usual.weight,
        platform=bool(document.get("platform_cost", usual.platform)),
        worker=bool(document.get("worker_cost", usual.worker)),
        storage=bool(document.get("storage_unattributed", usual.storage)),
        network=bool(document.get("network_unattributed", usual.network)),
        gpu=bool(document.get("gpu_unallocated", usual.gpu)),
    )


def tiered_rates_of(documents: Iterable[Mapping[str, Any]]) -> tuple[TieredRate, ...]:
    """The first tier of every rate with tiers."""
    return tuple(
        TieredRate(
            metric=metric,
            cost_type=_cost_type(document, metric),
            rate=_number(tiers[0].get("value") or 0),
            rate_id=_uuid(document),
            custom_name=document.get("custom_name") or "",
        )
        for document in documents
        if (tiers := document.get("tiered_rates")) and (metric := _metric(document))
    )


def tag_rates_of(documents: Any) -> tuple[TagRate, ...]:
    """Every value of every rate with tags (§4.4)."""
    if not isinstance(documents, list):
        return ()
    return tuple(
        TagRate(
            metric=metric,
            cost_type=_cost_type(document, metric),
            tag_key=tags["tag_key"],
            tag_value=value["tag_value"],
            rate=_number(value.get("value") or 0),
            is_default=bool(value.get("default")),
            rate_id=_uuid(document),
            custom_name=document.get("custom_name") or "",
        )
        for document in documents
        if (tags := document.get("tag_rates")) and (metric := _metric(document))
        for value in tags.get("tag_values") or ()
    )


def _metric(document: Mapping[str, Any]) -> str | None:
    name = (document.get("metric") or {}).get("name")
    return name if name in BY_NAME else None


def _cost_type(document: Mapping[str, Any], metric: str) -> str:
    given = str(document.get("cost_type") or "").capitalize()
    return given if given in COST_TYPES else BY_NAME[metric].default_cost_type


def _uuid(document: Mapping[str, Any]) -> UUID | None:
    try:
        return UUID(str(document.get("rate_id")))
    except ValueError:
        return None


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InvalidData(f"A rate or markup is not a number: {value!r}.") from error


def _table(schema: pa.Schema, rates: Iterable[TieredRate | TagRate]) -> pa.Table:
    rows = [{**vars(rate), "rate_id": rate.rate_id.bytes if rate.rate_id else None} for rate in rates]
    return pa.Table.from_pylist(rows, schema=schema)
