"""The demo: from an empty folder to a verdict and a report, twice, and again from the log."""

import json
import os
import re

import duckdb
import pytest

from aikit.cli import main

pytestmark = pytest.mark.local_model


@pytest.fixture(scope="module")
def played(local_model, tmp_path_factory):
    """An empty folder in which the demo ran twice, then as a replay; what each printed."""
    folder = tmp_path_factory.mktemp("demo")
    before, model = os.getcwd(), os.environ.get("AIKIT_LOCAL_MODEL")
    os.environ["AIKIT_LOCAL_MODEL"] = str(local_model)
    os.chdir(folder)
    printed = []
    try:
        for arguments in (["--samples", "10"], ["--samples", "10"], ["--samples", "10", "--replay"]):
            printed.append(_run(["demo", *arguments]))
    finally:
        os.chdir(before)
        if model is None:
            del os.environ["AIKIT_LOCAL_MODEL"]
        else:
            os.environ["AIKIT_LOCAL_MODEL"] = model
    return folder, printed


def _run(arguments):
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(arguments) == 0
    return out.getvalue()


def test_it_prints_a_verdict_a_table_and_where_things_are(played):
    _, printed = played
    assert re.search(r"few-shot passed [\d.]+ % of 10 inputs", " ".join(printed[0].split()))
    assert "difference" in printed[0] and "output tokens" in printed[0]
    assert "aikit-demo.html" in printed[0] and "log.duckdb" in printed[0]


def test_a_second_run_answers_again_and_a_replay_costs_nothing_and_says_so(played):
    folder, printed = played
    assert "20 answers" in printed[1]
    assert "20 replayed, cost $0" in " ".join(printed[2].split())
    with duckdb.connect(folder / ".aikit" / "log.duckdb", read_only=True) as log:
        (calls,) = log.execute("SELECT count(*) FROM calls WHERE status = 'ok'").fetchone()
        (runs,) = log.execute("SELECT count(DISTINCT run) FROM trials").fetchone()
    assert calls == 40  # two runs of ten samples and two variants; the replay made no call
    assert runs == 3


def test_the_reports_figures_are_those_of_the_log(played):
    folder, _ = played
    page = (folder / "aikit-demo.html").read_text("utf-8")
    (run,) = re.findall(r"run (demo-sentiment-[0-9a-f]+)", page)
    with duckdb.connect(folder / ".aikit" / "log.duckdb", read_only=True) as log:
        rows = log.execute("SELECT variant, scores FROM trials WHERE run = ?", [run]).fetchall()
    assert len(rows) == 20
    for variant in ("zero-shot", "few-shot"):
        scores = [json.loads(text) for name, text in rows if name == variant]
        for metric in ("label", "one_word"):
            share = sum(bool(one[metric]) for one in scores) / len(scores)
            assert f"{share * 100:.1f} %" in page
        passed = sum(bool(one["label"]) for one in scores) / len(scores)
        assert re.search(rf"{variant}(</strong>)?( passed)? {passed * 100:.1f} %", page)


def test_the_report_is_one_file_that_loads_nothing(played):
    folder, _ = played
    page = (folder / "aikit-demo.html").read_text("utf-8")
    assert "Content-Security-Policy" in page and "<svg" in page
    assert "<script" not in page
    outside = [link for link in re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)""", page) if not link.startswith("#")]
    assert outside == []
    assert not re.search(r"url\((?!#)", page)


def test_too_few_samples_are_refused(capsys):
    assert main(["demo", "--samples", "1"]) == 1
    assert "between 2 and" in capsys.readouterr().err
