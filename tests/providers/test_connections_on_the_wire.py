"""Connections, redirects and keys, in every dialect, blocking and streaming."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import time
import traceback

import pytest

from aikit import errors
from aikit.messages import GenerationOptions
from tests.providers.dialects import (
    KEY,
    MESSAGES,
    NONE,
    OLLAMA,
    ask,
    asked,
    both,
    each,
    run,
    sdks,
)
from tests.servers import CUT, HOLD, RESET, Server, header_lines, json_reply, plain, streamed


@each
@both
def test_nobody_listening_was_never_sent(dialect, streaming):
    with Server([[CUT]]) as server:
        url = server.url
    with pytest.raises(errors.ConnectionFailed) as caught:
        run(dialect.make(url), lambda adapter: ask(adapter, streaming=streaming))
    assert (caught.value.sent, caught.value.retryable) == (False, True)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@each
@both
@pytest.mark.parametrize("how", [CUT, RESET], ids=["cut", "reset"])
def test_a_connection_lost_before_the_answer_may_have_been_billed(dialect, streaming, how):
    error, server = asked(dialect, [[how]], streaming=streaming)
    assert type(error) is errors.ConnectionFailed
    assert (error.sent, error.retryable) == (True, True)
    assert len(server.requests) == 1


@each
def test_a_whole_answer_cut_short_is_no_answer(dialect):
    body = json.dumps(dialect.whole("Hello")).encode()
    head = header_lines(200, content_type="application/json", content_length=str(len(body)))
    error, _ = asked(dialect, [[head + body[:-5], CUT]], streaming=False)
    assert type(error) is errors.ConnectionFailed
    assert error.sent
    head = header_lines(200, content_type="application/json", connection="close")
    error, _ = asked(dialect, [[head + body[:-5], CUT]], streaming=False)
    assert type(error) is errors.ProtocolError


@each
@both
def test_what_is_no_http_is_a_protocol_error(dialect, streaming):
    error, _ = asked(dialect, [[b"SSH-2.0-OpenSSH_9.9\r\n", CUT]], streaming=streaming)
    assert isinstance(error, errors.ProtocolError | errors.ConnectionFailed)


@each
@both
def test_https_to_a_plain_port_is_fatal(dialect, streaming):
    with Server([[HOLD]]) as server:
        adapter = dialect.make(server.url.replace("http:", "https:"))
        with pytest.raises(errors.ConnectionFailed) as caught:
            run(adapter, lambda adapter: ask(adapter, streaming=streaming))
    assert (caught.value.sent, caught.value.retryable) == (False, False)


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@each
def test_a_certificate_that_nobody_vouches_for_is_fatal(dialect, self_signed):
    with Server([[HOLD]], tls=self_signed) as server, pytest.raises(errors.ConnectionFailed) as caught:
        run(dialect.make(server), lambda adapter: ask(adapter, streaming=True))
    assert (caught.value.sent, caught.value.retryable) == (False, False)
    assert not server.requests


@each
@both
def test_the_total_deadline_ends_a_call_that_gets_no_answer(dialect, streaming):
    started = time.monotonic()
    error, _server = asked(dialect, [[HOLD]], streaming=streaming, timeouts={"total": 0.3})
    assert type(error) is errors.DeadlineExceeded
    assert error.which == "total"
    assert time.monotonic() - started < 2


@each
@both
def test_the_connect_deadline_has_its_own_error(dialect, streaming):
    # A listening socket whose queue is full accepts nothing and refuses nothing.
    deaf = socket.socket()
    deaf.bind(("127.0.0.1", 0))
    deaf.listen(0)
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(deaf.getsockname())
    try:
        adapter = dialect.make(f"http://127.0.0.1:{deaf.getsockname()[1]}", timeouts={"connect": 0.3})
        with pytest.raises(errors.DeadlineExceeded) as caught:
            run(adapter, lambda adapter: ask(adapter, streaming=streaming))
        assert caught.value.which == "connect"
    finally:
        for each_socket in (deaf, *fillers):
            each_socket.close()


@each
@both
def test_an_idle_connection_closed_by_the_server_is_replaced_at_once(dialect, streaming):
    replies = [json_reply(dialect.whole("one")), [CUT], json_reply(dialect.whole("two"))]
    with Server(replies) as server:

        async def twice(adapter):
            first = await ask(adapter, streaming=False)
            return first, await ask(adapter, streaming=streaming)

        assert run(dialect.make(server), twice) == ("one", "two")
        assert len(server.requests) == 3
        assert server.requests[1].connection == server.requests[0].connection
        assert server.requests[2].connection != server.requests[1].connection


@each
def test_a_connection_is_replaced_once_and_not_again(dialect):
    with Server([json_reply(dialect.whole("one")), [CUT]]) as server:

        async def twice(adapter):
            await ask(adapter, streaming=False)
            with pytest.raises(errors.ConnectionFailed) as caught:
                await ask(adapter, streaming=False)
            return caught.value

        assert run(dialect.make(server), twice).sent
        assert len(server.requests) == 3


@sdks
def test_a_stale_connection_is_replaced_by_a_new_one_and_not_by_another_stale_one(dialect):
    calls = {"n": 0}

    def reply(request):
        calls["n"] += 1
        if calls["n"] <= 4:
            return [0.1, *json_reply(dialect.whole("one"))]
        return [CUT] if request.connection <= 4 else json_reply(dialect.whole("two"))

    with Server(reply) as server:

        async def work(adapter):
            await asyncio.gather(*[ask(adapter, streaming=False) for _ in range(4)])
            return await ask(adapter, streaming=False)

        assert run(dialect.make(server), work) == "two"
        assert len(server.requests) == 6


@each
@both
def test_a_redirect_to_another_origin_is_refused_and_the_prompt_not_sent_there(dialect, streaming):
    with Server([json_reply(dialect.whole("stolen"))]) as thief:
        moved = [header_lines(307, location=f"{thief.url}/v1/x", content_length="0")]
        error, _server = asked(dialect, [moved], streaming=streaming)
        assert type(error) is errors.ProtocolError
        assert (error.status, error.should_retry) == (307, False)
        assert not thief.requests


@sdks
@both
def test_a_redirect_within_the_origin_is_followed_and_no_circle(dialect, streaming):
    def reply(request):
        if request.path == "/new/place":
            return json_reply(dialect.whole("found"))
        return [header_lines(308, location="/new/place", content_length="0")]

    with Server(reply) as server:
        assert run(dialect.make(server), lambda adapter: ask(adapter, streaming=streaming)) == "found"
        assert server.requests[-1].json == server.requests[0].json
    circle = [header_lines(307, location="/again", content_length="0")]
    error, server = asked(dialect, [circle], streaming=streaming)
    assert error.should_retry is False
    assert len(server.requests) == 3


@each
@both
def test_no_key_is_in_an_error_a_repr_or_a_traceback(dialect, streaming):
    told = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}
    if dialect is not OLLAMA:
        error, _ = asked(dialect, [json_reply(told, 401)], streaming=streaming)
        text = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
        assert KEY not in text
        assert "[key]" in text
    for reply in ([CUT], json_reply({}, 500), plain(b"x")):
        error, _ = asked(dialect, [reply], streaming=streaming)
        chain = error
        while chain is not None:
            assert type(chain).__module__.startswith("aikit"), "an SDK's exception holds the request and its key"
            assert KEY not in repr(chain) + repr(vars(chain))
            assert chain.__context__ is chain.__cause__
            chain = chain.__cause__
    assert KEY not in repr(dialect.make("http://127.0.0.1:9"))


@each
@both
@pytest.mark.parametrize("key", ["sk-x\n", "sk x", "sk-\u200bx", "sk-\x7f"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(dialect, streaming, key):
    adapter = dialect.make("http://127.0.0.1:9").bound(key=key)
    with pytest.raises(errors.CredentialError) as caught:
        run(adapter, lambda adapter: ask(adapter, streaming=streaming))
    assert "sk" not in str(caught.value).replace("ask", "")


@each
def test_bound_copies_share_connections_and_use_their_own_key_and_model(dialect):
    with Server([json_reply(dialect.whole("x"))]) as server:

        async def work(adapter):
            for key, model in (("sk-a", "m-a"), ("sk-b", "m-b")):
                await ask(adapter.bound(key=key, model=model), streaming=False)

        run(dialect.make(server), work)
        assert server.connections == 1
    sent = [(request.headers["authorization"], request.json["model"]) for request in server.requests]
    assert sent == [("Bearer sk-a", "m-a"), ("Bearer sk-b", "m-b")]


@each
def test_without_a_key_none_is_sent(dialect):
    with Server([json_reply(dialect.whole("x"))]) as server:
        run(dialect.make(server).bound(key=""), lambda adapter: ask(adapter, streaming=False))
    assert not {"authorization", "x-api-key"} & set(server.requests[0].headers)


@each
def test_an_adapter_works_on_one_event_loop_after_another(dialect):
    with Server([json_reply(dialect.whole("x"))]) as server:
        adapter = dialect.make(server)
        for _ in range(3):
            assert run(adapter, lambda adapter: ask(adapter, streaming=True)) == "x"


@each
def test_the_configured_headers_are_sent(dialect):
    with Server([json_reply(dialect.whole("x"))]) as server:
        adapter = dialect.make(server, headers={"X-Team": "red"})
        run(adapter, lambda adapter: ask(adapter, streaming=False))
    assert server.requests[0].headers["x-team"] == "red"


@each
def test_extra_fields_replace_ours_and_none_removes_one(dialect):
    with Server([json_reply(dialect.whole("x"))]) as server:
        options = GenerationOptions(temperature=0.5, extra={"model": "other", "stream": None, "new": {"a": 1}})
        run(dialect.make(server), lambda adapter: ask(adapter, streaming=False, options=options))
    body = server.requests[0].json
    assert (body["model"], body["new"]) == ("other", {"a": 1})
    assert "stream" not in body


@each
def test_lone_surrogates_in_a_prompt_are_sent_as_replacement_characters(dialect):
    with Server([json_reply(dialect.whole("x"))]) as server:
        run(dialect.make(server), lambda adapter: adapter.generate_completion("a\ud800b", NONE))
    assert "a\ufffdb" in json.dumps(server.requests[0].json, ensure_ascii=False)


@each
def test_ready_connects_by_asking_for_the_models(dialect):
    with Server([streamed(*dialect.stream("x"))], models=["m-1"]) as server:

        async def work(adapter):
            await adapter.ready()
            return await ask(adapter, streaming=True)

        run(dialect.make(server), work)
        assert len(server.gets) == 1
        assert server.connections == 1


@each
def test_ready_does_not_mind_a_server_that_is_down(dialect):
    with Server([[CUT]]) as server:
        url = server.url
    run(dialect.make(url), lambda adapter: adapter.ready())


@each
def test_a_call_without_a_model_is_refused(dialect):
    with pytest.raises(errors.ConfigError):
        run(dialect.make("http://127.0.0.1:9").bound(model=""), lambda adapter: ask(adapter, streaming=True))


@each
def test_an_option_that_the_adapter_does_not_know_is_refused_with_near_matches(dialect):
    with pytest.raises(errors.UnknownSetting, match="capabilities"):
        dialect.make("http://127.0.0.1:9", options={"capabilites": {}})


@each
def test_a_model_that_is_not_there_is_named_with_near_matches(dialect):
    def reply(request):
        if request.method == "GET":
            models = [{"id": "m-10", "name": "m-10"}, {"id": "zebra", "name": "zebra"}]
            return json_reply({"data": models, "models": models})
        return json_reply({"error": {"message": "no such model", "code": "model_not_found"}}, 404)

    with Server(reply) as server, pytest.raises(errors.ModelNotFound, match="did you mean 'm-10'") as caught:
        run(dialect.make(server), lambda adapter: ask(adapter, streaming=True))
    assert "zebra" not in str(caught.value)


@sdks
def test_sdk_requests_leave_the_body_unread_by_the_pinned_header(dialect):
    """`X-Stainless-Raw-Response: stream` is not documented: this fails when an SDK stops to heed it."""
    pieces = [step for piece in dialect.stream("Hel", "lo") for step in (piece, 0.1)]
    with Server([streamed(*pieces)]) as server:

        async def first(adapter):
            started = time.monotonic()
            stream = adapter.generate_stream("hi", NONE)
            async for _ in stream:
                break
            await stream.aclose()
            return time.monotonic() - started

        assert run(dialect.make(server), first) < 0.1 * (len(pieces) / 2 - 1)
        assert server.requests[0].headers["x-stainless-raw-response"] == "stream"


@sdks
def test_the_sdks_public_way_to_a_raw_stream_gives_the_same_bytes(dialect):
    """`with_streaming_response` is what we fall back to, should `client.post` change."""
    with Server([streamed(*dialect.stream("Hel", "lo"))]) as server:

        async def work(adapter):
            client = adapter._lines.get().client
            said = [{"role": "user", "content": "hi"}]
            api = client.messages if dialect is MESSAGES else client.chat.completions
            options = {"max_tokens": 5} if dialect is MESSAGES else {}
            async with api.with_streaming_response.create(model="m", messages=said, stream=True, **options) as answer:
                return b"".join([part async for part in answer.iter_bytes()])

        assert run(dialect.make(server), work) == b"".join(dialect.stream("Hel", "lo"))
