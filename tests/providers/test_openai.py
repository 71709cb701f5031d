"""OpenAI's two dialects: what is sent, what is read, and the official SDK as the oracle."""

from __future__ import annotations

import asyncio
import json

import pytest

from aikit import errors
from aikit.events import ReasoningDelta, ToolDelta
from aikit.messages import GenerationOptions, Image, Message, Text, ToolCall, ToolResult, Usage
from aikit.wire import chat
from tests.providers.dialects import CHAT, KEY, NONE, RESPONSES, collect, finished, run, text_of
from tests.servers import (
    Server,
    chat_chunk,
    chat_stream,
    chat_whole,
    json_reply,
    responses_stream,
    responses_whole,
    sse,
    streamed,
)

SCHEMA = {
    "title": "Mood of it",
    "type": "object",
    "properties": {"mood": {"type": "string"}},
    "required": ["mood"],
    "additionalProperties": False,
}
TOOL = {"name": "weather", "description": "the weather", "parameters": {"type": "object", "properties": {}}}
TALK = (
    Message("system", "Be brief."),
    Message("user", (Text("What is this?"), Image(data=b"\x89PNG"), Image(url="https://example.org/a.png"))),
    Message("assistant", (Text("Let me look."), ToolCall("call_1", "weather", {"city": "Köln"}))),
    Message("tool", (ToolResult("call_1", "rain"),)),
    Message("assistant", "It rains."),
    Message("user", "Thanks"),
)
FULL = GenerationOptions(
    max_tokens=50,
    temperature=0.5,
    top_p=0.9,
    seed=7,
    stop=("END",),
    json_schema=SCHEMA,
    tools=(TOOL,),
    tool_choice="weather",
    reasoning_effort="low",
)


def sent(dialect, options, *, streaming=False, prompt=TALK, **config):
    reply = dialect.reply(*dialect.stream("x")) if streaming else json_reply(dialect.whole("x"))
    with Server([reply]) as server:
        adapter = dialect.make(server, **config)
        if streaming:
            run(adapter, lambda adapter: collect(adapter, prompt, options))
        else:
            run(adapter, lambda adapter: adapter.generate_completion(prompt, options))
        return server.requests[0].json


def read(dialect, *events):
    with Server([streamed(*events)]) as server:
        return run(dialect.make(server), collect)


def test_a_chat_request_carries_everything():
    body = sent(CHAT, FULL)
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            ],
        },
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Köln"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        {"role": "assistant", "content": "It rains."},
        {"role": "user", "content": "Thanks"},
    ]
    named = {"name": "Mood_of_it", "schema": SCHEMA, "strict": True}
    assert body["response_format"] == {"type": "json_schema", "json_schema": named}
    assert body["tools"] == [{"type": "function", "function": TOOL}]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    rest = {key: body[key] for key in ("max_tokens", "temperature", "top_p", "seed", "stop", "reasoning_effort")}
    assert rest == {
        "max_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 7,
        "stop": ["END"],
        "reasoning_effort": "low",
    }


def test_a_streamed_chat_request_asks_for_the_usage_and_a_bare_one_holds_nothing_unasked():
    assert sent(CHAT, NONE, streaming=True, prompt="hi") == {
        "model": "m-1",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("config", "model", "field"),
    [
        ({}, "llama", "max_tokens"),
        ({}, "gpt-5-mini", "max_completion_tokens"),
        ({"base_url": None}, "whatever", "max_completion_tokens"),
        ({"options": {"tokens_field": "max_new"}}, "llama", "max_new"),
    ],
)
def test_the_limit_is_sent_under_the_name_that_the_server_knows(config, model, field):
    adapter = CHAT.make("http://127.0.0.1:9", **config).bound(model=model)
    assert json.loads(adapter._chat_body("hi", GenerationOptions(max_tokens=5), stream=False))[field] == 5


