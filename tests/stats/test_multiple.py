"""Several comparisons: adjusted p-values and joint sign flips."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from aikit.errors import DataError
from aikit.stats.multiple import adjust_p, max_t
from aikit.stats.paired import paired_difference, sign_flip


@pytest.mark.parametrize(
    ("method", "theirs"),
    [("holm", "holm"), ("hommel", "hommel"), ("hochberg", "simes-hochberg"), ("BH", "fdr_bh"), ("BY", "fdr_by")],
)
def test_adjustments_agree_with_statsmodels(method: str, theirs: str):
    random = np.random.default_rng(0)
    for size in (1, 2, 5, 17):
        p = random.random(size).round(2)  # rounding makes ties
        assert adjust_p(p.tolist(), method=method) == pytest.approx(multipletests(p, method=theirs)[1])


def test_a_missing_p_stays_missing_and_does_not_count():
    assert adjust_p([0.01, None, 0.03], method="bonferroni") == [0.02, None, 0.06]
    assert adjust_p([]) == []
    with pytest.raises(DataError):
        adjust_p([1.2])


def test_joint_flips_are_enumerated_exactly():
    table = np.random.default_rng(1).normal(size=(7, 3)).round(1)
    found = max_t(table)
    t = [abs(column.mean() / column.std(ddof=1)) for column in table.T]
    hits, family = np.zeros(3), np.zeros(3)
    for signs in itertools.product([1, -1], repeat=7):
        flipped = table * np.array(signs)[:, None]
        each = np.abs(flipped.mean(0) / flipped.std(0, ddof=1))
        hits += each >= np.array(t) - 1e-9
        family += each.max() >= np.array(t) - 1e-9
    assert list(found.p) == pytest.approx(hits / 128)
    assert list(found.p_adjusted) == pytest.approx(family / 128)


def test_a_single_contrast_is_the_sign_flip_test():
    values = np.random.default_rng(2).normal(0.4, 1, 11)
    assert max_t(values).p_adjusted[0] == pytest.approx(sign_flip(values, exact=True).p)
    assert max_t(values).t[0] == pytest.approx(paired_difference(np.zeros(11), values).statistic)


def test_clusters_flip_whole_and_a_missing_partner_leaves_the_others_alone():
    table = np.random.default_rng(3).normal(size=(24, 2))
    codes = np.arange(24) // 3
    found = max_t(table, codes)
    assert found.units == 8
    assert found.p[0] == pytest.approx(sign_flip(table[:, 0], codes, exact=True).p)
    table[5, 1] = math.nan
    again = max_t(table[:12])
    assert again.p[0] == pytest.approx(max_t(table[:12, :1]).p[0])
    assert again.p[1] == pytest.approx(max_t(np.delete(table[:12, 1:], 5, axis=0)).p[0])


def test_all_zero_and_all_equal_differences_have_answers():
    found = max_t(np.column_stack([np.zeros(6), np.full(6, 0.5)]))
    assert found.t == (0.0, math.inf)
    assert found.p == (1.0, 2 / 64)


def test_many_units_are_drawn_from_the_same_distribution():
    table = np.random.default_rng(4).normal([0.03, 0.0, 0.0], 1.0, (4100, 3))
    normal, flipped = max_t(table, draws=4000), max_t(table[:4000], draws=4000)
    assert normal.critical == pytest.approx(flipped.critical, abs=0.12)
    assert normal.seed == 0


def test_the_same_seed_gives_the_same_result():
    table = np.random.default_rng(5).normal(size=(30, 2))
    assert max_t(table, seed=3) == max_t(table, seed=3)
    with pytest.raises(DataError):
        max_t([[math.inf, 1.0]])
