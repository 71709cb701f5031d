"""Verdicts and stopping: their order, their words, margins, looks, and what stays out of every sentence."""

from __future__ import annotations

import math
import re
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from aikit.errors import DataError
from aikit.stats import Comparison, Outlook, Verdict, compare, decide, margin, overall
from tests.stats.frames import numbers, table, trials

FORBIDDEN = re.compile(r"\bsignifican|no difference|\btrend|95 % probab|observed power|\bnan\b", re.IGNORECASE)
RENAMED = {"A": "zero-shot", "B": "few-shot"}


def named(frame):
    return frame.replace({"variant": RENAMED})


def test_the_sentence_has_the_shape_that_was_promised():
    found = compare(named(table(144, 9, 24, 23)), metric="label", control="zero-shot")
    assert found.verdict.decision == "ship" and found.verdict.variant == "few-shot"
    assert found.verdict.sentence.startswith(
        "**Ship few-shot.** few-shot passed 84.0 % of 200 inputs, zero-shot 76.5 %: +7.5 points (95 % interval +2."
    )
    assert "If the prompts were equally good, a gap this large would show up about 9 times in 1,000." in found.sentence
    assert found.verdict.sentence.endswith("few-shot wins 24 inputs, loses 9, ties 167.")


def test_the_guardrails_follow_in_brief():
    frame = trials(200, seed=3)
    found = compare(frame, metric="label", control="zero", guardrails={"cost_per_success": margin(relative=0.2)})
    assert re.search(r"Cost per success \d+ % lower \(\d+-\d+ %\)\.", found.verdict.sentence)
    assert found.verdict.guardrails["cost_per_success"].details["held"] is True


@pytest.mark.parametrize(
    ("counts", "decision", "headline"),
    [
        ((100, 5, 40, 55), "ship", "**Ship few-shot.**"),
        ((100, 40, 5, 55), "keep", "**Keep zero-shot.**"),
        ((100, 9, 12, 79), "continue", "**Keep going.**"),
    ],
)
def test_the_primary_decides_in_order(counts, decision, headline):
    found = compare(named(table(*counts)), metric="label", control="zero-shot").verdict
    assert found.decision == decision and found.sentence.startswith(headline)


def test_a_broken_guardrail_keeps_the_control_and_an_open_one_goes_on():
    frame = table(100, 5, 40, 55)
    dear = frame.assign(cost=np.where(frame["variant"] == "B", 3.0, 1.0) + frame["sample"] % 7 / 100)
    rails = {"cost": margin(relative=0.2)}
    kept = compare(dear, metric="label", control="A", guardrails=rails).verdict
    assert kept.decision == "keep" and kept.guardrails["cost"].details["held"] is False
    random = np.random.default_rng(0)
    loud = frame.assign(cost=random.lognormal(0, 1.5, len(frame)))
    open_still = compare(loud, metric="label", control="A", guardrails=rails).verdict
    assert open_still.decision == "continue" and "Open: cost." in open_still.sentence
    assert re.match(r"\*\*Stop: even the full plan detects only \d+ % of cost\.", open_still.sentence)


def test_a_guardrail_on_quality_knows_its_direction():
    frame = trials(300, lift=0.5)
    frame["toxic"] = frame["label"]
    good = compare(frame, metric="score", control="zero", guardrails={"label": margin(absolute=0.05)}).verdict
    assert good.decision == "ship"
    toxic = {"toxic": margin(absolute=0.02, direction="lower")}
    assert compare(frame, metric="score", control="zero", guardrails=toxic).verdict.decision == "keep"


def test_cheaper_ships_when_quality_is_within_the_margin():
    frame = table(400, 12, 12, 76)
    frame["cost"] = np.where(frame["variant"] == "B", 0.8, 1.0) + frame["sample"] % 11 / 1000
    found = compare(frame, metric="label", control="A", goal="cheaper", margin=margin(absolute=0.05)).verdict
    assert found.decision == "ship" and "within the margin" in found.sentence
    equal = compare(frame, metric="label", control="A", margin=margin(absolute=0.05)).verdict
    assert equal.decision == "equivalent" and equal.variant == "B" and "the cheaper" in equal.sentence
    narrow = compare(frame, metric="label", control="A", goal="cheaper", margin=margin(absolute=0.005)).verdict
    assert narrow.decision == "continue"


