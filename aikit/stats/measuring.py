"""One metric of a study, measured: each variant against the control, under the plan, before any verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aikit.errors import DataError
from aikit.stats.contrasts import Contrast, contrast
from aikit.stats.design import Design
from aikit.stats.outcome import Outcome
from aikit.stats.results import Comparison, Interval, Margin, Worst
from aikit.stats.several import Adjusted, adjust
from aikit.stats.stopping import Evidence, Plan, weigh

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Study", "measure", "progress"]

_SHOWN = 5  # samples listed each way
_FEW_UNITS = 10  # below it the central limit theorem is no help to a t interval


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """What all metrics of one comparison share."""

    design: Design
    plan: Plan
    alpha: float = 0.05
    seed: int = 0
    draws: int = 10_000


def measure(
    study: Study, outcome: Outcome, *, margin: Margin | None = None, primary: bool = True
) -> tuple[Comparison, ...]:
    """Compare every variant with the control on one metric; `verdict` stays None.

    A primary metric is adjusted for the number of variants; a guardrail is not.
    """
    columns = range(1, len(study.design.variants))
    contrasts = [contrast(study.design, outcome, one, draws=study.draws, seed=study.seed) for one in columns]
    plain = study.plan.stopping == "fixed" and all(
        study.plan.planned is None or progress(study.design, one) >= study.plan.planned for one in columns
    )
    if primary:
        shares = adjust(
            study.design, outcome, contrasts, plain=plain, alpha=study.alpha, draws=study.draws, seed=study.seed
        )
    else:
        shares = tuple(Adjusted(one.p, study.alpha, "") for one in contrasts)
    return tuple(
        _comparison(study, outcome, one, column, share, len(contrasts) if primary else 1, margin, primary=primary)
        for one, column, share in zip(contrasts, columns, shares, strict=True)
    )


def progress(design: Design, column: int) -> int:
    """Return the samples run so far: with both variants in a paired design, with either in an unpaired one."""
    return design.both[column] if design.paired else design.either[column]


def _comparison(
    study: Study, outcome: Outcome, found: Contrast, column: int, share: Adjusted, family: int,
    margin: Margin | None, *, primary: bool,
) -> Comparison:  # fmt: skip
    done = progress(study.design, column)
    evidence = weigh(found, study.plan, progress=done, alpha=share.alpha)
    plain = evidence.note == ""
    p = share.p if plain else None if evidence.p is None else min(1.0, evidence.p * family)
    limits = evidence.limits(share.alpha)
    sign = 1 if outcome.direction == "higher" else -1
    details = dict(found.details) | {
        "claim": _claim(found, evidence, limits, p, sign, study.alpha),
        "interval": " ".join(x for x in ("simultaneous" if share.note else "", evidence.note.partition(",")[0]) if x)
        or "interval",
        "repeated": study.design.repeated,
    }
    if details["interval"] == "simultaneous":
        details["interval"] = "simultaneous interval"
    if evidence.early:
        details["early"] = True
    if not study.design.paired:
        details |= {"n_control": _scored(outcome, 0), "n_variant": _scored(outcome, column)}
    if margin is not None:
        details |= _within(margin, found, evidence, share.alpha, sign, outcome)
    low, high = (None, None) if limits is None else (_shown(limits[0], found), _shown(limits[1], found))
    samples, clusters, calls = _counts(study.design, found, column)
    estimate = None if found.estimate is None else _shown(found.estimate, found)
    relative = _relative(outcome, found, low, high, study.alpha)
    winners, losers = _extremes(study.design, outcome, found, column, sign) if primary else ((), ())
    notes = _notes(study.design, outcome, found, evidence, column)
    return Comparison(
        estimate=estimate, low=low, high=high, p=p, e_value=evidence.e_value, unit=_unit(outcome, study.design, found),
        wins=found.tally[0], losses=found.tally[1], ties=found.tally[2], samples=samples, clusters=clusters,
        calls=calls, method=_method(found, evidence, share), seed=study.seed, warnings=notes,
        minimum_detectable_effect=_detectable(found, share.alpha), metric=outcome.name,
        control=study.design.variants[0], variant=study.design.variants[column], kind=outcome.kind,
        direction=outcome.direction, level=1 - study.alpha, control_value=found.control_value,
        variant_value=found.variant_value, relative=relative[1], relative_estimate=relative[0],
        p_unadjusted=found.p, p_check=found.p_check, stopping=study.plan.stopping, planned=study.plan.planned,
        final=evidence.final, winners=winners, losers=losers, details=details,
    )  # fmt: skip


def _claim(
    found: Contrast, evidence: Evidence, limits: tuple[float, float] | None, p: float | None, sign: int, alpha: float
) -> str:
    """Return "better" or "worse" when the interval (or the e-value) excludes equality, else "open"."""
    if not evidence.final or found.estimate is None:
        return "open"
    if evidence.by_evidence:
        sure = p is not None and p <= alpha
        return "open" if not sure or found.estimate == 0 else "better" if found.estimate * sign > 0 else "worse"
    if limits is None:
        return "open"
    low, high = sorted((limits[0] * sign, limits[1] * sign))
    return "better" if low > 0 else "worse" if high < 0 else "open"


def _shown(x: float, found: Contrast) -> float:
    """Return a value of the contrast's scale as the user sees it: logarithms become ratio − 1."""
    if not found.log:
        return x
    return math.expm1(x) if x < 700 else math.inf


