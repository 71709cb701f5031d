"""A stream that breaks in the middle: resumed, continued, restarted or told of, and never wrong in its text."""

from decimal import Decimal

import pytest

import aikit
from aikit import errors
from aikit.events import Finished, Restarted, TextDelta
from aikit.messages import Usage
from aikit.routing.overlap import Overlap
from tests.servers import (
    CUT,
    HOLD,
    Server,
    chat_chunk,
    chat_stream,
    json_reply,
    messages_stream,
    responses_stream,
    streamed,
)

CHAT = "openai:gpt-4o"
CLAUDE = "anthropic:claude-haiku-4-5"
BACKGROUND = {"api": "responses", "background": True}


def opened(tmp_path, server, name="openai", **more):
    path = "/v1" if name == "openai" else ""
    provider = {"api_key": "sk-test", "base_url": f"{server.url}{path}", **more}
    return aikit.open(home=tmp_path / "home", config={"providers": {name: provider}})


def text_of(events):
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def broken_chat(*words):
    return streamed(*[chat_chunk({"content": word}) for word in words], 0.02, CUT, end=False)


def broken_messages(*words):
    return streamed(*messages_stream(*words)[: 3 + len(words)], 0.02, CUT, end=False)


# -- resume


def resuming(words, *, cuts):
    """A server that begins a response in the background, breaks after `cuts` events, and goes on where asked."""
    events = responses_stream(*words)
    left = list(cuts)

    def reply(request):
        begin = 0
        if request.method == "GET":
            query = dict(pair.split("=") for pair in request.path.partition("?")[2].split("&"))
            begin = int(query["starting_after"]) + 1
        end = left.pop(0) if left else len(events)
        pieces = events[begin:end]
        return streamed(*pieces) if end == len(events) else streamed(*pieces, 0.02, CUT, end=False)

    return reply


def test_a_background_response_is_resumed_with_nothing_lost_or_doubled_and_billed_once(tmp_path):
    words = ["Hel", "lo ", "wörld", " 😀", "!"]
    with (
        Server(resuming(words, cuts=(5, 7))) as server,
        opened(tmp_path, server, options=BACKGROUND) as kit,
    ):
        stream = kit.stream("hi", model="openai:gpt-5-mini", on_interrupt="resume")
        events = list(stream.events())
        assert text_of(events) == stream.completion.text == "".join(words)
        assert not any(isinstance(event, Restarted) for event in events)
        assert [request.method for request in server.requests] == ["POST", "GET", "GET"]
        answer = stream.completion
        assert (answer.stitched, answer.attempts, answer.usage_source) == (True, 3, "reported")
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (12, 7)
        attempts = kit.attempts()
        assert attempts["status"].tolist() == ["interrupted", "interrupted", "ok"]
        assert attempts["attempt_id"].nunique() == 3
        assert attempts["output_tokens"].sum() == 7
        assert Decimal(str(attempts["cost"].sum())) == pytest.approx(answer.cost)
        assert kit.spent("all") == pytest.approx(answer.cost)
        assert kit.calls()["stitched"].tolist() == [True]


def test_a_break_before_any_text_is_resumed_too_for_the_first_answer_is_still_being_made(tmp_path):
    with Server(resuming(["a ", "b"], cuts=(2,))) as server, opened(tmp_path, server, options=BACKGROUND) as kit:
        stream = kit.stream("hi", model="openai:gpt-5-mini")
        assert "".join(stream) == "a b"
        assert [request.method for request in server.requests] == ["POST", "GET"]
        assert not stream.completion.stitched


def test_a_resumption_that_fails_for_good_keeps_the_text_and_charges_the_most_it_can_have_cost(tmp_path):
    events = responses_stream("one ", "two")

    def reply(request):
        if request.method == "GET":
            return json_reply({"error": {"message": "gone", "code": "not_found"}}, 404)
        return streamed(*events[:4], 0.02, CUT, end=False)

    with Server(reply) as server, opened(tmp_path, server, options=BACKGROUND) as kit:
        with pytest.raises(errors.StreamInterrupted) as caught:
            list(kit.stream("hi", model="openai:gpt-5-mini", on_interrupt="resume", max_tokens=50))
        assert caught.value.partial == "one "
        assert kit.attempts()["usage_source"].tolist()[-1] == "upper_bound"
        assert kit.attempts()["cost"].sum() > 0
        assert kit.calls()["status"].tolist() == ["interrupted"]


