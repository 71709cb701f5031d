"""The cell's commands, in a real IPython shell."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

import aikit
from aikit import errors


@pytest.fixture
def shell(tmp_path):
    shell = InteractiveShell()
    with aikit.open(
        home=tmp_path / "home",
        config={
            "defaults": {"model": "scripted:script"},
            "providers": {"scripted": {"options": {"reply": lambda messages, options: messages[-1].content.upper()}}},
        },
    ) as kit:
        shell.user_ns["kit"] = kit
        shell.run_line_magic("load_ext", "aikit")
        yield shell


def test_ask_streams_the_answer_and_keeps_it(shell, capsys):
    shell.user_ns["city"] = "paris"
    shell.run_cell_magic("ask", "--max-tokens 50", "where is {{ city }}?")
    printed = capsys.readouterr().out
    assert "WHERE IS PARIS?" in printed and "tokens" in printed
    assert shell.user_ns["_answer"].text == "WHERE IS PARIS?"
    assert len(shell.user_ns["kit"].calls()) == 1


def test_ask_sends_braces_of_another_kind_as_they_are(shell, capsys):
    shell.run_cell_magic("ask", "", "complete: {% raw")
    assert "COMPLETE: {% RAW" in capsys.readouterr().out


def test_prompt_saves_the_next_version(shell):
    version = shell.run_cell_magic("prompt", "classify -m 'first try'", "Label: {{ text }}")
    assert (version.number, version.message) == (1, "first try")
    assert shell.user_ns["kit"].prompts["classify"].template == "Label: {{ text }}"


def test_status_budget_and_cost_show_how_things_stand(shell):
    assert shell.run_line_magic("aikit", "status") is shell.user_ns["kit"]
    assert "limit" in shell.run_line_magic("aikit", "budget").columns
    assert shell.run_line_magic("aikit", "cost").currency == "USD"


def test_a_misspelt_command_is_answered_with_the_near_one(shell):
    with pytest.raises(errors.UnknownSetting, match="did you mean 'budget'"):
        shell.run_line_magic("aikit", "budgets")
    with pytest.raises(errors.UnknownSetting, match="ask"):
        shell.run_cell_magic("ask", "--modle x", "hi")
