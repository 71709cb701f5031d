"""What a plan would take, before a call is made: samples, calls, tokens, dollars, minutes, detectable effects."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from aikit.experiments.plan import Plan
from aikit.requests import Request

if TYPE_CHECKING:
    import pandas as pd

    from aikit.experiments.bench import Bench
    from aikit.experiments.variants import Arm
    from aikit.stats import CallCost, Pilot

__all__ = ["Preview", "is_free", "preview"]

COUNTED = 12
"""Samples that are rendered and counted for the estimate; the others are taken to be alike."""
_SPREAD_GUESS = 0.25
"""Share of samples on which exactly one variant passes, where neither a pilot nor the log says."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A plan in figures."""

    name: str
    samples: int
    variants: int
    epochs: int
    calls: int
    tokens: int
    """Input tokens of all calls, estimated."""
    low: float | None
    """US dollars if answers are short; None when a model has no known price."""
    likely: float | None
    high: float | None
    """US dollars that the run can't pass."""
    minutes: float | None
    """At the speed of the models' calls in the log; None when none was logged."""
    detectable: float | None
    """The smallest difference of the primary metric that the whole plan finds with its power."""
    needed: int | None
    """Samples that the plan's `mde` asks for; None without one."""
    power_curve: pd.DataFrame
    """samples, calls, dollars, effect: what more money would detect."""
    basis: str
    """Where the spread comes from: a pilot, or a guess."""
    warnings: tuple[str, ...] = ()

    @property
    def is_free(self) -> bool:
        """True when the run costs nothing: every model has the price 0."""
        return self.likely == 0

    @property
    def sentence(self) -> str:
        """The plan in one line of words."""
        money = (
            "at an unknown price"
            if self.likely is None
            else "at no cost"
            if self.is_free
            else f"about ${_money(self.likely)} (${_money(self.low)} to ${_money(self.high)})"
        )
        time = "" if self.minutes is None else f", about {self.minutes:.1f} min"
        found = (
            "" if self.detectable is None else f"; finds a difference of {self.detectable:.3g} or more ({self.basis})"
        )
        return (
            f"{self.name}: {self.samples} samples × {self.variants} variants"
            f"{f' × {self.epochs} epochs' if self.epochs > 1 else ''} = {self.calls} calls, {money}{time}{found}."
        )

    def __str__(self) -> str:
        return "\n".join([self.sentence, *(f"note: {one}" for one in self.warnings)])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(one)}</li>" for one in self.warnings)
        return f"<div>{html.escape(self.sentence)}<ul>{notes}</ul>{self.power_curve.to_html(index=False)}</div>"


async def is_free(plan: Plan, bench: Bench) -> bool:
    """Say whether a run is sure to cost nothing: the dearest answer to one sample costs 0 on every model."""
    costs = [await _cost(plan, arm, bench, counted=1) for arm in plan.arms]
    return all(one.high == 0 for one in costs)


async def preview(plan: Plan, bench: Bench, *, spread: Pilot | None = None) -> Preview:
    """Estimate a plan; counts tokens offline and sends nothing."""
    import asyncio

    costs = [await _cost(plan, arm, bench) for arm in plan.arms]
    speed = await asyncio.to_thread(bench.journal.speeds, [arm.model_name for arm in plan.arms])
    return _preview(plan, costs, speed, spread, max(bench.concurrency(arm.model) for arm in plan.arms))


@dataclass(frozen=True, slots=True)
class _PerCall:
    """Means over the counted samples of one variant."""

    tokens: float
    low: float | None
    likely: float | None
    high: float | None


async def _cost(plan: Plan, arm: Arm, bench: Bench, *, counted: int = COUNTED) -> _PerCall:
    samples = list(plan.dataset.samples)
    if len(samples) > counted:
        samples = Random(f"{plan.shuffle_seed}:preview").sample(samples, counted)  # noqa: S311  no secret
    found = [
        await bench.estimate(Request(messages=arm.prompt.messages(one.inputs), options=arm.options, model=arm.model))
        for one in samples
    ]
    return _PerCall(
        sum(one.tokens.tokens for one in found) / len(found),
        _mean([one.low for one in found]),
        _mean([one.likely for one in found]),
        _mean([one.upper for one in found]),
    )


