"""A model that judges answers, corrected by people who judged some of them too.

A judge biased towards one prompt makes equal prompts look different (87 % false positives). With 30 or more human
labels prediction-powered inference removes the bias whatever the judge is like, and uses the judge only as far as it
agrees with the people (power tuning), so a useless judge costs nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aikit.errors import DataError
from aikit.stats.clustered import clustered_mean, finite, t_estimate
from aikit.stats.results import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "JUDGE_ONLY",
    "LEAST_LABELS",
    "both_orders",
    "judged_difference",
    "prediction_powered_mean",
    "true_pass_rate",
]

LEAST_LABELS = 30
"""Human labels from which on the judge's error is estimated rather than ignored."""

JUDGE_ONLY = "measured by a judge; the judge's own error is not included"


def prediction_powered_mean(
    human: ArrayLike,
    judge_on_labelled: ArrayLike,
    judge_on_unlabelled: ArrayLike,
    *,
    alpha: float = 0.05,
    tuned: bool = True,
    normal: bool = False,
) -> Estimate:
    """Estimate the mean that people would give, from few human and many judge scores.

    `human`, `judge_on_labelled`: both scores of the labelled samples, shape (n,); `judge_on_unlabelled`: its
    scores of others, shape (N,). mean(λ·judge) + mean(human − λ·judge), λ = 1 or, `tuned`, the variance's minimum
    in [0, 1]. The interval is a t with Satterthwaite's degrees of freedom, careful where a pass/fail judge errs rarely;
    `normal=True` gives the papers' large-sample interval. `details`: `judge_only`, `human_only`, `weight` (λ).
    Angelopoulos et al. (2023), Science 382 (PPI); Angelopoulos, Duchi & Zrnic (2023), arXiv 2311.01453 (PPI++).
    """
    return _corrected(
        human, judge_on_labelled, judge_on_unlabelled, alpha=alpha, tuned=tuned, normal=normal, signed=False
    )


def _corrected(
    human: ArrayLike,
    judge_on_labelled: ArrayLike,
    judge_on_unlabelled: ArrayLike,
    *,
    alpha: float,
    tuned: bool,
    normal: bool,
    signed: bool,
) -> Estimate:
    y, f, rest = finite(human, "human"), finite(judge_on_labelled, "judge"), finite(judge_on_unlabelled, "judge")
    if y.size != f.size:
        raise DataError(f"{y.size} human labels for {f.size} judge scores of the labelled samples")
    n, many = y.size, rest.size
    method = f"prediction-powered inference, {'power-tuned' if tuned else 'untuned'}"
    if n < 2 or many < 2:
        return Estimate(None, n=n + many, level=1 - alpha, method=method, warnings=("too few scores to correct with",))
    seen_y, seen_f = (y, f) if normal else _with_two_errors(y, f, rest, signed=signed)
    weight = _tuned_weight(seen_y, seen_f, rest) if tuned else 1.0
    estimate = weight * float(rest.mean()) + float((y - weight * f).mean())
    lose = 0 if normal else 1
    parts = (
        float((weight * rest).var(ddof=lose)) / many,
        float((seen_y - weight * seen_f).var(ddof=lose)) / seen_y.size,
    )
    variance = sum(parts)
    spread = parts[0] ** 2 / (many - 1) + parts[1] ** 2 / (seen_y.size - 1)
    df = math.inf if normal or spread == 0 else variance**2 / spread
    details = {"judge_only": float(rest.mean()), "human_only": float(y.mean()), "weight": weight, "labels": n}
    notes = () if n >= LEAST_LABELS else (f"only {n} human labels: {LEAST_LABELS} make the correction dependable",)
    return t_estimate(
        estimate, math.sqrt(variance), df, alpha=alpha, n=n + many, method=method, details=details, warnings=notes
    )


def _with_two_errors(y: Floats, f: Floats, rest: Floats, *, signed: bool) -> tuple[Floats, Floats]:
    """Return pass/fail labels with one imagined error of the judge in either direction; other scores as they are.

    A judge that errs on one sample in twenty may have made no error, or one, among 30 labelled: their spread alone says
    nearly nothing of it, and 95 % intervals cover 80 %. With the two they cover 95 % (simulated, as Agresti & Caffo do
    for shares). They enter the weight and the error, not the estimate.
    """
    import numpy as np

    values = {float(one) for one in np.unique(np.concatenate([y, f, rest]))}
    if signed and values <= {-1.0, 0.0, 1.0}:  # differences of two pass/fail
        return np.concatenate([y, [1.0, -1.0]]), np.concatenate([f, [0.0, 0.0]])
    if not signed and values <= {0.0, 1.0}:
        return np.concatenate([y, [1.0, 0.0]]), np.concatenate([f, [0.0, 1.0]])
    return y, f


