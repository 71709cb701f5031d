"""The cases on means, ratios, quantiles and several groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from aikit.stats import clustered, equivalence, multiple, paired, quantiles, ratios, reference, reference_groups
from aikit.stats.results import Estimate, Interval

Values = dict[str, Any]


def _ci(found: Estimate | Interval) -> list[float | None]:
    return [found.low, found.high]


def _table(rows: Sequence[Sequence[float | None]]) -> np.ndarray:
    """Rows of any lengths as one table, NaN where a row is short or holds None."""
    width = max(len(row) for row in rows)
    filled = [[math.nan if one is None else one for one in row] + [math.nan] * (width - len(row)) for row in rows]
    return np.array(filled, dtype=float)


def _t(found: Estimate) -> Values:
    return {"diff": found.estimate, "t": found.statistic, "df": found.df, "p": found.p, "ci": _ci(found)}


def paired_t(a: Sequence[float], b: Sequence[float], alpha: float = 0.05) -> Values:
    return _t(paired.paired_difference(a, b, alpha=alpha))


def welch_t(a: Sequence[float], b: Sequence[float], alpha: float = 0.05) -> Values:
    return _t(clustered.welch(clustered.clustered_mean(a), clustered.clustered_mean(b), alpha=alpha))


def paired_signflip_permutation_exact(a: Sequence[float], b: Sequence[float]) -> Values:
    differences = np.subtract(b, a)
    found = paired.paired_difference(a, b)
    p = paired.sign_flip(differences, exact=True if differences.size <= 40 else None).p
    return {"diff": found.estimate, "p": p, "t": found.statistic, "t_p": found.p}


def paired_repeated_mean(
    a: Sequence[Sequence[float | None]], b: Sequence[Sequence[float | None]], alpha: float = 0.05
) -> Values:
    found = paired.repeated_difference(_table(a), _table(b), alpha=alpha)
    return {**_t(found), "se": found.se, **found.details}


def clustered_mean(values: Sequence[float], cluster: Sequence[Any], alpha: float = 0.05) -> Values:
    found = clustered.clustered_mean(values, cluster, alpha=alpha)
    return {
        "mean": found.estimate,
        "se_cr2": found.se,
        "df_satterthwaite": found.df,
        "p_cr2": found.p,
        "ci_cr2": _ci(found),
        **found.details,
    }


def cluster_robust_difference(a: Sequence[Any], b: Sequence[Any]) -> Values:
    found = reference_groups.cluster_robust_difference(a, b)
    return {"diff": found.estimate, "se_sandwich": found.se, **found.details}


def noninferiority_paired_t(a: Sequence[float], b: Sequence[float], margin: float, alpha: float = 0.05) -> Values:
    found = equivalence.tost(paired.paired_difference(a, b), margin)
    return {"p_lower": found.details["p_lower"], "p_upper": found.details["p_upper"], "p_tost": found.p}


def mixed_model_random_intercept(a: Sequence[Any], b: Sequence[Any]) -> Values:
    found = reference_groups.random_intercept(list(_table(a)), list(_table(b)))
    return {"diff": found.difference, "se": found.se, "sd_item": found.sd_item, "sd_resid": found.sd_residual}


def bootstrap_bca_mean(diffs: Sequence[float], alpha: float = 0.05) -> Values:
    from scipy import stats

    found = stats.bootstrap(
        (np.asarray(diffs, dtype=float),), np.mean, n_resamples=99_999, batch=10_000, confidence_level=1 - alpha,
        method="BCa", rng=np.random.default_rng(0),
    )  # fmt: skip
    return {"mean": float(np.mean(diffs)), "ci": [float(one) for one in found.confidence_interval]}


def _of_sums(call: Callable[..., Estimate], a: Mapping[str, float], b: Mapping[str, float], **options: Any) -> Estimate:
    return call(reference.Arm.of_sums(a), reference.Arm.of_sums(b), **options)


def _effect(found: Estimate) -> Values:
    return {"effect": found.estimate, "se": found.se, "ci": _ci(found), "p": found.p}


def unpaired_mean_from_sums(relative: bool) -> Callable[..., Values]:
    def method(a: Mapping[str, float], b: Mapping[str, float], alpha: float = 0.05) -> Values:
        return _effect(_of_sums(reference.difference_of_arms, a, b, relative=relative, alpha=alpha))

    return method


def asymptotic_cs_from_sums(relative: bool) -> Callable[..., Values]:
    def method(a: Mapping[str, float], b: Mapping[str, float], tuning: float, alpha: float = 0.05) -> Values:
        found = _of_sums(reference.sequence_of_arms, a, b, relative=relative, planned=tuning, alpha=alpha)
        return {"effect": found.estimate, "ci": _ci(found), "p_always_valid": found.p}

    return method


def _chance(found: reference.ChanceToWin) -> Values:
    chance, risks = {"chance_to_win": found.chance_to_win}, {"risk_a": found.risk_a, "risk_b": found.risk_b}
    return {**chance, "effect": found.effect, "ci": [found.low, found.high], **risks}


def chance_to_win(relative: bool) -> Callable[..., Values]:
    def method(a: Mapping[str, float], b: Mapping[str, float], prior: Any = "flat", alpha: float = 0.05) -> Values:
        arms = reference.Arm.of_sums(a), reference.Arm.of_sums(b)
        known = None if prior in (None, "flat") else (float(prior["mean"]), float(prior["sd"]))
        return _chance(reference.chance_to_win(*arms, relative=relative, prior=known, alpha=alpha))

    return method


def chance_to_win_proper_prior(
    pass_a: int, n_a: int, pass_b: int, n_b: int, prior_mean: float, prior_sd: float, alpha: float = 0.05
) -> Values:
    arms = reference.Arm.of_counts(pass_a, n_a), reference.Arm.of_counts(pass_b, n_b)
    return _chance(reference.chance_to_win(*arms, prior=(prior_mean, prior_sd), alpha=alpha))


def ratio_metric_delta_unpaired(relative: bool) -> Callable[..., Values]:
    def method(num_a: Any, den_a: Any, num_b: Any, den_b: Any, alpha: float = 0.05) -> Values:
        arms = reference.Arm.of_ratio(num_a, den_a), reference.Arm.of_ratio(num_b, den_b)
        return _effect(reference.difference_of_arms(*arms, relative=relative, alpha=alpha))

    return method


def ratio_of_means_paired_fieller(a: Sequence[float], b: Sequence[float], alpha: float = 0.05) -> Values:
    found = ratios.fieller(a, b, alpha=alpha)
    return {"ratio": found.estimate, "ci": _ci(found)}


def ratio_of_ratios_paired_log_delta(
    cost_a: Any, success_a: Any, cost_b: Any, success_b: Any, alpha: float = 0.05
) -> Values:
    found = ratios.per_success(cost_a, success_a, cost_b, success_b, alpha=alpha, draws=100)
    details = found.details
    limits = [details["z_low"], details["z_high"]]
    error = details["se_log_delta"]
    return {"ratio": found.estimate, "log_ratio": details["log_ratio"], "se_log_delta": error, "ci_ratio_z": limits}


def quantile_order_statistic_ci(x: Sequence[float], alpha: float = 0.05) -> Values:
    return {
        "median_ci": _ci(quantiles.quantile_interval(x, 0.5, alpha=alpha)),
        "p90_ci": _ci(quantiles.quantile_interval(x, 0.9, alpha=alpha)),
        "q_linear": {str(q): float(np.quantile(x, q)) for q in (0.5, 0.9, 0.95, 0.99)},
    }


def harrell_davis_quantile(x: Sequence[float]) -> Values:
    return {str(q): quantiles.harrell_davis(x, q) for q in (0.25, 0.5, 0.75, 0.9, 0.95, 0.99)}


def p_adjust(p: Sequence[float]) -> Values:
    return {how: multiple.adjust_p(p, method=how) for how in ("holm", "bonferroni", "hommel", "hochberg", "BH", "BY")}


def paired_max_t_signflip_exact(diffs_vs_control: Sequence[Sequence[float]]) -> Values:
    found = multiple.max_t(diffs_vs_control, exact=True if len(diffs_vs_control) <= 20 else None)
    return {"t": list(found.t), "p_raw": list(found.p), "p_adj_single_step": list(found.p_adjusted)}


def dunnett(control: Sequence[float], alpha: float = 0.05, **groups: Sequence[float]) -> Values:
    found = reference_groups.dunnett(control, *groups.values(), alpha=alpha)
    limits = {"lwr": list(found.low), "upr": list(found.high)}
    return {"diff": list(found.difference), "t": list(found.t), "p": list(found.p), **limits, "order": list(groups)}


def tukey_hsd(alpha: float = 0.05, **groups: Sequence[float]) -> Values:
    found = reference_groups.tukey(*groups.values(), alpha=alpha)
    names = list(groups)
    return {
        "diff": list(found.difference),
        "lwr": list(found.low),
        "upr": list(found.high),
        "p_adj": list(found.p),
        "order": [f"{names[i]}-{names[j]}" for i, j in found.pairs],
    }
