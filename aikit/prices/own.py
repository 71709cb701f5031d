"""A user's own price, checked: `{input = 2.5, cache_read = 1.25, cache_write = 3.1, output = 10}`."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

from aikit.errors import ConfigError, UnknownSetting, did_you_mean
from aikit.prices.price import Price, Rates, Tier, dollars, nano

__all__ = ["own_price"]

_OTHERS = ("batch", "flex", "priority")
# The published figures lie between 0.0011 and 600 (November 2026); a factor of ten is left on both sides.
_CHEAPEST, _DEAREST = 0.0001, 6_000
_OWN_KEYS = ("input", "output", "cache_read", "cache_write", "cache_write_1h")


def own_price(provider: str, model: str, table: object) -> Price:
    """Return the price that a table of the settings states; raises `ConfigError` for one that can't be meant.

    What it leaves out of the cache's rates is charged as any other input.
    """
    where = f"providers.{provider}.prices.{model!r}"
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where} is {table!r}; write {{input = 2.5, output = 10}}, US dollars per million tokens")
    figures = cast("Mapping[str, Any]", table)
    standard = {key: value for key, value in figures.items() if key not in _OTHERS}
    tiers = (Tier(0, _own_rates(where, standard)),)
    variants = {key: (Tier(0, _own_rates(f"{where}.{key}", figures[key])),) for key in _OTHERS if key in figures}
    digest = hashlib.sha256(json.dumps(figures, sort_keys=True, default=str).encode()).hexdigest()[:8]
    return Price(f"config/{provider}/{model}@{digest}", provider, model, tiers, variants)


def _own_rates(where: str, table: object) -> Rates:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where} is {table!r}; write {{input = 2.5, output = 10}}, US dollars per million tokens")
    figures = cast("Mapping[str, Any]", table)
    for key in figures:
        if key not in _OWN_KEYS:
            known = ", ".join((*_OWN_KEYS, *_OTHERS))
            raise UnknownSetting(f"{where} has no {key!r}{did_you_mean(key, _OWN_KEYS)} (known: {known})")
    for key in ("input", "output"):
        if key not in figures:
            raise ConfigError(f"{where} names no {key!r}; a price has at least input and output")
    full = _plausible(where, "input", figures["input"])
    written = _plausible(where, "cache_write", figures.get("cache_write", figures["input"]))
    output = _plausible(where, "output", figures["output"])
    return Rates(
        input=full,
        output=output,
        cache_read=_plausible(where, "cache_read", figures.get("cache_read", figures["input"])),
        cache_write=written,
        cache_write_1h=_plausible(where, "cache_write_1h", figures.get("cache_write_1h", dollars(written))),
        reasoning=output,
    )


def _plausible(where: str, key: str, value: object) -> int:
    """Return the rate; refuse what is no amount, or what was meant per token or per thousand tokens."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)) or not math.isfinite(value):
        raise ConfigError(f"{where}.{key} is {value!r}; write US dollars per million tokens, a number")
    if value < 0:
        raise ConfigError(f"{where}.{key} is {value}; a price can't be negative")
    if 0 < value < _CHEAPEST:
        raise ConfigError(f"{where}.{key} is {value}; prices are in US dollars per million tokens, not per token")
    if value > _DEAREST:
        raise ConfigError(f"{where}.{key} is {value}; no model costs that many US dollars per million tokens")
    return nano(value)
