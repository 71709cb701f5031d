"""Several comparisons at once: adjusted p-values and single-step max-T.

Against a control use max-T (it knows how the contrasts hang together), Holm where there is only a p for each; all
pairs, Holm; secondary metrics, Benjamini-Hochberg and the label "exploratory". Guardrails are not corrected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aikit.errors import DataError
from aikit.stats.clustered import cluster_codes, clustered_mean
from aikit.stats.results import Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["Adjustment", "MaxT", "adjust_p", "max_t"]

Adjustment = Literal["holm", "hochberg", "hommel", "bonferroni", "BH", "BY"]

EXACT_FLIPS = 13
"""Up to this many units all 2^n sign patterns are enumerated; beyond, `draws` of them are drawn."""

_MANY_UNITS = 4000  # beyond it the flips' joint distribution is normal to Monte Carlo error; cost stops growing with n
_ROUNDING = 1e-9  # relative: two permutations that tie in exact arithmetic tie here too
_CHUNK = 2_000_000  # sign entries at once: 16 MB


@dataclass(frozen=True, slots=True)
class MaxT(Result):
    """Contrasts against one control, tested together by joint sign flips."""

    estimate: tuple[float, ...]
    """Mean difference per contrast."""
    se: tuple[float, ...]
    """CR2 over the clusters where given."""
    t: tuple[float, ...]
    """Studentised mean; 0 where nothing differs, ±inf where all units differ by the same amount."""
    p: tuple[float, ...]
    """Unadjusted two-sided sign-flip p."""
    p_adjusted: tuple[float, ...]
    """Single-step max-T: the family's false positives are held at alpha."""
    critical: float
    """Quantile of max|t|: estimate ± critical·se are simultaneous intervals."""
    alpha: float
    units: int
    """Samples, or clusters where given."""
    method: str
    seed: int | None = None
    """Seed of the drawn flips; None where all were enumerated."""


def adjust_p(p: Sequence[float | None], *, method: Adjustment = "holm") -> list[float | None]:
    """Adjust p-values for being several; None stays None and does not count.

    "holm", "hochberg", "hommel", "bonferroni" hold the chance of any false positive, "BH" and "BY" the share of false
    ones among the discoveries. As R's p.adjust. Holm (1979), Hommel (1988), Benjamini & Hochberg (1995).
    """
    import numpy as np

    known = [number for number, one in enumerate(p) if one is not None]
    values = np.array([one for one in p if one is not None], dtype=np.float64)
    if values.size and not ((values >= 0) & (values <= 1)).all():
        raise DataError("p-values lie between 0 and 1")
    adjusted: list[float | None] = [None] * len(p)
    if not known:
        return adjusted
    for place, value in zip(known, _adjusted(values, method), strict=True):
        adjusted[place] = float(value)
    return adjusted


def _adjusted(p: Floats, method: Adjustment) -> Floats:
    import numpy as np

    n = p.size
    if method == "bonferroni":
        return np.minimum(1.0, p * n)
    if method == "hommel":
        return _hommel(p)
    order = np.argsort(p, kind="stable")
    rank = np.arange(1, n + 1)
    ordered = p[order]
    if method == "holm":
        steps = np.maximum.accumulate((n - rank + 1) * ordered)
    else:
        scale = _step_up_scale(method, n, rank)
        steps = np.minimum.accumulate((scale * ordered)[::-1])[::-1]
    result = np.empty(n)
    result[order] = np.minimum(1.0, steps)
    return result


def _step_up_scale(method: Adjustment, n: int, rank: NDArray[np.int64]) -> Floats:
    if method == "hochberg":
        return (n - rank + 1).astype(float)
    if method == "BH":
        return n / rank
    if method == "BY":
        return n / rank * sum(1 / k for k in range(1, n + 1))
    raise DataError(f"no adjustment {method!r}: use holm, hochberg, hommel, bonferroni, BH or BY")


def _hommel(p: Floats) -> Floats:
    """Hommel's closed Simes procedure, after Wright (1992), Biometrics 48."""
    import numpy as np

    n = p.size
    order = np.argsort(p, kind="stable")
    ordered = p[order]
    rank = np.arange(1, n + 1)
    best = np.full(n, (n * ordered / rank).min())
    adjusted = best.copy()
    for m in range(n - 1, 1, -1):
        upper = np.arange(n - m + 1, n)
        lower = np.arange(n - m + 1)
        least = (m * ordered[upper] / np.arange(2, m + 1)).min()
        best[lower] = np.minimum(m * ordered[lower], least)
        best[upper] = best[n - m]
        adjusted = np.maximum(adjusted, best)
    result = np.empty(n)
    result[order] = np.minimum(1.0, np.maximum(adjusted, ordered))
    return result


