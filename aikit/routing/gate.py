"""What a target's calls pass through: its keys, breakers, limiters and retry quota, shared by all calls."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aikit.credentials import Key, KeyRing
from aikit.errors import AikitError, CircuitOpen, did_you_mean
from aikit.limits import CircuitBreaker, RateLimiter
from aikit.messages import ProviderCapabilities
from aikit.providers.base import Adapter
from aikit.retries import RetryQuota
from aikit.secret import Scrubber

__all__ = ["Gate", "GateState"]

DECAY = 10.0
"""Seconds in which what was measured loses two thirds of its weight."""


@dataclass(frozen=True, slots=True)
class GateState:
    """A target at this moment, as `kit.providers` shows it."""

    provider: str
    model: str
    key: str
    """The key's id, never the key; empty where none is needed."""
    breaker: str
    in_flight: int
    last_error: str
    next_probe: float | None
    """Seconds until an open breaker lets a probe through; None while it is not open."""
    time_to_first_token: float | None
    """Seconds, a moving peak average; None before the first answer."""


class Gate:
    """The shared state of one target (a provider's model); safe to use from several event loops."""

    def __init__(
        self,
        provider: str,
        model: str,
        *,
        ring: KeyRing | None,
        limiters: Callable[[str], tuple[RateLimiter, ...]],
        quota: RetryQuota,
        scrubber: Scrubber | None = None,
        models: Callable[[], Iterable[str]] = tuple,
        clock: Callable[[], float] = time.monotonic,
        uniform: random.Random | None = None,
    ) -> None:
        self.provider = provider
        self.model = model
        self.ring = ring
        self.quota = quota
        self._scrubber = scrubber or Scrubber()
        self._models = models
        self.in_flight = 0
        self.last_error = ""
        self._clock = clock
        self._random = uniform or random.Random()  # noqa: S311 — jitter, not a secret
        self._find_limiters = limiters
        self._limiters: dict[str, tuple[RateLimiter, ...]] = {}
        self._breakers: dict[str, CircuitBreaker] = {}
        self._latency: float | None = None
        self._latency_at = 0.0

    def limiters(self, key_id: str) -> tuple[RateLimiter, ...]:
        """Return the limiters that a request with this key passes."""
        found = self._limiters.get(key_id)
        if found is None:
            found = self._limiters[key_id] = self._find_limiters(key_id)
        return found

    def forget_limiters(self) -> None:
        """Look the limiters up again at the next request: the limits changed."""
        self._limiters.clear()

    def breaker(self, key_id: str) -> CircuitBreaker:
        """Return the breaker of this target under a key."""
        found = self._breakers.get(key_id)
        if found is None:
            found = self._breakers[key_id] = CircuitBreaker(clock=self._clock, random=self._random)
        return found

    def capabilities(self, adapter: Adapter) -> ProviderCapabilities:
        """Return what the target's model can do."""
        return adapter.capabilities

    def saw_error(self, error: AikitError) -> None:
        """Mask the keys in an error, and remember it for who looks at the target's state."""
        self._scrubber.exception(error)
        self.last_error = f"{type(error).__name__}: {error}"

    def refuse_key(self, key: Key, error: AikitError) -> None:
        """Set a key aside that the provider refused."""
        if self.ring is not None:
            self.ring.quarantine(key.id, str(error))

    def name_near_models(self, error: AikitError) -> None:
        """Add the known models nearest to one that was not found, where the provider itself named none."""
        if "did you mean" not in str(error):
            error.args = (f"{error}{did_you_mean(self.model, self._models())}",)

    def choose(self, *, exclude: tuple[str, ...] = ()) -> tuple[Key | None, CircuitBreaker]:
        """Return a key and its breaker, which lets the request pass.

        Raises `CircuitOpen` when the breaker of every usable key is open, `CredentialError` when there is no key.
        """
        if self.ring is None:
            breaker = self.breaker("")
            if breaker.allow():
                return None, breaker
            raise self._open([breaker])
        closed: list[CircuitBreaker] = []
        tried = exclude
        key = self.ring.pick(exclude=tried)
        while key is not None:
            breaker = self._breakers.get(key.id) or self._first_use(key)
            if breaker.allow():
                return key, breaker
            closed.append(breaker)
            tried = (*tried, key.id)
            key = self._next_key(tried)
        raise self._open(closed)

    def _first_use(self, key: Key) -> CircuitBreaker:
        # Every key that is ever sent passes here: from now on it is masked wherever texts are kept.
        self._scrubber.add(key.secret)
        return self.breaker(key.id)

    def _next_key(self, tried: tuple[str, ...]) -> Key | None:
        try:
            return self.ring.pick(exclude=tried) if self.ring else None
        except AikitError:
            return None

    def other_key(self, tried: tuple[str, ...]) -> bool:
        """Whether the ring has another usable key beside those tried."""
        return self._next_key(tried) is not None

    def _open(self, breakers: list[CircuitBreaker]) -> CircuitOpen:
        from datetime import UTC, datetime, timedelta

        wait = min((breaker.retry_after() for breaker in breakers), default=0.0)
        target = f"{self.provider}:{self.model}" if self.model else self.provider
        why = f" after: {self.last_error}" if self.last_error else ""
        return CircuitOpen(
            f"{target} is failing, so no request is sent to it for {wait:.1f} s{why}",
            retry_at=datetime.now(UTC) + timedelta(seconds=wait),
        )

    def saw_latency(self, seconds: float) -> None:
        """Take in one time to first token: a higher one counts at once, lower ones decay in over ten seconds.

        Source: peak-EWMA, as in Finagle's load balancer.
        """
        now = self._clock()
        if self._latency is None or seconds > self._latency:
            self._latency = seconds
        else:
            weight = math.exp(-(now - self._latency_at) / DECAY)
            self._latency = self._latency * weight + seconds * (1 - weight)
        self._latency_at = now

    @property
    def headroom(self) -> float:
        """The smallest free share of the limits of any key seen so far, 0 to 1; 1 without limits."""
        return min((limiter.headroom for found in self._limiters.values() for limiter in found), default=1.0)

    @property
    def latency(self) -> float | None:
        """Seconds to the first token as a moving peak average; None before the first answer.

        It decays while the target has nothing to do, so that one slow answer does not shut it out for good.
        """
        if self._latency is None or self.in_flight:
            return self._latency
        return self._latency * math.exp(-(self._clock() - self._latency_at) / DECAY)

    def states(self) -> list[GateState]:
        """Return one state for each key that was used."""
        return [
            GateState(
                self.provider,
                self.model,
                key_id,
                breaker.state,
                self.in_flight,
                self.last_error,
                breaker.retry_after() if breaker.state == "open" else None,
                self._latency,
            )
            for key_id, breaker in sorted(self._breakers.items())
        ]
