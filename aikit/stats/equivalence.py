"""Good enough, and as good: margins, non-inferiority and equivalence by interval inclusion.

"p > .05, so they are equal" accepted a truly 5-point-worse prompt in 49 % of runs; an interval inside the margin does
not. Both tests are one-sided at alpha, so the interval has level 1 − 2·alpha (Schuirmann 1987).
"""

from __future__ import annotations

import math

from aikit.errors import DataError
from aikit.stats.results import Estimate, Interval, Margin, Tested

__all__ = ["equivalent", "margin", "noninferior", "tost"]


def margin(*, relative: float | None = None, absolute: float | None = None, direction: str | None = None) -> Margin:
    """Say how much worse is still good enough: a share of the control's value, or an amount in the metric's unit.

    `margin(relative=0.20)` lets a cost rise by 20 %; `margin(absolute=0.05)` lets a pass share fall by 5 points.
    `direction` says which way of a guardrail metric is better where its name does not ("higher" unless it is a cost, a
    time, a number of tokens or a failure). Raises DataError unless exactly one is given, above 0.
    """
    given = [one for one in (relative, absolute) if one is not None]
    if len(given) != 1 or not given[0] > 0 or not math.isfinite(given[0]):
        raise DataError(f"margin(relative={relative}, absolute={absolute}): give one of the two, above 0")
    if direction not in (None, "higher", "lower"):
        raise DataError(f"direction is {direction!r}: use 'higher' or 'lower', whichever is better")
    return Margin(relative, absolute, direction)


def noninferior(interval: Interval, amount: float, *, direction: str = "higher") -> bool:
    """Say whether the whole interval of variant − control lies on the good side of −`amount`."""
    return interval.low > -amount if direction == "higher" else interval.high < amount


def equivalent(interval: Interval, amount: float) -> bool:
    """Say whether the whole interval of variant − control lies inside ±`amount` (TOST at level 1 − 2·alpha)."""
    return -amount < interval.low and interval.high < amount


def tost(estimate: Estimate, amount: float) -> Tested:
    """Test equivalence within ±`amount` by two one-sided t-tests; `p` is the larger of the two.

    `details`: `p_lower` (against a difference of −amount or less: non-inferiority when higher is better) and `p_upper`
    (against +amount or more). `p` is None without a standard error.
    """
    from scipy import special

    if not amount > 0:
        raise DataError(f"a margin of {amount}: say how much still counts as equal, above 0")
    value, se, df = estimate.estimate, estimate.se, estimate.df if estimate.df is not None else math.inf
    if value is None or se is None:
        return Tested(None, n=estimate.n, method="TOST", warnings=estimate.warnings)
    if se == 0:
        tails = [0.0 if value > -amount else 1.0, 0.0 if value < amount else 1.0]
    else:
        steps = [-(value + amount) / se, (value - amount) / se]
        tails = [float(special.ndtr(t) if math.isinf(df) else special.stdtr(df, t)) for t in steps]
    details = {"p_lower": tails[0], "p_upper": tails[1], "p_tost": max(tails)}
    return Tested(max(tails), df=df, n=estimate.n, method="TOST, t", details=details)
