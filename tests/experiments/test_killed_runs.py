import itertools
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.experiments.setting import plan_of

SAMPLES = 60


def launch(home, notes):
    command = [sys.executable, "-m", "tests.experiments.killed", str(home), str(notes), str(SAMPLES)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_once(home, notes, further):
    """Kill a run after so many further calls were asked of the model: in the middle, however slow the machine is."""
    before = len(notes.read_text().splitlines())
    process = launch(home, notes)
    deadline = time.monotonic() + 60
    while len(notes.read_text().splitlines()) < before + further and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def check(tmp_path, make_kit, kills, seed, most):
    """Kill a run at random, go on with it, and compare with the same run undisturbed."""
    home, notes = tmp_path / "home", tmp_path / "asked"
    notes.touch()
    waits = random.Random(seed)
    finished: list[set] = []
    for _ in range(kills):
        kill_once(home, notes, waits.randint(3, most))
        kit = make_kit(home=home)
        frame = kit.calls(experiment="killed")
        finished.append(
            set(zip(*(frame[frame["status"] == "ok"][name] for name in ("variant", "sample")), strict=True))
        )
        kit.close()
    process = launch(home, notes)
    said = process.communicate(timeout=120)[0].splitlines()[-1]
    assert process.returncode == 0

    kit = make_kit(home=home)
    run = plan_of(kit, "killed", count=SAMPLES, model="scripted:one", stopping="group", looks=4, id="killed").start()
    undisturbed = plan_of(
        make_kit(), "killed", count=SAMPLES, model="scripted:one", stopping="group", looks=4, id="killed"
    ).start()
    run.result(), undisturbed.result()
    assert said == run.verdict.sentence == undisturbed.verdict.sentence
    columns = ["trial_id", "sample", "variant", "status", "text", "label", "one_word"]
    assert run.trials[columns].equals(undisturbed.trials[columns])
    assert [(look["number"], look["samples"]) for look in run.looks] == [
        (look["number"], look["samples"]) for look in undisturbed.looks
    ]

    calls = kit.calls(experiment="killed")
    ok = calls[calls["status"] == "ok"]
    assert not ok.duplicated(["variant", "sample", "epoch"]).any(), "a finished call was made again"
    asked = Counter(notes.read_text().splitlines())
    # What was asked twice was under way when the process died: at most `concurrency` calls a kill, and 50 ms of rows.
    assert sum(asked.values()) - len(asked) <= kills * 4 + kills * 4 * 13
    assert all(len(one) < 2 * SAMPLES for one in finished) and len(finished[-1]) > 0, "no kill came in the middle"
    for before, after in itertools.pairwise(finished):
        assert before <= after, "what was finished stays finished"


def test_a_run_that_is_killed_goes_on_and_repeats_no_finished_call(tmp_path, make_kit):
    check(tmp_path, make_kit, kills=2, seed=5, most=30)


@pytest.mark.slow
def test_a_run_that_is_killed_ten_times_says_the_same_as_an_undisturbed_one(tmp_path, make_kit):
    check(tmp_path, make_kit, kills=10, seed=11, most=11)


def test_calls_that_may_have_been_billed_are_skipped_where_that_is_wanted(tmp_path, make_kit):
    home, notes = tmp_path / "home", tmp_path / "asked"
    notes.touch()
    kill_once(home, notes, 20)
    kit = make_kit(home=home)
    experiment = plan_of(kit, "killed", count=SAMPLES, model="scripted:one", stopping="group", looks=4, id="killed")
    unknown = kit.sql("select count(*) as n from attempts where status = 'unknown'")["n"].iloc[0]
    run = experiment.start()
    run.stop()
    run.resume(unknown="skip").result()
    skipped = (run.trials["status"] == "unknown").sum()
    assert skipped <= max(unknown, 4)
    assert run.status == "done"


def test_a_run_that_another_process_executes_is_left_alone(tmp_path, make_kit):
    from aikit.errors import UnknownSetting

    home, notes = tmp_path / "home", tmp_path / "asked"
    notes.touch()
    process = launch(home, notes)
    try:
        process.stdout.readline()
        kit = make_kit(home=home)
        experiment = plan_of(kit, "killed", count=SAMPLES, model="scripted:one", stopping="group", looks=4, id="killed")
        deadline = time.monotonic() + 20
        while experiment._bench.journal.find("killed") is None and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(UnknownSetting, match="being executed by another process"):
            experiment.start().result()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
