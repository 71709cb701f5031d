"""Means over clusters against clubSandwich's figures, statsmodels, and brute-force matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from aikit.errors import DataError
from aikit.stats import clustered_difference, clustered_mean, mean_of_cluster_sums, welch


def cr2_by_matrices(y, x, cluster, contrast):
    """CR2 with an identity working model and Satterthwaite's df, by the definition (Pustejovsky & Tipton 2018)."""
    n = len(y)
    bread = np.linalg.inv(x.T @ x)
    hat = x @ bread @ x.T
    residual = y - hat @ y
    rows = []
    for g in np.unique(cluster):
        at = np.flatnonzero(cluster == g)
        values, vectors = np.linalg.eigh(np.eye(at.size) - hat[np.ix_(at, at)])
        root = vectors @ np.diag(np.where(values > 1e-10, values, np.inf) ** -0.5) @ vectors.T
        rows.append((np.eye(n) - hat)[:, at] @ root @ x[at] @ bread @ contrast)
    p = np.stack(rows, axis=1)
    variance = sum((p[:, g] @ y) ** 2 for g in range(p.shape[1]))
    assert np.allclose(residual, (np.eye(n) - hat) @ y)
    gram = p.T @ p
    return math.sqrt(variance), np.trace(gram) ** 2 / (gram**2).sum()


@pytest.mark.parametrize("seed", range(5))
def test_the_closed_form_is_the_definition_of_cr2_with_satterthwaites_df(seed):
    random = np.random.default_rng(seed)
    cluster = random.integers(0, 7, 40)
    y = random.normal(size=40) + random.normal(size=7)[cluster]
    se, df = cr2_by_matrices(y, np.ones((40, 1)), cluster, np.ones(1))
    found = clustered_mean(y, cluster)
    assert found.se == pytest.approx(se, rel=1e-10)
    assert found.df == pytest.approx(df, rel=1e-10)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(y.mean() / se), df), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_two_groups_sharing_clusters_follow_the_definition_too(seed):
    random = np.random.default_rng(seed)
    arm, cluster = random.integers(0, 2, 50), random.integers(0, 8, 50)
    y = random.normal(size=50) + random.normal(size=8)[cluster] + 0.3 * arm
    se, df = cr2_by_matrices(y, np.column_stack([1 - arm, arm]), cluster, np.array([-1.0, 1.0]))
    found = clustered_difference(y[arm == 0], y[arm == 1], cluster[arm == 0], cluster[arm == 1])
    assert found.estimate == pytest.approx(y[arm == 1].mean() - y[arm == 0].mean())
    assert (found.se, found.df) == pytest.approx((se, df), rel=1e-10)


def test_singleton_clusters_are_students_t():
    y = np.random.default_rng(3).normal(0.3, 1, 25)
    plain, clustered, scipy = clustered_mean(y), clustered_mean(y, np.arange(25)), stats.ttest_1samp(y, 0)
    assert (plain.p, plain.df) == pytest.approx((scipy.pvalue, 24))
    assert (clustered.p, clustered.df, clustered.low) == pytest.approx((plain.p, 24, plain.low))


def test_labels_of_any_type_and_order_give_the_same_answer():
    y = np.random.default_rng(4).normal(size=12)
    names = np.array(list("abcabcabcabc"))
    order = np.random.default_rng(5).permutation(12)
    one, other = clustered_mean(y, names), clustered_mean(y[order], names[order])
    assert (one.se, one.df, one.estimate) == pytest.approx((other.se, other.df, other.estimate))


def test_cluster_sums_give_what_the_values_give():
    y, cluster = np.random.default_rng(6).normal(5, 2, 30), np.repeat(np.arange(6), [1, 2, 3, 6, 8, 10])
    whole = clustered_mean(y, cluster)
    counts, sums = np.bincount(cluster), np.bincount(cluster, weights=y)
    parts = mean_of_cluster_sums(counts[::-1], sums[::-1], squares=float(y @ y))
    assert (parts.estimate, parts.se, parts.df) == pytest.approx((whole.estimate, whole.se, whole.df))
    assert parts.details["naive_se"] == pytest.approx(whole.details["naive_se"])


def test_welch_is_scipys_and_survives_an_arm_without_spread():
    random = np.random.default_rng(7)
    a, b = random.normal(0, 1, 12), random.normal(0.5, 3, 30)
    found, scipy = welch(clustered_mean(a), clustered_mean(b)), stats.ttest_ind(b, a, equal_var=False)
    assert (found.p, found.df) == pytest.approx((scipy.pvalue, scipy.df))
    flat = welch(clustered_mean(np.ones(5)), clustered_mean(b))
    assert flat.df == pytest.approx(29)


@pytest.mark.parametrize(
    ("values", "cluster"), [([], None), ([1.0], None), ([1.0, 2.0, 3.0], [1, 1, 1]), ([5.0, 5.0, 5.0], None)]
)
def test_what_has_no_spread_has_no_invented_error(values, cluster):
    found = clustered_mean(values, cluster)
    if len(set(values)) == 1 and len(values) > 1:
        assert (found.se, found.low, found.high, found.p) == (0.0, 5.0, 5.0, None)
    else:
        assert found.se is None and found.low is None and found.p is None


def test_rounding_is_not_taken_for_spread():
    assert clustered_mean([0.1 + 0.2, 0.3, 0.3]).se == 0.0


def test_small_integers_and_single_floats_are_summed_in_double():
    assert clustered_mean(np.full(300, 100, dtype=np.int8)).estimate == 100.0
    single = np.full(2_000_000, 0.1, dtype=np.float32)
    assert clustered_mean(single).estimate == pytest.approx(float(np.float32(0.1)), rel=1e-9)


def test_nan_text_and_missing_labels_are_refused_with_a_reason():
    for values, cluster in (([1.0, math.nan], None), (["a", "b"], None), ([1.0, 2.0], [1]), ([1.0, 2.0], [1, None])):
        with pytest.raises(DataError):
            clustered_mean(values, cluster)
