"""Statuses and shapes, in every dialect, blocking and streaming."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from aikit import errors
from tests.providers.dialects import (
    NONE,
    OLLAMA,
    all_errors,
    ask,
    asked,
    both,
    each,
    run,
)
from tests.servers import Server, json_reply, plain


@each
def test_a_whole_answer_has_text_usage_and_reason(dialect):
    with Server([json_reply(dialect.whole("Hello ü\x00"))]) as server:
        answer = run(dialect.make(server), lambda adapter: adapter.generate_completion("hi", NONE))
    assert (answer.text, answer.finish_reason) == ("Hello ü\x00", "stop")
    assert (answer.usage, answer.usage_source) == (dialect.usage, "reported")
    assert (answer.provider, answer.model, answer.cost) == (dialect.adapter.kind, "m-1", None)
    assert answer.response_model


STATUSES = {
    400: errors.BadRequest,
    401: errors.AuthenticationFailed,
    402: errors.QuotaExhausted,
    404: errors.ModelNotFound,
    413: errors.BadRequest,
    429: errors.RateLimited,
    501: errors.Overloaded,
    503: errors.Overloaded,
    529: errors.Overloaded,
}


@each
@both
def test_a_status_becomes_a_typed_error_after_one_request(dialect, streaming):
    told = {"error": {"message": "because"}}
    replies = [json_reply(told, status, retry_after="7", x_request_id="req_9") for status in STATUSES]
    for (status, kind), error in zip(STATUSES.items(), all_errors(dialect, replies, streaming), strict=True):
        assert type(error) is kind
        assert (error.status, error.model) == (status, "m-1")
        assert "because" in str(error)
        assert "req_9" in str(error)
        assert abs(error.retry_at - datetime.now(UTC) - timedelta(seconds=7)) < timedelta(seconds=3)


WRONG = [
    b"",
    b"{",
    b"{}",
    b"[]",
    b"null",
    b"42",
    b'{"choices": []}',
    b'{"choices": [{}]}',
    b'{"content": null, "output": null, "message": null}',
    b'{"id": "x", "object": "chat.completion", "choices": [{"index": 0, "message": {"content": "Hel',
    b"\xff\xfe",
]


@each
@both
def test_a_200_of_the_wrong_shape_is_never_an_answer(dialect, streaming):
    replies = [plain(body, content_type="application/json") for body in WRONG]
    for body, error in zip(WRONG, all_errors(dialect, replies, streaming), strict=True):
        assert type(error) is errors.ProtocolError, body


@each
@both
def test_a_200_with_an_error_in_it_is_that_error(dialect, streaming):
    told = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    error, _ = asked(dialect, [json_reply(told)], streaming=streaming)
    assert type(error) is errors.Overloaded
    assert "busy" in str(error)


@each
@both
def test_a_200_with_a_web_page_is_quoted_without_tags(dialect, streaming):
    page = b"<!doctype html><html><style>p{}</style><body><h1>Welcome to the hotel</h1></body></html>"
    error, _ = asked(dialect, [plain(page, content_type="text/html")], streaming=streaming)
    assert type(error) is errors.ProtocolError
    assert "Welcome to the hotel" in str(error)
    assert "<" not in str(error)


@each
def test_a_stream_that_is_no_stream_says_what_came_instead(dialect):
    error, _ = asked(dialect, [plain(b"upstream timed out\n", content_type="text/plain")], streaming=True)
    assert type(error) is errors.ProtocolError
    assert "upstream timed out" in str(error)


@each
def test_a_server_that_knows_no_streams_still_answers(dialect):
    with Server([json_reply(dialect.whole("Hello"))]) as server:
        assert run(dialect.make(server), lambda adapter: ask(adapter, streaming=True)) == "Hello"


@each
def test_an_error_as_the_first_event_is_that_error_and_later_an_interruption(dialect):
    said = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    line = json.dumps(said).encode()
    event = line + b"\n" if dialect is OLLAMA else b"event: error\ndata: " + line + b"\n\n"
    error, _ = asked(dialect, [dialect.reply(event)], streaming=True)
    assert type(error) is errors.Overloaded
    pieces = dialect.stream("Hel", "lo")
    at = next(i for i, piece in enumerate(pieces) if b"Hel" in piece)
    later, _ = asked(dialect, [dialect.reply(*pieces[: at + 1], event)], streaming=True)
    assert type(later) is errors.StreamInterrupted
    assert later.partial == "Hel"
    assert type(later.__cause__) is errors.Overloaded


@each
@both
@pytest.mark.parametrize("word", [True, False])
def test_x_should_retry_goes_on_the_error(dialect, streaming, word):
    reply = json_reply({}, 400 if word else 503, x_should_retry=str(word).lower())
    assert asked(dialect, [reply], streaming=streaming)[0].should_retry is word


@each
@both
def test_status_and_headers_are_handed_on_as_soon_as_they_are_there(dialect, streaming):
    seen = []
    with Server([json_reply(dialect.whole("x"), X_RateLimit_Remaining_Requests="7"), json_reply({}, 429)]) as server:

        async def work(adapter):
            adapter = adapter.bound()
            adapter.on_response = lambda status, headers: seen.append((status, dict(headers)))
            await ask(adapter, streaming=streaming)
            with pytest.raises(errors.RateLimited):
                await ask(adapter, streaming=streaming)

        run(dialect.make(server), work)
    assert [status for status, _ in seen] == [200, 429]
    assert seen[0][1]["x-ratelimit-remaining-requests"] == "7"
