"""OpenAI's Responses: how they end, what they tell, and how a broken one goes on."""

from __future__ import annotations

import pytest

from aikit import errors
from aikit.events import ReasoningDelta, ToolDelta
from tests.providers.dialects import NONE, RESPONSES, collect, finished, run, text_of
from tests.servers import (
    CUT,
    RESET,
    Server,
    json_reply,
    responses_stream,
    responses_whole,
    sse,
    streamed,
)


def read(dialect, *events):
    with Server([streamed(*events)]) as server:
        return run(dialect.make(server), collect)


def test_a_response_that_failed_or_was_cut_short_says_so():
    begun = {"type": "response.created", "response": {"id": "r", "status": "in_progress", "output": []}}
    failed = {"status": "failed", "output": [], "error": {"code": "rate_limit_exceeded", "message": "slow down"}}
    with pytest.raises(errors.RateLimited, match="slow down"):
        read(RESPONSES, sse(begun), sse({"type": "response.failed", "response": failed}))
    with pytest.raises(errors.Overloaded, match="oops"):
        read(RESPONSES, sse({"type": "error", "code": "server_error", "message": "oops", "param": None}))
    short = responses_whole("x", status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    events = read(RESPONSES, *responses_stream("x")[:-1], sse({"type": "response.incomplete", "response": short}))
    assert finished(events).finish_reason == "length"
    with Server([json_reply(short), json_reply(failed)]) as server:

        async def both(adapter):
            answer = await adapter.generate_completion("hi", NONE)
            with pytest.raises(errors.RateLimited):
                await adapter.generate_completion("hi", NONE)
            return answer

        assert run(RESPONSES.make(server), both).finish_reason == "length"


def test_a_response_tells_tools_reasoning_and_refusals():
    call = {"type": "function_call", "id": "f", "call_id": "c1", "name": "weather", "arguments": "{}"}
    whole = responses_whole("", output=[call])
    events = read(
        RESPONSES,
        sse({"type": "response.reasoning_summary_text.delta", "delta": "hm"}),
        sse({"type": "response.output_item.added", "output_index": 1, "item": {**call, "arguments": ""}}),
        sse({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{}"}),
        sse({"type": "response.completed", "response": whole}),
    )
    assert [e for e in events if isinstance(e, ToolDelta)] == [
        ToolDelta(1, "c1", "weather"),
        ToolDelta(1, arguments="{}"),
    ]
    assert [e.text for e in events if isinstance(e, ReasoningDelta)] == ["hm"]
    assert finished(events).finish_reason == "tool_call"
    refusal = sse({"type": "response.refusal.delta", "delta": "No."})
    events = read(RESPONSES, refusal, sse({"type": "response.completed", "response": responses_whole("")}))
    assert (text_of(events), finished(events).finish_reason) == ("No.", "refusal")


@pytest.mark.parametrize("how", [CUT, RESET], ids=["cut", "reset"])
def test_a_background_response_goes_on_where_it_broke_with_nothing_lost_or_doubled(how):
    words = ["Hel", "lo ", "wörld", " 😀", "!"]
    events = responses_stream(*words)

    def reply(request):
        if request.method == "POST":
            return streamed(*events[:5], 0.05, how)
        path, _, query = request.path.partition("?")
        after = dict(pair.split("=") for pair in query.split("&"))
        assert path.endswith("/responses/resp_1")
        assert after["stream"] == "true"
        # The API sends what comes after the number; one event too many must not count twice.
        begin = int(after["starting_after"])
        return streamed(*events[begin : begin + 3], 0.05, CUT) if begin < 6 else streamed(*events[begin + 1 :])

    async def until_whole(adapter):
        assert adapter.get_capabilities().resume
        text, tokens, stream = "", [], adapter.generate_stream("hi", NONE)
        for _ in range(9):
            got = []
            try:
                async for event in stream:
                    got.append(event)
                return text + text_of(got), tokens, finished(got)
            except errors.ProviderError as error:
                text += text_of(got)
                tokens.append(error.resume_token)
                stream = adapter.resume(error.resume_token)
        raise AssertionError(tokens)

    with Server(reply) as server:
        adapter = RESPONSES.make(server, options={"api": "responses", "background": True})
        text, tokens, end = run(adapter, until_whole)
        first = server.requests[0].json
    assert text == "".join(words)
    assert tokens[:2] == ["resp_1:4", "resp_1:6"]
    assert (end.usage, end.finish_reason) == (RESPONSES.usage, "stop")
    assert (first["background"], first["store"]) == (True, True)


def test_what_is_no_resume_token_is_refused():
    with pytest.raises(errors.UnsupportedFeature):
        RESPONSES.make("http://127.0.0.1:9").resume("nonsense")
