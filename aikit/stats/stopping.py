"""When a run may stop, and what may be said while it goes on: fixed, at planned looks, or at any time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aikit.errors import DataError, did_you_mean
from aikit.stats.contrasts import Contrast, no_limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from aikit.stats.contrasts import Limits

__all__ = ["Evidence", "Plan", "weigh"]

_MODES = ("fixed", "group", "anytime")

_TUNED_WITHOUT_PLAN = 500  # samples; a constant, for a tuning that follows the data would not be valid
_LOOK_REACH = 0.25  # a look may be taken this share of the step late; the runner overshoots by what is in flight


@dataclass(frozen=True, slots=True)
class Plan:
    """How the run was to end: chosen before it and kept with it."""

    stopping: str = "fixed"
    planned: int | None = None
    """Samples set out for; None when nobody said."""
    looks: int = 5
    """Evenly spaced looks of a group-sequential plan, the last at `planned`."""

    def __post_init__(self) -> None:
        """Refuse a plan that can't be followed."""
        if self.stopping not in _MODES:
            near = did_you_mean(self.stopping, _MODES)
            raise DataError(f"no stopping mode {self.stopping!r}; there are {', '.join(_MODES)}{near}")
        for name, given in (("planned", self.planned), ("looks", self.looks)):
            if given is not None and given % 1 != 0:
                raise DataError(f"{name}={given}: give a whole number")
        if self.planned is not None and self.planned < 1:
            raise DataError(f"planned={self.planned}: plan at least one sample")
        if self.stopping == "group" and self.planned is None:
            raise DataError("stopping='group' needs planned=, the samples of the last look")
        if self.stopping == "group" and not 1 <= self.looks <= 10:
            raise DataError(f"looks={self.looks}: a group-sequential plan has 1 to 10; use stopping='anytime' for more")


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What may be claimed now under the plan."""

    limits: Limits
    """alpha → interval on the contrast's scale that holds under the plan; None when there is none yet."""
    p: float | None
    e_value: float | None
    final: bool
    """True when a decision may be taken now."""
    note: str
    """Which interval this is, in words; empty for the plain fixed one."""
    by_evidence: bool = False
    """The claim rests on the e-value (p), not on the interval."""
    early: bool = False
    """A look before the last."""
    warnings: tuple[str, ...] = ()


def weigh(contrast: Contrast, plan: Plan, *, progress: int, alpha: float = 0.05) -> Evidence:
    """Return what may be claimed of a contrast when `progress` samples of the plan have been run."""
    if plan.stopping == "anytime":
        return _anytime(contrast, plan, progress, alpha, final=True)
    if plan.planned is None or progress >= plan.planned:
        if plan.stopping == "group":
            return _look(contrast, plan, progress, plan.looks, alpha)
        return Evidence(contrast.limits, contrast.p, None, True, "")
    if plan.stopping == "group":
        step = plan.planned / plan.looks
        look = int(progress / step + 1e-9)
        if look >= 1 and progress - look * step < _LOOK_REACH * step:
            return _look(contrast, plan, progress, look, alpha)
    return _anytime(contrast, plan, progress, alpha, final=False)


def _look(contrast: Contrast, plan: Plan, progress: int, look: int, alpha: float) -> Evidence:
    from statistics import NormalDist

    from aikit.stats.sequential import GroupBounds, group_bounds, group_power

    planned = plan.planned or progress
    last = look == plan.looks
    realised = max(progress / planned, 1.0) if last else progress / planned
    shares = (*(k / plan.looks for k in range(1, look)), realised)

    def nominal(level: float) -> float:
        z = group_bounds(shares, alpha=level, last=last).z[-1]
        return 0.0 if math.isinf(z) else 2 * (1 - NormalDist().cdf(z))

    def limits(level: float) -> tuple[float, float] | None:
        own = nominal(level)
        return contrast.limits(own) if own > 0 else None

    bounds = group_bounds(shares, alpha=alpha, last=last)
    p = None
    if contrast.p is not None:
        z = NormalDist().inv_cdf(1 - max(contrast.p, 1e-300) / 2) if contrast.p > 1e-15 else 8.0
        stop = group_power(GroupBounds(shares, (*bounds.z[:-1], z), bounds.spent, alpha, bounds.family), drift=0).stop
        p = min(1.0, sum(stop))
        if not last and contrast.p > nominal(alpha):
            p = _repeated(nominal, contrast.p, alpha)
    note = f"group-sequential interval, look {look} of {plan.looks}"
    return Evidence(limits, p, None, True, note, early=not last)


def _repeated(nominal: Callable[[float], float], p: float, alpha: float) -> float:
    """Return the repeated p of a look that did not stop: the least alpha at whose bounds it would have stopped.

    The stage-wise p holds once a run has stopped; before, it would invite to stop where the bound says to go on.
    Jennison & Turnbull (2000), ch. 9.
    """
    from scipy import optimize

    if nominal(0.999) <= p:
        return 1.0
    return float(optimize.brentq(lambda level: nominal(level) - p, alpha, 0.999, xtol=1e-4))


def _anytime(contrast: Contrast, plan: Plan, progress: int, alpha: float, *, final: bool) -> Evidence:
    from aikit.stats.anytime import BURN_IN, confidence_sequence, mcnemar_evidence, sequence_from_error

    planned, notes = plan.planned, ()
    if planned is None:
        planned, notes = _TUNED_WITHOUT_PLAN, (f"no planned=: the interval is tuned to {_TUNED_WITHOUT_PLAN} samples",)
    tuned = max(1.0, planned * contrast.units / max(contrast.samples, 1))
    p = e_value = None
    exact = contrast.discordant is not None
    if contrast.discordant is not None:
        evidence = mcnemar_evidence(*contrast.discordant)
        p, e_value = evidence.p, evidence.statistic
    label = "always-valid interval" + ("" if final else f", {progress} of {planned} planned samples run")
    if contrast.units < BURN_IN or contrast.estimate is None or not contrast.se:
        few = f"an always-valid interval starts at {BURN_IN} independent units: these are {contrast.units}"
        notes += (few if contrast.units < BURN_IN else "nothing varies: there is no always-valid interval yet",)
        return Evidence(no_limits, p, e_value, final, label, exact, warnings=notes)
    if contrast.differences is not None:
        heavy = confidence_sequence(contrast.differences, planned=tuned, cluster=contrast.clusters).warnings
        if heavy:
            refused = "heavy tails: no interval that may be looked at early; compare logs (kind='ratio') or finish"
            return Evidence(no_limits, p, e_value, final, label, exact, warnings=(*notes, refused))
    estimate, se, units = contrast.estimate, contrast.se, contrast.units

    def limits(level: float) -> tuple[float, float] | None:
        found = sequence_from_error(estimate, se, units, planned=tuned, alpha=level)
        return None if found.low is None or found.high is None else (found.low, found.high)

    if not exact:
        found = sequence_from_error(estimate, se, units, planned=tuned, alpha=alpha)
        p, e_value = found.p, found.details["e_value"]
    return Evidence(limits, p, e_value, final, label, exact, warnings=notes)
