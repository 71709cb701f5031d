"""Several variants: the family's false positives stay at nominal, the leader's rivals are dropped only when worse."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from aikit.stats.clustered import clustered_mean
from aikit.stats.elimination import surviving_variants
from aikit.stats.multiple import adjust_p, max_t
from aikit.stats.reference_groups import dunnett
from tests.stats.simulations.bands import RUNS, in_coverage_band, in_rate_band, shares, under_cap


@RUNS
def test_five_variants_against_a_control_are_tested_together(runs: int):
    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        scores = random.normal(size=(40, 6)) + random.normal(size=(40, 1))
        differences = scores[:, 1:] - scores[:, :1]
        found = max_t(differences, draws=499, seed=int(random.integers(2**31)))
        ps = [clustered_mean(one).p for one in differences.T]
        holm = [p for p in adjust_p(ps) if p is not None]
        simultaneous = all(abs(e) <= found.critical * s for e, s in zip(found.estimate, found.se, strict=True))
        return min(found.p_adjusted) < 0.05, simultaneous, min(holm) < 0.05, min(ps) < 0.05

    together, simultaneous, holm, naive = shares(runs, experiment)
    assert in_rate_band(together, runs)
    assert in_coverage_band(simultaneous, runs)
    assert under_cap(holm, runs)
    assert not under_cap(naive, runs)


@RUNS
def test_all_fifteen_pairs_of_six_variants_are_adjusted(runs: int):
    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        scores = random.normal(size=(40, 6))
        ps = [clustered_mean(scores[:, j] - scores[:, i]).p for i, j in combinations(range(6), 2)]
        return min(one for one in adjust_p(ps) if one is not None) < 0.05, min(ps) < 0.05

    holm, naive = shares(runs, experiment)
    assert under_cap(holm, runs)
    assert naive > 0.25


@RUNS
def test_dunnetts_intervals_hold_together(runs: int):
    critical: dict[int, float] = {}

    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        groups = [random.normal(size=n) for n in (15, 10, 12)]
        if not critical:  # the bound depends on the sizes alone: find it once
            found = dunnett(*groups)
            critical[0] = (found.high[0] - found.difference[0]) / (found.difference[0] / found.t[0])
        sd = np.sqrt(sum(((one - one.mean()) ** 2).sum() for one in groups) / (37 - 3))
        gaps = [(one.mean() - groups[0].mean()) / sd / np.sqrt(1 / one.size + 1 / 15) for one in groups[1:]]
        return all(abs(gap) <= critical[0] for gap in gaps), all(abs(gap) <= 2.03 for gap in gaps)

    together, naive = shares(runs, experiment)
    assert in_coverage_band(together, runs)
    assert not in_coverage_band(naive, runs)


@RUNS
def test_elimination_keeps_the_best_however_often_it_looks_and_spares_calls(runs: int):
    names, looks = ("a", "b", "c", "d"), range(50, 301, 50)

    def experiment(random: np.random.Generator) -> tuple[float, ...]:
        scores = random.normal(size=(300, 4)) + random.normal(size=(300, 1)) + [0.0, 0.0, 0.0, -0.6]
        active, spent, naive_lost = set(names), 0, False
        for n in looks:
            seen = scores[:n].copy()
            seen[n - 50 :, [k for k, name in enumerate(names) if name not in active]] = np.nan
            spent += 50 * len(active)
            active &= set(surviving_variants(seen, names, planned=300).active)
            naive_lost |= any(clustered_mean(scores[:n, k] - scores[:n, 0]).p < 0.05 for k in (1, 2))
        return "a" not in active, "d" not in active, spent / 1200, naive_lost

    lost, dropped, spent, naive = shares(max(runs // 4, 250), experiment)
    assert under_cap(lost, runs)
    assert dropped > 0.9
    assert spent < 0.93
    assert naive > 0.1
