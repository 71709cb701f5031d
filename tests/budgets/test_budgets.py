"""Budgets as people set and read them: periods, status, groups, forecasts, alerts."""

from __future__ import annotations

import asyncio
import json
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from aikit.budgets import Alert, Reservation, Scopes
from aikit.budgets.forecast import forecast
from aikit.errors import BudgetExceeded, ConfigError, UnknownSetting
from aikit.log.periods import bounds
from aikit.prices import nano

OPENAI = Scopes("openai", "gpt-5-mini")


async def spend(till, amount: float, scopes: Scopes = OPENAI, *, estimated: bool = False) -> None:
    key = f"k{till.clock.now}-{amount}-{scopes}"
    reservation = await till.tracker.reserve(key, nano(amount), scopes, once=False)
    assert isinstance(reservation, Reservation)
    reservation.settle(nano(amount), estimated=estimated)


@pytest.mark.parametrize(
    ("zone", "noon", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T12:00:00+02:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00:00+01:00", 25),
        ("Europe/Berlin", "2026-06-01T12:00:00+02:00", 24),
        ("America/New_York", "2026-11-01T12:00:00-05:00", 25),
        ("Australia/Lord_Howe", "2026-10-04T12:00:00+11:00", 23.5),
        ("Africa/Cairo", "2026-04-24T12:00:00+03:00", 23),  # midnight itself is skipped
        ("America/Havana", "2026-11-01T12:00:00-05:00", 25),  # midnight comes twice
        ("Asia/Kathmandu", "2026-11-01T12:00:00+05:45", 24),
    ],
)
def test_a_day_is_as_long_as_its_clocks_say(clock, zone, noon, hours):
    clock.set(noon)
    start, ends = bounds(clock.now, "day", zone)
    assert (ends - start) / 3600 == hours
    assert bounds(ends - 1, "day", zone) == (start, ends)
    assert bounds(ends, "day", zone)[0] == ends
    assert start % 900 == 0


def test_periods_follow_each_other_without_gaps_through_a_year_of_any_zone(clock):
    clock.set("2026-01-01T00:00:00+00:00")
    for zone in ("Europe/Berlin", "America/Havana", "Africa/Cairo", "Pacific/Apia"):
        for period in ("day", "week", "month"):
            at = clock.now
            while at < clock.now + 366 * 86400:
                start, ends = bounds(at, period, zone)
                assert start <= at < ends
                assert bounds(ends, period, zone)[0] == ends
                at = ends


def test_a_daily_budget_begins_anew_at_local_midnight_of_a_night_with_25_hours(till):
    async def scenario():
        till.clock.set("2026-10-25T00:30:00+02:00")
        await till.budgets.set(daily=1, timezone="Europe/Berlin")
        await spend(till, 0.9)
        till.clock.set("2026-10-25T23:59:00+01:00")  # 24 hours and 29 minutes later, the same day
        with pytest.raises(BudgetExceeded):
            await spend(till, 0.2)
        till.clock.set("2026-10-26T00:00:00+01:00")
        await spend(till, 0.2)
        status = await till.budgets.status()
        assert status.loc[0, "spent"] == pytest.approx(0.2)
        assert status.loc[0, "resets_at"].isoformat() == "2026-10-26T23:00:00+00:00"

    asyncio.run(scenario())


def test_a_call_over_midnight_counts_on_the_day_it_began(till):
    async def scenario():
        till.clock.set("2026-11-18T23:59:59+00:00")
        await till.budgets.set(daily=1)
        reservation = await till.tracker.reserve("night", nano(0.9), OPENAI)
        till.clock.set("2026-11-19T00:00:01+00:00")
        morning = await till.tracker.reserve("morning", nano(1), OPENAI)
        reservation.settle(nano(0.5))
        morning.release()
        await asyncio.to_thread(till.tracker.flush)
        assert await till.budgets.spent("day") == 0
        assert await till.budgets.spent("month") == Decimal("0.5")

    asyncio.run(scenario())


