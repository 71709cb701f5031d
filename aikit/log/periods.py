"""A period: a day, week or month in a time zone, as the two instants between which it lies."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aikit.errors import ConfigError

__all__ = ["PERIODS", "Period", "bounds", "local_day", "zone"]

Period = Literal["day", "week", "month"]
PERIODS: tuple[Period, ...] = ("day", "week", "month")


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """Return the time zone of an IANA name; raises `ConfigError` for a name that is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"no time zone {name!r}; write one like 'Europe/Berlin' or 'UTC'") from error


def bounds(at: float, period: Period, timezone: str) -> tuple[int, int]:
    """Return the Unix seconds of the period's first instant and of the next period's.

    Days are local: the ones on which the clocks change last 23 or 25 hours. Weeks begin on Monday (ISO 8601).
    """
    day = local_day(at, timezone)
    if period == "day":
        first, after = day, day + timedelta(days=1)
    elif period == "week":
        first = day - timedelta(days=day.weekday())
        after = first + timedelta(days=7)
    else:
        first = day.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    return _midnight(first, timezone), _midnight(after, timezone)


def local_day(at: float, timezone: str) -> date:
    """Return the date in the zone at `at` (Unix seconds)."""
    return datetime.fromtimestamp(at, UTC).astimezone(zone(timezone)).date()


def _midnight(day: date, timezone: str) -> int:
    # Where midnight is skipped, zoneinfo takes the offset before the gap: the very instant of the change.
    # Where it comes twice, fold=0 is the first.
    return round(datetime(day.year, day.month, day.day, tzinfo=zone(timezone)).timestamp())
