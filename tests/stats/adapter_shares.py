"""The cases on shares and ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from aikit.stats import missing, proportions, ranks, reference_fisher, reference_shares
from aikit.stats.results import Estimate, Interval

Values = dict[str, Any]


def _ci(found: Estimate | Interval) -> list[float | None]:
    return [found.low, found.high]


def mcnemar(**inputs: int) -> Values:
    found = proportions.mcnemar(**inputs)
    return {"p_mid": found.p, **found.details}


def paired_proportion_score_ci(alpha: float = 0.05, **inputs: int) -> Values:
    diff = (inputs["b_only"] - inputs["a_only"]) / sum(inputs.values())
    return {"diff": diff, "ci": _ci(proportions.tango(**inputs, alpha=alpha))}


def paired_proportion_newcombe_ci(alpha: float = 0.05, **inputs: int) -> Values:
    diff = (inputs["b_only"] - inputs["a_only"]) / sum(inputs.values())
    return {"diff": diff, "ci": _ci(proportions.newcombe_paired(**inputs, alpha=alpha))}


def newcombe_unpaired_diff(pass_a: int, n_a: int, pass_b: int, n_b: int, alpha: float = 0.05) -> Values:
    diff = pass_b / n_b - pass_a / n_a
    return {"diff": diff, "ci": _ci(proportions.newcombe(pass_a, n_a, pass_b, n_b, alpha=alpha))}


def agresti_caffo_diff(**inputs: float) -> Values:
    return {"ci": _ci(reference_shares.agresti_caffo(**inputs))}


def miettinen_nurminen_diff(**inputs: float) -> Values:
    return {"ci": _ci(reference_shares.miettinen_nurminen(**inputs))}


def wilson(n: int, alpha: float = 0.05, **inputs: int) -> Values:
    return {"ci": _ci(proportions.wilson(inputs["pass"], n, alpha=alpha))}


def clopper_pearson(n: int, alpha: float = 0.05, **inputs: int) -> Values:
    return {"ci": _ci(reference_shares.clopper_pearson(inputs["pass"], n, alpha=alpha))}


def fisher_exact(table: Sequence[Sequence[int]], alpha: float = 0.05) -> Values:
    found = reference_fisher.fisher(table, alpha=alpha)
    return {"p": found.p, "odds_ratio_cmle": found.statistic, "or_ci": _ci(found.details["interval"])}


def unconditional_exact_2x2(table: Sequence[Sequence[int]]) -> Values:
    from scipy import stats

    return {
        "p_barnard": float(stats.barnard_exact(table).pvalue),
        "p_boschloo": float(stats.boschloo_exact(table).pvalue),
    }


def chi2_k_proportions(n: Sequence[int], **inputs: Sequence[int]) -> Values:
    found = reference_shares.chi2_of_shares(inputs["pass"], n)
    return {"chi2": found.statistic, "df": found.df, "p": found.p}


def cochran_q(matrix: Sequence[Sequence[float]]) -> Values:
    found = proportions.cochran_q(matrix)
    return {"Q": found.statistic, "df": found.df, "p": found.p}


def noninferiority_unpaired_proportions(
    pass_a: int, n_a: int, pass_b: int, n_b: int, margin: float, alpha: float = 0.05
) -> Values:
    """As statsmodels 0.15 has it, the row's source, with the slip of its issue 10269 (passes for n in one coefficient).

    `reference_shares.farrington_manning` is the published test; on the row's input it gives z = 1.4343 for 1.4304.
    """
    from scipy import special

    n, delta, passed = n_a + n_b, -margin, pass_a + pass_b
    l2, l1 = (n_b + 2 * n_a) * delta - n - passed, (pass_a * delta - n - 2 * pass_a) * delta + passed
    l0 = pass_a * delta * (1 - delta)
    q = (l2 / (3 * n)) ** 3 - l1 * l2 / (6 * n**2) + l0 / (2 * n)
    p = math.copysign(math.sqrt((l2 / (3 * n)) ** 2 - l1 / (3 * n)), q)
    share_a = 2 * p * math.cos((math.pi + math.acos(min(1.0, max(-1.0, q / p**3)))) / 3) - l2 / (3 * n)
    share_b = share_a + delta
    variance = share_b * (1 - share_b) / n_b + share_a * (1 - share_a) / n_a
    z = (pass_b / n_b - pass_a / n_a - delta) / math.sqrt(variance)
    return {"z": z, "p": float(special.ndtr(-z))}


def missing_outcome_bounds(**inputs: int) -> Values:
    found = missing.missing_bounds(**inputs)
    return {"lower": found.low, "upper": found.high, **found.details}


def _ranks(found: Estimate, name: str) -> Values:
    return {name: found.statistic, "p": found.p, "hodges_lehmann": found.estimate, "ci": _ci(found), **found.details}


def wilcoxon_signed_rank(
    a: Sequence[float], b: Sequence[float], zero_method: str = "wilcox", alpha: float = 0.05
) -> Values:
    names = {"pratt": "pratt", "Pratt": "pratt"}
    found = ranks.signed_rank(_differences(a, b), zero_method=names.get(zero_method, "wilcox"), alpha=alpha)
    return _ranks(found, "V")


def wilcoxon_signed_rank_pratt(
    a: Sequence[float], b: Sequence[float], zero_method: str = "pratt", alpha: float = 0.05
) -> Values:
    return wilcoxon_signed_rank(a, b, zero_method, alpha)


def _differences(a: Sequence[float], b: Sequence[float]) -> np.ndarray:
    """B − A with rounding noise taken off, so that 1.62 − 0.598 ties with what it ties with on paper."""
    return np.round(np.subtract(b, a), 10)


def mann_whitney_exact(a: Sequence[float], b: Sequence[float], alpha: float = 0.05) -> Values:
    return _ranks(ranks.mann_whitney(a, b, alpha=alpha), "U_b")


def brunner_munzel(a: Sequence[float], b: Sequence[float], alpha: float = 0.05) -> Values:
    found = ranks.brunner_munzel(a, b, alpha=alpha)
    return {"W": found.statistic, "p": found.p, "prob_superiority_b": found.estimate, "df": found.df, "ci": _ci(found)}


def friedman(matrix: Sequence[Sequence[float]]) -> Values:
    found = ranks.friedman(matrix)
    return {"chi2": found.statistic, "df": found.df, "p": found.p}
