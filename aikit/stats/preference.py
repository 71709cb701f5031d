"""Which of two answers was preferred: the lean to one, and Bradley-Terry abilities of several variants."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aikit.errors import DataError
from aikit.stats.clustered import cluster_codes, clustered_mean, finite
from aikit.stats.results import Estimate, Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

__all__ = ["Abilities", "abilities", "abilities_from_wins", "preferred"]

_SMALLEST_STEP = 1e-12
_STEPS = 200


@dataclass(frozen=True, slots=True)
class Abilities(Result):
    """Bradley-Terry log abilities: P(i preferred to j) = 1/(1 + exp(ability_j − ability_i))."""

    players: tuple[str, ...]
    log_ability: tuple[float, ...]
    """Log odds against the reference, which has 0."""
    se: tuple[float, ...]
    """Standard error of the difference from the reference, cluster-robust where clusters were given; 0 for itself."""
    reference: str
    comparisons: float
    clusters: int
    """Independent clusters of the errors; 0 for model-based errors."""
    level: float = 0.95
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """Say who is preferred to the reference how often."""
        odds = zip(self.players, self.log_ability, strict=True)
        shares = [f"{name} {1 / (1 + math.exp(-one)):.0%}" for name, one in odds if name != self.reference]
        return f"Preferred to {self.reference}: {', '.join(shares)} (ties count half)."


def preferred(outcome: ArrayLike, cluster: ArrayLike | None = None, *, alpha: float = 0.05) -> Estimate:
    """Estimate by how much B is preferred beyond one half: the mean of {1, ½, 0} − ½ with CR2-t.

    `outcome`: 1 where B won, ½ for a tie, 0 where A won (means over orders or raters too), shape (samples,).
    `cluster`: sample and rater, where a sample was judged more than once.
    """
    values = finite(outcome, "outcome")
    if ((values < 0) | (values > 1)).any():
        raise DataError("preferences lie between 0 (A) and 1 (B), ½ for a tie")
    return clustered_mean(values - 0.5, cluster, alpha=alpha)


def abilities_from_wins(
    wins: ArrayLike, players: Sequence[str], *, reference: str | None = None, alpha: float = 0.05
) -> Abilities:
    """Fit Bradley-Terry to counts: `wins[i][j]` is how often i was preferred to j, a tie half on either side.

    Shape (players, players); model-based errors. `reference` is the first player when None. Bradley & Terry (1952).
    """
    import numpy as np

    table = np.asarray(wins, dtype=np.float64)
    if table.shape != (len(players), len(players)) or not np.isfinite(table).all() or (table < 0).any():
        raise DataError(f"wins of shape {table.shape} for {len(players)} players: give a square table of counts")
    first, second = np.nonzero(~np.eye(len(players), dtype=bool))
    return _fit(first, second, np.ones(first.size), table[first, second], players, reference, None, alpha)


def abilities(
    first: Sequence[str],
    second: Sequence[str],
    outcome: ArrayLike,
    cluster: Sequence[Hashable] | None = None,
    *,
    players: Sequence[str] | None = None,
    reference: str | None = None,
    alpha: float = 0.05,
) -> Abilities:
    """Fit Bradley-Terry to single judgements with errors robust to repeated samples and raters.

    `outcome`: 1 where `first` was preferred, ½ for a tie, 0 where `second` was. `cluster`: usually the sample; a
    sandwich with the factor G/(G − 1). Without it each judgement is its own cluster.
    """
    import numpy as np

    score = finite(outcome, "outcome")
    if not len(first) == len(second) == score.size:
        raise DataError("give a first, a second and an outcome per judgement")
    names = list(dict.fromkeys([*first, *second])) if players is None else list(players)
    place = {name: number for number, name in enumerate(names)}
    i, j = (np.array([place[one] for one in side], dtype=np.int64) for side in (first, second))
    codes = np.arange(score.size) if cluster is None else cluster_codes(np.asarray(cluster, dtype=object), score.size)
    # A judgement is `outcome` of a win for the first and the rest of a win for the second.
    return _fit(
        np.concatenate([i, j]),
        np.concatenate([j, i]),
        np.ones(2 * score.size),
        np.concatenate([score, 1 - score]),
        names,
        reference,
        np.concatenate([codes, codes]),
        alpha,
    )


def _fit(
    winner: Codes,
    loser: Codes,
    ones: Floats,
    weight: Floats,
    players: Sequence[str],
    reference: str | None,
    codes: Codes | None,
    alpha: float,
) -> Abilities:
    """Maximise Σ weight·log P(winner over loser) by Newton's method with the reference held at 0."""
    import numpy as np
    from scipy import special

    base = list(players).index(players[0] if reference is None else reference)
    k = len(players)
    warnings: tuple[str, ...] = ()
    used = weight > 0
    if not _connected(winner[used], loser[used], k):
        # Somebody (or a group) won or lost everything: the likelihood has no finite maximum (Ford 1957).
        weight = weight + _half_a_game(winner, loser, weight, k)
        warnings = ("a group of variants won or lost everything: half a win each way was added",)
    contrast = np.zeros((winner.size, k))
    contrast[np.arange(winner.size), winner] = 1.0
    contrast[np.arange(winner.size), loser] -= 1.0
    free = [number for number in range(k) if number != base]
    x = contrast[:, free] * ones[:, None]
    beta = np.zeros(len(free))
    for _ in range(_STEPS):
        p = special.expit(x @ beta)
        gradient = x.T @ (weight * (1 - p))
        hessian = (x * (weight * p * (1 - p))[:, None]).T @ x
        step = np.clip(np.linalg.solve(hessian, gradient), -3.0, 3.0)  # a full step can overshoot far out
        beta = beta + step
        if float(np.abs(step).max()) < _SMALLEST_STEP:
            break
    p = special.expit(x @ beta)
    bread = np.linalg.inv((x * (weight * p * (1 - p))[:, None]).T @ x)
    covariance: Floats = np.asarray(bread, dtype=np.float64)
    groups = 0
    if codes is not None:
        groups = int(codes.max()) + 1
        scores = np.zeros((groups, len(free)))
        np.add.at(scores, codes, x * (weight * (1 - p))[:, None])
        covariance = covariance @ (scores.T @ scores) @ covariance * (groups / max(groups - 1, 1))
    return _abilities(players, base, free, beta, covariance, float(weight.sum()), groups, alpha, warnings)


