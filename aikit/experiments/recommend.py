"""Recommendations: what to change in a prompt, with the evidence and what it saves. Silent where nothing is shown."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aikit.experiments.analysis import analysis_frame
from aikit.experiments.plan import Plan
from aikit.experiments.trials import Trial
from aikit.experiments.variants import Arm
from aikit.messages import Usage
from aikit.prompts.lint import static_after_first_variable

if TYPE_CHECKING:
    from aikit.stats import Comparison, Margin

__all__ = ["Recommendation", "recommend"]

CACHEABLE = 1024
"""Tokens that a prefix needs before providers cache it (OpenAI and most of Anthropic's models, 2026)."""
FEWEST = 20
"""Samples from which a rule speaks."""
_POINTS = 0.05
"""How much worse still counts as equal where the plan has no margin: five points, or 5 % of the score's range."""

GetPrice = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One thing to change."""

    rule: str
    """`cheaper few-shot cache max-tokens unused-variable unsolved`."""
    variant: str
    sentence: str
    evidence: str
    effect: float | None = None
    """The change of the primary metric to expect; None where the rule is not about quality."""
    low: float | None = None
    high: float | None = None
    dollars_per_1000: float | None = None
    """US dollars that 1,000 calls cost less; None when no price is known, 0 where nothing is saved."""
    samples: tuple[str, ...] = ()
    """The samples it is about; empty where it is about all."""

    def __str__(self) -> str:
        saved = "" if not self.dollars_per_1000 else f" Saves about ${self.dollars_per_1000:,.4g} per 1,000 calls."
        return f"{self.sentence}{saved} ({self.evidence})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(str(self))}</p>"


def recommend(
    plan: Plan, trials: Sequence[Trial], comparisons: Sequence[Comparison], *, price: GetPrice | None = None
) -> tuple[Recommendation, ...]:
    """Return the recommendations that a run's trials support, those that save most first."""
    done = [one for one in trials if not one.stitched]
    found = [
        *_cheaper(plan, done),
        *_cache(plan, done, price),
        *_max_tokens(plan, done, price),
        *_unused(plan),
        *_unsolved(plan, done),
    ]
    return tuple(sorted(found, key=lambda one: -(one.dollars_per_1000 or 0.0)))


def _cheaper(plan: Plan, trials: Sequence[Trial]) -> Iterator[Recommendation]:
    """A variant that costs less and is shown not to be worse than the best; the same with examples left out."""
    means = {name: _mean_cost(trials, name) for name in plan.variants}
    for dear in plan.arms:
        for cheap in plan.arms:
            cost, less = means[dear.name], means[cheap.name]
            if cost is None or less is None or not less < cost:
                continue
            shown = _not_worse(plan, trials, dear.name, cheap.name)
            if shown is None:
                continue
            few_shot = _examples(dear) > _examples(cheap)
            yield _cheaper_of(dear, cheap, shown, 1000 * (cost - less), few_shot=few_shot)


def _cheaper_of(dear: Arm, cheap: Arm, shown: Comparison, saved: float, *, few_shot: bool) -> Recommendation:
    sentence = (
        f"The examples in {dear.name!r} buy nothing: {cheap.name!r} does without them and is not worse."
        if few_shot
        else f"Use {cheap.name!r} instead of {dear.name!r}: it costs less and is not worse."
    )
    return Recommendation(
        rule="few-shot" if few_shot else "cheaper",
        variant=cheap.name,
        sentence=sentence,
        evidence=shown.sentence,
        effect=shown.estimate,
        low=shown.low,
        high=shown.high,
        dollars_per_1000=saved,
    )


def _not_worse(plan: Plan, trials: Sequence[Trial], control: str, variant: str) -> Comparison | None:
    """Return the comparison when the variant is shown not to be worse than the control by more than the margin."""
    from aikit import stats
    from aikit.errors import DataError

    chosen = [one for one in trials if one.variant in (control, variant)]
    if len({one.sample for one in chosen}) < FEWEST:
        return None
    arms = (plan.arm(control), plan.arm(variant))
    pair = replace(plan, arms=arms)
    try:
        found = stats.compare(
            analysis_frame(pair, chosen),
            metric=plan.primary,
            control=control,
            direction=plan.direction,
            alpha=2 * plan.alpha,  # one-sided: only "worse" is in question
            seed=plan.shuffle_seed % 2**31,
        )
    except DataError:
        return None
    if isinstance(found, tuple) or found.low is None or found.high is None:
        return None
    amount = _amount(plan.margin, found)
    worst = found.low if plan.direction == "higher" else -found.high
    return found if worst > -amount else None


def _amount(margin: Margin | None, found: Comparison) -> float:
    if margin is not None and margin.absolute is not None:
        return margin.absolute
    base = abs(found.control_value or 0.0)
    if margin is not None and margin.relative is not None:
        return margin.relative if found.unit == "relative" else margin.relative * base
    return _POINTS if found.unit in ("points", "relative") else _POINTS * max(base, 1e-12)


def _mean_cost(trials: Sequence[Trial], name: str) -> float | None:
    known = [one.cost for one in trials if one.variant == name and one.cost is not None and not one.replayed]
    return sum(known) / len(known) if known else None


def _examples(arm: Arm) -> int:
    """Return the number of example answers in a chat prompt: the assistant's turns before the last user's."""
    return 0 if isinstance(arm.prompt.template, str) else sum(one.role == "assistant" for one in arm.prompt.template)


def _cache(plan: Plan, trials: Sequence[Trial], price: GetPrice | None) -> Iterator[Recommendation]:
    """Fixed text behind the first variable: in front of it, providers would charge it at the cached rate."""
    from aikit import tokens

    for arm in plan.arms:
        before, after = static_after_first_variable(arm.prompt)
        provider, _, model = arm.model_name.partition(":")
        early, late = (tokens.count_text(one, provider=provider, model=model).tokens for one in (before, after))
        whole = early + late
        if not after or whole < CACHEABLE or early >= CACHEABLE:
            continue
        saved = _cache_saving(arm, whole, price)
        if saved == 0:
            continue
        yield Recommendation(
            rule="cache",
            variant=arm.name,
            sentence=f"Move the variables of {arm.prompt.label} behind its fixed text: the prefix can then be cached.",
            evidence=f"about {late:,} of {whole:,} fixed tokens come after the first variable and are paid in full",
            dollars_per_1000=saved,
        )


def _cache_saving(arm: Arm, cached: int, price: GetPrice | None) -> float | None:
    found = _price(arm, price)
    if found is None:
        return None
    full = found.cost(Usage(cached, 0))
    read = found.cost(Usage(cached, 0, cache_read_tokens=cached))
    return None if full is None or read is None else max(0.0, 1000 * (full - read) / 1e9)


def _price(arm: Arm, price: GetPrice | None) -> Any:
    return None if price is None or hasattr(arm.model, "targets") else price(arm.model)  # a route has several


def _max_tokens(plan: Plan, trials: Sequence[Trial], price: GetPrice | None) -> Iterator[Recommendation]:
    """A limit far above every answer: each call holds it of the budget, and one runaway answer may cost it."""
    for arm in plan.arms:
        limit = arm.options.max_tokens
        lengths = [one.output_tokens for one in trials if one.variant == arm.name and one.output_tokens is not None]
        if limit is None or len(lengths) < FEWEST or any(one.finish_reason == "length" for one in trials):
            continue
        enough = max(16, 2 * max(lengths))
        if enough * 2 > limit:
            continue
        held = _held(arm, limit - enough, price)
        yield Recommendation(
            rule="max-tokens",
            variant=arm.name,
            sentence=f"Lower max_tokens of {arm.name!r} from {limit:,} to {enough:,}: no answer comes near it.",
            evidence=f"the longest of {len(lengths)} answers has {max(lengths):,} tokens"
            + ("" if not held else f"; 1,000 calls at once hold ${held:,.4g} less of the budget"),
            dollars_per_1000=0.0,
        )


def _held(arm: Arm, fewer: int, price: GetPrice | None) -> float | None:
    found = _price(arm, price)
    cost = None if found is None else found.cost(Usage(0, fewer))
    return None if cost is None else 1000 * cost / 1e9


def _unused(plan: Plan) -> Iterator[Recommendation]:
    """A variable that is declared and never used, or one that has the same value in every sample."""
    for arm in plan.arms:
        for name in arm.prompt.declared:
            if name not in arm.prompt.variables:
                yield Recommendation(
                    rule="unused-variable",
                    variant=arm.name,
                    sentence=f"{arm.prompt.label} declares {name!r} and never uses it: use it, or take it out.",
                    evidence="the template has no place for it",
                    dollars_per_1000=0.0,
                )


def _unsolved(plan: Plan, trials: Sequence[Trial]) -> Iterator[Recommendation]:
    """Samples on which every variant fails, each time: a wrong target, or a case no prompt covers."""
    passed: dict[str, list[bool]] = {}
    for one in trials:
        value = one.scores.get(plan.primary) if one.status == "ok" else False
        if isinstance(value, bool):
            passed.setdefault(one.sample, []).append(value)
    complete = {sample: marks for sample, marks in passed.items() if len(marks) >= len(plan.arms) * plan.epochs}
    failing = tuple(sample for sample, marks in complete.items() if not any(marks))
    # By chance alone some samples fail everywhere: speak only of more than independent failures would give.
    if len(complete) < FEWEST or len(failing) < 2 or len(failing) <= _by_chance(plan, trials, len(complete)):
        return
    wasted = [one.cost for one in trials if one.sample in set(failing) and one.cost is not None]
    calls = max(len(trials), 1)
    yield Recommendation(
        rule="unsolved",
        variant="",
        sentence=f"Look at the {len(failing)} samples that every variant fails: is their target right?",
        evidence=f"{len(failing)} of {len(complete)} samples failed under all {len(plan.arms)} variants",
        dollars_per_1000=1000 * sum(wasted) / calls if wasted else None,
        samples=failing,
    )


def _by_chance(plan: Plan, trials: Sequence[Trial], samples: int) -> float:
    """Return the failures in common to expect, and two standard deviations, if the variants failed independently."""
    chance = 1.0
    for name in plan.variants:
        marks = [one.scores.get(plan.primary) is True and one.status == "ok" for one in trials if one.variant == name]
        chance *= (1 - sum(marks) / len(marks)) ** plan.epochs if marks else 1.0
    return samples * chance + 2 * math.sqrt(samples * chance * (1 - chance)) if chance < 1 else 0.0
