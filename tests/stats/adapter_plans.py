"""The cases on sequential plans, sample sizes, judges, agreement, preference, covariates and epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from aikit.stats import (
    agreement,
    anytime,
    epochs,
    judge,
    power,
    preference,
    reference,
    reference_power,
    regression,
    sequential,
    srm,
)
from aikit.stats.results import Estimate, Interval

Values = dict[str, Any]


def _ci(found: Estimate | Interval) -> list[float | None]:
    return [found.low, found.high]


_FAMILIES = {"lan_demets_obf": "obrien_fleming_spending", "lan_demets_pocock": "pocock_spending"}


def group_sequential_boundary(
    information: Sequence[float] | None = None,
    looks: int | None = None,
    alpha_two_sided: float = 0.05,
    family: str = "lan_demets_obf",
) -> Values:
    shares = information if information is not None else looks or 1
    found = sequential.group_bounds(shares, alpha=alpha_two_sided, family=_FAMILIES.get(family, family))
    return {"z": list(found.z)}


def group_sequential_inflation(
    looks: int, alpha_two_sided: float = 0.05, power: float = 0.8, family: str = "lan_demets_obf"
) -> Values:
    how = _FAMILIES.get(family, family)
    inflation, expected = sequential.group_inflation(looks, alpha=alpha_two_sided, power=power, family=how)
    return {"inflation": inflation, "expected_n_ratio_h1": expected}


def asymptotic_cs_halfwidth(n: float, variance: float, tuning: float, alpha: float = 0.05) -> Values:
    half = anytime.sequence_half_width(n, math.sqrt(variance), planned=tuning, alpha=alpha)
    return {"rho": anytime.sequence_tuning(tuning, alpha=alpha), "halfwidth": float(half)}


def anytime_mcnemar_evalue(b_only: int, a_only: int, prior: str = "beta(1,1)") -> Values:
    p, q = (float(one) for one in prior.lower().replace("beta", "").strip("() ").split(","))
    found = anytime.mcnemar_evidence(b_only, a_only, prior=(p, q))
    jeffreys = anytime.mcnemar_evidence(b_only, a_only, prior=0.5)
    return {"e_value": found.statistic, "p_anytime": found.p, "e_value_jeffreys": jeffreys.statistic}


def normal_mixture_boundary_two_sided(v: float, v_opt: float, alpha: float = 0.05) -> Values:
    return {"boundary": reference.normal_mixture_boundary(v, v_opt=v_opt, alpha=alpha)}


def bernoulli_confidence_sequence(successes: float, n: int, t_opt: float, alpha: float = 0.05) -> Values:
    return {"ci": _ci(reference.bernoulli_sequence(successes, n, t_opt=t_opt, alpha=alpha))}


def hedged_betting_cs(x: Sequence[float], alpha: float = 0.05, at: Sequence[int] | None = None) -> Values:
    low, high = reference.hedged_sequence(x, alpha=alpha)
    times = list(at) if at is not None else [t for t in (10, 25, 50, 100, 200, 500, 1000) if t < len(x)] + [len(x)]
    return {"at": times, "lower_at": [low[t - 1] for t in times], "upper_at": [high[t - 1] for t in times]}


def best_arm_characteristic_gaussian(means: Sequence[float], sigma2: float = 1.0) -> Values:
    weights, t_star = reference.best_arm_weights(means, variance=sigma2)
    return {"weights": weights, "t_star": t_star}


def prob_best_beta(arms: Sequence[Sequence[float]]) -> Values:
    return {"p_best": reference.probability_best(arms)}


def srm_chi2(counts: Sequence[int], weights: Sequence[float]) -> Values:
    p = srm.sample_ratio_mismatch(counts, weights).p
    return {"p": p, "p_scipy": p}


def eval_sample_size(delta: float, alpha: float = 0.05, **inputs: float) -> Values:
    target = inputs.pop("power", 0.8)
    n = power.normal_samples(delta, variance=_variance(**inputs), alpha=alpha, power=target)
    return {"n": n, "n_ceil": math.ceil(n - 1e-9)}


def _variance(omega2: float, sigma2_a: float = 0, sigma2_b: float = 0, k_a: float = 1, k_b: float = 1) -> float:
    return power.difference_variance(omega2, sigma2_a=sigma2_a, sigma2_b=sigma2_b, epochs_a=k_a, epochs_b=k_b)


def eval_mde(n: float, alpha: float = 0.05, **inputs: float) -> Values:
    target = inputs.pop("power", 0.8)
    return {"mde": power.normal_detectable(n, variance=_variance(**inputs), alpha=alpha, power=target)}


def power_mcnemar_exact(n: int, p_b_only: float, p_a_only: float, alpha: float = 0.05) -> Values:
    return {"power": power.mcnemar_power(n, p_b_only=p_b_only, p_a_only=p_a_only, alpha=alpha, test="exact")}


def power_paired_t(delta: float, sd_diff: float = 1.0, alpha: float = 0.05, **target: float) -> Values:
    return {"n": power.t_samples(delta, sd=sd_diff, alpha=alpha, power=target.get("power", 0.8))}


def power_paired_t_achieved(n: float, delta: float, sd_diff: float = 1.0, alpha: float = 0.05) -> Values:
    return {"power": power.t_power(delta, se=sd_diff / math.sqrt(n), df=n - 1, alpha=alpha, both=False)}


def power_unpaired_t(delta: float, sd: float = 1.0, alpha: float = 0.05, **target: float) -> Values:
    n = reference_power.t_samples_per_arm(delta, sd=sd, alpha=alpha, power=target.get("power", 0.8))
    return {"n_per_arm": n}


def power_unpaired_proportions(**inputs: float) -> Values:
    return {"n_per_arm": reference_power.proportion_samples(**inputs)}


def power_unpaired_proportions_arcsine(**inputs: float) -> Values:
    return {"n_per_arm": reference_power.arcsine_samples(**inputs)}


def ppi_mean(tuned: bool) -> Callable[..., Values]:
    def method(human: Any, judge_on_labelled: Any, judge_on_unlabelled: Any, alpha: float = 0.05) -> Values:
        found = judge.prediction_powered_mean(
            human, judge_on_labelled, judge_on_unlabelled, alpha=alpha, tuned=tuned, normal=True
        )
        means = {one: found.details[one] for one in ("judge_only", "human_only")}
        return {"estimate": found.estimate, "ci": _ci(found), **means}

    return method


def judge_rogan_gladen(judge_pass: float, n: float, sensitivity: float, specificity: float) -> Values:
    found = judge.true_pass_rate(judge_pass, n, sensitivity=sensitivity, specificity=specificity)
    return {"prevalence": found.details["unclipped"]}


def krippendorff_alpha(ratings: Sequence[Sequence[float | None]]) -> Values:
    levels = ("nominal", "ordinal", "interval", "ratio")
    return {level: agreement.krippendorff_alpha(ratings, level=level, draws=0).estimate for level in levels}


def cohen_kappa(table: Sequence[Sequence[int]], alpha: float = 0.05) -> Values:
    found = agreement.cohen_kappa(table, alpha=alpha)
    return {"kappa": found.estimate, "se": found.se, "ci": _ci(found)}


def cohen_kappa_weighted(table: Sequence[Sequence[int]]) -> Values:
    weights = {"linear": "linear", "quadratic": "quadratic", "unweighted": None}
    return {name: agreement.cohen_kappa(table, weights=how).estimate for name, how in weights.items()}


def fleiss_kappa(counts: Sequence[Sequence[int]]) -> Values:
    return {"kappa": agreement.fleiss_kappa(counts).estimate}


def icc(ratings: Sequence[Sequence[float]]) -> Values:
    found = agreement.intraclass_correlations(ratings)
    single = {"ICC1": found.icc1, "ICC2": found.icc2, "ICC3": found.icc3}
    return {**single, "ICC1k": found.icc1k, "ICC2k": found.icc2k, "ICC3k": found.icc3k}


def bradley_terry(
    wins: Sequence[Sequence[float]], players: Sequence[str], reference: str | int | None = None
) -> Values:
    base = players[reference] if isinstance(reference, int) else reference
    found = preference.abilities_from_wins(wins, players, reference=base)
    return {"log_ability": list(found.log_ability), "se": list(found.se)}


def cuped_unpaired(y_a: Any, x_a: Any, y_b: Any, x_b: Any, alpha: float = 0.05) -> Values:
    found = regression.cuped_difference(y_a, x_a, y_b, x_b, alpha=alpha)
    return {"effect": found.estimate, "se": found.se, "ci": _ci(found), "p": found.p}


def lin_adjusted_unpaired(y: Any, arm: Any, x: Any, alpha: float = 0.05) -> Values:
    found = regression.covariate_adjusted(y, arm, x, alpha=alpha)
    return {"diff": found.estimate, "se_hc2": found.se, "unadjusted_diff": found.details["unadjusted"]}


def pass_at_k(n: int, c: int, k: int) -> Values:
    return {"value": epochs.pass_at_k(n, c, k)}
