"""Judges corrected by people, and how far raters agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats import inter_rater

from aikit.errors import DataError
from aikit.stats.agreement import cohen_kappa, fleiss_kappa, intraclass_correlations, krippendorff_alpha
from aikit.stats.judge import (
    JUDGE_ONLY,
    both_orders,
    judged_difference,
    prediction_powered_mean,
    true_pass_rate,
)  # fmt: skip

RANDOM = np.random.default_rng(0)
TRUTH = (RANDOM.random(300) < 0.7).astype(float)
GOOD = np.where(RANDOM.random(300) < 0.9, TRUTH, 1 - TRUTH)


def test_a_good_judge_narrows_the_interval_and_a_useless_one_costs_nothing():
    alone = prediction_powered_mean(TRUTH[:60], np.zeros(60), np.zeros(240))
    good = prediction_powered_mean(TRUTH[:60], GOOD[:60], GOOD[60:])
    noise = RANDOM.random(300)
    useless = prediction_powered_mean(TRUTH[:60], noise[:60], noise[60:])
    width = alone.high - alone.low
    assert good.high - good.low < 0.8 * width
    assert useless.high - useless.low < 1.02 * width
    assert alone.estimate == pytest.approx(TRUTH[:60].mean())
    assert good.details["weight"] > useless.details["weight"]


def test_untuned_trusts_the_judge_whole():
    found = prediction_powered_mean(TRUTH[:60], GOOD[:60], GOOD[60:], tuned=False)
    assert found.details["weight"] == 1
    assert found.estimate == pytest.approx(GOOD[60:].mean() + (TRUTH[:60] - GOOD[:60]).mean())


def test_the_paired_difference_is_labelled_when_people_scored_too_little():
    a, b = RANDOM.normal(size=(2, 100))
    few = np.where(np.arange(100) < 29, 0.5, math.nan)
    found = judged_difference(a, b, few, few)
    assert JUDGE_ONLY in found.warnings
    assert found.estimate == pytest.approx((b - a).mean())
    enough = np.where(np.arange(100) < 30, 0.5, math.nan)
    assert JUDGE_ONLY not in judged_difference(a, b, enough, enough).warnings
    everybody = judged_difference(a, b, a, b + 1)
    assert everybody.estimate == pytest.approx((b + 1 - a).mean())


def test_swapping_the_variants_mirrors_the_judged_difference():
    a, b = (RANDOM.random((2, 200)) < 0.6).astype(float)
    labels = np.where(np.arange(200) < 40, 1.0, math.nan)
    there, back = judged_difference(a, b, a * labels, b * labels), judged_difference(b, a, b * labels, a * labels)
    assert there.estimate == pytest.approx(-back.estimate)
    assert there.low == pytest.approx(-back.high)


def test_too_little_to_correct_with_is_said():
    assert prediction_powered_mean([1.0], [1.0], [1.0, 0.0]).estimate is None
    assert "12" in prediction_powered_mean(TRUTH[:12], GOOD[:12], GOOD[60:]).warnings[0]
    with pytest.raises(DataError):
        prediction_powered_mean([1, 0], [1], [1, 0])


def test_rogan_gladen_inverts_the_judges_errors():
    truth, sensitivity, specificity = 0.35, 0.9, 0.8
    judged = truth * sensitivity + (1 - truth) * (1 - specificity)
    found = true_pass_rate(judged * 1000, 1000, sensitivity=sensitivity, specificity=specificity)
    assert found.estimate == pytest.approx(truth)
    unsure = true_pass_rate(
        judged * 1000, 1000, sensitivity=sensitivity, specificity=specificity, labelled_pass=40, labelled_fail=40
    )
    assert unsure.low < found.low < found.high < unsure.high
    outside = true_pass_rate(50, 1000, sensitivity=0.9, specificity=0.8)
    assert outside.estimate == 0
    assert outside.warnings
    with pytest.raises(DataError):
        true_pass_rate(5, 10, sensitivity=0.5, specificity=0.5)


def test_both_orders_cancel_the_lean_to_what_came_first():
    wins, lean = both_orders([1, 1, 1, 0.5], [0, 0, 1, 0.5])
    assert wins.tolist() == [0.5, 0.5, 1, 0.5]
    assert lean == pytest.approx(0.25)
    assert both_orders([], [])[1] is None


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_cohens_kappa_agrees_with_statsmodels(weights: str | None):
    table = np.array([[22, 5, 0, 1], [3, 9, 4, 0], [0, 2, 14, 3], [1, 0, 2, 8]])
    theirs = inter_rater.cohens_kappa(table, wt={None: None, "linear": "linear", "quadratic": "quadratic"}[weights])
    found = cohen_kappa(table, weights=weights)
    assert found.estimate == pytest.approx(theirs.kappa)
    assert found.se == pytest.approx(theirs.std_kappa)
    assert found.low == pytest.approx(theirs.kappa_low)


def test_kappas_without_any_choice_do_not_exist():
    assert cohen_kappa([[5, 0], [0, 0]]).estimate is None
    assert cohen_kappa([[0, 0], [0, 0]]).estimate is None
    assert fleiss_kappa([[3, 0], [3, 0]]).estimate is None
    with pytest.raises(DataError):
        fleiss_kappa([[3, 0], [2, 0]])
    with pytest.raises(DataError):
        cohen_kappa([[1, 2, 3]])


def test_fleiss_agrees_with_statsmodels():
    table = np.array([[0, 4, 1], [2, 2, 1], [5, 0, 0], [1, 1, 3], [0, 0, 5]])
    assert fleiss_kappa(table).estimate == pytest.approx(inter_rater.fleiss_kappa(table))


def test_krippendorffs_alpha_takes_labels_gaps_and_unanimity():
    found = krippendorff_alpha([["yes", "no", None, "yes"], ["yes", "no", "no", "no"]], draws=200)
    assert found.low <= found.estimate <= found.high
    assert found.n == 3
    assert krippendorff_alpha([[1, 2, 3], [1, 2, 3]]).estimate == 1
    assert krippendorff_alpha([[1, 1], [1, 1]]).estimate is None
    assert krippendorff_alpha([[1, None], [None, 1]]).estimate is None
    with pytest.raises(DataError):
        krippendorff_alpha([[1, 2], [1, 3]], level="cardinal")


def test_intraclass_correlations_of_shrout_and_fleiss():
    found = intraclass_correlations(
        [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    )
    single = (found.icc1, found.icc2, found.icc3)
    assert single == pytest.approx((0.17, 0.29, 0.71), abs=0.006)
    assert (found.icc1k, found.icc2k, found.icc3k) == pytest.approx((0.44, 0.62, 0.91), abs=0.006)
    assert intraclass_correlations([[1, 1], [1, 1]]).icc1 is None
