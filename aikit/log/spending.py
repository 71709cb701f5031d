"""What was spent, summed by quarters of an hour: no question about money ever reads the calls."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import date
from typing import NamedTuple

import msgspec

from aikit.log import ledger
from aikit.log.ledger import QUARTER, Budget, HeldRow, Scopes
from aikit.log.periods import bounds, local_day
from aikit.log.postings import Postings, Rules
from aikit.log.schema import AttemptRow, EventRow

__all__ = ["Spent", "by_day", "days", "give_up", "log_lost", "possibly_billed", "spent", "sums"]


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


def spent(connection: sqlite3.Connection, start: float | None, ends: float | None = None) -> list[Spent]:
    """Return what was spent between two times (Unix seconds; None: all time), for each combination of scopes."""
    rows = connection.execute(
        "SELECT scopes, attempts, cost, estimated, unpriced FROM spending_scopes JOIN ("
        " SELECT scope_id, sum(attempts) AS attempts, sum(cost) AS cost, sum(estimated) AS estimated,"
        " sum(unpriced) AS unpriced FROM spending WHERE quarter >= ? AND quarter < ? GROUP BY scope_id)"
        " USING (scope_id)",
        (int((start or 0) // QUARTER), int((ends or 2**40) // QUARTER)),
    )
    return [Spent(Scopes.decoded(scopes), *figures) for scopes, *figures in rows]


def days(connection: sqlite3.Connection, start: float | None, now: float, timezone: str) -> list[tuple[date, Spent]]:
    """Return what was spent on each local day from `start` (Unix seconds; None: the first) to `now`."""
    (first,) = connection.execute(
        "SELECT min(quarter) FROM spending WHERE quarter >= ?", ((start or 0) // QUARTER,)
    ).fetchone()
    found: list[tuple[date, Spent]] = []
    at = float(first * QUARTER) if first is not None else now + 1
    while at <= now:
        _, ends = bounds(at, "day", timezone)
        found.extend((local_day(at, timezone), row) for row in spent(connection, at, ends))
        at = float(ends)
    return found


def by_day(connection: sqlite3.Connection, budget: Budget, *, now: float, count: int = 28) -> list[int]:
    """Return what a budget's scope spent on each of the last whole local days, oldest first, from its first day on."""
    scopes = ledger.applying(connection, budget)
    today, _ = bounds(now, "day", budget.timezone)
    sums: list[int] = []
    ends = today
    for _ in range(count):
        start, _ = bounds(ends - 1, "day", budget.timezone)
        (cost,) = connection.execute(
            "SELECT coalesce(sum(cost), 0) FROM spending WHERE quarter >= ? AND quarter < ?"
            " AND scope_id IN (SELECT value FROM json_each(?))",
            (start // QUARTER, ends // QUARTER, scopes),
        ).fetchone()
        sums.append(int(cost))
        ends = start
    while sums and not sums[-1]:
        sums.pop()
    return sums[::-1]


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
