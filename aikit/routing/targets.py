"""The targets that the settings name: their adapters, gates and limits, made at first use and shared by all calls."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aikit import providers
from aikit.credentials import KeyRing, find_keys
from aikit.errors import ConfigError, UnknownProvider, did_you_mean
from aikit.limits import Limits, RateLimiter
from aikit.prices import PriceBook
from aikit.providers.base import Adapter, LLMProvider
from aikit.retries import RetryQuota
from aikit.routing.foreign import Foreign
from aikit.routing.gate import Gate, GateState

if TYPE_CHECKING:
    from aikit.config import ProviderConfig, Settings

__all__ = ["Targets"]


class _Provider:
    """One configured provider: its adapter, keys, limiters and quota."""

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


class Targets:
    """Finds the adapter and the gate of a target; a provider whose settings changed is made anew for later calls."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        *,
        prices: Callable[[], PriceBook],
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
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
        self._limits: dict[tuple[str, str | None], dict[str, Any]] = {}
        self._limiters: dict[tuple[str, str | None, str], RateLimiter] = {}
        self.limit_store: Callable[[], Any] | None = None
        """Makes the store of limits that several processes share; None where they can't be shared."""

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
        if not model and provider.adapter.needs_model:
            raise ConfigError(
                f"{target!r} names no model: write '{name}:MODEL', or set default_model under [providers.{name}]"
            )
        found = provider.targets.get(model)
        if found is None:
            with self._lock:
                found = provider.targets.setdefault(model, self._make(name, model, provider))
        return found

    def _provider(self, name: str, target: str) -> _Provider:
        settings = self._settings()
        known = self._providers.get(name)
        if known is not None and known.settings is settings:
            return known
        with self._lock:
            config = self._config(settings, name, target)
            known = self._providers.get(name)
            if known is None or known.config != config:
                if known is not None:
                    self._retired.append(known)
                known = self._providers[name] = _Provider(name, config, self._environ, self._folder)
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
        gate = Gate(
            name,
            model,
            ring=provider.ring,
            limiters=lambda key_id: self._limiters_for(name, model, key_id),
            quota=provider.quota,
            clock=self._clock,
            uniform=self._random,
        )
        return adapter, gate

    def _given_target(self, target: LLMProvider) -> tuple[Adapter, Gate]:
        known = self._given.get(id(target))
        if known is None:
            adapter = target if isinstance(target, Adapter) else Foreign(target)
            if adapter.price is None:
                adapter.price = self._prices().price(adapter.kind, adapter.model)
            gate = Gate(
                adapter.name,
                adapter.model,
                ring=None,
                limiters=lambda key_id: self._limiters_for(adapter.name, adapter.model, key_id),
                quota=RetryQuota(),
                clock=self._clock,
                uniform=self._random,
            )
            # The object is kept, so that its id stays its own.
            known = self._given[id(target)] = (target, adapter, gate)
        return known[1], known[2]

    # -- limits

    def limit(self, name: str, *, model: str | None = None, shared: bool = False, **figures: Any) -> None:
        """Set the limits of a provider, or of one of its models beside them; from the next request on."""
        limits = Limits(**figures)
        with self._lock:
            self._limits[name, model] = {"limits": limits, "shared": shared}
            for (provider, of_model, key_id), limiter in list(self._limiters.items()):
                if (provider, of_model) == (name, model):
                    limiter.configure(limits)
                    if shared:
                        del self._limiters[provider, of_model, key_id]
            self._forget(name)

    def _forget(self, name: str) -> None:
        for provider in (self._providers.get(name),):
            for _, gate in provider.targets.values() if provider else ():
                gate.forget_limiters()
        for _, adapter, gate in self._given.values():
            if adapter.name == name:
                gate.forget_limiters()

    def _limiters_for(self, name: str, model: str, key_id: str) -> tuple[RateLimiter, ...]:
        with self._lock:
            scopes: list[str | None] = [None]
            if (name, model) in self._limits or model in self._configured(name).models:
                scopes.append(model)
            return tuple(self._limiter(name, scope, key_id) for scope in scopes)

    def _configured(self, name: str) -> Any:
        from aikit.config import RateLimits

        known = self._providers.get(name)
        return known.config.rate_limits if known else RateLimits()

    def _limiter(self, name: str, model: str | None, key_id: str) -> RateLimiter:
        found = self._limiters.get((name, model, key_id))
        if found is None:
            said = self._limits.get((name, model))
            if said is None:
                configured = self._configured(name)
                figures = configured if model is None else configured.models[model]
                said = {"limits": Limits(**figures.figures()), "shared": figures.shared}
            store = self.limit_store() if said["shared"] and self.limit_store is not None else None
            label = f"{name}/{model or ''}/{key_id}"
            found = RateLimiter(said["limits"], clock=self._clock, store=store, name=label)
            self._limiters[name, model, key_id] = found
        return found

    def limiters(self) -> dict[tuple[str, str | None, str], RateLimiter]:
        """Return the limiters in use, by provider, model (None for all of them) and key id."""
        return dict(self._limiters)

    # -- all of them

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
        """Import and connect the configured providers and those named."""
        for name in sorted({*self._settings().providers, *names}):
            await self._provider(name, f"{name}:").adapter.ready()

    async def close(self) -> None:
        """Close every client."""
        for provider in (*self._providers.values(), *self._retired):
            await provider.adapter.close()
        for _, adapter, _ in self._given.values():
            await adapter.close()
