"""Planned power .80 comes out .80, in every stopping mode; a plan blind to the design falls short."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aikit.stats.anytime import BURN_IN, sequence_half_width
from aikit.stats.clustered import clustered_mean
from aikit.stats.paired import repeated_difference
from aikit.stats.planning import Pilot, pilot, sample_size
from aikit.stats.proportions import mcnemar
from aikit.stats.sequential import group_bounds
from tests.stats.simulations.bands import RUNS, in_power_band, shares


@RUNS
@pytest.mark.parametrize(("effect", "discordance"), [(0.10, 0.2), (0.15, 0.3)])
def test_planned_power_of_paired_pass_fail(runs: int, effect: float, discordance: float):
    n = sample_size(effect, discordance=discordance).samples
    better, worse = (discordance + effect) / 2, (discordance - effect) / 2
    drawn = np.random.default_rng(1).multinomial(n, [worse, better, 1 - discordance], size=runs)
    found = np.mean([mcnemar(ties, a, b, 0).p < 0.05 for a, b, ties in drawn.tolist()])
    assert in_power_band(float(found), runs)


@RUNS
def test_planned_power_of_scores_with_epochs(runs: int):
    plan = sample_size(0.3, spread=Pilot(0.5, 0.8, 0.6), epochs=2)
    n = plan.samples

    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        own = random.normal(size=(n, 1))
        a = own + random.normal(0, math.sqrt(0.8), (n, 2))
        b = own + random.normal(0.3, math.sqrt(0.5), (n, 1)) + random.normal(0, math.sqrt(0.6), (n, 2))
        return (repeated_difference(a, b).p < 0.05,)

    assert in_power_band(shares(runs, experiment)[0], runs)


@RUNS
def test_planned_power_with_clusters_and_what_a_plan_without_them_gets(runs: int):
    spread = Pilot(1.0, icc=0.2, cluster_size=8)
    sizes = [sample_size(0.4, spread=one).samples for one in (spread, Pilot(1.0))]

    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        found: list[bool] = []
        for n in sizes:
            codes = np.arange(8 * math.ceil(n / 8)) // 8
            own = random.normal(0.4, math.sqrt(0.2), codes[-1] + 1)[codes]
            values = own + random.normal(0, math.sqrt(0.8), codes.size)
            found.append(clustered_mean(values, codes).p < 0.05)
        return tuple(found)

    power, blind = shares(runs, experiment)
    assert 0.757 <= power <= 0.87  # whole clusters: up to seven samples more than planned
    assert blind < 0.70


@RUNS
def test_planned_power_with_looks_and_the_samples_they_save(runs: int):
    effect, looks = 0.2, 5
    plan = sample_size(effect, spread=Pilot(1.0), stopping="group", looks=looks)
    bounds = np.array(group_bounds(looks).z)
    at = np.ceil(plan.samples * np.arange(1, looks + 1) / looks).astype(int)

    def experiment(random: np.random.Generator) -> tuple[float, ...]:
        values = effect + random.normal(size=plan.samples)
        z = np.array([values[:n].mean() / values[:n].std(ddof=1) * math.sqrt(n) for n in at])
        crossed = np.abs(z) >= bounds
        return bool(crossed.any()), at[int(np.argmax(crossed))] if crossed.any() else plan.samples

    power, samples = shares(runs, experiment)
    assert in_power_band(power, runs)
    assert abs(samples / plan.expected_samples - 1) < 0.04
    assert samples < 0.88 * sample_size(effect, spread=Pilot(1.0)).samples


@RUNS
def test_planned_power_at_any_time(runs: int):
    plan = sample_size(0.25, spread=Pilot(1.0), stopping="anytime")
    found = 0
    for batch in range(runs // 1000):
        values = 0.25 + np.random.default_rng(batch).normal(size=(1000, plan.samples))
        n = np.arange(1, plan.samples + 1)
        mean = values.cumsum(axis=1) / n
        sd = np.sqrt(np.maximum((values**2).cumsum(axis=1) - n * mean**2, 0) / np.maximum(n - 1, 1))
        late = n >= BURN_IN
        half = sequence_half_width(n[late], sd[:, late], planned=plan.samples)
        found += int((mean[:, late] > half).any(axis=1).sum())
    assert 0.757 <= found / runs <= 0.87  # looked at after every sample, a little more often than the plan counts on


def test_a_pilot_recovers_the_spread_that_made_it():
    random = np.random.default_rng(1)
    own = random.normal(size=(4000, 1))
    a = own + random.normal(0, 0.8, (4000, 3))
    b = own + random.normal(0, 0.5, (4000, 1)) + random.normal(0, 0.6, (4000, 3))
    found = pilot(a, b, np.arange(4000) // 4)
    assert found.omega2 == pytest.approx(0.25, abs=0.03)
    assert found.sigma2_a == pytest.approx(0.64, abs=0.03)
    assert found.sigma2_b == pytest.approx(0.36, abs=0.03)
    assert found.icc == pytest.approx(0.0, abs=0.04)
    assert found.cluster_size == 4
