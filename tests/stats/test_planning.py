"""Plans in money, and the power behind them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower, TTestIndPower, TTestPower

from aikit.errors import DataError
from aikit.stats.planning import CallCost, Pilot, pilot, sample_size
from aikit.stats.power import design_effect, detectable_effect, mcnemar_power, t_power, t_samples
from aikit.stats.reference_power import arcsine_samples, proportion_samples, t_samples_per_arm

COST = CallCost(200, 50, 0.001, 0.0005, 0.003, seconds=2.0, requests_per_minute=500, concurrent=8)


def test_power_agrees_with_statsmodels():
    for n, effect, alpha in ((10, 0.9, 0.05), (40, 0.3, 0.05), (25, 0.5, 0.01)):
        theirs = TTestPower().power(effect, n, alpha)
        assert t_power(effect, se=1 / math.sqrt(n), df=n - 1, alpha=alpha) == pytest.approx(theirs, abs=1e-8)
    assert t_samples_per_arm(0.5, sd=1) == pytest.approx(
        TTestIndPower().solve_power(0.5, alpha=0.05, power=0.8), abs=1e-3
    )
    h = 2 * math.asin(math.sqrt(0.6)) - 2 * math.asin(math.sqrt(0.45))
    theirs = NormalIndPower().solve_power(h, alpha=0.05, power=0.8)
    assert arcsine_samples(0.6, 0.45) == pytest.approx(theirs, rel=1e-6)
    assert proportion_samples(0.50, 0.75, power=0.9) == pytest.approx(76.7, abs=0.05)


def test_the_detectable_effect_is_the_inverse_of_power():
    for df in (1.0, 4.2, 30.0, math.inf):
        effect = detectable_effect(se=0.1, df=df)
        if math.isfinite(df):
            assert t_power(effect, se=0.1, df=df) == pytest.approx(0.8, abs=1e-6)
    assert detectable_effect(se=None, df=3) is None
    assert detectable_effect(se=0.0, df=3) == 0


def test_mcnemar_power_at_the_edges():
    assert mcnemar_power(100, p_b_only=0.0, p_a_only=0.0) == 0
    assert mcnemar_power(0, p_b_only=0.2, p_a_only=0.1) == 0
    assert mcnemar_power(50, p_b_only=1.0, p_a_only=0.0) == pytest.approx(1)
    exact, mid = (mcnemar_power(80, p_b_only=0.2, p_a_only=0.07, test=one) for one in ("exact", "mid-p"))
    assert exact < mid
    assert mcnemar_power(300, p_b_only=0.1, p_a_only=0.1) == pytest.approx(0.05, abs=0.01)
    with pytest.raises(DataError):
        mcnemar_power(10, p_b_only=0.8, p_a_only=0.4)


def test_a_plan_answers_in_samples_calls_tokens_dollars_and_minutes():
    plan = sample_size(0.08, discordance=0.2, cost=COST)
    assert plan.calls == 2 * plan.samples
    assert plan.tokens == 250 * plan.calls
    assert plan.dollars == pytest.approx(0.001 * plan.calls)
    assert plan.dollars_low < plan.dollars < plan.dollars_high
    assert plan.minutes == pytest.approx(max(plan.calls / 500, plan.calls * 2 / 8 / 60))
    assert plan.power >= 0.8
    assert f"{plan.samples} samples" in plan.sentence
    effects, spent = [one.effect for one in plan.curve], [one.dollars for one in plan.curve]
    assert effects == sorted(effects, reverse=True)
    assert spent == sorted(spent)


def test_without_a_price_dollars_are_unknown_and_never_zero():
    plan = sample_size(0.1, discordance=0.3)
    assert plan.dollars is None
    assert plan.minutes is None
    assert "price unknown" in plan.sentence
    mixed = sample_size(0.1, discordance=0.3, cost={"a": COST, "b": CallCost(10, 10)})
    assert mixed.dollars is None


def test_repeats_stop_helping_at_the_spread_between_samples():
    spread = Pilot(0.2, 0.8, 0.8)
    sizes = [sample_size(0.2, spread=spread, epochs=k).samples for k in (1, 2, 10, 1000)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == pytest.approx(t_samples(0.2, sd=math.sqrt(0.2)), abs=2)


def test_clusters_variants_and_stopping_modes_cost_samples():
    plain = sample_size(0.3, spread=Pilot(1.0)).samples
    assert sample_size(0.3, spread=Pilot(1.0, icc=0.2, cluster_size=10)).samples > 2.7 * plain
    assert design_effect(cluster_size=10, cluster_cv=0.0, icc=0.2) == pytest.approx(2.8)
    assert sample_size(0.3, spread=Pilot(1.0), variants=4).samples > plain
    group = sample_size(0.3, spread=Pilot(1.0), stopping="group")
    anytime = sample_size(0.3, spread=Pilot(1.0), stopping="anytime")
    assert plain < group.samples < anytime.samples
    assert group.expected_samples < plain


def test_a_plan_that_makes_no_sense_is_refused():
    with pytest.raises(DataError, match="discordance"):
        sample_size(0.3, discordance=0.2)
    for wrong in ({"effect": 0}, {"variants": 1}, {"epochs": 0}):
        with pytest.raises(DataError):
            sample_size(**({"effect": 0.1, "discordance": 0.3} | wrong))
    with pytest.raises(DataError, match="anytime"):
        sample_size(0.1, discordance=0.3, stopping="group", looks=30)


def test_a_pilot_of_single_passes_knows_its_discordance():
    a, b = np.array([1, 1, 0, 0, 1, 0]), np.array([1, 0, 0, 1, 1, 1])
    found = pilot(a, b)
    assert found.discordance == pytest.approx(0.5)
    assert found.omega2 == pytest.approx((b - a).var(ddof=1))
    assert sample_size(0.2, spread=found).samples > 10
