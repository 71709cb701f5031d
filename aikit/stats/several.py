"""Several variants against one control: what each p and each interval become when there are many chances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from aikit.stats.contrasts import Contrast
from aikit.stats.design import Design
from aikit.stats.outcome import Outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Adjusted", "adjust", "omnibus"]


@dataclass(frozen=True, slots=True)
class Adjusted:
    """What the number of variants makes of one contrast."""

    p: float | None
    alpha: float
    """The level at which this contrast's own interval belongs to a family of intervals at the nominal alpha."""
    note: str
    """How; empty when there is one contrast only."""


def adjust(
    design: Design,
    outcome: Outcome,
    contrasts: Sequence[Contrast],
    *,
    plain: bool,
    alpha: float = 0.05,
    draws: int = 10_000,
    seed: int = 0,
) -> tuple[Adjusted, ...]:
    """Adjust contrasts against one control: single-step max-T, Dunnett for unpaired scores, else Holm.

    `plain`: the plan is at its fixed end; looks and always-valid intervals share alpha evenly (Bonferroni).
    """
    ps = [one.p for one in contrasts]
    if len(contrasts) == 1:
        return (Adjusted(ps[0], alpha, ""),)
    if plain and design.paired:
        found = _max_t(contrasts, alpha, draws, seed)
        if found is not None:
            return found
    if plain and not design.paired and outcome.kind == "score" and design.clusters is None:
        found = _dunnett(outcome, contrasts, alpha, seed)
        if found is not None:
            return found
    from aikit.stats.multiple import adjust_p

    share = alpha / len(contrasts)
    return tuple(Adjusted(p, share, f"Holm over {len(ps)} variants") for p in adjust_p(ps, method="holm"))


def _max_t(contrasts: Sequence[Contrast], alpha: float, draws: int, seed: int) -> tuple[Adjusted, ...] | None:
    import numpy as np

    from aikit.stats.multiple import max_t

    if any(one.rows is None or one.differences is None for one in contrasts):
        return None
    first = contrasts[0]
    common = cast("Any", first.rows)
    for one in contrasts[1:]:
        if one.rows is not first.rows:
            common = np.intersect1d(common, cast("Any", one.rows), assume_unique=True)
    if common.size < 2:
        return None
    columns: list[Floats] = []
    clusters = None
    for one in contrasts:
        rows, differences = cast("Any", one.rows), cast("Any", one.differences)
        keep = slice(None) if rows.size == common.size else np.searchsorted(rows, common)
        columns.append(differences[keep])
        clusters = None if one.clusters is None else one.clusters[keep]
    found = max_t(np.stack(columns, axis=1), clusters, alpha=alpha, draws=draws, seed=seed)
    if not math.isfinite(found.critical):
        return None
    return tuple(
        Adjusted(
            None if one.p is None else max(one.p, p),
            _own_alpha(found.critical, one.df, alpha, len(contrasts)),
            f"single-step max-T over {len(contrasts)} variants",
        )
        for one, p in zip(contrasts, found.p_adjusted, strict=True)
    )


def _own_alpha(critical: float, df: float | None, alpha: float, count: int) -> float:
    """Return the level whose t quantile is the family's critical value, between Bonferroni's and the nominal one."""
    from aikit.stats.clustered import t_two_sided

    return min(alpha, max(t_two_sided(critical, df or math.inf), alpha / count / 10))


def _dunnett(outcome: Outcome, contrasts: Sequence[Contrast], alpha: float, seed: int) -> tuple[Adjusted, ...] | None:
    import numpy as np
    from scipy import stats

    mean = outcome.cells.mean
    groups = [one[~np.isnan(one)] for one in mean.T]
    if any(group.size < 2 for group in groups) or not any(group.std() > 0 for group in groups):
        return None
    found = cast("Any", stats.dunnett(*groups[1:], control=groups[0], rng=np.random.default_rng(seed)))
    ps = [min(1.0, max(0.0, float(p))) for p in found.pvalue]
    # Dunnett's p; the intervals are Welch's at Šidák's share, for variances need not be equal.
    share = 1 - (1 - alpha) ** (1 / len(contrasts))
    return tuple(Adjusted(p, share, f"Dunnett over {len(ps)} variants") for p in ps)


def omnibus(design: Design, outcome: Outcome) -> dict[str, Any]:
    """Return the overall test of several paired variants: Cochran's Q for pass/fail, Friedman's for ordinals."""
    import numpy as np

    mean = outcome.cells.mean
    complete = mean[~np.isnan(mean).any(axis=1)]
    if not design.paired or mean.shape[1] < 3 or len(complete) < 2:
        return {}
    if outcome.kind == "binary" and outcome.pass_fail and not design.repeated:
        from aikit.stats.proportions import cochran_q

        return {"cochran_q_p": cochran_q(complete).p}
    if outcome.kind == "ordinal":
        from aikit.stats.ranks import friedman

        return {"friedman_p": friedman(complete).p}
    return {}
