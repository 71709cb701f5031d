"""Methods that others publish and aikit does not recommend: kept so that its own can be checked against theirs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from aikit.errors import DataError
from aikit.stats.anytime import sequence_from_error
from aikit.stats.clustered import finite, t_estimate
from aikit.stats.results import Estimate, Interval, Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "Arm",
    "ChanceToWin",
    "bernoulli_sequence",
    "best_arm_weights",
    "chance_to_win",
    "difference_of_arms",
    "hedged_sequence",
    "normal_mixture_boundary",
    "probability_best",
    "sequence_of_arms",
]


@dataclass(frozen=True, slots=True)
class Arm(Result):
    """One arm of an unpaired experiment, as sums know it."""

    n: float
    mean: float
    variance: float
    """Variance of one unit's value; for a ratio of sums, of its linearised contribution."""

    @classmethod
    def of_sums(cls, sums: Mapping[str, float]) -> Self:
        """Read `n`, `sum` and `sum_squares`."""
        n, total, squares = float(sums["n"]), float(sums["sum"]), float(sums["sum_squares"])
        variance = (squares - total**2 / n) / (n - 1) if n > 1 else 0.0
        return cls(n, total / n if n else 0.0, max(variance, 0.0))

    @classmethod
    def of_counts(cls, passed: float, n: float) -> Self:
        """Read passes of n; variance p(1 − p), as GrowthBook has it."""
        share = passed / n if n else 0.0
        return cls(n, share, share * (1 - share))

    @classmethod
    def of_ratio(cls, numerator: ArrayLike, denominator: ArrayLike) -> Self:
        """Read a ratio of sums by the delta method; one pair per unit."""
        import numpy as np

        num, den = finite(numerator, "numerator"), finite(denominator, "denominator")
        ratio = float(num.sum() / den.sum())
        covariance = np.cov(num, den)
        variance = float(covariance[0, 0] - 2 * ratio * covariance[0, 1] + ratio**2 * covariance[1, 1])
        return cls(num.size, ratio, variance / float(den.mean()) ** 2)


@dataclass(frozen=True, slots=True)
class ChanceToWin(Result):
    """A posterior for presentation; a stopping rule on it has 38 % false positives."""

    chance_to_win: float
    effect: float
    low: float
    high: float
    risk_a: float
    """Expected loss of choosing the control, in the effect's unit."""
    risk_b: float


def _effect(a: Arm, b: Arm, *, relative: bool) -> tuple[float, float]:
    """Return the difference and its variance; relative ones by the delta method."""
    if not relative:
        return b.mean - a.mean, a.variance / a.n + b.variance / b.n
    if a.mean == 0:
        raise DataError("the control's mean is 0: a relative difference does not exist")
    variance = b.variance / (a.mean**2 * b.n) + a.variance * b.mean**2 / (a.mean**4 * a.n)
    return (b.mean - a.mean) / a.mean, variance


def difference_of_arms(a: Arm, b: Arm, *, relative: bool = False, alpha: float = 0.05) -> Estimate:
    """Estimate B − A, or B/A − 1 when `relative`, by Welch's t on sums. GrowthBook's gbstats, TwoSidedTTest."""
    effect, variance = _effect(a, b, relative=relative)
    parts = a.variance / a.n, b.variance / b.n
    spread = parts[0] ** 2 / (a.n - 1) + parts[1] ** 2 / (b.n - 1)
    df = sum(parts) ** 2 / spread if spread > 0 else math.inf
    return t_estimate(effect, math.sqrt(variance), df, alpha=alpha, n=int(a.n + b.n), method="Welch t on sums")


def sequence_of_arms(a: Arm, b: Arm, *, planned: float, relative: bool = False, alpha: float = 0.05) -> Estimate:
    """Estimate B − A (or B/A − 1) by the asymptotic confidence sequence. gbstats, SequentialTwoSidedTTest."""
    effect, variance = _effect(a, b, relative=relative)
    return sequence_from_error(effect, math.sqrt(variance), a.n + b.n, planned=planned, alpha=alpha)


