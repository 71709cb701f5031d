"""How far raters, people or judges, agree beyond chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aikit.errors import DataError
from aikit.stats.results import Estimate, Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["Intraclass", "Level", "cohen_kappa", "fleiss_kappa", "intraclass_correlations", "krippendorff_alpha"]

Level = Literal["nominal", "ordinal", "interval", "ratio"]
"""Which differences count: any; those in rank; in value; in value relative to size."""


def krippendorff_alpha(
    ratings: Sequence[Sequence[float | str | None]] | NDArray[np.generic],
    *,
    level: Level = "nominal",
    alpha: float = 0.05,
    draws: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Estimate Krippendorff's alpha: 1 − observed/expected disagreement; 1 is agreement, 0 is chance.

    `ratings`: raters × samples, None or NaN where a rater did not judge; text only for "nominal". The interval
    resamples whole samples (`draws=0`: none). None when fewer than two judgements can be paired, or when all are
    the same value (nothing could have disagreed). Krippendorff (2011), "Computing Krippendorff's
    alpha-reliability"; Hayes & Krippendorff (2007).
    """
    import numpy as np

    values, counts = _value_counts(ratings, level)
    counts = counts[counts.sum(axis=1) >= 2]
    method = f"Krippendorff's alpha, {level}, bootstrap over samples"
    n = len(counts)
    found = _alpha(counts[None], values, level)[0] if n else math.nan
    if math.isnan(found):
        note = "all judgements are the same, or none can be paired" if n else "no sample was judged twice"
        return Estimate(None, n=n, level=1 - alpha, method=method, warnings=(note,))
    if not draws or n < 2:
        return Estimate(float(found), n=n, level=1 - alpha, method=method)
    random = np.random.default_rng(seed)
    patterns, times = np.unique(counts, axis=0, return_counts=True)
    drawn = random.multinomial(n, times / n, size=draws)
    spread = _alpha_of_patterns(drawn.astype(np.float64), patterns, values, level)
    spread = spread[~np.isnan(spread)]
    low, high = (float(np.quantile(spread, q)) for q in (alpha / 2, 1 - alpha / 2))
    return Estimate(float(found), low, high, n=n, level=1 - alpha, method=method, details={"draws": draws})


def _value_counts(
    ratings: Sequence[Sequence[float | str | None]] | NDArray[np.generic], level: Level
) -> tuple[Floats, Floats]:
    """Return the values and how often each was given per sample, shape (samples, values)."""
    import numpy as np
    import pandas as pd

    table: NDArray[np.object_] = np.array([list(rater) for rater in ratings], dtype=object).T
    flat = pd.Series(table.ravel())
    if level != "nominal":
        flat = pd.to_numeric(flat)
    codes, names = pd.factorize(flat, sort=True)
    rows, width = int(table.shape[0]), int(table.shape[1])
    samples = np.repeat(np.arange(rows), width)
    known = codes >= 0
    counts = np.zeros((rows, max(len(names), 1)))
    np.add.at(counts, (samples[known], codes[known]), 1.0)
    values = np.arange(len(names), dtype=np.float64) if level == "nominal" else np.asarray(names, dtype=np.float64)
    return values, counts


def _alpha(counts: Floats, values: Floats, level: Level) -> Floats:
    """Return alpha per table; counts have shape (tables, samples, values)."""
    import numpy as np

    weights = np.ones(counts.shape[:2])
    return np.concatenate([_alpha_of_patterns(w[None], c, values, level) for w, c in zip(weights, counts, strict=True)])


def _alpha_of_patterns(times: Floats, patterns: Floats, values: Floats, level: Level) -> Floats:
    """Return alpha of data sets given by how often each pattern of counts occurs, shape (sets, patterns)."""
    import numpy as np

    judged = patterns.sum(axis=1)
    pairs = patterns[:, :, None] * patterns[:, None, :]
    pairs -= patterns[:, :, None] * np.eye(patterns.shape[1])
    pairs /= (judged - 1)[:, None, None]
    coincidence = np.tensordot(times, pairs, axes=1)
    margins = coincidence.sum(axis=2)
    total = margins.sum(axis=1)
    distance = _distances(values, margins, level)
    observed = (coincidence * distance).sum(axis=(1, 2))
    expected = (margins[:, :, None] * margins[:, None, :] * distance).sum(axis=(1, 2)) / (total - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 0, 1 - observed / expected, np.nan)


def _distances(values: Floats, margins: Floats, level: Level) -> Floats:
    """Return the squared difference between any two values, one table per data set (ordinal ones depend on it)."""
    import numpy as np

    apart = values[:, None] - values[None, :]
    if level == "nominal":
        return np.broadcast_to((apart != 0).astype(np.float64), (len(margins), *apart.shape))
    if level == "interval":
        return np.broadcast_to(apart**2, (len(margins), *apart.shape))
    if level == "ratio":
        together = values[:, None] + values[None, :]
        safe = np.where(together == 0, 1.0, together)
        return np.broadcast_to(np.where(apart == 0, 0.0, (apart / safe) ** 2), (len(margins), *apart.shape))
    if level != "ordinal":
        raise DataError(f"no level {level!r}: use nominal, ordinal, interval or ratio")
    below = np.cumsum(margins, axis=1)
    middle = below - margins / 2
    return (middle[:, :, None] - middle[:, None, :]) ** 2


