"""Power: what a number of samples can detect, and how many a detection takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from aikit.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "design_effect",
    "detectable_effect",
    "difference_variance",
    "first_reaching",
    "mcnemar_power",
    "normal_detectable",
    "normal_samples",
    "t_power",
    "t_samples",
]


def difference_variance(
    omega2: float, *, sigma2_a: float = 0.0, sigma2_b: float = 0.0, epochs_a: float = 1, epochs_b: float = 1
) -> float:
    """Return the variance of a sample's difference of means: ω² + σ²A/KA + σ²B/KB.

    ω² is how much the true difference varies between samples, σ² how much one call varies on the same sample. Repeats
    shrink only σ²: past ω² they buy nothing. Miller (2024), "Adding error bars to evals", section 5.
    """
    return omega2 + sigma2_a / epochs_a + sigma2_b / epochs_b


def normal_samples(effect: float, *, variance: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the samples, not rounded, that detect `effect`: (z₁₋α/₂ + z_power)²·variance/effect²."""
    _check(alpha, power)
    if effect == 0:
        raise DataError("an effect of 0 can't be detected: plan for the smallest one that matters")
    return _z_sum(alpha, power) ** 2 * variance / effect**2


def normal_detectable(n: float, *, variance: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the effect that `n` samples detect with `power`, by the normal formula."""
    _check(alpha, power)
    return _z_sum(alpha, power) * math.sqrt(variance / n)


def _z_sum(alpha: float, power: float) -> float:
    from scipy import special

    return float(special.ndtri(1 - alpha / 2) + special.ndtri(power))


def design_effect(*, cluster_size: float = 1.0, cluster_cv: float = 0.0, icc: float = 0.0) -> float:
    """Return by how much clusters inflate the variance: 1 + (m̄(1 + cv²) − 1)·ICC, never below 1 for one per cluster.

    `cluster_size`: mean samples per cluster; `cluster_cv`: coefficient of variation of the sizes; `icc` of the
    differences. Eldridge, Ashby & Kerry (2006).
    """
    return 1 + (cluster_size * (1 + cluster_cv**2) - 1) * icc


def t_power(effect: float, *, se: float, df: float, alpha: float = 0.05, both: bool = True) -> float:
    """Return the power of a two-sided t-test from the noncentral t with noncentrality effect/se.

    With `both=False` a rejection in the wrong direction does not count (R's `power.t.test` with strict = FALSE).
    """
    from scipy import special

    if se == 0:
        return 1.0 if effect else alpha
    shift = abs(effect) / se
    critical = float(special.stdtrit(df, 1 - alpha / 2))
    right = 1 - float(special.nctdtr(df, shift, critical))
    # nctdtr loses the far left tail at large shifts, where it is 0 to every digit that matters.
    wrong = float(special.nctdtr(df, shift, -critical)) if both and shift < 8 else 0.0
    return min(1.0, right + (0.0 if math.isnan(wrong) else wrong))


def t_samples(
    effect: float, *, sd: float, alpha: float = 0.05, power: float = 0.8, units_per_df: float = 1.0, both: bool = False
) -> float:
    """Return the samples (not rounded) at which a paired t-test has `power`; `sd` is that of one sample's difference.

    `units_per_df`: samples per independent unit (cluster); the degrees of freedom are n/units_per_df − 1.
    """
    from scipy import optimize

    start = normal_samples(effect, variance=sd * sd, alpha=alpha, power=power)

    def shortfall(n: float) -> float:
        df = n / units_per_df - 1
        return t_power(effect, se=sd / math.sqrt(n), df=df, alpha=alpha, both=both) - power

    low = 2.0 * units_per_df  # one degree of freedom
    if shortfall(low) >= 0:
        return low
    return optimize.brentq(shortfall, low, 4 * start + 40 * units_per_df, xtol=1e-9)


def detectable_effect(*, se: float | None, df: float | None, alpha: float = 0.05, power: float = 0.8) -> float | None:
    """Return the smallest true effect that a t-test with this standard error finds with `power`.

    It speaks of the design at the achieved n, not of the result: never "observed power". None without a standard error.
    """
    from scipy import optimize

    if se is None or df is None or not df > 0 or not math.isfinite(se):
        return None
    if se == 0:
        return 0.0
    if math.isinf(df) or df > 1e6:
        return _z_sum(alpha, power) * se
    reach = 10.0
    while t_power(reach, se=1.0, df=df, alpha=alpha) < power:
        reach *= 2
    return se * optimize.brentq(lambda shift: t_power(shift, se=1.0, df=df, alpha=alpha) - power, 1e-9, reach)


def mcnemar_power(
    n: int,
    *,
    p_b_only: float,
    p_a_only: float,
    alpha: float = 0.05,
    test: Literal["mid-p", "exact"] = "mid-p",
) -> float:
    """Return the power of McNemar's test on `n` pairs, by enumeration of the discordant pairs; no approximation.

    `p_b_only`, `p_a_only`: probabilities that only B, only A passes a sample. A rejection in the wrong direction counts
    as one, as in the test.
    """
    import numpy as np
    from scipy import special

    share = p_b_only + p_a_only
    if n < 0 or p_b_only < 0 or p_a_only < 0 or share > 1 + 1e-12:
        raise DataError(f"n={n}, p_b_only={p_b_only}, p_a_only={p_a_only}: shares of all samples, together at most 1")
    if share == 0 or n == 0:
        return 0.0
    m = np.arange(n + 1)
    most = _mcnemar_critical(m, alpha, mid=test == "mid-p")
    theta = p_b_only / share
    reject = special.bdtr(most, m, theta) + special.bdtr(most, m, 1 - theta)
    log_weight = (
        special.gammaln(n + 1) - special.gammaln(m + 1) - special.gammaln(n - m + 1)
        + special.xlogy(m, share) + special.xlog1py(n - m, -min(share, 1.0))
    )  # fmt: skip
    return float(np.exp(log_weight) @ np.where(most >= 0, reject, 0.0))


def _mcnemar_critical(m: NDArray[np.int64], alpha: float, *, mid: bool) -> NDArray[np.int64]:
    """Return per number of discordant pairs the largest smaller count that rejects; −1 where none does."""
    import numpy as np
    from scipy import special

    guess = np.floor(m / 2 + special.ndtri(alpha / 2) * np.sqrt(m) / 2).astype(np.int64)
    best = np.full(m.shape, -1, dtype=np.int64)
    for offset in range(-3, 4):
        c = guess + offset
        tried = np.clip(c, 0, None)
        below = np.where(c > 0, special.bdtr(np.clip(c - 1, 0, None), m, 0.5), 0.0)
        tail = special.bdtr(tried, m, 0.5)
        p = below + tail if mid else 2 * tail
        best = np.where((c >= 0) & (2 * c < m) & (p <= alpha * (1 + 1e-12)), np.maximum(best, c), best)
    return best


def first_reaching(power_at: Callable[[int], float], target: float, *, start: int, most: int) -> int:
    """Return the smallest n near `start` from which a jagged power curve stays at or above `target`.

    An exact test's power saws up and down with n: the answer is the n after which the next ten hold too. `most` when
    nothing up to there does.
    """
    low, high = 1, max(2, start)
    while high < most and power_at(high) < target:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_at(middle) >= target else (middle, high)
    n = min(high, most)
    while n < most and min(power_at(n + step) for step in range(10)) < target:
        n += 1
    return n


def _check(alpha: float, power: float) -> None:
    if not 0 < alpha < 1 or not 0 < power < 1:
        raise DataError(f"alpha={alpha}, power={power}: both lie between 0 and 1")
