"""An A/A test on one's own results: swap the labels, and count how often a difference is found that isn't there."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aikit.errors import DataError
from aikit.stats.contrasts import contrast
from aikit.stats.design import Design, read_design
from aikit.stats.outcome import Outcome, read_outcome
from aikit.stats.results import Result

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

__all__ = ["FalsePositives", "false_positive_rate"]

_DRAWS_INSIDE = 199  # of a method that itself draws; each of the A/A draws repeats it


@dataclass(frozen=True, slots=True)
class FalsePositives(Result):
    """How often the method cried wolf when the labels were meaningless."""

    rate: float
    """Share of the draws with p < alpha."""
    low: float
    """Exact 95 % interval of the rate over draws (Clopper & Pearson)."""
    high: float
    naive_rate: float | None
    """The same for a t-test on single calls, blind to samples and clusters; None without row values."""
    alpha: float
    draws: int
    samples: int
    method: str
    seed: int
    warnings: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """Say the rate, and what calls counted as independent would have given."""
        naive = "" if self.naive_rate is None else f" Counting every call as independent: {self.naive_rate:.1%}."
        return (
            f"With labels swapped within samples {self.rate:.1%} of {self.draws} draws found a difference at "
            f"alpha {self.alpha:g} (95 % interval {self.low:.1%} to {self.high:.1%}).{naive}"
        )


def false_positive_rate(
    frame: pd.DataFrame,
    *,
    metric: str,
    variant: str = "variant",
    sample: str = "sample",
    cluster: str | None = None,
    epoch: str | None = None,
    status: str | None = None,
    control: str | None = None,
    kind: str | None = None,
    draws: int = 500,
    alpha: float = 0.05,
    seed: int = 0,
) -> FalsePositives:
    """Swap variants within samples `draws` times, analyse each as `compare` would, and report the false positives.

    The columns are those of `compare`. Only the first two variants take part. All epochs of a sample are swapped
    together, with clusters all samples of a cluster, so that what hangs together stays together. In an unpaired design
    the labels are dealt out anew. A rate whose interval lies above alpha says that the method does not fit these data.
    """
    import numpy as np

    if draws < 1:
        raise DataError(f"draws={draws}: one at least")
    design = read_design(
        frame, variant=variant, sample=sample, cluster=cluster, epoch=epoch, status=status, control=control
    )
    outcome = read_outcome(design, metric, kind=kind)
    random = np.random.default_rng(seed)
    sums = _row_sums(design, metric)
    found = hits = naive_hits = 0
    method = ""
    for _ in range(draws):
        order = _swap(design, outcome, random)
        one = contrast(design, _reordered(outcome, order), 1, draws=_DRAWS_INSIDE, seed=seed)
        method = one.method
        if one.p is not None:
            found += 1
            hits += one.p < alpha
        if sums is not None:
            naive_hits += _naive_p([np.take_along_axis(part, order, axis=1) for part in sums]) < alpha
    if not found:
        raise DataError(
            f"no comparison of {metric!r} could be made in {draws} draws: are there samples in both variants?"
        )
    low, high = _exact_limits(hits, found)
    few = f"{draws - found} draws gave no p" if found < draws else ""
    return FalsePositives(
        hits / found,
        low,
        high,
        None if sums is None else naive_hits / draws,
        alpha,
        found,
        design.size[0],
        method,
        seed,
        (few,) if few else (),
    )


def _swap(design: Design, outcome: Outcome, random: np.random.Generator) -> Codes:
    """Return per sample which variant's results stand in each column; the other variants stay."""
    import numpy as np

    samples, variants = design.size
    codes = np.arange(samples) if design.clusters is None else design.clusters
    groups = int(codes.max()) + 1
    order = np.tile(np.arange(variants), (samples, 1))
    if design.paired:
        flip = random.integers(0, 2, size=groups).astype(bool)[codes]
    else:
        # Who has results in the second column only is in the second arm: deal the arms out anew over the groups.
        second = np.zeros(groups, dtype=bool)
        second[codes[~np.isnan(outcome.cells.mean[:, 1])]] = True
        flip = (second != random.permutation(second))[codes]
    order[flip, 0], order[flip, 1] = 1, 0
    return order


def _reordered(outcome: Outcome, order: Codes) -> Outcome:
    import numpy as np

    cells = replace(
        outcome.cells,
        mean=np.take_along_axis(outcome.cells.mean, order, axis=1),
        weight=np.take_along_axis(outcome.cells.weight, order, axis=1),
    )
    divisor = outcome.divisor
    if divisor is not None:
        divisor = replace(
            divisor,
            mean=np.take_along_axis(divisor.mean, order, axis=1),
            weight=np.take_along_axis(divisor.weight, order, axis=1),
        )
    return replace(outcome, cells=cells, divisor=divisor)


def _row_sums(design: Design, metric: str) -> tuple[Floats, Floats, Floats] | None:
    """Return calls, sums and sums of squares per sample × variant; None when the metric is no numeric column."""
    import numpy as np
    import pandas as pd

    if metric not in design.frame.columns:
        return None
    values = pd.to_numeric(design.frame[metric], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    known = ~np.isnan(values)
    samples, variants = design.size
    cell = design.sample_codes[known] * variants + design.variant_codes[known]
    kept: Floats = values[known]

    def total(weights: Floats) -> Floats:
        return np.bincount(cell, weights, samples * variants).astype(np.float64).reshape(samples, variants)

    return total(np.ones(kept.size)), total(kept), total(kept * kept)


def _naive_p(sums: list[Floats]) -> float:
    """Return the p of a two-sample z on single calls, as if none had anything to do with another."""
    counts, totals, squares = (part[:, :2].sum(axis=0) for part in sums)
    if float(counts.min()) < 2:
        return 1.0
    means = totals / counts
    variances = (squares - counts * means**2) / (counts - 1)
    error = math.sqrt(max(float((variances / counts).sum()), 0.0))
    if error == 0:
        return 1.0
    return math.erfc(abs(float(means[1] - means[0])) / error / math.sqrt(2))


def _exact_limits(hits: int, draws: int) -> tuple[float, float]:
    from scipy import special

    low = 0.0 if hits == 0 else float(special.betaincinv(hits, draws - hits + 1, 0.025))
    high = 1.0 if hits == draws else float(special.betaincinv(hits + 1, draws - hits, 0.975))
    return low, high
