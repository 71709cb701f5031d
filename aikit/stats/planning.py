"""A plan in money: samples, calls, tokens, dollars and minutes that detect an effect, and what other budgets detect."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, cast

from aikit.errors import DataError
from aikit.stats.power import (
    design_effect,
    difference_variance,
    first_reaching,
    mcnemar_power,
    normal_detectable,
    t_power,
    t_samples,
)
from aikit.stats.results import Result
from aikit.stats.sequential import MOST_LOOKS, group_inflation

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["CallCost", "CurvePoint", "Pilot", "SamplePlan", "Stopping", "pilot", "sample_size", "stopping_inflation"]

Stopping = Literal["fixed", "group", "anytime"]

_ENUMERATED = 2000  # largest n at which McNemar's power is enumerated
_SEARCHED = 100_000
_CURVE = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True, slots=True)
class CallCost(Result):
    """What one call of one variant takes, and how fast the provider lets calls through."""

    input_tokens: float = 0.0
    output_tokens: float = 0.0
    dollars: float | None = None
    """US dollars, likely; None when no price is known, never 0 for unknown."""
    dollars_low: float | None = None
    """US dollars if things go well (short answers, cache hits); the likely figure when None."""
    dollars_high: float | None = None
    """US dollars at most (the upper bound that a hard budget reserves); the likely figure when None."""
    seconds: float = 0.0
    """Duration of one call; 0 when unknown."""
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    concurrent: int = 1


@dataclass(frozen=True, slots=True)
class Pilot(Result):
    """What a pilot run says about spread; the input of a sample size."""

    omega2: float
    """Variance of the true differences between samples, ω²."""
    sigma2_a: float = 0.0
    """Variance of one call on the same sample, control; 0 with a single epoch (then it is inside ω²)."""
    sigma2_b: float = 0.0
    icc: float = 0.0
    """Intraclass correlation of the differences within clusters; 0 without clusters."""
    cluster_size: float = 1.0
    """Mean samples per cluster."""
    cluster_cv: float = 0.0
    """Coefficient of variation of the cluster sizes."""
    discordance: float | None = None
    """Share of samples that exactly one variant passes; None unless pass/fail with one epoch."""
    samples: int = 0


@dataclass(frozen=True, slots=True)
class CurvePoint(Result):
    """One point of the curve of detectable effect against dollars."""

    samples: int
    calls: int
    dollars: float | None
    """Likely US dollars; None without a price."""
    effect: float
    """Smallest effect found with the plan's power."""


@dataclass(frozen=True, slots=True)
class SamplePlan(Result):
    """How many samples, and what they cost."""

    samples: int
    """Samples (inputs), each given to every variant; in a sequential plan the largest number."""
    expected_samples: float
    """Average at the end if the effect is as planned; below `samples` only in a sequential plan."""
    calls: int
    tokens: float
    """Input and output tokens of all calls, likely."""
    dollars_low: float | None
    """US dollars if things go well and a sequential plan stops when expected; None without a price."""
    dollars: float | None
    """US dollars, likely, of the whole plan."""
    dollars_high: float | None
    """US dollars at most."""
    minutes: float | None
    """Wall time of the whole plan at the rate limits; None when neither limits nor durations are known."""
    effect: float
    power: float
    """Power reached at `samples`."""
    alpha: float
    stopping: str
    inflation: float
    """Factor on the fixed plan's samples for being allowed to stop early."""
    curve: tuple[CurvePoint, ...]
    assumptions: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """Say samples, calls, dollars, minutes and what they detect."""
        money = "price unknown" if self.dollars is None else f"about ${self.dollars:,.2f}"
        if self.dollars_high is not None:
            money += f" (${self.dollars_low:,.2f} to ${self.dollars_high:,.2f})"
        time = "" if self.minutes is None else f", about {self.minutes:,.0f} min"
        return (
            f"{self.samples} samples, {self.calls} calls, {money}{time}: finds a difference of {self.effect:g} "
            f"with power {self.power:.2f} at alpha {self.alpha:g} ({self.stopping})."
        )


