"""Shares: paired tables, two groups, several variants; against statsmodels, scipy and direct inversion."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.stats import contingency_tables, proportion

from aikit.errors import DataError
from aikit.stats import (
    boschloo,
    cochran_q,
    difference_of_shares,
    mcnemar,
    newcombe,
    newcombe_paired,
    paired_shares,
    share_test,
    tango,
    wilson,
)  # fmt: skip


def score_by_maximum_likelihood(table, delta):
    """Tango's statistic with the nuisance found by a numerical search, not by the closed form."""
    _, a_only, b_only, _ = table
    n = sum(table)

    def minus_log_likelihood(q):
        cells = (b_only, q + delta), (a_only, q), (n - b_only - a_only, 1 - 2 * q - delta)
        return -sum(count * math.log(max(p, 1e-300)) for count, p in cells if count)

    q = optimize.minimize_scalar(
        minus_log_likelihood, bounds=(max(0.0, -delta), (1 - delta) / 2), method="bounded", options={"xatol": 1e-13}
    ).x
    return (b_only - a_only - n * delta) / math.sqrt(n * (2 * q + delta * (1 - delta)))


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.01])
@pytest.mark.parametrize("table", [(20, 2, 12, 16), (160, 31, 20, 89), (5, 3, 1, 1), (40, 7, 7, 46), (0, 1, 9, 4)])
def test_tangos_limits_are_where_the_score_meets_z(table, alpha):
    found, z = tango(*table, alpha=alpha), stats.norm.ppf(1 - alpha / 2)
    assert score_by_maximum_likelihood(table, found.low) == pytest.approx(z, abs=2e-3)
    assert score_by_maximum_likelihood(table, found.high) == pytest.approx(-z, abs=2e-3)


@pytest.mark.parametrize(
    "table", [(10, 0, 0, 0), (0, 0, 12, 0), (0, 12, 0, 0), (3, 0, 1, 6), (1, 0, 0, 0), (0, 0, 0, 0)]
)
def test_tango_gives_limits_for_every_table_and_mirrors(table):
    found, mirrored = tango(*table), tango(table[0], table[2], table[1], table[3])
    assert -1 <= found.low <= found.high <= 1
    assert (found.low, found.high) == pytest.approx((-mirrored.high, -mirrored.low), abs=1e-9)
    n = sum(table)
    if n and table[1] == table[2] == 0:
        z = 1.959964
        assert found.high == pytest.approx(z**2 / (n + z**2), abs=1e-6)


@pytest.mark.parametrize("b", range(12))
def test_mcnemar_is_the_binomial_and_its_mid_p(b):
    c = 5
    found = mcnemar(30, c, b, 40)
    exact = contingency_tables.mcnemar([[30, c], [b, 40]], exact=True).pvalue
    assert found.details["p_exact"] == pytest.approx(exact)
    if b != c:
        assert found.p == pytest.approx(2 * stats.binom.cdf(min(b, c), b + c, 0.5) - stats.binom.pmf(b, b + c, 0.5))
    assert found.p <= 1


def test_no_discordant_pair_is_no_evidence():
    found = paired_shares(40, 0, 0, 10)
    assert (found.estimate, found.p) == (0.0, 1.0) and found.low < 0 < found.high
    assert paired_shares(0, 0, 0, 0).estimate is None


def test_wilson_and_newcombe_are_statsmodels():
    for passed, n in ((0, 10), (3, 10), (10, 10), (81, 263)):
        low, high = proportion.proportion_confint(passed, n, method="wilson", alpha=0.1)
        found = wilson(passed, n, alpha=0.1)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    for table in ((3, 20, 11, 25), (0, 8, 8, 8), (50, 60, 40, 90)):
        low, high = proportion.confint_proportions_2indep(table[2], table[3], table[0], table[1], method="newcomb")
        found = newcombe(*table)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-10)


def test_newcombes_paired_interval_holds_the_estimate_and_mirrors():
    for table in ((20, 2, 12, 16), (0, 5, 0, 5), (9, 0, 0, 1)):
        found, mirrored = newcombe_paired(*table), newcombe_paired(table[0], table[2], table[1], table[3])
        estimate = (table[2] - table[1]) / sum(table)
        assert found.low - 1e-12 <= estimate <= found.high + 1e-12
        assert (found.low, found.high) == pytest.approx((-mirrored.high, -mirrored.low))


def test_boschloo_is_scipys():
    random = np.random.default_rng(0)
    for _ in range(25):
        n_a, n_b = (int(x) for x in random.integers(2, 22, 2))
        a, b = int(random.integers(0, n_a + 1)), int(random.integers(0, n_b + 1))
        theirs = stats.boschloo_exact([[a, b], [n_a - a, n_b - b]]).pvalue
        assert boschloo(a, n_a, b, n_b).p == pytest.approx(1.0 if math.isnan(theirs) else theirs, abs=1e-6)


def test_the_expected_count_decides_between_score_z_and_boschloo():
    large, small = difference_of_shares(40, 100, 55, 100), difference_of_shares(0, 20, 4, 20)
    assert "score z" in large.method and "Boschloo" in small.method
    assert large.p == pytest.approx(stats.chi2_contingency([[40, 60], [55, 45]], correction=False).pvalue)
    assert large.p == pytest.approx(share_test(40, 100, 55, 100).p)
    assert difference_of_shares(0, 0, 3, 4).estimate is None


def test_a_rare_event_in_many_samples_stays_quick_and_honest():
    found = difference_of_shares(0, 100_000, 3, 100_000)
    assert found.p == pytest.approx(stats.fisher_exact([[0, 3], [100_000, 99_997]]).pvalue)
    assert found.warnings


def test_cochrans_q_is_statsmodels_and_counts_no_concordant_rows():
    table = np.random.default_rng(1).random((40, 4)) < [0.4, 0.5, 0.6, 0.8]
    assert cochran_q(table).p == pytest.approx(contingency_tables.cochrans_q(table.astype(int)).pvalue)
    assert cochran_q(np.ones((5, 3))).p == 1.0


def test_impossible_counts_are_refused():
    for call in (lambda: wilson(3, 2), lambda: mcnemar(-1, 0, 0, 0), lambda: newcombe(5, 4, 0, 1), lambda: tango(1, 0, 0, 0, alpha=1.5)):  # fmt: skip  # noqa: E501
        with pytest.raises(DataError):
            call()
