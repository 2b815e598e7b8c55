"""Time as the database tells it: leases, delays and ages use this one clock (reliability F45)."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, DateTime, Float, cast, func, literal


def now() -> ColumnElement[datetime]:
    return func.clock_timestamp(type_=DateTime(timezone=True))


def in_seconds(seconds: float) -> ColumnElement[datetime]:
    return cast(now() + literal(timedelta(seconds=seconds)), DateTime(timezone=True))


def seconds_since(moment: ColumnElement[datetime]) -> ColumnElement[float]:
    return cast(func.extract("epoch", now() - moment), Float)
