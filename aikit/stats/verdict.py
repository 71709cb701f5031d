"""One verdict of a comparison, in a fixed order and in words that name the variants.

Invalid, else keep the control (it is better, or a guardrail's margin is shown to be broken), else ship the variant (its
interval excludes 0 in favour and every guardrail is non-inferior; or, with goal "cheaper", quality is non-inferior and
the cost lower), else equivalent (take the cheaper), else keep going.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aikit.errors import DataError
from aikit.stats.results import Comparison, Verdict
from aikit.stats.wording import change, measured, metric_name, size

__all__ = ["Outlook", "decide", "overall"]

_WINNERS_CURSE = 1.22  # mean estimate / truth at an early O'Brien-Fleming stop, by simulation at 80 % power


@dataclass(frozen=True, slots=True)
class Outlook:
    """What going on would take."""

    more: int | None = None
    """Further samples to the plan's end, or until a true difference of the size seen is found; None when hopeless."""
    dollars: float | None = None
    """US dollars for them; None when no cost is known."""
    minutes: float | None = None
    """Minutes for them, one call at a time; None when no duration is known."""


def decide(
    comparison: Comparison,
    *,
    guardrails: Mapping[str, Comparison] | None = None,
    goal: str = "better",
    cost: Comparison | None = None,
    problems: Sequence[str] = (),
    outlook: Outlook | None = None,
) -> Verdict:
    """Decide from a primary comparison, its guardrails and, for the cheaper of two, a cost comparison.

    Reads `details` as `compare` fills them: "claim" ("better", "worse", "open"), "noninferior" and "equivalent" (None
    without a margin), and each guardrail's "held" (None while open). `problems` make the experiment invalid.
    """
    if goal not in ("better", "cheaper"):
        raise DataError(f"goal is {goal!r}: use 'better' or 'cheaper'")
    case = _Case(comparison, dict(guardrails or {}), goal, cost, tuple(problems), outlook or Outlook())
    return _invalid(case) or _keep(case) or _ship(case) or _equivalent(case) or _go_on(case)


@dataclass(frozen=True, slots=True)
class _Case:
    comparison: Comparison
    guardrails: dict[str, Comparison]
    goal: str
    cost: Comparison | None
    problems: tuple[str, ...]
    outlook: Outlook
    held: bool = field(init=False)
    claim: str = field(init=False)

    def __post_init__(self) -> None:
        held = all(one.details.get("held") is True for one in self.guardrails.values())
        object.__setattr__(self, "held", held)
        object.__setattr__(self, "claim", str(self.comparison.details.get("claim", "open")))

    def verdict(self, decision: str, variant: str | None, headline: str, *more: str) -> Verdict:
        """Return the verdict: headline, what was measured, the guardrails, what else is to be said."""
        about = [measured(self.comparison), *_said(self.guardrails, self.cost), *more]
        warnings = tuple(dict.fromkeys(self.comparison.warnings))
        if decision == "ship" and self.comparison.details.get("early"):
            warnings += (f"stopped early: the true difference is likely smaller, on average by {_WINNERS_CURSE} ×",)
        sentence = f"**{headline}** " + " ".join(one for one in about if one)
        return Verdict(decision, variant, sentence, self.comparison, self.guardrails, warnings)  # type: ignore[arg-type]


def _said(guardrails: Mapping[str, Comparison], cost: Comparison | None) -> list[str]:
    shown = dict(guardrails)
    if cost is not None and cost.metric not in shown:
        shown[cost.metric] = cost
    words = {True: "", False: ", outside its margin", None: ", margin still open"}
    return [
        f"{metric_name(name).capitalize()} {change(one, brief=True)}{words[one.details.get('held', True)]}."
        for name, one in shown.items()
    ]


def _invalid(case: _Case) -> Verdict | None:
    if not case.problems:
        return None
    reasons = "; ".join(case.problems)
    sentence = (
        f"**Invalid.** {reasons[:1].upper()}{reasons[1:]}. Find out why and run again: these rows judge no variant."
    )
    return Verdict("invalid", None, sentence, case.comparison, case.guardrails, case.comparison.warnings)


