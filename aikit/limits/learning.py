"""What a server's headers say about its limits: what is left of each, and when it is full again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from aikit.limits.figures import DIMENSIONS
from aikit.wire.headers import reset_seconds, retry_at

__all__ = ["Allowance", "allowances", "frozen_seconds"]


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the server says is left of one dimension."""

    dimension: int
    """Index into `DIMENSIONS`."""
    remaining: float
    reset: float
    """Seconds until it is full again."""
    limit: float | None
    """What a full one holds; None when the server did not say."""

    @property
    def rate(self) -> float:
        """What comes back per second: both OpenAI and Anthropic refill evenly; 0 where the limit is not known."""
        if self.limit is None or self.limit <= self.remaining or self.reset <= 0:
            return 0.0
        return (self.limit - self.remaining) / self.reset


def allowances(headers: Mapping[str, str], *, now: datetime) -> list[Allowance]:
    """Return what the headers (names in lower case) say; what is negative, infinite or garbage says nothing."""
    found: list[Allowance] = []
    for index, spellings in enumerate(_NAMES):
        for remaining, reset, limit in spellings:
            left = _number(headers.get(remaining, ""))
            seconds = reset_seconds(headers.get(reset, ""), now=now) if left is not None else None
            if left is not None and seconds is not None:
                found.append(Allowance(index, left, seconds, _number(headers.get(limit, ""))))
                break
    return found


def frozen_seconds(status: int, headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Return the seconds for which a 429 asks to send nothing; None when it does not say."""
    when = retry_at(status, headers, now=now)
    return None if when is None else max(0.0, (when - now).total_seconds())


def _spellings(dimension: str) -> Iterator[tuple[str, str, str]]:
    """Yield the names of the headers that tell remaining, reset and limit."""
    anthropic = f"anthropic-ratelimit-{dimension.replace('_', '-')}"
    yield f"{anthropic}-remaining", f"{anthropic}-reset", f"{anthropic}-limit"
    openai = "x-ratelimit"
    yield f"{openai}-remaining-{dimension}", f"{openai}-reset-{dimension}", f"{openai}-limit-{dimension}"


_NAMES = tuple(tuple(_spellings(dimension)) for dimension in DIMENSIONS)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
