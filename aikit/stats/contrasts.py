"""One variant against the control: the method that the kind of metric and the design ask for, and why."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from aikit.stats.clustered import clustered_difference, clustered_mean, t_quantile, welch
from aikit.stats.design import Design
from aikit.stats.outcome import Outcome
from aikit.stats.results import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

__all__ = ["Contrast", "Limits", "contrast", "no_limits", "t_limits"]

Limits = Callable[[float], tuple[float, float] | None]
"""alpha → (low, high) on the contrast's own scale; None when there is no interval."""

FEWEST_FOR_INTERVAL = 10
"""Samples below which pass/fail shows its counts and no interval."""
FEW_CLUSTERS = 5
"""Clusters up to which pass/fail has a sign-flip p only."""


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """A difference of two variants on the scale of its analysis (logarithms where `log`)."""

    estimate: float | None
    limits: Limits
    p: float | None
    se: float | None
    df: float | None
    units: int
    """Independent units: clusters, or samples."""
    samples: int
    method: str
    log: bool = False
    control_value: float | None = None
    variant_value: float | None = None
    p_check: float | None = None
    rows: Codes | None = None
    """Indices of the samples compared; only in a paired design."""
    differences: Floats | None = None
    """Variant − control per sample on the analysis scale; only in a paired design."""
    clusters: Codes | None = None
    tally: tuple[int, int, int] = (0, 0, 0)
    """Samples on which the variant was better, worse, as good."""
    discordant: tuple[int, int] | None = None
    """(variant only, control only) of paired pass/fail with one epoch and no clusters."""
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    warnings: tuple[str, ...] = ()


def no_limits(alpha: float) -> tuple[float, float] | None:
    """Give no interval at any alpha."""
    del alpha


def t_limits(estimate: float | None, se: float | None, df: float | None) -> Limits:
    """Return the limits of a t reference at any alpha; none without an error."""

    def limits(alpha: float) -> tuple[float, float] | None:
        if estimate is None or se is None or df is None:
            return None
        half = t_quantile(alpha / 2, df) * se if se else 0.0
        return estimate - half, estimate + half

    return limits


def contrast(design: Design, outcome: Outcome, column: int, *, draws: int = 10_000, seed: int = 0) -> Contrast:
    """Compare variant `column` with the control by the method for this kind of metric and this design."""
    return _paired(design, outcome, column, draws, seed) if design.paired else _unpaired(design, outcome, column, seed)


def _paired(design: Design, outcome: Outcome, column: int, draws: int, seed: int) -> Contrast:
    import numpy as np

    left, right = outcome.cells.mean[:, 0], outcome.cells.mean[:, column]
    both = ~(np.isnan(left) | np.isnan(right))
    if outcome.divisor is not None:
        both &= ~(np.isnan(outcome.divisor.mean[:, 0]) | np.isnan(outcome.divisor.mean[:, column]))
    rows = np.flatnonzero(both)
    clusters = None if design.clusters is None else design.clusters[rows]
    a, b = left[rows], right[rows]
    if not rows.size:
        return Contrast(None, no_limits, None, None, None, 0, 0, "no samples with both variants")
    if outcome.divisor is not None:
        divisors = outcome.divisor.mean[rows, 0], outcome.divisor.mean[rows, column]
        found = _paired_per_success(a, b, divisors, clusters, draws, seed)
    elif outcome.kind == "binary" and outcome.pass_fail and clusters is None and _whole(a, b):
        found = _paired_shares(a, b)
    else:
        found = _paired_means(design, outcome, a, b, clusters, draws, seed)
    better = (b - a) * (1 if outcome.direction == "higher" else -1)
    if outcome.divisor is not None:
        better = np.zeros(rows.size) if found.differences is None else -found.differences
    noise = 1e-12 * float(np.abs(better).max())
    wins, losses = int((better > noise).sum()), int((better < -noise).sum())
    judged = outcome.divisor is None or found.differences is not None
    tally = (wins, losses, int(rows.size) - wins - losses) if judged else (0, 0, 0)
    return replace(found, rows=rows, clusters=clusters, samples=int(rows.size), tally=tally)


def _whole(a: Floats, b: Floats) -> bool:
    return bool((((a == 0) | (a == 1)) & ((b == 0) | (b == 1))).all())