def _keep(case: _Case) -> Verdict | None:
    control = case.comparison.control
    if case.claim == "worse":
        return case.verdict("keep", control, f"Keep {control}.")
    if not case.comparison.final:
        return None
    broken = [metric_name(name) for name, one in case.guardrails.items() if one.details.get("held") is False]
    if broken:
        return case.verdict(
            "keep", control, f"Keep {control}.", f"Shown to be outside its margin: {', '.join(broken)}."
        )
    return None


def _ship(case: _Case) -> Verdict | None:
    variant = case.comparison.variant
    if not case.comparison.final or not case.held:
        return None
    if case.claim == "better":
        return case.verdict("ship", variant, f"Ship {variant}.")
    if case.goal == "cheaper" and _good_enough(case):
        words = f"Quality is within the margin and {metric_name(case.cost.metric) if case.cost else 'cost'} is lower."
        return case.verdict("ship", variant, f"Ship {variant}.", words)
    return None


def _good_enough(case: _Case) -> bool:
    cheaper = case.cost is not None and case.cost.details.get("claim") == "better"
    return cheaper and case.comparison.details.get("noninferior") is True and case.held


def _equivalent(case: _Case) -> Verdict | None:
    comparison = case.comparison
    if not comparison.final or comparison.details.get("equivalent") is not True:
        return None
    cost, taken = case.cost, comparison.control
    known = cost is not None and cost.details.get("claim") in ("better", "worse")
    if cost is not None and cost.estimate is not None and cost.estimate < 0 and case.held:
        taken = comparison.variant
    why = ", the cheaper" if known and case.held else ""
    within = comparison.details.get("margin_amount")
    words = f"The difference lies within ±{size(float(within), comparison.unit)}." if within else ""
    return case.verdict("equivalent", taken, f"Equivalent: take {taken}{why}.", words)


def _go_on(case: _Case) -> Verdict:
    comparison, outlook = case.comparison, case.outlook
    still_open = [one for one in case.guardrails.values() if one.details.get("held") is None]
    waiting = case.claim == "better" and bool(still_open)
    reason = f"Open: {', '.join(metric_name(one.metric) for one in still_open)}." if waiting else ""
    if outlook.more is None and not waiting and not comparison.wins and not comparison.losses:
        return case.verdict("continue", comparison.control, "Stop: not one sample told the two apart.", reason)
    if outlook.more is None:
        least = _least(still_open[0] if waiting else comparison)
        of = f" of {metric_name(still_open[0].metric)}" if waiting else ""
        return case.verdict("continue", comparison.control, f"Stop: even the full plan detects {least}{of}.", reason)
    price = "" if outlook.dollars is None else f" ≈ ${outlook.dollars:,.2f}"
    time = "" if outlook.minutes is None else f" ≈ {max(outlook.minutes, 0.1):,.1f} min"
    more = f"About {outlook.more:,} more samples{price}{time}."
    return case.verdict("continue", comparison.control, "Keep going.", reason, more)


def _least(comparison: Comparison) -> str:
    least = comparison.minimum_detectable_effect
    return "nothing measurable" if least is None else f"only {size(least, comparison.unit)}"


def overall(comparisons: Comparison | Sequence[Comparison]) -> Verdict:
    """Return one verdict of several variants against one control.

    Invalid if one is; else the shipped variant that gained most; else keep going while one is open; else the
    equivalent one; else keep the control. Raises DataError without verdicts.
    """
    several = [comparisons] if isinstance(comparisons, Comparison) else list(comparisons)
    verdicts = [one.verdict for one in several if one.verdict is not None]
    if not verdicts:
        raise DataError("no verdicts to join: pass what `compare` returned")
    if len(verdicts) == 1:
        return verdicts[0]
    for decision in ("invalid", "ship", "continue", "equivalent", "keep"):
        found = [one for one in verdicts if one.decision == decision]
        if found:
            best = max(found, key=_gain)
            others = [one.sentence for one in verdicts if one is not best]
            return Verdict(
                best.decision, best.variant, " ".join([best.sentence, *others]), best.comparison, best.guardrails,
                tuple(dict.fromkeys(w for one in verdicts for w in one.warnings)),
            )  # fmt: skip
    return verdicts[0]


def _gain(verdict: Verdict) -> float:
    comparison = verdict.comparison
    if comparison is None or comparison.estimate is None:
        return -math.inf
    return comparison.estimate if comparison.direction == "higher" else -comparison.estimate
