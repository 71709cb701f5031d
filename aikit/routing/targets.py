"""The targets that the settings name: their adapters and gates, made at first use and shared by all calls."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aikit import providers, tokens
from aikit.credentials import KeyRing, find_keys
from aikit.errors import ConfigError, UnknownProvider, did_you_mean
from aikit.limits import RateLimiter
from aikit.prices import PriceBook
from aikit.providers.base import Adapter, LLMProvider
from aikit.retries import RetryQuota
from aikit.routing.foreign import Foreign
from aikit.routing.gate import Gate, GateState
from aikit.routing.limiters import Limiters
from aikit.secret import Scrubber, Secret, is_secret_name

if TYPE_CHECKING:
    from aikit.config import ProviderConfig, RateLimits, Settings

__all__ = ["Targets"]


class _Provider:
    """One configured provider: its adapter, keys and quota."""

    def __init__(
        self, name: str, config: ProviderConfig, environ: Mapping[str, str] | None, folder: Path | None
    ) -> None:
        self.config = config
        self.settings: Settings | None = None
        """The settings that `config` was last seen in."""
        adapter = providers.adapter_class(config.kind)
        self.adapter = adapter(config, name=name)
        self.ring: KeyRing | None = None
        if self.adapter.uses_key:
            ring = find_keys(name, config, environ=environ, folder=folder)
            self.ring = ring if len(ring) or self.adapter.needs_key else None
        self.quota = RetryQuota()
        self.targets: dict[str, tuple[Adapter, Gate]] = {}

    def tell_secrets(self, scrubber: Scrubber) -> None:
        """Name every secret that the provider's requests may carry."""
        for key in self.ring or ():
            scrubber.add(key.secret)
        for name, value in self.config.headers.items():
            if is_secret_name(name):
                scrubber.add(Secret(value))