def _paired_shares(a: Floats, b: Floats) -> Contrast:
    from aikit.stats.proportions import paired_shares, tango

    b_only, a_only = int(((b == 1) & (a == 0)).sum()), int(((a == 1) & (b == 0)).sum())
    both_pass = int(((a == 1) & (b == 1)).sum())
    table = (both_pass, a_only, b_only, int(a.size) - both_pass - a_only - b_only)
    found, plain = paired_shares(*table), clustered_mean(b - a)

    def limits(alpha: float) -> tuple[float, float] | None:
        if a.size < FEWEST_FOR_INTERVAL:
            return None
        interval = tango(*table, alpha=alpha)
        return interval.low, interval.high

    few = (f"fewer than {FEWEST_FOR_INTERVAL} samples: counts only, no interval",)
    return Contrast(
        found.estimate, limits, found.p, plain.se, plain.df, int(a.size), int(a.size),
        "McNemar mid-p with Tango's score interval: pass/fail, the same samples, one epoch",
        control_value=float(a.mean()), variant_value=float(b.mean()), differences=b - a, discordant=(b_only, a_only),
        details={
            "both_pass": both_pass, "control_only": a_only, "variant_only": b_only, "both_fail": table[3],
            "p_exact": found.details["p_exact"],
        },
        warnings=few if a.size < FEWEST_FOR_INTERVAL else (),
    )  # fmt: skip


def _reason(design: Design, outcome: Outcome) -> str:
    words = {"binary": "pass/fail", "ordinal": "ordinal scores", "preference": "preferences"}.get(
        outcome.kind, "scores"
    )
    if outcome.kind == "ratio":
        words = f"{outcome.name} on the log scale" if outcome.log else outcome.name
    return (
        f"{words}, the same samples"
        + (", several epochs averaged per sample" if design.repeated else "")
        + (", whole clusters as units" if design.clusters is not None else "")
    )


def _paired_means(
    design: Design, outcome: Outcome, a: Floats, b: Floats, clusters: Codes | None, draws: int, seed: int
) -> Contrast:
    from aikit.stats.paired import sign_flip

    if outcome.kind == "ratio" and not outcome.log:
        return _paired_ratio_of_means(a, b, clusters, draws, seed)
    differences = (b - a) / 2 if outcome.kind == "preference" else b - a
    plain = clustered_mean(differences, clusters)
    flipped = sign_flip(differences, clusters, draws=draws, seed=seed)
    reason = _reason(design, outcome)
    levels = _levels(a, b, log=outcome.log)
    found = Contrast(
        plain.estimate, t_limits(plain.estimate, plain.se, plain.df), plain.p, plain.se, plain.df,
        plain.clusters, int(a.size), f"CR2-t on differences: {reason}", outcome.log, *levels,
        p_check=flipped.p, differences=differences, warnings=plain.warnings,
    )  # fmt: skip
    if outcome.kind == "binary" and plain.clusters <= FEW_CLUSTERS:
        least = flipped.details.get("minimum", 1.0)
        note = f"{plain.clusters} independent units: sign-flip p only, at best {least:.3g}; no interval"
        method = f"sign-flip permutation: {reason}, at most {FEW_CLUSTERS} of them"
        return replace(found, limits=no_limits, p=flipped.p, method=method, warnings=(*found.warnings, note))
    if plain.se == 0:
        reach = {"binary": 1.0, "preference": 0.5}.get(outcome.kind)
        return _without_spread(found, flipped.p, plain.clusters, reach)
    if outcome.kind in ("score", "preference") and clusters is None and _skewed(differences):
        return _studentised(found, differences, draws, seed)
    return found


def _levels(a: Floats, b: Floats, *, log: bool) -> tuple[float, float]:
    level_a, level_b = float(a.mean()), float(b.mean())
    return (math.exp(level_a), math.exp(level_b)) if log else (level_a, level_b)


def _without_spread(found: Contrast, flipped: float | None, units: int, reach: float | None) -> Contrast:
    """Differences that do not vary: a t-test has nothing to divide by; with 10 samples the point stands for itself.

    Where differences can reach ±`reach` only, Wilson's limits say how many others `units` may have failed to show.
    """
    note = (
        f"all {found.samples} differences are {'zero' if not found.estimate else 'the same'}: no spread to judge from"
    )
    point = found.estimate or 0.0

    def bounded(alpha: float) -> tuple[float, float]:
        z2, span = t_quantile(alpha / 2, math.inf) ** 2, reach or 0.0
        return point - z2 / (units + z2) * (point + span), point + z2 / (units + z2) * (span - point)

    limits = found.limits if reach is None else bounded
    limits = limits if found.samples >= FEWEST_FOR_INTERVAL else no_limits
    return replace(found, limits=limits, p=flipped, warnings=(*found.warnings, note))


