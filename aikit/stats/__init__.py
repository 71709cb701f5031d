"""Paired, clustered and sequentially valid answers for prompt experiments."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aikit.stats.aa import FalsePositives, false_positive_rate
    from aikit.stats.agreement import (
        Intraclass,
        Level,
        cohen_kappa,
        fleiss_kappa,
        intraclass_correlations,
        krippendorff_alpha,
    )
    from aikit.stats.anytime import (
        BURN_IN,
        confidence_sequence,
        log_mcnemar_evidence,
        mcnemar_evidence,
        sequence_from_error,
        sequence_half_width,
        sequence_log_evidence,
        sequence_tuning,
    )
    from aikit.stats.bootstrap import bootstrap_sums, studentised_bootstrap
    from aikit.stats.clustered import clustered_difference, clustered_mean, mean_of_cluster_sums, welch
    from aikit.stats.comparison import compare
    from aikit.stats.elimination import Survivors, surviving_variants
    from aikit.stats.equivalence import equivalent, margin, noninferior, tost
    from aikit.stats.judge import (
        JUDGE_ONLY,
        LEAST_LABELS,
        both_orders,
        judged_difference,
        prediction_powered_mean,
        true_pass_rate,
    )
    from aikit.stats.multiple import EXACT_FLIPS, Adjustment, MaxT, adjust_p, max_t
    from aikit.stats.paired import paired_difference, repeated_difference, sign_flip
    from aikit.stats.planning import (
        CallCost,
        CurvePoint,
        Pilot,
        SamplePlan,
        Stopping,
        pilot,
        sample_size,
        stopping_inflation,
    )
    from aikit.stats.power import (
        design_effect,
        detectable_effect,
        difference_variance,
        first_reaching,
        mcnemar_power,
        normal_detectable,
        normal_samples,
        t_power,
        t_samples,
    )
    from aikit.stats.preference import Abilities, abilities, abilities_from_wins, preferred
    from aikit.stats.proportions import (
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
    )
    from aikit.stats.quantiles import harrell_davis, quantile_interval, quantile_ratios
    from aikit.stats.ranks import brunner_munzel, friedman, mann_whitney, net_wins, signed_rank
    from aikit.stats.ratios import (
        FEWEST_SUCCESSES,
        fieller,
        geometric_ratio,
        per_success,
        per_success_unpaired,
        ratio_of_means,
    )
    from aikit.stats.reference import (
        Arm,
        ChanceToWin,
        bernoulli_sequence,
        best_arm_weights,
        chance_to_win,
        difference_of_arms,
        hedged_sequence,
        normal_mixture_boundary,
        probability_best,
        sequence_of_arms,
    )
    from aikit.stats.regression import covariate_adjusted, cuped_difference, post_stratified
    from aikit.stats.results import Comparison, Decision, Estimate, Interval, Margin, Tested, Verdict, Worst
    from aikit.stats.sequential import (
        MOST_LOOKS,
        Family,
        GroupBounds,
        GroupPower,
        group_bounds,
        group_estimate,
        group_inflation,
        group_power,
        spent_alpha,
    )
    from aikit.stats.srm import MISMATCH_BELOW, sample_ratio_mismatch
    from aikit.stats.verdict import Outlook, decide, overall

__all__ = [
    "BURN_IN",
    "EXACT_FLIPS",
    "FEWEST_SUCCESSES",
    "JUDGE_ONLY",
    "LEAST_LABELS",
    "MISMATCH_BELOW",
    "MOST_LOOKS",
    "Abilities",
    "Adjustment",
    "Arm",
    "CallCost",
    "ChanceToWin",
    "Comparison",
    "CurvePoint",
    "Decision",
    "Estimate",
    "FalsePositives",
    "Family",
    "GroupBounds",
    "GroupPower",
    "Interval",
    "Intraclass",
    "Level",
    "Margin",
    "MaxT",
    "Outlook",
    "Pilot",
    "SamplePlan",
    "Stopping",
    "Survivors",
    "Tested",
    "Verdict",
    "Worst",
    "abilities",
    "abilities_from_wins",
    "adjust_p",
    "bernoulli_sequence",
    "best_arm_weights",
    "bootstrap_sums",
    "boschloo",
    "both_orders",
    "brunner_munzel",
    "chance_to_win",
    "clustered_difference",
    "clustered_mean",
    "cochran_q",
    "cohen_kappa",
    "compare",
    "confidence_sequence",
    "covariate_adjusted",
    "cuped_difference",
    "decide",
    "design_effect",
    "detectable_effect",
    "difference_of_arms",
    "difference_of_shares",
    "difference_variance",
    "equivalent",
    "false_positive_rate",
    "fieller",
    "first_reaching",
    "fleiss_kappa",
    "friedman",
    "geometric_ratio",
    "group_bounds",
    "group_estimate",
    "group_inflation",
    "group_power",
    "harrell_davis",
    "hedged_sequence",
    "intraclass_correlations",
    "judged_difference",
    "krippendorff_alpha",
    "log_mcnemar_evidence",
    "mann_whitney",
    "margin",
    "max_t",
    "mcnemar",
    "mcnemar_evidence",
    "mcnemar_power",
    "mean_of_cluster_sums",
    "net_wins",
    "newcombe",
    "newcombe_paired",
    "noninferior",
    "normal_detectable",
    "normal_mixture_boundary",
    "normal_samples",
    "overall",
    "paired_difference",
    "paired_shares",
    "per_success",
    "per_success_unpaired",
    "pilot",
    "post_stratified",
    "prediction_powered_mean",
    "preferred",
    "probability_best",
    "quantile_interval",
    "quantile_ratios",
    "ratio_of_means",
    "repeated_difference",
    "sample_ratio_mismatch",
    "sample_size",
    "sequence_from_error",
    "sequence_half_width",
    "sequence_log_evidence",
    "sequence_of_arms",
    "sequence_tuning",
    "share_test",
    "sign_flip",
    "signed_rank",
    "spent_alpha",
    "stopping_inflation",
    "studentised_bootstrap",
    "surviving_variants",
    "t_power",
    "t_samples",
    "tango",
    "tost",
    "true_pass_rate",
    "welch",
    "wilson",
]

# No public name may be that of a module here: importing the module would hide it (so `compare` lives in comparison.py).
_MODULES = {
    "aa": (
        "FalsePositives",
        "false_positive_rate",
    ),
    "agreement": (
        "Intraclass",
        "Level",
        "cohen_kappa",
        "fleiss_kappa",
        "intraclass_correlations",
        "krippendorff_alpha",
    ),
    "anytime": (
        "BURN_IN",
        "confidence_sequence",
        "log_mcnemar_evidence",
        "mcnemar_evidence",
        "sequence_from_error",
        "sequence_half_width",
        "sequence_log_evidence",
        "sequence_tuning",
    ),
    "bootstrap": (
        "bootstrap_sums",
        "studentised_bootstrap",
    ),
    "clustered": (
        "clustered_difference",
        "clustered_mean",
        "mean_of_cluster_sums",
        "welch",
    ),
    "comparison": ("compare",),
    "elimination": (
        "Survivors",
        "surviving_variants",
    ),
    "equivalence": (
        "equivalent",
        "margin",
        "noninferior",
        "tost",
    ),
    "judge": (
        "JUDGE_ONLY",
        "LEAST_LABELS",
        "both_orders",
        "judged_difference",
        "prediction_powered_mean",
        "true_pass_rate",
    ),
    "multiple": (
        "EXACT_FLIPS",
        "Adjustment",
        "MaxT",
        "adjust_p",
        "max_t",
    ),
    "paired": (
        "paired_difference",
        "repeated_difference",
        "sign_flip",
    ),
    "planning": (
        "CallCost",
        "CurvePoint",
        "Pilot",
        "SamplePlan",
        "Stopping",
        "pilot",
        "sample_size",
        "stopping_inflation",
    ),
    "power": (
        "design_effect",
        "detectable_effect",
        "difference_variance",
        "first_reaching",
        "mcnemar_power",
        "normal_detectable",
        "normal_samples",
        "t_power",
        "t_samples",
    ),
    "preference": (
        "Abilities",
        "abilities",
        "abilities_from_wins",
        "preferred",
    ),
    "proportions": (
        "boschloo",
        "cochran_q",
        "difference_of_shares",
        "mcnemar",
        "newcombe",
        "newcombe_paired",
        "paired_shares",
        "share_test",
        "tango",
        "wilson",
    ),
    "quantiles": (
        "harrell_davis",
        "quantile_interval",
        "quantile_ratios",
    ),
    "ranks": (
        "brunner_munzel",
        "friedman",
        "mann_whitney",
        "net_wins",
        "signed_rank",
    ),
    "ratios": (
        "FEWEST_SUCCESSES",
        "fieller",
        "geometric_ratio",
        "per_success",
        "per_success_unpaired",
        "ratio_of_means",
    ),
    "reference": (
        "Arm",
        "ChanceToWin",
        "bernoulli_sequence",
        "best_arm_weights",
        "chance_to_win",
        "difference_of_arms",
        "hedged_sequence",
        "normal_mixture_boundary",
        "probability_best",
        "sequence_of_arms",
    ),
    "regression": (
        "covariate_adjusted",
        "cuped_difference",
        "post_stratified",
    ),
    "results": (
        "Comparison",
        "Decision",
        "Estimate",
        "Interval",
        "Margin",
        "Tested",
        "Verdict",
        "Worst",
    ),
    "sequential": (
        "MOST_LOOKS",
        "Family",
        "GroupBounds",
        "GroupPower",
        "group_bounds",
        "group_estimate",
        "group_inflation",
        "group_power",
        "spent_alpha",
    ),
    "srm": (
        "MISMATCH_BELOW",
        "sample_ratio_mismatch",
    ),
    "verdict": (
        "Outlook",
        "decide",
        "overall",
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for: importing the package loads neither numpy nor scipy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'aikit.stats' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"aikit.stats.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