def sample_size(
    effect: float,
    *,
    spread: Pilot | None = None,
    discordance: float | None = None,
    epochs: int | tuple[int, int] = 1,
    variants: int = 2,
    alpha: float = 0.05,
    power: float = 0.8,
    stopping: Stopping = "fixed",
    looks: int = 5,
    cost: CallCost | Sequence[CallCost] | Mapping[str, CallCost] | None = None,
) -> SamplePlan:
    """Plan the samples that detect `effect` (a paired difference, in the metric's unit), in calls, dollars and minutes.

    n = (z₁₋α/₂ + z_power)²·(ω² + σ²A/KA + σ²B/KB)/effect² × design effect × inflation of the stopping mode, finished
    with the noncentral t; pass/fail with one epoch (`discordance`: share of samples that exactly one variant passes)
    with the enumerated power of the mid-p McNemar test up to n = 2,000. More than two `variants` share alpha equally.
    `cost`: one for all, or one per variant. New samples before repeats: repeats only shrink σ²/K.
    """
    ks = (epochs, epochs) if isinstance(epochs, int) else epochs
    if effect == 0 or variants < 2 or min(ks) < 1:
        raise DataError(
            f"effect={effect}, variants={variants}, epochs={ks}: an effect, two variants, one epoch at least"
        )
    assumed, notes = _spread(spread, discordance, effect)
    each = alpha / (variants - 1)
    inflation, expected = stopping_inflation(stopping, looks=looks, alpha=each, power=power)
    deff = design_effect(cluster_size=assumed.cluster_size, cluster_cv=assumed.cluster_cv, icc=assumed.icc)
    variance = deff * difference_variance(
        assumed.omega2, sigma2_a=assumed.sigma2_a, sigma2_b=assumed.sigma2_b, epochs_a=ks[0], epochs_b=ks[1]
    )
    exact = assumed.discordance is not None and ks == (1, 1) and deff == 1
    n, reached = _samples(effect, variance, assumed, exact, alpha=each, power=power)
    samples = math.ceil(n * inflation)
    calls_each = (ks[0], *([ks[1]] * (variants - 1)))
    costs = _costs(cost, variants)
    share = expected / inflation
    curve = tuple(
        _point(max(2, round(samples * step)), calls_each, costs, variance, inflation, each, power) for step in _CURVE
    )
    return SamplePlan(
        samples,
        samples * share,
        samples * sum(calls_each),
        _tokens(samples, calls_each, costs),
        _dollars(samples * share, calls_each, costs, "low"),
        _dollars(samples, calls_each, costs, "likely"),
        _dollars(samples, calls_each, costs, "high"),
        _minutes(samples, calls_each, costs),
        effect,
        reached,
        alpha,
        stopping if stopping != "group" else f"group, {looks} looks",
        inflation,
        curve,
        notes,
    )


def _samples(
    effect: float, variance: float, assumed: Pilot, exact: bool, *, alpha: float, power: float
) -> tuple[int, float]:
    """Return the samples of a fixed plan and the power they reach."""
    sd, per_df = math.sqrt(variance), assumed.cluster_size if assumed.icc > 0 else 1.0
    n = math.ceil(t_samples(effect, sd=sd, alpha=alpha, power=power, units_per_df=per_df, both=True) - 1e-9)
    if exact and n <= _ENUMERATED and assumed.discordance is not None:
        better, worse = (assumed.discordance + effect) / 2, (assumed.discordance - effect) / 2

        def power_at(samples: int) -> float:
            return mcnemar_power(samples, p_b_only=better, p_a_only=worse, alpha=alpha)

        n = first_reaching(power_at, power, start=n, most=_SEARCHED)
        return n, power_at(n)
    return n, t_power(effect, se=sd / math.sqrt(n), df=max(n / per_df - 1, 1.0), alpha=alpha)