def _mean(values: Sequence[Any]) -> float | None:
    if any(value is None for value in values):
        return None
    return sum(map(float, values)) / len(values)


def _preview(
    plan: Plan, costs: Sequence[_PerCall], speed: dict[str, float], spread: Pilot | None, concurrency: int
) -> Preview:
    each = len(plan.dataset) * plan.epochs
    seconds = [speed.get(arm.model_name) for arm in plan.arms]
    known = [one for one in seconds if one is not None]
    minutes = sum(known) * each / concurrency / 60 if len(known) == len(plan.arms) else None
    detectable, needed, curve, basis, notes = _power(plan, costs, spread)
    unpriced = [arm.model_name for arm, one in zip(plan.arms, costs, strict=True) if one.high is None]
    if unpriced:
        notes += (f"no price is known for {', '.join(dict.fromkeys(unpriced))}",)
    if needed is not None and needed > len(plan.dataset):
        notes += (f"to find {plan.mde:g} takes {needed} samples; the dataset has {len(plan.dataset)}",)
    return Preview(
        name=plan.name,
        samples=len(plan.dataset),
        variants=len(plan.arms),
        epochs=plan.epochs,
        calls=plan.calls,
        tokens=round(sum(one.tokens for one in costs) * each),
        low=_total([one.low for one in costs], each),
        likely=_total([one.likely for one in costs], each),
        high=_total([one.high for one in costs], each),
        minutes=minutes,
        detectable=detectable,
        needed=needed,
        power_curve=curve,
        basis=basis,
        warnings=(*plan.dataset.warnings, *notes),
    )


def _total(values: Sequence[float | None], each: int) -> float | None:
    return None if any(value is None for value in values) else sum(value or 0.0 for value in values) * each


def _power(
    plan: Plan, costs: Sequence[_PerCall], spread: Pilot | None
) -> tuple[float | None, int | None, pd.DataFrame, str, tuple[str, ...]]:
    """Return the detectable effect, the samples the mde needs, the curve, and what it rests on."""
    import pandas as pd

    from aikit import stats
    from aikit.errors import DataError

    basis = "by the pilot's spread" if spread else "if 1 sample in 4 tells the variants apart"
    per_call = [stats.CallCost(input_tokens=one.tokens, dollars=one.likely, dollars_low=one.low, dollars_high=one.high)
                for one in costs]  # fmt: skip
    columns = ["samples", "calls", "dollars", "effect"]
    try:
        sized = _sized(plan, per_call, spread, plan.mde or 0.1)
        variance = spread.omega2 + (spread.sigma2_a + spread.sigma2_b) / plan.epochs if spread else _SPREAD_GUESS
        inflation = math.sqrt(max(sized.inflation, 1.0))
        effect = stats.normal_detectable(len(plan.dataset), variance=variance, alpha=plan.alpha, power=plan.power)
        rows = [[one.samples, one.calls, one.dollars, one.effect] for one in sized.curve]
    except DataError as error:
        return None, None, pd.DataFrame(columns=columns), basis, (f"no power curve: {error}",)
    notes = () if spread else ("the spread is a guess: plan.pilot(20) measures it",)
    return effect * inflation, sized.samples if plan.mde else None, pd.DataFrame(rows, columns=columns), basis, notes


def _sized(plan: Plan, costs: Sequence[CallCost], spread: Pilot | None, effect: float) -> Any:
    from aikit import stats

    guess = stats.Pilot(omega2=_SPREAD_GUESS)
    return stats.sample_size(
        effect,
        spread=spread or guess,
        alpha=plan.alpha,
        power=plan.power,
        variants=len(plan.arms),
        epochs=plan.epochs,
        stopping=plan.stopping,
        looks=plan.looks,
        cost=list(costs),
    )


def _money(amount: float | None) -> str:
    if amount is None:
        return "?"
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.4f}"