def _unit(outcome: Outcome, design: Design, found: Contrast) -> str:
    if found.log or outcome.kind in ("ratio", "per_success"):
        return "relative"
    if outcome.kind in ("binary", "preference"):
        return "points"
    return (
        "net wins" if outcome.kind == "ordinal" and "Brunner-Munzel" in found.method and not design.paired else "score"
    )


def _method(found: Contrast, evidence: Evidence, share: Adjusted) -> str:
    return "; ".join(one for one in (found.method, share.note, evidence.note) if one)


def _scored(outcome: Outcome, column: int) -> int:
    import numpy as np

    return int((~np.isnan(outcome.cells.mean[:, column])).sum())


def _counts(design: Design, found: Contrast, column: int) -> tuple[int, int, int]:
    calls = int(design.rows[:, 0].sum() + design.rows[:, column].sum())
    return found.samples, found.units, calls


def _detectable(found: Contrast, alpha: float) -> float | None:
    from aikit.stats.power import detectable_effect

    if not found.se or not math.isfinite(found.se):
        return None
    least = detectable_effect(se=found.se, df=found.df if found.df is not None else math.inf, alpha=alpha)
    return None if least is None else _shown(least, found)


def _relative(
    outcome: Outcome, found: Contrast, low: float | None, high: float | None, alpha: float
) -> tuple[float | None, Interval | None]:
    """Return variant/control − 1 with its interval; for scores and shares by the control's value taken as known."""
    if found.log:
        estimate = None if found.estimate is None else _shown(found.estimate, found)
        return estimate, None if low is None or high is None else Interval(low, high, 1 - alpha)
    base = found.control_value
    if not base or base < 0 or found.variant_value is None or outcome.kind == "preference":
        return None, None
    return found.variant_value / base - 1, None


def _within(
    margin: Margin, found: Contrast, evidence: Evidence, alpha: float, sign: int, outcome: Outcome
) -> dict[str, Any]:
    """Return whether the margin is shown to hold ("held", "noninferior": True), broken (False), or neither (None)."""
    amount = _margin_on_scale(margin, found, sign, outcome)
    limits = evidence.limits(min(2 * alpha, 0.5))
    shown = math.expm1(amount) if found.log and sign < 0 else -math.expm1(-amount) if found.log else amount
    state: dict[str, Any] = {"margin_amount": shown, "held": None, "noninferior": None, "equivalent": None}
    if limits is None or not evidence.final:
        return state
    low, high = sorted((limits[0] * sign, limits[1] * sign))
    held = True if low > -amount else False if high < -amount else None
    outside = low > amount or high < -amount
    equal = True if -amount < low and high < amount else False if outside else None
    seen = {"margin_low": _shown(limits[0], found), "margin_high": _shown(limits[1], found)}
    return state | {"held": held, "noninferior": held, "equivalent": equal} | seen


