"""What is refused before it is sent: what a model is known to lack; and names that are nearly right."""

import pytest

import aikit
from aikit import errors
from aikit.messages import Image, Message, ProviderCapabilities, Text
from aikit.providers.scripted import Scripted
from tests.servers import Server, chat_whole, json_reply, messages_whole

PICTURE = [Message("user", (Text("what is it?"), Image(data=b"\x89PNG")))]
TOOLS = [{"name": "look", "parameters": {"type": "object"}}]
SCHEMA = {"type": "object"}
BEGUN = [Message("user", "count"), Message("assistant", "one, ")]


def opened(tmp_path, server, **more):
    openai = {"api_key": "sk-test", "base_url": f"{server.url}/v1", **more}
    anthropic = {"api_key": "sk-test", "base_url": server.url}
    return aikit.open(home=tmp_path / "home", config={"providers": {"openai": openai, "anthropic": anthropic}})


@pytest.mark.parametrize(
    ("model", "prompt", "options", "word"),
    [
        ("openai:gpt-3.5-turbo", PICTURE, {}, "images"),
        ("openai:o1-mini", "hi", {"tools": TOOLS}, "tools"),
        ("openai:gpt-4", "hi", {"json_schema": SCHEMA}, "structured"),
        ("openai:gpt-4o", "hi", {"reasoning_effort": "high"}, "reason"),
        ("openai:gpt-4o", BEGUN, {}, "prefill"),
        ("anthropic:claude-opus-4-6", BEGUN, {}, "prefill"),
        ("openai:gpt-5-mini", "hi", {"temperature": 0.5}, "temperature"),
        ("openai:o1-mini", [Message("system", "be brief"), Message("user", "hi")], {}, "system"),
        ("openai:gpt-4o", "hi", {"max_tokens": 20_000}, "16384"),
        ("anthropic:claude-3-haiku-20240307", "hi", {"max_tokens": 5_000}, "4096"),
    ],
)
def test_what_a_model_is_known_to_lack_is_refused_before_it_is_sent(tmp_path, model, prompt, options, word):
    with Server([json_reply(chat_whole())]) as server, opened(tmp_path, server) as kit:
        with pytest.raises(errors.UnsupportedFeature, match=word) as caught:
            kit.ask(prompt, model=model, **options)
        assert "not sent" in str(caught.value)
        assert server.requests == []
        assert kit.calls()["status"].tolist() == ["refused"]
        assert len(kit.attempts()) == 0


@pytest.mark.parametrize(
    ("model", "prompt", "options"),
    [
        ("openai:unheard-of", PICTURE, {"tools": TOOLS, "json_schema": SCHEMA, "max_tokens": 10**6}),
        ("openai:gpt-4o", "hi", {"reasoning_effort": "none"}),
        ("anthropic:claude-haiku-4-5", BEGUN, {"max_tokens": 9, "seed": 1}),
    ],
)
def test_what_is_not_known_is_tried(tmp_path, model, prompt, options):
    whole = messages_whole("{}") if model.startswith("anthropic") else chat_whole("{}")
    with Server([json_reply(whole)]) as server, opened(tmp_path, server) as kit:
        assert kit.ask(prompt, model=model, **options).text == "{}"
        assert len(server.requests) == 1


def test_the_users_own_word_on_what_a_model_can_do_counts(tmp_path):
    can = {"capabilities": {"gpt-4": {"json_schema": True}}}
    with Server([json_reply(chat_whole("{}"))]) as server, opened(tmp_path, server, options=can) as kit:
        assert kit.ask("hi", model="openai:gpt-4", json_schema=SCHEMA).data == {}


def test_a_prompt_that_is_exactly_counted_and_too_long_is_not_sent(tmp_path):
    pytest.importorskip("bpe_openai")
    with Server([json_reply(chat_whole())]) as server, opened(tmp_path, server) as kit:
        with pytest.raises(errors.ContextTooLong, match="8192"):
            kit.ask("word " * 9_000, model="openai:gpt-4")
        with pytest.raises(errors.ContextTooLong, match="max_tokens=2000"):
            kit.ask("word " * 7_000, model="openai:gpt-4", max_tokens=2_000)
        assert server.requests == []
        assert kit.ask("word " * 7_000, model="openai:gpt-4").text
        route = aikit.failover("openai:gpt-4", "openai:gpt-4o")
        assert kit.ask("word " * 9_000, model=route).model == "gpt-4o"


def test_a_route_passes_by_a_target_that_can_not_do_it(tmp_path):
    blind = Scripted(name="blind", reply="?", capabilities=ProviderCapabilities(images=False))
    seeing = Scripted(name="seeing", reply="a cat", capabilities=ProviderCapabilities(images=True))
    with aikit.open(home=tmp_path / "home") as kit:
        assert kit.ask(PICTURE, model=aikit.failover(blind, seeing)).provider == "seeing"


def test_a_model_that_is_not_found_is_answered_with_the_near_ones(tmp_path):
    missing = json_reply({"error": {"message": "no such model", "code": "model_not_found"}}, 404)
    for model, near, listed in (("gpt-4o-mnii", "gpt-4o-mini", ()), ("my-modle", "my-model", ("my-model",))):
        with Server([missing], models=listed) as server, opened(tmp_path / model, server) as kit:
            with pytest.raises(errors.ModelNotFound, match=f"did you mean '{near}'"):
                kit.ask("hi", model=f"openai:{model}")
            assert kit.calls()["error_type"].tolist() == ["ModelNotFound"]
