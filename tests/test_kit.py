"""The kit: asking, streaming, what lands in the log, and how it behaves in scripts, threads, loops and notebooks."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from decimal import Decimal

import pytest

import aikit
from aikit import errors
from aikit.events import Finished, TextDelta
from aikit.providers.scripted import Scripted


@pytest.fixture
def kit(tmp_path):
    with aikit.open(home=tmp_path / "home") as kit:
        yield kit


def test_an_answer_has_its_text_and_its_figures(kit):
    answer = kit.ask("What is it?", model=Scripted(reply="It is a test."))
    assert answer.text == "It is a test."
    assert answer.finish_reason == "stop"
    assert answer.cost == Decimal(0)
    assert answer.attempts == 1
    assert answer.usage.output_tokens > 0
    assert answer.summary in repr(answer)
    assert str(answer) == answer.text


def test_every_call_and_attempt_lands_in_the_log(kit):
    for number in range(3):
        kit.ask(f"question {number}", model=Scripted(reply="fine"), tags=["demo"], system="be brief")
    calls = kit.calls(texts=True)
    assert calls["status"].tolist() == ["ok"] * 3
    assert [list(tags) for tags in calls["tags"]] == [["demo"]] * 3
    assert calls["text"].tolist() == ["fine"] * 3
    assert "question 1" in calls["prompt"].iloc[1] and "be brief" in calls["prompt"].iloc[1]
    assert set(kit.attempts()["call_id"]) == set(calls["call_id"])
    assert kit.sql("SELECT count(*) AS n FROM calls")["n"].iloc[0] == 3


def test_a_stream_gives_text_then_the_whole_answer(kit):
    stream = kit.stream("go on", model=Scripted(reply=["one two three four"]))
    with pytest.raises(RuntimeError, match="has not ended"):
        _ = stream.completion
    pieces = list(stream)
    assert "".join(pieces) == "one two three four" == stream.completion.text
    assert len(pieces) > 1
    assert kit.calls()["status"].tolist() == ["ok"]


def test_the_events_of_a_stream_end_with_exactly_one_finished(kit):
    events = list(kit.stream("go", model=Scripted(reply="a b c")).events())
    assert [type(event) for event in events[:-1]] == [TextDelta] * (len(events) - 1)
    assert isinstance(events[-1], Finished)
    assert events[-1].usage.output_tokens > 0


def test_a_closed_stream_is_logged_as_cancelled_with_estimated_usage(kit):
    model = Scripted(reply="word " * 500, chunk_delay=0.002)
    with kit.stream("go", model=model) as stream:
        for number, _ in enumerate(stream):
            if number == 5:
                break
    attempts = kit.attempts()
    assert attempts["status"].tolist() == ["cancelled"]
    assert attempts["usage_source"].tolist() == ["estimated"]
    assert attempts["output_tokens"].iloc[0] > 0
    assert kit.calls()["status"].tolist() == ["cancelled"]


def test_variables_fill_in_a_saved_prompt_and_its_version_is_logged(kit):
    version = kit.prompts.save("greet", "Say hello to {{ name }}.")
    answer = kit.ask(
        version, model=Scripted(reply=lambda messages, options: messages[-1].content), variables={"name": "Ada"}
    )
    assert answer.text == "Say hello to Ada."
    assert kit.calls()["prompt_version_id"].tolist() == [version.id]


def test_variables_fill_in_a_prompt_that_was_never_saved(kit):
    echo = Scripted(reply=lambda messages, options: messages[-1].content)
    assert kit.ask("Say {{ word }}", model=echo, variables={"word": "{{ x }}"}).text == "Say {{ x }}"


def test_an_unknown_provider_is_answered_with_the_near_ones(kit):
    with pytest.raises(errors.UnknownProvider, match=r"no provider .opnai.*openai"):
        kit.ask("hi", model="opnai:gpt-5")
    with pytest.raises(errors.UnknownProvider, match="provider:model"):
        kit.ask("hi", model="gpt-5")


def test_an_unknown_option_is_refused_with_the_near_ones(kit):
    with pytest.raises(errors.UnknownSetting, match="max_tokens"):
        kit.ask("hi", model=Scripted(), max_token=5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"priority": "urgent"}, "priority"),
        ({"timeout": -1}, "timeout"),
        ({"on_interrupt": "ignore"}, "on_interrupt"),
        ({"tags": [""]}, "tag"),
    ],
)
def test_an_impossible_argument_is_refused_by_name(kit, arguments, said):
    with pytest.raises(errors.UnknownSetting, match=said):
        kit.ask("hi", model=Scripted(), **arguments)
    assert len(kit.calls()) == 0


def test_a_prompt_that_is_none_is_refused_before_anything_is_sent(kit):
    with pytest.raises(errors.PromptError, match="no messages"):
        kit.ask([], model=Scripted())
    with pytest.raises(errors.PromptError, match="role"):
        kit.ask([{"role": "robot", "content": "hi"}], model=Scripted())


def test_it_works_inside_a_running_loop(kit):
    async def cell():
        return kit.ask("hi", model=Scripted(reply="fine")).text

    assert asyncio.run(cell()) == "fine"


def test_it_works_from_many_threads_at_once(kit):
    model = Scripted(reply="fine")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(kit.ask("hi", model=model).text)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["fine"] * 8
    assert len(kit.calls()) == 8


def test_the_asynchronous_kit_asks_and_streams(tmp_path):
    async def work():
        async with aikit.AsyncKit(home=tmp_path / "home") as kit:
            answer = await kit.ask("hi", model=Scripted(reply="fine"))
            pieces = [text async for text in kit.stream("hi", model=Scripted(reply="a b c"))]
            return answer.text, "".join(pieces), len(await kit.calls())

    assert asyncio.run(work()) == ("fine", "a b c", 2)


def test_a_timeout_ends_the_call_and_says_so(kit):
    slow = Scripted(reply="late", first_token_delay=5)
    started = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded) as caught:
        kit.ask("hi", model=slow, timeout=0.1)
    assert caught.value.which == "total"
    assert time.monotonic() - started < 3
    assert kit.calls()["status"].isin(["error", "unknown"]).all()


def test_a_hard_budget_refuses_before_anything_is_sent(tmp_path):
    prices = {"providers": {"scripted": {"options": {"reply": "fine"}, "prices": {"m": {"input": 10, "output": 10}}}}}
    with aikit.open(home=tmp_path / "home", config=prices) as kit:
        kit.budgets.set(daily=0.001)
        with pytest.raises(errors.BudgetExceeded, match="not sent"):
            kit.ask("hi " * 50, model="scripted:m", max_tokens=1000)
        assert kit.calls()["status"].tolist() == ["refused"]
        assert len(kit.attempts()) == 0
        assert kit.ask("hi", model="scripted:m", max_tokens=5).cost > 0
        assert kit.spent("day") > 0


def test_an_interrupt_stops_at_once_and_keeps_what_is_finished(tmp_path):
    script = """
import sys, aikit
from aikit.providers.scripted import Scripted
kit = aikit.open(home=sys.argv[1])
kit.ask("first", model=Scripted(reply="done"))
try:
    print("ready", flush=True)
    kit.ask("second", model=Scripted(reply="late", first_token_delay=60))
except KeyboardInterrupt:
    print(kit.calls()["status"].tolist(), flush=True)
kit.close()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "home")], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout.readline().strip() == "ready"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=90)
    assert out.strip() == "['ok', 'cancelled']"
    assert process.returncode == 0


def test_a_kit_shows_where_it_logs_and_what_to_change(kit):
    shown = repr(kit)
    assert "local:smollm2" in shown and "kit.budgets.set" in shown and "home" in shown


def test_closing_twice_is_harmless(tmp_path):
    kit = aikit.open(home=tmp_path / "home")
    kit.close()
    kit.close()
