"""Ranks and ordinals: who wins more often, by how much, with exact small-sample tests that survive ties.

scipy's `wilcoxon` and `mannwhitneyu` fall back to normal approximations with ties; here the permutation distribution of
the observed (mid)ranks is counted. Neither is a test of the mean: on skewed differences of mean zero Wilcoxon rejected
57 % of the time.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from aikit.errors import DataError
from aikit.stats.clustered import clustered_mean, finite, t_quantile, t_two_sided
from aikit.stats.results import Estimate, Tested

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["brunner_munzel", "friedman", "mann_whitney", "net_wins", "signed_rank"]

_EXACT_CELLS = 50_000_000  # work of the counting recursion; past it the normal approximation is as good


def net_wins(
    a: ArrayLike, b: ArrayLike, cluster: ArrayLike | None = None, *, direction: str = "higher", alpha: float = 0.05
) -> Estimate:
    """Estimate P(b better) − P(a better) on the same samples by CR2-t on the signs of the differences."""
    import numpy as np

    left, right = finite(a, "a"), finite(b, "b")
    if left.size != right.size:
        raise DataError(f"{left.size} values of a and {right.size} of b: net wins need pairs")
    signs = np.sign(right - left) * (1 if direction == "higher" else -1)
    return clustered_mean(signs, cluster, alpha=alpha)


def brunner_munzel(a: ArrayLike, b: ArrayLike, *, alpha: float = 0.05) -> Estimate:
    """Estimate P(b > a) + ½P(b = a) for different samples and test it against ½ (Brunner & Munzel 2000).

    Variances and shapes may differ; Satterthwaite's degrees of freedom. When every b lies on one side of every a there
    is no spread: the interval is Wilson's for the smaller arm and p is the exact permutation test's.
    """
    from scipy import stats

    left, right = finite(a, "a"), finite(b, "b")
    n_a, n_b = int(left.size), int(right.size)
    if min(n_a, n_b) < 2:
        raise DataError("Brunner-Munzel needs two values per variant")
    import numpy as np

    ranks = stats.rankdata(np.concatenate([left, right]))
    own_a, own_b = stats.rankdata(left), stats.rankdata(right)
    rank_a, rank_b = ranks[:n_a], ranks[n_a:]
    estimate = (float(rank_b.mean()) - (n_b + 1) / 2) / n_a
    place_a = rank_a - own_a
    place_b = rank_b - own_b
    s_a, s_b = float(place_a.var(ddof=1)), float(place_b.var(ddof=1))
    variance = s_a / (n_a * n_b**2) + s_b / (n_b * n_a**2)
    n, details = n_a + n_b, {"net": 2 * estimate - 1}
    if variance <= 1e-300:
        p = mann_whitney(left, right).p if estimate != 0.5 else 1.0
        note = ("complete separation: no spread of the placements",)
        low, high = _unseparated(estimate, min(n_a, n_b), alpha)
        return Estimate(
            estimate, low, high, p, level=1 - alpha, n=n, clusters=n, method="exact Mann-Whitney", details=details,
            warnings=note,
        )  # fmt: skip
    weights = n_a * s_a, n_b * s_b
    df = sum(weights) ** 2 / (weights[0] ** 2 / (n_a - 1) + weights[1] ** 2 / (n_b - 1))
    se = math.sqrt(variance)
    w, half = (estimate - 0.5) / se, t_quantile(alpha / 2, df) * se
    low, high = max(0.0, estimate - half), min(1.0, estimate + half)
    return Estimate(estimate, low, high, t_two_sided(w, df), se, df, w, 1 - alpha, n, n, "Brunner-Munzel", details)


def _unseparated(estimate: float, n: int, alpha: float) -> tuple[float, float]:
    """Return how far Wilson's limits let the superiority lie from one that n pairs showed without exception."""
    z = t_quantile(alpha / 2, math.inf)
    unseen = z * z / (n + z * z)
    return estimate * (1 - unseen), estimate + (1 - estimate) * unseen


