"""Looking early: planned looks and always-valid evidence keep the level; a t-test at each look does not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from aikit.stats.anytime import BURN_IN, confidence_sequence, log_mcnemar_evidence, sequence_half_width
from aikit.stats.sequential import group_bounds, group_estimate
from tests.stats.simulations.bands import RUNS, in_coverage_band, shares, under_cap

BATCH = 1000


def running(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample sizes, means and standard deviations after each sample, per run."""
    n = np.arange(1, values.shape[1] + 1)
    mean = values.cumsum(axis=1) / n
    square = (values**2).cumsum(axis=1)
    return n, mean, np.sqrt(np.maximum(square - n * mean**2, 0) / np.maximum(n - 1, 1))


@RUNS
def test_the_confidence_sequence_may_be_looked_at_after_every_sample(runs: int):
    crossed = naive = 0
    for batch in range(runs // BATCH):
        n, mean, sd = running(np.random.default_rng(batch).normal(size=(BATCH, 1000)))
        late = n >= BURN_IN
        half = sequence_half_width(n[late], sd[:, late], planned=1000)
        crossed += int((np.abs(mean[:, late]) > half).any(axis=1).sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(mean[:, 4:]) * np.sqrt(n[4:]) / sd[:, 4:]
        naive += int((t > -special.stdtrit(n[4:] - 1, 0.025)).any(axis=1).sum())
    assert under_cap(crossed / runs, runs)
    assert naive / runs > 0.3


@RUNS
def test_e_mcnemar_is_valid_after_every_sample_from_the_first(runs: int):
    crossed = naive = 0
    for batch in range(runs // BATCH):
        drawn = np.random.default_rng(batch).choice([1, -1, 0], size=(BATCH, 1000), p=[0.1, 0.1, 0.8])
        wins, losses = (drawn == 1).cumsum(axis=1), (drawn == -1).cumsum(axis=1)
        crossed += int((log_mcnemar_evidence(wins, losses) >= math.log(20)).any(axis=1).sum())
        discordant = np.maximum(wins + losses, 1)
        late = discordant > 10
        z = np.where(late, np.abs(wins - losses) / np.sqrt(discordant), 0)
        naive += int((z > 1.96).any(axis=1).sum())
    assert under_cap(crossed / runs, runs)
    assert naive / runs > 0.2


@RUNS
@pytest.mark.parametrize("looks", [5, 10])
def test_planned_looks_keep_the_level(runs: int, looks: int):
    bounds = np.array(group_bounds(looks).z)
    crossed = naive = 0
    for batch in range(runs // BATCH):
        n, mean, sd = running(np.random.default_rng(10 + batch).normal(size=(BATCH, 300)))
        at = np.arange(1, looks + 1) * (300 // looks) - 1
        t = np.abs(mean[:, at]) * np.sqrt(n[at]) / sd[:, at]
        p = 2 * special.stdtr(n[at] - 1, -t)
        crossed += int((-special.ndtri(p / 2) >= bounds).any(axis=1).sum())
        naive += int((p < 0.05).any(axis=1).sum())
    assert under_cap(crossed / runs, runs)
    assert naive / runs > 0.11


@RUNS
def test_the_estimate_after_an_early_stop_is_corrected_and_its_interval_covers(runs: int):
    bounds, drift = group_bounds(3), 2.8
    shares_seen = np.array(bounds.information)

    def experiment(random: np.random.Generator) -> tuple[float, ...]:
        steps = random.normal(drift * np.diff(shares_seen, prepend=0), np.sqrt(np.diff(shares_seen, prepend=0)))
        z = steps.cumsum() / np.sqrt(shares_seen)
        look = int(np.argmax(np.abs(z) >= bounds.z)) if (np.abs(z) >= bounds.z).any() else 2
        found = group_estimate(bounds, look=look, z=float(z[look]))
        raw = z[look] / math.sqrt(shares_seen[look])
        fixed = abs(raw - drift) <= 1.96 / math.sqrt(shares_seen[look])
        return found.low <= drift <= found.high, found.estimate <= drift, raw / drift, fixed

    few = 200 if runs == 1000 else 1000  # each takes a few root findings
    covers, below, raw, fixed = shares(few, experiment)
    assert covers >= 0.95 - 3.3 * math.sqrt(0.05 * 0.95 / few)
    assert abs(below - 0.5) <= 3.3 * math.sqrt(0.25 / few)
    assert raw > 1.03  # the winner's curse
    assert fixed <= 0.97


@RUNS
def test_the_sequence_covers_the_truth_at_all_looks_together(runs: int):
    covered = 0
    for batch in range(runs // BATCH):
        values = 0.3 + np.random.default_rng(20 + batch).normal(size=(BATCH, 500))
        n, mean, sd = running(values)
        late = n >= BURN_IN
        half = sequence_half_width(n[late], sd[:, late], planned=500)
        covered += int((np.abs(mean[:, late] - 0.3) <= half).all(axis=1).sum())
    assert 1 - covered / runs <= 0.073
    assert in_coverage_band(covered / runs, runs) or covered / runs > 0.95


@RUNS
def test_heavy_tails_are_logged_or_warned_of_before_anything_is_claimed(runs: int):
    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        values = random.lognormal(0, 1.5, 1000)
        raw, logs = values - math.exp(1.125), np.log(values)
        silent = claimed = logged = False
        for n in range(100, 1001, 100):
            found = confidence_sequence(raw[:n], planned=1000)
            wrong = found.low > 0 or found.high < 0
            claimed |= wrong
            silent |= wrong and not found.warnings
            found = confidence_sequence(logs[:n], planned=1000)
            logged |= found.low > 0 or found.high < 0
        return silent, logged, claimed

    silent, logged, claimed = shares(runs, experiment)
    assert under_cap(silent, runs)
    assert under_cap(logged, runs)
    assert not under_cap(claimed, runs)
