"""Dropping variants while a run goes on: successive elimination on paired samples.

After every batch the leader is compared with each other variant by an always-valid interval; who is surely worse stops
costing money. On paired designs this is worth more than a bandit, and what is left is still a fair comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aikit.errors import DataError
from aikit.stats.anytime import BURN_IN, confidence_sequence
from aikit.stats.results import Interval, Result

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Survivors", "surviving_variants"]


@dataclass(frozen=True, slots=True)
class Survivors(Result):
    """Which variants are worth another sample."""

    active: tuple[str, ...]
    """Variants still in the race, best mean first."""
    dropped: tuple[str, ...]
    """Variants shown to be worse than the leader."""
    leader: str | None
    """The best mean among the active; None without data."""
    behind: Mapping[str, Interval] = field(default_factory=dict[str, Interval])
    """Variant → how far it is behind the leader; only where there are samples enough for an interval."""
    alpha: float = 0.05

    @property
    def sentence(self) -> str:
        """Say who stays and who goes."""
        gone = f"; dropped: {', '.join(self.dropped)}" if self.dropped else ""
        return f"Leading: {self.leader or 'nobody yet'}; still in: {', '.join(self.active)}{gone}."


def surviving_variants(
    scores: ArrayLike,
    variants: Sequence[str],
    *,
    planned: int,
    cluster: ArrayLike | None = None,
    direction: str = "higher",
    alpha: float = 0.05,
    burn_in: int = BURN_IN,
) -> Survivors:
    """Return which variants survive, given all scores so far; call it after every batch, as often as you like.

    `scores`: samples × variants, one mean per cell, NaN where a dropped variant got no call. A variant is dropped when
    the always-valid interval of leader − variant, at alpha/(variants − 1), lies above 0. The best variant takes part in
    variants − 1 comparisons, so it is ever dropped with probability at most alpha. Even-Dar, Mannor & Mansour (2006).
    """
    import numpy as np

    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(variants) or len(variants) < 2:
        raise DataError(
            f"scores of shape {table.shape} for {len(variants)} variants: give samples × two or more variants"
        )
    if direction not in ("higher", "lower"):
        raise DataError(f"direction {direction!r}: use 'higher' or 'lower'")
    table = table if direction == "higher" else -table
    groups = None if cluster is None else np.asarray(cluster)
    level = alpha / (len(variants) - 1)
    active = list(range(len(variants)))
    behind: dict[str, Interval] = {}
    settled = False
    while not settled:
        order = _by_mean(table, active)
        if not order:
            return Survivors(tuple(variants), (), None, {}, alpha)
        leader, losers = order[0], list[int]()
        behind = {}
        for other in order[1:]:
            gap = table[:, leader] - table[:, other]
            both = ~np.isnan(gap)
            found = confidence_sequence(
                gap[both],
                planned=planned,
                cluster=None if groups is None else groups[both],
                alpha=level,
                burn_in=burn_in,
            )
            if found.low is None or found.high is None:
                continue
            behind[variants[other]] = Interval(found.low, found.high, 1 - level)
            if found.low > 0:
                losers.append(other)
        # With a variant gone the common samples grow and the leader may change: look again.
        settled = not losers or len(losers) == len(order) - 1
        active = [one for one in order if one not in losers]
    dropped = tuple(name for number, name in enumerate(variants) if number not in active)
    return Survivors(tuple(variants[one] for one in active), dropped, variants[active[0]], behind, alpha)


def _by_mean(table: object, active: list[int]) -> list[int]:
    """Return the active variants, best mean first, on the samples they all have."""
    import numpy as np

    values = np.asarray(table, dtype=np.float64)[:, active]
    complete = values[~np.isnan(values).any(axis=1)]
    if not len(complete):
        return []
    means = complete.mean(axis=0)
    return [active[place] for place in np.argsort(-means, kind="stable")]
