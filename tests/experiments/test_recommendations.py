"""Each rule: a case in which it must speak, with the right dollars, and one in which it must stay silent."""

import pytest

from aikit.experiments.plan import Plan
from aikit.experiments.recommend import recommend
from aikit.experiments.samples import load
from aikit.experiments.trials import Trial
from aikit.experiments.variants import Arm
from aikit.messages import GenerationOptions
from aikit.prices import PriceBook
from aikit.prompts import PromptVersion, Variable
from aikit.prompts.templates import as_body
from tests.experiments.setting import LABEL, draw, rows

BOOK = PriceBook(
    {"p": {"kind": "openai", "base_url": None, "prices": {"m": {"input": 2.0, "cache_read": 0.2, "output": 10.0}}}}
)


def price(model):
    return BOOK.price("p", "m")


def arm(name, template="{{ text }}", options=None, declared=None):
    version = PromptVersion(name, 1, as_body(template), hash=name, declared=declared or {})
    return Arm(name, version, "p:m", GenerationOptions(**(options or {})))


def plan_with(*arms, count=200):
    return Plan("x", arms, load(rows(count), target="label"), (LABEL,), "label", seed=1)


def trials_of(plan, *, passes, cost=None, tokens=None, finish="stop"):
    """One trial a cell; `passes(variant, sample number)` says whether it passes."""
    found = []
    for planned in plan.trials("r"):
        number = int(planned.sample.inputs["text"].split()[1])
        name = planned.variant
        found.append(
            Trial(
                planned.key,
                "r",
                name,
                planned.sample.id,
                1,
                "ok",
                scores={"label": bool(passes(name, number))},
                cost=(cost or {}).get(name, 0.001),
                output_tokens=(tokens or {}).get(name, 10),
                input_tokens=100,
                finish_reason=finish,
                position=planned.position,
            )
        )
    return found


def said(plan, trials, rule):
    return [one for one in recommend(plan, trials, (), price=price) if one.rule == rule]


def nearly_all(name, number):
    return number % 20 != 0 if name == "dear" else (number % 20 != 0) ^ (number % 100 == 7)


COSTS = {"dear": 0.004, "cheap": 0.001}


def test_a_cheaper_variant_that_is_not_worse_is_named_with_what_it_saves():
    plan = plan_with(arm("dear"), arm("cheap"))
    (one,) = said(plan, trials_of(plan, passes=nearly_all, cost=COSTS), "cheaper")
    assert one.variant == "cheap" and one.dollars_per_1000 == pytest.approx(3.0)
    assert -0.05 < one.low <= one.effect <= one.high


def test_a_cheaper_variant_that_may_be_worse_is_not_named():
    plan = plan_with(arm("dear"), arm("cheap"))
    worse = trials_of(plan, passes=lambda name, n: n % 20 != 0 if name == "dear" else draw(n) < 0.85, cost=COSTS)
    assert not said(plan, worse, "cheaper")
    small = plan_with(arm("dear"), arm("cheap"), count=15)
    assert not said(small, trials_of(small, passes=nearly_all, cost=COSTS), "cheaper"), "too few samples"
    same = trials_of(plan, passes=nearly_all, cost={"dear": 0.001, "cheap": 0.001})
    assert not said(plan, same, "cheaper"), "nothing is saved"


FEW_SHOT = [("user", "a"), ("assistant", "positive"), ("user", "{{ text }}")]


def test_examples_that_buy_nothing_are_named_with_what_they_cost():
    plan = plan_with(arm("dear", FEW_SHOT), arm("cheap"))
    trials = trials_of(plan, passes=nearly_all, cost=COSTS)
    (one,) = said(plan, trials, "few-shot")
    assert one.dollars_per_1000 == pytest.approx(3.0) and "examples in 'dear' buy nothing" in one.sentence
    assert not said(plan, trials, "cheaper"), "one thing is said once"


def test_examples_that_help_are_left_alone():
    plan = plan_with(arm("dear", FEW_SHOT), arm("cheap"))
    assert not said(plan, trials_of(plan, passes=lambda name, n: name == "dear" or n % 3, cost=COSTS), "few-shot")


LONG = "Follow these many rules with care. " * 300


def test_a_cacheable_prefix_in_the_wrong_place_is_named_with_what_caching_saves():
    from aikit import tokens

    plan = plan_with(arm("late", "{{ text }}\n" + LONG), arm("early", LONG + "\n{{ text }}"))
    (one,) = said(plan, trials_of(plan, passes=lambda *_: True), "cache")
    count = tokens.count_text("\n" + LONG, provider="p", model="m").tokens
    assert one.variant == "late" and one.dollars_per_1000 == pytest.approx(1000 * count * (2.0 - 0.2) / 1e6, rel=0.01)


def test_a_prefix_too_short_to_be_cached_is_not_named():
    plan = plan_with(arm("late", "{{ text }} " + "short " * 20), arm("other", "No variable. " + LONG))
    assert not said(plan, trials_of(plan, passes=lambda *_: True), "cache")


def test_a_limit_that_no_answer_comes_near_is_named():
    plan = plan_with(arm("high", options={"max_tokens": 1000}), arm("fits", options={"max_tokens": 24}))
    (one,) = said(plan, trials_of(plan, passes=lambda *_: True), "max-tokens")
    assert one.variant == "high" and "from 1,000 to 20" in one.sentence
    assert "hold $9.8 less" in one.evidence, "980 tokens at $10 a million, 1,000 times"
    assert one.dollars_per_1000 == 0.0


def test_a_limit_that_cuts_answers_is_not_called_too_high():
    plan = plan_with(arm("high", options={"max_tokens": 1000}), arm("other"))
    assert not said(plan, trials_of(plan, passes=lambda *_: True, finish="length"), "max-tokens")


def test_a_variable_that_is_never_used_is_named():
    plan = plan_with(
        arm("one", declared={"text": Variable(), "tone": Variable()}), arm("two", declared={"text": Variable()})
    )
    (one,) = said(plan, trials_of(plan, passes=lambda *_: True), "unused-variable")
    assert one.variant == "one" and "'tone'" in one.sentence and one.dollars_per_1000 == 0.0


def test_samples_that_every_version_fails_are_named_with_what_they_cost():
    plan = plan_with(arm("a"), arm("b"))
    trials = trials_of(plan, passes=lambda name, n: n % 10 != 0 and draw(name, n) < 0.9)
    (one,) = said(plan, trials, "unsolved")
    failing = {sample.id for sample in plan.dataset.samples if int(sample.inputs["text"].split()[1]) % 10 == 0}
    assert failing <= set(one.samples) and len(one.samples) >= 20
    assert one.dollars_per_1000 == pytest.approx(1000 * 0.001 * len(one.samples) / 200)


def test_samples_that_fail_by_chance_alone_are_not_named():
    plan = plan_with(arm("a"), arm("b"))
    assert not said(plan, trials_of(plan, passes=lambda name, n: draw(name, n) < 0.7), "unsolved")


def test_without_a_price_the_dollars_are_unknown_and_not_zero():
    plan = plan_with(arm("late", "{{ text }}\n" + LONG), arm("other"))
    (one,) = [r for r in recommend(plan, trials_of(plan, passes=lambda *_: True), ()) if r.rule == "cache"]
    assert one.dollars_per_1000 is None
    assert "<" not in one._repr_html_().replace("<p>", "").replace("</p>", "")
