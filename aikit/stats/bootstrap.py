"""Resampling whole samples or clusters: sums by weights instead of copies, and the studentised bootstrap of a mean.

Rows are collapsed to cluster sums, equal rows to one row with a count. Few different rows are one multinomial; more
are Poisson(1) weights times a matrix; past 4,096 rows they are first added up in 4,096 random groups, which keeps the
mean's variance and skewness. So 10,000 draws of a million pass/fail pairs take milliseconds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from aikit.errors import DataError
from aikit.stats.clustered import cluster_codes, finite, mean_of_cluster_sums
from aikit.stats.results import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Weights = NDArray[np.uint8]

__all__ = ["bootstrap_sums", "percentile_limits", "poisson_weights", "studentised_bootstrap", "studentised_limits"]

_GROUPS = 4096
_FEW_ROWS = 256
_BLOCK = 8_000_000  # weights held at once


def poisson_weights(rows: int, draws: int, random: np.random.Generator) -> Weights:
    """Return Poisson(1) weights, shape (draws, rows), by looking 16 random bits up in a table.

    A row's number of copies in a bootstrap sample of many rows is Poisson(1) (Hanley & MacGibbon 2006).
    """
    import numpy as np

    below = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(12)])
    table = np.searchsorted(below, (np.arange(65536) + 0.5) / 65536).astype(np.uint8)
    return table[random.integers(0, 65536, (draws, rows), dtype=np.uint16)]


def bootstrap_sums(
    columns: ArrayLike, *, cluster: ArrayLike | None = None, draws: int = 10_000, seed: int = 0
) -> Floats:
    """Return the resampled sums of columns, shape (draws, columns).

    `columns`: shape (rows, columns), one row per sample; with `cluster` whole clusters are drawn. Statistics of sums
    (means, ratios) should divide by a resampled count: add a column of ones.
    """
    import numpy as np

    table: Floats = np.asarray(columns, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise DataError("columns are a finite table of one row per sample")
    random = np.random.default_rng(seed)
    if cluster is not None:
        codes = cluster_codes(cluster, table.shape[0])
        table = np.stack([np.bincount(codes, weights=one).astype(np.float64) for one in table.T], axis=1)
    rows = len(table)
    if rows == 0 or draws == 0:
        return np.zeros((draws, table.shape[1]))
    patterns = _patterns(table)
    if patterns is not None:  # exact, and Poisson weights of few rows may add up to nothing
        unique, counts = patterns
        return random.multinomial(rows, counts / rows, size=draws).astype(np.float64) @ unique
    if rows > _GROUPS:
        group = random.permutation(rows) % _GROUPS
        grouped = [np.bincount(group, weights=one, minlength=_GROUPS).astype(np.float64) for one in table.T]
        table = np.stack(grouped, axis=1)
    step = max(1, _BLOCK // len(table))
    parts = [
        poisson_weights(len(table), min(step, draws - start), random).astype(np.float64) @ table
        for start in range(0, draws, step)
    ]
    return np.concatenate(parts)


def _patterns(table: Floats) -> tuple[Floats, NDArray[np.int64]] | None:
    """Return the different rows, sorted, and how often each occurs; None when they are many."""
    import numpy as np
    import pandas as pd

    if len(np.unique(table[: 4 * _FEW_ROWS], axis=0)) > _FEW_ROWS:
        return None
    codes = np.zeros(len(table), dtype=np.int64)
    for column in table.T:
        own, values = cast("tuple[NDArray[np.int64], Any]", pd.factorize(column))
        joint, _ = cast("tuple[NDArray[np.int64], Any]", pd.factorize(codes * len(values) + own))
        codes = joint.astype(np.int64)
    counts = np.bincount(codes)
    if counts.size > _FEW_ROWS:
        return None
    first = np.empty(counts.size, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(table))[::-1]
    order = np.lexsort(table[first].T[::-1])
    return table[first[order]], counts[order].astype(np.int64)


def percentile_limits(draws: Floats, alpha: float) -> tuple[float, float]:
    """Return the percentile interval of resampled statistics; infinite draws stay infinite."""
    import numpy as np

    ordered = np.sort(draws[~np.isnan(draws)])
    if not ordered.size:
        return -math.inf, math.inf
    last = ordered.size - 1
    return float(ordered[math.floor(last * alpha / 2)]), float(ordered[math.ceil(last * (1 - alpha / 2))])


def studentised_bootstrap(
    values: ArrayLike,
    cluster: ArrayLike | None = None,
    *,
    alpha: float = 0.05,
    draws: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Estimate a mean by the bootstrap-t, which follows skewness where Student's t does not; tested against 0.

    `values`: shape (n,), meant for n below some hundreds. Hall (1988), Ann. Stat. 16, 927-953. `details["t"]` is not
    kept; see `studentised_limits` for several levels from one set of draws.
    """
    import numpy as np

    array = finite(values)
    codes = np.arange(array.size) if cluster is None else cluster_codes(cluster, array.size)
    sums = np.bincount(codes, weights=array).astype(np.float64)
    counts = np.bincount(codes).astype(np.float64)
    plain = mean_of_cluster_sums(counts, sums, alpha=alpha)
    method = f"studentised bootstrap, {draws:,} draws"
    if plain.estimate is None or not plain.se:
        return plain
    t = studentised_limits(sums, counts, draws=draws, seed=seed)
    observed = plain.estimate / plain.se
    low, high = percentile_limits(t, alpha)
    hits = min(int((t >= observed).sum()), int((t <= observed).sum()))
    p = min(1.0, 2 * (1 + hits) / (1 + draws))
    return Estimate(
        plain.estimate, plain.estimate - high * plain.se, plain.estimate - low * plain.se, p, plain.se,
        statistic=observed, level=1 - alpha, n=plain.n, clusters=plain.clusters, method=method,
    )  # fmt: skip


def studentised_limits(sums: Floats, counts: Floats, *, draws: int = 10_000, seed: int = 0) -> Floats:
    """Return resampled t statistics, sorted: (mean* − mean)/se*, drawing clusters by their sums and counts."""
    import numpy as np

    random, groups = np.random.default_rng(seed), sums.size
    mean, out = sums.sum() / counts.sum(), np.empty(draws)
    step = max(1, _BLOCK // max(groups, 1))
    for start in range(0, draws, step):
        size = min(step, draws - start)
        weights = random.multinomial(groups, [1 / groups] * groups, size=size)
        total = weights @ counts
        centre = (weights @ sums) / total
        residual = sums - counts * centre[:, None]
        square = (weights * residual**2).sum(axis=1) * groups / max(groups - 1, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (centre - mean) * total / np.sqrt(square)
        out[start : start + size] = np.where(np.isnan(t), 0.0, t)
    return np.sort(out)
