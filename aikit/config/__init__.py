"""The configuration: layered settings with environments, explained and reloaded while calls run."""

from aikit.config.live import Change, Config, Explanation, Said
from aikit.config.settings import (
    BUILT_IN,
    Budgets,
    CostLimits,
    Defaults,
    LogSettings,
    PriceTable,
    ProviderConfig,
    RateLimits,
    Settings,
    Timeouts,
    WeightedKey,
    origin_of,
)

__all__ = [
    "BUILT_IN",
    "Budgets",
    "Change",
    "Config",
    "CostLimits",
    "Defaults",
    "Explanation",
    "LogSettings",
    "PriceTable",
    "ProviderConfig",
    "RateLimits",
    "Said",
    "Settings",
    "Timeouts",
    "WeightedKey",
    "origin_of",
]
