"""What may happen to the bytes of a stream, in every dialect."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import time

import pytest

from aikit import errors
from aikit.events import TextDelta
from tests import servers
from tests.providers.dialects import CHAT, MESSAGES, NONE, OLLAMA, RESPONSES, collect, each, finished, run, text_of
from tests.servers import CUT, HOLD, RESET, Server, header_lines, streamed

WORDS = ("Hel", "lo ", "wörld", " 😀", " end")
TEXT = "".join(WORDS)


def one(dialect, reply, **config):
    with Server([reply]) as server:
        return run(dialect.make(server, **config), collect)


def broken(dialect, reply, *, kind=errors.ProviderError, **config):
    with pytest.raises(kind) as caught:
        one(dialect, reply, **config)
    return caught.value


@each
def test_a_stream_gives_its_text_and_then_how_it_ended(dialect):
    events = one(dialect, dialect.reply(*dialect.stream(*WORDS)))
    end = finished(events)
    assert text_of(events) == TEXT
    assert (end.finish_reason, end.usage, end.usage_source) == ("stop", dialect.usage, "reported")
    assert end.response_model in ("gpt-x-2026", "claude-x-2026", "llama-x")


@each
def test_one_byte_per_read_gives_the_same(dialect):
    body = b"".join(dialect.stream("Hi", " é😀"))
    pieces = [body[i : i + 1] for i in range(len(body))]
    head = header_lines(200, content_type=dialect.content_type, connection="close")
    events = one(dialect, [head, *[step for piece in pieces for step in (piece, 0.0)], CUT])
    assert text_of(events) == "Hi é😀"
    assert finished(events).usage == dialect.usage


@each
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_a_cut_at_every_byte_is_a_prefix_and_a_typed_error_or_the_whole_answer(dialect, step):
    body = b"".join(dialect.stream(*WORDS))
    ends = {"complete": 0, "broken": 0}

    def reply(request):
        cut = int(json.loads(request.body)["cut"])
        head = header_lines(200, content_type=dialect.content_type, content_length=str(len(body)))
        return [head + body[:cut], CUT]

    async def all_cuts(adapter):
        for cut in [*range(0, len(body), step), len(body)]:
            events, error = [], None
            options = type(NONE)(extra={"cut": str(cut)})
            try:
                async for event in adapter.generate_stream("hi", options):
                    events.append(event)
            except errors.ProviderError as told:
                error = told
            check(cut, events, error)

    def check(cut, events, error):
        text = text_of(events)
        assert TEXT.startswith(text), cut
        if error is None:
            end = finished(events)
            assert text == TEXT, cut
            assert end.usage_source == "reported" or end.usage.output_tokens is None, cut
            ends["complete"] += 1
        else:
            kind = errors.StreamInterrupted if text else errors.ConnectionFailed
            assert type(error) is kind, (cut, error)
            assert getattr(error, "partial", text) == text, cut
            ends["broken"] += 1

    with Server(reply) as server:
        run(dialect.make(server), all_cuts)
    assert ends["complete"] >= 1
    assert ends["broken"] > len(body) / step / 2


@each
def test_a_body_that_just_ends_without_the_marker_is_no_completion(dialect):
    events = dialect.stream(*WORDS)
    head = header_lines(200, content_type=dialect.content_type, connection="close")
    short = [piece for piece in events if b"Hel" in piece or b"lo " in piece]
    error = broken(dialect, [head + b"".join(short[:1]), CUT], kind=errors.StreamInterrupted)
    assert error.partial == "Hel"
    assert error.usage_source == "estimated"
    assert type(broken(dialect, [head, CUT])) is errors.ConnectionFailed


@each
@pytest.mark.parametrize("how", [CUT, RESET], ids=["cut", "reset"])
def test_a_broken_connection_after_text_is_an_interruption(dialect, how):
    pieces = dialect.stream(*WORDS)
    at = next(i for i, piece in enumerate(pieces) if b"lo " in piece)
    # A reset can overtake what was sent before it, so give that time to be read.
    error = broken(dialect, dialect.reply(*pieces[: at + 1], 0.05, how), kind=errors.StreamInterrupted)
    assert error.partial == "Hello "
    assert isinstance(error.__cause__, errors.ConnectionFailed)
    assert error.__cause__.sent


@each
def test_on_the_marker_the_stream_ends_at_once_and_lets_the_connection_go(dialect):
    with Server([dialect.reply(*dialect.stream("Hi"), HOLD, end=False)]) as server:

        async def timed(adapter):
            started = time.monotonic()
            events = await collect(adapter)
            taken = time.monotonic() - started
            await asyncio.sleep(0.5)
            return events, taken, server.open

        events, taken, left = run(dialect.make(server), timed)
    assert text_of(events) == "Hi"
    assert taken < 0.5
    assert left == 0


@each
def test_a_finished_connection_serves_the_next_stream(dialect):
    with Server([dialect.reply(*dialect.stream("Hi"))]) as server:

        async def thrice(adapter):
            for _ in range(3):
                assert text_of(await collect(adapter)) == "Hi"
                await asyncio.sleep(0.05)

        run(dialect.make(server), thrice)
        assert server.connections == 1


@each
@pytest.mark.parametrize("way", ["close", "cancel", "abandon"])
def test_a_stream_left_early_closes_its_connection_at_once(dialect, way):
    pieces = dialect.stream(*WORDS)
    first = next(i for i, piece in enumerate(pieces) if b"Hel" in piece)
    with Server([dialect.reply(*pieces[: first + 1], HOLD, end=False)]) as server:

        async def leave(adapter):
            stream = adapter.generate_stream("hi", NONE)
            async for event in stream:
                if isinstance(event, TextDelta):
                    break
            assert server.open == 1
            if way == "close":
                await stream.aclose()
            elif way == "cancel":
                task = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0.02)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            del stream
            gc.collect()
            await asyncio.sleep(0.05)
            return await asyncio.to_thread(server.wait_until_closed, 1.0)

        assert run(dialect.make(server), leave)


@each
def test_cancelling_before_the_answer_closes_the_connection(dialect):
    with Server([[HOLD]]) as server:

        async def cancel(adapter):
            task = asyncio.ensure_future(collect(adapter))
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await asyncio.to_thread(server.wait_until_closed, 1.0)

        assert run(dialect.make(server), cancel)


@each
def test_malformed_json_is_an_error_with_a_preview_and_never_skipped(dialect):
    end = b"\n" if dialect is OLLAMA else b"\n\n"
    bad = (b"" if dialect is OLLAMA else b"data: ") + b'{"choices": [{"delta": {"con' + b"z" * 300 + end
    pieces = dialect.stream(*WORDS)
    error = broken(dialect, dialect.reply(bad, *pieces), kind=errors.ProtocolError)
    assert '{"choices"' in str(error)
    assert len(str(error)) < 300
    at = next(i for i, piece in enumerate(pieces) if b"Hel" in piece)
    after = broken(dialect, dialect.reply(*pieces[: at + 1], bad, *pieces), kind=errors.StreamInterrupted)
    assert after.partial == "Hel"
    assert isinstance(after.__cause__, errors.ProtocolError)


@each
def test_a_gzipped_stream_is_read(dialect):
    packed = gzip.compress(b"".join(dialect.stream(*WORDS)))
    events = one(dialect, dialect.reply(packed[:50], packed[50:], content_encoding="gzip"))
    assert text_of(events) == TEXT
    assert finished(events).usage == dialect.usage


@each
def test_a_token_of_a_megabyte_and_odd_characters_pass_through(dialect):
    odd = "\x00\x07\x1b[31m\u202e\u2066\ufeff\u2028\r\n\t"
    events = one(dialect, dialect.reply(*dialect.stream("x" * 1_000_000, odd)))
    assert text_of(events) == "x" * 1_000_000 + odd


@each
def test_surrogate_halves_over_two_deltas_are_joined_and_lone_ones_replaced(dialect):
    events = one(dialect, dialect.reply(*dialect.stream("a\ud83d", "\ude00b", "\ud800", "c", "\udfff", "z\ud83d")))
    assert text_of(events) == "a😀b\ufffdc\ufffdz\ufffd"


@each
def test_line_ends_of_every_kind_and_a_byte_order_mark_are_read(dialect):
    body = b"".join(dialect.stream(*WORDS))
    ends = (b"\r\n",) if dialect is OLLAMA else (b"\r\n", b"\r")
    for end in ends:
        assert text_of(one(dialect, dialect.reply(b"\xef\xbb\xbf" + body.replace(b"\n", end)))) == TEXT


@each
def test_unknown_events_and_fields_are_ignored(dialect):
    line = {"type": "something.new", "object": "later", "added": [1, {"x": None}]}
    strange = json.dumps(line).encode() + b"\n" if dialect is OLLAMA else servers.sse(line, "something.new")
    pieces = [piece for event in dialect.stream(*WORDS) for piece in (strange, event)]
    assert text_of(one(dialect, dialect.reply(*pieces))) == TEXT


@each
def test_pings_are_no_progress(dialect):
    pings = [step for _ in range(100) for step in (dialect.ping, 0.02)]
    started = time.monotonic()
    error = broken(
        dialect, dialect.reply(*pings, HOLD, end=False), kind=errors.DeadlineExceeded, timeouts={"progress": 0.3}
    )
    assert error.which == "progress"
    assert time.monotonic() - started < 1.5


@each
def test_text_keeps_the_progress_deadline_away_and_silence_after_it_does_not(dialect):
    pieces = [step for piece in dialect.stream(*WORDS) for step in (piece, 0.12)]
    assert text_of(one(dialect, dialect.reply(*pieces), timeouts={"progress": 0.5})) == TEXT
    events = dialect.stream(*WORDS)
    at = next(i for i, piece in enumerate(events) if b"Hel" in piece)
    reply = dialect.reply(*events[: at + 1], HOLD, end=False)
    error = broken(dialect, reply, kind=errors.DeadlineExceeded, timeouts={"progress": 0.2})
    assert (error.which, error.partial) == ("progress", "Hel")


@each
def test_the_total_deadline_ends_a_stream_that_still_makes_progress(dialect):
    words = [str(i) for i in range(100)]
    pieces = [step for piece in dialect.stream(*words) for step in (piece, 0.05)]
    error = broken(dialect, dialect.reply(*pieces), kind=errors.DeadlineExceeded, timeouts={"total": 0.4})
    assert error.which == "total"
    assert error.partial.startswith("01")


@each
def test_the_time_left_to_the_caller_shortens_the_total(dialect):
    with Server([[HOLD]]) as server:
        adapter = dialect.make(server).bound()
        adapter.time_left = 0.2
        with pytest.raises(errors.DeadlineExceeded) as caught:
            run(adapter, collect)
        assert caught.value.which == "total"


@each
def test_a_slow_consumer_is_no_slow_provider(dialect):
    with Server([dialect.reply(*dialect.stream(*WORDS))]) as server:

        async def slowly(adapter):
            text = ""
            async for event in adapter.generate_stream("hi", NONE):
                text += event.text if isinstance(event, TextDelta) else ""
                await asyncio.sleep(0.1)
            return text

        assert run(dialect.make(server, timeouts={"progress": 0.15}), slowly) == TEXT


def test_after_the_finish_reason_a_chat_stream_waits_only_a_moment_for_the_usage(monkeypatch):
    monkeypatch.setattr("aikit.exchange.GRACE", 0.2)
    events = CHAT.stream(*WORDS)[:-2]
    reply = CHAT.reply(*events, HOLD, end=False)
    started = time.monotonic()
    got = one(CHAT, reply)
    assert time.monotonic() - started < 5
    end = finished(got)
    assert text_of(got) == TEXT
    assert (end.usage.output_tokens, end.usage_source) == (None, "estimated")


def test_done_without_a_finish_reason_is_no_completion():
    events = [*CHAT.stream(*WORDS)[:3], servers.sse("[DONE]")]
    assert broken(CHAT, CHAT.reply(*events), kind=errors.StreamInterrupted).partial == "Hello "


def test_a_message_without_its_stop_event_is_no_completion():
    error = broken(MESSAGES, MESSAGES.reply(*MESSAGES.stream(*WORDS)[:-1]), kind=errors.StreamInterrupted)
    assert error.partial == TEXT
    early = broken(MESSAGES, MESSAGES.reply(*MESSAGES.stream(*WORDS)[:5]), kind=errors.StreamInterrupted)
    assert (early.usage.input_tokens, early.usage.output_tokens) == (20, None)


def test_a_last_event_without_its_blank_line_still_counts():
    for dialect in (CHAT, MESSAGES, RESPONSES):
        body = b"".join(dialect.stream(*WORDS)).rstrip(b"\n")
        assert text_of(one(dialect, streamed(body))) == TEXT
