"""Where a variant wins and loses: by columns, by length, by cluster, sample by sample."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from aikit.errors import DataError, DatasetError, did_you_mean
from aikit.experiments.analysis import Analysis, analysis_frame
from aikit.experiments.plan import Plan
from aikit.experiments.samples import Sample
from aikit.experiments.trials import Trial

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["slices", "wide", "worst"]

FEWEST = 8
"""Samples from which a slice is compared at all."""
MOST_VALUES = 12
"""Different values up to which a column makes slices."""
_COLUMNS = ("column", "value", "variant", "samples", "control_value", "variant_value", "estimate", "low", "high", "p")


def wide(plan: Plan, trials: Sequence[Trial]) -> pd.DataFrame:
    """Return samples × variants of the primary metric, epochs averaged, failures as the worst; whole samples only."""
    import pandas as pd

    rows = [(one.sample, one.variant, _value(plan, one)) for one in trials if not one.stitched]
    frame = pd.DataFrame(rows, columns=["sample", "variant", "value"]).dropna()
    if frame.empty:
        raise DataError(f"no trial has a value of {plan.primary!r} yet")
    table = frame.pivot_table(index="sample", columns="variant", values="value", aggfunc="mean")
    return table.reindex(columns=list(plan.variants)).dropna()


def slices(plan: Plan, trials: Sequence[Trial], *, by: str | None = None) -> pd.DataFrame:
    """Return a row per slice and variant: column value variant samples control_value variant_value estimate low high p.

    `by` names a column, "length" (of the input, in four parts) or "cluster"; None takes all that have 2 to 12 values.
    `p_adjusted` holds for all slices of the frame together (Benjamini-Hochberg); `stands_out` where it is below the
    plan's alpha. Slices are looked at after the fact: what stands out is a question for the next experiment.
    """
    import pandas as pd

    from aikit import stats

    chosen = _groups(plan, by)
    frame = analysis_frame(plan, trials)
    rows: list[dict[str, Any]] = []
    for column, value_of in chosen.items():
        values = frame["sample"].map(value_of)
        for value in dict.fromkeys(value_of.values()):
            part = cast("pd.DataFrame", frame[values == value])
            rows += _compared(plan, part, column, value) if part["sample"].nunique() >= FEWEST else []
    found = pd.DataFrame(rows, columns=list(_COLUMNS))
    found["p_adjusted"] = stats.adjust_p([None if one != one else one for one in found["p"].tolist()], method="BH")
    found["stands_out"] = [one is not None and one == one and one < plan.alpha for one in found["p_adjusted"]]
    return found


def worst(plan: Plan, trials: Sequence[Trial], analysis: Analysis, *, count: int = 5) -> pd.DataFrame:
    """Return the samples on which each variant lost and gained most, with the input, both answers and their calls.

    Columns: variant side sample difference input target control_text variant_text control_call variant_call.
    """
    import pandas as pd

    samples = {one.id: one for one in plan.dataset.samples}
    answers = {(one.sample, one.variant): one for one in sorted(trials, key=lambda one: -one.epoch)}
    rows: list[dict[str, Any]] = []
    for comparison in analysis.comparisons:
        for side, found in (("lost", comparison.losers), ("gained", comparison.winners)):
            for one in found[:count]:
                sample = samples.get(one.sample)
                control, variant = (answers.get((one.sample, name)) for name in (plan.control, comparison.variant))
                rows.append(
                    {
                        "variant": comparison.variant,
                        "side": side,
                        "sample": one.sample,
                        "difference": one.difference,
                        "input": _input(plan, sample),
                        "target": None if sample is None else sample.target,
                        "control_text": _answer(control),
                        "variant_text": _answer(variant),
                        "control_call": control.call_id if control else "",
                        "variant_call": variant.call_id if variant else "",
                    }
                )
    columns = ["variant", "side", "sample", "difference", "input", "target", "control_text", "variant_text"]
    return pd.DataFrame(rows, columns=[*columns, "control_call", "variant_call"])


def _answer(trial: Trial | None) -> str:
    if trial is None:
        return ""
    return trial.text if trial.status == "ok" else f"[{trial.status}] {trial.error}"


def _input(plan: Plan, sample: Sample | None) -> str:
    """Return what the prompts see of a sample: the one variable's text, or all of them as JSON."""
    if sample is None:
        return ""
    names = [
        name for name in dict.fromkeys(n for arm in plan.arms for n in arm.prompt.variables) if name in sample.inputs
    ]
    shown = {name: sample.inputs[name] for name in names or sample.inputs}
    return str(next(iter(shown.values()))) if len(shown) == 1 else json.dumps(shown, ensure_ascii=False, default=str)


def _value(plan: Plan, trial: Trial) -> float | None:
    if trial.status != "ok":
        return 0.0 if plan.direction == "higher" else None
    value = trial.scores.get(plan.primary, getattr(trial, plan.primary, None) if "." not in plan.primary else None)
    return None if value is None else float(value)


def _compared(plan: Plan, part: pd.DataFrame, column: str, value: Any) -> list[dict[str, Any]]:
    from aikit import stats

    try:
        found = stats.compare(
            part,
            metric=plan.primary,
            control=plan.control,
            direction=plan.direction,
            alpha=plan.alpha,
            stopping="fixed",
        )
    except DataError:
        return []  # a slice in which one variant has no values
    several = found if isinstance(found, tuple) else (found,)
    return [
        {"column": column, "value": value, **{name: getattr(one, name) for name in _COLUMNS[2:]}} for one in several
    ]


def _groups(plan: Plan, by: str | None) -> dict[str, Mapping[str, Any]]:
    """Return for each column that makes slices the value of each sample."""
    found = _columns(plan) | {"length": _lengths(plan)}
    if plan.dataset.cluster is not None:
        found["cluster"] = {one.id: str(one.cluster) for one in plan.dataset.samples}
    if by is None:
        return {
            name: values for name, values in found.items() if 2 <= len(set(map(str, values.values()))) <= MOST_VALUES
        }
    if by not in found:
        raise DatasetError(f"no column {by!r}; columns: {', '.join(found)}{did_you_mean(by, found)}", column=by)
    return {by: found[by]}


def _columns(plan: Plan) -> dict[str, Mapping[str, Any]]:
    names = dict.fromkeys(name for one in plan.dataset.samples for name in (*one.inputs, *one.metadata))
    found: dict[str, Mapping[str, Any]] = {
        name: {one.id: str(one.metadata.get(name, one.inputs.get(name))) for one in plan.dataset.samples}
        for name in names
    }
    if plan.dataset.target is not None:
        found[plan.dataset.target] = {one.id: str(one.target) for one in plan.dataset.samples}
    return found


def _lengths(plan: Plan) -> Mapping[str, str]:
    import numpy as np

    lengths = {one.id: len(_input(plan, one)) for one in plan.dataset.samples}
    edges = sorted({int(one) for one in np.quantile(list(lengths.values()), [0.25, 0.5, 0.75])})
    bounds = [0, *edges, max(lengths.values())]

    def part(length: int) -> str:
        at = sum(length > edge for edge in edges)
        return f"{bounds[at] + (at > 0)} to {bounds[at + 1]} characters"

    return {sample: part(length) for sample, length in lengths.items()}
