"""Covariates, sample ratios, label swaps, and the published methods kept for reference."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from aikit.errors import DataError
from aikit.stats import false_positive_rate
from aikit.stats.reference import best_arm_weights, hedged_sequence, probability_best
from aikit.stats.reference_fisher import fisher
from aikit.stats.reference_groups import dunnett, random_intercept, tukey
from aikit.stats.reference_shares import farrington_manning, miettinen_nurminen
from aikit.stats.regression import covariate_adjusted, cuped_difference, post_stratified
from aikit.stats.srm import MISMATCH_BELOW, sample_ratio_mismatch

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 2))
ARM = (np.arange(60) % 3 == 0).astype(float)
Y = 0.5 * ARM + X @ [1.0, -0.5] + RANDOM.normal(size=60)


def test_lins_regression_agrees_with_statsmodels_for_several_covariates():
    centred = X - X.mean(axis=0)
    design = np.column_stack([np.ones(60), ARM, centred, centred * ARM[:, None]])
    theirs = sm.OLS(Y, design).fit(cov_type="HC2")
    found = covariate_adjusted(Y, ARM, X)
    assert found.estimate == pytest.approx(theirs.params[1])
    assert found.se == pytest.approx(theirs.bse[1])


def test_a_covariate_that_says_nothing_changes_nothing():
    found = cuped_difference([1, 2, 3], [5, 5, 5], [2, 3, 5], [5, 5, 5])
    plain = stats.ttest_ind([2, 3, 5], [1, 2, 3], equal_var=False)
    assert found.p == pytest.approx(plain.pvalue)
    assert found.details["theta"] == 0
    assert covariate_adjusted([1, 2, 3, 4], [0, 1, 0, 1], [1, 1, 1, 1]).warnings


def test_strata_too_small_for_both_arms_are_joined():
    stratum = ["a"] * 30 + ["b"] * 28 + ["c", "d"]
    found = post_stratified(Y, ARM, stratum)
    assert found.low < found.estimate < found.high
    assert "2 strata" in found.warnings[0]
    with pytest.raises(DataError):
        post_stratified(Y, ARM + 1, stratum)


def test_a_sample_ratio_mismatch_is_found_and_edges_have_answers():
    assert sample_ratio_mismatch([1000, 1000]).p == 1
    broken = sample_ratio_mismatch({"a": 1000, "b": 800})
    assert broken.p < MISMATCH_BELOW
    assert broken.warnings
    assert sample_ratio_mismatch({"a": 10, "b": 0}, {"a": 1, "b": 0}).p is None
    assert sample_ratio_mismatch([10, 1, 9], [1, 0, 1]).p == 0
    assert sample_ratio_mismatch([0, 0]).p is None
    assert sample_ratio_mismatch({"a": 5}, {"a": 1, "lost": 1}).p == pytest.approx(stats.chisquare([5, 0]).pvalue)
    with pytest.raises(DataError):
        sample_ratio_mismatch([1, 2], [1])


@pytest.mark.parametrize("paired", [True, False])
def test_swapped_labels_on_plain_data_find_what_chance_allows(paired: bool):
    random = np.random.default_rng(1)
    rows = pd.DataFrame(
        {
            "variant": ["a"] * 60 + ["b"] * 60,
            "sample": [*range(60), *(range(60) if paired else range(60, 120))],
            "score": random.normal(size=120) + ([0.0] * 60 + [3.0] * 60 if paired else 0.0),
        }
    )
    found = false_positive_rate(rows, metric="score", draws=300)
    assert found.low <= 0.05 <= found.high
    assert false_positive_rate(rows, metric="score", draws=50, seed=4) == false_positive_rate(
        rows, metric="score", draws=50, seed=4
    )
    with pytest.raises(DataError):
        false_positive_rate(rows, metric="score", draws=0)


def test_dunnett_and_tukey_agree_with_scipy():
    groups = [RANDOM.normal(size=n) + k for k, n in enumerate((8, 12, 9, 10))]
    found, theirs = dunnett(groups[0], *groups[1:]), stats.dunnett(*groups[1:], control=groups[0], rng=1)
    assert found.p == pytest.approx(theirs.pvalue, abs=2e-3)
    limits = theirs.confidence_interval()
    assert found.low == pytest.approx(limits.low, abs=0.02)
    pairs, all_pairs = tukey(*groups), stats.tukey_hsd(*groups)
    for (i, j), p in zip(pairs.pairs, pairs.p, strict=True):
        assert p == pytest.approx(all_pairs.pvalue[i, j], abs=1e-6)
    two = dunnett(groups[0], groups[1])
    assert two.p[0] == pytest.approx(stats.ttest_ind(groups[0], groups[1]).pvalue, abs=1e-8)


def test_the_random_intercept_of_balanced_items_is_the_analysis_of_variance():
    a, b = RANDOM.normal(size=(2, 15, 3)) + 2 * RANDOM.normal(size=(15, 1))
    found = random_intercept(list(a), list(b + 0.4))
    assert found.difference == pytest.approx((b + 0.4 - a).mean())
    assert found.se == pytest.approx(found.sd_residual * math.sqrt(2 / 45))
    same = random_intercept([[1.0, -1.0]] * 6, [[-1.0, 1.0]] * 6)
    assert same.sd_item == 0


def test_score_limits_satisfy_their_own_equation():
    for pass_a, n_a, pass_b, n_b in ((48, 80, 56, 70), (3, 10, 9, 10), (0, 29, 5, 56), (0, 20, 10, 10), (0, 10, 0, 10)):
        found, back = miettinen_nurminen(pass_a, n_a, pass_b, n_b), miettinen_nurminen(pass_b, n_b, pass_a, n_a)
        assert found.low == pytest.approx(-back.high, abs=1e-9)
        assert -1 <= found.low <= pass_b / n_b - pass_a / n_a <= found.high <= 1
    newcombes_table = miettinen_nurminen(48, 80, 56, 70)  # Newcombe (1998), Table II: 0.0528 to 0.3382
    assert (newcombes_table.low, newcombes_table.high) == pytest.approx((0.0528, 0.3382), abs=5e-5)
    equal = farrington_manning(30, 50, 30, 50, margin=0.0)
    assert equal.p == pytest.approx(0.5)


def test_fishers_p_agrees_with_scipy_and_zero_cells_are_infinite():
    for table in ([[3, 1], [1, 3]], [[0, 5], [6, 2]], [[12, 3], [4, 9]], [[2, 0], [0, 3]]):
        assert fisher(table).p == pytest.approx(stats.fisher_exact(table).pvalue)
    assert fisher([[5, 0], [2, 3]]).statistic == math.inf
    assert fisher([[0, 5], [3, 2]]).statistic == 0


def test_a_tie_for_the_best_can_never_be_identified():
    weights, time = best_arm_weights([0.5, 0.5, 0.1])
    assert time == math.inf
    assert weights == [0.5, 0.5, 0.0]
    assert sum(best_arm_weights([0.9, 0.5, 0.1])[0]) == pytest.approx(1)
    assert probability_best([[0.5, 0.5], [0.5, 0.5]]) == pytest.approx([0.5, 0.5])


def test_betting_limits_shrink_and_hold_the_mean():
    low, high = hedged_sequence(RANDOM.random(200))
    assert all(a <= b for a, b in pairwise(low))
    assert low[-1] < 0.5 < high[-1]
    with pytest.raises(DataError):
        hedged_sequence([1.5])
