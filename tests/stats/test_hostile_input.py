"""Input that people do give: hardly any samples, nothing that varies, absurd sizes, columns of the wrong type."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from aikit.errors import DataError
from aikit.stats import brunner_munzel, clustered_mean, compare, margin, per_success, t_samples
from aikit.stats.reference import bernoulli_sequence
from aikit.stats.reference_groups import cluster_robust_difference
from tests.stats.adapter import METHODS
from tests.stats.frames import trials


def test_a_bernoulli_sequence_takes_none_and_all_successes():
    low, high = METHODS["bernoulli_confidence_sequence"](successes=0, n=50, t_opt=50, alpha=0.05)["ci"]
    assert low == 0 and 0.05 < high < 0.3
    mirrored = bernoulli_sequence(50, 50, t_opt=50)
    assert mirrored.high == 1 and mirrored.low == pytest.approx(1 - high, abs=1e-9)


@pytest.mark.parametrize(("delta", "sd", "power"), [(3.0, 0.5, 0.5), (3.0, 0.5, 0.9), (1.5, 0.5, 0.99), (0.1, 2, 0.5)])
def test_a_large_effect_takes_few_samples(delta: float, sd: float, power: float):
    from scipy import stats

    found = t_samples(delta, sd=sd, alpha=0.1, power=power)
    reached = stats.nct.sf(stats.t.isf(0.05, found - 1), found - 1, math.sqrt(found) * delta / sd)
    assert found >= 2 and (reached == pytest.approx(power, abs=1e-6) or found == 2)
    per_arm = METHODS["power_unpaired_t"](delta=20.0, sd=1.0, alpha=0.1, power=0.5)["n_per_arm"]
    assert per_arm == 2


def test_a_cluster_robust_difference_takes_unequal_repeats():
    import statsmodels.api as sm

    a, b = [[1.0, 2.0], [2.0], [3.0, 1.5, 4.0]], [[2.5, 2.0], [2.0, 4.0], [3.5]]
    y = np.concatenate([np.concatenate(a), np.concatenate(b)])
    item = [i for side in (a, b) for i, row in enumerate(side) for _ in row]
    arm = [float(k) for k, side in enumerate((a, b)) for row in side for _ in row]
    model = sm.OLS(y, sm.add_constant(np.array(arm))).fit(cov_type="cluster", cov_kwds={"groups": np.array(item)})
    found = cluster_robust_difference(a, b)
    assert found.estimate == pytest.approx(model.params[1]) and found.se == pytest.approx(model.bse[1])


def test_cost_per_success_of_hardly_any_samples_claims_nothing():
    one = per_success([1.0], [1], [2.0], [1])
    assert one.estimate == pytest.approx(2) and one.low is None and one.p is None
    two = per_success([1.0, 1.6], [1, 1], [2.0, 2.1], [1, 1])
    assert two.low is not None and two.low < 1 < two.high
    frame = trials(1).assign(label=True)
    assert compare(frame, metric="cost_per_success", control="zero").verdict.decision == "continue"


def test_a_bounded_metric_that_never_varies_keeps_a_width():
    judged = pd.DataFrame({"sample": range(60), "winner": "few"})
    found = compare(judged, metric="winner", kind="preference", control="zero")
    assert found.verdict.decision == "ship" and 0.35 < found.low < 0.48 and found.high == 0.5
    frame = trials(12, epochs=2).assign(label=True)
    tied = compare(frame, metric="label", control="zero", margin=margin(absolute=0.05))
    assert tied.verdict.decision != "equivalent" and tied.low < -0.1 and tied.high > 0.1


def test_complete_separation_of_ordinals_has_a_cautious_interval():
    apart = brunner_munzel([1] * 40, [5] * 40)
    assert apart.estimate == 1 and 0.8 < apart.low < 0.95 and apart.high == 1
    assert brunner_munzel([1, 1], [5, 5]).low < 0.5
    frame = trials(40, paired=False)
    frame["grade"] = np.where(frame["variant"] == "zero", 1, 5)
    assert compare(frame, metric="grade", kind="ordinal", control="zero").verdict.decision == "ship"


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_sizes_past_double_precision_are_refused_and_not_judged(scale: float):
    with pytest.raises(DataError, match="rescale"):
        clustered_mean(np.array([1.0, 2.0, 3.5]) * scale)
    frame = trials(30)
    with pytest.raises(DataError, match="rescale"):
        compare(frame.assign(score=frame["score"] * scale), metric="score", control="zero")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cost": "0.1"}, "'cost' holds text"),
        ({"duration": "fast"}, "'duration' holds text"),
        ({"label": 1j}, "not numbers"),
    ],
)
def test_columns_of_the_wrong_type_are_named(change: dict[str, object], words: str):
    frame = trials(30).assign(**change)
    with pytest.raises(DataError, match=words):
        compare(frame, metric="label", control="zero")


def test_what_is_no_frame_is_said():
    with pytest.raises(DataError, match="DataFrame"):
        compare([{"sample": 1}], metric="label")
    with pytest.raises(DataError, match="no rows"):
        compare(trials(3).iloc[:0], metric="label")
    with pytest.raises(DataError, match="metric is None"):
        compare(trials(3), metric=None)
    frame = trials(5)
    with pytest.raises(DataError, match="twice"):
        compare(pd.concat([frame, frame[["label"]]], axis=1), metric="label")


def test_words_fit_one_input_and_figures_fit_a_sentence():
    one = compare(trials(1).assign(label=True), metric="label", control="zero").verdict.sentence
    assert "of 1 input," in one and "1 inputs" not in one
    frame = trials(400).assign(label=lambda rows: rows["variant"] == "few")
    sure = compare(frame, metric="label", control="zero", stopping="anytime", planned=400).verdict.sentence
    assert "e+" not in sure and "more than 1,000,000" in sure
    frame = trials(200)
    wild = frame.assign(duration=10.0 ** np.random.default_rng(0).uniform(-30, 30, len(frame)))
    words = compare(wild, metric="duration", control="zero").verdict.sentence
    assert max(len(one) for one in words.split()) < 30


def test_a_variant_without_success_costs_infinitely_much_per_success():
    frame = trials(60).assign(label=lambda rows: rows["variant"] == "zero")
    found = compare(frame, metric="cost_per_success", control="zero")
    assert "infinite over 60 inputs" in found.sentence and "no value" not in found.sentence
    assert "ties" not in found.sentence


def test_calls_that_all_failed_without_a_time_have_none():
    frame = trials(20).assign(status="timeout", duration=np.nan)
    found = compare(frame, metric="duration", control="zero")
    assert found.estimate is None and not any("0 somewhere" in one for one in found.warnings)


def test_few_independent_samples_are_warned_of():
    found = compare(trials(3), metric="score", control="zero")
    assert any("only 3 " in one for one in found.warnings)


def test_names_that_read_alike_and_empty_ones_are_refused():
    frame = trials(20)
    alike = frame.assign(variant=pd.Series(np.where(frame["variant"] == "zero", 1, 2)).map({1: 1, 2: "1"}).tolist())
    with pytest.raises(DataError, match="both read '1'"):
        compare(alike, metric="label")
    with pytest.raises(DataError, match="empty name"):
        compare(frame.assign(variant=frame["variant"].replace("zero", "")), metric="label")


@pytest.mark.parametrize(
    "options",
    [
        {"stopping": "group", "planned": 20, "looks": 2.5},
        {"planned": math.nan},
        {"planned": 10.5},
        {"seed": -1},
        {"seed": 0.5},
    ],
)
def test_plans_and_seeds_are_whole_numbers(options: dict[str, object]):
    with pytest.raises(DataError, match="whole"):
        compare(trials(20), metric="score", control="zero", **options)


@pytest.mark.parametrize("seed", range(6))
def test_the_p_of_a_look_and_its_interval_agree_on_equality(seed: int):
    for n in (80, 160, 240, 400):
        found = compare(
            trials(n, lift=0.25, seed=seed), metric="score", control="zero", stopping="group", planned=400, looks=5
        )
        assert (found.p <= 0.05) == (found.low > 0 or found.high < 0)


def test_only_a_cost_that_was_shown_to_be_lower_is_called_the_cheaper():
    frame = trials(300, lift=0)
    frame["cost"] = np.exp(np.random.default_rng(1).normal(-6, 1, len(frame)))
    tied = compare(frame, metric="score", control="zero", margin=margin(absolute=0.5)).verdict
    assert tied.decision == "equivalent" and "cheaper" not in tied.sentence
    frame.loc[frame["variant"] == "few", "cost"] *= 0.3
    told = compare(frame, metric="score", control="zero", margin=margin(absolute=0.5)).verdict
    assert told.variant == "few" and "take few, the cheaper" in told.sentence
