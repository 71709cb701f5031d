import asyncio
import threading
import time

import pytest

import aikit
from aikit.errors import (
    BudgetExceeded,
    ConfirmationRequired,
    DatasetError,
    ReplayMissing,
    UnknownProvider,
    UnknownSetting,
)
from aikit.experiments import Variant, scorers
from tests.experiments.setting import LABEL, VARIANTS, asked, classify, plan_of, rows


def test_a_run_answers_scores_and_logs_every_cell(kit):
    before = len(asked(kit))
    run = plan_of(kit, "whole").start()
    assert run.result() is run and run.status == "done"
    assert len(asked(kit)) - before == 80
    trials = run.trials
    assert list(trials.columns) == [
        *("trial_id", "sample", "epoch", "variant", "call_id", "status", "text", "label", "one_word"),
        *("cost", "duration", "input_tokens", "output_tokens", "stitched"),
    ]
    assert len(trials) == 80 and trials["trial_id"].is_unique and set(trials["status"]) == {"ok"}
    assert trials["label"].dtype == bool and trials["cost"].sum() == 0
    assert trials.groupby("sample")["variant"].nunique().eq(2).all()
    calls = kit.calls(experiment="whole")
    assert set(calls["call_id"]) == set(trials["call_id"])
    assert set(calls["run"]) == {run.id} and set(calls["variant"]) == {"zero-shot", "few-shot"}
    shares = trials.groupby("variant")["label"].mean()
    assert run.verdict.comparison.estimate == pytest.approx(shares["few-shot"] - shares["zero-shot"])


def test_the_order_is_shuffled_within_the_sample_by_the_seed_and_the_same_each_time(kit):
    one, other = plan_of(kit, "order", seed=1).plan, plan_of(kit, "order", seed=2).plan
    cells = [(trial.variant, trial.sample.id) for trial in one.trials("r")]
    assert cells == [(trial.variant, trial.sample.id) for trial in one.trials("r")]
    assert cells != [(trial.variant, trial.sample.id) for trial in other.trials("r")]
    pairs = [cells[at : at + 2] for at in range(0, len(cells), 2)]
    assert all(first[1] == second[1] for first, second in pairs), "the variants of a sample are neighbours"
    assert 8 < sum(first[0] == "zero-shot" for first, _ in pairs) < 32, "neither variant always goes first"


def test_epochs_ask_again_and_clusters_reach_the_frame(kit):
    run = plan_of(kit, "epochs", count=20, epochs=3, cluster="part").start().result()
    assert len(run.trials) == 120 and sorted(run.trials["epoch"].unique()) == [1, 2, 3]
    assert set(run.trials["cluster"]) == {"p0", "p1", "p2"}
    assert run.verdict.comparison.clusters == 3


def test_starting_again_goes_on_with_the_unfinished_run_and_repeats_no_finished_call(make_kit):
    kit = make_kit(first_token_delay=0.02)
    plan = plan_of(kit, "again", count=60)
    run = plan.start(concurrency=2)
    while run.state.done < 10:
        time.sleep(0.01)
    run.stop()
    done, sent = run.state.done, len(asked(kit))
    assert run.status == "stopped" and 10 <= done < 120
    time.sleep(0.2)
    assert len(asked(kit)) == sent, "nothing is sent after stop()"
    again = plan.start(concurrency=16)
    assert again.id == run.id
    again.result()
    assert again.status == "done" and len(again.trials) == 120
    calls = kit.calls(experiment="again")
    finished = calls[calls["status"] == "ok"]
    assert not finished.duplicated(["variant", "sample", "epoch"]).any()
    assert set(run.trials["call_id"]) <= set(again.trials["call_id"])
    assert [one["kind"] for one in again.deviations] == ["stopped"]
    assert plan.start().id != run.id, "a run that is done is not gone on with"


def test_a_run_with_an_id_of_its_own_is_found_again_and_belongs_to_its_plan(kit):
    run = plan_of(kit, "named", id="my-run").start().result()
    sent = len(asked(kit))
    again = plan_of(kit, "named", id="my-run").start()
    assert again.result().status == "done" and again.state.done == 80 and len(asked(kit)) == sent
    assert again.verdict == run.verdict
    assert again.trials.equals(run.trials)
    with pytest.raises(UnknownSetting, match="belongs to another plan"):
        plan_of(kit, "named", id="my-run", count=41).start()


