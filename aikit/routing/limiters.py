"""The rate limiters of all targets: which one a request passes, and what they are told.

OpenAI and Anthropic count, and tell, their limits per model: so every model of a provider that speaks to a server has
a limiter that learns, and what is said for a whole provider stands beside it and learns nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aikit.limits import Limits, RateLimiter

if TYPE_CHECKING:
    from aikit.config import RateLimits
    from aikit.limits import LimitStore

__all__ = ["Limiters"]


@dataclass(frozen=True, slots=True)
class Said:
    """The limits that a person set."""

    limits: Limits
    shared: bool


class Limiters:
    """Limiters by provider, model (None for all of them) and key; who spoke last, `set` or the settings, is obeyed."""

    def __init__(self, configured: Callable[[str], RateLimits | None], *, clock: Callable[[], float] = time.monotonic):
        self._configured = configured
        self._clock = clock
        self._lock = threading.RLock()
        self._said: dict[tuple[str, str | None], Said] = {}
        self._made: dict[tuple[str, str | None, str], tuple[RateLimiter, bool]] = {}
        self.store: LimitStore | None = None
        """Where limits are kept that several processes share; None where they can't be shared."""

    def set(self, name: str, model: str | None, *, shared: bool, **figures: Any) -> None:
        """Set the limits of a provider, or of one of its models; `changed` makes them hold."""
        self._said[name, model] = Said(Limits(**figures), shared)

    def forget(self, name: str) -> None:
        """Go by the settings of a provider again: they have changed, and the last word counts."""
        for said in [said for said in self._said if said[0] == name]:
            del self._said[said]

    def of(self, name: str, model: str, key_id: str, *, learns: bool) -> tuple[RateLimiter, ...]:
        """Return the limiters that a request to this model passes; none where nothing limits it."""
        with self._lock:
            whole, own = self._wanted(name, None), self._wanted(name, model)
            found = [] if whole is None else [self._limiter(name, None, key_id, whole, learns=False)]
            if own is not None or learns:
                found.append(self._limiter(name, model, key_id, own or Said(Limits(), shared=False), learns=learns))
            return tuple(found)

    def changed(self, name: str) -> None:
        """Bring the limiters of a provider in line with what is said now; who waits there waits by the new figures."""
        with self._lock:
            for (provider, model, key_id), (limiter, shared) in list(self._made.items()):
                if provider != name:
                    continue
                said = self._wanted(name, model) or Said(Limits(), shared=False)
                limiter.configure(said.limits)
                if said.shared != shared:
                    del self._made[provider, model, key_id]

    def all(self) -> dict[tuple[str, str | None, str], RateLimiter]:
        """Return the limiters in use."""
        return {key: limiter for key, (limiter, _) in self._made.items()}

    def _wanted(self, name: str, model: str | None) -> Said | None:
        said = self._said.get((name, model))
        if said is not None:
            return said
        configured = self._configured(name)
        if configured is None:
            return None
        figures = configured if model is None else configured.models.get(model)
        if figures is None:
            return None
        limits = Limits(**figures.figures())
        return None if limits == Limits(window=limits.window) else Said(limits, figures.shared)

    def _limiter(self, name: str, model: str | None, key_id: str, said: Said, *, learns: bool) -> RateLimiter:
        found = self._made.get((name, model, key_id))
        if found is None:
            label = "/".join(part for part in (name, model, key_id) if part)
            store = self.store if said.shared else None
            limiter = RateLimiter(said.limits, name=label, store=store, learns=learns, clock=self._clock)
            found = self._made[name, model, key_id] = (limiter, said.shared)
        return found[0]
