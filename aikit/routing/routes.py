"""Where a call may go, as plain data: resolved by the kit when a call is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aikit.errors import UnknownSetting

if TYPE_CHECKING:
    from aikit.providers.base import LLMProvider

__all__ = ["Balance", "Route", "balance", "failover"]

Balance = Literal["latency", "cost", "round_robin"]


@dataclass(frozen=True, slots=True)
class Route:
    """An order of targets; a target is a model id, a provider or another route."""

    targets: tuple[str | LLMProvider | Route, ...]
    kind: Literal["failover", "balance"] = "failover"
    by: Balance = "latency"
    weights: tuple[tuple[str, float], ...] = ()
    """Pairs of a model id and its weight; empty without fixed weights."""

    def __repr__(self) -> str:
        inside = ", ".join(map(repr, self.targets))
        how = (
            ""
            if self.kind == "failover"
            else f", weights={dict(self.weights)}"
            if self.weights
            else f", by={self.by!r}"
        )
        return f"{self.kind}({inside}{how})"


def failover(*targets: str | LLMProvider | Route) -> Route:
    """Return a route that asks each target in turn until one answers.

    `kit.ask(…, model=aikit.failover("openai:gpt-5-mini", "local:smollm2"))`
    """
    return Route(_checked(targets))


def balance(
    *targets: str | LLMProvider | Route, by: Balance = "latency", weights: Mapping[str, float] | None = None
) -> Route:
    """Return a route that spreads calls over its targets; the others stand by when the chosen one fails.

    `by="latency"` takes the better of two at random, `"cost"` the cheapest for the prompt, `"round_robin"` takes
    turns; `weights` (model id → share) fixes the shares instead.
    """
    if by not in ("latency", "cost", "round_robin"):
        raise UnknownSetting(f"can't balance by {by!r}; known: cost, latency, round_robin")
    if weights is not None:
        named = [target for target in targets if isinstance(target, str)]
        wrong = sorted(set(weights) - set(named))
        if wrong or any(weight < 0 for weight in weights.values()) or sum(weights.values()) <= 0:
            raise UnknownSetting(
                f"weights must name the targets ({', '.join(named)}) and be positive; got {dict(weights)}"
            )
    return Route(_checked(targets), "balance", by, tuple((weights or {}).items()))


def _checked(targets: tuple[str | LLMProvider | Route, ...]) -> tuple[str | LLMProvider | Route, ...]:
    if not targets:
        raise UnknownSetting("a route needs at least one target, such as 'local:smollm2'")
    return targets
