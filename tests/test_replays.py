"""Replays through a whole kit: the same question gets the logged answer, offline and at no cost."""

import socket

import pytest

import aikit
from aikit import errors
from aikit.messages import Message, ToolCall
from aikit.providers.scripted import Scripted
from tests.servers import Server, chat_whole, json_reply


def opened(home, server=None, **more):
    providers = {"openai": {"api_key": "sk-test-replay-key", "base_url": f"{server.url}/v1"}} if server else {}
    return aikit.open(home=home, config={"providers": providers, **more})


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("a replay connects to nobody")

    def go():
        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket.socket, "connect_ex", refuse)

    return go


def test_a_notebook_runs_again_elsewhere_with_the_same_numbers_and_no_key(tmp_path, offline):
    tool = {"function": {"name": "look", "arguments": '{"up": true}'}, "id": "c1", "type": "function"}
    called = chat_whole("", "tool_calls", tool_calls=[tool])
    tools = [{"name": "look", "parameters": {"type": "object"}}]
    with Server([json_reply(chat_whole("blue")), json_reply(called)]) as server, opened(tmp_path / "a", server) as kit:
        first = kit.ask("sky?", model="openai:gpt-4o", temperature=0, max_tokens=9)
        second = kit.ask([Message("user", "look")], model="openai:gpt-4o", tools=tools)
    offline()
    with opened(tmp_path / "b") as kit:
        replay = kit.replay(tmp_path / "a")
        again = kit.ask("sky?", model=replay, temperature=0, max_tokens=9)
        assert (again.text, again.usage, again.response_model) == ("blue", first.usage, first.response_model)
        assert (again.cost, again.usage_source, again.provider) == (0, "replayed", "replay")
        stream = kit.stream("sky?", model=replay, temperature=0, max_tokens=9)
        assert ("".join(stream), stream.completion.usage_source) == ("blue", "replayed")
        looked = kit.ask([Message("user", "look")], model=replay, tools=tools)
        assert looked.tool_calls == second.tool_calls == (ToolCall("c1", "look", {"up": True}),)
        assert looked.finish_reason == "tool_call"
        assert kit.spent("all") == 0
        assert kit.calls()["usage_source"].tolist() == ["replayed"] * 3
        for other in ({"temperature": 0.5, "max_tokens": 9}, {"temperature": 0}, {}):
            with pytest.raises(errors.ReplayMissing, match="sky"):
                kit.ask("sky?", model=replay, **other)


def test_several_answers_to_the_same_are_dealt_in_order_and_then_from_the_first(tmp_path):
    answers = iter(["one", "two", "three"])
    with opened(tmp_path / "home") as kit:
        provider = Scripted(reply=lambda *_: next(answers))
        said = [kit.ask("count", model=provider).text for _ in range(3)]
        replay = kit.replay()
        assert [kit.ask("count", model=replay).text for _ in range(4)] == [*said, "one"]
        assert kit.ask("count", model=kit.replay()).text == "one"  # and what was replayed is no answer of its own


def test_a_replay_answers_for_any_model_unless_one_is_named(tmp_path):
    with opened(tmp_path / "home") as kit:
        kit.ask("hi", model=Scripted(reply="from a", name="a", model="x"))
        kit.ask("hi", model=Scripted(reply="from b", name="b", model="x"))
        assert kit.ask("hi", model=kit.replay()).text == "from a"
        assert kit.ask("hi", model=kit.replay(model="b:x")).text == "from b"
        with pytest.raises(errors.ReplayMissing):
            kit.ask("hi", model=kit.replay(model="c:x"))


def test_what_is_answered_later_can_be_replayed_too(tmp_path):
    with opened(tmp_path / "home") as kit:
        replay = kit.replay()
        with pytest.raises(errors.ReplayMissing):
            kit.ask("hi", model=replay)
        kit.ask("hi", model=Scripted(reply="now"))
        assert kit.ask("hi", model=replay).text == "now"
        assert kit.ask("new", model=aikit.failover(replay, Scripted(reply="asked"))).text == "asked"


def test_a_replay_under_a_hard_budget_asks_the_same_question(tmp_path):
    with opened(tmp_path / "home") as kit:
        kit.ask("hi", model=Scripted(reply="hello"))
        kit.budgets.set(daily=1)
        assert kit.ask("hi", model=kit.replay()).text == "hello"


def test_a_log_without_texts_says_so_and_a_folder_without_a_log_stays_empty(tmp_path):
    with opened(tmp_path / "home", log={"store_text": "hash"}) as kit:
        kit.ask("hi", model=Scripted(reply="hello"))
        with pytest.raises(errors.ReplayMissing, match="store_text"):
            kit.ask("hi", model=kit.replay())
        with pytest.raises(errors.ReplayMissing, match="no log in"):
            kit.replay(tmp_path / "nothing")
        assert not (tmp_path / "nothing").exists()
