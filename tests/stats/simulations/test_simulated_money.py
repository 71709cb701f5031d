"""Times and money: logs and ratios of sums keep level and coverage where raw means and filtered rows mislead."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from aikit.stats.clustered import clustered_mean
from aikit.stats.quantiles import quantile_interval, quantile_ratios
from aikit.stats.ratios import fieller, geometric_ratio, per_success, per_success_unpaired, ratio_of_means
from tests.stats.simulations.bands import RUNS, at_least, in_coverage_band, in_rate_band, logistic, shares


def latencies(random: np.random.Generator, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """100 samples answered twice: log-normal noise, and one call in fifty is stuck for ten times as long."""
    difficulty = random.normal(0, 0.5, 100)
    a, b = (np.exp(difficulty + random.normal(0, 0.8, 100)) for _ in range(2))
    stuck = random.random((2, 100)) < 0.02
    return a * np.where(stuck[0], 10, 1), ratio * b * np.where(stuck[1], 10, 1)


@RUNS
def test_latency_is_compared_on_the_log_scale(runs: int):
    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        same, faster = latencies(random, 1.0), latencies(random, 0.85)
        found, null = geometric_ratio(*faster), geometric_ratio(*same)
        raw = clustered_mean(faster[1] - faster[0])
        return null.p < 0.05, found.p < 0.05, found.low <= 0.85 <= found.high, raw.p < 0.05

    rate, power, coverage, raw_power = shares(runs, experiment)
    assert in_rate_band(rate, runs)
    assert at_least(power, 0.22, runs)
    assert in_coverage_band(coverage, runs)
    assert raw_power < 0.17


NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def spent_per_success(level: float, skill: float) -> float:
    """Expected dollars over expected successes: hard inputs cost more and fail more often."""
    return float(WEIGHTS @ np.exp(level + 0.6 * NODES + 0.045)) / float(WEIGHTS @ logistic(skill - 1.5 * NODES))


def trial(
    random: np.random.Generator, level: float, skill: float, difficulty: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    cost = np.exp(level + 0.6 * difficulty + random.normal(0, 0.3, difficulty.size))
    return [cost, (random.random(difficulty.size) < logistic(skill - 1.5 * difficulty)).astype(float)]


@RUNS
def test_cost_per_success_is_a_ratio_of_sums_and_not_a_mean_over_successes(runs: int):
    truth = spent_per_success(0.0, 0.0) / spent_per_success(0.0, 1.0)

    def experiment(random: np.random.Generator) -> tuple[float, ...]:
        difficulty = random.normal(size=80)
        a, b = trial(random, 0.0, 1.0, difficulty), trial(random, 0.0, 0.0, difficulty)
        found = per_success(*a, *b)
        filtered = math.log(b[0][b[1] == 1].mean() / a[0][a[1] == 1].mean())
        return found.low <= truth <= found.high, filtered - math.log(truth)

    coverage, bias = shares(runs, experiment)
    assert in_coverage_band(coverage, runs)
    assert abs(bias) > 0.15


@RUNS
def test_ratios_cover_for_different_samples_and_for_means(runs: int):
    truth = spent_per_success(0.1, 0.5) / spent_per_success(0.0, 1.0)

    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        hard = random.normal(size=(2, 120))
        a, b = trial(random, 0.0, 1.0, hard[0]), trial(random, 0.1, 0.5, hard[1])
        unpaired = per_success_unpaired(*a, *b)
        paired = trial(random, 0.1, 0.5, hard[0])[0]
        means, exact = ratio_of_means(a[0], paired), fieller(a[0], paired)
        return tuple(
            one.low <= value <= one.high
            for one, value in ((unpaired, truth), (means, math.exp(0.1)), (exact, math.exp(0.1)))
        )

    assert all(in_coverage_band(share, runs) for share in shares(runs, experiment))


@RUNS
def test_quantiles_cover_by_order_statistics_and_their_ratios_by_resampled_pairs(runs: int):
    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        a, b = latencies(random, 0.85)
        median = quantile_interval(a, 0.5)
        ratio = quantile_ratios(a, b, (0.5,), draws=200, seed=int(random.integers(2**31)))[0]
        return median.low <= 1.0 * TRUE_MEDIAN <= median.high, ratio.low <= 0.85 <= ratio.high

    exact, resampled = shares(max(runs // 2, 500), experiment)
    assert 0.92 <= exact <= 0.99
    assert 0.915 <= resampled <= 0.985


def _median() -> float:
    """The median of a latency: 2 % of the calls are ten times as long."""
    from scipy import optimize, special

    spread = math.hypot(0.5, 0.8)
    below: Callable[[float], float] = lambda x: float(special.ndtr(math.log(x) / spread))  # noqa: E731
    return optimize.brentq(lambda x: 0.98 * below(x) + 0.02 * below(x / 10) - 0.5, 0.5, 2)


TRUE_MEDIAN = _median()
