"""A price: what a model's tokens cost, in whole nano-dollars.

Cached tokens are counted inside the prompt (`Usage`), so they are taken out of it before the rest is charged at the
full rate; reasoning is inside the output. A long prompt moves the *whole* call to the tier its total length falls into.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Literal

from aikit.errors import UnknownPrice

if TYPE_CHECKING:
    from aikit.messages import Usage

__all__ = ["CacheTTL", "Price", "Processing", "Rates", "Tier", "dollars", "longest_answer", "nano"]

CacheTTL = Literal["5m", "1h"]
"""How long a cached prefix is kept; the longer one costs more to write."""
Processing = Literal["standard", "batch", "flex", "priority", "fast"]
"""The provider's service tier; `default` and `auto` in a provider's own words are `standard`."""

_PER = 1_000_000  # prices are quoted for this many tokens
_LONGEST = 131_072


def nano(amount: Decimal | float) -> int:
    """Return US dollars as whole nano-dollars, rounded up."""
    return int((Decimal(str(amount)) * 1_000_000_000).to_integral_value(ROUND_CEILING))


def dollars(amount: int) -> Decimal:
    """Return nano-dollars as US dollars, exactly."""
    return Decimal(amount).scaleb(-9) if amount else Decimal(0)


def longest_answer(max_tokens: int | None, model_maximum: int | None) -> int:
    """Return the most output tokens an answer can have; 131,072 where neither the call nor the model sets a limit."""
    return min(max_tokens or _LONGEST, model_maximum or _LONGEST)


@dataclass(frozen=True, slots=True)
class Rates:
    """What one tier charges, in nano-dollars per million tokens."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    """Written for five minutes."""
    cache_write_1h: int
    reasoning: int
    """The output rate, but where a provider charges reasoning apart."""
    request: int = 0
    """Nano-dollars for each request, whatever its length."""

    def dearest_input(self, cache_ttl: CacheTTL | None) -> int:
        """Return the highest rate that a prompt token can be charged at; `cache_ttl` None rules cache writes out."""
        written = {None: 0, "5m": self.cache_write, "1h": self.cache_write_1h}[cache_ttl]
        return max(self.input, self.cache_read, written)


@dataclass(frozen=True, slots=True)
class Tier:
    """The rates of prompts longer than `above` tokens."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Price:
    """What one model charges at one time; `id` names the source and the snapshot, so that a row can be recomputed."""

    id: str
    provider: str
    model: str
    tiers: tuple[Tier, ...]
    """By rising `above`; the first is 0."""
    variants: Mapping[str, tuple[Tier, ...]] = field(default_factory=dict[str, tuple[Tier, ...]])
    """Tiers by processing, where they differ from the standard ones."""

    @property
    def free(self) -> bool:
        """True where nothing is ever charged, whatever the usage."""
        return self.id == "free"

    def cost(
        self,
        usage: Usage,
        *,
        processing: str | None = "standard",
        cache_ttl: CacheTTL | None = "5m",
        prompt: int | None = None,
        requests: int = 1,
    ) -> int | None:
        """Return the usage's cost in nano-dollars; None where tokens or the processing's price are not known.

        `cache_ttl` is the time the written prefix is kept; one figure holds for the whole call. For the summed usage
        of several `requests` of one tier, `prompt` is a length within that tier.
        """
        if self.free:
            return 0
        tiers = self._tiers(processing)
        if tiers is None or usage.input_tokens is None or usage.output_tokens is None:
            return None
        rates = _rates(tiers, usage.input_tokens if prompt is None else prompt)
        read, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
        reasoning = min(usage.reasoning_tokens or 0, usage.output_tokens)
        total = (
            max(usage.input_tokens - read - written, 0) * rates.input
            + read * rates.cache_read
            + written * (rates.cache_write_1h if cache_ttl == "1h" else rates.cache_write)
            + (usage.output_tokens - reasoning) * rates.output
            + reasoning * rates.reasoning
        )
        return requests * rates.request + (total + _PER // 2) // _PER

    def upper(
        self,
        input_tokens: int,
        output_tokens: int,
        *,
        processing: str | None = "standard",
        cache_ttl: CacheTTL | None = "1h",
    ) -> int:
        """Return the most that a call of at most so many tokens can cost, in nano-dollars.

        Every prompt token is taken at the dearest rate it can be charged at; pass the request's `cache_ttl`, None for
        a request that writes no cache. Raises `UnknownPrice` where the processing has no price.
        """
        if self.free:
            return 0
        tiers = self._tiers(processing)
        if tiers is None:
            raise UnknownPrice(f"{self.provider}:{self.model} has no known price for {processing!r} processing")
        within = [tier.rates for tier in tiers if tier.above < max(input_tokens, 1)]
        return max(
            rates.request
            + _ceiling(
                input_tokens * rates.dearest_input(cache_ttl) + output_tokens * max(rates.output, rates.reasoning)
            )
            for rates in within
        )

    def saved_by_cache(self, usage: Usage, *, processing: str | None = "standard", prompt: int | None = None) -> int:
        """Return how much less the call cost than with no token read from the cache, in nano-dollars."""
        tiers = self._tiers(processing)
        if self.free or tiers is None or usage.input_tokens is None or not usage.cache_read_tokens:
            return 0
        rates = _rates(tiers, usage.input_tokens if prompt is None else prompt)
        return usage.cache_read_tokens * (rates.input - rates.cache_read) // _PER

    def _tiers(self, processing: str | None) -> tuple[Tier, ...] | None:
        name = processing or "standard"
        if name in ("standard", "default", "auto"):
            return self.tiers
        if name in self.variants:
            return self.variants[name]
        # Batch and flex are discounts: where none is published the standard rate is an upper bound, and so is safe.
        return self.tiers if name in ("batch", "flex") else None


def _ceiling(amount: int) -> int:
    return -(-amount // _PER)


def _rates(tiers: tuple[Tier, ...], input_tokens: int) -> Rates:
    for tier in reversed(tiers):
        if input_tokens > tier.above:
            return tier.rates
    return tiers[0].rates
