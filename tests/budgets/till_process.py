"""A process that spends under the tests' budgets: `python -m tests.budgets.till_process spend|hold HOME …`."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from pathlib import Path

from aikit.budgets import CostTracker, Reservation, Scopes
from aikit.errors import BudgetExceeded
from aikit.log.spool import Spool

SCOPES = Scopes("openai", "gpt-5-mini")


async def spend(home: str, seed: str, calls: str) -> None:
    """Run concurrent calls of unequal cost, some of them retried, and print what was billed, in nano-dollars."""
    spool = Spool.open(Path(home), durability="os")
    tracker = CostTracker(spool)
    chance = random.Random(int(seed))
    bill: list[int] = []

    async def attempt(key: str, upper: int, cost: int, seconds: float) -> None:
        reservation = await tracker.reserve(key, upper, SCOPES, once=False, deadline=time.monotonic() + 60)
        assert isinstance(reservation, Reservation)
        await asyncio.sleep(seconds)
        if cost:
            bill.append(cost)
            reservation.settle(cost)
        else:
            reservation.release()

    async def call(number: int) -> int:
        upper = chance.randint(1_000, 100_000)
        try:
            for retry in range(chance.choice((1, 1, 1, 2))):
                cost = 0 if chance.random() < 0.1 else chance.randint(1, upper)
                await attempt(f"{seed}-{number}-{retry}", upper, cost, chance.random() / 20)
        except BudgetExceeded:
            return 1
        return 0

    refused = sum(await asyncio.gather(*(call(number) for number in range(int(calls)))))
    tracker.close()
    spool.close()
    print(json.dumps({"billed": sum(bill), "refused": refused}))


async def hold(home: str, key: str, upper: str) -> None:
    """Reserve, say so, and wait to be killed."""
    tracker = CostTracker(Spool.open(Path(home)))
    intent = {"attempt_id": key, "call_id": f"call-{key}", "number": 1}
    kept = await tracker.reserve(key, int(upper), SCOPES, intent=intent)
    print("held", flush=True)
    await asyncio.sleep(60)
    del kept


if __name__ == "__main__":
    asyncio.run({"spend": spend, "hold": hold}[sys.argv[1]](*sys.argv[2:]))
