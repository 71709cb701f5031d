"""Dropping variants that are surely worse than the leader, while the others go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from aikit.experiments.plan import Plan
from aikit.experiments.trials import Trial

__all__ = ["losers"]


def losers(plan: Plan, trials: Sequence[Trial]) -> tuple[str, ...]:
    """Return the variants that the always-valid intervals exclude; none for a primary metric that is no score.

    Failures count as the worst outcome; epochs are averaged within the sample.
    """
    from aikit import stats

    table = _means(plan, trials)
    if table is None:
        return ()
    found = stats.surviving_variants(
        table.to_numpy(dtype=float),
        plan.variants,
        planned=len(plan.dataset),
        cluster=_clusters(trials, list(table.index)) if plan.dataset.cluster is not None else None,
        direction=plan.direction,
        alpha=plan.alpha,
    )
    return found.dropped


def _means(plan: Plan, trials: Sequence[Trial]) -> Any:
    import pandas as pd

    chosen = [one for one in trials if not one.stitched]
    values = [_value(one, plan) for one in chosen]
    if not any(value is not None for value in values):
        return None
    frame = pd.DataFrame({"sample": [one.sample for one in chosen], "variant": [one.variant for one in chosen]})
    frame["value"] = pd.Series(values, dtype="float64")
    table = frame.pivot_table(index="sample", columns="variant", values="value", aggfunc="mean")
    return cast("Any", table).reindex(columns=list(plan.variants))


def _value(trial: Trial, plan: Plan) -> float | None:
    if trial.status != "ok":
        return 0.0 if plan.direction == "higher" else None
    value = trial.scores.get(plan.primary)
    return None if value is None else float(value)


def _clusters(trials: Sequence[Trial], samples: Sequence[str]) -> list[str]:
    by_sample = {one.sample: one.cluster or one.sample for one in trials}
    return [by_sample[sample] for sample in samples]