def test_a_background_response_that_is_closed_is_charged_its_upper_bound(tmp_path):
    reply = streamed(*responses_stream("one ", "two")[:4], HOLD, end=False)
    with Server([reply]) as server, opened(tmp_path, server, options=BACKGROUND) as kit:
        with kit.stream("hi", model="openai:gpt-5-mini", max_tokens=1000) as stream:
            next(iter(stream))
        attempts = kit.attempts()
        assert attempts["status"].tolist() == ["cancelled"]
        assert attempts["usage_source"].tolist() == ["upper_bound"]
        assert attempts["output_tokens"].tolist() == [1000]


@pytest.mark.parametrize(
    ("model", "wanted", "words"),
    [
        ("openai:gpt-5-mini", "resume", ["background = true", "restart"]),
        ("openai:unheard-of", "resume", ["can't be resumed", "restart"]),
        ("openai:gpt-4o", "continue", ["prefill", "restart"]),
        ("openai:unheard-of", "continue", ["not known", "restart"]),
        ("openai:gpt-4o", "raise", ["restart"]),
    ],
)
def test_where_it_can_not_go_on_as_wanted_the_error_says_what_would_work(tmp_path, model, wanted, words):
    with Server([broken_chat("one ", "two ")]) as server, opened(tmp_path, server) as kit:
        with pytest.raises(errors.StreamInterrupted) as caught:
            list(kit.stream("hi", model=model, on_interrupt=wanted))
        assert all(word in str(caught.value) for word in words)
        assert caught.value.partial == "one two "
        assert len(server.requests) == 1


# -- continue


@pytest.mark.parametrize(
    ("first", "second", "whole"),
    [
        (["one ", "two "], ["three"], "one two three"),
        (["one ", "two "], ["tw", "o th", "ree"], "one two three"),
        (["one ", "two "], ["o", "n", "e", " ", "two", " three"], "one two three"),
        (["one ", "two "], [" three"], "one two three"),
        (["Hello wor"], ["wor", "ld"], "Hello world"),
        (["a\n\n"], ["\n", "\n  b"], "a\n\n  b"),
        (["ha ha ha "], ["ha ha!"], "ha ha ha ha ha!"),
        (["ban"], ["ana"], "banana"),
    ],
)
def test_a_continued_answer_reads_as_one_wherever_its_pieces_break(tmp_path, first, second, whole):
    replies = [broken_messages(*first), streamed(*messages_stream(*second))]
    with Server(replies) as server, opened(tmp_path, server, "anthropic") as kit:
        stream = kit.stream("count", model=CLAUDE, on_interrupt="continue", max_tokens=100)
        events = list(stream.events())
        assert text_of(events) == stream.completion.text == whole
        assert not any(isinstance(event, Restarted) for event in events)
        said = server.requests[1].json["messages"][-1]
        assert said["role"] == "assistant"
        assert "".join(first).rstrip() in str(said["content"])
        assert server.requests[1].json["max_tokens"] < 100


def test_the_usage_and_the_cost_of_a_continued_answer_are_the_sum_of_its_attempts(tmp_path):
    replies = [broken_messages("one ", "two "), broken_messages("three "), streamed(*messages_stream("four"))]
    with Server(replies) as server, opened(tmp_path, server, "anthropic") as kit:
        stream = kit.stream("count", model=CLAUDE, on_interrupt="continue", max_tokens=100)
        events = list(stream.events())
        answer, attempts, call = stream.completion, kit.attempts(), kit.calls().iloc[0]
        assert answer.text == "one two three four"
        assert attempts["status"].tolist() == ["interrupted", "interrupted", "ok"]
        assert answer.usage.output_tokens == attempts["output_tokens"].sum() == call["output_tokens"]
        assert answer.usage.input_tokens == attempts["input_tokens"].sum()
        assert answer.usage_source == call["usage_source"] == "estimated"
        assert answer.cost == pytest.approx(Decimal(str(attempts["cost"].sum())))
        assert events[-1] == Finished(
            "stop", answer.usage, "estimated", "claude-x-2026", events[-1].request_id, "", events[-1].raw_finish_reason
        )
        frame = kit.sql("SELECT extra FROM attempts ORDER BY number")
        assert ["continued" in str(one) for one in frame["extra"]] == [False, True, True]


