"""Fisher's exact test as R's fisher.test has it, its conditional odds ratio and limits to R's own precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from aikit.errors import DataError
from aikit.stats.results import Interval, Tested

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["fisher"]

_EPSILON = 2.220446049250313e-16
_TOLERANCE = _EPSILON**0.25  # of R's uniroot; on the reciprocal of a large odds ratio it is coarse, and R prints it so


def fisher(table: ArrayLike, *, alpha: float = 0.05) -> Tested:
    """Return Fisher's exact two-sided p; `statistic` is the conditional maximum-likelihood odds ratio.

    `details["interval"]`: its exact limits, infinite with a zero cell. Root finding stops where R's does (1.2e-4 on the
    odds ratio or its reciprocal), so that large ratios agree with R rather than with the last digit.
    """
    import numpy as np

    counts = np.asarray(table, dtype=np.int64)
    if counts.shape != (2, 2) or (counts < 0).any():
        raise DataError("Fisher's test takes a 2 × 2 table of counts")
    odds = _Odds(counts)
    weights = odds.weights(1.0)
    p = float(weights[weights <= weights[odds.x - odds.low] * (1 + 1e-7)].sum())
    interval = Interval(odds.lower(alpha / 2), odds.upper(alpha / 2), 1 - alpha)
    details = {"interval": interval}
    return Tested(min(1.0, p), odds.likeliest(), n=int(counts.sum()), method="Fisher's exact test", details=details)


class _Odds:
    """The noncentral hypergeometric distribution of the first cell given the margins."""

    def __init__(self, counts: NDArray[np.int64]) -> None:
        import numpy as np
        from scipy import special

        m, n, k = int(counts[:, 0].sum()), int(counts[:, 1].sum()), int(counts[0].sum())
        self.x, self.low, self.high = int(counts[0, 0]), max(0, k - n), min(k, m)
        self.support = np.arange(self.low, self.high + 1).astype(np.float64)
        s = self.support
        self._log: Floats = -(
            special.gammaln(s + 1) + special.gammaln(m - s + 1)
            + special.gammaln(k - s + 1) + special.gammaln(n - k + s + 1)
        )  # fmt: skip

    def weights(self, ratio: float) -> Floats:
        import numpy as np

        log = self._log + math.log(ratio) * self.support
        weights = np.exp(log - log.max())
        return weights / weights.sum()

    def mean(self, ratio: float) -> float:
        if ratio == 0:
            return float(self.low)
        return float(self.support @ self.weights(ratio)) if math.isfinite(ratio) else float(self.high)

    def above(self, ratio: float) -> float:
        """Return P(cell ≥ x)."""
        if ratio == 0:
            return float(self.x <= self.low)
        return float(self.weights(ratio)[self.x - self.low :].sum()) if math.isfinite(ratio) else 1.0

    def below(self, ratio: float) -> float:
        """Return P(cell ≤ x)."""
        if ratio == 0:
            return 1.0
        at_most = self.x - self.low + 1
        return float(self.weights(ratio)[:at_most].sum()) if math.isfinite(ratio) else float(self.x >= self.high)

    def likeliest(self) -> float:
        if self.x == self.low:
            return 0.0
        return math.inf if self.x == self.high else _solve(lambda ratio: self.mean(ratio) - self.x)

    def upper(self, tail: float) -> float:
        return math.inf if self.x == self.high else _solve(lambda ratio: tail - self.below(ratio))

    def lower(self, tail: float) -> float:
        return 0.0 if self.x == self.low else _solve(lambda ratio: self.above(ratio) - tail)


def _solve(rising: Callable[[float], float]) -> float:
    """Return the ratio at which a rising function is 0: searched in (0, 1), or as a reciprocal beyond, as R does."""
    at_one = rising(1.0)
    if at_one == 0:
        return 1.0
    if at_one > 0:
        return _uniroot(rising, 0.0, 1.0)
    return 1 / _uniroot(lambda reciprocal: rising(1 / reciprocal), _EPSILON, 1.0)


def _uniroot(function: Callable[[float], float], a: float, b: float) -> float:
    """Find a root by Brent's method (1973, ch. 4) with the stopping rule of R's uniroot."""
    fa, fb = function(a), function(b)
    c, fc = a, fa
    if fa == 0:
        return a
    for _ in range(1001):
        before = b - a
        if abs(fc) < abs(fb):
            a, b, c = b, c, b
            fa, fb, fc = fb, fc, fb
        tolerance = 2 * _EPSILON * abs(b) + _TOLERANCE / 2
        step = (c - b) / 2
        if abs(step) <= tolerance or fb == 0:
            break
        if abs(before) >= tolerance and abs(fa) > abs(fb):
            step = _interpolated(a, b, c, fa, fb, fc, before, tolerance, step)
        if abs(step) < tolerance:
            step = math.copysign(tolerance, step)
        a, fa = b, fb
        b += step
        fb = function(b)
        if fb * fc > 0:
            c, fc = a, fa
    return b


def _interpolated(
    a: float, b: float, c: float, fa: float, fb: float, fc: float, before: float, tolerance: float, halving: float
) -> float:
    """Return the secant or inverse quadratic step where it is safe, else the halving one."""
    gap = c - b
    if a == c:
        p, q = gap * fb / fa, 1 - fb / fa
    else:
        q, t1, t2 = fa / fc, fb / fc, fb / fa
        p = t2 * (gap * q * (q - t1) - (b - a) * (t1 - 1))
        q = (q - 1) * (t1 - 1) * (t2 - 1)
    p, q = (p, -q) if p > 0 else (-p, q)
    safe = p < 0.75 * gap * q - abs(tolerance * q) / 2 and p < abs(before * q / 2)
    return p / q if safe else halving
