"""Preferences, Bradley-Terry, and dropping variants while a run goes on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm

from aikit.errors import DataError
from aikit.stats.elimination import surviving_variants
from aikit.stats.preference import abilities, abilities_from_wins, preferred

WINS = np.array([[0, 13, 9, 3], [7, 0, 6, 4.5], [5, 8, 0, 9], [2, 5.5, 8, 0]])
NAMES = ["a", "b", "c", "d"]


def test_preferences_are_measured_from_one_half():
    found = preferred([1, 1, 0.5, 0, 1])
    assert found.estimate == pytest.approx(0.2)
    with pytest.raises(DataError):
        preferred([2, 0])


def test_bradley_terry_is_a_logistic_regression_without_intercept():
    design, counts = [], []
    for i in range(4):
        for j in range(i + 1, 4):
            row = np.zeros(4)
            row[i], row[j] = 1, -1
            design.append(np.delete(row, 1))
            counts.append([WINS[i, j], WINS[j, i]])
    theirs = sm.GLM(np.array(counts), np.array(design), family=sm.families.Binomial()).fit(tol=1e-12)
    found = abilities_from_wins(WINS, NAMES, reference="b")
    assert np.delete(found.log_ability, 1) == pytest.approx(theirs.params, abs=1e-6)
    assert np.delete(found.se, 1) == pytest.approx(theirs.bse, abs=1e-6)
    assert found.log_ability[1] == found.se[1] == 0
    assert "Preferred to b" in found.sentence


def test_single_judgements_give_the_same_abilities_as_their_counts():
    first = ["a", "a", "b", "c", "c", "a", "b", "c", "b"]
    second = ["b", "c", "c", "a", "b", "b", "a", "b", "c"]
    outcome = [1, 0.5, 0, 0, 1, 0, 0.5, 1, 1]
    counts = np.zeros((3, 3))
    for i, j, won in zip(first, second, outcome, strict=True):
        counts["abc".index(i), "abc".index(j)] += won
        counts["abc".index(j), "abc".index(i)] += 1 - won
    single, summed = (
        abilities(first, second, outcome, players=["a", "b", "c"]),
        abilities_from_wins(counts, list("abc")),
    )
    assert single.log_ability == pytest.approx(summed.log_ability)
    assert single.clusters == 9


def test_who_wins_everything_stays_finite_and_is_warned_of():
    found = abilities_from_wins([[0, 10], [0, 0]], ["always", "never"])
    assert math.isfinite(found.log_ability[1])
    assert found.log_ability[1] < -2
    assert "half a win" in found.warnings[0]
    islands = abilities_from_wins([[0, 3, 0, 0], [2, 0, 0, 0], [0, 0, 0, 4], [0, 0, 1, 0]], NAMES)
    assert all(math.isfinite(one) for one in islands.log_ability)


def test_the_worst_variant_is_dropped_and_close_ones_are_kept():
    random = np.random.default_rng(0)
    scores = random.normal(size=(200, 1)) + random.normal(0, 0.5, (200, 3))
    scores[:, 2] -= 1
    found = surviving_variants(scores, ["x", "y", "z"], planned=200)
    assert found.dropped == ("z",)
    assert set(found.active) == {"x", "y"}
    assert found.leader == found.active[0]
    assert "dropped: z" in found.sentence


def test_lower_is_better_where_said_and_a_dropped_variants_gaps_are_no_obstacle():
    random = np.random.default_rng(1)
    seconds = random.normal([1.0, 1.0, 2.0], 0.3, (150, 3))
    seconds[100:, 2] = math.nan
    found = surviving_variants(seconds, ["x", "y", "slow"], planned=150, direction="lower")
    assert found.dropped == ("slow",)


def test_too_few_samples_drop_nobody():
    few = surviving_variants(np.array([[0.0, 9.0]] * 20), ["x", "y"], planned=100)
    assert few.dropped == ()
    assert few.leader == "y"
    assert surviving_variants(np.full((3, 2), math.nan), ["x", "y"], planned=100).leader is None
    with pytest.raises(DataError):
        surviving_variants(np.zeros((3, 2)), ["x"], planned=10)
