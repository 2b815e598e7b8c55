"""SQL of the measures over cells: the only interpreter of the language in `measures.py`."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Numeric, Text, case, func, literal
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import CTE, Subquery

from kura.api_reads.reports.measures import (
    Count,
    Documents,
    Efficiency,
    Formula,
    Labels,
    Largest,
    LargestName,
    Money,
    Names,
    Plus,
    Same,
    Scaled,
    Sum,
    Wasted,
    Zero,
)
from kura.api_reads.reports.plan import Plan
from kura.core.days import Month

Column = ColumnElement[Any]
Measured = Mapping[str, Formula]


class Formulas:
    """SQL of the measures over a set of cells."""

    def __init__(self, plan: Plan, measures: Measured, cells: CTE | Subquery) -> None:
        self.measures = measures
        self.cells = cells
        self.rates = plan.rates
        self.built: dict[str, Column] = {}

    def expression(self, name: str) -> Column:
        if name not in self.built:
            self.built[name] = self._of(self.measures[name])
        return self.built[name]

    def _of(self, formula: Formula) -> Column:
        c = self.cells.c
        match formula:
            case Sum():
                return self._sum(formula)
            case Scaled(of=of, divisor=divisor):
                return self._sum(of) / divisor
            case Plus(measures=names):
                first, *others = (self.expression(name) for name in names)
                for other in others:
                    first = first + other
                return first
            case Same(measure=measure):
                return self.expression(measure)
            case Zero():
                return literal(0)
            case Largest(column=column):
                return func.coalesce(func.max(c[f"max_{column}"]), 0)
            case LargestName(columns=columns):
                return func.max(func.coalesce(*(c[column] for column in columns)))
            case Count(column=column):
                return func.count(c[column].distinct())
            case Names(columns=columns):
                return _distinct(func.coalesce(*(func.nullif(c[column], "") for column in columns)))
            case Documents(fields=fields, present=present):
                parts = [part for key, column in fields for part in (literal(key), c[column])]
                return func.jsonb_agg(func.jsonb_build_object(*parts).distinct()).filter(c[present].is_not(None))
            case Labels(column=column):
                return func.jsonb_agg(c[column].distinct()).filter(c[column].is_not(None))
            case Efficiency(usage=usage, request=request):
                used, asked = self.expression(usage), self.expression(request)
                return case((asked > 0, func.round(used / func.nullif(asked, 0) * 100)), else_=0)
            case Wasted(cost=cost, usage=usage, request=request):
                used, asked = self.expression(usage), self.expression(request)
                unused = self.expression(cost) * (asked - used) / func.nullif(asked, 0)
                return case((asked > 0, func.greatest(unused, 0)), else_=0)
        raise AssertionError(formula)

    def _sum(self, formula: Sum) -> Column:
        c = self.cells.c
        columns = [c[f"sum_{name}"] for name in formula.columns]
        amount: Column = columns[0]
        if len(columns) > 1:
            amount = func.coalesce(columns[0], 0)
            for column in columns[1:]:
                amount = amount + func.coalesce(column, 0)
        factor = self._factor(formula.money)
        total: Any = func.sum(amount if factor is None else amount * factor)
        if formula.rate_type is not None:
            total = total.filter(c.cost_model_rate_type == formula.rate_type)
        return func.coalesce(total, 0)

    def _factor(self, money: Money | None) -> Column | None:
        """The exchange factor of a cell; None when it is 1 for all of them."""
        c = self.cells.c
        if money is Money.BILL and self.rates.of_bills:
            static = self.rates.static_by_bill_currency
            return self._looked_up_factor(static, self.rates.by_bill_currency, c.raw_currency)
        if money is Money.COST_MODEL and self.rates.convert_models:
            source = sql_cast(c.source_uuid, Text)
            return self._looked_up_factor(self.rates.static_by_source, self.rates.by_source, source)
        return None

    def _looked_up_factor(
        self, static: Mapping[tuple[Month, str], Decimal], current: Mapping[str, Decimal], key: Column
    ) -> Column:
        """The factor of the cell's month and key, else that of the key alone, else 1."""
        factors: list[Column] = []
        if static:
            of_cell = func.to_char(self.cells.c.bucket, "YYYY-MM")
            by_month = {f"{month} {name}": factor for (month, name), factor in static.items()}
            factors.append(_number(by_month, func.concat(of_cell, " ", key)))
        if current:
            factors.append(_number(current, key))
        return func.coalesce(*factors, 1)

    def largest_factor(self) -> Column:
        """The largest factor applied, as the CSV shows it."""
        factors = [factor for factor in (self._factor(money) for money in Money) if factor is not None]
        return func.max(func.greatest(*factors)) if factors else literal(1)

    def base_currency(self) -> Column:
        """The largest code among the currencies money is stored in."""
        c = self.cells.c
        if not self.rates.source_currencies:
            return func.max(c.raw_currency)
        of_source = _looked_up(self.rates.source_currencies, sql_cast(c.source_uuid, Text))
        return func.max(func.coalesce(of_source, c.raw_currency))

    def places(self) -> list[Column]:
        """Clusters and sources of the rows."""
        c = self.cells.c
        return [
            _distinct(func.coalesce(c.cluster_alias, c.cluster_id)).label("clusters"),
            _distinct(sql_cast(c.source_uuid, Text)).label("source_uuid"),
        ]

    def further(self) -> list[Column]:
        """What every answer has beside its measures."""
        return [
            *self.places(),
            self.base_currency().label("base_currency"),
            self.largest_factor().label("exchange_rate"),
        ]


def _looked_up(values: Mapping[str, Any], key: Column) -> Column:
    """The text a bound JSON object has under `key`; null when it has none."""
    document = orjson.dumps({name: str(value) for name, value in values.items()}).decode()
    return sql_cast(sql_cast(literal(document), JSONB)[key].astext, Text)


def _number(values: Mapping[str, Any], key: Column) -> Column:
    return sql_cast(_looked_up(values, key), Numeric)


def _distinct(column: Column) -> Column:
    return func.array_agg(column.distinct()).filter(column.is_not(None))