def mann_whitney(a: ArrayLike, b: ArrayLike, *, alpha: float = 0.05) -> Estimate:
    """Test the rank sum of different samples by its exact permutation distribution, ties included; two-sided.

    p = P(|U − mean| ≥ observed) over all allocations of the observed midranks. The estimate is Hodges & Lehmann's
    shift b − a, its interval the exact order-statistic one (exact without ties, conservative-ish with).
    `statistic` is U of b: pairs that b wins, ties half. Large samples (counting past 5·10⁷ steps) take the normal
    approximation with tie correction, and the method says so.
    """
    import numpy as np
    from scipy import stats

    left, right = finite(a, "a"), finite(b, "b")
    n_a, n_b = int(left.size), int(right.size)
    if not (n_a and n_b):
        return Estimate(None, level=1 - alpha, n=n_a + n_b, method="Mann-Whitney", warnings=("an arm has no samples",))
    doubled = np.rint(2 * stats.rankdata(np.concatenate([left, right]))).astype(np.int64)
    rank_sum = int(doubled[n_a:].sum())
    u = rank_sum / 2 - n_b * (n_b + 1) / 2
    n = n_a + n_b
    work = min(n_a, n_b) * n * int(np.sort(doubled)[-min(n_a, n_b) :].sum())
    if work <= _EXACT_CELLS:
        p, method = _rank_sum_p(doubled, n_b, rank_sum), "exact Mann-Whitney"
    else:
        p = float(stats.mannwhitneyu(right, left, method="asymptotic", use_continuity=False).pvalue)
        method = "Mann-Whitney, normal approximation"
    shift, low, high = _shift(left, right, alpha)
    return Estimate(shift, low, high, p, statistic=u, level=1 - alpha, n=n, clusters=n, method=method)


def _rank_sum_p(doubled: NDArray[np.int64], size: int, observed: int) -> float:
    """Share of all choices of `size` ranks whose sum lies at least as far from its mean as the observed one."""
    import numpy as np

    # Choosing `size` ranks or leaving the rest is one thing: count the smaller.
    total, n = int(doubled.sum()), doubled.size
    if size > n - size:
        size, observed = n - size, total - observed
    most = int(np.sort(doubled)[-size:].sum())
    counts = np.zeros((size + 1, most + 1))
    counts[0, 0] = 1.0
    for place, rank in enumerate(doubled):
        for k in range(min(size, place + 1), 0, -1):
            counts[k, rank:] += counts[k - 1, : most + 1 - rank]
    sums = np.arange(most + 1) * n - total * size
    far = np.abs(sums) >= abs(observed * n - total * size)
    return min(1.0, float(counts[size, far].sum() / counts[size].sum()))


def _shift(left: Floats, right: Floats, alpha: float) -> tuple[float | None, float | None, float | None]:
    import numpy as np

    if left.size * right.size > 4_000_000:
        return float(np.median(right) - np.median(left)), None, None
    gaps = np.sort(np.subtract.outer(right, left).ravel())
    shift = float(np.median(gaps))
    rank = _u_quantile(int(left.size), int(right.size), alpha / 2)
    if rank is None or rank < 1:
        return shift, -math.inf, math.inf
    return shift, float(gaps[rank - 1]), float(gaps[gaps.size - rank])


def _u_quantile(n_a: int, n_b: int, tail: float) -> int | None:
    """Return the least k with P(U ≤ k) ≥ tail without ties, as R's qwilcox, at least 1; normal for large samples."""
    import numpy as np

    if n_a * n_b > 40_000:
        mean, spread = n_a * n_b / 2, math.sqrt(n_a * n_b * (n_a + n_b + 1) / 12)
        return max(1, math.floor(mean - t_quantile(tail, math.inf) * spread))
    counts = np.zeros(n_a * n_b + 1)
    counts[0] = 1.0
    for j in range(n_a + 1, n_a + n_b + 1):  # Gaussian binomial coefficient by its product
        counts[j:] -= counts[:-j].copy() if j <= n_a * n_b else 0
    for i in range(1, n_b + 1):
        for start in range(i, counts.size):
            counts[start] += counts[start - i]
    share = np.cumsum(counts) / counts.sum()
    found = int(np.argmax(share >= tail))
    return max(1, found)