class Targets:
    """Finds the adapter and the gate of a target; a provider whose settings changed is made anew for later calls."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        *,
        prices: Callable[[], PriceBook],
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
        scrubber: Scrubber | None = None,
        clock: Callable[[], float] = time.monotonic,
        uniform: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._prices = prices
        self._environ = environ
        self._folder = folder
        self._clock = clock
        self._random = uniform or random.Random()  # noqa: S311 — jitter, not a secret
        self._lock = threading.RLock()
        self._providers: dict[str, _Provider] = {}
        self._retired: list[_Provider] = []
        self._given: dict[int, tuple[LLMProvider, Adapter, Gate]] = {}
        self._scrubber = scrubber or Scrubber()
        self.limits = Limiters(self._configured, clock=clock)
        """The rate limiters, by provider, model and key."""

    def find(self, target: str | LLMProvider) -> tuple[Adapter, Gate]:
        """Return the adapter, bound to the model, and the gate of a model id or of a provider object.

        Raises `UnknownProvider` for a provider that is not configured, `ConfigError` where no model is named.
        """
        if not isinstance(target, str):
            return self._given_target(target)
        name, colon, model = target.partition(":")
        provider = self._provider(name, target)
        if not colon:
            model = provider.config.default_model or ""
        found = provider.targets.get(model)
        if found is not None:
            return found
        if not model and provider.adapter.needs_model:
            raise ConfigError(
                f"{target!r} names no model: write '{name}:MODEL', or set default_model under [providers.{name}]"
            )
        with self._lock:
            return provider.targets.setdefault(model, self._make(name, model, provider))

    def _provider(self, name: str, target: str) -> _Provider:
        settings = self._settings()
        known = self._providers.get(name)
        if known is not None and known.settings is settings:
            return known
        with self._lock:
            config = self._config(settings, name, target)
            known = self._providers.get(name)
            if known is None or known.config != config:
                made = _Provider(name, config, self._environ, self._folder)
                made.tell_secrets(self._scrubber)
                self._providers[name] = made
                if known is not None:
                    self._retired.append(known)
                    if known.config.rate_limits != config.rate_limits:
                        self.limits.forget(name)
                        self._limits_changed(name)
                known = made
            known.settings = settings
            return known

    def _config(self, settings: Settings, name: str, target: str) -> ProviderConfig:
        try:
            return settings.provider(name)
        except UnknownProvider:
            if ":" in target or "/" in name:
                raise
            known = providers.kinds()
            raise UnknownProvider(
                f"{target!r} is no model id: write 'provider:model', such as 'openai:{target}'"
                f"{did_you_mean(name, known)}"
            ) from None

    def _make(self, name: str, model: str, provider: _Provider) -> tuple[Adapter, Gate]:
        adapter = provider.adapter.bound(model=model)
        adapter.price = self._prices().price(name, model)
        return adapter, self._gate(adapter, model, provider.ring, provider.quota)

    def _given_target(self, target: LLMProvider) -> tuple[Adapter, Gate]:
        known = self._given.get(id(target))
        if known is None:
            adapter = target if isinstance(target, Adapter) else Foreign(target)
            if adapter.price is None:
                adapter.price = self._prices().price(adapter.kind, adapter.model)
            # The object is kept, so that its id stays its own.
            known = self._given[id(target)] = (target, adapter, self._gate(adapter, adapter.model, None, RetryQuota()))
        return known[1], known[2]

    def _gate(self, adapter: Adapter, model: str, ring: KeyRing | None, quota: RetryQuota) -> Gate:
        name, learns = adapter.name, adapter.has_limits
        return Gate(
            name,
            model,
            ring=ring,
            limiters=lambda key_id: self.limits.of(name, model, key_id, learns=learns),
            quota=quota,
            scrubber=self._scrubber,
            models=lambda: self._prices().models(name),
            clock=self._clock,
            uniform=self._random,
        )

    # -- limits

    def limit(self, name: str, *, model: str | None = None, shared: bool = False, **figures: Any) -> None:
        """Set the limits of a provider, or of one of its models beside them; from the next request on."""
        self.limits.set(name, model, shared=shared, **figures)
        self._limits_changed(name)

    def _configured(self, name: str) -> RateLimits | None:
        known = self._providers.get(name)
        return known.config.rate_limits if known else None

    def _limits_changed(self, name: str) -> None:
        self.limits.changed(name)
        known = self._providers.get(name)
        for _, gate in known.targets.values() if known else ():
            gate.forget_limiters()
        for _, adapter, gate in self._given.values():
            if adapter.name == name:
                gate.forget_limiters()

    def limiters(self) -> dict[tuple[str, str | None, str], RateLimiter]:
        """Return the limiters in use, by provider, model (None for all of them) and key id."""
        return self.limits.all()

    # -- all of them

    def refresh(self) -> None:
        """Take in changed settings now: who waits for a limit is not to wait for the next call's look at them."""
        for name in list(self._providers):
            with contextlib.suppress(ConfigError):  # one that is gone from the settings says so when it is asked for
                self._provider(name, f"{name}:")

    def states(self) -> list[GateState]:
        """Return the state of each target and key used so far."""
        gates = [gate for provider in self._providers.values() for _, gate in provider.targets.values()]
        gates += [gate for _, _, gate in self._given.values()]
        return [state for gate in gates for state in gate.states()]

    def reprice(self) -> None:
        """Look all prices up again, after they changed."""
        for name, provider in self._providers.items():
            for model, (adapter, _) in provider.targets.items():
                adapter.price = self._prices().price(name, model)

    async def ready(self, names: tuple[str, ...] = ()) -> None:
        """Import and connect the configured providers and those named; read the prices, and load the tokenizer."""
        await asyncio.to_thread(self._warm)
        for name in sorted({*self._settings().providers, *names}):
            await self._provider(name, f"{name}:").adapter.ready()

    def _warm(self) -> None:
        # A second each, which the first call would otherwise pay for, on the event loop.
        _ = self._prices().snapshot
        tokens.warm("gpt-4o")

    async def close(self) -> None:
        """Close every client."""
        for provider in (*self._providers.values(), *self._retired):
            await provider.adapter.close()
        for _, adapter, _ in self._given.values():
            await adapter.close()
