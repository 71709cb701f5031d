"""Clusters: CR2 with Satterthwaite's degrees of freedom keeps its level where the usual corrections do not."""

from __future__ import annotations

import numpy as np
import pytest

from aikit.stats.clustered import clustered_mean, t_two_sided
from tests.stats.simulations.bands import RUNS, at_most, in_coverage_band, in_rate_band, shares

UNEQUAL = [100, 40, 10, *[5] * 7]
GIANT = [50, *[10] * 39]


def test_the_shapes_are_those_of_the_table():
    assert len(UNEQUAL) == 10
    assert len(GIANT) == 40


@RUNS
@pytest.mark.parametrize(
    ("sizes", "icc"),
    [([10] * 20, 0.1), ([10] * 20, 0.3), ([25] * 8, 0.1), ([20] * 5, 0.1), (UNEQUAL, 0.1), (GIANT, 0.3)],
    ids=["20x10 icc .1", "20x10 icc .3", "8x25", "5x20", "unequal", "one giant"],
)
def test_clustered_differences_keep_their_level_and_coverage(runs: int, sizes: list[int], icc: float):
    codes = np.repeat(np.arange(len(sizes)), sizes)

    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        own = random.normal(0, np.sqrt(icc), len(sizes))[codes]
        found = clustered_mean(own + random.normal(0, np.sqrt(1 - icc), codes.size), codes)
        naive = found.estimate / found.details["naive_se"]
        cr1 = t_two_sided(found.estimate / found.details["se_cr1"], len(sizes) - 1)
        return found.p < 0.05, found.low <= 0 <= found.high, abs(naive) > 1.96, cr1 < 0.05

    rate, coverage, naive, cr1 = shares(runs, experiment)
    assert in_rate_band(rate, runs)
    assert in_coverage_band(coverage, runs)
    assert naive > 0.12
    assert cr1 > 0.10 or sizes is not UNEQUAL


@RUNS
def test_a_cluster_with_a_third_of_the_data_is_where_cr2_begins_to_strain(runs: int):
    """Satterthwaite's eight degrees of freedom are an approximation here: .058 in 100,000 draws, CR1 .13."""
    sizes = [100, *[5] * 39]
    codes = np.repeat(np.arange(40), sizes)

    def experiment(random: np.random.Generator) -> tuple[bool, ...]:
        own = random.normal(0, np.sqrt(0.1), 40)[codes]
        found = clustered_mean(own + random.normal(0, np.sqrt(0.9), codes.size), codes)
        return found.p < 0.05, t_two_sided(found.estimate / found.details["se_cr1"], 39) < 0.05

    rate, cr1 = shares(runs, experiment)
    assert at_most(rate, 0.061, runs)
    assert cr1 > 0.10
