"""Every method named in cases.json, as a function of that row's inputs.

Where the specification decides for a method it is aikit's public function; the others come from
`aikit.stats.reference*` or scipy. Each takes the inputs as keyword arguments and returns plain values under the row's
expected keys.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# So that the adapter can also be loaded by its path, from anywhere.
HERE = Path(__file__).resolve().parent
sys.path += [str(place) for place in (HERE, HERE.parents[1]) if str(place) not in sys.path]

import adapter_means as means  # noqa: E402
import adapter_plans as plans  # noqa: E402
import adapter_shares as shares  # noqa: E402

METHODS: dict[str, Callable[..., dict[str, Any]]] = {
    "agresti_caffo_diff": shares.agresti_caffo_diff,
    "anytime_mcnemar_evalue": plans.anytime_mcnemar_evalue,
    "asymptotic_cs_from_sums_absolute": means.asymptotic_cs_from_sums(relative=False),
    "asymptotic_cs_from_sums_relative": means.asymptotic_cs_from_sums(relative=True),
    "asymptotic_cs_halfwidth": plans.asymptotic_cs_halfwidth,
    "bernoulli_confidence_sequence": plans.bernoulli_confidence_sequence,
    "best_arm_characteristic_gaussian": plans.best_arm_characteristic_gaussian,
    "bootstrap_bca_mean": means.bootstrap_bca_mean,
    "bradley_terry": plans.bradley_terry,
    "brunner_munzel": shares.brunner_munzel,
    "chance_to_win_absolute": means.chance_to_win(relative=False),
    "chance_to_win_proper_prior": means.chance_to_win_proper_prior,
    "chance_to_win_relative": means.chance_to_win(relative=True),
    "chi2_k_proportions": shares.chi2_k_proportions,
    "clopper_pearson": shares.clopper_pearson,
    "cluster_robust_difference": means.cluster_robust_difference,
    "clustered_mean": means.clustered_mean,
    "cochran_q": shares.cochran_q,
    "cohen_kappa": plans.cohen_kappa,
    "cohen_kappa_weighted": plans.cohen_kappa_weighted,
    "cuped_unpaired": plans.cuped_unpaired,
    "dunnett": means.dunnett,
    "eval_mde": plans.eval_mde,
    "eval_sample_size": plans.eval_sample_size,
    "fisher_exact": shares.fisher_exact,
    "fleiss_kappa": plans.fleiss_kappa,
    "friedman": shares.friedman,
    "group_sequential_boundary": plans.group_sequential_boundary,
    "group_sequential_inflation": plans.group_sequential_inflation,
    "harrell_davis_quantile": means.harrell_davis_quantile,
    "hedged_betting_cs": plans.hedged_betting_cs,
    "icc": plans.icc,
    "judge_rogan_gladen": plans.judge_rogan_gladen,
    "krippendorff_alpha": plans.krippendorff_alpha,
    "lin_adjusted_unpaired": plans.lin_adjusted_unpaired,
    "mann_whitney_exact": shares.mann_whitney_exact,
    "mann_whitney_exact_ties": shares.mann_whitney_exact,
    "mcnemar": shares.mcnemar,
    "miettinen_nurminen_diff": shares.miettinen_nurminen_diff,
    "missing_outcome_bounds": shares.missing_outcome_bounds,
    "mixed_model_random_intercept": means.mixed_model_random_intercept,
    "newcombe_unpaired_diff": shares.newcombe_unpaired_diff,
    "noninferiority_paired_t": means.noninferiority_paired_t,
    "noninferiority_unpaired_proportions": shares.noninferiority_unpaired_proportions,
    "normal_mixture_boundary_two_sided": plans.normal_mixture_boundary_two_sided,
    "p_adjust": means.p_adjust,
    "paired_maxT_signflip_exact": means.paired_max_t_signflip_exact,
    "paired_proportion_newcombe_ci": shares.paired_proportion_newcombe_ci,
    "paired_proportion_score_ci": shares.paired_proportion_score_ci,
    "paired_repeated_mean": means.paired_repeated_mean,
    "paired_signflip_permutation_exact": means.paired_signflip_permutation_exact,
    "paired_t": means.paired_t,
    "pass_at_k": plans.pass_at_k,
    "power_mcnemar_exact": plans.power_mcnemar_exact,
    "power_paired_t": plans.power_paired_t,
    "power_paired_t_achieved": plans.power_paired_t_achieved,
    "power_unpaired_proportions": plans.power_unpaired_proportions,
    "power_unpaired_proportions_arcsine": plans.power_unpaired_proportions_arcsine,
    "power_unpaired_t": plans.power_unpaired_t,
    "ppi_mean": plans.ppi_mean(tuned=False),
    "ppi_mean_tuned": plans.ppi_mean(tuned=True),
    "prob_best_beta": plans.prob_best_beta,
    "quantile_order_statistic_ci": means.quantile_order_statistic_ci,
    "ratio_metric_delta_unpaired_absolute": means.ratio_metric_delta_unpaired(relative=False),
    "ratio_metric_delta_unpaired_relative": means.ratio_metric_delta_unpaired(relative=True),
    "ratio_of_means_paired_fieller": means.ratio_of_means_paired_fieller,
    "ratio_of_ratios_paired_log_delta": means.ratio_of_ratios_paired_log_delta,
    "srm_chi2": plans.srm_chi2,
    "tukey_hsd": means.tukey_hsd,
    "unconditional_exact_2x2": shares.unconditional_exact_2x2,
    "unpaired_mean_from_sums_absolute": means.unpaired_mean_from_sums(relative=False),
    "unpaired_mean_from_sums_relative": means.unpaired_mean_from_sums(relative=True),
    "welch_t": means.welch_t,
    "wilcoxon_signed_rank_exact": shares.wilcoxon_signed_rank,
    "wilcoxon_signed_rank_exact_pratt": shares.wilcoxon_signed_rank_pratt,
    "wilcoxon_signed_rank_exact_ties": shares.wilcoxon_signed_rank,
    "wilson": shares.wilson,
}
