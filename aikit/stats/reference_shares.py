"""Published intervals and tests of shares that aikit's defaults can be checked against."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from aikit.stats.results import Interval, Tested

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "agresti_caffo",
    "chi2_of_shares",
    "clopper_pearson",
    "farrington_manning",
    "miettinen_nurminen",
]


def _z(alpha: float) -> float:
    from scipy import special

    return float(-special.ndtri(alpha / 2))


def agresti_caffo(pass_a: float, n_a: float, pass_b: float, n_b: float, *, alpha: float = 0.05) -> Interval:
    """Return the interval of P(B) − P(A) with a pass and a fail added to either arm. Agresti & Caffo (2000)."""
    share_a, share_b = (pass_a + 1) / (n_a + 2), (pass_b + 1) / (n_b + 2)
    error = math.sqrt(share_a * (1 - share_a) / (n_a + 2) + share_b * (1 - share_b) / (n_b + 2))
    half = _z(alpha) * error
    return Interval(share_b - share_a - half, share_b - share_a + half, 1 - alpha)


def clopper_pearson(passed: int, n: int, *, alpha: float = 0.05) -> Interval:
    """Return the exact binomial interval of a share. Clopper & Pearson (1934)."""
    from scipy import special

    low = 0.0 if passed == 0 else float(special.betaincinv(passed, n - passed + 1, alpha / 2))
    high = 1.0 if passed == n else float(special.betaincinv(passed + 1, n - passed, 1 - alpha / 2))
    return Interval(low, high, 1 - alpha)


def _restricted(pass_a: float, n_a: float, pass_b: float, n_b: float, delta: float) -> tuple[float, float]:
    """Return the likeliest shares (A, B) that lie delta apart: the cubic of Miettinen & Nurminen (1985).

    statsmodels 0.15 has passes where its linear coefficient wants n (its issue 10269), and differs in the third digit.
    """
    n = n_a + n_b
    l3, l0 = n, pass_a * delta * (1 - delta)
    l2 = (n_b + 2 * n_a) * delta - n - (pass_a + pass_b)
    l1 = (n_a * delta - n - 2 * pass_a) * delta + pass_a + pass_b
    # Written for B − A = delta with A as the free share.
    q = (l2 / (3 * l3)) ** 3 - l1 * l2 / (6 * l3 * l3) + l0 / (2 * l3)
    p = math.copysign(math.sqrt(max((l2 / (3 * l3)) ** 2 - l1 / (3 * l3), 0.0)), q)
    angle = 0.0 if p == 0 else (math.pi + math.acos(min(1.0, max(-1.0, q / p**3)))) / 3
    share_a = 2 * p * math.cos(angle) - l2 / (3 * l3)
    share_a = min(max(share_a, 0.0, -delta), 1.0, 1 - delta)
    return share_a, share_a + delta


def _score(pass_a: float, n_a: float, pass_b: float, n_b: float, delta: float, *, corrected: bool) -> float:
    share_a, share_b = _restricted(pass_a, n_a, pass_b, n_b, delta)
    variance = share_a * (1 - share_a) / n_a + share_b * (1 - share_b) / n_b
    if corrected:
        variance *= (n_a + n_b) / (n_a + n_b - 1)
    gap = pass_b / n_b - pass_a / n_a - delta
    if variance <= 0:
        return 0.0 if abs(gap) < 1e-15 else math.copysign(math.inf, gap)
    return gap / math.sqrt(variance)


def miettinen_nurminen(pass_a: float, n_a: float, pass_b: float, n_b: float, *, alpha: float = 0.05) -> Interval:
    """Return the score interval of P(B) − P(A) with the factor N/(N − 1). Miettinen & Nurminen (1985), Stat. Med. 4."""
    estimate, z = pass_b / n_b - pass_a / n_a, _z(alpha)

    def score(delta: float) -> float:
        return _score(pass_a, n_a, pass_b, n_b, delta, corrected=True)

    low = _bisect(lambda delta: score(delta) - z, -1.0, estimate)
    return Interval(low, _bisect(lambda delta: score(delta) + z, estimate, 1.0), 1 - alpha)


def _bisect(falling: Callable[[float], float], low: float, high: float) -> float:
    """Return where a falling function crosses 0; the near end of the range where it does not."""
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def farrington_manning(pass_a: float, n_a: float, pass_b: float, n_b: float, *, margin: float) -> Tested:
    """Test that P(B) − P(A) > −margin (non-inferiority) by the score with restricted shares; one-sided p.

    Farrington & Manning (1990), Stat. Med. 9, 1447-1454.
    """
    from scipy import special

    z = _score(pass_a, n_a, pass_b, n_b, -margin, corrected=False)
    return Tested(float(special.ndtr(-z)), z, n=int(n_a + n_b), method="Farrington-Manning non-inferiority, one-sided")


def chi2_of_shares(passed: ArrayLike, n: ArrayLike) -> Tested:
    """Test that k independent shares are equal by Pearson's χ², without continuity correction."""
    import numpy as np
    from scipy import special

    k, sizes = np.asarray(passed, dtype=np.float64), np.asarray(n, dtype=np.float64)
    pooled = float(k.sum() / sizes.sum())
    df = float(k.size - 1)
    if pooled in (0.0, 1.0):
        return Tested(1.0, 0.0, df, int(sizes.sum()), "χ² of shares")
    chi2 = float(((k - sizes * pooled) ** 2 / (sizes * pooled * (1 - pooled))).sum())
    return Tested(float(special.chdtrc(df, chi2)), chi2, df, int(sizes.sum()), "χ² of shares")
