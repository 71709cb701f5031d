"""One target of a call: retries, keys, breaker and interruptions, against a loopback server."""

import time
from decimal import Decimal

import pytest

import aikit
from aikit import errors
from aikit.events import Restarted, TextDelta
from tests.servers import CUT, RESET, Server, chat_chunk, chat_stream, chat_whole, json_reply, streamed

MODEL = "openai:gpt-5-mini"


def error_reply(status, code="server_error", **headers):
    return json_reply({"error": {"message": "no", "code": code, "type": code}}, status, **headers)


def config(server, **more):
    return {"providers": {"openai": {"api_key": "sk-test", "base_url": f"{server.url}/v1", **more}}}


def opened(tmp_path, server, **more):
    return aikit.open(home=tmp_path / "home", config=config(server, **more))


def test_a_call_through_the_official_client_is_answered_priced_and_logged(tmp_path):
    with Server([json_reply(chat_whole())]) as server, opened(tmp_path, server) as kit:
        answer = kit.ask("hi", model=MODEL)
        assert answer.text
        assert answer.usage_source == "reported"
        assert answer.cost is not None and answer.cost > 0
        calls, attempts = kit.calls(), kit.attempts()
        assert calls["cost"].iloc[0] == pytest.approx(float(answer.cost))
        assert attempts["http_status"].tolist() == [200]
        assert attempts["cost"].sum() == pytest.approx(float(answer.cost))


def test_a_passing_failure_is_retried_and_each_attempt_has_a_row(tmp_path):
    with Server([error_reply(503), json_reply(chat_whole())]) as server, opened(tmp_path, server) as kit:
        answer = kit.ask("hi", model=MODEL)
        assert answer.attempts == 2
        assert kit.attempts()["status"].tolist() == ["error", "ok"]
        assert kit.attempts()["http_status"].tolist() == [503, 200]
        assert kit.attempts()["cost"].iloc[0] == 0
        assert kit.calls()["attempts"].tolist() == [2]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error_reply(400, "bad"), errors.BadRequest),
        (error_reply(404, "model_not_found"), errors.ModelNotFound),
        (error_reply(429, "insufficient_quota"), errors.QuotaExhausted),
        (error_reply(501), errors.ProviderError),
    ],
)
def test_what_will_not_pass_is_raised_after_one_request(tmp_path, reply, expected):
    with Server([reply]) as server, opened(tmp_path, server) as kit:
        with pytest.raises(expected):
            kit.ask("hi", model=MODEL)
        assert sum(request.method == "POST" for request in server.requests) == 1
        assert kit.calls()["status"].tolist() == ["error"]
        assert kit.attempts()["cost"].tolist() == [0]


def test_a_refused_key_is_not_used_again_and_the_next_of_the_ring_serves(tmp_path):
    def reply(request):
        return json_reply(chat_whole()) if "sk-good" in request.headers["authorization"] else error_reply(401)

    with Server(reply) as server, opened(tmp_path, server, api_key=["sk-bad-key", "sk-good-key"]) as kit:
        for _ in range(6):
            assert kit.ask("hi", model=MODEL).text
        used = [request.headers["authorization"] for request in server.requests if request.method == "POST"]
        assert used.count("Bearer sk-bad-key") <= 1
        assert used.count("Bearer sk-good-key") == 6


def test_a_refused_single_key_fails_after_one_request(tmp_path):
    with Server([error_reply(401)]) as server, opened(tmp_path, server) as kit:
        with pytest.raises(errors.AuthenticationFailed) as caught:
            kit.ask("hi", model=MODEL)
        assert sum(request.method == "POST" for request in server.requests) == 1
        assert "sk-test" not in str(caught.value)


def test_a_retry_after_of_a_day_raises_at_once_and_says_when(tmp_path):
    with (
        Server([error_reply(429, "rate_limit_exceeded", retry_after="86400")]) as server,
        opened(tmp_path, server) as kit,
    ):
        started = time.monotonic()
        with pytest.raises(errors.RateLimited) as caught:
            kit.ask("hi", model=MODEL)
        assert time.monotonic() - started < 3
        assert caught.value.retry_at.timestamp() - time.time() > 80_000


