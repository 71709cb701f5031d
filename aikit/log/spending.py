"""What was spent, summed by quarters of an hour: no question about money ever reads the calls."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple

import msgspec

from aikit.log import ledger
from aikit.log.ledger import QUARTER, Budget, HeldRow, Scopes
from aikit.log.periods import local_day
from aikit.log.postings import Postings, Rules
from aikit.log.schema import AttemptRow, EventRow

__all__ = ["Spent", "by_day", "give_up", "log_lost", "possibly_billed", "spent", "sums"]


class Spent(NamedTuple):
    """One group's sum."""

    scopes: Scopes
    attempts: int
    cost: int
    """Nano-dollars."""
    estimated: int
    """Nano-dollars of `cost` that nobody reported."""
    unpriced: int
    """Attempts without a known price, not in `cost`."""
    quarter: int = 0


def spent(
    connection: sqlite3.Connection, start: float | None, ends: float | None = None, *, by_quarter: bool = False
) -> list[Spent]:
    """Return what was spent between two times (Unix seconds; None: all time), for each combination of scopes."""
    quarter = "quarter" if by_quarter else "0"
    rows = connection.execute(
        "SELECT provider, model, tags, experiment, prompt, sum(attempts), sum(cost), sum(estimated), sum(unpriced),"
        f" {quarter} FROM spending WHERE quarter >= ? AND quarter < ? GROUP BY 1, 2, 3, 4, 5, 10",  # ours
        (int((start or 0) // QUARTER), int((ends or 2**40) // QUARTER)),
    )
    return [
        Spent(Scopes(provider, model, tuple(json.loads(tags)), experiment, prompt), *sums)
        for provider, model, tags, experiment, prompt, *sums in rows
    ]


def by_day(connection: sqlite3.Connection, budget: Budget, *, now: float, days: int = 28) -> list[int]:
    """Return what a budget's scope spent on each of the last whole local days, oldest first, from its first day on."""
    today = local_day(now, budget.timezone)
    sums: dict[date, int] = {}
    for row in spent(connection, now - (days + 1) * 86400, now, by_quarter=True):
        day = local_day(row.quarter * QUARTER, budget.timezone)
        if today - timedelta(days=days) <= day < today and budget.applies(row.scopes):
            sums[day] = sums.get(day, 0) + row.cost
    if not sums:
        return []
    first = min(sums)
    return [sums.get(first + timedelta(days=place), 0) for place in range((today - first).days)]


def sums(connection: sqlite3.Connection, budget: Budget, at: float) -> tuple[int, int, int, int]:
    """Return (settled, held, start, ends) of the budget's period at `at`."""
    start, ends = ledger.current(budget, at)
    row = connection.execute(
        "SELECT settled, held FROM budget_periods WHERE budget_id = ? AND start = ?", (budget.budget_id, start)
    ).fetchone()
    settled, held = row or ledger.summed(connection, budget, start, ends)
    return int(settled), int(held), start, ends


def possibly_billed(connection: sqlite3.Connection) -> list[tuple[str, float, int | None, Scopes]]:
    """Return (key, time, upper bound, scopes) of the reservations whose process died before it knew, oldest first."""
    rows = connection.execute("SELECT key, at, upper, scopes FROM reservations WHERE state = 2 ORDER BY at")
    return [(str(key), float(at), upper, Scopes.decoded(scopes)) for key, at, upper, scopes in rows]


def give_up(connection: sqlite3.Connection, living: set[str], clock: Callable[[], float]) -> list[HeldRow]:
    """Settle what dead owners hold at its upper bound, each with its row in the log; for a transaction of its own."""
    dead = ledger.dead_holds(connection, living)
    if dead:
        now = clock()
        postings = Postings(connection, Rules.read(connection), owner="", now=now)
        for row in dead:
            postings.give_up(row)
            log_lost(connection, row, now)
        postings.write()
    return dead


def log_lost(connection: sqlite3.Connection, row: HeldRow, now: float) -> None:
    """Write the attempt that a dead process had under way into the log, in the same transaction as its settlement."""
    intent = row.intent
    attempt = AttemptRow(
        attempt_id=str(intent.get("attempt_id", row.key)),
        call_id=str(intent.get("call_id", "")),
        number=int(intent.get("number", 1)),
        started_at=row.at,
        provider=row.scopes.provider,
        model=row.scopes.model,
        status="unknown",
        usage_source="upper_bound",
        cost=row.upper,
        extra={"possibly_billed": True, "owner": row.owner},
    )
    upper = "nobody knows how much" if row.upper is None else f"at most ${row.upper / 1e9:.6f}"
    event = EventRow(
        happened_at=now,
        kind="possibly_billed",
        subject=row.key,
        message=f"{row.scopes.provider}:{row.scopes.model} was possibly billed ({upper}): its process died",
    )
    connection.executemany(
        "INSERT INTO spool (kind, body) VALUES (?, ?)",
        [("attempt", msgspec.json.encode(attempt)), ("event", msgspec.json.encode(event))],
    )
