"""Anthropic's dialect: what is sent, what is read, and the official SDK as the oracle."""

from __future__ import annotations

import asyncio

import pytest

from aikit import errors
from aikit.events import ReasoningDelta, ToolDelta, UsageUpdate
from aikit.messages import GenerationOptions, Image, Message, Text, TokenCount, ToolCall, ToolResult, Usage
from tests.providers.dialects import KEY, MESSAGES, NONE, collect, finished, run, text_of
from tests.servers import Server, json_reply, messages_stream, messages_whole, named, plain, streamed

TOOL = {"name": "weather", "description": "the weather", "parameters": {"type": "object", "properties": {}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TALK = (
    Message("system", "Be brief."),
    Message("user", (Text("What is this?"), Image(data=b"\x89PNG"), Image(url="https://example.org/a.png"))),
    Message("assistant", (Text("Let me look."), ToolCall("t1", "weather", {"city": "Köln"}), ToolCall("t2", "w", {}))),
    Message("tool", (ToolResult("t1", "rain"),)),
    Message("tool", (ToolResult("t2", "sun"),)),
    Message("assistant", "It rains"),
)


def sent(options, *, prompt=TALK, model="m-1", **config):
    with Server([json_reply(messages_whole())]) as server:
        adapter = MESSAGES.make(server, **config).bound(model=model)
        run(adapter, lambda adapter: adapter.generate_completion(prompt, options))
        return server.requests[0]


def read(*events):
    with Server([streamed(*events)]) as server:
        return run(MESSAGES.make(server), collect)


def test_a_request_carries_everything():
    options = GenerationOptions(
        max_tokens=50,
        temperature=0.5,
        top_p=0.9,
        stop=("END",),
        json_schema=SCHEMA,
        tools=(TOOL,),
        tool_choice="required",
    )
    request = sent(options)
    body = request.json
    assert request.path == "/v1/messages"
    assert request.headers["anthropic-version"]
    assert body["system"] == "Be brief."
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image", "source": source},
                {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Köln"}},
                {"type": "tool_use", "id": "t2", "name": "w", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "rain"},
                {"type": "tool_result", "tool_use_id": "t2", "content": "sun"},
            ],
        },
        {"role": "assistant", "content": "It rains"},
    ]
    tool = {"name": "weather", "description": "the weather", "input_schema": {"type": "object", "properties": {}}}
    assert (body["tools"], body["tool_choice"]) == ([tool], {"type": "any"})
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}
    assert (body["max_tokens"], body["temperature"], body["top_p"], body["stop_sequences"]) == (50, 0.5, 0.9, ["END"])


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("auto", {"type": "auto"}), ("none", {"type": "none"}), ("weather", {"type": "tool", "name": "weather"})],
)
def test_the_choice_of_a_tool_is_sent_in_its_words(choice, expected):
    assert sent(GenerationOptions(tool_choice=choice)).json["tool_choice"] == expected


def test_a_limit_is_always_sent_for_the_api_requires_one():
    assert sent(NONE).json["max_tokens"] == 4096


@pytest.mark.parametrize(
    ("model", "effort", "limit", "thinking", "config"),
    [
        ("claude-opus-4-8", "high", 8000, {"type": "adaptive"}, {"effort": "high"}),
        ("claude-opus-4-8", "none", 8000, {"type": "disabled"}, None),
        ("claude-sonnet-4-5", "low", 8000, {"type": "enabled", "budget_tokens": 2048}, None),
        ("claude-sonnet-4-5", "high", 8000, {"type": "enabled", "budget_tokens": 4000}, None),
        ("claude-sonnet-4-5", "high", 100, {"type": "disabled"}, None),
    ],
)
def test_effort_is_sent_as_each_family_takes_it(model, effort, limit, thinking, config):
    body = sent(GenerationOptions(reasoning_effort=effort, max_tokens=limit), model=model).json
    assert (body["thinking"], body.get("output_config")) == (thinking, config)
    assert body["max_tokens"] == limit


def test_an_address_that_ends_with_v1_works_as_well():
    with Server([json_reply(messages_whole())]) as server:
        adapter = MESSAGES.make(server, base_url=server.url + "/v1")
        run(adapter, lambda adapter: adapter.generate_completion("hi", NONE))
        assert server.requests[0].path == "/v1/messages"


def test_cached_tokens_count_inside_the_input_and_the_input_is_known_at_once():
    events = read(*messages_stream("Hel", "lo"))
    first = next(event for event in events if isinstance(event, UsageUpdate))
    assert first.usage.input_tokens == 12 + 3 + 5
    assert finished(events).usage == Usage(20, 7, cache_read_tokens=5, cache_write_tokens=3)
    assert events.index(first) == 0


