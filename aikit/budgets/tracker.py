"""The cost tracker: may this attempt be afforded, and what did it cost."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from aikit.budgets.alerts import Alert, Alerts
from aikit.budgets.desk import Desk, Request, Reservation, Turn
from aikit.errors import AikitError, BudgetExceeded, UnknownPrice
from aikit.log import ledger, price_store
from aikit.log.ledger import Budget, Scopes
from aikit.log.postings import Known, Room, Rules
from aikit.log.schema import EventRow
from aikit.prices import Price, dollars, nano

if TYPE_CHECKING:
    from aikit.log.spool import Spool

__all__ = ["CostTracker", "Reservation", "Scopes", "Seen"]

_STATES: dict[int, Literal["held", "settled", "possibly_billed"]] = {
    ledger.HELD: "held",
    ledger.SETTLED: "settled",
    ledger.POSSIBLY_BILLED: "possibly_billed",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """The key has been reserved before: don't send the attempt again."""

    key: str
    state: Literal["held", "settled", "possibly_billed"]
    """`possibly_billed`: its process died before it knew."""
    cost: Decimal | None
    """US dollars; None while it is held, or where no price was known."""


class CostTracker:
    """Reserves and settles the cost of attempts against every budget that applies, across processes.

    `spool` is the log's; whoever opened it closes it, after `close()` here.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._clock = clock
        self._monotonic = monotonic
        self.alerts = Alerts()
        self.calibration = spool.read(price_store.load_calibration)
        """What is known of token counts; `observe` it, and it is kept when the tracker is closed."""
        self._prices: set[str] = set()
        stamp = spool.home / "budgets.stamp"
        stamp.touch(mode=0o600)
        self._stamp = str(stamp)
        self._seen_stamp = self._stamp_now()
        self._desk = Desk(spool, clock=clock, notice=self._notice, claims=self.alerts.claims)

    @property
    def spool(self) -> Spool:
        """The log's spool."""
        return self._spool

    @property
    def clock(self) -> Callable[[], float]:
        """Tells Unix seconds."""
        return self._clock

    @property
    def rules(self) -> Rules:
        """The budgets as this process last saw them."""
        return self._desk.rules

    async def is_hard(self, scopes: Scopes | Mapping[str, str | Sequence[str]]) -> bool:
        """Return whether a hard budget applies, set in this process or another; reads the disk after a change only."""
        if self._stamp_now() != self._seen_stamp:
            await self.reload()
        return bool(self._desk.rules.hard(_scopes(scopes)))

    async def reserve(
        self,
        key: str,
        upper: int | Decimal | None,
        scopes: Scopes | Mapping[str, str | Sequence[str]],
        *,
        deadline: float | None = None,
        once: bool = True,
        intent: Mapping[str, Any] | None = None,
    ) -> Reservation | Seen:
        """Hold the most that an attempt can cost, before it is sent.

        `upper` is in nano-dollars (int) or US dollars (Decimal); None where no price is known. Under a hard budget the
        reservation is on the disk when this returns; it waits while only other calls' holds stand in the way, until
        `deadline` (on the monotonic clock). `once=True` answers `Seen` for a key that was reserved before, by any
        process; `once=False` is for keys made for this attempt alone: without a hard budget it touches no disk and
        returns at once. `intent` is kept with the hold, to tell what was lost if this process dies: `attempt_id`,
        `call_id`, `number`.

        Raises `BudgetExceeded`, `UnknownPrice` under a hard budget, and `LogUnwritable` where a hold can't be written.
        """
        under = _scopes(scopes)
        amount = nano(upper) if isinstance(upper, Decimal) else upper
        if self._stamp_now() != self._seen_stamp:
            await self.reload()
        hard = self._desk.rules.hard(under)
        if hard and amount is None:
            raise UnknownPrice(_no_price(under))
        reservation = Reservation(self._desk, key, amount, under, at=self._clock(), once=once, intent=intent)
        if once or (hard and amount != 0):
            return await self._ask(reservation, deadline)
        self._desk.post(("hold", reservation, None, False))
        return reservation

    async def check(self, upper: int | None, scopes: Scopes | Mapping[str, str | Sequence[str]]) -> None:
        """Refuse at once what settled spend alone already forbids; holds nothing, and says nothing of others' holds.

        `upper` is in nano-dollars; None where no price is known. Raises `BudgetExceeded`, and `UnknownPrice` under a
        hard budget.
        """
        under = _scopes(scopes)
        if not await self.is_hard(under):
            return
        if upper is None:
            raise UnknownPrice(_no_price(under))
        hard = [budget for budget in self._desk.rules.matching(under) if budget.hard]
        if upper == 0 or not hard:
            return
        now = self._clock()

        def look(connection: sqlite3.Connection) -> Room | None:
            for budget in hard:
                start, ends = ledger.current(budget, now)
                settled, held = ledger.standing(connection, budget, start)
                if settled + upper > budget.amount:
                    return Room("refused", budget, settled, held, ends)
            return None

        room = await asyncio.to_thread(self._spool.read, look)
        if room is not None:
            raise _refusal(room, upper)

    async def known(self, keys: Sequence[str]) -> dict[str, Seen]:
        """Return those of the keys that have been reserved before."""
        found = await asyncio.to_thread(self._spool.read, lambda connection: ledger.known(connection, keys))
        return {key: _seen(key, Known(state, cost)) for key, state, cost in found}

    async def reload(self) -> None:
        """Read the budgets again; needed by nobody but the writer of a budget."""
        await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Do what `reload` does, from outside an event loop."""
        stamp = self._stamp_now()
        self._desk.rules = self._spool.read(Rules.read)
        self._seen_stamp = stamp

    def changed(self) -> None:
        """Tell every process that a budget has changed."""
        now = time.time_ns()
        os.utime(self._stamp, ns=(now, now))

    def remember(self, price: Price) -> None:
        """Keep the rates behind a price's id in the log, once; returns at once."""
        if price.id in self._prices or price.free:
            return
        self._prices.add(price.id)
        now = self._clock()
        self._spool.submit(lambda connection: price_store.remember_price(connection, price, now), patient=True)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything settled so far is on the disk."""
        self._desk.flush(timeout)

    def close(self, timeout: float | None = 10.0) -> None:
        """Book what is pending and end the delivery of alerts."""
        self._desk.close(timeout)
        if rows := self.calibration.rows():
            self._spool.submit(lambda connection: price_store.save_calibration(connection, rows)).result(timeout)
        self.alerts.close()

    async def _ask(self, reservation: Reservation, deadline: float | None) -> Reservation | Seen:
        loop = asyncio.get_running_loop()
        request = Request(reservation, loop, loop.create_future())
        timeout = None if deadline is None else deadline - self._monotonic()
        self._desk.ask(request)
        try:
            async with asyncio.timeout(timeout):
                outcome = await request.answer
        except TimeoutError:
            raise BudgetExceeded(_late(request)) from None
        finally:
            request.abandoned = True
        if isinstance(outcome, Known):
            return _seen(reservation.key, outcome)
        if isinstance(outcome, AikitError):
            raise outcome
        if isinstance(outcome, Room):
            raise (
                UnknownPrice(_no_price(reservation.scopes))
                if reservation.upper is None
                else _refusal(outcome, reservation.upper)
            )
        return outcome

    def _stamp_now(self) -> int:
        try:
            return os.stat(self._stamp).st_mtime_ns  # noqa: PTH116  # on every call's way; a Path takes twice as long
        except FileNotFoundError:
            return -1  # the folder was deleted: read the budgets anew, which says so

    def _notice(self, turn: Turn) -> None:
        """Run in the writer's thread after a commit."""
        for crossing in turn.crossings:
            alert = Alert.of(crossing.budget, crossing.threshold, crossing.spent, crossing.start)
            self.alerts.announce(alert)
        by_number: dict[int, Budget] = {budget.budget_id: budget for budget in self._desk.rules.budgets}
        for number, threshold, spent, start in turn.claimed:
            if number in by_number:
                self.alerts.deliver(number, Alert.of(by_number[number], threshold, spent, start))
        for failure in self.alerts.failures():
            self._spool.put("event", EventRow(happened_at=self._clock(), kind="alert_not_delivered", message=failure))