def _margin_on_scale(margin: Margin, found: Contrast, sign: int, outcome: Outcome) -> float:
    """Return the margin as a positive amount on the contrast's scale."""
    base = found.control_value
    if found.log:
        share = margin.relative
        if share is None:
            if not base:
                return 0.0
            share = (margin.absolute or 0.0) / base
        if sign > 0 and share >= 1:
            raise DataError(f"a margin of {share:.0%} on {outcome.name!r} allows it to vanish: give less than 100 %")
        return math.log1p(share) if sign < 0 else -math.log1p(-share)
    if margin.absolute is not None:
        return margin.absolute
    if base is None or "Brunner-Munzel" in found.method:
        raise DataError(f"a relative margin has no meaning for {outcome.name!r} here: give margin(absolute=…)")
    return abs(base) * (margin.relative or 0.0)


def _notes(design: Design, outcome: Outcome, found: Contrast, evidence: Evidence, column: int) -> tuple[str, ...]:
    notes = (*design.warnings, *outcome.warnings, *found.warnings, *evidence.warnings)
    if found.method.startswith(("CR2-t", "Welch")) and 1 < found.units < _FEW_UNITS:
        notes += (f"only {found.units} independent samples: the interval leans on their differences being normal",)
    if design.paired and found.rows is not None:
        seen = design.either[column]
        gap = seen - found.samples
        if gap:
            notes += (f"{gap} of {seen} samples have no partner to compare with and are left out",)
    return tuple(dict.fromkeys(notes))


def _extremes(
    design: Design, outcome: Outcome, found: Contrast, column: int, sign: int
) -> tuple[tuple[Worst, ...], tuple[Worst, ...]]:
    if found.rows is None or found.differences is None:
        return (), ()
    gain = found.differences * sign
    left, right = outcome.cells.mean[:, 0], outcome.cells.mean[:, column]

    def described(order: NDArray[np.int64]) -> tuple[Worst, ...]:
        return tuple(_worst(design, outcome, found, int(one), left, right, column) for one in order)

    return described(_top(gain)), described(_top(-gain))


def _top(gain: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the indices of the five largest gains above 0; ties in the order of the samples."""
    import numpy as np

    if gain.size > 10 * _SHOWN:
        least = max(float(np.partition(gain, gain.size - _SHOWN)[gain.size - _SHOWN]), 0.0)
        candidates = np.flatnonzero((gain >= least) & (gain > 0))
    else:
        candidates = np.flatnonzero(gain > 0)
    return candidates[np.argsort(-gain[candidates], kind="stable")[:_SHOWN]]


def _worst(design: Design, outcome: Outcome, found: Contrast, place: int, left: Any, right: Any, column: int) -> Worst:
    import numpy as np

    sample = int(found.rows[place]) if found.rows is not None else place
    a, b = float(left[sample]), float(right[sample])
    if outcome.log:
        a, b = math.exp(a), math.exp(b)
    calls: tuple[str, ...] = ()
    if "call_id" in design.frame.columns:
        at = np.flatnonzero(design.sample_codes == sample)
        at = at[(design.variant_codes[at] == 0) | (design.variant_codes[at] == column)]
        calls = tuple(str(one) for one in design.frame["call_id"].to_numpy()[at] if one is not None)
    return Worst(str(design.samples[sample]), a, b, b - a, tuple(sorted(calls)))
