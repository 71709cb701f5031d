"""Pass/fail: the false positives, power and coverage that the defaults have, and that the usual shortcuts have not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from aikit.stats.clustered import clustered_mean, welch
from aikit.stats.equivalence import noninferior
from aikit.stats.paired import repeated_difference
from aikit.stats.proportions import mcnemar, newcombe, share_test, tango
from tests.stats.simulations.bands import (
    RUNS,
    at_least,
    at_most,
    in_coverage_band,
    in_rate_band,
    logistic,
    shares,
)  # fmt: skip


def shift_for(points: float, spread: float) -> float:
    """The shift in logits that moves the pass rate by so many points when inputs differ in difficulty."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    base = float(weights @ logistic(spread * nodes))
    return optimize.brentq(lambda d: float(weights @ logistic(spread * nodes + d)) - base - points, 0, 10)


def pairs(random: np.random.Generator, runs: int, n: int, *, shift: float) -> np.ndarray:
    """Counts of (both, a only, b only, neither) per run."""
    difficulty = random.normal(0, 2, (runs, n))
    a = random.random((runs, n)) < logistic(difficulty)
    b = random.random((runs, n)) < logistic(difficulty + shift)
    return np.stack([(a & b).sum(1), (a & ~b).sum(1), (b & ~a).sum(1), (~a & ~b).sum(1)], axis=1)


def rates(tables: np.ndarray) -> tuple[float, float]:
    """How often mid-p, and the unpaired z, finds a difference."""
    n = int(tables[0].sum())
    found = naive = 0
    for both, a_only, b_only, neither in tables.tolist():
        found += mcnemar(both, a_only, b_only, neither).p < 0.05
        naive += share_test(both + a_only, n, both + b_only, n).p < 0.05
    return found / len(tables), naive / len(tables)


@RUNS
def test_paired_pass_fail_keeps_its_level_and_its_power_where_the_unpaired_z_loses_both(runs: int):
    random = np.random.default_rng(1)
    rate, naive_rate = rates(pairs(random, runs, 200, shift=0.0))
    power, naive_power = rates(pairs(random, runs, 200, shift=shift_for(0.10, 2.0)))
    assert in_rate_band(rate, runs)
    assert at_least(power, 0.73, runs)
    assert not in_rate_band(naive_rate, runs)
    assert naive_power < 0.73


@RUNS
def test_epochs_are_averaged_within_samples_because_pooled_calls_are_not_independent(runs: int):
    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        difficulty, own = random.normal(0, 1, (50, 1)), random.normal(0, 1.5 / np.sqrt(2), (2, 50, 1))
        a, b = (random.random((50, 10)) < logistic(difficulty + one) for one in own)
        pooled = share_test(int(a.sum()), 500, int(b.sum()), 500)
        return repeated_difference(a, b).p < 0.05, pooled.p < 0.05

    rate, naive = shares(runs, experiment)
    assert in_rate_band(rate, runs)
    assert not in_rate_band(naive, runs)
    assert naive > 0.08


@RUNS
def test_different_samples_with_epochs_are_compared_by_sample_means(runs: int):
    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        a, b = (random.random((50, 10)) < logistic(random.normal(0, 1.5, (50, 1))) for _ in range(2))
        pooled = share_test(int(a.sum()), 500, int(b.sum()), 500)
        found = welch(clustered_mean(a.mean(axis=1)), clustered_mean(b.mean(axis=1)))
        return found.p < 0.05, pooled.p < 0.05

    rate, naive = shares(runs, experiment)
    assert in_rate_band(rate, runs)
    assert naive > 0.2


@RUNS
@pytest.mark.parametrize(("n", "b_only", "a_only"), [(30, 0.05, 0.02), (50, 0.04, 0.01), (200, 0.02, 0.005)])
def test_tangos_interval_covers_with_few_discordant_pairs_where_walds_does_not(runs, n, b_only, a_only):
    random = np.random.default_rng(2)
    drawn = random.multinomial(n, [a_only, b_only, 1 - a_only - b_only], size=runs)
    tables, times = np.unique(drawn, axis=0, return_counts=True)
    truth, covered, naive = b_only - a_only, 0, 0
    for (a, b, ties), often in zip(tables.tolist(), times.tolist(), strict=True):
        interval = tango(ties, a, b, 0)
        covered += often * (interval.low <= truth <= interval.high)
        estimate = (b - a) / n
        half = 1.96 * np.sqrt((a + b - (b - a) ** 2 / n) / n**2)
        naive += often * (abs(estimate - truth) <= half)
    assert at_least(covered / runs, 0.935, runs)
    assert naive / runs < 0.935


@RUNS
def test_newcombes_interval_covers_for_different_samples(runs: int):
    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        interval = newcombe(int(random.binomial(60, 0.7)), 60, int(random.binomial(45, 0.85)), 45)
        return (interval.low <= 0.15 <= interval.high,)

    assert in_coverage_band(shares(runs, experiment)[0], runs)


@RUNS
def test_noninferiority_at_the_margin_errs_as_often_as_it_says_and_a_missing_difference_proves_nothing(runs: int):
    random = np.random.default_rng(3)
    drawn = random.multinomial(300, [0.10, 0.05, 0.85], size=runs)
    accepted = naive = 0
    for a_only, b_only, ties in drawn.tolist():
        accepted += noninferior(tango(ties, a_only, b_only, 0, alpha=0.10), 0.05)
        naive += mcnemar(ties, a_only, b_only, 0).p > 0.05
    assert in_rate_band(accepted / runs, runs)
    assert naive / runs > 0.2


@RUNS
def test_failures_are_outcomes_because_dropping_refusals_makes_an_equal_prompt_better(runs: int):
    random = np.random.default_rng(4)
    better = naive = 0
    for _ in range(runs):
        difficulty = random.normal(0, 2, 1000)
        hard = difficulty < np.quantile(difficulty, 0.11)
        a, b = (random.random(1000) < logistic(difficulty + 1) for _ in range(2))
        answered, b = ~hard, b & ~hard
        both, a_only, b_only = int((a & b).sum()), int((a & ~b).sum()), int((b & ~a).sum())
        found = mcnemar(both, a_only, b_only, 1000 - both - a_only - b_only)
        better += b_only > a_only and found.p < 0.05
        dropped = share_test(int(a.sum()), 1000, int(b[answered].sum()), int(answered.sum()))
        naive += b[answered].mean() > a.mean() and dropped.p < 0.05
    assert at_most(better / runs, 0.03, runs)
    assert naive / runs > 0.3
