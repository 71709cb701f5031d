"""What a report of a run shows: frames and plain values, nothing to look up any more."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from aikit.experiments.slices import slices, worst
from aikit.experiments.trials import Trial

if TYPE_CHECKING:
    import pandas as pd

    from aikit.experiments.plan import Plan
    from aikit.experiments.progress import RunState
    from aikit.experiments.recommend import Recommendation
    from aikit.experiments.run import Run
    from aikit.stats import Comparison, Verdict

__all__ = ["RunData", "effects_frame", "run_data", "variants_frame"]


@dataclass(frozen=True, slots=True, eq=False)
class RunData:
    """Everything about a run, for a page or a file."""

    run: str
    experiment: str
    plan: Plan
    state: RunState
    verdict: Verdict
    comparisons: tuple[Comparison, ...]
    summary: pd.DataFrame
    """A row per metric and variant, the primary first: see `analysis.summary_frame`."""
    effects: pd.DataFrame
    """The summary as `charts.forest` takes it: label estimate low high group unit text."""
    variants: pd.DataFrame
    """A row per variant, the control first: what it is made of, its quality, cost, tokens and times."""
    trials: pd.DataFrame
    """A row per trial with everything known of it."""
    looks: pd.DataFrame
    """The sequential path: number samples variant estimate low high decision; empty for a fixed plan."""
    failures: pd.DataFrame
    """variant status trials share example."""
    worst: pd.DataFrame
    """The samples each variant lost and gained most on, with both answers: see `slices.worst`."""
    slices: pd.DataFrame
    deviations: pd.DataFrame
    """kind sentence at."""
    recommendations: tuple[Recommendation, ...]
    manifest: Mapping[str, Any]
    """Versions, hashes, seeds, models: what it takes to do it again."""


def run_data(run: Run) -> RunData:
    """Gather a run's data; raises DataError while two variants have no trial each."""
    import pandas as pd

    from aikit.experiments.recommend import recommend

    trials = run.finished_trials()
    analysis = run.analysis()
    summary = run.summary()
    variants = variants_frame(run.plan, trials)
    return RunData(
        run=run.id,
        experiment=run.plan.name,
        plan=run.plan,
        state=run.state,
        verdict=analysis.verdict,
        comparisons=analysis.comparisons,
        summary=summary,
        effects=effects_frame(summary),
        variants=variants,
        trials=run.details,
        looks=_looks(run),
        failures=_failures(run.plan, trials),
        worst=worst(run.plan, trials, analysis),
        slices=slices(run.plan, trials),
        deviations=pd.DataFrame(run.deviations, columns=["kind", "sentence", "at"]),
        recommendations=recommend(run.plan, trials, analysis.comparisons, price=run.bench.price),
        manifest=_manifest(run, trials),
    )


