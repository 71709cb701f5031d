"""A snapshot of published prices: `genai-prices`' data, read into ours."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aikit.errors import ConnectionFailed
from aikit.prices.price import Price, Rates, Tier, nano

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

__all__ = ["PublishedPrice", "Snapshot"]

_CONTEXTS: Sequence[tuple[str, Mapping[str, str]]] = (
    ("batch", {"processing": "batch"}),
    ("flex", {"service_tier": "flex"}),
    ("priority", {"service_tier": "priority"}),
    ("fast", {"service_tier": "fast"}),
    ("fast", {"speed": "fast"}),
)
"""Our word for a processing and how the published data asks for its prices."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The published prices of one day."""

    id: str
    providers: Sequence[Provider]

    @classmethod
    def installed(cls) -> Snapshot:
        """Return the prices that came with the installed `genai-prices` (importing them takes about a second)."""
        import genai_prices
        from genai_prices.data import providers

        return cls(f"genai-prices@{genai_prices.__version__}", providers)

    @classmethod
    def fetched(cls, *, clock: Callable[[], float] = time.time) -> Snapshot:
        """Fetch today's prices from the `genai-prices` project; raises `ConnectionFailed` where that fails."""
        import genai_prices
        import httpx2

        try:
            data = genai_prices.UpdatePrices().fetch()
        except (httpx2.HTTPError, ValueError) as error:
            raise ConnectionFailed(f"the published prices could not be fetched: {error}") from error
        if data is None:
            raise ConnectionFailed("the published prices could not be fetched: the answer was empty")
        day = datetime.fromtimestamp(clock(), UTC)
        return cls(f"genai-prices@{day:%Y-%m-%dT%H:%M:%SZ}", data.providers)

    def provider_of(self, base_url: str) -> str | None:
        """Return the id of the provider that serves `base_url`; None when it is nobody's we know."""
        return next((p.id for p in self.providers if re.match(p.api_pattern, base_url)), None)

    def model(self, provider: str, model: str) -> ModelInfo | None:
        """Return what is published of a model; None when nothing is."""
        found = next((p for p in self.providers if p.id == provider), None)
        return found.find_model(model, all_providers=list(self.providers)) if found else None


class PublishedPrice:
    """A model's published prices over time; those of one moment are made once."""

    def __init__(self, info: ModelInfo, source: str, provider: str, model: str) -> None:
        self._info = info
        self._source = source
        self._provider = provider
        self._model = model
        dated = info.prices if isinstance(info.prices, list) else []
        found = [one.constraint for one in (*dated, *(info.price_variants or ()))]
        constraints: list[Any] = [constraint for constraint in found if constraint is not None]
        self._by_day = [each for each in constraints if hasattr(each, "start_date")]
        self._by_hour = [each for each in constraints if hasattr(each, "start_time")]
        # Nothing published changes within a minute; without hourly prices, nothing within a day (both in UTC).
        self._seconds = 60 if self._by_hour else 86_400
        self._at: dict[int, Price | None] = {}
        self._made: dict[str, Price | None] = {}

    def at(self, moment: float) -> Price | None:
        """Return the price at `moment` (Unix seconds); None for what is not charged by the token."""
        span = int(moment // self._seconds)
        if span not in self._at:
            if len(self._at) > 1000:
                self._at.clear()
            self._at[span] = self._resolve(datetime.fromtimestamp(moment, UTC))
        return self._at[span]

    def _resolve(self, moment: datetime) -> Price | None:
        days = [f"{each.start_date:%Y-%m-%d}" for each in self._by_day if each.active(moment)]
        hours = {f"{each.start_time:%H:%M}" for each in self._by_hour if each.active(moment)}
        # The dated prices in force name the edition, so that a price's id stands for one set of figures.
        edition = " ".join([max(days, default=""), *sorted(hours)]).strip()
        if edition not in self._made:
            self._made[edition] = self._make(moment, edition)
        return self._made[edition]

    def _make(self, moment: datetime, edition: str) -> Price | None:
        standard = _tiers(self._info.get_prices(moment))
        if standard is None:
            return None
        variants: dict[str, tuple[Tier, ...]] = {}
        for processing, context in _CONTEXTS:
            tiers = _tiers(self._info.get_prices(moment, context))
            if tiers is not None and _has_variant(self._info, context, moment):
                variants[processing] = tiers
        name = f"{self._source}/{self._info.id}" + (f" {edition}" if edition else "")
        return Price(name, self._provider, self._model, standard, variants)


def _has_variant(info: ModelInfo, context: Mapping[str, str], moment: datetime) -> bool:
    return any(
        variant.when.items() <= context.items() and (variant.constraint is None or variant.constraint.active(moment))
        for variant in info.price_variants or ()
    )


def _tiers(prices: ModelPrice) -> tuple[Tier, ...] | None:
    """Return our tiers; None for what is not charged by the token (speech by the hour, pages by the thousand)."""
    if prices.input_mtok is None:
        return None
    starts = {0, *(tier.start for value in vars(prices).values() for tier in getattr(value, "tiers", ()))}
    return tuple(Tier(start, _rates_above(prices, start)) for start in sorted(starts))


def _rates_above(prices: ModelPrice, start: int) -> Rates:
    def rate(name: str, default: int) -> int:
        value: Any = getattr(prices, name)
        if value is None:
            return default
        within = [tier.price for tier in getattr(value, "tiers", ()) if tier.start <= start]
        return nano(within[-1] if within else getattr(value, "base", value))

    full, output = rate("input_mtok", 0), rate("output_mtok", 0)
    written = rate("cache_write_mtok", full)
    return Rates(
        input=full,
        output=output,
        cache_read=rate("cache_read_mtok", full),
        cache_write=rate("cache_write_5m_mtok", written),
        cache_write_1h=rate("cache_write_1h_mtok", written),
        reasoning=rate("output_reasoning_mtok", output),
        request=rate("requests_kcount", 0) // 1000,
    )
