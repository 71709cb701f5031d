"""The scripted provider: what it is told to answer, how slowly, and how it is told to fail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from aikit.config import ProviderConfig
from aikit.errors import (
    BadRequest,
    ConnectionFailed,
    DeadlineExceeded,
    Overloaded,
    ProviderError,
    StreamInterrupted,
    UnknownSetting,
)
from aikit.events import TextDelta
from aikit.messages import Completion, GenerationOptions, Message, ToolCall, Usage
from aikit.providers.scripted import Scripted
from tests.conftest import FakeClock


def ask(provider: Scripted, prompt: str | Sequence[Message] = "hello", **options: Any) -> Completion:
    return asyncio.run(provider.generate_completion(prompt, GenerationOptions(**options)))


def chunks(provider: Scripted, prompt: str = "hello") -> list[str]:
    async def read() -> list[str]:
        events = [event async for event in provider.generate_stream(prompt, GenerationOptions())]
        return [event.text for event in events if isinstance(event, TextDelta)]

    return asyncio.run(read())


def test_a_string_is_the_answer_to_everything() -> None:
    provider = Scripted(reply="It is what it is.")
    assert ask(provider, "What?").text == ask(provider, "Why?").text == "It is what it is."


def test_a_list_answers_one_call_after_the_other_and_then_starts_over() -> None:
    provider = Scripted(reply=["one", "two"])
    assert [ask(provider).text for _ in range(3)] == ["one", "two", "one"]


def test_a_mapping_answers_by_the_last_user_message_then_by_a_part_of_it_then_by_the_rest() -> None:
    provider = Scripted(reply={"cats": "meow", "cats and dogs": "both", "": "nothing"})
    assert ask(provider, "cats").text == "meow"
    assert ask(provider, "I like cats and dogs").text == "both"
    assert (
        ask(provider, [Message("user", "cats"), Message("assistant", "hm"), Message("user", "birds")]).text == "nothing"
    )
    with pytest.raises(BadRequest, match="no reply to 'birds'"):
        ask(Scripted(reply={"cats": "meow"}), "birds")


def test_a_function_sees_messages_and_options_and_may_be_a_coroutine() -> None:
    def count(messages: Sequence[Message], options: GenerationOptions) -> str:
        return f"{len(messages)} {options.temperature}"

    async def later(messages: Sequence[Message], options: GenerationOptions) -> str:
        await asyncio.sleep(0)
        return "later"

    assert ask(Scripted(reply=count), temperature=0.5).text == "1 0.5"
    assert ask(Scripted(reply=later)).text == "later"


def test_a_function_may_give_the_very_chunks() -> None:
    assert chunks(Scripted(reply=lambda messages, options: iter(["ab", "c ", "d"]))) == ["ab", "c ", "d"]


def test_a_completion_brings_its_own_tool_calls_reasoning_usage_and_reason() -> None:
    call = ToolCall("1", "weather", {"city": "Bonn"})
    given = Completion("Let me see.", tool_calls=(call,), reasoning="It asks for weather.", usage=Usage(5, 50))
    answer = ask(Scripted(reply=given))
    assert answer.tool_calls == (call,)
    assert answer.reasoning == "It asks for weather."
    assert answer.usage == Usage(5, 50)
    assert answer.finish_reason == "tool_call"


def test_usage_is_counted_unless_it_is_given() -> None:
    counted = ask(Scripted(reply="one two three"))
    assert counted.usage.output_tokens == 3
    assert counted.usage_source == "reported"
    assert ask(Scripted(reply="one two three", usage=Usage(10, 20))).usage == Usage(10, 20)


def test_the_count_before_the_call_is_the_one_that_is_reported() -> None:
    provider = Scripted()
    before = asyncio.run(provider.count_tokens("how many tokens are these", GenerationOptions()))
    assert before.source == "exact"
    assert ask(provider, "how many tokens are these").usage.input_tokens == before.tokens


def test_max_tokens_and_stop_cut_the_answer() -> None:
    provider = Scripted(reply="one two three four")
    assert ask(provider, max_tokens=2).text == "one two"
    assert ask(provider, max_tokens=2).finish_reason == "length"
    assert ask(provider, max_tokens=4).finish_reason == "stop"
    assert ask(provider, stop=("three",)).text == "one two "


def test_structured_answers_are_parsed() -> None:
    assert ask(Scripted(reply='{"a": [1]}'), json_schema={"type": "object"}).data == {"a": [1]}
    assert ask(Scripted(reply="no json"), json_schema={"type": "object"}).data is None


def test_delays_come_before_the_first_chunk_and_between_chunks(clock: FakeClock) -> None:
    provider = Scripted(reply="one two three", first_token_delay=2.0, chunk_delay=0.5, sleep=clock.sleep)
    assert chunks(provider) == ["one", " two", " three"]
    assert clock.slept == [2.0, 0.5, 0.5]


def test_silence_beyond_the_progress_deadline_is_an_error(clock: FakeClock) -> None:
    config = ProviderConfig(kind="scripted", timeouts={"progress": 5})
    with pytest.raises(DeadlineExceeded) as caught:
        ask(Scripted(config, reply="x", first_token_delay=7, sleep=clock.sleep))
    assert caught.value.which == "progress"
    assert clock.slept == [5]


def test_failures_happen_in_the_order_of_the_calls() -> None:
    provider = Scripted(reply="one two three", failures=[Overloaded("busy", status=503), 2, None, 0])
    with pytest.raises(Overloaded, match="busy"):
        ask(provider)
    with pytest.raises(StreamInterrupted) as caught:
        ask(provider)
    assert caught.value.partial == "one two"
    assert caught.value.usage is not None
    assert caught.value.usage.output_tokens == 2
    assert ask(provider).text == "one two three"
    with pytest.raises(ConnectionFailed) as before_anything:
        ask(provider)
    assert before_anything.value.sent
    assert ask(provider).text == "one two three"


def test_a_break_after_the_last_chunk_is_still_no_answer() -> None:
    with pytest.raises(StreamInterrupted) as caught:
        ask(Scripted(reply="all of it", failures=[99]))
    assert caught.value.partial == "all of it"


def test_an_exception_among_the_chunks_breaks_the_stream_there() -> None:
    with pytest.raises(StreamInterrupted) as caught:
        ask(Scripted(reply=lambda messages, options: ["so ", "far", OSError("reset by peer")]))
    assert caught.value.partial == "so far"


def test_the_failure_rate_is_drawn_by_the_seed_whatever_the_order_of_the_calls() -> None:
    prompts = [f"question {number}" for number in range(200)]

    def failed(order: Sequence[str], seed: int) -> set[str]:
        provider, found = Scripted(failure_rate=0.3, seed=seed), set[str]()
        for prompt in order:
            try:
                ask(provider, prompt)
            except Overloaded:
                found.add(prompt)
        return found

    first = failed(prompts, 1)
    assert first == failed(prompts[::-1], 1)
    assert first != failed(prompts, 2)
    assert 30 <= len(first) <= 90


def test_a_mistake_in_the_script_is_told_as_one_of_our_errors() -> None:
    with pytest.raises(ProviderError, match="ZeroDivisionError") as caught:
        ask(Scripted(reply=lambda messages, options: 1 / 0))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_what_was_asked_can_be_looked_at() -> None:
    provider = Scripted()
    ask(provider.bound(model="other"), "hello", temperature=0.1)
    ((messages, options),) = provider.requests
    assert messages == (Message("user", "hello"),)
    assert options.temperature == 0.1


def test_a_configuration_holds_the_same_script() -> None:
    config = ProviderConfig(kind="scripted", options={"reply": "from the configuration"})
    assert ask(Scripted(config, name="dry")).text == "from the configuration"


def test_an_unknown_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownSetting, match="did you mean 'reply'"):
        Scripted(replly="x")


def test_a_hundred_streams_at_once_stay_apart() -> None:
    provider = Scripted(reply=lambda messages, options: f"{messages[0].content} " * 5)

    async def all_of_them() -> list[Completion]:
        asks = [provider.generate_completion(f"n{number}", GenerationOptions()) for number in range(100)]
        return await asyncio.gather(*asks)

    for number, answer in enumerate(asyncio.run(all_of_them())):
        assert set(answer.text.split()) == {f"n{number}"}
    assert provider.open_streams == 0