def _scopes(scopes: Scopes | Mapping[str, str | Sequence[str]]) -> Scopes:
    return scopes if isinstance(scopes, Scopes) else Scopes.of(scopes)


def _seen(key: str, known: Known) -> Seen:
    return Seen(key, _STATES[known.state], None if known.cost is None else dollars(known.cost))


def _no_price(scopes: Scopes) -> str:
    return (
        f"no price is known for {scopes.provider}:{scopes.model}, and a hard budget applies; state one:"
        f' providers.{scopes.provider}.prices."{scopes.model}" = {{input = …, output = …}}'
        " (US dollars per million tokens)"
    )


def _situation(room: Room, upper: int) -> str:
    budget = room.budget
    if budget is None:
        return f"the call may cost ${dollars(upper):.6f}"
    spent, held = dollars(room.settled), dollars(room.held)
    return (
        f"the {budget.period}'s budget of ${dollars(budget.amount):.2f} for {budget.name} has ${spent:.6f} spent"
        f" and ${held:.6f} held; the call may cost ${dollars(upper):.6f}"
    )


def _refusal(room: Room, upper: int) -> BudgetExceeded:
    return BudgetExceeded(
        f"not sent: {_situation(room, upper)}. Raise it with kit.budgets.set(…), or lower max_tokens."
    )


def _late(request: Request) -> str:
    room = request.room or Room("waits")
    situation = _situation(room, request.reservation.upper or 0)
    return f"not sent: {situation}, and the deadline passed while waiting for other calls"
