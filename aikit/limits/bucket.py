"""A token bucket: how fast a limit may be used up inside its window, and what the server says is left of it."""

from __future__ import annotations

import math
from typing import Self

__all__ = ["BURST", "Bucket"]

BURST = 0.1
"""Share of a limit that may be used at once; at least one request."""


class Bucket:
    """Fills at `rate` per second up to `capacity`; a need larger than that goes when it is full, and leaves a debt."""

    __slots__ = ("_at", "_level", "capacity", "limit", "rate")

    def __init__(self, limit: float, *, rate: float, capacity: float, level: float, now: float) -> None:
        self.limit = limit
        self.rate = rate
        self.capacity = capacity
        self._level = level
        self._at = now

    @classmethod
    def paced(cls, limit: float, window: float, *, burst: float, now: float) -> Self:
        """Return a full bucket that lets `limit` pass in `window` seconds, and the share `burst` of it at once."""
        capacity = max(1.0, math.ceil(limit * burst))
        return cls(limit, rate=limit / window, capacity=capacity, level=capacity, now=now)

    def level(self, now: float) -> float:
        """Return what is in the bucket."""
        if now > self._at:
            level = self._level + (now - self._at) * self.rate
            self._level = level if level < self.capacity else self.capacity
            self._at = now
        return self._level

    def has(self, need: float, now: float) -> bool:
        """Say whether `need` may be taken now."""
        wanted = need if need < self.capacity else self.capacity
        return self.level(now) >= wanted - 1e-9  # what rounding loses must not cost a wait

    def time_for(self, need: float, now: float) -> float:
        """Return when `need` may be taken; in the past when it may be now."""
        missing = min(need, self.capacity) - self.level(now)
        if missing <= 1e-9:
            return -math.inf
        return now + missing / self.rate if self.rate > 0 else math.inf

    def take(self, amount: float) -> None:
        """Take an amount out."""
        self._level -= amount

    def give(self, amount: float) -> None:
        """Put an amount back; what does not fit is lost."""
        level = self._level + amount
        self._level = level if level < self.capacity else self.capacity

    def pace(self, rate: float, now: float) -> None:
        """Fill at another rate from now on."""
        self.level(now)
        self.rate = rate
