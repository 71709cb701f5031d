"""Paired differences: what changed on the same inputs, by t and by flipping signs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from aikit.errors import DataError
from aikit.stats.clustered import cluster_codes, clustered_mean, finite
from aikit.stats.results import Estimate, Tested

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["paired_difference", "repeated_difference", "sign_flip"]

_EXACT_UNITS = 13
_HALVES_UNITS = 40
_SIGNED_UNITS = 1024


def paired_difference(a: ArrayLike, b: ArrayLike, cluster: ArrayLike | None = None, *, alpha: float = 0.05) -> Estimate:
    """Estimate mean(b − a) over samples that both variants answered: the paired t-test, CR2-t when `cluster` is given.

    `a`, `b`: one value per sample (epochs already averaged), same order, shape (n,).
    """
    left, right = finite(a, "a"), finite(b, "b")
    if left.size != right.size:
        raise DataError(f"{left.size} values of a and {right.size} of b: a paired design needs one of each per sample")
    return clustered_mean(right - left, cluster, alpha=alpha)


def repeated_difference(a: ArrayLike, b: ArrayLike, *, alpha: float = 0.05) -> Estimate:
    """Estimate mean(b − a) when each sample was answered several times: epochs are averaged first.

    `a`, `b`: shape (samples, epochs), NaN where an epoch is missing; the two may differ in epochs. `details` splits the
    variance of a sample's difference: `between_item_var` (of the observed differences) and
    `mean_within_var_of_item_diff` (the part that more epochs would remove: σ²A/KA + σ²B/KB).
    """
    import numpy as np

    left, right = (np.asarray(x, dtype=np.float64) for x in (a, b))
    if left.ndim != 2 or right.ndim != 2 or left.shape[0] != right.shape[0]:
        raise DataError("a and b are tables of samples × epochs with the same samples")
    result = paired_difference(_row_means(left), _row_means(right), alpha=alpha)
    within = [_row_variance_of_mean(x) for x in (left, right)]
    details: dict[str, float | None] = {
        "between_item_var": None if result.se is None else result.se**2 * result.n,
        "mean_within_var_of_item_diff": None if None in within else sum(x for x in within if x is not None),
    }
    return replace(result, details=details)


def _row_means(table: Floats) -> Floats:
    import numpy as np

    counts = np.isfinite(table).sum(axis=1)
    if (counts == 0).any():
        raise DataError("a sample has no epoch at all: leave it out on both sides, or score the failure")
    return np.nansum(table, axis=1) / counts


def _row_variance_of_mean(table: Floats) -> float | None:
    """Average over samples of s²/K; None when no sample has two epochs."""
    import numpy as np

    counts = np.isfinite(table).sum(axis=1)
    rows, k = table[counts > 1], counts[counts > 1]
    if not k.size:
        return None
    means = np.nansum(rows, axis=1) / k
    variance = np.nansum((rows - means[:, None]) ** 2, axis=1) / (k - 1)
    return float((variance / k).mean())


def sign_flip(
    differences: ArrayLike,
    cluster: ArrayLike | None = None,
    *,
    draws: int = 10_000,
    seed: int = 0,
    exact: bool | None = None,
) -> Tested:
    """Test that differences are symmetric about 0 by flipping the signs of whole samples (clusters); two-sided.

    Exact to 13 nonzero units (2^13 flips), else (1 + hits)/(1 + draws); `exact=True` enumerates up to 40 units by
    halves. The statistic is the sum. `details["minimum"]` is the least p these data could give, 2^(1−nonzero units).
    Fisher (1935); Phipson & Smyth (2010) for the added 1.
    """
    import numpy as np

    units = finite(differences, "differences")
    if cluster is not None:
        codes = cluster_codes(cluster, units.size)
        units = np.bincount(codes, weights=units).astype(np.float64)
    n = int(units.size)
    if n == 0:
        return Tested(None, n=0, method="sign-flip permutation", warnings=("no samples",))
    scale = float(np.abs(units).max())
    moved = np.sort(units[np.abs(units) > 1e-12 * scale]) if scale > 0 else units[:0]
    observed = abs(float(moved.sum()))
    details = {"minimum": 2.0 ** (1 - max(1, moved.size)), "units": int(moved.size)}
    if exact is None:
        exact = moved.size <= _EXACT_UNITS
    if exact and moved.size > _HALVES_UNITS:
        raise DataError(f"exact sign flips reach {_HALVES_UNITS} samples, these are {moved.size}: use draws")
    # A flip that ties with the data up to rounding counts as as extreme.
    bound = observed - 1e-9 * max(observed, scale)
    if exact:
        p = _exact_p(moved, bound)
        return Tested(p, float(moved.sum()), n=n, method=f"exact sign-flip permutation, {n} units", details=details)
    p = (1 + _hits(moved, bound, draws, seed)) / (1 + draws)
    return Tested(p, float(moved.sum()), n=n, method=f"sign-flip permutation, {draws:,} draws", details=details)


def _exact_p(units: Floats, bound: float) -> float:
    """Share of all sign patterns whose |sum| reaches `bound`: two sorted halves, counted by bisection."""
    import numpy as np

    left, right = _all_sums(units[::2]), np.sort(_all_sums(units[1::2]))
    if bound <= 0:
        return 1.0
    above = right.size - np.searchsorted(right, bound - left, side="left")
    below = np.searchsorted(right, -bound - left, side="right")
    return float((above + below).sum() / (left.size * right.size))


def _all_sums(units: Floats) -> Floats:
    import numpy as np

    sums = np.zeros(1)
    for unit in units:
        sums = np.concatenate([sums - unit, sums + unit])
    return sums


def _hits(units: Floats, bound: float, draws: int, seed: int) -> int:
    """Number of random sign patterns whose |sum| reaches `bound`.

    Eight signs at a time are one byte that looks its sum up in a table of 256. Past the 1,024 largest units the rest is
    drawn as one normal with its exact variance: a sum of thousands of bounded signs, each small beside the largest.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    magnitudes = np.sort(np.abs(units))[::-1]
    large, rest = magnitudes[:_SIGNED_UNITS], magnitudes[_SIGNED_UNITS:]
    blocks = np.zeros(-(-large.size // 8) * 8)
    blocks[: large.size] = large
    signs = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) * 2.0 - 1
    table = (blocks.reshape(-1, 8) @ signs.T).ravel()
    offsets = np.arange(blocks.size // 8) * 256
    bytes_drawn = random.integers(0, 256, (draws, offsets.size), dtype=np.uint8)
    sums = table[bytes_drawn + offsets].sum(axis=1)
    if rest.size:
        sums = sums + random.standard_normal(draws) * math.sqrt(float(rest @ rest))
    return int((np.abs(sums) >= bound).sum())
