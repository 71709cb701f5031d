"""A group-sequential plan: at most ten looks, each with the bound it has to pass.

The statistics of the looks are jointly normal with correlation √(t_i/t_j) (Jennison & Turnbull 2000, ch. 3), t being
the share of the planned information (samples) seen. The density of the process that has not stopped yet is carried from
look to look by Gauss-Legendre quadrature (Armitage, McPherson & Rowe 1969), with more nodes where two looks lie close
together. Bounds are symmetric and two-sided: stop when |z| reaches the bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, get_args

from aikit.errors import DataError
from aikit.stats.results import Estimate, Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "Family",
    "GroupBounds",
    "GroupPower",
    "group_bounds",
    "group_estimate",
    "group_inflation",
    "group_power",
    "spent_alpha",
]

Family = Literal["obrien_fleming_spending", "pocock_spending", "obrien_fleming", "pocock", "haybittle_peto"]
"""The two spending functions (Lan & DeMets 1983) take any information; the other three are the classical shapes."""

MOST_LOOKS = 10
"""Looks beyond ten save next to nothing; a plan with more wants stopping="anytime"."""

_NODES = 150  # 8 decimals of the bounds at evenly spaced looks
_WIDEST = 8.5  # standard deviations past which the normal density is below 1e-16
_MOST_NODES = 4000
_SMALLEST = 1e-15  # an increment of alpha below it can't be told from 0 in double precision


@dataclass(frozen=True, slots=True)
class GroupBounds(Result):
    """The bounds of a group-sequential plan."""

    information: tuple[float, ...]
    """Share of the planned samples seen at each look, increasing."""
    z: tuple[float, ...]
    """Stop at a look when |z| reaches this; `inf` where no alpha is spent yet."""
    spent: tuple[float, ...]
    """Two-sided alpha spent up to and with each look."""
    alpha: float
    family: str

    @property
    def sentence(self) -> str:
        """Say at which shares one looks and what |z| has to reach."""
        looks = ", ".join(f"{t:.0%}: {z:.3f}" for t, z in zip(self.information, self.z, strict=True))
        return (
            f"Stop when |z| reaches the bound of the look ({looks}); false positives over all looks ≤ {self.alpha:g}."
        )


@dataclass(frozen=True, slots=True)
class GroupPower(Result):
    """What a group-sequential plan does at one true effect."""

    stop: tuple[float, ...]
    """Probability of stopping at each look by crossing a bound in either direction."""
    power: float
    """Probability of crossing a bound in the direction of the effect."""
    expected_information: float
    """Expected share of the planned information at the end."""


def spent_alpha(information: float, *, alpha: float = 0.05, family: str = "obrien_fleming_spending") -> float:
    """Return the two-sided alpha that may be spent by `information`, a share of the plan; all of it from 1 on.

    "obrien_fleming_spending": 4(1 − Φ(z_{α/4}/√t)); "pocock_spending": α·ln(1 + (e − 1)t). Lan & DeMets (1983).
    """
    from scipy import special

    if information >= 1:
        return alpha
    if information <= 0:
        return 0.0
    if family == "obrien_fleming_spending":
        return float(4 * special.ndtr(special.ndtri(alpha / 4) / math.sqrt(information)))
    if family == "pocock_spending":
        return alpha * math.log1p((math.e - 1) * information)
    raise DataError(f"no spending function {family!r}: use 'obrien_fleming_spending' or 'pocock_spending'")


def group_bounds(
    information: int | Sequence[float],
    *,
    alpha: float = 0.05,
    family: str = "obrien_fleming_spending",
    last: bool = True,
) -> GroupBounds:
    """Return the bounds for looks at any realised shares of the plan.

    `information`: shares in (0, 1], increasing, as they came to be; a number of looks means evenly spaced ones. A share
    above 1 (more samples than planned) counts as the end of the plan for the alpha. With `last=True` the final entry
    spends what is left of alpha even if it lies before 1 (the run ends there); with `last=False` the run goes on.
    Lan & DeMets (1983), Biometrika 70, 659-663; Jennison & Turnbull (2000).
    """
    shares = _shares(information)
    if family in ("obrien_fleming_spending", "pocock_spending"):
        spent = [spent_alpha(t, alpha=alpha, family=family) for t in shares]
        if last:
            spent[-1] = alpha
        z = _spending_bounds(shares, spent)
        return GroupBounds(shares, z, tuple(spent), alpha, family)
    z = _shaped_bounds(shares, alpha, family)
    crossed = _walk(shares, z, drift=0.0)
    spent_so_far = [sum(up + down for up, down in crossed[: k + 1]) for k in range(len(shares))]
    return GroupBounds(shares, z, tuple(spent_so_far), alpha, family)


def group_power(bounds: GroupBounds, *, drift: float) -> GroupPower:
    """Return the stopping probabilities when z at the full plan has mean `drift`.

    `drift` is the true effect divided by the standard error that the full plan gives it.
    """
    crossed = _walk(bounds.information, bounds.z, drift=drift)
    stop = tuple(up + down for up, down in crossed)
    power = sum(up if drift >= 0 else down for up, down in crossed)
    early = sum(share * p for share, p in zip(bounds.information[:-1], stop[:-1], strict=True))
    return GroupPower(stop, power, early + bounds.information[-1] * (1 - sum(stop[:-1])))


def group_inflation(
    information: int | Sequence[float],
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    family: str = "obrien_fleming_spending",
) -> tuple[float, float]:
    """Return by how much the looks inflate the largest n, and the expected n under the alternative, both as shares.

    Both are relative to the fixed plan of the same power: (1.03, 0.82) says 3 % more at worst, 18 % fewer on average.
    """
    from scipy import optimize, special

    bounds = group_bounds(information, alpha=alpha, family=family)
    fixed = float(special.ndtri(1 - alpha / 2) + special.ndtri(power))

    def shortfall(drift: float) -> float:
        return group_power(bounds, drift=drift).power - power

    drift = optimize.brentq(shortfall, fixed * 0.5, fixed * 3, xtol=1e-10)
    inflation = (drift / fixed) ** 2
    return inflation, inflation * group_power(bounds, drift=drift).expected_information


def group_estimate(bounds: GroupBounds, *, look: int, z: float, alpha: float | None = None) -> Estimate:
    """Return the drift that a run which stopped at `look` (from 0) with statistic `z` speaks for.

    An effect that made a run stop early is too large on average (the winner's curse: 1.22 × at 80 % power). Under
    stage-wise ordering the median-unbiased estimate, its interval and its p are exact (Tsiatis, Rosner & Mehta 1984;
    Jennison & Turnbull 2000, ch. 8). The unit is the drift: multiply by the planned standard error of the full plan.
    """
    from scipy import optimize

    level = bounds.alpha if alpha is None else alpha
    shares, heights = bounds.information[: look + 1], bounds.z[:look]

    def beyond(drift: float) -> float:
        """Probability of a result at least as far up in the ordering."""
        return sum(up for up, _ in _walk(shares, (*heights, z), drift=drift))

    def solve(target: float) -> float:
        reach = 10 / math.sqrt(shares[0])
        centre = z / math.sqrt(shares[-1])
        return optimize.brentq(lambda d: beyond(d) - target, centre - reach, centre + reach, xtol=1e-8)

    upper_tail = beyond(0.0)
    p = min(1.0, 2 * min(upper_tail, 1 - upper_tail))
    return Estimate(
        solve(0.5),
        solve(level / 2),
        solve(1 - level / 2),
        p,
        statistic=z,
        level=1 - level,
        method="group sequential, stage-wise ordering",
    )


def _shares(information: int | Sequence[float]) -> tuple[float, ...]:
    if isinstance(information, int):
        if information < 1:
            raise DataError(f"{information} looks: plan at least one")
        return tuple((k + 1) / information for k in range(information))
    shares = tuple(float(t) for t in information)
    if not shares or shares[0] <= 0 or any(not b > a for a, b in pairwise(shares)):
        raise DataError(f"information {shares}: give increasing shares of the plan, above 0")
    return shares


def _spending_bounds(shares: tuple[float, ...], spent: list[float]) -> tuple[float, ...]:
    from scipy import special

    state: _State | None = None
    heights: list[float] = []
    before = 0.0
    for number, (share, total) in enumerate(zip(shares, spent, strict=True)):
        increment, before = total - before, total
        if increment < _SMALLEST:
            bound = math.inf
        elif state is None:
            bound = float(-special.ndtri(increment / 2))
        else:
            crossing = _crossing(state, share)
            bound = _root(lambda height, f=crossing, wanted=increment: sum(f(height)) - wanted)
        heights.append(bound)
        if number + 1 < len(shares):
            state = _advance(state, share, bound, ahead=shares[number + 1])
    return tuple(heights)


def _root(falling: Callable[[float], float]) -> float:
    from scipy import optimize

    if falling(0.0) <= 0:
        return 0.0
    return optimize.brentq(falling, 0.0, 40.0, xtol=1e-11, rtol=1e-13)


def _shaped_bounds(shares: tuple[float, ...], alpha: float, family: str) -> tuple[float, ...]:
    """Scale a classical shape until the looks together cross with probability alpha."""
    powers = {"obrien_fleming": -0.5, "pocock": 0.0}
    if family == "haybittle_peto":

        def heights(scale: float) -> tuple[float, ...]:
            return (*(3.0 for _ in shares[:-1]), scale)

    elif family in powers:

        def heights(scale: float) -> tuple[float, ...]:
            return tuple(scale * (t / shares[-1]) ** powers[family] for t in shares)

    else:
        raise DataError(f"no family of bounds {family!r}; there are {', '.join(get_args(Family))}")

    def excess(scale: float) -> float:
        return sum(up + down for up, down in _walk(shares, heights(scale), drift=0.0)) - alpha

    return heights(_root(excess))


def _walk(shares: Sequence[float], heights: Sequence[float], *, drift: float) -> list[tuple[float, float]]:
    """Return for each look the probabilities of crossing upwards and downwards there first."""
    state: _State | None = None
    crossed: list[tuple[float, float]] = []
    for number, (share, height) in enumerate(zip(shares, heights, strict=True)):
        crossed.append(_crossing(state, share, drift)(height))
        if number + 1 < len(shares):
            state = _advance(state, share, height, drift, ahead=shares[number + 1])
    return crossed


@dataclass(frozen=True, slots=True)
class _State:
    """The density of z at a look, of the paths that crossed no bound yet, as masses on quadrature nodes."""

    share: float
    nodes: Floats
    mass: Floats


def _advance(state: _State | None, share: float, height: float, drift: float = 0.0, *, ahead: float) -> _State:
    """Go on to `share` and keep what lies inside ±height, on nodes dense enough for the step from there to `ahead`."""
    middle = drift * math.sqrt(share)
    low = min(max(-height, middle - _WIDEST), height)
    high = max(min(height, middle + _WIDEST), low)
    # A short step has a narrow kernel, √(Δ/t) wide: a few nodes have to fall into it.
    wanted = int(4 * (high - low) * math.sqrt(share / (ahead - share)))
    nodes, weights = _legendre(low, high, min(max(wanted, _NODES), _MOST_NODES))
    return _State(share, nodes, weights * _density(state, share, nodes, drift))


def _crossing(state: _State | None, share: float, drift: float = 0.0) -> Callable[[float], tuple[float, float]]:
    """Return height → (probability of crossing upwards, downwards) at `share`."""
    from scipy import special

    if state is None:
        mean = drift * math.sqrt(share)
        return lambda height: (float(special.ndtr(mean - height)), float(special.ndtr(-height - mean)))
    nodes, mass = state.nodes, state.mass
    step = math.sqrt(share - state.share)
    centre = (nodes * math.sqrt(state.share) + drift * (share - state.share)) / step
    scale = math.sqrt(share) / step
    return lambda height: (
        float(mass @ special.ndtr(centre - scale * height)),
        float(mass @ special.ndtr(-scale * height - centre)),
    )


def _density(state: _State | None, share: float, z: Floats, drift: float) -> Floats:
    import numpy as np

    if state is None:
        return np.exp(-0.5 * (z - drift * math.sqrt(share)) ** 2) / math.sqrt(2 * math.pi)
    nodes = state.nodes
    step = math.sqrt(share - state.share)
    centre = nodes * math.sqrt(state.share) + drift * (share - state.share)
    away = (z[:, None] * math.sqrt(share) - centre[None, :]) / step
    kernel = np.exp(-0.5 * away * away) * (math.sqrt(share) / step / math.sqrt(2 * math.pi))
    return kernel @ state.mass


def _legendre(low: float, high: float, count: int) -> tuple[Floats, Floats]:
    """Return nodes and weights for an integral from low to high; above 150 nodes in panels of 50."""
    import numpy as np

    size = count if count <= _NODES else 50
    nodes, weights = _unit_legendre(size)
    edges = np.linspace(low, high, math.ceil(count / size) + 1)
    half = np.diff(edges)[:, None] / 2
    middle = (edges[:-1, None] + edges[1:, None]) / 2
    return (middle + half * nodes).ravel(), (half * weights).ravel()


@cache  # constants of mathematics; finding 150 nodes costs more than the rest of a bound
def _unit_legendre(size: int) -> tuple[Floats, Floats]:
    from scipy import special

    nodes, weights = special.roots_legendre(size)
    return nodes, weights