def test_a_ninety_per_cent_interval_decides_about_margins():
    random = np.random.default_rng(1)
    a, b = random.normal(0, 1, 100), random.normal(0, 1, 100)
    found = compare(numbers(a, b), metric="value", control="A", margin=margin(absolute=0.5))
    from scipy import stats

    low, high = stats.ttest_1samp(b - a, 0).confidence_interval(0.9)
    assert (found.details["margin_low"], found.details["margin_high"]) == pytest.approx((low, high))
    assert found.details["equivalent"] is True and low > -0.5 and high < 0.5
    assert compare(numbers(a, b), metric="value", control="A", margin=margin(absolute=0.01)).details["held"] is None


def test_going_on_says_how_many_samples_dollars_and_minutes():
    frame = trials(60, lift=0.25, seed=4)
    found = compare(frame, metric="label", control="zero", planned=100)
    assert not found.final and found.verdict.decision == "continue"
    assert re.search(r"About 40 more samples ≈ \$\d+\.\d\d ≈ \d+\.\d min\.", found.verdict.sentence)
    done = compare(frame, metric="label", control="zero", planned=60)
    assert done.final and done.verdict.sentence.startswith("**Stop: even the full plan detects only ")


def test_while_a_plan_is_incomplete_the_interval_is_always_valid():
    frame = trials(120)
    live, done = (compare(frame, metric="label", control="zero", planned=n) for n in (200, 120))
    assert "always-valid" in live.method and live.e_value is not None and not live.final
    assert done.final and done.e_value is None
    assert live.high - live.low > done.high - done.low
    few = compare(trials(30), metric="score", control="zero", planned=200)
    assert few.low is None and any("starts at 50" in one for one in few.warnings)


def test_a_look_takes_its_bound_and_between_looks_nothing_is_decided():
    frame = trials(100, lift=2.5, seed=5)
    look = compare(frame, metric="score", control="zero", stopping="group", planned=200, looks=4)
    between = compare(frame, metric="score", control="zero", stopping="group", planned=240, looks=4)
    last = compare(frame, metric="score", control="zero", stopping="group", planned=100, looks=4)
    fixed = compare(frame, metric="score", control="zero")
    assert look.final and "look 2 of 4" in look.method and look.verdict.decision == "ship"
    assert any("stopped early" in one and "1.22" in one for one in look.verdict.warnings)
    assert not between.final and between.verdict.decision == "continue"
    widths = [one.high - one.low for one in (fixed, last, look)]
    assert widths == sorted(widths) and last.final
    assert fixed.p < last.p and last.verdict.decision == "ship"
    assert not any("stopped early" in one for one in last.verdict.warnings)


def test_at_any_time_pass_fail_goes_by_the_exact_e_value():
    found = compare(table(60, 5, 40, 15), metric="label", control="A", stopping="anytime", planned=200)
    expected = 2.0**45 * math.gamma(41) * math.gamma(6) / math.gamma(47)
    assert found.e_value == pytest.approx(expected) and found.p == pytest.approx(1 / expected)
    assert found.verdict.decision == "ship" and found.final
    unplanned = compare(table(60, 5, 40, 15), metric="label", control="A", stopping="anytime")
    assert any("tuned to 500" in one for one in unplanned.warnings)


def test_heavy_tails_are_refused_at_any_time_and_logs_are_not():
    random = np.random.default_rng(6)
    frame = numbers(random.lognormal(0, 2.2, 200), random.lognormal(0.5, 2.2, 200))
    raw = compare(frame, metric="value", control="A", stopping="anytime", planned=200)
    assert raw.low is None and any("heavy tails" in one for one in raw.warnings)
    logs = compare(frame, metric="value", kind="ratio", control="A", stopping="anytime", planned=200)
    assert logs.low is not None


def test_one_verdict_joins_several():
    frame = trials(200, variants=("A", "B", "C"), lift=0.7, seed=7)
    found = compare(frame, metric="score", control="A")
    joined = overall(found)
    assert (joined.decision, joined.variant) == ("ship", "C")
    assert overall(found[0]) == found[0].verdict
    with pytest.raises(DataError):
        overall([replace(found[0], verdict=None)])


def test_decide_reads_a_comparison_from_anywhere():
    comparison = compare(table(100, 5, 40, 55), metric="label", control="A")
    assert decide(comparison, problems=("mixed settings",)).decision == "invalid"
    open_still = replace(comparison, details={"claim": "open"})
    assert "**Keep going.**" in decide(open_still, outlook=Outlook(12)).sentence
    with pytest.raises(DataError):
        decide(comparison, goal="best")