def test_a_continuation_that_fails_in_the_end_keeps_all_the_text(tmp_path):
    with (
        Server([broken_messages("one ", "two "), broken_messages("three "), json_reply({}, 503)]) as server,
        opened(tmp_path, server, "anthropic") as kit,
    ):
        with pytest.raises(errors.StreamInterrupted) as caught:
            list(kit.stream("count", model=CLAUDE, on_interrupt="continue", max_tokens=100))
        assert caught.value.partial == "one two three "
        assert caught.value.attempts == 3
        assert kit.calls(texts=True)["text"].tolist() == ["one two three "]


def test_a_continuation_that_the_budget_refuses_keeps_the_text(tmp_path):
    prices = {"claude-haiku-4-5": {"input": 1_000, "output": 1_000}}
    with (
        Server([broken_messages(*["word "] * 50)]) as server,
        opened(tmp_path, server, "anthropic", prices=prices) as kit,
    ):
        kit.budgets.set(daily=0.15)
        with pytest.raises(errors.StreamInterrupted) as caught:
            list(kit.stream("count", model=CLAUDE, on_interrupt="continue", max_tokens=100))
        assert caught.value.partial == "word " * 50
        assert isinstance(caught.value.__cause__, errors.BudgetExceeded)
        assert len(server.requests) == 1


def test_an_answer_in_json_is_not_continued_by_prefill(tmp_path):
    schema = {"type": "object"}
    with Server([broken_messages('{"a": ')]) as server, opened(tmp_path, server, "anthropic") as kit:
        stream = kit.stream("x", model=CLAUDE, on_interrupt="continue", max_tokens=9, json_schema=schema)
        with pytest.raises(errors.StreamInterrupted, match="structured answers"):
            list(stream)


# -- restart, and what all have in common


def test_a_restart_counts_what_both_answers_took(tmp_path):
    with (
        Server([broken_chat("one ", "two "), streamed(*chat_stream("a ", "b"))]) as server,
        opened(tmp_path, server) as kit,
    ):
        stream = kit.stream("count", model=CHAT, on_interrupt="restart")
        events = list(stream.events())
        assert [event.attempt for event in events if isinstance(event, Restarted)] == [2]
        attempts = kit.attempts()
        assert stream.completion.usage.output_tokens == attempts["output_tokens"].sum() > 7
        assert stream.completion.text == "a b"


def test_an_error_that_will_not_pass_ends_the_answer_whatever_was_wanted(tmp_path):
    filtered = b'data: {"error": {"message": "no", "code": "content_filter", "type": "invalid_request_error"}}\n\n'
    with (
        Server([streamed(chat_chunk({"content": "one "}), filtered)]) as server,
        opened(tmp_path, server) as kit,
    ):
        with pytest.raises(errors.StreamInterrupted):
            list(kit.stream("count", model=CHAT, on_interrupt="restart"))
        assert len(server.requests) == 1


def test_an_answer_is_resumed_and_continued_within_a_route_too(tmp_path):
    replies = [broken_messages("one ", "two "), streamed(*messages_stream("three"))]
    with Server(replies) as server, opened(tmp_path, server, "anthropic") as kit:
        route = aikit.failover(CLAUDE, "scripted:x")
        assert "".join(kit.stream("count", model=route, on_interrupt="continue", max_tokens=99)) == "one two three"


@pytest.mark.parametrize("size", range(1, 12))
def test_an_overlap_is_found_whatever_the_pieces(size):
    before, after = "The quick brown fox", "brown fox jumps over"
    overlap, said = Overlap(before), ""
    for start in range(0, len(after), size):
        said += overlap.feed(after[start : start + size])
    said += overlap.end() if overlap.open else ""
    assert before + said == "The quick brown fox jumps over"
    assert overlap.dropped == len("brown fox")


def test_reported_usage_of_one_answer_stays_as_it_was_reported(tmp_path):
    with Server([streamed(*chat_stream("a"))]) as server, opened(tmp_path, server) as kit:
        stream = kit.stream("x", model=CHAT)
        assert "".join(stream) == "a"
        assert stream.completion.usage == Usage(12, 7, cache_read_tokens=4, reasoning_tokens=2)
