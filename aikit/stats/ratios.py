"""Ratios of times, tokens and money: geometric means, means, and cost per success, each with an honest interval."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from aikit.errors import DataError
from aikit.stats.bootstrap import bootstrap_sums, percentile_limits
from aikit.stats.clustered import clustered_mean, finite, t_quantile, welch
from aikit.stats.results import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["fieller", "geometric_ratio", "per_success", "per_success_unpaired", "ratio_of_means"]

FEWEST_SUCCESSES = 10
"""Successes in an arm below which cost per success is resampled instead of linearised."""


def _as_ratio(log: Estimate, method: str, **details: float | None) -> Estimate:
    """Turn an estimate of a log ratio into one of the ratio (1 is no difference)."""

    def power(x: float | None) -> float | None:
        return None if x is None else math.exp(x) if x < 700 else math.inf

    found = {"log_ratio": log.estimate, "se_log": log.se} | details
    return replace(
        log, estimate=power(log.estimate), low=power(log.low), high=power(log.high), method=method, details=found
    )


def geometric_ratio(
    a: ArrayLike, b: ArrayLike, cluster: ArrayLike | None = None, *, paired: bool = True, alpha: float = 0.05
) -> Estimate:
    """Estimate the ratio b/a of geometric means by CR2-t on logarithms; 1 is no difference.

    `a`, `b`: positive, one per sample, shape (n,), the same samples when `paired` (else Welch on logs; `cluster` is
    then not taken). Raises DataError for zeros and negatives: they have no logarithm, see `ratio_of_means`.
    """
    import numpy as np

    left, right = finite(a, "a"), finite(b, "b")
    if (left <= 0).any() or (right <= 0).any():
        raise DataError("a value is 0 or less, which has no logarithm: use ratio_of_means")
    if not paired:
        log = welch(clustered_mean(np.log(left)), clustered_mean(np.log(right)), alpha=alpha)
        return _as_ratio(log, "log Welch t")
    if left.size != right.size:
        raise DataError(f"{left.size} values of a and {right.size} of b: pass paired=False for different samples")
    return _as_ratio(clustered_mean(np.log(right) - np.log(left), cluster, alpha=alpha), "log ratio, CR2-t")


def ratio_of_means(a: ArrayLike, b: ArrayLike, cluster: ArrayLike | None = None, *, alpha: float = 0.05) -> Estimate:
    """Estimate mean(b)/mean(a) over the same samples by the delta method on the log scale; zeros are allowed.

    The influence of sample i is b_i/b̄ − a_i/ā, its mean's error is CR2. A mean of 0 gives an infinite or no ratio.
    """
    import numpy as np

    left, right = finite(a, "a"), finite(b, "b")
    ones = np.ones(left.size)
    return replace(per_success(left, ones, right, ones, cluster, alpha=alpha), method="ratio of means, CR2-t on logs")


def per_success(
    cost_a: ArrayLike,
    success_a: ArrayLike,
    cost_b: ArrayLike,
    success_b: ArrayLike,
    cluster: ArrayLike | None = None,
    *,
    alpha: float = 0.05,
    draws: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Estimate (Σcost_b/Σsuccess_b) / (Σcost_a/Σsuccess_a) over the same samples; 1 is no difference.

    Arrays of shape (n,), per sample; successes may be shares of epochs. The log ratio's influence of sample i is
    ψ_i = cB_i/c̄B − sB_i/s̄B − cA_i/c̄A + sA_i/s̄A, with CR2-t on ψ. With fewer than 10 successes in an arm the samples
    (clusters) are resampled, the interval reaches at least as far as t on ψ, and `warnings` says so; with none the
    ratio is infinite (0 when only `a` has none), and None when neither or nobody succeeds.
    `details["se_log_delta"]` and `ci_ratio_z` are the plain delta method's.
    """
    import numpy as np

    parts = [finite(one) for one in (cost_a, success_a, cost_b, success_b)]
    if len({one.size for one in parts}) != 1:
        raise DataError("costs and successes have one value per sample, all of the same samples")
    n = int(parts[0].size)
    means = [float(one.mean()) if n else 0.0 for one in parts]
    degenerate = _without_ratio(means, n, alpha)
    if degenerate is not None:
        return degenerate
    cost_0, passed_0, cost_1, passed_1 = (one / mean for one, mean in zip(parts, means, strict=True))
    log_ratio = math.log(means[2]) - math.log(means[3]) - math.log(means[0]) + math.log(means[1])
    influence = cost_1 - passed_1 - cost_0 + passed_0
    spread = clustered_mean(influence, cluster, alpha=alpha)
    log = _moved(spread, log_ratio, alpha)
    half = 0.0 if spread.se is None else t_quantile(0.025 if alpha == 0.05 else alpha / 2, math.inf) * spread.se
    details = {"se_log_delta": spread.se, "z_low": math.exp(log_ratio - half), "z_high": math.exp(log_ratio + half)}
    if min(float(parts[1].sum()), float(parts[3].sum())) >= FEWEST_SUCCESSES:
        return _as_ratio(log, "ratio of sums, CR2-t on ψ", **details)
    note = (f"fewer than {FEWEST_SUCCESSES} successes in a variant: interval by resampling, rough",)
    if not spread.se:  # one sample, or samples all alike: resampling would show no spread either
        log = replace(log, low=None, high=None, p=None, warnings=(*spread.warnings, *note))
        return _as_ratio(log, "ratio of sums, no interval", **details)
    resampled = _resampled(np.stack(parts, axis=1), cluster, draws, seed)
    low, high = percentile_limits(resampled, alpha)
    hits = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    p = min(1.0, 2 * (1 + hits) / (1 + draws))
    # A handful of samples resampled is too narrow, which t on ψ is not: the wider end, the larger p.
    low, high = (worst(ends) for worst, ends in ((min, (low, log.low)), (max, (high, log.high))))  # type: ignore[type-var]
    log = replace(log, low=low, high=high, p=max(p, log.p or 0.0), df=None, statistic=None, warnings=note)
    return _as_ratio(log, f"ratio of sums, bootstrap, {draws:,} draws", **details)


