"""Partial sums that SQL or a worker can deliver: they add up in any order to what the whole frame would give."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aikit.errors import DataError
from aikit.stats.clustered import finite, mean_of_cluster_sums, t_estimate, welch
from aikit.stats.results import Estimate, Record

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Bins", "ClusterSums", "PairSums", "PassTable", "Sums"]


@dataclass(frozen=True, slots=True)
class Sums(Record):
    """Sums over the samples of one variant."""

    n: int = 0
    total: float = 0.0
    """Σx."""
    squares: float = 0.0
    """Σx²."""

    @classmethod
    def of(cls, values: ArrayLike) -> Sums:
        """Sum up an array of one value per sample."""
        array = finite(values)
        return cls(int(array.size), float(array.sum()), float(array @ array))

    def __add__(self, other: Sums) -> Sums:
        """Return the sums over both parts."""
        return Sums(self.n + other.n, self.total + other.total, self.squares + other.squares)

    def mean(self, *, alpha: float = 0.05) -> Estimate:
        """Estimate the mean with Student's t."""
        if not self.n:
            return Estimate(None, level=1 - alpha, method="mean", warnings=("no samples",))
        se = math.sqrt(_variance(self.n, self.total, self.squares) / self.n) if self.n > 1 else None
        return t_estimate(self.total / self.n, se, self.n - 1.0, alpha=alpha, n=self.n, clusters=self.n, method="CR2-t")

    def difference(self, other: Sums, *, alpha: float = 0.05) -> Estimate:
        """Estimate `other` − self for different samples by Welch's t."""
        return welch(self.mean(alpha=alpha), other.mean(alpha=alpha), alpha=alpha)


def _variance(n: int, total: float, squares: float) -> float:
    spread = squares - total * total / n
    return spread / (n - 1) if spread > 1e-14 * abs(squares) else 0.0


@dataclass(frozen=True, slots=True)
class PairSums(Record):
    """Sums over samples that both variants answered."""

    n: int = 0
    a: float = 0.0
    b: float = 0.0
    aa: float = 0.0
    bb: float = 0.0
    ab: float = 0.0
    """Σab."""

    @classmethod
    def of(cls, a: ArrayLike, b: ArrayLike) -> PairSums:
        """Sum up two arrays of one value per sample, in the same order."""
        left, right = finite(a, "a"), finite(b, "b")
        if left.size != right.size:
            raise DataError(f"{left.size} values of a and {right.size} of b: pair sums need pairs")
        sums = (float(one) for one in (left.sum(), right.sum(), left @ left, right @ right, left @ right))
        return cls(int(left.size), *sums)

    def __add__(self, other: PairSums) -> PairSums:
        """Return the sums over both parts."""
        names = ("a", "b", "aa", "bb", "ab")
        return PairSums(self.n + other.n, *(getattr(self, one) + getattr(other, one) for one in names))

    def difference(self, *, alpha: float = 0.05) -> Estimate:
        """Estimate mean(b − a) by the paired t."""
        return Sums(self.n, self.b - self.a, self.aa + self.bb - 2 * self.ab).mean(alpha=alpha)


@dataclass(frozen=True, slots=True)
class PassTable(Record):
    """Samples by which variants passed them."""

    both_pass: int = 0
    a_only: int = 0
    b_only: int = 0
    both_fail: int = 0

    def __add__(self, other: PassTable) -> PassTable:
        """Return the table of both parts."""
        names = ("both_pass", "a_only", "b_only", "both_fail")
        return PassTable(*(getattr(self, one) + getattr(other, one) for one in names))

    def difference(self, *, alpha: float = 0.05) -> Estimate:
        """Estimate P(b) − P(a): mid-p McNemar with Tango's interval."""
        from aikit.stats.proportions import paired_shares

        return paired_shares(self.both_pass, self.a_only, self.b_only, self.both_fail, alpha=alpha)


@dataclass(frozen=True, slots=True)
class ClusterSums(Record):
    """Number and sum of the samples' values per cluster; parts may share clusters."""

    counts: Mapping[str, float] = field(default_factory=dict[str, float])
    totals: Mapping[str, float] = field(default_factory=dict[str, float])

    @classmethod
    def of(cls, values: ArrayLike, cluster: Iterable[Any]) -> ClusterSums:
        """Sum up one value per sample (a difference, or ψ) by its cluster."""
        counts: dict[str, float] = {}
        totals: dict[str, float] = {}
        for value, name in zip(finite(values).tolist(), cluster, strict=True):
            counts[str(name)] = counts.get(str(name), 0.0) + 1
            totals[str(name)] = totals.get(str(name), 0.0) + value
        return cls(counts, totals)

    def __add__(self, other: ClusterSums) -> ClusterSums:
        """Return the sums of both parts, cluster by cluster."""
        names = dict.fromkeys((*self.counts, *other.counts))
        counts = {name: self.counts.get(name, 0.0) + other.counts.get(name, 0.0) for name in names}
        totals = {name: self.totals.get(name, 0.0) + other.totals.get(name, 0.0) for name in names}
        return ClusterSums(counts, totals)

    def mean(self, *, alpha: float = 0.05) -> Estimate:
        """Estimate the mean over clusters with CR2 and Satterthwaite's degrees of freedom."""
        names = sorted(self.counts)  # the order of merging plays no part
        return mean_of_cluster_sums(
            [self.counts[one] for one in names], [self.totals[one] for one in names], alpha=alpha
        )


@dataclass(frozen=True, slots=True)
class Bins(Record):
    """A histogram on fixed edges, for quantiles of what is too large to hold."""

    edges: tuple[float, ...]
    """Increasing; counts[i] covers [edges[i], edges[i+1])."""
    counts: tuple[int, ...]

    @classmethod
    def of(cls, values: ArrayLike, edges: Iterable[float]) -> Bins:
        """Count values between edges; raises DataError for a value outside of them."""
        import numpy as np

        limits, array = tuple(float(one) for one in edges), finite(values)
        if array.size and (array.min() < limits[0] or array.max() > limits[-1]):
            raise DataError(
                f"values from {array.min():g} to {array.max():g} leave the edges {limits[0]:g}-{limits[-1]:g}"
            )
        counted, _ = np.histogram(array, np.array(limits))
        return cls(limits, tuple(int(one) for one in counted))

    def __add__(self, other: Bins) -> Bins:
        """Return the counts of both parts; raises DataError when their edges differ."""
        if self.edges != other.edges:
            raise DataError("two histograms add up only on the same edges")
        return Bins(self.edges, tuple(x + y for x, y in zip(self.counts, other.counts, strict=True)))

    def quantile(self, q: float) -> float | None:
        """Return a quantile, linear within its bin; None without values."""
        total = sum(self.counts)
        if not total or not 0 <= q <= 1:
            return None
        wanted, before = q * total, 0
        for count, low, high in zip(self.counts, self.edges, self.edges[1:], strict=False):
            if count and before + count >= wanted:
                return low + (high - low) * (wanted - before) / count
            before += count
        return self.edges[-1]