def signed_rank(
    differences: ArrayLike, *, zero_method: Literal["wilcox", "pratt"] = "wilcox", alpha: float = 0.05
) -> Estimate:
    """Test the signed ranks of paired differences by their exact sign-flip distribution, ties included; two-sided.

    "wilcox" drops zeros before ranking, "pratt" ranks them and then drops them. A rank test, not a test of the mean.
    `statistic` is V, the rank sum of positive differences; the estimate is Hodges & Lehmann's median of Walsh averages
    with its order-statistic interval. `details["z"]` is the normal deviate without continuity correction. The exact
    count serves up to about 1,000 differences, then the normal approximation, and the method says so.
    """
    import numpy as np
    from scipy import stats

    values = finite(differences, "differences")
    moved = values[values != 0]
    if not moved.size:
        note = ("all differences are zero",) if values.size else ("no samples",)
        p = 1.0 if values.size else None
        return Estimate(0.0 if values.size else None, p=p, level=1 - alpha, n=int(values.size), warnings=note)
    ranked = moved if zero_method == "wilcox" else values
    ranks = stats.rankdata(np.abs(ranked))[ranked != 0]
    doubled = np.rint(2 * ranks).astype(np.int64)
    v = float(ranks[moved > 0].sum())
    spread = math.sqrt(float((ranks**2).sum()) / 4)
    z = (v - float(ranks.sum()) / 2) / spread
    total = int(doubled.sum())
    if total * doubled.size <= _EXACT_CELLS * 20:
        p, method = _flip_p(doubled, int(doubled[moved > 0].sum())), "exact Wilcoxon signed rank"
    else:
        p, method = math.erfc(abs(z) / math.sqrt(2)), "Wilcoxon signed rank, normal approximation"
    centre, low, high = _walsh(moved, alpha)
    return Estimate(
        centre, low, high, p, statistic=v, level=1 - alpha, n=int(moved.size), clusters=int(moved.size),
        method=method, details={"z": z, "zeros": int(values.size - moved.size)},
    )  # fmt: skip


def _sign_counts(doubled: NDArray[np.int64]) -> Floats:
    """Probability of each sum of positive (doubled) ranks when signs are fair coins."""
    import numpy as np

    share = np.zeros(int(doubled.sum()) + 1)
    share[0], top = 1.0, 0
    for rank in doubled:
        grown = share[: top + 1] / 2
        share[: top + 1] = grown
        share[rank : top + rank + 1] += grown
        top += int(rank)
    return share


def _flip_p(doubled: NDArray[np.int64], observed: int) -> float:
    import numpy as np

    share = _sign_counts(doubled)
    total = share.size - 1
    far = np.abs(2 * np.arange(total + 1) - total) >= abs(2 * observed - total)
    return min(1.0, float(share[far].sum()))


def _walsh(moved: Floats, alpha: float) -> tuple[float, float | None, float | None]:
    import numpy as np

    n = int(moved.size)
    if n > 2000:
        return float(np.median(moved)), None, None
    i, j = np.triu_indices(n)
    averages = np.sort((moved[i] + moved[j]) / 2)
    share = np.cumsum(_sign_counts(np.arange(1, n + 1) * 1))
    rank = int(np.argmax(share >= alpha / 2))  # R's qsignrank
    rank = max(1, rank)
    return float(np.median(averages)), float(averages[rank - 1]), float(averages[averages.size - rank])


def friedman(matrix: ArrayLike) -> Tested:
    """Test that several variants rank equally on the same samples (Friedman 1937, ties corrected).

    `matrix`: shape (samples, variants). Without any spread of ranks p is 1.
    """
    import numpy as np
    from scipy import special, stats

    table: Floats = np.asarray(matrix, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2 or not np.isfinite(table).all():
        raise DataError("Friedman's test takes a finite table with one row per sample and one column per variant")
    rows, columns = table.shape
    ranks = stats.rankdata(table, axis=1)
    centred = ranks - (columns + 1) / 2
    spread = float((centred**2).sum())
    df = float(columns - 1)
    if rows == 0 or spread == 0:
        return Tested(1.0 if rows else None, 0.0, df, rows, "Friedman")
    chi2 = df * float((centred.sum(axis=0) ** 2).sum()) / spread
    return Tested(float(special.chdtrc(df, chi2)), chi2, df, rows, "Friedman")
