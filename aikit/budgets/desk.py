"""The desk: what this process wants from the ledger, taken there one transaction at a time.

Settlements and intents nobody waits for are handed over and grouped; requests under a hard budget are answered after
their transaction is committed. A request that only others' holds stand in the way of stays in line: first come, first
served within this process. Its turn comes with every settlement here, and every 50 ms for what other processes settle.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from aikit.errors import AikitError, LogError, LogUnwritable
from aikit.log import ledger, spending
from aikit.log.owners import living_owners
from aikit.log.postings import Crossing, Known, Postings, Room, Rules
from aikit.messages import GenerationOptions

if TYPE_CHECKING:
    from aikit.log.ledger import Scopes
    from aikit.log.spool import Spool

__all__ = ["Desk", "Outcome", "Request", "Reservation", "Turn"]

POLL_SECONDS = 0.05
RETRY_SECONDS = 0.5
DEAD_SECONDS = 1.0
REMEMBERED_SECONDS = 60 * 86_400.0
"""How long a settled key is known to `Seen`, and an ended period to the checks."""
_NO_OPTIONS = GenerationOptions()


class Reservation:
    """Money held for one attempt; settled or released once, from any thread; what is asked of it after is ignored.

    One that is forgotten is settled at its upper bound: it may have been billed.
    """

    __slots__ = ("_desk", "_open", "_pid", "at", "booked", "intent", "key", "once", "options", "scopes", "upper")

    def __init__(
        self,
        desk: Desk,
        key: str,
        upper: int | None,
        scopes: Scopes,
        *,
        at: float,
        once: bool,
        intent: Mapping[str, Any] | None,
    ) -> None:
        self._desk = desk
        self._pid = os.getpid()
        self._open = True
        self.key = key
        self.upper = upper
        """Nano-dollars held; None when no price is known."""
        self.scopes = scopes
        self.at = at
        """Unix seconds; the cost counts in the periods of this time, however long the call takes."""
        self.once = once
        self.intent = intent
        self.booked = False
        """Whether the ledger has its row; only the desk's transactions look at it."""
        self.options = _NO_OPTIONS
        """Room for whoever admits the attempt to say what to send."""

    def settle(self, cost: int | None, *, estimated: bool = False) -> None:
        """Book what was charged, in nano-dollars; None when it is not known. Returns at once.

        An unknown cost is booked at the upper bound where there is one, as an estimate, else as a call without a price.
        """
        if not self._closing():
            return
        if cost is None and self.upper is not None:
            cost, estimated = self.upper, True
        self._desk.post(("settle", self, cost, estimated))

    def release(self) -> None:
        """Give the money back: provably nothing was billed. Returns at once."""
        if self._closing():
            self._desk.post(("release", self, None, False))

    def _closing(self) -> bool:
        """Return whether this is the one time that it is closed; a forked child's copy is its parent's to close."""
        closing = self._open and self._pid == os.getpid()
        self._open = False
        return closing

    def __repr__(self) -> str:
        return f"Reservation({self.key!r}, {'held' if self._open else 'closed'})"

    def __del__(self) -> None:
        if self.booked and self._closing():
            self._desk.leave(("settle", self, self.upper, self.upper is not None))


Item = tuple[Literal["hold", "settle", "release"], Reservation, int | None, bool]


@dataclass(slots=True, eq=False)
class Request:
    """A reservation that somebody waits for."""

    reservation: Reservation
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Outcome]
    abandoned: bool = False
    room: Room | None = None
    """What stood in the way when it was last looked at; None before the first look."""


Outcome = Reservation | Known | Room | AikitError
"""Granted; the key is known already; refused; or the log could not be written."""


@dataclass(slots=True)
class Turn:
    """What one transaction brought."""

    answers: list[tuple[Request, Outcome]] = field(default_factory=list[tuple[Request, "Outcome"]])
    waiting: list[Request] = field(default_factory=list[Request])
    crossings: list[Crossing] = field(default_factory=list[Crossing])
    claimed: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])