def test_a_responses_request_carries_everything_and_stores_nothing():
    body = sent(RESPONSES, FULL)
    assert body["input"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBORw=="},
                {"type": "input_image", "image_url": "https://example.org/a.png"},
            ],
        },
        {"role": "assistant", "content": [{"type": "output_text", "text": "Let me look."}]},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Köln"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
        {"role": "assistant", "content": "It rains."},
        {"role": "user", "content": "Thanks"},
    ]
    assert body["text"] == {"format": {"type": "json_schema", "name": "Mood_of_it", "schema": SCHEMA, "strict": True}}
    assert body["tools"] == [{"type": "function", **TOOL}]
    assert body["tool_choice"] == {"type": "function", "name": "weather"}
    assert (body["reasoning"], body["max_output_tokens"], body["store"]) == ({"effort": "low"}, 50, False)
    assert not {"seed", "stop", "background", "stream"} & set(body)


def test_strict_is_claimed_only_for_schemas_that_are():
    assert chat.is_strict(SCHEMA)
    assert not chat.is_strict({"type": "object", "properties": {"a": {}}})
    assert not chat.is_strict({**SCHEMA, "required": []})
    assert not chat.is_strict({"type": "array", "items": {"type": "object"}})
    assert chat.is_strict({"type": "array", "items": {"enum": [{"type": "object"}]}})


def test_structured_output_comes_back_as_data():
    with Server([json_reply(chat_whole('{"mood": "good"}'))]) as server:
        options = GenerationOptions(json_schema=SCHEMA)
        answer = run(CHAT.make(server), lambda adapter: adapter.generate_completion("hi", options))
    assert answer.data == {"mood": "good"}


def test_tool_calls_come_whole_and_in_pieces():
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}
    with Server([json_reply(chat_whole(None, finish="tool_calls", tool_calls=[call]))]) as server:
        answer = run(CHAT.make(server), lambda adapter: adapter.generate_completion("hi", NONE))
    assert answer.tool_calls == (ToolCall("c1", "weather", {"city": "Köln"}),)
    assert (answer.text, answer.finish_reason) == ("", "tool_call")

    def piece(**fields):
        return chat_chunk({"tool_calls": [fields]})

    events = read(
        CHAT,
        piece(index=0, id="c1", type="function", function={"name": "weather", "arguments": ""}),
        piece(index=0, function={"arguments": '{"ci'}),
        piece(index=1, id="c2", function={"name": "time", "arguments": "{}"}),
        piece(index=0, function={"arguments": 'ty": 1}'}),
        chat_chunk({}, "tool_calls"),
        sse("[DONE]"),
    )
    deltas = [event for event in events if isinstance(event, ToolDelta)]
    assert [(d.index, d.id, d.name, d.arguments) for d in deltas] == [
        (0, "c1", "weather", ""),
        (0, "", "", '{"ci'),
        (1, "c2", "time", "{}"),
        (0, "", "", 'ty": 1}'),
    ]
    assert finished(events).finish_reason == "tool_call"


def test_reasoning_is_told_apart_from_the_text():
    events = read(
        CHAT,
        chat_chunk({"reasoning_content": "hm"}),
        chat_chunk({"reasoning": "m"}),
        *chat_stream("yes"),
    )
    assert [event.text for event in events if isinstance(event, ReasoningDelta)] == ["hm", "m"]
    assert text_of(events) == "yes"


def test_text_and_reasoning_in_one_delta_are_both_told():
    events = read(CHAT, *chat_stream("a")[:2], chat_chunk({"content": "b", "reasoning": "hm"}), *chat_stream()[1:])
    assert text_of(events) == "ab"
    assert [event.text for event in events if isinstance(event, ReasoningDelta)] == ["hm"]


def test_what_the_environment_says_of_openai_is_not_sent_to_other_servers(monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin-secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with Server([json_reply(chat_whole())]) as server:
        for key in ("", KEY):
            run(CHAT.make(server).bound(key=key), lambda adapter: adapter.generate_completion("hi", NONE))
    assert all("secret" not in value for request in server.requests for value in request.headers.values())
    assert [request.headers.get("authorization") for request in server.requests] == [None, f"Bearer {KEY}"]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter"), ("novel", "unknown")],
)
def test_finish_reasons_are_in_our_words_and_kept_in_theirs(reason, expected):
    end = finished(read(CHAT, *chat_stream("x", finish=reason)))
    assert (end.finish_reason, end.raw_finish_reason) == (expected, reason)
    assert (end.request_id, end.fingerprint) == ("chatcmpl-1", "fp_1")