def test_a_budget_set_late_knows_what_was_spent_and_held_before(till):
    async def scenario():
        await spend(till, 0.7, Scopes("openai", "gpt-5-mini", ("nightly",)))
        holding = await till.tracker.reserve("h", nano(0.2), OPENAI)
        await till.budgets.set(weekly=1, provider="openai")
        await till.budgets.set(weekly=1, tag="nightly")
        status = (await till.budgets.status()).set_index("scope")
        assert status.loc["provider=openai", ["spent", "held", "left"]].round(9).tolist() == [0.7, 0.2, 0.1]
        assert status.loc["tag=nightly", ["spent", "held", "left"]].round(9).tolist() == [0.7, 0, 0.3]
        holding.release()

    asyncio.run(scenario())


def test_setting_again_replaces_and_none_keeps(till):
    async def scenario():
        await till.budgets.set(daily=2, monthly=30)
        await till.budgets.set(daily=3)
        status = await till.budgets.status()
        assert status[["period", "limit"]].values.tolist() == [["day", 3.0], ["month", 30.0]]
        assert await till.budgets.remove(period="day") == 1
        assert [one.period for one in till.budgets.limits()] == ["month"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, "needs an amount"),
        ({"daily": -1}, "0 or more"),
        ({"daily": float("nan")}, "0 or more"),
        ({"daily": True}, "0 or more"),
        ({"daily": 1, "timezone": "Europe/Berln"}, "no time zone"),
        ({"daily": 1, "alert_at": (80,)}, "0.8 for 80 %"),
        ({"daily": 1, "webhook": "http://hooks.example.com/secret-token"}, "https addresses only"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused_in_words(till, said, message):
    with pytest.raises(ConfigError, match=message) as error:
        asyncio.run(till.budgets.set(**said))
    assert "secret-token" not in str(error.value)


def test_spent_by_groups_counts_a_call_under_each_of_its_tags(till):
    async def scenario():
        await spend(till, 0.3, Scopes("openai", "gpt-5-mini", ("a", "b")))
        await spend(till, 0.2, Scopes("openai", "gpt-5-mini", ("b",)), estimated=True)
        await spend(till, 0.1, Scopes("anthropic", "claude-haiku-4-5"))
        by_tag = (await till.budgets.spent(by="tag")).set_index("tag")
        assert by_tag["cost"].round(9).to_dict() == {"b": 0.5, "a": 0.3, "": 0.1}
        assert by_tag.loc["b", "estimated"] == pytest.approx(0.2)
        by_both = await till.budgets.spent("all", by=["provider", "day"])
        assert by_both[["provider", "cost"]].round(9).values.tolist() == [["anthropic", 0.1], ["openai", 0.5]]
        assert await till.budgets.spent(since="1h") == Decimal("0.6")
        with pytest.raises(UnknownSetting, match="did you mean 'model'"):
            await till.budgets.spent(by="modle")

    asyncio.run(scenario())


def settings(**budgets):
    said = {"daily": None, "weekly": None, "monthly": None, "hard": True, "alert_at": (0.5,), "timezone": "UTC"}
    limits = SimpleNamespace(daily_budget=0.5, monthly_budget=None)
    provider = SimpleNamespace(cost_limits=limits)
    return SimpleNamespace(
        budgets=SimpleNamespace(**{**said, "webhook": None, **budgets}), providers={"openai": provider}
    )


def test_budgets_of_the_settings_come_and_go_with_them(till):
    till.budgets.configure(settings(monthly=20))
    assert [(one.name, one.period, one.amount_dollars) for one in till.budgets.limits()] == [
        ("all", "month", Decimal(20)),
        ("provider=openai", "day", Decimal("0.5")),
    ]
    till.budgets.configure(settings())
    assert [one.name for one in till.budgets.limits()] == ["provider=openai"]


def test_an_alert_is_given_once_for_each_threshold_and_period(till):
    told: list[Alert] = []

    async def scenario():
        await till.budgets.set(daily=1, hard=False, on_alert=told.append)
        for _ in range(3):
            for amount in (0.3, 0.25, 0.3, 0.3, 0.3):
                await spend(till, amount)
                till.clock.now += 60
                await asyncio.to_thread(till.tracker.flush)
            till.clock.now += 86400
        await asyncio.to_thread(till.tracker.alerts.close)

    asyncio.run(scenario())
    assert [one.threshold for one in told] == [0.5, 0.8, 1.0] * 3
    assert told[0].spent == Decimal("0.55")
    events = till.spool.read(lambda c: c.execute("SELECT body FROM spool WHERE kind = 'event'").fetchall())
    assert [json.loads(body)["kind"] for (body,) in events] == ["budget_alert"] * 9


def test_an_alert_that_another_process_notices_is_told_here_once(till, tmp_path):
    from tests.budgets.conftest import Till

    told: list[Alert] = []

    async def scenario():
        await till.budgets.set(daily=1, on_alert=told.append)
        other = Till(tmp_path / "home", till.clock)
        await spend(other, 0.6)
        await asyncio.to_thread(other.tracker.flush)
        await spend(till, 0.01)
        await asyncio.to_thread(till.tracker.flush)
        await asyncio.to_thread(till.tracker.alerts.close)
        other.close()

    asyncio.run(scenario())
    assert [one.threshold for one in told] == [0.5]


def test_a_callback_that_raises_stops_nothing_and_is_logged(till):
    def broken(alert: Alert) -> None:
        raise RuntimeError("no such channel")

    async def scenario():
        await till.budgets.set(daily=1, on_alert=broken)
        await spend(till, 0.6)
        await asyncio.to_thread(till.tracker.flush)
        await asyncio.to_thread(till.tracker.alerts.close)
        await spend(till, 0.1)
        await asyncio.to_thread(till.tracker.flush)
        await asyncio.to_thread(till.spool.flush)

    asyncio.run(scenario())
    events = till.spool.read(lambda c: c.execute("SELECT body FROM spool WHERE kind = 'event'").fetchall())
    assert any("no such channel" in body.decode() for (body,) in events)


def test_a_webhook_gets_the_alert_again_after_a_failure_and_no_log_names_its_address(till):
    got: list[dict] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(503 if len(got) == 1 else 204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    slept: list[float] = []
    till.tracker.alerts._sleep = slept.append

    async def scenario():
        url = f"http://127.0.0.1:{server.server_port}/services/SECRET"
        await till.budgets.set(monthly=1, webhook=url)
        await spend(till, 0.6)
        await asyncio.to_thread(till.tracker.flush)
        await asyncio.to_thread(till.tracker.alerts.close)

    asyncio.run(scenario())
    server.shutdown()
    server.server_close()
    assert len(got) == 2
    assert got[0] == got[1]
    assert (got[0]["budget"], got[0]["threshold"], got[0]["spent"], got[0]["limit"]) == (
        "all",
        0.5,
        "0.600000000",
        "1.000000000",
    )
    assert slept == [1.0]
    till.spool.flush()
    everything = b"".join(path.read_bytes() for path in till.spool.home.glob("spool.sqlite*"))
    assert b"SECRET" not in everything


def test_a_forecast_extends_the_last_days_and_says_how_sure_it_is():
    steady = forecast([2.0] * 10, spent=10, elapsed=5, left=10)
    assert (steady.likely, steady.low, steady.high) == (30, 30, 30)
    uneven = forecast([1.0, 3.0] * 5, spent=10, elapsed=5, left=10)
    assert uneven.likely == 30
    assert 10 < uneven.low < 30 < uneven.high
    assert uneven.high - 30 == pytest.approx(1.833 * 1.0541 * 20**0.5, rel=0.01)  # t(9) at 95 %, s, √(m + m²/n)
    young = forecast([], spent=1, elapsed=0.5, left=0.5)
    assert (young.likely, young.low, young.high) == (2, 1, 4)
    assert forecast([5.0] * 9, spent=7, elapsed=1, left=0).high == 7


def test_the_forecast_s_interval_holds_nine_times_in_ten():
    import random

    chance = random.Random(5)
    inside = 0
    for _ in range(1000):
        days = [chance.gauss(10, 3) for _ in range(24)]
        seen = forecast(days[:14], spent=0, elapsed=0, left=10)
        inside += seen.low <= sum(days[14:]) <= seen.high
    assert 870 <= inside <= 930


def test_status_says_where_a_month_is_going(till):
    async def scenario():
        for day in range(8, 18):
            till.clock.set(f"2026-11-{day:02d}T10:00:00+00:00")
            await spend(till, 1.0)
        till.clock.set("2026-11-18T00:00:00+00:00")
        await till.budgets.set(monthly=100)
        row = (await till.budgets.status()).loc[0]
        assert row["spent"] == pytest.approx(10)
        assert row["forecast"] == pytest.approx(10 + 13)
        assert row["forecast_low"] == pytest.approx(23)

    asyncio.run(scenario())
