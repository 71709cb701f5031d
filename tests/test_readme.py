"""The README: its tour runs as it stands, and what it names exists."""

import os
import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)


@pytest.mark.local_model
def test_the_tour_runs_as_it_stands(local_model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIKIT_LOCAL_MODEL", str(local_model))
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    names = {}
    code = blocks("python")
    assert len(code) >= 3
    for block in code:
        exec(compile(block, str(README), "exec"), names)
    printed = capsys.readouterr().out
    assert "local" in printed
    assert names["run"].verdict.decision in ("invalid", "keep", "ship", "equivalent", "continue")


def test_the_commands_are_the_promised_ones():
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert commands == [
        "python -m pip install . && aikit demo",
        'python -m pip install -e ".[dev]" && pytest',
        'python -m pip install ".[lab]" && jupyter lab notebooks',
    ]


def test_every_picture_and_file_it_links_to_exists():
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text("utf-8"))
    assert links
    for link in links:
        if "://" not in link:
            assert (README.parent / link).is_file(), link