def _tuned_weight(y: Floats, f: Floats, rest: Floats) -> float:
    import numpy as np

    covariance = float(((y - y.mean()) * (f - f.mean())).mean())
    spread = float(np.concatenate([f, rest]).var(ddof=1))
    if spread == 0:
        return 0.0
    return min(1.0, max(0.0, covariance / ((1 + y.size / rest.size) * spread)))


def judged_difference(
    judge_a: ArrayLike,
    judge_b: ArrayLike,
    human_a: ArrayLike,
    human_b: ArrayLike,
    *,
    alpha: float = 0.05,
) -> Estimate:
    """Estimate mean(B) − mean(A) as people would score it, on paired samples that a judge scored and people in part.

    All of shape (samples,), NaN where nobody judged; a sample is labelled when people scored both its answers. With
    fewer than 30 labelled samples the judge's plain difference comes back with the warning `JUDGE_ONLY`.
    """
    import numpy as np

    ja, jb, ha, hb = (np.asarray(one, dtype=np.float64).ravel() for one in (judge_a, judge_b, human_a, human_b))
    if len({one.size for one in (ja, jb, ha, hb)}) > 1:
        raise DataError("give one value per sample in all four, NaN where nobody judged")
    judge, human = jb - ja, hb - ha
    scored = ~np.isnan(judge)
    labelled = scored & ~np.isnan(human)
    labels = int(labelled.sum())
    rest = judge[scored & ~labelled]
    if labels < LEAST_LABELS:
        found = clustered_mean(judge[scored], alpha=alpha)
        details = {"judge_only": found.estimate, "labels": labels}
        return _with(found, details, (*found.warnings, JUDGE_ONLY))
    if rest.size < 2:  # people scored everything: nothing is left to the judge
        found = clustered_mean(human[labelled], alpha=alpha)
        return _with(found, {"human_only": found.estimate, "labels": labels}, found.warnings)
    return _corrected(human[labelled], judge[labelled], rest, alpha=alpha, tuned=True, normal=False, signed=True)


def _with(found: Estimate, details: dict[str, float | None], warnings: tuple[str, ...]) -> Estimate:
    from dataclasses import replace

    return replace(found, details={**found.details, **details}, warnings=warnings)


def true_pass_rate(
    judge_pass: float,
    n: float,
    *,
    sensitivity: float,
    specificity: float,
    labelled_pass: int | None = None,
    labelled_fail: int | None = None,
    alpha: float = 0.05,
) -> Estimate:
    """Estimate the share that truly passes from a judge's share and the judge's known errors.

    (p + specificity − 1)/(sensitivity + specificity − 1), kept within [0, 1]; `details["unclipped"]` is the formula's
    value. `labelled_pass`, `labelled_fail`: truly passing and failing answers behind the two rates; when given their
    error enters the interval (delta method). Raises DataError for a judge no better than a coin. Rogan & Gladen (1978).
    """
    power = sensitivity + specificity - 1
    if abs(power) < 1e-12:
        raise DataError("sensitivity + specificity = 1: this judge says nothing about the truth")
    if n <= 0:
        return Estimate(None, level=1 - alpha, method="Rogan-Gladen", warnings=("no answers",))
    from scipy import special

    share = judge_pass / n
    raw = (share + specificity - 1) / power
    variance = share * (1 - share) / n
    if labelled_pass:
        variance += sensitivity * (1 - sensitivity) / labelled_pass * raw**2
    if labelled_fail:
        variance += specificity * (1 - specificity) / labelled_fail * (1 - raw) ** 2
    se = math.sqrt(variance) / abs(power)
    half = float(-special.ndtri(alpha / 2)) * se

    def kept(value: float) -> float:
        return min(1.0, max(0.0, value))

    return Estimate(
        kept(raw),
        kept(raw - half),
        kept(raw + half),
        se=se,
        level=1 - alpha,
        n=int(n),
        method="Rogan-Gladen",
        details={"unclipped": raw, "judge_only": share},
        warnings=() if 0 <= raw <= 1 else ("the judge's share lies outside what its error rates allow",),
    )


def both_orders(first_shown: ArrayLike, second_shown: ArrayLike) -> tuple[Floats, float | None]:
    """Return the preference for B per sample over both presentation orders, and the judge's lean to what came first.

    `first_shown`: preference for B (1, ½, 0) when B was shown first; `second_shown`: when second. The mean removes
    position bias; the lean is mean(first − second)/2: 0 without bias, ½ when the first always wins. None without data.
    """
    first, second = finite(first_shown, "first_shown"), finite(second_shown, "second_shown")
    if first.size != second.size:
        raise DataError("give both orders of every sample")
    lean = float((first - second).mean()) / 2 if first.size else None
    return (first + second) / 2, lean
