"""Ratios: geometric means, ratios of sums, Fieller."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from aikit.errors import DataError
from aikit.stats import fieller, geometric_ratio, per_success, per_success_unpaired, ratio_of_means


def arms(n=60, seed=0):
    random = np.random.default_rng(seed)
    return random.lognormal(0, 0.5, n), random.random(n) < 0.7, random.lognormal(-0.2, 0.5, n), random.random(n) < 0.8


def test_the_geometric_ratio_is_the_t_test_of_logs():
    a, _, b, _ = arms()
    found, scipy = geometric_ratio(a, b), stats.ttest_rel(np.log(b), np.log(a))
    low, high = np.exp(scipy.confidence_interval())
    assert (found.estimate, found.p, found.low, found.high) == pytest.approx(
        (np.exp(np.log(b / a).mean()), scipy.pvalue, low, high)
    )
    unpaired = geometric_ratio(a, b[:40], paired=False)
    assert unpaired.p == pytest.approx(stats.ttest_ind(np.log(b[:40]), np.log(a), equal_var=False).pvalue)
    with pytest.raises(DataError):
        geometric_ratio([0.0, 1], [1, 1])


def test_cost_per_success_follows_its_influences():
    a, pa, b, pb = arms()
    found = per_success(a, pa, b, pb)
    psi = b / b.mean() - pb / pb.mean() - a / a.mean() + pa / pa.mean()
    se = psi.std(ddof=1) / math.sqrt(60)
    assert found.estimate == pytest.approx((b.sum() / pb.sum()) / (a.sum() / pa.sum()))
    assert found.details["se_log_delta"] == pytest.approx(se)
    half = stats.t.ppf(0.975, 59) * se
    assert (found.low, found.high) == pytest.approx(tuple(found.estimate * np.exp([-half, half])))


def test_the_jackknife_agrees_with_the_linearised_error():
    a, pa, b, pb = arms(80, seed=1)

    def log_ratio(keep):
        return math.log(b[keep].sum() / pb[keep].sum() / (a[keep].sum() / pa[keep].sum()))

    left_out = np.array([log_ratio(np.arange(80) != i) for i in range(80)])
    jackknife = math.sqrt(79 / 80 * ((left_out - left_out.mean()) ** 2).sum())
    assert per_success(a, pa, b, pb).se == pytest.approx(jackknife, rel=0.05)
    whole = per_success(a, pa, b, pb, cluster=np.arange(80) // 4)
    assert whole.clusters == 20 and whole.df < 20


def test_fewer_than_ten_successes_are_resampled():
    a, _, b, _ = arms()
    few = np.arange(60) < 6
    found = per_success(a, few, b, few[::-1])
    assert "bootstrap" in found.method and found.warnings and found.low < found.estimate < found.high
    rare = per_success(a, np.arange(60) < 1, b, few)
    assert rare.low == 0.0 and math.isfinite(rare.high)
    assert per_success(a, few, b, np.arange(60) < 1).high == math.inf


def test_no_success_is_infinite_zero_or_nothing_but_never_nan():
    a, pa, b, _ = arms()
    none = np.zeros(60)
    assert per_success(a, pa, b, none).estimate == math.inf
    assert per_success(a, none, b, pa).estimate == 0.0
    assert per_success(a, none, b, none).estimate is None
    assert per_success([], [], [], []).estimate is None
    assert per_success_unpaired(a, pa, b, none).estimate == math.inf


def test_unpaired_ratios_mirror_and_agree_with_the_bootstrap():
    a, pa, b, pb = arms(300, seed=2)
    found, mirrored = per_success_unpaired(a, pa, b, pb), per_success_unpaired(b, pb, a, pa)
    assert (found.low, found.high) == pytest.approx((1 / mirrored.high, 1 / mirrored.low))
    random = np.random.default_rng(3)
    i, j = (random.integers(0, 300, (4000, 300)) for _ in range(2))
    drawn = np.log(b[j].sum(1) / pb[j].sum(1)) - np.log(a[i].sum(1) / pa[i].sum(1))
    assert found.se == pytest.approx(drawn.std(), rel=0.06)


def test_ratio_of_means_allows_zeros():
    a, _, b, _ = arms()
    a[:5] = 0
    found = ratio_of_means(a, b)
    assert found.estimate == pytest.approx(b.mean() / a.mean()) and found.low < found.estimate < found.high


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_fiellers_limits_are_where_the_paired_t_test_turns(alpha):
    a, _, b, _ = arms(25, seed=4)

    def gap(r):
        return stats.ttest_1samp(b - r * a, 0).pvalue - alpha

    found = fieller(a, b, alpha=alpha)
    assert found.low == pytest.approx(optimize.brentq(gap, 0.01, found.estimate), abs=1e-8)
    assert found.high == pytest.approx(optimize.brentq(gap, found.estimate, 10), abs=1e-8)


def test_fieller_is_unbounded_where_the_denominator_allows_it():
    found = fieller([1.0, -1.0, 0.5, -0.4], [1.0, 2.0, 1.5, 1.2])
    assert (found.low, found.high) == (-math.inf, math.inf) and "unbounded" in found.warnings[0]
    assert fieller([1.0, 1.2, 0.9], [2.0, 2.2], paired=False).low < 2
    with pytest.raises(DataError):
        fieller([1.0], [1.0])
