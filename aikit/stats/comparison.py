"""The entry for most people: `compare` reads the design off a frame, picks the method, and gives one verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aikit.errors import DataError
from aikit.stats.design import Design, check_frame, read_design
from aikit.stats.measuring import Study, measure, progress
from aikit.stats.outcome import Outcome, is_cost_like, numbers, read_outcome
from aikit.stats.results import Comparison, Margin
from aikit.stats.several import omnibus
from aikit.stats.stopping import Plan
from aikit.stats.verdict import Outlook, decide
from aikit.stats.wording import measured

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare"]

_UNMATCHED = 0.05  # share of samples without a partner above which a paired experiment is invalid
_HOPELESS = 20  # times the samples so far: more than that is not "a few more"
_POWERED = 0.8416  # z of power .80
_FIRST = 50  # samples to ask for while there is nothing to plan with


def compare(
    frame: pd.DataFrame,
    *,
    metric: str,
    variant: str = "variant",
    sample: str = "sample",
    cluster: str | None = None,
    epoch: str | None = None,
    status: str | None = None,
    control: str | None = None,
    kind: str | None = None,
    direction: str = "higher",
    margin: Margin | None = None,
    goal: str = "better",
    guardrails: Mapping[str, Margin] | None = None,
    stopping: str = "fixed",
    planned: int | None = None,
    looks: int = 5,
    alpha: float = 0.05,
    seed: int = 0,
) -> Comparison | tuple[Comparison, ...]:
    """Compare variants on a metric; two give one Comparison, more a tuple, each against the control.

    `frame` has one row per trial. The method follows from the data: pass/fail for booleans, a ratio for `cost`, times
    and `*_tokens`, a score for other numbers, unless `kind` says otherwise; paired when samples were seen by several
    variants; epochs are averaged, clusters kept together; failures (`status` other than "ok") are outcomes.
    `cluster`, `epoch` and `status` default to the columns of those names; "" means none. `metric` may also be
    "failure", a status, or "cost_per_success". `kind="preference"` takes ½-points per row and variant, or one row per
    judgment naming the winner ("tie" or nothing for a tie). `margin` is what still counts as equal (needed for
    goal="cheaper" and for equivalence); `guardrails` maps metrics to margins that must hold. `planned` counts samples;
    `stopping` is "fixed", "group" (at `looks` even looks) or "anytime". The same rows and seed give the same result.
    Raises DataError for columns that are missing or hold text, and for a goal without what it needs.
    """
    rails = _rails(guardrails)
    check_frame(frame)
    if not isinstance(metric, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # as read from a form or a file
        raise DataError(f"metric is {metric!r}: give the name of a column")
    _check(alpha, margin, goal)
    if seed < 0 or seed % 1 != 0:
        raise DataError(f"seed={seed}: give a whole number, 0 or more")
    if kind == "preference":
        frame, control = _as_points(frame, metric, variant, control)
    design = read_design(
        frame, variant=variant, sample=sample, cluster=cluster, epoch=epoch, status=status, control=control
    )
    study = Study(design, Plan(stopping, planned, looks), alpha, seed)
    outcome = read_outcome(design, metric, kind=kind, direction=direction)
    results = measure(study, outcome, margin=margin)
    held = {
        name: measure(study, _rail(design, name, one, metric), margin=one, primary=False) for name, one in rails.items()
    }
    costs = _costs(study, outcome, held, goal)
    extra = _extra(study, outcome)
    finished = tuple(
        _judged(study, outcome, one, place, {n: c[place] for n, c in held.items()}, costs, goal, extra)
        for place, one in enumerate(results)
    )
    return finished[0] if len(finished) == 1 else finished


def _check(alpha: float, margin: Margin | None, goal: str) -> None:
    if not 0 < alpha < 0.5:
        raise DataError(f"alpha is {alpha}: give a probability above 0 and below 0.5, such as 0.05")
    if goal not in ("better", "cheaper"):
        raise DataError(f"goal is {goal!r}: use 'better' or 'cheaper'")
    if goal == "cheaper" and margin is None:
        raise DataError("goal='cheaper' needs margin=: how much worse is still good enough, margin(absolute=0.05)")
    if margin is not None and not isinstance(margin, Margin):  # pyright: ignore[reportUnnecessaryIsInstance]  # a frame's user may pass 0.05
        raise DataError(f"margin is {margin!r}: say aikit.stats.margin(absolute=…) or margin(relative=…)")


def _rails(guardrails: Mapping[str, Margin] | None) -> dict[str, Margin]:
    rails = dict(guardrails or {})
    for name, one in rails.items():
        if not isinstance(one, Margin):  # pyright: ignore[reportUnnecessaryIsInstance]  # a frame's user may pass 0.2
            raise DataError(f"guardrail {name!r} is {one!r}: give aikit.stats.margin(relative=…) or margin(absolute=…)")
    return rails


def _rail(design: Design, name: str, margin: Margin, primary: str) -> Outcome:
    return read_outcome(design, name, direction=margin.direction or "higher", primary=primary)


def _as_points(frame: pd.DataFrame, metric: str, variant: str, control: str | None) -> tuple[pd.DataFrame, str | None]:
    """Turn one row per judgment, naming the winner, into a row per variant with 1, ½ or 0 points."""
    import pandas as pd

    if metric not in frame.columns or pd.api.types.is_numeric_dtype(frame[metric]):
        return frame, control
    winner = frame[metric].where(frame[metric].notna(), "tie").astype(str)
    names = sorted(set(winner) - {"tie"})
    if control is not None and control not in names:
        names = [control, *names]
    if len(names) != 2:
        raise DataError(f"{metric!r} names {len(names)} winners ({', '.join(names) or 'none'}); a preference is of two")
    halves = [
        frame.assign(**{variant: name, metric: (winner == name) * 1.0 + (winner == "tie") * 0.5}) for name in names
    ]
    return pd.concat(halves, ignore_index=True), control or names[0]


def _costs(
    study: Study, outcome: Outcome, held: Mapping[str, tuple[Comparison, ...]], goal: str
) -> tuple[Comparison, ...] | None:
    """Return what each variant costs against the control, for the verdict's words and its choice of the cheaper."""
    given = next((held[name] for name in ("cost_per_success", "cost") if name in held), None)
    if given is not None:
        return given
    frame = study.design.frame
    known = "cost" in frame.columns and bool((numbers(frame["cost"]) > 0).any())
    if goal == "cheaper" and not known:
        raise DataError("goal='cheaper' needs a column 'cost' with what the calls cost")
    if not known or is_cost_like(outcome.name) or outcome.kind == "per_success":
        return None
    binary = outcome.kind == "binary" and outcome.direction == "higher" and outcome.name in frame.columns
    name = "cost_per_success" if binary else "cost"
    return measure(study, read_outcome(study.design, name, primary=outcome.name), primary=False)


