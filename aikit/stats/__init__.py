"""Paired, clustered and sequentially valid answers for prompt experiments: arrays or frames in, results out.

`compare(frame, metric=…)` is the entry for most people: it reads the design off the rows, picks the method, names it
with its reason in `Comparison.method`, and gives one verdict. Everything it uses is public. Nothing here calls a model
or opens a file; importing the package loads neither numpy nor scipy.

**Unit.** The sample (input), never the call: epochs are averaged per sample × variant, differences taken within the
sample, clusters kept whole. Failures are outcomes (fail, worst score, time at the cut-off, cost as billed).

**Estimate.** Variant − control; 0 is no effect. `points` are shares (0.075 is 7.5 points), `relative` is ratio − 1.

| data | method | source |
|---|---|---|
| means of any design | CR2 with Satterthwaite's degrees of freedom, closed form | [1] [2] |
| pass/fail, paired, one epoch | mid-p McNemar; Tango's score interval; none under 10 samples | [3] [4] |
| pass/fail, repeated or clustered | CR2-t on differences; up to 5 units a sign-flip p only | [1] |
| pass/fail, different samples | Newcombe's hybrid; score z, or Boschloo below an expected 5 | [5] [6] |
| scores | CR2-t, sign-flip p beside it; studentised bootstrap if n < 40 and |skewness| > 1; unpaired Welch | [7] [8] |
| ordinals | CR2-t on means and net wins; unpaired Brunner-Munzel, in net wins | [9] |
| preferences | CR2-t on {1, ½, 0} − ½; several variants Bradley-Terry | [10] |
| times, tokens, cost | CR2-t on logs; p50, p90, p95 by resampling pairs; zeros: ratio of means | |
| cost per success | ratio of sums, CR2-t on its influences; under 10 successes resampled; none: infinite | [11] |
| several variants | single-step max-T of joint sign flips; unpaired scores Dunnett; else Holm | [12] |
| looks | Lan-DeMets O'Brien-Fleming; any time: asymptotic confidence sequence, e-McNemar | [13] [14] [15] |
| margins | interval inclusion at level 1 − 2·alpha (TOST); a margin is never assumed | [16] |

**Assumptions.** Clusters (samples, where none are declared) are independent. t and the confidence sequence lean on the
central limit theorem over clusters; sign flips on differences symmetric about 0. Intervals have level 1 − alpha; with
several variants they hold together, guardrails are not corrected. `Comparison.minimum_detectable_effect` has power .80
at the achieved n. A Monte Carlo p is (1 + hits)/(1 + draws) with 10,000 draws and the given seed; sign flips of up to
13 units and rank tests are exact.

**Verdict.** Invalid (sample ratio mismatch, > 5 % without a partner, mixed settings), else keep the control (primary
worse, or a guardrail's margin shown to be broken), else ship (interval excludes 0 in favour and every guardrail
non-inferior; or goal "cheaper": quality non-inferior and cost lower), else equivalent, else keep going.

Methods kept for reference, which aikit does not recommend, are in `aikit.stats.reference` and its neighbours.

[1] Bell & McCaffrey 2002, Surv. Methodol. 28. [2] Pustejovsky & Tipton 2018, J. Bus. Econ. Stat. 36. [3] Fagerland,
Lydersen & Laake 2013, BMC Med. Res. Methodol. 13:91. [4] Tango 1998, Stat. Med. 17, 891. [5] Newcombe 1998, Stat. Med.
17, 873. [6] Boschloo 1970, Stat. Neerl. 24. [7] Fisher 1935. [8] Hall 1988, Ann. Stat. 16, 927. [9] Brunner & Munzel
2000, Biom. J. 42. [10] Bradley & Terry 1952, Biometrika 39. [11] Deng, Knoblich & Lu 2018, KDD. [12] Westfall & Young
1993. [13] Lan & DeMets 1983, Biometrika 70. [14] Waudby-Smith et al. 2024, Ann. Stat. 52. [15] Robbins 1970, Ann. Math.
Stat. 41. [16] Schuirmann 1987, J. Pharmacokinet. Biopharm. 15. Failures as outcomes: Horowitz & Manski 2000, JASA 95.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # fmt: off
    # isort: off
    from aikit.stats.aa import FalsePositives, false_positive_rate
    from aikit.stats.agreement import (
        Intraclass, Level, cohen_kappa, fleiss_kappa, intraclass_correlations, krippendorff_alpha,
    )
    from aikit.stats.anytime import (
        confidence_sequence, log_mcnemar_evidence, mcnemar_evidence, sequence_from_error, sequence_half_width,
        sequence_log_evidence, sequence_tuning,
    )
    from aikit.stats.bootstrap import bootstrap_sums, studentised_bootstrap
    from aikit.stats.clustered import clustered_difference, clustered_mean, mean_of_cluster_sums, welch
    from aikit.stats.comparison import compare
    from aikit.stats.elimination import Survivors, surviving_variants
    from aikit.stats.epochs import pass_at_k, pass_at_k_difference, pass_hat_k, within_variance
    from aikit.stats.equivalence import equivalent, margin, noninferior, tost
    from aikit.stats.judge import both_orders, judged_difference, prediction_powered_mean, true_pass_rate
    from aikit.stats.missing import missing_bounds
    from aikit.stats.multiple import Adjustment, MaxT, adjust_p, max_t
    from aikit.stats.paired import paired_difference, repeated_difference, sign_flip
    from aikit.stats.planning import (
        CallCost, CurvePoint, Pilot, SamplePlan, Stopping, pilot, sample_size, stopping_inflation,
    )
    from aikit.stats.power import (
        design_effect, detectable_effect, difference_variance, first_reaching, mcnemar_power, normal_detectable,
        normal_samples, t_power, t_samples,
    )
    from aikit.stats.preference import Abilities, abilities, abilities_from_wins, preferred
    from aikit.stats.proportions import (
        boschloo, cochran_q, difference_of_shares, mcnemar, newcombe, newcombe_paired, paired_shares, share_test,
        tango, wilson,
    )
    from aikit.stats.quantiles import harrell_davis, quantile_interval, quantile_ratios
    from aikit.stats.ranks import brunner_munzel, friedman, mann_whitney, net_wins, signed_rank
    from aikit.stats.ratios import fieller, geometric_ratio, per_success, per_success_unpaired, ratio_of_means
    from aikit.stats.regression import covariate_adjusted, cuped_difference, post_stratified
    from aikit.stats.results import Comparison, Decision, Estimate, Interval, Margin, Tested, Verdict, Worst
    from aikit.stats.sequential import (
        Family, GroupBounds, GroupPower, group_bounds, group_estimate, group_inflation, group_power, spent_alpha,
    )
    from aikit.stats.srm import sample_ratio_mismatch
    from aikit.stats.sums import Bins, ClusterSums, PairSums, PassTable, Sums
    from aikit.stats.verdict import Outlook, decide, overall
    # isort: on
    # fmt: on

# fmt: off
__all__ = [
    "Abilities", "Adjustment", "Bins", "CallCost", "ClusterSums", "Comparison", "CurvePoint", "Decision", "Estimate",
    "FalsePositives", "Family", "GroupBounds", "GroupPower", "Interval", "Intraclass", "Level", "Margin", "MaxT",
    "Outlook", "PairSums", "PassTable", "Pilot", "SamplePlan", "Stopping", "Sums", "Survivors", "Tested", "Verdict",
    "Worst", "abilities", "abilities_from_wins", "adjust_p", "bootstrap_sums", "boschloo", "both_orders",
    "brunner_munzel", "clustered_difference", "clustered_mean", "cochran_q", "cohen_kappa", "compare",
    "confidence_sequence", "covariate_adjusted", "cuped_difference", "decide", "design_effect", "detectable_effect",
    "difference_of_shares", "difference_variance", "equivalent", "false_positive_rate", "fieller", "first_reaching",
    "fleiss_kappa", "friedman", "geometric_ratio", "group_bounds", "group_estimate", "group_inflation", "group_power",
    "harrell_davis", "intraclass_correlations", "judged_difference", "krippendorff_alpha", "log_mcnemar_evidence",
    "mann_whitney", "margin", "max_t", "mcnemar", "mcnemar_evidence", "mcnemar_power", "mean_of_cluster_sums",
    "missing_bounds", "net_wins", "newcombe", "newcombe_paired", "noninferior", "normal_detectable", "normal_samples",
    "overall", "paired_difference", "paired_shares", "pass_at_k", "pass_at_k_difference", "pass_hat_k", "per_success",
    "per_success_unpaired", "pilot", "post_stratified", "prediction_powered_mean", "preferred", "quantile_interval",
    "quantile_ratios", "ratio_of_means", "repeated_difference", "sample_ratio_mismatch", "sample_size",
    "sequence_from_error", "sequence_half_width", "sequence_log_evidence", "sequence_tuning", "share_test",
    "sign_flip", "signed_rank", "spent_alpha", "stopping_inflation", "studentised_bootstrap", "surviving_variants",
    "t_power", "t_samples", "tango", "tost", "true_pass_rate", "welch", "wilson", "within_variance",
]
# fmt: on

# No public name may be that of a module here: importing the module would hide it (so `compare` lives in comparison.py).
_MODULES = {
    "aa": "FalsePositives false_positive_rate",
    "agreement": "Intraclass Level cohen_kappa fleiss_kappa intraclass_correlations krippendorff_alpha",
    "anytime": (
        "confidence_sequence log_mcnemar_evidence mcnemar_evidence sequence_from_error sequence_half_width "
        "sequence_log_evidence sequence_tuning"
    ),
    "bootstrap": "bootstrap_sums studentised_bootstrap",
    "clustered": "clustered_difference clustered_mean mean_of_cluster_sums welch",
    "comparison": "compare",
    "elimination": "Survivors surviving_variants",
    "epochs": "pass_at_k pass_at_k_difference pass_hat_k within_variance",
    "equivalence": "equivalent margin noninferior tost",
    "judge": "both_orders judged_difference prediction_powered_mean true_pass_rate",
    "missing": "missing_bounds",
    "multiple": "Adjustment MaxT adjust_p max_t",
    "paired": "paired_difference repeated_difference sign_flip",
    "planning": "CallCost CurvePoint Pilot SamplePlan Stopping pilot sample_size stopping_inflation",
    "power": (
        "design_effect detectable_effect difference_variance first_reaching mcnemar_power normal_detectable "
        "normal_samples t_power t_samples"
    ),
    "preference": "Abilities abilities abilities_from_wins preferred",
    "proportions": (
        "boschloo cochran_q difference_of_shares mcnemar newcombe newcombe_paired paired_shares share_test tango wilson"
    ),
    "quantiles": "harrell_davis quantile_interval quantile_ratios",
    "ranks": "brunner_munzel friedman mann_whitney net_wins signed_rank",
    "ratios": "fieller geometric_ratio per_success per_success_unpaired ratio_of_means",
    "regression": "covariate_adjusted cuped_difference post_stratified",
    "results": "Comparison Decision Estimate Interval Margin Tested Verdict Worst",
    "sequential": "Family GroupBounds GroupPower group_bounds group_estimate group_inflation group_power spent_alpha",
    "srm": "sample_ratio_mismatch",
    "sums": "Bins ClusterSums PairSums PassTable Sums",
    "verdict": "Outlook decide overall",
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}


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
