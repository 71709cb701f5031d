"""The ledger: what calls may cost, hold and have cost, kept in the spool's file for good.

A reservation is written before its call is sent and settled after it: it is the call's intent. Amounts are whole
nano-dollars. Every function works inside the writer's transaction; what is summed up is kept summed up
(`budget_periods`, `spending`), so that no check ever looks at a call.

    held(budget, period)    = Σ upper of its reservations that are held
    settled(budget, period) = Σ cost in `spending`            both are checked by `differences`
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from aikit.log.periods import Period, bounds

__all__ = [
    "Budget",
    "HELD",
    "HeldRow",
    "POSSIBLY_BILLED",
    "QUARTER",
    "SETTLED",
    "Scopes",
    "applying",
    "budgets",
    "claim_alerts",
    "create_tables",
    "current",
    "dead_holds",
    "differences",
    "held",
    "known",
    "prepare",
    "put_budget",
    "remove_budgets",
    "standing",
    "summed",
    "trim",
    "version",
]

HELD, SETTLED, POSSIBLY_BILLED = 0, 1, 2
QUARTER = 900
"""Seconds of a bucket of `spending`: every time zone's midnight lies on a quarter of an hour."""

_TABLES = (
    """CREATE TABLE IF NOT EXISTS budgets (
        budget_id INTEGER PRIMARY KEY AUTOINCREMENT, scope TEXT NOT NULL, period TEXT NOT NULL,
        amount INTEGER NOT NULL, hard INTEGER NOT NULL, alert_at TEXT NOT NULL, timezone TEXT NOT NULL,
        source TEXT NOT NULL, UNIQUE (scope, period, source))""",
    """CREATE TABLE IF NOT EXISTS budget_periods (
        budget_id INTEGER NOT NULL, start INTEGER NOT NULL, ends INTEGER NOT NULL,
        settled INTEGER NOT NULL, held INTEGER NOT NULL, PRIMARY KEY (budget_id, start)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS reservations (
        key TEXT PRIMARY KEY NOT NULL, owner TEXT NOT NULL, state INTEGER NOT NULL, at REAL NOT NULL, upper INTEGER,
        cost INTEGER, scopes TEXT NOT NULL, intent TEXT, settled_at REAL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS reservations_held ON reservations (owner) WHERE state = 0",
    "CREATE INDEX IF NOT EXISTS reservations_settled ON reservations (settled_at) WHERE state = 1",
    "CREATE TABLE IF NOT EXISTS spending_scopes (scope_id INTEGER PRIMARY KEY, scopes TEXT NOT NULL UNIQUE)",
    """CREATE TABLE IF NOT EXISTS spending (
        quarter INTEGER NOT NULL, scope_id INTEGER NOT NULL, attempts INTEGER NOT NULL, cost INTEGER NOT NULL,
        estimated INTEGER NOT NULL, unpriced INTEGER NOT NULL, PRIMARY KEY (quarter, scope_id)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS alerts (
        budget_id INTEGER NOT NULL, start INTEGER NOT NULL, threshold REAL NOT NULL, at REAL NOT NULL,
        spent INTEGER NOT NULL, delivered INTEGER NOT NULL, PRIMARY KEY (budget_id, start, threshold)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS prices (
        price_id TEXT PRIMARY KEY NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, rates TEXT NOT NULL,
        first_used REAL NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS token_calibration (
        provider TEXT NOT NULL, model TEXT NOT NULL, observations INTEGER NOT NULL, ratio REAL NOT NULL,
        variance REAL NOT NULL, PRIMARY KEY (provider, model)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS ledger_state (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT OR IGNORE INTO ledger_state VALUES ('budgets', 0)",
)


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the ledger's tables where they are missing."""
    for statement in _TABLES:
        connection.execute(statement)


class Scopes(NamedTuple):
    """What a call is counted under; empty where it has none."""

    provider: str = ""
    model: str = ""
    tags: tuple[str, ...] = ()
    experiment: str = ""
    prompt: str = ""

    @classmethod
    def of(cls, scopes: Mapping[str, str | Sequence[str]]) -> Scopes:
        """Read scopes by name: `provider`, `model`, `tag` or `tags`, `experiment`, `prompt`."""
        named: dict[str, Any] = {}
        for name, value in scopes.items():
            if name in ("tag", "tags"):
                named["tags"] = (value,) if isinstance(value, str) else tuple(sorted(set(value)))
            elif name in cls._fields:
                named[name] = value or ""
            else:
                raise ValueError(f"no scope {name!r}; known: provider, model, tag, experiment, prompt")
        return cls(**named)

    def encoded(self) -> str:
        """Return the scopes as they are stored."""
        return _encoded(self)

    @classmethod
    def decoded(cls, text: str) -> Scopes:
        """Return the scopes that `encoded` stored."""
        return _decoded(text)


@lru_cache(maxsize=1024)
def _encoded(scopes: Scopes) -> str:
    return json.dumps(scopes)


@lru_cache(maxsize=1024)
def _decoded(text: str) -> Scopes:
    provider, model, tags, experiment, prompt = json.loads(text)
    return Scopes(provider, model, tuple(tags), experiment, prompt)


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on what may be spent in a period."""

    budget_id: int
    scope: Mapping[str, str]
    """Name → value, all of which have to match; empty: every call."""
    period: Period
    amount: int
    """Nano-dollars."""
    hard: bool
    alert_at: tuple[float, ...]
    """Shares of the amount, 0.8 for 80 %."""
    timezone: str
    source: str
    """`user`, or `config` for one out of the settings."""

    def applies(self, scopes: Scopes) -> bool:
        """Return whether a call under these scopes counts."""
        for name, value in self.scope.items():
            if name == "tag":
                matches = value in scopes.tags
            elif name == "model":
                matches = value in (scopes.model, f"{scopes.provider}:{scopes.model}")
            else:
                matches = getattr(scopes, name) == value
            if not matches:
                return False
        return True

    @property
    def amount_dollars(self) -> Decimal:
        """The amount in US dollars."""
        return Decimal(self.amount).scaleb(-9)

    @property
    def name(self) -> str:
        """The scope in words: `all`, `provider=openai`, `model=gpt-5-mini tag=nightly`."""
        return " ".join(f"{name}={value}" for name, value in self.scope.items()) or "all"


class HeldRow(NamedTuple):
    """A reservation without an end."""

    key: str
    owner: str
    at: float
    upper: int | None
    scopes: Scopes
    intent: Mapping[str, Any]


def version(connection: sqlite3.Connection) -> int:
    """Return a number that grows with every change of a budget."""
    return int(connection.execute("SELECT value FROM ledger_state WHERE name = 'budgets'").fetchone()[0])


def budgets(connection: sqlite3.Connection) -> list[Budget]:
    """Return every budget, oldest first."""
    rows = connection.execute(
        "SELECT budget_id, scope, period, amount, hard, alert_at, timezone, source FROM budgets ORDER BY budget_id"
    )
    return [
        Budget(number, json.loads(scope), period, amount, bool(hard), tuple(json.loads(alert_at)), timezone, source)
        for number, scope, period, amount, hard, alert_at, timezone, source in rows
    ]


def put_budget(connection: sqlite3.Connection, budget: Budget) -> int:
    """Set the budget of a scope, period and source, and return its id; `budget_id` is not looked at."""
    scope = json.dumps(dict(sorted(budget.scope.items())))
    connection.execute(
        "INSERT INTO budgets (scope, period, amount, hard, alert_at, timezone, source) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (scope, period, source) DO UPDATE SET amount = excluded.amount, hard = excluded.hard,"
        " alert_at = excluded.alert_at, timezone = excluded.timezone",
        (
            scope,
            budget.period,
            budget.amount,
            budget.hard,
            json.dumps(budget.alert_at),
            budget.timezone,
            budget.source,
        ),
    )
    (number,) = connection.execute(
        "SELECT budget_id FROM budgets WHERE (scope, period, source) = (?, ?, ?)",
        (scope, budget.period, budget.source),
    ).fetchone()
    # Another time zone has other periods: the sums are made anew when they are next needed.
    connection.execute("DELETE FROM budget_periods WHERE budget_id = ?", (number,))
    _changed(connection)
    return int(number)


def prepare(connection: sqlite3.Connection, budget: Budget, now: float) -> None:
    """Sum up what the budget's present period has so far, so that no call waits for that."""
    start, ends = current(budget, now)
    connection.execute(
        "INSERT OR REPLACE INTO budget_periods VALUES (?, ?, ?, ?, ?)",
        (budget.budget_id, start, ends, *summed(connection, budget, start, ends)),
    )


def remove_budgets(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Forget budgets and their sums; what was spent stays on record."""
    ids = [(number,) for number in numbers]
    connection.executemany("DELETE FROM budgets WHERE budget_id = ?", ids)
    connection.executemany("DELETE FROM budget_periods WHERE budget_id = ?", ids)
    _changed(connection)


def dead_holds(connection: sqlite3.Connection, living: set[str]) -> list[HeldRow]:
    """Return the reservations held by owners that are not among the living."""
    return [row for row in held(connection) if row.owner not in living]


def held(connection: sqlite3.Connection) -> list[HeldRow]:
    """Return every reservation without an end."""
    rows = connection.execute("SELECT key, owner, at, upper, scopes, intent FROM reservations WHERE state = 0")
    return [
        HeldRow(key, owner, at, upper, Scopes.decoded(scopes), json.loads(intent) if intent else {})
        for key, owner, at, upper, scopes, intent in rows
    ]


def claim_alerts(connection: sqlite3.Connection, numbers: Sequence[int]) -> list[tuple[Any, ...]]:
    """Take the alerts of these budgets that nobody has delivered: (budget_id, threshold, spent, start) of each."""
    if not numbers:
        return []
    marks = ", ".join("?" * len(numbers))
    return connection.execute(
        f"UPDATE alerts SET delivered = 1 WHERE delivered = 0 AND budget_id IN ({marks})"  # marks only
        " RETURNING budget_id, threshold, spent, start",
        tuple(numbers),
    ).fetchall()


def known(connection: sqlite3.Connection, keys: Sequence[str]) -> list[tuple[str, int, int | None]]:
    """Return (key, state, cost) of those keys that have a reservation."""
    rows = connection.execute(
        "SELECT key, state, cost FROM reservations WHERE key IN (SELECT value FROM json_each(?))",
        (json.dumps(list(keys)),),
    )
    return [(str(key), int(state), cost) for key, state, cost in rows]


def trim(connection: sqlite3.Connection, *, before: float, limit: int = 1000) -> int:
    """Forget settled reservations, and periods, that ended before a time; return how many reservations that were."""
    forgotten = connection.execute(
        "DELETE FROM reservations WHERE key IN"
        " (SELECT key FROM reservations WHERE state = 1 AND settled_at < ? LIMIT ?)",
        (before, limit),
    ).rowcount
    connection.execute("DELETE FROM budget_periods WHERE ends < ?", (before,))
    connection.execute("DELETE FROM alerts WHERE at < ?", (before - 366 * 86400,))
    return forgotten


def summed(connection: sqlite3.Connection, budget: Budget, start: int, ends: int) -> tuple[int, int]:
    """Return (settled, held) of a budget in a period, made from the rows."""
    (settled,) = connection.execute(
        "SELECT coalesce(sum(cost), 0) FROM spending WHERE quarter >= ? AND quarter < ?"
        " AND scope_id IN (SELECT value FROM json_each(?))",
        (start // QUARTER, ends // QUARTER, applying(connection, budget)),
    ).fetchone()
    holding = sum(row.upper or 0 for row in held(connection) if start <= row.at < ends and budget.applies(row.scopes))
    return settled, holding


def standing(connection: sqlite3.Connection, budget: Budget, start: int) -> tuple[int, int]:
    """Return (settled, held) of a budget in a period from the running sums; zeros where nothing is booked yet."""
    row = connection.execute(
        "SELECT settled, held FROM budget_periods WHERE budget_id = ? AND start = ?", (budget.budget_id, start)
    ).fetchone()
    return (row[0], row[1]) if row else (0, 0)


def applying(connection: sqlite3.Connection, budget: Budget) -> str:
    """Return the ids of the `spending_scopes` that count in a budget, as a JSON array."""
    rows = connection.execute("SELECT scope_id, scopes FROM spending_scopes")
    return json.dumps([number for number, scopes in rows if budget.applies(Scopes.decoded(scopes))])


def differences(connection: sqlite3.Connection) -> list[str]:
    """Return, in words, every running sum that is not the sum of its rows; empty when all agree."""
    found: list[str] = []
    by_number = {budget.budget_id: budget for budget in budgets(connection)}
    rows = connection.execute("SELECT budget_id, start, ends, settled, held FROM budget_periods").fetchall()
    for number, start, ends, settled, holding in rows:
        budget = by_number.get(number)
        expected = (0, 0) if budget is None else summed(connection, budget, start, ends)
        if budget is None or (settled, holding) != expected:
            name = budget.name if budget else f"budget {number}, which is gone"
            found.append(f"{name} from {start}: settled, held are {settled}, {holding}; the rows say {expected}")
    return found


def current(budget: Budget, at: float) -> tuple[int, int]:
    """Return the bounds of the budget's period at `at`."""
    return bounds(at, budget.period, budget.timezone)


def _changed(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE ledger_state SET value = value + 1 WHERE name = 'budgets'")