def test_a_replay_costs_nothing_sends_nothing_and_says_the_same(kit):
    plan = plan_of(kit, "replayed", stopping="group")
    first = plan.start().result()
    sent = len(asked(kit))
    second = plan.start(replay=True).result()
    assert len(asked(kit)) == sent and second.id != first.id
    assert second.verdict.sentence == first.verdict.sentence
    assert "were taken from earlier runs" in " ".join(second.verdict.warnings)
    assert second.trials["cost"].sum() == 0 and second.state.replayed == len(second.trials) == len(first.trials)


def test_a_replay_without_an_answer_is_refused_or_asks_for_it_where_that_is_wanted(kit):
    own = {"options": {"seed": 7}}  # so that no other test's answers fit
    plan_of(kit, "part", count=20, **own).start().result()
    sent = len(asked(kit))
    with pytest.raises(ReplayMissing, match="20 of 60 answers are not in the log"):
        plan_of(kit, "part", count=30, **own).start(replay=True).result()
    assert len(asked(kit)) == sent
    run = plan_of(kit, "part", count=30, **own).start(replay="prefer").result()
    assert len(asked(kit)) - sent == 20 and run.state.replayed == 40 and len(run.trials) == 60


def test_replay_wants_the_same_prompt_model_and_options(kit):
    plan_of(kit, "same", count=20).start().result()
    for change in (
        {"options": {"temperature": 0.5}},
        {"model": "scripted:two"},
        {"variants": {**VARIANTS, "few-shot": "X {{ text }}"}},
    ):
        with pytest.raises(ReplayMissing):
            plan_of(kit, "same", count=20, **change).start(replay=True).result()


def test_a_scorer_that_raises_fails_its_trial_and_the_run_goes_on(kit):
    def picky(text, sample):
        if sample.inputs["text"] == "item 3 good":
            raise ValueError("I can't read <this>")
        return True

    run = plan_of(kit, "picky", count=20, scorers=[LABEL, picky]).start().result()
    failed = run.trials[run.trials["status"] == "scorer"]
    assert run.status == "done" and len(run.trials) == 40 and len(failed) == 2
    assert "the scorer 'picky' raised ValueError: I can't read <this>" in set(run.details["error"])
    assert run.state.failures == {"scorer": 2}
    assert failed["text"].ne("").all(), "the answer is kept"


def test_a_call_that_fails_is_an_outcome(make_kit):
    def reply(messages, options):
        if messages[0].role == "system" and "item 5 " in messages[-1].content:
            raise aikit.errors.ContentFiltered("no", provider="scripted", model="one")
        return classify()(messages, options)

    kit = make_kit(reply=reply)
    run = plan_of(kit, "failing", count=20).start().result()
    row = run.details[run.details["status"] == "refusal"].iloc[0]
    assert row["variant"] == "few-shot" and "ContentFiltered" in row["error"] and row["call_id"]
    data = run.data()
    assert data.failures.iloc[0][["variant", "status", "trials"]].tolist() == ["few-shot", "refusal", 1]
    assert run.verdict.comparison.samples == 20, "the failure counts as one"


def test_what_fails_every_call_halts_the_run_in_words_and_resume_goes_on(make_kit):
    broken = {"on": True}

    def reply(messages, options):
        if broken["on"]:
            raise aikit.errors.AuthenticationFailed("the key is wrong", provider="scripted", model="one", status=401)
        return "positive"

    kit = make_kit(reply=reply)
    run = plan_of(kit, "halting", count=20).start()
    with pytest.raises(aikit.errors.AuthenticationFailed):
        run.result()
    assert run.status == "halted" and "the key is wrong" in run.state.message
    assert len(run.trials) == 0
    broken["on"] = False
    assert run.resume().result().status == "done"
    assert len(run.trials) == 40


def test_an_unknown_provider_is_told_before_anything_is_sent(kit):
    with pytest.raises(UnknownProvider):
        plan_of(kit, "unknown", model="opnai:gpt-5").start(confirm=True).result()


def test_faults_of_the_plan_are_found_before_it_starts(kit):
    with pytest.raises(DatasetError, match="no column 'txt', which"):
        plan_of(kit, "x", variants={**VARIANTS, "few-shot": "{{ txt }}"})
    with pytest.raises(UnknownSetting, match=r"no scorer's name.*did you mean 'label'"):
        plan_of(kit, "x", primary="lable")
    with pytest.raises(UnknownSetting, match="two or more variants"):
        plan_of(kit, "x", variants={"one": "{{ text }}"})
    with pytest.raises(UnknownSetting, match="did you mean 'group'"):
        plan_of(kit, "x", stopping="groups")
    with pytest.raises(UnknownSetting, match="no option 'temprature'"):
        plan_of(kit, "x", options={"temprature": 1})
    with pytest.raises(UnknownSetting, match="margin"):
        plan_of(kit, "x", goal="cheaper")
    with pytest.raises(UnknownSetting, match="guardrail 'cost'"):
        plan_of(kit, "x", guardrails={"cost": 0.2})


