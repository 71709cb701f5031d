"""`compare` picks the method for each kind of metric and design, and says why."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from aikit.stats import (
    clustered_mean,
    compare,
    geometric_ratio,
    mcnemar,
    newcombe,
    per_success,
    sign_flip,
    tango,
    welch,
)  # fmt: skip
from tests.stats.frames import numbers, pass_fail, table, trials


def test_paired_pass_fail_is_mcnemar_with_tango():
    found = compare(table(60, 5, 17, 18), metric="label", control="A")
    assert (found.estimate, found.unit, found.kind) == (pytest.approx(0.12), "points", "binary")
    assert found.p == pytest.approx(mcnemar(60, 5, 17, 18).p)
    limits = tango(60, 5, 17, 18)
    assert (found.low, found.high) == (limits.low, limits.high)
    assert (found.wins, found.losses, found.ties, found.samples, found.calls) == (17, 5, 78, 100, 200)
    assert "McNemar" in found.method and "Tango" in found.method and "same samples" in found.method


def test_fewer_than_ten_samples_show_counts_and_no_interval():
    found = compare(table(3, 0, 4, 2), metric="label", control="A")
    assert found.low is None and found.wins == 4 and found.p == pytest.approx(0.0625)
    assert any("fewer than 10" in one for one in found.warnings)


def test_repeated_pass_fail_is_cr2_on_sample_means():
    frame = trials(60, epochs=5)
    found = compare(frame, metric="label", control="zero")
    cells = frame.groupby(["sample", "variant"])["label"].mean().unstack()
    plain = clustered_mean((cells["few"] - cells["zero"]).to_numpy())
    assert (found.p, found.low, found.high) == pytest.approx((plain.p, plain.low, plain.high))
    assert "CR2" in found.method and "epochs" in found.method
    assert found.samples == 60 and found.calls == 600
    assert set(found.details["epochs"]) >= {"zero", "few", "pass@5", "pass^5"}


def test_clusters_are_kept_whole():
    frame = trials(60)
    frame["document"] = frame["sample"].str[:4].str[-1]
    frame["document"] = frame["sample"].str[1:].astype(int) // 5
    found = compare(frame, metric="label", control="zero", cluster="document")
    cells = frame.pivot(index="sample", columns="variant", values="label").astype(float)
    plain = clustered_mean((cells["few"] - cells["zero"]).to_numpy(), np.arange(60) // 5)
    assert (found.p, found.low, found.clusters) == (pytest.approx(plain.p), pytest.approx(plain.low), 12)
    assert "cluster" in found.method


def test_up_to_five_clusters_of_pass_fail_have_a_sign_flip_p_only():
    frame = trials(50)
    frame["cluster"] = frame["sample"].str[1:].astype(int) % 5
    found = compare(frame, metric="label", control="zero")
    assert found.low is None and found.p >= 2**-4 and found.clusters == 5
    assert "sign-flip" in found.method and any("0.0625" in one for one in found.warnings)
    assert compare(frame, metric="score", control="zero").low is not None


def test_unpaired_pass_fail_is_newcombe_with_score_z_or_boschloo():
    frame = trials(150, paired=False)
    found = compare(frame, metric="label", control="zero")
    counts = frame.groupby("variant")["label"].sum()
    limits = newcombe(int(counts["zero"]), 150, int(counts["few"]), 150)
    assert (found.low, found.high) == (limits.low, limits.high)
    assert "score z" in found.method and "different samples" in found.method
    small = compare(trials(8, paired=False), metric="label", control="zero")
    assert "Boschloo" in small.method


def test_unpaired_samples_with_epochs_are_welch_on_sample_means():
    frame = trials(40, epochs=3, paired=False)
    found = compare(frame, metric="label", control="zero")
    means = frame.groupby(["variant", "sample"])["label"].mean()
    assert found.p == pytest.approx(stats.ttest_ind(means["few"], means["zero"], equal_var=False).pvalue)


def test_scores_are_cr2_with_a_sign_flip_check():
    frame = trials(80, lift=0.1)
    found = compare(frame, metric="score", control="zero")
    cells = frame.pivot(index="sample", columns="variant", values="score")
    difference = (cells["few"] - cells["zero"]).to_numpy()
    assert found.p == pytest.approx(stats.ttest_1samp(difference, 0).pvalue)
    assert found.p_check == pytest.approx(sign_flip(difference).p)
    assert found.unit == "score"


def test_few_and_skewed_scores_are_bootstrapped():
    found = compare(numbers(np.zeros(20), np.random.default_rng(0).lognormal(0, 1.3, 20)), metric="value", control="A")
    assert "studentised bootstrap" in found.method
    assert found.high - found.estimate > found.estimate - found.low


def test_unpaired_scores_are_welch_and_ordinals_brunner_munzel():
    frame = trials(60, paired=False)
    a, b = (frame.loc[frame["variant"] == one, "score"] for one in ("zero", "few"))
    score = compare(frame, metric="score", control="zero")
    assert score.p == pytest.approx(welch(clustered_mean(a), clustered_mean(b)).p)
    grade = compare(frame, metric="grade", kind="ordinal", control="zero")
    by_scipy = stats.brunnermunzel(*(frame.loc[frame["variant"] == one, "grade"] for one in ("zero", "few")))
    assert grade.p == pytest.approx(by_scipy.pvalue) and grade.unit == "net wins"


def test_paired_ordinals_carry_net_wins_beside_the_means():
    found = compare(trials(60), metric="grade", kind="ordinal", control="zero")
    net = (found.wins - found.losses) / found.samples
    assert found.details["net_wins"]["estimate"] == pytest.approx(net)
    assert "CR2" in found.method


@pytest.mark.parametrize("metric", ["cost", "duration", "output_tokens"])
def test_times_tokens_and_cost_are_log_ratios_with_quantiles(metric):
    frame = trials(90)
    found = compare(frame, metric=metric, control="zero")
    cells = frame.pivot(index="sample", columns="variant", values=metric)
    plain = geometric_ratio(cells["zero"], cells["few"])
    assert (found.estimate, found.low, found.p) == pytest.approx((plain.estimate - 1, plain.low - 1, plain.p))
    assert (found.unit, found.direction, found.kind) == ("relative", "lower", "ratio")
    assert set(found.details["quantiles"]) == {"p50", "p90", "p95"}


def test_unpaired_times_are_log_welch():
    frame = trials(50, paired=False)
    logs = np.log(frame["duration"])
    found = compare(frame, metric="duration", control="zero")
    by_scipy = stats.ttest_ind(logs[frame["variant"] == "few"], logs[frame["variant"] == "zero"], equal_var=False)
    assert found.p == pytest.approx(by_scipy.pvalue)


def test_a_zero_cost_takes_the_ratio_of_means():
    frame = trials(60)
    frame.loc[frame.index[:3], "cost"] = 0.0
    found = compare(frame, metric="cost", control="zero")
    means = frame.groupby("variant")["cost"].mean()
    assert found.estimate == pytest.approx(means["few"] / means["zero"] - 1)
    assert "ratio of means" in found.method


def test_cost_per_success_is_a_ratio_of_sums():
    frame = trials(90)
    found = compare(frame, metric="cost_per_success", control="zero")
    cells = frame.pivot(index="sample", columns="variant", values=["cost", "label"]).astype(float)
    plain = per_success(cells["cost"]["zero"], cells["label"]["zero"], cells["cost"]["few"], cells["label"]["few"])
    assert (found.estimate, found.p) == pytest.approx((plain.estimate - 1, plain.p))
    assert found.variant_value == pytest.approx(cells["cost"]["few"].sum() / cells["label"]["few"].sum())
    unpaired = compare(trials(90, paired=False), metric="cost_per_success", control="zero")
    assert "delta" in unpaired.method and unpaired.low < unpaired.estimate < unpaired.high


def test_preferences_come_as_points_or_as_winners():
    winners = ["B"] * 30 + ["A"] * 14 + ["tie"] * 6
    named = pd.DataFrame({"sample": range(50), "winner": winners})
    found = compare(named, metric="winner", kind="preference", control="A")
    assert found.estimate == pytest.approx((30 + 3) / 50 - 0.5)
    points = np.array([1.0] * 30 + [0.0] * 14 + [0.5] * 6) - 0.5
    assert found.p == pytest.approx(stats.ttest_1samp(points, 0).pvalue)
    as_points = numbers(0.5 - points, 0.5 + points)
    again = compare(as_points, metric="value", kind="preference", control="A")
    assert (again.estimate, again.p) == pytest.approx((found.estimate, found.p))


def test_several_variants_share_one_error_rate():
    frame = trials(100, variants=("A", "B", "C", "D"), lift=0.15)
    found = compare(frame, metric="score", control="A")
    alone = compare(frame[frame["variant"].isin(["A", "D"])], metric="score", control="A")
    assert [one.variant for one in found] == ["B", "C", "D"]
    assert found[2].p >= alone.p and found[2].low < alone.low and found[2].high > alone.high
    assert "max-T" in found[2].method and found[2].p_unadjusted == pytest.approx(alone.p)
    assert found[0].details == found[0].details | {"interval": "simultaneous interval"}


def test_several_pass_fail_variants_carry_cochrans_q():
    found = compare(trials(80, variants=("A", "B", "C")), metric="label", control="A")
    assert 0 <= found[0].details["cochran_q_p"] <= 1
    graded = compare(trials(80, variants=("A", "B", "C")), metric="grade", kind="ordinal", control="A")
    assert 0 <= graded[0].details["friedman_p"] <= 1


def test_several_unpaired_scores_are_dunnett_and_others_holm():
    frame = trials(40, variants=("A", "B", "C"), paired=False)
    assert "Dunnett" in compare(frame, metric="score", control="A")[0].method
    assert "Holm" in compare(frame, metric="label", control="A")[0].method


def test_a_failure_rate_is_a_metric_of_its_own():
    frame = trials(100)
    frame.loc[(frame["variant"] == "few") & (frame["sample"] < "s0020"), "status"] = "error"
    found = compare(frame, metric="failure", control="zero")
    assert (found.estimate, found.direction, found.losses) == (pytest.approx(0.2), "lower", 20)
    assert compare(frame, metric="error", control="zero").estimate == pytest.approx(0.2)
    assert compare(frame, metric="timeout", control="zero").estimate == 0


def test_a_sample_seen_by_both_in_a_mostly_unpaired_design_is_a_cluster():
    frame = trials(100, paired=False)
    frame.loc[frame["sample"] == "few0000", "sample"] = "zero0000"
    found = compare(frame, metric="label", control="zero")
    assert "sharing clusters" in found.method and any("different samples" in one for one in found.warnings)


def test_ties_and_pass_fail_by_kind():
    frame = pass_fail([(1, 0)] * 8 + [(0, 1)] * 8)
    found = compare(frame.astype({"label": int}), metric="label", kind="binary", control="A")
    assert (found.p, found.estimate) == (1.0, 0.0)
