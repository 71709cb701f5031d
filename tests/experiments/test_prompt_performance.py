import re

import pandas as pd
import pytest

from aikit.errors import DataError
from aikit.experiments.performance import performance, prompt_recommendations, split_comparison
from aikit.experiments.stored import stored_run
from tests.experiments.setting import asked, draw, plan_of


@pytest.fixture(scope="module")
def measured(make_kit):
    kit = make_kit()
    first = kit.prompts.save("mood", "Sentiment of: {{ text }}")
    second = kit.prompts.save("mood", [("system", "One word."), ("user", "{{ text }}")])
    variants = {"old": first, "new": second}
    kit.runs = [
        plan_of(kit, "first", count=40, variants=variants).start().result(),
        plan_of(kit, "second", count=30, variants=variants, options={"max_tokens": 900}).start().result(),
    ]
    kit.bench = plan_of(kit, "bench", variants=variants)._bench
    return kit


def test_a_prompt_s_versions_are_compared_over_all_runs(measured):
    table = performance(measured.bench, "mood").set_index("version")
    both = pd.concat([run.trials for run in measured.runs])
    for version, variant in ((1, "old"), (2, "new")):
        mine = both[both["variant"] == variant]
        assert table.loc[version, "trials"] == len(mine) == 70 and table.loc[version, "runs"] == 2
        assert table.loc[version, "samples"] == 40
        assert table.loc[version, "quality"] == pytest.approx(mine["label"].mean())
        assert table.loc[version, "low"] < table.loc[version, "quality"] < table.loc[version, "high"]
    trend = performance(measured.bench, "mood", by="run")
    assert len(trend) == 4 and trend["period"].tolist()[0] == measured.runs[0].id
    with pytest.raises(DataError, match="no prompt 'moood'"):
        performance(measured.bench, "moood")


def test_a_prompt_s_recommendations_come_from_its_runs(measured):
    found = prompt_recommendations(measured.bench, "mood")
    assert {"max-tokens"} <= {one.rule for one in found}


def test_a_stored_run_reads_as_it_was(measured):
    run = measured.runs[0]
    sent = len(asked(measured))
    again = stored_run(measured.bench, run.id)
    assert again.plan.hash == run.plan.hash and again.status == "done"
    assert again.trials.equals(run.trials) and again.verdict == run.verdict
    assert len(asked(measured)) == sent
    with pytest.raises(DataError, match="no run 'nope'; the latest"):
        stored_run(measured.bench, "nope")


def outcomes(kit, units, shift=0.0):
    frame = pd.DataFrame({"unit": [f"user-{n}" for n in range(units)]})
    dealt = [kit.prompts.split("mood", {1: 0.5, 2: 0.5}, unit=unit).number for unit in frame["unit"]]
    return frame.assign(
        good=[draw(unit) < 0.4 + shift * (number == 2) for unit, number in zip(frame["unit"], dealt, strict=True)]
    )


def test_a_live_split_is_analysed_unpaired(measured):
    found = split_comparison(measured.bench, "mood", outcomes(measured, 300, shift=0.3), metric="good")
    assert (found.control, found.variant) == ("v1", "v2") and found.low > 0
    assert not any("invalid" in warning for warning in found.warnings)


def test_a_split_that_was_not_dealt_as_its_weights_say_is_called_invalid(measured):
    from aikit.log import prompts_store
    from aikit.prompts import Split

    frame = outcomes(measured, 300)
    split = Split.of("mood", {1: 0.5, 2: 0.5})
    about = {"id": split.id, "name": "mood", "weights": split.to_json(), "salt": ""}

    def lose(connection):
        for n in range(200):
            prompts_store.add_assignment(connection, split=about, unit=f"stray-{n}", number=1, now=0.0)

    measured.bench.journal._spool.submit(lose).result()
    found = split_comparison(measured.bench, "mood", frame, metric="good")
    assert "not dealt as the weights say" in found.warnings[0]
    with pytest.raises(DataError, match="no live split"):
        measured.prompts.save("other", "x")
        split_comparison(measured.bench, "other", frame, metric="good")


HOSTILE = "<script>alert(1)</script>{{ 7*7 }}\u202e\0"


def test_hostile_prompts_values_and_answers_go_through_a_run_and_its_report_harmlessly(make_kit, tmp_path):
    kit = make_kit(reply=lambda messages, options: "</td><img src=x onerror=alert(1)> positive \ud800")
    samples = [{"text": f"{HOSTILE} {n} \ud800", "label": "positive" if n % 2 else "negative"} for n in range(20)]
    variants = {"a<b>": "{% raw %}" + HOSTILE + "{% endraw %} {{ text }}", "../../b": "{{ text }}"}
    run = plan_of(kit, "<svg onload=x>", variants=variants, samples=samples).start().result()
    assert run.status == "done" and set(run.trials["status"]) == {"ok"}
    sent = [messages[-1].content for messages, _ in kit._kit._parts.targets.find("scripted:one")[0].requests]
    assert any(text.startswith(HOSTILE + " " + HOSTILE) for text in sent), "a value's braces stay braces"
    for ending in ("html", "md"):
        page = run.report(tmp_path / f"report.{ending}").read_text("utf-8")
        # Markdown's own way to say that a < is a < is the backslash.
        assert not re.search(r"(?<!\\)<(script>alert|img src=x|svg onload)", page)
