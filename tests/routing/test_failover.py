"""Routes: the first target that answers, the spread over several, and what is never sent twice."""

import random

import pytest

import aikit
from aikit import errors
from aikit.events import Restarted
from aikit.providers.scripted import Scripted
from aikit.routing.balance import Rotation, by_weight
from tests.servers import CUT, Server, chat_chunk, chat_whole, json_reply, messages_whole, streamed


@pytest.fixture
def kit(tmp_path):
    with aikit.open(home=tmp_path / "home") as kit:
        yield kit


def down(name="down"):
    return Scripted(reply=errors.Overloaded("down for maintenance", status=503), name=name)


def test_failover_takes_the_next_target_when_one_is_down(kit):
    answer = kit.ask("hi", model=aikit.failover(down(), Scripted(reply="fine", name="up")))
    assert answer.text == "fine"
    assert answer.provider == "up"
    assert kit.attempts()["provider"].tolist()[-1] == "up"
    assert answer.attempts == len(kit.attempts())


def test_failover_works_across_dialects_and_when_the_first_event_is_an_error(tmp_path):
    broken = streamed(b'data: {"error": {"message": "overloaded", "code": "server_error"}}\n\n')
    with Server([broken]) as openai, Server([json_reply(messages_whole())]) as anthropic:
        settings = {
            "providers": {
                "openai": {"api_key": "sk-test", "base_url": f"{openai.url}/v1"},
                "anthropic": {"api_key": "sk-ant", "base_url": anthropic.url},
            }
        }
        with aikit.open(home=tmp_path / "home", config=settings) as kit:
            answer = kit.ask(
                "hi", model=aikit.failover("openai:gpt-5-mini", "anthropic:claude-haiku-4-5"), max_tokens=50
            )
            assert answer.provider == "anthropic"
            assert answer.text


def test_a_request_that_is_at_fault_is_not_sent_to_the_next_target(kit):
    second = Scripted(reply="fine", name="second")
    with pytest.raises(errors.BadRequest):
        kit.ask("hi", model=aikit.failover(Scripted(reply=errors.BadRequest("no", status=400)), second))
    assert kit.attempts()["provider"].tolist().count("second") == 0


def test_a_context_that_is_too_long_moves_on_to_a_larger_window(kit):
    first = Scripted(reply=errors.ContextTooLong("too long", status=400), name="small")
    assert kit.ask("hi", model=aikit.failover(first, Scripted(reply="fine", name="large"))).provider == "large"


def test_when_all_targets_fail_the_last_error_tells_of_the_others(kit):
    with pytest.raises(errors.QuotaExhausted) as caught:
        kit.ask("hi", model=aikit.failover(down(), Scripted(reply=errors.QuotaExhausted("no credit", status=402))))
    assert any("down for maintenance" in note for note in caught.value.__notes__)


def test_after_text_was_delivered_failover_raises_unless_a_restart_is_allowed(tmp_path):
    cut = streamed(chat_chunk({"content": "one "}), CUT, end=False)
    with Server([cut]) as server:
        settings = {"providers": {"openai": {"api_key": "sk-test", "base_url": f"{server.url}/v1"}}}
        with aikit.open(home=tmp_path / "home", config=settings) as kit:
            route = aikit.failover("openai:gpt-5-mini", Scripted(reply="other answer", name="other"))
            with pytest.raises(errors.StreamInterrupted) as caught:
                list(kit.stream("hi", model=route))
            assert caught.value.partial == "one "
            stream = kit.stream("hi", model=route, on_interrupt="restart")
            events = list(stream.events())
            assert sum(isinstance(event, Restarted) for event in events) >= 1
            assert stream.completion.text == "other answer"
            assert stream.completion.stitched


def test_balance_takes_turns(kit):
    route = aikit.balance(Scripted(name="a"), Scripted(name="b"), by="round_robin")
    assert [kit.ask("hi", model=route).provider for _ in range(4)] == ["a", "b", "a", "b"]


def test_balance_by_cost_takes_the_cheaper(tmp_path):
    with Server([json_reply(chat_whole())]) as server:
        provider = {
            "api_key": "sk-test",
            "base_url": f"{server.url}/v1",
            "prices": {"cheap": {"input": 1, "output": 1}, "dear": {"input": 9, "output": 9}},
        }
        with aikit.open(home=tmp_path / "home", config={"providers": {"openai": provider}}) as kit:
            answer = kit.ask("hi", model=aikit.balance("openai:dear", "openai:cheap", by="cost"))
            assert answer.model == "cheap"


def test_weights_set_the_shares():
    class Target:
        def __init__(self, target):
            self.target = target

    targets = [Target("a:x"), Target("b:y")]
    draws = [
        by_weight(targets, {"a:x": 0.8, "b:y": 0.2}, uniform=random.Random(seed))[0].target for seed in range(2000)
    ]
    assert 0.75 < draws.count("a:x") / 2000 < 0.85


def test_a_rotation_of_three_gives_each_its_turn():
    rotation = Rotation()
    assert [rotation.order(["a", "b", "c"])[0] for _ in range(6)] == ["a", "b", "c", "a", "b", "c"]


def test_by_latency_the_quick_one_gets_more(kit):
    slow = Scripted(name="slow", first_token_delay=0.05)
    quick = Scripted(name="quick")
    kit.ask("hi", model=Scripted(name="warm"))  # the first call of a process also pays for its imports
    answered = [kit.ask("hi", model=aikit.balance(slow, quick)).provider for _ in range(40)]
    assert answered.count("quick") > answered.count("slow")


@pytest.mark.parametrize(
    "make",
    [
        lambda: aikit.failover(),
        lambda: aikit.balance("a:b", by="luck"),
        lambda: aikit.balance("a:b", weights={"c:d": 1}),
    ],
)
def test_a_route_that_makes_no_sense_is_refused(make):
    with pytest.raises(errors.UnknownSetting):
        make()


def test_a_route_shows_what_it_is():
    assert repr(aikit.failover("a:b", "c:d")) == "failover('a:b', 'c:d')"
    assert "round_robin" in repr(aikit.balance("a:b", by="round_robin"))
