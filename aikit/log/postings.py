"""The postings of one transaction: what it holds, settles and releases, written to the ledger in one go at its end.

Sums are read as they were before the transaction and changed in memory; rows are written by `write`. So a hundred
settlements of the same quarter of an hour cost one statement each for their rows and one for their sum.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec

from aikit.log import ledger
from aikit.log.ledger import HELD, POSSIBLY_BILLED, QUARTER, SETTLED, Budget, Scopes
from aikit.log.schema import EventRow

__all__ = ["Crossing", "Known", "Postings", "Room", "Rules"]


class Rules:
    """The budgets as of one version, and which of them apply to what."""

    def __init__(self, version: int, budgets: Sequence[Budget]) -> None:
        self.version = version
        self.budgets = tuple(budgets)
        self._matching: dict[Scopes, tuple[Budget, ...]] = {}
        self._hard: dict[Scopes, frozenset[int]] = {}

    @classmethod
    def read(cls, connection: sqlite3.Connection) -> Rules:
        """Read every budget."""
        return cls(ledger.version(connection), ledger.budgets(connection))

    def matching(self, scopes: Scopes) -> tuple[Budget, ...]:
        """Return the budgets that a call under these scopes counts in."""
        found = self._matching.get(scopes)
        if found is None:
            if len(self._matching) > 10_000:
                self._matching.clear()
            found = self._matching[scopes] = tuple(budget for budget in self.budgets if budget.applies(scopes))
        return found

    def hard(self, scopes: Scopes) -> frozenset[int]:
        """Return the ids of the hard budgets that apply."""
        found = self._hard.get(scopes)
        if found is None:
            if len(self._hard) > 10_000:
                self._hard.clear()
            found = frozenset(budget.budget_id for budget in self.matching(scopes) if budget.hard)
            self._hard[scopes] = found
        return found


class Known(NamedTuple):
    """A reservation that is there already."""

    state: int
    cost: int | None
    """What it was settled at; None while it is held, or where no price was known."""


class Crossing(NamedTuple):
    """A budget's spend has reached one of its thresholds, for the first time in the period."""

    budget: Budget
    threshold: float
    spent: int
    start: int
    ends: int


class Room(NamedTuple):
    """Whether an amount fits into the hard budgets that apply."""

    verdict: Literal["fits", "waits", "refused"]
    budget: Budget | None = None
    """The one in the way."""
    settled: int = 0
    held: int = 0
    ends: int = 0


@dataclass(slots=True)
class _Sums:
    budget: Budget
    start: int
    ends: int
    settled: int
    held: int
    new: bool
    changed: bool = False


@dataclass(slots=True)
class _Bucket:
    attempts: int = 0
    cost: int = 0
    estimated: int = 0
    unpriced: int = 0


@dataclass(slots=True)
class _Rows:
    inserts: dict[str, tuple[Any, ...]] = field(default_factory=dict[str, tuple[Any, ...]])
    updates: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    deletes: list[tuple[str]] = field(default_factory=list[tuple[str]])