def _skewed(differences: Floats) -> bool:
    """Say whether n < 40 and |skewness| > 1: there Student's t leans."""
    if not 3 <= differences.size < 40:
        return False
    centred = differences - differences.mean()
    variance = float((centred @ centred) / centred.size)
    return variance > 0 and abs(float((centred**3).sum())) / centred.size / variance**1.5 > 1


def _studentised(found: Contrast, differences: Floats, draws: int, seed: int) -> Contrast:
    import numpy as np

    from aikit.stats.bootstrap import percentile_limits, studentised_limits

    estimate, se = found.estimate or 0.0, found.se or 0.0
    # Sorted, so that the order of the samples plays no part in the draws.
    t = studentised_limits(np.sort(differences), np.ones(differences.size), draws=draws, seed=seed)
    hits = min(int((t >= estimate / se).sum()), int((t <= estimate / se).sum()))

    def limits(alpha: float) -> tuple[float, float]:
        low, high = percentile_limits(t, alpha)
        return estimate - high * se, estimate - low * se

    p = min(1.0, 2 * (1 + hits) / (1 + draws))
    method = found.method.replace("CR2-t", "studentised bootstrap") + ", fewer than 40 and skewed"
    return replace(found, limits=limits, p=p, method=method)


def _paired_ratio_of_means(a: Floats, b: Floats, clusters: Codes | None, draws: int, seed: int) -> Contrast:
    import numpy as np

    ones = np.ones(a.size)
    found = _paired_per_success(a, b, (ones, ones), clusters, draws, seed)
    reason = "zeros have no logarithm, the same samples"
    return replace(
        found, method=f"ratio of means, CR2-t on its log: {reason}", control_value=float(a.mean()),
        variant_value=float(b.mean()), warnings=tuple(w for w in found.warnings if "success" not in w),
    )  # fmt: skip


def _paired_per_success(
    a: Floats, b: Floats, passed: tuple[Floats, Floats], clusters: Codes | None, draws: int, seed: int
) -> Contrast:
    from aikit.stats.ratios import per_success

    # ψ does not depend on alpha; a bootstrap does, and its draws are the same each time.
    def at(alpha: float) -> Estimate:
        return per_success(a, passed[0], b, passed[1], clusters, alpha=alpha, draws=draws, seed=seed)

    return _from_ratio(at, (a, b), passed, int(a.size), "the same samples")


def _from_ratio(
    at: Callable[[float], Estimate], spent: tuple[Floats, Floats], passed: tuple[Floats, Floats], n: int, reason: str
) -> Contrast:
    found = at(0.05)
    values = tuple(
        float(one.sum() / p.sum()) if p.sum() else math.inf if one.sum() else None
        for one, p in zip(spent, passed, strict=True)
    )
    log = None if found.estimate is None else math.log(found.estimate) if found.estimate > 0 else -math.inf
    log = math.inf if found.estimate == math.inf else log

    def limits(alpha: float) -> tuple[float, float] | None:
        again = found if alpha == 0.05 else at(alpha)
        if again.low is None or again.high is None:
            return None
        return (math.log(again.low) if again.low > 0 else -math.inf), math.log(again.high)

    influence = None
    if n and spent[0].size == spent[1].size and log is not None and math.isfinite(log):
        parts = [one / one.mean() for one in (*spent, *passed)]
        influence = log + parts[1] - parts[3] - parts[0] + parts[2]
    return Contrast(
        log, limits, found.p, found.details.get("se_log"), found.df, found.clusters or n, n,
        f"{found.method}: cost over successes, {reason}", True, values[0], values[1],
        differences=influence if "same" in reason else None, warnings=found.warnings,
    )  # fmt: skip