def chance_to_win(
    a: Arm,
    b: Arm,
    *,
    relative: bool = True,
    prior: tuple[float, float] | None = None,
    alpha: float = 0.05,
) -> ChanceToWin:
    """Return the posterior probability that B beats A, from a flat prior or a normal `prior` (mean, sd) of the effect.

    gbstats, EffectBayesianABTest: the effect is normal with the delta method's variance.
    """
    from scipy import special

    effect, variance = _effect(a, b, relative=relative)
    if variance <= 0:
        raise DataError("nothing varies: there is no posterior")
    precision = 1 / variance
    if prior is not None:
        weight = 1 / prior[1] ** 2
        effect = (effect * precision + prior[0] * weight) / (precision + weight)
        precision += weight
    sd = math.sqrt(1 / precision)
    z = effect / sd
    density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    below = float(special.ndtr(-z))
    half = float(-special.ndtri(alpha / 2)) * sd
    gain, loss = effect * (1 - below) + sd * density, sd * density - effect * below
    return ChanceToWin(1 - below, effect, effect - half, effect + half, gain, loss)


def probability_best(arms: ArrayLike) -> list[float]:
    """Return each arm's probability of the largest share under Beta(α, β) posteriors, shape (arms, 2)."""
    import numpy as np
    from scipy import special

    table = np.asarray(arms, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != 2 or (table <= 0).any():
        raise DataError("give (alpha, beta) per arm, both above 0")
    # Substituting x = sin²θ takes away the poles of Beta densities with parameters below 1.
    nodes, weights = special.roots_legendre(50)
    edges = np.linspace(0, math.pi / 2, 81)
    half = np.diff(edges)[:, None] / 2
    x = np.sin((edges[:-1, None] + half * (nodes + 1)).ravel()) ** 2
    below = special.betainc(table[:, :1], table[:, 1:], x)
    log_density = (
        special.xlogy(table[:, :1] - 0.5, x) + special.xlog1py(table[:, 1:] - 0.5, -x)
        - special.betaln(table[:, :1], table[:, 1:]) + math.log(2)
    )  # fmt: skip
    mass = np.exp(log_density) * (half * weights).ravel()
    best = [float((mass[k] * np.delete(below, k, axis=0).prod(axis=0)).sum()) for k in range(len(table))]
    return [one / sum(best) for one in best]


def best_arm_weights(means: ArrayLike, *, variance: float = 1.0) -> tuple[list[float], float]:
    """Return the sampling shares that identify the best of Gaussian arms soonest, and T*, the characteristic time.

    About T*·ln(1/δ) draws identify it with error δ. Infinite when two arms share the best mean. Garivier & Kaufmann
    (2016), COLT, Theorem 5: x_a(y) solves the balance, F(y) = Σ x_a² = 1.
    """
    import numpy as np
    from scipy import optimize

    mu = finite(means, "means")
    best = int(np.argmax(mu))
    gaps = (mu[best] - np.delete(mu, best)) ** 2 / (2 * variance)
    if (gaps == 0).any():
        top = mu == mu[best]
        return (top / top.sum()).tolist(), math.inf

    def excess(share: float) -> float:
        y = share * float(gaps.min())
        return float(((y / (gaps - y)) ** 2).sum()) - 1

    y = optimize.brentq(excess, 0.0, 1 - 1e-12, xtol=1e-15) * float(gaps.min())
    x = y / (gaps - y)
    first = 1 / (1 + float(x.sum()))
    return np.insert(x * first, best, first).tolist(), 1 / (first * y)


def normal_mixture_boundary(v: float, *, v_opt: float, alpha: float = 0.05, alpha_opt: float = 0.05) -> float:
    """Return the two-sided normal mixture boundary at intrinsic time v, tuned to v_opt. confseq; Howard et al."""
    rho = v_opt / (2 * math.log(1 / alpha_opt) + math.log(1 + 2 * math.log(1 / alpha_opt)))
    return math.sqrt((v + rho) * (math.log(1 + v / rho) + 2 * math.log(1 / alpha)))


def bernoulli_sequence(
    successes: float, n: int, *, t_opt: float, alpha: float = 0.05, alpha_opt: float = 0.05
) -> Interval:
    """Return the beta-binomial confidence sequence of a share at time n, tuned to t_opt. confseq; Howard et al."""
    from scipy import optimize

    if n == 0:
        return Interval(0.0, 1.0, 1 - alpha)
    share, threshold = successes / n, math.log(1 / alpha)
    scale = 2 * math.log(1 / alpha_opt) + math.log(1 + 2 * math.log(1 / alpha_opt))

    def excess(p: float) -> float:
        return _log_beta_mixture(successes, n, p, t_opt / scale) - threshold

    tiny = 1e-12
    inside = min(max(share, tiny), 1 - tiny)
    low = 0.0 if share == 0 or excess(tiny) < 0 else optimize.brentq(excess, tiny, inside, xtol=1e-13)
    high = 1.0 if share == 1 or excess(1 - tiny) < 0 else optimize.brentq(excess, inside, 1 - tiny, xtol=1e-13)
    return Interval(low, high, 1 - alpha)


def _log_beta_mixture(successes: float, n: int, p: float, rho_per_variance: float) -> float:
    """Return the log of confseq's two-sided BetaBinomialMixture with g = p, h = 1 − p."""
    from scipy import special

    g, h = p, 1 - p
    r = max(g * h * rho_per_variance - g * h, 1e-3 * g * h)
    v, s = g * h * n, successes - p * n
    return float(
        -((v + h * s) / h) * math.log(g)
        - ((v - g * s) / g) * math.log(h)
        + special.betaln((r + v - g * s) / g, (r + v + h * s) / h)
        - special.betaln(r / g, r / h)
    )


def hedged_sequence(values: ArrayLike, *, alpha: float = 0.05, breaks: int = 1000) -> tuple[list[float], list[float]]:
    """Return lower and upper limits after every value in [0, 1] by hedged betting on a grid of means.

    confseq.betting.hedged_cs with its defaults: predictable plug-in bets, half the capital on either side, bets
    truncated at half of what could be lost, running intersection. Waudby-Smith & Ramdas (2024), JRSS-B 86.
    """
    import numpy as np

    x = finite(values)
    if ((x < 0) | (x > 1)).any():
        raise DataError("betting needs values between 0 and 1")
    m = np.arange(0, 1 + 1 / breaks, step=1 / breaks)[:, None]
    bets = _bets(x, alpha / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        up = np.cumprod(1 + np.minimum(bets, 0.5 / m) * (x - m), axis=1)
        down = np.cumprod(1 - np.minimum(bets, 0.5 / (1 - m)) * (x - m), axis=1)
    capital = np.maximum(np.nan_to_num(up), np.nan_to_num(down)) / 2
    capital[(m > 1).ravel()] = math.inf
    inside = capital <= 1 / alpha
    some = inside.any(axis=0)
    low = np.where(some, m[inside.argmax(axis=0), 0], 0.0)
    high = np.where(some, m[len(m) - 1 - inside[::-1].argmax(axis=0), 0], 1.0)
    low, high = np.maximum(0, low - 1 / breaks), np.minimum(1, high + 1 / breaks)
    return np.maximum.accumulate(low).tolist(), np.minimum.accumulate(high).tolist()


def _bets(x: Floats, alpha: float) -> Floats:
    """Return √(2 ln(1/α)/(t ln(1 + t) σ²_{t−1})) with one imagined value of mean ½ and variance ¼ before the data."""
    import numpy as np

    t = np.arange(1, x.size + 1)
    mean = np.minimum((0.5 + np.cumsum(x)) / (t + 1), 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    return np.sqrt(2 * math.log(1 / alpha) / (t * np.log(1 + t) * before))