def test_the_last_count_of_each_kind_stands_and_nothing_is_added():
    events = messages_stream("x")
    later = {"input_tokens": 15, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}
    events[-2] = named("message_delta", delta={"stop_reason": "max_tokens"}, usage=later)
    end = finished(read(*events))
    assert end.usage == Usage(23, 9, cache_read_tokens=5, cache_write_tokens=3, reasoning_tokens=4)
    assert (end.finish_reason, end.raw_finish_reason, end.request_id) == ("length", "max_tokens", "msg_1")


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("tool_use", "tool_call"),
        ("refusal", "refusal"),
        ("model_context_window_exceeded", "length"),
        ("novel", "unknown"),
    ],
)
def test_stop_reasons_are_in_our_words(stop, expected):
    assert finished(read(*messages_stream("x", stop=stop))).finish_reason == expected


def test_tools_and_thinking_come_in_pieces_and_whole():
    events = messages_stream(stop="tool_use")
    blocks = [
        named("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}),
        named("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}),
        named("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "x"}),
        named("content_block_start", index=1, content_block={"type": "tool_use", "id": "t1", "name": "w", "input": {}}),
        named("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"a"'}),
        named("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": ": 1}"}),
    ]
    got = read(events[0], *blocks, *events[-2:])
    tools = [event for event in got if isinstance(event, ToolDelta)]
    assert tools == [ToolDelta(0, "t1", "w"), ToolDelta(0, arguments='{"a"'), ToolDelta(0, arguments=": 1}")]
    assert [event.text for event in got if isinstance(event, ReasoningDelta)] == ["hm"]
    whole = messages_whole(stop="tool_use")
    whole["content"] = [
        {"type": "thinking", "thinking": "hm", "signature": "x"},
        {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "t1", "name": "w", "input": {"a": 1}},
    ]
    with Server([json_reply(whole)]) as server:
        answer = run(MESSAGES.make(server), lambda adapter: adapter.generate_completion("hi", NONE))
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("a", "hm", "tool_call")
    assert answer.tool_calls == (ToolCall("t1", "w", {"a": 1}),)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("overloaded_error", errors.Overloaded),
        ("rate_limit_error", errors.RateLimited),
        ("api_error", errors.Overloaded),
        ("authentication_error", errors.AuthenticationFailed),
    ],
)
def test_an_error_event_is_classified_by_its_type(kind, expected):
    with pytest.raises(expected):
        read(messages_stream()[0], named("error", error={"type": kind, "message": "no"}))


def test_tokens_are_counted_by_the_provider_and_offline_where_it_does_not_answer():
    with Server([json_reply({"input_tokens": 42}), plain(b"no", 404)]) as server:

        async def twice(adapter):
            return [await adapter.count_tokens(TALK, GenerationOptions(tools=(TOOL,), max_tokens=5)) for _ in "ab"]

        exact, offline = run(MESSAGES.make(server), twice)
        request = server.requests[0]
    assert exact == TokenCount(42, "exact")
    assert offline.source == "estimated"
    assert request.path == "/v1/messages/count_tokens"
    assert set(request.json) == {"model", "messages", "system", "tools"}


def test_what_the_families_can_do_is_known():
    adapter = MESSAGES.make("http://127.0.0.1:9")
    assert adapter.get_capabilities("claude-haiku-4-5").prefill is True
    newer = adapter.get_capabilities("claude-opus-4-8")
    assert (newer.prefill, newer.seed, newer.context_window) == (False, False, 1_000_000)
    assert adapter.get_capabilities("claude-sonnet-5-5").prefill is False
    assert adapter.get_capabilities("something").images is None


ODD = ("Hel", "lo wörld 😀\n", "\u2028a\x00", "data: x\n\n")


def test_the_sdk_reads_the_same_text_and_usage_from_the_same_bytes():
    import anthropic

    replies = [json_reply(messages_whole("".join(ODD))), streamed(*messages_stream(*ODD))]

    def totals(usage):
        cached = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
        return usage.input_tokens + cached, usage.output_tokens

    async def oracle(url):
        said = [{"role": "user", "content": "hi"}]
        async with anthropic.AsyncAnthropic(api_key=KEY, base_url=url, max_retries=0) as client:
            whole = await client.messages.create(model="m", max_tokens=9, messages=said)
            yield whole.content[0].text, *totals(whole.usage)
            async with client.messages.stream(model="m", max_tokens=9, messages=said) as stream:
                text = "".join([piece async for piece in stream.text_stream])
                yield text, *totals((await stream.get_final_message()).usage)

    async def ours(url):
        adapter = MESSAGES.make(url)
        answer = await adapter.generate_completion("hi", NONE)
        yield answer.text, answer.usage.input_tokens, answer.usage.output_tokens
        events = await collect(adapter)
        yield text_of(events), finished(events).usage.input_tokens, finished(events).usage.output_tokens
        await adapter.close()

    async def both():
        with Server(replies) as one, Server(replies) as two:
            return [x async for x in oracle(one.url)], [x async for x in ours(two.url)]

    theirs, mine = asyncio.run(both())
    assert theirs == mine
    assert mine[0] == ("".join(ODD), 20, 7)
