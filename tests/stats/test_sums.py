"""Partial sums, epochs, missing outcomes, margins: the small nouns."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from aikit.errors import DataError
from aikit.stats import (
    Bins,
    ClusterSums,
    PairSums,
    PassTable,
    Sums,
    clustered_mean,
    equivalent,
    margin,
    missing_bounds,
    noninferior,
    paired_difference,
    paired_shares,
    pass_at_k,
    pass_at_k_difference,
    pass_hat_k,
    tost,
    welch,
    within_variance,
)  # fmt: skip
from aikit.stats.results import Interval

A, B = np.random.default_rng(0).normal(3, 1, (2, 90))
PARTS = [slice(0, 10), slice(10, 55), slice(55, 90)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_parts_merged_in_any_order_give_what_the_whole_gives(order):
    parts = [PARTS[i] for i in order]
    pairs = sum((PairSums.of(A[p], B[p]) for p in parts), PairSums())
    whole = paired_difference(A, B)
    assert (pairs.difference().low, pairs.difference().p) == pytest.approx((whole.low, whole.p))
    left, right = (sum((Sums.of(x[p]) for p in parts), Sums()) for x in (A, B))
    unpaired = welch(clustered_mean(A), clustered_mean(B))
    assert (left.difference(right).p, left.difference(right).df) == pytest.approx((unpaired.p, unpaired.df))
    cluster = np.arange(90) // 7
    clustered = sum((ClusterSums.of((B - A)[p], cluster[p]) for p in parts), ClusterSums())
    expected = clustered_mean(B - A, cluster)
    assert (clustered.mean().low, clustered.mean().df) == pytest.approx((expected.low, expected.df))
    tables = [PassTable(3, 1, 4, 2), PassTable(10, 0, 1, 9), PassTable(5, 5, 5, 5)]
    merged = sum((tables[i] for i in order), PassTable())
    assert merged.difference() == paired_shares(18, 6, 10, 16)
    bins = [Bins.of(A[p], np.linspace(-5, 10, 301)) for p in parts]
    assert (bins[0] + bins[1] + bins[2]).quantile(0.5) == pytest.approx(np.median(A), abs=0.06)


def test_partial_sums_survive_a_dict_and_say_when_they_do_not_fit():
    for one in (Sums.of(A), PairSums.of(A, B), ClusterSums.of([1.0, 2], ["x", "y"]), Bins.of(A, [-9, 0, 9])):
        assert type(one).from_dict(one.to_dict()) == one
    assert Sums().mean().estimate is None and Bins((0, 1), (0,)).quantile(0.5) is None
    with pytest.raises(DataError):
        Bins.of(A, [0, 1]) + Bins.of([0.5], [0, 1])
    with pytest.raises(DataError):
        Bins((0, 1), (1,)) + Bins((0, 2), (1,))
    with pytest.raises(DataError):
        PairSums.of([1, 2], [1])


@pytest.mark.parametrize(("n", "c", "k"), [(10, 3, 5), (5, 0, 2), (5, 5, 5), (7, 6, 3), (200, 17, 100), (4, 1, 4)])
def test_pass_at_k_counts_subsets(n, c, k):
    assert pass_at_k(n, c, k) == pytest.approx(1 - math.comb(n - c, k) / math.comb(n, k), abs=1e-12)
    assert pass_hat_k(n, c, k) == pytest.approx(math.comb(c, k) / math.comb(n, k), abs=1e-12)


def test_pass_at_k_is_compared_by_leaving_samples_out():
    random = np.random.default_rng(1)
    a, b = random.binomial(6, 0.4, 40), random.binomial(6, 0.6, 40)
    found = pass_at_k_difference(a, [6] * 40, b, [6] * 40, 3)
    gaps = np.array([pass_at_k(6, int(y), 3) - pass_at_k(6, int(x), 3) for x, y in zip(a, b, strict=True)])
    assert found.p == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue)  # of a mean, the jackknife is the t-test
    grouped = pass_at_k_difference(a, [6] * 40, b, [6] * 40, 3, np.arange(40) // 5, every=True)
    assert grouped.clusters == 8 and grouped.method.startswith("pass^3")
    with pytest.raises(DataError):
        pass_at_k(3, 4, 1)


def test_the_spread_within_samples_pools_what_has_two_answers():
    table = np.array([[1.0, 3.0, np.nan], [2.0, np.nan, np.nan], [0.0, 3.0, 6.0]])
    assert within_variance(table) == pytest.approx((2 + 18) / 3)
    assert within_variance([[1.0], [2.0]]) is None


def test_missing_outcomes_have_bounds():
    found = missing_bounds(70, 20, 10, 78, 18, 4)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.08, -0.02, 0.12))
    assert found.details["complete_case"] == pytest.approx(78 / 96 - 70 / 90)
    assert missing_bounds(0, 0, 0, 1, 0, 0).estimate is None


def test_margins_are_given_one_way_and_held_by_intervals():
    assert margin(relative=0.2).relative == 0.2 and margin(absolute=1, direction="lower").direction == "lower"
    for bad in ({}, {"relative": 0.1, "absolute": 0.1}, {"absolute": -1}, {"relative": 0.1, "direction": "up"}):
        with pytest.raises(DataError):
            margin(**bad)
    assert noninferior(Interval(-0.04, 0.1), 0.05) and not noninferior(Interval(-0.06, 0.1), 0.05)
    assert noninferior(Interval(-1, 0.04), 0.05, direction="lower")
    assert equivalent(Interval(-0.04, 0.04), 0.05) and not equivalent(Interval(-0.04, 0.06), 0.05)


def test_two_one_sided_tests_agree_with_the_interval():
    plain = paired_difference(A, B)
    for amount in (0.1, 0.3, 0.6):
        found = tost(plain, amount)
        low, high = stats.ttest_rel(B, A).confidence_interval(0.9)
        assert (found.p < 0.05) == (-amount < low and high < amount)
        by_scipy = stats.ttest_1samp(B - A, -amount, alternative="greater").pvalue
        assert found.details["p_lower"] == pytest.approx(by_scipy)
    assert tost(clustered_mean([1.0]), 0.1).p is None
    with pytest.raises(DataError):
        tost(plain, 0)