class Desk:
    """One process's line before the ledger; at most one transaction of it is under way.

    `notice(turn)` is called in the writer's thread after each commit, and has to be quick.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        clock: Callable[[], float],
        notice: Callable[[Turn], None],
        claims: Callable[[], Sequence[int]],
    ) -> None:
        self._spool = spool
        self._clock = clock
        self._notice = notice
        self._claims = claims
        self.rules = spool.read(Rules.read)
        """The budgets as this process last saw them."""
        self.fault: Exception | None = None
        """Why the last transaction failed; None when it did not. What it should have booked is kept."""
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._items: deque[Item] = deque()
        self._batch: list[Item] = []
        self._requests: deque[Request] = deque()
        self._line: list[Request] = []
        self._running = False
        self._patient = False
        self._polling = False
        self._looked_for_dead = float("-inf")
        self._idle = threading.Condition()

    def post(self, item: Item) -> None:
        """Hand over what nobody waits for; never blocks, never raises for trouble with the disk."""
        if self._pid != os.getpid():
            self._begin()  # a forked child: what its parent had pending is the parent's
        self._items.append(item)
        if not self._running or self._line:
            self._kick(urgent=bool(self._line))

    def leave(self, item: Item) -> None:
        """Take an item from a finalizer, which may run inside our own lock: the next transaction books it."""
        self._items.append(item)

    def ask(self, request: Request) -> None:
        """Put a request in line."""
        if self._pid != os.getpid():
            self._begin()
        self._requests.append(request)
        self._kick(urgent=True)

    def close(self, timeout: float | None = None) -> None:
        """Book what is pending, and try no more after that."""
        self._closed = True
        self.flush(timeout)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything posted so far is committed. Raises LogUnwritable, and TimeoutError."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self._is_idle():
            if end is not None and time.monotonic() > end:
                raise TimeoutError("the ledger was not written in time")
            if self._items or self._batch:
                self._kick(urgent=True)
            with self._idle:
                # Not for longer: a finalizer leaves items without waking anybody.
                self._idle.wait_for(lambda: self._is_idle() or self.fault, POLL_SECONDS)
            if self.fault is not None:
                raise LogUnwritable(f"the ledger can't be written: {self.fault}") from self.fault

    def _is_idle(self) -> bool:
        return not (self._running or self._items or self._batch)

    def _kick(self, *, urgent: bool) -> None:
        with self._idle:
            start = not self._running
            wake = not start and urgent and self._patient
            if start:
                self.fault = None
                self._running = True
                self._patient = not urgent
            elif wake:
                self._patient = False
        try:
            if start:
                self._spool.submit(self._turn, patient=not urgent).add_done_callback(self._done)
            elif wake:
                self._spool.submit(_nothing)
        except LogError as error:
            self._failed(error)

    def _turn(self, connection: sqlite3.Connection) -> Turn:
        """Run in the writer's thread, within its transaction."""
        if ledger.version(connection) != self.rules.version:
            self.rules = Rules.read(connection)
        self._batch.extend(self._items.popleft() for _ in range(len(self._items)))
        self._line.extend(self._requests.popleft() for _ in range(len(self._requests)))
        now = self._clock()
        postings = Postings(connection, self.rules, owner=self._spool.owner, now=now)
        turn = Turn()
        self._give_up(connection, postings, now)
        self._book(postings)
        self._answer(postings, turn)
        turn.crossings = postings.write()
        turn.claimed = ledger.claim_alerts(connection, self._claims())
        return turn

    def _book(self, postings: Postings) -> None:
        closing = {id(item[1]) for item in self._batch if item[0] != "hold"}
        postings.look_up([item[1].key for item in self._batch if item[1].booked or id(item[1]) not in closing])
        for what, r, cost, estimated in self._batch:
            if what == "hold":
                # A call that is over before its intent was written needs no intent.
                r.booked = r.once or id(r) not in closing
                if r.booked:
                    r.key = r.key if postings.known(r.key) is None else f"{r.key}#{os.urandom(6).hex()}"
                    postings.hold(r.key, r.at, r.upper, r.scopes, r.intent)
            elif what == "release" and r.booked:
                postings.release(r.key, r.at, r.upper, r.scopes)
            elif what == "settle" and r.booked:
                postings.settle(r.key, r.at, r.upper, r.scopes, cost=cost, estimated=estimated, keep=r.once)
            elif what == "settle":
                postings.charge(r.at, r.scopes, cost=cost, estimated=estimated)

    def _answer(self, postings: Postings, turn: Turn) -> None:
        blocked: set[int] = set()
        for request in self._line:
            if request.abandoned:
                continue
            r = request.reservation
            # Before anything else: a trial that was sent already is no question of money.
            known = postings.known(r.key) if request.room is None else None
            if known is not None:
                turn.answers.append((request, known))
                continue
            hard = self.rules.hard(r.scopes) if r.upper != 0 else frozenset[int]()
            room = postings.room(r.scopes, r.at, r.upper or 0) if hard else Room("fits")
            if room.verdict == "fits" and hard & blocked:
                room = request.room or room._replace(verdict="waits")
            request.room = room
            if room.verdict == "waits":
                # Whoever comes later waits behind it, or a large request would wait forever.
                blocked |= hard
                turn.waiting.append(request)
            elif room.verdict == "refused" or (hard and r.upper is None):
                turn.answers.append((request, room))
            elif (known := postings.known(r.key)) is not None:
                turn.answers.append((request, known))
            else:
                postings.hold(r.key, r.at, r.upper, r.scopes, r.intent)
                turn.answers.append((request, r))

    def _give_up(self, connection: sqlite3.Connection, postings: Postings, now: float) -> None:
        """Settle what the dead hold: at the first transaction, and while somebody waits."""
        first = self._looked_for_dead == float("-inf")
        if not first and (not self._line or abs(now - self._looked_for_dead) < DEAD_SECONDS):
            return
        self._looked_for_dead = now
        if first:
            ledger.trim(connection, before=now - REMEMBERED_SECONDS)
        living = living_owners(self._spool.home) | {self._spool.owner}
        for row in ledger.dead_holds(connection, living):
            postings.give_up(row)
            spending.log_lost(connection, row, now)

    def _done(self, future: Future[Turn]) -> None:
        """Run in the writer's thread, after the commit or its failure."""
        error = future.exception()
        if error is not None:
            self._failed(error if isinstance(error, Exception) else LogError(str(error)))
            return
        turn = future.result()
        self.fault = None
        self._batch.clear()
        self._line = turn.waiting
        for _, outcome in turn.answers:
            if isinstance(outcome, Reservation):
                outcome.booked = True
        self._deliver(turn.answers)
        self._notice(turn)
        turn.answers = []  # the writer keeps its last results: a reservation must not live on by that
        with self._idle:
            self._running = False
            self._idle.notify_all()
        if self._requests or self._items:
            self._kick(urgent=bool(self._requests or self._line))
        elif self._line and not self._polling:
            self._poll_later(self._line[0].loop)

    def _failed(self, error: Exception) -> None:
        """Answer whoever waits with the error, and try again to book what has happened."""
        self.fault = error
        waiting = [*self._line, *self._requests]
        self._line.clear()
        self._requests.clear()
        refusal = error if isinstance(error, LogError) else LogUnwritable(f"the ledger can't be written: {error}")
        self._deliver([(request, refusal) for request in waiting])
        with self._idle:
            self._running = False
            self._idle.notify_all()
        if not (self._items or self._batch) or self._closed:
            return
        timer = threading.Timer(RETRY_SECONDS, lambda: self._kick(urgent=False))
        timer.daemon = True
        timer.start()

    def _deliver(self, answers: list[tuple[Request, Outcome]]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Request, Outcome]]] = {}
        for request, outcome in answers:
            by_loop.setdefault(request.loop, []).append((request, outcome))
        for loop, pairs in by_loop.items():
            try:
                loop.call_soon_threadsafe(_tell, pairs)
            except RuntimeError:  # the loop is closed: nobody waits any more
                for _, outcome in pairs:
                    if isinstance(outcome, Reservation):
                        outcome.release()

    def _poll_later(self, loop: asyncio.AbstractEventLoop) -> None:
        def poll() -> None:
            self._polling = False
            self._kick(urgent=True)

        self._polling = True
        try:
            loop.call_soon_threadsafe(loop.call_later, POLL_SECONDS, poll)
        except RuntimeError:  # the loop is closed, and whoever waited on it is gone
            self._polling = False
            self._line[0].abandoned = True
            self._kick(urgent=True)


def _tell(answers: list[tuple[Request, Outcome]]) -> None:
    """Run on the requests' own loop."""
    for request, outcome in answers:
        if not request.answer.done():
            request.answer.set_result(outcome)
        elif isinstance(outcome, Reservation):
            outcome.release()  # nobody waits for it any more


def _nothing(connection: sqlite3.Connection) -> None:
    """Wake the writer."""