def cohen_kappa(
    table: ArrayLike, *, weights: Literal["linear", "quadratic"] | None = None, alpha: float = 0.05
) -> Estimate:
    """Estimate Cohen's kappa of two raters from their cross table, weighted for ordinal categories.

    `table[i][j]`: samples put into i by the first and j by the second rater, same order of categories. The error is the
    large-sample one under the alternative (Fleiss, Cohen & Everitt 1969). None when chance agreement is certain.
    """
    import numpy as np
    from scipy import special

    counts = np.asarray(table, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or (counts < 0).any():
        raise DataError(f"a table of shape {counts.shape}: give a square one of counts")
    n, k = float(counts.sum()), len(counts)
    method = f"Cohen's kappa{'' if weights is None else f', {weights} weights'}"
    if n == 0:
        return Estimate(None, level=1 - alpha, method=method, warnings=("no samples",))
    share = counts / n
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    steps = np.abs(np.subtract.outer(np.arange(k), np.arange(k))) / max(k - 1, 1)
    agree = {None: np.eye(k), "linear": 1 - steps, "quadratic": 1 - steps**2}[weights]
    observed = float((agree * share).sum())
    chance = float(rows @ agree @ columns)
    if abs(1 - chance) < 1e-12:
        return Estimate(None, n=int(n), level=1 - alpha, method=method, warnings=("only one category was used",))
    kappa = (observed - chance) / (1 - chance)
    typical = (agree @ columns)[:, None] + (agree.T @ rows)[None, :]
    inner = float((share * (agree - typical * (1 - kappa)) ** 2).sum())
    variance = (inner - (kappa - chance * (1 - kappa)) ** 2) / (n * (1 - chance) ** 2)
    se = math.sqrt(max(variance, 0.0))
    half = float(-special.ndtri(alpha / 2)) * se
    return Estimate(kappa, kappa - half, kappa + half, se=se, n=int(n), level=1 - alpha, method=method)


def fleiss_kappa(counts: ArrayLike) -> Estimate:
    """Estimate Fleiss' kappa from `counts[sample][category]`; every sample with the same number of ratings.

    With other designs (missing ratings) use Krippendorff's alpha. Fleiss (1971), Psychol. Bull. 76.
    """
    import numpy as np

    table = np.asarray(counts, dtype=np.float64)
    ratings = table.sum(axis=1)
    if table.ndim != 2 or not table.size or ratings[0] < 2 or not (ratings == ratings[0]).all():
        raise DataError("Fleiss' kappa needs the same number of ratings, two or more, for every sample")
    each = float(ratings[0])
    observed = float(((table * (table - 1)).sum(axis=1) / (each * (each - 1))).mean())
    chance = float(((table.sum(axis=0) / table.sum()) ** 2).sum())
    if chance == 1:
        note = "only one category was used"
        return Estimate(None, n=len(table), method="Fleiss' kappa", warnings=(note,))
    kappa = (observed - chance) / (1 - chance)
    return Estimate(kappa, n=len(table), method="Fleiss' kappa", details={"observed": observed, "chance": chance})


@dataclass(frozen=True, slots=True)
class Intraclass(Result):
    """Intraclass correlations of Shrout & Fleiss (1979): of one rating, of the mean of k; None without spread."""

    icc1: float | None
    """Each sample rated by other raters (one-way)."""
    icc2: float | None
    """The same raters, drawn from many; their levels count as disagreement."""
    icc3: float | None
    """The same raters and no others; consistency."""
    icc1k: float | None
    icc2k: float | None
    icc3k: float | None
    samples: int
    raters: int


def intraclass_correlations(ratings: ArrayLike) -> Intraclass:
    """Return the six intraclass correlations of a complete table, samples × raters. Shrout & Fleiss (1979)."""
    import numpy as np

    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2 or not np.isfinite(table).all():
        raise DataError(f"ratings of shape {table.shape}: give two or more samples × two or more raters, none missing")
    n, k = table.shape
    total = float(((table - table.mean()) ** 2).sum())
    of_samples = k * float(((table.mean(axis=1) - table.mean()) ** 2).sum())
    of_raters = n * float(((table.mean(axis=0) - table.mean()) ** 2).sum())
    between, within = of_samples / (n - 1), (total - of_samples) / (n * (k - 1))
    raters, rest = of_raters / (k - 1), (total - of_samples - of_raters) / ((n - 1) * (k - 1))
    return Intraclass(
        _over(between - within, between + (k - 1) * within),
        _over(between - rest, between + (k - 1) * rest + k * (raters - rest) / n),
        _over(between - rest, between + (k - 1) * rest),
        _over(between - within, between),
        _over(between - rest, between + (raters - rest) / n),
        _over(between - rest, between),
        n,
        k,
    )


def _over(top: float, bottom: float) -> float | None:
    return top / bottom if bottom else None