def max_t(
    differences: ArrayLike,
    cluster: ArrayLike | None = None,
    *,
    alpha: float = 0.05,
    draws: int = 10_000,
    seed: int = 0,
    exact: bool | None = None,
) -> MaxT:
    """Test several paired contrasts together: single-step max-T over joint sign flips of the units.

    `differences`: variant minus control per sample, shape (samples, contrasts); NaN where a sample has no partner in
    that contrast. `cluster`: labels per sample; then whole clusters are flipped. Flipping a unit flips it in all
    contrasts at once, so their dependence is kept. All 2^n flips up to 13 units (`exact=True`: whatever the number),
    else `draws` of them, p = (hits + 1)/(draws + 1). Above 4,000 units the flipped sums are drawn from the normal
    distribution with their exact covariance. Westfall & Young (1993).
    """
    import numpy as np

    table, counts, estimate, se = _units(differences, cluster)
    squares = (table * table).sum(axis=0)
    observed = _t_squared(table.sum(axis=0), squares, counts)
    limit = observed * (1 - _ROUNDING)
    enumerate_all = len(table) <= EXACT_FLIPS if exact is None else exact
    flipped = _all_flips(table) if enumerate_all else _some_flips(table, draws, np.random.default_rng(seed))
    t2 = np.concatenate([_t_squared(sums, squares, counts) for sums in flipped])
    largest = t2.max(axis=1)
    extra = 0 if enumerate_all else 1  # the observed labelling is one of the draws
    count = len(t2) + extra
    how = f"all {len(t2)}" if enumerate_all else f"{len(t2)} drawn"
    return MaxT(
        tuple(estimate),
        tuple(se),
        tuple((np.sqrt(observed) * np.sign(table.sum(axis=0))).tolist()),
        tuple((((t2 >= limit).sum(axis=0) + extra) / count).tolist()),
        tuple((((largest[:, None] >= limit).sum(axis=0) + extra) / count).tolist()),
        math.sqrt(float(np.quantile(largest, 1 - alpha, method="higher"))),
        alpha,
        len(table),
        f"single-step max-T, {how} sign flips",
        None if enumerate_all else seed,
    )


def _units(differences: ArrayLike, cluster: ArrayLike | None) -> tuple[Floats, Floats, list[float], list[float]]:
    """Return what is flipped (units × contrasts, 0 where missing), units per contrast, means, standard errors."""
    import numpy as np

    table = np.asarray(differences, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or 0 in table.shape or np.isinf(table).any():
        raise DataError(f"differences of shape {table.shape}: give finite numbers, samples × contrasts")
    known = ~np.isnan(table)
    codes = np.arange(len(table)) if cluster is None else cluster_codes(cluster, len(table))
    means = [
        clustered_mean(column[there], None if cluster is None else codes[there])
        for column, there in zip(table.T, known.T, strict=True)
    ]
    filled = np.where(known, table, 0.0)
    if cluster is not None:
        filled = np.stack([np.bincount(codes, weights=column) for column in filled.T], axis=1).astype(np.float64)
        known = np.stack([np.bincount(codes, weights=there) for there in known.T], axis=1) > 0
    estimate = [math.nan if one.estimate is None else one.estimate for one in means]
    se = [math.nan if one.se is None else one.se for one in means]
    return filled, known.sum(axis=0).astype(np.float64), estimate, se


def _t_squared(sums: Floats, squares: Floats, counts: Floats) -> Floats:
    """Return t² of flipped units: flips change the sum and leave the sum of squares as it is."""
    import numpy as np

    share = np.divide(sums * sums, squares, out=np.zeros_like(sums), where=squares > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t2 = share * (counts - 1) / np.maximum(counts - share, 0.0)
    t2 = np.where(share >= counts * (1 - _ROUNDING), math.inf, t2)
    return np.where(share == 0, 0.0, t2)


def _all_flips(table: Floats) -> list[Floats]:
    """Return the sums under all sign patterns, half of them: the mirrored half has the same squares."""
    import numpy as np

    sums = table[:1].copy()
    for row in table[1:]:
        sums = np.concatenate([sums + row, sums - row])
    return [sums]


def _some_flips(table: Floats, draws: int, rng: np.random.Generator) -> list[Floats]:
    import numpy as np

    n, contrasts = table.shape
    if n > _MANY_UNITS:
        values, vectors = np.linalg.eigh(table.T @ table)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return [rng.standard_normal((draws, contrasts)) @ root.T]
    chunk = max(1, _CHUNK // n)
    sums: list[Floats] = []
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        bits = rng.integers(0, 256, size=(size, (n + 7) // 8), dtype=np.uint8)
        chosen = np.unpackbits(bits, axis=1, count=n)
        # Σ±x = 2·Σ chosen x − Σx
        sums.append(2.0 * (chosen.astype(np.float64) @ table) - table.sum(axis=0))
    return sums
