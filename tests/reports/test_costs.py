"""Cost reports over a real log, and the files they are saved as."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from aikit.budgets.costs import costs, reprice
from aikit.errors import UnknownSetting
from aikit.log import Log
from aikit.log.schema import AttemptRow, CallRow
from aikit.prices import PriceBook, nano

NOW = datetime(2026, 11, 18, 12, tzinfo=UTC).timestamp()
BOOK = PriceBook(
    {
        "openai": {"prices": {"gpt-x": {"input": 2, "cache_read": 0.5, "output": 8}}},
        "anthropic": {"prices": {"claude-x": {"input": 3, "output": 15}}},
        "replay": {"prices": {"gpt-x": {"input": 2, "output": 8}}},
    }
)


def call(
    number: int, model: str, cost: float | None, *, provider: str = "openai", days_ago: float = 0, **more
) -> CallRow:
    source = more.pop("usage_source", "reported")
    return CallRow(
        call_id=f"c{number}",
        started_at=NOW - days_ago * 86400,
        provider=provider,
        model=model,
        usage_source=source,
        cost=None if cost is None else nano(cost),
        price_id=f"test/{provider}/{model}",
        **more,
    )


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    log = Log.open(tmp_path_factory.mktemp("log"), clock=lambda: NOW, durability="os")
    used = {"input_tokens": 1_000_000, "output_tokens": 100_000}
    log.record(call(1, "gpt-x", 2.05, tags=["a", "b"], **used, cache_read_tokens=500_000))
    log.record(call(2, "gpt-x", 2.80, tags=["b"], days_ago=1, **used))
    log.record(
        call(3, "gpt-x", 0.50, days_ago=40, usage_source="estimated", input_tokens=100_000, output_tokens=37_500)
    )
    log.record(call(4, "gpt-x", None, provider="nobody", input_tokens=5, output_tokens=5))
    log.record(call(5, "gpt-x", 0, provider="replay", usage_source="replayed", **used))
    # A call that failed over: its first attempt was billed elsewhere.
    log.record(
        call(
            6,
            "claude-x",
            5.30,
            provider="anthropic",
            attempts=2,
            tags=["a"],
            input_tokens=1_000_000,
            output_tokens=100_000,
        )
    )
    log.record_attempt(
        AttemptRow(
            attempt_id="a1",
            call_id="c6",
            number=1,
            started_at=NOW,
            provider="openai",
            model="gpt-x",
            status="error",
            usage_source="upper_bound",
            cost=nano(0.80),
        )
    )
    log.record_attempt(
        AttemptRow(
            attempt_id="a2",
            call_id="c6",
            number=2,
            started_at=NOW,
            provider="anthropic",
            model="claude-x",
            usage_source="reported",
            cost=nano(4.50),
            input_tokens=1_000_000,
            output_tokens=100_000,
        )
    )
    # Another whose process died.
    log.record_attempt(
        AttemptRow(
            attempt_id="a3",
            call_id="c7",
            number=1,
            started_at=NOW,
            provider="openai",
            model="gpt-x",
            status="unknown",
            usage_source="upper_bound",
            cost=nano(0.25),
        )
    )
    log.record(call(8, "gpt-x", None, status="refused"))
    log.flush()
    yield log
    log.close()


def report(log, **options):
    return costs(log, book=BOOK, clock=lambda: NOW, **options)


def test_each_attempt_is_billed_to_who_answered_it(log):
    frame = report(log, by="provider").frame.set_index("provider")
    assert frame["cost"].to_dict() == {"openai": 6.40, "anthropic": 4.50, "nobody": 0, "replay": 0, "total": 10.90}
    assert frame["calls"].to_dict() == {"openai": 4, "anthropic": 1, "nobody": 1, "replay": 1, "total": 7}
    assert frame.loc["total", "attempts"] == 8
    assert frame.loc["nobody", "unpriced"] == 1


def test_a_call_with_several_tags_counts_under_each_and_once_in_the_total(log):
    frame = report(log, by="tag").frame.set_index("tag")
    assert frame["cost"].to_dict() == {"a": 7.35, "b": 4.85, "": 0.75, "total": 10.90}


def test_the_report_says_what_is_estimated_and_what_was_saved(log):
    costs_of_all = report(log, by=["provider", "model"])
    assert costs_of_all.estimated_share == pytest.approx((0.50 + 0.80 + 0.25) / 10.90)
    assert costs_of_all.savings == {"caches": Decimal("0.75"), "replays": Decimal("2.8")}
    assert costs_of_all.provenance == (
        "Of $10.90, $1.55 is estimated; 1 attempts without a known price are not in it;"
        " saved by caches $0.75 and replays $2.80."
    )


def test_since_and_local_days(log):
    # 18 November, 12:00 UTC is the 19th on Kiritimati (UTC+14).
    frame = report(log, by="day", since="30d", timezone="Pacific/Kiritimati").frame
    assert frame[["day", "cost"]].values.tolist() == [["2026-11-18", 2.80], ["2026-11-19", 7.60], ["total", 10.40]]
    months = report(log, by="month").frame
    assert months["month"].tolist() == ["2026-10-01", "2026-11-01", "total"]


def test_an_unknown_group_is_refused_with_a_hint(log):
    with pytest.raises(UnknownSetting, match="did you mean 'provider'"):
        report(log, by="providers")
    with pytest.raises(UnknownSetting, match="names what to group by"):
        report(log, by=[])


def test_reprice_tells_what_the_past_would_have_cost(log):
    dearer = PriceBook(
        {
            "openai": {"prices": {"gpt-x": {"input": 4, "cache_read": 1, "output": 16}}},
            "anthropic": {"prices": {"claude-x": {"input": 3, "output": 15}}},
            "nobody": {"kind": "x"},
        }
    )
    frame = reprice(log, dearer, clock=lambda: NOW).frame.set_index(["provider", "model"])
    row = frame.loc[("openai", "gpt-x")]
    # Twice 2.05 + 2.80 + 0.50; the two upper bounds without tokens stay.
    assert (row["cost"], row["repriced"], row["not_repriced"]) == (6.40, pytest.approx(11.75), 2)
    assert frame.loc[("anthropic", "claude-x"), "difference"] == 0


def test_reprice_takes_each_call_s_own_tier(tmp_path):
    log = Log.open(tmp_path, clock=lambda: NOW, durability="os")
    for number, tokens in enumerate((200_000, 200_001, 150_000)):
        log.record(call(number, "claude-sonnet-4-5", 1, provider="anthropic", input_tokens=tokens, output_tokens=1000))
    frame = reprice(log, PriceBook(), clock=lambda: NOW).frame
    log.close()
    # https://platform.claude.com/docs/en/about-claude/pricing: $3/$15, above 200,000 input tokens $6/$22.50
    expected = (350_000 * 3 + 2000 * 15 + 200_001 * 6 + 1000 * 22.5) / 1e6
    assert frame.loc[0, "repriced"] == pytest.approx(expected, abs=1e-9)


@pytest.fixture(scope="module")
def grouped(log):
    hostile = log
    hostile.record(call(9, '=HYPERLINK("http://evil.example")', 0.10, tags=["<script>alert(1)</script>|x"]))
    hostile.flush()
    return report(log, by=["model", "tag"], timezone="Europe/Berlin")


ABOUT = ("USD", "Europe/Berlin", "test/openai/gpt-x", "is estimated")


@pytest.mark.parametrize("ending", ["csv", "json", "md", "html"])
def test_every_text_file_carries_currency_prices_time_zone_and_provenance(grouped, tmp_path, ending):
    text = grouped.export(tmp_path / f"new folder/costs.{ending}").read_text(encoding="utf-8")
    for fact in ABOUT:
        assert fact in text


def test_csv_reads_back_and_no_cell_is_a_formula(grouped, tmp_path):
    frame = pd.read_csv(grouped.export(tmp_path / "costs.csv"))
    assert frame["cost"].iloc[-1] == pytest.approx(11.0)
    assert not frame["model"].str.startswith("=").any()
    assert frame["model"].str.startswith("'=HYPERLINK").any()


def test_parquet_reads_back_with_its_facts(grouped, tmp_path):
    path = grouped.export(tmp_path / "costs.parquet")
    with duckdb.connect() as connection:
        frame = connection.execute("SELECT * FROM read_parquet(?)", [str(path)]).df()
        facts = connection.execute(
            "SELECT decode(key), decode(value) FROM parquet_kv_metadata(?)", [str(path)]
        ).fetchall()
    assert frame["cost"].tolist() == grouped.frame["cost"].tolist()
    assert dict(facts)["aikit currency"] == "USD"
    assert set(frame["timezone"]) == {"Europe/Berlin"}


def test_xlsx_has_a_sheet_per_grouping_numbers_as_numbers_a_chart_and_no_formula(grouped, tmp_path):
    path = grouped.export(tmp_path / "costs.xlsx")
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name).decode() for name in book.namelist() if name.endswith(".xml")}
    for sheet in ("costs", "by model", "by tag", "days", "about"):
        assert f'name="{sheet}"' in parts["xl/workbook.xml"]
    assert any(name.startswith("xl/charts/") for name in parts)
    assert not any("<f>" in text for name, text in parts.items() if name.startswith("xl/worksheets/"))
    assert "#,##0.00####" in parts["xl/styles.xml"]
    assert "Europe/Berlin" in parts["xl/sharedStrings.xml"]


def test_html_is_whole_and_hostile_names_stay_text(grouped, tmp_path):
    text = grouped.export(tmp_path / "costs.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "<svg" in text
    assert "Content-Security-Policy" in text
    assert " src=" not in text


def test_markdown_escapes_what_would_break_the_table(grouped, tmp_path):
    text = grouped.export(tmp_path / "costs.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == len(grouped.frame) + 2
    assert all(line.replace("\\|", "").count("|") == len(grouped.frame.columns) + 1 for line in rows)
    assert "<script>" not in text


def test_json_has_the_rows_and_the_total_apart(grouped, tmp_path):
    document = json.loads(grouped.export(tmp_path / "costs.json").read_text(encoding="utf-8"))
    assert document["total"]["cost"] == 11.0
    assert len(document["rows"]) == len(grouped.frame) - 1
    assert document["savings"] == {"caches": "0.750000000", "replays": "2.800000000"}


def test_another_ending_is_refused(grouped, tmp_path):
    with pytest.raises(UnknownSetting, match="known endings: csv"):
        grouped.export(Path(tmp_path) / "costs.docx")
    assert "$11.00" in repr(grouped)
    assert "<script" not in grouped._repr_html_()


def test_an_empty_log_gives_a_report_of_nothing(tmp_path):
    log = Log.open(tmp_path / "home", clock=lambda: NOW, durability="os")
    nothing = report(log, by="model")
    assert nothing.frame[["model", "cost"]].values.tolist() == [["total", 0.0]]
    for ending in ("csv", "parquet", "xlsx", "html", "md", "json"):
        assert nothing.export(tmp_path / f"nothing.{ending}").stat().st_size > 0
    log.close()
