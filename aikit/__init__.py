"""Prompt experiments in a notebook: one client, hard budgets, every call logged, and honest statistics.

    import aikit

    kit = aikit.open()
    kit.ask("Why is the sky blue?")

Everything here is imported at its first use, so that `import aikit` stays quick and opens nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aikit import charts, stats
    from aikit.async_kit import AsyncKit
    from aikit.budgets import CostTracker
    from aikit.config import ProviderConfig
    from aikit.errors import AikitError, BudgetExceeded, StreamInterrupted
    from aikit.experiments import Experiment, Run, Sample, Score, Variant, scorers
    from aikit.kit import Kit, open  # noqa: A004 — `aikit.open` reads as what it does
    from aikit.limits import RateLimiter
    from aikit.messages import Completion, GenerationOptions, Message, ProviderCapabilities, Usage
    from aikit.providers.base import LLMProvider
    from aikit.routing.routes import balance, failover

__all__ = [
    "AikitError",
    "AsyncKit",
    "BudgetExceeded",
    "Completion",
    "CostTracker",
    "Experiment",
    "GenerationOptions",
    "Kit",
    "LLMProvider",
    "Message",
    "ProviderCapabilities",
    "ProviderConfig",
    "RateLimiter",
    "Run",
    "Sample",
    "Score",
    "StreamInterrupted",
    "Usage",
    "Variant",
    "balance",
    "charts",
    "failover",
    "open",
    "scorers",
    "stats",
]

__version__ = "0.1.0"

_HOMES = {
    "AikitError": "errors",
    "AsyncKit": "async_kit",
    "BudgetExceeded": "errors",
    "Completion": "messages",
    "CostTracker": "budgets",
    "Experiment": "experiments",
    "GenerationOptions": "messages",
    "Kit": "kit",
    "LLMProvider": "providers.base",
    "Message": "messages",
    "ProviderCapabilities": "messages",
    "ProviderConfig": "config",
    "RateLimiter": "limits",
    "Run": "experiments",
    "Sample": "experiments",
    "Score": "experiments",
    "StreamInterrupted": "errors",
    "Usage": "messages",
    "Variant": "experiments",
    "balance": "routing.routes",
    "failover": "routing.routes",
    "load_ipython_extension": "magics",
    "open": "kit",
    "scorers": "experiments",
}
"""Where each public name lives; `charts`, `stats` and the other modules are found by their own names."""


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home == "experiments" and name == "scorers":
        value = importlib.import_module("aikit.experiments.scorers")
    elif home is not None:
        value = getattr(importlib.import_module(f"aikit.{home}"), name)
    elif name.startswith("_"):
        raise AttributeError(f"module 'aikit' has no attribute {name!r}")
    else:
        try:
            value = importlib.import_module(f"aikit.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"aikit.{name}":
                raise
            from aikit.errors import did_you_mean

            near = did_you_mean(name, __all__)
            raise AttributeError(f"module 'aikit' has no attribute {name!r}{near}") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