def effects_frame(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the summary's differences for `charts.forest`: points and per cent times 100, one group for each unit."""
    import pandas as pd

    groups = {"points": ("difference", "points"), "relative": ("relative difference", "%"), "score": ("difference", "")}
    several = summary["variant"].nunique() > 1
    rows: list[dict[str, Any]] = []
    for one in summary.to_dict("records"):
        if one["estimate"] is None or one["low"] is None or one["high"] is None:
            continue
        group, unit = groups.get(str(one["unit"]), ("difference", str(one["unit"])))
        scale = 100.0 if one["unit"] in ("points", "relative") else 1.0
        metric = str(one["metric"]).replace("_", " ")
        rows.append(
            {
                "label": f"{metric}: {one['variant']}" if several else metric,
                **{name: float(one[name]) * scale for name in ("estimate", "low", "high")},
                "group": group,
                "unit": unit,
                "text": str(one["sentence"]),
            }
        )
    return pd.DataFrame(rows, columns=["label", "estimate", "low", "high", "group", "unit", "text"])


def variants_frame(plan: Plan, trials: Sequence[Trial]) -> pd.DataFrame:
    """Return a row per variant: prompt version model options trials quality cost… tokens… duration… failures."""
    import pandas as pd

    return pd.DataFrame(
        [_variant_row(plan, arm.name, [t for t in trials if t.variant == arm.name]) for arm in plan.arms]
    )


def _variant_row(plan: Plan, name: str, trials: Sequence[Trial]) -> dict[str, Any]:
    import numpy as np

    arm = plan.arm(name)
    values = [_quality(plan, one) for one in trials if not one.stitched]
    quality = [value for value in values if value is not None]
    costs = [one.cost for one in trials if one.cost is not None]
    times = [one.duration for one in trials if one.duration is not None and one.attempts == 1]
    total = sum(costs) if costs else None
    # What a success costs has a meaning where quality is a share of successes.
    shares = bool(quality) and all(0 <= value <= 1 for value in quality) and sum(quality) > 0
    return {
        "variant": name,
        "prompt": arm.prompt.name,
        "version": arm.prompt.number,
        "model": arm.model_name,
        "options": arm.settings,
        "prompt_hash": arm.prompt.hash,
        "trials": len(trials),
        "failed": sum(one.status != "ok" for one in trials),
        "quality": sum(quality) / len(quality) if quality else None,
        "cost": total,
        "cost_per_1000_calls": 1000 * total / len(costs) if total is not None else None,
        "cost_per_success": total / sum(quality) if total is not None and shares else None,
        "input_tokens": _mean([one.input_tokens for one in trials]),
        "output_tokens": _mean([one.output_tokens for one in trials]),
        "duration_p50": float(np.quantile(times, 0.5)) if times else None,
        "duration_p95": float(np.quantile(times, 0.95)) if times else None,
        "response_models": ", ".join(sorted({one.response_model for one in trials if one.response_model})),
    }


def _quality(plan: Plan, trial: Trial) -> float | None:
    if trial.status != "ok":
        return 0.0 if plan.direction == "higher" else None
    value = trial.scores.get(plan.primary)
    return None if value is None else float(value)


def _mean(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _looks(run: Run) -> pd.DataFrame:
    import pandas as pd

    from aikit.stats.results import Comparison

    rows: list[dict[str, Any]] = []
    for look in run.looks:
        result = look["result"]
        for written in result.get("comparisons", ()):
            one = Comparison.from_dict(written)
            rows.append(
                {
                    "number": look["number"],
                    "samples": look["samples"],
                    "variant": one.variant,
                    "estimate": one.estimate,
                    "low": one.low,
                    "high": one.high,
                    "decision": result["verdict"]["decision"],
                }
            )
    return pd.DataFrame(rows, columns=["number", "samples", "variant", "estimate", "low", "high", "decision"])


def _failures(plan: Plan, trials: Sequence[Trial]) -> pd.DataFrame:
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for name in plan.variants:
        mine = [one for one in trials if one.variant == name]
        for status in sorted({one.status for one in mine if one.status != "ok"}):
            failed = [one for one in mine if one.status == status]
            share = len(failed) / len(mine)
            row = {"variant": name, "status": status, "trials": len(failed), "share": share, "example": failed[0].error}
            rows.append(row)
    return pd.DataFrame(rows, columns=["variant", "status", "trials", "share", "example"])


def _manifest(run: Run, trials: Sequence[Trial]) -> dict[str, Any]:
    plan = run.plan
    return {
        "run": run.id,
        "plan": plan.spec(),
        "plan_hash": plan.hash,
        "dataset_hash": plan.dataset.hash,
        "seed": plan.shuffle_seed,
        "models": sorted({one.model for one in trials if one.model}),
        "response_models": sorted({one.response_model for one in trials if one.response_model}),
        "price_ids": run.bench.journal.price_ids(run.id),
        "replayed": sum(one.replayed for one in trials),
        "judge_cost": sum(one.judge_cost for one in trials),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES},
    }


_PACKAGES = ("aikit", "scipy", "numpy", "pandas", "duckdb", "openai", "anthropic", "xllamacpp")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
