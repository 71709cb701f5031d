"""What rows may hold: failures, missing scores, duplicates, lost partners, odd types, and nothing at all."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from aikit.errors import DataError
from aikit.stats import Comparison, clustered_mean, compare, margin
from tests.stats.frames import numbers, pass_fail, table, trials


def test_failures_count_as_fail_and_are_never_dropped():
    frame = trials(100, lift=0.0)
    hard = (frame["variant"] == "few") & (frame["score"] < frame["score"].quantile(0.2))
    refused = frame.assign(status=np.where(hard, "refused", "ok"), label=frame["label"].mask(hard))
    found = compare(refused, metric="label", control="zero")
    expected = frame["label"].where(~hard, False)
    assert found.variant_value == pytest.approx(expected[frame["variant"] == "few"].astype(float).mean())
    assert found.samples == 100
    assert any("failed calls count as fail" in one for one in found.warnings)
    assert any("failed on" in one for one in found.warnings) and found.details["failures"]["few"] > 0


def test_a_failed_score_is_zero_and_a_failed_grade_the_worst_seen():
    frame = trials(40)
    frame["score"] = frame["score"].clip(lower=0.3)
    first = frame["variant"].eq("few") & frame["sample"].eq("s0000")
    frame.loc[first, ["status", "score"]] = ["error", np.nan]
    found = compare(frame, metric="score", control="zero")
    expected = frame["score"].fillna(0.0)
    assert found.variant_value == pytest.approx(expected[frame["variant"] == "few"].mean())
    grade = compare(frame, metric="grade", kind="ordinal", control="zero")
    worst = frame["grade"].where(~first, frame["grade"].min())
    assert grade.variant_value == pytest.approx(worst[frame["variant"] == "few"].mean())


def test_a_score_with_a_failed_status_is_the_failure_not_the_score():
    frame = table(20, 5, 5, 20).assign(status="ok")
    frame.loc[frame["label"], "status"] = "timeout"
    assert compare(frame, metric="label", control="A").variant_value == 0.0


def test_a_time_out_is_censored_and_unbilled_money_is_free():
    frame = trials(40)
    lost = (frame["variant"] == "few") & (frame["sample"] < "s0005")
    frame.loc[lost, ["status", "duration", "cost"]] = ["timeout", np.nan, np.nan]
    times = compare(frame, metric="duration", control="zero")
    assert times.samples == 40 and any("longest seen" in one for one in times.warnings)
    money = compare(frame, metric="cost_per_success", control="zero")
    assert money.samples == 40
    assert money.variant_value == pytest.approx(
        frame.loc[~lost & (frame["variant"] == "few"), "cost"].sum()
        / frame.loc[~lost & (frame["variant"] == "few"), "label"].sum()
    )


def test_an_unscored_answer_is_left_out_said_and_bounded():
    frame = trials(100)
    frame["label"] = frame["label"].astype("boolean")
    frame.loc[(frame["variant"] == "few") & (frame["sample"] < "s0003"), "label"] = pd.NA
    found = compare(frame, metric="label", control="zero")
    assert found.kind == "binary" and found.samples == 97 and found.verdict.decision != "invalid"
    assert any("3 answers have no label" in one for one in found.warnings)
    assert found.details["missing"]["low"] < found.details["missing"]["high"]


def test_more_than_five_per_cent_without_a_partner_is_invalid():
    frame = trials(100)
    frame = frame[~((frame["variant"] == "few") & (frame["sample"] < "s0008"))]
    found = compare(frame, metric="label", control="zero")
    assert found.samples == 92 and found.verdict.decision == "invalid"
    assert "no partner" in found.verdict.sentence and found.verdict.variant is None
    assert compare(frame, metric="label", control="zero", planned=150).verdict.decision == "continue"


def test_duplicate_rows_share_one_epochs_weight():
    frame = trials(30, epochs=2)
    doubled = pd.concat([frame, frame.iloc[:7]], ignore_index=True)
    plain, again = (compare(one, metric="score", control="zero") for one in (frame, doubled))
    assert (again.estimate, again.p) == pytest.approx((plain.estimate, plain.p))
    assert any("7 duplicate rows" in one for one in again.warnings)


def test_unequal_epochs_still_count_each_sample_once():
    frame = trials(30, epochs=3)
    frame = frame[~((frame["variant"] == "few") & (frame["epoch"] == 2) & (frame["sample"] < "s0015"))]
    found = compare(frame, metric="score", control="zero")
    cells = frame.groupby(["sample", "variant"])["score"].mean().unstack()
    assert found.p == pytest.approx(clustered_mean((cells["few"] - cells["zero"]).to_numpy()).p)
    assert any("epochs differ" in one for one in found.warnings)


@pytest.mark.parametrize("column", [np.int8, np.float32, "Int64", object, "decimal"])
def test_numbers_of_any_type_are_summed_in_double(column):
    a, b = np.full(200, 100), np.full(200, 120) + np.arange(200) % 7
    frame = numbers(a, b)
    frame["value"] = [Decimal(int(x)) for x in frame["value"]] if column == "decimal" else frame["value"].astype(column)
    found = compare(frame, metric="value", control="A")
    assert (found.control_value, found.variant_value) == (pytest.approx(100.0), pytest.approx(b.mean()))


def test_labels_of_other_types_and_mixed_ids_are_fine():
    frame = numbers([1.0, 2, 3, 4], [2.0, 3, 5, 5]).replace({"variant": {"A": 1, "B": 2}})
    frame["sample"] = ["x", 1, (2, 3), None] * 2
    with pytest.raises(DataError, match="sample"):
        compare(frame, metric="value", control="1")
    frame["sample"] = ["x", 1, (2, 3), 4.5] * 2
    assert compare(frame, metric="value", control="1").samples == 4


@pytest.mark.parametrize(
    ("frame", "options", "words"),
    [
        (table(1, 1, 1, 1), {"metric": "lable"}, "no metric 'lable'.*label"),
        (table(1, 1, 1, 1).assign(label="positive"), {"metric": "label"}, "holds text"),
        (table(1, 1, 1, 1), {"metric": "label", "control": "C"}, "control 'C'"),
        (table(1, 1, 1, 1).query("variant == 'A'"), {"metric": "label"}, "only one variant"),
        (table(1, 1, 1, 1), {"metric": "label", "sample": "id"}, "no column 'id'"),
        (table(1, 1, 1, 1), {"metric": "label", "kind": "binomial"}, "kind"),
        (table(1, 1, 1, 1), {"metric": "label", "direction": "up"}, "direction"),
        (table(1, 1, 1, 1), {"metric": "label", "stopping": "peek"}, "stopping"),
        (table(1, 1, 1, 1), {"metric": "label", "stopping": "group"}, "planned"),
        (table(1, 1, 1, 1), {"metric": "label", "goal": "cheaper"}, "margin"),
        (table(1, 1, 1, 1), {"metric": "label", "guardrails": {"cost": 0.2}}, "guardrail"),
        (table(1, 1, 1, 1), {"metric": "label", "alpha": 5}, "alpha"),
        (numbers([1, 2], [math.inf, 1]), {"metric": "value"}, "infinity"),
        (numbers([1, 2], [3, 1]), {"metric": "value", "kind": "binary"}, "outside 0 to 1"),
        (numbers([1, 2], [-3, 1]), {"metric": "value", "kind": "ratio"}, "negative"),
        (numbers([1, 2], [3, 1], cluster=[1, 2, 3, 2]), {"metric": "value"}, "two clusters"),
    ],
)
def test_what_cannot_be_compared_says_what_to_do(frame, options, words):
    with pytest.raises(DataError, match=words):
        compare(frame, **{"control": "A"} | options)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("metric", ["label", "score", "grade", "cost", "cost_per_success"])
@pytest.mark.parametrize("paired", [True, False])
def test_a_handful_of_samples_gives_a_result_without_nan(n, metric, paired):
    found = compare(trials(n, paired=paired), metric=metric, control="zero")
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.verdict.decision in ("continue", "keep", "ship") and found.verdict.sentence
    assert Comparison.from_dict(found.to_dict()) == found


def test_no_row_with_a_value_is_an_answer_too():
    frame = numbers([np.nan] * 3, [np.nan] * 3)
    found = compare(frame, metric="value", control="A")
    assert found.estimate is None and found.samples == 0 and found.verdict.decision == "invalid"


@pytest.mark.parametrize("kind", ["score", "binary", "ordinal", "ratio", "preference"])
def test_equal_answers_everywhere_are_no_evidence(kind):
    found = compare(numbers([1.0] * 30, [1.0] * 30), metric="value", kind=kind, control="A")
    assert (found.estimate, found.p, found.ties) == (0.0, 1.0, 30)
    assert found.verdict.decision == "continue"


def test_a_constant_gap_is_tested_by_its_signs():
    found = compare(numbers([1.0] * 12, [1.5] * 12), metric="value", control="A")
    assert (found.low, found.high, found.p) == (0.5, 0.5, 2**-11)
    assert any("no spread" in one for one in found.warnings)


def test_one_cluster_gives_no_interval():
    found = compare(numbers([1.0, 2, 3], [2.0, 4, 4], cluster="all"), metric="value", control="A")
    assert found.low is None and found.clusters == 1 and any("one cluster" in one for one in found.warnings)


def test_no_success_makes_the_cost_of_one_infinite_and_never_nan():
    frame = trials(40)
    frame.loc[frame["variant"] == "few", "label"] = False
    found = compare(frame, metric="cost_per_success", control="zero")
    assert found.estimate == math.inf and "infinite" in found.sentence
    frame["label"] = False
    assert compare(frame, metric="cost_per_success", control="zero").estimate is None
    guarded = compare(frame, metric="label", control="zero", guardrails={"cost_per_success": margin(relative=0.2)})
    assert guarded.verdict.decision == "continue"


def test_few_successes_are_resampled_with_a_warning():
    frame = trials(40)
    frame["label"] = frame["score"] > frame["score"].quantile(0.88)
    found = compare(frame, metric="cost_per_success", control="zero")
    assert "bootstrap" in found.method and any("fewer than 10 successes" in one for one in found.warnings)


def test_mixed_settings_are_invalid_and_a_changed_model_a_stratum():
    frame = trials(60)
    mixed = frame.assign(prompt_version_id=np.where(frame.index % 2, "v1", "v2"))
    assert compare(mixed, metric="label", control="zero").verdict.decision == "invalid"
    changed = frame.assign(response_model=np.where(frame["sample"] < "s0030", "m-1", "m-2"))
    found = compare(changed, metric="label", control="zero")
    assert {name: one["samples"] for name, one in found.details["strata"].items()} == {"m-1": 30, "m-2": 30}
    assert any("changed inside the run" in one for one in found.warnings)


def test_a_sample_ratio_mismatch_is_invalid_unless_it_was_planned():
    one, other = trials(400, paired=False), trials(200, paired=False)
    frame = pd.concat([one[one["variant"] == "zero"], other[other["variant"] == "few"]], ignore_index=True)
    found = compare(frame, metric="label", control="zero")
    assert found.verdict.decision == "invalid" and "ratio mismatch" in found.verdict.sentence
    frame.attrs["weights"] = {"zero": 2, "few": 1}
    assert compare(frame, metric="label", control="zero").verdict.decision != "invalid"


def test_a_control_that_nobody_named_is_said():
    found = compare(table(5, 5, 5, 5), metric="label")
    assert found.control == "A" and any("no control was named" in one for one in found.warnings)
    ordered = table(5, 5, 5, 5).assign(variant=lambda one: pd.Categorical(one["variant"], ["B", "A"]))
    assert compare(ordered, metric="label").control == "B"
    named = pass_fail([(1, 0)] * 12, names=("new", "control"))
    assert compare(named, metric="label").control == "control"
