"""Experiments through the kit: what the library knows of a prompt, a stored run, and real runs on the local model."""

import zlib

import pandas as pd
import pytest

import aikit
from aikit import datasets
from aikit.providers.scripted import Scripted


@pytest.fixture
def kit(tmp_path):
    with aikit.open(home=tmp_path / "home") as kit:
        yield kit


def answers(messages, options):
    text = messages[-1].content
    return "right" if "second" in text or int(text.split("#")[1]) % 2 else "wrong"


def finished(kit):
    plan = kit.experiment(
        "library",
        variants={"first": kit.prompts.save("p", "first #{{ n }}"), "second": kit.prompts.save("p", "second #{{ n }}")},
        samples=[{"n": str(number), "label": "right"} for number in range(24)],
        target="label",
        scorers=[aikit.scorers.exact()],
        primary="exact",
        model=Scripted(reply=answers),
    )
    run = plan.start()
    run.result()
    return run


def test_the_library_tells_how_each_version_of_a_prompt_did(kit):
    finished(kit)
    table = kit.prompts.performance("p").set_index("version")
    assert table.loc[1, "quality"] == pytest.approx(0.5)
    assert table.loc[2, "quality"] == pytest.approx(1.0)
    assert table.loc[1, "low"] < 0.5 < table.loc[1, "high"]
    assert isinstance(kit.prompts.recommend("p"), tuple)


def test_a_stored_run_is_read_again_by_its_id(kit):
    run = finished(kit)
    again = kit.run(run.id)
    assert again.verdict.sentence == run.verdict.sentence
    pd.testing.assert_frame_equal(again.summary(), run.summary())


def test_a_live_split_is_compared_unpaired_on_outcomes(kit):
    kit.prompts.save("greet", "Hello {{ name }}")
    kit.prompts.save("greet", "Good day {{ name }}")
    units = [f"user-{number}" for number in range(400)]
    dealt = {unit: kit.prompts.split("greet", {1: 0.5, 2: 0.5}, unit=unit).number for unit in units}
    assert dealt == {unit: kit.prompts.split("greet", {1: 0.5, 2: 0.5}, unit=unit).number for unit in units}
    outcomes = pd.DataFrame(
        {"unit": units, "bought": [dealt[unit] == 2 or zlib.crc32(unit.encode()) % 5 == 0 for unit in units]}
    )
    comparison = kit.prompts.compare_split("greet", outcomes, metric="bought")
    assert comparison.estimate > 0.5
    assert comparison.verdict.decision == "ship"


@pytest.mark.local_model
def test_a_shorter_prompt_is_shown_to_be_no_worse_on_the_local_model(kit, local_model):
    """A real equivalence: the same question asked in more and in fewer words, each answer one token long."""
    long = "Here is a review that somebody wrote. Please read it with care.\n\nReview: {{ text }}\n\nSay yes:"
    plan = kit.experiment(
        "shorter",
        variants={"long": kit.prompts.save("long", long), "short": kit.prompts.save("short", "{{ text }}\nSay yes:")},
        samples=pd.read_csv(datasets.path("sentiment.csv")).head(24),
        scorers=[aikit.scorers.max_words(3)],
        primary="max_words",
        margin=aikit.stats.margin(absolute=0.2),
        guardrails={"input_tokens": aikit.stats.margin(relative=0.05)},
        model="local:smollm2",
        options={"max_tokens": 2, "temperature": 0, "seed": 1},
    )
    run = plan.start()
    run.result()
    assert len(run.trials) == 48 and (run.trials["status"] == "ok").all()
    assert run.verdict.decision == "equivalent", run.verdict.sentence
    tokens = run.summary().set_index("metric").loc["input_tokens"]
    assert tokens["high"] < 0  # fewer tokens, the whole interval
