"""Evidence that may be looked at after every sample: confidence sequences and e-values.

A confidence sequence covers the truth at all sample sizes at once with probability 1 − α, so one may stop whenever one
likes. An e-value is the capital of a bettor against equality: at any stopping time it reaches 1/α with probability at
most α if there is no difference (Ville 1939), and 1/e is a p-value.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aikit.errors import DataError
from aikit.stats.clustered import clustered_mean, finite
from aikit.stats.results import Estimate, Tested

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "BURN_IN",
    "confidence_sequence",
    "log_mcnemar_evidence",
    "mcnemar_evidence",
    "sequence_from_error",
    "sequence_half_width",
    "sequence_log_evidence",
    "sequence_tuning",
]

BURN_IN = 50
"""Samples before which the asymptotic sequence is not shown: it leans on the central limit theorem."""

_HEAVY_KURTOSIS = 20.0  # excess; a lognormal of log sd 1 has 111, an exponential 6
_PASS_FAIL_LEVELS = 3  # a difference of two passes or fails is −1, 0 or 1


def sequence_tuning(planned: float, *, alpha: float = 0.05) -> float:
    """Return r, which makes the sequence narrowest at `planned` samples.

    r = √((−2 ln α + ln(1 − 2 ln α))/n*): Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), Ann. Stat. 52,
    eq. 161 of arXiv 2103.06476v7.
    """
    if not planned > 0 or not 0 < alpha < 1:
        raise DataError(f"planned={planned}, alpha={alpha}: plan at least one sample, alpha between 0 and 1")
    return math.sqrt((-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / planned)


def sequence_half_width(n: ArrayLike, sd: ArrayLike, *, planned: float, alpha: float = 0.05) -> Floats:
    """Return the half-width of the asymptotic confidence sequence for a mean after n samples of spread sd.

    s·√(2(n r² + 1)/(n r)²·ln(√(n r² + 1)/α)), elementwise over `n` and `sd`: Waudby-Smith et al. (2024), eq. 9.
    """
    import numpy as np

    r = sequence_tuning(planned, alpha=alpha)
    count, spread = np.asarray(n, dtype=np.float64), np.asarray(sd, dtype=np.float64)
    grown = count * r * r + 1
    return spread * np.sqrt(2 * grown / (count * r) ** 2 * (0.5 * np.log(grown) - math.log(alpha)))


def sequence_log_evidence(
    n: ArrayLike, mean: ArrayLike, sd: ArrayLike, *, planned: float, alpha: float = 0.05
) -> Floats:
    """Return ln e against a mean of 0, elementwise; it reaches ln(1/α) exactly when the sequence leaves 0."""
    import numpy as np

    r = sequence_tuning(planned, alpha=alpha)
    count, centre, spread = (np.asarray(one, dtype=np.float64) for one in (n, mean, sd))
    grown = count * r * r + 1
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(centre == 0, 0.0, (count * centre / spread) ** 2)
    return r * r * score / (2 * grown) - 0.5 * np.log(grown)


def sequence_from_error(
    estimate: float, se: float, n: float, *, planned: float, alpha: float = 0.05, **details: Any
) -> Estimate:
    """Return the always-valid interval, p and e-value of any estimate whose error is `se` after `n` independent units.

    `n` and `planned` count the same thing: samples, or clusters where there are any. `details["e_value"]` is inf where
    nothing varies and the estimate is not 0.
    """
    sd = se * math.sqrt(n)
    half = float(sequence_half_width(n, sd, planned=planned, alpha=alpha))
    log_e = float(sequence_log_evidence(n, estimate, sd, planned=planned, alpha=alpha))
    return Estimate(
        estimate,
        estimate - half,
        estimate + half,
        min(1.0, math.exp(-log_e)) if log_e < math.inf else 0.0,
        se,
        level=1 - alpha,
        n=int(n),
        method=f"asymptotic confidence sequence tuned to {planned:g}",
        details={"e_value": math.exp(min(log_e, 700.0)) if log_e < math.inf else math.inf, "half_width": half}
        | details,
    )


def confidence_sequence(
    values: ArrayLike, *, planned: float, cluster: ArrayLike | None = None, alpha: float = 0.05, burn_in: int = BURN_IN
) -> Estimate:
    """Estimate a mean with an interval that holds however often, and whenever, one looks.

    `values`: one per sample (differences B − A), shape (n,). `planned`: the samples (clusters) that the run set out
    for. Below `burn_in` units there is an estimate and no interval. The sequence is asymptotic: heavy tails break it
    (11-21 % false positives), which is said in `warnings`: take logs first.
    """
    array = finite(values)
    plain = clustered_mean(array, cluster, alpha=alpha)
    units = plain.clusters if cluster is not None else plain.n
    if plain.estimate is None or plain.se is None or units < max(burn_in, 2):
        note = f"fewer than {burn_in} units: an always-valid interval starts there"
        return Estimate(plain.estimate, se=plain.se, level=1 - alpha, n=plain.n, clusters=units, warnings=(note,))
    warnings = ("heavy tails break the asymptotic sequence: compare logs instead",) if _heavy(array) else ()
    found = sequence_from_error(plain.estimate, plain.se, units, planned=planned, alpha=alpha)
    return Estimate(
        found.estimate,
        found.low,
        found.high,
        found.p,
        found.se,
        level=1 - alpha,
        n=plain.n,
        clusters=units,
        method=found.method,
        details=found.details,
        warnings=warnings,
    )


def _heavy(values: Floats) -> bool:
    """Say whether a few values carry the variance; pass/fail differences never do, however rare they are."""
    import numpy as np

    centred: Floats = values - float(values.mean())
    square = float(np.mean(centred**2))
    if square == 0 or np.unique(values).size <= 3:
        return False
    return float(np.mean(centred**4)) / square**2 - 3 > _HEAVY_KURTOSIS


def log_mcnemar_evidence(wins: ArrayLike, losses: ArrayLike, *, prior: float | tuple[float, float] = 1.0) -> Floats:
    """Return ln e of the discordant pairs, elementwise: ln[2^(b+c)·B(p+b, q+c)/B(p, q)] with a Beta(p, q) prior."""
    import numpy as np
    from scipy import special

    p, q = prior if isinstance(prior, tuple) else (prior, prior)
    b, c = np.asarray(wins, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    return (b + c) * math.log(2) + special.betaln(p + b, q + c) - float(special.betaln(p, q))


def mcnemar_evidence(wins: int, losses: int, *, prior: float | tuple[float, float] = 1.0) -> Tested:
    """Return the exact always-valid test of paired pass/fail: is a discordant pair as likely to be a win as a loss?

    `statistic` is the e-value of the beta-binomial mixture, E = 2^(b+c)·B(1+b, 1+c) for the uniform prior; `p` = 1/E,
    at most 1. It needs no burn-in and no normal approximation. Robbins (1970); Ville's inequality.
    """
    if wins < 0 or losses < 0:
        raise DataError(f"{wins} wins, {losses} losses: counts can't be negative")
    log_e = float(log_mcnemar_evidence(wins, losses, prior=prior))
    p = min(1.0, math.exp(-log_e))
    return Tested(p, math.exp(min(log_e, 700.0)), n=wins + losses, method="e-McNemar (beta-binomial mixture)")
