"""The price book: the user's own prices first, then the free ones, then the published ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from aikit.prices.own import own_price
from aikit.prices.price import Price
from aikit.prices.published import PublishedPrice, Snapshot

__all__ = ["PriceBook"]

_FREE_KINDS = frozenset({"local", "ollama", "replay", "scripted"})
_PUBLISHED_BY_KIND = {"openai": "openai", "anthropic": "anthropic"}


class PriceBook:
    """Every price there is: the user's own first, then the free ones, then the published ones.

    `providers` are the settings of each provider by its name; `kind`, `base_url` and `prices` are read:
    `{"openai": {"prices": {"gpt-x": {"input": 2.5, "cache_read": 1.25, "output": 10}}}}`, in US dollars per million
    tokens. Raises `ConfigError` for a price that can't be meant.
    """

    def __init__(
        self,
        providers: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        snapshot: Snapshot | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._settings = providers or {}
        self._snapshot = snapshot
        self._own: dict[tuple[str, str], Price] = {
            (name, model): own_price(name, model, table)
            for name, settings in self._settings.items()
            for model, table in cast("Mapping[str, Any]", settings.get("prices") or {}).items()
        }
        self._published: dict[tuple[str, str], PublishedPrice | None] = {}

    @property
    def snapshot(self) -> Snapshot:
        """The published prices in use."""
        if self._snapshot is None:
            self._snapshot = Snapshot.installed()
        return self._snapshot

    def refresh(self, fetch: Callable[[], Snapshot] = Snapshot.fetched) -> str:
        """Take the newest published prices and return their id; the only thing here that uses the network."""
        self._snapshot = fetch()
        self._published.clear()
        return self._snapshot.id

    def price(self, provider: str, model: str, *, at: float | None = None) -> Price | None:
        """Return what `model` costs at `at` (Unix seconds; None is now), or None where no price is known."""
        own = self._own.get((provider, model))
        if own is not None:
            return own
        if self._kind(provider) in _FREE_KINDS:
            return Price("free", provider, model, ())
        key = (provider, model)
        if key not in self._published:
            self._published[key] = self._find(provider, model)
        published = self._published[key]
        return published.at(self._clock() if at is None else at) if published else None

    def models(self, provider: str) -> tuple[str, ...]:
        """Return the names of the models whose price is known."""
        publisher = self._publisher(provider)
        listed = next((one.models for one in self.snapshot.providers if one.id == publisher), ())
        return tuple(
            sorted({*(model.id for model in listed), *(model for name, model in self._own if name == provider)})
        )

    def context_window(self, provider: str, model: str) -> int | None:
        """Return the published context window in tokens; None when not known."""
        if self._kind(provider) in _FREE_KINDS:
            return None
        info = self.snapshot.model(self._publisher(provider), model)
        return info.context_window if info else None

    def _kind(self, provider: str) -> str:
        return str((self._settings.get(provider) or {}).get("kind") or provider)

    def _publisher(self, provider: str) -> str:
        """Return whose price list applies: whoever serves the address, then the name, then the kind's own address."""
        base_url = (self._settings.get(provider) or {}).get("base_url")
        served_by = self.snapshot.provider_of(str(base_url)) if base_url else None
        if served_by is not None:
            return served_by
        known = any(p.id == provider for p in self.snapshot.providers)
        return provider if known or base_url else _PUBLISHED_BY_KIND.get(self._kind(provider), provider)

    def _find(self, provider: str, model: str) -> PublishedPrice | None:
        publisher = self._publisher(provider)
        info = self.snapshot.model(publisher, model)
        return PublishedPrice(info, f"{self.snapshot.id}/{publisher}", provider, model) if info else None
