"""Published analyses of several unpaired groups and of repeated measures, as checks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aikit.errors import DataError
from aikit.stats.clustered import finite
from aikit.stats.results import Estimate, Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["ManyGroups", "MixedModel", "cluster_robust_difference", "dunnett", "random_intercept", "tukey"]


@dataclass(frozen=True, slots=True)
class ManyGroups(Result):
    """Simultaneous comparisons of unpaired means with a pooled variance."""

    pairs: tuple[tuple[int, int], ...]
    """(i, j): group i less group j, in the order given."""
    difference: tuple[float, ...]
    t: tuple[float, ...]
    p: tuple[float, ...]
    """Adjusted for all comparisons, two-sided."""
    low: tuple[float, ...]
    high: tuple[float, ...]
    df: float
    level: float


def _pooled(groups: Sequence[Floats]) -> tuple[list[float], list[int], float, int]:
    """Return means, sizes, the pooled standard deviation and its degrees of freedom."""
    means, sizes = [float(one.mean()) for one in groups], [int(one.size) for one in groups]
    df = sum(sizes) - len(groups)
    if min(sizes) < 1 or df < 1:
        raise DataError("each group needs a value, one of them two")
    squares = sum(float(((one - one.mean()) ** 2).sum()) for one in groups)
    return means, sizes, math.sqrt(squares / df), df


def dunnett(control: ArrayLike, *treatments: ArrayLike, alpha: float = 0.05) -> ManyGroups:
    """Compare unpaired groups with one control; two-sided, by quadrature, any sizes. Dunnett (1955), JASA 50."""
    from scipy import optimize

    groups = [finite(control, "control"), *(finite(one, "treatment") for one in treatments)]
    means, sizes, sd, df = _pooled(groups)
    weights = [math.sqrt(n / (n + sizes[0])) for n in sizes[1:]]
    errors = [sd * math.sqrt(1 / n + 1 / sizes[0]) for n in sizes[1:]]
    gaps = [mean - means[0] for mean in means[1:]]
    t = [gap / error for gap, error in zip(gaps, errors, strict=True)]
    critical = optimize.brentq(lambda c: _all_inside(c, weights, df) - (1 - alpha), 0.01, 200.0, xtol=1e-10)
    return ManyGroups(
        tuple((k + 1, 0) for k in range(len(treatments))),
        tuple(gaps),
        tuple(t),
        tuple(max(0.0, 1 - _all_inside(abs(one), weights, df)) for one in t),
        tuple(gap - critical * error for gap, error in zip(gaps, errors, strict=True)),
        tuple(gap + critical * error for gap, error in zip(gaps, errors, strict=True)),
        float(df),
        1 - alpha,
    )


def _all_inside(bound: float, weights: list[float], df: float) -> float:
    """Return P(max|T| ≤ bound) for the t vector with correlations λ_i·λ_j: a double integral of a product."""
    import numpy as np
    from scipy import special

    nodes, mass = np.polynomial.legendre.leggauss(160)
    z, z_mass = 8.5 * nodes, 8.5 * mass * np.exp(-0.5 * (8.5 * nodes) ** 2) / math.sqrt(2 * math.pi)
    # s = √(χ²/df), between its outermost quantiles.
    low, high = (math.sqrt(2 * float(one) / df) for one in special.gammaincinv(df / 2, np.array([1e-15, 1 - 1e-15])))
    s = (low + high) / 2 + (high - low) / 2 * nodes
    log_density = (
        math.log(2) + df / 2 * math.log(df / 2) - float(special.gammaln(df / 2)) + (df - 1) * np.log(s) - df * s * s / 2
    )
    s_mass = (high - low) / 2 * mass * np.exp(log_density)
    inside = np.ones((s.size, z.size))
    for weight in weights:
        spread = math.sqrt(1 - weight * weight)
        upper = (bound * s[:, None] + weight * z[None, :]) / spread
        lower = (-bound * s[:, None] + weight * z[None, :]) / spread
        inside *= special.ndtr(upper) - special.ndtr(lower)
    return float(s_mass @ inside @ z_mass)


def tukey(*groups: ArrayLike, alpha: float = 0.05) -> ManyGroups:
    """Compare all pairs of unpaired groups by the studentised range; pairs (1, 0), (2, 0), (2, 1) … as R's TukeyHSD.

    Kramer's form for unequal sizes, conservative. Tukey (1953); Hayter (1984).
    """
    from scipy import stats

    arrays = [finite(one, "group") for one in groups]
    means, sizes, sd, df = _pooled(arrays)
    k = len(arrays)
    pairs = [(i, j) for j in range(k) for i in range(j + 1, k)]
    critical = float(stats.studentized_range.ppf(1 - alpha, k, df))
    gaps = [means[i] - means[j] for i, j in pairs]
    # The range of k means is √2 times the largest t.
    errors = [sd * math.sqrt((1 / sizes[i] + 1 / sizes[j]) / 2) for i, j in pairs]
    q = [abs(gap) / error for gap, error in zip(gaps, errors, strict=True)]
    return ManyGroups(
        tuple(pairs),
        tuple(gaps),
        tuple(gap / error / math.sqrt(2) for gap, error in zip(gaps, errors, strict=True)),
        tuple(float(stats.studentized_range.sf(one, k, df)) for one in q),
        tuple(gap - critical * error for gap, error in zip(gaps, errors, strict=True)),
        tuple(gap + critical * error for gap, error in zip(gaps, errors, strict=True)),
        float(df),
        1 - alpha,
    )


@dataclass(frozen=True, slots=True)
class MixedModel(Result):
    """A linear model with a random intercept per item, fitted by REML."""

    difference: float
    se: float
    sd_item: float
    sd_residual: float
    items: int
    rows: int


def random_intercept(a: Sequence[ArrayLike], b: Sequence[ArrayLike]) -> MixedModel:
    """Fit y ~ variant + (1 | item) by REML, as lme4's lmer: one row of repeats per item on either side.

    Rows may differ in length and hold NaN. The likelihood is profiled over the ratio of variances, one dimension.
    """
    from scipy import optimize

    items = [_rows(one, two) for one, two in zip(a, b, strict=True)]
    items = [item for item in items if item[0].size]

    def criterion(log_ratio: float) -> float:
        return _reml(items, math.exp(log_ratio))[0]

    grid = [-14 + 0.5 * k for k in range(57)]
    best = min(grid, key=criterion)
    found = optimize.minimize_scalar(
        criterion, bounds=(best - 0.6, best + 0.6), method="bounded", options={"xatol": 1e-9}
    )
    ratio = math.exp(float(found.x))
    if _reml(items, 0.0)[0] <= float(found.fun):  # the items do not differ at all: the variance lies at its edge, 0
        ratio = 0.0
    _, difference, se, residual = _reml(items, ratio)
    rows = sum(item[0].size for item in items)
    return MixedModel(difference, se, math.sqrt(ratio) * residual, residual, len(items), rows)


def _rows(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    import numpy as np

    left, right = (np.asarray(one, dtype=np.float64).ravel() for one in (a, b))
    left, right = left[~np.isnan(left)], right[~np.isnan(right)]
    return np.concatenate([left, right]), np.concatenate([np.zeros(left.size), np.ones(right.size)])


def _reml(items: list[tuple[Floats, Floats]], ratio: float) -> tuple[float, float, float, float]:
    """Return −2 log REML up to a constant, the difference, its error, the residual sd, at a ratio of variances."""
    import numpy as np

    xtx, xty, yty, log_v, n = np.zeros((2, 2)), np.zeros(2), 0.0, 0.0, 0
    for y, arm in items:
        x = np.column_stack([np.ones(y.size), arm])
        shrink = ratio / (1 + y.size * ratio)
        sums = x.sum(axis=0)
        xtx += x.T @ x - shrink * np.outer(sums, sums)
        xty += x.T @ y - shrink * sums * y.sum()
        yty += float(y @ y) - shrink * float(y.sum()) ** 2
        log_v += math.log1p(y.size * ratio)
        n += y.size
    beta = np.linalg.solve(xtx, xty)
    variance = (yty - float(beta @ xty)) / (n - 2)
    value = (n - 2) * math.log(variance) + log_v + float(np.linalg.slogdet(xtx)[1])
    error = math.sqrt(variance * float(np.linalg.inv(xtx)[1, 1]))
    return value, float(beta[1]), error, math.sqrt(variance)


def cluster_robust_difference(a: Sequence[ArrayLike], b: Sequence[ArrayLike]) -> Estimate:
    """Estimate mean(B) − mean(A) by least squares on an arm dummy with errors clustered by item (CR1), as sandwich.

    `a`, `b`: one value or one row of repeats per item; rows may differ in length and hold NaN.
    `details["paired_t_se"]`: what the paired t-test on the items' means says.
    CR1 has the factor G/(G − 1)·(N − 1)/(N − 2). R: vcovCL(lm(y ~ arm), cluster = item).
    """
    import numpy as np

    sides = [[np.asarray(row, dtype=np.float64).ravel() for row in side] for side in (a, b)]
    sides = [[row[~np.isnan(row)] for row in side] for side in sides]
    g = len(sides[0])
    if g != len(sides[1]) or g < 2 or not all(row.size for side in sides for row in side):
        raise DataError("give the same two or more items on both sides, each with a value")
    sizes, sums = (np.array([[call(row) for row in side] for side in sides]) for call in (np.size, np.sum))
    totals, n = sizes.sum(axis=1), int(sizes.sum())
    means = sums.sum(axis=1) / totals
    difference = float(means[1] - means[0])
    scores = np.diff((sums - sizes * means[:, None]) / totals[:, None], axis=0)[0]
    variance = float((scores**2).sum()) * g / (g - 1) * (n - 1) / (n - 2)
    per_item = sums[1] / sizes[1] - sums[0] / sizes[0]
    paired = float(per_item.std(ddof=1)) / math.sqrt(g)
    details = {"paired_t_se": paired}
    return Estimate(difference, se=math.sqrt(variance), n=n, clusters=g, method="OLS, CR1 by item", details=details)