def _spread(spread: Pilot | None, discordance: float | None, effect: float) -> tuple[Pilot, tuple[str, ...]]:
    if spread is not None and discordance is None:
        return spread, (f"spread from a pilot of {spread.samples} samples",) if spread.samples else ()
    if discordance is not None:
        if not abs(effect) <= discordance <= 1:
            raise DataError(
                f"discordance {discordance} can't carry a difference of {effect}: |effect| ≤ discordance ≤ 1"
            )
        base = spread or Pilot(0.0)
        made = Pilot(
            discordance - effect**2,
            base.sigma2_a,
            base.sigma2_b,
            base.icc,
            base.cluster_size,
            base.cluster_cv,
            discordance,
            base.samples,
        )
        return made, (f"{discordance:.0%} of the samples pass with exactly one of the two variants",)
    # Two variants of one prompt rarely disagree on more than a quarter of the inputs; a pilot says better.
    return _spread(None, max(0.25, abs(effect)), effect)


def stopping_inflation(
    stopping: Stopping, *, looks: int = 5, alpha: float = 0.05, power: float = 0.8
) -> tuple[float, float]:
    """Return the largest and the expected n of a stopping mode, as multiples of the fixed plan's n.

    "group": the O'Brien-Fleming spending plan, exact. "anytime": the confidence sequence tuned to the planned n, its
    power counted at 60 looks from a twentieth of the plan on.
    """
    if stopping == "fixed":
        return 1.0, 1.0
    if stopping == "group":
        if not 1 <= looks <= MOST_LOOKS:
            raise DataError(f"{looks} looks: plan 1 to {MOST_LOOKS}, or use stopping='anytime'")
        return group_inflation(looks, alpha=alpha, power=power)
    if stopping == "anytime":
        return _anytime_inflation(alpha, power)
    raise DataError(f"no stopping mode {stopping!r}: use 'fixed', 'group' or 'anytime'")


@cache  # a pure function of two numbers that costs a second
def _anytime_inflation(alpha: float, power: float) -> tuple[float, float]:
    from scipy import optimize, special

    from aikit.stats.anytime import sequence_half_width
    from aikit.stats.sequential import GroupBounds, group_power

    shares = tuple((k + 3) / 62 for k in range(60))
    # With sd 1 and a plan of 1 unit, z = estimate·√t; half-width·√t is the bound on z.
    z = tuple(float(sequence_half_width(t, 1.0, planned=1.0, alpha=alpha)) * math.sqrt(t) for t in shares)
    bounds = GroupBounds(shares, z, (), alpha, "confidence sequence")
    fixed = float(special.ndtri(1 - alpha / 2) + special.ndtri(power))
    drift = optimize.brentq(lambda d: group_power(bounds, drift=d).power - power, fixed * 0.8, fixed * 2.5, xtol=1e-4)
    inflation = (drift / fixed) ** 2
    return inflation, inflation * group_power(bounds, drift=drift).expected_information


def pilot(a: ArrayLike, b: ArrayLike, cluster: ArrayLike | None = None) -> Pilot:
    """Estimate the spread that a plan needs from a pilot's results.

    `a`, `b`: control and variant, shape (samples,) or (samples, epochs), NaN for a missing epoch. `cluster`: labels per
    sample. ω² is the variance of the samples' mean differences less the part that repeats explain, floored at 0.
    """
    import numpy as np

    tables = [np.asarray(one, dtype=np.float64) for one in (a, b)]
    tables = [one[:, None] if one.ndim == 1 else one for one in tables]
    if len(tables[0]) != len(tables[1]) or len(tables[0]) < 2:
        raise DataError(f"{len(tables[0])} and {len(tables[1])} samples: a pilot needs the same two or more in both")
    within: list[float] = []
    noise = 0.0
    for table in tables:
        counts = (~np.isnan(table)).sum(axis=1)
        repeated = counts > 1
        variance = float(np.nanvar(table[repeated], axis=1, ddof=1).mean()) if repeated.any() else 0.0
        within.append(variance)
        noise += variance * float((1 / counts).mean())
    difference = np.nanmean(tables[1], axis=1) - np.nanmean(tables[0], axis=1)
    passfail = all(one.shape[1] == 1 and set(np.unique(one).tolist()) <= {0.0, 1.0} for one in tables)
    omega2 = max(0.0, float(difference.var(ddof=1)) - noise)
    discordance = float((difference != 0).mean()) if passfail else None
    if cluster is None:
        return Pilot(omega2, within[0], within[1], discordance=discordance, samples=len(difference))
    icc, size, cv = _cluster_spread(cast("list[float]", difference.tolist()), cluster)
    return Pilot(omega2, within[0], within[1], icc, size, cv, discordance, len(difference))


