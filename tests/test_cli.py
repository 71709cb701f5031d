"""The shell command as people type it: reports, keys, doctor and init, each in a home of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import aikit
from aikit.cli import main
from tests.servers import Server, chat_whole, json_reply

KEY, NEWER = "sk-canary-0123456789abcdef", "sk-newer-0123456789abcdef"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.endswith("_API_KEY") or name.startswith("AIKIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def keyring(folder, monkeypatch):
    monkeypatch.setenv("AIKIT_KEYRING_KEY", "a passphrase")
    return folder


def typed(monkeypatch, text):
    """Pipe a line into standard input."""
    reading, writing = os.pipe()
    os.write(writing, f"{text}\n".encode())
    os.close(writing)
    monkeypatch.setattr(sys, "stdin", os.fdopen(reading))


def with_calls(home):
    prices = {"m": {"input": 1000, "output": 1000}}
    settings = {"providers": {"scripted": {"options": {"reply": "fine"}, "prices": prices}}}
    with aikit.open(home=home, config=settings) as kit:
        kit.ask("hi", model="scripted:m", tags=["=1+1", "<script>alert(1)</script>"], max_tokens=5)
        return kit.spent("all")


@pytest.mark.parametrize("ending", ["csv", "json", "md", "html", "xlsx", "parquet"])
def test_a_report_is_written_in_the_format_of_its_ending(folder, capsys, ending):
    with_calls(folder / ".aikit")
    assert main(["report", "--since", "30d", "--by", "model,tag", "--out", f"costs.{ending}"]) == 0
    assert capsys.readouterr().out.strip() == f"costs.{ending}"
    written = Path(f"costs.{ending}").read_bytes()
    assert len(written) > 100
    assert b",=1+1" not in written
    assert ending not in ("html", "md") or b"<script>alert" not in written


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since", "bogus", "--out", "x.csv"], "since='bogus' is no time; write '7d'"),
        (["--by", "colour", "--out", "x.csv"], "can't group by 'colour'"),
        (["--timezone", "Mars/X", "--out", "x.csv"], "no time zone 'Mars/X'"),
        (["--out", "x.doc"], "can't write 'x.doc'; known endings: csv"),
        (["--home", "elsewhere", "--out", "x.csv"], "nothing is logged in"),
        (["--out", "blocked/x.csv"], "blocked"),
    ],
)
def test_what_is_wrong_with_a_report_is_said_in_one_line(folder, capsys, arguments, said):
    with_calls(folder / ".aikit")
    Path("blocked").write_text("a file in the way")
    assert main(["report", *arguments]) == 1
    told = capsys.readouterr().err
    assert told.startswith("aikit: ") and said in told and told.count("\n") == 1
    assert not Path("elsewhere").exists()


def test_keys_are_kept_listed_rotated_tested_and_removed_and_never_shown(keyring, monkeypatch, capsys):
    seen = []

    def answer(request):
        seen.append(request.headers["authorization"])
        return json_reply({"data": [], **chat_whole()})

    with Server(answer) as server:
        Path("aikit.toml").write_text(f'[providers.openai]\nbase_url = "{server.url}/v1"\n')
        typed(monkeypatch, KEY)
        assert main(["keys", "set", "openai", "--name", "main"]) == 0
        assert main(["keys", "test", "openai"]) == 0
        typed(monkeypatch, NEWER)
        assert main(["keys", "rotate", "openai"]) == 0
        assert main(["keys", "list"]) == 0
        with aikit.open(home=keyring / "home") as kit:
            kit.ask("hi", model="openai:m")
        assert main(["keys", "remove", "openai"]) == 0
        assert main(["keys", "remove", "openai"]) == 1
    assert seen == [f"Bearer {KEY}", f"Bearer {NEWER}"]
    told = "".join(capsys.readouterr())
    assert KEY not in told and NEWER not in told
    assert "(main)" in told and "the list of models came back" in told and "forgot 2 keys" in told
    kept = [file.read_bytes() for file in keyring.rglob("*") if file.is_file()]
    assert not any(KEY.encode() in one or NEWER.encode() in one for one in kept)


def test_a_piped_key_is_never_taken_for_the_passphrase(folder, monkeypatch, capsys):
    typed(monkeypatch, KEY)
    assert main(["keys", "set", "openai"]) == 1
    assert "set AIKIT_KEYRING_KEY to a passphrase" in capsys.readouterr().err
    assert not list(folder.rglob("*.cryptfile"))


def test_a_wrong_passphrase_is_told_and_not_shown_as_no_keys(keyring, monkeypatch, capsys):
    typed(monkeypatch, KEY)
    assert main(["keys", "set", "openai"]) == 0
    monkeypatch.setenv("AIKIT_KEYRING_KEY", "another")
    capsys.readouterr()
    assert main(["keys", "list"]) == 1
    told = capsys.readouterr()
    assert "the passphrase does not open" in told.err and "no keys" not in told.out


def test_a_key_for_a_provider_that_does_not_exist_is_refused_with_the_near_ones(keyring, monkeypatch, capsys):
    typed(monkeypatch, KEY)
    assert main(["keys", "set", "opnai"]) == 1
    assert "did you mean 'openai'?" in capsys.readouterr().err


def test_init_then_doctor(folder, capsys):
    assert main(["init"]) == 0
    assert main(["init"]) == 1
    assert "is there already" in capsys.readouterr().err
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] and {one["area"] for one in told["findings"]} >= {"settings", "models", "log", "disk", "versions"}


def test_doctor_fails_for_settings_that_can_t_be_read(folder, capsys):
    Path("aikit.toml").write_text("[budgets\ndaily = 2\n")
    assert main(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert any("line 1" in one["detail"] for one in told["findings"] if one["state"] == "problem")
    assert main(["report", "--out", "x.csv"]) == 1
    assert "aikit.toml" in capsys.readouterr().err


def test_the_command_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "aikit", "keys", "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0 and "rotate" in done.stdout
