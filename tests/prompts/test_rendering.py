import datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aikit.errors import PromptError
from aikit.messages import Message
from aikit.prompts import Variable
from aikit.prompts.templates import Template


def test_text_renders_to_text_and_to_one_user_message(prompts):
    version = prompts.save("classify", "Sentiment of: {{ text }}\n")
    assert version.render(text="good") == "Sentiment of: good\n"
    assert version.messages({"text": "good"}) == (Message("user", "Sentiment of: good\n"),)
    assert version.variables == ("text",) and not version.is_chat


def test_chat_renders_to_messages(prompts):
    version = prompts.save("chat", [Message("system", "Be {{ tone }}"), {"role": "user", "content": "{{ text }}"}])
    assert version.render(tone="kind", text="hi") == (Message("system", "Be kind"), Message("user", "hi"))
    assert version.variables == ("tone", "text")


def test_a_missing_variable_is_named(prompts):
    version = prompts.save("classify", "{{ text }} {{ tone }}")
    with pytest.raises(PromptError, match="needs the variables 'text', 'tone'; given: txet; did you mean 'txet'"):
        version.render(txet="x")


def test_a_variable_that_is_tested_or_has_a_default_may_be_missing(prompts):
    version = prompts.save(
        "classify", "{% if tone is defined %}Be {{ tone }}. {% endif %}{{ text }}{{ end | default('.') }}"
    )
    assert version.required == ("text",)
    assert version.render(text="x") == "x."
    assert version.render(text="x", tone="kind", end="!") == "Be kind. x!"


def test_loops_sets_and_filters_work(prompts):
    version = prompts.save(
        "list", "{% for item in items %}{{ loop.index }}. {{ item.name | upper }}\n{% endfor %}{% set a = 1 %}{{ a }}"
    )
    assert version.variables == ("items",)
    assert version.render(items=[{"name": "x"}, {"name": "y"}]) == "1. X\n2. Y\n1"
    assert prompts.save("range", "{% for i in range(3) %}{{ i }}{% endfor %}").variables == ()


def test_json_is_written_as_it_is_and_not_for_html(prompts):
    assert prompts.save("json", "{{ data | tojson }}").render(data={"a": "<é&>"}) == '{"a": "<é&>"}'


@pytest.mark.parametrize(
    "value",
    [
        "{{ 7 * 7 }}",
        "{% include 'x' %}",
        "{{ config }}",
        "\0",
        "\ud800",
        "\u202egnp.exe",
        "x" * 1_000_000,
        "## user",
        "---\n",
    ],
)
def test_hostile_values_stay_values(prompts, value):
    text = prompts.save("classify", "Text: {{ text }}")
    chat = prompts.save("chat", [("system", "fixed"), ("user", "{{ text }}")])
    assert text.render(text=value) == f"Text: {value}"
    assert chat.messages(text=value) == (Message("system", "fixed"), Message("user", value))


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=200))
def test_any_text_as_a_value_comes_out_as_it_went_in(value):
    assert Template("<{{ text }}>", {}, label="x").render({"text": value}) == (f"<{value}>",)


@pytest.mark.parametrize(
    "template",
    [
        "{{ text.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ text.format.__globals__ }}",
        "{{ '{0.__class__}'.format(text) }}",
        "{{ items.append(1) }}",
        "{{ items.__setitem__(0, 1) }}",
        "{{ lipsum }}",
        "{{ 'x' * 1000000000 }}",
        "{{ 10 ** 1000000 }}",
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{{ 1 / 0 }}",
        "{{ items | sum('x') }}",
    ],
)
def test_a_template_that_reaches_out_of_the_sandbox_fails_with_our_error(prompts, template):
    items = [1, 2]
    with pytest.raises(PromptError):
        prompts.save("evil", template).render(text="x", items=items)
    assert items == [1, 2]


class Account:
    balance = 3


@pytest.mark.parametrize("value", [Account(), Account, lambda: 1, b"bytes", {1, 2}, [Account()], {"a": Account()}])
def test_objects_are_refused_as_values(prompts, value):
    with pytest.raises(PromptError, match="convert it first"):
        prompts.save("classify", "{{ text }}").render(text=value)


def test_scalars_of_numpy_and_dates_are_taken(prompts):
    version = prompts.save("classify", "{{ text }}")
    assert version.render(text=np.float64(0.5)) == "0.5"
    assert version.render(text=np.int64(3)) == "3"
    assert version.render(text=np.array([1, 2])) == "[1, 2]"
    assert version.render(text=Decimal("1.10")) == "1.10"
    assert version.render(text=datetime.date(2026, 11, 22)) == "2026-11-22"


def test_declared_variables_are_checked_and_converted(prompts):
    version = prompts.save(
        "typed",
        "{{ text }} {{ n + 1 }} {{ tone }}",
        variables={
            "text": str,
            "n": "int",
            "tone": {"type": "str", "choices": ["kind", "stern"], "default": "kind", "example": "stern"},
        },
    )
    assert version.render(text="x", n="41") == "x 42 kind"
    with pytest.raises(PromptError, match="'n' is declared int, not str"):
        version.render(text="x", n="many")
    with pytest.raises(PromptError, match="'text' is declared str, not int"):
        version.render(text=3, n=1)
    with pytest.raises(PromptError, match=r"one of .*did you mean 'stern'"):
        version.render(text="x", n=1, tone="sterm")
    with pytest.raises(PromptError, match=r"no type 'strin'.*did you mean 'str'"):
        prompts.save("typed", "{{ text }}", variables={"text": "strin"})
    with pytest.raises(PromptError, match="declared int"):
        prompts.save("typed", "{{ n }}", variables={"n": Variable("int", default="x")})
    assert version.examples() == {"text": "<text>", "n": "<n>", "tone": "stern"}


def test_the_id_depends_on_name_and_content_only(prompts, other_prompts):
    first = prompts.save("classify", "{{ text }}", message="a")
    other_prompts.save("classify", "something else")
    second = other_prompts.save("classify", "{{ text }}", message="b")
    assert first.id == second.id and first.number != second.number
    assert prompts.save("classify", "{{ text }} ").id != first.id
    assert prompts.save("classify", "{{ text }}", defaults={"text": "x"}).id != first.id