@pytest.fixture(scope="module")
def priced(tmp_path_factory):
    prices = {"one": {"input": 1000.0, "output": 1000.0}}
    kit = aikit.open(
        home=tmp_path_factory.mktemp("priced"),
        config={"providers": {"paid": {"kind": "scripted", "prices": prices, "options": {"reply": classify()}}}},
    )
    yield kit
    kit.close()


def test_money_is_spent_only_when_somebody_agreed(priced):
    plan = plan_of(priced, "confirm", count=10, model="paid:one", options={"max_tokens": 5})
    with pytest.raises(ConfirmationRequired) as caught:
        plan.start()
    preview = caught.value.preview
    assert preview.calls == 20 and 0 < preview.low <= preview.likely <= preview.high
    assert priced.calls(experiment="confirm").empty
    seen = []
    with pytest.raises(ConfirmationRequired):
        plan.start(confirm=lambda shown: seen.append(shown) or False)
    assert seen[0].likely == preview.likely
    run = plan.start(confirm=True).result()
    assert run.status == "done"
    assert preview.low <= run.state.spent <= preview.high
    assert run.state.spent == pytest.approx(run.trials["cost"].sum())
    assert run.state.spent == pytest.approx(priced.calls(experiment="confirm")["cost"].sum())


def test_a_run_never_passes_its_own_budget(priced):
    plan = plan_of(priced, "budget", count=40, model="paid:one", options={"max_tokens": 5})
    run = plan.start(budget=0.5).result()
    assert run.status == "halted" and "budget of $0.5" in run.state.message
    assert 0 < run.state.spent <= 0.5 and 0 < len(run.trials) < 80
    assert run.verdict.decision in ("continue", "keep", "ship", "equivalent")
    on = run.resume(budget=100.0).result()
    assert on.status == "done" and len(on.trials) == 80
    with pytest.raises(BudgetExceeded):
        plan_of(priced, "budget too", count=5, model="paid:one").start(budget=1e-6).result()


def test_variants_may_differ_in_model_and_options(kit):
    saved = kit.prompts.save("mood", "Sentiment of: {{ text }}")
    variants = {"cold": Variant(saved, options={"temperature": 0.0}), "other": Variant(saved, model="scripted:two")}
    run = plan_of(kit, "settings", count=20, variants=variants).start().result()
    models = run.details.groupby("variant")["model"].first()
    assert models.to_dict() == {"cold": "scripted:one", "other": "scripted:two"}
    assert run.plan.arm("cold").settings == {"temperature": 0.0}
    assert set(kit.calls(experiment="settings")["prompt_version_id"]) == {saved.id}


def test_templates_as_variants_are_saved_under_the_experiment_s_name(kit):
    plan = plan_of(kit, "saves")
    assert plan.plan.arm("zero-shot").prompt == kit.prompts["saves: zero-shot"]


def test_progress_is_told_and_read_from_other_threads(make_kit):
    kit = make_kit(first_token_delay=0.05)
    told = []
    run = plan_of(kit, "progress", count=30).start(on_progress=told.append, concurrency=4)
    states = []
    watcher = threading.Thread(target=lambda: [states.append(run.state) or time.sleep(0.05) for _ in range(8)])
    watcher.start()
    run.result()
    watcher.join()
    assert [one.done for one in told] == sorted(one.done for one in told) and told[-1].done == 60
    assert any(0 < one.done < 60 and one.rate > 0 and one.eta is not None for one in states)
    assert max(one.in_flight for one in states) <= 4
    assert "60/60 (100%)" in str(run.state)


def test_an_executor_takes_the_scoring_functions(kit):
    from concurrent.futures import ThreadPoolExecutor

    seen = set()

    def slow(text):
        seen.add(threading.current_thread().name)
        return len(text) > 3

    with ThreadPoolExecutor(2, thread_name_prefix="mine") as pool:
        plan_of(kit, "pool", count=10, scorers=[LABEL, slow]).start(executor=pool).result()
    assert seen and all(name.startswith("mine") for name in seen)