def _judged(
    study: Study,
    outcome: Outcome,
    comparison: Comparison,
    place: int,
    held: dict[str, Comparison],
    costs: tuple[Comparison, ...] | None,
    goal: str,
    extra: dict[str, Any],
) -> Comparison:
    from aikit.stats.examining import alone, examine

    column = place + 1
    details, notes = examine(study, outcome, comparison, column)
    comparison = replace(
        comparison,
        details=dict(comparison.details) | extra | details,
        warnings=tuple(dict.fromkeys((*comparison.warnings, *notes))),
    )
    comparison = replace(comparison, sentence=measured(comparison))
    held = {name: replace(one, sentence=measured(one)) for name, one in held.items()}
    verdict = decide(
        comparison,
        guardrails=held,
        goal=goal,
        cost=None if costs is None else costs[place],
        problems=alone(study, comparison, column),
        outlook=_outlook(study, comparison, held, column),
    )
    return replace(comparison, verdict=verdict)


def _extra(study: Study, outcome: Outcome) -> dict[str, Any]:
    return omnibus(study.design, outcome)


def _outlook(study: Study, comparison: Comparison, held: Mapping[str, Comparison], column: int) -> Outlook:
    done = progress(study.design, column)
    if study.plan.planned is not None:
        more = study.plan.planned - done if done < study.plan.planned else None
    else:
        more = _needed(comparison, held)
    if more is None:
        return Outlook()
    dollars, minutes = (_per_sample(study.design, name) for name in ("cost", "duration"))
    return Outlook(more, None if dollars is None else dollars * more, None if minutes is None else minutes * more / 60)


def _needed(comparison: Comparison, held: Mapping[str, Comparison]) -> int | None:
    """Return the further samples at which a true difference of the size seen is found with power .80."""
    samples = comparison.samples
    least, seen = comparison.minimum_detectable_effect, comparison.estimate
    if not least or seen is None or samples < 10:
        return max(_FIRST - samples, samples, 10)
    if comparison.details.get("claim") == "better":  # only a guardrail is open
        ratios = [_short_of(one) for one in held.values() if one.details.get("held") is None]
    else:
        gap, reach = (math.log1p(x) if comparison.unit == "relative" and x > -1 else x for x in (seen, least))
        ratios = [abs(reach / gap) if gap and math.isfinite(gap) else math.inf]
    worst = max(ratios, default=1.0)
    if worst**2 > _HOPELESS:
        return None
    return max(math.ceil(samples * (worst**2 - 1)), math.ceil(samples / 10))


def _short_of(guardrail: Comparison) -> float:
    """Return by how much a guardrail's error has to shrink for its margin to be shown."""
    least, seen = guardrail.minimum_detectable_effect, guardrail.estimate
    if not least or seen is None or not math.isfinite(seen):
        return math.inf
    amount = float(guardrail.details.get("margin_amount", 0.0))
    room = amount - seen if guardrail.direction == "lower" else amount + seen
    return least / room if room > 0 else math.inf


def _per_sample(design: Design, name: str) -> float | None:
    """Return what one more sample on all variants takes, from the run so far."""
    if name not in design.frame.columns or not len(design.samples):
        return None
    total = math.fsum(one for one in numbers(design.frame[name]).tolist() if one == one)
    whole = (design.rows > 0).sum() / len(design.variants) if design.paired else len(design.samples)
    return total / float(whole) if total > 0 and whole else None
