"""Paired differences: t, repeated answers, sign flips."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from aikit.errors import DataError
from aikit.stats import paired_difference, repeated_difference, sign_flip


def brute_force(units):
    sums = [abs(sum(s * u for s, u in zip(signs, units, strict=True))) for signs in product((-1, 1), repeat=len(units))]
    return np.mean(np.array(sums) >= abs(sum(units)) - 1e-9)


def test_the_paired_t_is_scipys():
    random = np.random.default_rng(0)
    a, b = random.normal(size=20), random.normal(0.4, 1, 20)
    found, scipy = paired_difference(a, b), stats.ttest_rel(b, a)
    interval = scipy.confidence_interval(0.95)
    assert (found.p, found.low, found.high) == pytest.approx((scipy.pvalue, interval.low, interval.high))


@pytest.mark.parametrize("units", [[1.0, 2, 3, 4], [1, -1, 2, 2, 0, 0, 3], [0.1, 0.1, -0.2, 0.3], [5.0]])
def test_sign_flips_of_few_samples_are_exact_with_ties_and_zeros(units):
    assert sign_flip(units).p == pytest.approx(brute_force(units))
    assert sign_flip(units, exact=True).p == pytest.approx(brute_force(units))


def test_drawn_flips_agree_with_all_of_them():
    units = np.random.default_rng(1).normal(0.35, 1, 24)
    exact, drawn = sign_flip(units, exact=True), sign_flip(units)
    assert "exact" in exact.method and "10,000 draws" in drawn.method
    assert drawn.p == pytest.approx(exact.p, abs=4 * np.sqrt(exact.p / 10_000))


@pytest.mark.parametrize("n", [3_000, 60_000])
def test_flips_of_many_samples_agree_with_the_t_test(n):
    units = np.random.default_rng(2).exponential(size=n) - 1 + 1.8 / np.sqrt(n)
    assert sign_flip(units).p == pytest.approx(stats.ttest_1samp(units, 0).pvalue, abs=0.012)


def test_a_few_clusters_can_give_no_small_p_and_say_so():
    found = sign_flip([1.0] * 10, cluster=[0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    assert found.p == found.details["minimum"] == 2**-4
    assert found.n == 5


def test_the_order_of_samples_plays_no_part_in_the_draws():
    units = np.random.default_rng(3).normal(0.1, 1, 200)
    assert sign_flip(units).p == sign_flip(units[::-1]).p


def test_nothing_and_zeros():
    assert sign_flip([]).p is None
    assert sign_flip([0.0, 0.0]).p == 1.0
    with pytest.raises(DataError):
        sign_flip(np.ones(41) * np.arange(1, 42), exact=True)


def test_epochs_are_averaged_before_anything_else():
    random = np.random.default_rng(4)
    a, b = random.normal(size=(30, 4)), random.normal(0.2, 1, (30, 3))
    found = repeated_difference(a, b)
    assert found.p == pytest.approx(stats.ttest_rel(b.mean(axis=1), a.mean(axis=1)).pvalue)
    assert found.details["between_item_var"] == pytest.approx(np.var(b.mean(1) - a.mean(1), ddof=1))
    within = (a.var(axis=1, ddof=1) / 4).mean() + (b.var(axis=1, ddof=1) / 3).mean()
    assert found.details["mean_within_var_of_item_diff"] == pytest.approx(within)


def test_missing_epochs_are_allowed_and_missing_samples_are_not():
    a = np.array([[1.0, np.nan], [2.0, 4.0]])
    assert repeated_difference(a, a + 1).estimate == pytest.approx(1.0)
    with pytest.raises(DataError):
        repeated_difference(np.array([[np.nan, np.nan], [1, 2]]), a)
    with pytest.raises(DataError):
        paired_difference([1, 2], [1])
