"""Ollama's dialect: what is sent and what is read."""

from __future__ import annotations

import json

import pytest

from aikit import errors
from aikit.events import ReasoningDelta, ToolDelta
from aikit.messages import GenerationOptions, Image, Message, Text, ToolCall, ToolResult, Usage
from tests.providers.dialects import NONE, OLLAMA, collect, finished, ollama_whole, run, text_of
from tests.servers import CUT, Server, json_reply, ollama_stream

TOOL = {"name": "weather", "description": "the weather", "parameters": {"type": "object", "properties": {}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def sent(options, *, prompt="hi"):
    with Server([json_reply(ollama_whole())]) as server:
        run(OLLAMA.make(server), lambda adapter: adapter.generate_completion(prompt, options))
        return server.requests[0].json


def read(*lines):
    with Server([OLLAMA.reply(*lines)]) as server:
        return run(OLLAMA.make(server), collect)


def line(done=False, **fields):
    return json.dumps({"model": "llama-x", "done": done, **fields}).encode() + b"\n"


def test_a_request_carries_everything():
    talk = (
        Message("system", "Be brief."),
        Message("user", (Text("What is this?"), Image(data=b"\x89PNG"))),
        Message("assistant", (ToolCall("t1", "weather", {"city": "Köln"}),)),
        Message("tool", (ToolResult("t1", "rain"),)),
    )
    options = GenerationOptions(
        max_tokens=50,
        temperature=0.5,
        top_p=0.9,
        seed=7,
        stop=("END",),
        json_schema=SCHEMA,
        tools=(TOOL,),
        reasoning_effort="high",
        extra={"options": {"num_ctx": 8192}, "keep_alive": "5m"},
    )
    assert sent(options, prompt=talk) == {
        "model": "m-1",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is this?", "images": ["iVBORw=="]},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Köln"}}}],
            },
            {"role": "tool", "content": "rain", "tool_name": "weather"},
        ],
        "stream": False,
        "options": {
            "num_predict": 50,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 7,
            "stop": ["END"],
            "num_ctx": 8192,
        },
        "format": SCHEMA,
        "think": "high",
        "tools": [{"type": "function", "function": TOOL}],
        "keep_alive": "5m",
    }


def test_a_bare_request_says_whether_to_stream_and_no_more():
    said = [{"role": "user", "content": "hi"}]
    assert sent(NONE) == {"model": "m-1", "messages": said, "stream": False}
    assert sent(GenerationOptions(reasoning_effort="none"))["think"] is False


@pytest.mark.parametrize(
    ("prompt", "options"),
    [
        ((Message("user", (Image(url="https://example.org/a.png"),)),), NONE),
        ("hi", GenerationOptions(tools=(TOOL,), tool_choice="required")),
    ],
)
def test_what_the_api_can_not_be_told_is_refused_before_sending(prompt, options):
    with pytest.raises(errors.UnsupportedFeature):
        run(OLLAMA.make("http://127.0.0.1:9"), lambda adapter: adapter.generate_completion(prompt, options))
    with pytest.raises(errors.UnsupportedFeature):
        run(OLLAMA.make("http://127.0.0.1:9"), lambda adapter: collect(adapter, prompt, options))


def test_a_prompt_from_the_cache_has_no_count_which_is_unknown_and_not_zero():
    lines = ollama_stream("Hi")
    last = json.loads(lines[-1])
    del last["prompt_eval_count"]
    end = finished(read(*lines[:-1], json.dumps(last).encode() + b"\n"))
    assert (end.usage, end.usage_source) == (Usage(None, 7), "estimated")


def test_thinking_and_tools_are_told_apart_from_the_text():
    call = {"function": {"name": "weather", "arguments": {"city": "Köln"}}}
    events = read(
        line(message={"role": "assistant", "content": "", "thinking": "hm"}),
        line(message={"role": "assistant", "content": "", "tool_calls": [call]}),
        line(message={"role": "assistant", "content": "", "tool_calls": [call]}),
        line(True, message={"role": "assistant", "content": ""}, done_reason="stop", eval_count=3, prompt_eval_count=2),
    )
    assert [event.text for event in events if isinstance(event, ReasoningDelta)] == ["hm"]
    assert [e for e in events if isinstance(e, ToolDelta)] == [
        ToolDelta(0, "call_0", "weather", '{"city":"Köln"}'),
        ToolDelta(1, "call_1", "weather", '{"city":"Köln"}'),
    ]
    assert finished(events).finish_reason == "tool_call"


def test_a_line_with_an_error_is_that_error_or_an_interruption():
    with pytest.raises(errors.ProtocolError, match="model runner has stopped"):
        read(line(error="model runner has stopped"))
    with pytest.raises(errors.StreamInterrupted, match="model runner has stopped") as caught:
        read(ollama_stream("Hi")[0], line(error="model runner has stopped"))
    assert caught.value.partial == "Hi"


def test_a_last_line_without_its_line_feed_still_counts():
    assert text_of(read(b"".join(ollama_stream("Hi")).rstrip())) == "Hi"


def test_done_at_the_length_limit_is_told():
    assert finished(read(*ollama_stream("Hi", done="length"))).finish_reason == "length"


def test_a_missing_model_comes_with_the_command_that_fetches_it():
    def reply(request):
        if request.path == "/api/tags":
            return json_reply({"models": [{"name": "m-10"}]})
        return json_reply({"error": "model 'm-1' not found"}, 404)

    with Server(reply) as server, pytest.raises(errors.ModelNotFound) as caught:
        run(OLLAMA.make(server), lambda adapter: adapter.generate_completion("hi", NONE))
    assert "did you mean 'm-10'" in str(caught.value)
    assert "ollama pull m-1" in str(caught.value)


def test_the_servers_models_are_listed():
    with Server(lambda _: json_reply({"models": [{"name": "a"}, {"name": "b"}]})) as server:
        assert run(OLLAMA.make(server), lambda adapter: adapter.models()) == ("a", "b")


def test_a_server_that_is_not_there_comes_with_the_command_that_starts_it():
    with Server([[CUT]]) as server:
        url = server.url
    with pytest.raises(errors.ConnectionFailed, match="ollama serve"):
        run(OLLAMA.make(url), collect)
