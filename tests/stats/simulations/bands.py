"""The 99.9 % bands of the acceptance table, and a way to count over simulated experiments with a fixed seed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

RUNS = pytest.mark.parametrize("runs", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
"""1,000 simulated experiments in the normal run, 10,000 in the slow one."""

_RATE = {1000: (0.029, 0.074), 4000: (0.039, 0.0617), 10_000: (0.043, 0.0573)}
_COVERAGE = {1000: (0.926, 0.971), 4000: (0.938, 0.961), 10_000: (0.943, 0.957)}
_POWER = {1000: (0.757, 0.841), 4000: (0.779, 0.8205), 10_000: (0.787, 0.813)}
_CAP = {1000: 0.073, 4000: 0.061, 10_000: 0.057}
_EXTREME = 3.2905  # z of a 99.9 % two-sided band


def in_rate_band(rate: float, runs: int) -> bool:
    low, high = _RATE[runs]
    return low <= rate <= high


def in_coverage_band(share: float, runs: int) -> bool:
    low, high = _COVERAGE[runs]
    return low <= share <= high


def in_power_band(share: float, runs: int) -> bool:
    low, high = _POWER[runs]
    return low <= share <= high


def under_cap(rate: float, runs: int) -> bool:
    """Sequential and family-wise rates: never above nominal, but for simulation error."""
    return rate <= _CAP[runs]


def at_least(share: float, gate: float, runs: int) -> bool:
    """A one-sided gate of the table, widened by its own binomial error."""
    return share >= gate - _EXTREME * math.sqrt(gate * (1 - gate) / runs)


def at_most(share: float, gate: float, runs: int) -> bool:
    return share <= gate + _EXTREME * math.sqrt(gate * (1 - gate) / runs)


def shares(runs: int, experiment: Callable[[np.random.Generator], tuple[bool, ...]], *, seed: int = 1) -> list[float]:
    """Run an experiment many times; return how often each of its answers was yes."""
    random = np.random.default_rng(seed)
    return np.mean([experiment(random) for _ in range(runs)], axis=0).tolist()


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
