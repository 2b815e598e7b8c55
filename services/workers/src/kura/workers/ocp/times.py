"""Date-times of operator reports, as epoch milliseconds, UTC. Source: ocp-payload §4."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

MS_PER_SECOND = 1000
MS_PER_DAY = 86_400_000
EPOCH_DAY = date(1970, 1, 1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

GO_UTC = " +0000 UTC"
"""How Go ends the text of a UTC time."""

_DATE_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(Z|z|[+-]\d\d:?\d\d|[+-]\d\d)?", re.ASCII
)


def epoch_ms(text: str) -> int | None:
    """Milliseconds since 1970 of one date-time cell; None when it is not one.

    Rule    the literal ` +0000 UTC` is taken off, the rest is an ISO 8601 date-time; without a zone it is UTC. A leap
            second counts as the second before it, so that it stays in its day
    Errors  none; the caller decides what an unreadable cell means
    Source  ocp-payload §4
    """
    found = _DATE_TIME.fullmatch(text.removesuffix(GO_UTC))
    if found is None:
        return None
    day, minute, second, fraction, zone = found.groups()
    second = "59" if second == "60" else second or "00"
    try:
        moment = datetime.fromisoformat(f"{day}T{minute}:{second}{_zone(zone)}")
    except ValueError:
        return None
    whole = (moment - EPOCH) // timedelta(seconds=1)
    return whole * MS_PER_SECOND + int((fraction or "0").ljust(9, "0")[:3])


def _zone(zone: str | None) -> str:
    if zone is None or zone in "Zz":
        return "+00:00"
    return zone if len(zone) != 3 else zone + ":00"


def day_of(ms: int) -> date:
    return EPOCH_DAY + timedelta(days=ms // MS_PER_DAY)


def first_ms(day: date) -> int:
    return (day - EPOCH_DAY).days * MS_PER_DAY
