"""What else is to be said of a comparison: failures, strata, epochs, quantiles, and what makes it invalid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from aikit.stats.measuring import Study
from aikit.stats.outcome import Outcome
from aikit.stats.results import Comparison

__all__ = ["alone", "examine"]

_UNMATCHED = 0.05
_QUANTILES = (0.5, 0.9, 0.95)
_QUANTILE_DRAWS = 4_000  # beside the verdict, so that a live refresh stays under 50 ms


def alone(study: Study, comparison: Comparison, column: int) -> tuple[str, ...]:
    """Return what makes a comparison invalid: mixed settings, samples without a partner, a sample ratio mismatch."""
    design = study.design
    problems = list(design.problems)
    if design.paired:
        seen = design.either[column]
        gap = 1 - comparison.samples / seen if seen else 0.0
        if gap > _UNMATCHED and comparison.final:
            problems.append(f"{gap:.1%} of the samples have no partner, more than {_UNMATCHED:.0%}")
        return tuple(problems)
    return (*problems, *_mismatch(study, comparison, column))


def _mismatch(study: Study, comparison: Comparison, column: int) -> list[str]:
    from aikit.stats.srm import MISMATCH_BELOW, sample_ratio_mismatch

    design = study.design
    shares = cast("Mapping[str, float] | None", design.frame.attrs.get("weights"))
    names = [design.variants[0], design.variants[column]]
    weights = [float(shares.get(one, 0.0)) for one in names] if shares else None
    assigned = [int((design.rows[:, one] > 0).sum()) for one in (0, column)]
    completed = [int(comparison.details[name]) for name in ("n_control", "n_variant")]
    found: list[str] = []
    for word, counts in (("assigned", assigned), ("completed", completed)):
        test = sample_ratio_mismatch(counts, weights)
        if test.p is not None and test.p < MISMATCH_BELOW:
            found.append(f"sample ratio mismatch: {counts[0]:,} and {counts[1]:,} samples {word} (p = {test.p:.1g})")
    return found[:1]


def examine(
    study: Study, outcome: Outcome, comparison: Comparison, column: int
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return further details of a primary comparison, and warnings."""
    details: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    failures, worse = _failures(study, column)
    details |= failures
    notes += worse
    if outcome.kind == "ratio" and outcome.log:
        details |= _quantiles(study, outcome, column)
    if outcome.kind == "ordinal" and study.design.paired:
        details |= _net_wins(study, outcome, column)
    details |= _epochs(study, outcome, column) | _missing(study, outcome, column)
    strata = _strata(study, outcome, column)
    if strata:
        details["strata"] = strata
    return details, notes


