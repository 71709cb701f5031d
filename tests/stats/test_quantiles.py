"""Quantiles and resampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from aikit.errors import DataError
from aikit.stats import (
    bootstrap_sums,
    clustered_mean,
    harrell_davis,
    quantile_interval,
    quantile_ratios,
    studentised_bootstrap,
)  # fmt: skip
from aikit.stats.bootstrap import poisson_weights


@pytest.mark.parametrize("n", [3, 8, 30, 200])
@pytest.mark.parametrize("q", [0.1, 0.5, 0.9, 0.95])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_order_statistics_give_scipys_interval(n, q, alpha):
    values = np.random.default_rng(n).lognormal(size=n)
    found = quantile_interval(values, q, alpha=alpha)
    theirs = stats.quantile_test(values, p=q).confidence_interval(1 - alpha)
    low, high = (
        -math.inf if math.isnan(theirs.low) else theirs.low,
        math.inf if math.isnan(theirs.high) else theirs.high,
    )
    assert (found.low, found.high) == (low, high)
    assert found.estimate == pytest.approx(np.quantile(values, q))


def test_harrell_davis_is_scipys():
    values = np.random.default_rng(1).normal(size=31)
    for q in (0.25, 0.5, 0.95):
        assert harrell_davis(values, q) == pytest.approx(float(stats.mstats.hdquantiles(values, prob=[q])[0]))
    with pytest.raises(DataError):
        harrell_davis([], 0.5)


def test_few_and_many_samples_resample_alike():
    random = np.random.default_rng(2)
    few = random.lognormal(size=2_000), random.lognormal(0.1, 1, 2_000)
    weighed = quantile_ratios(*few)
    naive = np.random.default_rng(3).integers(0, 2_000, (800, 2_000))
    for one, q in zip(weighed, (0.5, 0.9, 0.95), strict=True):
        drawn = np.quantile(few[1][naive], q, axis=1) / np.quantile(few[0][naive], q, axis=1)
        assert (one.low, one.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), rel=0.05)
    many = np.tile(few[0], 2)[:2_001], np.tile(few[1], 2)[:2_001]  # one more: the other way of drawing
    for one, other in zip(weighed, quantile_ratios(*many), strict=True):
        assert (one.low, one.high) == pytest.approx((other.low, other.high), rel=0.03)


def test_pairs_and_clusters_stay_together():
    base = np.random.default_rng(4).lognormal(0, 1, 400)
    paired, unpaired = quantile_ratios(base, 1.2 * base), quantile_ratios(base, 1.2 * base, paired=False)
    assert paired[0].high - paired[0].low < 0.2 * (unpaired[0].high - unpaired[0].low)
    noise = np.random.default_rng(5).lognormal(0, 0.5, 40).repeat(10)
    whole, single = (
        quantile_ratios(base, base * noise, cluster=np.arange(400) // 10),
        quantile_ratios(base, base * noise),
    )
    assert whole[0].high - whole[0].low > single[0].high - single[0].low
    assert quantile_ratios([], [])[0].estimate is None


def test_poisson_weights_have_mean_and_variance_one():
    weights = poisson_weights(1_000, 2_000, np.random.default_rng(6)).astype(float)
    assert (weights.mean(), weights.var()) == pytest.approx((1, 1), abs=0.01)


@pytest.mark.parametrize("n", [12, 1_000, 30_000])
def test_resampled_sums_have_the_right_spread_whatever_the_size(n):
    values = np.random.default_rng(7).exponential(size=n)
    sums = bootstrap_sums(np.column_stack([values, np.ones(n)]), draws=3_000, seed=1)
    means = sums[:, 0] / sums[:, 1]
    assert means.std() == pytest.approx(values.std() / math.sqrt(n), rel=0.06)
    assert means.mean() == pytest.approx(values.mean(), abs=4 * values.std() / math.sqrt(n * 3_000) + 1e-3)


def test_pass_fail_patterns_of_a_million_pairs_are_one_multinomial():
    table = np.random.default_rng(8).integers(0, 2, (1_000_000, 2))
    sums = bootstrap_sums(table, draws=10_000)
    assert sums.shape == (10_000, 2) and sums[:, 0].std() == pytest.approx(500, rel=0.05)


def test_whole_clusters_are_drawn():
    values, cluster = np.repeat(np.random.default_rng(9).normal(size=50), 20), np.repeat(np.arange(50), 20)
    sums = bootstrap_sums(values[:, None], cluster=cluster, draws=4_000)
    expected = clustered_mean(values, cluster).se * 1_000
    assert sums.std() == pytest.approx(expected, rel=0.06)


def test_the_studentised_bootstrap_leans_with_the_skew_and_else_agrees_with_t():
    even, skewed = np.random.default_rng(10).normal(0.2, 1, 35), np.random.default_rng(11).exponential(size=30) - 0.7
    t, found = clustered_mean(even), studentised_bootstrap(even)
    assert (found.low, found.high) == pytest.approx((t.low, t.high), abs=0.15)
    assert found.p == pytest.approx(t.p, abs=0.06)
    leaning = studentised_bootstrap(skewed)
    assert leaning.high - leaning.estimate > leaning.estimate - leaning.low
    assert (leaning.p < 0.05) == (leaning.low > 0 or leaning.high < 0)
    assert studentised_bootstrap([1.0]).low is None