def _abilities(
    players: Sequence[str],
    base: int,
    free: list[int],
    beta: Floats,
    covariance: Floats,
    comparisons: float,
    groups: int,
    alpha: float,
    warnings: tuple[str, ...],
) -> Abilities:
    import numpy as np
    from scipy import special

    full, errors = np.zeros(len(players)), np.zeros(len(players))
    full[free] = beta
    errors[free] = np.sqrt(np.diag(covariance))
    half = float(-special.ndtri(alpha / 2)) * errors
    low, high = full - half, full + half
    names = tuple(str(one) for one in players)
    return Abilities(
        names, tuple(full.tolist()), tuple(errors.tolist()), names[base], comparisons, groups, 1 - alpha,
        tuple(low.tolist()), tuple(high.tolist()), warnings,
    )  # fmt: skip


def _connected(winner: Codes, loser: Codes, players: int) -> bool:
    """Say whether every player beat every other one directly or through others."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(winner.size), (winner, loser)), shape=(players, players))
    return int(connected_components(edges, directed=True, connection="strong")[0]) == 1


def _half_a_game(winner: Codes, loser: Codes, weight: Floats, players: int) -> Floats:
    """Return half a win each way for every pair that met, spread over the pair's rows; all pairs if some never met."""
    import numpy as np

    met = np.zeros((players, players))
    np.add.at(met, (winner, loser), weight)
    met = met + met.T
    rows = np.zeros((players, players))
    np.add.at(rows, (winner, loser), 1.0)
    wanted = met > 0 if (met[~np.eye(players, dtype=bool)] > 0).all() else np.ones_like(met, dtype=bool)
    return np.where(wanted[winner, loser], 0.5 / np.maximum(rows[winner, loser], 1.0), 0.0)
