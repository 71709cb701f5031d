"""Judges and people: a biased judge misleads, and thirty or more human labels put it right."""

from __future__ import annotations

import numpy as np

from aikit.stats.clustered import clustered_mean
from aikit.stats.judge import judged_difference, prediction_powered_mean
from aikit.stats.preference import abilities, preferred
from aikit.stats.ranks import brunner_munzel, net_wins
from tests.stats.simulations.bands import RUNS, at_least, in_coverage_band, in_rate_band, shares


@RUNS
def test_a_biased_judge_is_corrected_by_human_labels(runs: int):
    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        truth = (random.random(500) < 0.7).astype(float)
        judge = np.where(random.random(500) < 0.85, truth, 1.0)  # what it does not understand, it passes
        found = prediction_powered_mean(truth[:60], judge[:60], judge[60:])
        papers = prediction_powered_mean(truth[:60], judge[:60], judge[60:], normal=True)
        naive = clustered_mean(judge)
        return tuple(one.low <= 0.7 <= one.high for one in (found, papers, naive))

    coverage, papers, naive = shares(runs, experiment)
    assert in_coverage_band(coverage, runs) or coverage > 0.95
    assert papers < 0.925  # three errors of the judge among 60 labels are too few for the large-sample interval
    assert naive < 0.6


@RUNS
def test_a_careful_judge_of_two_prompts_is_covered_though_it_rarely_errs(runs: int):
    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        own = random.random(400) < 0.7
        a, b = (np.where(random.random(400) < 0.8, own, random.random(400) < 0.5).astype(float) for _ in range(2))
        kind = np.where((b == 0) & (random.random(400) < 0.15), 1.0, b)  # it passes some of what B fails
        labelled = np.where(np.arange(400) < 40, 1.0, np.nan)
        found = judged_difference(a, kind, a * labelled, b * labelled)
        naive = clustered_mean(kind - a)
        return found.low <= 0 <= found.high, naive.p < 0.05

    coverage, naive = shares(runs, experiment)
    assert at_least(coverage, 0.925, runs)
    assert naive > 0.2


@RUNS
def test_a_judge_that_leans_to_one_prompt_is_corrected_on_the_paired_difference(runs: int):
    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        quality = random.normal(size=400)
        a, b = (quality + random.normal(0, 0.7, 400) for _ in range(2))
        judge_a, judge_b = a + random.normal(0, 0.5, 400), b + 0.2 + random.normal(0, 0.5, 400)
        human_a, human_b = np.full(400, np.nan), np.full(400, np.nan)
        human_a[:60], human_b[:60] = a[:60], b[:60]
        found = judged_difference(judge_a, judge_b, human_a, human_b)
        return found.p < 0.05, found.low <= 0 <= found.high, clustered_mean(judge_b - judge_a).p < 0.05

    rate, coverage, naive = shares(runs, experiment)
    assert in_rate_band(rate, runs)
    assert in_coverage_band(coverage, runs)
    assert naive > 0.6


@RUNS
def test_ordinals_and_preferences_cover(runs: int):
    cuts = np.array([-1.2, -0.4, 0.4, 1.2])
    random = np.random.default_rng(0)
    big = random.normal(size=1_000_000)
    high, low = (np.digitize(big + random.normal(size=1_000_000) + shift, cuts) for shift in (0.5, 0.0))
    net = float(np.sign(high - low).mean())
    shuffled = random.permutation(low)
    superior = float((np.sign(high - shuffled).mean() + 1) / 2)

    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        own = random.normal(size=60)
        a, b = (np.digitize(own + random.normal(size=60) + shift, cuts) for shift in (0.0, 0.5))
        wins, lean = net_wins(a, b), preferred((np.sign(b - a) + 1) / 2)
        other = np.digitize(random.normal(0, np.sqrt(2), 45), cuts)
        superiority = brunner_munzel(other, b)
        return (
            wins.low <= net <= wins.high,
            lean.low <= net / 2 <= lean.high,
            superiority.low <= superior <= superiority.high,
        )

    assert all(in_coverage_band(share, runs) for share in shares(runs, experiment))


@RUNS
def test_bradley_terry_errors_are_robust_to_several_raters_per_sample(runs: int):
    names = np.array(["a", "b", "c"])

    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        # 60 samples, three raters each who mostly agree with one another about the sample.
        sample = np.repeat(np.arange(60), 3)
        pair = np.array([(0, 1), (0, 2), (1, 2)])[random.integers(0, 3, 60)][sample]
        taste = random.normal(0, 2, 60)[sample]
        outcome = (random.random(180) < 1 / (1 + np.exp(-taste))).astype(float)
        first, second = names[pair[:, 0]].tolist(), names[pair[:, 1]].tolist()
        robust = abilities(first, second, outcome, sample.tolist(), players=names.tolist())
        blind = abilities(first, second, outcome, players=names.tolist())
        return robust.low[1] <= 0 <= robust.high[1], blind.low[1] <= 0 <= blind.high[1]

    few = max(runs // 2, 500)
    coverage, naive = shares(few, experiment)
    assert 0.915 <= coverage <= 0.975
    assert naive < 0.90