def _unpaired(design: Design, outcome: Outcome, column: int, seed: int) -> Contrast:
    import numpy as np

    mean = outcome.cells.mean
    rows = [np.flatnonzero(~np.isnan(mean[:, one])) for one in (0, column)]
    a, b = mean[rows[0], 0], mean[rows[1], column]
    clusters = None if design.clusters is None else (design.clusters[rows[0]], design.clusters[rows[1]])
    shared = np.intersect1d(rows[0], rows[1], assume_unique=True).size > 0
    if clusters is None and shared:  # a few samples seen by both: they are clusters of two
        clusters = (rows[0], rows[1])
    n = int(a.size + b.size)
    if not (a.size and b.size):
        return Contrast(None, no_limits, None, None, None, n, n, "a variant has no samples")
    if outcome.divisor is not None:
        passed = outcome.divisor.mean[rows[0], 0], outcome.divisor.mean[rows[1], column]
        return _unpaired_per_success(a, b, passed, clusters)
    if outcome.kind == "ratio" and not outcome.log:
        ones = np.ones(a.size), np.ones(b.size)
        return replace(_unpaired_per_success(a, b, ones, clusters), method="ratio of means, delta method: zeros")
    if outcome.kind == "binary" and outcome.pass_fail and clusters is None and _whole(a, a) and _whole(b, b):
        return _unpaired_shares(a, b)
    if outcome.kind == "ordinal" and clusters is None and min(a.size, b.size) > 1:
        return _superiority(a, b, design)
    return _unpaired_means(design, outcome, a, b, clusters)


def _unpaired_shares(a: Floats, b: Floats) -> Contrast:
    from aikit.stats.proportions import difference_of_shares, newcombe

    counts = int(a.sum()), int(a.size), int(b.sum()), int(b.size)
    found = difference_of_shares(*counts)

    def limits(alpha: float) -> tuple[float, float]:
        interval = newcombe(*counts, alpha=alpha)
        return interval.low, interval.high

    n = int(a.size + b.size)
    test = found.method.partition(",")[0]
    why = "an expected count is below 5" if found.details["expected"] < 5 else "every expected count is 5 or more"
    return Contrast(
        found.estimate, limits, found.p, found.se, math.inf, n, n,
        f"{test} with Newcombe's hybrid interval: pass/fail, different samples, {why}",
        control_value=found.details["a"], variant_value=found.details["b"], warnings=found.warnings,
    )  # fmt: skip


def _superiority(a: Floats, b: Floats, design: Design) -> Contrast:
    from aikit.stats.ranks import brunner_munzel

    found = brunner_munzel(a, b)
    net = None if found.estimate is None else 2 * found.estimate - 1

    def limits(alpha: float) -> tuple[float, float] | None:
        again = brunner_munzel(a, b, alpha=alpha)
        return None if again.low is None or again.high is None else (2 * again.low - 1, 2 * again.high - 1)

    se = None if found.se is None else 2 * found.se
    n = int(a.size + b.size)
    reason = "ordinal scores, different samples" + (", epochs averaged per sample" if design.repeated else "")
    return Contrast(
        net, limits, found.p, se, found.df, n, n, f"Brunner-Munzel on P(variant higher) − P(control higher): {reason}",
        control_value=float(a.mean()), variant_value=float(b.mean()),
        details={"probability_of_superiority": found.estimate}, warnings=found.warnings,
    )  # fmt: skip


def _unpaired_means(
    design: Design, outcome: Outcome, a: Floats, b: Floats, clusters: tuple[Codes, Codes] | None
) -> Contrast:
    import numpy as np

    if clusters is None:
        found, name = welch(clustered_mean(a), clustered_mean(b)), "Welch t"
    elif np.intersect1d(clusters[0], clusters[1]).size:
        found, name = clustered_difference(a, b, *clusters), "CR2-t of two groups sharing clusters"
    else:
        found, name = welch(clustered_mean(a, clusters[0]), clustered_mean(b, clusters[1])), "Welch on CR2"
    reason = _reason(design, outcome).replace("the same samples", "different samples")
    result = Contrast(
        found.estimate, t_limits(found.estimate, found.se, found.df), found.p, found.se, found.df,
        found.clusters or found.n, found.n, f"{name}: {reason}", outcome.log, *_levels(a, b, log=outcome.log),
        warnings=found.warnings,
    )  # fmt: skip
    if found.se == 0:
        fewest, reach = min(a.size, b.size), 1.0 if outcome.kind == "binary" else None
        return _without_spread(result, None if found.estimate else 1.0, fewest, reach)
    return result


def _unpaired_per_success(
    a: Floats, b: Floats, passed: tuple[Floats, Floats], clusters: tuple[Codes, Codes] | None
) -> Contrast:
    from aikit.stats.ratios import per_success_unpaired

    own = clusters or (None, None)

    def at(alpha: float) -> Estimate:
        return per_success_unpaired(a, passed[0], b, passed[1], *own, alpha=alpha)

    return _from_ratio(at, (a, b), passed, int(a.size + b.size), "different samples")