def test_a_refusal_is_a_text_with_its_own_finish_reason():
    end = [chat_chunk({}, "stop"), sse("[DONE]")]
    events = read(CHAT, chat_chunk({"refusal": "I can't"}), *end)
    assert (text_of(events), finished(events).finish_reason) == ("I can't", "refusal")
    with Server([json_reply(chat_whole(None, refusal="No."))]) as server:
        answer = run(CHAT.make(server), lambda adapter: adapter.generate_completion("hi", NONE))
    assert (answer.text, answer.finish_reason) == ("No.", "refusal")


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 0, "completion_tokens": 0}, {}])
def test_usage_that_is_missing_or_can_not_be_true_is_unknown_and_never_zero(usage):
    end = finished(read(CHAT, *chat_stream("x", usage=usage)))
    assert (end.usage, end.usage_source) == (Usage(), "estimated")


def test_usage_in_every_chunk_is_assigned_and_not_added():
    words = [
        chat_chunk({"content": w}, usage={"prompt_tokens": 9, "completion_tokens": i + 1}) for i, w in enumerate("abc")
    ]
    end = finished(read(CHAT, *words, chat_chunk({}, "stop"), sse("[DONE]")))
    assert (end.usage.input_tokens, end.usage.output_tokens) == (9, 3)


def test_what_openai_models_can_do_is_known_and_other_servers_models_are_not():
    adapter = CHAT.make("http://127.0.0.1:9")
    mini = adapter.get_capabilities("gpt-5-mini")
    assert (mini.reasoning, mini.temperature, mini.images, mini.context_window) == (True, False, True, 400_000)
    assert adapter.get_capabilities("gpt-3.5-turbo").images is False
    assert adapter.get_capabilities("somebody-s-model").images is None
    other = type(adapter)(adapter.config, name="vllm", model="gpt-5-mini")
    assert other.get_capabilities().temperature is None
    pro = adapter.bound(model="gpt-5-pro")
    assert (pro.get_capabilities().responses, pro._speaks_responses()) == (True, True)


def test_the_users_word_goes_over_what_is_known():
    options = {"capabilities": {"images": False, "gpt-4o": {"images": True, "context_window": 9}}}
    adapter = CHAT.make("http://127.0.0.1:9", options=options)
    assert adapter.get_capabilities("gpt-5-mini").images is False
    assert (adapter.get_capabilities("gpt-4o").images, adapter.get_capabilities("gpt-4o").context_window) == (True, 9)
    with pytest.raises(errors.UnknownSetting, match="images"):
        CHAT.make("http://127.0.0.1:9", options={"capabilities": {"imagse": True}}).get_capabilities("x")


ODD = ("Hel", "lo wörld 😀\n", "\u2028a\x00", "data: x\n\n")


def test_the_sdk_reads_the_same_text_and_usage_from_the_same_bytes():
    import openai

    replies = [json_reply(chat_whole("".join(ODD))), streamed(*chat_stream(*ODD))]
    replies += [json_reply(responses_whole("".join(ODD))), streamed(*responses_stream(*ODD))]

    async def oracle(url):
        said = [{"role": "user", "content": "hi"}]
        async with openai.AsyncOpenAI(api_key=KEY, base_url=url + "/v1", max_retries=0) as client:
            whole = await client.chat.completions.create(model="m", messages=said)
            yield whole.choices[0].message.content, whole.usage.prompt_tokens, whole.usage.completion_tokens
            text, usage = "", None
            async for chunk in await client.chat.completions.create(model="m", messages=said, stream=True):
                usage = chunk.usage or usage
                text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            yield text, usage.prompt_tokens, usage.completion_tokens
            response = await client.responses.create(model="m", input="hi")
            yield response.output_text, response.usage.input_tokens, response.usage.output_tokens
            text = ""
            async for event in await client.responses.create(model="m", input="hi", stream=True):
                text += event.delta if event.type == "response.output_text.delta" else ""
                usage = event.response.usage if event.type == "response.completed" else None
            yield text, usage.input_tokens, usage.output_tokens

    async def ours(url):
        for dialect in (CHAT, RESPONSES):
            adapter = dialect.make(url)
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
    assert mine[0] == ("".join(ODD), 12, 7)