def _cluster_spread(difference: list[float], cluster: ArrayLike) -> tuple[float, float, float]:
    """Return ICC(1) by analysis of variance for unequal sizes (Donner & Koval 1980), mean size and its cv."""
    import numpy as np

    from aikit.stats.clustered import cluster_codes

    values = np.asarray(difference)
    sizes = np.bincount(cluster_codes(cluster, values.size)).astype(np.float64)
    codes = cluster_codes(cluster, values.size)
    groups, n = sizes.size, values.size
    means = np.bincount(codes, weights=values) / sizes
    cv = float(sizes.std() / sizes.mean())
    if groups < 2 or n == groups:
        return 0.0, float(sizes.mean()), cv
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (groups - 1)
    within = float(((values - means[codes]) ** 2).sum()) / (n - groups)
    typical = (n - float((sizes**2).sum()) / n) / (groups - 1)
    total = between + (typical - 1) * within
    return (max(0.0, (between - within) / total) if total > 0 else 0.0), float(sizes.mean()), cv


def _costs(cost: CallCost | Sequence[CallCost] | Mapping[str, CallCost] | None, variants: int) -> tuple[CallCost, ...]:
    if cost is None:
        return (CallCost(),) * variants
    if isinstance(cost, CallCost):
        return (cost,) * variants
    costs = tuple(cost.values()) if isinstance(cost, Mapping) else tuple(cost)
    if len(costs) != variants:
        raise DataError(f"{len(costs)} costs for {variants} variants: give one for all, or one per variant")
    return costs


def _tokens(samples: float, calls: Sequence[int], costs: Sequence[CallCost]) -> float:
    return samples * sum(k * (one.input_tokens + one.output_tokens) for k, one in zip(calls, costs, strict=True))


def _dollars(samples: float, calls: Sequence[int], costs: Sequence[CallCost], which: str) -> float | None:
    field = {"low": "dollars_low", "likely": "dollars", "high": "dollars_high"}[which]
    total = 0.0
    for k, one in zip(calls, costs, strict=True):
        price = cast("float | None", getattr(one, field))
        price = one.dollars if price is None else price
        if price is None:
            return None
        total += samples * k * price
    return total


def _minutes(samples: int, calls: Sequence[int], costs: Sequence[CallCost]) -> float | None:
    """Return the longest of what the request limit, the token limit and the calls' own durations take."""
    longest: list[float] = []
    total = samples * sum(calls)
    rates = [one.requests_per_minute for one in costs if one.requests_per_minute]
    if rates:
        longest.append(total / min(rates))
    rates = [one.tokens_per_minute for one in costs if one.tokens_per_minute]
    if rates:
        longest.append(_tokens(samples, calls, costs) / min(rates))
    seconds = sum(samples * k * one.seconds / max(one.concurrent, 1) for k, one in zip(calls, costs, strict=True))
    if seconds:
        longest.append(seconds / 60)
    return max(longest) if longest else None


def _point(
    samples: int,
    calls: Sequence[int],
    costs: Sequence[CallCost],
    variance: float,
    inflation: float,
    alpha: float,
    power: float,
) -> CurvePoint:
    effect = normal_detectable(samples / inflation, variance=variance, alpha=alpha, power=power)
    return CurvePoint(samples, samples * sum(calls), _dollars(samples, calls, costs, "likely"), effect)
