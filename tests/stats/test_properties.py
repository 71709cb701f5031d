"""What has to hold for any data: mirrors, orders, scales, round trips and sums of parts."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aikit.stats import Comparison, clustered_mean, compare, paired_difference
from aikit.stats.agreement import krippendorff_alpha
from aikit.stats.multiple import adjust_p, max_t
from aikit.stats.planning import sample_size
from aikit.stats.preference import abilities_from_wins
from aikit.stats.proportions import mcnemar, tango
from aikit.stats.ratios import geometric_ratio
from aikit.stats.results import Record
from aikit.stats.sequential import group_bounds
from aikit.stats.srm import sample_ratio_mismatch
from aikit.stats.sums import PairSums, Sums

NUMBER = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))
PAIRS = st.lists(st.tuples(NUMBER, NUMBER), min_size=12, max_size=40)
PASSES = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=12, max_size=60)
COUNTS = st.tuples(*[st.integers(0, 40)] * 4).filter(lambda one: sum(one) > 0)
QUICK = settings(max_examples=25, deadline=None)


def frame(pairs, *, column="value", names=("A", "B")) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"sample": f"s{i}", "variant": name, column: one}
            for i, pair in enumerate(pairs)
            for name, one in zip(names, pair, strict=True)
        ]
    )


def mirrored(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == pytest.approx(-other, abs=1e-9, rel=1e-9)


@QUICK
@given(PASSES)
def test_swapping_two_variants_mirrors_a_comparison_of_passes(pairs):
    there = compare(frame(pairs), metric="value", control="A")
    back = compare(frame(pairs), metric="value", control="B")
    assert (there.wins, there.losses, there.ties) == (back.losses, back.wins, back.ties)
    assert mirrored(there.estimate, back.estimate)
    assert mirrored(there.low, back.high)
    assert mirrored(there.high, back.low)
    assert there.p == pytest.approx(back.p)


@QUICK
@given(PAIRS)
def test_swapping_two_variants_mirrors_a_comparison_of_scores(pairs):
    there, back = (paired_difference(*(np.array(pairs).T[order])) for order in ([0, 1], [1, 0]))
    assert mirrored(there.estimate, back.estimate)
    assert mirrored(there.low, back.high)
    assert there.p == (None if back.p is None else pytest.approx(back.p))


@settings(max_examples=200, deadline=None)
@given(COUNTS)
def test_tables_mirror_and_their_interval_holds_the_estimate(counts):
    both, a_only, b_only, neither = counts
    there, back = tango(both, a_only, b_only, neither), tango(both, b_only, a_only, neither)
    assert mirrored(there.low, back.high)
    assert -1 <= there.low <= (b_only - a_only) / sum(counts) <= there.high <= 1
    assert mcnemar(both, a_only, b_only, neither).p == mcnemar(both, b_only, a_only, neither).p


@QUICK
@given(PASSES, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(pairs, random):
    rows = frame(pairs)
    places = list(range(len(rows)))
    random.shuffle(places)
    assert compare(rows, metric="value", control="A") == compare(rows.iloc[places], metric="value", control="A")


@QUICK
@given(PAIRS, st.integers(2, 9))
def test_scaling_a_score_scales_its_interval_and_leaves_its_p(pairs, factor):
    values = np.array(pairs)
    plain, scaled = (paired_difference(one[:, 0], one[:, 1]) for one in (values, values * factor))
    if plain.low is None or not plain.se:
        return
    assert scaled.low == pytest.approx(plain.low * factor, rel=1e-6, abs=1e-6)
    assert scaled.high == pytest.approx(plain.high * factor, rel=1e-6, abs=1e-6)
    assert scaled.p == pytest.approx(plain.p, rel=1e-6)


@QUICK
@given(st.lists(st.tuples(st.floats(0.1, 100), st.floats(0.1, 100)), min_size=10, max_size=30), st.floats(0.01, 100))
def test_a_ratio_does_not_know_the_unit(pairs, unit):
    a, b = np.array(pairs).T
    plain, other = geometric_ratio(a, b), geometric_ratio(a * unit, b * unit)
    assert other.estimate == pytest.approx(plain.estimate)
    assert other.low == pytest.approx(plain.low)


@QUICK
@given(PAIRS, NUMBER)
def test_adding_a_constant_to_a_sample_moves_no_difference(pairs, level):
    values = np.array(pairs)
    moved = values + np.where(np.arange(len(values)) % 2, level, 0.0)[:, None]
    plain, shifted = paired_difference(*values.T), paired_difference(*moved.T)
    assert shifted.estimate == pytest.approx(plain.estimate, abs=1e-6)
    if plain.se and plain.se > 1e-6:
        assert shifted.low == pytest.approx(plain.low, abs=1e-6, rel=1e-6)


def test_adding_a_sample_without_difference_keeps_the_sum_of_differences():
    values = [(0.1, 0.4), (0.2, 0.1), (0.5, 0.9)] * 5
    before = compare(frame(values), metric="value", control="A")
    after = compare(frame([*values, (0.3, 0.3)]), metric="value", control="A")
    assert after.estimate * after.samples == pytest.approx(before.estimate * before.samples)
    assert (after.wins, after.losses, after.ties) == (before.wins, before.losses, before.ties + 1)


def test_more_data_does_not_widen_an_interval_on_average():
    random = np.random.default_rng(0)
    widths = np.zeros((200, 3))
    for draw in range(200):
        values = random.normal(size=160)
        passed = random.multinomial(160, [0.1, 0.15, 0.75])
        for place, n in enumerate((40, 80, 160)):
            found = clustered_mean(values[:n])
            counts = np.round(passed * n / 160).astype(int)
            interval = tango(int(counts[2]), int(counts[0]), int(counts[1]), 0)
            widths[draw, place] = found.high - found.low + interval.high - interval.low
    assert (np.diff(widths.mean(axis=0)) < 0).all()


@QUICK
@given(PASSES, st.sampled_from(["fixed", "group", "anytime"]))
def test_a_comparison_survives_a_dict_and_back(pairs, stopping):
    found = compare(frame(pairs), metric="value", stopping=stopping, planned=len(pairs))
    assert Comparison.from_dict(found.to_dict()) == found


@pytest.mark.parametrize(
    "result",
    [
        group_bounds([0.05, 0.5, 1.0]),
        max_t(np.arange(12.0).reshape(6, 2) - 4),
        sample_size(0.1, discordance=0.3),
        sample_ratio_mismatch([3, 4]),
        abilities_from_wins([[0, 3, 1], [2, 0, 4], [5, 1, 0]], ["x", "y", "z"]),
        krippendorff_alpha([[1, 2, 2, 1], [1, 2, 1, 1]], draws=50),
    ],
    ids=lambda one: type(one).__name__,
)
def test_every_kind_of_result_survives_a_dict_and_back_and_shows_itself(result: Record):
    import json

    again = type(result).from_dict(json.loads(json.dumps(result.to_dict())))
    assert again == result
    assert "<script" not in result._repr_html_()
    assert result.sentence.endswith((".", ")"))


@QUICK
@given(PAIRS, st.integers(1, 6), st.randoms(use_true_random=False))
def test_partial_sums_give_the_whole_in_any_order(pairs, parts, random):
    values = np.array(pairs)
    pieces = [one for one in np.array_split(values, parts) if len(one)]
    random.shuffle(pieces)
    merged = functools.reduce(lambda x, y: x + y, [PairSums.of(*piece.T) for piece in pieces])
    whole, direct = paired_difference(*values.T), merged.difference()
    assert direct.estimate == pytest.approx(whole.estimate, abs=1e-7)
    if whole.se and whole.se > 1e-3:
        assert direct.low == pytest.approx(whole.low, abs=1e-5, rel=1e-5)
    one_arm = functools.reduce(lambda x, y: x + y, [Sums.of(piece[:, 0]) for piece in pieces])
    assert one_arm.mean().estimate == pytest.approx(values[:, 0].mean(), abs=1e-7)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_adjusted_ps_are_never_smaller_keep_their_order_and_ignore_the_order_given(ps, random):
    places = list(range(len(ps)))
    random.shuffle(places)
    for method in ("holm", "hochberg", "hommel", "BH", "BY", "bonferroni"):
        adjusted = adjust_p(ps, method=method)
        assert all(a >= p - 1e-12 for a, p in zip(adjusted, ps, strict=True))
        assert [adjusted[k] for k in np.argsort(ps, kind="stable")] == sorted(adjusted)
        assert adjust_p([ps[k] for k in places], method=method) == pytest.approx([adjusted[k] for k in places])


@QUICK
@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=6, unique=True), st.floats(0.01, 0.2))
def test_any_realised_looks_spend_alpha_and_no_more(shares, alpha):
    from aikit.stats.sequential import group_power

    bounds = group_bounds(sorted(shares), alpha=alpha)
    assert sum(group_power(bounds, drift=0.0).stop) == pytest.approx(alpha, abs=1e-5)
    assert bounds.spent[-1] == alpha