def _failures(study: Study, column: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return each variant's share of failed calls, and a warning when the variant plainly fails more."""
    design = study.design
    if design.failed is None or not design.failed.any():
        return {}, ()
    counts = [
        (int(design.failed[design.variant_codes == one].sum()), int((design.variant_codes == one).sum()))
        for one in (0, column)
    ]
    shares = [failed / max(total, 1) for failed, total in counts]
    details = {"failures": {design.variants[0]: shares[0], design.variants[column]: shares[1]}}
    spread = math.sqrt(sum(s * (1 - s) / max(total, 1) for s, (_, total) in zip(shares, counts, strict=True)))
    if spread and abs(shares[1] - shares[0]) > 2 * spread:
        words = (
            f"{design.variants[column]} failed on {shares[1]:.1%} of its calls, {design.variants[0]} on {shares[0]:.1%}"
        )
        return details, (words,)
    return details, ()


def _pairs(study: Study, outcome: Outcome, column: int) -> tuple[Any, Any, Any]:
    import numpy as np

    left, right = outcome.cells.mean[:, 0], outcome.cells.mean[:, column]
    if not study.design.paired:
        return left[~np.isnan(left)], right[~np.isnan(right)], None
    both = ~(np.isnan(left) | np.isnan(right))
    clusters = study.design.clusters
    return left[both], right[both], None if clusters is None else clusters[both]


def _quantiles(study: Study, outcome: Outcome, column: int) -> dict[str, Any]:
    """Ratios of p50, p90 and p95 with their intervals, as ratio − 1."""
    import numpy as np

    from aikit.stats.quantiles import quantile_ratios

    left, right, clusters = _pairs(study, outcome, column)
    if not (left.size and right.size):
        return {}
    found = quantile_ratios(
        np.exp(left), np.exp(right), _QUANTILES, clusters,
        paired=study.design.paired, alpha=study.alpha, draws=min(study.draws, _QUANTILE_DRAWS), seed=study.seed,
    )  # fmt: skip
    return {
        "quantiles": {
            f"p{100 * q:g}": {
                "control": one.details["a"],
                "variant": one.details["b"],
                "estimate": None if one.estimate is None else one.estimate - 1,
                "low": None if one.low is None else one.low - 1,
                "high": None if one.high is None else one.high - 1,
            }
            for q, one in zip(_QUANTILES, found, strict=True)
        }
    }


def _net_wins(study: Study, outcome: Outcome, column: int) -> dict[str, Any]:
    from aikit.stats.ranks import net_wins

    left, right, clusters = _pairs(study, outcome, column)
    if not left.size:
        return {}
    found = net_wins(left, right, clusters, direction=outcome.direction, alpha=study.alpha)
    return {"net_wins": {"estimate": found.estimate, "low": found.low, "high": found.high, "p": found.p}}


def _epochs(study: Study, outcome: Outcome, column: int) -> dict[str, Any]:
    """Spread of answers to the same sample, its share of the whole (ICC), and for pass/fail pass@k and pass^k."""
    import numpy as np

    if outcome.squares is None:
        return {}
    found: dict[str, Any] = {}
    for place in (0, column):
        weight, mean = outcome.cells.weight[:, place], outcome.cells.mean[:, place]
        many = weight > 1
        if many.sum() < 2:
            continue
        k, spread = weight[many], np.maximum(outcome.squares.mean[many, place] - mean[many] ** 2, 0.0)
        within = float((spread * k).sum() / (k - 1).sum())
        between = float(mean[many].var(ddof=1)) - within * float((1 / k).mean())
        share = between / (between + within) if between + within > 0 else None
        found[study.design.variants[place]] = {
            "within_variance": within,
            "between_variance": between,
            "icc": None if share is None else max(share, 0.0),
        }
    return {"epochs": found | _pass_k(study, outcome, column)} if found else {}


def _pass_k(study: Study, outcome: Outcome, column: int) -> dict[str, Any]:
    import numpy as np

    from aikit.stats.epochs import pass_at_k_difference

    if not (outcome.pass_fail and outcome.kind == "binary" and study.design.paired):
        return {}
    weight, mean = outcome.cells.weight[:, [0, column]], outcome.cells.mean[:, [0, column]]
    both = (weight > 0).all(axis=1)
    weight, passed = np.rint(weight[both]), np.rint(weight[both] * np.nan_to_num(mean[both]))
    k = int(weight.min(initial=math.inf)) if both.any() else 0
    if k < 2 or study.design.weights is not None:
        return {}
    clusters = None if study.design.clusters is None else study.design.clusters[both]
    found: dict[str, Any] = {}
    for name, every in ((f"pass@{k}", False), (f"pass^{k}", True)):
        one = pass_at_k_difference(
            passed[:, 0], weight[:, 0], passed[:, 1], weight[:, 1], k, clusters, every=every, alpha=study.alpha
        )
        found[name] = {
            "control": one.details["a"], "variant": one.details["b"],
            "estimate": one.estimate, "low": one.low, "high": one.high,
        }  # fmt: skip
    return found


def _missing(study: Study, outcome: Outcome, column: int) -> dict[str, Any]:
    """Bounds of the difference when unscored answers could have gone either way."""
    import numpy as np

    from aikit.stats.missing import missing_bounds

    if not (outcome.missing and outcome.kind == "binary" and outcome.pass_fail) or study.design.repeated:
        return {}
    counts: list[int] = []
    for place in (0, column):
        mean = outcome.cells.mean[:, place]
        passed, seen = int(np.nansum(mean)), int((~np.isnan(mean)).sum())
        counts += [passed, seen - passed, int((study.design.rows[:, place] > 0).sum()) - seen]
    found = missing_bounds(*counts)
    return {"missing": {"low": found.low, "high": found.high, **found.details}}


def _strata(study: Study, outcome: Outcome, column: int) -> dict[str, Any]:
    """Differences among samples both of whose variants were answered by the same model version."""
    import numpy as np
    import pandas as pd

    design = study.design
    name = next((w.partition(" ")[0] for w in design.warnings if "changed inside the run" in w), None)
    if name is None or not design.paired:
        return {}
    rows = (design.variant_codes == 0) | (design.variant_codes == column)
    seen = pd.Series(design.frame[name].to_numpy()[rows]).groupby(design.sample_codes[rows])
    same, first = seen.nunique(), seen.first()
    left, right = outcome.cells.mean[:, 0], outcome.cells.mean[:, column]
    found: dict[str, Any] = {}
    for value in sorted(set(first.dropna().astype(str))):
        codes = np.asarray(first.index[(first.astype(str) == value) & (same == 1)], dtype=np.int64)
        difference = (right - left)[codes]
        difference = difference[~np.isnan(difference)]
        if difference.size:
            found[value] = {"samples": int(difference.size), "estimate": float(difference.mean())}
    return found
