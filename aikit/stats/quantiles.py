"""Quantiles of times and tokens: exact intervals from order statistics, ratios of p50, p90, p95 by resampling pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aikit.errors import DataError
from aikit.stats.bootstrap import percentile_limits, poisson_weights
from aikit.stats.clustered import cluster_codes, finite
from aikit.stats.results import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["harrell_davis", "quantile_interval", "quantile_ratios"]

_WEIGHED_SAMPLES = 2_000  # up to here every draw is weighed out; past it only the counts at the quantile are drawn


def quantile_interval(values: ArrayLike, q: float = 0.5, *, alpha: float = 0.05) -> Estimate:
    """Estimate a quantile (linear between order statistics) with the exact binomial interval of order statistics.

    An end is infinite when so few samples can't bound it. The interval is that of scipy's
    `quantile_test(...).confidence_interval`: each end at the largest rank whose binomial tail stays within α/2.
    """
    import numpy as np
    from scipy import special

    array = np.sort(finite(values))
    n = int(array.size)
    if not 0 < q < 1:
        raise DataError(f"q is {q}: a quantile lies between 0 and 1")
    if n == 0:
        return Estimate(None, level=1 - alpha, method="order statistics", warnings=("no samples",))
    below = np.concatenate([[0.0], special.bdtr(np.arange(n + 1), n, q)])  # P(X ≤ k − 1)
    lower = int(np.searchsorted(below, alpha / 2, side="right")) - 1  # the last rank with P(X < rank) ≤ α/2
    upper = int(np.argmax(below >= 1 - alpha / 2)) if (below >= 1 - alpha / 2).any() else n + 1
    low = float(array[lower - 1]) if lower >= 1 else -math.inf
    high = float(array[upper - 1]) if 1 <= upper <= n else math.inf
    return Estimate(float(np.quantile(array, q)), low, high, level=1 - alpha, n=n, method="order statistics, exact")


def harrell_davis(values: ArrayLike, q: float = 0.5) -> float:
    """Return the Harrell-Davis quantile (1982): a Beta-weighted mean of order statistics, steadier than one of them."""
    import numpy as np
    from scipy import special

    array = np.sort(finite(values))
    n = array.size
    if n == 0 or not 0 < q < 1:
        raise DataError("Harrell-Davis needs values and a quantile between 0 and 1")
    weights = np.diff(special.betainc((n + 1) * q, (n + 1) * (1 - q), np.arange(n + 1) / n))
    return float(weights @ array)


def quantile_ratios(
    a: ArrayLike,
    b: ArrayLike,
    q: Sequence[float] = (0.5, 0.9, 0.95),
    cluster: ArrayLike | None = None,
    *,
    paired: bool = True,
    alpha: float = 0.05,
    draws: int = 10_000,
    seed: int = 0,
) -> tuple[Estimate, ...]:
    """Estimate b/a of each quantile with a percentile interval from resampled pairs (clusters); 1 is no difference.

    Up to 2,000 samples each draw weighs out both quantiles. Past that the resampled share of samples at or below a
    quantile decides which order statistic takes its place (Bahadur 1966): one multinomial over the four patterns of
    (a below, b below). Different samples (`paired=False`) use the exact resampling law of an order statistic.
    """
    import numpy as np

    left, right = finite(a, "a"), finite(b, "b")
    if paired and left.size != right.size:
        raise DataError(f"{left.size} values of a and {right.size} of b: pass paired=False for different samples")
    if not (left.size and right.size):
        return tuple(Estimate(None, level=1 - alpha, method="quantile ratio", warnings=("no samples",)) for _ in q)
    random = np.random.default_rng(seed)
    codes = None if cluster is None else cluster_codes(cluster, left.size)
    if not paired:
        pairs = [(_resampled_order(left, one, draws, random), _resampled_order(right, one, draws, random)) for one in q]
    elif left.size <= _WEIGHED_SAMPLES:
        pairs = _weighed(left, right, q, codes, draws, random)
    else:
        pairs = [_by_counts(left, right, one, codes, draws, random) for one in q]
    return tuple(_ratio(left, right, one, pair, alpha) for one, pair in zip(q, pairs, strict=True))


def _ratio(left: Floats, right: Floats, q: float, drawn: tuple[Floats, Floats], alpha: float) -> Estimate:
    import numpy as np

    at_a, at_b = float(np.quantile(left, q)), float(np.quantile(right, q))
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = percentile_limits(drawn[1] / drawn[0], alpha)
    ratio = at_b / at_a if at_a else math.inf if at_b else None
    n, details = left.size, {"q": q, "a": at_a, "b": at_b}
    method = f"p{100 * q:g} ratio, bootstrap"
    return Estimate(ratio, low, high, level=1 - alpha, n=n, method=method, details=details)


def _resampled_order(values: Floats, q: float, draws: int, random: np.random.Generator) -> Floats:
    """The k-th smallest of a resample is the order statistic at rank ⌈n·U⌉ with U ~ Beta(k, n − k + 1)."""
    import numpy as np

    n = values.size
    rank = max(1, math.ceil(n * q))
    position = np.ceil(n * random.beta(rank, n - rank + 1, draws)).astype(np.int64)
    return np.sort(values)[np.clip(position, 1, n) - 1]


def _weighed(
    left: Floats, right: Floats, q: Sequence[float], codes: NDArray[np.int64] | None, draws: int,
    random: np.random.Generator,
) -> list[tuple[Floats, Floats]]:  # fmt: skip
    import numpy as np

    order_a, order_b = np.argsort(left, kind="stable"), np.argsort(right, kind="stable")
    found: list[list[Floats]] = [[] for _ in range(2 * len(q))]
    step = max(1, 4_000_000 // left.size)
    for start in range(0, draws, step):
        size = min(step, draws - start)
        weights = poisson_weights(left.size if codes is None else int(codes.max()) + 1, size, random)
        if codes is not None:
            weights = weights[:, codes]
        for arm, (values, order) in enumerate(((left, order_a), (right, order_b))):
            running = np.cumsum(weights[:, order], axis=1, dtype=np.uint16)
            for k, one in enumerate(q):
                wanted = np.maximum(np.ceil(running[:, -1] * one), 1)
                at = (running < wanted[:, None].astype(np.uint16)).sum(axis=1)
                found[2 * k + arm].append(values[order][np.minimum(at, left.size - 1)])
    return [(np.concatenate(found[2 * k]), np.concatenate(found[2 * k + 1])) for k in range(len(q))]


def _by_counts(
    left: Floats, right: Floats, q: float, codes: NDArray[np.int64] | None, draws: int, random: np.random.Generator
) -> tuple[Floats, Floats]:
    import numpy as np

    n, rank = left.size, max(1, math.ceil(left.size * q))
    at_a, at_b = (float(np.partition(one, rank - 1)[rank - 1]) for one in (left, right))
    below = np.stack([left <= at_a, right <= at_b], axis=1)
    if codes is None:
        patterns = np.bincount(below[:, 0] * 2 + below[:, 1], minlength=4)
        drawn = random.multinomial(n, patterns / n, size=draws)
        shares = np.stack([(drawn[:, 2] + drawn[:, 3]) / n, (drawn[:, 1] + drawn[:, 3]) / n], axis=1)
    else:
        from aikit.stats.bootstrap import bootstrap_sums

        sums = bootstrap_sums(
            np.column_stack([below, np.ones(n)]), cluster=codes, draws=draws, seed=int(random.integers(2**31))
        )
        shares = sums[:, :2] / sums[:, 2:]
    centre = below.mean(axis=0)
    return tuple(  # type: ignore[return-value]  # two of them
        _order_statistic(values, n * (q - (shares[:, arm] - centre[arm]))) for arm, values in enumerate((left, right))
    )


def _order_statistic(values: Floats, rank: Floats) -> Floats:
    """Return order statistics by (fractional, rounded up) rank, sorting only the reach that is asked for."""
    import numpy as np

    index = np.clip(np.ceil(rank).astype(np.int64) - 1, 0, values.size - 1)
    low, high = int(index.min()), int(index.max())
    part = np.partition(values, (low, high))[low : high + 1]
    part.sort()
    return part[index - low]
