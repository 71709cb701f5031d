"""Sample sizes and power as R's stats and pwr packages have them, as checks."""

from __future__ import annotations

import math
from collections.abc import Callable

from aikit.errors import DataError
from aikit.stats.power import t_power

__all__ = ["arcsine_samples", "proportion_samples", "t_samples_per_arm"]


def t_samples_per_arm(effect: float, *, sd: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return n per arm of a two-sample t-test, not rounded. R: power.t.test(type = "two.sample", strict = FALSE)."""
    from scipy import optimize

    def shortfall(n: float) -> float:
        return t_power(effect, se=sd * math.sqrt(2 / n), df=2 * (n - 1), alpha=alpha, both=False) - power

    return 2.0 if shortfall(2.0) >= 0 else optimize.brentq(shortfall, 2.0, _reach(shortfall), xtol=1e-10)


def proportion_samples(p1: float, p2: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return n per arm of the two-sample test of proportions. R: power.prop.test, not strict."""
    if p1 == p2:
        raise DataError("two equal proportions can't be told apart")
    z_alpha, z_power = _z(1 - alpha / 2), _z(power)
    pooled = (p1 + p2) / 2
    under_null = z_alpha * math.sqrt(2 * pooled * (1 - pooled))
    under_effect = z_power * math.sqrt(p1 * (1 - p1) + p2 * (1 - p2))
    return ((under_null + under_effect) / (p1 - p2)) ** 2


def arcsine_samples(p1: float, p2: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return n per arm by Cohen's h = 2 asin √p1 − 2 asin √p2, both tails counted. R: pwr::pwr.2p.test."""
    from scipy import optimize, special

    h = abs(2 * math.asin(math.sqrt(p1)) - 2 * math.asin(math.sqrt(p2)))
    if h == 0:
        raise DataError("two equal proportions can't be told apart")
    z_alpha = _z(1 - alpha / 2)

    def shortfall(n: float) -> float:
        shift = h * math.sqrt(n / 2)
        return float(special.ndtr(shift - z_alpha) + special.ndtr(-shift - z_alpha)) - power

    return optimize.brentq(shortfall, 1e-6, _reach(shortfall), xtol=1e-10)


def _z(q: float) -> float:
    from scipy import special

    return float(special.ndtri(q))


def _reach(shortfall: Callable[[float], float]) -> float:
    n = 4.0
    while shortfall(n) < 0 and n < 1e12:
        n *= 2
    return n
