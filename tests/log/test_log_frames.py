"""What goes in comes out: frames, filters, texts, types, and the union of file and spool."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from aikit.errors import LogError, UnknownSetting
from aikit.log.schema import ATTEMPTS, CALLS, EventRow
from aikit.messages import Image, Message, Text
from tests.log.rows import attempt, call, record, trial

COLUMNS = (
    "call_id started_at day provider model response_model status finish_reason error_type input_tokens output_tokens"
    " cache_read_tokens cache_write_tokens reasoning_tokens usage_source cost price_id processing queue_time"
    " time_to_first_token duration gap_p50 gap_p95 attempts stitched prompt_version_id experiment run variant sample"
    " epoch tags session host pid"
)


def test_an_empty_log_gives_an_empty_frame_with_all_columns(log):
    frame = log.calls()
    assert list(frame.columns) == COLUMNS.split()
    assert len(frame) == 0
    assert frame.attrs["complete"] is True
    assert list(log.attempts().columns) == list(ATTEMPTS.shown)


def test_a_call_comes_back_as_it_was_handed_over(log):
    row = call(
        started_at=1_700_000_000.123456, cost=1_234_567_891, tags=("a", "b"), epoch=2, stitched=True, reasoning_tokens=7
    )
    log.record(row)
    log.flush()
    for _ in range(2):  # out of the spool, then out of the file
        frame = log.calls()
        found = frame.iloc[0]
        assert found.call_id == row.call_id
        assert found.started_at == datetime(2023, 11, 14, 22, 13, 20, 123456, UTC)
        assert found.day.date() == date(2023, 11, 14)
        assert found.cost == pytest.approx(1.234567891, abs=1e-12)
        assert found.tags == ["a", "b"]
        assert (found.epoch, found.stitched, found.reasoning_tokens) == (2, True, 7)
        log.ingest_now()


@pytest.mark.parametrize("where", ["spool", "file", "both"])
def test_types_do_not_depend_on_the_rows_or_where_they_are(log, where):
    empty = log.calls().dtypes
    record(log, 3)
    if where != "spool":
        log.ingest_now()
    if where == "both":
        record(log, 2, input_tokens=None, cost=None, tags=("x",))
    assert (log.calls().dtypes == empty).all()
    assert str(empty["started_at"]) == "datetime64[us, UTC]"
    assert str(empty["input_tokens"]) == "Int64"
    assert str(empty["cost"]) == "float64"


def test_file_and_spool_are_read_as_one_without_a_row_twice(log):
    ids = record(log, 30)
    log.ingest_now()
    ids += record(log, 20)
    assert sorted(log.calls().call_id) == sorted(ids)
    log.ingest_now()
    assert sorted(log.calls().call_id) == sorted(ids)
    assert len(log.attempts()) == 50


def test_a_finished_call_is_seen_by_another_log_before_any_ingest(log, open_log):
    other = open_log()
    assert len(other.calls()) == 0
    record(log, 5)
    assert len(other.calls()) == 5


def test_filters_choose_calls(log):
    now = datetime.now(UTC)
    record(log, 2, started_at=(now - timedelta(days=9)).timestamp(), model="old")
    record(log, 3, tags=("a", "b"), experiment="e1")
    record(log, 1, tags=("a",), provider="openai", model="gpt:x/y?z")
    log.ingest_now()
    record(log, 1, tags=("a",), experiment="e1")
    assert len(log.calls(since="7d")) == 5
    assert len(log.calls(since=now - timedelta(days=30))) == 7
    assert len(log.calls(since=(now - timedelta(days=1)).date())) == 5
    assert len(log.calls(since=(now - timedelta(days=10)).isoformat())) == 7
    assert len(log.calls(since="12h", tags="a")) == 5
    assert len(log.calls(tags=["a", "b"])) == 3
    assert len(log.calls(model="openai:gpt:x/y?z")) == 1
    assert len(log.calls(model="smollm2")) == 4
    assert len(log.calls(experiment="e1")) == 4
    assert len(log.attempts(experiment="e1", since="1h")) == 4


def test_a_limit_keeps_the_latest_in_the_order_of_time(log):
    for second in range(10):
        log.record(call(started_at=1_700_000_000.0 + second, sample=str(second)))
    log.flush()
    assert list(log.calls(limit=3)["sample"]) == ["7", "8", "9"]


@pytest.mark.parametrize("nonsense", ["yesterday-ish", "7 fortnights", ""])
def test_a_time_that_is_none_says_what_to_write(log, nonsense):
    with pytest.raises(UnknownSetting, match="write '7d'"):
        log.calls(since=nonsense)


def test_texts_come_with_calls_and_attempts_on_request(log):
    row = call(prompt=(Message("system", "be brief"), Message("user", "why?")), text="because\0 😀")
    log.record(row)
    log.record_attempt(attempt(row))
    log.flush()
    for _ in range(2):
        found = log.calls(texts=True).iloc[0]
        assert found.prompt == '[{"role": "system", "content": "be brief"}, {"role": "user", "content": "why?"}]'
        assert found.text == "because\0 😀"
        assert log.attempts(texts=True).iloc[0].text == "because\0 😀"
        assert "text" not in log.calls().columns
        log.compact()  # then out of the archive
    assert log.sql("select content from payloads p join calls c on c.text_hash = p.hash").content[0] == row.text
    assert log.check().ok


def test_an_image_is_logged_by_its_hash_alone(log):
    log.record(call(prompt=(Message("user", (Text("what is it?"), Image(data=b"\x89PNG" * 1000))),)))
    log.flush()
    prompt = log.calls(texts=True).prompt[0]
    assert "what is it?" in prompt
    assert "sha256" in prompt
    assert len(prompt) < 300


def test_a_lone_surrogate_does_not_cost_the_row(log):
    log.record(call(text="half \ud83d a pair"))
    log.flush()
    assert log.calls(texts=True).text[0] == "half ? a pair"


def test_the_last_row_of_a_trial_counts(log):
    log.record_trial(trial(status="ok", scores={"label": 0.0}, scored_at=1.0))
    log.record_trial(trial(trial_id="t2", sample="s2", scores={"label": 1.0}, scored_at=2.0, text="yes"))
    log.flush()
    log.ingest_now()
    log.record_trial(trial(scores={"label": 1.0}, score_details={"label": {"explanation": "so"}}, scored_at=3.0))
    log.record_trial(trial(run="another"))
    log.flush()
    frame = log.trials("r1", texts=True)
    assert list(frame.trial_id) == ["t2", "t1"]
    assert list(frame.scores) == [{"label": 1.0}, {"label": 1.0}]
    assert frame.score_details[1] == {"label": {"explanation": "so"}}
    assert frame.text[0] == "yes"


def test_what_a_newer_aikit_says_goes_to_extra(log):
    log.spool.put("call", {"call_id": "c", "started_at": 1.7e9, "extra": {"a": 1}, "mood": "sunny", "sample": 3})
    log.flush()
    log.ingest_now()
    found = log.sql("select extra, sample from calls").iloc[0]
    assert found.extra in ('{"a":1,"mood":"sunny"}', '{"mood":"sunny","a":1}')
    assert found["sample"] == "3"


def test_a_row_that_fits_nowhere_is_quarantined_and_reported(log):
    record(log, 2)
    log.spool.put("call", {"call_id": "bad", "started_at": "noon"})
    log.spool.put("call", {"call_id": "huge", "started_at": 1.7e9, "input_tokens": 2**80})
    log.spool.put("mystery", {"x": 1})
    log.spool.put("call", call(extra={"what": object()}))
    log.flush()
    for _ in range(2):
        assert len(log.calls()) == 2
        assert len(log.sql("select * from quarantine")) == 4
        report = log.check()
        assert [finding.found for finding in report.findings] == [4]
        log.ingest_now()


def test_money_is_exact_to_the_billionth(log):
    for nano in (1, 999_999_999, 10**15 + 1, 0):
        log.record(call(cost=nano))
    log.record(call(cost=None))
    log.flush()
    log.ingest_now()
    total = log.sql("select sum(cost)::VARCHAR as total, count(cost) as priced from calls").iloc[0]
    assert Decimal(total.total) == Decimal(1 + 999_999_999 + 10**15 + 1) / 10**9
    assert total.priced == 4


def test_events_are_kept(log):
    log.record_event(EventRow(happened_at=1.7e9, kind="alert", subject="daily", message="80 %", data={"spent": 1.6}))
    log.flush()
    assert log.sql("select kind, data->>'spent' as spent from events").iloc[0].to_list() == ["alert", "1.6"]


def test_a_person_may_select_and_nothing_else(log, tmp_path):
    record(log, 3)
    log.ingest_now()
    record(log, 1)
    frame = log.sql("select count(*) as n, sum(cost) as dollars from calls where model = ?", ["smollm2"])
    assert frame.n[0] == 4
    assert set(CALLS.shown) <= set(log.sql("from calls limit 1").columns)
    outside = tmp_path / "outside.csv"
    outside.write_text("a\n1\n")
    for query in (
        "delete from calls",
        "drop view calls",
        "select 1; select 2",
        f"copy calls to '{tmp_path}/x.csv'",
        f"select * from read_csv('{outside}')",
        f"select * from '{outside}'",
        "set enable_external_access = true",
        "attach 'x.duckdb'",
        "detach log",
        "install httpfs",
        "select * from frame",
        "select nonsense from calls",
        "not sql",
    ):
        with pytest.raises(LogError):
            log.sql(query)
    assert len(log.calls()) == 4


def test_small_tables_are_there_to_join(log):
    log.spool.submit(
        lambda c: c.execute(
            "INSERT INTO prompt_versions (id, name, number, hash, parent, message, body, created_at)"
            " VALUES ('v1', 'classify', 1, 'h', NULL, 'first', '{}', 1.0)"
        )
    ).result()
    record(log, 1, prompt_version_id="v1")
    query = "select p.name from calls c join prompt_versions p on p.id = c.prompt_version_id"
    assert log.sql(query)["name"].to_list() == ["classify"]
    log.ingest_now()
    assert log.sql(query)["name"].to_list() == ["classify"]
