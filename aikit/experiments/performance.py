"""How a prompt's versions did: over all runs, and over the calls made with them outside of runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from aikit.errors import DataError
from aikit.experiments.plan import Plan
from aikit.experiments.recommend import Recommendation, recommend
from aikit.experiments.stored import stored_plan
from aikit.experiments.trials import Trial

if TYPE_CHECKING:
    import pandas as pd

    from aikit.experiments.bench import Bench

__all__ = ["performance", "prompt_recommendations", "split_comparison"]

_COLUMNS = [
    *("version", "model", "metric", "period", "runs", "samples", "trials", "quality", "low", "high", "failure_rate"),
    *("cost_per_1000_calls", "input_tokens", "output_tokens", "duration_p50", "duration_p95"),
]


def performance(bench: Bench, name: str, *, by: str | None = None) -> pd.DataFrame:
    """Return a row per version, model and primary metric of a prompt: runs, quality with interval, cost, tokens, times.

    Columns: version model metric period runs samples trials quality low high failure_rate cost_per_1000_calls
    input_tokens output_tokens duration_p50 duration_p95. `by="run"` has a row per run, oldest first: the trend.
    Quality is the mean over samples, failures counted; its interval keeps together what a sample was asked.
    """
    import pandas as pd

    if by not in (None, "run"):
        raise DataError(f"by={by!r}: use 'run', or leave it out")
    version = bench.prompts.get(name)  # says which prompts there are, where there is none of that name
    groups: dict[tuple[int, str, str, str], list[tuple[Plan, Trial]]] = {}
    for row, plan, trials in reversed(list(_runs(bench, version.name))):
        period = str(row["id"]) if by == "run" else ""
        for trial in trials:
            arm = plan.arm(trial.variant)
            if arm.prompt.name == version.name:
                key = (arm.prompt.number, arm.model_name, plan.primary, period)
                groups.setdefault(key, []).append((plan, trial))
    found = [_row(key, several) for key, several in groups.items()]
    return pd.DataFrame(found, columns=_COLUMNS)


def prompt_recommendations(bench: Bench, name: str) -> tuple[Recommendation, ...]:
    """Return what the latest run of each plan with this prompt recommends for it; the largest saving first."""
    version = bench.prompts.get(name)
    found: list[Recommendation] = []
    seen: set[str] = set()
    for row, plan, trials in _runs(bench, version.name):
        if row["plan"] in seen:
            continue
        seen.add(str(row["plan"]))
        mine = {arm.name for arm in plan.arms if arm.prompt.name == version.name}
        found += [
            one for one in recommend(plan, trials, (), price=bench.price) if not one.variant or one.variant in mine
        ]
    unique = {(one.rule, one.sentence): one for one in reversed(found)}
    return tuple(sorted(unique.values(), key=lambda one: -(one.dollars_per_1000 or 0.0)))


def split_comparison(
    bench: Bench, name: str, outcomes: Any, *, metric: str, unit: str = "unit", split: str | None = None
) -> Any:
    """Compare the versions that a live split dealt, on outcomes by unit; unpaired, with a check of the dealt shares.

    `outcomes` is a frame with a row per outcome: the unit (as it was given to `split`) and the metric. Returns what
    `aikit.stats.compare` returns; when units were not dealt as the weights say, its verdict is "invalid" in a warning.
    Raises DataError when the prompt has no split, or no unit of the frame was dealt a version.
    """
    from dataclasses import replace

    from aikit import stats
    from aikit.prompts import Split

    table = bench.prompts.splits(name)
    if table.empty:
        raise DataError(f"prompt {name!r} has no live split yet: kit.prompts.split({name!r}, {{1: .5, 2: .5}}, unit=…)")
    chosen = split or str(table["split"].iloc[-1])
    rows = table[table["split"] == chosen]
    dealer = Split.of(name, dict(zip(rows["number"].tolist(), rows["share"].tolist(), strict=True)))
    dealt = bench.prompts.assignments(name, split=chosen).set_index("unit")["number"]
    frame = outcomes.assign(sample=[dealer.unit_id(one) for one in outcomes[unit].tolist()])
    frame = frame.assign(variant=frame["sample"].map(dealt)).dropna(subset=["variant"])
    if frame.empty:
        raise DataError(
            f"no unit of the outcomes was dealt a version of {name!r}; is {unit!r} what was given to split()?"
        )
    frame = frame.assign(variant=[f"v{int(one)}" for one in frame["variant"]])
    check = stats.sample_ratio_mismatch(rows["units"].tolist(), rows["share"].tolist())
    found = stats.compare(
        frame[["sample", "variant", metric]], metric=metric, control=f"v{int(rows['number'].iloc[0])}"
    )
    if check.p is None or not check.warnings:  # it warns of a mismatch only
        return found
    note = f"invalid: units were not dealt as the weights say (p = {check.p:.2g}); find out why before reading this"
    several = found if isinstance(found, tuple) else (found,)
    marked = tuple(replace(one, warnings=(note, *one.warnings)) for one in several)
    return marked if isinstance(found, tuple) else marked[0]


def _runs(bench: Bench, name: str) -> Iterable[tuple[dict[str, Any], Plan, list[Trial]]]:
    """Yield the stored runs with a variant of the prompt, the newest first; what can't be made again is left out."""
    import json

    for row in bench.journal.runs():
        prompts = {one["prompt"] for one in json.loads(row["spec"])["variants"].values()}
        if name not in prompts:
            continue
        plan = stored_plan(bench, row)
        trials = [one for one in bench.journal.trials(str(row["id"])).values() if not one.stitched]
        if trials:
            yield row, plan, trials


def _row(key: tuple[int, str, str, str], several: Sequence[tuple[Plan, Trial]]) -> dict[str, Any]:
    import numpy as np

    from aikit import stats

    trials = [trial for _, trial in several]
    scored = [(trial.sample, value) for plan, trial in several if (value := _quality(plan, trial)) is not None]
    mean = stats.clustered_mean([value for _, value in scored], [sample for sample, _ in scored]) if scored else None
    costs = [one.cost for one in trials if one.cost is not None and not one.replayed]
    times = [one.duration for one in trials if one.duration is not None and one.attempts == 1 and not one.replayed]
    return {
        **dict(zip(("version", "model", "metric", "period"), key, strict=True)),
        "runs": len({one.run for one in trials}),
        "samples": len({one.sample for one in trials}),
        "trials": len(trials),
        "quality": None if mean is None else mean.estimate,
        "low": None if mean is None else mean.low,
        "high": None if mean is None else mean.high,
        "failure_rate": sum(one.status != "ok" for one in trials) / len(trials),
        "cost_per_1000_calls": 1000 * sum(costs) / len(costs) if costs else None,
        "input_tokens": _mean([one.input_tokens for one in trials]),
        "output_tokens": _mean([one.output_tokens for one in trials]),
        "duration_p50": float(np.quantile(times, 0.5)) if times else None,
        "duration_p95": float(np.quantile(times, 0.95)) if times else None,
    }


def _quality(plan: Plan, trial: Trial) -> float | None:
    if trial.status != "ok":
        return 0.0 if plan.direction == "higher" else None
    value = trial.scores.get(plan.primary)
    return None if value is None else float(value)


def _mean(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
