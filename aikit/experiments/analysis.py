"""What a run's trials say: the primary comparison and its verdict, and every other metric beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from aikit.experiments.judge import Judge, Pairwise
from aikit.experiments.plan import Plan
from aikit.experiments.trials import Trial, frame_of

if TYPE_CHECKING:
    import pandas as pd

    from aikit.stats import Comparison, Verdict

__all__ = ["Analysis", "analyse", "analysis_frame", "metric_comparisons", "summary_frame"]

_SPENDING = ("cost", "duration", "time_to_first_token", "input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Analysis:
    """The primary metric: a comparison per variant, and one verdict."""

    comparisons: tuple[Comparison, ...]
    """Each variant against the control, in the plan's order."""
    verdict: Verdict
    samples: int
    """Samples of the plan that were looked at."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "samples": self.samples,
            "comparisons": [one.to_dict() for one in self.comparisons],
            "verdict": self.verdict.to_dict(),
        }


def analysis_frame(plan: Plan, trials: Sequence[Trial]) -> pd.DataFrame:
    """Return the trials as the statistics read them.

    Stitched answers are left out: they are two answers. The duration of a call that was tried again is left empty: it
    measures the waiting.
    """
    import pandas as pd

    chosen = [one for one in trials if not one.stitched]
    frame = frame_of(chosen, scores=column_names(plan), cluster=plan.dataset.cluster is not None, details=True)
    frame.loc[frame["attempts"] > 1, ["duration", "time_to_first_token"]] = float("nan")
    # Who would have answered a call that failed is not known, and no sign of mixed settings.
    frame["model"] = frame["model"].where(frame["status"] == "ok")
    frame["response_model"] = frame["response_model"].where(frame["response_model"] != "")
    frame["variant"] = pd.Categorical(frame["variant"], [one for one in plan.variants if one in set(frame["variant"])])
    return frame.drop(columns=["text", "error", "replayed"]).astype({"variant": str})


def column_names(plan: Plan) -> list[str]:
    """Return the scorers' own columns, in their order."""
    return [scorer.name for scorer in plan.scorers]


def analyse(plan: Plan, trials: Sequence[Trial], samples: int) -> Analysis | None:
    """Compare the variants on the primary metric; None while two variants have no trial each."""
    from aikit import stats

    frame = analysis_frame(plan, trials)
    present = [name for name in plan.variants if (frame["variant"] == name).any()]
    if len(present) < 2 or present[0] != plan.control:
        return None
    found = stats.compare(
        frame,
        metric=plan.primary,
        control=plan.control,
        kind=_kind(plan, plan.primary),
        direction=plan.direction,
        margin=plan.margin,
        goal=plan.goal,
        guardrails=dict(plan.guardrails),
        stopping=plan.stopping,
        planned=len(plan.dataset),
        looks=plan.looks,
        alpha=plan.alpha,
        seed=plan.shuffle_seed % 2**31,
    )
    comparisons = tuple(sorted(_tuple(found), key=lambda one: plan.variants.index(one.variant)))
    verdict = stats.overall(comparisons)
    notes = _notes(plan, trials)
    return Analysis(comparisons, replace(verdict, warnings=(*verdict.warnings, *notes)), samples)


def metric_comparisons(plan: Plan, trials: Sequence[Trial]) -> dict[str, tuple[Comparison, ...]]:
    """Compare every other metric that has values: scores, cost, times, tokens, failures. Exploratory, fixed-sample."""
    from aikit import stats
    from aikit.errors import DataError

    frame = analysis_frame(plan, trials)
    if frame["variant"].nunique() < 2 or not (frame["variant"] == plan.control).any():
        return {}
    scores = [name for name in frame.columns if str(name) in _scores_in(trials) and name != plan.primary]
    spending = [name for name in _SPENDING if name != plan.primary and bool((frame[name].fillna(0) > 0).any())]
    failures = ["failure"] if (frame["status"] != "ok").any() else []
    found: dict[str, tuple[Comparison, ...]] = {}
    for name in (*scores, *spending, *failures):
        lower = name in _SPENDING or name == "failure"
        try:
            one = stats.compare(
                frame,
                metric=name,
                control=plan.control,
                kind=_kind(plan, name),
                direction="lower" if lower else "higher",
                alpha=plan.alpha,
                seed=plan.shuffle_seed % 2**31,
            )
        except DataError:
            continue  # nothing there to compare: no value in one of the variants
        found[name] = _tuple(one)
    return _adjusted(found)


def summary_frame(primary: Analysis | None, others: Mapping[str, tuple[Comparison, ...]]) -> pd.DataFrame:
    """Return a frame with a row per metric and variant, the primary metric first.

    Columns: metric role variant control control_value variant_value estimate low high unit p samples method sentence.
    """
    import pandas as pd

    rows = [_summary_row(one, "primary") for one in (primary.comparisons if primary else ())]
    guardrails = dict(primary.verdict.guardrails) if primary else {}
    rows += [_summary_row(one, "guardrail") for one in guardrails.values()]
    rows += [
        _summary_row(one, "exploratory")
        for name, several in others.items()
        if name not in guardrails
        for one in several
    ]
    return pd.DataFrame(rows, columns=_SUMMARY)


_SUMMARY = [
    *("metric", "role", "variant", "control", "control_value", "variant_value", "estimate", "low", "high"),
    *("unit", "p", "wins", "losses", "ties", "samples", "method", "sentence"),
]


def _summary_row(one: Comparison, role: str) -> dict[str, Any]:
    return {"role": role, **{name: getattr(one, name) for name in _SUMMARY if name != "role"}}


def _adjusted(found: Mapping[str, tuple[Comparison, ...]]) -> dict[str, tuple[Comparison, ...]]:
    """Adjust the p values of the metrics that nobody planned for (Benjamini-Hochberg)."""
    from aikit import stats

    flat = [one for several in found.values() for one in several]
    adjusted = iter(stats.adjust_p([one.p for one in flat], method="BH"))
    return {name: tuple(replace(one, p=next(adjusted)) for one in several) for name, several in found.items()}


def _scores_in(trials: Sequence[Trial]) -> set[str]:
    return {name for one in trials for name, value in one.scores.items() if value is not None}


def _kind(plan: Plan, metric: str) -> str | None:
    scorer = next((one for one in plan.scorers if one.name == metric), None)
    return "preference" if isinstance(scorer, Pairwise) else None


def _notes(plan: Plan, trials: Sequence[Trial]) -> tuple[str, ...]:
    notes: list[str] = [*plan.dataset.warnings]
    scorer = next((one for one in plan.scorers if one.name == plan.primary), None)
    if isinstance(scorer, Judge | Pairwise):
        notes.append("measured by a judge; the judge's own error is not included")
    stitched = sum(one.stitched for one in trials)
    if stitched:
        notes.append(f"{stitched} answers were put together from two and are left out")
    replayed = sum(one.replayed for one in trials)
    if replayed:
        notes.append(f"{replayed} of {len(trials)} answers were taken from earlier runs")
    retried = sum(one.attempts > 1 for one in trials)
    if retried:
        notes.append(f"{retried} calls were tried more than once; their durations are left out")
    return tuple(notes)


def _tuple(found: Any) -> tuple[Comparison, ...]:
    return cast("tuple[Comparison, ...]", found) if isinstance(found, tuple) else (cast("Comparison", found),)
