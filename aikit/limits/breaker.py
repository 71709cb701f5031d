"""A circuit breaker: whether a target that fails is still worth a request."""

from __future__ import annotations

import random as _random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

__all__ = ["BreakerState", "CircuitBreaker", "Outcome"]

BreakerState = Literal["closed", "open", "half_open"]
Outcome = Literal["success", "failure", "ignored"]
"""`ignored` is what says nothing about the target: 429, other 4xx, content filters, cancellations."""

_WINDOW = 30.0
_FEWEST_CALLS = 10
_SHARE = 0.5
_IN_A_ROW = 5
_FIRST_OPENING = 5.0
_LONGEST_OPENING = 300.0
_JITTER = 0.2


class CircuitBreaker:
    """Closed, open, half-open; one for each provider, model and key.

    Opens when at least half of at least ten calls in 30 s failed or were slow, or when five failed in a row. While it
    is half-open one probe is let through; each failed probe doubles the time it stays open (5 s to 5 min, ± 20 %).
    """

    __slots__ = ("_calls", "_clock", "_failed", "_in_a_row", "_lock", "_openings", "_probing", "_random", "_until")

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, random: _random.Random | None = None) -> None:
        self._clock = clock
        self._random = random or _random.Random()  # noqa: S311 — jitter, not a secret
        self._lock = threading.Lock()
        self._calls: deque[tuple[float, bool]] = deque()
        self._failed = 0
        self._in_a_row = 0
        self._openings = 0
        self._until: float | None = None
        self._probing: float | None = None

    def __repr__(self) -> str:
        return f"CircuitBreaker({self.state})"

    @property
    def state(self) -> BreakerState:
        """`closed`, `open`, or `half_open` once a probe may go or is under way."""
        until = self._until
        if until is None:
            return "closed"
        return "half_open" if self._probing is not None or self._clock() >= until else "open"

    def allow(self) -> bool:
        """Say whether a request may be sent; half-open, it is said once, for the probe: `record` its outcome."""
        until = self._until
        if until is None:
            return True
        with self._lock:
            now = self._clock()
            # A probe that was never recorded must not shut the target out for good.
            lost = self._probing is not None and now - self._probing > _LONGEST_OPENING
            if now < until or (self._probing is not None and not lost):
                return False
            self._probing = now
            return True

    def record(self, outcome: Outcome, *, slow: bool = False) -> None:
        """Take in how an allowed request ended; `slow` is a success whose first token came too late."""
        with self._lock:
            if self._until is not None:
                self._record_probe(outcome, slow)
            elif outcome != "ignored":
                self._record_call(outcome == "failure", slow)

    def retry_after(self) -> float:
        """Return the seconds until a probe may go; 0 when one may go now."""
        until = self._until
        return 0.0 if until is None else max(0.0, until - self._clock())

    def force_probe(self) -> None:
        """Let the next request through as a probe now, for a target that has no alternative."""
        with self._lock:
            if self._until is not None:
                self._until = self._clock()
                self._probing = None

    def _record_call(self, failed: bool, slow: bool) -> None:
        now = self._clock()
        self._in_a_row = self._in_a_row + 1 if failed else 0
        self._calls.append((now, failed or slow))
        self._failed += failed or slow
        while self._calls and self._calls[0][0] <= now - _WINDOW:
            self._failed -= self._calls.popleft()[1]
        many = len(self._calls) >= _FEWEST_CALLS and self._failed >= _SHARE * len(self._calls)
        if many or self._in_a_row >= _IN_A_ROW:
            self._open(now)

    def _record_probe(self, outcome: Outcome, slow: bool) -> None:
        if self._probing is None:
            return  # a request from before it opened: its fate is known already
        self._probing = None
        if outcome == "failure" or slow:
            self._open(self._clock())
        elif outcome == "success":
            self._until = None
            self._openings = 0
            self._forget()

    def _open(self, now: float) -> None:
        length = min(_LONGEST_OPENING, _FIRST_OPENING * 2**self._openings)
        self._openings = min(self._openings + 1, 16)
        self._until = now + length * self._random.uniform(1 - _JITTER, 1 + _JITTER)
        self._forget()

    def _forget(self) -> None:
        self._calls.clear()
        self._failed = self._in_a_row = 0