def test_asynchronous_scorers_are_awaited(kit):
    async def check(text):
        await asyncio.sleep(0)
        return text == "positive"

    run = plan_of(kit, "async scorer", count=10, scorers=[LABEL, check]).start().result()
    assert run.trials["check"].equals(run.trials["text"] == "positive")


def test_the_asynchronous_kit_runs_stops_and_goes_on(tmp_path):
    async def go():
        config = {"providers": {"scripted": {"options": {"reply": classify(), "first_token_delay": 0.01}}}}
        async with aikit.AsyncKit(home=tmp_path, config=config) as kit:
            plan = plan_of(kit, "async", count=30, model="scripted:one")
            assert (await plan.preview()).calls == 60
            run = plan.start(concurrency=2)
            while run.state.done < 5:
                await asyncio.sleep(0.01)
            run.stop()
            await run
            assert run.status == "stopped"
            assert await run.resume() is run
            with pytest.raises(ConfirmationRequired):
                await plan_of(kit, "dear", model="openai:gpt-4o").start()
            return run

    run = asyncio.run(go())
    assert run.status == "done" and run.state.done == 60


def test_a_run_can_be_awaited_inside_a_running_loop(kit):
    async def go():
        return await plan_of(kit, "awaited", count=10).start()

    assert asyncio.run(go()).status == "done"


def test_two_runs_at_once_stay_apart(kit):
    one, other = plan_of(kit, "side a", count=20).start(), plan_of(kit, "side b", count=20).start()
    one.result(), other.result()
    assert set(one.trials["trial_id"]).isdisjoint(other.trials["trial_id"])
    assert len(one.trials) == len(other.trials) == 40


def test_a_run_under_way_is_returned_and_not_started_twice(make_kit):
    kit = make_kit(first_token_delay=0.05)
    plan = plan_of(kit, "twice", count=20)
    first = plan.start(concurrency=2)
    assert plan.start() is first
    first.result()
    assert len(kit.calls(experiment="twice")) == 40


def test_closing_the_kit_stops_the_run_and_keeps_what_is_finished(tmp_path, make_kit):
    kit = make_kit(home=tmp_path, first_token_delay=0.03)
    run = plan_of(kit, "closing", count=60).start(concurrency=2)
    while run.state.done < 6:
        time.sleep(0.01)
    kit.close()
    assert not run.is_running and run.status == "stopped"
    again = make_kit(home=tmp_path)
    rest = plan_of(again, "closing", count=60).start()
    assert rest.id == run.id and rest.result().status == "done"
    assert run.state.done + len(asked(again)) == 120, "no finished call is made again"


def test_the_representations_are_safe_and_say_the_verdict(kit):
    variants = {"<b>zero": VARIANTS["zero-shot"], "few<script>": VARIANTS["few-shot"]}
    plan = plan_of(kit, "<img src=x>", count=20, variants=variants)
    run = plan.start().result()
    shown = plan._repr_html_() + run._repr_html_() + plan.preview()._repr_html_()
    assert "<script" not in shown and "<img" not in shown and "<b>zero" not in shown
    assert run.verdict.sentence.replace("**", "") in repr(run)


def test_ratings_are_scored_on_a_replay(kit):
    first = plan_of(kit, "rated", count=20).start().result()
    frame = first.trials[["sample", "variant"]].assign(rating=range(40))
    again = plan_of(kit, "rated", count=20, scorers=[LABEL, scorers.ratings(frame)]).start(replay=True).result()
    merged = again.trials.merge(frame, on=["sample", "variant"])
    assert (merged["rating_x"] == merged["rating_y"]).all()


def test_a_run_s_figures_follow_from_the_log_alone(kit):
    run = plan_of(kit, "recomputed").start().result()
    kit.flush()
    found = kit.sql(
        "SELECT variant, avg(CAST(scores->>'label' AS BOOLEAN)::INT) AS share, count(*) AS n FROM trials "
        f"WHERE run = '{run.id}' GROUP BY variant"
    ).set_index("variant")
    quality = run.data().variants.set_index("variant")["quality"]
    assert found["share"].to_dict() == pytest.approx(quality.to_dict()) and found["n"].eq(40).all()


def test_samples_come_from_a_query_on_the_log(kit):
    plan_of(kit, "source", count=12).start().result()
    plan = kit.experiment(
        "from log",
        variants=VARIANTS,
        samples="select distinct sample as text from calls where experiment = 'source'",
        scorers=[scorers.one_word()],
        primary="one_word",
    )
    assert len(plan.plan.dataset) == 12
    assert rows(1)[0]["label"] == "negative"
