"""Rank tests: exact with ties, against enumeration, scipy and R's figures."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from aikit.errors import DataError
from aikit.stats import brunner_munzel, friedman, mann_whitney, net_wins, signed_rank


def enumerated_rank_sum(a, b):
    ranks = stats.rankdata([*a, *b])
    sums = np.array([sum(ranks[list(one)]) for one in combinations(range(len(ranks)), len(b))])
    centre = ranks.mean() * len(b)
    return np.mean(np.abs(sums - centre) >= abs(ranks[len(a) :].sum() - centre) - 1e-9)


@pytest.mark.parametrize(
    ("a", "b"), [([1, 2, 2, 3], [2, 3, 4, 4, 5]), ([1, 1, 1], [1, 1, 2]), ([1.5], [2.5, 3]), ([3, 3, 3], [3, 3])]
)
def test_mann_whitney_counts_all_allocations_of_tied_ranks(a, b):
    assert mann_whitney(a, b).p == pytest.approx(enumerated_rank_sum(a, b))


def test_mann_whitney_without_ties_is_scipys_exact_test():
    random = np.random.default_rng(0)
    a, b = random.normal(size=12), random.normal(0.7, 1, 15)
    scipy = stats.mannwhitneyu(b, a, method="exact")
    assert mann_whitney(a, b).p == pytest.approx(scipy.pvalue)
    assert mann_whitney(a, b).statistic == scipy.statistic


def test_hodges_lehmann_and_its_interval_are_rs():
    # R 4.2.2: wilcox.test(b, a, conf.int = TRUE), exact
    a = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    b = [1.15, 0.88, 0.90, 0.74, 1.21]
    found = mann_whitney(b, a)
    assert found.p == pytest.approx(0.2544123, abs=1e-6)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.305, -0.15, 0.76), abs=1e-9)


def test_large_samples_take_the_normal_approximation_and_say_so():
    random = np.random.default_rng(1)
    a, b = random.integers(1, 6, 900), random.integers(1, 6, 900)
    found = mann_whitney(a, b)
    assert "approximation" in found.method
    assert found.p == pytest.approx(stats.mannwhitneyu(b, a, method="asymptotic", use_continuity=False).pvalue)


@pytest.mark.parametrize("differences", [[1, 2, -1, 3, 3, -2], [1, 1, 1, 1], [0, 0, 1, -2, 2, 2], [0.5]])
@pytest.mark.parametrize("zeros", ["wilcox", "pratt"])
def test_signed_ranks_count_all_flips_of_tied_ranks(differences, zeros):
    values = np.array(differences, dtype=float)
    kept = values[values != 0] if zeros == "wilcox" else values
    ranks = stats.rankdata(np.abs(kept))[kept != 0]
    observed = ranks[kept[kept != 0] > 0].sum()
    sums = np.array([np.dot(ranks, signs) for signs in product((0, 1), repeat=ranks.size)])
    expected = np.mean(np.abs(sums - ranks.sum() / 2) >= abs(observed - ranks.sum() / 2) - 1e-9)
    found = signed_rank(differences, zero_method=zeros)
    assert (found.p, found.statistic) == pytest.approx((expected, observed))


def test_signed_ranks_of_many_differences_agree_with_scipy():
    values = np.random.default_rng(2).normal(0.2, 1, 60)
    assert signed_rank(values).p == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)
    assert signed_rank([0.0, 0.0]).p == 1.0
    assert signed_rank([]).p is None


def test_brunner_munzel_is_scipys_with_an_interval():
    a = [1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 1, 1]
    b = [3, 3, 4, 3, 1, 2, 3, 1, 1, 5, 4]
    found, scipy = brunner_munzel(a, b), stats.brunnermunzel(a, b)
    assert (found.p, found.statistic) == pytest.approx((scipy.pvalue, scipy.statistic))
    assert found.low < 0.788961 < found.high and found.low == pytest.approx(0.5952, abs=1e-4)  # lawstat 0.5952169
    assert found.estimate == pytest.approx(np.mean([(y > x) + 0.5 * (y == x) for x in a for y in b]))
    mirrored = brunner_munzel(b, a)
    assert (mirrored.low, mirrored.p) == pytest.approx((1 - found.high, found.p))


def test_complete_separation_has_an_exact_p_and_a_cautious_interval():
    found = brunner_munzel([1, 1, 1, 1], [2, 2, 2])
    unseen = 3.8415 / (3 + 3.8415)  # what Wilson's limit leaves to what three pairs did not show
    assert (found.estimate, found.low, found.high) == (1.0, pytest.approx(1 - unseen, abs=1e-4), 1.0)
    assert found.p == pytest.approx(1 / 35)  # the other tail is less extreme: the ranks of a are tied lower
    assert brunner_munzel([1, 1], [1, 1, 1]).p == 1.0
    with pytest.raises(DataError):
        brunner_munzel([1], [1, 2])


def test_friedman_is_scipys_and_survives_ties():
    table = np.random.default_rng(3).integers(1, 6, (25, 4))
    assert friedman(table).p == pytest.approx(stats.friedmanchisquare(*table.T).pvalue)
    assert friedman(np.ones((4, 3))).p == 1.0


def test_net_wins_count_directions_only():
    found = net_wins([1, 2, 3, 4], [2, 1, 300, 4])
    assert found.estimate == 0.25
    assert net_wins([1, 2, 3, 4], [2, 1, 300, 4], direction="lower").estimate == -0.25
