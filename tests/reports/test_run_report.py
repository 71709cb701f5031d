"""The report of a run: what it says is what the run says, and hostile texts stay texts."""

import re

import pytest

import aikit
from aikit import errors
from aikit.providers.scripted import Scripted

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'`|*_ \u202e\u0000 {{ 7*7 }}"


@pytest.fixture
def run(tmp_path):
    with aikit.open(home=tmp_path / "home") as kit:

        def reply(messages, options):
            text = messages[-1].content
            good = "second" in text or int(text.split("#")[1].split()[0]) % 3
            return ("yes " if good else "no ") + HOSTILE

        plan = kit.experiment(
            f"hostile {HOSTILE[:20]}",
            variants={"first": kit.prompts.save("a", "first #{{ n }} {{ text }}"),
                      "second": kit.prompts.save("b", "second #{{ n }} {{ text }}")},
            samples=[{"n": str(n), "text": HOSTILE, "label": "yes"} for n in range(30)],
            target="label", scorers=[aikit.scorers.contains()], primary="contains", model=Scripted(reply=reply),
        )  # fmt: skip
        run = plan.start()
        run.result()
        yield run


def test_the_page_says_what_the_run_says_and_runs_nothing(run, tmp_path):
    page = run.report(tmp_path / "report.html").read_text("utf-8")
    assert "Ship second." in page
    assert "66.7 %" in page and "100.0 %" in page
    assert "<script" not in page.lower() and "<img" not in page.lower()
    assert "default-src 'none'" in page
    assert "&lt;script&gt;" in page


def test_the_markdown_has_the_same_figures_and_no_mark_up_of_the_answers(run, tmp_path):
    text = run.report(tmp_path / "report.md").read_text("utf-8")
    assert "Ship second." in text and "66.7 %" in text
    assert not re.search(r"(?<!\\)<", text.split("## How it was done")[0]) and r"\<script" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table if "contains" in line}) == 1


def test_another_ending_is_refused_by_name(run, tmp_path):
    with pytest.raises(errors.UnknownSetting, match=r"\.docx"):
        run.report(tmp_path / "report.docx")
