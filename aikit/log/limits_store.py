"""The rate limits that processes share: what all of them sent, in the spool's SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from aikit.limits import Limits, Taken
from aikit.log.owners import living_owners

if TYPE_CHECKING:
    from aikit.log.spool import Spool

__all__ = ["SpoolLimits", "answered", "create_tables", "freeze", "settle", "take"]

Amounts = tuple[int, int, int, int]

_USED = """
    SELECT COALESCE(SUM(requests), 0), COALESCE(SUM(tokens), 0),
           COALESCE(SUM(input_tokens), 0), COALESCE(SUM(output_tokens), 0)
    FROM limit_entries WHERE name = ? AND leaves_at > ?
"""
_DAY = 86_403.0
"""Seconds of a day, and three for the way to the server."""
_EDGE = 0.001
_BURST = 0.1
_LOOK_AGAIN = 0.25
"""Seconds after which to ask again where only another process's end of a call, of which nobody tells, can help."""
_SELDOM = 1.0
"""The same for tokens that another process set aside and may give back."""
_FROZEN = -1
"""The dimension under which the end of a freeze is kept."""

_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS limit_entries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        owner TEXT NOT NULL,
        granted_at REAL NOT NULL,
        leaves_at REAL NOT NULL,
        kept_until REAL NOT NULL,
        running INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE INDEX IF NOT EXISTS limit_entries_by_name ON limit_entries (name, leaves_at)",
    """
    CREATE TABLE IF NOT EXISTS limit_levels (
        name TEXT NOT NULL,
        dimension INTEGER NOT NULL,
        level REAL NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (name, dimension)
    ) STRICT
    """,
)


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the tables of shared limits; what is there stays."""
    for statement in _TABLES:
        connection.execute(statement)


def take(
    connection: sqlite3.Connection,
    name: str,
    limits: Limits,
    wanted: Sequence[Amounts],
    *,
    now: float,
    owner: str,
    living: Callable[[], set[str]],
) -> Taken:
    """Grant the first of the wanted that fit all limits together with what every process sent; `now` is Unix time."""
    connection.execute("DELETE FROM limit_entries WHERE name = ? AND kept_until <= ? AND NOT running", (name, now))
    tickets: list[int] = []
    for amounts in wanted:
        wait = _wait_for(connection, name, limits, amounts, now, living)
        if wait > 0:
            return Taken(tuple(tickets), wait)
        tickets.append(_insert(connection, name, limits, amounts, now, owner))
    return Taken(tuple(tickets))


def _insert(connection: sqlite3.Connection, name: str, limits: Limits, amounts: Amounts, now: float, owner: str) -> int:
    # As in limits/window.py: until its answer begins, a request may be counted by the server up to this slack later.
    leaves = now + limits.window + max(1.0, limits.window * 0.05) + _EDGE
    kept = leaves if limits.requests_per_day is None else max(leaves, now + _DAY)
    cursor = connection.execute(
        "INSERT INTO limit_entries (name, owner, granted_at, leaves_at, kept_until, running, requests, tokens,"
        " input_tokens, output_tokens) VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?)",
        (name, owner, now, leaves, kept, *amounts),
    )
    for dimension, limit in limits.in_window():
        level = _level(connection, name, dimension, limit, limits.window, now) - amounts[dimension]
        _set_level(connection, name, dimension, level, now)
    return int(cursor.lastrowid or 0)


def _wait_for(
    connection: sqlite3.Connection,
    name: str,
    limits: Limits,
    amounts: Amounts,
    now: float,
    living: Callable[[], set[str]],
) -> float:
    """Return the seconds until the request may fit, 0 when it does."""
    waits = [_stored_level(connection, name, _FROZEN, (0.0, now))[1] - now]
    used = connection.execute(_USED, (name, now)).fetchone()
    excess = {index: used[index] + amounts[index] - limit for index, limit in limits.in_window()}
    waits.append(_leaving(connection, name, excess, now))
    waits += [
        _fills(connection, name, index, limit, limits.window, amounts[index], now)
        for index, limit in limits.in_window()
    ]
    if limits.requests_per_day is not None:
        waits.append(_day_wait(connection, name, limits.requests_per_day, now))
    if limits.concurrent is not None and _running(connection, name, living) >= limits.concurrent:
        waits.append(_LOOK_AGAIN)
    return max(waits)


def _leaving(connection: sqlite3.Connection, name: str, excess: dict[int, int], now: float) -> float:
    """Return the seconds until as much has left the window as is too much in it."""
    missing = {index: amount for index, amount in excess.items() if amount > 0}
    if not missing:
        return 0.0
    rows = connection.execute(
        "SELECT leaves_at, requests, tokens, input_tokens, output_tokens FROM limit_entries"
        " WHERE name = ? AND leaves_at > ? ORDER BY leaves_at",
        (name, now),
    )
    for leaves, *left in rows:
        missing = {index: amount - left[index] for index, amount in missing.items() if amount > left[index]}
        if not missing:
            return _soon(leaves - now, tokens=any(index > 0 for index in excess))
    return _SELDOM


def _fills(
    connection: sqlite3.Connection, name: str, dimension: int, limit: int, window: float, need: int, now: float
) -> float:
    level = _level(connection, name, dimension, limit, window, now)
    missing = min(need, _capacity(limit)) - level
    return _soon(missing * window / limit, tokens=dimension > 0) if missing > 1e-9 else 0.0


def _soon(seconds: float, *, tokens: bool) -> float:
    """Shorten a wait for tokens: others may use less than they set aside, and nobody would tell."""
    return min(seconds, _SELDOM) if tokens else seconds


def _day_wait(connection: sqlite3.Connection, name: str, limit: int, now: float) -> float:
    rows = connection.execute(
        "SELECT granted_at FROM limit_entries WHERE name = ? AND requests > 0 AND granted_at > ?"
        " ORDER BY granted_at DESC LIMIT 1 OFFSET ?",
        (name, now - _DAY, limit - 1),
    ).fetchone()
    return 0.0 if rows is None else float(rows[0]) + _DAY - now


def _running(connection: sqlite3.Connection, name: str, living: Callable[[], set[str]]) -> int:
    """Return how many calls are under way; those of processes that died are not."""
    owners = connection.execute(
        "SELECT owner, COUNT(*) FROM limit_entries WHERE name = ? AND running GROUP BY owner", (name,)
    ).fetchall()
    if not owners:
        return 0
    alive = living()
    for owner, _ in owners:
        if owner not in alive:
            connection.execute("UPDATE limit_entries SET running = 0 WHERE name = ? AND owner = ?", (name, owner))
    return sum(int(count) for owner, count in owners if owner in alive)


def _capacity(limit: int) -> float:
    return float(max(1, -(-limit * int(_BURST * 100) // 100)))


def _level(connection: sqlite3.Connection, name: str, dimension: int, limit: int, window: float, now: float) -> float:
    capacity = _capacity(limit)
    level, at = _stored_level(connection, name, dimension, (capacity, now))
    return min(capacity, level + max(0.0, now - at) * limit / window)


def _stored_level(
    connection: sqlite3.Connection, name: str, dimension: int, default: tuple[float, float]
) -> tuple[float, float]:
    row = connection.execute(
        "SELECT level, at FROM limit_levels WHERE name = ? AND dimension = ?", (name, dimension)
    ).fetchone()
    return (float(row[0]), float(row[1])) if row else default


def _set_level(connection: sqlite3.Connection, name: str, dimension: int, level: float, at: float) -> None:
    connection.execute("INSERT OR REPLACE INTO limit_levels VALUES (?, ?, ?, ?)", (name, dimension, level, at))


def settle(connection: sqlite3.Connection, ticket: int, amounts: Amounts | None) -> None:
    """Replace what a request set aside by what it used, or forget it where it was never sent."""
    row = connection.execute(
        "SELECT name, requests, tokens, input_tokens, output_tokens FROM limit_entries WHERE id = ?", (ticket,)
    ).fetchone()
    if row is None:
        return
    used = amounts or (0, 0, 0, 0)
    for dimension, (held, spent) in enumerate(zip(row[1:], used, strict=True)):
        connection.execute(
            "UPDATE limit_levels SET level = level + ? WHERE name = ? AND dimension = ?",
            (held - spent, row[0], dimension),
        )
    if amounts is None:
        connection.execute("DELETE FROM limit_entries WHERE id = ?", (ticket,))
        return
    connection.execute(
        "UPDATE limit_entries SET running = 0, tokens = ?, input_tokens = ?, output_tokens = ? WHERE id = ?",
        (*used[1:], ticket),
    )


def answered(connection: sqlite3.Connection, ticket: int, window: float, now: float) -> None:
    """Let a request leave the window one window after now, unless it leaves sooner."""
    connection.execute(
        "UPDATE limit_entries SET leaves_at = MIN(leaves_at, ?) WHERE id = ?", (now + window + _EDGE, ticket)
    )


def freeze(connection: sqlite3.Connection, name: str, until: float) -> None:
    """Let nobody send under this name before `until`, in Unix time."""
    _, before = _stored_level(connection, name, _FROZEN, (0.0, 0.0))
    _set_level(connection, name, _FROZEN, 0.0, max(before, until))


class SpoolLimits:
    """A `LimitStore` in the spool: each request is one operation in the writer's next transaction, within 20 ms."""

    def __init__(self, spool: Spool, home: Path | None = None) -> None:
        self._spool = spool
        self._home = home or spool.home

    def take(self, name: str, limits: Limits, wanted: Sequence[Amounts]) -> Future[Taken]:
        """Grant as many as fit, in order."""
        owner, clock = self._spool.owner, self._spool.clock

        def operation(connection: sqlite3.Connection) -> Taken:
            # The clock is read under the write lock: two processes' requests are stamped in the order they commit.
            return take(
                connection, name, limits, wanted, now=clock(), owner=owner, living=lambda: living_owners(self._home)
            )

        return self._spool.submit(operation)

    def answered(self, ticket: int, window: float) -> None:
        """Let the request leave the window one window after now."""
        now = self._spool.clock()
        self._spool.submit(lambda connection: answered(connection, ticket, window, now))

    def settle(self, ticket: int, amounts: Amounts | None) -> None:
        """Replace what was set aside by what was used."""
        self._spool.submit(lambda connection: settle(connection, ticket, amounts))

    def freeze(self, name: str, seconds: float) -> None:
        """Let nobody send under this name for so long."""
        until = self._spool.clock() + seconds
        self._spool.submit(lambda connection: freeze(connection, name, until))
