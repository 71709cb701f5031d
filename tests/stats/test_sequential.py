"""Planned looks: bounds at any realised information, their power, and the estimate after an early stop."""

from __future__ import annotations

import math
import time

import pytest

from aikit.errors import DataError
from aikit.stats.sequential import group_bounds, group_estimate, group_inflation, group_power, spent_alpha


def test_five_even_looks_have_the_published_bounds():
    assert group_bounds(5).z == pytest.approx([4.877, 3.357, 2.680, 2.290, 2.031], abs=5e-4)
    assert "20%: 4.877" in group_bounds(5).sentence


def test_bounds_take_at_most_fifty_milliseconds():
    group_bounds(5)
    start = time.process_time()
    group_bounds([0.07, 0.21, 0.33, 0.4, 0.52, 0.6, 0.71, 0.83, 0.9, 1.0])
    assert time.process_time() - start <= 0.05


def test_a_single_look_is_the_fixed_test():
    assert group_bounds(1).z == pytest.approx([1.959964], abs=1e-6)
    assert group_inflation(1)[0] == pytest.approx(1.0, abs=1e-6)


def test_looks_that_lie_close_together_still_spend_exactly_alpha():
    bounds = group_bounds([0.3, 0.3001, 0.6, 0.6002, 1.0], alpha=0.05)
    assert sum(group_power(bounds, drift=0.0).stop) == pytest.approx(0.05, abs=1e-7)


def test_a_run_that_ends_early_spends_the_rest_and_one_that_goes_on_does_not():
    ended, going_on = group_bounds([0.2, 0.5]), group_bounds([0.2, 0.5], last=False)
    assert ended.spent[-1] == 0.05
    assert going_on.spent[-1] == pytest.approx(spent_alpha(0.5))
    assert ended.z[-1] < going_on.z[-1]
    assert group_bounds([0.5, 1.3]).spent[-1] == 0.05


def test_a_look_before_any_alpha_is_spent_cannot_stop():
    assert group_bounds([0.001, 1.0]).z[0] == math.inf


def test_looks_save_samples_at_equal_power():
    inflation, expected = group_inflation(5, power=0.8)
    assert 1 < inflation < 1.05
    assert expected == pytest.approx(197 / 238, abs=0.01)  # the specification's own figures


@pytest.mark.parametrize("family", ["obrien_fleming", "pocock", "haybittle_peto", "pocock_spending"])
def test_every_family_spends_alpha(family: str):
    bounds = group_bounds(4, alpha=0.1, family=family)
    assert sum(group_power(bounds, drift=0.0).stop) == pytest.approx(0.1, abs=1e-7)


def test_power_is_symmetric_in_the_direction_of_the_effect():
    bounds = group_bounds(3)
    up, down = group_power(bounds, drift=2.5), group_power(bounds, drift=-2.5)
    assert up.power == pytest.approx(down.power)
    assert up.expected_information < 1


def test_an_early_stop_is_pulled_back_towards_no_effect():
    bounds = group_bounds(5)
    found = group_estimate(bounds, look=2, z=3.0)
    raw = 3.0 / math.sqrt(0.6)
    assert found.low < found.estimate < raw
    assert found.p < 0.05
    assert found.low > 0
    first = group_estimate(bounds, look=0, z=5.0)
    assert first.estimate == pytest.approx(5 / math.sqrt(0.2))  # nothing came before it


def test_p_and_interval_of_a_stopped_run_agree_about_zero():
    bounds = group_bounds(3)
    for look, z in ((0, 3.8), (1, 2.6), (2, 1.9), (2, 2.1), (2, -2.2)):
        found = group_estimate(bounds, look=look, z=z)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


@pytest.mark.parametrize("wrong", [[], [0.5, 0.4], [0.0, 1.0], 0])
def test_information_that_does_not_grow_is_refused(wrong: object):
    with pytest.raises(DataError):
        group_bounds(wrong)


def test_an_unknown_family_is_named():
    with pytest.raises(DataError, match="obrien"):
        group_bounds(3, family="o'brien")
