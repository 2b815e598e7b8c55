"""Time as the database tells it: leases, delays and ages use this one clock (reliability F45); and random pauses."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, DateTime, Float, cast, func, literal


def between(least: float, most: float) -> float:
    """A random number of seconds, so that many who wait do not come back at the same moment."""
    return random.uniform(least, most)  # noqa: S311


def now() -> ColumnElement[datetime]:
    return func.clock_timestamp(type_=DateTime(timezone=True))


def in_seconds(seconds: float) -> ColumnElement[datetime]:
    return cast(now() + literal(timedelta(seconds=seconds)), DateTime(timezone=True))


def seconds_since(moment: ColumnElement[datetime]) -> ColumnElement[float]:
    return cast(func.extract("epoch", now() - moment), Float)