@pytest.mark.parametrize("metric", ["label", "score", "grade", "cost", "cost_per_success", "failure"])
@pytest.mark.parametrize("stopping", ["fixed", "group", "anytime"])
def test_no_sentence_holds_a_forbidden_word(metric, stopping):
    for n, seed in ((4, 0), (60, 1), (150, 2)):
        found = compare(
            trials(n, seed=seed, lift=0.3), metric=metric, control="zero", stopping=stopping, planned=150,
            margin=margin(absolute=0.1),
        )  # fmt: skip
        text = " ".join([found.sentence, found.verdict.sentence, found.method, *found.warnings, found._repr_html_()])
        assert not FORBIDDEN.search(text), text


def test_names_are_shown_as_text_in_a_notebook():
    frame = table(100, 5, 40, 55).replace({"variant": {"B": "<script>alert(1)</script>"}})
    found = compare(frame, metric="label", control="A")
    for shown in (found._repr_html_(), found.verdict._repr_html_()):
        assert "<script" not in shown and "&lt;script&gt;" in shown
    assert "<b>Ship " in found.verdict._repr_html_()


def test_results_survive_the_round_trip():
    for options in ({}, {"stopping": "anytime", "planned": 90}, {"guardrails": {"cost": margin(relative=0.3)}}):
        found = compare(trials(90), metric="label", control="zero", **options)
        assert Comparison.from_dict(found.to_dict()) == found
        assert Verdict.from_dict(found.verdict.to_dict()) == found.verdict


@pytest.mark.parametrize("metric", ["label", "score", "grade", "cost", "cost_per_success"])
@pytest.mark.parametrize("paired", [True, False])
def test_swapping_the_variants_mirrors(metric, paired):
    frame = trials(80, paired=paired)
    one, other = (compare(frame, metric=metric, control=name) for name in ("zero", "few"))
    assert one.p == pytest.approx(other.p) and (one.wins, one.losses) == (other.losses, other.wins)
    if one.unit == "relative":
        assert (1 + one.low) == pytest.approx(1 / (1 + other.high))
    else:
        assert (one.estimate, one.low) == pytest.approx((-other.estimate, -other.high))


@pytest.mark.parametrize("metric", ["label", "score", "cost", "cost_per_success"])
def test_the_order_of_rows_changes_nothing(metric):
    frame = trials(70, variants=("A", "B", "C"), epochs=2)
    one, other = (compare(f, metric=metric, control="A") for f in (frame, frame.sample(frac=1, random_state=1)))
    for x, y in zip(one, other, strict=True):
        assert (x.p, x.low, x.high) == pytest.approx((y.p, y.low, y.high), rel=1e-9)
        assert x.p_check == y.p_check and x.method == y.method and x.warnings == y.warnings
        assert [w.sample for w in x.winners] == [w.sample for w in y.winners]


def test_the_worst_five_each_way_link_to_their_calls():
    frame = trials(60)
    found = compare(frame, metric="score", control="zero")
    gaps = frame.pivot(index="sample", columns="variant", values="score")
    gaps = (gaps["few"] - gaps["zero"]).sort_values()
    assert [one.sample for one in found.winners] == list(gaps.index[::-1][:5])
    assert [one.sample for one in found.losers] == list(gaps[gaps < 0].index[:5])
    call = int(found.winners[0].sample[1:])
    assert found.winners[0].calls == (f"few-{call}-0", f"zero-{call}-0")


def test_a_live_refresh_of_two_hundred_samples_takes_at_most_fifty_milliseconds():
    frame = trials(200)
    for metric in ("label", "score", "cost"):
        compare(frame, metric=metric, control="zero")
        best = math.inf
        for _ in range(4):
            start = time.process_time()
            compare(frame, metric=metric, control="zero")
            best = min(best, time.process_time() - start)
        assert best < 0.1, metric  # the aim is 0.05; the rest is for a busy machine


def test_a_million_trials_of_five_variants_take_seconds():
    n, random = 200_000, np.random.default_rng(8)
    frame = pd.DataFrame(
        {
            "variant": pd.Categorical.from_codes(np.repeat(np.arange(5), n), list("ABCDE")),
            "sample": np.tile(np.arange(n), 5),
            "label": random.random(5 * n) < 0.7,
        }
    )
    compare(trials(60, variants=("A", "B", "C")), metric="label", control="A")
    start = time.process_time()
    found = compare(frame, metric="label", control="A")
    assert time.process_time() - start < 4  # the aim is 2; the rest is for a busy machine
    assert len(found) == 4 and "max-T" in found[0].method
