"""Several processes on one budget: never past it, not left unused, and nothing lost with a process that dies."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time

import pytest

from aikit.budgets import Reservation, Seen
from aikit.errors import BudgetExceeded
from aikit.log import ledger
from tests.budgets.till_process import SCOPES


def process(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.budgets.till_process", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def spend_together(till, *, limit: float, calls: int) -> tuple[float, int]:
    asyncio.run(till.budgets.set(monthly=limit))
    both = [process("spend", till.spool.home, seed, calls) for seed in (1, 2)]
    answers = [json.loads(one.communicate(timeout=120)[0]) for one in both]
    assert till.spool.read(ledger.differences) == []
    assert till.spool.read(ledger.held) == []
    booked = asyncio.run(till.budgets.spent("month"))
    billed = sum(one["billed"] for one in answers)
    assert round(float(booked) * 1e9) == billed
    return billed / 1e9 / limit, sum(one["refused"] for one in answers)


@pytest.fixture
def clock():
    return time.time


def test_two_processes_spend_a_hard_budget_and_never_more(till):
    share, refused = spend_together(till, limit=0.004, calls=100)
    assert 0.9 <= share <= 1
    assert refused > 0


@pytest.mark.slow
def test_a_thousand_concurrent_calls_in_two_processes_spend_a_hard_budget_and_never_more(till):
    share, refused = spend_together(till, limit=0.015, calls=500)
    assert 0.9 <= share <= 1
    assert refused > 0


def test_a_hold_of_a_process_that_was_killed_counts_in_full_and_is_listed_as_possibly_billed(till):
    async def scenario():
        await till.budgets.set(daily=1)
        other = process("hold", till.spool.home, "trial-7", 700_000_000)
        assert other.stdout.readline() == "held\n"
        waiting = asyncio.create_task(till.tracker.reserve("mine", 500_000_000, SCOPES))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        other.kill()
        other.communicate()
        with pytest.raises(BudgetExceeded, match=r"\$0\.700000 spent and \$0\.000000 held"):
            await asyncio.wait_for(waiting, 5)
        assert isinstance(await till.tracker.reserve("small", 300_000_000, SCOPES), Reservation)
        lost = await till.budgets.possibly_billed()
        assert lost[["key", "model", "cost"]].values.tolist() == [["trial-7", "gpt-5-mini", 0.7]]
        seen = await till.tracker.reserve("trial-7", 1, SCOPES)
        assert isinstance(seen, Seen)
        assert seen.state == "possibly_billed"

    asyncio.run(scenario())
    rows = till.spool.read(lambda connection: connection.execute("SELECT kind, body FROM spool").fetchall())
    attempts = [json.loads(body) for kind, body in rows if kind == "attempt"]
    assert [(one["call_id"], one["status"], one["usage_source"], one["cost"]) for one in attempts] == [
        ("call-trial-7", "unknown", "upper_bound", 700_000_000)
    ]


def test_a_call_waits_for_what_another_process_holds_and_goes_when_that_is_settled(till, tmp_path):
    from tests.budgets.conftest import Till

    async def scenario():
        other = Till(tmp_path / "home", till.clock)
        await till.budgets.set(daily=1)
        theirs = await other.tracker.reserve("theirs", 700_000_000, SCOPES)
        mine = asyncio.create_task(till.tracker.reserve("mine", 700_000_000, SCOPES))
        await asyncio.sleep(0.2)
        assert not mine.done()
        theirs.settle(1)
        assert isinstance(await asyncio.wait_for(mine, 2), Reservation)
        other.close()

    asyncio.run(scenario())