def _resampled(table: Floats, cluster: ArrayLike | None, draws: int, seed: int) -> Floats:
    """Return resampled log ratios; a draw without success in b is +inf, without success in a −inf, in both NaN."""
    import numpy as np

    sums = np.maximum(bootstrap_sums(table, cluster=cluster, draws=draws, seed=seed), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(sums)
        return (logs[:, 2] - logs[:, 3]) - (logs[:, 0] - logs[:, 1])


def _moved(spread: Estimate, centre: float, alpha: float) -> Estimate:
    """Return the estimate `centre` with the spread of a mean of influences."""
    from aikit.stats.clustered import t_estimate

    return t_estimate(
        centre, spread.se, spread.df, alpha=alpha, n=spread.n, clusters=spread.clusters,
        method=spread.method, warnings=spread.warnings,
    )  # fmt: skip


def _without_ratio(means: list[float], n: int, alpha: float) -> Estimate | None:
    cost_a, passed_a, cost_b, passed_b = means
    if min(means) < 0:
        raise DataError("a mean of costs or successes is negative: a ratio has no meaning")
    if min(means) > 0:
        return None
    numerator, denominator = cost_b * passed_a, cost_a * passed_b
    if numerator == denominator == 0:
        note = "no samples" if n == 0 else "nothing spent or no success on both sides: there is no ratio"
        return Estimate(None, level=1 - alpha, n=n, method="ratio of sums", warnings=(note,))
    ratio = math.inf if denominator == 0 else 0.0
    note = (
        "infinite: one side has no success (or spent nothing)" if denominator == 0 else "0: the other side is infinite"
    )
    return Estimate(ratio, level=1 - alpha, n=n, method="ratio of sums", warnings=(note,))


def per_success_unpaired(
    cost_a: ArrayLike,
    success_a: ArrayLike,
    cost_b: ArrayLike,
    success_b: ArrayLike,
    cluster_a: ArrayLike | None = None,
    cluster_b: ArrayLike | None = None,
    *,
    alpha: float = 0.05,
) -> Estimate:
    """Estimate the ratio of two arms' ratios of sums over different samples by the delta method; 1 is no difference.

    Each arm's influences c_i/c̄ − s_i/s̄ have a CR2 error; Welch-Satterthwaite joins them on the log scale.
    """
    arms = [[finite(one) for one in arm] for arm in ((cost_a, success_a), (cost_b, success_b))]
    means = [float(one.mean()) if one.size else 0.0 for arm in arms for one in arm]
    n = sum(int(arm[0].size) for arm in arms)
    degenerate = _without_ratio(means, n, alpha)
    if degenerate is not None:
        return degenerate
    spreads = [
        _moved(clustered_mean(cost / cost.mean() - passed / passed.mean(), cluster), centre, alpha)
        for (cost, passed), cluster, centre in (
            (arms[0], cluster_a, math.log(means[0] / means[1])),
            (arms[1], cluster_b, math.log(means[2] / means[3])),
        )
    ]
    few = min(float(arm[1].sum()) for arm in arms) < FEWEST_SUCCESSES
    note = (f"fewer than {FEWEST_SUCCESSES} successes in a variant: the interval is rough",) if few else ()
    return replace(_as_ratio(welch(*spreads, alpha=alpha), "ratio of sums, delta method"), warnings=note)


def fieller(a: ArrayLike, b: ArrayLike, *, paired: bool = True, alpha: float = 0.05) -> Estimate:
    """Estimate mean(b)/mean(a) with Fieller's interval (1954): all ratios r at which mean(b) − r·mean(a) may be 0.

    When mean(a) itself may be 0 the interval is unbounded: `-inf` to `inf`, with a warning when the excluded ratios lie
    in the middle. Unpaired arms take Welch's degrees of freedom at the point estimate.
    """
    import numpy as np

    left, right = finite(a, "a"), finite(b, "b")
    if min(left.size, right.size) < 2 or (paired and left.size != right.size):
        raise DataError("Fieller's interval needs two values per variant, and pairs when paired")
    mean_a, mean_b = float(left.mean()), float(right.mean())
    if paired:
        covariance = np.cov(left, right) / left.size
        v_a, v_b, v_ab, df = float(covariance[0, 0]), float(covariance[1, 1]), float(covariance[0, 1]), left.size - 1.0
    else:
        v_a, v_b, v_ab = float(left.var(ddof=1)) / left.size, float(right.var(ddof=1)) / right.size, 0.0
        scaled = v_a * (mean_b / mean_a) ** 2 if mean_a else v_a
        df = (scaled + v_b) ** 2 / (scaled**2 / (left.size - 1) + v_b**2 / (right.size - 1))
    ratio = mean_b / mean_a if mean_a else math.inf
    t2 = t_quantile(alpha / 2, df) ** 2
    square, cross, constant = mean_a**2 - t2 * v_a, mean_a * mean_b - t2 * v_ab, mean_b**2 - t2 * v_b
    root = cross**2 - square * constant
    if square > 0:
        half = math.sqrt(max(root, 0.0))
        low, high, notes = (cross - half) / square, (cross + half) / square, ()
    else:
        low, high, notes = -math.inf, math.inf, ("unbounded: the mean of a can't be told from 0",)
    return Estimate(
        ratio, low, high, df=df, level=1 - alpha, n=left.size if paired else left.size + right.size,
        method="Fieller", warnings=notes,
    )  # fmt: skip
