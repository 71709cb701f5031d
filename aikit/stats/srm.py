"""Sample ratio mismatch: did the variants get, and finish, the share of samples they were meant to?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aikit.errors import DataError
from aikit.stats.results import Tested

__all__ = ["MISMATCH_BELOW", "sample_ratio_mismatch"]

MISMATCH_BELOW = 0.001
"""The p below which an experiment is invalid: a mismatch of shares points to a broken assignment or lost calls."""


def sample_ratio_mismatch(
    counts: Sequence[float] | Mapping[str, float], weights: Sequence[float] | Mapping[str, float] | None = None
) -> Tested:
    """Test counts of samples per variant against the planned shares with Pearson's χ².

    `counts`: assigned or completed samples per variant. `weights`: planned shares in any scale, equal when None; a
    variant of weight 0 that still got samples makes p = 0. `p` is None without samples or with a single variant.
    Judge it by `MISMATCH_BELOW`. Fabijan et al. (2019), KDD.
    """
    from scipy import special

    observed, shares = _aligned(counts, weights)
    total, whole = sum(observed), sum(shares)
    used = [(count, share) for count, share in zip(observed, shares, strict=True) if share > 0]
    stray = sum(observed) - sum(count for count, _ in used)
    df = len(used) - 1
    if total == 0 or df < 1:
        return Tested(None, n=int(total), method="χ² of the sample ratio", warnings=("nothing to compare",))
    if stray > 0:
        note = f"{stray:g} samples went to variants that were to get none"
        return Tested(0.0, float("inf"), float(df), int(total), "χ² of the sample ratio", warnings=(note,))
    chi2 = sum((count - total * share / whole) ** 2 / (total * share / whole) for count, share in used)
    p = float(special.chdtrc(df, chi2))
    warnings = (f"sample ratio mismatch, p = {p:.2g}",) if p < MISMATCH_BELOW else ()
    return Tested(p, chi2, float(df), int(total), "χ² of the sample ratio", warnings=warnings)


def _aligned(
    counts: Sequence[float] | Mapping[str, float], weights: Sequence[float] | Mapping[str, float] | None
) -> tuple[list[float], list[float]]:
    if isinstance(counts, Mapping):
        names = list(counts)
        observed = [float(counts[name]) for name in names]
        if isinstance(weights, Mapping):
            if set(weights) - set(names):
                names += [name for name in weights if name not in counts]
                observed += [0.0] * (len(names) - len(observed))
            shares = [float(weights.get(name, 0.0)) for name in names]
        else:
            shares = [1.0] * len(names) if weights is None else [float(one) for one in weights]
    elif isinstance(weights, Mapping):
        raise DataError("weights by name need counts by name")
    else:
        observed = [float(one) for one in counts]
        shares = [1.0] * len(observed) if weights is None else [float(one) for one in weights]
    if len(observed) != len(shares):
        raise DataError(f"{len(observed)} counts for {len(shares)} weights")
    if any(one < 0 for one in observed) or any(one < 0 for one in shares) or not sum(shares) > 0:
        raise DataError(f"counts {observed} and weights {shares}: none negative, one weight above 0")
    return observed, shares
