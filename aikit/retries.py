"""When to try again, and how long to wait."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aikit.errors import (
    ConnectionFailed,
    DeadlineExceeded,
    Overloaded,
    ProtocolError,
    ProviderError,
    RateLimited,
    StreamInterrupted,
)

__all__ = ["NEVER_SENT", "RetryPolicy", "RetryQuota", "counts_against", "is_passing"]

NEVER_SENT = (501, 505)
"""5xx statuses that will not change by asking again."""


def is_passing(error: ProviderError) -> bool:
    """Whether the same request may succeed a little later; the server's own word (`x-should-retry`) goes first."""
    word = getattr(error, "should_retry", None)
    if word is not None:
        return bool(word)
    if isinstance(error, ConnectionFailed):
        return error.retryable
    if isinstance(error, RateLimited):
        return True
    if isinstance(error, Overloaded):
        return error.status not in NEVER_SENT
    if isinstance(error, DeadlineExceeded):
        return error.which != "total"
    if isinstance(error, StreamInterrupted) and isinstance(error.__cause__, ProviderError):
        return is_passing(error.__cause__)
    # An answer cut short or garbled on its way may arrive whole the next time.
    return isinstance(error, ProtocolError | StreamInterrupted)


def counts_against(error: BaseException | None) -> bool:
    """Whether an error says that the target is failing: no connection, no progress, or a 5xx."""
    if isinstance(error, DeadlineExceeded):
        return error.which != "total"
    if isinstance(error, ConnectionFailed | StreamInterrupted):
        return True
    return isinstance(error, Overloaded) and (error.status is None or error.status >= 500)


class RetryQuota:
    """A provider's shared allowance of retries: when it is down, retries stay at a tenth of the calls.

    Each call earns `earn` of a retry, each retry takes one. A token bucket as in gRPC's retry throttling (gRFC A6).
    """

    def __init__(self, *, start: float = 10.0, earn: float = 0.09, most: float = 100.0) -> None:
        self._left = start
        self._earn = earn
        self._most = most
        self._lock = threading.Lock()

    def earn(self) -> None:
        """Count one call."""
        with self._lock:
            self._left = min(self._most, self._left + self._earn)

    def take(self) -> bool:
        """Take one retry; False when there is none left."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Full-jitter exponential backoff, never shorter than the server's word, never longer than the cap.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (full jitter).
    """

    attempts: int = 3
    """The most attempts at one target."""
    base: float = 0.5
    """Seconds; the backoff before retry n is uniform on [0, base × 2^(n-1)]."""
    most: float = 8.0
    """Seconds; the backoff's own upper end."""
    cap: float = 60.0
    """Seconds that a server's Retry-After may ask for; beyond it the error is raised at once."""
    uniform: Callable[[float, float], float] = field(default=random.uniform)

    def wait(self, error: ProviderError, *, number: int, now: datetime | None = None) -> float | None:
        """Return the seconds to wait before attempt `number` + 1, or None when the error is to be raised."""
        if number >= self.attempts or not is_passing(error):
            return None
        backoff = self.uniform(0.0, min(self.most, self.base * 2 ** (number - 1)))
        if error.retry_at is None:
            return backoff
        asked = (error.retry_at - (now or datetime.now(UTC))).total_seconds()
        return None if asked > self.cap else max(asked, backoff)
