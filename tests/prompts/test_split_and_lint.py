from collections import Counter

import pytest

from aikit.errors import PromptError
from aikit.prompts import Split


def test_a_unit_gets_the_same_version_every_time(prompts):
    prompts.save("classify", "one")
    prompts.save("classify", "two")
    dealt = {user: prompts.split("classify", {1: 0.5, 2: 0.5}, unit=user).number for user in range(200)}
    again = {user: prompts.split("classify", {2: 0.5, 1: 0.5}, unit=user).number for user in range(200)}
    assert dealt == again
    assert 70 <= Counter(dealt.values())[1] <= 130


def test_the_shares_come_out_as_asked():
    split = Split.of("classify", {1: 1, 2: 3})
    counts = Counter(split.deal(f"user-{n}") for n in range(20_000))
    assert counts[2] / 20_000 == pytest.approx(0.75, abs=0.012)


def test_a_change_of_weights_moves_only_the_units_that_it_has_to():
    before, after = Split.of("x", {1: 0.5, 2: 0.5}), Split.of("x", {1: 0.4, 2: 0.6})
    moved = [(before.deal(n), after.deal(n)) for n in range(10_000)]
    assert all(pair in ((1, 1), (2, 2), (1, 2)) for pair in moved), "nobody leaves the version that gained"
    assert sum(a != b for a, b in moved) / 10_000 == pytest.approx(0.1, abs=0.015)


def test_other_prompts_deal_independently():
    one, other = Split.of("one", {1: 0.5, 2: 0.5}), Split.of("other", {1: 0.5, 2: 0.5})
    same = sum(one.deal(n) == other.deal(n) for n in range(10_000)) / 10_000
    assert same == pytest.approx(0.5, abs=0.025)


def test_assignments_are_logged_once_without_the_user_s_name(prompts):
    prompts.save("classify", "one")
    prompts.save("classify", "two", labels=["candidate"])
    for _ in range(2):
        for user in ("ada@example.com", "bob@example.com", 3):
            version = prompts.split("classify", {1: 0.5, "candidate": 0.5}, unit=user)
    assignments = prompts.assignments("classify")
    assert len(assignments) == 3 and assignments["unit"].nunique() == 3
    assert not assignments.to_csv().count("ada")
    table = prompts.splits("classify")
    assert table["units"].sum() == 3 and table["share"].sum() == pytest.approx(1)
    assert any(tag.startswith("split:") for tag in version.tags) and any(
        tag.startswith("unit:") for tag in version.tags
    )
    assert prompts["classify", version.number].tags == ()


@pytest.mark.parametrize("weights", [{}, {1: 0}, {1: -1, 2: 2}, {1: float("nan")}])
def test_weights_that_are_none_are_refused(prompts, weights):
    prompts.save("classify", "one")
    prompts.save("classify", "two")
    with pytest.raises(PromptError):
        prompts.split("classify", weights, unit=1)


def rules(version):
    return [finding.rule for finding in version.lint()]


def test_lint_is_silent_on_a_good_prompt(prompts):
    assert rules(prompts.save("good", 'Answer as JSON: {"mood": "…"}\nText: {{ text }}')) == []


def test_lint_speaks_of_variables(prompts):
    version = prompts.save("x", "{{ txt }}", variables={"text": str})
    assert rules(version) == ["undeclared-variable", "unused-variable"]
    assert "did you mean 'text'" in str(version.lint()[0])
    assert rules(prompts.save("y", "no variable at all")) == ["no-variable"]


@pytest.mark.parametrize("template", ["{text} {{ x }}", "${text} {{ x }}", "[[text]] {{ x }}", "<<text>> {{ x }}"])
def test_lint_knows_other_systems_braces(prompts, template):
    (finding,) = prompts.save("x", template).lint()
    assert finding.rule == "foreign-braces" and "{{ text }}" in finding.sentence


def test_lint_finds_long_static_text_after_the_first_variable(prompts):
    late = prompts.save("late", "{{ text }}" + "Always the same. " * 100 + "x")
    early = prompts.save("early", "Always the same. " * 100 + "{{ text }}")
    assert rules(late) == ["static-after-dynamic"] and rules(early) == []
    chat = prompts.save("chat", [("user", "{{ text }}"), ("assistant", "x" * 1200), ("user", "go on ")])
    assert rules(chat) == ["static-after-dynamic", "trailing-space"]


def test_lint_finds_an_empty_turn(prompts):
    assert rules(prompts.save("x", [("system", " \n"), ("user", "{{ text }}")])) == ["empty"]
