"""Unpaired comparisons made sharper by what was known of the samples before the run.

Only for unpaired designs: pairing already removes what a covariate could explain. The covariates are fixed before the
run and untouched by the variants (length of the input, the score of an older prompt), never chosen after looking.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from aikit.errors import DataError
from aikit.stats.clustered import clustered_mean, finite, t_estimate, welch
from aikit.stats.results import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

__all__ = ["covariate_adjusted", "cuped_difference", "post_stratified"]


def cuped_difference(
    y_a: ArrayLike, x_a: ArrayLike, y_b: ArrayLike, x_b: ArrayLike, *, alpha: float = 0.05
) -> Estimate:
    """Estimate mean(B) − mean(A) of y − θx, θ pooled over both arms, by Welch's t.

    `y`, `x`: outcome and pre-run covariate per sample, shape (n,). `details` has `theta` and `variance_left`, the share
    of the plain estimate's variance that remains. Deng, Xu, Kohavi & Walker (2013), WSDM (CUPED).
    """
    import numpy as np

    ya, xa, yb, xb = (finite(one, name) for one, name in ((y_a, "y_a"), (x_a, "x_a"), (y_b, "y_b"), (x_b, "x_b")))
    if ya.size != xa.size or yb.size != xb.size:
        raise DataError("give one covariate per outcome")
    y, x = np.concatenate([ya, yb]), np.concatenate([xa, xb])
    spread = float(((x - x.mean()) ** 2).sum()) if x.size else 0.0
    theta = float((x - x.mean()) @ (y - y.mean())) / spread if spread > 0 else 0.0
    plain = welch(clustered_mean(ya), clustered_mean(yb))
    adjusted = welch(clustered_mean(ya - theta * xa), clustered_mean(yb - theta * xb), alpha=alpha)
    left = (adjusted.se / plain.se) ** 2 if adjusted.se and plain.se else None
    return _renamed(adjusted, "CUPED, Welch t", {"theta": theta, "variance_left": left})


def covariate_adjusted(y: ArrayLike, arm: ArrayLike, covariates: ArrayLike, *, alpha: float = 0.05) -> Estimate:
    """Estimate mean(B) − mean(A) by regression with treatment-covariate interactions and HC2 errors.

    `y`: outcomes, shape (n,); `arm`: 0 (control) or 1; `covariates`: shape (n,) or (n, k), centred here. Never less
    precise than the plain difference in large samples, whatever the true relation. `details["unadjusted"]` is the plain
    difference. t with n − 2(k + 1) degrees of freedom. Lin (2013), Ann. Appl. Stat. 7; MacKinnon & White (1985).
    """
    import numpy as np

    outcome, group = finite(y, "y"), finite(arm, "arm")
    x = np.asarray(covariates, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    if not outcome.size == group.size == len(x) or not np.isfinite(x).all() or not np.isin(group, (0, 1)).all():
        raise DataError("y, arm (0 or 1) and covariates need the same length, and no NaN")
    unadjusted = _means_apart(outcome, group)
    centred = x - x.mean(axis=0)
    design = np.column_stack([np.ones(outcome.size), group, centred, centred * group[:, None]])
    n, columns = design.shape
    method = "regression with interactions, HC2 (Lin)"
    if unadjusted is None or n <= columns or np.linalg.matrix_rank(design) < columns:
        note = "too few samples, or a covariate that does not vary, for the regression"
        return Estimate(unadjusted, n=n, level=1 - alpha, method=method, warnings=(note,))
    bread = np.linalg.inv(design.T @ design)
    coefficients = bread @ (design.T @ outcome)
    residuals = outcome - design @ coefficients
    leverage = np.einsum("ij,jk,ik->i", design, bread, design)
    # A sample that fits itself (leverage 1) has residual 0 and no say in the variance.
    scale = np.where(leverage < 1 - 1e-12, residuals**2 / np.maximum(1 - leverage, 1e-12), 0.0)
    row = bread[1] @ design.T
    se = math.sqrt(float((row * row * scale).sum()))
    return t_estimate(
        float(coefficients[1]),
        se,
        float(n - columns),
        alpha=alpha,
        n=n,
        method=method,
        details={"unadjusted": unadjusted},
    )


def post_stratified(y: ArrayLike, arm: ArrayLike, stratum: ArrayLike, *, alpha: float = 0.05) -> Estimate:
    """Estimate mean(B) − mean(A) within strata, weighted by the strata's sizes.

    `stratum`: a label per sample, known before the run. Strata with fewer than two samples in an arm are joined into
    one. Variance Σ w²(s²A/nA + s²B/nB), Satterthwaite's degrees of freedom. Miratrix, Sekhon & Yu (2013), JRSS-B 75.
    """
    import numpy as np

    from aikit.stats.clustered import cluster_codes

    outcome, group = finite(y, "y"), finite(arm, "arm")
    codes = cluster_codes(stratum, outcome.size)
    if outcome.size != group.size or not np.isin(group, (0, 1)).all():
        raise DataError("y and arm (0 or 1) need the same length")
    codes, joined = _joined(codes, group)
    parts: list[Estimate] = []
    weights: list[float] = []
    for g in np.unique(codes):
        y_s, arm_s = outcome[codes == g], group[codes == g]
        parts.append(welch(clustered_mean(y_s[arm_s == 0]), clustered_mean(y_s[arm_s == 1]), alpha=alpha))
        weights.append(y_s.size / outcome.size)
    notes = (f"{joined} strata too small for both arms were joined",) if joined else ()
    return _weighted(parts, weights, alpha=alpha, n=int(outcome.size), warnings=notes)


def _joined(codes: Codes, group: Floats) -> tuple[Codes, int]:
    """Join strata with fewer than two samples in an arm, with the smallest other one if that is not enough."""
    import numpy as np

    def too_small(code: int) -> bool:
        return min(_arm_sizes(group[codes == code])) < 2

    small = [int(one) for one in np.unique(codes) if too_small(int(one))]
    if not small:
        return codes, 0
    codes = np.where(np.isin(codes, small), -1, codes)
    others = [int(one) for one in np.unique(codes) if one >= 0]
    if too_small(-1) and others:
        nearest = min(others, key=lambda one: int((codes == one).sum()))
        codes = np.where(codes == -1, nearest, codes)
    return codes, len(small)


def _weighted(
    parts: list[Estimate], weights: list[float], *, alpha: float, n: int, warnings: tuple[str, ...]
) -> Estimate:
    method = "post-stratified, Satterthwaite t"
    if any(part.estimate is None or part.se is None or part.df is None for part in parts) or not parts:
        note = "a stratum has fewer than two samples in an arm"
        return Estimate(None, n=n, level=1 - alpha, method=method, warnings=(*warnings, note))
    estimate = sum(w * cast("float", part.estimate) for w, part in zip(weights, parts, strict=True))
    pieces = [(w * cast("float", part.se)) ** 2 for w, part in zip(weights, parts, strict=True)]
    variance = sum(pieces)
    spread = sum(v * v / cast("float", part.df) for v, part in zip(pieces, parts, strict=True))
    df = variance * variance / spread if spread > 0 else math.inf
    return t_estimate(estimate, math.sqrt(variance), df, alpha=alpha, n=n, method=method, warnings=warnings)


def _arm_sizes(group: Floats) -> tuple[int, int]:
    return int((group == 0).sum()), int((group == 1).sum())


def _means_apart(outcome: Floats, group: Floats) -> float | None:
    if min(_arm_sizes(group)) == 0:
        return None
    return float(outcome[group == 1].mean() - outcome[group == 0].mean())


def _renamed(found: Estimate, method: str, details: dict[str, float | None]) -> Estimate:
    from dataclasses import replace

    return replace(found, method=method, details={**found.details, **details})
