"""Always-valid evidence: the sequence, its e-value, and the exact test of discordant pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aikit.errors import DataError
from aikit.stats.anytime import (
    confidence_sequence,
    mcnemar_evidence,
    sequence_from_error,
    sequence_half_width,
    sequence_log_evidence,
)  # fmt: skip


def test_the_e_value_reaches_twenty_exactly_when_the_interval_leaves_zero():
    n, sd = 120, 1.3
    edge = float(sequence_half_width(n, sd, planned=200))
    assert float(sequence_log_evidence(n, edge, sd, planned=200)) == pytest.approx(math.log(20))


def test_it_is_narrowest_near_the_planned_size():
    widths = {planned: float(sequence_half_width(200, 1.0, planned=planned)) for planned in (20, 200, 5000)}
    assert widths[200] < widths[20] < widths[5000]


def test_below_the_burn_in_there_is_an_estimate_and_no_interval():
    found = confidence_sequence(np.arange(49.0), planned=100)
    assert found.estimate == 24
    assert found.low is None
    assert "50" in found.warnings[0]
    assert confidence_sequence([], planned=100).estimate is None


def test_clusters_are_the_units_that_count():
    values = np.random.default_rng(0).normal(size=600)
    found = confidence_sequence(values, planned=60, cluster=np.arange(600) // 10)
    assert found.clusters == 60
    assert found.n == 600


def test_heavy_tails_are_warned_of_and_rare_failures_are_not():
    random = np.random.default_rng(0)
    assert confidence_sequence(random.lognormal(0, 2, 400), planned=400).warnings
    assert not confidence_sequence(random.choice([-1.0, 0.0, 1.0], 400, p=[0.01, 0.98, 0.01]), planned=400).warnings


def test_constant_differences_are_certain_or_nothing():
    assert sequence_from_error(0.0, 0.0, 100, planned=100).p == pytest.approx(1.0)
    found = sequence_from_error(0.2, 0.0, 100, planned=100)
    assert found.details["e_value"] == math.inf
    assert found.p == 0


def test_no_discordant_pair_is_no_evidence():
    found = mcnemar_evidence(0, 0)
    assert found.statistic == 1
    assert found.p == 1
    assert mcnemar_evidence(5000, 0).p == 0
    with pytest.raises(DataError):
        mcnemar_evidence(-1, 2)


def test_the_evidence_is_a_fair_bet_under_equality():
    """E is a martingale: its mean over the next fair pair is what it is now."""
    now = mcnemar_evidence(7, 3).statistic
    assert (mcnemar_evidence(8, 3).statistic + mcnemar_evidence(7, 4).statistic) / 2 == pytest.approx(now)


@pytest.mark.parametrize("planned", [0, -5])
def test_a_plan_of_nothing_is_refused(planned: int):
    with pytest.raises(DataError):
        sequence_half_width(10, 1.0, planned=planned)
