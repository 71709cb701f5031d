"""Several answers to the same sample: pass@k, pass^k, and how much answers to one sample vary."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aikit.errors import DataError
from aikit.stats.clustered import cluster_codes, t_estimate
from aikit.stats.results import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["pass_at_k", "pass_at_k_difference", "pass_hat_k", "within_variance"]


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the unbiased chance that one of k answers passes, from c passes in n: 1 − C(n−c, k)/C(n, k).

    As a product, so that no binomial overflows (Chen et al. 2021). Raises DataError unless 0 ≤ c ≤ n and 1 ≤ k ≤ n.
    """
    _check(n, c, k)
    if n - c < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1))


def pass_hat_k(n: int, c: int, k: int) -> float:
    """Return the unbiased chance that all k answers pass (pass^k), from c passes in n: C(c, k)/C(n, k)."""
    _check(n, c, k)
    return math.prod((c - i) / (n - i) for i in range(k)) if c >= k else 0.0


def _check(n: int, c: int, k: int) -> None:
    if not (0 <= c <= n and 1 <= k <= n):
        raise DataError(f"n={n}, c={c}, k={k}: k answers out of n of which c passed needs 0 ≤ c ≤ n and 1 ≤ k ≤ n")


def pass_at_k_difference(
    passed_a: ArrayLike,
    epochs_a: ArrayLike,
    passed_b: ArrayLike,
    epochs_b: ArrayLike,
    k: int,
    cluster: ArrayLike | None = None,
    *,
    every: bool = False,
    alpha: float = 0.05,
) -> Estimate:
    """Estimate pass@k of b minus that of a (pass^k with `every=True`) with a delete-one-cluster jackknife error.

    Arrays of shape (samples,): passes and epochs per sample, the same samples in a and b; every sample needs k epochs.
    `details` has both values. Samples are the clusters unless given; t with clusters − 1 degrees of freedom.
    """
    import numpy as np

    one = pass_hat_k if every else pass_at_k
    counts = [np.rint(np.asarray(x, dtype=np.float64)).astype(int) for x in (passed_a, epochs_a, passed_b, epochs_b)]
    a, b = (
        np.array([one(int(n), int(c), k) for c, n in zip(passed, epochs, strict=True)], dtype=np.float64)
        for passed, epochs in (counts[:2], counts[2:])
    )
    if a.size != b.size:
        raise DataError(f"{a.size} samples in a and {b.size} in b: pass@k is compared on the same samples")
    name = f"pass^{k}" if every else f"pass@{k}"
    if not a.size:
        return Estimate(None, level=1 - alpha, method=name, warnings=("no samples",))
    codes = np.arange(a.size) if cluster is None else cluster_codes(cluster, a.size)
    sums, sizes = np.bincount(codes, weights=b - a), np.bincount(codes)
    groups, total = sums.size, float((b - a).sum())
    se = None
    if groups > 1:
        left_out = (total - sums) / (a.size - sizes)
        se = math.sqrt((groups - 1) / groups * float(((left_out - left_out.mean()) ** 2).sum()))
        se = se if se > 1e-14 else 0.0
    details: dict[str, Any] = {"a": float(a.mean()), "b": float(b.mean()), "k": k}
    return t_estimate(
        total / a.size, se, groups - 1.0, alpha=alpha, n=int(a.size), clusters=groups,
        method=f"{name}, delete-one jackknife", details=details,
    )  # fmt: skip


def within_variance(table: ArrayLike) -> float | None:
    """Return the pooled variance of answers to the same sample; None when no sample has two answers.

    `table`: shape (samples, epochs), NaN where an epoch is missing.
    """
    import numpy as np

    values: Floats = np.asarray(table, dtype=np.float64)
    if values.ndim != 2:
        raise DataError("give a table of samples × epochs")
    counts = np.isfinite(values).sum(axis=1)
    rows = values[counts > 1]
    if not rows.size:
        return None
    centred = rows - np.nanmean(rows, axis=1, keepdims=True)
    return float(np.nansum(centred**2) / (counts[counts > 1] - 1).sum())
