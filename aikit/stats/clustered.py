"""Means over independent clusters: CR2 standard errors with Satterthwaite degrees of freedom, in closed form.

For a mean the bias-reduced linearisation of Bell & McCaffrey (2002), as Pustejovsky & Tipton (2018) define CR2 with an
identity working model, needs no matrix: the residual sum of cluster g is divided by √(1 − m_g/N). The cost is
O(clusters). With singleton clusters it is the t-test, so one code path serves plain, repeated and clustered designs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aikit.errors import DataError
from aikit.stats.results import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

__all__ = [
    "cluster_codes",
    "clustered_difference",
    "clustered_mean",
    "finite",
    "fits",
    "mean_of_cluster_sums",
    "t_estimate",
    "t_quantile",
    "t_two_sided",
    "welch",
]

_NOISE = 1e-12  # spread below this share of the values' size is rounding, not data


def t_two_sided(t: float, df: float) -> float:
    """Return the two-sided p of a t statistic; `df` may be fractional, infinite means normal."""
    from scipy import special

    if math.isinf(df):
        return float(2 * special.ndtr(-abs(t)))
    return float(2 * special.stdtr(df, -abs(t)))


def t_quantile(upper: float, df: float) -> float:
    """Return the t quantile with `upper` probability above it; `df` may be fractional, infinite means normal."""
    from scipy import special

    if math.isinf(df):
        return float(-special.ndtri(upper))
    return float(-special.stdtrit(df, upper))


def t_estimate(
    estimate: float,
    se: float | None,
    df: float | None,
    *,
    alpha: float = 0.05,
    n: int = 0,
    clusters: int = 0,
    method: str = "",
    details: Mapping[str, Any] | None = None,
    warnings: tuple[str, ...] = (),
) -> Estimate:
    """Return `estimate` with the interval and p of a t reference.

    Without a standard error there is neither. A standard error of zero gives the point itself as interval and p = 1 at
    zero, else no p: a t-test has none to give when nothing varies.
    """
    common: dict[str, Any] = {"level": 1 - alpha, "n": n, "clusters": clusters, "method": method}
    common |= {"details": dict(details or {}), "warnings": warnings}
    if se is None or df is None or not df > 0:
        return Estimate(estimate, **common)
    if se == 0:
        p = 1.0 if estimate == 0 else None
        return Estimate(estimate, estimate, estimate, p, 0.0, df, **common)
    half = t_quantile(alpha / 2, df) * se
    t = estimate / se
    return Estimate(estimate, estimate - half, estimate + half, t_two_sided(t, df), se, df, t, **common)


def finite(values: ArrayLike, name: str = "values") -> Floats:
    """Return a one-dimensional float64 array, so that int8 can't overflow and float32 can't lose small terms.

    Raises DataError for NaN, infinities, text and sizes past 1e±100: what is missing is the caller's to decide, never
    dropped in silence.
    """
    import numpy as np

    try:
        array = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} are not numbers: {error}") from error
    largest = float(np.abs(array).max(initial=0.0))
    if not math.isfinite(largest):
        raise DataError(f"{name} hold NaN or infinity: score failures and drop or fill what is missing first")
    if not fits(largest):
        raise DataError(f"{name} reach {largest:.3g}, whose square has no place in a float: rescale them")
    return array


def fits(largest: float) -> bool:
    """Say whether numbers up to `largest` in size can be squared and summed without overflow or underflow."""
    return largest == 0 or 1e-100 <= largest <= 1e100


def clustered_mean(values: ArrayLike, cluster: ArrayLike | None = None, *, alpha: float = 0.05) -> Estimate:
    """Estimate a mean over independent clusters with CR2 and Satterthwaite's degrees of freedom, tested against 0.

    `values`: one per unit (sample), shape (n,). `cluster`: labels of the same length; None makes each unit its own
    cluster, which is Student's one-sample t. `details` has `naive_se` (units independent), `se_cr0`, `se_cr1`.
    Fewer than two clusters give no standard error. Pustejovsky & Tipton (2018), J. Bus. Econ. Stat. 36, 672-683.
    """
    import numpy as np

    array = finite(values)
    if cluster is None:
        return _mean_of_units(array, alpha)
    codes = cluster_codes(cluster, array.size)
    shift, centred = _centred(array)
    counts = np.bincount(codes).astype(np.float64) if array.size else np.zeros(0)
    sums = np.bincount(codes, weights=centred) if array.size else np.zeros(0)
    return mean_of_cluster_sums(counts, sums, squares=float(centred @ centred), alpha=alpha, shift=shift)


def cluster_codes(cluster: ArrayLike, size: int) -> Codes:
    """Return 0-based codes of labels of any type; raises DataError when the length differs or a label is missing."""
    import numpy as np
    import pandas as pd

    labels = np.asarray(cluster).ravel()
    if labels.size != size:
        raise DataError(f"{labels.size} cluster labels for {size} values: give one label per value")
    codes, _ = pd.factorize(labels)
    if (codes < 0).any():
        raise DataError("a cluster label is missing: give each sample its cluster, its own if it stands alone")
    return codes.astype(np.int64)


def _centred(array: Floats) -> tuple[float, Floats]:
    """Return the mean and the values less the mean, exactly 0 where only rounding is left."""
    import numpy as np

    if not array.size:
        return 0.0, array
    shift = float(array.mean())
    centred = array - shift
    if float(np.abs(centred).max()) <= _NOISE * float(np.abs(array).max()):
        return float(array[0]) if (array == array[0]).all() else shift, np.zeros_like(array)
    return shift, centred


def _mean_of_units(array: Floats, alpha: float) -> Estimate:
    n = int(array.size)
    if n == 0:
        return Estimate(None, level=1 - alpha, method="mean", warnings=("no samples",))
    mean, centred = _centred(array)
    se = math.sqrt(float(centred @ centred) / (n - 1) / n) if n > 1 else None
    details = {} if se is None else {"naive_se": se, "se_cr0": se * math.sqrt((n - 1) / n), "se_cr1": se}
    return t_estimate(mean, se, n - 1, alpha=alpha, n=n, clusters=n, method="CR2-t", details=details)


def mean_of_cluster_sums(
    counts: ArrayLike, sums: ArrayLike, *, squares: float | None = None, alpha: float = 0.05, shift: float = 0.0
) -> Estimate:
    """Estimate a mean from each cluster's number of units and sum, as SQL can deliver them; order does not matter.

    `counts`, `sums`: shape (clusters,). `squares`: Σx² over all units, for the naive standard error only.
    `shift` is added to the mean where the sums are of values less a constant (better rounding).
    """
    m, s = finite(counts, "counts"), finite(sums, "sums")
    groups, total = int(m.size), float(m.sum())
    if total == 0:
        return Estimate(None, level=1 - alpha, method="mean", warnings=("no samples",))
    mean = float(s.sum()) / total
    if groups < 2:
        warning = ("one cluster: its spread can't be told from chance",)
        return Estimate(mean + shift, level=1 - alpha, n=int(total), clusters=groups, method="mean", warnings=warning)
    residual = s - m * mean
    leverage = m / total
    se = math.sqrt(float((residual**2 / (1 - leverage)).sum())) / total
    cr0 = math.sqrt(float(residual @ residual)) / total
    details = {"se_cr0": cr0, "se_cr1": cr0 * math.sqrt(groups / (groups - 1))}
    if squares is not None and total > 1:
        details["naive_se"] = math.sqrt(max(squares - total * mean**2, 0.0) / (total - 1) / total)
    df = _satterthwaite(leverage)
    return t_estimate(mean + shift, se, df, alpha=alpha, n=int(total), clusters=groups, method="CR2-t", details=details)


def _satterthwaite(leverage: Floats) -> float:
    """Degrees of freedom for shares m_g/N: (tr G)²/ΣG² with G_gh = w_g·w_h·(δ_gh·m_g − m_g·m_h/N), here times N."""
    # ΣG² · N² = Σ share² + Σ_{g≠h} u_g·u_h
    u = leverage**2 / (1 - leverage)
    return 1 / float((leverage**2).sum() + u.sum() ** 2 - (u**2).sum())


def welch(a: Estimate, b: Estimate, *, alpha: float = 0.05, method: str = "Welch t") -> Estimate:
    """Estimate b − a from the means of two independent arms, each with its own standard error (Welch 1947).

    With clustered arms pass two `clustered_mean`s: the degrees of freedom combine by Satterthwaite's rule.
    """
    if a.estimate is None or b.estimate is None:
        return Estimate(None, level=1 - alpha, n=a.n + b.n, clusters=a.clusters + b.clusters, method=method)
    variance = df = None
    if a.se is not None and b.se is not None and a.df and b.df:
        variance = a.se**2 + b.se**2
        spread = a.se**4 / a.df + b.se**4 / b.df
        df = variance**2 / spread if spread > 0 else a.df + b.df
    se = None if variance is None else math.sqrt(variance)
    n, clusters = a.n + b.n, a.clusters + b.clusters
    return t_estimate(b.estimate - a.estimate, se, df, alpha=alpha, n=n, clusters=clusters, method=method)


def clustered_difference(
    a: ArrayLike, b: ArrayLike, cluster_a: ArrayLike, cluster_b: ArrayLike, *, alpha: float = 0.05
) -> Estimate:
    """Estimate mean(b) − mean(a) when clusters may hold units of both arms: CR2 of the two-group regression.

    The arms' shapes are (n_a,) and (n_b,), unmatched. With cell means as parameters the hat matrix is block diagonal
    within a cluster, so each arm's residual sum is corrected by its own √(1 − m/N) and the two are subtracted before
    squaring. Satterthwaite's degrees of freedom use an identity working model, as clubSandwich does.
    """
    import numpy as np

    left, right = finite(a, "a"), finite(b, "b")
    labels = np.concatenate([np.asarray(cluster_a).ravel(), np.asarray(cluster_b).ravel()])
    codes = cluster_codes(labels, left.size + right.size)
    n, groups = int(codes.size), int(codes.max()) + 1 if codes.size else 0
    if not (left.size and right.size):
        return Estimate(None, level=1 - alpha, n=n, clusters=groups, method="mean", warnings=("an arm has no samples",))
    share_a, score_a = _arm(left, codes[: left.size], groups)
    share_b, score_b = _arm(right, codes[left.size :], groups)
    estimate = float(right.mean() - left.mean())
    if score_a is None or score_b is None:
        warning = ("an arm lies in one cluster: its spread can't be told from chance",)
        return Estimate(estimate, level=1 - alpha, n=n, clusters=groups, method="means", warnings=warning)
    df = _two_group_df(share_a, share_b, left.size, right.size)
    se = math.sqrt(float(((score_b - score_a) ** 2).sum()))
    return t_estimate(estimate, se, df, alpha=alpha, n=n, clusters=groups, method="CR2-t, two groups")


def _arm(values: Floats, codes: Codes, groups: int) -> tuple[Floats, Floats | None]:
    """Return each cluster's share of the arm and its corrected residual sum / N; None when one cluster is the arm."""
    import numpy as np

    share = np.bincount(codes, minlength=groups) / values.size
    if (share >= 1).any():
        return share, None
    residual = np.bincount(codes, weights=_centred(values)[1], minlength=groups)
    return share, residual / (values.size * np.sqrt(1 - share))


def _two_group_df(a: Floats, b: Floats, size_a: int, size_b: int) -> float:
    """Satterthwaite's (tr G)²/ΣG² for G = G_a + G_b, from the shares each cluster has of either arm."""
    import numpy as np

    def product(x: Floats, y: Floats) -> float:
        off = x * y / np.sqrt((1 - x) * (1 - y))
        return float((x * y).sum() + off.sum() ** 2 - (off**2).sum())

    squares = product(a, a) / size_a**2 + product(b, b) / size_b**2 + 2 * product(a, b) / (size_a * size_b)
    return (1 / size_a + 1 / size_b) ** 2 / squares
