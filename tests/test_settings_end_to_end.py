"""Limits, settings, budgets and the log's lock through the kit, as a notebook uses them."""

import asyncio
import os
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest

import aikit
from aikit import AsyncKit, errors
from aikit.providers.scripted import Scripted
from tests.servers import Server, chat_whole, json_reply

PRICED = {"providers": {"scripted": {"options": {"reply": "fine"}, "prices": {"m": {"input": 1000, "output": 1000}}}}}
QUEUE = ["provider", "model", "key", "limiter", "position", "priority", "group", "tokens", "waited", "time_left"]
HOSTILE = ["'; DROP TABLE calls; --", "<script>alert(1)</script>", "=HYPERLINK(1)", "\x1b[31m", "{{ 7*7 }}", "ü/..\\%s"]


@pytest.fixture
def kit(tmp_path):
    with aikit.open(home=tmp_path / "home", config=PRICED) as kit:
        yield kit


def test_the_queue_shows_who_waits_for_what_and_for_how_long(tmp_path):
    async def work():
        async with AsyncKit(home=tmp_path / "home", config=PRICED) as kit:
            assert kit.queue.columns.tolist() == QUEUE and kit.queue.empty
            kit.limit("scripted", requests_per_minute=1, shared=True)
            kit.limit("scripted", concurrent=8, model="m")
            await kit.ask("first", model="scripted:m")
            waiting = [
                asyncio.create_task(kit.ask("later", model="scripted:m", priority=priority))
                for priority in ("background", "interactive")
            ]
            async with asyncio.timeout(10):
                while len(kit.queue) < 2:
                    await asyncio.sleep(0.02)
            queue = kit.queue
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            return queue, kit.queue

    queue, after = asyncio.run(work())
    assert queue.columns.tolist() == QUEUE
    assert queue["priority"].tolist() == [0, 20] and queue["position"].tolist() == [1, 2]
    assert (queue["tokens"] > 0).all() and (queue["waited"] >= 0).all() and queue["provider"].eq("scripted").all()
    assert after.empty


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"requests_per_minute": -1}, "above 0"),
        ({"requests_per_minute": True}, "whole number"),
        ({"tokens_per_minute": 1.5}, "whole number"),
        ({"concurrent": "x"}, "concurrent is 'x'"),
        ({"concurrent": 1, "window": 0}, "window is 0"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_in_words(kit, figures, said):
    with pytest.raises(errors.ConfigError, match=said):
        kit.limit("scripted", **figures)


def test_a_limit_for_a_provider_that_nobody_knows_is_warned_of(kit):
    with pytest.warns(UserWarning, match="did you mean 'openai'"):
        kit.limit("opnai", concurrent=3)


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({}, "needs an amount"),
        ({"daily": "2"}, "write US dollars"),
        ({"daily": float("nan")}, "write US dollars"),
        ({"daily": 2, "hard": "yes"}, "hard='yes'"),
        ({"daily": 2, "on_alert": 3}, "a function"),
        ({"daily": 2, "alert_at": ("x",)}, "alert_at"),
        ({"daily": 2, "timezone": "Mars/X"}, "no time zone"),
        ({"daily": 2, "webhook": "http://example.com/x"}, "https"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused_in_words(kit, budget, said):
    with pytest.raises(errors.ConfigError, match=said):
        kit.budgets.set(**budget)
    assert kit.budgets.status().empty


def test_a_budget_alerts_once_and_shows_how_it_stands(kit):
    alerts = []
    told = threading.Event()
    kit.budgets.set(daily=1, hard=False, alert_at=0.001, on_alert=lambda alert: (alerts.append(alert), told.set()))
    for _ in range(3):
        kit.ask("hi", model="scripted:m", max_tokens=5)
    assert told.wait(10)
    kit.flush()
    assert len(alerts) == 1
    status = kit.budgets.status().iloc[0]
    assert (status["scope"], status["limit"], status["held"]) == ("all", 1.0, 0.0)
    assert Decimal(str(status["spent"])).quantize(Decimal("1e-9")) == kit.spent("day")
    assert "$1.00 a day" in repr(kit)
    assert kit.budgets.remove() == 1 and kit.budgets.status().empty


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_names(kit, name):
    kit.ask("hi", model="scripted:m", tags=[name], max_tokens=5)
    assert len(kit.calls(tags=name)) == 1
    assert kit.spent("all", by="tag")["tag"].tolist() == [name]
    assert kit.costs(by="tag").frame["tag"].tolist() == [name, "total"]
    assert "<script>" not in kit.costs(by="tag")._repr_html_()
    kit.budgets.set(daily=5, tag=name)
    assert kit.budgets.status()["spent"].iloc[0] > 0
    assert kit.log.check().ok


@pytest.mark.parametrize(
    "query",
    [
        "ATTACH 'x.db'",
        "COPY calls TO 'x.csv'",
        "SELECT * FROM read_csv('aikit.toml')",
        "SELECT * FROM 'aikit.toml'",
        "SELECT * FROM glob('*')",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA database_list",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "SELECT * FROM frame",
        "DELETE FROM calls",
        "CREATE TABLE x (a INT)",
        "SELECT 1; SELECT 2",
        "",
    ],
)
def test_sql_reads_the_log_and_does_nothing_else(kit, query, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("aikit.toml").write_text("a = 1\n")
    frame = kit.calls()
    assert frame.empty
    with pytest.raises(errors.LogError):
        kit.sql(query)
    assert sorted(os.listdir(tmp_path)) == ["aikit.toml", "home"]


def test_what_is_asked_of_the_log_in_vain_is_said_in_words(kit):
    for wrong in ("7 fortnights", 7):
        with pytest.raises(errors.UnknownSetting, match="write '7d'"):
            kit.calls(since=wrong)
    for wrong in (-1, "3", True):
        with pytest.raises(errors.UnknownSetting, match="limit="):
            kit.attempts(limit=wrong)
    with pytest.raises(errors.UnknownSetting, match="known endings"):
        kit.costs(by="model").export("costs.doc")


def test_a_changed_file_holds_within_a_second_and_a_broken_one_keeps_what_held(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "aikit.toml"

    def write(text):
        file.write_text('[providers.scripted]\noptions = { reply = "fine" }\n' + text)

    write("[defaults]\nmodel = 'scripted:one'\n")
    with aikit.open() as kit:
        assert kit.ask("hi").model == "one"
        write("[defaults]\nmodel = 'scripted:two'\n[log]\nstore_text = 'none'\n")
        time.sleep(1.05)
        assert kit.ask("a secret").model == "two"
        write("[defaults]\nmodell = 'scripted:three'\n")
        time.sleep(1.05)
        assert kit.ask("hi").model == "two"
        assert "did you mean 'model'" in kit.config.problem and "line 4" in kit.config.problem
        found = kit.check(network=False)
        assert "problem" in found[found["subject"] == "aikit.toml"]["state"].tolist()
        explained = repr(kit.config.explain("defaults.model"))
        assert "'scripted:two'" in explained and "aikit.toml, line 4" in explained
        assert kit.calls(texts=True)["prompt"].notna().tolist() == [True, False, False]


def test_texts_are_kept_as_the_settings_say_from_one_call_to_the_next(kit):
    for mode in ("full", "hash", "none"):
        kit.configure({"log.store_text": mode})
        kit.ask(f"{mode} prompt", model="scripted:m", max_tokens=5)
        kit.flush()
    prompts = kit.calls(texts=True)["prompt"].tolist()
    assert "full prompt" in prompts[0] and not any(isinstance(one, str) for one in prompts[1:])
    hashed = kit.sql("SELECT prompt_hash IS NOT NULL AND prompt_hash <> '' AS kept FROM calls ORDER BY started_at")
    assert hashed["kept"].tolist() == [True, True, False]


@pytest.mark.parametrize("changes", [{"": 3}, {3: 4}, {"defaults.modl": "x"}, {"budgets.daily": -4}, {"log": 3}])
def test_a_change_that_makes_no_sense_changes_nothing(kit, changes):
    before = kit.config.settings
    with pytest.raises(errors.ConfigError):
        kit.configure(changes)
    assert kit.config.settings == before


def test_a_setting_that_needs_a_new_kit_says_so(kit, tmp_path):
    with pytest.warns(UserWarning, match=r"log\.home holds from the next"):
        kit.configure({"log.home": str(tmp_path / "other")})


def test_a_key_is_rotated_while_200_calls_run_and_none_fails(tmp_path):
    keys = [f"sk-{number}-0123456789abcdef" for number in range(4)]
    good, seen = {keys[0]}, set()

    def answer(request):
        key = request.headers["authorization"].removeprefix("Bearer ")
        seen.add(key)
        return json_reply(chat_whole()) if key in good else json_reply({"error": {"message": "revoked"}}, 401)

    async def work(url):
        provider = {"base_url": f"{url}/v1", "api_key": keys[0]}
        async with AsyncKit(home=tmp_path / "home", config={"providers": {"openai": provider}}) as kit:
            numbers = iter(range(200))

            async def worker():
                for number in numbers:
                    if number in (50, 100, 150):
                        newer = keys[number // 50]
                        good.add(newer)
                        kit.configure({"providers.openai.api_key": newer})
                    await kit.ask("hi", model="openai:m")

            await asyncio.gather(*(worker() for _ in range(8)))
            return await kit.calls()

    with Server(answer) as server:
        calls = asyncio.run(work(server.url))
    assert calls["status"].tolist() == ["ok"] * 200
    assert seen == set(keys)


def test_a_closed_kit_says_what_to_do(kit):
    kit.close()
    with pytest.raises(errors.LogError, match=r"is closed; open another kit: aikit\.open\(\)"):
        kit.ask("hi", model=Scripted(reply="fine"))


def test_estimate_count_reprice_and_compact_answer(kit):
    estimate = kit.estimate("hi there", model="scripted:m", max_tokens=10)
    assert 0 < estimate.low <= estimate.likely <= estimate.upper
    assert kit.count_tokens("hi there", model="scripted:m").tokens > 0
    cost = kit.ask("hi", model="scripted:m", max_tokens=5).cost
    kit.configure({'providers.scripted.prices."m"': {"input": 2000, "output": 2000}})
    repriced = kit.reprice().frame.iloc[-1]
    assert Decimal(str(repriced["cost"])) == cost
    assert repriced["repriced"] == pytest.approx(2 * float(cost))
    assert set(kit.log.compact()) == {"before", "after"}
    assert len(kit.calls()) == 1 and kit.log.check().ok