class Postings:
    """One transaction's changes; call `write` at its end."""

    def __init__(self, connection: sqlite3.Connection, rules: Rules, *, owner: str, now: float) -> None:
        self._connection = connection
        self._rules = rules
        self._owner = owner
        self._now = now
        self._sums: dict[tuple[int, int], _Sums | None] = {}
        self._bounds: dict[int, tuple[int, int]] = {}
        self._buckets: dict[tuple[int, Scopes], _Bucket] = {}
        self._rows = _Rows()
        self._known: dict[str, Known | None] = {}
        """What was looked up, and what this transaction has changed since."""

    def look_up(self, keys: Sequence[str]) -> None:
        """Look many keys up at once, before any of them is changed."""
        self._known.update(dict.fromkeys(keys))
        self._known.update({key: Known(state, cost) for key, state, cost in ledger.known(self._connection, keys)})

    def known(self, key: str) -> Known | None:
        """Return the reservation of this key, in this process or another; None when there is none."""
        if key in self._known:
            return self._known[key]
        row = self._connection.execute("SELECT state, cost FROM reservations WHERE key = ?", (key,)).fetchone()
        return Known(*row) if row else None

    def room(self, scopes: Scopes, at: float, upper: int) -> Room:
        """Return whether `upper` fits into every hard budget: refused for good, or in the way of holds only."""
        waits: Room | None = None
        for sums in self._touched(scopes, at):
            if not sums.budget.hard:
                continue
            if sums.settled + upper > sums.budget.amount:
                return Room("refused", sums.budget, sums.settled, sums.held, sums.ends)
            if waits is None and sums.settled + sums.held + upper > sums.budget.amount:
                waits = Room("waits", sums.budget, sums.settled, sums.held, sums.ends)
        return waits or Room("fits")

    def hold(self, key: str, at: float, upper: int | None, scopes: Scopes, intent: Mapping[str, Any] | None) -> None:
        """Write the reservation down and hold its upper bound."""
        for sums in self._touched(scopes, at):
            sums.held += upper or 0
            sums.changed = True
        text = json.dumps(intent, default=str) if intent else None
        self._known[key] = Known(HELD, None)
        self._rows.inserts[key] = (key, self._owner, at, upper, scopes.encoded(), text)

    def settle(
        self, key: str, at: float, upper: int | None, scopes: Scopes, *, cost: int | None, estimated: bool, keep: bool
    ) -> None:
        """Replace a hold by what was charged; None where no price is known. `keep` remembers the key."""
        before = self._close(key, at, upper, scopes)
        if before is not None and before.state == POSSIBLY_BILLED:
            # Its owner was taken for dead: what was put down for it then is taken back.
            self._add(at, scopes, _Bucket(-1, -(before.cost or 0), -(before.cost or 0), -int(before.cost is None)))
        self.charge(at, scopes, cost=cost, estimated=estimated)
        if keep:
            self._known[key] = Known(SETTLED, cost)
            self._rows.updates.append((key, self._owner, SETTLED, at, upper, cost, scopes.encoded(), self._now))

    def charge(self, at: float, scopes: Scopes, *, cost: int | None, estimated: bool) -> None:
        """Book a cost that nothing was held for."""
        self._add(at, scopes, _Bucket(1, cost or 0, (cost or 0) if estimated else 0, int(cost is None)))

    def give_up(self, row: ledger.HeldRow) -> None:
        """Settle a dead owner's reservation at its upper bound, and remember it as possibly billed."""
        self._close(row.key, row.at, row.upper, row.scopes)
        self._add(row.at, row.scopes, _Bucket(1, row.upper or 0, row.upper or 0, int(row.upper is None)))
        self._rows.updates.append(
            (row.key, row.owner, POSSIBLY_BILLED, row.at, row.upper, row.upper, row.scopes.encoded(), self._now)
        )

    def release(self, key: str, at: float, upper: int | None, scopes: Scopes) -> None:
        """Drop a hold: nothing was billed."""
        before = self._close(key, at, upper, scopes)
        if before is not None and before.state == POSSIBLY_BILLED:
            self._add(at, scopes, _Bucket(-1, -(before.cost or 0), -(before.cost or 0), -int(before.cost is None)))

    def write(self) -> list[Crossing]:
        """Write everything; return the thresholds that were reached for the first time."""
        execute_many = self._connection.executemany
        rows = self._rows
        execute_many("DELETE FROM reservations WHERE key = ?", rows.deletes)
        execute_many(
            "INSERT INTO reservations (key, owner, state, at, upper, scopes, intent) VALUES (?, ?, 0, ?, ?, ?, ?)",
            list(rows.inserts.values()),
        )
        execute_many(
            "INSERT INTO reservations (key, owner, state, at, upper, cost, scopes, settled_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET state = excluded.state,"
            " cost = excluded.cost, settled_at = excluded.settled_at, intent = NULL",
            rows.updates,
        )
        execute_many(
            "INSERT OR IGNORE INTO spending_scopes (scopes) VALUES (?)",
            [(text,) for text in {by.encoded() for _, by in self._buckets}],
        )
        execute_many(
            "INSERT INTO spending VALUES (?, (SELECT scope_id FROM spending_scopes WHERE scopes = ?), ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts, cost = cost + excluded.cost,"
            " estimated = estimated + excluded.estimated, unpriced = unpriced + excluded.unpriced",
            [
                (quarter, by.encoded(), bucket.attempts, bucket.cost, bucket.estimated, bucket.unpriced)
                for (quarter, by), bucket in self._buckets.items()
            ],
        )
        changed = [sums for sums in self._sums.values() if sums is not None and (sums.changed or sums.new)]
        execute_many(
            "INSERT OR REPLACE INTO budget_periods VALUES (?, ?, ?, ?, ?)",
            [(sums.budget.budget_id, sums.start, sums.ends, sums.settled, sums.held) for sums in changed],
        )
        return [crossing for sums in changed for crossing in self._crossings(sums)]

    def _crossings(self, sums: _Sums) -> list[Crossing]:
        budget = sums.budget
        reached = [share for share in budget.alert_at if sums.settled and sums.settled >= share * budget.amount]
        if not reached:
            return []
        told = {
            threshold
            for (threshold,) in self._connection.execute(
                "SELECT threshold FROM alerts WHERE budget_id = ? AND start = ?", (budget.budget_id, sums.start)
            )
        }
        new = [share for share in reached if share not in told]
        self._connection.executemany(
            "INSERT INTO alerts VALUES (?, ?, ?, ?, ?, 0)",
            [(budget.budget_id, sums.start, share, self._now, sums.settled) for share in new],
        )
        crossings = [Crossing(budget, share, sums.settled, sums.start, sums.ends) for share in new]
        self._connection.executemany(
            "INSERT INTO spool (kind, body) VALUES ('event', ?)",
            [(msgspec.json.encode(_event(crossing, self._now)),) for crossing in crossings],
        )
        return crossings

    def _close(self, key: str, at: float, upper: int | None, scopes: Scopes) -> Known | None:
        """Take a reservation's row and its hold away, as far as they are there."""
        before = self.known(key)
        if self._rows.inserts.pop(key, None) is None and before is not None:
            self._rows.deletes.append((key,))
        self._known[key] = None
        if before is not None and before.state == HELD:
            for sums in self._touched(scopes, at):
                sums.held -= upper or 0
                sums.changed = True
        return before

    def _add(self, at: float, scopes: Scopes, change: _Bucket) -> None:
        bucket = self._buckets.setdefault((int(at // QUARTER), scopes), _Bucket())
        bucket.attempts += change.attempts
        bucket.cost += change.cost
        bucket.estimated += change.estimated
        bucket.unpriced += change.unpriced
        for sums in self._touched(scopes, at):
            sums.settled += change.cost
            sums.changed = True

    def _touched(self, scopes: Scopes, at: float) -> list[_Sums]:
        found = (self._period(budget, at) for budget in self._rules.matching(scopes))
        return [sums for sums in found if sums is not None]

    def _period(self, budget: Budget, at: float) -> _Sums | None:
        start, ends = self._current(budget, at)
        key = (budget.budget_id, start)
        if key not in self._sums:
            self._sums[key] = self._load(budget, start, ends)
        return self._sums[key]

    def _current(self, budget: Budget, at: float) -> tuple[int, int]:
        known = self._bounds.get(budget.budget_id)
        if known is None or not known[0] <= at < known[1]:
            known = self._bounds[budget.budget_id] = ledger.current(budget, at)
        return known

    def _load(self, budget: Budget, start: int, ends: int) -> _Sums | None:
        row = self._connection.execute(
            "SELECT settled, held FROM budget_periods WHERE budget_id = ? AND start = ?", (budget.budget_id, start)
        ).fetchone()
        if row is not None:
            return _Sums(budget, start, ends, row[0], row[1], new=False)
        if ends <= self._now:
            return None  # a period that is over and that nobody looks at
        return _Sums(budget, start, ends, *ledger.summed(self._connection, budget, start, ends), new=True)


def _event(crossing: Crossing, now: float) -> EventRow:
    budget = crossing.budget
    return EventRow(
        happened_at=now,
        kind="budget_alert",
        subject=budget.name,
        message=f"{crossing.threshold:.0%} of the {budget.period}'s budget for {budget.name} is spent",
        data={
            "period": budget.period,
            "threshold": crossing.threshold,
            "spent": crossing.spent / 1e9,
            "limit": budget.amount / 1e9,
            "hard": budget.hard,
            "resets_at": crossing.ends,
        },
    )
