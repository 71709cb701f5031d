"""What may be stored: texts in full, as hashes or not at all; redacted before anything is written; private files."""

import stat

import pytest

from aikit.messages import Message, Text
from tests.log.rows import call, record, trial

SECRET = "sk-very-secret-0123456789"


def everything(home):
    """Return every byte below a folder, the compressed archive's rows in the clear."""
    import duckdb

    found = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    for path in home.glob("archive/*.parquet"):
        found += repr(duckdb.connect().execute(f"from '{path}'").fetchall()).encode()
    return found


@pytest.mark.parametrize("store_text", ["hash", "none"])
def test_texts_stay_out_of_every_file(open_log, store_text):
    log = open_log(store_text=store_text)
    record(log, 3, prompt=(Message("user", SECRET),), text=SECRET)
    log.ingest_now()
    assert log.calls(texts=True).text.isna().all()
    hashes = log.sql("select prompt_hash, text_hash from calls")
    assert hashes.notna().all().all() == (store_text == "hash")
    log.compact()
    log.close()
    assert SECRET.encode() not in everything(log.home)


def test_equal_texts_are_stored_once(log):
    record(log, 50, prompt='[{"role": "user", "content": "the same"}]', text="yes")
    assert len(log.sql("from payloads")) == 2
    assert set(log.calls(texts=True).text) == {"yes"}


def test_the_hook_sees_every_text_before_it_is_written(open_log):
    log = open_log(redact=lambda text: text.replace(SECRET, "[key]"))
    log.record(
        call(prompt=(Message("user", (Text(f'say "{SECRET}"'),)),), text=f"it is {SECRET}", extra={"a": [SECRET]})
    )
    log.record_trial(trial(text=SECRET, error=SECRET, score_details={"label": {"explanation": SECRET}}))
    log.flush()
    row = log.calls(texts=True).iloc[0]
    assert (row.text, "[key]" in row.prompt) == ("it is [key]", True)
    assert log.trials().score_details[0] == {"label": {"explanation": "[key]"}}
    log.ingest_now()
    log.close()
    assert SECRET.encode() not in everything(log.home)


def test_a_hook_that_raises_lets_nothing_through_and_keeps_the_row(open_log):
    def broken(text):
        raise RuntimeError(text)

    log = open_log(redact=broken)
    log.record(call(text=SECRET, prompt=SECRET))
    log.flush()
    assert log.calls(texts=True).text[0] == "[redaction failed: RuntimeError]"
    log.ingest_now()
    log.close()
    assert SECRET.encode() not in everything(log.home)


def test_the_callers_row_is_left_as_it_was(open_log):
    log = open_log(redact=lambda text: "x")
    row = call(text="mine")
    log.record(row)
    log.flush()
    assert row.text == "mine"


def test_no_file_is_readable_by_others_even_in_an_open_folder(home, open_log):
    home.mkdir(mode=0o755)
    log = open_log()
    record(log, 5)
    log.ingest_now()
    log.compact()
    record(log, 5)
    log.ingest_now()
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in home.rglob("*") if path.is_file()}
    assert set(modes.values()) == {"0o600"}, modes
