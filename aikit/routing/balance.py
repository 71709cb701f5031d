"""A provider made of providers: each call goes to the one that suits best now, the others stand by."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from aikit.errors import UnknownSetting
from aikit.messages import GenerationOptions
from aikit.routing.guard import Guard

__all__ = ["ORDERS", "Rotation", "by_cost", "by_latency", "by_weight", "order_for"]

Prompt = object
Order = Callable[[Sequence[Guard]], list[Guard]]
"""Puts targets in the order in which they are to be asked."""

FIRST_GUESS = 0.001
"""Seconds to the first token assumed of a target that has not answered yet: quick, so that it is tried."""


def by_latency(targets: Sequence[Guard], *, uniform: random.Random) -> list[Guard]:
    """Put the better of two targets drawn at random in front: the lower (time to first token × (in flight + 1)).

    Source: "The Power of Two Choices in Randomized Load Balancing", M. Mitzenmacher, 2001; peak-EWMA as in Finagle.
    """
    shuffled = uniform.sample(list(targets), len(targets))
    if len(shuffled) > 1 and load(shuffled[1]) < load(shuffled[0]):
        shuffled[0], shuffled[1] = shuffled[1], shuffled[0]
    return shuffled


def load(target: Guard) -> float:
    """Return a target's load in seconds; lower is better."""
    gate = target.gate
    latency = FIRST_GUESS if gate.latency is None else max(FIRST_GUESS, gate.latency)
    return latency * (gate.in_flight + 1) / max(0.01, gate.headroom)


def by_weight(targets: Sequence[Guard], weights: Mapping[str, float], *, uniform: random.Random) -> list[Guard]:
    """Draw targets without replacement with the given weights, by the targets' ids (`"provider:model"`)."""
    left = list(targets)
    ordered: list[Guard] = []
    while left:
        weight = [max(0.0, weights.get(target.target, 0.0)) for target in left]
        chosen = uniform.choices(left, weight)[0] if sum(weight) > 0 else left[0]
        left.remove(chosen)
        ordered.append(chosen)
    return ordered


def by_cost(targets: Sequence[Guard], estimate: Callable[[Guard], Decimal | None]) -> list[Guard]:
    """Put the cheapest for this prompt in front; targets without a price go last."""

    def cost(target: Guard) -> tuple[bool, Decimal]:
        known = estimate(target)
        return known is None, known or Decimal(0)

    return sorted(targets, key=cost)


class Rotation:
    """Take turns: one counter for a set of targets, shared by its calls."""

    def __init__(self) -> None:
        self._turn = itertools.count()

    def order(self, targets: Sequence[Guard]) -> list[Guard]:
        """Return the targets, beginning with the one whose turn it is."""
        first = next(self._turn) % len(targets)
        return [*targets[first:], *targets[:first]]


ORDERS = ("cost", "latency", "round_robin")


def order_for(
    by: str,
    targets: Sequence[Guard],
    *,
    weights: Mapping[str, float] | None,
    rotation: Rotation,
    prompt: object,
    options: GenerationOptions,
    uniform: random.Random,
) -> list[Guard]:
    """Return the targets in the order in which a call is to ask them.

    Raises `UnknownSetting` for an order that does not exist.
    """
    if weights:
        return by_weight(targets, weights, uniform=uniform)
    match by:
        case "latency":
            return by_latency(targets, uniform=uniform)
        case "cost":
            return by_cost(targets, lambda target: target.estimate_cost(prompt, options))  # pyright: ignore[reportArgumentType] — a prompt as the caller gave it
        case "round_robin":
            return rotation.order(targets)
        case _:
            raise UnknownSetting(f"can't balance by {by!r}; known: {', '.join(ORDERS)}")
