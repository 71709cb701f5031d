"""The replay: the same request gets the same answer, and no other one does."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aikit.errors import ReplayMissing, UnknownSetting
from aikit.messages import Completion, GenerationOptions, Image, Message, Text, ToolCall, Usage, as_messages
from aikit.providers.replay import Replay
from aikit.request_key import request_key

NONE = GenerationOptions()
LOGGED = Completion(
    "blue",
    reasoning="Rayleigh",
    tool_calls=(ToolCall("1", "look", {"up": True}),),
    finish_reason="tool_call",
    usage=Usage(6, 1),
    response_model="gpt-x-2026",
    provider="openai",
    model="gpt-x",
    cost=Decimal("0.01"),
)


def replay(prompt: str = "sky?", options: GenerationOptions = NONE, *, model: str = "") -> Replay:
    return Replay(lookup={request_key(as_messages(prompt), options, model=model): LOGGED}.get, model=model)


def test_a_logged_answer_comes_back_as_it_was_and_says_that_it_is_replayed() -> None:
    answer = asyncio.run(replay().generate_completion("sky?", NONE))
    assert (answer.text, answer.reasoning, answer.tool_calls) == ("blue", "Rayleigh", LOGGED.tool_calls)
    assert answer.finish_reason == "tool_call"
    assert answer.usage == Usage(6, 1)
    assert answer.usage_source == "replayed"
    assert answer.response_model == "gpt-x-2026"
    assert replay().estimate_cost("sky?", NONE) == 0


@pytest.mark.parametrize(
    ("prompt", "options"),
    [("sky", NONE), ("sky?", GenerationOptions(temperature=0.0)), ("sky?", GenerationOptions(extra={"n": 1}))],
)
def test_what_was_never_asked_is_missing(prompt: str, options: GenerationOptions) -> None:
    with pytest.raises(ReplayMissing, match="no answer to 'sky"):
        asyncio.run(replay().generate_completion(prompt, options))


def test_a_replay_of_one_model_does_not_answer_for_another() -> None:
    provider = replay(model="gpt-x")
    assert asyncio.run(provider.generate_completion("sky?", NONE)).text == "blue"
    with pytest.raises(ReplayMissing, match="of gpt-y"):
        asyncio.run(provider.bound(model="gpt-y").generate_completion("sky?", NONE))


def test_a_lookup_may_be_a_coroutine_function() -> None:
    async def lookup(key: str) -> Completion | None:
        await asyncio.sleep(0)
        return LOGGED

    assert asyncio.run(Replay(lookup=lookup).generate_completion("anything", NONE)).text == "blue"


def test_a_replay_without_a_lookup_holds_no_answer() -> None:
    with pytest.raises(ReplayMissing):
        asyncio.run(Replay().generate_completion("sky?", NONE))


def test_an_unknown_setting_is_refused() -> None:
    from aikit.config import ProviderConfig

    with pytest.raises(UnknownSetting, match="lookup"):
        Replay(ProviderConfig(kind="replay", options={"lokup": None}))


def test_the_key_does_not_depend_on_how_the_same_thing_is_written() -> None:
    written = [
        request_key((Message("user", "hi"),), GenerationOptions(extra={"a": 1, "b": 2})),
        request_key([Message("user", (Text("hi"),))], GenerationOptions(extra={"b": 2, "a": 1})),
    ]
    assert written[0] == written[1]


def test_the_key_stays_the_same_from_version_to_version() -> None:
    # Logs of earlier versions are looked up by it: this value never changes.
    options = GenerationOptions(max_tokens=16, temperature=0.0, stop=("x",))
    assert request_key(as_messages("hi", "be brief"), options, model="m") == "6adc1f3ff71ce40e5bd6a08b30027f28"


def test_pictures_and_tools_are_part_of_the_key() -> None:
    keys = {
        request_key((Message("user", (part,)),), NONE)
        for part in (Image(data=b"1"), Image(data=b"2"), Image(url="https://x"), ToolCall("1", "f", {}), Text("1"))
    }
    assert len(keys) == 5


@given(st.text(max_size=20), st.text(max_size=20))
def test_different_texts_have_different_keys(one: str, other: str) -> None:
    same = request_key(as_messages(one), NONE) == request_key(as_messages(other), NONE)
    assert same == (one == other)