def test_a_lost_connection_may_have_been_billed_and_is_booked_at_its_upper_bound(tmp_path):
    with Server([[RESET]]) as server, opened(tmp_path, server) as kit:
        with pytest.raises(errors.ConnectionFailed):
            kit.ask("hi", model=MODEL, max_tokens=10)
        attempts = kit.attempts()
        assert len(attempts) == 3
        assert (attempts["usage_source"] == "upper_bound").all()
        assert (attempts["cost"] > 0).all()
        assert kit.calls()["status"].tolist() == ["unknown"]
        assert kit.spent("all") == pytest.approx(Decimal(str(attempts["cost"].sum())))


def test_a_server_nobody_listens_on_is_provably_not_billed(tmp_path):
    with Server([]) as server:
        settings = config(server)
    with aikit.open(home=tmp_path / "home", config=settings) as kit:
        with pytest.raises(errors.ConnectionFailed):
            kit.ask("hi", model=MODEL)
        assert (kit.attempts()["cost"] == 0).all()


def broken(*words):
    """A stream that breaks off after some words."""
    return streamed(*[chat_chunk({"content": word}) for word in words], CUT, end=False)


def test_an_interruption_raises_with_the_partial_text_and_estimated_usage(tmp_path):
    with Server([broken("one ", "two ")]) as server, opened(tmp_path, server) as kit:
        got = []
        with pytest.raises(errors.StreamInterrupted) as caught:
            got.extend(kit.stream("count", model=MODEL))
        assert "".join(got) == caught.value.partial == "one two "
        assert caught.value.usage.output_tokens > 0
        assert caught.value.usage_source == "estimated"
        attempts = kit.attempts()
        assert attempts["status"].tolist() == ["interrupted"]
        assert attempts["cost"].iloc[0] > 0


def test_a_restart_announces_the_new_answer_and_marks_it(tmp_path):
    replies = [broken("one ", "two "), streamed(*chat_stream("a ", "b"))]
    with Server(replies) as server, opened(tmp_path, server) as kit:
        stream = kit.stream("count", model=MODEL, on_interrupt="restart")
        events = list(stream.events())
        place = next(number for number, event in enumerate(events) if isinstance(event, Restarted))
        after = "".join(event.text for event in events[place:] if isinstance(event, TextDelta))
        assert after == stream.completion.text == "a b"
        assert stream.completion.stitched
        assert stream.completion.attempts == 2
        assert stream.completion.cost == pytest.approx(Decimal(str(kit.attempts()["cost"].sum())))
        assert kit.calls()["stitched"].tolist() == [True]


def test_nothing_delivered_yet_is_retried_without_a_word(tmp_path):
    replies = [
        streamed(chat_chunk({"role": "assistant", "content": ""}), CUT, end=False),
        streamed(*chat_stream("a ", "b")),
    ]
    with Server(replies) as server, opened(tmp_path, server) as kit:
        stream = kit.stream("count", model=MODEL)
        assert "".join(stream) == "a b"
        assert not stream.completion.stitched
        assert stream.completion.attempts == 2


def test_retries_stay_at_a_tenth_of_the_calls_when_a_provider_is_down(tmp_path):
    with Server([error_reply(400)]) as server, opened(tmp_path, server) as kit:
        _, gate = kit._kit._parts.targets.find(MODEL)
    quota = gate.quota
    sent = 0
    for _ in range(1000):
        quota.earn()
        sent += 1
        for _ in range(2):
            sent += quota.take()
    assert sent <= 1100


def test_an_open_breaker_sends_nothing_and_says_when_it_will(tmp_path):
    with Server([error_reply(503)]) as server, opened(tmp_path, server) as kit:
        with pytest.raises(errors.AikitError):
            for _ in range(30):
                try:
                    kit.ask("hi", model=MODEL, timeout=3)
                except errors.Overloaded:
                    continue
        state = kit.providers
        assert state["breaker"].tolist() == ["open"]
        assert "503" in state["last_error"].iloc[0] or "Overloaded" in state["last_error"].iloc[0]
        sent = len(server.requests)
        with pytest.raises(errors.CircuitOpen) as caught:
            kit.ask("hi", model=MODEL, timeout=0.05)
        assert caught.value.retry_at is not None
        assert len(server.requests) == sent
